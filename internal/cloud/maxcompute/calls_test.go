package maxcompute_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

func TestEveryCallWorksUnderEverySignature(t *testing.T) {
	tests := map[string]struct {
		config func(*maxcompute.Config)
		token  string
	}{
		"statements signed for a region":                    {config: func(*maxcompute.Config) {}},
		"statements signed without a region":                {config: func(c *maxcompute.Config) { c.Region = "" }},
		"a security token, statements signed for a region":  {config: func(c *maxcompute.Config) { c.Credential = temporary }, token: token},
		"a security token, statements signed without a one": {config: func(c *maxcompute.Config) { c.Credential, c.Region = temporary, "" }, token: token},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newCloud(t)
			server.AddIdentity(fakecloud.Identity{AccessKeyID: fakecloud.DefaultAccessKeyID, AccessKeySecret: fakecloud.DefaultAccessKeySecret, SecurityToken: tc.token})
			lifeOfARole(t, server, newClient(t, serve(t, server), tc.config))
		})
	}
}

// lifeOfARole makes every call of the client and looks at the world after each.
func lifeOfARole(t *testing.T, server *fakecloud.Server, c *maxcompute.Client) {
	t.Helper()
	ctx := t.Context()
	look := func(want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, granted(server, "reader")); diff != "" {
			t.Errorf("the role's grants (-want +got):\n%s", diff)
		}
	}
	must(t, c.CheckIdentity(ctx))

	must(t, c.CreateRole(ctx, project, "reader", maxcompute.TypeResource, acl.NewSet(selectOn("orders"))))
	look("table default.orders: select")
	role, found, err := c.FindRole(ctx, project, "reader", 0)
	must(t, err)
	if want := (maxcompute.Role{Name: "reader", Type: maxcompute.TypeResource}); !found || role != want {
		t.Errorf("FindRole = %v, %v, want %v", role, found, want)
	}

	elsewhere := acl.Grant{Kind: acl.Table, Schema: "ods", Name: "orders", Actions: []string{"Describe", "Select"}}
	must(t, c.Grant(ctx, project, "reader", elsewhere))
	must(t, c.Grant(ctx, project, "reader", elsewhere))
	look("table default.orders: select", "table ods.orders: describe select")
	must(t, c.Revoke(ctx, project, "reader", selectOn("orders")))
	must(t, c.Revoke(ctx, project, "reader", selectOn("orders")))
	look("table ods.orders: describe select")
	have, err := c.GetRoleACL(ctx, project, "reader")
	must(t, err)
	if diff := cmp.Diff([]acl.Grant{elsewhere}, have.Grants()); diff != "" {
		t.Errorf("GetRoleACL (-want +got):\n%s", diff)
	}

	must(t, server.AddMembers(project, "reader", "RAM$corp:alice"))
	must(t, c.UpdateUsersToRole(ctx, project, "reader", []string{"RAM$corp:bob"}, nil))
	members, err := c.ListUsersByRole(ctx, project, "reader")
	must(t, err)
	if diff := cmp.Diff([]string{"RAM$corp:alice", "RAM$corp:bob"}, members); diff != "" {
		t.Errorf("ListUsersByRole (-want +got):\n%s", diff)
	}
	must(t, c.UpdateUsersToRole(ctx, project, "reader", nil, members))
	if left := server.Members(project, "reader"); len(left) != 0 {
		t.Errorf("%v are still members", left)
	}

	must(t, c.DeleteRole(ctx, project, "reader"))
	if server.RoleExists(project, "reader") {
		t.Error("the role is still there")
	}
	if _, err := c.GetRoleACL(ctx, project, "reader"); !cloud.IsNotFound(err) {
		t.Errorf("the ACL of a role that is gone: %v, want NotFound", err)
	}
}

func TestCreateRoleGrantsEveryKind(t *testing.T) {
	server := newCloud(t)
	c := newClient(t, serve(t, server))
	must(t, c.CreateRole(t.Context(), project, "Reader", maxcompute.TypeResource, everyKind()))
	want := []string{
		"table default.orders: describe select", "resource default.udf-1.0.jar: read", "function default.to_cents: execute read",
		"package default.other.shared: read", "project default.analytics: createinstance list", "instance default.*: read",
	}
	if diff := cmp.Diff(asSet(want), asSet(granted(server, "reader"))); diff != "" {
		t.Errorf("what the role holds (-want +got):\n%s", diff)
	}
	have, err := c.GetRoleACL(t.Context(), project, "Reader")
	must(t, err)
	if !have.Equal(everyKind()) {
		t.Errorf("GetRoleACL = %v, want %v", have.Grants(), everyKind().Grants())
	}
}

func TestGrantAndRevokeEveryKind(t *testing.T) {
	server := newCloud(t)
	c := newClient(t, serve(t, server))
	must(t, server.CreateRole(project, "reader", "resource"))
	for _, grant := range everyKind().Grants() {
		must(t, c.Grant(t.Context(), project, "reader", grant))
	}
	have, err := c.GetRoleACL(t.Context(), project, "reader")
	must(t, err)
	if !have.Equal(everyKind()) {
		t.Errorf("after the grants: %v", have.Grants())
	}
	for _, grant := range everyKind().Grants() {
		must(t, c.Revoke(t.Context(), project, "reader", grant))
	}
	if left := granted(server, "reader"); len(left) != 0 {
		t.Errorf("after the revocations: %v", left)
	}
}

func asSet(lines []string) map[string]bool {
	set := map[string]bool{}
	for _, line := range lines {
		set[line] = true
	}
	return set
}

func TestExpressibleLeavesOutWhatTheBodyCannotSay(t *testing.T) {
	elsewhere := acl.Grant{Kind: acl.Table, Schema: "ods", Name: "orders", Actions: []string{"Select"}}
	body, rest := maxcompute.Expressible(everyKind().Union(acl.NewSet(elsewhere)))
	if !body.Equal(everyKind()) || !rest.Equal(acl.NewSet(elsewhere)) {
		t.Errorf("body %v, rest %v", body.Grants(), rest.Grants())
	}
}

func TestRolesAreOfTheTypeThatTheListSays(t *testing.T) {
	server := newCloud(t)
	must(t, server.CreateRole(project, "boss", "admin"))
	c := newClient(t, serve(t, server))
	must(t, c.CreateRole(t.Context(), project, "chief", maxcompute.TypeAdmin, acl.Set{}))
	for _, name := range []string{"BOSS", "CHIEF"} {
		for _, maxAge := range []time.Duration{time.Hour, 0} {
			role, found, err := c.FindRole(t.Context(), project, name, maxAge)
			must(t, err)
			if !found || role.Type != maxcompute.TypeAdmin {
				t.Errorf("FindRole = %v, %v", role, found)
			}
		}
	}
}

func TestOneDeadMemberHidesAllMembers(t *testing.T) {
	server := newCloud(t)
	must(t, server.CreateRole(project, "reader", "resource"))
	must(t, server.AddMembers(project, "reader", "RAM$corp:alice", "RAM$corp:bob"))
	must(t, server.KillUser("RAM$corp:bob"))
	members, err := newClient(t, serve(t, server)).ListUsersByRole(t.Context(), project, "reader")
	if cloud.CodeOf(err) != cloud.RemoteRejected || !maxcompute.IsStaleMember(err) {
		t.Errorf("ListUsersByRole = %v, %v, want a stale member", members, err)
	}
}

func TestAbsenceIsToldFromAMissingProject(t *testing.T) {
	c := newClient(t, serve(t, newCloud(t)))
	_, found, err := c.FindRole(t.Context(), project, "nobody", 0)
	if found || err != nil {
		t.Errorf("a role that is not there: %v, %v", found, err)
	}
	if _, _, err := c.FindRole(t.Context(), "nowhere", "nobody", 0); cloud.CodeOf(err) != cloud.ProjectNotFound {
		t.Errorf("a project that is not there: %v", err)
	}
}

func TestAsynchronousStatements(t *testing.T) {
	tests := map[string]struct {
		faults []fakecloud.Fault
		want   cloud.Code
		// text is the whole error.
		text    string
		refused bool
		granted []string
	}{
		"one that ends well at the first look": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Polls: 1}}, granted: []string{"table default.t: select"},
		},
		"one that ends well after a while": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Polls: 5}}, granted: []string{"table default.t: select"},
		},
		"one that fails for a known reason": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Polls: 2, Outcome: "FAILED", Message: "ODPS-0420095: Access Denied - no privilege"}},
			want:   cloud.PermissionDenied, text: ": ODPS-0420095: Access Denied - no privilege", refused: true, granted: []string{},
		},
		"one that fails for a reason that nobody knows": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Polls: 2, Outcome: "FAILED", Message: "FAILED: ODPS-0499999: mercury is retrograde"}},
			want:   cloud.RemoteRejected, text: ": ODPS-0499999: mercury is retrograde", refused: true, granted: []string{},
		},
		"one whose look is throttled, so that it may have been carried out": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Polls: 3}, {Kind: fakecloud.FaultThrottle, Action: "PollStatement", RetryAfter: "7"}},
			want:   cloud.RemoteUnavailable,
		},
		"one whose look is refused, so that it may have been carried out": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Polls: 3}, {Kind: fakecloud.FaultAccessDenied, Action: "PollStatement"}},
			want:   cloud.PermissionDenied,
		},
		"one that the service has forgotten": {
			faults: []fakecloud.Fault{
				{Kind: fakecloud.FaultAsync, Polls: 3}, {Kind: fakecloud.FaultError, Action: "PollStatement", Status: 404, Code: "NoSuchObject", Message: "no such instance"},
			},
			want: cloud.UnexpectedResponse,
		},
		"one whose look is answered by a proxy": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Polls: 3}, {Kind: fakecloud.FaultHTML502, Action: "PollStatement"}},
			want:   cloud.RemoteUnavailable,
		},
		"one whose look cannot be understood": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Polls: 3}, {Kind: fakecloud.FaultGarbled, Action: "PollStatement"}},
			want:   cloud.UnexpectedResponse,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newCloud(t)
			must(t, server.CreateRole(project, "r", "resource"))
			for _, fault := range tc.faults {
				if fault.Kind == fakecloud.FaultAsync {
					fault.Action = "Statement"
				}
				server.Inject(fault)
			}
			err := newClient(t, serve(t, server)).Grant(t.Context(), project, "r", selectOn("t"))
			if got := cloud.CodeOf(err); got != tc.want || cloud.Refused(err) != tc.refused {
				t.Errorf("got %q (refused %v): %v, want %q (refused %v)", got, cloud.Refused(err), err, tc.want, tc.refused)
			}
			if tc.text != "" && err != nil {
				if diff := cmp.Diff("grant Select on Table t, role r in project analytics"+tc.text, err.Error()); diff != "" {
					t.Errorf("text (-want +got):\n%s", diff)
				}
			}
			if tc.granted != nil {
				if diff := cmp.Diff(tc.granted, granted(server, "r")); diff != "" {
					t.Errorf("the role's grants (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestAStatementThatNeverEndsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newCloud(t)
		must(t, server.CreateRole(project, "r", "resource"))
		server.Inject(fakecloud.Fault{Kind: fakecloud.FaultAsync, Action: "Statement", Polls: 1 << 30})
		c := newLocalClient(t, server, func(config *maxcompute.Config) { config.PollInterval = 0 })
		began := time.Now()
		err := c.Grant(t.Context(), project, "r", selectOn("t"))
		if took := time.Since(began); took != 2*time.Minute {
			t.Errorf("it took %s", took)
		}
		if cloud.CodeOf(err) != cloud.RemoteUnavailable || cloud.Refused(err) || errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want an unknown outcome", err)
		}
		if polls := count(server, "PollStatement"); polls < 119 || polls > 121 {
			t.Errorf("looked %d times, want once a second", polls)
		}
	})
}

func TestAnInstanceIDThatIsNoneIsNotAskedFor(t *testing.T) {
	tests := map[string]string{
		"nothing":    `<Authorization><Result></Result></Authorization>`,
		"a path":     `<Authorization><Result>../../../projects/other</Result></Authorization>`,
		"a query":    `<Authorization><Result>1?x=y</Result></Authorization>`,
		"a sentence": `<Authorization><Result>please wait</Result></Authorization>`,
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			answers := &script{{status: 202, body: body}}
			err := newLocalClient(t, answers).Grant(t.Context(), "p", "r", selectOn("t"))
			if cloud.CodeOf(err) != cloud.UnexpectedResponse || cloud.Refused(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestANewClientNeedsURLs(t *testing.T) {
	for _, endpoint := range []string{"", "cloud.test", "://", "http://"} {
		for name, config := range map[string]maxcompute.Config{
			"OpenAPI": {Endpoint: endpoint, ODPSEndpoint: "https://cloud.test/api"},
			"ODPS":    {Endpoint: "https://cloud.test", ODPSEndpoint: endpoint},
		} {
			if _, err := maxcompute.New(config); err == nil {
				t.Errorf("%s endpoint %q was accepted", name, endpoint)
			}
		}
	}
}
