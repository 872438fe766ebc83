package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// establishTimeout is how long the API server is given to serve new kinds.
	establishTimeout = 30 * time.Second
	// tokenLifetime is longer than any run, so that no token has to be renewed.
	tokenLifetime = 24 * time.Hour
)

// Install makes a namespace, installs the chart there as a release, as helm would, and returns a manager that is not running yet: it acts
// as the service account of the release and gets the arguments of its Deployment, but listens on no port. The arguments are those of helm
// template, such as --set=crds.create=false.
func (b *Testbed) Install(ctx context.Context, release, namespace string, args ...string) (*Manager, error) {
	objects, err := b.chart.Template(ctx, release, namespace, args...)
	if err != nil {
		return nil, err
	}
	if err := b.Kube.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return nil, err
	}
	for _, obj := range objects {
		// Created from a copy: the answer would take the place of what was rendered.
		if err := b.Kube.Create(ctx, obj.DeepCopy()); err != nil {
			return nil, fmt.Errorf("install %s %s: %w", obj.GetKind(), obj.GetName(), err)
		}
	}
	if err := b.established(ctx, objects); err != nil {
		return nil, err
	}
	deployment, err := findDeployment(objects)
	if err != nil {
		return nil, err
	}
	return b.newManager(ctx, namespace, &deployment.Spec.Template.Spec)
}

// established waits until the API server serves the kinds among objects.
func (b *Testbed) established(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, obj := range objects {
		if obj.GetKind() != "CustomResourceDefinition" {
			continue
		}
		crd := obj.DeepCopy()
		if err := Until(ctx, establishTimeout, func() (bool, error) {
			err := b.Kube.Get(ctx, client.ObjectKeyFromObject(crd), crd)
			conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions") //nolint:errcheck // none yet
			return slices.ContainsFunc(conditions, isEstablished), err
		}); err != nil {
			return fmt.Errorf("wait for %s: %w", obj.GetName(), err)
		}
	}
	return nil
}

func isEstablished(condition any) bool {
	c, ok := condition.(map[string]any)
	return ok && c["type"] == "Established" && c["status"] == "True"
}

func findDeployment(objects []*unstructured.Unstructured) (*appsv1.Deployment, error) {
	for _, obj := range objects {
		if obj.GetKind() == "Deployment" {
			deployment := &appsv1.Deployment{}
			return deployment, runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, deployment)
		}
	}
	return nil, errors.New("the chart has no Deployment")
}

// newManager makes a manager that a pod would run.
func (b *Testbed) newManager(ctx context.Context, namespace string, pod *corev1.PodSpec) (*Manager, error) {
	m := &Manager{
		Kubeconfig: filepath.Join(b.dir, namespace+".kubeconfig"), binary: b.binary(), spool: b.SpoolDirectory,
		flags: append(pod.Containers[0].Args, "--leader-election-namespace="+namespace, "--health-probe-bind-address=0", "--metrics-bind-address=0",
			"--allow-insecure-endpoints", "--export-directory="+b.ExportDirectory),
		forget: func() error { return b.Kube.DeleteAllOf(ctx, &coordinationv1.Lease{}, client.InNamespace(namespace)) },
	}
	if err := b.writeKubeconfig(ctx, m.Kubeconfig, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod.ServiceAccountName}}); err != nil {
		return nil, fmt.Errorf("make the manager's kubeconfig: %w", err)
	}
	var err error
	m.log, err = os.Create(filepath.Join(b.dir, namespace+".log"))
	return m, err
}

// writeKubeconfig writes a kubeconfig with a token of a service account.
func (b *Testbed) writeKubeconfig(ctx context.Context, path string, account *corev1.ServiceAccount) error {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(tokenLifetime.Seconds()))}}
	if err := b.Kube.SubResource("token").Create(ctx, account, request); err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["testbed"] = &clientcmdapi.Cluster{Server: b.environment.Config.Host, CertificateAuthorityData: b.environment.Config.CAData}
	config.AuthInfos["manager"] = &clientcmdapi.AuthInfo{Token: request.Status.Token}
	config.Contexts["manager"] = &clientcmdapi.Context{Cluster: "testbed", AuthInfo: "manager"}
	config.CurrentContext = "manager"
	return clientcmd.WriteToFile(*config, path)
}
