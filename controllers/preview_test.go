package controllers_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// previewer is one that knows nothing of what the operator has seen.
func (h *harness) previewer() *controllers.Previewer {
	resolver := &connect.Resolver{
		Connections: h.kube, Secrets: h.kube, HTTP: &http.Client{Transport: rewriter{h, openapi.NewHTTPClient().Transport}}, Clock: h.clock,
		Endpoints: connect.EndpointPolicy{AllowInsecure: true}, CallTimeout: h.timeout, PollInterval: time.Millisecond,
	}
	return controllers.NewPreviewer(h.kube, controllers.Options{Accounts: resolver, DefaultInterval: interval, MaxRevocations: h.maxRevocations, Clock: h.clock})
}

// rewriter lets the harness change answers.
type rewriter struct {
	*harness
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (r rewriter) RoundTrip(request *http.Request) (*http.Response, error) {
	return r.rewritten(r.next.RoundTrip(request))
}

// preview is what the previewer says of an object as it is stored. It must have written nothing.
func preview[O subject](h *harness, obj O) (plan.Plan, error) {
	h.t.Helper()
	found := stored(h, obj)
	version, calls := found.GetResourceVersion(), len(h.cloud.Writes())
	p, err := h.previewer().Preview(h.t.Context(), found)
	if now := stored(h, obj).GetResourceVersion(); now != version || len(h.cloud.Writes()) != calls {
		h.t.Errorf("a preview wrote: version %s became %s, %d writes to the cloud", version, now, len(h.cloud.Writes())-calls)
	}
	return p, err
}

// entryLines are what an entry is about, a line per action, in lower case as the fake has it.
func entryLines(verb string, e plan.Entry) []string {
	var lines []string
	for _, action := range e.Actions {
		// What has no schema, the fake has in the schema default.
		lines = append(lines, strings.ToLower(fmt.Sprintf("%s %s %s.%s %s", verb, e.Kind, cmp.Or(e.SchemaName, "default"), e.Name, action)))
	}
	return lines
}

// stepLines are what steps change, a group per step.
func stepLines(steps []plan.Step) [][]string {
	var groups [][]string
	add := func(lines ...string) {
		slices.Sort(lines)
		groups = append(groups, lines)
	}
	contents := func(verb string, s plan.Step) (lines []string) {
		for _, e := range s.Contents {
			lines = append(lines, entryLines(verb, e)...)
		}
		return lines
	}
	members := func(verb string, s plan.Step) (lines []string) {
		for _, m := range s.Members {
			lines = append(lines, strings.ToLower(verb+" "+m))
		}
		return lines
	}
	for _, s := range steps {
		switch s.Verb {
		case plan.Create:
			add(append(contents(strings.ToLower(string(s.Fills())), s), "create "+strings.ToLower(s.Name))...)
		case plan.Grant, plan.Revoke:
			add(entryLines(string(s.Verb), s.Entry)...)
		case plan.Add, plan.Remove:
			add(contents(string(s.Verb), s)...)
		case plan.AddMember, plan.RemoveMember:
			add(members(string(s.Verb), s)...)
		case plan.SetPolicy:
			add("setpolicy")
		case plan.Replace:
			add(append(entryLines("remove", plan.Entry{Kind: s.Kind, SchemaName: s.SchemaName, Name: s.Name, Actions: s.Previous}), entryLines("add", s.Entry)...)...)
		case plan.Allow, plan.Disallow:
			add(strings.ToLower(string(s.Verb) + " " + s.Name))
		default:
			add(s.String())
		}
	}
	return groups
}

// changeLines are what calls have changed, a group per call.
func changeLines(journal []fakecloud.Entry) [][]string {
	var groups [][]string
	for _, entry := range journal {
		var lines []string
		for _, c := range entry.Changes {
			e := plan.Entry{Kind: c.Kind, SchemaName: c.SchemaName, Name: c.Name, Actions: c.Actions}
			switch c.Change {
			case fakecloud.ChangeCreateRole:
				lines = append(lines, "create "+strings.ToLower(c.Role))
			case fakecloud.ChangeCreatePackage:
				lines = append(lines, "create "+strings.ToLower(c.Package))
			case fakecloud.ChangeGrant, fakecloud.ChangeRevoke:
				lines = append(lines, entryLines(c.Change, e)...)
			case fakecloud.ChangeAddResource:
				lines = append(lines, entryLines("add", e)...)
			case fakecloud.ChangeRemoveResource:
				lines = append(lines, entryLines("remove", e)...)
			case fakecloud.ChangeAllowProject:
				lines = append(lines, "allow "+strings.ToLower(c.Allowed))
			case fakecloud.ChangeDisallowProject:
				lines = append(lines, "disallow "+strings.ToLower(c.Allowed))
			case fakecloud.ChangeAddMember, fakecloud.ChangeRemoveMember:
				lines = append(lines, strings.ToLower(c.Change+" "+c.Principal))
			default:
				lines = append(lines, strings.ToLower(c.Change))
			}
		}
		if len(lines) > 0 {
			slices.Sort(lines)
			groups = append(groups, lines)
		}
	}
	return groups
}

// TestAPreviewIsWhatAPassDoes: 150 roles from their creation, through an edit and a drift by hand each, step for step.
func TestAPreviewIsWhatAPassDoes(t *testing.T) {
	h := newHarness(t)
	r := rand.New(rand.NewPCG(8, 2026))
	people := []string{"RAM$corp:alice", "RAM$corp:bob", "ALIYUN$ops@example.com"}
	policies := []*runtime.RawExtension{nil, raw("{}"), raw(policyOf("odps:Select", "tables/a")), raw(policyOf("odps:Drop", "tables/a", "tables/b"))}
	for i := range 150 {
		role := newRole(fmt.Sprintf("estate_%d", i), randomACL(r))
		draw := func(o *v1alpha1.ProjectRole) {
			o.Spec.ACL = randomACL(r)
			o.Spec.Members = people[:r.IntN(4)]
			o.Spec.Policy = policies[r.IntN(4)]
		}
		draw(role)
		h.create(role)
		for range 3 {
			expected, err := preview(h, role)
			if err != nil {
				t.Fatalf("preview: %v", err)
			}
			h.cloud.ResetJournal()
			mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			if diff := gocmp.Diff(stepLines(expected.Steps), changeLines(h.cloud.Journal())); diff != "" {
				t.Fatalf("role %d (-preview +what was done):\n%s", i, diff)
			}
			h.edit(role, draw)
		}
		lastEvent(h)
	}
}

// TestAPreviewOfAPackageIsWhatAPassDoes, but for the order of calls: an entry that is replaced takes two.
func TestAPreviewOfAPackageIsWhatAPassDoes(t *testing.T) {
	h := newHarness(t)
	r := rand.New(rand.NewPCG(9, 2026))
	for i := range 50 {
		resources, allowed := randomPackage(r)
		pkg := newPackage(fmt.Sprintf("estate_%d", i), resources, allowed...)
		h.create(pkg)
		for range 3 {
			expected, err := preview(h, pkg)
			if err != nil {
				t.Fatalf("preview: %v", err)
			}
			h.cloud.ResetJournal()
			mustBe(t, settled(h, pkg), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			want, got := slices.Concat(stepLines(expected.Steps)...), slices.Concat(changeLines(h.cloud.Journal())...)
			slices.Sort(want)
			slices.Sort(got)
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Fatalf("package %d (-preview +what was done):\n%s", i, diff)
			}
			resources, allowed = randomPackage(r)
			edited(h, pkg, func(p *v1alpha1.MaxComputePackage) { p.Spec.Resources, p.Spec.AllowedProjects = resources, allowed })
		}
		lastEvent(h)
	}
}

// TestAPreviewOfAnInstallationIsWhatAPassDoes: of 60 packages that are shared, installed and dropped by others at random. What is compared
// is what is asked for, since no preview can tell what the service refuses, and why nothing is.
func TestAPreviewOfAnInstallationIsWhatAPassDoes(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	r := rand.New(rand.NewPCG(10, 2026))
	asked := map[string]int{}
	for i := range 60 {
		name := fmt.Sprintf("pkg_%d", i)
		h.disturb(r, name)
		installation := newInstallation(name)
		installation.Name = fmt.Sprintf("pkg-%d", i)
		installation.Spec.AdoptionPolicy = []v1alpha1.AdoptionPolicy{v1alpha1.AdoptionFail, v1alpha1.AdoptionAdopt}[r.IntN(2)]
		h.create(installation)
		for range 6 {
			// The operator, too, is to look now.
			h.annotate(installation, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
			expected, held := preview(h, installation)
			h.cloud.ResetJournal()
			_, _ = h.pass(installation) //nolint:errcheck // the condition is what counts
			want, got := installationLines(expected.Steps, held), installationCalls(h.cloud.Writes())
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Fatalf("%s (-preview +what was asked for):\n%s\n%v", name, diff, held)
			}
			if reason := conditions.ReadyCondition(stored(h, installation)).Reason; held != nil && reason != conditions.FromError(held).Reason {
				t.Fatalf("%s: the preview says %v, the pass %s", name, held, describe(stored(h, installation)))
			}
			for _, line := range got {
				asked[strings.Fields(line)[0]]++
			}
			h.disturb(r, name)
			h.clock.ahead.Add(int64(time.Duration(r.IntN(3)) * time.Minute))
		}
		lastEvent(h)
	}
	if asked["INSTALL"] < 30 || asked["UNINSTALL"] < 3 {
		t.Errorf("too little happens for this to show anything: %v", asked)
	}
}

// disturb changes, or leaves, what others have to do with a package.
func (h *harness) disturb(r *rand.Rand, name string) {
	installed := slices.ContainsFunc(h.cloud.Installed(project), func(i fakecloud.Installation) bool { return i.Name == name })
	shared := slices.ContainsFunc(h.cloud.PackageAllowed(partner, name), func(a fakecloud.AllowedProject) bool { return a.Project == project })
	leave := r.IntN(3) == 0
	switch exists := h.cloud.PackageExists(partner, name); {
	case leave:
	case !exists:
		h.must(h.cloud.CreatePackage(partner, name))
		h.must(h.cloud.AllowProject(partner, name, project, 0))
	case r.IntN(3) == 0:
		h.must(h.cloud.DropPackage(partner, name))
	case !shared:
		h.must(h.cloud.AllowProject(partner, name, project, 0))
	case r.IntN(4) == 0:
		h.must(h.cloud.DisallowProject(partner, name, project))
	case installed:
		h.must(h.cloud.UninstallPackage(project, partner, name))
	case r.IntN(2) == 0:
		h.must(h.cloud.InstallPackage(project, partner, name))
	}
}

// installationLines are the statements that steps come to, unless something holds them.
func installationLines(steps []plan.Step, held error) (lines []string) {
	verbs := map[plan.Verb]string{plan.Create: "INSTALL", plan.Delete: "UNINSTALL"}
	for _, step := range steps {
		if verb := verbs[step.Verb]; verb != "" && held == nil {
			lines = append(lines, verb+" PACKAGE "+step.Name)
		}
		if step.Verb == plan.Delete && held == nil {
			// What comes first is previewed. The same pass then looks again, and tries to install what it has taken out.
			lines = append(lines, "INSTALL PACKAGE "+step.Name)
		}
	}
	return lines
}

func installationCalls(journal []fakecloud.Entry) (lines []string) {
	for _, entry := range journal {
		lines = append(lines, strings.TrimSuffix(entry.Statement, ";"))
	}
	return lines
}

// TestAPreviewSaysWhatStalls as the operator would.
func TestAPreviewSaysWhatStalls(t *testing.T) {
	tests := map[string]struct {
		prepare func(*harness, *v1alpha1.ProjectRole)
		want    string
	}{
		"the role is somebody else's": {func(h *harness, _ *v1alpha1.ProjectRole) {
			h.foreign = true
			h.must(h.cloud.CreateRole(project, "r", "resource"))
		}, v1alpha1.ReasonAlreadyExists},
		"another object owns the role": {func(h *harness, role *v1alpha1.ProjectRole) {
			older := newRole("r", tables("Select"))
			older.Name, older.UID, older.CreationTimestamp = "older", "older", metav1.Unix(1, 0)
			h.create(older)
			h.settle(older)
			role.CreationTimestamp = metav1.Unix(2, 0)
		}, v1alpha1.ReasonTargetConflict},
		"the Connection does not exist": {func(_ *harness, role *v1alpha1.ProjectRole) { role.Spec.ConnectionRef.Name = "other" }, v1alpha1.ReasonConnectionNotReady},
		"the project does not exist":    {func(_ *harness, role *v1alpha1.ProjectRole) { role.Spec.ProjectName = "nowhere" }, v1alpha1.ReasonProjectNotFound},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			role := newRole("r", tables("Select"))
			tc.prepare(h, role)
			h.create(role)
			_, err := preview(h, role)
			if err == nil || conditions.FromError(err).Reason != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
			_, _ = h.pass(role) //nolint:errcheck // what is stored then is what counts
			if got := h.get(role); conditions.ReadyCondition(got).Reason != tc.want {
				t.Errorf("a pass says %s", describe(got))
			}
		})
	}
}

// TestThereAreNoOtherPreviews: requests and exports are not compared with the cloud.
func TestThereAreNoOtherPreviews(t *testing.T) {
	h := newHarness(t)
	for _, obj := range []client.Object{&v1alpha1.PermissionApply{}, &v1alpha1.ResourcePackageExport{}, &v1alpha1.Connection{}} {
		if _, err := h.previewer().Preview(t.Context(), obj); err == nil {
			t.Errorf("a %T has a plan", obj)
		}
	}
}
