package fakecloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
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
	for kind, tokens := range map[string]int{FaultDropBefore: 0, FaultDropAfter: 1} {
		t.Run(kind, func(t *testing.T) {
			c := newInsight(t, InsightStyle{})
			closeServer := c.connect()
			c.server.Inject(Fault{Kind: kind})
			want(t, "export", c.export("dashboard/d1").err != nil, true)
			want(t, "token", c.send(c.tokenRequest()).err != nil, true)
			closeServer()
			for _, e := range c.server.Journal() {
				want(t, "entry", fmt.Sprint(e.Status, e.BytesSent, e.Completed), "0 0 false")
			}
			want(t, "tokens", len(c.server.State().Insight.Tokens), tokens)
		})
	}
}

// TestInsightTimeout: a call ends with its client's patience, and has done nothing.
func TestInsightTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newInsight(t, InsightStyle{})
		c.server.Inject(Fault{Kind: FaultLatency, Latency: time.Second})
		c.server.Inject(Fault{Kind: FaultTimeout})
		for _, req := range []*http.Request{c.request(dashboardBody), c.tokenRequest()} {
			_, took := c.patient(req, time.Minute)
			want(t, "waited", took, time.Minute)
			want(t, "journal", fmt.Sprint(c.last().Status, c.last().BytesSent, c.last().Completed), "0 0 false")
		}
		want(t, "tokens", len(c.server.State().Insight.Tokens), 0)
	})
}

// patient makes a call without a network that ends after a time, and tells how long it took.
func (c *insightClient) patient(req *http.Request, patience time.Duration) (response, time.Duration) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	start := time.Now()
	done := make(chan response)
	rec := httptest.NewRecorder()
	go func() {
		defer func() {
			if aborted := recover(); aborted != nil {
				done <- response{status: rec.Code, body: rec.Body.String(), err: http.ErrAbortHandler}
				return
			}
			done <- response{status: rec.Code, header: rec.Header(), body: rec.Body.String()}
		}()
		c.server.ServeHTTP(rec, req.WithContext(ctx))
	}()
	return <-done, time.Since(start)
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

// TestInsightStallStream: the body stops until the client gives up.
func TestInsightStallStream(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		c := newInsight(t, InsightStyle{})
		closeServer := c.connect()
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

// TestInsightPaces: what takes its time, on a clock of the test's own.
func TestInsightPaces(t *testing.T) {
	const betweenPieces = 10*time.Second + time.Millisecond
	tests := map[string]struct {
		fault    Fault
		patience time.Duration
		took     time.Duration
		sent     int64
	}{
		"slow":                     {Fault{Kind: FaultSlowStream, BytesPerSecond: 10_000}, time.Hour, 30 * time.Second, 300_000},
		"very slow":                {Fault{Kind: FaultSlowStream, BytesPerSecond: 1000}, time.Hour, 5 * time.Minute, 300_000},
		"too slow":                 {Fault{Kind: FaultSlowStream, BytesPerSecond: 10_000}, betweenPieces, betweenPieces, 100_200},
		"a stall":                  {Fault{Kind: FaultStallStream, Bytes: 1000, Latency: time.Minute}, time.Hour, time.Minute, 300_000},
		"a stall that is too long": {Fault{Kind: FaultStallStream, Bytes: 1000, Latency: time.Hour}, time.Minute, time.Minute, 1000},
		"a stall without an end":   {Fault{Kind: FaultStallStream, Bytes: 1000}, time.Minute, time.Minute, 1000},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newInsight(t, InsightStyle{})
				c.server.Inject(tt.fault)
				resp, took := c.patient(c.request(dashboardBody), tt.patience)
				want(t, "took", took, tt.took)
				want(t, "got", len(resp.body), tt.sent)
				want(t, "journal", fmt.Sprint(c.last().BytesSent, c.last().Completed), fmt.Sprint(tt.sent, tt.sent == 300_000))
			})
		})
	}
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
