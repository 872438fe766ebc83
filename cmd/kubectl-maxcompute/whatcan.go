package main

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

func newWhatCan(c *cluster, streams genericiooptions.IOStreams) *cobra.Command {
	o := &projectOptions{planOptions: planOptions{cluster: c, streams: streams}}
	command := &cobra.Command{
		Use:   "what-can PRINCIPAL --project PROJECT",
		Short: "Tell what somebody may do in a project, and why",
		Long: `Reads the roles of a MaxCompute project with their ACLs, policies and members, and tells what a principal may do by the roles that it has:
with each object that they name, and with what the packages hold that it may read. Resources of a policy that name no kind of objects are
listed as they are written there.

What cannot be told is said and not guessed. Nothing is written. Exit code 1 if something could not be read: what could is printed all the
same.`,
		Example: `  kubectl maxcompute what-can 'RAM$corp:alice' --project analytics_prod
  kubectl maxcompute what-can 'ALIYUN$ops@example.com' --project analytics_prod -o json`,
		Args: requireArgs("a principal, such as RAM$account:user"),
		RunE: func(command *cobra.Command, args []string) error { return o.whatCan(command.Context(), args[0]) },
	}
	o.addFlags(command.Flags())
	o.addOutputFlag(command.Flags())
	return command
}

// WhatCanReport is the answer of what-can. Fields may be added; those that are there keep their names and meanings.
type WhatCanReport struct {
	Project   string          `json:"project"`
	Principal string          `json:"principal"`
	Roles     []MemberReport  `json:"roles"`
	Objects   []ObjectReport  `json:"objects"`
	Packages  []PackageReport `json:"packages"`
	// Unseen is what could not be seen and might change the answer.
	Unseen []string `json:"unseen"`
	// Problems are what could not be read.
	Problems []string `json:"problems"`
}

// MemberReport is a role that the principal has.
type MemberReport struct {
	Role       string `json:"role"`
	Membership string `json:"membership"`
	Object     string `json:"object,omitempty"`
}

// ObjectReport is an object, and what the principal may do with it.
type ObjectReport struct {
	// Kind is empty for a resource of a policy that names no kind of objects.
	Kind       string         `json:"kind,omitempty"`
	SchemaName string         `json:"schemaName,omitempty"`
	Name       string         `json:"name"`
	Actions    []ActionReport `json:"actions"`
}

// ActionReport is an action.
type ActionReport struct {
	Action  string        `json:"action"`
	Verdict string        `json:"verdict"`
	Chains  []ChainReport `json:"chains"`
}

// PackageReport is what a package holds that the principal may read.
type PackageReport struct {
	Package string        `json:"package"`
	Verdict string        `json:"verdict"`
	Holds   []EntryReport `json:"holds"`
}

// EntryReport is an object in a package.
type EntryReport struct {
	Kind       string   `json:"kind"`
	SchemaName string   `json:"schemaName,omitempty"`
	Name       string   `json:"name"`
	Actions    []string `json:"actions"`
}

func (o *projectOptions) whatCan(ctx context.Context, principal string) error {
	if err := checkOutput(o.output); err != nil {
		return err
	}
	reading, err := o.read(ctx, false)
	if err != nil {
		return err
	}
	if err := reading.ReadMembers(ctx, reading.Roles); err != nil {
		return err
	}
	holdings, who := reading.WhatCan(principal)
	if slices.ContainsFunc(holdings, mayBePackage) {
		if err := reading.ReadPackages(ctx, false, true); err != nil {
			return err
		}
	}
	report := WhatCanReport{
		Project: o.project, Principal: principal, Roles: []MemberReport{}, Objects: []ObjectReport{}, Packages: []PackageReport{},
		Unseen: listOf(reading.Notes), Problems: problemsOf(reading),
	}
	if who != nil {
		report.Principal = who.Name
		for i, role := range who.Roles {
			m := MemberReport{Role: role.Name, Membership: string(who.Memberships[i])}
			if role.Declaration != nil {
				m.Object = role.Declaration.Object
			}
			report.Roles = append(report.Roles, m)
		}
		report.Packages = packageReports(reading.Project, who)
	}
	for _, h := range holdings {
		report.Objects = append(report.Objects, objectReport(o.project, h))
	}
	for _, role := range reading.Roles {
		if !role.MembersKnown() {
			report.Unseen = append(report.Unseen, fmt.Sprintf("whether %s has role %s", report.Principal, role.Name))
		}
	}
	if err := o.printWhatCan(report); err != nil {
		return err
	}
	return o.finish(reading)
}

// mayBePackage tells of packages, and of resources of a policy that name no kind of objects: packages may be among them.
func mayBePackage(h access.Holding) bool { return h.Object.Kind == acl.Package || h.Object.Kind == "" }

func objectReport(project string, h access.Holding) ObjectReport {
	r := ObjectReport{Kind: string(h.Object.Kind), SchemaName: h.Object.Schema, Name: h.Object.Name}
	for _, action := range h.Actions {
		r.Actions = append(r.Actions, ActionReport{Action: action.Name, Verdict: string(action.Verdict), Chains: chainReports(project, action.Chains)})
	}
	return r
}

// packageReports are the packages that somebody may read.
func packageReports(p *access.Project, who *access.Principal) []PackageReport {
	list := []PackageReport{}
	for _, installed := range p.Installed {
		verdict, given := p.Reads(who, installed)
		if !given || verdict == access.Denied {
			continue
		}
		r := PackageReport{Package: installed.String(), Verdict: string(verdict), Holds: []EntryReport{}}
		for _, entry := range installed.Contents.Grants() {
			r.Holds = append(r.Holds, EntryReport{Kind: string(entry.Kind), SchemaName: entry.Schema, Name: entry.Name, Actions: entry.Actions})
		}
		list = append(list, r)
	}
	return list
}

func (o *projectOptions) printWhatCan(report WhatCanReport) error {
	if o.output != "" {
		return printStructured(o.streams.Out, o.output, report)
	}
	out := &strings.Builder{}
	switch {
	case len(report.Roles) == 0 && len(report.Objects) == 0:
		sayNames(out, "%s has no role in project %s, as far as can be seen.\n", report.Principal, report.Project)
	case len(report.Objects) == 0:
		sayNames(out, "The roles of %s in project %s give nothing: %s.\n", report.Principal, report.Project, rolesOf(report))
	default:
		sayNames(out, "What %s can do in project %s, by %s:\n\n", report.Principal, report.Project, rolesOf(report))
		table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
		say(table, "OBJECT\tACTIONS\tVERDICT\tROLE\tBY\tMANAGED BY\tUNTIL\n")
		for _, object := range report.Objects {
			printObject(table, object)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	for _, p := range report.Packages {
		sayNames(out, "\nPackage %s (%s) holds:\n", p.Package, strings.ToLower(p.Verdict))
		for _, entry := range p.Holds {
			sayNames(out, "- %s: %s\n", access.NewObject(acl.Kind(entry.Kind), entry.SchemaName, entry.Name).String(), strings.Join(entry.Actions, ", "))
		}
	}
	printUnseen(out, report.Unseen)
	_, err := io.WriteString(o.streams.Out, out.String())
	return err
}

func rolesOf(report WhatCanReport) string {
	var names []string
	for _, m := range report.Roles {
		names = append(names, m.Role)
	}
	if len(names) == 0 {
		return "permission requests"
	}
	if len(names) == 1 {
		return "role " + names[0]
	}
	return "roles " + strings.Join(names, ", ")
}

// printObject prints the actions that come in the same way on one line.
func printObject(table *tabwriter.Writer, object ObjectReport) {
	name := access.Object{Kind: acl.Kind(object.Kind), Schema: object.SchemaName, Name: object.Name}.String()
	for len(object.Actions) > 0 {
		first, same, rest := object.Actions[0], []string{}, []ActionReport(nil)
		for _, action := range object.Actions {
			if action.Verdict == first.Verdict && reflect.DeepEqual(action.Chains, first.Chains) {
				same = append(same, action.Action)
			} else {
				rest = append(rest, action)
			}
		}
		cells := []string{name, strings.Join(same, ", "), first.Verdict}
		for _, chain := range first.Chains {
			sayRow(table, append(cells, chain.cells()...))
			cells = []string{"", "", ""}
		}
		name, object.Actions = "", rest
	}
}
