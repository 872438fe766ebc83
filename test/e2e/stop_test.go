package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// slowWrite is how long a write to the cloud takes here, so that a test can act between two.
const slowWrite = 250 * time.Millisecond

// newcomer is a member that a test takes out of a role again before the operator adds it.
const newcomer = "RAM$corp:newcomer"

// slowRole creates a role that holds nothing yet, in a project whose writes take a while.
func (s space) slowRole(t *testing.T, g Gomega) *v1alpha1.ProjectRole {
	t.Helper()
	role := s.role("reader", "Select")
	role.Spec.ACL, role.Spec.Interval = &v1alpha1.RoleACL{}, seldom()
	create(t, s.secret(), s.connection(), role)
	g.Eventually(seen(role), timeout, poll).Should(Equal(owns))
	bed.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultLatency, Project: s.project, Only: "writes", Latency: slowWrite})
	return role
}

// edit changes the spec of a role, and returns the number of the last call to the cloud when the
// change was stored.
func edit(t *testing.T, g Gomega, role *v1alpha1.ProjectRole, change func(*v1alpha1.ProjectRoleSpec)) int {
	t.Helper()
	g.Expect(bed.Kube.Get(t.Context(), client.ObjectKeyFromObject(role), role)).To(Succeed())
	before := role.DeepCopy()
	change(&role.Spec)
	g.Expect(bed.Kube.Patch(t.Context(), role, client.MergeFrom(before))).To(Succeed())
	return bed.Cloud.LastSeq()
}

// giveTables permits a role to select from so many tables, and adds a member, which the operator
// does last.
func giveTables(n int) func(*v1alpha1.ProjectRoleSpec) {
	return func(spec *v1alpha1.ProjectRoleSpec) {
		spec.ACL.Tables = nil
		for i := range n {
			spec.ACL.Tables = append(spec.ACL.Tables, v1alpha1.TableGrant{Name: fmt.Sprintf("t_%03d", i), Actions: []string{"Select"}})
		}
		spec.Members = []string{newcomer}
	}
}

// settled reports whether the newest generation of a role is Ready.
func settled(role *v1alpha1.ProjectRole) func() bool {
	look := seen(role)
	return func() bool { return look() == owns && role.Status.ObservedGeneration == role.Generation }
}

// writesAfter returns the calls that asked for a change in the space's project after a call, made
// or not.
func (s space) writesAfter(seq int) []fakecloud.Entry {
	var writes []fakecloud.Entry
	for _, e := range bed.Cloud.Writes() {
		if e.Project == s.project && e.Seq > seq {
			writes = append(writes, e)
		}
	}
	return writes
}

// grants counts the writes that give a permission or add a member.
func grants(writes []fakecloud.Entry) (n int) {
	for _, e := range writes {
		adds := func(c fakecloud.Change) bool { return c.Change == fakecloud.ChangeAddMember }
		if strings.HasPrefix(e.Statement, "GRANT ") || slices.ContainsFunc(e.Changes, adds) {
			n++
		}
	}
	return n
}

// TestAFrozenLeaderWritesAtMostOnceMore stops a leader in the middle of a pass for longer than its
// lease lasts. The spec is emptied meanwhile, and nothing of it wants a permission, so whoever
// grants one after the leader woke is the old leader.
func TestAFrozenLeaderWritesAtMostOnceMore(t *testing.T) {
	g := NewWithT(t)
	flags := []string{"--default-interval=2s", "--max-revocations=0"}
	old := bed.Manager
	t.Cleanup(func() {
		old.Stop()
		if err := startManager(); err != nil {
			t.Error(err)
		}
	})
	old.Stop()
	g.Expect(old.Start(flags...)).To(Succeed())
	s := newSpace(t)
	role := s.slowRole(t, g)

	next, attempts := old.Replica(), strings.Count(old.Output(), "acquire leader lease")
	t.Cleanup(next.Stop)
	g.Expect(next.Start(flags...)).To(Succeed())
	g.Eventually(func() int { return strings.Count(old.Output(), "acquire leader lease") }, timeout, poll).Should(BeNumerically(">", attempts))

	began := edit(t, g, role, giveTables(100))
	g.Eventually(func() int { return grants(s.writesAfter(began)) }, timeout, poll).Should(BeNumerically(">=", 20))
	g.Expect(old.Freeze()).To(Succeed())
	edit(t, g, role, func(spec *v1alpha1.ProjectRoleSpec) { spec.ACL, spec.Members = &v1alpha1.RoleACL{}, []string{} })
	g.Eventually(settled(role), takeOver, poll).Should(BeTrue())
	g.Expect(grantsOf(s)()).To(BeEmpty())

	woke := bed.Cloud.LastSeq()
	g.Expect(old.Thaw()).To(Succeed())
	old.Await()
	g.Expect(old.Output()).To(ContainSubstring("leader election lost"))
	g.Expect(grants(s.writesAfter(woke))).To(BeNumerically("<=", 1), "writes of the old leader after it woke")
	nudge(t, g, role)
	g.Eventually(func() string { settled(role)(); return role.Status.LastHandledReconcileAt }, timeout, poll).Should(Equal(role.Annotations[v1alpha1.RequestedAtAnnotation]))
	g.Expect(settled(role)()).To(BeTrue())
	g.Expect(grantsOf(s)()).To(BeEmpty())
	g.Expect(bed.Cloud.Members(s.project, "reader")).To(BeEmpty())
}

// TestAPassUnderWayIsStopped stores a change while a role is brought to its spec. The write that is
// under way then is slow, so the operator has heard of the change before it could make another.
// Another role shows how long all of those writes take.
func TestAPassUnderWayIsStopped(t *testing.T) {
	const tables = 20
	tests := map[string]struct {
		change func(spec *v1alpha1.ProjectRoleSpec)
		delete bool
		want   string
	}{
		"by suspension":                           {func(spec *v1alpha1.ProjectRoleSpec) { spec.Suspend = true }, false, "Unknown/Progressing InProgress"},
		"by a deletion that retains the role":     {func(spec *v1alpha1.ProjectRoleSpec) { spec.DeletionPolicy = v1alpha1.DeletionRetain }, true, gone},
		"by taking tables and a member out again": {func(spec *v1alpha1.ProjectRoleSpec) { giveTables(3)(spec); spec.Members = nil }, false, owns},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			s, other := newSpace(t), newSpace(t)
			role, yardstick := s.slowRole(t, g), other.slowRole(t, g)
			began := edit(t, g, role, giveTables(tables))
			g.Eventually(func() int { return grants(s.writesAfter(began)) }, timeout, poll).Should(BeNumerically(">=", 3))
			stored := edit(t, g, role, tc.change)
			if tc.delete {
				g.Expect(bed.Kube.Delete(t.Context(), role)).To(Succeed())
				stored = bed.Cloud.LastSeq()
			}
			edit(t, g, yardstick, giveTables(tables))
			g.Eventually(settled(yardstick), timeout, poll).Should(BeTrue())
			g.Expect(grants(s.writesAfter(stored))).To(BeNumerically("<=", 1), "writes for what the spec said before")
			g.Eventually(seen(role), timeout, poll).Should(Equal(tc.want))
			g.Expect(bed.Cloud.Members(s.project, "reader")).To(BeEmpty())
		})
	}
}
