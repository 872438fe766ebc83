package fakecloud

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const (
	operatorARN = "acs:ram::123456789012:role/operator"
	auditorARN  = "acs:ram::123456789012:role/auditor"
	providerARN = "acs:ram::123456789012:oidc-provider/cluster"
	testSubject = "system:serviceaccount:system:operator"
	testIssuer  = "https://cluster.example.com"
)

// addOperator adds a RAM role that the client's key and a service account may assume.
func addOperator(c *client) {
	c.server.AddRAMRole(RAMRole{
		Arn: operatorARN, TrustedAccessKeys: []string{c.key},
		OIDC: &OIDCTrust{ProviderArn: providerARN, Audience: "sts.aliyuncs.com", Subjects: []string{testSubject}, Issuer: testIssuer},
	})
}

// with returns a copy of parameters with others in their place; empty ones are left out.
func with(params, others map[string]string) url.Values {
	all := maps.Clone(params)
	maps.Copy(all, others)
	out := url.Values{}
	for name, value := range all {
		if value != "" {
			out.Set(name, value)
		}
	}
	return out
}

// rpc is an unsigned request whose action and version are in headers, and everything else in a form.
func (c *client) rpc(action string, params url.Values) (*http.Request, string) {
	body := params.Encode()
	req := c.request(action, http.MethodPost, "/", body)
	req.Header.Set("x-acs-version", "2015-04-01")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, body
}

// assume sends AssumeRole with the given parameters in place of the usual ones.
func (c *client) assume(others map[string]string) response {
	c.t.Helper()
	req, body := c.rpc("AssumeRole", with(map[string]string{"RoleArn": operatorARN, "RoleSessionName": "test"}, others))
	return c.send(c.signACS3(req, body))
}

// exchange sends AssumeRoleWithOIDC as clients of the service do: without a signature, the action in
// the query and the rest in a form.
func (c *client) exchange(query, others map[string]string) response {
	c.t.Helper()
	body := with(map[string]string{
		"RoleArn": operatorARN, "RoleSessionName": "test", "OIDCProviderArn": providerARN, "OIDCToken": jwt(c.now(), nil),
	}, others).Encode()
	params := with(map[string]string{"Action": "AssumeRoleWithOIDC", "Version": "2015-04-01", "Format": "JSON"}, query)
	req := httptest.NewRequestWithContext(c.t.Context(), http.MethodPost, "/?"+params.Encode(), strings.NewReader(body))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.send(req)
}

// jwt is a token without a signature that counts, with other claims in place of the usual ones.
func jwt(now time.Time, others map[string]any) string {
	return unsigned("RS256", now, others) + ".c2lnbmF0dXJl"
}

func unsigned(algorithm string, now time.Time, others map[string]any) string {
	claims := map[string]any{
		"iss": testIssuer, "sub": testSubject, "aud": []string{"other", "sts.aliyuncs.com"},
		"exp": now.Add(time.Hour).Unix(), "nbf": now.Unix(),
	}
	maps.Copy(claims, others)
	return encodePart(map[string]string{"alg": algorithm, "kid": "k"}) + "." + encodePart(claims)
}

func encodePart(v any) string { return base64.RawURLEncoding.EncodeToString(mustJSON(v)) }

// granted are the credentials in an answer of the token service.
func (r response) granted() (arn string, creds stsCredentials) {
	var v struct {
		AssumedRoleUser assumedRoleUser
		Credentials     stsCredentials
	}
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		return err.Error(), creds
	}
	return v.AssumedRoleUser.Arn, v.Credentials
}

// use makes the client go on with the credentials in an answer.
func (c *client) use(r response) {
	c.t.Helper()
	want(c.t, "assumed", r.status, 200)
	_, creds := r.granted()
	c.key, c.secret, c.token = creds.AccessKeyID, creds.AccessKeySecret, creds.SecurityToken
}

func TestAssumeRoleFollowsTheDocumentedSample(t *testing.T) {
	at := time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC)
	c := newClient(t, Options{Clock: func() time.Time { return at }})
	addOperator(c)
	got := c.assume(nil)
	want(t, "body", got.body, `{"RequestId":"FA4E0000-0000-4000-8000-000000000001",`+
		`"AssumedRoleUser":{"Arn":"acs:ram::123456789012:role/operator/test","AssumedRoleId":"300000000000000001:test"},`+
		`"Credentials":{"AccessKeyId":"STS.fake000001","AccessKeySecret":"fake-secret-of-session-000001",`+
		`"SecurityToken":"fake-token-of-session-000001","Expiration":"2026-11-21T12:00:00Z"}}`)
	want(t, "type", strings.HasPrefix(got.header.Get("Content-Type"), "application/json"), true)
	c.use(got)
	want(t, "openapi", c.openAPI("ListRoles", http.MethodGet, testPath, "").status, 200)
	want(t, "odps", c.statement("LIST ROLES").status, 200)
	c.region = "cn-hangzhou"
	want(t, "odps V4", c.statement("LIST ROLES").status, 200)
	want(t, "sessions", fmt.Sprint(c.server.Sessions()), "[{"+operatorARN+" test STS.fake000001 2026-11-21 12:00:00 +0000 UTC}]")
	c.wantNoViolations()
}

func TestAssumeRole(t *testing.T) {
	policy := `{"Version":"1","Statement":[]}`
	tests := map[string]struct {
		role   func(*RAMRole)
		params map[string]string
		key    string
		status int
		code   string
		lasts  time.Duration
	}{
		"an hour by default":     {status: 200, lasts: time.Hour},
		"shorter":                {params: map[string]string{"DurationSeconds": "900"}, status: 200, lasts: 15 * time.Minute},
		"as long as the role's":  {role: func(r *RAMRole) { r.MaxDuration = 12 * time.Hour }, params: map[string]string{"DurationSeconds": "43200"}, status: 200, lasts: 12 * time.Hour},
		"never longer":           {role: func(r *RAMRole) { r.MaxDuration = 20 * time.Minute }, status: 200, lasts: 20 * time.Minute},
		"longer than the role's": {params: map[string]string{"DurationSeconds": "3601"}, status: 400, code: "InvalidParameter.DurationSeconds"},
		"too short":              {params: map[string]string{"DurationSeconds": "899"}, status: 400, code: "InvalidParameter.DurationSeconds"},
		"too long":               {params: map[string]string{"DurationSeconds": "43201"}, status: 400, code: "InvalidParameter.DurationSeconds"},
		"no number":              {params: map[string]string{"DurationSeconds": "1h"}, status: 400, code: "InvalidParameter.DurationSeconds"},
		"no role":                {params: map[string]string{"RoleArn": ""}, status: 400, code: "InvalidParameter.RoleArn"},
		"no ARN":                 {params: map[string]string{"RoleArn": "operator"}, status: 400, code: "InvalidParameter.RoleArn"},
		"an unknown role":        {params: map[string]string{"RoleArn": auditorARN}, status: 404, code: "EntityNotExist.Role"},
		"no session name":        {params: map[string]string{"RoleSessionName": ""}, status: 400, code: "InvalidParameter.RoleSessionName"},
		"a bad session name":     {params: map[string]string{"RoleSessionName": "a b"}, status: 400, code: "InvalidParameter.RoleSessionName"},
		"an external id":         {role: func(r *RAMRole) { r.ExternalID = "ext:1" }, params: map[string]string{"ExternalId": "ext:1"}, status: 200, lasts: time.Hour},
		"no external id":         {role: func(r *RAMRole) { r.ExternalID = "ext:1" }, status: 403, code: "NoPermission"},
		"another external id":    {role: func(r *RAMRole) { r.ExternalID = "ext:1" }, params: map[string]string{"ExternalId": "ext:2"}, status: 403, code: "NoPermission"},
		"a bad external id":      {params: map[string]string{"ExternalId": "a b"}, status: 400, code: "InvalidParameter.ExternalId"},
		"a policy":               {params: map[string]string{"Policy": policy}, status: 200, lasts: time.Hour},
		"a bad policy":           {params: map[string]string{"Policy": "{}"}, status: 400, code: "InvalidParameter.PolicyGrammar"},
		"a long policy":          {params: map[string]string{"Policy": strings.Repeat(" ", 2049)}, status: 400, code: "InvalidParameter.PolicySize"},
		"a key that is not let":  {key: "FAKE2", status: 403, code: "NoPermission"},
		"nobody is let":          {role: func(r *RAMRole) { r.TrustedAccessKeys = nil }, status: 403, code: "NoPermission"},
		"common parameters":      {params: map[string]string{"Action": "AssumeRole", "Version": "2015-04-01", "Format": "json", "SignatureNonce": "1"}, status: 200, lasts: time.Hour},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			at := time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC)
			c := newClient(t, Options{Clock: func() time.Time { return at }})
			r := RAMRole{Arn: operatorARN, TrustedAccessKeys: []string{c.key}}
			if tc.role != nil {
				tc.role(&r)
			}
			c.server.AddRAMRole(r)
			if tc.key != "" {
				c.key, c.secret = tc.key, "s"
				c.server.AddIdentity(Identity{AccessKeyID: c.key, AccessKeySecret: c.secret})
			}
			got := c.assume(tc.params)
			want(t, "status", statusCode(got), fmt.Sprint(tc.status, " ", tc.code))
			c.wantNoViolations()
			if tc.status != 200 {
				want(t, "sessions", len(c.server.Sessions()), 0)
				return
			}
			_, creds := got.granted()
			want(t, "expires", creds.Expiration, at.Add(tc.lasts).Format("2006-01-02T15:04:05Z"))
		})
	}
}

func TestAssumeRoleIsRecognisedAndSigned(t *testing.T) {
	params := with(map[string]string{"RoleArn": operatorARN, "RoleSessionName": "test"}, nil)
	inQuery := with(map[string]string{"RoleArn": operatorARN, "RoleSessionName": "test", "Action": "AssumeRole", "Version": "2015-04-01"}, nil)
	tests := map[string]struct {
		send func(*client) response
		want string
	}{
		"form": {func(c *client) response { return c.assume(nil) }, "200 "},
		"query": {func(c *client) response {
			req := c.request("AssumeRole", http.MethodPost, "/?"+params.Encode(), "")
			req.Header.Set("x-acs-version", "2015-04-01")
			return c.send(c.signACS3(req, ""))
		}, "200 "},
		"get, action in the query": {func(c *client) response {
			req := c.request("", http.MethodGet, "/?"+inQuery.Encode(), "")
			req.Header.Del("x-acs-action")
			req.Header.Del("x-acs-version")
			return c.send(c.signACS3(req, ""))
		}, "200 "},
		"all in the form": {func(c *client) response {
			req, body := c.rpc("", inQuery)
			req.Header.Del("x-acs-action")
			req.Header.Del("x-acs-version")
			return c.send(c.signACS3(req, body))
		}, "200 "},
		"no signature": {func(c *client) response {
			req, _ := c.rpc("AssumeRole", params)
			return c.send(req)
		}, "400 IncompleteSignature"},
		"an unsigned action": {func(c *client) response {
			req, body := c.rpc("", params)
			req.Header.Del("x-acs-action")
			c.signACS3(req, body)
			req.Header.Set("x-acs-action", "AssumeRole")
			return c.send(req)
		}, "400 IncompleteSignature"},
		"a wrong secret": {func(c *client) response {
			c.secret = "wrong"
			return c.assume(nil)
		}, "400 SignatureDoesNotMatch"},
		"a changed form": {func(c *client) response {
			req, body := c.rpc("AssumeRole", params)
			c.signACS3(req, body)
			other, _ := c.rpc("AssumeRole", inQuery)
			req.Body = other.Body
			return c.send(req)
		}, "400 SignatureDoesNotMatch"},
		"an unknown key": {func(c *client) response {
			c.key = "NOBODY"
			return c.assume(nil)
		}, "404 InvalidAccessKeyId.NotFound"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			addOperator(c)
			want(t, "answer", statusCode(tc.send(c)), tc.want)
			c.wantNoViolations()
		})
	}
}

func TestUnknownRequestsToTheTokenServiceAreViolations(t *testing.T) {
	assume := func(params url.Values) func(*client) response {
		return func(c *client) response {
			req, body := c.rpc("AssumeRole", params)
			return c.send(c.signACS3(req, body))
		}
	}
	tests := map[string]func(*client) response{
		"an action": func(c *client) response {
			req, body := c.rpc("GetCallerIdentity", nil)
			return c.send(c.signACS3(req, body))
		},
		"no action": func(c *client) response {
			req, body := c.rpc("", nil)
			return c.send(c.signACS3(req, body))
		},
		"two actions":          assume(url.Values{"Action": {"AssumeRoleWithOIDC"}}),
		"two versions":         assume(url.Values{"Version": {"2016-04-01"}}),
		"a parameter":          assume(url.Values{"SerialNumber": {"1"}}),
		"a repeated parameter": assume(url.Values{"RoleArn": {operatorARN, auditorARN}}),
		"a malformed name":     assume(url.Values{`{"OIDCToken":"secret"}`: {""}}),
		"XML":                  assume(url.Values{"Format": {"XML"}}),
		"a token of another call": func(c *client) response {
			return c.assume(map[string]string{"OIDCToken": "secret"})
		},
		"a body in JSON": func(c *client) response {
			req, body := c.rpc("AssumeRole", url.Values{"RoleArn": {operatorARN}})
			req.Header.Set("Content-Type", "application/json")
			return c.send(c.signACS3(req, body))
		},
		"a malformed query": func(c *client) response {
			req, body := c.rpc("AssumeRole", nil)
			req.URL.RawQuery = "a=%zz"
			return c.send(c.signACS3(req, body))
		},
		"a method": func(c *client) response {
			req, _ := c.rpc("AssumeRole", nil)
			req.Method = http.MethodPut
			return c.send(c.signACS3(req, ""))
		},
		"a path": func(c *client) response {
			req, body := c.rpc("AssumeRole", nil)
			req.URL.Path = "/sts"
			return c.send(c.signACS3(req, body))
		},
	}
	for name, send := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			addOperator(c)
			want(t, "status", send(c).status, 501)
			want(t, "violations", len(c.server.Violations()), 1)
			want(t, "keeps secrets", strings.Contains(c.server.Violations()[0], "secret"), false)
			want(t, "sessions", len(c.server.Sessions()), 0)
		})
	}
}

func TestAssumeRoleWithOIDC(t *testing.T) {
	at := time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC)
	claim := func(name string, value any) map[string]string {
		return map[string]string{"OIDCToken": jwt(at, map[string]any{name: value})}
	}
	param := func(name, value string) map[string]string { return map[string]string{name: value} }
	tests := map[string]struct {
		role   func(*RAMRole)
		params map[string]string
		want   string
	}{
		"a token":                 {want: "200 "},
		"one audience":            {params: claim("aud", "sts.aliyuncs.com"), want: "200 "},
		"any issuer":              {role: func(r *RAMRole) { r.OIDC.Issuer = "" }, params: claim("iss", "x"), want: "200 "},
		"a duration":              {params: param("DurationSeconds", "900"), want: "200 "},
		"too long":                {params: param("DurationSeconds", "7200"), want: "400 InvalidParameter.DurationSeconds"},
		"another audience":        {params: claim("aud", "kubernetes"), want: "400 AuthenticationFail.OIDCToken.AudienceNotMatch"},
		"another issuer":          {params: claim("iss", "https://elsewhere"), want: "400 AuthenticationFail.OIDCToken.IssuerNotMatch"},
		"another subject":         {params: claim("sub", "system:serviceaccount:default:other"), want: "403 AuthenticationFail.NoPermission"},
		"expired":                 {params: claim("exp", at.Unix()), want: "400 AuthenticationFail.OIDCToken.Expired"},
		"not yet":                 {params: claim("nbf", at.Add(time.Hour).Unix()), want: "400 AuthenticationFail.OIDCToken.Invalid"},
		"without an end":          {params: claim("exp", 0), want: "400 AuthenticationFail.OIDCToken.Invalid"},
		"of nobody":               {params: claim("sub", ""), want: "400 AuthenticationFail.OIDCToken.Invalid"},
		"malformed":               {params: param("OIDCToken", "token"), want: "400 AuthenticationFail.OIDCToken.Invalid"},
		"claims that are no JSON": {params: param("OIDCToken", "e30.e30x.e30"), want: "400 AuthenticationFail.OIDCToken.Invalid"},
		"no token":                {params: param("OIDCToken", ""), want: "400 AuthenticationFail.OIDCToken.Invalid"},
		"too large a token":       {params: param("OIDCToken", jwt(at, map[string]any{"x": strings.Repeat("x", 20000)})), want: "400 AuthenticationFail.OIDCToken.Invalid"},
		"no provider":             {params: param("OIDCProviderArn", "cluster"), want: "403 AuthenticationFail.NoPermission"},
		"another provider":        {params: param("OIDCProviderArn", providerARN+"2"), want: "403 AuthenticationFail.NoPermission"},
		"no trust":                {role: func(r *RAMRole) { r.OIDC = nil }, want: "403 AuthenticationFail.NoPermission"},
		"an unknown role":         {params: param("RoleArn", auditorARN), want: "404 EntityNotExist.Role"},
		"no session name":         {params: param("RoleSessionName", ""), want: "400 InvalidParameter.RoleSessionName"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{Clock: func() time.Time { return at }})
			addOperator(c)
			if tc.role != nil {
				r := c.server.ramRoles[operatorARN].RAMRole
				tc.role(&r)
				c.server.AddRAMRole(r)
			}
			got := c.exchange(nil, tc.params)
			want(t, "answer", statusCode(got), tc.want)
			c.wantNoViolations()
			if got.status != 200 {
				return
			}
			arn, _ := got.granted()
			want(t, "arn", arn, operatorARN+"/test")
			c.use(got)
			want(t, "openapi", c.openAPI("ListRoles", http.MethodGet, testPath, "").status, 200)
		})
	}
}

func TestTokenSignatures(t *testing.T) {
	onCurve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	es256 := func(key *ecdsa.PrivateKey, text string) []byte {
		digest := sha256.Sum256([]byte(text))
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		must(t, err)
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	rs256 := func(text string) []byte {
		digest := sha256.Sum256([]byte(text))
		out, err := rsa.SignPKCS1v15(nil, long, crypto.SHA256, digest[:])
		must(t, err)
		return out
	}
	tests := map[string]struct {
		key       crypto.PublicKey
		algorithm string
		sign      func(string) []byte
		ok        bool
	}{
		"ES256":             {&onCurve.PublicKey, "ES256", func(text string) []byte { return es256(onCurve, text) }, true},
		"RS256":             {&long.PublicKey, "RS256", rs256, true},
		"no key to look at": {nil, "RS256", func(string) []byte { return nil }, true},
		"another key":       {&onCurve.PublicKey, "ES256", func(text string) []byte { return es256(other, text) }, false},
		"another text":      {&long.PublicKey, "RS256", func(text string) []byte { return rs256(text + "x") }, false},
		"another algorithm": {&long.PublicKey, "RS512", rs256, false},
		"none":              {&long.PublicKey, "none", func(string) []byte { return nil }, false},
		"half":              {&onCurve.PublicKey, "ES256", func(text string) []byte { return es256(onCurve, text)[:32] }, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			c.server.AddRAMRole(RAMRole{Arn: operatorARN, OIDC: &OIDCTrust{
				ProviderArn: providerARN, Audience: "sts.aliyuncs.com", Subjects: []string{testSubject}, Key: tc.key,
			}})
			text := unsigned(tc.algorithm, c.now(), nil)
			got := c.exchange(nil, map[string]string{"OIDCToken": text + "." + base64.RawURLEncoding.EncodeToString(tc.sign(text))})
			want(t, "answer", statusCode(got), map[bool]string{true: "200 ", false: "400 " + codeOIDCInvalid}[tc.ok])
			c.wantNoViolations()
		})
	}
}

func TestSessionsCarryAToken(t *testing.T) {
	tests := map[string]struct {
		token         string
		openAPI, odps string
	}{
		"none":            {"", codeTokenMismatch, codeAuthCredentials},
		"another":         {"fake-token-of-session-000002", codeTokenMismatch, codeAuthCredentials},
		"the session's":   {"fake-token-of-session-000001", "", ""},
		"more than it is": {"fake-token-of-session-000001x", codeTokenMismatch, codeAuthCredentials},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			addOperator(c)
			first, second := c.assume(nil), c.assume(nil)
			want(t, "second", second.status, 200)
			c.use(first)
			c.token = tc.token
			want(t, "openapi", c.openAPI("ListRoles", http.MethodGet, testPath, "").code(), tc.openAPI)
			want(t, "odps", c.statement("LIST ROLES").code(), tc.odps)
		})
	}
}

func TestSessionsEnd(t *testing.T) {
	at := time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC)
	c := newClient(t, Options{Clock: func() time.Time { return at }})
	addOperator(c)
	key, secret := c.key, c.secret
	answers := func() string {
		return statusCode(c.openAPI("ListRoles", http.MethodGet, testPath, "")) + "," + statusCode(c.statement("LIST ROLES"))
	}
	const ended = "403 InvalidSecurityToken.Expired,401 ODPS-0410051"
	c.use(c.assume(map[string]string{"DurationSeconds": "900"}))
	at = at.Add(15*time.Minute - time.Second)
	want(t, "before", answers(), "200 ,200 ")
	at = at.Add(time.Second)
	want(t, "after", answers(), ended)
	want(t, "to the token service", statusCode(c.assume(nil)), "403 InvalidSecurityToken.Expired")

	c.key, c.secret, c.token = key, secret, ""
	c.use(c.assume(nil))
	want(t, "a new one", answers(), "200 ,200 ")
	c.server.ExpireSessions()
	want(t, "ended at once", answers(), ended)
	want(t, "kept in the list", fmt.Sprint(c.server.Sessions()[1].Expiration), fmt.Sprint(at))

	c.key, c.secret, c.token = key, secret, ""
	c.use(c.assume(nil))
	c.server.RemoveRAMRole(operatorARN)
	want(t, "of a role that is gone", answers(), "404 InvalidAccessKeyId.NotFound,401 ODPS-0410051")
	want(t, "no sessions", len(c.server.Sessions()), 0)
	c.wantNoViolations()
}

func TestASessionHasItsRolesPermissions(t *testing.T) {
	c := newClient(t, Options{})
	addOperator(c)
	c.createRole("r")
	c.use(c.assume(nil))
	admin := func() string {
		return c.openAPI("CreateRole", http.MethodPost, testPath, `{"name":"boss","type":"admin"}`).code()
	}
	want(t, "no super administrator", admin(), codeAccessDenied)
	must(t, c.server.SetSuperAdministrator(operatorARN, true))
	want(t, "one now", admin(), "")

	must(t, c.server.Deny(operatorARN, ""))
	want(t, "denied", c.getACL().code()+","+c.statement("LIST ROLES").code(), codeForbiddenRAM+","+codeAccessDenied)
	must(t, c.server.Allow(operatorARN))
	must(t, c.server.DenyAction(operatorARN, "GetRoleAcl", "4019"))
	must(t, c.server.DenyProject(operatorARN, "other", ""))
	want(t, "an action denied", c.getACL().code()+","+c.statement("LIST ROLES").code(), codeAccessDenied+",")
	must(t, c.server.Allow(operatorARN))

	c.server.LimitQPS(operatorARN, 0.001, 1)
	want(t, "first", c.getACL().code(), "")
	want(t, "limited", c.getACL().code(), codeThrottlingUser)
	want(t, "counted", fmt.Sprint(c.server.Accepted(operatorARN), c.server.Refused(operatorARN)), "1 1")
	want(t, "the session has no rules of its own", c.server.Deny(c.key, "") == nil, false)
	c.server.LimitQPS(operatorARN, 0, 0)

	c.server.Inject(Fault{Kind: FaultError, Status: 418, AccessKeyID: operatorARN, Times: 1})
	want(t, "faults", c.getACL().status, 418)
	want(t, "caller in the journal", c.server.Journal()[1].Caller, operatorARN)
	c.wantNoViolations()
}

func TestChainedRoles(t *testing.T) {
	c := newClient(t, Options{})
	addOperator(c)
	c.server.AddRAMRole(RAMRole{Arn: auditorARN, TrustedAccessKeys: []string{operatorARN}})
	auditor := map[string]string{"RoleArn": auditorARN}
	want(t, "not by the key", c.assume(auditor).code(), "NoPermission")
	c.use(c.assume(nil))
	want(t, "not by oneself", c.assume(nil).code(), "NoPermission")
	next := c.assume(auditor)
	must(t, c.server.DenyAction(operatorARN, "AssumeRole", ""))
	want(t, "denied", statusCode(c.assume(auditor)), "403 NoPermission")
	c.use(next)
	want(t, "used", c.statement("LIST ROLES").status, 200)
	entries := c.server.Journal()
	want(t, "journal", entries[len(entries)-1].Caller, auditorARN)
	c.server.SetArrears(true)
	want(t, "arrears", c.statement("LIST ROLES").code(), codeAccessDenied)
	want(t, "but not here", c.assume(nil).code(), "NoPermission")
}

func TestTheTokenServiceInTheJournal(t *testing.T) {
	c := newClient(t, Options{})
	addOperator(c)
	c.server.LimitQPS(c.key, 0.001, 1)
	key := c.key
	c.exchange(nil, nil)
	c.assume(map[string]string{"RoleArn": auditorARN})
	c.use(c.assume(nil))
	c.assume(nil)
	var got []string
	for _, e := range c.server.Journal() {
		got = append(got, fmt.Sprint(e.Service, " ", e.Action, " ", e.Role, " by ", e.AccessKeyID, "/", e.Caller, ": ", e.Status, " ", e.Code))
		want(t, "a read", e.Write || e.Applied, false)
	}
	want(t, "journal", strings.Join(got, "\n"), strings.Join([]string{
		"sts AssumeRoleWithOIDC " + operatorARN + " by /" + testSubject + ": 200 ",
		"sts AssumeRole " + auditorARN + " by " + key + "/: 404 EntityNotExist.Role",
		"sts AssumeRole " + operatorARN + " by " + key + "/: 200 ",
		"sts AssumeRole " + operatorARN + " by STS.fake000002/" + operatorARN + ": 403 NoPermission",
	}, "\n"))
	want(t, "not in the quota", c.server.Accepted(key), 0)
	everything := string(mustJSON(c.server.Journal())) + string(mustJSON(c.server.State())) + string(mustJSON(c.server.Stats()))
	for _, secret := range []string{"fake-secret", "fake-token", jwt(c.now(), nil)[:40], "c2lnbmF0dXJl"} {
		want(t, secret, strings.Contains(everything, secret), false)
	}
	want(t, "sessions in the state", len(c.server.State().Sessions), 2)
	want(t, "role in the state", c.server.State().RAMRoles[0].Arn, operatorARN)
	c.wantNoViolations()
}

func TestFaultsOfTheTokenService(t *testing.T) {
	tests := map[string]struct {
		fault    Fault
		want     string
		sessions int
	}{
		"throttle":      {Fault{Kind: FaultThrottle}, "429 Throttling.User", 0},
		"server error":  {Fault{Kind: FaultServerError}, "500 InternalError", 0},
		"access denied": {Fault{Kind: FaultAccessDenied}, "403 NoPermission", 0},
		"html":          {Fault{Kind: FaultHTML502}, "502 ", 0},
		"error inside":  {Fault{Kind: FaultErrorInside, Code: "Odd"}, "200 Odd", 0},
		"lost before":   {Fault{Kind: FaultDropBefore}, "0 ", 0},
		"lost after":    {Fault{Kind: FaultDropAfter}, "0 ", 1},
		"cut in half":   {Fault{Kind: FaultGarbled}, "200 ", 1},
		"other kind":    {Fault{Kind: FaultGarbled, Body: BodyWrongKind}, "200 ", 1},
		"stale":         {Fault{Kind: FaultStaleRead}, "200 ", 1},
		"of a role":     {Fault{Kind: FaultError, Status: 418, Role: operatorARN}, "418 ", 0},
		"of reads":      {Fault{Kind: FaultError, Status: 418, Only: "reads"}, "418 ", 0},
		"of writes":     {Fault{Kind: FaultError, Status: 418, Only: "writes"}, "200 ", 1},
		"of an action":  {Fault{Kind: FaultError, Status: 418, Action: "AssumeRoleWithOIDC"}, "200 ", 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			c.connect()
			addOperator(c)
			tc.fault.Service = "sts"
			c.server.Inject(tc.fault)
			got := c.assume(nil)
			want(t, "answer", statusCode(got), tc.want)
			want(t, "sessions", len(c.server.Sessions()), tc.sessions)
			switch name {
			case "cut in half":
				want(t, "JSON", json.Valid([]byte(got.body)), false)
			case "other kind":
				want(t, "body", got.body, `["job-42"]`)
			}
			want(t, "other services", c.statement("LIST ROLES").status, 200)
			c.wantNoViolations()
		})
	}
}

func TestInvalidRAMRoles(t *testing.T) {
	for name, r := range map[string]RAMRole{
		"no ARN":      {},
		"a user's":    {Arn: "acs:ram::1:user/a"},
		"too long":    {Arn: operatorARN, MaxDuration: 13 * time.Hour},
		"no audience": {Arn: operatorARN, OIDC: &OIDCTrust{ProviderArn: providerARN}},
	} {
		if r.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
