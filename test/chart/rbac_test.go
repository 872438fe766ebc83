package chart_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// rules are those of a Role or ClusterRole.
func rules(t *testing.T, obj *unstructured.Unstructured) []rbacv1.PolicyRule {
	t.Helper()
	role := &rbacv1.ClusterRole{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, role); err != nil {
		t.Fatal(err)
	}
	if len(role.Rules) == 0 {
		t.Errorf("%s has no rules", key(obj))
	}
	return role.Rules
}

// pairs are the single rights that rules grant, such as "get secrets". The core group has no name.
func pairs(rules []rbacv1.PolicyRule) []string {
	var all []string
	for _, rule := range rules {
		for _, verb := range rule.Verbs {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					all = append(all, strings.TrimSuffix(verb+" "+resource+"."+group, "."))
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestNoRuleGoesTooFar looks at every role of every variant.
func TestNoRuleGoesTooFar(t *testing.T) {
	for _, file := range ciValues(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			all := render(t, "--values="+file)
			for _, name := range all.keys("ClusterRole", "Role") {
				for _, rule := range rules(t, all[name]) {
					for _, text := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs, rule.NonResourceURLs) {
						if strings.Contains(text, "*") {
							t.Errorf("%s: wildcard in %v", name, rule)
						}
					}
					for _, verb := range []string{"escalate", "bind", "impersonate"} {
						if slices.Contains(rule.Verbs, verb) {
							t.Errorf("%s may %s", name, verb)
						}
					}
					if slices.Contains(rule.Resources, "secrets") && !slices.Equal(rule.Verbs, []string{"get"}) {
						t.Errorf("%s may %v secrets", name, rule.Verbs)
					}
				}
			}
		})
	}
}

func TestWhoGetsWhatByAggregation(t *testing.T) {
	tests := map[string]struct {
		args           []string
		viewer, editor []string
	}{
		"by default only what is to be read": {nil, []string{"view"}, nil},
		"nothing at all":                     {[]string{"--set=rbac.aggregateToView=false"}, nil, nil},
		"edit and admin if asked for":        {[]string{"--set=rbac.aggregateToEdit=true,rbac.aggregateToAdmin=true"}, []string{"view"}, []string{"admin", "edit"}},
		"admin alone":                        {[]string{"--set=rbac.aggregateToAdmin=true"}, []string{"view"}, []string{"admin"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			all := render(t, tc.args...)
			for name, want := range map[string][]string{"viewer": tc.viewer, "editor": tc.editor} {
				var got []string
				for label, value := range all.get(t, "ClusterRole /maxcompute-operator-"+name).GetLabels() {
					if to, ok := strings.CutPrefix(label, "rbac.authorization.k8s.io/aggregate-to-"); ok && value == "true" {
						got = append(got, to)
					}
				}
				slices.Sort(got)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: -want +got:\n%s", name, diff)
				}
			}
		})
	}
}

// TestScopedRulesAreAllOfThem: what the manager may do in a watched namespace and outside of namespaces is what it may do otherwise, and
// what is outside is what has to be. Of other namespaces it reads the operator's own kinds, and nothing else.
func TestScopedRulesAreAllOfThem(t *testing.T) {
	const role = "/maxcompute-operator-manager-role"
	everything := pairs(rules(t, render(t).get(t, "ClusterRole "+role)))
	all := render(t, "--set=rbac.scoped=true,watchNamespaces={team-a,team-b}")
	cluster, team := pairs(rules(t, all.get(t, "ClusterRole "+role))), pairs(rules(t, all.get(t, "Role team-a"+role)))
	if diff := cmp.Diff(everything, slices.Compact(slices.Sorted(slices.Values(slices.Concat(cluster, team))))); diff != "" {
		t.Errorf("-unscoped +scoped:\n%s", diff)
	}
	outside, own := clusterScoped(t), ownKinds(t)
	for resource := range own {
		for _, verb := range []string{"get", "list"} {
			if !slices.Contains(cluster, verb+" "+resource) {
				t.Errorf("the manager may not %s %s of all namespaces, so it cannot know what objects there own", verb, resource)
			}
		}
	}
	for _, pair := range cluster {
		verb, resource, _ := strings.Cut(pair, " ")
		reads := (verb == "get" || verb == "list") && own[resource]
		if !outside[resource] && !reads {
			t.Errorf("the ClusterRole grants to %s, which is in namespaces", pair)
		}
	}
	for _, pair := range team {
		_, resource, _ := strings.Cut(pair, " ")
		if outside[resource] {
			t.Errorf("the Role grants to %s, where it has no effect", pair)
		}
	}
	if diff := cmp.Diff(team, pairs(rules(t, all.get(t, "Role team-b"+role)))); diff != "" {
		t.Errorf("-team-a +team-b:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"create events", "create events.events.k8s.io", "patch events", "patch events.events.k8s.io"}, pairs(rules(t, all.get(t, "Role default"+role)))); diff != "" {
		t.Errorf("in the namespace of cluster-wide events: -want +got:\n%s", diff)
	}
	checkBindings(t, all)
}

// checkBindings asserts that the manager's service account, and nobody else, has its roles.
func checkBindings(t *testing.T, all objects) {
	t.Helper()
	bindings := slices.DeleteFunc(all.keys("RoleBinding", "ClusterRoleBinding"), func(k string) bool { return !strings.HasSuffix(k, "manager-rolebinding") })
	for _, name := range bindings {
		want := map[string]any{"kind": "ServiceAccount", "name": release, "namespace": namespace}
		if diff := cmp.Diff([]map[string]any{want}, list(t, all[name], "subjects")); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
	if len(bindings) != 4 {
		t.Errorf("got bindings %v, want one for the cluster, two teams and default", bindings)
	}
}

// ownKinds are the resources of the operator's own kinds that are in namespaces.
func ownKinds(t *testing.T) map[string]bool {
	t.Helper()
	own := map[string]bool{}
	for _, crd := range crds(t) {
		if crd.Spec.Scope == "Namespaced" {
			own[crd.Spec.Names.Plural+"."+crd.Spec.Group] = true
		}
	}
	return own
}

// clusterScoped are the resources that are not in namespaces, according to the CRDs, with those of Kubernetes that the manager uses.
func clusterScoped(t *testing.T) map[string]bool {
	t.Helper()
	outside := map[string]bool{"namespaces": true}
	for _, crd := range crds(t) {
		if crd.Spec.Scope == "Cluster" {
			outside[crd.Spec.Names.Plural+"."+crd.Spec.Group] = true
			outside[crd.Spec.Names.Plural+"/status."+crd.Spec.Group] = true
		}
	}
	return outside
}

// crd is what the tests need of a CRD.
type crd struct {
	Spec struct {
		Group, Scope string
		Names        struct{ Plural string }
	}
}

func crds(t *testing.T) []crd {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "config/crd/bases/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	all := make([]crd, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, &all[i]); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
