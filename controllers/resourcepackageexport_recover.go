package controllers

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
)

// recover looks what an attempt has left behind that ended with its process, or whose end is not known: if everything was stored, the export
// is complete.
func (p *exportPass) recover(ctx context.Context) error {
	run := p.obj.Status.Run
	if run == nil || run.Destination == "" {
		return nil
	}
	to, err := p.destination(ctx)
	if err != nil {
		return err
	}
	file := run.File
	if file == nil {
		file = &v1alpha1.StoredExport{Location: run.Destination + unnamed, Endpoint: run.Endpoint}
	}
	if !to.holds(*file) || run.File != nil && !p.isOurs(*file) {
		p.noteLeftBehind(run.Destination)
		p.putBack()
		return nil
	}
	found, err := p.lookInto(ctx, to, file, run.File != nil)
	switch {
	case destination.CodeOf(err) == destination.Unavailable:
		return storageFailure(err)
	case found:
		p.record(*file)
		return p.finish(ctx)
	case err != nil && !p.wasDenied():
		// Who may store need not be allowed to look, or to list what is not complete.
		p.noteLeftBehind(file.Location)
	}
	p.putBack()
	return nil
}

// wasDenied tells whether the destination has refused the attempt before, so that nothing came of it. It would be told after each attempt.
func (p *exportPass) wasDenied() bool {
	ready := conditions.ReadyCondition(p.obj)
	return ready != nil && ready.Reason == v1alpha1.ReasonDestinationDenied
}

// lookInto removes what an attempt has not completed, and tells whether its file is there.
func (p *exportPass) lookInto(ctx context.Context, to place, file *v1alpha1.StoredExport, named bool) (found bool, err error) {
	if to.endpoint != "" && !named {
		// Nothing of it was uploaded yet.
		return false, nil
	}
	err = to.Clean(ctx, file.Location)
	if !named {
		return false, err
	}
	size, found, failure := to.Find(ctx, file.Location)
	return found && size == file.SizeBytes, cmp.Or(failure, err)
}

// isOurs tells whether a file has a name that this object gives. A status can say anything.
func (p *exportPass) isOurs(file v1alpha1.StoredExport) bool {
	return len(file.SHA256) == 64 && strings.HasPrefix(file.Name, fileName(p.obj.Spec.PackageName, file.StartedAt.Time, file.SHA256)) && strings.HasSuffix(file.Location, file.Name)
}

// fileName is the name of a stored package, without its extension.
func fileName(packageName string, start time.Time, sum string) string {
	return packageName + "-" + start.UTC().Format("20060102T150405Z") + "-" + sum[:12]
}

// noteLeftBehind says where something may be that cannot be removed.
func (p *exportPass) noteLeftBehind(where string) {
	p.note(warning, "LeftBehind", "Export", "an export was interrupted, and something of it may be left at "+where)
}
