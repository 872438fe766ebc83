package chart_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestWrongValuesAreRefused(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"a misspelt value":                        {[]string{"--set=replicacount=3"}, "additional properties 'replicacount' not allowed"},
		"a misspelt value below another":          {[]string{"--set=rbac.aggregateToedit=true"}, "additional properties 'aggregateToedit' not allowed"},
		"a value that the manager has no flag of": {[]string{"--set=allowInsecureEndpoints=true"}, "additional properties 'allowInsecureEndpoints' not allowed"},
		"text for a switch":                       {[]string{"--set-string=rbac.scoped=true"}, "at '/rbac/scoped': got string, want boolean"},
		"text for a number":                       {[]string{"--set-string=replicaCount=3"}, "at '/replicaCount': got string, want integer"},
		"text for a list":                         {[]string{"--set=watchNamespaces=team-a"}, "at '/watchNamespaces': got string, want array"},
		"a namespace that cannot be":              {[]string{"--set=watchNamespaces={Team_A}"}, "at '/watchNamespaces/0'"},
		"a digest without its algorithm":          {[]string{"--set=image.digest=0123"}, "at '/image/digest'"},
		"a pull policy that there is not":         {[]string{"--set=image.pullPolicy=Sometimes"}, "at '/image/pullPolicy'"},
		"an interval without a unit":              {[]string{"--set-string=defaultInterval=10"}, "at '/defaultInterval'"},
		"no objects at a time":                    {[]string{"--set=concurrency=0"}, "at '/concurrency'"},
		"less than no revocations":                {[]string{"--set=maxRevocations=-1"}, "at '/maxRevocations'"},
		"a directory that is relative":            {[]string{"--set=export.directory=exports"}, "at '/export/directory'"},
		"a size that is none":                     {[]string{"--set=export.maxSize=4 GB"}, "at '/export/maxSize'"},
		"a level that there is not":               {[]string{"--set=log.level=verbose"}, "at '/log/level'"},
		"an argument that is no flag":             {[]string{"--set=extraArgs={zap-devel}"}, "at '/extraArgs/0'"},
		"a port that is none":                     {[]string{"--set=metrics.service.port=70000"}, "at '/metrics/service/port'"},
		"a token's Secret without a key":          {[]string{"--set=serviceMonitor.bearerTokenSecret.name=s"}, "at '/serviceMonitor/bearerTokenSecret'"},
		"a name that is too long":                 {[]string{"--set=fullnameOverride=" + strings.Repeat("a", 64)}, "at '/fullnameOverride'"},
		"scoped rights without namespaces":        {[]string{"--set=rbac.scoped=true"}, "rbac.scoped needs watchNamespaces"},
		"two managers without leader election":    {[]string{"--set=leaderElection.enabled=false"}, "leaderElection.enabled must be true when replicaCount is more than 1"},
		"a monitor of metrics that are off":       {[]string{"--set=serviceMonitor.enabled=true,metrics.enabled=false"}, "serviceMonitor.enabled needs metrics.enabled"},
		"alerts about metrics that are off":       {[]string{"--set=prometheusRule.enabled=true,metrics.enabled=false"}, "prometheusRule.enabled needs metrics.enabled"},
		"a budget of all replicas":                {[]string{"--set=podDisruptionBudget.minAvailable=2"}, "podDisruptionBudget.minAvailable must be less than replicaCount"},
		"a budget of every replica":               {[]string{"--set-string=podDisruptionBudget.minAvailable=100%"}, "podDisruptionBudget.minAvailable must be less than replicaCount"},
		"a directory that is taken":               {[]string{"--set=export.directory=/tmp,export.volume.emptyDir.medium=Memory"}, "export.directory"},
		"nobody's service account":                {[]string{"--set=serviceAccount.create=false"}, "serviceAccount.name is required"},
		"a Kubernetes that is too old":            {[]string{"--kube-version=1.29.9"}, "chart requires kubeVersion: >=1.30.0-0"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := chart(t).Template(t.Context(), release, namespace, tc.args...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestRightValuesAreAccepted(t *testing.T) {
	tests := map[string][]string{
		"what Helm passes to a dependency":    {"--set=global.registry=x,enabled=true"},
		"a level as a number":                 {"--set=log.level=5"},
		"a budget that one replica lacks":     {"--set=replicaCount=1,podDisruptionBudget.minAvailable=1"},
		"no budget in numbers":                {"--set=podDisruptionBudget.minAvailable=0"},
		"no replica, to stop the operator":    {"--set=replicaCount=0"},
		"a Kubernetes of a vendor":            {"--kube-version=v1.30.4-eks-36bf602"},
		"no ingress at all":                   {"--set=networkPolicy.enabled=true", "--set-json=networkPolicy.ingress=[]"},
		"a service account that exists":       {"--set=serviceAccount.create=false,serviceAccount.name=mine"},
		"events of cluster objects in scope":  {"--set=rbac.scoped=true,watchNamespaces={default}"},
		"plain metrics with a ServiceMonitor": {"--set=metrics.secure=false,serviceMonitor.enabled=true"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := chart(t).Template(t.Context(), release, namespace, args...); err != nil {
				t.Error(err)
			}
		})
	}
}

// schema is what the test reads of a JSON schema.
type schema struct {
	Type                 any
	Properties           map[string]schema
	AdditionalProperties any
}

// TestSchemaIsComplete compares the schema's tree with that of values.yaml: a value without a schema could be anything.
func TestSchemaIsComplete(t *testing.T) {
	var s schema
	var tree map[string]any
	for name, into := range map[string]any{"values.schema.json": &s, "values.yaml": &tree} {
		text, err := os.ReadFile(filepath.Join(chart(t).Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		decode := func(text []byte, into any) error { return yaml.Unmarshal(text, into) }
		if filepath.Ext(name) == ".json" {
			decode = json.Unmarshal
		}
		if err := decode(text, into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	// What Helm and charts that depend on this one may pass.
	for _, passed := range []string{"global", "enabled"} {
		if _, ok := s.Properties[passed]; !ok {
			t.Errorf("the schema refuses %s", passed)
		}
		delete(s.Properties, passed)
	}
	documented := values(t)
	compareTrees(t, "", &s, tree, func(path string) bool {
		return slices.ContainsFunc(documented, func(v value) bool { return v.Path == path })
	})
}

// compareTrees goes down as far as values are the chart's own.
func compareTrees(t *testing.T, path string, s *schema, tree map[string]any, leaf func(string) bool) {
	t.Helper()
	if s.AdditionalProperties != false {
		t.Errorf("the schema accepts anything in %q", path)
	}
	for name := range s.Properties {
		if _, ok := tree[name]; !ok {
			t.Errorf("the schema has %s.%s, values.yaml has not", path, name)
		}
	}
	for name, at := range tree {
		below := strings.TrimPrefix(path+"."+name, ".")
		child, ok := s.Properties[name]
		if !ok {
			t.Errorf("values.yaml has %s, the schema has not", below)
			continue
		}
		if branch, ok := at.(map[string]any); ok && !leaf(below) {
			compareTrees(t, below, &child, branch, leaf)
		}
	}
}
