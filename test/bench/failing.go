package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

const (
	// watched is how long calls are counted, two intervals and a little.
	watched = 130 * time.Second
	// refusedAlike is how often the same refusal may come before an object costs no more than a
	// healthy one.
	refusedAlike = 3
)

// failing counts the calls for roles that name a table which does not exist, beside as many healthy
// ones.
func (b *bench) failing(ctx context.Context) error {
	const where = "failing"
	roles := b.many(10)
	fmt.Printf("%d healthy roles and %d that name a table which does not exist, interval %s\n\n", roles, roles, time.Minute)
	b.Cloud.AddProject(fakecloud.Project{Name: where, Strict: true})
	if err := b.Cloud.DeclareObject(where, "table", "default", "orders"); err != nil {
		return err
	}
	if err := b.start(time.Minute); err != nil {
		return err
	}
	if err := b.Connect(ctx, where, plenty); err != nil {
		return err
	}
	err := each(ctx, 0, roles, func(ctx context.Context, i int) error {
		healthy := b.NewRole(where, fmt.Sprintf("healthy-%d", i), where, fmt.Sprintf("healthy_%d", i), selectFrom("orders"))
		broken := b.NewRole(where, fmt.Sprintf("broken-%d", i), where, fmt.Sprintf("broken_%d", i), selectFrom("orders"), selectFrom("missing"))
		if err := b.Kube.Create(ctx, healthy); err != nil {
			return err
		}
		return b.Kube.Create(ctx, broken)
	})
	if err != nil {
		return err
	}
	return b.countCalls(ctx, where, roles)
}

func selectFrom(table string) v1alpha1.TableGrant {
	return v1alpha1.TableGrant{Name: table, Actions: []string{"Select"}}
}

// countCalls waits until every role that fails has failed often enough, and counts the calls from
// then on.
func (b *bench) countCalls(ctx context.Context, where string, roles int) error {
	if err := b.waitReady(ctx, where, roles); err != nil {
		return err
	}
	err := testbed.Until(ctx, patience, func() (bool, error) {
		refused := b.calls(func(e *fakecloud.Entry) bool { return strings.HasPrefix(e.Statement, "GRANT ") && e.Code != "" })
		return len(refused) == roles && !slices.ContainsFunc(slices.Collect(maps.Values(refused)), func(n int) bool { return n < refusedAlike }), nil
	})
	if err != nil {
		return fmt.Errorf("refusals: %w", err)
	}
	b.Cloud.ResetJournal()
	// Without anything to wait for: what is counted is what happens while nothing does.
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(watched):
	}
	var healthy, broken int
	for role, n := range b.calls(func(*fakecloud.Entry) bool { return true }) {
		if strings.HasPrefix(role, "broken") {
			broken += n
		} else {
			healthy += n
		}
	}
	row(fmt.Sprintf("calls for a healthy role in %s", watched), "%.1f", float64(healthy)/float64(roles))
	aim("calls for one that names a missing table", broken <= healthy, "no more", "%.1f  %s", float64(broken)/float64(roles), b.actions())
	return nil
}

// calls counts calls by their role.
func (b *bench) calls(counts func(*fakecloud.Entry) bool) map[string]int {
	calls := map[string]int{}
	for _, entry := range b.Cloud.Journal() {
		if entry.Role != "" && counts(&entry) {
			calls[entry.Role]++
		}
	}
	return calls
}
