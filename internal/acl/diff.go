package acl

// Policy decides what becomes of grants that are not wanted.
type Policy int

const (
	// Authoritative: the role holds exactly what is wanted.
	Authoritative Policy = iota
	// Additive: what is wanted is ensured; of the rest, only what the owner itself granted is taken back.
	Additive
)

// Change is what closes the difference between two access control lists. Grant is to be applied before Revoke, so that at
// no moment a permission is missing that was there before and is wanted after.
type Change struct {
	Grant, Revoke Set
}

// Diff returns the change that turns have into want under a policy. owned is what the owner granted earlier: under Additive
// nothing outside it is ever revoked; under Authoritative it does not matter.
func Diff(want, have, owned Set, policy Policy) Change {
	surplus := have.Minus(want)
	if policy == Additive {
		surplus = surplus.Intersect(owned)
	}
	return Change{Grant: want.Minus(have), Revoke: surplus}
}

// Apply returns the list that a change leaves behind.
func (c Change) Apply(have Set) Set {
	return have.Union(c.Grant).Minus(c.Revoke)
}

// Empty tells whether there is nothing to do.
func (c Change) Empty() bool { return c.Grant.Empty() && c.Revoke.Empty() }
