package connect

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// secretValues are what a Secret holds.
type secretValues struct {
	name string
	data map[string][]byte
}

// secret reads a Secret. local tells that messages need not name its namespace.
func (r *Resolver) secret(ctx context.Context, namespace, name string, local bool) (secretValues, error) {
	secret := &corev1.Secret{}
	err := r.Secrets.Get(unlogged(ctx), client.ObjectKey{Namespace: namespace, Name: name}, secret)
	where := place(namespace, local)
	switch {
	case apierrors.IsNotFound(err):
		return secretValues{}, conditions.Wait(v1alpha1.ReasonSecretNotFound, "Secret %s does not exist in %s", name, where)
	case apierrors.IsForbidden(err):
		return secretValues{}, conditions.Wait(v1alpha1.ReasonSecretNotFound, "the operator may not read Secret %s in %s", name, where)
	case err != nil:
		return secretValues{}, fmt.Errorf("get Secret %s: %w", name, err)
	}
	return secretValues{name, secret.Data}, nil
}

// get returns a value without the space around it, which files that Secrets are made of often end with.
func (s secretValues) get(key string) string { return strings.TrimSpace(string(s.data[key])) }

// require returns an error if one of the keys is not there or empty.
func (s secretValues) require(keys ...string) error {
	for _, key := range keys {
		if s.get(key) == "" {
			return conditions.Wait(v1alpha1.ReasonSecretNotFound, "Secret %s has no key %s", s.name, key)
		}
	}
	return nil
}

// unlogged keeps a call to the Kubernetes API out of the log: at its highest verbosity, the client prints the bodies of requests and
// answers, with all that is in them.
func unlogged(ctx context.Context) context.Context { return logr.NewContext(ctx, logr.Discard()) }

// place names a namespace in a message.
func place(namespace string, local bool) string {
	if local {
		return "this namespace"
	}
	return "namespace " + namespace
}

// StorageKeys sign requests to an object storage.
type StorageKeys struct{ AccessKey, SecretKey, SessionToken string }

// StorageKeys reads the keys of an object storage from a Secret of a namespace, and makes sure that they may be sent to its endpoint.
func (r *Resolver) StorageKeys(ctx context.Context, namespace string, storage *v1alpha1.ObjectStorageDestination) (StorageKeys, error) {
	if err := r.Endpoints.check(storage.Endpoint); err != nil {
		return StorageKeys{}, err
	}
	values, err := r.secret(ctx, namespace, storage.SecretRef.Name, true)
	if err != nil {
		return StorageKeys{}, err
	}
	if err := values.require("accessKey", "secretKey"); err != nil {
		return StorageKeys{}, err
	}
	return StorageKeys{AccessKey: values.get("accessKey"), SecretKey: values.get("secretKey"), SessionToken: values.get("sessionToken")}, nil
}
