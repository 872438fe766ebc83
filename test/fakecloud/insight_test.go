package fakecloud

import (
	"fmt"
	"mime"
	"net/http"
	"strings"
	"testing"
)

func TestInsightExport(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	resp := c.export("dashboard/d1", "dataset/s1")
	want(t, "status", resp.status, http.StatusOK)
	want(t, "size", len(resp.body), 300_000+defaultResourceSize)
	want(t, "content", resp.sum(), c.sumOf("dashboard/d1", "dataset/s1"))
	want(t, "content of all", resp.sum(), c.sumOf())
	want(t, "length", resp.header.Get("Content-Length"), len(resp.body))
	want(t, "type", resp.header.Get("Content-Type"), "application/octet-stream")
	want(t, "disposition", resp.header.Get("Content-Disposition"), `attachment; filename="Weekly.zip"; filename*=UTF-8''Weekly.zip`)
	c.wantNoViolations()

	e := c.last()
	want(t, "entry", fmt.Sprint(e.Service, " ", e.Action, " ", e.Project, " ", e.Workspace, " ", e.Package, " ", e.Exported, " ", e.AccessKeyID),
		"insight ExportResourcePackage "+insightProject+" ws1 Weekly [dashboard/d1 dataset/s1] "+insightKeyID)
	want(t, "outcome", fmt.Sprint(e.Status, e.BytesSent, e.Completed, e.Write, e.Applied), fmt.Sprint(200, len(resp.body), true, false, false))
	want(t, "request id", e.RequestID, resp.header.Get("X-Request-Id"))
	want(t, "headers of another vendor", resp.header.Get("x-acs-request-id"), "")
}

// TestInsightNames: a name may be in any script, and a client must not take it for a path.
func TestInsightNames(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	for _, name := range []string{"报表 2026", `a"b\c`, "../../etc/x", "50%", "Weekly"} {
		body := fmt.Sprintf(`{"name":%q,"resources":[{"resource_type":"dashboard","resource_id":"d1"}]}`, name)
		resp := c.send(c.request(body))
		_, params, err := mime.ParseMediaType(resp.header.Get("Content-Disposition"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want(t, "file name", params["filename"], name+".zip")
		want(t, "journal", c.last().Package, name)
	}
	c.wantNoViolations()
}

func TestInsightStyles(t *testing.T) {
	tests := map[string]struct {
		style                       InsightStyle
		kind, disposition, measured string
	}{
		"no headers": {InsightStyle{ContentType: "-", Disposition: "-"}, "", "", "true"},
		"others": {
			InsightStyle{ContentType: "application/zip", Disposition: `inline; filename=x`}, "application/zip", "inline; filename=x", "true",
		},
		"chunked": {InsightStyle{Chunked: true, Disposition: "-"}, "application/octet-stream", "", "false"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newInsight(t, tt.style)
			c.connect()
			for _, resource := range []string{"dataset/s1", "dashboard/d1"} {
				resp := c.export(resource)
				want(t, "error", resp.err, nil)
				want(t, "content", resp.sum(), c.sumOf(resource))
				want(t, "type", strings.Join(resp.header["Content-Type"], ","), tt.kind)
				want(t, "disposition", resp.header.Get("Content-Disposition"), tt.disposition)
				want(t, "measured", resp.header.Get("Content-Length") != "", tt.measured)
				want(t, "completed", c.last().Completed, true)
			}
		})
	}
}

// TestInsightContent: what an export has follows from what is in it, and from nothing else.
func TestInsightContent(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	name := []string{insightProject, "ws1", "dashboard", "d1"}
	first := c.export("dashboard/d1", "dataset/s1").body
	alike := map[string]func() string{
		"again":         func() string { return c.export("dashboard/d1", "dataset/s1").body },
		"another order": func() string { return c.export("dataset/s1", "dashboard/d1").body },
		"another name": func() string {
			return c.send(c.request(strings.Replace(exportBody("dashboard/d1", "dataset/s1"), "Weekly", "Daily", 1))).body
		},
		"the flag set to false": func() string { return c.withTags("false").body },
		"another server":        func() string { return newInsight(t, InsightStyle{}).export("dashboard/d1", "dataset/s1").body },
		"changed and changed back": func() string {
			must(t, c.server.ChangeInsightResource(name[0], name[1], name[2], name[3]))
			must(t, c.server.SetInsightVersion(name[0], name[1], name[2], name[3], 1))
			return c.export("dashboard/d1", "dataset/s1").body
		},
	}
	for _, what := range sortedKeys(alike) {
		if alike[what]() != first {
			t.Errorf("%s: another content", what)
		}
	}
	different := map[string]func() string{
		"the flag":     func() string { return c.withTags("true").body },
		"another seed": func() string { return newInsight(t, InsightStyle{Seed: 1}).export("dashboard/d1", "dataset/s1").body },
		"changed": func() string {
			must(t, c.server.ChangeInsightResource(name[0], name[1], name[2], name[3]))
			return c.export("dashboard/d1", "dataset/s1").body
		},
		"another size": func() string {
			must(t, c.server.SetInsightSize(name[0], name[1], name[2], name[3], 10))
			return c.export("dashboard/d1").body
		},
	}
	seen := map[string]string{first: "the first"}
	for _, what := range sortedKeys(different) {
		body := different[what]()
		if seen[body] != "" {
			t.Errorf("%s: the same content as %s", what, seen[body])
		}
		seen[body] = what
	}
	want(t, "size", len(c.export("dashboard/d1").body), 10)
	must(t, c.server.SetInsightSize(name[0], name[1], name[2], name[3], 0))
	resp := c.export("dashboard/d1")
	want(t, "nothing", fmt.Sprint(resp.status, len(resp.body), c.last().Completed), "200 0 true")
	c.wantNoViolations()
}

func (c *insightClient) withTags(value string) response {
	c.t.Helper()
	return c.send(c.request(taggedBody(value)))
}

// taggedBody is the body of an export with a value for its flag.
func taggedBody(value string) string {
	return strings.TrimSuffix(exportBody("dashboard/d1", "dataset/s1"), "}") + `,"export_param":{"export_dataset_tag_permission":` + value + "}}"
}

func TestInsightRefusals(t *testing.T) {
	deny := func(who ...string) func(*insightClient) {
		return func(c *insightClient) {
			must(c.t, c.server.DenyCollaboration(insightProject, "ws1", "dashboard", "d1", who...))
		}
	}
	restricted := func(c *insightClient) {
		must(c.t, c.server.AddIAMUser(IAMUser{Domain: "corp", Name: "exporter", Password: "fake-password", Projects: []string{"other-project"}}))
		must(c.t, c.server.AddIAMKey(IAMKey{AccessKeyID: insightKeyID, SecretAccessKey: insightSecret, User: insightUser}))
	}
	tests := map[string]struct {
		prepare func(c *insightClient)
		body    string
		want    string
	}{
		"no IAM permission for a key": {
			prepare: func(c *insightClient) { must(c.t, c.server.DenyExports(insightKeyID)) }, want: "403 DataArtsInsight.20010003",
		},
		"no IAM permission for a user": {
			prepare: func(c *insightClient) { c.useToken(projectScope); must(c.t, c.server.DenyExports(insightUser)) },
			want:    "403 DataArtsInsight.20010003",
		},
		"the key of a user who is gone": {
			prepare: func(c *insightClient) {
				must(c.t, c.server.AddIAMKey(IAMKey{AccessKeyID: insightKeyID, SecretAccessKey: insightSecret, User: insightUser}))
				c.server.RemoveIAMUser("corp", "exporter")
			},
			want: "403 DataArtsInsight.20010003",
		},
		"a project that is not the user's": {prepare: restricted, want: "403 DataArtsInsight.20010003"},
		"a token of another project": {
			prepare: func(c *insightClient) { c.useToken(`{"project":{"id":"other-project"}}`) }, want: "403 DataArtsInsight.20010003",
		},
		"a token of the domain": {
			prepare: func(c *insightClient) { c.useToken(`{"domain":{"name":"corp"}}`) }, want: "403 DataArtsInsight.20010003",
		},
		"a missing workspace":            {prepare: func(c *insightClient) { c.workspace = "gone" }, want: "400 DataArtsInsight.24150005"},
		"a workspace of another project": {prepare: func(c *insightClient) { c.project = "other-project" }, want: "400 DataArtsInsight.24150005"},
		"an abnormal workspace":          {prepare: func(c *insightClient) { c.workspace = "broken" }, want: "400 DataArtsInsight.24150004"},
		"a missing resource":             {body: exportBody("dashboard/d1", "dashboard/d2"), want: "404 DataArtsInsight.24010003"},
		"a resource of another type":     {body: exportBody("screen/d1"), want: "404 DataArtsInsight.24010003"},
		"no collaboration for anyone":    {prepare: deny("*"), want: "400 DataArtsInsight.24010043"},
		"no collaboration for the key":   {prepare: deny("other", insightKeyID), want: "400 DataArtsInsight.24010043"},
		"no collaboration for the user": {
			prepare: func(c *insightClient) { c.useToken(projectScope); deny(insightUser)(c) }, want: "400 DataArtsInsight.24010043",
		},
		"no collaboration for one of two": {prepare: deny("*"), body: exportBody("dataset/s1", "dashboard/d1"), want: "400 DataArtsInsight.24010043"},
		"a workspace that was removed": {
			prepare: func(c *insightClient) { c.server.RemoveInsightWorkspace(insightProject, "ws1") }, want: "400 DataArtsInsight.24150005",
		},
		"a resource that was removed": {
			prepare: func(c *insightClient) {
				must(c.t, c.server.RemoveInsightResource(insightProject, "ws1", "dashboard", "d1"))
			},
			want: "404 DataArtsInsight.24010003",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newInsight(t, InsightStyle{})
			if tt.prepare != nil {
				tt.prepare(c)
			}
			if tt.body == "" {
				tt.body = dashboardBody
			}
			resp := c.send(c.request(tt.body))
			want(t, "refusal", fmt.Sprint(resp.status, " ", resp.insightCode()), tt.want)
			want(t, "type", resp.header.Get("Content-Type"), "application/json;charset=utf-8")
			want(t, "code in the journal", c.last().Code, resp.insightCode())
			want(t, "request id in the body", resp.inside("request_id"), nil)
			c.wantNoViolations()
		})
	}
}

func TestInsightAllowedAgain(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	must(t, c.server.DenyExports(insightKeyID))
	must(t, c.server.DenyCollaboration(insightProject, "ws1", "dashboard", "d1", "*"))
	want(t, "denied", c.export("dashboard/d1").status, http.StatusForbidden)
	must(t, c.server.AllowExports(insightKeyID))
	want(t, "still denied", c.export("dashboard/d1").status, http.StatusBadRequest)
	must(t, c.server.AllowCollaboration(insightProject, "ws1", "dashboard", "d1"))
	want(t, "allowed", c.export("dashboard/d1").status, http.StatusOK)
	must(t, c.server.AddInsightWorkspace(InsightWorkspace{Project: insightProject, ID: "ws1", Abnormal: true}))
	want(t, "abnormal", c.export("dashboard/d1").insightCode(), "DataArtsInsight.24150004")
	must(t, c.server.AddInsightWorkspace(InsightWorkspace{Project: insightProject, ID: "ws1"}))
	want(t, "normal, with what it had", c.export("dashboard/d1").status, http.StatusOK)
}

func TestInsightViolations(t *testing.T) {
	withBody := func(body string) func(*insightClient) *http.Request {
		return func(c *insightClient) *http.Request { return c.request(body) }
	}
	withHeader := func(name, value string) func(*insightClient) *http.Request {
		return func(c *insightClient) *http.Request {
			req := c.request(dashboardBody)
			req.Header.Add(name, value)
			return req
		}
	}
	atPath := func(method, path string) func(*insightClient) *http.Request {
		return func(c *insightClient) *http.Request {
			req := c.request(dashboardBody)
			req.Method, req.URL.Path = method, path
			return req
		}
	}
	const one = `[{"resource_type":"dashboard","resource_id":"d1"}]`
	tests := map[string]func(*insightClient) *http.Request{
		"no JSON":               withBody("name=Weekly"),
		"more than JSON":        withBody(dashboardBody + "{}"),
		"no name":               withBody(`{"resources":` + one + `}`),
		"an empty name":         withBody(`{"name":"","resources":` + one + `}`),
		"a name that is none":   withBody(`{"name":1,"resources":` + one + `}`),
		"no resources":          withBody(`{"name":"Weekly"}`),
		"empty resources":       withBody(`{"name":"Weekly","resources":[]}`),
		"an unknown member":     withBody(`{"name":"Weekly","format":"zip","resources":` + one + `}`),
		"another case":          withBody(`{"Name":"Weekly","resources":` + one + `}`),
		"a member that is null": withBody(`{"name":"Weekly","resources":` + one + `,"export_param":null}`),
		"a resource with more":  withBody(`{"name":"Weekly","resources":[{"resource_type":"dashboard","resource_id":"d1","version":1}]}`),
		"a resource with less":  withBody(`{"name":"Weekly","resources":[{"resource_type":"dashboard"}]}`),
		"an unknown type":       withBody(exportBody("table/d1")),
		"a type in other case":  withBody(exportBody("Dashboard/d1")),
		"a resource twice":      withBody(exportBody("dashboard/d1", "dashboard/d1")),
		"an unknown parameter":  withBody(`{"name":"Weekly","resources":` + one + `,"export_param":{"x":true}}`),
		"a flag that is a text": func(c *insightClient) *http.Request { return c.request(taggedBody(`"true"`)) },
		"another content type":  func(c *insightClient) *http.Request { c.contentType = "text/plain"; return c.request(dashboardBody) },
		"no workspace":          func(c *insightClient) *http.Request { c.workspace = ""; return c.request(dashboardBody) },
		"two workspaces":        withHeader("X-Workspace-Id", "ws2"),
		"two credentials":       withHeader("X-Auth-Token", "x"),
		"another project":       withHeader("X-Project-Id", "other-project"),
		"a query": func(c *insightClient) *http.Request {
			req := c.request(dashboardBody)
			req.URL.RawQuery = "async=true"
			return req
		},
		"another method":       atPath(http.MethodGet, insightTarget),
		"a slash at the end":   atPath(http.MethodPost, insightTarget+"/"),
		"a call that is there": atPath(http.MethodPost, "/v1/"+insightProject+"/resource-package/api-import"),
		"no project":           atPath(http.MethodPost, "/v1//resource-package/export"),
	}
	for name, request := range tests {
		t.Run(name, func(t *testing.T) {
			c := newInsight(t, InsightStyle{})
			resp := c.send(request(c))
			want(t, "status", resp.status, http.StatusNotImplemented)
			want(t, "code", resp.insightCode(), codeNotImplemented)
			want(t, "violations", len(c.server.Violations()), 1)
			want(t, "service", c.last().Service, "insight")
		})
	}
}

// TestInsightSecrets: nothing that opens anything may get into what the fake tells of itself.
func TestInsightSecrets(t *testing.T) {
	c := newInsight(t, InsightStyle{TokenBytes: 100})
	must(t, c.server.AddIAMKey(IAMKey{AccessKeyID: "TEMPORARY", SecretAccessKey: "fake-secret-2", SecurityToken: "fake-security-token"}))
	c.export("dashboard/d1")
	c.askToken("/v3/auth/tokens", tokenBody("exporter", "wrong-password", ""))
	c.askToken("/v3/auth/tokens", `{"password":"fake-password","x":`)
	c.askToken("/v3/auth/tokens?password=fake-password", "{}")
	c.useToken(projectScope)
	c.export("dashboard/d1")
	want(t, "status", c.last().Status, http.StatusOK)
	everything := string(mustJSON(c.server.Journal())) + string(mustJSON(c.server.State())) + string(mustJSON(c.server.Stats())) +
		strings.Join(c.server.Violations(), " ") + string(mustJSON(c.server.Faults()))
	for _, secret := range []string{insightSecret, "fake-secret-2", "fake-security-token", "fake-password", "wrong-password", c.token} {
		if strings.Contains(everything, secret) {
			t.Errorf("%s is told", secret)
		}
	}
	state := c.server.State().Insight
	want(t, "state", fmt.Sprint(len(state.Projects), len(state.Workspaces), len(state.Workspaces[1].Resources), len(state.Keys), len(state.Users),
		len(state.Tokens)), "2 2 2 2 1 1")
}

func TestInsightMistakes(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	s := c.server
	_, noExport := s.InsightSum(InsightExport{Project: insightProject, Workspace: "gone"})
	_, noMember := s.InsightSum(InsightExport{Project: insightProject, Workspace: "ws1", Resources: []string{"dashboard/gone"}})
	for name, err := range map[string]error{
		"a workspace without a project": s.AddInsightWorkspace(InsightWorkspace{ID: "x"}),
		"a resource of an unknown type": s.AddInsightResource(InsightResource{Project: insightProject, Workspace: "ws1", Type: "x", ID: "x"}),
		"a resource without an id":      s.AddInsightResource(InsightResource{Project: insightProject, Workspace: "ws1", Type: "screen"}),
		"a resource of a negative size": s.AddInsightResource(InsightResource{
			Project: insightProject, Workspace: "ws1", Type: "screen", ID: "x", Size: -1,
		}),
		"a resource without a workspace":  s.AddInsightResource(InsightResource{Project: insightProject, Workspace: "gone", Type: "screen", ID: "x"}),
		"a change of what is not there":   s.ChangeInsightResource(insightProject, "ws1", "screen", "x"),
		"a change in a missing workspace": s.ChangeInsightResource(insightProject, "gone", "screen", "x"),
		"a negative size":                 s.SetInsightSize(insightProject, "ws1", "dashboard", "d1", -1),
		"a project without an id":         s.AddIAMProject(IAMProject{Name: "x"}),
		"a user without a password":       s.AddIAMUser(IAMUser{Domain: "corp", Name: "x"}),
		"a key without a secret":          s.AddIAMKey(IAMKey{AccessKeyID: "x"}),
		"a token without an end":          s.AddIAMToken(IAMToken{Token: "x", User: insightUser}),
		"a token of nobody":               s.AddIAMToken(IAMToken{Token: "x", User: "corp/nobody", Expires: insightTime}),
		"a key of nobody":                 s.AddIAMKey(IAMKey{AccessKeyID: "x", SecretAccessKey: "s", User: "corp/nobody"}),
		"a denial for nobody":             s.DenyExports("nobody"),
		"the sum of a missing workspace":  noExport,
		"the sum of a missing resource":   noMember,
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
