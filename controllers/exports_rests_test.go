package controllers_test

import (
	"testing"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// TestAWrongClockDoesNotPutOffARetry for ever: a rest that ends next year is over.
func TestAWrongClockDoesNotPutOffARetry(t *testing.T) {
	h, _ := exportWorld(t)
	export := newExport()
	h.create(export)
	h.cloud.Inject(fakecloud.Fault{Service: "insight", Times: 1, Kind: fakecloud.FaultServerError})
	found, _ := h.exporting(export)
	found.Status.Run.NextAttemptTime = new(metav1.NewTime(h.clock.Now().AddDate(1, 0, 0)))
	h.must(h.kube.Status().Update(t.Context(), found))
	h.advance(3 * time.Hour)
	found, _ = h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

// TestAFailingExportBacksOff, though each refusal says that the next call may come in a second.
func TestAFailingExportBacksOff(t *testing.T) {
	h, _ := exportWorld(t)
	export := newExport()
	h.create(export)
	h.cloud.Inject(fakecloud.Fault{Service: "insight", Kind: fakecloud.FaultThrottle, RetryAfter: "1"})
	end := h.clock.Now().Add(10 * time.Minute)
	for h.clock.Now().Before(end) {
		_, sleep := h.exporting(export)
		h.advance(max(sleep, time.Second))
	}
	if n := len(h.cloud.Journal()); n > 30 {
		t.Errorf("%d exports were asked for in ten minutes, all of which were refused", n)
	}
}

// TestARefusalIsTriedAgainSoon: a key that was repaired is used some minutes later, however long the package took.
func TestARefusalIsTriedAgainSoon(t *testing.T) {
	h, s3 := bucketWorld(t)
	secretHas("obs", map[string]string{"accessKey": s3.AccessKey, "secretKey": "fake-wrong"})(h)
	export := newExport(toBucket(s3))
	h.create(export)
	h.stages(export, 1)
	h.advance(50 * time.Minute)
	h.stages(export, 1)
	h.onePass(export)
	found := stored(h, export)
	mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonDestinationDenied)
	if wait := found.Status.Run.NextAttemptTime.Sub(h.clock.Now()); wait > 6*time.Minute {
		t.Errorf("it is tried again in %v", wait.Round(time.Minute))
	}
}

// TestAFailureOutlivesASuspension: an export that fails while it is being suspended says so when it goes on and rests.
func TestAFailureOutlivesASuspension(t *testing.T) {
	h, _ := exportWorld(t)
	export := newExport()
	h.create(export)
	h.cloud.Inject(fakecloud.Fault{Service: "insight", Kind: fakecloud.FaultThrottle, RetryAfter: "60"}) // it rests for long
	h.stages(export, 1)
	suspendExport(h, export)
	h.onePass(export)
	resumeExport(h, export)
	h.onePass(export)
	mustBe(t, stored(h, export), metav1.ConditionFalse, v1alpha1.ReasonRemoteUnavailable)
}

// TestAFailureThatRepeatsSaysTheSame, though each attempt has another name for its file.
func TestAFailureThatRepeatsSaysTheSame(t *testing.T) {
	h, root := exportWorld(t)
	export := newExport()
	h.create(export)
	var messages []string
	for range 2 {
		h.stages(export, 1)
		name := packageOfBoard + "-" + stored(h, export).Status.Run.StartedAt.UTC().Format("20060102T150405Z") + "-" + h.exportSum()[:12] + ".zip"
		h.must(writeForeign(root, namespace+"/monthly/"+name))
		found, _ := h.exporting(export)
		mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonExportFailed)
		messages = append(messages, conditions.ReadyCondition(found).Message)
		h.advance(time.Minute)
	}
	if messages[0] != messages[1] {
		t.Errorf("the same failure says %q and then %q", messages[0], messages[1])
	}
}

// TestAPassThatWaitsWritesNothing: passes that change nothing are free.
func TestAPassThatWaitsWritesNothing(t *testing.T) {
	t.Run("resting after a failure", func(t *testing.T) {
		h, _ := exportWorld(t)
		export := newExport(func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule = "0 3 * * *" })
		h.create(export)
		h.cloud.Inject(fakecloud.Fault{Service: "insight", Kind: fakecloud.FaultServerError})
		h.exporting(export)
		h.quiet(export)
		h.restart()
		h.quiet(export)
	})
	t.Run("waiting for room", func(t *testing.T) {
		h, _ := exportWorld(t)
		h.cloud.Inject(fakecloud.Fault{Service: "insight", Kind: fakecloud.FaultSlowStream, BytesPerSecond: 10})
		for _, name := range []string{"a", "b", "c", "d"} {
			export := exportNamed(name)
			h.create(export)
			h.onePass(export)
		}
		export := newExport()
		h.create(export)
		h.onePass(export)
		for range 3 {
			h.quiet(export)
		}
		mustBe(t, stored(h, export), metav1.ConditionFalse, v1alpha1.ReasonExportRunning)
	})
}

// failsQuietly makes passes over an export that fails, minutes apart, and asserts that nothing is written.
func (h *harness) failsQuietly(export *v1alpha1.ResourcePackageExport, reason string) {
	h.t.Helper()
	h.exporting(export)
	mustBe(h.t, stored(h, export), metav1.ConditionFalse, reason)
	writes := h.writes
	for range 3 {
		h.advance(time.Minute)
		h.exporting(export)
	}
	if n := h.writes - writes; n > 0 {
		h.t.Errorf("%d writes though nothing changes", n)
	}
}

// TestAFailureThatRepeatsWritesNothing, where no attempt was made that would be counted.
func TestAFailureThatRepeatsWritesNothing(t *testing.T) {
	t.Run("without its connection", func(t *testing.T) {
		h, _ := exportWorld(t)
		secretHas("huawei", map[string]string{})(h)
		export := newExport()
		h.create(export)
		h.failsQuietly(export, v1alpha1.ReasonConnectionNotReady)
	})
	t.Run("with a removal that fails", func(t *testing.T) {
		h, s3 := bucketWorld(t)
		export := newExport(toBucket(s3), func(s *v1alpha1.ResourcePackageExportSpec) { s.HistoryLimit = 1 })
		h.create(export)
		h.exporting(export)
		h.refuseRemovals()
		h.advance(time.Minute)
		h.annotate(export, v1alpha1.RequestedAtAnnotation, "now")
		h.failsQuietly(export, v1alpha1.ReasonDestinationDenied)
	})
}

// TestNotStalledWhileItRuns: nobody has to do anything any more about an export that is under way.
func TestNotStalledWhileItRuns(t *testing.T) {
	h, root := exportWorld(t)
	export := newExport()
	h.create(export)
	once(cutStream)(h)
	h.exporting(export)
	h.exportOptions.Directory = ""
	h.restart()
	h.advance(time.Minute)
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	h.exportOptions.Directory = root
	h.restart()
	h.onePass(export)
	found = stored(h, export)
	if len(h.progress()) != 1 || apimeta.IsStatusConditionTrue(found.Status.Conditions, v1alpha1.StalledCondition) {
		t.Errorf("%d exports are under way, and the object says %s", len(h.progress()), describe(found))
	}
}

// TestAFailureWhoseWriteIsLost: the next attempt rests all the same.
func TestAFailureWhoseWriteIsLost(t *testing.T) {
	h, _ := exportWorld(t)
	export := newExport()
	h.create(export)
	h.cloud.Inject(fakecloud.Fault{Service: "insight", Kind: cutStream.Kind, Bytes: cutStream.Bytes})
	h.stages(export, 1)
	h.advance(50 * time.Minute)
	h.loseAWrite()
	h.onePass(export)
	h.onePass(export)
	if len(h.progress()) > 0 {
		t.Error("after an attempt of 50 minutes, the next begins at once")
	}
}
