// Package e2e holds the end-to-end tests.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/gitops"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// bed is the one environment of all tests in this package; each test has a namespace and a project of its own.
var bed *testbed.Testbed

// tools see every object that a test looks at.
var tools *gitops.Tools

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if tools, err = gitops.Load("../.."); err != nil {
		return 1, err
	}
	if bed, err = testbed.Start(context.Background(), "../.."); err != nil {
		return 1, err
	}
	if err := startManager(); err != nil {
		return 1, err
	}
	code = m.Run()
	return code, bed.Stop()
}

func startManager() error { return bed.Manager.Start("--default-interval=2s") }

// shownLog is how much of the manager's log a failed test shows.
const shownLog = 64 << 10

// space is a namespace with a project of its own.
type space struct {
	namespace, project string
}

func newSpace(t *testing.T) space {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	create(t, namespace)
	s := space{namespace: namespace.Name, project: "p_" + namespace.Name[len("e2e-"):]}
	bed.Cloud.AddProject(fakecloud.Project{Name: s.project})
	logged := len(bed.Manager.Output())
	t.Cleanup(func() {
		if t.Failed() {
			log := bed.Manager.Output()[logged:]
			t.Logf("the end of the manager's log:\n%s", log[max(0, len(log)-shownLog):])
		}
		if violations := bed.Cloud.Violations(); len(violations) > 0 {
			t.Errorf("the fake cloud was asked for what it does not have: %v", violations)
		}
	})
	return s
}

func (s space) secret() *corev1.Secret { return bed.NewSecret(s.namespace) }

func (s space) connection() *v1alpha1.Connection { return bed.NewConnection(s.namespace, 1000) }

// clusterConnection is named like the namespace, takes its Secret from there, and allows nobody.
func (s space) clusterConnection() *v1alpha1.ClusterConnection {
	connection := &v1alpha1.ClusterConnection{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
	connection.Spec.ConnectionSpec = s.connection().Spec
	connection.Spec.AlibabaCloud.Credentials.SecretRef.Namespace = s.namespace
	return connection
}

func (s space) role(name string, actions ...string) *v1alpha1.ProjectRole {
	return bed.NewRole(s.namespace, name, s.project, name, v1alpha1.TableGrant{Name: "orders", Actions: actions})
}

func create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, obj := range objects {
		if err := bed.Kube.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
}

// kubectl runs the control plane's own kubectl as an administrator.
func kubectl(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), append([]string{"--kubeconfig", bed.Kubeconfig}, args...)...)
	command.Stdin = bytes.NewBufferString(input)
	out, err := command.CombinedOutput()
	return string(out), err
}
