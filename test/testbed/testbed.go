// Package testbed runs the built manager, with the rights that config/rbac grants it and no more, against a real API server and
// the fake cloud: for the end-to-end tests, the benchmark and the chaos run. It is used from a directory below test/.
package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// Testbed is a control plane, a fake cloud, and a manager between them.
type Testbed struct {
	// Kube is an administrator's client.
	Kube client.WithWatch
	// Kubeconfig is an administrator's, as a file.
	Kubeconfig string
	Cloud      *fakecloud.Server
	CloudURL   string
	Manager    *Manager
	// ExportDirectory is the manager's, and SpoolDirectory its directory for temporary files.
	ExportDirectory, SpoolDirectory string

	environment *envtest.Environment
	server      *httptest.Server
	dir         string
}

// Start brings up everything but the manager, which it only builds. root is the repository's root. What was started is stopped
// again if something fails.
func Start(ctx context.Context, root string) (*Testbed, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set: run this through make, or export KUBEBUILDER_ASSETS=$(make -s controlplane)")
	}
	dir, err := os.MkdirTemp("", "maxcompute-operator-")
	if err != nil {
		return nil, err
	}
	b := &Testbed{
		Cloud: fakecloud.New(fakecloud.Options{}), dir: dir,
		environment: &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join(root, "config/crd/bases")}, ErrorIfCRDPathMissing: true},
	}
	b.server = httptest.NewServer(b.Cloud)
	b.CloudURL = b.server.URL
	if _, err := b.environment.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the control plane: %w", err), b.Stop())
	}
	if err := b.setUp(ctx, root); err != nil {
		return nil, errors.Join(err, b.Stop())
	}
	return b, nil
}

// Stop ends everything and removes its files.
func (b *Testbed) Stop() error {
	if b.Manager != nil {
		b.Manager.Stop()
	}
	b.server.CloseClientConnections()
	b.server.Close()
	return errors.Join(b.environment.Stop(), os.RemoveAll(b.dir))
}

func (b *Testbed) setUp(ctx context.Context, root string) error {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	// Without a limit on its own requests: it creates objects by the thousand.
	config := *b.environment.Config
	config.QPS = -1
	var err error
	if b.Kube, err = client.NewWithWatch(&config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	b.Kubeconfig = filepath.Join(b.dir, "kubeconfig")
	if err := os.WriteFile(b.Kubeconfig, b.environment.KubeConfig, 0o600); err != nil {
		return err
	}
	b.ExportDirectory, b.SpoolDirectory = filepath.Join(b.dir, "exports"), filepath.Join(b.dir, "spool")
	if err := errors.Join(os.Mkdir(b.ExportDirectory, 0o700), os.Mkdir(b.SpoolDirectory, 0o700)); err != nil {
		return err
	}
	b.Manager = &Manager{
		binary: filepath.Join(b.dir, "manager"), kubeconfig: filepath.Join(b.dir, "manager.kubeconfig"), exports: b.ExportDirectory, spool: b.SpoolDirectory,
	}
	if b.Manager.log, err = os.Create(filepath.Join(b.dir, "manager.log")); err != nil {
		return err
	}
	if err := b.applyPolicies(ctx, filepath.Join(root, "config/crd/deadline_policy.yaml")); err != nil {
		return fmt.Errorf("install the admission policies: %w", err)
	}
	if err := b.grantRights(ctx, filepath.Join(root, "config/rbac/role.yaml")); err != nil {
		return fmt.Errorf("grant the manager its rights: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", b.Manager.binary, root)
	build.Stderr = os.Stderr
	return build.Run()
}

// applyPolicies creates the objects of a file.
func (b *Testbed) applyPolicies(ctx context.Context, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for part := range strings.SplitSeq(string(text), "\n---\n") {
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(part), obj); err != nil {
			return err
		}
		if err := b.Kube.Create(ctx, obj); err != nil {
			return err
		}
	}
	return nil
}

// grantRights makes a user that may do what the manager's role says, and writes its kubeconfig.
func (b *Testbed) grantRights(ctx context.Context, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.Unmarshal(text, role); err != nil {
		return err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "manager"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "manager"}},
	}
	for _, obj := range []client.Object{role, binding} {
		if err := b.Kube.Create(ctx, obj); err != nil {
			return err
		}
	}
	user, err := b.environment.AddUser(envtest.User{Name: "manager"}, nil)
	if err != nil {
		return err
	}
	config, err := user.KubeConfig()
	if err != nil {
		return err
	}
	return os.WriteFile(b.Manager.kubeconfig, config, 0o600)
}
