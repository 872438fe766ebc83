package simulation

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const partner = "partner"

// Case is a run: what happens in it, and the seed of everything that is left to chance.
type Case struct {
	Seed uint64
	// Ops are lines like "5 edit a/r1 acl=t1:select members=": first how long the world goes on
	// before it, as a number of steps, a duration, idle for until nobody has anything to do, or
	// write for until something is written to a cloud; then what happens.
	Ops []string
}

// Violation is a rule that was broken.
type Violation struct{ Rule, Detail string }

func (v Violation) sameRule(other Violation) bool { return v.Rule == other.Rule }

// Report is what came of a Case.
type Report struct {
	Violations []Violation
	Trace      []string
	Coverage   map[string]int
	Passes     int
	Calls      int
	Steps      int
}

// world is one run.
type world struct {
	api      *apiServer
	clouds   map[string]*fakecloud.Server
	managers []*manager
	lease    struct {
		holder *manager
		until  time.Time
	}
	chance         *rand.Rand
	maxRevocations int

	// mu guards what passes write while they run.
	mu     sync.Mutex
	report Report
	traced bool
	passes int
	// last is the pass that went on last.
	last *pass

	// history holds all versions of each object, by UID; current are the UIDs of the stored
	// objects.
	history map[string][]*wish
	current map[key]string
	ledger  ledger
	// backups are old copies of objects.
	backups map[key]client.Object
	faults  []activeFault
	refuse  []apiFault
	// delayed are the calls that have not arrived yet.
	delayed []delayed
	// led are the services that each connection has led to.
	led map[string]set
	// writes counts the changes that passes made, resting is how many that were when everything had
	// come to rest.
	writes, resting int
	// disturbed is when somebody last changed something.
	disturbed time.Time
	// known switches off what breaks a rule in a way that is known and not mended yet.
	known Known
}

// Play runs a Case in a bubble with a clock of its own.
func Play(t *testing.T, c Case, known Known, traced bool) (report Report) {
	synctest.Test(t, func(*testing.T) {
		w := newWorld(c.Seed, known, traced)
		w.play(c.Ops)
		report = w.report
		report.Passes = w.passes
	})
	return report
}

func newWorld(seed uint64, known Known, traced bool) *world {
	w := &world{
		chance: rand.New(rand.NewPCG(seed, seed)), traced: traced, known: known,
		clouds: map[string]*fakecloud.Server{"one": newCloud(), "two": newCloud()}, history: map[string][]*wish{}, current: map[key]string{},
		ledger: ledger{}, backups: map[key]client.Object{}, led: map[string]set{},
	}
	w.report.Coverage = map[string]int{}
	w.api = newAPIServer(w)
	for _, tenant := range []string{"a", "b"} {
		w.api.create(newSecret(tenant))
		w.api.create(newConnection(tenant))
		w.lead(tenant, "one")
	}
	for _, name := range []string{"m0", "m1"} {
		w.managers = append(w.managers, newManager(w, name))
	}
	return w
}

func (w *world) play(ops []string) {
	defer w.end()
	for _, line := range ops {
		gap, op, ok := strings.Cut(line, " ")
		if !ok {
			panic("no operation in " + line)
		}
		w.goOn(gap)
		w.trace("--- %s", op)
		w.disturbed = time.Now()
		w.act(strings.Fields(op))
	}
	w.rest()
	w.checkAtRest()
}

// end stops everything.
func (w *world) end() {
	for _, m := range w.managers {
		m.kill()
	}
	synctest.Wait()
	for name, server := range w.clouds {
		for _, v := range server.Violations() {
			w.violate("the cloud is asked for what it has", "%s: %s", name, v)
		}
	}
}

// goOn lets the world go on for a while.
func (w *world) goOn(gap string) {
	if n, err := strconv.Atoi(gap); err == nil {
		for range n {
			w.step()
		}
		return
	}
	if gap == "idle" {
		w.idle(2000)
		return
	}
	if gap == "write" {
		before := w.writes
		for moving := true; moving && before == w.writes && w.report.Steps < 1e6; {
			moving = w.advance()
		}
		return
	}
	d, err := time.ParseDuration(gap)
	if err != nil {
		panic(err)
	}
	w.runFor(d, 3000)
}

// runFor lets the world go on for some time, and no more than some steps.
func (w *world) runFor(d time.Duration, steps int) {
	until := time.Now().Add(d)
	for range steps {
		if !w.advance() && !w.sleepTowards(until) {
			return
		}
	}
}

// idle lets the world go on until nobody has anything to do for a while.
func (w *world) idle(steps int) {
	for range steps {
		if !w.advance() && !w.sleepTowards(time.Now().Add(time.Minute)) {
			return
		}
	}
}

// step makes one step, or lets time pass.
func (w *world) step() {
	if !w.advance() {
		w.sleepTowards(time.Now().Add(10 * time.Second))
	}
}

// sleepTowards lets time pass until something is due; it reports false if nothing is due before the
// given time.
func (w *world) sleepTowards(until time.Time) bool {
	next := until
	for _, m := range w.managers {
		next = m.nextDue(next)
	}
	for _, d := range w.delayed {
		if d.at.Before(next) {
			next = d.at
		}
	}
	if h := w.lease.holder; h == nil || h.frozen {
		if w.lease.until.Before(next) {
			next = w.lease.until
		}
	}
	w.pass(max(time.Millisecond, time.Until(next)))
	return next.Before(until)
}

// nextDue is when a manager has something to do, if that is before next.
func (m *manager) nextDue(next time.Time) time.Time {
	if !m.dies.IsZero() && m.dies.Before(next) {
		next = m.dies
	}
	if m.frozen {
		return next
	}
	for k, i := range m.queue {
		if m.leads() && m.running[k] == nil && !i.due.IsZero() && i.due.Before(next) {
			next = i.due
		}
	}
	for _, p := range m.running {
		if !p.parked && time.Now().Add(5*time.Second).Before(next) {
			next = time.Now().Add(5 * time.Second) // it waits for time to pass, within the operator or in a call
		}
	}
	if len(m.behind()) > 0 {
		next = time.Now()
	}
	return next
}

// pass lets time pass, and everything settle that was waiting for it.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	w.settle()
}

// settle lets every goroutine go on to its next call, and takes note of the passes that have ended.
func (w *world) settle() {
	synctest.Wait()
	for _, m := range w.managers {
		for _, p := range m.inOrder() {
			if p.ended {
				w.cover(p)
				m.finish(p)
			}
		}
		if !m.frozen {
			m.catchUp(maxLag)
		}
	}
	w.deliver()
	w.electLeader()
}

func (m *manager) inOrder() []*pass {
	passes := make([]*pass, 0, len(m.running))
	for _, p := range m.running {
		passes = append(passes, p)
	}
	slices.SortFunc(passes, func(a, b *pass) int { return cmp.Compare(a.id, b.id) })
	return passes
}

// electLeader renews the lease, or gives it to a manager that is there when its holder is not.
func (w *world) electLeader() {
	now := time.Now()
	for _, m := range w.managers {
		if !m.dies.IsZero() && !m.frozen && !now.Before(m.dies) {
			w.crash(m)
			return
		}
	}
	if h := w.lease.holder; h != nil && !h.frozen {
		w.lease.until = now.Add(leaseDuration)
		return
	}
	if now.Before(w.lease.until) {
		return
	}
	for _, m := range w.managers {
		if !m.frozen && m.dies.IsZero() {
			w.trace("%s leads", m.name)
			w.lease.holder, w.lease.until = m, now.Add(leaseDuration)
			m.takeOver()
			return
		}
	}
}

// crash ends a manager wherever it is, and starts it again.
func (w *world) crash(m *manager) {
	w.trace("%s ends", m.name)
	m.kill()
	synctest.Wait()
	next := newManager(w, m.name)
	w.managers[slices.Index(w.managers, m)] = next
	if w.lease.holder == m {
		w.lease.holder = nil
	}
}

// choice is something that can happen next.
type choice struct {
	weight int
	do     func()
}

// advance makes one step: a pass goes on to its next call, one begins, or a cache learns of
// something. It reports false if there is nothing to do now.
func (w *world) advance() bool {
	w.settle()
	var choices []choice
	for _, m := range w.managers {
		if m.frozen {
			continue
		}
		for _, p := range m.inOrder() {
			if p.parked {
				weight := 4
				if p == w.last {
					weight = 24
				}
				choices = append(choices, choice{weight, func() { w.resume(p) }})
			}
		}
		if m.leads() {
			for _, k := range m.ready() {
				choices = append(choices, choice{3, func() { m.begin(k) }})
			}
		}
		for _, kind := range m.behind() {
			choices = append(choices, choice{2, func() { m.follow(kind, m.cache.at[kind]+1+w.chance.IntN(len(w.api.logs[kind])-m.cache.at[kind])) }})
		}
	}
	if len(choices) == 0 {
		return false
	}
	sum := 0
	for _, c := range choices {
		sum += c.weight
	}
	n := w.chance.IntN(sum)
	for _, c := range choices {
		if n -= c.weight; n < 0 {
			c.do()
			break
		}
	}
	w.report.Steps++
	w.settle()
	return true
}

// resume lets a pass make the call that it is about to make. That takes a moment, and now and then
// long.
func (w *world) resume(p *pass) {
	d := time.Duration(1+w.chance.IntN(30)) * time.Millisecond
	if w.chance.IntN(60) == 0 {
		d = time.Duration(1+w.chance.IntN(8)) * time.Second
	}
	time.Sleep(d)
	synctest.Wait()
	w.trace("%s: pass %d: %s", p.manager.name, p.id, p.at)
	p.parked, w.last = false, p
	select {
	case p.resume <- struct{}{}:
	case <-p.manager.ctx.Done():
	}
	w.settle()
}

func (w *world) trace(format string, args ...any) {
	if !w.traced {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Trace = append(w.report.Trace, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// violate records that a rule was broken.
func (w *world) violate(rule, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	w.trace("VIOLATION of %q: %s", rule, detail)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report.Violations = append(w.report.Violations, Violation{rule, detail})
}

// stored takes note of a change at the API server.
func (w *world) stored(c change) {
	v := wishOf(c, len(w.api.logs[c.key.kind]))
	if v == nil {
		return
	}
	versions := w.history[v.uid]
	if n := len(versions); n > 0 && !v.gone && versions[n-1].generation == v.generation && versions[n-1].deleting == v.deleting {
		return // only its status, or its finalizers
	}
	w.history[v.uid] = append(versions, v)
	w.current[c.key] = v.uid
	if v.gone {
		delete(w.current, c.key)
	}
	w.trace("stored %s generation %d: deleting %v, gone %v, suspended %v", c.key, v.generation, v.deleting, v.gone, v.suspended)
}

// called looks at what a call did, and holds it against the rules. It reports whether the call was
// one that writes.
func (w *world) called(p *pass, service string, request []byte) bool {
	w.report.Calls++
	server := w.clouds[service]
	wrote := false
	for _, entry := range server.Journal() {
		wrote = wrote || entry.Write
		if entry.Fault != "" {
			p.met(entry.Fault)
		}
		w.trace("    %s %s %s%s -> %d %s %s", service, entry.Action, entry.Statement, brief(request), entry.Status, entry.Code, entry.Fault)
		for _, e := range w.effectsOf(service, entry) {
			e.by, e.pass = p.uid(), p
			w.checkEffect(e)
			w.ledger.apply(e)
			if w.known[lateAdds] && p.lateCall && e.verb == added && !latest(w.history[e.by]).wanted(e.atom) {
				w.ledger.role(service, e.role).from[e.atom][byHand] = true
			}
			p.did(e)
		}
		w.claim(p, service, entry, string(request))
	}
	server.ResetJournal()
	return wrote
}

func brief(request []byte) string {
	if len(request) > 200 || strings.HasPrefix(string(request), "<") {
		return ""
	}
	return " " + string(request)
}

// effectsOf are the changes of roles that a call made.
func (w *world) effectsOf(service string, entry fakecloud.Entry) (effects []effect) {
	for _, c := range entry.Changes {
		add := func(verb effectVerb, atom string) {
			effects = append(effects, effect{service: service, role: c.Role, verb: verb, atom: atom})
		}
		switch c.Change {
		case fakecloud.ChangeCreateRole:
			add(created, "")
		case fakecloud.ChangeDropRole:
			add(dropped, "")
		case fakecloud.ChangeGrant, fakecloud.ChangeRevoke:
			for _, action := range c.Actions {
				add(map[string]effectVerb{fakecloud.ChangeGrant: added, fakecloud.ChangeRevoke: removed}[c.Change], strings.ToLower(c.Name+":"+action))
			}
		case fakecloud.ChangeAddMember:
			add(added, memberAtom(c.Principal))
		case fakecloud.ChangeRemoveMember:
			add(removed, memberAtom(c.Principal))
		case fakecloud.ChangeSetPolicy:
			before, after := w.ledger.role(service, c.Role).from, statementsIn(c.Policy)
			for _, s := range after.list() {
				if before[s] == nil {
					add(added, s)
				}
			}
			for _, s := range slices.Sorted(maps.Keys(before)) {
				if partOf(s) == partPolicy && !after[s] {
					add(removed, s)
				}
			}
		}
	}
	return effects
}

var granting = regexp.MustCompile(`(?i)^GRANT (.+) ON TABLE (\S+) TO ROLE (\w+)`)

// claim takes note of what a call gave that was there already: it is the object's as well, from now
// on.
func (w *world) claim(p *pass, service string, entry fakecloud.Entry, request string) {
	if !entry.Applied || !entry.Write {
		return
	}
	var given []string
	role := entry.Role
	if m := granting.FindStringSubmatch(entry.Statement); m != nil {
		role = m[3]
		table := m[2][strings.LastIndex(m[2], ".")+1:]
		for action := range strings.SplitSeq(m[1], ",") {
			given = append(given, strings.ToLower(strings.Trim(table, "`")+":"+strings.TrimSpace(action)))
		}
	}
	h := w.ledger.role(service, role)
	for atom := range h.from {
		if partOf(atom) == partMembers && strings.Contains(entry.Action, "UsersToRole") && strings.Contains(request, memberPrefix+atom+`"`) {
			given = append(given, atom)
		}
		if partOf(atom) == partPolicy && strings.HasSuffix(entry.Action, "eRole") && statementsIn(request)[atom] {
			given = append(given, atom)
		}
	}
	for _, atom := range given {
		if h.from[atom] != nil {
			h.from[atom][p.uid()] = true
			h.claimed[p.uid()] = true
		}
	}
}
