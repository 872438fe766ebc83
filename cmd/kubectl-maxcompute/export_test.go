package main

import (
	"regexp"
	"strings"
	"testing"
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
