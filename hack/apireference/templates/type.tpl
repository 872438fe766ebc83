{{- define "type" -}}
{{- if markdownShouldRenderType . }}
### {{ .Name }}

{{ .Doc | replace "<" "&lt;" }}
{{ if .References }}
Used by {{ range $i, $t := .SortedReferences }}{{ if $i }}, {{ end }}{{ markdownRenderTypeLink $t }}{{ end }}.
{{ end }}
{{- if .IsAlias }}
A {{ markdownRenderTypeLink .UnderlyingType }}{{ range .Validation }}; {{ . }}{{ end }}.
{{ end }}
{{- if .Members }}
| field | meaning | default | checks |
|---|---|---|---|
{{ if .GVK }}| `apiVersion` _string_ | `{{ .GVK.Group }}/{{ .GVK.Version }}` | | |
| `kind` _string_ | `{{ .GVK.Kind }}` | | |
{{ end }}
{{- range .Members }}{{ template "field" . }}{{ end }}
{{- end }}
{{- if .EnumValues }}
| value | meaning |
|---|---|
{{ range .EnumValues }}| `{{ .Name }}` | {{ markdownRenderFieldDoc (.Doc | replace "<" "&lt;") }} |
{{ end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "field" -}}
| `{{ .Name }}` _{{ markdownRenderType .Type }}_ | {{ if eq .Name "metadata" }}see Kubernetes' ObjectMeta{{ else }}{{ markdownRenderFieldDoc (.Doc | replace "<" "&lt;") }}{{ end }} | {{ markdownRenderDefault .Default }} | {{ template "checks" .Validation }} |
{{ end -}}

{{- /* Fields are optional unless it says required. */ -}}
{{- define "checks" -}}
{{- $more := false -}}
{{- range . -}}
{{- if not (hasPrefix "Optional:" .) -}}
{{- if $more }}; {{ end -}}{{- $more = true -}}
{{- if hasPrefix "Required:" . }}required{{ else }}{{ markdownRenderFieldDoc . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
