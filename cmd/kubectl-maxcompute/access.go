package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
)

// unreported is what no call that is made tells of.
const unreported = "Not looked at: the project's owner and the tenant's administrators, who may do everything; who owns an object; what was " +
	"granted to accounts without a role, but for requests by PermissionApply; labels; columns, ends and conditions of ACL entries."

// accessOptions are the flags of commands that tell who may do what.
type accessOptions struct {
	planOptions
	connection, clusterConnection, project string
}

func (o *accessOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.connection, "connection", "", "Connection of the namespace to read with.")
	f.StringVar(&o.clusterConnection, "cluster-connection", "", "ClusterConnection to read with, instead.")
	f.StringVar(&o.project, "project", "", "MaxCompute project.")
	o.addConnectionFlags(f)
}

func (o *accessOptions) addOutputFlag(f *pflag.FlagSet) {
	f.StringVarP(&o.output, "output", "o", "", "json or yaml; empty is for people.")
}

// read reads what the roles of the project give; who has them is not read yet.
func (o *accessOptions) read(ctx context.Context) (*controllers.Reading, error) {
	estate, v, err := o.estate(ctx)
	if err != nil {
		return nil, err
	}
	reading, err := o.previewer(v).Access(ctx, estate, o.progress("calls"))
	if err != nil {
		return nil, fmt.Errorf("read the roles of project %s: %s", o.project, advised(err))
	}
	return reading, nil
}

// estate finds what the flags name.
func (o *accessOptions) estate(ctx context.Context) (e controllers.Estate, v *view, err error) {
	switch {
	case (o.connection == "") == (o.clusterConnection == ""):
		return e, nil, errors.New("name --connection or --cluster-connection: one of the two")
	case o.project == "":
		return e, nil, errors.New("name the --project")
	case !controllers.CanName(o.project):
		return e, nil, fmt.Errorf("--project: %q cannot be the name of a project", o.project)
	}
	around, namespace, err := o.surroundings()
	if err != nil {
		return e, nil, err
	}
	for _, m := range around.files {
		if err := o.settle(ctx, around.view, m); err != nil {
			return e, nil, fmt.Errorf("%s: %s: %w", m.source, m, err)
		}
	}
	e = controllers.Estate{Namespace: namespace, Project: o.project, Connection: v1alpha1.ConnectionReference{Name: o.connection}}
	if o.clusterConnection != "" {
		e.Connection = v1alpha1.ConnectionReference{Kind: "ClusterConnection", Name: o.clusterConnection}
	}
	return e, around.view, nil
}

// progress tells a person how far a reading is.
func (o *accessOptions) progress(what string) func(done, of int) {
	if !onTerminal(o.streams.ErrOut) {
		return func(int, int) {}
	}
	return func(done, of int) {
		end := "\r"
		if done == of {
			end = "\n"
		}
		say(o.streams.ErrOut, "%s: %d of %d%s", what, done, of, end)
	}
}

// finish prints what could not be read. An answer that lacks something is none to rely on.
func (o *accessOptions) finish(reading *controllers.Reading) error {
	for _, problem := range problemsOf(reading) {
		say(o.streams.ErrOut, "Error: %s\n", problem)
	}
	if len(reading.Problems) > 0 {
		return errors.New("the answer is not complete: what is named above could not be read")
	}
	return nil
}

// problemsOf are what could not be read, in words.
func problemsOf(reading *controllers.Reading) []string {
	list := []string{}
	for _, problem := range reading.Problems {
		list = append(list, advised(problem))
	}
	return list
}

// ChainReport is how somebody comes to something.
type ChainReport struct {
	// Role is empty for a permission request.
	Role       string `json:"role,omitempty"`
	Membership string `json:"membership,omitempty"`
	Package    string `json:"package,omitempty"`
	Effect     string `json:"effect"`
	Source     string `json:"source"`
	State      string `json:"state"`
	Object     string `json:"object,omitempty"`
	Until      string `json:"until,omitempty"`
	Doubt      string `json:"doubt,omitempty"`

	brief string
}

func chainReports(project string, chains []access.Chain) []ChainReport {
	list := make([]ChainReport, 0, len(chains))
	for _, c := range chains {
		r := ChainReport{
			Membership: string(c.Membership), Package: c.Package, Effect: string(c.Effect), Source: c.Text,
			State: string(c.State), Object: c.Object(), Until: c.Until, Doubt: c.Doubt,
			brief: c.Brief(project),
		}
		if c.Role != nil {
			r.Role = c.Role.Name
		}
		list = append(list, r)
	}
	return list
}

// cells are the columns of a table that tell of a chain.
func (r ChainReport) cells() []string {
	role, source := r.Role, r.brief
	switch {
	case role == "":
		role = "-"
	case r.Membership == string(access.Drift):
		role += " (drift)"
	}
	if r.Effect != string(access.Allow) {
		source = r.Effect + ": " + source
	}
	if r.Package != "" {
		source = "package " + r.Package + ", " + source
	}
	if r.Doubt != "" {
		source += " (unclear: " + r.Doubt + ")"
	}
	managed := r.Object
	if r.State != string(access.Declared) {
		managed = strings.TrimSpace(managed + " " + strings.ToLower(r.State))
	}
	until := r.Until
	if until == "" {
		until = "-"
	}
	return []string{role, source, managed, until}
}

// printStructured writes a report for programs.
func printStructured(out io.Writer, format string, report any) error {
	text, err := json.MarshalIndent(report, "", "  ")
	if err == nil && format == "yaml" {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, strings.TrimRight(string(text), "\n"))
	return err
}

func (o *accessOptions) checkOutput() error {
	switch o.output {
	case "", "json", "yaml":
		return nil
	}
	return fmt.Errorf("--output is %q: write json or yaml, or leave it out", o.output)
}

// listOf joins lists into one that is never absent.
func listOf(lists ...[]string) []string { return append([]string{}, slices.Concat(lists...)...) }

// requireArgs is cobra.ExactArgs with words of what is missing.
func requireArgs(words ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != len(words) {
			return fmt.Errorf("give %s", strings.Join(words, " and "))
		}
		return nil
	}
}
