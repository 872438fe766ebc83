package controllers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// foreignContent is what a file holds that belongs to something else.
const foreignContent = "of another object"

// writeForeign puts a file of something else below a directory.
func writeForeign(root, location string) error {
	name := filepath.Join(root, filepath.FromSlash(location))
	return firstError(os.MkdirAll(filepath.Dir(name), 0o750), os.WriteFile(name, []byte(foreignContent), 0o600))
}

// nextSecond moves the clocks to the beginning of a second.
func (h *harness) nextSecond() {
	now := h.clock.Now()
	h.advance(now.Truncate(time.Second).Add(time.Second).Sub(now))
}

// receivedAtOnce creates two exports of the same package into the same place, which have received it and were started in the same second.
func (h *harness) receivedAtOnce(change ...func(*v1alpha1.ResourcePackageExportSpec)) (a, b *v1alpha1.ResourcePackageExport) {
	h.t.Helper()
	a, b = exportNamed("a", change...), exportNamed("b", change...)
	h.create(a)
	h.create(b)
	h.nextSecond()
	h.onePass(a)
	h.onePass(b)
	h.awaken()
	h.awaken()
	return a, b
}

// mustOwnTheirs lets two exports go on and asserts that each has a file of its own.
func (h *harness) mustOwnTheirs(a, b *v1alpha1.ResourcePackageExport) {
	h.t.Helper()
	for range 3 {
		h.together(a, b)
		h.advance(time.Minute)
	}
	one, other := locations(stored(h, a)), locations(stored(h, b))
	if len(one) != 1 || len(other) != 1 || one[0] == other[0] {
		h.t.Errorf("a lists %q, b lists %q", one, other)
	}
}

// TestEachFileBelongsToOneObject, though two export the same package into the same place in the same second.
func TestEachFileBelongsToOneObject(t *testing.T) {
	// Both have looked already, and found nothing.
	orders := map[string]func(h *harness, a, b *v1alpha1.ResourcePackageExport){
		"one after the other": func(h *harness, a, b *v1alpha1.ResourcePackageExport) {
			h.stages(a, 1)
			h.onePass(a)
			h.onePass(b)
		},
		"one while the other writes down what it stores": func(h *harness, a, b *v1alpha1.ResourcePackageExport) {
			h.beforeWrite = func(int) error {
				h.beforeWrite = nil
				h.onePass(a)
				return nil
			}
			h.onePass(b)
		},
	}
	for name, store := range orders {
		t.Run("a directory, "+name, func(t *testing.T) {
			h, _ := exportWorld(t)
			a, b := h.receivedAtOnce()
			store(h, a, b)
			h.mustOwnTheirs(a, b)
		})
		t.Run("a bucket, "+name, func(t *testing.T) {
			h, s3 := bucketWorld(t)
			a, b := h.receivedAtOnce(toBucket(s3))
			store(h, a, b)
			h.mustOwnTheirs(a, b)
		})
	}
}

// forgeries are what somebody can write into the status of an export so that it names a foreign file.
var forgeries = map[string]func(status *v1alpha1.ResourcePackageExportStatus, within, name string){
	"in the list": func(status *v1alpha1.ResourcePackageExportStatus, within, name string) {
		status.Exports[0].Location = within + name
	},
	"in the run": func(status *v1alpha1.ResourcePackageExportStatus, within, name string) {
		endpoint := status.Exports[0].Endpoint
		status.Run = &v1alpha1.ExportRun{
			Trigger: v1alpha1.ExportTriggerRequest, Destination: within, Endpoint: endpoint,
			File: &v1alpha1.StoredExport{
				Name: name, Location: within + name, Endpoint: endpoint, SizeBytes: int64(len(foreignContent)), SHA256: "0123", StartedAt: metav1.Now(),
			},
		}
	},
}

// TestAForgedStatusRemovesNothingElse: what no export has written stays, though it is in the same bucket or in the directory of the same
// namespace.
func TestAForgedStatusRemovesNothingElse(t *testing.T) {
	for where, forge := range forgeries {
		live := func(h *harness, export *v1alpha1.ResourcePackageExport, within, name string) {
			h.create(export)
			found, _ := h.exporting(export)
			forge(&found.Status, within, name)
			h.must(h.kube.Status().Update(h.t.Context(), found))
			h.exporting(export)
			h.delete(export)
			h.exporting(export)
		}
		t.Run("a bucket, "+where, func(t *testing.T) {
			h, s3 := bucketWorld(t)
			core, err := s3.Client("", "")
			h.must(err)
			_, err = core.Client.PutObject(t.Context(), bucket, "payroll/2026.db", strings.NewReader(foreignContent), int64(len(foreignContent)), minio.PutObjectOptions{})
			h.must(err)
			live(h, newExport(toBucket(s3), withFiles), "s3://"+bucket+"/payroll/", "2026.db")
			if _, err := s3.Stat(t.Context(), bucket, "payroll/2026.db"); err != nil {
				t.Errorf("a foreign object was removed: %v", err)
			}
		})
		t.Run("a directory, "+where, func(t *testing.T) {
			h, root := exportWorld(t)
			const within, name = namespace + "/weekly/", "other-package-20260101T000000Z-0123456789ab.zip"
			h.must(writeForeign(root, within+name))
			live(h, newExport(withFiles), within, name)
			if _, err := os.Stat(filepath.Join(root, within, name)); err != nil {
				t.Errorf("the file of another package was removed: %v", err)
			}
		})
	}
}
