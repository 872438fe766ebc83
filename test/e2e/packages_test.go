package e2e

import (
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// shared is a package of a tenant, which nothing looks at but because of a watch.
func (n tenant) shared(with ...string) *v1alpha1.MaxComputePackage {
	pkg := &v1alpha1.MaxComputePackage{
		ObjectMeta: metav1.ObjectMeta{Namespace: n.namespace, Name: "shared"},
		Spec: v1alpha1.MaxComputePackageSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "prod"}, ProjectName: n.project, PackageName: "shared_pkg", Interval: seldom(),
			Resources:       &v1alpha1.PackageResources{Tables: []v1alpha1.TableGrant{{Name: "dim_city", Actions: []string{"Describe", "Select"}}}},
			AllowedProjects: []v1alpha1.AllowedProject{},
		},
	}
	for _, project := range with {
		pkg.Spec.AllowedProjects = append(pkg.Spec.AllowedProjects, v1alpha1.AllowedProject{ProjectName: project, Label: 2})
	}
	return pkg
}

// installed is the installation of a producer's package in a tenant's project, and reader a role there that may read it.
func (n tenant) installed(producer tenant) *v1alpha1.PackageInstallation {
	return &v1alpha1.PackageInstallation{
		ObjectMeta: metav1.ObjectMeta{Namespace: n.namespace, Name: "shared"},
		Spec: v1alpha1.PackageInstallationSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "prod"}, ProjectName: n.project, SourceProject: producer.project, PackageName: "shared_pkg",
			Interval: seldom(),
		},
	}
}

func (n tenant) reader(producer tenant) *v1alpha1.ProjectRole {
	role := n.role("reader", "Select")
	role.Spec.Interval = seldom()
	role.Spec.ACL.Packages = []v1alpha1.PackageGrant{{Name: producer.project + ".shared_pkg", Actions: []string{"Read"}}}
	return role
}

// grantsOnPackages counts what a role may read through packages.
func grantsOnPackages(project, role string) int {
	n := 0
	for _, g := range bed.Cloud.RoleGrants(project, role) {
		if g.Kind == "package" {
			n++
		}
	}
	return n
}

// TestSharingATableAcrossProjects shows that a producer and a consumer, in two namespaces and with two accounts, end Ready in whatever
// order they come, each having written to its own project only; and that all of it goes again.
func TestSharingATableAcrossProjects(t *testing.T) {
	const waits = "False/SourceNotAvailable InProgress"
	orders := map[string]func(t *testing.T, g Gomega, producer, consumer []client.Object, installation *v1alpha1.PackageInstallation){
		"the producer first": func(t *testing.T, g Gomega, producer, consumer []client.Object, _ *v1alpha1.PackageInstallation) {
			create(t, producer...)
			pkg, ok := producer[len(producer)-1].(conditions.Object)
			g.Expect(ok).To(BeTrue())
			g.Eventually(seen(pkg), timeout, poll).Should(Equal(owns))
			create(t, consumer...)
		},
		"the consumer first": func(t *testing.T, g Gomega, producer, consumer []client.Object, installation *v1alpha1.PackageInstallation) {
			create(t, consumer...)
			g.Eventually(seen(installation), timeout, poll).Should(Equal(waits))
			create(t, producer...)
		},
		"both at once": func(t *testing.T, _ Gomega, producer, consumer []client.Object, _ *v1alpha1.PackageInstallation) {
			create(t, slices.Concat(consumer, producer)...)
		},
	}
	for name, arrange := range orders {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			producer, consumer := newTenant(t), newTenant(t)
			g.Expect(bed.Cloud.SetStrict(consumer.project, true)).To(Succeed())
			g.Expect(bed.Cloud.DeclareObject(consumer.project, "table", "default", "orders")).To(Succeed())
			pkg, installation, role := producer.shared(consumer.project), consumer.installed(producer), consumer.reader(producer)
			arrange(t, g, []client.Object{producer.secret(), producer.connection(), pkg}, []client.Object{consumer.secret(), consumer.connection(), role, installation}, installation)
			for _, obj := range []conditions.Object{pkg, installation, role} {
				g.Eventually(seen(obj), timeout, poll).Should(Equal(owns))
			}
			g.Expect(installation.Status.Source).To(Equal(producer.project + ".shared_pkg"))
			g.Expect(installation.Status.InstallTime).NotTo(BeNil())
			g.Expect(bed.Cloud.Installed(consumer.project)).To(HaveLen(1))
			g.Expect(grantsOnPackages(consumer.project, "reader")).To(Equal(1))
			g.Expect(writers(producer.project)).To(Equal(map[string]bool{producer.accessKeyID: true}))
			g.Expect(writers(consumer.project)).To(Equal(map[string]bool{consumer.accessKeyID: true}))

			out, err := kubectl(t, "", "wait", "--for=condition=Ready", "--timeout=30s", "-n", consumer.namespace, "mcpi/shared", "mcrole/reader")
			g.Expect(err).NotTo(HaveOccurred(), out)
			out, err = kubectl(t, "", "delete", "-n", consumer.namespace, "--timeout=30s", "mcrole/reader", "mcpi/shared", "mcconn/prod", "secret/alibaba")
			g.Expect(err).NotTo(HaveOccurred(), out)
			out, err = kubectl(t, "", "delete", "-n", producer.namespace, "--timeout=30s", "mcpkg/shared", "mcconn/prod", "secret/alibaba")
			g.Expect(err).NotTo(HaveOccurred(), out)
			g.Expect(bed.Cloud.Installed(consumer.project)).To(BeEmpty())
			g.Expect(bed.Cloud.Packages(producer.project)).To(BeEmpty())
		})
	}
}

// TestAConsumerThatIsNotAllowedYet waits and says why, and goes on when it is: at once if the package is an object of the same cluster,
// and otherwise when somebody asks for it.
func TestAConsumerThatIsNotAllowedYet(t *testing.T) {
	tests := map[string]struct {
		packageName string
		allow       func(g Gomega, producer, consumer tenant, pkg *v1alpha1.MaxComputePackage, installation *v1alpha1.PackageInstallation)
	}{
		"by the object of the package": {"shared_pkg", func(g Gomega, _, consumer tenant, pkg *v1alpha1.MaxComputePackage, _ *v1alpha1.PackageInstallation) {
			patch := `{"spec":{"allowedProjects":[{"projectName":"` + consumer.project + `"}]}}`
			g.Expect(bed.Kube.Patch(t.Context(), pkg, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
		}},
		"by somebody who tells nobody": {"by_hand", func(g Gomega, producer, consumer tenant, _ *v1alpha1.MaxComputePackage, installation *v1alpha1.PackageInstallation) {
			g.Expect(bed.Cloud.AllowProject(producer.project, "by_hand", consumer.project, 0)).To(Succeed())
			patch := `{"metadata":{"annotations":{"` + v1alpha1.RequestedAtAnnotation + `":"now"}}}`
			g.Expect(bed.Kube.Patch(t.Context(), installation, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			producer, consumer := newTenant(t), newTenant(t)
			pkg, installation := producer.shared(), consumer.installed(producer)
			installation.Spec.PackageName = tc.packageName
			g.Expect(bed.Cloud.CreatePackage(producer.project, "by_hand")).To(Succeed())
			create(t, producer.secret(), producer.connection(), pkg, consumer.secret(), consumer.connection())
			g.Eventually(seen(pkg), timeout, poll).Should(Equal(owns))
			create(t, installation)
			g.Eventually(seen(installation), timeout, poll).Should(Equal("False/SourceNotAvailable InProgress"))
			g.Expect(conditions.ReadyCondition(installation).Message).To(ContainSubstring("not shared with project " + consumer.project))
			tc.allow(g, producer, consumer, pkg, installation)
			g.Eventually(seen(installation), timeout, poll).Should(Equal(owns))
			g.Expect(bed.Cloud.Installed(consumer.project)).To(HaveLen(1))
		})
	}
}
