// Package maxcompute is a client for roles, their permissions and packages in Alibaba Cloud MaxCompute: the OpenAPI 2022-01-04, and for
// what it cannot change, the security statements of the ODPS REST service. It returns the project's own types, classifies
// every failure as a cloud.Error, makes one attempt per call and leaves retries to its caller.
package maxcompute

import (
	"cmp"
	"net/http"
	"net/url"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
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
	Credential openapi.Credential
	// HTTPClient is shared by all clients of the process.
	HTTPClient *http.Client
	// Limiter is shared by all clients of one account. It may be nil.
	Limiter openapi.Limiter
	// Observer is told of calls to the services MaxCompute and ODPS. It may be nil.
	Observer openapi.Observer
	// Timeout bounds one call, the wait for the limiter left out; 0 means 30 s.
	Timeout time.Duration
	// PollInterval lies between two looks at an asynchronous statement; 0 means 1 s.
	PollInterval time.Duration
	// MaxBody bounds what is read of one answer; 0 means 64 MiB, which holds the list of 100,000 roles many times.
	MaxBody int64
}

// Client talks to MaxCompute for one account. It is safe for concurrent use.
type Client struct {
	config    Config
	transport openapi.Transport
	openAPI   *openapi.Client
	odps      *url.URL
	roles     sharedLists[roleList]
	packages  sharedLists[packageLists]
}

// New makes a Client. It fails only if an endpoint is not a URL.
func New(config Config) (*Client, error) {
	config.PollInterval = cmp.Or(config.PollInterval, time.Second)
	c := &Client{config: config, transport: openapi.Transport{
		Service: "ODPS", Observer: config.Observer,
		HTTPClient: config.HTTPClient, Limiter: config.Limiter, Timeout: cmp.Or(config.Timeout, 30*time.Second), MaxBody: cmp.Or(config.MaxBody, 64<<20),
	}}
	c.roles.closed, c.packages.closed = c.transport.Closed, c.transport.Closed
	var err error
	if c.odps, err = openapi.ParseEndpoint(config.ODPSEndpoint); err != nil {
		return nil, err
	}
	transport := c.transport
	transport.Service = "MaxCompute"
	c.openAPI, err = openapi.New(openapi.Config{Version: apiVersion, Endpoint: config.Endpoint, Credential: config.Credential, Transport: transport})
	if err != nil {
		return nil, err
	}
	return c, nil
}
