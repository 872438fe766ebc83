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
