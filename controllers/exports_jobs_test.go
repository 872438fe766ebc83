package controllers_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// onePass makes a pass over an export, whatever it answers.
func (h *harness) onePass(export *v1alpha1.ResourcePackageExport) {
	_, _ = h.pass(export) //nolint:errcheck // what is stored then is what counts
}

// passInTime makes a pass that must end by itself.
func (h *harness) passInTime(export *v1alpha1.ResourcePackageExport) {
	h.t.Helper()
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		h.onePass(export)
	}()
	select {
	case <-passed:
	case <-time.After(jobTime):
		h.t.Fatal("the pass does not end")
	}
}

// awaken waits until a stage of a job has ended, and returns the name of its object.
func (h *harness) awaken() string {
	h.t.Helper()
	select {
	case e := <-h.wake:
		return e.Object.GetName()
	case <-time.After(jobTime):
		h.t.Fatal("the job does not end")
	}
	return ""
}

// stages lets a number of stages of an export begin and end: after the first the package is received, after the second it is stored and
// that is not on record yet.
func (h *harness) stages(export *v1alpha1.ResourcePackageExport, n int) {
	h.t.Helper()
	for range n {
		h.onePass(export)
		h.awaken()
	}
}

// together makes passes over exports until nothing is under way.
func (h *harness) together(exports ...*v1alpha1.ResourcePackageExport) {
	h.t.Helper()
	for range 20 {
		for _, export := range exports {
			h.onePass(export)
		}
		if len(h.progress()) == 0 {
			return
		}
		h.awaken()
	}
	h.t.Fatal("the exports go on and on")
}

// told counts the events that begin with a text, and takes all events away.
func (h *harness) told(text string) (times int) {
	for len(h.events.Events) > 0 {
		if strings.HasPrefix(<-h.events.Events, text) {
			times++
		}
	}
	return times
}

// mustHaveExported asserts how many exports an object lists, and how often the service was asked for one.
func (h *harness) mustHaveExported(export *v1alpha1.ResourcePackageExport, exports, calls int) {
	h.t.Helper()
	if found := stored(h, export); len(found.Status.Exports) != exports {
		h.t.Errorf("%d exports, want %d: %s", len(found.Status.Exports), exports, describe(found))
	}
	if n := len(h.cloud.Journal()); n != calls {
		h.t.Errorf("%d calls, want %d", n, calls)
	}
}

// lateCache is a cache that has not seen the last writes, as an informer's has not for some milliseconds.
type lateCache struct {
	client.WithWatch
	// frozen is what it has seen; nil if all.
	frozen *v1alpha1.ResourcePackageExport
}

func (c *lateCache) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if export, ok := obj.(*v1alpha1.ResourcePackageExport); ok && c.frozen != nil {
		c.frozen.DeepCopyInto(export)
		return nil
	}
	return c.WithWatch.Get(ctx, key, obj, opts...)
}

// lateWorld is an exportWorld whose operator makes a pass by what a cache had seen before, when it is told to.
func lateWorld(t *testing.T) (h *harness, passLate func(export, seen *v1alpha1.ResourcePackageExport)) {
	t.Helper()
	h, _ = exportWorld(t)
	cache := &lateCache{WithWatch: h.kube}
	h.operate(cache, openapi.NewHTTPClient())
	return h, func(export, seen *v1alpha1.ResourcePackageExport) {
		cache.frozen = seen
		h.onePass(export)
		cache.frozen = nil
	}
}

// TestALateCacheDoesNotLoseWhatIsStored: a small file is stored before the cache has the write that says what is being stored.
func TestALateCacheDoesNotLoseWhatIsStored(t *testing.T) {
	for name, deleted := range map[string]bool{"of an object that stays": false, "of an object that goes": true} {
		t.Run(name, func(t *testing.T) {
			h, passLate := lateWorld(t)
			export := newExport()
			h.create(export)
			h.stages(export, 1)
			seen := stored(h, export)
			if deleted {
				seen.DeletionTimestamp = new(metav1.NewTime(h.clock.Now()))
			}
			h.stages(export, 1)
			passLate(export, seen)
			h.exporting(export)
			h.mustHaveExported(export, 1, 1)
		})
	}
}

// TestALateCacheDoesNotLoseTheStart: the package has arrived before the cache has the write that says when its export was started.
func TestALateCacheDoesNotLoseTheStart(t *testing.T) {
	h, passLate := lateWorld(t)
	secretHas("huawei", map[string]string{})(h)
	export := newExport()
	h.create(export)
	h.exporting(export) // the connection is not ready, so the run has not started
	huaweiKeys(h)
	h.advance(time.Minute)
	seen := stored(h, export)
	if seen.Status.Run == nil || seen.Status.Run.StartedAt != nil {
		t.Fatalf("status.run %+v", seen.Status.Run)
	}
	h.stages(export, 1)
	passLate(export, seen)
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.mustHaveExported(export, 1, 1)
}

// TestALateCacheThrowsNothingAway: a package of gigabytes is not received twice because the cache is a moment behind.
func TestALateCacheThrowsNothingAway(t *testing.T) {
	h, passLate := lateWorld(t)
	export := newExport()
	h.create(export)
	h.exporting(export)
	h.advance(time.Minute)
	h.annotate(export, v1alpha1.RequestedAtAnnotation, "now")
	seen := stored(h, export)
	h.stages(export, 1)
	passLate(export, seen)
	h.exporting(export)
	h.mustHaveExported(export, 2, 2)
}

// TestAStatusEditDoesNotDisturbAJob: what a job stores and what is recorded of it is the job's, not what the status says at that moment.
func TestAStatusEditDoesNotDisturbAJob(t *testing.T) {
	tests := map[string]struct {
		stages int
		edit   func(*v1alpha1.ExportRun)
	}{
		"without the start of what is received": {1, func(r *v1alpha1.ExportRun) { r.StartedAt = nil }},
		"without the file that is stored":       {2, func(r *v1alpha1.ExportRun) { r.File = nil }},
		"with the file of another object":       {2, func(r *v1alpha1.ExportRun) { r.File.Location = namespace + "/monthly/of-another-object.zip" }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h, root := exportWorld(t)
			export := newExport()
			h.create(export)
			h.stages(export, tc.stages)
			found := stored(h, export)
			tc.edit(found.Status.Run)
			h.must(h.kube.Status().Update(t.Context(), found))
			found, _ = h.exporting(export)
			mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			if got := locations(found); !slices.Equal(got, visible(t, root)) {
				t.Errorf("listed %q, stored %q", got, visible(t, root))
			}
			h.mustHaveExported(export, 1, 1)
		})
	}
}

// TestAShutdownWhileAnExportBegins: the process can end while a pass writes down that an export begins.
func TestAShutdownWhileAnExportBegins(t *testing.T) {
	h, _ := exportWorld(t)
	export := newExport()
	h.create(export)
	ended := false
	h.beforeWrite = func(int) error {
		if len(h.progress()) == 0 {
			return nil // the finalizer
		}
		h.beforeWrite, ended = nil, true
		h.endExports()
		return nil
	}
	h.passInTime(export)
	if !ended {
		t.Error("no export has begun")
	}
}

// TestAnotherObjectOfTheSameName: what was under way for an object that was removed by force does not hinder the next of its name.
func TestAnotherObjectOfTheSameName(t *testing.T) {
	for name, passes := range map[string]int{"while it received": 1, "while it stored": 2} {
		t.Run(name, func(t *testing.T) {
			h, _ := exportWorld(t)
			export := newExport()
			h.create(export)
			for range passes {
				h.onePass(export)
			}
			found := stored(h, export)
			found.Finalizers = nil
			h.must(h.kube.Update(t.Context(), found))
			h.must(h.kube.Delete(t.Context(), found))
			next := newExport()
			next.UID = types.UID("uid-next")
			h.create(next)
			for range 3 {
				h.exporting(next)
				h.advance(time.Minute)
			}
			found = stored(h, next)
			mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			if len(found.Status.Exports) != 1 || len(h.progress()) != 0 {
				t.Errorf("exports %q, %d jobs", locations(found), len(h.progress()))
			}
		})
	}
}

// TestFourThatAreAlwaysDueLeaveRoom: objects whose next run is due when the last has ended do not keep others from running.
func TestFourThatAreAlwaysDueLeaveRoom(t *testing.T) {
	h, _ := exportWorld(t)
	busy := map[string]*v1alpha1.ResourcePackageExport{}
	for _, name := range []string{"a", "b", "c", "d"} {
		busy[name] = exportNamed(name, func(s *v1alpha1.ResourcePackageExportSpec) { s.Destination.Directory.Path, s.HistoryLimit = name, 100 })
		h.create(busy[name])
		h.onePass(busy[name])
	}
	waiting := exportNamed("waiting")
	h.create(waiting)
	h.onePass(waiting)
	for range 40 {
		// Each is asked for again before its run ends, as with a schedule that comes more often than runs take.
		for _, export := range busy {
			h.annotate(export, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
		}
		h.onePass(busy[h.awaken()])
		h.advance(5 * time.Second)
		h.onePass(waiting)
		if stored(h, waiting).Status.Run.Attempts > 0 {
			return
		}
	}
	t.Errorf("after forty stages of four others it has not been started: %s", describe(stored(h, waiting)))
}

// TestWhoDoesNotWaitAnyMore holds up nobody: there is room, and the next in line asks for it.
func TestWhoDoesNotWaitAnyMore(t *testing.T) {
	tests := map[string]func(*harness, *v1alpha1.ResourcePackageExport){
		"deleted": func(h *harness, e *v1alpha1.ResourcePackageExport) {
			h.must(h.kube.Delete(h.t.Context(), stored(h, e)))
		},
		"suspended": suspendExport,
	}
	for name, leave := range tests {
		t.Run(name, func(t *testing.T) {
			h, _ := exportWorld(t)
			busy := map[string]*v1alpha1.ResourcePackageExport{}
			for _, name := range []string{"a", "b", "c", "d"} {
				busy[name] = exportNamed(name, func(s *v1alpha1.ResourcePackageExportSpec) { s.Destination.Directory.Path = name })
				h.create(busy[name])
				h.onePass(busy[name])
			}
			first, second := exportNamed("first"), exportNamed("second")
			for _, export := range []*v1alpha1.ResourcePackageExport{first, second} {
				h.create(export)
				h.onePass(export)
			}
			leave(h, first)
			h.onePass(first)
			for len(h.progress()) == 4 {
				h.onePass(busy[h.awaken()])
			}
			h.advance(5 * time.Second)
			h.onePass(second)
			if len(h.progress()) < 4 {
				t.Errorf("three exports are under way, and one goes on waiting: %s", describe(stored(h, second)))
			}
		})
	}
}

// halted is a body of which no more than its first bytes come, until its reader gives up.
type halted struct {
	io.ReadCloser
	rest    int
	reached chan struct{}
	ended   <-chan struct{}
}

func (b *halted) Read(p []byte) (int, error) {
	if b.rest == 0 {
		close(b.reached)
		<-b.ended
		return 0, errNetwork
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.rest)])
	b.rest -= n
	return n, err
}

// TestProgressDoesNotGoBack: a pass for another reason, a moment after the status said how far an export is, leaves that.
func TestProgressDoesNotGoBack(t *testing.T) {
	h, _ := exportWorld(t)
	h.packageHas(threeParts)
	reached, service := make(chan struct{}), openapi.NewHTTPClient()
	next := service.Transport
	service.Transport = way(func(r *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(r)
		if err == nil {
			response.Body = &halted{ReadCloser: response.Body, rest: 1 << 20, reached: reached, ended: r.Context().Done()}
		}
		return response, err
	})
	h.operate(h.kube, service)
	export := newExport()
	h.create(export)
	h.onePass(export)
	<-reached
	h.advance(11 * time.Second)
	for range 2 {
		h.onePass(export)
		if got := stored(h, export).Status.Run.BytesReceived; got != 1<<20 {
			t.Errorf("status.run.bytesReceived is %d, received are %d", got, 1<<20)
		}
		h.advance(time.Second)
	}
}

// TestFailedExportsLeaveNothingOpen, however they fail.
func TestFailedExportsLeaveNothingOpen(t *testing.T) {
	h, _ := exportWorld(t)
	open := func() int {
		entries, err := os.ReadDir("/dev/fd")
		h.must(err)
		return len(entries)
	}
	export := newExport()
	h.create(export)
	var before int
	for round := range 4 {
		for _, fault := range []fakecloud.Fault{
			{Kind: fakecloud.FaultCutStream, Bytes: 1000}, {Kind: fakecloud.FaultHTMLPage}, {Kind: fakecloud.FaultServerError}, {Kind: fakecloud.FaultEmptyBody},
		} {
			once(fault)(h)
			h.annotate(export, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
			h.exporting(export)
			h.advance(10 * time.Minute)
			h.exporting(export)
		}
		if round == 1 {
			before = open()
		}
	}
	if after := open(); after > before+3 {
		t.Errorf("%d files are open, before it were %d", after, before)
	}
}
