package connect

import (
	"context"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/sts"
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
type credential struct {
	// open opens a session; nil if the keys are permanent.
	open func(context.Context) (sts.Session, error)

	session atomic.Pointer[session]
	// refused is set when the service refuses the session's keys.
	refused atomic.Bool

	// turn lets one caller open a session while the others wait, or go on with the present one. It guards the rest: when a session was
	// last asked for, and why there is none.
	turn    turn
	tried   time.Time
	failure error
}

// session is one snapshot of keys, and when they are renewed.
type session struct {
	keys             openapi.Keys
	renewAt, expires time.Time
}

// permanent makes a credential of keys that do not end.
func permanent(keys openapi.Keys) *credential {
	c := &credential{turn: newTurn()}
	c.session.Store(&session{keys: keys})
	return c
}

// Keys implements openapi.Credential.
func (c *credential) Keys() openapi.Keys {
	if present := c.session.Load(); present != nil {
		return present.keys
	}
	return openapi.Keys{}
}

// usable tells whether the present keys serve; fresh, whether they serve and need not be renewed yet.
func (c *credential) usable(now time.Time) bool {
	present := c.session.Load()
	return present != nil && now.Before(present.expires) && !c.refused.Load()
}

func (c *credential) fresh(now time.Time) bool {
	return c.usable(now) && now.Before(c.session.Load().renewAt)
}

// ensure opens a session if that is needed. However many callers ask, one of them does it, and a service that refuses is asked again
// only after a while.
func (c *credential) ensure(ctx context.Context, clock clock.PassiveClock) error {
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
func (c *credential) renew(ctx context.Context, now time.Time) error {
	usable, wait := c.usable(now), refusedLifetime
	if usable {
		wait = renewRetry
	}
	switch {
	case c.fresh(now):
		return nil
	case now.Sub(c.tried) < wait && usable:
		return nil
	case now.Sub(c.tried) < wait:
		return c.failure
	}
	opened, err := c.open(ctx)
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
	lifetime := opened.Expiration.Sub(now)
	c.session.Store(&session{keys: opened.Keys, renewAt: opened.Expiration.Add(-min(renewBefore, lifetime/2)), expires: opened.Expiration})
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
