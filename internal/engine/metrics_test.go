package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics/metricstest"
)

// counts are what the engine has counted, without what is zero. Passes may fail.
func counts(t *testing.T, w *world, passes *metrics.Passes, changes ...func()) map[string]float64 {
	t.Helper()
	w.engine.Passes = passes.Kind("ProjectRole")
	for _, change := range append([]func(){func() {}}, changes...) {
		change()
		if _, role, err := w.pass(t); role == nil {
			t.Fatalf("the object is gone: %v", err)
		}
	}
	got := metricstest.Gather(t, passes)
	for name, value := range got {
		if value == 0 {
			delete(got, name)
		}
	}
	return got
}

// change changes the object.
func change(t *testing.T, w *world, how func(*v1alpha1.ProjectRole)) {
	t.Helper()
	role := newRole()
	if err := w.kube.Get(t.Context(), client.ObjectKeyFromObject(role), role); err != nil {
		t.Fatal(err)
	}
	how(role)
	if err := w.kube.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsCounted(t *testing.T) {
	const (
		granted = "plan_steps_total kind=ProjectRole result=Applied verb=Grant"
		revoked = "plan_steps_total kind=ProjectRole result=Applied verb=Revoke"
		refused = "plan_steps_total kind=ProjectRole result=Refused verb=Grant"
		added   = "grants_added_total kind=ProjectRole"
		removed = "grants_revoked_total kind=ProjectRole"
		found   = "drift_detected_total kind=ProjectRole"
		mended  = "drift_corrected_total kind=ProjectRole"
	)
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "projectroles"}, "r", errors.New("it was changed"))
	tests := map[string]struct {
		kind toy
		// changes come after the first pass, and a pass after each.
		changes func(*world) []func()
		observe bool
		want    map[string]float64
	}{
		"a role as it should be": {kind: toy{wanted: []string{"a"}, cloud: map[string]bool{"a": true}}, want: map[string]float64{}},
		"the first pass corrects no drift": {
			kind: toy{wanted: []string{"a", "b"}, cloud: map[string]bool{"c": true}},
			want: map[string]float64{granted: 2, revoked: 1, added: 2, removed: 1},
		},
		"drift is found and corrected": {
			kind: toy{wanted: []string{"a"}, cloud: map[string]bool{"a": true}},
			changes: func(w *world) []func() {
				return []func(){func() { delete(w.kind.cloud, "a") }}
			},
			want: map[string]float64{granted: 1, added: 1, found: 1, mended: 1},
		},
		"an edit is no drift": {
			kind: toy{wanted: []string{"a"}, cloud: map[string]bool{"a": true}},
			changes: func(w *world) []func() {
				return []func(){func() {
					w.kind.wanted = []string{"b"}
					change(t, w, func(role *v1alpha1.ProjectRole) { role.Generation++ })
				}}
			},
			want: map[string]float64{granted: 1, revoked: 1, added: 1, removed: 1},
		},
		"drift that is corrected in a later pass counts once": {
			kind: toy{wanted: []string{"a"}, cloud: map[string]bool{"a": true}, applyErr: map[string]error{}},
			changes: func(w *world) []func() {
				return []func(){
					func() { delete(w.kind.cloud, "a"); w.kind.applyErr["a"] = refusal(cloud.RemoteUnavailable) },
					func() {},
					func() { delete(w.kind.applyErr, "a") },
				}
			},
			want: map[string]float64{granted: 1, added: 1, refused: 2, found: 1, mended: 1},
		},
		"drift counts once, though another change of the object came between its discovery and its correction": {
			kind: toy{wanted: []string{"a"}, cloud: map[string]bool{"a": true}},
			changes: func(w *world) []func() {
				return []func(){
					func() { delete(w.kind.cloud, "a"); w.update = func() error { return conflict } },
					func() { w.update = nil },
				}
			},
			want: map[string]float64{granted: 1, added: 1, found: 1, mended: 1},
		},
		"drift that comes again counts again": {
			kind: toy{wanted: []string{"a"}, cloud: map[string]bool{"a": true}},
			changes: func(w *world) []func() {
				drift := func() { delete(w.kind.cloud, "a") }
				return []func(){drift, drift}
			},
			want: map[string]float64{granted: 2, added: 2, found: 2, mended: 2},
		},
		"drift that somebody asked to look for counts as any other": {
			kind: toy{wanted: []string{"a"}, cloud: map[string]bool{"a": true}},
			changes: func(w *world) []func() {
				return []func(){func() {
					delete(w.kind.cloud, "a")
					change(t, w, func(role *v1alpha1.ProjectRole) {
						role.Annotations = map[string]string{v1alpha1.RequestedAtAnnotation: "now"}
					})
				}}
			},
			want: map[string]float64{granted: 1, added: 1, found: 1, mended: 1},
		},
		"what a deletion takes away is no drift": {
			kind: toy{wanted: []string{"a"}, cloud: map[string]bool{"a": true}, applyErr: map[string]error{}},
			changes: func(w *world) []func() {
				return []func(){func() {
					w.kind.applyErr["a"] = refusal(cloud.RemoteUnavailable)
					if err := w.kube.Delete(t.Context(), newRole()); err != nil {
						t.Fatal(err)
					}
				}}
			},
			want: map[string]float64{"plan_steps_total kind=ProjectRole result=Refused verb=Revoke": 1},
		},
		"what is only observed is not drift": {
			kind: toy{wanted: []string{"a"}, cloud: map[string]bool{"a": true}}, observe: true,
			changes: func(w *world) []func() {
				return []func(){func() { delete(w.kind.cloud, "a") }}
			},
			want: map[string]float64{},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			role := newRole()
			if tc.observe {
				role.Spec.ManagementPolicy = v1alpha1.ManagementObserve
			}
			w := newWorld(t, role, &tc.kind)
			var changes []func()
			if tc.changes != nil {
				changes = tc.changes(w)
			}
			got := counts(t, w, metrics.NewPasses(clocktesting.NewFakePassiveClock(time.Unix(0, 0))), changes...)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhatIsGoneIsForgotten, even if nobody ever reads the metrics: an object of the same UID, which there never is, counts as one that was
// not looked at.
func TestWhatIsGoneIsForgotten(t *testing.T) {
	tests := map[string]func(*v1alpha1.ProjectRole){
		"what was granted is taken back": func(*v1alpha1.ProjectRole) {},
		"the cloud is left as it is":     func(role *v1alpha1.ProjectRole) { role.Spec.DeletionPolicy = v1alpha1.DeletionRetain },
	}
	for name, how := range tests {
		t.Run(name, func(t *testing.T) {
			role := newRole()
			how(role)
			w := newWorld(t, role, &toy{wanted: []string{"a"}})
			clock := clocktesting.NewFakePassiveClock(time.Unix(1000, 0))
			passes := metrics.NewPasses(clock)
			w.engine.Passes = passes.Kind("ProjectRole")
			if _, _, err := w.pass(t); err != nil {
				t.Fatal(err)
			}
			if err := w.kube.Delete(t.Context(), newRole()); err != nil {
				t.Fatal(err)
			}
			if _, left, err := w.pass(t); err != nil || left != nil {
				t.Fatalf("%v, and there is %v", err, left)
			}
			if err := w.kube.Create(t.Context(), newRole()); err != nil {
				t.Fatal(err)
			}
			objects := metrics.Objects{Reader: w.kube, Clock: clock, DefaultInterval: time.Hour, Passes: passes, Since: time.Unix(0, 0)}
			if got := metricstest.Gather(t, objects)["oldest_observation_seconds kind=ProjectRole"]; got != 1000 {
				t.Errorf("the oldest look is %v s old, want 1000", got)
			}
		})
	}
}
