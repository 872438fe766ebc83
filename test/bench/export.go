package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// What a Connection allows that says nothing of it.
const (
	defaultQPS   = 20
	defaultBurst = 40
)

// export has kubectl maxcompute export write manifests of many roles, at the rate of a Connection that says nothing of rates, from a
// service that refuses more than that.
func (b *bench) export(ctx context.Context) error {
	roles := b.many(1000)
	fmt.Printf("%d roles of 3 grants and a member, %s latency per call; the service refuses more than %d calls a second, %d at once\n", roles, b.latency, defaultQPS, defaultBurst)
	if err := b.inhabit("export", roles); err != nil {
		return err
	}
	b.Cloud.SetLimit(fakecloud.DefaultAccessKeyID, fakecloud.Limit{QPS: defaultQPS, Burst: defaultBurst})
	b.Cloud.ResetJournal()
	run, err := b.runExport(ctx, "export")
	if err != nil {
		return err
	}
	fmt.Println("\nExport of all of them")
	row("took", "%.1f s", run.lasted.Seconds())
	row("manifests", "%d", run.manifests)
	row("calls", "%s", b.actions())
	most := b.mostInASecond()
	aim("most calls in any one second", most <= defaultQPS+defaultBurst, fmt.Sprintf("at most %d", defaultQPS+defaultBurst), "%d", most)
	refused := run.refusedShare()
	aim("calls that were refused", refused <= 1, "at most 1 %", "%.2f %%, %d of %d", refused, run.refused, run.accepted+run.refused)
	aimShare("share of the limit that was used", run.usage, defaultQPS)
	row("memory of the plugin, at most", "%.0f MiB", run.memory)
	return nil
}

// exportRun is what an export took and came to: memory is the most that the plugin held, in MiB.
type exportRun struct {
	usage
	memory    float64
	manifests int
}

// inhabit gives a new project its roles, past the API.
func (b *bench) inhabit(project string, roles int) error {
	b.Cloud.AddProject(fakecloud.Project{Name: project})
	for i := range roles {
		key := strconv.Itoa(i)
		name := "role_" + key
		if err := errors.Join(b.Cloud.CreateRole(project, name, "resource"), b.Cloud.AddMembers(project, name, "RAM$corp:user_"+key)); err != nil {
			return err
		}
		for _, table := range b.newRole("", project, key).Spec.ACL.Tables {
			if err := b.Cloud.Grant(project, name, fakecloud.Grant{Kind: "table", Name: table.Name, Actions: table.Actions}); err != nil {
				return err
			}
		}
	}
	return nil
}

// runExport runs the plugin without a cluster.
func (b *bench) runExport(ctx context.Context, project string) (run exportRun, err error) {
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
	command := exec.CommandContext(ctx, plugin, "export", "--kubeconfig", os.DevNull, "--connection-file", file, "--connection", "prod",
		"--project", project, "--allow-insecure-endpoints")
	command.Env = append(os.Environ(), "ALIBABA_CLOUD_ACCESS_KEY_ID="+fakecloud.DefaultAccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+fakecloud.DefaultAccessKeySecret)
	command.Stderr = os.Stderr
	started := time.Now()
	out, err := command.Output()
	if err != nil {
		return run, fmt.Errorf("export: %w", err)
	}
	run.usage, run.manifests = b.usageBetween(started, time.Now()), strings.Count(string(out), "\nkind: ")
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

// mostInASecond is the most calls that came within one second, whenever that begins.
func (b *bench) mostInASecond() int {
	journal, most, first := b.Cloud.Journal(), 0, 0
	for i, entry := range journal {
		for entry.Time.Sub(journal[first].Time) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
