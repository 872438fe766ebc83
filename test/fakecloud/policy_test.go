package fakecloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

const (
	readTables = `{"Version":"1","Statement":[{"Effect":"Allow","Action":["odps:Select","odps:Describe"],"Resource":"acs:odps:*:projects/shop/tables/*"}]}`
	denyDrop   = `{"Version":"1","Statement":[{"Effect":"Deny","Action":"odps:Drop","Resource":["acs:odps:*:projects/shop/tables/t"]}]}`
	noRights   = `{"Version":"1","Statement":[]}`
)

func (c *client) putPolicy(role, doc string) response {
	c.t.Helper()
	return c.openAPI("UpdateRole", http.MethodPut, testPath+"/"+role, `{"policy":`+strconv.Quote(doc)+`}`)
}

func (c *client) getPolicy(role string) response {
	c.t.Helper()
	return c.openAPI("GetRolePolicy", http.MethodGet, testPath+"/"+role+"/policy", "")
}

// data is the string in the frame of the OpenAPI.
func (r response) data() string {
	var v struct{ Data string }
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		return err.Error()
	}
	return v.Data
}

func (c *client) wantPolicy(what, doc string) {
	c.t.Helper()
	want(c.t, what, c.server.RolePolicy(testProject, "r"), doc)
}

func TestGetRolePolicyFollowsTheDocumentedSample(t *testing.T) {
	c := newClient(t, Options{})
	c.createRole("r")
	want(t, "none", c.getPolicy("R").body, `{"requestId":"FA4E0000-0000-4000-8000-000000000001","httpCode":200,"errorCode":"040002","errorMsg":"异常信息","data":""}`)
	if err := c.server.SetPolicy(testProject, "r", denyDrop); err != nil {
		t.Fatal(err)
	}
	want(t, "some", c.getPolicy("r").data(), denyDrop)
	want(t, "in the list", strings.Contains(c.openAPI("ListRoles", http.MethodGet, testPath, "").body, `"policy":`+strconv.Quote(denyDrop)), true)
	want(t, "built-in", c.getPolicy("admin").data(), "")
	want(t, "missing role", statusCode(c.getPolicy("nobody")), "404 "+codeObjectNotExist)
	want(t, "missing project", c.openAPI("GetRolePolicy", http.MethodGet, "/api/v1/projects/nowhere/roles/r/policy", "").code(), codeProjectNotFound)
	c.wantNoViolations()
}

func TestUpdateRole(t *testing.T) {
	c := newClient(t, Options{})
	c.createRole("r")
	want(t, "grant", c.statement(grantText).status, 200)
	want(t, "put", c.putPolicy("R", readTables).body, `{"requestId":"FA4E0000-0000-4000-8000-000000000002","data":"success"}`)
	c.wantPolicy("written", readTables)
	want(t, "again", c.putPolicy("r", readTables).status, 200)
	want(t, "replace", c.putPolicy("r", denyDrop).status, 200)
	c.wantPolicy("replaced", denyDrop)
	want(t, "grants stay", c.grants(), "table default.t: select")
	want(t, "clear", c.putPolicy("r", "").status, 200)
	c.wantPolicy("cleared", "")
	want(t, "missing role", statusCode(c.putPolicy("nobody", denyDrop)), "404 "+codeObjectNotExist)
	want(t, "built-in", c.putPolicy("admin", denyDrop).code(), codeInvalidArgument)
	c.wantNoViolations()

	var got []string
	for _, e := range c.server.Writes()[1:] {
		line := fmt.Sprint(e.Service, " ", e.Action, " ", e.Role, " ", e.Applied, " ", e.Status)
		for _, ch := range e.Changes {
			line += fmt.Sprint("|", ch.Change, " ", ch.Role, " ", len(ch.Policy))
		}
		got = append(got, line)
	}
	want(t, "journal", strings.Join(got, "\n"), strings.Join([]string{
		fmt.Sprint("maxcompute UpdateRole r true 200|setPolicy r ", len(readTables)),
		"maxcompute UpdateRole r true 200",
		fmt.Sprint("maxcompute UpdateRole r true 200|setPolicy r ", len(denyDrop)),
		"maxcompute UpdateRole r true 200|setPolicy r 0",
		"maxcompute UpdateRole nobody false 404",
		"maxcompute UpdateRole admin false 400",
	}, "\n"))
}

func TestUpdateRoleTakesNothingButAPolicy(t *testing.T) {
	tests := map[string]string{
		"an acl":              `{"policy":"","acl":{"table":[]}}`,
		"an acl alone":        `{"acl":{"table":[]}}`,
		"a type":              `{"policy":"","type":"admin"}`,
		"nothing":             `{}`,
		"a document":          `{"policy":{"Version":"1","Statement":[]}}`,
		"null":                `{"policy":null}`,
		"a policy twice":      `{"policy":"","policy":""}`,
		"another case":        `{"Policy":""}`,
		"what is not JSON":    `policy`,
		"a string of JSON":    `"{\"policy\":\"\"}"`,
		"more than one value": `{"policy":""}{}`,
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			c.createRole("r")
			got := c.openAPI("UpdateRole", http.MethodPut, testPath+"/r", body)
			want(t, "refused", statusCode(got), "400 "+codeInvalidBody)
			want(t, "violations", len(c.server.Violations()), 1)
			want(t, "applied", applied(c.server), 0)
		})
	}
}

func TestPolicyFormat(t *testing.T) {
	statement := func(members string) string { return `{"Version":"1","Statement":[{` + members + `}]}` }
	const allow = `"Effect":"Allow","Resource":"*",`
	tests := map[string]struct{ doc, message string }{
		"lists and texts":          {doc: readTables},
		"no statements":            {doc: noRights},
		"one statement":            {doc: `{"Version":"1","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`},
		"all of the service":       {doc: statement(allow + `"Action":"odps:*"`)},
		"a condition":              {doc: statement(allow + `"Action":"odps:Select","Condition":{"IpAddress":{"acs:SourceIp":["10.0.0.0/8"]}}`)},
		"an unknown member":        {doc: statement(allow + `"Action":"odps:Select","Sid":"1"`)},
		"white space":              {doc: " {\n\"Version\" : \"1\", \"Statement\" : [ ] } "},
		"a list":                   {`[]`, "not a JSON object"},
		"null":                     {`null`, "not a JSON object"},
		"half of it":               {`{"Version":"1"`, "not a JSON object"},
		"two documents":            {noRights + noRights, "not a JSON object"},
		"no version":               {`{"Statement":[]}`, "invalid Version value - "},
		"another version":          {`{"Version":"2","Statement":[]}`, `invalid Version value - \"2\"`},
		"a number":                 {`{"Version":1,"Statement":[]}`, "invalid Version value - 1"},
		"nothing stated":           {`{"Version":"1"}`, "invalid Statement value - "},
		"a statement that is text": {`{"Version":"1","Statement":["x"]}`, `invalid Statement value - [\"x\"]`},
		"no effect":                {statement(`"Action":"*","Resource":"*"`), "invalid Effect value - "},
		"another effect":           {statement(`"Effect":"allow","Action":"*","Resource":"*"`), `invalid Effect value - \"allow\"`},
		"no action":                {statement(`"Effect":"Allow","Resource":"*"`), "invalid Action value - "},
		"an empty list of actions": {statement(allow + `"Action":[]`), "invalid Action value - []"},
		"an action of no service":  {statement(allow + `"Action":"Select"`), "invalid Action value - Select"},
		"another service's action": {statement(allow + `"Action":["odps:Select","oss:Get"]`), "invalid Action value - oss:Get"},
		"an action with a digit":   {statement(allow + `"Action":"odps:X1"`), "invalid Action value - odps:X1"},
		"part of an action":        {statement(allow + `"Action":"odps:Create*"`), "invalid Action value - odps:Create*"},
		"no resource":              {statement(`"Effect":"Allow","Action":"*"`), "invalid Resource value - "},
		"an empty resource":        {statement(`"Effect":"Allow","Action":"*","Resource":[""]`), `invalid Resource value - [\"\"]`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			c.createRole("r")
			got := c.putPolicy("r", tc.doc)
			body := `{"name":"s","policy":` + strconv.Quote(tc.doc) + `}`
			created := c.openAPI("CreateRole", http.MethodPost, testPath, body)
			want(t, "behind the API", c.server.SetPolicy(testProject, "r", tc.doc) == nil, tc.message == "")
			c.wantNoViolations()
			if tc.message == "" {
				want(t, "status", got.status, 200)
				want(t, "create", created.status, 200)
				c.wantPolicy("policy", tc.doc)
				want(t, "policy of the new role", c.getPolicy("s").data(), tc.doc)
				return
			}
			want(t, "refused", statusCode(got), "400 "+codeInvalidParameter)
			want(t, "create refused", statusCode(created), "400 "+codeInvalidParameter)
			if !strings.Contains(got.body, `"failed to check policy format: `+tc.message+`"`) {
				t.Errorf("got %s, want %s", got.body, tc.message)
			}
			want(t, "created", c.server.RoleExists(testProject, "s"), false)
		})
	}
}

func TestPolicyEcho(t *testing.T) {
	const doc = `{"Statement": [
		{"Effect":"Allow","Action":"odps:Select","Resource":["acs:odps:*:a"],"Sid":"x","Condition":{"NumericEquals":{"n":12345678901234567890}}},
		{"Effect":"Deny","Action":["odps:Drop"],"Resource":"*"},
		{"Effect":"Deny","Action":["odps:Update","odps:Alter"],"Resource":["b","c"]}
	], "Version": "1", "Comment": "<&>"}`
	tests := map[PolicyEcho]string{
		PolicyVerbatim: doc,
		"":             doc,
		PolicySticky:   noRights,
		PolicyNull:     doc,
		PolicyCanonical: `{"Comment":"<&>","Statement":[` +
			`{"Action":["odps:alter","odps:update"],"Effect":"Deny","Resource":["b","c"]},` +
			`{"Action":"odps:drop","Effect":"Deny","Resource":["*"]},` +
			`{"Action":["odps:select"],"Condition":{"NumericEquals":{"n":12345678901234567890}},"Effect":"Allow","Resource":"acs:odps:*:a","Sid":"x"}],"Version":"1"}`,
		PolicyAltered: `{"Statement":[` +
			`{"Action":"odps:Select","Condition":{"NumericEquals":{"n":12345678901234567890}},"Effect":"Allow","Resource":["ACS:ODPS:*:A"]},` +
			`{"Action":["odps:Drop"],"Effect":"Deny","Resource":["*/ALTERED"]},` +
			`{"Action":["odps:Update","odps:Alter"],"Effect":"Deny","Resource":["B","C"]}],"Version":"1"}`,
	}
	for echo, wanted := range tests {
		t.Run(string(echo), func(t *testing.T) {
			c := newClient(t, Options{PolicyEcho: echo})
			c.createRole("r")
			if err := c.server.SetPolicy(testProject, "r", noRights); err != nil {
				t.Fatal(err)
			}
			flat, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			got := c.openAPI("UpdateRole", http.MethodPut, testPath+"/r", `{"policy":`+string(flat)+`}`)
			want(t, "accepted", got.status, 200)
			want(t, "echo", strings.NewReplacer("\t", "", "\n", "").Replace(echoed(c)), strings.NewReplacer("\t", "", "\n", "").Replace(wanted))
			want(t, "applied", applied(c.server) == 1, echo != PolicySticky)
			want(t, "the truth", c.server.RolePolicy(testProject, "r") == doc, echo != PolicySticky)
			c.wantNoViolations()
		})
	}
}

// echoed is the policy as it is echoed, with white space outside of texts as Go's encoder has it.
func echoed(c *client) string {
	got := c.getPolicy("r").data()
	if !strings.Contains(got, "\n\t") || strings.HasPrefix(got, `{"Statement": [`) {
		return got
	}
	var v any
	dec := json.NewDecoder(strings.NewReader(got))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return err.Error()
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err.Error()
	}
	return b.String()
}

func TestNoPolicyCanBeNull(t *testing.T) {
	c := newClient(t, Options{PolicyEcho: PolicyNull})
	c.createRole("r")
	if got := c.getPolicy("r"); got.status != 200 || !strings.Contains(got.body, `"data":null`) {
		t.Errorf("status %d, body %s", got.status, got.body)
	}
	c.wantNoViolations()
}

func TestPolicyEchoCanChange(t *testing.T) {
	c := newClient(t, Options{Projects: []Project{{Name: testProject}, {Name: "other", PolicyEcho: PolicyAltered}}})
	c.createRole("r")
	if err := c.server.CreateRole("other", "r", ""); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{testProject, "other"} {
		if err := c.server.SetPolicy(p, "r", denyDrop); err != nil {
			t.Fatal(err)
		}
	}
	list := func() string { return c.openAPI("ListRoles", http.MethodGet, testPath, "").body }
	other := func() string {
		return c.openAPI("GetRolePolicy", http.MethodGet, "/api/v1/projects/other/roles/r/policy", "").data()
	}
	want(t, "verbatim", c.getPolicy("r").data(), denyDrop)
	want(t, "listed", strings.Contains(list(), "odps:drop"), false)
	want(t, "altered", strings.Contains(other(), "ACS:ODPS"), true)
	c.server.SetPolicyEcho(PolicyCanonical)
	want(t, "canonical", strings.Contains(c.getPolicy("r").data(), "odps:drop"), true)
	want(t, "listed", strings.Contains(list(), "odps:drop"), true)
	want(t, "the project's own", strings.Contains(other(), "ACS:ODPS"), true)
	if err := c.server.SetProjectPolicyEcho("other", ""); err != nil {
		t.Fatal(err)
	}
	want(t, "the server's", strings.Contains(other(), "odps:drop"), true)
	want(t, "unknown", c.server.SetProjectPolicyEcho("other", "x") == nil, false)
	want(t, "no project", c.server.SetProjectPolicyEcho("nowhere", PolicySticky) == nil, false)

	// A member or a grant more leaves the document as it is.
	want(t, "grant", c.statement(grantText).status, 200)
	want(t, "member", c.statement("GRANT r TO RAM$c:u").status, 200)
	c.wantPolicy("kept", denyDrop)
	want(t, "canonical still", strings.Contains(c.getPolicy("r").data(), "odps:drop"), true)
}

func TestAdminRolesNeedASuperAdministrator(t *testing.T) {
	c := newClient(t, Options{})
	c.server.AddIdentity(Identity{AccessKeyID: "FAKE2", AccessKeySecret: "s"})
	if err := c.server.CreateRole(testProject, "boss", typeAdmin); err != nil {
		t.Fatal(err)
	}
	calls := []func() response{
		func() response {
			return c.openAPI("CreateRole", http.MethodPost, testPath, `{"name":"chief","type":"admin","policy":`+strconv.Quote(denyDrop)+`}`)
		},
		func() response { return c.statement(`CREATE ROLE head PRIVILEGEPROPERTIES("type"="admin")`) },
		func() response { return c.putPolicy("boss", denyDrop) },
		func() response { return c.statement("GRANT super_administrator TO RAM$c:u") },
		func() response { return c.openAPI("DeleteRole", http.MethodDelete, testPath+"/boss", "") },
		func() response { return c.statement("DROP ROLE head") },
	}
	all := func() string {
		var out []string
		for _, call := range calls {
			out = append(out, statusCode(call()))
		}
		return strings.Join(out, ",")
	}
	c.key, c.secret = "FAKE2", "s"
	if err := c.server.CreateRole(testProject, "head", typeAdmin); err != nil {
		t.Fatal(err)
	}
	denied := "403 " + codeAccessDenied
	want(t, "without", all(), strings.Join([]string{denied, denied, denied, denied, denied, denied}, ","))
	want(t, "nothing done", applied(c.server), 0)
	want(t, "resource roles", c.statement("CREATE ROLE r").status, 200)
	want(t, "and their policies", c.putPolicy("r", denyDrop).status, 200)
	want(t, "members of admin roles", c.statement("GRANT boss TO RAM$c:u").status, 200)
	want(t, "and back", c.statement("REVOKE boss FROM RAM$c:u").status, 200)
	if err := c.server.DropRole(testProject, "head"); err != nil {
		t.Fatal(err)
	}

	if err := c.server.SetSuperAdministrator("FAKE2", true); err != nil {
		t.Fatal(err)
	}
	want(t, "with", all(), "200 ,200 ,200 ,200 ,200 ,200 ")
	want(t, "left", c.server.Roles(testProject), "[chief r]")
	want(t, "no grants", c.statement("GRANT Select ON TABLE t TO ROLE chief").code(), codeInvalidArgument)
	want(t, "unknown key", c.server.SetSuperAdministrator("nobody", true) == nil, false)
	c.wantNoViolations()
}

func TestPoliciesAndFaults(t *testing.T) {
	c := newClient(t, Options{})
	c.connect()
	c.createRole("r")
	c.server.Inject(Fault{Kind: FaultDropBefore, Action: "UpdateRole", Times: 1})
	want(t, "lost before", errors.Is(c.putPolicy("r", denyDrop).err, io.EOF), true)
	c.wantPolicy("nothing done", "")
	c.server.Inject(Fault{Kind: FaultDropAfter, Only: "writes", Role: "R", Times: 1})
	want(t, "lost after", errors.Is(c.putPolicy("r", denyDrop).err, io.EOF), true)
	c.wantPolicy("done", denyDrop)

	c.server.Inject(Fault{Kind: FaultErrorInside, Action: "UpdateRole", Times: 1})
	want(t, "inside", strings.Contains(c.putPolicy("r", "").body, `"httpCode":500`), true)
	c.wantPolicy("kept", denyDrop)
	c.server.Inject(Fault{Kind: FaultErrorInside, Action: "GetRolePolicy", Status: 404, Code: codeObjectNotExist, Times: 1})
	want(t, "inside a read", strings.Contains(c.getPolicy("r").body, `"errorCode":"OBJECT_NOT_EXIST"`), true)

	want(t, "put", c.putPolicy("r", readTables).status, 200)
	c.server.Inject(Fault{Kind: FaultStaleRead, Action: "GetRolePolicy", StaleWrites: 1, Times: 1})
	want(t, "stale", c.getPolicy("r").data(), denyDrop)
	want(t, "fresh", c.getPolicy("r").data(), readTables)
	c.server.Inject(Fault{Kind: FaultStaleRead, Only: "reads", StaleWrites: 2, Times: 1})
	want(t, "older", c.getPolicy("r").data(), "")

	c.server.Inject(Fault{Kind: FaultGarbled, Body: BodyWrongKind, Action: "GetRolePolicy", Times: 1})
	want(t, "of another kind", strings.Contains(c.getPolicy("r").body, `"data":["job-42"]`), true)
	c.wantNoViolations()
}
