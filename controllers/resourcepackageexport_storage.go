package controllers

import (
	"context"
	"errors"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
)

// unnamed stands for the name of a file that was received and had none yet.
const unnamed = "unnamed"

// place is a destination and where that is.
type place struct {
	destination.Destination
	// endpoint of an object storage, empty for a directory.
	endpoint string
	// within is what the locations of all files begin with that can be reached: the bucket, or the directory of the namespace.
	within string
}

// holds tells whether a file can be reached here, whatever its prefix or path.
func (p place) holds(file v1alpha1.StoredExport) bool {
	return file.Endpoint == p.endpoint && strings.HasPrefix(file.Location, p.within)
}

// destination is where the exports of the object go.
func (p *exportPass) destination(ctx context.Context) (place, error) {
	spec := p.obj.Spec.Destination
	switch {
	case spec.ObjectStorage != nil:
		return p.objectStorage(ctx, spec.ObjectStorage)
	case spec.Directory == nil:
		return place{}, conditions.Stall(v1alpha1.ReasonInvalidSpec, "exactly one of destination.objectStorage and destination.directory is required")
	case p.Exports.Directory == "":
		return place{}, conditions.Stall(v1alpha1.ReasonInvalidSpec, "the manager has no --export-directory, so that nothing can be stored in a directory")
	}
	to, err := destination.NewDirectory(destination.DirectoryConfig{
		Root: p.Exports.Directory, Namespace: p.obj.Namespace, Path: spec.Directory.Path, Owner: string(p.obj.UID),
	})
	if err != nil {
		return place{}, conditions.Stall(v1alpha1.ReasonInvalidSpec, "%v", err)
	}
	return place{Destination: to, within: p.obj.Namespace + "/"}, nil
}

func (p *exportPass) objectStorage(ctx context.Context, spec *v1alpha1.ObjectStorageDestination) (place, error) {
	keys, err := p.Accounts.StorageKeys(ctx, p.obj.Namespace, spec)
	if last, ok := p.keys.of(p.obj.UID); err != nil && ok && !p.obj.DeletionTimestamp.IsZero() && conditions.Explains(err) {
		// A namespace that is deleted loses its Secrets first.
		keys, err = last, nil
	}
	if err != nil {
		return place{}, err
	}
	endpoint := strings.TrimSuffix(spec.Endpoint, "/")
	to, err := destination.NewObjectStorage(destination.ObjectStorageConfig{
		Endpoint: endpoint, Region: spec.Region, Bucket: spec.Bucket, Prefix: spec.Prefix, Spool: p.Exports.Spool,
		Keys: destination.Keys{AccessKeyID: keys.AccessKey, SecretAccessKey: keys.SecretKey, SessionToken: keys.SessionToken}, Transport: p.Exports.Transport,
	})
	if err != nil {
		return place{}, conditions.Stall(v1alpha1.ReasonInvalidSpec, "%v", err)
	}
	p.keys.keep(p.obj.UID, keys)
	return place{Destination: to, endpoint: endpoint, within: "s3://" + spec.Bucket + "/"}, nil
}

// storageReasons are those of the Ready condition for the failures of a destination.
var storageReasons = map[destination.Code]string{
	destination.Full:        v1alpha1.ReasonDestinationFull,
	destination.Denied:      v1alpha1.ReasonDestinationDenied,
	destination.Invalid:     v1alpha1.ReasonDestinationDenied,
	destination.NotFound:    v1alpha1.ReasonDestinationNotFound,
	destination.Unavailable: v1alpha1.ReasonDestinationUnavailable,
}

// storageFailure gives a failure that is not the service's its reason.
func storageFailure(err error) error {
	if err == nil || cloud.CodeOf(err) != "" || conditions.Explains(err) || errors.Is(err, context.Canceled) {
		return err
	}
	if e, ok := errors.AsType[*destination.Error](err); ok && storageReasons[e.Code] != "" {
		return conditions.Wait(storageReasons[e.Code], "%v", e)
	}
	return conditions.Wait(v1alpha1.ReasonExportFailed, "%v", err)
}

// lastKeys are the last keys of object storages that were read, by the objects that use them.
type lastKeys struct {
	mu    sync.Mutex
	known map[types.UID]connect.StorageKeys
}

func (k *lastKeys) of(uid types.UID) (connect.StorageKeys, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys, ok := k.known[uid]
	return keys, ok
}

func (k *lastKeys) keep(uid types.UID, keys connect.StorageKeys) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil {
		k.known = map[types.UID]connect.StorageKeys{}
	}
	k.known[uid] = keys
}

func (k *lastKeys) forget(uid types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, uid)
}
