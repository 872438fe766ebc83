package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// watchInterval is how often --watch looks.
const watchInterval = 2 * time.Second

func newStatus(c *cluster, streams genericiooptions.IOStreams) *cobra.Command {
	var all, watch bool
	command := &cobra.Command{
		Use:   "status",
		Short: "Show all kinds in one table: how each object stands, and what it waits for",
		Long: `Lists the objects of all kinds, with what they manage, what Ready says and since when, and what there is to know beside: drift, plans that
wait for approval, permissions that end, exports that are due.

When an object was last looked at is not in its status: a look that changes nothing writes nothing. The metric
maxcompute_operator_overdue_observations tells of looks that do not come.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			namespace, err := c.namespace()
			if err != nil {
				return err
			}
			if all {
				namespace = ""
			}
			kube, err := c.client()
			if err != nil {
				return err
			}
			return status(command.Context(), kube, namespace, streams.Out, watch)
		},
	}
	command.Flags().BoolVarP(&all, "all-namespaces", "A", false, "All namespaces, and ClusterConnections.")
	command.Flags().BoolVarP(&watch, "watch", "w", false, "Go on, and show each object again whose row changes.")
	return command
}

// row is an object in the table. What grows old by itself is not compared.
type row struct {
	namespace, object, target, ready, reason, note string
	since                                          time.Time
}

func (r row) compare(other row) int {
	return cmp.Or(cmp.Compare(r.namespace, other.namespace), cmp.Compare(r.object, other.object))
}

func status(ctx context.Context, kube client.Client, namespace string, out io.Writer, watch bool) error {
	shown := map[string]row{}
	for first := true; ; first = false {
		rows, err := rowsOf(ctx, kube, namespace)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the user has seen enough
		}
		if err != nil {
			return err
		}
		changed := slices.DeleteFunc(rows, func(r row) bool { return shown[r.namespace+"/"+r.object] == r })
		for _, r := range changed {
			shown[r.namespace+"/"+r.object] = r
		}
		if err := printRows(out, changed, namespace == "", first); err != nil || !watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchInterval):
		}
	}
}

// rowsOf lists the objects of a namespace, or of all with "", sorted.
func rowsOf(ctx context.Context, kube client.Client, namespace string) ([]row, error) {
	lists := []client.ObjectList{
		&v1alpha1.ConnectionList{}, &v1alpha1.ProjectRoleList{}, &v1alpha1.MaxComputePackageList{}, &v1alpha1.PackageInstallationList{},
		&v1alpha1.PermissionApplyList{}, &v1alpha1.ResourcePackageExportList{},
	}
	if namespace == "" {
		lists = append(lists, &v1alpha1.ClusterConnectionList{})
	}
	var rows []row
	for _, list := range lists {
		if err := kube.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("list objects: %w", err)
		}
		err := apimeta.EachListItem(list, func(item runtime.Object) error {
			if obj, ok := item.(client.Object); ok {
				rows = append(rows, rowOf(obj, kube.Scheme()))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(rows, row.compare)
	return rows, nil
}

func rowOf(obj client.Object, s *runtime.Scheme) row {
	kind := "object"
	if kinds, _, err := s.ObjectKinds(obj); err == nil {
		kind = strings.ToLower(kinds[0].Kind)
	}
	r := row{namespace: obj.GetNamespace(), object: kind + "/" + obj.GetName(), target: "-", ready: "-", reason: "-", since: obj.GetCreationTimestamp().Time}
	if t, ok := obj.(interface{ GetTarget() v1alpha1.RemoteTarget }); ok {
		r.target = t.GetTarget().String()
	}
	if o, ok := obj.(conditions.Object); ok {
		if ready := conditions.ReadyCondition(o); ready != nil {
			r.ready, r.reason, r.since = string(ready.Status), ready.Reason, ready.LastTransitionTime.Time
		}
	}
	r.note = strings.Join(notes(obj), "; ")
	return r
}

// notes are what there is to know of an object beside its Ready condition.
func notes(obj client.Object) []string {
	var found []string
	if !obj.GetDeletionTimestamp().IsZero() {
		found = append(found, "being deleted")
	}
	if s, ok := obj.(interface{ IsSuspended() bool }); ok && s.IsSuspended() {
		found = append(found, "suspended")
	}
	if t, ok := obj.(conditions.Target); ok {
		found = append(found, targetNotes(t.GetTargetStatus())...)
	}
	switch o := obj.(type) {
	case *v1alpha1.PermissionApply:
		found = append(found, requestNotes(o)...)
	case *v1alpha1.ResourcePackageExport:
		if next := o.Status.NextScheduleTime; next != nil {
			found = append(found, "next export "+stamp(next))
		}
	}
	return found
}

func targetNotes(status *v1alpha1.TargetStatus) []string {
	if pending := status.PendingPlan; pending != nil {
		return []string{fmt.Sprintf("plan %s waits for approval: grants %d, revokes %d", pending.Hash, pending.Grants, pending.Revokes)}
	}
	if status.DriftCount > 0 {
		return []string{fmt.Sprintf("drift %d", status.DriftCount)}
	}
	return nil
}

func requestNotes(apply *v1alpha1.PermissionApply) []string {
	switch {
	case apply.Status.State == v1alpha1.RequestPending && apply.Status.SubmissionTime != nil:
		return []string{"waits for its approver since " + stamp(apply.Status.SubmissionTime)}
	case apply.Status.State == v1alpha1.RequestGranted && apply.Status.GrantedUntil != nil:
		return []string{"ends " + stamp(apply.Status.GrantedUntil)}
	}
	return nil
}

func stamp(t *metav1.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

func printRows(out io.Writer, rows []row, all, header bool) error {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	line := func(namespace string, columns ...string) {
		if all {
			columns = append([]string{namespace}, columns...)
		}
		// What cannot be written is told by Flush.
		say(table, "%s\n", strings.TrimRight(strings.Join(columns, "\t"), "\t"))
	}
	if header && len(rows) == 0 {
		_, err := fmt.Fprintln(out, "There are no objects.")
		return err
	}
	if header {
		line("NAMESPACE", "OBJECT", "TARGET", "READY", "REASON", "SINCE", "NOTE")
	}
	for _, r := range rows {
		line(cmp.Or(r.namespace, "-"), r.object, r.target, r.ready, r.reason, duration.HumanDuration(time.Since(r.since)), r.note)
	}
	return table.Flush()
}
