package fakecloud

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const packagesPath = "/api/v1/projects/shop/packages"

// newShare returns a client of a cloud with a project that has a package and one that does not.
func newShare(t *testing.T, opts Options) *client {
	t.Helper()
	opts.Projects = []Project{{Name: testProject}, {Name: "mart"}, {Name: "three", ThreeTier: true}}
	c := newClient(t, opts)
	must(t, c.server.CreatePackage("Shop", "Pkg"))
	return c
}

func (c *client) updatePackage(body string) response {
	c.t.Helper()
	return c.openAPI("UpdatePackage", http.MethodPut, packagesPath+"/pkg", body)
}

func (c *client) getPackage(query string) response {
	c.t.Helper()
	return c.openAPI("GetPackage", http.MethodGet, packagesPath+"/pkg"+query, "")
}

func (c *client) listPackages(project string) response {
	c.t.Helper()
	return c.openAPI("ListPackages", http.MethodGet, "/api/v1/projects/"+project+"/packages", "")
}

// contents spells what is in the package and who may install it.
func (c *client) contents() string {
	return spellGrants(c.server.PackageGrants(testProject, "pkg")) + " " + fmt.Sprint(c.server.PackageAllowed(testProject, "pkg"))
}

// installed spells what the other project has installed.
func (c *client) installed() string {
	var out []string
	for _, i := range c.server.Installed("mart") {
		out = append(out, i.SourceProject+"."+i.Name+" "+i.Status)
	}
	return strings.Join(out, ", ")
}

// rawData is the body of an answer from its data on.
func (r response) rawData() string {
	_, data, _ := strings.Cut(strings.TrimSuffix(r.body, "}"), `"data":`)
	return data
}

func TestPackagesFollowTheDocumentedSamples(t *testing.T) {
	at := time.UnixMilli(1_790_000_000_123).UTC()
	c := newClient(t, Options{Projects: []Project{{Name: testProject}, {Name: "mart"}}, Clock: func() time.Time { return at }})
	create := `{"name":"Pkg","resourceList":{"table":[{"name":"Orders","actions":["Describe","Select"]}],` +
		`"resource":[{"name":"Udf.jar","actions":["Read"]}],"function":[{"name":"mask","actions":["All"]}]}}`
	got := c.openAPI("CreatePackage", http.MethodPost, packagesPath+"?isInstall=false", create)
	want(t, "created", got.body, `{"requestId":"FA4E0000-0000-4000-8000-000000000001","data":"success"}`)
	want(t, "shared", c.updatePackage(`{"add":{"allowedProjectList":[{"label":"2","project":"Mart"}]}}`).rawData(), `"success"`)
	want(t, "body", c.getPackage("").body, `{"requestId":"FA4E0000-0000-4000-8000-000000000003","httpCode":200,"errorCode":"040002","errorMsg":"异常信息",`+
		`"data":{"allowedProjectList":[{"label":"2","project":"mart"}],"resourceList":{"table":[{"name":"orders","schemaName":"default","actions":["describe","select"]}],`+
		`"resource":[{"name":"Udf.jar","schemaName":"default","actions":["read"]}],"function":[{"name":"mask","schemaName":"default","actions":["delete","execute","read","write"]}]}}}`)
	want(t, "installed", c.statementIn("mart", "INSTALL PACKAGE shop.pkg", "").result(), "")
	want(t, "list", c.listPackages("shop").body, `{"requestId":"FA4E0000-0000-4000-8000-000000000005","data":{"createdPackages":[{"name":"pkg","createTime":1790000000123}],"installedPackages":[]}}`)
	want(t, "other list", c.listPackages("mart").rawData(), `{"createdPackages":[],"installedPackages":[{"name":"pkg","sourceProject":"shop","status":"OK","installTime":1790000000123}]}`)
	want(t, "missing project", c.listPackages("nowhere").code(), codeProjectNotFound)
	want(t, "names", c.server.Packages(testProject), "[pkg]")
	c.wantNoViolations()
}

func TestPackageStyles(t *testing.T) {
	at := time.UnixMilli(1_790_000_000_123).UTC()
	tests := map[string]struct {
		style       PackageStyle
		time, label string
	}{
		"default":      {PackageStyle{}, `1790000000123`, `"3"`},
		"milliseconds": {PackageStyle{Times: TimesMilliseconds}, `1790000000123`, `"3"`},
		"seconds":      {PackageStyle{Times: TimesSeconds}, `1790000000`, `"3"`},
		"text":         {PackageStyle{Times: TimesText}, `"1790000000123"`, `"3"`},
		"ISO 8601":     {PackageStyle{Times: TimesISO}, `"2026-09-21T14:13:20Z"`, `"3"`},
		"numbers":      {PackageStyle{LabelNumbers: true}, `1790000000123`, `3`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newShare(t, Options{Clock: func() time.Time { return at }, Packages: tc.style})
			must(t, c.server.AllowProject(testProject, "pkg", "mart", 3))
			want(t, "times", c.listPackages("shop").rawData(), `{"createdPackages":[{"name":"pkg","createTime":`+tc.time+`}],"installedPackages":[]}`)
			want(t, "label", strings.Contains(c.getPackage("").body, `[{"label":`+tc.label+`,"project":"mart"}]`), true)
		})
	}
}

func TestRelabel(t *testing.T) {
	tests := map[Relabel]struct {
		status int
		label  int
	}{"": {200, 4}, RelabelReplace: {200, 4}, RelabelIgnore: {200, 3}, RelabelRefuse: {400, 3}}
	for relabel, tc := range tests {
		t.Run(string(relabel), func(t *testing.T) {
			c := newShare(t, Options{Packages: PackageStyle{Relabel: relabel}})
			must(t, c.server.AllowProject(testProject, "pkg", "mart", 3))
			want(t, "the same", c.updatePackage(`{"add":{"allowedProjectList":[{"label":"3","project":"mart"}]}}`).status, 200)
			want(t, "another", c.updatePackage(`{"add":{"allowedProjectList":[{"label":"4","project":"mart"}]}}`).status, tc.status)
			want(t, "label", c.server.PackageAllowed(testProject, "pkg")[0].Label, tc.label)
			must(t, c.server.AllowProject(testProject, "pkg", "mart", 5))
			want(t, "behind the API's back", c.server.PackageAllowed(testProject, "pkg")[0].Label, 5)
		})
	}
}

func TestCreatePackage(t *testing.T) {
	long := strings.Repeat("p", 128)
	tests := map[string]struct {
		query, body string
		code        string
		packages    string
	}{
		"bare":                 {"", `{"name":"New"}`, "", "[new pkg]"},
		"not to install":       {"?isInstall=false", `{"name":"new"}`, "", "[new pkg]"},
		"empty lists":          {"", `{"name":"new","resourceList":{"table":[],"resource":[],"function":[]}}`, "", "[new pkg]"},
		"a long name":          {"", `{"name":"` + long + `"}`, "", "[pkg " + long + "]"},
		"a name that is taken": {"", `{"name":"PKG"}`, codeExists, "[pkg]"},
		"too long a name":      {"", `{"name":"p` + long + `"}`, codeInvalidArgument, "[pkg]"},
		"a bad name":           {"", `{"name":"a.b"}`, codeInvalidArgument, "[pkg]"},
		"no name":              {"", `{}`, codeInvalidArgument, "[pkg]"},
		"one bad entry":        {"", `{"name":"new","resourceList":{"table":[{"name":"a","actions":["Select"]},{"name":"b","actions":["Read"]}]}}`, codeInvalidArgument, "[pkg]"},
		"the same entry, differing": {
			"", `{"name":"new","resourceList":{"table":[{"name":"a","actions":["Select"]},{"name":"A","actions":["Alter"]}]}}`, codeInvalidArgument, "[pkg]",
		},
		"no actions":             {"", `{"name":"new","resourceList":{"table":[{"name":"a"}]}}`, codeInvalidArgument, "[pkg]"},
		"another kind":           {"", `{"name":"new","resourceList":{"project":[]}}`, codeInvalidBody, "[pkg]"},
		"a schema":               {"", `{"name":"new","resourceList":{"table":[{"name":"a","schemaName":"s","actions":["Select"]}]}}`, codeInvalidBody, "[pkg]"},
		"a name that is none":    {"", `{"name":1}`, codeInvalidBody, "[pkg]"},
		"a list that is none":    {"", `{"name":"new","resourceList":[]}`, codeInvalidBody, "[pkg]"},
		"a kind that is no list": {"", `{"name":"new","resourceList":{"table":{}}}`, codeInvalidBody, "[pkg]"},
		"an unnamed entry":       {"", `{"name":"new","resourceList":{"table":[{"name":1,"actions":["Select"]}]}}`, codeInvalidBody, "[pkg]"},
		"an action that is none": {"", `{"name":"new","resourceList":{"table":[{"name":"t","actions":[1]}]}}`, codeInvalidBody, "[pkg]"},
		"no object":              {"", `[]`, codeInvalidBody, "[pkg]"},
		"an unknown field":       {"", `{"name":"new","label":"1"}`, codeInvalidBody, "[pkg]"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newShare(t, Options{})
			want(t, "code", c.openAPI("CreatePackage", http.MethodPost, packagesPath+tc.query, tc.body).code(), tc.code)
			want(t, "packages", c.server.Packages(testProject), tc.packages)
			want(t, "changes", len(c.server.Journal()[0].Changes) > 0, tc.code == "")
			c.wantNoViolations()
		})
	}
}

func TestExistingPackageInOtherSpelling(t *testing.T) {
	c := newShare(t, Options{Exists: ExistsUnknownCode})
	got := c.openAPI("CreatePackage", http.MethodPost, packagesPath, `{"name":"pkg"}`)
	want(t, "code", statusCode(got), "400 "+codeExistsUnknown)
	want(t, "message", strings.Contains(got.body, "package 'pkg' already exists"), true)
}

func TestUpdatePackage(t *testing.T) {
	const orders = `{"name":"Orders","actions":["Select"]}`
	tests := map[string]struct {
		bodies   []string
		code     string
		contents string
	}{
		"adds":                    {[]string{`{"add":{"resourceList":{"table":[` + orders + `],"function":[{"name":"f","actions":["All"]}]}}}`}, "", "table default.orders: select; function default.f: delete,execute,read,write []"},
		"adds the same again":     {[]string{`{"add":{"resourceList":{"table":[` + orders + `]}}}`, `{"add":{"resourceList":{"table":[{"name":"orders","actions":["SELECT"]}]}}}`}, "", "table default.orders: select []"},
		"never changes actions":   {[]string{`{"add":{"resourceList":{"table":[` + orders + `]}}}`, `{"add":{"resourceList":{"table":[{"name":"orders","actions":["Select","Alter"]}]}}}`}, codeInvalidArgument, "table default.orders: select []"},
		"removes whole entries":   {[]string{`{"add":{"resourceList":{"table":[{"name":"a","actions":["All"]},` + orders + `]}}}`, `{"remove":{"resourceList":{"table":[{"name":"A"}]}}}`}, "", "table default.orders: select []"},
		"removes what is not in":  {[]string{`{"remove":{"resourceList":{"table":[{"name":"a"}]},"allowedProjectList":[{"project":"x"}]}}`}, "", " []"},
		"allows":                  {[]string{`{"add":{"allowedProjectList":[{"label":"9","project":"Mart"},{"project":"*","label":"0"},{"project":"elsewhere"}]}}`}, "", " [{* 0} {elsewhere 0} {mart 9}]"},
		"disallows":               {[]string{`{"add":{"allowedProjectList":[{"label":"2","project":"mart"},{"label":"1","project":"*"}]}}`, `{"remove":{"allowedProjectList":[{"project":"*"}]}}`}, "", " [{mart 2}]"},
		"adds, then removes":      {[]string{`{"add":{"resourceList":{"table":[` + orders + `]}},"remove":{"resourceList":{"table":[{"name":"orders"}]}}}`}, "", " []"},
		"takes patterns":          {[]string{`{"add":{"resourceList":{"table":[{"name":"*","actions":["Select"]}]}}}`}, "", "table default.*: select []"},
		"one bad spoils all":      {[]string{`{"add":{"resourceList":{"table":[` + orders + `]},"allowedProjectList":[{"project":"mart","label":"10"}]}}`}, codeInvalidArgument, " []"},
		"a project's bad name":    {[]string{`{"add":{"allowedProjectList":[{"project":"m*","label":"1"}]}}`}, codeInvalidArgument, " []"},
		"an action of other kind": {[]string{`{"add":{"resourceList":{"resource":[{"name":"r","actions":["Select"]}]}}}`}, codeInvalidArgument, " []"},
		"a removed project's bad name": {
			[]string{`{"remove":{"allowedProjectList":[{"project":"m m"}]}}`}, codeInvalidArgument, " []",
		},
		"a removed table's bad name": {[]string{`{"remove":{"resourceList":{"table":[{"name":"a b"}]}}}`}, codeInvalidArgument, " []"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newShare(t, Options{})
			var got response
			for _, body := range tc.bodies {
				got = c.updatePackage(body)
			}
			want(t, "code", got.code(), tc.code)
			want(t, "contents", c.contents(), tc.contents)
			journal := c.server.Journal()
			want(t, "a refusal changes nothing", tc.code != "" && len(journal[len(journal)-1].Changes) > 0, false)
			c.wantNoViolations()
		})
	}
	c := newShare(t, Options{})
	want(t, "missing project", c.openAPI("UpdatePackage", http.MethodPut, "/api/v1/projects/nowhere/packages/x", `{"remove":{"resourceList":{"table":[{"name":"a"}]}}}`).code(), codeProjectNotFound)
	want(t, "missing package", c.openAPI("UpdatePackage", http.MethodPut, packagesPath+"/x", `{"remove":{"resourceList":{"table":[{"name":"a"}]}}}`).code(), codeObjectNotExist)
}

func TestWhatIsInAPackageTwiceIsSaidSo(t *testing.T) {
	c := newShare(t, Options{})
	must(t, c.server.AddToPackage(testProject, "pkg", Grant{Kind: "table", Name: "t", Actions: []string{"Select"}}))
	got := c.updatePackage(`{"add":{"resourceList":{"table":[{"name":"t","actions":["Describe"]}]}}}`)
	want(t, "message", strings.Contains(got.body, "already exists in package"), true)
}

func TestAPackageHoldsAThousandResources(t *testing.T) {
	c := newShare(t, Options{})
	entries := make([]string, 1000)
	for i := range entries {
		entries[i] = fmt.Sprintf(`{"name":"t%d","actions":["Select"]}`, i)
	}
	want(t, "a thousand", c.updatePackage(`{"add":{"resourceList":{"table":[`+strings.Join(entries, ",")+`]}}}`).status, 200)
	want(t, "one more", c.statement("ADD TABLE more TO PACKAGE pkg").code(), codeInvalidArgument)
	want(t, "resources", len(c.server.PackageGrants(testProject, "pkg")), 1000)
}

func TestPackageRequestsThatNoCorrectClientSends(t *testing.T) {
	tests := map[string]func(*client) response{
		"to install by creating": func(c *client) response {
			return c.openAPI("CreatePackage", http.MethodPost, packagesPath+"?isInstall=true", `{"name":"x"}`)
		},
		"a word for isInstall": func(c *client) response {
			return c.openAPI("CreatePackage", http.MethodPost, packagesPath+"?isInstall=", `{"name":"x"}`)
		},
		"to delete a package": func(c *client) response {
			return c.openAPI("DeletePackage", http.MethodDelete, packagesPath+"/pkg", "")
		},
		"actions to remove": func(c *client) response {
			return c.updatePackage(`{"remove":{"resourceList":{"table":[{"name":"t","actions":["Select"]}]}}}`)
		},
		"a label to remove": func(c *client) response {
			return c.updatePackage(`{"remove":{"allowedProjectList":[{"project":"mart","label":"1"}]}}`)
		},
		"a number for a label": func(c *client) response {
			return c.updatePackage(`{"add":{"allowedProjectList":[{"project":"mart","label":1}]}}`)
		},
		"a word for a label": func(c *client) response {
			return c.updatePackage(`{"add":{"allowedProjectList":[{"project":"mart","label":"high"}]}}`)
		},
		"projects that are none": func(c *client) response {
			return c.updatePackage(`{"add":{"allowedProjectList":{}}}`)
		},
		"a project that is none": func(c *client) response {
			return c.updatePackage(`{"add":{"allowedProjectList":[{"project":1,"label":"1"}]}}`)
		},
		"another half":      func(c *client) response { return c.updatePackage(`{"set":{}}`) },
		"another list":      func(c *client) response { return c.updatePackage(`{"add":{"projects":[]}}`) },
		"another kind":      func(c *client) response { return c.updatePackage(`{"add":{"resourceList":{"instance":[]}}}`) },
		"nothing":           func(c *client) response { return c.updatePackage(`{}`) },
		"nothing, in words": func(c *client) response { return c.updatePackage(`{"add":{"resourceList":{"table":[]}},"remove":{}}`) },
		"no object":         func(c *client) response { return c.updatePackage(`{"add":[]}`) },
		"a list of names":   func(c *client) response { return c.updatePackage(`{"remove":{"resourceList":{"table":["t"]}}}`) },
		"two statements":    func(c *client) response { return c.statement("DROP PACKAGE a; DROP PACKAGE b") },
	}
	for name, call := range tests {
		t.Run(name, func(t *testing.T) {
			c := newShare(t, Options{})
			call(c)
			want(t, "violations", len(c.server.Violations()), 1)
			want(t, "applied", applied(c.server), 0)
		})
	}
}

func TestParsePackageStatement(t *testing.T) {
	verbs := map[*verb]string{
		verbCreatePackage: "create", verbDropPackage: "drop", verbAddToPackage: "add", verbRemoveFromPackage: "remove",
		verbAllowProject: "allow", verbDisallowProject: "disallow", verbInstallPackage: "install", verbUninstallPackage: "uninstall",
	}
	tests := map[string]string{
		"CREATE PACKAGE p":                     "create p",
		"create package p;":                    "create p",
		"DROP PACKAGE p":                       "drop p",
		"DELETE PACKAGE p;":                    "drop p",
		"DROP PACKAGE a.b":                     "drop a.b",
		"INSTALL PACKAGE p":                    "install current.p",
		"INSTALL PACKAGE Q.P;":                 "install q.p",
		"UNINSTALL PACKAGE q.p":                "uninstall q.p",
		"ADD TABLE t TO PACKAGE p":             "add p table t []",
		"ADD TABLE package TO PACKAGE package": "add package table package []",
		"add Table s.t to package p with privileges Select,Describe;": "add p table s.t [Select Describe]",
		"ADD RESOURCE a-1.jar TO PACKAGE p WITH PRIVILEGES Read":      "add p resource a-1.jar [Read]",
		"ADD TABLE * TO PACKAGE p WITH PRIVILEGES Select":             "add p table * [Select]",
		"REMOVE FUNCTION f FROM PACKAGE p":                            "remove p function f []",
		"ALLOW PROJECT q TO INSTALL PACKAGE p":                        "allow p q 0",
		"ALLOW PROJECT * TO INSTALL PACKAGE p USING LABEL 4;":         "allow p * 4",
		"DISALLOW PROJECT q TO INSTALL PACKAGE p":                     "disallow p q 0",
		"CREATE PACKAGE":                                                  "error",
		"ADD TABLE , TO PACKAGE p":                                        "error",
		"ALLOW PROJECT , TO INSTALL PACKAGE p":                            "error",
		"CREATE PACKAGE a b":                                              "error",
		"ADD t TO PACKAGE p":                                              "error",
		"ADD USER RAM$c:u":                                                "error",
		"ADD 'TABLE' t TO PACKAGE p":                                      "injection",
		"ADD TABLE t FROM PACKAGE p":                                      "error",
		"ADD TABLE t TO ROLE p":                                           "error",
		"ADD TABLE t TO PACKAGE p WITH Select":                            "error",
		"ADD TABLE t TO PACKAGE p WITH PRIVILEGES":                        "error",
		"ADD TABLE t(a) TO PACKAGE p":                                     "error",
		"REMOVE TABLE t FROM PACKAGE p WITH PRIVILEGES Select":            "error",
		"ALLOW q TO INSTALL PACKAGE p":                                    "error",
		"ALLOW PROJECT q TO INSTALL PACKAGE p USING 4":                    "error",
		"ALLOW PROJECT q TO INSTALL PACKAGE p USING LABEL high":           "error",
		"ALLOW PROJECT q TO INSTALL PACKAGE p USING LABEL":                "error",
		"ALLOW PROJECT q TO INSTALL PACKAGE p EXP 3":                      "error",
		"DISALLOW PROJECT q TO INSTALL PACKAGE p USING LABEL 4":           "error",
		"INSTALL q.p":                                                     "error",
		"INSTALL PACKAGE q.p; GRANT admin TO USER RAM$c:u":                "injection",
		"ADD TABLE t TO PACKAGE p WITH PRIVILEGES Select; DROP PACKAGE q": "injection",
		"ADD TABLE t TO PACKAGE p WITH PRIVILEGES Select -- x":            "injection",
	}
	for text, wanted := range tests {
		t.Run(text, func(t *testing.T) {
			st, p := parseStatement(text)
			switch {
			case p != nil && p.violation:
				want(t, "statement", "injection", wanted)
			case p != nil:
				want(t, "statement", "error", wanted)
			default:
				want(t, "statement", verbs[st.verb]+" "+spellPackageStatement(st), wanted)
			}
		})
	}
}

func spellPackageStatement(st *statement) string {
	out := st.pkg.keyIn("current")
	if st.kind != "" {
		out += fmt.Sprint(" ", st.kind, " ", st.object, " ", st.actions)
	}
	if st.allowed.Project != "" {
		out += fmt.Sprint(" ", st.allowed.Project, " ", st.allowed.Label)
	}
	return out
}

func TestPackageStatements(t *testing.T) {
	const sales = `{"odps.namespace.schema":"true","odps.default.schema":"Sales"}`
	tests := map[string]struct {
		project, settings string
		statements        []string
		code              string
		contents          string
	}{
		"default actions": {
			"shop", "", []string{"ADD TABLE T TO PACKAGE Pkg", "ADD RESOURCE r.jar TO PACKAGE pkg", "ADD FUNCTION f TO PACKAGE pkg"}, "",
			"table default.t: describe,select; resource default.r.jar: read; function default.f: read []",
		},
		"given actions":            {"shop", "", []string{"ADD TABLE t TO PACKAGE pkg WITH PRIVILEGES All, Download"}, "", "table default.t: alter,describe,download,drop,select,showhistory,update []"},
		"other actions":            {"shop", "", []string{"ADD TABLE t TO PACKAGE pkg", "ADD TABLE t TO PACKAGE pkg WITH PRIVILEGES Select"}, codeInvalidArgument, "table default.t: describe,select []"},
		"removed and added":        {"shop", "", []string{"ADD TABLE t TO PACKAGE pkg", "REMOVE TABLE T FROM PACKAGE pkg", "ADD TABLE t TO PACKAGE pkg WITH PRIVILEGES Select"}, "", "table default.t: select []"},
		"a project in front":       {"shop", "", []string{"ADD TABLE shop.t TO PACKAGE pkg"}, codeInvalidArgument, " []"},
		"another kind":             {"shop", "", []string{"ADD INSTANCE i TO PACKAGE pkg WITH PRIVILEGES Read"}, codeInvalidArgument, " []"},
		"a schema, in two tiers":   {"shop", sales, []string{"ADD TABLE s.t TO PACKAGE pkg"}, codeInvalidArgument, " []"},
		"a missing package":        {"shop", "", []string{"ADD TABLE t TO PACKAGE nothing"}, codeNoSuchObject, " []"},
		"schemas":                  {"three", sales, []string{"ADD TABLE t TO PACKAGE pkg", "ADD TABLE Hr.t TO PACKAGE pkg", "ADD FUNCTION Hr.f TO PACKAGE pkg"}, "", "table hr.t: describe,select; table sales.t: describe,select; function hr.f: read []"},
		"a resource of a schema":   {"three", sales, []string{"ADD RESOURCE sales.Udf-1.jar TO PACKAGE pkg", "ADD RESOURCE b.jar TO PACKAGE pkg"}, "", "resource sales.b.jar: read; resource sales.Udf-1.jar: read []"},
		"removed from a schema":    {"three", sales, []string{"ADD TABLE sales.t TO PACKAGE pkg", "REMOVE TABLE Sales.T FROM PACKAGE pkg"}, "", " []"},
		"without the switch":       {"three", "", []string{"ADD TABLE hr.t TO PACKAGE pkg"}, codeInvalidArgument, " []"},
		"removed, in front":        {"three", "", []string{"REMOVE TABLE hr.t FROM PACKAGE pkg"}, codeInvalidArgument, " []"},
		"allowed":                  {"shop", "", []string{"ALLOW PROJECT Mart TO INSTALL PACKAGE pkg", "ALLOW PROJECT * TO INSTALL PACKAGE pkg USING LABEL 3"}, "", " [{* 3} {mart 0}]"},
		"allowed with a bad label": {"shop", "", []string{"ALLOW PROJECT mart TO INSTALL PACKAGE pkg USING LABEL 10"}, codeInvalidArgument, " []"},
		"disallowed":               {"shop", "", []string{"ALLOW PROJECT mart TO INSTALL PACKAGE pkg", "DISALLOW PROJECT MART TO INSTALL PACKAGE pkg"}, "", " []"},
		"created":                  {"shop", "", []string{"DROP PACKAGE pkg", "CREATE PACKAGE PKG"}, "", " []"},
		"created twice":            {"shop", "", []string{"CREATE PACKAGE pkg"}, codeAlreadyExistsODP, " []"},
		"created with a bad name":  {"shop", "", []string{"CREATE PACKAGE 9lives"}, codeInvalidArgument, " []"},
		"dropped twice":            {"shop", "", []string{"DROP PACKAGE pkg", "DELETE PACKAGE pkg"}, codeNoSuchObject, " []"},
		"not installed":            {"shop", "", []string{"UNINSTALL PACKAGE three.pkg"}, codeNoSuchObject, " []"},
		"dropped as installed":     {"shop", "", []string{"DROP PACKAGE shop.pkg"}, codeNoSuchObject, " []"},
		"in a missing project":     {"nowhere", "", []string{"INSTALL PACKAGE shop.pkg"}, codeODPSNoProject, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newShare(t, Options{})
			must(t, c.server.CreatePackage("three", "pkg"))
			var got response
			for _, text := range tc.statements {
				got = c.statementIn(tc.project, text, tc.settings)
			}
			want(t, "code", got.code(), tc.code)
			if tc.project != "nowhere" {
				want(t, "contents", spellGrants(c.server.PackageGrants(tc.project, "pkg"))+" "+fmt.Sprint(c.server.PackageAllowed(tc.project, "pkg")), tc.contents)
			}
			c.wantNoViolations()
		})
	}
}

func TestInstallationsFollowTheirSource(t *testing.T) {
	tests := map[string]struct {
		do   func(*client)
		want string
	}{
		"allowed by name":     {func(*client) {}, "shop.pkg OK"},
		"disallowed":          {func(c *client) { c.statement("DISALLOW PROJECT mart TO INSTALL PACKAGE pkg") }, "shop.pkg SOURCE_NOT_ALLOWED"},
		"disallowed, OpenAPI": {func(c *client) { c.updatePackage(`{"remove":{"allowedProjectList":[{"project":"mart"}]}}`) }, "shop.pkg SOURCE_NOT_ALLOWED"},
		"allowed again": {func(c *client) {
			c.statement("DISALLOW PROJECT mart TO INSTALL PACKAGE pkg")
			c.statement("ALLOW PROJECT mart TO INSTALL PACKAGE pkg")
		}, "shop.pkg OK"},
		"allowed with all": {func(c *client) {
			c.statement("ALLOW PROJECT * TO INSTALL PACKAGE pkg")
			c.statement("DISALLOW PROJECT mart TO INSTALL PACKAGE pkg")
		}, "shop.pkg OK"},
		"dropped": {func(c *client) { c.statement("DROP PACKAGE pkg") }, "shop.pkg SOURCE_DROPPED"},
		"dropped and made anew": {func(c *client) {
			c.statement("DROP PACKAGE pkg")
			c.statement("CREATE PACKAGE pkg")
			c.statement("ALLOW PROJECT mart TO INSTALL PACKAGE pkg")
		}, "shop.pkg SOURCE_DROPPED"},
		"dropped behind the API's back": {func(c *client) { must(c.t, c.server.DropPackage(testProject, "PKG")) }, "shop.pkg SOURCE_DROPPED"},
		"its project removed":           {func(c *client) { c.server.RemoveProject(testProject); c.server.RemoveProject("nothing") }, "shop.pkg SOURCE_DROPPED"},
		"uninstalled":                   {func(c *client) { c.statementIn("mart", "UNINSTALL PACKAGE Shop.Pkg", "") }, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newShare(t, Options{})
			must(t, c.server.AllowProject(testProject, "pkg", "Mart", 1))
			must(t, c.server.InstallPackage("Mart", "Shop", "Pkg"))
			tc.do(c)
			want(t, "installed", c.installed(), tc.want)
			_, status, _ := strings.Cut(tc.want, " ")
			want(t, "listed", strings.Contains(c.listPackages("mart").body, `"status":"`+status+`"`), tc.want != "")
			c.wantNoViolations()
		})
	}
}

func TestInstallIsRefusedLater(t *testing.T) {
	tests := map[string]struct {
		do   func(*client)
		text string
		want string
	}{
		"no such package":     {func(*client) {}, "INSTALL PACKAGE shop.nothing", "FAILED NoSuchObject: the package 'shop.nothing' does not exist"},
		"no such project":     {func(*client) {}, "INSTALL PACKAGE nowhere.pkg", "FAILED ODPS-0420111: project not found - 'nowhere'"},
		"not shared":          {func(*client) {}, "INSTALL PACKAGE shop.pkg", "FAILED ODPS-0420095: Access Denied - project 'mart' is not allowed to install package 'shop.pkg'"},
		"shared with others":  {func(c *client) { must(c.t, c.server.AllowProject("shop", "pkg", "three", 0)) }, "INSTALL PACKAGE shop.pkg", "FAILED ODPS-0420095: Access Denied - project 'mart' is not allowed to install package 'shop.pkg'"},
		"of its own, unnamed": {func(*client) {}, "INSTALL PACKAGE pkg", "FAILED NoSuchObject: the package 'mart.pkg' does not exist"},
		"installed already": {func(c *client) {
			must(c.t, c.server.AllowProject("shop", "pkg", "*", 0))
			must(c.t, c.server.InstallPackage("mart", "shop", "pkg"))
		}, "INSTALL PACKAGE shop.pkg", "FAILED ObjectAlreadyExists: the package 'shop.pkg' exists"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newShare(t, Options{})
			tc.do(c)
			before := c.installed()
			got := c.statementIn("mart", tc.text, "")
			want(t, "status", got.status, 201)
			want(t, "outcome", c.pollMart(got.result()).result(), tc.want)
			want(t, "polled again", c.pollMart(got.result()).result(), tc.want)
			want(t, "installed", c.installed(), before)
			want(t, "applied", applied(c.server), 0)
			c.wantNoViolations()
		})
	}
}

// pollMart polls a statement of the other project.
func (c *client) pollMart(id string) response {
	c.t.Helper()
	target := "/api/projects/mart/authorization/" + id
	return c.send(c.signODPS(httptest.NewRequestWithContext(c.t.Context(), http.MethodGet, target, nil)))
}

func TestAnAsynchronousInstallLooksAtItsEnd(t *testing.T) {
	c := newShare(t, Options{})
	must(t, c.server.AllowProject(testProject, "pkg", "mart", 0))
	c.server.Inject(Fault{Kind: FaultAsync, Package: "SHOP.pkg"})
	first, second := c.statementIn("mart", "INSTALL PACKAGE shop.pkg", ""), c.statementIn("mart", "INSTALL PACKAGE shop.pkg", "")
	want(t, "not yet", c.installed(), "")
	want(t, "ended", c.pollMart(first.result()).result(), "TERMINATED ")
	want(t, "done", c.installed(), "shop.pkg OK")
	want(t, "too late", c.pollMart(second.result()).result(), "FAILED ObjectAlreadyExists: the package 'shop.pkg' exists")
	entries := c.server.Journal()
	want(t, "package of the poll", entries[2].Package, "shop.pkg")
	want(t, "change", fmt.Sprint(entries[2].Changes[0].Change, " ", entries[2].Changes[0].Package), "install shop.pkg")
	want(t, "nothing changed", len(entries[3].Changes), 0)
}

func TestInstalledPackagesAreSeenThroughTheirSource(t *testing.T) {
	c := newShare(t, Options{})
	must(t, c.server.AddToPackage(testProject, "pkg", Grant{Kind: "table", Name: "t", Actions: []string{"Select"}}))
	must(t, c.server.AllowProject(testProject, "pkg", "mart", 2))
	must(t, c.server.InstallPackage("mart", "shop", "pkg"))
	get := func(query string) response {
		return c.openAPI("GetPackage", http.MethodGet, "/api/v1/projects/mart/packages/PKG"+query, "")
	}
	const table = `{"allowedProjectList":[],"resourceList":{"table":[{"name":"t","schemaName":"default","actions":["select"]}],"resource":[],"function":[]}}`
	want(t, "installed", get("?sourceProject=Shop").rawData(), table)
	must(t, c.server.RemoveFromPackage(testProject, "pkg", Grant{Kind: "table", Name: "T"}))
	want(t, "live", strings.Contains(get("?sourceProject=shop").body, `"table":[]`), true)
	want(t, "without its source", get("").code(), codeInvalidBody)
	want(t, "of another source", get("?sourceProject=three").code(), codeObjectNotExist)
	want(t, "made, not installed", c.getPackage("?sourceProject=shop").code(), codeObjectNotExist)
	want(t, "neither", c.openAPI("GetPackage", http.MethodGet, packagesPath+"/x", "").code(), codeObjectNotExist)
	want(t, "project", c.openAPI("GetPackage", http.MethodGet, "/api/v1/projects/nowhere/packages/x?sourceProject=shop", "").code(), codeProjectNotFound)
	must(t, c.server.DisallowProject(testProject, "pkg", "mart"))
	want(t, "not shared", get("?sourceProject=shop").code(), codeAccessDenied)
	must(t, c.server.DropPackage(testProject, "pkg"))
	want(t, "dropped", get("?sourceProject=shop").code(), codeObjectNotExist)
	must(t, c.server.UninstallPackage("mart", "shop", "pkg"))
	want(t, "uninstalled", c.installed(), "")
	c.wantNoViolations()
}

func TestStrictProjectsKnowTheirPackages(t *testing.T) {
	c := newShare(t, Options{})
	must(t, c.server.AllowProject(testProject, "pkg", "*", 0))
	must(t, c.server.CreateRole("mart", "r", ""))
	must(t, c.server.CreatePackage("mart", "own"))
	must(t, c.server.SetStrict("mart", true))
	grant := func(name string) string {
		return c.statementIn("mart", "GRANT Read ON PACKAGE "+name+" TO ROLE r", "").code()
	}
	grants := func() string { return spellGrants(c.server.RoleGrants("mart", "r")) }
	want(t, "not installed", grant("shop.pkg"), codeTableNotFound)
	must(t, c.server.InstallPackage("mart", "shop", "pkg"))
	want(t, "installed", grant("Shop.Pkg"), "")
	want(t, "its own", grant("own"), "")
	want(t, "its own, by its full name", grant("mart.own"), "")
	want(t, "a pattern", grant("shop.*"), "")
	want(t, "grants", grants(), "package default.mart.own: read; package default.own: read; package default.shop.*: read; package default.shop.pkg: read")
	want(t, "uninstall", c.statementIn("mart", "UNINSTALL PACKAGE shop.pkg", "").status, 200)
	want(t, "taken along", grants(), "package default.mart.own: read; package default.own: read; package default.shop.*: read")
	must(t, c.server.InstallPackage("mart", "shop", "pkg"))
	want(t, "again", grant("shop.pkg"), "")
	must(t, c.server.DropPackage(testProject, "pkg"))
	want(t, "dropped at its source", grants(), "package default.mart.own: read; package default.own: read; package default.shop.*: read")
	must(t, c.server.DropPackage("mart", "own"))
	want(t, "dropped here", strings.Contains(grants(), "default.own"), false)

	must(t, c.server.CreatePackage("mart", "k"))
	want(t, "a missing table", c.statementIn("mart", "ADD TABLE t TO PACKAGE k", "").code(), codeTableNotFound)
	must(t, c.server.DeclareObject("mart", "table", "", "t"))
	want(t, "a table", c.statementIn("mart", "ADD TABLE t TO PACKAGE k", "").code(), "")
	must(t, c.server.DropObject("mart", "table", "", "T"))
	want(t, "the table is gone", spellGrants(c.server.PackageGrants("mart", "k")), "")
	c.wantNoViolations()
}

func TestPackageJournal(t *testing.T) {
	c := newClient(t, Options{Projects: []Project{{Name: testProject}, {Name: "mart"}}})
	c.openAPI("CreatePackage", http.MethodPost, packagesPath, `{"name":"Pkg","resourceList":{"table":[{"name":"t","actions":["Select"]}]}}`)
	c.updatePackage(`{"add":{"resourceList":{"table":[{"name":"u","actions":["Select","Alter"]}]},"allowedProjectList":[{"project":"Mart","label":"2"}]}}`)
	c.updatePackage(`{"add":{"allowedProjectList":[{"project":"mart","label":"2"}]}}`)
	c.statementIn("mart", "INSTALL PACKAGE shop.pkg", "")
	c.statement("REMOVE TABLE t FROM PACKAGE pkg")
	c.statement("DISALLOW PROJECT mart TO INSTALL PACKAGE pkg")
	c.statementIn("mart", "UNINSTALL PACKAGE shop.pkg", "")
	c.getPackage("")
	c.statement("DROP PACKAGE pkg")
	c.statement("DROP PACKAGE pkg")
	var got []string
	for _, e := range c.server.Journal() {
		line := fmt.Sprintf("%s %s/%s", e.Action, e.Project, e.Package)
		if e.Write {
			line += " write"
		}
		if e.Applied {
			line += " applied"
		}
		for _, ch := range e.Changes {
			line += "|" + strings.Join(strings.Fields(fmt.Sprint(ch.Change, " ", ch.Package, " ", ch.Kind, " ", ch.Name, " ", ch.Actions, " ", ch.Allowed, " ", ch.Label)), " ")
		}
		got = append(got, line)
	}
	want(t, "journal", strings.Join(got, "\n"), strings.Join([]string{
		"CreatePackage shop/pkg write applied|createPackage pkg [] 0|addResource pkg table t [select] 0",
		"UpdatePackage shop/pkg write applied|addResource pkg table u [alter select] 0|allowProject pkg [] mart 2",
		"UpdatePackage shop/pkg write applied",
		"Statement mart/shop.pkg write applied|install shop.pkg [] 0",
		"Statement shop/pkg write applied|removeResource pkg table t [select] 0",
		"Statement shop/pkg write applied|disallowProject pkg [] mart 0",
		"Statement mart/shop.pkg write applied|uninstall shop.pkg [] 0",
		"GetPackage shop/pkg",
		"Statement shop/pkg write applied|dropPackage pkg [] 0",
		"Statement shop/pkg write",
	}, "\n"))
}

func TestStaleReadsOfPackages(t *testing.T) {
	table := func(name string) Grant { return Grant{Kind: "table", Name: name, Actions: []string{"Select"}} }
	tests := map[string]struct {
		fault Fault
		read  func(*client) string
		want  string
	}{
		"the contents before the last change": {Fault{StaleWrites: 1}, func(c *client) string { return c.getPackage("").rawData() }, `"name":"a"`},
		"before the package":                  {Fault{StaleWrites: 3, Package: "pkg"}, func(c *client) string { return c.getPackage("").code() }, codeObjectNotExist},
		"the list before the last change":     {Fault{StaleWrites: 1}, func(c *client) string { return c.listPackages("shop").rawData() }, `[{"name":"pkg"`},
		"the list before the packages":        {Fault{StaleWrites: 9}, func(c *client) string { return c.listPackages("shop").rawData() }, `"createdPackages":[]`},
		"a status before it changed":          {Fault{StaleWrites: 1}, func(c *client) string { return c.listPackages("mart").rawData() }, `"status":"OK"`},
		"an installed one before it changed": {Fault{StaleWrites: 1}, func(c *client) string {
			return c.openAPI("GetPackage", http.MethodGet, "/api/v1/projects/mart/packages/old?sourceProject=shop", "").code()
		}, codeObjectNotExist},
		"roles do not count the packages": {Fault{StaleWrites: 1}, func(c *client) string { return listed(c, testProject) }, "admin super_administrator"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{Projects: []Project{{Name: testProject}, {Name: "mart"}}})
			c.createRole("r")
			must(t, c.server.CreatePackage(testProject, "pkg"))
			must(t, c.server.AddToPackage(testProject, "pkg", table("a")))
			must(t, c.server.AddToPackage(testProject, "pkg", table("b")))
			must(t, c.server.CreatePackage(testProject, "old"))
			must(t, c.server.AllowProject(testProject, "old", "mart", 0))
			must(t, c.server.InstallPackage("mart", testProject, "old"))
			must(t, c.server.DropPackage(testProject, "old"))
			must(t, c.server.CreatePackage(testProject, "late"))
			tc.fault.Kind, tc.fault.Times = FaultStaleRead, 1
			c.server.Inject(tc.fault)
			got := tc.read(c)
			want(t, "read", strings.Contains(got, tc.want), true)
			want(t, "hits", c.server.Faults()[0].Hits, 1)
			want(t, "b is not there yet", strings.Contains(got, `"name":"b"`), false)
		})
	}
}

func TestFaultsOfPackages(t *testing.T) {
	tests := map[string]struct {
		fault Fault
		hit   string
	}{
		"by package":      {Fault{Package: "PKG"}, "get update drop"},
		"by installation": {Fault{Package: "shop.pkg"}, "install"},
		"by action":       {Fault{Action: "ListPackages"}, "list"},
		"writes":          {Fault{Only: "writes"}, "update install drop"},
		"by statement":    {Fault{Statement: "drop package"}, "drop"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newShare(t, Options{})
			tc.fault.Kind, tc.fault.Status = FaultError, 418
			c.server.Inject(tc.fault)
			var hit []string
			for _, call := range []struct {
				name string
				res  response
			}{
				{"list", c.listPackages("shop")},
				{"get", c.getPackage("")},
				{"update", c.updatePackage(`{"add":{"allowedProjectList":[{"label":"1","project":"mart"}]}}`)},
				{"install", c.statementIn("mart", "INSTALL PACKAGE shop.pkg", "")},
				{"drop", c.statement("DROP PACKAGE pkg")},
			} {
				if call.res.status == 418 {
					hit = append(hit, call.name)
				}
			}
			want(t, "hit", strings.Join(hit, " "), tc.hit)
		})
	}
}

func TestDeniedPackageStatements(t *testing.T) {
	c := newShare(t, Options{})
	must(t, c.server.DenyAction(c.key, "Install", ""))
	must(t, c.server.DenyAction(c.key, "UpdatePackage", codeForbiddenRAM))
	want(t, "statement", c.statementIn("mart", "INSTALL PACKAGE shop.pkg", "").code(), codeAccessDenied)
	want(t, "update", c.updatePackage(`{"remove":{"allowedProjectList":[{"project":"x"}]}}`).code(), codeForbiddenRAM)
	want(t, "others", c.statement("DROP PACKAGE pkg").status, 200)
}

func TestPackagesBehindTheAPIsBack(t *testing.T) {
	c := newShare(t, Options{})
	s := c.server
	grant := Grant{Kind: "table", Name: "T", Actions: []string{"All"}}
	must(t, s.AddToPackage(testProject, "PKG", grant))
	must(t, s.AllowProject(testProject, "pkg", "MART", 3))
	want(t, "exists", s.PackageExists(testProject, "Pkg"), true)
	want(t, "exists not", s.PackageExists(testProject, "x") || s.PackageExists("x", "pkg"), false)
	want(t, "nothing", s.PackageGrants("x", "pkg") == nil && s.PackageAllowed(testProject, "x") == nil && s.Installed("x") == nil && s.Packages("x") == nil, true)
	want(t, "none", s.Installed("mart") == nil || s.Packages("mart") == nil, false)
	must(t, s.InstallPackage("mart", "shop", "pkg"))
	want(t, "an installed one is not made", s.PackageExists("mart", "shop.pkg"), false)
	got := s.PackageGrants(testProject, "pkg")
	got[0].Actions[0] = "changed"
	want(t, "a copy", strings.Contains(c.contents(), "changed"), false)
	for name, err := range map[string]error{
		"no project":       s.CreatePackage("x", "pkg"),
		"taken":            s.CreatePackage(testProject, "pkg"),
		"bad name":         s.CreatePackage(testProject, "a b"),
		"other actions":    s.AddToPackage(testProject, "pkg", Grant{Kind: "table", Name: "t", Actions: []string{"Select"}}),
		"no package":       s.RemoveFromPackage(testProject, "x", grant),
		"bad label":        s.AllowProject(testProject, "pkg", "mart", 10),
		"nothing to drop":  s.DropPackage(testProject, "x"),
		"not shared":       s.InstallPackage("three", "shop", "pkg"),
		"not installed":    s.UninstallPackage("three", "shop", "pkg"),
		"unknown disallow": s.DisallowProject(testProject, "x", "mart"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	want(t, "journal", len(s.Journal()), 0)
}

func TestPackagesInTheAdministrativeAPI(t *testing.T) {
	at := time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC)
	c := newClient(t, Options{Projects: []Project{{Name: testProject}, {Name: "mart"}}, Clock: func() time.Time { return at }})
	call := func(method, target, body string) (int, string) {
		rec := httptest.NewRecorder()
		c.server.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, "/_admin/"+target, strings.NewReader(body)))
		return rec.Code, rec.Body.String()
	}
	for _, step := range []struct {
		target, body string
		status       int
	}{
		{"packages", `{"project":"shop","name":"Pkg"}`, 200},
		{"packages", `{"project":"shop","name":"pkg"}`, 400},
		{"packages", `{"project":"shop","name":"old"}`, 200},
		{"packages/add", `{"project":"shop","package":"pkg","kind":"table","name":"T","actions":["Select"]}`, 200},
		{"packages/add", `{"project":"shop","package":"pkg","kind":"table","name":"u","actions":["Select"]}`, 200},
		{"packages/add", `{"project":"shop","package":"pkg","kind":"project","name":"shop","actions":["List"]}`, 400},
		{"packages/remove", `{"project":"shop","package":"pkg","kind":"table","name":"U"}`, 200},
		{"packages/allow", `{"project":"shop","package":"pkg","allowed":"mart","label":2}`, 200},
		{"packages/allow", `{"project":"shop","package":"pkg","allowed":"*","label":1}`, 200},
		{"packages/disallow", `{"project":"shop","package":"pkg","allowed":"*"}`, 200},
		{"packages/install", `{"project":"mart","sourceProject":"shop","package":"pkg"}`, 200},
		{"packages/install", `{"project":"mart","sourceProject":"shop","package":"old"}`, 400},
		{"packages/uninstall", `{"project":"mart","sourceProject":"shop","package":"pkg"}`, 200},
		{"packages/install", `{"project":"mart","sourceProject":"shop","package":"pkg"}`, 200},
		{"packages/style", `{"times":"seconds","labelNumbers":true,"relabel":"refuse"}`, 200},
		{"packages/style", `{"times":"stardates"}`, 400},
		{"packages/style", `{"relabel":"perhaps"}`, 400},
	} {
		if status, body := call("POST", step.target, step.body); status != step.status {
			t.Errorf("%s %s: %d %s", step.target, step.body, status, body)
		}
	}
	status, _ := call("DELETE", "packages/shop/old", "")
	want(t, "drop", status, 200)
	_, state := call("GET", "state", "")
	flat := strings.Join(strings.Fields(state), "")
	for _, part := range []string{
		`"packages":[{"name":"pkg","createTime":"2026-11-21T16:00:00Z","grants":[{"kind":"table","schemaName":"default","name":"t","actions":["select"]}],"allowed":[{"project":"mart","label":2}]}],"installed":[]`,
		`"packages":[],"installed":[{"sourceProject":"shop","name":"pkg","status":"OK","installTime":"2026-11-21T16:00:00Z"}]`,
		`"packages":{"times":"seconds","labelNumbers":true,"relabel":"refuse"}`,
	} {
		want(t, "state holds "+part, strings.Contains(flat, part), true)
	}
	want(t, "listed as numbers of seconds", strings.Contains(c.listPackages("shop").body, fmt.Sprintf(`"createTime":%d}`, at.Unix())), true)
	defer func() { want(t, "panics", recover() != nil, true) }()
	c.server.SetPackageStyle(PackageStyle{Times: "x"})
}
