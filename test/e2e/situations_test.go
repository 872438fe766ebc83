package e2e

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// found puts a role called reader into the cloud that somebody else has made, with a permission on so many tables.
func (s space) found(t *testing.T, tables int) {
	t.Helper()
	if err := bed.Cloud.CreateRole(s.project, "reader", "resource"); err != nil {
		t.Fatal(err)
	}
	for i := range tables {
		if err := bed.Cloud.Grant(s.project, "reader", fakecloud.Grant{Kind: "table", Name: fmt.Sprintf("t_%d", i), Actions: []string{"Select"}}); err != nil {
			t.Fatal(err)
		}
	}
}

func drifted(role *v1alpha1.ProjectRole) bool {
	return apimeta.IsStatusConditionTrue(role.Status.Conditions, v1alpha1.DriftedCondition)
}

// TestObservedRolesAreHealthy shows that a difference which is only to be reported makes no object unhealthy, and that nothing is written.
func TestObservedRolesAreHealthy(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	s.found(t, 2)
	role := s.role("reader", "Select")
	role.Spec.ManagementPolicy = v1alpha1.ManagementObserve
	create(t, s.secret(), s.connection(), role)
	g.Eventually(seen(role), timeout, poll).Should(Equal("True/Observed Current"))
	g.Expect(drifted(role)).To(BeTrue())
	g.Expect(role.Status.DriftCount).To(Equal(int32(3)), "one to grant, two to revoke")

	g.Expect(bed.Cloud.DropRole(s.project, "reader")).To(Succeed())
	nudge(t, g, role)
	look := seen(role)
	g.Eventually(func() int32 { look(); return role.Status.DriftCount }, timeout, poll).Should(Equal(int32(2)), "to create the role and to grant")
	g.Expect(look()).To(Equal("True/Observed Current"), "a missing role is a difference and no error")

	s.found(t, 0)
	g.Expect(bed.Cloud.Grant(s.project, "reader", fakecloud.Grant{Kind: "table", Name: "orders", Actions: []string{"Select"}})).To(Succeed())
	nudge(t, g, role)
	g.Eventually(func() bool { look(); return drifted(role) }, timeout, poll).Should(BeFalse())
	g.Expect(look()).To(Equal("True/Observed Current"))
	g.Expect(writers(s.project)).To(BeEmpty())
	g.Expect(bed.Kube.Delete(t.Context(), role)).To(Succeed())
	g.Eventually(look, timeout, poll).Should(Equal(gone))
	g.Expect(bed.Cloud.RoleExists(s.project, "reader")).To(BeTrue())
}

// TestMassRevocationsWaitForApproval shows the way from a stalled plan to one that is carried out, which nothing but watches leads along.
func TestMassRevocationsWaitForApproval(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	const tables = 60
	s.found(t, tables)
	role := s.role("reader", "Select")
	role.Spec.AdoptionPolicy, role.Spec.Interval = v1alpha1.AdoptionAdopt, seldom()
	create(t, s.secret(), s.connection(), role)
	g.Eventually(seen(role), timeout, poll).Should(Equal("False/RevokeLimitExceeded Failed"))
	g.Expect(role.Status.PendingPlan).To(HaveValue(And(
		HaveField("Revokes", int32(tables)), HaveField("Grants", int32(1)), HaveField("Summary", "grant 1, revoke 60"), HaveField("Hash", Not(BeEmpty())),
	)))
	g.Expect(role.Status.Adopted).To(BeFalse())
	g.Expect(writers(s.project)).To(BeEmpty())
	hash := role.Status.PendingPlan.Hash
	g.Expect(conditions.ReadyCondition(role).Message).To(ContainSubstring(v1alpha1.ApprovePlanAnnotation + ": " + hash))

	out, err := kubectl(t, "", "annotate", "--overwrite", "mcrole/reader", "-n", s.namespace, v1alpha1.ApprovePlanAnnotation+"=0123456789abcdef")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Eventually(told(role), timeout, poll).Should(ContainSubstring("the annotation's present value approves another plan"))
	g.Expect(seen(role)()).To(Equal("False/RevokeLimitExceeded Failed"))
	g.Expect(writers(s.project)).To(BeEmpty())
	approved := act(t.Context(), g, role, "approve-plan")
	g.Expect(approved.GetAnnotations()).To(HaveKeyWithValue(v1alpha1.ApprovePlanAnnotation, hash))
	g.Eventually(seen(role), timeout, poll).Should(Equal(owns))
	g.Expect(role.Status.Adopted).To(BeTrue())
	g.Expect(role.Status.PendingPlan).To(BeNil())
	g.Expect(grantsOf(s)()).To(Equal("orders:select"))
}

// TestSituations shows what else a user sees, and what kstatus makes of it.
func TestSituations(t *testing.T) {
	policy := func(text string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(text)} }
	const allow = `{"Version":"1","Statement":[{"Effect":"Allow","Action":["odps:Select"],"Resource":["acs:odps:*:projects/x/tables/*"]}]}`
	tests := map[string]struct {
		arrange       func(t *testing.T, g Gomega, s space, role *v1alpha1.ProjectRole)
		want, message string
	}{
		"somebody else's role": {func(t *testing.T, _ Gomega, s space, _ *v1alpha1.ProjectRole) {
			s.found(t, 1)
		}, "False/AlreadyExists Failed", "adoptionPolicy: Adopt would grant 1, revoke 1"},
		"a role of another type": {func(_ *testing.T, g Gomega, s space, role *v1alpha1.ProjectRole) {
			g.Expect(bed.Cloud.CreateRole(s.project, "reader", "admin")).To(Succeed())
			role.Spec.AdoptionPolicy = v1alpha1.AdoptionAdopt
		}, "False/AlreadyExists Failed", "is of type admin"},
		"a policy that never comes to be": {func(_ *testing.T, g Gomega, s space, role *v1alpha1.ProjectRole) {
			g.Expect(bed.Cloud.SetProjectPolicyEcho(s.project, fakecloud.PolicySticky)).To(Succeed())
			role.Spec.Policy = policy(allow)
		}, "False/NonConvergent Failed", "SetPolicy"},
		"a member who does not exist": {func(_ *testing.T, g Gomega, s space, role *v1alpha1.ProjectRole) {
			bed.Cloud.AddProject(fakecloud.Project{Name: s.project, Strict: true, Users: []string{"RAM$corp:alice"}})
			g.Expect(bed.Cloud.DeclareObject(s.project, "table", "default", "orders")).To(Succeed())
			role.Spec.Members = []string{"RAM$corp:alice", "RAM$corp:nobody"}
		}, "False/PartiallyApplied InProgress", "RAM$corp:nobody"},
		"a policy that is none": {func(_ *testing.T, _ Gomega, _ space, role *v1alpha1.ProjectRole) {
			role.Spec.Policy = policy(`{"Statement":[1]}`)
		}, "False/InvalidSpec Failed", "statement 1 of the policy"},
		"an action that only looks like one": {func(_ *testing.T, _ Gomega, _ space, role *v1alpha1.ProjectRole) {
			role.Spec.ACL.Tables[0].Actions = []string{"\u017Felect"}
		}, "False/InvalidSpec Failed", "cannot be an action"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newSpace(t)
			role := s.role("reader", "Select")
			tc.arrange(t, g, s, role)
			create(t, s.secret(), s.connection(), role)
			g.Eventually(seen(role), timeout, poll).Should(Equal(tc.want))
			g.Expect(conditions.ReadyCondition(role).Message).To(ContainSubstring(tc.message))
		})
	}
}

// TestCreateWithAnUnknownOutcome is a create whose answer was lost, while somebody else made a role of that name that holds more.
func TestCreateWithAnUnknownOutcome(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	role := s.role("reader", "Select")
	bed.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultDropBefore, Project: s.project, Action: "CreateRole"})
	create(t, s.secret(), s.connection(), role)
	g.Eventually(seen(role), timeout, poll).Should(Equal("False/RemoteUnavailable InProgress"))
	g.Expect(role.Status.Creating).To(BeTrue())
	s.found(t, 1)
	g.Eventually(seen(role), timeout, poll).Should(Equal("False/CreateResultUnknown Failed"))
	g.Expect(grantsOf(s)()).To(Equal("t_0:select"), "it may be somebody else's")
	g.Expect(bed.Kube.Delete(t.Context(), role)).To(Succeed())
	g.Eventually(told(role), timeout, poll).Should(ContainSubstring("deletionPolicy: Retain"))
	g.Expect(seen(role)()).To(HaveSuffix(" Terminating"))
}
