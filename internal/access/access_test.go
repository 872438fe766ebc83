package access_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

func policy(t testing.TB, statements ...string) acl.Document {
	t.Helper()
	document, err := acl.ParseDocument([]byte(`{"Version":"1","Statement":[` + strings.Join(statements, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// statement is on resources of project p.
func statement(effect, action string, resources ...string) string {
	return fmt.Sprintf(`{"Effect":%q,"Action":%q,"Resource":["acs:odps:*:projects/p/%s"]}`, effect, action, strings.Join(resources, `","acs:odps:*:projects/p/`))
}

func table(name string, actions ...string) acl.Grant {
	return acl.Grant{Kind: acl.Table, Name: name, Actions: actions}
}

func held(r *access.Role, members ...string) *access.Role {
	r.SetMembers(acl.NewMembers(members...))
	return r
}

func verdicts(answer access.Answer) map[string]access.Verdict {
	found := map[string]access.Verdict{}
	for _, h := range answer.Holders {
		found[h.Principal] = h.Verdict
	}
	return found
}

// TestVerdicts: what somebody may do who has some roles.
func TestVerdicts(t *testing.T) {
	role := func(name string, isAdmin bool, set acl.Set, doc acl.Document) *access.Role {
		return access.NewRole(name, isAdmin, set, doc, nil)
	}
	reads := role("reads", false, acl.NewSet(table("Orders", "select")), acl.Document{})
	wild := role("wild", false, acl.NewSet(table("ord*", "All")), acl.Document{})
	allows := role("allows", false, acl.Set{}, policy(t, statement("Allow", "odps:Select", "tables/or*")))
	denies := role("denies", false, acl.Set{}, policy(t, statement("Deny", "odps:*", "schemas/default/*")))
	perhapsAllows := role("perhaps_allows", true, acl.Set{}, policy(t, statement("Allow", "odps:Select", "*")))
	perhapsDenies := role("perhaps_denies", false, acl.Set{}, policy(t, `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"A":{"b":"c"}}}`))
	strange := role("strange", false, acl.Set{}, policy(t, `{"Effect":"Perhaps","Action":"*","Resource":"*"}`))
	super := role("Super_Administrator", true, acl.Set{}, acl.Document{})
	admin := role("admin", true, acl.Set{}, acl.Document{})
	empty := role("empty", false, acl.NewSet(table("other", "Select")), acl.Document{})

	const nothing = access.Verdict("")
	for name, c := range map[string]struct {
		roles []*access.Role
		want  access.Verdict
	}{
		"no role that matters":                         {[]*access.Role{empty}, nothing},
		"an ACL entry":                                 {[]*access.Role{reads, empty}, access.Allowed},
		"an ACL entry for many":                        {[]*access.Role{wild}, access.Allowed},
		"a policy":                                     {[]*access.Role{allows}, access.Allowed},
		"Deny comes before an ACL entry":               {[]*access.Role{reads, denies}, access.Denied},
		"Deny comes before Allow":                      {[]*access.Role{allows, denies}, access.Denied},
		"to be denied what nobody gave is not an item": {[]*access.Role{denies}, nothing},
		"what may be given":                            {[]*access.Role{perhapsAllows}, access.Unclear},
		"what may be given and surely is denied":       {[]*access.Role{perhapsAllows, denies}, access.Denied},
		"what is given and may be denied":              {[]*access.Role{reads, perhapsDenies}, access.Unclear},
		"a statement that is not understood":           {[]*access.Role{strange}, access.Unclear},
		"one that is not understood beside a gift":     {[]*access.Role{strange, reads}, access.Unclear},
		"an action that no ACL knows":                  {[]*access.Role{role("star", false, acl.NewSet(table("orders", "*")), acl.Document{})}, access.Unclear},
		"the super administrator":                      {[]*access.Role{super}, access.Allowed},
		"nothing is denied to the super administrator": {[]*access.Role{super, denies, perhapsDenies}, access.Allowed},
		"the administrator":                            {[]*access.Role{admin}, access.Allowed},
		"an administrator can be denied":               {[]*access.Role{admin, denies}, access.Denied},
	} {
		t.Run(name, func(t *testing.T) {
			const who = "RAM$corp:alice"
			p := &access.Project{Name: "P"}
			for _, r := range c.roles {
				p.Roles = append(p.Roles, held(r, who, "RAM$corp:another"))
			}
			if got := verdicts(p.WhoCan("Select", access.NewObject(acl.Table, "", "ORDERS")))[who]; got != c.want {
				t.Errorf("the verdict is %q, want %q", got, c.want)
			}
		})
	}
}

// TestRolesWhoseMembersAreNotKnown: it is said what they do.
func TestRolesWhoseMembersAreNotKnown(t *testing.T) {
	p := &access.Project{Name: "p", Roles: []*access.Role{
		access.NewRole("gives", false, acl.NewSet(table("t", "Select")), acl.Document{}, nil),
		access.NewRole("denies", false, acl.Set{}, policy(t, statement("Deny", "odps:Select", "tables/t")), nil),
		access.NewRole("both", false, acl.NewSet(table("t", "Select")), policy(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"A":{"b":"c"}}}`), nil),
		access.NewRole("neither", false, acl.NewSet(table("u", "Select")), acl.Document{}, nil),
	}}
	o := access.NewObject(acl.Table, "", "t")
	want := []string{"who has role gives, which gives it", "who has role denies, which denies it", "who has role both, which gives it and may give or deny it"}
	if diff := cmp.Diff(want, p.WhoCan("Select", o).Unseen); diff != "" {
		t.Errorf("unseen (-want +got):\n%s", diff)
	}
	var concerned []string
	for _, r := range p.Concerned("Select", o) {
		concerned = append(concerned, r.Name)
	}
	if diff := cmp.Diff([]string{"gives", "denies", "both"}, concerned); diff != "" {
		t.Errorf("roles that matter (-want +got):\n%s", diff)
	}
}

// TestObjectsOfPolicies: the resources of a policy are the objects that they name, and otherwise stand for themselves.
func TestObjectsOfPolicies(t *testing.T) {
	for resource, want := range map[string]access.Object{
		"acs:odps:*:projects/p/tables/T":                  {Kind: acl.Table, Schema: "default", Name: "t"},
		"acs:odps:*:projects/P/schemas/S/tables/ods_*":    {Kind: acl.Table, Schema: "s", Name: "ods_*"},
		"acs:odps:cn-hangzhou:projects/p/resources/a.jar": {Kind: acl.Resource, Schema: "default", Name: "a.jar"},
		"acs:odps:*:projects/p/registration/functions/f":  {Kind: acl.Function, Schema: "default", Name: "f"},
		"acs:odps:*:projects/p/packages/src.pkg":          {Kind: acl.Package, Name: "src.pkg"},
		"acs:odps:*:projects/p/instances/*":               {Kind: acl.Instance, Name: "*"},
		"acs:odps:*:projects/p":                           {Kind: acl.Project, Name: "p"},
		"acs:odps:*:projects/p/*":                         {Name: "projects/p/*"},
		"acs:odps:*:projects/p/schemas/s":                 {Name: "projects/p/schemas/s"},
		"acs:odps:*:projects/p/schemas/s/instances/*":     {Name: "projects/p/schemas/s/instances/*"},
		"acs:odps:*:projects/p/volumes/v":                 {Name: "projects/p/volumes/v"},
		"acs:odps:*:projects/p/tables/t/partitions/*":     {Name: "projects/p/tables/t/partitions/*"},
		"acs:odps:*:projects/other/tables/t":              {Name: "projects/other/tables/t"},
		"acs:odps:*:projects/pp/tables/t":                 {Name: "projects/pp/tables/t"},
		"acs:odps:*:projects/p/tables/":                   {Name: "projects/p/tables/"},
		"*":                                               {Name: "*"},
	} {
		t.Run(resource, func(t *testing.T) {
			role := access.NewRole("r", false, acl.Set{}, policy(t, fmt.Sprintf(`{"Effect":"Allow","Action":"odps:Read","Resource":%q}`, resource)), nil)
			p := &access.Project{Name: "p", Roles: []*access.Role{held(role, "ALIYUN$a")}}
			if diff := cmp.Diff([]access.Object{want}, p.Table().Objects); diff != "" {
				t.Errorf("objects (-want +got):\n%s", diff)
			}
			// Whatever a statement names, its principal is told of it.
			if holdings, _ := p.WhatCan("ALIYUN$a"); len(holdings) != 1 || holdings[0].Object != want {
				t.Errorf("what can be done: %+v", holdings)
			}
		})
	}
}

// TestDenialsOfMany: a Deny of many tables is told of even if nothing gives all of them, for it may cut into what is given.
func TestDenialsOfMany(t *testing.T) {
	role := access.NewRole("r", false, acl.Set{}, policy(t, statement("Allow", "odps:Select", "tables/o*"), statement("Deny", "odps:Select", "tables/*rd*", "tables/x")), nil)
	p := &access.Project{Name: "p", Roles: []*access.Role{held(role, "ALIYUN$a")}}
	got := map[string]access.Verdict{}
	holdings, _ := p.WhatCan("ALIYUN$a")
	for _, h := range holdings {
		for _, action := range h.Actions {
			got[h.Object.String()+" "+action.Name] = action.Verdict
		}
	}
	if diff := cmp.Diff(map[string]access.Verdict{"Table o* Select": access.Allowed, "Table *rd* Select": access.Denied}, got); diff != "" {
		t.Errorf("what can be done (-want +got):\n%s", diff)
	}
	if holders := p.WhoCan("Select", access.NewObject(acl.Table, "", "*rd*")).Holders; holders != nil {
		t.Errorf("somebody can select all: %+v", holders)
	}
}

// TestTablesAndQuestionsAgree: what a principal may do by the table, by what-can and by who-can is the same.
func TestTablesAndQuestionsAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 2026))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	tableNames := []string{"a", "b", "ab", "a*", "*"}
	for range 300 {
		p := &access.Project{Name: "p"}
		for i := range 1 + r.IntN(5) {
			var grants []acl.Grant
			var statements []string
			for range r.IntN(4) {
				grants = append(grants, acl.Grant{Kind: acl.Table, Schema: pick("", "s"), Name: pick(tableNames...), Actions: []string{pick("Select", "Drop", "All")}})
			}
			for range r.IntN(3) {
				statements = append(statements, statement(pick("Allow", "Deny", "Other"), pick("odps:Select", "odps:*", "odps:All"), pick("tables/", "schemas/s/tables/")+pick(tableNames...)))
			}
			var members []string
			for range r.IntN(4) {
				members = append(members, pick("ALIYUN$a", "ALIYUN$b", "RAM$c:d", "of no known form"))
			}
			p.Roles = append(p.Roles, held(access.NewRole(fmt.Sprintf("r%d", i), r.IntN(6) == 0, acl.NewSet(grants...), policy(t, statements...), nil), members...))
		}
		if r.IntN(2) == 0 {
			p.Requests = append(p.Requests, access.NewRequest("ns/apply", []string{"ALIYUN$a"}, []access.Granted{{Entry: table(pick("a", "b"), "Select", "Update"), Columns: []string{"c"}}}, "", pick("", "in doubt")))
		}
		checkTable(t, p)
	}
}

func checkTable(t *testing.T, p *access.Project) {
	t.Helper()
	all := p.Table()
	for _, who := range p.Principals() {
		cells, byObject := all.Of(who), map[access.Object][]access.Action{}
		holdings, _ := p.WhatCan(who.Name)
		for _, h := range holdings {
			byObject[h.Object] = h.Actions
		}
		for i, o := range all.Objects {
			for _, action := range acl.Table.Actions() {
				want := verdicts(p.WhoCan(action, o))[who.Name]
				of := func(actions []access.Action) access.Verdict {
					if j := slices.IndexFunc(actions, func(a access.Action) bool { return a.Name == action }); j >= 0 {
						return actions[j].Verdict
					}
					return ""
				}
				if strings.Contains(o.Name, "*") && want == "" {
					continue // see TestDenialsOfMany
				}
				named, known := byObject[o]
				if got := of(cells[i]); got != want || known && of(named) != want {
					t.Fatalf("%s of %s on %s: %q by question, %q by table, %q by what-can", action, who.Name, o, want, got, of(named))
				}
			}
		}
	}
}

// TestNamesCompareInOneWay: in ACLs, in policies and in questions, whatever letters are in them.
func TestNamesCompareInOneWay(t *testing.T) {
	for _, name := range []string{"ORDERS", "ÄRZTE", "İSTANBUL", "ＦＵＬＬ"} {
		t.Run(name, func(t *testing.T) {
			denied := held(access.NewRole("r", false, acl.NewSet(table(name, "Select")), policy(t, statement("Deny", "odps:Select", "tables/"+name)), nil), "ALIYUN$a")
			p := &access.Project{Name: "p", Roles: []*access.Role{denied}}
			if diff := cmp.Diff(map[string]access.Verdict{"ALIYUN$a": access.Denied}, verdicts(p.WhoCan("Select", access.NewObject(acl.Table, "", name)))); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s", diff)
			}
		})
	}
}

// packages is a project whose readers come to table t of another one by two packages.
func packages(roles ...*access.Role) *access.Project {
	contents := acl.NewSet(table("t", "Select"))
	return &access.Project{Name: "p", Roles: roles, Installed: []access.Installed{
		{SourceProject: "src", Name: "one", Contents: contents}, {SourceProject: "src", Name: "two", Contents: contents},
	}}
}

func onPackages(name string) acl.Set {
	return acl.NewSet(acl.Grant{Kind: acl.Package, Name: name, Actions: []string{"Read"}})
}

// TestPackagesAreWaysOfTheirOwn: what denies one of them denies no other.
func TestPackagesAreWaysOfTheirOwn(t *testing.T) {
	for name, c := range map[string]struct {
		deny string
		want access.Verdict
	}{
		"one of two is denied": {"src.one", access.Allowed},
		"both are denied":      {"src.*", access.Denied},
		"neither is denied":    {"src.three", access.Allowed},
	} {
		t.Run(name, func(t *testing.T) {
			p := packages(held(access.NewRole("r", false, onPackages("src.*"), policy(t, statement("Deny", "odps:Read", "packages/"+c.deny)), nil), "ALIYUN$a"))
			if got := verdicts(p.WhoCanThrough("src", "Select", access.NewObject(acl.Table, "", "t"))); got["ALIYUN$a"] != c.want {
				t.Errorf("the verdict is %q, want %q", got["ALIYUN$a"], c.want)
			}
		})
	}
}

// TestBuiltInRolesGiveEverything: who has one is told so, and what is denied of it.
func TestBuiltInRolesGiveEverything(t *testing.T) {
	denies := access.NewRole("denies", false, acl.Set{}, policy(t, statement("Deny", "odps:Drop", "tables/t")), nil)
	p := &access.Project{Name: "p", Roles: []*access.Role{
		held(access.NewRole("super_administrator", true, acl.Set{}, acl.Document{}, nil), "ALIYUN$boss"),
		held(access.NewRole("Admin", true, acl.Set{}, acl.Document{}, nil), "ALIYUN$admin"), held(denies, "ALIYUN$boss", "ALIYUN$admin"),
	}}
	for who, want := range map[string]access.Verdict{"ALIYUN$boss": access.Allowed, "ALIYUN$admin": access.Denied} {
		t.Run(who, func(t *testing.T) {
			holdings, _ := p.WhatCan(who)
			got := map[string]access.Verdict{}
			for _, h := range holdings {
				for _, a := range h.Actions {
					got[h.Object.String()+" "+a.Name] = a.Verdict
				}
			}
			if got["* *"] != access.Allowed || got["Table t Drop"] != want || got["Table t Select"] != access.Allowed {
				t.Errorf("the verdicts are %v", got)
			}
		})
	}
	if objects := p.Table().Objects; len(objects) != 1 {
		t.Errorf("the table is not about what others name alone: %v", objects)
	}
}

// TestPackagesThatSomebodyReads: each by itself, by whatever gives it.
func TestPackagesThatSomebodyReads(t *testing.T) {
	doc := func(statements ...string) acl.Document { return policy(t, statements...) }
	for name, c := range map[string]struct {
		role *access.Role
		want map[string]access.Verdict
	}{
		"by an ACL entry":           {access.NewRole("r", false, onPackages("src.one"), doc(), nil), map[string]access.Verdict{"src.one": access.Allowed}},
		"by a policy on all":        {access.NewRole("r", false, acl.Set{}, doc(statement("Allow", "odps:*", "*")), nil), map[string]access.Verdict{"src.one": access.Allowed, "src.two": access.Allowed}},
		"by a built-in role":        {access.NewRole("admin", true, acl.Set{}, doc(), nil), map[string]access.Verdict{"src.one": access.Allowed, "src.two": access.Allowed}},
		"but not what is denied":    {access.NewRole("r", false, onPackages("src.*"), doc(statement("Deny", "odps:Read", "packages/src.one")), nil), map[string]access.Verdict{"src.one": access.Denied, "src.two": access.Allowed}},
		"by nothing but for tables": {access.NewRole("r", false, acl.NewSet(table("t", "Select")), doc(), nil), map[string]access.Verdict{}},
	} {
		t.Run(name, func(t *testing.T) {
			p := packages(held(c.role, "ALIYUN$a"))
			_, who := p.WhatCan("ALIYUN$a")
			got := map[string]access.Verdict{}
			for _, installed := range p.Installed {
				if verdict, gives := p.Reads(who, installed); gives {
					got[installed.String()] = verdict
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("packages (-want +got):\n%s", diff)
			}
		})
	}
}
