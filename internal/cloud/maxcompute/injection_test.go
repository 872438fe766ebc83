package maxcompute_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
)

// hostile are names that somebody may try.
var hostile = []string{
	"t", "*", "ods_*", "", " ", "t; DROP ROLE x", "t;", "t'", `t"`, "`t`", "t\n", "t\nDROP ROLE x", "t -- x", "a--b", "t/*x*/", "t\\", "%", "%2e%2e", "..", ".", "../x", "a/b", "a%2Fb",
	"?x=y", "p?policy", "#", "p#", "a b", "a,b", "a\tb", "a\x00b", "\u200bt", "t\u2028", "\uff54", "\u0442", "t\u0301", "\ud7ff", "\xff", "<Query>", "]]>", "&amp;", "t TO ROLE admin", "ROLE", "udf-1.0.jar",
	strings.Repeat("x", 5000),
}

func FuzzAStatementHoldsExactlyWhatWasAsked(f *testing.F) {
	for i, name := range hostile {
		f.Add(uint8(i), "", name, "r", "Read", "p")
		f.Add(uint8(i), name, "t", "r", "Read", "p")
		f.Add(uint8(i), "ods", "t", name, "Read", "p")
		f.Add(uint8(i), "ods", "t", "r", name, "p")
		f.Add(uint8(i), "ods", "t", "r", "Read", name)
	}
	f.Fuzz(func(t *testing.T, kind uint8, schema, name, role, action, project string) {
		grant := acl.Grant{Kind: acl.Kinds[int(kind)%len(acl.Kinds)], Schema: schema, Name: name, Actions: []string{action, "Read"}}
		asked := asked{schema: schema, project: project}
		for verb, target := range map[string]string{"GRANT": "TO", "REVOKE": "FROM"} {
			asked.tokens = []string{verb, action, ",", "Read", "ON", strings.ToUpper(string(grant.Kind)), name, target, "ROLE", role, ";"}
			wire := &recorder{}
			c := newLocalClient(t, wire)
			change := c.Grant
			if verb == "REVOKE" {
				change = c.Revoke
			}
			asked.check(t, wire, change(t.Context(), project, role, grant))
		}
		if err := maxcompute.Validate(acl.NewSet(grant)); err != nil && cloud.CodeOf(err) != cloud.InvalidSpec {
			t.Errorf("Validate: %v", err)
		}
	})
}

// asked is what a statement must say, token by token.
type asked struct {
	tokens          []string
	schema, project string
}

// check accepts a refusal that sent nothing, or one request that says what was asked and nothing else.
func (a asked) check(t *testing.T, wire *recorder, err error) {
	t.Helper()
	if err != nil {
		if cloud.CodeOf(err) != cloud.InvalidSpec || len(wire.requests) != 0 {
			t.Errorf("%v after %d requests", err, len(wire.requests))
		}
		return
	}
	if len(wire.requests) != 1 || wire.requests[0].Line != "POST /api/projects/"+a.project+"/authorization" || !isWord(a.project) {
		t.Fatalf("sent %v", wire.requests)
	}
	var body struct {
		XMLName  xml.Name `xml:"Authorization"`
		Query    []string `xml:"Query"`
		Settings []string `xml:"Settings"`
	}
	decoder := xml.NewDecoder(strings.NewReader(wire.requests[0].Body))
	must(t, decoder.Decode(&body))
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) || len(body.Query) != 1 {
		t.Fatalf("the body is more than one statement: %s", wire.requests[0].Body)
	}
	if diff := cmp.Diff(a.tokens, tokens(body.Query[0])); diff != "" {
		t.Errorf("%s (-want +got):\n%s", body.Query[0], diff)
	}
	if got := schemaOf(t, body.Settings); !strings.EqualFold(got, orDefault(a.schema)) {
		t.Errorf("schema %q, want %q", got, a.schema)
	}
}

func orDefault(schema string) string {
	if schema == "" {
		return "default"
	}
	return schema
}

// schemaOf reads the schema from the settings of a statement, which has none for the default schema.
func schemaOf(t *testing.T, texts []string) string {
	t.Helper()
	if len(texts) == 0 {
		return "default"
	}
	var settings map[string]string
	must(t, json.Unmarshal([]byte(texts[0]), &settings))
	if len(settings) != 3 || len(texts) != 1 {
		t.Errorf("settings %q", texts)
	}
	return settings["odps.default.schema"]
}

func isWord(text string) bool {
	return slices.Equal(tokens(text), []string{text}) && !strings.ContainsAny(text, "*.-")
}

// tokens takes a statement apart: words, commas and semicolons. Whatever else is in it becomes a token that is none, as do the
// signs that begin a comment.
func tokens(text string) []string {
	var out []string
	for text != "" {
		n := strings.IndexFunc(text, func(r rune) bool { return !strings.ContainsRune(wordRunes, r) })
		switch {
		case n == 0 && text[0] == ' ':
			text = text[1:]
			continue
		case n == 0 && (text[0] == ',' || text[0] == ';'):
			n = 1
		case n == 0:
			return append(out, "not a token: "+text)
		case n < 0:
			n = len(text)
		}
		if strings.Contains(text[:n], "--") {
			return append(out, "comment: "+text)
		}
		out, text = append(out, text[:n]), text[n:]
	}
	return out
}

const wordRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_*.-"

func FuzzAPathHoldsExactlyWhatWasAsked(f *testing.F) {
	for _, name := range hostile {
		f.Add(name, "r")
		f.Add("p", name)
	}
	f.Fuzz(func(t *testing.T, project, role string) {
		root := "/api/v1/projects/" + project + "/roles"
		member := root + "/" + role
		calls := []struct {
			line  string
			names []string
			call  func(context.Context, *maxcompute.Client) error
		}{
			{"GET " + root, []string{project}, func(ctx context.Context, c *maxcompute.Client) error {
				_, err := c.ListRoles(ctx, project)
				return err
			}},
			{"POST " + root, []string{project}, func(ctx context.Context, c *maxcompute.Client) error {
				return c.CreateRole(ctx, project, "r", maxcompute.TypeResource, acl.Set{})
			}},
			{"GET " + member + "/roleAcl", []string{project, role}, func(ctx context.Context, c *maxcompute.Client) error {
				_, err := c.GetRoleACL(ctx, project, role)
				return err
			}},
			{"GET " + member + "/policy", []string{project, role}, func(ctx context.Context, c *maxcompute.Client) error {
				_, err := c.GetRolePolicy(ctx, project, role)
				return err
			}},
			{"PUT " + member, []string{project, role}, func(ctx context.Context, c *maxcompute.Client) error {
				return c.PutRolePolicy(ctx, project, role, acl.Document{})
			}},
			{"DELETE " + member, []string{project, role}, func(ctx context.Context, c *maxcompute.Client) error {
				return c.DeleteRole(ctx, project, role)
			}},
			{"GET " + member + "/users", []string{project, role}, func(ctx context.Context, c *maxcompute.Client) error {
				_, err := c.ListUsersByRole(ctx, project, role)
				return err
			}},
			{"PUT " + member + "/users", []string{project, role}, func(ctx context.Context, c *maxcompute.Client) error {
				return c.UpdateUsersToRole(ctx, project, role, []string{"RAM$corp:bob"}, nil)
			}},
		}
		for _, tc := range calls {
			wire := &recorder{data: `{"roles":[],"users":[],"table":[]}`}
			if strings.HasSuffix(tc.line, "/policy") {
				wire.data = `""`
			}
			err := tc.call(t.Context(), newLocalClient(t, wire))
			switch {
			case err != nil && (cloud.CodeOf(err) != cloud.InvalidSpec || len(wire.requests) != 0):
				t.Errorf("%v after %d requests", err, len(wire.requests))
			case err == nil && (len(wire.requests) != 1 || wire.requests[0].Line != tc.line || slices.ContainsFunc(tc.names, func(name string) bool { return !isWord(name) })):
				t.Errorf("sent %v, want %s", wire.requests, tc.line)
			}
		}
	})
}

func TestNoStatementIsSentWithoutActions(t *testing.T) {
	wire := &recorder{}
	err := newLocalClient(t, wire).Grant(t.Context(), "p", "r", acl.Grant{Kind: acl.Table, Name: "t"})
	if cloud.CodeOf(err) != cloud.InvalidSpec || len(wire.requests) != 0 {
		t.Errorf("got %v after %d requests", err, len(wire.requests))
	}
}

func TestValidateSaysWhichEntryCannotBeGranted(t *testing.T) {
	tests := map[string]struct {
		grant acl.Grant
		// want is empty for what can be granted.
		want string
	}{
		"a table":                  {grant: acl.Grant{Kind: acl.Table, Name: "t", Actions: []string{"Select"}}},
		"all tables":               {grant: acl.Grant{Kind: acl.Table, Name: "*", Actions: []string{"all"}}},
		"tables by prefix":         {grant: acl.Grant{Kind: acl.Table, Name: "ods_*", Actions: []string{"Select"}}},
		"a package of a project":   {grant: acl.Grant{Kind: acl.Package, Name: "other.shared", Actions: []string{"Read"}}},
		"a resource with a suffix": {grant: acl.Grant{Kind: acl.Resource, Name: "udf-1.0.jar", Actions: []string{"Read"}}},
		"an action of another kind": {
			acl.Grant{Kind: acl.Package, Name: "p", Actions: []string{"Select"}}, "check names: select is no action on a Package (p)",
		},
		"a name with a quote": {
			acl.Grant{Kind: acl.Table, Name: "t'", Actions: []string{"Select"}}, `check names: "t'" cannot be the name of a Table`,
		},
		"a name with a comment": {
			acl.Grant{Kind: acl.Resource, Name: "a--b", Actions: []string{"Read"}}, `check names: "a--b" cannot be the name of a Resource`,
		},
		"a schema with a dot": {
			acl.Grant{Kind: acl.Table, Schema: "a.b", Name: "t", Actions: []string{"Select"}}, `check names: "a.b" cannot be the name of a schema`,
		},
		"an action with a space": {
			acl.Grant{Kind: acl.Table, Name: "t", Actions: []string{"Drop Table"}}, `check names: "drop table" cannot be an action`,
		},
		"a kind that does not exist": {
			acl.Grant{Kind: "Moon", Name: "t", Actions: []string{"Read"}}, `check names: "t" cannot be the name of a Moon`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := maxcompute.Validate(acl.NewSet(tc.grant))
			if tc.want == "" {
				must(t, err)
				return
			}
			if diff := cmp.Diff(seen{Code: cloud.InvalidSpec, Text: tc.want}, look(err)); diff != "" {
				t.Errorf("the error (-want +got):\n%s", diff)
			}
		})
	}
}
