package controllers_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
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
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const (
	project   = "analytics"
	partner   = "partner"
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
	// roles, packages, installations, requests and exports are the reconcilers.
	roles, packages, installations, requests, exports reconciler
	connection                                        *controllers.ConnectionReconciler
	// exportOptions are those of the operator. wake gets the exports that have got on, and progress tells of those under way.
	exportOptions controllers.ExportOptions
	home          string // the export directory, while the operator has none
	wake          chan event.GenericEvent
	progress      func() map[types.NamespacedName]int64
	endExports    func()
	timeout       time.Duration
	// maxRevocations is the operator's --max-revocations; 0 for no limit.
	maxRevocations int
	clock          *hastyClock
	// deleted is how far ahead of the API server's clock the operator's was when an object was deleted.
	deleted map[types.UID]time.Duration
	// foreign says that the roles in the cloud were made by somebody else.
	foreign bool
	// calls counts the calls to the cloud since the start; crash, if set, may end the operator before or after one.
	calls atomic.Int64
	crash func(call int64, before bool)
	// counts, if set before a restart, counts what the operator does.
	counts *metrics.Passes
	// scoped is set while the operator sees a part of the objects; live is what it then reads past its cache.
	scoped   bool
	live     client.Reader
	watching []string
	// rewrite, if set, changes what the cloud answers.
	rewrite func(body string) string
}

func newHarness(t testing.TB) *harness {
	t.Helper()
	h := &harness{t: t, endExports: func() {}, events: events.NewFakeRecorder(1000), timeout: 10 * time.Second, clock: &hastyClock{}, deleted: map[types.UID]time.Duration{}}
	h.cloud = fakecloud.New(fakecloud.Options{SignaturesByClock: true, Projects: []fakecloud.Project{{Name: project, ThreeTier: true}, {Name: partner, ThreeTier: true}}})
	// A package that permissions can be granted on.
	h.share("shared")
	h.cloud.ResetJournal()
	server := httptest.NewUnstartedServer(h.cloud)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the lost replies are wanted
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(func() { h.endExports() })
	h.url = server.URL
	t.Cleanup(func() {
		if violations := h.cloud.Violations(); len(violations) > 0 {
			t.Errorf("the fake cloud was asked for what it does not have: %v", violations)
		}
	})
	h.kube = interceptor.NewClient(newAPIServer(t, h.newSecret(), h.newConnection()), h.interceptors())
	h.restart()
	return h
}

// newAPIServer makes an API server that lives in memory, with the indexes of the manager's cache.
func newAPIServer(t testing.TB, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(
		&v1alpha1.ProjectRole{}, &v1alpha1.MaxComputePackage{}, &v1alpha1.PackageInstallation{}, &v1alpha1.PermissionApply{},
		&v1alpha1.ResourcePackageExport{}, &v1alpha1.Connection{}, &v1alpha1.ClusterConnection{},
	)
	for _, managed := range []object{&v1alpha1.ProjectRole{}, &v1alpha1.MaxComputePackage{}, &v1alpha1.PackageInstallation{}} {
		builder = builder.WithIndex(managed, "spec.connectionRef.name", func(o client.Object) []string {
			return []string{o.(object).GetConnectionRef().String()}
		}).WithIndex(managed, "target", func(o client.Object) []string {
			target := o.(object).GetTarget()
			return []string{strings.ToLower(target.ProjectName + "/" + target.Name)}
		})
	}
	return builder.WithIndex(&v1alpha1.PermissionApply{}, "spec.projectName", func(o client.Object) []string {
		return []string{strings.ToLower(o.(*v1alpha1.PermissionApply).Spec.ProjectName)}
	}).WithIndex(&v1alpha1.PermissionApply{}, "spec.connectionRef.name", func(o client.Object) []string {
		return []string{o.(*v1alpha1.PermissionApply).Spec.ConnectionRef.String()}
	}).WithIndex(&v1alpha1.ResourcePackageExport{}, "spec.connectionRef.name", func(o client.Object) []string {
		return []string{o.(*v1alpha1.ResourcePackageExport).Spec.ConnectionRef.String()}
	}).WithObjects(objects...).Build()
}

// share installs a package of the partner's in the project.
func (h *harness) share(name string) {
	h.must(errors.Join(
		h.cloud.CreatePackage(partner, name), h.cloud.AllowProject(partner, name, project, 0), h.cloud.InstallPackage(project, partner, name),
	))
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
			Endpoints:   &v1alpha1.AlibabaCloudEndpoints{MaxCompute: h.url, ODPS: h.url + "/api", DataWorks: h.url},
			Credentials: v1alpha1.AlibabaCloudCredentials{SecretRef: &v1alpha1.SecretReference{Name: "alibaba"}},
			RateLimits: &v1alpha1.AlibabaCloudRateLimits{
				MaxCompute: &v1alpha1.RateLimit{QPS: 10000, Burst: 20000}, DataWorks: &v1alpha1.DataWorksRateLimit{QPS: 10000, Burst: 20000},
			},
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
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			err := c.Get(ctx, key, obj, opts...)
			h.shiftDeletion(obj, 1)
			return err
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			h.deleted[obj.GetUID()] = time.Duration(h.clock.ahead.Load())
			return c.Delete(ctx, obj, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return around(func() error { return c.Patch(ctx, obj, patch, opts...) })
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, obj client.Object, opts ...client.SubResourceUpdateOption) error {
			h.shiftDeletion(obj, -1)
			defer h.shiftDeletion(obj, 1)
			return around(func() error { return c.SubResource(sub).Update(ctx, obj, opts...) })
		},
	}
}

// shiftDeletion lets the time of a deletion be told by the operator's clock, so that it comes after what was done before.
func (h *harness) shiftDeletion(obj client.Object, sign time.Duration) {
	if at := obj.GetDeletionTimestamp(); at != nil {
		obj.SetDeletionTimestamp(new(metav1.NewTime(at.Add(sign * h.deleted[obj.GetUID()]))))
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
	httpClient := openapi.NewHTTPClient()
	httpClient.Transport = &crashingTransport{harness: h, next: httpClient.Transport}
	h.operate(h.kube, httpClient)
}

// operate makes an operator that reads by kube and reaches the cloud by a client.
func (h *harness) operate(kube client.Client, httpClient *http.Client) {
	resolver := &connect.Resolver{
		Namespaces: h.watching, Connections: kube, Secrets: cmp.Or(h.live, client.Reader(kube)), Tokens: kube.SubResource("token"), HTTP: httpClient, Clock: h.clock,
		Endpoints: connect.EndpointPolicy{AllowInsecure: true}, CallTimeout: h.timeout, PollInterval: time.Millisecond,
	}
	live := cmp.Or(h.live, client.Reader(h.kube))
	options := controllers.Options{Scoped: h.scoped, Accounts: resolver, DefaultInterval: interval, MaxRevocations: h.maxRevocations, Clock: h.clock, Exports: h.exportOptions, Passes: h.counts}
	roles := controllers.NewProjectRoleReconciler(kube, live, options)
	packages := controllers.NewMaxComputePackageReconciler(kube, live, options)
	installations := controllers.NewPackageInstallationReconciler(kube, live, options)
	requests := controllers.NewPermissionApplyReconciler(kube, live, options)
	h.wake = make(chan event.GenericEvent, 100)
	exports := controllers.NewResourcePackageExportReconciler(kube, h.kube, options, h.wake)
	roles.Events, packages.Events, installations.Events, requests.Events, exports.Events = h.events, h.events, h.events, h.events, h.events
	h.roles, h.packages, h.installations, h.requests = roles.Reconcile, packages.Reconcile, installations.Reconcile, requests.Reconcile
	h.exports, h.progress = exports.Reconcile, exports.Progress
	h.endExports()
	ended, end := context.WithCancel(context.Background())
	end()
	h.endExports = func() { h.must(exports.StopWith(ended)) }
	h.connection = &controllers.ConnectionReconciler{Client: kube, Live: h.kube, Events: h.events, Accounts: resolver, DefaultInterval: interval}
}

// crashingTransport lets a test end the operator around a call to the cloud.
type crashingTransport struct {
	harness *harness
	next    http.RoundTripper
}

func (c *crashingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	n := c.harness.calls.Add(1)
	if c.harness.crash == nil {
		return c.harness.rewritten(c.next.RoundTrip(request))
	}
	c.harness.crash(n, true)
	response, err := c.next.RoundTrip(request)
	c.harness.crash(n, false)
	return response, err
}

// rewritten changes the body of an answer.
func (h *harness) rewritten(response *http.Response, err error) (*http.Response, error) {
	if err != nil || h.rewrite == nil {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	response.Body.Close()
	response.Body = io.NopCloser(strings.NewReader(h.rewrite(string(body))))
	response.ContentLength = -1
	return response, nil
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

// subject is what the harness can make passes over.
type subject interface {
	client.Object
	conditions.Object
	GetConnectionRef() v1alpha1.ConnectionReference
}

// object is a subject that manages something in the cloud.
type object interface {
	subject
	conditions.Target
	GetTarget() v1alpha1.RemoteTarget
}

// reconciler makes one pass.
type reconciler func(context.Context, ctrl.Request) (ctrl.Result, error)

// stored returns an object as it is stored, or the zero O, nil, if it is gone.
func stored[O subject](h *harness, obj O) (found O) {
	h.t.Helper()
	found = obj.DeepCopyObject().(O)
	if err := h.kube.Get(context.Background(), client.ObjectKeyFromObject(obj), found); err != nil {
		if client.IgnoreNotFound(err) == nil {
			var none O
			return none
		}
		h.t.Fatal(err)
	}
	return found
}

// get returns the role as it is stored, or nil if it is gone.
func (h *harness) get(role *v1alpha1.ProjectRole) *v1alpha1.ProjectRole {
	h.t.Helper()
	return stored(h, role)
}

// edited changes the spec, as a user does.
func edited[O subject](h *harness, obj O, change func(O)) {
	h.t.Helper()
	found := stored(h, obj)
	change(found)
	found.SetGeneration(found.GetGeneration() + 1)
	h.must(h.kube.Update(context.Background(), found))
}

// edit changes the spec of a role.
func (h *harness) edit(role *v1alpha1.ProjectRole, change func(*v1alpha1.ProjectRole)) {
	h.t.Helper()
	edited(h, role, change)
}

// annotate sets an annotation, as a user does.
func (h *harness) annotate(obj subject, key, value string) {
	h.t.Helper()
	found := stored(h, obj)
	annotations := map[string]string{key: value}
	for k, v := range found.GetAnnotations() {
		if k != key {
			annotations[k] = v
		}
	}
	found.SetAnnotations(annotations)
	h.must(h.kube.Update(context.Background(), found))
}

// pass makes one pass over an object.
func (h *harness) pass(obj subject) (result ctrl.Result, err error) {
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
	reconcile := h.roles
	switch obj.(type) {
	case *v1alpha1.MaxComputePackage:
		reconcile = h.packages
	case *v1alpha1.PackageInstallation:
		reconcile = h.installations
	case *v1alpha1.PermissionApply:
		reconcile = h.requests
	case *v1alpha1.ResourcePackageExport:
		reconcile = h.exports
	}
	return reconcile(context.Background(), request(obj))
}

// errCrashed is what a test panics with to end the operator: whatever it knew is gone, and a new one goes on.
var errCrashed = errors.New("the operator errCrashed")

// backoff is how much later a pass is that follows one which did not end well.
const backoff = 6 * time.Second

// settled makes passes until one asks for nothing but the next look at the usual interval, or for none. An object that is gone is nil.
func settled[O subject](h *harness, obj O) O {
	h.t.Helper()
	for range 20 {
		result, err := h.pass(obj)
		if managed, ok := any(obj).(object); ok {
			h.checkTracked(managed)
		}
		wait := backoff
		if err == nil && (result.RequeueAfter == 0 || result.RequeueAfter > interval/2) {
			found := stored(h, obj)
			if isNil(found) || !isRefused(found) {
				return found
			}
			wait = result.RequeueAfter
		}
		h.clock.ahead.Add(int64(wait))
	}
	h.t.Fatalf("did not settle: %s", describe(stored(h, obj)))
	return obj
}

// isRefused reports whether the service refuses something of an object, which is tried again and again.
func isRefused(obj subject) bool {
	ready := conditions.ReadyCondition(obj)
	return ready != nil && apimeta.IsStatusConditionTrue(obj.GetSyncStatus().Conditions, v1alpha1.ReconcilingCondition) &&
		conditions.IsRefusal(conditions.Outcome{State: conditions.Reconciling, Reason: ready.Reason})
}

// settle is settled of a role.
func (h *harness) settle(role *v1alpha1.ProjectRole) *v1alpha1.ProjectRole {
	h.t.Helper()
	return settled(h, role)
}

// exists tells whether what an object names is in the cloud.
func (h *harness) exists(obj object) bool {
	switch o := obj.(type) {
	case *v1alpha1.ProjectRole:
		return h.cloud.RoleExists(o.Spec.ProjectName, o.Spec.RoleName)
	case *v1alpha1.MaxComputePackage:
		return h.cloud.PackageExists(o.Spec.ProjectName, o.Spec.PackageName)
	case *v1alpha1.PackageInstallation:
		return slices.ContainsFunc(h.cloud.Installed(o.Spec.ProjectName), func(i fakecloud.Installation) bool {
			return i.SourceProject == o.Spec.SourceProject && i.Name == o.Spec.PackageName
		})
	}
	panic("no such kind")
}

// isNil tells of an object of any kind whether it is gone.
func isNil(obj subject) bool { return obj == nil || reflect.ValueOf(obj).IsNil() }

// checkTracked asserts that nothing is in the cloud that a new operator, with nothing but the API server to go by, would not know of.
func (h *harness) checkTracked(obj object) {
	h.t.Helper()
	found := stored(h, obj)
	if isNil(found) || !h.exists(obj) {
		return
	}
	if !controllerutil.ContainsFinalizer(found, v1alpha1.Finalizer) {
		h.t.Errorf("the %s is in the cloud and its object has no finalizer", obj.GetTarget())
	}
	if status := found.GetTargetStatus(); !status.Created && !status.Creating && !h.foreign {
		h.t.Errorf("the %s is in the cloud and its object does not know that it made it: %+v", obj.GetTarget(), status)
	}
}

// quiet makes one more pass and asserts that it writes nothing, to the cloud or to the API server.
func (h *harness) quiet(obj subject) {
	h.t.Helper()
	cloudWrites, kubeWrites, version := len(h.cloud.Writes()), h.writes, stored(h, obj).GetResourceVersion()
	if _, err := h.pass(obj); err != nil {
		h.t.Errorf("quiet pass: %v", err)
	}
	if n := len(h.cloud.Writes()) - cloudWrites; n != 0 {
		h.t.Errorf("the quiet pass made %d cloud writes", n)
	}
	if n := h.writes - kubeWrites; n != 0 || stored(h, obj).GetResourceVersion() != version {
		h.t.Errorf("the quiet pass made %d API writes", n)
	}
}

func describe(obj subject) string {
	if isNil(obj) {
		return "gone"
	}
	var out []string
	for _, c := range obj.GetSyncStatus().Conditions {
		out = append(out, fmt.Sprintf("%s=%s/%s: %s", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(out, "; ")
}

// mustBe asserts the Ready condition.
func mustBe(t testing.TB, obj subject, status metav1.ConditionStatus, reason string) {
	t.Helper()
	if isNil(obj) {
		t.Fatal("the object is gone")
	}
	ready := conditions.ReadyCondition(obj)
	if ready == nil || ready.Status != status || ready.Reason != reason {
		t.Errorf("got %s, want Ready=%s/%s", describe(obj), status, reason)
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
