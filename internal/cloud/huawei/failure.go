// Package huawei is what the clients of Huawei Cloud's services share: how these services and the gateway before them tell of failures.
package huawei

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

const (
	// GatewayPrefix is what the codes of the gateway begin with. It knows the identity before it lets a request through to the service.
	GatewayPrefix = "APIGW."
	// throttled is the gateway's code for a rate that is too high.
	throttled = GatewayPrefix + "0308"
)

// gateway are the codes of the gateway that all services are behind, but for those that say no more than their status. Vendor
// documentation: API Request Signing Guide, Error Codes.
var gateway = openapi.Codes{
	// The gateway does not find the service that it has the call for.
	{Pattern: "*.0103", Class: cloud.RemoteUnavailable},
	{Pattern: "*.0104", Class: cloud.RemoteUnavailable},
	{Pattern: "*.0105", Class: cloud.RemoteUnavailable},
	{Pattern: "*.0106", Class: cloud.RemoteUnavailable},
	{Pattern: "*.0301", Class: cloud.AuthenticationFailed},
	{Pattern: "*.0302", Class: cloud.PermissionDenied},
	{Pattern: "*.0303", Class: cloud.AuthenticationFailed},
	{Pattern: "*.0304", Class: cloud.PermissionDenied},
	{Pattern: "*.0305", Class: cloud.AuthenticationFailed},
	{Pattern: "*.0306", Class: cloud.PermissionDenied},
	{Pattern: "*.0307", Class: cloud.AuthenticationFailed},
	{Pattern: "*.0308", Class: cloud.RemoteUnavailable},
	// The project is unavailable: another one is needed, not another identity.
	{Pattern: "*.0310", Class: cloud.RemoteRejected},
	{Pattern: "*.0311", Class: cloud.AuthenticationFailed},
	{Pattern: "*.0401", Class: cloud.PermissionDenied},
	{Pattern: "*.0402", Class: cloud.PermissionDenied},
	{Pattern: "*.0404", Class: cloud.PermissionDenied},
	// The bill is not paid.
	{Pattern: "*.0502", Class: cloud.PermissionDenied},
	// The region does not offer the service to others.
	{Pattern: "*.0801", Class: cloud.RemoteRejected},
	{Pattern: "*.0802", Class: cloud.PermissionDenied},
}

// Service is what decides about the failures of one service.
type Service struct {
	// Name is what messages call the service.
	Name string
	// Codes are the service's own, asked before those of the gateway.
	Codes openapi.Codes
}

// Failure decides what an answer means that is no success.
func (s Service) Failure(a *openapi.Answer, op string) error {
	document, _ := Parse(a.Body)
	requestID := cmp.Or(document.RequestID, a.Header.Get("X-Request-Id"))
	if !document.Failed && a.Status != 401 {
		err := a.Unreadable(op, s.Name)
		if e, ok := errors.AsType[*cloud.Error](err); ok {
			e.RequestID = requestID
		}
		return err
	}
	err := a.Failure(openapi.Failure{
		Op: op, Code: document.Code, Message: document.Message, RequestID: requestID, InsideSuccess: a.Status < 300,
		Throttled: strings.EqualFold(document.Code, throttled), Codes: slices.Concat(s.Codes, gateway), Foreign: true,
	})
	e, ok := errors.AsType[*cloud.Error](err)
	if ok && e.Code == cloud.AuthenticationFailed && strings.Contains(strings.ToLower(document.Message), "signature expired") {
		e.Message = openapi.ClockSkew
	}
	return err
}

// Document is what an answer says of itself.
type Document struct {
	// Failed: it tells of a failure. The rest is empty otherwise, but for RequestID.
	Failed                   bool
	Code, Message, RequestID string
}

// Parse reads the members of a JSON object that tell of a failure: error_code and error_msg, or error, which IAM has. It reads as far as
// it can: the object may be cut off. It also tells whether there is the beginning of an object at all.
func Parse(body []byte) (Document, bool) {
	var d Document
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff"))))
	if first, err := decoder.Token(); err != nil || first != json.Delim('{') {
		return d, false
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			break
		}
		var value json.RawMessage
		err = decoder.Decode(&value)
		d.add(name, value)
		if err != nil {
			break
		}
	}
	return d, true
}

// add takes a member in. A value that was cut off is empty.
func (d *Document) add(name json.Token, value json.RawMessage) {
	told := func(text string) string {
		d.Failed = d.Failed || text != "" || len(value) == 0
		return text
	}
	switch name {
	case "error_code":
		d.Code = told(text(value))
	case "error_msg":
		d.Message = told(text(value))
	case "request_id":
		d.RequestID = text(value)
	case "error":
		var inner struct{ Code, Message json.RawMessage }
		if json.Unmarshal(value, &inner) != nil {
			d.Message = told(text(value))
			return
		}
		d.Code, d.Message = cmp.Or(d.Code, told(text(inner.Code))), cmp.Or(d.Message, told(text(inner.Message)))
	}
}

// text is a value as a text: codes are texts or numbers.
func text(value json.RawMessage) string {
	var words string
	if json.Unmarshal(value, &words) == nil {
		return words
	}
	var number json.Number
	if json.Unmarshal(value, &number) == nil {
		return number.String()
	}
	return ""
}
