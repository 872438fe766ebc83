package dataworks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// calls are all calls that reach the service, each with the version that has it.
var calls = map[string]struct {
	version string
	write   bool
	do      func(ctx context.Context, c dataworks.Client, id string) error
}{
	"CreatePermissionApplyOrder":    {dataworks.Version2020, true, submit},
	"GetPermissionApplyOrderDetail": {dataworks.Version2020, false, get},
	"ListPermissionApplyOrders":     {dataworks.Version2020, false, search},
	"RevokeTablePermission": {dataworks.Version2020, true, func(ctx context.Context, c dataworks.Client, _ string) error {
		return c.Revoke(ctx, dataworks.Revocation{Project: project, WorkspaceID: workspace, Table: "orders", Actions: []string{"Select"}, UserID: alice})
	}},
	"ApplyResourceAccessPermission": {dataworks.Version2024, true, submit},
	"GetApplicationContents":        {dataworks.Version2024, false, get},
	"ListMyApplications":            {dataworks.Version2024, false, search},
	"StopProcessInstance": {dataworks.Version2024, true, func(ctx context.Context, c dataworks.Client, id string) error {
		return c.Withdraw(ctx, id)
	}},
}

func submit(ctx context.Context, c dataworks.Client, _ string) error {
	ids, err := c.Submit(ctx, usual(func(r *dataworks.Request) { r.Token = "another" }))
	if (err == nil) == (len(ids) == 0) {
		return fmt.Errorf("got orders %v and error %w", ids, err)
	}
	return err
}

func get(ctx context.Context, c dataworks.Client, id string) error {
	order, err := c.Get(ctx, id)
	if err != nil && order.State != "" {
		return fmt.Errorf("got %v and error %w", order, err)
	}
	return err
}

func search(ctx context.Context, c dataworks.Client, _ string) error {
	_, err := c.Search(ctx, everything())
	return err
}

func TestFaults(t *testing.T) {
	tests := map[string]struct {
		fault   fakecloud.Fault
		want    cloud.Code
		refused bool
		// done tells that a write was carried out.
		done       bool
		retryAfter time.Duration
	}{
		"throttled":                {fault: fakecloud.Fault{Kind: fakecloud.FaultThrottle, RetryAfter: "7"}, want: cloud.RemoteUnavailable, refused: true, retryAfter: 7 * time.Second},
		"throttled with a 400":     {fault: fakecloud.Fault{Kind: fakecloud.FaultThrottle, Status: 400, Code: "Throttling.Api"}, want: cloud.RemoteUnavailable, refused: true},
		"throttled, bare":          {fault: fakecloud.Fault{Kind: fakecloud.FaultThrottle, Status: 503, Code: "Throttling"}, want: cloud.RemoteUnavailable, refused: true},
		"server error":             {fault: fakecloud.Fault{Kind: fakecloud.FaultServerError}, want: cloud.RemoteUnavailable},
		"server error, no code":    {fault: fakecloud.Fault{Kind: fakecloud.FaultServerError, Code: "-"}, want: cloud.RemoteUnavailable},
		"access denied":            {fault: fakecloud.Fault{Kind: fakecloud.FaultAccessDenied}, want: cloud.PermissionDenied, refused: true},
		"an unknown 400":           {fault: fakecloud.Fault{Kind: fakecloud.FaultError, Status: 400, Code: "9990010001", Message: "m"}, want: cloud.RemoteRejected, refused: true},
		"an unknown 409":           {fault: fakecloud.Fault{Kind: fakecloud.FaultError, Status: 409, Code: "Conflict", Message: "m"}, want: cloud.RemoteRejected, refused: true},
		"an unknown 401":           {fault: fakecloud.Fault{Kind: fakecloud.FaultError, Status: 401, Code: "Who", Message: "m"}, want: cloud.AuthenticationFailed, refused: true},
		"an unknown 404":           {fault: fakecloud.Fault{Kind: fakecloud.FaultError, Status: 404, Code: "What", Message: "m"}, want: cloud.UnexpectedResponse},
		"no such action":           {fault: fakecloud.Fault{Kind: fakecloud.FaultError, Status: 404, Code: "InvalidAction.NotFound", Message: "m"}, want: cloud.RemoteRejected, refused: true},
		"no such user":             {fault: fakecloud.Fault{Kind: fakecloud.FaultError, Status: 404, Code: "InvalidUser.NotFound", Message: "m"}, want: cloud.UnexpectedResponse},
		"no such key":              {fault: fakecloud.Fault{Kind: fakecloud.FaultError, Status: 404, Code: "InvalidAccessKeyId.NotFound", Message: "m"}, want: cloud.AuthenticationFailed, refused: true},
		"no such project":          {fault: fakecloud.Fault{Kind: fakecloud.FaultError, Status: 404, Code: "PROJECT_NOT_FOUND", Message: "m"}, want: cloud.ProjectNotFound, refused: true},
		"sent twice":               {fault: fakecloud.Fault{Kind: fakecloud.FaultError, Status: 400, Code: "SignatureNonceUsed", Message: "m"}, want: cloud.RemoteUnavailable},
		"a 4xx without a code":     {fault: fakecloud.Fault{Kind: fakecloud.FaultError, Status: 400, Code: "-", Message: "m"}, want: cloud.UnexpectedResponse},
		"a deadline that is over":  {fault: fakecloud.Fault{Kind: fakecloud.FaultError, Status: 500, Code: "InternalError", Message: "deadline cannot be in the past"}, want: cloud.RemoteRejected, refused: true},
		"a proxy's page":           {fault: fakecloud.Fault{Kind: fakecloud.FaultHTML502}, want: cloud.RemoteUnavailable},
		"wrong endpoint, HTML":     {fault: fakecloud.Fault{Kind: fakecloud.FaultWrongEndpoint}, want: cloud.UnexpectedResponse},
		"wrong endpoint, JSON":     {fault: fakecloud.Fault{Kind: fakecloud.FaultWrongEndpoint, Body: fakecloud.BodyJSON}, want: cloud.UnexpectedResponse},
		"lost before":              {fault: fakecloud.Fault{Kind: fakecloud.FaultDropBefore}, want: cloud.RemoteUnavailable},
		"lost after":               {fault: fakecloud.Fault{Kind: fakecloud.FaultDropAfter}, want: cloud.RemoteUnavailable, done: true},
		"no answer":                {fault: fakecloud.Fault{Kind: fakecloud.FaultTimeout}, want: cloud.RemoteUnavailable},
		"error inside":             {fault: fakecloud.Fault{Kind: fakecloud.FaultErrorInside}, want: cloud.UnexpectedResponse},
		"throttled inside":         {fault: fakecloud.Fault{Kind: fakecloud.FaultErrorInside, Code: "Throttling.User"}, want: cloud.RemoteUnavailable, refused: true},
		"access denied inside":     {fault: fakecloud.Fault{Kind: fakecloud.FaultErrorInside, Code: "Forbidden.RAM"}, want: cloud.PermissionDenied, refused: true},
		"garbled":                  {fault: fakecloud.Fault{Kind: fakecloud.FaultGarbled}, want: cloud.UnexpectedResponse, done: true},
		"another kind of document": {fault: fakecloud.Fault{Kind: fakecloud.FaultGarbled, Body: fakecloud.BodyWrongKind}, want: cloud.UnexpectedResponse, done: true},
	}
	for name, tc := range tests {
		for action, call := range calls {
			t.Run(name+"/"+action, func(t *testing.T) {
				fake := newCloud(t)
				change := func(*dataworks.Config) {}
				if tc.fault.Kind == fakecloud.FaultTimeout {
					change = func(config *dataworks.Config) { config.Timeout = 20 * time.Millisecond }
				}
				id := submitted(t, newClient(t, call.version, fake), usual())
				fake.ResetJournal()
				fake.Inject(tc.fault)
				limiter := &limiter{}
				c := newClient(t, call.version, fake, change, func(config *dataworks.Config) { config.Limiter = limiter })
				err := call.do(t.Context(), c, id)
				checkClass(t, err, tc.want, tc.refused)
				again := call.do(t.Context(), c, id)
				// What has been done is another matter the second time.
				if carriedOut := tc.done && call.write; again == nil || !carriedOut && again.Error() != err.Error() {
					t.Errorf("not the same text: %q and %q", err, again)
				}
				limiter.check(t, tc.refused && tc.want == cloud.RemoteUnavailable, tc.retryAfter)
				if tc.fault.Kind == fakecloud.FaultTimeout { // what hangs is not in the journal yet
					return
				}
				journal := fake.Journal()
				if len(journal) != 2 {
					t.Fatalf("%d calls were made, want one for each attempt: %v", len(journal), journal)
				}
				if entry := journal[0]; entry.Action != action || entry.Write != call.write || entry.Applied != (tc.done && call.write) {
					t.Errorf("got %+v", entry)
				}
			})
		}
	}
}

func checkClass(t testing.TB, err error, want cloud.Code, refused bool) {
	t.Helper()
	if cloud.CodeOf(err) != want || cloud.Refused(err) != refused {
		t.Errorf("got %v of class %s, refused %t; want %s, %t", err, cloud.CodeOf(err), cloud.Refused(err), want, refused)
	}
}

// limiter notes what it is told.
type limiter struct {
	waited    int
	throttled []time.Duration
}

// check asserts what two attempts have told the limiter.
func (l *limiter) check(t testing.TB, throttled bool, retryAfter time.Duration) {
	t.Helper()
	if l.waited != 2 {
		t.Errorf("%d calls passed the limiter, want one for each attempt", l.waited)
	}
	var want []time.Duration
	if throttled {
		want = []time.Duration{retryAfter, retryAfter}
	}
	if !slices.Equal(l.throttled, want) {
		t.Errorf("the limiter was told %v, want %v", l.throttled, want)
	}
}

func (l *limiter) Wait(context.Context) (time.Time, error) {
	l.waited++
	return time.Time{}, nil
}

func (l *limiter) Ended(_ time.Time, err error) {
	if e, ok := errors.AsType[*cloud.Error](err); ok && e.Throttled {
		l.throttled = append(l.throttled, e.RetryAfter)
	}
}

func (*limiter) Closed() error { return nil }

func TestAbsentOrders(t *testing.T) {
	for version := range versions {
		fake := newCloud(t)
		c := newClient(t, version, fake)
		if _, err := c.Get(t.Context(), "none"); !cloud.IsNotFound(err) {
			t.Errorf("%s: got %v", version, err)
		}
		// The same code says something else of a request with other parameters.
		fake.Inject(fakecloud.Fault{Kind: fakecloud.FaultError, Status: 404, Code: "InvalidParameter.NotFound", Message: "m"})
		if err := submit(t.Context(), c, ""); cloud.CodeOf(err) != cloud.RemoteRejected {
			t.Errorf("%s: submit: got %v", version, err)
		}
		if err := search(t.Context(), c, ""); cloud.CodeOf(err) != cloud.RemoteRejected {
			t.Errorf("%s: search: got %v", version, err)
		}
	}
}

func TestUnexpectedAnswers(t *testing.T) {
	const detail = `{"RequestId":"1","ApplyOrderDetail":{"FlowId":"7","FlowStatus":2,"ApproveContent":{"ProjectMeta":{"ObjectMetaList":[%s]}}}}`
	const contents = `{"RequestId":"1","Data":{"ProcessInstanceId":"7","Status":"AuthorizeSucceed","Contents":[%s]}}`
	const entry = `{"AccessTypes":["select"],"Grantee":{"PrincipalId":"1"},"Resource":{"MetaData":"{\"project\":\"p\",\"table\":\"t\"}"}}`
	tests := map[string][]string{
		"*": {
			``, `null`, `1`, `"x"`, `[]`, `{}`, `{"RequestId":"1","Data":[[]]}{`, `<html></html>`, `{"RequestId":1,"Data":["1"],"FlowId":["1"]}`,
			`{"RequestId":"1","Success":false,"Data":["1"],"FlowId":["1"],"RevokeSuccess":true}`, `{"RequestId":"1","ErrorCode":"9990010001","Data":["1"],"FlowId":["1"]}`,
		},
		"CreatePermissionApplyOrder": {
			`{"RequestId":"1"}`, `{"RequestId":"1","FlowId":null}`, `{"RequestId":"1","FlowId":[]}`, `{"RequestId":"1","FlowId":[""]}`, `{"RequestId":"1","FlowId":"1"}`,
			`{"RequestId":"1","FlowId":["a b"]}`, `{"RequestId":"1","Data":["1"]}`, `{"FlowId":["1"]}`,
		},
		"ApplyResourceAccessPermission": {
			`{"RequestId":"1"}`, `{"RequestId":"1","Data":null}`, `{"RequestId":"1","Data":[]}`, `{"RequestId":"1","Data":["1",""]}`, `{"RequestId":"1","Data":{}}`, `{"Data":["1"]}`,
		},
		"GetPermissionApplyOrderDetail": {
			`{"RequestId":"1"}`, `{"RequestId":"1","ApplyOrderDetail":{}}`, `{"RequestId":"1","ApplyOrderDetail":{"FlowId":"8","FlowStatus":2}}`,
			`{"RequestId":"1","ApplyOrderDetail":{"FlowId":"7"}}`, `{"RequestId":"1","ApplyOrderDetail":{"FlowId":"7","FlowStatus":"2"}}`,
			fmt.Sprintf(detail, ``), fmt.Sprintf(detail, `{}`), fmt.Sprintf(detail, `{"ObjectName":"t"}`), fmt.Sprintf(detail, `{"ObjectName":"t","Actions":"Select"}`),
			fmt.Sprintf(detail, `{"ObjectName":"t","Actions":["Select"],"ColumnMetaList":[{}]}`),
		},
		"GetApplicationContents": {
			`{"RequestId":"1"}`, `{"RequestId":"1","Data":{}}`, `{"RequestId":"1","Data":{"ProcessInstanceId":"8","Status":"Confirmed"}}`, `{"RequestId":"1","Data":{"ProcessInstanceId":"7"}}`,
			fmt.Sprintf(contents, ``), fmt.Sprintf(contents, `{}`), fmt.Sprintf(contents, entry+`,{"AccessTypes":["select"],"Grantee":{"PrincipalId":"1"},"Resource":{"MetaData":"x"}}`),
			fmt.Sprintf(contents, `{"AccessTypes":["select"],"Grantee":{},"Resource":{"MetaData":{"project":"p","table":"t"}}}`),
			fmt.Sprintf(contents, `{"AccessTypes":[],"Grantee":{"PrincipalId":"1"},"Resource":{"MetaData":{"project":"p","table":"t"}}}`),
			fmt.Sprintf(contents, `{"AccessTypes":["select"],"Grantee":{"PrincipalId":"1"},"Resource":{"MetaData":null}}`),
		},
		"ListPermissionApplyOrders": {
			`{"RequestId":"1"}`, `{"RequestId":"1","ApplyOrders":{"ApplyOrder":[]}}`, `{"RequestId":"1","ApplyOrders":{"ApplyOrder":[],"TotalCount":1}}`,
			`{"RequestId":"1","ApplyOrders":{"TotalCount":1}}`, `{"RequestId":"1","ApplyOrders":{"ApplyOrder":[],"TotalCount":0,"PageNumber":2}}`,
			`{"RequestId":"1","ApplyOrders":{"ApplyOrder":[{}],"TotalCount":1}}`, `{"RequestId":"1","ApplyOrders":{"ApplyOrder":[{"FlowId":"1"}],"TotalCount":1}}`,
			`{"RequestId":"1","ApplyOrders":{"ApplyOrder":[{"FlowId":"1","FlowStatus":1}],"TotalCount":2,"PageNumber":1}}`,
		},
		"ListMyApplications": {
			`{"RequestId":"1"}`, `{"RequestId":"1","Data":[]}`, `{"RequestId":"1","Data":{"Data":[]}}`, `{"RequestId":"1","Data":{"Data":[],"HasMore":true}}`,
			`{"RequestId":"1","Data":{"Data":[],"HasMore":true,"NextToken":"same"}}`, `{"RequestId":"1","Data":{"Data":[{}],"HasMore":false}}`,
			`{"RequestId":"1","Data":{"Data":[{"ProcessInstanceId":"1"}],"HasMore":false}}`, `{"RequestId":"1","Data":{"Data":"","HasMore":false}}`,
		},
		"RevokeTablePermission": {`{"RequestId":"1"}`, `{"RequestId":"1","RevokeSuccess":false}`, `{"RequestId":"1","RevokeSuccess":"true"}`},
	}
	for action, call := range calls {
		for _, text := range append(tests["*"], tests[action]...) {
			r := &recorder{answer: text}
			c := newClient(t, call.version, r)
			if err := call.do(t.Context(), c, "7"); cloud.CodeOf(err) != cloud.UnexpectedResponse || cloud.Refused(err) {
				t.Errorf("%s: %s: got %v of class %q", action, text, err, cloud.CodeOf(err))
			}
			if len(r.requests) > 2 { // the second page is where a list may turn out to go in circles
				t.Errorf("%s: %s: %d calls were made", action, text, len(r.requests))
			}
		}
	}
}

// TestStatesThatNobodyKnows: what is not documented, or contradicts itself, is never taken for granted.
func TestStatesThatNobodyKnows(t *testing.T) {
	for _, status := range []int{-1, 0, 6, 22} {
		c := newClient(t, dataworks.Version2020, answer(fmt.Sprintf(`{"RequestId":"1","ApplyOrderDetail":{"FlowId":"7","FlowStatus":%d,`+
			`"ApproveContent":{"ProjectMeta":{"ObjectMetaList":[{"ObjectName":"t","Actions":["Select"]}]}}}}`, status)))
		order, err := c.Get(t.Context(), "7")
		if err != nil || order.State != dataworks.Unknown || order.Objects[0].Granted != nil {
			t.Errorf("%d: got %+v, %v", status, order, err)
		}
	}
	tests := []struct {
		order    string
		contents []string
		want     dataworks.State
		granted  int
	}{
		{"Done", []string{"AuthorizeSucceed"}, dataworks.Unknown, 0},
		{"AuthorizeSucceeded", []string{""}, dataworks.Unknown, 0},
		{"WaitApproval", []string{"AuthorizeSucceed"}, dataworks.Pending, 0},
		{"AuthorizeSucceed", []string{"", "AUTHORIZE_SUCCEED"}, dataworks.Granted, 2},
		{"AUTHORIZE_SUCCEED", []string{"AuthorizeSucceed", "Confirmed"}, dataworks.Approved, 1},
		{"AuthorizeSucceed", []string{"AuthorizeSucceed", "Huh"}, dataworks.Unknown, 1},
		{"AuthorizeSucceed", []string{"AuthorizeFailed", "Huh", "AuthorizeSucceed"}, dataworks.GrantFailed, 1},
		{"AuthorizeFailed", []string{"AuthorizeFailed", "AuthorizeSucceed"}, dataworks.GrantFailed, 1},
		{"AuthorizeFailed", []string{""}, dataworks.GrantFailed, 0},
	}
	for _, tc := range tests {
		contents := []map[string]any{}
		for i, status := range tc.contents {
			content := map[string]any{
				"AccessTypes": []string{"select"}, "Grantee": map[string]string{"PrincipalId": "1"},
				"Resource": map[string]any{"MetaData": map[string]any{"project": "p", "table": fmt.Sprint("t", i), "threeTierModel": false}},
			}
			if status != "" {
				content["Status"] = status
			}
			contents = append(contents, content)
		}
		raw, err := json.Marshal(map[string]any{"RequestId": "1", "Data": map[string]any{"ProcessInstanceId": "7", "Status": tc.order, "Contents": contents}})
		must(t, err)
		order, err := newClient(t, dataworks.Version2024, answer(string(raw))).Get(t.Context(), "7")
		must(t, err)
		granted := 0
		for _, o := range order.Objects {
			granted += len(o.Granted)
		}
		if order.State != tc.want || granted != tc.granted {
			t.Errorf("%s of %v: got %s with %d granted, want %s with %d", tc.order, tc.contents, order.State, granted, tc.want, tc.granted)
		}
	}
}

func TestWithoutAnAnswer(t *testing.T) {
	for action, call := range calls {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		c := newClient(t, call.version, http.NotFoundHandler())
		if err := call.do(ctx, c, "7"); cloud.CodeOf(err) != cloud.RemoteUnavailable || cloud.Refused(err) {
			t.Errorf("%s: got %v", action, err)
		}
		c = newClient(t, call.version, answer("{}"), func(config *dataworks.Config) { config.Credential = nil })
		if err := call.do(t.Context(), c, "7"); cloud.CodeOf(err) != cloud.AuthenticationFailed {
			t.Errorf("%s without keys: got %v", action, err)
		}
	}
	for version, make := range versions {
		if _, err := make(dataworks.Config{Endpoint: "nowhere"}); err == nil {
			t.Errorf("%s: an endpoint that is no URL is taken", version)
		}
		if got := newClient(t, version, answer("{}")).Version(); got != version {
			t.Errorf("version is %s, want %s", got, version)
		}
	}
}

// TestIsPermanentOnly: a refusal is about the end of a request only if it cannot well be about anything else.
func TestIsPermanentOnly(t *testing.T) {
	refused := func(code, message string) error {
		return &cloud.Error{Code: cloud.RemoteRejected, RemoteCode: code, Message: message}
	}
	tests := map[string]struct {
		err  error
		want bool
	}{
		"only permanent ones":          {refused("InvalidParameter.Deadline", "LabelSecurity is disabled: only permanent permissions can be requested."), true},
		"labels and a deadline":        {refused("InvalidParameter", "A deadline needs label security."), true},
		"a deadline too late":          {refused("InvalidParameter", "The deadline is more than a year ahead."), false},
		"a deadline in the past":       {refused("InvalidParameter", "deadline cannot be in the past"), false},
		"a column that speaks of ends": {refused("InvalidParameter", "The table has no column expires_at."), false},
		"a server error":               {&cloud.Error{Code: cloud.RemoteUnavailable, Message: "only permanent"}, false},
		"no error":                     {nil, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := dataworks.IsPermanentOnly(tc.err); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
