package connect

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/sts"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

const (
	// defaultSessionName shows up in the account's audit trail.
	defaultSessionName = "maxcompute-operator"
	// defaultAudience is the one that the vendor's own components ask for.
	defaultAudience = "sts.aliyuncs.com"
	// tokenDuration is how long a service account's token is good for: the least that the Kubernetes API grants. It is exchanged at once.
	tokenDuration = 10 * time.Minute
)

// The defaults of rateLimits. MaxCompute documents no limit, DataWorks 5 calls a second; whether that many may come at once is not
// documented.
const (
	defaultQPS   = 20
	defaultBurst = 40

	defaultDataWorksQPS   = 4
	defaultDataWorksBurst = 4
)

// Tokens makes tokens of service accounts, as the client of the subresource "token" does.
type Tokens interface {
	Create(ctx context.Context, obj client.Object, subResource client.Object, opts ...client.SubResourceCreateOption) error
}

// identity is whom a connection means, and where.
type identity struct {
	region string
	to     endpoints
	// dataWorksVersion is the version of the DataWorks API that the connection names.
	dataWorksVersion string
	// keys are those of the Secret, or else workload says whose token opens a session; its namespace is set.
	keys     openapi.Keys
	workload *v1alpha1.WorkloadIdentity
	// role, if it is set, is assumed with either.
	role *v1alpha1.AssumeRole
	// local tells that Secret and service account are in the connection's own namespace.
	local bool
}

// identify reads a connection's spec and its Secret.
func (r *Resolver) identify(ctx context.Context, connection Connection) (identity, error) {
	spec := connection.GetConnectionSpec().AlibabaCloud
	if spec == nil {
		return identity{}, conditions.Stall(v1alpha1.ReasonInvalidSpec, "alibabaCloud is required")
	}
	who := identity{region: spec.Region, to: endpointsOf(spec), role: spec.AssumeRole, local: !connection.IsCluster()}
	// It may be unset in an object that was stored before the field had its default.
	who.dataWorksVersion = cmp.Or(spec.DataWorksAPIVersion, dataworks.Version2020)
	if spec.Credentials.WorkloadIdentity != nil {
		who.workload = spec.Credentials.WorkloadIdentity.DeepCopy()
		who.workload.Audience = cmp.Or(who.workload.Audience, defaultAudience)
	}
	if err := r.Endpoints.checkAll(who.to, who.opensSession()); err != nil {
		return identity{}, err
	}
	if err := validate(connection); err != nil {
		return identity{}, err
	}
	var err error
	switch secret := spec.Credentials.SecretRef; {
	case who.workload != nil:
		who.workload.ServiceAccountNamespace, err = namespaceOf(connection, who.workload.ServiceAccountNamespace)
	case secret != nil:
		var namespace string
		if namespace, err = namespaceOf(connection, secret.Namespace); err == nil {
			who.keys, err = r.secret(ctx, namespace, secret.Name, who.local)
		}
	default:
		err = conditions.Stall(v1alpha1.ReasonInvalidSpec, "one of secretRef and workloadIdentity is required")
	}
	return who, err
}

// namespaceOf is where a Secret or service account is: with a Connection, always in its own namespace, whatever the spec says, or its
// author could use those of others.
func namespaceOf(connection Connection, given string) (string, error) {
	switch {
	case !connection.IsCluster():
		return connection.GetNamespace(), nil
	case given == "":
		return "", conditions.Stall(v1alpha1.ReasonInvalidSpec, "a ClusterConnection must name the namespace of its Secret or service account")
	}
	return given, nil
}

// secret reads the keys of a Secret.
func (r *Resolver) secret(ctx context.Context, namespace, name string, local bool) (openapi.Keys, error) {
	secret := &corev1.Secret{}
	err := r.Secrets.Get(unlogged(ctx), client.ObjectKey{Namespace: namespace, Name: name}, secret)
	where := place(namespace, local)
	switch {
	case apierrors.IsNotFound(err):
		return openapi.Keys{}, conditions.Wait(v1alpha1.ReasonSecretNotFound, "Secret %s does not exist in %s", name, where)
	case apierrors.IsForbidden(err):
		return openapi.Keys{}, conditions.Wait(v1alpha1.ReasonSecretNotFound, "the operator may not read Secret %s in %s", name, where)
	case err != nil:
		return openapi.Keys{}, fmt.Errorf("get Secret %s: %w", name, err)
	}
	value := func(key string) string { return strings.TrimSpace(string(secret.Data[key])) }
	for _, key := range []string{"accessKeyId", "accessKeySecret"} {
		if value(key) == "" {
			return openapi.Keys{}, conditions.Wait(v1alpha1.ReasonSecretNotFound, "Secret %s has no key %s", name, key)
		}
	}
	return openapi.Keys{AccessKeyID: value("accessKeyId"), AccessKeySecret: value("accessKeySecret"), SecurityToken: value("securityToken")}, nil
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

// token makes a token of a service account. What it lacks is reported as a missing Secret is: it is looked for again as often.
func (r *Resolver) token(ctx context.Context, who identity) (string, error) {
	w := who.workload
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.ServiceAccountNamespace, Name: w.ServiceAccountName}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: []string{w.Audience}, ExpirationSeconds: new(int64(tokenDuration / time.Second)),
	}}
	err := r.Tokens.Create(unlogged(ctx), account, request)
	where := place(w.ServiceAccountNamespace, who.local)
	switch {
	case apierrors.IsNotFound(err):
		return "", conditions.Wait(v1alpha1.ReasonSecretNotFound, "service account %s does not exist in %s", w.ServiceAccountName, where)
	case apierrors.IsForbidden(err):
		return "", conditions.Wait(v1alpha1.ReasonSecretNotFound, "the operator may not make tokens of service account %s in %s", w.ServiceAccountName, where)
	case err != nil:
		return "", fmt.Errorf("make a token of service account %s: %w", w.ServiceAccountName, err)
	case request.Status.Token == "":
		return "", fmt.Errorf("make a token of service account %s: the answer holds none", w.ServiceAccountName)
	}
	return request.Status.Token, nil
}

// opensSession tells whether calls are signed with the keys of a session.
func (w identity) opensSession() bool { return w.workload != nil || w.role != nil }

// openSession opens the session that calls are signed with, and the one that it takes to open that.
func (r *Resolver) openSession(ctx context.Context, service *sts.Client, who identity) (sts.Session, error) {
	session := sts.Session{Keys: who.keys}
	if w := who.workload; w != nil {
		token, err := r.token(ctx, who)
		if err != nil {
			return sts.Session{}, err
		}
		session, err = service.AssumeRoleWithOIDC(ctx, sts.AssumeRoleWithOIDC{
			RoleARN: w.RoleARN, ProviderARN: w.OIDCProviderARN, Token: token, SessionName: defaultSessionName, Duration: sessionDuration,
		})
		if err != nil {
			return sts.Session{}, err
		}
	}
	if who.role == nil {
		return session, nil
	}
	return service.AssumeRole(ctx, session.Keys, sts.AssumeRole{
		RoleARN: who.role.RoleARN, SessionName: cmp.Or(who.role.SessionName, defaultSessionName), ExternalID: who.role.ExternalID, Duration: sessionDuration,
	})
}

// key is the same for connections that mean the same in every respect. It says nothing of the secrets that it is made from.
func (w identity) key() string {
	parts := []string{
		w.region, w.to.maxCompute, w.to.odps, w.to.sts, w.to.dataWorks, w.dataWorksVersion, w.keys.AccessKeyID, w.keys.AccessKeySecret, w.keys.SecurityToken,
	}
	if w.workload != nil {
		parts = append(parts, "workload", w.workload.RoleARN, w.workload.OIDCProviderARN, w.workload.ServiceAccountNamespace, w.workload.ServiceAccountName, w.workload.Audience)
	}
	if w.role != nil {
		parts = append(parts, "role", w.role.RoleARN, w.role.SessionName, w.role.ExternalID)
	}
	return digest(parts...)
}

// principal is the same for connections that a service knows as the same identity, which shares one quota: that of the RAM role whose
// session signs, however it was opened, or else that of the access key. The secret is part of it so that nobody can slow down an
// identity whose access key he knows only by its id.
func (w identity) principal(service, endpoint string) string {
	endpoint = strings.ToLower(strings.TrimSuffix(endpoint, "/"))
	switch {
	case w.role != nil:
		return digest(service, endpoint, "role", w.role.RoleARN)
	case w.workload != nil:
		return digest(service, endpoint, "role", w.workload.RoleARN)
	}
	return digest(service, endpoint, "key", w.keys.AccessKeyID, w.keys.AccessKeySecret)
}

// fingerprint is short, and the same for whoever the service takes for the same: a RAM role however its session was opened, or a key.
func (w identity) fingerprint() string {
	switch {
	case w.role != nil:
		return digest("role", w.role.RoleARN)[:16]
	case w.workload != nil:
		return digest("role", w.workload.RoleARN)[:16]
	}
	return digest("key", w.keys.AccessKeyID)[:16]
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// rateLimits are those of a connection.
type rateLimits struct{ maxCompute, dataWorks rateLimit }

func limitsOf(connection Connection) rateLimits {
	limits := rateLimits{rateLimit{qps: defaultQPS, burst: defaultBurst}, rateLimit{qps: defaultDataWorksQPS, burst: defaultDataWorksBurst}}
	given := connection.GetConnectionSpec().AlibabaCloud.RateLimits
	if given == nil {
		return limits
	}
	if l := given.MaxCompute; l != nil {
		limits.maxCompute = rateLimit{qps: int(l.QPS), burst: cmp.Or(int(l.Burst), 2*int(l.QPS))}
	}
	if l := given.DataWorks; l != nil {
		limits.dataWorks = rateLimit{
			qps: cmp.Or(int(l.QPS), defaultDataWorksQPS), burst: cmp.Or(int(l.Burst), defaultDataWorksBurst), perDay: int(l.CallsPerDay),
		}
	}
	return limits
}
