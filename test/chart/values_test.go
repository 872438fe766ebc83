package chart_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "Write the table of values into the chart's README.")

// value is a documented value of values.yaml.
type value struct {
	Path, Default, Meaning string
}

// values reads the values that have a comment which begins with "# --", in their order.
func values(t *testing.T) []value {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chart(t).Dir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	var documented []value
	var path []string
	meaning := ""
	for line := range strings.Lines(string(text)) {
		trimmed := strings.TrimSpace(line)
		if comment, ok := strings.CutPrefix(trimmed, "# -- "); ok {
			meaning = comment
			continue
		}
		if more, ok := strings.CutPrefix(trimmed, "# "); ok && meaning != "" {
			meaning += " " + more
			continue
		}
		name, _, ok := strings.Cut(trimmed, ":")
		if !ok || strings.ContainsAny(name, " #-") {
			continue
		}
		depth := (len(line) - len(strings.TrimLeft(line, " "))) / 2
		path = append(path[:min(depth, len(path))], name)
		if meaning != "" {
			documented = append(documented, value{strings.Join(path, "."), defaultOf(t, tree, path), meaning})
			meaning = ""
		}
	}
	undocumented(t, tree, nil, documented)
	return documented
}

func defaultOf(t *testing.T, tree map[string]any, path []string) string {
	t.Helper()
	var at any = tree
	for _, name := range path {
		parent, ok := at.(map[string]any)
		if !ok {
			t.Fatalf("%v is not in values.yaml", path)
		}
		at = parent[name]
	}
	text, err := json.Marshal(at)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// undocumented reports values that no documented value is or holds.
func undocumented(t *testing.T, at any, path []string, documented []value) {
	t.Helper()
	name := strings.Join(path, ".")
	if slices.ContainsFunc(documented, func(v value) bool { return v.Path == name }) {
		return
	}
	branch, ok := at.(map[string]any)
	if !ok || len(branch) == 0 {
		t.Errorf("%s has no comment that begins with # --", name)
	}
	for child, below := range branch {
		undocumented(t, below, append(slices.Clone(path), child), documented)
	}
}

// Where the table of values is in the README.
const tableStart, tableEnd = "<!-- values: made by go test ./test/chart -update -->\n", "<!-- end of values -->\n"

func TestREADMEHasEveryValue(t *testing.T) {
	var table strings.Builder
	table.WriteString("| value | default | meaning |\n|---|---|---|\n")
	for _, v := range values(t) {
		fmt.Fprintf(&table, "| `%s` | `%s` | %s |\n", v.Path, v.Default, strings.ReplaceAll(v.Meaning, "|", `\|`))
	}
	path := filepath.Join(chart(t).Dir, "README.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), tableStart)
	_, after, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		t.Fatalf("%s lacks the marks around the table of values", path)
	}
	if want := before + tableStart + table.String() + tableEnd + after; *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("run go test ./test/chart -run README -update: -want +got:\n%s", diff)
	}
}

// effect is what a change of a value does to the text that is rendered.
type effect struct {
	// given is set before and after the change, for values that matter only then.
	given string
	set   string
	// adds is there after the change and not before, removes before and not after.
	adds, removes string
}

// effects are those of all values.
var effects = map[string]effect{
	"replicaCount":                       {set: "replicaCount=3", adds: "replicas: 3"},
	"image.repository":                   {set: "image.repository=registry.example.com/x", adds: "image: registry.example.com/x:0.1.0"},
	"image.tag":                          {set: "image.tag=v2", adds: "image: maxcompute-operator:v2"},
	"image.digest":                       {given: "image.tag=v2", set: "image.digest=sha256:" + strings.Repeat("0", 64), adds: "image: maxcompute-operator@sha256:0000"},
	"image.pullPolicy":                   {set: "image.pullPolicy=Always", adds: "imagePullPolicy: Always"},
	"imagePullSecrets":                   {set: "imagePullSecrets[0].name=registry", adds: "imagePullSecrets:\n        - name: registry"},
	"nameOverride":                       {set: "nameOverride=mc", adds: "app.kubernetes.io/name: mc"},
	"fullnameOverride":                   {set: "fullnameOverride=mc", adds: "name: mc-editor", removes: "name: maxcompute-operator-editor"},
	"commonLabels":                       {set: "commonLabels.team=data", adds: "team: data"},
	"crds.create":                        {given: "crds.create=true", set: "crds.create=false", removes: "kind: CustomResourceDefinition"},
	"crds.keep":                          {given: "crds.create=true", set: "crds.keep=false", removes: "helm.sh/resource-policy: keep"},
	"crds.annotations":                   {given: "crds.create=true", set: "crds.annotations.owner=data", adds: "owner: data"},
	"serviceAccount.create":              {given: "serviceAccount.name=mc", set: "serviceAccount.create=false", removes: "kind: ServiceAccount\nmetadata"},
	"serviceAccount.name":                {set: "serviceAccount.name=mc", adds: "serviceAccountName: mc"},
	"serviceAccount.annotations":         {set: "serviceAccount.annotations.owner=data", adds: "owner: data"},
	"serviceAccount.automount":           {set: "serviceAccount.automount=false", adds: "automountServiceAccountToken: false"},
	"rbac.create":                        {set: "rbac.create=false", removes: "kind: ClusterRole"},
	"rbac.aggregateToView":               {set: "rbac.aggregateToView=false", removes: "aggregate-to-view"},
	"rbac.aggregateToEdit":               {set: "rbac.aggregateToEdit=true", adds: "aggregate-to-edit"},
	"rbac.aggregateToAdmin":              {set: "rbac.aggregateToAdmin=true", adds: "aggregate-to-admin"},
	"rbac.scoped":                        {given: "watchNamespaces={team-a}", set: "rbac.scoped=true", adds: "namespace: team-a"},
	"resources":                          {set: "resources.limits.memory=1Gi", adds: "memory: 1Gi", removes: "memory: 512Mi"},
	"nodeSelector":                       {set: "nodeSelector.disk=ssd", adds: "nodeSelector:\n        disk: ssd"},
	"tolerations":                        {set: "tolerations[0].operator=Exists", adds: "tolerations:\n        - operator: Exists"},
	"affinity":                           {set: "affinity.nodeAffinity.x=y", adds: "affinity:\n        nodeAffinity"},
	"topologySpreadConstraints":          {set: "topologySpreadConstraints=null", removes: "topologySpreadConstraints"},
	"priorityClassName":                  {set: "priorityClassName=high", adds: "priorityClassName: high"},
	"podSecurityContext":                 {set: "podSecurityContext.runAsUser=1000", adds: "runAsUser: 1000"},
	"securityContext":                    {set: "securityContext.runAsGroup=1000", adds: "runAsGroup: 1000"},
	"podAnnotations":                     {set: "podAnnotations.owner=data", adds: "owner: data"},
	"podLabels":                          {set: "podLabels.tier=control", adds: "tier: control"},
	"podDisruptionBudget.enabled":        {set: "podDisruptionBudget.enabled=false", removes: "kind: PodDisruptionBudget"},
	"podDisruptionBudget.minAvailable":   {set: "podDisruptionBudget.minAvailable=50%", adds: "minAvailable: 50%"},
	"extraArgs":                          {set: "extraArgs={--zap-devel}", adds: "- --zap-devel"},
	"extraEnv":                           {set: "extraEnv[0].name=TMPDIR", adds: "env:\n            - name: TMPDIR"},
	"extraVolumes":                       {set: "extraVolumes[0].name=more", adds: "        - name: more"},
	"extraVolumeMounts":                  {set: "extraVolumeMounts[0].name=more", adds: "            - name: more"},
	"extraObjects":                       {set: "extraObjects[0].metadata.name=x-{{ .Release.Name | upper }}", adds: "name: x-MAXCOMPUTE-OPERATOR"},
	"leaderElection.enabled":             {given: "replicaCount=1", set: "leaderElection.enabled=false", adds: "type: Recreate", removes: "--leader-elect"},
	"watchNamespaces":                    {set: "watchNamespaces={team-a,team-b}", adds: "- --watch-namespaces=team-a,team-b"},
	"watchLabelSelector":                 {set: `watchLabelSelector=shard in (a\,b)`, adds: "- --watch-label-selector=shard in (a,b)"},
	"concurrency":                        {set: "concurrency=1000000", adds: "- --concurrency=1000000"},
	"defaultInterval":                    {set: "defaultInterval=1h30m", adds: "- --default-interval=1h30m"},
	"maxRevocations":                     {set: "maxRevocations=0", adds: "- --max-revocations=0"},
	"allowedEndpointSuffixes":            {set: "allowedEndpointSuffixes={a.example,b.example}", adds: "- --allowed-endpoint-suffixes=a.example,b.example"},
	"export.volume":                      {set: "export.volume.persistentVolumeClaim.claimName=exports", adds: "- --export-directory=/exports"},
	"export.directory":                   {given: "export.volume.persistentVolumeClaim.claimName=exports", set: "export.directory=/data", adds: "mountPath: /data"},
	"export.maxSize":                     {set: "export.maxSize=1Gi", adds: "- --max-export-size=1Gi"},
	"export.temporary.sizeLimit":         {set: "export.temporary.sizeLimit=5Gi", adds: "sizeLimit: 5Gi"},
	"metrics.enabled":                    {set: "metrics.enabled=false", removes: "--metrics-bind-address"},
	"metrics.secure":                     {set: "metrics.secure=false", adds: "--metrics-secure=false", removes: "tokenreviews"},
	"metrics.service.port":               {set: "metrics.service.port=9443", adds: "port: 9443"},
	"metrics.service.annotations":        {set: "metrics.service.annotations.owner=data", adds: "owner: data"},
	"serviceMonitor.enabled":             {set: "serviceMonitor.enabled=true", adds: "kind: ServiceMonitor"},
	"serviceMonitor.namespace":           {given: "serviceMonitor.enabled=true", set: "serviceMonitor.namespace=monitoring", adds: "namespace: monitoring"},
	"serviceMonitor.interval":            {given: "serviceMonitor.enabled=true", set: "serviceMonitor.interval=30s", adds: "interval: 30s"},
	"serviceMonitor.scrapeTimeout":       {given: "serviceMonitor.enabled=true", set: "serviceMonitor.scrapeTimeout=9s", adds: "scrapeTimeout: 9s"},
	"serviceMonitor.additionalLabels":    {given: "serviceMonitor.enabled=true", set: "serviceMonitor.additionalLabels.release=p", adds: "release: p"},
	"serviceMonitor.relabelings":         {given: "serviceMonitor.enabled=true", set: "serviceMonitor.relabelings[0].targetLabel=x", adds: " relabelings:\n        - targetLabel: x"},
	"serviceMonitor.metricRelabelings":   {given: "serviceMonitor.enabled=true", set: "serviceMonitor.metricRelabelings[0].action=drop", adds: "metricRelabelings:\n        - action: drop"},
	"serviceMonitor.bearerTokenFile":     {given: "serviceMonitor.enabled=true", set: "serviceMonitor.bearerTokenFile=/token", adds: "bearerTokenFile: /token"},
	"serviceMonitor.bearerTokenSecret":   {given: "serviceMonitor.enabled=true", set: "serviceMonitor.bearerTokenSecret.name=s,serviceMonitor.bearerTokenSecret.key=k", adds: "credentials:\n          key: k", removes: "bearerTokenFile"},
	"serviceMonitor.tlsConfig":           {given: "serviceMonitor.enabled=true", set: "serviceMonitor.tlsConfig.serverName=x", adds: "serverName: x"},
	"prometheusRule.enabled":             {set: "prometheusRule.enabled=true", adds: "kind: PrometheusRule"},
	"prometheusRule.namespace":           {given: "prometheusRule.enabled=true", set: "prometheusRule.namespace=monitoring", adds: "namespace: monitoring"},
	"prometheusRule.additionalLabels":    {given: "prometheusRule.enabled=true", set: "prometheusRule.additionalLabels.release=p", adds: "release: p"},
	"grafanaDashboard.enabled":           {set: "grafanaDashboard.enabled=true", adds: `grafana_dashboard: "1"`},
	"grafanaDashboard.namespace":         {given: "grafanaDashboard.enabled=true", set: "grafanaDashboard.namespace=monitoring", adds: "namespace: monitoring"},
	"grafanaDashboard.sidecarLabel":      {given: "grafanaDashboard.enabled=true", set: "grafanaDashboard.sidecarLabel=board", adds: `    board: "1"`},
	"grafanaDashboard.sidecarLabelValue": {given: "grafanaDashboard.enabled=true", set: "grafanaDashboard.sidecarLabelValue=yes", adds: `grafana_dashboard: "yes"`},
	"grafanaDashboard.annotations":       {given: "grafanaDashboard.enabled=true", set: "grafanaDashboard.annotations.folder=Data", adds: "folder: Data"},
	"networkPolicy.enabled":              {set: "networkPolicy.enabled=true", adds: "kind: NetworkPolicy"},
	"networkPolicy.ingress":              {given: "networkPolicy.enabled=true", set: "networkPolicy.ingress[0].ports[0].port=1", adds: "ports:\n      - port: 1\n"},
	"networkPolicy.egress":               {given: "networkPolicy.enabled=true", set: "networkPolicy.egress[0].ports[0].port=1", adds: "ports:\n      - port: 1\n"},
	"log.level":                          {set: "log.level=debug", adds: "- --zap-log-level=debug"},
	"log.format":                         {set: "log.format=console", adds: "- --zap-encoder=console"},
}

func TestEveryValueHasAnEffect(t *testing.T) {
	var all []string
	for _, v := range values(t) {
		all = append(all, v.Path)
	}
	slices.Sort(all)
	if diff := cmp.Diff(all, slices.Sorted(maps.Keys(effects))); diff != "" {
		t.Errorf("-values.yaml +effects:\n%s", diff)
	}
	// Many start from the same.
	unchanged := map[string]string{}
	for _, e := range effects {
		if _, ok := unchanged[e.given]; !ok {
			unchanged[e.given] = text(t, "--set="+e.given)
		}
	}
	for path, e := range effects {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			before, after := unchanged[e.given], text(t, "--set="+e.given, "--set="+e.set)
			if strings.Contains(before, e.adds) && e.adds != "" || !strings.Contains(after, e.adds) {
				t.Errorf("%s does not add %q to\n%s", e.set, e.adds, after)
			}
			if !strings.Contains(before, e.removes) || strings.Contains(after, e.removes) && e.removes != "" {
				t.Errorf("%s does not remove %q from\n%s", e.set, e.removes, before)
			}
		})
	}
}

// text renders the chart as text. The CRDs are only in it if an argument asks for them, because they would be all that one sees.
func text(t *testing.T, args ...string) string {
	t.Helper()
	base := []string{"template", release, chart(t).Dir, "--namespace=" + namespace}
	if !slices.ContainsFunc(args, func(arg string) bool { return strings.Contains(arg, "crds.") }) {
		base = append(base, "--set=crds.create=false")
	}
	out, err := chart(t).Run(t.Context(), append(base, slices.DeleteFunc(args, func(arg string) bool { return arg == "--set=" })...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
