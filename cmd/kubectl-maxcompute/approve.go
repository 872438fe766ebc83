package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

func newApprovePlan(c *cluster, streams genericiooptions.IOStreams) *cobra.Command {
	var yes bool
	var hash string
	command := &cobra.Command{
		Use:   "approve-plan KIND/NAME|NAME",
		Short: "Approve a plan that takes a lot away and waits for it",
		Long: `Shows the plan that an object waits with (RevokeLimitExceeded), asks, and sets the annotation maxcompute-operator.io/approve-plan to its
hash. The approval holds for just this plan: if the object or the cloud changes meanwhile, the operator asks again.`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, names []string) error {
			return approvePlan(command.Context(), c, streams, names[0], hash, yes)
		},
	}
	command.Flags().BoolVarP(&yes, "yes", "y", false, "Do not ask. Needs --hash: what has been looked at is what is approved.")
	command.Flags().StringVar(&hash, "hash", "", "Approve the plan only if this is its hash.")
	return command
}

func approvePlan(ctx context.Context, c *cluster, streams genericiooptions.IOStreams, text, hash string, yes bool) error {
	if yes && hash == "" {
		return errors.New("--yes needs --hash")
	}
	kube, obj, err := c.object(ctx, text)
	if err != nil {
		return err
	}
	t, ok := obj.Object.(conditions.Target)
	if !ok {
		return fmt.Errorf("%s: plans of this kind need no approval", obj)
	}
	pending := t.GetTargetStatus().PendingPlan
	switch {
	case pending == nil:
		return fmt.Errorf("%s: no plan waits for approval", obj)
	case hash != "" && hash != pending.Hash:
		return fmt.Errorf("%s: the plan that waits is %s now", obj, pending.Hash)
	}
	say(streams.Out, "%s: %s\n  plan %s: grants %d, revokes %d\n", obj, pending.Summary, pending.Hash, pending.Grants, pending.Revokes)
	for _, d := range t.GetTargetStatus().Drift {
		say(streams.Out, "  %s %s %s %s\n", d.Change, d.Kind, d.Name, strings.Join(d.Actions, ", "))
	}
	if listed := len(t.GetTargetStatus().Drift); int(t.GetTargetStatus().DriftCount) > listed {
		say(streams.Out, "  and %d more\n", int(t.GetTargetStatus().DriftCount)-listed)
	}
	if !yes && !confirmed(streams) {
		return errors.New("not approved")
	}
	if err := annotate(ctx, kube, obj.Object, v1alpha1.ApprovePlanAnnotation, pending.Hash); err != nil {
		return fmt.Errorf("approve the plan of %s: %w", obj, err)
	}
	say(streams.Out, "%s: plan %s is approved\n", obj, pending.Hash)
	return nil
}

// confirmed asks a person.
func confirmed(streams genericiooptions.IOStreams) bool {
	say(streams.Out, "Carry this out? Type yes: ")
	line, err := bufio.NewReader(streams.In).ReadString('\n')
	if err != nil {
		say(streams.Out, "\n")
	}
	return strings.TrimSpace(line) == "yes"
}

// object gets what is called KIND/NAME or NAME.
func (c *cluster) object(ctx context.Context, text string) (client.Client, manifest, error) {
	namespace, err := c.namespace()
	if err != nil {
		return nil, manifest{}, err
	}
	kube, err := c.client()
	if err != nil {
		return nil, manifest{}, err
	}
	m, err := find(ctx, kube, namespace, text)
	return kube, m, err
}

// annotate sets an annotation, unless the object has changed since it was read.
func annotate(ctx context.Context, kube client.Client, obj client.Object, name, value string) error {
	before, ok := obj.DeepCopyObject().(client.Object)
	if !ok {
		return errors.New("a copy of an object is none")
	}
	annotations := obj.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[name] = value
	obj.SetAnnotations(annotations)
	return kube.Patch(ctx, obj, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}
