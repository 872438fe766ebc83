package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// pluginRun is what a run of the plugin took and came to: memory is the most that it held, in MiB.
type pluginRun struct {
	usage
	memory  float64
	printed string
}

// runPlugin runs the plugin without a cluster.
func (b *bench) runPlugin(ctx context.Context, args ...string) (run pluginRun, err error) {
	directory, err := os.MkdirTemp("", "maxcompute-operator-")
	if err != nil {
		return run, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	plugin, file := filepath.Join(directory, "kubectl-maxcompute"), filepath.Join(directory, "connection.yaml")
	if err := b.writeConnection(file); err != nil {
		return run, err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", plugin, "./cmd/kubectl-maxcompute").CombinedOutput(); err != nil {
		return run, fmt.Errorf("build the plugin: %w\n%s", err, out)
	}
	args = append(args, "--kubeconfig", os.DevNull, "--connection-file", file, "--connection", "prod", "--allow-insecure-endpoints")
	command := exec.CommandContext(ctx, plugin, args...)
	command.Env = append(os.Environ(), "ALIBABA_CLOUD_ACCESS_KEY_ID="+fakecloud.DefaultAccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+fakecloud.DefaultAccessKeySecret)
	command.Stderr = os.Stderr
	started := time.Now()
	out, err := command.Output()
	if err != nil {
		return run, fmt.Errorf("%s: %w", args[0], err)
	}
	run.usage, run.printed = b.usageBetween(started, time.Now()), string(out)
	if usage, ok := command.ProcessState.SysUsage().(*syscall.Rusage); ok {
		// On Linux, in KiB.
		run.memory = float64(usage.Maxrss) / 1024
	}
	return run, nil
}

// writeConnection writes the manifest of a Connection that says nothing of rates.
func (b *bench) writeConnection(file string) error {
	connection := b.NewConnection("", 0)
	connection.APIVersion, connection.Kind = v1alpha1.GroupVersion.String(), "Connection"
	connection.Spec.AlibabaCloud.RateLimits = nil
	text, err := yaml.Marshal(connection)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}
