package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// says checks that what a command prints holds some text.
func (r *rig) says(want string, args ...string) {
	r.t.Helper()
	if _, out, errs := r.ask(args...); !strings.Contains(out, want) {
		r.t.Errorf("%q is not in\n%s%s", want, out, errs)
	}
}

// TestWhatAdministratorsCan is everything, which is said.
func TestWhatAdministratorsCan(t *testing.T) {
	r := newOffice(t)
	r.must(r.cloud.AddMembers("shop", "admin", "ALIYUN$boss"))
	r.cloud.ResetJournal()
	r.says("What ALIYUN$boss can do in project shop, by role admin:\n\nOBJECT   ACTIONS   VERDICT   ROLE    BY", "what-can", "ALIYUN$boss")
	r.says("\n*        *         Allowed   admin   built-in role that may do everything with every object   unmanaged", "what-can", "ALIYUN$boss")
}

// TestAnswersOfWhoSeesOneNamespace: what is unmanaged to them may be managed elsewhere, and every answer says so.
func TestAnswersOfWhoSeesOneNamespace(t *testing.T) {
	r := newOffice(t)
	const group, team = "/apis/maxcompute-operator.io/v1alpha1", "/namespaces/team/"
	answers := served()
	var connection v1alpha1.Connection
	r.must(yaml.Unmarshal([]byte(connectionTo(r.url)), &connection))
	connection.Namespace, connection.Finalizers = "team", []string{v1alpha1.Finalizer}
	answers[group+team+"connections/prod"] = connection
	answers["/api/v1"] = metav1.APIResourceList{GroupVersion: "v1", APIResources: []metav1.APIResource{{Name: "secrets", Kind: "Secret", Namespaced: true}}}
	answers["/api/v1"+team+"secrets/alibaba"] = corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "alibaba"}, Data: map[string][]byte{
		"accessKeyId": []byte(fakecloud.DefaultAccessKeyID), "accessKeySecret": []byte(fakecloud.DefaultAccessKeySecret),
	}}
	answers[group+team+"permissionapplies"] = v1alpha1.PermissionApplyList{}
	url := r.serve(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[request.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusForbidden)
			answer = metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonForbidden, Code: http.StatusForbidden}
		}
		r.must(json.NewEncoder(w).Encode(answer))
	}))
	kubeconfig := r.file("kubeconfig", kubeconfigOf(url))
	for _, args := range [][]string{{"who-can", "Select", "orders"}, {"what-can", "RAM$corp:alice", "-o", "json"}, {"report", "--html", "-"}} {
		code, out, errs := r.execute(append(args, "--kubeconfig", kubeconfig, "--namespace", "team", "--connection", "prod", "--project", "shop", "--allow-insecure-endpoints"))
		if code != exitOK || !strings.Contains(out, withoutNamespaces) {
			t.Errorf("%v: exit code %d, not said:\n%s%s", args, code, out, errs)
		}
	}
}
