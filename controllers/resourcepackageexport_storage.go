package controllers

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
)

// storageTimeout bounds what a pass does with a destination, unless options say otherwise: it is to look, and to remove, and must not wait
// for one that does not answer.
const storageTimeout = 30 * time.Second

// inTime bounds what a pass does with a destination.
func (p *exportPass) inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.patience())
}

func (p *exportPass) patience() time.Duration {
	return cmp.Or(p.Exports.StorageTimeout, storageTimeout)
}

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
	return isSameStorage(file.Endpoint, p.endpoint) && strings.HasPrefix(file.Location, p.within)
}

// isSameStorage reports whether two endpoints mean one object storage; both are empty for a directory.
func isSameStorage(a, b string) bool { return connect.ServiceOf(a, "") == connect.ServiceOf(b, "") }

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
	keys, err := p.storageKeys(ctx, spec)
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
	return place{Destination: to, endpoint: endpoint, within: "s3://" + spec.Bucket + "/"}, nil
}

// storageKeys reads the keys of a bucket. A namespace that is deleted loses its Secrets first, so the last keys serve then, where they did.
func (p *exportPass) storageKeys(ctx context.Context, spec *v1alpha1.ObjectStorageDestination) (connect.StorageKeys, error) {
	where := strings.TrimSuffix(spec.Endpoint, "/") + "/" + spec.Bucket
	keys, err := p.Accounts.StorageKeys(ctx, p.obj.Namespace, spec)
	if err == nil {
		p.keys.keep(p.obj.UID, where, keys)
		return keys, nil
	}
	if outcome, ok := conditions.OutcomeOf(err); ok && outcome.Reason == v1alpha1.ReasonSecretNotFound && !p.obj.DeletionTimestamp.IsZero() {
		if last, ok := p.keys.of(p.obj.UID, where); ok {
			return last, nil
		}
	}
	return connect.StorageKeys{}, err
}

// keysInterval is how often the keys of a bucket are read again that an object's files are to be removed from with the object.
const keysInterval = 10 * time.Minute

// rememberKeys reads the keys that a deletion will need, which may then be gone.
func (p *exportPass) rememberKeys(ctx context.Context) {
	spec := p.obj.Spec.Destination.ObjectStorage
	if spec == nil || p.obj.IsRetained() || len(p.obj.Status.Exports) == 0 {
		return
	}
	if _, err := p.storageKeys(ctx, spec); err != nil {
		log.FromContext(ctx).V(1).Info("Could not read the keys of the bucket", "cause", err.Error())
	}
	p.within(conditions.Jitter(keysInterval, 0))
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

// lastKeys are the last keys of buckets that were read, by the objects that use them.
type lastKeys struct {
	mu    sync.Mutex
	known map[types.UID]knownKeys
}

// knownKeys are keys, and where they were for.
type knownKeys struct {
	where string
	keys  connect.StorageKeys
}

func (k *lastKeys) of(uid types.UID, where string) (connect.StorageKeys, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known, ok := k.known[uid]
	return known.keys, ok && known.where == where
}

func (k *lastKeys) keep(uid types.UID, where string, keys connect.StorageKeys) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil {
		k.known = map[types.UID]knownKeys{}
	}
	k.known[uid] = knownKeys{where, keys}
}

func (k *lastKeys) forget(uid types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, uid)
}
