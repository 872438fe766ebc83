package controllers_test

import (
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// TestWhatWasNotReadIsNotMissing: of what could not be read, nobody knows what it lacks.
func TestWhatWasNotReadIsNotMissing(t *testing.T) {
	for name, c := range map[string]struct {
		refused string
		want    []string
	}{
		"everything is read":   {"", []string{"ACL entry Drop on Table orders", `policy statement {"Action":["odps:Drop"],"Effect":"Allow","Resource":["acs:odps:*:projects/analytics/tables/orders"]}`}},
		"the ACL is refused":   {"GetRoleAcl", []string{`policy statement {"Action":["odps:Drop"],"Effect":"Allow","Resource":["acs:odps:*:projects/analytics/tables/orders"]}`}},
		"policies are refused": {"GetRolePolicy", []string{"ACL entry Drop on Table orders"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.foreign = true
			h.must(h.cloud.CreateRole(project, "reader", "resource"))
			role := newRole("reader", tables("Drop"))
			role.Spec.Policy = &runtime.RawExtension{Raw: []byte(policyOf("odps:Drop", "tables/orders"))}
			h.create(role)
			if c.refused != "" {
				h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, c.refused, ""))
			}
			roles := h.access().Roles
			if diff := gocmp.Diff(c.want, roles[slices.IndexFunc(roles, func(r *access.Role) bool { return r.Name == "reader" })].Missing()); diff != "" {
				t.Errorf("missing (-want +got):\n%s", diff)
			}
		})
	}
}
