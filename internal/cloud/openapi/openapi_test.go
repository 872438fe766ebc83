package openapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// The keys of these tests open nothing.
var keys = openapi.Keys{AccessKeyID: "FAKEACCESSKEYID", AccessKeySecret: "fake-secret-that-opens-nothing", SecurityToken: "fake-token/with+signs=that-opens-nothing"}

// webToken looks like the signed token of a service account.
const webToken = "ZmFrZS1oZWFkZXItb2YtYS10b2tlbg.ZmFrZS1jbGFpbXMtb2YtYS10b2tlbg.ZmFrZS1zaWduYXR1cmUtb2YtYS10b2tlbg"

// transport hands requests to a handler. Without a network, so that the time can be a fake one.
type transport struct{ http.Handler }

func (tr transport) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	if request.Body == nil {
		request.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	tr.ServeHTTP(recorder, request)
	return recorder.Result(), request.Context().Err()
}

// newClient makes a client of a handler.
func newClient(t testing.TB, handler http.HandlerFunc, changes ...func(*openapi.Config)) *openapi.Client {
	t.Helper()
	config := openapi.Config{Version: "2015-04-01", Endpoint: "https://service.test", Credential: keys, Transport: openapi.Transport{
		HTTPClient: &http.Client{Transport: transport{handler}}, Timeout: time.Minute, MaxBody: 1 << 20,
	}}
	for _, change := range changes {
		change(&config)
	}
	c, err := openapi.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ignore reads nothing of an answer.
func ignore(*openapi.Answer) error { return nil }

// fail takes every answer for a failure that says what its body says.
func fail(code string) func(*openapi.Answer) error {
	return func(a *openapi.Answer) error {
		return a.Failure(openapi.Failure{Op: "do it", Code: code, Message: string(a.Body), RequestID: "1"})
	}
}

// header returns a header of a request that has not come over a wire: the vendor's library does not spell names as Go does.
func header(r *http.Request, name string) string {
	for key, values := range r.Header {
		if strings.EqualFold(key, name) {
			return strings.Join(values, ",")
		}
	}
	return ""
}

func answer(w io.Writer, text string) {
	if _, err := io.WriteString(w, text); err != nil {
		panic(err)
	}
}

func TestRequestsOnTheWire(t *testing.T) {
	type recorded struct {
		Line, Host, Action, Version, Type, Body string
		Signed                                  bool
	}
	nested := map[string]any{"Order": map[string]any{"Objects": []map[string]any{{"Name": "t1", "Actions": "Select,Describe"}, {"Name": "t2"}}}, "Days": 30}
	tests := map[string]struct {
		endpoint string
		call     openapi.Call
		want     recorded
	}{
		"a path and JSON": {
			call: openapi.Call{Action: "CreateRole", Method: http.MethodPut, Path: "/api/v1/a%2Fb", Query: map[string]any{"x": "1 2"}, Body: map[string]any{"name": "r"}},
			want: recorded{"PUT /api/v1/a%2Fb?x=1+2", "service.test", "CreateRole", "2015-04-01", "application/json; charset=utf-8", `{"name":"r"}`, true},
		},
		"parameters in the URL": {
			call: openapi.Call{Action: "AssumeRole", Method: http.MethodPost, Query: map[string]any{"RoleArn": "acs:ram::1:role/a", "DurationSeconds": 3600}},
			want: recorded{"POST /?DurationSeconds=3600&RoleArn=acs%3Aram%3A%3A1%3Arole%2Fa", "service.test", "AssumeRole", "2015-04-01", "", "", true},
		},
		"parameters in a form": {
			call: openapi.Call{Action: "AssumeRoleWithOIDC", Method: http.MethodPost, Form: map[string]any{"Token": "a b"}, Anonymous: true},
			want: recorded{"POST /", "service.test", "AssumeRoleWithOIDC", "2015-04-01", "application/x-www-form-urlencoded", "Token=a+b", false},
		},
		"lists, in the URL": {
			call: openapi.Call{Action: "Create", Method: http.MethodPost, Query: nested},
			want: recorded{
				"POST /?Days=30&Order.Objects.1.Actions=Select%2CDescribe&Order.Objects.1.Name=t1&Order.Objects.2.Name=t2", "service.test", "Create", "2015-04-01", "", "", true,
			},
		},
		"lists, in a form": {
			call: openapi.Call{Action: "Create", Method: http.MethodPost, Form: nested},
			want: recorded{
				"POST /", "service.test", "Create", "2015-04-01", "application/x-www-form-urlencoded",
				"Days=30&Order.Objects.1.Actions=Select%2CDescribe&Order.Objects.1.Name=t1&Order.Objects.2.Name=t2", true,
			},
		},
		"an endpoint with a path": {
			endpoint: "https://proxy.test:8443/to%3Fx/",
			call:     openapi.Call{Action: "Get", Method: http.MethodGet},
			want:     recorded{"GET /to%3Fx/", "proxy.test:8443", "Get", "2015-04-01", "", "", true},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got recorded
			c := newClient(t, func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				got = recorded{
					r.Method + " " + r.URL.RequestURI(), r.Host, header(r, "x-acs-action"), header(r, "x-acs-version"), header(r, "content-type"), string(body), header(r, "authorization") != "",
				}
			}, func(config *openapi.Config) {
				if tc.endpoint != "" {
					config.Endpoint = tc.endpoint
				}
			})
			if err := c.Do(t.Context(), tc.call, ignore); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("what was sent (-want +got):\n%s", diff)
			}
		})
	}
}

// changing is a credential whose keys are others each time.
type changing struct{ n atomic.Int32 }

func (c *changing) Keys() openapi.Keys {
	n := fmt.Sprint(c.n.Add(1))
	return openapi.Keys{AccessKeyID: "id-" + n, AccessKeySecret: "secret-" + n, SecurityToken: "token-" + n}
}

func TestASignatureIsMadeFromOneSnapshot(t *testing.T) {
	credential := &changing{}
	n := 0
	c := newClient(t, func(_ http.ResponseWriter, r *http.Request) {
		n++
		id, token := fmt.Sprint("id-", n), fmt.Sprint("token-", n)
		if !strings.Contains(header(r, "Authorization"), "Credential="+id+",") || header(r, "x-acs-accesskey-id") != id || header(r, "x-acs-security-token") != token {
			t.Errorf("request %d has the headers %v", n, r.Header)
		}
	}, func(config *openapi.Config) { config.Credential = credential })
	for range 3 {
		if err := c.Do(t.Context(), openapi.Call{Action: "Get", Method: http.MethodGet}, ignore); err != nil {
			t.Fatal(err)
		}
	}
	if got := credential.n.Load(); got != 3 {
		t.Errorf("the keys were asked for %d times", got)
	}
}

func TestNothingIsSentWithoutKeys(t *testing.T) {
	for name, credential := range map[string]openapi.Credential{
		"no credential": nil, "empty keys": openapi.Keys{}, "no secret": openapi.Keys{AccessKeyID: "a", SecurityToken: "t"}, "no id": openapi.Keys{AccessKeySecret: "s"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }, func(config *openapi.Config) { config.Credential = credential })
			err := c.Do(t.Context(), openapi.Call{Action: "Get", Op: "get it", Method: http.MethodGet}, ignore)
			if cloud.CodeOf(err) != cloud.AuthenticationFailed || err.Error() != "get it: the credentials give no keys to sign with" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestARequestThatCannotBeFormedIsTheSpecsFault(t *testing.T) {
	c := newClient(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	err := c.Do(t.Context(), openapi.Call{Action: "Get", Op: "get it", Method: "not a method"}, ignore)
	if cloud.CodeOf(err) != cloud.InvalidSpec || !cloud.Refused(err) {
		t.Errorf("got %v", err)
	}
}

// told is a limiter that notes what it is told.
type told struct{ throttled []time.Duration }

var sentAt = time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC)

func (*told) Wait(context.Context) (time.Time, error) { return sentAt, nil }

func (l *told) Ended(sent time.Time, err error) {
	if !sent.Equal(sentAt) {
		panic("another call has ended")
	}
	if e, ok := errors.AsType[*cloud.Error](err); ok && e.Throttled {
		l.throttled = append(l.throttled, e.RetryAfter)
	}
}

func (*told) Closed() error { return nil }

func TestTheLimiterIsToldOfRefusalsForTheRate(t *testing.T) {
	tests := map[string]struct {
		status     int
		code       string
		unreadable bool
		retryAfter string
		want       []time.Duration
	}{
		"Throttling":                       {status: 400, code: "Throttling", want: []time.Duration{0}},
		"Throttling.User":                  {status: 400, code: "Throttling.User", want: []time.Duration{0}},
		"Throttling.Api":                   {status: 429, code: "Throttling.Api", want: []time.Duration{0}},
		"Throttling.Resource, with a wait": {status: 503, code: "Throttling.Resource", retryAfter: "7", want: []time.Duration{7 * time.Second}},
		"Rejected.Throttling":              {status: 400, code: "Rejected.Throttling", want: []time.Duration{0}},
		"in lower case, inside a success":  {status: 200, code: "throttling.user", want: []time.Duration{0}},
		"a code that nobody knows":         {status: 429, code: "Novel.Code", want: []time.Duration{0}},
		"a proxy that throttles":           {status: 429, unreadable: true, retryAfter: "2", want: []time.Duration{2 * time.Second}},
		"a service that is down":           {status: 503, code: "ServiceUnavailable", retryAfter: "7"},
		"a proxy that is down":             {status: 503, unreadable: true, retryAfter: "7"},
		"another refusal":                  {status: 403, code: "NoPermission"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			limiter := &told{}
			c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", tc.retryAfter)
				w.WriteHeader(tc.status)
			}, func(config *openapi.Config) { config.Transport.Limiter = limiter })
			read := fail(tc.code)
			if tc.unreadable {
				read = func(a *openapi.Answer) error { return a.Unreadable("do it", "anybody") }
			}
			if err := c.Do(t.Context(), openapi.Call{Action: "Get", Method: http.MethodGet}, read); err == nil {
				t.Error("no error")
			}
			if diff := cmp.Diff(tc.want, limiter.throttled); diff != "" {
				t.Errorf("what the limiter was told (-want +got):\n%s", diff)
			}
		})
	}
}

// closed is a limiter that lets nothing through.
type closed struct{ err error }

func (l closed) Wait(context.Context) (time.Time, error) { return time.Time{}, l.err }

func (closed) Ended(time.Time, error) { panic("a call has ended that was not sent") }

func (l closed) Closed() error { return l.err }

func TestWhatTheLimiterRefusesIsNotSent(t *testing.T) {
	full := errors.New("no room")
	budget := &cloud.Error{Code: cloud.RemoteUnavailable, Message: "not sent: the budget is used up", Throttled: true, RetryAfter: time.Hour}
	tests := map[string]struct {
		err  error
		want cloud.Error
	}{
		"an error of its own": {full, cloud.Error{
			Code: cloud.RemoteUnavailable, Op: "get it", Message: "not sent: the account's rate limit leaves no room in time", Throttled: true, Err: full,
		}},
		"a refusal that says why": {fmt.Errorf("wrapped: %w", budget), cloud.Error{
			Code: cloud.RemoteUnavailable, Op: "get it", Message: "not sent: the budget is used up", Throttled: true, RetryAfter: time.Hour,
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }, func(config *openapi.Config) {
				config.Transport.Limiter = closed{tc.err}
			})
			err := c.Do(t.Context(), openapi.Call{Action: "Get", Op: "get it", Method: http.MethodGet}, ignore)
			got, ok := errors.AsType[*cloud.Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(tc.want, *got, cmpopts.EquateErrors()); diff != "" {
				t.Errorf("the error (-want +got):\n%s", diff)
			}
			if !cloud.Refused(err) || budget.Op != "" {
				t.Errorf("refused: %v; the limiter's own error has the operation %q", cloud.Refused(err), budget.Op)
			}
		})
	}
}

func TestCodesOfAServiceComeFirst(t *testing.T) {
	codes := openapi.Codes{
		{Pattern: "forbidden.thing", Class: cloud.NotFound},
		{Pattern: "odd*", Class: cloud.RemoteRejected, Message: "that is odd"},
	}
	type want struct {
		Code    cloud.Code
		Message string
	}
	tests := map[string]struct {
		code, message string
		want          want
	}{
		"a code of the service":             {"Forbidden.Thing", "m", want{cloud.NotFound, "m"}},
		"a code that only begins like it":   {"Forbidden.Thing.Else", "m", want{cloud.PermissionDenied, "m"}},
		"a code with a message of its own":  {"Odd.One", "m", want{cloud.RemoteRejected, "that is odd"}},
		"a refusal of what is there":        {"Odd.One", "it already exists", want{cloud.AlreadyExists, "that is odd"}},
		"a common code":                     {"InvalidParameter.X", "m", want{cloud.RemoteRejected, "m"}},
		"a common code, and what is there":  {"InvalidParameter.X", "the role already exists", want{cloud.AlreadyExists, "the role already exists"}},
		"a permission, and what is there":   {"NoPermission", "the role already exists", want{cloud.PermissionDenied, "the role already exists"}},
		"a clock that is off":               {"InvalidTimeStamp.Expired", "m", want{cloud.AuthenticationFailed, openapi.ClockSkew}},
		"a signature":                       {"SignatureDoesNotMatch", "m", want{cloud.AuthenticationFailed, "the service refused the credentials or the signature"}},
		"a nonce that the transport reused": {"SignatureNonceUsed", "m", want{cloud.RemoteUnavailable, "m"}},
		"a code that nobody knows":          {"Novel.Code", "m", want{cloud.RemoteRejected, "m"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
			err := c.Do(t.Context(), openapi.Call{Action: "Get", Method: http.MethodGet}, func(a *openapi.Answer) error {
				return a.Failure(openapi.Failure{Op: "do it", Code: tc.code, Message: tc.message, Codes: codes})
			})
			e, ok := errors.AsType[*cloud.Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(tc.want, want{e.Code, e.Message}); diff != "" {
				t.Errorf("the error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOfAnotherVendorOnlyItsOwnCodesCount(t *testing.T) {
	codes := openapi.Codes{{Pattern: "*.0301", Class: cloud.AuthenticationFailed, Message: "own words"}, {Pattern: "*.0801", Class: cloud.RemoteRejected}}
	tests := map[string]struct {
		status  int
		failure openapi.Failure
		want    cloud.Code
	}{
		"what comes after the last dot":        {400, openapi.Failure{Code: "A.B.0301"}, cloud.AuthenticationFailed},
		"a code without dots":                  {400, openapi.Failure{Code: "0301"}, cloud.AuthenticationFailed},
		"a code that only ends alike":          {400, openapi.Failure{Code: "A.10301"}, cloud.RemoteRejected},
		"a code that goes on":                  {400, openapi.Failure{Code: "A.0301.1"}, cloud.RemoteRejected},
		"a code of Alibaba Cloud":              {400, openapi.Failure{Code: "Forbidden"}, cloud.RemoteRejected},
		"words that mean something elsewhere":  {400, openapi.Failure{Code: "A.1", Message: "it already exists"}, cloud.RemoteRejected},
		"known words, too":                     {403, openapi.Failure{Code: "A.0801", Message: "it already exists"}, cloud.RemoteRejected},
		"a 401 with a code that is not known":  {401, openapi.Failure{Code: "A.1"}, cloud.AuthenticationFailed},
		"a 401 with a code that is":            {401, openapi.Failure{Code: "A.0801"}, cloud.AuthenticationFailed},
		"a 401 without a code":                 {401, openapi.Failure{}, cloud.AuthenticationFailed},
		"a code that is told to be throttling": {401, openapi.Failure{Code: "A.0308", Throttled: true}, cloud.RemoteUnavailable},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tc.status) })
			err := c.Do(t.Context(), openapi.Call{Action: "Get", Method: http.MethodGet}, func(a *openapi.Answer) error {
				tc.failure.Codes, tc.failure.Foreign = codes, true
				return a.Failure(tc.failure)
			})
			if e, ok := errors.AsType[*cloud.Error](err); !ok || e.Code != tc.want || e.Throttled != tc.failure.Throttled {
				t.Errorf("got %#v, want %s", err, tc.want)
			}
		})
	}
}

func TestKeysCannotBePrinted(t *testing.T) {
	var credential openapi.Credential = keys
	nested := struct{ K *openapi.Keys }{&keys}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		text := fmt.Sprintf(format, keys) + fmt.Sprintf(format, credential) + fmt.Sprintf(format, []openapi.Keys{keys}) + fmt.Sprintf(format, nested.K)
		for _, secret := range []string{keys.AccessKeyID, keys.AccessKeySecret, keys.SecurityToken} {
			if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
				t.Errorf("%s printed %s", format, text)
			}
		}
	}
}

func TestWhatARequestCarriesIsNotRepeated(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		authorization := header(r, "authorization")
		signature := authorization[strings.LastIndex(authorization, "=")+1:]
		parts := strings.Split(webToken, ".")
		w.WriteHeader(http.StatusBadRequest)
		answer(w, fmt.Sprintf("you sent %s, signed %s / %s, with %s and %s, claims %s signature %s", body, authorization, signature, header(r, "x-acs-security-token"), webToken, parts[1], parts[2]))
	})
	err := c.Do(t.Context(), openapi.Call{Action: "X", Method: http.MethodPost, Form: map[string]any{"Token": webToken}, Secrets: []string{webToken}}, fail("Novel.Code"))
	if cloud.CodeOf(err) != cloud.RemoteRejected {
		t.Fatalf("got %v", err)
	}
	for _, secret := range append(strings.Split(webToken, "."), keys.AccessKeySecret, keys.SecurityToken, "Signature=", "Credential=") {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q holds %q", err, secret)
		}
	}
}

// TestNoSecretIsPrintedWhateverTheEnvironment runs itself as a process whose environment makes the vendor's libraries print what they
// know.
func TestNoSecretIsPrintedWhateverTheEnvironment(t *testing.T) {
	if os.Getenv("PRINT_WHAT_YOU_KNOW") != "" {
		c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, "{}") })
		for _, call := range []openapi.Call{
			{Action: "Signed", Method: http.MethodPost, Path: "/x", Body: map[string]any{"name": "r"}},
			{Action: "Anonymous", Method: http.MethodPost, Form: map[string]any{"Token": webToken}, Secrets: []string{webToken}, Anonymous: true},
		} {
			if err := c.Do(t.Context(), call, ignore); err != nil {
				t.Error(err)
			}
		}
		return
	}
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	process.Env = append(os.Environ(), "PRINT_WHAT_YOU_KNOW=1", "DEBUG=dara,tea,sdk,credentials,credential")
	output, err := process.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if !strings.Contains(string(output), "x-acs-action: Signed") {
		t.Errorf("the library printed nothing, so this proves nothing:\n%s", output)
	}
	for _, secret := range append(strings.Split(webToken, "."), keys.AccessKeyID, keys.AccessKeySecret, keys.SecurityToken, "Signature=") {
		if strings.Contains(string(output), secret) {
			t.Errorf("%q was printed:\n%s", secret, output)
		}
	}
}
