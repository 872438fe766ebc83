package connect

import (
	"fmt"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// day is the time that a budget is for, wherever it begins; counted is how many hours are kept of it. The 25th hour is the one that the
// day reaches into only in part: it counts as a whole.
const (
	day     = 24 * time.Hour
	counted = 25
)

// budget bounds the calls in any 24 hours. It counts them even if there is no bound, since one may be laid down later. It knows nothing of
// calls; the limiter tells it the time.
type budget struct {
	// perDay is the bound, 0 if there is none.
	perDay int
	// began is when the first hour began, hour the number of the present one; used holds its calls and those of the hours before, each at
	// its number modulo counted.
	began time.Time
	hour  int
	used  [counted]int
	// reserved is how many calls are still to be let through that the budget has room for.
	reserved int
}

// advance begins the hours that have begun.
func (b *budget) advance(now time.Time) {
	present := int(now.Sub(b.began) / time.Hour)
	for ; b.hour < present; b.hour++ {
		if present-b.hour > counted {
			b.hour = present - counted
		}
		b.used[(b.hour+1)%counted] = 0
	}
}

// sum is how many calls have been let through in the last 24 hours.
func (b *budget) sum() int {
	sum := 0
	for _, used := range b.used {
		sum += used
	}
	return sum
}

// least is how much of the budget must be left for a call: the background leaves a quarter to those that people wait for.
func (b *budget) least(background bool) int {
	if background {
		return (b.perDay + 3) / 4
	}
	return 1
}

// closed is how long it takes until there is room for a call behind others, 0 if there is.
func (b *budget) closed(now time.Time, background bool, ahead int) time.Duration {
	missing := b.least(background) + ahead - (b.perDay - b.sum() - b.reserved)
	if b.perDay == 0 || missing <= 0 {
		return 0
	}
	// The oldest hour is forgotten first. What is only reserved is made by then, at the latest with the present hour's.
	hours := 0
	for missing > 0 && hours < counted {
		hours++
		missing -= b.used[(b.hour+hours)%counted]
	}
	return b.began.Add(time.Duration(b.hour+hours) * time.Hour).Sub(now)
}

// reserve keeps room for a call, or says why there is none.
func (b *budget) reserve(now time.Time, background bool) error {
	if wait := b.closed(now, background, 0); wait > 0 {
		return b.refusal(background, wait)
	}
	b.reserved++
	return nil
}

// refusal is the same from one time to the next, but for the wait.
func (b *budget) refusal(background bool, wait time.Duration) error {
	message := fmt.Sprintf("not sent: the budget of %d calls a day is used up", b.perDay)
	if background && b.sum()+b.reserved < b.perDay {
		message = fmt.Sprintf("not sent: the rest of the budget of %d calls a day is kept for what people ask for", b.perDay)
	}
	return &cloud.Error{Code: cloud.RemoteUnavailable, Message: message, Throttled: true, RetryAfter: wait}
}

// spend counts a call that was reserved.
func (b *budget) spend() {
	b.reserved--
	b.used[b.hour%counted]++
}

// cancel gives up a call that was reserved, refund one that was let through in vain.
func (b *budget) cancel() { b.reserved-- }

func (b *budget) refund(sent time.Time) {
	if hour := max(0, int(sent.Sub(b.began)/time.Hour)); hour > b.hour-counted {
		b.used[hour%counted]--
	}
}
