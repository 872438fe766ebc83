package maxcompute_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
)

// result is an answer whose result is a text.
func result(text string) string {
	return "<Authorization><Result>" + escape(text) + "</Result></Authorization>"
}

// done is the answer to a poll of a statement that has ended with a text.
func done(text string) string {
	return "<AuthorizationQuery><Result>" + escape(text) + "</Result><Status>Terminated</Status></AuthorizationQuery>"
}

// statements are all that this client runs and that return nothing.
var statements = map[string]func(context.Context, *maxcompute.Client) error{
	"GRANT":  func(ctx context.Context, c *maxcompute.Client) error { return c.Grant(ctx, "p", "r", selectOn("t")) },
	"REVOKE": func(ctx context.Context, c *maxcompute.Client) error { return c.Revoke(ctx, "p", "r", selectOn("t")) },
	"REVOKE FROM USER": func(ctx context.Context, c *maxcompute.Client) error {
		return c.RevokeFromUser(ctx, "p", "", "t", []string{"Select"}, alice)
	},
	"ADD TO PACKAGE": func(ctx context.Context, c *maxcompute.Client) error {
		return c.AddToPackage(ctx, "p", "k", inSchema("ods"))
	},
	"REMOVE FROM PACKAGE": func(ctx context.Context, c *maxcompute.Client) error {
		return c.RemoveFromPackage(ctx, "p", "k", inSchema("ods"))
	},
	"ALLOW PROJECT": func(ctx context.Context, c *maxcompute.Client) error {
		return c.AllowProject(ctx, "p", "k", maxcompute.AnyProject, 0)
	},
	"DISALLOW PROJECT": func(ctx context.Context, c *maxcompute.Client) error {
		return c.DisallowProject(ctx, "p", "k", maxcompute.AnyProject)
	},
	"DROP PACKAGE":      func(ctx context.Context, c *maxcompute.Client) error { return c.DropPackage(ctx, "p", "k") },
	"INSTALL PACKAGE":   func(ctx context.Context, c *maxcompute.Client) error { return c.InstallPackage(ctx, "p", "q", "k") },
	"UNINSTALL PACKAGE": func(ctx context.Context, c *maxcompute.Client) error { return c.UninstallPackage(ctx, "p", "q", "k") },
}

func inSchema(schema string) acl.Set {
	return acl.NewSet(acl.Grant{Kind: acl.Table, Schema: schema, Name: "t", Actions: []string{"Select"}})
}

// results are what a statement may end with; an empty class is success.
var results = map[string]struct {
	text  string
	class cloud.Code
}{
	"nothing":                      {"", ""},
	"white space":                  {" \n", ""},
	"OK":                           {"OK", ""},
	"OK, spelt otherwise":          {" ok;\n", ""},
	"OK with a full stop":          {"Ok.", ""},
	"success":                      {"Success", ""},
	"OK in JSON":                   {`"OK"`, ""},
	"nothing in JSON":              {`""`, ""},
	"null":                         {`null`, ""},
	"an empty object":              {`{}`, ""},
	"an empty list":                {`[]`, ""},
	"OK in an object":              {`{"result":"OK"}`, ""},
	"OK in another, with its id":   {`{"requestId":"1","data":"success"}`, ""},
	"OK in two layers":             {`"{\"Response\":\"\"}"`, ""},
	"words of a refusal":           {"Access Denied - Authorization Failed [4019], You have NO privilege 'odps:Revoke'", cloud.UnexpectedResponse},
	"an exception":                 {"Exception: java.lang.NullPointerException", cloud.UnexpectedResponse},
	"an error in JSON":             {`{"error":"no permission"}`, cloud.UnexpectedResponse},
	"an error in a list":           {`["no permission"]`, cloud.UnexpectedResponse},
	"a refusal in another tongue":  {"没有权限", cloud.UnexpectedResponse},
	"OK with more behind it":       {"OK: but nothing was done", cloud.UnexpectedResponse},
	"OK in another sentence":       {"not OK", cloud.UnexpectedResponse},
	"OK beside an error":           {`{"result":"OK","error":"no permission"}`, cloud.UnexpectedResponse},
	"OK twice, differing":          {`{"result":"OK","Response":"no permission"}`, cloud.UnexpectedResponse},
	"a code that sounds well":      {`{"Code":"OK"}`, cloud.UnexpectedResponse},
	"a boolean":                    {`true`, cloud.UnexpectedResponse},
	"a full stop":                  {".", cloud.UnexpectedResponse},
	"letters of another alphabet":  {"O\u212a", cloud.UnexpectedResponse},
	"a page":                       {"<html><body>502 Bad Gateway</body></html>", cloud.UnexpectedResponse},
	"a code that is known":         {"ODPS-0420095: Access Denied - [4019]", cloud.PermissionDenied},
	"a known code in JSON":         {`{"Code":"ODPS-0130013","Message":"no privilege"}`, cloud.PermissionDenied},
	"a known code, in two layers":  {`{"error":{"code":"NoSuchProject","message":"no such project"}}`, cloud.ProjectNotFound},
	"a known code in a JSON text":  {`"FAILED: ODPS-0420061: Invalid parameter"`, cloud.RemoteRejected},
	"throttled":                    {"Throttling.User: too fast", cloud.RemoteUnavailable},
	"an object of another kind":    {`{"instance":"42"}`, cloud.UnexpectedResponse},
	"more layers than anybody has": {`{"data":{"data":{"data":{"data":{"data":"OK"}}}}}`, cloud.UnexpectedResponse},
}

func TestOnlyKnownResultsAreSuccess(t *testing.T) {
	for verb, run := range statements {
		for name, tc := range results {
			for way, answers := range map[string]script{
				"at once": {{status: 200, body: result(tc.text)}},
				"later":   {{status: 201, body: result("id-1")}, {status: 200, body: done(tc.text)}},
			} {
				t.Run(verb+", "+name+", "+way, func(t *testing.T) {
					err := run(t.Context(), newLocalClient(t, &answers))
					if got := cloud.CodeOf(err); got != tc.class || (err == nil) != (tc.class == "") {
						t.Errorf("got %v (%s), want %q", err, got, tc.class)
					}
				})
			}
		}
	}
}

func TestAnUnknownResultIsQuoted(t *testing.T) {
	long := "Access Denied for " + token + ": " + strings.Repeat("no ", 1000)
	answers := &script{{status: 200, body: result(long)}}
	err := newLocalClient(t, answers, func(config *maxcompute.Config) { config.Credential = temporary }).Grant(t.Context(), "p", "r", selectOn("t"))
	if err == nil || !strings.Contains(err.Error(), "Access Denied for …") || len(err.Error()) > 1000 || strings.Contains(err.Error(), token) {
		t.Errorf("got %v", err)
	}
}

func TestAnAnswerWithoutAResult(t *testing.T) {
	tests := map[string]struct {
		body string
		ok   bool
	}{
		"nothing at all":        {`<Authorization/>`, true},
		"an empty result":       {`<Authorization><Result/></Authorization>`, true},
		"an id beside it":       {`<Authorization><Result></Result><RequestId>1</RequestId></Authorization>`, true},
		"an error in its place": {`<Authorization><Error><Code>NoPermission</Code></Error></Authorization>`, false},
		"words in its place":    {`<Authorization>no permission</Authorization>`, false},
		"an error inside of it": {`<Authorization><Result><Error>no permission</Error></Result></Authorization>`, false},
		"two results":           {`<Authorization><Result/><Result>no permission</Result></Authorization>`, false},
		"an error":              {`<Error><Code>NoPermission</Code><Message>no</Message></Error>`, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := newLocalClient(t, &script{{status: 200, body: tc.body}}).RevokeFromUser(t.Context(), "p", "", "t", []string{"Select"}, alice)
			if (err == nil) != tc.ok || !tc.ok && cloud.CodeOf(err) != cloud.UnexpectedResponse {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAStateThatNobodyKnowsIsNoSuccess(t *testing.T) {
	for _, state := range []string{"", "Waiting", "Cancelled", "Success", "TERMINATED_WITH_ERRORS"} {
		t.Run(state, func(t *testing.T) {
			poll := fmt.Sprintf("<AuthorizationQuery><Result/><Status>%s</Status></AuthorizationQuery>", state)
			answers := &script{{status: 201, body: result("id-1")}, {status: 200, body: poll}}
			err := newLocalClient(t, answers).DropPackage(t.Context(), "p", "k")
			if cloud.CodeOf(err) != cloud.UnexpectedResponse || cloud.Refused(err) || !strings.Contains(err.Error(), state) {
				t.Errorf("got %v, want an unknown outcome", err)
			}
		})
	}
}

// knownText is what a success looks like once all JSON around it is gone.
var knownText = regexp.MustCompile(`(?i)\A\s*((ok|success)\s*[.;]?)?\s*\z`)

// isKnown reports whether a result is on the list, by other means than the client.
func isKnown(text string) bool {
	if text = strings.TrimSpace(text); knownText.MatchString(text) {
		return isASCII(text)
	}
	var value any
	return json.Unmarshal([]byte(text), &value) == nil && isKnownValue(value)
}

func isKnownValue(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case string:
		return isKnown(value)
	case []any:
		return len(value) == 0
	case map[string]any:
		holders := 0
		for name, inner := range value {
			switch strings.ToLower(name) {
			case "requestid":
			case "result", "response", "data":
				if holders++; !isKnownValue(inner) {
					return false
				}
			default:
				return false
			}
		}
		return len(value) == 0 || holders == 1
	}
	return false
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 })
}

func FuzzNoOtherResultIsSuccess(f *testing.F) {
	for _, tc := range results {
		f.Add(tc.text)
	}
	for _, text := range hostile {
		f.Add(text)
		f.Add(jsonOf(map[string]any{"result": text}))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !isXML(text) {
			t.Skip("no answer can hold it")
		}
		for name, answers := range map[string]script{
			"at once": {{status: 200, body: result(text)}},
			"later":   {{status: 201, body: result("id-1")}, {status: 200, body: done(text)}},
		} {
			err := newLocalClient(t, &answers).RevokeFromUser(t.Context(), "p", "", "t", []string{"Select"}, alice)
			if err == nil && !isKnown(text) {
				t.Errorf("%s, %q is a success", name, text)
			}
		}
	})
}

// isXML reports whether a text survives its way in an XML document.
func isXML(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool {
		return r == '\uFFFD' || r < ' ' && r != '\t' && r != '\n' || r == '\uFFFE' || r == '\uFFFF'
	})
}
