package access

import (
	"fmt"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

// Missing is what the object that manages the role declares, and the role lacks: entries, statements and members, in words.
func (r *Role) Missing() []string {
	d := r.Declaration
	if d == nil {
		return nil
	}
	var missing []string
	if d.ACL != nil {
		for _, entry := range d.ACL.Minus(r.ACL).Grants() {
			missing = append(missing, entryText(entry))
		}
	}
	if d.Policy != nil {
		for _, statement := range d.Policy.Minus(r.Policy).Statements() {
			missing = append(missing, statementText(statement))
		}
	}
	if d.Members != nil && r.known {
		var names []string
		for _, m := range r.members {
			names = append(names, m.name)
		}
		for _, name := range d.Members.Minus(acl.NewMembers(names...)).List() {
			missing = append(missing, "member "+name)
		}
	}
	return missing
}

// entryText is an ACL entry in words.
func entryText(entry acl.Grant) string {
	return fmt.Sprintf("ACL entry %s on %s", strings.Join(entry.Actions, ", "), NewObject(entry.Kind, entry.Schema, entry.Name))
}

func statementText(statement acl.Statement) string { return "policy statement " + statement.String() }
