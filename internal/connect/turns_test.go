package connect

import (
	"container/heap"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// event is something that happens in a simulation.
type event struct {
	at time.Time
	do func()
}

type agenda []event

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(e any)        { *a = append(*a, e.(event)) } //nolint:forcetypeassert // at puts nothing else there
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	*a = (*a)[:last]
	return e
}

// simulation has waiters ask a limiter for turns in a bubble, whose clock goes as fast as there is nothing to do.
type simulation struct {
	t      *testing.T
	l      *limiter
	random *rand.Rand
	agenda agenda
	// late is how much later than told somebody may come back.
	late time.Duration
	// again makes those who have had their turn ask for another after that time.
	again time.Duration

	// due is since when each of the waiters is due, told when it is to come back, if it has asked.
	due, told map[types.UID]time.Time
	// served and calls are in the order in which they happened.
	served []types.UID
	calls  []time.Time
	// overtaken are those who are waiting, each with one who has got a turn before them although they are due longer; nil for strict order.
	overtaken map[[2]types.UID]bool
}

func newSimulation(t *testing.T, limit rateLimit, seed uint64) *simulation {
	t.Helper()
	return &simulation{
		t: t, l: newLimiter(clock.RealClock{}, limit), random: rand.New(rand.NewPCG(seed, 2)),
		due: map[types.UID]time.Time{}, told: map[types.UID]time.Time{},
	}
}

// some is a time of up to a bound.
func (s *simulation) some(bound time.Duration) time.Duration {
	return time.Duration(s.random.Int64N(int64(bound) + 1))
}

func (s *simulation) after(wait time.Duration, do func()) {
	heap.Push(&s.agenda, event{time.Now().Add(wait), do})
}

// run lets a time pass.
func (s *simulation) run(lasts time.Duration) {
	end := time.Now().Add(lasts)
	for len(s.agenda) > 0 && !s.agenda[0].at.After(end) {
		next := heap.Pop(&s.agenda).(event) //nolint:forcetypeassert // see Push
		if wait := time.Until(next.at); wait > 0 {
			elapse(wait)
		}
		next.do()
	}
	elapse(time.Until(end))
}

// add has waiters come within a time, who have been due in any order.
func (s *simulation) add(n int, within time.Duration) {
	for i := range n {
		uid := types.UID(fmt.Sprintf("w%04d", i))
		s.due[uid] = time.Now().Add(-s.some(24 * time.Hour).Round(time.Minute))
		s.after(s.some(within), func() { s.ask(uid) })
	}
}

// ask asks for a turn, and again when told, until it is given.
func (s *simulation) ask(uid types.UID) {
	due, there := s.due[uid]
	if !there {
		return
	}
	wait := s.l.turn(uid, due)
	if wait != 0 {
		if wait < soonest || wait > latest {
			s.t.Fatalf("%s was told to wait %s", uid, wait)
		}
		s.told[uid] = time.Now().Add(wait)
		s.after(wait+s.some(s.late), func() { s.ask(uid) })
		return
	}
	if s.overtaken == nil {
		s.checkOrder(uid, due)
	}
	s.overtake(uid, due)
	s.served = append(s.served, uid)
	delete(s.told, uid)
	s.call(true)
	if s.again == 0 {
		delete(s.due, uid)
		return
	}
	s.due[uid] = time.Now().Add(s.again)
	s.after(s.again, func() { s.ask(uid) })
}

// checkOrder complains if somebody gets a turn while others, who have been on time, are due longer. Only those can have been overtaken for
// whom there are turns left; with a budget there is no such case here.
func (s *simulation) checkOrder(uid types.UID, due time.Time) {
	overtaken := 0.0
	for other, told := range s.told {
		if since := s.due[other]; other != uid && time.Now().Before(told) && (since.Before(due) || since.Equal(due) && other < uid) {
			overtaken++
		}
	}
	if overtaken > 0 && (s.l.budget.perDay == 100 || s.l.turns.tokens < overtaken-1e-6) {
		s.t.Fatalf("%s, due since %s, got a turn while %v others are due longer", uid, due, overtaken)
	}
}

// overtake notes who is due longer than somebody who gets a turn, and complains if the same is overtaken by the same twice before his turn.
func (s *simulation) overtake(uid types.UID, due time.Time) {
	for other := range s.told {
		if pair := [2]types.UID{other, uid}; s.overtaken != nil && s.due[other].Before(due) {
			if s.overtaken[pair] {
				s.t.Fatalf("%s was overtaken by %s twice", other, uid)
			}
			s.overtaken[pair] = true
		}
	}
	for pair := range s.overtaken {
		if pair[0] == uid {
			delete(s.overtaken, pair)
		}
	}
}

// vanish takes a waiter away, who says so or not.
func (s *simulation) vanish(uid types.UID, says bool) {
	delete(s.due, uid)
	delete(s.told, uid)
	if says {
		s.l.unused(uid)
	}
}

func (s *simulation) call(background bool) {
	ctx := s.t.Context()
	if background {
		ctx = cloud.Background(ctx)
	}
	if _, err := s.l.Wait(ctx); err == nil {
		s.calls = append(s.calls, time.Now())
	} else if background {
		s.t.Fatalf("a turn without a call: %v", err)
	}
}

// foreground makes calls that people ask for, at random times.
func (s *simulation) foreground(perDay int) {
	s.after(s.some(2*day/time.Duration(perDay)), func() {
		s.call(false)
		s.foreground(perDay)
	})
}

func (s *simulation) checkBudget(perDay int) {
	s.t.Helper()
	if got := most(s.calls, day); got > perDay {
		s.t.Errorf("%d calls in 24 hours", got)
	}
}

// oldest are the waiters in the order in which they are due.
func (s *simulation) oldest() []types.UID {
	var uids []types.UID
	for uid := range s.due {
		uids = append(uids, uid)
	}
	slices.SortFunc(uids, func(a, b types.UID) int {
		if order := s.due[a].Compare(s.due[b]); order != 0 {
			return order
		}
		if a < b {
			return -1
		}
		return 1
	})
	return uids
}

// TestAllGetTheirTurnWithinTheBudget: 500 requests for 100 calls a day, some of which people need.
func TestAllGetTheirTurnWithinTheBudget(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newSimulation(t, rateLimit{qps: 4, burst: 4, perDay: 100}, 1)
		s.again = 4 * time.Hour
		s.add(500, 10*time.Minute)
		s.foreground(10)
		want := s.oldest()
		s.run(9 * day)
		if len(s.served) < 500 {
			t.Fatalf("%d turns in 9 days", len(s.served))
		}
		if !slices.Equal(s.served[:500], want) {
			t.Error("the first 500 turns did not go to those who were due longest")
		}
		// From now on, people need so much that less is left for turns.
		s.foreground(40)
		s.run(3 * day)
		turns := map[types.UID]int{}
		for i, uid := range s.served {
			if turns[uid]++; turns[uid] > 1+i/500 {
				t.Fatalf("turn %d is number %d of %s, while others wait for theirs", i, turns[uid], uid)
			}
		}
		s.checkBudget(100)
		t.Logf("%d turns, %d calls in 12 days, at most %d in 24 hours", len(s.served), len(s.calls), most(s.calls, day))
	})
}

// TestPeopleComeBeforeTurns: they may use the budget up, and turns stay within what is left to the background.
func TestPeopleComeBeforeTurns(t *testing.T) {
	for _, perDay := range []int{50, 90, 300} {
		t.Run(fmt.Sprint(perDay), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := newSimulation(t, rateLimit{qps: 4, burst: 4, perDay: 100}, uint64(perDay))
				s.again, s.late = 4*time.Hour, 5*time.Second
				s.add(100, 10*time.Minute)
				s.foreground(perDay)
				s.run(6 * day)
				s.checkBudget(100)
				t.Logf("%d turns, %d calls in 6 days", len(s.served), len(s.calls))
				if len(s.served) == 0 {
					t.Error("no turns at all")
				}
			})
		})
	}
}

// TestWhoVanishesHoldsUpNobody: most of the waiters stop asking at some time, and do not say so.
func TestWhoVanishesHoldsUpNobody(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newSimulation(t, rateLimit{qps: 4, burst: 4, perDay: 100}, 3)
		s.late = 10 * time.Second
		s.add(500, 10*time.Minute)
		for i, uid := range s.oldest() {
			if i%4 != 3 {
				s.after(s.some(day), func() { s.vanish(uid, false) })
			}
		}
		// 60 turns a day: those who have stayed are no more than 125, and some turns go to those who go later.
		s.run(4 * day)
		if len(s.due) != 0 {
			t.Errorf("%d of those who have stayed had no turn in 4 days", len(s.due))
		}
		s.checkBudget(100)
		if n := len(s.l.turns.waiting); n > 0 {
			s.l.turn("another", time.Now())
			if n = len(s.l.turns.waiting); n > 1 {
				t.Errorf("%d are still waited for", n)
			}
		}
	})
}

// TestTurnsAreFair, whatever the budget, however late they come back, whoever vanishes and whatever people do meanwhile: nobody overtakes
// another twice, nobody waits for much longer than it takes to serve all, and there are no more turns than there should be.
func TestTurnsAreFair(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 6))
				waiters, perDay := 1+random.IntN(40), 5+random.IntN(200)
				s := newSimulation(t, rateLimit{qps: 1 + random.IntN(10), burst: 1 + random.IntN(10), perDay: perDay}, seed)
				s.late, s.again = s.some(patience), 70*time.Minute+s.some(6*time.Hour)
				s.overtaken = map[[2]types.UID]bool{}
				s.add(waiters, time.Hour)
				for _, uid := range s.oldest()[:waiters/3] {
					s.after(s.some(3*day), func() { s.vanish(uid, s.random.IntN(2) == 0) })
				}
				s.foreground(1 + perDay/10)
				began, longest := time.Now(), time.Duration(float64(waiters)/(turnBudget*float64(perDay))*float64(day))+s.again+12*time.Hour
				for range 10 {
					s.run(day / 2)
					for uid, due := range s.due {
						if due.Before(began) {
							due = began
						}
						if waits := time.Since(due); waits > longest {
							t.Fatalf("%s of %d has waited for %s, with %d calls a day", uid, waiters, waits, perDay)
						}
					}
				}
				s.checkBudget(perDay)
				if limit := int(5*turnBudget*float64(perDay)) + 1; len(s.served) > limit || len(s.served) == 0 {
					t.Errorf("%d turns in 5 days, with %d calls a day", len(s.served), perDay)
				}
			})
		})
	}
}

// TestARestartDoesNotSpendTheBudgetAgain: what was counted is gone then, and so are the waiters.
func TestARestartDoesNotSpendTheBudgetAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		limit := rateLimit{qps: 4, burst: 4, perDay: 100}
		s := newSimulation(t, limit, 4)
		s.add(200, 10*time.Minute)
		want := s.oldest()
		for len(s.due) > 0 && len(s.calls) < 1000 {
			s.run(time.Hour + s.some(5*time.Hour))
			s.l, s.agenda, s.told = newLimiter(clock.RealClock{}, limit), nil, map[types.UID]time.Time{}
			for _, uid := range slices.Sorted(maps.Keys(s.due)) {
				s.after(s.some(time.Minute), func() { s.ask(uid) })
			}
		}
		if !slices.Equal(s.served, want) {
			t.Error("the turns did not go to those who were due longest")
		}
		if got := most(s.calls, day); got > 60 {
			t.Errorf("%d calls in 24 hours", got)
		}
		if took := s.calls[len(s.calls)-1].Sub(s.calls[0]); took > 5*day {
			t.Errorf("200 turns took %s", took)
		}
	})
}

// TestWithoutABudgetTurnsTakeHalfOfTheRate, however late somebody is and however small the burst.
func TestWithoutABudgetTurnsTakeHalfOfTheRate(t *testing.T) {
	tests := map[string]struct {
		limit   rateLimit
		waiters int
		late    time.Duration
		// less is what part of the rate may be lost.
		less float64
	}{
		"the defaults":            {rateLimit{qps: 4, burst: 4}, 5000, 0, 0.001},
		"coming back late":        {rateLimit{qps: 4, burst: 4}, 1000, time.Second, 0.05},
		"a burst of one":          {rateLimit{qps: 4, burst: 1}, 1000, 0, 0.01},
		"a high rate":             {rateLimit{qps: 50, burst: 1}, 3000, 0, 0.05},
		"a high rate, and late":   {rateLimit{qps: 50, burst: 1}, 3000, time.Second, 0.1},
		"a budget that is no aim": {rateLimit{qps: 4, burst: 4, perDay: 1000000}, 1000, 0, 0.01},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := newSimulation(t, tc.limit, 5)
				s.late = tc.late
				s.add(tc.waiters, 0)
				began := time.Now()
				s.run(time.Hour)
				if len(s.served) != tc.waiters {
					t.Fatalf("%d turns in an hour", len(s.served))
				}
				took := s.calls[len(s.calls)-1].Sub(began).Seconds()
				rate, want := float64(tc.waiters)/took, float64(tc.limit.qps)/2
				t.Logf("%.3f turns a second", rate)
				if saved := max(float64(tc.limit.burst), 2*want); rate > (float64(tc.waiters))/(float64(tc.waiters)-saved)*want+1e-9 || rate < want*(1-tc.less) {
					t.Errorf("%.3f turns a second, want %.3f", rate, want)
				}
			})
		})
	}
}

// TestTurns goes step by step; the clock only moves where a step says so.
func TestTurns(t *testing.T) {
	const first = time.Minute * 24
	type step struct {
		after time.Duration
		uid   types.UID
		// due is how many minutes before the start.
		due  int
		want time.Duration
	}
	unused := func(uid types.UID) step { return step{uid: uid, due: -1} }
	tests := map[string]struct {
		limit rateLimit
		steps []step
	}{
		"full at the start without a budget": {rateLimit{qps: 1, burst: 2}, []step{{0, "a", 1, 0}, {0, "b", 1, 0}, {0, "c", 1, 2 * time.Second}, {0, "d", 1, 4 * time.Second}}},
		"empty at the start with one":        {rateLimit{qps: 4, burst: 4, perDay: 100}, []step{{0, "a", 1, first}, {first - time.Second, "a", 1, time.Second}, {time.Second, "a", 1, 0}, {0, "a", 0, first}}},
		"saved up to a tenth of the budget": {rateLimit{qps: 4, burst: 4, perDay: 20}, []step{
			{240 * time.Hour, "a", 1, 0}, {0, "b", 1, 0}, {0, "c", 1, time.Hour},
		}},
		"at least one can be saved up":   {rateLimit{qps: 4, burst: 4, perDay: 1}, []step{{40 * time.Hour, "a", 1, 0}, {0, "b", 1, time.Hour}}},
		"never sooner than in a second":  {rateLimit{qps: 100, burst: 100}, append(slices.Repeat([]step{{0, "a", 1, 0}}, 100), step{0, "a", 1, time.Second})},
		"the one that is due longest":    {rateLimit{qps: 4, burst: 4, perDay: 100}, []step{{0, "a", 1, first}, {0, "b", 3, first}, {0, "c", 2, 2 * first}, {0, "a", 1, time.Hour}, {first, "c", 2, first}, {0, "b", 3, 0}}},
		"ties go by uid":                 {rateLimit{qps: 4, burst: 4, perDay: 100}, []step{{0, "b", 1, first}, {0, "a", 1, first}, {0, "b", 1, 2 * first}, {0, "c", 1, time.Hour}}},
		"a turn is kept for who is late": {rateLimit{qps: 4, burst: 4, perDay: 100}, []step{{0, "a", 2, first}, {first, "b", 1, first}, {0, "a", 2, 0}}},
		"who is late holds up nobody if there are turns for all": {rateLimit{qps: 4, burst: 4, perDay: 100}, []step{
			{0, "a", 2, first}, {first, "b", 1, first}, {2*time.Minute + 24*time.Second - 1, "c", 3, 0},
		}},
		"not for longer than two minutes, or a tenth of the wait": {rateLimit{qps: 4, burst: 4, perDay: 100}, []step{
			{0, "a", 2, first}, {first + 2*time.Minute + 24*time.Second, "b", 1, first - 2*time.Minute - 24*time.Second}, {1, "b", 1, 0},
		}},
		"nor who is gone":              {rateLimit{qps: 4, burst: 4, perDay: 100}, []step{{0, "a", 2, first}, {0, "b", 1, 2 * first}, unused("a"), {0, "b", 1, first}}},
		"who comes back keeps its due": {rateLimit{qps: 4, burst: 4, perDay: 100}, []step{{0, "a", 2, first}, {first + time.Hour, "b", 1, 0}, {0, "b", 1, 0}, {0, "a", 2, 0}, {0, "b", 1, first / 2}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			fake := clocktesting.NewFakeClock(start)
			l := newLimiter(fake, tc.limit)
			for i, step := range tc.steps {
				fake.Step(step.after)
				if step.due < 0 {
					l.unused(step.uid)
					continue
				}
				if got := l.turn(step.uid, start.Add(-time.Duration(step.due)*time.Minute)); (got - step.want).Abs() > time.Microsecond {
					t.Errorf("step %d: %s is told %s, want %s", i, step.uid, got, step.want)
				}
			}
		})
	}
}

func TestThereAreNoTurnsWhileTheServiceThrottles(t *testing.T) {
	l := newLimiter(clocktesting.NewFakeClock(start), rateLimit{qps: 4, burst: 4})
	sent, err := l.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.Throttled(sent, 5*time.Minute)
	if got := l.turn("a", start); got != 5*time.Minute {
		t.Errorf("told %s", got)
	}
	l.Throttled(sent, 5*time.Hour)
	if got := l.turn("a", start); got != time.Hour {
		t.Errorf("told %s", got)
	}
}

// TestThereAreNoTurnsThatTheBudgetWouldRefuse, since who gets a turn is forgotten.
func TestThereAreNoTurnsThatTheBudgetWouldRefuse(t *testing.T) {
	l, fake := newClocked(100)
	fake.Step(10 * time.Hour)
	spend(t, l, t.Context(), 76)
	if got := l.turn("a", start); got != time.Hour {
		t.Errorf("told %s", got)
	}
	fake.Step(24*time.Hour + 59*time.Minute)
	if got := l.turn("a", start); got != time.Minute {
		t.Errorf("told %s", got)
	}
	fake.Step(time.Minute)
	if got := l.turn("a", start); got != 0 {
		t.Errorf("told %s", got)
	}
}

// TestTheLastCallIsKeptForWhoIsDueLongest, even if turns have been saved up for both.
func TestTheLastCallIsKeptForWhoIsDueLongest(t *testing.T) {
	l, fake := newClocked(100)
	fake.Step(10 * time.Hour)
	spend(t, l, t.Context(), 76)
	fake.Step(24*time.Hour + 59*time.Minute)
	if got := l.turn("old", start); got != time.Minute {
		t.Errorf("told %s", got)
	}
	fake.Step(time.Minute)
	spend(t, l, t.Context(), 75)
	if got := l.turn("young", start.Add(time.Minute)); got != time.Hour {
		t.Errorf("the younger is told %s", got)
	}
	if got := l.turn("old", start); got != 0 {
		t.Errorf("the older is told %s", got)
	}
}

// TestABudgetThatComesLaterFindsNoTurnsSaved: those were saved up at the rate without it.
func TestABudgetThatComesLaterFindsNoTurnsSaved(t *testing.T) {
	fake := clocktesting.NewFakeClock(start)
	l := newLimiter(fake, rateLimit{qps: 4, burst: 40})
	l.claim("a", rateLimit{qps: 4, burst: 40, perDay: 100})
	if got := l.turn("x", start); got != 24*time.Minute {
		t.Errorf("told %s", got)
	}
	fake.Step(30 * time.Hour)
	l.claim("a", rateLimit{qps: 4, burst: 40, perDay: 10})
	for i, want := range []time.Duration{0, time.Hour} {
		if got := l.turn("x", start); got != want {
			t.Errorf("turn %d: told %s, want %s", i, got, want)
		}
	}
	l.claim("a", rateLimit{qps: 4, burst: 40})
	fake.Step(math.MaxInt32 * time.Second)
	for range 40 {
		if got := l.turn("x", start); got != 0 {
			t.Errorf("told %s", got)
		}
	}
}

func TestARefusedRequestIsLeftAlone(t *testing.T) {
	for perDay, want := range map[int]time.Duration{
		0: 5 * time.Minute, 1: 24 * time.Hour, 4: 24 * time.Hour, 8: 12 * time.Hour, 100: 57*time.Minute + 36*time.Second, 1152: 5 * time.Minute, 10000000: 5 * time.Minute,
	} {
		l := newLimiter(clocktesting.NewFakeClock(start), rateLimit{qps: 4, burst: 4, perDay: perDay})
		if got := l.retryAfterRefusal(); got != want {
			t.Errorf("with %d calls a day: %s, want %s", perDay, got, want)
		}
	}
}
