package fakecloud

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// listRequest is a list of instances with the client's credentials.
func (c *insightClient) listRequest(query string) *http.Request {
	req := httptest.NewRequestWithContext(c.t.Context(), http.MethodGet, "/v1/"+c.project+"/instances?"+query, http.NoBody)
	if c.workspace != "" {
		req.Header.Set("X-Workspace-Id", c.workspace)
	}
	if c.token != "" {
		req.Header.Set("X-Auth-Token", c.token)
	} else {
		c.sign(req, "", c.server.now())
	}
	return req
}

func TestInsightInstances(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	c.workspace = ""
	for _, query := range []string{"offset=0&limit=1", "limit=1000&offset=0"} {
		resp := c.send(c.listRequest(query))
		want(t, "outcome", fmt.Sprint(resp.status, " ", resp.header.Get("Content-Type"), " ", resp.inside("count")), "200 application/json;charset=utf-8 1")
		page, _ := resp.inside("page_data").([]any)
		want(t, "length", len(page), 1)
		instance, _ := page[0].(map[string]any)
		want(t, "instance", fmt.Sprint(instance["project_id"], " ", instance["region_id"]), insightProject+" cn-southwest-2")
	}
	e := c.last()
	want(t, "entry", fmt.Sprint(e.Service, " ", e.Action, " ", e.Project, " ", e.AccessKeyID, " ", e.Status, " ", e.Write, " ", e.Completed),
		"insight ListInstances "+insightProject+" "+insightKeyID+" 200 false true")
	want(t, "beyond the end", fmt.Sprint(c.send(c.listRequest("offset=1&limit=1")).inside("page_data")), "[]")
	c.useToken(projectScope)
	want(t, "with a token", c.send(c.listRequest("offset=0&limit=1")).status, http.StatusOK)
	c.wantNoViolations()
}

func TestInsightInstancesRefused(t *testing.T) {
	tests := map[string]struct {
		prepare func(c *insightClient)
		want    string
	}{
		"no refusal of who may not export":  {func(c *insightClient) { must(c.t, c.server.DenyExports(insightKeyID)) }, "200 "},
		"a project without workspaces":      {func(c *insightClient) { c.project = "other-project" }, "200 "},
		"an abnormal workspace":             {func(c *insightClient) { c.workspace = "broken" }, "200 "},
		"a missing workspace":               {func(c *insightClient) { c.workspace = "gone" }, "400 DataArtsInsight.24150005"},
		"a wrong key":                       {func(c *insightClient) { c.secret = "wrong" }, "401 APIGW.0301"},
		"a wrong token":                     {func(c *insightClient) { c.token = "MIIwrong" }, "401 APIGW.0301"},
		"a token that has ended":            {func(c *insightClient) { c.useToken(projectScope); c.server.ExpireIAMTokens() }, "401 APIGW.0307"},
		"a token of another project":        {func(c *insightClient) { c.useToken(`{"project":{"id":"other-project"}}`) }, "403 DataArtsInsight.20010003"},
		"a fault that denies":               {func(c *insightClient) { c.server.Inject(Fault{Kind: FaultAccessDenied}) }, "403 DataArtsInsight.20010003"},
		"no workspace, where one is needed": {func(c *insightClient) { c.server.SetInsightStyle(InsightStyle{InstancesNeedWorkspace: true}) }, "400 DataArtsInsight.24150005"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newInsight(t, InsightStyle{})
			c.workspace = ""
			tt.prepare(c)
			resp := c.send(c.listRequest("offset=0&limit=1"))
			want(t, "outcome", fmt.Sprint(resp.status, " ", resp.insightCode()), tt.want)
			c.wantNoViolations()
		})
	}
}

func TestInsightInstancesViolations(t *testing.T) {
	tests := map[string]func(c *insightClient) *http.Request{
		"no offset":            func(c *insightClient) *http.Request { return c.listRequest("limit=1") },
		"no limit":             func(c *insightClient) *http.Request { return c.listRequest("offset=0") },
		"a limit of nothing":   func(c *insightClient) *http.Request { return c.listRequest("offset=0&limit=0") },
		"too high a limit":     func(c *insightClient) *http.Request { return c.listRequest("offset=0&limit=1001") },
		"too high an offset":   func(c *insightClient) *http.Request { return c.listRequest("offset=1001&limit=1") },
		"a negative offset":    func(c *insightClient) *http.Request { return c.listRequest("offset=-1&limit=1") },
		"an unknown parameter": func(c *insightClient) *http.Request { return c.listRequest("offset=0&limit=1&x=1") },
		"a parameter twice":    func(c *insightClient) *http.Request { return c.listRequest("offset=0&limit=1&limit=1") },
		"another method": func(c *insightClient) *http.Request {
			req := c.listRequest("offset=0&limit=1")
			req.Method = http.MethodPost
			return req
		},
		"another content type": func(c *insightClient) *http.Request {
			req := c.listRequest("offset=0&limit=1")
			req.Header.Set("Content-Type", "text/plain")
			return req
		},
	}
	for name, request := range tests {
		t.Run(name, func(t *testing.T) {
			c := newInsight(t, InsightStyle{})
			resp := c.send(request(c))
			want(t, "refusal", fmt.Sprint(resp.status, " ", resp.insightCode()), "501 "+codeNotImplemented)
			want(t, "violations", len(c.server.Violations()), 1)
		})
	}
}
