package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
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

// TestNamesThatAreNoNames: what the cloud calls things moves neither the cursor nor the lines of what is printed, wherever it stands.
func TestNamesThatAreNoNames(t *testing.T) {
	const evil = "x\x1b[2J\u009b1m\u202e\r\n- Forged: line\t"
	r := newOffice(t)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		name := strings.TrimSuffix(strings.TrimPrefix(request.URL.Path, "/api/v1/projects/shop/"), "/roleAcl")
		answer := map[string]any{
			"roles": map[string]any{"roles": []any{map[string]any{"name": "ghost", "type": "resource"}, map[string]any{"name": "dead" + evil, "type": "resource"}}},
			"packages": map[string]any{
				"createdPackages":   []any{map[string]any{"name": "out" + evil}},
				"installedPackages": []any{map[string]any{"name": "in" + evil, "sourceProject": "mart", "status": "OK"}},
			},
		}[name]
		switch {
		case strings.HasPrefix(name, "packages/"):
			entries := map[string]any{"table": []any{map[string]any{"name": "orders", "actions": []string{"Select", evil}}}}
			answer = map[string]any{"allowedProjectList": []any{map[string]any{"project": "mart" + evil, "label": "0"}}, "resourceList": entries}
		case strings.HasSuffix(name, "/users") && strings.Contains(name, "dead"):
			w.WriteHeader(http.StatusForbidden)
			r.must(json.NewEncoder(w).Encode(map[string]any{"code": "Forbidden", "message": "no " + evil}))
			return
		case strings.HasSuffix(name, "/users"):
			answer = map[string]any{"users": []any{map[string]any{"name": "RAM$corp:alice" + evil}}}
		case strings.HasSuffix(name, "/policy"):
			answer = ""
		case answer == nil:
			answer = map[string]any{
				"table":   []any{map[string]any{"name": "orders", "schemaName": "default", "actions": []string{"Select", evil}}, map[string]any{"name": evil, "actions": []string{"Select"}}},
				"package": []any{map[string]any{"name": "mart.*", "actions": []string{"Read"}}},
			}
		}
		r.must(json.NewEncoder(w).Encode(map[string]any{"requestId": "1", "httpCode": 200, "data": answer}))
	}))
	t.Cleanup(backend.Close)
	r.url = backend.URL
	for name, args := range map[string][]string{
		"who":          {"who-can", "Select", "orders"},
		"what":         {"what-can", "RAM$corp:alice" + evil},
		"nobody":       {"what-can", "nobody" + evil},
		"through":      {"who-can", "Select", "orders", "--source-project", "mart"},
		"no such kind": {"who-can", "Select", "orders", "--source-project", "mart" + evil},
	} {
		t.Run(name, func(t *testing.T) {
			_, out, errs := r.ask(args...)
			if i := strings.IndexFunc(out+errs, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }); i >= 0 {
				t.Errorf("%q is printed in\n%q", (out + errs)[i:i+4], out+errs)
			}
			for line := range strings.Lines(out + errs) {
				if strings.HasPrefix(line, "- Forged") {
					t.Errorf("a name forges lines:\n%s%s", out, errs)
				}
			}
			if !strings.Contains(out+errs, "Forged") {
				t.Errorf("nothing of it is printed:\n%s%s", out, errs)
			}
		})
	}
}

// full is an output that takes no more.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestAnswersThatCannotBePrinted are none.
func TestAnswersThatCannotBePrinted(t *testing.T) {
	for _, args := range [][]string{{"who-can", "Select", "orders"}, {"who-can", "Drop", "nothing"}, {"what-can", "RAM$corp:alice"}, {"what-can", "nobody"}, {"report", "--html", "-"}} {
		r := newOffice(t)
		t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", fakecloud.DefaultAccessKeyID)
		t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", fakecloud.DefaultAccessKeySecret)
		var errs strings.Builder
		args = append(args, "--kubeconfig", os.DevNull, "--connection-file", r.file("connection.yaml", connectionTo(r.url)), "--connection", "prod", "--project", "shop", "--allow-insecure-endpoints")
		code := run(t.Context(), args, genericiooptions.IOStreams{In: strings.NewReader(""), Out: full{}, ErrOut: &errs})
		if code != exitError || errs.String() != "Error: no space left on device\n" {
			t.Errorf("%v: exit code %d, %q", args, code, errs.String())
		}
	}
}

// TestPagesAreForTheirOwner: also where there is a file already, and none is left half written.
func TestPagesAreForTheirOwner(t *testing.T) {
	r := newOffice(t)
	directory := t.TempDir()
	file, link := filepath.Join(directory, "page.html"), filepath.Join(directory, "link.html")
	r.must(os.WriteFile(file, []byte("an older page"), 0o644))
	r.must(os.Symlink(file, link))
	for _, name := range []string{file, link} {
		r.must(os.Chmod(file, 0o644))
		code, _, errs := r.ask("report", "--html", name)
		info, err := os.Stat(name)
		r.must(err)
		if code != exitOK || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: exit code %d, %s, mode %v", name, code, errs, info.Mode())
		}
	}
	for name, want := range map[string]string{
		directory:                              directory + ": is a directory",
		filepath.Join(directory, "no", "page"): "no such file or directory",
		"/dev/full":                            "/dev/full: no space left on device",
	} {
		if code, _, errs := r.ask("report", "--html", name); code != exitError || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: exit code %d, %q", name, code, errs)
		}
	}
	if code, out, errs := r.ask("report", "--html", os.DevNull); code != exitOK {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
	entries, err := os.ReadDir(directory)
	r.must(err)
	if len(entries) != 2 {
		t.Errorf("something is left beside the page: %v", entries)
	}
}

// TestQuestionsAboutMany: who may do something with all that a pattern stands for is not who may do it with some of that.
func TestQuestionsAboutMany(t *testing.T) {
	r := newOffice(t)
	r.says("\n- ord* is taken as a whole: who may do it with some of that only is not listed, and what is denied of some of that is not counted\n", "who-can", "Select", "ord*")
	if _, out, _ := r.ask("who-can", "Read", "*", "--kind", "Instance"); strings.Contains(out, "as a whole") {
		t.Errorf("instances have no names of their own:\n%s", out)
	}
}

// TestPackagesForEverybody: a * in the place of a project is every project.
func TestPackagesForEverybody(t *testing.T) {
	r := newOffice(t)
	r.must(r.cloud.AllowProject("shop", "shared", "*", 0))
	r.cloud.ResetJournal()
	r.says("\nAny project may install package shared, which holds it (label 0): its own roles decide who.\n", "who-can", "Select", "orders")
	r.says("Package shared may be installed by any project, mart: whom they let read it cannot be seen here", "report", "--html", "-")
}

// TestInterruptedAnswers end with one line that says so, whatever was being read, and without a page.
func TestInterruptedAnswers(t *testing.T) {
	for _, read := range []string{"/roles", "/roleAcl", "/users", "/packages"} {
		t.Run(read, func(t *testing.T) {
			r := newOffice(t)
			ctx, interrupt := context.WithCancel(t.Context())
			url := r.serve(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
				if strings.HasSuffix(request.URL.Path, read) {
					interrupt()
					<-request.Context().Done()
					return
				}
				r.cloud.ServeHTTP(w, request)
			}))
			t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", fakecloud.DefaultAccessKeyID)
			t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", fakecloud.DefaultAccessKeySecret)
			page := r.file("page.html", nothing)
			var out, errs strings.Builder
			code := run(ctx, []string{"report", "--html", page, "--kubeconfig", os.DevNull, "--connection-file", r.file("connection.yaml", connectionTo(url)),
				"--connection", "prod", "--project", "shop", "--allow-insecure-endpoints"}, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errs})
			if _, err := os.Stat(page); code != exitError || out.String() != "" || !strings.HasSuffix(errs.String(), "interrupted\n") || strings.Count(errs.String(), "\n") != 1 || err == nil {
				t.Errorf("exit code %d, printed %q, said %q", code, out.String(), errs.String())
			}
		})
	}
}
