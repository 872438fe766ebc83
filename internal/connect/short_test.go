package connect

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

// run is a short piece of work for a service whose quota the limiter does not know: passes of a few
// calls each, of which some are made at a time.
type run struct {
	passes, calls, atOnce int
	// every lies between two arrivals; a call takes latency, all else in a pass beside.
	every, latency, beside time.Duration
}

var errRefused = errors.New("refused for the rate")

// against makes the run and returns how long it took. A pass that was refused is made again later.
func (r run) against(t *testing.T, l *limiter, service *quota) time.Duration {
	t.Helper()
	var mu sync.Mutex
	call := func() (taken bool) {
		<-time.After(r.latency / 2) // by the bubble's clock
		mu.Lock()
		taken = service.take(time.Now())
		mu.Unlock()
		<-time.After(r.latency / 2)
		return taken
	}
	pass := func(left *int) error {
		<-time.After(r.beside)
		for ; *left > 0; *left-- {
			sent, err := l.Wait(t.Context())
			if err != nil {
				return err
			}
			if !call() {
				l.Throttled(sent, 0)
				return errRefused
			}
		}
		return nil
	}
	began, slots, group := time.Now(), make(chan struct{}, r.atOnce), sync.WaitGroup{}
	for i := range r.passes {
		group.Go(func() {
			<-time.After(time.Duration(i) * r.every)
			for left, backoff := r.calls, time.Second; ; backoff *= 2 {
				slots <- struct{}{}
				err := pass(&left)
				<-slots
				if err == nil {
					return
				}
				<-time.After(backoff)
			}
		})
	}
	group.Wait()
	return time.Since(began)
}

// TestAShortRunFindsTheServicesQuota: 300 new roles, made as fast as an API server takes them, on a
// Connection that allows more than the service does. Whatever the service's second has come to when
// the run begins, hardly a call is refused, and nearly all of the quota is used.
func TestAShortRunFindsTheServicesQuota(t *testing.T) {
	const phases = 20
	tests := map[string]struct {
		configured rateLimit
		window     bool
	}{
		"a window, configured four times": {rateLimit{qps: 200, burst: 400}, true},
		"a window, configured 200 times":  {rateLimit{qps: 10000, burst: 20000}, true},
		"a bucket, configured four times": {rateLimit{qps: 200, burst: 400}, false},
		"a bucket, configured 200 times":  {rateLimit{qps: 10000, burst: 20000}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var used, refused, worstUsed, worstRefused float64 = 0, 0, 100, 0
			for phase := range phases {
				synctest.Test(t, func(t *testing.T) {
					<-time.After(time.Duration(phase) * time.Second / phases)
					service := quota{perSecond: 50, window: tc.window, tokens: 50, filled: time.Now()}
					took := run{passes: 300, calls: 2, atOnce: 32, every: time.Second / 60, latency: 20 * time.Millisecond, beside: 30 * time.Millisecond}.
						against(t, newLimiter(clock.RealClock{}, tc.configured), &service)
					u, r := float64(service.used)/took.Seconds()/50*100, float64(service.refused)/float64(service.used+service.refused)*100
					used, refused = used+u/phases, refused+r/phases
					worstUsed, worstRefused = min(worstUsed, u), max(worstRefused, r)
				})
			}
			t.Logf("%.1f %% of the quota used, at worst %.1f %%; %.2f %% of the calls refused, at worst %.2f %%", used, worstUsed, refused, worstRefused)
			if used < 87 || refused > 1 {
				t.Error("too little is used, or too much refused")
			}
		})
	}
}
