package controllers

import (
	"context"
	"errors"
	"fmt"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
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
	switch step.Verb {
	case plan.Create:
		return k.create(ctx, c, role, step)
	case plan.Grant:
		return c.Grant(ctx, project, name, grant(step.Entry))
	case plan.Revoke:
		return c.Revoke(ctx, project, name, grant(step.Entry))
	case plan.SetPolicy:
		return setPolicy(ctx, c, role, step.Policy)
	case plan.AddMember:
		return oneByOne(step.Members, func(members []string) error { return c.UpdateUsersToRole(ctx, project, name, members, nil) })
	case plan.RemoveMember:
		return oneByOne(step.Members, func(members []string) error { return c.UpdateUsersToRole(ctx, project, name, nil, members) })
	case plan.Delete:
		// The next look tells whether it is gone; until then it is ours.
		return absent(c.DeleteRole(ctx, project, name))
	case plan.Adopt:
	}
	return fmt.Errorf("a role knows no step %s", step.Verb)
}

// create makes the role with its ACL; if that is refused, because of one entry perhaps, it makes it bare, and the engine's next
// round grants each entry on its own, so that one table that does not exist does not cost the others.
func (k *projectRoleKind) create(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, step plan.Step) error {
	project, name := role.Spec.ProjectName, role.Spec.RoleName
	err := c.CreateRole(ctx, project, name, typeOf(role), grants(step.Contents...))
	if len(step.Contents) > 0 && refusedForContent(err) {
		err = c.CreateRole(ctx, project, name, typeOf(role), acl.Set{})
		if cloud.CodeOf(err) == cloud.AlreadyExists {
			// It may be the refused call that made the role. The next look tells by what the role holds.
			return err
		}
	}
	switch {
	case err == nil:
		role.Status.Created, role.Status.Creating, role.Status.Adopted = true, false, false
	case cloud.Refused(err) && !step.Repeat:
		// The service says that this create did nothing, and there was none before: whatever exists is not ours.
		role.Status.Creating, role.Status.Applied = false, nil
	}
	return err
}

func setPolicy(ctx context.Context, c *maxcompute.Client, role *v1alpha1.ProjectRole, policy string) error {
	document, err := acl.ParseDocument([]byte(policy))
	if err != nil {
		return fmt.Errorf("read the planned policy: %w", err)
	}
	return c.PutRolePolicy(ctx, role.Spec.ProjectName, role.Spec.RoleName, document)
}

// oneByOne makes one call for all members, and if that is refused, one for each, so that one who does not exist does not cost the others.
// Its error joins the refusals.
func oneByOne(members []string, call func([]string) error) error {
	err := call(members)
	if len(members) == 1 || !refusedForContent(err) {
		return err
	}
	var refusals []error
	for _, member := range members {
		err := call([]string{member})
		switch {
		case refusedForContent(err):
			refusals = append(refusals, err)
		case err != nil:
			return err
		}
	}
	return errors.Join(refusals...)
}

// refusedForContent tells whether a request may succeed with less in it.
func refusedForContent(err error) bool {
	switch cloud.CodeOf(err) {
	case cloud.RemoteRejected, cloud.NotFound, cloud.PermissionDenied:
		return true
	default:
		return false
	}
}
