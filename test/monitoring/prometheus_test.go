package monitoring

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

const (
	// startTimeout is how long Prometheus is given to answer, and stopTimeout to end.
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
)

// prometheus is a real one, as a process of its own, that scrapes one target.
type prometheus struct{ url string }

// settings have the target scraped as a ServiceMonitor has it: with the labels of its pod, and the metrics' own namespace kept.
const settings = `
global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}
rule_files: [rules.yaml]
scrape_configs:
- job_name: operator
  honor_labels: true
  static_configs:
  - targets: [%q]
    labels: {namespace: maxcompute-operator-system, pod: a}
`

// address is a free one of the loopback interface.
func address(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait for anything
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // nothing was accepted
	return listener.Addr().String()
}

// startPrometheus runs a Prometheus, until the test ends, that scrapes a target and evaluates the rules that ship. Their alerts fire at
// once: how long they wait is what testdata/alerts.yaml is about.
func startPrometheus(t *testing.T, target string) prometheus {
	t.Helper()
	dir, listen := t.TempDir(), address(t)
	writeRules(t, filepath.Join(dir, "rules.yaml"), func(rule map[string]any) { delete(rule, "for") })
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), fmt.Appendf(nil, settings, target), 0o600); err != nil {
		t.Fatal(err)
	}
	// Not bound to the test's context, which ends before what is cleaned up: it is ended and waited for below.
	command := exec.Command(program(t, "prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+listen, //nolint:noctx // see above
		"--log.level=warn")
	command.Dir = dir
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = command.Wait() //nolint:errcheck // how it ended does not matter
	}()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)                                //nolint:errcheck // it may have ended by itself
		late := time.AfterFunc(stopTimeout, func() { _ = command.Process.Kill() }) //nolint:errcheck // it may have ended
		defer late.Stop()
		<-exited
		if t.Failed() {
			t.Logf("Prometheus printed:\n%s", output.String())
		}
	})
	p := prometheus{url: "http://" + listen}
	ready := func() (bool, error) {
		select {
		case <-exited:
			return false, errors.New("it has ended")
		default:
		}
		_, err := p.body(t.Context(), "/-/ready", nil)
		return err == nil, nil
	}
	if err := testbed.Until(t.Context(), startTimeout, ready); err != nil {
		t.Fatalf("start Prometheus: %v", err)
	}
	return p
}

// body is the answer to a GET, which must be a success.
func (p prometheus) body(ctx context.Context, path string, query url.Values) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: HTTP %d: %s", path, response.StatusCode, content)
	}
	return content, err
}

// get decodes what the API has to say.
func (p prometheus) get(ctx context.Context, path string, query url.Values, into any) error {
	content, err := p.body(ctx, "/api/v1/"+path, query)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, &struct{ Data any }{into})
}

// sample is one element of an instant vector.
type sample struct {
	Metric map[string]string
	Value  [2]any
}

// isNumber tells whether the value is one: a quantile of nothing is not.
func (s sample) isNumber() bool { return s.Value[1] != "NaN" }

// ask evaluates an expression now.
func (p prometheus) ask(ctx context.Context, expression string) ([]sample, error) {
	var data struct{ Result []sample }
	err := p.get(ctx, "query", url.Values{"query": {expression}}, &data)
	return data.Result, err
}

// selector is what an expression takes its series from.
type selector struct{ name, text string }

// selectors takes an expression apart.
func (p prometheus) selectors(ctx context.Context, expression string) ([]selector, error) {
	var tree any
	if err := p.get(ctx, "parse_query", url.Values{"query": {expression}}, &tree); err != nil {
		return nil, err
	}
	return selectorsIn(tree), nil
}

// selectorsIn walks through a syntax tree.
func selectorsIn(node any) []selector {
	var all []selector
	switch node := node.(type) {
	case []any:
		for _, child := range node {
			all = append(all, selectorsIn(child)...)
		}
	case map[string]any:
		if node["type"] == "vectorSelector" || node["type"] == "matrixSelector" {
			return append(all, newSelector(node))
		}
		for _, child := range node {
			all = append(all, selectorsIn(child)...)
		}
	}
	return all
}

func newSelector(node map[string]any) selector {
	var matchers []string
	list, _ := node["matchers"].([]any)
	for _, m := range list {
		matcher, _ := m.(map[string]any)
		matchers = append(matchers, fmt.Sprintf("%v%v%q", matcher["name"], matcher["type"], matcher["value"]))
	}
	return selector{fmt.Sprint(node["name"]), "{" + strings.Join(matchers, ",") + "}"}
}

// names are those of all metrics that were scraped or recorded.
func (p prometheus) names(ctx context.Context) ([]string, error) {
	var names []string
	err := p.get(ctx, "label/__name__/values", nil, &names)
	return names, err
}

// firing are the alerts that fire, as their names and what tells them apart, sorted.
func (p prometheus) firing(ctx context.Context) ([]string, error) {
	var data struct {
		Alerts []struct {
			State  string
			Labels map[string]string
		}
	}
	err := p.get(ctx, "alerts", nil, &data)
	var all []string
	for _, alert := range data.Alerts {
		if alert.State == "firing" {
			all = append(all, show(alert.Labels))
		}
	}
	slices.Sort(all)
	return all, err
}

// show writes the labels of an alert, its name first.
func show(labels map[string]string) string {
	parts := []string{labels["alertname"]}
	for _, name := range []string{"severity", "kind", "namespace", "reason", "service", "controller", "name"} {
		if labels[name] != "" {
			parts = append(parts, labels[name])
		}
	}
	return strings.Join(parts, " ")
}
