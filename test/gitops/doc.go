// Package gitops sees objects as delivery tools do: it runs the scripts of config/argocd in Argo CD's interpreter, and the expressions
// of the samples for Flux in Flux's, so that tests can hold both against kstatus.
package gitops
