package acl

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Principal is who can be a member of a role: an Alibaba Cloud account, or a RAM user or RAM role that an account owns.
type Principal struct {
	spelling string
	// provider is in upper case, owner and name are folded; an account has no owner.
	provider, owner, name string
	role                  bool
}

// ParsePrincipal reads ALIYUN$account, RAM$owner:user or RAM$owner:role/name. Accounts and names are letters, digits and the signs
// . - _ @ +, so that none can be mistaken for more than a name.
func ParsePrincipal(s string) (Principal, error) {
	p := Principal{spelling: s}
	provider, rest, _ := strings.Cut(fold(s), "$")
	valid := false
	switch provider {
	case "aliyun":
		p.provider, p.name = "ALIYUN", rest
		valid = isName(p.name)
	case "ram":
		p.provider = "RAM"
		p.owner, p.name, _ = strings.Cut(rest, ":")
		p.name, p.role = strings.CutPrefix(p.name, "role/")
		valid = isName(p.owner) && isName(p.name)
	}
	if !valid {
		return Principal{}, fmt.Errorf("%.256q is not of the form ALIYUN$account, RAM$owner:user or RAM$owner:role/name", s)
	}
	return p, nil
}

func isName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_@+", r)
	})
}

// String is the principal as it was spelt.
func (p Principal) String() string { return p.spelling }

// Key is the same for all spellings of one principal, and itself one of them.
func (p Principal) Key() string {
	key := p.provider + "$"
	if p.owner != "" {
		key += p.owner + ":"
	}
	if p.role {
		key += "role/"
	}
	return key + p.name
}

// Owner is the account that a RAM user or RAM role belongs to, folded; empty for an account.
func (p Principal) Owner() string { return p.owner }

// Name is the account's, user's or role's own name, folded.
func (p Principal) Name() string { return p.name }

// IsRole tells whether the principal is a RAM role.
func (p Principal) IsRole() bool { return p.role }

// Members is a set of principals. What is no principal is kept aside: it takes no part in comparisons, so that no difference ever
// asks for its removal. The zero value is empty and ready to use; a Members never changes once it is made.
type Members struct {
	// principals are by key.
	principals map[string]Principal
	// unknown is sorted, each once.
	unknown []string
}

// NewMembers makes the set of the principals in a list.
func NewMembers(list ...string) Members {
	m := Members{principals: make(map[string]Principal, len(list))}
	for _, s := range list {
		p, err := ParsePrincipal(s)
		if err != nil {
			m.unknown = append(m.unknown, s)
			continue
		}
		// Of two spellings the smaller one, so that the order of the input does not matter.
		if old, ok := m.principals[p.Key()]; !ok || p.spelling < old.spelling {
			m.principals[p.Key()] = p
		}
	}
	slices.Sort(m.unknown)
	m.unknown = slices.Compact(m.unknown)
	return m
}

// List returns the principals as they were spelt, in a fixed order.
func (m Members) List() []string {
	list := make([]string, 0, len(m.principals))
	for _, key := range slices.Sorted(maps.Keys(m.principals)) {
		list = append(list, m.principals[key].spelling)
	}
	return list
}

// Unknown returns what was in the list and is no principal, sorted.
func (m Members) Unknown() []string { return slices.Clone(m.unknown) }

// Len is the number of principals.
func (m Members) Len() int { return len(m.principals) }

// Empty tells whether there are no principals.
func (m Members) Empty() bool { return m.Len() == 0 }

// Minus returns the principals that n lacks, and nothing that is unknown.
func (m Members) Minus(n Members) Members { return m.where(n, false) }

// Intersect returns the principals that n has, too, and nothing that is unknown.
func (m Members) Intersect(n Members) Members { return m.where(n, true) }

func (m Members) where(n Members, has bool) Members {
	out := Members{principals: map[string]Principal{}}
	for key, p := range m.principals {
		if _, ok := n.principals[key]; ok == has {
			out.principals[key] = p
		}
	}
	return out
}

// Union returns the principals of both, and what is unknown in either.
func (m Members) Union(n Members) Members {
	return NewMembers(slices.Concat(m.List(), n.List(), m.unknown, n.unknown)...)
}

// Contains tells whether m has all principals of n.
func (m Members) Contains(n Members) bool { return n.Minus(m).Empty() }

// Equal tells whether both have the same principals.
func (m Members) Equal(n Members) bool { return m.Contains(n) && n.Contains(m) }
