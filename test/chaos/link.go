package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"time"
)

// submitting are the calls that make orders, one of each version of the API.
var submitting = []string{"CreatePermissionApplyOrder", "ApplyResourceAccessPermission"}

// markPattern is the mark at the end of a reason: k8s, the object's UID, and what tells its calls apart.
var markPattern = regexp.MustCompile(`\[k8s:([0-9a-f-]{36})(-[^\]]+)\]`)

// fate is what became of a submitting call, as the manager has seen it.
type fate string

const (
	underWay fate = "under way"
	answered fate = "answered"
	// dropped, failed and garbled are replies that the cloud's faults have spoiled.
	dropped fate = "connection dropped"
	failed  fate = "answered with a 5xx"
	garbled fate = "answered with half of a reply"
	// The others are calls of a manager that was killed meanwhile. Of the first and the last only the object's status tells.
	unsent     fate = "recorded and not sent"
	cutBefore  fate = "sent and not carried out"
	cutAfter   fate = "carried out and not answered"
	unrecorded fate = "answered and not recorded"
)

// submission is a submitting call.
type submission struct {
	At time.Time
	// Life counts the managers: a call belongs to one.
	Life int
	Fate fate
}

// link is the way from the manager to DataWorks. It holds the replies to submitting calls back for a moment, so that a kill also hits calls
// that were carried out and not answered, and it knows what became of each.
type link struct {
	cloud http.Handler
	// longest is for how long a reply is held back at most.
	longest time.Duration

	mu     sync.Mutex
	random *rand.Rand
	// calls are the submitting calls by the token in their reason.
	calls map[string][]*submission
	open  int
	life  int
	// sent is closed when the present manager makes its first submitting call.
	sent chan struct{}
}

func newLink(cloud http.Handler, longest time.Duration, random *rand.Rand) *link {
	return &link{cloud: cloud, longest: longest, random: random, calls: map[string][]*submission{}, life: 1, sent: make(chan struct{})}
}

// ServeHTTP implements http.Handler.
func (l *link) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !slices.Contains(submitting, r.Header.Get("x-acs-action")) {
		l.cloud.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the manager is gone before it had sent all of it
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	call, hold := l.begin(tokenOf(r.URL.RawQuery, body))
	end := dropped // if the cloud panics, which is how it closes the connection
	defer func() { l.end(call, end) }()
	reply := httptest.NewRecorder()
	l.cloud.ServeHTTP(reply, r)
	if reply.Body.Len() == 0 {
		end = cutBefore
		return
	}
	end = cutAfter
	if sleep(r.Context(), hold) != nil {
		return
	}
	end = fateOf(reply)
	maps.Copy(w.Header(), reply.Header())
	w.WriteHeader(reply.Code)
	if _, err := w.Write(reply.Body.Bytes()); err != nil {
		end = cutAfter
	}
}

// tokenOf reads the token of a submitting call; empty if it has none.
func tokenOf(query string, body []byte) string {
	inQuery, err := url.ParseQuery(query)
	inForm, err2 := url.ParseQuery(string(body))
	if errors.Join(err, err2) != nil {
		return ""
	}
	return tokenIn(inQuery.Get("ApplyReason") + inForm.Get("Reason"))
}

// tokenIn reads the token in a reason; empty if it has none.
func tokenIn(reason string) string {
	_, token := split(reason)
	return token
}

// split returns the UID of the object that a reason is of, and the token.
func split(reason string) (uid, token string) {
	if match := markPattern.FindStringSubmatch(reason); match != nil {
		return match[1], match[1] + match[2]
	}
	return "", ""
}

func fateOf(reply *httptest.ResponseRecorder) fate {
	switch {
	case reply.Code >= http.StatusInternalServerError:
		return failed
	case !json.Valid(reply.Body.Bytes()):
		return garbled
	}
	return answered
}

// begin notes a call and says for how long its reply is held back.
func (l *link) begin(token string) (*submission, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	call := &submission{At: time.Now(), Life: l.life, Fate: underWay}
	l.calls[token] = append(l.calls[token], call)
	l.open++
	select {
	case <-l.sent:
	default:
		close(l.sent)
	}
	return call, time.Duration(l.random.Int64N(int64(l.longest)))
}

func (l *link) end(call *submission, end fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	call.Fate = end
	l.open--
}

// submits is closed when the present manager makes its first submitting call.
func (l *link) submits() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

// idle tells whether no submitting call is under way.
func (l *link) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open == 0
}

// next is called between two managers.
func (l *link) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.life++
	l.sent = make(chan struct{})
}

// last is what became of the last call with a token that the present manager, or the one that was just killed, has made.
func (l *link) last(token string) fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	calls := l.calls[token]
	if len(calls) == 0 || calls[len(calls)-1].Life != l.life {
		return unsent
	}
	if end := calls[len(calls)-1].Fate; end != answered {
		return end
	}
	return unrecorded
}

// all returns the calls by their tokens.
func (l *link) all() map[string][]submission {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string][]submission{}
	for token, calls := range l.calls {
		for _, c := range calls {
			out[token] = append(out[token], *c)
		}
	}
	return out
}
