package fakecloud

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	insightProject = "77b6a44cba5143ab91d13ab9a8ff44fd"
	insightKeyID   = "INSIGHTFAKEKEY"
	insightSecret  = "fake-insight-secret"
	insightUser    = "corp/exporter"
	insightTarget  = "/v1/" + insightProject + "/resource-package/export"
)

var insightTime = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// insightClient exports with an access key or a token; it signs with code of its own.
type insightClient struct {
	t      testing.TB
	server *Server
	// url is set for tests that need a connection.
	url                                  string
	key, secret, securityToken, token    string
	project, workspace, contentType, sum string
}

// newInsight returns a client of a cloud with one workspace, two resources, one user and one key.
func newInsight(t testing.TB, style InsightStyle) *insightClient {
	t.Helper()
	s := New(Options{Clock: func() time.Time { return insightTime }, Insight: style})
	for _, err := range []error{
		s.AddIAMProject(IAMProject{ID: insightProject, Name: "cn-southwest-2"}),
		s.AddIAMProject(IAMProject{ID: "other-project"}),
		s.AddInsightWorkspace(InsightWorkspace{Project: insightProject, ID: "ws1"}),
		s.AddInsightWorkspace(InsightWorkspace{Project: insightProject, ID: "broken", Abnormal: true}),
		s.AddInsightResource(InsightResource{Project: insightProject, Workspace: "ws1", Type: "dashboard", ID: "d1", Size: 300_000}),
		s.AddInsightResource(InsightResource{Project: insightProject, Workspace: "ws1", Type: "dataset", ID: "s1"}),
		s.AddIAMUser(IAMUser{Domain: "corp", Name: "exporter", Password: "fake-password"}),
		s.AddIAMKey(IAMKey{AccessKeyID: insightKeyID, SecretAccessKey: insightSecret}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return &insightClient{
		t: t, server: s, key: insightKeyID, secret: insightSecret, project: insightProject, workspace: "ws1", contentType: "application/json",
	}
}

// connect makes the client use real connections. The returned function waits for the calls to end.
func (c *insightClient) connect() (closeServer func()) {
	srv := httptest.NewServer(c.server)
	c.t.Cleanup(srv.Close)
	c.url = srv.URL
	return srv.Close
}

const dashboardBody = `{"name":"Weekly","resources":[{"resource_type":"dashboard","resource_id":"d1"}]}`

// exportBody is the body of an export of resources like dashboard/d1.
func exportBody(resources ...string) string {
	var list []string
	for _, name := range resources {
		typ, id, _ := strings.Cut(name, "/")
		list = append(list, fmt.Sprintf(`{"resource_type":%q,"resource_id":%q}`, typ, id))
	}
	return `{"name":"Weekly","resources":[` + strings.Join(list, ",") + `]}`
}

// request is an export with the client's credentials.
func (c *insightClient) request(body string) *http.Request {
	target := "/v1/" + c.project + "/resource-package/export"
	req := httptest.NewRequestWithContext(c.t.Context(), http.MethodPost, target, strings.NewReader(body))
	req.Host = strings.TrimPrefix(c.url, "http://")
	req.Header.Set("X-Workspace-Id", c.workspace)
	req.Header.Set("Content-Type", c.contentType)
	if c.sum != "" {
		req.Header.Set("X-Sdk-Content-Sha256", c.sum)
	}
	switch {
	case c.token != "":
		req.Header.Set("X-Auth-Token", c.token)
	case c.key != "":
		c.sign(req, body, c.server.now())
	}
	return req
}

func (c *insightClient) sign(req *http.Request, body string, at time.Time) {
	req.Header.Set("X-Sdk-Date", at.UTC().Format("20060102T150405Z"))
	if c.securityToken != "" {
		req.Header.Set("X-Security-Token", c.securityToken)
	}
	req.Header.Set("Authorization", vendorAuthorization(req, body, c.key, c.secret))
}

// vendorAuthorization signs all headers but those that the vendor's own client leaves out.
func vendorAuthorization(req *http.Request, body, key, secret string, others ...string) string {
	names := slices.Clone(others)
	for name := range req.Header {
		name = strings.ToLower(name)
		if name != "authorization" && !strings.HasPrefix(name, "content-type") && !strings.Contains(name, "_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	path := "/"
	for part := range strings.SplitSeq(strings.Trim(req.URL.Path, "/"), "/") {
		path += strings.ReplaceAll(url.QueryEscape(part), "+", "%20") + "/"
	}
	lines := []string{req.Method, path, strings.ReplaceAll(req.URL.Query().Encode(), "+", "%20")}
	for _, name := range names {
		value := req.Header.Get(name)
		if name == "host" {
			value = req.Host
		}
		lines = append(lines, name+":"+strings.TrimSpace(value))
	}
	payload := req.Header.Get("X-Sdk-Content-Sha256")
	if payload == "" {
		payload = hexSum(body)
	}
	lines = append(lines, "", strings.Join(names, ";"), payload)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("SDK-HMAC-SHA256\n" + req.Header.Get("X-Sdk-Date") + "\n" + hexSum(strings.Join(lines, "\n"))))
	return fmt.Sprintf("SDK-HMAC-SHA256 Access=%s, SignedHeaders=%s, Signature=%x", key, strings.Join(names, ";"), mac.Sum(nil))
}

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// send returns the reply with as much of the body as came; err is what went wrong with it.
func (c *insightClient) send(req *http.Request) response {
	c.t.Helper()
	if c.url == "" {
		rec := httptest.NewRecorder()
		c.server.ServeHTTP(rec, req)
		return response{rec.Code, rec.Header(), rec.Body.String(), nil}
	}
	resp, err := c.do(req)
	if err != nil {
		return response{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(body), err}
}

// do opens a connection of its own, so that no client sends anything twice.
func (c *insightClient) do(req *http.Request) (*http.Response, error) {
	var err error
	req.RequestURI = ""
	if req.URL, err = url.Parse(c.url + req.URL.RequestURI()); err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	return transport.RoundTrip(req)
}

func (c *insightClient) export(resources ...string) response {
	c.t.Helper()
	return c.send(c.request(exportBody(resources...)))
}

// insightCode is the error code in a body, if it is one.
func (r response) insightCode() string {
	code, _ := r.inside("error_code").(string)
	return code
}

// sumOf is what an export must be.
func (c *insightClient) sumOf(resources ...string) InsightSum {
	c.t.Helper()
	sum, err := c.server.InsightSum(InsightExport{Project: insightProject, Workspace: "ws1", Resources: resources})
	if err != nil {
		c.t.Fatal(err)
	}
	return sum
}

func (r response) sum() InsightSum {
	return InsightSum{Size: int64(len(r.body)), SHA256: hexSum(r.body)}
}

// last is the latest entry of the journal.
func (c *insightClient) last() Entry {
	c.t.Helper()
	entries := c.server.Journal()
	if len(entries) == 0 {
		c.t.Fatal("the journal is empty")
	}
	return entries[len(entries)-1]
}

func (c *insightClient) wantNoViolations() {
	c.t.Helper()
	want(c.t, "violations", c.server.Violations(), []string{})
}

// tokenBody asks for a token of a user for a scope, which may be empty.
func tokenBody(name, password, scope string) string {
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"password":%q,"domain":{"name":"corp"}}}}`,
		name, password)
	if scope != "" {
		body += `,"scope":` + scope
	}
	return body + "}}"
}

const projectScope = `{"project":{"name":"cn-southwest-2"}}`

func (c *insightClient) askToken(target, body string) response {
	c.t.Helper()
	req := httptest.NewRequestWithContext(c.t.Context(), http.MethodPost, target, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json;charset=utf8")
	return c.send(req)
}

// useToken makes the client export with a token for a scope.
func (c *insightClient) useToken(scope string) {
	c.t.Helper()
	resp := c.askToken("/v3/auth/tokens", tokenBody("exporter", "fake-password", scope))
	if resp.status != http.StatusCreated {
		c.t.Fatalf("no token: %v", resp)
	}
	c.token = resp.header.Get("X-Subject-Token")
}

// post sends a body without credentials.
func (c *insightClient) post(target, body string) response {
	c.t.Helper()
	req := httptest.NewRequestWithContext(c.t.Context(), http.MethodPost, target, strings.NewReader(body))
	req.Header.Set("Content-Type", c.contentType)
	return c.send(req)
}
