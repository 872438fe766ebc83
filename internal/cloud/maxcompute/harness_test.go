package maxcompute_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const (
	project = "analytics"
	region  = "cn-hangzhou"
	// token is a security token that opens nothing.
	token = "fake-security-token/with+signs=that-opens-nothing"
	// alice is a RAM user, aliceID the id of her account.
	alice   = "RAM$corp:alice"
	aliceID = "267842600408993176"
)

// newCloud makes a fake cloud with one project, and asserts at the end that nobody asked it for what it does not have.
func newCloud(t testing.TB) *fakecloud.Server {
	t.Helper()
	cloud := fakecloud.New(fakecloud.Options{Projects: []fakecloud.Project{{Name: project, ThreeTier: true}}})
	t.Cleanup(func() {
		if violations := cloud.Violations(); len(violations) > 0 {
			t.Errorf("the fake cloud was asked for what it does not have: %v", violations)
		}
	})
	return cloud
}

// serve puts a handler behind a real connection and returns its URL.
func serve(t testing.TB, handler http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // lost connections are wanted
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// newClient makes a client of a service at a URL.
func newClient(t testing.TB, url string, changes ...func(*maxcompute.Config)) *maxcompute.Client {
	t.Helper()
	config := maxcompute.Config{
		Region: region, Endpoint: url, ODPSEndpoint: url + "/api", Credential: permanent, HTTPClient: openapi.NewHTTPClient(), PollInterval: time.Millisecond,
	}
	for _, change := range changes {
		change(&config)
	}
	c, err := maxcompute.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newLocalClient makes a client that calls a handler without a network, so that the time can be a fake one.
func newLocalClient(t testing.TB, handler http.Handler, changes ...func(*maxcompute.Config)) *maxcompute.Client {
	t.Helper()
	local := func(config *maxcompute.Config) { config.HTTPClient = &http.Client{Transport: transport{handler}} }
	return newClient(t, "http://cloud.test", append([]func(*maxcompute.Config){local}, changes...)...)
}

// transport hands requests to a handler. Like a connection, it gives up when the request's time is over.
type transport struct{ handler http.Handler }

func (tr transport) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	if request.Body == nil {
		request.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	tr.handler.ServeHTTP(recorder, request)
	if err := request.Context().Err(); err != nil {
		return nil, err
	}
	return recorder.Result(), nil
}

// permanent and temporary are the keys of the fake cloud's identity, as they are and with a security token.
var (
	permanent = openapi.Keys{AccessKeyID: fakecloud.DefaultAccessKeyID, AccessKeySecret: fakecloud.DefaultAccessKeySecret}
	temporary = openapi.Keys{AccessKeyID: fakecloud.DefaultAccessKeyID, AccessKeySecret: fakecloud.DefaultAccessKeySecret, SecurityToken: token}
)

// everyKind is an ACL with an entry of each kind.
func everyKind() acl.Set {
	return acl.NewSet(
		acl.Grant{Kind: acl.Table, Name: "orders", Actions: []string{"Describe", "Select"}},
		acl.Grant{Kind: acl.Resource, Name: "udf-1.0.jar", Actions: []string{"Read"}},
		acl.Grant{Kind: acl.Function, Name: "to_cents", Actions: []string{"Execute", "Read"}},
		acl.Grant{Kind: acl.Package, Name: "other.shared", Actions: []string{"Read"}},
		acl.Grant{Kind: acl.Project, Name: project, Actions: []string{"CreateInstance", "List"}},
		acl.Grant{Kind: acl.Instance, Name: "*", Actions: []string{"Read"}},
	)
}

func selectOn(table string) acl.Grant {
	return acl.Grant{Kind: acl.Table, Schema: acl.DefaultSchema, Name: table, Actions: []string{"Select"}}
}

// granted lists what the fake holds for a role, as "kind schema.name: action action".
func granted(cloud *fakecloud.Server, role string) []string {
	out := []string{}
	for _, g := range cloud.RoleGrants(project, role) {
		out = append(out, fmt.Sprintf("%s %s.%s: %s", g.Kind, g.SchemaName, g.Name, strings.Join(g.Actions, " ")))
	}
	return out
}

// count tells how many calls of one action the fake has had.
func count(cloud *fakecloud.Server, action string) int {
	n := 0
	for _, entry := range cloud.Journal() {
		if entry.Action == action {
			n++
		}
	}
	return n
}

// header returns a header of a request that has come over a wire or not: the vendor's library does not spell names as Go does.
func header(r *http.Request, name string) string {
	for key, values := range r.Header {
		if strings.EqualFold(key, name) {
			return strings.Join(values, ",")
		}
	}
	return ""
}

// answer writes an answer.
func answer(w io.Writer, text string) {
	if _, err := io.WriteString(w, text); err != nil {
		panic(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// operations are one call of each service, both writes.
var operations = map[string]func(context.Context, *maxcompute.Client) error{
	"OpenAPI": func(ctx context.Context, c *maxcompute.Client) error { return c.DeleteRole(ctx, "p", "r") },
	"ODPS": func(ctx context.Context, c *maxcompute.Client) error {
		return c.Grant(ctx, "p", "r", selectOn("t"))
	},
}
