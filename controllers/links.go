package controllers

import (
	"context"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// A package is made by one object, installed by another and named in the ACL of a third, none of which refers to another by its name in
// Kubernetes: they may be anywhere, or not be objects at all. What one does, the others find out by looking; the links here only make
// them look at once.

// sourceIndex finds PackageInstallations by the package that they install, and ProjectRoles by the installed packages that they name.
const sourceIndex = "source"

// sourceOf is the index of a PackageInstallation: its source's key as a target.
func sourceOf(o client.Object) []string {
	installation, ok := o.(*v1alpha1.PackageInstallation)
	if !ok {
		return nil
	}
	return []string{v1alpha1.RemoteTarget{ProjectName: installation.Spec.SourceProject, Name: installation.Spec.PackageName}.Key()}
}

// packagesOf is the index of a ProjectRole: the keys of the installations that it needs.
func packagesOf(o client.Object) []string {
	role, ok := o.(*v1alpha1.ProjectRole)
	if !ok || role.Spec.ACL == nil {
		return nil
	}
	var keys []string
	for _, g := range role.Spec.ACL.Packages {
		keys = append(keys, v1alpha1.RemoteTarget{ProjectName: role.Spec.ProjectName, Name: g.Name}.Key())
	}
	return keys
}

// installationsOf queues the installations of a package.
func installationsOf(reader client.Reader) handler.MapFunc {
	return linked(reader, packageInstallations)
}

// rolesOn queues the roles that name an installed package.
func rolesOn(reader client.Reader) handler.MapFunc { return linked(reader, projectRoles) }

func linked(reader client.Reader, k kind) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		source, ok := o.(target)
		if !ok {
			return nil
		}
		return requestsFor(ctx, reader, k, client.MatchingFields{sourceIndex: source.GetTarget().Key()})
	}
}

// installedPackage takes the name of a package in an ACL apart. A package of the role's own project needs no installation.
func installedPackage(role *v1alpha1.ProjectRole, name string) (sourceProject, packageName string, ok bool) {
	sourceProject, packageName, ok = strings.Cut(name, ".")
	return sourceProject, packageName, ok && !strings.EqualFold(sourceProject, role.Spec.ProjectName)
}
