package chart_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
)

// TestNamesThatLookLikeSomethingElse: a name may have nothing but digits, or be a word that YAML takes for a truth value, and stays a text
// all the same.
func TestNamesThatLookLikeSomethingElse(t *testing.T) {
	everything := "--set=networkPolicy.enabled=true,serviceMonitor.enabled=true,prometheusRule.enabled=true,grafanaDashboard.enabled=true"
	tests := map[string]struct {
		release, namespace string
		args               []string
	}{
		"of the release and its namespace": {release: "1234", namespace: "5678"},
		"in place of the chart's name":     {release: release, namespace: namespace, args: []string{"--set-string=nameOverride=true"}},
		"in place of the full name":        {release: release, namespace: namespace, args: []string{"--set-string=fullnameOverride=1e3"}},
		"of the service account":           {release: release, namespace: namespace, args: []string{"--set-string=serviceAccount.name=null"}},
		"of the namespaces to work in":     {release: release, namespace: namespace, args: []string{"--set-string=watchNamespaces={2024,no}", "--set=rbac.scoped=true"}},
		"of the namespaces of monitoring": {release: release, namespace: namespace, args: []string{
			"--set-string=serviceMonitor.namespace=1,prometheusRule.namespace=2,grafanaDashboard.namespace=3",
		}},
		"of the priority class": {release: release, namespace: namespace, args: []string{"--set-string=priorityClassName=1000"}},
		"of the directory of exports": {release: release, namespace: namespace, args: []string{
			"--set-string=export.volume.persistentVolumeClaim.claimName=1,export.directory=/a#b",
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects, err := chart(t).Template(t.Context(), tc.release, tc.namespace, append(tc.args, everything)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, obj := range objects {
				var into any = &struct {
					Metadata metav1.ObjectMeta `json:"metadata"`
				}{}
				if typed, err := clientgoscheme.Scheme.New(obj.GroupVersionKind()); err == nil {
					into = typed
				}
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, into); err != nil {
					t.Errorf("%s %v: %v", obj.GetKind(), obj.Object["metadata"], err)
				}
			}
		})
	}
}
