package e2e

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// manifest is a valid ProjectRole whose spec lines can be replaced.
func manifest(s space, spec string) string {
	return fmt.Sprintf("apiVersion: maxcompute-operator.io/v1alpha1\nkind: ProjectRole\nmetadata: {name: candidate, namespace: %s}\nspec:\n  connectionRef: {name: prod}\n%s", s.namespace, spec)
}

const identity = "  projectName: analytics\n  roleName: bi_reader\n"

func entries(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "      - {name: t_%d, actions: [Select]}\n", i)
	}
	return b.String()
}

// TestAdmission shows that what can never work is refused by the API server, with words that say what to do.
func TestAdmission(t *testing.T) {
	s := newSpace(t)
	tests := map[string]struct {
		spec string
		// want is part of the error; empty means accepted.
		want string
	}{
		"a plain role":                                {identity, ""},
		"all kinds of objects":                        {identity + "  acl:\n    tables: [{name: dwd_orders, actions: [Describe, Select]}, {name: '*', schemaName: ods, actions: [All]}]\n    resources: [{name: udf-1.0.jar, actions: [Read]}]\n    functions: [{name: mask, actions: [Read, Execute]}]\n    packages: [{name: partner.shared, actions: [Read]}]\n    projects: [{name: analytics, actions: [List, CreateInstance]}]\n    instances: [{name: '*', actions: [Read]}]\n", ""},
		"actions in any case":                         {identity + "  acl: {tables: [{name: t, actions: [select, DESCRIBE]}]}\n", ""},
		"an empty acl":                                {identity + "  acl: {}\n", ""},
		"a thousand entries":                          {identity + "  acl:\n    tables:\n" + entries(1000), ""},
		"two thousand entries":                        {identity + "  acl:\n    tables:\n" + entries(2000), "must have at most 1000 items"},
		"more than a thousand entries over two lists": {identity + "  acl:\n    tables:\n" + entries(900) + "    functions:\n" + strings.ReplaceAll(entries(900), "Select", "Read"), "at most 1000 objects"},
		"an action that a table does not have":        {identity + "  acl: {tables: [{name: t, actions: [Execute]}]}\n", "should match '^(?i)(Describe|Select|"},
		"an action that a function does not have":     {identity + "  acl: {functions: [{name: f, actions: [Select]}]}\n", "should match '^(?i)(Read|Write|Delete|Execute|"},
		"an action that a package does not have":      {identity + "  acl: {packages: [{name: a.b, actions: [Write]}]}\n", "should match '^(?i)(Read)$'"},
		"no action":                                   {identity + "  acl: {tables: [{name: t, actions: []}]}\n", "should have at least 1 items"},
		"an entry twice":                              {identity + "  acl: {tables: [{name: t, actions: [Select]}, {name: t, actions: [Describe]}]}\n", "Duplicate value"},
		"an entry twice, the schema once spelt out":   {identity + "  acl: {tables: [{name: t, actions: [Select]}, {name: t, schemaName: default, actions: [Describe]}]}\n", "Duplicate value"},
		"an action twice":                             {identity + "  acl: {tables: [{name: t, actions: [Select, Select]}]}\n", "Duplicate value"},
		"a statement in a table's name":               {identity + "  acl: {tables: [{name: 't; DROP ROLE x', actions: [Select]}]}\n", "should match"},
		"a comment in a table's name":                 {identity + "  acl: {tables: [{name: 't--', actions: [Select]}]}\n", "should match"},
		"a line break in a table's name":              {identity + "  acl: {tables: [{name: \"t\\nTO ROLE admin\", actions: [Select]}]}\n", "should match"},
		"a statement in an action":                    {identity + "  acl: {tables: [{name: t, actions: ['Select; DROP ROLE x']}]}\n", "should match"},
		"a statement in a schema":                     {identity + "  acl: {tables: [{name: t, schemaName: 'a\"', actions: [Select]}]}\n", "should match"},
		"a statement in a resource's name":            {identity + "  acl: {resources: [{name: \"a.jar' TO ROLE x\", actions: [Read]}]}\n", "should match"},
		"a comment in a resource's name":              {identity + "  acl: {resources: [{name: a--b.jar, actions: [Read]}]}\n", "should match"},
		"an empty table name":                         {identity + "  acl: {tables: [{name: '', actions: [Select]}]}\n", "should be at least 1 chars long"},
		"an empty role name":                          {"  projectName: analytics\n  roleName: ''\n", "should be at least 1 chars long"},
		"no role name":                                {"  projectName: analytics\n", "spec.roleName: Required value"},
		"a role name of 65 characters":                {"  projectName: analytics\n  roleName: " + strings.Repeat("r", 65) + "\n", "may not be more than 64"},
		"a role name with a path":                     {"  projectName: analytics\n  roleName: a/../b\n", "should match"},
		"a project name with a path":                  {"  projectName: ../other\n  roleName: r\n", "should match"},
		"the built-in role admin":                     {"  projectName: analytics\n  roleName: Admin\n", "built into every project"},
		"the built-in role super_administrator":       {"  projectName: analytics\n  roleName: super_administrator\n", "built into every project"},
		"a role of DataWorks":                         {"  projectName: analytics\n  roleName: Role_Project_Dev\n", "belong to DataWorks"},
		"an admin role with an acl":                   {identity + "  type: Admin\n  acl: {tables: [{name: t, actions: [Select]}]}\n", "Unsupported value: \"Admin\""},
		"a mode that does not exist yet":              {identity + "  managementPolicy: Additive\n", "Unsupported value: \"Additive\""},
		"a field that does not exist":                 {identity + "  grants: []\n", "unknown field \"spec.grants\""},
		"an interval below a minute":                  {identity + "  interval: 30s\n", "interval must be at least 1m"},
		"an interval that is none":                    {identity + "  interval: soon\n", "should match"},
		"an interval of 1m30s":                        {identity + "  interval: 1m30s\n", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			out, err := kubectl(t, manifest(s, tc.spec), "create", "--dry-run=server", "--validate=strict", "-f", "-")
			if tc.want == "" {
				g.Expect(err).NotTo(HaveOccurred(), out)
				return
			}
			g.Expect(err).To(HaveOccurred(), "accepted: %s", out)
			g.Expect(out).To(ContainSubstring(tc.want))
		})
	}
}

func TestIdentityIsImmutable(t *testing.T) {
	s := newSpace(t)
	role := s.role("reader", "Select")
	role.Spec.Suspend = true
	create(t, role)
	tests := map[string]struct{ patch, want string }{
		"connectionRef": {`{"spec":{"connectionRef":{"name":"other"}}}`, "connectionRef is immutable"},
		"projectName":   {`{"spec":{"projectName":"other"}}`, "projectName is immutable"},
		"roleName":      {`{"spec":{"roleName":"other"}}`, "roleName is immutable"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			out, err := kubectl(t, "", "patch", "mcrole/reader", "-n", s.namespace, "--type=merge", "-p", tc.patch)
			g.Expect(err).To(HaveOccurred())
			g.Expect(out).To(ContainSubstring(tc.want))
		})
	}
}

func TestConnectionAdmission(t *testing.T) {
	s := newSpace(t)
	secret := "    credentials: {secretRef: {name: s}}\n"
	tests := map[string]struct{ spec, want string }{
		"a region and a secret":            {"  alibabaCloud:\n    region: cn-hangzhou\n" + secret, ""},
		"endpoints in place of a region":   {"  alibabaCloud:\n    endpoints: {maxCompute: https://a.aliyuncs.com, odps: https://b.aliyun.com/api}\n" + secret, ""},
		"neither":                          {"  alibabaCloud:\n" + secret, "region is required unless"},
		"one endpoint is not enough":       {"  alibabaCloud:\n    endpoints: {maxCompute: https://a.aliyuncs.com}\n" + secret, "region is required unless"},
		"no account at all":                {"  suspend: false\n", "alibabaCloud is required"},
		"no credentials":                   {"  alibabaCloud: {region: cn-hangzhou}\n", "spec.alibabaCloud.credentials: Required value"},
		"an endpoint that is no URL":       {"  alibabaCloud:\n    region: cn-hangzhou\n    endpoints: {maxCompute: 'maxcompute'}\n" + secret, "should match"},
		"an endpoint with credentials":     {"  alibabaCloud:\n    region: cn-hangzhou\n    endpoints: {maxCompute: 'https://a:b@c.aliyuncs.com'}\n" + secret, "should match"},
		"a region that would make a host":  {"  alibabaCloud:\n    region: 'x.evil.example/'\n" + secret, "should match"},
		"a rate limit of nothing":          {"  alibabaCloud:\n    region: cn-hangzhou\n    rateLimits: {maxCompute: {qps: 0}}\n" + secret, "should be greater than or equal to 1"},
		"a rate limit of more than 10,000": {"  alibabaCloud:\n    region: cn-hangzhou\n    rateLimits: {maxCompute: {qps: 10001}}\n" + secret, "should be less than or equal to 10000"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			text := fmt.Sprintf("apiVersion: maxcompute-operator.io/v1alpha1\nkind: Connection\nmetadata: {name: candidate, namespace: %s}\nspec:\n%s", s.namespace, tc.spec)
			out, err := kubectl(t, text, "create", "--dry-run=server", "--validate=strict", "-f", "-")
			if tc.want == "" {
				g.Expect(err).NotTo(HaveOccurred(), out)
				return
			}
			g.Expect(err).To(HaveOccurred(), "accepted: %s", out)
			g.Expect(out).To(ContainSubstring(tc.want))
		})
	}
}

// TestSamples shows that what config/samples holds is accepted as it is.
func TestSamples(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	out, err := kubectl(t, "", "apply", "--dry-run=server", "-n", s.namespace, "-k", "../../config/samples")
	g.Expect(err).NotTo(HaveOccurred(), out)
}
