package controllers

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// create makes the target with what a step puts into it; if that is refused, because of one entry perhaps, it makes it bare, and the
// engine's next round adds each entry on its own, so that one table that does not exist does not cost the others.
func create(obj target, step plan.Step, create func(contents acl.Set) error) error {
	err := create(grants(step.Contents...))
	// One that has failed before and fails again may fail for what it holds, whatever it says.
	bare := len(step.Contents) > 0 && (refusedForContent(err) || step.Repeat && !cloud.Refused(err) && !meetsAll(err) && !mayMeetAll(err))
	if bare {
		err = create(acl.Set{})
		if cloud.CodeOf(err) == cloud.AlreadyExists {
			// It may be the refused call that made it. The next look tells by what it holds.
			return err
		}
	}
	status := obj.GetTargetStatus()
	switch {
	case err == nil:
		status.Created, status.Creating, status.CreatingTime, status.Adopted = true, false, nil, false
	case cloud.CodeOf(err) == cloud.AlreadyExists && status.Created:
		// It was not to be seen, and is there: nothing is open.
		status.Creating, status.CreatingTime = false, nil
	case cloud.Refused(err) && !step.Repeat:
		// The service says that this create did nothing, and there was none before: whatever exists is not ours.
		status.Creating, status.CreatingTime, status.Applied = false, nil, nil
	}
	if bare && err == nil {
		step.Contents = nil
		return &plan.Partial{Done: step}
	}
	return err
}

// settleCreate decides about a create whose outcome was lost: what holds nothing but what this object asked for is taken for the one it
// asked for. Any other may be somebody else's: with adoptionPolicy Adopt it is treated as such, and otherwise nothing is done to it.
func settleCreate(obj target, covered bool) {
	status := obj.GetTargetStatus()
	switch {
	case covered:
		status.Created, status.Creating, status.CreatingTime = true, false, nil
	case obj.GetAdoptionPolicy() == v1alpha1.AdoptionAdopt && obj.GetDeletionTimestamp().IsZero():
		status.Creating, status.CreatingTime, status.Applied = false, nil, nil
	}
}

// admit holds a plan back if it is about something that is there and that the object may not change. entry names it.
func admit(obj target, p plan.Plan, entry plan.Entry) plan.Plan {
	status := obj.GetTargetStatus()
	switch {
	case obj.IsObserved(), status.Created, status.Adopted:
	case status.Creating:
		p.Hold = unknownCreate(obj)
	case obj.GetAdoptionPolicy() != v1alpha1.AdoptionAdopt:
		p.Hold = &plan.Hold{Reason: v1alpha1.ReasonAlreadyExists, Message: obj.GetTarget().String() + " exists and was not created by this object; adoptionPolicy: Adopt would " + brief(p)}
	case len(p.Steps) == 0:
		p.Steps = []plan.Step{{Verb: plan.Adopt, Entry: entry}}
	}
	return p
}

// unknownCreate holds a plan back because nobody can tell whether the object made what is there.
func unknownCreate(obj target) *plan.Hold {
	ways := "bring it under management with adoptionPolicy: Adopt, or delete this object with deletionPolicy: Retain"
	if !obj.GetDeletionTimestamp().IsZero() {
		ways = "or delete this object with deletionPolicy: Retain"
	}
	return &plan.Hold{Reason: v1alpha1.ReasonCreateResultUnknown, Message: fmt.Sprintf(
		"%s exists; the outcome of creating it was lost, and it holds what this object did not ask for, so it may be somebody else's. Remove it if it is not needed, %s", obj.GetTarget(), ways)}
}

// brief names the difference and its first steps.
func brief(p plan.Plan) string {
	const named = 5
	if len(p.Steps) == 0 {
		return "change nothing"
	}
	var list []string
	for _, step := range p.Steps[:min(named, len(p.Steps))] {
		list = append(list, step.String())
	}
	if len(p.Steps) > named {
		list = append(list, fmt.Sprintf("and %d more", len(p.Steps)-named))
	}
	return plan.Outline(p.Steps) + ": " + strings.Join(list, "; ")
}

// verdictOn is the line of the Ready condition of an object that nothing more is to be done about.
func verdictOn(obj target) string {
	if obj.IsObserved() {
		return obj.GetTarget().String() + " was looked at"
	}
	return obj.GetTarget().String() + " is as specified"
}

// oneByOne makes one call for all items, and if that fails, one for each, so that one of them that is broken, in whatever way, costs the
// others nothing. Its error joins the failures, those first that say nothing about the single item. part makes a step of the items for
// which it was done, if others failed.
func oneByOne[T any](items []T, part func([]T) plan.Step, call func(...T) error) error {
	err := call(items...)
	if err == nil || len(items) == 1 || meetsAll(err) || cloud.IsThrottled(err) {
		return err
	}
	var done []T
	var refusals, failures []error
	begin := conditions.Chance().IntN(len(items)) // any will do, if only each item is the first at some time
	for n := range items {
		item := items[(begin+n)%len(items)]
		switch err := call(item); {
		case err == nil:
			done = append(done, item)
		case refusedForContent(err):
			refusals = append(refusals, err)
		default:
			failures = append(failures, err)
			if meetsAll(err) || mayMeetAll(err) || len(failures) >= maxItemFailures {
				return partly(part(done), len(done), joined(failures, refusals))
			}
		}
	}
	return partly(part(done), len(done), joined(failures, refusals))
}

// maxItemFailures is how many items may fail in a way that says nothing about them before the rest is left for the next pass.
const maxItemFailures = 3

// joined makes one error of many, in an order that does not depend on where they began.
func joined(failures, refusals []error) error {
	byText := func(a, b error) int { return strings.Compare(a.Error(), b.Error()) }
	slices.SortFunc(failures, byText)
	slices.SortFunc(refusals, byText)
	return errors.Join(slices.Concat(failures, refusals)...)
}

// meetsAll reports whether a failed call says that no other would succeed, or that none may be made.
func meetsAll(err error) bool {
	code := cloud.CodeOf(err)
	return code == "" || code == cloud.AuthenticationFailed || code == cloud.ProjectNotFound
}

// mayMeetAll reports whether a failed call says that another one may well fail for the same cause: one more will tell.
func mayMeetAll(err error) bool { return cloud.IsUnanswered(err) || cloud.IsThrottled(err) }

// partly is the outcome of a step of which something was done, if n is more than 0, before or beside a failure.
func partly(done plan.Step, n int, err error) error {
	if err == nil || n == 0 {
		return err
	}
	return &plan.Partial{Done: done, Err: err}
}

// refusedForContent tells whether a request may succeed with less in it.
func refusedForContent(err error) bool {
	switch cloud.CodeOf(err) {
	case cloud.RemoteRejected, cloud.NotFound, cloud.PermissionDenied:
		return true
	default:
		return false
	}
}
