package connect

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// DefaultEndpointSuffixes are the vendor's own domains.
var DefaultEndpointSuffixes = []string{"aliyuncs.com", "aliyun.com", "aliyun-inc.com", "myhuaweicloud.com"}

// EndpointPolicy says where signed requests may go. A manifest's author chooses the endpoint, and a signed request tells its
// receiver enough to use the permissions it carries for a while; so the administrator decides.
type EndpointPolicy struct {
	// AllowedSuffixes are domains; a host is allowed if it is one of them or below one of them.
	AllowedSuffixes []string
	// AllowInsecure lifts all limits, for development.
	AllowInsecure bool
}

// check returns an error if the endpoint is not allowed.
func (p EndpointPolicy) check(endpoint string) error {
	u, err := url.Parse(endpoint)
	// A zone, as in [fe80::1%25.aliyuncs.com], would make an address look like a host below a domain.
	if err != nil || u.Host == "" || strings.Contains(u.Host, "%") || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return conditions.Stall(v1alpha1.ReasonInvalidSpec, "endpoint %q is not a base URL", endpoint)
	}
	if p.AllowInsecure {
		return nil
	}
	if u.Scheme != "https" {
		return conditions.Stall(v1alpha1.ReasonEndpointNotAllowed, "endpoint %s does not use https", endpoint)
	}
	host := strings.ToLower(u.Hostname())
	for _, suffix := range p.AllowedSuffixes {
		suffix = strings.ToLower(strings.TrimPrefix(suffix, "."))
		if suffix != "" && (host == suffix || strings.HasSuffix(host, "."+suffix)) {
			return nil
		}
	}
	return conditions.Stall(v1alpha1.ReasonEndpointNotAllowed, "endpoint %s is not below a domain that the manager's --allowed-endpoint-suffixes names", endpoint)
}

// endpoints are where the services of an Alibaba Cloud connection are.
type endpoints struct {
	maxCompute, odps string
}

// endpointsOf derives what is not given from the region. The vendor's generated clients send most regions to a central host;
// the regional host is the one that the vendor's metadata names.
func endpointsOf(spec *v1alpha1.AlibabaCloudConnection) endpoints {
	var given v1alpha1.AlibabaCloudEndpoints
	if spec.Endpoints != nil {
		given = *spec.Endpoints
	}
	return endpoints{
		maxCompute: cmp.Or(given.MaxCompute, "https://maxcompute."+spec.Region+".aliyuncs.com"),
		odps:       cmp.Or(given.ODPS, "https://service."+spec.Region+".maxcompute.aliyun.com/api"),
	}
}
