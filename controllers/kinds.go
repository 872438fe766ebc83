package controllers

import (
	"context"
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
)

// user is an object that uses a connection.
type user interface {
	client.Object
	conditions.Object
	// GetConnectionRef names the connection.
	GetConnectionRef() v1alpha1.ConnectionReference
}

// target is an object that manages something in a project, by the account that its connection stands for.
type target interface {
	user
	engine.Object
	// GetTarget names what is managed.
	GetTarget() v1alpha1.RemoteTarget
	// GetAdoptionPolicy decides what to do when that is there already.
	GetAdoptionPolicy() v1alpha1.AdoptionPolicy
}

// scopeOf returns the project or workspace that an object names, which a ClusterConnection may allow or not.
func scopeOf(obj user) string {
	switch o := obj.(type) {
	case target:
		return o.GetTarget().ProjectName
	case *v1alpha1.PermissionApply:
		return o.Spec.ProjectName
	case *v1alpha1.ResourcePackageExport:
		return o.Spec.WorkspaceID
	}
	return ""
}

// kind is a kind of users.
type kind struct {
	name string
	// object and list make empty ones.
	object func() user
	list   func() client.ObjectList
}

var (
	projectRoles = kind{
		"ProjectRole", func() user { return &v1alpha1.ProjectRole{} }, func() client.ObjectList { return &v1alpha1.ProjectRoleList{} },
	}
	maxComputePackages = kind{
		"MaxComputePackage", func() user { return &v1alpha1.MaxComputePackage{} }, func() client.ObjectList { return &v1alpha1.MaxComputePackageList{} },
	}
	packageInstallations = kind{
		"PackageInstallation", func() user { return &v1alpha1.PackageInstallation{} }, func() client.ObjectList { return &v1alpha1.PackageInstallationList{} },
	}
	permissionApplies = kind{
		"PermissionApply", func() user { return &v1alpha1.PermissionApply{} }, func() client.ObjectList { return &v1alpha1.PermissionApplyList{} },
	}
	resourcePackageExports = kind{
		"ResourcePackageExport", func() user { return &v1alpha1.ResourcePackageExport{} }, func() client.ObjectList { return &v1alpha1.ResourcePackageExportList{} },
	}
	// kinds are all whose objects use connections.
	kinds = []kind{projectRoles, maxComputePackages, packageInstallations, permissionApplies, resourcePackageExports}
)

// The indexes by which objects are found.
const (
	// connectionIndex finds the objects that refer to a connection: it holds their references as text, such as "ClusterConnection prod".
	connectionIndex = "spec.connectionRef.name"
	// targetIndex finds the objects of a kind, in all namespaces, that name the same target. The endpoint is part of a target, too, but
	// known only through the connection.
	targetIndex = "target"
)

// indexes are what every kind is found by.
var indexes = map[string]client.IndexerFunc{
	connectionIndex: func(o client.Object) []string {
		if u, ok := o.(user); ok {
			return []string{u.GetConnectionRef().String()}
		}
		return nil
	},
	targetIndex: func(o client.Object) []string {
		if t, ok := o.(target); ok {
			return []string{t.GetTarget().Key()}
		}
		return nil
	},
}

// indexOf returns the values that an index has of an object.
func indexOf(index string) client.IndexerFunc {
	if index == projectIndex {
		return projectOf
	}
	return indexes[index]
}

// objects lists the objects of a kind.
func (k kind) objects(ctx context.Context, reader client.Reader, opts ...client.ListOption) ([]user, error) {
	list := k.list()
	if err := reader.List(ctx, list, opts...); err != nil {
		return nil, fmt.Errorf("list objects of kind %s: %w", k.name, err)
	}
	found := make([]user, 0, apimeta.LenList(list))
	err := apimeta.EachListItem(list, func(o runtime.Object) error {
		found = append(found, o.(user)) //nolint:forcetypeassert // the list is of this kind
		return nil
	})
	return found, err
}
