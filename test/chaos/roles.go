package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// place is the namespace and the project of the roles.
const place = "chaos"

// roles is the scenario of that name.
type roles struct {
	chaos
	options
	roles int
}

func prepareRoles(flags *flag.FlagSet) func(context.Context) error {
	r := &roles{}
	flags.IntVar(&r.roles, "roles", 300, "How many roles to create.")
	r.register(flags, 20)
	return func(ctx context.Context) error {
		return r.measure(ctx, func(ctx context.Context, c chaos) error {
			r.chaos = c
			return r.run(ctx)
		})
	}
}

func (r *roles) run(ctx context.Context) error {
	r.Cloud.AddProject(fakecloud.Project{Name: place})
	r.Cloud.SetLatency(20 * time.Millisecond)
	if err := r.start(); err != nil {
		return err
	}
	if err := r.Connect(ctx, place, 10000); err != nil {
		return err
	}
	// Of the writes, every tenth reply is lost for a while.
	for i := range r.roles / 10 {
		r.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropAfter, Only: "writes", After: i * 10, Times: 1})
	}
	created := make(chan error, 1)
	go func() { created <- r.create(ctx) }()
	for range r.kills {
		if err := r.pause(ctx, 500*time.Millisecond, 1500*time.Millisecond); err != nil {
			return err
		}
		if err := r.restart(); err != nil {
			return err
		}
	}
	if err := <-created; err != nil {
		return err
	}
	if err := r.report(ctx); err != nil {
		return err
	}
	return r.remove(ctx)
}

func (r *roles) create(ctx context.Context) error {
	for i := range r.roles {
		role := r.NewRole(place, fmt.Sprintf("role-%d", i), place, fmt.Sprintf("role_%d", i),
			v1alpha1.TableGrant{Name: "orders", Actions: []string{"Describe", "Select"}}, v1alpha1.TableGrant{Name: fmt.Sprintf("own_%d", i), Actions: []string{"Select"}})
		if err := r.Kube.Create(ctx, role); err != nil {
			return err
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// report waits for the end and fails if anything is stuck, doubled or wrong.
func (r *roles) report(ctx context.Context) error {
	started := time.Now()
	limited, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := r.WaitReady(limited, place, r.roles); err != nil {
		return err
	}
	var made, lost int
	for _, entry := range r.Cloud.Journal() {
		if entry.Fault == fakecloud.FaultDropAfter {
			lost++
		}
		for _, change := range entry.Changes {
			if change.Change == fakecloud.ChangeCreateRole {
				made++
			}
		}
	}
	fmt.Printf("%d roles, %d kills, %d replies lost: all Ready %.1f s after the last kill; %d roles created in the cloud\n",
		r.roles, r.kills, lost, time.Since(started).Seconds(), made)
	if made != r.roles || len(r.Cloud.Roles(place)) != r.roles {
		return fmt.Errorf("%d roles were created and %d exist, want %d", made, len(r.Cloud.Roles(place)), r.roles)
	}
	for _, name := range r.Cloud.Roles(place) {
		if grants := r.Cloud.RoleGrants(place, name); len(grants) != 2 {
			return fmt.Errorf("role %s holds %v", name, grants)
		}
	}
	return nil
}

// remove deletes all objects while the manager is killed once more, and waits until nothing is left of them.
func (r *roles) remove(ctx context.Context) error {
	started := time.Now()
	if err := r.Kube.DeleteAllOf(ctx, &v1alpha1.ProjectRole{}, client.InNamespace(place)); err != nil {
		return err
	}
	if err := r.restart(); err != nil {
		return err
	}
	err := testbed.Until(ctx, 2*time.Minute, func() (bool, error) {
		var list v1alpha1.ProjectRoleList
		err := r.Kube.List(ctx, &list, client.InNamespace(place))
		return len(list.Items) == 0, err
	})
	if err != nil {
		return fmt.Errorf("wait for the deletion: %w", err)
	}
	fmt.Printf("deleted, with one more kill: gone after %.1f s; %d roles left in the cloud\n", time.Since(started).Seconds(), len(r.Cloud.Roles(place)))
	if left := r.Cloud.Roles(place); len(left) > 0 {
		return fmt.Errorf("left behind: %v", left)
	}
	return nil
}
