package fakecloud

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The example with fixed parameters of "Alibaba Cloud documentation: V3 request body and signature
// mechanism".
func TestACS3DocumentedExample(t *testing.T) {
	const payload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost,
		"/?ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai", nil)
	req.Host = "ecs.cn-shanghai.aliyuncs.com"
	req.Header.Set("x-acs-action", "RunInstances")
	req.Header.Set("x-acs-content-sha256", payload)
	req.Header.Set("x-acs-date", "2023-10-26T10:22:32Z")
	req.Header.Set("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d")
	req.Header.Set("x-acs-version", "2014-05-26")
	got := acs3Sign("YourAccessKeySecret", acs3Canonical(req, acs3Required, payload))
	want(t, "signature", got, "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0")
}

func TestODPSSignatureVectors(t *testing.T) {
	const date = "Sat, 21 Nov 2026 16:00:00 GMT"
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/projects/p/authorization", nil)
	req.Header.Set("Content-Type", "application/xml")
	req.Header.Set("Date", date)
	want(t, "canonical", odpsCanonical(req), "POST\n\napplication/xml\n"+date+"\n/projects/p/authorization")

	tests := map[string]string{
		"ODPS AK:TH3b1iaH3Kk8Aozs3Wc2t9AcgHk=":                                             "V2",
		"ODPS AK/20261121/cn-hangzhou/odps/aliyun_v4_request:1uUYT3vJBcltpGRq2kr48vfi1i4=": "V4",
	}
	for header, name := range tests {
		cred, p := parseODPSCredential(header)
		if p != nil {
			t.Fatalf("%s: %v", name, p)
		}
		want(t, name, cred.sign("SK", odpsCanonical(req)), cred.signature)
	}
}

func TestODPSCanonicalHasHeadersAndDecodedQuery(t *testing.T) {
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/projects/p%20q/roles/r?policy&a=x%20y&x-odps-z=2", nil)
	req.Header.Set("Date", "D")
	req.Header.Set("X-Odps-B", "1")
	want(t, "canonical", odpsCanonical(req), "GET\n\n\nD\nx-odps-b:1\nx-odps-z:2\n/projects/p q/roles/r?a=x y&policy&x-odps-z=2")
}

func TestOpenAPISignature(t *testing.T) {
	tests := map[string]struct {
		client  func(*client)
		request func(*http.Request)
		status  int
		code    string
	}{
		"accepts a signed request":        {status: 200},
		"accepts a temporary key":         {client: func(c *client) { c.key, c.secret, c.token = "STS.FAKE", "s", "token" }, status: 200},
		"refuses an unknown key":          {client: func(c *client) { c.key = "NOBODY" }, status: 404, code: codeKeyNotFound},
		"refuses a wrong secret":          {client: func(c *client) { c.secret = "wrong" }, status: 400, code: codeSignature},
		"refuses a temporary key alone":   {client: func(c *client) { c.key, c.secret = "STS.FAKE", "s" }, status: 400, code: codeTokenMismatch},
		"refuses a token with a long key": {client: func(c *client) { c.token = "token" }, status: 400, code: codeTokenMismatch},
		"refuses an old request": {
			client: func(c *client) { c.now = func() time.Time { return time.Now().Add(-16 * time.Minute) } },
			status: 400, code: codeExpired,
		},
		"refuses a request from the future": {
			client: func(c *client) { c.now = func() time.Time { return time.Now().Add(16 * time.Minute) } },
			status: 400, code: codeExpired,
		},
		"refuses a changed path":      {request: func(r *http.Request) { r.URL.Path = "/api/v1/projects/other/roles" }, status: 400, code: codeSignature},
		"refuses a changed host":      {request: func(r *http.Request) { r.Host = "elsewhere" }, status: 400, code: codeSignature},
		"refuses a changed header":    {request: func(r *http.Request) { r.Header.Set("x-acs-signature-nonce", "9") }, status: 400, code: codeSignature},
		"refuses an unsigned header":  {request: func(r *http.Request) { r.Header.Set("x-acs-more", "1") }, status: 400, code: codeIncomplete},
		"refuses a missing signature": {request: func(r *http.Request) { r.Header.Del("Authorization") }, status: 400, code: codeIncomplete},
		"refuses another algorithm":   {request: func(r *http.Request) { r.Header.Set("Authorization", "acs a:b") }, status: 400, code: codeIncomplete},
		"refuses a body that was not signed": {
			request: func(r *http.Request) { r.Header.Set("x-acs-content-sha256", strings.Repeat("0", 64)) },
			status:  400, code: codeSignature,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			c.server.AddIdentity(Identity{AccessKeyID: "STS.FAKE", AccessKeySecret: "s", SecurityToken: "token"})
			if tc.client != nil {
				tc.client(c)
			}
			req := c.signACS3(c.request("ListRoles", http.MethodGet, testPath, ""), "")
			if tc.request != nil {
				tc.request(req)
			}
			got := c.send(req)
			want(t, "status", got.status, tc.status)
			want(t, "code", got.code(), tc.code)
		})
	}
}

func TestOpenAPIRefusesAReplayedRequest(t *testing.T) {
	c := newClient(t, Options{})
	first := c.signACS3(c.request("ListRoles", http.MethodGet, testPath, ""), "")
	want(t, "first", c.send(first).status, 200)
	want(t, "replay", c.send(first.Clone(t.Context())).code(), codeNonceUsed)
}

func TestODPSSignature(t *testing.T) {
	tests := map[string]struct {
		client  func(*client)
		request func(*http.Request)
		status  int
		code    string
	}{
		"accepts V2":                    {status: 200},
		"accepts V4":                    {client: func(c *client) { c.region = "cn-hangzhou" }, status: 200},
		"accepts a temporary key":       {client: func(c *client) { c.key, c.secret, c.token = "STS.FAKE", "s", "token" }, status: 200},
		"refuses an unknown key":        {client: func(c *client) { c.key = "NOBODY" }, status: 401, code: codeAuthCredentials},
		"refuses a wrong secret":        {client: func(c *client) { c.secret = "wrong" }, status: 401, code: codeAuthSignature},
		"refuses a wrong V4 secret":     {client: func(c *client) { c.secret, c.region = "wrong", "cn-hangzhou" }, status: 401, code: codeAuthSignature},
		"refuses a temporary key alone": {client: func(c *client) { c.key, c.secret = "STS.FAKE", "s" }, status: 401, code: codeAuthCredentials},
		"refuses an old request": {
			client: func(c *client) { c.now = func() time.Time { return time.Now().Add(-16 * time.Minute) } },
			status: 400, code: codeAuthExpired,
		},
		"refuses a V4 signature of another day": {
			request: func(r *http.Request) {
				r.Header.Set("Authorization", "ODPS "+DefaultAccessKeyID+"/20010101/r/odps/aliyun_v4_request:x")
			},
			status: 400, code: codeAuthExpired,
		},
		"refuses a changed path":      {request: func(r *http.Request) { r.URL.Path = "/api/projects/other/authorization" }, status: 401, code: codeAuthSignature},
		"refuses an unsigned header":  {request: func(r *http.Request) { r.Header.Set("x-odps-more", "1") }, status: 401, code: codeAuthSignature},
		"refuses a missing signature": {request: func(r *http.Request) { r.Header.Del("Authorization") }, status: 400, code: codeAuthMissing},
		"refuses a malformed header":  {request: func(r *http.Request) { r.Header.Set("Authorization", "ODPS a/b:c") }, status: 400, code: codeAuthInvalid},
		"refuses a missing date":      {request: func(r *http.Request) { r.Header.Del("Date") }, status: 400, code: codeAuthInvalid},
		"refuses a wrong Content-MD5": {request: func(r *http.Request) { r.Header.Set("Content-MD5", "00") }, status: 400, code: codeAuthInvalid},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			c.server.AddIdentity(Identity{AccessKeyID: "STS.FAKE", AccessKeySecret: "s", SecurityToken: "token"})
			if tc.client != nil {
				tc.client(c)
			}
			req := c.signODPS(c.statementRequest(testProject, "LIST ROLES;", ""))
			if tc.request != nil {
				tc.request(req)
			}
			got := c.send(req)
			want(t, "status", got.status, tc.status)
			want(t, "code", got.code(), tc.code)
		})
	}
}

func TestAnUnknownCallerLearnsNothingAboutTheRequest(t *testing.T) {
	c := newClient(t, Options{})
	c.secret = "wrong"
	want(t, "openapi", c.openAPI("CreateRole", http.MethodPost, testPath, `{"nonsense":1}`).code(), codeSignature)
	want(t, "odps", c.statement("NONSENSE").code(), codeAuthSignature)
}

func TestDeniedIdentity(t *testing.T) {
	c := newClient(t, Options{})
	if err := c.server.Deny(c.key, ""); err != nil {
		t.Fatal(err)
	}
	want(t, "openapi", c.openAPI("ListRoles", http.MethodGet, testPath, "").code(), codeForbiddenRAM)
	want(t, "odps", c.statement("LIST ROLES").code(), codeAccessDenied)
	if err := c.server.Deny(c.key, codeAccessDenied); err != nil {
		t.Fatal(err)
	}
	want(t, "openapi", c.openAPI("ListRoles", http.MethodGet, testPath, "").code(), codeAccessDenied)
	if err := c.server.Allow(c.key); err != nil {
		t.Fatal(err)
	}
	want(t, "allowed again", c.statement("LIST ROLES").status, 200)
}
