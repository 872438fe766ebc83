package controllers

import (
	"context"
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
	for len(p.obj.Status.Exports) > limit {
		oldest := p.obj.Status.Exports[len(p.obj.Status.Exports)-1]
		if err := p.remove(ctx, to, oldest); err != nil {
			p.forgetSurplus()
			return err
		}
		p.obj.Status.Exports = p.obj.Status.Exports[:len(p.obj.Status.Exports)-1]
	}
	return nil
}

// maxHistory is how many exports a status can list.
const maxHistory = 200

// forgetSurplus takes exports off a list that is full because none can be removed.
func (p *exportPass) forgetSurplus() {
	// One more is about to come.
	for len(p.obj.Status.Exports) >= maxHistory {
		oldest := p.obj.Status.Exports[len(p.obj.Status.Exports)-1]
		p.note(warning, "LeftBehind", "Prune", oldest.Location+" could not be removed, and is no longer listed")
		p.obj.Status.Exports = p.obj.Status.Exports[:len(p.obj.Status.Exports)-1]
	}
}
