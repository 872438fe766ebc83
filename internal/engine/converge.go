package engine

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// maxRounds bounds how often one pass plans and applies: a second time for what the first could not say in one call.
const maxRounds = 2

// fewRefusals is how many steps may be refused before one is accepted. What refuses them all is not the single step's fault.
const fewRefusals = 5

// converge closes the difference between what is wanted and what is there, and looks again. It returns the steps that were
// carried out, whatever else happened.
func (r *Reconciler[O, S]) converge(ctx context.Context, obj O, stored *O) (done []plan.Step, message string, err error) {
	want, err := r.Kind.Desired(ctx, obj)
	if err != nil {
		return nil, "", err
	}
	var failed []failure
	for round := 0; ; round++ {
		have, err := r.Kind.Observe(ctx, obj)
		if err != nil {
			return done, "", err
		}
		message := r.Kind.Report(obj, have)
		p := r.Kind.Plan(obj, want, have)
		if stop, err := verdict(p, done, failed, round); stop {
			return done, message, err
		}
		r.Kind.Intend(obj, p)
		if err := r.storeIntent(ctx, obj, stored); err != nil {
			return done, "", err
		}
		var applied []plan.Step
		applied, failed, err = r.apply(ctx, obj, p.Steps)
		done = append(done, applied...)
		if err != nil {
			return done, "", err
		}
	}
}

// verdict decides whether a pass ends with the plan that is left: nothing to do, must not be done, was done and is not visible,
// or was refused.
func verdict(p plan.Plan, done []plan.Step, failed []failure, round int) (stop bool, err error) {
	switch {
	case p.Hold != nil:
		return true, conditions.Stall(p.Hold.Reason, "%s", p.Hold.Message)
	case p.Empty():
		return true, nil
	}
	for _, step := range p.Steps {
		if contains(done, step) {
			// Repeating a write that was just accepted would be fighting a slow mirror.
			return true, conditions.NotVisible(step.String())
		}
	}
	if refused := refusedSteps(p, failed); len(refused) == len(p.Steps) {
		return true, conditions.PartiallyApplied(refused)
	}
	if round == maxRounds {
		return true, conditions.NotVisible(p.Steps[0].String())
	}
	return false, nil
}

// failure is a step that the service refused.
type failure struct {
	step plan.Step
	err  error
}

func contains(steps []plan.Step, step plan.Step) bool {
	for _, s := range steps {
		if s.String() == step.String() {
			return true
		}
	}
	return false
}

func refusedSteps(p plan.Plan, failed []failure) []error {
	var refused []error
	for _, step := range p.Steps {
		for _, f := range failed {
			if f.step.String() == step.String() {
				refused = append(refused, f.err)
			}
		}
	}
	return refused
}

// apply carries steps out in order. A refusal that concerns one permission only does not keep the others from being tried;
// anything else ends the pass.
func (r *Reconciler[O, S]) apply(ctx context.Context, obj O, steps []plan.Step) (done []plan.Step, failed []failure, err error) {
	logger := log.FromContext(ctx)
	defer func() {
		if len(done) > 0 {
			obj.SetLastAppliedTime(metav1.NewTime(r.Clock.Now()))
		}
	}()
	for _, step := range steps {
		err := r.Kind.Apply(ctx, obj, step)
		switch {
		case err == nil:
			done = append(done, step)
			logger.V(1).Info("Applied step", "step", step.String())
		case cloud.CodeOf(err) == cloud.AlreadyExists:
			// The next look tells whose it is.
			return done, append(failed, failure{step, err}), nil
		case step.Verb.Independent() && cloud.Refused(err) && !concernsAll(err) && (len(done) > 0 || len(failed) < fewRefusals):
			failed = append(failed, failure{step, err})
			logger.Info("Step was refused", "step", step.String(), "cause", err.Error(), "requestID", cloud.RequestID(err))
		default:
			return done, failed, err
		}
	}
	return done, failed, nil
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
