package iam_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/iam"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const (
	project = "77b6a44cba5143ab91d13ab9a8ff44fd"
	refused = "the service refused the user, the password or the project"
)

// exporter is a user of the fake.
var exporter = iam.User{Domain: "corp", Name: "exporter", Password: `fake-password <"&\>`}

// newCloud makes a fake cloud with a user, and asserts at the end that nobody asked it for what it does not have.
func newCloud(t *testing.T) *fakecloud.Server {
	t.Helper()
	server := fakecloud.New(fakecloud.Options{})
	if err := errors.Join(
		server.AddIAMProject(fakecloud.IAMProject{ID: project, Name: "cn-southwest-2"}),
		server.AddIAMProject(fakecloud.IAMProject{ID: "other-project"}),
		server.AddIAMUser(fakecloud.IAMUser{Domain: exporter.Domain, Name: exporter.Name, Password: exporter.Password, Projects: []string{project}}),
	); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if violations := server.Violations(); len(violations) > 0 {
			t.Errorf("the fake cloud was asked for what it does not have: %v", violations)
		}
	})
	return server
}

// newClient makes a client of a handler.
func newClient(t *testing.T, handler http.Handler, changes ...func(*iam.Config)) *iam.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	config := iam.Config{Endpoint: server.URL, HTTPClient: openapi.NewHTTPClient()}
	for _, change := range changes {
		change(&config)
	}
	c, err := iam.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestATokenIsIssued(t *testing.T) {
	for _, bytes := range []int{64, 8192} {
		server := newCloud(t)
		server.SetInsightStyle(fakecloud.InsightStyle{TokenBytes: bytes})
		token, err := newClient(t, server).CreateToken(t.Context(), exporter, project)
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(token.Expiration); len(token.Value) != bytes || left < 23*time.Hour || left > 24*time.Hour {
			t.Errorf("a token of %d bytes that lasts %s", len(token.Value), left)
		}
		var got []string
		for _, issued := range server.State().Insight.Tokens {
			got = append(got, issued.User+" "+issued.Project)
		}
		if diff := cmp.Diff([]string{"corp/exporter " + project}, got); diff != "" {
			t.Errorf("tokens (-want +got):\n%s", diff)
		}
	}
}

// outcome is what a test expects of an error.
type outcome struct {
	Code    cloud.Code
	Message string
}

func TestWhyThereIsNoToken(t *testing.T) {
	fault := func(f fakecloud.Fault) func(*fakecloud.Server) {
		return func(s *fakecloud.Server) { s.Inject(f) }
	}
	anything := func(*fakecloud.Server) {}
	yesterday := func(s *fakecloud.Server) { s.ShiftClock(-25 * time.Hour) }
	const status = "HTTP status %d with a body that is not IAM's"
	tests := map[string]struct {
		prepare func(*fakecloud.Server)
		user    iam.User
		project string
		want    outcome
	}{
		"a wrong password":               {anything, iam.User{Domain: "corp", Name: "exporter", Password: "fake"}, project, outcome{cloud.AuthenticationFailed, refused}},
		"an unknown user":                {anything, iam.User{Domain: "corp", Name: "nobody", Password: "fake"}, project, outcome{cloud.AuthenticationFailed, refused}},
		"an unknown account":             {anything, iam.User{Domain: "nobody", Name: "exporter", Password: exporter.Password}, project, outcome{cloud.AuthenticationFailed, refused}},
		"an unknown project":             {anything, exporter, "nowhere", outcome{cloud.AuthenticationFailed, refused}},
		"another's project":              {anything, exporter, "other-project", outcome{cloud.AuthenticationFailed, refused}},
		"a refusal without a code":       {fault(fakecloud.Fault{Kind: fakecloud.FaultHTMLPage, Status: 401}), exporter, project, outcome{cloud.AuthenticationFailed, "the service refused the credentials or the signature"}},
		"a denial":                       {fault(fakecloud.Fault{Kind: fakecloud.FaultAccessDenied}), exporter, project, outcome{cloud.PermissionDenied, "You are not authorized to perform the requested action."}},
		"an invalid request":             {fault(fakecloud.Fault{Kind: fakecloud.FaultError, Status: 400, Code: "IAM.0011", Message: "m"}), exporter, project, outcome{cloud.RemoteRejected, "m"}},
		"a gateway's refusal":            {fault(fakecloud.Fault{Kind: fakecloud.FaultError, Status: 403, Code: "APIGW.0302", Message: "m"}), exporter, project, outcome{cloud.PermissionDenied, "m"}},
		"a rate that is too high":        {fault(fakecloud.Fault{Kind: fakecloud.FaultThrottle, Message: "m"}), exporter, project, outcome{cloud.RemoteUnavailable, "m"}},
		"a server error":                 {fault(fakecloud.Fault{Kind: fakecloud.FaultServerError, Message: "m"}), exporter, project, outcome{cloud.RemoteUnavailable, "m"}},
		"an error inside 200":            {fault(fakecloud.Fault{Kind: fakecloud.FaultErrorInside, Message: "m"}), exporter, project, outcome{cloud.UnexpectedResponse, "m"}},
		"a page that wants a login":      {fault(fakecloud.Fault{Kind: fakecloud.FaultHTMLPage}), exporter, project, outcome{cloud.UnexpectedResponse, fmt.Sprintf(status, 200)}},
		"a proxy's page":                 {fault(fakecloud.Fault{Kind: fakecloud.FaultHTML502}), exporter, project, outcome{cloud.RemoteUnavailable, fmt.Sprintf(status, 502)}},
		"another host":                   {fault(fakecloud.Fault{Kind: fakecloud.FaultWrongEndpoint, Body: fakecloud.BodyJSON}), exporter, project, outcome{cloud.UnexpectedResponse, fmt.Sprintf(status, 404)}},
		"an empty body":                  {fault(fakecloud.Fault{Kind: fakecloud.FaultEmptyBody}), exporter, project, outcome{cloud.UnexpectedResponse, fmt.Sprintf(status, 201)}},
		"half a body":                    {fault(fakecloud.Fault{Kind: fakecloud.FaultGarbled}), exporter, project, outcome{cloud.UnexpectedResponse, fmt.Sprintf(status, 201)}},
		"a body that is cut":             {fault(fakecloud.Fault{Kind: fakecloud.FaultCutStream, Bytes: 10}), exporter, project, outcome{cloud.RemoteUnavailable, "the connection was lost before an answer arrived"}},
		"a lost reply":                   {fault(fakecloud.Fault{Kind: fakecloud.FaultDropAfter}), exporter, project, outcome{cloud.RemoteUnavailable, "the connection was lost before an answer arrived"}},
		"a token that has ended":         {yesterday, exporter, project, outcome{cloud.UnexpectedResponse, "the token has ended before it began: the clock of this machine is off"}},
		"a service that does not answer": {fault(fakecloud.Fault{Kind: fakecloud.FaultTimeout}), exporter, project, outcome{cloud.RemoteUnavailable, "no answer in time"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newCloud(t)
			tc.prepare(server)
			c := newClient(t, server, func(config *iam.Config) {
				if tc.want.Message == "no answer in time" {
					config.Timeout = time.Millisecond
				}
			})
			token, err := c.CreateToken(t.Context(), tc.user, tc.project)
			e, ok := errors.AsType[*cloud.Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(tc.want, outcome{e.Code, e.Message}); diff != "" || token.Value != "" {
				t.Errorf("the error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestASuccessThatIsNone: what a success lacks.
func TestASuccessThatIsNone(t *testing.T) {
	const fine = `{"token":{"expires_at":"2026-11-23T06:00:00.000000Z"}}`
	tests := map[string]struct{ token, body, want string }{
		"no token":           {" ", fine, "the answer holds no token"},
		"no end":             {"MIIfake", `{"token":{}}`, "the answer does not say how long the token lasts"},
		"an end that is odd": {"MIIfake", `{"token":{"expires_at":"tomorrow"}}`, "the answer does not say how long the token lasts"},
		"an end that is now": {"MIIfake", fine, "the token has ended before it began: the clock of this machine is off"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Subject-Token", tc.token)
				w.WriteHeader(http.StatusCreated)
				if _, err := io.WriteString(w, tc.body); err != nil {
					t.Error(err)
				}
			}), func(config *iam.Config) {
				config.Now = func() time.Time { return time.Date(2026, 11, 23, 6, 0, 0, 0, time.UTC) }
			})
			_, err := c.CreateToken(t.Context(), exporter, project)
			if e, ok := errors.AsType[*cloud.Error](err); !ok || e.Code != cloud.UnexpectedResponse || e.Message != tc.want {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNoErrorHoldsASecret(t *testing.T) {
	const token = "MIIfake-token-that-opens-nothing"
	c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var sent any
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			t.Error(err)
		}
		document, err := json.Marshal(map[string]any{"error_code": "IAM.0011", "error_msg": fmt.Sprint("you sent ", sent, " and get ", token)})
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Subject-Token", token)
		w.WriteHeader(http.StatusBadRequest)
		if _, err := w.Write(document); err != nil {
			t.Error(err)
		}
	}))
	got, err := c.CreateToken(t.Context(), exporter, project)
	if cloud.CodeOf(err) != cloud.RemoteRejected || !strings.Contains(err.Error(), "you sent") {
		t.Fatalf("got %v", err)
	}
	got.Value = token
	text := fmt.Sprintf("%v %+v %+v %#v %s", err, errors.Unwrap(err), got, exporter, &exporter)
	for _, secret := range []string{token, exporter.Password} {
		if strings.Contains(text, secret) {
			t.Errorf("%q holds %q", text, secret)
		}
	}
}

func TestAClientIsNotMadeOfNonsense(t *testing.T) {
	if _, err := iam.New(iam.Config{Endpoint: "iam.test"}); err == nil {
		t.Error("accepted")
	}
}
