package e2e

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// specOf reads a spec as it is stored, without the help of a Go type.
func specOf(ctx context.Context, g Gomega, obj client.Object, kind string) map[string]any {
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	g.Expect(bed.Kube.Get(ctx, client.ObjectKeyFromObject(obj), stored)).To(Succeed())
	spec, _, err := unstructured.NestedMap(stored.Object, "spec")
	g.Expect(err).NotTo(HaveOccurred())
	return spec
}

// TestEmptyIsNotAbsent shows that what is empty stays empty: in the API server, after the manager has written to the object, and when a
// Go program reads and writes it.
func TestEmptyIsNotAbsent(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	create(t, s.secret(), s.connection())
	role := s.role("reader")
	out, err := kubectl(t, manifest(s, "  projectName: "+s.project+"\n  roleName: reader\n  acl: {}\n  policy: {}\n  members: []\n"), "create", "-f", "-")
	g.Expect(err).NotTo(HaveOccurred(), out)
	role.Name = "candidate"
	empty := And(
		HaveKeyWithValue("acl", BeEmpty()), HaveKeyWithValue("policy", Equal(map[string]any{})), HaveKeyWithValue("members", Equal([]any{})),
	)
	g.Expect(specOf(t.Context(), g, role, "ProjectRole")).To(empty)
	g.Eventually(seen(role), timeout, poll).Should(Equal("True/Succeeded Current"))
	g.Expect(role.Finalizers).NotTo(BeEmpty(), "the manager has written to the object")
	g.Expect(specOf(t.Context(), g, role, "ProjectRole")).To(empty)

	role.Labels = map[string]string{"touched": "yes"}
	g.Expect(bed.Kube.Update(t.Context(), role)).To(Succeed())
	g.Expect(specOf(t.Context(), g, role, "ProjectRole")).To(empty)

	cluster := s.clusterConnection()
	cluster.Spec.AllowedProjects = []string{}
	create(t, cluster)
	none := HaveKeyWithValue("allowedProjects", Equal([]any{}))
	g.Expect(specOf(t.Context(), g, cluster, "ClusterConnection")).To(none)
	g.Eventually(seen(cluster), timeout, poll).Should(Equal("True/Succeeded Current"))
	cluster.Labels = map[string]string{"touched": "yes"}
	g.Expect(bed.Kube.Update(t.Context(), cluster)).To(Succeed())
	g.Expect(specOf(t.Context(), g, cluster, "ClusterConnection")).To(none)
}

// TestAbsentStaysAbsent is the other half: nothing turns what is not managed into what is to be emptied.
func TestAbsentStaysAbsent(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	role := s.role("reader")
	role.Spec.ACL = nil
	create(t, s.secret(), s.connection(), role)
	g.Eventually(seen(role), timeout, poll).Should(Equal("True/Succeeded Current"))
	role.Labels = map[string]string{"touched": "yes"}
	g.Expect(bed.Kube.Update(t.Context(), role)).To(Succeed())
	g.Expect(specOf(t.Context(), g, role, "ProjectRole")).NotTo(Or(HaveKey("acl"), HaveKey("policy"), HaveKey("members")))
}

// TestPoliciesKeepWhatNobodyKnows shows that a policy is stored as it was written.
func TestPoliciesKeepWhatNobodyKnows(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	const policy = `{Version: "1", Id: {nested: [1, 2.5, {deep: "é"}]}, Statement: {Effect: Allow, Action: odps:Select, Resource: "acs:odps:*:projects/x/tables/*", Condition: {StringEquals: {"odps:TaskType": [DT, SQL]}}, Comment: "why"}}`
	var want map[string]any
	g.Expect(yaml.Unmarshal([]byte(policy), &want)).To(Succeed())
	out, err := kubectl(t, manifest(s, identity+"  suspend: true\n  policy: "+policy+"\n"), "create", "-f", "-")
	g.Expect(err).NotTo(HaveOccurred(), out)
	role := s.role("candidate")
	g.Eventually(seen(role), timeout, poll).Should(HavePrefix("Unknown/Suspended"))
	kept := func() any {
		stored, err := yaml.Marshal(specOf(t.Context(), g, role, "ProjectRole")["policy"])
		g.Expect(err).NotTo(HaveOccurred())
		var policy map[string]any
		g.Expect(yaml.Unmarshal(stored, &policy)).To(Succeed())
		return policy
	}
	g.Expect(kept()).To(Equal(want))
	role.Labels = map[string]string{"touched": "yes"}
	g.Expect(bed.Kube.Update(t.Context(), role)).To(Succeed())
	g.Expect(kept()).To(Equal(want))
}
