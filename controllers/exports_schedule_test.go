package controllers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// beginning is when the simulated days begin: two nights before Berlin's clock goes back.
var beginning = time.Date(2027, 10, 29, 0, 0, 0, 0, time.UTC)

// happening is what people do at a time, such as "29 12:30".
type happening struct {
	at string
	do func(*simulation)
}

// simulation is an export that lives through days in which nothing happens but what is written down.
type simulation struct {
	*harness
	export *v1alpha1.ResourcePackageExport
	// down tells that no operator runs.
	down bool
}

func down(s *simulation) { s.down = true }
func up(s *simulation)   { s.down = false; s.restart() }

func edit(change func(*v1alpha1.ResourcePackageExportSpec)) func(*simulation) {
	return func(s *simulation) { edits(change)(s.harness, s.export) }
}

var (
	suspend = edit(func(s *v1alpha1.ResourcePackageExportSpec) { s.Suspend = true })
	resume  = edit(func(s *v1alpha1.ResourcePackageExportSpec) { s.Suspend = false })
)

func ask(s *simulation) { s.annotate(s.export, v1alpha1.RequestedAtAnnotation, s.clock.Now().String()) }

// until moves the clocks to a time.
func (s *simulation) until(t time.Time) {
	if d := t.Sub(s.clock.Now()); d > 0 {
		s.advance(d)
	}
}

func when(t testing.TB, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse("2006-01-02 15:04", beginning.Format("2006-01-")+text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// live lets the days pass until an end, and returns when exports were started, as "29 12:30", with those that were missed.
func (s *simulation) live(happenings []happening, end string) (runs []string) {
	s.t.Helper()
	happenings = append(slices.Clone(happenings), happening{end, func(*simulation) {}})
	wanted := s.clock.Now()
	for _, next := range happenings {
		at := when(s.t, next.at)
		for !s.down && wanted.Before(at) {
			s.until(wanted)
			_, sleep := s.exporting(s.export)
			if sleep == 0 {
				sleep = longAgo
			}
			wanted = s.clock.Now().Add(sleep)
		}
		s.until(at)
		next.do(s)
		wanted = s.clock.Now()
	}
	for _, export := range stored(s.harness, s.export).Status.Exports {
		runs = append(runs, export.StartedAt.UTC().Format("02 15:04"))
	}
	for {
		select {
		case event := <-s.events.Events:
			if _, missed, found := strings.Cut(event, "skipped the export of "); found {
				at, err := time.Parse(time.RFC3339, missed[:len(time.RFC3339)-5])
				s.must(err)
				runs = append(runs, at.Format("02 15:04")+" missed")
			}
			continue
		default:
		}
		slices.Sort(runs)
		return runs
	}
}

// longAgo is longer than any simulation.
const longAgo = 1000 * time.Hour

// TestTheScheduleIsKept through two days or three, for everything that docs/spec/v1alpha1/resourcepackageexports.md promises.
func TestTheScheduleIsKept(t *testing.T) {
	nightly := func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule = "0 3 * * *" }
	sixHourly := func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule = "0 */6 * * *" }
	tests := map[string]struct {
		spec       []func(*v1alpha1.ResourcePackageExportSpec)
		happenings []happening
		want       []string
	}{
		"nothing happens":           {specs(nightly), nil, []string{"29 00:00", "29 03:00", "30 03:00"}},
		"without a schedule":        {nil, nil, []string{"29 00:00"}},
		"several times a day":       {specs(sixHourly), nil, []string{"29 00:00", "29 06:00", "29 12:00", "29 18:00", "30 00:00", "30 06:00", "30 12:00", "30 18:00"}},
		"in another time zone":      {specs(nightly, zone("Asia/Shanghai")), nil, []string{"29 00:00", "29 19:00", "30 19:00"}},
		"down for one run":          {specs(nightly), []happening{{"29 02:00", down}, {"29 10:00", up}}, []string{"29 00:00", "29 10:00", "30 03:00"}},
		"down for several runs":     {specs(sixHourly), []happening{{"29 05:00", down}, {"30 07:00", up}}, []string{"29 00:00", "30 07:00", "30 12:00", "30 18:00"}},
		"down, back in time":        {specs(nightly, deadline(time.Hour)), []happening{{"29 02:00", down}, {"29 03:30", up}}, []string{"29 00:00", "29 03:30", "30 03:00"}},
		"down, back too late":       {specs(nightly, deadline(time.Hour)), []happening{{"29 02:00", down}, {"29 05:00", up}}, []string{"29 00:00", "29 03:00 missed", "30 03:00"}},
		"down for several, in time": {specs(sixHourly, deadline(2*time.Hour)), []happening{{"29 05:00", down}, {"30 07:00", up}}, []string{"29 00:00", "30 07:00", "30 12:00", "30 18:00"}},
		"down for several, too late": {
			specs(sixHourly, deadline(30*time.Minute)), []happening{{"29 05:00", down}, {"30 07:00", up}}, []string{"29 00:00", "30 06:00 missed", "30 12:00", "30 18:00"},
		},
		"down between two runs":          {specs(nightly), []happening{{"29 05:00", down}, {"30 02:00", up}}, []string{"29 00:00", "29 03:00", "30 03:00"}},
		"suspended for a run":            {specs(nightly), []happening{{"29 02:00", suspend}, {"29 10:00", resume}}, []string{"29 00:00", "29 10:00", "30 03:00"}},
		"suspended for too long":         {specs(nightly, deadline(time.Hour)), []happening{{"29 02:00", suspend}, {"29 10:00", resume}}, []string{"29 00:00", "29 03:00 missed", "30 03:00"}},
		"suspended between two runs":     {specs(nightly), []happening{{"29 05:00", suspend}, {"29 10:00", resume}}, []string{"29 00:00", "29 03:00", "30 03:00"}},
		"suspended and down":             {specs(nightly), []happening{{"29 02:00", suspend}, {"29 02:30", down}, {"30 09:00", up}, {"30 10:00", resume}}, []string{"29 00:00", "30 10:00"}},
		"asked for":                      {specs(nightly), []happening{{"29 12:00", ask}}, []string{"29 00:00", "29 03:00", "29 12:00", "30 03:00"}},
		"asked for when a run is missed": {specs(nightly), []happening{{"29 02:00", down}, {"29 10:00", ask}, {"29 11:00", up}}, []string{"29 00:00", "29 11:00", "30 03:00"}},
		"edited":                         {specs(nightly), []happening{{"29 12:00", edit(sixHourly)}}, []string{"29 00:00", "29 03:00", "29 12:00", "29 18:00", "30 00:00", "30 06:00", "30 12:00", "30 18:00"}},
		"an earlier time is not made up": {specs(nightly), []happening{{"29 12:00", edit(func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule = "0 10 * * *" })}}, []string{"29 00:00", "29 03:00", "29 12:00", "30 10:00"}},
		"moved to another time zone":     {specs(nightly), []happening{{"29 12:00", edit(zone("America/New_York"))}}, []string{"29 00:00", "29 03:00", "29 12:00", "30 07:00"}},
		"edited while suspended":         {specs(nightly), []happening{{"29 02:00", suspend}, {"29 09:00", edit(sixHourly)}, {"29 10:00", resume}}, []string{"29 00:00", "29 10:00", "29 12:00", "29 18:00", "30 00:00", "30 06:00", "30 12:00", "30 18:00"}},
		"born suspended":                 {specs(nightly, func(s *v1alpha1.ResourcePackageExportSpec) { s.Suspend = true }), []happening{{"29 12:00", resume}}, []string{"29 12:00", "30 03:00"}},
		"the schedule is taken away":     {specs(nightly), []happening{{"29 12:00", edit(func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule = "" })}}, []string{"29 00:00", "29 03:00", "29 12:00"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := simulate(t, tc.spec...)
			if diff := cmp.Diff(tc.want, s.live(tc.happenings, "31 00:00")); diff != "" {
				t.Errorf("runs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestClocksThatChange: as a CronJob does, a time that comes twice is kept twice.
func TestClocksThatChange(t *testing.T) {
	s := simulate(t, func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule = "30 2 * * *" }, zone("Europe/Berlin"))
	want := []string{"29 00:00", "29 00:30", "30 00:30", "31 00:30", "31 01:30"}
	if diff := cmp.Diff(want, s.live(nil, "31 12:00")); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
}

// TestARunThatFailsIsMadeUpFor: what fails is tried again until it works, and is one run however many times of the schedule pass.
func TestARunThatFailsIsMadeUpFor(t *testing.T) {
	s := simulate(t, func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule = "0 */6 * * *" })
	got := s.live([]happening{
		{"29 05:00", func(s *simulation) { s.must(s.cloud.DenyExports(huaweiKey)) }},
		{"29 20:00", func(s *simulation) { s.must(s.cloud.AllowExports(huaweiKey)) }},
	}, "30 01:00")
	if len(got) != 3 || got[0] != "29 00:00" || got[1] < "29 20:00" || got[1] > "29 20:07" || got[2] != "30 00:00" {
		t.Errorf("runs %q", got)
	}
	if n := len(s.cloud.Journal()); n > 14*60/5+20 {
		t.Errorf("%d calls in fourteen hours", n)
	}
}

// TestTwoNeverRunAtOnce: a run that is due while another is under way comes after it.
func TestTwoNeverRunAtOnce(t *testing.T) {
	s := simulate(t, func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule = "0 * * * *" })
	s.exporting(s.export)
	s.until(when(t, "29 01:00"))
	if _, err := s.pass(s.export); err != nil || len(s.progress()) != 1 {
		t.Fatalf("%d under way, error %v", len(s.progress()), err)
	}
	s.until(when(t, "29 02:10"))
	ask(s)
	for range 5 {
		if _, err := s.pass(s.export); err != nil || len(s.progress()) > 1 {
			t.Fatalf("%d under way, error %v", len(s.progress()), err)
		}
	}
	s.exporting(s.export)
	if diff := cmp.Diff([]string{"29 00:00", "29 01:00", "29 02:10"}, s.live(nil, "29 02:50")); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
}

// TestTheNextTimeIsKept: at status.nextScheduleTime there is a run, whatever a clock that was wrong, or somebody else, has left in the status.
func TestTheNextTimeIsKept(t *testing.T) {
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

// TestTheScheduleIsKeptThoughAnOldFileStays: the next pass comes when the next export is due, and not when the backoff of an error ends.
func TestTheScheduleIsKeptThoughAnOldFileStays(t *testing.T) {
	h, s3 := bucketWorld(t)
	h.advance(beginning.Sub(h.clock.Now()))
	h.refuseRemovals()
	export := newExport(toBucket(s3), func(s *v1alpha1.ResourcePackageExportSpec) { s.HistoryLimit, s.Schedule = 1, "1 * * * *" })
	h.create(export)
	h.exporting(export)
	h.annotate(export, v1alpha1.RequestedAtAnnotation, "now")
	h.advance(2 * time.Second)
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonDestinationDenied)
	due := found.Status.NextScheduleTime.Time
	result, err := h.pass(export)
	if next := h.clock.Now().Add(result.RequeueAfter); err != nil || result.RequeueAfter == 0 || next.After(due.Add(5*time.Second)) {
		t.Errorf("an export is due at %v, and the next pass comes at %v: %v", due, next, err)
	}
}

func simulate(t *testing.T, change ...func(*v1alpha1.ResourcePackageExportSpec)) *simulation {
	t.Helper()
	h, _ := exportWorld(t)
	h.advance(beginning.Sub(h.clock.Now()))
	export := newExport(append(change, func(s *v1alpha1.ResourcePackageExportSpec) { s.HistoryLimit = 100 })...)
	export.CreationTimestamp = metav1.NewTime(h.clock.Now())
	h.create(export)
	return &simulation{harness: h, export: export}
}

func specs(change ...func(*v1alpha1.ResourcePackageExportSpec)) []func(*v1alpha1.ResourcePackageExportSpec) {
	return change
}

func zone(name string) func(*v1alpha1.ResourcePackageExportSpec) {
	return func(s *v1alpha1.ResourcePackageExportSpec) { s.TimeZone = name }
}

func deadline(d time.Duration) func(*v1alpha1.ResourcePackageExportSpec) {
	return func(s *v1alpha1.ResourcePackageExportSpec) { s.StartingDeadlineSeconds = new(int64(d / time.Second)) }
}

func TestASchedule(t *testing.T) {
	tests := map[string]struct {
		spec func(*v1alpha1.ResourcePackageExportSpec)
		want string
	}{
		"that is none":              {func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule = "61 * * * *" }, "above maximum"},
		"that never comes":          {func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule = "0 0 31 2 *" }, "names no time that ever comes"},
		"in a zone that is none":    {func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule, s.TimeZone = "0 3 * * *", "Mars/Olympus" }, "no IANA time zone"},
		"with a directory that was": {func(s *v1alpha1.ResourcePackageExportSpec) { s.Destination.Directory = nil }, "exactly one of"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h, _ := exportWorld(t)
			export := newExport(tc.spec)
			h.create(export)
			found, sleep := h.exporting(export)
			mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
			if text := describe(found); !strings.Contains(text, "Stalled") || !strings.Contains(text, tc.want) || sleep != 0 {
				t.Errorf("after %v again: %s", sleep, text)
			}
			if n := len(h.cloud.Journal()); n != 0 {
				t.Error(fmt.Sprint(n, " calls"))
			}
		})
	}
}
