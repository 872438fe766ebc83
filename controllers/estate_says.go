package controllers

import (
	"fmt"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// names are what the schema of a kind takes as a name: the patterns and lengths of api/v1alpha1.
type names struct {
	pattern *regexp.Regexp
	longest int
}

func (n names) takes(name string) bool { return len(name) <= n.longest && n.pattern.MatchString(name) }

var (
	roleNames      = names{regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`), 64}
	projectNames   = names{regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`), 128}
	allowedNames   = names{regexp.MustCompile(`^(\*|[A-Za-z][A-Za-z0-9_]*)$`), 128}
	packageNames   = names{regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`), 128}
	schemaNames    = names{regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`), 128}
	patternNames   = names{regexp.MustCompile(`^(\*|[A-Za-z_][A-Za-z0-9_]*\*?|\*[A-Za-z0-9_]+\*?)$`), 128}
	principalNames = names{regexp.MustCompile(`^((?i:ALIYUN)\$[A-Za-z0-9_.@+-]+|(?i:RAM)\$[A-Za-z0-9_.@+-]+:((?i:role)/)?[A-Za-z0-9_.@+-]+)$`), 256}
	objectNames    = map[acl.Kind]names{
		acl.Table: patternNames, acl.Function: patternNames, acl.Project: patternNames,
		acl.Resource: {regexp.MustCompile(`^(\*|\*?[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*\*?)$`), 256},
		acl.Package:  {regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`), 257},
		acl.Instance: {regexp.MustCompile(`^(\*|[A-Za-z0-9_]+\*?)$`), 128},
	}
)

// CanName tells whether objects can name a project.
func CanName(project string) bool { return projectNames.takes(project) }

// maxListed is how many objects, members or projects a spec can list.
const maxListed = 1000

func (d *Described) remark(format string, args ...any) {
	d.Remarks = append(d.Remarks, fmt.Sprintf(format, args...))
}

// unnamed describes what no object can name.
func (d Described) unnamed(what string) Described {
	d.remark("%s %q is left out: no object can name it", what, d.Name)
	return d
}

// leftOut is a policy under which what the spec leaves out stays as it is.
const leftOut = "; managementPolicy is Additive, so that it stays as it is"

// sayable are the entries of a set that a spec can list. The others are remarked.
func (d *Described) sayable(set acl.Set) acl.Set {
	var list []acl.Grant
	for _, g := range set.Grants() {
		if !objectNames[g.Kind].takes(g.Name) || g.Schema != "" && !schemaNames.takes(g.Schema) {
			d.remark("left out: %q, for no object can name it%s", entryText(g, g.Actions), leftOut)
			continue
		}
		unknown := func(action string) bool { return !g.Kind.KnowsAction(action) }
		if slices.ContainsFunc(g.Actions, unknown) {
			known := slices.DeleteFunc(slices.Clone(g.Actions), unknown)
			d.remark("left out: %q, for no object can name the action%s", entryText(g, plan.Without(g.Actions, known)), leftOut)
			g.Actions = known
		}
		list = append(list, g)
	}
	return acl.NewSet(list...)
}

func entryText(g acl.Grant, actions []string) string {
	return plan.Entry{Kind: string(g.Kind), SchemaName: g.Schema, Name: g.Name, Actions: actions}.String()
}

// policyFor is Authoritative, which is the default, if what a spec says is all that there is.
func policyFor(complete bool) v1alpha1.ManagementPolicy {
	if complete {
		return ""
	}
	return v1alpha1.ManagementAdditive
}

func (d *Described) describeACL(spec *v1alpha1.ProjectRoleSpec, have roleState) {
	said := d.sayable(have.acl)
	switch {
	case spec.ACL == nil:
	case said.Len() > maxListed:
		spec.ACL = nil
		d.Remarks = []string{fmt.Sprintf("the ACL is not managed: it lists %d objects, more than the %d that an object can list", have.acl.Len(), maxListed)}
	default:
		spec.ACL, spec.ManagementPolicy = specOf(said), policyFor(said.Equal(have.acl))
	}
}

// describePolicy leaves out a policy that is too long, and one that would not come out of the API server as it went in: there, numbers
// are of limited precision.
func (d *Described) describePolicy(spec *v1alpha1.ProjectRoleSpec, policy acl.Document) {
	raw := []byte(policy.String())
	switch {
	case policy.Empty():
	case len(raw) > acl.MaxPolicyBytes:
		d.remark("the policy is not managed: it has %d bytes, more than the %d that an object can hold", len(raw), acl.MaxPolicyBytes)
	case !survives(policy):
		d.remark("the policy is not managed: it holds numbers that an object cannot hold as they are")
	default:
		spec.Policy = &runtime.RawExtension{Raw: raw}
	}
}

// survives tells whether a policy means the same after the API server has read and written it.
func survives(policy acl.Document) bool {
	var value any
	if json.Unmarshal([]byte(policy.String()), &value) != nil {
		return false
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return false
	}
	stored, err := acl.ParseDocument(raw)
	return err == nil && stored.Equal(policy)
}

func (d *Described) describeMembers(spec *v1alpha1.ProjectRoleSpec, have roleState) {
	if have.unlistable {
		spec.Members = nil
		d.remark("the members cannot be listed, because an account among them was deleted; they are not managed")
		return
	}
	unknown := have.members.Unknown()
	for _, member := range have.members.List() {
		if principalNames.takes(member) {
			spec.Members = append(spec.Members, member)
		} else {
			unknown = append(unknown, member)
		}
	}
	if len(spec.Members) > maxListed {
		d.remark("the members are not managed: they are %d, more than the %d that an object can list", len(spec.Members), maxListed)
		spec.Members = nil
		return
	}
	for _, member := range unknown {
		spec.ManagementPolicy = v1alpha1.ManagementAdditive
		d.remark("left out: member %q, which is of no known form%s", member, leftOut)
	}
}

func (d *Described) describeContents(spec *v1alpha1.MaxComputePackageSpec, have packageState) {
	said := d.sayable(have.resources)
	if said.Len() > maxListed {
		spec.Resources = nil
		d.Remarks = []string{fmt.Sprintf("the contents are not managed: they are %d objects, more than the %d that an object can list", have.resources.Len(), maxListed)}
		return
	}
	contents := specOf(said)
	spec.Resources = &v1alpha1.PackageResources{Tables: contents.Tables, Resources: contents.Resources, Functions: contents.Functions}
	spec.ManagementPolicy = policyFor(said.Equal(have.resources))
}

func (d *Described) describeSharing(spec *v1alpha1.MaxComputePackageSpec, have packageState) {
	for _, share := range have.allowed.List() {
		if !allowedNames.takes(share.Project) {
			spec.ManagementPolicy = v1alpha1.ManagementAdditive
			d.remark("left out: allowed project %q, for no object can name it%s", share.Project, leftOut)
			continue
		}
		spec.AllowedProjects = append(spec.AllowedProjects, v1alpha1.AllowedProject{ProjectName: share.Project, Label: int32(share.Label)}) //nolint:gosec // 0 to 9
	}
	if len(spec.AllowedProjects) > maxListed {
		d.remark("the allowed projects are not managed: they are %d, more than the %d that an object can list", len(spec.AllowedProjects), maxListed)
		spec.AllowedProjects = nil
	}
}

// specOf is an ACL as a spec lists it.
func specOf(set acl.Set) *v1alpha1.RoleACL {
	spec := &v1alpha1.RoleACL{}
	for _, g := range set.Grants() {
		switch g.Kind {
		case acl.Table:
			spec.Tables = append(spec.Tables, v1alpha1.TableGrant{SchemaName: writtenSchema(g), Name: g.Name, Actions: g.Actions})
		case acl.Resource:
			spec.Resources = append(spec.Resources, v1alpha1.ResourceGrant{SchemaName: writtenSchema(g), Name: g.Name, Actions: g.Actions})
		case acl.Function:
			spec.Functions = append(spec.Functions, v1alpha1.FunctionGrant{SchemaName: writtenSchema(g), Name: g.Name, Actions: g.Actions})
		case acl.Package:
			spec.Packages = append(spec.Packages, v1alpha1.PackageGrant{Name: g.Name, Actions: g.Actions})
		case acl.Project:
			spec.Projects = append(spec.Projects, v1alpha1.ProjectGrant{Name: g.Name, Actions: g.Actions})
		case acl.Instance:
			spec.Instances = append(spec.Instances, v1alpha1.InstanceGrant{Name: g.Name, Actions: g.Actions})
		}
	}
	return spec
}
