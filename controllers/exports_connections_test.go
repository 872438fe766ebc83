package controllers_test

import (
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// TestAnOldTokenIsRenewed before an export uses it, and after the service has revoked it.
func TestAnOldTokenIsRenewed(t *testing.T) {
	h, _ := exportWorld(t)
	secretHas("huawei", map[string]string{"domainName": "corp", "userName": "exporter", "password": "fake-password"})(h)
	export := newExport()
	h.create(export)
	for i, age := range []time.Duration{23*time.Hour + 58*time.Minute, 25 * time.Hour, time.Minute} {
		found, _ := h.exporting(export)
		mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		if len(found.Status.Exports) != i+1 {
			t.Errorf("%d exports", len(found.Status.Exports))
		}
		h.advance(age)
		h.annotate(export, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
	}
	h.cloud.ExpireIAMTokens()
	for range 4 {
		h.exporting(export)
		h.advance(10 * time.Second)
	}
	mustBe(t, stored(h, export), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

// swap replaces the spec of the connection of exports, and returns the one before.
func (h *harness) swap(spec v1alpha1.ConnectionSpec) (before v1alpha1.ConnectionSpec) {
	h.t.Helper()
	connection := &v1alpha1.Connection{}
	h.must(h.kube.Get(h.t.Context(), types.NamespacedName{Namespace: namespace, Name: "insight"}, connection))
	before, connection.Spec = connection.Spec, spec
	connection.Generation++
	h.must(h.kube.Update(h.t.Context(), connection))
	return before
}

// TestAConnectionMayChangeItsVendor, and back: whoever names it says that it is the wrong one, or goes on.
func TestAConnectionMayChangeItsVendor(t *testing.T) {
	h, _ := exportWorld(t)
	export, role := newExport(), newRole("reader", tables("Select"))
	role.Spec.ConnectionRef.Name = "insight"
	h.create(export)
	h.create(role)
	asked := 0
	look := func() {
		asked++
		h.annotate(export, v1alpha1.RequestedAtAnnotation, strconv.Itoa(asked))
		for range 3 {
			_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
			h.exporting(export)
			h.advance(time.Minute)
		}
	}
	look()
	mustBe(t, stored(h, export), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	huawei := h.swap(h.newConnection().Spec)
	look()
	mustBe(t, stored(h, export), metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	mustBe(t, h.get(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.swap(huawei)
	look()
	mustBe(t, stored(h, export), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
}

// TestAnExportThatIsNotAllowedMakesNoCall: a ClusterConnection says which namespaces and workspaces it is for.
func TestAnExportThatIsNotAllowedMakesNoCall(t *testing.T) {
	for name, allow := range map[string]func(*v1alpha1.ClusterConnectionSpec){
		"no namespace": func(*v1alpha1.ClusterConnectionSpec) {},
		"another namespace": func(s *v1alpha1.ClusterConnectionSpec) {
			s.AllowedNamespaces = &v1alpha1.AllowedNamespaces{Names: []string{"other"}}
		},
		"another workspace": func(s *v1alpha1.ClusterConnectionSpec) {
			s.AllowedNamespaces, s.AllowedProjects = &v1alpha1.AllowedNamespaces{Names: []string{namespace}}, []string{"other*"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := exportWorld(t)
			connection := &v1alpha1.Connection{}
			h.must(h.kube.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "insight"}, connection))
			cluster := &v1alpha1.ClusterConnection{
				ObjectMeta: metav1.ObjectMeta{Name: "insight", UID: "cluster", Generation: 1, Finalizers: []string{v1alpha1.Finalizer}},
				Spec:       v1alpha1.ClusterConnectionSpec{ConnectionSpec: connection.Spec},
			}
			cluster.Spec.HuaweiCloud.Credentials.SecretRef.Namespace = namespace
			allow(&cluster.Spec)
			h.create(cluster)
			export := newExport(func(s *v1alpha1.ResourcePackageExportSpec) {
				s.ConnectionRef = v1alpha1.ConnectionReference{Kind: "ClusterConnection", Name: "insight"}
			})
			h.create(export)
			found, next := h.exporting(export)
			mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonConnectionNotAllowed)
			if next <= 0 || next > 4*time.Hour {
				t.Errorf("looked at again after %s: nobody tells when the labels of the namespace change", next)
			}
			if n := len(h.cloud.Journal()); n != 0 {
				t.Errorf("%d calls", n)
			}
			h.quiet(export)
		})
	}
}
