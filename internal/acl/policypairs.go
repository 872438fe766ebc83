package acl

import (
	"slices"
	"strings"
)

// The effort that counting may take. Documents that exceed it are counted too high, never too low.
const (
	// maxPairs is how many pairs are held one by one.
	maxPairs = 200_000
	// maxComparisons is how many comparisons of names are made.
	maxComparisons = 2_000_000
)

// terms are what a statement says of actions, or of resources. A name is one term, and so is all that NotAction or NotResource
// stands for.
type terms struct {
	// names are sorted. wild are those among them that stand for many.
	names, wild []string
	// other says that there is one more term; it stands for everything but what except names.
	other  bool
	except []string
}

// add and addNot are called at most once each, with sorted names.

func (t *terms) add(names []string) {
	t.names = names
	for _, name := range names {
		if strings.Contains(name, "*") {
			t.wild = append(t.wild, name)
		}
	}
}

func (t *terms) addNot(names []string) { t.other, t.except = true, names }

// complete is called when all has been added. Terms that the statement does not mention are taken for all there are.
func (t *terms) complete(named bool) { t.other = t.other || !named }

func (t *terms) len() int {
	if t.other {
		return len(t.names) + 1
	}
	return len(t.names)
}

// at returns a term as a key: for the one that is not a name, what it excepts.
func (t *terms) at(i int) string {
	if i < len(t.names) {
		return "=" + t.names[i]
	}
	return "!" + strings.Join(t.except, "\x00")
}

func (s Statement) pairs() int { return s.actions.len() * s.resources.len() }

// with returns the statements that have an effect.
func (d Document) with(effect string) []Statement {
	var out []Statement
	for _, s := range d.statements {
		if s.effect == effect {
			out = append(out, s)
		}
	}
	return out
}

func sum(statements []Statement) int {
	n := 0
	for _, s := range statements {
		n += s.pairs()
	}
	return n
}

const allow, deny = "allow", "deny"

// Pairs is the number of (action, resource) pairs that the document's Allow statements give. A pattern counts as one, and so does
// everything that a NotAction or a NotResource stands for.
func (d Document) Pairs() int { return Revoked(d, Document{}) }

// Revoked is the number of (action, resource) pairs that a role loses when its document changes: those that Allow statements gave
// and none gives any more, be it by a pattern, under the same or no condition; and those that Deny statements take that were not
// denied before. It is never too low: what is hard to tell counts as lost.
func Revoked(from, to Document) int {
	// A statement that is in both gives and takes the same before and after.
	given, denying := from.Minus(to).with(allow), to.Minus(from).with(deny)
	if len(denying) > 0 {
		given = from.with(allow)
	}
	if n := sum(given) + sum(denying); n > maxPairs {
		return n
	}
	c := counter{lost: map[pair]struct{}{}, comparisons: maxComparisons}
	remaining, denied := to.with(allow), from.with(deny)
	for _, s := range given {
		c.given(s, remaining, denying, denied)
	}
	for _, s := range denying {
		c.denied(s, denied)
	}
	return len(c.lost)
}

type pair struct{ action, resource string }

// counter collects lost pairs until it has compared too much; from then on it takes all for lost.
type counter struct {
	lost        map[pair]struct{}
	comparisons int
}

// given collects the pairs of an Allow statement that are lost: not given by those that remain, or hit by new denials without
// having been denied by the old.
func (c *counter) given(s Statement, remaining, denying, denied []Statement) {
	kept, hit := c.covers(s, remaining), c.hits(s, denying)
	var before []reach
	if len(hit) > 0 {
		before = c.covers(s, denied)
	}
	c.collect(s, func(i, j int) bool {
		return !c.any(kept, i, j, false) || c.any(hit, i, j, true) && !c.any(before, i, j, false)
	})
}

// denied collects the pairs of a new Deny statement that were not denied before.
func (c *counter) denied(s Statement, denied []Statement) {
	before := c.covers(s, denied)
	c.collect(s, func(i, j int) bool { return !c.any(before, i, j, false) })
}

func (c *counter) collect(s Statement, lost func(i, j int) bool) {
	for i := range s.actions.len() {
		for j := range s.resources.len() {
			if lost(i, j) {
				c.lost[pair{s.actions.at(i), s.resources.at(j)}] = struct{}{}
			}
		}
	}
}

// reach tells which actions and which resources of one statement another one reaches.
type reach struct{ actions, resources []bool }

// any tells whether one of several statements reaches the pair of an action and a resource. With nothing left to compare with,
// the answer is unknown.
func (c *counter) any(reaches []reach, i, j int, unknown bool) bool {
	for _, r := range reaches {
		if !c.spend(1) {
			return unknown
		}
		if r.actions[i] && r.resources[j] {
			return true
		}
	}
	return false
}

// covers returns how far a statement is covered by others that apply whenever it does.
func (c *counter) covers(s Statement, others []Statement) []reach {
	var out []reach
	for _, other := range others {
		if !c.spend(1) {
			return out
		}
		if other.rest != noRest && other.rest != s.rest {
			continue
		}
		if actions := c.covered(s.actions, other.actions); slices.Contains(actions, true) {
			out = append(out, reach{actions, c.covered(s.resources, other.resources)})
		}
	}
	return out
}

// covered tells which terms are surely covered by others: a name by itself or by a pattern, anything else only by itself.
func (c *counter) covered(t, by terms) []bool {
	out := make([]bool, t.len())
	for i, name := range t.names {
		_, found := slices.BinarySearch(by.names, name)
		out[i] = c.spend(1) && (found || c.matchesAny(by.wild, name))
	}
	if t.other && by.other {
		out[len(t.names)] = slices.Equal(t.except, by.except)
	}
	if t.other && slices.Contains(by.wild, "*") {
		out[len(t.names)] = true
	}
	return out
}

// hits returns how far a statement can be hit by others, under whatever condition.
func (c *counter) hits(s Statement, others []Statement) []reach {
	var out []reach
	for _, other := range others {
		if actions := c.hit(s.actions, other.actions); slices.Contains(actions, true) {
			out = append(out, reach{actions, c.hit(s.resources, other.resources)})
		}
		if !c.spend(1) {
			return []reach{{}} // any will not look into it
		}
	}
	return out
}

// hit tells which terms others can hit as a whole. Of a pattern, others may hit a part; that part counts where they are counted.
func (c *counter) hit(t, by terms) []bool {
	out := c.covered(t, by)
	for i, name := range t.names {
		out[i] = out[i] || by.other && !c.matchesAny(by.except, name)
	}
	if t.other {
		out[len(t.names)] = out[len(t.names)] || by.other
	}
	return out
}

func (c *counter) matchesAny(patterns []string, name string) bool {
	for _, pattern := range patterns {
		if !c.spend(1 + (len(pattern)+len(name))/64) {
			return false
		}
		if matches(pattern, name) {
			return true
		}
	}
	return false
}

// spend takes comparisons from what is left and tells whether there were enough.
func (c *counter) spend(n int) bool {
	c.comparisons = max(0, c.comparisons-n)
	return c.comparisons > 0
}

// Matches tells whether a pattern, in which * stands for any text, covers a name, or all that another pattern covers. Case matters.
func Matches(pattern, name string) bool { return matches(pattern, name) }

// matches tells whether a pattern, in which * stands for any text, covers a name or all that another pattern covers: the * of the
// other is text that only a * can stand for.
func matches(pattern, name string) bool {
	prefix, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, prefix)
	for ok {
		part, more, wild := strings.Cut(rest, "*")
		if !wild {
			return strings.HasSuffix(name, part)
		}
		_, name, ok = strings.Cut(name, part)
		rest = more
	}
	return false
}
