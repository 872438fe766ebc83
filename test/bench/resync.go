package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

const (
	resyncQPS = 50
	// pause lies between two new roles.
	pause = 400 * time.Millisecond
	// fewest is how many new roles a percentile is taken of.
	fewest = 60
	// alone is how many new roles are made for comparison, with nothing else going on.
	alone = 25
)

// resync creates roles one at a time while all others are due.
func (b *bench) resync(ctx context.Context) error {
	roles := b.many(5000)
	fmt.Printf("%d Ready roles of 3 grants, all due at once, %s latency per call, %d calls a second; a new role every %s\n\n", roles, b.latency, resyncQPS, pause)
	p, err := b.populate(ctx, "resync", resyncQPS, roles+1)
	if err != nil {
		return err
	}
	if err := p.grow(ctx, roles); err != nil {
		return err
	}
	b.Cloud.ResetJournal()
	if err := b.start(usualInterval); err != nil {
		return err
	}
	if err := testbed.Until(ctx, time.Minute, func() (bool, error) { return b.Cloud.Count("GetRoleAcl") >= 2*resyncQPS, nil }); err != nil {
		return fmt.Errorf("the beginning of the resync: %w", err)
	}
	during, err := p.newcomers(ctx, "during", func(int) bool { return p.seen() < roles })
	if err != nil {
		return err
	}
	u := b.usageBetween(b.firstRoleCall(), p.lastSettledLook())
	after, err := p.newcomers(ctx, "after", func(n int) bool { return n < alone })
	if err != nil {
		return err
	}
	fmt.Println("Resync")
	row("from the first call to the last role seen", "%.1f s, %d calls", u.lasted.Seconds(), u.accepted)
	aimShare("share of the limit that was used", u, resyncQPS)
	return report(during, after)
}

// report prints how long new roles waited for their first call, with a resync under way and without.
func report(during, after []time.Duration) error {
	if len(during) < fewest {
		return fmt.Errorf("only %d roles were created during the resync, want %d", len(during), fewest)
	}
	fmt.Println("\nFrom the creation of a role to the call that creates it in the cloud")
	row("new roles during the resync", "%d", len(during))
	row("half of them within", "%.2f s", percentile(during, 50).Seconds())
	p99 := percentile(during, 99)
	aim("99 % of them within", p99 <= 2*time.Second, "at most 2 s", "%.2f s", p99.Seconds())
	row("all of them within", "%.2f s", percentile(during, 100).Seconds())
	row("for comparison, without a resync, half and all", "%.2f s, %.2f s", percentile(after, 50).Seconds(), percentile(after, 100).Seconds())
	return nil
}

// newcomers creates roles, one at a time, for as long as it should go on, and returns how long each waited.
func (p *population) newcomers(ctx context.Context, name string, more func(created int) bool) ([]time.Duration, error) {
	sent := map[string]time.Time{}
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for more(len(sent)) {
		role := p.newRole(p.namespace, "project_0", fmt.Sprintf("%s_%d", name, len(sent)))
		role.Name = strings.ReplaceAll(role.Name, "_", "-")
		sent[role.Spec.RoleName] = time.Now()
		if err := p.Kube.Create(ctx, role); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
	}
	return p.waits(ctx, sent)
}

// waits returns how long after these moments the roles were created in the cloud. A moment is the one at which the object's creation was
// sent, so what the API server takes to accept it is part of the wait.
func (p *population) waits(ctx context.Context, sent map[string]time.Time) ([]time.Duration, error) {
	var waits []time.Duration
	err := testbed.Until(ctx, time.Minute, func() (bool, error) {
		waits = nil
		for _, entry := range p.Cloud.Journal() {
			if at, ok := sent[entry.Role]; ok && entry.Action == "CreateRole" {
				waits = append(waits, entry.Time.Sub(at))
			}
		}
		return len(waits) >= len(sent), nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%d of %d new roles were created in the cloud", len(waits), len(sent)), err)
	}
	if len(waits) > len(sent) {
		return nil, fmt.Errorf("%d new roles were created in the cloud by %d calls", len(sent), len(waits))
	}
	return waits, nil
}

// seen is how many of the settled roles have been looked at.
func (p *population) seen() int {
	n := 0
	for role := range p.looked() {
		if !isNew(role) {
			n++
		}
	}
	return n
}

func (p *population) lastSettledLook() time.Time {
	var last time.Time
	for _, entry := range p.Cloud.Journal() {
		if entry.Action == "GetRoleAcl" && !isNew(entry.Role) {
			last = entry.Time
		}
	}
	return last
}

// isNew tells the roles of newcomers by their name.
func isNew(role string) bool {
	return strings.Contains(role, "role_during_") || strings.Contains(role, "role_after_")
}
