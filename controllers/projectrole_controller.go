// Package controllers holds one controller per kind.
package controllers

import (
	"context"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=projectroles,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=projectroles/status,verbs=update
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch

// projectRoleKind makes roles of MaxCompute projects what ProjectRoles say. How a role is looked at is in projectrole_observe.go, what is
// to be done about it in projectrole_plan.go, and how that is done in projectrole_apply.go.
type projectRoleKind struct{ targets }

var _ engine.Kind[*v1alpha1.ProjectRole, roleState] = (*projectRoleKind)(nil)

// Desired implements engine.Kind.
func (k *projectRoleKind) Desired(ctx context.Context, role *v1alpha1.ProjectRole) (roleState, error) {
	if !role.DeletionTimestamp.IsZero() {
		return roleState{}, nil
	}
	if err := k.checkOwner(ctx, role); err != nil {
		return roleState{}, err
	}
	return stateOf(role)
}

// Report implements engine.Kind.
func (k *projectRoleKind) Report(role *v1alpha1.ProjectRole, want, have roleState) string {
	status := &role.Status
	if !claims(role) {
		status.Endpoint = have.endpoint
	}
	if settled := k.settled(role); role.DeletionTimestamp.IsZero() || settled {
		inventoryOf(role).trim(want, have, settled).store(role)
	}
	if status.Creating && have.exists {
		settleCreate(role, have.roleType == typeOf(role) && inventoryOf(role).covers(have))
	}
	status.Foreign = 0
	if role.Spec.ManagementPolicy == v1alpha1.ManagementAdditive && role.DeletionTimestamp.IsZero() {
		status.Foreign = int32(foreign(want, have, inventoryOf(role))) //nolint:gosec // no service holds two billion permissions in one role
	}
	return verdictOn(role)
}

// Intend implements engine.Kind.
func (k *projectRoleKind) Intend(role *v1alpha1.ProjectRole, p plan.Plan) {
	owned := inventoryOf(role)
	for _, step := range p.Steps {
		if step.Verb == plan.Create {
			k.intendCreate(role)
		}
		owned = owned.with(step)
	}
	owned.store(role)
}

// Confirm implements engine.Kind.
func (k *projectRoleKind) Confirm(ctx context.Context, role *v1alpha1.ProjectRole, first bool) error {
	return k.confirm(ctx, role, first)
}
