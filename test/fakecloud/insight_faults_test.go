package fakecloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestInsightFaults: the kinds that every service has.
func TestInsightFaults(t *testing.T) {
	tests := map[string]struct {
		fault Fault
		want  string
	}{
		"throttle":             {Fault{Kind: FaultThrottle, RetryAfter: "2"}, "429 APIGW.0308 2"},
		"throttle, otherwise":  {Fault{Kind: FaultThrottle, Status: 503, Code: "APIGW.0700"}, "503 APIGW.0700 "},
		"serverError":          {Fault{Kind: FaultServerError}, "500 DataArtsInsight.20010001 "},
		"serverError, no code": {Fault{Kind: FaultServerError, Code: "-"}, "500  "},
		"error":                {Fault{Kind: FaultError, Status: 409, Code: "DataArtsInsight.24010044"}, "409 DataArtsInsight.24010044 "},
		"accessDenied":         {Fault{Kind: FaultAccessDenied}, "403 DataArtsInsight.20010003 "},
		"errorInside":          {Fault{Kind: FaultErrorInside}, "200 DataArtsInsight.20010001 "},
		"html502":              {Fault{Kind: FaultHTML502}, "502  "},
		"wrongEndpoint":        {Fault{Kind: FaultWrongEndpoint}, "404  "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newInsight(t, InsightStyle{})
			tt.fault.Service, tt.fault.Workspace, tt.fault.Times = "insight", "ws1", 1
			c.server.Inject(tt.fault)
			resp := c.export("dashboard/d1")
			want(t, "outcome", fmt.Sprint(resp.status, " ", resp.insightCode(), " ", resp.header.Get("Retry-After")), tt.want)
			want(t, "journal", c.last().Fault, tt.fault.Kind)
			want(t, "sent", fmt.Sprint(c.last().BytesSent, c.last().Completed), fmt.Sprint(len(resp.body), true))
			want(t, "the next one", c.export("dashboard/d1").sum(), c.sumOf("dashboard/d1"))
			c.wantNoViolations()
		})
	}
}

func TestIAMFaults(t *testing.T) {
	tests := map[string]struct {
		fault Fault
		want  string
	}{
		"throttle":             {Fault{Kind: FaultThrottle}, "429 429 "},
		"serverError":          {Fault{Kind: FaultServerError}, "500 500 "},
		"serverError, no code": {Fault{Kind: FaultServerError, Code: "-"}, "500 500 "},
		"error":                {Fault{Kind: FaultError, Status: 400, Code: "IAM.0011"}, "400 <nil> IAM.0011"},
		"accessDenied":         {Fault{Kind: FaultAccessDenied}, "403 403 "},
		"errorInside":          {Fault{Kind: FaultErrorInside}, "200 500 "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := newInsight(t, InsightStyle{})
			tt.fault.Service, tt.fault.Times, tt.fault.AccessKeyID = "iam", 1, insightUser
			c.server.Inject(tt.fault)
			resp := c.askToken("/v3/auth/tokens", tokenBody("exporter", "fake-password", projectScope))
			code := resp.inside("error", "code")
			if resp.insightCode() != "" {
				code = nil
			}
			want(t, "outcome", fmt.Sprint(resp.status, " ", code, " ", resp.insightCode()), tt.want)
			want(t, "token", resp.header.Get("X-Subject-Token"), "")
			c.useToken(projectScope)
		})
	}
}

// TestInsightLostReplies: nothing arrives; only dropAfter has done anything.
func TestInsightLostReplies(t *testing.T) {
	for _, kind := range []string{FaultDropBefore, FaultDropAfter, FaultTimeout} {
		t.Run(kind, func(t *testing.T) {
			c := newInsight(t, InsightStyle{})
			closeServer := c.connect()
			c.server.Inject(Fault{Kind: kind})
			ctx, cancel := context.WithCancel(t.Context())
			for _, req := range []*http.Request{c.request(dashboardBody), c.tokenRequest()} {
				if kind == FaultTimeout {
					req = req.WithContext(ctx)
					c.server.Inject(Fault{Kind: FaultLatency, Latency: time.Millisecond})
					time.AfterFunc(10*time.Millisecond, cancel)
				}
				want(t, "reply", c.send(req).err != nil, true)
			}
			cancel()
			closeServer()
			for _, e := range c.server.Journal() {
				want(t, "entry", fmt.Sprint(e.Status, e.BytesSent, e.Completed), "0 0 false")
			}
			tokens := 0
			if kind == FaultDropAfter {
				tokens = 1
			}
			want(t, "tokens", len(c.server.State().Insight.Tokens), tokens)
		})
	}
}

func (c *insightClient) tokenRequest() *http.Request {
	req := c.request("")
	req.URL.Path = "/v3/auth/tokens"
	req.Body = io.NopCloser(strings.NewReader(tokenBody("exporter", "fake-password", projectScope)))
	req.ContentLength = -1
	return req
}

// TestInsightCutStream: a body that ends early, with and without its length. One that is cut at its end is whole, unless
// the end of a chunked body is what is missing.
func TestInsightCutStream(t *testing.T) {
	const size = 300_000
	for _, chunked := range []bool{false, true} {
		for _, bytes := range []int64{0, 1, 4096, packageBlock, size - 1, size, 2 * size} {
			t.Run(fmt.Sprint(chunked, " ", bytes), func(t *testing.T) {
				c := newInsight(t, InsightStyle{})
				c.connect()
				whole := c.export("dashboard/d1").body
				c.server.Inject(Fault{Kind: FaultCutStream, Bytes: bytes, Chunked: &chunked, Times: 1})
				resp := c.export("dashboard/d1")
				complete := bytes >= size && !chunked
				want(t, "status", resp.status, http.StatusOK)
				want(t, "cut", errors.Is(resp.err, io.ErrUnexpectedEOF), !complete)
				want(t, "announced", resp.header.Get("Content-Length") == fmt.Sprint(size), !chunked)
				want(t, "got", resp.body == whole[:min(bytes, size)], true)
				want(t, "journal", fmt.Sprint(c.last().BytesSent, c.last().Completed), fmt.Sprint(min(bytes, size), complete))
				want(t, "the next one", c.export("dashboard/d1").body == whole, true)
			})
		}
	}
}

// TestInsightStallStream: the body stops until the client gives up, or for a while.
func TestInsightStallStream(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		c := newInsight(t, InsightStyle{})
		closeServer := c.connect()
		c.server.Inject(Fault{Kind: FaultStallStream, Bytes: 1000, Latency: time.Millisecond, Chunked: &chunked, Times: 1})
		resp := c.export("dashboard/d1")
		want(t, "after a pause", resp.sum(), c.sumOf("dashboard/d1"))
		want(t, "completed", c.last().Completed, true)

		c.server.Inject(Fault{Kind: FaultStallStream, Bytes: 1000, Chunked: &chunked})
		ctx, cancel := context.WithCancel(t.Context())
		reply, err := c.do(c.request(dashboardBody).WithContext(ctx))
		must(t, err)
		defer reply.Body.Close()
		n, err := io.CopyN(io.Discard, reply.Body, 1000)
		must(t, err)
		want(t, "got", n, 1000)
		cancel()
		_, err = reply.Body.Read(make([]byte, 1))
		want(t, "more", errors.Is(err, context.Canceled), true)
		closeServer()
		want(t, "journal", fmt.Sprint(c.last().Status, c.last().BytesSent, c.last().Completed, c.last().Fault), "200 1000 falsestallStream")
	}
}

func TestInsightSlowStream(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	c.connect()
	must(t, c.server.SetInsightSize(insightProject, "ws1", "dashboard", "d1", 5000))
	c.server.Inject(Fault{Kind: FaultSlowStream, BytesPerSecond: 100_000})
	began := time.Now()
	resp := c.export("dashboard/d1")
	// The last of three pieces goes out when the two before it are due.
	if took := time.Since(began); took < 40*time.Millisecond {
		t.Errorf("5000 bytes at 100000 a second took %s", took)
	}
	want(t, "content", resp.sum(), c.sumOf("dashboard/d1"))
	want(t, "journal", fmt.Sprint(c.last().BytesSent, c.last().Completed), "5000 true")
}

// TestInsightAbandoned: a client that goes away in the middle is seen to.
func TestInsightAbandoned(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	closeServer := c.connect()
	const size = 1 << 40
	must(t, c.server.SetInsightSize(insightProject, "ws1", "dashboard", "d1", size))
	reply, err := c.do(c.request(dashboardBody))
	must(t, err)
	_, err = io.CopyN(io.Discard, reply.Body, 100_000)
	must(t, err)
	reply.Body.Close()
	closeServer()
	e := c.last()
	want(t, "journal", e.BytesSent >= 100_000 && e.BytesSent < size && !e.Completed, true)
}

func TestInsightSpoiledBodies(t *testing.T) {
	tests := map[string]struct {
		fault Fault
		kind  string
		body  func(whole string) string
	}{
		"empty":      {Fault{Kind: FaultEmptyBody}, "application/octet-stream", func(string) string { return "" }},
		"wrong type": {Fault{Kind: FaultWrongType}, "text/html", func(whole string) string { return whole }},
		"JSON type": {
			Fault{Kind: FaultWrongType, ContentType: "application/json"}, "application/json", func(whole string) string { return whole },
		},
		"HTML page": {Fault{Kind: FaultHTMLPage}, "text/html; charset=utf-8", func(string) string { return loginPage }},
		"half of it": {
			Fault{Kind: FaultGarbled}, "application/octet-stream", func(whole string) string { return whole[:len(whole)/2] },
		},
		"another kind": {
			Fault{Kind: FaultGarbled, Body: BodyWrongKind}, "application/octet-stream", func(string) string { return `["job-42"]` },
		},
	}
	for name, tt := range tests {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", chunked), func(t *testing.T) {
				c := newInsight(t, InsightStyle{Chunked: chunked})
				c.connect()
				whole := c.export("dashboard/d1").body
				tt.fault.Action = "exportresourcepackage"
				c.server.Inject(tt.fault)
				resp := c.export("dashboard/d1")
				want(t, "status", resp.status, http.StatusOK)
				want(t, "error", resp.err, nil)
				want(t, "type", strings.Join(resp.header["Content-Type"], ","), tt.kind)
				want(t, "body", resp.body == tt.body(whole), true)
				want(t, "journal", fmt.Sprint(c.last().BytesSent, c.last().Completed), fmt.Sprint(len(resp.body), true))
			})
		}
	}
}

// TestIAMSpoiledBodies: the reply of another service can be cut as well; the token is in its header.
func TestIAMSpoiledBodies(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	c.connect()
	ask := func() response {
		return c.askToken("/v3/auth/tokens", tokenBody("exporter", "fake-password", projectScope))
	}
	c.server.Inject(Fault{Kind: FaultCutStream, Bytes: 10, Service: "iam", Times: 1})
	resp := ask()
	want(t, "cut", fmt.Sprint(resp.status, len(resp.body), errors.Is(resp.err, io.ErrUnexpectedEOF)), "201 10 true")
	c.server.Inject(Fault{Kind: FaultEmptyBody, Service: "iam", Times: 1})
	resp = ask()
	want(t, "empty", fmt.Sprint(resp.status, len(resp.body), resp.err), "201 0 <nil>")
	c.server.Inject(Fault{Kind: FaultGarbled, Service: "iam", Times: 1})
	resp = ask()
	want(t, "garbled", json.Valid([]byte(resp.body)), false)
}

// TestInsightFaultsKeepRefusals: there is no body to spoil when there is nothing to export.
func TestInsightFaultsKeepRefusals(t *testing.T) {
	for _, kind := range []string{FaultCutStream, FaultEmptyBody, FaultWrongType, FaultStallStream} {
		c := newInsight(t, InsightStyle{})
		c.server.Inject(Fault{Kind: kind})
		want(t, kind, c.export("dashboard/gone").insightCode(), "DataArtsInsight.24010003")
	}
}

func TestInsightFaultsThatCannotWork(t *testing.T) {
	for name, f := range map[string]Fault{
		"no rate":          {Kind: FaultSlowStream},
		"a negative place": {Kind: FaultCutStream, Bytes: -1},
		"a header":         {Kind: FaultWrongType, ContentType: "a\r\nb: c"},
	} {
		if f.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	c := newInsight(t, InsightStyle{})
	c.server.Inject(Fault{Kind: FaultStaleRead})
	c.server.Inject(Fault{Kind: FaultAsync})
	c.server.Inject(Fault{Kind: FaultCutStream, Workspace: "another"})
	must(t, c.server.ChangeInsightResource(insightProject, "ws1", "dashboard", "d1"))
	want(t, "content", c.export("dashboard/d1").sum(), c.sumOf("dashboard/d1"))
	for _, f := range c.server.Faults() {
		want(t, f.Fault.Kind, f.Hits, 0)
	}
}

func TestInsightFaultOverHTTP(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	c.connect()
	want(t, "injected", c.admin("POST", "faults", `{"kind":"cutStream","service":"insight","bytes":5,"chunked":true,"times":1}`).status, http.StatusOK)
	resp := c.export("dashboard/d1")
	want(t, "cut", fmt.Sprint(len(resp.body), resp.header.Get("Content-Length")), "5")
	want(t, "slow", c.admin("POST", "faults", `{"kind":"slowStream","bytesPerSecond":1000000}`).status, http.StatusOK)
	want(t, "no rate", c.admin("POST", "faults", `{"kind":"slowStream"}`).status, http.StatusBadRequest)
}

// TestInsightLimits: the token service has no part in a key's or a user's limit.
func TestInsightLimits(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	c.server.SetLimit(insightKeyID, Limit{Service: "insight", Window: 1})
	want(t, "the first", c.export("dashboard/d1").status, http.StatusOK)
	resp := c.export("dashboard/d1")
	want(t, "the second", fmt.Sprint(resp.status, " ", resp.insightCode()), "429 APIGW.0308")
	c.server.SetLimit(insightUser, Limit{Window: 1})
	for range 3 {
		c.useToken(projectScope)
	}
	want(t, "the first of the user", c.export("dashboard/d1").status, http.StatusOK)
	want(t, "the second of the user", c.export("dashboard/d1").status, http.StatusTooManyRequests)
	c.server.SetArrears(true)
	c.server.ShiftClock(time.Second)
	want(t, "another vendor's arrears", c.export("dashboard/d1").status, http.StatusOK)
}
