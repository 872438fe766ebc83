package fakecloud

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"
)

// Limit is how many calls an access key may make, and what it hears when it makes more.
type Limit struct {
	// Service is maxcompute (the OpenAPI and the ODPS service), dataworks, insight, or empty for all together.
	Service string `json:"service,omitempty"`
	// QPS and Burst describe a token bucket: its rate and its size.
	QPS   float64 `json:"qps,omitempty"`
	Burst int     `json:"burst,omitempty"`
	// Window replaces the bucket by so many calls in every second of the server's clock. What is not
	// used in one second is lost for the next.
	Window int `json:"window,omitempty"`
	// Day replaces the bucket by so many calls in every day of the server's clock, in UTC. That the day of the
	// service begins then is made up.
	Day int `json:"day,omitempty"`
	// Code is one of the spellings that the service is known to have. Default: Throttling.User on the
	// OpenAPI, Throttling on the ODPS service.
	Code string `json:"code,omitempty"`
	// Status is 400, 429 or 503. Default: 429.
	Status int `json:"status,omitempty"`
	// RetryAfter is the value of the header of that name, if any.
	RetryAfter string `json:"retryAfter,omitempty"`
}

var (
	limitServices    = []string{"", "maxcompute", "dataworks", "insight"}
	throttleCodes    = []string{"", "Throttling", "Throttling.User", "Throttling.Api", "Throttling.Resource", "Rejected.Throttling", codeGatewayThrottled}
	throttleStatuses = []int{0, http.StatusBadRequest, http.StatusTooManyRequests, http.StatusServiceUnavailable}
)

// Validate reports a limit that can't be.
func (l Limit) Validate() error {
	switch {
	case l.QPS < 0 || math.IsNaN(l.QPS) || l.Burst < 0 || l.Window < 0 || l.Day < 0:
		return fmt.Errorf("a limit is negative")
	case (l.Window > 0 || l.Day > 0) && (l.QPS > 0 || l.Burst > 0), l.Window > 0 && l.Day > 0:
		return fmt.Errorf("a limit is more than one of a bucket, a window and a day")
	case !slices.Contains(limitServices, l.Service):
		return fmt.Errorf("unknown service %q", l.Service)
	case !slices.Contains(throttleCodes, l.Code):
		return fmt.Errorf("unknown code %q", l.Code)
	case !slices.Contains(throttleStatuses, l.Status):
		return fmt.Errorf("unexpected status %d", l.Status)
	}
	return nil
}

// quota is a limit and what was used of it.
type quota struct {
	Limit
	// tokens are left, in the bucket since filled or in the window that began then.
	tokens            float64
	filled            time.Time
	accepted, refused int
}

// LimitQPS refuses the calls of an access key that exceed a token bucket, with Throttling.User. A
// qps of 0 lifts the limit.
func (s *Server) LimitQPS(accessKeyIDOrARN string, qps float64, burst int) {
	s.SetLimit(accessKeyIDOrARN, Limit{QPS: max(qps, 0), Burst: burst})
}

// SetLimit limits the calls of an access key, or of all sessions of a RAM role together, and counts
// from zero. One without QPS, Window and Day lifts the limit. There can be one for each service and one
// for both, and a call must be within all that are for it. It panics on a limit that is not valid: that is a
// mistake in the test. The token service is another product, with a quota of its own.
func (s *Server) SetLimit(accessKeyIDOrARN string, l Limit) {
	if err := l.Validate(); err != nil {
		panic("fakecloud: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := limitKey(accessKeyIDOrARN, l.Service)
	if l.QPS == 0 && l.Window == 0 && l.Day == 0 {
		delete(s.limits, key)
		return
	}
	s.limits[key] = &quota{Limit: l, tokens: float64(l.Burst + l.Window + l.Day), filled: s.now()}
}

// limitKey is what limits are kept and counted under: the access key or the RAM role, and the service if the
// limit is for one only.
func limitKey(accessKeyIDOrARN, service string) string {
	if service == "" {
		return accessKeyIDOrARN
	}
	return service + " " + accessKeyIDOrARN
}

// Refused returns how many calls of an access key or a RAM role were refused since its limit was set. What
// a limit for one service refused is counted under "dataworks FAKEID" and the like.
func (s *Server) Refused(accessKeyIDOrARN string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.limits[accessKeyIDOrARN]; q != nil {
		return q.refused
	}
	return 0
}

// Accepted returns how many calls were let through since the limit was set: what was used of it.
func (s *Server) Accepted(accessKeyIDOrARN string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.limits[accessKeyIDOrARN]; q != nil {
		return q.accepted
	}
	return 0
}

// throttled refuses a call that exceeds its limit; the lock is held.
func (s *Server) throttled(c *call) *problem {
	if c.service == "sts" || c.service == "iam" {
		return nil
	}
	service := c.service
	if service != "dataworks" && service != "insight" {
		service = "maxcompute"
	}
	for _, id := range []string{
		limitKey(c.accessKeyID, service), limitKey(c.caller, service), c.accessKeyID, c.caller,
	} {
		if q := s.limits[id]; q != nil && !q.take(s.now()) {
			return q.refusal(c)
		}
	}
	return nil
}

func (q *quota) refusal(c *call) *problem {
	p := refuse(http.StatusTooManyRequests, cmp.Or(q.Code, throttleCode(c)), "%s", throttleText(c))
	if q.Status != 0 {
		p.status = q.Status
	}
	p.retryAfter = q.RetryAfter
	return p
}

// take uses one token, if there is one, and counts.
func (q *quota) take(now time.Time) bool {
	q.fill(now)
	if q.tokens < 1 {
		q.refused++
		return false
	}
	q.tokens--
	q.accepted++
	return true
}

func (q *quota) fill(now time.Time) {
	const day = 24 * time.Hour
	if q.Day > 0 {
		if !now.Truncate(day).Equal(q.filled.Truncate(day)) {
			q.tokens, q.filled = float64(q.Day), now
		}
		return
	}
	if q.Window > 0 {
		if now.Unix() != q.filled.Unix() {
			q.tokens, q.filled = float64(q.Window), now
		}
		return
	}
	if passed := now.Sub(q.filled).Seconds(); passed > 0 {
		q.tokens = min(float64(q.Burst), q.tokens+passed*q.QPS)
		q.filled = now
	}
}
