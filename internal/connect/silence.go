package connect

import (
	"context"
	"errors"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// unheard is how long a service must not have answered to count as silent. What fails faster holds
// nobody up.
const unheard = 5 * time.Second

// silence notices a service that does not answer. Every call to one takes until its time-out, and
// whoever makes it waits for so long. So only one call is made at a time then, to find out when the
// service answers again; all others are refused at once. It knows nothing of calls; the limiter tells
// it of them.
type silence struct {
	// silent reports whether the service does not answer, and heard is when it last did.
	silent bool
	heard  time.Time
	// flying is how many calls are under way.
	flying int
}

// errSilent is the same every time, so that it changes no condition.
var errSilent = &cloud.Error{
	Code: cloud.RemoteUnavailable, NotSent: true, Message: "not sent: the service does not answer; until it does, one call is tried at a time",
}

// closed returns why a call would be refused now, nil if it would not.
func (s *silence) closed() error {
	if s.silent && s.flying > 0 {
		return errSilent
	}
	return nil
}

// ended takes note of the end of a call. A call that was answered, however long ago it was sent, ends
// the silence; one that was not says nothing if another was answered while it was under way.
func (s *silence) ended(now, sent time.Time, err error) {
	s.flying--
	switch {
	case errors.Is(err, context.Canceled), err != nil && cloud.CodeOf(err) == "", cloud.CodeOf(err) == cloud.InvalidSpec:
		// Its caller gave up, or it was not sent after all, which says nothing.
	case !cloud.IsUnanswered(err):
		s.silent, s.heard = false, now
	case s.heard.Before(sent) && now.Sub(sent) >= unheard:
		s.silent = true
	}
}
