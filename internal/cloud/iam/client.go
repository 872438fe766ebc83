// Package iam gets tokens of users from Huawei Cloud's Identity and Access Management, version 3.
package iam

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/huawei"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// maxBody is many times an answer.
const maxBody = 1 << 20

// service has the codes that come with a status of the same number. Vendor documentation: IAM API Reference, Error Codes.
var service = huawei.Service{Name: "IAM", Codes: openapi.Codes{
	// So it answers to a project that is not there or not the user's, too.
	{Pattern: "401", Class: cloud.AuthenticationFailed, Message: "the service refused the user, the password or the project"},
	{Pattern: "403", Class: cloud.PermissionDenied},
}}

// Config is what a Client needs.
type Config struct {
	// Endpoint is the base URL of the service, such as https://iam.cn-southwest-2.myhuaweicloud.com.
	Endpoint string
	// HTTPClient is shared by all clients of the process. It must not follow redirects, as that of openapi.NewHTTPClient does not.
	HTTPClient *http.Client
	// Observer is told of calls to the service IAM. It may be nil.
	Observer openapi.Observer
	// Timeout bounds one call; 0 means 10 s.
	Timeout time.Duration
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

// Client gets tokens. It is safe for concurrent use.
type Client struct {
	config Config
	url    string
}

// New makes a Client. It fails only if the endpoint is not a URL.
func New(config Config) (*Client, error) {
	endpoint, err := openapi.ParseEndpoint(config.Endpoint)
	if err != nil {
		return nil, err
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	target := endpoint.JoinPath("v3", "auth", "tokens")
	// The catalogue of services is many times as long as the rest of the answer.
	target.RawQuery = "nocatalog=true"
	return &Client{config, target.String()}, nil
}

// User is who a token is for.
type User struct {
	// Domain is the name of the account that the user belongs to.
	Domain, Name string
	Password     string
}

// Format implements fmt.Formatter: whoever prints a user sees no password.
func (User) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "…") } //nolint:errcheck // there is nobody to tell

// Token opens what its user may use, in one project.
type Token struct {
	Value string
	// Expiration is when the services no longer accept the token; the service gives 24 hours. They may refuse it earlier, for instance
	// because the password has changed.
	Expiration time.Time
}

// Format implements fmt.Formatter: whoever prints a token sees none.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "…") } //nolint:errcheck // there is nobody to tell

// CreateToken gets a token of a user for a project, which is named by its id. Its errors are of type *cloud.Error and hold neither the
// password nor the token. Vendor documentation: KeystoneCreateUserTokenByPassword.
func (c *Client) CreateToken(ctx context.Context, user User, projectID string) (Token, error) {
	op := fmt.Sprintf("get a token of user %s of account %s for project %s", user.Name, user.Domain, projectID)
	transport := openapi.Transport{Service: "IAM", Observer: c.config.Observer, HTTPClient: c.config.HTTPClient, Timeout: cmp.Or(c.config.Timeout, 10*time.Second), MaxBody: maxBody}
	var token Token
	err := transport.Do(ctx, "KeystoneCreateUserTokenByPassword", op, func(ctx context.Context) (*openapi.Answer, error) {
		request, err := c.request(ctx, user, projectID)
		if err != nil {
			return nil, err
		}
		answer, err := transport.Send(request)
		if err != nil {
			return nil, err
		}
		answer.Hide(user.Password, answer.Header.Get("X-Subject-Token"))
		return answer, nil
	}, func(a *openapi.Answer) (err error) {
		token, err = c.read(op, a)
		return err
	})
	return token, err
}

func (c *Client) request(ctx context.Context, user User, projectID string) (*http.Request, error) {
	type object map[string]any
	who := object{"name": user.Name, "password": user.Password, "domain": object{"name": user.Domain}}
	body, err := json.Marshal(object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{"user": who}},
		"scope":    object{"project": object{"id": projectID}},
	}})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "maxcompute-operator")
	return request, nil
}

// answer is the part of a success that is not in its header.
type answer struct {
	Token struct {
		ExpiresAt string `json:"expires_at"`
	} `json:"token"`
}

// read takes the token out of an answer.
func (c *Client) read(op string, a *openapi.Answer) (Token, error) {
	document, _ := huawei.Parse(a.Body)
	var body answer
	if a.Status != http.StatusCreated || document.Failed || json.Unmarshal(a.Body, &body) != nil {
		return Token{}, service.Failure(a, op)
	}
	unexpected := func(message string) (Token, error) {
		return Token{}, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, HTTPStatus: a.Status, RequestID: a.Header.Get("X-Request-Id"), Message: message}
	}
	value := strings.TrimSpace(a.Header.Get("X-Subject-Token"))
	expiration, err := time.Parse(time.RFC3339, body.Token.ExpiresAt)
	switch {
	case value == "":
		return unexpected("the answer holds no token")
	case err != nil:
		return unexpected("the answer does not say how long the token lasts")
	case !expiration.After(c.config.Now()):
		return unexpected("the token has ended before it began: the clock of this machine is off")
	}
	return Token{Value: value, Expiration: expiration}, nil
}
