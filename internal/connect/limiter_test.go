package connect

import (
	"cmp"
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
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
		lasts   = time.Hour
		settled = time.Minute
	)
	tests := map[string]struct {
		configured rateLimit
		quota      quota
		// latency is 50 ms if it is not given.
		latency time.Duration
	}{
		"a window, configured right":      {rateLimit{50, 100}, quota{perSecond: 50, window: true}, 0},
		"a window, configured four times": {rateLimit{200, 400}, quota{perSecond: 50, window: true}, 0},
		"a window, configured 200 times":  {rateLimit{10000, 20000}, quota{perSecond: 50, window: true}, 0},
		"a bucket, configured right":      {rateLimit{50, 100}, quota{perSecond: 50}, 0},
		"a bucket, configured four times": {rateLimit{200, 400}, quota{perSecond: 50}, 0},
		"a bucket, configured 200 times":  {rateLimit{10000, 20000}, quota{perSecond: 50}, 0},
		"a small window":                  {rateLimit{20, 40}, quota{perSecond: 5, window: true}, 0},
		"a small bucket":                  {rateLimit{20, 40}, quota{perSecond: 5}, 0},
		"a window, slow answers":          {rateLimit{200, 400}, quota{perSecond: 50, window: true}, 2 * time.Second},
		"a bucket, slow answers":          {rateLimit{200, 400}, quota{perSecond: 50}, 2 * time.Second},
		"a tiny window":                   {rateLimit{20, 40}, quota{perSecond: 2, window: true}, 0},
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
					time.Sleep(cmp.Or(tc.latency, 50*time.Millisecond))
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
				time.Sleep(settled)
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
