package fakecloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestCreateRole(t *testing.T) {
	tests := map[string]struct {
		body   string
		status int
		code   string
		grants string
	}{
		"with an acl": {
			body:   `{"name":"r","type":"resource","policy":"","acl":{"table":[{"name":"T1","actions":["Describe","Select"]}],"resource":[{"name":"x.jar","actions":["Read"]}]}}`,
			status: 200, grants: "table default.t1: describe,select; resource default.x.jar: read",
		},
		"merges entries of one object": {
			body:   `{"name":"r","acl":{"table":[{"name":"t","actions":["Select"]},{"name":"T","actions":["All"]}]}}`,
			status: 200, grants: "table default.t: alter,describe,drop,select,showhistory,update",
		},
		"without acl and policy":     {body: `{"name":"r","type":"resource"}`, status: 200},
		"with a policy":              {body: `{"name":"r","type":"admin","policy":"{\"Version\":\"1\",\"Statement\":[]}"}`, status: 200},
		"existing":                   {body: `{"name":"OLD","type":"resource"}`, status: 409, code: codeExists},
		"built-in":                   {body: `{"name":"admin","type":"admin"}`, status: 409, code: codeExists},
		"admin with an acl":          {body: `{"name":"r","type":"admin","acl":{"table":[{"name":"t","actions":["Select"]}]}}`, status: 400, code: codeInvalidArgument},
		"a schema name":              {body: `{"name":"r","acl":{"table":[{"name":"t","schemaName":"default","actions":["Select"]}]}}`, status: 400, code: codeInvalidBody},
		"an unknown field":           {body: `{"name":"r","comment":"x"}`, status: 400, code: codeInvalidBody},
		"a field in other case":      {body: `{"Name":"r"}`, status: 400, code: codeInvalidBody},
		"a field twice":              {body: `{"name":"r","name":"s"}`, status: 400, code: codeInvalidBody},
		"an unknown kind":            {body: `{"name":"r","acl":{"model":[]}}`, status: 400, code: codeInvalidBody},
		"a string of JSON":           {body: `"{\"name\":\"r\"}"`, status: 400, code: codeInvalidBody},
		"two values":                 {body: `{"name":"r"}{}`, status: 400, code: codeInvalidBody},
		"a null list":                {body: `{"name":"r","acl":{"table":null}}`, status: 400, code: codeInvalidBody},
		"no actions":                 {body: `{"name":"r","acl":{"table":[{"name":"t","actions":[]}]}}`, status: 400, code: codeInvalidArgument},
		"an unknown action":          {body: `{"name":"r","acl":{"table":[{"name":"t","actions":["Read"]}]}}`, status: 400, code: codeInvalidArgument},
		"a bad name":                 {body: `{"name":"r-1"}`, status: 400, code: codeInvalidArgument},
		"a long name":                {body: `{"name":"` + strings.Repeat("r", 65) + `"}`, status: 400, code: codeInvalidArgument},
		"no name":                    {body: `{"type":"resource"}`, status: 400, code: codeInvalidArgument},
		"a bad type":                 {body: `{"name":"r","type":"user"}`, status: 400, code: codeInvalidArgument},
		"a bad policy":               {body: `{"name":"r","policy":"[]"}`, status: 400, code: codeInvalidParameter},
		"a policy that is no string": {body: `{"name":"r","policy":{"Version":"1","Statement":[]}}`, status: 400, code: codeInvalidBody},
		"patterns": {
			body:   `{"name":"r","acl":{"table":[{"name":"ODS_*","actions":["Select"]},{"name":"*_tmp","actions":["Drop"]}],"project":[{"name":"*","actions":["List"]}],"function":[{"name":"*","actions":["Read"]}]}}`,
			status: 200, grants: "table default.*_tmp: drop; table default.ods_*: select; function default.*: read; project default.*: list",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			c.createRole("old")
			got := c.openAPI("CreateRole", http.MethodPost, testPath, tc.body)
			want(t, "status", got.status, tc.status)
			want(t, "code", got.code(), tc.code)
			want(t, "exists", c.server.RoleExists(testProject, "r"), tc.status == 200)
			want(t, "grants", c.grants(), tc.grants)
			c.wantNoViolations()
		})
	}
}

func TestExistingRoleInOtherSpelling(t *testing.T) {
	c := newClient(t, Options{Exists: ExistsUnknownCode})
	c.createRole("r")
	got := c.openAPI("CreateRole", http.MethodPost, testPath, `{"name":"r"}`)
	want(t, "status", got.status, 400)
	want(t, "code", got.code(), codeExistsUnknown)
	want(t, "message", strings.Contains(got.body, "already exists"), true)
}

func TestGetRoleAclFollowsTheDocumentedSample(t *testing.T) {
	c := newClient(t, Options{})
	c.createRole("r")
	if err := c.server.Grant(testProject, "r", Grant{Kind: "table", Name: "TableA", Actions: []string{"Describe"}}); err != nil {
		t.Fatal(err)
	}
	got := c.openAPI("GetRoleAcl", http.MethodGet, testPath+"/R/roleAcl", "")
	want(t, "body", got.body, `{"requestId":"FA4E0000-0000-4000-8000-000000000001","httpCode":200,"errorCode":"040002","errorMsg":"异常信息",`+
		`"data":{"table":[{"name":"tablea","schemaName":"default","actions":["describe"]}],"resource":[],"function":[],"project":[],"instance":[],"package":[]}}`)
	want(t, "admin", strings.Contains(c.openAPI("GetRoleAcl", http.MethodGet, testPath+"/admin/roleAcl", "").body, `"table":[]`), true)
	want(t, "missing role", c.openAPI("GetRoleAcl", http.MethodGet, testPath+"/nobody/roleAcl", "").code(), codeObjectNotExist)
	want(t, "missing project", c.openAPI("ListRoles", http.MethodGet, "/api/v1/projects/nowhere/roles", "").code(), codeProjectNotFound)
	c.wantNoViolations()
}

func TestListRoles(t *testing.T) {
	c := newClient(t, Options{Projects: []Project{{Name: "P2"}}})
	for _, name := range []string{"b", "A"} {
		if err := c.server.CreateRole("p2", name, ""); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "names", listed(c, "p2"), "a admin b super_administrator")
	if err := c.server.DropRole("p2", "a"); err != nil {
		t.Fatal(err)
	}
	if err := c.server.Grant("p2", "b", Grant{Kind: "table", Name: "t", Actions: []string{"Select"}}); err != nil {
		t.Fatal(err)
	}
	want(t, "after a drop", listed(c, "p2"), "admin b:t super_administrator")
	want(t, "roles", c.server.Roles("p2"), "[b]")
}

// listed spells the answer of ListRoles, with the tables of each role.
func listed(c *client, project string) string {
	got := c.openAPI("ListRoles", http.MethodGet, "/api/v1/projects/"+project+"/roles", "")
	var v struct {
		Data struct {
			Roles []struct {
				Name string
				ACL  struct{ Table []struct{ Name string } }
			}
		}
	}
	if err := json.Unmarshal([]byte(got.body), &v); err != nil {
		return err.Error()
	}
	var names []string
	for _, r := range v.Data.Roles {
		for _, tab := range r.ACL.Table {
			r.Name += ":" + tab.Name
		}
		names = append(names, r.Name)
	}
	return strings.Join(names, " ")
}

func TestMembersAndDeleteRole(t *testing.T) {
	c := newClient(t, Options{})
	c.createRole("r")
	users := testPath + "/r/users"
	update := func(body string) response { return c.openAPI("UpdateUsersToRole", http.MethodPut, users, body) }
	want(t, "add", update(`{"add":["ALIYUN$Ops@example.com","RAM$corp:alice","RAM$corp:role/etl"]}`).status, 200)
	want(t, "add again", update(`{"add":["RAM$CORP:alice"]}`).status, 200)
	want(t, "remove a stranger", update(`{"remove":["RAM$corp:bob"]}`).status, 200)
	want(t, "no provider", update(`{"add":["bob"]}`).code(), codeInvalidArgument)
	want(t, "nothing to do", update(`{}`).code(), codeInvalidBody)
	want(t, "one bad name spoils all", update(`{"remove":["RAM$corp:alice","x"]}`).code(), codeInvalidArgument)
	want(t, "members", c.server.Members(testProject, "r"), "[ALIYUN$ops@example.com RAM$corp:alice RAM$corp:role/etl]")
	list := c.openAPI("ListUsersByRole", http.MethodGet, users, "").body
	want(t, "list", strings.Contains(list, `"data":{"users":[{"name":"ALIYUN$ops@example.com"},{"name":"RAM$corp:alice"}`), true)
	want(t, "project users", strings.Contains(c.openAPI("ListProjectUsers", http.MethodGet, "/api/v1/projects/shop/users", "").body, `"RAM$corp:alice"`), true)

	if err := c.server.KillUser("RAM$corp:Alice"); err != nil {
		t.Fatal(err)
	}
	got := c.openAPI("ListUsersByRole", http.MethodGet, users, "")
	want(t, "dead member", got.status != 404 && strings.Contains(got.body, "baseId and tenantId do not match"), true)

	role := testPath + "/r"
	want(t, "delete while held", c.openAPI("DeleteRole", http.MethodDelete, role, "").code(), codeRoleInUse)
	want(t, "remove", update(`{"remove":["ALIYUN$ops@example.com","RAM$corp:alice","RAM$corp:role/etl"]}`).status, 200)
	want(t, "delete", c.openAPI("DeleteRole", http.MethodDelete, role, "").status, 200)
	want(t, "delete again", c.openAPI("DeleteRole", http.MethodDelete, role, "").code(), codeObjectNotExist)
	want(t, "built-in", c.openAPI("DeleteRole", http.MethodDelete, testPath+"/admin", "").code(), codeInvalidArgument)
	c.wantNoViolations()
}

func TestListUsersPages(t *testing.T) {
	c := newClient(t, Options{})
	for i := range 3 {
		if err := c.server.AddUser(User{AccountID: fmt.Sprint(100 + i), Principal: fmt.Sprintf("RAM$corp:u%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	page := func(query string) string {
		return c.openAPI("ListUsers", http.MethodGet, "/api/v1/users"+query, "").body
	}
	want(t, "second page", strings.Contains(page("?pageNumber=2&pageSize=2"),
		`"data":{"users":[{"accountId":"102","accountName":"corp:u2","accountType":"RAM","displayName":"u2","tenantId":"1567253789"}],"totalCount":3,"pageNumber":2,"pageSize":2}`), true)
	want(t, "beyond the end", strings.Contains(page("?pageNumber=9"), `"users":[],"totalCount":3`), true)
	want(t, "no page", strings.Contains(page("?pageSize=0"), codeInvalidBody), true)
	c.wantNoViolations()
}

func TestUnknownRequestsAreViolations(t *testing.T) {
	tests := map[string]func(*client) response{
		"path": func(c *client) response {
			return c.openAPI("GetTable", http.MethodGet, "/api/v1/projects/shop/tables", "")
		},
		"root": func(c *client) response { return c.openAPI("X", http.MethodGet, "/", "") },
		"path case": func(c *client) response {
			return c.openAPI("ListRoles", http.MethodGet, "/api/v1/Projects/shop/roles", "")
		},
		"method":        func(c *client) response { return c.openAPI("ListRoles", http.MethodPatch, testPath, "") },
		"action":        func(c *client) response { return c.openAPI("GetRoles", http.MethodGet, testPath, "") },
		"parameter":     func(c *client) response { return c.openAPI("ListRoles", http.MethodGet, testPath+"?maxItems=1", "") },
		"body":          func(c *client) response { return c.openAPI("ListRoles", http.MethodGet, testPath, "{}") },
		"empty segment": func(c *client) response { return c.openAPI("DeleteRole", http.MethodDelete, testPath+"/", "") },
		"odps path":     func(c *client) response { return c.send(c.signODPS(newGet(c, "/api/projects/shop/roles"))) },
		"odps parameter": func(c *client) response {
			return c.send(c.signODPS(newGet(c, "/api/projects/shop/authorization/1?x=1")))
		},
		"statement": func(c *client) response { return c.statement("DROP ROLE a; DROP ROLE b") },
		"version": func(c *client) response {
			req := c.request("ListRoles", http.MethodGet, testPath, "")
			req.Header.Set("x-acs-version", "2019-06-12")
			return c.send(c.signACS3(req, ""))
		},
		"content type": func(c *client) response {
			req := c.request("CreateRole", http.MethodPost, testPath, `{"name":"r"}`)
			req.Header.Set("Content-Type", "text/plain")
			return c.send(c.signACS3(req, `{"name":"r"}`))
		},
	}
	for name, call := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			got := call(c)
			if name != "statement" {
				want(t, "status", got.status, 501)
			}
			want(t, "violations", len(c.server.Violations()), 1)
			want(t, "writes applied", applied(c.server), 0)
		})
	}
}

func newGet(c *client, target string) *http.Request {
	return c.request("", http.MethodGet, target, "")
}

func applied(s *Server) int {
	n := 0
	for _, e := range s.Journal() {
		if e.Applied {
			n++
		}
	}
	return n
}

func TestEscapedNamesStayInTheirSegment(t *testing.T) {
	c := newClient(t, Options{})
	got := c.openAPI("GetRoleAcl", http.MethodGet, testPath+"/a%2Fb/roleAcl", "")
	want(t, "code", got.code(), codeObjectNotExist)
	c.wantNoViolations()
}
