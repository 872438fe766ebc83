package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// How many steps may be refused before one is accepted: what refuses them all is not the single
// step's fault. An identity that lacks a right lacks it for most, while fifty tables may well not
// be there.
const (
	fewRefusals  = 5
	manyRefusals = 50
)

// maxFailures is how many steps of a lane may fail one after the other, in a way that says nothing
// about the single step, before the rest of the lane is left for the next pass. One is enough where
// the failure meets every call, or each try may take half a minute.
const maxFailures = 3

// lane is a group of steps that share their luck: a failure in one lane says nothing about another.
// What must be taken away is never kept waiting by what cannot be added.
type lane int

const (
	adds lane = iota
	takes
	// rebuilds remove something and add it again, so each that fails may leave a gap.
	rebuilds
	lanes
)

func laneOf(step plan.Step) lane {
	switch {
	case step.Rebuilds():
		return rebuilds
	case step.Revokes() > 0:
		return takes
	}
	return adds
}

// progress is what a pass has done so far.
type progress struct {
	round int
	// done are the steps that were carried out, failed those of the last round that were not, in
	// the order of the plan.
	done   []plan.Step
	failed []failure
	// closed are why the steps of a lane are not tried any more in this round; inARow counts the
	// failures that may close it.
	closed [lanes]error
	inARow [lanes]int
	known  memories
	// applied says that steps were tried at all.
	applied bool
}

// failure is a step that was not carried out. It was not refused if its error says nothing about
// this step alone, and not tried if the error is that of another step, or of an earlier pass.
type failure struct {
	step    plan.Step
	err     error
	refused bool
	tried   bool
}

// apply carries steps out. A failure does not keep the others from being tried, unless it seems to
// concern a whole lane of them.
func (r *Reconciler[O, S]) apply(ctx context.Context, obj O, steps []plan.Step, so *progress) error {
	so.applied, so.failed, so.closed, so.inARow = true, nil, [lanes]error{}, [lanes]int{}
	for _, step := range so.known.sorted(steps) {
		if err := cmp.Or(so.closed[laneOf(step)], so.heldBack(step)); err != nil {
			so.failed = append(so.failed, failure{step: step, err: err, refused: true})
			continue
		}
		if err := so.known.refusalOf(step); err != nil {
			so.failed = append(so.failed, failure{step: step, err: err, refused: true})
			continue
		}
		err := r.carryOut(ctx, obj, step, so)
		switch {
		case err == nil:
			so.succeeded(step)
		case step.Verb == plan.Create && cloud.CodeOf(err) == cloud.AlreadyExists:
			// The next look tells whose it is.
			so.failed = append(so.failed, failure{step: step, err: err, refused: true})
			return nil
		case conditions.IsShutdown(ctx, err), !conditions.Explains(err):
			return err
		default:
			r.Passes.Refused(step)
			log.FromContext(ctx).Info("Step failed", "step", step.String(), "cause", err.Error(), "requestID", cloud.RequestID(err))
			so.fail(step, err)
			if !step.Verb.Independent() {
				conditions.SetDrift(obj, remaining(steps, so.done))
				return err
			}
		}
	}
	return so.verdict(func() { conditions.SetDrift(obj, remaining(steps, so.done)) })
}

// carryOut carries one step out, and takes note of what was done of it, also if the rest was
// refused.
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

// succeeded notes that a step was carried out: the service is there, and what was refused before
// may have become possible as well.
func (so *progress) succeeded(step plan.Step) {
	so.inARow[laneOf(step)] = 0
	if so.known.has(step) {
		so.known = memories{}
	}
}

// fail notes that a step was tried and failed, and closes its lane if there is no hope for the rest
// of it.
func (so *progress) fail(step plan.Step, err error) {
	in := laneOf(step)
	refused := step.Verb.Independent() && cloud.Refused(err) && !concernsAll(err)
	so.failed = append(so.failed, failure{step: step, err: err, refused: refused, tried: true})
	if refused {
		if len(so.done) == 0 && so.refusals(in) > limitOf(err) {
			so.closed[in] = err
		}
		return
	}
	so.inARow[in]++
	if so.inARow[in] >= maxFailures || in == rebuilds || concernsAll(err) || cloud.IsUnanswered(err) {
		so.closed[in] = err
	}
}

// verdict is the failure with which a round ends that was about more than single steps; nil if
// there was none. record is called first if there is one.
func (so *progress) verdict(record func()) error {
	for _, f := range so.failed {
		if !f.refused {
			record()
			return f.err
		}
	}
	for _, err := range so.closed {
		if err != nil {
			record()
			return err
		}
	}
	return nil
}

// refused returns why the steps of a plan were refused in the last round, those that were.
func (so *progress) refused(p plan.Plan) []error {
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

// refusals counts the steps of a lane that were tried and refused.
func (so *progress) refusals(in lane) int {
	n := 0
	for _, f := range so.failed {
		if f.tried && f.refused && laneOf(f.step) == in {
			n++
		}
	}
	return n
}

// heldBack is why a step must not be carried out that lets somebody in: a permission that was to be
// taken away is still there, so they would get what nobody wants them to have.
func (so *progress) heldBack(step plan.Step) error {
	if !step.LetsIn() {
		return nil
	}
	for _, f := range so.failed {
		if f.step.TakesAccess() && !cloud.IsNotFound(f.err) {
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

// remaining are the steps that were not carried out.
func remaining(steps, done []plan.Step) []plan.Step {
	return slices.DeleteFunc(slices.Clone(steps), func(step plan.Step) bool { return contains(done, step) })
}

// concernsAll reports whether a failure would meet every other step as well.
func concernsAll(err error) bool {
	switch cloud.CodeOf(err) {
	case cloud.AuthenticationFailed, cloud.ProjectNotFound:
		return true
	case cloud.RemoteUnavailable:
		return cloud.IsThrottled(err)
	default:
		return false
	}
}
