package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
)

// whoCanOptions are the flags of who-can.
type whoCanOptions struct {
	projectOptions
	schema, kind, sourceProject string
	readPolicies                bool
}

func newWhoCan(c *cluster, streams genericiooptions.IOStreams) *cobra.Command {
	o := &whoCanOptions{projectOptions: projectOptions{planOptions: planOptions{cluster: c, streams: streams}}}
	command := &cobra.Command{
		Use:   "who-can ACTION TABLE --project PROJECT",
		Short: "Tell who may do something with a table, and why",
		Long: `Reads the roles of a MaxCompute project with their ACLs, policies and members, and tells who may do the action: each with the roles and
what in them gives it, and with the objects of the cluster that manage this. Deny comes before Allow; patterns and schemas are understood.

What cannot be told is said and not guessed: statements with a condition, roles whose members cannot be listed. Those who are denied what
something gives them are listed, too. Nothing is written.

Exit code 1 if something could not be read: what could is printed all the same.`,
		Example: `  kubectl maxcompute who-can Select dwd_orders --project analytics_prod
  kubectl maxcompute who-can Select orders --schema sales --connection prod --project analytics_prod -o json
  kubectl maxcompute who-can Execute mask_phone --kind Function --project analytics_prod
  kubectl maxcompute who-can Select dim_city --source-project shop --project analytics_prod   # through packages of shop`,
		Args: requireArgs("an action", "the name of a table"),
		RunE: func(command *cobra.Command, args []string) error { return o.run(command.Context(), args[0], args[1]) },
	}
	f := command.Flags()
	o.addFlags(f)
	o.addOutputFlag(f)
	f.StringVar(&o.schema, "schema", "", "Schema of the table; empty is the schema default.")
	f.StringVar(&o.kind, "kind", string(acl.Table), "Kind of the object: Table (also for views), Resource, Function, Package, Project or Instance.")
	command.ValidArgsFunction = o.completeAction
	f.BoolVar(&o.readPolicies, "read-policies", false, "Read the policy of each role, also if the list of roles shows that there are none.")
	f.StringVar(&o.sourceProject, "source-project", "", "The table is in this project, and comes through its packages that are installed.")
	return command
}

// completeAction completes the action, of those that objects of the kind know.
func (o *whoCanOptions) completeAction(_ *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
	kind, known := kindOf(o.kind)
	if len(given) > 0 || !known {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return beginning(typed, slices.Clone(kind.Actions())), cobra.ShellCompDirectiveNoFileComp
}

// kindOf reads a kind of objects, in any case.
func kindOf(name string) (kind acl.Kind, known bool) {
	for _, kind := range acl.Kinds {
		if strings.EqualFold(string(kind), name) {
			return kind, true
		}
	}
	return "", false
}

// WhoCanReport is the answer of who-can. Fields may be added; those that are there keep their names and meanings.
type WhoCanReport struct {
	Project       string         `json:"project"`
	SourceProject string         `json:"sourceProject,omitempty"`
	Action        string         `json:"action"`
	Kind          string         `json:"kind"`
	SchemaName    string         `json:"schemaName,omitempty"`
	Name          string         `json:"name"`
	Principals    []HolderReport `json:"principals"`
	Shares        []ShareReport  `json:"shares"`
	// Unseen is what could not be seen and might change the answer.
	Unseen []string `json:"unseen"`
	// Problems are what could not be read.
	Problems []string `json:"problems"`
}

// HolderReport is somebody who may do something.
type HolderReport struct {
	Principal string        `json:"principal"`
	Verdict   string        `json:"verdict"`
	Chains    []ChainReport `json:"chains"`
}

// ShareReport is a project that may install a package with what was asked for.
type ShareReport struct {
	Package string `json:"package"`
	Project string `json:"project"`
	Label   int    `json:"label"`
}

func (o *whoCanOptions) run(ctx context.Context, action, name string) error {
	if err := checkOutput(o.output); err != nil {
		return err
	}
	action, object, err := o.question(action, name)
	if err != nil {
		return err
	}
	reading, err := o.read(ctx, !o.readPolicies)
	if err != nil {
		return err
	}
	if err := reading.ReadPackages(ctx, o.sourceProject == "" && object.Kind.HasSchema(), o.sourceProject != ""); err != nil {
		return err
	}
	ask, concerned := reading.WhoCan, reading.Concerned
	if o.sourceProject != "" {
		ask = func(action string, object access.Object) access.Answer {
			return reading.WhoCanThrough(o.sourceProject, action, object)
		}
		concerned = func(action string, object access.Object) []*access.Role {
			return reading.ConcernedThrough(o.sourceProject, action, object)
		}
	}
	if err := reading.ReadMembers(ctx, concerned(action, object)); err != nil {
		return err
	}
	answer := ask(action, object)
	report := WhoCanReport{
		Project: o.project, SourceProject: o.sourceProject, Action: action, Kind: string(object.Kind), SchemaName: object.Schema, Name: object.Name,
		Principals: []HolderReport{}, Shares: []ShareReport{}, Unseen: listOf(reading.Notes, answer.Unseen, aboutMany(object)), Problems: problemsOf(reading),
	}
	if n := reading.UnreadPolicies; n > 0 {
		report.Unseen = append(report.Unseen, fmt.Sprintf("the policies, if there are any, of %s: the list of roles shows none (--read-policies reads them)", rolesWithACL(n)))
	}
	for _, h := range answer.Holders {
		report.Principals = append(report.Principals, HolderReport{Principal: h.Principal, Verdict: string(h.Verdict), Chains: chainReports(o.project, h.Chains)})
	}
	for _, s := range answer.Shares {
		report.Shares = append(report.Shares, ShareReport{Package: s.Package, Project: s.Project, Label: s.Label})
	}
	if err := o.print(report, object); err != nil {
		return err
	}
	return o.finish(reading)
}

func rolesWithACL(n int) string { return number(n, "role") + " with an ACL" }

// question reads what is asked for.
func (o *whoCanOptions) question(action, name string) (string, access.Object, error) {
	kind, known := kindOf(o.kind)
	if !known {
		return "", access.Object{}, fmt.Errorf("--kind is %q: objects are of kind Table, Resource, Function, Package, Project or Instance", o.kind)
	}
	i := slices.IndexFunc(kind.Actions(), func(a string) bool { return strings.EqualFold(a, action) })
	switch {
	case i < 0:
		return "", access.Object{}, fmt.Errorf("a %s knows no action %s: it is one of %s", strings.ToLower(string(kind)), action, strings.Join(kind.Actions(), ", "))
	case name == "":
		return "", access.Object{}, fmt.Errorf("the name of the %s is empty", strings.ToLower(string(kind)))
	case o.schema != "" && !kind.HasSchema(), o.sourceProject != "" && !kind.HasSchema():
		return "", access.Object{}, fmt.Errorf("a %s is in no schema, and in no package", strings.ToLower(string(kind)))
	case kind == acl.Project && !strings.EqualFold(name, o.project):
		return "", access.Object{}, fmt.Errorf("roles of project %s give nothing on project %s", o.project, name)
	case kind == acl.Table && strings.Contains(name, "."):
		return "", access.Object{}, fmt.Errorf("write table %s without project and schema: they are said by --project and --schema", name)
	}
	return kind.Actions()[i], access.NewObject(kind, o.schema, name), nil
}

// aboutMany says what an answer about a pattern is. Instances have no names to ask for.
func aboutMany(o access.Object) []string {
	if !strings.Contains(o.Name, "*") || o.Kind == acl.Instance {
		return nil
	}
	return []string{o.Name + " is taken as a whole: who may do it with some of that only is not listed, and what is denied of some of that is not counted"}
}

func (o *whoCanOptions) print(report WhoCanReport, object access.Object) error {
	if o.output != "" {
		return printStructured(o.streams.Out, o.output, report)
	}
	var out strings.Builder
	where := "project " + report.Project
	if report.SourceProject != "" {
		where += ", by packages of project " + report.SourceProject
	}
	if len(report.Principals) == 0 {
		sayNames(&out, "Nobody can %s on %s in %s, as far as can be seen.\n", report.Action, object.String(), where)
	} else {
		sayNames(&out, "Who can %s on %s in %s:\n\n", report.Action, object.String(), where)
		if err := printHolders(&out, report.Principals); err != nil {
			return err
		}
	}
	for _, share := range report.Shares {
		who := "Project " + share.Project
		if share.Project == maxcompute.AnyProject {
			who = "Any project"
		}
		sayNames(&out, "\n%s may install package %s, which holds it (label %d): its own roles decide who.\n", who, share.Package, share.Label)
	}
	printUnseen(&out, report.Unseen)
	_, err := io.WriteString(o.streams.Out, out.String())
	return err
}

// printUnseen says what the answer does not know.
func printUnseen(out io.Writer, unseen []string) {
	if len(unseen) > 0 {
		say(out, "\nNot known:\n")
		for _, note := range unseen {
			sayNames(out, "- %s\n", note)
		}
	}
	say(out, "\n%s\n", unreported)
}

// sayRow prints a line of a table.
func sayRow(table io.Writer, cells []string) {
	for i, cell := range cells {
		cells[i] = printable(cell)
	}
	say(table, "%s\n", strings.Join(cells, "\t"))
}

// printHolders prints a line for each chain.
func printHolders(out io.Writer, holders []HolderReport) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	say(table, "PRINCIPAL\tVERDICT\tROLE\tBY\tMANAGED BY\tUNTIL\n")
	order := []string{string(access.Allowed), string(access.Unclear), string(access.Denied)}
	slices.SortStableFunc(holders, func(a, b HolderReport) int {
		return cmp.Compare(slices.Index(order, a.Verdict), slices.Index(order, b.Verdict))
	})
	for _, h := range holders {
		for i, chain := range h.Chains {
			first := []string{h.Principal, h.Verdict}
			if i > 0 {
				first = []string{"", ""}
			}
			sayRow(table, append(first, chain.cells()...))
		}
	}
	return table.Flush()
}
