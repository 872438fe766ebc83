package simulation

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// maxObjectBytes is what etcd takes of one object.
const maxObjectBytes = 3 << 19

// key names a stored object: its kind, its namespace and its name.
type key struct {
	kind string
	types.NamespacedName
}

func (k key) String() string { return k.kind + " " + k.NamespacedName.String() }

// kindOf names the kind of an object or of a list.
func kindOf(obj any) string {
	name := reflect.TypeOf(obj).Elem().Name()
	if n := len(name) - len("List"); n > 0 && name[n:] == "List" {
		return name[:n]
	}
	return name
}

func keyOf(obj client.Object) key { return key{kindOf(obj), client.ObjectKeyFromObject(obj)} }

// change is one event of a watch: the object as it was stored, or nil if it is gone.
type change struct {
	key     key
	before  client.Object
	object  client.Object
	stored  time.Time
	version int64
}

// apiServer stores objects as the API server does: with optimistic locks, generations, finalizers
// and a log of changes per kind, which the caches of the managers follow at their own pace. Stored
// objects are never changed in place.
type apiServer struct {
	world   *world
	version int64
	objects map[key]client.Object
	logs    map[string][]change
}

func newAPIServer(w *world) *apiServer {
	return &apiServer{world: w, objects: map[key]client.Object{}, logs: map[string][]change{}}
}

func copyOf(obj client.Object) client.Object { return obj.DeepCopyObject().(client.Object) }

// fill overwrites an object with a copy of a stored one.
func fill(obj, stored client.Object) {
	reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(copyOf(stored)).Elem())
}

func notFound(k key) error {
	return apierrors.NewNotFound(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: k.kind}, k.String())
}

func conflict(k key) error {
	return apierrors.NewConflict(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: k.kind}, k.String(), errStale)
}

// put stores an object as the next version and tells the watches. nil deletes it.
func (a *apiServer) put(k key, obj client.Object) {
	a.version++
	before := a.objects[k]
	if obj == nil {
		delete(a.objects, k)
	} else {
		obj.SetResourceVersion(strconv.FormatInt(a.version, 10))
		a.objects[k] = obj
	}
	c := change{key: k, before: before, object: obj, stored: time.Now(), version: a.version}
	a.logs[k.kind] = append(a.logs[k.kind], c)
	a.world.stored(c)
}

// get returns a copy of the stored object.
func (a *apiServer) get(k key, into client.Object) error {
	stored := a.objects[k]
	if stored == nil {
		return notFound(k)
	}
	fill(into, stored)
	return nil
}

// create stores a new object.
func (a *apiServer) create(obj client.Object) {
	obj = roundTrip(obj)
	obj.SetUID(types.UID("uid-" + strconv.FormatInt(a.version+1, 10)))
	obj.SetGeneration(1)
	obj.SetDeletionTimestamp(nil)
	obj.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
	a.put(keyOf(obj), obj)
}

// edit changes what users write: spec, annotations, finalizers. Only a changed spec makes a new
// generation.
func (a *apiServer) edit(k key, change func(client.Object)) {
	stored := a.objects[k]
	if stored == nil {
		return
	}
	obj := copyOf(stored)
	change(obj)
	obj = roundTrip(obj)
	if !reflect.DeepEqual(specOf(obj), specOf(stored)) {
		obj.SetGeneration(stored.GetGeneration() + 1)
	}
	a.finish(k, stored, obj)
}

// finish stores a changed object, or lets it go if it was only waiting for its last finalizer.
func (a *apiServer) finish(k key, stored, obj client.Object) {
	switch {
	case obj.GetDeletionTimestamp() != nil && len(obj.GetFinalizers()) == 0:
		a.put(k, nil)
	case !reflect.DeepEqual(stored, obj):
		a.put(k, obj)
	}
}

// delete asks for an object to be deleted.
func (a *apiServer) delete(k key) {
	stored := a.objects[k]
	if stored == nil || stored.GetDeletionTimestamp() != nil {
		return
	}
	obj := copyOf(stored)
	obj.SetDeletionTimestamp(new(metav1.NewTime(time.Now().Truncate(time.Second))))
	obj.SetGeneration(obj.GetGeneration() + 1)
	a.finish(k, stored, obj)
}

// updateStatus stores the status of an object, if it was read at the present version.
func (a *apiServer) updateStatus(obj client.Object) error {
	k := keyOf(obj)
	stored := a.objects[k]
	switch {
	case stored == nil || stored.GetUID() != obj.GetUID():
		return notFound(k)
	case stored.GetResourceVersion() != obj.GetResourceVersion():
		return conflict(k)
	}
	next := copyOf(stored)
	setStatus(next, roundTrip(obj))
	if err := a.accept(k, stored, next); err != nil {
		return err
	}
	a.finish(k, stored, next)
	fill(obj, next)
	return nil
}

// accept refuses what the schema or the size of an object forbids.
func (a *apiServer) accept(k key, stored, next client.Object) error {
	if n := size(next); n > maxObjectBytes {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("etcdserver: request is too large (%d bytes)", n))
	}
	return a.world.admit(k, stored, next)
}

// patch carries out a merge patch of metadata, the only kind that the operator sends.
func (a *apiServer) patch(obj client.Object, patch client.Patch) error {
	k := keyOf(obj)
	raw, err := patch.Data(obj)
	if err != nil {
		return err
	}
	var p struct {
		Metadata struct {
			Finalizers      json.RawMessage `json:"finalizers"`
			ResourceVersion string          `json:"resourceVersion"`
			UID             types.UID       `json:"uid"`
		} `json:"metadata"`
	}
	if err := strictly(raw, &p); err != nil {
		return fmt.Errorf("this API server knows no patch like %s: %w", raw, err)
	}
	stored := a.objects[k]
	switch {
	case stored == nil:
		return notFound(k)
	case p.Metadata.ResourceVersion != "" && p.Metadata.ResourceVersion != stored.GetResourceVersion():
		return conflict(k)
	}
	next := copyOf(stored)
	if p.Metadata.Finalizers != nil {
		var finalizers []string // null takes them all away
		if err := json.Unmarshal(p.Metadata.Finalizers, &finalizers); err != nil {
			return err
		}
		next.SetFinalizers(finalizers)
	}
	next = roundTrip(next)
	a.finish(k, stored, next)
	fill(obj, next)
	return nil
}

// roundTrip returns an object as it comes back from its JSON: times lose their fractions, empty
// lists vanish.
func roundTrip(obj client.Object) client.Object {
	raw, err := json.Marshal(obj)
	if err != nil {
		panic(err)
	}
	out := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(client.Object)
	if err := json.Unmarshal(raw, out); err != nil {
		panic(err)
	}
	return out
}

func size(obj client.Object) int {
	raw, err := json.Marshal(obj)
	if err != nil {
		panic(err)
	}
	return len(raw)
}

// specOf returns the spec of an object of any kind; Secrets have none.
func specOf(obj client.Object) any {
	if secret, ok := obj.(*corev1.Secret); ok {
		return secret.Data
	}
	return reflect.ValueOf(obj).Elem().FieldByName("Spec").Interface()
}

// setStatus copies the status of one object to another of its kind.
func setStatus(to, from client.Object) {
	field := func(obj client.Object) reflect.Value { return reflect.ValueOf(obj).Elem().FieldByName("Status") }
	field(to).Set(field(from))
}
