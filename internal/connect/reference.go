package connect

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// Connection is a Connection or a ClusterConnection.
type Connection interface {
	client.Object
	conditions.Object
	// IsCluster tells a ClusterConnection.
	IsCluster() bool
	// GetConnectionSpec gives access to what both kinds share.
	GetConnectionSpec() *v1alpha1.ConnectionSpec
	// IsSuspended tells whether the connection's checks are stopped.
	IsSuspended() bool
	// GetInterval is the wanted time between two checks, 0 for the default.
	GetInterval() time.Duration
}

// New makes an empty connection of one of the kinds.
func New(cluster bool) Connection {
	if cluster {
		return &v1alpha1.ClusterConnection{}
	}
	return &v1alpha1.Connection{}
}

// find gets the connection that an object of a namespace refers to.
func (r *Resolver) find(ctx context.Context, namespace string, ref v1alpha1.ConnectionReference) (Connection, error) {
	connection, key := New(ref.IsCluster()), client.ObjectKey{Namespace: namespace, Name: ref.Name}
	if ref.IsCluster() {
		key.Namespace = ""
	}
	reader := r.Connections
	if len(r.Namespaces) > 0 && !ref.IsCluster() && !slices.Contains(r.Namespaces, namespace) {
		reader = r.Secrets
	}
	return connection, reader.Get(ctx, key, connection)
}

func missing(ref v1alpha1.ConnectionReference) string {
	if ref.IsCluster() {
		return " does not exist"
	}
	return " does not exist in this namespace"
}

// checkAllowed stalls an object that its ClusterConnection does not allow. A Connection allows whatever is in its namespace.
func (r *Resolver) checkAllowed(ctx context.Context, connection Connection, namespace string, in scope, deleting bool) error {
	cluster, ok := connection.(*v1alpha1.ClusterConnection)
	if !ok {
		return nil
	}
	var what string
	switch allowed, err := r.allowsNamespace(ctx, cluster.Spec.AllowedNamespaces, namespace); {
	case err != nil:
		return err
	case !allowed:
		what = "namespace " + namespace
	case !allowsProject(cluster.Spec.AllowedProjects, in.name):
		what = in.kind + " " + in.name
	default:
		return nil
	}
	message := fmt.Sprintf("ClusterConnection %s does not allow %s", cluster.Name, what)
	if deleting {
		message += "; this object goes when it is allowed again, or with deletionPolicy: Retain, which leaves the cloud as it is"
	}
	return conditions.Stall(v1alpha1.ReasonConnectionNotAllowed, "%s", message)
}

// allowsNamespace tells whether a namespace is named or selected.
func (r *Resolver) allowsNamespace(ctx context.Context, allowed *v1alpha1.AllowedNamespaces, namespace string) (bool, error) {
	switch {
	case allowed == nil:
		return false, nil
	case slices.Contains(allowed.Names, namespace):
		return true, nil
	case allowed.Selector == nil:
		return false, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(allowed.Selector)
	switch {
	case err != nil:
		// It selects nothing; the ClusterConnection says why.
		return false, nil //nolint:nilerr // see above
	case selector.Empty():
		return true, nil
	}
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err = r.Connections.Get(ctx, client.ObjectKey{Name: namespace}, found)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("get Namespace %s: %w", namespace, err)
	}
	return selector.Matches(labels.Set(found.Labels)), nil
}

// allowsProject compares a project with patterns, without case. No list at all allows every project.
func allowsProject(patterns []string, project string) bool {
	if patterns == nil {
		return true
	}
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(strings.ToLower(pattern), strings.ToLower(project)) })
}

// matches tells whether a text is what a pattern says, in which * stands for any characters.
func matches(pattern, text string) bool {
	first, rest, found := strings.Cut(pattern, "*")
	text, ok := strings.CutPrefix(text, first)
	if !found || !ok {
		return ok && text == ""
	}
	parts := strings.Split(rest, "*")
	last := len(parts) - 1
	for _, part := range parts[:last] {
		// The first place will do: it leaves the most for what follows.
		_, text, ok = strings.Cut(text, part)
		if !ok {
			return false
		}
	}
	return strings.HasSuffix(text, parts[last])
}

// validate checks what the API server cannot.
func validate(connection Connection) error {
	cluster, ok := connection.(*v1alpha1.ClusterConnection)
	if !ok || cluster.Spec.AllowedNamespaces == nil {
		return nil
	}
	if _, err := metav1.LabelSelectorAsSelector(cluster.Spec.AllowedNamespaces.Selector); err != nil {
		return conditions.Stall(v1alpha1.ReasonInvalidSpec, "allowedNamespaces.selector: %v", err)
	}
	return nil
}

// Allows reports whether an object may use the connection that it refers to, for a project or workspace. A connection that does not
// exist forbids nothing.
func (r *Resolver) Allows(ctx context.Context, obj client.Object, ref v1alpha1.ConnectionReference, name string) (bool, error) {
	if !ref.IsCluster() {
		return true, nil
	}
	cluster := &v1alpha1.ClusterConnection{}
	switch err := r.Connections.Get(ctx, client.ObjectKey{Name: ref.Name}, cluster); {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("get %s: %w", ref, err)
	}
	allowed, err := r.allowsNamespace(ctx, cluster.Spec.AllowedNamespaces, obj.GetNamespace())
	return allowed && allowsProject(cluster.Spec.AllowedProjects, name), err
}
