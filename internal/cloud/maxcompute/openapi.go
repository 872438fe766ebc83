package maxcompute

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	"github.com/alibabacloud-go/darabonba-openapi/v2/models"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// apiVersion is the version of the MaxCompute OpenAPI.
const apiVersion = "2022-01-04"

func newOpenAPI(endpoint *url.URL, config Config) (*openapi.Client, error) {
	return openapi.NewClient(&models.Config{
		Endpoint:   new(endpoint.Host),
		Protocol:   new(endpoint.Scheme),
		RegionId:   new(config.Region),
		Credential: config.Credential,
		HttpClient: sender{},
		UserAgent:  new("maxcompute-operator"),
	})
}

// exchange carries one call through the library: the client that sends it, and the answer as it came.
type exchange struct {
	client *Client
	answer *answer
	err    error
}

type exchangeKey struct{}

// sender is the library's way to the network. The library signs and sends; the answer is read here, because the library loses
// the status of an answer that is not JSON, takes an error inside HTTP 200 for success, and knows only some spellings of
// throttling. It gets an empty success in place of the real answer.
type sender struct{}

// Call implements dara.HttpClient.
func (sender) Call(request *http.Request, _ *http.Transport) (*http.Response, error) {
	x, ok := request.Context().Value(exchangeKey{}).(*exchange)
	if !ok {
		return nil, errors.New("request without exchange")
	}
	if x.answer, x.err = x.client.send(request); x.err != nil {
		return nil, x.err
	}
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}, nil
}

// call is one OpenAPI operation.
type call struct {
	// action is the operation's name, such as GetRoleAcl; op says in words what it does to what.
	action, op   string
	method       string
	segments     []string
	query        map[string]string
	body, result any
}

// do makes a call and decodes the data of its answer into c.result, unless that is nil.
func (c *Client) do(ctx context.Context, call call) error {
	for _, segment := range call.segments {
		// Escaping alone would not do: "..", and for some servers an escaped slash, lead to another path.
		if !identifier.MatchString(segment) {
			return invalid("%q cannot be the name of a project or role", segment)
		}
	}
	if err := c.wait(ctx, call.op); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	x := &exchange{client: c}
	_, err := c.openAPI.CallApiWithCtx(context.WithValue(ctx, exchangeKey{}, x), c.params(call), c.request(call), &dara.RuntimeOptions{})
	switch {
	case x.err != nil:
		return transportError(ctx, call.op, x.err)
	case x.answer == nil:
		// Nothing was sent: the credentials could not be had.
		return &cloud.Error{Code: cloud.AuthenticationFailed, Op: call.op, Message: "the credentials give no keys to sign with", Err: err}
	}
	return decode(call, x.answer)
}

func (c *Client) params(call call) *models.Params {
	var path strings.Builder
	path.WriteString(c.basePath + "/api/v1")
	for _, segment := range call.segments {
		path.WriteString("/" + url.PathEscape(segment))
	}
	return &models.Params{
		Action: new(call.action), Version: new(apiVersion), Method: new(call.method), Pathname: new(path.String()),
		Protocol: new("HTTPS"), AuthType: new("AK"), Style: new("ROA"), ReqBodyType: new("json"), BodyType: new("none"),
	}
}

func (c *Client) request(call call) *models.OpenApiRequest {
	request := &models.OpenApiRequest{}
	if len(call.query) > 0 {
		request.Query = make(map[string]*string, len(call.query))
		for k, v := range call.query {
			request.Query[k] = new(v)
		}
	}
	if call.body != nil {
		request.Body = call.body
	}
	return request
}

// envelope is what the OpenAPI and its gateway answer with, in every spelling that has been documented.
type envelope struct {
	Data json.RawMessage `json:"data"`
	// HTTPCode tells failure inside HTTP 200: the documentation says that a call failed if it is present and not 200. errorCode
	// is no sign of failure, the documented success carries one.
	HTTPCode  *int   `json:"httpCode"`
	ErrorCode string `json:"errorCode"`
	ErrorMsg  string `json:"errorMsg"`
	// Code, Message and RequestID are matched without case, as encoding/json does.
	Code      string `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"requestId"`
}

// decode turns an answer into data or a classified error.
func decode(call call, a *answer) error {
	var e envelope
	parsed := json.Unmarshal(a.body, &e) == nil
	noData := len(e.Data) == 0 || string(e.Data) == "null"
	failedInside := parsed && a.status < 300 && (e.HTTPCode != nil && *e.HTTPCode != http.StatusOK || e.HTTPCode == nil && e.Code != "" && noData)
	switch {
	case !parsed:
		return unreadable(call.op, a)
	case failedInside:
		return classify(failure{op: call.op, insideSuccess: true, answer: a, status: a.status, code: firstOf(e.ErrorCode, e.Code), message: firstOf(e.ErrorMsg, e.Message), requestID: e.RequestID})
	case a.status >= 300:
		return classify(failure{op: call.op, answer: a, status: a.status, code: firstOf(e.Code, e.ErrorCode), message: firstOf(e.Message, e.ErrorMsg), requestID: e.RequestID})
	case call.result == nil:
		return nil
	}
	if noData || json.Unmarshal(e.Data, call.result) != nil {
		return &cloud.Error{Code: cloud.UnexpectedResponse, Op: call.op, HTTPStatus: a.status, RequestID: e.RequestID, Message: "the answer holds no data that could be understood"}
	}
	return nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
