package main

import (
	"regexp"
	"strings"
	"testing"
	"time"
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
