package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
)

// TestNames: whatever things are called in the cloud, Kubernetes takes their names, and no two are the same.
func TestNames(t *testing.T) {
	valid := regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	n := newNames()
	given := map[string]string{}
	for _, cloud := range []string{
		"bi_reader", "bi-reader", "bi.reader", "BI_Reader_", "_", "__", "角色", "partner_proj.shared_pkg", "partner_proj._pkg", strings.Repeat("long_", 30), strings.Repeat("long_", 31), "a", "<script>",
	} {
		name := n.of(cloud)
		if !valid.MatchString(name) {
			t.Errorf("%q is called %q", cloud, name)
		}
		if other, taken := given[name]; taken {
			t.Errorf("%q and %q are both called %q", other, cloud, name)
		}
		given[name] = cloud
	}
	if given["bi-reader"] != "bi_reader" || given["partner-proj-shared-pkg"] == "" {
		t.Errorf("names are %v", given)
	}
}

// TestManifests: remarks are comments of a line each, whatever they hold, and what no object can name is nothing but them.
func TestManifests(t *testing.T) {
	crowd := &v1alpha1.ProjectRole{}
	for i := range 1000 {
		crowd.Spec.Members = append(crowd.Spec.Members, fmt.Sprintf("RAM$corp:%s_%d", strings.Repeat("u", 246), i))
	}
	for name, tc := range map[string]struct {
		described controllers.Described
		want      []string
	}{
		"with remarks":      {controllers.Described{Object: &v1alpha1.ProjectRole{}, Remarks: []string{"left out: \"a\nkind: b\""}}, []string{`# left out: "a kind: b"`, "apiVersion: maxcompute-operator.io/v1alpha1"}},
		"without an object": {controllers.Described{Name: "角色", Remarks: []string{"no object can name it"}}, []string{"# no object can name it"}},
		"too long":          {controllers.Described{Object: crowd}, []string{"# too long for kubectl apply to remember: apply it with --server-side", "apiVersion: maxcompute-operator.io/v1alpha1"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := manifestFor("ProjectRole", "r", tc.described)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(got.text), "\n")
			if diff := gocmp.Diff(tc.want, lines[:len(tc.want)]); diff != "" || tc.described.Object == nil && len(lines) > len(tc.want) {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	for name, tc := range map[string]struct {
		done, of int
		elapsed  time.Duration
		want     string
	}{
		"under way":             {250, 1000, 30 * time.Second, "ProjectRole: 250 of 1000, 500 a minute, about 1m30s left"},
		"at the end":            {1000, 1000, 2 * time.Minute, "ProjectRole: 1000 of 1000"},
		"in no time":            {1, 2, 0, "ProjectRole: 1 of 2"},
		"almost done":           {9, 10, time.Second, "ProjectRole: 9 of 10"},
		"before anything is so": {0, 10, 0, "ProjectRole: 0 of 10"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := progressLine("ProjectRole", tc.done, tc.of, tc.elapsed); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
