package controllers_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const (
	huaweiProject  = "0a1b2c3d"
	insightSpace   = "4f1c2d3e"
	huaweiKey      = "FAKEHUAWEIKEY"
	huaweiSecret   = "fake-huawei-secret"
	packageOfBoard = "monthly-dashboards"
)

// exportWorld is a harness in which exports can be made, into directories below the one that it returns.
func exportWorld(t testing.TB) (h *harness, root string) {
	t.Helper()
	h = newHarness(t)
	return h, h.takeExports()
}

// takeExports adds a workspace with a dashboard, and a connection to it.
func (h *harness) takeExports() (root string) {
	h.t.Helper()
	root = h.t.TempDir()
	h.must(h.cloud.AddIAMProject(fakecloud.IAMProject{ID: huaweiProject, Name: "cn-southwest-2"}))
	h.must(h.cloud.AddIAMUser(fakecloud.IAMUser{Domain: "corp", Name: "exporter", Password: "fake-password"}))
	h.must(h.cloud.AddIAMKey(fakecloud.IAMKey{AccessKeyID: huaweiKey, SecretAccessKey: huaweiSecret, User: "corp/exporter"}))
	h.must(h.cloud.AddInsightWorkspace(fakecloud.InsightWorkspace{Project: huaweiProject, ID: insightSpace}))
	h.must(h.cloud.AddInsightResource(fakecloud.InsightResource{Project: huaweiProject, Workspace: insightSpace, Type: "dashboard", ID: "d1"}))
	h.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "huawei"},
		Data:       map[string][]byte{"accessKey": []byte(huaweiKey), "secretKey": []byte(huaweiSecret)},
	})
	h.create(&v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "insight", UID: "insight", Generation: 1, Finalizers: []string{v1alpha1.Finalizer}},
		Spec: v1alpha1.ConnectionSpec{HuaweiCloud: &v1alpha1.HuaweiCloudConnection{
			ProjectID: huaweiProject, Endpoints: &v1alpha1.HuaweiCloudEndpoints{DataArtsInsight: h.url, IAM: h.url},
			Credentials: v1alpha1.HuaweiCloudCredentials{SecretRef: v1alpha1.SecretReference{Name: "huawei"}},
		}},
		Status: v1alpha1.ConnectionStatus{SyncStatus: v1alpha1.SyncStatus{ObservedGeneration: -1}},
	})
	h.cloud.ResetJournal()
	h.exportOptions.Directory, h.exportOptions.Spool, h.exportOptions.MaxBytes = root, h.t.TempDir(), 1<<30
	// Before the directories go.
	h.t.Cleanup(func() { h.endExports() })
	h.restart()
	return root
}

func newExport(change ...func(*v1alpha1.ResourcePackageExportSpec)) *v1alpha1.ResourcePackageExport {
	return exportNamed("boards", change...)
}

func exportNamed(name string, change ...func(*v1alpha1.ResourcePackageExportSpec)) *v1alpha1.ResourcePackageExport {
	export := &v1alpha1.ResourcePackageExport{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("uid-" + name), Generation: 1},
		Spec: v1alpha1.ResourcePackageExportSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "insight"}, WorkspaceID: insightSpace, PackageName: packageOfBoard,
			Resources: []v1alpha1.ExportedResource{{Type: "dashboard", ID: "d1"}}, TimeZone: "UTC", HistoryLimit: 7,
			Destination:    v1alpha1.ExportDestination{Directory: &v1alpha1.DirectoryDestination{Path: "monthly"}},
			DeletionPolicy: v1alpha1.DeletionRetain,
		},
		Status: v1alpha1.ResourcePackageExportStatus{SyncStatus: v1alpha1.SyncStatus{ObservedGeneration: -1}},
	}
	for _, c := range change {
		c(&export.Spec)
	}
	return export
}

// jobTime bounds how long a test waits for an export that goes on by itself.
const jobTime = time.Minute

// exporting makes passes over an export until nothing is under way, and returns it with the time that it wants to be left alone.
func (h *harness) exporting(export *v1alpha1.ResourcePackageExport) (*v1alpha1.ResourcePackageExport, time.Duration) {
	h.t.Helper()
	for range 20 {
		result, err := h.pass(export)
		if err != nil {
			h.advance(backoff)
			return stored(h, export), backoff
		}
		switch {
		case len(h.progress()) == 0:
			return stored(h, export), result.RequeueAfter
		case result.RequeueAfter < time.Second:
			continue // a write was lost against another
		}
		select {
		case <-h.wake:
		case <-time.After(jobTime):
			h.t.Fatal("the export neither ends nor fails")
		}
	}
	h.t.Fatal("the export goes on and on")
	return nil, 0
}

// visible are the files below a directory that do not begin with a dot, by their paths.
func visible(t testing.TB, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
			files = append(files, filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator))))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// locations are where the exports of an object are, sorted.
func locations(export *v1alpha1.ResourcePackageExport) []string {
	var out []string
	for _, e := range export.Status.Exports {
		out = append(out, e.Location)
	}
	slices.Sort(out)
	return out
}

// sumOf is the digest of a file.
func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// exportSum is the digest of what the service exports.
func (h *harness) exportSum() string {
	h.t.Helper()
	sum, err := h.cloud.InsightSum(fakecloud.InsightExport{Project: huaweiProject, Workspace: insightSpace, Resources: []string{"dashboard/d1"}})
	h.must(err)
	return sum.SHA256
}

func TestAnExportIsStored(t *testing.T) {
	h, root := exportWorld(t)
	export := newExport()
	h.create(export)
	found, sleep := h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if sleep != 0 {
		t.Errorf("it wants to be looked at again after %v", sleep)
	}
	if len(found.Status.Exports) != 1 || found.Status.Run != nil {
		t.Fatalf("status %+v", found.Status)
	}
	got := found.Status.Exports[0]
	sum := h.exportSum()
	name := packageOfBoard + "-" + got.StartedAt.UTC().Format("20060102T150405Z") + "-" + sum[:12] + ".zip"
	want := v1alpha1.StoredExport{
		Name: name, Location: namespace + "/monthly/" + name, SizeBytes: got.SizeBytes, SHA256: sum, ContentType: "application/octet-stream",
		StartedAt: got.StartedAt, CompletedAt: got.CompletedAt,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the export (-want +got):\n%s", diff)
	}
	content, err := os.ReadFile(filepath.Join(root, got.Location))
	h.must(err)
	if sumOf(content) != sum || int64(len(content)) != got.SizeBytes {
		t.Errorf("the file has %d bytes and another digest", len(content))
	}
	h.quiet(export)
	h.restart()
	h.quiet(export)
	if n := len(h.cloud.Journal()); n != 1 {
		t.Errorf("%d calls, want one", n)
	}
}

func TestWhatMakesAnExportRun(t *testing.T) {
	tests := map[string]struct {
		change func(*harness, *v1alpha1.ResourcePackageExport)
		runs   int
	}{
		"nothing":           {func(*harness, *v1alpha1.ResourcePackageExport) {}, 0},
		"another flag":      {edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.IncludeDatasetTagPermission = true }), 1},
		"another path":      {edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Destination.Directory.Path = "weekly" }), 1},
		"another schedule":  {edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule = "0 3 * * *" }), 1},
		"a deletion policy": {edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete }), 0},
		"a request": {func(h *harness, e *v1alpha1.ResourcePackageExport) {
			h.annotate(e, v1alpha1.RequestedAtAnnotation, "now")
		}, 1},
		"a request and an edit": {func(h *harness, e *v1alpha1.ResourcePackageExport) {
			h.annotate(e, v1alpha1.RequestedAtAnnotation, "now")
			edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.HistoryLimit = 3 })(h, e)
		}, 1},
		"suspended and resumed": {func(h *harness, e *v1alpha1.ResourcePackageExport) {
			edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Suspend = true })(h, e)
			h.exporting(e)
			edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Suspend = false })(h, e)
		}, 0},
		"another annotation": {func(h *harness, e *v1alpha1.ResourcePackageExport) { h.annotate(e, "team", "data") }, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h, root := exportWorld(t)
			export := newExport()
			h.create(export)
			h.exporting(export)
			h.advance(time.Minute)
			tc.change(h, export)
			found, _ := h.exporting(export)
			mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			if n := len(h.cloud.Journal()) - 1; n != tc.runs {
				t.Errorf("%d runs, want %d", n, tc.runs)
			}
			if diff := cmp.Diff(locations(found), visible(t, root)); diff != "" {
				t.Errorf("files (-in status +there):\n%s", diff)
			}
			if want := found.Annotations[v1alpha1.RequestedAtAnnotation]; found.Status.LastHandledReconcileAt != want {
				t.Errorf("lastHandledReconcileAt %q, want %q", found.Status.LastHandledReconcileAt, want)
			}
			h.quiet(export)
		})
	}
}

// edits is a change of the spec of an export.
func edits(change func(*v1alpha1.ResourcePackageExportSpec)) func(*harness, *v1alpha1.ResourcePackageExport) {
	return func(h *harness, e *v1alpha1.ResourcePackageExport) {
		h.t.Helper()
		edited(h, e, func(e *v1alpha1.ResourcePackageExport) { change(&e.Spec) })
	}
}

func TestHistory(t *testing.T) {
	h, root := exportWorld(t)
	export := newExport(func(s *v1alpha1.ResourcePackageExportSpec) { s.HistoryLimit = 3 })
	h.create(export)
	h.exporting(export)
	// What somebody else put there stays.
	foreign := filepath.Join(root, namespace, "monthly", packageOfBoard+"-20200101T000000Z-0123456789ab.zip")
	h.must(os.WriteFile(foreign, []byte("not ours"), 0o600))
	for range 4 {
		h.advance(time.Minute)
		h.must(h.cloud.ChangeInsightResource(huaweiProject, insightSpace, "dashboard", "d1"))
		h.annotate(export, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
		found, _ := h.exporting(export)
		mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		if found.Status.Exports[0].SHA256 != h.exportSum() {
			t.Error("the newest export is not the first")
		}
	}
	found := stored(h, export)
	if len(found.Status.Exports) != 3 {
		t.Errorf("%d exports are kept", len(found.Status.Exports))
	}
	want := append(locations(found), namespace+"/monthly/"+filepath.Base(foreign))
	slices.Sort(want)
	if diff := cmp.Diff(want, visible(t, root)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.HistoryLimit = 1 })(h, export)
	found, _ = h.exporting(export)
	if n := len(visible(t, root)); len(found.Status.Exports) != 1 || n != 2 {
		t.Errorf("with another limit, %d exports and %d files", len(found.Status.Exports), n)
	}
}

// TestAFileThatCannotBeRemovedKeepsNoOthers: all else that is beyond historyLimit is removed.
func TestAFileThatCannotBeRemovedKeepsNoOthers(t *testing.T) {
	h, root := exportWorld(t)
	export := newExport(func(s *v1alpha1.ResourcePackageExportSpec) { s.HistoryLimit = 2 })
	h.create(export)
	found, _ := h.exporting(export)
	first := filepath.Join(root, found.Status.Exports[0].Location)
	h.must(firstError(os.Remove(first), os.MkdirAll(filepath.Join(first, "something"), 0o750)))
	for range 8 {
		h.advance(time.Minute)
		h.annotate(export, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
		found, _ = h.exporting(export)
	}
	if n := len(found.Status.Exports); n > 3 {
		t.Errorf("%d exports are kept with a limit of 2, because one cannot be removed", n)
	}
}

func TestAnUnchangedExportIsStoredOnce(t *testing.T) {
	h, root := exportWorld(t)
	export := newExport(func(s *v1alpha1.ResourcePackageExportSpec) { s.SkipUnchanged = true })
	h.create(export)
	first, _ := h.exporting(export)
	again := func() *v1alpha1.ResourcePackageExport {
		h.advance(time.Hour)
		h.annotate(export, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
		found, _ := h.exporting(export)
		mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		return found
	}
	second := again()
	if len(second.Status.Exports) != 1 || second.Status.Exports[0].UnchangedAt == nil || second.Status.Exports[0].Location != first.Status.Exports[0].Location {
		t.Errorf("unchanged: %+v", second.Status.Exports)
	}
	h.must(h.cloud.ChangeInsightResource(huaweiProject, insightSpace, "dashboard", "d1"))
	if third := again(); len(third.Status.Exports) != 2 {
		t.Errorf("changed: %+v", third.Status.Exports)
	}
	// A file that somebody has removed is not there to be the same.
	newest := stored(h, export).Status.Exports[0]
	h.must(os.Remove(filepath.Join(root, newest.Location)))
	fourth := again()
	if fourth.Status.Exports[0].Location == newest.Location || !slices.Contains(visible(t, root), fourth.Status.Exports[0].Location) {
		t.Errorf("removed: %+v", fourth.Status.Exports)
	}
}

// TestAnUnchangedExportIsStoredWhereTheSpecSays now, though the same package is at the place that it named before.
func TestAnUnchangedExportIsStoredWhereTheSpecSays(t *testing.T) {
	h, root := exportWorld(t)
	export := newExport(func(s *v1alpha1.ResourcePackageExportSpec) { s.SkipUnchanged = true })
	h.create(export)
	h.exporting(export)
	h.advance(time.Minute)
	edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Destination.Directory.Path = "weekly" })(h, export)
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	newest := found.Status.Exports[0]
	if newest.Location != namespace+"/weekly/"+newest.Name || !slices.Contains(visible(t, root), newest.Location) {
		t.Errorf("the newest is %s, there are %q", newest.Location, visible(t, root))
	}
}

func TestLettingAnExportGo(t *testing.T) {
	tests := map[string]struct {
		change func(*v1alpha1.ResourcePackageExportSpec)
		files  int
	}{
		"retained by default":    {func(*v1alpha1.ResourcePackageExportSpec) {}, 1},
		"deleted with its files": {func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete }, 0},
		"suspended, nothing goes": {func(s *v1alpha1.ResourcePackageExportSpec) {
			s.DeletionPolicy, s.Suspend = v1alpha1.DeletionDelete, true
		}, 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h, root := exportWorld(t)
			export := newExport()
			h.create(export)
			h.exporting(export)
			edits(tc.change)(h, export)
			h.must(h.kube.Delete(t.Context(), stored(h, export)))
			h.exporting(export)
			if left := stored(h, export); left != nil {
				t.Errorf("it is still there: %s", describe(left))
			}
			if files := visible(t, root); len(files) != tc.files {
				t.Errorf("files %q, want %d", files, tc.files)
			}
		})
	}
}
