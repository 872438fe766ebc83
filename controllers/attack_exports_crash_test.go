package controllers_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

const minute = time.Minute

// listener counts the requests that it gets.
type listener struct {
	url      string
	requests atomic.Int64
}

func newListener(t *testing.T) *listener {
	t.Helper()
	l := &listener{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		l.requests.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(server.Close)
	l.url = server.URL
	return l
}

// way is what happens on the way to an object storage.
type way func(*http.Request) (*http.Response, error)

func (w way) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

var errNetwork = errors.New("no way to the host")

// wayTo makes the operator reach object storages by a way.
func (h *harness) wayTo(do func(r *http.Request, next http.RoundTripper) (*http.Response, error)) {
	h.exportOptions.Transport = way(func(r *http.Request) (*http.Response, error) { return do(r, http.DefaultTransport) })
	h.restart()
}

func isUpload(r *http.Request, part string) bool {
	return r.Method == http.MethodPut && r.URL.Query().Get("partNumber") == part
}

// big makes the package one of three parts.
func big(h *harness) {
	h.must(h.cloud.SetInsightSize(dashboardAt[0], dashboardAt[1], dashboardAt[2], dashboardAt[3], 40<<20))
}

// TestAttackAnUploadThatIsGivenUpWhileTheBucketIsUnreachable: what could not be aborted then is aborted later.
func TestAttackAnUploadThatIsGivenUpWhileTheBucketIsUnreachable(t *testing.T) {
	tests := map[string]struct {
		giveUp func(*harness, *v1alpha1.ResourcePackageExport)
		goOn   func(*harness, *v1alpha1.ResourcePackageExport)
	}{
		"suspended and resumed": {
			edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Suspend = true }),
			edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Suspend = false }),
		},
		"edited": {edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.HistoryLimit = 3 }), func(*harness, *v1alpha1.ResourcePackageExport) {}},
		"deleted": {func(h *harness, e *v1alpha1.ResourcePackageExport) {
			h.must(h.kube.Delete(h.t.Context(), stored(h, e)))
		}, func(*harness, *v1alpha1.ResourcePackageExport) {}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h, s3 := bucketWorld(t)
			big(h)
			var away, once atomic.Bool
			reached := make(chan struct{})
			h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				switch {
				case away.Load():
					return nil, errNetwork
				case isUpload(r, "2") && once.CompareAndSwap(false, true):
					away.Store(true)
					close(reached)
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return next.RoundTrip(r)
			})
			export := newExport(toBucket(s3), func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete })
			h.create(export)
			_, _ = h.pass(export)
			h.awaken()
			_, _ = h.pass(export)
			<-reached
			tc.giveUp(h, export)
			_, _ = h.pass(export)
			h.awaken()
			if name == "suspended and resumed" {
				_, _ = h.pass(export)
			}
			away.Store(false)
			tc.goOn(h, export)
			for range 3 {
				h.exporting(export)
				h.advance(minute)
			}
			listed := []string(nil)
			if found := stored(h, export); found != nil {
				listed = locations(found)
			}
			if diff := cmp.Diff(listed, inBucket(h, s3)); diff != "" {
				t.Errorf("objects (-in status +there):\n%s", diff)
			}
		})
	}
}

// TestAttackAnUploadWhoseEndIsNotKnown: the object that may have been stored is removed with everything else when the export is deleted.
func TestAttackAnUploadWhoseEndIsNotKnown(t *testing.T) {
	h, s3 := bucketWorld(t)
	var away atomic.Bool
	h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if away.Load() {
			return nil, errNetwork
		}
		response, err := next.RoundTrip(r)
		if r.Method == http.MethodPut {
			away.Store(true)
			return nil, errNetwork
		}
		return response, err
	})
	export := newExport(toBucket(s3), func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete })
	h.create(export)
	_, _ = h.pass(export)
	h.awaken()
	_, _ = h.pass(export)
	h.awaken() // it has failed, and nobody knows what became of the object
	away.Store(false)
	h.must(h.kube.Delete(t.Context(), stored(h, export)))
	h.exporting(export)
	if left := inBucket(h, s3); len(left) > 0 || stored(h, export) != nil {
		t.Errorf("after the deletion: %q and %s", left, describe(stored(h, export)))
	}
}

// TestAttackALookThatFailsAfterACrash: a service that cannot answer for a moment does not make the operator forget what it has stored.
func TestAttackALookThatFailsAfterACrash(t *testing.T) {
	for name, status := range map[string]int{"with an error": http.StatusServiceUnavailable, "for lack of permission": http.StatusForbidden} {
		t.Run(name, func(t *testing.T) {
			h, s3 := bucketWorld(t)
			export := newExport(toBucket(s3))
			h.create(export)
			_, _ = h.pass(export)
			h.awaken()
			_, _ = h.pass(export)
			h.awaken() // stored, and not yet on record
			var heads atomic.Int64
			h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				if r.Method == http.MethodHead && heads.Add(1) == 1 {
					return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
				}
				return next.RoundTrip(r)
			})
			for range 3 {
				h.exporting(export)
				h.advance(minute)
			}
			found := stored(h, export)
			there := inBucket(h, s3)
			told := false
			for len(h.events.Events) > 0 {
				event := <-h.events.Events
				told = told || strings.HasPrefix(event, "Warning LeftBehind")
			}
			if diff := cmp.Diff(locations(found), there); diff != "" && !told {
				t.Errorf("objects that nobody lists and nobody was told of (-in status +there):\n%s", diff)
			}
		})
	}
}

// TestAttackACrashBetweenLinkAndUnlink: the file has its name, and its other name has not been removed.
func TestAttackACrashBetweenLinkAndUnlink(t *testing.T) {
	h, root := exportWorld(t)
	export := newExport(func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete })
	h.create(export)
	_, _ = h.pass(export)
	h.awaken()
	_, _ = h.pass(export)
	h.awaken()
	directory := filepath.Join(root, namespace, "monthly")
	file := stored(h, export).Status.Run.File
	h.must(os.Link(filepath.Join(root, file.Location), filepath.Join(directory, "."+string(export.UID)+".part")))
	h.restart()
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if left := hidden(t, directory); len(left) > 0 {
		t.Errorf("after the recovery there is still %q", left)
	}
	h.must(h.kube.Delete(t.Context(), stored(h, export)))
	h.exporting(export)
	if left := hidden(t, directory); len(left) > 0 {
		t.Errorf("after the deletion with all that was stored there is still %q, with the whole package", left)
	}
}

func hidden(t *testing.T, directory string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	return names
}

// TestAttackTwoObjectsInTheSameSecond export the same package into the same place: each file belongs to one of them.
func TestAttackTwoObjectsInTheSameSecond(t *testing.T) {
	t.Run("in a directory", func(t *testing.T) {
		h, _ := exportWorld(t)
		a, b := exportNamed("a"), exportNamed("b")
		h.create(a)
		h.create(b)
		h.nextSecond()
		_, _ = h.pass(a)
		_, _ = h.pass(b)
		h.awaken()
		h.awaken()
		// b has looked, and finds nothing; while it writes down what it is about to store, a stores.
		h.beforeWrite = func(int) error {
			h.beforeWrite = nil
			_, _ = h.pass(a)
			return nil
		}
		_, _ = h.pass(b)
		ownTheirs(t, h, a, b)
	})
	t.Run("in a bucket", func(t *testing.T) {
		h, s3 := bucketWorld(t)
		var puts atomic.Int64
		both := make(chan struct{})
		h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			if r.Method == http.MethodPut {
				if puts.Add(1) == 2 {
					close(both)
				}
				select {
				case <-both:
				case <-time.After(3 * time.Second):
				}
			}
			return next.RoundTrip(r)
		})
		a, b := exportNamed("a", toBucket(s3)), exportNamed("b", toBucket(s3))
		h.create(a)
		h.create(b)
		h.nextSecond()
		_, _ = h.pass(a)
		_, _ = h.pass(b)
		h.awaken()
		h.awaken()
		_, _ = h.pass(a)
		_, _ = h.pass(b)
		ownTheirs(t, h, a, b)
	})
}

// nextSecond moves the clocks to the beginning of a second.
func (h *harness) nextSecond() {
	now := h.clock.Now()
	h.advance(now.Truncate(time.Second).Add(time.Second).Sub(now))
}

func ownTheirs(t *testing.T, h *harness, a, b *v1alpha1.ResourcePackageExport) {
	t.Helper()
	for range 4 {
		for _, export := range []*v1alpha1.ResourcePackageExport{a, b} {
			_, _ = h.pass(export)
		}
		select {
		case <-h.wake:
		case <-time.After(time.Second):
		}
		h.advance(10 * time.Second)
	}
	for range 3 {
		h.exporting(a)
		h.exporting(b)
	}
	one, other := locations(stored(h, a)), locations(stored(h, b))
	if len(one) != 1 || len(other) != 1 || one[0] == other[0] {
		t.Errorf("a lists %q, b lists %q", one, other)
	}
}

// TestAttackANamespaceIsDeletedAfterARestart: the Secret of the bucket goes before the object, and the operator has been restarted since the
// last export.
func TestAttackANamespaceIsDeletedAfterARestart(t *testing.T) {
	for name, restarted := range map[string]bool{"by the same process": false, "by another process": true} {
		t.Run(name, func(t *testing.T) {
			h, s3 := bucketWorld(t)
			export := newExport(toBucket(s3), func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete })
			h.create(export)
			h.exporting(export)
			if restarted {
				h.restart()
				h.exporting(export) // it looks at all objects when it starts
			}
			h.must(h.kube.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "obs"}}))
			h.must(h.kube.Delete(t.Context(), stored(h, export)))
			h.exporting(export)
			if left := inBucket(h, s3); len(left) > 0 || stored(h, export) != nil {
				t.Errorf("after the deletion: %q and %s", left, describe(stored(h, export)))
			}
		})
	}
}

// TestAttackKeysThatWereRotatedBeforeTheDeletion: what is left to work with are the keys of the last export, however long ago that was.
func TestAttackKeysThatWereRotatedBeforeTheDeletion(t *testing.T) {
	h, s3 := bucketWorld(t)
	h.must(s3.AddUser(t.Context(), "FAKENEWKEY", "fake-new-secret"))
	h.must(s3.AddUser(t.Context(), "FAKEOLDKEY", "fake-old-secret"))
	all := []string{"s3:*"}
	h.must(s3.Allow(t.Context(), bucket, "FAKEOLDKEY", all...))
	secretHas("obs", map[string]string{"accessKey": "FAKEOLDKEY", "secretKey": "fake-old-secret"})(h)
	export := newExport(toBucket(s3), func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete })
	h.create(export)
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	secretHas("obs", map[string]string{"accessKey": "FAKENEWKEY", "secretKey": "fake-new-secret"})(h)
	h.must(s3.Allow(t.Context(), bucket, "FAKENEWKEY", all...))
	h.advance(24 * time.Hour)
	h.quiet(export)
	h.must(h.kube.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "obs"}}))
	h.must(h.kube.Delete(t.Context(), stored(h, export)))
	h.exporting(export)
	if left := inBucket(h, s3); len(left) > 0 || stored(h, export) != nil {
		t.Errorf("after the deletion: %q and %s", left, describe(stored(h, export)))
	}
}

// TestAttackAForgedListRemovesNothingElse: what a user writes into the status does not remove what no export has ever written, though it is
// in the same bucket or in the directory of the same namespace.
func TestAttackAForgedListRemovesNothingElse(t *testing.T) {
	t.Run("in the bucket", func(t *testing.T) {
		h, s3 := bucketWorld(t)
		put(t, s3, "payroll/2026.db")
		export := newExport(toBucket(s3), func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete })
		h.create(export)
		found, _ := h.exporting(export)
		found.Status.Exports[0].Location = "s3://" + bucket + "/payroll/2026.db"
		h.must(h.kube.Status().Update(t.Context(), found))
		h.must(h.kube.Delete(t.Context(), found))
		h.exporting(export)
		if _, err := s3.Stat(t.Context(), bucket, "payroll/2026.db"); err != nil {
			t.Errorf("a foreign object outside the prefix was removed: %v", err)
		}
	})
	t.Run("in the directory", func(t *testing.T) {
		h, root := exportWorld(t)
		foreign := filepath.Join(root, namespace, "weekly", "other-package-20260101T000000Z-0123456789ab.zip")
		h.must(firstError(os.MkdirAll(filepath.Dir(foreign), 0o750), os.WriteFile(foreign, []byte("of another object"), 0o600)))
		export := newExport(func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete })
		h.create(export)
		found, _ := h.exporting(export)
		found.Status.Exports[0].Location = namespace + "/weekly/" + filepath.Base(foreign)
		h.must(h.kube.Status().Update(t.Context(), found))
		h.must(h.kube.Delete(t.Context(), found))
		h.exporting(export)
		if _, err := os.Stat(foreign); err != nil {
			t.Errorf("the file of another package was removed: %v", err)
		}
	})
}

func put(t *testing.T, s3 *testbed.S3, key string) {
	t.Helper()
	core, err := s3.Client("", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := putObject(t, core, key); err != nil {
		t.Fatal(err)
	}
}

// TestAttackACorruptObjectThatCannotBeRemoved is not taken for a good one by the next look, which sees nothing but its size.
func TestAttackACorruptObjectThatCannotBeRemoved(t *testing.T) {
	h, s3 := bucketWorld(t)
	h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if r.Method == http.MethodDelete {
			return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
		}
		response, err := next.RoundTrip(r)
		switch {
		case err != nil:
		case r.Method == http.MethodPut:
			response.Header.Set("ETag", `"an-encrypting-server's"`)
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, ".zip"):
			response.Body = io.NopCloser(io.MultiReader(io.LimitReader(response.Body, 100), strings.NewReader(strings.Repeat("x", int(response.ContentLength)-100))))
		}
		return response, err
	})
	export := newExport(toBucket(s3))
	h.create(export)
	found, _ := h.exporting(export)
	if found.Status.Run == nil || conditionIsTrue(found) {
		t.Fatalf("it was stored well: %s", describe(found))
	}
	h.advance(10 * time.Minute)
	found, _ = h.exporting(export)
	if conditionIsTrue(found) || len(found.Status.Exports) > 0 {
		t.Errorf("an object that was found to be corrupt is listed as a good export: %q, %s", locations(found), describe(found))
	}
}

// TestAttackARunThatWasForged: status.run.file of a user does not make another file an export of this object.
func TestAttackARunThatWasForged(t *testing.T) {
	h, root := exportWorld(t)
	foreign := namespace + "/weekly/other-package-20260101T000000Z-0123456789ab.zip"
	h.must(writeFile(filepath.Join(root, filepath.FromSlash(foreign))))
	export := newExport(func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete })
	h.create(export)
	found, _ := h.exporting(export)
	found.Status.Run = &v1alpha1.ExportRun{
		Trigger: v1alpha1.ExportTriggerRequest, Destination: namespace + "/weekly/",
		File: &v1alpha1.StoredExport{Name: filepath.Base(foreign), Location: foreign, SizeBytes: int64(len("of another object")), SHA256: "0123", StartedAt: metav1.Now()},
	}
	h.must(h.kube.Status().Update(t.Context(), found))
	h.exporting(export)
	h.must(h.kube.Delete(t.Context(), stored(h, export)))
	h.exporting(export)
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(foreign))); err != nil {
		t.Errorf("the file of another package was taken for an export of this object, and removed: %v", err)
	}
}
