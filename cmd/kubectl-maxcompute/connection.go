package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// reference is the connection of the flags or, if they name none, what is the only choice: the one by which objects of the namespace manage
// something in the project or, if there are none, the one of the namespace.
func (o *projectOptions) reference(ctx context.Context, v *view, namespace string) (v1alpha1.ConnectionReference, error) {
	switch {
	case o.clusterConnection != "":
		return v1alpha1.ConnectionReference{Kind: v1alpha1.ConnectionKindClusterConnection, Name: o.clusterConnection}, nil
	case o.connection != "":
		return v1alpha1.ConnectionReference{Name: o.connection}, nil
	}
	used, err := v.connectionsOf(ctx, namespace, o.project)
	if err != nil {
		return v1alpha1.ConnectionReference{}, err
	}
	if len(used) == 0 {
		if used, err = v.connectionsIn(ctx, namespace); err != nil {
			return v1alpha1.ConnectionReference{}, err
		}
	}
	switch len(used) {
	case 0:
		return v1alpha1.ConnectionReference{}, fmt.Errorf("namespace %s has no Connection to Alibaba Cloud: name one of another namespace with --namespace, or a --cluster-connection", namespace)
	case 1:
		return used[0], nil
	}
	var names []string
	for _, ref := range used {
		names = append(names, ref.String())
	}
	return v1alpha1.ConnectionReference{}, fmt.Errorf("project %s could be read with %s: name one with --connection or --cluster-connection", o.project, strings.Join(names, " or "))
}

// connectionsOf are the connections by which objects of a namespace manage something in a project, each once, sorted.
func (v *view) connectionsOf(ctx context.Context, namespace, project string) ([]v1alpha1.ConnectionReference, error) {
	found := map[string]v1alpha1.ConnectionReference{}
	for _, list := range []client.ObjectList{&v1alpha1.ProjectRoleList{}, &v1alpha1.MaxComputePackageList{}, &v1alpha1.PackageInstallationList{}} {
		err := v.each(ctx, list, namespace, func(item runtime.Object) {
			t, ok := item.(interface {
				GetTarget() v1alpha1.RemoteTarget
				GetConnectionRef() v1alpha1.ConnectionReference
			})
			if ok && strings.EqualFold(t.GetTarget().ProjectName, project) {
				found[t.GetConnectionRef().String()] = t.GetConnectionRef()
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return sortedReferences(found), nil
}

// connectionsIn are the connections to Alibaba Cloud of a namespace and, if there is no cluster, all that were given.
func (v *view) connectionsIn(ctx context.Context, namespace string) ([]v1alpha1.ConnectionReference, error) {
	found := map[string]v1alpha1.ConnectionReference{}
	err := v.each(ctx, &v1alpha1.ConnectionList{}, namespace, func(item runtime.Object) {
		if c, ok := item.(*v1alpha1.Connection); ok && c.Spec.AlibabaCloud != nil {
			found[c.Name] = v1alpha1.ConnectionReference{Name: c.Name}
		}
	})
	if err == nil && v.cluster == nil {
		err = v.each(ctx, &v1alpha1.ClusterConnectionList{}, "", func(item runtime.Object) {
			if c, ok := item.(*v1alpha1.ClusterConnection); ok && c.Spec.AlibabaCloud != nil {
				found["cluster/"+c.Name] = v1alpha1.ConnectionReference{Kind: v1alpha1.ConnectionKindClusterConnection, Name: c.Name}
			}
		})
	}
	return sortedReferences(found), err
}

// each visits what a list holds.
func (v *view) each(ctx context.Context, list client.ObjectList, namespace string, visit func(runtime.Object)) error {
	if err := v.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return err
	}
	return apimeta.EachListItem(list, func(item runtime.Object) error {
		visit(item)
		return nil
	})
}

func sortedReferences(found map[string]v1alpha1.ConnectionReference) []v1alpha1.ConnectionReference {
	return slices.SortedFunc(maps.Values(found), func(a, b v1alpha1.ConnectionReference) int { return cmp.Compare(a.String(), b.String()) })
}
