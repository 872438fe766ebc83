package monitoring

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	gocmp "github.com/google/go-cmp/cmp"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// own is what the names of our metrics begin with.
const own = "maxcompute_operator_"

// TestMonitoring runs Prometheus against a manager that works: on what is healthy no alert fires; of what is not, each alert that a test
// can bring about does, and tells what it is about; and every query of the dashboard, every selector of a rule and every metric that a
// document names finds something.
func TestMonitoring(t *testing.T) {
	ctrl.SetLogger(logr.Discard())
	s := newScene(t)
	p := startPrometheus(t, s.target)
	s.healthy()
	t.Run("nothing fires on what is healthy", func(t *testing.T) { p.expect(t, nil) })
	s.troubled()
	t.Run("what is wrong is told", func(t *testing.T) { p.expect(t, wrong) })
	t.Run("every query of the dashboard has an answer", func(t *testing.T) { everyQuery(t, p) })
	t.Run("every selector of a rule finds something", func(t *testing.T) { everySelector(t, p) })
	t.Run("every metric is documented", func(t *testing.T) { everyMetric(t, s.target) })
	t.Run("every metric that is named exists", func(t *testing.T) { everyName(t, p) })
	t.Run("every alert is listed with its metrics", func(t *testing.T) { everyAlert(t, p) })
	if violations := s.Cloud.Violations(); len(violations) > 0 {
		t.Errorf("the fake cloud was asked for what it does not have: %v", violations)
	}
}

// wrong is what fires on the troubled scene.
var wrong = []string{
	"MaxComputeOperatorDriftRecurring warning ProjectRole",
	"MaxComputeOperatorExportFailing warning mart ResourceNotFound",
	"MaxComputeOperatorGrantExpiringSoon info",
	"MaxComputeOperatorGrantExpiringSoon warning",
	"MaxComputeOperatorNotReady warning ProjectRole mart PartiallyApplied",
	"MaxComputeOperatorNotReady warning ProjectRole mart ProjectNotFound",
	"MaxComputeOperatorObservationStale warning Connection",
	"MaxComputeOperatorObservationStale warning ProjectRole",
	"MaxComputeOperatorPlanHeld warning ProjectRole mart",
	"MaxComputeOperatorRemoteAuthFailing critical locked",
	"MaxComputeOperatorRequestFailed warning mart GrantFailed",
	"MaxComputeOperatorStalled warning ProjectRole mart AlreadyExists",
	"MaxComputeOperatorSuspendedTooLong info ProjectRole mart",
}

// expect waits until exactly these alerts fire. Those about the part of calls that fail or are withheld are left out once anything is
// wrong: without their patience, what a test does in seconds is enough for them.
func (p prometheus) expect(t *testing.T, want []string) {
	t.Helper()
	shares := regexp.MustCompile("RemoteThrottled|RemoteErrors|BudgetExhausted|ReconcileErrors| poor ")
	diff := "Prometheus was not asked"
	err := testbed.Until(t.Context(), sceneTimeout, func() (bool, error) {
		up, err := p.ask(t.Context(), `leader_election_master_status == 1 and on (instance) up == 1`)
		if err != nil || len(up) == 0 {
			return false, err
		}
		got, err := p.firing(t.Context())
		if len(want) > 0 {
			got = slices.DeleteFunc(got, shares.MatchString)
		}
		diff = gocmp.Diff(want, got)
		return diff == "", err
	})
	if err != nil {
		t.Errorf("%v; alerts that fire (-want +got):\n%s", err, diff)
	}
}

// everyQuery asks what the dashboard asks.
func everyQuery(t *testing.T, p prometheus) {
	var d dashboard
	decode(t, dashboardFile, &d)
	left := d.queries()
	t.Logf("%d queries", len(left))
	why := map[string]string{}
	err := testbed.Until(t.Context(), sceneTimeout, func() (bool, error) {
		for name, query := range maps.Clone(left) {
			answer, err := p.ask(t.Context(), query)
			switch {
			case err != nil:
				return false, fmt.Errorf("%s: %w", name, err)
			case slices.ContainsFunc(answer, sample.isNumber):
				delete(left, name)
			default:
				why[name] = fmt.Sprintf("%d without a value to %s", len(answer), query)
			}
		}
		return len(left) == 0, nil
	})
	for name := range left {
		t.Errorf("panel %s has no answer: %s", name, why[name])
	}
	if err != nil && len(left) == 0 {
		t.Error(err)
	}
}

// everySelector asks for what the rules select, whether or not they fire.
func everySelector(t *testing.T, p prometheus) {
	left := map[string]string{}
	for _, rule := range rules(t) {
		found, err := p.selectors(t.Context(), rule.Expr)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s%s: %d selectors, %v", rule.Record, rule.Alert, len(found), err)
		}
		for _, s := range found {
			left[s.text] += rule.Record + rule.Alert + " "
		}
	}
	t.Logf("%d selectors", len(left))
	err := testbed.Until(t.Context(), sceneTimeout, func() (bool, error) {
		for text := range maps.Clone(left) {
			answer, err := p.ask(t.Context(), "last_over_time("+text+"[5m])")
			if err != nil {
				return false, err
			}
			if len(answer) > 0 {
				delete(left, text)
			}
		}
		return len(left) == 0, nil
	})
	if err != nil {
		t.Errorf("%v; selectors that find nothing: %v", err, left)
	}
}

// everyMetric compares what the manager exposes of its own with what is documented.
func everyMetric(t *testing.T, target string) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+target+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	exposed := found(`(?m)^# TYPE (`+own+`\w+ \w+)$`, string(content))
	documented := found("(?m)^\\| `("+own+"\\w+` \\| \\w+) ", text(t, metricsFile))
	for i := range documented {
		documented[i] = strings.ReplaceAll(documented[i], "` | ", " ")
	}
	slices.Sort(documented)
	if diff := gocmp.Diff(exposed, documented); diff != "" {
		t.Errorf("metrics that the manager exposes, and those of %s (-exposed +documented):\n%s", metricsFile, diff)
	}
}

// everyName looks for the metrics that rules, dashboard and documents name.
func everyName(t *testing.T, p prometheus) {
	exist, err := p.names(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	decode(t, dashboardFile, &d)
	expressions := d.queries()
	for _, rule := range rules(t) {
		expressions[rule.Record+rule.Alert] = rule.Expr
	}
	for _, query := range documentedQueries(t) {
		expressions["the documented query "+query] = query
	}
	named := map[string]string{}
	for where, expression := range expressions {
		selectors, err := p.selectors(t.Context(), expression)
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		for _, s := range selectors {
			named[s.name] = where
		}
	}
	for _, file := range []string{runbooksFile, metricsFile, "docs/troubleshooting.md", "docs/sizing.md"} {
		for _, name := range found(`\b(`+own+`\w+)`, text(t, file)) {
			named[name] = file
		}
	}
	for name, where := range named {
		// A histogram is known by its parts, and those of kube-state-metrics by its configuration; see TestDocumentedStates.
		if !slices.Contains(exist, name) && !slices.Contains(exist, name+"_bucket") && !strings.HasPrefix(name, "maxcompute_resource_") {
			t.Errorf("%s names %s, which does not exist", where, name)
		}
	}
}

// documentedQueries are what the documents have in blocks of no language: in the runbooks one a line, in the list of metrics one a block.
func documentedQueries(t *testing.T) []string {
	t.Helper()
	queries := blocks(text(t, metricsFile))
	for _, block := range blocks(text(t, runbooksFile)) {
		queries = append(queries, strings.Split(block, "\n")...)
	}
	return queries
}

// blocks are the blocks of code in a document that name no language.
func blocks(document string) []string {
	var all, block []string
	fence := ""
	for line := range strings.Lines(document) {
		line = strings.TrimSuffix(line, "\n")
		switch isFence := strings.HasPrefix(line, "```"); {
		case isFence && fence == "":
			fence, block = line, nil
		case isFence && fence == "```":
			all, fence = append(all, strings.Join(block, "\n")), ""
		case isFence:
			fence = ""
		default:
			block = append(block, line)
		}
	}
	return all
}

// everyAlert compares, of each metric, the alerts that use it with those that are documented.
func everyAlert(t *testing.T, p prometheus) {
	recorded, uses := map[string]string{}, map[string][]string{}
	for _, rule := range rules(t) {
		selectors, err := p.selectors(t.Context(), rule.Expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range selectors {
			if rule.Record != "" && strings.HasPrefix(s.name, own+"resource_") {
				recorded[rule.Record] = s.name
			}
			// Of other programs' metrics, ours are found by our build.
			if rule.Alert != "" && (s.name != own+"build_info" || strings.HasPrefix(rule.Expr, "absent")) {
				name := cmp.Or(recorded[s.name], s.name)
				uses[name] = append(uses[name], strings.TrimPrefix(rule.Alert, "MaxComputeOperator"))
			}
		}
	}
	for _, row := range found("(?m)^\\| (`"+own+".*)\\|$", text(t, metricsFile)) {
		cells := strings.Split(row, "|")
		name, said := strings.Trim(cells[0], "` "), found(`(\w+)`, cells[len(cells)-1])
		slices.Sort(uses[name])
		if want := slices.Compact(uses[name]); !slices.Equal(want, said) {
			t.Errorf("%s is used by %v, and documented as used by %v", name, want, said)
		}
	}
}
