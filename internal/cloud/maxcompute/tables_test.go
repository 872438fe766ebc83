package maxcompute_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

func TestColumnsOfATableOfTheFake(t *testing.T) {
	server := newCloud(t)
	c := newClient(t, serve(t, server))
	must(t, server.DeclareTable(project, "", "orders", fakecloud.Column{Name: "ds", Partition: true}, fakecloud.Column{Name: "id"}, fakecloud.Column{Name: "Amount"}))
	must(t, server.DeclareTable(project, "ods", "orders", fakecloud.Column{Name: "raw"}))
	must(t, server.DeclareTable(project, "", "empty"))
	tests := map[string]struct {
		project, schema, table string
		want                   []string
		code                   cloud.Code
	}{
		"partitions come last":              {project: project, table: "orders", want: []string{"id", "Amount", "ds"}},
		"the default schema by name":        {project: project, schema: "Default", table: "Orders", want: []string{"id", "Amount", "ds"}},
		"another schema":                    {project: project, schema: "ods", table: "orders", want: []string{"raw"}},
		"a table that does not exist":       {project: project, table: "cities", code: cloud.NotFound},
		"a table that is in another schema": {project: project, schema: "dwd", table: "orders", code: cloud.NotFound},
		"a project that does not exist":     {project: "nowhere", table: "orders", code: cloud.ProjectNotFound},
		"a table without columns":           {project: project, table: "empty", code: cloud.UnexpectedResponse},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := c.TableColumns(t.Context(), tc.project, tc.schema, tc.table)
			if diff := cmp.Diff(tc.want, got); diff != "" || cloud.CodeOf(err) != tc.code || (err == nil) != (tc.code == "") {
				t.Errorf("got %v, columns (-want +got):\n%s", err, diff)
			}
		})
	}
	if got := count(server, "GetTableInfo"); got != len(tests) || len(server.Writes()) != 0 {
		t.Errorf("%d reads for %d calls, writes %v", got, len(tests), server.Writes())
	}
}

func TestColumnsAreAskedForOnTheWire(t *testing.T) {
	for schema, query := range map[string]string{"": "", "default": "", "DEFAULT": "", "Ods": "?schemaName=Ods"} {
		wire := &recorder{data: `{"nativeColumns":[{"name":"id"}]}`}
		_, err := newLocalClient(t, wire).TableColumns(t.Context(), "p", schema, "t")
		must(t, err)
		want := []recorded{{Line: "GET /api/v1/projects/p/tables/t" + query, Action: "GetTableInfo"}}
		if diff := cmp.Diff(want, wire.requests); diff != "" {
			t.Errorf("schema %q: what was sent (-want +got):\n%s", schema, diff)
		}
	}
}

func TestColumnsAreReadWholeOrNot(t *testing.T) {
	const noData = "the answer holds no data that could be understood"
	tests := map[string]struct{ body, text string }{
		"no data":                           {`{}`, noData},
		"null":                              {`{"data":null}`, noData},
		"a job to wait for":                 {`{"data":"20260101jobid"}`, noData},
		"columns that are texts":            {`{"data":{"nativeColumns":["id"]}}`, noData},
		"a column whose name is a number":   {`{"data":{"nativeColumns":[{"name":1}]}}`, noData},
		"partitions that are no list":       {`{"data":{"nativeColumns":[{"name":"id"}],"partitionColumns":{}}}`, noData},
		"no list":                           {`{"data":{"name":"t"}}`, "the answer holds no list of columns"},
		"a list that is null":               {`{"data":{"nativeColumns":null}}`, "the answer holds no list of columns"},
		"a list of the partitions only":     {`{"data":{"partitionColumns":[{"name":"ds"}]}}`, "the answer holds no list of columns"},
		"no columns":                        {`{"data":{"nativeColumns":[]}}`, "the answer holds a table without columns"},
		"no columns, in two lists":          {`{"data":{"nativeColumns":[],"partitionColumns":[]}}`, "the answer holds a table without columns"},
		"a column without a name":           {`{"data":{"nativeColumns":[{"name":"id"},{"type":"BIGINT"}]}}`, "the answer holds a column without a name"},
		"a column whose name is blank":      {`{"data":{"nativeColumns":[{"name":" "}]}}`, "the answer holds a column without a name"},
		"a column that is null":             {`{"data":{"nativeColumns":[{"name":"id"},null]}}`, "the answer holds a column without a name"},
		"a partition column without a name": {`{"data":{"nativeColumns":[{"name":"id"}],"partitionColumns":[{}]}}`, "the answer holds a column without a name"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := newLocalClient(t, &script{{status: 200, body: tc.body}}).TableColumns(t.Context(), "p", "ods", "t")
			want := seen{Code: cloud.UnexpectedResponse, Text: "get the columns of table ods.t in project p: " + tc.text}
			if diff := cmp.Diff(want, look(err)); diff != "" || got != nil {
				t.Errorf("got %v, the error (-want +got):\n%s", got, diff)
			}
		})
	}
	for name, body := range map[string]string{
		"no partitions":        `{"data":{"nativeColumns":[{"name":"id"}]}}`,
		"null for partitions":  `{"data":{"nativeColumns":[{"name":"id"}],"partitionColumns":null}}`,
		"partition columns":    `{"data":{"nativeColumns":[],"partitionColumns":[{"name":"id"}]}}`,
		"a placeholder's code": `{"httpCode":200,"errorCode":"040002","data":{"nativeColumns":[{"name":"id"}]}}`,
	} {
		got, err := newLocalClient(t, &script{{status: 200, body: body}}).TableColumns(t.Context(), "p", "", "t")
		must(t, err)
		if diff := cmp.Diff([]string{"id"}, got); diff != "" {
			t.Errorf("%s: columns (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzAPathOfATableHoldsExactlyWhatWasAsked(f *testing.F) {
	for _, name := range hostile {
		f.Add("p", "ods", name)
		f.Add("p", name, "t")
		f.Add(name, "", "t")
	}
	f.Fuzz(func(t *testing.T, project, schema, table string) {
		wire := &recorder{data: `{"nativeColumns":[{"name":"id"}]}`}
		_, err := newLocalClient(t, wire).TableColumns(t.Context(), project, schema, table)
		if err != nil {
			if cloud.CodeOf(err) != cloud.InvalidSpec || len(wire.requests) != 0 {
				t.Errorf("%v after %d requests", err, len(wire.requests))
			}
			return
		}
		line := "GET /api/v1/projects/" + project + "/tables/" + table
		if !strings.EqualFold(orDefault(schema), "default") {
			line += "?schemaName=" + schema
		}
		if len(wire.requests) != 1 || wire.requests[0].Line != line || !isWord(project) || !isWord(orDefault(schema)) || !isWord(table) {
			t.Errorf("sent %v, want %s", wire.requests, line)
		}
	})
}

// grantedByOrders makes alice hold actions on the table orders of two schemas, as approved permission requests leave them behind.
func grantedByOrders(t *testing.T, server *fakecloud.Server, url string) {
	t.Helper()
	must(t, server.AddUser(fakecloud.User{AccountID: aliceID, Principal: alice}))
	requests, err := dataworks.New2024(dataworks.Config{Endpoint: url, Credential: permanent, HTTPClient: openapi.NewHTTPClient()})
	must(t, err)
	for _, schema := range []string{"default", "ods"} {
		must(t, server.DeclareTable(project, schema, "orders", fakecloud.Column{Name: "id"}))
		ids, err := requests.Submit(t.Context(), dataworks.Request{
			UserIDs: []string{aliceID}, Reason: "report", Project: project, WorkspaceID: 1, Token: schema,
			Objects: []dataworks.Object{{Schema: schema, Name: "orders", Actions: []string{"Select", "Describe", "Drop", "Alter", "Update", "Download"}}},
		})
		must(t, err)
		must(t, server.ApproveOrder(ids[0], fakecloud.Approval{}))
	}
	server.ResetJournal()
}

// held lists what alice holds, as "schema action".
func held(server *fakecloud.Server) []string {
	out := []string{}
	for _, p := range server.TablePermissions(project, "orders", alice) {
		out = append(out, p.SchemaName+" "+p.Action)
	}
	return out
}

// rights are what is held in the default schema and in ods.
func rights(inDefault, inODS string) []string {
	out := []string{}
	for action := range strings.FieldsSeq(inDefault) {
		out = append(out, "default "+action)
	}
	for action := range strings.FieldsSeq(inODS) {
		out = append(out, "ods "+action)
	}
	return out
}

const everyRight = "alter describe download drop select update"

func TestActionsAreRevokedFromAUser(t *testing.T) {
	tests := map[string]struct {
		schema, principal string
		actions           []string
		statement         string
		// gone are the actions that the statement took.
		gone []string
		left []string
	}{
		"one action": {
			principal: alice, actions: []string{"Select"},
			statement: "REVOKE Select ON TABLE orders FROM USER RAM$corp:alice;", gone: []string{"select"},
			left: rights("alter describe download drop update", everyRight),
		},
		"all that can be requested": {
			schema: "Default", principal: alice, actions: []string{"Select", "Describe", "Drop", "Alter", "Update", "Download"},
			statement: "REVOKE Select, Describe, Drop, Alter, Update, Download ON TABLE orders FROM USER RAM$corp:alice;",
			gone:      strings.Fields(everyRight), left: rights("", everyRight),
		},
		"in another schema, spelt otherwise": {
			schema: "ods", principal: "ram$Corp:Alice", actions: []string{"DROP", "download"},
			statement: "REVOKE DROP, download ON TABLE orders FROM USER ram$Corp:Alice;", gone: []string{"download", "drop"},
			left: rights(everyRight, "alter describe select update"),
		},
		"all but the download": {
			principal: alice, actions: []string{"All"},
			statement: "REVOKE All ON TABLE orders FROM USER RAM$corp:alice;", gone: strings.Fields("alter describe drop select update"),
			left: rights("download", everyRight),
		},
		"what is not there": {
			principal: alice, actions: []string{"ShowHistory"},
			statement: "REVOKE ShowHistory ON TABLE orders FROM USER RAM$corp:alice;", left: rights(everyRight, everyRight),
		},
		"another user": {
			principal: "ALIYUN$ops@example.com", actions: []string{"Select"},
			statement: "REVOKE Select ON TABLE orders FROM USER ALIYUN$ops@example.com;", left: rights(everyRight, everyRight),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newCloud(t)
			url := serve(t, server)
			c := newClient(t, url)
			must(t, server.AddUser(fakecloud.User{Principal: "ALIYUN$ops@example.com"}))
			grantedByOrders(t, server, url)
			revoke := func() { must(t, c.RevokeFromUser(t.Context(), project, tc.schema, "orders", tc.actions, tc.principal)) }
			revoke()
			if diff := cmp.Diff(tc.left, held(server)); diff != "" {
				t.Errorf("what is left (-want +got):\n%s", diff)
			}
			revoke() // the fake does not mind
			if diff := cmp.Diff(tc.left, held(server)); diff != "" {
				t.Errorf("what is left after the second call (-want +got):\n%s", diff)
			}
			var changes []fakecloud.Change
			if tc.gone != nil {
				schema := strings.ToLower(orDefault(tc.schema))
				changes = []fakecloud.Change{{Change: fakecloud.ChangeRevokeTable, Kind: "table", SchemaName: schema, Name: "orders", Actions: tc.gone, Principal: alice}}
			}
			want := []write{{tc.statement, true, changes}, {tc.statement, true, nil}}
			if diff := cmp.Diff(want, writes(server)); diff != "" {
				t.Errorf("journal (-want +got):\n%s", diff)
			}
		})
	}
}

// write is a statement in the fake's journal.
type write struct {
	Statement string
	Applied   bool
	Changes   []fakecloud.Change
}

func writes(server *fakecloud.Server) []write {
	out := []write{}
	for _, entry := range server.Writes() {
		out = append(out, write{entry.Statement, entry.Applied, entry.Changes})
	}
	return out
}

func TestARevocationFromAUserThatFails(t *testing.T) {
	const op = "revoke Select on Table orders, user RAM$corp:alice in project analytics"
	all, without := rights(everyRight, everyRight), rights("alter describe download drop update", everyRight)
	tests := map[string]struct {
		fault fakecloud.Fault
		// want has an empty code for success.
		want    seen
		refused bool
		left    []string
	}{
		"late, with success": {fault: fakecloud.Fault{Kind: fakecloud.FaultAsync, Polls: 3}, left: without},
		"late, with an error": {
			fault: fakecloud.Fault{Kind: fakecloud.FaultAsync, Polls: 2, Outcome: "FAILED", Message: "ODPS-0420061: Invalid parameter - no such user"},
			want:  seen{Code: cloud.RemoteRejected, Text: op + ": ODPS-0420061: Invalid parameter - no such user"}, refused: true, left: all,
		},
		"for want of a right": {
			fault: fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Message: "Access Denied - [4019]"},
			want:  seen{Code: cloud.PermissionDenied, Text: op + ": ODPS-0420095: Access Denied - [4019]"}, refused: true, left: all,
		},
		"with a lost answer": {
			fault: fakecloud.Fault{Kind: fakecloud.FaultDropAfter},
			want:  seen{Code: cloud.RemoteUnavailable, Text: op + ": the connection was lost before an answer arrived"}, left: without,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newCloud(t)
			url := serve(t, server)
			grantedByOrders(t, server, url)
			tc.fault.Statement, tc.fault.Times = "FROM USER", 1
			server.Inject(tc.fault)
			err := newClient(t, url).RevokeFromUser(t.Context(), project, "", "orders", []string{"Select"}, alice)
			if tc.want.Code == "" {
				must(t, err)
			} else if diff := cmp.Diff(tc.want, look(err)); diff != "" || cloud.Refused(err) != tc.refused {
				t.Errorf("refused: %v, the error (-want +got):\n%s", cloud.Refused(err), diff)
			}
			if diff := cmp.Diff(tc.left, held(server)); diff != "" {
				t.Errorf("what is left (-want +got):\n%s", diff)
			}
		})
	}
	server := newCloud(t)
	c := newClient(t, serve(t, server))
	must(t, server.AddUser(fakecloud.User{Principal: alice}))
	if err := c.RevokeFromUser(t.Context(), "nowhere", "", "orders", []string{"Select"}, alice); cloud.CodeOf(err) != cloud.ProjectNotFound {
		t.Errorf("in a project that does not exist: %v", err)
	}
	if err := c.RevokeFromUser(t.Context(), project, "", "orders", []string{"Select"}, "RAM$corp:nobody"); cloud.CodeOf(err) != cloud.RemoteRejected {
		t.Errorf("from a user who does not exist: %v", err)
	}
}

func TestWhatARevocationFromAUserCannotSay(t *testing.T) {
	const noForm = ` is not of the form ALIYUN$account, RAM$owner:user or RAM$owner:role/name`
	tests := map[string]struct {
		project, schema, table string
		actions                []string
		principal              string
		want                   string
	}{
		"no project":                   {"", "", "t", []string{"Select"}, alice, `"" cannot be the name of a project`},
		"no table":                     {"p", "", "", []string{"Select"}, alice, `"" cannot be the name of a table`},
		"all tables":                   {"p", "", "*", []string{"Select"}, alice, `"*" cannot be the name of a table`},
		"tables by prefix":             {"p", "", "ods_*", []string{"Select"}, alice, `"ods_*" cannot be the name of a table`},
		"a table with its schema":      {"p", "", "ods.t", []string{"Select"}, alice, `"ods.t" cannot be the name of a table`},
		"a schema with a dot":          {"p", "a.b", "t", []string{"Select"}, alice, `"a.b" cannot be the name of a schema`},
		"no action":                    {"p", "", "t", nil, alice, "no action is given on Table t"},
		"an action that is not known":  {"p", "", "t", []string{"Select", "Read"}, alice, "Read is no action on a Table (t)"},
		"an action with columns":       {"p", "", "t", []string{"Select(id)"}, alice, `"Select(id)" cannot be an action`},
		"two actions in one":           {"p", "", "t", []string{"Select, Drop"}, alice, `"Select, Drop" cannot be an action`},
		"an action in strange letters": {"p", "", "t", []string{"Descr\u0130be"}, alice, "\"Descr\u0130be\" cannot be an action"},
		"nobody":                       {"p", "", "t", []string{"Select"}, "", `""` + noForm},
		"a user without an owner":      {"p", "", "t", []string{"Select"}, "RAM$alice", `"RAM$alice"` + noForm},
		"a user and a statement":       {"p", "", "t", []string{"Select"}, alice + ";", `"RAM$corp:alice;"` + noForm},
		"a user with a comment":        {"p", "", "t", []string{"Select"}, "RAM$corp:a--b", `"RAM$corp:a--b" cannot be named in a statement`},
		"a user in strange letters":    {"p", "", "t", []string{"Select"}, "RAM$corp:\u0430lice", "\"RAM$corp:\u0430lice\" cannot be named in a statement"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			wire := &recorder{}
			err := newLocalClient(t, wire).RevokeFromUser(t.Context(), tc.project, tc.schema, tc.table, tc.actions, tc.principal)
			if diff := cmp.Diff(seen{Code: cloud.InvalidSpec, Text: "check names: " + tc.want}, look(err)); diff != "" || len(wire.requests) != 0 {
				t.Errorf("after %d requests the error (-want +got):\n%s", len(wire.requests), diff)
			}
		})
	}
}

// principalInStatement is what the grammar leaves to a principal: nothing that ends a statement, quotes or begins a comment.
var principalInStatement = regexp.MustCompile(`^[A-Za-z]+\$[A-Za-z0-9._@+:/-]+$`)

func FuzzARevocationFromAUserHoldsExactlyWhatWasAsked(f *testing.F) {
	for _, name := range hostile {
		f.Add("", name, "Select", alice, "p")
		f.Add(name, "t", "Select", alice, "p")
		f.Add("ods", "t", name, alice, "p")
		f.Add("ods", "t", "Download", name, "p")
		f.Add("ods", "t", "Download", "ALIYUN$"+name, "p")
		f.Add("ods", "t", "Download", "RAM$"+name+":"+name, "p")
		f.Add("ods", "t", "Download", "RAM$corp:role/"+name, "p")
		f.Add("ods", "t", "all", alice, name)
	}
	f.Fuzz(func(t *testing.T, schema, table, action, principal, project string) {
		wire := &recorder{}
		err := newLocalClient(t, wire).RevokeFromUser(t.Context(), project, schema, table, []string{action, "Update"}, principal)
		if err == nil && (!principalInStatement.MatchString(principal) || strings.Contains(principal, "--")) {
			t.Errorf("sent %v", wire.requests)
		}
		// The rest is a statement of words, once the principal is one.
		const stand = "principal"
		for i := range wire.requests {
			wire.requests[i].Body = strings.Replace(wire.requests[i].Body, "FROM USER "+principal+";", "FROM USER "+stand+";", 1)
		}
		want := asked{
			tokens: []string{"REVOKE", action, ",", "Update", "ON", "TABLE", table, "FROM", "USER", stand, ";"}, schema: schema, project: project,
		}
		want.check(t, wire, err)
		if err == nil && (!isWord(table) || !isWord(action) || strings.Contains(table, "*")) {
			t.Errorf("sent %v", wire.requests)
		}
	})
}

func TestTablesUnderEverySignature(t *testing.T) {
	for name, change := range map[string]func(*maxcompute.Config){
		"for a region": func(*maxcompute.Config) {}, "without a region": func(c *maxcompute.Config) { c.Region = "" },
	} {
		t.Run(name, func(t *testing.T) {
			server := newCloud(t)
			url := serve(t, server)
			grantedByOrders(t, server, url)
			c := newClient(t, url, change)
			for _, call := range []func(context.Context) error{
				func(ctx context.Context) error { _, err := c.TableColumns(ctx, project, "ods", "orders"); return err },
				func(ctx context.Context) error { _, err := c.AccountName(ctx, aliceID); return err },
				func(ctx context.Context) error {
					return c.RevokeFromUser(ctx, project, "ods", "orders", []string{"Update"}, alice)
				},
			} {
				must(t, call(t.Context()))
			}
			if diff := cmp.Diff(rights(everyRight, "alter describe download drop select"), held(server)); diff != "" {
				t.Errorf("what is left (-want +got):\n%s", diff)
			}
		})
	}
}
