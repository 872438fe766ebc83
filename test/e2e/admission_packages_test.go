package e2e

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

const (
	packageIdentity      = "  projectName: analytics\n  packageName: shared_pkg\n"
	installationIdentity = "  projectName: partner\n  sourceProject: analytics\n  packageName: shared_pkg\n"
)

// packageManifest is a valid object of a kind whose spec lines can be replaced.
func packageManifest(s space, kind, spec string) string {
	return strings.Replace(manifest(s, spec), "kind: ProjectRole", "kind: "+kind, 1)
}

// contents are resources of a package: so many tables, resources and functions.
func contents(tables, resources, functions int) string {
	list := func(kind string, n int, actions string) string {
		if n == 0 {
			return ""
		}
		return "    " + kind + ":\n" + strings.ReplaceAll(entries(n), "Select", actions)
	}
	return packageIdentity + "  resources:\n" + list("tables", tables, "Describe, Select") + list("resources", resources, "Read") + list("functions", functions, "Execute")
}

// allowed makes so many lines of different projects.
func allowed(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "    - {projectName: project_%d, label: %d}\n", i, i%10)
	}
	return packageIdentity + "  allowedProjects:\n" + b.String()
}

// TestPackageAdmission shows what the API server takes for a MaxComputePackage, and its words for what it refuses.
func TestPackageAdmission(t *testing.T) {
	s := newSpace(t)
	named := func(name string) string { return "  projectName: analytics\n  packageName: " + name + "\n" }
	tables := func(list string) string { return packageIdentity + "  resources: {tables: [" + list + "]}\n" }
	projects := func(list string) string { return packageIdentity + "  allowedProjects: [" + list + "]\n" }
	tests := map[string]admission{
		"a name and nothing else":         {packageIdentity, ""},
		"all kinds of objects":            {packageIdentity + "  resources:\n    tables: [{name: dim_city, actions: [Describe, Select]}, {name: dim_city, schemaName: ods, actions: [All]}]\n    resources: [{name: udf-1.0.jar, actions: [Read]}]\n    functions: [{name: mask, actions: [Read, Execute, Download]}]\n  allowedProjects: [{projectName: partner_proj, label: 2}, {projectName: other}]\n", ""},
		"no resources and no projects":    {packageIdentity + "  resources: {}\n  allowedProjects: []\n", ""},
		"empty lists":                     {packageIdentity + "  resources: {tables: [], resources: [], functions: []}\n", ""},
		"actions in any case":             {tables("{name: t, actions: [select, DESCRIBE]}"), ""},
		"all tables":                      {tables("{name: '*', actions: [Select]}"), ""},
		"a thousand tables":               {contents(1000, 0, 0), ""},
		"a thousand over three lists":     {contents(400, 300, 300), ""},
		"a thousand and one tables":       {contents(1001, 0, 0), "must have at most 1000 items"},
		"a thousand and one, three lists": {contents(400, 300, 301), "a package may hold at most 1000 resources"},
		"a thousand tables, one function": {contents(1000, 0, 1), "a package may hold at most 1000 resources"},

		"a name of 128 characters":       {named(strings.Repeat("p", 128)), ""},
		"a name of 129 characters":       {named(strings.Repeat("p", 129)), "spec.packageName: Too long: may not be more than 128"},
		"a name with a leading line":     {named("_shared"), ""},
		"a name with a leading digit":    {named("1shared"), "spec.packageName: Invalid value: \"1shared\": spec.packageName in body should match '^[A-Za-z_][A-Za-z0-9_]*$'"},
		"a name with a dot":              {named("analytics.shared"), "spec.packageName in body should match"},
		"a name with a space":            {named("'shared pkg'"), "spec.packageName in body should match"},
		"a name with a hyphen":           {named("shared-pkg"), "spec.packageName in body should match"},
		"a name with a path":             {named("a/../b"), "spec.packageName in body should match"},
		"a name with a statement":        {named("'p; DROP PACKAGE x'"), "spec.packageName in body should match"},
		"a name with a line break":       {named("\"shared\\n\""), "spec.packageName in body should match"},
		"a name that is not ASCII":       {named("\"sh\\u00E4red\""), "spec.packageName in body should match"},
		"an empty name":                  {named("''"), "spec.packageName in body should be at least 1 chars long"},
		"no name":                        {"  projectName: analytics\n", "spec.packageName: Required value"},
		"no project":                     {"  packageName: shared_pkg\n", "spec.projectName: Required value"},
		"a project's name with a dot":    {"  projectName: analytics.prod\n  packageName: shared_pkg\n", "spec.projectName in body should match"},
		"a project's name of 129":        {"  projectName: " + strings.Repeat("p", 129) + "\n  packageName: shared_pkg\n", "spec.projectName: Too long: may not be more than 128"},
		"all projects as the project":    {"  projectName: '*'\n  packageName: shared_pkg\n", "spec.projectName in body should match"},
		"a field that does not exist":    {packageIdentity + "  tables: []\n", "unknown field \"spec.tables\""},
		"an installation's source":       {packageIdentity + "  sourceProject: other\n", "unknown field \"spec.sourceProject\""},
		"members, which are a role's":    {packageIdentity + "  members: []\n", "unknown field \"spec.members\""},
		"an interval below a minute":     {packageIdentity + "  interval: 30s\n", "spec.interval: Invalid value: \"30s\": interval must be at least 1m"},
		"an interval of a minute":        {packageIdentity + "  interval: 1m\n", ""},
		"an interval that is none":       {packageIdentity + "  interval: soon\n", "spec.interval in body should match"},
		"every policy":                   {packageIdentity + "  managementPolicy: Additive\n  adoptionPolicy: Adopt\n  deletionPolicy: Retain\n  suspend: true\n", ""},
		"managementPolicy Observe":       {packageIdentity + "  managementPolicy: Observe\n", ""},
		"a managementPolicy of no kind":  {packageIdentity + "  managementPolicy: Ignore\n", "Unsupported value: \"Ignore\""},
		"an adoptionPolicy of no kind":   {packageIdentity + "  adoptionPolicy: Force\n", "Unsupported value: \"Force\""},
		"a deletionPolicy of no kind":    {packageIdentity + "  deletionPolicy: Revoke\n", "Unsupported value: \"Revoke\""},
		"a table twice":                  {tables("{name: t, actions: [Select]}, {name: t, actions: [Describe]}"), "spec.resources.tables[1]: Duplicate value: {\"name\":\"t\",\"schemaName\":\"default\"}"},
		"a table twice, default spelt":   {tables("{name: t, actions: [Select]}, {name: t, schemaName: default, actions: [Describe]}"), "Duplicate value"},
		"a table in two schemas":         {tables("{name: t, actions: [Select]}, {name: t, schemaName: ods, actions: [Select]}"), ""},
		"a function twice":               {packageIdentity + "  resources: {functions: [{name: f, actions: [Read]}, {name: f, actions: [Execute]}]}\n", "spec.resources.functions[1]: Duplicate value"},
		"a resource twice":               {packageIdentity + "  resources: {resources: [{name: a.jar, actions: [Read]}, {name: a.jar, actions: [Write]}]}\n", "spec.resources.resources[1]: Duplicate value"},
		"an action that there is not":    {tables("{name: t, actions: [Read]}"), "spec.resources.tables[0].actions[0] in body should match '^(?i)(Describe|Select|"},
		"an action of a table's":         {packageIdentity + "  resources: {functions: [{name: f, actions: [Select]}]}\n", "spec.resources.functions[0].actions[0] in body should match '^(?i)(Read|Write|Delete|Execute|"},
		"a statement in an action":       {tables("{name: t, actions: ['Select; DROP PACKAGE x']}"), "spec.resources.tables[0].actions[0] in body should match"},
		"an action twice":                {tables("{name: t, actions: [Select, Select]}"), "spec.resources.tables[0].actions[1]: Duplicate value: \"Select\""},
		"a table with an empty list":     {tables("{name: t, actions: []}"), "spec.resources.tables[0].actions in body should have at least 1 items"},
		"a table without actions":        {tables("{name: t}"), "spec.resources.tables[0].actions: Required value"},
		"a table without a name":         {tables("{actions: [Select]}"), "spec.resources.tables[0].name: Required value"},
		"a table of another project":     {tables("{name: other.t, actions: [Select]}"), "spec.resources.tables[0].name in body should match"},
		"a statement in a table's name":  {tables("{name: 't TO PACKAGE x', actions: [Select]}"), "spec.resources.tables[0].name in body should match"},
		"a statement in a schema":        {tables("{name: t, schemaName: 'a;', actions: [Select]}"), "spec.resources.tables[0].schemaName in body should match"},
		"a project in the package":       {packageIdentity + "  resources: {projects: [{name: analytics, actions: [List]}]}\n", "unknown field \"spec.resources.projects\""},
		"a package in the package":       {packageIdentity + "  resources: {packages: [{name: a.b, actions: [Read]}]}\n", "unknown field \"spec.resources.packages\""},
		"all projects":                   {projects("{projectName: '*'}"), ""},
		"all projects and one":           {projects("{projectName: '*', label: 1}, {projectName: partner, label: 9}"), ""},
		"the label 0":                    {projects("{projectName: partner, label: 0}"), ""},
		"the label 9":                    {projects("{projectName: partner, label: 9}"), ""},
		"the label 10":                   {projects("{projectName: partner, label: 10}"), "spec.allowedProjects[0].label in body should be less than or equal to 9"},
		"the label -1":                   {projects("{projectName: partner, label: -1}"), "spec.allowedProjects[0].label in body should be greater than or equal to 0"},
		"a label in quotes":              {projects("{projectName: partner, label: '2'}"), "spec.allowedProjects[0].label in body must be of type integer"},
		"half a label":                   {projects("{projectName: partner, label: 1.5}"), "spec.allowedProjects[0].label in body must be of type int32"},
		"a project twice":                {projects("{projectName: partner}, {projectName: partner, label: 2}"), "spec.allowedProjects[1]: Duplicate value: {\"projectName\":\"partner\"}"},
		"all projects twice":             {projects("{projectName: '*'}, {projectName: '*', label: 1}"), "spec.allowedProjects[1]: Duplicate value: {\"projectName\":\"*\"}"},
		"a project by its name alone":    {projects("partner"), "must be of type object"},
		"a project without a name":       {projects("{label: 1}"), "spec.allowedProjects[0].projectName: Required value"},
		"a pattern of projects":          {projects("{projectName: 'partner_*'}"), "spec.allowedProjects[0].projectName in body should match '^(\\*|[A-Za-z][A-Za-z0-9_]*)$'"},
		"an allowed project with a dot":  {projects("{projectName: partner.proj}"), "spec.allowedProjects[0].projectName in body should match"},
		"a statement in a project":       {projects("{projectName: 'partner TO INSTALL PACKAGE x'}"), "spec.allowedProjects[0].projectName in body should match"},
		"a thousand allowed projects":    {allowed(1000), ""},
		"more than a thousand of them":   {allowed(1001), "spec.allowedProjects: Too many: 1001: must have at most 1000 items"},
		"expiry, which is not supported": {projects("{projectName: partner, days: 30}"), "unknown field \"spec.allowedProjects[0].days\""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.check(t, packageManifest(s, "MaxComputePackage", tc.spec))
		})
	}
}

// TestPackageInstallationAdmission shows the same for a PackageInstallation.
func TestPackageInstallationAdmission(t *testing.T) {
	s := newSpace(t)
	of := func(project, source, name string) string {
		return fmt.Sprintf("  projectName: %s\n  sourceProject: %s\n  packageName: %s\n", project, source, name)
	}
	const own = "a project cannot install its own package: projectName and sourceProject are the same"
	tests := map[string]admission{
		"a package of another project":    {installationIdentity, ""},
		"every policy":                    {installationIdentity + "  adoptionPolicy: Adopt\n  deletionPolicy: Retain\n  suspend: true\n  interval: 1h30m\n", ""},
		"the project's own":               {of("partner", "partner", "shared_pkg"), own},
		"the project's own, upper case":   {of("partner", "PARTNER", "shared_pkg"), own},
		"the project's own, mixed case":   {of("Partner_1", "pARTNER_1", "shared_pkg"), own},
		"a project that begins alike":     {of("partner", "partner_1", "shared_pkg"), ""},
		"no source":                       {"  projectName: partner\n  packageName: shared_pkg\n", "spec.sourceProject: Required value"},
		"no project":                      {"  sourceProject: analytics\n  packageName: shared_pkg\n", "spec.projectName: Required value"},
		"no name":                         {"  projectName: partner\n  sourceProject: analytics\n", "spec.packageName: Required value"},
		"an empty source":                 {of("partner", "''", "shared_pkg"), "spec.sourceProject in body should be at least 1 chars long"},
		"a source with a dot":             {of("partner", "analytics.prod", "shared_pkg"), "spec.sourceProject in body should match '^[A-Za-z][A-Za-z0-9_]*$'"},
		"a source with a leading digit":   {of("partner", "1analytics", "shared_pkg"), "spec.sourceProject in body should match"},
		"any source":                      {of("partner", "'*'", "shared_pkg"), "spec.sourceProject in body should match"},
		"a source of 129 characters":      {of("partner", strings.Repeat("p", 129), "shared_pkg"), "spec.sourceProject: Too long: may not be more than 128"},
		"a project with a dot":            {of("partner.proj", "analytics", "shared_pkg"), "spec.projectName in body should match"},
		"a project with a statement":      {of("'partner; DROP ROLE x'", "analytics", "shared_pkg"), "spec.projectName in body should match"},
		"a name of 128 characters":        {of("partner", "analytics", strings.Repeat("p", 128)), ""},
		"a name of 129 characters":        {of("partner", "analytics", strings.Repeat("p", 129)), "spec.packageName: Too long: may not be more than 128"},
		"a name with its project":         {of("partner", "analytics", "analytics.shared_pkg"), "spec.packageName in body should match '^[A-Za-z_][A-Za-z0-9_]*$'"},
		"a name with a space":             {of("partner", "analytics", "'shared pkg'"), "spec.packageName in body should match"},
		"a name with a leading digit":     {of("partner", "analytics", "1shared"), "spec.packageName in body should match"},
		"a name with a line break":        {of("partner", "analytics", "\"shared\\n\""), "spec.packageName in body should match"},
		"managementPolicy, which is none": {installationIdentity + "  managementPolicy: Observe\n", "unknown field \"spec.managementPolicy\""},
		"resources, which its maker has":  {installationIdentity + "  resources: {}\n", "unknown field \"spec.resources\""},
		"an adoptionPolicy of no kind":    {installationIdentity + "  adoptionPolicy: Force\n", "Unsupported value: \"Force\""},
		"a deletionPolicy of no kind":     {installationIdentity + "  deletionPolicy: Uninstall\n", "Unsupported value: \"Uninstall\""},
		"an interval below a minute":      {installationIdentity + "  interval: 30s\n", "spec.interval: Invalid value: \"30s\": interval must be at least 1m"},
		"an interval that is none":        {installationIdentity + "  interval: '60'\n", "spec.interval in body should match"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.check(t, packageManifest(s, "PackageInstallation", tc.spec))
		})
	}
}

func TestPackageConnectionReferences(t *testing.T) {
	s := newSpace(t)
	tests := map[string]admission{
		"a ClusterConnection":               {"connectionRef: {kind: ClusterConnection, name: prod}", ""},
		"a kind that cannot be referred to": {"connectionRef: {kind: Secret, name: prod}", "spec.connectionRef.kind: Unsupported value: \"Secret\": supported values: \"Connection\", \"ClusterConnection\""},
		"a kind in another case":            {"connectionRef: {kind: connection, name: prod}", "spec.connectionRef.kind: Unsupported value: \"connection\""},
		"no name":                           {"connectionRef: {kind: Connection}", "spec.connectionRef.name: Required value"},
		"a Connection of another namespace": {"connectionRef: {name: prod, namespace: other}", "unknown field \"spec.connectionRef.namespace\""},
		"no reference":                      {"suspend: false", "spec.connectionRef: Required value"},
	}
	for kind, identity := range map[string]string{
		"MaxComputePackage": packageIdentity, "PackageInstallation": installationIdentity, "PermissionApply": asked(oneTable),
		"ResourcePackageExport": exported("4f1c2d3e", "boards", oneBoard, inDirectory),
	} {
		for name, tc := range tests {
			t.Run(kind+"/"+name, func(t *testing.T) {
				tc.check(t, strings.Replace(packageManifest(s, kind, identity), "connectionRef: {name: prod}", tc.spec, 1))
			})
		}
	}
}

// TestPackageIdentityIsImmutable shows that an object keeps its target, and may change all else.
func TestPackageIdentityIsImmutable(t *testing.T) {
	s := newSpace(t)
	meta := metav1.ObjectMeta{Namespace: s.namespace, Name: "shared"}
	ref := v1alpha1.ConnectionReference{Name: "prod"}
	shared := &v1alpha1.MaxComputePackage{ObjectMeta: meta, Spec: v1alpha1.MaxComputePackageSpec{
		ConnectionRef: ref, ProjectName: s.project, PackageName: "shared_pkg", Suspend: true,
		Resources:       &v1alpha1.PackageResources{Tables: []v1alpha1.TableGrant{{Name: "dim_city", Actions: []string{"Select"}}}},
		AllowedProjects: []v1alpha1.AllowedProject{{ProjectName: "partner_proj", Label: 2}},
	}}
	installed := &v1alpha1.PackageInstallation{ObjectMeta: meta, Spec: v1alpha1.PackageInstallationSpec{
		ConnectionRef: ref, ProjectName: s.project, SourceProject: "analytics", PackageName: "shared_pkg", Suspend: true,
	}}
	create(t, shared, installed)
	type change struct{ patch, want string }
	both := map[string]change{
		"the connection's name":             {`{"spec":{"connectionRef":{"name":"other"}}}`, "connectionRef is immutable: delete the object (deletionPolicy: Retain keeps the package"},
		"the connection's kind":             {`{"spec":{"connectionRef":{"kind":"ClusterConnection"}}}`, "connectionRef is immutable"},
		"no connection":                     {`{"spec":{"connectionRef":null}}`, "spec.connectionRef: Required value"},
		"the kind that is meant if none is": {`{"spec":{"connectionRef":{"kind":null}}}`, ""},
		"the project in another case":       {`{"spec":{"projectName":"` + strings.ToUpper(s.project) + `"}}`, "projectName is immutable"},
		"no project":                        {`{"spec":{"projectName":null}}`, "spec.projectName: Required value"},
		"the package in another case":       {`{"spec":{"packageName":"Shared_Pkg"}}`, "packageName is immutable"},
		"no package":                        {`{"spec":{"packageName":null}}`, "spec.packageName: Required value"},
		"policies, suspend and interval":    {`{"spec":{"adoptionPolicy":"Adopt","deletionPolicy":"Retain","suspend":false,"interval":"1h"}}`, ""},
	}
	tests := []struct {
		obj     client.Object
		changes map[string]change
	}{
		{shared, both},
		{shared, map[string]change{
			"the project":                         {`{"spec":{"projectName":"other"}}`, "projectName is immutable: a package cannot move to another project"},
			"the package":                         {`{"spec":{"packageName":"other"}}`, "packageName is immutable: a package cannot be renamed"},
			"what is in it":                       {`{"spec":{"resources":{"tables":[{"name":"dim_shop","actions":["All"]}],"functions":[{"name":"mask","actions":["Execute"]}]}}}`, ""},
			"nothing in it":                       {`{"spec":{"resources":{"tables":null}}}`, ""},
			"what is in it, not managed":          {`{"spec":{"resources":null}}`, ""},
			"whom it is shared with":              {`{"spec":{"allowedProjects":[{"projectName":"other"},{"projectName":"*","label":9}]}}`, ""},
			"a label":                             {`{"spec":{"allowedProjects":[{"projectName":"partner_proj","label":0}]}}`, ""},
			"shared with nobody":                  {`{"spec":{"allowedProjects":[]}}`, ""},
			"whom it is shared with, not managed": {`{"spec":{"allowedProjects":null}}`, ""},
			"how far it is managed":               {`{"spec":{"managementPolicy":"Observe"}}`, ""},
			"a label too high":                    {`{"spec":{"allowedProjects":[{"projectName":"partner_proj","label":10}]}}`, "should be less than or equal to 9"},
		}},
		{installed, both},
		{installed, map[string]change{
			"the project":                {`{"spec":{"projectName":"other"}}`, "projectName is immutable: an installation cannot move to another project"},
			"the source":                 {`{"spec":{"sourceProject":"other"}}`, "sourceProject is immutable: a package of another project is another package"},
			"the source in another case": {`{"spec":{"sourceProject":"Analytics"}}`, "sourceProject is immutable"},
			"no source":                  {`{"spec":{"sourceProject":null}}`, "spec.sourceProject: Required value"},
			"the package":                {`{"spec":{"packageName":"other"}}`, "packageName is immutable: install another package with another object"},
			"all of it at once":          {`{"spec":{"projectName":"a","sourceProject":"b","packageName":"c"}}`, "sourceProject is immutable"},
		}},
	}
	for _, tc := range tests {
		for name, change := range tc.changes {
			t.Run(fmt.Sprintf("%T/%s", tc.obj, name), func(t *testing.T) {
				g := NewWithT(t)
				obj := tc.obj.DeepCopyObject().(client.Object)
				err := bed.Kube.Patch(t.Context(), obj, client.RawPatch(types.MergePatchType, []byte(change.patch)), client.DryRunAll)
				if change.want == "" {
					g.Expect(err).NotTo(HaveOccurred())
					return
				}
				g.Expect(err).To(MatchError(ContainSubstring(change.want)))
			})
		}
	}
}

// TestPackageLists shows that what is empty stays empty and what is absent stays absent when a Go program reads and writes it: the one is
// taken from everybody, the other left alone.
func TestPackageLists(t *testing.T) {
	s := newSpace(t)
	tests := map[string]struct{ spec, want string }{
		"empty":  {"  resources: {}\n  allowedProjects: []\n", "map[allowedProjects:[] resources:map[]]"},
		"absent": {"", "map[]"},
		"nulled": {"  resources: null\n  allowedProjects: null\n", "map[]"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			text := strings.Replace(packageManifest(s, "MaxComputePackage", packageIdentity+"  suspend: true\n"+tc.spec), "name: candidate", "name: "+name, 1)
			out, err := kubectl(t, text, "create", "-f", "-")
			g.Expect(err).NotTo(HaveOccurred(), out)
			obj := &v1alpha1.MaxComputePackage{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
			stored := func() string {
				spec := specOf(t.Context(), g, obj, "MaxComputePackage")
				for field := range spec {
					if field != "resources" && field != "allowedProjects" {
						delete(spec, field)
					}
				}
				return fmt.Sprint(spec)
			}
			g.Expect(stored()).To(Equal(tc.want))
			g.Eventually(func() error {
				if err := bed.Kube.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
					return err
				}
				obj.Labels = map[string]string{"touched": "yes"}
				return bed.Kube.Update(t.Context(), obj)
			}, timeout, poll).Should(Succeed())
			g.Expect(stored()).To(Equal(tc.want))
		})
	}
}
