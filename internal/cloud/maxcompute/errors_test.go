package maxcompute_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// script answers one request after the other; a request too many is answered with the last answer.
type script []scripted

type scripted struct {
	status int
	header map[string]string
	body   string
}

func (s *script) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	next := (*s)[0]
	if len(*s) > 1 {
		*s = (*s)[1:]
	}
	for name, value := range next.header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(next.status)
	answer(w, next.body)
}

// forms are the ways in which the two services tell a code and a message.
var forms = map[string]struct {
	operation string
	// always is the HTTP status, if the form has only one.
	always int
	write  func(status int, code, message string) string
}{
	"OpenAPI": {"OpenAPI", 0, func(_ int, code, message string) string {
		return jsonOf(map[string]any{"requestId": "11111111-2222-3333-4444-555555555555", "code": code, "message": message})
	}},
	"gateway of the OpenAPI": {"OpenAPI", 0, func(_ int, code, message string) string {
		return jsonOf(map[string]any{"RequestId": "11111111-2222-3333-4444-555555555555", "HostId": "h", "Code": code, "Message": message, "Recommend": "https://example.test"})
	}},
	"OpenAPI inside HTTP 200": {"OpenAPI", 200, func(status int, code, message string) string {
		return jsonOf(map[string]any{"requestId": "1", "httpCode": status, "errorCode": code, "errorMsg": message, "data": nil})
	}},
	"OpenAPI inside HTTP 200 without httpCode": {"OpenAPI", 200, func(_ int, code, message string) string {
		return jsonOf(map[string]any{"requestId": "1", "code": code, "message": message, "data": nil})
	}},
	"ODPS in XML": {"ODPS", 0, func(_ int, code, message string) string {
		return fmt.Sprintf("<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>%s</Message><RequestId>11</RequestId><HostId>h</HostId></Error>", escape(code), escape(message))
	}},
	"ODPS in JSON": {"ODPS", 0, func(_ int, code, message string) string {
		return jsonOf(map[string]any{"Code": code, "Message": message, "RequestId": "11", "HostId": "h"})
	}},
	"ODPS with the code in the message": {"ODPS", 0, func(_ int, code, message string) string {
		return jsonOf(map[string]any{"Message": code + ": " + message})
	}},
	"ODPS with the code twice": {"ODPS", 0, func(_ int, code, message string) string {
		return jsonOf(map[string]any{"Code": code, "Message": code + ": " + message})
	}},
	"result of a statement": {"ODPS", 200, func(_ int, code, message string) string {
		return fmt.Sprintf("<Authorization><Result>FAILED: %s: %s</Result></Authorization>", escape(code), escape(message))
	}},
	"result of a statement in JSON": {"ODPS", 200, func(_ int, code, message string) string {
		return result(jsonOf(map[string]any{"Code": code, "Message": message}))
	}},
	"result of a statement, an object in JSON": {"ODPS", 200, func(_ int, code, message string) string {
		return result(jsonOf(map[string]any{"error": map[string]any{"code": code, "message": message}}))
	}},
	"result of a statement, a text in JSON": {"ODPS", 200, func(_ int, code, message string) string {
		return result(jsonOf(code + ": " + message))
	}},
	"result of a statement, spelt otherwise": {"ODPS", 200, func(_ int, code, message string) string {
		return fmt.Sprintf("<Authorization><Result>\n error: %s: %s </Result></Authorization>", escape(code), escape(message))
	}},
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func escape(text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		panic(err)
	}
	return b.String()
}

// The classes of the codes of the vendor's documentation and of its other clients. They hold in every form.
var classes = map[string]struct {
	status int
	want   cloud.Code
}{
	"OBJECT_NOT_EXIST":            {404, cloud.NotFound},
	"NoSuchObject":                {404, cloud.NotFound},
	"PROJECT_NOT_FOUND":           {404, cloud.ProjectNotFound},
	"NoSuchProject":               {404, cloud.ProjectNotFound},
	"ODPS-0420111":                {404, cloud.ProjectNotFound},
	"ODPS-0420095":                {403, cloud.PermissionDenied},
	"NoPermission":                {403, cloud.PermissionDenied},
	"Forbidden":                   {403, cloud.PermissionDenied},
	"Forbidden.RAM":               {403, cloud.PermissionDenied},
	"AccessDenied":                {403, cloud.PermissionDenied},
	"ODPS-0130013":                {400, cloud.PermissionDenied},
	"ODPS-0110011":                {400, cloud.PermissionDenied},
	"ODPS-0410001":                {400, cloud.AuthenticationFailed},
	"ODPS-0410011":                {400, cloud.AuthenticationFailed},
	"ODPS-0410021":                {400, cloud.AuthenticationFailed},
	"ODPS-0410031":                {400, cloud.AuthenticationFailed},
	"ODPS-0410042":                {401, cloud.AuthenticationFailed},
	"ODPS-0410051":                {401, cloud.AuthenticationFailed},
	"InvalidAccessKeyId.NotFound": {404, cloud.AuthenticationFailed},
	"InvalidAccessKeyId.Inactive": {403, cloud.AuthenticationFailed},
	"SignatureDoesNotMatch":       {400, cloud.AuthenticationFailed},
	"IncompleteSignature":         {400, cloud.AuthenticationFailed},
	"InvalidSecurityToken.Expired": {
		403, cloud.AuthenticationFailed,
	},
	"SecurityTokenExpired":      {403, cloud.AuthenticationFailed},
	"InvalidTimeStamp.Expired":  {400, cloud.AuthenticationFailed},
	"SignatureNonceUsed":        {400, cloud.RemoteUnavailable},
	"OBJECT_ALREADY_EXISTS":     {409, cloud.AlreadyExists},
	"ObjectAlreadyExists":       {409, cloud.AlreadyExists},
	"RoleAlreadyExist":          {400, cloud.AlreadyExists},
	"ODPS-0420061":              {400, cloud.RemoteRejected},
	"ODPS-0420031":              {400, cloud.RemoteRejected},
	"ODPS-0420041":              {400, cloud.RemoteRejected},
	"ODPS-0420051":              {400, cloud.RemoteRejected},
	"InvalidArgument":           {400, cloud.RemoteRejected},
	"InvalidParameter.RoleName": {400, cloud.RemoteRejected},
	"ODPS-0130161":              {400, cloud.RemoteRejected},
	"ServiceUnavailable":        {503, cloud.RemoteUnavailable},
	"InternalError":             {500, cloud.RemoteUnavailable},
	"InternalServerError":       {500, cloud.RemoteUnavailable},
	"Throttling":                {400, cloud.RemoteUnavailable},
	"Throttling.User":           {400, cloud.RemoteUnavailable},
	"Throttling.Api":            {400, cloud.RemoteUnavailable},
	"Throttling.Resource":       {503, cloud.RemoteUnavailable},
	"Rejected.Throttling":       {429, cloud.RemoteUnavailable},
	"throttling.user":           {400, cloud.RemoteUnavailable},
}

func TestEveryKnownCodeHasItsClassInEveryForm(t *testing.T) {
	for form, f := range forms {
		for code, class := range classes {
			t.Run(code+" of the "+form, func(t *testing.T) {
				status := class.status
				if f.always != 0 {
					status = f.always
				}
				answers := &script{{status, map[string]string{"Retry-After": "3"}, f.write(class.status, code, "no luck today")}}
				err := operations[f.operation](t.Context(), newLocalClient(t, answers))
				e, ok := errors.AsType[*cloud.Error](err)
				if !ok {
					t.Fatalf("got %v, want a cloud error", err)
				}
				throttled := strings.Contains(strings.ToLower(code), "throttling")
				if e.Code != class.want || e.Throttled != throttled || e.RetryAfter != 3*time.Second || e.RemoteCode != code {
					t.Errorf("got class %s, throttled %v, after %s, code %q; want class %s, throttled %v", e.Code, e.Throttled, e.RetryAfter, e.RemoteCode, class.want, throttled)
				}
				if e.Code != cloud.AuthenticationFailed && e.Message != "no luck today" {
					t.Errorf("message %q", e.Message)
				}
			})
		}
	}
}

func TestACodeThatNobodyKnowsIsJudgedByTheStatus(t *testing.T) {
	tests := map[int]cloud.Code{
		302: cloud.UnexpectedResponse, 400: cloud.RemoteRejected, 401: cloud.AuthenticationFailed, 403: cloud.PermissionDenied, 404: cloud.UnexpectedResponse,
		409: cloud.RemoteRejected, 422: cloud.RemoteRejected, 429: cloud.RemoteUnavailable, 500: cloud.RemoteUnavailable, 502: cloud.RemoteUnavailable, 503: cloud.RemoteUnavailable,
	}
	for form, f := range forms {
		for status, want := range tests {
			t.Run(fmt.Sprintf("%d of the %s", status, form), func(t *testing.T) {
				sent, throttled := status, status == http.StatusTooManyRequests
				if f.always != 0 {
					// Inside a success there is no status to judge by.
					sent, want, throttled = f.always, cloud.UnexpectedResponse, false
				}
				err := operations[f.operation](t.Context(), newLocalClient(t, &script{{status: sent, body: f.write(status, "Novel.Code", "no luck today")}}))
				e, ok := errors.AsType[*cloud.Error](err)
				if !ok || e.Code != want || e.Throttled != throttled || cloud.IsNotFound(err) {
					t.Errorf("got %#v, want %s, throttled %v", err, want, throttled)
				}
			})
		}
	}
}

const page = "<html>\r\n<head><title>%d</title></head>\r\n<body><center><h1>%[1]d</h1></center><hr><center>nginx</center></body>\r\n</html>\r\n"

// seen is what a caller learns from an error.
type seen struct {
	Code       cloud.Code
	Text       string
	Throttled  bool
	RetryAfter time.Duration
}

func look(err error) seen {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		return seen{Text: fmt.Sprint(err)}
	}
	return seen{e.Code, e.Error(), e.Throttled, e.RetryAfter}
}

func TestAnswersThatAreNotTheServices(t *testing.T) {
	tests := map[string]struct {
		answer scripted
		want   seen
	}{
		"a proxy that does not reach its backend": {
			scripted{status: 502, body: fmt.Sprintf(page, 502)}, seen{Code: cloud.RemoteUnavailable, Text: "HTTP status 502 with a body that is not MaxCompute's"},
		},
		"a proxy that asks to wait": {
			scripted{status: 503, header: map[string]string{"Retry-After": "12"}, body: fmt.Sprintf(page, 503)},
			seen{Code: cloud.RemoteUnavailable, Text: "HTTP status 503 with a body that is not MaxCompute's", RetryAfter: 12 * time.Second},
		},
		"a proxy that throttles": {
			scripted{status: 429, header: map[string]string{"Retry-After": "1"}, body: fmt.Sprintf(page, 429)},
			seen{Code: cloud.RemoteUnavailable, Text: "HTTP status 429 with a body that is not MaxCompute's", Throttled: true, RetryAfter: time.Second},
		},
		"a page that is not there": {
			scripted{status: 404, body: fmt.Sprintf(page, 404)}, seen{Code: cloud.UnexpectedResponse, Text: "HTTP status 404 with a body that is not MaxCompute's"},
		},
		"another service's not found": {
			scripted{status: 404, body: `{"message":"no route matched with those values"}`}, seen{Code: cloud.UnexpectedResponse, Text: "no route matched with those values"},
		},
		"another service's not found that has a colon": {
			scripted{status: 404, body: `{"message":"GET /x: not found"}`}, seen{Code: cloud.UnexpectedResponse, Text: "GET /x: not found"},
		},
		"a refusal without a code": {scripted{status: 403, body: `{}`}, seen{Code: cloud.UnexpectedResponse, Text: "UnexpectedResponse"}},
		"an error without a code":  {scripted{status: 500, body: `{}`}, seen{Code: cloud.RemoteUnavailable, Text: "RemoteUnavailable"}},
		"an empty refusal":         {scripted{status: 400}, seen{Code: cloud.UnexpectedResponse, Text: "HTTP status 400 with a body that is not MaxCompute's"}},
		"an empty error":           {scripted{status: 500}, seen{Code: cloud.RemoteUnavailable, Text: "HTTP status 500 with a body that is not MaxCompute's"}},
		"an empty success":         {scripted{status: 200}, seen{Code: cloud.UnexpectedResponse, Text: "HTTP status 200 with a body that is not MaxCompute's"}},
		"a page as a success":      {scripted{status: 200, body: fmt.Sprintf(page, 200)}, seen{Code: cloud.UnexpectedResponse, Text: "HTTP status 200 with a body that is not MaxCompute's"}},
		"a list as a success":      {scripted{status: 200, body: `[]`}, seen{Code: cloud.UnexpectedResponse, Text: "HTTP status 200 with a body that is not MaxCompute's"}},
		"a refusal that is cut off": {
			scripted{status: 400, body: `{"code":"ODPS-04200`}, seen{Code: cloud.UnexpectedResponse, Text: "HTTP status 400 with a body that is not MaxCompute's"},
		},
		"a code that is no text": {
			scripted{status: 404, body: `{"code":404,"message":"m"}`}, seen{Code: cloud.UnexpectedResponse, Text: "HTTP status 404 with a body that is not MaxCompute's"},
		},
		"a wait that is no number": {
			scripted{status: 503, header: map[string]string{"Retry-After": "Sat, 21 Nov 2026 16:00:00 GMT"}, body: fmt.Sprintf(page, 503)},
			seen{Code: cloud.RemoteUnavailable, Text: "HTTP status 503 with a body that is not MaxCompute's"},
		},
		"a wait that is too long": {
			scripted{status: 503, header: map[string]string{"Retry-After": "86400"}, body: fmt.Sprintf(page, 503)},
			seen{Code: cloud.RemoteUnavailable, Text: "HTTP status 503 with a body that is not MaxCompute's", RetryAfter: 5 * time.Minute},
		},
		"a wait that is negative": {
			scripted{status: 503, header: map[string]string{"Retry-After": "-1"}, body: fmt.Sprintf(page, 503)},
			seen{Code: cloud.RemoteUnavailable, Text: "HTTP status 503 with a body that is not MaxCompute's"},
		},
	}
	ops := map[string]string{"OpenAPI": "delete role r in project p: ", "ODPS": "grant Select on Table t, role r in project p: "}
	for service, operation := range operations {
		for name, tc := range tests {
			t.Run(name+", from the "+service, func(t *testing.T) {
				want := tc.want
				want.Text = ops[service] + want.Text
				err := operation(t.Context(), newLocalClient(t, &script{tc.answer}))
				if diff := cmp.Diff(want, look(err)); diff != "" {
					t.Errorf("the error (-want +got):\n%s", diff)
				}
				if cloud.Refused(err) != want.Throttled {
					t.Errorf("Refused = %v", cloud.Refused(err))
				}
			})
		}
	}
}

func TestReadsTakeNothingForAnEmptyAnswer(t *testing.T) {
	roles := func(ctx context.Context, c *maxcompute.Client) (int, error) {
		list, err := c.ListRoles(ctx, "p")
		return len(list), err
	}
	grants := func(ctx context.Context, c *maxcompute.Client) (int, error) {
		set, err := c.GetRoleACL(ctx, "p", "r")
		return set.Len(), err
	}
	contents := func(ctx context.Context, c *maxcompute.Client) (int, error) {
		p, err := c.GetPackage(ctx, "p", "k")
		return p.Resources.Len(), err
	}
	packages := func(ctx context.Context, c *maxcompute.Client) (int, error) {
		list, err := c.ListPackages(ctx, "p")
		return len(list.Created) + len(list.Installed), err
	}
	members := func(ctx context.Context, c *maxcompute.Client) (int, error) {
		list, err := c.ListUsersByRole(ctx, "p", "r")
		return len(list), err
	}
	tests := map[string]struct {
		read func(context.Context, *maxcompute.Client) (int, error)
		body string
		// n is how much is read; -1 is an error.
		n int
	}{
		"roles: none": {roles, `{"data":{"roles":[]}}`, 0},
		"roles: some": {roles, `{"data":{"roles":[{"name":"a","type":"resource"},{"name":"b","type":"admin"}]}}`, 2},
		"roles: success with a documented error code": {roles, `{"httpCode":200,"errorCode":"040002","errorMsg":"","data":{"roles":[]}}`, 0},
		"roles: a list that is missing":               {roles, `{"data":{}}`, -1},
		"roles: a list that is null":                  {roles, `{"data":{"roles":null}}`, -1},
		"roles: data that is null":                    {roles, `{"data":null}`, -1},
		"roles: data that is missing":                 {roles, `{"requestId":"1"}`, -1},
		"roles: an id of a job":                       {roles, `{"data":"job-42"}`, -1},
		"roles: data that is a list":                  {roles, `{"data":[]}`, -1},
		"roles: one without a name":                   {roles, `{"data":{"roles":[{"type":"resource"}]}}`, -1},
		"roles: one that is a text":                   {roles, `{"data":{"roles":["a"]}}`, -1},
		"roles: a body that is cut off":               {roles, `{"data":{"roles":[{"name":"a"`, -1},
		"roles: two documents":                        {roles, `{"data":{"roles":[]}}{"data":{"roles":[]}}`, -1},
		"roles: a failure inside the success":         {roles, `{"httpCode":500,"errorCode":"500","errorMsg":"internal error","data":{"roles":[]}}`, -1},
		"roles: an httpCode that is a text":           {roles, `{"httpCode":"500","data":{"roles":[]}}`, -1},
		"grants: none":                                {grants, `{"data":{}}`, 0},
		"grants: some":                                {grants, `{"data":{"table":[{"name":"t","schemaName":"default","actions":["select"]}],"package":null}}`, 1},
		"grants: a list of a kind that nobody knows":  {grants, `{"data":{"tables":[{"name":"t","actions":["select"]}]}}`, -1},
		"grants: an empty one of such a kind":         {grants, `{"data":{"tables":[]}}`, -1},
		"grants: such a list beside others":           {grants, `{"data":{"tables":[],"TABLE":[]}}`, 0},
		"package: some":                               {contents, `{"data":{"resourceList":{"table":[{"name":"t","actions":["select"]}]}}}`, 1},
		"package: none":                               {contents, `{"data":{"resourceList":{}}}`, 0},
		"package: a list that nobody knows":           {contents, `{"data":{"resourceList":{"tables":[{"name":"t","actions":["select"]}]}}}`, -1},
		"package: a text":                             {contents, `{"data":{"resourceList":"none"}}`, -1},
		"packages: lists that nobody knows":           {packages, `{"data":{"packages":[{"name":"k"}]}}`, -1},
		"grants: data that is null":                   {grants, `{"data":null}`, -1},
		"grants: an id of a job":                      {grants, `{"data":"job-42"}`, -1},
		"grants: data that is a list":                 {grants, `{"data":[]}`, -1},
		"grants: one without a name":                  {grants, `{"data":{"table":[{"actions":["select"]}]}}`, -1},
		"grants: actions that are a text":             {grants, `{"data":{"table":[{"name":"t","actions":"select"}]}}`, -1},
		"members: none":                               {members, `{"data":{"users":[]}}`, 0},
		"members: some":                               {members, `{"data":{"users":[{"name":"RAM$corp:alice"}]}}`, 1},
		"members: a list that is missing":             {members, `{"data":{}}`, -1},
		"members: data that is null":                  {members, `{"data":null}`, -1},
		"members: an id of a job":                     {members, `{"data":"job-42"}`, -1},
		"members: a list that nobody knows":           {members, `{"data":{"members":[{"name":"RAM$corp:alice"}]}}`, -1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			n, err := tc.read(t.Context(), newLocalClient(t, &script{{status: 200, body: tc.body}}))
			switch {
			case tc.n >= 0 && (err != nil || n != tc.n):
				t.Errorf("got %d, %v, want %d", n, err, tc.n)
			case tc.n < 0 && (cloud.CodeOf(err) != cloud.UnexpectedResponse || n != 0):
				t.Errorf("got %d, %v, want UnexpectedResponse", n, err)
			}
		})
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	for service, operation := range operations {
		for _, status := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprintf("%d of the %s", status, service), func(t *testing.T) {
				var visits atomic.Int32
				other := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
				url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other+r.URL.Path, status) }))
				err := operation(t.Context(), newClient(t, url))
				if cloud.CodeOf(err) != cloud.UnexpectedResponse {
					t.Errorf("got %v, want UnexpectedResponse", err)
				}
				if n := visits.Load(); n != 0 {
					t.Errorf("the other host saw %d requests", n)
				}
				if _, err := newClient(t, url).ListRoles(t.Context(), "p"); cloud.CodeOf(err) != cloud.UnexpectedResponse || visits.Load() != 0 {
					t.Errorf("a read got %v, and the other host saw %d requests", err, visits.Load())
				}
			})
		}
	}
}

// hangUp closes the connection after it has written something.
func hangUp(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		answer(connection, text)
		if err := connection.Close(); err != nil {
			panic(err)
		}
	})
}

func TestFailuresOfTheTransport(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	noName := func(config *maxcompute.Config) {
		config.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "maxcompute.test", Server: "192.0.2.1:53", IsNotFound: true}}
		}}}
	}
	small := func(config *maxcompute.Config) { config.MaxBody = 1000 }
	tests := map[string]struct {
		url    string
		change func(*maxcompute.Config)
		code   cloud.Code
		text   string
	}{
		"a port that nobody listens on":    {url: closed.URL, code: cloud.RemoteUnavailable, text: "no connection to the endpoint"},
		"a host that has no address":       {url: "http://maxcompute.test", change: noName, code: cloud.RemoteUnavailable, text: "the host name maxcompute.test cannot be resolved"},
		"a connection that closes at once": {url: serve(t, hangUp("")), code: cloud.RemoteUnavailable, text: "the connection was lost before an answer arrived"},
		"a connection that closes within the answer": {
			url: serve(t, hangUp("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"data\":")), code: cloud.RemoteUnavailable, text: "the connection was lost before an answer arrived",
		},
		"an answer that is not HTTP": {
			url: serve(t, hangUp("SSH-2.0-OpenSSH_9.9\r\n")), code: cloud.RemoteUnavailable, text: "the connection was lost before an answer arrived",
		},
		"a certificate that nobody vouches for": {url: secure.URL, code: cloud.RemoteUnavailable, text: "the endpoint's TLS certificate or protocol was not accepted"},
		"a port without TLS": {
			url: strings.Replace(serve(t, http.NotFoundHandler()), "http:", "https:", 1), code: cloud.RemoteUnavailable, text: "the endpoint's TLS certificate or protocol was not accepted",
		},
		"an answer that is too large": {
			url:    serve(t, &script{{status: 200, body: `{"data":"` + strings.Repeat("x", 1000) + `"}`}}),
			change: small, code: cloud.UnexpectedResponse, text: "the answer is too large",
		},
	}
	for service, operation := range operations {
		for name, tc := range tests {
			t.Run(name+", "+service, func(t *testing.T) {
				changes := []func(*maxcompute.Config){}
				if tc.change != nil {
					changes = append(changes, tc.change)
				}
				c := newClient(t, tc.url, changes...)
				err := operation(t.Context(), c)
				if cloud.CodeOf(err) != tc.code || !strings.HasSuffix(fmt.Sprint(err), ": "+tc.text) {
					t.Errorf("got %v, want %s: %s", err, tc.code, tc.text)
				}
				if cloud.Refused(err) {
					t.Error("the outcome is taken for known")
				}
				if unsent := strings.Contains(tc.text, "no connection to the endpoint") || strings.Contains(tc.text, "cannot be resolved"); cloud.Unsent(err) != unsent {
					t.Errorf("taken for unsent: %v, want %v", cloud.Unsent(err), unsent)
				}
				if again := operation(t.Context(), c); fmt.Sprint(again) != fmt.Sprint(err) {
					t.Errorf("the second time it says %q, the first time %q", again, err)
				}
			})
		}
	}
}

func TestAnAnswerOfTheLargestSizeIsRead(t *testing.T) {
	body := `{"data":{"roles":[]}}`
	c := newLocalClient(t, &script{{status: 200, body: body}}, func(config *maxcompute.Config) { config.MaxBody = int64(len(body)) })
	_, err := c.ListRoles(t.Context(), "p")
	must(t, err)
}

// silence never answers.
var silence = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })

func TestAServiceThatDoesNotAnswerIsGivenUp(t *testing.T) {
	for service, operation := range operations {
		t.Run(service, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := operation(t.Context(), newLocalClient(t, silence))
				if took := time.Since(began); took != 30*time.Second {
					t.Errorf("it took %s", took)
				}
				if cloud.CodeOf(err) != cloud.RemoteUnavailable || cloud.Refused(err) || !strings.HasSuffix(err.Error(), ": no answer in time") {
					t.Errorf("got %v", err)
				}
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
					t.Error("the cause is not the deadline")
				}
			})
		})
	}
}

func TestACancelledCallIsKnownAsSuch(t *testing.T) {
	for service, operation := range operations {
		t.Run(service+", before it is sent", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := operation(ctx, newClient(t, serve(t, silence))); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		t.Run(service+", while it waits for the answer", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			url := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				// A server notices that its client has left only when it has read all.
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					panic(err)
				}
				cancel()
				<-r.Context().Done()
			}))
			err := operation(ctx, newClient(t, url))
			if !errors.Is(err, context.Canceled) || cloud.CodeOf(err) != cloud.RemoteUnavailable || cloud.Refused(err) {
				t.Errorf("got %v", err)
			}
		})
		t.Run(service+", while it waits for the rate limit", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			c := newLocalClient(t, silence, func(config *maxcompute.Config) { config.Limiter = never{} })
			err := operation(ctx, c)
			if !errors.Is(err, context.Canceled) || !cloud.Refused(err) {
				t.Errorf("got %v, want a call that was not sent", err)
			}
		})
	}
}

// never is a limiter without tokens.
type never struct{}

func (never) Wait(ctx context.Context) (time.Time, error) {
	<-ctx.Done()
	return time.Time{}, ctx.Err()
}

func (never) Ended(time.Time, error) {}

func (never) Closed() error { return nil }

func TestTheRateLimitIsAskedOncePerRequest(t *testing.T) {
	server := newCloud(t)
	must(t, server.CreateRole(project, "r", "resource"))
	limiter := &tally{}
	c := newClient(t, serve(t, server), func(config *maxcompute.Config) { config.Limiter = limiter })
	must(t, c.CheckIdentity(t.Context()))
	must(t, c.Grant(t.Context(), project, "r", selectOn("t")))
	server.Inject(fakecloud.Fault{Kind: fakecloud.FaultAsync, Action: "Statement", Polls: 3})
	must(t, c.Revoke(t.Context(), project, "r", selectOn("t")))
	if waits, calls := limiter.n.Load(), len(server.Journal()); int(waits) != calls {
		t.Errorf("%d waits for %d calls", waits, calls)
	}
}

type tally struct{ n atomic.Int32 }

func (l *tally) Wait(context.Context) (time.Time, error) {
	l.n.Add(1)
	return time.Time{}, nil
}

func (*tally) Ended(time.Time, error) {}

func (*tally) Closed() error { return nil }

func TestTheSameFailureHasTheSameText(t *testing.T) {
	// Each message is filled with what differs from call to call.
	messages := map[string]string{
		"request id at the end":      "Access Denied - no privilege 'odps:Select' on {acs:odps:*:projects/p/tables/t}. RequestId: %[1]s",
		"request id in words":        "no privilege, request id: %[1]s.",
		"request id within JSON":     `upstream said {"requestId":"%[1]s","reason":"busy"}`,
		"context id":                 "[4019] You have NO privilege 'odps:CreateInstance' on {acs:odps:*:projects/p}. Context ID:%[1]s.",
		"short context id":           "[4019] You have NO privilege. Context ID:%.8[1]s-%.4[1]s.",
		"trace id":                   "busy (traceId=%[1]s)",
		"host id":                    "busy; HostId: %[1]s",
		"bare id":                    "instance %[1]s was not found",
		"instance id":                "instance %[2]s was not found",
		"time":                       "overloaded since %[3]s, please retry",
		"time without zone":          "overloaded since %.19[3]s, please retry",
		"time of the web":            "overloaded since %[4]s",
		"time in milliseconds":       "overloaded since %[5]d",
		"address":                    "backend %[6]s does not answer",
		"address in a dialling text": "dial tcp %[6]s->%[6]s: connection refused",
		"several lines":              "first line\r\n\tsecond line\nRequestId: %[1]s",
	}
	vary := func(format string, n int) string {
		at := time.Date(2026, 11, 21, 16, 0, n, 123000000*n, time.UTC)
		text := fmt.Sprintf(format, fmt.Sprintf("%08X-1111-2222-3333-%012x", n*7919, n*104729), fmt.Sprintf("20261121160%03dgabc%03d", n, n),
			at.Format(time.RFC3339), at.Format(http.TimeFormat), at.UnixMilli(), fmt.Sprintf("10.0.%d.7:%d", n, 40000+n))
		text, _, _ = strings.Cut(text, "%!(EXTRA")
		return text
	}
	for form, f := range forms {
		for name, format := range messages {
			t.Run(name+", "+form, func(t *testing.T) {
				status := 500
				if f.always != 0 {
					status = f.always
				}
				texts := map[string]bool{}
				for n := range 5 {
					err := operations[f.operation](t.Context(), newLocalClient(t, &script{{status: status, body: f.write(500, "InternalError", vary(format, n+1))}}))
					texts[fmt.Sprint(err)] = true
				}
				if len(texts) != 1 {
					t.Errorf("got the texts %v", texts)
				}
				for text := range texts {
					if strings.ContainsAny(text, "\r\n\t") {
						t.Errorf("%q is more than one line", text)
					}
				}
			})
		}
	}
}

func TestAMessageKeepsWhatTellsPeopleSomething(t *testing.T) {
	tests := map[string]struct{ message, want string }{
		"names and numbers": {"table ads_2026 (ds=20261121) has 12 columns, 3 hidden", "table ads_2026 (ds=20261121) has 12 columns, 3 hidden"},
		"a sub-code": {
			"Access Denied - [4093] account is overdue, AllDenied. Context ID:3a2c-d.", "Access Denied - [4093] account is overdue, AllDenied.",
		},
		"a long text, shortened":         {strings.Repeat("é", 500), strings.Repeat("é", 400) + "…"},
		"an action that does not exist":  {"failed to check policy format: invalid Action value - odps:X", "failed to check policy format: invalid Action value - odps:X"},
		"a principal without a provider": {"lack of account provider, principalName alice", "lack of account provider, principalName alice"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := operations["ODPS"](t.Context(), newLocalClient(t, &script{{status: 400, body: forms["ODPS in XML"].write(400, "InvalidArgument", tc.message)}}))
			if diff := cmp.Diff("grant Select on Table t, role r in project p: InvalidArgument: "+tc.want, fmt.Sprint(err)); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequestIDsAreKeptForLogs(t *testing.T) {
	tests := map[string]struct {
		operation string
		answer    scripted
		want      string
	}{
		"from the OpenAPI's body": {"OpenAPI", scripted{status: 400, body: `{"code":"X","requestId":"A-1"}`}, "A-1"},
		"from the ODPS body":      {"ODPS", scripted{status: 400, body: `<Error><Code>X</Code><RequestId>A-1</RequestId></Error>`}, "A-1"},
		"from the ODPS header":    {"ODPS", scripted{status: 400, header: map[string]string{"x-odps-request-id": "A-1"}, body: `<Error><Code>X</Code></Error>`}, "A-1"},
		"from a statement's answer": {
			"ODPS", scripted{status: 200, header: map[string]string{"x-odps-request-id": "A-1"}, body: `<Authorization><Result>ODPS-0420095: no</Result></Authorization>`}, "A-1",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := operations[tc.operation](t.Context(), newLocalClient(t, &script{tc.answer}))
			if got := cloud.RequestID(err); got != tc.want || strings.Contains(err.Error(), tc.want) {
				t.Errorf("request id %q of %v, want %q beside the text", got, err, tc.want)
			}
		})
	}
}

// echo refuses every request with a message that repeats all that the request carried, and the text that was signed.
type echo struct {
	status     int
	code, text string
	form       string
	// sent is what must not be seen.
	sent []string
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	authorization := header(r, "Authorization")
	signature := authorization[strings.LastIndex(strings.TrimRight(authorization, "="), "=")+1:]
	if strings.HasPrefix(authorization, "ODPS") {
		signature = authorization[strings.LastIndex(authorization, ":")+1:]
	}
	e.sent = append(e.sent, authorization, signature)
	signed := fmt.Sprintf("%s\n%s\nx-acs-security-token:%s\n", r.Method, r.URL.Path, token)
	message := fmt.Sprintf("%s Authorization: %s, signature %s; token=%s; server string to sign is:%s", e.text, authorization, signature, token, signed)
	if e.status%2 == 1 {
		message = fmt.Sprintf("%s%s %s %s", authorization, signature, token, e.text)
	}
	w.WriteHeader(e.status)
	answer(w, forms[e.form].write(e.status, e.code, message))
}

func FuzzNoSecretGetsIntoAnError(f *testing.F) {
	codes := []string{"SignatureDoesNotMatch", "Novel.Code", "ODPS-0410042", "InternalError", "", "InvalidArgument", "OBJECT_NOT_EXIST", token, "a b\n" + token}
	for i, code := range codes {
		for status := range 2 {
			f.Add(uint(i), uint16(400+status), code, "Specified signature is not matched with our calculation.")
			f.Add(uint(i+1), uint16(200), code, strings.Repeat("x", 300))
		}
	}
	names := []string{"OpenAPI", "gateway of the OpenAPI", "OpenAPI inside HTTP 200", "ODPS in XML", "ODPS in JSON", "ODPS with the code in the message", "result of a statement"}
	f.Fuzz(func(t *testing.T, form uint, status uint16, code, text string) {
		// The message is what is tested; it must not hold a piece of the secrets by accident, nor cut them into pieces.
		server := &echo{status: 200 + int(status)%400, code: code, text: text, form: names[form%uint(len(names))]}
		c := newLocalClient(t, server, func(config *maxcompute.Config) { config.Credential = temporary })
		err := operations[forms[server.form].operation](t.Context(), c)
		if err == nil {
			return
		}
		for _, secret := range append(server.sent, token, fakecloud.DefaultAccessKeySecret) {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%q holds %q", err, secret)
			}
		}
	})
}

// slowed is a limiter that notes how long it was asked to wait.
type slowed struct{ asked []time.Duration }

func (*slowed) Wait(context.Context) (time.Time, error) { return time.Time{}, nil }

func (l *slowed) Ended(_ time.Time, err error) {
	if e, ok := errors.AsType[*cloud.Error](err); ok && e.Throttled {
		l.asked = append(l.asked, e.RetryAfter)
	}
}

func (*slowed) Closed() error { return nil }

func TestTheLimiterIsToldOfARefusalForTheRateInEveryForm(t *testing.T) {
	for form, f := range forms {
		for _, code := range []string{"Throttling.User", "Rejected.Throttling", "InternalError"} {
			t.Run(code+" of the "+form, func(t *testing.T) {
				limiter := &slowed{}
				status := 503
				if f.always != 0 {
					status = f.always
				}
				answers := &script{{status, map[string]string{"Retry-After": "3"}, f.write(503, code, "no luck today")}}
				c := newLocalClient(t, answers, func(config *maxcompute.Config) { config.Limiter = limiter })
				if err := operations[f.operation](t.Context(), c); err == nil {
					t.Error("no error")
				}
				var want []time.Duration
				if strings.Contains(code, "Throttling") {
					want = []time.Duration{3 * time.Second}
				}
				if diff := cmp.Diff(want, limiter.asked); diff != "" {
					t.Errorf("what the limiter was told (-want +got):\n%s", diff)
				}
			})
		}
	}
}
