package controllers

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
)

// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=permissionapplies,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=permissionapplies/status,verbs=update

// The life of a request fits no comparison of what is wanted with what is there: it is submitted once, people decide about it, and it ends.
// So this kind has a Reconcile of its own. Its steps are in the other files of this name: prepare and submit; orders, what is on record of
// them, and how far they were narrowed; end, revoke, and what others grant; verdict.

const (
	// longestSleep is how long a request is left alone at most that waits for its end, and shortestSleep at least.
	longestSleep  = 24 * time.Hour
	shortestSleep = time.Second
)

// PermissionApplyReconciler submits the requests of PermissionApplies, follows them until they are decided, and ends what was granted.
type PermissionApplyReconciler struct {
	engine.Store[*v1alpha1.PermissionApply]
	Accounts *connect.Resolver
	Clock    clock.PassiveClock
	// FirstPoll is how long after its submission a request is first looked at.
	FirstPoll time.Duration

	// all finds the requests of the whole cluster.
	all *registry
	// looks are the last looks at orders that are not decided, by their ids. They are not worth a write to the API server: a new
	// process looks at all orders once.
	mu    sync.Mutex
	looks map[string]look
}

// Reconcile makes one pass over one object.
func (r *PermissionApplyReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	return r.Pass(ctx, request, r.pass)
}

func (r *PermissionApplyReconciler) pass(ctx context.Context, obj *v1alpha1.PermissionApply) (ctrl.Result, error) {
	deleting := !obj.DeletionTimestamp.IsZero()
	switch {
	case deleting && obj.IsSuspended():
		return ctrl.Result{}, r.leave(ctx, obj, corev1.EventTypeWarning, "suspended: the cloud was left as it is")
	case deleting && obj.IsRetained():
		return ctrl.Result{}, r.leave(ctx, obj, corev1.EventTypeNormal, "retained: the cloud was left as it is")
	case deleting && !mayBeLeft(obj, r.Clock.Now()):
		eventType, note := parting(obj)
		return ctrl.Result{}, r.leave(ctx, obj, eventType, note)
	case obj.IsSuspended():
		return ctrl.Result{}, r.Suspend(ctx, obj)
	}
	if err := r.AddFinalizer(ctx, obj); err != nil {
		return ctrl.Result{}, err
	}
	p := &requestPass{PermissionApplyReconciler: r, obj: obj, stored: engine.Snapshot(obj), deleting: deleting, requested: conditions.IsRequested(obj)}
	err := p.run(ctx)
	if err != nil && (conditions.IsShutdown(ctx, err) || !conditions.Explains(err)) {
		return ctrl.Result{}, err
	}
	if deleting && err == nil {
		eventType, note := parting(p.obj)
		if err := r.leave(ctx, p.obj, eventType, note); err != nil {
			return ctrl.Result{}, err
		}
		p.tellNotes()
		return ctrl.Result{}, nil
	}
	return p.conclude(ctx, err)
}

// leave lets an object go and forgets its orders.
func (r *PermissionApplyReconciler) leave(ctx context.Context, obj *v1alpha1.PermissionApply, eventType, note string) error {
	for _, o := range obj.Status.Orders {
		r.forget(o.ID)
	}
	return r.Release(ctx, obj, eventType, note)
}

// requestPass is one pass over a request.
type requestPass struct {
	*PermissionApplyReconciler
	obj, stored *v1alpha1.PermissionApply
	account     *connect.Account
	// deleting tells that the object is to go, requested that somebody asks for a look now.
	deleting, requested bool
	// sleep is how long the request may be left alone; 0 for ever.
	sleep time.Duration
	// backoff tells that the next pass is to come the later the more have failed.
	backoff bool
	// notes are what is told once it is on record.
	notes []string
	// taken is what it takes to revoke, once that was needed.
	taken *taking
}

// run does what is due.
func (p *requestPass) run(ctx context.Context) error {
	if err := p.connect(ctx); err != nil {
		p.backoff = true
		return err
	}
	if p.deleting {
		return p.takeBack(ctx)
	}
	var failures []error
	if p.isOver() {
		failures = append(failures, p.resolveDoubts(ctx))
	} else {
		failures = append(failures, p.submit(ctx))
	}
	// What was submitted is looked after, whatever became of the rest; and what has to end ends.
	failures = append(failures, p.look(ctx), p.expire(ctx))
	return worst(failures)
}

// worst picks the failure to report: one that is no fault of the object first, then the first one.
func worst(failures []error) error {
	var found error
	for _, err := range failures {
		if err != nil && !conditions.Explains(err) {
			return err
		}
		found = cmp.Or(found, err)
	}
	return found
}

// connect resolves the connection if there is anything left to be done, and makes sure that it still means the service that has the orders.
func (p *requestPass) connect(ctx context.Context) error {
	status := p.obj.Status
	if !p.deleting && !p.requested && !p.isOpen() {
		return nil
	}
	account, err := p.Accounts.Account(ctx, p.obj, p.obj.Spec.ConnectionRef, p.obj.Spec.ProjectName)
	if err != nil {
		return err
	}
	if p.obj.IsSubmitted() && status.Endpoint != "" && !account.IsDataWorksAt(status.Endpoint) {
		return conditions.Wait(v1alpha1.ReasonConnectionNotReady,
			"%s now means %s, but the request was made at %s: point it there again, or delete this object with deletionPolicy: Retain",
			p.obj.Spec.ConnectionRef, account.DataWorksEndpoint, status.Endpoint)
	}
	p.account = account
	return nil
}

// isOpen tells whether a call may have to be made now or later without anybody asking: something is not submitted or not decided, or
// the operator has to end it.
func (p *requestPass) isOpen() bool {
	status := p.obj.Status
	if !p.isComplete() && !p.isOver() {
		return true
	}
	for i := range status.Orders {
		o := &status.Orders[i]
		if !isDecided(o) || isOwed(o) || canBeRepaired(o) || p.lastLook(o.ID).failure != nil {
			return true
		}
	}
	return p.inDoubt()
}

// within bounds how long the request is left alone.
func (p *requestPass) within(d time.Duration) {
	d = min(max(d, shortestSleep), longestSleep)
	if p.sleep == 0 || d < p.sleep {
		p.sleep = d
	}
}

// conclude turns the end of a pass into conditions, stores them if they changed, and says when to look again.
func (p *requestPass) conclude(ctx context.Context, failure error) (ctrl.Result, error) {
	p.summarise()
	outcome := p.outcome()
	if failure != nil {
		outcome = conditions.FromError(failure)
	}
	if p.deleting {
		// A deletion is never given up, by the operator.
		outcome.State = conditions.Reconciling
		outcome.Message = withWayOut(outcome.Message)
	}
	conditions.Set(p.obj, outcome)
	if failure == nil || p.account != nil {
		// Without a connection there was no look.
		conditions.SetHandled(p.obj)
	}
	changed := conditions.Changed(p.stored, p.obj)
	if err := p.Write(ctx, p.obj, p.stored); err != nil {
		return ctrl.Result{}, err
	}
	p.tellNotes()
	if changed {
		p.tell(outcome)
	}
	switch {
	case outcome.RetryAfter > 0:
		p.within(outcome.RetryAfter)
	case outcome.State == conditions.Stalled && failure != nil:
		// What is in the way may go away without anybody telling.
		p.within(lastPoll)
	case failure != nil && p.backoff && (p.sleep == 0 || p.sleep > lastRetry):
		return ctrl.Result{}, failure
	}
	return ctrl.Result{RequeueAfter: p.sleep, Priority: new(handler.LowPriority)}, nil
}

// tell makes an event of what has changed.
func (p *requestPass) tell(outcome conditions.Outcome) {
	eventType := corev1.EventTypeWarning
	if outcome.State == conditions.Ready || outcome.Reason == v1alpha1.ReasonAwaitingApproval && !p.deleting || outcome.Reason == v1alpha1.ReasonProgressing {
		eventType = corev1.EventTypeNormal
	}
	p.Events.Eventf(p.obj, nil, eventType, outcome.Reason, "Reconcile", "%s", outcome.Message)
}

// tellNotes makes events of what was done.
func (p *requestPass) tellNotes() {
	for _, note := range p.notes {
		p.Events.Eventf(p.obj, nil, corev1.EventTypeNormal, "Revoked", "Revoke", "%s", note)
	}
	p.notes = nil
}

// wayOut is how an object goes whatever is in the way.
const wayOut = "; deletionPolicy: Retain lets this object go and leaves the cloud as it is"

// withWayOut makes sure that who reads why an object does not go also reads what can be done.
func withWayOut(message string) string {
	if strings.Contains(message, string(v1alpha1.RevocationRetain)) {
		return message
	}
	return conditions.Cut(message, maxBeforeWayOut) + wayOut
}

// maxBeforeWayOut leaves room for it in a condition's message.
const maxBeforeWayOut = 900

// noticed passes an error of a call on, and has the credentials read again if they were refused.
func (p *requestPass) noticed(err error) error { return p.account.Noticed(err) }

// failed tells whether a call has ended in a way that any other would as well: a server error need not.
func failed(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	switch {
	case !ok:
		return err != nil && !conditions.Explains(err)
	case e.Code == cloud.AuthenticationFailed:
		return true
	}
	return e.Code == cloud.RemoteUnavailable && (e.Throttled || e.HTTPStatus == 0)
}
