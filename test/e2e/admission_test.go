package e2e

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// admission is one manifest and what the API server says of it.
type admission struct {
	spec string
	// want is part of the error; empty means accepted.
	want string
}

// check asks the API server about a manifest, without creating anything.
func (a admission) check(t *testing.T, manifest string) {
	t.Helper()
	g := NewWithT(t)
	obj := &unstructured.Unstructured{}
	g.Expect(yaml.UnmarshalStrict([]byte(manifest), obj)).To(Succeed(), manifest)
	err := bed.Kube.Create(t.Context(), obj, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
	if a.want == "" {
		g.Expect(err).NotTo(HaveOccurred(), manifest)
		return
	}
	g.Expect(err).To(MatchError(ContainSubstring(a.want)), manifest)
}

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
	tests := map[string]admission{
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
		"a field that does not exist":                 {identity + "  grants: []\n", "unknown field \"spec.grants\""},
		"an interval below a minute":                  {identity + "  interval: 30s\n", "interval must be at least 1m"},
		"an interval that is none":                    {identity + "  interval: soon\n", "should match"},
		"an interval of 1m30s":                        {identity + "  interval: 1m30s\n", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.check(t, manifest(s, tc.spec))
		})
	}
}

// TestAdmissionOfModes is about what a role is, whom it has, and how far it is managed.
func TestAdmissionOfModes(t *testing.T) {
	s := newSpace(t)
	const policy = "  policy: {Version: '1', Statement: [{Effect: Allow, Action: ['odps:Select'], Resource: ['acs:odps:*:projects/analytics/tables/ods_*']}]}\n"
	tests := map[string]admission{
		"an admin role with a policy":                   {identity + "  type: Admin\n" + policy, ""},
		"an admin role with nothing but members":        {identity + "  type: Admin\n  members: ['ALIYUN$ops@example.com']\n", ""},
		"an admin role with an acl":                     {identity + "  type: Admin\n  acl: {tables: [{name: t, actions: [Select]}]}\n", "a role of type Admin takes a policy and no acl"},
		"an admin role with an acl and a policy":        {identity + "  type: Admin\n  acl: {tables: [{name: t, actions: [Select]}]}\n" + policy, "a role of type Admin takes a policy and no acl"},
		"an admin role with an empty acl":               {identity + "  type: Admin\n  acl: {}\n", "a role of type Admin takes a policy and no acl"},
		"a resource role with an acl and a policy":      {identity + "  type: Resource\n  acl: {tables: [{name: t, actions: [Select]}]}\n" + policy, ""},
		"a type that there is not":                      {identity + "  type: Owner\n", "Unsupported value: \"Owner\""},
		"a type in another case":                        {identity + "  type: admin\n", "Unsupported value: \"admin\""},
		"a policy that is empty":                        {identity + "  policy: {}\n", ""},
		"a policy with what nobody knows":               {identity + "  policy: {Version: 2, Id: [1, {x: null}], Statement: {Effect: Deny}}\n", ""},
		"a policy that is a text":                       {identity + "  policy: '{\"Statement\": []}'\n", "must be of type object"},
		"a policy that is a list":                       {identity + "  policy: [{Effect: Allow}]\n", "must be of type object"},
		"a policy that is a number":                     {identity + "  policy: 1\n", "must be of type object"},
		"managementPolicy Authoritative":                {identity + "  managementPolicy: Authoritative\n", ""},
		"managementPolicy Additive":                     {identity + "  managementPolicy: Additive\n", ""},
		"managementPolicy Observe":                      {identity + "  managementPolicy: Observe\n", ""},
		"a managementPolicy that there is not":          {identity + "  managementPolicy: Ignore\n", "Unsupported value: \"Ignore\""},
		"adoptionPolicy Fail":                           {identity + "  adoptionPolicy: Fail\n", ""},
		"adoptionPolicy Adopt":                          {identity + "  adoptionPolicy: Adopt\n", ""},
		"an adoptionPolicy that there is not":           {identity + "  adoptionPolicy: Force\n", "Unsupported value: \"Force\""},
		"deletionPolicy Retain":                         {identity + "  deletionPolicy: Retain\n", ""},
		"a deletionPolicy that there is not":            {identity + "  deletionPolicy: Orphan\n", "Unsupported value: \"Orphan\""},
		"a deletionPolicy of another kind":              {identity + "  deletionPolicy: Revoke\n", "Unsupported value: \"Revoke\""},
		"nobody":                                        {identity + "  members: []\n", ""},
		"members":                                       {identity + "  members: ['ALIYUN$ops@example.com', 'RAM$corp:alice', 'RAM$corp@example.com:alice.b-c_d@example.com', 'RAM$123456:role/etl-2']\n", ""},
		"members in any case":                           {identity + "  members: ['aliyun$ops@example.com', 'Ram$corp:Role/etl']\n", ""},
		"a member without a form":                       {identity + "  members: [alice]\n", "should match"},
		"a member of a form that there is not":          {identity + "  members: ['GROUP$corp:all']\n", "should match"},
		"an account without a name":                     {identity + "  members: ['ALIYUN$']\n", "should match"},
		"an account with a user":                        {identity + "  members: ['ALIYUN$corp:alice']\n", "should match"},
		"a RAM user without an owner":                   {identity + "  members: ['RAM$:alice']\n", "should match"},
		"a RAM user with the owner alone":               {identity + "  members: ['RAM$corp']\n", "should match"},
		"a RAM user without a name":                     {identity + "  members: ['RAM$corp:']\n", "should match"},
		"a RAM user with two owners":                    {identity + "  members: ['RAM$corp:dept:alice']\n", "should match"},
		"a RAM role without a name":                     {identity + "  members: ['RAM$corp:role/']\n", "should match"},
		"a RAM role with a path":                        {identity + "  members: ['RAM$corp:role/a/b']\n", "should match"},
		"a RAM group":                                   {identity + "  members: ['RAM$corp:group/a']\n", "should match"},
		"a single quote in a member":                    {identity + "  members: [\"RAM$corp:al'ice\"]\n", "should match"},
		"a double quote in a member":                    {identity + "  members: ['RAM$corp:al\"ice']\n", "should match"},
		"a backtick in a member":                        {identity + "  members: ['RAM$corp:al`ice']\n", "should match"},
		"a statement in a member":                       {identity + "  members: ['ALIYUN$ops; DROP ROLE admin']\n", "should match"},
		"a semicolon in a member":                       {identity + "  members: ['ALIYUN$ops;']\n", "should match"},
		"a space in a member":                           {identity + "  members: ['ALIYUN$ops user']\n", "should match"},
		"a space before a member":                       {identity + "  members: [' ALIYUN$ops']\n", "should match"},
		"a space after a member":                        {identity + "  members: ['ALIYUN$ops ']\n", "should match"},
		"a tab in a member":                             {identity + "  members: [\"ALIYUN$ops\\tuser\"]\n", "should match"},
		"a line break in a member":                      {identity + "  members: [\"ALIYUN$ops\\nALIYUN$other\"]\n", "should match"},
		"a line break after a member":                   {identity + "  members: [\"ALIYUN$ops\\n\"]\n", "should match"},
		"two members in one":                            {identity + "  members: ['ALIYUN$ops,ALIYUN$other']\n", "should match"},
		"a letter that only looks like one":             {identity + "  members: [\"ALIYUN$\\u043Eps\"]\n", "should match"},
		"an empty member":                               {identity + "  members: ['']\n", "should be at least 1 chars long"},
		"a member of 257 characters":                    {identity + "  members: ['ALIYUN$" + strings.Repeat("a", 250) + "']\n", "may not be more than 256"},
		"a member twice":                                {identity + "  members: ['ALIYUN$ops', 'ALIYUN$ops']\n", "Duplicate value"},
		"a thousand members":                            {identity + "  members:\n" + members(1000), ""},
		"more than a thousand members":                  {identity + "  members:\n" + members(1001), "must have at most 1000 items"},
		"a project's name with a trailing line break":   {"  projectName: \"analytics\\n\"\n  roleName: r\n", "should match"},
		"a role's name with a letter that is not ASCII": {"  projectName: analytics\n  roleName: \"r\\u00E9ader\"\n", "should match"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.check(t, manifest(s, tc.spec))
		})
	}
}

// members makes so many lines of different principals.
func members(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "    - RAM$corp:user_%d\n", i)
	}
	return b.String()
}

func TestAdmissionOfConnectionReferences(t *testing.T) {
	s := newSpace(t)
	tests := map[string]admission{
		"a Connection":                      {"{name: prod}", ""},
		"a Connection that is called so":    {"{kind: Connection, name: prod}", ""},
		"a ClusterConnection":               {"{kind: ClusterConnection, name: prod}", ""},
		"a kind that cannot be referred to": {"{kind: Secret, name: prod}", "Unsupported value: \"Secret\""},
		"a kind in another case":            {"{kind: clusterconnection, name: prod}", "Unsupported value: \"clusterconnection\""},
		"no kind":                           {"{kind: '', name: prod}", "Unsupported value: \"\""},
		"no name":                           {"{kind: Connection}", "spec.connectionRef.name: Required value"},
		"an empty name":                     {"{name: ''}", "should be at least 1 chars long"},
		"a name that is too long":           {"{name: " + strings.Repeat("a", 254) + "}", "may not be more than 253"},
		"a Connection of another namespace": {"{name: prod, namespace: other}", "unknown field \"spec.connectionRef.namespace\""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.check(t, strings.ReplaceAll(manifest(s, identity), "{name: prod}", tc.spec))
		})
	}
}

func TestIdentityIsImmutable(t *testing.T) {
	s := newSpace(t)
	role := s.role("reader", "Select")
	role.Spec.Suspend = true
	create(t, role)
	tests := map[string]struct{ patch, want string }{
		"the connection's name":             {`{"spec":{"connectionRef":{"name":"other"}}}`, "connectionRef is immutable"},
		"the connection's kind":             {`{"spec":{"connectionRef":{"kind":"ClusterConnection"}}}`, "connectionRef is immutable"},
		"the connection's kind and name":    {`{"spec":{"connectionRef":{"kind":"ClusterConnection","name":"other"}}}`, "connectionRef is immutable"},
		"no connection":                     {`{"spec":{"connectionRef":null}}`, "spec.connectionRef: Required value"},
		"projectName":                       {`{"spec":{"projectName":"other"}}`, "projectName is immutable"},
		"roleName":                          {`{"spec":{"roleName":"other"}}`, "roleName is immutable"},
		"type":                              {`{"spec":{"type":"Admin","acl":null}}`, "type is immutable"},
		"the kind that is meant if none is": {`{"spec":{"connectionRef":{"kind":null}}}`, ""},
		"the type that is meant if none is": {`{"spec":{"type":null}}`, ""},
		"how far the role is managed":       {`{"spec":{"managementPolicy":"Observe","adoptionPolicy":"Adopt","deletionPolicy":"Retain"}}`, ""},
		"the fields that may come and go":   {`{"spec":{"acl":null,"policy":{"Statement":[]},"members":["ALIYUN$ops"]}}`, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			err := bed.Kube.Patch(t.Context(), role.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(tc.patch)), client.DryRunAll)
			if tc.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(tc.want)))
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
