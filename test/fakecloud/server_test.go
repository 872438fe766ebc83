package fakecloud

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

func timeoutContext(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

func TestJournal(t *testing.T) {
	at := time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC)
	c := newClient(t, Options{Clock: func() time.Time { return at }})
	c.openAPI("CreateRole", http.MethodPost, testPath, `{"name":"R","acl":{"table":[{"name":"t","actions":["Select"]}]}}`)
	c.statement("GRANT Select, Alter ON TABLE T TO ROLE r")
	c.statement("GRANT Alter ON TABLE t TO ROLE r")
	c.openAPI("UpdateUsersToRole", http.MethodPut, testPath+"/r/users", `{"add":["RAM$c:u"]}`)
	c.statement("REVOKE r FROM USER RAM$c:u")
	c.statement("REVOKE All ON TABLE t FROM ROLE r")
	c.getACL()
	c.statement("DROP ROLE nobody")
	c.openAPI("DeleteRole", http.MethodDelete, testPath+"/r", "")

	var got []string
	for _, e := range c.server.Journal() {
		line := fmt.Sprintf("%d %s %s %s/%s", e.Seq, e.Service, e.Action, e.Project, e.Role)
		if e.Write {
			line += " write"
		}
		if e.Applied {
			line += " applied"
		}
		line += fmt.Sprintf(" %d %s", e.Status, e.Code)
		for _, ch := range e.Changes {
			line += "|" + strings.TrimSpace(fmt.Sprintln(ch.Change, ch.Role, ch.Kind, ch.Name, ch.Actions, ch.Principal))
		}
		got = append(got, line)
		want(t, "time", e.Time, at)
	}
	want(t, "journal", strings.Join(got, "\n"), strings.Join([]string{
		"1 maxcompute CreateRole shop/r write applied 200 |createRole r   []|grant r table t [select]",
		"2 odps Statement shop/r write applied 200 |grant r table t [alter]",
		"3 odps Statement shop/r write applied 200 ",
		"4 maxcompute UpdateUsersToRole shop/r write applied 200 |addMember r   [] RAM$c:u",
		"5 odps Statement shop/r write applied 200 |removeMember r   [] RAM$c:u",
		"6 odps Statement shop/r write applied 200 |revoke r table t [alter select]",
		"7 maxcompute GetRoleAcl shop/r 200 ",
		"8 odps Statement shop/nobody write 404 NoSuchObject",
		"9 maxcompute DeleteRole shop/r write applied 200 |dropRole r   []",
	}, "\n"))
	want(t, "writes", len(c.server.Writes()), 8)
	want(t, "count", c.server.Count("Statement"), 5)
	c.server.ResetJournal()
	c.statement("LIST ROLES")
	want(t, "numbers go on", c.server.Journal()[0].Seq, 10)
	want(t, "last", c.server.LastSeq(), 10)
}

// barrier is a request body that tells when the server reads it, and waits.
type barrier struct{ arrived, release chan struct{} }

func (b barrier) Read([]byte) (int, error) {
	b.arrived <- struct{}{}
	<-b.release
	return 0, io.EOF
}

func TestMaxInFlight(t *testing.T) {
	const calls = 7
	c := newClient(t, Options{})
	b := barrier{make(chan struct{}), make(chan struct{})}
	var wg sync.WaitGroup
	for range calls {
		req := c.request("ListRoles", http.MethodGet, testPath, "")
		req.Body = io.NopCloser(b)
		c.signACS3(req, "")
		wg.Go(func() { c.server.ServeHTTP(httptest.NewRecorder(), req) })
	}
	for range calls {
		<-b.arrived
	}
	close(b.release)
	wg.Wait()
	want(t, "high-water mark", c.server.MaxInFlight(), calls)
	want(t, "calls", c.server.Count("ListRoles"), calls)
}

func TestConcurrentGrantsAreJournaledInTheOrderTheyHappened(t *testing.T) {
	c := newClient(t, Options{})
	c.createRole("r")
	const grants = 50
	var wg sync.WaitGroup
	for i := range grants {
		verb, to := "GRANT", "TO"
		if i%3 == 2 {
			verb, to = "REVOKE", "FROM"
		}
		req := c.signODPS(c.statementRequest(testProject, fmt.Sprintf("%s Select ON TABLE t%d %s ROLE r", verb, i%5, to), ""))
		wg.Go(func() { c.server.ServeHTTP(httptest.NewRecorder(), req) })
	}
	wg.Wait()
	want(t, "calls", len(c.server.Writes()), grants)
	want(t, "replayed", replay(c.server.Journal()), c.grants())
}

// replay rebuilds the grants of the only role from the changes.
func replay(entries []Entry) string {
	var acl []Grant
	for _, e := range entries {
		for _, ch := range e.Changes {
			g := Grant{Kind: ch.Kind, SchemaName: ch.SchemaName, Name: ch.Name, Actions: ch.Actions}
			if ch.Change == ChangeGrant {
				acl, _ = merge(acl, g)
				continue
			}
			acl, _ = remove(acl, g)
		}
	}
	return spellGrants(acl)
}

func TestAdmin(t *testing.T) {
	c := newClient(t, Options{})
	call := func(method, target, body string) (int, string) {
		rec := httptest.NewRecorder()
		c.server.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, "/_admin/"+target, strings.NewReader(body)))
		return rec.Code, rec.Body.String()
	}
	for _, step := range []struct {
		method, target, body string
		status               int
	}{
		{"POST", "projects", `{"name":"Extra","threeTier":true,"users":["RAM$c:u"]}`, 200},
		{"POST", "projects", `{"nam":"x"}`, 400},
		{"POST", "projects", `{"name":"x","users":["u"]}`, 400},
		{"POST", "roles", `{"project":"extra","name":"r","type":"resource"}`, 200},
		{"POST", "roles", `{"project":"extra","name":"r"}`, 400},
		{"POST", "roles", `{"project":"extra","name":"old"}`, 200},
		{"DELETE", "roles/extra/old", ``, 200},
		{"POST", "grant", `{"project":"extra","role":"r","kind":"table","schemaName":"s","name":"T","actions":["Select","Alter"]}`, 200},
		{"POST", "revoke", `{"project":"extra","role":"r","kind":"table","schemaName":"s","name":"T","actions":["Alter"]}`, 200},
		{"POST", "members", `{"project":"extra","role":"r","add":["RAM$c:u"]}`, 200},
		{"POST", "objects", `{"project":"extra","kind":"table","name":"o"}`, 200},
		{"POST", "objects/drop", `{"project":"extra","kind":"view","name":"o"}`, 400},
		{"POST", "users/kill", `{"principal":"RAM$c:u"}`, 200},
		{"POST", "faults", `{"kind":"latency","latency":"1ms","action":"Nothing"}`, 200},
		{"POST", "faults", `{"kind":"latency","latency":"soon"}`, 400},
		{"POST", "faults", `{"kind":"nonsense"}`, 400},
		{"POST", "limits", `{"accessKeyID":"k","qps":1,"burst":1}`, 200},
		{"POST", "deny", `{"accessKeyID":"nobody"}`, 400},
		{"POST", "members/raw", `{"project":"extra","role":"r","name":"v4_7"}`, 200},
		{"POST", "policies", `{"project":"extra","role":"r","policy":"{\"Version\":\"1\",\"Statement\":[]}"}`, 200},
		{"POST", "policies", `{"project":"extra","role":"r","policy":"{}"}`, 400},
		{"POST", "policies/echo", `{"echo":"canonical"}`, 200},
		{"POST", "policies/echo", `{"echo":"sticky","project":"extra"}`, 200},
		{"POST", "policies/echo", `{"echo":"loud"}`, 400},
		{"POST", "users/kill", `{"principal":"RAM$c:v"}`, 200},
		{"POST", "users/revive", `{"principal":"RAM$c:v"}`, 200},
		{"POST", "users/names", `{"names":"full"}`, 200},
		{"POST", "users/names", `{"names":"short"}`, 400},
		{"POST", "identities", `{"accessKeyID":"FAKE2","accessKeySecret":"s","superAdministrator":true}`, 200},
		{"POST", "identities", `{"accessKeyID":"FAKE2","superAdministrator":false}`, 200},
		{"POST", "identities", `{"accessKeyID":"nobody","superAdministrator":true}`, 400},
		{"POST", "ramRoles", `{"arn":"` + operatorARN + `","trustedAccessKeys":["FAKE2"],"maxDuration":"2h","oidc":{"providerArn":"p","audience":"a","subjects":["s"]}}`, 200},
		{"POST", "ramRoles", `{"arn":"` + operatorARN + `","maxDuration":"long"}`, 400},
		{"POST", "ramRoles", `{"arn":"operator"}`, 400},
		{"POST", "sessions/expire", ``, 200},
		{"GET", "sessions", ``, 200},
		{"POST", "limits", `{"accessKeyID":"w","window":5,"code":"Throttling.Api","status":503,"retryAfter":"1"}`, 200},
		{"POST", "limits", `{"accessKeyID":"w"}`, 200},
		{"POST", "limits", `{"accessKeyID":"w","window":5,"code":"Slow"}`, 400},
		{"POST", "deny", `{"accessKeyID":"` + operatorARN + `","action":"GRANT"}`, 200},
		{"POST", "deny", `{"accessKeyID":"FAKE2","project":"Extra","denied":"4002"}`, 200},
		{"POST", "deny", `{"accessKeyID":"FAKE2","action":"Dance"}`, 400},
		{"POST", "deny", `{"accessKeyID":"FAKE2","action":"GRANT","project":"extra"}`, 400},
		{"POST", "allow", `{"accessKeyID":"FAKE2"}`, 200},
		{"POST", "arrears", `{"on":true}`, 200},
		{"POST", "arrears", `{"on":false}`, 200},
		{"POST", "clock", `{"shift":"-1m"}`, 200},
		{"POST", "clock", `{"shift":"late"}`, 400},
		{"POST", "clock", `{"shift":"1m"}`, 200},
		{"GET", "nothing", ``, 404},
	} {
		status, body := call(step.method, step.target, step.body)
		if status != step.status {
			t.Errorf("%s %s %s: %d %s", step.method, step.target, step.body, status, body)
		}
	}
	_, state := call("GET", "state", "")
	_, again := call("GET", "state", "")
	want(t, "stable", state, again)
	want(t, "no secret", strings.Contains(state, DefaultAccessKeySecret), false)
	var got State
	if err := json.Unmarshal([]byte(state), &got); err != nil {
		t.Fatal(err)
	}
	r := got.Projects[0].Roles[1]
	want(t, "role", r.Name+" "+spellGrants(r.Grants)+" "+strings.Join(r.Members, ","), "r table s.t: select RAM$c:u,v4_7")
	want(t, "policy", r.Policy, `{"Version":"1","Statement":[]}`)
	want(t, "echo", got.PolicyEcho+" "+got.Projects[0].PolicyEcho, "canonical sticky")
	want(t, "RAM role", fmt.Sprint(got.RAMRoles[0].Arn, got.RAMRoles[0].MaxDuration, got.RAMRoles[0].DeniedActions), operatorARN+"2h0m0smap[GRANT:4019]")
	want(t, "identity", fmt.Sprint(got.Identities[0].AccessKeyID, got.Identities[0].SuperAdministrator, got.Identities[0].DeniedProjects), "FAKE2false map[]")
	want(t, "dead", got.Users[0].Dead, true)

	_, faults := call("GET", "faults", "")
	want(t, "faults", strings.Contains(faults, `"latency": "1ms"`) && strings.Contains(faults, `"matched": 0`), true)
	_, journal := call("GET", "journal", "")
	want(t, "nothing in the journal", journal, "[]\n")

	c.createRole("r")
	c.getACL()
	c.statement(grantText)
	_, journal = call("GET", "journal?since=1&write=true", "")
	var entries []Entry
	if err := json.Unmarshal([]byte(journal), &entries); err != nil {
		t.Fatal(err)
	}
	want(t, "entries", len(entries), 1)
	want(t, "statement", entries[0].Statement, grantText)
	_, stats := call("GET", "stats", "")
	var flat bytes.Buffer
	if err := json.Compact(&flat, []byte(stats)); err != nil {
		t.Fatal(err)
	}
	want(t, "stats", flat.String(), `{"calls":{"GetRoleAcl":1,"Statement":1},"refused":{"k":0},"accepted":{"k":0},"maxInFlight":1,"violations":0}`)
	c.wantNoViolations()
}

func TestListingManyRolesIsCheap(t *testing.T) {
	c := newClient(t, Options{})
	for i := range 20000 {
		c.createRole(fmt.Sprintf("r%d", i))
	}
	req := func() *http.Request { return c.signACS3(c.request("ListRoles", http.MethodGet, testPath, ""), "") }
	want(t, "status", c.send(req()).status, 200)
	// The second answer comes from what the first one rendered: a handful of allocations, not one
	// per role.
	allocs := testing.AllocsPerRun(1, func() { c.server.ServeHTTP(discard{}, req()) })
	if allocs > 2000 {
		t.Errorf("%v allocations", allocs)
	}
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
