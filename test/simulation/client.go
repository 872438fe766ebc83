package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

var errStale = errors.New("the object has been modified; please apply your changes to the latest version and try again")

// cache is what a manager knows of the API server: for each kind, the objects as of some point of
// its log.
type cache struct {
	objects map[key]client.Object
	at      map[string]int
	// own is how far the log of a kind was when the manager last wrote an object of it: a read
	// waits for that.
	own map[string]int
}

func newCache() *cache { return &cache{map[key]client.Object{}, map[string]int{}, map[string]int{}} }

// kubeClient is how a manager's controllers reach the API server. Reads come from its cache, unless
// it is live; each other call is a step at which the manager can be stopped.
type kubeClient struct {
	client.Client // nil: the operator calls no other method
	manager       *manager
	live          bool
}

var (
	_ client.Client = kubeClient{}
	_ client.Reader = kubeClient{}
)

// Get implements client.Reader.
func (c kubeClient) Get(ctx context.Context, name client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	k := key{kindOf(obj), name}
	api := c.manager.world.api
	if c.live {
		if err := c.manager.call(ctx, "get", k); err != nil {
			return err
		}
		return api.get(k, obj)
	}
	c.manager.mu.Lock()
	defer c.manager.mu.Unlock()
	if !(&client.GetOptions{}).ApplyOptions(opts).DisableReadYourWritesConsistency {
		c.manager.readOwnWrites(k.kind)
	}
	stored := c.manager.cache.objects[k]
	if stored == nil {
		return notFound(k)
	}
	fill(obj, stored)
	return nil
}

// List implements client.Reader.
func (c kubeClient) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	options := (&client.ListOptions{}).ApplyOptions(opts)
	kind := kindOf(list)
	if c.live {
		if err := c.manager.call(ctx, "list", key{kind: kind}); err != nil {
			return err
		}
		return fillList(list, kind, c.manager.world.api.objects, options)
	}
	c.manager.mu.Lock()
	defer c.manager.mu.Unlock()
	if !options.DisableReadYourWritesConsistency {
		c.manager.readOwnWrites(kind)
	}
	return fillList(list, kind, c.manager.cache.objects, options)
}

// fillList fills a list with copies of the objects of a kind that match, in the order of their
// names.
func fillList(list client.ObjectList, kind string, objects map[key]client.Object, options *client.ListOptions) error {
	var found []client.Object
	for k, obj := range objects {
		if k.kind == kind && (options.Namespace == "" || k.Namespace == options.Namespace) && matches(obj, options) {
			found = append(found, copyOf(obj))
		}
	}
	slices.SortFunc(found, func(a, b client.Object) int { return strings.Compare(keyOf(a).String(), keyOf(b).String()) })
	items := make([]runtime.Object, len(found))
	for i, obj := range found {
		items[i] = obj
	}
	return apimeta.SetList(list, items)
}

// matches reports whether the fields and labels of an object are those that a list asks for.
func matches(obj client.Object, options *client.ListOptions) bool {
	if options.LabelSelector != nil && !options.LabelSelector.Matches(labelsOf(obj)) {
		return false
	}
	if options.FieldSelector == nil {
		return true
	}
	for _, r := range options.FieldSelector.Requirements() {
		if !slices.Contains(indexed(obj, r.Field), r.Value) {
			return false
		}
	}
	return true
}

// indexed are the values of an object in one of the indexes that the controllers declare.
func indexed(obj client.Object, index string) []string {
	switch index {
	case "spec.connectionRef.name":
		if o, ok := obj.(interface {
			GetConnectionRef() v1alpha1.ConnectionReference
		}); ok {
			return []string{o.GetConnectionRef().String()}
		}
	case "target":
		if o, ok := obj.(interface{ GetTarget() v1alpha1.RemoteTarget }); ok {
			target := o.GetTarget()
			return []string{strings.ToLower(target.ProjectName + "/" + target.Name)}
		}
	case "spec.projectName":
		if o, ok := obj.(*v1alpha1.PermissionApply); ok {
			return []string{strings.ToLower(o.Spec.ProjectName)}
		}
	case "source":
		return sources(obj)
	default:
		panic(fmt.Sprintf("add the index %q to indexed in client.go", index))
	}
	return nil
}

// sources are the packages that an object needs: that which it installs, or those that its ACL
// names.
func sources(obj client.Object) (keys []string) {
	switch o := obj.(type) {
	case *v1alpha1.PackageInstallation:
		keys = append(keys, strings.ToLower(o.Spec.SourceProject+"/"+o.Spec.PackageName))
	case *v1alpha1.ProjectRole:
		if o.Spec.ACL != nil {
			for _, g := range o.Spec.ACL.Packages {
				keys = append(keys, strings.ToLower(o.Spec.ProjectName+"/"+g.Name))
			}
		}
	}
	return keys
}

// Patch implements client.Writer.
func (c kubeClient) Patch(ctx context.Context, obj client.Object, patch client.Patch, _ ...client.PatchOption) error {
	return c.write(ctx, "patch", obj, func() error { return c.manager.world.api.patch(obj, patch) })
}

// Status implements client.StatusClient.
func (c kubeClient) Status() client.SubResourceWriter { return statusWriter{c: c} }

// statusWriter stores statuses.
type statusWriter struct {
	client.SubResourceWriter // nil
	c                        kubeClient
}

// Update implements client.SubResourceWriter.
func (s statusWriter) Update(ctx context.Context, obj client.Object, _ ...client.SubResourceUpdateOption) error {
	return s.c.write(ctx, "status", obj, func() error { return s.c.manager.world.api.updateStatus(obj) })
}

// write makes one write: the manager can be stopped before it was made, and after.
func (c kubeClient) write(ctx context.Context, verb string, obj client.Object, do func() error) error {
	if err := c.manager.call(ctx, verb, keyOf(obj)); err != nil {
		return err
	}
	before := copyOf(obj)
	err := do()
	if err == nil && c.manager.world.answerLost(verb) {
		c.manager.world.trace("    the answer of the API server is lost")
		fill(obj, before)
		return apierrors.NewTimeoutError("request did not complete within requested timeout - context deadline exceeded", 1)
	}
	if err == nil {
		c.manager.cache.own[kindOf(obj)] = len(c.manager.world.api.logs[kindOf(obj)])
	}
	return err
}

// strictly decodes JSON in which every member must be known.
func strictly(raw []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// labelSet is the labels of an object, as selectors ask for them.
type labelSet map[string]string

func labelsOf(obj metav1.Object) labelSet { return obj.GetLabels() }

// Has implements labels.Labels.
func (l labelSet) Has(name string) bool { _, ok := l[name]; return ok }

// Get implements labels.Labels.
func (l labelSet) Get(name string) string { return l[name] }

// Lookup implements labels.Labels.
func (l labelSet) Lookup(name string) (string, bool) { value, ok := l[name]; return value, ok }
