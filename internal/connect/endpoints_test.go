package connect_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
)

var (
	emptyACL       = acl.Set{}
	selectOnOrders = acl.Grant{Kind: acl.Table, Schema: acl.DefaultSchema, Name: "orders", Actions: []string{"Select"}}
)

func TestWhereSignedRequestsMayGo(t *testing.T) {
	standard := connect.EndpointPolicy{AllowedSuffixes: connect.DefaultEndpointSuffixes}
	with := func(suffixes ...string) connect.EndpointPolicy {
		return connect.EndpointPolicy{AllowedSuffixes: suffixes}
	}
	tests := map[string]struct {
		endpoint string
		policy   connect.EndpointPolicy
		// reason is empty if the endpoint is allowed.
		reason string
	}{
		"a host below a domain":                {"https://maxcompute.cn-hangzhou.aliyuncs.com", standard, ""},
		"a host below a domain, by its VPC":    {"https://maxcompute-vpc.cn-hangzhou.aliyuncs.com", standard, ""},
		"the domain itself":                    {"https://aliyuncs.com", standard, ""},
		"a path":                               {"https://service.cn-hangzhou.maxcompute.aliyun.com/api", standard, ""},
		"a slash at the end":                   {"https://maxcompute.cn-hangzhou.aliyuncs.com/", standard, ""},
		"a port":                               {"https://maxcompute.cn-hangzhou.aliyuncs.com:8443", standard, ""},
		"upper case":                           {"HTTPS://MaxCompute.cn-hangzhou.ALIYUNCS.COM", standard, ""},
		"a suffix in upper case":               {"https://cloud.example.test", with("Example.TEST"), ""},
		"a suffix with a dot in front":         {"https://cloud.example.test", with(".example.test"), ""},
		"an address that is listed":            {"https://192.0.2.1", with("192.0.2.1"), ""},
		"no https":                             {"http://maxcompute.cn-hangzhou.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"another protocol":                     {"ftp://maxcompute.cn-hangzhou.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"no protocol":                          {"//maxcompute.cn-hangzhou.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a domain that ends alike":             {"https://evilaliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a domain that begins alike":           {"https://aliyuncs.com.evil.test", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a domain in the path":                 {"https://evil.test/.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a dot at the end":                     {"https://maxcompute.cn-hangzhou.aliyuncs.com.", standard, v1alpha1.ReasonEndpointNotAllowed},
		"an address":                           {"https://192.0.2.1", standard, v1alpha1.ReasonEndpointNotAllowed},
		"an address that ends in digits alike": {"https://1192.0.2.1", with("192.0.2.1"), v1alpha1.ReasonEndpointNotAllowed},
		"a long address":                       {"https://[2001:db8::1]", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a long address with a zone":           {"https://[fe80::1%25.aliyuncs.com]", standard, v1alpha1.ReasonInvalidSpec},
		"the cloud's own metadata":             {"http://100.100.100.200", standard, v1alpha1.ReasonEndpointNotAllowed},
		"nobody is allowed":                    {"https://maxcompute.cn-hangzhou.aliyuncs.com", with(), v1alpha1.ReasonEndpointNotAllowed},
		"an empty suffix allows nobody":        {"https://evil.test", with("", "."), v1alpha1.ReasonEndpointNotAllowed},
		"a name before the host":               {"https://aliyuncs.com@evil.test", standard, v1alpha1.ReasonInvalidSpec},
		"a name before an allowed host":        {"https://user:pass@maxcompute.aliyuncs.com", standard, v1alpha1.ReasonInvalidSpec},
		"a query":                              {"https://maxcompute.aliyuncs.com?x=y", standard, v1alpha1.ReasonInvalidSpec},
		"a query without content":              {"https://maxcompute.aliyuncs.com?", standard, v1alpha1.ReasonInvalidSpec},
		"a host behind a query":                {"https://evil.test?.aliyuncs.com", standard, v1alpha1.ReasonInvalidSpec},
		"a fragment":                           {"https://maxcompute.aliyuncs.com#x", standard, v1alpha1.ReasonInvalidSpec},
		"a host behind a fragment":             {"https://evil.test#.aliyuncs.com", standard, v1alpha1.ReasonInvalidSpec},
		"a backslash":                          {`https://evil.test\.aliyuncs.com`, standard, v1alpha1.ReasonInvalidSpec},
		"an escaped slash in the host":         {"https://evil.test%2f.aliyuncs.com", standard, v1alpha1.ReasonInvalidSpec},
		"a port that is none":                  {"https://evil.test:443.aliyuncs.com", standard, v1alpha1.ReasonInvalidSpec},
		"a port without a host":                {"https://:443", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a line break":                         {"https://evil.test\n.aliyuncs.com", standard, v1alpha1.ReasonInvalidSpec},
		"a space":                              {"https://evil.test .aliyuncs.com", standard, v1alpha1.ReasonInvalidSpec},
		"no host":                              {"https:maxcompute.aliyuncs.com", standard, v1alpha1.ReasonInvalidSpec},
		"a word":                               {"maxcompute", standard, v1alpha1.ReasonInvalidSpec},
		"a host that is one word":              {"https://sts.aliyuncs.com", standard, ""},
		"a host in a region of finance":        {"https://sts.cn-shenzhen-finance-1.aliyuncs.com", standard, ""},
		"a host in another part of the world":  {"https://sts.rus-west-1.aliyuncs.com", standard, ""},
		"a host of the other vendor":           {"https://iam.cn-southwest-2.myhuaweicloud.com", standard, ""},
		"a host of its, without a region":      {"https://iam.myhuaweicloud.com", standard, ""},
		"a bucket":                             {"https://bucket.oss-cn-hangzhou.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a bucket inside the cloud":            {"https://bucket.oss-cn-hangzhou-internal.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a bucket of the accelerated kind":     {"https://bucket.oss-accelerate.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a bucket by another protocol":         {"https://bucket.s3.oss-cn-hangzhou.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a function":                           {"https://1234.cn-hangzhou.fc.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a function of another kind":           {"https://svc.fcv3.1234.cn-hangzhou.fc.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a database":                           {"https://rm-1234.mysql.rds.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a search engine":                      {"https://es-cn-1234.elasticsearch.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a region at the wrong place":          {"https://a.b.cn-hangzhou.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a label that begins like a region":    {"https://bucket.cnx-hangzhou.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"an empty label":                       {"https://.cn-hangzhou.aliyuncs.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a bucket of the other vendor":         {"https://bucket.obs.cn-north-4.myhuaweicloud.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a gateway of the other vendor":        {"https://1234.apig.cn-north-4.myhuaweicloud.com", standard, v1alpha1.ReasonEndpointNotAllowed},
		"a bucket that somebody allows":        {"https://bucket.oss-cn-hangzhou.aliyuncs.com", with("aliyuncs.com", "oss-cn-hangzhou.aliyuncs.com"), ""},
		"a function that somebody allows":      {"https://1234.cn-hangzhou.fc.aliyuncs.com", with("cn-hangzhou.fc.aliyuncs.com"), ""},
		"only what somebody allows":            {"https://bucket.oss-cn-beijing.aliyuncs.com", with("aliyuncs.com", "oss-cn-hangzhou.aliyuncs.com"), v1alpha1.ReasonEndpointNotAllowed},
		"anything, for development":            {"http://localhost:8080", connect.EndpointPolicy{AllowInsecure: true}, ""},
		"even then no name":                    {"http://user:pass@localhost:8080", connect.EndpointPolicy{AllowInsecure: true}, v1alpha1.ReasonInvalidSpec},
	}
	fields := map[string]func(*v1alpha1.AlibabaCloudEndpoints, string){
		"OpenAPI":   func(e *v1alpha1.AlibabaCloudEndpoints, endpoint string) { e.MaxCompute = endpoint },
		"ODPS":      func(e *v1alpha1.AlibabaCloudEndpoints, endpoint string) { e.ODPS = endpoint },
		"STS":       func(e *v1alpha1.AlibabaCloudEndpoints, endpoint string) { e.STS = endpoint },
		"DataWorks": func(e *v1alpha1.AlibabaCloudEndpoints, endpoint string) { e.DataWorks = endpoint },
	}
	for field, set := range fields {
		for name, tc := range tests {
			t.Run(name+", "+field, func(t *testing.T) {
				h := newHarness(t)
				h.store("keys", h.keys("FAKEA"))
				h.resolver.Endpoints = tc.policy
				connection := h.connect("prod", "keys")
				// The region's own endpoints are the other ones; if the policy does not allow them, the given one stands for all.
				all := v1alpha1.AlibabaCloudEndpoints{MaxCompute: tc.endpoint, ODPS: tc.endpoint}
				if slices.Equal(tc.policy.AllowedSuffixes, connect.DefaultEndpointSuffixes) {
					all = v1alpha1.AlibabaCloudEndpoints{}
				}
				set(&all, tc.endpoint)
				connection.Spec.AlibabaCloud.Endpoints = &all
				account, err := h.resolver.Resolve(t.Context(), connection)
				if (account != nil) != (tc.reason == "") {
					t.Errorf("account %v, error %v", account != nil, err)
				}
				if tc.reason == "" {
					return
				}
				if outcome, _ := conditions.OutcomeOf(err); outcome.Reason != tc.reason || outcome.State != conditions.Stalled {
					t.Errorf("got %v, want Stalled with %s", outcome, tc.reason)
				}
				if h.reads != 0 {
					t.Error("the Secret was read for an endpoint that is not allowed")
				}
			})
		}
	}
}

// hosts notes where requests go and refuses them.
type hosts struct{ seen []string }

func (h *hosts) RoundTrip(request *http.Request) (*http.Response, error) {
	h.seen = append(h.seen, request.URL.Scheme+"://"+request.URL.Host+request.URL.EscapedPath())
	recorder := httptest.NewRecorder()
	recorder.WriteHeader(http.StatusServiceUnavailable)
	return recorder.Result(), nil
}

func TestEndpointsFollowTheRegion(t *testing.T) {
	tests := map[string]struct {
		region string
		given  *v1alpha1.AlibabaCloudEndpoints
		want   []string
	}{
		"both": {"cn-hangzhou", nil, []string{
			"https://maxcompute.cn-hangzhou.aliyuncs.com/api/v1/users", "https://service.cn-hangzhou.maxcompute.aliyun.com/api/projects/analytics/authorization",
		}},
		"one is given": {"eu-central-1", &v1alpha1.AlibabaCloudEndpoints{MaxCompute: "https://maxcompute-vpc.eu-central-1.aliyuncs.com/"}, []string{
			"https://maxcompute-vpc.eu-central-1.aliyuncs.com/api/v1/users", "https://service.eu-central-1.maxcompute.aliyun.com/api/projects/analytics/authorization",
		}},
		"the other is given": {"eu-central-1", &v1alpha1.AlibabaCloudEndpoints{ODPS: "https://service.odps.aliyun.com/api/"}, []string{
			"https://maxcompute.eu-central-1.aliyuncs.com/api/v1/users", "https://service.odps.aliyun.com/api/projects/analytics/authorization",
		}},
		"both are given": {"", &v1alpha1.AlibabaCloudEndpoints{MaxCompute: "https://a.aliyuncs.com", ODPS: "https://b.aliyun.com/api"}, []string{
			"https://a.aliyuncs.com/api/v1/users", "https://b.aliyun.com/api/projects/analytics/authorization",
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.store("keys", h.keys("FAKEA"))
			seen := &hosts{}
			h.resolver.HTTP, h.resolver.Endpoints = &http.Client{Transport: seen}, connect.EndpointPolicy{AllowedSuffixes: connect.DefaultEndpointSuffixes}
			connection := h.connect("prod", "keys")
			connection.Spec.AlibabaCloud.Region, connection.Spec.AlibabaCloud.Endpoints = tc.region, tc.given
			account, err := h.resolver.Resolve(t.Context(), connection)
			h.must(err)
			if account.MaxCompute.CheckIdentity(t.Context()) == nil || account.MaxCompute.Grant(t.Context(), "analytics", "reader", selectOnOrders) == nil {
				t.Error("a call succeeded")
			}
			if diff := cmp.Diff(tc.want, seen.seen); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhereSessionsAreOpenedFollowsTheRegion(t *testing.T) {
	tests := map[string]struct {
		region, given string
		want          string
		// message is why there is no account.
		message string
	}{
		"derived":  {region: "cn-hangzhou", want: "https://sts.cn-hangzhou.aliyuncs.com/"},
		"given":    {region: "cn-hangzhou", given: "https://sts-vpc.cn-hangzhou.aliyuncs.com/", want: "https://sts-vpc.cn-hangzhou.aliyuncs.com/"},
		"neither":  {message: "endpoints.sts is required without a region, for workloadIdentity and assumeRole"},
		"a bucket": {region: "cn-hangzhou", given: "https://sts.oss-cn-hangzhou.aliyuncs.com", message: "endpoint https://sts.oss-cn-hangzhou.aliyuncs.com may be a customer's: below aliyuncs.com, only <service>.aliyuncs.com and <service>.<region>.aliyuncs.com are allowed, unless the manager's --allowed-endpoint-suffixes names a deeper domain"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.store("keys", h.keys("FAKEA"))
			seen := &hosts{}
			h.resolver.HTTP, h.resolver.Endpoints = &http.Client{Transport: seen}, connect.EndpointPolicy{AllowedSuffixes: connect.DefaultEndpointSuffixes}
			connection := h.connect("prod", "keys")
			spec := connection.Spec.AlibabaCloud
			spec.Region, spec.AssumeRole = tc.region, toProd()
			spec.Endpoints = &v1alpha1.AlibabaCloudEndpoints{MaxCompute: "https://a.aliyuncs.com", ODPS: "https://b.aliyun.com/api", STS: tc.given}
			_, err := h.resolver.Resolve(t.Context(), connection)
			if tc.message != "" {
				if outcome, _ := conditions.OutcomeOf(err); outcome.State != conditions.Stalled || outcome.Message != tc.message {
					t.Errorf("got %+v", outcome)
				}
				return
			}
			if len(seen.seen) != 1 || seen.seen[0] != tc.want {
				t.Errorf("requests to %v, want %s", seen.seen, tc.want)
			}
		})
	}
}

func TestARegionCannotLeadElsewhere(t *testing.T) {
	for _, region := range []string{"evil.test/", "evil.test/x?", "evil.test#", "x@evil.test/", "evil.test:443/", `evil.test\`, "evil.test%2f"} {
		t.Run(region, func(t *testing.T) {
			h := newHarness(t)
			h.store("keys", h.keys("FAKEA"))
			h.resolver.Endpoints = connect.EndpointPolicy{AllowedSuffixes: connect.DefaultEndpointSuffixes}
			connection := h.connect("prod", "keys")
			connection.Spec.AlibabaCloud.Region, connection.Spec.AlibabaCloud.Endpoints, connection.Spec.AlibabaCloud.AssumeRole = region, nil, toProd()
			if _, err := h.resolver.Resolve(t.Context(), connection); err == nil {
				t.Error("the region was accepted")
			}
		})
	}
}
