package engine

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// wellKnown is how many times in a row the same must have failed for it to be tried less often.
const wellKnown = 3

// memory is what a process knows of the failures of its objects, so that one that goes on failing
// costs no more calls than a healthy one, and what fails stands last in line. It is no part of the
// status: a new process tries everything.
type memory struct {
	mu      sync.Mutex
	objects map[types.UID]*memories
}

// memories are the failures of one object.
type memories struct {
	generation int64
	// steps are those that failed in the last pass, by their text.
	steps map[string]stepMemory
	// outcome is how the last pass ended, and times how many in a row ended so.
	outcome string
	times   int
	// due is when the next pass comes by itself; zero if that is not known. One that comes earlier
	// was asked for: something has changed.
	due time.Time
	// turn is the step that is tried in this pass of those that are well known; passes counts the
	// passes.
	turn   string
	passes int
}

type stepMemory struct {
	err     error
	refused bool
	in      lane
	times   int
	// tried is the number of the pass that tried it last.
	tried int
}

// of returns what is known at the beginning of a pass: nothing, if the object or something that it
// depends on has changed.
func (m *memory) of(obj Object, now time.Time) memories {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := m.objects[obj.GetUID()]
	if last == nil || last.generation != obj.GetGeneration() || conditions.IsRequested(obj) || now.Before(last.due) {
		return memories{}
	}
	known := *last
	known.passes++
	known.turn = known.longestUntried()
	return known
}

// longestUntried is the step whose turn it is of those that need not be tried in each pass; "" if
// there are none.
func (k memories) longestUntried() string {
	turn, tried := "", k.passes
	for text, s := range k.steps {
		if s.canWait() && (s.tried < tried || s.tried == tried && text < turn) {
			turn, tried = text, s.tried
		}
	}
	return turn
}

// canWait reports whether a step need not be tried in each pass. What takes something away always
// is.
func (s stepMemory) canWait() bool { return s.refused && s.in == adds && s.times >= wellKnown }

// keep remembers the failures of a pass.
func (m *memory) keep(obj Object, known memories, failed []failure) {
	m.mu.Lock()
	defer m.mu.Unlock()
	steps := map[string]stepMemory{}
	for _, f := range failed {
		text := f.step.String()
		s := known.steps[text]
		if f.tried {
			s = stepMemory{err: f.err, refused: f.refused, in: laneOf(f.step), times: s.times + 1, tried: known.passes}
		}
		if s.times > 0 {
			steps[text] = s
		}
	}
	known.generation, known.steps = obj.GetGeneration(), steps
	m.put(obj, &known)
}

func (m *memory) put(obj Object, known *memories) {
	if m.objects == nil {
		m.objects = map[types.UID]*memories{}
	}
	m.objects[obj.GetUID()] = known
}

// ended notes how a pass has ended, and returns what is known then.
func (m *memory) ended(obj Object, outcome conditions.Outcome) memories {
	m.mu.Lock()
	defer m.mu.Unlock()
	if outcome.State != conditions.Reconciling {
		delete(m.objects, obj.GetUID())
		return memories{}
	}
	known := m.objects[obj.GetUID()]
	if known == nil {
		known = &memories{generation: obj.GetGeneration()}
		m.put(obj, known)
	}
	if text := outcome.Reason + " " + outcome.Message; known.outcome != text {
		known.outcome, known.times = text, 0
	}
	known.times++
	return *known
}

// expect notes when the next pass over an object comes by itself.
func (m *memory) expect(obj Object, due time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.objects[obj.GetUID()]; known != nil {
		known.due = due
	}
}

func (m *memory) forget(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, uid)
}

// canWait reports whether nothing that failed is to take something away.
func (k memories) canWait() bool {
	for _, s := range k.steps {
		if s.in != adds {
			return false
		}
	}
	return true
}

// has reports whether a step failed in the last pass.
func (k memories) has(step plan.Step) bool {
	_, ok := k.steps[step.String()]
	return ok
}

// refusalOf returns why a step was refused before, if that is so well known that it need not be
// tried in this pass.
func (k memories) refusalOf(step plan.Step) error {
	if s := k.steps[step.String()]; s.canWait() && k.turn != step.String() {
		return s.err
	}
	return nil
}

// sorted puts what failed in the last pass behind the rest, so that nothing waits for it: what
// takes something away before those who are let in, since they must not come to have it, and what
// adds at the very end. A replacement that is half done stays where it is, and the target is
// dropped after all else.
func (k memories) sorted(steps []plan.Step) []plan.Step {
	const normal, takesAgain, letsIn, addsAgain, drops = 0, 1, 2, 3, 4
	class := func(step plan.Step) int {
		halfDone := step.Rebuilds() && step.Repeat
		failed := step.Verb.Independent() && !halfDone && k.has(step)
		switch {
		case step.Verb == plan.Delete:
			return drops
		case failed && step.Revokes() > 0:
			return takesAgain
		case failed:
			return addsAgain
		case step.LetsIn():
			return letsIn
		}
		return normal
	}
	return slices.SortedStableFunc(slices.Values(steps), func(a, b plan.Step) int { return class(a) - class(b) })
}
