package fakecloud

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestSDKVectors holds the verifier and the signer of these tests against signatures that are public: the example of
// "API request signing guide", whose secret the vendor's samples show, and those in the tests of the vendor's Go client.
func TestSDKVectors(t *testing.T) {
	tests := map[string]struct {
		method, target, host, date, body, contentType, key, secret string
		signed                                                     []string
		want                                                       string
	}{
		"the guide's": {
			method: http.MethodGet, host: "service.region.example.com", date: "20191115T033655Z", contentType: "application/json",
			target: "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs?marker=13551d6b-755d-4757-b956-536f674975c0&limit=2",
			key:    "QTWAOYTTINDUT2QVKYUC", secret: "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc",
			signed: []string{"content-type", "host"}, want: "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe",
		},
		"the client's without a body": {
			method: http.MethodGet, target: "/path?limit=1", date: "20060102T150405Z", key: "AccessKey", secret: "SecretKey",
			want: "5a2ce64c865e0e6046321c6f3d5a77ba8413eeaf355c3166c03d58d02ac79624",
		},
		"the client's with a body": {
			method: http.MethodPost, target: "/path?key=value", date: "20060102T150405Z", key: "AccessKey", secret: "SecretKey",
			// The client encodes with a line feed at the end.
			body: `{"Name":"test","Id":1}` + "\n", want: "cecc2af119b18ab70b4d094c0750f3b42c02f254903179a0fc2cc72fc9db4f59",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			req := httptest.NewRequestWithContext(t.Context(), tt.method, tt.target, nil)
			req.Host = tt.host
			req.Header.Set("X-Sdk-Date", tt.date)
			if tt.contentType != "" {
				req.Header.Set("Content-Type", tt.contentType)
			}
			auth := vendorAuthorization(req, tt.body, tt.key, tt.secret, tt.signed...)
			want(t, "signer", auth, fmt.Sprintf("SDK-HMAC-SHA256 Access=%s, SignedHeaders=%s, Signature=%s",
				tt.key, strings.Join(append(tt.signed, "x-sdk-date"), ";"), tt.want))
			req.Header.Set("Authorization", auth)
			parsed, p := parseSDK(req)
			if p != nil {
				t.Fatal(p)
			}
			payload, p := sdkPayload(req, []byte(tt.body))
			if p != nil {
				t.Fatal(p)
			}
			want(t, "verifier", sdkSign(tt.secret, tt.date, sdkCanonical(req, parsed.signedHeaders, payload)), tt.want)
		})
	}
}

// TestSDKQuery: the example is from the tests of the vendor's Go client. Names are sorted before they are encoded.
func TestSDKQuery(t *testing.T) {
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet,
		"/?test=%E4%B8%80%20(%26%3D%3F!%23%25.*%29&path=/tmp/123&multi=3&multi=1&multi=2&limit=1&enable=true&a-=1&a=2", nil)
	want(t, "query", sdkQuery(req.URL),
		"a=2&a-=1&enable=true&limit=1&multi=1&multi=2&multi=3&path=%2Ftmp%2F123&test=%E4%B8%80%20%28%26%3D%3F%21%23%25.%2A%29")
}

func TestInsightAcceptedSignatures(t *testing.T) {
	tests := map[string]func(c *insightClient) *http.Request{
		"of the body":         func(c *insightClient) *http.Request { return c.request(dashboardBody) },
		"of the body's known": func(c *insightClient) *http.Request { c.sum = hexSum(dashboardBody); return c.request(dashboardBody) },
		"without the body":    func(c *insightClient) *http.Request { c.sum = "UNSIGNED-PAYLOAD"; return c.request(dashboardBody) },
		"of the time only": func(c *insightClient) *http.Request {
			req := c.request(dashboardBody)
			req.Header.Del("X-Workspace-Id")
			c.sign(req, dashboardBody, insightTime)
			req.Header.Set("X-Workspace-Id", "ws1")
			return req
		},
		"of host and content type as well": func(c *insightClient) *http.Request {
			req := c.request(dashboardBody)
			req.Header.Del("Authorization")
			req.Header.Set("Authorization", vendorAuthorization(req, dashboardBody, c.key, c.secret, "host", "content-type"))
			return req
		},
		"of the project": func(c *insightClient) *http.Request {
			req := c.request(dashboardBody)
			req.Header.Set("X-Project-Id", insightProject)
			c.sign(req, dashboardBody, insightTime)
			return req
		},
		"14 minutes late": func(c *insightClient) *http.Request { return c.signedAt(insightTime.Add(-14 * time.Minute)) },
		"14 minutes early": func(c *insightClient) *http.Request {
			return c.signedAt(insightTime.Add(14 * time.Minute))
		},
	}
	for name, request := range tests {
		t.Run(name, func(t *testing.T) {
			c := newInsight(t, InsightStyle{})
			resp := c.send(request(c))
			want(t, "status", resp.status, http.StatusOK)
			want(t, "content", resp.sum(), c.sumOf("dashboard/d1"))
			c.wantNoViolations()
		})
	}
}

func (c *insightClient) signedAt(at time.Time) *http.Request {
	req := c.request(dashboardBody)
	c.sign(req, dashboardBody, at)
	return req
}

func TestInsightRefusedSignatures(t *testing.T) {
	edit := func(old, with string) func(*insightClient) *http.Request {
		return func(c *insightClient) *http.Request {
			req := c.request(dashboardBody)
			req.Header.Set("Authorization", strings.Replace(req.Header.Get("Authorization"), old, with, 1))
			return req
		}
	}
	tests := map[string]struct {
		request func(c *insightClient) *http.Request
		message string
	}{
		"none": {func(c *insightClient) *http.Request { c.key = ""; return c.request(dashboardBody) }, "x-auth-token not found"},
		"an unknown key": {
			func(c *insightClient) *http.Request { c.key = "NOBODY"; return c.request(dashboardBody) }, "ak not exist",
		},
		"the key of another service": {
			func(c *insightClient) *http.Request {
				c.key, c.secret = DefaultAccessKeyID, DefaultAccessKeySecret
				return c.request(dashboardBody)
			}, "ak not exist",
		},
		"another secret": {func(c *insightClient) *http.Request { c.secret = "x"; return c.request(dashboardBody) }, "does not match"},
		"another body": {
			func(c *insightClient) *http.Request {
				req := c.request(dashboardBody)
				c.sign(req, exportBody("dataset/s1"), insightTime)
				return req
			}, "does not match",
		},
		"another workspace": {
			func(c *insightClient) *http.Request {
				req := c.request(dashboardBody)
				req.Header.Set("X-Workspace-Id", "ws2")
				return req
			}, "does not match",
		},
		"another project": {
			func(c *insightClient) *http.Request {
				req := c.request(dashboardBody)
				req.URL.Path = "/v1/other-project/resource-package/export"
				return req
			}, "does not match",
		},
		"the checksum of another body": {
			func(c *insightClient) *http.Request { c.sum = hexSum("x"); return c.request(dashboardBody) }, "does not match the body",
		},
		"a header that is not there": {edit("SignedHeaders=", "SignedHeaders=a-header;"), "not well formed"},
		"headers out of order":       {edit("x-sdk-date;x-workspace-id", "x-workspace-id;x-sdk-date"), "not well formed"},
		"no time among them":         {edit("x-sdk-date;", ""), "not well formed"},
		"another algorithm":          {edit("SDK-HMAC-SHA256", "SDK-HMAC-SM3"), "not well formed"},
		"a part of its own":          {edit("Access=", "Region=x, Access="), "not well formed"},
		"a part that comes twice":    {edit("Access=", "Access=x, Access="), "not well formed"},
		"no signature":               {edit("Signature=", "Signatur="), "not well formed"},
		"too late": {
			func(c *insightClient) *http.Request { return c.signedAt(insightTime.Add(-16 * time.Minute)) }, "signature expired",
		},
		"too early": {
			func(c *insightClient) *http.Request { return c.signedAt(insightTime.Add(16 * time.Minute)) }, "signature expired",
		},
		"a malformed time": {
			func(c *insightClient) *http.Request {
				req := c.request(dashboardBody)
				req.Header.Set("X-Sdk-Date", insightTime.Format(time.RFC3339))
				return req
			}, "not well formed",
		},
		"a security token that is none": {
			func(c *insightClient) *http.Request { c.securityToken = "x"; return c.request(dashboardBody) }, "security token",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newInsight(t, InsightStyle{})
			resp := c.send(tt.request(c))
			want(t, "status", resp.status, http.StatusUnauthorized)
			want(t, "code", resp.insightCode(), "APIGW.0301")
			if text := fmt.Sprint(resp.inside("error_msg")); !strings.Contains(text, tt.message) {
				t.Errorf("message %q lacks %q", text, tt.message)
			}
			want(t, "request id", resp.inside("request_id"), resp.header.Get("X-Request-Id"))
			c.wantNoViolations()
		})
	}
}

func TestInsightTemporaryKey(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	if err := c.server.AddIAMKey(IAMKey{
		AccessKeyID: "TEMPORARY", SecretAccessKey: "s", SecurityToken: "fake-security-token", Expires: insightTime.Add(time.Hour), User: insightUser,
	}); err != nil {
		t.Fatal(err)
	}
	c.key, c.secret = "TEMPORARY", "s"
	want(t, "without its token", c.export("dashboard/d1").status, http.StatusUnauthorized)
	c.securityToken = "another"
	want(t, "with another token", c.export("dashboard/d1").status, http.StatusUnauthorized)
	c.securityToken = "fake-security-token"
	want(t, "with its token", c.export("dashboard/d1").status, http.StatusOK)
	want(t, "caller", c.last().Caller+" "+c.last().AccessKeyID, insightUser+" TEMPORARY")
	c.server.ShiftClock(time.Hour)
	resp := c.export("dashboard/d1")
	want(t, "at its end", fmt.Sprint(resp.status, " ", resp.insightCode()), "401 APIGW.0301")
	c.server.RemoveIAMKey("TEMPORARY")
	want(t, "once it is gone", c.export("dashboard/d1").status, http.StatusUnauthorized)
}

// TestInsightKeyLock: five failures in a row are let through, the sixth locks the key for five minutes.
func TestInsightKeyLock(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	fail := func(times int) {
		c.secret = "wrong"
		for range times {
			c.export("dashboard/d1")
		}
		c.secret = insightSecret
	}
	fail(5)
	want(t, "after five", c.export("dashboard/d1").status, http.StatusOK)
	fail(6)
	resp := c.export("dashboard/d1")
	want(t, "after six", resp.status, http.StatusUnauthorized)
	want(t, "message", resp.inside("error_msg"), "Incorrect IAM authentication information: AK access failed to reach the limit,forbidden.")
	c.server.ShiftClock(5 * time.Minute)
	want(t, "five minutes later", c.export("dashboard/d1").status, http.StatusOK)
}
