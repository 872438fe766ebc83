package e2e

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

const (
	oneBoard    = "{type: dashboard, id: d1}"
	inDirectory = "{directory: {path: monthly}}"
)

// exportManifest is a ResourcePackageExport.
func exportManifest(s space, spec string) string {
	return packageManifest(s, "ResourcePackageExport", spec)
}

// exported is all of an export but its optional fields.
func exported(workspace, name, resources, destination string) string {
	return "  workspaceID: " + workspace + "\n  packageName: " + name + "\n  resources: [" + resources + "]\n  destination: " + destination + "\n"
}

// intoBucket are the fields of an object storage, in place of those of a valid one that have the same names.
func intoBucket(fields ...string) string {
	valid := []string{"endpoint: 'https://obs.cn-southwest-2.myhuaweicloud.com'", "bucket: exports", "secretRef: {name: s}"}
	var out []string
	for _, field := range valid {
		name, _, _ := strings.Cut(field, ":")
		given := false
		for _, f := range fields {
			given = given || strings.HasPrefix(f, name+":")
		}
		if !given {
			out = append(out, field)
		}
	}
	return "{objectStorage: {" + strings.Join(append(out, fields...), ", ") + "}}"
}

// TestExportAdmission shows what the API server takes for a ResourcePackageExport, and its words for what it refuses.
func TestExportAdmission(t *testing.T) {
	s := newSpace(t)
	with := func(lines string) string { return exported("4f1c2d3e", "boards", oneBoard, inDirectory) + lines }
	of := func(resources string) string { return exported("4f1c2d3e", "boards", resources, inDirectory) }
	without := func(field string) string {
		lines := strings.SplitAfter(with(""), "\n")
		var out []string
		for _, line := range lines {
			if !strings.HasPrefix(line, "  "+field+":") {
				out = append(out, line)
			}
		}
		return strings.Join(out, "")
	}
	const every = "  schedule: 0 3 * * 1-5\n  timeZone: Asia/Shanghai\n  startingDeadlineSeconds: 3600\n  historyLimit: 30\n  skipUnchanged: true\n" +
		"  includeDatasetTagPermission: true\n  deletionPolicy: Delete\n  suspend: true\n"
	tests := map[string]admission{
		"a dashboard":                 {with(""), ""},
		"everything":                  {with(every), ""},
		"a field that does not exist": {with("  interval: 5m\n"), "unknown field \"spec.interval\""},
		"a policy of other kinds":     {with("  managementPolicy: Observe\n"), "unknown field \"spec.managementPolicy\""},
		"no workspace":                {without("workspaceID"), "spec.workspaceID: Required value"},
		"no name":                     {without("packageName"), "spec.packageName: Required value"},
		"no resources":                {without("resources"), "spec.resources: Required value"},
		"no destination":              {without("destination"), "spec.destination: Required value"},

		"an empty workspace":                 {exported("''", "boards", oneBoard, inDirectory), "spec.workspaceID in body should be at least 1 chars long"},
		"a workspace with a path":            {exported("../other", "boards", oneBoard, inDirectory), "spec.workspaceID in body should match '^[A-Za-z0-9-]+$'"},
		"a workspace with a query":           {exported("'a?b=c'", "boards", oneBoard, inDirectory), "spec.workspaceID in body should match"},
		"a workspace with a line break":      {exported(`"a\n"`, "boards", oneBoard, inDirectory), "spec.workspaceID in body should match"},
		"a workspace of 64 characters":       {exported(strings.Repeat("a", 64), "boards", oneBoard, inDirectory), ""},
		"a workspace of 65 characters":       {exported(strings.Repeat("a", 65), "boards", oneBoard, inDirectory), "spec.workspaceID: Too long: may not be more than 64"},
		"a workspace that is a number":       {exported("12345", "boards", oneBoard, inDirectory), "spec.workspaceID in body must be of type string"},
		"every type of resource":             {of("{type: datasource, id: a}, {type: dataset, id: a}, {type: metric, id: a}, {type: dashboard, id: a}, {type: screen, id: a}, {type: embedAnalysis, id: a}, {type: portal, id: a}, {type: subject, id: a}"), ""},
		"500 resources":                      {of(manyObjects(500, "{type: dataset, id: d%d}")), ""},
		"501 resources":                      {of(manyObjects(501, "{type: dataset, id: d%d}")), "spec.resources: Too many: 501: must have at most 500 items"},
		"no resource":                        {of(""), "spec.resources in body should have at least 1 items"},
		"a resource twice":                   {of(oneBoard + ", " + oneBoard), "spec.resources[1]: Duplicate value"},
		"an id of two types":                 {of("{type: dashboard, id: d1}, {type: screen, id: d1}"), ""},
		"a type that there is not":           {of("{type: report, id: d1}"), "spec.resources[0].type: Unsupported value: \"report\": supported values: \"datasource\", \"dataset\", \"metric\", \"dashboard\", \"screen\", \"embedAnalysis\", \"portal\", \"subject\""},
		"a type in another case":             {of("{type: Dashboard, id: d1}"), "Unsupported value: \"Dashboard\""},
		"a resource without a type":          {of("{id: d1}"), "spec.resources[0].type: Required value"},
		"a resource without an id":           {of("{type: dashboard}"), "spec.resources[0].id: Required value"},
		"a resource with an empty id":        {of("{type: dashboard, id: ''}"), "spec.resources[0].id in body should be at least 1 chars long"},
		"an id with a quote":                 {of("{type: dashboard, id: 'd\"1'}"), "spec.resources[0].id in body should match '^[A-Za-z0-9_-]+$'"},
		"an id with a path":                  {of("{type: dashboard, id: a/b}"), "spec.resources[0].id in body should match"},
		"an id of 129 characters":            {of("{type: dashboard, id: " + strings.Repeat("a", 129) + "}"), "may not be more than 128"},
		"a resource with an unknown field":   {of("{type: dashboard, id: d1, name: x}"), "unknown field \"spec.resources[0].name\""},
		"a deletionPolicy that there is not": {with("  deletionPolicy: Revoke\n"), "spec.deletionPolicy: Unsupported value: \"Revoke\": supported values: \"Delete\", \"Retain\""},
		"a history of 1":                     {with("  historyLimit: 1\n"), ""},
		"a history of 100":                   {with("  historyLimit: 100\n"), ""},
		"a history of nothing":               {with("  historyLimit: 0\n"), "spec.historyLimit in body should be greater than or equal to 1"},
		"a history of 101":                   {with("  historyLimit: 101\n"), "spec.historyLimit in body should be less than or equal to 100"},
		"a deadline of a second":             {with("  startingDeadlineSeconds: 1\n"), ""},
		"a deadline of a year":               {with("  startingDeadlineSeconds: 31536000\n"), ""},
		"a deadline of nothing":              {with("  startingDeadlineSeconds: 0\n"), "spec.startingDeadlineSeconds in body should be greater than or equal to 1"},
		"a deadline of more than a year":     {with("  startingDeadlineSeconds: 31536001\n"), "spec.startingDeadlineSeconds in body should be less than or equal to 31536000"},
		"a deadline with a unit":             {with("  startingDeadlineSeconds: 1h\n"), "spec.startingDeadlineSeconds in body must be of type integer"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { tc.check(t, exportManifest(s, tc.spec)) })
	}
}

// TestAdmissionOfPackageNames: files are named after the package, and the service is told its name.
func TestAdmissionOfPackageNames(t *testing.T) {
	s := newSpace(t)
	const (
		mismatch = "spec.packageName in body should match"
		tooLong  = "packageName must be at most 200 bytes"
	)
	tests := map[string]admission{
		"a word":                              {"boards", ""},
		"a letter":                            {"b", ""},
		"a digit":                             {"'7'", ""},
		"an underscore":                       {"_boards", ""},
		"all that may be in it":               {"'Sales (EU) v1.2-rc_3'", ""},
		"a dot at its end":                    {"boards.", ""},
		"Chinese letters":                     {"月度看板 2026", ""},
		"letters with marks of their own":     {`"cafe\u0301"`, ""},
		"66 Chinese letters":                  {strings.Repeat("月", 66), ""},
		"67 Chinese letters":                  {strings.Repeat("月", 67), tooLong},
		"50 letters of four bytes":            {strings.Repeat("𠀀", 50), ""},
		"51 letters of four bytes":            {strings.Repeat("𠀀", 51), tooLong},
		"128 letters":                         {strings.Repeat("a", 128), ""},
		"129 letters":                         {strings.Repeat("a", 129), "spec.packageName: Too long: may not be more than 128"},
		"nothing":                             {"''", "spec.packageName in body should be at least 1 chars long"},
		"a number":                            {"7", "spec.packageName in body must be of type string"},
		"a slash":                             {"a/b", mismatch},
		"a backslash":                         {`'a\b'`, mismatch},
		"a directory above":                   {"../boards", mismatch},
		"the directory above":                 {"'..'", mismatch},
		"a leading dot":                       {".boards", mismatch},
		"a leading minus":                     {"'-boards'", mismatch},
		"a leading space":                     {"' boards'", mismatch},
		"a trailing space":                    {"'boards '", mismatch},
		"spaces":                              {"'  '", mismatch},
		"a mark without a letter":             {`"\u0301"`, mismatch},
		"a colon":                             {"'a:b'", mismatch},
		"a wildcard":                          {"'a*'", mismatch},
		"a percent sign":                      {"'a%2fb'", mismatch},
		"a quote":                             {"'a\"b'", mismatch},
		"a tab":                               {`"a\tb"`, mismatch},
		"a line break":                        {`"a\nb"`, mismatch},
		"a line break at its end":             {`"boards\n"`, mismatch},
		"a zero":                              {`"a\0b"`, mismatch},
		"a space that is none of ASCII":       {`"a\u00a0b"`, mismatch},
		"letters that are written backwards":  {`"a\u202eb"`, mismatch},
		"a character that cannot be seen":     {`"a\u200bb"`, mismatch},
		"a slash that only looks like one":    {`"a\u2215b"`, mismatch},
		"a picture":                           {"📊", mismatch},
		"Chinese brackets, which are no ( ) ": {"月度（看板）", mismatch},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.check(t, exportManifest(s, exported("4f1c2d3e", tc.spec, oneBoard, inDirectory)))
		})
	}
}

// TestAdmissionOfDestinations: an export is stored nowhere but where its namespace may store.
func TestAdmissionOfDestinations(t *testing.T) {
	s := newSpace(t)
	dir := func(path string) string { return "{directory: {path: " + path + "}}" }
	prefix := func(prefix string) string { return intoBucket("prefix: " + prefix) }
	const (
		one      = "exactly one of objectStorage and directory is required"
		path     = "spec.destination.directory.path in body should match"
		begins   = "spec.destination.objectStorage.prefix in body should match"
		segments = "prefix must not hold empty segments, . or .."
		endpoint = "spec.destination.objectStorage.endpoint in body should match"
		bucket   = "spec.destination.objectStorage.bucket in body should match"
	)
	tests := map[string]admission{
		"a directory":                {inDirectory, ""},
		"a bucket":                   {intoBucket(), ""},
		"all of a bucket":            {intoBucket("prefix: insight/", "region: cn-southwest-2"), ""},
		"neither":                    {"{}", one},
		"both":                       {strings.TrimSuffix(intoBucket(), "}") + ", directory: {path: a}}", one},
		"a third":                    {"{directory: {path: a}, ftp: {}}", "unknown field \"spec.destination.ftp\""},
		"a directory without a path": {"{directory: {}}", "spec.destination.directory.path: Required value"},

		"directories in directories":      {dir("a/b/c"), ""},
		"dots inside":                     {dir("a..b/c."), ""},
		"a minus and an underscore":       {dir("-a/_b"), ""},
		"an empty path":                   {dir("''"), "spec.destination.directory.path in body should be at least 1 chars long"},
		"a path of 256 characters":        {dir(strings.Repeat("a", 256)), ""},
		"a path of 257 characters":        {dir(strings.Repeat("a", 257)), "may not be more than 256"},
		"far above":                       {dir("../../etc"), path},
		"from the root":                   {dir("/etc"), path},
		"the root":                        {dir("/"), path},
		"up and down":                     {dir("a/../b"), path},
		"up at the end":                   {dir("a/.."), path},
		"here":                            {dir("'.'"), path},
		"here, inside":                    {dir("a/./b"), path},
		"hidden":                          {dir(".hidden"), path},
		"hidden, inside":                  {dir("a/.hidden"), path},
		"two slashes":                     {dir("a//b"), path},
		"a slash at the end":              {dir("a/"), path},
		"a backslash":                     {dir(`'a\b'`), path},
		"up, by backslashes":              {dir(`'..\..\etc'`), path},
		"a home":                          {dir("'~/a'"), path},
		"a variable":                      {dir("$HOME"), path},
		"a space in a path":               {dir("'a b'"), path},
		"a line break at the end":         {dir(`"a\n"`), path},
		"a zero in a path":                {dir(`"a\0b"`), path},
		"Chinese letters in a path":       {dir("月度"), path},
		"a percent sign in a path":        {dir("'a%2f..'"), path},
		"a prefix without a slash":        {prefix("insight-"), ""},
		"a prefix with Chinese letters":   {prefix("'月度 看板/'"), ""},
		"a prefix that is hidden":         {prefix(".hidden/a"), ""},
		"a prefix with dots inside":       {prefix("a..b/...c"), ""},
		"a prefix of 512 characters":      {prefix(strings.Repeat("a", 512)), ""},
		"a prefix of 170 Chinese letters": {prefix(strings.Repeat("月", 170)), ""},
		"a prefix of 171 Chinese letters": {prefix(strings.Repeat("月", 171)), "prefix must be at most 512 bytes"},
		"a prefix of 513 characters":      {prefix(strings.Repeat("a", 513)), "may not be more than 512"},
		"an empty prefix":                 {prefix("''"), begins},
		"a prefix from the root":          {prefix("/insight"), begins},
		"a prefix that is a slash":        {prefix("/"), begins},
		"a prefix with a backslash":       {prefix(`'a\b'`), begins},
		"a prefix with a leading one":     {prefix(`'\a'`), begins},
		"a prefix with a tab":             {prefix(`"a\tb"`), begins},
		"a prefix with a line break":      {prefix(`"a\n"`), begins},
		"a prefix with a zero":            {prefix(`"a\0"`), begins},
		"a prefix with a delete":          {prefix(`"a\x7f"`), begins},
		"a prefix with two slashes":       {prefix("a//b"), segments},
		"a prefix that goes up":           {prefix("../a"), segments},
		"a prefix that goes up, inside":   {prefix("a/../b"), segments},
		"a prefix that ends above":        {prefix("a/.."), segments},
		"a prefix that is above":          {prefix("'..'"), segments},
		"a prefix that stays, inside":     {prefix("a/./b"), segments},
		"a prefix that stays":             {prefix("'.'"), segments},
		"no endpoint":                     {"{objectStorage: {bucket: exports, secretRef: {name: s}}}", "spec.destination.objectStorage.endpoint: Required value"},
		"an endpoint with a port":         {intoBucket("endpoint: 'https://minio.example.com:9000/'"), ""},
		"an endpoint at an address":       {intoBucket("endpoint: 'https://[2001:db8::1]:9000'"), ""},
		"an endpoint without a scheme":    {intoBucket("endpoint: obs.example.com"), endpoint},
		"an endpoint of another scheme":   {intoBucket("endpoint: 's3://exports'"), endpoint},
		"an endpoint that is a file":      {intoBucket("endpoint: 'file:///etc/passwd'"), endpoint},
		"an endpoint with a path":         {intoBucket("endpoint: 'https://obs.example.com/exports'"), endpoint},
		"an endpoint with a query":        {intoBucket("endpoint: 'https://obs.example.com?a=b'"), endpoint},
		"an endpoint with credentials":    {intoBucket("endpoint: 'https://a:b@obs.example.com'"), endpoint},
		"an endpoint with a zone":         {intoBucket("endpoint: 'https://[fe80::1%25.myhuaweicloud.com]'"), endpoint},
		"an endpoint that is too long":    {intoBucket("endpoint: 'https://" + strings.Repeat("a", 505) + "'"), "may not be more than 512"},
		"no bucket":                       {"{objectStorage: {endpoint: 'https://obs.example.com', secretRef: {name: s}}}", "spec.destination.objectStorage.bucket: Required value"},
		"a bucket with dots and minuses":  {intoBucket("bucket: my.exports-1"), ""},
		"a bucket of 2 characters":        {intoBucket("bucket: ab"), "spec.destination.objectStorage.bucket in body should be at least 3 chars long"},
		"a bucket of 64 characters":       {intoBucket("bucket: " + strings.Repeat("b", 64)), "may not be more than 63"},
		"a bucket in upper case":          {intoBucket("bucket: Exports"), bucket},
		"a bucket with a path":            {intoBucket("bucket: exports/a"), bucket},
		"a bucket that goes up":           {intoBucket("bucket: '../a'"), bucket},
		"a bucket that begins with a dot": {intoBucket("bucket: .exports"), bucket},
		"a bucket that ends with a minus": {intoBucket("bucket: exports-"), bucket},
		"an empty region":                 {intoBucket("region: ''"), "spec.destination.objectStorage.region in body should be at least 1 chars long"},
		"a region with a slash":           {intoBucket("region: a/b"), "spec.destination.objectStorage.region in body should match"},
		"a region of 65 characters":       {intoBucket("region: " + strings.Repeat("r", 65)), "may not be more than 64"},
		"no secret":                       {"{objectStorage: {endpoint: 'https://obs.example.com', bucket: exports}}", "spec.destination.objectStorage.secretRef: Required value"},
		"a secret without a name":         {intoBucket("secretRef: {}"), "spec.destination.objectStorage.secretRef.name: Required value"},
		"a secret with an empty name":     {intoBucket("secretRef: {name: ''}"), "spec.destination.objectStorage.secretRef.name in body should be at least 1 chars long"},
		"a secret with too long a name":   {intoBucket("secretRef: {name: " + strings.Repeat("s", 254) + "}"), "may not be more than 253"},
		"a secret of another namespace":   {intoBucket("secretRef: {name: s, namespace: other}"), "unknown field \"spec.destination.objectStorage.secretRef.namespace\""},
		"keys in the manifest":            {intoBucket("accessKey: a", "secretKey: b"), "unknown field \"spec.destination.objectStorage.accessKey\""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.check(t, exportManifest(s, exported("4f1c2d3e", "boards", oneBoard, tc.spec)))
		})
	}
}

// TestAdmissionOfSchedules: only the form is checked here; times that never come are found when the object is looked at.
func TestAdmissionOfSchedules(t *testing.T) {
	s := newSpace(t)
	const (
		fields = "spec.schedule in body should match"
		zone   = "spec.timeZone in body should match"
	)
	at := func(schedule string) string { return "  schedule: " + schedule + "\n" }
	in := func(zone string) string { return "  timeZone: " + zone + "\n" }
	tests := map[string]admission{
		"every night":                    {at("'0 3 * * *'"), ""},
		"lists, ranges and steps":        {at("'*/15,59 0-6/2 1,15 JAN-MAR MON,wed'"), ""},
		"either day":                     {at("'0 3 ? * 1'"), ""},
		"several spaces":                 {at("'0  3   * * *'"), ""},
		"a macro":                        {at("'@daily'"), fields},
		"an interval":                    {at("'@every 1h'"), fields},
		"four fields":                    {at("'3 * * *'"), fields},
		"six fields":                     {at("'0 0 3 * * *'"), fields},
		"a time zone in it":              {at("'TZ=Asia/Shanghai 0 3 * * *'"), fields},
		"a time zone of cron in it":      {at("'CRON_TZ=Asia/Shanghai 0 3 * * *'"), fields},
		"a time zone for a field":        {at("'TZ=Asia/Shanghai 3 * * *'"), fields},
		"a space before":                 {at("' 0 3 * * *'"), fields},
		"a space after":                  {at("'0 3 * * * '"), fields},
		"tabs":                           {at(`"0\t3\t*\t*\t*"`), fields},
		"two lines":                      {at(`"0 3 * * *\n"`), fields},
		"hashes":                         {at("'0 3 * * 1#2'"), fields},
		"a time of day":                  {at("'03:00'"), fields},
		"an empty text":                  {at("''"), fields},
		"a number for a schedule":        {at("3"), "spec.schedule in body must be of type string"},
		"128 characters":                 {at("'0 3 * * " + strings.Repeat("1,", 59) + "12'"), ""},
		"129 characters":                 {at("'0 3 * * " + strings.Repeat("1,", 60) + "1'"), "spec.schedule: Too long: may not be more than 128"},
		"a city":                         {in("Asia/Shanghai"), ""},
		"a city in a state":              {in("America/Argentina/Buenos_Aires"), ""},
		"an offset by name":              {in("Etc/GMT+8"), ""},
		"UTC":                            {in("UTC"), ""},
		"the machine's zone":             {in("Local"), "timeZone must be an IANA name, such as Asia/Shanghai"},
		"an empty zone":                  {in("''"), "spec.timeZone in body should be at least 1 chars long"},
		"a zone above":                   {in("../../etc/passwd"), zone},
		"a zone with a space":            {in("'Asia/Shang hai'"), zone},
		"a zone with a backslash":        {in(`'Asia\Shanghai'`), zone},
		"a zone with a colon":            {in("':Asia/Shanghai'"), zone},
		"a zone of 65 characters":        {in(strings.Repeat("z", 65)), "may not be more than 64"},
		"an offset":                      {in("'+08:00'"), zone},
		"a zone for a package on demand": {in("Asia/Tokyo"), ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.check(t, exportManifest(s, exported("4f1c2d3e", "boards", oneBoard, inDirectory)+tc.spec))
		})
	}
}

// TestDefaultsOfExports: what a user has not written is written down.
func TestDefaultsOfExports(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	obj := &unstructured.Unstructured{}
	g.Expect(yaml.UnmarshalStrict([]byte(exportManifest(s, exported("4f1c2d3e", "boards", oneBoard, inDirectory))), obj)).To(Succeed())
	g.Expect(bed.Kube.Create(t.Context(), obj, client.DryRunAll)).To(Succeed())
	g.Expect(obj.Object["spec"]).To(Equal(map[string]any{
		"connectionRef": map[string]any{"kind": "Connection", "name": "prod"},
		"workspaceID":   "4f1c2d3e", "packageName": "boards", "resources": []any{map[string]any{"type": "dashboard", "id": "d1"}},
		"timeZone": "UTC", "historyLimit": int64(7), "deletionPolicy": "Retain", "destination": map[string]any{"directory": map[string]any{"path": "monthly"}},
	}))
}

// TestIdentityOfExportsIsImmutable: what names the stored files, and whose they are, stays; all else may change.
func TestIdentityOfExportsIsImmutable(t *testing.T) {
	s := newSpace(t)
	export := &v1alpha1.ResourcePackageExport{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "boards"},
		Spec: v1alpha1.ResourcePackageExportSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "insight"}, WorkspaceID: "4f1c2d3e", PackageName: "boards",
			Resources:   []v1alpha1.ExportedResource{{Type: "dashboard", ID: "d1"}},
			Destination: v1alpha1.ExportDestination{Directory: &v1alpha1.DirectoryDestination{Path: "monthly"}}, Suspend: true,
		},
	}
	create(t, export)
	tests := map[string]struct{ patch, want string }{
		"another connection":            {`{"spec":{"connectionRef":{"name":"other"}}}`, "connectionRef is immutable: an export by another account is another object"},
		"another kind of connection":    {`{"spec":{"connectionRef":{"kind":"ClusterConnection"}}}`, "connectionRef is immutable"},
		"the default kind, written out": {`{"spec":{"connectionRef":{"kind":"Connection"}}}`, ""},
		"another name":                  {`{"spec":{"packageName":"other"}}`, "packageName is immutable: an export under another name is another object"},
		"the name in another case":      {`{"spec":{"packageName":"Boards"}}`, "packageName is immutable"},
		"another workspace":             {`{"spec":{"workspaceID":"other"}}`, ""},
		"other resources":               {`{"spec":{"resources":[{"type":"screen","id":"s1"}]}}`, ""},
		"a bucket for the directory":    {`{"spec":{"destination":{"directory":null,"objectStorage":{"endpoint":"https://obs.example.com","bucket":"exports","secretRef":{"name":"s"}}}}}`, ""},
		"a bucket beside the directory": {`{"spec":{"destination":{"objectStorage":{"endpoint":"https://obs.example.com","bucket":"exports","secretRef":{"name":"s"}}}}}`, "exactly one of objectStorage and directory is required"},
		"all else":                      {`{"spec":{"schedule":"0 3 * * *","timeZone":"Asia/Shanghai","startingDeadlineSeconds":60,"historyLimit":1,"skipUnchanged":true,"deletionPolicy":"Delete","suspend":false}}`, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			obj := export.DeepCopy()
			err := bed.Kube.Patch(t.Context(), obj, client.RawPatch(types.MergePatchType, []byte(tc.patch)), client.DryRunAll)
			if tc.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(tc.want)))
		})
	}
}
