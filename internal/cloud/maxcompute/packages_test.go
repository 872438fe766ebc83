package maxcompute_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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

func TestListsOfPackagesAreReadWithCare(t *testing.T) {
	const some = `"createdPackages":[{"name":"A","createTime":1659407434}],"installedPackages":[{"name":"B","sourceProject":"Src","status":"OK","installTime":0}]`
	tests := map[string]struct {
		body string
		// all is what ListPackages says, created and installed what the lookups of a and src.b do: found, not, null or a class.
		all, created, installed string
	}{
		"some":                      {`{"data":{` + some + `}}`, "1+1", "found", "found"},
		"in another case":           {strings.ToUpper(`{"data":{` + some + `}}`), "1+1", "found", "found"},
		"none":                      {`{"data":{"createdPackages":[],"installedPackages":[]}}`, "0+0", "not", "not"},
		"success with a code":       {`{"httpCode":200,"errorCode":"040002","data":{` + some + `}}`, "1+1", "found", "found"},
		"no list of installed ones": {`{"data":{"createdPackages":[{"name":"a"}]}}`, "1+0", "found", "not"},
		"no list of created ones":   {`{"data":{"installedPackages":[]}}`, "0+0", "not", "not"},
		"null for installed ones":   {`{"data":{"createdPackages":[],"installedPackages":null}}`, "0+0", "not", "not"},
		"null for created ones":     {`{"data":{"createdPackages":null,"installedPackages":[]}}`, "0+0", "not", "not"},
		"neither":                   {`{"data":{}}`, "null", "null", "null"},
		"null for all":              {`{"data":null}`, "null", "null", "null"},
		"no data":                   {`{"requestId":"1"}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"an id of a job":            {`{"data":"job-42"}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"data that is a list":       {`{"data":[]}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"a list that is an object":  {`{"data":{"createdPackages":{},"installedPackages":[]}}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"one that is a text":        {`{"data":{"createdPackages":["a"],"installedPackages":[]}}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"one without a name":        {`{"data":{"createdPackages":[{"createTime":1}],"installedPackages":[]}}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"one without a source":      {`{"data":{"createdPackages":[],"installedPackages":[{"name":"a","status":"OK"}]}}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"an installed one unnamed":  {`{"data":{"createdPackages":[],"installedPackages":[{"sourceProject":"a"}]}}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"cut off":                   {`{"data":{"createdPackages":[{"name":"a"`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"a failure inside":          {`{"httpCode":500,"errorCode":"500","errorMsg":"x","data":{` + some + `}}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
	}
	outcome := func(text string, err error) string {
		switch {
		case maxcompute.IsNull(err) && cloud.CodeOf(err) == cloud.UnexpectedResponse:
			return "null"
		case err != nil:
			return string(cloud.CodeOf(err))
		}
		return text
	}
	found := map[bool]string{true: "found", false: "not"}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(tc.body, `{"DATA"`) {
				tc.body = strings.NewReplacer(`"A"`, `"a"`, `"SRC"`, `"Src"`).Replace(tc.body)
			}
			c := newLocalClient(t, &script{{status: 200, body: tc.body}})
			packages, err := c.ListPackages(t.Context(), "p")
			if got := outcome(fmt.Sprintf("%d+%d", len(packages.Created), len(packages.Installed)), err); got != tc.all {
				t.Errorf("ListPackages: %s (%v), want %s", got, err, tc.all)
			}
			_, exists, err := c.FindPackage(t.Context(), "P", "a", 0)
			if got := outcome(found[exists], err); got != tc.created || err != nil && exists {
				t.Errorf("FindPackage: %s (%v), want %s", got, err, tc.created)
			}
			_, exists, err = c.FindInstallation(t.Context(), "P", "src", "b", 0)
			if got := outcome(found[exists], err); got != tc.installed || err != nil && exists {
				t.Errorf("FindInstallation: %s (%v), want %s", got, err, tc.installed)
			}
		})
	}
}

func TestWhatAListTellsOfPackages(t *testing.T) {
	const body = `{"data":{"createdPackages":[{"name":"packageA","createTime":"2022-08-02T02:30:34Z"}],` +
		`"installedPackages":[{"name":"packageB","sourceProject":"projectB","status":"OK","installTime":"2022-09-02T02:30:34Z"},{"name":"c","sourceProject":"p"}]}}`
	packages, err := newLocalClient(t, &script{{status: 200, body: body}}).ListPackages(t.Context(), "p")
	must(t, err)
	want := maxcompute.Packages{
		Created: []maxcompute.CreatedPackage{{Name: "packageA", CreateTime: time.Date(2022, 8, 2, 2, 30, 34, 0, time.UTC)}},
		Installed: []maxcompute.InstalledPackage{
			{SourceProject: "projectB", Name: "packageB", Status: maxcompute.StatusOK, InstallTime: time.Date(2022, 9, 2, 2, 30, 34, 0, time.UTC)},
			{SourceProject: "p", Name: "c"},
		},
	}
	if diff := cmp.Diff(want, packages); diff != "" {
		t.Errorf("ListPackages (-want +got):\n%s", diff)
	}
}

func TestTimesAreReadInEveryForm(t *testing.T) {
	at := time.Date(2022, 8, 2, 2, 30, 34, 0, time.UTC)
	tests := map[string]struct {
		wire string
		want time.Time
	}{
		"seconds":                        {`1659407434`, at},
		"milliseconds":                   {`1659407434567`, at.Add(567 * time.Millisecond)},
		"seconds with a fraction":        {`1659407434.5`, at.Add(500 * time.Millisecond)},
		"seconds in scientific form":     {`1.659407434e9`, at},
		"seconds in a text":              {`"1659407434"`, at},
		"milliseconds in a text":         {`" 1659407434567 "`, at.Add(567 * time.Millisecond)},
		"ISO 8601":                       {`"2022-08-02T02:30:34Z"`, at},
		"ISO 8601 with a fraction":       {`"2022-08-02T02:30:34.5Z"`, at.Add(500 * time.Millisecond)},
		"ISO 8601 with an offset":        {`"2022-08-02T10:30:34+08:00"`, at},
		"ISO 8601 with a short offset":   {`"2022-08-02T10:30:34+0800"`, at},
		"ISO 8601 without a zone":        {`"2022-08-02T02:30:34"`, at},
		"ISO 8601 without seconds":       {`"2022-08-02T02:30Z"`, at.Truncate(time.Minute)},
		"a date and a time":              {`"2022-08-02 02:30:34"`, at},
		"a date":                         {`"2022-08-02"`, at.Truncate(24 * time.Hour)},
		"the samples' zero":              {`0`, time.Time{}},
		"a negative number":              {`-1`, time.Time{}},
		"a number that is far too large": {`1e300`, time.Time{}},
		"a number in microseconds":       {`1659407434567890`, time.Time{}},
		"words":                          {`"last Tuesday"`, time.Time{}},
		"not a number":                   {`"NaN"`, time.Time{}},
		"infinity":                       {`"Inf"`, time.Time{}},
		"an empty text":                  {`""`, time.Time{}},
		"null":                           {`null`, time.Time{}},
		"true":                           {`true`, time.Time{}},
		"an object":                      {`{"seconds":1659407434}`, time.Time{}},
		"a list":                         {`[1659407434]`, time.Time{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			body := `{"data":{"createdPackages":[{"name":"a","createTime":` + tc.wire + `}],"installedPackages":[{"name":"b","sourceProject":"c","installTime":` + tc.wire + `}]}}`
			packages, err := newLocalClient(t, &script{{status: 200, body: body}}).ListPackages(t.Context(), "p")
			must(t, err)
			if got := packages.Created[0].CreateTime; got != tc.want {
				t.Errorf("created %s, want %s", got, tc.want)
			}
			if got := packages.Installed[0].InstallTime; got != tc.want {
				t.Errorf("installed %s, want %s", got, tc.want)
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

func TestPackagesAndInstallationsShareOneList(t *testing.T) {
	server := newShare(t)
	must(t, server.CreatePackage(project, "made"))
	must(t, server.AllowProject(project, "made", "*", 0))
	must(t, server.CreatePackage(consumer, "other"))
	must(t, server.AllowProject(consumer, "other", "*", 0))
	must(t, server.InstallPackage(project, consumer, "other"))
	c := newLocalClient(t, spelt(server))
	check := func(what string, err error, got, want any) {
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			made, _, err := c.FindPackage(t.Context(), strings.ToUpper(project), "Made", time.Hour)
			check("what was made", err, made.Name, "made")
			there, _, err := c.FindInstallation(t.Context(), project, "Mart", "OTHER", time.Hour)
			check("what was installed", err, []string{there.SourceProject, there.Name, there.Status}, []string{consumer, "other", maxcompute.StatusOK})
			_, found, err := c.FindPackage(t.Context(), project, "mart.other", time.Hour)
			check("what was installed, as made", err, found, false)
			_, found, err = c.FindInstallation(t.Context(), project, project, "made", time.Hour)
			check("what was made, as installed", err, found, false)
		})
	}
	group.Wait()
	_, found, err := c.FindRole(t.Context(), project, "admin", time.Hour)
	check("a role", err, found, true)
	check("lists of packages", nil, count(server, "ListPackages"), 1)
	check("lists of roles", nil, count(server, "ListRoles"), 1)
}

func TestTheListOfPackagesIsAsOldAsItMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newShare(t)
		c := newLocalClient(t, spelt(server))
		for i, maxAge := range []time.Duration{time.Minute, time.Minute, 0} {
			_, _, err := c.FindPackage(t.Context(), project, "k", maxAge)
			must(t, err)
			elapse(30 * time.Second)
			_, _, err = c.FindInstallation(t.Context(), project, "s", "k", maxAge)
			must(t, err)
			if n, want := count(server, "ListPackages"), []int{1, 1, 3}[i]; n != want {
				t.Errorf("%d lists were asked for, want %d", n, want)
			}
		}
	})
}

func TestTheListOfPackagesFollowsWhatTheClientDoes(t *testing.T) {
	create := func(ctx context.Context, c *maxcompute.Client) error {
		return c.CreatePackage(ctx, strings.ToUpper(project), "New", acl.Set{})
	}
	drop := func(ctx context.Context, c *maxcompute.Client) error { return c.DropPackage(ctx, project, "OLD") }
	install := func(ctx context.Context, c *maxcompute.Client) error {
		return c.InstallPackage(ctx, project, consumer, "new")
	}
	uninstall := func(ctx context.Context, c *maxcompute.Client) error {
		return c.UninstallPackage(ctx, project, consumer, "Old")
	}
	unknown := &fakecloud.Fault{Kind: fakecloud.FaultServerError, Only: "writes"}
	refused := &fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Only: "writes"}
	tests := map[string]struct {
		do func(context.Context, *maxcompute.Client) error
		// fault is what becomes of the write; late, what somebody else does before it.
		fault *fakecloud.Fault
		late  func(*fakecloud.Server) error
		// found is what is seen afterwards, lists how many lists that takes in all.
		found string
		lists int
	}{
		"a created package is there":           {do: create, found: "new old mart.old OK", lists: 1},
		"a dropped package is not":             {do: drop, found: "mart.old OK", lists: 1},
		"an installed package is there":        {do: install, found: "old mart.new OK mart.old OK", lists: 2},
		"an uninstalled package is not":        {do: uninstall, found: "old", lists: 1},
		"a create that is refused":             {do: create, fault: refused, found: "old mart.old OK", lists: 1},
		"an installation that is refused":      {do: install, fault: refused, found: "old mart.old OK", lists: 1},
		"a create of unknown outcome":          {do: create, fault: unknown, found: "old mart.old OK", lists: 2},
		"a drop of unknown outcome":            {do: drop, fault: unknown, found: "old mart.old OK", lists: 2},
		"an installation that may have been":   {do: install, fault: unknown, found: "old mart.old OK", lists: 2},
		"an uninstallation that may have been": {do: uninstall, fault: unknown, found: "old mart.old OK", lists: 2},
		"a create that comes second": {
			do: create, late: func(s *fakecloud.Server) error { return s.CreatePackage(project, "new") }, found: "new old mart.old OK", lists: 2,
		},
		"a drop that comes second": {
			do: drop, late: func(s *fakecloud.Server) error { return s.DropPackage(project, "old") }, found: "mart.old OK", lists: 2,
		},
		"an installation that comes second": {
			do: install, late: func(s *fakecloud.Server) error { return s.InstallPackage(project, consumer, "new") }, found: "old mart.new OK mart.old OK", lists: 2,
		},
		"an uninstallation that comes second": {
			do: uninstall, late: func(s *fakecloud.Server) error { return s.UninstallPackage(project, consumer, "old") }, found: "old", lists: 2,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newShare(t)
			must(t, server.CreatePackage(project, "old"))
			for _, name := range []string{"old", "new"} {
				must(t, server.CreatePackage(consumer, name))
				must(t, server.AllowProject(consumer, name, project, 0))
			}
			must(t, server.InstallPackage(project, consumer, "old"))
			c := newLocalClient(t, spelt(server))
			_, _, err := c.FindPackage(t.Context(), project, "old", 0)
			must(t, err)
			if tc.late != nil {
				must(t, tc.late(server))
			}
			if tc.fault != nil {
				server.Inject(*tc.fault)
			}
			if err := tc.do(t.Context(), c); (err != nil) != (tc.fault != nil || tc.late != nil) {
				t.Errorf("the write: %v", err)
			}
			var got []string
			for _, name := range []string{"new", "old"} {
				found, exists, err := c.FindPackage(t.Context(), project, name, time.Hour)
				must(t, err)
				if exists {
					got = append(got, strings.ToLower(found.Name))
				}
			}
			for _, name := range []string{"new", "old"} {
				found, exists, err := c.FindInstallation(t.Context(), project, consumer, name, time.Hour)
				must(t, err)
				if exists {
					got = append(got, found.SourceProject+"."+found.Name+" "+found.Status)
				}
			}
			if text := strings.Join(got, " "); text != tc.found || count(server, "ListPackages") != tc.lists {
				t.Errorf("%d lists, want %d; found %q, want %q", count(server, "ListPackages"), tc.lists, text, tc.found)
			}
		})
	}
}

func TestAWriteDoesNotMakeUpAList(t *testing.T) {
	answers := &script{
		{status: 200, body: `{"data":{"createdPackages":null,"installedPackages":null}}`}, {status: 200, body: `{"data":"success"}`},
		{status: 200, body: `<Authorization><Result>OK</Result></Authorization>`},
		{status: 200, body: `{"data":{"createdPackages":null,"installedPackages":null}}`}, // asked for because of the installation
	}
	c := newLocalClient(t, answers)
	if _, _, err := c.FindPackage(t.Context(), "p", "k", 0); !maxcompute.IsNull(err) {
		t.Errorf("FindPackage: %v", err)
	}
	must(t, c.CreatePackage(t.Context(), "p", "k", acl.Set{}))
	must(t, c.InstallPackage(t.Context(), "p", "s", "k"))
	for what, err := range map[string]error{
		"FindPackage":      secondError(c.FindPackage(t.Context(), "p", "k", time.Hour)),
		"FindInstallation": secondError(c.FindInstallation(t.Context(), "p", "s", "k", time.Hour)),
	} {
		if !maxcompute.IsNull(err) {
			t.Errorf("%s: %v, want that nothing is known", what, err)
		}
	}
}

func secondError[T any](_ T, _ bool, err error) error { return err }

func FuzzAPackageStatementHoldsExactlyWhatWasAsked(f *testing.F) {
	for i, name := range hostile {
		f.Add(uint8(i), "ods", name, "k", "Read", "p", "s")
		f.Add(uint8(i), name, "t", "k", "Read", "p", "s")
		f.Add(uint8(i), "ods", "t", name, "Read", "p", "s")
		f.Add(uint8(i), "ods", "t", "k", name, "p", "s")
		f.Add(uint8(i), "ods", "t", "k", "Read", name, "s")
		f.Add(uint8(i), "ods", "t", "k", "Read", "p", name)
	}
	f.Fuzz(func(t *testing.T, kind uint8, schema, name, pkg, action, project, other string) {
		set := acl.NewSet(acl.Grant{Kind: acl.Kinds[int(kind)%len(acl.Kinds)], Schema: schema, Name: name, Actions: []string{action}})
		calls := map[string]func(context.Context, *maxcompute.Client) error{
			"DROP PACKAGE " + pkg: func(ctx context.Context, c *maxcompute.Client) error { return c.DropPackage(ctx, project, pkg) },
			"INSTALL PACKAGE " + other + "." + pkg: func(ctx context.Context, c *maxcompute.Client) error {
				return c.InstallPackage(ctx, project, other, pkg)
			},
			"UNINSTALL PACKAGE " + other + "." + pkg: func(ctx context.Context, c *maxcompute.Client) error {
				return c.UninstallPackage(ctx, project, other, pkg)
			},
			"ALLOW PROJECT * TO INSTALL PACKAGE " + pkg + " USING LABEL 1": func(ctx context.Context, c *maxcompute.Client) error {
				return c.AllowProject(ctx, project, pkg, "*", 1)
			},
			"DISALLOW PROJECT * TO INSTALL PACKAGE " + pkg: func(ctx context.Context, c *maxcompute.Client) error {
				return c.DisallowProject(ctx, project, pkg, "*")
			},
		}
		for text, call := range calls {
			wire := &recorder{}
			asked{tokens: strings.Split(text+" ;", " "), project: project}.check(t, wire, call(t.Context(), newLocalClient(t, wire)))
		}
		if set.Empty() || schema == "" || strings.EqualFold(schema, acl.DefaultSchema) {
			return
		}
		grant := set.Grants()[0]
		object := []string{strings.ToUpper(string(grant.Kind)), grant.Schema + "." + grant.Name}
		add := asked{tokens: slices.Concat([]string{"ADD"}, object, []string{"TO", "PACKAGE", pkg, "WITH", "PRIVILEGES"}), schema: grant.Schema, project: project}
		for i, action := range grant.Actions {
			if i > 0 {
				add.tokens = append(add.tokens, ",")
			}
			add.tokens = append(add.tokens, action)
		}
		add.tokens = append(add.tokens, ";")
		wire := &recorder{}
		add.check(t, wire, newLocalClient(t, wire).AddToPackage(t.Context(), project, pkg, set))
		remove := asked{tokens: slices.Concat([]string{"REMOVE"}, object, []string{"FROM", "PACKAGE", pkg, ";"}), schema: grant.Schema, project: project}
		wire = &recorder{}
		remove.check(t, wire, newLocalClient(t, wire).RemoveFromPackage(t.Context(), project, pkg, set))
	})
}

func FuzzAPackagePathHoldsExactlyWhatWasAsked(f *testing.F) {
	for _, name := range hostile {
		f.Add(name, "k", "s")
		f.Add("p", name, "s")
		f.Add("p", "k", name)
	}
	f.Fuzz(func(t *testing.T, project, pkg, other string) {
		root := "/api/v1/projects/" + project + "/packages"
		calls := []struct {
			line  string
			names []string
			call  func(context.Context, *maxcompute.Client) error
		}{
			{"GET " + root, []string{project}, func(ctx context.Context, c *maxcompute.Client) error {
				return errorOf(c.ListPackages(ctx, project))
			}},
			{"POST " + root + "?isInstall=false", []string{project}, func(ctx context.Context, c *maxcompute.Client) error {
				return c.CreatePackage(ctx, project, "k", acl.Set{})
			}},
			{"GET " + root + "/" + pkg, []string{project, pkg}, func(ctx context.Context, c *maxcompute.Client) error {
				return errorOf(c.GetPackage(ctx, project, pkg))
			}},
			{"GET " + root + "/" + pkg + "?sourceProject=" + other, []string{project, pkg, other}, func(ctx context.Context, c *maxcompute.Client) error {
				return errorOf(c.GetInstalledPackage(ctx, project, other, pkg))
			}},
			{"PUT " + root + "/" + pkg, []string{project, pkg, other}, func(ctx context.Context, c *maxcompute.Client) error {
				return c.DisallowProject(ctx, project, pkg, "q"+other)
			}},
			{"PUT " + root + "/" + pkg, []string{project, pkg}, func(ctx context.Context, c *maxcompute.Client) error {
				return c.RemoveFromPackage(ctx, project, pkg, acl.NewSet(selectOn(other)))
			}},
		}
		for _, tc := range calls {
			wire := &recorder{data: `{"createdPackages":[],"installedPackages":[],"resourceList":{}}`}
			err := tc.call(t.Context(), newLocalClient(t, wire))
			switch {
			case err != nil && (cloud.CodeOf(err) != cloud.InvalidSpec || len(wire.requests) != 0):
				t.Errorf("%v after %d requests", err, len(wire.requests))
			case err == nil && (len(wire.requests) != 1 || wire.requests[0].Line != tc.line || slices.ContainsFunc(tc.names, func(name string) bool { return name != "" && !isWord(name) })):
				t.Errorf("sent %v, want %s", wire.requests, tc.line)
			}
		}
	})
}

func TestAnAsynchronousInstallation(t *testing.T) {
	lost := fakecloud.Fault{Kind: fakecloud.FaultError, Action: "PollStatement", Status: http.StatusNotFound, Code: "NoSuchObject", Message: "the package is nowhere"}
	tests := map[string]struct {
		faults       []fakecloud.Fault
		code         cloud.Code
		notAvailable bool
		refused      bool
		installed    int
	}{
		"that ends well": {faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Action: "Statement", Polls: 3}}, installed: 1},
		"that fails for want of the package": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Action: "Statement", Polls: 2, Outcome: "FAILED", Message: "NoSuchObject: package 'x.y' is not there"}},
			code:   cloud.NotFound, notAvailable: true, refused: true,
		},
		"that fails in words only": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Action: "Statement", Outcome: "FAILED", Message: "FAILED: ODPS-0420061: Invalid parameter - the package doesn't exist"}},
			code:   cloud.RemoteRejected, notAvailable: true, refused: true,
		},
		"that is there already, in words only": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Action: "Statement", Outcome: "FAILED", Message: "ODPS-0420061: the package has already been installed"}},
			code:   cloud.AlreadyExists, refused: true,
		},
		// What a look says is about the instance, not about the package.
		"that the service has forgotten": {faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Action: "Statement", Polls: 3}, lost}, code: cloud.NotFound},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newShare(t)
			must(t, server.CreatePackage(project, "shared"))
			must(t, server.AllowProject(project, "shared", consumer, 0))
			for _, fault := range tc.faults {
				server.Inject(fault)
			}
			err := newLocalClient(t, spelt(server)).InstallPackage(t.Context(), consumer, project, "shared")
			if cloud.CodeOf(err) != tc.code || maxcompute.IsNotAvailable(err) != tc.notAvailable || cloud.Refused(err) != tc.refused {
				t.Errorf("got %v: %s, not available %v, refused %v", err, cloud.CodeOf(err), maxcompute.IsNotAvailable(err), cloud.Refused(err))
			}
			if n := len(server.Installed(consumer)); n != tc.installed {
				t.Errorf("%d packages are installed", n)
			}
		})
	}
}

func TestAPackageThatIsNotAvailableIsRecognised(t *testing.T) {
	server := newShare(t)
	must(t, server.CreatePackage(project, "shared"))
	c := newLocalClient(t, spelt(server))
	for what, err := range map[string]error{
		"a package that is not shared":    c.InstallPackage(t.Context(), consumer, project, "shared"),
		"a package that does not exist":   c.InstallPackage(t.Context(), consumer, project, "nothing"),
		"a project that does not exist":   c.InstallPackage(t.Context(), consumer, "nowhere", "shared"),
		"shared with others only":         errors.Join(server.AllowProject(project, "shared", "others", 0), c.InstallPackage(t.Context(), consumer, project, "shared")),
		"a package of its own not shared": errors.Join(server.CreatePackage(consumer, "own"), c.InstallPackage(t.Context(), consumer, consumer, "own")),
	} {
		if !maxcompute.IsNotAvailable(err) || !cloud.Refused(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"a consumer that does not exist": c.InstallPackage(t.Context(), "nowhere", project, "shared"),
		"an uninstallation of nothing":   c.UninstallPackage(t.Context(), consumer, project, "shared"),
		"no error":                       nil,
	} {
		if maxcompute.IsNotAvailable(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, server.DenyAction(fakecloud.DefaultAccessKeyID, "INSTALL", ""))
	err := c.InstallPackage(t.Context(), consumer, project, "shared")
	if maxcompute.IsNotAvailable(err) || cloud.CodeOf(err) != cloud.PermissionDenied {
		t.Errorf("one who may not install: %v", err)
	}
}

func TestWordsForAPackageThatIsNotAvailable(t *testing.T) {
	tests := map[string]struct {
		code, message string
		want          bool
	}{
		"a code for what does not exist":       {"NoSuchObject", "", true},
		"another one":                          {"OBJECT_NOT_EXIST", "package src.k", true},
		"a project, the source":                {"ODPS-0420111", "Project not found - 'src'.", true},
		"a project, the source, in upper case": {"NoSuchProject", "Project SRC does not exist", true},
		"a project, the consumer":              {"ODPS-0420111", "Project not found - 'p'.", false},
		"a project, unnamed":                   {"PROJECT_NOT_FOUND", "project not found", false},
		"a project, both named":                {"PROJECT_NOT_FOUND", "project p: src not found", false},
		"not allowed":                          {"ODPS-0420095", "Access Denied - project p is not allowed to install package src.k", true},
		"not allowed, the other way round":     {"NoPermission", "to install this package is not allowed for project p", true},
		"not allowed, refused as invalid":      {"InvalidArgument", "Project p is not allowed to install the package", true},
		"not been allowed":                     {"ODPS-0420061", "p has not been allowed to install src.k", true},
		"does not exist, refused as invalid":   {"ODPS-0420061", "Invalid parameter in HTTP request - Package src.k does not exist", true},
		"no such package":                      {"InvalidArgument", "No such package: src.k", true},
		"not found":                            {"ODPS-0420061", "package 'src.k' was not found", true},
		"access denied":                        {"ODPS-0420095", "Access Denied", false},
		"no privilege":                         {"ODPS-0420095", "Access Denied - [4019] You have NO privilege 'odps:InstallPackage' on {acs:odps:*:projects/p/authorization/packages/src.k}", false},
		"not a member":                         {"ODPS-0420095", "Access Denied - [4002] not a member of the project, not allowed to install", false},
		"in arrears":                           {"ODPS-0420095", "Access Denied - [4093] AllDenied", false},
		"a user who is not allowed":            {"NoPermission", "User RAM$corp:bob is not allowed to install package src.k", false},
		"you":                                  {"NoPermission", "you are not allowed to install packages", false},
		"a policy of the account":              {"Forbidden.RAM", "not authorized by the policy of the account", false},
		"the limit of packages":                {"InvalidArgument", "more than 100 packages of project src are installed", false},
		"a table":                              {"InvalidArgument", "table t does not exist", false},
		"a signature":                          {"ODPS-0410042", "package not found", false},
		"a service that is down":               {"ServiceUnavailable", "package not found", false},
		"throttling":                           {"Throttling.User", "not allowed to install package: too many calls", false},
		"a code that nobody knows":             {"Novel.Code", "package src.k does not exist", true},
	}
	for form, f := range forms {
		if f.operation != "ODPS" {
			continue
		}
		for name, tc := range tests {
			t.Run(name+", "+form, func(t *testing.T) {
				status, want := http.StatusBadRequest, tc.want
				if f.always != 0 {
					status = f.always
				}
				if tc.code == "Novel.Code" && f.always != 0 {
					want = false // inside a success, a code that nobody knows is no refusal
				}
				err := newLocalClient(t, &script{{status: status, body: f.write(status, tc.code, tc.message)}}).InstallPackage(t.Context(), "p", "src", "k")
				if err == nil || maxcompute.IsNotAvailable(err) != want {
					t.Errorf("got %v, not available %v, want %v", err, !want, want)
				}
				if want && !cloud.Refused(err) {
					t.Errorf("%v is no refusal", err)
				}
			})
		}
	}
}
