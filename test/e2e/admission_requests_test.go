package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// requestIdentity is all of a valid request but its objects.
const requestIdentity = "  applyUserIDs: ['267842600408993176']\n  reason: Quarterly report\n  projectName: analytics\n  workspaceID: 12345\n"

// requestManifest is a PermissionApply.
func requestManifest(s space, spec string) string { return packageManifest(s, "PermissionApply", spec) }

// asked are the objects of a request, or of a valid one if there are none.
func asked(objects string) string { return requestIdentity + "  objects: [" + objects + "]\n" }

const oneTable = "{name: dwd_orders, actions: [Select, Describe]}"

// manyObjects makes so many of something.
func manyObjects(n int, format string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(parts, ", ")
}

// TestRequestAdmission shows what the API server takes for a PermissionApply, and its words for what it refuses.
func TestRequestAdmission(t *testing.T) {
	s := newSpace(t)
	with := func(lines string) string { return asked(oneTable) + lines }
	without := func(line string) string { return strings.Replace(asked(oneTable), line, "", 1) }
	future := time.Now().Add(90 * 24 * time.Hour).UTC().Format(time.RFC3339)
	tests := map[string]admission{
		"a table":                         {asked(oneTable), ""},
		"everything":                      {with("  deadline: '" + future + "'\n  applyType: MaxComputeTable\n  catalogName: ''\n  readyWhen: Submitted\n  deletionPolicy: Retain\n  suspend: true\n  interval: 5m\n"), ""},
		"every action":                    {asked("{name: t, actions: [Select, Describe, Drop, Alter, Update, Download]}"), ""},
		"columns":                         {asked("{name: t, actions: [Select, Drop], columns: [{name: id}, {name: amount, actions: [Select, Describe, Download]}]}"), ""},
		"a table in two schemas":          {asked("{name: t, actions: [Select]}, {name: t, schemaName: ods, actions: [Select]}"), ""},
		"400 tables":                      {asked(manyObjects(400, "{name: t_%d, actions: [Select, Describe, Drop, Alter, Update, Download]}")), ""},
		"401 tables":                      {asked(manyObjects(401, "{name: t_%d, actions: [Select]}")), "spec.objects: Too many: 401: must have at most 400 items"},
		"a thousand columns":              {asked("{name: t, actions: [Select], columns: [" + manyObjects(1000, "{name: c_%d}") + "]}"), ""},
		"a thousand and one columns":      {asked("{name: t, actions: [Select], columns: [" + manyObjects(1001, "{name: c_%d}") + "]}"), "Too many: 1001: must have at most 1000 items"},
		"no table":                        {asked(""), "spec.objects in body should have at least 1 items"},
		"no objects":                      {requestIdentity, "spec.objects: Required value"},
		"a table twice":                   {asked("{name: t, actions: [Select]}, {name: t, actions: [Drop]}"), "spec.objects[1]: Duplicate value"},
		"an action that there is not":     {asked("{name: t, actions: [Read]}"), "spec.objects[0].actions[0]: Unsupported value: \"Read\": supported values: \"Select\", \"Describe\", \"Drop\", \"Alter\", \"Update\", \"Download\""},
		"all actions":                     {asked("{name: t, actions: [All]}"), "Unsupported value: \"All\""},
		"an action twice":                 {asked("{name: t, actions: [Select, Select]}"), "spec.objects[0].actions[1]: Duplicate value: \"Select\""},
		"no actions":                      {asked("{name: t, actions: []}"), "spec.objects[0].actions in body should have at least 1 items"},
		"more than two thousand columns":  {asked("{name: t, actions: [Select], columns: [" + manyObjects(1000, "{name: c_%d}") + "]}, {name: u, actions: [Select], columns: [" + manyObjects(1000, "{name: c_%d}") + "]}, {name: v, actions: [Select], columns: [{name: c}]}"), "at most 2000 columns in all"},
		"a column's action that is none":  {asked("{name: t, actions: [Select], columns: [{name: c, actions: [Drop]}]}"), "Unsupported value: \"Drop\": supported values: \"Select\", \"Describe\", \"Download\""},
		"no columns, as a list":           {asked("{name: t, actions: [Select], columns: []}"), "spec.objects[0].columns in body should have at least 1 items"},
		"a column twice":                  {asked("{name: t, actions: [Select], columns: [{name: c}, {name: c}]}"), "spec.objects[0].columns[1]: Duplicate value"},
		"a statement in a table's name":   {asked("{name: 't; DROP TABLE x', actions: [Select]}"), "spec.objects[0].name in body should match"},
		"a table of another project":      {asked("{name: other.t, actions: [Select]}"), "spec.objects[0].name in body should match"},
		"all tables":                      {asked("{name: '*', actions: [Select]}"), "spec.objects[0].name in body should match"},
		"a duration":                      {with("  duration: 720h\n"), ""},
		"a deadline and a duration":       {with("  duration: 720h\n  deadline: '" + future + "'\n"), "deadline and duration exclude each other"},
		"a duration of seconds":           {with("  duration: 30s\n"), "duration must be at least 1m"},
		"a duration that is none":         {with("  duration: 30 days\n"), "spec.duration in body should match"},
		"a deadline long past":            {with("  deadline: '2021-03-30T00:00:00Z'\n"), "deadline is in the past"},
		"a deadline that is no time":      {with("  deadline: tomorrow\n"), "spec.deadline in body must be of type date-time"},
		"no users":                        {strings.Replace(asked(oneTable), "['267842600408993176']", "[]", 1), "spec.applyUserIDs in body should have at least 1 items"},
		"a user by name":                  {strings.Replace(asked(oneTable), "267842600408993176", "alice", 1), "spec.applyUserIDs[0] in body should match '^[0-9]+$'"},
		"a user as a number":              {strings.Replace(asked(oneTable), "'267842600408993176'", "267842600408993176", 1), "spec.applyUserIDs[0] in body must be of type string"},
		"a user twice":                    {strings.Replace(asked(oneTable), "['267842600408993176']", "['1', '1']", 1), "spec.applyUserIDs[1]: Duplicate value"},
		"fifty-one users":                 {strings.Replace(asked(oneTable), "['267842600408993176']", "["+manyObjects(51, "'%d'")+"]", 1), "spec.applyUserIDs: Too many: 51"},
		"no reason":                       {without("  reason: Quarterly report\n"), "spec.reason: Required value"},
		"an empty reason":                 {strings.Replace(asked(oneTable), "Quarterly report", "' '", 1), "spec.reason in body should match"},
		"no project":                      {without("  projectName: analytics\n"), "spec.projectName: Required value"},
		"no workspace":                    {without("  workspaceID: 12345\n"), "spec.workspaceID: Required value"},
		"a workspace by name":             {strings.Replace(asked(oneTable), "12345", "prod", 1), "spec.workspaceID in body must be of type integer"},
		"a type that is not supported":    {with("  applyType: DLFTable\n"), "spec.applyType: Unsupported value: \"DLFTable\": supported values: \"MaxComputeTable\""},
		"a catalog":                       {with("  catalogName: hive\n"), "catalogName must be empty: tables of MaxCompute have no catalog"},
		"a deletionPolicy of other kinds": {with("  deletionPolicy: Delete\n"), "Unsupported value: \"Delete\": supported values: \"Revoke\", \"Retain\""},
		"a readyWhen that is none":        {with("  readyWhen: Approved\n"), "Unsupported value: \"Approved\""},
		"a managementPolicy":              {with("  managementPolicy: Observe\n"), "unknown field \"spec.managementPolicy\""},
		"an interval below a minute":      {with("  interval: 30s\n"), "interval must be at least 1m"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { tc.check(t, requestManifest(s, tc.spec)) })
	}
}

// TestAPastDeadlineIsRefused: the policy tells the time, which a CRD cannot. It takes a moment until the API server enforces it.
func TestAPastDeadlineIsRefused(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	ask := func(deadline time.Time) error {
		obj := &unstructured.Unstructured{}
		text := requestManifest(s, asked(oneTable)+"  deadline: '"+deadline.UTC().Format(time.RFC3339)+"'\n")
		g.Expect(yaml.UnmarshalStrict([]byte(text), obj)).To(Succeed())
		return bed.Kube.Create(t.Context(), obj, client.DryRunAll)
	}
	g.Eventually(func() error { return ask(time.Now().Add(-time.Minute)) }, timeout, poll).Should(MatchError(And(ContainSubstring("spec.deadline"), ContainSubstring("is in the past"))))
	g.Expect(ask(time.Now().Add(time.Hour))).To(Succeed())
}

// TestRequestsAreImmutable: a request that people decide about stays what they have read.
func TestRequestsAreImmutable(t *testing.T) {
	s := newSpace(t)
	meta := metav1.ObjectMeta{Namespace: s.namespace, Name: "report"}
	spec := v1alpha1.PermissionApplySpec{
		ConnectionRef: v1alpha1.ConnectionReference{Name: "prod"}, ApplyUserIDs: []string{"1"}, Reason: "report", ProjectName: s.project, WorkspaceID: 1, Suspend: true,
		Objects: []v1alpha1.ApplyObject{{Name: "t", Actions: []v1alpha1.TableAction{"Select"}}},
	}
	whole := &v1alpha1.PermissionApply{ObjectMeta: meta, Spec: spec}
	whole.Spec.Deadline = new(metav1.NewTime(time.Now().Add(time.Hour).Truncate(time.Second)))
	short := whole.DeepCopy()
	short.Name, short.Spec.Deadline, short.Spec.Duration = "short", nil, &metav1.Duration{Duration: time.Hour}
	bare := whole.DeepCopy()
	bare.Name, bare.Spec.Deadline = "bare", nil
	create(t, whole, short, bare)
	tests := []struct {
		obj         client.Object
		patch, want string
	}{
		{whole, `{"spec":{"connectionRef":{"name":"other"}}}`, "connectionRef is immutable"},
		{whole, `{"spec":{"applyUserIDs":["1","2"]}}`, "applyUserIDs is immutable"},
		{whole, `{"spec":{"reason":"another"}}`, "reason is immutable"},
		{whole, `{"spec":{"projectName":"other"}}`, "projectName is immutable"},
		{whole, `{"spec":{"workspaceID":2}}`, "workspaceID is immutable"},
		{whole, `{"spec":{"objects":[{"name":"t","actions":["Select","Drop"]}]}}`, "objects is immutable"},
		{whole, `{"spec":{"objects":[{"name":"t","actions":["Select"],"columns":[{"name":"c"}]}]}}`, "objects is immutable"},
		{whole, `{"spec":{"deadline":"2030-01-01T00:00:00Z"}}`, "deadline is immutable"},
		{whole, `{"spec":{"deadline":null}}`, "deadline is immutable"},
		{short, `{"spec":{"duration":"2h"}}`, "duration is immutable"},
		{short, `{"spec":{"duration":null}}`, "duration is immutable"},
		{bare, `{"spec":{"duration":"2h"}}`, "duration is immutable"},
		{bare, `{"spec":{"deadline":"2030-01-01T00:00:00Z"}}`, "deadline is immutable"},
		{whole, `{"spec":{"suspend":false,"interval":"1h","deletionPolicy":"Retain","readyWhen":"Submitted"}}`, ""},
	}
	for _, tc := range tests {
		t.Run(tc.obj.GetName()+" "+tc.patch, func(t *testing.T) {
			g := NewWithT(t)
			obj := tc.obj.DeepCopyObject().(client.Object)
			err := bed.Kube.Patch(t.Context(), obj, client.RawPatch(types.MergePatchType, []byte(tc.patch)), client.DryRunAll)
			if tc.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(tc.want)))
		})
	}
}
