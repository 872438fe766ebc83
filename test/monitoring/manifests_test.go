package monitoring

import (
	"slices"
	"testing"
)

// kustomization is what the tests read of one.
type kustomization struct {
	Namespace, NamePrefix string
	Resources             []string
}

// TestTheMonitorFindsTheService that config/default installs, in its namespace, and Prometheus may read what it scrapes.
func TestTheMonitorFindsTheService(t *testing.T) {
	var installed, opted kustomization
	decode(t, "config/default/kustomization.yaml", &installed)
	decode(t, "config/prometheus/kustomization.yaml", &opted)
	if installed.Namespace != opted.Namespace || installed.NamePrefix != opted.NamePrefix {
		t.Errorf("config/default is in %s with the prefix %s, config/prometheus in %s with %s", installed.Namespace, installed.NamePrefix, opted.Namespace, opted.NamePrefix)
	}
	if want := []string{"monitor.yaml", "reader_binding.yaml", "rules.yaml"}; !slices.Equal(want, opted.Resources) {
		t.Errorf("config/prometheus has %v, want %v", opted.Resources, want)
	}
	var service struct {
		Spec struct{ Ports []struct{ Name string } }
	}
	var monitor struct {
		Spec struct {
			Selector  struct{ MatchLabels map[string]string }
			Endpoints []struct {
				Port, Scheme string
				HonorLabels  bool
			}
		}
	}
	decode(t, "config/manager/metrics_service.yaml", &service)
	decode(t, "config/prometheus/monitor.yaml", &monitor)
	endpoint := monitor.Spec.Endpoints[0]
	if endpoint.Port != service.Spec.Ports[0].Name || endpoint.Scheme != "https" || !endpoint.HonorLabels {
		t.Errorf("the monitor scrapes %+v, and the service has the port %s", endpoint, service.Spec.Ports[0].Name)
	}
	// The label is one that config/default gives to all that it installs.
	if labels := monitor.Spec.Selector.MatchLabels; len(labels) != 1 || labels["app.kubernetes.io/name"] != "maxcompute-operator" {
		t.Errorf("the monitor selects services by %v", labels)
	}
	var role struct{ Metadata struct{ Name string } }
	var binding struct{ RoleRef struct{ Name string } }
	decode(t, "config/rbac/metrics_reader_role.yaml", &role)
	decode(t, "config/prometheus/reader_binding.yaml", &binding)
	if want := installed.NamePrefix + role.Metadata.Name; binding.RoleRef.Name != want {
		t.Errorf("the binding is of %s, want %s", binding.RoleRef.Name, want)
	}
}
