package fakecloud

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	testProject = "shop"
	testPath    = "/api/v1/projects/shop/roles"
)

// client signs requests with code of its own, so that a mistake in the server's verification shows.
type client struct {
	t       testing.TB
	server  *Server
	key     string
	secret  string
	token   string
	region  string
	now     func() time.Time
	handler http.Handler
	// url is set for tests that need a connection.
	url   string
	nonce atomic.Int64
}

// newClient returns a server with one project, and a client that calls it without a network.
func newClient(t testing.TB, opts Options) *client {
	t.Helper()
	if opts.Projects == nil {
		opts.Projects = []Project{{Name: testProject}}
	}
	s := New(opts)
	now := opts.Clock
	if now == nil {
		now = time.Now
	}
	return &client{
		t: t, server: s, handler: s, key: DefaultAccessKeyID, secret: DefaultAccessKeySecret, now: now,
	}
}

// connect makes the client use a real connection, once per request.
func (c *client) connect() {
	srv := httptest.NewServer(c.server)
	c.t.Cleanup(srv.Close)
	c.url = srv.URL
}

type response struct {
	status int
	header http.Header
	body   string
	err    error
}

// code is the error code in a body of either protocol.
func (r response) code() string {
	var v struct {
		XMLName xml.Name `json:"-"`
		Code    string   `xml:"Code"`
	}
	if json.Unmarshal([]byte(r.body), &v) != nil && xml.Unmarshal([]byte(r.body), &v) != nil {
		return ""
	}
	return v.Code
}

// result is the text within the answer to a statement.
func (r response) result() string {
	var v struct {
		Result string
		Status string
	}
	if err := xml.Unmarshal([]byte(r.body), &v); err != nil {
		return err.Error()
	}
	if v.Status != "" {
		return v.Status + " " + v.Result
	}
	return v.Result
}

func (r response) String() string { return fmt.Sprintf("%d %s %v", r.status, r.body, r.err) }

func (c *client) send(req *http.Request) response {
	c.t.Helper()
	if c.url == "" {
		rec := httptest.NewRecorder()
		c.handler.ServeHTTP(rec, req)
		return response{rec.Code, rec.Header(), rec.Body.String(), nil}
	}
	req.RequestURI = ""
	target, err := url.Parse(c.url + req.URL.String())
	if err != nil {
		return response{err: err}
	}
	req.URL = target
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return response{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return response{res.StatusCode, res.Header, string(body), err}
}

func (c *client) openAPI(action, method, target, body string) response {
	c.t.Helper()
	return c.send(c.signACS3(c.request(action, method, target, body), body))
}

// request is an unsigned request of the OpenAPI.
func (c *client) request(action, method, target, body string) *http.Request {
	req := httptest.NewRequestWithContext(c.t.Context(), method, target, bytes.NewBufferString(body))
	if c.url != "" {
		req.Host = strings.TrimPrefix(c.url, "http://")
	}
	sum := sha256.Sum256([]byte(body))
	req.Header.Set("x-acs-action", action)
	req.Header.Set("x-acs-version", "2022-01-04")
	req.Header.Set("x-acs-date", c.now().UTC().Format("2006-01-02T15:04:05Z"))
	req.Header.Set("x-acs-signature-nonce", fmt.Sprint(c.nonce.Add(1)))
	req.Header.Set("x-acs-content-sha256", hex.EncodeToString(sum[:]))
	if body != "" {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if c.token != "" {
		req.Header.Set("x-acs-security-token", c.token)
	}
	return req
}

func (c *client) signACS3(req *http.Request, body string) *http.Request {
	names := []string{"host"}
	for name := range req.Header {
		names = append(names, strings.ToLower(name))
	}
	sort.Strings(names)
	text := req.Method + "\n" + req.URL.EscapedPath() + "\n" + strings.ReplaceAll(req.URL.Query().Encode(), "+", "%20") + "\n"
	for _, name := range names {
		value := req.Header.Get(name)
		if name == "host" {
			value = req.Host
		}
		text += name + ":" + value + "\n"
	}
	payload := sha256.Sum256([]byte(body))
	text += "\n" + strings.Join(names, ";") + "\n" + hex.EncodeToString(payload[:])
	digest := sha256.Sum256([]byte(text))
	mac := hmac.New(sha256.New, []byte(c.secret))
	mac.Write([]byte("ACS3-HMAC-SHA256\n" + hex.EncodeToString(digest[:])))
	req.Header.Set("Authorization", "ACS3-HMAC-SHA256 Credential="+c.key+",SignedHeaders="+
		strings.Join(names, ";")+",Signature="+hex.EncodeToString(mac.Sum(nil)))
	return req
}

func (c *client) statement(text string) response { return c.statementIn(testProject, text, "") }

func (c *client) statementIn(project, text, settings string) response {
	c.t.Helper()
	return c.send(c.signODPS(c.statementRequest(project, text, settings)))
}

func (c *client) statementRequest(project, text, settings string) *http.Request {
	plain := strings.NewReplacer("&", "&amp;", "<", "&lt;")
	body := "<Authorization><Query>" + plain.Replace(text) + "</Query><ResponseInJsonFormat>false</ResponseInJsonFormat>"
	if settings != "" {
		body += "<Settings>" + plain.Replace(settings) + "</Settings>"
	}
	body += "</Authorization>"
	req := httptest.NewRequestWithContext(c.t.Context(), http.MethodPost, "/api/projects/"+project+"/authorization", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/xml")
	return req
}

func (c *client) poll(id string) response {
	c.t.Helper()
	target := "/api/projects/" + testProject + "/authorization/" + id
	return c.send(c.signODPS(httptest.NewRequestWithContext(c.t.Context(), http.MethodGet, target, nil)))
}

// signODPS signs requests without x-odps headers and without a query.
func (c *client) signODPS(req *http.Request) *http.Request {
	date := c.now().UTC()
	req.Header.Set("Date", date.Format(http.TimeFormat))
	text := req.Method + "\n\n" + req.Header.Get("Content-Type") + "\n" + req.Header.Get("Date") + "\n" +
		strings.TrimPrefix(req.URL.Path, "/api")
	key, credential := []byte(c.secret), c.key
	if c.region != "" {
		scope := date.Format("20060102") + "/" + c.region + "/odps/aliyun_v4_request"
		credential += "/" + scope
		key = []byte("aliyun_v4" + c.secret)
		for part := range strings.SplitSeq(scope, "/") {
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(part))
			key = mac.Sum(nil)
		}
	}
	mac := hmac.New(sha1.New, key)
	mac.Write([]byte(text))
	req.Header.Set("Authorization", "ODPS "+credential+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	if c.token != "" {
		req.Header.Set("authorization-sts-token", c.token)
	}
	return req
}

func (c *client) createRole(name string) {
	c.t.Helper()
	if err := c.server.CreateRole(testProject, name, ""); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) grants() string {
	return spellGrants(c.server.RoleGrants(testProject, "r"))
}

func spellGrants(acl []Grant) string {
	out := make([]string, len(acl))
	for i, g := range acl {
		out[i] = g.Kind + " " + g.SchemaName + "." + g.Name + ": " + strings.Join(g.Actions, ",")
	}
	return strings.Join(out, "; ")
}

func (c *client) wantNoViolations() {
	c.t.Helper()
	if v := c.server.Violations(); len(v) > 0 {
		c.t.Errorf("violations: %q", v)
	}
}

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
