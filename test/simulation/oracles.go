package simulation

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// stale is how long after a change was stored a pass may not know of it, if its cache is behind.
const stale = 5 * time.Second

// The rules that are broken, by the numbers that they have in the contract: "section 3" is what a
// status says.
const (
	nothingUnasked = "3, 4, 9: nobody gains or loses what no spec gives or takes"
	atMostOne      = "13: at most one write after a change that forbids it"
	oneOwner       = "6: one owner"
	notSilent      = "section 3: no object is silent about its present generation"
	readyIsTrue    = "section 3: Ready means that the cloud is as the spec says"
	leaversGo      = "3: what left a spec is gone, whatever else fails"
	converges      = "section 3: what could converge has converged"
	nothingLeft    = "2, 3: what an object gave goes with it"
	noFighting     = "7: no fighting"
)

// effectOracle holds one change of the cloud against a rule, before the ledger takes note of it. It
// returns what is wrong.
type effectOracle struct {
	rule   string
	broken func(*world, effect) string
}

// effectOracles are checked at every change that a pass makes.
var effectOracles = []effectOracle{
	{nothingUnasked, (*world).unasked},
	{atMostOne, (*world).late},
	{oneOwner, (*world).takenOver},
}

func (w *world) checkEffect(e effect) {
	w.trace("    %s", e)
	for _, o := range effectOracles {
		if detail := o.broken(w, e); detail != "" {
			w.violate(o.rule, "%s: %s", e, detail)
		}
	}
}

// unasked judges a change that no version of the object asks for which was stored since the pass
// read it.
func (w *world) unasked(e effect) string {
	versions := w.since(e)
	for _, v := range versions {
		if w.forbids(v, e) == "" {
			return ""
		}
	}
	if len(versions) == 0 {
		return "there was never such an object"
	}
	return w.forbids(latest(versions), e)
}

// late judges a change that the newest version of the object forbids, and an older one asked for:
// one such write may have been under way when the change was stored, or before the operator could
// know of it.
func (w *world) late(e effect) string {
	if e.pass.lateCall {
		return ""
	}
	versions := w.since(e)
	i := len(versions)
	for i > 0 && w.forbids(versions[i-1], e) != "" {
		i--
	}
	if i == 0 || i == len(versions) {
		return ""
	}
	v := versions[i]
	m := e.pass.manager
	if m.cache.at[v.key.kind] <= v.logged && time.Since(v.stored) < stale {
		return ""
	}
	e.pass.late[v.version]++
	if n := e.pass.late[v.version]; n > 1 {
		return fmt.Sprintf("write %d after generation %d was stored %s ago: %s", n, v.generation, time.Since(v.stored).Round(time.Millisecond), w.forbids(v, e))
	}
	return ""
}

// takenOver judges a change of a role on which another object has a claim, and this one has none.
func (w *world) takenOver(e effect) string {
	h := w.ledger.role(e.service, e.role)
	if h.creator == e.by || h.claims(e.by) || e.pass.lateCall {
		return "" // what arrives late was sent when it was its own
	}
	for _, uid := range w.currentUIDs() {
		v := latest(w.history[uid])
		if uid != e.by && v.role == e.role && !v.observe && w.serviceOf(v) == e.service && (h.creator == uid && h.exists || h.claims(uid)) {
			return fmt.Sprintf("it belongs to %s (%s)", v.key, uid)
		}
	}
	return ""
}

// claims reports whether something that an object gave is still there.
func (h *held) claims(uid string) bool {
	for _, from := range h.from {
		if from[uid] {
			return true
		}
	}
	return false
}

// forbids says why a version of an object does not let a change be made; it is empty if it does.
func (w *world) forbids(v *wish, e effect) string {
	h := w.ledger.role(e.service, e.role)
	if why := w.forbidsAll(v, h, e); why != "" {
		return why
	}
	switch e.verb {
	case created:
		return unless(!v.deleting, "the object is deleted")
	case dropped:
		return unless(v.deleting && w.isOf(h, e.by), "the role is not its own, or wanted")
	case added:
		return unless(!v.deleting && v.wanted(e.atom), "the spec does not ask for it")
	case removed:
	}
	return w.forbidsTaking(v, h, e)
}

// forbidsAll says why a version of an object lets no change be made to a role.
func (w *world) forbidsAll(v *wish, h *held, e effect) string {
	switch {
	case v.gone:
		return "the object is gone"
	case v.suspended:
		return "the object is suspended"
	case v.observe:
		return "the object only observes"
	case v.deleting && v.retain:
		return "the object is deleted and retained"
	case v.role != e.role:
		return "the object is about another role"
	case !w.led[v.connection][e.service]:
		return "its connection has never led there"
	case h.exists && e.verb != created && h.creator != e.by && !h.claimed[e.by] && !v.adopt:
		return "it is somebody else's, and not to be adopted"
	}
	return ""
}

// forbidsTaking says why a version of an object does not let something be taken away.
func (w *world) forbidsTaking(v *wish, h *held, e effect) string {
	_, managed := v.want[partOf(e.atom)]
	mine := h.from[e.atom][e.by] ||
		w.known[refusedCounts] && slices.ContainsFunc(w.history[e.by], func(v *wish) bool { return v.wanted(e.atom) })
	switch {
	case w.known[absentPolicy] && v.authoritative && partOf(e.atom) == partPolicy && !v.wanted(e.atom):
		return ""
	case w.known[policyRace] && e.pass.unseen[e.atom]:
		return ""
	case v.deleting:
		return unless(mine || w.isOf(h, e.by), "it was there before")
	case v.wanted(e.atom):
		return "the spec asks for it"
	case managed && v.authoritative:
		return ""
	}
	return unless(mine, "it is somebody else's")
}

// isOf reports whether a role is the one that an object made.
func (w *world) isOf(h *held, uid string) bool {
	return h.creator == uid || w.known[madeAnew] && h.made[uid]
}

func unless(ok bool, why string) string {
	if ok {
		return ""
	}
	return why
}

// since are the versions of the object of an effect from that on which its pass had read when it
// began.
func (w *world) since(e effect) []*wish {
	versions := w.history[e.by]
	i := len(versions) - 1
	for i > 0 && versions[i].version > e.pass.read {
		i--
	}
	return versions[max(i, 0):]
}

// currentUIDs are the UIDs of the stored objects, in a fixed order.
func (w *world) currentUIDs() []string {
	var uids []string
	for _, uid := range w.current {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	return uids
}

// uid is the UID of the object of a pass.
func (p *pass) uid() string { return p.object }

func versionOf(obj client.Object) int64 {
	n, err := strconv.ParseInt(obj.GetResourceVersion(), 10, 64)
	must(err)
	return n
}
