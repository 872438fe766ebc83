package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// stopGrace is how long the namespace controller may take to end by itself before it is killed.
const stopGrace = 10 * time.Second

// StartNamespaceController runs the one controller of kube-controller-manager that finishes deleting namespaces. It ends with ctx, or
// earlier with stop, which waits for it; its error is that of a program that ended by itself.
func (b *Testbed) StartNamespaceController(ctx context.Context) (stop func() error, err error) {
	kubeconfig, err := b.controllerKubeconfig()
	if err != nil {
		return nil, fmt.Errorf("make the namespace controller's kubeconfig: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	command := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kube-controller-manager"),
		"--kubeconfig="+kubeconfig, "--controllers=namespace-controller", "--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0")
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = stopGrace
	log, err := os.Create(filepath.Join(b.dir, "kube-controller-manager.log"))
	if err != nil {
		cancel()
		return nil, err
	}
	command.Stdout, command.Stderr = log, log
	if err := errors.Join(command.Start(), log.Close()); err != nil {
		cancel()
		return nil, err
	}
	var failure error
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		failure = command.Wait()
	}()
	return func() error {
		defer cancel()
		select {
		case <-exited:
			if ctx.Err() != nil {
				return nil
			}
			text, readErr := os.ReadFile(log.Name())
			return errors.Join(fmt.Errorf("the namespace controller ended: %w\n%s", failure, text), readErr)
		default:
		}
		cancel()
		<-exited
		return nil
	}, nil
}

// controllerKubeconfig is that of a controller that may delete whatever a namespace holds, custom resources included.
func (b *Testbed) controllerKubeconfig() (string, error) {
	user, err := b.environment.AddUser(envtest.User{Name: "system:kube-controller-manager", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return "", err
	}
	config, err := user.KubeConfig()
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.dir, "kube-controller-manager.kubeconfig")
	return path, os.WriteFile(path, config, 0o600)
}
