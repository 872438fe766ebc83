package controllers

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// summarise puts into the status how far the request is as a whole.
func (p *requestPass) summarise() {
	status := &p.obj.Status
	status.State = stateOfRequest(p.obj, p.isOver(), p.Clock.Now())
	status.GrantedUntil = nil
	for _, o := range status.Orders {
		if o.GrantedUntil != nil && (status.GrantedUntil == nil || o.GrantedUntil.Before(status.GrantedUntil)) {
			status.GrantedUntil = o.GrantedUntil.DeepCopy()
		}
	}
	for i := range status.Orders {
		for j := range status.Orders[i].Granted {
			if end := status.EndOf(&status.Orders[i].Granted[j]); end != nil && (status.GrantedUntil == nil || end.Before(status.GrantedUntil)) {
				status.GrantedUntil = end.DeepCopy()
			}
		}
	}
}

// stateOfRequest is how far a request is, from the states of its orders. over tells that its deadline has passed.
func stateOfRequest(obj *v1alpha1.PermissionApply, over bool, now time.Time) v1alpha1.RequestState {
	status := &obj.Status
	states, all := statesOfOrders(status, now)
	granted, ended := states[v1alpha1.RequestGranted], states[v1alpha1.RequestExpired]
	undecided := states[v1alpha1.RequestPending] + states[v1alpha1.RequestApproved] + all - len(status.Orders)
	switch {
	case granted == 0 && (over && undecided > 0 || ended > 0 && undecided == 0):
		return v1alpha1.RequestExpired
	case len(status.Orders) == 0 && over:
		return v1alpha1.RequestExpired
	case len(status.Orders) == 0:
		return ""
	case len(status.Orders) < all:
		return v1alpha1.RequestPending
	case granted > 0 && granted < all && undecided == 0:
		return v1alpha1.RequestPartiallyGranted
	}
	return mostTelling(states)
}

// statesOfOrders counts the orders by state, and says how many there will be at least: of calls that are not made yet, nobody knows anything.
func statesOfOrders(status *v1alpha1.PermissionApplyStatus, now time.Time) (states map[v1alpha1.RequestState]int, all int) {
	states, all = map[v1alpha1.RequestState]int{}, len(status.Orders)
	for i := range status.Orders {
		o := &status.Orders[i]
		state := o.State
		if hasGranted(o) && isOrderOver(status, o, now) {
			state = v1alpha1.RequestExpired
		}
		states[state]++
	}
	for _, s := range status.Submissions {
		if len(s.OrderIDs) == 0 {
			all++
		}
	}
	return states, all
}

// mostTelling is the state, of those that there are, that says most about the whole: what is not decided comes first.
func mostTelling(states map[v1alpha1.RequestState]int) v1alpha1.RequestState {
	for _, state := range []v1alpha1.RequestState{
		v1alpha1.RequestPending, v1alpha1.RequestApproved, v1alpha1.RequestGranted, v1alpha1.RequestGrantFailed, v1alpha1.RequestRejected,
	} {
		if states[state] > 0 {
			return state
		}
	}
	return v1alpha1.RequestWithdrawn
}

// hasGranted tells whether all that an order was approved for was granted.
func hasGranted(o *v1alpha1.PermissionOrder) bool { return o.State == v1alpha1.RequestGranted }

// isOrderOver tells whether all that an order has granted has ended. What the operator has to end has not until it was revoked.
func isOrderOver(status *v1alpha1.PermissionApplyStatus, o *v1alpha1.PermissionOrder, now time.Time) bool {
	for i := range o.Granted {
		g := &o.Granted[i]
		if g.RevokeAtEnd && !g.Revoked || isInEffect(status, g, now) {
			return false
		}
	}
	return len(o.Granted) > 0
}

// outcome is what the state of a request means for its conditions.
func (p *requestPass) outcome() conditions.Outcome {
	status, spec := p.obj.Status, p.obj.Spec
	message := describeOrders(p.obj)
	switch status.State {
	case v1alpha1.RequestPending, v1alpha1.RequestApproved:
		reason := v1alpha1.ReasonAwaitingApproval
		if status.State == v1alpha1.RequestApproved {
			reason = v1alpha1.ReasonApproved
			message = "approved, but the permissions are not there yet: " + message
		}
		if spec.ReadyWhen == v1alpha1.ReadyWhenSubmitted && p.isComplete() {
			return conditions.Outcome{State: conditions.Ready, Reason: v1alpha1.ReasonSubmitted, Message: message}
		}
		return conditions.Outcome{State: conditions.Reconciling, Reason: reason, Message: message}
	case v1alpha1.RequestGranted:
		for _, o := range status.Orders {
			if o.Narrowed {
				return conditions.Outcome{State: conditions.Ready, Reason: v1alpha1.ReasonGrantedNarrowed, Message: "granted less or for a shorter time than was asked for: " + message}
			}
		}
		return conditions.Outcome{State: conditions.Ready, Reason: v1alpha1.ReasonGranted, Message: message}
	case v1alpha1.RequestExpired:
		return conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonExpired, Message: p.expiry() + message}
	case v1alpha1.RequestPartiallyGranted, v1alpha1.RequestRejected, v1alpha1.RequestGrantFailed, v1alpha1.RequestWithdrawn:
		// These states are reasons, too.
		return conditions.Outcome{State: conditions.Stalled, Reason: string(status.State), Message: message}
	}
	return conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressing, Message: "the request is being submitted"}
}

// expiry says how a request came to its end.
func (p *requestPass) expiry() string {
	switch status := p.obj.Status; {
	case len(status.Orders) == 0:
		return "the deadline has passed, and the request was not submitted before"
	case status.GrantedUntil == nil:
		return "the deadline has passed before the request was granted: "
	}
	return "the permissions have ended: "
}

// describeOrders says how many orders are in which state, and what approvers have written.
func describeOrders(obj *v1alpha1.PermissionApply) string {
	status := obj.Status
	counts, parts := map[v1alpha1.RequestState]int{}, []string{}
	for _, o := range status.Orders {
		counts[o.State]++
	}
	for _, s := range []struct {
		state v1alpha1.RequestState
		one   string
		many  string
	}{
		{v1alpha1.RequestPending, "waits for an approver", "wait for an approver"},
		{v1alpha1.RequestApproved, "was approved and is not granted yet", "were approved and are not granted yet"},
		{v1alpha1.RequestGranted, "was granted", "were granted"},
		{v1alpha1.RequestRejected, "was rejected", "were rejected"},
		{v1alpha1.RequestGrantFailed, "was approved, but its permissions could not be granted, or not all of them", "were approved, but their permissions could not be granted, or not all of them"},
		{v1alpha1.RequestWithdrawn, "was withdrawn", "were withdrawn"},
		{v1alpha1.RequestExpired, "was not decided in time and was withdrawn", "were not decided in time and were withdrawn"},
	} {
		switch n := counts[s.state]; {
		case n == 1 && len(status.Orders) == 1:
			parts = append(parts, "order "+status.Orders[0].ID+" "+s.one)
		case n == 1:
			parts = append(parts, "1 order "+s.one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d orders %s", n, s.many))
		}
	}
	for _, o := range status.Orders {
		if o.Comment != "" && isDecided(&o) {
			parts = append(parts, fmt.Sprintf("comment: %q", conditions.Cut(o.Comment, maxQuoted)))
		}
	}
	return strings.Join(parts, "; ")
}

// maxQuoted is how much of a comment is repeated in a message.
const maxQuoted = 200

// parting is what is said of a request whose object goes.
func parting(obj *v1alpha1.PermissionApply) (eventType, note string) {
	var unclear []string
	for _, o := range obj.Status.Orders {
		if o.State == v1alpha1.RequestGrantFailed && o.APIVersion == dataworks.Version2020 {
			unclear = append(unclear, o.ID)
		}
	}
	if len(unclear) == 0 {
		return corev1.EventTypeNormal, ""
	}
	return corev1.EventTypeWarning, "granting what these orders were approved for failed, and the service does not tell what was granted before; nothing of it was revoked: " + strings.Join(unclear, ", ")
}
