package fakecloud

import (
	"fmt"
	"net/http"
)

const (
	statusRunning    = "RUNNING"
	statusTerminated = "TERMINATED"
	statusFailed     = "FAILED"
)

// instance is a statement that is answered later.
type instance struct {
	project string
	role    string
	pkg     string
	status  string
	result  string
	// polls are left until the statement ends.
	polls int
	// fail is the text to end with instead of carrying the statement out.
	fail string
	run  operation
}

// later answers a statement with an instance id. The statement takes effect when it ends, at the
// last of the polls; one that nobody polls never ends.
func (t *txn) later(f *activeFault) answer {
	i := &instance{polls: max(f.Polls, 1), run: t.c.run}
	if f.Outcome == statusFailed {
		i.fail = f.message("ODPS-0420111: the statement failed")
	}
	return t.start(i, f.status(http.StatusCreated))
}

// failLater answers a statement that is refused with an instance id, and tells the refusal at the first
// poll.
func (t *txn) failLater(p *problem) answer {
	t.ignored = true
	return t.start(&instance{polls: 1, fail: p.Error()}, http.StatusCreated)
}

func (t *txn) start(i *instance, status int) answer {
	id := fmt.Sprintf("authorization_%06d", len(t.s.instances)+1)
	i.project, i.role, i.pkg, i.status = t.c.project, t.c.role, t.c.pkg, statusRunning
	t.s.instances[id] = i
	return answer{status: status, render: func() []byte { return []byte(id) }}
}

func pollStatement(id string) operation {
	return func(t *txn) (answer, *problem) {
		t.ran = true
		i := t.s.instances[id]
		if i == nil || i.project != t.c.project {
			return answer{}, refuse(http.StatusNotFound, codeNoSuchObject, "the authorization instance '%s' does not exist", id)
		}
		t.c.role, t.c.pkg = i.role, i.pkg
		if i.status == statusRunning {
			i.advance(t)
		}
		body := fmt.Sprintf("%s<AuthorizationQuery><Result>%s</Result><Status>%s</Status></AuthorizationQuery>",
			xmlHead, escape(i.result), i.status)
		return answer{whole: true, render: func() []byte { return []byte(body) }}, nil
	}
}

func (i *instance) advance(t *txn) {
	if i.polls--; i.polls > 0 {
		return
	}
	if i.fail != "" {
		i.status, i.result = statusFailed, i.fail
		return
	}
	a, p := i.run(t)
	if p != nil {
		i.status, i.result = statusFailed, p.Error()
		return
	}
	i.status, i.result = statusTerminated, string(a.render())
}
