package controllers_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// What questions are about.
var (
	ordersTable = access.NewObject(acl.Table, "", "orders")
	onOrders    = fakecloud.Grant{Kind: "table", SchemaName: "default", Name: "orders", Actions: []string{"Select"}}
)

// lines are the answer to a question in words, a line per principal and chain.
func lines(answer access.Answer) []string {
	var list []string
	for _, holder := range answer.Holders {
		for _, c := range holder.Chains {
			by := "request"
			if c.Role != nil {
				by = c.Role.Name + " " + string(c.Membership)
			}
			list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s: %s, %s %s %s %s", holder.Principal, holder.Verdict, by, c.Effect, c.State, c.Object(), c.Doubt)))
		}
	}
	return list
}

// whoCan reads what is needed and asks for Select on the orders.
func (h *harness) whoCan(reading *controllers.Reading) access.Answer {
	h.t.Helper()
	h.must(reading.ReadMembers(h.t.Context(), reading.Concerned("Select", ordersTable)))
	return reading.WhoCan("Select", ordersTable)
}

var (
	policiesOfAList = regexp.MustCompile(`"policy":"[^"\\]*(\\.[^"\\]*)*",`)
	aclsOfAList     = regexp.MustCompile(`"acl":\{[^{}]*(\{[^{}]*\}[^{}]*)*\}`)
)

// withoutPolicies takes the policies out of a list of roles, withoutDetails the ACLs, too.
func withoutPolicies(body string) string {
	if !strings.Contains(body, `"roles":[`) {
		return body
	}
	return policiesOfAList.ReplaceAllString(body, "")
}

func withoutDetails(body string) string {
	if !strings.Contains(body, `"roles":[`) {
		return body
	}
	return aclsOfAList.ReplaceAllString(withoutPolicies(body), `"nothing":""`)
}

// cutPolicy cuts the policy of the role with both short in a list of roles.
func cutPolicy(body string) string {
	before, after, found := strings.Cut(body, `"name":"both","type":"resource","policy":"{`)
	if !found {
		return body
	}
	_, after, _ = strings.Cut(after, `}]}",`)
	return before + `"name":"both","type":"resource","policy":"{",` + after
}

// inhabit makes roles, each with a member of its name: one with nothing, one with an ACL and, if wanted, one with both and one with a
// policy.
func (h *harness) inhabit(both, policyOnly bool) {
	h.t.Helper()
	roles := map[string]bool{"bare": true, "plain": true, "both": both, "policyonly": policyOnly}
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		if !roles[role] {
			continue
		}
		h.must(h.cloud.CreateRole(project, role, "resource"))
		h.must(h.cloud.AddMembers(project, role, "RAM$corp:"+role))
		if role == "plain" || role == "both" {
			h.must(h.cloud.Grant(project, role, onOrders))
		}
		if role == "both" || role == "policyonly" {
			h.must(h.cloud.SetPolicy(project, role, policyOf("odps:Select", "tables/ord*")))
		}
	}
}

// TestPoliciesComeFromWhereTheyCanBeTrusted: the list of roles has a place for policies, and nobody knows whether the service fills it in.
func TestPoliciesComeFromWhereTheyCanBeTrusted(t *testing.T) {
	for name, c := range map[string]struct {
		both, policyOnly bool // there is a role with an ACL and a policy, and one with a policy alone
		rewrite          func(string) string
		thorough         bool     // no calls are to be saved
		want             []string // the roles whose policies are read
		unread           int
	}{
		"a list that shows a policy tells them all":                    {both: true, policyOnly: true},
		"a list without policies and ACLs tells nothing":               {both: true, policyOnly: true, rewrite: withoutDetails, want: []string{"bare", "both", "plain", "policyonly"}},
		"a list without policies is found out by a role with just one": {both: true, policyOnly: true, rewrite: withoutPolicies, want: []string{"bare", "both", "plain", "policyonly"}},
		"a list of other ACLs tells nothing": {both: true, rewrite: func(body string) string {
			return strings.ReplaceAll(withoutPolicies(body), `"name":"orders","actions"`, `"name":"others","actions"`)
		}, want: []string{"bare", "both", "plain"}},
		"a list with ACLs and no policy is tried on bare roles":       {want: []string{"bare"}, unread: 1},
		"unless no calls are to be saved":                             {thorough: true, want: []string{"bare", "plain"}},
		"a list that leaves out a policy of a role with an ACL":       {both: true, rewrite: withoutPolicies, thorough: true, want: []string{"bare", "both", "plain"}},
		"policies that are cut are read, and the others still listed": {both: true, policyOnly: true, rewrite: cutPolicy, want: []string{"both"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.foreign = true
			h.inhabit(c.both, c.policyOnly)
			h.cloud.ResetJournal()
			h.rewrite = c.rewrite
			reading, err := h.previewer().Access(t.Context(), estate, !c.thorough, silently)
			h.must(err)
			var policies []string
			for _, entry := range h.cloud.Journal() {
				if entry.Action == "GetRolePolicy" {
					policies = append(policies, entry.Role)
				}
			}
			slices.Sort(policies)
			if diff := gocmp.Diff(c.want, policies); diff != "" {
				t.Errorf("policies that were read (-want +got):\n%s", diff)
			}
			var who []string
			for _, holder := range h.whoCan(reading).Holders {
				who = append(who, fmt.Sprintf("%s %d", holder.Principal, len(holder.Chains)))
			}
			want := []string{"RAM$corp:plain 1"}
			if c.both {
				want = append([]string{"RAM$corp:both 2"}, want...)
			}
			if c.policyOnly {
				want = append(want, "RAM$corp:policyonly 1")
			}
			if reading.UnreadPolicies != c.unread {
				t.Errorf("%d policies are not read, want %d", reading.UnreadPolicies, c.unread)
			}
			if diff := gocmp.Diff(want, who); diff != "" || len(reading.Problems) > 0 {
				t.Errorf("problems %v, who (-want +got):\n%s", reading.Problems, diff)
			}
		})
	}
}

// TestWhatObjectsSayOfRoles: how what is there stands to the objects that manage it.
func TestWhatObjectsSayOfRoles(t *testing.T) {
	select1 := func(change func(*v1alpha1.ProjectRoleSpec)) func(*harness) {
		return func(h *harness) {
			role := newRole("reader", tables("Select"))
			role.Spec.Members = []string{"ram$CORP:alice"}
			role.Spec.Policy = &runtime.RawExtension{Raw: []byte(policyOf("odps:Select", "tables/orders"))}
			change(&role.Spec)
			h.create(role)
		}
	}
	const byACL, byPolicy = "RAM$corp:%s Allowed: reader %s, Allow %s", "RAM$corp:%s Allowed: reader %s, Allow %s"
	all := func(memberOf, object, acl, policy string, strangerIs string) []string {
		return []string{
			strings.TrimSpace(fmt.Sprintf(byACL, "alice", memberOf, acl) + " " + object), strings.TrimSpace(fmt.Sprintf(byPolicy, "alice", memberOf, policy) + " " + object),
			strings.TrimSpace(fmt.Sprintf(byACL, "bob", strangerIs, acl) + " " + object), strings.TrimSpace(fmt.Sprintf(byPolicy, "bob", strangerIs, policy) + " " + object),
		}
	}
	const object = namespace + "/reader"
	for name, c := range map[string]struct {
		objects func(*harness)
		want    []string
	}{
		"nobody manages the role":                                  {func(*harness) {}, all("Unmanaged", "", "Unmanaged", "Unmanaged", "Unmanaged")},
		"what the spec lists is declared, another member is drift": {select1(func(*v1alpha1.ProjectRoleSpec) {}), all("Declared", object, "Declared", "Declared", "Drift")},
		"under Additive another member is nobody's":                {select1(func(s *v1alpha1.ProjectRoleSpec) { s.ManagementPolicy = v1alpha1.ManagementAdditive }), all("Declared", object, "Declared", "Declared", "Unmanaged")},
		"an object that observes declares, too":                    {select1(func(s *v1alpha1.ProjectRoleSpec) { s.ManagementPolicy = v1alpha1.ManagementObserve }), all("Declared", object, "Declared", "Declared", "Drift")},
		"what the spec lacks is drift": {select1(func(s *v1alpha1.ProjectRoleSpec) {
			s.ACL, s.Policy, s.Members = &v1alpha1.RoleACL{}, &runtime.RawExtension{Raw: []byte("{}")}, []string{}
		}), all("Drift", object, "Drift", "Drift", "Drift")},
		"what the spec does not speak of is nobody's":            {select1(func(s *v1alpha1.ProjectRoleSpec) { s.ACL, s.Policy, s.Members = nil, nil, nil }), all("Unmanaged", "", "Unmanaged", "Unmanaged", "Unmanaged")},
		"an object with a policy that is none manages nothing":   {select1(func(s *v1alpha1.ProjectRoleSpec) { s.Policy = &runtime.RawExtension{Raw: []byte("[]")} }), all("Unmanaged", "", "Unmanaged", "Unmanaged", "Unmanaged")},
		"an object of another project has nothing to do with it": {select1(func(s *v1alpha1.ProjectRoleSpec) { s.ProjectName = partner }), all("Unmanaged", "", "Unmanaged", "Unmanaged", "Unmanaged")},
		"of two objects the one that manages prevails": {func(h *harness) {
			select1(func(s *v1alpha1.ProjectRoleSpec) { s.ManagementPolicy = v1alpha1.ManagementObserve })(h)
			manages := newRole("reader", &v1alpha1.RoleACL{})
			manages.Name, manages.UID, manages.CreationTimestamp = "manages", "uid-manages", metav1.NewTime(time.Now())
			h.create(manages)
		}, []string{
			"RAM$corp:alice Allowed: reader Unmanaged, Allow Drift " + namespace + "/manages", "RAM$corp:alice Allowed: reader Unmanaged, Allow Unmanaged",
			"RAM$corp:bob Allowed: reader Unmanaged, Allow Drift " + namespace + "/manages", "RAM$corp:bob Allowed: reader Unmanaged, Allow Unmanaged",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.foreign = true
			h.must(h.cloud.CreateRole(project, "reader", "resource"))
			h.must(h.cloud.Grant(project, "reader", onOrders))
			h.must(h.cloud.SetPolicy(project, "reader", policyOf("odps:Select", "tables/orders")))
			h.must(h.cloud.AddMembers(project, "reader", "RAM$corp:alice", "RAM$corp:bob"))
			c.objects(h)
			if diff := gocmp.Diff(c.want, lines(h.whoCan(h.access()))); diff != "" {
				t.Errorf("chains (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWhatCannotBeSeenIsSaid: conditions, unlistable members, admin roles and parts that are refused.
func TestWhatCannotBeSeenIsSaid(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	for role, members := range map[string][]string{"stale": {"RAM$corp:alice", "RAM$corp:gone"}, "conditional": {"RAM$corp:bob"}, "boss": {"RAM$corp:carol"}, "plain": {"RAM$corp:dave"}} {
		h.must(h.cloud.CreateRole(project, role, map[bool]string{true: "admin", false: "resource"}[role == "boss"]))
		h.must(h.cloud.AddMembers(project, role, members...))
	}
	h.must(h.cloud.Grant(project, "stale", onOrders))
	h.must(h.cloud.Grant(project, "plain", onOrders))
	h.must(h.cloud.KillUser("RAM$corp:gone"))
	h.must(h.cloud.SetPolicy(project, "conditional", `{"Version":"1","Statement":[{"Effect":"Allow","Action":"odps:Select","Resource":"*","Condition":{"Bool":{"acs:SecureTransport":["true"]}}}]}`))
	h.must(h.cloud.SetPolicy(project, "boss", policyOf("odps:*", "*")))

	reading := h.access()
	answer := h.whoCan(reading)
	if diff := gocmp.Diff([]string{
		"RAM$corp:bob Unclear: conditional Unmanaged, Allow Unmanaged  it has a Condition",
		"RAM$corp:carol Unclear: boss Unmanaged, Allow Unmanaged  a role of type admin holds no permissions on objects",
		"RAM$corp:dave Allowed: plain Unmanaged, Allow Unmanaged",
	}, lines(answer)); diff != "" {
		t.Errorf("chains (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]string{"who has role stale, which gives it"}, answer.Unseen); diff != "" {
		t.Errorf("unseen (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]string{"the members of role stale cannot be listed, because an account among them was deleted"}, reading.Notes); diff != "" || len(reading.Problems) > 0 {
		t.Errorf("problems %v, notes (-want +got):\n%s", reading.Problems, diff)
	}

	h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, "GetRoleAcl", ""))
	h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, "ListPackages", ""))
	reading = h.access()
	h.must(reading.ReadPackages(t.Context(), true, true))
	for _, problem := range []string{"get the ACL of role plain in project " + project, "get the ACL of role stale in project " + project, "list the packages of project " + project} {
		if !slices.ContainsFunc(reading.Problems, func(said error) bool { return strings.Contains(said.Error(), problem) }) {
			t.Errorf("%q is not among the problems: %q", problem, reading.Problems)
		}
	}
	h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, "ListRoles", ""))
	if _, err := h.previewer().Access(t.Context(), estate, true, silently); cloud.CodeOf(err) != cloud.PermissionDenied {
		t.Errorf("reading a project without its roles ends with %v", err)
	}
}

// TestRequestsGiveToo: what a permission request was granted is told by its object, with its end.
func TestRequestsGiveToo(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	h.must(h.cloud.AddUser(fakecloud.User{AccountID: alice, Principal: "RAM$corp:alice"}))
	end := metav1.NewTime(time.Date(2999, 3, 31, 0, 0, 0, 0, time.UTC))
	for name, state := range map[string]v1alpha1.RequestState{"granted": v1alpha1.RequestGranted, "partly": v1alpha1.RequestPartiallyGranted, "pending": v1alpha1.RequestPending, "over": v1alpha1.RequestExpired} {
		apply := newRequest(name)
		if name == "partly" {
			apply.Spec.ApplyUserIDs = []string{"267842600408990000"}
		}
		h.create(apply)
		apply = stored(h, apply)
		apply.Status.State, apply.Status.GrantedUntil = state, &end
		h.must(h.kube.Status().Update(t.Context(), apply))
	}
	answer := h.whoCan(h.access())
	if diff := gocmp.Diff([]string{
		"267842600408990000 Unclear: request, Allow Declared " + namespace + "/partly only some of its orders were granted",
		"RAM$corp:alice Allowed: request, Allow Declared " + namespace + "/granted",
	}, lines(answer)); diff != "" {
		t.Errorf("chains (-want +got):\n%s", diff)
	}
	for _, holder := range answer.Holders {
		if until := holder.Chains[0].Until; until != "2999-03-31T00:00:00Z" {
			t.Errorf("%s until %q", holder.Principal, until)
		}
	}
}

// TestPackagesLead: to other projects, which may install what holds the table, and from others to those who may read what is installed.
func TestPackagesLead(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	h.must(h.cloud.CreatePackage(project, "out"))
	h.must(h.cloud.AddToPackage(project, "out", onOrders))
	h.must(h.cloud.AllowProject(project, "out", partner, 2))
	h.must(h.cloud.AddToPackage(partner, "shared", fakecloud.Grant{Kind: "table", SchemaName: "default", Name: "cities", Actions: []string{"Select"}}))
	h.must(h.cloud.CreateRole(project, "traveller", "resource"))
	h.must(h.cloud.Grant(project, "traveller", fakecloud.Grant{Kind: "package", Name: partner + ".shared", Actions: []string{"Read"}}))
	h.must(h.cloud.AddMembers(project, "traveller", "RAM$corp:alice"))

	reading := h.access()
	h.must(reading.ReadPackages(t.Context(), true, true))
	h.must(reading.ReadMembers(t.Context(), reading.Roles))
	if diff := gocmp.Diff([]access.Share{{Package: "out", Project: partner, Label: 2}}, reading.WhoCan("Select", ordersTable).Shares); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
	cities := access.NewObject(acl.Table, "", "CITIES")
	answer := reading.WhoCanThrough(strings.ToUpper(partner), "Select", cities)
	if diff := gocmp.Diff([]string{"RAM$corp:alice Allowed: traveller Unmanaged, Allow Unmanaged"}, lines(answer)); diff != "" || answer.Holders[0].Chains[0].Package != partner+".shared" {
		t.Errorf("through package (-want +got):\n%s", diff)
	}
	for _, none := range []access.Answer{reading.WhoCanThrough(partner, "Update", cities), reading.WhoCanThrough("elsewhere", "Select", cities), reading.WhoCan("Select", cities)} {
		if len(none.Holders) > 0 {
			t.Errorf("somebody can: %q", lines(none))
		}
	}
	holdings, who := reading.WhatCan("ram$corp:ALICE")
	got := map[string]string{}
	for _, holding := range holdings {
		for _, action := range holding.Actions {
			got[holding.Object.String()+" "+action.Name] = string(action.Verdict)
		}
	}
	if want := map[string]string{"Package " + partner + ".shared Read": "Allowed"}; who == nil || !maps.Equal(want, got) {
		t.Errorf("alice can %v, want %v", got, want)
	}
	if _, who := reading.WhatCan("RAM$corp:stranger"); who != nil {
		t.Errorf("a stranger is known: %+v", who)
	}
}

// TestWhatWasNotReadIsNotMissing: of what could not be read, nobody knows what it lacks.
func TestWhatWasNotReadIsNotMissing(t *testing.T) {
	for name, c := range map[string]struct {
		refused string
		want    []string
	}{
		"everything is read":   {"", []string{"ACL entry Drop on Table orders", `policy statement {"Action":["odps:Drop"],"Effect":"Allow","Resource":["acs:odps:*:projects/analytics/tables/orders"]}`}},
		"the ACL is refused":   {"GetRoleAcl", []string{`policy statement {"Action":["odps:Drop"],"Effect":"Allow","Resource":["acs:odps:*:projects/analytics/tables/orders"]}`}},
		"policies are refused": {"GetRolePolicy", []string{"ACL entry Drop on Table orders"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.foreign = true
			h.must(h.cloud.CreateRole(project, "reader", "resource"))
			role := newRole("reader", tables("Drop"))
			role.Spec.Policy = &runtime.RawExtension{Raw: []byte(policyOf("odps:Drop", "tables/orders"))}
			h.create(role)
			if c.refused != "" {
				h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, c.refused, ""))
			}
			roles := h.access().Roles
			if diff := gocmp.Diff(c.want, roles[slices.IndexFunc(roles, func(r *access.Role) bool { return r.Name == "reader" })].Missing()); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRequestsThatGavePartOfWhatTheyAskFor are not left out, nor those whose end is not in their object yet: what they gave is in doubt.
func TestRequestsThatGavePartOfWhatTheyAskFor(t *testing.T) {
	order := func(id string, state v1alpha1.RequestState) v1alpha1.PermissionOrder {
		return v1alpha1.PermissionOrder{ID: id, State: state}
	}
	const partly = "RAM$corp:alice Unclear: request, Allow Declared " + namespace + "/request only some of its orders were granted"
	for name, c := range map[string]struct {
		state v1alpha1.RequestState
		// end is from now.
		end    time.Duration
		orders []v1alpha1.PermissionOrder
		want   []string
	}{
		"granted, without an end":          {state: v1alpha1.RequestGranted, want: []string{"RAM$corp:alice Allowed: request, Allow Declared " + namespace + "/request"}},
		"granted, for a while":             {state: v1alpha1.RequestGranted, end: time.Hour, want: []string{"RAM$corp:alice Allowed: request, Allow Declared " + namespace + "/request"}},
		"granted, and should have ended":   {state: v1alpha1.RequestGranted, end: -time.Hour, want: []string{"RAM$corp:alice Unclear: request, Allow Declared " + namespace + "/request its end has passed"}},
		"one of two orders is pending":     {state: v1alpha1.RequestPending, orders: []v1alpha1.PermissionOrder{order("1", v1alpha1.RequestGranted), order("2", v1alpha1.RequestPending)}, want: []string{partly}},
		"approved, and granted in part":    {state: v1alpha1.RequestGrantFailed, orders: []v1alpha1.PermissionOrder{order("1", v1alpha1.RequestGrantFailed)}, want: []string{partly}},
		"waiting":                          {state: v1alpha1.RequestPending, orders: []v1alpha1.PermissionOrder{order("1", v1alpha1.RequestPending)}},
		"over, of an order that was given": {state: v1alpha1.RequestExpired, end: -time.Hour, orders: []v1alpha1.PermissionOrder{order("1", v1alpha1.RequestGranted)}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.foreign = true
			h.must(h.cloud.AddUser(fakecloud.User{AccountID: alice, Principal: "RAM$corp:alice"}))
			apply := newRequest("request")
			h.create(apply)
			apply = stored(h, apply)
			apply.Status.State, apply.Status.Orders = c.state, c.orders
			if c.end != 0 {
				apply.Status.GrantedUntil = new(metav1.NewTime(h.clock.Now().Add(c.end)))
			}
			h.must(h.kube.Status().Update(t.Context(), apply))
			if diff := gocmp.Diff(c.want, lines(h.whoCan(h.access()))); diff != "" {
				t.Errorf("chains (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAccountsWithoutANameAreTold: their roles are listed by name, so that what these deny cannot be counted.
func TestAccountsWithoutANameAreTold(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	for _, name := range []string{"first", "second"} {
		apply := newRequest(name, func(s *v1alpha1.PermissionApplySpec) { s.ApplyUserIDs = []string{"267842600408990000"} })
		h.create(apply)
		apply = stored(h, apply)
		apply.Status.State = v1alpha1.RequestGranted
		h.must(h.kube.Status().Update(t.Context(), apply))
	}
	want := []string{"what account 267842600408990000 is called, which a permission request was granted to: what its roles give or deny it is not counted for it"}
	if diff := gocmp.Diff(want, h.access().Notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}
