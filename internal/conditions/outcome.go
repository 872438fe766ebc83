// Package conditions turns the outcome of a pass into status conditions. It holds the project's status contract in one place:
// which failure has which reason, whether it is transient or needs a person, and how kstatus is to read it.
package conditions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// State is what an outcome means for the object.
type State int

const (
	// Ready: the cloud is as it should be.
	Ready State = iota
	// Reconciling: not there yet; the operator goes on by itself.
	Reconciling
	// Stalled: nothing happens until a person changes something.
	Stalled
)

// Outcome is how a pass ended.
type Outcome struct {
	State           State
	Reason, Message string
	// RetryAfter is how long to wait before the next pass, where that is known; 0 leaves it to the backoff.
	RetryAfter time.Duration
}

// outcomeError is an Outcome on its way up as an error.
type outcomeError struct {
	outcome Outcome
	cause   error
}

func (e *outcomeError) Error() string { return e.outcome.Message }
func (e *outcomeError) Unwrap() error { return e.cause }

// Wait is the error of a pass that cannot go on yet, for a reason that mends itself or is being waited for.
func Wait(reason, format string, args ...any) error {
	return &outcomeError{outcome: Outcome{State: Reconciling, Reason: reason, Message: fmt.Sprintf(format, args...)}}
}

// Stall is the error of a pass that cannot succeed until a person changes something.
func Stall(reason, format string, args ...any) error {
	return &outcomeError{outcome: Outcome{State: Stalled, Reason: reason, Message: fmt.Sprintf(format, args...)}}
}

// PartiallyApplied is the error of a pass after which some differences are left, because they were refused or cannot be mended, and no
// others. It names at most five.
func PartiallyApplied(failures []error) error {
	const named = 5
	failures = flatten(failures)
	parts := []string{fmt.Sprintf("%d left, all other changes applied", len(failures))}
	for _, failure := range failures[:min(named, len(failures))] {
		parts = append(parts, failure.Error())
	}
	if len(failures) > named {
		parts = append(parts, fmt.Sprintf("and %d more", len(failures)-named))
	}
	outcome := Outcome{State: Reconciling, Reason: v1alpha1.ReasonPartiallyApplied, Message: strings.Join(parts, "; ")}
	return &outcomeError{outcome: outcome, cause: errors.Join(failures...)}
}

// Unstorable is the error of a pass whose record the API server refuses to store.
func Unstorable(refusal error) error {
	return Stall(v1alpha1.ReasonInvalidSpec, "too much changes at once to be recorded in the status of one object, which the API server refuses to store (%s). "+
		"Nothing is added until that fits: change the spec in smaller parts, or split it into several objects", Cut(refusal.Error(), maxRefusal))
}

// maxRefusal is how much of a refusal of the API server goes into a message, in bytes: it can name thousands of fields.
const maxRefusal = 300

// flatten takes apart what errors.Join has put together.
func flatten(failures []error) []error {
	var flat []error
	for _, failure := range failures {
		if joined, ok := failure.(interface{ Unwrap() []error }); ok {
			flat = append(flat, flatten(joined.Unwrap())...)
			continue
		}
		flat = append(flat, failure)
	}
	return flat
}

// Observed is the outcome of a look that was not to change anything.
func Observed(message string) Outcome {
	return Outcome{State: Ready, Reason: v1alpha1.ReasonObserved, Message: message}
}

// Succeeded is the outcome of a pass after which the cloud was seen to be as wanted.
func Succeeded(message string) Outcome {
	return Outcome{State: Ready, Reason: v1alpha1.ReasonSucceeded, Message: message}
}

// OutcomeOf returns the outcome that an error was made of, if it was.
func OutcomeOf(err error) (Outcome, bool) {
	e, ok := errors.AsType[*outcomeError](err)
	if !ok {
		return Outcome{}, false
	}
	return e.outcome, true
}

// Explains tells whether an error says something about the object. Any other is a failure of the Kubernetes API or of this program:
// no fault of the object, and nothing to put into its status.
func Explains(err error) bool {
	_, ok := OutcomeOf(err)
	return ok || cloud.CodeOf(err) != ""
}

// FromError decides what the failure of a pass means.
func FromError(err error) Outcome {
	if outcome, ok := OutcomeOf(err); ok {
		return outcome
	}
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		return Outcome{State: Reconciling, Reason: v1alpha1.ReasonProgressing, Message: err.Error()}
	}
	outcome := Outcome{State: Reconciling, Reason: reasonOf(e.Code), Message: e.Error(), RetryAfter: e.RetryAfter}
	if e.Code == cloud.InvalidSpec {
		outcome.State = Stalled
	}
	return outcome
}

func reasonOf(code cloud.Code) string {
	switch code {
	case cloud.InvalidSpec:
		return v1alpha1.ReasonInvalidSpec
	case cloud.ProjectNotFound:
		return v1alpha1.ReasonProjectNotFound
	case cloud.AuthenticationFailed:
		return v1alpha1.ReasonAuthenticationFailed
	case cloud.PermissionDenied:
		return v1alpha1.ReasonPermissionDenied
	case cloud.RemoteRejected:
		return v1alpha1.ReasonRemoteRejected
	case cloud.RemoteUnavailable:
		return v1alpha1.ReasonRemoteUnavailable
	case cloud.ExportFailed:
		return v1alpha1.ReasonExportFailed
	case cloud.WorkspaceNotFound:
		return v1alpha1.ReasonWorkspaceNotFound
	case cloud.ResourceNotFound:
		return v1alpha1.ReasonResourceNotFound
	case cloud.CollaborationDenied:
		return v1alpha1.ReasonCollaborationDenied
	case cloud.NotFound, cloud.AlreadyExists:
		// What was seen a moment ago has changed since: the next look decides.
		return v1alpha1.ReasonProgressing
	case cloud.UnexpectedResponse:
	}
	return v1alpha1.ReasonUnexpectedResponse
}

// IsRefusal reports whether an outcome is what a service has decided, and will decide again until something changes: as opposed to a
// failure that passes.
func IsRefusal(outcome Outcome) bool {
	switch outcome.Reason {
	case v1alpha1.ReasonPartiallyApplied, v1alpha1.ReasonRemoteRejected, v1alpha1.ReasonPermissionDenied,
		v1alpha1.ReasonAuthenticationFailed, v1alpha1.ReasonProjectNotFound:
		return outcome.State == Reconciling
	}
	return false
}

// IsShutdown tells whether a pass ended because the operator is stopping: no failure, and nothing to report.
func IsShutdown(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, context.Canceled)
}
