package connect

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// ServiceOf returns the identity of the service behind an endpoint. It is the same for all the names and spellings by which one
// service can be reached, so two endpoints are compared by it and never as text: scheme, letter case, default port, and superfluous
// slashes and dots do not count, and the names for use within a VPC or the vendor's network mean the public one. A name that the
// vendor uses for all regions means the service of the region, where one is given. The identity of no endpoint is empty.
func ServiceOf(endpoint, region string) string {
	u, err := url.Parse(strings.ToLower(strings.TrimSpace(endpoint)))
	if err != nil || u.Host == "" {
		return strings.ToLower(strings.TrimRight(endpoint, "/"))
	}
	host, port := publicHost(hostOf(u), strings.ToLower(region)), strings.TrimLeft(u.Port(), "0")
	if port != "" && port != defaultPorts[u.Scheme] {
		host += ":" + port
	}
	return host + strings.TrimRight(path.Clean("/"+u.Path), "/")
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// loopback is what all names of the own machine are spelled as.
const loopback = "localhost"

// hostOf spells a host in one way. An address of IPv6 is in brackets.
func hostOf(u *url.URL) string {
	host := strings.TrimRight(u.Hostname(), ".")
	address, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	switch address = address.Unmap(); {
	case address == netip.IPv6Loopback() || address == netip.AddrFrom4([4]byte{127, 0, 0, 1}):
		return loopback
	case address.Is6():
		return "[" + address.String() + "]"
	}
	return address.String()
}

// The domains below which Alibaba Cloud has the names of its services: of the OpenAPIs, and of MaxCompute's own API.
const (
	openAPIDomain    = ".aliyuncs.com"
	maxComputeDomain = ".maxcompute.aliyun.com"
)

// innerDomain takes the place of publicDomain within the vendor's network.
const innerDomain, publicDomain = ".aliyun-inc.com", ".aliyun.com"

// networks mark a name for use within a network. OpenAPIs have the mark at the service (maxcompute-vpc.cn-hangzhou.aliyuncs.com),
// MaxCompute's own API has it at the region (service.cn-hangzhou-vpc.maxcompute.aliyun-inc.com).
var networks = []string{"-vpc", "-intranet", "-internal"}

// centralHosts serve all regions, or serve those that have no host of their own, by the host of one region. Its place in that is empty.
var centralHosts = map[string][2]string{
	"maxcompute.aliyuncs.com": {"maxcompute.", openAPIDomain},
	"dataworks.aliyuncs.com":  {"dataworks.", openAPIDomain},
	"service.odps.aliyun.com": {"service.", maxComputeDomain},
}

// publicHost returns the public name of a host in its region.
func publicHost(host, region string) string {
	if name, inner := strings.CutSuffix(host, innerDomain); inner {
		host = name + publicDomain
	}
	for _, domain := range []string{openAPIDomain, maxComputeDomain} {
		name, below := strings.CutSuffix(host, domain)
		if !below {
			continue
		}
		labels := strings.Split(name, ".")
		for i, label := range labels {
			labels[i] = withoutNetwork(label)
		}
		host = strings.Join(labels, ".") + domain
	}
	if around, central := centralHosts[host]; central && region != "" {
		return around[0] + region + around[1]
	}
	return host
}

func withoutNetwork(label string) string {
	for _, network := range networks {
		if name, marked := strings.CutSuffix(label, network); marked {
			return name
		}
	}
	return label
}

// Service returns the identity of the service that an object works at: of the endpoint at which it has done something or looked,
// if that is given, or else of the one that its connection leads to now. It is empty if there is neither.
func (r *Resolver) Service(ctx context.Context, obj client.Object, ref v1alpha1.ConnectionReference, at string) (string, error) {
	connection, err := r.find(ctx, obj.GetNamespace(), ref)
	switch {
	case apierrors.IsNotFound(err):
		return ServiceOf(at, ""), nil
	case apierrors.IsForbidden(err):
		return "", conditions.Wait(v1alpha1.ReasonPermissionDenied, "this manager watches some namespaces and may not read %s of namespace %s, so it cannot know which service %s means. "+
			"Grant its service account the verb get on connections in all namespaces, with a ClusterRole", ref, obj.GetNamespace(), obj.GetName())
	case err != nil:
		return "", fmt.Errorf("get %s: %w", ref, err)
	}
	spec := connection.GetConnectionSpec().AlibabaCloud
	if spec == nil {
		return ServiceOf(at, ""), nil
	}
	return ServiceOf(cmp.Or(at, endpointsOf(spec).maxCompute), spec.Region), nil
}

// IsAt reports whether an endpoint means the service whose OpenAPI the account talks to.
func (a *Account) IsAt(endpoint string) bool {
	return ServiceOf(endpoint, a.region) == ServiceOf(a.Endpoint, a.region)
}

// IsDataWorksAt reports whether an endpoint means the account's DataWorks.
func (a *Account) IsDataWorksAt(endpoint string) bool {
	return ServiceOf(endpoint, a.region) == ServiceOf(a.DataWorksEndpoint, a.region)
}
