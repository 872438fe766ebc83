package conditions

import (
	"math"
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

// IsApproved tells whether somebody has approved the plan that waits for it.
func IsApproved(obj Target) bool {
	pending := obj.GetTargetStatus().PendingPlan
	return pending != nil && obj.GetAnnotations()[v1alpha1.ApprovePlanAnnotation] == pending.Hash
}

// Unapproved returns the outcome of a plan that takes away more than limit allows and that nobody has approved, or nil.
func Unapproved(obj Target, p plan.Plan, limit int) error {
	hash := p.Hash()
	approved := obj.GetAnnotations()[v1alpha1.ApprovePlanAnnotation]
	if !p.Exceeds(limit) || approved == hash {
		return nil
	}
	SetPending(obj, &p)
	other := ""
	if approved != "" {
		other = "; the annotation's present value approves another plan"
	}
	return Stall(v1alpha1.ReasonRevokeLimitExceeded, "the plan would take away %d of the %d permissions and members that are there: %s. To let it be carried out, set the annotation %s: %s%s",
		p.Revokes(), p.Holds, plan.Outline(p.Steps), v1alpha1.ApprovePlanAnnotation, hash, other)
}

// GivenUp returns the outcome of an object whose writes had no effect too many times, or nil. Whoever edits the spec or asks for a pass
// has the writes tried again.
func GivenUp(obj Target, p plan.Plan) error {
	status := obj.GetTargetStatus()
	if status.Unsettled < maxUnsettled {
		return nil
	}
	if IsRequested(obj) || !IsCurrent(obj) {
		status.Unsettled = 0
		return nil
	}
	return nonConvergent(p)
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
func Settled(obj Target) { obj.GetTargetStatus().Unsettled = 0 }

func count(n int) int32 { return int32(min(n, math.MaxInt32)) } //nolint:gosec // bounded on the same line
