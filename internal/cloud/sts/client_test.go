package sts_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/sts"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const (
	reader   = "acs:ram::123456789012:role/reader"
	prod     = "acs:ram::210987654321:role/prod"
	provider = "acs:ram::123456789012:oidc-provider/cluster"
	subject  = "system:serviceaccount:team:data-perms"
)

// source are the keys that sessions are opened with. They open nothing but the fake.
var source = openapi.Keys{AccessKeyID: fakecloud.DefaultAccessKeyID, AccessKeySecret: fakecloud.DefaultAccessKeySecret}

// newCloud makes a fake cloud with two RAM roles: one for a service account, and one that needs an external id, for the first and for
// the default access key.
func newCloud(t *testing.T) *fakecloud.Server {
	t.Helper()
	server := fakecloud.New(fakecloud.Options{Projects: []fakecloud.Project{{Name: "analytics"}}})
	server.AddRAMRole(fakecloud.RAMRole{
		Arn: reader, OIDC: &fakecloud.OIDCTrust{ProviderArn: provider, Audience: "sts.aliyuncs.com", Subjects: []string{subject}},
	})
	server.AddRAMRole(fakecloud.RAMRole{Arn: prod, TrustedAccessKeys: []string{fakecloud.DefaultAccessKeyID, reader}, ExternalID: "tenant-7"})
	t.Cleanup(func() {
		if violations := server.Violations(); len(violations) > 0 {
			t.Errorf("the fake cloud was asked for what it does not have: %v", violations)
		}
	})
	return server
}

// newClient makes a client of a handler.
func newClient(t *testing.T, handler http.Handler) *sts.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := sts.New(sts.Config{Endpoint: server.URL, HTTPClient: openapi.NewHTTPClient()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newToken makes a token as a cluster does, but for its signature.
func newToken(t *testing.T, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"iss": "https://cluster.test", "sub": subject, "aud": []string{"sts.aliyuncs.com"}, "exp": time.Now().Add(10 * time.Minute).Unix()}
	maps.Copy(all, claims)
	var parts []string
	for _, part := range []any{map[string]any{"alg": "RS256", "kid": "fake"}, all} {
		raw, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(raw))
	}
	return strings.Join(append(parts, base64.RawURLEncoding.EncodeToString([]byte("fake-signature-of-a-token"))), ".")
}

func withOIDC(token string) sts.AssumeRoleWithOIDC {
	return sts.AssumeRoleWithOIDC{RoleARN: reader, ProviderARN: provider, Token: token, SessionName: "maxcompute-operator", Duration: time.Hour}
}

func withKeys() sts.AssumeRole {
	return sts.AssumeRole{RoleARN: prod, SessionName: "k8s", ExternalID: "tenant-7", Duration: time.Hour}
}

func TestSessionsAreOpened(t *testing.T) {
	server := newCloud(t)
	c := newClient(t, server)
	first, err := c.AssumeRoleWithOIDC(t.Context(), withOIDC(newToken(t, nil)))
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.AssumeRole(t.Context(), first.Keys, withKeys())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AssumeRole(t.Context(), source, withKeys()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, session := range server.Sessions() {
		got = append(got, session.Arn+"/"+session.SessionName)
	}
	if diff := cmp.Diff([]string{reader + "/maxcompute-operator", prod + "/k8s", prod + "/k8s"}, got); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
	for _, session := range []sts.Session{first, second} {
		if left := time.Until(session.Expiration); left < 59*time.Minute || left > time.Hour || !strings.HasPrefix(session.Keys.AccessKeyID, "STS.") {
			t.Errorf("a session with %s that lasts %s", session.Keys.AccessKeyID, left)
		}
	}
	calls := server.Journal()
	if calls[0].AccessKeyID != "" || calls[0].Caller != subject || calls[1].Caller != reader || calls[2].AccessKeyID != fakecloud.DefaultAccessKeyID {
		t.Errorf("called as %+v", calls)
	}
}

// TestATokenIsNotInTheURL: what lies between may log it.
func TestATokenIsNotInTheURL(t *testing.T) {
	token := newToken(t, nil)
	var seen *http.Request
	var body []byte
	c := newClient(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = r
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
	}))
	if _, err := c.AssumeRoleWithOIDC(t.Context(), withOIDC(token)); err == nil {
		t.Error("no error")
	}
	if seen.Method != http.MethodPost || strings.Contains(seen.URL.String()+fmt.Sprint(seen.Header), token) || !strings.Contains(string(body), "OIDCToken="+token) {
		t.Errorf("sent %s %s %v %s", seen.Method, seen.URL, seen.Header, body)
	}
	if seen.Header.Get("Authorization") != "" {
		t.Error("the call was signed")
	}
}

func TestWhyASessionCannotBeOpened(t *testing.T) {
	type want struct {
		Code cloud.Code
		Text string
	}
	const (
		readerOp, prodOp = "open a session of RAM role " + reader + ": ", "open a session of RAM role " + prod + ": "
		skew             = "the service refused the request's time: the clock of this machine is off"
	)
	oidc := func(claims map[string]any, change func(*sts.AssumeRoleWithOIDC)) func(*testing.T, *sts.Client) error {
		return func(t *testing.T, c *sts.Client) error {
			role := withOIDC(newToken(t, claims))
			if change != nil {
				change(&role)
			}
			_, err := c.AssumeRoleWithOIDC(t.Context(), role)
			return err
		}
	}
	keys := func(keys openapi.Keys, change func(*sts.AssumeRole)) func(*testing.T, *sts.Client) error {
		return func(t *testing.T, c *sts.Client) error {
			role := withKeys()
			if change != nil {
				change(&role)
			}
			_, err := c.AssumeRole(t.Context(), keys, role)
			return err
		}
	}
	tests := map[string]struct {
		arrange func(*fakecloud.Server)
		call    func(*testing.T, *sts.Client) error
		want    want
	}{
		"a token that has expired": {
			call: oidc(map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}, nil),
			want: want{cloud.AuthenticationFailed, readerOp + "AuthenticationFail.OIDCToken.Expired: the service takes a new token of the service account for expired: the clock of the cluster is off"},
		},
		"a token for another audience": {
			call: oidc(map[string]any{"aud": "other"}, nil),
			want: want{cloud.AuthenticationFailed, readerOp + "AuthenticationFail.OIDCToken.AudienceNotMatch: the service refused the token of the service account"},
		},
		"a token that is none": {
			call: oidc(nil, func(r *sts.AssumeRoleWithOIDC) { r.Token = "fake-token" }),
			want: want{cloud.AuthenticationFailed, readerOp + "AuthenticationFail.OIDCToken.Invalid: the service refused the token of the service account"},
		},
		"another service account": {
			call: oidc(map[string]any{"sub": "system:serviceaccount:others:data-perms"}, nil),
			want: want{cloud.PermissionDenied, readerOp + "AuthenticationFail.NoPermission: There is no permission"},
		},
		"a provider that the RAM role does not trust": {
			call: oidc(nil, func(r *sts.AssumeRoleWithOIDC) { r.ProviderARN += "-2" }),
			want: want{cloud.PermissionDenied, readerOp + "AuthenticationFail.NoPermission: No such OIDC Provider registered."},
		},
		"a RAM role that does not exist": {
			call: keys(source, func(r *sts.AssumeRole) { r.RoleARN = "acs:ram::1:role/none" }),
			want: want{cloud.RemoteRejected, "open a session of RAM role acs:ram::1:role/none: EntityNotExist.Role: The role not exists: acs:ram::1:role/none."},
		},
		"another external id": {
			call: keys(source, func(r *sts.AssumeRole) { r.ExternalID = "tenant-8" }),
			want: want{cloud.PermissionDenied, prodOp + "NoPermission: You are not authorized to do this action. You should be authorized by RAM."},
		},
		"no external id": {
			call: keys(source, func(r *sts.AssumeRole) { r.ExternalID = "" }),
			want: want{cloud.PermissionDenied, prodOp + "NoPermission: You are not authorized to do this action. You should be authorized by RAM."},
		},
		"a session that would last too long": {
			call: keys(source, func(r *sts.AssumeRole) { r.Duration = 2 * time.Hour }),
			want: want{cloud.RemoteRejected, prodOp + "InvalidParameter.DurationSeconds: The Min/Max value of DurationSeconds is 15min/60min."},
		},
		"a key that nobody knows": {
			call: keys(openapi.Keys{AccessKeyID: "FAKEOTHER", AccessKeySecret: "fake"}, nil),
			want: want{cloud.AuthenticationFailed, prodOp + "InvalidAccessKeyId.NotFound: the service refused the credentials or the signature"},
		},
		"another secret": {
			call: keys(openapi.Keys{AccessKeyID: fakecloud.DefaultAccessKeyID, AccessKeySecret: "fake"}, nil),
			want: want{cloud.AuthenticationFailed, prodOp + "SignatureDoesNotMatch: the service refused the credentials or the signature"},
		},
		"a clock that is behind": {
			arrange: func(s *fakecloud.Server) { s.ShiftClock(time.Hour) }, call: keys(source, nil),
			want: want{cloud.AuthenticationFailed, prodOp + "InvalidTimeStamp.Expired: " + skew},
		},
		"a service that is down": {
			arrange: func(s *fakecloud.Server) {
				s.Inject(fakecloud.Fault{Kind: fakecloud.FaultHTML502, Service: "sts"})
			}, call: keys(source, nil),
			want: want{cloud.RemoteUnavailable, prodOp + "HTTP status 502 with a body that is not the Security Token Service's"},
		},
		"a service that is too busy": {
			arrange: func(s *fakecloud.Server) {
				s.Inject(fakecloud.Fault{Kind: fakecloud.FaultThrottle, Service: "sts"})
			}, call: keys(source, nil),
			want: want{cloud.RemoteUnavailable, prodOp + "Throttling.User: Request was denied due to user flow control."},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newCloud(t)
			if tc.arrange != nil {
				tc.arrange(server)
			}
			err := tc.call(t, newClient(t, server))
			e, ok := errors.AsType[*cloud.Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(tc.want, want{e.Code, e.Error()}); diff != "" {
				t.Errorf("the error (-want +got):\n%s", diff)
			}
			if cloud.IsNotFound(err) {
				t.Error("something is taken for absent")
			}
			if n := len(server.Sessions()); n != 0 {
				t.Errorf("%d sessions were opened", n)
			}
		})
	}
}

func TestAnAnswerMustHoldASession(t *testing.T) {
	const later = "2026-11-21T17:00:00Z"
	whole := func(id, secret, token, expiration string) string {
		return fmt.Sprintf(`{"RequestId":"1","Credentials":{"AccessKeyId":%q,"AccessKeySecret":%q,"SecurityToken":%q,"Expiration":%q}}`, id, secret, token, expiration)
	}
	tests := map[string]struct {
		body string
		// want ends the text of the error; empty if there is none.
		want string
	}{
		"a session":              {whole("STS.fake", "fake-secret", "fake-token", later), ""},
		"no id":                  {whole("", "fake-secret", "fake-token", later), "the answer holds no credentials"},
		"no secret":              {whole("STS.fake", " ", "fake-token", later), "the answer holds no credentials"},
		"no token":               {whole("STS.fake", "fake-secret", "", later), "the answer holds no credentials"},
		"no credentials":         {`{"RequestId":"1"}`, "the answer holds no credentials"},
		"credentials of a kind":  {`{"Credentials":"STS.fake"}`, "HTTP status 200 with a body that is not the Security Token Service's"},
		"a page":                 {"<html>fake-secret</html>", "HTTP status 200 with a body that is not the Security Token Service's"},
		"nothing":                {"", "HTTP status 200 with a body that is not the Security Token Service's"},
		"no end":                 {whole("STS.fake", "fake-secret", "fake-token", ""), "the answer does not say how long the session lasts"},
		"an end that is none":    {whole("STS.fake", "fake-secret", "fake-token", "in an hour"), "the answer does not say how long the session lasts"},
		"an end that is past":    {whole("STS.fake", "fake-secret", "fake-token", "2026-11-21T15:59:59Z"), "the session has ended before it began: the clock of this machine is off"},
		"an end that is now":     {whole("STS.fake", "fake-secret", "fake-token", "2026-11-21T16:00:00Z"), "the session has ended before it began: the clock of this machine is off"},
		"an error in a success":  {`{"RequestId":"1","Code":"Novel.Code","Message":"no luck today"}`, "Novel.Code: no luck today"},
		"a known one, and a key": {`{"Code":"NoPermission","Credentials":{"AccessKeyId":"STS.fake"}}`, "NoPermission"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if _, err := io.WriteString(w, tc.body); err != nil {
					t.Error(err)
				}
			}))
			defer server.Close()
			c, err := sts.New(sts.Config{
				Endpoint: server.URL, HTTPClient: openapi.NewHTTPClient(), Now: func() time.Time { return time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC) },
			})
			if err != nil {
				t.Fatal(err)
			}
			session, err := c.AssumeRole(t.Context(), source, withKeys())
			if tc.want == "" {
				want := sts.Session{Keys: openapi.Keys{AccessKeyID: "STS.fake", AccessKeySecret: "fake-secret", SecurityToken: "fake-token"}, Expiration: time.Date(2026, 11, 21, 17, 0, 0, 0, time.UTC)}
				if err != nil || session != want {
					t.Errorf("got %v", err)
				}
				return
			}
			if code := cloud.CodeOf(err); code != cloud.UnexpectedResponse && code != cloud.PermissionDenied || !strings.HasSuffix(fmt.Sprint(err), ": "+tc.want) || session != (sts.Session{}) {
				t.Errorf("got %v", err)
			}
			if strings.Contains(fmt.Sprint(err), "fake-") {
				t.Errorf("%v holds a secret", err)
			}
		})
	}
}

// TestNoSecretGetsIntoAnError: a service that repeats all that it was sent.
func TestNoSecretGetsIntoAnError(t *testing.T) {
	token := newToken(t, nil)
	temporary := openapi.Keys{AccessKeyID: "STS.fake", AccessKeySecret: "fake-secret-of-a-session", SecurityToken: "fake-security-token-of-a-session"}
	for _, code := range []string{"Novel.Code", "AuthenticationFail.NoPermission", "EntityNotExist.Role", "InvalidParameter.OIDCToken", "AuthenticationFail.OIDCToken.Invalid"} {
		for _, status := range []int{200, 400, 500} {
			c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := r.ParseForm(); err != nil {
					t.Error(err)
				}
				message, err := json.Marshal(fmt.Sprint(r.Form["OIDCToken"], r.Header))
				if err != nil {
					t.Error(err)
				}
				w.WriteHeader(status)
				if _, err := fmt.Fprintf(w, `{"Code":%q,"Message":%s}`, code, message); err != nil {
					t.Error(err)
				}
			}))
			_, first := c.AssumeRoleWithOIDC(t.Context(), withOIDC(token))
			_, second := c.AssumeRole(t.Context(), temporary, withKeys())
			for _, err := range []error{first, second} {
				for _, secret := range append(strings.Split(token, "."), temporary.AccessKeySecret, temporary.SecurityToken, "Signature=") {
					if err == nil || strings.Contains(err.Error(), secret) {
						t.Errorf("%s, %d: %v holds %q", code, status, err, secret)
					}
				}
			}
		}
	}
}
