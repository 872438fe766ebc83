package controllers

import (
	"context"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
)

// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=resourcepackageexports,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=resourcepackageexports/status,verbs=update

// An export is a job and no state that could be compared: one call that answers with a stream. So this kind has a Reconcile of its own. A
// pass never waits for a stream: it starts a job, or looks how far it is. Its steps are in the other files of this name: due (when an export
// runs), run (its stages), jobs (what is under way in this process), recover (what an attempt has left behind), storage (where it is stored),
// history (what is kept), leave.

const (
	// progressInterval is how often a running export tells how far it is.
	progressInterval = 10 * time.Second
	// slotPoll is how soon an export that waits for others asks again whether there is room.
	slotPoll = 5 * time.Second
	// maxExports is how many exports are under way at a time, half of them of one namespace or account: each may need as much temporary
	// space as its package is large.
	maxExports = 8
)

// ExportOptions are what exports need besides.
type ExportOptions struct {
	// Directory is where exports are stored that name a directory; empty if there is none.
	Directory string
	// Spool is where packages are received that are to be uploaded; empty means the system's directory for temporary files.
	Spool string
	// MaxBytes is how large a package may be.
	MaxBytes int64
	// Transport is the way to object storages; nil means http.DefaultTransport.
	Transport http.RoundTripper
	// StorageTimeout bounds what one pass does with a destination; 0 means 30 seconds.
	StorageTimeout time.Duration
}

// ResourcePackageExportReconciler exports what ResourcePackageExports ask for, when they ask for it, and stores it.
type ResourcePackageExportReconciler struct {
	engine.Store[*v1alpha1.ResourcePackageExport]
	Accounts *connect.Resolver
	Clock    clock.PassiveClock
	Exports  ExportOptions
	// Wake queues an object whose job has got on.
	Wake chan<- event.GenericEvent

	jobs jobs
	// keys are the last keys of object storages that worked, for objects that are deleted together with their Secret.
	keys lastKeys
}

// Reconcile makes one pass over one object.
func (r *ResourcePackageExportReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	there := false
	result, err := r.Pass(ctx, request, func(ctx context.Context, obj *v1alpha1.ResourcePackageExport) (ctrl.Result, error) {
		there = true
		return r.pass(ctx, obj)
	})
	if !there && err == nil {
		r.jobs.abandon(request.NamespacedName)
	}
	return result, err
}

// StopWith waits for the end of a context, then ends what is under way and waits until it has put away what it was at.
func (r *ResourcePackageExportReconciler) StopWith(ctx context.Context) error {
	<-ctx.Done()
	r.jobs.stop()
	return nil
}

// Progress is how many bytes the exports that are under way have received.
func (r *ResourcePackageExportReconciler) Progress() map[types.NamespacedName]int64 {
	return r.jobs.progress()
}

func (r *ResourcePackageExportReconciler) pass(ctx context.Context, obj *v1alpha1.ResourcePackageExport) (ctrl.Result, error) {
	p := &exportPass{ResourcePackageExportReconciler: r, obj: obj, stored: engine.Snapshot(obj), job: r.jobs.of(obj)}
	p.takeUp()
	switch {
	case p.job != nil && !p.job.isDone():
		return p.watch(ctx)
	case !obj.DeletionTimestamp.IsZero():
		return p.leave(ctx)
	case obj.IsSuspended():
		return ctrl.Result{}, p.suspend(ctx)
	}
	if err := p.addFinalizer(ctx); err != nil {
		return ctrl.Result{}, err
	}
	err := p.run(ctx)
	if err != nil && (conditions.IsShutdown(ctx, err) || !conditions.Explains(err)) {
		return ctrl.Result{}, err
	}
	return p.conclude(ctx, err)
}

// takeUp lets what goes on in this process count for more than what the status says of it, and ends what is not wanted any more.
func (p *exportPass) takeUp() {
	if p.job != nil && p.job.uid == p.obj.UID {
		p.obj.Status.Run = p.job.run.DeepCopy()
	}
	ends := !p.obj.DeletionTimestamp.IsZero() || p.obj.IsSuspended()
	if ends {
		p.jobs.leave(client.ObjectKeyFromObject(p.obj))
	}
	if p.job != nil && (ends || !p.job.isFor(p.obj)) {
		// It wakes the object when it has ended.
		p.job.cancel()
	}
}

// exportPass is one pass over an export.
type exportPass struct {
	*ResourcePackageExportReconciler
	obj, stored *v1alpha1.ResourcePackageExport
	// job is what is under way in this process, nil if there is nothing.
	job *job
	// failedJob tells that the job has failed. It is dropped when that is on record: should the write be lost, it is settled again.
	failedJob bool
	// sleep is how long the object may be left alone; 0 for ever. retry tells that what has failed is tried again by then.
	sleep time.Duration
	retry bool
	// notes are what is told once it is on record.
	notes []note
}

// note is an event to be made.
type note struct{ eventType, reason, action, text string }

func (p *exportPass) note(eventType, reason, action, text string) {
	p.notes = append(p.notes, note{eventType, reason, action, text})
}

func (p *exportPass) tellNotes() {
	for _, n := range p.notes {
		p.Events.Eventf(p.obj, nil, n.eventType, n.reason, n.action, "%s", n.text)
	}
	p.notes = nil
}

// within bounds how long the object is left alone.
func (p *exportPass) within(d time.Duration) {
	d = min(max(d, shortestSleep), longestSleep)
	if p.sleep == 0 || d < p.sleep {
		p.sleep = d
	}
}

// retryIn says when what is not done yet is looked at again.
func (p *exportPass) retryIn(d time.Duration) {
	p.retry = true
	p.within(d)
}

// watch tells how far a job is, and looks again later. One that was cancelled wakes the object when it has ended.
func (p *exportPass) watch(ctx context.Context) (ctrl.Result, error) {
	now, run := p.Clock.Now(), p.obj.Status.Run
	if run != nil && !p.obj.IsSuspended() && p.obj.DeletionTimestamp.IsZero() && now.Sub(p.job.told) >= progressInterval {
		run.BytesReceived, p.job.told = p.job.received.Load(), now
		p.job.run = run.DeepCopy()
	}
	if err := p.Write(ctx, p.obj, p.stored); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: progressInterval}, nil
}

// addFinalizer makes sure that the object cannot go before what it has under way is put away.
func (p *exportPass) addFinalizer(ctx context.Context) error {
	run := p.obj.Status.Run
	if err := p.AddFinalizer(ctx, p.obj); err != nil {
		return err
	}
	// The answer to the write has the status as it is stored.
	if p.stored = engine.Snapshot(p.obj); p.job != nil {
		p.obj.Status.Run = run
	}
	return nil
}

// givenUp says that an export goes on when the object does.
var givenUp = conditions.Wait(v1alpha1.ReasonExportRunning, "suspended; the export that is due is made when the object is resumed")

// suspend gives up what is under way: it is made anew when the object is resumed.
func (p *exportPass) suspend(ctx context.Context) error {
	var failure error
	if p.job != nil {
		if _, failure = p.settle(ctx); failure != nil && !conditions.Explains(failure) {
			return failure
		}
	}
	ready := conditions.ReadyCondition(p.obj)
	switch running := ready != nil && ready.Reason == v1alpha1.ReasonExportRunning; {
	case failure != nil:
		conditions.Set(p.obj, conditions.FromError(failure))
	case !running:
	case p.obj.Status.Run == nil && p.obj.Status.ExportedSpec == fingerprint(p.obj):
		conditions.Set(p.obj, exported)
	default:
		conditions.Set(p.obj, conditions.FromError(givenUp))
	}
	conditions.SetSuspended(p.obj)
	if err := p.Write(ctx, p.obj, p.stored); err != nil {
		return err
	}
	p.drop()
	p.tellNotes()
	return nil
}

// exported is the outcome of a pass after which nothing is to be done.
var exported = conditions.Succeeded("the package is exported and stored")

// conclude turns the end of a pass into conditions, stores them if they changed, and says when to look again.
func (p *exportPass) conclude(ctx context.Context, failure error) (ctrl.Result, error) {
	outcome := exported
	if failure != nil {
		outcome = conditions.FromError(failure)
	}
	if !p.obj.DeletionTimestamp.IsZero() {
		// A deletion is never given up, by the operator.
		outcome.State, outcome.Message = conditions.Reconciling, withWayOut(outcome.Message)
	}
	// While an export is tried again, the last failure goes on saying why.
	if again := outcome.Reason == v1alpha1.ReasonExportRunning && p.isTriedAgain(); !again {
		conditions.Set(p.obj, outcome)
	}
	if err := p.Write(ctx, p.obj, p.stored); err != nil {
		return ctrl.Result{}, err
	}
	if p.failedJob {
		p.drop()
	}
	p.tellNotes()
	if outcome.Reason != v1alpha1.ReasonExportRunning {
		p.Warn(p.obj, p.stored, outcome)
	}
	switch {
	case outcome.Reason == v1alpha1.ReasonConnectionNotAllowed:
		// That may end without anybody telling, with the labels of its namespace.
		p.within(lastPoll)
	case outcome.State != conditions.Reconciling || p.retry:
	case outcome.Reason == v1alpha1.ReasonSecretNotFound:
		p.within(conditions.Jitter(secretPoll, 0))
	case outcome.RetryAfter > 0:
		p.within(outcome.RetryAfter)
	case p.sleep == 0 || p.sleep > lastRetry:
		return ctrl.Result{}, failure
	}
	return ctrl.Result{RequeueAfter: p.sleep, Priority: new(handler.LowPriority)}, nil
}

// isTriedAgain tells whether the export under way has failed before, and the object says so.
func (p *exportPass) isTriedAgain() bool {
	run := p.obj.Status.Run
	return run != nil && run.Attempts > 1 && conditions.IsCurrent(p.obj) && !conditions.IsReady(p.obj) &&
		!apimeta.IsStatusConditionTrue(p.obj.Status.Conditions, v1alpha1.StalledCondition)
}

// release lets the object go.
func (p *exportPass) release(ctx context.Context, eventType, text string) error {
	p.drop()
	if err := p.Release(ctx, p.obj, eventType, text); err != nil {
		return err
	}
	p.keys.forget(p.obj.UID)
	return nil
}

// warning is the type of events about what went wrong.
const warning = corev1.EventTypeWarning
