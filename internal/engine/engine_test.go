package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// toy is a kind whose cloud is a set of names, wanted through an annotation of a ProjectRole. Every method can be made to fail.
type toy struct {
	wanted    []string
	cloud     map[string]bool
	observe   error
	desired   error
	applyErr  map[string]error
	invisible map[string]bool
	hold      *plan.Hold
	confirm   error
	problems  []string
	log       []string
	// before, if set, runs before each write, as another client of the API server may.
	before func()
	// background tells of each look whether anybody waited for it.
	background []bool
}

func (k *toy) Desired(context.Context, *v1alpha1.ProjectRole) ([]string, error) {
	return k.wanted, k.desired
}

func (k *toy) Observe(ctx context.Context, _ *v1alpha1.ProjectRole) ([]string, error) {
	k.log = append(k.log, "observe")
	k.background = append(k.background, cloud.IsBackground(ctx))
	var have []string
	for name := range k.cloud {
		if !k.invisible[name] {
			have = append(have, name)
		}
	}
	slices.Sort(have)
	return have, k.observe
}

func (k *toy) Plan(role *v1alpha1.ProjectRole, want, have []string) plan.Plan {
	if !role.DeletionTimestamp.IsZero() {
		want = nil
	}
	p := plan.Plan{Hold: k.hold, Problems: k.problems, Holds: len(have)}
	for _, name := range want {
		if !slices.Contains(have, name) {
			p.Steps = append(p.Steps, plan.Step{Verb: plan.Grant, Entry: plan.Entry{Kind: "Table", Name: name, Actions: []string{"Select"}}})
		}
	}
	for _, name := range have {
		if !slices.Contains(want, name) {
			p.Steps = append(p.Steps, plan.Step{Verb: plan.Revoke, Entry: plan.Entry{Kind: "Table", Name: name, Actions: []string{"Select"}}})
		}
	}
	return p
}

func (k *toy) Confirm(context.Context, *v1alpha1.ProjectRole, bool) error { return k.confirm }

func (k *toy) Intend(role *v1alpha1.ProjectRole, p plan.Plan) {
	for _, step := range p.Steps {
		known := slices.ContainsFunc(role.Status.Applied, func(e v1alpha1.InventoryEntry) bool { return e.Name == step.Name })
		if step.Verb == plan.Grant && !known {
			role.Status.Applied = append(role.Status.Applied, v1alpha1.InventoryEntry{Kind: step.Kind, Name: step.Name})
		}
	}
}

func (k *toy) Apply(ctx context.Context, role *v1alpha1.ProjectRole, step plan.Step) error {
	if k.before != nil {
		k.before()
	}
	if err := cloud.Permit(ctx, "GRANT"); err != nil {
		return err
	}
	k.log = append(k.log, step.String())
	if err := k.applyErr[step.Name]; err != nil {
		return err
	}
	if step.Verb == plan.Grant {
		k.cloud[step.Name] = true
		return nil
	}
	delete(k.cloud, step.Name)
	role.Status.Applied = slices.DeleteFunc(role.Status.Applied, func(e v1alpha1.InventoryEntry) bool { return e.Name == step.Name })
	return nil
}

func (k *toy) Report(*v1alpha1.ProjectRole, []string, []string) string { return "as wanted" }

// world is a toy under an engine with an API server in memory.
type world struct {
	kind   *toy
	kube   client.WithWatch
	engine *engine.Reconciler[*v1alpha1.ProjectRole, []string]
	events *events.FakeRecorder
	// update, if set, fails status updates; patch fails other patches.
	update, patch func() error
	// frozen has the engine's cache show what it showed first.
	frozen bool
	seen   *v1alpha1.ProjectRole
	// admit, if set, decides what status may be stored.
	admit func(*v1alpha1.ProjectRole) error
}

func newWorld(t *testing.T, role *v1alpha1.ProjectRole, kind *toy) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := &world{kind: kind, events: events.NewFakeRecorder(100)}
	if kind.cloud == nil {
		kind.cloud = map[string]bool{}
	}
	w.kube = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(role).WithObjects(role).WithInterceptorFuncs(interceptor.Funcs{
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, obj client.Object, opts ...client.SubResourceUpdateOption) error {
			if w.update != nil {
				if err := w.update(); err != nil {
					return err
				}
			}
			if w.admit != nil {
				if err := w.admit(obj.(*v1alpha1.ProjectRole)); err != nil {
					return err
				}
			}
			return c.SubResource(sub).Update(ctx, obj, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if w.patch != nil {
				if err := w.patch(); err != nil {
					return err
				}
			}
			return c.Patch(ctx, obj, patch, opts...)
		},
	}).Build()
	cache := interceptor.NewClient(w.kube, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			role := obj.(*v1alpha1.ProjectRole) //nolint:forcetypeassert // there is nothing else
			if w.frozen && w.seen != nil {
				w.seen.DeepCopyInto(role)
				return nil
			}
			err := c.Get(ctx, key, role, opts...)
			w.seen = role.DeepCopy()
			return err
		},
	})
	w.engine = &engine.Reconciler[*v1alpha1.ProjectRole, []string]{
		Store: engine.Store[*v1alpha1.ProjectRole]{
			Client: cache, Live: w.kube, Events: w.events, New: func() *v1alpha1.ProjectRole { return &v1alpha1.ProjectRole{} }, Finalizer: v1alpha1.Finalizer,
		},
		Clock: clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0)), Kind: kind, DefaultInterval: 10 * time.Minute,
	}
	return w
}

func newRole() *v1alpha1.ProjectRole {
	return &v1alpha1.ProjectRole{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "r", Generation: 1},
		Status:     v1alpha1.ProjectRoleStatus{SyncStatus: v1alpha1.SyncStatus{ObservedGeneration: -1}},
	}
}

func (w *world) pass(t *testing.T) (ctrl.Result, *v1alpha1.ProjectRole, error) {
	t.Helper()
	key := client.ObjectKey{Namespace: "n", Name: "r"}
	result, err := w.engine.Reconcile(t.Context(), ctrl.Request{NamespacedName: key})
	role := &v1alpha1.ProjectRole{}
	if getErr := w.kube.Get(t.Context(), key, role); getErr != nil {
		return result, nil, err
	}
	return result, role, err
}

func refusal(code cloud.Code) error { return &cloud.Error{Code: code, Op: "grant", RemoteCode: "X"} }

func TestHowAPassEnds(t *testing.T) {
	tests := map[string]struct {
		kind toy
		// want is Ready's status and reason; log the calls after the pass.
		want string
		log  []string
		// retry: the pass asks to be repeated by failing; otherwise it names a time.
		retry bool
	}{
		"what is wanted is there": {
			kind: toy{wanted: []string{"a"}, cloud: map[string]bool{"a": true}}, want: "True/Succeeded", log: []string{"observe"},
		},
		"what is missing is granted and looked at": {
			kind: toy{wanted: []string{"a"}}, want: "True/Succeeded", log: []string{"observe", "Grant Select on Table a", "observe"},
		},
		"grants come before revocations": {
			kind: toy{wanted: []string{"a"}, cloud: map[string]bool{"b": true}}, want: "True/Succeeded",
			log: []string{"observe", "Grant Select on Table a", "Revoke Select on Table b", "observe"},
		},
		"a refused grant does not cost the others": {
			kind: toy{wanted: []string{"a", "b"}, applyErr: map[string]error{"a": refusal(cloud.RemoteRejected)}}, want: "False/PartiallyApplied",
			log: []string{"observe", "Grant Select on Table a", "Grant Select on Table b", "observe"}, retry: true,
		},
		"refused credentials end the pass": {
			kind: toy{wanted: []string{"a", "b"}, applyErr: map[string]error{"a": refusal(cloud.AuthenticationFailed)}}, want: "False/AuthenticationFailed",
			log: []string{"observe", "Grant Select on Table a"}, retry: true,
		},
		"throttling ends the pass": {
			kind: toy{wanted: []string{"a", "b"}, applyErr: map[string]error{"a": &cloud.Error{Code: cloud.RemoteUnavailable, Op: "grant", Throttled: true}}},
			want: "False/RemoteUnavailable", log: []string{"observe", "Grant Select on Table a"}, retry: true,
		},
		"throttling with a delay names the time": {
			kind: toy{wanted: []string{"a"}, applyErr: map[string]error{"a": &cloud.Error{Code: cloud.RemoteUnavailable, Op: "grant", Throttled: true, RetryAfter: 7 * time.Second}}},
			want: "False/RemoteUnavailable", log: []string{"observe", "Grant Select on Table a"},
		},
		"an answer that means nothing does not cost the others": {
			kind: toy{wanted: []string{"a", "b"}, applyErr: map[string]error{"a": refusal(cloud.UnexpectedResponse)}}, want: "False/UnexpectedResponse",
			log: []string{"observe", "Grant Select on Table a", "Grant Select on Table b"}, retry: true,
		},
		"no answer ends the pass for all that would be granted": {
			kind: toy{wanted: []string{"a", "b"}, applyErr: map[string]error{"a": refusal(cloud.RemoteUnavailable)}}, want: "False/RemoteUnavailable",
			log: []string{"observe", "Grant Select on Table a"}, retry: true,
		},
		"a write that is not visible is not repeated": {
			kind: toy{wanted: []string{"a"}, invisible: map[string]bool{"a": true}}, want: "False/Progressing",
			log: []string{"observe", "Grant Select on Table a", "observe"},
		},
		"a failed look ends the pass": {
			kind: toy{wanted: []string{"a"}, observe: refusal(cloud.PermissionDenied)}, want: "False/PermissionDenied", log: []string{"observe"}, retry: true,
		},
		"a spec that cannot work stalls": {
			kind: toy{desired: refusal(cloud.InvalidSpec)}, want: "False/InvalidSpec Stalled",
		},
		"what cannot be mended is said": {
			kind: toy{wanted: []string{"a"}, problems: []string{"b is dead"}}, want: "False/PartiallyApplied",
			log: []string{"observe", "Grant Select on Table a", "observe"}, retry: true,
		},
		"a plan that must not be carried out stalls": {
			kind: toy{wanted: []string{"a"}, hold: &plan.Hold{Reason: "AlreadyExists", Message: "somebody else's"}}, want: "False/AlreadyExists Stalled", log: []string{"observe"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, newRole(), &tc.kind)
			result, role, err := w.pass(t)
			if got := seen(role); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if diff := cmp.Diff(tc.log, tc.kind.log); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if (err != nil) != tc.retry || (result.RequeueAfter > 0) == tc.retry {
				t.Errorf("result %v, error %v; want a retry by error: %v", result, err, tc.retry)
			}
			if decided := role.Status.ObservedGeneration == 1; decided != (tc.want == "True/Succeeded" || conditionIs(role, v1alpha1.StalledCondition)) {
				t.Errorf("observedGeneration %d for %s", role.Status.ObservedGeneration, tc.want)
			}
		})
	}
}

func seen(role *v1alpha1.ProjectRole) string {
	ready := conditions.ReadyCondition(role)
	if ready == nil {
		return "no Ready condition"
	}
	out := string(ready.Status) + "/" + ready.Reason
	if conditionIs(role, v1alpha1.StalledCondition) {
		out += " Stalled"
	}
	return out
}

func conditionIs(role *v1alpha1.ProjectRole, conditionType string) bool {
	for _, c := range role.Status.Conditions {
		if c.Type == conditionType {
			return c.Status == metav1.ConditionTrue
		}
	}
	return false
}

func TestNothingIsDoneBeforeItsIntentIsStored(t *testing.T) {
	conflict := apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("projectroles").GroupResource(), "r", errors.New("changed"))
	tests := map[string]struct {
		arrange func(*world)
		// conflict: the pass ends without an error and comes back soon.
		conflict bool
	}{
		"the intent cannot be stored":        {func(w *world) { w.update = func() error { return errors.New("down") } }, false},
		"the object was changed in between":  {func(w *world) { w.update = func() error { return conflict } }, true},
		"the finalizer cannot be stored":     {func(w *world) { w.patch = func() error { return errors.New("down") } }, false},
		"the object was changed before that": {func(w *world) { w.patch = func() error { return conflict } }, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			kind := &toy{wanted: []string{"a"}}
			w := newWorld(t, newRole(), kind)
			tc.arrange(w)
			result, _, err := w.pass(t)
			if len(kind.cloud) > 0 {
				t.Error("something was granted")
			}
			if tc.conflict != (err == nil && result.RequeueAfter > 0) {
				t.Errorf("result %v, error %v", result, err)
			}
			w.update, w.patch = nil, nil
			if _, role, err := w.pass(t); err != nil || seen(role) != "True/Succeeded" {
				t.Errorf("afterwards: %v, %s", err, seen(role))
			}
		})
	}
}

func TestAFailureOfTheAPIServerIsNotTheObjects(t *testing.T) {
	kind := &toy{wanted: []string{"a"}, observe: errors.New("the cache is gone")}
	w := newWorld(t, newRole(), kind)
	_, role, err := w.pass(t)
	if err == nil || conditions.ReadyCondition(role) != nil {
		t.Errorf("error %v, status %s", err, seen(role))
	}
}

func TestShutdownIsNoFailure(t *testing.T) {
	kind := &toy{wanted: []string{"a"}, observe: &cloud.Error{Code: cloud.RemoteUnavailable, Op: "look", Err: context.Canceled}}
	w := newWorld(t, newRole(), kind)
	_, role, err := w.pass(t)
	if err == nil || conditions.ReadyCondition(role) != nil || len(w.events.Events) > 0 {
		t.Errorf("error %v, status %s, %d events", err, seen(role), len(w.events.Events))
	}
}

func TestDeletionIsNeverGivenUp(t *testing.T) {
	kind := &toy{wanted: []string{"a"}}
	w := newWorld(t, newRole(), kind)
	if _, role, err := w.pass(t); err != nil || seen(role) != "True/Succeeded" {
		t.Fatalf("%v, %s", err, seen(role))
	}
	if err := w.kube.Delete(t.Context(), newRole()); err != nil {
		t.Fatal(err)
	}
	kind.hold = &plan.Hold{Reason: "CreateResultUnknown", Message: "cannot be told"}
	_, role, err := w.pass(t)
	if err == nil || seen(role) != "False/CreateResultUnknown" || !conditionIs(role, v1alpha1.ReconcilingCondition) {
		t.Errorf("error %v, status %s; want a retry and no Stalled", err, seen(role))
	}
	kind.hold = nil
	if _, role, err := w.pass(t); err != nil || role != nil || len(kind.cloud) > 0 {
		t.Errorf("error %v, object %v, cloud %v", err, role, kind.cloud)
	}
}

// sixty are as many names, more than may go without approval.
func sixty(prefix string) []string {
	var list []string
	for i := range 60 {
		list = append(list, fmt.Sprintf("%s%03d", prefix, i))
	}
	return list
}

func cloudOf(names ...string) map[string]bool {
	cloud := map[string]bool{}
	for _, name := range names {
		cloud[name] = true
	}
	return cloud
}

// glance makes a pass whose condition is what counts.
func (w *world) glance(t *testing.T) *v1alpha1.ProjectRole {
	t.Helper()
	_, role, _ := w.pass(t) //nolint:errcheck // see above
	return role
}

func (w *world) annotate(t *testing.T, key, value string) {
	t.Helper()
	role := &v1alpha1.ProjectRole{}
	if err := w.kube.Get(t.Context(), client.ObjectKey{Namespace: "n", Name: "r"}, role); err != nil {
		t.Fatal(err)
	}
	metav1.SetMetaDataAnnotation(&role.ObjectMeta, key, value)
	if err := w.kube.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
}

func TestAMassRevokeWaitsForItsOwnApproval(t *testing.T) {
	kind := &toy{wanted: []string{"new"}, cloud: cloudOf(sixty("old")...)}
	w := newWorld(t, newRole(), kind)
	w.engine.MaxRevocations = 50
	_, role, err := w.pass(t)
	if err != nil || seen(role) != "False/RevokeLimitExceeded Stalled" || len(kind.cloud) != 60 {
		t.Fatalf("error %v, status %s, %d names in the cloud", err, seen(role), len(kind.cloud))
	}
	pending := role.Status.PendingPlan
	if pending == nil || pending.Revokes != 60 || pending.Grants != 1 || role.Status.DriftCount != 61 {
		t.Fatalf("pending plan %+v, drift %d", pending, role.Status.DriftCount)
	}
	w.annotate(t, v1alpha1.ApprovePlanAnnotation, pending.Hash)
	kind.cloud["another"] = true
	if role = w.glance(t); seen(role) != "False/RevokeLimitExceeded Stalled" || len(kind.cloud) != 61 {
		t.Fatalf("the approval of another plan: status %s, %d names in the cloud", seen(role), len(kind.cloud))
	}
	delete(kind.cloud, "another")
	if _, role, err = w.pass(t); err != nil || seen(role) != "True/Succeeded" || role.Status.PendingPlan != nil || role.Status.DriftCount != 0 {
		t.Fatalf("approved: error %v, status %s, pending plan %v, drift %d", err, seen(role), role.Status.PendingPlan, role.Status.DriftCount)
	}
	if diff := cmp.Diff(cloudOf("new"), kind.cloud); diff != "" {
		t.Errorf("cloud (-want +got):\n%s", diff)
	}
}

// TestAnApprovedPlanGoesFirst: somebody waits for it.
func TestAnApprovedPlanGoesFirst(t *testing.T) {
	kind := &toy{wanted: []string{"new"}, cloud: cloudOf(sixty("old")...)}
	w := newWorld(t, newRole(), kind)
	w.engine.MaxRevocations = 50
	w.glance(t)
	role := w.glance(t)
	w.annotate(t, v1alpha1.ApprovePlanAnnotation, role.Status.PendingPlan.Hash)
	w.glance(t)
	if diff := cmp.Diff([]bool{false, true, false, false}, kind.background); diff != "" {
		t.Errorf("which looks were in the background: the first, one at what waits for approval, two of the approved plan (-want +got):\n%s", diff)
	}
}

func TestAnOldApprovalIsNoneForANewPlan(t *testing.T) {
	kind := &toy{cloud: cloudOf(sixty("old")...)}
	w := newWorld(t, newRole(), kind)
	w.engine.MaxRevocations = 50
	role := w.glance(t)
	w.annotate(t, v1alpha1.ApprovePlanAnnotation, role.Status.PendingPlan.Hash)
	w.glance(t)
	kind.cloud = cloudOf(sixty("new")...)
	if role = w.glance(t); seen(role) != "False/RevokeLimitExceeded Stalled" || len(kind.cloud) != 60 {
		t.Errorf("status %s, %d names in the cloud", seen(role), len(kind.cloud))
	}
}

func TestDeletionNeedsNoApproval(t *testing.T) {
	kind := &toy{wanted: sixty("old")}
	w := newWorld(t, newRole(), kind)
	w.engine.MaxRevocations = 50
	w.glance(t)
	if err := w.kube.Delete(t.Context(), newRole()); err != nil {
		t.Fatal(err)
	}
	if _, role, err := w.pass(t); err != nil || role != nil || len(kind.cloud) > 0 {
		t.Errorf("error %v, object %v, %d names in the cloud", err, role, len(kind.cloud))
	}
}

func TestWhatDoesNotStickIsGivenUp(t *testing.T) {
	kind := &toy{wanted: []string{"a"}, invisible: map[string]bool{"a": true}}
	w := newWorld(t, newRole(), kind)
	var result ctrl.Result
	var role *v1alpha1.ProjectRole
	for range 6 {
		result, role, _ = w.pass(t) //nolint:errcheck // the condition is what counts
	}
	grants := 0
	for _, call := range kind.log {
		if call != "observe" {
			grants++
		}
	}
	if seen(role) != "False/NonConvergent Stalled" || grants != 3 || result.RequeueAfter < 9*time.Minute {
		t.Fatalf("status %s after %d writes, next look after %s", seen(role), grants, result.RequeueAfter)
	}
	kind.invisible = nil
	if _, role, err := w.pass(t); err != nil || seen(role) != "True/Succeeded" || role.Status.Unsettled != 0 {
		t.Errorf("once it is visible: error %v, status %s, unsettled %d", err, seen(role), role.Status.Unsettled)
	}
}

func TestWhatOnlyObservesWritesNothing(t *testing.T) {
	role := newRole()
	role.Spec.ManagementPolicy = v1alpha1.ManagementObserve
	kind := &toy{wanted: []string{"a"}, cloud: cloudOf("b")}
	w := newWorld(t, role, kind)
	_, role, err := w.pass(t)
	if err != nil || seen(role) != "True/Observed" || !conditionIs(role, v1alpha1.DriftedCondition) || role.Status.DriftCount != 2 {
		t.Fatalf("error %v, status %s, drift %v", err, seen(role), role.Status.Drift)
	}
	kind.cloud = cloudOf("a")
	if _, role, err = w.pass(t); err != nil || seen(role) != "True/Observed" || conditionIs(role, v1alpha1.DriftedCondition) {
		t.Fatalf("error %v, status %s, drift %v", err, seen(role), role.Status.Drift)
	}
	if err := w.kube.Delete(t.Context(), newRole()); err != nil {
		t.Fatal(err)
	}
	if _, role, err := w.pass(t); err != nil || role != nil {
		t.Errorf("error %v, object %v", err, role)
	}
	if diff := cmp.Diff([]string{"observe", "observe"}, kind.log); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestLooksThatNobodyAskedForGoLast(t *testing.T) {
	kind := &toy{wanted: []string{"a"}, observe: refusal(cloud.PermissionDenied)}
	w := newWorld(t, newRole(), kind)
	w.glance(t)
	kind.observe = nil
	result, _, err := w.pass(t)
	if err != nil {
		t.Fatal(err)
	}
	if result.Priority == nil || *result.Priority >= 0 {
		t.Errorf("the next look has priority %v", result.Priority)
	}
	w.glance(t)
	w.annotate(t, v1alpha1.RequestedAtAnnotation, "now")
	w.glance(t)
	if diff := cmp.Diff([]bool{false, false, false, true, false}, kind.background); diff != "" {
		t.Errorf("which looks were in the background: one that failed, two of the first pass that did not, a quiet one, one asked for (-want +got):\n%s", diff)
	}
}
