package controllers_test

import (
	"strings"
	"testing"

	"k8s.io/utils/clock"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics/metricstest"
)

var (
	suspendExport = edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Suspend = true })
	resumeExport  = edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Suspend = false })
)

// TestSuspendedWithANewSpec is not the success of the new spec, though the export of the old one has just been stored.
func TestSuspendedWithANewSpec(t *testing.T) {
	h, _ := exportWorld(t)
	export := newExport()
	h.create(export)
	h.stages(export, 2)
	edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Suspend, s.WorkspaceID = true, "another" })(h, export)
	h.onePass(export)
	found := stored(h, export)
	if conditions.IsReady(found) && conditions.IsCurrent(found) {
		t.Errorf("nothing was exported of the spec of generation %d: %s", found.Generation, describe(found))
	}
}

// TestSuspendedObjectsSayWhatIs: nothing is under way, or waits for anything, of an object that is suspended.
func TestSuspendedObjectsSayWhatIs(t *testing.T) {
	tests := map[string]func(*harness, *v1alpha1.ResourcePackageExport){
		"while it waited for others": func(h *harness, e *v1alpha1.ResourcePackageExport) {
			for _, name := range []string{"a", "b", "c", "d"} {
				other := exportNamed(name)
				h.create(other)
				h.onePass(other)
			}
			h.onePass(e)
			suspendExport(h, e)
		},
		"while the operator was down": func(h *harness, e *v1alpha1.ResourcePackageExport) {
			h.stages(e, 1)
			h.restart()
			suspendExport(h, e)
		},
		"and the first write of that is lost": func(h *harness, e *v1alpha1.ResourcePackageExport) {
			h.stages(e, 1)
			suspendExport(h, e)
			h.loseAWrite()
			h.onePass(e)
		},
	}
	for name, act := range tests {
		t.Run(name, func(t *testing.T) {
			h, _ := exportWorld(t)
			export := newExport()
			h.create(export)
			act(h, export)
			for range 2 {
				h.onePass(export)
			}
			ready := conditions.ReadyCondition(stored(h, export))
			if ready != nil && (strings.Contains(ready.Message, "is under way") || strings.Contains(ready.Message, "waiting for")) {
				t.Errorf("it says %s", describe(stored(h, export)))
			}
		})
	}
}

// TestGivenUpIsNotFailed: an export that was suspended and resumed has not failed.
func TestGivenUpIsNotFailed(t *testing.T) {
	h, _ := exportWorld(t)
	export := newExport()
	h.create(export)
	for range 3 {
		h.onePass(export)
		suspendExport(h, export)
		h.stages(export, 1)
		h.onePass(export)
		resumeExport(h, export)
	}
	h.onePass(export)
	for name, value := range metricstest.Gather(t, metrics.Exports{Reader: h.kube, Clock: clock.RealClock{}, Progress: h.progress}) {
		if strings.HasSuffix(name, "state=Failing") && value != 0 {
			t.Errorf("none has failed, and the metric says %s: %v", name, value)
		}
	}
}

// TestWhatASuspendedObjectLeaves: a process ended while it uploaded; that something may be there is told when nobody knows of it any more.
func TestWhatASuspendedObjectLeaves(t *testing.T) {
	h, s3 := bucketWorld(t)
	export := newExport(toBucket(s3), withFiles)
	h.create(export)
	h.stages(export, 2)
	h.restart()
	suspendExport(h, export)
	h.onePass(export)
	h.must(h.kube.Delete(t.Context(), stored(h, export)))
	h.onePass(export)
	if left := inBucket(h, s3); len(left) > 0 && h.told("Warning LeftBehind") == 0 {
		t.Errorf("nobody was told of %q, which no status has listed", left)
	}
}
