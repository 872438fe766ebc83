// Package connect turns Connections into cloud clients: it reads their Secrets, checks their endpoints, and hands out one client
// and one rate limiter per account, however many objects use it.
package connect

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	credential "github.com/aliyun/credentials-go/credentials"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// How long a Secret that was read is used without being read again: normally, and while the service refuses what is in it. Secrets
// are not watched, for that would need the right to read every Secret of the cluster.
const (
	secretLifetime        = 45 * time.Second
	refusedSecretLifetime = 5 * time.Second
)

// sourceLifetime is how long a Connection is kept that nobody asks for: longer than the usual time between two looks at an object.
const sourceLifetime = time.Hour

// The defaults of rateLimits.maxCompute. The service documents no limit.
const (
	defaultQPS   = 20
	defaultBurst = 40
)

// Resolver finds the client for a Connection. It is safe for concurrent use.
type Resolver struct {
	// Connections is read through the manager's cache, Secrets without one.
	Connections, Secrets client.Reader
	Endpoints            EndpointPolicy
	HTTP                 *http.Client
	Clock                clock.PassiveClock
	// CallTimeout and PollInterval are passed on to the clients; 0 means their defaults.
	CallTimeout, PollInterval time.Duration

	mu       sync.Mutex
	sources  map[types.UID]*source
	accounts map[string]*Account
}

// Account is one identity at one set of endpoints.
type Account struct {
	// MaxCompute is the client that all objects of the account share.
	MaxCompute *maxcompute.Client
	// Endpoint is the base URL of the OpenAPI that the client talks to.
	Endpoint string

	limiter *rate.Limiter
	// refused is set when the service refuses the credentials: the Secret may have been rotated.
	refused atomic.Bool
}

// Noticed passes an error on. One that says that the credentials were refused makes the next use read the Secret again.
func (a *Account) Noticed(err error) error {
	if cloud.CodeOf(err) == cloud.AuthenticationFailed {
		a.refused.Store(true)
	}
	return err
}

func (a *Account) lifetime() time.Duration {
	if a.refused.Load() {
		return refusedSecretLifetime
	}
	return secretLifetime
}

// source is what was last made of one Connection. Its lock lets one caller read the Secret while the others wait.
type source struct {
	mu         sync.Mutex
	generation int64
	read       time.Time
	account    *Account

	// The Resolver's own lock guards these: when the source was last asked for, and the key of its account.
	used time.Time
	key  string
}

// Account resolves the Connection that an object refers to. Its error says that the Connection is not ready, and why, or is the
// failure of the Kubernetes API. An object that is being deleted gets the credentials that last worked if the Secret is gone, so that
// a namespace which is deleted with everything in it cleans up and ends.
func (r *Resolver) Account(ctx context.Context, obj client.Object, ref v1alpha1.ConnectionReference) (*Account, error) {
	deleting := !obj.GetDeletionTimestamp().IsZero()
	connection := &v1alpha1.Connection{}
	err := r.Connections.Get(ctx, types.NamespacedName{Namespace: obj.GetNamespace(), Name: ref.Name}, connection)
	switch {
	case apierrors.IsNotFound(err):
		return nil, notReady(ref.Name, " does not exist in this namespace", deleting)
	case err != nil:
		return nil, fmt.Errorf("get Connection %s: %w", ref.Name, err)
	case !controllerutil.ContainsFinalizer(connection, v1alpha1.Finalizer):
		// It might go before the objects that use it.
		return nil, notReady(ref.Name, " has not been checked yet", deleting)
	}
	account, err := r.Resolve(ctx, connection)
	outcome, ok := conditions.OutcomeOf(err)
	if !ok {
		return account, err
	}
	if last := r.source(connection.UID).last(); deleting && last != nil {
		return last, nil
	}
	return nil, notReady(ref.Name, ": "+outcome.Message, deleting)
}

// SameEndpoint tells whether the Connections of two objects mean the same service. One that does not exist may mean any.
func (r *Resolver) SameEndpoint(ctx context.Context, a client.Object, aRef v1alpha1.ConnectionReference, b client.Object, bRef v1alpha1.ConnectionReference) (bool, error) {
	var found [2]string
	for i, key := range []types.NamespacedName{{Namespace: a.GetNamespace(), Name: aRef.Name}, {Namespace: b.GetNamespace(), Name: bRef.Name}} {
		connection := &v1alpha1.Connection{}
		err := r.Connections.Get(ctx, key, connection)
		switch {
		case apierrors.IsNotFound(err):
			return true, nil
		case err != nil:
			return false, fmt.Errorf("get Connection %s: %w", key.Name, err)
		case connection.Spec.AlibabaCloud != nil:
			found[i] = strings.ToLower(strings.TrimSuffix(endpointsOf(connection.Spec.AlibabaCloud).maxCompute, "/"))
		}
	}
	return found[0] == found[1], nil
}

// notReady says why a Connection cannot be used, and to an object that is being deleted, what ways out there are.
func notReady(name, why string, deleting bool) error {
	message := "Connection " + name + why
	if deleting {
		message += "; this object goes when it works again, or with deletionPolicy: Retain, which leaves the cloud as it is"
	}
	return conditions.Wait(v1alpha1.ReasonConnectionNotReady, "%s", message)
}

// last is the account that the Connection stood for when its credentials could last be read, or nil.
func (s *source) last() *Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account
}

// Resolve returns the account that a Connection stands for. Its errors say what is wrong with the Connection.
func (r *Resolver) Resolve(ctx context.Context, connection *v1alpha1.Connection) (*Account, error) {
	s := r.source(connection.UID)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := r.Clock.Now()
	if s.account != nil && s.generation == connection.Generation && now.Sub(s.read) < s.account.lifetime() {
		return s.account, nil
	}
	account, err := r.build(ctx, connection, s)
	if err != nil {
		// The account stays for objects that are being deleted; anybody else has the Connection read again.
		s.read = time.Time{}
		return nil, err
	}
	s.account, s.generation, s.read = account, connection.Generation, now
	return account, nil
}

// sweep drops the Connections that nobody has asked for in a while, for they may be gone, and the accounts that no Connection
// stands for any more: those of Connections that are gone and of credentials that were replaced.
func (r *Resolver) sweep() {
	now, inUse := r.Clock.Now(), map[string]bool{}
	for uid, s := range r.sources {
		if now.Sub(s.used) > sourceLifetime {
			delete(r.sources, uid)
			continue
		}
		inUse[s.key] = true
	}
	maps.DeleteFunc(r.accounts, func(key string, _ *Account) bool { return !inUse[key] })
}

func (r *Resolver) source(uid types.UID) *source {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sources == nil {
		r.sources = map[types.UID]*source{}
	}
	if r.sources[uid] == nil {
		r.sources[uid] = &source{}
	}
	r.sources[uid].used = r.Clock.Now()
	return r.sources[uid]
}

func (r *Resolver) build(ctx context.Context, connection *v1alpha1.Connection, s *source) (*Account, error) {
	spec := connection.Spec.AlibabaCloud
	if spec == nil {
		return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "alibabaCloud is required")
	}
	to := endpointsOf(spec)
	for _, endpoint := range []string{to.maxCompute, to.odps} {
		if err := r.Endpoints.check(endpoint); err != nil {
			return nil, err
		}
	}
	keys, err := r.secret(ctx, connection.Namespace, spec.Credentials.SecretRef.Name)
	if err != nil {
		return nil, err
	}
	return r.account(spec, to, keys, s)
}

// accessKey is the content of an Alibaba Cloud Secret.
type accessKey struct {
	id, secret, token string
}

func (r *Resolver) secret(ctx context.Context, namespace, name string) (accessKey, error) {
	secret := &corev1.Secret{}
	err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return accessKey{}, conditions.Wait(v1alpha1.ReasonSecretNotFound, "Secret %s does not exist in this namespace", name)
	case apierrors.IsForbidden(err):
		return accessKey{}, conditions.Wait(v1alpha1.ReasonSecretNotFound, "the operator may not read Secret %s in this namespace", name)
	case err != nil:
		return accessKey{}, fmt.Errorf("get Secret %s: %w", name, err)
	}
	value := func(key string) string { return strings.TrimSpace(string(secret.Data[key])) }
	keys := accessKey{id: value("accessKeyId"), secret: value("accessKeySecret"), token: value("securityToken")}
	for _, key := range []string{"accessKeyId", "accessKeySecret"} {
		if value(key) == "" {
			return accessKey{}, conditions.Wait(v1alpha1.ReasonSecretNotFound, "Secret %s has no key %s", name, key)
		}
	}
	return keys, nil
}

// account finds or makes the Account of an identity at its endpoints. Two Connections that say the same share it, and with it
// the connections, the rate limit and the lists that have been read.
func (r *Resolver) account(spec *v1alpha1.AlibabaCloudConnection, to endpoints, keys accessKey, s *source) (*Account, error) {
	digest := sha256.Sum256([]byte(strings.Join([]string{spec.Region, to.maxCompute, to.odps, keys.id, keys.secret, keys.token}, "\x00")))
	key := hex.EncodeToString(digest[:])
	limit, burst := limitOf(spec.RateLimits)
	r.mu.Lock()
	defer r.mu.Unlock()
	s.key = key
	if account := r.accounts[key]; account != nil {
		account.refused.Store(false)
		account.limiter.SetLimit(limit)
		account.limiter.SetBurst(burst)
		return account, nil
	}
	account, err := r.newAccount(spec.Region, to, keys, rate.NewLimiter(limit, burst))
	if err != nil {
		return nil, err
	}
	if r.accounts == nil {
		r.accounts = map[string]*Account{}
	}
	r.accounts[key] = account
	r.sweep()
	return account, nil
}

func (r *Resolver) newAccount(region string, to endpoints, keys accessKey, limiter *rate.Limiter) (*Account, error) {
	config := &credential.Config{Type: new("access_key"), AccessKeyId: new(keys.id), AccessKeySecret: new(keys.secret)}
	if keys.token != "" {
		config.Type, config.SecurityToken = new("sts"), new(keys.token)
	}
	credentials, err := credential.NewCredential(config)
	if err != nil {
		return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "the credentials have no usable form")
	}
	c, err := maxcompute.New(maxcompute.Config{
		Region: region, Endpoint: to.maxCompute, ODPSEndpoint: to.odps, Credential: credentials, HTTPClient: r.HTTP, Limiter: limiter,
		Timeout: r.CallTimeout, PollInterval: r.PollInterval,
	})
	if err != nil {
		return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "%v", err)
	}
	return &Account{MaxCompute: c, Endpoint: to.maxCompute, limiter: limiter}, nil
}

func limitOf(limits *v1alpha1.AlibabaCloudRateLimits) (rate.Limit, int) {
	if limits == nil || limits.MaxCompute == nil {
		return defaultQPS, defaultBurst
	}
	qps := int(limits.MaxCompute.QPS)
	return rate.Limit(qps), cmp.Or(int(limits.MaxCompute.Burst), 2*qps)
}
