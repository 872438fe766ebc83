{{- define "gvDetails" -}}
## {{ .GroupVersionString }}

{{ range .SortedKinds }}- [{{ . }}](#{{ lower . }})
{{ end }}
{{- range .SortedTypes }}{{ template "type" . }}{{ end }}
{{- end -}}
