package controllers

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// maxRevocations is how many calls are made in one pass before what was done is recorded.
const maxRevocations = 100

// taking is what a pass has found out that it takes to revoke, and what has come of it.
type taking struct {
	// calls is how many were made.
	calls int
	// names are those of accounts, or why there is none.
	names map[string]accountName
	// others are the requests of the same project, and refreshed their orders that were looked at.
	others    []*v1alpha1.PermissionApply
	refreshed map[string]error
	// unconfirmed are the revocations that were sent, by the id of the account.
	unconfirmed map[string][]revocation
	// done are the accounts that have nothing left of an entry that was tried.
	done     map[grantedEntry][]string
	failures []error
}

type accountName struct {
	name    string
	failure error
}

// grantedEntry is the place of an entry in the status.
type grantedEntry struct{ order, granted int }

// revocation is what was taken away from an account.
type revocation struct {
	entry   grantedEntry
	user    string
	actions []string
	// answer is nil if the service said that it was done, in words that are known.
	answer error
}

// full reports whether the calls of a pass are used up. Each account takes one more, to confirm.
func (t *taking) full() bool { return t.calls+len(t.unconfirmed) >= maxRevocations }

// revoke revokes what has to go: with the object all that has not ended, and before that, what has
// come to an end which is the operator's to bring about. What fails does not keep the rest, and is
// not always the first to be tried. Only what is confirmed is recorded as revoked.
func (p *requestPass) revoke(ctx context.Context) error {
	due := p.due()
	if len(due) == 0 {
		return nil
	}
	if err := p.prepareToTake(ctx); err != nil {
		return err
	}
	begin, more := conditions.Chance().IntN(len(due)), false // any order will do
	for n := range due {
		if more = p.taken.full(); more || !p.revokeEntry(ctx, due[(begin+n)%len(due)]) {
			break
		}
	}
	p.confirm(ctx)
	p.recordRevoked()
	if failures := p.taken.failures; len(failures) > 0 {
		p.refused()
		if err := worst(failures); failed(err) || !conditions.Explains(err) {
			return err
		}
		// In one order, wherever it began.
		slices.SortFunc(failures, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return conditions.PartiallyApplied(failures)
	}
	if more {
		p.within(shortestSleep)
		return conditions.Wait(v1alpha1.ReasonProgressing, "permissions are being revoked")
	}
	return nil
}

// due are the entries that have to go.
func (p *requestPass) due() []grantedEntry {
	var due []grantedEntry
	now := p.Clock.Now()
	for i := range p.obj.Status.Orders {
		for j := range p.obj.Status.Orders[i].Granted {
			if p.hasToGo(&p.obj.Status.Orders[i].Granted[j], now) {
				due = append(due, grantedEntry{i, j})
			}
		}
	}
	return due
}

// hasToGo tells whether the operator has to take a permission away.
func (p *requestPass) hasToGo(g *v1alpha1.GrantedObject, now time.Time) bool {
	inEffect := isInEffect(&p.obj.Status, g, now)
	switch {
	case g.Revoked:
		return false
	case p.deleting:
		return inEffect || g.RevokeAtEnd
	}
	return g.RevokeAtEnd && !inEffect
}

// noteRevoked says that all of an order was revoked.
func (p *requestPass) noteRevoked(o *v1alpha1.PermissionOrder) {
	now := p.Clock.Now()
	if o.RevokedAt != nil || slices.ContainsFunc(o.Granted, func(g v1alpha1.GrantedObject) bool { return p.hasToGo(&g, now) || isInEffect(&p.obj.Status, &g, now) }) {
		return
	}
	o.RevokedAt = moment(now)
	p.notes = append(p.notes, fmt.Sprintf("what order %s had granted was revoked, but for what other requests grant", o.ID))
}

// prepareToTake lists the other requests of the project: what they grant, too, is not taken away.
func (p *requestPass) prepareToTake(ctx context.Context) error {
	if p.taken != nil {
		return nil
	}
	others, err := p.othersOf(ctx)
	if err != nil {
		return err
	}
	p.taken = &taking{
		names: map[string]accountName{}, others: others, refreshed: map[string]error{},
		unconfirmed: map[string][]revocation{}, done: map[grantedEntry][]string{},
	}
	return nil
}

// revokeEntry takes what was granted on a table away from all who got it. It returns false if the
// next would fail as well.
func (p *requestPass) revokeEntry(ctx context.Context, at grantedEntry) bool {
	o := &p.obj.Status.Orders[at.order]
	g := o.Granted[at.granted]
	p.taken.done[at] = nil
	for _, user := range usersOfGrant(p.obj, &g) {
		actions, err := p.unneeded(ctx, &g, user)
		if err == nil && len(actions) == 0 {
			p.taken.done[at] = append(p.taken.done[at], user)
			continue
		}
		if err == nil {
			err = p.revokeFrom(ctx, o, &g, user, actions)
		}
		if err != nil && !isUnclear(err) {
			p.taken.failures = append(p.taken.failures, err)
			if failed(err) {
				return false
			}
			continue
		}
		p.taken.unconfirmed[user] = append(p.taken.unconfirmed[user], revocation{at, user, actions, err})
	}
	return true
}

// isUnclear reports whether the service answered a revocation in a way that says neither that it
// was done nor that it was not.
func isUnclear(err error) bool { return cloud.CodeOf(err) == cloud.UnexpectedResponse }

// recordRevoked records what is gone. The accounts that have nothing left of an entry become an
// entry of their own if others do.
func (p *requestPass) recordRevoked() {
	byPlace := func(a, b grantedEntry) int { return cmp.Or(a.order-b.order, a.granted-b.granted) }
	for _, at := range slices.SortedFunc(maps.Keys(p.taken.done), byPlace) {
		o, done := &p.obj.Status.Orders[at.order], p.taken.done[at]
		g := o.Granted[at.granted]
		left := slices.DeleteFunc(slices.Clone(usersOfGrant(p.obj, &g)), func(user string) bool { return slices.Contains(done, user) })
		switch {
		case len(left) == 0:
			o.Granted[at.granted].Revoked = true
		case len(done) > 0:
			o.Granted[at.granted].UserIDs = left
			g.UserIDs, g.Revoked = done, true
			o.Granted = append(o.Granted, g)
		}
		p.noteRevoked(o)
	}
}

// revokeFrom takes actions on a table away from a user: by the call that the older API has for some of them, and otherwise by statement, also
// if the call fails or there are no calls left.
func (p *requestPass) revokeFrom(ctx context.Context, o *v1alpha1.PermissionOrder, g *v1alpha1.GrantedObject, user string, actions []string) error {
	byCall, byStatement, refusal := []string(nil), actions, error(nil)
	if o.APIVersion == dataworks.Version2020 {
		byCall = slices.DeleteFunc(slices.Clone(actions), func(a string) bool { return !isForColumns(a) })
	}
	if len(byCall) > 0 {
		refusal = p.revokeByCall(ctx, o, g, user, byCall)
		if refusal != nil && !cloud.Refused(refusal) && !isUnclear(refusal) {
			return refusal
		}
		if refusal == nil {
			byStatement = slices.DeleteFunc(slices.Clone(actions), isForColumns)
		}
	}
	if len(byStatement) == 0 {
		return nil
	}
	err := p.revokeByStatement(ctx, g, user, byStatement)
	if err != nil && refusal != nil && !isUnclear(err) {
		return refusal
	}
	return err
}

func (p *requestPass) revokeByCall(ctx context.Context, o *v1alpha1.PermissionOrder, g *v1alpha1.GrantedObject, user string, actions []string) error {
	service, err := p.account.DataWorks(o.APIVersion)
	if err != nil {
		return err
	}
	p.taken.calls++
	return p.noticed(service.Revoke(ctx, dataworks.Revocation{
		Project: p.obj.Spec.ProjectName, WorkspaceID: p.obj.Spec.WorkspaceID, Table: g.Name, Actions: actions, UserID: user,
	}))
}

func (p *requestPass) revokeByStatement(ctx context.Context, g *v1alpha1.GrantedObject, user string, actions []string) error {
	known := slices.DeleteFunc(slices.Clone(actions), func(a string) bool { return !dataworks.IsTableAction(a) })
	if len(known) < len(actions) {
		unknown := slices.DeleteFunc(slices.Clone(actions), dataworks.IsTableAction)
		failure := conditions.Wait(v1alpha1.ReasonPartiallyApplied, "%s on table %s cannot be revoked from account %s, for this operator does not know what that is: "+
			"revoke it by hand and delete this object with deletionPolicy: Retain", strings.Join(unknown, ", "), g.Name, user)
		if len(known) == 0 {
			return failure
		}
		return cmp.Or(p.revokeByStatement(ctx, g, user, known), failure)
	}
	name, err := p.accountName(ctx, user)
	if cloud.IsNotFound(err) {
		return conditions.Wait(v1alpha1.ReasonPartiallyApplied, "%s on table %s cannot be revoked from account %s, for the tenant has no account with this id that a statement could name: "+
			"revoke it by hand and delete this object with deletionPolicy: Retain", strings.Join(actions, ", "), g.Name, user)
	}
	if err != nil {
		return err
	}
	p.taken.calls++
	err = absent(p.noticed(p.account.MaxCompute.RevokeFromUser(ctx, p.obj.Spec.ProjectName, g.SchemaName, g.Name, actions, name)))
	if maxcompute.IsNotInProject(err) {
		return p.outOfProject(name)
	}
	return err
}

// accountName is how statements name an account. It is looked up once in a pass.
func (p *requestPass) accountName(ctx context.Context, user string) (string, error) {
	known, ok := p.taken.names[user]
	if !ok {
		p.taken.calls++
		known.name, known.failure = p.account.MaxCompute.AccountName(ctx, user)
		p.taken.names[user] = known
	}
	return known.name, p.noticed(known.failure)
}
