{{- define "gvList" -}}
# API reference

Every field of every kind, with what the API server checks and fills in. How to use the kinds, with examples and all conditions, is in
[spec/v1alpha1](spec/v1alpha1). Generated from the types in `api/v1alpha1` by `make generate`: do not edit. Rules that concern several fields
at once are in the pages of the kinds.
{{ range . }}
{{ template "gvDetails" . }}
{{- end }}
{{- end -}}
