// Package cloud holds what all cloud clients share: the classes of error that the rest of the operator understands.
// Clients classify once, at their boundary; nobody else looks at service codes or HTTP status.
package cloud

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code is the class of a failed call. Each value, but for NotFound and AlreadyExists, is also the reason under which the Ready
// condition reports the failure.
type Code string

const (
	// NotFound: the service said, with a code that means nothing else, that the object does not exist. The only absence there is.
	NotFound Code = "NotFound"
	// AlreadyExists: the service refused a create because the name is taken.
	AlreadyExists Code = "AlreadyExists"
	// ProjectNotFound: the project around the object does not exist; it says nothing about the object.
	ProjectNotFound Code = "ProjectNotFound"
	// AuthenticationFailed: the credentials or the signature were refused.
	AuthenticationFailed Code = "AuthenticationFailed"
	// PermissionDenied: the identity is known and may not do this; also an account in arrears.
	PermissionDenied Code = "PermissionDenied"
	// InvalidSpec: nothing was sent, for the request could not be formed from what the spec says.
	InvalidSpec Code = "InvalidSpec"
	// RemoteRejected: the service refused the request as invalid.
	RemoteRejected Code = "RemoteRejected"
	// RemoteUnavailable: throttled, a server error, a lost connection or a time-out. Only if Throttled or NotSent is set is it known
	// that the call had no effect.
	RemoteUnavailable Code = "RemoteUnavailable"
	// ExportFailed: the service began to send a package, and it ended early, stood still or was too large. What has arrived is worthless.
	ExportFailed Code = "ExportFailed"
	// WorkspaceNotFound: the workspace that an export is from does not exist.
	WorkspaceNotFound Code = "WorkspaceNotFound"
	// ResourceNotFound: one of the resources to export does not exist.
	ResourceNotFound Code = "ResourceNotFound"
	// CollaborationDenied: one of the resources to export is not shared with the identity, which may export otherwise.
	CollaborationDenied Code = "CollaborationDenied"
	// UnexpectedResponse: an answer that means nothing to this program, so that nothing may be concluded from it.
	UnexpectedResponse Code = "UnexpectedResponse"
)

// Error is a failed call to a cloud service.
type Error struct {
	Code Code
	// Op is the call in words, such as "GetRoleAcl of role r in project p".
	Op string
	// RemoteCode and Message are the service's own, free of request ids and secrets.
	RemoteCode, Message string
	// HTTPStatus is 0 if no answer arrived.
	HTTPStatus int
	// RequestID finds the call in the service's logs. It differs from call to call: for logs, never for conditions.
	RequestID string
	// Throttled tells that the service refused the call for its rate.
	Throttled bool
	// NotSent tells that no connection could be made, so that nothing was asked for.
	NotSent bool
	// Accepted tells that the service had taken the request on before this failure, so that the outcome of the request is unknown
	// whatever the failure says.
	Accepted bool
	// RetryAfter is how long the service asked to wait; 0 if it did not.
	RetryAfter time.Duration
	// Err is the cause where no answer arrived. Its text may differ from call to call: for logs, never for conditions.
	Err error
}

// Error is stable: the same failure gives the same text.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.RemoteCode != "" {
		fmt.Fprintf(&b, ": %s", e.RemoteCode)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	if e.RemoteCode == "" && e.Message == "" {
		fmt.Fprintf(&b, ": %s", e.Code)
	}
	return b.String()
}

// Unwrap gives access to the cause, for errors.Is(err, context.Canceled).
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the class of an error, or "" if it is not a cloud error.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// RequestID returns the service's id of a failed call, for logs.
func RequestID(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RequestID
	}
	return ""
}

// IsNotFound tells whether the service said that the object does not exist.
func IsNotFound(err error) bool { return CodeOf(err) == NotFound }

// IsThrottled tells whether the service refused a call for its rate.
func IsThrottled(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Throttled
}

// IsUnanswered reports whether no answer came to a call: no connection, or none in time.
func IsUnanswered(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == RemoteUnavailable && e.HTTPStatus == 0 && !e.Throttled
}

// Unsent tells whether a call never left this machine.
func Unsent(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.NotSent
}

// Refused tells whether the service answered that it did not do what was asked. After any other failure of a write its
// outcome is unknown.
func Refused(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Accepted {
		return false
	}
	switch e.Code {
	case NotFound, AlreadyExists, ProjectNotFound, AuthenticationFailed, PermissionDenied, InvalidSpec, RemoteRejected,
		WorkspaceNotFound, ResourceNotFound, CollaborationDenied:
		return true
	case RemoteUnavailable, UnexpectedResponse, ExportFailed:
		return e.Throttled
	}
	return false
}
