package chart_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/helm"
)

// monitoring makes up the two kinds of the Prometheus operator that the chart uses: these schemas accept anything, unlike the real ones.
const monitoring = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: servicemonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: ServiceMonitor, plural: servicemonitors}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: prometheusrules.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: PrometheusRule, plural: prometheusrules}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`

// cluster is a control plane, and an administrator in it who notes what the API server warns of.
type cluster struct {
	client.Client

	kubeconfig string
	warnings   *warnings
}

func startCluster(t *testing.T) cluster {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test, or export KUBEBUILDER_ASSETS=$(make -s controlplane)")
	}
	dir := t.TempDir()
	crds := filepath.Join(dir, "monitoring.yaml")
	if err := os.WriteFile(crds, []byte(monitoring), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := &envtest.Environment{CRDDirectoryPaths: []string{crds}, ErrorIfCRDPathMissing: true}
	config, err := environment.Start()
	t.Cleanup(func() {
		if err := environment.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c := cluster{kubeconfig: filepath.Join(dir, "kubeconfig"), warnings: &warnings{}}
	if err := os.WriteFile(c.kubeconfig, environment.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	config = rest.CopyConfig(config)
	config.WarningHandlerWithContext = c.warnings
	if c.Client, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	return c
}

// warnings are what the API server warned of.
type warnings struct {
	mu   sync.Mutex
	seen []string
}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, text)
}

func (c cluster) create(t *testing.T, obj client.Object, options ...client.CreateOption) {
	t.Helper()
	if err := c.Create(t.Context(), obj, options...); err != nil {
		t.Error(err)
	}
}

// restricted makes a namespace that runs nothing that needs more than the restricted profile allows.
func (c cluster) restricted(t *testing.T, name string) {
	t.Helper()
	c.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted",
	}}})
}

// TestAnAPIServerAcceptsTheChart applies every variant to a real API server, which is told to store nothing.
func TestAnAPIServerAcceptsTheChart(t *testing.T) {
	c := startCluster(t)
	c.restricted(t, namespace)
	for _, name := range []string{"team-a", "team-b"} {
		c.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	for name, release := range map[string]string{"a usual name": release, "the longest name": strings.Repeat("long-", 10) + "one"} {
		for _, file := range append(ciValues(t), filepath.Join(chart(t).Dir, "values.yaml")) {
			t.Run(name+" with "+filepath.Base(file), func(t *testing.T) {
				list, err := chart(t).Template(t.Context(), release, namespace, "--values="+file)
				if err != nil {
					t.Fatal(err)
				}
				for _, obj := range list {
					c.accepts(t, obj)
				}
			})
		}
	}
	if len(c.warnings.seen) > 0 {
		t.Errorf("the API server warned: %v", c.warnings.seen)
	}
}

func (c cluster) accepts(t *testing.T, obj *unstructured.Unstructured) {
	t.Helper()
	if obj.GetNamespace() == "" && obj.GetKind() == "ConfigMap" {
		obj.SetNamespace(namespace) // as helm does with extraObjects
	}
	apply := client.ApplyConfigurationFromUnstructured(obj.DeepCopy())
	if err := c.Apply(t.Context(), apply, client.DryRunAll, client.FieldOwner("test"), client.ForceOwnership); err != nil {
		t.Errorf("%s: %v", key(obj), err)
	}
	if obj.GetKind() != "Deployment" {
		return
	}
	d := deployment()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, d); err != nil {
		t.Fatal(err)
	}
	// The profile is enforced when pods are made, which nothing does here.
	pod := &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec}
	pod.Namespace, pod.GenerateName = d.Namespace, "pod-"
	c.create(t, pod, client.DryRunAll)
}

// helm runs helm for the release, as an administrator.
func (c cluster) helm(t *testing.T, args ...string) error {
	t.Helper()
	_, err := chart(t).Run(t.Context(), append(args, "--kubeconfig="+c.kubeconfig, "--namespace="+namespace)...)
	return err
}

// must is helm, which must succeed.
func (c cluster) must(t *testing.T, args ...string) {
	t.Helper()
	if err := c.helm(t, args...); err != nil {
		t.Fatal(err)
	}
}

// deployment and managerRole are what an upgrade changes.
func deployment() *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: release}}
}

func managerRole() *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "maxcompute-operator-manager-role"}}
}

// installed checks how many replicas the release asks for, and whether it may read Secrets everywhere.
func (c cluster) installed(t *testing.T, replicas int32, secrets bool) {
	t.Helper()
	d, role := deployment(), managerRole()
	for _, obj := range []client.Object{d, role} {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
			t.Fatal(err)
		}
	}
	if *d.Spec.Replicas != replicas {
		t.Errorf("got %d replicas, want %d", *d.Spec.Replicas, replicas)
	}
	if got := slices.Contains(pairs(role.Rules), "get secrets"); got != secrets {
		t.Errorf("the manager may read Secrets everywhere: %v, want %v", got, secrets)
	}
}

// TestHelmInstallsUpgradesAndUninstalls does what an administrator does, with a real API server.
func TestHelmInstallsUpgradesAndUninstalls(t *testing.T) {
	c := startCluster(t)
	// The CRDs are there, as make install leaves them. They belong to no release, and are handed over as docs/install.md says.
	for _, obj := range build(t, "config/crd") {
		if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(obj), client.FieldOwner("kubectl")); err != nil {
			t.Fatal(err)
		}
	}
	install := []string{"install", release, chart(t).Dir, "--create-namespace"}
	if err := c.helm(t, install...); err == nil || !strings.Contains(err.Error(), "invalid ownership metadata") {
		t.Errorf("got error %v for CRDs that nobody handed over, want that they have another owner", err)
	}
	c.must(t, append(install, "--take-ownership", "--force-conflicts")...)
	c.installed(t, 2, true)
	role := &v1alpha1.ProjectRole{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "reader"}}
	role.Spec.ConnectionRef.Name, role.Spec.ProjectName, role.Spec.RoleName, role.Spec.ACL = "prod", "analytics", "reader", &v1alpha1.RoleACL{}
	c.create(t, role)

	c.must(t, "upgrade", release, chart(t).Dir, "--set=replicaCount=3,rbac.scoped=true,watchNamespaces={default}")
	c.installed(t, 3, false)

	uid := role.UID
	c.must(t, "uninstall", release)
	for _, obj := range []client.Object{deployment(), managerRole()} {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); !apierrors.IsNotFound(err) {
			t.Errorf("uninstalling left %T (error %v)", obj, err)
		}
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(role), role); err != nil || role.UID != uid || role.DeletionTimestamp != nil {
		t.Errorf("uninstalling touched an object: %v, error %v", role.ObjectMeta, err)
	}
	// The CRDs that were kept are no obstacle.
	c.must(t, install...)
	c.installed(t, 2, true)
}

// TestCRDsAreKept: without keep, uninstalling the release is the end of every object.
func TestCRDsAreKept(t *testing.T) {
	for keep, want := range map[string]string{"true": "keep", "false": ""} {
		all := render(t, "--set=crds.keep="+keep, "--set=crds.annotations.owner=data")
		crds := all.keys("CustomResourceDefinition")
		if len(crds) != 7 {
			t.Errorf("got %v, want seven CRDs", crds)
		}
		for _, name := range crds {
			annotations := all[name].GetAnnotations()
			if diff := cmp.Diff(map[string]string{"owner": "data", "policy": want, generator: annotations[generator]},
				map[string]string{"owner": annotations["owner"], "policy": annotations["helm.sh/resource-policy"], generator: annotations[generator]}); diff != "" {
				t.Errorf("%s: -want +got:\n%s", name, diff)
			}
		}
	}
}

// TestMonitoringIsCopiedWhole: the alerts and the dashboard hold expressions in braces, which are not the chart's.
func TestMonitoringIsCopiedWhole(t *testing.T) {
	all := render(t, "--set=prometheusRule.enabled=true,grafanaDashboard.enabled=true")
	text, err := os.ReadFile(filepath.Join(root, "config/prometheus/rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := helm.Objects(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(source[0].Object["spec"], all.get(t, "PrometheusRule "+namespace+"/"+release).Object["spec"]); diff != "" {
		t.Errorf("alerts: -config +chart:\n%s", diff)
	}
	board, err := os.ReadFile(filepath.Join(root, "config/grafana/dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	got := field(t, all.get(t, "ConfigMap "+namespace+"/"+release+"-dashboard"), "data", release+".json")
	if diff := cmp.Diff(strings.TrimSpace(string(board)), strings.TrimSpace(got.(string))); diff != "" {
		t.Errorf("dashboard: -config +chart:\n%s", diff)
	}
}
