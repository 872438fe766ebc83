package auditpage

import (
	"errors"
	"fmt"
	"slices"
)

// check finds what would make a broken page: indexes of nothing, and words that the page does not know.
func (p *Page) check() error {
	for _, g := range p.Grants {
		switch {
		case g.Role != NoRole && !within(g.Role, p.Roles):
			return fmt.Errorf("grant %q is of a role that does not exist", g.Text)
		case !slices.Contains(effects(), g.Effect):
			return fmt.Errorf("grant %q has the unknown effect %q", g.Text, g.Effect)
		case !slices.Contains(states(), g.State):
			return fmt.Errorf("grant %q has the unknown state %q", g.Text, g.State)
		}
	}
	for _, principal := range p.Principals {
		if !within(principal.Profile, p.Profiles) {
			return fmt.Errorf("principal %q has a profile that does not exist", principal.Name)
		}
		for _, m := range principal.Roles {
			if !within(m.Role, p.Roles) {
				return fmt.Errorf("principal %q has a role that does not exist", principal.Name)
			}
			if !slices.Contains(states(), m.State) {
				return fmt.Errorf("principal %q has a role in the unknown state %q", principal.Name, m.State)
			}
		}
	}
	for _, profile := range p.Profiles {
		if err := p.checkProfile(profile); err != nil {
			return err
		}
	}
	return nil
}

func (p *Page) checkProfile(profile Profile) error {
	last := -1
	for _, cell := range profile.Cells {
		if !within(cell.Object, p.Objects) {
			return errors.New("a cell is of an object that does not exist")
		}
		if cell.Object <= last {
			return fmt.Errorf("the cell of object %q is not in ascending order", label(p.Objects[cell.Object]))
		}
		last = cell.Object
		for _, action := range cell.Actions {
			if !slices.Contains(verdicts(), action.Verdict) {
				return fmt.Errorf("action %q has the unknown verdict %q", action.Name, action.Verdict)
			}
			for _, grant := range action.Via {
				if !within(grant, p.Grants) {
					return fmt.Errorf("action %q is through a grant that does not exist", action.Name)
				}
			}
		}
	}
	return nil
}

// within tells whether an index is one of a list.
func within[T any](index int, list []T) bool { return 0 <= index && index < len(list) }

// label is the name of an object with its schema.
func label(o Object) string {
	if o.Schema == "" {
		return o.Name
	}
	return o.Schema + "." + o.Name
}
