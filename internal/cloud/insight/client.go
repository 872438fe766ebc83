// Package insight exports resource packages of Huawei Cloud DataArts Insight.
package insight

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/huawei"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// maxBody bounds what is read of an answer that is no package. Errors and lists of one instance are much shorter.
const maxBody = 64 << 10

// service has the codes that an export or a list may meet, which are documented without what comes before their dot. Vendor
// documentation: DataArts Insight API Reference, Error Codes.
var service = huawei.Service{Name: "DataArts Insight", Codes: openapi.Codes{
	{Pattern: "*.20010003", Class: cloud.PermissionDenied},
	{Pattern: "*.24010003", Class: cloud.ResourceNotFound},
	{Pattern: "*.24010043", Class: cloud.CollaborationDenied},
	// The name of the workspace is not one.
	{Pattern: "*.24150000", Class: cloud.WorkspaceNotFound},
	// The workspace is not in a normal state.
	{Pattern: "*.24150004", Class: cloud.RemoteRejected},
	{Pattern: "*.24150005", Class: cloud.WorkspaceNotFound},
}}

// Credentials are one snapshot of what opens the service: a token, or else an access key. A whole request is made from one.
type Credentials struct {
	AccessKey, SecretKey string
	// SecurityToken belongs to a temporary access key.
	SecurityToken string
	// Token is one of IAM, for the project. It goes before the access key.
	Token string
}

// Credentials implements Credential with credentials that never change.
func (c Credentials) Credentials() Credentials { return c }

// Format implements fmt.Formatter: whoever prints credentials sees none.
func (Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "…") } //nolint:errcheck // there is nobody to tell

// Credential hands out the present credentials, once per request. It is called concurrently and must not block.
type Credential interface {
	Credentials() Credentials
}

// Config is what a Client needs.
type Config struct {
	// Endpoint is the base URL of the service, such as https://dataartsinsight.cn-southwest-2.myhuaweicloud.com.
	Endpoint string
	// ProjectID is the id of the project that the workspaces are in.
	ProjectID  string
	Credential Credential
	// HTTPClient is shared by all clients of the process. It must not follow redirects, as that of openapi.NewHTTPClient does not, nor
	// bound the time of a whole call, for that would cut long streams.
	HTTPClient *http.Client
	// Observer is told of calls to the service DataArtsInsight. It may be nil.
	Observer openapi.Observer
	// Timeout bounds a call that is no export; 0 means 30 s.
	Timeout time.Duration
	// ExportTimeout bounds the wait for the first byte of a package, which the service packs while the call waits; 0 means 30 min.
	ExportTimeout time.Duration
	// IdleTimeout bounds the wait for each further piece of a package; 0 means 2 min.
	IdleTimeout time.Duration
	// Now tells the time that signatures carry; nil means time.Now.
	Now func() time.Time
}

// Client calls DataArts Insight for one project. It is safe for concurrent use.
type Client struct {
	config   Config
	endpoint *url.URL
}

// projectID is a text that stays what it is as a part of a path.
var projectID = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// New makes a Client. It fails only if the endpoint is not a URL or the project id cannot be one.
func New(config Config) (*Client, error) {
	endpoint, err := openapi.ParseEndpoint(config.Endpoint)
	switch {
	case err != nil:
		return nil, err
	case !projectID.MatchString(config.ProjectID):
		return nil, fmt.Errorf("project id %q is not one: letters, digits, - and _ are", config.ProjectID)
	}
	config.Timeout = cmp.Or(config.Timeout, 30*time.Second)
	config.ExportTimeout = cmp.Or(config.ExportTimeout, 30*time.Minute)
	config.IdleTimeout = cmp.Or(config.IdleTimeout, 2*time.Minute)
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Client{config: config, endpoint: endpoint.JoinPath("v1", config.ProjectID)}, nil
}

// CheckIdentity fails unless the service knows the identity: it lists one instance of the product, which changes nothing. An identity
// that may not do that, although it may export, passes. So does one that may not use the project, which the service tells in the same
// words. Its errors are of type *cloud.Error. Vendor documentation: ListInstances.
func (c *Client) CheckIdentity(ctx context.Context) error {
	const op = "list instances of DataArts Insight"
	target := c.endpoint.JoinPath("instances")
	target.RawQuery = "limit=1&offset=0"
	err := c.transport().Do(ctx, "ListInstances", op, func(ctx context.Context) (*openapi.Answer, error) {
		request, hidden, err := c.request(ctx, op, http.MethodGet, target, nil, nil)
		if err != nil {
			return nil, err
		}
		answer, err := c.transport().Send(request)
		if err != nil {
			return nil, err
		}
		answer.Hide(hidden)
		return answer, nil
	}, func(a *openapi.Answer) error { return readInstances(op, a) })
	if passedGateway(err) {
		return nil
	}
	return err
}

// passedGateway tells whether a refusal shows that the identity is known: the gateway asks for it before it lets a request through. The
// documentation has a workspace among the headers of the list; to name one is not needed to be known.
func passedGateway(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		return false
	}
	if gateway := strings.HasPrefix(e.RemoteCode, huawei.GatewayPrefix); gateway {
		// The user is not authorised to call the API.
		return e.RemoteCode == huawei.GatewayPrefix+"0302"
	}
	return e.Code == cloud.PermissionDenied || e.Code == cloud.WorkspaceNotFound || e.Code == cloud.RemoteRejected
}

func readInstances(op string, a *openapi.Answer) error {
	var list struct {
		Count    json.RawMessage `json:"count"`
		PageData json.RawMessage `json:"page_data"`
	}
	document, _ := huawei.Parse(a.Body)
	if a.Status == http.StatusOK && !document.Failed && json.Unmarshal(a.Body, &list) == nil && (list.Count != nil || list.PageData != nil) {
		return nil
	}
	return service.Failure(a, op)
}

func (c *Client) transport() openapi.Transport {
	return openapi.Transport{Service: "DataArtsInsight", Observer: c.config.Observer, HTTPClient: c.config.HTTPClient, Timeout: c.config.Timeout, MaxBody: maxBody}
}

// request makes a request with credentials. It also returns what no error may repeat though the request does not carry it.
func (c *Client) request(ctx context.Context, op, method string, target *url.URL, header http.Header, body []byte) (*http.Request, string, error) {
	request, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, "", &cloud.Error{Code: cloud.InvalidSpec, Op: op, Message: "the request could not be formed", Err: err}
	}
	if header != nil {
		request.Header = header
	}
	request.Header.Set("Content-Type", "application/json")
	var given Credentials
	if c.config.Credential != nil {
		given = c.config.Credential.Credentials()
	}
	switch {
	case given.Token != "":
		request.Header.Set("X-Auth-Token", given.Token)
	case given.AccessKey == "" || given.SecretKey == "":
		return nil, "", &cloud.Error{Code: cloud.AuthenticationFailed, Op: op, Message: "the credentials give neither a token nor a key to sign with"}
	default:
		if err := sign(request, string(body), c.config.ProjectID, given, c.config.Now()); err != nil {
			return nil, "", &cloud.Error{Code: cloud.AuthenticationFailed, Op: op, Message: "the request could not be signed", Err: err}
		}
	}
	// Not signed: what lies between may change them.
	request.Header.Set("User-Agent", "maxcompute-operator")
	// Otherwise net/http asks for gzip and unpacks it, and neither the bytes nor their number are the service's any more.
	request.Header.Set("Accept-Encoding", "identity")
	return request, given.SecretKey, nil
}
