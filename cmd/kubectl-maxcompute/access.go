package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
)

// unreported is what no call that is made tells of.
const unreported = "Not looked at: the project's owner and the tenant's administrators, who may do everything; who owns an object; what was " +
	"granted to accounts without a role, but for requests by PermissionApply; labels; ACL entries on schemas, models and volumes; columns, ends and " +
	"conditions of ACL entries."

func (o *projectOptions) addOutputFlag(f *pflag.FlagSet) {
	f.StringVarP(&o.output, "output", "o", "", "json or yaml; empty is for people.")
}

// read reads what the roles of the project give; who has them is not read yet.
func (o *projectOptions) read(ctx context.Context, sparing bool) (*controllers.Reading, error) {
	estate, v, err := o.estate(ctx)
	if err != nil {
		return nil, err
	}
	hidden, tell := false, v.blind
	v.blind = func() {
		hidden = true
		tell()
	}
	reading, err := o.previewer(v).Access(ctx, estate, sparing, o.progress)
	if err != nil {
		return nil, fmt.Errorf("read the roles of project %s: %s", o.project, advised(err))
	}
	switch {
	case v.cluster == nil:
		reading.Notes = append(reading.Notes, withoutCluster)
	case hidden:
		reading.Notes = append(reading.Notes, withoutNamespaces)
	}
	return reading, nil
}

// What is not known of a cluster that was not looked at, or of which not all can be seen.
const (
	withoutCluster    = "no cluster was looked at: what is called unmanaged may be managed by an object, and permission requests may have granted more"
	withoutNamespaces = "objects of other namespaces cannot be listed: what is called unmanaged may be managed by one of them, and permission requests " +
		"there may have granted more"
)

// finish prints what could not be read. An answer that lacks something is none to rely on.
func (o *projectOptions) finish(reading *controllers.Reading) error {
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
