package connect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const namespace = "team"

// The names of the Secret's keys; their values in these tests open nothing.
const (
	keyID     = "accessKeyId"
	keySecret = "accessKeySecret"
	keyToken  = "securityToken"
)

// harness is a Resolver between an API server that lives in memory and the fake cloud.
type harness struct {
	t        *testing.T
	kube     client.WithWatch
	cloud    *fakecloud.Server
	url      string
	clock    *clocktesting.FakeClock
	tokens   *tokens
	resolver *connect.Resolver
	// transport is there in a bubble only.
	transport *transport

	mu sync.Mutex
	// reads counts the reads of Secrets; failure makes those of the kind that it names fail.
	reads   int
	failure map[string]error
}

// scheme knows all types of these tests.
var scheme = sync.OnceValue(func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		panic(err)
	}
	return scheme
})

// newHarness makes a Resolver whose clock the test sets. What it resolves calls the fake cloud over the network, at the real time.
func newHarness(t *testing.T) *harness {
	t.Helper()
	fakeClock := clocktesting.NewFakeClock(time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC))
	h := newHarnessOf(t, fakeClock, openapi.NewHTTPClient())
	h.clock = fakeClock
	server := httptest.NewUnstartedServer(h.cloud)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func newHarnessOf(t *testing.T, clock clock.WithDelayedExecution, httpClient *http.Client) *harness {
	t.Helper()
	h := &harness{t: t, failure: map[string]error{}}
	h.cloud = fakecloud.New(fakecloud.Options{Projects: []fakecloud.Project{{Name: "analytics"}}})
	h.kube = interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme()).Build(), interceptor.Funcs{Get: h.get})
	h.tokens = &tokens{h: h}
	h.resolver = &connect.Resolver{
		Connections: h.kube, Secrets: h.kube, Tokens: h.tokens, HTTP: httpClient, Clock: clock, Endpoints: connect.EndpointPolicy{AllowInsecure: true},
	}
	return h
}

func (h *harness) get(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	h.mu.Lock()
	kind := "Connection"
	switch obj.(type) {
	case *corev1.Secret:
		kind = "Secret"
		h.reads++
	case *metav1.PartialObjectMetadata:
		kind = "Namespace"
	}
	err := h.failure[kind]
	h.mu.Unlock()
	if err != nil {
		return err
	}
	return c.Get(ctx, key, obj, opts...)
}

// newUser makes an object that refers to a Connection.
func newUser(namespace string) *v1alpha1.ProjectRole {
	return &v1alpha1.ProjectRole{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "user"}}
}

// connect creates a Connection that uses a Secret.
func (h *harness) connect(name, secret string) *v1alpha1.Connection {
	h.t.Helper()
	connection := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name), Generation: 1, Finalizers: []string{v1alpha1.Finalizer}},
		Spec: v1alpha1.ConnectionSpec{AlibabaCloud: &v1alpha1.AlibabaCloudConnection{
			Region: "cn-hangzhou", Endpoints: &v1alpha1.AlibabaCloudEndpoints{MaxCompute: h.url, ODPS: h.url + "/api"},
			Credentials: v1alpha1.AlibabaCloudCredentials{SecretRef: &v1alpha1.SecretReference{Name: secret}},
		}},
	}
	h.must(h.kube.Create(h.t.Context(), connection))
	return connection
}

// store writes a Secret, new or not.
func (h *harness) store(name string, data map[string]string) {
	h.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{}}
	for key, value := range data {
		secret.Data[key] = []byte(value)
	}
	err := h.kube.Create(h.t.Context(), secret)
	if apierrors.IsAlreadyExists(err) {
		err = h.kube.Update(h.t.Context(), secret)
	}
	h.must(err)
}

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// resolve returns the account of a Connection as it is stored.
func (h *harness) resolve(name string) *connect.Account {
	h.t.Helper()
	account, err := h.account(name)
	h.must(err)
	return account
}

func (h *harness) account(name string) (*connect.Account, error) {
	return h.resolver.Account(h.t.Context(), newUser(namespace), v1alpha1.ConnectionReference{Name: name}, "analytics")
}

// wait lets time pass: the clock's, or in a bubble of testing/synctest, everybody's. Outside a bubble and without a clock it panics, since
// somebody would have to wait.
func (h *harness) wait(d time.Duration) {
	if h.clock == nil {
		synctest.Wait()
		time.Sleep(d)
		return
	}
	h.clock.SetTime(h.clock.Now().Add(d))
}

// keys are a Secret's content, made from the id of an access key that the cloud knows.
func (h *harness) keys(id string) map[string]string {
	secret := "fake-secret-of-" + id
	h.cloud.AddIdentity(fakecloud.Identity{AccessKeyID: id, AccessKeySecret: secret})
	return map[string]string{keyID: id, keySecret: secret}
}

// last is the access key that signed the last call.
func (h *harness) last() string {
	journal := h.cloud.Journal()
	if len(journal) == 0 {
		return ""
	}
	return journal[len(journal)-1].AccessKeyID
}

func TestWhatIsWrongWithAConnectionIsSaid(t *testing.T) {
	good := map[string]string{keyID: "FAKEA", keySecret: "fake-secret-of-FAKEA"}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "keys", errors.New("no rule allows it"))
	tests := map[string]struct {
		secret  map[string]string
		failure error
		change  func(*v1alpha1.Connection)
		// direct is what Resolve says of the Connection itself.
		direct conditions.Outcome
	}{
		"a Secret that does not exist": {
			direct: conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonSecretNotFound, Message: "Secret keys does not exist in this namespace"},
		},
		"a Secret that may not be read": {
			secret: good, failure: forbidden,
			direct: conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonSecretNotFound, Message: "the operator may not read Secret keys in this namespace"},
		},
		"a Secret without an id": {
			secret: map[string]string{keySecret: "fake"},
			direct: conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonSecretNotFound, Message: "Secret keys has no key accessKeyId"},
		},
		"a Secret without a secret": {
			secret: map[string]string{keyID: "FAKEA"},
			direct: conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonSecretNotFound, Message: "Secret keys has no key accessKeySecret"},
		},
		"a Secret with a token only": {
			secret: map[string]string{keyToken: "fake"},
			direct: conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonSecretNotFound, Message: "Secret keys has no key accessKeyId"},
		},
		"a Secret with a secret of spaces": {
			secret: map[string]string{keyID: "FAKEA", keySecret: " \n"},
			direct: conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonSecretNotFound, Message: "Secret keys has no key accessKeySecret"},
		},
		"an endpoint that is none": {
			secret: good, change: func(c *v1alpha1.Connection) { c.Spec.AlibabaCloud.Endpoints.ODPS = "ftp" },
			direct: conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonInvalidSpec, Message: `endpoint "ftp" is not a base URL`},
		},
		"no cloud": {
			secret: good, change: func(c *v1alpha1.Connection) { c.Spec.AlibabaCloud = nil },
			direct: conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonInvalidSpec, Message: "exactly one of alibabaCloud and huaweiCloud is required"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			connection := h.connect("prod", "keys")
			if tc.secret != nil {
				h.store("keys", tc.secret)
			}
			if tc.change != nil {
				tc.change(connection)
				h.must(h.kube.Update(t.Context(), connection))
			}
			if tc.failure != nil {
				h.failure["Secret"] = tc.failure
			}
			// Several times: what is wrong must not be told in another way each time.
			for range 10 {
				_, err := h.resolver.Resolve(t.Context(), connection)
				if diff := cmp.Diff(tc.direct, conditions.FromError(err)); diff != "" {
					t.Fatalf("to the Connection (-want +got):\n%s", diff)
				}
				want := conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonConnectionNotReady, Message: "Connection prod: " + tc.direct.Message}
				account, err := h.account("prod")
				if diff := cmp.Diff(want, conditions.FromError(err)); diff != "" || account != nil {
					t.Fatalf("to those who use it (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestAConnectionThatDoesNotExistIsNotReady(t *testing.T) {
	_, err := newHarness(t).account("prod")
	want := conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonConnectionNotReady, Message: "Connection prod does not exist in this namespace"}
	if diff := cmp.Diff(want, conditions.FromError(err)); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

func TestAConnectionOfAnotherNamespaceIsNotFound(t *testing.T) {
	h := newHarness(t)
	h.store("keys", h.keys("FAKEA"))
	h.connect("prod", "keys")
	_, err := h.resolver.Account(t.Context(), newUser("others"), v1alpha1.ConnectionReference{Name: "prod"}, "analytics")
	if conditions.FromError(err).Reason != v1alpha1.ReasonConnectionNotReady {
		t.Errorf("got %v", err)
	}
}

func TestAFailureOfTheAPIServerIsNotTheConnections(t *testing.T) {
	tests := map[string]error{
		"an error":                   apierrors.NewInternalError(errors.New("etcdserver: no leader")),
		"a time-out":                 apierrors.NewTimeoutError("busy", 1),
		"too many requests":          apierrors.NewTooManyRequests("busy", 1),
		"refused credentials":        apierrors.NewUnauthorized("expired"),
		"a lost connection":          errors.New("Get \"https://192.0.2.1:443/api\": dial tcp 192.0.2.1:443: connect: connection refused"),
		"the operator being stopped": fmt.Errorf("client rate limiter Wait returned an error: %w", context.Canceled),
	}
	for _, kind := range []string{"Connection", "Secret"} {
		for name, failure := range tests {
			t.Run(name+" at the "+kind, func(t *testing.T) {
				h := newHarness(t)
				h.store("keys", h.keys("FAKEA"))
				h.connect("prod", "keys")
				h.failure[kind] = failure
				account, err := h.account("prod")
				if account != nil || !errors.Is(err, failure) {
					t.Errorf("got %v, want the failure itself", err)
				}
				if _, ok := conditions.OutcomeOf(err); ok {
					t.Errorf("got %v, which speaks of the object", err)
				}
				delete(h.failure, kind)
				h.resolve("prod")
			})
		}
	}
}

func TestTheKeysOfTheSecretAreUsed(t *testing.T) {
	tests := map[string]struct {
		data  map[string]string
		token string
	}{
		"a permanent key":                    {data: map[string]string{keyID: "FAKEA", keySecret: "fake"}},
		"a temporary key":                    {data: map[string]string{keyID: "FAKEA", keySecret: "fake", keyToken: "fake-token"}, token: "fake-token"},
		"a key with a line break at its end": {data: map[string]string{keyID: "FAKEA\n", keySecret: " fake\n"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.cloud.AddIdentity(fakecloud.Identity{AccessKeyID: "FAKEA", AccessKeySecret: "fake", SecurityToken: tc.token})
			h.store("keys", tc.data)
			h.connect("prod", "keys")
			h.must(h.resolve("prod").MaxCompute.CheckIdentity(t.Context()))
			if got := h.last(); got != "FAKEA" {
				t.Errorf("signed by %q", got)
			}
		})
	}
}

func TestNothingButTheSecretGivesKeys(t *testing.T) {
	// What the vendor's library looks at when it is not told which keys to use.
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", fakecloud.DefaultAccessKeyID)
	t.Setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", fakecloud.DefaultAccessKeySecret)
	t.Setenv("ALIBABA_CLOUD_SECURITY_TOKEN", "fake-token-of-the-process")
	t.Setenv("ALIBABA_CLOUD_CREDENTIALS_URI", "http://192.0.2.1/keys")
	h := newHarness(t)
	connection := h.connect("prod", "keys")
	for _, data := range []map[string]string{nil, {}, {keyID: "FAKEA"}, {keyID: "", keySecret: ""}} {
		if data != nil {
			h.store("keys", data)
		}
		if account, err := h.resolver.Resolve(t.Context(), connection); err == nil || account != nil {
			t.Errorf("the Secret %v gave an account", data)
		}
	}
	h.store("keys", h.keys("FAKEA"))
	account := h.resolve("prod")
	h.must(account.MaxCompute.CheckIdentity(t.Context()))
	h.must(account.MaxCompute.CreateRole(t.Context(), "analytics", "reader", maxcompute.TypeResource, emptyACL))
	h.must(account.MaxCompute.Grant(t.Context(), "analytics", "reader", selectOnOrders))
	for _, entry := range h.cloud.Journal() {
		if entry.AccessKeyID != "FAKEA" {
			t.Errorf("%s was signed by %s", entry.Action, entry.AccessKeyID)
		}
	}
}

func TestARotatedSecretIsNoticed(t *testing.T) {
	tests := map[string]struct {
		// noticed is what the account was told about a call.
		noticed error
		after   time.Duration
		want    string
	}{
		"not before its time":                   {nil, 44 * time.Second, "FAKEA"},
		"when its time is over":                 {nil, 45 * time.Second, "FAKEB"},
		"soon, once the old key was refused":    {&cloud.Error{Code: cloud.AuthenticationFailed}, 5 * time.Second, "FAKEB"},
		"not at once, or it would be hammered":  {&cloud.Error{Code: cloud.AuthenticationFailed}, 4 * time.Second, "FAKEA"},
		"not before its time for other reasons": {&cloud.Error{Code: cloud.PermissionDenied}, 44 * time.Second, "FAKEA"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.store("keys", h.keys("FAKEA"))
			h.connect("prod", "keys")
			account := h.resolve("prod")
			h.store("keys", h.keys("FAKEB"))
			if err := account.Noticed(tc.noticed); !errors.Is(err, tc.noticed) {
				t.Errorf("Noticed returned %v", err)
			}
			h.wait(tc.after)
			h.must(h.resolve("prod").MaxCompute.CheckIdentity(t.Context()))
			if got := h.last(); got != tc.want {
				t.Errorf("signed by %s, want %s", got, tc.want)
			}
		})
	}
}

func TestARefusedKeyThatStaysIsReadFarFromAllTheTime(t *testing.T) {
	h := newHarness(t)
	h.store("keys", h.keys("FAKEA"))
	h.cloud.RemoveIdentity("FAKEA")
	h.connect("prod", "keys")
	for range 60 {
		account := h.resolve("prod")
		if err := account.Noticed(account.MaxCompute.CheckIdentity(t.Context())); cloud.CodeOf(err) != cloud.AuthenticationFailed {
			t.Fatalf("CheckIdentity: %v", err)
		}
		h.wait(time.Second)
	}
	if h.reads != 12 {
		t.Errorf("the Secret was read %d times in a minute, want 12", h.reads)
	}
	h.store("keys", h.keys("FAKEA"))
	h.wait(refused)
	h.must(h.resolve("prod").MaxCompute.CheckIdentity(t.Context()))
}

// refused is how long a Secret is used whose keys were refused, usual how long one is used otherwise.
const (
	refused = 5 * time.Second
	usual   = 45 * time.Second
)

func TestASecretThatIsGoneIsNoticed(t *testing.T) {
	h := newHarness(t)
	h.store("keys", h.keys("FAKEA"))
	h.connect("prod", "keys")
	h.resolve("prod")
	h.must(h.kube.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "keys"}}))
	h.wait(usual)
	for range 2 {
		if _, err := h.account("prod"); conditions.FromError(err).Reason != v1alpha1.ReasonConnectionNotReady {
			t.Errorf("got %v", err)
		}
	}
	h.store("keys", h.keys("FAKEA"))
	h.resolve("prod")
}

func TestManyCallersReadASecretOnce(t *testing.T) {
	h := newHarness(t)
	h.store("keys", h.keys("FAKEA"))
	h.connect("prod", "keys")
	accounts := make(chan *connect.Account, 50)
	var group sync.WaitGroup
	for range cap(accounts) {
		group.Go(func() {
			account, err := h.account("prod")
			if err != nil {
				t.Error(err)
			}
			accounts <- account
		})
	}
	group.Wait()
	close(accounts)
	first := <-accounts
	for account := range accounts {
		if account != first {
			t.Error("two accounts")
		}
	}
	if h.reads != 1 {
		t.Errorf("the Secret was read %d times", h.reads)
	}
}

func TestANewSpecIsUsedAtOnce(t *testing.T) {
	h := newHarness(t)
	h.store("keys", h.keys("FAKEA"))
	h.store("other", h.keys("FAKEB"))
	connection := h.connect("prod", "keys")
	h.resolve("prod")
	connection.Spec.AlibabaCloud.Credentials.SecretRef.Name = "other"
	connection.Generation++
	h.must(h.kube.Update(t.Context(), connection))
	h.must(h.resolve("prod").MaxCompute.CheckIdentity(t.Context()))
	if got := h.last(); got != "FAKEB" {
		t.Errorf("signed by %s", got)
	}
}

func TestConnectionsThatSayTheSameShareAnAccount(t *testing.T) {
	tests := map[string]struct {
		change func(*v1alpha1.AlibabaCloudConnection)
		secret string
		share  bool
	}{
		"the same":           {func(*v1alpha1.AlibabaCloudConnection) {}, "keys", true},
		"the same elsewhere": {func(*v1alpha1.AlibabaCloudConnection) {}, "copy", true},
		"another rate limit": {func(c *v1alpha1.AlibabaCloudConnection) {
			c.RateLimits = &v1alpha1.AlibabaCloudRateLimits{MaxCompute: &v1alpha1.RateLimit{QPS: 1}}
		}, "keys", true},
		"another key":      {func(*v1alpha1.AlibabaCloudConnection) {}, "other", false},
		"another region":   {func(c *v1alpha1.AlibabaCloudConnection) { c.Region = "cn-shanghai" }, "keys", false},
		"another endpoint": {func(c *v1alpha1.AlibabaCloudConnection) { c.Endpoints.ODPS += "2" }, "keys", false},
		"another DataWorks": {func(c *v1alpha1.AlibabaCloudConnection) {
			c.Endpoints.DataWorks = "https://dataworks-vpc.cn-hangzhou.aliyuncs.com"
		}, "keys", false},
		"the same DataWorks": {func(c *v1alpha1.AlibabaCloudConnection) {
			c.Endpoints.DataWorks = "https://dataworks.cn-hangzhou.aliyuncs.com"
		}, "keys", true},
		"another version of DataWorks":   {func(c *v1alpha1.AlibabaCloudConnection) { c.DataWorksAPIVersion = dataworks.Version2024 }, "keys", false},
		"the default version, spelt out": {func(c *v1alpha1.AlibabaCloudConnection) { c.DataWorksAPIVersion = dataworks.Version2020 }, "keys", true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.store("keys", h.keys("FAKEA"))
			h.store("copy", h.keys("FAKEA"))
			h.store("other", h.keys("FAKEB"))
			h.connect("one", "keys")
			two := h.connect("two", tc.secret)
			tc.change(two.Spec.AlibabaCloud)
			h.must(h.kube.Update(t.Context(), two))
			if shared := h.resolve("one") == h.resolve("two"); shared != tc.share {
				t.Errorf("shared: %v, want %v", shared, tc.share)
			}
		})
	}
}

func TestTheRateLimitHolds(t *testing.T) {
	h := newHarness(t)
	h.store("keys", h.keys("FAKEA"))
	for _, name := range []string{"one", "two"} {
		connection := h.connect(name, "keys")
		connection.Spec.AlibabaCloud.RateLimits = &v1alpha1.AlibabaCloudRateLimits{MaxCompute: &v1alpha1.RateLimit{QPS: 1, Burst: 3}}
		h.must(h.kube.Update(t.Context(), connection))
	}
	// A deadline, and the limiter says at once that the next token comes too late.
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	for i, name := range []string{"one", "two", "one", "two"} {
		err := h.resolve(name).MaxCompute.CheckIdentity(ctx)
		if i < 3 && err != nil {
			t.Errorf("call %d: %v", i, err)
		}
		if e, ok := errors.AsType[*cloud.Error](err); i == 3 && (!ok || !e.Throttled || !cloud.Refused(err)) {
			t.Errorf("call %d: %v, want one that was not sent", i, err)
		}
	}
	if n := len(h.cloud.Journal()); n != 3 {
		t.Errorf("%d calls were made", n)
	}
}

func TestAccountsThatNobodyUsesAreDropped(t *testing.T) {
	tests := map[string]struct {
		// meanwhile is what happens before the Connection prod says again what it said first.
		meanwhile func(*harness)
		kept      bool
	}{
		"kept while nothing happens": {func(h *harness) { h.wait(usual) }, true},
		"kept while the Secret is gone for a moment": {func(h *harness) {
			h.must(h.kube.Delete(h.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "keys"}}))
			h.wait(usual)
			if _, err := h.account("prod"); err == nil {
				h.t.Error("the Secret is not missed")
			}
		}, true},
		"dropped when the keys were rotated": {func(h *harness) {
			h.store("keys", h.keys("FAKEB"))
			h.wait(usual)
			h.resolve("prod")
		}, false},
		"kept when another Connection still uses the old keys": {func(h *harness) {
			h.store("same", h.keys("FAKEA"))
			h.connect("other", "same")
			h.resolve("other")
			h.store("keys", h.keys("FAKEB"))
			h.wait(usual)
			h.resolve("prod")
		}, true},
		"dropped when nobody has asked for the Connection in a while": {func(h *harness) {
			h.store("other", h.keys("FAKEB"))
			h.connect("other", "other")
			h.wait(time.Hour + 1)
			h.resolve("other")
		}, false},
		"kept when somebody has asked for the Connection": {func(h *harness) {
			h.store("other", h.keys("FAKEB"))
			h.connect("other", "other")
			h.wait(time.Hour)
			h.resolve("prod")
			h.wait(time.Hour)
			h.resolve("other")
		}, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.store("keys", h.keys("FAKEA"))
			h.connect("prod", "keys")
			first := h.resolve("prod")
			tc.meanwhile(h)
			h.store("keys", h.keys("FAKEA"))
			h.wait(usual)
			if kept := h.resolve("prod") == first; kept != tc.kept {
				t.Errorf("kept: %v, want %v", kept, tc.kept)
			}
		})
	}
}

func TestNoSecretGetsIntoAnError(t *testing.T) {
	h := newHarness(t)
	h.connect("prod", "keys")
	for name, data := range map[string]map[string]string{
		"no id":     {keySecret: "fake-secret-of-nobody", keyToken: "fake-token-of-nobody"},
		"no secret": {keyID: "FAKEA", keyToken: "fake-token-of-nobody"},
	} {
		h.store("keys", data)
		_, err := h.account("prod")
		if text := fmt.Sprint(err); strings.Contains(text, "of-nobody") || strings.Contains(text, "FAKEA") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
