package monitoring

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

const runbooksURL = "https://github.com/maxcompute-operator/maxcompute-operator/blob/main/" + runbooksFile + "#"

// samples are the files below testdata with samples for promtool.
var samples = []string{"alerts.yaml", "alerts_days.yaml"}

// TestAlerts has promtool judge the rules, and evaluate them over samples.
func TestAlerts(t *testing.T) {
	promtool, dir := program(t, "promtool"), t.TempDir()
	writeRules(t, filepath.Join(dir, "rules.yaml"), func(map[string]any) {})
	for _, file := range samples {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text(t, "test/monitoring/testdata/"+file)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, args := range map[string][]string{
		"the rules are valid":        {"check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"},
		"they fire when they should": append([]string{"test", "rules"}, samples...),
	} {
		t.Run(name, func(t *testing.T) {
			command := exec.CommandContext(t.Context(), promtool, args...)
			command.Dir = dir
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestEveryAlertFiresInATest, with each of its severities.
func TestEveryAlertFiresInATest(t *testing.T) {
	var got, want []string
	for _, file := range samples {
		for _, match := range regexp.MustCompile(`alertname="(\w+)", alertstate="firing", severity="(\w+)"`).FindAllStringSubmatch(text(t, "test/monitoring/testdata/"+file), -1) {
			got = append(got, match[1]+" "+match[2])
		}
	}
	for _, alert := range alerts(t) {
		want = append(want, alert.Alert+" "+alert.Labels["severity"])
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := gocmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf("alerts that fire in testdata (-want +got):\n%s", diff)
	}
}

// TestAlertsTellWhatToDo: each has its name, its severity, and a text that says what to do first, and none is told apart by labels that
// another replica would change.
func TestAlertsTellWhatToDo(t *testing.T) {
	replica := regexp.MustCompile(`by \([^)]*\b(pod|instance|job|endpoint|container)\b`)
	for _, alert := range alerts(t) {
		name := alert.Alert
		switch {
		case !strings.HasPrefix(name, "MaxComputeOperator"):
			t.Errorf("%s does not begin with MaxComputeOperator", name)
		case !slices.Contains([]string{"info", "warning", "critical"}, alert.Labels["severity"]):
			t.Errorf("%s has the severity %q", name, alert.Labels["severity"])
		case alert.Annotations["summary"] == "":
			t.Errorf("%s has no summary", name)
		case !regexp.MustCompile(`\b[Ff]irst\b`).MatchString(alert.Annotations["description"]):
			t.Errorf("%s does not say what to do first: %s", name, alert.Annotations["description"])
		case alert.Annotations["runbook_url"] != runbooksURL+strings.ToLower(name):
			t.Errorf("%s has the runbook %s", name, alert.Annotations["runbook_url"])
		case replica.MatchString(alert.Expr):
			t.Errorf("%s is told apart by the replica: %s", name, alert.Expr)
		}
	}
}

// TestEveryAlertHasARunbook, every runbook an alert, and all of them the same parts.
func TestEveryAlertHasARunbook(t *testing.T) {
	var names []string
	for _, alert := range alerts(t) {
		names = append(names, alert.Alert)
	}
	slices.SortFunc(names, cmp.Compare)
	sections := strings.Split(text(t, runbooksFile), "\n## ")[1:]
	var documented []string
	for _, section := range sections {
		title, body, _ := strings.Cut(section, "\n")
		documented = append(documented, title)
		for _, part := range []string{"**Meaning.**", "**Impact.**", "**First look.**", "**Causes and fixes.**"} {
			if !strings.Contains(body, part) {
				t.Errorf("the runbook of %s lacks %s", title, part)
			}
		}
	}
	slices.Sort(documented)
	if diff := gocmp.Diff(slices.Compact(names), documented); diff != "" {
		t.Errorf("alerts and the sections of %s (-alerts +sections):\n%s", runbooksFile, diff)
	}
}

// TestLinks: what the documents of this package refer to is there, the section included.
func TestLinks(t *testing.T) {
	for _, file := range []string{runbooksFile, metricsFile} {
		for _, link := range found(`\]\(([^)]+)\)`, text(t, file)) {
			path, section, _ := strings.Cut(link, "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := filepath.Join(filepath.Dir(file), path)
			if path == "" {
				target = file
			}
			content := text(t, target)
			if titles := found("(?m)^#+ (.*)$", content); section != "" && !slices.ContainsFunc(titles, func(title string) bool { return anchor(title) == section }) {
				t.Errorf("%s refers to %s, which has no such section", file, link)
			}
		}
	}
}

// anchor is what GitHub makes of a title.
func anchor(title string) string {
	return strings.ReplaceAll(regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(title), ""), " ", "-")
}
