package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// crd is what the test reads of a CustomResourceDefinition.
type crd struct {
	Spec struct {
		Scope string
		Names struct{ Kind, Plural string }
	}
}

// TestConfigIsComplete: what is generated or added in one place must be listed in the others, or it is not installed, not shown by the
// scaffold's tools, or not to be read by those who may view.
func TestConfigIsComplete(t *testing.T) {
	bases := names(t, "config/crd/bases/*.yaml")
	if len(bases) == 0 {
		t.Fatal("no CRD was found")
	}
	var paths, all, namespaced []string
	kinds := map[string]bool{}
	for _, name := range bases {
		var c crd
		read(t, filepath.Join("config/crd/bases", name), &c)
		kinds[c.Spec.Names.Kind] = c.Spec.Scope == "Namespaced"
		paths = append(paths, "bases/"+name)
		all = append(all, c.Spec.Names.Plural)
		if c.Spec.Scope == "Namespaced" {
			namespaced = append(namespaced, c.Spec.Names.Plural)
		}
	}
	samples := slices.DeleteFunc(names(t, "config/samples/*.yaml"), func(name string) bool { return name == "kustomization.yaml" })

	tests := map[string]struct{ got, want any }{
		"config/crd installs every CRD":                              {sorted(resources(t, "config/crd")), sorted(append(paths, "deadline_policy.yaml"))},
		"config/samples holds every sample":                          {sorted(resources(t, "config/samples")), sorted(samples)},
		"PROJECT knows every kind and its scope":                     {project(t), kinds},
		"the viewer role covers every kind":                          {sorted(ruled(t, "config/rbac/viewer_role.yaml")), sorted(all)},
		"the editor role covers every kind that lives in namespaces": {sorted(ruled(t, "config/rbac/editor_role.yaml")), sorted(namespaced)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// names are the base names of the files that match a pattern.
func names(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range files {
		files[i] = filepath.Base(file)
	}
	return files
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// read decodes a YAML file.
func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// resources are what the kustomization of a folder lists.
func resources(t *testing.T, folder string) []string {
	t.Helper()
	var kustomization struct{ Resources []string }
	read(t, filepath.Join(folder, "kustomization.yaml"), &kustomization)
	return kustomization.Resources
}

// ruled are the resources that the rules of a ClusterRole name.
func ruled(t *testing.T, path string) []string {
	t.Helper()
	var role struct {
		Rules []struct{ Resources []string }
	}
	read(t, path, &role)
	var out []string
	for _, rule := range role.Rules {
		out = append(out, rule.Resources...)
	}
	return out
}

// project tells of each kind in PROJECT whether it lives in namespaces.
func project(t *testing.T) map[string]bool {
	t.Helper()
	var file struct {
		Resources []struct {
			Kind string
			API  struct{ Namespaced bool }
		}
	}
	read(t, "PROJECT", &file)
	kinds := map[string]bool{}
	for _, resource := range file.Resources {
		kinds[resource.Kind] = resource.API.Namespaced
	}
	return kinds
}
