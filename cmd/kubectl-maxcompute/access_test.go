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

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// unknown is what no answer knows that was found without a cluster.
const unknown = "Not known:\n- " + withoutCluster + "\n\n" + unreported + "\n"

// newOffice is a rig whose project has people in it: alice reads by an ACL, bob by a policy, carol is denied, dave may perhaps.
func newOffice(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	for role, member := range map[string]string{"reader": "alice", "writer": "alice", "analyst": "bob", "contractor": "carol", "visitor": "dave"} {
		if role != "reader" && role != "writer" {
			r.must(r.cloud.CreateRole("shop", role, "resource"))
		}
		r.must(r.cloud.AddMembers("shop", role, "RAM$corp:"+member))
	}
	r.must(r.cloud.AddMembers("shop", "analyst", "RAM$corp:carol"))
	r.must(r.cloud.Grant("shop", "reader", fakecloud.Grant{Kind: "table", Name: "orders", Actions: []string{"Select", "Describe"}}))
	for role, statement := range map[string]string{
		"analyst":    `{"Effect":"Allow","Action":["odps:Select"],"Resource":["acs:odps:*:projects/shop/tables/ord*"]}`,
		"contractor": `{"Effect":"Deny","Action":["odps:*"],"Resource":["acs:odps:*:projects/shop/tables/orders"]}`,
		"visitor":    `{"Effect":"Allow","Action":["odps:Select"],"Resource":["*"],"Condition":{"Bool":{"acs:SecureTransport":["true"]}}}`,
	} {
		r.must(r.cloud.SetPolicy("shop", role, `{"Version":"1","Statement":[`+statement+`]}`))
	}
	r.must(r.cloud.AllowProject("shop", "shared", "mart", 2))
	r.must(r.cloud.AddToPackage("shop", "shared", fakecloud.Grant{Kind: "table", Name: "orders", Actions: []string{"Select"}}))
	r.cloud.ResetJournal()
	return r
}

// ask runs a command about the project. It must not write.
func (r *rig) ask(args ...string) (code int, out, errs string) {
	r.t.Helper()
	code, out, errs = r.execute(append(args, "--kubeconfig", os.DevNull, "--connection-file", r.file("connection.yaml", connectionTo(r.url)),
		"--connection", "prod", "--project", "shop", "--allow-insecure-endpoints"))
	if writes := r.cloud.Writes(); len(writes) > 0 {
		r.t.Errorf("%v wrote: %v", args, writes)
	}
	return code, out, errs
}

// answers checks what a command prints.
func (r *rig) answers(want string, args ...string) {
	r.t.Helper()
	code, out, errs := r.ask(args...)
	if diff := cmp.Diff(want, out); diff != "" || code != exitOK || errs != "" {
		r.t.Errorf("%v: exit code %d, %s (-want +got):\n%s", args, code, errs, diff)
	}
}

func TestWhoCan(t *testing.T) {
	r := newOffice(t)
	r.answers(`Who can Select on Table orders in project shop:

PRINCIPAL        VERDICT   ROLE         BY                                                 MANAGED BY   UNTIL
RAM$corp:alice   Allowed   reader       ACL entry Describe, Select on Table orders         unmanaged    -
RAM$corp:bob     Allowed   analyst      policy select on tables/ord*                       unmanaged    -
RAM$corp:dave    Unclear   visitor      policy select on * (unclear: it has a Condition)   unmanaged    -
RAM$corp:carol   Denied    analyst      policy select on tables/ord*                       unmanaged    -
                           contractor   Deny: policy * on tables/orders                    unmanaged    -

Project mart may install package shared, which holds it (label 2): its own roles decide who.

`+unknown, "who-can", "select", "ORDERS")
	r.answers("Nobody can Execute on Function f in project shop, as far as can be seen.\n\n"+unknown, "who-can", "Execute", "f", "--kind", "function")
	r.answers("Nobody can Select on Table orders in project shop, by packages of project other, as far as can be seen.\n\n"+unknown,
		"who-can", "Select", "orders", "--source-project", "other")
	// Of each role at most its ACL and its members are read.
	calls := map[string]int{}
	r.cloud.ResetJournal()
	r.ask("who-can", "Select", "orders")
	for _, entry := range r.cloud.Journal() {
		calls[entry.Action]++
	}
	if diff := cmp.Diff(map[string]int{"ListRoles": 1, "GetRoleAcl": 5, "ListUsersByRole": 6, "ListPackages": 1, "GetPackage": 1}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// TestPoliciesThatAreNotReadAreToldOf: of a list that shows none, it is not known that there are none.
func TestPoliciesThatAreNotReadAreToldOf(t *testing.T) {
	r := newRig(t)
	r.must(r.cloud.Grant("shop", "reader", fakecloud.Grant{Kind: "table", Name: "orders", Actions: []string{"Select"}}))
	r.cloud.ResetJournal()
	const note = "- the policies, if there are any, of 1 role with an ACL: the list of roles shows none (--read-policies reads them)\n"
	for _, c := range []struct {
		args  []string
		reads int
		said  bool
	}{
		{[]string{"who-can", "Select", "orders"}, 1, true}, {[]string{"who-can", "Select", "orders", "--read-policies"}, 2, false}, {[]string{"what-can", "RAM$corp:a"}, 2, false},
	} {
		r.cloud.ResetJournal()
		if _, out, _ := r.ask(c.args...); strings.Contains(out, note) != c.said || r.cloud.Count("GetRolePolicy") != c.reads {
			t.Errorf("%v: %d policies are read, want %d, and it prints\n%s", c.args, r.cloud.Count("GetRolePolicy"), c.reads, out)
		}
	}
}

// TestTheOnlyConnectionNeedsNoName: one in a file, or that of the objects of the project.
func TestTheOnlyConnectionNeedsNoName(t *testing.T) {
	for name, c := range map[string]struct {
		connections string
		flags       []string
		want        string
	}{
		"one Connection":           {"CONNECTION", nil, ""},
		"one ClusterConnection":    {"CLUSTER", nil, "does not allow namespace default"},
		"two":                      {"CONNECTION---\nCLUSTER", nil, "project shop could be read with ClusterConnection everywhere or Connection prod: name one with"},
		"one of two that is named": {"CONNECTION---\nCLUSTER", []string{"--connection", "prod"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newOffice(t)
			connection := connectionTo(r.url)
			everywhere := strings.NewReplacer("kind: Connection", "kind: ClusterConnection", "name: prod", "name: everywhere", "{name: alibaba}", "{name: alibaba, namespace: default}").Replace(connection)
			file := r.file("connections.yaml", strings.NewReplacer("CONNECTION", connection, "CLUSTER", everywhere).Replace(c.connections))
			args := append([]string{"who-can", "Select", "orders", "--project", "shop", "--kubeconfig", os.DevNull, "--connection-file", file, "--allow-insecure-endpoints"}, c.flags...)
			code, _, errs := r.execute(args)
			if wantCode := map[bool]int{true: exitOK, false: exitError}[c.want == ""]; code != wantCode || !strings.Contains(errs, c.want) {
				t.Errorf("exit code %d, %q; want %d, %q", code, errs, wantCode, c.want)
			}
		})
	}
}

func TestWhatCan(t *testing.T) {
	r := newOffice(t)
	r.answers(`What RAM$corp:carol can do in project shop, by roles analyst, contractor:

OBJECT         ACTIONS   VERDICT   ROLE         BY                                MANAGED BY   UNTIL
Table ord*     Select    Allowed   analyst      policy select on tables/ord*      unmanaged    -
Table orders   Select    Denied    analyst      policy select on tables/ord*      unmanaged    -
                                   contractor   Deny: policy * on tables/orders   unmanaged    -

`+unknown, "what-can", "ram$CORP:carol")
	r.answers("RAM$corp:nobody has no role in project shop, as far as can be seen.\n\n"+unknown, "what-can", "RAM$corp:nobody")

	r.cloud.AddProject(fakecloud.Project{Name: "mart"})
	r.must(r.cloud.CreatePackage("mart", "cities"))
	r.must(r.cloud.AddToPackage("mart", "cities", fakecloud.Grant{Kind: "table", Name: "dim_city", Actions: []string{"Select"}}))
	r.must(r.cloud.AllowProject("mart", "cities", "shop", 0))
	r.must(r.cloud.InstallPackage("shop", "mart", "cities"))
	r.must(r.cloud.Grant("shop", "writer", fakecloud.Grant{Kind: "package", Name: "mart.cities", Actions: []string{"Read"}}))
	r.cloud.ResetJournal()
	r.answers(`What RAM$corp:alice can do in project shop, by roles reader, writer:

OBJECT                ACTIONS            VERDICT   ROLE     BY                                           MANAGED BY   UNTIL
Table orders          Describe, Select   Allowed   reader   ACL entry Describe, Select on Table orders   unmanaged    -
Package mart.cities   Read               Allowed   writer   ACL entry Read on Package mart.cities        unmanaged    -

Package mart.cities (allowed) holds:
- Table dim_city: Select

`+unknown, "what-can", "RAM$corp:alice")
	r.answers(`Who can Select on Table dim_city in project shop, by packages of project mart:

PRINCIPAL        VERDICT   ROLE     BY                                                           MANAGED BY   UNTIL
RAM$corp:alice   Allowed   writer   package mart.cities, ACL entry Read on Package mart.cities   unmanaged    -

`+unknown, "who-can", "Select", "dim_city", "--source-project", "mart")
}

// TestAnswersForPrograms: the fields of the answers are a contract.
func TestAnswersForPrograms(t *testing.T) {
	r := newOffice(t)
	chain := map[string]any{"role": "reader", "membership": "Unmanaged", "effect": "Allow", "source": "ACL entry Describe, Select on Table orders", "state": "Unmanaged"}
	for name, c := range map[string]struct {
		args []string
		want map[string]any
	}{
		"who-can": {[]string{"who-can", "Describe", "orders"}, map[string]any{
			"project": "shop", "action": "Describe", "kind": "Table", "schemaName": "default", "name": "orders",
			"principals": []any{map[string]any{"principal": "RAM$corp:alice", "verdict": "Allowed", "chains": []any{chain}}},
			"shares":     []any{}, "unseen": []any{withoutCluster}, "problems": []any{},
		}},
		"what-can": {[]string{"what-can", "RAM$corp:alice"}, map[string]any{
			"project": "shop", "principal": "RAM$corp:alice", "packages": []any{}, "unseen": []any{withoutCluster}, "problems": []any{},
			"roles": []any{map[string]any{"role": "reader", "membership": "Unmanaged"}, map[string]any{"role": "writer", "membership": "Unmanaged"}},
			"objects": []any{map[string]any{"kind": "Table", "schemaName": "default", "name": "orders", "actions": []any{
				map[string]any{"action": "Describe", "verdict": "Allowed", "chains": []any{chain}}, map[string]any{"action": "Select", "verdict": "Allowed", "chains": []any{chain}},
			}}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			_, out, errs := r.ask(append(c.args, "-o", "json")...)
			var got map[string]any
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatalf("%v: %s%s", err, out, errs)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
			if _, text, _ := r.ask(append(c.args, "-o", "yaml")...); !strings.Contains(text, "project: shop\n") {
				t.Errorf("as YAML it is\n%s", text)
			}
		})
	}
}

// TestAnswersThatLackSomething: what could be read is told, what could not is named, and the exit code is that of an error.
func TestAnswersThatLackSomething(t *testing.T) {
	for name, c := range map[string]struct {
		arrange func(*rig)
		named   []string
	}{
		"one ACL":     {fault(fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Role: "writer", Action: "GetRoleAcl"}), []string{"get the ACL of role writer in project shop"}},
		"one list":    {fault(fakecloud.Fault{Kind: fakecloud.FaultServerError, Role: "analyst", Action: "ListUsersByRole"}), []string{"list the members of role analyst in project shop"}},
		"the members": {deny("ListUsersByRole"), []string{"members of role analyst", "members of role contractor", "members of role reader"}},
	} {
		for _, args := range [][]string{{"who-can", "Select", "orders"}, {"what-can", "RAM$corp:alice"}, {"report", "--html", "-"}} {
			t.Run(name+", "+args[0], func(t *testing.T) {
				r := newOffice(t)
				c.arrange(r)
				code, out, errs := r.ask(args...)
				for _, named := range append(c.named, "Error: the answer is not complete: what is named above could not be read\n") {
					if !strings.Contains(errs, named) {
						t.Errorf("%q is not in\n%s", named, errs)
					}
				}
				if code != exitError || out == "" {
					t.Errorf("exit code %d and %q", code, out)
				}
			})
		}
	}
	t.Run("a member whose account is gone", func(t *testing.T) {
		r := newOffice(t)
		r.must(r.cloud.KillUser("RAM$corp:bob"))
		_, out, _ := r.ask("who-can", "Select", "orders")
		for _, said := range []string{"- the members of role analyst cannot be listed, because an account among them was deleted\n", "- who has role analyst, which gives it\n"} {
			if !strings.Contains(out, said) {
				t.Errorf("%q is not in\n%s", said, out)
			}
		}
		if _, out, _ := r.ask("what-can", "RAM$corp:alice"); !strings.Contains(out, "- whether RAM$corp:alice has role analyst\n") {
			t.Errorf("it is not said that the members of analyst are not known:\n%s", out)
		}
	})
}

// TestQuestionsThatAreNone end with one line that says how to ask.
func TestQuestionsThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"an action that there is not":    {[]string{"who-can", "Slect", "orders"}, "a table knows no action Slect: it is one of Alter, Describe, Download, Drop, Select, ShowHistory, Update"},
		"All is no action":               {[]string{"who-can", "All", "orders"}, "a table knows no action All"},
		"a kind that there is not":       {[]string{"who-can", "Select", "orders", "--kind", "view"}, `--kind is "view"`},
		"a table with its project":       {[]string{"who-can", "Select", "shop.orders"}, "write table shop.orders without project and schema"},
		"a project in a schema":          {[]string{"who-can", "List", "shop", "--kind", "Project", "--schema", "s"}, "a project is in no schema, and in no package"},
		"another project":                {[]string{"who-can", "List", "other", "--kind", "Project"}, "roles of project shop give nothing on project other"},
		"no table":                       {[]string{"who-can", "Select", ""}, "the name of the table is empty"},
		"too few words":                  {[]string{"who-can", "Select"}, "give an action and the name of a table"},
		"nobody":                         {[]string{"what-can"}, "give a principal"},
		"an output that there is not":    {[]string{"what-can", "x", "-o", "xml"}, `--output is json or yaml, not "xml"`},
		"a page without a file":          {[]string{"report"}, "name the file to write with --html"},
		"a file that cannot be written":  {[]string{"report", "--html", "/nowhere/page.html"}, "/nowhere/page.html: no such file or directory"},
		"two connections":                {[]string{"who-can", "Select", "orders", "--cluster-connection", "prod"}, "one of the two"},
		"a project that cannot be one":   {[]string{"who-can", "Select", "orders", "--project", "shop/.."}, "cannot be the name of a project"},
		"a project that there is not":    {[]string{"who-can", "Select", "orders", "--project", "nowhere"}, "check the project's name, and the Connection's region"},
		"a Connection that there is not": {[]string{"who-can", "Select", "orders", "--connection", "other"}, "Connection other does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newOffice(t)
			args := []string{"--kubeconfig", os.DevNull, "--connection-file", r.file("connection.yaml", connectionTo(r.url)), "--allow-insecure-endpoints"}
			for flag, value := range map[string]string{"--connection": "prod", "--project": "shop"} {
				if !strings.Contains(strings.Join(c.args, " "), flag+" ") {
					args = append(args, flag, value)
				}
			}
			code, out, errs := r.execute(append(c.args, args...))
			if code != exitError || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, c.want) {
				t.Errorf("exit code %d, printed %q, said %q; want %q", code, out, errs, c.want)
			}
		})
	}
}

// TestReport: the page is written for its owner alone, and holds what was read.
func TestReport(t *testing.T) {
	r := newOffice(t)
	r.must(r.cloud.CreateRole("shop", "empty", "resource"))
	r.cloud.ResetJournal()
	file := r.file("page.html", nothing)
	code, out, errs := r.ask("report", "--html", file)
	if want := "4 principals and 3 objects written to " + file + "\n"; code != exitOK || out != want || errs != "" {
		t.Errorf("exit code %d, %q, %q; want %q", code, out, errs, want)
	}
	info, err := os.Stat(file)
	r.must(err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the mode is %v", info.Mode())
	}
	content, err := os.ReadFile(file)
	r.must(err)
	for _, held := range []string{"RAM$corp:alice", "ord*", "contractor", "Package shared may be installed by mart"} {
		if !strings.Contains(string(content), held) {
			t.Errorf("%q is not on the page", held)
		}
	}
}

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
	kubeconfig := r.cluster(answers)
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
