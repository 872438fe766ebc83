package connect

import (
	"math"
	"time"
)

// The way in which a limiter finds the rate that the service allows, where that is less than what is configured. What a service refuses
// costs it as much as what it does, so a rate that was refused is kept away from, and tried again only now and then; and whoever keeps
// too far away from it wastes it. The figures are such that against a constant quota nearly all of it is used, and far less than one call in
// a hundred refused: TestTheLimiterFindsTheServicesQuota measures both.
const (
	// slowdown is what is left of the rate when the service refuses a call.
	slowdown = 0.7
	// slowest is the rate, in calls a second, below which no refusal pushes.
	slowest = 1
	// telling is the rate, in calls a second, from which on what was sent tells what is too much.
	telling = 10
	// margin is how close to the rate that was refused the limiter goes by itself.
	margin = 0.95
	// approach is the time in which it makes up for two thirds of what is missing to that.
	approach = 3 * time.Second
	// shortestPause follows a refusal: services count by the second, and refuse everything to the end of it.
	shortestPause = time.Second
	// firstTrial is when the ceiling is raised for the first time after it was set; each refusal doubles that time, up to lastTrial.
	firstTrial = 30 * time.Second
	lastTrial  = 5 * time.Minute
	// trial is how long a raised ceiling must have held before it is raised again; trialStep is by how much it is raised first, and each
	// time twice as much.
	trial     = 10 * time.Second
	trialStep = 0.06
	// memory is how long a ceiling counts that nothing has confirmed.
	memory = time.Hour
)

// pace is the rate at which calls are let through. It knows nothing of calls; the limiter tells it the time.
type pace struct {
	// allowed is the configured rate, rate the present one.
	allowed, rate float64
	// ceiling is the rate at which the service refused a call, raised by trials since; 0 if there is none.
	ceiling float64
	// at is when rate was computed, since when the ceiling was set, and next when it is raised, by step.
	at, since, next time.Time
	step            float64
	patience        time.Duration
	// sent is how many calls a second have been let through lately, as of counted.
	sent    float64
	counted time.Time
}

// restrained tells whether the service allows less than is configured.
func (p *pace) restrained() bool { return p.ceiling > 0 }

// target is the rate that the limiter goes for.
func (p *pace) target() float64 {
	if !p.restrained() {
		return p.allowed
	}
	return max(slowest, min(p.allowed, margin*p.ceiling))
}

// allow sets the configured rate.
func (p *pace) allow(now time.Time, allowed float64) {
	p.allowed = allowed
	if !p.restrained() {
		p.rate = allowed
	}
	p.rate, p.at = min(p.rate, p.target()), now
}

// count takes note of a call.
func (p *pace) count(now time.Time) {
	p.sent = p.lately(now) + 1
	p.counted = now
}

// lately is how many calls a second have been let through in the last seconds, the later ones counting more.
func (p *pace) lately(now time.Time) float64 {
	return p.sent * math.Exp(-now.Sub(p.counted).Seconds())
}

// slow answers a refusal.
func (p *pace) slow(now time.Time) {
	p.patience = min(max(firstTrial, 2*p.patience), lastTrial)
	ceiling := p.rate
	if p.restrained() {
		// Not the first refusal, which may have met somebody else's burst: what was sent is too much, be it less than the rate.
		ceiling = min(ceiling, max(telling, p.lately(now)))
	}
	p.ceiling, p.rate = ceiling, max(slowest, ceiling*slowdown)
	p.at, p.since, p.next, p.step = now, now, now.Add(p.patience), trialStep
}

// advance brings the rate up to the time. busy tells that calls are waiting: only then does it say something that none was refused.
func (p *pace) advance(now time.Time, busy bool) {
	if !p.restrained() {
		p.at = now
		return
	}
	switch {
	case now.Sub(p.since) >= memory:
		p.forget()
		return
	case busy && !now.Before(p.next):
		p.ceiling *= 1 + p.step
		p.step, p.next = min(2*p.step, 1), now.Add(trial)
	}
	if margin*p.ceiling >= p.allowed {
		p.forget()
		return
	}
	missing := p.target() - p.rate
	p.rate += missing * (1 - math.Exp(-now.Sub(p.at).Seconds()/approach.Seconds()))
	p.at = now
}

// forget ends the search: the service allows what is configured.
func (p *pace) forget() {
	p.ceiling, p.patience, p.rate = 0, 0, p.allowed
}
