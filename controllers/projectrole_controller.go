// Package controllers holds one controller per kind.
package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=projectroles,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=projectroles/status,verbs=update
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch

// lateWrite is how long after it was sent a write may still take effect, or become visible.
const lateWrite = time.Minute

// projectRoleKind makes roles of MaxCompute projects what ProjectRoles say. How a role is looked at is in projectrole_observe.go, what is
// to be done about it in projectrole_plan.go, and how that is done in projectrole_apply.go.
type projectRoleKind struct {
	accounts *connect.Resolver
	// reader finds the other objects that name the same role.
	reader client.Reader
	clock  clock.PassiveClock
	// interval is the age up to which a list of roles serves for roles that it holds.
	interval time.Duration
}

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

// account resolves the Connection, and makes sure that it still means the service at which the object has done something.
func (k *projectRoleKind) account(ctx context.Context, role *v1alpha1.ProjectRole) (*connect.Account, error) {
	account, err := k.accounts.Account(ctx, role, role.Spec.ConnectionRef, role.Spec.ProjectName)
	if err != nil {
		return nil, err
	}
	if claims(role) && role.Status.Endpoint != "" && role.Status.Endpoint != account.Endpoint {
		return nil, conditions.Wait(v1alpha1.ReasonConnectionNotReady,
			"%s now means %s, but what this object did is at %s: point it there again, or delete this object with deletionPolicy: Retain",
			role.Spec.ConnectionRef, account.Endpoint, role.Status.Endpoint)
	}
	return account, nil
}

// claims tells whether the object has to do with what is in the cloud already.
func claims(role *v1alpha1.ProjectRole) bool {
	return conditions.OwnsAnything(role) || role.Status.Adopted
}

// Report implements engine.Kind.
func (k *projectRoleKind) Report(role *v1alpha1.ProjectRole, want, have roleState) string {
	status := &role.Status
	if !claims(role) {
		status.Endpoint = have.endpoint
	}
	if role.DeletionTimestamp.IsZero() {
		settled := status.LastAppliedTime == nil || k.clock.Since(status.LastAppliedTime.Time) > lateWrite
		inventoryOf(role).trim(want, have, settled).store(role)
	}
	if status.Creating && have.exists {
		settleCreate(role, have)
	}
	status.Foreign = 0
	if role.Spec.ManagementPolicy == v1alpha1.ManagementAdditive && role.DeletionTimestamp.IsZero() {
		status.Foreign = int32(foreign(want, have, inventoryOf(role))) //nolint:gosec // no service holds two billion permissions in one role
	}
	if role.IsObserved() {
		return nameOf(role) + " was looked at"
	}
	return nameOf(role) + " is as specified"
}

// settleCreate decides about a create whose outcome was lost: a role that holds nothing but what this object asked for is taken for the
// one it asked for. Any other may be somebody else's: with adoptionPolicy Adopt it is treated as such, and otherwise nothing is done to it.
func settleCreate(role *v1alpha1.ProjectRole, have roleState) {
	status := &role.Status
	switch {
	case have.roleType == typeOf(role) && inventoryOf(role).covers(have):
		status.Created, status.Creating = true, false
	case role.Spec.AdoptionPolicy == v1alpha1.AdoptionAdopt && role.DeletionTimestamp.IsZero():
		status.Creating, status.Applied = false, nil
	}
}

func nameOf(role *v1alpha1.ProjectRole) string {
	return fmt.Sprintf("role %s in project %s", role.Spec.RoleName, role.Spec.ProjectName)
}

// Intend implements engine.Kind.
func (k *projectRoleKind) Intend(role *v1alpha1.ProjectRole, p plan.Plan) {
	owned := inventoryOf(role)
	for _, step := range p.Steps {
		if step.Verb == plan.Create {
			role.Status.Creating = true
		}
		owned = owned.with(step)
	}
	owned.store(role)
}
