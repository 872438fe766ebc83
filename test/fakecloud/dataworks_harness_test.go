package fakecloud

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// newOrders returns a client of a cloud with two tables, one of them declared with columns, and two accounts.
func newOrders(t testing.TB, opts Options) *client {
	t.Helper()
	opts.Projects = []Project{{Name: testProject}, {Name: "three", ThreeTier: true}, {Name: "strict", Strict: true}}
	opts.Clock = func() time.Time { return orderTime }
	c := newClient(t, opts)
	c.now = c.server.now
	if err := c.server.DeclareTable("Shop", "", "Orders", Column{Name: "id", Type: "BIGINT"},
		Column{Name: "amount", Comment: "in cents", Label: 3}, Column{Name: "ds", Partition: true}); err != nil {
		t.Fatal(err)
	}
	for id, name := range map[string]string{aliceID: "RAM$corp:alice", bobID: "ALIYUN$bob@example.com"} {
		if err := c.server.AddUser(User{AccountID: id, Principal: name}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// dataWorksRequest is an unsigned request with its parameters in the query.
func (c *client) dataWorksRequest(action string, params url.Values) *http.Request {
	req := c.request(action, http.MethodPost, "/?"+params.Encode(), "")
	version := dataWorks2024
	if a := dataWorksActions[action]; a != nil {
		version = a.version
	}
	req.Header.Set("x-acs-version", version)
	return req
}

// dataWorks sends a call with its parameters in the query.
func (c *client) dataWorks(action string, params url.Values) response {
	c.t.Helper()
	return c.send(c.signACS3(c.dataWorksRequest(action, params), ""))
}

// dataWorksForm sends a call with its parameters in a form.
func (c *client) dataWorksForm(action string, params url.Values) response {
	c.t.Helper()
	body := params.Encode()
	req := c.request(action, http.MethodPost, "/", body)
	req.Header.Set("x-acs-version", dataWorks2024)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.send(c.signACS3(req, body))
}

// oldOrder are the parameters of a request of the older generation, with others in place of the usual ones.
func oldOrder(others map[string]string) url.Values {
	return with(map[string]string{
		"ApplyUserIds": aliceID, "ApplyReason": "report [k8s:1]", "MaxComputeProjectName": "Shop", "WorkspaceId": "12345",
		"ApplyObject.1.Name": "Orders", "ApplyObject.1.Actions": "Select,Describe",
		"ApplyObject.1.ColumnMetaList.1.Name": "id", "ApplyObject.1.ColumnMetaList.2.Name": "amount",
		"ApplyObject.1.ColumnMetaList.3.Name": "ds",
	}, others)
}

// twoTables are the parameters of a request for two tables.
func twoTables() url.Values {
	return oldOrder(map[string]string{
		"ApplyObject.2.Name": "cities", "ApplyObject.2.Actions": "Select", "ApplyObject.2.ColumnMetaList.1.Name": "c",
	})
}

func (c *client) createOld(others map[string]string) response {
	c.t.Helper()
	return c.dataWorks("CreatePermissionApplyOrder", oldOrder(others))
}

// newContent is one entry of ApplyContents, with others in place of the usual members.
func newContent(others map[string]any) map[string]any {
	out := map[string]any{
		"AccessTypes": []string{"select", "describe"}, "ExpirationTime": orderTime.Add(24 * time.Hour).UnixMilli(),
		"Grantee": map[string]string{"PrincipalType": "RamUser", "PrincipalId": aliceID},
		"Resource": map[string]any{"DefSchema": "MaxCompute", "DefVersion": "v1.0.0", "MetaData": map[string]any{
			"workspace": "672230", "project": "Shop", "schema": "default", "table": "Orders",
		}},
	}
	maps.Copy(out, others)
	for name, v := range out {
		if v == nil {
			delete(out, name)
		}
	}
	return out
}

func onTable(meta map[string]any) map[string]any {
	return map[string]any{"DefSchema": "MaxCompute", "DefVersion": "v1.0.0", "MetaData": meta}
}

func newOrder(token string, contents ...map[string]any) url.Values {
	if len(contents) == 0 {
		contents = []map[string]any{newContent(nil)}
	}
	return with(map[string]string{"Reason": "report [k8s:1]", "ApplyContents": string(mustJSON(contents)), "ClientToken": token}, nil)
}

func (c *client) createNew(token string, contents ...map[string]any) response {
	c.t.Helper()
	return c.dataWorks("ApplyResourceAccessPermission", newOrder(token, contents...))
}

// ids are those in the answer to a request of either generation.
func (r response) ids() []string {
	var v struct{ FlowId, Data []string } //nolint:revive // as the wire has it
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		return []string{err.Error()}
	}
	return append(v.FlowId, v.Data...)
}

// one is the only id in an answer.
func (r response) one(t testing.TB) string {
	t.Helper()
	ids := r.ids()
	if len(ids) != 1 {
		t.Fatalf("not one id: %v", r)
	}
	return ids[0]
}

// inside is what is at a path of members in an answer; numbers are indexes of lists.
func (r response) inside(path ...any) any {
	var v any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		return err
	}
	for _, step := range path {
		switch at := v.(type) {
		case map[string]any:
			v = at[step.(string)]
		case []any:
			if step.(int) >= len(at) {
				return nil
			}
			v = at[step.(int)]
		default:
			return nil
		}
	}
	if f, ok := v.(float64); ok {
		return int64(f)
	}
	return v
}

func (c *client) detail(id string) response {
	c.t.Helper()
	return c.dataWorks("GetPermissionApplyOrderDetail", url.Values{"FlowId": {id}})
}

func (c *client) contentsOf(id string) response {
	c.t.Helper()
	return c.dataWorks("GetApplicationContents", url.Values{"ProcessInstanceId": {id}})
}

func (c *client) process(id string) response {
	c.t.Helper()
	return c.dataWorks("GetProcessInstance", url.Values{"ProcessInstanceId": {id}})
}

func (c *client) stop(id string) response {
	c.t.Helper()
	return c.dataWorksForm("StopProcessInstance", url.Values{"ProcessInstanceId": {id}})
}

// permissions spells what is granted to everybody.
func (c *client) permissions() string {
	var out []string
	for _, g := range c.server.TablePermissions("", "", "") {
		line := g.User[len(g.User)-1:] + " " + g.Table + ":" + g.Action
		if g.Columns != nil {
			line += "(" + strings.Join(g.Columns, ",") + ")"
		}
		out = append(out, line)
	}
	return strings.Join(out, " ")
}

// states spells the orders.
func (c *client) states() string {
	var out []string
	for _, o := range c.server.Orders() {
		out = append(out, string(o.State))
	}
	return strings.Join(out, ", ")
}

func (c *client) formAndQuery(contentType string) response {
	body := newOrder("").Encode()
	req := c.request("ApplyResourceAccessPermission", http.MethodPost, "/?ClientToken=x", body)
	req.Header.Set("x-acs-version", dataWorks2024)
	req.Header.Set("Content-Type", contentType)
	return c.send(c.signACS3(req, body))
}

func (c *client) rawForm(body string) response {
	req := c.request("StopProcessInstance", http.MethodPost, "/", body)
	req.Header.Set("x-acs-version", dataWorks2024)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.send(c.signACS3(req, body))
}

func (c *client) rawQuery(query string) response {
	req := c.dataWorksRequest("StopProcessInstance", nil)
	req.URL.RawQuery = query
	return c.send(c.signACS3(req, ""))
}

func (c *client) tampered() response {
	req := c.signACS3(c.dataWorksRequest("CreatePermissionApplyOrder", oldOrder(nil)), "")
	req.URL.RawQuery = oldOrder(map[string]string{"ApplyUserIds": bobID}).Encode()
	return c.send(req)
}

func (c *client) admin(method, target, body string) response {
	c.t.Helper()
	req := c.request("", method, "/_admin/"+target, body)
	return c.send(req)
}

func (r response) list() []any {
	var v []any
	if json.Unmarshal([]byte(r.body), &v) != nil {
		return nil
	}
	return v
}

// listNew are the parameters of ListMyApplications, with others in place of the usual ones.
func listNew(others map[string]string) url.Values {
	return with(map[string]string{
		"DefSchema": "MaxCompute", "ResourceType": `["table"]`, "StartTime": fmt.Sprint(orderTime.Add(-time.Hour).UnixMilli()),
		"EndTime": fmt.Sprint(orderTime.Add(time.Hour).UnixMilli()),
	}, others)
}

func (c *client) listOld(others map[string]string) response {
	c.t.Helper()
	return c.dataWorks("ListPermissionApplyOrders", with(map[string]string{"QueryType": "0"}, others))
}

// revoke are the parameters of RevokeTablePermission.
func revoke(others map[string]string) url.Values {
	return with(map[string]string{
		"WorkspaceId": "12345", "MaxComputeProjectName": "shop", "TableName": "Orders", "Actions": "Select", "RevokeUserId": aliceID,
	}, others)
}

// flowIDs are the orders in a list of the older generation.
func (r response) flowIDs() []string {
	return r.strings("FlowId", "ApplyOrders", "ApplyOrder")
}

// processIDs are the orders in a list of the newer generation.
func (r response) processIDs() []string {
	return r.strings("ProcessInstanceId", "Data", "Data")
}

func (r response) strings(member string, path ...any) []string {
	items, _ := r.inside(path...).([]any)
	var out []string
	for _, item := range items {
		m, _ := item.(map[string]any)
		text, _ := m[member].(string)
		out = append(out, text)
	}
	return out
}

func reversed(ids []string) []string {
	out := slices.Clone(ids)
	slices.Reverse(out)
	return out
}
