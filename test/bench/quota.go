package main

import (
	"context"
	"fmt"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// quotaQPS is how many calls a second the service allows.
const quotaQPS = 50

// allowance is what the service allows, and what the Connection says of it.
type allowance struct {
	name       string
	limit      fakecloud.Limit
	configured int32
}

// quota takes many roles from nothing to Ready through an account with a tight quota.
func (b *bench) quota(ctx context.Context) error {
	bucket, window := fakecloud.Limit{QPS: quotaQPS, Burst: quotaQPS}, fakecloud.Limit{Window: quotaQPS}
	roles := b.many(1000)
	fmt.Printf("%d new roles of 3 grants, %s latency per call; the service refuses more than %d calls a second\n", roles, b.latency, quotaQPS)
	for i, a := range []allowance{
		{"a token bucket, which the Connection knows", bucket, quotaQPS},
		{"a fixed window, which the Connection knows", window, quotaQPS},
		{"a token bucket; the Connection allows 200", bucket, 4 * quotaQPS},
		{"a fixed window; the Connection allows 200", window, 4 * quotaQPS},
	} {
		if err := b.convergeWithin(ctx, fmt.Sprintf("quota%d", i), a, roles); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	return nil
}

// convergeWithin measures one allowance. The roles are there before the manager is, so that there is always work, however slow the API
// server; and the manager is a new one, for one that has found out what the service allows remembers it.
func (b *bench) convergeWithin(ctx context.Context, where string, a allowance, roles int) error {
	if err := b.prepare(ctx, where, a.configured, roles); err != nil {
		return err
	}
	b.Cloud.SetLimit(fakecloud.DefaultAccessKeyID, a.limit)
	b.Cloud.ResetJournal()
	if err := b.start(usualInterval, "--watch-namespaces="+where); err != nil {
		return err
	}
	defer b.Manager.Stop()
	if err := b.waitReady(ctx, where, roles); err != nil {
		return err
	}
	a.report(b.usageBetween(b.firstRoleCall(), time.Now()), b.actions())
	return nil
}

// prepare makes a namespace with a Connection that is Ready, and new roles. The manager does not run afterwards.
func (b *bench) prepare(ctx context.Context, where string, qps int32, roles int) error {
	b.Cloud.AddProject(fakecloud.Project{Name: where})
	b.Cloud.SetLimit(fakecloud.DefaultAccessKeyID, fakecloud.Limit{})
	if err := b.start(usualInterval, "--watch-namespaces="+where); err != nil {
		return err
	}
	err := b.Connect(ctx, where, qps)
	b.Manager.Stop()
	if err != nil {
		return err
	}
	return b.createAll(ctx, where, where, roles)
}

// firstRoleCall is when the first call was made that is not a check of the Connection.
func (b *bench) firstRoleCall() time.Time {
	for _, entry := range b.Cloud.Journal() {
		if entry.Action != "ListUsers" {
			return entry.Time
		}
	}
	return time.Now()
}

func (a allowance) report(u usage, actions string) {
	fmt.Printf("\n%d calls a second, by %s\n", quotaQPS, a.name)
	row("from the first call to the last role Ready", "%.1f s", u.lasted.Seconds())
	row("calls", "%s", actions)
	refused, used := u.refusedShare(), u.usedShare(quotaQPS, quotaQPS)
	aim("calls that were refused", refused <= 1, "at most 1 %", "%.2f %%, %d of %d", refused, u.refused, u.accepted+u.refused)
	aim("share of the quota that was used", used >= 90, "at least 90 %", "%.1f %%", used)
}
