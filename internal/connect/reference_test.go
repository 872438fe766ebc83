package connect_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// everybody allows every namespace.
var everybody = &v1alpha1.AllowedNamespaces{Selector: &metav1.LabelSelector{}}

// toCluster refers to the ClusterConnection prod.
var toCluster = v1alpha1.ConnectionReference{Kind: v1alpha1.ConnectionKindClusterConnection, Name: "prod"}

// connectCluster creates a ClusterConnection that uses the Secret keys of the namespace operators.
func (h *harness) connectCluster(name string, allowed *v1alpha1.AllowedNamespaces, projects []string) *v1alpha1.ClusterConnection {
	h.t.Helper()
	connection := &v1alpha1.ClusterConnection{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("cluster-" + name), Generation: 1, Finalizers: []string{v1alpha1.Finalizer}},
		Spec: v1alpha1.ClusterConnectionSpec{AllowedNamespaces: allowed, AllowedProjects: projects, ConnectionSpec: v1alpha1.ConnectionSpec{
			AlibabaCloud: &v1alpha1.AlibabaCloudConnection{
				Region: "cn-hangzhou", Endpoints: &v1alpha1.AlibabaCloudEndpoints{MaxCompute: h.url, ODPS: h.url + "/api", STS: h.url},
				Credentials: v1alpha1.AlibabaCloudCredentials{SecretRef: &v1alpha1.SecretReference{Name: "keys", Namespace: "operators"}},
			},
		}},
	}
	h.must(h.kube.Create(h.t.Context(), connection))
	return connection
}

// storeForAll writes the Secret of ClusterConnections.
func (h *harness) storeForAll(data map[string]string) {
	h.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "operators", Name: "keys"}, Data: map[string][]byte{}}
	for key, value := range data {
		secret.Data[key] = []byte(value)
	}
	h.must(h.kube.Create(h.t.Context(), secret))
}

func (h *harness) namespace(name string, labels map[string]string) {
	h.t.Helper()
	h.must(h.kube.Create(h.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}))
}

func TestWhomAClusterConnectionAllows(t *testing.T) {
	selector := func(value string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"data": value}}
	}
	tests := map[string]struct {
		namespaces *v1alpha1.AllowedNamespaces
		projects   []string
		// user and project are team and analytics_prod if they are not given.
		user, project string
		// denied is what is not allowed.
		denied string
	}{
		"nobody, if it does not say":               {denied: "namespace team"},
		"nobody, if it says nothing":               {namespaces: &v1alpha1.AllowedNamespaces{}, denied: "namespace team"},
		"everybody, by an empty selector":          {namespaces: everybody},
		"even a namespace that is not there":       {namespaces: everybody, user: "ghost"},
		"one that it names":                        {namespaces: &v1alpha1.AllowedNamespaces{Names: []string{"other", "team"}}},
		"not one that it does not name":            {namespaces: &v1alpha1.AllowedNamespaces{Names: []string{"other", "team-2", "tea"}}, denied: "namespace team"},
		"one that it selects":                      {namespaces: &v1alpha1.AllowedNamespaces{Selector: selector("yes")}},
		"not one that it does not select":          {namespaces: &v1alpha1.AllowedNamespaces{Selector: selector("no")}, denied: "namespace team"},
		"one that it names and does not select":    {namespaces: &v1alpha1.AllowedNamespaces{Names: []string{"team"}, Selector: selector("no")}},
		"one that it selects and does not name":    {namespaces: &v1alpha1.AllowedNamespaces{Names: []string{"other"}, Selector: selector("yes")}},
		"not one that is not there to be selected": {namespaces: &v1alpha1.AllowedNamespaces{Selector: selector("yes")}, user: "ghost", denied: "namespace ghost"},
		"nobody, by a selector that makes no sense": {
			namespaces: &v1alpha1.AllowedNamespaces{Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "data", Operator: "Likes"}}}},
			denied:     "namespace team",
		},
		"every project, if it does not say":   {namespaces: everybody},
		"no project, by an empty list":        {namespaces: everybody, projects: []string{}, denied: "project analytics_prod"},
		"a project that it names":             {namespaces: everybody, projects: []string{"other", "analytics_prod"}},
		"a project, spelt otherwise":          {namespaces: everybody, projects: []string{"Analytics_PROD"}, project: "analytics_Prod"},
		"a project by its beginning":          {namespaces: everybody, projects: []string{"analytics_*"}},
		"a project by its end":                {namespaces: everybody, projects: []string{"*_prod"}},
		"a project by both":                   {namespaces: everybody, projects: []string{"ana*_*d"}},
		"a project by its middle":             {namespaces: everybody, projects: []string{"*lytic*"}},
		"every project, by a star":            {namespaces: everybody, projects: []string{"*"}},
		"a star may stand for nothing":        {namespaces: everybody, projects: []string{"analytics_prod*"}},
		"several may, too":                    {namespaces: everybody, projects: []string{"**analytics**prod**"}},
		"not one with something in front":     {namespaces: everybody, projects: []string{"nalytics_*"}, denied: "project analytics_prod"},
		"not one with something behind":       {namespaces: everybody, projects: []string{"analytics"}, denied: "project analytics_prod"},
		"not one whose parts overlap":         {namespaces: everybody, projects: []string{"analytics_prod*prod"}, denied: "project analytics_prod"},
		"not one whose parts are in disorder": {namespaces: everybody, projects: []string{"*prod*analytics*"}, denied: "project analytics_prod"},
		"no project without a name":           {namespaces: everybody, projects: []string{"a*"}, project: "-", denied: "project -"},
		"a dot is a dot":                      {namespaces: everybody, projects: []string{"analytics.prod"}, denied: "project analytics_prod"},
	}
	for name, tc := range tests {
		for _, deleting := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, deleting: %v", name, deleting), func(t *testing.T) {
				h := newHarness(t)
				h.storeForAll(h.keys("FAKEA"))
				h.namespace("team", map[string]string{"data": "yes"})
				h.connectCluster("prod", tc.namespaces, tc.projects)
				user := newUser("team")
				if tc.user != "" {
					user.Namespace = tc.user
				}
				if deleting {
					user.DeletionTimestamp = &metav1.Time{Time: time.Now()}
				}
				project := "analytics_prod"
				if tc.project != "" {
					project = tc.project
				}
				account, err := h.resolver.Account(t.Context(), user, toCluster, project)
				if tc.denied == "" {
					h.must(err)
					h.must(account.MaxCompute.CheckIdentity(t.Context()))
					return
				}
				want := conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonConnectionNotAllowed, Message: "ClusterConnection prod does not allow " + tc.denied}
				if deleting {
					want.Message += "; this object goes when it is allowed again, or with deletionPolicy: Retain, which leaves the cloud as it is"
				}
				if diff := cmp.Diff(want, conditions.FromError(err)); diff != "" || account != nil {
					t.Errorf("outcome (-want +got):\n%s", diff)
				}
				if h.reads != 0 || len(h.cloud.Journal()) != 0 {
					t.Errorf("%d Secrets were read and %d calls made for somebody who is not allowed", h.reads, len(h.cloud.Journal()))
				}
			})
		}
	}
}

// TestLeaveToUseAClusterConnectionCanBeTakenBack and given again, without a restart.
func TestLeaveToUseAClusterConnectionCanBeTakenBack(t *testing.T) {
	h := newHarness(t)
	h.storeForAll(h.keys("FAKEA"))
	connection := h.connectCluster("prod", everybody, nil)
	use := func() string {
		_, err := h.resolver.Account(t.Context(), newUser("team"), toCluster, "analytics")
		if err == nil {
			return ""
		}
		return conditions.FromError(err).Reason
	}
	if got := use(); got != "" {
		t.Fatal(got)
	}
	for _, step := range []struct {
		allowed *v1alpha1.AllowedNamespaces
		want    string
	}{{nil, v1alpha1.ReasonConnectionNotAllowed}, {everybody, ""}} {
		connection.Spec.AllowedNamespaces = step.allowed
		connection.Generation++
		h.must(h.kube.Update(t.Context(), connection))
		if got := use(); got != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
	}
}

func TestKindsOfConnectionsAreNotConfused(t *testing.T) {
	h := newHarness(t)
	h.store("keys", h.keys("FAKEA"))
	h.storeForAll(h.keys("FAKEB"))
	_, err := h.resolver.Account(t.Context(), newUser(namespace), toCluster, "analytics")
	want := conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonConnectionNotReady, Message: "ClusterConnection prod does not exist"}
	if diff := cmp.Diff(want, conditions.FromError(err)); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
	h.connect("prod", "keys")
	if _, err = h.resolver.Account(t.Context(), newUser(namespace), toCluster, "analytics"); conditions.FromError(err) != want {
		t.Errorf("a Connection was taken for a ClusterConnection: %v", err)
	}
	h.connectCluster("prod", everybody, nil)
	for ref, key := range map[v1alpha1.ConnectionReference]string{{Name: "prod"}: "FAKEA", {Kind: v1alpha1.ConnectionKindConnection, Name: "prod"}: "FAKEA", toCluster: "FAKEB"} {
		account, err := h.resolver.Account(t.Context(), newUser(namespace), ref, "analytics")
		h.must(err)
		h.must(account.MaxCompute.CheckIdentity(t.Context()))
		if got := h.last(); got != key {
			t.Errorf("%s signs with %s, want %s", ref, got, key)
		}
	}
	if _, err := h.resolver.Account(t.Context(), newUser("others"), v1alpha1.ConnectionReference{Name: "prod"}, "analytics"); err == nil {
		t.Error("a Connection was found from another namespace")
	}
}

// TestOneOfTheSameNameIsAnother: the Connection was deleted and made again, with other credentials.
func TestOneOfTheSameNameIsAnother(t *testing.T) {
	h := newHarness(t)
	h.store("keys", h.keys("FAKEA"))
	h.store("other", h.keys("FAKEB"))
	connection := h.connect("prod", "keys")
	h.resolve("prod")
	connection.Finalizers = nil
	h.must(h.kube.Update(t.Context(), connection))
	h.must(h.kube.Delete(t.Context(), connection))
	again := h.connect("prod", "other")
	again.UID = "another"
	h.must(h.kube.Update(t.Context(), again))
	h.must(h.resolve("prod").MaxCompute.CheckIdentity(t.Context()))
	if got := h.last(); got != "FAKEB" {
		t.Errorf("signed by %s", got)
	}
}

func TestWhatIsWrongWithAClusterConnectionIsSaid(t *testing.T) {
	tests := map[string]struct {
		change  func(*v1alpha1.ClusterConnection)
		reason  string
		message string
	}{
		"a Secret that does not exist": {
			func(c *v1alpha1.ClusterConnection) { c.Spec.AlibabaCloud.Credentials.SecretRef.Name = "none" },
			v1alpha1.ReasonSecretNotFound, "Secret none does not exist in namespace operators",
		},
		"a Secret of no namespace": {
			func(c *v1alpha1.ClusterConnection) { c.Spec.AlibabaCloud.Credentials.SecretRef.Namespace = "" },
			v1alpha1.ReasonInvalidSpec, "a ClusterConnection must name the namespace of its Secret or service account",
		},
		"a service account that does not exist": {
			func(c *v1alpha1.ClusterConnection) {
				c.Spec.AlibabaCloud.Credentials = byToken()
				c.Spec.AlibabaCloud.Credentials.WorkloadIdentity.ServiceAccountNamespace = "operators"
			},
			v1alpha1.ReasonSecretNotFound, "service account data-perms does not exist in namespace operators",
		},
		"a service account of no namespace": {
			func(c *v1alpha1.ClusterConnection) { c.Spec.AlibabaCloud.Credentials = byToken() },
			v1alpha1.ReasonInvalidSpec, "a ClusterConnection must name the namespace of its Secret or service account",
		},
		"no credentials": {
			func(c *v1alpha1.ClusterConnection) {
				c.Spec.AlibabaCloud.Credentials = v1alpha1.AlibabaCloudCredentials{}
			},
			v1alpha1.ReasonInvalidSpec, "one of secretRef and workloadIdentity is required",
		},
		"a selector that makes no sense": {
			func(c *v1alpha1.ClusterConnection) {
				c.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Likes"}}}}
			},
			v1alpha1.ReasonInvalidSpec, `allowedNamespaces.selector: "Likes" is not a valid label selector operator`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.storeForAll(h.keys("FAKEA"))
			connection := h.connectCluster("prod", everybody, nil)
			tc.change(connection)
			_, err := h.resolver.Resolve(t.Context(), connection)
			if outcome, _ := conditions.OutcomeOf(err); outcome.Reason != tc.reason || outcome.Message != tc.message {
				t.Errorf("got %+v", outcome)
			}
		})
	}
}

// TestAConnectionCannotReachIntoAnotherNamespace, whatever got past the API server's validation.
func TestAConnectionCannotReachIntoAnotherNamespace(t *testing.T) {
	h := newHarness(t)
	h.storeForAll(h.keys("FAKEA"))
	h.serviceAccount("operators", "shared")
	connection := h.connect("prod", "keys")
	connection.Spec.AlibabaCloud.Credentials.SecretRef.Namespace = "operators"
	if _, err := h.resolver.Resolve(t.Context(), connection); conditions.FromError(err).Message != "Secret keys does not exist in this namespace" {
		t.Errorf("got %v", err)
	}
	connection.Spec.AlibabaCloud.Credentials = byToken()
	connection.Spec.AlibabaCloud.Endpoints.STS = h.url
	workload := connection.Spec.AlibabaCloud.Credentials.WorkloadIdentity
	workload.ServiceAccountName, workload.ServiceAccountNamespace = "shared", "operators"
	connection.Generation++
	if _, err := h.resolver.Resolve(t.Context(), connection); conditions.FromError(err).Message != "service account shared does not exist in this namespace" || len(h.tokens.made) > 0 {
		t.Errorf("got %v", err)
	}
}

func TestAClusterConnectionUsesTheServiceAccountThatItNames(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		h.serviceAccount("operators", "shared")
		connection := h.connectCluster("prod", everybody, nil)
		connection.Spec.AlibabaCloud.Credentials = byToken()
		workload := connection.Spec.AlibabaCloud.Credentials.WorkloadIdentity
		workload.ServiceAccountName, workload.ServiceAccountNamespace, workload.Audience = "shared", "operators", audience
		h.must(h.kube.Update(t.Context(), connection))
		account, err := h.resolver.Account(t.Context(), newUser("team"), toCluster, "analytics")
		h.must(err)
		h.must(account.MaxCompute.CheckIdentity(t.Context()))
		if want := []string{"operators/shared [sts.aliyuncs.com] 600"}; !slices.Equal(h.tokens.asked, want) {
			t.Errorf("asked for tokens of %v", h.tokens.asked)
		}
	})
}

func TestAFailureToReadANamespaceIsNotTheConnections(t *testing.T) {
	h := newHarness(t)
	h.connectCluster("prod", &v1alpha1.AllowedNamespaces{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}}, nil)
	h.failure["Namespace"] = apierrors.NewInternalError(errors.New("etcdserver: no leader"))
	_, err := h.resolver.Account(t.Context(), newUser("team"), toCluster, "analytics")
	if !errors.Is(err, h.failure["Namespace"]) || conditions.Explains(err) {
		t.Errorf("got %v, want the failure itself", err)
	}
}

// TestAllowsSaysWhatCallsWouldMeet: without a call, and without a status to go by.
func TestAllowsSaysWhatCallsWouldMeet(t *testing.T) {
	h := newHarness(t)
	h.connect("one", "keys")
	h.connectCluster("nobody", nil, nil)
	h.connectCluster("some", &v1alpha1.AllowedNamespaces{Names: []string{namespace}}, []string{"analytics_*"})
	cluster := func(name string) v1alpha1.ConnectionReference {
		return v1alpha1.ConnectionReference{Kind: v1alpha1.ConnectionKindClusterConnection, Name: name}
	}
	tests := map[string]struct {
		ref           v1alpha1.ConnectionReference
		from, project string
		want          bool
	}{
		"a Connection of its namespace":        {v1alpha1.ConnectionReference{Name: "one"}, namespace, "any", true},
		"a ClusterConnection that names it":    {cluster("some"), namespace, "Analytics_prod", true},
		"another project":                      {cluster("some"), namespace, "other", false},
		"another namespace":                    {cluster("some"), "elsewhere", "analytics_prod", false},
		"a ClusterConnection without a list":   {cluster("nobody"), namespace, "analytics_prod", false},
		"one that does not exist forbids none": {cluster("none"), namespace, "analytics_prod", true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := h.resolver.Allows(t.Context(), newUser(tc.from), tc.ref, tc.project); err != nil || got != tc.want {
				t.Errorf("got %v, %v, want %v", got, err, tc.want)
			}
		})
	}
}

// withLimit gives a Connection a limit of its own, without bursts.
func (h *harness) withLimit(connection *v1alpha1.Connection, qps int32) {
	h.t.Helper()
	connection.Spec.AlibabaCloud.RateLimits = &v1alpha1.AlibabaCloudRateLimits{MaxCompute: &v1alpha1.RateLimit{QPS: qps, Burst: 1}}
	connection.Generation++
	h.must(h.kube.Update(h.t.Context(), connection))
}

// took measures how long calls take through a Connection, beyond a burst of one.
func (h *harness) took(name string, calls int) time.Duration {
	h.t.Helper()
	account := h.resolve(name)
	h.wait(time.Minute) // fills the bucket
	h.must(account.MaxCompute.CheckIdentity(h.t.Context()))
	began := time.Now()
	for range calls {
		h.must(account.MaxCompute.CheckIdentity(h.t.Context()))
	}
	return time.Since(began).Round(10 * time.Millisecond)
}

func TestConnectionsOfOneIdentityShareARateLimit(t *testing.T) {
	tests := map[string]struct {
		arrange func(h *harness, other *v1alpha1.Connection)
		// want is how long ten calls of the first Connection take.
		want time.Duration
	}{
		"the smallest holds":              {func(*harness, *v1alpha1.Connection) {}, 10 * time.Second},
		"until the Connection is changed": {func(h *harness, other *v1alpha1.Connection) { h.withLimit(other, 5); h.resolve("other") }, 2 * time.Second},
		"until the Connection is gone":    {func(h *harness, other *v1alpha1.Connection) { h.resolver.Forget(other.UID) }, time.Second},
		"until nobody has asked for it anymore": {func(h *harness, _ *v1alpha1.Connection) {
			h.wait(50 * time.Minute)
			h.resolve("prod")
			h.wait(11 * time.Minute)
		}, time.Second},
		"until it means another identity": {func(h *harness, other *v1alpha1.Connection) {
			h.change(other, func(c *v1alpha1.AlibabaCloudConnection) { c.AssumeRole = nil })
			h.resolve("other")
		}, time.Second},
		"however its session is opened": {func(h *harness, other *v1alpha1.Connection) {
			h.change(other, ways["a service account and a role"].change)
			h.resolve("other")
		}, 10 * time.Second},
		"however its endpoint is spelled": {func(h *harness, other *v1alpha1.Connection) {
			h.change(other, func(c *v1alpha1.AlibabaCloudConnection) { c.Endpoints.MaxCompute += "/.//" })
			h.resolve("other")
		}, 10 * time.Second},
		"whatever its keys are by now": {func(h *harness, _ *v1alpha1.Connection) {
			h.cloud.AddRAMRole(rotated)
			h.store("keys", h.keys("FAKEB"))
			h.wait(usual)
			h.resolve("other")
		}, 10 * time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *harness) {
				h.withLimit(h.connectBy("a Secret and a role"), 10)
				other := h.connect("other", "keys")
				h.change(other, ways["a Secret and a role"].change)
				h.change(other, func(c *v1alpha1.AlibabaCloudConnection) { c.AssumeRole.SessionName = "other" })
				h.withLimit(other, 1)
				h.resolve("prod")
				h.resolve("other")
				tc.arrange(h, other)
				if got := h.took("prod", 10); got != tc.want {
					t.Errorf("ten calls took %s, want %s", got, tc.want)
				}
			})
		})
	}
}

// TestNobodyIsSlowedDownByAStranger: one who names another's identity and cannot become it has no say in its rate.
func TestNobodyIsSlowedDownByAStranger(t *testing.T) {
	strangers := map[string]func(h *harness, c *v1alpha1.Connection){
		"who knows the access key's id": func(h *harness, _ *v1alpha1.Connection) {
			h.store("stolen", map[string]string{keyID: sourceKey, keySecret: "fake-guess"})
		},
		"who names the RAM role": func(h *harness, c *v1alpha1.Connection) {
			h.store("stolen", h.keys("FAKESTRANGER"))
			h.change(c, func(c *v1alpha1.AlibabaCloudConnection) { c.AssumeRole = toProd() })
		},
	}
	for name, arrange := range strangers {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *harness) {
				owner := h.connectBy("a Secret and a role")
				if name == "who knows the access key's id" {
					h.change(owner, func(c *v1alpha1.AlibabaCloudConnection) { c.AssumeRole = nil })
				}
				stranger := h.connect("stranger", "stolen")
				arrange(h, stranger)
				h.withLimit(stranger, 1)
				h.withLimit(owner, 10)
				_ = h.check("stranger") //nolint:errcheck // it fails, sooner or later
				if got := h.took("prod", 10); got != time.Second {
					t.Errorf("ten calls took %s", got)
				}
				_ = h.check("stranger") //nolint:errcheck // see above
				if got := h.took("prod", 10); got != time.Second {
					t.Errorf("ten calls took %s", got)
				}
			})
		})
	}
}
