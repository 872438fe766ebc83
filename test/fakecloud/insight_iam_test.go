package fakecloud

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestIAMToken(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	resp := c.askToken("/v3/auth/tokens?nocatalog=true", tokenBody("exporter", "fake-password", projectScope))
	want(t, "status", resp.status, http.StatusCreated)
	want(t, "length", len(resp.header.Get("X-Subject-Token")), 2048)
	want(t, "issued", resp.inside("token", "issued_at"), "2026-07-01T12:00:00.000000Z")
	want(t, "expires", resp.inside("token", "expires_at"), "2026-07-02T12:00:00.000000Z")
	want(t, "methods", resp.inside("token", "methods"), []string{"password"})
	want(t, "project", fmt.Sprint(resp.inside("token", "project", "id"), " ", resp.inside("token", "project", "name")), insightProject+" cn-southwest-2")
	want(t, "user", fmt.Sprint(resp.inside("token", "user", "domain", "name"), " ", resp.inside("token", "user", "name")), "corp exporter")
	if strings.Contains(resp.body, resp.header.Get("X-Subject-Token")) {
		t.Error("the token is in the body as well")
	}
	e := c.last()
	want(t, "entry", fmt.Sprint(e.Service, " ", e.Action, " ", e.Caller, " ", e.Project, " ", e.Status, " ", e.Write),
		"iam CreateToken corp/exporter "+insightProject+" 201 false")
	want(t, "sent", fmt.Sprint(e.BytesSent, e.Completed), fmt.Sprint(len(resp.body), true))

	c.token = resp.header.Get("X-Subject-Token")
	got := c.export("dashboard/d1")
	want(t, "export", got.sum(), c.sumOf("dashboard/d1"))
	want(t, "exporter", c.last().Caller+c.last().AccessKeyID, insightUser)
	c.wantNoViolations()
}

// TestIAMTokenLife: tokens end by the server's clock, and older ones stay good beside newer ones.
func TestIAMTokenLife(t *testing.T) {
	for spelling, refusal := range map[string]string{"": "APIGW.0307", TokenUpdated: "APIGW.0307", TokenExpires: "APIGW.0301"} {
		c := newInsight(t, InsightStyle{ExpiredToken: spelling})
		c.useToken(projectScope)
		old := c.token
		c.server.ShiftClock(24*time.Hour - time.Second)
		c.useToken(projectScope)
		fresh := c.token
		want(t, "two tokens", old == fresh, false)
		c.token = old
		want(t, "a second before its end", c.export("dashboard/d1").status, http.StatusOK)
		c.server.ShiftClock(time.Second)
		resp := c.export("dashboard/d1")
		want(t, "at its end", fmt.Sprint(resp.status, " ", resp.insightCode()), "401 "+refusal)
		c.token = fresh
		want(t, "the newer one", c.export("dashboard/d1").status, http.StatusOK)
		c.server.ExpireIAMTokens()
		want(t, "once all are ended", c.export("dashboard/d1").status, http.StatusUnauthorized)
		c.token = "MIInobody"
		resp = c.export("dashboard/d1")
		want(t, "an unknown one", resp.inside("error_msg"), "Incorrect IAM authentication information: decrypt token fail")
		c.wantNoViolations()
	}
}

func TestIAMTokensAreForgotten(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	for range 5 {
		c.useToken(projectScope)
		c.server.ShiftClock(49 * time.Hour)
	}
	want(t, "tokens", len(c.server.State().Insight.Tokens), 1)
}

func TestIAMTokenEnds(t *testing.T) {
	user := IAMUser{Domain: "corp", Name: "exporter", Password: "fake-password"}
	tests := map[string]struct {
		change func(*Server) error
		status int
	}{
		"with another password":       {func(s *Server) error { u := user; u.Password = "new"; return s.AddIAMUser(u) }, http.StatusUnauthorized},
		"with the user":               {func(s *Server) error { s.RemoveIAMUser("corp", "exporter"); return nil }, http.StatusUnauthorized},
		"not with the same password":  {func(s *Server) error { return s.AddIAMUser(user) }, http.StatusOK},
		"not with a user of the same": {func(s *Server) error { s.RemoveIAMUser("other", "exporter"); return nil }, http.StatusOK},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newInsight(t, InsightStyle{})
			c.useToken(projectScope)
			must(t, tt.change(c.server))
			want(t, "status", c.export("dashboard/d1").status, tt.status)
		})
	}
}

func TestIAMTokenLength(t *testing.T) {
	for _, size := range []int{64, 1000, 8192} {
		c := newInsight(t, InsightStyle{TokenBytes: size})
		c.connect()
		c.useToken(projectScope)
		want(t, "length", len(c.token), size)
		want(t, "export", c.export("dashboard/d1").status, http.StatusOK)
	}
	for _, style := range []InsightStyle{{TokenBytes: 63}, {TokenBytes: 8193}, {ExpiredToken: "x"}, {ContentType: "a\nb"}} {
		if style.Validate() == nil {
			t.Errorf("%+v: accepted", style)
		}
	}
}

func TestIAMAddedToken(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	must(t, c.server.AddIAMToken(IAMToken{Token: "fake-token", User: insightUser, Project: insightProject, Expires: insightTime.Add(time.Minute)}))
	c.token = "fake-token"
	want(t, "status", c.export("dashboard/d1").status, http.StatusOK)
	c.server.ShiftClock(time.Minute)
	want(t, "at its end", c.export("dashboard/d1").status, http.StatusUnauthorized)
}

func TestIAMScopes(t *testing.T) {
	tests := map[string]struct {
		scope   string
		project any
		status  int
	}{
		"a project by its name":    {projectScope, insightProject, http.StatusCreated},
		"a project by its id":      {`{"project":{"id":"` + insightProject + `"}}`, insightProject, http.StatusCreated},
		"a project and its domain": {`{"project":{"name":"cn-southwest-2","domain":{"name":"corp"}}}`, insightProject, http.StatusCreated},
		"a domain":                 {`{"domain":{"name":"corp"}}`, nil, http.StatusCreated},
		"none":                     {"", nil, http.StatusCreated},
		"a missing project":        {`{"project":{"name":"cn-north-1"}}`, nil, http.StatusUnauthorized},
		"two that don't match":     {`{"project":{"name":"cn-southwest-2","id":"other-project"}}`, nil, http.StatusUnauthorized},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newInsight(t, InsightStyle{})
			resp := c.askToken("/v3/auth/tokens", tokenBody("exporter", "fake-password", tt.scope))
			want(t, "status", resp.status, tt.status)
			want(t, "project", resp.inside("token", "project", "id"), tt.project)
			c.wantNoViolations()
		})
	}
}

func TestIAMRefusals(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	must(t, c.server.AddIAMUser(IAMUser{Domain: "corp", Name: "restricted", Password: "fake-password", Projects: []string{"other-project"}}))
	for name, body := range map[string]string{
		"a wrong password":                 tokenBody("exporter", "wrong", projectScope),
		"an unknown user":                  tokenBody("nobody", "fake-password", projectScope),
		"a project that is not the user's": tokenBody("restricted", "fake-password", projectScope),
	} {
		resp := c.askToken("/v3/auth/tokens", body)
		want(t, name, fmt.Sprint(resp.status, " ", resp.inside("error", "code"), " ", resp.inside("error", "title")), "401 401 Unauthorized")
		want(t, name+": token", resp.header.Get("X-Subject-Token"), "")
		want(t, name+": code in the journal", c.last().Code, "401")
	}
	c.wantNoViolations()
}

func TestIAMViolations(t *testing.T) {
	good := tokenBody("exporter", "fake-password", projectScope)
	tests := map[string]struct{ target, body, contentType string }{
		"another path":           {target: "/v3/auth/projects"},
		"an unknown parameter":   {target: "/v3/auth/tokens?catalog=no"},
		"another content type":   {contentType: "text/plain"},
		"no JSON":                {body: "user=exporter"},
		"more than JSON":         {body: good + "{}"},
		"an unknown member":      {body: strings.Replace(good, `"methods"`, `"x":1,"methods"`, 1)},
		"another method":         {body: strings.Replace(good, `["password"]`, `["token"]`, 1)},
		"two methods":            {body: strings.Replace(good, `["password"]`, `["password","totp"]`, 1)},
		"no password":            {body: tokenBody("exporter", "", projectScope)},
		"no domain":              {body: strings.Replace(good, `"corp"`, `""`, 1)},
		"an empty scope":         {body: tokenBody("exporter", "fake-password", "{}")},
		"two scopes":             {body: tokenBody("exporter", "fake-password", `{"project":{"id":"x"},"domain":{"id":"x"}}`)},
		"a scope without a name": {body: tokenBody("exporter", "fake-password", `{"project":{}}`)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newInsight(t, InsightStyle{})
			if tt.target == "" {
				tt.target = "/v3/auth/tokens"
			}
			if tt.body == "" {
				tt.body = good
			}
			c.contentType = "application/json"
			if tt.contentType != "" {
				c.contentType = tt.contentType
			}
			resp := c.post(tt.target, tt.body)
			want(t, "status", resp.status, http.StatusNotImplemented)
			want(t, "violations", len(c.server.Violations()), 1)
			want(t, "service", c.last().Service, "iam")
			want(t, "token", resp.header.Get("X-Subject-Token"), "")
		})
	}
}
