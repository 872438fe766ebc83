package maxcompute_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// allowSelect is a policy.
var allowSelect = policy(`{"Version":1,"Statement":{"Effect":"allow","Action":["odps:Select"],"Resource":"acs:odps:*:projects/p/tables/*"}}`)

func policy(text string) acl.Document {
	document, err := acl.ParseDocument([]byte(text))
	if err != nil {
		panic(err)
	}
	return document
}

func TestThePolicyOfARole(t *testing.T) {
	server := newCloud(t)
	c := newClient(t, serve(t, server))
	look := func(want acl.Document) {
		t.Helper()
		got, err := c.GetRolePolicy(t.Context(), project, "Reader")
		must(t, err)
		if !got.Equal(want) {
			t.Errorf("the policy is %s, want %s", got, want)
		}
	}
	must(t, c.CreateRole(t.Context(), project, "reader", maxcompute.TypeResource, acl.NewSet(selectOn("orders"))))
	look(acl.Document{})
	for range 2 {
		must(t, c.PutRolePolicy(t.Context(), project, "reader", allowSelect))
		look(allowSelect)
	}
	server.SetPolicyEcho(fakecloud.PolicyCanonical)
	look(allowSelect)
	must(t, c.PutRolePolicy(t.Context(), project, "reader", acl.Document{}))
	look(acl.Document{})
	if diff := cmp.Diff([]string{"table default.orders: select"}, granted(server, "reader")); diff != "" {
		t.Errorf("the role's grants (-want +got):\n%s", diff)
	}

	_, err := c.GetRolePolicy(t.Context(), project, "nobody")
	if !cloud.IsNotFound(err) {
		t.Errorf("the policy of a role that is not there: %v, want NotFound", err)
	}
	if err := c.PutRolePolicy(t.Context(), project, "nobody", allowSelect); !cloud.IsNotFound(err) {
		t.Errorf("a policy for a role that is not there: %v, want NotFound", err)
	}
}

func TestAPolicyIsReadOrNot(t *testing.T) {
	const op = "get the policy of role r in project p: "
	const noData = op + "the answer holds no data that could be understood"
	tests := map[string]struct {
		answer string
		want   acl.Document
		text   string
	}{
		"a document":                 {answer: `{"data":` + jsonOf(allowSelect.String()) + `}`, want: allowSelect},
		"a document over many lines": {answer: `{"data":"\n{\n \"Version\": \"1\",\r\n\"Statement\":[{\"Action\":\"ODPS:SELECT\",\"Effect\":\"Allow\",\"Resource\":[\"acs:odps:*:projects/p/tables/*\"]}]}\n"}`, want: allowSelect},
		"no text":                    {answer: `{"data":""}`},
		"a document of nothing":      {answer: `{"data":"{\"Version\":\"1\",\"Statement\":[]}"}`},
		"success with a code":        {answer: `{"httpCode":200,"errorCode":"040002","data":" "}`},
		"null":                       {answer: `{"data":null}`, text: noData},
		"no data":                    {answer: `{"requestId":"1"}`, text: noData},
		"no data, with success":      {answer: `{"requestId":"1","httpCode":200}`, text: noData},
		"a document that is no text": {answer: `{"data":{"Version":"1","Statement":[]}}`, text: noData},
		"an object":                  {answer: `{"data":{}}`, text: noData},
		"a list":                     {answer: `{"data":[]}`, text: noData},
		"a text that is no JSON":     {answer: `{"data":"success"}`, text: op + "the policy is not valid JSON: invalid character 's' looking for beginning of value"},
		"a text of two documents":    {answer: `{"data":"{}{}"}`, text: op + "the policy is not valid JSON: invalid character '{' after top-level value"},
		"a document cut off":         {answer: `{"data":"{\"Statement\":["}`, text: op + "the policy is not valid JSON: unexpected end of JSON input"},
		"a document with two readings": {
			answer: `{"data":"{\"Statement\":[],\"Statement\":[]}"}`, text: op + `the policy cannot be read: the member "Statement" occurs twice in one object`,
		},
		"a statement that is none": {answer: `{"data":"{\"Statement\":[1]}"}`, text: op + "statement 1 of the policy is not a JSON object"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := newLocalClient(t, &script{{status: http.StatusOK, body: tc.answer}}).GetRolePolicy(t.Context(), "p", "r")
			if !got.Equal(tc.want) {
				t.Errorf("the policy is %s, want %s", got, tc.want)
			}
			if tc.text == "" {
				must(t, err)
				return
			}
			if err == nil || err.Error() != tc.text || cloud.CodeOf(err) != cloud.UnexpectedResponse {
				t.Errorf("got  %q %v\nwant %s", cloud.CodeOf(err), err, tc.text)
			}
		})
	}
}

func TestAPolicyThatIsRefused(t *testing.T) {
	body := jsonOf(map[string]any{"code": "InvalidParameter", "message": "failed to check policy format: invalid Action value - odps:Fly"})
	err := newLocalClient(t, &script{{status: http.StatusBadRequest, body: body}}).PutRolePolicy(t.Context(), "p", "r", allowSelect)
	if cloud.CodeOf(err) != cloud.RemoteRejected || !cloud.Refused(err) || !strings.HasSuffix(err.Error(), "invalid Action value - odps:Fly") {
		t.Errorf("got %q %v", cloud.CodeOf(err), err)
	}
}
