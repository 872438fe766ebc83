package acl

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Share is a project that may install a package, and up to which label it may then read.
type Share struct {
	Project string
	Label   int
}

// Sharing says which projects may install a package. Projects compare without case. The zero value is empty and ready to use; a Sharing
// never changes once it is made.
type Sharing struct {
	shares map[string]Share
}

// NewSharing makes the Sharing of a list. Of a project that is listed twice the lower label counts.
func NewSharing(list ...Share) Sharing {
	s := Sharing{shares: make(map[string]Share, len(list))}
	for _, share := range list {
		key := strings.ToLower(share.Project)
		if old, ok := s.shares[key]; ok {
			share = Share{Project: min(old.Project, share.Project), Label: min(old.Label, share.Label)}
		}
		s.shares[key] = share
	}
	return s
}

// List returns the shares ordered by project.
func (s Sharing) List() []Share {
	return slices.SortedFunc(maps.Values(s.shares), func(a, b Share) int {
		return cmp.Compare(strings.ToLower(a.Project), strings.ToLower(b.Project))
	})
}

// Len is the number of projects.
func (s Sharing) Len() int { return len(s.shares) }

// Of returns the share of a project.
func (s Sharing) Of(project string) (Share, bool) {
	share, ok := s.shares[strings.ToLower(project)]
	return share, ok
}

// Minus returns the projects of s that t does not have, whatever the label.
func (s Sharing) Minus(t Sharing) Sharing { return s.where(t, false) }

// Intersect returns the projects of s that t has, whatever the label, with the labels of s.
func (s Sharing) Intersect(t Sharing) Sharing { return s.where(t, true) }

func (s Sharing) where(t Sharing, has bool) Sharing {
	out := Sharing{shares: maps.Clone(s.shares)}
	maps.DeleteFunc(out.shares, func(key string, _ Share) bool { _, found := t.shares[key]; return found != has })
	return out
}

// Union returns the projects of both, with the labels of s where both have one.
func (s Sharing) Union(t Sharing) Sharing {
	out := Sharing{shares: make(map[string]Share, len(s.shares)+len(t.shares))}
	maps.Copy(out.shares, t.shares)
	maps.Copy(out.shares, s.shares)
	return out
}

// Equal tells whether both have the same projects with the same labels.
func (s Sharing) Equal(t Sharing) bool {
	return maps.EqualFunc(s.shares, t.shares, func(a, b Share) bool { return a.Label == b.Label })
}

// SharingChange is what closes the difference between two Sharings.
type SharingChange struct {
	// Allow and Disallow are the projects that only one has.
	Allow, Disallow []Share
	// Relabel are the projects whose label differs.
	Relabel []Relabel
}

// Relabel is another label for a project.
type Relabel struct {
	From, To Share
}

// DiffSharing returns the change that turns have into want.
func DiffSharing(want, have Sharing) SharingChange {
	change := SharingChange{Allow: want.Minus(have).List(), Disallow: have.Minus(want).List()}
	for _, to := range want.Intersect(have).List() {
		if from := have.shares[strings.ToLower(to.Project)]; from.Label != to.Label {
			change.Relabel = append(change.Relabel, Relabel{From: from, To: to})
		}
	}
	return change
}

// Ensure returns what have becomes when want is ensured and nothing is taken away but what the owner itself gave: owned are the projects
// that it allowed, former those that were allowed before, with the labels that they had before it gave them others.
func (s Sharing) Ensure(want, owned, former Sharing) Sharing {
	left := s.Minus(owned.Minus(want))
	left = former.Minus(want).Intersect(left).Union(left)
	var ensured []Share
	for _, share := range want.List() {
		if have, ok := s.Of(share.Project); ok && owned.Intersect(NewSharing(share)).Len() == 0 {
			floor, ok := former.Of(share.Project)
			if !ok {
				floor = have
			}
			share.Label = max(share.Label, floor.Label)
		}
		ensured = append(ensured, share)
	}
	return NewSharing(ensured...).Union(left)
}

// Revert returns what s becomes without what the owner gave.
func (s Sharing) Revert(owned, former Sharing) Sharing {
	left := s.Minus(owned)
	return former.Intersect(left).Union(left)
}

// Apply returns what a change leaves behind.
func (c SharingChange) Apply(have Sharing) Sharing {
	given := slices.Clone(c.Allow)
	for _, r := range c.Relabel {
		given = append(given, r.To)
	}
	return NewSharing(given...).Union(have.Minus(NewSharing(c.Disallow...)))
}

// Empty tells whether there is nothing to do.
func (c SharingChange) Empty() bool {
	return len(c.Allow) == 0 && len(c.Disallow) == 0 && len(c.Relabel) == 0
}
