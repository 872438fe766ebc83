package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// maxRounds bounds how often one pass plans and applies: once more for what could not be said in
// one call, and once for an adoption.
const maxRounds = 3

// converge closes the difference between what is wanted and what is there, and looks again. It
// returns the steps that were carried out, whatever else happened, and a line about what was seen.
func (r *Reconciler[O, S]) converge(ctx context.Context, obj O, stored *O) (done []plan.Step, message string, err error) {
	want, err := r.Kind.Desired(ctx, obj)
	if err != nil {
		return nil, "", err
	}
	so := progress{known: r.memory.of(obj, r.Clock.Now())}
	defer func() {
		if so.applied {
			r.memory.keep(obj, so.known, so.failed)
		}
	}()
	for ; ; so.round++ {
		over, message, err := r.round(ctx, obj, want, stored, &so)
		if over || err != nil {
			return so.done, message, err
		}
	}
}

// round looks at what is there, plans and applies once. It reports whether nothing more can be done
// in this pass.
func (r *Reconciler[O, S]) round(ctx context.Context, obj O, want S, stored *O, so *progress) (over bool, message string, err error) {
	have, err := r.Kind.Observe(ctx, obj)
	if err != nil {
		return true, "", err
	}
	r.Passes.Looked(obj.GetUID())
	message = r.Kind.Report(obj, want, have)
	p := r.plan(obj, want, have)
	drifted := so.round == 0 && isDrift(obj, p)
	if drifted {
		r.Passes.Drifted(obj.GetUID())
	}
	if stop, err := r.verdict(obj, p, so); stop {
		conditions.SetDrift(obj, p.Steps)
		return true, message, err
	}
	steps, err := r.intend(ctx, obj, p.Steps, stored)
	if err != nil {
		return true, "", err
	}
	before, recurring := len(so.done), conditions.Recurs(obj, p, r.Clock.Now(), recurringWithin*cmp.Or(obj.GetInterval(), r.DefaultInterval))
	err = r.apply(ctx, obj, steps, so)
	if drifted && len(so.done) > before {
		// Only what was carried out can have been undone when it is to be done again.
		obj.GetTargetStatus().Recurring = recurring
	}
	if err != nil {
		return true, "", err
	}
	partial, idle := len(steps) < len(p.Steps), len(so.done) == before
	if refused := so.refused(p); idle && (partial || len(refused) == len(p.Steps)) && steps[0].Verb != plan.Create {
		// Nothing was changed, so there is nothing new to look at.
		conditions.SetDrift(obj, p.Steps)
		return true, message, partially(p, refused)
	}
	if partial && !idle {
		// The rest has its turn in the next round, as often as there is one.
		so.round--
	}
	return false, message, nil
}

// recurringWithin is how many intervals may lie between two corrections that follow one another.
const recurringWithin = 2

// plan compares, and makes the plan's hash one of this generation and this time.
func (r *Reconciler[O, S]) plan(obj O, want, have S) plan.Plan {
	p := r.Kind.Plan(obj, want, have)
	p.Basis = conditions.Basis(obj) + p.Basis
	return p
}

// intend records what steps are about to add, before anything of it is done, makes sure that it is
// this object's to do, and returns the steps that are on record. If the API server cannot store all
// at once, these are fewer: first those that take away, and then as much of the others as it
// stores.
func (r *Reconciler[O, S]) intend(ctx context.Context, obj O, steps []plan.Step, stored *O) ([]plan.Step, error) {
	before, first := Snapshot(obj), !conditions.Claims(obj)
	for {
		r.Kind.Intend(obj, plan.Plan{Steps: steps})
		err := r.WriteIntent(ctx, obj, stored)
		if err == nil {
			err = r.Kind.Confirm(ctx, obj, first)
		}
		if !isRefused(err) {
			return steps, err
		}
		restore(obj, before)
		if steps = plan.Part(steps); len(steps) == 0 {
			return nil, conditions.Unstorable(err)
		}
	}
}

// verdict decides whether a pass ends with the plan that is left: nothing to do, must not be done,
// was done and is not visible, or was refused.
func (r *Reconciler[O, S]) verdict(obj O, p plan.Plan, so *progress) (stop bool, err error) {
	deleting := !obj.GetDeletionTimestamp().IsZero()
	if p.Empty() {
		conditions.CarriedOut(obj, r.Clock.Now())
	}
	conditions.SetPending(obj, nil)
	switch {
	case obj.IsObserved():
		return true, p.Failure
	case p.Hold != nil:
		return true, conditions.Held(*p.Hold)
	case p.Empty() && p.Failure != nil:
		return true, p.Failure
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

// isDrift reports whether an object that was as specified is not any more, though nobody has
// changed it. It does not matter whether somebody asked for the look that finds that.
func isDrift(obj Object, p plan.Plan) bool {
	unchanged := conditions.IsDecided(obj) && obj.GetDeletionTimestamp().IsZero()
	return unchanged && conditions.IsReady(obj) && !obj.IsObserved() && len(p.Steps) > 0
}

// partially is the outcome of a pass that is left with parts that could not be read, refused steps
// and problems; nil if there are none.
func partially(p plan.Plan, refused []error) error {
	if p.Failure != nil {
		return p.Failure
	}
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
