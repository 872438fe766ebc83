package maxcompute

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

const (
	// service is what messages call the service.
	service = "MaxCompute"
	// apiVersion is the version of the MaxCompute OpenAPI.
	apiVersion = "2022-01-04"
)

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
	var path strings.Builder
	path.WriteString("/api/v1")
	for _, segment := range call.segments {
		// Escaping alone would not do: "..", and for some servers an escaped slash, lead to another path.
		if !identifier.MatchString(segment) {
			return invalid("%q cannot be the name of a project or role", segment)
		}
		path.WriteString("/" + url.PathEscape(segment))
	}
	query := make(map[string]any, len(call.query))
	for name, value := range call.query {
		query[name] = value
	}
	request := openapi.Call{Action: call.action, Op: call.op, Method: call.method, Path: path.String(), Query: query, Body: call.body}
	return c.openAPI.Do(ctx, request, func(a *openapi.Answer) error { return decode(call, a) })
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
func decode(call call, a *openapi.Answer) error {
	var e envelope
	parsed := json.Unmarshal(a.Body, &e) == nil
	noData := len(e.Data) == 0 || string(e.Data) == "null"
	failedInside := parsed && a.Status < 300 && (e.HTTPCode != nil && *e.HTTPCode != http.StatusOK || e.HTTPCode == nil && e.Code != "" && noData)
	switch {
	case !parsed:
		return unreadable(call.op, a)
	case failedInside:
		return classify(a, failure{Op: call.op, InsideSuccess: true, Code: firstOf(e.ErrorCode, e.Code), Message: firstOf(e.ErrorMsg, e.Message), RequestID: e.RequestID})
	case a.Status >= 300:
		return classify(a, failure{Op: call.op, Code: firstOf(e.Code, e.ErrorCode), Message: firstOf(e.Message, e.ErrorMsg), RequestID: e.RequestID})
	case call.result == nil:
		return nil
	}
	if noData || json.Unmarshal(e.Data, call.result) != nil {
		unexpected := &cloud.Error{Code: cloud.UnexpectedResponse, Op: call.op, HTTPStatus: a.Status, RequestID: e.RequestID, Message: "the answer holds no data that could be understood"}
		if string(e.Data) == "null" {
			unexpected.Err = errNull
		}
		return unexpected
	}
	return nil
}

// errNull marks a success whose data is null, or lacks the lists that were asked for.
var errNull = errors.New("the data is null")

// IsNull tells whether a call succeeded and answered null, or without any of the lists that were asked for. No documentation says what that
// means: who is sure that there can be nothing may read it so.
func IsNull(err error) bool { return errors.Is(err, errNull) }

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
