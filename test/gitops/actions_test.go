package gitops_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/gitops"
)

// pendingPlan is the hash of the plan that waits for approval.
func pendingPlan(obj object) string {
	return obj.(conditions.Target).GetTargetStatus().PendingPlan.Hash
}

// approved approves the plan that waits.
func approved(obj object) {
	obj.SetAnnotations(map[string]string{v1alpha1.ApprovePlanAnnotation: pendingPlan(obj)})
}

// TestWhatIsOffered: an action that would make no sense is disabled.
func TestWhatIsOffered(t *testing.T) {
	argocd := loadTools(t).ArgoCD
	tests := map[string]struct {
		kinds     []string
		history   []event
		suspended bool
		want      map[string]bool
	}{
		"just created":           {every, nil, false, map[string]bool{"refresh": true, "suspend": true, "resume": false}},
		"ready":                  {every, []event{succeeded}, false, map[string]bool{"refresh": true, "suspend": true, "resume": false}},
		"suspended":              {every, []event{succeeded}, true, map[string]bool{"refresh": false, "suspend": false, "resume": true}},
		"deleted":                {every, []event{succeeded, deleted}, false, map[string]bool{"refresh": true, "suspend": false, "resume": false}},
		"a plan waits":           {managed, []event{exceeds}, false, map[string]bool{"refresh": true, "suspend": true, "resume": false, "approve-plan": true}},
		"a plan waits, approved": {managed, []event{exceeds, approved}, false, map[string]bool{"refresh": true, "suspend": true, "resume": false, "approve-plan": false}},
	}
	for name, tc := range tests {
		for _, kind := range tc.kinds {
			t.Run(name+" "+kind, func(t *testing.T) {
				obj := newborn(kind)
				for _, happens := range tc.history {
					happens(obj)
				}
				want := map[string]bool{}
				if kind == "ProjectRole" || kind == "MaxComputePackage" {
					want["approve-plan"] = false
				}
				maps.Copy(want, tc.want)
				got, err := argocd.Actions(t.Context(), seen(t, obj, tc.suspended))
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("error %v, actions (-want +got):\n%s", err, diff)
				}
			})
		}
	}
}

// TestWhatActionsChange: an annotation or spec.suspend, and nothing else.
func TestWhatActionsChange(t *testing.T) {
	argocd := loadTools(t).ArgoCD
	suspension, annotations := []string{"spec", "suspend"}, []string{"metadata", "annotations"}
	tests := map[string]struct {
		kinds   []string
		history event
		path    []string
		want    func(obj object) any
	}{
		"suspend":      {every, succeeded, suspension, func(object) any { return true }},
		"resume":       {every, succeeded, suspension, func(object) any { return false }},
		"approve-plan": {managed, exceeds, annotations, func(obj object) any { return map[string]any{v1alpha1.ApprovePlanAnnotation: pendingPlan(obj)} }},
	}
	for action, tc := range tests {
		for _, kind := range tc.kinds {
			t.Run(action+" "+kind, func(t *testing.T) {
				obj := newborn(kind)
				tc.history(obj)
				got, err := argocd.Run(t.Context(), seen(t, obj, false), action)
				if err != nil {
					t.Fatal(err)
				}
				want := seen(t, obj, false)
				if err := unstructured.SetNestedField(want.Object, tc.want(obj), tc.path...); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want.Object, got.Object); diff != "" {
					t.Errorf("object (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestRefreshSetsTheTime in the form of Kubernetes' own times, beside the annotations that are there.
func TestRefreshSetsTheTime(t *testing.T) {
	zone := time.Local
	time.Local = time.FixedZone("east", 8*60*60)
	t.Cleanup(func() { time.Local = zone })
	argocd := loadTools(t).ArgoCD
	for kind := range kinds {
		for name, annotations := range map[string]map[string]string{
			"without annotations": nil, "with another": {"a": "b"}, "with an earlier request": {v1alpha1.RequestedAtAnnotation: "before"},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				obj := newborn(kind)
				obj.SetAnnotations(annotations)
				from := time.Now().Truncate(time.Second)
				after, err := argocd.Run(t.Context(), seen(t, obj, false), "refresh")
				if err != nil {
					t.Fatal(err)
				}
				at, err := time.Parse(time.RFC3339, after.GetAnnotations()[v1alpha1.RequestedAtAnnotation])
				if err != nil || at.Before(from) || at.After(time.Now()) || at.Location() != time.UTC {
					t.Errorf("requested at %v, error %v", at, err)
				}
				if after.GetAnnotations()["a"] != annotations["a"] {
					t.Error("another annotation is lost")
				}
			})
		}
	}
}

func TestOnlyAPlanThatWaitsCanBeApproved(t *testing.T) {
	argocd := loadTools(t).ArgoCD
	if _, err := argocd.Run(t.Context(), seen(t, newborn("ProjectRole"), false), "approve-plan"); err == nil || !strings.Contains(err.Error(), "no plan waits") {
		t.Errorf("error %v", err)
	}
	if _, err := argocd.Run(t.Context(), seen(t, newborn("PermissionApply"), false), "approve-plan"); err == nil {
		t.Error("a request has no plan")
	}
}

// TestActionsKeepWhatIsEmpty: Lua cannot tell an empty object from an empty list, and both mean something in a spec.
func TestActionsKeepWhatIsEmpty(t *testing.T) {
	before := seen(t, newborn("ProjectRole"), false)
	for path, value := range map[string]any{"acl": map[string]any{}, "policy": map[string]any{"Statement": []any{map[string]any{}}}, "members": []any{}} {
		if err := unstructured.SetNestedField(before.Object, value, "spec", path); err != nil {
			t.Fatal(err)
		}
	}
	after, err := loadTools(t).ArgoCD.Run(t.Context(), before, "resume")
	if err != nil {
		t.Fatal(err)
	}
	unstructured.RemoveNestedField(after.Object, "spec", "suspend")
	if diff := cmp.Diff(before.Object, after.Object); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
}

// TestScriptsNeedNoLibrary that Argo CD does not open for customizations.
func TestScriptsNeedNoLibrary(t *testing.T) {
	for script, want := range map[string]string{
		"return {status = string.lower('X')}":             "non-table object",
		"return {status = os.date()}":                     "non-table object",
		"local os = require('os') return {s = os.exit()}": "non-function object",
		"while true do end":                               "deadline",
	} {
		argocd := gitops.NewArgoCD(map[string]string{"resource.customizations.health.maxcompute-operator.io_Connection": script})
		if _, err := argocd.Health(t.Context(), seen(t, newborn("Connection"), false)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", script, err, want)
		}
	}
}
