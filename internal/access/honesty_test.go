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
