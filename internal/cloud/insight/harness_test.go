package insight_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/insight"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const (
	project = "77b6a44cba5143ab91d13ab9a8ff44fd"
	// size is that of the package of all resources: dashboard d1 and dataset s1.
	size = 300_000 + 4096
	// fakeToken is a token of the user corp/exporter.
	fakeToken = "MIIfake-token-that-opens-nothing-but-the-fake"
)

// The keys of these tests open nothing but the fake.
var (
	permanent = insight.Credentials{AccessKey: "FAKEACCESSKEYID", SecretKey: "fake-secret-that-opens-nothing"}
	temporary = insight.Credentials{AccessKey: "FAKETEMPORARYID", SecretKey: "fake-secret-of-a-temporary-key", SecurityToken: "fake-security-token/with+signs=that-opens-nothing"}
	withToken = insight.Credentials{Token: fakeToken}
)

// everything is an export of all resources.
var everything = insight.Request{
	WorkspaceID: "ws1", PackageName: "Weekly", Resources: []insight.Resource{{Type: "dashboard", ID: "d1"}, {Type: "dataset", ID: "s1"}},
}

// newCloud makes a fake cloud with a workspace, and asserts at the end that nobody asked it for what it does not have.
func newCloud(t testing.TB) *fakecloud.Server {
	t.Helper()
	server := fakecloud.New(fakecloud.Options{})
	must(t,
		server.AddIAMProject(fakecloud.IAMProject{ID: project, Name: "cn-southwest-2"}),
		server.AddIAMProject(fakecloud.IAMProject{ID: "other-project"}),
		server.AddInsightWorkspace(fakecloud.InsightWorkspace{Project: project, ID: "ws1"}),
		server.AddInsightWorkspace(fakecloud.InsightWorkspace{Project: project, ID: "broken", Abnormal: true}),
		server.AddInsightResource(fakecloud.InsightResource{Project: project, Workspace: "ws1", Type: "dashboard", ID: "d1", Size: 300_000}),
		server.AddInsightResource(fakecloud.InsightResource{Project: project, Workspace: "ws1", Type: "dataset", ID: "s1", Size: 4096}),
		server.AddIAMKey(fakecloud.IAMKey{AccessKeyID: permanent.AccessKey, SecretAccessKey: permanent.SecretKey}),
		server.AddIAMKey(fakecloud.IAMKey{AccessKeyID: temporary.AccessKey, SecretAccessKey: temporary.SecretKey, SecurityToken: temporary.SecurityToken}),
		server.AddIAMUser(fakecloud.IAMUser{Domain: "corp", Name: "exporter", Password: "fake-password"}),
	)
	addToken(t, server, fakeToken, project)
	t.Cleanup(func() {
		if violations := server.Violations(); len(violations) > 0 {
			t.Errorf("the fake cloud was asked for what it does not have: %v", violations)
		}
	})
	return server
}

func addToken(t testing.TB, server *fakecloud.Server, token, project string) {
	t.Helper()
	must(t, server.AddIAMToken(fakecloud.IAMToken{Token: token, User: "corp/exporter", Project: project, Expires: time.Now().Add(24 * time.Hour)}))
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
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

// newClient makes a client of a handler behind a real connection.
func newClient(t testing.TB, handler http.Handler, changes ...func(*insight.Config)) *insight.Client {
	t.Helper()
	config := insight.Config{ProjectID: project, Credential: permanent, HTTPClient: openapi.NewHTTPClient()}
	for _, change := range changes {
		change(&config)
	}
	if config.Endpoint == "" {
		config.Endpoint = serve(t, handler)
	}
	c, err := insight.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(config.HTTPClient.CloseIdleConnections)
	return c
}

// newLocalClient makes a client that calls a handler without a network, so that the time can be a fake one.
func newLocalClient(t testing.TB, handler http.Handler, changes ...func(*insight.Config)) *insight.Client {
	t.Helper()
	local := func(config *insight.Config) {
		config.Endpoint, config.HTTPClient = "https://insight.test", &http.Client{Transport: transport{handler}}
	}
	return newClient(t, handler, append([]func(*insight.Config){local}, changes...)...)
}

// transport hands requests to a handler and lets the answer come in pieces, as a connection does.
type transport struct{ handler http.Handler }

func (tr transport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	reader, writer := io.Pipe()
	w := &pipe{header: http.Header{}, body: writer, begun: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = reader.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer stop()
		defer func() {
			if recover() != nil {
				_ = writer.CloseWithError(io.ErrUnexpectedEOF)
				return
			}
			w.WriteHeader(http.StatusOK)
			_ = writer.CloseWithError(nil)
		}()
		tr.handler.ServeHTTP(w, request.Clone(ctx))
	}()
	select {
	case <-w.begun:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	length, err := strconv.ParseInt(w.header.Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1
	}
	return &http.Response{StatusCode: w.status, Header: w.header, Body: reader, ContentLength: length, Request: request}, nil
}

// pipe is the other end of a transport's answer.
type pipe struct {
	header http.Header
	body   *io.PipeWriter
	begun  chan struct{}
	once   sync.Once
	status int
}

func (p *pipe) Header() http.Header { return p.header }

func (p *pipe) WriteHeader(status int) {
	p.once.Do(func() {
		p.status = status
		close(p.begun)
	})
}

func (p *pipe) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.body.Write(b)
}

func (p *pipe) Flush() {}

// export makes an export and reads it to its end. Whatever went wrong is the error.
func export(t testing.TB, c *insight.Client, r insight.Request) (string, error) {
	t.Helper()
	stream, err := c.Export(t.Context(), r)
	if err != nil {
		if stream != nil {
			t.Error("a stream and an error")
		}
		return "", err
	}
	return readAll(t, stream)
}

// readAll reads a stream, and asserts that it goes on with its last word.
func readAll(t testing.TB, stream *insight.Stream) (string, error) {
	t.Helper()
	body, err := io.ReadAll(stream)
	n, again := stream.Read(make([]byte, 10))
	if n != 0 || err != nil && !errors.Is(again, err) || err == nil && !errors.Is(again, io.EOF) {
		t.Errorf("after %v the stream gives %d bytes and %v", err, n, again)
	}
	must(t, stream.Close())
	return string(body), err
}

// outcome is what a test expects of an error.
type outcome struct {
	Code    cloud.Code
	Message string
}

func outcomeOf(t testing.TB, err error) outcome {
	t.Helper()
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		t.Fatalf("got %v, want an error of the cloud", err)
	}
	return outcome{e.Code, e.Message}
}

// says answers with a status and a body.
func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		if _, err := fmt.Fprint(w, body); err != nil {
			return
		}
	}
}
