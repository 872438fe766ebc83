package testbed

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// Connect makes a namespace with a Connection to the fake cloud, changed as its caller wants it, and waits until that is Ready.
func (b *Testbed) Connect(ctx context.Context, namespace string, qps int32, changes ...func(*v1alpha1.Connection)) error {
	connection := b.NewConnection(namespace, qps)
	for _, change := range changes {
		change(connection)
	}
	return b.ConnectWith(ctx, b.NewSecret(namespace), connection)
}

// ConnectWith makes a namespace with a Secret, and a Connection or ClusterConnection with it, and
// waits until that is Ready.
func (b *Testbed) ConnectWith(ctx context.Context, secret *corev1.Secret, connection interface {
	client.Object
	conditions.Object
}) error {
	for _, obj := range []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: secret.Namespace}}, secret, connection} {
		if err := b.Kube.Create(ctx, obj); err != nil {
			return err
		}
	}
	return Until(ctx, time.Minute, func() (bool, error) {
		err := b.Kube.Get(ctx, client.ObjectKeyFromObject(connection), connection)
		return conditions.IsReady(connection), err
	})
}

// WaitReady ends when so many roles of a namespace have been seen Ready. A watch may end at any time; then it lists and watches again.
func (b *Testbed) WaitReady(ctx context.Context, namespace string, roles int) error {
	ready := map[string]bool{}
	see := func(role *v1alpha1.ProjectRole) {
		if conditions.IsReady(role) {
			ready[role.Name] = true
		}
	}
	for len(ready) < roles {
		var list v1alpha1.ProjectRoleList
		if err := b.Kube.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return fmt.Errorf("%d of %d roles Ready: %w", len(ready), roles, err)
		}
		for i := range list.Items {
			see(&list.Items[i])
		}
		if len(ready) == roles {
			break
		}
		watch, err := b.Kube.Watch(ctx, &v1alpha1.ProjectRoleList{}, client.InNamespace(namespace), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
		if err != nil {
			return err
		}
		for event := range watch.ResultChan() {
			if role, ok := event.Object.(*v1alpha1.ProjectRole); ok {
				see(role)
			}
			if len(ready) == roles {
				break
			}
		}
		watch.Stop()
	}
	return nil
}

// Until waits for a condition, or fails when the time for it is over.
func Until(ctx context.Context, limit time.Duration, condition func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		if done, err := condition(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
