package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/schedule"
)

// fingerprint is the same for specs that mean the same exports. Suspending an object and what becomes of its files when it is deleted do
// not change them: an object that is resumed need not export again.
func fingerprint(obj *v1alpha1.ResourcePackageExport) string {
	spec := obj.Spec.DeepCopy()
	spec.Suspend, spec.DeletionPolicy = false, ""
	text, err := json.Marshal(spec)
	if err != nil {
		// A spec is made of strings, numbers and lists.
		panic(err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// due starts a run if one is due: because of the spec, because somebody asks for it, or because the schedule says so. Whatever was asked
// for until now is dealt with by that one run.
func (p *exportPass) due() error {
	status, now := &p.obj.Status, p.Clock.Now()
	times, err := p.schedule()
	if err != nil {
		return err
	}
	trigger, scheduled := v1alpha1.ExportTrigger(""), p.scheduled(times, now)
	switch {
	case status.ExportedSpec != fingerprint(p.obj):
		trigger = v1alpha1.ExportTriggerSpec
	case conditions.IsRequested(p.obj):
		trigger = v1alpha1.ExportTriggerRequest
	case scheduled != nil:
		trigger = v1alpha1.ExportTriggerSchedule
	}
	switch {
	case trigger == "":
	case trigger == v1alpha1.ExportTriggerSchedule && status.Run != nil:
		// The run that fails is for this time, too.
		status.Run.ScheduledTime = scheduled
	case status.Run == nil:
		status.Run = &v1alpha1.ExportRun{Trigger: trigger, ScheduledTime: scheduled}
	default:
		// Somebody has done something about a run that fails: it is tried again now.
		status.Run.Trigger, status.Run.ScheduledTime, status.Run.NextAttemptTime, status.Run.Attempts = trigger, scheduled, nil, 0
	}
	if trigger != "" {
		status.ExportedSpec, status.ScheduleHandledUntil = fingerprint(p.obj), new(metav1.NewTime(now.Truncate(time.Second)))
		conditions.SetHandled(p.obj)
	}
	p.next(times, now)
	return nil
}

// schedule reads the schedule; nil if there is none.
func (p *exportPass) schedule() (*schedule.Schedule, error) {
	if p.obj.Spec.Schedule == "" {
		return nil, nil //nolint:nilnil // no schedule is none to be wrong about
	}
	zone := p.obj.Spec.TimeZone
	if zone == "" {
		zone = "UTC"
	}
	times, err := schedule.Parse(p.obj.Spec.Schedule, zone)
	if err != nil {
		return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "schedule %q in time zone %s: %v", p.obj.Spec.Schedule, zone, err)
	}
	return &times, nil
}

// scheduled is the time of the schedule that a run is due for, nil if none is: of several that were missed the last, unless that is too
// long ago.
func (p *exportPass) scheduled(times *schedule.Schedule, now time.Time) *metav1.Time {
	status := &p.obj.Status
	if times == nil || status.ExportedSpec == "" {
		return nil
	}
	if until := status.ScheduleHandledUntil; until == nil || until.After(now) {
		// The clock was wrong when that was written, or somebody has removed it.
		status.ScheduleHandledUntil = new(metav1.NewTime(now.Truncate(time.Second)))
	}
	latest, due := times.Latest(status.ScheduleHandledUntil.Time, now)
	if !due {
		return nil
	}
	if deadline := p.obj.Spec.StartingDeadlineSeconds; deadline != nil && now.Sub(latest) > time.Duration(*deadline)*time.Second {
		status.ScheduleHandledUntil = new(metav1.NewTime(latest))
		p.note(warning, "Missed", "Schedule", fmt.Sprintf(
			"skipped the export of %s: it would be more than the %d seconds of startingDeadlineSeconds late", latest.Format(time.RFC3339), *deadline))
		return nil
	}
	return new(metav1.NewTime(latest))
}

// next says when the schedule is due next.
func (p *exportPass) next(times *schedule.Schedule, now time.Time) {
	p.obj.Status.NextScheduleTime = nil
	if times == nil {
		return
	}
	if at := times.Next(now); !at.IsZero() {
		p.obj.Status.NextScheduleTime = new(metav1.NewTime(at))
		p.within(at.Sub(now))
	}
}
