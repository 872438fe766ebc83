package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// served are the paths of an API server, and what is there. The namespace is team.
func served() map[string]any {
	const group, team = "/apis/maxcompute-operator.io/v1alpha1", "/namespaces/team/"
	version := metav1.GroupVersionForDiscovery{GroupVersion: v1alpha1.GroupVersion.String(), Version: "v1alpha1"}
	resources := metav1.APIResourceList{GroupVersion: v1alpha1.GroupVersion.String()}
	for _, k := range named {
		resources.APIResources = append(resources.APIResources, metav1.APIResource{Name: k.words[1], Kind: k.kind, Namespaced: k.kind != "ClusterConnection"})
	}
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "team", Name: name} }
	waiting := v1alpha1.ProjectRole{ObjectMeta: meta("writer")}
	waiting.Status.PendingPlan = &v1alpha1.PendingPlan{Hash: "1"}
	return map[string]any{
		"/api":                                metav1.APIVersions{Versions: []string{"v1"}},
		"/apis":                               metav1.APIGroupList{Groups: []metav1.APIGroup{{Name: v1alpha1.GroupVersion.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}}},
		"/apis/maxcompute-operator.io":        metav1.APIGroup{Name: v1alpha1.GroupVersion.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version},
		group:                                 resources,
		"/api/v1":                             metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "namespaces", Kind: "Namespace"}}},
		"/api/v1/namespaces":                  corev1.NamespaceList{Items: []corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, {ObjectMeta: metav1.ObjectMeta{Name: "team"}}}},
		group + team + "projectroles":         v1alpha1.ProjectRoleList{Items: []v1alpha1.ProjectRole{{ObjectMeta: meta("reader")}, waiting, {ObjectMeta: meta("shared")}}},
		group + team + "maxcomputepackages":   v1alpha1.MaxComputePackageList{Items: []v1alpha1.MaxComputePackage{{ObjectMeta: meta("shared")}}},
		group + team + "packageinstallations": v1alpha1.PackageInstallationList{},
		group + team + "connections":          v1alpha1.ConnectionList{Items: []v1alpha1.Connection{{ObjectMeta: meta("prod")}, {ObjectMeta: meta("test")}}},
		group + "/clusterconnections":         v1alpha1.ClusterConnectionList{Items: []v1alpha1.ClusterConnection{{ObjectMeta: metav1.ObjectMeta{Name: "everywhere"}}}},
	}
}

// cluster is an API server that gives some answers, by their paths, and refuses everything else: it returns its kubeconfig.
func (r *rig) cluster(answers map[string]any) (kubeconfig string) {
	url := r.serve(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[request.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			answer = metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonForbidden, Code: http.StatusForbidden}
		}
		r.must(json.NewEncoder(w).Encode(answer))
	}))
	return r.file("kubeconfig", kubeconfigOf(url))
}

// TestCompletion: what is not served (requests and exports) is refused, which is not told.
func TestCompletion(t *testing.T) {
	answers := served()
	r := &rig{t: t}
	kubeconfig := r.cluster(answers)
	tests := map[string]struct {
		args []string
		want []string
	}{
		"all that has a plan":                   {[]string{"plan", ""}, []string{"maxcomputepackage/shared", "projectrole/reader", "projectrole/shared", "projectrole/writer", "reader", "writer"}},
		"what begins so":                        {[]string{"plan", "rea"}, []string{"reader"}},
		"a name of two kinds":                   {[]string{"plan", "sha"}, nil},
		"of one kind":                           {[]string{"plan", "projectrole/"}, []string{"projectrole/reader", "projectrole/shared", "projectrole/writer"}},
		"of a kind by its short name":           {[]string{"plan", "mcrole/w"}, []string{"mcrole/writer"}},
		"of a kind that nobody knows":           {[]string{"plan", "pod/"}, nil},
		"another object":                        {[]string{"plan", "reader", "wri"}, []string{"writer"}},
		"no object beside files":                {[]string{"plan", "-f", "roles/", ""}, nil},
		"plans that wait":                       {[]string{"approve-plan", ""}, []string{"projectrole/writer", "writer"}},
		"no second object":                      {[]string{"approve-plan", "writer", ""}, nil},
		"all kinds":                             {[]string{"reconcile", "pro"}, []string{"prod", "projectrole/reader", "projectrole/shared", "projectrole/writer"}},
		"Connections":                           {[]string{"export", "--connection", ""}, []string{"prod", "test"}},
		"ClusterConnections":                    {[]string{"export", "--cluster-connection", ""}, []string{"everywhere"}},
		"kinds":                                 {[]string{"export", "--kinds", "P"}, []string{"ProjectRole", "PackageInstallation"}},
		"kinds after another":                   {[]string{"export", "--kinds", "ProjectRole,"}, []string{"ProjectRole,MaxComputePackage", "ProjectRole,PackageInstallation"}},
		"formats":                               {[]string{"plan", "--output", ""}, []string{"json", "yaml"}},
		"colours":                               {[]string{"plan", "--color", ""}, []string{"auto", "always", "never"}},
		"namespaces":                            {[]string{"status", "--namespace", "te"}, []string{"team"}},
		"without a cluster":                     {[]string{"--server", "http://127.0.0.1:1", "plan", ""}, nil},
		"Connections without a cluster":         {[]string{"--server", "http://127.0.0.1:1", "export", "--connection", ""}, nil},
		"without a kubeconfig":                  {[]string{"--kubeconfig", "nowhere.yaml", "plan", ""}, nil},
		"formats, without a cluster":            {[]string{"--server", "http://127.0.0.1:1", "plan", "-o", ""}, []string{"json", "yaml"}},
		"with a namespace that may not be read": {[]string{"--namespace", "other", "plan", ""}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", os.DevNull)
			var out, errs bytes.Buffer
			args := append([]string{"__complete", "--kubeconfig", kubeconfig, "--namespace", "team"}, tc.args...)
			code := run(t.Context(), args, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errs})
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			got := lines[:len(lines)-1] // the last tells the shell what to do with them
			if len(got) == 0 {
				got = nil
			}
			if diff := gocmp.Diff(tc.want, got); diff != "" || code != exitOK {
				t.Errorf("exit code %d (-want +got):\n%s", code, diff)
			}
			if said := strings.TrimSpace(errs.String()); strings.Count(said, "\n") > 0 || !strings.HasPrefix(said, "Completion ended") {
				t.Errorf("it said %q", said)
			}
		})
	}
}
