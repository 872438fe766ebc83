package connect_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const (
	huaweiProject = "0a1b2c3d"
	workspace     = "4f1c2d3e"
)

// huaweiSecrets are the kinds of credentials that a Secret may hold. All are those of one user, and open nothing but the fake.
var huaweiSecrets = map[string]map[string]string{
	"a key":                 {"accessKey": "FAKEHUAWEI", "secretKey": "fake-secret-of-exporter"},
	"a temporary key":       {"accessKey": "FAKETEMPORARY", "secretKey": "fake-secret-of-session", "securityToken": "fake-token-of-session"},
	"a token":               {"token": "fake-token-of-exporter"},
	"a user and a password": {"domainName": "corp", "userName": "exporter", "password": "fake-password"},
}

// onHuawei runs a test in a bubble, with a cloud that knows the credentials and a workspace.
func onHuawei(t *testing.T, test func(t *testing.T, h *harness)) {
	t.Helper()
	inBubble(t, func(t *testing.T, h *harness) {
		h.must(h.cloud.AddIAMProject(fakecloud.IAMProject{ID: huaweiProject, Name: "cn-southwest-2"}))
		h.must(h.cloud.AddIAMUser(fakecloud.IAMUser{Domain: "corp", Name: "exporter", Password: "fake-password"}))
		h.must(h.cloud.AddIAMKey(fakecloud.IAMKey{AccessKeyID: "FAKEHUAWEI", SecretAccessKey: "fake-secret-of-exporter", User: "corp/exporter"}))
		h.must(h.cloud.AddIAMKey(fakecloud.IAMKey{
			AccessKeyID: "FAKETEMPORARY", SecretAccessKey: "fake-secret-of-session", SecurityToken: "fake-token-of-session", User: "corp/exporter",
		}))
		h.must(h.cloud.AddIAMToken(fakecloud.IAMToken{Token: "fake-token-of-exporter", User: "corp/exporter", Project: huaweiProject, Expires: time.Now().Add(24 * time.Hour)}))
		h.must(h.cloud.AddInsightWorkspace(fakecloud.InsightWorkspace{Project: huaweiProject, ID: workspace}))
		test(t, h)
	})
}

// huaweiSpec is an account of Huawei Cloud whose services are in the fake.
func (h *harness) huaweiSpec() v1alpha1.ConnectionSpec {
	return v1alpha1.ConnectionSpec{HuaweiCloud: &v1alpha1.HuaweiCloudConnection{
		ProjectID: huaweiProject, Endpoints: &v1alpha1.HuaweiCloudEndpoints{DataArtsInsight: h.url, IAM: h.url},
		Credentials: v1alpha1.HuaweiCloudCredentials{SecretRef: v1alpha1.SecretReference{Name: "keys"}},
	}}
}

// connectHuawei creates a Connection of Huawei Cloud that uses the Secret keys.
func (h *harness) connectHuawei(name string, changes ...func(*v1alpha1.HuaweiCloudConnection)) *v1alpha1.Connection {
	h.t.Helper()
	connection := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(name), Generation: 1, Finalizers: []string{v1alpha1.Finalizer}},
		Spec:       h.huaweiSpec(),
	}
	for _, change := range changes {
		change(connection.Spec.HuaweiCloud)
	}
	h.must(h.kube.Create(h.t.Context(), connection))
	return connection
}

// insightAccount resolves a Connection for a workspace.
func (h *harness) insightAccount(name string) (*connect.Account, error) {
	return h.resolver.InsightAccount(h.t.Context(), newUser(namespace), v1alpha1.ConnectionReference{Name: name}, workspace)
}

// checkInsight resolves the Connection prod and makes a call.
func (h *harness) checkInsight() error {
	account, err := h.insightAccount("prod")
	if err != nil {
		return err
	}
	return account.Noticed(account.Insight.CheckIdentity(h.t.Context()))
}

func TestEveryKindOfCredentialsOpensHuaweiCloud(t *testing.T) {
	for name, data := range huaweiSecrets {
		for form, format := range map[string]string{"as it is": "%s", "with space around it": " %s\n"} {
			t.Run(name+" "+form, func(t *testing.T) {
				onHuawei(t, func(t *testing.T, h *harness) {
					padded := map[string]string{}
					for key, value := range data {
						padded[key] = fmt.Sprintf(format, value)
					}
					h.store("keys", padded)
					h.connectHuawei("prod")
					for range 3 {
						h.must(h.checkInsight())
					}
					var want []string
					if data["userName"] != "" {
						want = []string{"CreateToken by corp/exporter"}
					}
					call := strings.TrimSpace("ListInstances by corp/exporter " + data["accessKey"])
					want = append(want, call, call, call)
					var got []string
					for _, entry := range h.cloud.Journal() {
						got = append(got, strings.TrimSpace(entry.Action+" by "+entry.Caller+" "+entry.AccessKeyID))
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("calls (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}

func TestWhatIsWrongWithASecretOfHuaweiCloudIsSaid(t *testing.T) {
	const either = "Secret keys must have either the keys accessKey and secretKey, or the key token, or the keys domainName, userName and password"
	tests := map[string]struct {
		// secret is nil if there is none.
		secret map[string]string
		want   string
	}{
		"it does not exist":              {nil, "Secret keys does not exist in this namespace"},
		"it is empty":                    {map[string]string{}, either},
		"it is the other cloud's":        {map[string]string{keyID: "FAKEA", keySecret: "fake-secret-of-FAKEA"}, either},
		"a key without a secret":         {map[string]string{"accessKey": "FAKEHUAWEI"}, "Secret keys has no key secretKey"},
		"a key with a secret of space":   {map[string]string{"accessKey": "FAKEHUAWEI", "secretKey": " \n"}, "Secret keys has no key secretKey"},
		"a secret without a key":         {map[string]string{"secretKey": "fake-secret-of-exporter"}, either},
		"a temporary key's token alone":  {map[string]string{"securityToken": "fake-token-of-session"}, either},
		"a token of space":               {map[string]string{"token": " \n"}, either},
		"a user without an account":      {map[string]string{"userName": "exporter", "password": "fake-password"}, "Secret keys has no key domainName"},
		"a user without a password":      {map[string]string{"domainName": "corp", "userName": "exporter"}, "Secret keys has no key password"},
		"a password without a user":      {map[string]string{"domainName": "corp", "password": "fake-password"}, either},
		"a key and a token":              {merged(huaweiSecrets["a key"], huaweiSecrets["a token"]), either},
		"a key and a user":               {merged(huaweiSecrets["a key"], huaweiSecrets["a user and a password"]), either},
		"a token and a user":             {merged(huaweiSecrets["a token"], huaweiSecrets["a user and a password"]), either},
		"all of them":                    {merged(huaweiSecrets["a key"], huaweiSecrets["a token"], huaweiSecrets["a user and a password"]), either},
		"a key in another case":          {map[string]string{"AccessKey": "FAKEHUAWEI", "SecretKey": "fake-secret-of-exporter"}, either},
		"a user and a token of no words": {merged(huaweiSecrets["a user and a password"], map[string]string{"token": " ", "domainName": ""}), "Secret keys has no key domainName"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			onHuawei(t, func(t *testing.T, h *harness) {
				if tc.secret != nil {
					h.store("keys", tc.secret)
				}
				connection := h.connectHuawei("prod")
				for range 3 {
					account, err := h.resolver.Resolve(t.Context(), connection)
					want := conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonSecretNotFound, Message: tc.want}
					if diff := cmp.Diff(want, conditions.FromError(err)); diff != "" || account != nil {
						t.Fatalf("to the Connection (-want +got):\n%s", diff)
					}
					account, err = h.insightAccount("prod")
					want.Reason, want.Message = v1alpha1.ReasonConnectionNotReady, "Connection prod: "+tc.want
					if diff := cmp.Diff(want, conditions.FromError(err)); diff != "" || account != nil {
						t.Fatalf("to those who use it (-want +got):\n%s", diff)
					}
				}
				if n := len(h.cloud.Journal()); n > 0 {
					t.Errorf("%d calls were made", n)
				}
			})
		})
	}
}

// merged makes one Secret of several.
func merged(parts ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, part := range parts {
		maps.Copy(out, part)
	}
	return out
}

// TestWhereHuaweiCloudIs: endpoints follow from the region unless they are given, and nothing is sent to one that is not allowed.
func TestWhereHuaweiCloudIs(t *testing.T) {
	const (
		key      = "a key"
		user     = "a user and a password"
		insight  = "https://dataartsinsight.cn-southwest-2.myhuaweicloud.com"
		tokens   = "/v3/auth/tokens"
		list     = "/v1/0a1b2c3d/instances"
		evil     = "https://bucket.obs.cn-north-4.myhuaweicloud.com"
		customer = "endpoint " + evil + " may be a customer's: below myhuaweicloud.com, only <service>.myhuaweicloud.com and <service>.<region>.myhuaweicloud.com are allowed, unless the manager's --allowed-endpoint-suffixes names a deeper domain"
		outside  = " is not below a domain that the manager's --allowed-endpoint-suffixes names"
	)
	standard := connect.EndpointPolicy{AllowedSuffixes: connect.DefaultEndpointSuffixes}
	corp := connect.EndpointPolicy{AllowedSuffixes: []string{"corp.test"}}
	tests := map[string]struct {
		region string
		given  v1alpha1.HuaweiCloudEndpoints
		secret string
		policy connect.EndpointPolicy
		// seen is where the first request goes; or reason and message are why there is none.
		seen, reason, message string
	}{
		"derived":                           {region: "cn-southwest-2", secret: key, policy: standard, seen: insight + list},
		"derived, for a password":           {region: "cn-southwest-2", secret: user, policy: standard, seen: "https://iam.cn-southwest-2.myhuaweicloud.com" + tokens},
		"derived, of a place with a number": {region: "la-south-2", secret: key, policy: standard, seen: "https://dataartsinsight.la-south-2.myhuaweicloud.com" + list},
		"given":                             {region: "cn-southwest-2", given: v1alpha1.HuaweiCloudEndpoints{DataArtsInsight: "https://insight.myhuaweicloud.com/"}, secret: key, policy: standard, seen: "https://insight.myhuaweicloud.com" + list},
		"given, with a path":                {given: v1alpha1.HuaweiCloudEndpoints{DataArtsInsight: "https://gateway.corp.test/insight"}, secret: key, policy: corp, seen: "https://gateway.corp.test/insight" + list},
		"IAM given":                         {region: "cn-southwest-2", given: v1alpha1.HuaweiCloudEndpoints{IAM: "https://iam.myhuaweicloud.com"}, secret: user, policy: standard, seen: "https://iam.myhuaweicloud.com" + tokens},
		"no IAM, which no key needs":        {given: v1alpha1.HuaweiCloudEndpoints{DataArtsInsight: insight}, secret: key, policy: standard, seen: insight + list},
		"no IAM for a password": {
			given: v1alpha1.HuaweiCloudEndpoints{DataArtsInsight: insight}, secret: user, policy: standard,
			reason: v1alpha1.ReasonInvalidSpec, message: "endpoints.iam is required without a region, for a user's password",
		},
		"derived, and not allowed": {
			region: "cn-southwest-2", secret: key, policy: corp, reason: v1alpha1.ReasonEndpointNotAllowed, message: "endpoint " + insight + outside,
		},
		"IAM derived, not allowed, and not used": {
			region: "cn-southwest-2", given: v1alpha1.HuaweiCloudEndpoints{DataArtsInsight: "https://insight.corp.test"}, secret: key, policy: corp,
			seen: "https://insight.corp.test" + list,
		},
		"IAM derived, and not allowed": {
			region: "cn-southwest-2", given: v1alpha1.HuaweiCloudEndpoints{DataArtsInsight: "https://insight.corp.test"}, secret: user, policy: corp,
			reason: v1alpha1.ReasonEndpointNotAllowed, message: "endpoint https://iam.cn-southwest-2.myhuaweicloud.com" + outside,
		},
		"IAM given, and not allowed, though it is not used": {
			region: "cn-southwest-2", given: v1alpha1.HuaweiCloudEndpoints{IAM: "https://iam.evil.test"}, secret: key, policy: standard,
			reason: v1alpha1.ReasonEndpointNotAllowed, message: "endpoint https://iam.evil.test" + outside,
		},
		"a customer's bucket": {
			region: "cn-southwest-2", given: v1alpha1.HuaweiCloudEndpoints{DataArtsInsight: evil}, secret: key, policy: standard,
			reason: v1alpha1.ReasonEndpointNotAllowed, message: customer,
		},
		"a customer's bucket for IAM": {
			region: "cn-southwest-2", given: v1alpha1.HuaweiCloudEndpoints{IAM: evil}, secret: user, policy: standard,
			reason: v1alpha1.ReasonEndpointNotAllowed, message: customer,
		},
		"no https": {
			given: v1alpha1.HuaweiCloudEndpoints{DataArtsInsight: "http://insight.myhuaweicloud.com"}, secret: key, policy: standard,
			reason: v1alpha1.ReasonEndpointNotAllowed, message: "endpoint http://insight.myhuaweicloud.com does not use https",
		},
		"a region that leads astray": {
			region: "evil.test/", secret: key, policy: standard,
			reason: v1alpha1.ReasonEndpointNotAllowed, message: "endpoint https://dataartsinsight.evil.test/.myhuaweicloud.com" + outside,
		},
		"neither a region nor endpoints": {secret: key, policy: standard, reason: v1alpha1.ReasonInvalidSpec, message: `endpoint "" is not a base URL`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.store("keys", huaweiSecrets[tc.secret])
			sent := &hosts{}
			h.resolver.HTTP, h.resolver.Endpoints = &http.Client{Transport: sent}, tc.policy
			connection := h.connectHuawei("prod", func(c *v1alpha1.HuaweiCloudConnection) { c.Region, c.Endpoints = tc.region, &tc.given })
			account, err := h.resolver.Resolve(t.Context(), connection)
			if tc.reason != "" {
				want := conditions.Outcome{State: conditions.Stalled, Reason: tc.reason, Message: tc.message}
				if diff := cmp.Diff(want, conditions.FromError(err)); diff != "" || account != nil || len(sent.seen) > 0 {
					t.Errorf("after requests to %v (-want +got):\n%s", sent.seen, diff)
				}
				return
			}
			if err == nil {
				err = account.Insight.CheckIdentity(t.Context())
			}
			if cloud.CodeOf(err) != cloud.RemoteUnavailable || !slices.Equal(sent.seen, []string{tc.seen}) {
				t.Errorf("requests went to %v, want %s: %v", sent.seen, tc.seen, err)
			}
		})
	}
}

func TestConnectionsOfHuaweiCloudThatSayTheSameShareAnAccount(t *testing.T) {
	same := func(*v1alpha1.HuaweiCloudConnection) {}
	tests := map[string]struct {
		change func(*v1alpha1.HuaweiCloudConnection)
		secret map[string]string
		share  bool
	}{
		"the same":                       {same, huaweiSecrets["a key"], true},
		"another kind of credentials":    {same, huaweiSecrets["a token"], false},
		"another key":                    {same, huaweiSecrets["a temporary key"], false},
		"another secret":                 {same, map[string]string{"accessKey": "FAKEHUAWEI", "secretKey": "fake"}, false},
		"a token that belongs to a key":  {same, merged(huaweiSecrets["a key"], map[string]string{"securityToken": "fake"}), false},
		"another project":                {func(c *v1alpha1.HuaweiCloudConnection) { c.ProjectID = "other" }, huaweiSecrets["a key"], false},
		"another endpoint":               {func(c *v1alpha1.HuaweiCloudConnection) { c.Endpoints.DataArtsInsight += "/base" }, huaweiSecrets["a key"], false},
		"another IAM":                    {func(c *v1alpha1.HuaweiCloudConnection) { c.Endpoints.IAM += "/base" }, huaweiSecrets["a key"], false},
		"a region beside both endpoints": {func(c *v1alpha1.HuaweiCloudConnection) { c.Region = "cn-southwest-2" }, huaweiSecrets["a key"], true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.store("keys", huaweiSecrets["a key"])
			h.store("copy", tc.secret)
			h.connectHuawei("one")
			h.connectHuawei("two", func(c *v1alpha1.HuaweiCloudConnection) { c.Credentials.SecretRef.Name = "copy" }, tc.change)
			one, err := h.insightAccount("one")
			h.must(err)
			two, err := h.insightAccount("two")
			h.must(err)
			if shared := one == two; shared != tc.share {
				t.Errorf("shared: %v, want %v", shared, tc.share)
			}
		})
	}
}

// TestACloudHasItsOwnServices: an object that names a connection of the other cloud is told so, and that nothing will change by itself.
func TestACloudHasItsOwnServices(t *testing.T) {
	onHuawei(t, func(t *testing.T, h *harness) {
		h.store("keys", merged(h.keys("FAKEA"), huaweiSecrets["a key"]))
		h.connect("alibaba", "keys")
		h.connectHuawei("huawei")
		refused := func(account *connect.Account, err error, message string) {
			t.Helper()
			want := conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonInvalidSpec, Message: message}
			if diff := cmp.Diff(want, conditions.FromError(err)); diff != "" || account != nil {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		}
		account, err := h.account("huawei")
		refused(account, err, "Connection huawei is one of Huawei Cloud, where there is no MaxCompute")
		account, err = h.insightAccount("alibaba")
		refused(account, err, "Connection alibaba is one of Alibaba Cloud, where there is no DataArts Insight")
		account, err = h.resolver.Account(t.Context(), gone(), v1alpha1.ConnectionReference{Name: "huawei"}, "analytics")
		refused(account, err, "Connection huawei is one of Huawei Cloud, where there is no MaxCompute; "+
			"this object goes when it is one of Alibaba Cloud again, or with deletionPolicy: Retain, which leaves the cloud as it is")
		if n := len(h.cloud.Journal()); n > 0 {
			t.Errorf("%d calls were made", n)
		}
	})
}

func TestAConnectionIsOfOneCloud(t *testing.T) {
	h := newHarness(t)
	h.store("keys", merged(h.keys("FAKEA"), huaweiSecrets["a key"]))
	connection := h.connect("prod", "keys")
	connection.Spec.HuaweiCloud = h.huaweiSpec().HuaweiCloud
	_, err := h.resolver.Resolve(t.Context(), connection)
	want := conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonInvalidSpec, Message: "exactly one of alibabaCloud and huaweiCloud is required"}
	if diff := cmp.Diff(want, conditions.FromError(err)); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

// TestAConnectionMayChangeItsCloud: the new one is used at once.
func TestAConnectionMayChangeItsCloud(t *testing.T) {
	onHuawei(t, func(t *testing.T, h *harness) {
		h.store("keys", merged(h.keys("FAKEA"), huaweiSecrets["a key"]))
		connection := h.connect("prod", "keys")
		h.must(h.check("prod"))
		alibaba := connection.Spec
		for _, spec := range []v1alpha1.ConnectionSpec{h.huaweiSpec(), alibaba} {
			connection.Spec = *spec.DeepCopy()
			connection.Generation++
			h.must(h.kube.Update(t.Context(), connection))
			maxCompute, insight := h.check("prod"), h.checkInsight()
			if (maxCompute == nil) == (insight == nil) || (insight == nil) != (spec.HuaweiCloud != nil) {
				t.Errorf("MaxCompute: %v, DataArts Insight: %v", maxCompute, insight)
			}
		}
	})
}

func TestWhichWorkspacesAClusterConnectionAllows(t *testing.T) {
	onlyTeam := &v1alpha1.AllowedNamespaces{Names: []string{namespace}}
	tests := map[string]struct {
		namespaces *v1alpha1.AllowedNamespaces
		workspaces []string
		denied     string
	}{
		"every one, if it does not say":    {onlyTeam, nil, ""},
		"none, by an empty list":           {onlyTeam, []string{}, "workspace 4f1c2d3e-77AA"},
		"one that it names":                {onlyTeam, []string{"4f1c2d3e-77AA"}, ""},
		"one, spelt otherwise":             {onlyTeam, []string{"4F1C2D3E-77aa"}, ""},
		"one by its beginning":             {onlyTeam, []string{"4f1c2d3e-*"}, ""},
		"one by its end":                   {onlyTeam, []string{"*-77aa"}, ""},
		"one by its hyphen":                {onlyTeam, []string{"*-*"}, ""},
		"not one that it does not name":    {onlyTeam, []string{"4f1c2d3e", "77aa", "4f1c2d3e_77aa"}, "workspace 4f1c2d3e-77AA"},
		"not a namespace that it does not": {&v1alpha1.AllowedNamespaces{Names: []string{"other"}}, nil, "namespace team"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			onHuawei(t, func(t *testing.T, h *harness) {
				h.storeForAll(huaweiSecrets["a key"])
				connection := h.connectCluster("prod", tc.namespaces, tc.workspaces)
				connection.Spec.ConnectionSpec = h.huaweiSpec()
				connection.Spec.HuaweiCloud.Credentials.SecretRef.Namespace = "operators"
				h.must(h.kube.Update(t.Context(), connection))
				account, err := h.resolver.InsightAccount(t.Context(), newUser(namespace), toCluster, "4f1c2d3e-77AA")
				if tc.denied == "" {
					h.must(err)
					h.must(account.Insight.CheckIdentity(t.Context()))
					return
				}
				want := conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonConnectionNotAllowed, Message: "ClusterConnection prod does not allow " + tc.denied}
				if diff := cmp.Diff(want, conditions.FromError(err)); diff != "" || account != nil || h.reads != 0 {
					t.Errorf("after %d reads of Secrets (-want +got):\n%s", h.reads, diff)
				}
			})
		})
	}
}

// TestWhereTheSecretOfHuaweiCloudIs: a Connection's is in its own namespace, whatever the spec says; a ClusterConnection says where.
func TestWhereTheSecretOfHuaweiCloudIs(t *testing.T) {
	onHuawei(t, func(t *testing.T, h *harness) {
		h.storeForAll(huaweiSecrets["a key"])
		local := h.connectHuawei("local", func(c *v1alpha1.HuaweiCloudConnection) { c.Credentials.SecretRef.Namespace = "operators" })
		_, err := h.resolver.Resolve(t.Context(), local)
		if got := conditions.FromError(err).Message; got != "Secret keys does not exist in this namespace" {
			t.Errorf("the Connection says %q", got)
		}
		cluster := h.connectCluster("prod", everybody, nil)
		cluster.Spec.ConnectionSpec = h.huaweiSpec()
		_, err = h.resolver.Resolve(t.Context(), cluster)
		want := conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonInvalidSpec, Message: "a ClusterConnection must name the namespace of its Secret or service account"}
		if diff := cmp.Diff(want, conditions.FromError(err)); diff != "" {
			t.Errorf("outcome (-want +got):\n%s", diff)
		}
		cluster.Spec.HuaweiCloud.Credentials.SecretRef.Namespace = "nowhere"
		_, err = h.resolver.Resolve(t.Context(), cluster)
		if got := conditions.FromError(err).Message; got != "Secret keys does not exist in namespace nowhere" {
			t.Errorf("the ClusterConnection says %q", got)
		}
	})
}

func TestARotatedSecretOfHuaweiCloudIsNoticed(t *testing.T) {
	tests := map[string]struct {
		noticed error
		after   time.Duration
		want    string
	}{
		"not before its time":                {nil, usual - time.Second, "FAKEHUAWEI"},
		"when its time is over":              {nil, usual, "FAKETEMPORARY"},
		"soon, once the old one was refused": {&cloud.Error{Code: cloud.AuthenticationFailed}, refused, "FAKETEMPORARY"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			onHuawei(t, func(t *testing.T, h *harness) {
				h.store("keys", huaweiSecrets["a key"])
				h.connectHuawei("prod")
				account, err := h.insightAccount("prod")
				h.must(err)
				h.store("keys", huaweiSecrets["a temporary key"])
				_ = account.Noticed(tc.noticed) //nolint:errcheck // it returns what it was given
				h.wait(tc.after)
				h.must(h.checkInsight())
				if got := h.last(); got != tc.want {
					t.Errorf("signed by %s, want %s", got, tc.want)
				}
			})
		})
	}
}

// TestADeletionGoesOnOnHuaweiCloud: what is being deleted goes on with what worked last, though the Secret is gone.
func TestADeletionGoesOnOnHuaweiCloud(t *testing.T) {
	for name, data := range huaweiSecrets {
		t.Run(name, func(t *testing.T) {
			onHuawei(t, func(t *testing.T, h *harness) {
				h.store("keys", data)
				h.connectHuawei("prod")
				h.must(h.checkInsight())
				h.must(h.kube.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "keys"}}))
				h.wait(usual)
				if err := h.checkInsight(); conditions.FromError(err).Reason != v1alpha1.ReasonConnectionNotReady {
					t.Errorf("what lives goes on: %v", err)
				}
				account, err := h.resolver.InsightAccount(t.Context(), gone(), v1alpha1.ConnectionReference{Name: "prod"}, workspace)
				h.must(err)
				h.must(account.Insight.CheckIdentity(t.Context()))
			})
		})
	}
}

func TestNoSecretOfHuaweiCloudGetsIntoAnError(t *testing.T) {
	for name, data := range huaweiSecrets {
		for _, status := range []int{401, 404, 500} {
			t.Run(fmt.Sprint(name, " ", status), func(t *testing.T) {
				onHuawei(t, func(t *testing.T, h *harness) {
					h.store("keys", data)
					h.connectHuawei("prod")
					h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultError, Status: status, Code: "Novel.0001", Message: "refused " + data["password"] + data["token"] + data["secretKey"]})
					err := h.checkInsight()
					if err == nil {
						t.Fatal("no error")
					}
					said := fmt.Sprintf("%v %+v %+v", err, err, conditions.FromError(err))
					for key, value := range data {
						if secret := key != "userName" && key != "domainName" && key != "accessKey"; secret && strings.Contains(said, value) {
							t.Errorf("%s is in %s", key, said)
						}
					}
				})
			})
		}
	}
}
