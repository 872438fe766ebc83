package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const (
	project   = "analytics"
	namespace = "team"
	interval  = 10 * time.Minute
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// harness is one operator, without a manager, between an API server that lives in memory and the fake cloud.
type harness struct {
	t     testing.TB
	cloud *fakecloud.Server
	url   string
	kube  client.WithWatch
	// writes counts the writes to the API server; beforeWrite and afterWrite may fail them.
	writes                  int
	beforeWrite, afterWrite func(n int) error
	events                  *events.FakeRecorder
	reconcile               func(context.Context, ctrl.Request) (ctrl.Result, error)
	connection              *controllers.ConnectionReconciler
	timeout                 time.Duration
	// maxRevocations is the operator's --max-revocations; 0 for no limit.
	maxRevocations int
	clock          *hastyClock
	// foreign says that the roles in the cloud were made by somebody else.
	foreign bool
	// calls counts the calls to the cloud since the start; crash, if set, may end the operator before or after one.
	calls atomic.Int64
	crash func(call int64, before bool)
}

func newHarness(t testing.TB) *harness {
	t.Helper()
	h := &harness{t: t, events: events.NewFakeRecorder(1000), timeout: 10 * time.Second}
	h.cloud = fakecloud.New(fakecloud.Options{Projects: []fakecloud.Project{{Name: project, ThreeTier: true}}})
	server := httptest.NewUnstartedServer(h.cloud)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the lost replies are wanted
	server.Start()
	t.Cleanup(server.Close)
	h.url = server.URL
	t.Cleanup(func() {
		if violations := h.cloud.Violations(); len(violations) > 0 {
			t.Errorf("the fake cloud was asked for what it does not have: %v", violations)
		}
	})
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	h.kube = interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme).
		WithStatusSubresource(&v1alpha1.ProjectRole{}, &v1alpha1.Connection{}, &v1alpha1.ClusterConnection{}).
		WithIndex(&v1alpha1.ProjectRole{}, "spec.connectionRef.name", func(o client.Object) []string {
			return []string{o.(*v1alpha1.ProjectRole).Spec.ConnectionRef.String()}
		}).
		WithIndex(&v1alpha1.ProjectRole{}, "target", func(o client.Object) []string {
			role := o.(*v1alpha1.ProjectRole)
			return []string{strings.ToLower(role.Spec.ProjectName + "/" + role.Spec.RoleName)}
		}).
		WithObjects(h.newSecret(), h.newConnection()).Build(), h.interceptors())
	h.restart()
	return h
}

func (h *harness) newSecret() *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "alibaba"},
		Data:       map[string][]byte{"accessKeyId": []byte(fakecloud.DefaultAccessKeyID), "accessKeySecret": []byte(fakecloud.DefaultAccessKeySecret)},
	}
}

func (h *harness) newConnection() *v1alpha1.Connection {
	return &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "prod", UID: "connection", Generation: 1, Finalizers: []string{v1alpha1.Finalizer}},
		Spec: v1alpha1.ConnectionSpec{AlibabaCloud: &v1alpha1.AlibabaCloudConnection{
			Region:      "cn-hangzhou",
			Endpoints:   &v1alpha1.AlibabaCloudEndpoints{MaxCompute: h.url, ODPS: h.url + "/api"},
			Credentials: v1alpha1.AlibabaCloudCredentials{SecretRef: &v1alpha1.SecretReference{Name: "alibaba"}},
			RateLimits:  &v1alpha1.AlibabaCloudRateLimits{MaxCompute: &v1alpha1.RateLimit{QPS: 10000, Burst: 20000}},
		}},
		Status: v1alpha1.ConnectionStatus{SyncStatus: v1alpha1.SyncStatus{ObservedGeneration: -1}},
	}
}

// interceptors count the writes to the API server and let tests fail them.
func (h *harness) interceptors() interceptor.Funcs {
	around := func(write func() error) error {
		h.writes++
		if h.beforeWrite != nil {
			if err := h.beforeWrite(h.writes); err != nil {
				return err
			}
		}
		if err := write(); err != nil {
			return err
		}
		if h.afterWrite != nil {
			return h.afterWrite(h.writes)
		}
		return nil
	}
	return interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return around(func() error { return c.Patch(ctx, obj, patch, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, obj client.Object, opts ...client.SubResourceUpdateOption) error {
			return around(func() error { return c.SubResource(sub).Update(ctx, obj, opts...) })
		},
	}
}

// hastyClock is ahead of the real one by all the time that somebody was about to wait.
type hastyClock struct {
	clock.RealClock
	ahead atomic.Int64
}

func (c *hastyClock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *hastyClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func (c *hastyClock) AfterFunc(d time.Duration, f func()) clock.Timer {
	c.ahead.Add(int64(d))
	return c.RealClock.AfterFunc(0, f)
}

// restart replaces the operator by a new one that knows nothing.
func (h *harness) restart() {
	h.clock = &hastyClock{}
	httpClient := openapi.NewHTTPClient()
	httpClient.Transport = &crashingTransport{harness: h, next: httpClient.Transport}
	resolver := &connect.Resolver{
		Connections: h.kube, Secrets: h.kube, Tokens: h.kube.SubResource("token"), HTTP: httpClient, Clock: h.clock,
		Endpoints: connect.EndpointPolicy{AllowInsecure: true}, CallTimeout: h.timeout, PollInterval: time.Millisecond,
	}
	r := controllers.NewProjectRoleReconciler(h.kube, h.kube, controllers.Options{Accounts: resolver, DefaultInterval: interval, MaxRevocations: h.maxRevocations})
	r.Events = h.events
	h.reconcile = r.Reconcile
	h.connection = &controllers.ConnectionReconciler{Client: h.kube, Live: h.kube, Events: h.events, Accounts: resolver, DefaultInterval: interval}
}

// crashingTransport lets a test end the operator around a call to the cloud.
type crashingTransport struct {
	harness *harness
	next    http.RoundTripper
}

func (c *crashingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	n := c.harness.calls.Add(1)
	if c.harness.crash == nil {
		return c.next.RoundTrip(request)
	}
	c.harness.crash(n, true)
	response, err := c.next.RoundTrip(request)
	c.harness.crash(n, false)
	return response, err
}

func newRole(name string, acl *v1alpha1.RoleACL) *v1alpha1.ProjectRole {
	return &v1alpha1.ProjectRole{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: strings.ReplaceAll(name, "_", "-"), UID: types.UID("uid-" + name), Generation: 1},
		Spec: v1alpha1.ProjectRoleSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "prod"}, ProjectName: project, RoleName: name, Type: v1alpha1.RoleTypeResource,
			ACL: acl, ManagementPolicy: v1alpha1.ManagementAuthoritative, DeletionPolicy: v1alpha1.DeletionDelete,
		},
		Status: v1alpha1.ProjectRoleStatus{SyncStatus: v1alpha1.SyncStatus{ObservedGeneration: -1}},
	}
}

func tables(actions ...string) *v1alpha1.RoleACL {
	return &v1alpha1.RoleACL{Tables: []v1alpha1.TableGrant{{SchemaName: "default", Name: "orders", Actions: actions}}}
}

func (h *harness) create(obj client.Object) {
	h.t.Helper()
	if err := h.kube.Create(context.Background(), obj); err != nil {
		h.t.Fatal(err)
	}
}

func request(obj client.Object) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(obj)}
}

// get returns the object as it is stored, or nil if it is gone.
func (h *harness) get(role *v1alpha1.ProjectRole) *v1alpha1.ProjectRole {
	h.t.Helper()
	stored := &v1alpha1.ProjectRole{}
	if err := h.kube.Get(context.Background(), client.ObjectKeyFromObject(role), stored); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return nil
		}
		h.t.Fatal(err)
	}
	return stored
}

// edit changes the spec, as a user does.
func (h *harness) edit(role *v1alpha1.ProjectRole, change func(*v1alpha1.ProjectRole)) {
	h.t.Helper()
	stored := h.get(role)
	change(stored)
	stored.Generation++
	if err := h.kube.Update(context.Background(), stored); err != nil {
		h.t.Fatal(err)
	}
}

// annotate sets an annotation, as a user does.
func (h *harness) annotate(role *v1alpha1.ProjectRole, key, value string) {
	h.t.Helper()
	stored := h.get(role)
	metav1.SetMetaDataAnnotation(&stored.ObjectMeta, key, value)
	h.must(h.kube.Update(context.Background(), stored))
}

// pass makes one pass over a role.
func (h *harness) pass(role *v1alpha1.ProjectRole) (result ctrl.Result, err error) {
	defer func() {
		switch reason := recover(); reason {
		case nil:
		case errCrashed:
			err = errCrashed
			h.restart()
		default:
			panic(reason)
		}
	}()
	return h.reconcile(context.Background(), request(role))
}

// errCrashed is what a test panics with to end the operator: whatever it knew is gone, and a new one goes on.
var errCrashed = errors.New("the operator errCrashed")

// backoff is how much later a pass is that follows one which did not end well.
const backoff = 6 * time.Second

// settle makes passes until one asks for nothing but the next look at the usual interval, or for none.
func (h *harness) settle(role *v1alpha1.ProjectRole) *v1alpha1.ProjectRole {
	h.t.Helper()
	for range 20 {
		result, err := h.pass(role)
		h.checkTracked(role)
		if err == nil && (result.RequeueAfter == 0 || result.RequeueAfter > interval/2) {
			return h.get(role)
		}
		h.clock.ahead.Add(int64(backoff))
	}
	h.t.Fatalf("did not settle: %s", describe(h.get(role)))
	return nil
}

// checkTracked asserts that nothing is in the cloud that a new operator, with nothing but the API server to go by, would not know of.
func (h *harness) checkTracked(role *v1alpha1.ProjectRole) {
	h.t.Helper()
	stored := h.get(role)
	if stored == nil || !h.cloud.RoleExists(project, role.Spec.RoleName) {
		return
	}
	if !controllerutil.ContainsFinalizer(stored, v1alpha1.Finalizer) {
		h.t.Error("the role is in the cloud and its object has no finalizer")
	}
	if !stored.Status.Created && !stored.Status.Creating && !h.foreign {
		h.t.Errorf("the role is in the cloud and its object does not know that it made it: %+v", stored.Status)
	}
}

// quiet makes one more pass and asserts that it writes nothing, to the cloud or to the API server.
func (h *harness) quiet(role *v1alpha1.ProjectRole) {
	h.t.Helper()
	cloudWrites, kubeWrites, version := len(h.cloud.Writes()), h.writes, h.get(role).ResourceVersion
	if _, err := h.pass(role); err != nil {
		h.t.Errorf("quiet pass: %v", err)
	}
	if n := len(h.cloud.Writes()) - cloudWrites; n != 0 {
		h.t.Errorf("the quiet pass made %d cloud writes", n)
	}
	if n := h.writes - kubeWrites; n != 0 || h.get(role).ResourceVersion != version {
		h.t.Errorf("the quiet pass made %d API writes", n)
	}
}

func describe(role *v1alpha1.ProjectRole) string {
	if role == nil {
		return "gone"
	}
	var out []string
	for _, c := range role.Status.Conditions {
		out = append(out, fmt.Sprintf("%s=%s/%s: %s", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(out, "; ")
}

// mustBe asserts the Ready condition.
func mustBe(t testing.TB, role *v1alpha1.ProjectRole, status metav1.ConditionStatus, reason string) {
	t.Helper()
	if role == nil {
		t.Fatal("the object is gone")
	}
	ready := conditions.ReadyCondition(role)
	if ready == nil || ready.Status != status || ready.Reason != reason {
		t.Errorf("got %s, want Ready=%s/%s", describe(role), status, reason)
	}
}

// granted lists what the fake holds for a role, as "kind schema.name: action action".
func (h *harness) granted(role string) []string {
	var out []string
	for _, g := range h.cloud.RoleGrants(project, role) {
		out = append(out, fmt.Sprintf("%s %s.%s: %s", g.Kind, g.SchemaName, g.Name, strings.Join(g.Actions, " ")))
	}
	slices.Sort(out)
	return out
}
