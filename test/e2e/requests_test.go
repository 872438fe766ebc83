package e2e

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// someone gets permissions by requests.
const someone = "267842600408993176"

// addSomeone adds them to the cloud, which all spaces share.
var addSomeone sync.Once

// apply makes a request for a table of the space's project.
func (s space) apply(name string, change ...func(*v1alpha1.PermissionApplySpec)) *v1alpha1.PermissionApply {
	request := &v1alpha1.PermissionApply{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Spec: v1alpha1.PermissionApplySpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "prod"}, ApplyUserIDs: []string{someone}, Reason: "report", ProjectName: s.project, WorkspaceID: 12345,
			Objects: []v1alpha1.ApplyObject{{Name: "orders", Actions: []v1alpha1.TableAction{"Select", "Update"}}},
		},
	}
	for _, c := range change {
		c(&request.Spec)
	}
	return request
}

// requesters connects the space with a version of the API, and adds a table and somebody to ask for it.
func (s space) requesters(t *testing.T, version string) {
	t.Helper()
	connection := s.connection()
	connection.Spec.AlibabaCloud.DataWorksAPIVersion = version
	create(t, s.secret(), connection)
	addSomeone.Do(func() {
		if err := bed.Cloud.AddUser(fakecloud.User{AccountID: someone, Principal: "RAM$corp:someone"}); err != nil {
			t.Fatal(err)
		}
	})
	if err := bed.Cloud.DeclareTable(s.project, "", "orders", fakecloud.Column{Name: "id"}, fakecloud.Column{Name: "ds", Partition: true}); err != nil {
		t.Fatal(err)
	}
}

// orderOf waits for the order of a request.
func orderOf(t *testing.T, request *v1alpha1.PermissionApply) string {
	t.Helper()
	g := NewWithT(t)
	g.Eventually(seen(request), timeout, poll).Should(ContainSubstring("AwaitingApproval"))
	g.Expect(request.Status.Orders).To(HaveLen(1))
	return request.Status.Orders[0].ID
}

// TestRequests shows what a user, kstatus and the cloud see of requests that are approved, rejected, and over.
func TestRequests(t *testing.T) {
	for _, version := range []string{"2020-05-18", "2024-05-18"} {
		t.Run(version, func(t *testing.T) {
			g := NewWithT(t)
			s := newSpace(t)
			s.requesters(t, version)
			has := func() int { return len(bed.Cloud.TablePermissions(s.project, "orders", someone)) }

			rejected := s.apply("rejected")
			create(t, rejected)
			id := orderOf(t, rejected)
			g.Expect(seen(rejected)()).To(Equal("False/AwaitingApproval InProgress"))
			g.Expect(bed.Cloud.RejectOrder(id, "not without a ticket")).To(Succeed())
			g.Eventually(seen(rejected), timeout, poll).Should(Equal("False/Rejected Failed"))
			g.Expect(rejected.Status.State).To(Equal(v1alpha1.RequestRejected))

			approved := s.apply("approved")
			create(t, approved)
			g.Expect(bed.Cloud.ApproveOrder(orderOf(t, approved), fakecloud.Approval{})).To(Succeed())
			g.Eventually(seen(approved), timeout, poll).Should(Equal("True/Granted Current"))
			g.Expect(has()).To(Equal(2))
			g.Expect(bed.Kube.Delete(t.Context(), approved)).To(Succeed())
			g.Eventually(seen(approved), timeout, poll).Should(Equal(gone))
			g.Expect(has()).To(BeZero())

			short := s.apply("short", func(spec *v1alpha1.PermissionApplySpec) {
				spec.Deadline = new(metav1.NewTime(time.Now().Add(8 * time.Second).Truncate(time.Second)))
				spec.ReadyWhen = v1alpha1.ReadyWhenSubmitted
			})
			create(t, short)
			g.Eventually(seen(short), timeout, poll).Should(Equal("True/Submitted Current"))
			g.Expect(bed.Cloud.ApproveOrder(short.Status.Orders[0].ID, fakecloud.Approval{})).To(Succeed())
			g.Eventually(seen(short), timeout, poll).Should(Equal("True/Granted Current"))
			g.Eventually(seen(short), timeout, poll).Should(Equal("False/Expired Failed"))
			g.Expect(short.Status.State).To(Equal(v1alpha1.RequestExpired))
			g.Eventually(has, timeout, poll).Should(BeZero())
		})
	}
}

// TestADeadlineWhileTheManagerIsDown is enforced as soon as it is up, where the service can only grant for ever.
func TestADeadlineWhileTheManagerIsDown(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	s.requesters(t, "2020-05-18")
	bed.Cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
	t.Cleanup(func() { bed.Cloud.SetOrderStyle(fakecloud.OrderStyle{}) })
	deadline := time.Now().Add(6 * time.Second).Truncate(time.Second)
	request := s.apply("short", func(spec *v1alpha1.PermissionApplySpec) { spec.Deadline = new(metav1.NewTime(deadline)) })
	create(t, request)
	g.Expect(bed.Cloud.ApproveOrder(orderOf(t, request), fakecloud.Approval{})).To(Succeed())
	g.Eventually(seen(request), timeout, poll).Should(Equal("True/Granted Current"))
	bed.Manager.Kill()
	g.Eventually(time.Now, timeout, poll).Should(BeTemporally(">", deadline.Add(time.Second)))
	g.Expect(bed.Cloud.TablePermissions(s.project, "orders", someone)).To(HaveLen(2))
	g.Expect(startManager()).To(Succeed())
	g.Eventually(seen(request), time.Minute, poll).Should(Equal("False/Expired Failed"))
	g.Expect(bed.Cloud.TablePermissions(s.project, "orders", someone)).To(BeEmpty())
}

// TestRequestsOfANamespaceThatGoes are withdrawn and revoked though Connection and Secret go at the same time.
func TestRequestsOfANamespaceThatGoes(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	stop, err := bed.StartNamespaceController(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(stop()).To(Succeed()) }()
	s.requesters(t, "2024-05-18")
	pending, granted := s.apply("pending"), s.apply("granted")
	create(t, pending, granted)
	waiting := orderOf(t, pending)
	g.Expect(bed.Cloud.ApproveOrder(orderOf(t, granted), fakecloud.Approval{})).To(Succeed())
	g.Eventually(seen(granted), timeout, poll).Should(Equal("True/Granted Current"))
	s.deleteNamespace(t)
	g.Eventually(s.namespaceGone(t.Context()), time.Minute, poll).Should(BeTrue())
	g.Expect(bed.Cloud.TablePermissions(s.project, "orders", someone)).To(BeEmpty())
	i := slices.IndexFunc(bed.Cloud.Orders(), func(o fakecloud.Order) bool { return o.ID == waiting })
	g.Expect(fmt.Sprint(bed.Cloud.Orders()[i].State)).To(Equal("withdrawn"))
}
