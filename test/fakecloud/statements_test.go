package fakecloud

import (
	"fmt"
	"strings"
	"testing"
)

func TestTokenize(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"words and symbols":         {"GRANT a,b ON t;", "GRANT a , b ON t ;"},
		"principals are one word":   {"TO RAM$corp@x.com:role/r-1", "TO RAM$corp@x.com:role/r-1"},
		"strings lose their quotes": {`COMMENT 'a "b";' "c"`, `COMMENT a "b"; c`},
		"any white space":           {" a\tb\r\nc ", "a b c"},
		"unterminated string":       {"COMMENT 'a", "error"},
		"comment":                   {"DROP ROLE r --x", "error"},
		"block comment":             {"DROP/**/ROLE r", "error"},
		"backtick":                  {"DROP ROLE `r`", "error"},
		"letter outside ASCII":      {"DROP ROLE rôle", "error"},
		"control character":         {"DROP ROLE r\x00", "error"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tokens, p := tokenize(tc.text)
			if p != nil {
				want(t, "code", p.code, codeParse)
				want(t, "tokens", "error", tc.want)
				return
			}
			var words []string
			for _, tok := range tokens[:len(tokens)-1] {
				words = append(words, tok.text)
			}
			want(t, "tokens", strings.Join(words, " "), tc.want)
		})
	}
}

func TestParseStatement(t *testing.T) {
	tests := map[string]string{
		"CREATE ROLE r":  "createRole [r]",
		"create role r;": "createRole [r]",
		`CREATE ROLE r COMMENT 'it; is' PRIVILEGEPROPERTIES("type"="admin");`: "createRole [r] type=admin",
		"DROP ROLE r":            "dropRole [r]",
		"DELETE ROLE r":          "dropRole [r]",
		"DESC ROLE r":            "describeRole [r]",
		"describe role r ;":      "describeRole [r]",
		"SHOW GRANTS FOR ROLE r": "showGrants [r]",
		"LIST ROLES":             "listRoles []",
		"GRANT Select, Describe ON TABLE t TO ROLE r": "grant [r] [Select Describe] table t",
		"GRANT Select ON t TO ROLE r":                 "grant [r] [Select] table t",
		"GRANT Select ON s.t TO ROLE r":               "grant [r] [Select] table s.t",
		"GRANT Read ON RESOURCE a-1.jar TO ROLE r":    "grant [r] [Read] resource a-1.jar",
		"GRANT All ON FUNCTION f TO ROLE r":           "grant [r] [All] function f",
		"GRANT Read ON PACKAGE p.k TO ROLE r":         "grant [r] [Read] package p.k",
		"GRANT List ON PROJECT shop TO ROLE r":        "grant [r] [List] project shop",
		"GRANT Read ON INSTANCE * TO ROLE r":          "grant [r] [Read] instance *",
		"GRANT List ON PROJECT * TO ROLE r":           "grant [r] [List] project *",
		"REVOKE List ON PROJECT * FROM ROLE r":        "revoke [r] [List] project *",
		"GRANT Select ON TABLE ods_* TO ROLE r":       "grant [r] [Select] table ods_*",
		"GRANT Select ON TABLE *_tmp TO ROLE r":       "grant [r] [Select] table *_tmp",
		"GRANT Select ON * TO ROLE r":                 "grant [r] [Select] table *",
		"GRANT Select ON TABLE resource TO ROLE r":    "grant [r] [Select] table resource",
		"GRANT Select ON resource TO ROLE r":          "grant [r] [Select] table resource",
		"REVOKE Select ON TABLE t FROM ROLE r":        "revoke [r] [Select] table t",
		"GRANT ROLE r TO USER ALIYUN$a@x.com":         "grantRole [r] ALIYUN$a@x.com",
		"GRANT r TO RAM$c:u":                          "grantRole [r] RAM$c:u",
		"GRANT a,b TO RAM$c:u":                        "grantRole [a b] RAM$c:u",
		"GRANT ROLE role TO USER RAM$c:u":             "grantRole [role] RAM$c:u",
		"REVOKE r FROM USER RAM$c:u;":                 "revokeRole [r] RAM$c:u",

		"":                        "error",
		";":                       "error",
		"SELECT 1":                "error",
		"CREATE TABLE t":          "error",
		"CREATE ROLE":             "error",
		"CREATE ROLE r s":         "error",
		"CREATE ROLE r COMMENT x": "error",
		`CREATE ROLE r PRIVILEGEPROPERTIES("a"="b")`: "injection",
		"DROP ROLE a,b":                           "error",
		"DROP ROLE 'r'":                           "injection",
		"SHOW GRANTS":                             "error",
		"LIST ROLES r":                            "error",
		"GRANT ON TABLE t TO ROLE r":              "error",
		"GRANT Select ON TABLE TO ROLE r":         "error",
		"GRANT Select ON TABLE t TO r":            "error",
		"GRANT Select ON TABLE t TO USER RAM$c:u": "error",
		"GRANT Select ON TABLE t FROM ROLE r":     "error",
		"GRANT Select(a) ON TABLE t TO ROLE r":    "error",
		"GRANT Select, ON TABLE t TO ROLE r":      "error",
		"REVOKE Select ON TABLE t TO ROLE r":      "error",

		"DROP ROLE r; DROP ROLE s": "injection",
		"DROP ROLE r;;":            "injection",
		"GRANT Select ON TABLE t; DROP ROLE x; -- TO ROLE r":      "injection",
		"GRANT Select ON TABLE t TO ROLE r -- ;":                  "injection",
		"GRANT Select ON TABLE t' OR '1'='1 TO ROLE r":            "injection",
		"GRANT Select ON TABLE t/**/TO ROLE admin TO ROLE r":      "injection",
		"GRANT Select ON TABLE t TO ROLE r TO ROLE s":             "error",
		"GRANT Select ON TABLE t TO ROLE r,admin":                 "error",
		"GRANT r TO USER RAM$c:u; GRANT admin TO USER RAM$c:u":    "injection",
		"GRANT Select ON TABLE t\nTO ROLE r;\nDROP ROLE s":        "injection",
		"GRANT Select ON TABLE t TO ROLE r COMMENT '; DROP ROLE'": "injection",
	}
	verbs := map[*verb]string{
		verbCreateRole: "createRole", verbDropRole: "dropRole", verbGrant: "grant", verbRevoke: "revoke",
		verbGrantRole: "grantRole", verbRevokeRole: "revokeRole", verbListRoles: "listRoles",
		verbDescribeRole: "describeRole", verbShowGrants: "showGrants",
	}
	for text, wanted := range tests {
		t.Run(text, func(t *testing.T) {
			st, p := parseStatement(text)
			got := "error"
			switch {
			case p != nil && p.violation:
				got = "injection"
			case p == nil:
				got = spellStatement(verbs[st.verb], st)
			}
			want(t, "statement", got, wanted)
		})
	}
}

func spellStatement(verb string, st *statement) string {
	out := fmt.Sprint(verb, " ", st.roles)
	if st.actions != nil {
		out += fmt.Sprint(" ", st.actions, " ", st.kind, " ", st.object)
	}
	if st.principal != "" {
		out += " " + st.principal
	}
	if st.roleType != "" {
		out += " type=" + st.roleType
	}
	return out
}

func TestGrantAndRevoke(t *testing.T) {
	tests := map[string]struct {
		statements []string
		code       string
		grants     string
	}{
		"grants in lower case": {
			statements: []string{"GRANT Select, Describe ON TABLE T1 TO ROLE r"}, grants: "table default.t1: describe,select",
		},
		"grants twice": {
			statements: []string{"GRANT Select ON TABLE t TO ROLE r", "GRANT SELECT ON TABLE T TO ROLE R"}, grants: "table default.t: select",
		},
		"adds to what is there": {
			statements: []string{"GRANT Select ON TABLE t TO ROLE r", "GRANT Alter ON TABLE t TO ROLE r"}, grants: "table default.t: alter,select",
		},
		"expands All without Download": {
			statements: []string{"GRANT all ON TABLE t TO ROLE r"}, grants: "table default.t: alter,describe,drop,select,showhistory,update",
		},
		"revokes All but Download": {
			statements: []string{"GRANT All, Download ON RESOURCE x.jar TO ROLE r", "REVOKE ALL ON RESOURCE X.JAR FROM ROLE r"},
			grants:     "resource default.x.jar: download",
		},
		"revokes one action": {
			statements: []string{"GRANT Read, Write ON FUNCTION f TO ROLE r", "REVOKE read ON FUNCTION F FROM ROLE r"},
			grants:     "function default.f: write",
		},
		"revokes nothing":  {statements: []string{"REVOKE Select ON TABLE t FROM ROLE r"}},
		"takes every kind": {statements: []string{"GRANT Read ON INSTANCE * TO ROLE r", "GRANT Read ON PACKAGE Other.Pkg TO ROLE r", "GRANT List ON PROJECT SHOP TO ROLE r"}, grants: "project default.shop: list; instance default.*: read; package default.other.pkg: read"},
		"takes patterns": {
			statements: []string{
				"GRANT List ON PROJECT * TO ROLE r", "GRANT List ON PROJECT sh* TO ROLE r", "GRANT Select ON TABLE ODS_* TO ROLE r",
				"GRANT Drop ON TABLE *_tmp TO ROLE r", "GRANT Read ON FUNCTION * TO ROLE r", "GRANT Read ON RESOURCE lib-*.jar TO ROLE r",
				"GRANT Read ON PACKAGE other.* TO ROLE r",
			},
			grants: "table default.*_tmp: drop; table default.ods_*: select; resource default.lib-*.jar: read; function default.*: read; " +
				"project default.*: list; project default.sh*: list; package default.other.*: read",
		},
		"revokes patterns, and only them": {
			statements: []string{
				"GRANT List ON PROJECT * TO ROLE r", "GRANT List ON PROJECT shop TO ROLE r", "GRANT Select ON TABLE ods_* TO ROLE r",
				"GRANT Select ON TABLE ods_a TO ROLE r", "REVOKE List ON PROJECT * FROM ROLE r", "REVOKE Select ON TABLE ODS_* FROM ROLE r",
			},
			grants: "table default.ods_a: select; project default.shop: list",
		},
		"takes the project's prefix":        {statements: []string{"GRANT Select ON TABLE Shop.t TO ROLE r"}, grants: "table default.t: select"},
		"refuses another project's table":   {statements: []string{"GRANT Select ON TABLE other.t TO ROLE r"}, code: codeInvalidArgument},
		"refuses another project":           {statements: []string{"GRANT List ON PROJECT other TO ROLE r"}, code: codeInvalidArgument},
		"refuses what is not grantable":     {statements: []string{"GRANT Read ON PROJECT shop TO ROLE r"}, code: codeInvalidArgument},
		"refuses another kind's action":     {statements: []string{"GRANT Select ON FUNCTION f TO ROLE r"}, code: codeInvalidArgument},
		"refuses a missing role":            {statements: []string{"GRANT Select ON TABLE t TO ROLE nobody"}, code: codeNoSuchObject},
		"refuses an admin role":             {statements: []string{"GRANT Select ON TABLE t TO ROLE admin"}, code: codeInvalidArgument},
		"refuses a table name with a colon": {statements: []string{"GRANT Select ON TABLE a:b TO ROLE r"}, code: codeInvalidArgument},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{})
			c.createRole("R")
			var got response
			for _, text := range tc.statements {
				got = c.statement(text)
			}
			want(t, "code", got.code(), tc.code)
			want(t, "grants", c.grants(), tc.grants)
			c.wantNoViolations()
		})
	}
}

func TestSchemaSettings(t *testing.T) {
	const sales = `{"odps.namespace.schema":"true","odps.sql.allow.namespace.schema":"true","odps.default.schema":"Sales"}`
	tests := map[string]struct{ project, text, settings, code, grants string }{
		"default schema":            {"three", "GRANT Select ON TABLE t TO ROLE r", "", "", "table default.t: select"},
		"schema of the settings":    {"three", "GRANT Select ON TABLE t TO ROLE r", sales, "", "table sales.t: select"},
		"schema before the name":    {"three", "GRANT Select ON TABLE Hr.t TO ROLE r", sales, "", "table hr.t: select"},
		"functions have a schema":   {"three", "GRANT Read ON FUNCTION f TO ROLE r", sales, "", "function sales.f: read"},
		"a pattern in a schema":     {"three", "GRANT Select ON TABLE Hr.ods_* TO ROLE r", sales, "", "table hr.ods_*: select"},
		"all of a schema":           {"three", "GRANT Select ON TABLE * TO ROLE r", sales, "", "table sales.*: select"},
		"the project has no schema": {"three", "GRANT List ON PROJECT * TO ROLE r", sales, "", "project default.*: list"},
		"packages have none":        {"three", "GRANT Read ON PACKAGE k TO ROLE r", sales, "", "package default.k: read"},
		"no switch, no schema":      {"three", "GRANT Select ON TABLE t TO ROLE r", `{"odps.default.schema":"sales"}`, "", "table default.t: select"},
		"no schemas in two tiers":   {testProject, "GRANT Select ON TABLE t TO ROLE r", sales, codeInvalidArgument, ""},
		"unknown setting":           {"three", "LIST ROLES", `{"odps.x":"1"}`, codeNotImplemented, ""},
		"settings that are no JSON": {"three", "LIST ROLES", `x`, codeBadXML, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{Projects: []Project{{Name: testProject}, {Name: "three", ThreeTier: true}}})
			for _, p := range []string{testProject, "three"} {
				if err := c.server.CreateRole(p, "r", ""); err != nil {
					t.Fatal(err)
				}
			}
			want(t, "code", c.statementIn(tc.project, tc.text, tc.settings).code(), tc.code)
			want(t, "grants", spellGrants(c.server.RoleGrants(tc.project, "r")), tc.grants)
		})
	}
}

func TestStrictProject(t *testing.T) {
	c := newClient(t, Options{Projects: []Project{{
		Name: testProject, Strict: true, Users: []string{"RAM$corp:alice"},
		Objects: []Grant{{Kind: "table", Name: "Orders"}},
	}}})
	c.createRole("r")
	want(t, "declared", c.statement("GRANT Select ON TABLE orders TO ROLE r").status, 200)
	want(t, "wildcard", c.statement("GRANT Select ON TABLE tmp_* TO ROLE r").status, 200)
	want(t, "missing", c.statement("GRANT Select ON TABLE nothing TO ROLE r").code(), codeTableNotFound)
	want(t, "known user", c.statement("GRANT r TO RAM$Corp:Alice").status, 200)
	got := c.statement("GRANT r TO RAM$corp:bob")
	want(t, "unknown user", got.code(), codeInvalidArgument)
	want(t, "message", strings.Contains(got.body, "Invalid account Name RAM$corp:bob"), true)

	body := `{"name":"s","type":"resource","acl":{"table":[{"name":"orders","actions":["Select"]},{"name":"nothing","actions":["Select"]}]}}`
	want(t, "create", c.openAPI("CreateRole", "POST", testPath, body).code(), codeObjectNotExist)
	want(t, "created nothing", c.server.RoleExists(testProject, "s"), false)

	if err := c.server.DropObject(testProject, "table", "", "ORDERS"); err != nil {
		t.Fatal(err)
	}
	want(t, "grants after the drop", c.grants(), "table default.tmp_*: select")
	want(t, "dropped", c.statement("GRANT Select ON TABLE orders TO ROLE r").code(), codeTableNotFound)
	want(t, "revoke of a dropped table", c.statement("REVOKE Select ON TABLE orders FROM ROLE r").status, 200)
	c.wantNoViolations()
}

func TestRolesByStatement(t *testing.T) {
	c := newClient(t, Options{})
	want(t, "create", c.statement("CREATE ROLE Reader").status, 200)
	want(t, "again", c.statement("CREATE ROLE reader").code(), codeAlreadyExistsODP)
	want(t, "admin", c.statement(`CREATE ROLE boss PRIVILEGEPROPERTIES("type"="admin")`).status, 200)
	want(t, "type", c.server.RoleType(testProject, "boss"), typeAdmin)
	want(t, "bad name", c.statement("CREATE ROLE 9lives").code(), codeInvalidArgument)
	want(t, "list", c.statement("LIST ROLES").result(), "admin\nboss\nreader\nsuper_administrator\n")

	want(t, "give", c.statement("GRANT ROLE reader TO USER ALIYUN$Ops@example.com").status, 200)
	want(t, "give again", c.statement("GRANT reader TO ALIYUN$ops@example.com").status, 200)
	want(t, "no provider", c.statement("GRANT reader TO ops").code(), codeInvalidArgument)
	want(t, "grant", c.statement("GRANT Select, ShowHistory ON TABLE t TO ROLE reader").result(), "")
	want(t, "describe", c.statement("DESC ROLE reader").result(),
		"[users]\nALIYUN$ops@example.com\n\nAuthorization Type: ACL\nA\tprojects/shop/tables/t: Select | ShowHistory\n")
	want(t, "show", c.statement("SHOW GRANTS FOR ROLE reader").result(),
		"Authorization Type: ACL\n[role/reader]\nA\tprojects/shop/tables/t: Select | ShowHistory\n")

	want(t, "drop while held", c.statement("DROP ROLE reader").code(), codeInvalidArgument)
	want(t, "take", c.statement("REVOKE reader FROM USER ALIYUN$ops@example.com").status, 200)
	want(t, "drop", c.statement("DROP ROLE reader").status, 200)
	want(t, "drop again", c.statement("DROP ROLE reader").code(), codeNoSuchObject)
	want(t, "drop a built-in role", c.statement("DROP ROLE Admin").code(), codeInvalidArgument)
	want(t, "missing project", c.statementIn("nowhere", "LIST ROLES", "").code(), codeODPSNoProject)
	c.wantNoViolations()
}
