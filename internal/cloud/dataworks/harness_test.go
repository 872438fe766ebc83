package dataworks_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const (
	project   = "shop"
	workspace = 12345
	alice     = "267842600408993176"
	bob       = "267842600408993177"
	approver  = "182293110499999999"
)

var (
	// now is the fake cloud's clock when a test begins. It refuses signatures that are made at another time.
	now      = time.Now().UTC().Truncate(time.Millisecond)
	tomorrow = now.Add(24 * time.Hour)
	keys     = openapi.Keys{AccessKeyID: fakecloud.DefaultAccessKeyID, AccessKeySecret: fakecloud.DefaultAccessKeySecret}
)

// newCloud makes a fake cloud with one project and a declared table, and asserts at the end that nobody asked it for what it does
// not have, an approval among it.
func newCloud(t testing.TB) *fakecloud.Server {
	t.Helper()
	cloud := fakecloud.New(fakecloud.Options{Projects: []fakecloud.Project{{Name: project}}, Clock: func() time.Time { return now }})
	must(t, cloud.DeclareTable(project, "", "orders", fakecloud.Column{Name: "id"}, fakecloud.Column{Name: "amount"}))
	must(t, cloud.DeclareTable(project, "", "cities", fakecloud.Column{Name: "name"}))
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

// versions make the clients of both versions of the API.
var versions = map[string]func(dataworks.Config) (dataworks.Client, error){
	dataworks.Version2020: dataworks.New2020,
	dataworks.Version2024: dataworks.New2024,
}

// newClient makes a client of one version of a service.
func newClient(t testing.TB, version string, handler http.Handler, changes ...func(*dataworks.Config)) dataworks.Client {
	t.Helper()
	config := dataworks.Config{Endpoint: serve(t, handler), Credential: keys, HTTPClient: openapi.NewHTTPClient()}
	for _, change := range changes {
		change(&config)
	}
	c, err := versions[version](config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// usual is a request that both versions take.
func usual(changes ...func(*dataworks.Request)) dataworks.Request {
	r := dataworks.Request{
		UserIDs: []string{alice}, Reason: "report [1]", Project: project, WorkspaceID: workspace, Deadline: tomorrow, Token: "token-1",
		Objects: []dataworks.Object{{Name: "orders", Actions: []string{"Select", "Describe"}, Columns: []dataworks.Column{{Name: "id"}, {Name: "amount"}}}},
	}
	for _, change := range changes {
		change(&r)
	}
	return r
}

// submitted submits a request that becomes one order.
func submitted(t testing.TB, c dataworks.Client, r dataworks.Request) string {
	t.Helper()
	ids, err := c.Submit(t.Context(), r)
	must(t, err)
	if len(ids) != 1 {
		t.Fatalf("got orders %v, want one", ids)
	}
	return ids[0]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// header returns a header of a request: the vendor's library does not spell names as Go does.
func header(r *http.Request, name string) string {
	for key, values := range r.Header {
		if strings.EqualFold(key, name) {
			return strings.Join(values, ",")
		}
	}
	return ""
}

// answer is a service that answers everything with one text.
func answer(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if _, err := io.WriteString(w, text); err != nil {
			panic(err)
		}
	}
}
