package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// plugin builds kubectl-maxcompute once, where the testbed's files are.
var plugin = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(bed.Kubeconfig), "kubectl-maxcompute")
	out, err := exec.Command("go", "build", "-o", path, "../../cmd/kubectl-maxcompute").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the plugin: %w\n%s", err, out)
	}
	return path, nil
})

// said is how a run of the plugin ended.
type said struct {
	code     int
	out, err string
}

// ask runs the plugin as an administrator in the namespace, with what it reads from its standard input.
func (s space) ask(t *testing.T, input string, args ...string) said {
	t.Helper()
	return runPlugin(t, input, append([]string{"--kubeconfig", bed.Kubeconfig, "--namespace", s.namespace}, args...)...)
}

func runPlugin(t *testing.T, input string, args ...string) said {
	t.Helper()
	path, err := plugin()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, path, args...)
	command.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err = command.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return said{command.ProcessState.ExitCode(), out.String(), errs.String()}
}

func manifestOf(t *testing.T, objects ...any) string {
	t.Helper()
	var parts []string
	for _, obj := range objects {
		text, err := yaml.Marshal(obj)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, string(text))
	}
	return strings.Join(parts, "---\n")
}

// typed gives an object the type that a manifest has.
func typed(role *v1alpha1.ProjectRole) *v1alpha1.ProjectRole {
	role = role.DeepCopy()
	role.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ProjectRole"}
	return role
}

func typedConnection(c *v1alpha1.Connection) *v1alpha1.Connection {
	c.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Connection"}
	return c
}

// writesTo are the calls that have changed something in the space's project.
func (s space) writesTo() []fakecloud.Entry {
	var found []fakecloud.Entry
	for _, entry := range bed.Cloud.Writes() {
		if entry.Project == s.project {
			found = append(found, entry)
		}
	}
	return found
}

func TestPlanBeforeAndAfterApplying(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	create(t, s.secret())
	role := typed(s.role("reader", "Select"))
	both := manifestOf(t, typedConnection(s.connection()), role)

	plan := s.ask(t, both, "plan", "-f", "-", "--allow-insecure-endpoints")
	g.Expect(plan).To(Equal(said{code: 2, out: fmt.Sprintf(`ProjectRole %s/reader: role reader in project %s
  + Create Role reader
    + Select on Table orders
  plan %s

1 object of kinds that have no plan
1 object looked at: 1 would change, 0 would not be worked on; grant 1, revoke 0
`, s.namespace, s.project, hashIn(plan.out))}))
	g.Expect(s.writesTo()).To(BeEmpty())

	create(t, s.connection(), s.role("reader", "Select"))
	live := s.role("reader")
	g.Eventually(seen(live), timeout, poll).Should(Equal("True/Succeeded Current"))
	for _, args := range [][]string{{"plan", "-f", "-"}, {"plan", "reader"}, {"plan", "mcrole/reader"}, {"plan", "projectroles.maxcompute-operator.io/reader"}} {
		input := ""
		if args[1] == "-f" {
			input = manifestOf(t, role)
		}
		done := s.ask(t, input, append(args, "--allow-insecure-endpoints")...)
		g.Expect(done.code).To(Equal(0), "%v: %s", args, done)
		g.Expect(done.out).To(ContainSubstring("nothing to do"))
	}

	// What is planned for an edit is what is then called.
	before := len(s.writesTo())
	edited := typed(s.role("reader", "Describe", "Update"))
	plan = s.ask(t, manifestOf(t, edited), "plan", "-f", "-", "--allow-insecure-endpoints", "-o", "json")
	g.Expect(plan.code).To(Equal(2), "%s", plan.err)
	var report struct {
		Objects []struct {
			Steps []struct{ Text string }
			Hash  string
		}
		Summary struct{ Changes, Grants, Revokes int }
	}
	g.Expect(json.Unmarshal([]byte(plan.out), &report)).To(Succeed())
	g.Expect(report.Summary).To(Equal(struct{ Changes, Grants, Revokes int }{1, 2, 1}))
	g.Expect(s.writesTo()).To(HaveLen(before))
	_, err := kubectl(t, manifestOf(t, edited), "apply", "-f", "-")
	g.Expect(err).NotTo(HaveOccurred())
	g.Eventually(func() int { return len(s.writesTo()) }, timeout, poll).Should(Equal(before + 2))
	for i, entry := range s.writesTo()[before:] {
		words := strings.Fields(strings.ToLower(strings.TrimSuffix(entry.Statement, ";")))
		g.Expect(strings.ToLower(report.Objects[0].Steps[i].Text)).To(HavePrefix(words[0]))
		g.Expect(strings.ToLower(report.Objects[0].Steps[i].Text)).To(HaveSuffix("orders"))
	}
}

// hashIn finds the hash that a plan was printed with.
func hashIn(out string) string {
	_, rest, _ := strings.Cut(out, "\n  plan ")
	hash, _, _ := strings.Cut(rest, "\n")
	return hash
}

// TestPlanWithoutACluster takes the Connection from a file and the key from the environment.
func TestPlanWithoutACluster(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	file := filepath.Join(t.TempDir(), "connection.yaml")
	connection := typedConnection(s.connection())
	connection.Namespace = ""
	role := typed(s.role("reader", "Select"))
	role.Namespace = ""
	g.Expect(os.WriteFile(file, []byte(manifestOf(t, connection)), 0o600)).To(Succeed())
	secret := s.secret()
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", secret.StringData["accessKeyId"]+string(secret.Data["accessKeyId"]))
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret.StringData["accessKeySecret"]+string(secret.Data["accessKeySecret"]))
	plan := runPlugin(t, manifestOf(t, role), "--kubeconfig", os.DevNull, "plan", "-f", "-", "--connection-file", file, "--allow-insecure-endpoints")
	g.Expect(plan.code).To(Equal(2), "%s", plan)
	g.Expect(plan.out).To(ContainSubstring("+ Create Role reader"))
	g.Expect(s.writesTo()).To(BeEmpty())
}

// TestPlanSaysWhatIsWrong in one line, with the exit code of an error.
func TestPlanSaysWhatIsWrong(t *testing.T) {
	s := newSpace(t)
	create(t, s.secret(), s.connection())
	role := func(change func(*v1alpha1.ProjectRole)) string {
		r := typed(s.role("reader", "Select"))
		change(r)
		return manifestOf(t, r)
	}
	same := func(*v1alpha1.ProjectRole) {}
	keyless := s.connection()
	keyless.Spec.AlibabaCloud.Credentials.SecretRef.Name = "nowhere"
	blind, nobody, expired := blindUser(t, s), kubeconfigOf(t, "nobody"), expiredKubeconfig(t)
	tests := map[string]struct {
		input string
		args  []string
		want  string
	}{
		"a wrong kubeconfig":          {role(same), []string{"--kubeconfig", "nowhere.yaml", "plan", "-f", "-"}, "nowhere.yaml"},
		"a cluster that is not there": {role(same), []string{"--server", "https://127.0.0.1:1", "plan", "-f", "-"}, "127.0.0.1:1"},
		"a missing Connection":        {role(func(r *v1alpha1.ProjectRole) { r.Spec.ConnectionRef.Name = "other" }), []string{"plan", "-f", "-"}, "Connection other does not exist"},
		"an endpoint without TLS":     {role(same), []string{"plan", "-f", "-", "--allow-insecure-endpoints=false"}, "does not use https"},
		"a project that is not there": {role(func(r *v1alpha1.ProjectRole) { r.Spec.ProjectName = "nowhere_at_all" }), []string{"plan", "-f", "-"}, "ProjectNotFound"},
		"a misspelt field":            {"apiVersion: maxcompute-operator.io/v1alpha1\nkind: ProjectRole\nmetadata: {name: r}\nspec: {projectNam: p}\n", []string{"plan", "-f", "-"}, `unknown field "spec.projectNam"`},
		"a kind that is not there":    {"apiVersion: maxcompute-operator.io/v1alpha1\nkind: Role\nmetadata: {name: r}\n", []string{"plan", "-f", "-"}, "has no kind Role"},
		"no YAML":                     {"{", []string{"plan", "-f", "-"}, "document 1"},
		"what the API server refuses": {role(func(r *v1alpha1.ProjectRole) { r.Spec.RoleName = "admin" }), []string{"plan", "-f", "-"}, "spec.roleName"},
		"one object twice":            {role(same) + "---\n" + role(same), []string{"plan", "-f", "-"}, "twice"},
		"nothing asked for":           {"", []string{"plan"}, "name objects"},
		"an object that is not there": {"", []string{"plan", "nobody"}, "there is no nobody"},
		"a kind that nobody knows":    {"", []string{"plan", "pod/reader"}, "none of the operator's kinds"},
		"a missing Secret":            {role(same) + "---\n" + manifestOf(t, typedConnection(keyless)), []string{"plan", "-f", "-"}, "Secret nowhere does not exist in this namespace"},
		"a forbidden namespace":       {role(same), []string{"--kubeconfig", nobody, "plan", "-f", "-"}, "the ClusterRole maxcompute-operator-viewer allows to look"},
		"a token that has expired":    {role(same), []string{"--kubeconfig", expired, "plan", "-f", "-"}, "the API server refuses the credentials of the kubeconfig"},
		"no access to the Secret":     {role(same), []string{"--kubeconfig", blind, "plan", "-f", "-"}, "you may not read Secret"},
		"a format that is none":       {role(same), []string{"plan", "-f", "-", "-o", "xml"}, "json or yaml"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			args := append([]string{}, tc.args...)
			if args[len(args)-1] != "--allow-insecure-endpoints=false" && strings.Contains(strings.Join(args, " "), "plan") {
				args = append(args, "--allow-insecure-endpoints")
			}
			got := s.ask(t, tc.input, args...)
			g.Expect(got.code).To(Equal(1), "%s", got)
			g.Expect(got.err).To(And(HavePrefix("Error: "), ContainSubstring(tc.want)))
			g.Expect(strings.Count(got.err, "\n")).To(Equal(1), "%s", got.err)
		})
	}
	if writes := s.writesTo(); len(writes) > 0 {
		t.Errorf("something was written: %v", writes)
	}
}

// blindUser is the kubeconfig of somebody who may read and write the operator's kinds and no Secret.
func blindUser(t *testing.T, s space) string {
	t.Helper()
	create(t, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "blind"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "maxcompute-operator-editor"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "blind"}},
	})
	create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "blind-" + s.namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "maxcompute-operator-viewer"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "blind"}},
	})
	return kubeconfigOf(t, "blind")
}

// kubeconfigOf is the kubeconfig of somebody.
func kubeconfigOf(t *testing.T, user string) string {
	t.Helper()
	config, err := bed.UserKubeconfig(user)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// expiredKubeconfig is one with a token that the API server does not accept.
func expiredKubeconfig(t *testing.T) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(bed.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for name := range config.AuthInfos {
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: "fake-secret-token"}
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestExportSaysWhatIsWrong in one line, with the exit code of an error.
func TestExportSaysWhatIsWrong(t *testing.T) {
	s := newSpace(t)
	keyless := s.connection()
	keyless.Name, keyless.Spec.AlibabaCloud.Credentials.SecretRef.Name = "keyless", "nowhere"
	create(t, s.secret(), s.connection(), keyless)
	using := func(connection string, args ...string) []string {
		return append([]string{"export", "--allow-insecure-endpoints", "--connection", connection, "--project", s.project}, args...)
	}
	tests := map[string]struct {
		args []string
		want string
	}{
		"no connection of two":        {[]string{"export", "--project", s.project}, "could be read with Connection keyless or Connection prod: name one with --connection"},
		"two connections":             {using("prod", "--cluster-connection", "prod"), "one of the two"},
		"no project":                  {[]string{"export", "--connection", "prod"}, "name the --project"},
		"a project with an odd name":  {using("prod", "--project", "../shop"), `"../shop" cannot be the name of a project`},
		"a kind that is not exported": {using("prod", "--kinds", "Pod"), `--kinds: "Pod" is none of ProjectRole`},
		"a project that is not there": {using("prod", "--project", "nowhere_at_all"), "check the project's name"},
		"a missing Connection":        {using("other"), "Connection other does not exist"},
		"a missing ClusterConnection": {[]string{"export", "--cluster-connection", "other", "--project", s.project}, "ClusterConnection other does not exist"},
		"a missing Secret":            {using("keyless"), "Secret nowhere does not exist in this namespace"},
		"no access to the Secret":     {using("prod", "--kubeconfig", blindUser(t, s)), "you may not read Secret alibaba"},
		"a forbidden namespace":       {using("prod", "--kubeconfig", kubeconfigOf(t, "nobody")), "the ClusterRole maxcompute-operator-viewer allows to look"},
		"a token that has expired":    {using("prod", "--kubeconfig", expiredKubeconfig(t)), "the API server refuses the credentials of the kubeconfig"},
		"a cluster that is not there": {using("prod", "--server", "https://127.0.0.1:1"), "cannot be reached"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := s.ask(t, "", tc.args...)
			g.Expect(got.code).To(Equal(1), "%s", got)
			g.Expect(got.out).To(BeEmpty())
			g.Expect(got.err).To(And(HavePrefix("Error: "), ContainSubstring(tc.want)))
			g.Expect(strings.Count(got.err, "\n")).To(Equal(1), "%s", got.err)
		})
	}
	if writes := s.writesTo(); len(writes) > 0 {
		t.Errorf("something was written: %v", writes)
	}
}

// TestExportedManifestsChangeNothing: what lives in a project is written, planned and applied, and stays as it is.
func TestExportedManifestsChangeNothing(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	create(t, s.secret(), s.connection())
	for _, name := range []string{"reader", "reader_", "role_project_dev"} {
		g.Expect(bed.Cloud.CreateRole(s.project, name, "resource")).To(Succeed())
	}
	g.Expect(bed.Cloud.Grant(s.project, "reader", fakecloud.Grant{Kind: "table", Name: "orders", Actions: []string{"Select"}})).To(Succeed())
	g.Expect(bed.Cloud.AddMembers(s.project, "reader", "RAM$corp:alice")).To(Succeed())
	before := len(s.writesTo())

	all := s.ask(t, "", "export", "--connection", "prod", "--project", s.project, "--allow-insecure-endpoints")
	g.Expect(all.code).To(Equal(0), "%s", all)
	g.Expect(all.out).To(HavePrefix(`apiVersion: maxcompute-operator.io/v1alpha1
kind: ProjectRole
metadata:
  name: reader
spec:
  acl:
    tables:
    - actions:
      - Select
      name: orders
  adoptionPolicy: Adopt
  connectionRef:
    name: prod
  members:
  - RAM$corp:alice
  projectName: ` + s.project + `
  roleName: reader
  type: Resource
---
`))
	g.Expect(strings.Count(all.out, "kind: ProjectRole")).To(Equal(2))
	plan := s.ask(t, all.out, "plan", "-f", "-", "--allow-insecure-endpoints")
	g.Expect(plan.code).To(Equal(0), "%s", plan)
	g.Expect(plan.out).To(ContainSubstring("2 objects looked at: 0 would change, 0 would not be worked on"))

	directory := filepath.Join(t.TempDir(), "roles")
	files := s.ask(t, "", "export", "--connection", "prod", "--project", s.project, "--kinds", "ProjectRole", "--directory", directory, "--allow-insecure-endpoints")
	g.Expect(files.code).To(Equal(0), "%s", files)
	g.Expect(s.ask(t, "", "export", "--connection", "prod", "--project", s.project, "--directory", directory, "--allow-insecure-endpoints").err).To(ContainSubstring("is not empty"))
	_, err := kubectl(t, "", "apply", "-n", s.namespace, "-f", directory)
	g.Expect(err).NotTo(HaveOccurred())
	roles := &v1alpha1.ProjectRoleList{}
	g.Eventually(func() int {
		g.Expect(bed.Kube.List(t.Context(), roles, client.InNamespace(s.namespace))).To(Succeed())
		adopted := 0
		for i := range roles.Items {
			if roles.Items[i].Status.Adopted && seen(&roles.Items[i])() == "True/Succeeded Current" {
				adopted++
			}
		}
		return adopted
	}, timeout, poll).Should(Equal(2))
	g.Expect(s.writesTo()).To(HaveLen(before))
}

// TestOddManifestsChangeNothing: what a manifest cannot say is a comment, and the API server and the operator take the rest as it is.
func TestOddManifestsChangeNothing(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	create(t, s.secret(), s.connection())
	longest, crowd := "r"+strings.Repeat("o", 63), make([]string, 1000)
	tables := make([]fakecloud.Grant, 1000)
	for i := range tables {
		crowd[i] = fmt.Sprintf("RAM$corp:user_%d", i)
		tables[i] = fakecloud.Grant{Kind: "table", Name: fmt.Sprintf("t_%d", i), Actions: []string{"select"}}
	}
	odd := func(kind, name string, actions ...string) fakecloud.Grant {
		return fakecloud.Grant{Kind: kind, Name: name, Actions: actions}
	}
	for _, err := range []error{
		bed.Cloud.CreateRole(s.project, longest, "resource"), bed.Cloud.GrantRaw(s.project, longest, tables...), bed.Cloud.AddMembers(s.project, longest, crowd...),
		bed.Cloud.CreateRole(s.project, "odd", "resource"), bed.Cloud.AddRawMember(s.project, "odd", "TAOBAO$carol"), bed.Cloud.AddMembers(s.project, "odd", "RAM$corp:alice"),
		bed.Cloud.GrantRaw(s.project, "odd", odd("table", "orders", "select", "vacuum"), odd("table", "my-table", "select"), odd("table", "ods_*_daily", "select"),
			odd("resource", "lib/a b.jar", "read"), odd("resource", strings.Repeat("r", 256), "read"), odd("function", strings.Repeat("f", 128), "execute"), odd("instance", "*", "read")),
		bed.Cloud.CreateRole(s.project, "boss", "admin"),
		bed.Cloud.SetPolicy(s.project, "boss", `{"Version":"1","Statement":[{"Effect":"Allow","Action":"odps:*","Resource":"acs:odps:*:projects/p/authorization/*","Condition":{"NumericLessThan":{"x":12.5}},"Sid":"mine"}],"Id":"7"}`),
		bed.Cloud.CreateRawRole(s.project, "角色", "resource"),
		bed.Cloud.CreateRawPackage(s.project, "odd_package", append(tables[1:], odd("table", "my-table", "select")), fakecloud.AllowedProject{Project: "my-project"}, fakecloud.AllowedProject{Project: "*", Label: 9}),
	} {
		g.Expect(err).NotTo(HaveOccurred())
	}
	before := len(s.writesTo())
	all := s.ask(t, "", "export", "--connection", "prod", "--project", s.project, "--allow-insecure-endpoints")
	g.Expect(all.code).To(Equal(0), "%s", all.err)
	for _, remark := range []string{
		`# left out: "vacuum on Table orders", for no object can name the action`, `# left out: "Select on Table my-table", for no object can name it`, "ods_*_daily", "lib/a b.jar",
		`# left out: member "TAOBAO$carol"`, `# role "角色" is left out: no object can name it`, `# left out: allowed project "my-project"`,
	} {
		g.Expect(all.out).To(ContainSubstring(remark))
	}
	plan := s.ask(t, all.out, "plan", "-f", "-", "--allow-insecure-endpoints")
	g.Expect(plan.code).To(Equal(0), "%s%s", plan.err, plan.out[:min(4000, len(plan.out))])
	g.Expect(plan.out).To(ContainSubstring("4 objects looked at: 0 would change, 0 would not be worked on"))
	out, err := kubectl(t, all.out, "apply", "-n", s.namespace, "-f", "-")
	g.Expect(err).NotTo(HaveOccurred(), out)
	roles := s.list(t.Context(), g)
	g.Expect(roles).To(HaveLen(3))
	for i := range roles {
		g.Eventually(seen(&roles[i]), timeout, poll).Should(Equal("True/Succeeded Current"))
	}
	pkg := &v1alpha1.MaxComputePackage{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "odd-package"}}
	g.Eventually(seen(pkg), timeout, poll).Should(Equal("True/Succeeded Current"))
	g.Expect(s.writesTo()).To(HaveLen(before))
}

// entitle gives a user a ClusterRole in the namespace, and the right to read the Secrets there.
func (s space) entitle(t *testing.T, user, clusterRole string) {
	t.Helper()
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
	create(t, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "secrets"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}},
	}, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "secrets"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "secrets"}, Subjects: subjects,
	}, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: clusterRole},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole}, Subjects: subjects,
	})
}

// TestATenantPlans: with the rights of an editor of one namespace, and to its Secret.
func TestATenantPlans(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	create(t, s.secret(), s.connection(), s.role("reader", "Select"))
	g.Eventually(seen(s.role("reader")), timeout, poll).Should(Equal("True/Succeeded Current"))
	s.entitle(t, "tenant", "maxcompute-operator-editor")
	path := kubeconfigOf(t, "tenant")
	for _, args := range [][]string{{"plan", "-f", "-"}, {"plan", "reader"}} {
		input := ""
		if args[1] == "-f" {
			input = manifestOf(t, typed(s.role("reader", "Select")))
		}
		plan := s.ask(t, input, append(args, "--kubeconfig", path, "--allow-insecure-endpoints")...)
		g.Expect(plan.code).To(Equal(0), "%v: %s", args, plan)
		g.Expect(plan.err).To(Equal("You may not list objects of all namespaces: those of others are not seen.\n"))
	}
	asked := s.ask(t, "", "--kubeconfig", path, "reconcile", "reader")
	g.Expect(asked.code).To(Equal(0), "%s", asked)
	status := s.ask(t, "", "--kubeconfig", path, "status")
	g.Expect(status.code).To(Equal(0), "%s", status)
	g.Expect(status.out).To(ContainSubstring("projectrole/reader"))
}

func TestApprovePlanAndReconcile(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	create(t, s.secret(), s.connection())
	role := s.role("reader", "Select")
	for i := range 60 {
		role.Spec.ACL.Tables = append(role.Spec.ACL.Tables, v1alpha1.TableGrant{Name: fmt.Sprintf("t_%d", i), Actions: []string{"Select"}})
	}
	create(t, role)
	g.Eventually(seen(role), timeout, poll).Should(Equal("True/Succeeded Current"))
	g.Expect(s.ask(t, "", "approve-plan", "reader").err).To(ContainSubstring("no plan waits for approval"))

	smaller := typed(s.role("reader", "Select"))
	plan := s.ask(t, manifestOf(t, smaller), "plan", "-f", "-", "--allow-insecure-endpoints")
	g.Expect(plan.code).To(Equal(1), "%s", plan)
	g.Expect(plan.out).To(ContainSubstring("RevokeLimitExceeded"))
	g.Eventually(func() error {
		seen(role)()
		role.Spec.ACL = smaller.Spec.ACL
		return bed.Kube.Update(t.Context(), role)
	}, timeout, poll).Should(Succeed())
	g.Eventually(seen(role), timeout, poll).Should(Equal("False/RevokeLimitExceeded Failed"))
	g.Expect(role.Status.PendingPlan.Hash).To(Equal(hashIn(plan.out)), "what was planned is what waits")

	g.Expect(s.ask(t, "no\n", "approve-plan", "reader").err).To(ContainSubstring("not approved"))
	g.Expect(s.ask(t, "", "approve-plan", "reader", "--yes").err).To(ContainSubstring("--yes needs --hash"))
	g.Expect(s.ask(t, "", "approve-plan", "reader", "--yes", "--hash", "another").err).To(ContainSubstring("is " + role.Status.PendingPlan.Hash + " now"))
	approved := s.ask(t, "yes\n", "approve-plan", "reader")
	g.Expect(approved.code).To(Equal(0), "%s", approved)
	g.Expect(approved.out).To(ContainSubstring("revokes 60"))
	g.Eventually(seen(role), timeout, poll).Should(Equal("True/Succeeded Current"))

	asked := s.ask(t, "", "reconcile", "reader")
	g.Expect(asked.code).To(Equal(0), "%s", asked)
	g.Expect(asked.out).To(ContainSubstring("Succeeded"))
	bed.Cloud.RemoveProject(s.project)
	asked = s.ask(t, "", "reconcile", "reader")
	g.Expect(asked.code).To(Equal(1), "%s", asked)
	g.Expect(asked.out).To(ContainSubstring("ProjectNotFound"))
}
