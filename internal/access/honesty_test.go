package access_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

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
