package openapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/alibabacloud-go/darabonba-openapi/v2/client"
	"github.com/alibabacloud-go/darabonba-openapi/v2/models"
	"github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// Config is what a Client needs.
type Config struct {
	// Version of the API, such as 2022-01-04.
	Version string
	// Endpoint is the base URL of the API, such as https://maxcompute.cn-hangzhou.aliyuncs.com.
	Endpoint string
	// Credential signs the calls. It may be nil if all of them are anonymous.
	Credential Credential
	Transport  Transport
}

// Client calls one API of one service for one account. It is safe for concurrent use.
type Client struct {
	config  Config
	library *client.Client
	// path is the endpoint's own, escaped.
	path string
}

// New makes a Client. It fails only if the endpoint is not a URL.
func New(config Config) (*Client, error) {
	endpoint, err := ParseEndpoint(config.Endpoint)
	if err != nil {
		return nil, err
	}
	library, err := client.NewClient(&models.Config{
		Endpoint: new(endpoint.Host), Protocol: new(endpoint.Scheme), HttpClient: sender{}, UserAgent: new("maxcompute-operator"),
	})
	if err != nil {
		return nil, err
	}
	return &Client{config: config, library: library, path: endpoint.EscapedPath()}, nil
}

// ParseEndpoint reads a base URL. Superfluous slashes and dots in its path mean nothing, and get into no request.
func ParseEndpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("endpoint %q is not a URL", endpoint)
	}
	u = u.JoinPath()
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.RawPath, "/")
	return u, nil
}

// Call is one operation of a service.
type Call struct {
	// Action is the operation's name, such as GetRoleAcl; Op says in words what it does to what.
	Action, Op string
	Method     string
	// Path is below the endpoint's own, escaped. Empty means the RPC style, which knows no paths.
	Path string
	// Query are the parameters in the URL. Lists and maps are flattened as the vendor does.
	Query map[string]any
	// Body is sent as JSON, or else Form as a form, flattened likewise. What must not be seen by proxies belongs here: they log URLs.
	Body any
	Form map[string]any
	// Anonymous calls are not signed.
	Anonymous bool
	// Secrets are what of the request no error may repeat, beside its signature and the security token.
	Secrets []string
}

// Do makes a call and has its answer read.
func (c *Client) Do(ctx context.Context, call Call, read func(*Answer) error) error {
	return c.config.Transport.Do(ctx, call.Action, call.Op, func(ctx context.Context) (*Answer, error) { return c.exchange(ctx, call) }, read)
}

func (c *Client) exchange(ctx context.Context, call Call) (*Answer, error) {
	x := &exchange{client: c, call: call}
	_, err := c.library.CallApiWithCtx(context.WithValue(ctx, exchangeKey{}, x), c.params(call), request(call), &dara.RuntimeOptions{})
	switch {
	case x.err != nil:
		return nil, x.err
	case x.answer == nil:
		return nil, &cloud.Error{Code: cloud.InvalidSpec, Op: call.Op, Message: "the request could not be formed", Err: err}
	}
	x.answer.Hide(call.Secrets...)
	return x.answer, nil
}

func (c *Client) params(call Call) *models.Params {
	params := &models.Params{
		Action: new(call.Action), Version: new(c.config.Version), Method: new(call.Method), Pathname: new(c.path + call.Path),
		// To the library every call is anonymous: the sender signs.
		Protocol: new("HTTPS"), AuthType: new("Anonymous"), Style: new("ROA"), ReqBodyType: new("json"), BodyType: new("none"),
	}
	if call.Path == "" {
		params.Style, params.Pathname = new("RPC"), new(c.path+"/")
	}
	if call.Form != nil {
		params.ReqBodyType = new("formData")
	}
	return params
}

func request(call Call) *models.OpenApiRequest {
	request := &models.OpenApiRequest{Body: call.Body}
	if len(call.Query) > 0 {
		request.Query = utils.Query(call.Query)
	}
	if call.Form != nil {
		request.Body = call.Form
	}
	return request
}

// exchange carries one call through the library: the client that sends it, and the answer as it came.
type exchange struct {
	client *Client
	call   Call
	answer *Answer
	err    error
}

type exchangeKey struct{}

// sender is the library's way to the network. The library only forms requests. They are signed here, because the library prints what
// it knows when the environment says DEBUG=dara, and answers are read here, because it loses the status of an answer that is not JSON,
// takes an error inside HTTP 200 for success, and knows only some spellings of throttling. It gets an empty success in place of the
// real answer.
type sender struct{}

// Call implements dara.HttpClient.
func (sender) Call(request *http.Request, _ *http.Transport) (*http.Response, error) {
	x, ok := request.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil, errors.New("request without exchange")
	}
	if x.answer, x.err = x.send(request); x.err != nil {
		return nil, x.err
	}
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}, nil
}

func (x *exchange) send(request *http.Request) (*Answer, error) {
	if !x.call.Anonymous {
		keys, err := KeysOf(x.client.config.Credential, x.call.Op)
		if err != nil {
			return nil, err
		}
		sign(request, keys)
	}
	return x.client.config.Transport.Send(request)
}
