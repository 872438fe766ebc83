package simulation

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
)

const (
	interval = 10 * time.Minute
	// leaseDuration and renewDeadline are those of the manager: a rival waits for the one, and a
	// leader that cannot renew goes on for at most the other.
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	// maxLag is how far a cache of a running manager is behind at most.
	maxLag = 3 * time.Second
	// workers is how many objects of a kind a manager works on at a time.
	workers = 3
)

// manager is one process of the operator: caches, queues and the real reconcilers.
type manager struct {
	world *world
	name  string
	// mu guards the cache while passes run; the scheduler needs no lock, since nothing runs beside
	// it.
	mu       sync.Mutex
	ctx      context.Context
	kill     context.CancelFunc
	cache    *cache
	resolver *connect.Resolver
	// reconcilers make passes over the objects of a kind.
	reconcilers map[string]reconcile.Reconciler
	queue       map[key]*item
	running     map[key]*pass
	frozen      bool
	// dies is when a manager that has lost its lease notices and exits; zero if it has not lost it.
	dies time.Time
}

// item is an object that waits for its next pass.
type item struct {
	due      time.Time
	failures int
}

// pass is one pass over one object, on a goroutine of its own. It runs only between two of its
// calls, when it is let.
type pass struct {
	id      int
	manager *manager
	key     key
	resume  chan struct{}
	// at says what the pass is about to do while it is parked.
	at     string
	parked bool
	ended  bool
	result ctrl.Result
	err    error
	// read is the version of the object in the cache when the pass began.
	read int64
	// late counts the writes that a newer version of the object forbids, by that version.
	late map[int64]int
	// object is the UID of the object, faults and verbs are what met the pass and what it did.
	object        string
	faults, verbs []string
	// lateCall says that a call of the pass has arrived late: whoever sent it may have ended since.
	lateCall bool
	// unseen are the statements that somebody has added since the pass began.
	unseen set
}

type passKey struct{}

func passOf(ctx context.Context) *pass {
	p, _ := ctx.Value(passKey{}).(*pass)
	return p
}

// newManager starts a process whose caches have just been filled.
func newManager(w *world, name string) *manager {
	m := &manager{
		world: w, name: name, cache: newCache(), queue: map[key]*item{}, running: map[key]*pass{}, reconcilers: map[string]reconcile.Reconciler{},
	}
	m.ctx, m.kill = context.WithCancel(context.Background())
	maps.Copy(m.cache.objects, w.api.objects)
	for kind, log := range w.api.logs {
		m.cache.at[kind] = len(log)
	}
	cached, live := kubeClient{manager: m}, kubeClient{manager: m, live: true}
	m.resolver = &connect.Resolver{
		Connections: cached, Secrets: live, HTTP: &http.Client{Transport: network{m}, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
		Clock: clock.RealClock{}, Endpoints: connect.EndpointPolicy{AllowedSuffixes: connect.DefaultEndpointSuffixes},
	}
	m.reconcile(cached, live)
	return m
}

// reconcile makes the reconcilers, as main does.
func (m *manager) reconcile(cached, live kubeClient) {
	options := controllers.Options{
		Accounts: m.resolver, Clock: clock.RealClock{}, DefaultInterval: interval, MaxRevocations: m.world.maxRevocations, Concurrency: workers,
	}
	events := recorder{m}
	roles := controllers.NewProjectRoleReconciler(cached, live, options)
	packages := controllers.NewMaxComputePackageReconciler(cached, live, options)
	installations := controllers.NewPackageInstallationReconciler(cached, live, options)
	requests := controllers.NewPermissionApplyReconciler(cached, live, options)
	roles.Events, packages.Events, installations.Events, requests.Events = events, events, events, events
	m.reconcilers["ProjectRole"], m.reconcilers["MaxComputePackage"] = roles, packages
	m.reconcilers["PackageInstallation"], m.reconcilers["PermissionApply"] = installations, requests
}

// recorder takes events.
type recorder struct{ manager *manager }

// Eventf implements events.EventRecorder.
func (r recorder) Eventf(about, _ k8sruntime.Object, eventType, reason, _, note string, args ...any) {
	if obj, ok := about.(client.Object); ok {
		r.manager.world.trace("event %s %s %s: %s", keyOf(obj), eventType, reason, fmt.Sprintf(note, args...))
	}
}

// leads reports whether a manager believes that the lease is its own.
func (m *manager) leads() bool { return m.world.lease.holder == m || !m.dies.IsZero() }

// follow applies changes of a kind to the cache, up to a point of its log, and queues the objects
// that are concerned.
func (m *manager) follow(kind string, to int) {
	log := m.world.api.logs[kind]
	for ; m.cache.at[kind] < to; m.cache.at[kind]++ {
		c := log[m.cache.at[kind]]
		if c.object == nil {
			delete(m.cache.objects, c.key)
		} else {
			m.cache.objects[c.key] = c.object
		}
		if m.leads() {
			m.notice(c)
		}
	}
}

func (m *manager) readOwnWrites(kind string) { m.follow(kind, m.cache.own[kind]) }

// behind lists the kinds of which a cache lacks changes.
func (m *manager) behind() (kinds []string) {
	for kind, log := range m.world.api.logs {
		if m.cache.at[kind] < len(log) {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// catchUp applies the changes that are older than a cache may be behind.
func (m *manager) catchUp(lag time.Duration) {
	for _, kind := range m.behind() {
		log, to := m.world.api.logs[kind], m.cache.at[kind]
		for to < len(log) && time.Since(log[to].stored) >= lag {
			to++
		}
		m.follow(kind, to)
	}
}

// notice queues whatever the watches of the controllers queue for a change.
func (m *manager) notice(c change) {
	if m.reconcilers[c.key.kind] != nil && requested(c) {
		m.add(c.key, 0)
	}
	for k, obj := range m.cache.objects {
		if m.reconcilers[k.kind] != nil && k != c.key && concerns(c, k, obj) {
			m.add(k, 0)
		}
	}
}

// requested reports whether a change is one that a user makes.
func requested(c change) bool {
	if c.before == nil || c.object == nil || c.before.GetGeneration() != c.object.GetGeneration() {
		return true
	}
	differ := func(annotation string) bool {
		return c.before.GetAnnotations()[annotation] != c.object.GetAnnotations()[annotation]
	}
	return differ(v1alpha1.RequestedAtAnnotation) || differ(v1alpha1.ApprovePlanAnnotation)
}

// concerns reports whether a change of one object makes another worth a pass: its connection
// changed, a rival is gone, or what it waits for has come.
func concerns(c change, k key, obj client.Object) bool {
	switch {
	case c.key.kind == "Connection":
		return k.Namespace == c.key.Namespace && slices.Contains(indexed(obj, "spec.connectionRef.name"), "Connection "+c.key.Name)
	case c.object == nil || gaveWay(c):
		return k.kind == c.key.kind && overlap(indexed(obj, "target"), indexed(c.before, "target"))
	case c.key.kind == "MaxComputePackage" && k.kind == "PackageInstallation", c.key.kind == "PackageInstallation" && k.kind == "ProjectRole":
		return overlap(sources(obj), indexed(c.object, "target"))
	}
	return false
}

// gaveWay reports whether an object has begun to observe, or has withdrawn its claims.
func gaveWay(c change) bool {
	if c.before == nil || c.object == nil || c.key.kind != "ProjectRole" {
		return false
	}
	before, after := c.before.(*v1alpha1.ProjectRole), c.object.(*v1alpha1.ProjectRole)
	return !before.IsObserved() && after.IsObserved() || conditions.Claims(before) && !conditions.Claims(after)
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// add queues an object, unless it is due earlier.
func (m *manager) add(k key, after time.Duration) {
	due := time.Now().Add(after)
	if i := m.queue[k]; i == nil {
		m.queue[k] = &item{due: due}
	} else if due.Before(i.due) || i.due.IsZero() {
		i.due = due
	}
}

// takeOver queues everything, as a manager does that starts to lead.
func (m *manager) takeOver() {
	for k := range m.cache.objects {
		if m.reconcilers[k.kind] != nil {
			m.add(k, 0)
		}
	}
}

// ready lists the objects whose turn it is.
func (m *manager) ready() (keys []key) {
	busy := map[string]int{}
	for k := range m.running {
		busy[k.kind]++
	}
	for k, i := range m.queue {
		if !i.due.IsZero() && !i.due.After(time.Now()) && m.running[k] == nil && busy[k.kind] < workers {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(m.queue[a].due.Compare(m.queue[b].due), strings.Compare(a.String(), b.String()))
	})
	return keys
}

// begin starts a pass.
func (m *manager) begin(k key) {
	m.world.passes++
	p := &pass{id: m.world.passes, manager: m, key: k, resume: make(chan struct{}), late: map[int64]int{}, unseen: set{}}
	if obj := m.cache.objects[k]; obj != nil {
		p.read, p.object = versionOf(obj), string(obj.GetUID())
	}
	m.running[k], m.queue[k].due = p, time.Time{}
	m.world.trace("%s: pass %d over %s begins", m.name, p.id, k)
	go p.run()
}

func (p *pass) run() {
	defer func() {
		if reason := recover(); reason != nil {
			p.manager.world.violate("the operator never panics", "%v in a pass over %s\n%s", reason, p.key, debug.Stack())
		}
		p.manager.world.mu.Lock()
		defer p.manager.world.mu.Unlock()
		p.ended = true
	}()
	ctx := context.WithValue(p.manager.ctx, passKey{}, p)
	p.result, p.err = p.manager.reconcilers[p.key.kind].Reconcile(ctx, reconcile.Request{NamespacedName: p.key.NamespacedName})
}

// finish takes note of how a pass has ended and queues the next, as a controller does.
func (m *manager) finish(p *pass) {
	delete(m.running, p.key)
	after := p.result.RequeueAfter
	m.world.trace("%s: pass %d over %s ends: %v %v", m.name, p.id, p.key, after, p.err)
	i := m.queue[p.key]
	switch {
	case p.err != nil:
		m.add(p.key, min(time.Second<<min(i.failures, 10), 5*time.Minute))
		i.failures++
	case after > 0:
		i.failures = 0
		m.add(p.key, after)
	default:
		i.failures = 0
		if i.due.IsZero() {
			delete(m.queue, p.key)
		}
	}
}

// call is a step of a pass to the API server: it goes on when the scheduler says so, and may be
// refused.
func (m *manager) call(ctx context.Context, verb string, k key) error {
	if err := m.park(ctx, verb+" "+k.String()); err != nil {
		return err
	}
	return m.world.refusedByAPI(verb, k)
}

// park makes a pass wait until the scheduler lets it go on. If its manager is killed meanwhile, it
// never returns.
func (m *manager) park(ctx context.Context, at string) error {
	p := passOf(ctx)
	if m.ctx.Err() == nil {
		m.world.mu.Lock()
		p.parked, p.at = true, at
		m.world.mu.Unlock()
		select {
		case <-p.resume:
		case <-m.ctx.Done():
		}
	}
	if m.ctx.Err() != nil {
		runtime.Goexit()
	}
	return ctx.Err()
}
