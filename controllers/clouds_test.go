package controllers_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// checkInsight makes one pass over the Connection insight, or the ClusterConnection of that name, and returns it, or nil if it is gone.
func (h *harness) checkInsight(cluster bool) connect.Connection {
	h.t.Helper()
	reconciler := *h.connection
	reconciler.Cluster = cluster
	connection := connect.New(cluster)
	connection.SetName("insight")
	if !cluster {
		connection.SetNamespace(namespace)
	}
	_, _ = reconciler.Reconcile(h.t.Context(), request(connection)) //nolint:errcheck // the condition is what counts
	if err := h.kube.Get(h.t.Context(), client.ObjectKeyFromObject(connection), connection); err != nil {
		h.must(client.IgnoreNotFound(err))
		return nil
	}
	return connection
}

// insightCluster makes a ClusterConnection of the same account as the Connection insight, for every namespace.
func (h *harness) insightCluster() *v1alpha1.ClusterConnection {
	h.t.Helper()
	local := &v1alpha1.Connection{}
	h.must(h.kube.Get(h.t.Context(), client.ObjectKey{Namespace: namespace, Name: "insight"}, local))
	spec := *local.Spec.DeepCopy()
	spec.HuaweiCloud.Credentials.SecretRef.Namespace = namespace
	return &v1alpha1.ClusterConnection{
		ObjectMeta: metav1.ObjectMeta{Name: "insight", UID: "insight-cluster", Generation: 1},
		Spec:       v1alpha1.ClusterConnectionSpec{ConnectionSpec: spec, AllowedNamespaces: &v1alpha1.AllowedNamespaces{Selector: &metav1.LabelSelector{}}},
		Status:     v1alpha1.ConnectionStatus{SyncStatus: v1alpha1.SyncStatus{ObservedGeneration: -1}},
	}
}

// fill replaces what is in the Secret of Huawei Cloud.
func (h *harness) fill(data map[string]string) {
	h.t.Helper()
	secret := &corev1.Secret{}
	h.must(h.kube.Get(h.t.Context(), client.ObjectKey{Namespace: namespace, Name: "huawei"}, secret))
	secret.Data = map[string][]byte{}
	for key, value := range data {
		secret.Data[key] = []byte(value)
	}
	h.must(h.kube.Update(h.t.Context(), secret))
}

func TestWhatAConnectionOfHuaweiCloudSays(t *testing.T) {
	password := map[string]string{"domainName": "corp", "userName": "exporter", "password": "fake-password"}
	tests := map[string]struct {
		arrange func(h *harness)
		want    string
	}{
		"all is well":        {func(*harness) {}, "True/Succeeded"},
		"a password":         {func(h *harness) { h.fill(password) }, "True/Succeeded"},
		"who may not export": {func(h *harness) { h.must(h.cloud.DenyExports("corp/exporter")) }, "True/Succeeded"},
		"the Secret is gone": {func(h *harness) {
			h.delete(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "huawei"}})
		}, "False/SecretNotFound"},
		"the Secret is empty": {func(h *harness) { h.fill(nil) }, "False/SecretNotFound"},
		"the Secret has two": {func(h *harness) {
			h.fill(map[string]string{"accessKey": huaweiKey, "secretKey": huaweiSecret, "token": "fake-token"})
		}, "False/SecretNotFound"},
		"the key is unknown":  {func(h *harness) { h.cloud.RemoveIAMKey(huaweiKey) }, "False/AuthenticationFailed"},
		"the secret is wrong": {func(h *harness) { h.fill(map[string]string{"accessKey": huaweiKey, "secretKey": "fake-typo"}) }, "False/AuthenticationFailed"},
		"the token is none":   {func(h *harness) { h.fill(map[string]string{"token": "fake-token"}) }, "False/AuthenticationFailed"},
		"the user is unknown": {func(h *harness) { h.fill(password); h.cloud.RemoveIAMUser("corp", "exporter") }, "False/AuthenticationFailed"},
		"the service is down": {func(h *harness) { h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultHTML502, Service: "insight"}) }, "False/RemoteUnavailable"},
		"IAM is down": {func(h *harness) {
			h.fill(password)
			h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultHTML502, Service: "iam"})
		}, "False/RemoteUnavailable"},
		"IAM is down, and not needed": {
			func(h *harness) { h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultHTML502, Service: "iam"}) }, "True/Succeeded",
		},
		"the endpoint is another server": {func(h *harness) { h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultWrongEndpoint}) }, "False/UnexpectedResponse"},
	}
	for name, tc := range tests {
		for kind, cluster := range map[string]bool{"Connection": false, "ClusterConnection": true} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				h, _ := exportWorld(t)
				h.create(h.insightCluster())
				tc.arrange(h)
				h.checkInsight(cluster)
				first := h.checkInsight(cluster)
				if got := readyOf(first); got != tc.want {
					t.Errorf("got %s: %s; want %s", got, conditions.ReadyCondition(first).Message, tc.want)
				}
				if strings.Contains(conditions.ReadyCondition(first).Message, "fake-") {
					t.Error("a secret is told")
				}
				if !controllerutil.ContainsFinalizer(first, v1alpha1.Finalizer) {
					t.Error("no finalizer")
				}
				if second := h.checkInsight(cluster); second.GetResourceVersion() != first.GetResourceVersion() {
					t.Error("a check that found the same changed the object")
				}
				if writes := h.cloud.Writes(); len(writes) > 0 {
					t.Errorf("a check wrote: %v", writes)
				}
			})
		}
	}
}

// strangers are objects of every kind that needs Alibaba Cloud, which name the Connection insight.
func strangers() map[string]subject {
	ref := v1alpha1.ConnectionReference{Name: "insight"}
	role, pkg, installation := newRole("reader", tables("Select")), newPackage("pkg", ofTables(table("dim_city", "Select"))), newInstallation("theirs")
	role.Spec.ConnectionRef, pkg.Spec.ConnectionRef, installation.Spec.ConnectionRef = ref, ref, ref
	return map[string]subject{
		"ProjectRole": role, "MaxComputePackage": pkg, "PackageInstallation": installation,
		"PermissionApply": newRequest("report", func(s *v1alpha1.PermissionApplySpec) { s.ConnectionRef = ref }),
	}
}

// toAlibaba makes the Connection insight one of Alibaba Cloud; toHuawei is a way back.
func (h *harness) toAlibaba() (toHuawei func()) {
	h.t.Helper()
	key := client.ObjectKey{Namespace: namespace, Name: "insight"}
	become := func(spec v1alpha1.ConnectionSpec) (before v1alpha1.ConnectionSpec) {
		connection := &v1alpha1.Connection{}
		h.must(h.kube.Get(h.t.Context(), key, connection))
		before, connection.Spec = connection.Spec, spec
		connection.Generation++
		h.must(h.kube.Update(h.t.Context(), connection))
		return before
	}
	alibaba := h.newConnection().Spec
	alibaba.AlibabaCloud.DataWorksAPIVersion = newer // with the older one, nobody can withdraw a request
	huawei := become(alibaba)
	return func() { become(huawei) }
}

// decided makes passes over an object until it is Ready, Stalled or gone.
func (h *harness) decided(obj subject) subject {
	h.t.Helper()
	for range 40 {
		result, err := h.pass(obj)
		found := stored(h, obj)
		if isNil(found) || err == nil && (conditions.IsReady(found) || result.RequeueAfter == 0 || result.RequeueAfter > interval/2) {
			return found
		}
		h.advance(max(result.RequeueAfter, backoff))
	}
	h.t.Fatalf("did not settle: %s", describe(stored(h, obj)))
	return nil
}

// mustBeStrange asserts that an object says that its connection is one of the other cloud.
func mustBeStrange(t *testing.T, obj subject) {
	t.Helper()
	mustBe(t, obj, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	const want = "Stalled=True/InvalidSpec: Connection insight is one of Huawei Cloud, where there is no MaxCompute"
	if got := describe(obj); !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestObjectsThatNeedTheOtherCloud stall without a call, go when they are deleted, and work once the Connection is one of theirs.
func TestObjectsThatNeedTheOtherCloud(t *testing.T) {
	for kind := range strangers() {
		t.Run(kind+" goes", func(t *testing.T) {
			h, _ := exportWorld(t)
			obj := strangers()[kind]
			h.create(obj)
			mustBeStrange(t, h.decided(obj))
			h.quiet(obj)
			h.delete(stored(h, obj))
			if left := h.decided(obj); !isNil(left) {
				t.Errorf("it is still there: %s", describe(left))
			}
			if calls := h.cloud.Journal(); len(calls) > 0 {
				t.Errorf("calls were made: %v", calls)
			}
		})
		t.Run(kind+" works later", func(t *testing.T) {
			h, _ := exportWorld(t)
			h.takeRequests(newer)
			h.must(h.cloud.CreatePackage(partner, "theirs"))
			h.must(h.cloud.AllowProject(partner, "theirs", project, 1))
			obj := strangers()[kind]
			h.create(obj)
			mustBeStrange(t, h.decided(obj))
			toHuawei := h.toAlibaba()
			if apply, ok := obj.(*v1alpha1.PermissionApply); ok {
				h.await(apply, v1alpha1.RequestPending)
			} else {
				mustBe(t, h.decided(obj), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			}
			// What it has done is kept on the books, and taken back when that can be done again.
			toHuawei()
			h.cloud.ResetJournal()
			h.delete(stored(h, obj))
			for range 3 {
				_, _ = h.pass(obj) //nolint:errcheck // the condition is what counts
			}
			mustBe(t, stored(h, obj), metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
			if got := describe(stored(h, obj)); len(h.cloud.Journal()) > 0 || !strings.Contains(got, "this object goes when it is one of Alibaba Cloud again, or with deletionPolicy: Retain") {
				t.Errorf("after %v: %s", h.cloud.Journal(), got)
			}
			h.toAlibaba()
			if left := h.decided(obj); !isNil(left) {
				t.Errorf("it is still there: %s", describe(left))
			}
			if managed, ok := obj.(object); ok && h.exists(managed) {
				t.Error("what it made is still there")
			}
		})
	}
}

// TestAStrangerKeepsNobodyFromWhatIsTheirs: an older object that can do nothing does not own what it names.
func TestAStrangerKeepsNobodyFromWhatIsTheirs(t *testing.T) {
	h, _ := exportWorld(t)
	stranger := newRole("stranger", tables("Select"))
	stranger.Spec.ConnectionRef.Name, stranger.Spec.RoleName = "insight", "reader"
	h.create(stranger)
	mustBeStrange(t, h.settle(stranger))
	role := newRole("reader", tables("Select"))
	role.CreationTimestamp = metav1.NewTime(h.clock.Now())
	h.create(role)
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

// TestAnExportThatNeedsTheOtherCloud stalls without a call, and works once the Connection is one of its own.
func TestAnExportThatNeedsTheOtherCloud(t *testing.T) {
	h, root := exportWorld(t)
	export := newExport()
	toHuawei := h.toAlibaba()
	h.create(export)
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	if got := describe(found); !strings.Contains(got, "Stalled=True/InvalidSpec: Connection insight is one of Alibaba Cloud, where there is no DataArts Insight") {
		t.Errorf("got %s", got)
	}
	if calls := h.cloud.Journal(); len(calls) > 0 {
		t.Errorf("calls were made: %v", calls)
	}
	toHuawei()
	found, _ = h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if files := visible(t, root); len(files) != 1 {
		t.Errorf("files %q", files)
	}
	// What is stored can be taken away without the service.
	edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete })(h, export)
	h.toAlibaba()
	h.delete(stored(h, export))
	h.exporting(export)
	if left, files := stored(h, export), visible(t, root); left != nil || len(files) > 0 {
		t.Errorf("left: %s, files %q", describe(left), files)
	}
}

// TestAConnectionIsKeptByItsExports: of either kind, until the last export is gone.
func TestAConnectionIsKeptByItsExports(t *testing.T) {
	tests := map[string]struct {
		cluster bool
		says    string
	}{
		"a Connection":        {false, "being deleted, and goes when the objects that use it are gone: ResourcePackageExport boards"},
		"a ClusterConnection": {true, "being deleted, and goes when the objects that use it are gone: ResourcePackageExport team/boards"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h, _ := exportWorld(t)
			h.create(h.insightCluster())
			h.checkInsight(true)
			export := newExport()
			if tc.cluster {
				export.Spec.ConnectionRef.Kind = v1alpha1.ConnectionKindClusterConnection
			}
			h.create(export)
			found, _ := h.exporting(export)
			mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			h.delete(h.checkInsight(!tc.cluster))
			if h.checkInsight(!tc.cluster) != nil {
				t.Error("the other one is kept, too")
			}
			h.delete(h.checkInsight(tc.cluster))
			kept := h.checkInsight(tc.cluster)
			if kept == nil {
				t.Fatal("it went before the export")
			}
			if ready := conditions.ReadyCondition(kept); ready.Reason != v1alpha1.ReasonInUse || ready.Message != tc.says {
				t.Errorf("got %s: %s", ready.Reason, ready.Message)
			}
			h.delete(stored(h, export))
			h.exporting(export)
			if left := stored(h, export); left != nil {
				t.Fatalf("the export is still there: %s", describe(left))
			}
			if h.checkInsight(tc.cluster) != nil {
				t.Error("it is still there")
			}
		})
	}
}
