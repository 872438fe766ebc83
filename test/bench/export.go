package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

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
	run, err := b.runPlugin(ctx, "export", "--project", "export")
	if err != nil {
		return err
	}
	fmt.Println("\nExport of all of them")
	row("took", "%.1f s", run.lasted.Seconds())
	row("manifests", "%d", strings.Count(run.printed, "\nkind: "))
	row("calls", "%s", b.actions())
	most := b.mostInASecond()
	aim("most calls in any one second", most <= defaultQPS+defaultBurst, fmt.Sprintf("at most %d", defaultQPS+defaultBurst), "%d", most)
	refused := run.refusedShare()
	aim("calls that were refused", refused <= 1, "at most 1 %", "%.2f %%, %d of %d", refused, run.refused, run.accepted+run.refused)
	aimShare("share of the limit that was used", run.usage, defaultQPS)
	row("memory of the plugin, at most", "%.0f MiB", run.memory)
	return nil
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
