package connect

import (
	"math"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// The looks at permission requests that wait for a person: there may be hundreds of them, and calls for a few. So each look needs a turn,
// and turns go to whoever is due longest. Nobody is kept waiting by the limiter for it, since that would take a worker each.
const (
	// turnShare is what part of the rate goes to turns, turnBudget what part of the budget: less than the background may spend, so that
	// who has got a turn also gets the call.
	turnShare  = 0.5
	turnBudget = 0.6
	// turnStock is what part of the budget may be saved up for turns.
	turnStock = 0.1
	// soonest and latest bound the time after which it has to be asked again.
	soonest, latest = time.Second, time.Hour
	// patience is how much later than told somebody may ask again before he counts as gone, or lateness of what he was told.
	patience = 2 * time.Minute
	lateness = 0.1
)

// How long a request is left alone that the service has refused: without a budget, and with one in shares of the day.
const (
	afterRefusal       = 5 * time.Minute
	sharesAfterRefusal = 4
)

// turns is a queue of those who do not wait in it but come back. It knows nothing of the limiter, which tells it the time and the rate.
type turns struct {
	// tokens are in the bucket since filled.
	tokens  float64
	filled  time.Time
	waiting map[types.UID]waiter
}

// waiter wants a turn since due, and counts as gone after until.
type waiter struct{ due, until time.Time }

func newTurns(now time.Time) turns { return turns{filled: now, waiting: map[types.UID]waiter{}} }

// fill pours in the tokens of the time that has passed.
func (t *turns) fill(now time.Time, rate, size float64) {
	if passed := now.Sub(t.filled); passed > 0 {
		t.tokens, t.filled = min(t.tokens+passed.Seconds()*rate, size), now
	}
}

// ask gives a turn, or says when to ask again. closed is how long a call cannot be made that others are ahead of. For each of those who are
// due longer, a token and a call are kept: who goes ahead of one that has not come back yet does not make him wait.
func (t *turns) ask(now time.Time, uid types.UID, due time.Time, rate float64, closed func(ahead int) time.Duration) time.Duration {
	ahead := t.ahead(now, uid, due)
	missing, shut := float64(ahead)+1-t.tokens, closed(ahead)
	// What has been poured in drop by drop may lack a little to a whole.
	if missing <= 1e-6 && shut <= 0 {
		t.tokens--
		delete(t.waiting, uid)
		return 0
	}
	seconds := min(missing/rate, latest.Seconds())
	wait := min(max(time.Duration(math.Ceil(seconds*float64(time.Second))), shut, soonest), latest)
	t.waiting[uid] = waiter{due: due, until: now.Add(wait + max(patience, time.Duration(lateness*float64(wait))))}
	return wait
}

// ahead counts those who are due longer, and drops those who have not come back.
func (t *turns) ahead(now time.Time, uid types.UID, due time.Time) int {
	ahead := 0
	for other, w := range t.waiting {
		switch {
		case other == uid:
		case now.After(w.until):
			delete(t.waiting, other)
		case w.due.Before(due) || w.due.Equal(due) && other < uid:
			ahead++
		}
	}
	return ahead
}

// awaited tells whether somebody is expected to ask again.
func (t *turns) awaited(now time.Time) bool {
	for _, w := range t.waiting {
		if !now.After(w.until) {
			return true
		}
	}
	return false
}

// turnRate is how many turns a second there are.
func (l *limiter) turnRate() float64 {
	rate := turnShare * l.pace.rate
	if l.budget.perDay > 0 {
		rate = min(rate, turnBudget*float64(l.budget.perDay)/day.Seconds())
	}
	return rate
}

// turnSize is how many turns can be saved up: at least what comes in within two seconds, for nobody comes back before one is over. With a
// budget there are none at the start, or each restart would spend them again.
func (l *limiter) turnSize() float64 {
	if l.budget.perDay > 0 {
		return max(1, turnStock*float64(l.budget.perDay))
	}
	return max(float64(l.burst), 2*l.turnRate())
}

// turn implements Account.Turn.
func (l *limiter) turn(uid types.UID, due time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.fill()
	return l.turns.ask(now, uid, due, l.turnRate(), func(ahead int) time.Duration {
		return max(l.paused.Sub(now), l.budget.closed(now, true, ahead))
	})
}

func (l *limiter) unused(uid types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.turns.waiting, uid)
}

func (l *limiter) retryAfterRefusal() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.budget.perDay == 0 {
		return afterRefusal
	}
	return min(max(sharesAfterRefusal*day/time.Duration(l.budget.perDay), afterRefusal), day)
}
