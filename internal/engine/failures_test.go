package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// failures are all the ways in which a step can fail for ever.
var failures = map[string]*cloud.Error{
	"refused":               {Code: cloud.RemoteRejected, Op: "do it", HTTPStatus: 400},
	"denied":                {Code: cloud.PermissionDenied, Op: "do it", HTTPStatus: 403},
	"not found":             {Code: cloud.NotFound, Op: "do it", HTTPStatus: 404},
	"a server error":        {Code: cloud.RemoteUnavailable, Op: "do it", HTTPStatus: 500},
	"no answer":             {Code: cloud.RemoteUnavailable, Op: "do it"},
	"no connection":         {Code: cloud.RemoteUnavailable, Op: "do it", NotSent: true},
	"an unknown code":       {Code: cloud.UnexpectedResponse, Op: "do it", HTTPStatus: 200},
	"another server's 404":  {Code: cloud.UnexpectedResponse, Op: "do it", HTTPStatus: 404},
	"throttled":             {Code: cloud.RemoteUnavailable, Op: "do it", HTTPStatus: 429, Throttled: true},
	"credentials refused":   {Code: cloud.AuthenticationFailed, Op: "do it", HTTPStatus: 401},
	"the project not found": {Code: cloud.ProjectNotFound, Op: "do it", HTTPStatus: 404},
}

// TestOneBrokenStepKeepsNoOtherWaiting: whatever way a step fails for ever, all others of the plan
// are done within a few passes, those that take something away above all. Two steps fail at a time,
// since one that is tried last would otherwise never meet another.
func TestOneBrokenStepKeepsNoOtherWaiting(t *testing.T) {
	wanted, unwanted := []string{"a1", "a2", "a3", "a4"}, []string{"r1", "r2", "r3", "r4"}
	all := slices.Concat(wanted, unwanted)
	for name, failure := range failures {
		t.Run(name, func(t *testing.T) {
			for i, broken := range all {
				for _, alsoBroken := range all[i:] {
					kind := &toy{wanted: wanted, cloud: cloudOf(unwanted...), applyErr: map[string]error{broken: failure, alsoBroken: failure}}
					w := newWorld(t, newRole(), kind)
					var role *v1alpha1.ProjectRole
					for range 6 {
						role = w.glance(t)
					}
					want := cloudOf(wanted...)
					for _, name := range []string{broken, alsoBroken} {
						if delete(want, name); slices.Contains(unwanted, name) {
							want[name] = true
						}
					}
					if diff := cmp.Diff(want, kind.cloud); diff != "" {
						t.Errorf("%s and %s fail for ever; cloud (-want +got):\n%s", broken, alsoBroken, diff)
					}
					if conditions.IsReady(role) || conditions.ReadyCondition(role).ObservedGeneration != 1 {
						t.Errorf("%s and %s fail for ever, and the status is %s", broken, alsoBroken, seen(role))
					}
				}
			}
		})
	}
}

// TestAServiceThatIsDownIsLeftAlone: where all steps fail alike, few are tried.
func TestAServiceThatIsDownIsLeftAlone(t *testing.T) {
	for name, failure := range failures {
		if failure.Code == cloud.RemoteRejected || failure.Code == cloud.PermissionDenied || failure.Code == cloud.NotFound {
			continue // that says something about the step
		}
		t.Run(name, func(t *testing.T) {
			kind := &toy{wanted: sixty("a"), cloud: cloudOf(sixty("r")...), applyErr: map[string]error{}}
			for _, name := range slices.Concat(sixty("a"), sixty("r")) {
				kind.applyErr[name] = failure
			}
			w := newWorld(t, newRole(), kind)
			w.glance(t)
			if tried := len(kind.log) - 1; tried > 6 {
				t.Errorf("%d steps were tried, want at most 3 of those that add and 3 of those that take away", tried)
			}
		})
	}
}

// TestAPassCanBeStopped: once a change that forbids a write is stored, at most one more write is
// made, even if the cache does not show the change because it is as old as a process that was
// frozen.
func TestAPassCanBeStopped(t *testing.T) {
	changes := map[string]func(*testing.T, *world){
		"suspended": func(t *testing.T, w *world) {
			change(t, w, func(role *v1alpha1.ProjectRole) { role.Generation++; role.Spec.Suspend = true })
		},
		"edited":  func(t *testing.T, w *world) { change(t, w, func(role *v1alpha1.ProjectRole) { role.Generation++ }) },
		"deleted": func(t *testing.T, w *world) { t.Helper(); must(t, w.kube.Delete(t.Context(), newRole())) },
		"an approval withdrawn": func(t *testing.T, w *world) {
			change(t, w, func(role *v1alpha1.ProjectRole) {
				role.Annotations = map[string]string{v1alpha1.ApprovePlanAnnotation: "none"}
			})
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			kind := &toy{wanted: sixty("a")}
			w := newWorld(t, newRole(), kind)
			kind.before = func() {
				if len(kind.cloud) == 3 {
					kind.before = nil
					change(t, w)
				}
			}
			result, _, err := w.pass(t)
			if n := len(kind.cloud); n > 4 {
				t.Errorf("%d writes, want at most one after the third", n)
			}
			if err != nil || result.RequeueAfter == 0 {
				t.Errorf("result %v, error %v; want another pass soon", result, err)
			}
		})
	}
}

// TestAFrozenPassIsStopped: a process that was frozen wakes up with a cache as old as itself.
// Another leader has worked since.
func TestAFrozenPassIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kind := &toy{wanted: sixty("a")}
		w := newWorld(t, newRole(), kind)
		w.frozen = true
		kind.before = func() {
			if len(kind.cloud) == 3 {
				kind.before = nil
				change(t, w, func(role *v1alpha1.ProjectRole) { role.Generation++ })
				time.Sleep(10 * time.Second)
			}
		}
		result, _, err := w.pass(t)
		if n := len(kind.cloud); n > 4 || err != nil || result.RequeueAfter == 0 {
			t.Errorf("%d writes, result %v, error %v; want at most one write after the third, and another pass soon", n, result, err)
		}
	})
}

// TestAnEditDuringAPassLosesNothing: what a pass has done is on record, though its object was
// edited meanwhile.
func TestAnEditDuringAPassLosesNothing(t *testing.T) {
	kind := &toy{wanted: []string{"a", "b"}, cloud: cloudOf("old")}
	w := newWorld(t, newRole(), kind)
	edit := func() {
		if len(kind.cloud) == 3 {
			kind.before = nil
			change(t, w, func(role *v1alpha1.ProjectRole) { role.Generation++ })
		}
	}
	kind.before = edit
	role := w.glance(t)
	if role.Status.LastAppliedTime == nil || len(role.Status.Applied) != 2 {
		t.Errorf("what was granted before the edit is not on record: %+v", role.Status.TargetStatus)
	}
	if role = w.glance(t); seen(role) != "True/Succeeded" || role.Status.ObservedGeneration != 2 {
		t.Errorf("afterwards: %s of generation %d", seen(role), role.Status.ObservedGeneration)
	}
}

// TestARefusalThatLastsCostsNoMoreThanALook: once the same was refused three times, an object is
// read half as often as a healthy one, one of the refused steps is tried each time, and all of them
// at once when somebody asks.
func TestARefusalThatLastsCostsNoMoreThanALook(t *testing.T) {
	kind := &toy{wanted: []string{"a", "b", "c"}, applyErr: map[string]error{"a": failures["refused"], "b": failures["refused"]}}
	w := newWorld(t, newRole(), kind)
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	w.engine.Clock = clock
	for range 2 {
		if _, _, err := w.pass(t); err == nil {
			t.Fatal("the first passes are repeated soon")
		}
	}
	calls := func() int {
		kind.log = nil
		result, role, err := w.pass(t)
		if err != nil || result.RequeueAfter < 18*time.Minute || seen(role) != "False/PartiallyApplied" {
			t.Fatalf("next pass after %s, error %v, status %s", result.RequeueAfter, err, seen(role))
		}
		clock.SetTime(clock.Now().Add(result.RequeueAfter))
		return len(kind.log)
	}
	calls()
	tried := map[string]bool{}
	for range 4 {
		if n := calls(); n != 2 {
			t.Errorf("a pass made %d calls, want a look and one attempt: %v", n, kind.log)
		}
		tried[kind.log[1]] = true
	}
	if len(tried) != 2 {
		t.Errorf("tried %v, want both in turn", tried)
	}
	w.annotate(t, v1alpha1.RequestedAtAnnotation, "now")
	kind.log = nil
	w.glance(t)
	if len(kind.log) != 3 {
		t.Errorf("asked to, a pass made the calls %v, want a look and both attempts", kind.log)
	}
	delete(kind.applyErr, "b")
	kind.log = nil
	w.glance(t) // earlier than planned: something that the object depends on has changed
	if !kind.cloud["b"] {
		t.Error("b can be granted, and is not")
	}
}

// TestAStatusThatCannotBeStored: an API server that takes no more than some entries. What fits in
// parts converges; what fits in no way is said, after all that had to go is gone. Never does the
// object look as it did before.
func TestAStatusThatCannotBeStored(t *testing.T) {
	for room, want := range map[int]string{200: "True/Succeeded", 70: "True/Succeeded", 59: "False/InvalidSpec Stalled"} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			kind := &toy{wanted: sixty("old")}
			w := newWorld(t, newRole(), kind)
			if role := w.glance(t); seen(role) != "True/Succeeded" {
				t.Fatal(seen(role))
			}
			w.admit = func(role *v1alpha1.ProjectRole) error {
				if n := len(role.Status.Applied); n > room {
					return apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("ProjectRole").GroupKind(), "r", field.ErrorList{field.TooMany(field.NewPath("status", "applied"), n, room)})
				}
				return nil
			}
			kind.wanted = sixty("new")
			change(t, w, func(role *v1alpha1.ProjectRole) { role.Generation++ })
			var role *v1alpha1.ProjectRole
			for range 3 {
				role = w.glance(t)
			}
			if got := seen(role); got != want {
				t.Errorf("status %s, want %s", got, want)
			}
			granted := 0
			for name := range kind.cloud {
				if strings.HasPrefix(name, "old") {
					t.Fatalf("%s is still there", name)
				}
				granted++
			}
			if granted > len(role.Status.Applied) {
				t.Errorf("%d names in the cloud, and %d on record", granted, len(role.Status.Applied))
			}
		})
	}
}

// TestSomethingElseThatChangesItBackIsLeftAlone: three corrections of the same, undone each time,
// are enough.
func TestSomethingElseThatChangesItBackIsLeftAlone(t *testing.T) {
	tests := map[string]struct {
		// between is how long the cloud is as it should be.
		between time.Duration
		want    string
		writes  int
	}{
		"at every look": {10 * time.Minute, "False/NonConvergent Stalled", 3},
		"now and then":  {2 * time.Hour, "True/Succeeded", 8},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			kind := &toy{wanted: []string{"a"}, cloud: cloudOf("a")}
			w := newWorld(t, newRole(), kind)
			clock := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
			w.engine.Clock = clock
			role := w.glance(t)
			writes := 0
			for range 8 {
				kind.cloud["stranger"] = true
				kind.log = nil
				role = w.glance(t)
				writes += len(slices.DeleteFunc(kind.log, func(call string) bool { return call == "observe" }))
				clock.SetTime(clock.Now().Add(tc.between))
			}
			if seen(role) != tc.want || writes != tc.writes {
				t.Errorf("status %s after %d writes, want %s after %d", seen(role), writes, tc.want, tc.writes)
			}
			if tc.want == "True/Succeeded" {
				return
			}
			if message := conditions.ReadyCondition(role).Message; !strings.Contains(message, "Revoke Select on Table stranger") {
				t.Errorf("the message does not say what: %s", message)
			}
			w.annotate(t, v1alpha1.RequestedAtAnnotation, "now")
			if role = w.glance(t); seen(role) != "True/Succeeded" || kind.cloud["stranger"] {
				t.Errorf("asked to try again: status %s, cloud %v", seen(role), kind.cloud)
			}
		})
	}
}

// TestAnApprovalIsUsedOnce: the same names are emptied by mistake, a month after the same was
// approved, and once more where the pass that carried the approved plan out could not store its
// end.
func TestAnApprovalIsUsedOnce(t *testing.T) {
	for _, interrupted := range []bool{false, true} {
		t.Run(fmt.Sprintf("interrupted: %t", interrupted), func(t *testing.T) {
			kind := &toy{wanted: []string{"new"}, cloud: cloudOf(append(sixty("old"), "new")...)}
			w := newWorld(t, newRole(), kind)
			clock := clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
			w.engine.MaxRevocations, w.engine.Clock = 50, clock
			hash := w.glance(t).Status.PendingPlan.Hash
			w.annotate(t, v1alpha1.ApprovePlanAnnotation, hash)
			if interrupted {
				w.update = func() error {
					if len(kind.cloud) == 1 {
						return errors.New("down")
					}
					return nil
				}
			}
			role := w.glance(t)
			if w.update = nil; interrupted {
				role = w.glance(t)
			}
			if seen(role) != "True/Succeeded" || len(kind.cloud) != 1 || role.Status.ApprovedPlan != hash || role.Status.PendingPlan != nil {
				t.Fatalf("approved: status %s, %d names, approved plan %q, pending %v", seen(role), len(kind.cloud), role.Status.ApprovedPlan, role.Status.PendingPlan)
			}
			clock.SetTime(clock.Now().Add(30 * 24 * time.Hour))
			for _, name := range sixty("old") {
				kind.cloud[name] = true
			}
			if role = w.glance(t); seen(role) != "False/RevokeLimitExceeded Stalled" || len(kind.cloud) != 61 || role.Status.PendingPlan.Hash == hash {
				t.Errorf("the same a month later: status %s, %d names, pending %v", seen(role), len(kind.cloud), role.Status.PendingPlan)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
