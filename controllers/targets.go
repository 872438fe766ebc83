package controllers

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// targetIndex finds the objects, in all namespaces, that name the same role of the same project.
const targetIndex = "target"

// targetOf is what the service compares without case. The endpoint is part of a target, too, but known only through the Connection.
func targetOf(o client.Object) []string {
	role, ok := o.(*v1alpha1.ProjectRole)
	if !ok {
		return nil
	}
	return []string{strings.ToLower(role.Spec.ProjectName + "/" + role.Spec.RoleName)}
}

// checkOwner stalls an object whose role an older object owns.
func (k *projectRoleKind) checkOwner(ctx context.Context, role *v1alpha1.ProjectRole) error {
	if role.IsObserved() {
		return nil
	}
	owner, err := k.owner(ctx, role)
	if err != nil || owner == nil {
		return err
	}
	return conditions.Stall(v1alpha1.ReasonTargetConflict, "%s belongs to the older ProjectRole %s/%s", nameOf(role), owner.Namespace, owner.Name)
}

// owner finds the older object that owns the role which an object names; nil if there is none. Suspended and deleting objects still own
// theirs.
func (k *projectRoleKind) owner(ctx context.Context, role *v1alpha1.ProjectRole) (*v1alpha1.ProjectRole, error) {
	var rivals v1alpha1.ProjectRoleList
	err := k.reader.List(ctx, &rivals, client.MatchingFields{targetIndex: targetOf(role)[0]}, client.DisableReadYourWritesConsistency)
	if err != nil {
		return nil, fmt.Errorf("list the objects of a role: %w", err)
	}
	for i := range rivals.Items {
		rival := &rivals.Items[i]
		if rival.UID == role.UID || !contends(rival) || !older(rival, role) {
			continue
		}
		same, err := k.accounts.SameEndpoint(ctx, rival, rival.Spec.ConnectionRef, role, role.Spec.ConnectionRef)
		if err != nil || same {
			return rival, err
		}
	}
	return nil, nil
}

// contends tells whether an object can own its target: not if it only observes, nor if it has nothing there and its ClusterConnection does
// not allow it, or any namespace could keep others from their roles.
func contends(role *v1alpha1.ProjectRole) bool {
	ready := conditions.ReadyCondition(role)
	refused := ready != nil && ready.Reason == v1alpha1.ReasonConnectionNotAllowed
	return !role.IsObserved() && (claims(role) || !refused)
}

// older tells whether a owns what both name: by age, then by UID. Of two that are of one second, the one that has already made the
// role goes first, for it may have done so before the other was seen.
func older(a, b *v1alpha1.ProjectRole) bool {
	made := func(r *v1alpha1.ProjectRole) int {
		if claims(r) {
			return 0
		}
		return 1
	}
	return cmp.Or(
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(made(a), made(b)), cmp.Compare(a.UID, b.UID),
	) < 0
}

// rivalsOf queues the objects that may have waited for one that is gone.
func rivalsOf(reader client.Reader) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		var rivals v1alpha1.ProjectRoleList
		if err := reader.List(ctx, &rivals, client.MatchingFields{targetIndex: targetOf(o)[0]}, client.DisableReadYourWritesConsistency); err != nil {
			return nil // they are looked at again at their interval
		}
		requests := make([]reconcile.Request, 0, len(rivals.Items))
		for i := range rivals.Items {
			requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: rivals.Items[i].Namespace, Name: rivals.Items[i].Name}})
		}
		return requests
	}
}
