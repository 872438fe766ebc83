package controllers_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// checkConnection makes one pass over the Connection and returns it, or nil if it is gone.
func (h *harness) checkConnection() *v1alpha1.Connection {
	h.t.Helper()
	key := client.ObjectKey{Namespace: namespace, Name: "prod"}
	_, _ = h.connection.Reconcile(h.t.Context(), request(&v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}})) //nolint:errcheck // the condition is what counts
	connection := &v1alpha1.Connection{}
	if err := h.kube.Get(h.t.Context(), key, connection); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return nil
		}
		h.t.Fatal(err)
	}
	return connection
}

func (h *harness) delete(obj client.Object) {
	h.t.Helper()
	if err := h.kube.Delete(h.t.Context(), obj); err != nil {
		h.t.Fatal(err)
	}
}

func TestWhatAConnectionSays(t *testing.T) {
	tests := map[string]struct {
		arrange func(h *harness)
		want    string
	}{
		"all is well":          {func(*harness) {}, "True/Succeeded"},
		"the Secret is gone":   {func(h *harness) { h.delete(h.newSecret()) }, "False/SecretNotFound"},
		"the key is not known": {func(h *harness) { h.cloud.RemoveIdentity(fakecloud.DefaultAccessKeyID) }, "False/AuthenticationFailed"},
		"the identity may not": {func(h *harness) { h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultAccessDenied}) }, "False/PermissionDenied"},
		"the endpoint is down": {func(h *harness) { h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultHTML502}) }, "False/RemoteUnavailable"},
		"the endpoint is another server": {
			func(h *harness) { h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultWrongEndpoint}) }, "False/UnexpectedResponse",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			tc.arrange(h)
			h.checkConnection()
			first := h.checkConnection()
			ready := conditions.ReadyCondition(first)
			if got := string(ready.Status) + "/" + ready.Reason; got != tc.want {
				t.Errorf("got %s: %s; want %s", got, ready.Message, tc.want)
			}
			if second := h.checkConnection(); second.ResourceVersion != first.ResourceVersion {
				t.Error("a check that found the same changed the object")
			}
		})
	}
}

func TestConnectionGetsItsFinalizerBeforeItIsUsed(t *testing.T) {
	h := newHarness(t)
	connection := h.checkConnection()
	connection.Finalizers = nil
	if err := h.kube.Update(t.Context(), connection); err != nil {
		t.Fatal(err)
	}
	role := newRole("reader", tables("Select"))
	h.create(role)
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonConnectionNotReady)
	if n := h.cloud.Count("CreateRole"); n > 0 {
		t.Error("a Connection was used that may go at any time")
	}
	if connection := h.checkConnection(); !controllerutil.ContainsFinalizer(connection, v1alpha1.Finalizer) {
		t.Error("no finalizer")
	}
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

// TestEverythingDeletedAtOnce deletes Secret, Connection and roles together, as the deletion of their namespace does.
func TestEverythingDeletedAtOnce(t *testing.T) {
	h := newHarness(t)
	var roles []*v1alpha1.ProjectRole
	for i := range 7 {
		role := newRole(fmt.Sprintf("r%d", i), tables("Select"))
		h.create(role)
		h.settle(role)
		roles = append(roles, role)
	}
	h.delete(h.newSecret())
	h.delete(h.newConnection())
	connection := h.checkConnection()
	if connection == nil {
		t.Fatal("the Connection went before the roles that use it")
	}
	ready := conditions.ReadyCondition(connection)
	if ready.Reason != v1alpha1.ReasonInUse || !strings.Contains(ready.Message, "ProjectRole r0, ProjectRole r1, ProjectRole r2, ProjectRole r3, ProjectRole r4 and 2 more") {
		t.Errorf("got %s: %s", ready.Reason, ready.Message)
	}
	for _, role := range roles {
		h.delete(role)
		if h.settle(role) != nil {
			t.Errorf("role %s is stuck: %s", role.Name, describe(h.get(role)))
		}
	}
	if left := h.cloud.Roles(project); len(left) > 0 {
		t.Errorf("left in the cloud: %v", left)
	}
	if h.checkConnection() != nil {
		t.Error("the Connection is still there")
	}
}

// TestDeletionAfterARestartWithoutTheSecret: the credentials are lost, so the object says what it needs, and goes when it has it.
func TestDeletionAfterARestartWithoutTheSecret(t *testing.T) {
	h := newHarness(t)
	role := newRole("reader", tables("Select"))
	h.create(role)
	h.settle(role)
	h.delete(h.newSecret())
	h.restart()
	h.delete(role)
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	stuck := h.get(role)
	mustBe(t, stuck, metav1.ConditionFalse, v1alpha1.ReasonConnectionNotReady)
	for _, words := range []string{"Secret alibaba does not exist", "deletionPolicy: Retain"} {
		if !strings.Contains(describe(stuck), words) {
			t.Errorf("%s does not say %q", describe(stuck), words)
		}
	}
	if err := h.kube.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "alibaba"}, Data: h.newSecret().Data}); err != nil {
		t.Fatal(err)
	}
	if h.settle(role) != nil || h.cloud.RoleExists(project, "reader") {
		t.Error("the deletion did not end")
	}
}

// TestSecretThatIsGoneStopsLivingObjects: credentials that were taken away are used for cleaning up and for nothing else.
func TestSecretThatIsGoneStopsLivingObjects(t *testing.T) {
	h := newHarness(t)
	role := newRole("reader", tables("Select"))
	h.create(role)
	h.settle(role)
	h.delete(h.newSecret())
	connection := h.checkConnection()
	connection.Generation++
	if err := h.kube.Update(t.Context(), connection); err != nil { // makes the operator read the Secret now rather than in a minute
		t.Fatal(err)
	}
	h.cloud.ResetJournal()
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonConnectionNotReady)
	if calls := h.cloud.Journal(); len(calls) > 0 {
		t.Errorf("made calls: %v", calls)
	}
}
