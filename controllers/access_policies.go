package controllers

import (
	"context"
	"slices"

	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
)

// readPolicies takes the policies from the list of roles if it shows any, and reads them one by one if not. One that the list shows and that
// is none, because it was cut perhaps, is read by itself in any case.
//
// The list has a place for policies, but nobody documents that the service fills it in. One that shows none is taken at its word only where
// calls are to be saved, if it shows all ACLs as they were read, and if roles that seem to hold nothing have no policy either, which they
// would have if anybody had: a role with a policy needs no ACL. What was not read then is told by UnreadPolicies.
func (r *Reading) readPolicies(ctx context.Context, details []maxcompute.RoleDetails, read []found, sparing bool) error {
	var broken, unshown, bare []int
	shows := false
	for i, role := range details {
		policy, err := acl.ParseDocument([]byte(role.Policy))
		read[i].policy = policy
		switch {
		case access.IsBuiltIn(role.Name):
		case err != nil:
			broken = append(broken, i)
		case !policy.Empty():
			shows = true
		case read[i].acl.Empty():
			unshown, bare = append(unshown, i), append(bare, i)
		default:
			unshown = append(unshown, i)
		}
	}
	switch {
	case shows:
		return r.readPoliciesOf(ctx, details, read, broken)
	case !sparing || !listed(details, read):
		return r.readPoliciesOf(ctx, details, read, slices.Concat(broken, unshown))
	}
	if err := r.readPoliciesOf(ctx, details, read, slices.Concat(broken, bare)); err != nil {
		return err
	}
	rest := slices.DeleteFunc(unshown, func(i int) bool { return slices.Contains(bare, i) })
	if slices.ContainsFunc(read, func(f found) bool { return !f.policy.Empty() }) {
		return r.readPoliciesOf(ctx, details, read, rest)
	}
	r.UnreadPolicies = len(rest)
	return nil
}

// listed tells whether the list shows the ACLs that were read, but for the schemas, which it does not know.
func listed(details []maxcompute.RoleDetails, read []found) bool {
	for i, role := range details {
		var without []acl.Grant
		for _, g := range read[i].acl.Grants() {
			g.Schema = ""
			without = append(without, g)
		}
		if role.Type == maxcompute.TypeAdmin || access.IsBuiltIn(role.Name) || read[i].err != nil {
			continue
		}
		if role.ACL == nil || !role.ACL.Equal(acl.NewSet(without...)) {
			return false
		}
	}
	return true
}

func (r *Reading) readPoliciesOf(ctx context.Context, details []maxcompute.RoleDetails, read []found, which []int) error {
	return r.each(ctx, "policies", len(which), func(i int) error {
		at := which[i]
		read[at].policy, read[at].policyErr = r.account.MaxCompute.GetRolePolicy(ctx, r.Name, details[at].Name)
		if maxcompute.IsNull(read[at].policyErr) {
			// To a reader, no document is no permission; it is writers that must not conclude so much.
			read[at].policyErr = nil
		}
		return read[at].policyErr
	})
}
