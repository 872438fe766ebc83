package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
)

// leave lets an object go that is being deleted. Nothing is under way any more.
func (p *exportPass) leave(ctx context.Context) (ctrl.Result, error) {
	p.endJob()
	var err error
	if !p.obj.IsSuspended() {
		err = p.takeAway(ctx)
	}
	switch {
	case p.obj.IsSuspended():
		if run := p.obj.Status.Run; run != nil && run.Destination != "" {
			p.noteLeftBehind(run.Destination)
		}
		err = p.release(ctx, warning, "suspended: what is stored was left as it is")
	case err == nil && p.obj.IsRetained():
		err = p.release(ctx, corev1.EventTypeNormal, "retained: what is stored was left as it is")
	case err == nil:
		err = p.release(ctx, corev1.EventTypeNormal, "removed what was stored")
	case conditions.IsShutdown(ctx, err) || !conditions.Explains(err):
	case p.obj.IsRetained():
		p.noteLeftBehind(p.obj.Status.Run.Destination)
		err = p.release(ctx, corev1.EventTypeNormal, "retained: what is stored was left as it is")
	default:
		return p.conclude(ctx, err)
	}
	if err == nil {
		p.tellNotes()
	}
	return ctrl.Result{}, err
}

// endJob takes note of what became of the last job.
func (p *exportPass) endJob() {
	switch {
	case p.job == nil:
	case p.obj.UID != p.job.uid:
		p.drop()
	case p.job.err == nil && p.job.storing:
		p.record(p.job.file)
		p.obj.Status.Run = nil
		p.drop()
	default:
		p.interrupted(p.job)
	}
}

// takeAway removes what an interrupted attempt has left behind and, unless it is to be retained, what is stored.
func (p *exportPass) takeAway(ctx context.Context) error {
	ctx, cancel := p.inTime(ctx)
	defer cancel()
	run, files := p.obj.Status.Run, p.obj.Status.Exports
	interrupted := run != nil && run.Destination != ""
	if !interrupted && (p.obj.IsRetained() || len(files) == 0) {
		return nil
	}
	to, err := p.destination(ctx)
	if err != nil {
		return err
	}
	if interrupted {
		if err := p.recover(ctx); err != nil {
			return err
		}
	}
	if p.obj.IsRetained() {
		return nil
	}
	p.obj.Status.Exports, err = p.removeAll(ctx, to, p.obj.Status.Exports)
	return err
}

// remove removes the file of an export. One at another destination is left where it is: its keys are not known any more.
func (p *exportPass) remove(ctx context.Context, from place, file v1alpha1.StoredExport) error {
	if !from.holds(file) || !p.isOurs(file) {
		p.note(warning, "LeftBehind", "Prune", file.Location+" was left where it is: it is at another destination than that of now, or not of this object")
		return nil
	}
	switch err := from.Remove(ctx, file.Location); {
	case from.endpoint != "" && destination.CodeOf(err) == destination.NotFound:
		// With its bucket, the file is gone. A directory that is not there may only not be mounted.
	case err != nil:
		return storageFailure(err)
	}
	p.note(corev1.EventTypeNormal, "Removed", "Prune", fmt.Sprintf("removed %s", file.Location))
	return nil
}
