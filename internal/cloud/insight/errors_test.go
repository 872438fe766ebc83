package insight_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/insight"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const refusedCredentials = "the service refused the credentials or the signature"

func TestEveryDocumentedCodeHasItsClass(t *testing.T) {
	tests := map[string]struct {
		status int
		code   string
		want   cloud.Code
	}{
		"the IAM permission is missing":              {403, "DataArtsInsight.20010003", cloud.PermissionDenied},
		"the same without a prefix":                  {403, "20010003", cloud.PermissionDenied},
		"the same under another status":              {500, "DataArtsInsight.20010003", cloud.PermissionDenied},
		"the same under 401":                         {401, "DataArtsInsight.20010003", cloud.AuthenticationFailed},
		"the same inside 200":                        {200, "DataArtsInsight.20010003", cloud.PermissionDenied},
		"a resource is missing":                      {404, "DataArtsInsight.24010003", cloud.ResourceNotFound},
		"a resource is missing, inside 200":          {200, "24010003", cloud.ResourceNotFound},
		"a resource is not shared":                   {400, "DataArtsInsight.24010043", cloud.CollaborationDenied},
		"the name of the workspace is none":          {400, "DataArtsInsight.24150000", cloud.WorkspaceNotFound},
		"the name of the workspace is taken":         {400, "DataArtsInsight.24150001", cloud.RemoteRejected},
		"the workspace is abnormal":                  {400, "DataArtsInsight.24150004", cloud.RemoteRejected},
		"the workspace is abnormal, inside 200":      {200, "DataArtsInsight.24150004", cloud.RemoteRejected},
		"the workspace is missing":                   {400, "DataArtsInsight.24150005", cloud.WorkspaceNotFound},
		"a code that ends alike":                     {400, "DataArtsInsight.124150005", cloud.RemoteRejected},
		"a code of another kind inside 200":          {200, "DataArtsInsight.99999999", cloud.UnexpectedResponse},
		"a code of another kind":                     {400, "DataArtsInsight.99999999", cloud.RemoteRejected},
		"a code of another kind under 403":           {403, "DataArtsInsight.99999999", cloud.PermissionDenied},
		"a code of another kind under 401":           {401, "DataArtsInsight.99999999", cloud.AuthenticationFailed},
		"a code of another kind under 404":           {404, "DataArtsInsight.99999999", cloud.UnexpectedResponse},
		"a code of another kind under 500":           {500, "DataArtsInsight.99999999", cloud.RemoteUnavailable},
		"a code that another vendor has":             {400, "Forbidden.RAM", cloud.RemoteRejected},
		"no code under 401":                          {401, "-", cloud.AuthenticationFailed},
		"no code under 403":                          {403, "-", cloud.UnexpectedResponse},
		"no code under 500":                          {500, "-", cloud.RemoteUnavailable},
		"the API does not exist":                     {404, "APIGW.0101", cloud.UnexpectedResponse},
		"the backend does not exist":                 {404, "APIGW.0103", cloud.RemoteUnavailable},
		"the gateway's plug-ins do not exist":        {400, "APIGW.0104", cloud.RemoteUnavailable},
		"the gateway's backend is not configured":    {400, "APIGW.0105", cloud.RemoteUnavailable},
		"the gateway's orchestration is wrong":       {400, "APIGW.0106", cloud.RemoteUnavailable},
		"the gateway takes the request for invalid":  {400, "APIGW.0201", cloud.RemoteRejected},
		"the request is too large":                   {413, "APIGW.0201", cloud.RemoteRejected},
		"the backend is unavailable":                 {502, "APIGW.0201", cloud.RemoteUnavailable},
		"the backend takes too long":                 {504, "APIGW.0201", cloud.RemoteUnavailable},
		"the credentials are wrong":                  {401, "APIGW.0301", cloud.AuthenticationFailed},
		"the credentials are wrong, inside 200":      {200, "APIGW.0301", cloud.AuthenticationFailed},
		"the user may not call the API":              {403, "APIGW.0302", cloud.PermissionDenied},
		"the app's credentials are wrong":            {401, "APIGW.0303", cloud.AuthenticationFailed},
		"the app may not call the API":               {403, "APIGW.0304", cloud.PermissionDenied},
		"the credentials are wrong, in another code": {401, "APIGW.0305", cloud.AuthenticationFailed},
		"access is denied":                           {403, "APIGW.0306", cloud.PermissionDenied},
		"the token must be updated":                  {401, "APIGW.0307", cloud.AuthenticationFailed},
		"the project is unavailable":                 {403, "APIGW.0310", cloud.RemoteRejected},
		"the debugging credentials are wrong":        {401, "APIGW.0311", cloud.AuthenticationFailed},
		"the client's address is unknown":            {403, "APIGW.0401", cloud.PermissionDenied},
		"the client's address is not allowed":        {403, "APIGW.0402", cloud.PermissionDenied},
		"the backend's address is not allowed":       {403, "APIGW.0404", cloud.PermissionDenied},
		"the app has no quota left":                  {405, "APIGW.0501", cloud.RemoteRejected},
		"the bill is not paid":                       {405, "APIGW.0502", cloud.PermissionDenied},
		"the gateway fails":                          {500, "APIGW.0601", cloud.RemoteUnavailable},
		"the request is bad":                         {400, "APIGW.0602", cloud.RemoteRejected},
		"a name cannot be resolved":                  {500, "APIGW.0605", cloud.RemoteUnavailable},
		"the API's configuration cannot be loaded":   {500, "APIGW.0606", cloud.RemoteUnavailable},
		"the protocol is not supported":              {400, "APIGW.0607", cloud.RemoteRejected},
		"no backend is available":                    {502, "APIGW.0610", cloud.RemoteUnavailable},
		"IAM is unavailable":                         {503, "APIGW.0613", cloud.RemoteUnavailable},
		"the service is not offered here":            {403, "APIGW.0801", cloud.RemoteRejected},
		"the user is forbidden in the region":        {403, "APIGW.0802", cloud.PermissionDenied},
		"the rate is too high":                       {429, "APIGW.0308", cloud.RemoteUnavailable},
		"the rate is too high, under another status": {503, "APIGW.0308", cloud.RemoteUnavailable},
		"the rate is too high, inside 200":           {200, "APIGW.0308", cloud.RemoteUnavailable},
		"the rate is too high, without a known code": {429, "DataArtsInsight.1", cloud.RemoteUnavailable},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newCloud(t)
			fault := fakecloud.Fault{Kind: fakecloud.FaultError, Status: tc.status, Code: tc.code, Message: "it already exists, or so", RetryAfter: "7"}
			retryAfter := 7 * time.Second
			if tc.status == http.StatusOK {
				fault.Kind, retryAfter = fakecloud.FaultErrorInside, 0
			}
			server.Inject(fault)
			_, err := export(t, newClient(t, server), everything)
			e, ok := errors.AsType[*cloud.Error](err)
			if !ok || e.Code != tc.want {
				t.Fatalf("got %v of class %s, want %s", err, cloud.CodeOf(err), tc.want)
			}
			if want := tc.status == 429 || tc.code == "APIGW.0308"; e.Throttled != want {
				t.Errorf("throttled is %v", e.Throttled)
			}
			if e.RetryAfter != retryAfter || e.HTTPStatus != tc.status || e.RequestID == "" || strings.Contains(err.Error(), e.RequestID) {
				t.Errorf("got %#v", e)
			}
		})
	}
}

func TestWhatIsNoPackageIsNoStream(t *testing.T) {
	const format = "HTTP status 200 with a body that is not DataArts Insight's"
	large := strings.Repeat("x", 100_000)
	tests := map[string]struct {
		handler http.HandlerFunc
		want    outcome
	}{
		"a page":                              {says(200, "<p>Sign in", "Content-Type", "text/html; charset=utf-8"), outcome{cloud.UnexpectedResponse, format}},
		"a page of another type":              {says(200, "<p>Sign in", "Content-Type", "application/xhtml+xml"), outcome{cloud.UnexpectedResponse, format}},
		"a page under a false label":          {says(200, " \r\n<!DocType html><p>Sign in"+large, "Content-Type", "application/zip"), outcome{cloud.UnexpectedResponse, format}},
		"a page without a doctype":            {says(200, "<HTML>"+large, "Content-Type", "application/zip"), outcome{cloud.UnexpectedResponse, format}},
		"a document":                          {says(200, `{"task_id":"1"}`, "Content-Type", "application/json;charset=utf8"), outcome{cloud.UnexpectedResponse, format}},
		"a document under a false label":      {says(200, "\ufeff {\"task_id\":\"1\"}\n", "Content-Type", "application/zip"), outcome{cloud.UnexpectedResponse, format}},
		"a list under a false label":          {says(200, `["job-42"]`, "Content-Type", "application/zip"), outcome{cloud.UnexpectedResponse, format}},
		"a text under a false label":          {says(200, `"ok"`), outcome{cloud.UnexpectedResponse, format}},
		"a problem":                           {says(200, `x`, "Content-Type", "application/problem+json"), outcome{cloud.UnexpectedResponse, format}},
		"binary data labelled as a document":  {says(200, "PK\x03\x04"+large, "Content-Type", "application/json"), outcome{cloud.UnexpectedResponse, format}},
		"an error under a false label":        {says(200, `{"error_msg":"m","error_code":"DataArtsInsight.24010003"}`, "Content-Type", "application/zip"), outcome{cloud.ResourceNotFound, "m"}},
		"a long error under a false label":    {says(200, `{"x":{"y":[1]},"error_code":"DataArtsInsight.24010003","error_msg":"m","z":"`+large+`"}`), outcome{cloud.ResourceNotFound, "m"}},
		"a long error that is cut off":        {says(200, `{"error_code":"DataArtsInsight.24010003","error_msg":"`+large, "Content-Length", "200000"), outcome{cloud.ResourceNotFound, ""}},
		"an error whose code is a number":     {says(404, `{"error_code":24010003,"error_msg":"m"}`), outcome{cloud.ResourceNotFound, "m"}},
		"an error of IAM":                     {says(403, `{"error":{"code":403,"message":"m","title":"Forbidden"}}`), outcome{cloud.PermissionDenied, "m"}},
		"nothing":                             {says(200, ""), outcome{cloud.UnexpectedResponse, "an empty body where a package was expected"}},
		"nothing, in chunks":                  {says(200, "", "Trailer", "X"), outcome{cloud.UnexpectedResponse, "an empty body where a package was expected"}},
		"another success":                     {says(202, "PK\x03\x04"), outcome{cloud.UnexpectedResponse, "HTTP status 202 with a body that is not DataArts Insight's"}},
		"a part":                              {says(206, "PK\x03\x04", "Content-Range", "bytes 0-3/10"), outcome{cloud.UnexpectedResponse, "HTTP status 206 with a body that is not DataArts Insight's"}},
		"a success without a body":            {says(204, ""), outcome{cloud.UnexpectedResponse, "HTTP status 204 with a body that is not DataArts Insight's"}},
		"a redirect":                          {says(302, "", "Location", "https://elsewhere.test/"), outcome{cloud.UnexpectedResponse, "HTTP status 302 with a body that is not DataArts Insight's"}},
		"a page of a proxy":                   {says(502, "<html>"), outcome{cloud.RemoteUnavailable, "HTTP status 502 with a body that is not DataArts Insight's"}},
		"a page that wants a login":           {says(401, "<html>"), outcome{cloud.AuthenticationFailed, refusedCredentials}},
		"a page of another host":              {says(404, "<html>"), outcome{cloud.UnexpectedResponse, "HTTP status 404 with a body that is not DataArts Insight's"}},
		"a document of another host":          {says(404, `{"message":"no route"}`), outcome{cloud.UnexpectedResponse, "HTTP status 404 with a body that is not DataArts Insight's"}},
		"a refusal of a proxy for its rate":   {says(429, "slow down"), outcome{cloud.RemoteUnavailable, "HTTP status 429 with a body that is not DataArts Insight's"}},
		"an encoding that was not asked for":  {says(200, "\x1f\x8b\x08", "Content-Encoding", "gzip"), outcome{cloud.UnexpectedResponse, "a package in a content encoding that was not asked for"}},
		"a clock that is off":                 {says(401, `{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information: verify aksk signature fail, signature expired, signature time:x"}`), outcome{cloud.AuthenticationFailed, openapi.ClockSkew}},
		"a connection that is closed at once": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, outcome{cloud.RemoteUnavailable, "the connection was lost before an answer arrived"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, tc.handler).Export(t.Context(), everything)
			if diff := cmp.Diff(tc.want, outcomeOf(t, err)); diff != "" {
				t.Errorf("the error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatLooksLikeAMessageMayBeAPackage(t *testing.T) {
	large := strings.Repeat("x", 100_000)
	for name, body := range map[string]string{
		"one byte":                          "x",
		"a zip":                             "PK\x03\x04" + large,
		"a brace":                           "{",
		"a brace before binary data":        "{\x00\x01" + large,
		"a long document without an error":  `{"version":1,"data":"` + large + `"}`,
		"a document with an error far away": `{"data":"` + large + `","error_code":"1"}`,
		"a word like a page's":              "<htm",
		"a tag":                             "<package>" + large,
		"white space":                       strings.Repeat(" ", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := export(t, newClient(t, says(200, body, "Content-Type", "application/octet-stream")), everything)
			must(t, err)
			if got != body {
				t.Errorf("got %d bytes, want %d", len(got), len(body))
			}
		})
	}
}

func TestTheFakesFaultsAreNoStreams(t *testing.T) {
	tests := map[string]struct {
		fault fakecloud.Fault
		want  cloud.Code
	}{
		"an error inside 200":  {fakecloud.Fault{Kind: fakecloud.FaultErrorInside}, cloud.UnexpectedResponse},
		"a known error inside": {fakecloud.Fault{Kind: fakecloud.FaultErrorInside, Code: "DataArtsInsight.24150005"}, cloud.WorkspaceNotFound},
		"a page":               {fakecloud.Fault{Kind: fakecloud.FaultHTMLPage}, cloud.UnexpectedResponse},
		"a package as a page":  {fakecloud.Fault{Kind: fakecloud.FaultWrongType}, cloud.UnexpectedResponse},
		"a package as JSON":    {fakecloud.Fault{Kind: fakecloud.FaultWrongType, ContentType: "application/json"}, cloud.UnexpectedResponse},
		"an empty body":        {fakecloud.Fault{Kind: fakecloud.FaultEmptyBody}, cloud.UnexpectedResponse},
		"another document":     {fakecloud.Fault{Kind: fakecloud.FaultGarbled, Body: fakecloud.BodyWrongKind}, cloud.UnexpectedResponse},
		"a wrong endpoint":     {fakecloud.Fault{Kind: fakecloud.FaultWrongEndpoint}, cloud.UnexpectedResponse},
		"a proxy's page":       {fakecloud.Fault{Kind: fakecloud.FaultHTML502}, cloud.RemoteUnavailable},
		"a lost request":       {fakecloud.Fault{Kind: fakecloud.FaultDropBefore}, cloud.RemoteUnavailable},
		"a lost reply":         {fakecloud.Fault{Kind: fakecloud.FaultDropAfter}, cloud.RemoteUnavailable},
		"a server error":       {fakecloud.Fault{Kind: fakecloud.FaultServerError}, cloud.RemoteUnavailable},
		"a denial":             {fakecloud.Fault{Kind: fakecloud.FaultAccessDenied}, cloud.PermissionDenied},
	}
	for name, tc := range tests {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", chunked ", chunked), func(t *testing.T) {
				server := newCloud(t)
				tc.fault.Chunked = &chunked
				server.Inject(tc.fault)
				if _, err := newClient(t, server).Export(t.Context(), everything); cloud.CodeOf(err) != tc.want {
					t.Errorf("got %v of class %s, want %s", err, cloud.CodeOf(err), tc.want)
				}
			})
		}
	}
}

func TestTheServicesRefusals(t *testing.T) {
	request := func(change func(*insight.Request)) insight.Request {
		r := everything
		change(&r)
		return r
	}
	anything := func(testing.TB, *fakecloud.Server) {}
	tests := map[string]struct {
		credentials insight.Credentials
		prepare     func(testing.TB, *fakecloud.Server)
		request     insight.Request
		want        cloud.Code
	}{
		"a key that is unknown":      {insight.Credentials{AccessKey: "nobody", SecretKey: "fake-secret"}, anything, everything, cloud.AuthenticationFailed},
		"a secret that is wrong":     {insight.Credentials{AccessKey: permanent.AccessKey, SecretKey: "fake-secret"}, anything, everything, cloud.AuthenticationFailed},
		"a security token too many":  {insight.Credentials{AccessKey: permanent.AccessKey, SecretKey: permanent.SecretKey, SecurityToken: "x"}, anything, everything, cloud.AuthenticationFailed},
		"no security token":          {insight.Credentials{AccessKey: temporary.AccessKey, SecretKey: temporary.SecretKey}, anything, everything, cloud.AuthenticationFailed},
		"a token that is wrong":      {insight.Credentials{Token: "MIIwrong"}, anything, everything, cloud.AuthenticationFailed},
		"a token that has ended":     {withToken, func(_ testing.TB, s *fakecloud.Server) { s.ExpireIAMTokens() }, everything, cloud.AuthenticationFailed},
		"a clock that is off":        {permanent, func(_ testing.TB, s *fakecloud.Server) { s.ShiftClock(time.Hour) }, everything, cloud.AuthenticationFailed},
		"who may not export":         {permanent, func(t testing.TB, s *fakecloud.Server) { must(t, s.DenyExports(permanent.AccessKey)) }, everything, cloud.PermissionDenied},
		"a token of another project": {insight.Credentials{Token: "MIIother"}, func(t testing.TB, s *fakecloud.Server) { addToken(t, s, "MIIother", "other-project") }, everything, cloud.PermissionDenied},
		"a workspace that is gone":   {permanent, anything, request(func(r *insight.Request) { r.WorkspaceID = "gone" }), cloud.WorkspaceNotFound},
		"an abnormal workspace":      {permanent, anything, request(func(r *insight.Request) { r.WorkspaceID = "broken" }), cloud.RemoteRejected},
		"a resource that is gone":    {permanent, anything, request(func(r *insight.Request) { r.Resources = []insight.Resource{{Type: "screen", ID: "gone"}} }), cloud.ResourceNotFound},
		"a resource that is not shared": {permanent, func(t testing.TB, s *fakecloud.Server) {
			must(t, s.DenyCollaboration(project, "ws1", "dataset", "s1", permanent.AccessKey))
		}, everything, cloud.CollaborationDenied},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newCloud(t)
			tc.prepare(t, server)
			c := newClient(t, server, func(config *insight.Config) { config.Credential = tc.credentials })
			if _, err := c.Export(t.Context(), tc.request); cloud.CodeOf(err) != tc.want || !cloud.Refused(err) {
				t.Errorf("got %v of class %s, want %s", err, cloud.CodeOf(err), tc.want)
			}
		})
	}
}

func TestTheTimeOfASignatureIsInjected(t *testing.T) {
	server := newCloud(t)
	server.ShiftClock(-time.Hour)
	c := newClient(t, server, func(config *insight.Config) { config.Now = func() time.Time { return time.Now().Add(-time.Hour) } })
	_, err := export(t, c, everything)
	must(t, err)
}

func TestASilentServiceIsNotWaitedForForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newCloud(t)
		server.Inject(fakecloud.Fault{Kind: fakecloud.FaultTimeout})
		c := newLocalClient(t, server)
		start := time.Now()
		_, err := c.Export(t.Context(), everything)
		if diff := cmp.Diff(outcome{cloud.RemoteUnavailable, "no answer in time"}, outcomeOf(t, err)); diff != "" {
			t.Errorf("the error (-want +got):\n%s", diff)
		}
		if errors.Is(err, context.Canceled) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 30*time.Minute {
			t.Errorf("got %v after %s", errors.Unwrap(err), time.Since(start))
		}
	})
}

func TestAnEndpointThatIsNotThere(t *testing.T) {
	c := newClient(t, nil, func(config *insight.Config) { config.Endpoint = "http://127.0.0.1:1" })
	_, err := c.Export(t.Context(), everything)
	if diff := cmp.Diff(outcome{cloud.RemoteUnavailable, "no connection to the endpoint"}, outcomeOf(t, err)); diff != "" || !cloud.Unsent(err) {
		t.Errorf("the error (-want +got):\n%s", diff)
	}
}

func TestNoErrorHoldsASecret(t *testing.T) {
	var given insight.Credentials
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		authorization := r.Header.Get("Authorization")
		words := fmt.Sprintf("you sent %s with %s, %s and %s, signed %s with %s", body, r.Header.Get("X-Auth-Token"), r.Header.Get("X-Security-Token"),
			authorization, authorization[strings.LastIndex(authorization, "=")+1:], given.SecretKey)
		document, err := json.Marshal(map[string]string{"error_code": r.Header.Get("X-Auth-Token") + "DataArtsInsight.1", "error_msg": words})
		if err != nil {
			t.Error(err)
		}
		says(http.StatusBadRequest, string(document))(w, r)
	}
	for name, credentials := range map[string]insight.Credentials{"a temporary key": temporary, "a token": withToken} {
		t.Run(name, func(t *testing.T) {
			given = credentials
			c := newClient(t, http.HandlerFunc(echo), func(config *insight.Config) { config.Credential = credentials })
			_, err := c.Export(t.Context(), everything)
			if cloud.CodeOf(err) != cloud.RemoteRejected || !strings.Contains(err.Error(), "you sent") {
				t.Errorf("got %v", err)
			}
			for _, secret := range []string{temporary.SecretKey, temporary.SecurityToken, fakeToken, "Signature=", "SignedHeaders"} {
				if text := fmt.Sprintf("%v %+v", err, errors.Unwrap(err)); strings.Contains(text, secret) {
					t.Errorf("%q holds %q", text, secret)
				}
			}
		})
	}
}
