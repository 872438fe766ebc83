package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// The size of the project that questions are asked about, beside its roles.
const (
	principalsAsked = 1000
	grantsOfEach    = 100
)

// questions has kubectl maxcompute tell who may do what in a project of 200 roles, 1,000 principals and 20,000 grants, at the rate of a
// Connection that says nothing of rates, from a service that refuses more than that.
func (b *bench) questions(ctx context.Context) error {
	const project = "questions"
	roles := b.many(200)
	fmt.Printf("%d roles with %d grants each, and %d principals, %s latency per call; the service refuses more than %d calls a second, %d at once\n",
		roles, grantsOfEach, principalsAsked, b.latency, defaultQPS, defaultBurst)
	if err := b.crowd(project, roles); err != nil {
		return err
	}
	b.Cloud.SetLimit(fakecloud.DefaultAccessKeyID, fakecloud.Limit{QPS: defaultQPS, Burst: defaultBurst})
	page := filepath.Join(os.TempDir(), fmt.Sprintf("maxcompute-operator-%d.html", os.Getpid()))
	for _, args := range [][]string{{"who-can", "Select", "t_17"}, {"what-can", "RAM$corp:user_17"}, {"report", "--html", page}} {
		b.Cloud.ResetJournal()
		run, err := b.runPlugin(ctx, append(args, "--project", project)...)
		if err != nil {
			return err
		}
		fmt.Printf("\n%s\n", strings.Join(args[:1], " "))
		row("took", "%.1f s", run.lasted.Seconds())
		row("calls", "%s", b.actions())
		most := 1 + 2*(roles+2) // each project has two roles of its own
		aim("calls about roles", run.accepted+run.refused-b.Cloud.Count("ListPackages") <= most, fmt.Sprintf("at most %d", most), "%d",
			run.accepted+run.refused-b.Cloud.Count("ListPackages"))
		row("memory of the plugin, at most", "%.0f MiB", run.memory)
	}
	info, err := os.Stat(page)
	if err != nil {
		return err
	}
	row("size of the page", "%.1f MB", float64(info.Size())/1e6)
	return os.Remove(page)
}

// crowd gives a new project roles with many grants and members, every second one with a policy, past the API.
func (b *bench) crowd(project string, roles int) error {
	b.Cloud.AddProject(fakecloud.Project{Name: project})
	for i := range roles {
		name := fmt.Sprintf("role_%d", i)
		if err := b.Cloud.CreateRole(project, name, "resource"); err != nil {
			return err
		}
		var errs []error
		for j := range grantsOfEach {
			table := fmt.Sprintf("t_%d", (i*37+j*11)%4000)
			errs = append(errs, b.Cloud.Grant(project, name, fakecloud.Grant{Kind: "table", Name: table, Actions: []string{"Select"}}))
		}
		for j := range 3 * principalsAsked / roles {
			errs = append(errs, b.Cloud.AddMembers(project, name, fmt.Sprintf("RAM$corp:user_%d", (i*principalsAsked/roles+j)%principalsAsked)))
		}
		if i%2 == 0 {
			statement := fmt.Sprintf(`{"Effect":"Deny","Action":["odps:Select"],"Resource":["acs:odps:*:projects/%s/tables/t_%d*"]}`, project, i)
			errs = append(errs, b.Cloud.SetPolicy(project, name, `{"Version":"1","Statement":[`+statement+`]}`))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}
