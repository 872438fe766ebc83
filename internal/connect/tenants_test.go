package connect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// order queues the calls of tenants, each a letter, of which a capital one is of the background, and
// returns the order in which they are let through.
func order(t *testing.T, tenants string) string {
	t.Helper()
	l := newLimiter(clock.RealClock{}, rateLimit{qps: 1, burst: 1})
	pass(t.Context(), t, l)
	var mu sync.Mutex
	var order []string
	var group sync.WaitGroup
	for i, tenant := range strings.Split(tenants, "") {
		ctx := cloud.ForTenant(t.Context(), strings.ToLower(tenant))
		if tenant == strings.ToUpper(tenant) {
			ctx = cloud.Background(ctx)
		}
		group.Go(func() {
			pass(ctx, t, l)
			mu.Lock()
			defer mu.Unlock()
			order = append(order, fmt.Sprint(tenant, i))
		})
		synctest.Wait()
	}
	group.Wait()
	return strings.Join(order, " ")
}

func TestTenantsOfAnAccountTakeTurns(t *testing.T) {
	tests := map[string]struct{ tenants, want string }{
		"one behind many calls of another":    {"aaaaab", "a0 b5 a1 a2 a3 a4"},
		"three":                               {"aaabbcc", "a0 b3 c5 a1 b4 c6 a2"},
		"each in the order in which it asked": {"abab", "a0 b1 a2 b3"},
		"in the background, too":              {"AAAAB", "A0 B4 A1 A2 A3"},
		"behind the foreground of others":     {"AAbbb", "b2 b3 b4 A0 A1"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				if got := order(t, tc.tenants); got != tc.want {
					t.Errorf("got %s, want %s", got, tc.want)
				}
			})
		})
	}
}

// TestADeadlineCountsOnlyTheTurnsOfOthers: many calls of another tenant do not make it too late.
func TestADeadlineCountsOnlyTheTurnsOfOthers(t *testing.T) {
	for tenant, fails := range map[string]bool{"a": true, "b": false} {
		inBubble(t, func(t *testing.T) {
			l := newLimiter(clock.RealClock{}, rateLimit{qps: 1, burst: 1})
			pass(t.Context(), t, l)
			others, stop := context.WithCancel(cloud.ForTenant(t.Context(), "a"))
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() { _, _ = l.Wait(others) }) //nolint:errcheck // it is stopped at the end
			}
			synctest.Wait()
			ctx, cancel := context.WithTimeout(cloud.ForTenant(t.Context(), tenant), 3*time.Second)
			defer cancel()
			if _, err := l.Wait(ctx); errors.Is(err, errNoRoom) != fails {
				t.Errorf("tenant %s: got %v", tenant, err)
			}
			stop()
			group.Wait()
		})
	}
}

// unanswered is the end of a call that timed out.
var unanswered = &cloud.Error{Code: cloud.RemoteUnavailable, Message: "no answer in time"}

// letThrough sends a call.
func letThrough(t *testing.T, l *limiter) time.Time {
	t.Helper()
	sent, err := l.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

// TestASilentServiceIsTriedByOneCallAtATime, and by as many as there are once it has answered.
func TestASilentServiceIsTriedByOneCallAtATime(t *testing.T) {
	refused := &cloud.Error{Code: cloud.PermissionDenied, HTTPStatus: 403}
	for name, answer := range map[string]error{"a success": nil, "a refusal": refused} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				l := newLimiter(clock.RealClock{}, rateLimit{qps: 100, burst: 100})
				first, second := letThrough(t, l), letThrough(t, l)
				<-time.After(30 * time.Second)
				l.Ended(first, unanswered)
				if _, err := l.Wait(t.Context()); !cloud.Unsent(err) || l.Closed() == nil {
					t.Errorf("while a call is under way: %v", err)
				}
				l.Ended(second, unanswered)
				for range 3 {
					if l.Closed() != nil {
						t.Error("nothing is under way, and nothing may be tried")
					}
					probe := letThrough(t, l)
					if _, err := l.Wait(t.Context()); !cloud.IsUnanswered(err) {
						t.Errorf("while one is tried: %v", err)
					}
					<-time.After(30 * time.Second)
					l.Ended(probe, unanswered)
				}
				l.Ended(letThrough(t, l), answer)
				letThrough(t, l)
				letThrough(t, l)
			})
		})
	}
}

// TestThoseWhoWaitForASilentService do not go on waiting: one is tried, the others are refused.
func TestThoseWhoWaitForASilentService(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		l := newLimiter(clock.RealClock{}, rateLimit{qps: 1, burst: 1, perDay: 100})
		first := letThrough(t, l)
		<-time.After(200 * time.Millisecond)
		var group sync.WaitGroup
		var mu sync.Mutex
		sent, unsent := 0, 0
		l.Throttled(time.Now(), 5*time.Minute) // so that all of them wait
		for range 10 {
			group.Go(func() {
				_, err := l.Wait(t.Context())
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					sent++
				} else if cloud.Unsent(err) {
					unsent++
				}
			})
		}
		<-time.After(30 * time.Second)
		l.Ended(first, unanswered)
		group.Wait()
		if sent != 1 || unsent != 9 {
			t.Errorf("%d were sent and %d refused, want 1 and 9", sent, unsent)
		}
		if l.budget.reserved != 0 || l.budget.sum() != 2 {
			t.Errorf("%d calls are reserved and %d spent", l.budget.reserved, l.budget.sum())
		}
	})
}

// TestNotEveryLostCallIsSilence: other calls were answered meanwhile, it failed at once, or its caller
// gave up.
func TestNotEveryLostCallIsSilence(t *testing.T) {
	tests := map[string]func(l *limiter, lost, other time.Time){
		"another was answered": func(l *limiter, lost, other time.Time) {
			<-time.After(10 * time.Second)
			l.Ended(other, nil)
			<-time.After(20 * time.Second)
			l.Ended(lost, unanswered)
		},
		"a connection that was reset": func(l *limiter, lost, _ time.Time) {
			<-time.After(time.Second)
			l.Ended(lost, unanswered)
		},
		"a caller that gave up": func(l *limiter, lost, _ time.Time) {
			<-time.After(30 * time.Second)
			l.Ended(lost, &cloud.Error{Code: cloud.RemoteUnavailable, Err: context.Canceled})
		},
	}
	for name, lose := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				l := newLimiter(clock.RealClock{}, rateLimit{qps: 100, burst: 100})
				lost, other := letThrough(t, l), letThrough(t, l)
				letThrough(t, l) // one is under way all the time
				lose(l, lost, other)
				if err := l.Closed(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
