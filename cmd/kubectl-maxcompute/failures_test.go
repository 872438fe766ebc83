package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// newcomer is the manifest of a role that is not there.
const newcomer = `apiVersion: maxcompute-operator.io/v1alpha1
kind: ProjectRole
metadata: {name: reader}
spec:
  connectionRef: {name: prod}
  projectName: shop
  roleName: newcomer
  acl: {tables: [{name: orders, actions: [Select]}]}
`

// connectionTo is the manifest of a Connection to a service.
func connectionTo(url string) string {
	return fmt.Sprintf(`apiVersion: maxcompute-operator.io/v1alpha1
kind: Connection
metadata: {name: prod}
spec:
  alibabaCloud:
    region: cn-hangzhou
    endpoints: {maxCompute: %q, odps: %q}
    credentials: {secretRef: {name: alibaba}}
`, url, url+"/api")
}

// kubeconfigOf is a kubeconfig of a cluster.
func kubeconfigOf(server string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: %q}}]
users: [{name: a, user: {token: fake-secret-token}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
current-context: a
`, server)
}

// rig is a project with two roles in a fake cloud, and what the program gets to see of the world around it.
type rig struct {
	t     *testing.T
	cloud *fakecloud.Server
	// url is where the Connection leads, connection its manifest, which is in a file unless there is a kubeconfig.
	url, connection, manifest, kubeconfig, secret string
	// args are given to both commands; those of plan take the place of the manifest's file.
	args, planArgs []string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, cloud: fakecloud.New(fakecloud.Options{Projects: []fakecloud.Project{{Name: "shop"}}}), manifest: newcomer, secret: fakecloud.DefaultAccessKeySecret}
	for _, name := range []string{"reader", "writer"} {
		r.must(r.cloud.CreateRole("shop", name, "resource"))
	}
	r.must(r.cloud.CreatePackage("shop", "shared"))
	r.cloud.ResetJournal()
	r.url = r.serve(r.cloud)
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// serve makes a server that says nothing about those who hang up.
func (r *rig) serve(handler http.Handler) string {
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	r.t.Cleanup(server.Close)
	return server.URL
}

// file writes a file, or names one that is not there.
func (r *rig) file(name, content string) string {
	path := filepath.Join(r.t.TempDir(), name)
	if content != nothing {
		r.must(os.WriteFile(path, []byte(content), 0o600))
	}
	return path
}

// nothing is the content of a file that does not exist.
const nothing = "nothing"

// run runs plan or export.
func (r *rig) run(verb string) (code int, out, errs string) {
	args := []string{verb, "--kubeconfig", os.DevNull}
	if r.kubeconfig != "" {
		args[2] = r.file("kubeconfig", r.kubeconfig)
	} else {
		args = append(args, "--connection-file", r.file("connection.yaml", cmp.Or(r.connection, connectionTo(r.url))))
	}
	switch {
	case verb == "export":
		args = append(args, "--connection", "prod", "--project", "shop")
	case r.planArgs != nil:
		args = append(args, r.planArgs...)
	default:
		args = append(args, "-f", r.file("manifest.yaml", r.manifest))
	}
	return r.execute(append(args, r.args...))
}

// execute runs the program with the key in its environment.
func (r *rig) execute(args []string) (code int, out, errs string) {
	r.t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", fakecloud.DefaultAccessKeyID)
	r.t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", r.secret)
	var stdout, stderr bytes.Buffer
	code = run(r.t.Context(), args, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &stdout, ErrOut: &stderr})
	return code, stdout.String(), stderr.String()
}

// unspeakable is what no message holds: what belongs to the program's insides, and secrets.
var unspeakable = []string{"%!", "Go value", "Go struct", "v1.", "json:", "goroutine", "0x", "fake-secret", fakecloud.DefaultAccessKeySecret, "context canceled"}

// fails checks that a command fails as it should: in some lines, of which one says what is wanted, and without writing anything.
func (r *rig) fails(verb string, lines int, want string) {
	r.t.Helper()
	code, _, errs := r.run(verb)
	if code != exitError {
		r.t.Errorf("%s: exit code %d: %s", verb, code, errs)
	}
	if got := strings.Count(errs, "\n"); got != lines || !strings.HasPrefix(errs, "Error: ") || !strings.Contains(errs, want) {
		r.t.Errorf("%s said, in %d lines where %d are wanted, with %q:\n%s", verb, got, lines, want, errs)
	}
	for _, word := range unspeakable {
		if strings.Contains(errs, word) {
			r.t.Errorf("%s said %q: %s", verb, word, errs)
		}
	}
	if writes := r.cloud.Writes(); len(writes) > 0 {
		r.t.Errorf("%s wrote: %v", verb, writes)
	}
}

// deny refuses an action, or all of them.
func deny(action string) func(*rig) {
	return func(r *rig) {
		if action == "" {
			r.must(r.cloud.Deny(fakecloud.DefaultAccessKeyID, "ODPS-0420095"))
			return
		}
		r.must(r.cloud.DenyAction(fakecloud.DefaultAccessKeyID, action, "ODPS-0420095"))
	}
}

func fault(f fakecloud.Fault) func(*rig) { return func(r *rig) { r.cloud.Inject(f) } }

// kubernetes has an API server that answers everything like this.
func kubernetes(status int, contentType, body string) func(*rig) {
	return func(r *rig) {
		r.kubeconfig = kubeconfigOf(r.serve(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, err := io.WriteString(w, body)
			r.must(err)
		})))
	}
}

// empty is an API server without the operator's kinds.
func empty(r *rig) {
	r.kubeconfig = kubeconfigOf(r.serve(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		lists := map[string]string{"/api": `{"kind":"APIVersions","versions":["v1"]}`, "/apis": `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`}
		if lists[request.URL.Path] == "" {
			http.NotFound(w, request)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, err := io.WriteString(w, lists[request.URL.Path])
		r.must(err)
	})))
}

// TestAFailureIsOneClearLine: of plan and of export, with exit code 1 and without a write to the cloud.
func TestAFailureIsOneClearLine(t *testing.T) {
	tests := map[string]struct {
		arrange func(*rig)
		want    string
	}{
		"the kubeconfig does not exist": {func(r *rig) { r.kubeconfig = nothing }, "read the kubeconfig: "},
		"the kubeconfig is no YAML":     {func(r *rig) { r.kubeconfig = "{" }, "read the kubeconfig: "},
		"the kubeconfig is binary":      {func(r *rig) { r.kubeconfig = "\x00\x01" }, "read the kubeconfig: "},
		"the context does not exist": {func(r *rig) {
			r.kubeconfig = kubeconfigOf("http://127.0.0.1:1")
			r.args = []string{"--context", "other"}
		}, "context was not found for specified context: other"},
		"nobody listens where the cluster is":    {func(r *rig) { r.kubeconfig = kubeconfigOf("http://127.0.0.1:1") }, "the API server http://127.0.0.1:1 cannot be reached"},
		"the cluster's name cannot be resolved":  {func(r *rig) { r.kubeconfig = kubeconfigOf("https://nowhere.invalid") }, "the API server https://nowhere.invalid cannot be reached"},
		"the API server speaks no TLS":           {func(r *rig) { r.kubeconfig = kubeconfigOf(strings.Replace(r.url, "http:", "https:", 1)) }, "cannot be reached: http: server gave HTTP response"},
		"a proxy's page answers for the cluster": {kubernetes(http.StatusOK, "text/html", "<html>\nSign in\n</html>"), "what answers in place of the API server is none"},
		"another service answers":                {kubernetes(http.StatusNotFound, "text/plain", "404 page not found"), "what answers in place of the API server is none"},
		"the token has expired":                  {kubernetes(http.StatusUnauthorized, "application/json", `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}`), "the API server refuses the credentials of the kubeconfig: log in again"},
		"the API server is starting":             {kubernetes(http.StatusServiceUnavailable, "application/json", `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"ServiceUnavailable","message":"starting","code":503}`), "unable to handle the request"},
		"the operator is not installed":          {empty, "install the operator's CRDs"},
		"the Connection's file does not exist":   {func(r *rig) { r.connection = nothing }, "connection.yaml: no such file or directory"},
		"the Connection's file is empty":         {func(r *rig) { r.connection = "\n" }, "no Connection is in "},
		"the Connection's file is no YAML":       {func(r *rig) { r.connection = "{" }, "connection.yaml: document 1 is no manifest: line 1"},
		"the Connection's file holds a role":     {func(r *rig) { r.connection = newcomer }, "ProjectRole default/reader is no Connection"},
		"the Connection has a misspelt field":    {func(r *rig) { r.connection = strings.Replace(connectionTo(r.url), "region", "regin", 1) }, `unknown field "spec.alibabaCloud.regin"`},
		"the Connection needs a cluster": {func(r *rig) {
			r.connection = strings.Replace(connectionTo(r.url), "secretRef: {name: alibaba}", "workloadIdentity: {roleArn: a, oidcProviderArn: b, serviceAccountName: c}", 1)
		}, "use a Connection with credentials.secretRef"},
		"another Connection is in the file":     {func(r *rig) { r.connection = strings.Replace(connectionTo(r.url), "prod", "test", 1) }, "Connection prod does not exist"},
		"no key is in the environment":          {func(r *rig) { r.secret = "" }, "the key is in ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET: set both"},
		"the key is wrong":                      {func(r *rig) { r.secret = "fake-secret-of-somebody" }, "check the key in the Connection's Secret"},
		"the key is unknown":                    {func(r *rig) { r.cloud.RemoveIdentity(fakecloud.DefaultAccessKeyID) }, "check the key in the Connection's Secret"},
		"everything is denied":                  {deny(""), "the Connection's identity needs the permissions of docs/permissions.md"},
		"the project is denied":                 {func(r *rig) { r.must(r.cloud.DenyProject(fakecloud.DefaultAccessKeyID, "shop", "ODPS-0420095")) }, "the Connection's identity needs the permissions"},
		"the account is in arrears":             {func(r *rig) { r.cloud.SetArrears(true) }, "the account is in arrears"},
		"the project does not exist":            {func(r *rig) { r.cloud.RemoveProject("shop") }, "check the project's name, and the Connection's region"},
		"the service has too many calls":        {fault(fakecloud.Fault{Kind: fakecloud.FaultThrottle}), "try again later"},
		"the service fails":                     {fault(fakecloud.Fault{Kind: fakecloud.FaultServerError}), "try again later"},
		"a proxy does not reach the service":    {fault(fakecloud.Fault{Kind: fakecloud.FaultHTML502}), "HTTP status 502 with a body that is not MaxCompute's"},
		"the endpoint is another service's":     {fault(fakecloud.Fault{Kind: fakecloud.FaultWrongEndpoint}), "check the Connection's endpoints"},
		"the answers are cut off":               {fault(fakecloud.Fault{Kind: fakecloud.FaultGarbled}), "check the Connection's endpoints"},
		"the service hangs up":                  {fault(fakecloud.Fault{Kind: fakecloud.FaultDropBefore}), "the connection was lost"},
		"nobody listens where the service is":   {func(r *rig) { r.url = "http://127.0.0.1:1" }, "no connection to the endpoint"},
		"the service's name cannot be resolved": {func(r *rig) { r.url = "http://nowhere.invalid" }, "the host name nowhere.invalid cannot be resolved"},
		"the endpoint is not encrypted":         {func(r *rig) { r.args = []string{"--allow-insecure-endpoints=false"} }, "does not use https"},
		"the endpoint is not allowed": {func(r *rig) {
			r.url, r.args = "https://maxcompute.example.com", []string{"--allow-insecure-endpoints=false"}
		}, "--allowed-endpoint-suffixes"},
	}
	for name, tc := range tests {
		for _, verb := range []string{"plan", "export"} {
			t.Run(name+", "+verb, func(t *testing.T) {
				r := newRig(t)
				r.args = []string{}
				tc.arrange(r)
				r.args = append([]string{"--allow-insecure-endpoints"}, r.args...)
				r.fails(verb, 1, tc.want)
			})
		}
	}
}

// TestABadManifestIsOneClearLine: nothing is asked of the cloud then.
func TestABadManifestIsOneClearLine(t *testing.T) {
	replaced := func(old, by string) string { return strings.Replace(newcomer, old, by, 1) }
	tests := map[string]struct{ manifest, want string }{
		"it does not exist":           {nothing, "manifest.yaml: no such file or directory"},
		"it is empty":                 {"", "no manifest is in "},
		"it is all comments":          {"# nothing\n---\n# else\n", "no manifest is in "},
		"it is no YAML":               {"{", "manifest.yaml: document 1 is no manifest: line 1"},
		"its second document is none": {newcomer + "---\n{", "document 2 is no manifest"},
		"it is a text":                {"good morning\n", "document 1 is no manifest: it cannot be a string"},
		"it is a page":                {"<!DOCTYPE html>\n<html>\n", "document 1 is no manifest"},
		"it is binary":                {"\x7fELF\x00\xff\n\x00", "document 1 is no manifest: control characters"},
		"it has an unknown field":     {replaced("roleName", "roleNam"), `unknown field "spec.roleNam"`},
		"it has two unknown fields":   {strings.NewReplacer("roleName", "roleNam", "acl", "acls").Replace(newcomer), `unknown field "spec.acls"; unknown field "spec.roleNam"`},
		"a field is of another type":  {replaced("newcomer", "[newcomer]"), "spec.roleName cannot be an array"},
		"a field is there twice":      {replaced("  projectName: shop\n", "  projectName: shop\n  projectName: shop\n"), `line 7: key "projectName" already set`},
		"its kind does not exist":     {replaced("ProjectRole", "Role"), "maxcompute-operator.io/v1alpha1 has no kind Role"},
		"it is of another version":    {replaced("v1alpha1", "v2"), "is of maxcompute-operator.io/v2, and this program knows maxcompute-operator.io/v1alpha1 only"},
		"it is a List":                {"apiVersion: v1\nkind: List\nitems: []\n", "is a List: write its items as documents of their own"},
		"it is a list of roles":       {replaced("ProjectRole", "ProjectRoleList"), "is a ProjectRoleList: write its items"},
		"it has no name":              {replaced("name: reader", ""), "the ProjectRole has no metadata.name"},
		"it is there twice":           {newcomer + "---\n" + newcomer, "ProjectRole default/reader: it is in the manifests twice"},
		"it has an unknown action":    {replaced("Select", "Selekt"), "InvalidSpec: "},
		"it names no Connection":      {replaced("name: prod", "name: other"), "Connection other does not exist"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.manifest = tc.manifest
			r.args = []string{"--allow-insecure-endpoints"}
			r.fails("plan", 1, tc.want)
			if calls := r.cloud.Journal(); len(calls) > 0 {
				t.Errorf("the cloud was asked: %v", calls)
			}
		})
	}
	for name, tc := range map[string]struct {
		path func(*rig) string
		want string
	}{
		"a directory is empty":                {func(*rig) string { return t.TempDir() }, "no .yaml, .yml or .json file is below "},
		"a directory has other files only":    {func(r *rig) string { return filepath.Dir(r.file("notes.txt", "text")) }, "no .yaml, .yml or .json file is below "},
		"standard input is empty":             {func(*rig) string { return "-" }, "no manifest is in -"},
		"a file is what a directory would be": {func(r *rig) string { return r.file("a.yaml", newcomer) + "/b.yaml" }, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.planArgs = []string{"-f", tc.path(r)}
			r.fails("plan", 1, tc.want)
		})
	}
}

// TestAHalfReadableProject: what can be read is written, what cannot is named, and the exit code is that of an error.
func TestAHalfReadableProject(t *testing.T) {
	tests := map[string]struct {
		arrange func(*rig)
		// written are the manifests, named is what the lines are about.
		written, named []string
	}{
		"one role": {fault(fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Role: "reader"}),
			[]string{"name: writer", "name: shared"}, []string{"ProjectRole reader could not be read"}},
		"all ACLs": {deny("GetRoleAcl"), []string{"name: shared"}, []string{"ProjectRole reader could not be read", "ProjectRole writer could not be read"}},
		"packages": {deny("ListPackages"), []string{"name: reader", "name: writer"},
			[]string{"read the MaxComputePackages of project shop", "read the PackageInstallations of project shop"}},
		"one package, from a service that fails": {fault(fakecloud.Fault{Kind: fakecloud.FaultServerError, Package: "shared"}),
			[]string{"name: reader", "name: writer"}, []string{"MaxComputePackage shared could not be read"}},
		"roles": {deny("ListRoles"), []string{"name: shared"}, []string{"read the ProjectRoles of project shop"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			tc.arrange(r)
			r.args = []string{"--allow-insecure-endpoints"}
			for _, named := range append(tc.named, "not all of project shop could be read") {
				r.fails("export", len(tc.named)+1, named)
			}
			_, out, _ := r.run("export")
			for _, written := range tc.written {
				if strings.Count(out, written) != 1 {
					t.Errorf("%q is not written:\n%s", written, out)
				}
			}
			if strings.Count(out, "kind: ") != len(tc.written) {
				t.Errorf("written is, for %v:\n%s", tc.written, out)
			}
		})
	}
}

// TestAPlanOfSeveralObjects tells of those that can be looked at what would be done, and of the others why not.
func TestAPlanOfSeveralObjects(t *testing.T) {
	r := newRig(t)
	adopting := strings.NewReplacer("connectionRef", "adoptionPolicy: Adopt\n  connectionRef").Replace(newcomer)
	for _, name := range []string{"reader", "writer"} {
		r.manifest += "---\n" + strings.NewReplacer("reader", name+"-object", "newcomer", name).Replace(adopting)
	}
	r.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Role: "reader"})
	r.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultServerError, Role: "writer"})
	r.args = []string{"--allow-insecure-endpoints"}
	for _, want := range []string{
		"ProjectRole default/reader-object: PermissionDenied: ", "ProjectRole default/writer-object: RemoteUnavailable: ", "Error: 2 of 3 objects would not be worked on",
	} {
		r.fails("plan", 3, want)
	}
	_, out, _ := r.run("plan")
	if !strings.Contains(out, "+ Create Role newcomer") {
		t.Errorf("the plan is:\n%s", out)
	}
}
