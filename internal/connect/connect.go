// Package connect turns Connections into cloud clients: it reads their credentials, checks their endpoints, and hands out one client
// and one rate limiter per account, however many objects use it.
package connect

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/insight"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// How long credentials that were read or asked for are used without that being done again: normally, and while a service refuses
// them. Secrets are not watched, for that would need the right to read every Secret of the cluster.
const (
	secretLifetime  = 45 * time.Second
	refusedLifetime = 5 * time.Second
)

// sourceLifetime is how long a Connection is kept that nobody asks for: longer than the usual time between two looks at an object.
const sourceLifetime = time.Hour

// sweepInterval is how often it is looked for what may be dropped.
const sweepInterval = time.Minute

// Resolver finds the client for a Connection. It is safe for concurrent use.
type Resolver struct {
	// Connections is read through the manager's cache, and so are Namespaces; Secrets without one.
	Connections, Secrets client.Reader
	// Namespaces are those whose Connections the cache has, if not of all. Others are read past it, to learn what objects there own.
	Namespaces []string
	// Tokens makes tokens of service accounts.
	Tokens    Tokens
	Endpoints EndpointPolicy
	HTTP      *http.Client
	Clock     clock.WithDelayedExecution
	// Observer is told of all calls to cloud services. It may be nil.
	Observer openapi.Observer
	// CallTimeout and PollInterval are passed on to the clients; 0 means their defaults.
	CallTimeout, PollInterval time.Duration

	mu       sync.Mutex
	sources  map[types.UID]*source
	accounts map[string]*Account
	limiters map[string]*limiter
	swept    time.Time
}

// Account is one identity at one set of endpoints.
type Account struct {
	// MaxCompute is the client that all objects of the account share; nil for one of Huawei Cloud.
	MaxCompute *maxcompute.Client
	// Insight is the client of DataArts Insight, nil for an account of Alibaba Cloud.
	Insight *insight.Client
	// Endpoint is the base URL of the OpenAPI that the client talks to.
	Endpoint string
	// DataWorksEndpoint is the base URL of DataWorks, empty if there is none.
	DataWorksEndpoint string
	// Identity is the same for Connections whose calls the service attributes to the same RAM user or role. It tells nothing else.
	Identity string
	// DataWorksVersion is the version of its API that the Connection names.
	DataWorksVersion string

	// region is what makes a service of a central endpoint.
	region     string
	credential keyring
	limiters   limiters
	// dataWorks makes the clients of DataWorks that are asked for.
	dataWorks dataWorksClients
	// refused is set when a service refuses the credentials: the Secret may have been rotated.
	refused atomic.Bool
}

// keyring is a credential of any vendor.
type keyring interface {
	ensure(ctx context.Context, clock clock.PassiveClock) error
	refuse()
}

// Noticed passes an error on. One that says that the credentials were refused makes the next use read the Secret again, and open
// another session.
func (a *Account) Noticed(err error) error {
	if cloud.CodeOf(err) == cloud.AuthenticationFailed {
		a.refused.Store(true)
		a.credential.refuse()
	}
	return err
}

func (a *Account) lifetime() time.Duration {
	if a.refused.Load() {
		return refusedLifetime
	}
	return secretLifetime
}

// open makes sure that the account has keys to sign with.
func (a *Account) open(ctx context.Context, clock clock.PassiveClock) error {
	err := a.credential.ensure(ctx, clock)
	if cloud.CodeOf(err) == cloud.AuthenticationFailed {
		// It is the keys of the Secret that were refused.
		a.refused.Store(true)
	}
	return err
}

// source is what was last made of one Connection.
type source struct {
	// turn lets one caller read the Secret while the others wait. It guards what follows.
	turn       turn
	generation int64
	read       time.Time
	account    *Account

	// last is the account that the Connection stood for when it could last be used.
	last atomic.Pointer[Account]

	// The Resolver's own lock guards these: when the source was last asked for, the key of its account, and the limiters that it has laid
	// claim to.
	used    time.Time
	key     string
	claimed limiters
}

// limiters are those of an account, one for each service.
type limiters struct{ maxCompute, dataWorks *limiter }

// Account resolves the Connection or ClusterConnection of Alibaba Cloud that an object refers to, for a project. Its error says that the
// connection is not ready or not allowed, and why, or is the failure of the Kubernetes API. An object that is being deleted gets the
// credentials that last worked if they are gone, so that a namespace which is deleted with everything in it cleans up and ends.
func (r *Resolver) Account(ctx context.Context, obj client.Object, ref v1alpha1.ConnectionReference, project string) (*Account, error) {
	account, err := r.use(ctx, obj, ref, scope{"project", project})
	if err != nil || account.MaxCompute != nil {
		return account, err
	}
	message := ref.String() + " is one of Huawei Cloud, where there is no MaxCompute"
	if !obj.GetDeletionTimestamp().IsZero() {
		message += "; this object goes when it is one of Alibaba Cloud again, or with deletionPolicy: Retain, which leaves the cloud as it is"
	}
	return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "%s", message)
}

// InsightAccount resolves the connection of Huawei Cloud that an object refers to, for a workspace, as Account does.
func (r *Resolver) InsightAccount(ctx context.Context, obj client.Object, ref v1alpha1.ConnectionReference, workspace string) (*Account, error) {
	account, err := r.use(ctx, obj, ref, scope{"workspace", workspace})
	if err == nil && account.Insight == nil {
		return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "%s is one of Alibaba Cloud, where there is no DataArts Insight", ref)
	}
	return account, err
}

// scope is what an object names through a connection.
type scope struct{ kind, name string }

func (r *Resolver) use(ctx context.Context, obj client.Object, ref v1alpha1.ConnectionReference, in scope) (*Account, error) {
	deleting := !obj.GetDeletionTimestamp().IsZero()
	connection, err := r.find(ctx, obj.GetNamespace(), ref)
	switch {
	case apierrors.IsNotFound(err):
		return nil, notReady(ref, missing(ref), deleting)
	case err != nil:
		return nil, fmt.Errorf("get %s: %w", ref, err)
	}
	if err := r.checkAllowed(ctx, connection, obj.GetNamespace(), in, deleting); err != nil {
		return nil, err
	}
	if !controllerutil.ContainsFinalizer(connection, v1alpha1.Finalizer) {
		// It might go before the objects that use it.
		return nil, notReady(ref, " has not been checked yet", deleting)
	}
	account, err := r.Resolve(ctx, connection)
	if err == nil || conditions.IsShutdown(ctx, err) || !conditions.Explains(err) {
		return account, err
	}
	if last := r.source(connection.GetUID()).last.Load(); deleting && last != nil && last.open(ctx, r.Clock) == nil {
		return last, nil
	}
	return nil, notReady(ref, ": "+conditions.FromError(err).Message, deleting)
}

// notReady says why a connection cannot be used, and to an object that is being deleted, what ways out there are.
func notReady(ref v1alpha1.ConnectionReference, why string, deleting bool) error {
	message := ref.String() + why
	if deleting {
		message += "; this object goes when it works again, or with deletionPolicy: Retain, which leaves the cloud as it is"
	}
	return conditions.Wait(v1alpha1.ReasonConnectionNotReady, "%s", message)
}

// Resolve returns the account that a connection stands for. Its errors say what is wrong with the connection.
func (r *Resolver) Resolve(ctx context.Context, connection Connection) (*Account, error) {
	s := r.source(connection.GetUID())
	account, err := r.present(ctx, connection, s)
	if err != nil {
		return nil, err
	}
	if err := account.open(ctx, r.Clock); err != nil {
		return nil, err
	}
	s.last.Store(account)
	// Not before the credentials have turned out to be good: with another's identity in its spec, a Connection could slow down others.
	r.claim(connection, s, account)
	return account, nil
}

// present returns the account of a connection's present spec and credentials, reading them if what was read is too old.
func (r *Resolver) present(ctx context.Context, connection Connection, s *source) (*Account, error) {
	if err := s.turn.take(ctx); err != nil {
		return nil, err
	}
	defer s.turn.give()
	now := r.Clock.Now()
	if s.account != nil && s.generation == connection.GetGeneration() && now.Sub(s.read) < s.account.lifetime() {
		return s.account, nil
	}
	s.account = nil
	who, err := r.identify(ctx, connection)
	if err != nil {
		return nil, err
	}
	account, err := r.account(who, limitsOf(connection), s)
	if err != nil {
		return nil, err
	}
	account.refused.Store(false)
	s.account, s.generation, s.read = account, connection.GetGeneration(), now
	return account, nil
}

// account finds or makes the Account of an identity at its endpoints. Two Connections that say the same share it, and with it the
// session, the rate limit and the lists that have been read.
func (r *Resolver) account(who identity, limits rateLimits, s *source) (*Account, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.key = who.key()
	if account := r.accounts[s.key]; account != nil {
		return account, nil
	}
	account, err := who.account(r, limits)
	if err != nil {
		return nil, err
	}
	if r.accounts == nil {
		r.accounts = map[string]*Account{}
	}
	r.accounts[s.key] = account
	r.sweep()
	return account, nil
}

// limiter finds or makes a limiter. The lock is held.
func (r *Resolver) limiter(key string, limit rateLimit) *limiter {
	if r.limiters[key] == nil {
		if r.limiters == nil {
			r.limiters = map[string]*limiter{}
		}
		r.limiters[key] = newLimiter(r.Clock, limit)
	}
	return r.limiters[key]
}

// claim makes a connection's rate limits hold for its identity, and no longer for the one that it had before.
func (r *Resolver) claim(connection Connection, s *source, account *Account) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sources[connection.GetUID()] != s {
		return // forgotten meanwhile
	}
	uid, limits, before := connection.GetUID(), limitsOf(connection), s.claimed
	s.claimed = account.limiters
	before.maxCompute.replace(uid, s.claimed.maxCompute, limits.maxCompute)
	before.dataWorks.replace(uid, s.claimed.dataWorks, limits.dataWorks)
}

func (s *source) release(uid types.UID) {
	s.claimed.maxCompute.release(uid)
	s.claimed.dataWorks.release(uid)
}

// IsTried reports whether it is known of a connection that its service answers, or that it does not; its calls are refused at once then.
// That of a service without a limiter counts as known.
func (r *Resolver) IsTried(connection types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sources[connection]
	if s == nil || s.last.Load() == nil {
		return false
	}
	all := s.last.Load().limiters
	return all.maxCompute == nil || all.maxCompute.isTried() || all.dataWorks.isTried()
}

// Forget drops what is known of a connection that is gone; its rate limit does not hold any more.
func (r *Resolver) Forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(uid)
	r.sweep()
}

func (r *Resolver) forget(uid types.UID) {
	if s := r.sources[uid]; s != nil {
		s.release(uid)
		delete(r.sources, uid)
	}
}

// source finds or makes what is known of a connection.
func (r *Resolver) source(uid types.UID) *source {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sources == nil {
		r.sources = map[types.UID]*source{}
	}
	if r.sources[uid] == nil {
		r.sources[uid] = &source{turn: newTurn()}
	}
	r.sources[uid].used = r.Clock.Now()
	if r.Clock.Since(r.swept) >= sweepInterval {
		r.sweep()
	}
	return r.sources[uid]
}

// sweep drops the connections that nobody has asked for in a while, for they may be gone, the accounts that no connection stands for
// any more, those of connections that are gone and of credentials that were replaced, and the limiters of such accounts, once they are
// idle.
func (r *Resolver) sweep() {
	r.swept = r.Clock.Now()
	accounts, used := map[string]bool{}, map[*limiter]bool{}
	for uid, s := range r.sources {
		if r.swept.Sub(s.used) > sourceLifetime {
			r.forget(uid)
			continue
		}
		accounts[s.key] = true
	}
	maps.DeleteFunc(r.accounts, func(key string, account *Account) bool {
		if accounts[key] {
			used[account.limiters.maxCompute], used[account.limiters.dataWorks] = true, true
		}
		return !accounts[key]
	})
	maps.DeleteFunc(r.limiters, func(_ string, l *limiter) bool { return !used[l] && l.idle() })
}
