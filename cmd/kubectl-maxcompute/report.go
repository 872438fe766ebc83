package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/auditpage"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
)

func newReport(c *cluster, streams genericiooptions.IOStreams) *cobra.Command {
	o := &projectOptions{planOptions: planOptions{cluster: c, streams: streams}}
	var file string
	command := &cobra.Command{
		Use:   "report --project PROJECT --html FILE",
		Short: "Write a page for auditors: who may do what in a project",
		Long: `Reads the roles of a MaxCompute project with their ACLs, policies and members, and writes one HTML page that needs nothing beside itself:
principals and objects as a matrix to look at, to filter and to print. What is not as the objects of the cluster have it is marked: drift,
and what no object manages.

Nothing is written to the cloud or to the cluster. If something could not be read, the page says so, and the exit code is 1.`,
		Example: `  kubectl maxcompute report --project analytics_prod --html analytics.html`,
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if file == "" {
				return errors.New("name the file to write with --html")
			}
			return o.report(command.Context(), file)
		},
	}
	o.addFlags(command.Flags())
	command.Flags().StringVar(&file, "html", "", "File to write the page to; - is the standard output.")
	return command
}

func (o *projectOptions) report(ctx context.Context, file string) error {
	reading, err := o.read(ctx, false)
	if err != nil {
		return err
	}
	if err := reading.ReadMembers(ctx, reading.Roles); err != nil {
		return err
	}
	if err := reading.ReadPackages(ctx, true, false); err != nil {
		return err
	}
	page := pageOf(reading)
	page.Version, page.Read = version, time.Now()
	var content bytes.Buffer
	if err := auditpage.Write(&content, page); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	if file == "-" {
		if _, err := o.streams.Out.Write(content.Bytes()); err != nil {
			return err
		}
		return o.finish(reading)
	}
	if err := writePrivately(file, content.Bytes()); err != nil {
		return err
	}
	say(o.streams.Out, "%s and %s written to %s\n", number(len(page.Principals), "principal"), number(len(page.Objects), "object"), file)
	return o.finish(reading)
}

// writePrivately writes a file that nobody else can read, be it new or not: who may do what is not for everybody. Of a page that could not
// be written as a whole, nothing is left.
func writePrivately(name string, content []byte) (err error) {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600) //nolint:gosec // the user names it
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		_, writeErr := file.Write(content)
		return errors.Join(err, writeErr)
	}
	if err := errors.Join(file.Chmod(0o600), file.Truncate(0)); err != nil {
		return err
	}
	if _, err := file.Write(content); err != nil {
		return errors.Join(err, file.Truncate(0))
	}
	return nil
}

// pageOf is what was read, as the page shows it.
func pageOf(reading *controllers.Reading) auditpage.Page {
	table := reading.Table()
	b := pageBuilder{table: table, grants: map[*access.Source]map[string]int{}, roles: map[*access.Role]int{}, profiles: map[string]int{}}
	b.page.Project, b.page.Connection, b.page.Endpoint = reading.Name, reading.Connection.Name, reading.Endpoint
	if reading.Connection.IsCluster() {
		b.page.Connection = reading.Connection.String()
	}
	schemas := slices.ContainsFunc(table.Objects, func(o access.Object) bool { return o.Schema != "" && o.Schema != acl.DefaultSchema })
	for _, o := range table.Objects {
		if !schemas {
			o.Schema = ""
		}
		kind := string(o.Kind)
		if kind == "" {
			kind = "Policy resource"
		}
		b.page.Objects = append(b.page.Objects, auditpage.Object{Kind: kind, Schema: o.Schema, Name: o.Name})
	}
	for i, role := range reading.Roles {
		b.roles[role] = i
		b.page.Roles = append(b.page.Roles, roleOf(role))
		if access.IsBuiltIn(role.Name) {
			continue // what it gives is nobody's decision, who has it is
		}
		for _, s := range role.Sources() {
			b.grant(s, s.Doubt())
		}
		for _, what := range role.Missing() {
			b.page.Missing = append(b.page.Missing, auditpage.Missing{Role: role.Name, What: what, Manager: role.Declaration.Object})
		}
	}
	for name, object := range reading.Absent {
		b.page.Missing = append(b.page.Missing, auditpage.Missing{Role: name, What: "the role itself", Manager: object})
	}
	slices.SortStableFunc(b.page.Missing, func(a, b auditpage.Missing) int {
		return strings.Compare(strings.ToLower(a.Role), strings.ToLower(b.Role))
	})
	for _, who := range reading.Principals() {
		b.add(who)
	}
	b.page.Notes = notesOf(reading)
	return b.page
}

func roleOf(role *access.Role) auditpage.Role {
	r := auditpage.Role{Name: role.Name, Type: "Resource", MembersUnknown: !role.MembersKnown()}
	if role.Admin {
		r.Type = "Admin"
	}
	if role.Declaration != nil {
		r.Manager, r.Policy = role.Declaration.Object, role.Declaration.ManagementPolicy
	}
	return r
}

// notesOf are what the page cannot show.
func notesOf(reading *controllers.Reading) []string {
	var notes []string
	for _, problem := range problemsOf(reading) {
		notes = append(notes, "Not read: "+problem)
	}
	notes = append(notes, reading.Notes...)
	for _, created := range reading.Created {
		var projects []string
		for _, share := range created.Shares.List() {
			if share.Project == maxcompute.AnyProject {
				share.Project = "any project"
			}
			projects = append(projects, share.Project)
		}
		if len(projects) > 0 {
			notes = append(notes, fmt.Sprintf("Package %s may be installed by %s: whom they let read it cannot be seen here", created.Name, strings.Join(projects, ", ")))
		}
	}
	return append(notes, unreported)
}

// pageBuilder gives what the page shows its numbers.
type pageBuilder struct {
	page  auditpage.Page
	table *access.Table
	// grants are by source and, as a source may be doubted on one object and not on another, by the doubt.
	grants   map[*access.Source]map[string]int
	roles    map[*access.Role]int
	profiles map[string]int
}

func (b *pageBuilder) add(who *access.Principal) {
	p := auditpage.Principal{Name: who.Name}
	var key strings.Builder
	for i, role := range who.Roles {
		p.Roles = append(p.Roles, auditpage.Membership{Role: b.roles[role], State: who.Memberships[i]})
		fmt.Fprintf(&key, "%d ", b.roles[role])
	}
	for _, request := range who.Requests {
		fmt.Fprintf(&key, "%s ", request.Object)
	}
	profile, known := b.profiles[key.String()]
	if !known {
		profile = len(b.page.Profiles)
		b.profiles[key.String()] = profile
		b.page.Profiles = append(b.page.Profiles, b.profile(who))
	}
	p.Profile = profile
	b.page.Principals = append(b.page.Principals, p)
}

func (b *pageBuilder) profile(who *access.Principal) auditpage.Profile {
	var profile auditpage.Profile
	for i, actions := range b.table.Of(who) {
		cell := auditpage.Cell{Object: i}
		for _, action := range actions {
			a := auditpage.Action{Name: action.Name, Verdict: action.Verdict}
			for _, chain := range action.Chains {
				a.Via = append(a.Via, b.grant(chain.Source, chain.Doubt))
			}
			cell.Actions = append(cell.Actions, a)
		}
		if len(cell.Actions) > 0 {
			profile.Cells = append(profile.Cells, cell)
		}
	}
	return profile
}

func (b *pageBuilder) grant(s *access.Source, doubt string) int {
	if i, known := b.grants[s][doubt]; known {
		return i
	}
	g := auditpage.Grant{
		Role: auditpage.NoRole, Source: s.Sort(), Effect: auditpage.Allow, Text: strings.TrimPrefix(s.Text, s.Sort()+" "), State: s.State,
		Manager: s.Object(), Until: s.Until, Unclear: doubt,
	}
	if s.Role != nil {
		g.Role = b.roles[s.Role]
	}
	// An effect that is neither has been doubted.
	if s.Effect == access.Deny {
		g.Effect = auditpage.Deny
	}
	if b.grants[s] == nil {
		b.grants[s] = map[string]int{}
	}
	b.grants[s][doubt] = len(b.page.Grants)
	b.page.Grants = append(b.page.Grants, g)
	return len(b.page.Grants) - 1
}
