package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// newClusterConnection makes a ClusterConnection of the same name, account and Secret as the Connection, for every namespace.
func (h *harness) newClusterConnection() *v1alpha1.ClusterConnection {
	spec := h.newConnection().Spec
	spec.AlibabaCloud.Credentials.SecretRef.Namespace = namespace
	return &v1alpha1.ClusterConnection{
		ObjectMeta: metav1.ObjectMeta{Name: "prod", UID: "clusterconnection", Generation: 1},
		Spec:       v1alpha1.ClusterConnectionSpec{ConnectionSpec: spec, AllowedNamespaces: &v1alpha1.AllowedNamespaces{Selector: &metav1.LabelSelector{}}},
		Status:     v1alpha1.ConnectionStatus{SyncStatus: v1alpha1.SyncStatus{ObservedGeneration: -1}},
	}
}

// checkClusterConnection makes one pass over the ClusterConnection and returns it, or nil if it is gone.
func (h *harness) checkClusterConnection() *v1alpha1.ClusterConnection {
	h.t.Helper()
	reconciler := *h.connection
	reconciler.Cluster = true
	connection := &v1alpha1.ClusterConnection{ObjectMeta: metav1.ObjectMeta{Name: "prod"}}
	_, _ = reconciler.Reconcile(h.t.Context(), request(connection)) //nolint:errcheck // the condition is what counts
	if err := h.kube.Get(h.t.Context(), client.ObjectKeyFromObject(connection), connection); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return nil
		}
		h.t.Fatal(err)
	}
	return connection
}

// newClusterRole makes a role, in a namespace, that uses the ClusterConnection.
func newClusterRole(namespace, name string) *v1alpha1.ProjectRole {
	role := newRole(name, tables("Select"))
	role.Namespace, role.UID = namespace, role.UID+"-cluster"
	role.Spec.ConnectionRef = v1alpha1.ConnectionReference{Kind: v1alpha1.ConnectionKindClusterConnection, Name: "prod"}
	return role
}

func readyOf(obj conditions.Object) string {
	ready := conditions.ReadyCondition(obj)
	if ready == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s/%s", ready.Status, ready.Reason)
}

func TestWhatAClusterConnectionSays(t *testing.T) {
	tests := map[string]struct {
		arrange func(h *harness, c *v1alpha1.ClusterConnection)
		want    string
	}{
		"all is well":        {func(*harness, *v1alpha1.ClusterConnection) {}, "True/Succeeded"},
		"the Secret is gone": {func(h *harness, _ *v1alpha1.ClusterConnection) { h.delete(h.newSecret()) }, "False/SecretNotFound"},
		"the service account is missing": {func(_ *harness, c *v1alpha1.ClusterConnection) {
			c.Spec.AlibabaCloud.Credentials = v1alpha1.AlibabaCloudCredentials{WorkloadIdentity: &v1alpha1.WorkloadIdentity{
				RoleARN: "acs:ram::1:role/a", OIDCProviderARN: "acs:ram::1:oidc-provider/b", ServiceAccountName: "none", ServiceAccountNamespace: namespace,
			}}
		}, "False/SecretNotFound"},
		"the RAM role does not exist": {func(_ *harness, c *v1alpha1.ClusterConnection) {
			c.Spec.AlibabaCloud.AssumeRole = &v1alpha1.AssumeRole{RoleARN: "acs:ram::1:role/none"}
		}, "False/RemoteRejected"},
		"the RAM role does not trust the key": {func(h *harness, c *v1alpha1.ClusterConnection) {
			h.cloud.AddRAMRole(fakecloud.RAMRole{Arn: "acs:ram::1:role/a", TrustedAccessKeys: []string{"OTHER"}})
			c.Spec.AlibabaCloud.AssumeRole = &v1alpha1.AssumeRole{RoleARN: "acs:ram::1:role/a"}
		}, "False/PermissionDenied"},
		"the key is not known": {func(h *harness, _ *v1alpha1.ClusterConnection) { h.cloud.RemoveIdentity(fakecloud.DefaultAccessKeyID) }, "False/AuthenticationFailed"},
		"the selector makes no sense": {func(_ *harness, c *v1alpha1.ClusterConnection) {
			c.Spec.AllowedNamespaces.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Likes"}}
		}, "False/InvalidSpec"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			connection := h.newClusterConnection()
			connection.Spec.AlibabaCloud.Endpoints.STS = h.url
			tc.arrange(h, connection)
			h.create(connection)
			h.checkClusterConnection()
			first := h.checkClusterConnection()
			if got := readyOf(first); got != tc.want {
				t.Errorf("got %s: %s; want %s", got, conditions.ReadyCondition(first).Message, tc.want)
			}
			if !controllerutil.ContainsFinalizer(first, v1alpha1.Finalizer) {
				t.Error("no finalizer")
			}
			if second := h.checkClusterConnection(); second.ResourceVersion != first.ResourceVersion {
				t.Error("a check that found the same changed the object")
			}
		})
	}
}

func TestARoleOfAnyNamespaceUsesAClusterConnection(t *testing.T) {
	h := newHarness(t)
	role := newClusterRole("elsewhere", "reader")
	h.create(role)
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonConnectionNotReady)
	h.create(h.newClusterConnection())
	h.checkClusterConnection()
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.quiet(role)
}

func TestARoleThatIsNotAllowedMakesNoCall(t *testing.T) {
	h := newHarness(t)
	connection := h.newClusterConnection()
	connection.Spec.AllowedProjects = []string{"other_*"}
	h.create(connection)
	h.checkClusterConnection()
	role := newClusterRole("elsewhere", "reader")
	h.create(role)
	h.cloud.ResetJournal()
	stalled := h.settle(role)
	mustBe(t, stalled, metav1.ConditionFalse, v1alpha1.ReasonConnectionNotAllowed)
	if len(h.cloud.Journal()) > 0 || !strings.Contains(describe(stalled), "Stalled=True/ConnectionNotAllowed: ClusterConnection prod does not allow project analytics") {
		t.Errorf("%s, after the calls %v", describe(stalled), h.cloud.Journal())
	}
	// It has nothing in the cloud, so it goes at once, and keeps nobody from going before.
	h.deleteCluster()
	if h.checkClusterConnection() != nil {
		t.Error("one that may not use the ClusterConnection keeps it")
	}
	h.delete(role)
	if h.settle(role) != nil {
		t.Errorf("stuck: %s", describe(h.get(role)))
	}
}

func (h *harness) deleteCluster() {
	h.t.Helper()
	h.delete(&v1alpha1.ClusterConnection{ObjectMeta: metav1.ObjectMeta{Name: "prod"}})
}

// TestARoleThatIsNoLongerAllowedStaysUntilItIs, and says so: what it did is in the cloud.
func TestARoleThatIsNoLongerAllowedStaysUntilItIs(t *testing.T) {
	h := newHarness(t)
	h.create(h.newClusterConnection())
	h.checkClusterConnection()
	role := newClusterRole("elsewhere", "reader")
	h.create(role)
	h.settle(role)
	allow := func(names ...string) {
		connection := h.checkClusterConnection()
		connection.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{Names: names}
		connection.Generation++
		if err := h.kube.Update(t.Context(), connection); err != nil {
			t.Fatal(err)
		}
	}
	allow()
	h.cloud.ResetJournal()
	h.delete(role)
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonConnectionNotAllowed)
	if text := describe(h.get(role)); len(h.cloud.Journal()) > 0 || !strings.Contains(text, "this object goes when it is allowed again, or with deletionPolicy: Retain") {
		t.Errorf("%s, after the calls %v", text, h.cloud.Journal())
	}
	h.deleteCluster()
	if connection := h.checkClusterConnection(); connection == nil || readyOf(connection) != "False/InUse" {
		t.Error("the ClusterConnection went before what was made through it")
	}
	allow("elsewhere")
	if h.settle(role) != nil || h.cloud.RoleExists(project, "reader") {
		t.Error("the deletion did not end")
	}
	if h.checkClusterConnection() != nil {
		t.Error("the ClusterConnection is still there")
	}
}

func TestAConnectionIsKeptByItsOwnUsersOnly(t *testing.T) {
	local, cluster, elsewhere := newRole("local", tables("Select")), newClusterRole(namespace, "cluster"), newClusterRole("elsewhere", "far")
	tests := map[string]struct {
		users []*v1alpha1.ProjectRole
		// connection and clusterConnection are what is said of each when it is deleted; "" if it goes.
		connection, clusterConnection string
	}{
		"nobody's":                    {},
		"used in its namespace":       {users: []*v1alpha1.ProjectRole{local}, connection: ": ProjectRole local"},
		"the other kind used there":   {users: []*v1alpha1.ProjectRole{cluster}, clusterConnection: ": ProjectRole team/cluster"},
		"the other kind used far off": {users: []*v1alpha1.ProjectRole{elsewhere}, clusterConnection: ": ProjectRole elsewhere/far"},
		"both used": {
			users: []*v1alpha1.ProjectRole{local, cluster, elsewhere}, connection: ": ProjectRole local", clusterConnection: ": ProjectRole elsewhere/far, ProjectRole team/cluster",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.create(h.newClusterConnection())
			h.checkClusterConnection()
			for _, user := range tc.users {
				h.create(user.DeepCopy())
			}
			h.delete(h.newConnection())
			h.deleteCluster()
			said := func(obj conditions.Object, gone bool) string {
				if gone {
					return ""
				}
				_, list, _ := strings.Cut(conditions.ReadyCondition(obj).Message, "use it are gone")
				return list
			}
			connection, clusterConnection := h.checkConnection(), h.checkClusterConnection()
			if got := said(connection, connection == nil); got != tc.connection {
				t.Errorf("the Connection says %q, want %q", got, tc.connection)
			}
			if got := said(clusterConnection, clusterConnection == nil); got != tc.clusterConnection {
				t.Errorf("the ClusterConnection says %q, want %q", got, tc.clusterConnection)
			}
		})
	}
}

// TestAConnectionIsKeptByUsersThatOthersWorkOn: a manager that sees some objects only must not let a connection go that the others need.
func TestAConnectionIsKeptByUsersThatOthersWorkOn(t *testing.T) {
	h := newHarness(t)
	h.create(h.newClusterConnection())
	h.checkClusterConnection()
	h.create(newRole("local", tables("Select")))
	h.create(newClusterRole("elsewhere", "far"))
	// The cache has none of the roles.
	h.connection.Client = interceptor.NewClient(h.kube, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, ok := list.(*v1alpha1.ProjectRoleList); ok {
				return nil
			}
			return c.List(ctx, list, opts...)
		},
	})
	h.delete(h.newConnection())
	h.deleteCluster()
	if h.checkConnection() == nil || h.checkClusterConnection() == nil {
		t.Error("a connection went that is used")
	}
	failures := map[string]struct {
		err  error
		kept bool
	}{
		"the API server does not answer": {apierrors.NewInternalError(errors.New("etcdserver: no leader")), true},
		"the others are not to be seen":  {apierrors.NewForbidden(schema.GroupResource{Resource: "projectroles"}, "", errors.New("no rule allows it")), false},
	}
	for _, name := range []string{"the API server does not answer", "the others are not to be seen"} {
		h.connection.Live = interceptor.NewClient(h.kube, interceptor.Funcs{
			List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
				return failures[name].err
			},
		})
		if kept := h.checkClusterConnection() != nil; kept != failures[name].kept {
			t.Errorf("%s: kept %v", name, kept)
		}
	}
}

// TestANamespaceWithItsSecretGoesInASession: everything is deleted at once, and calls are made in a session.
func TestANamespaceWithItsSecretGoesInASession(t *testing.T) {
	h := newHarness(t)
	const arn = "acs:ram::123456789012:role/prod"
	h.cloud.AddRAMRole(fakecloud.RAMRole{Arn: arn, TrustedAccessKeys: []string{fakecloud.DefaultAccessKeyID}})
	connection := h.checkConnection()
	connection.Spec.AlibabaCloud.AssumeRole = &v1alpha1.AssumeRole{RoleARN: arn}
	connection.Spec.AlibabaCloud.Endpoints.STS = h.url
	connection.Generation++
	if err := h.kube.Update(t.Context(), connection); err != nil {
		t.Fatal(err)
	}
	role := newRole("reader", tables("Select"))
	h.create(role)
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	for _, entry := range h.cloud.Writes() {
		if entry.Caller != arn {
			t.Errorf("%s was called by %s", entry.Action, entry.AccessKeyID)
		}
	}
	h.delete(h.newSecret())
	h.delete(h.newConnection())
	h.delete(role)
	if h.settle(role) != nil || h.cloud.RoleExists(project, "reader") {
		t.Errorf("stuck: %s", describe(h.get(role)))
	}
	if h.checkConnection() != nil {
		t.Error("the Connection is still there")
	}
	if n := len(h.cloud.Sessions()); n != 1 {
		t.Errorf("%d sessions", n)
	}
}
