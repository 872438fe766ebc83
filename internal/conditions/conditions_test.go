package conditions_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// object is one of the project's kinds.
type object interface {
	runtime.Object
	conditions.Object
}

// kinds are new objects of every kind, as the API server makes them.
var kinds = map[string]func() object{
	"Connection":            func() object { return newborn(&v1alpha1.Connection{}, "Connection") },
	"ClusterConnection":     func() object { return newborn(&v1alpha1.ClusterConnection{}, "ClusterConnection") },
	"ProjectRole":           func() object { return newborn(&v1alpha1.ProjectRole{}, "ProjectRole") },
	"MaxComputePackage":     func() object { return newborn(&v1alpha1.MaxComputePackage{}, "MaxComputePackage") },
	"PackageInstallation":   func() object { return newborn(&v1alpha1.PackageInstallation{}, "PackageInstallation") },
	"PermissionApply":       func() object { return newborn(&v1alpha1.PermissionApply{}, "PermissionApply") },
	"ResourcePackageExport": func() object { return newborn(&v1alpha1.ResourcePackageExport{}, "ResourcePackageExport") },
}

// newborn gives an object what the API server gives it.
func newborn(obj object, kind string) object {
	obj.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	obj.SetName("prod")
	obj.SetGeneration(3)
	obj.GetSyncStatus().ObservedGeneration = -1
	return obj
}

// kstatus is what tools make of an object.
func kstatus(t *testing.T, obj object) status.Status {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

func TestToolsReadEveryState(t *testing.T) {
	outcome := func(state conditions.State, reason string) func(object) {
		return func(obj object) { conditions.Set(obj, conditions.Outcome{State: state, Reason: reason, Message: "m"}) }
	}
	deleting := func(obj object) {
		obj.SetDeletionTimestamp(&metav1.Time{Time: time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC)})
		obj.SetFinalizers([]string{"maxcompute-operator.io/finalizer"})
	}
	edited := func(obj object) { obj.SetGeneration(obj.GetGeneration() + 1) }
	suspended := func(obj object) { conditions.SetSuspended(obj) }
	ready, waiting := outcome(conditions.Ready, v1alpha1.ReasonSucceeded), outcome(conditions.Reconciling, v1alpha1.ReasonRemoteUnavailable)
	stalled := outcome(conditions.Stalled, v1alpha1.ReasonInvalidSpec)
	progressing := func(obj object) { conditions.SetProgressing(obj, "m") }
	tests := map[string]struct {
		history  []func(object)
		want     status.Status
		observed int64
	}{
		"just created":                            {nil, status.InProgressStatus, -1},
		"ready":                                   {[]func(object){ready}, status.CurrentStatus, 3},
		"waiting from the start":                  {[]func(object){waiting}, status.InProgressStatus, -1},
		"waiting after it was ready":              {[]func(object){ready, waiting}, status.InProgressStatus, 3},
		"stalled":                                 {[]func(object){stalled}, status.FailedStatus, 3},
		"stalled after it was ready":              {[]func(object){ready, stalled}, status.FailedStatus, 3},
		"ready after it was stalled":              {[]func(object){stalled, ready}, status.CurrentStatus, 3},
		"waiting after it was stalled":            {[]func(object){stalled, waiting}, status.InProgressStatus, 3},
		"edited after it was ready":               {[]func(object){ready, edited}, status.InProgressStatus, 3},
		"edited after it was stalled":             {[]func(object){stalled, edited}, status.InProgressStatus, 3},
		"edited, and the edit is waiting":         {[]func(object){ready, edited, waiting}, status.InProgressStatus, 3},
		"edited, and the edit is being applied":   {[]func(object){ready, edited, progressing}, status.InProgressStatus, 3},
		"edited, and the edit is in place":        {[]func(object){ready, edited, progressing, ready}, status.CurrentStatus, 4},
		"edited, and the edit cannot work":        {[]func(object){ready, edited, stalled}, status.FailedStatus, 4},
		"deleted":                                 {[]func(object){ready, deleting}, status.TerminatingStatus, 3},
		"deleted, and the deletion has to wait":   {[]func(object){ready, deleting, waiting}, status.TerminatingStatus, 3},
		"deleted while it was stalled":            {[]func(object){stalled, deleting}, status.TerminatingStatus, 3},
		"born suspended":                          {[]func(object){suspended}, status.InProgressStatus, -1},
		"suspended after it was ready":            {[]func(object){ready, suspended}, status.CurrentStatus, 3},
		"suspended and edited after it was ready": {[]func(object){ready, suspended, edited, suspended}, status.InProgressStatus, 3},
	}
	for kind, create := range kinds {
		for name, tc := range tests {
			t.Run(kind+" "+name, func(t *testing.T) {
				obj := create()
				for _, happens := range tc.history {
					happens(obj)
				}
				if got := kstatus(t, obj); got != tc.want {
					t.Errorf("kstatus %s, want %s", got, tc.want)
				}
				if got := obj.GetSyncStatus().ObservedGeneration; got != tc.observed {
					t.Errorf("observedGeneration %d, want %d", got, tc.observed)
				}
			})
		}
	}
}

func TestToolsReadEveryCause(t *testing.T) {
	want := map[conditions.State]status.Status{conditions.Reconciling: status.InProgressStatus, conditions.Stalled: status.FailedStatus}
	for name, tc := range causes {
		t.Run(name, func(t *testing.T) {
			obj := kinds["ProjectRole"]()
			conditions.Set(obj, conditions.FromError(tc.err))
			if got := kstatus(t, obj); got != want[tc.want.State] {
				t.Errorf("kstatus %s, want %s", got, want[tc.want.State])
			}
		})
	}
}

func TestAnObjectThatIsBornSuspendedSaysSo(t *testing.T) {
	obj := kinds["ProjectRole"]()
	conditions.SetSuspended(obj)
	ready := conditions.ReadyCondition(obj)
	if ready == nil || ready.Status != metav1.ConditionUnknown || ready.Reason != v1alpha1.ReasonSuspended {
		t.Errorf("Ready = %v", ready)
	}
	before := obj.DeepCopyObject()
	conditions.SetSuspended(obj)
	if diff := cmp.Diff(before, runtime.Object(obj)); diff != "" {
		t.Errorf("the second pass changed it:\n%s", diff)
	}
}

func TestSuspendingKeepsWhatWasKnown(t *testing.T) {
	obj := kinds["ProjectRole"]()
	conditions.Set(obj, conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonInvalidSpec, Message: "m"})
	before := obj.DeepCopyObject()
	conditions.SetSuspended(obj)
	if diff := cmp.Diff(before, runtime.Object(obj)); diff != "" {
		t.Errorf("suspending changed it:\n%s", diff)
	}
}

func TestMessagesFitIntoACondition(t *testing.T) {
	tests := map[string]struct{ message, want string }{
		"a short one":                         {"all is well", "all is well"},
		"none":                                {"", ""},
		"the longest":                         {strings.Repeat("x", 1024), strings.Repeat("x", 1024)},
		"one byte too long":                   {strings.Repeat("x", 1025), strings.Repeat("x", 1021) + "…"},
		"cut within a character of two bytes": {strings.Repeat("é", 600), strings.Repeat("é", 510) + "…"},
		"cut within a character of three":     {"ab" + strings.Repeat("数", 600), "ab" + strings.Repeat("数", 339) + "…"},
		"cut within a character of four":      {strings.Repeat("😀", 300), strings.Repeat("😀", 255) + "…"},
		"no text at all":                      {"a\xff\xfeb", "a\uFFFDb"},
		"no text at all, and long":            {strings.Repeat("\x80", 3000), "\uFFFD"},
		"a half character at the end":         {"abc\xe6\x95", "abc\uFFFD"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			obj := kinds["ProjectRole"]()
			conditions.Set(obj, conditions.Outcome{State: conditions.Stalled, Reason: "R", Message: tc.message})
			for _, c := range obj.GetSyncStatus().Conditions {
				if diff := cmp.Diff(tc.want, c.Message); diff != "" {
					t.Errorf("message of %s (-want +got):\n%s", c.Type, diff)
				}
			}
		})
	}
}

func TestRequestsAreEchoed(t *testing.T) {
	obj := kinds["ProjectRole"]()
	conditions.SetHandled(obj)
	if got := obj.GetSyncStatus().LastHandledReconcileAt; got != "" {
		t.Errorf("echo of nothing: %q", got)
	}
	obj.SetAnnotations(map[string]string{v1alpha1.RequestedAtAnnotation: "now"})
	conditions.SetHandled(obj)
	obj.SetAnnotations(nil)
	conditions.SetHandled(obj)
	if got := obj.GetSyncStatus().LastHandledReconcileAt; got != "now" {
		t.Errorf("echo %q, want the last request", got)
	}
}

func TestChangedMeansThatReadySaysSomethingNew(t *testing.T) {
	with := func(outcome conditions.Outcome) object {
		obj := kinds["ProjectRole"]()
		conditions.Set(obj, outcome)
		return obj
	}
	base := conditions.Outcome{State: conditions.Stalled, Reason: "R", Message: "m"}
	none := kinds["ProjectRole"]()
	edited := with(base)
	edited.SetGeneration(9)
	conditions.Set(edited, base)
	tests := map[string]struct {
		before, after object
		want          bool
	}{
		"nothing, before and after": {none, none, false},
		"the first word":            {none, with(base), true},
		"the same":                  {with(base), with(base), false},
		"the same of another spec":  {with(base), edited, false},
		"another message":           {with(base), with(conditions.Outcome{State: conditions.Stalled, Reason: "R", Message: "n"}), true},
		"another reason":            {with(base), with(conditions.Outcome{State: conditions.Stalled, Reason: "S", Message: "m"}), true},
		"another status":            {with(base), with(conditions.Outcome{State: conditions.Ready, Reason: "R", Message: "m"}), true},
		"nothing any more":          {with(base), none, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := conditions.Changed(tc.before, tc.after); got != tc.want {
				t.Errorf("Changed = %v, want %v", got, tc.want)
			}
		})
	}
}

// past is when the conditions of an object are made to have changed last.
var past = metav1.NewTime(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))

func TestWhatEveryHistoryLeavesBehind(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		obj := kinds["ProjectRole"]()
		for step := range 20 {
			before := obj.DeepCopyObject().(object)
			event, outcome := randomEvent(random, obj)
			if err := invariants(before, obj, event, outcome); err != nil {
				t.Fatalf("seed %d, step %d, after %s %v: %v\nbefore %v\nafter  %v", seed, step, event, outcome, err, before.GetSyncStatus(), obj.GetSyncStatus())
			}
			for i := range obj.GetSyncStatus().Conditions {
				obj.GetSyncStatus().Conditions[i].LastTransitionTime = past
			}
		}
	}
}

// randomEvent lets something happen to an object.
func randomEvent(random *rand.Rand, obj object) (string, conditions.Outcome) {
	outcome := conditions.Outcome{
		State: conditions.State(random.IntN(3)), Reason: []string{"A", "B"}[random.IntN(2)], Message: strings.Repeat([]string{"x", "数", "\xff", ""}[random.IntN(4)], random.IntN(2000)),
	}
	switch random.IntN(5) {
	case 0:
		conditions.SetProgressing(obj, outcome.Message)
		return "progress", outcome
	case 1:
		conditions.SetSuspended(obj)
		return "suspension", outcome
	case 2:
		obj.SetGeneration(obj.GetGeneration() + 1)
	}
	conditions.Set(obj, outcome)
	return "outcome", outcome
}

// invariants says what is wrong with a status after something happened.
func invariants(before, after object, event string, outcome conditions.Outcome) error {
	list := after.GetSyncStatus().Conditions
	has := func(conditionType string) bool { return apimeta.IsStatusConditionTrue(list, conditionType) }
	ready := conditions.ReadyCondition(after)
	decided := event == "outcome" && outcome.State != conditions.Reconciling
	wantObserved := before.GetSyncStatus().ObservedGeneration
	if decided {
		wantObserved = after.GetGeneration()
	}
	switch {
	case ready == nil:
		return fmt.Errorf("no Ready condition")
	case has(v1alpha1.ReconcilingCondition) && has(v1alpha1.StalledCondition):
		return fmt.Errorf("Reconciling and Stalled")
	case ready.Status == metav1.ConditionTrue && (has(v1alpha1.ReconcilingCondition) || has(v1alpha1.StalledCondition)):
		return fmt.Errorf("Ready, and not")
	case conditions.IsReady(after) != (ready.Status == metav1.ConditionTrue):
		return fmt.Errorf("IsReady differs from Ready")
	case after.GetSyncStatus().ObservedGeneration != wantObserved:
		return fmt.Errorf("observedGeneration %d, want %d", after.GetSyncStatus().ObservedGeneration, wantObserved)
	case event == "outcome" && conditions.IsReady(after) != (outcome.State == conditions.Ready):
		return fmt.Errorf("Ready is %s", ready.Status)
	}
	return conditionInvariants(before, list, event)
}

func conditionInvariants(before object, list []metav1.Condition, event string) error {
	var types []string
	for _, c := range list {
		types = append(types, c.Type)
		old := apimeta.FindStatusCondition(before.GetSyncStatus().Conditions, c.Type)
		kept := old != nil && old.Status == c.Status
		switch {
		case c.Type != v1alpha1.ReadyCondition && c.Status != metav1.ConditionTrue:
			return fmt.Errorf("%s is %s instead of absent", c.Type, c.Status)
		case len(c.Message) > 1024 || !utf8.ValidString(c.Message):
			return fmt.Errorf("%s has a message of %d bytes", c.Type, len(c.Message))
		case kept && !c.LastTransitionTime.Equal(&old.LastTransitionTime):
			return fmt.Errorf("%s did not change, but its time did", c.Type)
		case !kept && c.LastTransitionTime.Equal(&past):
			return fmt.Errorf("%s changed, but its time did not", c.Type)
		case event != "suspension" && c.ObservedGeneration < before.GetGeneration():
			return fmt.Errorf("%s is of generation %d", c.Type, c.ObservedGeneration)
		}
	}
	slices.Sort(types)
	if len(slices.Compact(slices.Clone(types))) != len(types) {
		return fmt.Errorf("conditions %v", types)
	}
	return nil
}
