package connect

import (
	"cmp"
	"net/url"
	"regexp"
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

// vendorHosts are the hosts below a vendor's domain that the vendor itself answers on: <service>.<domain> and <service>.<region>.<domain>.
// Deeper ones, and those whose second label is no region, can be a customer's: a bucket of the object storage
// (bucket.oss-cn-hangzhou.aliyuncs.com, bucket.obs.cn-north-4.myhuaweicloud.com), a function (id.cn-hangzhou.fc.aliyuncs.com), an API
// gateway or a database. Whoever rents one could have signed requests sent to himself. An administrator who needs such a host
// names a deeper suffix.
var vendorHosts = map[string]*regexp.Regexp{
	"aliyuncs.com":      regexp.MustCompile(`^[a-z0-9-]+(\.(cn|ap|us|eu|me|na|sa|rus)(-[a-z0-9]+)+)?$`),
	"myhuaweicloud.com": regexp.MustCompile(`^[a-z0-9-]+(\.(cn|ap|af|ae|eu|la|me|my|na|ru|sa|tr)(-[a-z0-9]+)+)?$`),
}

// checkAll returns an error if one of the endpoints that are used is not allowed.
func (p EndpointPolicy) checkAll(to endpoints, session bool) error {
	if session && to.sts == "" {
		return conditions.Stall(v1alpha1.ReasonInvalidSpec, "endpoints.sts is required without a region, for workloadIdentity and assumeRole")
	}
	used := []string{to.maxCompute, to.odps, to.sts}
	if !to.dataWorksDerived {
		used = append(used, to.dataWorks)
	}
	for _, endpoint := range used {
		if endpoint == "" {
			continue
		}
		if err := p.check(endpoint); err != nil {
			return err
		}
	}
	return nil
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
		if isBelow(host, domainOf(suffix)) {
			return nil
		}
	}
	for _, suffix := range p.AllowedSuffixes {
		if domain := domainOf(suffix); vendorHosts[domain] != nil && strings.HasSuffix(host, "."+domain) {
			return conditions.Stall(v1alpha1.ReasonEndpointNotAllowed,
				"endpoint %s may be a customer's: below %s, only <service>.%s and <service>.<region>.%s are allowed, unless the manager's --allowed-endpoint-suffixes names a deeper domain",
				endpoint, domain, domain, domain)
		}
	}
	return conditions.Stall(v1alpha1.ReasonEndpointNotAllowed, "endpoint %s is not below a domain that the manager's --allowed-endpoint-suffixes names", endpoint)
}

// domainOf spells an allowed suffix as hosts are spelled.
func domainOf(suffix string) string { return strings.ToLower(strings.TrimPrefix(suffix, ".")) }

// isBelow tells whether a host is an allowed domain, or below it and the vendor's own.
func isBelow(host, domain string) bool {
	if domain == "" || host == domain {
		return domain != ""
	}
	name, below := strings.CutSuffix(host, "."+domain)
	own := vendorHosts[domain]
	return below && (own == nil || own.MatchString(name))
}

// endpoints are where the services of an Alibaba Cloud connection are. sts and dataWorks are empty if they are neither given nor derived.
type endpoints struct {
	maxCompute, odps, sts, dataWorks string
	// dataWorksDerived tells that nobody has chosen dataWorks, so that it is checked when it is used: most connections never use it.
	dataWorksDerived bool
}

// endpointsOf derives what is not given from the region. The vendor's generated clients send most regions to a central host;
// the regional host is the one that the vendor's metadata names.
func endpointsOf(spec *v1alpha1.AlibabaCloudConnection) endpoints {
	var given v1alpha1.AlibabaCloudEndpoints
	if spec.Endpoints != nil {
		given = *spec.Endpoints
	}
	to := endpoints{
		maxCompute: cmp.Or(given.MaxCompute, "https://maxcompute."+spec.Region+".aliyuncs.com"),
		odps:       cmp.Or(given.ODPS, "https://service."+spec.Region+".maxcompute.aliyun.com/api"),
		sts:        given.STS,
		dataWorks:  given.DataWorks,
	}
	if to.dataWorks == "" && spec.Region != "" {
		to.dataWorks, to.dataWorksDerived = "https://dataworks."+spec.Region+".aliyuncs.com", true
	}
	if session := spec.Credentials.WorkloadIdentity != nil || spec.AssumeRole != nil; session && to.sts == "" && spec.Region != "" {
		to.sts = "https://sts." + spec.Region + ".aliyuncs.com"
	}
	return to
}
