package controllers

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/engine"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// Previewer tells what passes over objects would do, without writing anything anywhere.
type Previewer struct {
	roles         engine.Reconciler[*v1alpha1.ProjectRole, roleState]
	packages      engine.Reconciler[*v1alpha1.MaxComputePackage, packageState]
	installations engine.Reconciler[*v1alpha1.PackageInstallation, installationState]
	accounts      *connect.Resolver
	reader        client.Reader
	clock         clock.PassiveClock
}

// NewPreviewer makes a Previewer. reader finds the objects that name the same targets; it need not have the indexes of a manager's cache.
func NewPreviewer(reader client.Reader, options Options) *Previewer {
	indexed := unindexed{reader}
	return &Previewer{
		roles:         previewing(options, &projectRoleKind{options.targets(projectRoles, indexed, reader)}),
		packages:      previewing(options, &packageKind{options.targets(maxComputePackages, indexed, reader)}),
		installations: previewing(options, &installationKind{options.targets(packageInstallations, indexed, reader)}),
		accounts:      options.Accounts,
		reader:        indexed,
		clock:         options.Clock,
	}
}

func previewing[O engine.Object, S any](options Options, adapter engine.Kind[O, S]) engine.Reconciler[O, S] {
	return engine.Reconciler[O, S]{Clock: options.Clock, Kind: adapter, DefaultInterval: options.DefaultInterval, MaxRevocations: options.MaxRevocations}
}

// Preview returns what a pass over a ProjectRole, a MaxComputePackage or a PackageInstallation would do first, and why it would not, or
// could not. Objects of other kinds are an error.
func (p *Previewer) Preview(ctx context.Context, obj client.Object) (plan.Plan, error) {
	switch o := obj.(type) {
	case *v1alpha1.ProjectRole:
		return p.roles.Preview(ctx, o)
	case *v1alpha1.MaxComputePackage:
		return p.packages.Preview(ctx, o)
	case *v1alpha1.PackageInstallation:
		return p.installations.Preview(ctx, o)
	}
	return plan.Plan{}, fmt.Errorf("objects of type %T have no plan", obj)
}

// unindexed answers what controllers ask by their indexes from a reader that has none: it lists all objects and looks at each.
type unindexed struct{ client.Reader }

// List implements client.Reader.
func (u unindexed) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var asked client.ListOptions
	asked.ApplyOptions(opts)
	selector := asked.FieldSelector
	asked.FieldSelector = nil
	if err := u.Reader.List(ctx, list, &client.ListOptions{Namespace: asked.Namespace, LabelSelector: asked.LabelSelector}); err != nil || selector == nil {
		return err
	}
	var found []runtime.Object
	err := apimeta.EachListItem(list, func(item runtime.Object) error {
		matches, err := indexMatches(item, selector)
		if matches {
			found = append(found, item)
		}
		return err
	})
	if err != nil {
		return err
	}
	return apimeta.SetList(list, found)
}

// indexMatches tells whether an index has an object under what a selector asks for.
func indexMatches(item runtime.Object, selector fields.Selector) (bool, error) {
	obj, ok := item.(client.Object)
	if !ok {
		return false, fmt.Errorf("an item of type %s is no object", reflect.TypeOf(item))
	}
	for _, requirement := range selector.Requirements() {
		values := indexOf(requirement.Field)
		if values == nil {
			return false, fmt.Errorf("there is no index %s", requirement.Field)
		}
		if !slices.Contains(values(obj), requirement.Value) {
			return false, nil
		}
	}
	return true, nil
}
