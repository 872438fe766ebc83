package connect

import (
	"context"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

const (
	// sessionDuration is how long sessions are asked to last: as long as every RAM role allows.
	sessionDuration = time.Hour
	// renewBefore is how long before its end a session is renewed.
	renewBefore = 5 * time.Minute
	// renewRetry is how soon the renewal is tried again while the present session still serves.
	renewRetry = 30 * time.Second
)

// credential hands out the keys that an account's calls are signed with: those of a Secret, or those of a session, which is renewed
// before it ends. The account goes on being the same.
type credential[K any] struct {
	// open opens a session; nil if the keys are permanent. Once it was refused for its credentials, it is not called again for a while.
	open    func(context.Context) (opened[K], error)
	refusal time.Duration

	session atomic.Pointer[session[K]]
	// refused is set when the service refuses the session's keys.
	refused atomic.Bool

	// turn lets one caller open a session while the others wait, or go on with the present one. It guards the rest: when a session was
	// last asked for, and why there is none.
	turn    turn
	tried   time.Time
	failure error
}

// opened is a session as a service opens it.
type opened[K any] struct {
	keys    K
	expires time.Time
}

// session is one snapshot of keys, and when they are renewed.
type session[K any] struct {
	keys             K
	renewAt, expires time.Time
}

// permanent makes a credential of keys that do not end.
func permanent[K any](keys K) *credential[K] {
	c := &credential[K]{turn: newTurn()}
	c.session.Store(&session[K]{keys: keys})
	return c
}

// temporary makes a credential of sessions. After a refusal, it waits before it asks again.
func temporary[K any](open func(context.Context) (opened[K], error), refusal time.Duration) *credential[K] {
	return &credential[K]{turn: newTurn(), open: open, refusal: refusal}
}

// present returns the keys of the present session, the zero K if there is none yet.
func (c *credential[K]) present() (keys K) {
	if present := c.session.Load(); present != nil {
		keys = present.keys
	}
	return keys
}

// refuse says that the service has refused the present keys.
func (c *credential[K]) refuse() { c.refused.Store(true) }

// usable tells whether the present keys serve; fresh, whether they serve and need not be renewed yet.
func (c *credential[K]) usable(now time.Time) bool {
	present := c.session.Load()
	return present != nil && now.Before(present.expires) && !c.refused.Load()
}

func (c *credential[K]) fresh(now time.Time) bool {
	return c.usable(now) && now.Before(c.session.Load().renewAt)
}

// ensure opens a session if that is needed. However many callers ask, one of them does it, and a service that refuses is asked again
// only after a while.
func (c *credential[K]) ensure(ctx context.Context, clock clock.PassiveClock) error {
	now := clock.Now()
	switch {
	case c.open == nil || c.fresh(now):
		return nil
	case c.usable(now):
		if !c.turn.try() {
			// Whoever renews it may take its time.
			return nil
		}
	default:
		if err := c.turn.take(ctx); err != nil {
			return err
		}
	}
	defer c.turn.give()
	return c.renew(ctx, clock.Now())
}

// renew opens a session. The turn is held.
func (c *credential[K]) renew(ctx context.Context, now time.Time) error {
	usable, wait := c.usable(now), refusedLifetime
	if usable {
		wait = renewRetry
	}
	if cloud.CodeOf(c.failure) == cloud.AuthenticationFailed {
		wait = max(wait, c.refusal)
	}
	switch {
	case c.fresh(now):
		return nil
	case now.Sub(c.tried) < wait && usable:
		return nil
	case now.Sub(c.tried) < wait:
		return c.failure
	}
	made, err := c.open(ctx)
	if err != nil && ctx.Err() != nil {
		// This caller gave up, which tells the others nothing.
		return err
	}
	c.tried, c.failure = now, err
	if err != nil && usable {
		log.FromContext(ctx).Info("Could not renew the session, and went on with the present one", "cause", err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	lifetime := made.expires.Sub(now)
	c.session.Store(&session[K]{keys: made.keys, renewAt: made.expires.Add(-min(renewBefore, lifetime/2)), expires: made.expires})
	c.refused.Store(false)
	return nil
}

// turn is a lock that a caller can stop waiting for.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) try() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

func (t turn) give() { <-t }
