package conditions

import (
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

const (
	// maxDrift is how many differences a status lists.
	maxDrift = 20
	// maxActions and maxName are what the schema allows in one of them.
	maxActions = 32
	maxName    = 512
)

// maxUnsettled is how many passes in a row may write without effect before no more is written.
const maxUnsettled = 3

// maxCorrections is how many times in a row the same difference is corrected before it is left to whoever makes it.
const maxCorrections = 3

// maxStep is what the schema allows in the text of a recurring step.
const maxStep = 256

// settle is how long the service is given to show a write before it is repeated; doubled each time.
const settle = 5 * time.Second

// Target is an object that manages something in the cloud.
type Target interface {
	Object
	// GetTargetStatus gives access to what is known of the object in the cloud.
	GetTargetStatus() *v1alpha1.TargetStatus
	// IsObserved tells whether the object only looks.
	IsObserved() bool
}

// SetApplied records when something was last written to the cloud.
func SetApplied(obj Target, now time.Time) {
	obj.GetTargetStatus().LastAppliedTime = new(metav1.NewTime(now))
}

// OwnsAnything tells whether there is, or may be, something in the cloud that an object put there.
func OwnsAnything(obj Target) bool {
	status := obj.GetTargetStatus()
	return status.Created || status.Creating || len(status.Applied) > 0
}

// Claims reports whether an object has created, adopted or granted something in the cloud, or may have.
func Claims(obj Target) bool { return OwnsAnything(obj) || obj.GetTargetStatus().Adopted }

// SetDrift records what differs and was not corrected.
func SetDrift(obj Target, steps []plan.Step) {
	var drift []v1alpha1.DriftEntry
	for _, step := range steps {
		drift = append(drift, driftOf(step)...)
	}
	status := obj.GetTargetStatus()
	status.DriftCount = count(len(drift))
	status.Drift = drift[:min(maxDrift, len(drift)):min(maxDrift, len(drift))]
	putOrRemove(obj, v1alpha1.DriftedCondition, obj.IsObserved() && len(drift) > 0,
		Outcome{Reason: v1alpha1.ReasonObserved, Message: "to be as specified: " + plan.Outline(steps)})
}

// driftOf lists a step's differences: one entry per object and per member.
func driftOf(step plan.Step) []v1alpha1.DriftEntry {
	var drift []v1alpha1.DriftEntry
	add := func(change plan.Verb, entry plan.Entry) {
		drift = append(drift, v1alpha1.DriftEntry{
			Change: v1alpha1.DriftChange(change), Kind: entry.Kind, SchemaName: entry.SchemaName, Name: Cut(entry.Name, maxName),
			Actions: entry.Actions[:min(maxActions, len(entry.Actions))],
		})
	}
	switch step.Verb {
	case plan.Adopt, plan.Delete:
	case plan.AddMember, plan.RemoveMember:
		for _, member := range step.Members {
			add(step.Verb, plan.Entry{Kind: "Member", Name: member})
		}
	case plan.SetPolicy:
		add(step.Verb, plan.Entry{Kind: "Policy", Name: step.Name})
	case plan.Create:
		add(step.Verb, step.Entry)
		for _, content := range step.Contents {
			add(step.Fills(), content)
		}
	case plan.Add, plan.Remove:
		for _, content := range step.Contents {
			add(step.Verb, content)
		}
	case plan.Replace:
		if step.Kind == plan.KindAllowedProject {
			add(plan.Allow, step.Entry)
			break
		}
		more, less := step.Entry, step.Entry
		more.Actions, less.Actions = plan.Without(step.Actions, step.Previous), plan.Without(step.Previous, step.Actions)
		if len(more.Actions) > 0 {
			add(plan.Add, more)
		}
		if len(less.Actions) > 0 {
			add(plan.Remove, less)
		}
	default:
		add(step.Verb, step.Entry)
	}
	return drift
}

// Held is the outcome of a plan that must not be carried out, or not yet.
func Held(hold plan.Hold) error {
	outcome := Outcome{State: Stalled, Reason: hold.Reason, Message: hold.Message, RetryAfter: hold.RetryAfter}
	if hold.Wait {
		outcome.State = Reconciling
	}
	return &outcomeError{outcome: outcome}
}

// SetPending records a plan that waits for approval; nil for none.
func SetPending(obj Target, p *plan.Plan) {
	status := obj.GetTargetStatus()
	status.PendingPlan = nil
	if p != nil {
		status.PendingPlan = &v1alpha1.PendingPlan{
			Hash: p.Hash(), Summary: shorten(plan.Outline(p.Steps)), Grants: count(p.Grants()), Revokes: count(p.Revokes()),
		}
	}
}

// Approval returns the hash of the plan that a user approves, or "".
func Approval(obj metav1.Object) string {
	return obj.GetAnnotations()[v1alpha1.ApprovePlanAnnotation]
}

// IsApproved tells whether somebody has approved the plan that waits for it.
func IsApproved(obj Target) bool {
	pending := obj.GetTargetStatus().PendingPlan
	return pending != nil && Approval(obj) == pending.Hash
}

// Basis describes what never repeats in the life of an object: its generation, and when something was last written for it. As part of
// what a plan's hash covers, it makes an approval good for one plan at one time.
func Basis(obj Target) string {
	applied := "never"
	if last := obj.GetTargetStatus().LastAppliedTime; last != nil {
		applied = last.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("generation %d, applied %s\n", obj.GetGeneration(), applied)
}

// Unapproved returns the outcome of a plan that takes away more than limit allows and that nobody has approved, or nil. An approved plan
// stays on record as pending until it has been carried out, so that a pass that is interrupted can go on with it.
func Unapproved(obj Target, p plan.Plan, limit int) error {
	hash, approved := p.Hash(), Approval(obj)
	if !p.Exceeds(limit) {
		return nil
	}
	SetPending(obj, &p)
	if approved == hash {
		obj.GetTargetStatus().ApprovedPlan = hash
		return nil
	}
	other := ""
	if approved != "" {
		other = "; the annotation's present value approves another plan"
	}
	return Stall(v1alpha1.ReasonRevokeLimitExceeded, "the plan would take away %d of the %d permissions and members that are there: %s. To let it be carried out, set the annotation %s: %s%s",
		p.Revokes(), p.Holds, plan.Outline(p.Steps), v1alpha1.ApprovePlanAnnotation, hash, other)
}

// CarriedOut closes the record of an approved plan of which nothing is left to do. One that an interrupted pass has carried out counts as
// applied now, so that its approval is used up.
func CarriedOut(obj Target, now time.Time) {
	status := obj.GetTargetStatus()
	if status.PendingPlan != nil && status.PendingPlan.Hash == status.ApprovedPlan {
		SetApplied(obj, now)
	}
	status.PendingPlan = nil
}

// GivenUp returns the outcome of an object whose writes had no effect too many times, or were undone too many times, or nil. A user who
// edits the spec or asks for a pass has the writes tried again.
func GivenUp(obj Target, p plan.Plan) error {
	status := obj.GetTargetStatus()
	undone := slices.IndexFunc(status.Recurring, func(r v1alpha1.RecurringCorrection) bool { return r.Times >= maxCorrections && isIn(r, p) })
	if status.Unsettled < maxUnsettled && undone < 0 {
		return nil
	}
	if IsRequested(obj) || !IsCurrent(obj) {
		status.Unsettled, status.Recurring = 0, nil
		return nil
	}
	if undone < 0 {
		return nonConvergent(p)
	}
	return Stall(v1alpha1.ReasonNonConvergent,
		"something else undoes a correction each time, %d times in a row: %s. Nothing more is written until the spec changes or a reconcile is requested; find out what else changes %s",
		maxCorrections, status.Recurring[undone].Step, p.Steps[0].Kind+" "+p.Steps[0].Name)
}

// Recurs returns the count of the steps that correct drift, to be recorded once they are carried out. A step recurs if the correction
// before has corrected the same, not longer ago than within.
func Recurs(obj Target, p plan.Plan, now time.Time, within time.Duration) (recurring []v1alpha1.RecurringCorrection) {
	status, before := obj.GetTargetStatus(), map[string]int32{}
	if last := status.LastAppliedTime; last != nil && now.Sub(last.Time) <= within {
		for _, r := range status.Recurring {
			before[r.Step] = r.Times
		}
	}
	for _, step := range p.Steps[:min(maxDrift, len(p.Steps))] {
		text := stepText(step)
		recurring = append(recurring, v1alpha1.RecurringCorrection{Step: text, Times: before[text] + 1})
	}
	return recurring
}

func isIn(r v1alpha1.RecurringCorrection, p plan.Plan) bool {
	return slices.ContainsFunc(p.Steps, func(step plan.Step) bool { return stepText(step) == r.Step })
}

// stepText names a step. Two changes of a policy are the same if they replace the same one.
func stepText(step plan.Step) string {
	text := step.String()
	if step.Verb == plan.SetPolicy {
		sum := sha256.Sum256([]byte(step.PreviousPolicy))
		text = fmt.Sprintf("%s (it was %x)", text, sum[:4])
	}
	return Cut(text, maxStep)
}

// Unsettled counts a pass whose writes were accepted and had no effect, and returns its outcome.
func Unsettled(obj Target, p plan.Plan, step plan.Step) error {
	status := obj.GetTargetStatus()
	status.Unsettled++
	if status.Unsettled >= maxUnsettled {
		return nonConvergent(p)
	}
	outcome := Outcome{
		State: Reconciling, Reason: v1alpha1.ReasonProgressing, Message: "accepted by the service but not visible yet: " + step.String(),
		RetryAfter: settle << (status.Unsettled - 1),
	}
	return &outcomeError{outcome: outcome}
}

func nonConvergent(p plan.Plan) error {
	more := ""
	if len(p.Steps) > 1 {
		more = "; in all: " + plan.Outline(p.Steps)
	}
	return Stall(v1alpha1.ReasonNonConvergent, "accepted by the service %d times and never to be seen there: %s%s. Nothing more is written until the spec changes or a pass is asked for",
		maxUnsettled, p.Steps[0], more)
}

// Settled says that the cloud is as the last writes left it.
func Settled(obj Target) {
	status := obj.GetTargetStatus()
	status.Unsettled = 0
	if slices.ContainsFunc(status.Recurring, func(r v1alpha1.RecurringCorrection) bool { return r.Times >= maxCorrections }) && !IsReady(obj) {
		// Whatever undid the corrections has stopped: a fight that begins later is another one.
		status.Recurring = nil
	}
}

func count(n int) int32 { return int32(min(n, math.MaxInt32)) } //nolint:gosec // bounded on the same line
