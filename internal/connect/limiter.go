package connect

import (
	"cmp"
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// backgroundShare is how many calls there are to one of the background while both wait: what people have asked for goes first, but the
// background is never forgotten.
const backgroundShare = 10

// rateLimit is a token bucket as a Connection describes it, and a budget of calls a day, 0 if there is none.
type rateLimit struct {
	qps, burst, perDay int
}

// limiter lets the calls of one identity through at the rate that its Connections allow or, if that is less, at the one that the service
// has turned out to allow. The service's quota belongs to the identity, so all Connections that mean the same identity share a limiter,
// and the smallest of their limits holds.
//
// After a pause, a burst of the configured size goes out at once. That is what the bucket is for, but a service that counts calls per
// second, and allows no more of them than qps, refuses the part of the burst that exceeds its count: choose a small burst for such a one.
type limiter struct {
	clock clock.WithDelayedExecution

	mu     sync.Mutex
	claims map[types.UID]rateLimit
	burst  int
	pace   pace
	budget budget
	turns  turns
	silence

	// tokens are in the bucket since filled. No call is let through before paused.
	tokens         float64
	filled, paused time.Time
	// foreground and background hold those who wait. passed counts the calls that went ahead of a waiting background call.
	foreground, background lane
	passed                 int
	timer                  clock.Timer
}

// errNoRoom says that a call cannot be let through before its time is over.
var errNoRoom = errors.New("the rate limit leaves no room before the deadline")

// newLimiter makes a limiter that nobody has laid claim to.
func newLimiter(clock clock.WithDelayedExecution, limit rateLimit) *limiter {
	l := &limiter{clock: clock, claims: map[types.UID]rateLimit{}, burst: limit.burst, tokens: float64(limit.burst), filled: clock.Now()}
	l.pace.allow(l.filled, float64(limit.qps))
	l.budget = budget{perDay: limit.perDay, began: l.filled}
	l.turns = newTurns(l.filled)
	if limit.perDay == 0 {
		l.turns.tokens = l.turnSize()
	}
	return l
}

// Wait implements openapi.Limiter. Who gives up waiting spends nothing, and who is refused for the budget does not wait.
func (l *limiter) Wait(ctx context.Context) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	turn, leave, err := l.join(ctx)
	if err != nil {
		return time.Time{}, err
	}
	select {
	case sent, ok := <-turn:
		if !ok {
			return time.Time{}, l.refused()
		}
		return sent, nil
	case <-ctx.Done():
		leave()
		return time.Time{}, ctx.Err()
	}
}

// refused is the error of a call that waited when the service turned out to be silent.
func (l *limiter) refused() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refusal()
}

// join queues a call, unless its turn would come too late. leave takes it out again.
func (l *limiter) join(ctx context.Context) (turn <-chan time.Time, leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.closed(); err != nil {
		return nil, nil, err
	}
	now := l.fill()
	lane, tenant, background := &l.foreground, cloud.TenantOf(ctx), cloud.IsBackground(ctx)
	if background {
		lane = &l.background
	}
	ahead := lane.ahead(tenant)
	if background {
		ahead += min(l.foreground.Len(), (ahead+1)*(backgroundShare-1))
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < l.delay(now, ahead) {
		return nil, nil, errNoRoom
	}
	if err := l.budget.reserve(now, background); err != nil {
		return nil, nil, err
	}
	mine := lane.push(tenant)
	l.serve(now)
	return mine.turn, func() { l.leave(lane, mine) }, nil
}

func (l *limiter) leave(lane *lane, mine *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.fill()
	select {
	case sent, ok := <-mine.turn:
		// It came at the same moment; whoever waits next gets what was not used.
		if ok {
			l.flying--
			l.tokens = min(l.tokens+1, l.size())
			l.budget.refund(sent)
		}
	default:
		lane.remove(mine)
		l.budget.cancel()
	}
	l.serve(now)
}

// serve lets calls through for which there are tokens, and sets the alarm for the next. It refuses those that wait while the service is
// silent. The lock is held, the bucket filled.
func (l *limiter) serve(now time.Time) {
	for l.foreground.Len()+l.background.Len() > 0 {
		if l.closed() != nil {
			close(l.next().pop().turn)
			l.budget.cancel()
			continue
		}
		if wait := l.delay(now, 0); wait > 0 {
			if l.timer != nil {
				l.timer.Stop()
			}
			l.timer = l.clock.AfterFunc(wait, l.alarm)
			return
		}
		l.tokens--
		l.flying++
		l.pace.count(now)
		l.budget.spend()
		l.next().pop().turn <- now
	}
}

func (l *limiter) alarm() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serve(l.fill())
}

// next is the lane whose turn it is; at least one of them is not empty.
func (l *limiter) next() *lane {
	switch {
	case l.background.Len() == 0:
		l.passed = 0
		return &l.foreground
	case l.foreground.Len() > 0 && l.passed < backgroundShare-1:
		l.passed++
		return &l.foreground
	}
	l.passed = 0
	return &l.background
}

// delay is how long a call waits that others are ahead of.
func (l *limiter) delay(now time.Time, ahead int) time.Duration {
	wait := max(l.paused.Sub(now), 0)
	// What has been poured in drop by drop may lack a little to a whole.
	if missing := float64(ahead) + 1 - l.tokens; missing > 1e-6 {
		// No tokens come in during a pause.
		wait += time.Duration(math.Ceil(missing / l.pace.rate * float64(time.Second)))
	}
	return wait
}

// fill pours in the tokens of the time that has passed, and returns the time. The lock is held.
func (l *limiter) fill() time.Time {
	now := l.clock.Now()
	busy := l.foreground.Len()+l.background.Len() > 0
	l.pace.advance(now, busy)
	from := l.filled
	if l.paused.After(from) {
		from = l.paused
	}
	if passed := now.Sub(from); passed > 0 {
		l.tokens += passed.Seconds() * l.pace.rate
	}
	l.tokens, l.filled = min(l.tokens, l.size()), now
	l.budget.advance(now)
	l.turns.fill(now, l.turnRate(), l.turnSize())
	return now
}

// size is how many tokens the bucket holds. While the service allows less than is configured, a burst would only be refused.
func (l *limiter) size() float64 {
	if l.pace.restrained() {
		return max(1, min(float64(l.burst), l.pace.rate*(1-margin)))
	}
	return float64(l.burst)
}

// Ended implements openapi.Limiter.
func (l *limiter) Ended(sent time.Time, err error) {
	if e, ok := errors.AsType[*cloud.Error](err); ok && e.Throttled {
		l.Throttled(sent, e.RetryAfter)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.fill()
	if l.ended(now, sent, err); l.silent {
		l.serve(now)
	}
}

// isTried reports whether it is known that the service answers, or that it does not.
func (l *limiter) isTried() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silent || !l.heard.IsZero()
}

// Closed implements openapi.Limiter.
func (l *limiter) Closed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed()
}

// Throttled answers a refusal for the rate. All calls that were under way when the limiter slowed down tell of the same excess, so only
// the first of them slows it down; those sent before the pause that followed only tell how large the excess was.
func (l *limiter) Throttled(sent time.Time, retryAfter time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.fill()
	pause := retryAfter
	if !sent.Before(l.paused) {
		l.pace.slow(now)
		l.tokens, pause = 0, max(pause, shortestPause)
	}
	if until := now.Add(pause); pause > 0 && until.After(l.paused) {
		l.paused = until
	}
	l.serve(now)
}

// claim says what a Connection allows.
func (l *limiter) claim(uid types.UID, limit rateLimit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.claims[uid]; !ok || known != limit {
		l.claims[uid] = limit
		l.settle()
	}
}

// replace moves a Connection's claim to another limiter, or the same with what it allows now. There may have been none, or be none now.
func (l *limiter) replace(uid types.UID, by *limiter, limit rateLimit) {
	if l != by {
		l.release(uid)
	}
	if by != nil {
		by.claim(uid, limit)
	}
}

// release says that a Connection does not use the limiter any more. The last of the limits stays, for objects that outlive their
// Connection's change to another identity.
func (l *limiter) release(uid types.UID) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.claims, uid)
	if len(l.claims) > 0 {
		l.settle()
	}
}

// settle makes the smallest of the limits hold. The lock is held.
func (l *limiter) settle() {
	now := l.fill()
	limit := rateLimit{qps: math.MaxInt, burst: math.MaxInt}
	for _, claimed := range l.claims {
		limit.qps, limit.burst = min(limit.qps, claimed.qps), min(limit.burst, claimed.burst)
		if limit.perDay == 0 || claimed.perDay > 0 {
			limit.perDay = min(cmp.Or(limit.perDay, claimed.perDay), claimed.perDay)
		}
	}
	l.burst = limit.burst
	l.pace.allow(now, float64(limit.qps))
	if l.budget.perDay == 0 && limit.perDay > 0 {
		l.turns.tokens = 0
	}
	l.budget.perDay = limit.perDay
	l.turns.tokens = min(l.turns.tokens, l.turnSize())
	l.tokens = min(l.tokens, l.size())
	l.serve(now)
}

// idle tells whether nothing is lost with the limiter: neither calls that count towards a budget, which could be made again then, nor turns
// that are saved up for somebody who waits for one.
func (l *limiter) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.fill()
	return (l.budget.perDay == 0 || l.budget.sum()+l.budget.reserved == 0) && !l.turns.awaited(now)
}
