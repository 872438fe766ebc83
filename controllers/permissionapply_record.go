package controllers

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// What the schema allows of an approver's comment, of an action, and of actions and entries in a list.
const (
	maxComment = 1024
	maxAction  = 64
	maxActions = 32
	maxGranted = 4000
)

// requestStates is what the states of orders are in the status.
var requestStates = map[dataworks.State]v1alpha1.RequestState{
	dataworks.Pending: v1alpha1.RequestPending, dataworks.Approved: v1alpha1.RequestApproved, dataworks.Granted: v1alpha1.RequestGranted,
	dataworks.GrantFailed: v1alpha1.RequestGrantFailed, dataworks.Rejected: v1alpha1.RequestRejected, dataworks.Withdrawn: v1alpha1.RequestWithdrawn,
	dataworks.Deleted: v1alpha1.RequestWithdrawn,
}

// record puts what the service says of an order into the status. A state that is not known changes nothing: least of all is it read as
// granted.
func (p *requestPass) record(o *v1alpha1.PermissionOrder, order dataworks.Order) error {
	state, known := requestStates[order.State]
	if !known {
		return conditions.Wait(v1alpha1.ReasonUnexpectedResponse, "order %s is in a state that this operator does not know, so nothing is concluded from it", o.ID)
	}
	if isBehind(o.State, state) {
		return nil // read from a copy that is behind
	}
	if state == v1alpha1.RequestWithdrawn && p.hasTakenBack(o, order) {
		state = v1alpha1.RequestExpired
	}
	o.State = state
	o.Comment = conditions.Cut(order.Comment, maxComment)
	if !order.Submitted.IsZero() {
		o.SubmittedAt = moment(order.Submitted)
	}
	o.FinishedAt = moment(order.Finished)
	// What was seen to be granted stays on record until it was revoked or has ended.
	o.Granted = added(o.Granted, p.granted(o, order))
	if len(o.Granted) > 0 {
		o.GrantedUntil, o.Narrowed = moment(order.Deadline), p.isNarrowed(o, order)
	}
	return nil
}

// added adds what an order has granted to what is known of that: what was revoked, or left to this request to end, stays on record.
func added(known, granted []v1alpha1.GrantedObject) []v1alpha1.GrantedObject {
	for _, g := range granted {
		if len(known) < maxGranted && !slices.ContainsFunc(known, func(have v1alpha1.GrantedObject) bool { return isSameGrant(&have, &g) }) {
			known = append(known, g)
		}
	}
	return known
}

// hasTakenBack tells whether it was the deadline that has taken back an order, by this operator's hand: it was when the order waited for long
// enough.
func (p *requestPass) hasTakenBack(o *v1alpha1.PermissionOrder, order dataworks.Order) bool {
	end := p.obj.Status.RequestedUntil
	return !p.deleting && o.State == v1alpha1.RequestPending && end != nil && p.isOver() && !order.Finished.Before(end.Add(-patience))
}

// isBehind tells whether a state is one that an order has left.
func isBehind(known, read v1alpha1.RequestState) bool {
	undecided := read == v1alpha1.RequestPending || read == v1alpha1.RequestApproved && known != v1alpha1.RequestPending
	return undecided && known != v1alpha1.RequestPending && known != read
}

// moment is a time as the API server stores it; nil for the zero time. The schema knows no year with more than four digits.
func moment(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	if t.Year() > 9999 {
		t = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	return new(metav1.NewTime(t.Truncate(time.Second)))
}

// granted lists what came of an order. What differs in nothing but who got it is one entry.
func (p *requestPass) granted(o *v1alpha1.PermissionOrder, order dataworks.Order) []v1alpha1.GrantedObject {
	var all []v1alpha1.GrantedObject
	for _, object := range order.Objects {
		users := order.Grantees
		if object.Grantee != "" {
			users = []string{object.Grantee}
		}
		for _, g := range p.entries(o, object) {
			i := slices.IndexFunc(all, func(have v1alpha1.GrantedObject) bool { return isSameGrant(&have, &g) })
			if i < 0 {
				i, all = len(all), append(all, g)
			}
			all[i].UserIDs = append(all[i].UserIDs, users...)
		}
	}
	for i := range all {
		g := &all[i]
		slices.Sort(g.UserIDs)
		// What others got is not this request's.
		g.UserIDs = slices.DeleteFunc(g.UserIDs, func(user string) bool { return !slices.Contains(p.obj.Spec.ApplyUserIDs, user) })
		if g.UserIDs = slices.Compact(g.UserIDs); len(g.UserIDs) == 0 || slices.Equal(g.UserIDs, sorted(p.obj.Spec.ApplyUserIDs)) {
			g.UserIDs = p.usersOf(o)
		}
		g.RevokeAtEnd = p.isOurs(o, g)
	}
	return all
}

// isSameGrant tells whether two entries differ in nothing but who got it.
func isSameGrant(a, b *v1alpha1.GrantedObject) bool {
	return isSameTable(a, b) && slices.Equal(a.Actions, b.Actions) && slices.Equal(a.Columns, b.Columns) && a.Until.Equal(b.Until)
}

// isOurs tells whether it is the operator that has to end a permission: somebody has asked for an end, and the service names none, or grants for
// ever. With the older API an approver cannot do that in its own name, with the newer one it can.
func (p *requestPass) isOurs(o *v1alpha1.PermissionOrder, g *v1alpha1.GrantedObject) bool {
	if p.obj.Status.RequestedUntil == nil {
		return false
	}
	return g.Until == nil || o.APIVersion == dataworks.Version2020 && !g.Until.Time.Before(dataworks.Permanent)
}

// entries are what an order has granted on a table: on the table as such, and on columns that have the same in common. All columns that were
// looked up are the table.
func (p *requestPass) entries(o *v1alpha1.PermissionOrder, object dataworks.OrderObject) []v1alpha1.GrantedObject {
	var all []v1alpha1.GrantedObject
	add := func(actions []string, column string, end time.Time) {
		if end.IsZero() {
			end = object.Deadline
		}
		g := v1alpha1.GrantedObject{SchemaName: apiSchema(object.Schema), Name: object.Name, Actions: bounded(actions), Until: moment(end)}
		if column == "" {
			all = append(all, g)
			return
		}
		i := slices.IndexFunc(all, func(have v1alpha1.GrantedObject) bool {
			return len(have.Columns) > 0 && slices.Equal(have.Actions, actions) && have.Until.Equal(g.Until)
		})
		if i < 0 {
			i, all = len(all), append(all, g)
		}
		all[i].Columns = append(all[i].Columns, column)
	}
	ofTable := slices.DeleteFunc(slices.Clone(object.Granted), func(a string) bool { return len(object.Columns) > 0 && isForColumns(a) })
	if len(ofTable) > 0 {
		add(ofTable, "", time.Time{})
	}
	for _, c := range object.Columns {
		if len(c.Granted) > 0 {
			add(c.Granted, c.Name, c.Deadline)
		}
	}
	for i := range all {
		slices.Sort(all[i].Columns)
		if p.isWhole(o, object, all[i].Columns) {
			all[i].Columns = nil
		}
	}
	return all
}

// bounded cuts what the service calls actions to what the schema allows.
func bounded(actions []string) []string {
	out := make([]string, 0, len(actions))
	for _, action := range actions[:min(maxActions, len(actions))] {
		out = append(out, conditions.Cut(action, maxAction))
	}
	return out
}

// isWhole tells whether columns are all that were looked up for a whole table.
func (p *requestPass) isWhole(o *v1alpha1.PermissionOrder, object dataworks.OrderObject, columns []string) bool {
	for _, s := range p.obj.Status.Submissions {
		if !slices.Contains(s.OrderIDs, o.ID) {
			continue
		}
		for _, submitted := range s.Objects {
			if len(submitted.Columns) > 0 && strings.EqualFold(submitted.Name, object.Name) && strings.EqualFold(apiSchema(submitted.SchemaName), apiSchema(object.Schema)) {
				return !slices.ContainsFunc(submitted.Columns, func(name string) bool {
					return !slices.ContainsFunc(columns, func(c string) bool { return strings.EqualFold(c, name) })
				})
			}
		}
	}
	return false
}

// usersOf returns the users of the call that made an order; nil for all of the request.
func (p *requestPass) usersOf(o *v1alpha1.PermissionOrder) []string {
	for _, s := range p.obj.Status.Submissions {
		if slices.Contains(s.OrderIDs, o.ID) {
			return s.UserIDs
		}
	}
	return nil
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
