package maxcompute_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// consumer is the project that installs what the other one shares.
const consumer = "mart"

// newShare makes a fake cloud with a second project.
func newShare(t testing.TB) *fakecloud.Server {
	t.Helper()
	server := newCloud(t)
	server.AddProject(fakecloud.Project{Name: consumer})
	return server
}

// spelt hands requests on with the names of their headers as they come over a wire.
func spelt(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := http.Header{}
		for name, values := range r.Header {
			header[http.CanonicalHeaderKey(name)] = values
		}
		r.Header = header
		handler.ServeHTTP(w, r)
	})
}

// shareable is a set with an entry of each kind that a package can hold.
func shareable() acl.Set {
	return acl.NewSet(
		acl.Grant{Kind: acl.Table, Name: "orders", Actions: []string{"Describe", "Select"}},
		acl.Grant{Kind: acl.Resource, Name: "udf-1.0.jar", Actions: []string{"Read"}},
		acl.Grant{Kind: acl.Function, Name: "to_cents", Actions: []string{"Execute", "Read"}},
	)
}

// elsewhere is a set with an entry of each kind outside the default schema.
func elsewhere() acl.Set {
	return acl.NewSet(
		acl.Grant{Kind: acl.Table, Schema: "ods", Name: "orders", Actions: []string{"Select"}},
		acl.Grant{Kind: acl.Resource, Schema: "ods", Name: "udf-1.0.jar", Actions: []string{"Read"}},
		acl.Grant{Kind: acl.Function, Schema: "ods", Name: "to_cents", Actions: []string{"Execute"}},
	)
}

// packed lists what the fake holds in a package, as "kind schema.name: action action".
func packed(server *fakecloud.Server, name string) []string {
	out := []string{}
	for _, g := range server.PackageGrants(project, name) {
		out = append(out, fmt.Sprintf("%s %s.%s: %s", g.Kind, g.SchemaName, g.Name, strings.Join(g.Actions, " ")))
	}
	return out
}

func TestPackagesWorkUnderEverySignature(t *testing.T) {
	for name, change := range map[string]func(*maxcompute.Config){
		"statements signed for a region":     func(*maxcompute.Config) {},
		"statements signed without a region": func(c *maxcompute.Config) { c.Region = "" },
	} {
		t.Run(name, func(t *testing.T) {
			server := newShare(t)
			lifeOfAPackage(t, server, newClient(t, serve(t, server), change))
		})
	}
}

// lifeOfAPackage makes every call about packages and looks at the world after each.
func lifeOfAPackage(t *testing.T, server *fakecloud.Server, c *maxcompute.Client) {
	t.Helper()
	ctx := t.Context()
	must(t, c.CreatePackage(ctx, project, "Shared", shareable()))
	must(t, c.AddToPackage(ctx, project, "shared", elsewhere()))
	must(t, c.AddToPackage(ctx, project, "shared", acl.NewSet(selectOn("items"))))
	want := []string{
		"table default.items: select", "table default.orders: describe select", "table ods.orders: select", "resource default.udf-1.0.jar: read",
		"resource ods.udf-1.0.jar: read", "function default.to_cents: execute read", "function ods.to_cents: execute",
	}
	if diff := cmp.Diff(want, packed(server, "shared")); diff != "" {
		t.Errorf("in the package (-want +got):\n%s", diff)
	}
	must(t, c.AllowProject(ctx, project, "shared", consumer, 2))
	must(t, c.AllowProject(ctx, project, "shared", maxcompute.AnyProject, 0))
	got, err := c.GetPackage(ctx, project, "shared")
	must(t, err)
	if all := shareable().Union(elsewhere()).Union(acl.NewSet(selectOn("items"))); !got.Resources.Equal(all) {
		t.Errorf("GetPackage holds %v", got.Resources.Grants())
	}
	if diff := cmp.Diff([]maxcompute.AllowedProject{{Project: "*"}, {Project: consumer, Label: 2}}, got.Allowed); diff != "" {
		t.Errorf("GetPackage is shared (-want +got):\n%s", diff)
	}
	must(t, c.DisallowProject(ctx, project, "shared", maxcompute.AnyProject))

	must(t, c.InstallPackage(ctx, consumer, project, "shared"))
	there, err := c.GetInstalledPackage(ctx, consumer, project, "shared")
	must(t, err)
	if !there.Resources.Equal(got.Resources) {
		t.Errorf("GetInstalledPackage holds %v", there.Resources.Grants())
	}
	must(t, c.RemoveFromPackage(ctx, project, "shared", shareable().Union(elsewhere())))
	if diff := cmp.Diff([]string{"table default.items: select"}, packed(server, "shared")); diff != "" {
		t.Errorf("left in the package (-want +got):\n%s", diff)
	}
	must(t, c.DisallowProject(ctx, project, "shared", consumer))
	if left := server.PackageAllowed(project, "shared"); len(left) != 0 {
		t.Errorf("still shared with %v", left)
	}
	packages, err := c.ListPackages(ctx, consumer)
	must(t, err)
	if len(packages.Created) != 0 || len(packages.Installed) != 1 || packages.Installed[0].Status != fakecloud.StatusSourceNotAllowed || packages.Installed[0].InstallTime.IsZero() {
		t.Errorf("ListPackages = %v", packages)
	}
	must(t, c.UninstallPackage(ctx, consumer, project, "shared"))
	must(t, c.DropPackage(ctx, project, "shared"))
	if len(server.Installed(consumer)) != 0 || server.PackageExists(project, "shared") {
		t.Error("something is left")
	}
	for what, err := range map[string]error{
		"drop": c.DropPackage(ctx, project, "shared"), "uninstall": c.UninstallPackage(ctx, consumer, project, "shared"), "get": errorOf(c.GetPackage(ctx, project, "shared")),
		"get installed": errorOf(c.GetInstalledPackage(ctx, consumer, project, "shared")), "share": c.AllowProject(ctx, project, "shared", consumer, 0),
	} {
		if !cloud.IsNotFound(err) {
			t.Errorf("%s what is gone: %v, want NotFound", what, err)
		}
	}
}

func errorOf[T any](_ T, err error) error { return err }

func TestPackageRequestsOnTheWire(t *testing.T) {
	const jsonType, xmlType = "application/json; charset=utf-8", "application/xml"
	const ods = "{&#34;odps.default.schema&#34;:&#34;ods&#34;,&#34;odps.namespace.schema&#34;:&#34;true&#34;,&#34;odps.sql.allow.namespace.schema&#34;:&#34;true&#34;}"
	type client = maxcompute.Client
	statement := func(project, query, settings string) []recorded {
		if settings != "" {
			settings = "<Settings>" + settings + "</Settings>"
		}
		return []recorded{{
			Line: "POST /api/projects/" + project + "/authorization", Type: xmlType,
			Body: "<Authorization><Query>" + query + "</Query><ResponseInJsonFormat>true</ResponseInJsonFormat>" + settings + "</Authorization>",
		}}
	}
	update := func(body string) []recorded {
		return []recorded{{Line: "PUT /api/v1/projects/p/packages/k", Action: "UpdatePackage", Type: jsonType, Body: body}}
	}
	create := func(body string) []recorded {
		return []recorded{{Line: "POST /api/v1/projects/p/packages?isInstall=false", Action: "CreatePackage", Type: jsonType, Body: body}}
	}
	of := func(kind acl.Kind, schema, name string, actions ...string) acl.Set {
		return acl.NewSet(acl.Grant{Kind: kind, Schema: schema, Name: name, Actions: actions})
	}
	tests := map[string]struct {
		data string
		call func(context.Context, *client) error
		want []recorded
	}{
		"ListPackages": {
			`{"createdPackages":[],"installedPackages":[]}`,
			func(ctx context.Context, c *client) error { return errorOf(c.ListPackages(ctx, "p")) },
			[]recorded{{Line: "GET /api/v1/projects/p/packages", Action: "ListPackages"}},
		},
		"GetPackage": {
			`{"resourceList":{}}`,
			func(ctx context.Context, c *client) error { return errorOf(c.GetPackage(ctx, "p", "k")) },
			[]recorded{{Line: "GET /api/v1/projects/p/packages/k", Action: "GetPackage"}},
		},
		"GetPackage of an installed one": {
			`{"resourceList":{}}`,
			func(ctx context.Context, c *client) error {
				return errorOf(c.GetInstalledPackage(ctx, "p", "src", "k"))
			},
			[]recorded{{Line: "GET /api/v1/projects/p/packages/k?sourceProject=src", Action: "GetPackage"}},
		},
		"CreatePackage": {
			`"success"`,
			func(ctx context.Context, c *client) error { return c.CreatePackage(ctx, "p", "k", shareable()) },
			create(`{"name":"k","resourceList":{"function":[{"name":"to_cents","actions":["Execute","Read"]}],"resource":[{"name":"udf-1.0.jar","actions":["Read"]}],"table":[{"name":"orders","actions":["Describe","Select"]}]}}`),
		},
		"CreatePackage without resources": {
			`"success"`,
			func(ctx context.Context, c *client) error { return c.CreatePackage(ctx, "p", "k", acl.Set{}) },
			create(`{"name":"k"}`),
		},
		"UpdatePackage that adds": {
			`"success"`,
			func(ctx context.Context, c *client) error {
				return c.AddToPackage(ctx, "p", "k", of(acl.Table, "Default", "t", "select"))
			},
			update(`{"add":{"resourceList":{"table":[{"name":"t","actions":["Select"]}]}}}`),
		},
		"UpdatePackage that removes": {
			`"success"`,
			func(ctx context.Context, c *client) error { return c.RemoveFromPackage(ctx, "p", "k", shareable()) },
			update(`{"remove":{"resourceList":{"function":[{"name":"to_cents"}],"resource":[{"name":"udf-1.0.jar"}],"table":[{"name":"orders"}]}}}`),
		},
		"UpdatePackage that removes what could not be added": {
			`"success"`,
			func(ctx context.Context, c *client) error {
				return c.RemoveFromPackage(ctx, "p", "k", of(acl.Resource, "", `a "b";.jar`, "Read"))
			},
			update(`{"remove":{"resourceList":{"resource":[{"name":"a \"b\";.jar"}]}}}`),
		},
		"nothing to add": {
			call: func(ctx context.Context, c *client) error { return c.AddToPackage(ctx, "p", "k", acl.Set{}) },
		},
		"UpdatePackage that allows": {
			`"success"`,
			func(ctx context.Context, c *client) error { return c.AllowProject(ctx, "p", "k", "q", 0) },
			update(`{"add":{"allowedProjectList":[{"label":"0","project":"q"}]}}`),
		},
		"UpdatePackage that disallows": {
			`"success"`,
			func(ctx context.Context, c *client) error { return c.DisallowProject(ctx, "p", "k", "q") },
			update(`{"remove":{"allowedProjectList":[{"project":"q"}]}}`),
		},
		"ALLOW all": {
			call: func(ctx context.Context, c *client) error { return c.AllowProject(ctx, "p", "k", "*", 9) },
			want: statement("p", "ALLOW PROJECT * TO INSTALL PACKAGE k USING LABEL 9;", ""),
		},
		"DISALLOW all": {
			call: func(ctx context.Context, c *client) error { return c.DisallowProject(ctx, "p", "k", "*") },
			want: statement("p", "DISALLOW PROJECT * TO INSTALL PACKAGE k;", ""),
		},
		"ADD of another schema": {
			call: func(ctx context.Context, c *client) error {
				return c.AddToPackage(ctx, "p", "k", of(acl.Table, "ods", "t", "Select", "Describe"))
			},
			want: statement("p", "ADD TABLE ods.t TO PACKAGE k WITH PRIVILEGES Describe, Select;", ods),
		},
		"REMOVE of another schema": {
			call: func(ctx context.Context, c *client) error {
				return c.RemoveFromPackage(ctx, "p", "k", of(acl.Resource, "ods", "udf-1.0.jar", "Read"))
			},
			want: statement("p", "REMOVE RESOURCE ods.udf-1.0.jar FROM PACKAGE k;", ods),
		},
		"DROP": {
			call: func(ctx context.Context, c *client) error { return c.DropPackage(ctx, "p", "k") },
			want: statement("p", "DROP PACKAGE k;", ""),
		},
		"INSTALL": {
			call: func(ctx context.Context, c *client) error { return c.InstallPackage(ctx, "p", "src", "k") },
			want: statement("p", "INSTALL PACKAGE src.k;", ""),
		},
		"UNINSTALL": {
			call: func(ctx context.Context, c *client) error { return c.UninstallPackage(ctx, "p", "src", "k") },
			want: statement("p", "UNINSTALL PACKAGE src.k;", ""),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			wire := &recorder{data: tc.data}
			must(t, tc.call(t.Context(), newLocalClient(t, wire)))
			if diff := cmp.Diff(tc.want, wire.requests); diff != "" {
				t.Errorf("what was sent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryStyleOfTheFakeIsRead(t *testing.T) {
	for _, style := range []fakecloud.PackageStyle{{}, {Times: fakecloud.TimesSeconds}, {Times: fakecloud.TimesText, LabelNumbers: true}, {Times: fakecloud.TimesISO}} {
		t.Run(fmt.Sprint(style), func(t *testing.T) {
			server := newShare(t)
			server.SetPackageStyle(style)
			must(t, server.CreatePackage(project, "shared"))
			must(t, server.AllowProject(project, "shared", consumer, 7))
			c := newLocalClient(t, spelt(server))
			packages, err := c.ListPackages(t.Context(), project)
			must(t, err)
			if age := time.Since(packages.Created[0].CreateTime); age < 0 || age > time.Minute {
				t.Errorf("created %s ago", age)
			}
			got, err := c.GetPackage(t.Context(), project, "shared")
			must(t, err)
			if diff := cmp.Diff([]maxcompute.AllowedProject{{Project: consumer, Label: 7}}, got.Allowed); diff != "" {
				t.Errorf("shared with (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPackagesAreReadWithCare(t *testing.T) {
	const table = `"table":[{"name":"dim_odps\n","schemaName":"default","actions":["describe"]}]`
	tests := map[string]struct {
		data string
		// want is the outcome: resources and projects, null, or bad.
		want string
	}{
		"the documented sample": {
			`{"allowedProjectList":[{"label":"2","project":"projectB"}],"resourceList":{` + table + `,"resource":[{"name":"res_1","schemaName":"default","actions":["read"]}],` +
				`"function":[{"name":"function_1","schemaName":"default","actions":["read"]}]}}`,
			"Table default.dim_odps [Describe] Resource default.res_1 [Read] Function default.function_1 [Read] projectB:2",
		},
		"an empty package":                 {`{"allowedProjectList":[],"resourceList":{"table":[],"resource":[],"function":[]}}`, ""},
		"kinds that are missing or null":   {`{"allowedProjectList":[],"resourceList":{"table":null}}`, ""},
		"a list in another case":           {`{"allowedprojectlist":[],"resourcelist":{"Table":[{"name":"t","actions":["SELECT"]}]}}`, "Table default.t [Select]"},
		"a kind that packages do not hold": {`{"resourceList":{"project":[{"name":"p","actions":["List"]}]}}`, ""},
		"another schema":                   {`{"resourceList":{"table":[{"name":"t","schemaName":"ods","actions":["select"]}]}}`, "Table ods.t [Select]"},
		"no projects":                      {`{"resourceList":{` + table + `}}`, "Table default.dim_odps [Describe]"},
		"null for projects":                {`{"resourceList":{` + table + `},"allowedProjectList":null}`, "Table default.dim_odps [Describe]"},
		"no resources":                     {`{"allowedProjectList":[{"project":"b","label":1}]}`, "b:1"},
		"null for resources":               {`{"allowedProjectList":[{"project":"b","label":1}],"resourceList":null}`, "b:1"},
		"neither":                          {`{}`, "null"},
		"null for both":                    {`{"allowedProjectList":null,"resourceList":null}`, "null"},
		"null":                             {`null`, "null"},
		"an id of a job":                   {`"job-42"`, "bad"},
		"a list":                           {`[]`, "bad"},
		"resources that are a list":        {`{"resourceList":[]}`, "bad"},
		"a resource without a name":        {`{"resourceList":{"table":[{"actions":["select"]}]}}`, "bad"},
		"a resource without actions":       {`{"resourceList":{"table":[{"name":"t"}]}}`, "bad"},
		"projects that are texts":          {`{"allowedProjectList":["b"]}`, "bad"},
		"a project without a name":         {`{"allowedProjectList":[{"label":"1"}]}`, "bad"},
		"all projects, and some":           {`{"allowedProjectList":[{"project":"B","label":"3"},{"project":"a","label":9},{"project":"*","label":"0"}]}`, "*:0 a:9 B:3"},
		"no label":                         {`{"allowedProjectList":[{"project":"b"}]}`, "b:0"},
		"a label that is null":             {`{"allowedProjectList":[{"project":"b","label":null}]}`, "b:0"},
		"a label that is empty":            {`{"allowedProjectList":[{"project":"b","label":""}]}`, "b:0"},
		"a label with spaces":              {`{"allowedProjectList":[{"project":"b","label":" 4 "}]}`, "b:4"},
		"a label that is too high":         {`{"allowedProjectList":[{"project":"b","label":"10"}]}`, "bad"},
		"a label that is too low":          {`{"allowedProjectList":[{"project":"b","label":-1}]}`, "bad"},
		"a label with a fraction":          {`{"allowedProjectList":[{"project":"b","label":1.5}]}`, "bad"},
		"a label that is a word":           {`{"allowedProjectList":[{"project":"b","label":"high"}]}`, "bad"},
		"a label that is an object":        {`{"allowedProjectList":[{"project":"b","label":{}}]}`, "bad"},
		"a label that is true":             {`{"allowedProjectList":[{"project":"b","label":true}]}`, "bad"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newLocalClient(t, &script{{status: 200, body: `{"httpCode":200,"errorCode":"040002","data":` + tc.data + `}`}})
			for _, get := range []func() (maxcompute.Package, error){
				func() (maxcompute.Package, error) { return c.GetPackage(t.Context(), "p", "k") },
				func() (maxcompute.Package, error) { return c.GetInstalledPackage(t.Context(), "p", "s", "k") },
			} {
				got, err := get()
				if text := spell(got, err); text != tc.want {
					t.Errorf("got %q (%v), want %q", text, err, tc.want)
				}
			}
		})
	}
}

func spell(p maxcompute.Package, err error) string {
	switch {
	case maxcompute.IsNull(err):
		return "null"
	case cloud.CodeOf(err) == cloud.UnexpectedResponse:
		return "bad"
	case err != nil:
		return err.Error()
	}
	var out []string
	for _, g := range p.Resources.Grants() {
		out = append(out, fmt.Sprintf("%s %s.%s %v", g.Kind, g.Schema, g.Name, g.Actions))
	}
	for _, a := range p.Allowed {
		out = append(out, fmt.Sprintf("%s:%d", a.Project, a.Label))
	}
	return strings.Join(out, " ")
}

func TestAnAbsentPackageIsToldFromEverythingElse(t *testing.T) {
	tests := map[string]struct {
		answer scripted
		want   cloud.Code
	}{
		"a code for it":                 {scripted{status: 404, body: `{"code":"OBJECT_NOT_EXIST","message":"no package"}`}, cloud.NotFound},
		"a code for it, inside success": {scripted{status: 200, body: `{"httpCode":404,"errorCode":"OBJECT_NOT_EXIST","errorMsg":"no package"}`}, cloud.NotFound},
		"another code for it":           {scripted{status: 404, body: `{"code":"NoSuchObject","message":"no package"}`}, cloud.NotFound},
		"a missing project":             {scripted{status: 404, body: `{"code":"PROJECT_NOT_FOUND","message":"no project"}`}, cloud.ProjectNotFound},
		"no code":                       {scripted{status: 404, body: `{"message":"not found"}`}, cloud.UnexpectedResponse},
		"an unknown code":               {scripted{status: 404, body: `{"code":"Novel.Code","message":"package does not exist"}`}, cloud.UnexpectedResponse},
		"a page":                        {scripted{status: 404, body: fmt.Sprintf(page, 404)}, cloud.UnexpectedResponse},
		"access denied":                 {scripted{status: 403, body: `{"code":"ODPS-0420095","message":"Access Denied"}`}, cloud.PermissionDenied},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newLocalClient(t, &script{tc.answer})
			for what, err := range map[string]error{"GetPackage": errorOf(c.GetPackage(t.Context(), "p", "k")), "GetInstalledPackage": errorOf(c.GetInstalledPackage(t.Context(), "p", "s", "k"))} {
				if cloud.CodeOf(err) != tc.want {
					t.Errorf("%s: %v, want %s", what, err, tc.want)
				}
			}
			want := tc.want
			if want == cloud.NotFound {
				want = cloud.ProjectNotFound // of a list it can be said of nothing else
			}
			if _, exists, err := c.FindPackage(t.Context(), "p", "k", 0); cloud.CodeOf(err) != want || exists {
				t.Errorf("FindPackage: %v, %v, want %s", exists, err, want)
			}
		})
	}
}

func TestATakenNameIsRecognised(t *testing.T) {
	for _, exists := range []fakecloud.ExistsSpelling{fakecloud.ExistsConflict, fakecloud.ExistsUnknownCode} {
		server := newShare(t)
		server.SetExists(exists)
		must(t, server.CreatePackage(project, "shared"))
		must(t, server.AllowProject(project, "shared", consumer, 0))
		must(t, server.InstallPackage(consumer, project, "shared"))
		must(t, server.AddToPackage(project, "shared", fakecloud.Grant{Kind: "table", Name: "t", Actions: []string{"Select"}}))
		c := newLocalClient(t, spelt(server))
		for what, err := range map[string]error{
			"create":            c.CreatePackage(t.Context(), project, "Shared", acl.Set{}),
			"install":           c.InstallPackage(t.Context(), consumer, project, "Shared"),
			"add other actions": c.AddToPackage(t.Context(), project, "shared", acl.NewSet(acl.Grant{Kind: acl.Table, Name: "t", Actions: []string{"Alter"}})),
		} {
			if cloud.CodeOf(err) != cloud.AlreadyExists || !cloud.Refused(err) || maxcompute.IsNotAvailable(err) {
				t.Errorf("%s: %v, want AlreadyExists", what, err)
			}
		}
	}
}

func TestManyObjectsTakeSeveralCalls(t *testing.T) {
	many := func(schema string, n int) acl.Set {
		var grants []acl.Grant
		for i := range n {
			grants = append(grants, acl.Grant{Kind: acl.Table, Schema: schema, Name: fmt.Sprintf("t%03d", i), Actions: []string{"Select"}})
		}
		return acl.NewSet(grants...)
	}
	tests := map[string]struct {
		resources           acl.Set
		updates, statements int
		// fails is which call is refused, counted from 1; done is how many objects are in the package then.
		fails, done int
		refused     bool
	}{
		"as many as one call takes":    {resources: many("", 100), updates: 1, done: 100},
		"one more":                     {resources: many("", 101), updates: 2, done: 101},
		"many":                         {resources: many("", 250), updates: 3, done: 250},
		"some of another schema":       {resources: many("", 2).Union(many("ods", 3)), updates: 1, statements: 3, done: 5},
		"none that a body can say":     {resources: many("ods", 2), statements: 2, done: 2},
		"the first is refused":         {resources: many("", 250), updates: 1, fails: 1, refused: true},
		"a later one is refused":       {resources: many("", 250), updates: 2, fails: 2, done: 100},
		"a later statement is refused": {resources: many("", 1).Union(many("ods", 3)), updates: 1, statements: 2, fails: 3, done: 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newShare(t)
			must(t, server.CreatePackage(project, "shared"))
			if tc.fails > 0 {
				server.Inject(fakecloud.Fault{Kind: fakecloud.FaultError, Status: 400, Code: "InvalidArgument", After: tc.fails - 1})
			}
			c := newLocalClient(t, spelt(server))
			err := c.AddToPackage(t.Context(), project, "shared", tc.resources)
			if (err != nil) != (tc.fails > 0) || cloud.Refused(err) != tc.refused {
				t.Errorf("AddToPackage: %v, refused %v", err, cloud.Refused(err))
			}
			if updates, statements := count(server, "UpdatePackage"), count(server, "Statement"); updates != tc.updates || statements != tc.statements {
				t.Errorf("%d updates and %d statements, want %d and %d", updates, statements, tc.updates, tc.statements)
			}
			if got := len(server.PackageGrants(project, "shared")); got != tc.done {
				t.Errorf("%d objects are in the package, want %d", got, tc.done)
			}
			server.ClearFaults()
			must(t, c.RemoveFromPackage(t.Context(), project, "shared", tc.resources))
			if left := packed(server, "shared"); len(left) != 0 {
				t.Errorf("%v are left", left)
			}
		})
	}
}

func TestWhatCannotBeSaidOfPackagesIsNotSent(t *testing.T) {
	table := acl.NewSet(selectOn("t"))
	of := func(kind acl.Kind, schema, name, action string) acl.Set {
		return acl.NewSet(acl.Grant{Kind: kind, Schema: schema, Name: name, Actions: []string{action}})
	}
	tests := map[string]struct {
		call func(context.Context, *maxcompute.Client) error
		want string
	}{
		"a package name with a dot": {
			func(ctx context.Context, c *maxcompute.Client) error { return c.CreatePackage(ctx, "p", "a.b", table) }, `"a.b" cannot be the name of a package`,
		},
		"a package name that is too long": {
			func(ctx context.Context, c *maxcompute.Client) error {
				return c.DropPackage(ctx, "p", strings.Repeat("k", 129))
			}, `"` + strings.Repeat("k", 129) + `" cannot be the name of a package`,
		},
		"a package to create with another schema": {
			func(ctx context.Context, c *maxcompute.Client) error {
				return c.CreatePackage(ctx, "p", "k", table.Union(of(acl.Table, "ods", "u", "Select")))
			}, "a package cannot be created with Table u of schema ods in it",
		},
		"a kind that packages do not hold": {
			func(ctx context.Context, c *maxcompute.Client) error {
				return c.AddToPackage(ctx, "p", "k", of(acl.Project, "", "p", "List"))
			}, "a package cannot hold a Project (p)",
		},
		"a kind to remove that packages do not hold": {
			func(ctx context.Context, c *maxcompute.Client) error {
				return c.RemoveFromPackage(ctx, "p", "k", of(acl.Package, "", "p.k", "Read"))
			}, "a package cannot hold a Package (p.k)",
		},
		"an object with a quote": {
			func(ctx context.Context, c *maxcompute.Client) error {
				return c.AddToPackage(ctx, "p", "k", of(acl.Table, "", "t'", "Select"))
			}, `"t'" cannot be the name of a Table`,
		},
		"an object to remove without a name": {
			func(ctx context.Context, c *maxcompute.Client) error {
				return c.RemoveFromPackage(ctx, "p", "k", of(acl.Resource, "", "", "Read"))
			}, "a Resource has no name",
		},
		"a schema to remove from with a dot": {
			func(ctx context.Context, c *maxcompute.Client) error {
				return c.RemoveFromPackage(ctx, "p", "k", of(acl.Table, "a.b", "t", "Select"))
			}, `"a.b" cannot be the name of a schema`,
		},
		"a label that is too high": {
			func(ctx context.Context, c *maxcompute.Client) error { return c.AllowProject(ctx, "p", "k", "q", 10) }, "10 cannot be a label: the labels are 0 to 9",
		},
		"a label that is too low": {
			func(ctx context.Context, c *maxcompute.Client) error { return c.AllowProject(ctx, "p", "k", "*", -1) }, "-1 cannot be a label: the labels are 0 to 9",
		},
		"a pattern of projects": {
			func(ctx context.Context, c *maxcompute.Client) error { return c.AllowProject(ctx, "p", "k", "q*", 1) }, `"q*" cannot be the name of a project`,
		},
		"a source with a slash": {
			func(ctx context.Context, c *maxcompute.Client) error {
				return errorOf(c.GetInstalledPackage(ctx, "p", "a/b", "k"))
			}, `"a/b" cannot be the name of a project`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			wire := &recorder{data: `"success"`}
			err := tc.call(t.Context(), newLocalClient(t, wire))
			if diff := cmp.Diff(seen{Code: cloud.InvalidSpec, Text: "check names: " + tc.want}, look(err)); diff != "" || len(wire.requests) != 0 {
				t.Errorf("%d requests; the error (-want +got):\n%s", len(wire.requests), diff)
			}
		})
	}
}
