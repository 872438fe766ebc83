package controllers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/insight"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
)

// errUnderWay says that an export is under way. It is the same from pass to pass; how far it is stands in status.run.
var errUnderWay = conditions.Wait(v1alpha1.ReasonExportRunning, "an export is under way")

// run does what is due.
func (p *exportPass) run(ctx context.Context) error {
	if p.job != nil {
		goesOn, err := p.settle(ctx)
		if err != nil || goesOn {
			return err
		}
	}
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
	return rest > 0 && rest <= 2*longestRest &&
		p.obj.Status.ExportedSpec == fingerprint(p.obj) && !conditions.IsRequested(p.obj)
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
	now := p.Clock.Now().Truncate(time.Second)
	j := &job{uid: p.obj.UID, spec: fingerprint(p.obj), began: now, to: to}
	if !p.jobs.add(p.obj, j) {
		p.retryIn(slotPoll)
		return conditions.Wait(v1alpha1.ReasonExportRunning, "waiting for other exports to end")
	}
	run := p.obj.Status.Run
	run.Attempts++
	run.StartedAt, run.NextAttemptTime, run.BytesReceived = new(metav1.NewTime(now)), nil, 0
	run.Destination, run.Endpoint = to.Location(""), to.endpoint
	if err := p.intend(ctx); err != nil {
		p.jobs.drop(p.obj)
		return err
	}
	request := p.request()
	p.begin(j, func(ctx context.Context) error { return j.receive(ctx, account, request) }) //nolint:contextcheck // a job outlives its pass
	return errUnderWay
}

// intend stores what is about to be done, so that a crash at any later point finds it.
func (p *exportPass) intend(ctx context.Context) error {
	if !p.isTriedAgain() {
		conditions.Set(p.obj, conditions.FromError(errUnderWay))
	}
	if err := p.Write(ctx, p.obj, p.stored); err != nil {
		return err
	}
	p.stored = engine.Snapshot(p.obj)
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

// receive is the first stage: it has the service export, and receives what it sends.
func (j *job) receive(ctx context.Context, account *connect.Account, request insight.Request) error {
	stream, err := account.Insight.Export(ctx, request)
	if err != nil {
		return account.Noticed(err)
	}
	defer stream.Close() //nolint:errcheck // all of it was read, or none of it counts
	j.extension, j.contentType = stream.Extension(), stream.ContentType()
	if j.partial, err = j.to.Receive(); err != nil {
		return err
	}
	_, err = io.Copy(j.partial, &meter{stream, &j.received})
	return err
}

// meter counts what is read.
type meter struct {
	io.Reader
	count *atomic.Int64
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.Reader.Read(b)
	m.count.Add(int64(n))
	return n, err
}

// settle deals with the end of a job's stage, and says whether the export goes on.
func (p *exportPass) settle(ctx context.Context) (goesOn bool, err error) {
	j := p.job
	switch {
	case p.obj.Status.Run == nil || p.obj.UID != j.uid:
		p.drop()
		return false, nil
	case j.err == nil && j.storing:
		p.record(j.file)
		return false, p.finish(ctx)
	case errors.Is(j.err, context.Canceled):
		// Nobody wants it any more, or the process is ending.
		p.interrupted()
		p.drop()
		return false, nil
	case j.err != nil:
		p.drop()
		return false, p.failed(j)
	case !j.isFor(p.obj) || p.obj.IsSuspended():
		p.interrupted()
		p.drop()
		return false, nil
	}
	return p.received(ctx, j)
}

// interrupted puts a run back to before its attempt.
func (p *exportPass) interrupted() {
	run := p.obj.Status.Run
	run.File, run.BytesReceived, run.Destination, run.Endpoint = nil, 0, "", ""
}

// drop forgets the job, and gives up what it received and did not store.
func (p *exportPass) drop() {
	if p.job != nil {
		p.jobs.drop(p.obj)
		p.job.close()
		p.job = nil
	}
}

// failed plans the next attempt: the later the more have failed, and not before as much time has passed as this one took.
func (p *exportPass) failed(j *job) error {
	run, now := p.obj.Status.Run, p.Clock.Now()
	err := storageFailure(j.err)
	wait := conditions.FromError(err).RetryAfter
	if wait == 0 {
		wait = conditions.Jitter(max(backoff(run.Attempts), min(now.Sub(j.began), longestRest)), 0)
	}
	if !j.storing {
		p.interrupted()
	}
	run.NextAttemptTime = new(metav1.NewTime(now.Add(wait).Truncate(time.Second)))
	p.retryIn(run.NextAttemptTime.Sub(now))
	return err
}

// longestRest is how long an export is left alone at most whose attempts take long and fail.
const longestRest = time.Hour

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
	run := p.obj.Status.Run
	run.BytesReceived = j.received.Load()
	name := fmt.Sprintf("%s-%s-%s%s", p.obj.Spec.PackageName, j.began.UTC().Format("20060102T150405Z"), j.partial.Sum()[:12], j.extension)
	// Two exports of the same content within one second have the same name, and are the same file.
	again := len(p.obj.Status.Exports) > 0 && p.obj.Status.Exports[0].Location == j.to.Location(name)
	if (p.obj.Spec.SkipUnchanged || again) && p.isUnchanged(ctx, j) {
		p.obj.Status.Exports[0].UnchangedAt = new(metav1.NewTime(p.Clock.Now()))
		p.note(corev1.EventTypeNormal, "Unchanged", "Export", "the package is the same as "+p.obj.Status.Exports[0].Location)
		return false, p.finish(ctx)
	}
	j.file = v1alpha1.StoredExport{
		Name: name, Location: j.to.Location(name), Endpoint: j.to.endpoint, SizeBytes: j.partial.Size(), SHA256: j.partial.Sum(),
		ContentType: j.contentType, StartedAt: metav1.NewTime(j.began),
	}
	if _, found, err := j.to.Find(ctx, j.file.Location); err == nil && found {
		// Another object exports the same package, and started within the same second: the next attempt has another name.
		j.err = fmt.Errorf("%s is there already", j.file.Location)
		p.drop()
		return false, p.failed(j)
	}
	run.File = j.file.DeepCopy()
	if err := p.intend(ctx); err != nil {
		return false, err
	}
	j.storing = true
	p.begin(j, func(ctx context.Context) error { //nolint:contextcheck // a job outlives its pass
		return j.to.Store(ctx, j.partial, j.file.Location, j.file.ContentType)
	})
	return true, errUnderWay
}

// isUnchanged tells whether the last export has the same digest, and is still there.
func (p *exportPass) isUnchanged(ctx context.Context, j *job) bool {
	exports := p.obj.Status.Exports
	if len(exports) == 0 || exports[0].SHA256 != j.partial.Sum() || !j.to.holds(exports[0]) {
		return false
	}
	size, found, err := j.to.Find(ctx, exports[0].Location)
	return err == nil && found && size == exports[0].SizeBytes
}

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
	if !to.holds(*file) {
		p.noteLeftBehind(*run)
		p.interrupted()
		return nil
	}
	if run.File != nil {
		size, found, err := to.Find(ctx, file.Location)
		if err == nil && found && size == file.SizeBytes {
			p.record(*file)
			return p.finish(ctx)
		}
	}
	switch err := to.Clean(ctx, file.Location); {
	case destination.CodeOf(err) == destination.Denied:
		// Who may store need not be allowed to list what is not complete.
		p.noteLeftBehind(*run)
	case err != nil:
		return storageFailure(err)
	}
	p.interrupted()
	return nil
}

// noteLeftBehind says where parts of an interrupted export may be that cannot be removed.
func (p *exportPass) noteLeftBehind(run v1alpha1.ExportRun) {
	p.note(warning, "LeftBehind", "Export", "an export was interrupted, and parts of it may be left at "+run.Destination)
}

// record adds an export to those that are stored.
func (p *exportPass) record(file v1alpha1.StoredExport) {
	file.CompletedAt = new(metav1.NewTime(p.Clock.Now().Truncate(time.Second)))
	p.obj.Status.Exports = append([]v1alpha1.StoredExport{file}, p.obj.Status.Exports...)
	p.note(corev1.EventTypeNormal, "Exported", "Export", fmt.Sprintf("stored %s, %d bytes", file.Location, file.SizeBytes))
}

// finish ends a run that has come to a good end, and puts that on record before anything else is done.
func (p *exportPass) finish(ctx context.Context) error {
	p.obj.Status.Run = nil
	if err := p.Write(ctx, p.obj, p.stored); err != nil {
		return err
	}
	p.stored = engine.Snapshot(p.obj)
	p.drop()
	return nil
}
