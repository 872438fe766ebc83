package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const (
	// most is how many tables, and how many members, a role may have.
	most = 1000
	// largeTimeout is for thousands of calls on a slow machine.
	largeTimeout = 5 * time.Minute
)

// size is the length of the names in a role, and whether it has a policy, too.
type size struct {
	schema, table, member int
	policy                bool
}

// fill gives a role as much as it may have, and nothing of what it has with another letter. The
// names are of these lengths.
func (n size) fill(role *v1alpha1.ProjectRole, letter string) {
	pad := func(i, length int) string { return fmt.Sprintf("%s%0*d", letter, length-1, i) }
	role.Spec.ACL, role.Spec.Members = &v1alpha1.RoleACL{}, nil
	for i := range most {
		role.Spec.ACL.Tables = append(role.Spec.ACL.Tables, v1alpha1.TableGrant{SchemaName: pad(0, n.schema), Name: pad(i, n.table), Actions: []string{"Select"}})
		role.Spec.Members = append(role.Spec.Members, "RAM$corp:"+pad(i, n.member))
	}
	if !n.policy {
		return
	}
	role.Spec.Policy = &runtime.RawExtension{Raw: fmt.Appendf(nil,
		`{"Version":"1","Statement":[{"Effect":"Allow","Action":["odps:Select"],"Resource":["acs:odps:*:projects/x/tables/%s_*"]}]}`, letter)}
}

// TestALargeRoleIsReplaced replaces all that the largest role has. Until the old has gone, the
// status has to hold both.
func TestALargeRoleIsReplaced(t *testing.T) {
	t.Cleanup(func() {
		bed.Manager.Stop()
		if err := startManager(); err != nil {
			t.Error(err)
		}
	})
	bed.Manager.Stop()
	if err := bed.Manager.Start("--default-interval=2s", "--max-revocations=0"); err != nil {
		t.Fatal(err)
	}
	tests := map[string]size{
		"more entries than a status may hold": {7, 6, 6, true},
		"more bytes than etcd takes":          {128, 128, 190, false},
	}
	for name, size := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newSpace(t)
			role := s.role("reader")
			role.Spec.Interval = seldom()
			bed.Cloud.AddProject(fakecloud.Project{Name: s.project, ThreeTier: true})
			size.fill(role, "a")
			connection := s.connection()
			connection.Spec.AlibabaCloud.RateLimits.MaxCompute.QPS = 10000
			create(t, s.secret(), connection, role)
			g.Eventually(decided(role), largeTimeout, time.Second).Should(Equal(v1alpha1.ReasonSucceeded))

			g.Expect(bed.Kube.Get(t.Context(), client.ObjectKeyFromObject(role), role)).To(Succeed())
			before := role.DeepCopy()
			size.fill(role, "b")
			g.Expect(bed.Kube.Patch(t.Context(), role, client.MergeFrom(before))).To(Succeed())
			g.Eventually(decided(role), largeTimeout, time.Second).Should(Or(Equal(v1alpha1.ReasonSucceeded), Equal(v1alpha1.ReasonInvalidSpec)))
			if !conditions.IsReady(role) {
				return
			}
			g.Expect(bed.Cloud.Members(s.project, "reader")).To(ConsistOf(role.Spec.Members))
			var held []string
			for _, grant := range bed.Cloud.RoleGrants(s.project, "reader") {
				held = append(held, grant.Name)
			}
			var wanted []string
			for _, table := range role.Spec.ACL.Tables {
				wanted = append(wanted, table.Name)
			}
			g.Expect(slices.Sorted(slices.Values(held))).To(Equal(wanted))
			g.Expect(strings.Contains(bed.Cloud.RolePolicy(s.project, "reader"), "a_*")).To(BeFalse())
		})
	}
}

// decided is the reason of a role's Ready condition, if that is about its newest generation.
// Delivery tools are not asked about objects as large as this: Argo CD gives its scripts a second.
func decided(role *v1alpha1.ProjectRole) func() string {
	return func() string {
		fresh := &v1alpha1.ProjectRole{}
		if err := bed.Kube.Get(context.Background(), client.ObjectKeyFromObject(role), fresh); err != nil {
			return err.Error()
		}
		fresh.DeepCopyInto(role)
		ready := conditions.ReadyCondition(role)
		if ready == nil {
			return "no Ready condition"
		}
		if role.Status.ObservedGeneration != role.Generation {
			return fmt.Sprintf("%s/%s, which decides generation %d of %d", ready.Status, ready.Reason, role.Status.ObservedGeneration, role.Generation)
		}
		return ready.Reason
	}
}
