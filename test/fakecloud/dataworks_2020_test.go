package fakecloud

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestOldOrdersFollowTheDocumentedShape(t *testing.T) {
	c := newOrders(t, Options{})
	deadline := orderTime.Add(48 * time.Hour)
	got := c.createOld(map[string]string{
		"ApplyUserIds": bobID + "," + aliceID, "Deadline": fmt.Sprint(deadline.UnixMilli()), "ApplyType": "MaxComputeTable",
		"CatalogName": "", "OrderType": "1", "EngineType": "odps", "ApplyObject.1.ColumnMetaList.2.Actions": "Select,Download",
	})
	const id = "ad8da78d-8135-455e-9486-000000000001"
	want(t, "created", got.body, `{"RequestId":"FA4E0000-0000-4000-8000-000000000001","FlowId":["`+id+`"]}`)
	want(t, "detail", c.detail(id).body, `{"RequestId":"FA4E0000-0000-4000-8000-000000000002","ApplyOrderDetail":{"ApplyBaseId":"180000000000000001",`+
		`"ApplyTimestamp":1795258800000,"FlowId":"`+id+`","FlowStatus":1,"ApproveAccountList":[{"BaseId":"182293110400000001"}],`+
		`"ApproveContent":{"ApplyReason":"report [k8s:1]","Deadline":1795431600000,"OrderType":1,"ProjectMeta":{"MaxComputeProjectName":"Shop","WorkspaceId":12345,`+
		`"ObjectMetaList":[{"ObjectName":"orders","Actions":["Select","Describe"],"ColumnMetaList":[`+
		`{"ColumnName":"id","ColumnComment":"","SecurityLevel":"0"},`+
		`{"ColumnName":"amount","ColumnComment":"in cents","ColumnActions":["Download","Select"],"SecurityLevel":"3"},`+
		`{"ColumnName":"ds","ColumnComment":"","SecurityLevel":"0"}]}]}},`+
		`"GranteeObjectList":[{"GranteeId":"267842600408993176","GranteeName":"RAM$corp:alice","GranteeType":1,"GranteeTypeSub":105},`+
		`{"GranteeId":"267842600408993177","GranteeName":"ALIYUN$bob@example.com","GranteeType":1,"GranteeTypeSub":105}]}}`)
	c.server.ShiftClock(time.Minute)
	must(t, c.server.RejectOrder(id, "not you"))
	want(t, "list", c.listOld(nil).body, `{"RequestId":"FA4E0000-0000-4000-8000-000000000003","ApplyOrders":{"ApplyOrder":[{"FlowId":"`+id+`","FlowStatus":4,`+
		`"ApplyBaseId":"180000000000000001","ApplyTimestamp":1795258800000,"ApproveContent":{"ApplyReason":"report [k8s:1]","OrderType":1,`+
		`"ProjectMeta":{"WorkspaceName":"workspace_12345","ObjectMetaList":[{"ObjectName":"orders","Actions":["Select","Describe"]}]}},`+
		`"FinishApprovalComment":"not you","FinishApprovalTimestamp":1795258860000}],"PageNumber":1,"PageSize":10,"TotalCount":1}}`)
	want(t, "finished", c.detail(id).inside("ApplyOrderDetail", "FinishAapprovalTimestamp"), 1795258860000)
	want(t, "revoked", c.dataWorks("RevokeTablePermission", revoke(nil)).body, `{"RequestId":"FA4E0000-0000-4000-8000-000000000005","RevokeSuccess":true}`)
	o := c.server.Orders()[0]
	want(t, "order", fmt.Sprint(o.APIVersion, o.State, o.Applicant, o.ApplicantID, o.Reason, o.Deadline, o.Created, o.Finished, o.Comment),
		fmt.Sprint("2020-05-18", "rejected", c.key, "180000000000000001", "report [k8s:1]", deadline, orderTime, orderTime.Add(time.Minute), "not you"))
	want(t, "object", fmt.Sprint(o.Objects), fmt.Sprint([]OrderObject{{
		Project: "shop", SchemaName: "default", Name: "orders", Actions: []string{"describe", "select"},
		Columns: []OrderColumn{{Name: "id"}, {"amount", []string{"download", "select"}}, {Name: "ds"}}, Users: []string{aliceID, bobID}, Until: deadline,
	}}))
	c.wantNoViolations()
}

func TestCreatePermissionApplyOrder(t *testing.T) {
	param := func(name, value string) map[string]string { return map[string]string{name: value} }
	tests := map[string]struct {
		params map[string]string
		style  OrderStyle
		want   string
	}{
		"usual":                   {want: "200 "},
		"no users":                {params: param("ApplyUserIds", ""), want: "400 MissingApplyUserIds"},
		"a user's name":           {params: param("ApplyUserIds", "RAM$corp:alice"), want: "400 InvalidParameter.ApplyUserIds"},
		"a comma too many":        {params: param("ApplyUserIds", aliceID+","), want: "400 InvalidParameter.ApplyUserIds"},
		"a space":                 {params: param("ApplyUserIds", aliceID+", "+bobID), want: "400 InvalidParameter.ApplyUserIds"},
		"any user":                {params: param("ApplyUserIds", "1"), want: "200 "},
		"no reason":               {params: param("ApplyReason", ""), want: "400 MissingApplyReason"},
		"no project":              {params: param("MaxComputeProjectName", ""), want: "400 MissingMaxComputeProjectName"},
		"an unknown project":      {params: param("MaxComputeProjectName", "nowhere"), want: "404 PROJECT_NOT_FOUND"},
		"no workspace":            {params: param("WorkspaceId", ""), want: "200 "},
		"a workspace's name":      {params: param("WorkspaceId", "w"), want: "400 InvalidParameter.WorkspaceId"},
		"a large workspace":       {params: param("WorkspaceId", "2147483648"), want: "400 InvalidParameter.WorkspaceId"},
		"another type":            {params: param("ApplyType", "MaxComputeFunction"), want: "200 "},
		"an unknown type":         {params: param("ApplyType", "Table"), want: "400 InvalidParameter.ApplyType"},
		"another order type":      {params: param("OrderType", "2"), want: "400 InvalidParameter.OrderType"},
		"another engine":          {params: param("EngineType", "emr"), want: "400 InvalidParameter.EngineType"},
		"no name":                 {params: param("ApplyObject.1.Name", ""), want: "400 MissingApplyObject.Name"},
		"no actions":              {params: param("ApplyObject.1.Actions", ""), want: "400 MissingApplyObject.Actions"},
		"all actions":             {params: param("ApplyObject.1.Actions", "Select,Describe,Drop,Alter,Update,Download"), want: "200 "},
		"an unknown action":       {params: param("ApplyObject.1.Actions", "Select,ShowHistory"), want: "400 InvalidParameter.ApplyObject.Actions"},
		"an unknown column":       {params: param("ApplyObject.1.ColumnMetaList.4.Name", "x"), want: "400 InvalidParameter.ColumnMetaList"},
		"a column twice":          {params: param("ApplyObject.1.ColumnMetaList.4.Name", "ID"), want: "400 InvalidParameter.ColumnMetaList"},
		"an unnamed column":       {params: param("ApplyObject.1.ColumnMetaList.4.Actions", "Select"), want: "400 MissingColumnMetaList.Name"},
		"a column's action":       {params: param("ApplyObject.1.ColumnMetaList.3.Actions", "Describe"), want: "200 "},
		"a column's bad action":   {params: param("ApplyObject.1.ColumnMetaList.3.Actions", "Drop"), want: "400 InvalidParameter.ColumnMetaList.Actions"},
		"some columns":            {params: param("ApplyObject.1.ColumnMetaList.3.Name", ""), want: "200 "},
		"the object twice":        {params: map[string]string{"ApplyObject.2.Name": "orders", "ApplyObject.2.Actions": "Select", "ApplyObject.2.ColumnMetaList.1.Name": "id"}, want: "400 InvalidParameter.ApplyObject"},
		"a table without columns": {params: map[string]string{"ApplyObject.2.Name": "t", "ApplyObject.2.Actions": "Select"}, want: "400 MissingApplyObject.ColumnMetaList"},
		"seconds":                 {params: param("Deadline", fmt.Sprint(orderTime.Add(time.Hour).Unix())), want: "400 InvalidParameter.Deadline"},
		"a deadline that is over": {params: param("Deadline", fmt.Sprint(orderTime.UnixMilli())), want: "400 InvalidParameter.Deadline"},
		"a deadline":              {params: param("Deadline", fmt.Sprint(orderTime.UnixMilli()+1)), want: "200 "},
		"a date":                  {params: param("Deadline", "2027-01-01"), want: "400 InvalidParameter.Deadline"},
		"no labels":               {style: OrderStyle{LabelSecurityOff: true}, want: "200 "},
		"no labels, a deadline":   {params: param("Deadline", fmt.Sprint(orderTime.Add(time.Hour).UnixMilli())), style: OrderStyle{LabelSecurityOff: true}, want: "400 InvalidParameter.Deadline"},
		"no labels, for ever":     {params: param("Deadline", fmt.Sprint(permanent.UnixMilli())), style: OrderStyle{LabelSecurityOff: true}, want: "200 "},
		"no labels, some columns": {params: param("ApplyObject.1.ColumnMetaList.3.Name", ""), style: OrderStyle{LabelSecurityOff: true}, want: "400 InvalidParameter.ColumnMetaList"},
		"a strict project":        {params: param("MaxComputeProjectName", "strict"), want: "400 InvalidParameter.Name"},
		"an unknown account":      {params: map[string]string{"MaxComputeProjectName": "strict", "ApplyObject.1.Name": "there", "ApplyUserIds": "1"}, want: "400 InvalidParameter.ApplyUserIds"},
		"a known account":         {params: map[string]string{"MaxComputeProjectName": "strict", "ApplyObject.1.Name": "there"}, want: "200 "},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newOrders(t, Options{Orders: tc.style})
			must(t, c.server.DeclareObject("strict", "table", "", "there"))
			want(t, "answer", statusCode(c.createOld(tc.params)), tc.want)
			want(t, "orders", len(c.server.Orders()) == 1, tc.want == "200 ")
			c.wantNoViolations()
		})
	}
	c := newOrders(t, Options{})
	params := oldOrder(nil)
	for name := range params {
		if strings.HasPrefix(name, "ApplyObject.") {
			params.Del(name)
		}
	}
	want(t, "no object", statusCode(c.dataWorks("CreatePermissionApplyOrder", params)), "400 MissingApplyObject")
}

func TestOldOrdersHaveNoToken(t *testing.T) {
	c := newOrders(t, Options{})
	first, second := c.createOld(nil), c.createOld(nil)
	want(t, "again", first.one(t) != second.one(t), true)
	want(t, "orders", len(c.server.Orders()), 2)
	want(t, "permanent", c.detail(first.one(t)).inside("ApplyOrderDetail", "ApproveContent", "Deadline"), permanent.UnixMilli())
}

func TestALostOldOrderCanBeFound(t *testing.T) {
	c := newOrders(t, Options{})
	c.connect()
	c.server.Inject(Fault{Kind: FaultDropAfter, Action: "CreatePermissionApplyOrder", Times: 1})
	want(t, "lost", c.createOld(map[string]string{"ApplyReason": "report [k8s:7f]"}).err != nil, true)
	got := c.listOld(map[string]string{
		"MaxComputeProjectName": "shop", "TableName": "Orders", "StartTime": fmt.Sprint(orderTime.Add(-5 * time.Minute).UnixMilli()),
	})
	want(t, "found", got.inside("ApplyOrders", "ApplyOrder", 0, "ApproveContent", "ApplyReason"), "report [k8s:7f]")
	want(t, "the one", got.flowIDs(), []string{c.server.Orders()[0].ID})
	c.wantNoViolations()
}

func TestOrdersPerApprovers(t *testing.T) {
	tests := map[string]struct {
		style     OrderStyle
		approvers map[string][]string
		tables    string
	}{
		"one approver":    {tables: "[orders cities]"},
		"another one":     {approvers: map[string][]string{"Cities": {zoeID}}, tables: "[orders] [cities]"},
		"the same two":    {approvers: map[string][]string{"Orders": {zoeID, bobID}, "cities": {bobID, zoeID, bobID}}, tables: "[orders cities]"},
		"one more":        {approvers: map[string][]string{"orders": {zoeID, bobID}, "cities": {zoeID}}, tables: "[orders] [cities]"},
		"the default one": {approvers: map[string][]string{"orders": {defaultApprover}, "cities": {}}, tables: "[orders cities]"},
		"together":        {style: OrderStyle{Together: true}, approvers: map[string][]string{"cities": {zoeID}}, tables: "[orders cities]"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newOrders(t, Options{Orders: tc.style})
			for table, set := range tc.approvers {
				must(t, c.server.SetApprovers("Shop", table, set...))
			}
			ids := c.dataWorks("CreatePermissionApplyOrder", twoTables()).ids()
			orders := c.server.Orders()
			var tables []string
			for i, o := range orders {
				var names []string
				for _, object := range o.Objects {
					names = append(names, object.Name)
				}
				tables = append(tables, fmt.Sprint(names))
				want(t, "id", ids[i], o.ID)
			}
			want(t, "tables", strings.Join(tables, " "), tc.tables)
			c.wantNoViolations()
		})
	}
}

func TestStatesOfOldOrders(t *testing.T) {
	tests := map[string]struct {
		change      func(*Server, string) error
		status      int
		state       OrderState
		permissions string
	}{
		"pending":   {func(*Server, string) error { return nil }, 1, OrderPending, ""},
		"approved":  {func(s *Server, id string) error { return s.ApproveOrder(id, Approval{Hold: true}) }, 1, OrderApproved, ""},
		"granted":   {func(s *Server, id string) error { return s.ApproveOrder(id, Approval{}) }, 2, OrderGranted, "6 orders:describe 6 orders:select"},
		"failed":    {func(s *Server, id string) error { return s.FailAuthorisation(id, "") }, 3, OrderFailed, ""},
		"rejected":  {func(s *Server, id string) error { return s.RejectOrder(id, "no") }, 4, OrderRejected, ""},
		"withdrawn": {func(s *Server, id string) error { return s.WithdrawOrder(id) }, 5, OrderWithdrawn, ""},
	}
	// next tells which states can follow.
	next := map[OrderState]map[OrderState]bool{
		OrderPending:  {OrderPending: true, OrderApproved: true, OrderGranted: true, OrderFailed: true, OrderRejected: true, OrderWithdrawn: true},
		OrderApproved: {OrderPending: true, OrderFailed: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newOrders(t, Options{})
			id := c.createOld(nil).one(t)
			must(t, tc.change(c.server, id))
			want(t, "status", c.detail(id).inside("ApplyOrderDetail", "FlowStatus"), tc.status)
			want(t, "in lists", c.listOld(nil).inside("ApplyOrders", "ApplyOrder", 0, "FlowStatus"), tc.status)
			want(t, "state", c.states(), tc.state)
			want(t, "permissions", c.permissions(), tc.permissions)
			want(t, "deleted", c.server.DeleteOrder(id) != nil, true)
			for _, then := range tests {
				fresh := newOrders(t, Options{})
				id := fresh.createOld(nil).one(t)
				must(t, tc.change(fresh.server, id))
				allowed := then.state == OrderPending || next[tc.state][then.state]
				want(t, "to "+string(then.state), then.change(fresh.server, id) == nil, allowed)
			}
			c.wantNoViolations()
		})
	}
}

func TestNarrowedOldOrders(t *testing.T) {
	until := orderTime.Add(time.Hour)
	tests := map[string]struct {
		how         Approval
		actions     string
		deadline    time.Time
		permissions string
	}{
		"all":             {Approval{}, "[Select Describe]", permanent, "6 orders:describe 6 orders:select"},
		"fewer actions":   {Approval{Actions: []string{"Select"}}, "[Select]", permanent, "6 orders:select"},
		"more than asked": {Approval{Actions: []string{"select", "Drop"}}, "[Select]", permanent, "6 orders:select"},
		"shorter":         {Approval{Until: until}, "[Select Describe]", until, "6 orders:describe 6 orders:select"},
		"both":            {Approval{Actions: []string{"Describe"}, Until: until, Comment: "an hour"}, "[Describe]", until, "6 orders:describe"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newOrders(t, Options{})
			id := c.createOld(nil).one(t)
			must(t, c.server.ApproveOrder(id, tc.how))
			got := c.detail(id)
			object := []any{"ApplyOrderDetail", "ApproveContent", "ProjectMeta", "ObjectMetaList", 0, "Actions"}
			want(t, "actions", got.inside(object...), tc.actions)
			want(t, "deadline", got.inside("ApplyOrderDetail", "ApproveContent", "Deadline"), tc.deadline.UnixMilli())
			want(t, "permissions", c.permissions(), tc.permissions)
			c.server.ShiftClock(time.Hour - time.Millisecond)
			want(t, "until then", c.permissions(), tc.permissions)
			c.server.ShiftClock(time.Millisecond)
			want(t, "ended", c.permissions() == "", tc.deadline.Equal(until))
			want(t, "status", c.detail(id).inside("ApplyOrderDetail", "FlowStatus"), 2)
		})
	}
	c := newOrders(t, Options{})
	id := c.createOld(nil).one(t)
	want(t, "nothing left", c.server.ApproveOrder(id, Approval{Actions: []string{"Drop"}}) != nil, true)
	want(t, "no action", c.server.ApproveOrder(id, Approval{Actions: []string{"Fly"}}) != nil, true)
	want(t, "state", c.states(), OrderPending)
}

func TestColumnsOfOldOrders(t *testing.T) {
	tests := map[string]struct {
		params      map[string]string
		how         Approval
		permissions string
	}{
		"all columns":        {nil, Approval{}, "6 orders:describe 6 orders:select"},
		"some columns":       {map[string]string{"ApplyObject.1.ColumnMetaList.3.Name": ""}, Approval{}, "6 orders:describe(amount,id) 6 orders:select(amount,id)"},
		"a column's own":     {map[string]string{"ApplyObject.1.ColumnMetaList.2.Actions": "Select"}, Approval{}, "6 orders:describe(ds,id) 6 orders:select"},
		"a column's alone":   {map[string]string{"ApplyObject.1.ColumnMetaList.2.Actions": "Download"}, Approval{}, "6 orders:describe(ds,id) 6 orders:download(amount) 6 orders:select(ds,id)"},
		"a column's, gone":   {map[string]string{"ApplyObject.1.ColumnMetaList.2.Actions": "Download"}, Approval{Actions: []string{"Select"}}, "6 orders:select(ds,id)"},
		"one for the table":  {map[string]string{"ApplyObject.1.ColumnMetaList.3.Name": "", "ApplyObject.1.Actions": "Drop"}, Approval{}, "6 orders:drop"},
		"an unknown table":   {map[string]string{"ApplyObject.1.Name": "cities"}, Approval{}, "6 cities:describe(amount,ds,id) 6 cities:select(amount,ds,id)"},
		"another object":     {map[string]string{"ApplyType": "MaxComputeFunction", "ApplyObject.1.Actions": "Read"}, Approval{}, ""},
		"two users":          {map[string]string{"ApplyUserIds": aliceID + "," + bobID, "ApplyObject.1.Actions": "Select"}, Approval{}, "6 orders:select 7 orders:select"},
		"two users, as same": {map[string]string{"ApplyUserIds": aliceID + "," + aliceID, "ApplyObject.1.Actions": "Select"}, Approval{}, "6 orders:select"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newOrders(t, Options{})
			must(t, c.server.ApproveOrder(c.createOld(tc.params).one(t), tc.how))
			want(t, "permissions", c.permissions(), tc.permissions)
			c.wantNoViolations()
		})
	}
}

func TestOrdersAddUp(t *testing.T) {
	c := newOrders(t, Options{})
	column := func(name, deadline string) string {
		return c.createOld(map[string]string{
			"ApplyObject.1.Actions": "Select", "ApplyObject.1.ColumnMetaList.1.Name": name, "ApplyObject.1.ColumnMetaList.2.Name": "",
			"ApplyObject.1.ColumnMetaList.3.Name": "", "Deadline": deadline,
		}).one(t)
	}
	must(t, c.server.ApproveOrder(column("id", fmt.Sprint(orderTime.Add(time.Hour).UnixMilli())), Approval{}))
	must(t, c.server.ApproveOrder(column("ds", fmt.Sprint(orderTime.Add(time.Minute).UnixMilli())), Approval{}))
	want(t, "two columns", c.permissions(), "6 orders:select(ds,id)")
	want(t, "the later end", c.server.TablePermissions("shop", "orders", "RAM$corp:alice")[0].Until, orderTime.Add(time.Hour))
	last := c.createOld(nil).one(t)
	must(t, c.server.ApproveOrder(last, Approval{}))
	got := c.server.TablePermissions("Shop", "Orders", aliceID)
	want(t, "the whole table", c.permissions(), "6 orders:describe 6 orders:select")
	want(t, "the last order", got[1].Order, last)
	want(t, "another user", len(c.server.TablePermissions("shop", "orders", bobID)), 0)
	want(t, "another table", len(c.server.TablePermissions("shop", "cities", "")), 0)
	want(t, "another project", len(c.server.TablePermissions("three", "", "")), 0)
	must(t, c.server.DropObject("shop", "table", "", "Orders"))
	want(t, "dropped", c.permissions(), "")
	must(t, c.server.ApproveOrder(c.createOld(map[string]string{"ApplyObject.1.Actions": "Drop"}).one(t), Approval{}))
	want(t, "made anew", c.permissions(), "6 orders:drop")
	c.server.RemoveProject("shop")
	want(t, "without the project", c.permissions(), "")
	want(t, "the orders stay", len(c.server.Orders()), 4)
}

func TestListPermissionApplyOrders(t *testing.T) {
	at := func(d time.Duration) string { return fmt.Sprint(orderTime.Add(d).UnixMilli()) }
	tests := map[string]struct {
		params map[string]string
		orders []int
		total  int
	}{
		"mine":                   {nil, []int{3, 2, 1, 0}, 4},
		"for me to approve":      {map[string]string{"QueryType": "1"}, []int{2}, 1},
		"all":                    {map[string]string{"QueryType": "2"}, []int{4, 3, 2, 1, 0}, 5},
		"a status":               {map[string]string{"FlowStatus": "4"}, []int{1}, 1},
		"another status":         {map[string]string{"FlowStatus": "5"}, nil, 0},
		"a workspace":            {map[string]string{"WorkspaceId": "7"}, []int{3}, 1},
		"a project":              {map[string]string{"MaxComputeProjectName": "THREE"}, []int{3}, 1},
		"a table":                {map[string]string{"TableName": "Cities"}, []int{2}, 1},
		"a type":                 {map[string]string{"ApplyType": "DLFTable"}, []int{0}, 1},
		"a catalog":              {map[string]string{"CatalogName": "hive"}, []int{0}, 1},
		"from then on":           {map[string]string{"StartTime": at(2 * time.Minute)}, []int{3, 2}, 2},
		"until then":             {map[string]string{"EndTime": at(time.Minute)}, []int{1, 0}, 2},
		"between":                {map[string]string{"StartTime": at(time.Minute), "EndTime": at(2 * time.Minute)}, []int{2, 1}, 2},
		"fixed values":           {map[string]string{"OrderType": "1", "EngineType": "odps"}, []int{3, 2, 1, 0}, 4},
		"a page":                 {map[string]string{"PageSize": "3"}, []int{3, 2, 1}, 4},
		"the next page":          {map[string]string{"PageSize": "3", "PageNum": "2"}, []int{0}, 4},
		"a page after the last":  {map[string]string{"PageSize": "3", "PageNum": "3"}, nil, 4},
		"the largest page":       {map[string]string{"PageSize": "100"}, []int{3, 2, 1, 0}, 4},
		"several at once":        {map[string]string{"FlowStatus": "1", "TableName": "orders", "MaxComputeProjectName": "shop"}, nil, 0},
		"several at once, found": {map[string]string{"FlowStatus": "1", "TableName": "cities", "MaxComputeProjectName": "shop"}, []int{2}, 1},
	}
	c := newOrders(t, Options{})
	must(t, c.server.SetApplicant(c.key, zoeID))
	must(t, c.server.SetApprovers("shop", "cities", zoeID, bobID))
	var ids []string
	add := func(others map[string]string) {
		ids = append(ids, c.createOld(others).one(t))
		c.server.ShiftClock(time.Minute)
	}
	add(map[string]string{"ApplyType": "DLFTable", "CatalogName": "hive", "MaxComputeProjectName": "", "ApplyObject.1.Name": "x"})
	add(nil)
	add(map[string]string{"ApplyObject.1.Name": "cities"})
	add(map[string]string{"MaxComputeProjectName": "three", "WorkspaceId": "7"})
	must(t, c.server.RejectOrder(ids[1], ""))
	c.createNew("")
	c.other("FAKE2", "s2", func() { add(map[string]string{"ApplyObject.1.Name": "other", "WorkspaceId": "9"}) })
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var wanted []string
			for _, i := range tc.orders {
				wanted = append(wanted, ids[i])
			}
			got := c.listOld(tc.params)
			want(t, "orders", got.flowIDs(), wanted)
			want(t, "total", got.inside("ApplyOrders", "TotalCount"), tc.total)
		})
	}
	for name, params := range map[string]map[string]string{
		"QueryType": {"QueryType": "3"}, "FlowStatus": {"FlowStatus": "6"}, "PageNum": {"PageNum": "0"}, "PageSize": {"PageSize": "101"},
		"StartTime": {"StartTime": "now"}, "EndTime": {"EndTime": "-1"}, "WorkspaceId": {"WorkspaceId": "x"}, "ApplyType": {"ApplyType": "x"},
	} {
		want(t, name, statusCode(c.listOld(params)), "400 InvalidParameter."+name)
	}
	want(t, "no type", statusCode(c.listOld(map[string]string{"QueryType": ""})), "400 MissingQueryType")
	want(t, "no id", statusCode(c.detail("")), "400 MissingFlowId")
	want(t, "an unknown id", statusCode(c.detail("x")), "404 "+codeNoOrder)
	want(t, "an id of the other generation", statusCode(c.detail(c.server.Orders()[4].ID)), "404 "+codeNoOrder)
	c.wantNoViolations()
}

// other does something with another access key.
func (c *client) other(key, secret string, do func()) {
	mine := []string{c.key, c.secret}
	c.server.AddIdentity(Identity{AccessKeyID: key, AccessKeySecret: secret})
	c.key, c.secret = key, secret
	do()
	c.key, c.secret = mine[0], mine[1]
}

func TestOrdersBelongToAnAccount(t *testing.T) {
	c := newOrders(t, Options{})
	addOperator(c)
	mine := c.createOld(nil).one(t)
	c.other("ROTATED", "s", func() {
		want(t, "another key", c.listOld(nil).flowIDs(), []string{})
		must(t, c.server.SetApplicant("ROTATED", c.server.Orders()[0].ApplicantID))
		want(t, "another key of the account", c.listOld(nil).flowIDs(), []string{mine})
		want(t, "a detail is no secret", c.detail(mine).status, 200)
	})
	assumed := c.assume(nil)
	c.use(assumed)
	role := c.createOld(nil).one(t)
	want(t, "a role", c.listOld(nil).flowIDs(), []string{role})
	c.key, c.secret, c.token = DefaultAccessKeyID, DefaultAccessKeySecret, ""
	c.use(c.assume(map[string]string{"RoleSessionName": "later"}))
	want(t, "the next session", c.listOld(nil).flowIDs(), []string{role})
	want(t, "its name", c.server.Orders()[1].Applicant, operatorARN)
	c.wantNoViolations()
}

func TestListsLag(t *testing.T) {
	c := newOrders(t, Options{Orders: OrderStyle{ListLagOrders: 1}})
	first := c.createOld(nil).one(t)
	want(t, "not yet", c.listOld(nil).flowIDs(), []string{})
	want(t, "but there", c.detail(first).status, 200)
	second := c.createNew("").one(t)
	want(t, "after another", c.listOld(nil).flowIDs(), []string{first})
	want(t, "the other list", c.dataWorks("ListMyApplications", listNew(nil)).processIDs(), []string{})
	c.server.SetOrderStyle(OrderStyle{ListLag: time.Minute})
	c.server.ShiftClock(time.Minute - time.Millisecond)
	want(t, "too early", c.listOld(nil).flowIDs(), []string{})
	c.server.ShiftClock(time.Millisecond)
	want(t, "in time", c.listOld(nil).flowIDs(), []string{first})
	want(t, "the other list, in time", c.dataWorks("ListMyApplications", listNew(nil)).processIDs(), []string{second})
	c.wantNoViolations()
}

func TestRevokeTablePermission(t *testing.T) {
	const all = "6 orders:describe 6 orders:drop 6 orders:select 7 orders:describe 7 orders:drop 7 orders:select"
	tests := map[string]struct {
		params map[string]string
		want   string
		left   string
	}{
		"an action":              {nil, "200 ", "6 orders:describe 6 orders:drop 7 orders:describe 7 orders:drop 7 orders:select"},
		"some":                   {map[string]string{"Actions": "Select,Describe,Download"}, "200 ", "6 orders:drop 7 orders:describe 7 orders:drop 7 orders:select"},
		"one that is not there":  {map[string]string{"Actions": "Download"}, "200 ", all},
		"one that it can't":      {map[string]string{"Actions": "Select,Drop"}, "400 InvalidParameter.Actions", all},
		"by name":                {map[string]string{"RevokeUserId": "", "RevokeUserName": "ALIYUN$bob@example.com"}, "200 ", "6 orders:describe 6 orders:drop 6 orders:select 7 orders:describe 7 orders:drop"},
		"the id wins":            {map[string]string{"RevokeUserName": "ALIYUN$bob@example.com"}, "200 ", "6 orders:describe 6 orders:drop 7 orders:describe 7 orders:drop 7 orders:select"},
		"an unknown name":        {map[string]string{"RevokeUserId": "", "RevokeUserName": "RAM$corp:eve"}, "400 InvalidArgument", all},
		"a bare name":            {map[string]string{"RevokeUserId": "", "RevokeUserName": "bob"}, "400 InvalidArgument", all},
		"an unknown id":          {map[string]string{"RevokeUserId": "1"}, "200 ", all},
		"a bad id":               {map[string]string{"RevokeUserId": "bob"}, "400 InvalidParameter.RevokeUserId", all},
		"nobody":                 {map[string]string{"RevokeUserId": ""}, "400 MissingRevokeUserId", all},
		"no workspace":           {map[string]string{"WorkspaceId": ""}, "400 MissingWorkspaceId", all},
		"a bad workspace":        {map[string]string{"WorkspaceId": "w"}, "400 InvalidParameter.WorkspaceId", all},
		"no project":             {map[string]string{"MaxComputeProjectName": ""}, "400 MissingMaxComputeProjectName", all},
		"an unknown project":     {map[string]string{"MaxComputeProjectName": "nowhere"}, "404 PROJECT_NOT_FOUND", all},
		"no table":               {map[string]string{"TableName": ""}, "400 MissingTableName", all},
		"another table":          {map[string]string{"TableName": "cities"}, "200 ", all},
		"a bad table":            {map[string]string{"TableName": "a b"}, "400 InvalidArgument", all},
		"no actions":             {map[string]string{"Actions": ""}, "400 MissingActions", all},
		"another project's same": {map[string]string{"MaxComputeProjectName": "three"}, "200 ", all},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newOrders(t, Options{})
			id := c.createOld(map[string]string{"ApplyUserIds": aliceID + "," + bobID, "ApplyObject.1.Actions": "Select,Describe,Drop"}).one(t)
			must(t, c.server.ApproveOrder(id, Approval{}))
			want(t, "answer", statusCode(c.dataWorks("RevokeTablePermission", revoke(tc.params))), tc.want)
			want(t, "left", c.permissions(), tc.left)
			want(t, "the order stays", c.detail(id).inside("ApplyOrderDetail", "FlowStatus"), 2)
			c.wantNoViolations()
		})
	}
	c := newOrders(t, Options{})
	must(t, c.server.ApproveOrder(c.createOld(nil).one(t), Approval{Until: orderTime.Add(time.Second)}))
	c.server.ShiftClock(time.Minute)
	c.server.ResetJournal()
	want(t, "ended already", c.dataWorks("RevokeTablePermission", revoke(nil)).inside("RevokeSuccess"), true)
	want(t, "no change", len(c.server.Journal()[0].Changes), 0)
	want(t, "unknown", statusCode(c.dataWorks("RevokeTablePermission", url.Values{})), "400 MissingWorkspaceId")
}
