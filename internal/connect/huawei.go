package connect

import (
	"cmp"
	"context"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/iam"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/insight"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// wrongPasswordPause is how long IAM is left alone that has refused a password: five refusals within a quarter of an hour lock the user, for
// people as well. A corrected password is another identity, and does not wait.
const wrongPasswordPause = 5 * time.Minute

// huaweiIdentity is an identity of Huawei Cloud: a key or a token, or the user whom tokens are issued for.
type huaweiIdentity struct {
	projectID string
	// insight and iam are endpoints; iam is empty if it is neither given nor derived.
	insight, iam string
	keys         insight.Credentials
	user         iam.User
}

// identifyHuawei reads a connection's spec and its Secret.
func (r *Resolver) identifyHuawei(ctx context.Context, connection Connection, spec *v1alpha1.HuaweiCloudConnection) (identity, error) {
	who := huaweiIdentity{projectID: spec.ProjectID}
	who.insight, who.iam = huaweiEndpoints(spec)
	if err := r.Endpoints.check(who.insight); err != nil {
		return nil, err
	}
	if given := spec.Endpoints; given != nil && given.IAM != "" {
		if err := r.Endpoints.check(given.IAM); err != nil {
			return nil, err
		}
	}
	if err := validate(connection); err != nil {
		return nil, err
	}
	namespace, err := namespaceOf(connection, spec.Credentials.SecretRef.Namespace)
	if err != nil {
		return nil, err
	}
	values, err := r.secret(ctx, namespace, spec.Credentials.SecretRef.Name, !connection.IsCluster())
	if err != nil {
		return nil, err
	}
	if who, err = who.with(values); err == nil && who.user.Name != "" {
		// One that follows from the region is checked when it is used: keys and tokens never use it.
		err = r.Endpoints.check(who.iam)
	}
	return who, err
}

// huaweiEndpoints derives what is not given from the region.
func huaweiEndpoints(spec *v1alpha1.HuaweiCloudConnection) (insightURL, iamURL string) {
	var given v1alpha1.HuaweiCloudEndpoints
	if spec.Endpoints != nil {
		given = *spec.Endpoints
	}
	if spec.Region == "" {
		return given.DataArtsInsight, given.IAM
	}
	return cmp.Or(given.DataArtsInsight, "https://dataartsinsight."+spec.Region+".myhuaweicloud.com"), cmp.Or(given.IAM, "https://iam."+spec.Region+".myhuaweicloud.com")
}

// with takes one kind of credentials from a Secret. Of several, nobody could tell which was meant.
func (w huaweiIdentity) with(values secretValues) (huaweiIdentity, error) {
	key, token, user := values.get("accessKey") != "", values.get("token") != "", values.get("userName") != ""
	switch {
	case key && !token && !user:
		w.keys = insight.Credentials{AccessKey: values.get("accessKey"), SecretKey: values.get("secretKey"), SecurityToken: values.get("securityToken")}
		return w, values.require("secretKey")
	case token && !key && !user:
		w.keys = insight.Credentials{Token: values.get("token")}
		return w, nil
	case user && !key && !token:
		w.user = iam.User{Domain: values.get("domainName"), Name: values.get("userName"), Password: values.get("password")}
		if w.iam == "" {
			return w, conditions.Stall(v1alpha1.ReasonInvalidSpec, "endpoints.iam is required without a region, for a user's password")
		}
		return w, values.require("domainName", "password")
	}
	return w, conditions.Wait(v1alpha1.ReasonSecretNotFound,
		"Secret %s must have either the keys accessKey and secretKey, or the key token, or the keys domainName, userName and password", values.name)
}

// key implements identity.
func (w huaweiIdentity) key() string {
	return digest("huawei", w.projectID, w.insight, w.iam, w.keys.AccessKey, w.keys.SecretKey, w.keys.SecurityToken, w.keys.Token, w.user.Domain, w.user.Name, w.user.Password)
}

// account implements identity.
func (w huaweiIdentity) account(r *Resolver, _ rateLimits) (*Account, error) {
	keys := permanent(w.keys)
	if w.user.Name != "" {
		service, err := iam.New(iam.Config{Endpoint: w.iam, HTTPClient: r.HTTP, Observer: r.Observer, Timeout: r.CallTimeout, Now: r.Clock.Now})
		if err != nil {
			return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "%v", err)
		}
		keys = temporary(func(ctx context.Context) (opened[insight.Credentials], error) {
			token, err := service.CreateToken(ctx, w.user, w.projectID)
			return opened[insight.Credentials]{insight.Credentials{Token: token.Value}, token.Expiration}, err
		}, wrongPasswordPause)
	}
	client, err := insight.New(insight.Config{
		Endpoint: w.insight, ProjectID: w.projectID, Credential: huaweiCredential{keys}, HTTPClient: r.HTTP, Observer: r.Observer,
		Timeout: r.CallTimeout,
	})
	if err != nil {
		return nil, conditions.Stall(v1alpha1.ReasonInvalidSpec, "%v", err)
	}
	return &Account{Insight: client, Endpoint: w.insight, credential: keys}, nil
}

// huaweiCredential implements insight.Credential.
type huaweiCredential struct {
	*credential[insight.Credentials]
}

// Credentials implements insight.Credential.
func (c huaweiCredential) Credentials() insight.Credentials { return c.present() }
