package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// completionTimeout is how long somebody who presses TAB is kept waiting for the API server.
const completionTimeout = 2 * time.Second

// complete has the shell complete names of objects and values of flags. What cannot be asked for is not completed, and nothing is said.
func (c *cluster) complete(root *cobra.Command) error {
	names := map[string]func(client.Object) bool{"plan": hasPlanned, "approve-plan": isPending, "reconcile": isAny}
	for _, command := range root.Commands() {
		if wanted := names[command.Name()]; wanted != nil {
			command.ValidArgsFunction = c.completeNames(wanted, command.Name() == "plan")
		}
		for flag, values := range c.flagValues() {
			if command.Flags().Lookup(flag) == nil {
				continue
			}
			if err := command.RegisterFlagCompletionFunc(flag, values); err != nil {
				return fmt.Errorf("complete --%s of %s: %w", flag, command.Name(), err)
			}
		}
	}
	return root.RegisterFlagCompletionFunc("namespace", c.namesOf(&corev1.NamespaceList{}))
}

// flagValues complete the values of flags, by the flags' names, which mean the same for all commands.
func (c *cluster) flagValues() map[string]cobra.CompletionFunc {
	return map[string]cobra.CompletionFunc{
		"connection":         c.namesOf(&v1alpha1.ConnectionList{}),
		"cluster-connection": c.namesOf(&v1alpha1.ClusterConnectionList{}),
		"kinds":              severalOf(described),
		"kind":               cobra.FixedCompletions([]string{"Table", "Resource", "Function", "Package", "Project", "Instance"}, cobra.ShellCompDirectiveNoFileComp),
		"output":             cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp),
		"color":              cobra.FixedCompletions([]string{"auto", "always", "never"}, cobra.ShellCompDirectiveNoFileComp),
	}
}

// severalOf completes the last of values with commas between them.
func severalOf(values []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) (found []string, _ cobra.ShellCompDirective) {
		before := typed[:strings.LastIndex(typed, ",")+1]
		for _, value := range values {
			if !slices.Contains(strings.Split(before, ","), value) {
				found = append(found, before+value)
			}
		}
		return beginning(typed, found), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// namesOf completes the names of what a list holds.
func (c *cluster) namesOf(list client.ObjectList) cobra.CompletionFunc {
	return func(command *cobra.Command, _ []string, typed string) (found []string, _ cobra.ShellCompDirective) {
		for _, obj := range c.listed(command.Context(), list) {
			found = append(found, obj.GetName())
		}
		return beginning(typed, found), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeNames completes KIND/NAME and, where only one object has it, NAME. several tells that more than one object can be named.
func (c *cluster) completeNames(wanted func(client.Object) bool, several bool) cobra.CompletionFunc {
	return func(command *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
		if files := command.Flags().Lookup("filename"); len(given) > 0 && !several || files != nil && files.Changed {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return beginning(typed, slices.DeleteFunc(c.names(command.Context(), wanted, typed), func(name string) bool {
			return slices.Contains(given, name)
		})), cobra.ShellCompDirectiveNoFileComp
	}
}

// names are what objects can be called on the command line, sorted; of one kind, and with its word as it is spelt, if that is typed already.
func (c *cluster) names(ctx context.Context, wanted func(client.Object) bool, typed string) (found []string) {
	asked, _ := splitName(typed)
	kinds := map[string]int{}
	for _, k := range named {
		if asked != "" && !slices.Contains(k.words, strings.ToLower(asked)) {
			continue
		}
		for _, obj := range c.listed(ctx, k.list()) {
			if wanted(obj) {
				found = append(found, cmp.Or(asked, k.words[0])+"/"+obj.GetName())
				kinds[obj.GetName()]++
			}
		}
	}
	for name, n := range kinds {
		if n == 1 {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// beginning are those of some words that begin with what is typed.
func beginning(typed string, words []string) []string {
	return slices.DeleteFunc(words, func(word string) bool { return !strings.HasPrefix(word, typed) })
}

// listed are the objects of the namespace, or of the cluster, none if they cannot be listed.
func (c *cluster) listed(ctx context.Context, list client.ObjectList) (found []client.Object) {
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	namespace, err := c.namespace()
	if err != nil {
		return nil
	}
	kube, err := c.client()
	if err != nil {
		return nil
	}
	switch list.(type) {
	case *corev1.NamespaceList, *v1alpha1.ClusterConnectionList:
		namespace = ""
	}
	if kube.List(ctx, list, client.InNamespace(namespace)) != nil {
		return nil
	}
	err = apimeta.EachListItem(list, func(item runtime.Object) error {
		if obj, ok := item.(client.Object); ok {
			found = append(found, obj)
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return found
}

func isAny(client.Object) bool { return true }

func hasPlanned(obj client.Object) bool { return hasPlan(manifest{Object: obj}) }

// isPending tells of an object whose plan waits for approval.
func isPending(obj client.Object) bool {
	t, ok := obj.(conditions.Target)
	return ok && t.GetTargetStatus().PendingPlan != nil
}
