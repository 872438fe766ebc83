// Package dataworks is a client for permission requests in Alibaba Cloud DataWorks, which calls them orders: the older API 2020-05-18 and
// its successor 2024-05-18 behind one interface. It returns the project's own types, classifies every failure as a cloud.Error, makes
// one attempt per call and leaves retries to its caller. It cannot approve an order: that is for a person.
package dataworks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// The versions of the API.
const (
	Version2020 = "2020-05-18"
	Version2024 = "2024-05-18"
)

// service is what messages call the service.
const service = "DataWorks"

// Config is what a Client needs.
type Config struct {
	// Endpoint is the base URL of the API, such as https://dataworks.cn-hangzhou.aliyuncs.com.
	Endpoint string
	// Credential gives the keys, asked once per request. Search finds the orders of its identity only.
	Credential openapi.Credential
	// HTTPClient is shared by all clients of the process.
	HTTPClient *http.Client
	// Limiter is shared by all clients of one account. It may be nil.
	Limiter openapi.Limiter
	// Observer is told of calls to the service DataWorks. It may be nil.
	Observer openapi.Observer
	// Timeout bounds one call, the wait for the limiter left out; 0 means 30 s.
	Timeout time.Duration
	// MaxBody bounds what is read of one answer; 0 means 16 MiB.
	MaxBody int64
}

// Client makes, reads and takes back permission requests. It is safe for concurrent use.
//
// All methods fail with a *cloud.Error. What cannot be sent fails with the class InvalidSpec before anything is; IsNotSupported tells
// whether that is because this version of the API cannot do it.
type Client interface {
	// Version is Version2020 or Version2024.
	Version() string
	// Split cuts a request into as few as the limits of one call allow, by object, and if one object is too much for a call, by user. The
	// same request is always cut alike. If there are several parts, "-1", "-2" and so on is added to the Token of each, since a token
	// stands for one call. A caller that looks for orders by a mark in the Reason marks the parts after the split; there is room for
	// 500 bytes. It fails if one object for one user is too large.
	Split(Request) ([]Request, error)
	// Submit makes exactly one call and returns the ids of the orders that the service made of the request: one per set of approvers. If
	// cloud.Refused is false for its error, the orders may have been made: with 2024-05-18 the same request with the same Token may be
	// sent again, with 2020-05-18 only Search can tell. AlreadyExists means that the Token was used for another request before.
	Submit(context.Context, Request) ([]string, error)
	// Get reads one order.
	Get(ctx context.Context, id string) (Order, error)
	// Search returns the orders that the caller's identity has made, of all pages. Lists may lag behind: nothing is documented.
	Search(context.Context, Query) ([]Summary, error)
	// Withdraw takes back an order that waits for an approver. 2020-05-18 does not support it.
	Withdraw(ctx context.Context, id string) error
	// Revoke takes actions on a table away from an account, whichever order or person had granted them. 2024-05-18 does not
	// support it, and 2020-05-18 only for Select, Describe and Download. Repeating it does no harm as far as is known.
	Revoke(context.Context, Revocation) error
}

// errNotSupported marks what a version of the API has no call for.
var errNotSupported = errors.New("not supported")

// IsNotSupported tells whether a call failed because the version of the API knows no such thing. Nothing was sent.
func IsNotSupported(err error) bool { return errors.Is(err, errNotSupported) }

func notSupported(op, format string, args ...any) error {
	return &cloud.Error{Code: cloud.InvalidSpec, Op: op, Message: fmt.Sprintf(format, args...), Err: errNotSupported}
}

func invalid(op, format string, args ...any) error {
	return &cloud.Error{Code: cloud.InvalidSpec, Op: op, Message: fmt.Sprintf(format, args...)}
}

// connection is what both versions share.
type connection struct{ api *openapi.Client }

func connect(config Config, version string) (connection, error) {
	api, err := openapi.New(openapi.Config{Version: version, Endpoint: config.Endpoint, Credential: config.Credential, Transport: openapi.Transport{
		Service: "DataWorks", Observer: config.Observer,
		HTTPClient: config.HTTPClient, Limiter: config.Limiter, Timeout: cmp.Or(config.Timeout, 30*time.Second), MaxBody: cmp.Or(config.MaxBody, 16<<20),
	}})
	return connection{api}, err
}

// codes are those of all calls. The documentation of DataWorks lists none: what is not here or common to all services is judged by the
// HTTP status.
var codes = openapi.Codes{
	{Pattern: "project_not_found", Class: cloud.ProjectNotFound},
	{Pattern: tokenMismatch, Class: cloud.AlreadyExists},
	// The gateway says so of a call that it does not have, as will happen when the older version is gone. A 404, but a refusal.
	{Pattern: "invalidaction.notfound", Class: cloud.RemoteRejected},
	{Pattern: "invalidapi.notfound", Class: cloud.RemoteRejected},
	{Pattern: "invalidversion", Class: cloud.RemoteRejected},
}

// orderCodes are those of calls whose only parameter is the id of an order: there, and only there, a parameter that is not found is the
// order. It is assumed from how other products spell it.
var orderCodes = append(openapi.Codes{{Pattern: "invalidparameter.notfound", Class: cloud.NotFound}}, codes...)

// envelope is what the service and its gateway say of a call in every answer. Names are matched without case.
type envelope struct {
	RequestID, Code, Message string
	// Success, ErrorCode and ErrorMessage are how other calls of the service tell a failure inside HTTP 200.
	Success                 *bool
	ErrorCode, ErrorMessage string
}

func (e envelope) failed() bool {
	return e.Code != "" && e.Code != "200" && e.Code != "OK" || e.ErrorCode != "" || e.Success != nil && !*e.Success
}

// do makes a call and decodes its answer into result. It returns the service's id of the call, which every answer has.
func (c connection) do(ctx context.Context, call openapi.Call, meaning openapi.Codes, result any) (requestID string, err error) {
	call.Method = http.MethodPost
	err = c.api.Do(ctx, call, func(a *openapi.Answer) error {
		var e envelope
		switch parsed := json.Unmarshal(a.Body, &e) == nil; {
		case !parsed:
			return a.Unreadable(call.Op, service)
		case a.Status >= 300 || e.failed():
			return refusal(a.Failure(openapi.Failure{
				Op: call.Op, Code: cmp.Or(e.Code, e.ErrorCode), Message: cmp.Or(e.Message, e.ErrorMessage), RequestID: e.RequestID,
				InsideSuccess: a.Status < 300, Codes: meaning,
			}))
		case e.RequestID == "" || json.Unmarshal(a.Body, result) != nil:
			return a.Unreadable(call.Op, service)
		}
		requestID = e.RequestID
		return nil
	})
	return requestID, err
}

// refusal makes plain refusals of two answers that look like something else: what the service has been seen to say, with HTTP status 500, of
// a deadline that is over; and "already exists", which nothing but a token can be here. Repeating the request would not help.
func refusal(err error) error {
	e, ok := errors.AsType[*cloud.Error](err)
	if ok && !e.Throttled && (strings.Contains(e.Message, "deadline cannot be in the past") || e.Code == cloud.AlreadyExists && !isTokenMismatch(e)) {
		e.Code = cloud.RemoteRejected
	}
	return err
}

// isTokenMismatch tells whether a token came with another request than the first time. Other products say so.
func isTokenMismatch(e *cloud.Error) bool {
	return strings.Contains(strings.ToLower(e.RemoteCode), tokenMismatch)
}

const tokenMismatch = "idempotentparametermismatch"

// IsPermanentOnly tells whether a request seems to have been refused because permissions can only be granted for ever, as is documented of
// 2020-05-18 for projects without LabelSecurity and for columns that need no label. No code is documented, so it goes by the words. Who
// asks again without a deadline learns whether that was it.
func IsPermanentOnly(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok || e.Code != cloud.RemoteRejected {
		return false
	}
	text := strings.ToLower(e.RemoteCode + " " + e.Message)
	speaksOfEnd := strings.Contains(text, "deadline") || strings.Contains(text, "expir")
	// A deadline can be refused for other reasons as well, such as being too late: then for ever would be even less wanted.
	return strings.Contains(text, "permanent") || speaksOfEnd && strings.Contains(text, "label")
}

// unexpected is the error of an answer whose members are not those of the documentation.
func unexpected(op, requestID, message string) error {
	return &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, HTTPStatus: http.StatusOK, RequestID: requestID, Message: message}
}

// moment reads milliseconds since 1970; 0 is the zero time.
func moment(millis int64) time.Time {
	if millis <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}
