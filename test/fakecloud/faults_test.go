package fakecloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const grantText = "GRANT Select ON TABLE t TO ROLE r"

func (c *client) getACL() response {
	return c.openAPI("GetRoleAcl", http.MethodGet, testPath+"/r/roleAcl", "")
}

func TestRefusingFaults(t *testing.T) {
	tests := map[string]struct {
		fault         Fault
		openAPI, odps string
	}{
		"throttle":            {Fault{Kind: FaultThrottle}, "429 Throttling.User", "429 Throttling"},
		"throttle, spelled":   {Fault{Kind: FaultThrottle, Status: 503, Code: "ServiceUnavailable"}, "503 ServiceUnavailable", "503 ServiceUnavailable"},
		"server error":        {Fault{Kind: FaultServerError}, "500 InternalError", "500 InternalError"},
		"bare server error":   {Fault{Kind: FaultServerError, Status: 503, Code: "-"}, "503 ", "503 "},
		"access denied":       {Fault{Kind: FaultAccessDenied}, "403 ODPS-0420095", "403 ODPS-0420095"},
		"any error":           {Fault{Kind: FaultError, Status: 418, Code: "Teapot", Message: "short"}, "418 Teapot", "418 Teapot"},
		"html 502":            {Fault{Kind: FaultHTML502}, "502 ", "502 "},
		"wrong endpoint":      {Fault{Kind: FaultWrongEndpoint}, "404 ", "404 "},
		"wrong endpoint json": {Fault{Kind: FaultWrongEndpoint, Body: BodyJSON}, "404 ", "404 "},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			c.createRole("r")
			tc.fault.Name = "mine"
			c.server.Inject(tc.fault)
			want(t, "openapi", statusCode(c.getACL()), tc.openAPI)
			want(t, "odps", statusCode(c.statement(grantText)), tc.odps)
			want(t, "grants", c.grants(), "")
			for _, e := range c.server.Journal() {
				want(t, "fault in the journal", e.Fault, "mine")
				want(t, "applied", e.Applied, false)
			}
			c.server.ClearFaults()
			want(t, "afterwards", c.statement(grantText).status, 200)
		})
	}
}

func statusCode(r response) string { return fmt.Sprint(r.status, " ", r.code()) }

func TestFaultPages(t *testing.T) {
	c := newClient(t, Options{})
	c.createRole("r")
	c.server.Inject(Fault{Kind: FaultHTML502, Times: 1})
	c.server.Inject(Fault{Kind: FaultWrongEndpoint, Times: 1, Body: BodyJSON})
	c.server.Inject(Fault{Kind: FaultThrottle, Times: 1, RetryAfter: "7"})
	page := c.getACL()
	want(t, "html", page.header.Get("Content-Type"), "text/html")
	want(t, "nginx", strings.Contains(page.body, "502 Bad Gateway"), true)
	want(t, "json without a code", c.getACL().body, `{"message":"no route matched with those values"}`)
	want(t, "retry after", c.getACL().header.Get("Retry-After"), "7")
	want(t, "spent", c.getACL().status, 200)
}

func TestErrorInsideSuccess(t *testing.T) {
	c := newClient(t, Options{})
	c.createRole("r")
	c.server.Inject(Fault{Kind: FaultErrorInside, Status: 400, Code: "ODPS-1", Message: "no", Times: 2})
	got := c.openAPI("DeleteRole", http.MethodDelete, testPath+"/r", "")
	want(t, "status", got.status, 200)
	want(t, "body", got.body, `{"requestId":"FA4E0000-0000-4000-8000-000000000001","httpCode":400,"errorCode":"ODPS-1","errorMsg":"no"}`)
	want(t, "nothing done", c.server.RoleExists(testProject, "r"), true)
	odps := c.statement(grantText)
	want(t, "odps", statusCode(odps), "200 ODPS-1")
}

func TestGarbledReplies(t *testing.T) {
	c := newClient(t, Options{})
	c.createRole("r")
	c.server.Inject(Fault{Kind: FaultGarbled, Times: 2})
	want(t, "truncated json", json.Valid([]byte(c.getACL().body)), false)
	want(t, "truncated xml", strings.Contains(c.statement(grantText).body, "</Authorization>"), false)
	want(t, "the write landed", c.grants(), "table default.t: select")

	c.server.ClearFaults()
	c.server.Inject(Fault{Kind: FaultGarbled, Body: BodyWrongKind})
	want(t, "string for an object", strings.Contains(c.getACL().body, `"data":"job-42"`), true)
	deleted := c.openAPI("DeleteRole", http.MethodDelete, testPath+"/r", "")
	want(t, "list for a string", strings.Contains(deleted.body, `"data":["job-42"]`), true)
	want(t, "the delete landed", c.server.RoleExists(testProject, "r"), false)
	want(t, "other xml", strings.Contains(c.statement("LIST ROLES").body, "<Unexpected>"), true)
}

func TestLostReplies(t *testing.T) {
	c := newClient(t, Options{})
	c.connect()
	c.createRole("r")
	c.server.Inject(Fault{Kind: FaultDropBefore, Times: 1})
	want(t, "lost before", errors.Is(c.statement(grantText).err, io.EOF), true)
	want(t, "nothing done", c.grants(), "")
	c.server.Inject(Fault{Kind: FaultDropAfter, Times: 1})
	want(t, "lost after", errors.Is(c.statement(grantText).err, io.EOF), true)
	want(t, "done", c.grants(), "table default.t: select")
	want(t, "answered", c.statement(grantText).status, 200)

	var got []string
	for _, e := range c.server.Writes() {
		got = append(got, e.Fault+" "+map[bool]string{true: "applied", false: "not"}[e.Applied])
	}
	want(t, "journal", strings.Join(got, "; "), "dropBefore not; dropAfter applied;  applied")
}

func TestTimeoutEndsWithTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Options{})
		c.server.Inject(Fault{Kind: FaultTimeout})
		req := c.signODPS(c.statementRequest(testProject, "LIST ROLES", ""))
		ctx, cancel := timeoutContext(t, time.Minute)
		defer cancel()
		start := time.Now()
		done := make(chan any)
		go func() {
			defer func() { done <- recover() }()
			c.server.ServeHTTP(httptest.NewRecorder(), req.WithContext(ctx))
		}()
		want(t, "aborted", <-done, http.ErrAbortHandler)
		want(t, "waited", time.Since(start), time.Minute)
		want(t, "status", c.server.Journal()[0].Status, 0)
	})
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Options{Latency: 20 * time.Millisecond})
		c.createRole("r")
		c.server.Inject(Fault{Kind: FaultLatency, Latency: time.Second, Action: "GetRoleAcl", Times: 1})
		c.server.Inject(Fault{Kind: FaultLatency, Latency: time.Minute, Action: "GetRoleAcl", Times: 1})
		took := func() time.Duration {
			start := time.Now()
			want(t, "status", c.getACL().status, 200)
			return time.Since(start)
		}
		want(t, "delays add up", took(), time.Minute+time.Second+20*time.Millisecond)
		want(t, "the default stays", took(), 20*time.Millisecond)
		c.server.SetLatency(0)
		want(t, "none", took(), time.Duration(0))
	})
}

func TestAClientThatLeavesDuringTheLatencyChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, Options{Latency: time.Minute})
		c.createRole("r")
		ctx, cancel := timeoutContext(t, time.Second)
		defer cancel()
		req := c.signODPS(c.statementRequest(testProject, grantText, ""))
		c.server.ServeHTTP(httptest.NewRecorder(), req.WithContext(ctx))
		want(t, "grants", c.grants(), "")
		want(t, "applied", c.server.Journal()[0].Applied, false)
	})
}

func TestMatching(t *testing.T) {
	tests := map[string]struct {
		fault Fault
		hit   string
	}{
		"everything":      {Fault{}, "read write statement poll"},
		"service":         {Fault{Service: "odps"}, "statement poll"},
		"action":          {Fault{Action: "DeleteRole"}, "write"},
		"project":         {Fault{Project: "SHOP"}, "read write statement poll"},
		"other project":   {Fault{Project: "other"}, ""},
		"role":            {Fault{Role: "R"}, "read write statement"},
		"statement":       {Fault{Statement: "on table T"}, "statement"},
		"reads":           {Fault{Only: "reads"}, "read poll"},
		"writes":          {Fault{Only: "writes"}, "write statement"},
		"key":             {Fault{AccessKeyID: DefaultAccessKeyID}, "read write statement poll"},
		"other key":       {Fault{AccessKeyID: "x"}, ""},
		"after":           {Fault{After: 2}, "statement poll"},
		"times":           {Fault{Times: 2}, "read write"},
		"after and times": {Fault{After: 1, Times: 2}, "write statement"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			c.createRole("r")
			tc.fault.Kind, tc.fault.Status = FaultError, 418
			c.server.Inject(tc.fault)
			var hit []string
			for _, call := range []struct {
				name string
				res  response
			}{
				{"read", c.getACL()},
				{"write", c.openAPI("DeleteRole", http.MethodDelete, testPath+"/r", "")},
				{"statement", c.statement(grantText)},
				{"poll", c.poll("x")},
			} {
				if call.res.status == 418 {
					hit = append(hit, call.name)
				}
			}
			want(t, "hit", strings.Join(hit, " "), tc.hit)
			want(t, "hits counted", c.server.Faults()[0].Hits, len(hit))
		})
	}
}

func TestTheFirstInjectedFaultWins(t *testing.T) {
	c := newClient(t, Options{})
	c.createRole("r")
	c.server.Inject(Fault{Kind: FaultError, Status: 418, Times: 1})
	c.server.Inject(Fault{Kind: FaultError, Status: 420, Times: 1})
	want(t, "first", c.getACL().status, 418)
	want(t, "second", c.getACL().status, 420)
	want(t, "then", c.getACL().status, 200)
}

func TestStaleReads(t *testing.T) {
	tables := func(r response) string {
		var names []string
		for part := range strings.SplitSeq(r.body, `"name":"`) {
			if name, _, ok := strings.Cut(part, `","schemaName`); ok {
				names = append(names, name)
			}
		}
		return strings.Join(names, ",")
	}
	tests := map[string]struct {
		fault Fault
		reads string
	}{
		"before the last write":        {Fault{StaleWrites: 1, Times: 2}, "a,b|a,b|a,b,c"},
		"before the last two":          {Fault{StaleWrites: 2, Times: 1}, "a|a,b,c|a,b,c"},
		"before more than there were":  {Fault{StaleWrites: 9, Times: 1, Role: "r"}, "404|a,b,c|a,b,c"},
		"before a given entry":         {Fault{StaleBeforeSeq: 2, Times: 1}, "a|a,b,c|a,b,c"},
		"only where something changed": {Fault{Times: 1}, "a,b,c|a,b,c|a,b,c"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			c.createRole("r")
			for _, table := range []string{"a", "b", "c"} {
				want(t, "grant", c.statement("GRANT Select ON TABLE "+table+" TO ROLE r").status, 200)
			}
			tc.fault.Kind = FaultStaleRead
			c.server.Inject(tc.fault)
			var got []string
			for range 3 {
				res := c.getACL()
				if res.status != 200 {
					got = append(got, "404")
					continue
				}
				got = append(got, tables(res))
			}
			want(t, "reads", strings.Join(got, "|"), tc.reads)
			want(t, "the truth", c.grants(), "table default.a: select; table default.b: select; table default.c: select")
		})
	}
}

func TestStaleReadsSinceTheInjection(t *testing.T) {
	c := newClient(t, Options{})
	c.createRole("r")
	c.createRole("gone")
	c.server.Inject(Fault{Kind: FaultStaleRead, Times: 3})
	want(t, "fresh", c.getACL().status, 200)
	want(t, "drop", c.statement("DROP ROLE gone").status, 200)
	want(t, "other role is fresh", c.getACL().status, 200)
	want(t, "create", c.statement("CREATE ROLE new").status, 200)
	want(t, "grant", c.statement(grantText).status, 200)
	want(t, "list", listed(c, testProject), "admin gone r super_administrator")
	want(t, "dropped role", c.openAPI("GetRoleAcl", http.MethodGet, testPath+"/gone/roleAcl", "").status, 200)
	want(t, "new role", c.statement("DESC ROLE new").code(), codeNoSuchObject)
	want(t, "fresh again", listed(c, testProject), "admin new r:t super_administrator")
}

func TestAsynchronousStatements(t *testing.T) {
	c := newClient(t, Options{})
	c.createRole("r")
	c.server.Inject(Fault{Kind: FaultAsync, Polls: 2, Times: 1, Status: 202})
	got := c.statement(grantText)
	want(t, "status", got.status, 202)
	id := got.result()
	want(t, "not yet", c.server.Journal()[0].Applied, false)
	want(t, "running", c.poll(id).result(), "RUNNING ")
	want(t, "not yet", c.grants(), "")
	want(t, "ended", c.poll(id).result(), "TERMINATED ")
	want(t, "done", c.grants(), "table default.t: select")
	want(t, "polled again", c.poll(id).result(), "TERMINATED ")
	entries := c.server.Journal()
	want(t, "changes", len(entries[2].Changes), 1)
	want(t, "role of the poll", entries[2].Role, "r")

	c.server.Inject(Fault{Kind: FaultAsync, Times: 1, Outcome: "FAILED", Message: "quota"})
	failed := c.statement("DROP ROLE r").result()
	want(t, "failed", c.poll(failed).result(), "FAILED quota")
	want(t, "kept", c.server.RoleExists(testProject, "r"), true)

	c.server.Inject(Fault{Kind: FaultAsync, Times: 1})
	refused := c.statement("DROP ROLE nobody").result()
	want(t, "refused", c.poll(refused).result(), "FAILED NoSuchObject: the role 'nobody' does not exist")
	want(t, "unknown instance", c.poll("x").code(), codeNoSuchObject)
}

func TestLimitQPS(t *testing.T) {
	now := time.Now()
	c := newClient(t, Options{Clock: func() time.Time { return now }})
	c.createRole("r")
	c.server.LimitQPS(c.key, 2, 2)
	codes := func() string {
		var out []string
		for range 3 {
			out = append(out, statusCode(c.getACL()))
		}
		return strings.Join(out, ",")
	}
	want(t, "burst", codes(), "200 ,200 ,429 Throttling.User")
	now = now.Add(500 * time.Millisecond)
	want(t, "refilled by one", codes(), "200 ,429 Throttling.User,429 Throttling.User")
	want(t, "refused", c.server.Refused(c.key), 3)
	c.server.LimitQPS(c.key, 0, 0)
	want(t, "lifted", codes(), "200 ,200 ,200 ")
}

func TestInvalidFaults(t *testing.T) {
	for name, f := range map[string]Fault{
		"no kind":            {},
		"error without code": {Kind: FaultError},
		"no latency":         {Kind: FaultLatency},
		"only":               {Kind: FaultHTML502, Only: "all"},
		"body":               {Kind: FaultGarbled, Body: "x"},
		"outcome":            {Kind: FaultAsync, Outcome: "DONE"},
	} {
		if f.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
