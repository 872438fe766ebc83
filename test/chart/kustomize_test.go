package chart_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/maxcompute-operator/maxcompute-operator/test/helm"
)

// build builds a kustomization below config.
func build(t *testing.T, dir string) objects {
	t.Helper()
	kustomize, err := helm.Tool(t.Context(), root, "kustomize")
	if err != nil {
		t.Fatal(err)
	}
	text, err := exec.CommandContext(t.Context(), kustomize, "build", filepath.Join(root, dir)).Output()
	if err != nil {
		t.Fatalf("kustomize build %s: %v", dir, err)
	}
	list, err := helm.Objects(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return index(t, list)
}

// Names that differ: the chart names after the release alone what there is one of.
var renamed = map[string]string{
	"Deployment maxcompute-operator-system/maxcompute-operator-controller-manager":          "Deployment maxcompute-operator-system/maxcompute-operator",
	"PodDisruptionBudget maxcompute-operator-system/maxcompute-operator-controller-manager": "PodDisruptionBudget maxcompute-operator-system/maxcompute-operator",
	"ServiceAccount maxcompute-operator-system/maxcompute-operator-controller-manager":      "ServiceAccount maxcompute-operator-system/maxcompute-operator",
	"Service maxcompute-operator-system/maxcompute-operator-controller-manager-metrics":     "Service maxcompute-operator-system/maxcompute-operator-metrics",
}

// edit changes what is at a path of an object that is compared.
type edit struct {
	path []string
	to   any
}

// differences are what the chart means to do differently from config/default, as edits of what config/default holds; beside them, the chart
// names the image's version, and helm makes the namespace. Labels do not count, but for those that make one role part of another.
var differences = map[string][]edit{
	"Deployment maxcompute-operator-system/maxcompute-operator": {
		// The chart offers to leave the token out, also with a service account that it does not make.
		{[]string{"spec", "template", "spec", "automountServiceAccountToken"}, true},
	},
}

// TestDefaultsAreThoseOfConfig compares what a user of the chart gets with what a user of kustomize gets.
func TestDefaultsAreThoseOfConfig(t *testing.T) {
	want, got := objects{}, objects{}
	for name, obj := range build(t, "config/default") {
		// helm install --create-namespace makes the namespace.
		if obj.GetKind() == "Namespace" {
			continue
		}
		if to, ok := renamed[name]; ok {
			name = to
		}
		normalise(t, obj)
		for _, e := range differences[name] {
			e.apply(t, obj)
		}
		want[name] = obj
	}
	for name, obj := range build(t, "config/crd") {
		normalise(t, obj)
		// A kept CRD says so.
		if obj.GetKind() == "CustomResourceDefinition" {
			obj.SetAnnotations(map[string]string{"helm.sh/resource-policy": "keep", generator: obj.GetAnnotations()[generator]})
		}
		want[name] = obj
	}
	for name, obj := range render(t) {
		normalise(t, obj)
		got[name] = obj
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-config +chart:\n%s", diff)
	}
}

// generator is the annotation with the version of the program that made a CRD.
const generator = "controller-gen.kubebuilder.io/version"

// normalise takes away the names and labels that differ without meaning anything else: what selects must select the same as before.
func normalise(t *testing.T, obj *unstructured.Unstructured) {
	t.Helper()
	kept := map[string]string{}
	for label, value := range obj.GetLabels() {
		if filepath.Dir(label) == "rbac.authorization.k8s.io" {
			kept[label] = value
		}
	}
	obj.SetLabels(kept)
	obj.SetName("")
	spec := []string{"spec", "template", "spec"}
	for _, e := range []edit{
		{[]string{"spec", "selector"}, "the pods"},
		{[]string{"spec", "template", "metadata", "labels"}, "the pods"},
		{append(spec, "serviceAccountName"), "the account"},
	} {
		if field(t, obj, e.path...) != nil {
			e.apply(t, obj)
		}
	}
	for _, constraint := range list(t, obj, append(spec, "topologySpreadConstraints")...) {
		constraint["labelSelector"] = "the pods"
	}
	for _, container := range list(t, obj, append(spec, "containers")...) {
		container["image"] = "the image"
	}
	for _, subject := range list(t, obj, "subjects") {
		subject["name"] = "the account"
	}
}

// list returns the maps in the list at a path.
func list(t *testing.T, obj *unstructured.Unstructured, path ...string) []map[string]any {
	t.Helper()
	items, ok := field(t, obj, path...).([]any)
	if !ok {
		return nil
	}
	var maps []map[string]any
	for _, item := range items {
		m, ok := item.(map[string]any)
		if !ok {
			t.Fatalf("%v of %s holds %v", path, key(obj), item)
		}
		maps = append(maps, m)
	}
	return maps
}

func (e edit) apply(t *testing.T, obj *unstructured.Unstructured) {
	t.Helper()
	if err := unstructured.SetNestedField(obj.Object, e.to, e.path...); err != nil {
		t.Fatal(err)
	}
}

// TestSelectorsSelectThePods stands in for what the comparison leaves out.
func TestSelectorsSelectThePods(t *testing.T) {
	all := render(t, "--set=networkPolicy.enabled=true,serviceMonitor.enabled=true")
	deployment := all.get(t, "Deployment maxcompute-operator-system/maxcompute-operator")
	labels := field(t, deployment, "spec", "template", "metadata", "labels")
	selectors := map[string]any{
		"the Deployment":  field(t, deployment, "spec", "selector", "matchLabels"),
		"its spread":      field(t, &unstructured.Unstructured{Object: list(t, deployment, "spec", "template", "spec", "topologySpreadConstraints")[0]}, "labelSelector", "matchLabels"),
		"the Service":     field(t, all.get(t, "Service maxcompute-operator-system/maxcompute-operator-metrics"), "spec", "selector"),
		"the budget":      field(t, all.get(t, "PodDisruptionBudget maxcompute-operator-system/maxcompute-operator"), "spec", "selector", "matchLabels"),
		"the policy":      field(t, all.get(t, "NetworkPolicy maxcompute-operator-system/maxcompute-operator"), "spec", "podSelector", "matchLabels"),
		"Prometheus":      field(t, all.get(t, "ServiceMonitor maxcompute-operator-system/maxcompute-operator"), "spec", "selector", "matchLabels"),
		"the Service has": subset(all.get(t, "Service maxcompute-operator-system/maxcompute-operator-metrics").GetLabels(), labels),
	}
	for who, selector := range selectors {
		if diff := cmp.Diff(labels, selector); diff != "" {
			t.Errorf("%s: -labels +selector:\n%s", who, diff)
		}
	}
}

// subset is the part of labels whose keys are in others.
func subset(labels map[string]string, others any) map[string]any {
	part := map[string]any{}
	keys, _ := others.(map[string]any)
	for k := range keys {
		part[k] = labels[k]
	}
	return part
}
