package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
)

// describedFor is how long one reading of a list serves the description of a project.
const describedFor = 24 * time.Hour

// attempts is how often something is read that the service refuses for the rate of calls.
const attempts = 4

// Estate is a project whose roles, packages and installations are described as objects that adopt them.
type Estate struct {
	Connection v1alpha1.ConnectionReference
	// Namespace is that of the objects and, if it is no ClusterConnection, of the connection.
	Namespace, Project string
}

// Described is what lives in a project, as an object.
type Described struct {
	// Object would change nothing if it was applied. It has no name: that is for its caller to choose. It is nil if Err is set, and of what
	// no object can name: Remarks say why.
	Object client.Object
	// Name is what it is called in the cloud.
	Name string
	// Remarks are what the object cannot say.
	Remarks []string
	// Err is why it could not be read.
	Err error
}

// Kinds of what can be described.
const (
	DescribeRoles         = "ProjectRole"
	DescribePackages      = "MaxComputePackage"
	DescribeInstallations = "PackageInstallation"
)

// Describe describes what of one kind lives in a project, sorted by name, and leaves out what nobody may manage. Nothing is written.
// progress is told after each of them, of how many.
func (p *Previewer) Describe(ctx context.Context, e Estate, kind string, progress func(done, of int)) ([]Described, error) {
	read, err := p.reading(ctx, e, kind)
	if err != nil {
		return nil, err
	}
	described := make([]Described, 0, len(read))
	for i, one := range read {
		var d Described
		patiently(func() error {
			d = one()
			return d.Err
		})
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		described = append(described, d)
		progress(i+1, len(read))
	}
	slices.SortFunc(described, func(a, b Described) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return described, nil
}

// patiently reads something, and again if the service refuses it for the rate of calls: others use the account's rate, too. That is no
// failure yet, and the account's limiter has the next call wait.
func patiently(read func() error) {
	for range attempts {
		if !cloud.IsThrottled(read()) {
			return
		}
	}
}

// reading lists what there is of a kind, each with how it is read.
func (p *Previewer) reading(ctx context.Context, e Estate, kind string) ([]func() Described, error) {
	account, err := p.accounts.Account(ctx, e.object(&v1alpha1.ProjectRole{}), e.Connection, e.Project)
	if err != nil {
		return nil, err
	}
	var read []func() Described
	if kind == DescribeRoles {
		roles, err := account.MaxCompute.ListRoles(ctx, e.Project)
		if err != nil {
			return nil, account.Noticed(err)
		}
		for _, role := range roles {
			if !isBuiltIn(role.Name) {
				read = append(read, func() Described { return p.describeRole(ctx, e, role) })
			}
		}
		return read, nil
	}
	packages, err := account.MaxCompute.ListPackages(ctx, e.Project)
	if err != nil {
		return nil, account.Noticed(err)
	}
	switch kind {
	case DescribePackages:
		for _, created := range packages.Created {
			read = append(read, func() Described { return p.describePackage(ctx, e, created.Name) })
		}
	case DescribeInstallations:
		for _, installed := range packages.Installed {
			read = append(read, func() Described { return e.describeInstallation(installed) })
		}
	default:
		return nil, fmt.Errorf("objects of kind %q are not described", kind)
	}
	return read, nil
}

// isBuiltIn tells of a role that belongs to MaxCompute itself or to DataWorks, which no object may manage.
func isBuiltIn(name string) bool {
	name = strings.ToLower(name)
	return name == "admin" || name == "super_administrator" || strings.HasPrefix(name, "role_project_")
}

// object gives an object what it needs to be looked at. It is as if it had long adopted what it describes, so that a list serves for all.
func (e Estate) object(obj target) target {
	obj.SetNamespace(e.Namespace)
	obj.SetUID("described")
	obj.SetCreationTimestamp(metav1.Unix(0, 0))
	obj.GetTargetStatus().Adopted = true
	return obj
}

func (p *Previewer) describeRole(ctx context.Context, e Estate, found maxcompute.Role) Described {
	d := Described{Name: found.Name}
	switch {
	case !roleNames.takes(found.Name):
		return d.unnamed("role")
	case found.Type != maxcompute.TypeResource && found.Type != maxcompute.TypeAdmin:
		d.remark("role %q is left out: it is of type %q, which no object can be of", found.Name, found.Type)
		return d
	}
	role := &v1alpha1.ProjectRole{Spec: v1alpha1.ProjectRoleSpec{
		ConnectionRef: e.Connection, ProjectName: e.Project, RoleName: found.Name, Type: v1alpha1.RoleTypeResource,
		ACL: &v1alpha1.RoleACL{}, Members: []string{}, AdoptionPolicy: v1alpha1.AdoptionAdopt, Interval: &metav1.Duration{Duration: describedFor},
	}}
	if found.Type == maxcompute.TypeAdmin {
		role.Spec.Type, role.Spec.ACL = v1alpha1.RoleTypeAdmin, nil
	}
	have, err := p.roles.Kind.Observe(ctx, e.object(role).(*v1alpha1.ProjectRole)) //nolint:forcetypeassert // it is the same
	err = cmp.Or(err, have.failure)
	if err == nil && !have.exists {
		err = fmt.Errorf("role %s is gone", found.Name)
	}
	var policy acl.Document
	if err == nil {
		policy, err = p.policyOf(ctx, e, found.Name)
	}
	if err != nil {
		d.Err = err
		return d
	}
	spec := role.Spec
	spec.Interval = nil
	d.describeACL(&spec, have)
	d.describePolicy(&spec, policy)
	d.describeMembers(&spec, have)
	d.Object = &v1alpha1.ProjectRole{Spec: spec}
	return d
}

// policyOf reads the policy of a role. Nobody knows how the service says that a role has none: null can mean that here, for what is not in
// a manifest is left alone.
func (p *Previewer) policyOf(ctx context.Context, e Estate, role string) (acl.Document, error) {
	account, err := p.accounts.Account(ctx, e.object(&v1alpha1.ProjectRole{}), e.Connection, e.Project)
	if err != nil {
		return acl.Document{}, err
	}
	policy, err := account.MaxCompute.GetRolePolicy(ctx, e.Project, role)
	if maxcompute.IsNull(err) {
		return acl.Document{}, nil
	}
	return policy, account.Noticed(err)
}

// writtenSchema is a schema as people write it: the default one is left out.
func writtenSchema(g acl.Grant) string {
	if strings.EqualFold(g.Schema, acl.DefaultSchema) {
		return ""
	}
	return g.Schema
}

func (p *Previewer) describePackage(ctx context.Context, e Estate, name string) Described {
	d := Described{Name: name}
	if !packageNames.takes(name) {
		return d.unnamed("package")
	}
	pkg := &v1alpha1.MaxComputePackage{Spec: v1alpha1.MaxComputePackageSpec{
		ConnectionRef: e.Connection, ProjectName: e.Project, PackageName: name, Resources: &v1alpha1.PackageResources{},
		AllowedProjects: []v1alpha1.AllowedProject{}, AdoptionPolicy: v1alpha1.AdoptionAdopt, Interval: &metav1.Duration{Duration: describedFor},
	}}
	have, err := p.packages.Kind.Observe(ctx, e.object(pkg).(*v1alpha1.MaxComputePackage)) //nolint:forcetypeassert // it is the same
	if err == nil && !have.exists {
		err = fmt.Errorf("package %s is gone", name)
	}
	if err != nil {
		d.Err = err
		return d
	}
	spec := pkg.Spec
	spec.Interval = nil
	d.describeContents(&spec, have)
	d.describeSharing(&spec, have)
	d.Object = &v1alpha1.MaxComputePackage{Spec: spec}
	return d
}

func (e Estate) describeInstallation(found maxcompute.InstalledPackage) Described {
	d := Described{Name: found.SourceProject + "." + found.Name}
	if !projectNames.takes(found.SourceProject) || !packageNames.takes(found.Name) || strings.EqualFold(found.SourceProject, e.Project) {
		return d.unnamed("installed package")
	}
	d.Object = &v1alpha1.PackageInstallation{Spec: v1alpha1.PackageInstallationSpec{
		ConnectionRef: e.Connection, ProjectName: e.Project, SourceProject: found.SourceProject, PackageName: found.Name, AdoptionPolicy: v1alpha1.AdoptionAdopt,
	}}
	if found.Status != "" && found.Status != maxcompute.StatusOK {
		d.remark("the service says of the installation: %s", found.Status)
	}
	return d
}
