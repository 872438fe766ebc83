package schedule_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/schedule"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestWhatNoScheduleIs(t *testing.T) {
	tests := map[string]struct{ fields, zone, want string }{
		"nothing":                         {"", "UTC", "empty spec string"},
		"four fields":                     {"0 3 * *", "UTC", "expected exactly 5 fields"},
		"six fields":                      {"0 0 3 * * *", "UTC", "expected exactly 5 fields"},
		"an abbreviation":                 {"@daily", "UTC", "does not accept descriptors"},
		"an hour that is none":            {"0 24 * * *", "UTC", "above maximum"},
		"a step of nothing":               {"*/0 * * * *", "UTC", "step of range should be a positive number"},
		"a day that never comes":          {"0 0 30 2 *", "UTC", "names no time that ever comes"},
		"a time zone that is none":        {"0 3 * * *", "Mars/Olympus", `"Mars/Olympus" is no IANA time zone`},
		"the time zone of the machine":    {"0 3 * * *", "Local", `"Local" is no IANA time zone`},
		"no time zone":                    {"0 3 * * *", "", `"" is no IANA time zone`},
		"a time zone outside its folder":  {"0 3 * * *", "../UTC", `"../UTC" is no IANA time zone`},
		"a time zone within the schedule": {"TZ=UTC 3 * * *", "UTC", "expected exactly 5 fields"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := schedule.Parse(tc.fields, tc.zone)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	tests := map[string]struct {
		fields, zone, after string
		want                []string // in UTC
	}{
		"every night":                          {"0 3 * * *", "UTC", "2026-11-20 03:00", []string{"2026-11-21 03:00", "2026-11-22 03:00"}},
		"every night elsewhere":                {"0 3 * * *", "Asia/Shanghai", "2026-11-20 03:00", []string{"2026-11-20 19:00", "2026-11-21 19:00"}},
		"weekdays by name":                     {"30 6 * * MON-FRI", "UTC", "2026-11-20 07:00", []string{"2026-11-23 06:30", "2026-11-24 06:30"}},
		"a day of the month or of the week":    {"0 0 1 * 0", "UTC", "2026-11-28 00:00", []string{"2026-11-29 00:00", "2026-12-01 00:00"}},
		"only in leap years":                   {"0 0 29 2 *", "UTC", "2026-11-20 03:00", []string{"2028-02-29 00:00", "2032-02-29 00:00"}},
		"a time that the clock leaves out":     {"30 2 * * *", "Europe/Berlin", "2027-03-27 00:00", []string{"2027-03-27 01:30", "2027-03-29 00:30"}},
		"a time that comes twice":              {"30 2 * * *", "Europe/Berlin", "2026-10-24 02:00", []string{"2026-10-25 00:30", "2026-10-25 01:30", "2026-10-26 01:30"}},
		"every hour while the clock goes back": {"0 * * * *", "Europe/Berlin", "2026-10-24 23:30", []string{"2026-10-25 00:00", "2026-10-25 01:00", "2026-10-25 02:00"}},
		"a zone that is off by half an hour":   {"0 0 * * *", "Asia/Kolkata", "2026-11-20 18:00", []string{"2026-11-20 18:30", "2026-11-21 18:30"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := schedule.Parse(tc.fields, tc.zone)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for next := at(t, tc.after); len(got) < len(tc.want); {
				next = s.Next(next)
				got = append(got, next.Format("2006-01-02 15:04"))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestLatest(t *testing.T) {
	tests := map[string]struct{ fields, after, now, want string }{
		"nothing was missed":          {"0 3 * * *", "2026-11-20 03:00", "2026-11-21 02:59", ""},
		"it is due now":               {"0 3 * * *", "2026-11-20 03:00", "2026-11-21 03:00", "2026-11-21 03:00"},
		"what was done is not due":    {"0 3 * * *", "2026-11-21 03:00", "2026-11-21 03:00", ""},
		"of several missed the last":  {"0 3 * * *", "2026-11-01 03:00", "2026-11-21 12:00", "2026-11-21 03:00"},
		"every minute for many years": {"* * * * *", "1990-11-01 03:00", "2026-11-21 12:00", "2026-11-21 12:00"},
		"a clock that went back":      {"0 3 * * *", "2026-11-21 03:00", "2026-11-20 12:00", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := schedule.Parse(tc.fields, "UTC")
			if err != nil {
				t.Fatal(err)
			}
			latest, due := s.Latest(at(t, tc.after), at(t, tc.now))
			got := ""
			if due {
				got = latest.Format("2006-01-02 15:04")
			}
			if got != tc.want {
				t.Errorf("Latest = %q, want %q", got, tc.want)
			}
		})
	}
}

// TestLatestIsTheLastOfAll: it is the last of the times that Next goes through.
func TestLatestIsTheLastOfAll(t *testing.T) {
	fields := []string{"*/7 * * * *", "0 */5 * * *", "15 3 * * 1", "59 23 28-31 * *", "30 1,2 * * *"}
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 6))
		s, err := schedule.Parse(fields[random.IntN(len(fields))], zones[random.IntN(len(zones))])
		if err != nil {
			t.Fatal(err)
		}
		after := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(random.Int64N(int64(365 * 24 * time.Hour))))
		now := after.Add(time.Duration(random.Int64N(int64(10 * 24 * time.Hour))))
		var want time.Time
		for next := s.Next(after); !next.After(now); next = s.Next(next) {
			want = next
		}
		got, due := s.Latest(after, now)
		if due == want.IsZero() || !got.Equal(want) {
			t.Fatalf("seed %d: Latest = %v, %v, want %v", seed, got, due, want)
		}
	}
}
