package controllers

import (
	"context"
	"fmt"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// Apply implements engine.Kind.
func (k *packageKind) Apply(ctx context.Context, pkg *v1alpha1.MaxComputePackage, step plan.Step) error {
	if step.Verb == plan.Adopt {
		pkg.Status.Adopted = true
		return nil
	}
	account, err := k.account(ctx, pkg)
	if err != nil {
		return err
	}
	err = (&packageWriter{account.MaxCompute, pkg}).apply(ctx, step)
	if err == nil {
		packageInventoryOf(pkg).without(step).store(pkg)
	}
	return account.Noticed(err)
}

// packageWriter carries out steps on one package.
type packageWriter struct {
	client *maxcompute.Client
	pkg    *v1alpha1.MaxComputePackage
}

func (w *packageWriter) apply(ctx context.Context, step plan.Step) error {
	project, name := w.pkg.Spec.ProjectName, w.pkg.Spec.PackageName
	part := func(contents []plan.Entry) plan.Step { step.Contents = contents; return step }
	switch step.Verb {
	case plan.Create:
		return create(w.pkg, step, func(contents acl.Set) error { return w.client.CreatePackage(ctx, project, name, contents) })
	case plan.Add:
		return oneByOne(step.Contents, part, func(list ...plan.Entry) error {
			return w.client.AddToPackage(ctx, project, name, grants(list...))
		})
	case plan.Remove:
		return oneByOne(step.Contents, part, func(list ...plan.Entry) error {
			return w.client.RemoveFromPackage(ctx, project, name, grants(list...))
		})
	case plan.Allow:
		if isReplacement(step) {
			return w.relabel(ctx, step)
		}
		return w.put(ctx, step.Entry)
	case plan.Disallow:
		return w.client.DisallowProject(ctx, project, name, step.Name)
	case plan.Replace:
		return w.replace(ctx, step)
	case plan.Delete:
		// The next look tells whether it is gone; until then it is ours.
		return absent(w.client.DropPackage(ctx, project, name))
	default:
		return fmt.Errorf("a package knows no step %s", step.Verb)
	}
}

// relabel gives a project another label, in place if the service does that.
func (w *packageWriter) relabel(ctx context.Context, step plan.Step) error {
	err := w.put(ctx, step.Entry)
	switch {
	case err == nil:
		if r := replacementOf(w.pkg, step.Entry); r != nil && r.Refusals == 0 {
			dropReplacement(w.pkg, step.Entry)
		}
	case refusedAsThere(err):
		return w.replace(ctx, step)
	}
	return err
}

// replace removes an entry, unless that was done before, and adds it again as it is to be. If the service refuses that, the entry gets
// back what it had: nobody who uses the package is to lose it for a change that cannot be made.
func (w *packageWriter) replace(ctx context.Context, step plan.Step) error {
	if !step.Repeat {
		if err := w.remove(ctx, step.Entry); err != nil {
			return err
		}
	}
	err := w.put(ctx, step.Entry)
	if !refusedForContent(err) && !refusedAsThere(err) {
		return err
	}
	if r := replacementOf(w.pkg, step.Entry); r != nil {
		// A deletion goes on trying, which is nothing to write about each time.
		r.Refusals = min(r.Refusals+1, maxRefusals)
	}
	former := step.Entry
	former.Actions = step.Previous
	if back := w.put(ctx, former); back != nil {
		// To go on would take out the next one.
		return conditions.Held(plan.Hold{Reason: conditions.FromError(back).Reason, Wait: true, Message: fmt.Sprintf(
			"%s is out of the package: it was removed to be changed, and the service refuses to take it as it is to be (%v) and as it was (%v)", former, err, back)})
	}
	return err
}

func (w *packageWriter) remove(ctx context.Context, entry plan.Entry) error {
	project, name := w.pkg.Spec.ProjectName, w.pkg.Spec.PackageName
	if entry.Kind == plan.KindAllowedProject {
		return w.client.DisallowProject(ctx, project, name, entry.Name)
	}
	return w.client.RemoveFromPackage(ctx, project, name, grants(entry))
}

func (w *packageWriter) put(ctx context.Context, entry plan.Entry) error {
	project, name := w.pkg.Spec.ProjectName, w.pkg.Spec.PackageName
	if entry.Kind != plan.KindAllowedProject {
		return w.client.AddToPackage(ctx, project, name, grants(entry))
	}
	share, err := shareOf(entry)
	if err != nil {
		return err
	}
	return w.client.AllowProject(ctx, project, name, share.Project, share.Label)
}

// refusedAsThere tells whether a request was refused, perhaps because what it asks for is there already in another form.
func refusedAsThere(err error) bool {
	code := cloud.CodeOf(err)
	return code == cloud.AlreadyExists || code == cloud.RemoteRejected
}
