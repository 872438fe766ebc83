// Package chart_test holds the tests of the Helm chart: what it renders, what its schema refuses, and what an API server and helm make of it.
package chart_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/maxcompute-operator/maxcompute-operator/test/helm"
)

const (
	root = "../.."
	// The release whose objects have the names that config/default gives them.
	release   = "maxcompute-operator"
	namespace = "maxcompute-operator-system"
)

// builtChart builds helm once for all tests.
var builtChart = sync.OnceValues(func() (*helm.Chart, error) { return helm.New(context.Background(), root) })

func chart(t *testing.T) *helm.Chart {
	t.Helper()
	c, err := builtChart()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// objects are rendered or built objects by kind, namespace and name. Cluster-scoped objects have an empty namespace.
type objects map[string]*unstructured.Unstructured

func key(obj *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s/%s", obj.GetKind(), obj.GetNamespace(), obj.GetName())
}

func index(t *testing.T, list []*unstructured.Unstructured) objects {
	t.Helper()
	all := objects{}
	for _, obj := range list {
		if all[key(obj)] != nil {
			t.Errorf("%s is there twice", key(obj))
		}
		all[key(obj)] = obj
	}
	return all
}

// render renders the chart as the release, with more arguments of helm template.
func render(t *testing.T, args ...string) objects {
	t.Helper()
	list, err := chart(t).Template(t.Context(), release, namespace, args...)
	if err != nil {
		t.Fatal(err)
	}
	return index(t, list)
}

// keys are the keys of the objects of some kinds, sorted; without kinds, of all.
func (o objects) keys(kinds ...string) []string {
	all := slices.Sorted(maps.Keys(o))
	return slices.DeleteFunc(all, func(k string) bool {
		kind, _, _ := strings.Cut(k, " ")
		return len(kinds) > 0 && !slices.Contains(kinds, kind)
	})
}

// get returns an object, or fails the test.
func (o objects) get(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	obj := o[name]
	if obj == nil {
		t.Fatalf("there is no %s, but %v", name, o.keys())
	}
	return obj
}

// field returns what is at a path, or nil.
func field(t *testing.T, obj *unstructured.Unstructured, path ...string) any {
	t.Helper()
	value, _, err := unstructured.NestedFieldNoCopy(obj.Object, path...)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// ciValues are the files of values that the chart brings for its tests.
func ciValues(t *testing.T) []string {
	t.Helper()
	dir := chart(t).Dir + "/ci/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, entry := range entries {
		files = append(files, dir+entry.Name())
	}
	if len(files) == 0 {
		t.Fatalf("no values in %s", dir)
	}
	return files
}
