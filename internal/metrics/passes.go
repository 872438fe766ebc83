package metrics

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// The results of plan steps.
const (
	resultApplied = "Applied"
	resultRefused = "Refused"
)

// Passes counts what controllers find and do in the cloud. It implements prometheus.Collector.
type Passes struct {
	collectors
	clock clock.PassiveClock

	steps            *prometheus.CounterVec
	added, revoked   *prometheus.CounterVec
	found, corrected *prometheus.CounterVec

	mu sync.Mutex
	// kinds are what is known of the objects of each kind.
	kinds map[string]*KindPasses
}

// NewPasses makes a Passes that has counted nothing.
func NewPasses(clock clock.PassiveClock) *Passes {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "maxcompute_operator_" + name, Help: help}, labels)
	}
	p := &Passes{
		clock: clock,
		steps: counter("plan_steps_total", "Steps of plans, by kind of object, verb, and whether the service took them: Applied or Refused.", "kind", "verb", "result"),
		added: counter("grants_added_total", "What was granted: pairs of object and action, members, and projects allowed.", "kind"),
		revoked: counter("grants_revoked_total",
			"What was taken away: pairs of object and action, members, and projects disallowed; not what went with a role or package that was deleted.", "kind"),
		found:     counter("drift_detected_total", "Objects that were Ready and turned out to differ from the cloud though nobody had changed them.", "kind"),
		corrected: counter("drift_corrected_total", "Drift that was found and after which the cloud was seen to be as specified again.", "kind"),
		kinds:     map[string]*KindPasses{},
	}
	p.collectors = collectors{p.steps, p.added, p.revoked, p.found, p.corrected}
	return p
}

// Kind is what the controller of a kind tells of its passes; nil of a nil Passes.
func (p *Passes) Kind(name string) *KindPasses {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kinds[name] == nil {
		p.kinds[name] = &KindPasses{passes: p, kind: name, looks: map[types.UID]time.Time{}, drifted: map[types.UID]bool{}}
		// They exist from the beginning, so that a rate over them is 0 and not nothing.
		for _, counter := range []*prometheus.CounterVec{p.added, p.revoked, p.found, p.corrected} {
			counter.WithLabelValues(name)
		}
	}
	return p.kinds[name]
}

// KindPasses counts for one kind. A nil one counts nothing.
type KindPasses struct {
	passes *Passes
	kind   string

	mu sync.Mutex
	// looks are when the cloud was last seen for objects, and drifted are those whose drift is not corrected yet.
	looks   map[types.UID]time.Time
	drifted map[types.UID]bool
}

// Looked tells that the cloud was seen for an object.
func (k *KindPasses) Looked(uid types.UID) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.looks[uid] = k.passes.clock.Now()
}

// Applied tells of a step that was carried out.
func (k *KindPasses) Applied(step plan.Step) {
	if k == nil {
		return
	}
	k.passes.steps.WithLabelValues(k.kind, string(step.Verb), resultApplied).Inc()
	k.passes.added.WithLabelValues(k.kind).Add(float64(step.Grants()))
	k.passes.revoked.WithLabelValues(k.kind).Add(float64(step.Revokes()))
}

// Refused tells of a step that was tried and not carried out, whatever the cause.
func (k *KindPasses) Refused(step plan.Step) {
	if k != nil {
		k.passes.steps.WithLabelValues(k.kind, string(step.Verb), resultRefused).Inc()
	}
}

// Drifted tells of an object that was Ready and turned out to differ from the cloud though nobody had changed it. Until that is corrected
// it is the same drift: a pass that lost against another change of the object has left it Ready, and the next finds the same.
func (k *KindPasses) Drifted(uid types.UID) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.drifted[uid] {
		k.passes.found.WithLabelValues(k.kind).Inc()
		k.drifted[uid] = true
	}
}

// Converged tells that the cloud was seen to be as an object specifies.
func (k *KindPasses) Converged(uid types.UID) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.drifted[uid] {
		k.passes.corrected.WithLabelValues(k.kind).Inc()
		delete(k.drifted, uid)
	}
}

// Forget tells that an object is gone.
func (k *KindPasses) Forget(uid types.UID) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.looks, uid)
	delete(k.drifted, uid)
}

// lastLooks returns when the cloud was last seen for the objects that exist, and forgets the others: those that went without a pass.
func (k *KindPasses) lastLooks(exists map[types.UID]bool) map[types.UID]time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	gone := func(uid types.UID) bool { return !exists[uid] }
	maps.DeleteFunc(k.looks, func(uid types.UID, _ time.Time) bool { return gone(uid) })
	maps.DeleteFunc(k.drifted, func(uid types.UID, _ bool) bool { return gone(uid) })
	return maps.Clone(k.looks)
}
