package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// view is the cluster as it would be with the manifests applied. It implements client.Reader.
type view struct {
	scheme *runtime.Scheme
	// cluster is nil where there is none.
	cluster client.Reader
	// namespace is what is seen of the cluster by those who may not see all of it, and blind is told when that is so.
	namespace string
	blind     func()
	applied   map[objectKey]client.Object
}

// objectKey names an object of a kind.
type objectKey struct {
	kind string
	client.ObjectKey
}

func (v *view) keyOf(obj client.Object, key client.ObjectKey) (objectKey, error) {
	gvk, err := apiutil.GVKForObject(obj, v.scheme)
	return objectKey{gvk.Kind, key}, err
}

// add puts an object over what the cluster has.
func (v *view) add(obj client.Object) error {
	key, err := v.keyOf(obj, client.ObjectKeyFromObject(obj))
	if err != nil {
		return err
	}
	if v.applied == nil {
		v.applied = map[objectKey]client.Object{}
	}
	if v.applied[key] != nil {
		return errors.New("it is in the manifests twice")
	}
	v.applied[key] = obj
	return nil
}

// Get implements client.Reader.
func (v *view) Get(ctx context.Context, name client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	key, err := v.keyOf(obj, name)
	if err != nil {
		return err
	}
	if found := v.applied[key]; found != nil {
		reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(found.DeepCopyObject()).Elem())
		return nil
	}
	if v.cluster == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: key.kind}, name.Name)
	}
	return v.cluster.Get(ctx, name, obj, opts...)
}

// List implements client.Reader. Of options it knows the namespace.
func (v *view) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var asked client.ListOptions
	asked.ApplyOptions(opts)
	if asked.FieldSelector != nil || asked.LabelSelector != nil {
		return errors.New("manifests cannot be searched by fields or labels")
	}
	if err := v.listCluster(ctx, list, asked.Namespace); err != nil {
		return err
	}
	gvk, err := apiutil.GVKForObject(list, v.scheme)
	if err != nil {
		return err
	}
	found := map[objectKey]runtime.Object{}
	err = apimeta.EachListItem(list, func(item runtime.Object) error {
		obj, ok := item.(client.Object)
		if !ok {
			return fmt.Errorf("an item of a list is a %T", item)
		}
		found[objectKey{kindOfList(gvk), client.ObjectKeyFromObject(obj)}] = obj
		return nil
	})
	if err != nil {
		return err
	}
	for key, obj := range v.applied {
		if key.kind == kindOfList(gvk) && (asked.Namespace == "" || asked.Namespace == key.Namespace) {
			found[key] = obj.DeepCopyObject()
		}
	}
	items := make([]runtime.Object, 0, len(found))
	for _, key := range slices.SortedFunc(maps.Keys(found), objectKey.compare) {
		items = append(items, found[key])
	}
	return apimeta.SetList(list, items)
}

// listCluster lists what the cluster has. Who may not list all namespaces gets what is in their own: an older object of another namespace
// that names the same target is not seen then.
func (v *view) listCluster(ctx context.Context, list client.ObjectList, namespace string) error {
	if v.cluster == nil {
		return nil
	}
	err := v.cluster.List(ctx, list, client.InNamespace(namespace))
	if !apierrors.IsForbidden(err) || namespace != "" {
		return err
	}
	v.blind()
	return v.cluster.List(ctx, list, client.InNamespace(v.namespace))
}

func (k objectKey) compare(other objectKey) int {
	return cmp.Or(cmp.Compare(k.kind, other.kind), cmp.Compare(k.Namespace, other.Namespace), cmp.Compare(k.Name, other.Name))
}

// kindOfList is the kind of a list's items.
func kindOfList(gvk schema.GroupVersionKind) string { return gvk.Kind[:len(gvk.Kind)-len("List")] }
