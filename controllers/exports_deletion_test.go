package controllers_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// never answers a request until its caller gives up.
func never(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// silence makes buckets answer nothing any more, and the operator impatient.
func (h *harness) silence() {
	h.exportOptions.StorageTimeout = 50 * time.Millisecond
	h.wayTo(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) { return never(r) })
}

// TestADeletionSaysThatTheBucketDoesNotAnswer: the user learns why the object does not go.
func TestADeletionSaysThatTheBucketDoesNotAnswer(t *testing.T) {
	h, s3 := bucketWorld(t)
	export := newExport(toBucket(s3), withFiles)
	h.create(export)
	h.exporting(export)
	h.silence()
	h.must(h.kube.Delete(t.Context(), stored(h, export)))
	h.passInTime(export)
	mustBe(t, stored(h, export), metav1.ConditionFalse, v1alpha1.ReasonDestinationUnavailable)
}

// TestARetainedObjectGoesThoughTheBucketDoesNotAnswer: an attempt was interrupted, and where it was is not to be reached.
func TestARetainedObjectGoesThoughTheBucketDoesNotAnswer(t *testing.T) {
	h, s3 := bucketWorld(t)
	export := newExport(toBucket(s3))
	h.create(export)
	h.stages(export, 2)
	h.silence()
	h.must(h.kube.Delete(t.Context(), stored(h, export)))
	h.passInTime(export)
	if found := stored(h, export); found != nil {
		t.Errorf("it is kept: %s", describe(found))
	}
}

// TestADeletionOfManyFilesGetsOn: what one pass has removed, the next does not remove again, or a long list is never done.
func TestADeletionOfManyFilesGetsOn(t *testing.T) {
	h, s3 := bucketWorld(t)
	export := newExport(toBucket(s3), withFiles)
	h.create(export)
	for range 3 {
		h.exporting(export)
		h.advance(time.Minute)
		h.annotate(export, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
	}
	found := stored(h, export)
	if len(found.Status.Exports) != 3 {
		t.Fatalf("%d exports", len(found.Status.Exports))
	}
	var removals atomic.Int64
	h.exportOptions.StorageTimeout = 400 * time.Millisecond
	h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if r.Method == http.MethodDelete && removals.Add(1) > 1 {
			return never(r)
		}
		return next.RoundTrip(r)
	})
	h.must(h.kube.Delete(t.Context(), found))
	h.passInTime(export)
	if found := stored(h, export); found == nil || len(found.Status.Exports) != 2 {
		t.Errorf("one of three files is removed, and it says %s", describe(found))
	}
}
