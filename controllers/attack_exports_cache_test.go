package controllers_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// lateCache is a cache that has not seen the last writes, as an informer's has not for some milliseconds.
type lateCache struct {
	client.WithWatch
	frozen *v1alpha1.ResourcePackageExport
}

func (c *lateCache) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if export, ok := obj.(*v1alpha1.ResourcePackageExport); ok && c.frozen != nil {
		c.frozen.DeepCopyInto(export)
		return nil
	}
	return c.WithWatch.Get(ctx, key, obj, opts...)
}

// lateWorld is an exportWorld whose operator reads through a cache that can be late.
func lateWorld(t *testing.T) (*harness, *lateCache) {
	t.Helper()
	h, _ := exportWorld(t)
	cache := &lateCache{WithWatch: h.kube}
	h.operate(cache, openapi.NewHTTPClient())
	return h, cache
}

// awaken waits until a job has ended.
func (h *harness) awaken() {
	h.t.Helper()
	select {
	case <-h.wake:
	case <-time.After(jobTime):
		h.t.Fatal("the job does not end")
	}
}

// safePass makes a pass and reports a panic as an error.
func (h *harness) safePass(export *v1alpha1.ResourcePackageExport) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
			h.t.Errorf("the pass %v", err)
		}
	}()
	_, err = h.pass(export)
	return err
}

// TestAttackALateCacheWhileStoring: a small file is stored before the cache has the write that says what is being stored.
func TestAttackALateCacheWhileStoring(t *testing.T) {
	for name, deleted := range map[string]bool{"of an object that stays": false, "of an object that goes": true} {
		t.Run(name, func(t *testing.T) {
			h, cache := lateWorld(t)
			export := newExport()
			h.create(export)
			_ = h.safePass(export)
			h.awaken() // received
			before := stored(h, export)
			if deleted {
				before.DeletionTimestamp = new(metav1.NewTime(h.clock.Now()))
			}
			_ = h.safePass(export)
			h.awaken() // stored
			cache.frozen = before
			_ = h.safePass(export)
			cache.frozen = nil
			found, _ := h.exporting(export)
			if len(found.Status.Exports) != 1 {
				t.Errorf("%d exports, want one: %+v", len(found.Status.Exports), found.Status)
			}
			if n := len(h.cloud.Journal()); n != 1 {
				t.Errorf("%d calls, want one", n)
			}
		})
	}
}

// TestAttackALateCacheAfterAWait: the package has arrived before the cache has the write that says when its export was started.
func TestAttackALateCacheAfterAWait(t *testing.T) {
	h, cache := lateWorld(t)
	secretHas("huawei", map[string]string{})(h)
	export := newExport()
	h.create(export)
	h.exporting(export) // the connection is not ready, and status.run has no startedAt
	huaweiKeys(h)
	h.advance(time.Minute)
	before := stored(h, export)
	if before.Status.Run == nil || before.Status.Run.StartedAt != nil {
		t.Fatalf("status.run %+v", before.Status.Run)
	}
	_ = h.safePass(export)
	h.awaken()
	cache.frozen = before
	_ = h.safePass(export)
	cache.frozen = nil
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if n := len(h.cloud.Journal()); n != 1 {
		t.Errorf("%d calls, want one", n)
	}
}

// TestAttackALateCacheThrowsNothingAway: a package of gigabytes is not received twice because the cache is a moment behind.
func TestAttackALateCacheThrowsNothingAway(t *testing.T) {
	h, cache := lateWorld(t)
	export := newExport()
	h.create(export)
	h.exporting(export)
	h.advance(time.Minute)
	h.annotate(export, v1alpha1.RequestedAtAnnotation, "now")
	before := stored(h, export)
	_ = h.safePass(export)
	h.awaken()
	cache.frozen = before
	_ = h.safePass(export)
	cache.frozen = nil
	h.exporting(export)
	if n := len(h.cloud.Journal()); n != 2 {
		t.Errorf("%d calls, want two", n)
	}
}

// TestAttackAStatusEditWhileAJobRuns: whoever edits the status must not make the pass panic for ever, with one of the four slots taken.
func TestAttackAStatusEditWhileAJobRuns(t *testing.T) {
	tests := map[string]struct {
		stages int
		edit   func(*v1alpha1.ExportRun)
	}{
		"without the file that is being stored": {2, func(r *v1alpha1.ExportRun) { r.File = nil }},
		"without the start of what is received": {1, func(r *v1alpha1.ExportRun) { r.StartedAt = nil }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h, _ := exportWorld(t)
			export := newExport()
			h.create(export)
			for range tc.stages {
				_ = h.safePass(export)
				h.awaken()
			}
			found := stored(h, export)
			tc.edit(found.Status.Run)
			h.must(h.kube.Status().Update(t.Context(), found))
			for range 3 {
				_ = h.safePass(export)
			}
			if n := len(h.progress()); n > 0 && t.Failed() {
				t.Errorf("%d jobs still hold a slot", n)
			}
		})
	}
}

// TestAttackAForgedFileWhileStoring: what is recorded as stored is what was stored, not what the status says at that moment.
func TestAttackAForgedFileWhileStoring(t *testing.T) {
	h, _ := exportWorld(t)
	export := newExport()
	h.create(export)
	for range 2 {
		_ = h.safePass(export)
		h.awaken()
	}
	found := stored(h, export)
	want := found.Status.Run.File.Location
	found.Status.Run.File.Location = namespace + "/monthly/of-another-object.zip"
	h.must(h.kube.Status().Update(t.Context(), found))
	found, _ = h.exporting(export)
	if got := locations(found); len(got) != 1 || got[0] != want {
		t.Errorf("listed %q, stored %s", got, want)
	}
}
