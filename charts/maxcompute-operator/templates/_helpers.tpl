{{/* Here and in all templates: a name or a text may be 1234 or true, and toYaml quotes what YAML would take for something else. */}}

{{/* The chart's name, of at most 63 characters as every label. */}}
{{- define "maxcompute-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What objects are named after. A release's name has at most 53 characters, so that cutting at 63 keeps releases apart. */}}
{{- define "maxcompute-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* A Service's name is a label of DNS. */}}
{{- define "maxcompute-operator.metricsServiceName" -}}
{{- printf "%s-metrics" (include "maxcompute-operator.fullname" . | trunc 55 | trimSuffix "-") }}
{{- end }}

{{- define "maxcompute-operator.serviceAccountName" -}}
{{- if or .Values.serviceAccount.create .Values.serviceAccount.name }}
{{- default (include "maxcompute-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- fail "serviceAccount.name is required when serviceAccount.create is false: the manager's rights must not go to everything that runs as default" }}
{{- end }}
{{- end }}

{{/* What selects the pods of this release. It cannot change for a Deployment, so nothing of the user's is in it. */}}
{{- define "maxcompute-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "maxcompute-operator.name" . | toYaml }}
app.kubernetes.io/instance: {{ .Release.Name | toYaml }}
app.kubernetes.io/component: controller-manager
{{- end }}

{{/* Labels of every object. The chart's own win over commonLabels, because selectors rely on them. */}}
{{- define "maxcompute-operator.labels" -}}
{{- $own := include "maxcompute-operator.selectorLabels" . | fromYaml }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion }}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service }}
{{- $_ := set $own "app.kubernetes.io/part-of" .Chart.Name }}
{{- merge $own .Values.commonLabels | toYaml }}
{{- end }}

{{- define "maxcompute-operator.image" -}}
{{- with .Values.image }}
{{- $tag := .tag | default $.Chart.AppVersion }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository $tag }}
{{- end }}
{{- end }}
{{- end }}

{{/* The manager's command line. A flag whose value is left empty is left out, so that the manager's default counts. */}}
{{- define "maxcompute-operator.args" -}}
{{- $args := list }}
{{- if .Values.leaderElection.enabled }}
{{- $args = append $args "--leader-elect" }}
{{- end }}
{{- $args = append $args "--health-probe-bind-address=:8081" }}
{{- if .Values.metrics.enabled }}
{{- $args = append $args "--metrics-bind-address=:8443" }}
{{- $args = append $args (ternary "--metrics-secure" "--metrics-secure=false" .Values.metrics.secure) }}
{{- end }}
{{- with .Values.watchNamespaces }}
{{- $args = append $args (printf "--watch-namespaces=%s" (join "," .)) }}
{{- end }}
{{- with .Values.watchLabelSelector }}
{{- $args = append $args (printf "--watch-label-selector=%s" .) }}
{{- end }}
{{- if not (kindIs "invalid" .Values.concurrency) }}
{{- $args = append $args (printf "--concurrency=%d" (int64 .Values.concurrency)) }}
{{- end }}
{{- with .Values.defaultInterval }}
{{- $args = append $args (printf "--default-interval=%s" .) }}
{{- end }}
{{- if not (kindIs "invalid" .Values.maxRevocations) }}
{{- $args = append $args (printf "--max-revocations=%d" (int64 .Values.maxRevocations)) }}
{{- end }}
{{- with .Values.allowedEndpointSuffixes }}
{{- $args = append $args (printf "--allowed-endpoint-suffixes=%s" (join "," .)) }}
{{- end }}
{{- if .Values.export.volume }}
{{- $args = append $args (printf "--export-directory=%s" .Values.export.directory) }}
{{- end }}
{{- with .Values.export.maxSize }}
{{- $args = append $args (printf "--max-export-size=%s" .) }}
{{- end }}
{{- with .Values.log.level }}
{{- $args = append $args (printf "--zap-log-level=%v" .) }}
{{- end }}
{{- with .Values.log.format }}
{{- $args = append $args (printf "--zap-encoder=%s" .) }}
{{- end }}
{{- concat $args .Values.extraArgs | toYaml }}
{{- end }}

{{/* Rules of a role in files/rbac, which are copies of those in config/rbac. Takes the root and the file's name. */}}
{{- define "maxcompute-operator.rules" -}}
{{- (index . 0).Files.Get (printf "files/rbac/%s.yaml" (index . 1)) | fromYaml | dig "rules" list | toYaml }}
{{- end }}

{{/* The part of the manager's rules that is about objects outside of namespaces, or about those inside. Takes the root and which. */}}
{{- define "maxcompute-operator.scopedRules" -}}
{{- $outside := eq (index . 1) "cluster" }}
{{- $rules := list }}
{{- range $rule := include "maxcompute-operator.rules" (list (index . 0) "role") | fromYamlArray }}
{{- $resources := list }}
{{- range $rule.resources }}
{{- if eq $outside (has . (list "namespaces" "clusterconnections" "clusterconnections/status")) }}
{{- $resources = append $resources . }}
{{- end }}
{{- end }}
{{- if $resources }}
{{- $rules = append $rules (merge (dict "resources" $resources) $rule) }}
{{- end }}
{{- end }}
{{- toYaml $rules }}
{{- end }}

{{/* The rules by which a manager of some namespaces reads the operator's own kinds in all others. */}}
{{- define "maxcompute-operator.readingRules" -}}
{{- $rules := list }}
{{- range $rule := include "maxcompute-operator.rules" (list . "role") | fromYamlArray }}
{{- if and (has "maxcompute-operator.io" $rule.apiGroups) (has "list" $rule.verbs) }}
{{- $resources := without $rule.resources "clusterconnections" }}
{{- $rules = append $rules (dict "apiGroups" $rule.apiGroups "resources" $resources "verbs" (list "get" "list")) }}
{{- end }}
{{- end }}
{{- toYaml $rules }}
{{- end }}

{{/* The rules about events. Those of a ClusterConnection are in the namespace default. */}}
{{- define "maxcompute-operator.eventRules" -}}
{{- $rules := list }}
{{- range $rule := include "maxcompute-operator.rules" (list . "role") | fromYamlArray }}
{{- if has "events" $rule.resources }}
{{- $rules = append $rules (merge (dict "resources" (list "events")) $rule) }}
{{- end }}
{{- end }}
{{- toYaml $rules }}
{{- end }}

{{/* The service account as a subject. */}}
{{- define "maxcompute-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "maxcompute-operator.serviceAccountName" . | toYaml }}
  namespace: {{ .Release.Namespace | toYaml }}
{{- end }}
