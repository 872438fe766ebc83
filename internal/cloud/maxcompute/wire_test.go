package maxcompute_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
)

// recorded is a request as it came over the wire, without what differs from time to time.
type recorded struct {
	// Line is the method and the path with its query, escaped as it came.
	Line string
	// Action and Type are the headers of these names.
	Action, Type string
	Body         string
}

// recorder keeps every request and answers them all with success.
type recorder struct {
	requests []recorded
	// data is what the OpenAPI answers with, text the whole answer to a statement if it is not OK.
	data, text string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		panic(err)
	}
	r.requests = append(r.requests, recorded{
		Line: request.Method + " " + request.URL.RequestURI(), Action: header(request, "x-acs-action"), Type: header(request, "content-type"), Body: string(body),
	})
	if strings.HasSuffix(request.URL.Path, "/authorization") {
		text := r.text
		if text == "" {
			text = result("OK")
		}
		answer(w, text)
		return
	}
	answer(w, `{"requestId":"1","data":`+r.data+`}`)
}

func TestRequestsOnTheWire(t *testing.T) {
	const jsonType, xmlType = "application/json; charset=utf-8", "application/xml"
	type client = maxcompute.Client
	statement := func(query, settings string) recorded {
		if settings != "" {
			settings = "<Settings>" + settings + "</Settings>"
		}
		return recorded{
			Line: "POST /api/projects/p/authorization", Type: xmlType,
			Body: "<Authorization><Query>" + query + "</Query><ResponseInJsonFormat>true</ResponseInJsonFormat>" + settings + "</Authorization>",
		}
	}
	tests := map[string]struct {
		data string
		call func(context.Context, *client) error
		want recorded
	}{
		"ListRoles": {
			data: `{"roles":[]}`,
			call: func(ctx context.Context, c *client) error { _, _, err := c.FindRole(ctx, "p", "r", 0); return err },
			want: recorded{Line: "GET /api/v1/projects/p/roles", Action: "ListRoles"},
		},
		"GetRoleAcl": {
			data: `{}`,
			call: func(ctx context.Context, c *client) error { _, err := c.GetRoleACL(ctx, "p", "r"); return err },
			want: recorded{Line: "GET /api/v1/projects/p/roles/r/roleAcl", Action: "GetRoleAcl"},
		},
		"CreateRole without an ACL": {
			data: `"success"`,
			call: func(ctx context.Context, c *client) error {
				return c.CreateRole(ctx, "p", "r", maxcompute.TypeResource, acl.Set{})
			},
			want: recorded{Line: "POST /api/v1/projects/p/roles", Action: "CreateRole", Type: jsonType, Body: `{"name":"r","type":"resource"}`},
		},
		"CreateRole of type admin, spelt otherwise": {
			data: `"success"`,
			call: func(ctx context.Context, c *client) error { return c.CreateRole(ctx, "p", "r", "Admin", acl.Set{}) },
			want: recorded{Line: "POST /api/v1/projects/p/roles", Action: "CreateRole", Type: jsonType, Body: `{"name":"r","type":"admin"}`},
		},
		"CreateRole with every kind": {
			data: `"success"`,
			call: func(ctx context.Context, c *client) error {
				return c.CreateRole(ctx, "p", "r", maxcompute.TypeResource, everyKind())
			},
			want: recorded{
				Line: "POST /api/v1/projects/p/roles", Action: "CreateRole", Type: jsonType,
				Body: `{"acl":{"function":[{"name":"to_cents","actions":["Execute","Read"]}],"instance":[{"name":"*","actions":["Read"]}],` +
					`"package":[{"name":"other.shared","actions":["Read"]}],"project":[{"name":"analytics","actions":["CreateInstance","List"]}],` +
					`"resource":[{"name":"udf-1.0.jar","actions":["Read"]}],"table":[{"name":"orders","actions":["Describe","Select"]}]},` +
					`"name":"r","type":"resource"}`,
			},
		},
		"GetRolePolicy": {
			data: `""`,
			call: func(ctx context.Context, c *client) error { _, err := c.GetRolePolicy(ctx, "p", "r"); return err },
			want: recorded{Line: "GET /api/v1/projects/p/roles/r/policy", Action: "GetRolePolicy"},
		},
		"UpdateRole": {
			data: `"success"`,
			call: func(ctx context.Context, c *client) error { return c.PutRolePolicy(ctx, "p", "r", allowSelect) },
			want: recorded{
				Line: "PUT /api/v1/projects/p/roles/r", Action: "UpdateRole", Type: jsonType,
				Body: `{"policy":"{\"Statement\":[{\"Action\":[\"odps:Select\"],\"Effect\":\"Allow\",\"Resource\":\"acs:odps:*:projects/p/tables/*\"}],\"Version\":\"1\"}"}`,
			},
		},
		"UpdateRole that takes the policy away": {
			data: `"success"`,
			call: func(ctx context.Context, c *client) error { return c.PutRolePolicy(ctx, "p", "r", acl.Document{}) },
			want: recorded{Line: "PUT /api/v1/projects/p/roles/r", Action: "UpdateRole", Type: jsonType, Body: `{"policy":""}`},
		},
		"DeleteRole": {
			data: `"success"`,
			call: func(ctx context.Context, c *client) error { return c.DeleteRole(ctx, "p", "r") },
			want: recorded{Line: "DELETE /api/v1/projects/p/roles/r", Action: "DeleteRole"},
		},
		"ListUsersByRole": {
			data: `{"users":[]}`,
			call: func(ctx context.Context, c *client) error { _, err := c.ListUsersByRole(ctx, "p", "r"); return err },
			want: recorded{Line: "GET /api/v1/projects/p/roles/r/users", Action: "ListUsersByRole"},
		},
		"UpdateUsersToRole": {
			data: `"success"`,
			call: func(ctx context.Context, c *client) error {
				return c.UpdateUsersToRole(ctx, "p", "r", []string{"ALIYUN$a@example.test"}, []string{"RAM$corp:bob"})
			},
			want: recorded{
				Line: "PUT /api/v1/projects/p/roles/r/users", Action: "UpdateUsersToRole", Type: jsonType, Body: `{"add":["ALIYUN$a@example.test"],"remove":["RAM$corp:bob"]}`,
			},
		},
		"UpdateUsersToRole that only removes": {
			data: `"success"`,
			call: func(ctx context.Context, c *client) error {
				return c.UpdateUsersToRole(ctx, "p", "r", nil, []string{"RAM$corp:bob"})
			},
			want: recorded{Line: "PUT /api/v1/projects/p/roles/r/users", Action: "UpdateUsersToRole", Type: jsonType, Body: `{"remove":["RAM$corp:bob"]}`},
		},
		"ListUsers, all": {
			data: `{"users":[],"totalCount":0}`,
			call: func(ctx context.Context, c *client) error { _, err := c.ListTenantUsers(ctx); return err },
			want: recorded{Line: "GET /api/v1/users?pageNumber=1&pageSize=100", Action: "ListUsers"},
		},
		"ListUsers": {
			data: `{"users":[]}`,
			call: func(ctx context.Context, c *client) error { return c.CheckIdentity(ctx) },
			want: recorded{Line: "GET /api/v1/users?pageNumber=1&pageSize=1", Action: "ListUsers"},
		},
		"GRANT in the default schema": {
			call: func(ctx context.Context, c *client) error { return c.Grant(ctx, "p", "r", selectOn("t")) },
			want: statement("GRANT Select ON TABLE t TO ROLE r;", ""),
		},
		"GRANT in another schema": {
			call: func(ctx context.Context, c *client) error {
				return c.Grant(ctx, "p", "r", acl.Grant{Kind: acl.Function, Schema: "Ods", Name: "f", Actions: []string{"Read", "Execute"}})
			},
			want: statement("GRANT Read, Execute ON FUNCTION f TO ROLE r;", "{&#34;odps.default.schema&#34;:&#34;Ods&#34;,&#34;odps.namespace.schema&#34;:&#34;true&#34;,&#34;odps.sql.allow.namespace.schema&#34;:&#34;true&#34;}"),
		},
		"REVOKE in the default schema, spelt otherwise": {
			call: func(ctx context.Context, c *client) error {
				return c.Revoke(ctx, "p", "r", acl.Grant{Kind: acl.Resource, Schema: "DEFAULT", Name: "udf-1.0.jar", Actions: []string{"Read"}})
			},
			want: statement("REVOKE Read ON RESOURCE udf-1.0.jar FROM ROLE r;", ""),
		},
		"REVOKE on a package": {
			call: func(ctx context.Context, c *client) error {
				return c.Revoke(ctx, "p", "r", acl.Grant{Kind: acl.Package, Name: "other.shared", Actions: []string{"Read"}})
			},
			want: statement("REVOKE Read ON PACKAGE other.shared FROM ROLE r;", ""),
		},
		"GRANT on a project": {
			call: func(ctx context.Context, c *client) error {
				return c.Grant(ctx, "p", "r", acl.Grant{Kind: acl.Project, Name: "p", Actions: []string{"CreateInstance"}})
			},
			want: statement("GRANT CreateInstance ON PROJECT p TO ROLE r;", ""),
		},
		"GRANT on all instances": {
			call: func(ctx context.Context, c *client) error {
				return c.Grant(ctx, "p", "r", acl.Grant{Kind: acl.Instance, Name: "*", Actions: []string{"Read"}})
			},
			want: statement("GRANT Read ON INSTANCE * TO ROLE r;", ""),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			wire := &recorder{data: tc.data}
			must(t, tc.call(t.Context(), newLocalClient(t, wire)))
			if diff := cmp.Diff([]recorded{tc.want}, wire.requests); diff != "" {
				t.Errorf("what was sent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnEndpointsPathComesFirst(t *testing.T) {
	wire := &recorder{data: `"success"`}
	c := newLocalClient(t, wire, func(config *maxcompute.Config) {
		config.Endpoint, config.ODPSEndpoint = "http://cloud.test/proxy%3Fx/", "http://cloud.test/odps%3Fx/api/"
	})
	must(t, c.DeleteRole(t.Context(), "p", "r"))
	must(t, c.Grant(t.Context(), "p", "r", selectOn("t")))
	got := []string{wire.requests[0].Line, wire.requests[1].Line}
	want := []string{"DELETE /proxy%3Fx/api/v1/projects/p/roles/r", "POST /odps%3Fx/api/projects/p/authorization"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
}
