package controllers

import (
	"cmp"
	"context"
	"slices"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// prune removes the oldest exports beyond historyLimit, and their files. One at a destination that the object no longer names is taken off
// the list and left where it is: its keys are not known any more.
func (p *exportPass) prune(ctx context.Context) error {
	limit := int(max(p.obj.Spec.HistoryLimit, 1))
	if len(p.obj.Status.Exports) <= limit {
		return nil
	}
	to, err := p.destination(ctx)
	if err != nil {
		return err
	}
	kept, surplus := p.obj.Status.Exports[:limit:limit], p.obj.Status.Exports[limit:]
	// What is listed twice is kept.
	surplus = slices.DeleteFunc(slices.Clone(surplus), func(file v1alpha1.StoredExport) bool { return slices.ContainsFunc(kept, isAt(file)) })
	left, err := p.removeAll(ctx, to, surplus)
	p.obj.Status.Exports = slices.Concat(kept, left)
	return err
}

// removeAll removes the files of exports, the oldest first. It returns those that are left, and why the first of them is.
func (p *exportPass) removeAll(ctx context.Context, from place, files []v1alpha1.StoredExport) (left []v1alpha1.StoredExport, first error) {
	for _, file := range slices.Backward(files) {
		if err := p.remove(ctx, from, file); err != nil {
			left, first = append([]v1alpha1.StoredExport{file}, left...), cmp.Or(first, err)
		}
	}
	return left, first
}

// maxHistory is how many exports a status can list.
const maxHistory = 200

// forgetSurplus takes exports off a list that is full because none can be removed.
func (p *exportPass) forgetSurplus() {
	for len(p.obj.Status.Exports) > maxHistory {
		oldest := p.obj.Status.Exports[len(p.obj.Status.Exports)-1]
		p.note(warning, "LeftBehind", "Prune", oldest.Location+" could not be removed, and is no longer listed")
		p.obj.Status.Exports = p.obj.Status.Exports[:len(p.obj.Status.Exports)-1]
	}
}
