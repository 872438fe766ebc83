package fakecloud

import (
	"net/http"
	"strings"
	"testing"
)

const testUsers = testPath + "/r/users"

func (c *client) updateUsers(body string) response {
	c.t.Helper()
	return c.openAPI("UpdateUsersToRole", http.MethodPut, testUsers, body)
}

func (c *client) listUsers() response {
	c.t.Helper()
	return c.openAPI("ListUsersByRole", http.MethodGet, testUsers, "")
}

func (c *client) members() string { return strings.Join(c.server.Members(testProject, "r"), " ") }

func TestDeadUsers(t *testing.T) {
	c := newClient(t, Options{Projects: []Project{{Name: testProject, Users: []string{"RAM$c:bob"}}}})
	c.createRole("r")
	want(t, "add", c.updateUsers(`{"add":["RAM$c:alice","RAM$c:carol"]}`).status, 200)
	for _, name := range []string{"RAM$c:Alice", "RAM$c:bob"} {
		if err := c.server.KillUser(name); err != nil {
			t.Fatal(err)
		}
	}
	got := c.listUsers()
	want(t, "members", got.status != 404 && got.status >= 400 && strings.Contains(got.body, "baseId and tenantId do not match"), true)
	project := c.openAPI("ListProjectUsers", http.MethodGet, "/api/v1/projects/shop/users", "").body
	want(t, "project users", strings.Contains(project, `"data":{"users":[{"name":"RAM$c:carol"}]}`), true)
	tenant := c.openAPI("ListUsers", http.MethodGet, "/api/v1/users", "").body
	want(t, "tenant users", strings.Contains(tenant, `"accountName":"c:carol"`) && strings.Contains(tenant, `"totalCount":1`), true)

	refused := c.updateUsers(`{"add":["RAM$c:dave","RAM$c:bob"],"remove":["RAM$c:carol"]}`)
	want(t, "add the dead", statusCode(refused), "400 "+codeInvalidArgument)
	want(t, "message", strings.Contains(refused.body, "Invalid account Name RAM$c:bob"), true)
	want(t, "by statement", strings.Contains(c.statement("GRANT r TO RAM$c:bob").body, "Invalid account Name RAM$c:bob"), true)
	want(t, "nothing applied", c.members(), "RAM$c:alice RAM$c:carol")
	want(t, "remove the dead", c.updateUsers(`{"remove":["RAM$C:alice"]}`).status, 200)
	want(t, "listed again", strings.Contains(c.listUsers().body, `"data":{"users":[{"name":"RAM$c:carol"}]}`), true)

	if err := c.server.ReviveUser("RAM$c:bob"); err != nil {
		t.Fatal(err)
	}
	want(t, "revived", c.updateUsers(`{"add":["RAM$c:bob"]}`).status, 200)
	c.wantNoViolations()
}

func TestUpdateUsersToRoleIsAtomic(t *testing.T) {
	tests := map[string]struct{ body, message string }{
		"no provider":         {`{"add":["RAM$c:new","bob"],"remove":["RAM$c:old"]}`, "lack of account provider, principalName bob"},
		"another provider":    {`{"add":["RAM$c:new","ALIYUN-SUB$x"],"remove":["RAM$c:old"]}`, "Invalid account Name ALIYUN-SUB$x"},
		"an unknown user":     {`{"add":["RAM$c:new","RAM$c:stranger"],"remove":["RAM$c:old"]}`, "Invalid account Name RAM$c:stranger"},
		"a bad name to leave": {`{"add":["RAM$c:new"],"remove":["RAM$c:old","v4_9"]}`, "lack of account provider, principalName v4_9"},
		"no strings":          {`{"add":["RAM$c:new",7],"remove":["RAM$c:old"]}`, "field 'add' is not a string"},
		"an unknown field":    {`{"add":["RAM$c:new"],"delete":[]}`, "unknown or repeated field 'delete'"},
		"no role":             {`{"add":["RAM$c:new"]}`, "the role 'r' does not exist"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{Projects: []Project{{Name: testProject, Strict: true, Users: []string{"RAM$c:old", "RAM$c:new"}}}})
			if name != "no role" {
				c.createRole("r")
				if err := c.server.AddMembers(testProject, "r", "RAM$c:old"); err != nil {
					t.Fatal(err)
				}
			}
			before := c.members()
			got := c.updateUsers(tc.body)
			want(t, "message", strings.Contains(got.body, tc.message), true)
			want(t, "members", c.members(), before)
			want(t, "applied", applied(c.server), 0)
		})
	}
}

func TestRawMembers(t *testing.T) {
	c := newClient(t, Options{})
	c.createRole("r")
	want(t, "add", c.updateUsers(`{"add":["RAM$c:alice"]}`).status, 200)
	for _, name := range []string{"v4_123456", "ALIYUN-SUB$x", "RAM$C:Bob", "v4_123456"} {
		if err := c.server.AddRawMember(testProject, "r", name); err != nil {
			t.Fatal(err)
		}
	}
	list := c.listUsers().body
	want(t, "as they are", strings.Contains(list, `"users":[{"name":"ALIYUN-SUB$x"},{"name":"RAM$C:Bob"},{"name":"RAM$c:alice"},{"name":"v4_123456"}]`), true)
	want(t, "never added", c.updateUsers(`{"add":["v4_123456"]}`).code(), codeInvalidArgument)
	want(t, "delete while held", c.openAPI("DeleteRole", http.MethodDelete, testPath+"/r", "").code(), codeRoleInUse)
	want(t, "remove", c.updateUsers(`{"remove":["v4_123456","ALIYUN-SUB$x","RAM$C:Bob"]}`).status, 200)
	want(t, "left", c.members(), "RAM$c:alice")
	want(t, "unknown role", c.server.AddRawMember(testProject, "nobody", "v4_1") == nil, false)
	c.wantNoViolations()
}

func TestGivingSeveralRolesIsAtomic(t *testing.T) {
	c := newClient(t, Options{})
	c.server.AddIdentity(Identity{AccessKeyID: "FAKE2", AccessKeySecret: "s"})
	c.key, c.secret = "FAKE2", "s"
	c.createRole("r")
	want(t, "refused", c.statement("GRANT r,super_administrator TO RAM$c:u").code(), codeAccessDenied)
	want(t, "missing role", c.statement("GRANT r,s TO RAM$c:u").code(), codeNoSuchObject)
	want(t, "nothing done", c.members(), "")
}

func TestStaleMembers(t *testing.T) {
	c := newClient(t, Options{})
	c.createRole("r")
	want(t, "add", c.updateUsers(`{"add":["RAM$c:alice"]}`).status, 200)
	want(t, "swap", c.updateUsers(`{"add":["RAM$c:bob"],"remove":["RAM$c:alice"]}`).status, 200)
	c.server.Inject(Fault{Kind: FaultStaleRead, Action: "ListUsersByRole", StaleWrites: 1, Times: 1})
	want(t, "stale", strings.Contains(c.listUsers().body, `[{"name":"RAM$c:alice"}]`), true)
	want(t, "fresh", strings.Contains(c.listUsers().body, `[{"name":"RAM$c:bob"}]`), true)
}

func TestAccountNames(t *testing.T) {
	tests := map[AccountNames]string{
		"":                "ops@example.com c:alice c:role/etl",
		AccountNamesOwner: "ops@example.com c:alice c:role/etl",
		AccountNamesBare:  "ops@example.com alice role/etl",
		AccountNamesFull:  "ops@example.com RAM$c:alice RAM$c:role/etl",
	}
	for names, wanted := range tests {
		t.Run(string(names), func(t *testing.T) {
			c := newClient(t, Options{AccountNames: names})
			for _, principal := range []string{"ALIYUN$ops@example.com", "RAM$c:alice", "RAM$c:role/etl"} {
				if err := c.server.AddUser(User{Principal: principal}); err != nil {
					t.Fatal(err)
				}
			}
			body := c.openAPI("ListUsers", http.MethodGet, "/api/v1/users", "").body
			var got []string
			for _, part := range strings.Split(body, `"accountName":"`)[1:] {
				name, _, _ := strings.Cut(part, `"`)
				got = append(got, name)
			}
			want(t, "names", strings.Join(got, " "), wanted)
		})
	}
}
