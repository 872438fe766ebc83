package maxcompute

import (
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// codes are MaxCompute's own.
var codes = openapi.Codes{
	{Pattern: "object_not_exist", Class: cloud.NotFound},
	{Pattern: "nosuchobject", Class: cloud.NotFound},
	{Pattern: "project_not_found", Class: cloud.ProjectNotFound},
	{Pattern: "nosuchproject", Class: cloud.ProjectNotFound},
	{Pattern: "odps-0420111*", Class: cloud.ProjectNotFound},
	// "ODPS-0420095: Access Denied" never means absence, although a well-known client reads it so: it also stands for a missing
	// membership and for an unpaid bill.
	{Pattern: "odps-0420095*", Class: cloud.PermissionDenied},
	{Pattern: "odps-0130013*", Class: cloud.PermissionDenied},
	{Pattern: "odps-0110011*", Class: cloud.PermissionDenied},
	{Pattern: "odps-0410031*", Class: cloud.AuthenticationFailed, Message: openapi.ClockSkew},
	{Pattern: "odps-0410*", Class: cloud.AuthenticationFailed},
	{Pattern: "odps-0420031*", Class: cloud.RemoteRejected},
	{Pattern: "odps-0420041*", Class: cloud.RemoteRejected},
	{Pattern: "odps-0420051*", Class: cloud.RemoteRejected},
	{Pattern: "odps-0420061*", Class: cloud.RemoteRejected},
	{Pattern: "odps-0130*", Class: cloud.RemoteRejected},
}

// failure is a failed call as the service told it.
type failure = openapi.Failure

// classify decides what a failure means.
func classify(a *openapi.Answer, f failure) error {
	f.Codes = codes
	return a.Failure(f)
}

// unreadable is the error of an answer that is not in the service's format.
func unreadable(op string, a *openapi.Answer) error { return a.Unreadable(op, service) }
