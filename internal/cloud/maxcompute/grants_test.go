package maxcompute_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// someActions are the actions that the tests ask about.
var someActions = []string{"Select", "Describe", "Download"}

func TestTheGrantsOfAUserAreRead(t *testing.T) {
	acl := func(entries string) string {
		return `{"Roles":["dev"],"ACL":{"user/RAM$corp:alice":[` + entries + `]}}`
	}
	const anySelect = `{"Resource":"acs:odps:*:projects/p/tables/orders","Action":["odps:Select"],"Effect":""}`
	tests := map[string]struct {
		result string
		schema string
		held   string
	}{
		"one action":              {result: acl(anySelect), held: "Select"},
		"nothing":                 {result: acl("")},
		"no ACL":                  {result: `{"Roles":[],"SuperPrivileges":[]}`},
		"an ACL that is null":     {result: `{"ACL":null}`},
		"an ACL that is no list":  {result: `{"ACL":[]}`},
		"in a JSON text":          {result: jsonOf(acl(anySelect)), held: "Select"},
		"in an object":            {result: jsonOf(map[string]any{"result": acl(anySelect)}), held: "Select"},
		"under no name":           {result: `{"ACL":{"":[` + anySelect + `]}}`, held: "Select"},
		"by a role":               {result: `{"Roles":["dev"],"ACL":{"role/dev":[` + anySelect + `]}}`},
		"by the creator's right":  {result: `{"ACL":{},"Creator":["orders"]}`},
		"by a policy":             {result: `{"ACL":{},"Policy":{"user/RAM$corp:alice":[` + anySelect + `]}}`},
		"without its prefix":      {result: acl(`{"Resource":"projects/P/tables/Orders","Action":["SELECT","describe"]}`), held: "Select Describe"},
		"one action as a text":    {result: acl(`{"Resource":["projects/p/tables/orders"],"Action":"Select"}`), held: "Select"},
		"on a column":             {result: acl(`{"Resource":"acs:odps:*:projects/p/tables/orders/id","Action":["odps:Select"]}`), held: "Select"},
		"all but the download":    {result: acl(`{"Resource":"projects/p/tables/orders","Action":["All"]}`), held: "Select Describe"},
		"everything":              {result: acl(`{"Resource":"projects/p/tables/orders","Action":["odps:*"]}`), held: "Select Describe Download"},
		"a denial":                {result: acl(`{"Resource":"projects/p/tables/orders","Action":["Select"],"Effect":"Deny"}`)},
		"on another table":        {result: acl(`{"Resource":"projects/p/tables/orders_2","Action":["Select"]}`)},
		"on tables by a pattern":  {result: acl(`{"Resource":"projects/p/tables/*","Action":["Select"]}`)},
		"on the project":          {result: acl(`{"Resource":"projects/p","Action":["List"]}`)},
		"in another project":      {result: acl(`{"Resource":"projects/q/tables/orders","Action":["Select"]}`)},
		"in another schema":       {result: acl(`{"Resource":"projects/p/schemas/ods/tables/orders","Action":["Select"]}`)},
		"in this schema":          {result: acl(`{"Resource":"projects/p/schemas/ODS/tables/orders","Action":["Select"]}`), schema: "ods", held: "Select"},
		"in the default schema":   {result: acl(`{"Resource":"projects/p/schemas/default/tables/orders","Action":["Select"]}`), held: "Select"},
		"on what is no path":      {result: acl(`{"Resource":"p.orders","Action":["Select"]}`), held: "Select"},
		"in a part like the ACL":  {result: `{"ACL":{},"Download":{"user/RAM$corp:alice":[{"Resource":"projects/p/tables/orders","Action":["Download"]}]}}`, held: "Download"},
		"in an unreadable part":   {result: `{"ACL":{},"Download":[{"Table":"orders"}]}`, held: "Select Describe Download"},
		"not in a part like that": {result: `{"ACL":{},"Download":[{"Table":"orders_2"}],"More":{"a":1}}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			wire := &recorder{text: result(tc.result)}
			grants, err := newLocalClient(t, wire).GrantsOfUser(t.Context(), "p", alice)
			must(t, err)
			if got := strings.Join(grants.Held(tc.schema, "orders", someActions), " "); got != tc.held {
				t.Errorf("held %q, want %q", got, tc.held)
			}
			if body := wire.requests[0].Body; !strings.Contains(body, "<Query>SHOW GRANTS FOR RAM$corp:alice;</Query>") {
				t.Errorf("sent %s", body)
			}
		})
	}
}

func TestGrantsThatCannotBeReadAreAnError(t *testing.T) {
	tests := map[string]struct {
		result string
		class  cloud.Code
	}{
		"nothing":                     {"", cloud.UnexpectedResponse},
		"OK":                          {"OK", cloud.UnexpectedResponse},
		"null":                        {"null", cloud.UnexpectedResponse},
		"an empty object":             {"{}", cloud.UnexpectedResponse},
		"a list":                      {"[]", cloud.UnexpectedResponse},
		"words":                       {"A projects/p/tables/orders: Select", cloud.UnexpectedResponse},
		"half of it":                  {`{"Roles":[],"ACL":{`, cloud.UnexpectedResponse},
		"an object of another kind":   {`{"DisplayName":"RAM$corp:alice"}`, cloud.UnexpectedResponse},
		"an ACL that is a text":       {`{"Roles":[],"ACL":"none"}`, cloud.UnexpectedResponse},
		"entries that are texts":      {`{"Roles":[],"ACL":{"a":["Select"]}}`, cloud.UnexpectedResponse},
		"an entry without a resource": {`{"Roles":[],"ACL":{"a":[{"Action":["Select"]}]}}`, cloud.UnexpectedResponse},
		"an entry without actions":    {`{"Roles":[],"ACL":{"a":[{"Resource":"projects/p/tables/orders"}]}}`, cloud.UnexpectedResponse},
		"an error beside it":          {`{"Roles":[],"ACL":{},"error":"half of it only"}`, cloud.UnexpectedResponse},
		"two ACLs":                    {`{"acl":{},"ACL":{"a":[]}}`, cloud.UnexpectedResponse},
		"a refusal":                   {"ODPS-0420095: Access Denied - [4019]", cloud.PermissionDenied},
		"a refusal in words":          {"Access Denied - Authorization Failed [4019]", cloud.UnexpectedResponse},
		"a refusal in JSON":           {`{"Code":"ODPS-0420095","Message":"Access Denied"}`, cloud.PermissionDenied},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for way, answers := range map[string]script{
				"at once": {{status: 200, body: result(tc.result)}},
				"later":   {{status: 201, body: result("id-1")}, {status: 200, body: done(tc.result)}},
			} {
				_, err := newLocalClient(t, &answers).GrantsOfUser(t.Context(), "p", alice)
				if cloud.CodeOf(err) != tc.class {
					t.Errorf("%s: got %v, want %s", way, err, tc.class)
				}
			}
		})
	}
}

// notFound is the refusal of a statement because of something that is not there.
func notFound(message string) scripted {
	return scripted{status: 404, body: "<Error><Code>NoSuchObject</Code><Message>" + escape(message) + "</Message></Error>"}
}

func TestOnlyAMissingTableIsAnAbsence(t *testing.T) {
	tests := map[string]struct {
		message      string
		class        cloud.Code
		notInProject bool
	}{
		"the table":          {"the table 'orders' does not exist", cloud.NotFound, false},
		"the table, in code": {"ODPS-0130131: Table not found - table p.orders", cloud.NotFound, false},
		"the user":           {"User RAM$corp:alice is not in project p", cloud.RemoteRejected, true},
		"the principal":      {"'RAM$corp:alice' does not exist", cloud.RemoteRejected, true},
		"one of them":        {"the table or the user does not exist", cloud.RemoteRejected, true},
		"the privilege":      {"the privilege does not exist", cloud.UnexpectedResponse, false},
		"nobody knows what":  {"", cloud.UnexpectedResponse, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			answers := &script{notFound(tc.message)}
			err := newLocalClient(t, answers).RevokeFromUser(t.Context(), "p", "", "orders", []string{"Select"}, alice)
			if cloud.CodeOf(err) != tc.class || maxcompute.IsNotInProject(err) != tc.notInProject {
				t.Errorf("got %v: %s, not in the project %v", err, cloud.CodeOf(err), maxcompute.IsNotInProject(err))
			}
		})
	}
	_, err := newLocalClient(t, &script{notFound("no such user")}).GrantsOfUser(t.Context(), "p", alice)
	if cloud.IsNotFound(err) || !maxcompute.IsNotInProject(err) {
		t.Errorf("the grants of one who is not in the project: %v", err)
	}
}

func TestGrantsOfNobodyAreNotAskedFor(t *testing.T) {
	for _, name := range hostile {
		for _, principal := range []string{name, "RAM$corp:" + name + ";", "RAM$" + name} {
			wire := &recorder{}
			if _, err := newLocalClient(t, wire).GrantsOfUser(t.Context(), "p", principal); cloud.CodeOf(err) != cloud.InvalidSpec || len(wire.requests) != 0 {
				t.Errorf("%q: %v after %d requests", principal, err, len(wire.requests))
			}
		}
	}
}

func TestTheGrantsOfAUserOfTheFake(t *testing.T) {
	server := newCloud(t)
	url := serve(t, server)
	c := newClient(t, url)
	grantedByOrders(t, server, url)
	must(t, server.CreateRole(project, "reader", "resource"))
	must(t, server.GrantRaw(project, "reader", fakecloud.Grant{Kind: "table", Name: "customers", Actions: []string{"select"}}))
	must(t, server.AddMembers(project, "reader", alice))
	held := func(schema, table string) []string {
		t.Helper()
		grants, err := c.GrantsOfUser(t.Context(), project, alice)
		must(t, err)
		return grants.Held(schema, table, someActions)
	}
	for _, schema := range []string{"", "ods"} {
		if diff := cmp.Diff(someActions, held(schema, "orders")); diff != "" {
			t.Errorf("schema %q (-want +got):\n%s", schema, diff)
		}
	}
	must(t, c.RevokeFromUser(t.Context(), project, "ods", "orders", []string{"Select", "Download"}, alice))
	if diff := cmp.Diff([]string{"Describe"}, held("ods", "orders")); diff != "" {
		t.Errorf("after the revocation (-want +got):\n%s", diff)
	}
	if got := held("", "customers"); len(got) > 0 {
		t.Errorf("by a role: %v", got)
	}
}
