package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// crowdSize is how many roles a namespace holds that is deleted as a whole.
const crowdSize = 100

// crowd makes roles with grants, every fourth of them with members.
func (s space) crowd() []client.Object {
	var roles []client.Object
	for i := range crowdSize {
		role := s.role(fmt.Sprintf("role_%d", i), "Describe", "Select")
		role.Name = fmt.Sprintf("role-%d", i)
		if i%4 == 0 {
			role.Spec.Members = []string{"ALIYUN$ops@example.com", "RAM$corp:alice"}
		}
		roles = append(roles, role)
	}
	return roles
}

// settle creates a namespace's contents and waits until all of it is in the cloud. A real controller carries out the namespace's deletion.
func (s space) settle(t *testing.T) {
	t.Helper()
	stop, err := bed.StartNamespaceController(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	create(t, s.secret(), s.connection())
	create(t, s.crowd()...)
	s.waitReady(t, crowdSize)
}

// waitReady ends when so many roles of the namespace are Ready.
func (s space) waitReady(t *testing.T, roles int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := bed.WaitReady(ctx, s.namespace, roles); err != nil {
		t.Fatal(err)
	}
}

func (s space) deleteNamespace(t *testing.T) {
	t.Helper()
	if err := bed.Kube.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}); err != nil {
		t.Fatal(err)
	}
}

// namespaceGone tells whether a namespace does not exist any more.
func (s space) namespaceGone(ctx context.Context) func() (bool, error) {
	return func() (bool, error) {
		err := bed.Kube.Get(ctx, client.ObjectKey{Name: s.namespace}, &corev1.Namespace{})
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}
}

// list returns the roles of a namespace.
func (s space) list(ctx context.Context, g Gomega) []v1alpha1.ProjectRole {
	var roles v1alpha1.ProjectRoleList
	g.Expect(bed.Kube.List(ctx, &roles, client.InNamespace(s.namespace))).To(Succeed())
	return roles.Items
}

// TestNamespaceDeletedWithEverythingInIt deletes a namespace at once, Secret and Connection included: the roles are taken out of the
// cloud with the credentials that the manager still knows, and then all of it is gone.
func TestNamespaceDeletedWithEverythingInIt(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	s.settle(t)
	g.Expect(bed.Cloud.Roles(s.project)).To(HaveLen(crowdSize))
	started := time.Now()
	s.deleteNamespace(t)
	g.Eventually(func() []string { return bed.Cloud.Roles(s.project) }, time.Minute, poll).Should(BeEmpty())
	t.Logf("the last of %d roles was dropped after %s", crowdSize, time.Since(started))
	g.Eventually(s.namespaceGone(t.Context()), time.Minute-time.Since(started), poll).Should(BeTrue())
	t.Logf("the namespace was gone after %s", time.Since(started))

	g.Expect(s.list(t.Context(), g)).To(BeEmpty())
	var connections v1alpha1.ConnectionList
	g.Expect(bed.Kube.List(t.Context(), &connections, client.InNamespace(s.namespace))).To(Succeed())
	g.Expect(connections.Items).To(BeEmpty())
	g.Expect(bed.Cloud.Roles(s.project)).To(BeEmpty(), "nothing was made again")
}

// TestNamespaceDeletedWhileTheManagerIsKilled loses the credentials for good: the Secret is gone, and the manager that knew what was in
// it is, too. What is left says so, and deletionPolicy: Retain lets it go.
func TestNamespaceDeletedWhileTheManagerIsKilled(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	s.settle(t)
	// Slow enough that the kill meets the manager halfway.
	bed.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultLatency, Project: s.project, Latency: 200 * time.Millisecond})
	s.deleteNamespace(t)
	inCloud := func() int { return len(bed.Cloud.Roles(s.project)) }
	g.Eventually(inCloud, time.Minute, 10*time.Millisecond).Should(BeNumerically("<", crowdSize*2/3))
	bed.Manager.Kill()
	g.Expect(startManager()).To(Succeed())

	lost := And(ContainSubstring("Secret alibaba does not exist in this namespace"), ContainSubstring("deletionPolicy: Retain"))
	g.Eventually(func(g Gomega) {
		left := s.list(t.Context(), g)
		g.Expect(left).NotTo(BeEmpty())
		for i := range left {
			g.Expect(told(&left[i])()).To(Or(lost, Equal(gone)), left[i].Name)
			g.Expect(seen(&left[i])()).To(Or(Equal("False/ConnectionNotReady Terminating"), Equal(gone)), left[i].Name)
		}
	}, timeout, time.Second).Should(Succeed())
	kept, left := inCloud(), s.list(t.Context(), g)
	t.Logf("%d roles were left in the cloud, and %d objects that wait", kept, len(left))
	connection := s.connection()
	g.Expect(bed.Kube.Get(t.Context(), client.ObjectKeyFromObject(connection), connection)).To(Succeed(), "the Connection waits for those that use it")
	g.Eventually(seen(connection), timeout, poll).Should(Equal("False/InUse Terminating"))
	g.Expect(bed.Kube.Create(t.Context(), s.secret())).To(MatchError(ContainSubstring("is being terminated")), "there is no way back for the Secret")

	for i := range left {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"deletionPolicy":"Retain"}}`))
		g.Expect(client.IgnoreNotFound(bed.Kube.Patch(t.Context(), &left[i], patch))).To(Succeed())
	}
	started := time.Now()
	g.Eventually(s.namespaceGone(t.Context()), time.Minute, poll).Should(BeTrue())
	t.Logf("the namespace was gone %s after the objects were told to retain", time.Since(started))
	g.Expect(inCloud()).To(Equal(kept), "Retain leaves the cloud as it is")
}
