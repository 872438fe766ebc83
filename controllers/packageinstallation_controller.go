package controllers

import (
	"cmp"
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=packageinstallations,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=maxcompute-operator.io,resources=packageinstallations/status,verbs=update

// installationEntryKind is what plans call an installation.
const installationEntryKind = "Installation"

// droppedFor is for how long the source of an installation must have been seen to be gone before the package is uninstalled, to be
// installed anew when it is there again.
const droppedFor = time.Minute

// The bounds of the time after which a package that cannot be installed yet is looked for again. Whoever shares it tells nobody.
const (
	firstSourcePoll = 2 * time.Second
	lastSourcePoll  = 5 * time.Minute
)

// installationKind installs packages of other projects as PackageInstallations say.
type installationKind struct{ targets }

// installationState is an installation as it is wanted, or as it was found.
type installationState struct {
	exists bool
	// status is what the service says of it.
	status      string
	installTime time.Time
	// dropped says that the package does not exist at its source any more, and dead that this has long been so.
	dropped, dead bool
	// pollAfter is how soon one that cannot be used is to be looked at again.
	pollAfter time.Duration
	// unfinished says that an installation whose outcome is not known may still take effect.
	unfinished bool
	// endpoint is where the installation was looked for.
	endpoint string
}

var _ engine.Kind[*v1alpha1.PackageInstallation, installationState] = (*installationKind)(nil)

// Desired implements engine.Kind.
func (k *installationKind) Desired(ctx context.Context, installation *v1alpha1.PackageInstallation) (installationState, error) {
	if !installation.DeletionTimestamp.IsZero() {
		return installationState{}, nil
	}
	return installationState{exists: true}, k.checkOwner(ctx, installation)
}

// Observe implements engine.Kind.
func (k *installationKind) Observe(ctx context.Context, installation *v1alpha1.PackageInstallation) (installationState, error) {
	account, err := k.reach(ctx, installation)
	if err != nil || account == nil {
		return installationState{}, err
	}
	have, err := k.look(ctx, account.MaxCompute, installation)
	have.endpoint, have.unfinished = account.Endpoint, k.unfinished(installation)
	if err == nil {
		err = k.looked(ctx, installation, have.exists)
	}
	return have, account.Noticed(err)
}

// look finds the installation in the list of its project. Of one that cannot be used, it asks whether the package is still there.
func (k *installationKind) look(ctx context.Context, c *maxcompute.Client, installation *v1alpha1.PackageInstallation) (have installationState, err error) {
	spec := installation.Spec
	get := func() error {
		_, err := c.GetInstalledPackage(ctx, spec.ProjectName, spec.SourceProject, spec.PackageName)
		return err
	}
	var found maxcompute.InstalledPackage
	find := func(maxAge time.Duration) (exists bool, err error) {
		// The list is all that is looked at: at half the age, no look is based on one from before the look that went before.
		found, exists, err = c.FindInstallation(ctx, spec.ProjectName, spec.SourceProject, spec.PackageName, maxAge/2)
		return exists, err
	}
	have.exists, err = k.present(installation, find, get)
	if err == nil && have.exists && installation.DeletionTimestamp.IsZero() && found.Name != "" && found.Status != maxcompute.StatusOK {
		// What is wrong in a list of some minutes ago may long be right.
		have.exists, err = find(0)
	}
	if err != nil || !have.exists {
		return have, err
	}
	// Of one that no list shows, the service says that it is there.
	have.status, have.installTime = cmp.Or(found.Status, maxcompute.StatusOK), found.InstallTime
	if have.status == maxcompute.StatusOK || !installation.DeletionTimestamp.IsZero() {
		return have, nil
	}
	have.pollAfter = k.sourcePoll(installation)
	err = get()
	have.dropped = cloud.IsNotFound(err)
	since := installation.Status.SourceDroppedTime
	have.dead = have.dropped && since != nil && k.clock.Since(since.Time) >= droppedFor
	if cloud.Refused(err) {
		// The status says enough.
		err = nil
	}
	return have, err
}

// Plan implements engine.Kind.
func (k *installationKind) Plan(installation *v1alpha1.PackageInstallation, _, have installationState) plan.Plan {
	status, entry := installation.Status, plan.Entry{Kind: installationEntryKind, Name: installation.GetTarget().Name}
	remove := plan.Plan{Steps: []plan.Step{{Verb: plan.Delete, Entry: entry}}}
	switch deleting := !installation.DeletionTimestamp.IsZero(); {
	case deleting && have.exists && status.Created:
		return remove
	case deleting:
		return plan.Plan{}
	case !have.exists:
		return plan.Plan{Steps: []plan.Step{{Verb: plan.Create, Entry: entry, Repeat: have.unfinished}}}
	}
	p := admit(installation, plan.Plan{}, entry)
	if p.Hold != nil || have.status == maxcompute.StatusOK {
		return p
	}
	if have.dead && status.Created {
		return remove
	}
	p.Hold = &plan.Hold{
		Reason: v1alpha1.ReasonSourceNotAvailable, Message: unusable(installation, have), Wait: true, RetryAfter: have.pollAfter,
	}
	return p
}

func unusable(installation *v1alpha1.PackageInstallation, have installationState) string {
	if have.dropped {
		then := "it will be installed anew when it is there again"
		if !installation.Status.Created {
			then = "this object did not install it: uninstall it, and this object installs it anew when it is there again"
		}
		return fmt.Sprintf("%s is installed, but does not exist any more in project %s (status %q); %s",
			installation.GetTarget(), installation.Spec.SourceProject, have.status, then)
	}
	return fmt.Sprintf("%s is installed, but the service says of it %q: project %s may not share it any more", installation.GetTarget(), have.status, installation.Spec.SourceProject)
}

// sourcePoll is how soon the source is looked at again: the longer it has been waited for, the later, but within the interval.
func (k *installationKind) sourcePoll(installation *v1alpha1.PackageInstallation) time.Duration {
	longest := min(lastSourcePoll, cmp.Or(installation.GetInterval(), k.interval))
	ready := conditions.ReadyCondition(installation)
	if ready == nil || ready.Reason != v1alpha1.ReasonSourceNotAvailable {
		return min(firstSourcePoll, longest)
	}
	return min(max(firstSourcePoll, k.clock.Since(ready.LastTransitionTime.Time)/2), longest)
}

// Intend implements engine.Kind.
func (k *installationKind) Intend(installation *v1alpha1.PackageInstallation, p plan.Plan) {
	for _, step := range p.Steps {
		if step.Verb == plan.Create {
			k.intendCreate(installation)
		}
	}
}

// Confirm implements engine.Kind.
func (k *installationKind) Confirm(ctx context.Context, installation *v1alpha1.PackageInstallation, first bool) error {
	return k.confirm(ctx, installation, first)
}

// Apply implements engine.Kind.
func (k *installationKind) Apply(ctx context.Context, installation *v1alpha1.PackageInstallation, step plan.Step) error {
	if step.Verb == plan.Adopt {
		installation.Status.Adopted = true
		return nil
	}
	account, err := k.account(ctx, installation)
	if err != nil {
		return err
	}
	c, spec := account.MaxCompute, installation.Spec
	switch step.Verb {
	case plan.Create:
		err = create(installation, step, func(acl.Set) error {
			return c.InstallPackage(ctx, spec.ProjectName, spec.SourceProject, spec.PackageName)
		})
		if maxcompute.IsNotAvailable(err) {
			return conditions.Held(plan.Hold{Reason: v1alpha1.ReasonSourceNotAvailable, Wait: true, RetryAfter: k.sourcePoll(installation), Message: fmt.Sprintf(
				"package %s of project %s does not exist or is not shared with project %s", spec.PackageName, spec.SourceProject, spec.ProjectName)})
		}
	case plan.Delete:
		// The next look tells whether it is gone; until then it is ours.
		err = absent(c.UninstallPackage(ctx, spec.ProjectName, spec.SourceProject, spec.PackageName))
	default:
		return fmt.Errorf("an installation knows no step %s", step.Verb)
	}
	return account.Noticed(err)
}

// Report implements engine.Kind.
func (k *installationKind) Report(installation *v1alpha1.PackageInstallation, _, have installationState) string {
	status := &installation.Status
	if !claims(installation) {
		status.Endpoint = have.endpoint
	}
	if status.Creating && have.exists {
		// There is nothing in an installation to tell by whose it is. A moment ago it was not there.
		status.Created, status.Creating, status.CreatingTime = true, false, nil
	}
	status.Source, status.SourceStatus, status.InstallTime = "", "", nil
	if have.exists {
		status.Source, status.SourceStatus = installation.GetTarget().Name, conditions.Cut(have.status, maxStatus)
		if !have.installTime.IsZero() {
			status.InstallTime = new(metav1.NewTime(have.installTime.Truncate(time.Second)))
		}
	}
	switch {
	case !have.dropped:
		status.SourceDroppedTime = nil
	case status.SourceDroppedTime == nil:
		status.SourceDroppedTime = new(metav1.NewTime(k.clock.Now().Truncate(time.Second)))
	}
	return verdictOn(installation)
}

// maxStatus is what the schema allows of the text that the service says of an installation.
const maxStatus = 128
