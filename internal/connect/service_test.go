package connect_test

import (
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
)

// spellings are names of services, all of one line for the same one. The region is cn-hangzhou.
var spellings = map[string][]string{
	"MaxCompute": {
		"https://maxcompute.cn-hangzhou.aliyuncs.com", "https://maxcompute.cn-hangzhou.aliyuncs.com/", "https://maxcompute.cn-hangzhou.aliyuncs.com//",
		"https://maxcompute.cn-hangzhou.aliyuncs.com/.", "https://maxcompute.cn-hangzhou.aliyuncs.com/./x/..", "https://maxcompute.cn-hangzhou.aliyuncs.com:443",
		"https://maxcompute.cn-hangzhou.aliyuncs.com:0443/", "https://maxcompute.cn-hangzhou.aliyuncs.com:", "HTTPS://MAXCOMPUTE.cn-Hangzhou.AliyunCS.com",
		"https://maxcompute.cn-hangzhou.aliyuncs.com.", "http://maxcompute.cn-hangzhou.aliyuncs.com:80", "https://maxcompute-vpc.cn-hangzhou.aliyuncs.com",
		"https://maxcompute-intranet.cn-hangzhou.aliyuncs.com", "https://maxcompute.aliyuncs.com", "https://maxcompute.aliyuncs.com:443/",
	},
	"MaxCompute of another region": {"https://maxcompute.cn-shanghai.aliyuncs.com", "https://maxcompute-vpc.cn-shanghai.aliyuncs.com"},
	"MaxCompute's own API": {
		"https://service.cn-hangzhou.maxcompute.aliyun.com/api", "http://service.cn-hangzhou.maxcompute.aliyun.com/api/", "https://service.odps.aliyun.com/api",
		"https://service.cn-hangzhou-vpc.maxcompute.aliyun-inc.com/api", "https://service.cn-hangzhou-intranet.maxcompute.aliyun-inc.com/api",
		"https://service.cn-hangzhou.maxcompute.aliyun-inc.com//api",
	},
	"DataWorks": {
		"https://dataworks.cn-hangzhou.aliyuncs.com", "https://dataworks-vpc.cn-hangzhou.aliyuncs.com", "https://dataworks.aliyuncs.com",
	},
	"an object storage": {"https://oss-cn-hangzhou.aliyuncs.com", "https://oss-cn-hangzhou-internal.aliyuncs.com"},
	"this machine":      {"http://localhost:8080", "http://127.0.0.1:8080/", "http://LOCALHOST:08080//", "http://[::1]:8080", "http://[::ffff:127.0.0.1]:8080", "http://[0:0:0:0:0:0:0:1]:8080/."},
	"another port":      {"http://localhost:8081"},
	"another host":      {"http://127.0.0.2:8080"},
	"another path":      {"http://localhost:8080/b"},
	"not the vendor's":  {"https://maxcompute-vpc.cn-hangzhou.aliyuncs.com.example.org"},
	"nor this":          {"https://maxcompute.cn-hangzhou.aliyuncs.com.example.org"},
	"an address":        {"https://[2001:db8::1]", "https://[2001:DB8:0::1]:443/"},
	"none":              {"", "/"},
}

func TestAServiceHasOneIdentity(t *testing.T) {
	known := map[string]string{}
	for name, list := range spellings {
		want := connect.ServiceOf(list[0], "cn-hangzhou")
		if other, ok := known[want]; ok {
			t.Errorf("%s and %s are both %q", name, other, want)
		}
		known[want] = name
		for _, endpoint := range list {
			if got := connect.ServiceOf(endpoint, "cn-hangzhou"); got != want {
				t.Errorf("%s: %q is %q, want %q", name, endpoint, got, want)
			}
		}
	}
	if got := connect.ServiceOf("https://maxcompute.aliyuncs.com", ""); got != "maxcompute.aliyuncs.com" {
		t.Errorf("without a region, the central host is %q", got)
	}
}

// FuzzServiceOf: an identity is its own identity, and no spelling of an endpoint has another one.
func FuzzServiceOf(f *testing.F) {
	for _, list := range spellings {
		for _, endpoint := range list {
			f.Add(endpoint)
		}
	}
	f.Fuzz(func(t *testing.T, endpoint string) {
		want := connect.ServiceOf(endpoint, "cn-hangzhou")
		if !strings.HasPrefix(endpoint, "http://") && !strings.HasPrefix(endpoint, "https://") {
			return
		}
		for name, other := range map[string]string{
			"with a slash at its end": endpoint + "/", "with slashes": endpoint + "//", "with a dot": endpoint + "/.", "upper case": strings.ToUpper(endpoint),
		} {
			folds := strings.ToLower(strings.ToUpper(endpoint)) == strings.ToLower(endpoint) //nolint:staticcheck // EqualFold knows more foldings
			if strings.ContainsAny(endpoint, "?#%") || !folds || strings.TrimSpace(endpoint) != endpoint {
				continue // no endpoint of a Connection
			}
			if got := connect.ServiceOf(other, "cn-hangzhou"); got != want {
				t.Errorf("%q %s is %q, want %q", endpoint, name, got, want)
			}
		}
	})
}

// TestTheServiceOfAnObject is the one where it has done something, or else where its connection leads.
func TestTheServiceOfAnObject(t *testing.T) {
	h := newHarness(t)
	one := h.connect("one", "keys")
	here := connect.ServiceOf(one.Spec.AlibabaCloud.Endpoints.MaxCompute, "")
	central := h.connect("central", "keys")
	central.Spec.AlibabaCloud.Region, central.Spec.AlibabaCloud.Endpoints.MaxCompute = "cn-beijing", "https://maxcompute.aliyuncs.com"
	h.must(h.kube.Update(t.Context(), central))
	derived := h.connect("derived", "keys")
	derived.Spec.AlibabaCloud.Region, derived.Spec.AlibabaCloud.Endpoints = "cn-beijing", nil
	h.must(h.kube.Update(t.Context(), derived))
	cluster := h.connectCluster("one", nil, nil)
	cluster.Spec.AlibabaCloud.Endpoints.MaxCompute = "https://elsewhere.test//"
	h.must(h.kube.Update(t.Context(), cluster))
	const beijing = "maxcompute.cn-beijing.aliyuncs.com"
	tests := map[string]struct {
		ref      v1alpha1.ConnectionReference
		at, want string
	}{
		"a Connection":                                  {v1alpha1.ConnectionReference{Name: "one"}, "", here},
		"an explicit kind is the same as none":          {v1alpha1.ConnectionReference{Kind: v1alpha1.ConnectionKindConnection, Name: "one"}, "", here},
		"a ClusterConnection of the same name":          {v1alpha1.ConnectionReference{Kind: v1alpha1.ConnectionKindClusterConnection, Name: "one"}, "", "elsewhere.test"},
		"a central host":                                {v1alpha1.ConnectionReference{Name: "central"}, "", beijing},
		"an endpoint that follows from the region":      {v1alpha1.ConnectionReference{Name: "derived"}, "", beijing},
		"where it did something":                        {v1alpha1.ConnectionReference{Name: "one"}, "https://maxcompute-vpc.cn-beijing.aliyuncs.com", beijing},
		"where it did something, by the central host":   {v1alpha1.ConnectionReference{Name: "derived"}, "https://maxcompute.aliyuncs.com", beijing},
		"where it did something, the Connection gone":   {v1alpha1.ConnectionReference{Name: "none"}, "https://maxcompute-vpc.cn-beijing.aliyuncs.com", beijing},
		"no Connection, and nothing done":               {v1alpha1.ConnectionReference{Name: "none"}, "", ""},
		"a Connection's name is no ClusterConnection's": {v1alpha1.ConnectionReference{Kind: v1alpha1.ConnectionKindClusterConnection, Name: "central"}, "", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := h.resolver.Service(t.Context(), newUser(namespace), tc.ref, tc.at); err != nil || got != tc.want {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
	h.failure["Connection"] = apierrors.NewInternalError(errors.New("etcdserver: no leader"))
	if _, err := h.resolver.Service(t.Context(), newUser(namespace), v1alpha1.ConnectionReference{Name: "one"}, ""); !errors.Is(err, h.failure["Connection"]) {
		t.Errorf("got %v", err)
	}
}
