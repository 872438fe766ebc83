package connect

import (
	"container/list"
	"time"
)

// lane holds calls that wait for the limiter, of all tenants. They take turns, one call each, so that
// a tenant with many calls keeps another waiting for as many as there are tenants, not for all.
type lane struct {
	// tenants hold the tenants who wait, the next one first; each is a *queue.
	tenants list.List
	queues  map[string]*list.Element
	waiting int
}

// queue holds the calls of one tenant in the order in which they came, each a *call.
type queue struct {
	tenant string
	calls  list.List
}

// call is one that waits.
type call struct {
	tenant string
	// turn gets the time when its turn has come; it is closed when it will not come.
	turn  chan time.Time
	place *list.Element
}

// Len returns how many calls wait.
func (l *lane) Len() int { return l.waiting }

// ahead returns how many calls are let through before a new one of a tenant, if no others come.
func (l *lane) ahead(tenant string) int {
	own := 0
	if at := l.queues[tenant]; at != nil {
		own = callsOf(at).Len()
	}
	ahead := own
	for other, at := range l.queues {
		if other != tenant {
			ahead += min(callsOf(at).Len(), own+1)
		}
	}
	return ahead
}

// push adds a call.
func (l *lane) push(tenant string) *call {
	if l.queues == nil {
		l.queues = map[string]*list.Element{}
	}
	if l.queues[tenant] == nil {
		l.queues[tenant] = l.tenants.PushBack(&queue{tenant: tenant})
	}
	c := &call{tenant: tenant, turn: make(chan time.Time, 1)}
	c.place = callsOf(l.queues[tenant]).PushBack(c)
	l.waiting++
	return c
}

// remove takes a call out that waits.
func (l *lane) remove(c *call) {
	at := l.queues[c.tenant]
	callsOf(at).Remove(c.place)
	l.waiting--
	if callsOf(at).Len() == 0 {
		l.tenants.Remove(at)
		delete(l.queues, c.tenant)
	}
}

// pop takes the next call out; there is one.
func (l *lane) pop() *call {
	at := l.tenants.Front()
	l.tenants.MoveToBack(at)
	c := callsOf(at).Front().Value.(*call) //nolint:forcetypeassert // push puts nothing else there
	l.remove(c)
	return c
}

// callsOf returns the calls of a tenant.
func callsOf(at *list.Element) *list.List {
	return &at.Value.(*queue).calls //nolint:forcetypeassert // push puts nothing else there
}
