package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/insight"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
)

// errUnderWay says that an export is under way. It is the same from pass to pass; how far it is stands in status.run.
var errUnderWay = conditions.Wait(v1alpha1.ReasonExportRunning, "an export is under way")

// run does what is due.
func (p *exportPass) run(ctx context.Context) error {
	ctx, cancel := p.inTime(ctx)
	defer cancel()
	if p.job != nil {
		goesOn, err := p.settle(ctx)
		if err != nil || goesOn {
			return err
		}
	}
	p.rememberKeys(ctx)
	rests := p.rests()
	if !rests {
		if err := p.recover(ctx); err != nil {
			return err
		}
	}
	switch err := p.due(); {
	case err != nil:
		return err
	case p.obj.Status.Run == nil:
		return p.prune(ctx)
	case rests:
		p.retryIn(p.obj.Status.Run.NextAttemptTime.Sub(p.Clock.Now()))
		return p.lastFailure()
	}
	return p.attempt(ctx)
}

// rests tells whether the last attempt has failed so recently that the next is not due, and nobody has done anything about it.
func (p *exportPass) rests() bool {
	run := p.obj.Status.Run
	if run == nil || run.NextAttemptTime == nil {
		return false
	}
	// Further ahead than any attempt is put off, it is the clock that went back.
	rest := run.NextAttemptTime.Sub(p.Clock.Now())
	return rest > 0 && rest <= 2*longestRest && p.obj.Status.ExportedSpec == fingerprint(p.obj) && !conditions.IsRequested(p.obj)
}

// lastFailure is what the object says already, while it waits for its next attempt.
func (p *exportPass) lastFailure() error {
	if ready := conditions.ReadyCondition(p.obj); ready != nil && !conditions.IsReady(p.obj) && ready.Reason != v1alpha1.ReasonExportRunning {
		return conditions.Wait(ready.Reason, "%s", ready.Message)
	}
	return errUnderWay
}

// attempt starts the export.
func (p *exportPass) attempt(ctx context.Context) error {
	to, err := p.destination(ctx)
	if err != nil {
		return err
	}
	account, err := p.Accounts.InsightAccount(ctx, p.obj, p.obj.Spec.ConnectionRef, p.obj.Spec.WorkspaceID)
	if err != nil {
		return err
	}
	j := &job{
		uid: p.obj.UID, account: connectionKey(p.obj).String(), spec: fingerprint(p.obj), began: p.Clock.Now().Truncate(time.Second), to: to,
		packageName: p.obj.Spec.PackageName, patience: p.patience(),
	}
	if !p.jobs.add(p.obj, j, p.Clock.Now()) {
		p.retryIn(slotPoll)
		return conditions.Wait(v1alpha1.ReasonExportRunning, "waiting for other exports to end")
	}
	if len(p.obj.Status.Exports) > 0 {
		j.last = p.obj.Status.Exports[0].DeepCopy()
	}
	run := p.obj.Status.Run
	run.Attempts++
	run.StartedAt, run.NextAttemptTime, run.BytesReceived = new(metav1.NewTime(j.began)), nil, 0
	run.Destination, run.Endpoint = to.Location(""), to.endpoint
	if err := p.intend(ctx, j); err != nil {
		p.jobs.drop(p.obj)
		return err
	}
	request := p.request()
	p.begin(j, func(ctx context.Context) error { return j.receive(ctx, account, request) }) //nolint:contextcheck // a job outlives its pass
	return errUnderWay
}

// intend stores what a job is about to do, so that a crash at any later point finds it.
func (p *exportPass) intend(ctx context.Context, j *job) error {
	if !p.isTriedAgain() {
		conditions.Set(p.obj, conditions.FromError(errUnderWay))
	}
	if err := p.Write(ctx, p.obj, p.stored); err != nil {
		return err
	}
	p.stored = engine.Snapshot(p.obj)
	j.run = p.obj.Status.Run.DeepCopy()
	return nil
}

// begin starts a stage of a job. The object is looked at while it goes on, and when it has ended.
func (p *exportPass) begin(j *job, work func(context.Context) error) {
	p.job = j
	p.retryIn(progressInterval)
	wake, name := p.Wake, &v1alpha1.ResourcePackageExport{ObjectMeta: metav1.ObjectMeta{Namespace: p.obj.Namespace, Name: p.obj.Name}}
	stopping := p.jobs.stopping()
	p.jobs.start(j, work, func() {
		select {
		case wake <- event.GenericEvent{Object: name}:
		case <-stopping:
		}
	})
}

// request is what the service is asked for.
func (p *exportPass) request() insight.Request {
	request := insight.Request{
		WorkspaceID: p.obj.Spec.WorkspaceID, PackageName: p.obj.Spec.PackageName, IncludeDatasetTagPermission: p.obj.Spec.IncludeDatasetTagPermission,
		MaxBytes: p.Exports.MaxBytes,
	}
	for _, resource := range p.obj.Spec.Resources {
		request.Resources = append(request.Resources, insight.Resource{Type: string(resource.Type), ID: resource.ID})
	}
	return request
}

// settle deals with the end of a job's stage, and says whether the export goes on.
func (p *exportPass) settle(ctx context.Context) (goesOn bool, err error) {
	j := p.job
	switch {
	case p.obj.UID != j.uid:
		p.drop()
		return false, nil
	case j.err == nil && j.storing:
		p.record(j.file)
		return false, p.finish(ctx)
	case errors.Is(j.err, context.Canceled):
		// Nobody wants it any more, or the process is ending.
		p.interrupted(j)
		return false, nil
	case j.err != nil:
		return false, p.failed(j, j.err)
	case !j.isFor(p.obj) || p.obj.IsSuspended():
		p.interrupted(j)
		return false, nil
	}
	return p.received(ctx, j)
}

// interrupted forgets a job that came to nothing. What it may have left behind at its destination stays on record; the next attempt looks
// for it.
func (p *exportPass) interrupted(j *job) {
	p.end(j)
	// It has not failed.
	p.obj.Status.Run.Attempts = max(p.obj.Status.Run.Attempts-1, 0)
	p.drop()
}

// end puts on record that a job came to nothing, and that nothing is left of it where that is sure.
func (p *exportPass) end(j *job) {
	p.obj.Status.Run.BytesReceived = 0
	code := destination.CodeOf(j.err)
	if removed := j.close() == nil; removed && (!j.storing || code == destination.Exists || code == destination.Corrupt) {
		p.putBack()
	}
}

// putBack puts a run back to before its attempt, of which nothing is left.
func (p *exportPass) putBack() {
	run := p.obj.Status.Run
	run.File, run.BytesReceived, run.Destination, run.Endpoint = nil, 0, "", ""
}

// drop forgets the job, and gives up what it received and did not store.
func (p *exportPass) drop() {
	if p.job != nil {
		p.jobs.drop(p.obj)
		_ = p.job.close() //nolint:errcheck // what cannot be removed now is on record, and is removed before the next export
		p.job = nil
	}
}

// longestRest is how long an export is left alone at most whose attempts take long and fail.
const longestRest = time.Hour

// costly are the reasons of failures that an attempt may have taken long to meet, and may meet again.
var costly = map[string]bool{
	v1alpha1.ReasonExportFailed: true, v1alpha1.ReasonRemoteUnavailable: true, v1alpha1.ReasonDestinationFull: true, v1alpha1.ReasonDestinationUnavailable: true,
}

// failed plans the next attempt: the later the more have failed and, where attempts take long, not before as much time has passed as this one
// took.
func (p *exportPass) failed(j *job, cause error) error {
	run, now := p.obj.Status.Run, p.Clock.Now()
	err := storageFailure(cause)
	outcome := conditions.FromError(err)
	wait := max(outcome.RetryAfter, backoff(run.Attempts))
	if costly[outcome.Reason] {
		wait = max(wait, min(now.Sub(j.began), longestRest))
	}
	p.end(j)
	p.failedJob = true
	run.NextAttemptTime = new(metav1.NewTime(now.Add(conditions.Jitter(wait, 0)).Truncate(time.Second)))
	p.retryIn(run.NextAttemptTime.Sub(now))
	return err
}

// backoff is how long to wait after so many attempts have failed.
func backoff(attempts int32) time.Duration {
	wait := firstRetry
	for range min(attempts, 20) - 1 {
		wait *= 2
	}
	return min(wait, lastRetry)
}

// received begins the second stage with what has arrived. What is about to be stored is written down before.
func (p *exportPass) received(ctx context.Context, j *job) (goesOn bool, err error) {
	p.obj.Status.Run.BytesReceived = j.received.Load()
	last := p.obj.Status.Exports
	// Two exports of the same content within one second have the same name, and are the same file.
	if j.same && len(last) > 0 && (p.obj.Spec.SkipUnchanged && last[0].Location == j.to.Location(last[0].Name) || last[0].Location == j.file.Location) {
		last[0].UnchangedAt = new(metav1.NewTime(p.Clock.Now().Truncate(time.Second)))
		p.note(corev1.EventTypeNormal, "Unchanged", "Export", "the package is the same as "+last[0].Location)
		return false, p.finish(ctx)
	}
	switch taken, err := p.isTaken(ctx, j); {
	case err != nil:
		return false, err
	case taken:
		// Another object exports the same package, and started within the same second: the next attempt has another name.
		return false, p.failed(j, fmt.Errorf("another export has just stored the same package in %s", j.to.Location("")))
	}
	p.obj.Status.Run.File = j.file.DeepCopy()
	if err := p.intend(ctx, j); err != nil {
		return false, err
	}
	j.storing = true
	p.begin(j, func(ctx context.Context) error { //nolint:contextcheck // a job outlives its pass
		return j.to.Store(ctx, j.partial, j.file.Location, j.file.ContentType)
	})
	return true, errUnderWay
}

// isTaken tells whether another object has stored something where the job is about to, or may have. A file that is found there after a
// crash would otherwise be taken for this object's.
func (p *exportPass) isTaken(ctx context.Context, j *job) (bool, error) {
	if j.found || !p.jobs.claim(j) {
		return true, nil
	}
	list := &v1alpha1.ResourcePackageExportList{}
	if err := p.Client.List(ctx, list); err != nil {
		return false, fmt.Errorf("list exports: %w", err)
	}
	for i := range list.Items {
		other := &list.Items[i]
		if other.UID == p.obj.UID {
			continue
		}
		files := other.Status.Exports
		if run := other.Status.Run; run != nil && run.File != nil {
			files = append([]v1alpha1.StoredExport{*run.File}, files...)
		}
		if slices.ContainsFunc(files, isAt(j.file)) {
			return true, nil
		}
	}
	return false, nil
}

// record adds an export to those that are stored, unless a write whose answer was lost has done that already.
func (p *exportPass) record(file v1alpha1.StoredExport) {
	p.note(corev1.EventTypeNormal, "Exported", "Export", fmt.Sprintf("stored %s, %d bytes", file.Location, file.SizeBytes))
	if slices.ContainsFunc(p.obj.Status.Exports, isAt(file)) {
		return
	}
	file.CompletedAt = new(metav1.NewTime(p.Clock.Now().Truncate(time.Second)))
	p.obj.Status.Exports = append([]v1alpha1.StoredExport{file}, p.obj.Status.Exports...)
	p.forgetSurplus()
}

// isAt tells of files whether they are the same one.
func isAt(file v1alpha1.StoredExport) func(v1alpha1.StoredExport) bool {
	return func(other v1alpha1.StoredExport) bool {
		return other.Location == file.Location && isSameStorage(other.Endpoint, file.Endpoint)
	}
}

// finish ends a run that has come to a good end, and puts that on record before anything else is done.
func (p *exportPass) finish(ctx context.Context) error {
	p.obj.Status.Run = nil
	if err := p.Write(ctx, p.obj, p.stored); err != nil {
		return err
	}
	p.stored = engine.Snapshot(p.obj)
	p.tellNotes()
	p.drop()
	return nil
}
