package engine

import (
	"context"

	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// Preview returns what a pass over an object would do first, without writing anything to the cloud or to the API server. Its error says
// why a pass would not do it, or could not: what stalls the object or has it wait, or the failure of a look. With an error the plan is
// what would be done if it were not for that, as far as it is known. obj is changed as a pass would change it.
func (r *Reconciler[O, S]) Preview(ctx context.Context, obj O) (plan.Plan, error) {
	want, err := r.Kind.Desired(ctx, obj)
	if err != nil {
		return plan.Plan{}, err
	}
	have, err := r.Kind.Observe(ctx, obj)
	if err != nil {
		return plan.Plan{}, err
	}
	r.Kind.Report(obj, want, have)
	p := r.plan(obj, want, have)
	if _, err = r.verdict(obj, p, &progress{}); err == nil {
		err = p.Failure
	}
	return p, err
}
