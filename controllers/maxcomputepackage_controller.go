package controllers

import (
	"context"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=maxcomputepackages,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=maxcomputepackages/status,verbs=update

// packageKind makes packages of MaxCompute projects what MaxComputePackages say. What is to be done about one is in
// maxcomputepackage_plan.go, and how that is done in maxcomputepackage_apply.go.
type packageKind struct{ targets }

var _ engine.Kind[*v1alpha1.MaxComputePackage, packageState] = (*packageKind)(nil)

// Desired implements engine.Kind.
func (k *packageKind) Desired(ctx context.Context, pkg *v1alpha1.MaxComputePackage) (packageState, error) {
	if !pkg.DeletionTimestamp.IsZero() {
		return packageState{}, nil
	}
	if err := k.checkOwner(ctx, pkg); err != nil {
		return packageState{}, err
	}
	return packageStateOf(pkg)
}

// Observe implements engine.Kind.
func (k *packageKind) Observe(ctx context.Context, pkg *v1alpha1.MaxComputePackage) (packageState, error) {
	account, err := k.reach(ctx, pkg)
	if err != nil || account == nil {
		return packageState{}, err
	}
	have, err := k.look(ctx, account.MaxCompute, pkg)
	have.endpoint, have.unfinished = account.Endpoint, k.unfinished(pkg)
	if err == nil {
		err = k.looked(ctx, pkg, have.exists)
	}
	if err == nil && have.hasResources && !packageInventoryOf(pkg).isSeen(have) {
		err = k.notVisible(pkg)
	}
	return have, account.Noticed(err)
}

// look finds the package, in the list of its project, and reads what is in it unless it is to be dropped as a whole.
func (k *packageKind) look(ctx context.Context, c *maxcompute.Client, pkg *v1alpha1.MaxComputePackage) (packageState, error) {
	project, name := pkg.Spec.ProjectName, pkg.Spec.PackageName
	find := func(maxAge time.Duration) (bool, error) {
		_, exists, err := c.FindPackage(ctx, project, name, maxAge)
		return exists, err
	}
	exists, err := k.present(pkg, find, func() error {
		_, err := c.GetPackage(ctx, project, name)
		return err
	})
	if err != nil || !exists {
		return packageState{}, err
	}
	if !pkg.DeletionTimestamp.IsZero() && pkg.Status.Created && !pkg.Status.Creating {
		return packageState{exists: true}, nil
	}
	found, err := c.GetPackage(ctx, project, name)
	if cloud.IsNotFound(err) {
		return packageState{}, confirmAbsent(find, err)
	}
	have := packageState{exists: true, hasResources: true, resources: found.Resources, hasAllowed: true}
	var shares []acl.Share
	for _, allowed := range found.Allowed {
		shares = append(shares, acl.Share{Project: allowed.Project, Label: allowed.Label})
	}
	have.allowed = acl.NewSharing(shares...)
	return have, err
}

// Report implements engine.Kind.
func (k *packageKind) Report(pkg *v1alpha1.MaxComputePackage, want, have packageState) string {
	status := &pkg.Status
	if !claims(pkg) {
		status.Endpoint = have.endpoint
	}
	deleting := !pkg.DeletionTimestamp.IsZero()
	if have.hasResources || !have.exists {
		followReplacements(pkg, want, have)
	}
	if settled := k.settled(pkg); !deleting || settled {
		packageInventoryOf(pkg).trim(want, have.restored(pkg), settled).store(pkg)
	}
	if status.Creating && have.exists {
		settleCreate(pkg, packageInventoryOf(pkg).covers(have))
	}
	status.Foreign = 0
	if pkg.Spec.ManagementPolicy == v1alpha1.ManagementAdditive && !deleting {
		status.Foreign = int32(packageInventoryOf(pkg).foreign(want, have)) //nolint:gosec // no package holds two billion permissions
	}
	return verdictOn(pkg)
}

// Intend implements engine.Kind.
func (k *packageKind) Intend(pkg *v1alpha1.MaxComputePackage, p plan.Plan) {
	owned := packageInventoryOf(pkg)
	for _, step := range p.Steps {
		if step.Verb == plan.Create {
			k.intendCreate(pkg)
		}
		owned = owned.with(step)
	}
	owned.store(pkg)
	recordReplacements(pkg, p)
}

// Confirm implements engine.Kind.
func (k *packageKind) Confirm(ctx context.Context, pkg *v1alpha1.MaxComputePackage, first bool) error {
	return k.confirm(ctx, pkg, first)
}
