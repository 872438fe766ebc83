package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// plenty is a rate limit that nothing here reaches.
const plenty = 10000

// converge takes many roles from nothing to Ready, and a quiet pass over them.
func (b *bench) converge(ctx context.Context) error {
	const where = "converge"
	roles := b.many(1000)
	fmt.Printf("%d roles of 3 grants, %s latency per call, interval %s\n\n", roles, b.latency, b.interval)
	b.Cloud.AddProject(fakecloud.Project{Name: where})
	if err := b.floor(ctx, roles); err != nil {
		return err
	}
	if err := b.start(b.interval); err != nil {
		return err
	}
	if err := b.Connect(ctx, where, plenty); err != nil {
		return err
	}
	if err := b.fromNothing(ctx, where, roles); err != nil {
		return err
	}
	return b.quiet(ctx, where, roles)
}

// floor measures what the API server takes for the writes alone that a new role costs: its creation, one patch of its metadata, two
// updates of its status and one event. No operator can be faster than that, and the time differs from machine to machine.
func (b *bench) floor(ctx context.Context, roles int) error {
	const other = "floor"
	if err := b.Kube.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: other}}); err != nil {
		return err
	}
	started := time.Now()
	err := each(ctx, 0, roles, func(ctx context.Context, i int) error { return b.writes(ctx, b.newRole(other, other, strconv.Itoa(i))) })
	if err != nil {
		return err
	}
	fmt.Println("The API server alone, the same writes without an operator")
	row("all were made after", "%.1f s", time.Since(started).Seconds())
	fmt.Println()
	return b.Kube.DeleteAllOf(ctx, &v1alpha1.ProjectRole{}, client.InNamespace(other))
}

// writes makes the writes of one new role, in the sizes that they have.
func (b *bench) writes(ctx context.Context, role *v1alpha1.ProjectRole) error {
	if err := b.Kube.Create(ctx, role); err != nil {
		return err
	}
	stored := role.DeepCopy()
	role.Annotations = map[string]string{"bench": "in place of the finalizer"}
	if err := b.Kube.Patch(ctx, role, client.MergeFrom(stored)); err != nil {
		return err
	}
	for _, table := range role.Spec.ACL.Tables {
		role.Status.Applied = append(role.Status.Applied, v1alpha1.InventoryEntry{Kind: "Table", SchemaName: table.SchemaName, Name: table.Name, Actions: table.Actions})
	}
	conditions.SetProgressing(role, "applying the changes")
	if err := b.Kube.Status().Update(ctx, role); err != nil {
		return err
	}
	conditions.Set(role, conditions.Succeeded("role "+role.Name+" is as specified"))
	if err := b.Kube.Status().Update(ctx, role); err != nil {
		return err
	}
	now := metav1.NowMicro()
	return b.Kube.Create(ctx, &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: role.Namespace, Name: role.Name}, EventTime: now, ReportingController: "bench", ReportingInstance: "bench",
		Action: "Apply", Reason: "Applied", Type: corev1.EventTypeNormal, Note: "created Role, granted 4",
		Regarding: corev1.ObjectReference{Kind: "ProjectRole", Namespace: role.Namespace, Name: role.Name},
	})
}

// fromNothing creates the roles and reports what it took until all were Ready.
func (b *bench) fromNothing(ctx context.Context, where string, roles int) error {
	idle, err := b.sample(ctx)
	if err != nil {
		return err
	}
	b.Cloud.ResetJournal()
	started := time.Now()
	if err := b.createAll(ctx, where, where, roles); err != nil {
		return err
	}
	created := time.Since(started)
	if err := b.waitReady(ctx, where, roles); err != nil {
		return err
	}
	took := time.Since(started)
	now, err := b.sample(ctx)
	if err != nil {
		return err
	}
	fmt.Println("From nothing to Ready")
	row("the last role was created after", "%.1f s", created.Seconds())
	row("all were Ready after", "%.1f s", took.Seconds())
	b.reportCosts(idle, now, float64(roles))
	row("calls to the cloud at once, at most", "%d", b.Cloud.MaxInFlight())
	return nil
}

// reportCosts says what became of the manager and the cloud between two samples, per role.
func (b *bench) reportCosts(idle, now sample, roles float64) {
	requests, calls := (now.requests-idle.requests)/roles, float64(len(b.Cloud.Journal())-b.Cloud.Count("ListRoles"))/roles
	aim("API-server requests of the manager per role", requests <= 4, "at most 4", "%.2f  %s", requests, now.verbsSince(idle))
	aim("cloud calls per role besides the shared list", calls <= 2, "at most 2", "%.2f  %s", calls, b.actions())
	cpu := 1000 * (now.cpu - idle.cpu) / roles
	aim("CPU of the manager per role", cpu <= 8, "at most 8 ms", "%.2f ms", cpu)
	row("memory of the manager, resident, idle and now", "%.0f MiB, %.0f MiB", idle.memory, now.memory)
}

// quiet waits for one more look at every role and reports what it took.
func (b *bench) quiet(ctx context.Context, where string, roles int) error {
	before, err := b.sample(ctx)
	if err != nil {
		return err
	}
	b.Cloud.ResetJournal()
	versions, err := b.versions(ctx, where)
	if err != nil {
		return err
	}
	err = testbed.Until(ctx, 3*b.interval, func() (bool, error) { return len(b.looked()) >= roles, nil })
	if err != nil {
		return fmt.Errorf("a look at every role: %w", err)
	}
	now, err := b.sample(ctx)
	if err != nil {
		return err
	}
	after, err := b.versions(ctx, where)
	if err != nil {
		return err
	}
	fmt.Println("\nA quiet pass over them")
	row("cloud calls", "%s", b.actions())
	most, writes := slices.Max(slices.Collect(maps.Values(b.looked()))), len(b.Cloud.Writes())
	aim("reads of one role, at most", most == 1, "1", "%d", most)
	aim("writes to the cloud", writes == 0, "0", "%d", writes)
	row("objects that changed", "%d", changed(versions, after))
	row("API-server writes of the manager", "%.0f", now.writes-before.writes)
	row("CPU of the manager per role", "%.2f ms", 1000*(now.cpu-before.cpu)/float64(roles))
	row("memory of the manager, resident", "%.0f MiB", now.memory)
	return nil
}
