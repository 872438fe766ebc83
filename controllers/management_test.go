package controllers_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// policyOf makes a policy with one statement per resource.
func policyOf(action string, resources ...string) string {
	var statements []string
	for _, resource := range resources {
		statements = append(statements, fmt.Sprintf(`{"Effect":"Allow","Action":["%s"],"Resource":["acs:odps:*:projects/analytics/%s"]}`, action, resource))
	}
	return `{"Version":"1","Statement":[` + strings.Join(statements, ",") + `]}`
}

func raw(document string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(document)} }

// existing puts the role "reader" into the cloud, which no object has made: two tables, two members, a policy.
func (h *harness) existing() {
	h.t.Helper()
	const name = "reader"
	h.foreign = true
	h.must(h.cloud.CreateRole(project, name, "resource"))
	h.must(h.cloud.Grant(project, name, fakecloud.Grant{Kind: "table", Name: "orders", Actions: []string{"Select"}}))
	h.must(h.cloud.Grant(project, name, fakecloud.Grant{Kind: "table", Name: "theirs", Actions: []string{"Select", "Update"}}))
	h.must(h.cloud.AddMembers(project, name, "RAM$corp:alice", "RAM$corp:theirs"))
	h.must(h.cloud.SetPolicy(project, name, policyOf("odps:Select", "tables/ods_*", "tables/theirs")))
}

// wanted is an object that wants part of what existing made, and something else in every part.
func wanted(management v1alpha1.ManagementPolicy, adoption v1alpha1.AdoptionPolicy) *v1alpha1.ProjectRole {
	role := newRole("reader", &v1alpha1.RoleACL{Tables: []v1alpha1.TableGrant{
		{SchemaName: "default", Name: "orders", Actions: []string{"Describe", "Select"}}, {SchemaName: "default", Name: "ours", Actions: []string{"Select"}},
	}})
	role.Spec.Members = []string{"ram$CORP:Alice", "RAM$corp:ours"}
	role.Spec.Policy = raw(policyOf("odps:SELECT", "tables/ods_*", "tables/ours"))
	role.Spec.ManagementPolicy, role.Spec.AdoptionPolicy = management, adoption
	return role
}

// world is what the fake holds of a role.
type world struct {
	Grants, Members []string
	// Policy has one word per resource.
	Policy []string
}

func (h *harness) world(role string) world {
	var resources []string
	for part := range strings.SplitSeq(h.cloud.RolePolicy(project, role), `"`) {
		if name, found := strings.CutPrefix(part, "acs:odps:*:projects/analytics/"); found {
			resources = append(resources, name)
		}
	}
	slices.Sort(resources)
	members := append([]string(nil), h.cloud.Members(project, role)...)
	slices.Sort(members)
	return world{Grants: h.granted(role), Members: members, Policy: resources}
}

var (
	theirs = world{
		Grants: []string{"table default.orders: select", "table default.theirs: select update"}, Members: []string{"RAM$corp:alice", "RAM$corp:theirs"},
		Policy: []string{"tables/ods_*", "tables/theirs"},
	}
	ours = world{
		Grants: []string{"table default.orders: describe select", "table default.ours: select"}, Members: []string{"RAM$corp:alice", "RAM$corp:ours"},
		Policy: []string{"tables/ods_*", "tables/ours"},
	}
	both = world{
		Grants:  []string{"table default.orders: describe select", "table default.ours: select", "table default.theirs: select update"},
		Members: []string{"RAM$corp:alice", "RAM$corp:ours", "RAM$corp:theirs"}, Policy: []string{"tables/ods_*", "tables/ours", "tables/theirs"},
	}
)

// mustHold asserts what the fake holds of the role "reader".
func (h *harness) mustHold(want world) {
	h.t.Helper()
	if diff := cmp.Diff(want, h.world("reader")); diff != "" {
		h.t.Errorf("in the cloud (-want +got):\n%s", diff)
	}
}

// TestWhatBecomesOfARoleThatExists has a row for each pair of policies: what is there afterwards, and once the object is deleted.
func TestWhatBecomesOfARoleThatExists(t *testing.T) {
	tests := map[string]struct {
		management     v1alpha1.ManagementPolicy
		adoption       v1alpha1.AdoptionPolicy
		ready          metav1.ConditionStatus
		reason         string
		adopted        bool
		after, deleted world
		foreign, drift int32
	}{
		"authoritative, not to be adopted": {
			management: v1alpha1.ManagementAuthoritative, adoption: v1alpha1.AdoptionFail, ready: metav1.ConditionFalse, reason: v1alpha1.ReasonAlreadyExists,
			after: theirs, deleted: theirs, drift: 6,
		},
		"additive, not to be adopted": {
			management: v1alpha1.ManagementAdditive, adoption: v1alpha1.AdoptionFail, ready: metav1.ConditionFalse, reason: v1alpha1.ReasonAlreadyExists,
			after: theirs, deleted: theirs, drift: 4, foreign: 4,
		},
		"authoritative": {
			management: v1alpha1.ManagementAuthoritative, adoption: v1alpha1.AdoptionAdopt, ready: metav1.ConditionTrue, reason: v1alpha1.ReasonSucceeded,
			adopted: true, after: ours,
			// What was there before stays, also if the spec names it; the policy that was written is emptied.
			deleted: world{Grants: []string{"table default.orders: select"}, Members: []string{"RAM$corp:alice"}},
		},
		"additive": {
			management: v1alpha1.ManagementAdditive, adoption: v1alpha1.AdoptionAdopt, ready: metav1.ConditionTrue, reason: v1alpha1.ReasonSucceeded,
			adopted: true, after: both, deleted: theirs, foreign: 4,
		},
		"observe": {
			management: v1alpha1.ManagementObserve, adoption: v1alpha1.AdoptionFail, ready: metav1.ConditionTrue, reason: v1alpha1.ReasonObserved,
			after: theirs, deleted: theirs, drift: 6,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.existing()
			role := wanted(tc.management, tc.adoption)
			h.create(role)
			got := h.settle(role)
			mustBe(t, got, tc.ready, tc.reason)
			h.mustHold(tc.after)
			if got.Status.Adopted != tc.adopted || got.Status.Created || got.Status.Foreign != tc.foreign || got.Status.DriftCount != tc.drift {
				t.Errorf("status %+v; want adopted %v, foreign %d, drift %d", got.Status.TargetStatus, tc.adopted, tc.foreign, tc.drift)
			}
			h.quiet(role)
			h.delete(role)
			if left := h.settle(role); left != nil {
				t.Errorf("deleted: %s", describe(left))
			}
			h.mustHold(tc.deleted)
		})
	}
}

func TestTheDifferenceOfAnAdoptionIsTold(t *testing.T) {
	h := newHarness(t)
	h.existing()
	role := wanted(v1alpha1.ManagementAuthoritative, v1alpha1.AdoptionFail)
	h.create(role)
	message := conditions.ReadyCondition(h.settle(role)).Message
	for _, want := range []string{"adoptionPolicy: Adopt would grant 2, set the policy of Role reader, revoke 2, add members 1, remove members 1", "RemoveMember RAM$corp:theirs", "Grant Describe on Table orders"} {
		if !strings.Contains(message, want) {
			t.Errorf("the message lacks %q: %s", want, message)
		}
	}
	if event := <-h.events.Events; !strings.Contains(event, "Warning AlreadyExists") || !strings.Contains(event, "revoke 2") {
		t.Errorf("event %q", event)
	}
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.AdoptionPolicy = v1alpha1.AdoptionAdopt })
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if event := <-h.events.Events; event != "Normal Applied adopted Role reader, granted 2, set the policy of Role reader, revoked 2, added members 1, removed members 1" {
		t.Errorf("event %q", event)
	}
}

// TestPoliciesCanBeChanged walks one role through the management policies: what the object once granted stays its own.
func TestPoliciesCanBeChanged(t *testing.T) {
	h := newHarness(t)
	h.existing()
	role := wanted(v1alpha1.ManagementObserve, v1alpha1.AdoptionAdopt)
	h.create(role)
	h.settle(role)
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ManagementPolicy = v1alpha1.ManagementAdditive })
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustHold(both)
	h.edit(role, func(r *v1alpha1.ProjectRole) {
		r.Spec.ACL.Tables = r.Spec.ACL.Tables[:1]
		r.Spec.Members = r.Spec.Members[:1]
		r.Spec.Policy = raw(policyOf("odps:Select", "tables/ods_*"))
	})
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	shrunk := theirs
	shrunk.Grants = []string{"table default.orders: describe select", "table default.theirs: select update"}
	h.mustHold(shrunk)
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ManagementPolicy = v1alpha1.ManagementAuthoritative })
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustHold(world{Grants: []string{"table default.orders: describe select"}, Members: []string{"RAM$corp:alice"}, Policy: []string{"tables/ods_*"}})
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ManagementPolicy = v1alpha1.ManagementObserve })
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonObserved)
	h.must(h.cloud.DropRole(project, "reader"))
	if got := h.settle(role); got.Status.DriftCount != 4 || got.Status.Drift[0].Change != "Create" {
		t.Errorf("a missing role is a difference: %+v, %s", got.Status.Drift, describe(got))
	}
}

// TestAbsentIsNotEmpty: what is not in the spec is not looked at, what is empty is emptied, and what goes from the spec takes along
// what this object granted through it, once.
func TestAbsentIsNotEmpty(t *testing.T) {
	h := newHarness(t)
	h.existing()
	role := wanted(v1alpha1.ManagementAdditive, v1alpha1.AdoptionAdopt)
	h.create(role)
	h.settle(role)
	h.mustHold(both)
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL, r.Spec.Members, r.Spec.Policy = nil, nil, nil })
	got := h.settle(role)
	mustBe(t, got, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustHold(theirs)
	if len(got.Status.Applied) > 0 {
		t.Errorf("inventory %v", got.Status.Applied)
	}
	h.cloud.ResetJournal()
	h.quiet(role)
	if n := len(h.cloud.Journal()); n > 1 {
		t.Errorf("%d calls to look at nothing", n)
	}
	h.edit(role, func(r *v1alpha1.ProjectRole) {
		r.Spec.ManagementPolicy = v1alpha1.ManagementAuthoritative
		r.Spec.ACL, r.Spec.Members, r.Spec.Policy = &v1alpha1.RoleACL{}, []string{}, raw("{}")
	})
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustHold(world{})
	h.quiet(role)
}

// TestAdoptingALargeSurplusNeedsAYes: 200 permissions too many are not taken away until somebody approves just that.
func TestAdoptingALargeSurplusNeedsAYes(t *testing.T) {
	h := newHarness(t)
	h.maxRevocations = 50
	h.restart()
	h.existing()
	for i := range 200 {
		h.must(h.cloud.Grant(project, "reader", fakecloud.Grant{Kind: "table", Name: fmt.Sprintf("surplus_%03d", i), Actions: []string{"Select"}}))
	}
	role := wanted(v1alpha1.ManagementAuthoritative, v1alpha1.AdoptionAdopt)
	h.create(role)
	stalled := h.settle(role)
	mustBe(t, stalled, metav1.ConditionFalse, v1alpha1.ReasonRevokeLimitExceeded)
	pending := stalled.Status.PendingPlan
	if pending == nil || pending.Revokes != 200+2+1+1 || pending.Grants != 2+1+1 || stalled.Status.DriftCount != 206 || len(stalled.Status.Drift) != 20 {
		t.Fatalf("pending plan %+v, drift %d", pending, stalled.Status.DriftCount)
	}
	h.quiet(role)
	h.annotate(role, v1alpha1.ApprovePlanAnnotation, "0123456789abcdef")
	mustBe(t, h.settle(role), metav1.ConditionFalse, v1alpha1.ReasonRevokeLimitExceeded)
	h.must(h.cloud.Grant(project, "reader", fakecloud.Grant{Kind: "table", Name: "surplus_new", Actions: []string{"Select"}}))
	h.annotate(role, v1alpha1.ApprovePlanAnnotation, pending.Hash)
	changed := h.settle(role)
	mustBe(t, changed, metav1.ConditionFalse, v1alpha1.ReasonRevokeLimitExceeded)
	if n := len(h.cloud.Writes()); n > 0 {
		t.Fatalf("%d writes without approval", n)
	}
	h.annotate(role, v1alpha1.ApprovePlanAnnotation, changed.Status.PendingPlan.Hash)
	got := h.settle(role)
	mustBe(t, got, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustHold(ours)
	if !got.Status.Adopted || got.Status.PendingPlan != nil || got.Status.DriftCount > 0 {
		t.Errorf("status %+v", got.Status.TargetStatus)
	}
	h.quiet(role)
}

// TestAdoptingWhatIsDescribedWritesNothing is the round trip: roles made by hand, manifests that describe them in other words.
func TestAdoptingWhatIsDescribedWritesNothing(t *testing.T) {
	const roles = 1000
	r := rand.New(rand.NewPCG(3, 2026))
	h := newHarness(t)
	h.foreign = true
	h.cloud.SetPolicyEcho(fakecloud.PolicyCanonical)
	objects := make([]*v1alpha1.ProjectRole, roles)
	for i := range roles {
		role := newRole(fmt.Sprintf("role_%d", i), randomACL(r))
		role.Spec.Policy, role.Spec.Members = raw(randomPolicy(r)), randomMembers(r)
		role.Spec.AdoptionPolicy, role.Spec.DeletionPolicy = v1alpha1.AdoptionAdopt, v1alpha1.DeletionRetain
		h.make(role)
		objects[i] = role
	}
	for _, role := range objects {
		h.create(role)
		got := h.settle(role)
		mustBe(t, got, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		if !got.Status.Adopted || len(got.Status.Applied) > 0 {
			t.Fatalf("status %+v", got.Status.TargetStatus)
		}
		h.quiet(role)
		h.delete(role) // the in-memory API server is slow with many objects
		h.settle(role)
		for len(h.events.Events) > 0 {
			<-h.events.Events
		}
	}
	if writes := h.cloud.Writes(); len(writes) > 0 {
		t.Errorf("%d cloud writes, the first %+v", len(writes), writes[0])
	}
}

// make puts into the cloud what an object describes, as somebody would by hand.
func (h *harness) make(role *v1alpha1.ProjectRole) {
	h.t.Helper()
	name := role.Spec.RoleName
	h.must(h.cloud.CreateRole(project, name, "resource"))
	for pair := range pairsOf(role.Spec.ACL) {
		kind, rest, _ := strings.Cut(pair, " ")
		object, action, _ := strings.Cut(rest, " ")
		schema, object, _ := strings.Cut(object, ".")
		h.must(h.cloud.Grant(project, name, fakecloud.Grant{Kind: kind, SchemaName: schema, Name: object, Actions: []string{action}}))
	}
	if len(role.Spec.Members) > 0 {
		h.must(h.cloud.AddMembers(project, name, role.Spec.Members...))
	}
	if policy := string(role.Spec.Policy.Raw); policy != "{}" {
		h.must(h.cloud.SetPolicy(project, name, policy))
	}
}

// randomPolicy draws a policy of up to four statements in varying spelling.
func randomPolicy(r *rand.Rand) string {
	var statements []string
	for i := range r.IntN(5) {
		effect := []string{"Allow", "Allow", "Deny"}[r.IntN(3)]
		actions := []string{`"odps:Select"`, `["odps:Select"]`, `["odps:describe","odps:SELECT"]`, `["odps:Select","odps:Describe"]`}[r.IntN(4)]
		resources := []string{fmt.Sprintf(`"acs:odps:*:projects/analytics/tables/a%d_*"`, i), fmt.Sprintf(`["acs:odps:*:projects/analytics/tables/b%d","acs:odps:*:projects/analytics/tables/c%d"]`, i, i)}[r.IntN(2)]
		condition := []string{"", `,"Condition":{"StringEquals":{"odps:Encrypted":["true"]}}`}[r.IntN(2)]
		statements = append(statements, fmt.Sprintf(`{"Resource":%s,"Effect":"%s","Action":%s%s}`, resources, effect, actions, condition))
	}
	if len(statements) == 0 {
		return "{}"
	}
	if len(statements) == 1 && r.IntN(2) == 0 {
		return `{"Statement":` + statements[0] + `,"Version":"1"}`
	}
	return `{"Version":"1", "Statement": [` + strings.Join(statements, " , ") + `]}`
}

// randomMembers draws up to six members in varying spelling.
func randomMembers(r *rand.Rand) []string {
	all := []string{"ALIYUN$ops@example.com", "RAM$corp:alice", "ram$CORP:Bob", "RAM$ops@example.com:carol.d", "RAM$corp:role/Reader", "aliyun$another"}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:r.IntN(len(all)+1)]
}

// TestRandomRolesConverge walks a role through random changes of all that it has, with drift in between.
func TestRandomRolesConverge(t *testing.T) {
	for walker := range uint64(2) {
		t.Run(fmt.Sprintf("walker %d", walker), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(walker, 3))
			h := newHarness(t)
			h.cloud.SetPolicyEcho(fakecloud.PolicyCanonical)
			role := newRole("walker", randomACL(r))
			role.Spec.Policy, role.Spec.Members = raw(randomPolicy(r)), randomMembers(r)
			h.create(role)
			h.settle(role)
			for range 500 {
				spec := newRole("same", randomACL(r))
				spec.Spec.Policy, spec.Spec.Members = raw(randomPolicy(r)), randomMembers(r)
				if r.IntN(3) == 0 {
					h.must(h.cloud.AddMembers(project, "walker", "RAM$corp:stranger"))
					h.must(h.cloud.SetPolicy(project, "walker", policyOf("odps:Drop", "tables/stolen")))
				}
				h.edit(role, func(o *v1alpha1.ProjectRole) {
					o.Spec.ACL, o.Spec.Policy, o.Spec.Members = spec.Spec.ACL, spec.Spec.Policy, spec.Spec.Members
				})
				mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
				twin := newHarness(t)
				twin.make(spec)
				if diff := cmp.Diff(twin.world("same"), h.world("walker")); diff != "" {
					t.Fatalf("what was made by hand and what the operator made differ (-hand +operator):\n%s", diff)
				}
				h.quiet(role)
				for len(h.events.Events) > 0 {
					<-h.events.Events
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// TestListsThatNobodyKnowsAreNoEmptyACL: the deletion of an adopted role leaves nothing behind that the object granted, though nobody can
// read what the role holds; and an edit is not taken for done.
func TestListsThatNobodyKnowsAreNoEmptyACL(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	h.must(h.cloud.CreateRole(project, "reader", "resource"))
	role := newRole("reader", tables("Select"))
	role.Spec.AdoptionPolicy = v1alpha1.AdoptionAdopt
	h.create(role)
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	rewrite := func(body string) string {
		for _, kind := range []string{"table", "resource", "function", "package", "project", "instance"} {
			body = strings.ReplaceAll(body, `"`+kind+`":[`, `"`+kind+`s":[`)
		}
		return body
	}
	h.rewrite = rewrite
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL = tables("Describe") })
	h.passes(role, 3)
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonUnexpectedResponse)
	h.mustHold(world{})
	h.rewrite = nil
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.rewrite = rewrite
	h.delete(role)
	if found := h.settle(role); found != nil {
		t.Errorf("still there: %s", describe(found))
	}
	h.mustHold(world{})
}
