package simulation

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// The model is all that the oracles go by: sets of short texts. It shares nothing with the
// operator.
//
// An atom is one thing that a role can hold: "t1:select" a permission on a table, "u1" a member,
// "s1" a statement of its policy.

// set is a set of atoms.
type set map[string]bool

func (s set) list() []string { return slices.Sorted(maps.Keys(s)) }

// The parts of a role, each of which a spec manages or not.
const (
	partACL     = "acl"
	partPolicy  = "policy"
	partMembers = "members"
)

// partOf tells by its form to which part of a role an atom belongs.
func partOf(atom string) string {
	switch {
	case strings.Contains(atom, ":"):
		return partACL
	case strings.HasPrefix(atom, "s"):
		return partPolicy
	}
	return partMembers
}

// wish is what one stored version of an object asks for.
type wish struct {
	key     key
	uid     string
	version int64
	// generation, stored and logged say when it was stored: logged is its place in the log of its
	// kind.
	generation int64
	stored     time.Time
	logged     int
	// connection and role are the target; services are where the connection has led since.
	connection, role string
	// want holds the parts that are managed.
	want map[string]set
	// authoritative and observe are the management policy; with neither it is Additive.
	authoritative, observe, adopt, retain, suspended, deleting, gone bool
	// adopted is what its status said when it was gone.
	adopted bool
}

// wanted reports whether a version asks for an atom.
func (v *wish) wanted(atom string) bool { return v.want[partOf(atom)][atom] }

// wishOf reads what a stored object asks for. It is nil for kinds that ask for nothing.
func wishOf(c change, logged int) *wish {
	obj := c.object
	if obj == nil {
		obj = c.before
	}
	role, ok := obj.(*v1alpha1.ProjectRole)
	if !ok {
		return nil
	}
	v := &wish{
		key: c.key, uid: string(obj.GetUID()), version: c.version, generation: obj.GetGeneration(), stored: c.stored, logged: logged,
		connection: obj.GetNamespace() + "/" + role.Spec.ConnectionRef.Name, role: strings.ToLower(role.Spec.RoleName),
		authoritative: role.Spec.ManagementPolicy == v1alpha1.ManagementAuthoritative, observe: role.Spec.ManagementPolicy == v1alpha1.ManagementObserve,
		adopt: role.Spec.AdoptionPolicy == v1alpha1.AdoptionAdopt, retain: role.Spec.DeletionPolicy == v1alpha1.DeletionRetain,
		suspended: role.Spec.Suspend, deleting: obj.GetDeletionTimestamp() != nil, gone: c.object == nil, want: map[string]set{}, adopted: role.Status.Adopted,
	}
	if role.Spec.ACL != nil {
		v.want[partACL] = set{}
		for _, t := range role.Spec.ACL.Tables {
			for _, action := range t.Actions {
				v.want[partACL][strings.ToLower(t.Name+":"+action)] = true
			}
		}
	}
	if role.Spec.Policy != nil {
		v.want[partPolicy] = statementsIn(string(role.Spec.Policy.Raw))
	}
	if role.Spec.Members != nil {
		v.want[partMembers] = set{}
		for _, m := range role.Spec.Members {
			v.want[partMembers][memberAtom(m)] = true
		}
	}
	return v
}

// statement is how the policies of the simulation name their statements.
var statement = regexp.MustCompile(`tables/(s\d+)`)

func statementsIn(policy string) set {
	s := set{}
	for _, match := range statement.FindAllStringSubmatch(policy, -1) {
		s[match[1]] = true
	}
	return s
}

// policyWith is a policy with some statements.
func policyWith(statements ...string) string {
	type allow struct{ Effect, Action, Resource any }
	document := struct {
		Version   string
		Statement []allow
	}{Version: "1", Statement: []allow{}}
	for _, s := range statements {
		document.Statement = append(document.Statement, allow{"Allow", []string{"odps:Select"}, []string{"acs:odps:*:projects/" + project + "/tables/" + s}})
	}
	raw, err := json.Marshal(document)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

const memberPrefix = "RAM$corp:"

func memberAtom(name string) string { return strings.ToLower(name[strings.LastIndex(name, ":")+1:]) }

// byHand is who an atom comes from that no object gave.
const byHand = "hand"

// held is what the model knows of one role in one service.
type held struct {
	exists bool
	// creator made the role: the UID of an object, or byHand.
	creator string
	// from holds the atoms, each with those that gave it.
	from map[string]set
	// claimed are the objects that have once created, adopted or granted something here.
	claimed set
	// undone counts how often somebody has changed the role by hand.
	undone int
	// made are the objects that have once created the role.
	made set
}

func (h *held) atoms() []string { return slices.Sorted(maps.Keys(h.from)) }

// ledger is what all roles hold, and whose it is, by service and role.
type ledger map[string]*held

func (l ledger) role(service, role string) *held {
	name := service + "/" + strings.ToLower(role)
	if l[name] == nil {
		l[name] = &held{from: map[string]set{}, claimed: set{}, made: set{}}
	}
	return l[name]
}

// effect is one change of a role.
type effect struct {
	service, role string
	verb          effectVerb
	// atom is what is added or removed.
	atom string
	// by is the UID of the object whose pass did it, or byHand; pass is nil then.
	by   string
	pass *pass
}

type effectVerb string

const (
	added   effectVerb = "adds"
	removed effectVerb = "removes"
	created effectVerb = "creates"
	dropped effectVerb = "drops"
)

func (e effect) String() string {
	return strings.TrimSpace(e.by + " " + string(e.verb) + " " + strings.TrimSpace(e.atom+" of role ") + " " + e.service + "/" + e.role)
}

// apply puts an effect into the ledger.
func (l ledger) apply(e effect) {
	h := l.role(e.service, e.role)
	switch e.verb {
	case created:
		*h = held{exists: true, creator: e.by, from: map[string]set{}, claimed: h.claimed, made: h.made, undone: h.undone}
		h.made[e.by] = true
	case dropped:
		*h = held{from: map[string]set{}, claimed: h.claimed, made: h.made, undone: h.undone}
	case added:
		if h.from[e.atom] == nil {
			h.from[e.atom] = set{}
		}
		h.from[e.atom][e.by] = true
	case removed:
		delete(h.from, e.atom)
	}
	h.claimed[e.by] = true
}

// latest is the newest version of an object.
func latest(versions []*wish) *wish { return versions[len(versions)-1] }

// statusOf is the common status of an object of a kind that has a target.
func statusOf(obj client.Object) *v1alpha1.TargetStatus {
	return obj.(interface{ GetTargetStatus() *v1alpha1.TargetStatus }).GetTargetStatus()
}
