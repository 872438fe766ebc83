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
	// why is what the last call without an answer said.
	why string
	// flying is how many calls are under way.
	flying int
}

// closed returns why a call would be refused now, nil if it would not.
func (s *silence) closed() error {
	if !s.silent || s.flying == 0 {
		return nil
	}
	return s.refusal()
}

// refusal is the error of a call that is not sent, in the words of the one that got no answer, so that no condition changes with whose
// turn it is to be tried.
func (s *silence) refusal() error {
	return &cloud.Error{Code: cloud.RemoteUnavailable, NotSent: true, Message: s.why}
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
		if e, ok := errors.AsType[*cloud.Error](err); ok {
			s.why = e.Message
		}
	}
}
