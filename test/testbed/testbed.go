// Package testbed runs the built manager as the service account that the chart makes, with the rights that the chart grants it and no
// more, against a real API server and the fake cloud: for the end-to-end tests, the benchmark and the chaos run. It is used from a directory below test/.
package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/helm"
)

// Testbed is a control plane, a fake cloud, and a manager between them.
type Testbed struct {
	// Kube is an administrator's client.
	Kube client.WithWatch
	// Kubeconfig is an administrator's, as a file.
	Kubeconfig string
	Cloud      *fakecloud.Server
	CloudURL   string
	Manager    *Manager
	// ExportDirectory is the manager's, and SpoolDirectory its directory for temporary files.
	ExportDirectory, SpoolDirectory string

	chart       *helm.Chart
	environment *envtest.Environment
	server      *httptest.Server
	dir         string
}

// Start brings up everything but the manager, which it only builds. root is the repository's root. What was started is stopped
// again if something fails.
func Start(ctx context.Context, root string) (*Testbed, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set: run this through make, or export KUBEBUILDER_ASSETS=$(make -s controlplane)")
	}
	dir, err := os.MkdirTemp("", "maxcompute-operator-")
	if err != nil {
		return nil, err
	}
	b := &Testbed{
		Cloud: fakecloud.New(fakecloud.Options{}), dir: dir,
		environment: &envtest.Environment{},
	}
	b.server = httptest.NewServer(b.Cloud)
	b.CloudURL = b.server.URL
	if _, err := b.environment.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the control plane: %w", err), b.Stop())
	}
	if err := b.setUp(ctx, root); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	return b, nil
}

// Stop ends everything and removes its files.
func (b *Testbed) Stop() error {
	if b.Manager != nil {
		b.Manager.Stop()
	}
	b.server.CloseClientConnections()
	b.server.Close()
	return errors.Join(b.environment.Stop(), os.RemoveAll(b.dir))
}

func (b *Testbed) setUp(ctx context.Context, root string) error {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	// Without a limit on its own requests: it creates objects by the thousand.
	config := *b.environment.Config
	config.QPS = -1
	var err error
	if b.Kube, err = client.NewWithWatch(&config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	b.Kubeconfig = filepath.Join(b.dir, "kubeconfig")
	if err := os.WriteFile(b.Kubeconfig, b.environment.KubeConfig, 0o600); err != nil {
		return err
	}
	b.ExportDirectory, b.SpoolDirectory = filepath.Join(b.dir, "exports"), filepath.Join(b.dir, "spool")
	if err := errors.Join(os.Mkdir(b.ExportDirectory, 0o700), os.Mkdir(b.SpoolDirectory, 0o700)); err != nil {
		return err
	}
	if b.chart, err = helm.New(ctx, root); err != nil {
		return err
	}
	if b.Manager, err = b.Install(ctx, "maxcompute-operator", "maxcompute-operator-system"); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", b.binary(), root)
	build.Stderr = os.Stderr
	return build.Run()
}

// UserKubeconfig is the kubeconfig of a user who may do nothing until they are given rights.
func (b *Testbed) UserKubeconfig(name string) ([]byte, error) {
	user, err := b.environment.AddUser(envtest.User{Name: name}, nil)
	if err != nil {
		return nil, err
	}
	return user.KubeConfig()
}

// binary is where the manager's program is.
func (b *Testbed) binary() string { return filepath.Join(b.dir, "manager") }
