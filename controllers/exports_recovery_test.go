package controllers_test

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// way is what happens on the way to an object storage.
type way func(*http.Request) (*http.Response, error)

func (w way) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

var errNetwork = errors.New("no way to the host")

// wayTo makes the operator reach object storages by a way.
func (h *harness) wayTo(do func(r *http.Request, next http.RoundTripper) (*http.Response, error)) {
	h.exportOptions.Transport = way(func(r *http.Request) (*http.Response, error) { return do(r, http.DefaultTransport) })
	h.restart()
}

// refusal is an answer of an object storage that says nothing but its status.
func refusal(r *http.Request, status int) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}
}

// refuseRemovals lets the operator remove nothing from object storages.
func (h *harness) refuseRemovals() {
	h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if r.Method == http.MethodDelete {
			return refusal(r, http.StatusForbidden), nil
		}
		return next.RoundTrip(r)
	})
}

// loseAWrite makes the next write to the API server fail.
func (h *harness) loseAWrite() {
	h.beforeWrite = func(int) error {
		h.beforeWrite = nil
		return errNetwork
	}
}

// isSecondPart tells whether a request uploads the second part of an object.
func isSecondPart(r *http.Request) bool {
	return r.Method == http.MethodPut && r.URL.Query().Get("partNumber") == "2"
}

// threeParts is the size of a package that is uploaded in three parts, in bytes.
const threeParts = 40 << 20

// packageHas sets the size of the package, in bytes.
func (h *harness) packageHas(size int64) {
	h.must(h.cloud.SetInsightSize(dashboardAt[0], dashboardAt[1], dashboardAt[2], dashboardAt[3], size))
}

// withFiles lets the files of an export go with its object.
func withFiles(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete }

// removeAll deletes an export and asserts that nothing of it is left in its bucket.
func (h *harness) removeAll(export *v1alpha1.ResourcePackageExport, s3 *testbed.S3) {
	h.t.Helper()
	h.must(h.kube.Delete(h.t.Context(), stored(h, export)))
	h.exporting(export)
	if left := inBucket(h, s3); len(left) > 0 || stored(h, export) != nil {
		h.t.Errorf("after the deletion: %q and %s", left, describe(stored(h, export)))
	}
}

// breakAtSecondPart cuts the way to the bucket off while the second part of an upload is under way. It returns whether the bucket is out of
// reach, and what is closed when it is.
func (h *harness) breakAtSecondPart() (away *atomic.Bool, reached chan struct{}) {
	var once atomic.Bool
	away, reached = &atomic.Bool{}, make(chan struct{})
	h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		switch {
		case away.Load():
			return nil, errNetwork
		case isSecondPart(r) && once.CompareAndSwap(false, true):
			away.Store(true)
			close(reached)
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return next.RoundTrip(r)
	})
	return away, reached
}

// TestAnUploadThatIsGivenUpIsAborted, later if the bucket cannot be reached when it is given up.
func TestAnUploadThatIsGivenUpIsAborted(t *testing.T) {
	nothing := func(*harness, *v1alpha1.ResourcePackageExport) {}
	tests := map[string]struct {
		giveUp, goOn func(*harness, *v1alpha1.ResourcePackageExport)
	}{
		"suspended and resumed": {
			suspendExport, resumeExport,
		},
		"edited":  {edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.HistoryLimit = 3 }), nothing},
		"deleted": {func(h *harness, e *v1alpha1.ResourcePackageExport) { h.delete(e) }, nothing},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, s3 := bucketWorld(t)
			h.packageHas(threeParts)
			away, reached := h.breakAtSecondPart()
			export := newExport(toBucket(s3), withFiles)
			h.create(export)
			h.stages(export, 1)
			h.onePass(export)
			<-reached
			tc.giveUp(h, export)
			h.stages(export, 1)
			h.onePass(export)
			away.Store(false)
			tc.goOn(h, export)
			for range 3 {
				h.exporting(export)
				h.advance(time.Minute)
			}
			var listed []string
			if found := stored(h, export); found != nil {
				listed = locations(found)
			}
			if diff := cmp.Diff(listed, inBucket(h, s3)); diff != "" {
				t.Errorf("objects (-in status +there):\n%s", diff)
			}
		})
	}
}

// TestAnObjectThatMayBeStoredGoesWithItsExport: an upload whose end is not known is removed with everything else.
func TestAnObjectThatMayBeStoredGoesWithItsExport(t *testing.T) {
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
	export := newExport(toBucket(s3), withFiles)
	h.create(export)
	h.stages(export, 2)
	away.Store(false)
	h.removeAll(export, s3)
}

// TestALookThatFailsForgetsNothing: what was stored before a crash is listed, or told of, though the first look for it fails.
func TestALookThatFailsForgetsNothing(t *testing.T) {
	for name, status := range map[string]int{"with an error": http.StatusServiceUnavailable, "for lack of permission": http.StatusForbidden} {
		t.Run(name, func(t *testing.T) {
			h, s3 := bucketWorld(t)
			export := newExport(toBucket(s3))
			h.create(export)
			h.stages(export, 2)
			var looks atomic.Int64
			h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				if r.Method == http.MethodHead && looks.Add(1) == 1 {
					return refusal(r, status), nil
				}
				return next.RoundTrip(r)
			})
			for range 3 {
				h.exporting(export)
				h.advance(time.Minute)
			}
			if diff := cmp.Diff(locations(stored(h, export)), inBucket(h, s3)); diff != "" && h.told("Warning LeftBehind") == 0 {
				t.Errorf("objects that nobody lists and nobody was told of (-in status +there):\n%s", diff)
			}
		})
	}
}

// TestAPassDoesNotWaitForASilentBucket: there are few who make passes. What is in the bucket is found once it answers.
func TestAPassDoesNotWaitForASilentBucket(t *testing.T) {
	h, s3 := bucketWorld(t)
	export := newExport(toBucket(s3))
	h.create(export)
	h.stages(export, 2)
	var silent atomic.Bool
	silent.Store(true)
	h.exportOptions.StorageTimeout = 50 * time.Millisecond
	h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if silent.Load() {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return next.RoundTrip(r)
	})
	h.passInTime(export)
	mustBe(t, stored(h, export), metav1.ConditionFalse, v1alpha1.ReasonDestinationUnavailable)
	silent.Store(false)
	h.exportOptions.StorageTimeout = 0
	h.restart()
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustHaveExported(export, 1, 1)
}

// TestACrashBetweenLinkAndUnlink: a file that has its name and still has its other name loses the other.
func TestACrashBetweenLinkAndUnlink(t *testing.T) {
	h, root := exportWorld(t)
	export := newExport(withFiles)
	h.create(export)
	h.stages(export, 2)
	directory := filepath.Join(root, namespace, "monthly")
	file := stored(h, export).Status.Run.File
	h.must(os.Link(filepath.Join(root, file.Location), filepath.Join(directory, "."+string(export.UID)+".part")))
	h.restart()
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	nothingLeft := func(when string) {
		if left, err := filepath.Glob(filepath.Join(directory, ".*")); err != nil || len(left) > 0 {
			t.Errorf("after the %s: %q, error %v", when, left, err)
		}
	}
	nothingLeft("recovery")
	h.delete(export)
	h.exporting(export)
	nothingLeft("deletion")
}

// TestACorruptObjectIsNeverListed, though it cannot be removed, and the next look sees nothing but its size.
func TestACorruptObjectIsNeverListed(t *testing.T) {
	h, s3 := bucketWorld(t)
	h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if r.Method == http.MethodDelete {
			return refusal(r, http.StatusForbidden), nil
		}
		response, err := next.RoundTrip(r)
		switch {
		case err != nil:
		case r.Method == http.MethodPut:
			response.Header.Set("ETag", `"an-encrypting-server's"`)
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, ".zip"):
			rest := strings.Repeat("x", int(response.ContentLength)-100)
			response.Body = io.NopCloser(io.MultiReader(io.LimitReader(response.Body, 100), strings.NewReader(rest)))
		}
		return response, err
	})
	export := newExport(toBucket(s3))
	h.create(export)
	for range 2 {
		found, _ := h.exporting(export)
		if found.Status.Run == nil || conditionIsTrue(found) || len(found.Status.Exports) > 0 {
			t.Errorf("listed are %q, and it says %s", locations(found), describe(found))
		}
		h.advance(10 * time.Minute)
	}
}

// TestAStoredExportIsToldOnce, though a write that says so, or the answer to it, is lost.
func TestAStoredExportIsToldOnce(t *testing.T) {
	tests := map[string]func(*harness) *func(int) error{
		"though a write is lost":    func(h *harness) *func(int) error { return &h.beforeWrite },
		"though its answer is lost": func(h *harness) *func(int) error { return &h.afterWrite },
	}
	for name, hook := range tests {
		t.Run(name, func(t *testing.T) {
			h, _ := exportWorld(t)
			export := newExport()
			h.create(export)
			at := hook(h)
			*at = func(int) error {
				if found := stored(h, export); len(found.Status.Exports) == 1 {
					*at = nil
					return errNetwork
				}
				return nil
			}
			for range 3 {
				h.exporting(export)
			}
			if n := h.told("Normal Exported"); n != 1 {
				t.Errorf("it was told %d times that the export was stored", n)
			}
		})
	}
}

// TestKeysThatEndDuringAnUpload: what could not be aborted with the old keys is aborted with the new ones, or somebody is told.
func TestKeysThatEndDuringAnUpload(t *testing.T) {
	h, s3 := bucketWorld(t)
	h.packageHas(threeParts)
	var ended, once atomic.Bool
	h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if isSecondPart(r) && once.CompareAndSwap(false, true) {
			ended.Store(true)
		}
		if ended.Load() {
			return refusal(r, http.StatusForbidden), nil
		}
		return next.RoundTrip(r)
	})
	export := newExport(toBucket(s3), withFiles)
	h.create(export)
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonDestinationDenied)
	ended.Store(false)
	h.advance(10 * time.Minute)
	found, _ = h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	uploads, err := s3.Uploads(t.Context(), bucket)
	h.must(err)
	if len(uploads) > 0 && h.told("Warning LeftBehind") == 0 {
		t.Errorf("parts of an upload that nobody knows of any more: %v", uploads)
	}
}

// TestLocationsOfAnySpelling are stored at, cleaned up, pruned and removed.
func TestLocationsOfAnySpelling(t *testing.T) {
	for _, prefix := range []string{"报表 2026/a b/", "a+b&c=d%20e#f?g/", "100%/~'()*!@$,;:", "é/ü%2F", "a%zz/"} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			h, s3 := bucketWorld(t)
			h.packageHas(threeParts)
			export := newExport(toBucket(s3), withFiles, func(s *v1alpha1.ResourcePackageExportSpec) {
				s.HistoryLimit, s.PackageName, s.Destination.ObjectStorage.Prefix = 1, "月报 (a).b_c", prefix
			})
			h.create(export)
			var away atomic.Bool
			h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				if isSecondPart(r) || away.Load() {
					away.Store(true)
					return nil, errNetwork
				}
				return next.RoundTrip(r)
			})
			h.exporting(export) // an upload is left
			h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) { return next.RoundTrip(r) })
			h.packageHas(1 << 20)
			for range 2 {
				h.advance(10 * time.Minute)
				found, _ := h.exporting(export)
				mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
				if diff := cmp.Diff(locations(found), inBucket(h, s3)); diff != "" {
					t.Errorf("objects (-in status +there):\n%s", diff)
				}
				h.annotate(export, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
			}
			h.removeAll(export, s3)
		})
	}
}
