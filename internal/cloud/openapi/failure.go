package openapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// Failure is a failed call as the service told it.
type Failure struct {
	Op, Code, Message, RequestID string
	// Status is the HTTP status to judge by; 0 means that of the answer.
	Status int
	// InsideSuccess: the error came inside an HTTP 200, so the status says nothing about it.
	InsideSuccess bool
	// Throttled: the code means that the call was refused for its rate, though neither its name nor the status says so.
	Throttled bool
	// Codes are those of the service, asked before those that all of Alibaba Cloud's services share.
	Codes Codes
	// Foreign: the service is another vendor's, so only its own codes and the status count, and a 401 more than a code.
	Foreign bool
}

// Codes say what the error codes of a service mean; the first that matches counts.
type Codes []Code

// Code is what an error code means.
type Code struct {
	// Pattern is the code in lower case or, if it ends in *, what the code begins with. If it begins with *. it is what comes after the
	// last dot of a code, or a code without dots.
	Pattern string
	Class   cloud.Code
	// Message replaces the service's own, unless it is empty.
	Message string
}

// ClockSkew is the message of a refusal because of the time that a request carries.
const ClockSkew = "the service refused the request's time: the clock of this machine is off"

// common are the codes of the gateway that all of Alibaba Cloud's services are behind.
var common = Codes{
	{"nopermission", cloud.PermissionDenied, ""},
	{"forbidden*", cloud.PermissionDenied, ""},
	{"accessdenied*", cloud.PermissionDenied, ""},
	// A request that was sent twice, as the transport does when a connection turns out to be closed, was signed only once.
	{"signaturenonceused", cloud.RemoteUnavailable, ""},
	{"invalidtimestamp*", cloud.AuthenticationFailed, ClockSkew},
	{"invalidaccesskeyid*", cloud.AuthenticationFailed, ""},
	{"signature*", cloud.AuthenticationFailed, ""},
	{"incompletesignature*", cloud.AuthenticationFailed, ""},
	{"invalidsecuritytoken*", cloud.AuthenticationFailed, ""},
	{"securitytoken*", cloud.AuthenticationFailed, ""},
	{"missingsecuritytoken", cloud.AuthenticationFailed, ""},
	{"invalidargument*", cloud.RemoteRejected, ""},
	{"invalidparameter*", cloud.RemoteRejected, ""},
	{"serviceunavailable", cloud.RemoteUnavailable, ""},
	{"internalerror", cloud.RemoteUnavailable, ""},
	{"internalservererror", cloud.RemoteUnavailable, ""},
}

func (c Codes) find(code string) (Code, bool) {
	code = strings.ToLower(code)
	last := code[strings.LastIndex(code, ".")+1:]
	for _, known := range c {
		prefix, open := strings.CutSuffix(known.Pattern, "*")
		suffix, anywhere := strings.CutPrefix(known.Pattern, "*.")
		if code == known.Pattern || open && strings.HasPrefix(code, prefix) || anywhere && last == suffix {
			return known, true
		}
	}
	return Code{}, false
}

// Failure decides what a failure means. The codes are those of the vendor's documentation and of its other clients. Codes
// that are not known are judged by the HTTP status, except inside HTTP 200, where there is none to judge by.
func (a *Answer) Failure(f Failure) error {
	if f.Status == 0 {
		f.Status = a.Status
	}
	known, found := f.Codes.find(f.Code)
	if !found && !f.Foreign {
		known, _ = common.find(f.Code)
	}
	e := &cloud.Error{
		Code: f.class(known.Class), Throttled: f.throttled(), Op: f.Op, RemoteCode: a.text(f.Code),
		Message: a.text(strings.TrimPrefix(f.Message, f.Code+":")), HTTPStatus: f.Status, RequestID: f.RequestID, RetryAfter: retryAfter(a.Header),
	}
	if e.Code == cloud.AuthenticationFailed {
		// The message of a signature error repeats what was signed, the security token included.
		e.Message = "the service refused the credentials or the signature"
	}
	if known.Message != "" {
		e.Message = known.Message
	}
	return e
}

func (f Failure) class(known cloud.Code) cloud.Code {
	switch {
	case f.throttled():
		return cloud.RemoteUnavailable
	case f.Foreign && f.Status == http.StatusUnauthorized:
		return cloud.AuthenticationFailed
	case known != "" && (known != cloud.RemoteRejected || f.Foreign):
		return known
	case f.Foreign:
		return f.classOfStatus()
	// Some services refuse a name that is taken with a code that says no more than that the request was refused.
	case strings.Contains(strings.ReplaceAll(strings.ToLower(f.Code), "_", ""), "alreadyexist"),
		f.Code != "" && strings.Contains(strings.ToLower(f.Message), "already exist"):
		return cloud.AlreadyExists
	case known != "":
		return known
	}
	return f.classOfStatus()
}

// classOfStatus judges a failure whose code is not known.
func (f Failure) classOfStatus() cloud.Code {
	switch {
	case f.InsideSuccess:
		return cloud.UnexpectedResponse
	case f.Status >= 500:
		return cloud.RemoteUnavailable
	case f.Code == "":
		return cloud.UnexpectedResponse
	case f.Status == http.StatusUnauthorized:
		return cloud.AuthenticationFailed
	case f.Status == http.StatusForbidden:
		return cloud.PermissionDenied
	// A 404 without a code that says so is a wrong endpoint as likely as an absent object.
	case f.Status < 400, f.Status == http.StatusNotFound:
		return cloud.UnexpectedResponse
	}
	return cloud.RemoteRejected
}

// throttled knows every spelling seen: Throttling, Throttling.User, Throttling.Api, Throttling.Resource, Rejected.Throttling.
func (f Failure) throttled() bool {
	return f.Throttled || f.Status == http.StatusTooManyRequests || strings.Contains(strings.ToLower(f.Code), "throttling")
}

// Unreadable is the error of an answer that is not in the format of a service: a proxy's page, another server, a cut-off body.
func (a *Answer) Unreadable(op, service string) error {
	e := &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, HTTPStatus: a.Status, RetryAfter: retryAfter(a.Header)}
	e.Message = fmt.Sprintf("HTTP status %d with a body that is not %s's", a.Status, service)
	switch {
	case a.Status == http.StatusTooManyRequests:
		e.Code, e.Throttled = cloud.RemoteUnavailable, true
	case a.Status >= 500:
		e.Code = cloud.RemoteUnavailable
	}
	return e
}

// retryAfter reads the header Retry-After in seconds; the form with a date is ignored, for it needs two clocks that agree.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds <= 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, 5*time.Minute)
}
