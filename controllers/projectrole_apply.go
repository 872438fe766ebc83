package controllers

import (
	"context"
	"fmt"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// Apply implements engine.Kind.
func (k *projectRoleKind) Apply(ctx context.Context, role *v1alpha1.ProjectRole, step plan.Step) error {
	if step.Verb == plan.Adopt {
		role.Status.Adopted = true
		return nil
	}
	account, err := k.account(ctx, role)
	if err != nil {
		return err
	}
	err = k.apply(ctx, account.MaxCompute, role, step)
	if err == nil {
		inventoryOf(role).without(step).store(role)
	}
	return account.Noticed(err)
}

func (k *projectRoleKind) apply(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, step plan.Step) error {
	project, name := role.Spec.ProjectName, role.Spec.RoleName
	part := func(members []string) plan.Step { step.Members = members; return step }
	switch step.Verb {
	case plan.Create:
		return create(role, step, func(contents acl.Set) error { return c.CreateRole(ctx, project, name, typeOf(role), contents) })
	case plan.Grant:
		return c.Grant(ctx, project, name, grant(step.Entry))
	case plan.Revoke:
		return c.Revoke(ctx, project, name, grant(step.Entry))
	case plan.SetPolicy:
		return setPolicy(ctx, c, role, step.Policy)
	case plan.AddMember:
		return oneByOne(step.Members, part, func(members ...string) error { return c.UpdateUsersToRole(ctx, project, name, members, nil) })
	case plan.RemoveMember:
		return oneByOne(step.Members, part, func(members ...string) error { return c.UpdateUsersToRole(ctx, project, name, nil, members) })
	case plan.Delete:
		// The next look tells whether it is gone; until then it is ours.
		return absent(c.DeleteRole(ctx, project, name))
	default:
		return fmt.Errorf("a role knows no step %s", step.Verb)
	}
}

func setPolicy(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, policy string) error {
	document, err := acl.ParseDocument([]byte(policy))
	if err != nil {
		return fmt.Errorf("read the planned policy: %w", err)
	}
	return c.PutRolePolicy(ctx, role.Spec.ProjectName, role.Spec.RoleName, document)
}
