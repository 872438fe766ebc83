package controllers_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// until makes passes over an export, and lets time pass between them, until it is as wanted.
func (h *harness) until(export *v1alpha1.ResourcePackageExport, wanted func(*v1alpha1.ResourcePackageExport) bool) *v1alpha1.ResourcePackageExport {
	h.t.Helper()
	for range 30 {
		found, _ := h.exporting(export)
		if wanted(found) {
			return found
		}
		h.advance(backoff)
	}
	h.t.Fatalf("it does not get there: %s", describe(stored(h, export)))
	return nil
}

// exportLife exports twice, with a history of one, and deletes everything. there tells what is stored at a destination, and left what is not
// complete.
func exportLife(h *harness, change func(*v1alpha1.ResourcePackageExportSpec), there, left func() []string) {
	h.t.Helper()
	export := newExport(change, func(s *v1alpha1.ResourcePackageExportSpec) {
		s.HistoryLimit, s.DeletionPolicy = 1, v1alpha1.DeletionDelete
	})
	h.create(export)
	station := func(name string) {
		h.t.Helper()
		found := h.until(export, func(e *v1alpha1.ResourcePackageExport) bool {
			return conditionIsTrue(e) && e.Status.Exports[0].SHA256 == h.exportSum()
		})
		if diff := cmp.Diff(locations(found), there()); diff != "" || len(found.Status.Exports) != 1 {
			h.t.Errorf("%s: files (-in status +there):\n%s", name, diff)
		}
	}
	station("created")
	h.advance(time.Minute)
	h.must(h.cloud.ChangeInsightResource(huaweiProject, insightSpace, "dashboard", "d1"))
	h.annotate(export, v1alpha1.RequestedAtAnnotation, "now")
	station("asked for")
	h.delete(export)
	h.until(export, func(e *v1alpha1.ResourcePackageExport) bool { return e == nil })
	if files := slices.Concat(there(), left()); len(files) > 0 {
		h.t.Errorf("left behind: %q", files)
	}
}

// directoryLife is an exportLife in a directory.
func directoryLife(h *harness) {
	root := h.takeExports()
	exportLife(h, func(*v1alpha1.ResourcePackageExportSpec) {}, func() []string { return visible(h.t, root) }, func() []string {
		left, err := filepath.Glob(filepath.Join(root, namespace, "monthly", ".*"))
		h.must(err)
		return left
	})
}

// bucketLife is an exportLife in a bucket.
func bucketLife(s3 *testbed.S3) func(*harness) {
	return func(h *harness) {
		h.takeExports()
		h.create(bucketSecret(s3))
		h.must(h.cloud.SetInsightSize(huaweiProject, insightSpace, "dashboard", "d1", 20<<20)) // two parts
		exportLife(h, toBucket(s3), func() []string { return inBucket(h, s3) }, func() []string {
			left, err := os.ReadDir(h.exportOptions.Spool)
			h.must(err)
			var names []string
			for _, entry := range left {
				names = append(names, entry.Name())
			}
			return names
		})
	}
}

// TestExportsSurviveLostWrites: a crash, a conflict and a lost API server at every write leave nothing behind that is not listed.
func TestExportsSurviveLostWrites(t *testing.T) {
	t.Run("directory", func(t *testing.T) { failAtEveryAPIWrite(t, directoryLife) })
	t.Run("bucket", func(t *testing.T) {
		s3 := testbed.StartS3(t)
		if err := s3.MakeBucket(t.Context(), bucket); err != nil {
			t.Fatal(err)
		}
		failAtEveryAPIWrite(t, bucketLife(s3))
	})
}

// TestExportsSurviveEveryFault: so do the service's faults, at each of its calls.
func TestExportsSurviveEveryFault(t *testing.T) {
	faults := map[string]fakecloud.Fault{
		"throttled": {Kind: fakecloud.FaultThrottle}, "server error": {Kind: fakecloud.FaultServerError}, "HTML page": {Kind: fakecloud.FaultHTML502},
		"lost before": {Kind: fakecloud.FaultDropBefore}, "lost after": {Kind: fakecloud.FaultDropAfter}, "error inside": {Kind: fakecloud.FaultErrorInside},
		"denied": {Kind: fakecloud.FaultAccessDenied}, "cut": {Kind: fakecloud.FaultCutStream, Bytes: 100}, "empty": {Kind: fakecloud.FaultEmptyBody},
		"another host": {Kind: fakecloud.FaultWrongEndpoint},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for after := range 2 {
				for _, times := range []int{1, 3} {
					h := newHarness(t)
					fault.After, fault.Times = after, times
					h.cloud.Inject(fault)
					directoryLife(h)
					if t.Failed() {
						t.Fatalf("after %d calls, %d times", after, times)
					}
				}
			}
		})
	}
}

// TestAnExportThatItsProcessLeft: what a killed process has written is found, or cleaned up, wherever it stopped.
func TestAnExportThatItsProcessLeft(t *testing.T) {
	tests := map[string]struct {
		// leave plays the process that was killed; file is what it was about to store.
		leave func(root string, file *v1alpha1.StoredExport, content []byte) error
		calls int
	}{
		"while it received": {func(root string, _ *v1alpha1.StoredExport, content []byte) error {
			return os.WriteFile(filepath.Join(root, namespace, "monthly", ".uid-boards.part"), content[:100], 0o600)
		}, 1},
		"before the file was visible": {func(root string, _ *v1alpha1.StoredExport, content []byte) error {
			return os.WriteFile(filepath.Join(root, namespace, "monthly", ".uid-boards.part"), content, 0o600)
		}, 1},
		"when the file was visible": {func(root string, file *v1alpha1.StoredExport, content []byte) error {
			return os.WriteFile(filepath.Join(root, file.Location), content, 0o600)
		}, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h, root := exportWorld(t)
			export := newExport()
			h.create(export)
			found, _ := h.exporting(export)
			// As it was a moment before.
			file := found.Status.Exports[0]
			content, err := os.ReadFile(filepath.Join(root, file.Location))
			h.must(firstError(err, os.Remove(filepath.Join(root, file.Location))))
			file.CompletedAt = nil
			found.Status.Exports = nil
			found.Status.Run = &v1alpha1.ExportRun{Trigger: v1alpha1.ExportTriggerSpec, Attempts: 1, StartedAt: &file.StartedAt, Destination: namespace + "/monthly/"}
			if !strings.Contains(name, "received") {
				found.Status.Run.File = &file
			}
			h.must(h.kube.Status().Update(t.Context(), found))
			h.must(tc.leave(root, &file, content))
			h.cloud.ResetJournal()
			h.restart()

			h.advance(time.Minute)
			found, _ = h.exporting(export)
			if len(found.Status.Exports) != 1 || len(h.cloud.Journal()) != tc.calls {
				t.Errorf("%d exports and %d calls: %s", len(found.Status.Exports), len(h.cloud.Journal()), describe(found))
			}
			if diff := cmp.Diff(locations(found), visible(t, root)); diff != "" {
				t.Errorf("files (-in status +there):\n%s", diff)
			}
			if left, err := filepath.Glob(filepath.Join(root, namespace, "monthly", ".*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %q, error %v", left, err)
			}
		})
	}
}
