package monitoring

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// schema is what the test reads of a CRD's schema.
type schema struct {
	Type, Format string
	Enum         []string
	Properties   map[string]*schema
	Items        *schema
}

// state is one metric of kube-state-metrics. Of Gauge, Info and StateSet, the one that Type names is there.
type state struct {
	Name, Help string
	Each       struct {
		Type                  string
		Gauge, Info, StateSet *struct {
			Path, ValueFrom []string
			LabelsFromPath  map[string][]string
			LabelName       string
			List            []string
			NilIsZero       bool
		}
	}
}

// kubeState is what the test reads of the configuration. The format: kube-state-metrics, docs/metrics/extend/customresourcestate-metrics.md.
type kubeState struct {
	Kind string
	Spec struct {
		Resources []struct {
			GroupVersionKind struct{ Group, Version, Kind string }
			MetricNamePrefix string
			LabelsFromPath   map[string][]string
			Metrics          []state
		}
	}
}

// schemas are those of all kinds, by group, version and kind.
func schemas(t *testing.T) map[string]*schema {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "config/crd/bases/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no CRD was found", err)
	}
	all := map[string]*schema{}
	for _, file := range files {
		var crd struct {
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct {
						OpenAPIV3Schema *schema `json:"openAPIV3Schema"`
					}
				}
			}
		}
		decode(t, "config/crd/bases/"+filepath.Base(file), &crd)
		for _, version := range crd.Spec.Versions {
			s := version.Schema.OpenAPIV3Schema
			s.Properties["metadata"].Properties = map[string]*schema{"name": {Type: "string"}, "namespace": {Type: "string"}}
			all[crd.Spec.Group+"/"+version.Name+" "+crd.Spec.Names.Kind] = s
		}
	}
	return all
}

// at is the schema at a path, or an error that says where the path leaves it.
func (s *schema) at(path []string) (*schema, error) {
	for i, part := range path {
		next := s.Properties[part]
		if _, err := strconv.Atoi(part); err == nil && s.Type == "array" {
			next = s.Items
		}
		if next == nil {
			return nil, fmt.Errorf("there is no %s", strings.Join(path[:i+1], "."))
		}
		s = next
	}
	return s, nil
}

// isNumber tells whether kube-state-metrics makes a number of what the schema describes.
func (s *schema) isNumber() bool {
	switch s.Type {
	case "integer", "boolean":
		return true
	case "string":
		return s.Format == "date-time" || slices.Equal(s.Enum, []string{"True", "False", "Unknown"})
	}
	return false
}

// TestKubeStateMetrics: every kind is covered, and every path leads to a field of the kind's CRD that can be what it is used for.
func TestKubeStateMetrics(t *testing.T) {
	var config kubeState
	decode(t, "config/kube-state-metrics/config.yaml", &config)
	if config.Kind != "CustomResourceStateMetrics" {
		t.Errorf("the kind is %s", config.Kind)
	}
	kinds, covered := schemas(t), map[string]bool{}
	for _, resource := range config.Spec.Resources {
		gvk := resource.GroupVersionKind
		name := gvk.Group + "/" + gvk.Version + " " + gvk.Kind
		t.Run(gvk.Kind, func(t *testing.T) {
			whole := kinds[name]
			if whole == nil || covered[name] || resource.MetricNamePrefix != "maxcompute_resource" {
				t.Fatalf("%s is no kind, comes twice, or has the prefix %s", name, resource.MetricNamePrefix)
			}
			covered[name] = true
			labelled(t, whole, resource.LabelsFromPath)
			metrics := map[string]bool{}
			for _, m := range resource.Metrics {
				metrics[m.Name] = true
				m.check(t, whole)
			}
			for _, wanted := range []string{"info", "condition", "suspended"} {
				if !metrics[wanted] {
					t.Errorf("there is no metric %s", wanted)
				}
			}
		})
	}
	for name := range kinds {
		if !covered[name] {
			t.Errorf("%s is not covered", name)
		}
	}
}

// check resolves all that a metric refers to.
func (m state) check(t *testing.T, whole *schema) {
	t.Helper()
	each := m.Each.Gauge
	switch m.Each.Type {
	case "Info":
		each = m.Each.Info
	case "StateSet":
		each = m.Each.StateSet
	}
	if each == nil || m.Help == "" {
		t.Fatalf("%s lacks its help or its %s", m.Name, m.Each.Type)
	}
	element, err := whole.at(each.Path)
	if err != nil {
		t.Fatalf("%s: %v", m.Name, err)
	}
	if element.Type == "array" {
		element = element.Items
	}
	labelled(t, element, each.LabelsFromPath)
	value, err := element.at(each.ValueFrom)
	switch {
	case err != nil:
		t.Errorf("%s: %v", m.Name, err)
	case m.Each.Type == "Gauge" && !value.isNumber():
		t.Errorf("%s would be made of a %s", m.Name, value.Type)
	case m.Each.Type == "StateSet":
		if diff := cmp.Diff(value.Enum, each.List); diff != "" || each.LabelName == "" {
			t.Errorf("the states of %s (-schema +list):\n%s", m.Name, diff)
		}
	}
}

// labelled asserts that labels are taken from fields with one value.
func labelled(t *testing.T, s *schema, labels map[string][]string) {
	t.Helper()
	for label, path := range labels {
		if value, err := s.at(path); err != nil {
			t.Errorf("label %s: %v", label, err)
		} else if value.Type == "object" || value.Type == "array" {
			t.Errorf("label %s is made of an %s", label, value.Type)
		}
	}
}

// TestDocumentedStates compares the metrics of kube-state-metrics with those that are documented.
func TestDocumentedStates(t *testing.T) {
	var config kubeState
	decode(t, "config/kube-state-metrics/config.yaml", &config)
	names := map[string]bool{}
	for _, resource := range config.Spec.Resources {
		for _, m := range resource.Metrics {
			names[resource.MetricNamePrefix+"_"+m.Name] = true
		}
	}
	want := slices.Sorted(maps.Keys(names))
	for what, got := range map[string][]string{
		"listed": found("(?m)^\\| `(maxcompute_resource_\\w+)` \\|", text(t, metricsFile)),
		"named":  found(`\b(maxcompute_resource_\w+)`, text(t, metricsFile)),
	} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metrics that are made and that are %s in %s (-made +%s):\n%s", what, metricsFile, what, diff)
		}
	}
}

// TestKubeStateMetricsMayList what it is told to tell of.
func TestKubeStateMetricsMayList(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "config/crd/bases/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var plurals []string
	for _, file := range files {
		_, plural, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".yaml"), "_")
		plurals = append(plurals, plural)
	}
	role, _, _ := strings.Cut(text(t, "config/kube-state-metrics/role.yaml"), "\n---\n")
	var rules struct {
		Rules []struct{ Resources, Verbs []string }
	}
	if err := yaml.Unmarshal([]byte(role), &rules); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plurals, rules.Rules[0].Resources); diff != "" {
		t.Errorf("kinds, and those that may be listed (-kinds +role):\n%s", diff)
	}
}
