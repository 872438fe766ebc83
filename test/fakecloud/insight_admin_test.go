package fakecloud

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func (c *insightClient) admin(method, target, body string) response {
	c.t.Helper()
	rec := httptest.NewRecorder()
	c.server.ServeHTTP(rec, httptest.NewRequestWithContext(c.t.Context(), method, "/_admin/"+target, strings.NewReader(body)))
	return response{rec.Code, rec.Header(), rec.Body.String(), nil}
}

// TestInsightAdmin drives an empty cloud over HTTP only.
func TestInsightAdmin(t *testing.T) {
	s := New(Options{Clock: func() time.Time { return insightTime }})
	c := &insightClient{t: t, server: s, key: "K", secret: "fake-secret", project: "p1", workspace: "w1", contentType: "application/json"}
	const resource = `"project":"p1","workspace":"w1","type":"dashboard","id":"d1"`
	do := func(method, target, body string) response {
		t.Helper()
		resp := c.admin(method, "insight/"+target, body)
		if resp.status != http.StatusOK {
			t.Errorf("%s %s: %v", method, target, resp)
		}
		return resp
	}
	export := func(what, outcome string) response {
		t.Helper()
		resp := c.export("dashboard/d1")
		want(t, what, fmt.Sprint(resp.status, " ", resp.insightCode()), outcome)
		return resp
	}
	const good = "200 "
	do("POST", "projects", `{"id":"p1","name":"cn-southwest-2"}`)
	do("POST", "workspaces", `{"project":"p1","id":"w1"}`)
	do("POST", "resources", `{`+resource+`,"size":5000}`)
	do("POST", "users", `{"domain":"corp","name":"exporter","password":"fake-password"}`)
	do("POST", "keys", `{"accessKeyID":"K","secretAccessKey":"fake-secret","user":"corp/exporter"}`)
	first := export("an export", good)
	sum := do("POST", "sums", `{"project":"p1","workspace":"w1","resources":["dashboard/d1"]}`)
	want(t, "sum", fmt.Sprint(sum.inside("size"), sum.inside("sha256")), fmt.Sprint(5000, hexSum(first.body)))

	do("POST", "resources/change", `{`+resource+`}`)
	want(t, "changed", export("a changed export", good).body == first.body, false)
	do("POST", "resources/change", `{`+resource+`,"version":1}`)
	want(t, "changed back", export("an export as before", good).body == first.body, true)
	do("POST", "resources/size", `{`+resource+`,"size":77}`)
	want(t, "size", len(export("a small export", good).body), 77)

	do("POST", "collaboration/deny", `{`+resource+`}`)
	export("denied to all", "400 DataArtsInsight.24010043")
	do("POST", "collaboration/allow", `{`+resource+`}`)
	do("POST", "collaboration/deny", `{`+resource+`,"who":["corp/exporter"]}`)
	export("denied to one", "400 DataArtsInsight.24010043")
	do("POST", "collaboration/allow", `{`+resource+`}`)
	do("POST", "deny", `{"who":"K"}`)
	export("without IAM permission", "403 DataArtsInsight.20010003")
	do("POST", "allow", `{"who":"K"}`)
	export("with all of it", good)

	do("POST", "tokens", `{"token":"fake-token","user":"corp/exporter","project":"p1","expires":"2026-07-01T13:00:00Z"}`)
	c.token = "fake-token"
	export("with a token", good)
	do("POST", "tokens", `{"token":"fake-token-2","user":"corp/exporter","project":"p1"}`)
	c.token = "fake-token-2"
	export("with a token for a day", good)
	do("POST", "style", `{"tokenBytes":100,"expiredToken":"expires","seed":7}`)
	do("POST", "tokens/expire", "")
	export("with an expired token", "401 APIGW.0301")
	c.token = ""
	want(t, "another seed", export("an export", good).body == first.body, false)

	state := c.admin("GET", "insight", "")
	want(t, "state", fmt.Sprint(state.inside("workspaces", 0, "resources", 0, "size"), state.inside("keys", 0, "accessKeyID")), "77K")
	want(t, "tokens", len(c.server.State().Insight.Tokens), 2)
	if strings.Contains(state.body, "fake-") {
		t.Errorf("a secret is told: %s", state.body)
	}
	do("DELETE", "resources/p1/w1/dashboard/d1", "")
	export("without the resource", "404 DataArtsInsight.24010003")
	do("POST", "workspaces", `{"project":"p1","id":"w1","abnormal":true}`)
	export("in an abnormal workspace", "400 DataArtsInsight.24150004")
	do("DELETE", "workspaces/p1/w1", "")
	export("without the workspace", "400 DataArtsInsight.24150005")
	do("DELETE", "users/corp/exporter", "")
	do("DELETE", "keys/K", "")
	export("without the key", "401 APIGW.0301")
	c.wantNoViolations()
}

func TestInsightAdminRefusals(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	for name, v := range map[string]struct{ target, body string }{
		"an unknown member":  {"workspaces", `{"project":"p","id":"w","x":1}`},
		"no workspace":       {"workspaces", `{}`},
		"an unknown type":    {"resources", `{"project":"` + insightProject + `","workspace":"ws1","type":"x","id":"x"}`},
		"a missing resource": {"resources/change", `{"project":"` + insightProject + `","workspace":"ws1","type":"screen","id":"x"}`},
		"no secret":          {"keys", `{"accessKeyID":"x"}`},
		"no password":        {"users", `{"domain":"corp","name":"x"}`},
		"nobody":             {"deny", `{"who":"nobody"}`},
		"a style":            {"style", `{"tokenBytes":9000}`},
		"a sum of nothing":   {"sums", `{"project":"x","workspace":"x"}`},
	} {
		want(t, name, c.admin("POST", "insight/"+v.target, v.body).status, http.StatusBadRequest)
	}
}
