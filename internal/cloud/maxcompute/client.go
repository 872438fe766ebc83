// Package maxcompute is a client for roles and their permissions in Alibaba Cloud MaxCompute: the OpenAPI 2022-01-04, and for
// what it cannot change, the security statements of the ODPS REST service. It returns the project's own types, classifies
// every failure as a cloud.Error, makes one attempt per call and leaves retries to its caller.
package maxcompute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	credential "github.com/aliyun/credentials-go/credentials"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// Config is what a Client needs.
type Config struct {
	// Region signs statements with signature V4; empty means V2.
	Region string
	// Endpoint is the base URL of the OpenAPI, such as https://maxcompute.cn-hangzhou.aliyuncs.com.
	Endpoint string
	// ODPSEndpoint is the base URL of the ODPS REST service, such as https://service.cn-hangzhou.maxcompute.aliyun.com/api.
	ODPSEndpoint string
	// Credential gives the keys, asked once per request.
	Credential credential.Credential
	// HTTPClient is shared by all clients of the process.
	HTTPClient *http.Client
	// Limiter is shared by all clients of one account. It may be nil.
	Limiter Limiter
	// Timeout bounds one call, the wait for the limiter left out; 0 means 30 s.
	Timeout time.Duration
	// PollInterval lies between two looks at an asynchronous statement; 0 means 1 s.
	PollInterval time.Duration
	// MaxBody bounds what is read of one answer; 0 means 64 MiB, which holds the list of 100,000 roles many times.
	MaxBody int64
}

// Limiter delays calls to a permitted rate, as rate.Limiter does.
type Limiter interface {
	Wait(ctx context.Context) error
}

// Client talks to MaxCompute for one account. It is safe for concurrent use.
type Client struct {
	config   Config
	openAPI  *openapi.Client
	basePath string
	odps     *url.URL
	lists    roleLists
}

// New makes a Client. It fails only if an endpoint is not a URL.
func New(config Config) (*Client, error) {
	if config.Timeout == 0 {
		config.Timeout = 30 * time.Second
	}
	if config.PollInterval == 0 {
		config.PollInterval = time.Second
	}
	if config.MaxBody == 0 {
		config.MaxBody = 64 << 20
	}
	odps, err := parseEndpoint(config.ODPSEndpoint)
	if err != nil {
		return nil, err
	}
	endpoint, err := parseEndpoint(config.Endpoint)
	if err != nil {
		return nil, err
	}
	c := &Client{config: config, odps: odps, basePath: endpoint.EscapedPath()}
	if c.openAPI, err = newOpenAPI(endpoint, config); err != nil {
		return nil, err
	}
	return c, nil
}

func parseEndpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(endpoint, "/"))
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("endpoint %q is not a URL", endpoint)
	}
	return u, nil
}

// NewHTTPClient makes the client that all accounts of a process share. It never follows a redirect, for that would carry a
// signed request to another host.
func NewHTTPClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library documents the type
	transport.MaxIdleConns = 256
	transport.MaxIdleConnsPerHost = 64
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is an HTTP answer read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	// secrets are what the request carried and no error may repeat.
	secrets []string
}

// send makes one HTTP request and reads the answer. Its errors are transport errors.
func (c *Client) send(request *http.Request) (*answer, error) {
	response, err := c.config.HTTPClient.Do(request) //nolint:gosec // the endpoint has passed connect.EndpointPolicy
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, c.config.MaxBody+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > c.config.MaxBody {
		return nil, errTooLarge
	}
	return &answer{status: response.StatusCode, header: response.Header, body: body, secrets: secretsOf(request)}, nil
}

// errTooLarge says that an answer was longer than Config.MaxBody.
var errTooLarge = errors.New("the answer is too large")

// wait takes a token of the account's limiter.
func (c *Client) wait(ctx context.Context, op string) error {
	if c.config.Limiter == nil {
		return nil
	}
	if err := c.config.Limiter.Wait(ctx); err != nil {
		return &cloud.Error{Code: cloud.RemoteUnavailable, Op: op, Message: "not sent: the account's rate limit leaves no room in time", Throttled: true, Err: err}
	}
	return nil
}

// transportError describes a request that got no answer, in words that are the same from one attempt to the next: the texts
// of the net package hold ports and addresses that change.
func transportError(ctx context.Context, op string, err error) error {
	e := &cloud.Error{Code: cloud.RemoteUnavailable, Op: op, Err: err}
	var dns *net.DNSError
	var opError *net.OpError
	switch {
	case errors.Is(err, errTooLarge):
		e.Code, e.Message = cloud.UnexpectedResponse, errTooLarge.Error()
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		e.Message, e.Err = "no answer in time", errors.Join(ctx.Err(), err)
	case errors.As(err, &dns):
		e.Message = "the host name " + dns.Name + " cannot be resolved"
	case errors.As(err, &opError) && opError.Op == "dial":
		e.Message = "no connection to the endpoint"
	case strings.Contains(err.Error(), "tls:") || strings.Contains(err.Error(), "x509:") || strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		e.Message = "the endpoint's TLS certificate or protocol was not accepted"
	default:
		e.Message = "the connection was lost before an answer arrived"
	}
	return e
}
