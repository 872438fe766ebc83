package fakecloud

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestNewOrdersFollowTheReference(t *testing.T) {
	c := newOrders(t, Options{})
	got := c.createNew("token-1")
	const id = "332066440100000001"
	want(t, "created", got.body, `{"RequestId":"FA4E0000-0000-4000-8000-000000000001","Data":["`+id+`"]}`)
	content := func(meta, final, status string, updated int) string {
		return `{"AccessTypes":["select","describe"],"AuthMethod":"default","CreateTime":1795258800000,"DefSchema":"MaxCompute","ExpirationTime":1795345200000,` + final +
			`"Grantee":{"PrincipalId":"267842600408993176","PrincipalType":"RamUser"},"Id":"` + id + `-1","ProcessInstanceId":"` + id + `",` +
			`"Resource":{"DefSchema":"MaxCompute","DefVersion":"v1.0.0","MetaData":` + meta + `},"ResourceName":"Orders","Status":"` + status + `",` +
			`"TenantId":"69973837489","UpdateTime":` + fmt.Sprint(updated) + `}`
	}
	want(t, "contents", c.contentsOf(id).body, `{"RequestId":"FA4E0000-0000-4000-8000-000000000002","Data":{"ApplicationTime":1795258800000,"Contents":[`+
		content(`"{\"project\":\"Shop\",\"schema\":\"default\",\"table\":\"Orders\",\"workspace\":\"672230\"}"`, "", "WaitApproval", 1795258800000)+
		`],"DefSchema":"MaxCompute","ProcessInstanceId":"`+id+`","Reason":"report [k8s:1]","Status":"WaitApproval"}}`)
	want(t, "process", c.process(id).body, `{"RequestId":"FA4E0000-0000-4000-8000-000000000003","ProcessInstance":{"Applicator":"180000000000000001",`+
		`"ApplicatorName":"180000000000000001","ApprovalTasks":[{"CreateTime":1795258800000,"Id":"task_`+id+`","Status":"Pending",`+
		`"TaskCandidates":[{"MemberName":"182293110400000001","MemberUserId":"182293110400000001"}]}],"Id":"`+id+`","Reason":"report [k8s:1]",`+
		`"StartTime":"2026-11-21 19:00:00 CST","Status":"Running","Title":"MaxCompute表权限申请"}}`)
	c.server.ShiftClock(time.Minute)
	must(t, c.server.ApproveOrder(id, Approval{Actions: []string{"Select"}, Comment: "less"}))
	want(t, "list", c.dataWorks("ListMyApplications", listNew(nil)).body, `{"RequestId":"FA4E0000-0000-4000-8000-000000000004","Data":{"Data":[{"ApplicationTime":1795258800000,"Contents":[`+
		content(`{"project":"Shop","schema":"default","table":"Orders","workspace":"672230"}`, `"FinalAccessTypes":["select"],`, "AuthorizeSucceed", 1795258860000)+
		`],"DefSchema":"MaxCompute","ProcessInstanceId":"`+id+`","Reason":"report [k8s:1]","Status":"AuthorizeSucceed"}],"HasMore":false,"PageSize":10}}`)
	task := c.process(id).inside("ProcessInstance", "ApprovalTasks", 0)
	want(t, "task", task, "map[ApprovalComment:less ApprovalDecision:Agree Assignee:182293110400000001 CompleteTime:1.79525886e+12 CreateTime:1.7952588e+12 "+
		"Id:task_"+id+" Status:Completed TaskCandidates:[map[MemberName:182293110400000001 MemberUserId:182293110400000001]]]")
	other := c.createNew("").one(t)
	want(t, "stopped", c.stop(other).body, `{"RequestId":"FA4E0000-0000-4000-8000-000000000007"}`)
	o := c.server.Orders()[0]
	want(t, "order", fmt.Sprint(o.APIVersion, o.State, o.Applicant, o.Reason, o.ClientToken, o.Created, o.Finished, o.Comment),
		fmt.Sprint("2024-05-18", "granted", c.key, "report [k8s:1]", "token-1", orderTime, orderTime.Add(time.Minute), "less"))
	want(t, "object", fmt.Sprint(o.Objects), fmt.Sprint([]OrderObject{{
		Project: "shop", SchemaName: "default", Name: "orders", Actions: []string{"describe", "select"}, Granted: []string{"select"},
		Users: []string{aliceID}, Until: orderTime.Add(24 * time.Hour),
	}}))
	c.wantNoViolations()
}

func TestApplyResourceAccessPermission(t *testing.T) {
	meta := func(others map[string]any) map[string]any {
		out := map[string]any{"workspace": "1", "project": "shop", "table": "Orders"}
		for name, v := range others {
			out[name] = v
			if v == nil {
				delete(out, name)
			}
		}
		return map[string]any{"Resource": onTable(out)}
	}
	grantee := func(typ, id string) map[string]any {
		return map[string]any{"Grantee": map[string]string{"PrincipalType": typ, "PrincipalId": id}}
	}
	tests := map[string]struct {
		content map[string]any
		want    string
	}{
		"usual":               {nil, "200 "},
		"without a schema":    {meta(nil), "200 "},
		"with all members":    {meta(map[string]any{"threeTierModel": false, "tenant": "5", "schema": "default"}), "200 "},
		"a schema":            {meta(map[string]any{"project": "three", "schema": "ods"}), "200 "},
		"a schema is missing": {meta(map[string]any{"project": "three"}), "400 InvalidParameter.MetaData"},
		"a column":            {meta(map[string]any{"column": "id"}), "200 "},
		"a column's Drop":     {map[string]any{"AccessTypes": []string{"drop"}, "Resource": meta(map[string]any{"column": "id"})["Resource"]}, "400 InvalidParameter.AccessTypes"},
		"an unknown column":   {meta(map[string]any{"column": "x"}), "400 InvalidParameter.ColumnMetaList"},
		"no workspace":        {meta(map[string]any{"workspace": nil}), "400 InvalidParameter.MetaData"},
		"no project":          {meta(map[string]any{"project": nil}), "400 InvalidParameter.MetaData"},
		"no table":            {meta(map[string]any{"table": ""}), "400 InvalidParameter.MetaData"},
		"an unknown project":  {meta(map[string]any{"project": "nowhere"}), "404 PROJECT_NOT_FOUND"},
		"an unknown table":    {meta(map[string]any{"project": "strict"}), "400 InvalidParameter.Name"},
		"no path":             {map[string]any{"Resource": map[string]any{"DefSchema": "MaxCompute", "DefVersion": "v1.0.0"}}, "400 MissingMetaData"},
		"no version":          {map[string]any{"Resource": map[string]any{"DefSchema": "MaxCompute", "MetaData": map[string]any{}}}, "400 InvalidParameter.DefVersion"},
		"no resource":         {map[string]any{"Resource": nil}, "400 MissingResource"},
		"no access":           {map[string]any{"AccessTypes": nil}, "400 MissingAccessTypes"},
		"all access":          {map[string]any{"AccessTypes": []string{"select", "update", "download", "describe", "alter", "drop"}}, "200 "},
		"upper case":          {map[string]any{"AccessTypes": []string{"Select"}}, "200 "},
		"an unknown access":   {map[string]any{"AccessTypes": []string{"insert"}}, "400 InvalidParameter.AccessTypes"},
		"no end":              {map[string]any{"ExpirationTime": nil}, "500 InternalError"},
		"an end that is over": {map[string]any{"ExpirationTime": orderTime.UnixMilli()}, "500 InternalError"},
		"an end in seconds":   {map[string]any{"ExpirationTime": permanent.Unix()}, "500 InternalError"},
		"an end":              {map[string]any{"ExpirationTime": orderTime.UnixMilli() + 1}, "200 "},
		"no grantee":          {map[string]any{"Grantee": nil}, "400 MissingGrantee"},
		"a role":              {grantee("RamRole", "ROLE_3133343434"), "200 "},
		"a role as a user":    {grantee("RamUser", "ROLE_3133343434"), "400 InvalidParameter.Grantee"},
		"a user as a role":    {grantee("RamRole", aliceID), "400 InvalidParameter.Grantee"},
		"a grantee's name":    {grantee("RamUser", "RAM$corp:alice"), "400 InvalidParameter.Grantee"},
		"an unknown type":     {grantee("User", aliceID), "400 InvalidParameter.Grantee"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for i, apply := range []func(*client) response{
				func(c *client) response { return c.createNew("", newContent(tc.content)) },
				func(c *client) response {
					return c.dataWorksForm("ApplyResourceAccessPermission", newOrder("", newContent(tc.content)))
				},
				func(c *client) response { return c.createNew("", newContent(nil), newContent(tc.content)) },
			} {
				c := newOrders(t, Options{})
				got := apply(c)
				want(t, fmt.Sprint("answer ", i), statusCode(got), tc.want)
				want(t, "text", strings.Contains(got.body, "deadline cannot be in the past"), strings.HasPrefix(tc.want, "500"))
				want(t, "orders", len(c.server.Orders()) == 1, tc.want == "200 ")
				c.wantNoViolations()
			}
		})
	}
	c := newOrders(t, Options{})
	want(t, "no reason", statusCode(c.dataWorks("ApplyResourceAccessPermission", url.Values{"ApplyContents": {"[]"}})), "400 MissingReason")
	want(t, "no contents", statusCode(c.dataWorks("ApplyResourceAccessPermission", url.Values{"Reason": {"r"}})), "400 MissingApplyContents")
	want(t, "nothing in them", statusCode(c.dataWorks("ApplyResourceAccessPermission", url.Values{"Reason": {"r"}, "ApplyContents": {"[]"}})), "400 InvalidParameter.ApplyContents")
	c.wantNoViolations()
}

func TestContentsAreLimited(t *testing.T) {
	c := newOrders(t, Options{})
	contents := make([]map[string]any, 401)
	for i := range contents {
		contents[i] = newContent(map[string]any{"Resource": onTable(map[string]any{"workspace": "1", "project": "shop", "table": fmt.Sprint("t", i)})})
	}
	want(t, "400", c.dataWorksForm("ApplyResourceAccessPermission", newOrder("", contents[:400]...)).status, 200)
	want(t, "401", statusCode(c.dataWorksForm("ApplyResourceAccessPermission", newOrder("", contents...))), "400 InvalidParameter.ApplyContents")
	want(t, "in a query", c.createNew("", contents[:400]...).status, 414)
	want(t, "orders", len(c.server.Orders()), 1)
	want(t, "objects", len(c.server.Orders()[0].Objects), 400)
	c.wantNoViolations()
}

func TestClientTokens(t *testing.T) {
	c := newOrders(t, Options{})
	must(t, c.server.SetApprovers("shop", "orders", zoeID))
	contents := []map[string]any{newContent(nil), newContent(map[string]any{"Resource": onTable(map[string]any{"workspace": "1", "project": "shop", "table": "cities"})})}
	first := c.createNew("t1", contents...)
	want(t, "two orders", len(first.ids()), 2)
	want(t, "again", c.createNew("t1", contents...).ids(), first.ids())
	must(t, c.server.RejectOrder(first.ids()[0], "no"))
	c.server.ShiftClock(48 * time.Hour)
	want(t, "again, when the end is over", c.createNew("t1", contents...).ids(), first.ids())
	want(t, "made", len(c.server.Orders()), 2)
	want(t, "no changes", c.server.Journal()[2].Orders, []string{})
	want(t, "for something else", statusCode(c.createNew("t1", newContent(nil))), "400 "+codeTokenReused)
	c.server.ShiftClock(-48 * time.Hour)
	c.createNew("t2", contents[0])
	c.createNew("", contents[0])
	c.createNew("", contents[0])
	c.other("FAKE2", "s2", func() { c.createNew("t1", contents[0]) })
	want(t, "other tokens, none, another account", len(c.server.Orders()), 6)
	c.wantNoViolations()
}

func TestALostNewOrderIsMadeOnce(t *testing.T) {
	for _, kind := range []string{FaultDropBefore, FaultDropAfter} {
		t.Run(kind, func(t *testing.T) {
			c := newOrders(t, Options{})
			c.connect()
			c.server.Inject(Fault{Kind: kind, Action: "ApplyResourceAccessPermission", Times: 1})
			want(t, "lost", c.createNew("t").err != nil, true)
			id := c.createNew("t").one(t)
			want(t, "orders", len(c.server.Orders()), 1)
			want(t, "found", c.dataWorks("ListMyApplications", listNew(nil)).processIDs(), []string{id})
			c.wantNoViolations()
		})
	}
}

func TestRefusedTokensCanBeUsedAgain(t *testing.T) {
	c := newOrders(t, Options{})
	want(t, "refused", c.createNew("t", newContent(map[string]any{"ExpirationTime": 0})).status, 500)
	want(t, "with an end", c.createNew("t").status, 200)
}

func TestStatesOfNewOrders(t *testing.T) {
	tests := map[string]struct {
		change                         func(*client, string) error
		listed, upper                  string
		process, completed, task, does string
	}{
		"pending":   {func(*client, string) error { return nil }, "WaitApproval", "WAIT_APPROVAL", "Running", "Running", "Pending", "<nil>"},
		"approved":  {func(c *client, id string) error { return c.server.ApproveOrder(id, Approval{Hold: true}) }, "Confirmed", "CONFIRMED", "Approved", "Completed", "Completed", "Agree"},
		"granted":   {func(c *client, id string) error { return c.server.ApproveOrder(id, Approval{}) }, "AuthorizeSucceed", "AUTHORIZE_SUCCEED", "Approved", "Completed", "Completed", "Agree"},
		"failed":    {func(c *client, id string) error { return c.server.FailAuthorisation(id, "") }, "AuthorizeFailed", "AUTHORIZE_FAILED", "Approved", "Completed", "Completed", "Agree"},
		"rejected":  {func(c *client, id string) error { return c.server.RejectOrder(id, "no") }, "RejectApproval", "REJECT_APPROVAL", "Rejected", "Completed", "Completed", "Deny"},
		"withdrawn": {func(c *client, id string) error { return c.server.WithdrawOrder(id) }, "Canceled", "CANCELED", "Aborted", "Aborted", "Aborted", "<nil>"},
		"stopped": {func(c *client, id string) error {
			want(c.t, "stop", c.stop(id).status, 200)
			return nil
		}, "Canceled", "CANCELED", "Aborted", "Aborted", "Aborted", "<nil>"},
		"deleted": {func(c *client, id string) error { return c.server.DeleteOrder(id) }, "Deleted", "DELETED", "Aborted", "Aborted", "Aborted", "<nil>"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newOrders(t, Options{})
			id := c.createNew("").one(t)
			must(t, tc.change(c, id))
			for style, status := range map[StatusSpelling]string{"": tc.listed, StatusesListed: tc.listed, StatusesUpper: tc.upper} {
				c.server.SetOrderStyle(OrderStyle{Statuses: style})
				want(t, "status", c.contentsOf(id).inside("Data", "Status"), status)
				want(t, "status of the content", c.contentsOf(id).inside("Data", "Contents", 0, "Status"), status)
				for _, filter := range []string{tc.listed, tc.upper} {
					got := c.dataWorks("ListMyApplications", listNew(map[string]string{"Statuses": `["` + filter + `"]`}))
					want(t, "found by it", got.inside("Data", "Data", 0, "Status"), status)
				}
			}
			want(t, "process", c.process(id).inside("ProcessInstance", "Status"), tc.process)
			c.server.SetOrderStyle(OrderStyle{Processes: ProcessesCompleted})
			want(t, "completed", c.process(id).inside("ProcessInstance", "Status"), tc.completed)
			want(t, "task", c.process(id).inside("ProcessInstance", "ApprovalTasks", 0, "Status"), tc.task)
			want(t, "decision", c.process(id).inside("ProcessInstance", "ApprovalTasks", 0, "ApprovalDecision"), tc.does)
			want(t, "permissions", c.permissions() != "", name == "granted")
			want(t, "why it failed", c.process(id).inside("ProcessInstance", "AuthErrorMessage") != nil, name == "failed")
			want(t, "can be stopped", c.stop(id).status == 200, name == "pending")
			c.wantNoViolations()
		})
	}
}

func TestHeldOrders(t *testing.T) {
	c := newOrders(t, Options{})
	good, bad := c.createNew("").one(t), c.createNew("").one(t)
	for _, id := range []string{good, bad} {
		want(t, "not approved", c.server.AuthoriseOrder(id) != nil, true)
		must(t, c.server.ApproveOrder(id, Approval{Hold: true, Actions: []string{"Describe"}}))
		want(t, "too late to stop", statusCode(c.stop(id)), "400 "+codeOrderDecided)
		want(t, "too late to reject", c.server.RejectOrder(id, "") != nil, true)
		want(t, "too late to delete", c.server.DeleteOrder(id) != nil, true)
		want(t, "nothing granted", c.permissions(), "")
		want(t, "narrowed", c.contentsOf(id).inside("Data", "Contents", 0, "FinalAccessTypes"), "[describe]")
	}
	must(t, c.server.FailAuthorisation(bad, "odd"))
	want(t, "message", c.process(bad).inside("ProcessInstance", "AuthErrorMessage"), "odd")
	must(t, c.server.AuthoriseOrder(good))
	want(t, "granted", c.permissions(), "6 orders:describe")
	want(t, "failed for good", c.server.AuthoriseOrder(bad) != nil, true)
	want(t, "granted for good", c.server.FailAuthorisation(good, "") != nil, true)
	want(t, "states", c.states(), "granted, failed")
}

func TestNarrowedNewOrders(t *testing.T) {
	until := orderTime.Add(time.Hour)
	c := newOrders(t, Options{})
	id := c.createNew("", newContent(map[string]any{"AccessTypes": []string{"Update", "Select"}}),
		newContent(map[string]any{"AccessTypes": []string{"update"}, "Grantee": map[string]string{"PrincipalType": "RamUser", "PrincipalId": bobID}})).one(t)
	must(t, c.server.ApproveOrder(id, Approval{Actions: []string{"select"}, Until: until}))
	got := c.contentsOf(id)
	want(t, "access", got.inside("Data", "Contents", 0, "AccessTypes"), "[Update Select]")
	want(t, "final", got.inside("Data", "Contents", 0, "FinalAccessTypes"), "[Select]")
	want(t, "nothing of the other", got.inside("Data", "Contents", 1, "FinalAccessTypes"), "<nil>")
	want(t, "end", got.inside("Data", "Contents", 0, "ExpirationTime"), until.UnixMilli())
	want(t, "permissions", c.permissions(), "6 orders:select")
	want(t, "until", c.server.TablePermissions("shop", "orders", "RAM$Corp:Alice")[0].Until, until)
	c.server.ShiftClock(time.Hour)
	want(t, "ended", c.permissions(), "")
	want(t, "status", c.contentsOf(id).inside("Data", "Status"), "AuthorizeSucceed")
}

func TestNewOrdersGrant(t *testing.T) {
	c := newOrders(t, Options{})
	column := func(name string) map[string]any {
		return newContent(map[string]any{"AccessTypes": []string{"Download"}, "Resource": onTable(map[string]any{
			"workspace": "1", "project": "shop", "table": "orders", "column": name,
		})})
	}
	role := newContent(map[string]any{
		"Grantee":  map[string]string{"PrincipalType": "RamRole", "PrincipalId": "ROLE_313334343"},
		"Resource": onTable(map[string]any{"workspace": "1", "project": "three", "schema": "ods", "table": "T"}),
	})
	id := c.createNew("", column("amount"), newContent(nil), column("ID"), role).one(t)
	must(t, c.server.ApproveOrder(id, Approval{}))
	want(t, "permissions", c.permissions(), "6 orders:describe 6 orders:download(amount,id) 6 orders:select 3 t:describe 3 t:select")
	want(t, "schema", c.server.TablePermissions("three", "t", "313334343")[0].SchemaName, "ods")
	want(t, "leaf", c.contentsOf(id).inside("Data", "Contents", 0, "ResourceName"), "amount")
	want(t, "revoked", c.statementIn("three", "REVOKE Select ON TABLE ods.t FROM USER RAM$corp:role", `{"odps.namespace.schema":"true"}`).code(), codeInvalidArgument)
	must(t, c.server.AddUser(User{AccountID: "313334343", Principal: "RAM$corp:role/etl"}))
	want(t, "revoked from a role", c.statementIn("three", "REVOKE Select ON TABLE ods.t FROM USER RAM$corp:role/etl", `{"odps.namespace.schema":"true"}`).code(), "")
	want(t, "left", len(c.server.TablePermissions("three", "t", "")), 1)
	c.wantNoViolations()
}

func TestStopProcessInstance(t *testing.T) {
	c := newOrders(t, Options{})
	stop := func(id, token string) string {
		return statusCode(c.dataWorks("StopProcessInstance", with(map[string]string{"ProcessInstanceId": id, "ClientToken": token}, nil)))
	}
	id, old := c.createNew("").one(t), c.createOld(nil).one(t)
	c.other("FAKE2", "s2", func() { want(t, "somebody else", stop(id, ""), "403 "+codeNotApplicant) })
	want(t, "nothing", stop("", ""), "400 MissingProcessInstanceId")
	want(t, "an unknown one", stop("x", ""), "404 "+codeNoOrder)
	want(t, "mine", stop(id, "t"), "200 ")
	want(t, "with the same token", stop(id, "t"), "200 ")
	want(t, "with another token", stop(id, "t2"), "400 "+codeOrderDecided)
	want(t, "without a token", stop(id, ""), "400 "+codeOrderDecided)
	want(t, "of the older generation", stop(old, "t"), "200 ")
	want(t, "its status", c.detail(old).inside("ApplyOrderDetail", "FlowStatus"), 5)
	want(t, "states", c.states(), "withdrawn, withdrawn")
	c.wantNoViolations()
}

func TestALostStop(t *testing.T) {
	c := newOrders(t, Options{})
	id := c.createNew("").one(t)
	c.connect()
	c.server.Inject(Fault{Kind: FaultDropAfter, Action: "StopProcessInstance", Times: 1})
	want(t, "lost", c.stop(id).err != nil, true)
	want(t, "done", c.states(), OrderWithdrawn)
	want(t, "again", statusCode(c.stop(id)), "400 "+codeOrderDecided)
	want(t, "to be seen", c.process(id).inside("ProcessInstance", "Status"), "Aborted")
}

func TestListMyApplications(t *testing.T) {
	at := func(d time.Duration) string { return fmt.Sprint(orderTime.Add(d).UnixMilli()) }
	tests := map[string]struct {
		params map[string]string
		orders []int
	}{
		"tables":               {nil, []int{2, 1, 0}},
		"columns":              {map[string]string{"ResourceType": `["column"]`}, []int{3}},
		"both":                 {map[string]string{"ResourceType": `["table","column"]`}, []int{3, 2, 1, 0}},
		"a status":             {map[string]string{"Statuses": `["RejectApproval"]`}, []int{1}},
		"statuses":             {map[string]string{"Statuses": `["RejectApproval","WaitApproval"]`}, []int{2, 1, 0}},
		"no status":            {map[string]string{"Statuses": `[]`}, []int{2, 1, 0}},
		"from then on":         {map[string]string{"StartTime": at(time.Minute)}, []int{2, 1}},
		"until then":           {map[string]string{"EndTime": at(time.Minute)}, []int{1, 0}},
		"a project":            {map[string]string{"Resource": `{"DefSchema":"MaxCompute","DefVersion":"v1.0.0","MetaData":{"project":"three","threeTierModel":true}}`}, []int{2}},
		"a table":              {map[string]string{"Resource": `{"MetaData":{"project":"shop","table":"orders"}}`}, []int{0}},
		"a pattern":            {map[string]string{"Resource": `{"MetaData":{"table":"c*s"}}`}, []int{1}},
		"another table":        {map[string]string{"Resource": `{"MetaData":{"table":"x"}}`}, nil},
		"a resource's version": {map[string]string{"Resource": `{"DefSchema":"MaxCompute"}`}, []int{2, 1, 0}},
	}
	c := newOrders(t, Options{})
	table := func(meta map[string]any) string {
		meta["workspace"] = "1"
		id := c.createNew("", newContent(map[string]any{"AccessTypes": []string{"select"}, "Resource": onTable(meta)})).one(t)
		c.server.ShiftClock(time.Minute)
		return id
	}
	ids := []string{
		table(map[string]any{"project": "shop", "table": "Orders"}), table(map[string]any{"project": "shop", "table": "cities"}),
		table(map[string]any{"project": "three", "table": "t", "schema": "ods"}), table(map[string]any{"project": "shop", "table": "orders", "column": "id"}),
	}
	must(t, c.server.RejectOrder(ids[1], ""))
	c.createOld(nil)
	c.other("FAKE2", "s2", func() { c.createNew("") })
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var wanted []string
			for _, i := range tc.orders {
				wanted = append(wanted, ids[i])
			}
			want(t, "query", c.dataWorks("ListMyApplications", listNew(tc.params)).processIDs(), wanted)
			want(t, "form", c.dataWorksForm("ListMyApplications", listNew(tc.params)).processIDs(), wanted)
		})
	}
	for name, params := range map[string]map[string]string{
		"InvalidParameter.DefSchema": {"DefSchema": "maxcompute"}, "MissingDefSchema": {"DefSchema": ""}, "MissingResourceType": {"ResourceType": ""},
		"InvalidParameter.Statuses": {"Statuses": `["Done"]`}, "MissingStartTime": {"StartTime": ""}, "MissingEndTime": {"EndTime": ""},
		"InvalidParameter.StartTime": {"StartTime": "x"}, "InvalidParameter.EndTime": {"EndTime": "x"}, "InvalidParameter.PageSize": {"PageSize": "0"},
		"InvalidParameter.NextToken": {"NextToken": "x"},
	} {
		want(t, name, statusCode(c.dataWorks("ListMyApplications", listNew(params))), "400 "+name)
	}
	want(t, "no type", statusCode(c.dataWorks("ListMyApplications", listNew(map[string]string{"ResourceType": "[]"}))), "400 MissingResourceType")
	want(t, "an id of the other generation", statusCode(c.contentsOf(c.server.Orders()[4].ID)), "404 "+codeNoOrder)
	want(t, "a process of the other generation", statusCode(c.process(c.server.Orders()[4].ID)), "404 "+codeNoOrder)
	c.wantNoViolations()
}

func TestPagesOfApplications(t *testing.T) {
	c := newOrders(t, Options{})
	var ids []string
	for range 25 {
		ids = append(ids, c.createNew("").one(t))
	}
	for size, pages := range map[string]string{"": "10 10 5", "10": "10 10 5", "5": "5 5 5 5 5", "24": "24 1", "25": "25", "200": "25", "1000": "25"} {
		var got, lengths []string
		token, more := "", true
		for more {
			page := c.dataWorks("ListMyApplications", listNew(map[string]string{"PageSize": size, "NextToken": token}))
			got = append(got, page.processIDs()...)
			lengths = append(lengths, fmt.Sprint(len(page.processIDs())))
			token, more = page.inside("Data", "NextToken").(string)
			want(t, "more", page.inside("Data", "HasMore"), more)
		}
		want(t, "pages of "+size, strings.Join(lengths, " "), pages)
		want(t, "once each", got, reversed(ids))
	}
	first := c.dataWorks("ListMyApplications", listNew(nil))
	c.createNew("")
	token, _ := first.inside("Data", "NextToken").(string)
	second := c.dataWorks("ListMyApplications", listNew(map[string]string{"NextToken": token}))
	want(t, "what is new does not shift pages", append(first.processIDs(), second.processIDs()...), reversed(ids)[:20])
	c = newOrders(t, Options{})
	for range 201 {
		c.createNew("")
	}
	want(t, "cut down", len(c.dataWorks("ListMyApplications", listNew(map[string]string{"PageSize": "1000"})).processIDs()), 200)
	c.wantNoViolations()
}
