package simulation

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// rest lets everything come to rest: nobody does anything more, only the faults stay that last for
// ever, and a person approves what waits for approval.
func (w *world) rest() {
	w.trace("--- rest")
	w.thaw()
	w.mend(false)
	for range 3 {
		w.runFor(interval*6/5, 1500)
		w.approveAll()
	}
	w.runFor(interval*6/5, 1500)
	w.trace("--- at rest")
	w.resting = w.writes
	w.runFor(interval*6/5, 1500)
}

func (w *world) approveAll() {
	for _, uid := range w.currentUIDs() {
		k := latest(w.history[uid]).key
		w.approve([]string{k.Namespace + "/" + k.Name})
	}
	w.settle()
}

// restOracle holds one object against a rule when everything has come to rest.
type restOracle struct {
	rule   string
	broken func(*world, *subject) string
}

// restOracles are checked for every stored ProjectRole.
var restOracles = []restOracle{
	{notSilent, (*world).silent},
	{readyIsTrue, (*world).lies},
	{leaversGo, (*world).leftBehind},
	{converges, (*world).stuck},
	{oneOwner, (*world).twoOwners},
}

// subject is an object at rest, and what decides about it.
type subject struct {
	*wish
	object  *v1alpha1.ProjectRole
	ready   *metav1.Condition
	service string
	held    *held
}

func (s *subject) String() string {
	if s.ready == nil {
		return s.key.String() + " (no condition)"
	}
	return fmt.Sprintf("%s (Ready=%s/%s: %s; generation %d of %d)", s.key, s.ready.Status, s.ready.Reason, s.ready.Message, s.ready.ObservedGeneration, s.generation)
}

func (w *world) checkAtRest() {
	for _, uid := range w.currentUIDs() {
		s := w.subject(uid)
		for _, o := range restOracles {
			if detail := o.broken(w, s); detail != "" {
				w.violate(o.rule, "%s: %s", s, detail)
			}
		}
	}
	w.checkGone()
	if n := w.writes - w.resting; n > 0 && len(w.faults)+len(w.refuse) == 0 {
		w.violate(noFighting, "%d writes to the cloud in an interval in which nobody did anything", n)
	}
}

func (w *world) subject(uid string) *subject {
	v := latest(w.history[uid])
	s := &subject{wish: v, object: w.api.objects[v.key].(*v1alpha1.ProjectRole), service: w.serviceOf(v)}
	s.ready = apimeta.FindStatusCondition(s.object.Status.Conditions, v1alpha1.ReadyCondition)
	s.held = w.ledger.role(s.service, s.role)
	return s
}

// serviceOf is where the connection of an object leads now.
func (w *world) serviceOf(v *wish) string {
	namespace, name, _ := strings.Cut(v.connection, "/")
	if c, ok := w.api.objects[named("Connection", namespace+"/"+name)].(*v1alpha1.Connection); ok {
		return serviceOn(strings.TrimPrefix(c.Spec.AlibabaCloud.Endpoints.MaxCompute, "https://"))
	}
	return ""
}

// silent judges an object that says nothing about its present generation.
func (w *world) silent(s *subject) string {
	switch {
	case s.suspended, w.apiLasts():
		return ""
	case s.ready == nil:
		return "it has no condition"
	case s.ready.ObservedGeneration != s.generation:
		return "its condition is about an older generation"
	}
	return ""
}

// lies judges an object that says that all is well.
func (w *world) lies(s *subject) string {
	if s.suspended || s.deleting || s.observe || s.ready == nil || s.ready.Status != metav1.ConditionTrue || s.ready.ObservedGeneration != s.generation {
		return ""
	}
	if lacks, surplus := s.difference(); len(lacks)+len(surplus) > 0 && !w.unreadable(s) {
		return fmt.Sprintf("the role lacks %v and has too much: %v", lacks, surplus)
	}
	return ""
}

// difference is what a role lacks, and what it must not have: all that is not listed, or, for an
// object that is not authoritative and for parts that are not managed, what the object itself has
// given.
func (s *subject) difference() (lacks, surplus []string) {
	for _, atoms := range s.want {
		for _, atom := range atoms.list() {
			if s.held.from[atom] == nil {
				lacks = append(lacks, atom)
			}
		}
	}
	for _, atom := range s.held.atoms() {
		from := s.held.from[atom]
		_, managed := s.want[partOf(atom)]
		onlyMine := from[s.uid] && len(from) == 1
		if !s.wanted(atom) && (managed && s.authoritative || onlyMine) {
			surplus = append(surplus, atom)
		}
	}
	slices.Sort(lacks)
	return lacks, surplus
}

// leftBehind judges what is left of what an object does not want any more, though taking it away
// does not fail.
func (w *world) leftBehind(s *subject) string {
	if s.leavesAll() || w.unusable(s) || w.unreadable(s) || w.apiLasts() || s.held.exists && w.disowned(s) {
		return ""
	}
	_, surplus := s.difference()
	if s.deleting {
		surplus = s.ownAtoms()
	}
	if w.known[dropRefused] && s.deleting && slices.ContainsFunc(s.held.atoms(), func(atom string) bool {
		return partOf(atom) == partMembers && w.lasts(s, takingOf(s, atom))
	}) {
		return ""
	}
	surplus = slices.DeleteFunc(surplus, func(atom string) bool { return w.lasts(s, takingOf(s, atom)) })
	if len(surplus) > 0 {
		return fmt.Sprintf("the role still has %v", surplus)
	}
	return ""
}

// leavesAll reports whether an object is to take nothing away.
func (s *subject) leavesAll() bool {
	return s.suspended || s.observe || s.deleting && s.retain || s.fought()
}

// ownAtoms are those of the role that this object gave, and nobody else.
func (s *subject) ownAtoms() (own []string) {
	for _, atom := range s.held.atoms() {
		if from := s.held.from[atom]; from[s.uid] && len(from) == 1 {
			own = append(own, atom)
		}
	}
	return own
}

// fought reports whether an object has given up because somebody has undone what it does, again and
// again.
func (s *subject) fought() bool {
	return s.ready != nil && s.ready.Reason == v1alpha1.ReasonNonConvergent && s.held.undone >= 3
}

// takingOf is the call that takes something away.
func takingOf(s *subject, atom string) call {
	c := call{service: s.service, account: accountOf(s.key.Namespace)}
	switch partOf(atom) {
	case partACL:
		table, action, _ := strings.Cut(atom, ":")
		c.action, c.text = "Statement", fmt.Sprintf("/projects/%s/authorization REVOKE %s ON TABLE %s FROM ROLE %s;", project, action, table, s.role)
	case partMembers:
		c.action, c.text = "UpdateUsersToRole", "/roles/"+s.role+"/users "+memberPrefix+atom
	default:
		c.action, c.text = "UpdateRole", "/roles/"+s.role+" policy"
	}
	return c
}

// stuck judges an object that has not come to an end though nothing that lasts keeps it from that.
func (w *world) stuck(s *subject) string {
	if s.suspended || w.unusable(s) || w.apiLasts() || w.hampered(s) {
		return ""
	}
	switch {
	case s.deleting:
		return unless(s.ready != nil && s.ready.Reason == v1alpha1.ReasonCreateResultUnknown, "it is still being deleted")
	case s.ready == nil:
		return "it has no condition"
	case s.ready.Status == metav1.ConditionTrue:
		return ""
	}
	switch s.ready.Reason {
	case v1alpha1.ReasonNonConvergent:
		return unless(s.fought(), "nobody undoes what it does")
	case v1alpha1.ReasonTargetConflict:
		return unless(w.rival(s) != nil, "nobody else can own the role")
	case v1alpha1.ReasonAlreadyExists, v1alpha1.ReasonCreateResultUnknown:
		return unless(s.held.exists && !s.adopt && s.held.creator != s.uid || s.ready.Reason == v1alpha1.ReasonCreateResultUnknown, "the role is not somebody else's")
	}
	return "it is not Ready"
}

// twoOwners judges two objects that both say that one role is as they want it.
func (w *world) twoOwners(s *subject) string {
	r := w.rival(s)
	if r == nil || !s.owns() || !r.owns() {
		return ""
	}
	return "so says " + r.String()
}

func (s *subject) owns() bool {
	return !s.suspended && !s.deleting && !s.observe && s.ready != nil && s.ready.Status == metav1.ConditionTrue
}

// rival is another object that names the same role and may own it.
func (w *world) rival(s *subject) *subject {
	for _, uid := range w.currentUIDs() {
		if r := w.subject(uid); uid != s.uid && r.role == s.role && r.service == s.service && !r.observe {
			return r
		}
	}
	return nil
}

// disowned reports whether an object has been told that the role is not its own.
func (w *world) disowned(s *subject) bool {
	if s.ready == nil {
		return false
	}
	switch s.ready.Reason {
	case v1alpha1.ReasonTargetConflict:
		return w.rival(s) != nil
	case v1alpha1.ReasonAlreadyExists, v1alpha1.ReasonCreateResultUnknown:
		return true
	}
	return false
}

// checkGone judges objects that were deleted and are gone: nothing that only they have given is
// left.
func (w *world) checkGone() {
	const rule = nothingLeft
	for name, h := range w.ledger {
		for _, atom := range h.atoms() {
			for uid := range h.from[atom] {
				if len(h.from[atom]) == 1 && w.ended(uid) {
					w.violate(rule, "%s still has %s of %s, which is gone", name, atom, uid)
				}
			}
		}
		if h.exists && w.ended(h.creator) {
			w.violate(rule, "role %s is still there, and %s, which made it, is gone", name, h.creator)
		}
	}
}

// ended reports whether an object is gone and should have taken along what it gave.
func (w *world) ended(uid string) bool {
	versions := w.history[uid]
	if len(versions) < 2 || !latest(versions).gone {
		return false
	}
	last := versions[len(versions)-2]
	return last.deleting && !last.retain && !last.observe && !last.suspended
}

// lasts reports whether a fault that lasts can meet a call.
func (w *world) lasts(_ *subject, c call) bool {
	return slices.ContainsFunc(w.faults, func(f activeFault) bool { return f.hits(c) })
}

// unreadable reports whether a fault that lasts can keep an object from being looked at.
func (w *world) unreadable(s *subject) bool {
	return slices.ContainsFunc(reads, func(action string) bool {
		return w.lasts(s, call{service: s.service, action: action, account: accountOf(s.key.Namespace), text: "/projects/" + project + "/roles/" + s.role})
	})
}

// hampered reports whether any fault lasts in the service of an object.
func (w *world) hampered(s *subject) bool {
	return slices.ContainsFunc(w.faults, func(f activeFault) bool { return f.service == s.service })
}

func (w *world) apiLasts() bool { return len(w.refuse) > 0 }

// unusable reports whether the connection of an object has no good credentials, or does not lead to
// where the object has done something.
func (w *world) unusable(s *subject) bool {
	secret, ok := w.api.objects[named("Secret", s.key.Namespace+"/keys")].(*corev1.Secret)
	if !ok || strings.Contains(string(secret.Data["accessKeySecret"]), "wrong") {
		return true
	}
	at := serviceOn(strings.TrimPrefix(s.object.Status.Endpoint, "https://"))
	if s.object.Status.Creating && at != s.service {
		return true // nobody can know whether what was about to be done there was done
	}
	for service := range w.led[s.connection] {
		if h := w.ledger.role(service, s.role); service != s.service && (h.creator == s.uid || h.claims(s.uid) || h.claimed[s.uid]) {
			return true
		}
	}
	return false
}
