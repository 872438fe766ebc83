// Package sts opens sessions of RAM roles at Alibaba Cloud's Security Token Service, version 2015-04-01.
package sts

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

const (
	// service is what messages call the service.
	service    = "the Security Token Service"
	apiVersion = "2015-04-01"
	// maxBody is many times an answer.
	maxBody = 1 << 20
)

// Config is what a Client needs.
type Config struct {
	// Endpoint is the base URL of the service, such as https://sts.cn-hangzhou.aliyuncs.com.
	Endpoint string
	// HTTPClient is shared by all clients of the process.
	HTTPClient *http.Client
	// Observer is told of calls to the service STS. It may be nil.
	Observer openapi.Observer
	// Timeout bounds one call; 0 means 10 s.
	Timeout time.Duration
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// Client opens sessions. It is safe for concurrent use.
type Client struct{ config Config }

// New makes a Client. It fails only if the endpoint is not a URL.
func New(config Config) (*Client, error) {
	if _, err := openapi.ParseEndpoint(config.Endpoint); err != nil {
		return nil, err
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Client{config}, nil
}

// Session is a session of a RAM role.
type Session struct {
	Keys openapi.Keys
	// Expiration is when the service no longer accepts the keys.
	Expiration time.Time
}

// AssumeRole says which session is opened with the keys of another identity.
type AssumeRole struct {
	RoleARN string
	// SessionName shows up in the account's audit trail.
	SessionName string
	// ExternalID is what the RAM role asks for, if it does.
	ExternalID string
	Duration   time.Duration
}

// AssumeRoleWithOIDC says which session is opened with a token of an identity provider.
type AssumeRoleWithOIDC struct {
	RoleARN, ProviderARN string
	Token                string
	SessionName          string
	Duration             time.Duration
}

// AssumeRole opens a session. Vendor documentation: STS AssumeRole.
func (c *Client) AssumeRole(ctx context.Context, source openapi.Keys, role AssumeRole) (Session, error) {
	query := map[string]any{"RoleArn": role.RoleARN, "RoleSessionName": role.SessionName, "DurationSeconds": seconds(role.Duration)}
	if role.ExternalID != "" {
		query["ExternalId"] = role.ExternalID
	}
	return c.open(ctx, source, openapi.Call{Action: "AssumeRole", Op: op(role.RoleARN), Query: query})
}

// AssumeRoleWithOIDC opens a session. Vendor documentation: STS AssumeRoleWithOIDC.
func (c *Client) AssumeRoleWithOIDC(ctx context.Context, role AssumeRoleWithOIDC) (Session, error) {
	return c.open(ctx, nil, openapi.Call{
		Action: "AssumeRoleWithOIDC", Op: op(role.RoleARN), Anonymous: true, Secrets: []string{role.Token},
		// Not in the URL, which whatever lies between may log.
		Form: map[string]any{
			"RoleArn": role.RoleARN, "OIDCProviderArn": role.ProviderARN, "OIDCToken": role.Token,
			"RoleSessionName": role.SessionName, "DurationSeconds": seconds(role.Duration),
		},
	})
}

func op(roleARN string) string { return "open a session of RAM role " + roleARN }

func seconds(d time.Duration) int { return int(d / time.Second) }

// open makes a call. A client of the transport costs nothing, so each call has one with its own keys.
func (c *Client) open(ctx context.Context, source openapi.Credential, call openapi.Call) (Session, error) {
	client, err := openapi.New(openapi.Config{
		Version: apiVersion, Endpoint: c.config.Endpoint, Credential: source,
		Transport: openapi.Transport{Service: "STS", Observer: c.config.Observer, HTTPClient: c.config.HTTPClient, Timeout: cmp.Or(c.config.Timeout, 10*time.Second), MaxBody: maxBody},
	})
	if err != nil {
		return Session{}, err
	}
	call.Method = http.MethodPost
	var session Session
	err = client.Do(ctx, call, func(a *openapi.Answer) error {
		session, err = c.read(call.Op, a)
		return err
	})
	return session, err
}

// codes are the service's own.
var codes = openapi.Codes{
	// The RAM role does not trust the identity provider or the service account.
	{Pattern: "authenticationfail.nopermission", Class: cloud.PermissionDenied},
	// The token was made a moment ago.
	{Pattern: "authenticationfail.oidctoken.expired", Class: cloud.AuthenticationFailed, Message: "the service takes a new token of the service account for expired: the clock of the cluster is off"},
	{Pattern: "authenticationfail*", Class: cloud.AuthenticationFailed, Message: "the service refused the token of the service account"},
	// A RAM role that does not exist is a mistake in what was asked for. The credentials are in order, and reading them again, as is done
	// when they are refused, would not help. It is not NotFound either, which would mean that something in MaxCompute is absent.
	{Pattern: "entitynotexist*", Class: cloud.RemoteRejected},
}

// answer is what the service says, and what its gateway says of a failure. Names are matched without case.
type answer struct {
	Code, Message, RequestID string
	Credentials              struct {
		AccessKeyID, AccessKeySecret, SecurityToken, Expiration string
	}
}

// read takes the session out of an answer.
func (c *Client) read(op string, a *openapi.Answer) (Session, error) {
	var document answer
	switch parsed := json.Unmarshal(a.Body, &document) == nil; {
	case !parsed:
		return Session{}, a.Unreadable(op, service)
	case a.Status >= 300 || document.Code != "":
		return Session{}, a.Failure(openapi.Failure{
			Op: op, Code: document.Code, Message: document.Message, RequestID: document.RequestID, InsideSuccess: a.Status < 300, Codes: codes,
		})
	}
	unexpected := func(message string) (Session, error) {
		return Session{}, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, HTTPStatus: a.Status, RequestID: document.RequestID, Message: message}
	}
	given := document.Credentials
	keys := openapi.Keys{AccessKeyID: strings.TrimSpace(given.AccessKeyID), AccessKeySecret: strings.TrimSpace(given.AccessKeySecret), SecurityToken: strings.TrimSpace(given.SecurityToken)}
	if keys.AccessKeyID == "" || keys.AccessKeySecret == "" || keys.SecurityToken == "" {
		return unexpected("the answer holds no credentials")
	}
	expiration, err := time.Parse(time.RFC3339, given.Expiration)
	switch {
	case err != nil:
		return unexpected("the answer does not say how long the session lasts")
	case !expiration.After(c.config.Now()):
		return unexpected("the session has ended before it began: the clock of this machine is off")
	}
	return Session{Keys: keys, Expiration: expiration}, nil
}
