// Package monitoring tests what ships for monitoring: alerts, runbooks, the dashboard, the configuration for kube-state-metrics and the
// list of metrics. It runs promtool on the alerts, and a real Prometheus against a manager that works.
package monitoring

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	root          = "../.."
	rulesFile     = "config/prometheus/rules.yaml"
	dashboardFile = "config/grafana/dashboard.json"
	runbooksFile  = "docs/runbooks.md"
	metricsFile   = "docs/metrics.md"
)

// rule is an alert, or with a record, a recording rule.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

// prometheusRule is what the tests read of the kind of that name.
type prometheusRule struct {
	Spec struct{ Groups []struct{ Rules []rule } }
}

// text reads a file of the repository.
func text(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// decode reads a YAML or JSON file of the repository.
func decode(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text(t, path)), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// rules are those that ship.
func rules(t *testing.T) []rule {
	t.Helper()
	var file prometheusRule
	decode(t, rulesFile, &file)
	var all []rule
	for _, group := range file.Spec.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no rules", rulesFile)
	}
	return all
}

// alerts are the rules that are no recording rules.
func alerts(t *testing.T) []rule {
	t.Helper()
	return slices.DeleteFunc(rules(t), func(r rule) bool { return r.Alert == "" })
}

// writeRules writes the rules as a rule file, which is what a PrometheusRule has below spec. change may alter each.
func writeRules(t *testing.T, path string, change func(rule map[string]any)) {
	t.Helper()
	var file struct {
		Spec struct {
			Groups []struct {
				Name  string           `json:"name"`
				Rules []map[string]any `json:"rules"`
			} `json:"groups"`
		}
	}
	decode(t, rulesFile, &file)
	for _, group := range file.Spec.Groups {
		for _, r := range group.Rules {
			change(r)
		}
	}
	content, err := json.Marshal(file.Spec)
	if err == nil {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// program returns the path of prometheus or promtool, which are built if need be.
func program(t *testing.T, name string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(root, "hack/prometheus/ensure.sh"))
	var progress strings.Builder
	command.Stderr = &progress
	dir, err := command.Output()
	if err != nil {
		t.Fatalf("prepare %s: %v\n%s", name, err, progress.String())
	}
	return filepath.Join(strings.TrimSpace(string(dir)), name)
}

// found are the parts of a text that the first group of an expression matches, sorted and each once.
func found(expression, in string) []string {
	var all []string
	for _, match := range regexp.MustCompile(expression).FindAllStringSubmatch(in, -1) {
		all = append(all, match[1])
	}
	slices.Sort(all)
	return slices.Compact(all)
}
