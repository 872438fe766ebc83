package insight_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/insight"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

func TestAnIdentityIsKnownWhateverItMay(t *testing.T) {
	refuse := func(status int, code string) func(*fakecloud.Server) {
		return func(s *fakecloud.Server) {
			s.Inject(fakecloud.Fault{Kind: fakecloud.FaultError, Status: status, Code: code})
		}
	}
	anything := func(*fakecloud.Server) {}
	tests := map[string]struct {
		credentials insight.Credentials
		prepare     func(*fakecloud.Server)
		want        cloud.Code
	}{
		"a permanent key":                 {permanent, anything, ""},
		"a temporary key":                 {temporary, anything, ""},
		"a token":                         {withToken, anything, ""},
		"who may not list":                {permanent, refuse(403, "DataArtsInsight.20010003"), ""},
		"who may not call the API":        {permanent, refuse(403, "APIGW.0302"), ""},
		"a service that wants more":       {permanent, refuse(400, "DataArtsInsight.99999999"), ""},
		"a service that wants workspaces": {permanent, func(s *fakecloud.Server) { s.SetInsightStyle(fakecloud.InsightStyle{InstancesNeedWorkspace: true}) }, ""},
		"a wrong key":                     {insight.Credentials{AccessKey: permanent.AccessKey, SecretKey: "fake-secret"}, anything, cloud.AuthenticationFailed},
		"a wrong token":                   {insight.Credentials{Token: "MIIwrong"}, anything, cloud.AuthenticationFailed},
		"a token that has ended":          {withToken, func(s *fakecloud.Server) { s.ExpireIAMTokens() }, cloud.AuthenticationFailed},
		"no credentials":                  {insight.Credentials{}, anything, cloud.AuthenticationFailed},
		"a denial before the identity":    {permanent, refuse(403, "APIGW.0402"), cloud.PermissionDenied},
		"an unavailable project":          {permanent, refuse(403, "APIGW.0310"), cloud.RemoteRejected},
		"another service":                 {permanent, refuse(404, "APIGW.0101"), cloud.UnexpectedResponse},
		"another host":                    {permanent, func(s *fakecloud.Server) { s.Inject(fakecloud.Fault{Kind: fakecloud.FaultWrongEndpoint}) }, cloud.UnexpectedResponse},
		"a page that wants a login":       {permanent, func(s *fakecloud.Server) { s.Inject(fakecloud.Fault{Kind: fakecloud.FaultHTMLPage}) }, cloud.UnexpectedResponse},
		"an error inside 200":             {permanent, func(s *fakecloud.Server) { s.Inject(fakecloud.Fault{Kind: fakecloud.FaultErrorInside}) }, cloud.UnexpectedResponse},
		"half an answer":                  {permanent, func(s *fakecloud.Server) { s.Inject(fakecloud.Fault{Kind: fakecloud.FaultGarbled}) }, cloud.UnexpectedResponse},
		"an answer of another kind": {permanent, func(s *fakecloud.Server) {
			s.Inject(fakecloud.Fault{Kind: fakecloud.FaultGarbled, Body: fakecloud.BodyWrongKind})
		}, cloud.UnexpectedResponse},
		"a rate that is too high": {permanent, func(s *fakecloud.Server) { s.Inject(fakecloud.Fault{Kind: fakecloud.FaultThrottle}) }, cloud.RemoteUnavailable},
		"a server error":          {permanent, func(s *fakecloud.Server) { s.Inject(fakecloud.Fault{Kind: fakecloud.FaultServerError}) }, cloud.RemoteUnavailable},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newCloud(t)
			tc.prepare(server)
			c := newClient(t, server, func(config *insight.Config) { config.Credential = tc.credentials })
			if err := c.CheckIdentity(t.Context()); cloud.CodeOf(err) != tc.want || tc.want == "" && err != nil {
				t.Errorf("got %v of class %s, want %q", err, cloud.CodeOf(err), tc.want)
			}
			if writes := server.Writes(); len(writes) > 0 {
				t.Errorf("it wrote: %v", writes)
			}
		})
	}
}

func TestACheckEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newCloud(t)
		server.Inject(fakecloud.Fault{Kind: fakecloud.FaultTimeout})
		start := time.Now()
		err := newLocalClient(t, server).CheckIdentity(t.Context())
		if cloud.CodeOf(err) != cloud.RemoteUnavailable || time.Since(start) != 30*time.Second {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
	})
}

func TestAnAnswerWithoutAListIsNone(t *testing.T) {
	for name, body := range map[string]string{"an empty document": "{}", "no document": "ok", "nothing": "", "a failure": `{"count":1,"error_code":"x"}`} {
		if err := newClient(t, says(http.StatusOK, body)).CheckIdentity(t.Context()); cloud.CodeOf(err) != cloud.UnexpectedResponse {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
