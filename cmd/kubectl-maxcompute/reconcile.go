package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// pollInterval is how often an object is looked at that is waited for.
const pollInterval = 500 * time.Millisecond

func newReconcile(c *cluster, streams genericiooptions.IOStreams) *cobra.Command {
	timeout := 2 * time.Minute
	command := &cobra.Command{
		Use:   "reconcile KIND/NAME|NAME",
		Short: "Have an object looked at now, and wait for what comes of it",
		Long: `Sets the annotation maxcompute-operator.io/requested-at and waits until the operator has made the pass.

Exit codes: 0 the object is Ready, 1 it is not, or the pass was not made in time.`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, names []string) error {
			return reconcile(command.Context(), c, streams, names[0], timeout)
		},
	}
	command.Flags().DurationVar(&timeout, "timeout", timeout, "How long to wait; 0 does not wait.")
	return command
}

func reconcile(ctx context.Context, c *cluster, streams genericiooptions.IOStreams, text string, timeout time.Duration) error {
	kube, m, err := c.object(ctx, text)
	if err != nil {
		return err
	}
	obj, ok := m.Object.(conditions.Object)
	if !ok {
		return fmt.Errorf("%s has no conditions", m)
	}
	if isSuspended(m) {
		return fmt.Errorf("%s is suspended: nothing looks at it", m)
	}
	asked := time.Now().UTC().Format(time.RFC3339Nano)
	if err := annotate(ctx, kube, m.Object, v1alpha1.RequestedAtAnnotation, asked); err != nil {
		return fmt.Errorf("ask for a pass over %s: %w", m, err)
	}
	if timeout == 0 {
		say(streams.Out, "%s: a pass is asked for\n", m)
		return nil
	}
	err = wait.PollUntilContextTimeout(ctx, pollInterval, timeout, false, func(ctx context.Context) (bool, error) {
		err := kube.Get(ctx, client.ObjectKeyFromObject(m.Object), m.Object)
		return err == nil && obj.GetSyncStatus().LastHandledReconcileAt == asked, err
	})
	switch {
	case wait.Interrupted(err) && ctx.Err() == nil:
		return fmt.Errorf("%s: no pass was made within %s: is the operator running?", m, timeout)
	case err != nil:
		return fmt.Errorf("%s: %w", m, err)
	}
	ready := conditions.ReadyCondition(obj)
	if ready == nil {
		return errors.New("the operator has made a pass and said nothing")
	}
	say(streams.Out, "%s: %s: %s\n", m, ready.Reason, ready.Message)
	if !conditions.IsReady(obj) {
		return exitCode(exitError)
	}
	return nil
}
