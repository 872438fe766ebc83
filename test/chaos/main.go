// Command chaos takes the measurements of docs/reliability.md: roles converge while the manager is killed again and again and the
// fake cloud loses replies. At the end every role must be Ready, none may be doubled, and deleting them must leave nothing behind.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

const (
	namespace = "chaos"
	project   = "chaos"
)

func main() {
	roles := flag.Int("roles", 300, "How many roles to create.")
	kills := flag.Int("kills", 20, "How often to kill the manager.")
	seed := flag.Uint64("seed", 1, "Seed of the moments at which it is killed.")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *roles, *kills, rand.New(rand.NewPCG(*seed, 0)))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, roles, kills int, random *rand.Rand) (err error) {
	bed, err := testbed.Start(ctx, ".")
	if err != nil {
		return err
	}
	defer func() {
		if stopped := bed.Stop(); err == nil {
			err = stopped
		}
	}()
	bed.Cloud.AddProject(fakecloud.Project{Name: project})
	bed.Cloud.SetLatency(20 * time.Millisecond)
	if err := start(bed); err != nil {
		return err
	}
	if err := bed.Connect(ctx, namespace, 10000); err != nil {
		return err
	}
	// Of the writes, every tenth reply is lost for a while.
	for i := range roles / 10 {
		bed.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Only: "writes", After: i * 10, Times: 1})
	}
	created := make(chan error, 1)
	go func() { created <- create(ctx, bed, roles) }()
	for range kills {
		if err := sleep(ctx, time.Duration(500+random.IntN(1000))*time.Millisecond); err != nil {
			return err
		}
		bed.Manager.Kill()
		if err := start(bed); err != nil {
			return err
		}
	}
	if err := <-created; err != nil {
		return err
	}
	return report(ctx, bed, roles, kills)
}

func start(bed *testbed.Testbed) error { return bed.Manager.Start("--default-interval=10m") }

func create(ctx context.Context, bed *testbed.Testbed, roles int) error {
	for i := range roles {
		role := bed.NewRole(namespace, fmt.Sprintf("role-%d", i), project, fmt.Sprintf("role_%d", i),
			v1alpha1.TableGrant{Name: "orders", Actions: []string{"Describe", "Select"}}, v1alpha1.TableGrant{Name: fmt.Sprintf("own_%d", i), Actions: []string{"Select"}})
		if err := bed.Kube.Create(ctx, role); err != nil {
			return err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// report waits for the end and fails if anything is stuck, doubled, wrong or left behind.
func report(ctx context.Context, bed *testbed.Testbed, roles, kills int) error {
	started := time.Now()
	limited, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := bed.WaitReady(limited, namespace, roles); err != nil {
		return err
	}
	var made, lost int
	for _, entry := range bed.Cloud.Journal() {
		if entry.Fault == fakecloud.FaultDropAfter {
			lost++
		}
		for _, change := range entry.Changes {
			if change.Change == fakecloud.ChangeCreateRole {
				made++
			}
		}
	}
	fmt.Printf("%d roles, %d kills, %d replies lost: all Ready %.1f s after the last kill; %d roles created in the cloud\n", roles, kills, lost, time.Since(started).Seconds(), made)
	if made != roles || len(bed.Cloud.Roles(project)) != roles {
		return fmt.Errorf("%d roles were created and %d exist, want %d", made, len(bed.Cloud.Roles(project)), roles)
	}
	for _, name := range bed.Cloud.Roles(project) {
		if grants := bed.Cloud.RoleGrants(project, name); len(grants) != 2 {
			return fmt.Errorf("role %s holds %v", name, grants)
		}
	}
	return remove(ctx, bed)
}

// remove deletes all objects while the manager is killed once more, and waits until nothing is left of them.
func remove(ctx context.Context, bed *testbed.Testbed) error {
	started := time.Now()
	if err := bed.Kube.DeleteAllOf(ctx, &v1alpha1.ProjectRole{}, client.InNamespace(namespace)); err != nil {
		return err
	}
	bed.Manager.Kill()
	if err := start(bed); err != nil {
		return err
	}
	err := testbed.Until(ctx, 2*time.Minute, func() (bool, error) {
		var list v1alpha1.ProjectRoleList
		err := bed.Kube.List(ctx, &list, client.InNamespace(namespace))
		return len(list.Items) == 0, err
	})
	if err != nil {
		return fmt.Errorf("wait for the deletion: %w", err)
	}
	fmt.Printf("deleted, with one more kill: gone after %.1f s; %d roles left in the cloud\n", time.Since(started).Seconds(), len(bed.Cloud.Roles(project)))
	if left := bed.Cloud.Roles(project); len(left) > 0 {
		return fmt.Errorf("left behind: %v", left)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
