package connect

import (
	"cmp"
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
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

// alibabaIdentity is an identity of Alibaba Cloud.
type alibabaIdentity struct {
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

func (r *Resolver) identifyAlibaba(ctx context.Context, connection Connection, spec *v1alpha1.AlibabaCloudConnection) (identity, error) {
	who := alibabaIdentity{region: spec.Region, to: endpointsOf(spec), role: spec.AssumeRole, local: !connection.IsCluster()}
	// It may be unset in an object that was stored before the field had its default.
	who.dataWorksVersion = cmp.Or(spec.DataWorksAPIVersion, dataworks.Version2020)
	if spec.Credentials.WorkloadIdentity != nil {
		who.workload = spec.Credentials.WorkloadIdentity.DeepCopy()
		who.workload.Audience = cmp.Or(who.workload.Audience, defaultAudience)
	}
	if err := r.Endpoints.checkAll(who.to, who.opensSession()); err != nil {
		return nil, err
	}
	if err := validate(connection); err != nil {
		return nil, err
	}
	var err error
	switch secret := spec.Credentials.SecretRef; {
	case who.workload != nil:
		who.workload.ServiceAccountNamespace, err = namespaceOf(connection, who.workload.ServiceAccountNamespace)
	case secret != nil:
		var namespace string
		if namespace, err = namespaceOf(connection, secret.Namespace); err == nil {
			who.keys, err = r.alibabaKeys(ctx, namespace, secret.Name, who.local)
		}
	default:
		err = conditions.Stall(v1alpha1.ReasonInvalidSpec, "one of secretRef and workloadIdentity is required")
	}
	return who, err
}

// alibabaKeys reads the keys of a Secret.
func (r *Resolver) alibabaKeys(ctx context.Context, namespace, name string, local bool) (openapi.Keys, error) {
	values, err := r.secret(ctx, namespace, name, local)
	if err != nil {
		return openapi.Keys{}, err
	}
	if err := values.require("accessKeyId", "accessKeySecret"); err != nil {
		return openapi.Keys{}, err
	}
	return openapi.Keys{
		AccessKeyID: values.get("accessKeyId"), AccessKeySecret: values.get("accessKeySecret"), SecurityToken: values.get("securityToken"),
	}, nil
}

// token makes a token of a service account. What it lacks is reported as a missing Secret is: it is looked for again as often.
func (r *Resolver) token(ctx context.Context, who alibabaIdentity) (string, error) {
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
func (w alibabaIdentity) opensSession() bool { return w.workload != nil || w.role != nil }

// openSession opens the session that calls are signed with, and the one that it takes to open that.
func (r *Resolver) openSession(ctx context.Context, service *sts.Client, who alibabaIdentity) (sts.Session, error) {
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
func (w alibabaIdentity) key() string {
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

// account implements identity.
func (w alibabaIdentity) account(r *Resolver, limits rateLimits) (*Account, error) {
	keys := permanent(w.keys)
	if w.opensSession() {
		service, err := sts.New(sts.Config{Endpoint: w.to.sts, HTTPClient: r.HTTP, Observer: r.Observer, Timeout: r.CallTimeout, Now: r.Clock.Now})
		if err != nil {
			return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "%v", err)
		}
		keys = temporary(func(ctx context.Context) (opened[openapi.Keys], error) {
			session, err := r.openSession(ctx, service, w)
			return opened[openapi.Keys]{session.Keys, session.Expiration}, err
		}, refusedLifetime)
	}
	account := &Account{
		region: w.region, Endpoint: w.to.maxCompute, DataWorksEndpoint: w.to.dataWorks, DataWorksVersion: w.dataWorksVersion, Identity: w.fingerprint(), credential: keys,
		limiters: limiters{
			maxCompute: r.limiter(w.principal("MaxCompute", w.to.maxCompute), limits.maxCompute),
			dataWorks:  r.limiter(w.principal("DataWorks", w.to.dataWorks), limits.dataWorks),
		},
	}
	account.dataWorks = dataWorksClients{allowed: r.Endpoints, config: dataworks.Config{
		Endpoint: w.to.dataWorks, Credential: alibabaCredential{keys}, HTTPClient: r.HTTP, Limiter: account.limiters.dataWorks,
		Observer: r.Observer, Timeout: r.CallTimeout,
	}}
	var err error
	account.MaxCompute, err = maxcompute.New(maxcompute.Config{
		Region: w.region, Endpoint: w.to.maxCompute, ODPSEndpoint: w.to.odps, Credential: alibabaCredential{keys}, HTTPClient: r.HTTP,
		Limiter: account.limiters.maxCompute, Observer: r.Observer, Timeout: r.CallTimeout, PollInterval: r.PollInterval,
	})
	if err != nil {
		return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "%v", err)
	}
	return account, nil
}

// alibabaCredential implements openapi.Credential.
type alibabaCredential struct{ *credential[openapi.Keys] }

// Keys implements openapi.Credential.
func (c alibabaCredential) Keys() openapi.Keys { return c.present() }

// principal is the same for connections that a service knows as the same identity, which shares one quota: that of the RAM role whose
// session signs, however it was opened, or else that of the access key. The secret is part of it so that nobody can slow down an
// identity whose access key he knows only by its id.
func (w alibabaIdentity) principal(service, endpoint string) string {
	endpoint = ServiceOf(endpoint, w.region)
	switch {
	case w.role != nil:
		return digest(service, endpoint, "role", w.role.RoleARN)
	case w.workload != nil:
		return digest(service, endpoint, "role", w.workload.RoleARN)
	}
	return digest(service, endpoint, "key", w.keys.AccessKeyID, w.keys.AccessKeySecret)
}

// fingerprint is short, and the same for whoever the service takes for the same: a RAM role however its session was opened, or a key.
func (w alibabaIdentity) fingerprint() string {
	switch {
	case w.role != nil:
		return digest("role", w.role.RoleARN)[:16]
	case w.workload != nil:
		return digest("role", w.workload.RoleARN)[:16]
	}
	return digest("key", w.keys.AccessKeyID)[:16]
}

// rateLimits are those of a connection.
type rateLimits struct{ maxCompute, dataWorks rateLimit }

// CallsPerSecond returns how many calls to MaxCompute a connection allows.
func CallsPerSecond(connection Connection) int { return limitsOf(connection).maxCompute.qps }

func limitsOf(connection Connection) rateLimits {
	limits := rateLimits{rateLimit{qps: defaultQPS, burst: defaultBurst}, rateLimit{qps: defaultDataWorksQPS, burst: defaultDataWorksBurst}}
	spec := connection.GetConnectionSpec().AlibabaCloud
	if spec == nil || spec.RateLimits == nil {
		return limits
	}
	given := spec.RateLimits
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
