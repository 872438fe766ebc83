package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// seldom is an interval that no test waits for: what happens is brought about by a watch.
func seldom() *metav1.Duration { return &metav1.Duration{Duration: time.Hour} }

// tenant is a namespace that acts with an access key of its own, so that the journal tells who did what.
type tenant struct {
	space
	accessKeyID, accessKeySecret string
}

func newTenant(t *testing.T) tenant {
	t.Helper()
	s := newSpace(t)
	id := strings.ToUpper(strings.ReplaceAll(s.namespace, "-", ""))
	n := tenant{space: s, accessKeyID: id, accessKeySecret: "fake-secret-of-" + id}
	bed.Cloud.AddIdentity(fakecloud.Identity{AccessKeyID: n.accessKeyID, AccessKeySecret: n.accessKeySecret})
	return n
}

func (n tenant) secret() *corev1.Secret {
	secret := n.space.secret()
	secret.StringData = map[string]string{"accessKeyId": n.accessKeyID, "accessKeySecret": n.accessKeySecret}
	return secret
}

// rival is a role that adopts what is there, and that nothing looks at but because of a watch.
func (n tenant) rival(project string, actions ...string) *v1alpha1.ProjectRole {
	role := n.role("reader", actions...)
	role.Spec.ProjectName, role.Spec.AdoptionPolicy, role.Spec.Interval = project, v1alpha1.AdoptionAdopt, seldom()
	return role
}

// writers are the access keys that have changed something in a project.
func writers(project string) map[string]bool {
	keys := map[string]bool{}
	for _, e := range bed.Cloud.Writes() {
		if e.Project == project && e.Applied {
			keys[e.AccessKeyID] = true
		}
	}
	return keys
}

const (
	owns   = "True/Succeeded Current"
	yields = "False/TargetConflict Failed"
)

// TestTwoNamespacesNameOneRole shows that of two objects, each of which would adopt what is there, one acts and the other does nothing:
// the one that could claim it first, or at one moment either; and that the other takes over when that one lets go.
func TestTwoNamespacesNameOneRole(t *testing.T) {
	tests := map[string]func(t *testing.T, g Gomega, old, young tenant, older, younger *v1alpha1.ProjectRole){
		"the older is done before the younger comes": func(t *testing.T, g Gomega, old, young tenant, older, younger *v1alpha1.ProjectRole) {
			create(t, old.secret(), old.connection(), older)
			g.Eventually(seen(older), timeout, poll).Should(Equal(owns))
			create(t, young.secret(), young.connection())
			createLater(t, g, older, younger)
			g.Eventually(seen(younger), timeout, poll).Should(Equal(yields))
		},
		"the older cannot act yet": func(t *testing.T, g Gomega, old, young tenant, older, younger *v1alpha1.ProjectRole) {
			create(t, older, young.secret(), young.connection())
			g.Eventually(seen(older), timeout, poll).Should(Equal("False/ConnectionNotReady InProgress"))
			createLater(t, g, older, younger)
			g.Eventually(seen(younger), timeout, poll).Should(Equal(owns))
			create(t, old.secret(), old.connection())
			g.Eventually(seen(older), timeout, poll).Should(Equal(yields))
		},
		"both are there when the manager starts": func(t *testing.T, g Gomega, old, young tenant, older, younger *v1alpha1.ProjectRole) {
			bed.Manager.Stop()
			create(t, old.secret(), old.connection(), young.secret(), young.connection(), older)
			createLater(t, g, older, younger)
			g.Expect(startManager()).To(Succeed())
		},
	}
	for name, arrange := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			old, young := newTenant(t), newTenant(t)
			owner, other := old.rival(old.project, "Select"), young.rival(old.project, "Describe")
			arrange(t, g, old, young, owner, other)
			outcomes := func() []string { return []string{seen(owner)(), seen(other)()} }
			g.Eventually(outcomes, timeout, poll).Should(ConsistOf(owns, yields))
			owners, grants := old, "orders:describe"
			if conditions.IsReady(other) {
				owner, other, owners, grants = other, owner, young, "orders:select"
			}
			g.Expect(conditions.ReadyCondition(other).Message).To(ContainSubstring(owners.namespace + "/reader"))
			g.Expect(writers(old.project)).To(Equal(map[string]bool{owners.accessKeyID: true}))
			takesOver(t, g, old.space, owner, other, grants)
		})
	}
}

// createLater creates an object in a later second than another.
func createLater(t *testing.T, g Gomega, before, obj client.Object) {
	t.Helper()
	g.Eventually(time.Now, timeout, poll).Should(BeTemporally(">=", before.GetCreationTimestamp().Add(time.Second)))
	create(t, obj)
	g.Expect(obj.GetCreationTimestamp().Time).To(BeTemporally(">", before.GetCreationTimestamp().Time))
}

// takesOver deletes the owner, which leaves the role behind, and waits for the other object to adopt it.
func takesOver(t *testing.T, g Gomega, s space, owner, other *v1alpha1.ProjectRole, grants string) {
	t.Helper()
	g.Expect(bed.Kube.Patch(t.Context(), owner, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"deletionPolicy":"Retain"}}`)))).To(Succeed())
	g.Expect(bed.Kube.Delete(t.Context(), owner)).To(Succeed())
	g.Eventually(seen(other), timeout, poll).Should(Equal(owns))
	g.Expect(other.Status.Adopted).To(BeTrue())
	g.Expect(grantsOf(s)()).To(Equal(grants))
}

// TestTwoNamespacesNameOneRoleInOneSecond has no order to go by but that of the UIDs. Which of the two acts does not matter.
func TestTwoNamespacesNameOneRoleInOneSecond(t *testing.T) {
	g := NewWithT(t)
	one, two := newTenant(t), newTenant(t)
	create(t, one.secret(), one.connection(), two.secret(), two.connection())
	g.Eventually(seen(one.connection()), timeout, poll).Should(Equal(owns))
	g.Eventually(seen(two.connection()), timeout, poll).Should(Equal(owns))
	const pairs = 8
	for done := 0; done < pairs; {
		s := newSpace(t)
		// Slow enough that the second comes while the first is being worked on.
		bed.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultLatency, Project: s.project, Latency: 100 * time.Millisecond})
		a, b := one.rival(s.project, "Select"), two.rival(s.project, "Describe")
		a.Name, b.Name = s.namespace, s.namespace
		g.Eventually(func() int { return time.Now().Nanosecond() }, timeout, time.Millisecond).Should(BeNumerically("<", time.Second/2), "a second has just begun")
		create(t, a, b)
		if a.CreationTimestamp != b.CreationTimestamp {
			continue
		}
		done++
		outcomes := func() []string { return []string{seen(a)(), seen(b)()} }
		g.Eventually(outcomes, timeout, poll).Should(ConsistOf(owns, yields))
		owner, other, key, grants := a, b, one.accessKeyID, "orders:describe"
		if conditions.IsReady(b) {
			owner, other, key, grants = b, a, two.accessKeyID, "orders:select"
		}
		g.Expect(writers(s.project)).To(Equal(map[string]bool{key: true}), "the other has done nothing")
		takesOver(t, g, s, owner, other, grants)
	}
}

// TestWhoObservedTakesNothingOver is about an older object that only observed while a younger one made the role: turned to managing, it
// takes nothing over, and what the younger one made goes with that.
func TestWhoObservedTakesNothingOver(t *testing.T) {
	g := NewWithT(t)
	old, young := newTenant(t), newTenant(t)
	observer, owner := old.rival(old.project, "Select"), young.rival(old.project, "Describe")
	observer.Spec.ManagementPolicy = v1alpha1.ManagementObserve
	create(t, old.secret(), old.connection(), young.secret(), young.connection(), observer)
	g.Eventually(seen(observer), timeout, poll).Should(Equal("True/Observed Current"))
	createLater(t, g, observer, owner)
	g.Eventually(seen(owner), timeout, poll).Should(Equal(owns), "who only observes owns nothing")
	g.Expect(bed.Kube.Patch(t.Context(), observer, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"managementPolicy":"Authoritative"}}`)))).To(Succeed())
	g.Eventually(seen(observer), timeout, poll).Should(Equal(yields))
	nudge(t, g, owner)
	g.Eventually(seen(owner), timeout, poll).Should(Equal(owns))
	g.Expect(writers(old.project)).To(Equal(map[string]bool{young.accessKeyID: true}))
	g.Expect(bed.Kube.Delete(t.Context(), owner)).To(Succeed())
	g.Eventually(seen(observer), timeout, poll).Should(Equal(owns), "it makes the role anew when it is gone")
	g.Expect(observer.Status.Created).To(BeTrue())
	g.Expect(grantsOf(old.space)()).To(Equal("orders:select"))
}

// callsTo counts the calls that were about a project.
func callsTo(project string) int {
	n := 0
	for _, e := range bed.Cloud.Journal() {
		if e.Project == project {
			n++
		}
	}
	return n
}

// clusterRole is a role that uses a ClusterConnection.
func (s space) clusterRole(connection client.Object) *v1alpha1.ProjectRole {
	role := s.role("reader", "Select")
	role.Spec.ConnectionRef = v1alpha1.ConnectionReference{Kind: v1alpha1.ConnectionKindClusterConnection, Name: connection.GetName()}
	role.Spec.Interval = seldom()
	return role
}

func (s space) label(ctx context.Context, g Gomega, labels map[string]string) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
	before := namespace.DeepCopy()
	namespace.Labels = labels
	g.Expect(bed.Kube.Patch(ctx, namespace, client.MergeFrom(before))).To(Succeed())
}

const refused = "False/ConnectionNotAllowed Failed"

// TestClusterConnectionsServeThoseWhomTheyAllow shows that the cloud never hears of any other, and that they are served as soon as they are
// allowed.
func TestClusterConnectionsServeThoseWhomTheyAllow(t *testing.T) {
	g := NewWithT(t)
	home, named, labelled, stranger := newSpace(t), newSpace(t), newSpace(t), newSpace(t)
	outside := fakecloud.Project{Name: "outside_" + home.project}
	bed.Cloud.AddProject(outside)
	labels := map[string]string{"tenant-of": home.namespace}
	labelled.label(t.Context(), g, labels)

	connection := home.clusterConnection()
	connection.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{Names: []string{named.namespace}, Selector: &metav1.LabelSelector{MatchLabels: labels}}
	connection.Spec.AllowedProjects = []string{strings.ToUpper(named.project), labelled.project, stranger.project[:4] + "*"}
	byName, byLabel, byNobody, elsewhere := named.clusterRole(connection), labelled.clusterRole(connection), stranger.clusterRole(connection), named.clusterRole(connection)
	elsewhere.Name, elsewhere.Spec.ProjectName = "elsewhere", outside.Name
	create(t, home.secret(), connection, byName, byLabel, byNobody, elsewhere)
	g.Eventually(seen(connection), timeout, poll).Should(Equal(owns))
	g.Eventually(seen(byName), timeout, poll).Should(Equal(owns))
	g.Eventually(seen(byLabel), timeout, poll).Should(Equal(owns))
	g.Eventually(seen(byNobody), timeout, poll).Should(Equal(refused))
	g.Expect(conditions.ReadyCondition(byNobody).Message).To(Equal("ClusterConnection " + connection.Name + " does not allow namespace " + stranger.namespace))
	g.Eventually(seen(elsewhere), timeout, poll).Should(Equal(refused))
	g.Expect(conditions.ReadyCondition(elsewhere).Message).To(Equal("ClusterConnection " + connection.Name + " does not allow project " + outside.Name))
	g.Expect(callsTo(named.project)).NotTo(BeZero())
	g.Expect(callsTo(stranger.project)).To(BeZero())
	g.Expect(callsTo(outside.Name)).To(BeZero())

	change := func(edit func(*v1alpha1.ClusterConnectionSpec)) {
		before := connection.DeepCopy()
		edit(&connection.Spec)
		g.Expect(bed.Kube.Patch(t.Context(), connection, client.MergeFrom(before))).To(Succeed())
	}
	change(func(spec *v1alpha1.ClusterConnectionSpec) {
		spec.AllowedNamespaces.Names = append(spec.AllowedNamespaces.Names, stranger.namespace)
	})
	g.Eventually(seen(byNobody), timeout, poll).Should(Equal(owns))
	g.Expect(callsTo(outside.Name)).To(BeZero())
	change(func(spec *v1alpha1.ClusterConnectionSpec) { spec.AllowedProjects = nil })
	g.Eventually(seen(elsewhere), timeout, poll).Should(Equal(owns))

	change(func(spec *v1alpha1.ClusterConnectionSpec) { spec.AllowedNamespaces.Selector = nil })
	g.Eventually(seen(byLabel), timeout, poll).Should(Equal(refused))
	calls := callsTo(labelled.project)
	g.Expect(bed.Kube.Delete(t.Context(), byLabel)).To(Succeed())
	g.Eventually(told(byLabel), timeout, poll).Should(And(ContainSubstring("does not allow namespace"), ContainSubstring("deletionPolicy: Retain")))
	g.Expect(seen(byLabel)()).To(Equal("False/ConnectionNotAllowed Terminating"))
	g.Expect(callsTo(labelled.project)).To(Equal(calls), "not even to take back what it granted")
	change(func(spec *v1alpha1.ClusterConnectionSpec) {
		spec.AllowedNamespaces.Selector = &metav1.LabelSelector{MatchLabels: labels}
	})
	g.Eventually(seen(byLabel), timeout, poll).Should(Equal(gone))
	g.Expect(bed.Cloud.RoleExists(labelled.project, "reader")).To(BeFalse())
}

// TestNamespacesAreAllowedByALabelThatComesLater shows that nobody has to touch the object or the ClusterConnection.
func TestNamespacesAreAllowedByALabelThatComesLater(t *testing.T) {
	g := NewWithT(t)
	home, later := newSpace(t), newSpace(t)
	labels := map[string]string{"tenant-of": home.namespace}
	connection := home.clusterConnection()
	connection.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{Selector: &metav1.LabelSelector{MatchLabels: labels}}
	role := later.clusterRole(connection)
	role.Spec.Interval = nil
	create(t, home.secret(), connection, role)
	g.Eventually(seen(role), timeout, poll).Should(Equal(refused))
	g.Expect(callsTo(later.project)).To(BeZero())
	later.label(t.Context(), g, labels)
	g.Eventually(seen(role), timeout, poll).Should(Equal(owns))
}

// TestClusterConnectionsGoWithTheirUsers shows that a deleted ClusterConnection waits for the objects that it serves, and not for those that
// it refuses, or any namespace could keep it.
func TestClusterConnectionsGoWithTheirUsers(t *testing.T) {
	g := NewWithT(t)
	home, stranger := newSpace(t), newSpace(t)
	connection := home.clusterConnection()
	connection.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{Names: []string{home.namespace}}
	role, other := home.clusterRole(connection), stranger.clusterRole(connection)
	create(t, home.secret(), connection, role, other)
	g.Eventually(seen(role), timeout, poll).Should(Equal(owns))
	g.Eventually(seen(other), timeout, poll).Should(Equal(refused))
	g.Expect(bed.Kube.Delete(t.Context(), connection)).To(Succeed())
	g.Eventually(seen(connection), timeout, poll).Should(Equal("False/InUse Terminating"))
	g.Expect(conditions.ReadyCondition(connection).Message).To(And(ContainSubstring(home.namespace+"/reader"), Not(ContainSubstring(stranger.namespace))))
	g.Expect(bed.Kube.Delete(t.Context(), role)).To(Succeed())
	g.Eventually(seen(connection), timeout, poll).Should(Equal(gone))
	g.Expect(bed.Cloud.RoleExists(home.project, "reader")).To(BeFalse())
	g.Expect(bed.Kube.Delete(t.Context(), other)).To(Succeed())
	g.Eventually(seen(other), timeout, poll).Should(Equal(gone), "it has nothing in the cloud to take back")
}
