package controllers_test

import (
	"context"
	"net/http"
	"path"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// TestAttackTheNextTimeIsKept: at status.nextScheduleTime there is a run, whatever a clock that was wrong, or somebody else, has left in the
// status.
func TestAttackTheNextTimeIsKept(t *testing.T) {
	tests := map[string]func(*simulation) *metav1.Time{
		"handled until next year, when a clock was wrong": func(s *simulation) *metav1.Time { return new(metav1.NewTime(s.clock.Now().AddDate(1, 0, 0))) },
		"handled until nobody knows when":                 func(*simulation) *metav1.Time { return nil },
	}
	for name, until := range tests {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule = "0 3 * * *" })
			s.exporting(s.export)
			found := stored(s.harness, s.export)
			found.Status.ScheduleHandledUntil = until(s)
			s.must(s.kube.Status().Update(t.Context(), found))
			s.restart()
			found, _ = s.exporting(s.export)
			at := found.Status.NextScheduleTime
			if at == nil {
				t.Fatal("no nextScheduleTime")
			}
			s.until(at.Add(time.Second))
			found, _ = s.exporting(s.export)
			if len(found.Status.Exports) != 2 {
				t.Errorf("the status said that the schedule is due at %s, and then nothing was exported", at)
			}
		})
	}
}

// TestAttackARestThatEndsNextYear: a clock that was wrong when an export failed does not put it off for ever.
func TestAttackARestThatEndsNextYear(t *testing.T) {
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

// TestAttackAServiceThatSaysOneSecond: a failing export backs off, though each refusal says that the next call may come in a second.
func TestAttackAServiceThatSaysOneSecond(t *testing.T) {
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

// TestAttackFourThatAreAlwaysDue: objects whose next run is due when the last has ended do not keep all others from running.
func TestAttackFourThatAreAlwaysDue(t *testing.T) {
	h, _ := exportWorld(t)
	hogs := make([]*v1alpha1.ResourcePackageExport, 4)
	for i, name := range []string{"a", "b", "c", "d"} {
		hogs[i] = exportNamed(name, func(s *v1alpha1.ResourcePackageExportSpec) { s.Destination.Directory.Path, s.HistoryLimit = name, 100 })
		h.create(hogs[i])
		_, _ = h.pass(hogs[i])
	}
	waiting := exportNamed("waiting")
	h.create(waiting)
	_, _ = h.pass(waiting)
	for range 40 {
		// Each hog is asked for again before its run ends, as with a schedule that comes more often than runs take.
		for _, hog := range hogs {
			h.annotate(hog, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
		}
		name := ""
		select {
		case e := <-h.wake:
			name = e.Object.GetName()
		case <-time.After(5 * time.Second):
			t.Fatal("nothing goes on")
		}
		if name == waiting.Name {
			return
		}
		for _, hog := range hogs {
			if hog.Name == name {
				_, _ = h.pass(hog)
			}
		}
		h.advance(5 * time.Second)
		_, _ = h.pass(waiting)
		if stored(h, waiting).Status.Run.Attempts > 0 {
			return
		}
	}
	t.Errorf("after forty stages of four others it has not been started: %s", describe(stored(h, waiting)))
}

// TestAttackUnchangedAtAnotherPlace: with skipUnchanged, a package is stored in the place that the spec names now.
func TestAttackUnchangedAtAnotherPlace(t *testing.T) {
	h, root := exportWorld(t)
	export := newExport(func(s *v1alpha1.ResourcePackageExportSpec) { s.SkipUnchanged = true })
	h.create(export)
	h.exporting(export)
	h.advance(minute)
	edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Destination.Directory.Path = "weekly" })(h, export)
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	for _, file := range visible(t, root) {
		if strings.HasPrefix(file, namespace+"/weekly/") {
			return
		}
	}
	t.Errorf("the object is Ready, and nothing is in the directory that it names: %q", visible(t, root))
}

// TestAttackMessagesAreStable: a failure that repeats says the same.
func TestAttackMessagesAreStable(t *testing.T) {
	h, root := exportWorld(t)
	export := newExport()
	h.create(export)
	var messages []string
	for range 2 {
		_, _ = h.pass(export)
		h.awaken()
		name := packageOfBoard + "-" + stored(h, export).Status.Run.StartedAt.UTC().Format("20060102T150405Z") + "-" + h.exportSum()[:12] + ".zip"
		h.must(writeFile(path.Join(root, namespace, "monthly", name)))
		found, _ := h.exporting(export)
		messages = append(messages, conditions.ReadyCondition(found).Message)
		h.advance(minute)
	}
	if messages[0] != messages[1] {
		t.Errorf("the same failure says %q and then %q", messages[0], messages[1])
	}
}

// TestAttackQuietWhileItWaitsOrFails: passes that change nothing write nothing.
func TestAttackQuietWhileItWaitsOrFails(t *testing.T) {
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
	t.Run("without its connection", func(t *testing.T) {
		h, _ := exportWorld(t)
		secretHas("huawei", map[string]string{})(h)
		export := newExport()
		h.create(export)
		h.exporting(export)
		version := stored(h, export).ResourceVersion
		for range 3 {
			h.advance(minute)
			h.exporting(export)
		}
		if stored(h, export).ResourceVersion != version {
			t.Error("it is written though nothing changes")
		}
	})
	t.Run("waiting for room", func(t *testing.T) {
		h, _ := exportWorld(t)
		h.cloud.Inject(fakecloud.Fault{Service: "insight", Kind: fakecloud.FaultSlowStream, BytesPerSecond: 10})
		for _, name := range []string{"a", "b", "c", "d"} {
			export := exportNamed(name)
			h.create(export)
			_, _ = h.pass(export)
		}
		export := newExport()
		h.create(export)
		_, _ = h.pass(export)
		for range 3 {
			h.quiet(export)
		}
		mustBe(t, stored(h, export), metav1.ConditionFalse, v1alpha1.ReasonExportRunning)
	})
	t.Run("with a removal that fails", func(t *testing.T) {
		h, s3 := bucketWorld(t)
		export := newExport(toBucket(s3), func(s *v1alpha1.ResourcePackageExportSpec) { s.HistoryLimit = 1 })
		h.create(export)
		h.exporting(export)
		h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			if r.Method == http.MethodDelete {
				return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
			}
			return next.RoundTrip(r)
		})
		h.advance(minute)
		h.annotate(export, v1alpha1.RequestedAtAnnotation, "now")
		h.exporting(export)
		mustBe(t, stored(h, export), metav1.ConditionFalse, v1alpha1.ReasonDestinationDenied)
		version := stored(h, export).ResourceVersion
		for range 3 {
			h.advance(minute)
			h.exporting(export)
		}
		if stored(h, export).ResourceVersion != version {
			t.Error("it is written though nothing changes")
		}
	})
}

// TestAttackEveryWriteMayFail, before it is made or after, in the life of an export with each destination: in the end all that is there is
// listed, once.
func TestAttackEveryWriteMayFail(t *testing.T) {
	for _, kind := range []string{"directory", "bucket"} {
		for _, when := range []string{"before", "after", "before conflict", "before crash", "after crash"} {
			t.Run(kind+" "+when, func(t *testing.T) {
				for n := 1; n <= 12; n++ {
					h, files, change := anyWorld(t, kind)
					count, crashed := 0, false
					fail := func(int) error {
						if count++; count != n {
							return nil
						}
						switch {
						case strings.HasSuffix(when, "crash"):
							crashed = true
						case strings.HasSuffix(when, "conflict"):
							return apierrors.NewConflict(schema.GroupResource{}, "boards", errNetwork)
						}
						return errNetwork
					}
					if strings.HasPrefix(when, "before") {
						h.beforeWrite = fail
					} else {
						h.afterWrite = fail
					}
					export := newExport(change, func(s *v1alpha1.ResourcePackageExportSpec) { s.HistoryLimit = 1 })
					h.create(export)
					live := func() {
						for range 4 {
							for range 6 {
								_, err := h.pass(export)
								if err != nil && crashed {
									crashed = false
									h.restart()
								}
								if err == nil && len(h.progress()) == 0 {
									break
								}
								select {
								case <-h.wake:
								case <-time.After(100 * time.Millisecond):
								}
							}
							h.advance(minute)
						}
					}
					live()
					h.annotate(export, v1alpha1.RequestedAtAnnotation, "now")
					live()
					found := stored(h, export)
					mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
					if got := files(); len(found.Status.Exports) != 1 || len(got) != 1 || got[0] != locations(found)[0] {
						t.Errorf("write %d: listed %q, there %q", n, locations(found), got)
					}
					edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete })(h, export)
					live()
					h.must(h.kube.Delete(context.Background(), stored(h, export)))
					live()
					if got := files(); len(got) != 0 || stored(h, export) != nil {
						t.Errorf("write %d: after the deletion %q and %s", n, got, describe(stored(h, export)))
					}
					if h.beforeWrite == nil && h.afterWrite == nil || count < n {
						return
					}
				}
			})
		}
	}
}

func anyWorld(t *testing.T, kind string) (h *harness, files func() []string, change func(*v1alpha1.ResourcePackageExportSpec)) {
	t.Helper()
	if kind == "bucket" {
		h, s3 := bucketWorld(t)
		return h, func() []string { return inBucket(h, s3) }, toBucket(s3)
	}
	h, root := exportWorld(t)
	return h, func() []string { return visible(t, root) }, func(*v1alpha1.ResourcePackageExportSpec) {}
}
