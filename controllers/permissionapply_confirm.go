package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// A revocation from a user is not seen by any other read of the operator, and the service may
// refuse it in words inside a success. So the grants of each user are read once after their
// revocations, and these alone decide. An identity that must not read them leaves the answer to
// the revocation: then it counts as done if the answer is a known success.

// confirm sorts the revocations that were sent into those that took effect and those that did not.
func (p *requestPass) confirm(ctx context.Context) {
	for _, user := range slices.Sorted(maps.Keys(p.taken.unconfirmed)) {
		grants, unread := p.grantsOf(ctx, user)
		for _, r := range p.taken.unconfirmed[user] {
			failure := p.verdict(r, grants, unread)
			if failure != nil {
				p.taken.failures = append(p.taken.failures, failure)
				continue
			}
			p.taken.done[r.entry] = append(p.taken.done[r.entry], user)
		}
		switch {
		case failed(unread):
			return
		case isUnreadable(unread):
			p.notes = append(p.notes, fmt.Sprintf("whether account %s still has what was revoked could not be read, so the answers to the revocations count: %v", user, unread))
		}
	}
}

// grantsOf reads what a user has in the project.
func (p *requestPass) grantsOf(ctx context.Context, user string) (maxcompute.UserGrants, error) {
	name, err := p.accountName(ctx, user)
	if err != nil {
		return maxcompute.UserGrants{}, err
	}
	p.taken.calls++
	grants, err := p.account.MaxCompute.GrantsOfUser(ctx, p.obj.Spec.ProjectName, name)
	if err = p.noticed(err); maxcompute.IsNotInProject(err) {
		err = p.outOfProject(name)
	}
	return grants, err
}

// isUnreadable reports whether nobody can read, with this identity, what an account has: it must
// not, or the account has no name that a statement could use.
func isUnreadable(err error) bool {
	code := cloud.CodeOf(err)
	return code == cloud.PermissionDenied || code == cloud.NotFound || code == cloud.InvalidSpec
}

// verdict is nil if a revocation took effect, as far as that can be known.
func (p *requestPass) verdict(r revocation, grants maxcompute.UserGrants, unread error) error {
	if unread != nil {
		if isUnreadable(unread) {
			return r.answer
		}
		return unread
	}
	g := p.obj.Status.Orders[r.entry.order].Granted[r.entry.granted]
	held := grants.Held(g.SchemaName, g.Name, r.actions)
	if len(held) == 0 {
		return nil
	}
	why := "although the service said that it was revoked"
	if r.answer != nil {
		why = r.answer.Error()
	}
	return conditions.Wait(v1alpha1.ReasonPartiallyApplied, "account %s still has %s on table %s, and the operator tries again (%s): if it stays, "+
		"revoke it by hand, or delete this object with deletionPolicy: Retain", r.user, strings.Join(held, ", "), g.Name, why)
}

// outOfProject is why nothing can be revoked from a user who is not in the project.
func (p *requestPass) outOfProject(name string) error {
	return conditions.Wait(v1alpha1.ReasonPartiallyApplied, "%s is not in project %s any more, and gets back what was granted when added again: "+
		"run PURGE PRIVILEGES FROM USER %s there, and delete this object with deletionPolicy: Retain", name, p.obj.Spec.ProjectName, name)
}
