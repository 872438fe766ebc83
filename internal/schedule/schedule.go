// Package schedule tells when something is due that a schedule in the five fields of cron describes.
package schedule

import (
	"errors"
	"fmt"
	"time"
	_ "time/tzdata" // the manager's image need not have the time zones

	"github.com/robfig/cron/v3"
)

// parser knows the five fields of a Kubernetes CronJob, and none of the abbreviations such as @daily.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// Schedule is a set of times. Where a time zone changes its clock, it is what a Kubernetes CronJob makes of it: a time of the day that
// the clock leaves out is left out, and one that comes twice comes twice.
type Schedule struct {
	cron cron.Schedule
	zone *time.Location
}

// anyTime is from when on it is looked whether a schedule has any times at all: after it comes a leap year.
var anyTime = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

// Parse reads a schedule: minute, hour, day of the month, month and day of the week, in an IANA time zone. A schedule without any time,
// such as one for February 30, is an error.
func Parse(fields, zone string) (Schedule, error) {
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "" || zone == "Local" {
		return Schedule{}, fmt.Errorf("%q is no IANA time zone", zone)
	}
	parsed, err := parser.Parse(fields)
	if err != nil {
		return Schedule{}, err
	}
	s := Schedule{parsed, location}
	if s.Next(anyTime).IsZero() {
		return Schedule{}, errors.New("the schedule names no time that ever comes")
	}
	return s, nil
}

// Next is the first time after another.
func (s Schedule) Next(after time.Time) time.Time { return s.cron.Next(after.In(s.zone)).UTC() }

// Latest is the last time of the schedule after a time and not after now; false if there is none.
func (s Schedule) Latest(after, now time.Time) (latest time.Time, due bool) {
	// Going back in steps that double keeps it cheap, however long ago the time is.
	for step := time.Minute; ; step *= 2 {
		from := now.Add(-step)
		if from.Before(after) {
			from = after
		}
		for next := s.Next(from); !next.IsZero() && !next.After(now); next = s.Next(next) {
			latest, due = next, true
		}
		if due || !from.After(after) {
			return latest, due
		}
	}
}
