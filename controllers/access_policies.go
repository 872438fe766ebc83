package controllers

import (
	"context"
	"fmt"
	"slices"

	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
)

// readPolicies takes the policies from the list of roles if it is to be trusted with them, and reads them one by one if not.
//
// The list has a place for ACL and policy, but nobody documents that the service fills it in. It is trusted if it shows a policy; or if
// it shows all ACLs as they were read, and roles that seem to hold nothing have no policy either: for a role with a policy needs no ACL.
func (r *Reading) readPolicies(ctx context.Context, details []maxcompute.RoleDetails, read []found) error {
	var rest, bare []int
	shows := false
	for i, role := range details {
		shows = shows || role.Policy != ""
		if role.Policy != "" || access.IsBuiltIn(role.Name) {
			continue
		}
		rest = append(rest, i)
		if read[i].acl.Empty() {
			bare = append(bare, i)
		}
	}
	for i, role := range details {
		if role.Policy == "" {
			continue
		}
		if read[i].policy, read[i].policyErr = acl.ParseDocument([]byte(role.Policy)); read[i].policyErr != nil {
			read[i].policyErr = fmt.Errorf("the policy of role %s in project %s cannot be read: %w", role.Name, r.Name, read[i].policyErr)
		}
	}
	if shows {
		return nil
	}
	if !listed(details, read) {
		return r.readPoliciesOf(ctx, details, read, rest)
	}
	if err := r.readPoliciesOf(ctx, details, read, bare); err != nil {
		return err
	}
	if slices.ContainsFunc(bare, func(i int) bool { return !read[i].policy.Empty() }) {
		rest = slices.DeleteFunc(rest, func(i int) bool { return slices.Contains(bare, i) })
		return r.readPoliciesOf(ctx, details, read, rest)
	}
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
		if read[i].err == nil && role.Type != maxcompute.TypeAdmin && !access.IsBuiltIn(role.Name) && !role.ACL.Equal(acl.NewSet(without...)) {
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
