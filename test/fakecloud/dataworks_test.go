package fakecloud

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// orderTime is when the tests of permission requests begin.
var orderTime = time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC)

const (
	aliceID = "267842600408993176"
	bobID   = "267842600408993177"
	zoeID   = "182293110499999999"
)

func TestDataWorksRequestsThatNoCorrectClientSends(t *testing.T) {
	query := func(action string, params url.Values) func(*client) response {
		return func(c *client) response { return c.dataWorks(action, params) }
	}
	old := func(others map[string]string) func(*client) response {
		return query("CreatePermissionApplyOrder", oldOrder(others))
	}
	content := func(others map[string]any) func(*client) response {
		return func(c *client) response { return c.createNew("", newContent(others)) }
	}
	list := func(others map[string]string) func(*client) response {
		return query("ListMyApplications", listNew(others))
	}
	tests := map[string]func(*client) response{
		"to approve an order":      query("ApprovePermissionApplyOrder", url.Values{"FlowId": {"x"}, "ApproveAction": {"1"}, "ApproveComment": {"ok"}}),
		"to approve a process":     query("ApproveProcessInstance", url.Values{"ProcessInstanceId": {"x"}, "ApprovalAction": {"Agree"}, "ApprovalComment": {"ok"}}),
		"an action":                query("RevokeColumnPermission", nil),
		"no action":                query("", nil),
		"a parameter":              old(map[string]string{"ClientToken": "t"}),
		"a common parameter":       old(map[string]string{"Action": "CreatePermissionApplyOrder"}),
		"a repeated parameter":     query("GetPermissionApplyOrderDetail", url.Values{"FlowId": {"a", "b"}}),
		"a malformed name":         old(map[string]string{"A b": "1"}),
		"a list that is none":      old(map[string]string{"ApplyReason.1": "x"}),
		"a list from zero":         old(map[string]string{"ApplyObject.0.Name": "x"}),
		"a list with a gap":        old(map[string]string{"ApplyObject.3.Name": "x"}),
		"a number with a zero":     old(map[string]string{"ApplyObject.01.Name": "x"}),
		"a list without numbers":   old(map[string]string{"ApplyObject.Name": "x"}),
		"a member":                 old(map[string]string{"ApplyObject.1.Schema": "x"}),
		"a member of a text":       old(map[string]string{"ApplyObject.1.Name.1": "x"}),
		"a member of a column":     old(map[string]string{"ApplyObject.1.ColumnMetaList.1.Type": "x"}),
		"a column without members": old(map[string]string{"ApplyObject.1.ColumnMetaList.4": "x"}),
		"an order as a list":       query("ListPermissionApplyOrders", url.Values{"QueryType": {"0"}, "FlowId": {"x"}}),
		"a grantee to look for":    list(map[string]string{"Grantee": "{}"}),
		"types that are no list":   list(map[string]string{"ResourceType": "table"}),
		"statuses that are none":   list(map[string]string{"Statuses": "Deleted"}),
		"a resource that is none":  list(map[string]string{"Resource": "Orders"}),
		"a member of a resource":   list(map[string]string{"Resource": `{"Name":"x"}`}),
		"a path that is none":      list(map[string]string{"Resource": `{"MetaData":{"name":"x"}}`}),
		"a number in a path":       list(map[string]string{"Resource": `{"MetaData":{"table":1}}`}),
		"another kind of resource": list(map[string]string{"DefSchema": "HOLOGRES"}),
		"contents that are none":   query("ApplyResourceAccessPermission", url.Values{"Reason": {"r"}, "ApplyContents": {"{}"}}),
		"a content that is none":   query("ApplyResourceAccessPermission", url.Values{"Reason": {"r"}, "ApplyContents": {"[1]"}}),
		"an unknown member":        content(map[string]any{"Columns": []string{}}),
		"access that is no list":   content(map[string]any{"AccessTypes": "select"}),
		"an end that is a text":    content(map[string]any{"ExpirationTime": "tomorrow"}),
		"another method":           content(map[string]any{"AuthMethod": "ranger"}),
		"a grantee that is none":   content(map[string]any{"Grantee": "alice"}),
		"a grantee's type":         content(map[string]any{"Grantee": map[string]any{"PrincipalType": 1}}),
		"a grantee's number":       content(map[string]any{"Grantee": map[string]any{"PrincipalType": "RamUser", "PrincipalId": 7}}),
		"something that is none":   content(map[string]any{"Resource": "Orders"}),
		"a definition's number":    content(map[string]any{"Resource": map[string]any{"DefSchema": 1}}),
		"a version's number":       content(map[string]any{"Resource": map[string]any{"DefSchema": "MaxCompute", "DefVersion": 1}}),
		"another definition":       content(map[string]any{"Resource": map[string]any{"DefSchema": "HOLOGRES"}}),
		"no path":                  content(map[string]any{"Resource": onTable(nil), "AccessTypes": []string{"select"}}),
		"a step in the path":       content(map[string]any{"Resource": onTable(map[string]any{"database": "x"})}),
		"a number in the path":     content(map[string]any{"Resource": onTable(map[string]any{"workspace": 672230})}),
		"a GET": func(c *client) response {
			req := c.dataWorksRequest("GetPermissionApplyOrderDetail", url.Values{"FlowId": {"x"}})
			req.Method = http.MethodGet
			return c.send(c.signACS3(req, ""))
		},
		"the other version": func(c *client) response {
			req := c.dataWorksRequest("GetPermissionApplyOrderDetail", url.Values{"FlowId": {"x"}})
			req.Header.Set("x-acs-version", dataWorks2024)
			return c.send(c.signACS3(req, ""))
		},
		"another path": func(c *client) response {
			req := c.dataWorksRequest("GetPermissionApplyOrderDetail", url.Values{"FlowId": {"x"}})
			req.URL.Path = "/dataworks"
			return c.send(c.signACS3(req, ""))
		},
		"a form for the older": func(c *client) response {
			return c.dataWorksForm("GetApplicationContents", url.Values{"ProcessInstanceId": {"x"}})
		},
		"a form and a query":      func(c *client) response { return c.formAndQuery("application/x-www-form-urlencoded") },
		"a body in JSON":          func(c *client) response { return c.formAndQuery("application/json") },
		"a malformed form":        func(c *client) response { return c.rawForm("a=%zz") },
		"a malformed query":       func(c *client) response { return c.rawQuery("a=%zz") },
		"a revoke by column name": query("RevokeTablePermission", url.Values{"ColumnName": {"x"}}),
	}
	for name, send := range tests {
		t.Run(name, func(t *testing.T) {
			c := newOrders(t, Options{})
			got := send(c)
			want(t, "refused", got.status == 501 || got.status == 400, true)
			want(t, "violations", len(c.server.Violations()), 1)
			want(t, "orders", len(c.server.Orders()), 0)
		})
	}
}

func TestOnlyPeopleApprove(t *testing.T) {
	for _, action := range []string{"ApprovePermissionApplyOrder", "ApproveProcessInstance"} {
		c := newOrders(t, Options{})
		c.createOld(nil)
		c.createNew("")
		want(t, "status", c.dataWorks(action, nil).status, 501)
		want(t, "violation", c.server.Violations(), "["+action+": only a person approves]")
		want(t, "states", c.states(), strings.Join([]string{"pending", "pending"}, ", "))
	}
}

func TestDataWorksRequestsAreSigned(t *testing.T) {
	tests := map[string]struct {
		send func(*client) response
		want string
	}{
		"signed":      {func(c *client) response { return c.createOld(nil) }, "200 "},
		"signed form": {func(c *client) response { return c.dataWorksForm("ApplyResourceAccessPermission", newOrder("")) }, "200 "},
		"no signature": {func(c *client) response {
			return c.send(c.dataWorksRequest("CreatePermissionApplyOrder", oldOrder(nil)))
		}, "400 IncompleteSignature"},
		"another query": {func(c *client) response { return c.tampered() }, "400 SignatureDoesNotMatch"},
		"an unsigned action": {func(c *client) response {
			req := c.dataWorksRequest("CreatePermissionApplyOrder", oldOrder(nil))
			req.Header.Del("x-acs-action")
			c.signACS3(req, "")
			req.Header.Set("x-acs-action", "CreatePermissionApplyOrder")
			return c.send(req)
		}, "400 IncompleteSignature"},
		"a wrong secret": {func(c *client) response {
			c.secret = "wrong"
			return c.createOld(nil)
		}, "400 SignatureDoesNotMatch"},
		"an unknown key": {func(c *client) response {
			c.key = "NOBODY"
			return c.createOld(nil)
		}, "404 InvalidAccessKeyId.NotFound"},
		"a clock that is off": {func(c *client) response {
			c.now = func() time.Time { return orderTime.Add(-time.Hour) }
			return c.createOld(nil)
		}, "400 InvalidTimeStamp.Expired"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newOrders(t, Options{})
			want(t, "answer", statusCode(tc.send(c)), tc.want)
			want(t, "orders", len(c.server.Orders()) == 1, tc.want == "200 ")
			c.wantNoViolations()
		})
	}
}

func TestQueriesHaveALength(t *testing.T) {
	long := map[string]string{"ApplyReason": strings.Repeat("x", 20000)}
	c := newOrders(t, Options{})
	want(t, "too long", statusCode(c.createOld(long)), "414 "+codeQueryTooLong)
	want(t, "in a form", c.dataWorksForm("ApplyResourceAccessPermission", with(map[string]string{
		"Reason": long["ApplyReason"], "ApplyContents": string(mustJSON([]any{newContent(nil)})),
	}, nil)).status, 200)
	c.server.SetOrderStyle(OrderStyle{MaxQuery: 30000})
	want(t, "long", c.createOld(long).status, 200)
	c.server.SetOrderStyle(OrderStyle{MaxQuery: len(oldOrder(nil).Encode())})
	want(t, "to the byte", c.createOld(nil).status, 200)
	want(t, "a byte more", c.createOld(map[string]string{"ApplyReason": "report [k8s:12]"}).status, 414)
	c.wantNoViolations()
}

func TestFormOnly(t *testing.T) {
	c := newOrders(t, Options{Orders: OrderStyle{FormOnly: true}})
	want(t, "query", statusCode(c.createNew("")), "400 MissingReason")
	want(t, "form", c.dataWorksForm("ApplyResourceAccessPermission", newOrder("")).status, 200)
	want(t, "others", c.createOld(nil).status, 200)
	c.wantNoViolations()
}

func TestDataWorksJournal(t *testing.T) {
	c := newOrders(t, Options{})
	must(t, c.server.SetApprovers("shop", "cities", zoeID))
	ids := c.dataWorks("CreatePermissionApplyOrder", twoTables()).ids()
	c.detail(ids[1])
	id := c.createNew("").one(t)
	c.stop(id)
	c.stop(id)
	must(t, c.server.ApproveOrder(ids[0], Approval{}))
	c.dataWorks("RevokeTablePermission", revoke(nil))
	c.dataWorks("RevokeTablePermission", revoke(nil))
	c.dataWorks("ListMyApplications", listNew(map[string]string{"Resource": `{"MetaData":{"project":"shop"}}`}))
	var got []string
	for _, e := range c.server.Journal() {
		line := strings.TrimSpace(fmt.Sprintln(e.Service, e.Action, e.Project, fmt.Sprintf("%t/%t", e.Write, e.Applied), e.Status, e.Order, e.Orders))
		for _, ch := range e.Changes {
			line += "|" + strings.TrimSpace(fmt.Sprintln(ch.Change, ch.Order, ch.Name, ch.Actions, ch.Principal))
		}
		got = append(got, line)
	}
	want(t, "journal", strings.Join(got, "\n"), strings.Join([]string{
		"dataworks CreatePermissionApplyOrder shop true/true 200  [" + ids[0] + " " + ids[1] + "]|createOrder " + ids[0] + "  []|createOrder " + ids[1] + "  []",
		"dataworks GetPermissionApplyOrderDetail shop false/false 200 " + ids[1] + " []",
		"dataworks ApplyResourceAccessPermission shop true/true 200  [" + id + "]|createOrder " + id + "  []",
		"dataworks StopProcessInstance shop true/true 200 " + id + " []|withdrawOrder " + id + "  []",
		"dataworks StopProcessInstance shop true/false 400 " + id + " []",
		"dataworks RevokeTablePermission shop true/true 200  []|revokeTable  orders [select] RAM$corp:alice",
		"dataworks RevokeTablePermission shop true/true 200  []",
		"dataworks ListMyApplications shop false/false 200  []",
	}, "\n"))
	c.wantNoViolations()
}

func TestDataWorksFaults(t *testing.T) {
	tests := map[string]struct {
		fault  Fault
		want   string
		orders int
	}{
		"throttled":          {Fault{Kind: FaultThrottle, RetryAfter: "2"}, "429 Throttling.User", 0},
		"other spelling":     {Fault{Kind: FaultThrottle, Status: 503, Code: "Throttling.Api"}, "503 Throttling.Api", 0},
		"broken":             {Fault{Kind: FaultServerError}, "500 InternalError", 0},
		"denied":             {Fault{Kind: FaultAccessDenied}, "403 Forbidden.RAM", 0},
		"any error":          {Fault{Kind: FaultError, Status: 400, Code: "Invalid.X"}, "400 Invalid.X", 0},
		"a proxy":            {Fault{Kind: FaultHTML502}, "502 ", 0},
		"elsewhere":          {Fault{Kind: FaultWrongEndpoint, Body: BodyJSON}, "404 ", 0},
		"an error inside":    {Fault{Kind: FaultErrorInside, Code: "X"}, "200 X", 0},
		"half a reply":       {Fault{Kind: FaultGarbled}, "200 ", 1},
		"another reply":      {Fault{Kind: FaultGarbled, Body: BodyWrongKind}, "200 ", 1},
		"lost before":        {Fault{Kind: FaultDropBefore}, "0 ", 0},
		"lost after":         {Fault{Kind: FaultDropAfter}, "0 ", 1},
		"by service":         {Fault{Kind: FaultServerError, Service: "dataworks"}, "500 InternalError", 0},
		"by action":          {Fault{Kind: FaultServerError, Action: "createpermissionapplyorder"}, "500 InternalError", 0},
		"by project":         {Fault{Kind: FaultServerError, Project: "shop"}, "500 InternalError", 0},
		"by write":           {Fault{Kind: FaultServerError, Only: "writes"}, "500 InternalError", 0},
		"by another service": {Fault{Kind: FaultServerError, Service: "maxcompute"}, "200 ", 1},
		"by another action":  {Fault{Kind: FaultServerError, Action: "ApplyResourceAccessPermission"}, "200 ", 1},
		"by reads":           {Fault{Kind: FaultServerError, Only: "reads"}, "200 ", 1},
		"the second one":     {Fault{Kind: FaultServerError, After: 1}, "200 ", 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newOrders(t, Options{})
			c.connect()
			tc.fault.Times = 1
			c.server.Inject(tc.fault)
			want(t, "answer", statusCode(c.createOld(nil)), tc.want)
			want(t, "orders", len(c.server.Orders()), tc.orders)
			want(t, "made", len(c.server.Journal()[0].Orders), tc.orders)
			want(t, "applied", c.server.Journal()[0].Applied, tc.orders > 0)
			c.wantNoViolations()
		})
	}
}

func TestStaleOrders(t *testing.T) {
	c := newOrders(t, Options{})
	first, second := c.createOld(nil).one(t), c.createOld(nil).one(t)
	seq := c.server.LastSeq()
	must(t, c.server.ApproveOrder(first, Approval{}))
	third := c.createNew("").one(t)
	must(t, c.server.RejectOrder(third, "no"))
	stale := func(f Fault, read func() response) response {
		f.Kind, f.Times = FaultStaleRead, 1
		c.server.Inject(f)
		defer c.server.ClearFaults()
		return read()
	}
	status := []any{"ApplyOrderDetail", "FlowStatus"}
	want(t, "now", c.detail(first).inside(status...), 2)
	want(t, "before the change", stale(Fault{StaleWrites: 1}, func() response { return c.detail(first) }).inside(status...), 1)
	want(t, "before it was there", stale(Fault{StaleWrites: 9, StaleBeforeSeq: 1}, func() response { return c.detail(second) }).status, 404)
	want(t, "before a call", stale(Fault{StaleBeforeSeq: seq}, func() response { return c.listOld(nil) }).inside("ApplyOrders", "TotalCount"), 1)
	want(t, "nothing has changed", stale(Fault{}, func() response { return c.detail(first) }).inside(status...), 2)
	want(t, "before the rejection", stale(Fault{StaleWrites: 1}, func() response { return c.contentsOf(third) }).inside("Data", "Status"), "WaitApproval")
	want(t, "a list", stale(Fault{StaleWrites: 2}, func() response { return c.dataWorks("ListMyApplications", listNew(nil)) }).inside("Data", "Data", 0), "<nil>")
	want(t, "writes see the present", stale(Fault{StaleWrites: 1}, func() response { return c.stop(third) }).status, 400)
	c.server.Inject(Fault{Kind: FaultStaleRead, Times: 1})
	must(t, c.server.WithdrawOrder(second))
	want(t, "since the injection", c.detail(second).inside(status...), 1)
	want(t, "and after it", c.detail(second).inside(status...), 5)
	c.wantNoViolations()
}

func TestDataWorksRules(t *testing.T) {
	tests := map[string]struct {
		set  func(*Server) error
		want string
	}{
		"all":             {func(s *Server) error { return s.Deny(DefaultAccessKeyID, "") }, "403 Forbidden.RAM"},
		"another code":    {func(s *Server) error { return s.Deny(DefaultAccessKeyID, "NoPermission") }, "403 NoPermission"},
		"a sub-code":      {func(s *Server) error { return s.Deny(DefaultAccessKeyID, "4093") }, "403 Forbidden.RAM"},
		"the action":      {func(s *Server) error { return s.DenyAction(DefaultAccessKeyID, "CreatePermissionApplyOrder", "") }, "403 Forbidden.RAM"},
		"the project":     {func(s *Server) error { return s.DenyProject(DefaultAccessKeyID, "shop", "") }, "403 Forbidden.RAM"},
		"another action":  {func(s *Server) error { return s.DenyAction(DefaultAccessKeyID, "ListMyApplications", "") }, "200 "},
		"another project": {func(s *Server) error { return s.DenyProject(DefaultAccessKeyID, "mart", "") }, "200 "},
		"arrears": {func(s *Server) error {
			s.SetArrears(true)
			return nil
		}, "200 "},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newOrders(t, Options{})
			must(t, tc.set(c.server))
			want(t, "answer", statusCode(c.createOld(nil)), tc.want)
		})
	}
}

func TestLimitsOfDataWorks(t *testing.T) {
	c := newOrders(t, Options{})
	list := func() string { return statusCode(c.openAPI("ListRoles", http.MethodGet, testPath, "")) }
	detail := func() string { return statusCode(c.detail("x")) }
	const gone, throttled = "404 " + codeNoOrder, "429 Throttling.User"
	c.server.SetLimit(c.key, Limit{Service: "dataworks", Day: 2})
	for i, want := range []string{gone, gone, throttled, throttled} {
		if got := detail(); got != want {
			t.Errorf("call %d: got %s, want %s", i, got, want)
		}
	}
	want(t, "the other service", list(), "200 ")
	want(t, "accepted", c.server.Accepted("dataworks "+c.key), 2)
	want(t, "refused", c.server.Refused("dataworks "+c.key), 2)
	c.server.ShiftClock(12*time.Hour + 59*time.Minute)
	want(t, "late", detail(), throttled)
	c.server.ShiftClock(time.Minute)
	want(t, "the next day", detail(), gone)
	c.server.SetLimit(c.key, Limit{Service: "dataworks"})

	c.server.SetLimit(c.key, Limit{Service: "maxcompute", Window: 1})
	want(t, "lifted", detail(), gone)
	want(t, "one", list(), "200 ")
	want(t, "two", list(), throttled)
	want(t, "not for it", detail(), gone)
	c.server.SetLimit(c.key, Limit{Service: "maxcompute"})
	c.server.SetLimit(c.key, Limit{Window: 1})
	want(t, "for both", detail(), gone)
	want(t, "for both, used up", list(), throttled)
	for name, l := range map[string]Limit{
		"a service": {Service: "sts", QPS: 1}, "two sorts": {Window: 1, Day: 1}, "a bucket too": {Day: 1, QPS: 1}, "less than nothing": {Day: -1},
	} {
		want(t, name, l.Validate() != nil, true)
	}
}

func TestGetTableInfo(t *testing.T) {
	c := newOrders(t, Options{})
	must(t, c.server.DeclareTable("three", "ods", "T", Column{Name: "c"}))
	get := func(path string) response {
		return c.openAPI("GetTableInfo", http.MethodGet, "/api/v1/projects/"+path, "")
	}
	want(t, "body", get("Shop/tables/Orders").body, `{"requestId":"FA4E0000-0000-4000-8000-000000000001","data":{"name":"orders",`+
		`"displayName":"shop.default.orders","projectName":"shop","schema":"default","type":"internal","owner":"182293110400000001","comment":"","tableLabel":"0",`+
		`"nativeColumns":[{"name":"id","type":"BIGINT","comment":"","label":"0"},{"name":"amount","type":"STRING","comment":"in cents","label":"3"}],`+
		`"partitionColumns":[{"name":"ds","type":"STRING","comment":"","label":"0"}]}}`)
	for path, code := range map[string]string{
		"shop/tables/orders?type=internal&schemaName=default": "200 ",
		"shop/tables/orders?type=view":                        "404 " + codeObjectNotExist,
		"shop/tables/orders?schemaName=ods":                   "404 " + codeObjectNotExist,
		"shop/tables/other":                                   "404 " + codeObjectNotExist,
		"nowhere/tables/orders":                               "404 " + codeProjectNotFound,
		"three/tables/t":                                      "404 " + codeObjectNotExist,
		"three/tables/t?schemaName=ODS":                       "200 ",
	} {
		want(t, path, statusCode(get(path)), code)
	}
	c.wantNoViolations()
	must(t, c.server.DropObject("shop", "table", "", "orders"))
	want(t, "dropped", get("shop/tables/orders").status, 404)
	want(t, "a type", get("shop/tables/orders?type=table").status, 501)
	want(t, "a parameter", get("shop/tables/orders?schema=x").status, 501)
	want(t, "violations", len(c.server.Violations()), 2)
	for name, columns := range map[string][]Column{
		"no name": {{}}, "one name twice": {{Name: "a"}, {Name: "A"}}, "a label": {{Name: "a", Label: 10}},
	} {
		want(t, name, c.server.DeclareTable("shop", "", "x", columns...) != nil, true)
	}
	want(t, "no project", c.server.DeclareTable("nowhere", "", "x") != nil, true)
}

func TestStatementsRevokeFromUsers(t *testing.T) {
	tests := map[string]struct {
		statement, code, left string
	}{
		"one action":       {"REVOKE Select ON TABLE orders FROM USER RAM$corp:alice", "", "6 orders:describe 6 orders:drop 7 orders:select"},
		"some":             {"revoke drop, Describe on Orders from user RAM$Corp:Alice;", "", "6 orders:select 7 orders:select"},
		"all":              {"REVOKE All ON TABLE shop.orders FROM USER RAM$corp:alice;", "", "7 orders:select"},
		"another provider": {"REVOKE Select ON TABLE orders FROM USER ALIYUN$bob@example.com", "", "6 orders:describe 6 orders:drop 6 orders:select"},
		"another table":    {"REVOKE All ON TABLE other FROM USER RAM$corp:alice", "", "6 orders:describe 6 orders:drop 6 orders:select 7 orders:select"},
		"an unknown user":  {"REVOKE All ON TABLE orders FROM USER RAM$corp:eve", codeInvalidArgument, "6 orders:describe 6 orders:drop 6 orders:select 7 orders:select"},
		"another kind":     {"REVOKE Read ON PACKAGE p FROM USER RAM$corp:alice", codeInvalidArgument, "6 orders:describe 6 orders:drop 6 orders:select 7 orders:select"},
		"no action":        {"REVOKE Read ON TABLE orders FROM USER RAM$corp:alice", codeInvalidArgument, "6 orders:describe 6 orders:drop 6 orders:select 7 orders:select"},
		"nobody":           {"REVOKE Select ON TABLE orders FROM USER", codeParse, "6 orders:describe 6 orders:drop 6 orders:select 7 orders:select"},
		"a grant":          {"GRANT Select ON TABLE orders TO USER RAM$corp:alice", codeParse, "6 orders:describe 6 orders:drop 6 orders:select 7 orders:select"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newOrders(t, Options{})
			must(t, c.server.ApproveOrder(c.createOld(map[string]string{"ApplyObject.1.Actions": "Select,Describe,Drop"}).one(t), Approval{}))
			must(t, c.server.ApproveOrder(c.createOld(map[string]string{"ApplyUserIds": bobID, "ApplyObject.1.Actions": "Select"}).one(t), Approval{}))
			c.server.ResetJournal()
			want(t, "code", c.statement(tc.statement).code(), tc.code)
			want(t, "left", c.permissions(), tc.left)
			want(t, "applied", c.server.Journal()[0].Applied, tc.code == "")
			c.wantNoViolations()
		})
	}
}

func TestOrderAdmin(t *testing.T) {
	c := newOrders(t, Options{})
	ids := make([]string, 0, 6)
	for i := range 3 {
		ids = append(ids, c.createOld(nil).one(t), c.createNew(fmt.Sprint(i)).one(t))
	}
	for _, step := range []struct {
		method, target, body string
		status               int
	}{
		{"POST", "orders/" + ids[0] + "/approve", ``, 200},
		{"POST", "orders/" + ids[0] + "/approve", ``, 400},
		{"POST", "orders/" + ids[1] + "/approve", `{"actions":["Select"],"until":"2026-12-01T00:00:00Z","comment":"less","hold":true}`, 200},
		{"POST", "orders/" + ids[1] + "/authorise", ``, 200},
		{"POST", "orders/" + ids[2] + "/reject", `{"comment":"no"}`, 200},
		{"POST", "orders/" + ids[3] + "/fail", `{"message":"odd"}`, 200},
		{"POST", "orders/" + ids[4] + "/withdraw", `{}`, 200},
		{"POST", "orders/" + ids[5] + "/delete", ``, 200},
		{"POST", "orders/nothing/reject", ``, 400},
		{"POST", "orders/" + ids[5] + "/reject", `{"why":"x"}`, 400},
		{"POST", "orders/approvers", `{"project":"shop","table":"orders","approvers":["1","2"]}`, 200},
		{"POST", "orders/approvers", `{"project":"shop","table":"orders","approvers":["bob"]}`, 400},
		{"POST", "orders/applicants", `{"accessKeyID":"` + c.key + `","accountID":"` + aliceID + `"}`, 200},
		{"POST", "orders/applicants", `{"accessKeyID":"x","accountID":"alice"}`, 400},
		{"POST", "orders/style", `{"statuses":"upper","processes":"completed","listLagOrders":1,"listLag":"1m","together":true,"maxQuery":5000}`, 200},
		{"POST", "orders/style", `{"listLag":"soon"}`, 400},
		{"POST", "orders/style", `{"listLag":"-1s"}`, 400},
		{"POST", "tables", `{"project":"shop","name":"t2","columns":[{"name":"a","type":"BIGINT","partition":true}]}`, 200},
		{"POST", "tables", `{"project":"nowhere","name":"t2"}`, 400},
		{"GET", "orders", ``, 200},
	} {
		got := c.admin(step.method, step.target, step.body)
		want(t, step.target+" "+step.body, got.status, step.status)
	}
	want(t, "states", c.states(), strings.Join([]string{"granted", "granted", "rejected", "failed", "withdrawn", "deleted"}, ", "))
	want(t, "one state", len(c.admin("GET", "orders?state=granted", "").list()), 2)
	want(t, "none", c.admin("GET", "orders?state=pending", "").body, "[]\n")
	want(t, "permissions", len(c.admin("GET", "orders/permissions?project=shop&table=orders&user="+aliceID, "").list()), 2)
	state := c.server.State()
	want(t, "snapshot", fmt.Sprint(len(state.Orders), len(state.TablePermissions), state.OrderStyle.MaxQuery, len(state.Projects[0].Tables)), "6 2 5000 2")
	want(t, "journal", len(c.server.Journal()), 6)
	c.wantNoViolations()
}

func TestOrderStyles(t *testing.T) {
	for name, style := range map[string]OrderStyle{
		"statuses": {Statuses: "x"}, "processes": {Processes: "x"}, "lag": {ListLagOrders: -1}, "time": {ListLag: -1}, "length": {MaxQuery: -1},
	} {
		want(t, name, style.Validate() != nil, true)
	}
	c := newOrders(t, Options{})
	want(t, "approver", c.server.SetApprovers("shop", "t", "bob") != nil, true)
	want(t, "applicant", c.server.SetApplicant("key", "bob") != nil, true)
	for _, change := range []func(string) error{
		func(id string) error { return c.server.ApproveOrder(id, Approval{}) }, c.server.AuthoriseOrder, c.server.WithdrawOrder, c.server.DeleteOrder,
		func(id string) error { return c.server.RejectOrder(id, "") }, func(id string) error { return c.server.FailAuthorisation(id, "") },
	} {
		want(t, "no order", change("x") != nil, true)
	}
}
