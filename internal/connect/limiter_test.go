package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// quota is what a service allows: calls in each second of its clock, or a bucket of tokens that fills at that rate.
type quota struct {
	perSecond float64
	window    bool

	tokens        float64
	filled        time.Time
	used, refused int
}

func (q *quota) take(now time.Time) bool {
	if q.window {
		if second := now.Truncate(time.Second); second != q.filled {
			q.tokens, q.filled = q.perSecond, second
		}
	} else {
		q.tokens, q.filled = min(q.perSecond, q.tokens+now.Sub(q.filled).Seconds()*q.perSecond), now
	}
	if q.tokens < 1 {
		q.refused++
		return false
	}
	q.tokens--
	q.used++
	return true
}

// TestTheLimiterFindsTheServicesQuota: however much more is configured than the service allows, nearly all of what it allows is used, and
// hardly a call is refused.
func TestTheLimiterFindsTheServicesQuota(t *testing.T) {
	const (
		callers = 500
		lasts   = 20 * time.Minute
		settled = time.Minute
	)
	tests := map[string]struct {
		configured rateLimit
		quota      quota
		// latency is 50 ms if it is not given.
		latency time.Duration
	}{
		"a window, configured right":      {rateLimit{qps: 50, burst: 100}, quota{perSecond: 50, window: true}, 0},
		"a window, configured four times": {rateLimit{qps: 200, burst: 400}, quota{perSecond: 50, window: true}, 0},
		"a window, configured 200 times":  {rateLimit{qps: 10000, burst: 20000}, quota{perSecond: 50, window: true}, 0},
		"a bucket, configured right":      {rateLimit{qps: 50, burst: 100}, quota{perSecond: 50}, 0},
		"a bucket, configured four times": {rateLimit{qps: 200, burst: 400}, quota{perSecond: 50}, 0},
		"a bucket, configured 200 times":  {rateLimit{qps: 10000, burst: 20000}, quota{perSecond: 50}, 0},
		"a small window":                  {rateLimit{qps: 20, burst: 40}, quota{perSecond: 5, window: true}, 0},
		"a small bucket":                  {rateLimit{qps: 20, burst: 40}, quota{perSecond: 5}, 0},
		"a window, slow answers":          {rateLimit{qps: 200, burst: 400}, quota{perSecond: 50, window: true}, 2 * time.Second},
		"a bucket, slow answers":          {rateLimit{qps: 200, burst: 400}, quota{perSecond: 50}, 2 * time.Second},
		"a tiny window":                   {rateLimit{qps: 20, burst: 40}, quota{perSecond: 2, window: true}, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, service := newLimiter(clock.RealClock{}, tc.configured), tc.quota
				began := time.Now()
				service.filled, service.tokens = began, service.perSecond
				ctx, stop := context.WithDeadline(t.Context(), began.Add(lasts))
				defer stop()
				var mu sync.Mutex
				call := func() (taken bool) {
					<-time.After(cmp.Or(tc.latency, 50*time.Millisecond)) // by the bubble's clock
					mu.Lock()
					defer mu.Unlock()
					return service.take(time.Now())
				}
				var group sync.WaitGroup
				for range callers {
					group.Go(func() {
						for {
							sent, err := l.Wait(ctx)
							if err != nil {
								return
							}
							if !call() {
								l.Throttled(sent, 0)
							}
						}
					})
				}
				elapse(settled)
				mu.Lock()
				early := service
				mu.Unlock()
				group.Wait()
				report := func(when string, used, refused int, seconds float64) (float64, float64) {
					u, r := float64(used)/seconds/tc.quota.perSecond*100, float64(refused)/float64(used+refused)*100
					t.Logf("%-16s %6.2f %% of the quota used, %5.2f %% of the calls refused (%d)", when, u, r, refused)
					return u, r
				}
				report("first minute", early.used, early.refused, settled.Seconds())
				used, refused := report("after that", service.used-early.used, service.refused-early.refused, (lasts - settled).Seconds())
				report("all in all", service.used, service.refused, lasts.Seconds())
				if used < 90 || refused > 1 {
					t.Error("too little is used, or too much refused")
				}
			})
		})
	}
}

// pass lets a call through a limiter and returns how long that took.
func pass(ctx context.Context, t *testing.T, l *limiter) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := l.Wait(ctx); err != nil {
		t.Errorf("Wait: %v", err)
	}
	return time.Since(began)
}

// about tells whether a time is another but for what is lost in rounding.
func about(got, want time.Duration) bool { return (got - want).Abs() < 2*time.Millisecond }

// elapse lets time go by on the clock of a synctest bubble, which stands still while anything runs: nobody waits for it. Outside a bubble
// it panics, since somebody would.
func elapse(d time.Duration) {
	synctest.Wait()
	time.Sleep(d)
}

func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func TestTheLimiterIsATokenBucket(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, rateLimit{qps: 10, burst: 5})
		for i := range 5 {
			if waited := pass(t.Context(), t, l); waited != 0 {
				t.Errorf("call %d of the burst waited %s", i, waited)
			}
		}
		for i := range 20 {
			if waited := pass(t.Context(), t, l); !about(waited, 100*time.Millisecond) {
				t.Errorf("call %d after the burst waited %s", i, waited)
			}
		}
		elapse(300 * time.Millisecond)
		if waited := pass(t.Context(), t, l) + pass(t.Context(), t, l) + pass(t.Context(), t, l); waited > 2*time.Millisecond {
			t.Errorf("three calls after a pause waited %s", waited)
		}
		elapse(time.Hour)
		began := time.Now()
		for range 6 {
			pass(t.Context(), t, l)
		}
		if waited := time.Since(began); !about(waited, 100*time.Millisecond) {
			t.Errorf("a long pause gave more than the burst: six calls took %s", waited)
		}
	})
}

// arrivals queues calls one after the other and returns the order in which they are let through.
func arrivals(t *testing.T, l *limiter, lanes string) string {
	t.Helper()
	var mu sync.Mutex
	var order []string
	var group sync.WaitGroup
	for i, lane := range lanes {
		ctx := t.Context()
		if lane == 'b' {
			ctx = cloud.Background(ctx)
		}
		group.Go(func() {
			pass(ctx, t, l)
			mu.Lock()
			defer mu.Unlock()
			order = append(order, fmt.Sprint(string(lane), i))
		})
		synctest.Wait()
	}
	group.Wait()
	return strings.Join(order, " ")
}

func TestCallsOfTheBackgroundWaitForAllOthers(t *testing.T) {
	tests := map[string]struct{ lanes, want string }{
		"first come, first served":       {"ffff", "f0 f1 f2 f3"},
		"in the background, too":         {"bbbb", "b0 b1 b2 b3"},
		"behind those that come later":   {"bbff", "f2 f3 b0 b1"},
		"between them, now and then":     {"bb" + strings.Repeat("f", 20), "f2 f3 f4 f5 f6 f7 f8 f9 f10 b0 f11 f12 f13 f14 f15 f16 f17 f18 f19 b1 f20 f21"},
		"not behind those that are gone": {"fbf", "f0 f2 b1"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				l := newLimiter(clock.RealClock{}, rateLimit{qps: 1, burst: 1})
				pass(t.Context(), t, l)
				if got := arrivals(t, l, tc.lanes); got != tc.want {
					t.Errorf("got %s, want %s", got, tc.want)
				}
			})
		})
	}
}

func TestWhoGivesUpSpendsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, rateLimit{qps: 1, burst: 1})
		pass(t.Context(), t, l)
		var group sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 100 {
			waiting := ctx
			if i%2 == 0 {
				waiting = cloud.Background(ctx)
			}
			group.Go(func() {
				if _, err := l.Wait(waiting); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		cancel()
		group.Wait()
		if l.foreground.Len()+l.background.Len() != 0 {
			t.Error("somebody still waits")
		}
		if waited := pass(t.Context(), t, l); !about(waited, time.Second) {
			t.Errorf("the next call waited %s", waited)
		}
		if _, err := l.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		elapse(time.Second)
		if waited := pass(t.Context(), t, l); waited != 0 {
			t.Error("a call that had been given up before it waited has spent a token")
		}
	})
}

// TestATurnThatComesTooLateIsNotLost: it comes at the moment at which its caller gives up.
func TestATurnThatComesTooLateIsNotLost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, rateLimit{qps: 1, burst: 1})
		pass(t.Context(), t, l)
		turn, leave, err := l.join(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var second time.Duration
		var group sync.WaitGroup
		group.Go(func() { second = pass(t.Context(), t, l) })
		elapse(time.Second)
		synctest.Wait()
		if len(turn) != 1 {
			t.Error("the turn has not come")
		}
		leave()
		group.Wait()
		if !about(second, time.Second) {
			t.Errorf("the next one waited %s", second)
		}
	})
}

func TestADeadlineThatCannotBeMetFailsAtOnce(t *testing.T) {
	tests := map[string]struct {
		lanes      string
		background bool
		retryAfter time.Duration
		deadline   time.Duration
		fails      bool
	}{
		"a token that comes in time":              {deadline: time.Second + time.Millisecond},
		"a token that comes too late":             {deadline: time.Second - time.Millisecond, fails: true},
		"a place in the queue that is too far":    {lanes: "ff", deadline: 2900 * time.Millisecond, fails: true},
		"a place in the queue that will do":       {lanes: "ff", deadline: 3100 * time.Millisecond},
		"the background does not count":           {lanes: "bbbb", deadline: 1100 * time.Millisecond},
		"for the background all others count":     {lanes: "fffb", background: true, deadline: 4900 * time.Millisecond, fails: true},
		"for the background, in time":             {lanes: "fffb", background: true, deadline: 5100 * time.Millisecond},
		"for the background, there is its share":  {lanes: strings.Repeat("f", 40), background: true, deadline: 10100 * time.Millisecond},
		"its share does not come sooner than due": {lanes: strings.Repeat("f", 40), background: true, deadline: 9900 * time.Millisecond, fails: true},
		"a pause that the service asked for":      {retryAfter: time.Minute, deadline: time.Minute, fails: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				l := newLimiter(clock.RealClock{}, rateLimit{qps: 1, burst: 1})
				pass(t.Context(), t, l)
				if tc.retryAfter > 0 {
					l.Throttled(time.Now(), tc.retryAfter)
				}
				others, stop := context.WithCancel(t.Context())
				var group sync.WaitGroup
				for _, lane := range tc.lanes {
					ctx := others
					if lane == 'b' {
						ctx = cloud.Background(others)
					}
					group.Go(func() { _, _ = l.Wait(ctx) }) //nolint:errcheck // it is stopped at the end
					synctest.Wait()
				}
				ctx, cancel := context.WithTimeout(t.Context(), tc.deadline)
				defer cancel()
				if tc.background {
					ctx = cloud.Background(ctx)
				}
				began := time.Now()
				_, err := l.Wait(ctx)
				if failed := errors.Is(err, errNoRoom); failed != tc.fails || failed && time.Since(began) > 0 {
					t.Errorf("got %v after %s", err, time.Since(began))
				}
				stop()
				group.Wait()
			})
		})
	}
}

func TestTheServiceIsNotCalledBeforeItSaid(t *testing.T) {
	tests := map[string]struct {
		told []time.Duration
		want time.Duration
	}{
		"it said nothing":             {[]time.Duration{0}, time.Second},
		"it said something":           {[]time.Duration{7 * time.Second}, 7 * time.Second},
		"it said several things":      {[]time.Duration{2 * time.Second, 9 * time.Second, 0, time.Second}, 9 * time.Second},
		"it said less than the usual": {[]time.Duration{time.Millisecond}, time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				l := newLimiter(clock.RealClock{}, rateLimit{qps: 100, burst: 100})
				sent, err := l.Wait(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, retryAfter := range tc.told {
					l.Throttled(sent, retryAfter)
				}
				began := time.Now()
				for range 3 {
					pass(t.Context(), t, l)
				}
				// The pause brings no tokens, so these are three at the rate of the end of it.
				if waited := time.Since(began); waited < tc.want+30*time.Millisecond || waited > tc.want+100*time.Millisecond {
					t.Errorf("the next three calls took %s, want %s and a bit", waited, tc.want)
				}
			})
		})
	}
}

// TestOneExcessIsOneSlowdown: however many of the calls under way are refused.
func TestOneExcessIsOneSlowdown(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, rateLimit{qps: 100, burst: 200})
		var sent []time.Time
		for range 250 {
			at, err := l.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			sent = append(sent, at)
		}
		for _, at := range sent[:200] {
			l.Throttled(at, 0)
		}
		if got := l.pace.rate; got != 100*slowdown {
			t.Errorf("the rate is %v", got)
		}
		next, err := l.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range sent[200:] {
			// The answers of those that were sent before are slow.
			l.Throttled(at, 0)
		}
		if got := l.pace.rate; got < 100*slowdown {
			t.Errorf("the rate is %v", got)
		}
		before := l.pace.rate
		l.Throttled(next, 0)
		if got := l.pace.rate; got > before*slowdown {
			t.Errorf("after another excess, the rate is %v, before it was %v", got, before)
		}
	})
}

func TestTheRateHasAFloor(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, rateLimit{qps: 20, burst: 40})
		for range 100 {
			sent, err := l.Wait(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			l.Throttled(sent, 0)
		}
		began := time.Now()
		for range 10 {
			pass(t.Context(), t, l)
		}
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("ten calls took %s", took)
		}
	})
}

// TestTheConfiguredRateComesBack when the service allows it again: within the time of the last trial and a minute or two.
func TestTheConfiguredRateComesBack(t *testing.T) {
	tests := map[string]struct {
		refusals int
		// busy tells that calls are waiting all the time.
		busy   bool
		within time.Duration
	}{
		"after one refusal":                  {1, true, time.Minute},
		"after many":                         {10, true, lastTrial + 2*time.Minute},
		"after many, without anything to do": {10, false, memory + time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				l := newLimiter(clock.RealClock{}, rateLimit{qps: 50, burst: 100})
				for range tc.refusals {
					sent, err := l.Wait(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					l.Throttled(sent, 0)
				}
				ctx, stop := context.WithCancel(t.Context())
				var group sync.WaitGroup
				for range 10 {
					group.Go(func() {
						for tc.busy {
							if _, err := l.Wait(ctx); err != nil {
								return
							}
						}
					})
				}
				<-time.After(tc.within)
				stop()
				group.Wait()
				l.mu.Lock()
				defer l.mu.Unlock()
				l.fill()
				if l.pace.restrained() || l.pace.rate != 50 {
					t.Errorf("after %s the rate is %v", tc.within, l.pace.rate)
				}
			})
		})
	}
}

// TestNothingIsLearntWhileNothingIsSent: that nobody was refused then says nothing about the service.
func TestNothingIsLearntWhileNothingIsSent(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, rateLimit{qps: 50, burst: 100})
		l.Throttled(time.Now(), 0)
		elapse(memory / 2)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.fill()
		if ceiling := l.pace.ceiling; ceiling != 50 {
			t.Errorf("the ceiling is %v", ceiling)
		}
	})
}

// TestABurstIsNotRepeatedAgainstALowerQuota: once the service has refused a burst, the next pause is not followed by another.
func TestABurstIsNotRepeatedAgainstALowerQuota(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, rateLimit{qps: 200, burst: 400})
		service := quota{perSecond: 50, window: true}
		var mu sync.Mutex
		refused := make([]int, 0, 10)
		for range cap(refused) {
			before := service.refused
			var group sync.WaitGroup
			for range 400 {
				group.Go(func() {
					sent, err := l.Wait(t.Context())
					if err != nil {
						t.Error(err)
					}
					<-time.After(50 * time.Millisecond)
					mu.Lock()
					taken := service.take(time.Now())
					mu.Unlock()
					if !taken {
						l.Throttled(sent, 0)
					}
				})
			}
			group.Wait()
			refused = append(refused, service.refused-before)
			<-time.After(30 * time.Second)
		}
		if last := slices.Max(refused[5:]); last > 5 {
			t.Errorf("bursts of 400 had %v calls refused", refused)
		}
	})
}

func TestTheSmallestLimitHolds(t *testing.T) {
	type got struct {
		qps   float64
		burst int
	}
	l := newLimiter(clock.RealClock{}, rateLimit{qps: 20, burst: 40})
	for i, step := range []struct {
		do   func()
		want got
	}{
		{func() {}, got{20, 40}},
		{func() { l.claim("a", rateLimit{qps: 100, burst: 200}) }, got{100, 200}},
		{func() { l.claim("b", rateLimit{qps: 50, burst: 500}) }, got{50, 200}},
		{func() { l.claim("c", rateLimit{qps: 200, burst: 10}) }, got{50, 10}},
		{func() { l.claim("b", rateLimit{qps: 70, burst: 500}) }, got{70, 10}},
		{func() { l.release("c") }, got{70, 200}},
		{func() { l.release("b") }, got{100, 200}},
		{func() { l.release("a") }, got{100, 200}},
		{func() { l.claim("a", rateLimit{qps: 1, burst: 1}) }, got{1, 1}},
	} {
		step.do()
		if is := (got{l.pace.rate, l.burst}); is != step.want {
			t.Errorf("after step %d: %+v, want %+v", i, is, step.want)
		}
	}
}

func TestAHigherLimitHoldsForThoseWhoWait(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, rateLimit{qps: 1, burst: 1})
		l.claim("slow", rateLimit{qps: 1, burst: 1})
		l.claim("fast", rateLimit{qps: 1000, burst: 1})
		pass(t.Context(), t, l)
		var group sync.WaitGroup
		var waited time.Duration
		group.Go(func() { waited = pass(t.Context(), t, l) })
		<-time.After(100 * time.Millisecond)
		l.release("slow")
		group.Wait()
		if !about(waited, 101*time.Millisecond) {
			t.Errorf("waited %s", waited)
		}
	})
}

// TestTheLimiterUnderFire: many who wait and many who give up, of both lanes. Nobody is forgotten, and no more go through than may.
func TestTheLimiterUnderFire(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const qps, burst, callers = 100, 10, 2000
		l := newLimiter(clock.RealClock{}, rateLimit{qps: qps, burst: burst})
		began := time.Now()
		var mu sync.Mutex
		passed := 0
		var group sync.WaitGroup
		for i := range callers {
			group.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i%3 == 0 {
					ctx = cloud.Background(ctx)
				}
				if i%2 == 0 {
					time.AfterFunc(time.Duration(i)*10*time.Millisecond, cancel)
				}
				if _, err := l.Wait(ctx); err == nil {
					mu.Lock()
					defer mu.Unlock()
					passed++
				}
			})
		}
		group.Wait()
		took := time.Since(began)
		if passed < callers/2 {
			t.Errorf("only %d went through", passed)
		}
		if most := float64(burst) + took.Seconds()*qps; float64(passed) > most+1 {
			t.Errorf("%d went through in %s", passed, took)
		}
		if least := burst + took.Seconds()*qps; float64(passed) < least-2 {
			t.Errorf("%d went through in %s, so tokens were lost", passed, took)
		}
		if l.foreground.Len()+l.background.Len() != 0 {
			t.Error("somebody still waits")
		}
	})
}
