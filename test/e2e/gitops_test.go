package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/gitops"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// Field managers of Argo CD: what applies manifests, and what runs actions.
const (
	deliverer = client.FieldOwner("argocd-controller")
	actor     = client.FieldOwner("argocd-server")
)

// samples are the manifests of config/samples, changed only to meet the space's fakes in place of the clouds.
func (s space) samples(t *testing.T, g Gomega) []*unstructured.Unstructured {
	t.Helper()
	identity := s.trusted(t, g)
	server := s.sampled(t)
	replace := strings.NewReplacer(
		"analytics_prod", s.project, "partner_proj", s.project+"_partner", "REPLACE-WITH-ACCESS-KEY-ID", s.sampleKey(),
		"REPLACE-WITH-ACCESS-KEY-SECRET", "fake-secret", "acs:ram::1234567890123456:role/data-perms", identity.RoleARN,
		"acs:ram::1234567890123456:oidc-provider/ack-rrsa-cluster", identity.OIDCProviderARN, "data-platform", s.namespace, "[reporting]", "["+s.namespace+"]",
		`"analytics_*"`, `"*"`, "0a1b2c3d4e5f60718293a4b5c6d7e8f9", s.insightProject(), "https://obs.cn-southwest-2.myhuaweicloud.com", server.Endpoint,
		"region: cn-southwest-2\n      bucket", "region: us-east-1\n      bucket",
	)
	files, err := filepath.Glob("../../config/samples/*.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	var manifests []*unstructured.Unstructured
	for _, file := range files {
		text, err := os.ReadFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		documents, err := gitops.Documents(replace.Replace(string(text)))
		g.Expect(err).NotTo(HaveOccurred(), file)
		for _, document := range documents {
			if document.GetKind() != "Kustomization" {
				s.adapt(g, document, server)
				manifests = append(manifests, document)
			}
		}
	}
	return manifests
}

// sampled adds to the fakes what the samples name, and starts an S3 server with their bucket.
func (s space) sampled(t *testing.T) *testbed.S3 {
	t.Helper()
	bed.Cloud.AddProject(fakecloud.Project{Name: s.project + "_partner"})
	bed.Cloud.AddIdentity(fakecloud.Identity{AccessKeyID: s.sampleKey(), AccessKeySecret: "fake-secret", SuperAdministrator: true})
	const workspace = "4f1c2d3e4a5b6c7d8e9f0a1b2c3d4e5f"
	server := testbed.StartS3(t)
	failures := []error{
		server.MakeBucket(t.Context(), exportBucket),
		bed.Cloud.AddIAMProject(fakecloud.IAMProject{ID: s.insightProject(), Name: s.project}),
		bed.Cloud.AddIAMUser(fakecloud.IAMUser{Domain: "corp", Name: s.project, Password: "fake-password"}),
		bed.Cloud.AddIAMKey(fakecloud.IAMKey{AccessKeyID: s.sampleKey(), SecretAccessKey: "fake-secret", User: "corp/" + s.project}),
		bed.Cloud.AddInsightWorkspace(fakecloud.InsightWorkspace{Project: s.insightProject(), ID: workspace}),
	}
	for kind, id := range map[string]string{"dashboard": "12aw34ed56rf", "dataset": "78tg90yh12uj", "portal": "34ik56ol78pq"} {
		failures = append(failures, bed.Cloud.AddInsightResource(fakecloud.InsightResource{Project: s.insightProject(), Workspace: workspace, Type: kind, ID: id, Size: 100}))
	}
	for _, table := range []string{"dwd_orders", "dim_city", "dws_revenue_1d"} {
		failures = append(failures, bed.Cloud.DeclareTable(s.project, "", table, fakecloud.Column{Name: "order_id"}, fakecloud.Column{Name: "amount"}))
	}
	for _, err := range failures {
		if err != nil {
			t.Fatal(err)
		}
	}
	return server
}

// sampleKey is a key of the space's own in both clouds: the rate limits of the samples hold for the identity, and are not for other tests.
func (s space) sampleKey() string { return "FAKE" + strings.ToUpper(s.project) }

// adapt gives a manifest the space's namespace, and endpoints and keys of the fakes.
func (s space) adapt(g Gomega, manifest *unstructured.Unstructured, server *testbed.S3) {
	set := func(value any, path ...string) {
		g.Expect(unstructured.SetNestedField(manifest.Object, value, path...)).To(Succeed())
	}
	manifest.SetNamespace(s.namespace)
	switch kind, name := manifest.GetKind(), manifest.GetName(); {
	case kind == "ClusterConnection":
		manifest.SetNamespace("")
		manifest.SetName(s.namespace)
		fallthrough
	case kind == "Connection" && name != "insight":
		set(map[string]any{"maxCompute": bed.CloudURL, "odps": bed.CloudURL + "/api", "dataWorks": bed.CloudURL, "sts": bed.CloudURL}, "spec", "alibabaCloud", "endpoints")
	case kind == "Connection":
		set(map[string]any{"dataArtsInsight": bed.CloudURL, "iam": bed.CloudURL}, "spec", "huaweiCloud", "endpoints")
	case kind == "Secret" && name == "huawei":
		set(map[string]any{"accessKey": s.sampleKey(), "secretKey": "fake-secret"}, "stringData")
	case kind == "Secret" && name == "obs":
		set(map[string]any{"accessKey": server.AccessKey, "secretKey": server.SecretKey}, "stringData")
	case name == "auditor":
		set(s.namespace, "spec", "connectionRef", "name")
	}
}

// deliver applies a manifest as Argo CD does and returns what is stored then.
func deliver(ctx context.Context, g Gomega, manifest *unstructured.Unstructured, options ...client.ApplyOption) *unstructured.Unstructured {
	obj := manifest.DeepCopy()
	g.Expect(bed.Kube.Apply(ctx, client.ApplyConfigurationFromUnstructured(obj), append(options, deliverer)...)).To(Succeed(), manifest.GetName())
	return obj
}

// live reads an object as it is stored.
func live(ctx context.Context, g Gomega, obj client.Object) *unstructured.Unstructured {
	kind, err := bed.Kube.GroupVersionKindFor(obj)
	g.Expect(err).NotTo(HaveOccurred())
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(kind)
	g.Expect(bed.Kube.Get(ctx, client.ObjectKeyFromObject(obj), stored)).To(Succeed())
	return stored
}

// act runs an action on an object as Argo CD does: a merge patch of what the script has changed.
func act(ctx context.Context, g Gomega, obj client.Object, action string) *unstructured.Unstructured {
	before := live(ctx, g, obj)
	offered, err := tools.ArgoCD.Actions(ctx, before)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(offered).To(HaveKeyWithValue(action, true))
	after, err := tools.ArgoCD.Run(ctx, before, action)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(bed.Kube.Patch(ctx, after, client.MergeFrom(before), actor)).To(Succeed())
	return after
}

// shown is the health that Argo CD shows, with the message of what is not healthy, and where tools contradict each other.
func shown(ctx context.Context, g Gomega, obj client.Object) func() string {
	return func() string {
		stored := live(ctx, g, obj)
		verdict, err := tools.Judge(ctx, stored)
		g.Expect(err).NotTo(HaveOccurred())
		contradiction, err := verdict.Contradiction(stored)
		g.Expect(err).NotTo(HaveOccurred())
		if contradiction != "" || verdict.ArgoCD.Status == gitops.Healthy {
			return verdict.ArgoCD.Status + contradiction
		}
		return verdict.ArgoCD.Status + ": " + verdict.ArgoCD.Message
	}
}

// strangers are the field managers that own something of an object's spec and are neither who delivers it nor who runs actions.
func strangers(g Gomega, obj *unstructured.Unstructured) []string {
	var managers []string
	for _, entry := range obj.GetManagedFields() {
		var fields map[string]any
		g.Expect(json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields)).To(Succeed())
		if _, owns := fields["f:spec"]; owns && entry.Manager != string(deliverer) && entry.Manager != string(actor) {
			managers = append(managers, entry.Manager)
		}
	}
	return managers
}

// TestSamplesStayAsDelivered: neither a default nor the manager makes an object differ from its manifest, and what Argo CD's actions do to
// it is accepted, handled, and no difference either.
func TestSamplesStayAsDelivered(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	manifests := s.samples(t, g)
	for _, manifest := range manifests {
		deliver(t.Context(), g, manifest)
	}
	delivered := map[string]bool{}
	for _, manifest := range manifests {
		if manifest.GroupVersionKind().Group != v1alpha1.GroupVersion.Group {
			continue
		}
		delivered[manifest.GetKind()] = true
		t.Run(manifest.GetKind()+" "+manifest.GetName(), func(t *testing.T) {
			g := NewWithT(t)
			settled := Equal(gitops.Healthy)
			if manifest.GetName() == "quarterly-report" {
				settled = HavePrefix(gitops.Suspended) // nobody approves it
			}
			g.Eventually(shown(t.Context(), g, manifest), timeout, poll).Should(settled)
			staysAsDelivered(t, g, manifest)
			obeys(t.Context(), g, manifest)
			staysAsDelivered(t, g, manifest)
			g.Eventually(shown(t.Context(), g, manifest), timeout, poll).Should(settled)
		})
	}
	g.Expect(delivered).To(HaveLen(7), "a sample of every kind")
}

// staysAsDelivered asks the API server what delivering a manifest again would change, and who owns what of the object's spec.
func staysAsDelivered(t *testing.T, g Gomega, manifest *unstructured.Unstructured) {
	t.Helper()
	stored := live(t.Context(), g, manifest)
	again := deliver(t.Context(), g, manifest, client.DryRunAll)
	if diff := cmp.Diff(stored.Object["spec"], again.Object["spec"]); diff != "" {
		t.Errorf("delivering it again would change (-stored +delivered):\n%s", diff)
	}
	g.Expect(again.GetGeneration()).To(Equal(stored.GetGeneration()))
	g.Expect(strangers(g, stored)).To(BeEmpty())
}

// obeys runs the actions that every kind has. Only an annotation and spec.suspend change.
func obeys(ctx context.Context, g Gomega, manifest *unstructured.Unstructured) {
	before := live(ctx, g, manifest)
	refreshed := act(ctx, g, manifest, "refresh")
	wanted := refreshed.GetAnnotations()[v1alpha1.RequestedAtAnnotation]
	g.Expect(refreshed.GetGeneration()).To(Equal(before.GetGeneration()))
	g.Eventually(func() (string, error) {
		handled, _, err := unstructured.NestedString(live(ctx, g, manifest).Object, "status", "lastHandledReconcileAt")
		return handled, err
	}, timeout, poll).Should(And(Equal(wanted), Not(BeEmpty())))

	act(ctx, g, manifest, "suspend")
	suspended, err := tools.Judge(ctx, live(ctx, g, manifest))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(suspended.ArgoCD.Status).To(Equal(gitops.Suspended))
	g.Expect(suspended.KStatus).To(Equal(status.InProgressStatus), "the change of suspend is not decided")
	resumed := act(ctx, g, manifest, "resume")
	want, got := before.Object["spec"].(map[string]any), resumed.Object["spec"].(map[string]any)
	g.Expect(got["suspend"]).To(BeFalse())
	delete(want, "suspend")
	delete(got, "suspend")
	g.Expect(cmp.Diff(want, got)).To(BeEmpty())
}

// TestArgoCDKeepsItsConfiguration when it is given health and actions by the command that the documentation names.
func TestArgoCDKeepsItsConfiguration(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "argocd-cm"}, Data: map[string]string{"url": "https://argocd.example.com"}}
	create(t, configMap)
	out, err := kubectl(t, "", "apply", "--server-side", "--field-manager=maxcompute-operator", "-n", s.namespace, "-f", "../../config/argocd/argocd-cm.yaml")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(bed.Kube.Get(t.Context(), client.ObjectKeyFromObject(configMap), configMap)).To(Succeed())
	g.Expect(configMap.Data).To(HaveLen(15), "health and actions of seven kinds, and what was there")
	g.Expect(configMap.Data).To(HaveKeyWithValue("url", "https://argocd.example.com"))
}
