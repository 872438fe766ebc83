package connect

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

var start = time.Date(2026, 11, 21, 16, 20, 0, 0, time.UTC)

// newClocked makes a limiter with a budget, and the clock that it goes by. It is fast enough for nobody to have to wait.
func newClocked(perDay int) (*limiter, *clocktesting.FakeClock) {
	fake := clocktesting.NewFakeClock(start)
	return newLimiter(fake, rateLimit{qps: 10000, burst: 20000, perDay: perDay}), fake
}

// most is the largest number of calls within a time, which must be in order.
func most(calls []time.Time, within time.Duration) int {
	highest, first := 0, 0
	for i, call := range calls {
		for call.Sub(calls[first]) >= within {
			first++
		}
		highest = max(highest, i-first+1)
	}
	return highest
}

// TestTheBudgetHoldsInAny24Hours, whenever the calls come, and who comes back when told is let through.
func TestTheBudgetHoldsInAny24Hours(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		perDay := 1 + random.IntN(60)
		l, fake := newClocked(perDay)
		step := 48 * time.Hour / time.Duration(1+random.IntN(8*perDay))
		var calls []time.Time
		for range 600 {
			ctx, kind := t.Context(), ""
			if random.IntN(3) == 0 {
				ctx, kind = cloud.Background(ctx), "of the background "
			}
			_, err := l.Wait(ctx)
			if e, ok := errors.AsType[*cloud.Error](err); ok && random.IntN(4) == 0 {
				fake.Step(e.RetryAfter - 1)
				if _, err := l.Wait(ctx); err == nil {
					t.Fatalf("seed %d: a call %swas let through before the time of which it was told", seed, kind)
				}
				fake.Step(1)
				_, err = l.Wait(ctx)
			}
			if err == nil {
				calls = append(calls, fake.Now())
			}
			fake.Step(time.Duration(random.Int64N(int64(2 * step))))
		}
		if got := most(calls, day); got > perDay {
			t.Errorf("seed %d: %d calls in 24 hours with a budget of %d", seed, got, perDay)
		}
		if got := most(calls, 25*time.Hour); got == 0 {
			t.Errorf("seed %d: no call at all", seed)
		}
	}
}

func TestABudgetThatIsUsedUpIsSaid(t *testing.T) {
	tests := map[string]struct {
		foreground, background int
		asBackground           bool
		want                   *cloud.Error
	}{
		"one call is left":                    {foreground: 99},
		"none is left":                        {foreground: 100, want: &cloud.Error{Message: "not sent: the budget of 100 calls a day is used up"}},
		"none is left for the background":     {foreground: 100, asBackground: true, want: &cloud.Error{Message: "not sent: the budget of 100 calls a day is used up"}},
		"a quarter is left":                   {foreground: 75, asBackground: true},
		"less than a quarter is left":         {foreground: 76, asBackground: true, want: &cloud.Error{Message: "not sent: the rest of the budget of 100 calls a day is kept for what people ask for"}},
		"the background has used all it may":  {background: 76, asBackground: true, want: &cloud.Error{Message: "not sent: the rest of the budget of 100 calls a day is kept for what people ask for"}},
		"the others still have their quarter": {background: 76, foreground: 23},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			l, fake := newClocked(100)
			spend(t, l, cloud.Background(t.Context()), tc.background)
			spend(t, l, t.Context(), tc.foreground)
			fake.Step(90 * time.Minute)
			ctx := t.Context()
			if tc.asBackground {
				ctx = cloud.Background(ctx)
			}
			before := l.budget
			_, err := l.Wait(ctx)
			got, _ := errors.AsType[*cloud.Error](err)
			if tc.want != nil {
				// All calls were in the first hour, and half an hour of the second is over.
				tc.want.Code, tc.want.Throttled, tc.want.RetryAfter = cloud.RemoteUnavailable, true, 23*time.Hour+30*time.Minute
				before.hour, before.used = l.budget.hour, l.budget.used
				if l.budget != before || l.budget.sum() != tc.foreground+tc.background {
					t.Errorf("something was spent: %+v, before %+v", l.budget, before)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("the error (-want +got):\n%s", diff)
			}
		})
	}
}

func spend(t *testing.T, l *limiter, ctx context.Context, calls int) { //nolint:revive // it belongs to the test before it belongs to the context
	t.Helper()
	for range calls {
		if _, err := l.Wait(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHowMuchTheBackgroundMaySpend(t *testing.T) {
	for perDay, want := range map[int]int{1: 1, 2: 2, 3: 3, 4: 4, 5: 4, 8: 7, 100: 76, 1000: 751} {
		l, _ := newClocked(perDay)
		spent := 0
		for ; spent <= perDay; spent++ {
			if _, err := l.Wait(cloud.Background(t.Context())); err != nil {
				break
			}
		}
		if spent != want {
			t.Errorf("%d of %d, want %d", spent, perDay, want)
		}
	}
}

// TestThePartOfTheBudgetThatIsNotUsedIsNotSaved: after however long a pause, there is one budget for a day.
func TestThePartOfTheBudgetThatIsNotUsedIsNotSaved(t *testing.T) {
	for _, pause := range []time.Duration{24 * time.Hour, 25 * time.Hour, 26 * time.Hour, 49 * time.Hour, 50 * time.Hour, 1000 * time.Hour, 100000 * time.Hour} {
		l, fake := newClocked(10)
		spend(t, l, t.Context(), 10)
		fake.Step(pause)
		_, err := l.Wait(t.Context())
		// The hour in which the calls were made is over when the first of a day's hours ends.
		if room := pause > 24*time.Hour; room != (err == nil) {
			t.Errorf("after %s: %v", pause, err)
		}
		if err != nil {
			continue
		}
		spend(t, l, t.Context(), 9)
		if _, err := l.Wait(t.Context()); err == nil {
			t.Errorf("after %s there were 11 calls", pause)
		}
	}
}

func TestWhoGivesUpSpendsNothingOfTheBudget(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, rateLimit{qps: 1, burst: 1, perDay: 10})
		spend(t, l, t.Context(), 1)
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		for range 9 {
			group.Go(func() {
				if _, err := l.Wait(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		if _, err := l.Wait(t.Context()); cloud.CodeOf(err) != cloud.RemoteUnavailable {
			t.Errorf("beside those who wait there is no room, but got %v", err)
		}
		cancel()
		group.Wait()
		late, stop := context.WithDeadline(t.Context(), time.Now())
		defer stop()
		if _, err := l.Wait(late); err == nil {
			t.Error("no time was left")
		}
		spend(t, l, t.Context(), 9)
		if _, err := l.Wait(t.Context()); cloud.CodeOf(err) != cloud.RemoteUnavailable {
			t.Errorf("got %v after ten calls", err)
		}
	})
}

// TestATurnThatComesTooLateIsNotLostToTheBudget: it comes at the moment at which its caller gives up, or hours before that is noticed.
func TestATurnThatComesTooLateIsNotLostToTheBudget(t *testing.T) {
	for _, after := range []time.Duration{0, 3 * time.Hour, 24 * time.Hour, 25 * time.Hour, 100 * time.Hour} {
		l, fake := newClocked(10)
		_, leave, err := l.join(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fake.Step(after)
		leave()
		spend(t, l, t.Context(), 10)
		if _, err := l.Wait(t.Context()); err == nil {
			t.Errorf("after %s there is room for an eleventh call", after)
		}
	}
}

// TestABudgetUnderFire: many at once, who also wait for the rate.
func TestABudgetUnderFire(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, rateLimit{qps: 5, burst: 2, perDay: 50})
		var mu sync.Mutex
		passed, refused := 0, 0
		var group sync.WaitGroup
		for i := range 500 {
			group.Go(func() {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i%3 == 0 {
					ctx = cloud.Background(ctx)
				}
				if i%2 == 0 {
					time.AfterFunc(time.Duration(i)*time.Millisecond, cancel)
				}
				_, err := l.Wait(ctx)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					passed++
				case cloud.CodeOf(err) == cloud.RemoteUnavailable:
					refused++
				}
			})
		}
		group.Wait()
		if passed > 50 || passed < 20 || refused < 400 {
			t.Errorf("%d passed, %d were refused", passed, refused)
		}
		if l.budget.sum() != passed || l.budget.reserved != 0 {
			t.Errorf("%d passed, but %d are counted, and %d reserved", passed, l.budget.sum(), l.budget.reserved)
		}
	})
}

func TestTheSmallestBudgetHolds(t *testing.T) {
	l := newLimiter(clocktesting.NewFakeClock(start), rateLimit{qps: 4, burst: 4, perDay: 7})
	with := func(perDay int) rateLimit { return rateLimit{qps: 4, burst: 4, perDay: perDay} }
	for i, step := range []struct {
		do   func()
		want int
	}{
		{func() {}, 7},
		{func() { l.claim("a", with(0)) }, 0},
		{func() { l.claim("b", with(100)) }, 100},
		{func() { l.claim("c", with(50)) }, 50},
		{func() { l.claim("d", with(200)) }, 50},
		{func() { l.claim("c", with(300)) }, 100},
		{func() { l.release("b") }, 200},
		{func() { l.release("c") }, 200},
		{func() { l.release("d") }, 0},
		{func() { l.claim("a", with(9)) }, 9},
		{func() { l.release("a") }, 9},
	} {
		step.do()
		if got := l.budget.perDay; got != step.want {
			t.Errorf("after step %d: %d, want %d", i, got, step.want)
		}
	}
}

// TestCallsCountBeforeThereIsABudget, and a smaller one than has been used lets nothing through until there is room.
func TestCallsCountBeforeThereIsABudget(t *testing.T) {
	l, fake := newClocked(0)
	spend(t, l, t.Context(), 50)
	fake.Step(time.Hour)
	spend(t, l, t.Context(), 5)
	l.claim("a", rateLimit{qps: 4, burst: 4, perDay: 10})
	_, err := l.Wait(t.Context())
	if e, ok := errors.AsType[*cloud.Error](err); !ok || e.RetryAfter != 24*time.Hour {
		t.Errorf("got %v", err)
	}
	fake.Step(24 * time.Hour)
	spend(t, l, t.Context(), 4)
}

// TestWhatTheBudgetRefusesIsNotSent, says which call it was, and says nothing about the service's rate.
func TestWhatTheBudgetRefusesIsNotSent(t *testing.T) {
	l, _ := newClocked(1)
	spend(t, l, t.Context(), 1)
	transport := openapi.Transport{Limiter: l, Timeout: time.Second}
	for i := range 3 {
		op := fmt.Sprint("call ", i)
		err := transport.Do(t.Context(), "Call", op, func(context.Context) (*openapi.Answer, error) {
			t.Error("it was sent")
			return nil, errors.New("sent")
		}, nil)
		if !strings.HasPrefix(err.Error(), op+": not sent: the budget of 1 calls a day") || !cloud.Refused(err) {
			t.Errorf("got %v", err)
		}
	}
	if l.pace.restrained() || !l.paused.IsZero() {
		t.Error("the limiter slowed down")
	}
}
