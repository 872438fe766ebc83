package controllers_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// town is one operator that works for several tenants, in the time of a synctest bubble: its queue,
// workers, limiters and clients are the real ones.
type town struct {
	t     *testing.T
	kube  client.WithWatch
	queue workqueue.TypedRateLimitingInterface[ctrl.Request]
	// clouds are the services, by the host of their endpoint; a silent one takes requests and says
	// nothing.
	clouds map[string]*fakecloud.Server
	silent map[string]bool
}

// RoundTrip implements http.RoundTripper without a network, which would not obey the bubble's clock.
func (o *town) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	if o.silent[request.URL.Host] {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	body := []byte{}
	if request.Body != nil {
		var err error
		if body, err = io.ReadAll(request.Body); err != nil {
			return nil, err
		}
	}
	served := request.Clone(ctx)
	served.Host, served.RequestURI, served.Body = request.URL.Host, request.URL.RequestURI(), io.NopCloser(bytes.NewReader(body))
	served.Header = http.Header{}
	for name, values := range request.Header {
		served.Header[http.CanonicalHeaderKey(name)] = values // as they arrive
	}
	recorder := httptest.NewRecorder()
	o.clouds[request.URL.Host].ServeHTTP(recorder, served)
	return recorder.Result(), nil
}

// newTown starts an operator.
func newTown(t *testing.T) *town {
	t.Helper()
	o := &town{t: t, kube: newAPIServer(t), clouds: map[string]*fakecloud.Server{}, silent: map[string]bool{}}
	resolver := &connect.Resolver{
		Connections: o.kube, Secrets: o.kube, Tokens: o.kube.SubResource("token"), HTTP: &http.Client{Transport: o}, Clock: clock.RealClock{},
		Endpoints: connect.EndpointPolicy{AllowInsecure: true},
	}
	options := controllers.Options{Accounts: resolver, DefaultInterval: interval, Clock: clock.RealClock{}, Concurrency: 32}
	roles := controllers.NewProjectRoleReconciler(o.kube, o.kube, options)
	roles.Events = &events.FakeRecorder{}
	ctx, stop := context.WithCancel(t.Context())
	c, err := controllers.NewRoleController(ctx, o.kube, options, roles)
	o.must(err)
	o.must(c.Watch(source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
		o.queue = queue
		return nil
	})))
	ended := make(chan error)
	go func() { ended <- c.Start(ctx) }()
	synctest.Wait()
	t.Cleanup(func() {
		stop()
		o.must(<-ended)
	})
	return o
}

func (o *town) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// settle gives a tenant a Connection to a service of its own, or to that of another.
func (o *town) settle(tenant, host string, limit *v1alpha1.RateLimit) {
	o.t.Helper()
	if o.clouds[host] == nil {
		o.clouds[host] = fakecloud.New(fakecloud.Options{SignaturesByClock: true, Projects: []fakecloud.Project{{Name: project, ThreeTier: true}}})
	}
	h := &harness{t: o.t, url: "http://" + host}
	secret, connection := h.newSecret(), h.newConnection()
	secret.Namespace, connection.Namespace, connection.UID = tenant, tenant, types.UID("connection of "+tenant)
	connection.Spec.AlibabaCloud.RateLimits = &v1alpha1.AlibabaCloudRateLimits{MaxCompute: limit}
	o.must(o.kube.Create(o.t.Context(), secret))
	o.must(o.kube.Create(o.t.Context(), connection))
}

// role creates a role of a tenant, and queues it as a watch does.
func (o *town) role(tenant, name string) *v1alpha1.ProjectRole {
	o.t.Helper()
	role := newRole(name, tables("Select"))
	role.Namespace, role.UID, role.Finalizers = tenant, types.UID(tenant+" "+name), []string{v1alpha1.Finalizer}
	o.must(o.kube.Create(o.t.Context(), role))
	o.queue.Add(request(role))
	return role
}

// until waits until something holds, and returns how long that took. It looks every so often, by the
// bubble's clock, for at most ten seconds.
func (o *town) until(what string, holds func() bool) time.Duration {
	o.t.Helper()
	began := time.Now()
	for range 10 * 50 {
		if synctest.Wait(); holds() {
			return time.Since(began)
		}
		<-time.After(20 * time.Millisecond)
	}
	o.t.Fatalf("%s: not within ten seconds", what)
	return 0
}

// live makes a tenant create, edit and delete a role, and returns how long each took.
func (o *town) live(tenant string) (times []time.Duration) {
	o.t.Helper()
	role := o.role(tenant, "new")
	found := &v1alpha1.ProjectRole{}
	done := func() bool {
		o.must(o.kube.Get(o.t.Context(), client.ObjectKeyFromObject(role), found))
		return conditions.IsReady(found) && conditions.IsCurrent(found)
	}
	times = append(times, o.until("a new role", done))
	found.Spec.ACL, found.Generation = tables("Describe"), 2
	o.must(o.kube.Update(o.t.Context(), found))
	o.queue.Add(request(role))
	times = append(times, o.until("an edit", done))
	o.must(o.kube.Delete(o.t.Context(), found))
	o.queue.Add(request(role))
	return append(times, o.until("a deletion", func() bool {
		return apierrors.IsNotFound(o.kube.Get(o.t.Context(), client.ObjectKeyFromObject(role), &v1alpha1.ProjectRole{}))
	}))
}

var plenty = &v1alpha1.RateLimit{QPS: 10000, Burst: 20000}

// TestOneTenantDoesNotSlowAnotherDown: whatever one tenant has under way, another's new role, edit and
// deletion take no more than three times as long as they do alone.
func TestOneTenantDoesNotSlowAnotherDown(t *testing.T) {
	tests := map[string]struct {
		limit  *v1alpha1.RateLimit
		silent bool
		roles  int
		// tenants have each as many roles and a service of their own.
		tenants int
		// after is how long they have been there.
		after time.Duration
	}{
		"200 roles at one call a second":              {&v1alpha1.RateLimit{QPS: 1, Burst: 2}, false, 200, 1, 10 * time.Second},
		"1,000 roles at the default rate":             {nil, false, 1000, 1, 2 * time.Second},
		"64 roles behind an endpoint without answers": {plenty, true, 64, 1, 2 * time.Second},
		"400":                        {plenty, true, 400, 1, 3 * time.Second},
		"20 slow tenants":            {&v1alpha1.RateLimit{QPS: 1, Burst: 2}, false, 20, 20, 10 * time.Second},
		"20 tenants without answers": {plenty, true, 20, 20, 10 * time.Second},
		"two of them, since a while": {plenty, true, 30, 2, 40 * time.Second},
	}
	var alone []time.Duration
	synctest.Test(t, func(t *testing.T) {
		o := newTown(t)
		o.settle("b", "b.test", plenty)
		alone = o.live("b")
	})
	t.Logf("alone: %v", alone)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newTown(t)
				o.settle("b", "b.test", plenty)
				for i := range tc.tenants {
					tenant := fmt.Sprint("a", i)
					o.silent[tenant+".test"] = tc.silent
					o.settle(tenant, tenant+".test", tc.limit)
					for j := range tc.roles {
						o.role(tenant, fmt.Sprint("r", j))
					}
				}
				<-time.After(tc.after)
				times := o.live("b")
				t.Logf("beside it: %v", times)
				for i, took := range times {
					if took > 3*alone[i] {
						t.Errorf("step %d took %s, alone %s", i, took, alone[i])
					}
				}
			})
		})
	}
}

// TestTenantsOfOneAccountTakeTurns: where 100 roles of one tenant wait for an account, a new one of
// another tenant of the account waits for a few calls and not for all.
func TestTenantsOfOneAccountTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTown(t)
		limit := &v1alpha1.RateLimit{QPS: 5, Burst: 5}
		for _, tenant := range []string{"a", "b"} {
			o.settle(tenant, "shared.test", limit)
		}
		for i := range 100 {
			o.role("a", fmt.Sprint("r", i))
		}
		<-time.After(5 * time.Second)
		times := o.live("b")
		t.Logf("beside it: %v", times)
		// Each of its calls, of which none of the three takes more than six, waits for one of the other tenant.
		if slices.Max(times) > 6*2*time.Second/5+time.Second/5 {
			t.Error("it has waited for more than its turns")
		}
	})
}

// TestNoObjectIsSilentBecauseItsServiceIs: all that wait for a silent service say so soon.
func TestNoObjectIsSilentBecauseItsServiceIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newTown(t)
		o.silent["a.test"] = true
		o.settle("a", "a.test", plenty)
		for i := range 60 {
			o.role("a", fmt.Sprint("r", i))
		}
		<-time.After(40 * time.Second)
		list := &v1alpha1.ProjectRoleList{}
		o.must(o.kube.List(t.Context(), list))
		list.Items = slices.DeleteFunc(list.Items, func(r v1alpha1.ProjectRole) bool { return conditions.ReadyCondition(&r) != nil })
		if n := len(list.Items); n > 1 {
			t.Errorf("%d objects say nothing; only the one whose call is being tried may", n)
		}
	})
}
