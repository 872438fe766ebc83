package fakecloud

import (
	"net/http"
	"time"
)

// bucket is a token bucket.
type bucket struct {
	qps, burst, tokens float64
	filled             time.Time
	refused            int
}

// LimitQPS refuses the calls of an access key that exceed a token bucket, with Throttling.User. A
// qps of 0 lifts the limit.
func (s *Server) LimitQPS(accessKeyID string, qps float64, burst int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if qps <= 0 {
		delete(s.limits, accessKeyID)
		return
	}
	s.limits[accessKeyID] = &bucket{qps: qps, burst: float64(burst), tokens: float64(burst), filled: s.clock()}
}

// Refused returns how many calls of an access key were refused since LimitQPS.
func (s *Server) Refused(accessKeyID string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.limits[accessKeyID]; b != nil {
		return b.refused
	}
	return 0
}

// throttled refuses a call that exceeds its limit; the lock is held.
func (s *Server) throttled(c *call) *problem {
	b := s.limits[c.accessKeyID]
	if b == nil || b.take(s.clock()) {
		return nil
	}
	b.refused++
	return refuse(http.StatusTooManyRequests, throttleCode(c), "Request was denied due to user flow control.")
}

func (b *bucket) take(now time.Time) bool {
	if passed := now.Sub(b.filled).Seconds(); passed > 0 {
		b.tokens = min(b.burst, b.tokens+passed*b.qps)
		b.filled = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
