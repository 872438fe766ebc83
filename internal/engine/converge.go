package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// maxRounds bounds how often one pass plans and applies: once more for what could not be said in one call, and once for an adoption.
const maxRounds = 3

// How many steps may be refused before one is accepted: what refuses them all is not the single step's fault. An identity that lacks a
// right lacks it for most, while fifty tables may well not be there.
const (
	fewRefusals  = 5
	manyRefusals = 50
)

// progress is what a pass has done so far.
type progress struct {
	round int
	// done are the steps that were carried out, failed those that the service refused in the last round.
	done   []plan.Step
	failed []failure
}

// failure is a step that the service refused.
type failure struct {
	step plan.Step
	err  error
}

// converge closes the difference between what is wanted and what is there, and looks again. It returns the steps that were
// carried out, whatever else happened, and a line about what was seen.
func (r *Reconciler[O, S]) converge(ctx context.Context, obj O, stored *O) (done []plan.Step, message string, err error) {
	want, err := r.Kind.Desired(ctx, obj)
	if err != nil {
		return nil, "", err
	}
	var so progress
	for ; ; so.round++ {
		have, err := r.Kind.Observe(ctx, obj)
		if err != nil {
			return so.done, "", err
		}
		r.Passes.Looked(obj.GetUID())
		message := r.Kind.Report(obj, want, have)
		p := r.Kind.Plan(obj, want, have)
		if so.round == 0 && isDrift(obj, p) {
			r.Passes.Drifted(obj.GetUID())
		}
		conditions.SetPending(obj, nil)
		if stop, err := r.verdict(obj, p, so); stop {
			conditions.SetDrift(obj, p.Steps)
			return so.done, message, err
		}
		r.Kind.Intend(obj, p)
		if err := r.WriteIntent(ctx, obj, stored); err != nil {
			return so.done, "", err
		}
		if err := r.apply(ctx, obj, p.Steps, &so); err != nil {
			return so.done, "", err
		}
	}
}

// verdict decides whether a pass ends with the plan that is left: nothing to do, must not be done, was done and is not visible,
// or was refused.
func (r *Reconciler[O, S]) verdict(obj O, p plan.Plan, so progress) (stop bool, err error) {
	deleting := !obj.GetDeletionTimestamp().IsZero()
	switch {
	case obj.IsObserved():
		return true, nil
	case p.Hold != nil:
		return true, conditions.Held(*p.Hold)
	case p.Empty():
		conditions.Settled(obj)
		if len(p.Problems) == 0 {
			r.Passes.Converged(obj.GetUID())
		}
		return true, partially(p, nil)
	}
	if refused := so.refused(p); len(refused) == len(p.Steps) {
		return true, partially(p, refused)
	}
	for _, step := range p.Steps {
		if so.round == maxRounds || contains(so.done, step) {
			// Repeating a write that was just accepted would be fighting a slow mirror.
			return true, conditions.Unsettled(obj, p, step)
		}
	}
	if deleting {
		return false, nil
	}
	err = conditions.GivenUp(obj, p)
	if err == nil {
		err = conditions.Unapproved(obj, p, r.MaxRevocations)
	}
	return err != nil, err
}

// isDrift tells whether an object that was as specified is not any more, though nobody has changed it. It does not matter whether somebody
// asked for the look that finds that.
func isDrift(obj Object, p plan.Plan) bool {
	unchanged := conditions.IsDecided(obj) && obj.GetDeletionTimestamp().IsZero()
	return unchanged && conditions.IsReady(obj) && !obj.IsObserved() && len(p.Steps) > 0
}

// partially is the outcome of a pass that is left with refused steps and problems; nil if there are none.
func partially(p plan.Plan, refused []error) error {
	for _, problem := range p.Problems {
		refused = append(refused, errors.New(problem))
	}
	if len(refused) == 0 {
		return nil
	}
	return conditions.PartiallyApplied(refused)
}

func contains(steps []plan.Step, step plan.Step) bool {
	return slices.ContainsFunc(steps, func(s plan.Step) bool { return s.String() == step.String() })
}

// refused returns why the steps of a plan were refused in the last round, those that were.
func (so progress) refused(p plan.Plan) []error {
	var refused []error
	for _, step := range p.Steps {
		for _, f := range so.failed {
			if f.step.String() == step.String() {
				refused = append(refused, f.err)
			}
		}
	}
	return refused
}

// apply carries steps out in order. A refusal that concerns one permission only does not keep the others from being tried; if it seems to
// concern them all, they are left, but not what has to be taken away. Anything else ends the pass.
func (r *Reconciler[O, S]) apply(ctx context.Context, obj O, steps []plan.Step, so *progress) error {
	logger := log.FromContext(ctx)
	so.failed = nil
	// hopeless are why steps that add are not tried any more, and those that take away.
	hopeless := map[bool]error{}
	for i, step := range steps {
		takes := step.Revokes() > 0
		if err := cmp.Or(hopeless[takes], so.heldBack(step)); err != nil {
			so.failed = append(so.failed, failure{step, err})
			continue
		}
		err := r.carryOut(ctx, obj, step, so)
		switch {
		case err == nil:
		case step.Verb == plan.Create && cloud.CodeOf(err) == cloud.AlreadyExists:
			// The next look tells whose it is.
			so.failed = append(so.failed, failure{step, err})
			return nil
		case step.Verb.Independent() && cloud.Refused(err) && !concernsAll(err):
			so.failed = append(so.failed, failure{step, err})
			r.Passes.Refused(step)
			logger.Info("Step was refused", "step", step.String(), "cause", err.Error(), "requestID", cloud.RequestID(err))
			if len(so.done) == 0 && so.refusals(takes) > limitOf(err) {
				hopeless[takes] = err
			}
		default:
			r.Passes.Refused(step)
			conditions.SetDrift(obj, slices.Concat(stepsOf(so.failed), steps[i:]))
			return err
		}
	}
	if err := cmp.Or(hopeless[false], hopeless[true]); err != nil {
		conditions.SetDrift(obj, stepsOf(so.failed))
		return err
	}
	return nil
}

// carryOut carries one step out, and takes note of what was done of it, also if the rest was refused.
func (r *Reconciler[O, S]) carryOut(ctx context.Context, obj O, step plan.Step, so *progress) error {
	done, err := plan.Outcome(step, r.Kind.Apply(ctx, obj, step))
	if done == nil {
		return err
	}
	so.done = append(so.done, *done)
	r.Passes.Applied(*done)
	if step.Verb != plan.Adopt {
		conditions.SetApplied(obj, r.Clock.Now())
	}
	log.FromContext(ctx).V(1).Info("Applied step", "step", done.String())
	return err
}

// refusals counts the steps that were refused, of those that take away or of the others.
func (so progress) refusals(takes bool) int {
	n := 0
	for _, f := range so.failed {
		if f.step.Revokes() > 0 == takes {
			n++
		}
	}
	return n
}

// heldBack is why a step must not be carried out that lets somebody in: a permission that was to be taken away is still there, so they
// would get what nobody wants them to have.
func (so progress) heldBack(step plan.Step) error {
	if step.Verb != plan.AddMember && (step.Verb != plan.Allow || len(step.Previous) > 0) {
		return nil
	}
	for _, f := range so.failed {
		takes := f.step.Revokes() > 0 && f.step.Verb != plan.RemoveMember && f.step.Verb != plan.Disallow
		if takes && !cloud.IsNotFound(f.err) {
			return fmt.Errorf("%s: not before this is done: %s", step, f.step)
		}
	}
	return nil
}

// limitOf is how many steps may be refused like this before one is accepted.
func limitOf(err error) int {
	if cloud.CodeOf(err) == cloud.PermissionDenied {
		return fewRefusals
	}
	return manyRefusals
}

func stepsOf(failures []failure) []plan.Step {
	var steps []plan.Step
	for _, f := range failures {
		steps = append(steps, f.step)
	}
	return steps
}

// concernsAll tells whether a refusal would meet every other step as well.
func concernsAll(err error) bool {
	switch cloud.CodeOf(err) {
	case cloud.AuthenticationFailed, cloud.ProjectNotFound, cloud.RemoteUnavailable:
		return true
	default:
		return false
	}
}
