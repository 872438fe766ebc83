// Package gate shares the workers of a controller among tenants, so that one whose passes take long
// slows nobody else down. A pass that is not admitted waits here, and holds no worker.
package gate

import (
	"cmp"
	"slices"
	"sync"
)

// Place is where a pass belongs.
type Place struct {
	// Tenant is who causes the pass: a namespace.
	Tenant string
	// Account is what the pass may wait for: a connection.
	Account string
	// Most returns how many passes of one tenant keep the account busy now; more would only wait.
	Most func() int
}

// Gate admits passes over items. A tenant, or an account, gets a slot only while it has fewer than
// are free: of n that want all, each gets one part of n+1, and one part stays free for a tenant that
// has nothing under way yet. It is safe for concurrent use.
type Gate[T comparable] struct {
	mu sync.Mutex
	// free is how many slots are free.
	free int
	// tenants and accounts count passes that have a slot.
	tenants, accounts map[string]int
	lines             map[key]*line[T]
	// waiting are the lines in which passes wait; the one at the front was served longest ago.
	waiting []*line[T]
	// parked are the passes that wait, and admitted the lines of those that have a slot.
	parked   map[T]*pass[T]
	admitted map[T]*line[T]
	arrivals int
}

// key is a tenant at an account.
type key struct{ tenant, account string }

// line holds the passes of one tenant at one account.
type line[T comparable] struct {
	key
	most func() int
	// inside is how many passes have a slot. queue holds those that wait, the next one first.
	inside int
	queue  []*pass[T]
}

// pass is one that waits.
type pass[T comparable] struct {
	item              T
	priority, arrival int
	line              *line[T]
}

// Admission is a pass that has got a slot.
type Admission[T comparable] struct {
	Item     T
	Priority int
}

// New returns a Gate with a number of slots.
func New[T comparable](slots int) *Gate[T] {
	return &Gate[T]{
		free: slots, tenants: map[string]int{}, accounts: map[string]int{}, lines: map[key]*line[T]{},
		parked: map[T]*pass[T]{}, admitted: map[T]*line[T]{},
	}
}

// Enter asks for a slot for a pass over an item, and reports whether it has one. Without one, the
// pass waits, behind those of its tenant and account that have a higher priority or have waited
// longer. An item that waits already keeps its arrival, and the higher of the two priorities. others
// are passes that have got a slot now.
func (g *Gate[T]) Enter(item T, priority int, at Place) (ok bool, others []Admission[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.admitted[item] != nil {
		return true, nil
	}
	arrival := g.arrivals
	g.arrivals++
	if before := g.parked[item]; before != nil {
		priority, arrival = max(priority, before.priority), before.arrival
		g.unpark(before)
	}
	g.park(&pass[T]{item: item, priority: priority, arrival: arrival, line: g.line(at)})
	others = slices.DeleteFunc(g.serve(), func(a Admission[T]) bool { return a.Item == item })
	return g.admitted[item] != nil, others
}

// Leave gives a pass's slot back, and returns the passes that have got one now.
func (g *Gate[T]) Leave(item T) []Admission[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.admitted[item]
	if l == nil {
		return nil
	}
	delete(g.admitted, item)
	g.free++
	l.inside--
	count(g.tenants, l.tenant, -1)
	count(g.accounts, l.account, -1)
	g.tidy(l)
	return g.serve()
}

// Waiting returns how many passes wait.
func (g *Gate[T]) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.parked)
}

// hasRoom reports whether a line may have another slot.
func (g *Gate[T]) hasRoom(l *line[T]) bool {
	account := g.accounts[l.account]
	return g.tenants[l.tenant] < g.free && account < g.free && l.inside < 2*l.most()-account
}

// serve admits passes while there is room: those of the highest priority first, one of each line in
// turn.
func (g *Gate[T]) serve() (admitted []Admission[T]) {
	for {
		var next *line[T]
		for _, l := range g.waiting {
			if (next == nil || l.queue[0].priority > next.queue[0].priority) && g.hasRoom(l) {
				next = l
			}
		}
		if next == nil {
			return admitted
		}
		admitted = append(admitted, g.admit(next))
	}
}

// admit gives a slot to the first pass of a line, which then is the last one to be served.
func (g *Gate[T]) admit(l *line[T]) Admission[T] {
	p := l.queue[0]
	g.free--
	l.inside++
	count(g.tenants, l.tenant, 1)
	count(g.accounts, l.account, 1)
	g.admitted[p.item] = l
	g.unpark(p)
	if i := slices.Index(g.waiting, l); i >= 0 {
		g.waiting = append(slices.Delete(g.waiting, i, i+1), l)
	}
	return Admission[T]{p.item, p.priority}
}

// line finds or makes a line.
func (g *Gate[T]) line(at Place) *line[T] {
	k := key{at.Tenant, at.Account}
	if g.lines[k] == nil {
		g.lines[k] = &line[T]{key: k}
	}
	g.lines[k].most = at.Most
	return g.lines[k]
}

func (g *Gate[T]) park(p *pass[T]) {
	if len(p.line.queue) == 0 {
		g.waiting = append(g.waiting, p.line)
	}
	i, _ := slices.BinarySearchFunc(p.line.queue, p, byTurn[T])
	p.line.queue = slices.Insert(p.line.queue, i, p)
	g.parked[p.item] = p
}

func (g *Gate[T]) unpark(p *pass[T]) {
	i, _ := slices.BinarySearchFunc(p.line.queue, p, byTurn[T])
	p.line.queue = slices.Delete(p.line.queue, i, i+1)
	delete(g.parked, p.item)
	if len(p.line.queue) == 0 {
		g.waiting = slices.DeleteFunc(g.waiting, func(l *line[T]) bool { return l == p.line })
	}
	g.tidy(p.line)
}

// tidy drops a line that nothing is left of.
func (g *Gate[T]) tidy(l *line[T]) {
	if l.inside == 0 && len(l.queue) == 0 {
		delete(g.lines, l.key)
	}
}

func byTurn[T comparable](a, b *pass[T]) int {
	return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.arrival, b.arrival))
}

// count adds to a counter, and drops it at 0.
func count(counters map[string]int, key string, by int) {
	if counters[key] += by; counters[key] == 0 {
		delete(counters, key)
	}
}
