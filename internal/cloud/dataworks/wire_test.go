package dataworks_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// recorded is a request as it came over the wire, without what differs from time to time.
type recorded struct{ Line, Action, Version, Type, Body string }

// recorder keeps every request and gives the same answer to all.
type recorder struct {
	requests []recorded
	answer   string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		panic(err)
	}
	r.requests = append(r.requests, recorded{
		Line: request.Method + " " + request.URL.RequestURI(), Action: header(request, "x-acs-action"), Version: header(request, "x-acs-version"),
		Type: header(request, "content-type"), Body: string(body),
	})
	answer(r.answer)(w, request)
}

func TestRequestsOnTheWire(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	since, until := time.UnixMilli(1771948800000), time.UnixMilli(1779724799999)
	rich := func(r *dataworks.Request) {
		r.UserIDs, r.Reason, r.Deadline, r.Token = []string{alice, bob}, "a & b=c", time.UnixMilli(1617115071885), "t-1"
		r.Objects = []dataworks.Object{
			{Name: "t1", Actions: []string{"select", "DESCRIBE", "Select", "Drop"}, Columns: []dataworks.Column{{Name: "c1"}, {Name: "c,2", Actions: []string{"download"}}}},
			{Name: "t2", Schema: "default", Actions: []string{"Update"}, Columns: []dataworks.Column{{Name: "c1"}}},
		}
	}
	entry := func(user, kind, actions, meta string) string {
		return fmt.Sprintf(`{"AccessTypes":[%s],"ExpirationTime":1617115071885,"Grantee":{"PrincipalType":%q,"PrincipalId":%q},`+
			`"Resource":{"DefSchema":"MaxCompute","DefVersion":"v1.0.0","MetaData":{%s"workspace":"12345"}}}`, actions, kind, user, meta)
	}
	const t1, t2 = `"project":"shop","table":"t1",`, `"project":"shop","schema":"default","table":"t2",`
	of := func(user, kind string) []string {
		return []string{
			entry(user, kind, `"drop"`, t1), entry(user, kind, `"select","describe"`, `"column":"c1",`+t1), entry(user, kind, `"download"`, `"column":"c,2",`+t1),
		}
	}
	rest := func(user, kind string) []string { return []string{entry(user, kind, `"update"`, t2)} }
	contents := "[" + strings.Join(slices.Concat(of(alice, "RamUser"), of("ROLE_5", "RamRole"), rest(alice, "RamUser"), rest("ROLE_5", "RamRole")), ",") + "]"
	tests := map[string]struct {
		answer string
		do     func(context.Context, dataworks.Client) error
		// query or form are the parameters; want is the rest.
		query, form url.Values
		want        recorded
	}{
		"CreatePermissionApplyOrder": {
			answer: `{"RequestId":"1","FlowId":["1"]}`,
			do:     func(ctx context.Context, c dataworks.Client) error { _, err := c.Submit(ctx, usual(rich)); return err },
			want:   recorded{Version: dataworks.Version2020},
			query: url.Values{
				"ApplyUserIds": {alice + "," + bob}, "ApplyReason": {"a & b=c"}, "MaxComputeProjectName": {"shop"}, "WorkspaceId": {"12345"}, "Deadline": {"1617115071885"},
				"ApplyObject.1.Name": {"t1"}, "ApplyObject.1.Actions": {"Select,Describe,Drop"},
				"ApplyObject.1.ColumnMetaList.1.Name": {"c1"}, "ApplyObject.1.ColumnMetaList.2.Name": {"c,2"}, "ApplyObject.1.ColumnMetaList.2.Actions": {"Download"},
				"ApplyObject.2.Name": {"t2"}, "ApplyObject.2.Actions": {"Update"}, "ApplyObject.2.ColumnMetaList.1.Name": {"c1"},
			},
		},
		"CreatePermissionApplyOrder of another type, permanently": {
			answer: `{"RequestId":"1","FlowId":["1"]}`,
			do: func(ctx context.Context, c dataworks.Client) error {
				_, err := c.Submit(ctx, dataworks.Request{
					UserIDs: []string{alice}, Reason: "r", ApplyType: "DLFTable", CatalogName: "hive", Objects: []dataworks.Object{{Name: "t", Actions: []string{"SELECT"}}},
				})
				return err
			},
			want: recorded{Version: dataworks.Version2020},
			query: url.Values{
				"ApplyUserIds": {alice}, "ApplyReason": {"r"}, "ApplyType": {"DLFTable"}, "CatalogName": {"hive"}, "ApplyObject.1.Name": {"t"}, "ApplyObject.1.Actions": {"Select"},
			},
		},
		"GetPermissionApplyOrderDetail": {
			answer: `{"RequestId":"1","ApplyOrderDetail":{"FlowId":"a-1","FlowStatus":1,"ApproveContent":{"ProjectMeta":{"ObjectMetaList":[{"ObjectName":"t","Actions":["Select"]}]}}}}`,
			do:     func(ctx context.Context, c dataworks.Client) error { _, err := c.Get(ctx, "a-1"); return err },
			want:   recorded{Version: dataworks.Version2020}, query: url.Values{"FlowId": {"a-1"}},
		},
		"ListPermissionApplyOrders": {
			answer: `{"RequestId":"1","ApplyOrders":{"TotalCount":0}}`,
			do: func(ctx context.Context, c dataworks.Client) error {
				_, err := c.Search(ctx, dataworks.Query{Project: "shop", WorkspaceID: 5, Table: "t", Since: since, Until: until})
				return err
			},
			want: recorded{Version: dataworks.Version2020},
			query: url.Values{
				"QueryType": {"0"}, "MaxComputeProjectName": {"shop"}, "WorkspaceId": {"5"}, "TableName": {"t"}, "StartTime": {"1771948800000"}, "EndTime": {"1779724799999"},
				"PageNum": {"1"}, "PageSize": {"100"},
			},
		},
		"RevokeTablePermission": {
			answer: `{"RequestId":"1","RevokeSuccess":true}`,
			do: func(ctx context.Context, c dataworks.Client) error {
				return c.Revoke(ctx, dataworks.Revocation{Project: "shop", WorkspaceID: 5, Table: "t", Actions: []string{"download", "SELECT"}, UserID: alice})
			},
			want:  recorded{Version: dataworks.Version2020},
			query: url.Values{"MaxComputeProjectName": {"shop"}, "WorkspaceId": {"5"}, "TableName": {"t"}, "Actions": {"Download,Select"}, "RevokeUserId": {alice}},
		},
		"ApplyResourceAccessPermission": {
			answer: `{"RequestId":"1","Data":["1"]}`,
			do: func(ctx context.Context, c dataworks.Client) error {
				_, err := c.Submit(ctx, usual(rich, func(r *dataworks.Request) { r.UserIDs[1] = "ROLE_5" }))
				return err
			},
			want: recorded{Version: dataworks.Version2024}, form: url.Values{"Reason": {"a & b=c"}, "ClientToken": {"t-1"}, "ApplyContents": {contents}},
		},
		"GetApplicationContents": {
			answer: `{"RequestId":"1","Data":{"ProcessInstanceId":"1","Status":"Confirmed","Contents":[{"AccessTypes":["select"],"Grantee":{"PrincipalId":"1"},"Resource":{"MetaData":{"project":"p","table":"t"}}}]}}`,
			do:     func(ctx context.Context, c dataworks.Client) error { _, err := c.Get(ctx, "1"); return err },
			want:   recorded{Version: dataworks.Version2024}, query: url.Values{"ProcessInstanceId": {"1"}},
		},
		"ListMyApplications": {
			answer: `{"RequestId":"1","Data":{"HasMore":false}}`,
			do: func(ctx context.Context, c dataworks.Client) error {
				_, err := c.Search(ctx, dataworks.Query{Project: "shop", WorkspaceID: 5, Table: "t", Since: since, Until: until})
				return err
			},
			want: recorded{Version: dataworks.Version2024},
			form: url.Values{"DefSchema": {"MaxCompute"}, "ResourceType": {`["table","column"]`}, "StartTime": {"1771948800000"}, "EndTime": {"1779724799999"}, "PageSize": {"200"}},
		},
		"StopProcessInstance": {
			answer: `{"RequestId":"1"}`,
			do:     func(ctx context.Context, c dataworks.Client) error { return c.Withdraw(ctx, "1") },
			want:   recorded{Version: dataworks.Version2024}, form: url.Values{"ProcessInstanceId": {"1"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := &recorder{answer: tc.answer}
			must(t, tc.do(t.Context(), newClient(t, tc.want.Version, r)))
			if len(r.requests) != 1 {
				t.Fatalf("%d requests, want one", len(r.requests))
			}
			got := r.requests[0]
			line, query, _ := strings.Cut(got.Line, "?")
			values, err := url.ParseQuery(query)
			must(t, err)
			body, err := url.ParseQuery(got.Body)
			must(t, err)
			got.Line, got.Body = line, ""
			tc.want.Line, tc.want.Action = "POST /", strings.Fields(name)[0]
			if tc.form != nil {
				tc.want.Type = form
			}
			for _, diff := range []string{cmp.Diff(tc.want, got), cmp.Diff(orNone(tc.query), values), cmp.Diff(orNone(tc.form), body)} {
				if diff != "" {
					t.Errorf("request (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func orNone(values url.Values) url.Values {
	if values == nil {
		return url.Values{}
	}
	return values
}

// bad are names that could mean something else on their way.
var bad = []string{"", " ", "a b", "a&ApplyObject.2.Name=b", "a,b", "a/b", "../a", "*", "a?", "[a]", "a\x00", "a\nb", `a"`, "a%2Ab", strings.Repeat("a", 256)}

// TestNames: what could mean something else on its way is refused.
func TestNames(t *testing.T) {
	type request = dataworks.Request
	places := map[string]func(*request, string){
		"project": func(r *request, name string) { r.Project = name },
		"table":   func(r *request, name string) { r.Objects[0].Name = name },
		"schema":  func(r *request, name string) { r.Objects[0].Schema = name + "*" },
		"user":    func(r *request, name string) { r.UserIDs[0] = name },
		"type":    func(r *request, name string) { r.ApplyType = name + "*" },
		"action":  func(r *request, name string) { r.Objects[0].Actions[0] = name },
		"column action": func(r *request, name string) {
			r.Objects[0].Columns[0].Actions = []string{name}
		},
	}
	for version := range versions {
		fake := newCloud(t)
		c := newClient(t, version, fake)
		refuse := func(what string, r request) {
			t.Helper()
			_, err := c.Submit(t.Context(), r)
			_, splitErr := c.Split(r)
			if cloud.CodeOf(err) != cloud.InvalidSpec || cloud.CodeOf(splitErr) != cloud.InvalidSpec || !cloud.Refused(err) {
				t.Errorf("%s: %s: got %v and %v", version, what, err, splitErr)
			}
		}
		for place, set := range places {
			for _, name := range bad {
				refuse(fmt.Sprintf("%s %q", place, name), usual(func(r *request) { set(r, name) }))
			}
		}
		for what, change := range map[string]func(*request){
			"no user":              func(r *request) { r.UserIDs = nil },
			"a user twice":         func(r *request) { r.UserIDs = []string{alice, alice} },
			"no object":            func(r *request) { r.Objects = nil },
			"an object twice":      func(r *request) { r.Objects = append(r.Objects, r.Objects[0]); r.Objects[1].Name = "ORDERS" },
			"no action":            func(r *request) { r.Objects[0].Actions = nil },
			"an unknown action":    func(r *request) { r.Objects[0].Actions = []string{"Insert"} },
			"a column's Drop":      func(r *request) { r.Objects[0].Columns[0].Actions = []string{"Drop"} },
			"a column twice":       func(r *request) { r.Objects[0].Columns[0].Name = "AMOUNT" },
			"a column's name":      func(r *request) { r.Objects[0].Columns[0].Name = "a\nb" },
			"no column's name":     func(r *request) { r.Objects[0].Columns[0].Name = "" },
			"no reason":            func(r *request) { r.Reason = "\n" },
			"a negative workspace": func(r *request) { r.WorkspaceID = -1 },
			"an early deadline":    func(r *request) { r.Deadline = time.Unix(-1, 0) },
		} {
			refuse(what, usual(change))
		}
		if journal := fake.Journal(); len(journal) != 0 {
			t.Errorf("%s: something was sent: %v", version, journal)
		}
	}
}

// TestNamesOfOrders is TestNames for the calls that read.
func TestNamesOfOrders(t *testing.T) {
	for version := range versions {
		c := newClient(t, version, http.NotFoundHandler())
		for _, id := range []string{"", "a b", "1&x=2", "../1", "1/2"} {
			if _, err := c.Get(t.Context(), id); cloud.CodeOf(err) != cloud.InvalidSpec {
				t.Errorf("%s: order %q: %v", version, id, err)
			}
		}
		for _, name := range bad {
			project, table := everything(), everything()
			project.Project, table.Table = name, "x"+name+"*"
			for _, query := range []dataworks.Query{project, table} {
				if _, err := c.Search(t.Context(), query); cloud.CodeOf(err) != cloud.InvalidSpec {
					t.Errorf("%s: search %+v: %v", version, query, err)
				}
			}
		}
		for _, query := range []dataworks.Query{{Project: project}, {Project: project, Since: now}, {Project: project, Since: now, Until: now.Add(-1)}, {Project: project, Since: now, Until: now, WorkspaceID: -1}} {
			if _, err := c.Search(t.Context(), query); cloud.CodeOf(err) != cloud.InvalidSpec {
				t.Errorf("%s: search %+v: %v", version, query, err)
			}
		}
	}
}

// TestTexts: what is free text arrives as it was.
func TestTexts(t *testing.T) {
	for version := range versions {
		fake := newCloud(t)
		c := newClient(t, version, fake)
		const reason, odd = "a&b=c;d+e f\n\"'<>%20 表 [mark:1]", `c&d=1,"e" [x]`
		must(t, fake.DeclareTable(project, "", "odd", fakecloud.Column{Name: odd}))
		id := submitted(t, c, usual(func(r *dataworks.Request) {
			r.Reason, r.Objects = reason, []dataworks.Object{{Name: "odd", Actions: []string{"Select"}, Columns: []dataworks.Column{{Name: odd}}}}
		}))
		order, err := c.Get(t.Context(), id)
		must(t, err)
		if order.Reason != reason || order.Objects[0].Columns[0].Name != odd {
			t.Errorf("%s: got %+v", version, order)
		}
	}
}

func TestWhatAVersionCannotAskFor(t *testing.T) {
	tests := map[string]struct {
		version      string
		change       func(*dataworks.Request)
		notSupported bool
	}{
		"a schema":                 {dataworks.Version2020, func(r *dataworks.Request) { r.Objects[0].Schema = "ods" }, true},
		"a whole table":            {dataworks.Version2020, func(r *dataworks.Request) { r.Objects[0].Columns = nil }, false},
		"a role":                   {dataworks.Version2020, func(r *dataworks.Request) { r.UserIDs = []string{"ROLE_5"} }, false},
		"a large workspace":        {dataworks.Version2020, func(r *dataworks.Request) { r.WorkspaceID = 1 << 31 }, false},
		"another type":             {dataworks.Version2024, func(r *dataworks.Request) { r.ApplyType = "DLFTable" }, true},
		"a catalog":                {dataworks.Version2024, func(r *dataworks.Request) { r.CatalogName = "hive" }, true},
		"a table of no workspace":  {dataworks.Version2024, func(r *dataworks.Request) { r.WorkspaceID = 0 }, false},
		"a user who is not a user": {dataworks.Version2024, func(r *dataworks.Request) { r.UserIDs = []string{"role_5"} }, false},
	}
	for name, tc := range tests {
		_, err := newClient(t, tc.version, http.NotFoundHandler()).Submit(t.Context(), usual(tc.change))
		if cloud.CodeOf(err) != cloud.InvalidSpec || dataworks.IsNotSupported(err) != tc.notSupported {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
