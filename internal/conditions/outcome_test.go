package conditions_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
	"github.com/maxcompute-operator/maxcompute-operator/test/declared"
)

// causes are the errors that a pass can end with, one at least per reason, and what they mean.
var causes = map[string]struct {
	err  error
	want conditions.Outcome
}{
	"what is not there, asked for a moment too late": {
		&cloud.Error{Code: cloud.NotFound, Op: "get x"}, conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressing, Message: "get x: NotFound"},
	},
	"what is there already": {
		&cloud.Error{Code: cloud.AlreadyExists, Op: "create x"}, conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressing, Message: "create x: AlreadyExists"},
	},
	"a project that does not exist": {
		&cloud.Error{Code: cloud.ProjectNotFound, Op: "list x"}, conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonProjectNotFound, Message: "list x: ProjectNotFound"},
	},
	"credentials that are refused": {
		&cloud.Error{Code: cloud.AuthenticationFailed, Op: "list x"}, conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonAuthenticationFailed, Message: "list x: AuthenticationFailed"},
	},
	"an identity that may not": {
		&cloud.Error{Code: cloud.PermissionDenied, Op: "list x", RemoteCode: "ODPS-0420095", Message: "Access Denied"},
		conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonPermissionDenied, Message: "list x: ODPS-0420095: Access Denied"},
	},
	"a spec that cannot be sent": {
		&cloud.Error{Code: cloud.InvalidSpec, Op: "check names", Message: "no"}, conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonInvalidSpec, Message: "check names: no"},
	},
	"a request that is refused as invalid": {
		&cloud.Error{Code: cloud.RemoteRejected, Op: "grant x"}, conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonRemoteRejected, Message: "grant x: RemoteRejected"},
	},
	"a service that is not available": {
		&cloud.Error{Code: cloud.RemoteUnavailable, Op: "grant x"}, conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonRemoteUnavailable, Message: "grant x: RemoteUnavailable"},
	},
	"a service that asks to wait": {
		&cloud.Error{Code: cloud.RemoteUnavailable, Op: "grant x", Throttled: true, RetryAfter: time.Minute},
		conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonRemoteUnavailable, Message: "grant x: RemoteUnavailable", RetryAfter: time.Minute},
	},
	"a stream that ends early": {
		&cloud.Error{Code: cloud.ExportFailed, Op: "export x", Message: "the stream ended early"},
		conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonExportFailed, Message: "export x: the stream ended early"},
	},
	"a workspace that does not exist": {
		&cloud.Error{Code: cloud.WorkspaceNotFound, Op: "export x"}, conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonWorkspaceNotFound, Message: "export x: WorkspaceNotFound"},
	},
	"a resource that does not exist": {
		&cloud.Error{Code: cloud.ResourceNotFound, Op: "export x"}, conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonResourceNotFound, Message: "export x: ResourceNotFound"},
	},
	"a resource that is not shared": {
		&cloud.Error{Code: cloud.CollaborationDenied, Op: "export x"},
		conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonCollaborationDenied, Message: "export x: CollaborationDenied"},
	},
	"an export that is under way": {
		conditions.Wait(v1alpha1.ReasonExportRunning, "running"), conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonExportRunning, Message: "running"},
	},
	"a bucket that is not there": {
		conditions.Wait(v1alpha1.ReasonDestinationNotFound, "no"), conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonDestinationNotFound, Message: "no"},
	},
	"a bucket that may not be used": {
		conditions.Wait(v1alpha1.ReasonDestinationDenied, "no"), conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonDestinationDenied, Message: "no"},
	},
	"a bucket that is full": {
		conditions.Wait(v1alpha1.ReasonDestinationFull, "no"), conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonDestinationFull, Message: "no"},
	},
	"a bucket that does not answer": {
		conditions.Wait(v1alpha1.ReasonDestinationUnavailable, "no"), conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonDestinationUnavailable, Message: "no"},
	},
	"an answer that means nothing": {
		&cloud.Error{Code: cloud.UnexpectedResponse, Op: "list x"}, conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonUnexpectedResponse, Message: "list x: UnexpectedResponse"},
	},
	"a class that does not exist": {
		&cloud.Error{Code: "Teapot", Op: "list x"}, conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonUnexpectedResponse, Message: "list x: Teapot"},
	},
	"a wrapped error of the cloud": {
		fmt.Errorf("pass: %w", &cloud.Error{Code: cloud.ProjectNotFound, Op: "list x"}),
		conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonProjectNotFound, Message: "list x: ProjectNotFound"},
	},
	"any other error": {
		errors.New("disk full"), conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressing, Message: "disk full"},
	},
	"a Secret that is not there": {
		conditions.Wait(v1alpha1.ReasonSecretNotFound, "Secret %s", "s"), conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonSecretNotFound, Message: "Secret s"},
	},
	"a Connection that cannot be used": {
		conditions.Wait(v1alpha1.ReasonConnectionNotReady, "no Secret"),
		conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonConnectionNotReady, Message: "no Secret"},
	},
	"a Connection that is being deleted and in use": {
		conditions.Wait(v1alpha1.ReasonInUse, "roles"), conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonInUse, Message: "roles"},
	},
	"a package that is not shared yet": {
		conditions.Held(plan.Hold{Reason: v1alpha1.ReasonSourceNotAvailable, Message: "not shared", Wait: true, RetryAfter: time.Minute}),
		conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonSourceNotAvailable, Message: "not shared", RetryAfter: time.Minute},
	},
	"a plan that must not be carried out": {
		conditions.Held(plan.Hold{Reason: v1alpha1.ReasonAlreadyExists, Message: "theirs"}),
		conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonAlreadyExists, Message: "theirs"},
	},
	"a wrapped wait": {
		fmt.Errorf("pass: %w", conditions.Wait(v1alpha1.ReasonConnectionNotReady, "wait")),
		conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonConnectionNotReady, Message: "wait"},
	},
	"an endpoint that is not allowed": {
		conditions.Stall(v1alpha1.ReasonEndpointNotAllowed, "endpoint %s", "e"), conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonEndpointNotAllowed, Message: "endpoint e"},
	},
	"a role that is somebody else's": {
		conditions.Stall(v1alpha1.ReasonAlreadyExists, "theirs"), conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonAlreadyExists, Message: "theirs"},
	},
	"a role that an older object owns": {
		conditions.Stall(v1alpha1.ReasonTargetConflict, "older"), conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonTargetConflict, Message: "older"},
	},
	"a create that cannot be told from somebody else's": {
		conditions.Stall(v1alpha1.ReasonCreateResultUnknown, "lost"), conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonCreateResultUnknown, Message: "lost"},
	},
	"a connection that does not allow the project": {
		conditions.Stall(v1alpha1.ReasonConnectionNotAllowed, "no"), conditions.Outcome{State: conditions.Stalled, Reason: v1alpha1.ReasonConnectionNotAllowed, Message: "no"},
	},
	"a look at what is being applied": {
		conditions.Wait(v1alpha1.ReasonProgressing, "soon"), conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonProgressing, Message: "soon"},
	},
	"changes of which some were refused": {
		conditions.PartiallyApplied([]error{&cloud.Error{Code: cloud.RemoteRejected, Op: "grant x"}}),
		conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonPartiallyApplied, Message: "1 left, all other changes applied; grant x: RemoteRejected"},
	},
}

func TestEveryCauseHasItsOutcome(t *testing.T) {
	for name, tc := range causes {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, conditions.FromError(tc.err)); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPartiallyAppliedNamesFive(t *testing.T) {
	var failures []error
	for i := range 7 {
		failures = append(failures, fmt.Errorf("grant %d", i))
	}
	tests := map[int]string{
		1: "1 left, all other changes applied; grant 0",
		5: "5 left, all other changes applied; grant 0; grant 1; grant 2; grant 3; grant 4",
		7: "7 left, all other changes applied; grant 0; grant 1; grant 2; grant 3; grant 4; and 2 more",
	}
	for n, want := range tests {
		err := conditions.PartiallyApplied(failures[:n])
		if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("%d failures (-want +got):\n%s", n, diff)
		}
		if !errors.Is(err, failures[n-1]) {
			t.Errorf("%d failures: the last is lost", n)
		}
	}
}

func TestPartiallyAppliedTakesApartWhatWasJoined(t *testing.T) {
	err := conditions.PartiallyApplied([]error{errors.Join(errors.New("a"), errors.New("b")), errors.New("c")})
	if want := "3 left, all other changes applied; a; b; c"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func TestOnlyOutcomesAreOutcomes(t *testing.T) {
	for name, err := range map[string]error{"nil": nil, "a plain error": errors.New("x"), "an error of the cloud": &cloud.Error{Code: cloud.InvalidSpec}} {
		if _, ok := conditions.OutcomeOf(err); ok {
			t.Errorf("%s was taken for an outcome", name)
		}
	}
	if outcome, ok := conditions.OutcomeOf(fmt.Errorf("pass: %w", conditions.Stall("R", "m"))); !ok || outcome.Reason != "R" {
		t.Errorf("OutcomeOf = %v, %v", outcome, ok)
	}
}

func TestAShutdownIsNoFailure(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	cause := &cloud.Error{Code: cloud.RemoteUnavailable, Err: context.Canceled}
	tests := map[string]struct {
		ctx  context.Context
		err  error
		want bool
	}{
		"a call that was cancelled":                 {t.Context(), cause, true},
		"a wrapped call that was":                   {t.Context(), fmt.Errorf("pass: %w", cause), true},
		"some changes of which one was cancelled":   {t.Context(), conditions.PartiallyApplied([]error{errors.New("x"), cause}), true},
		"any failure while the operator is stopped": {stopped, errors.New("x"), true},
		"no failure while the operator is stopped":  {stopped, nil, true},
		"a time-out":        {t.Context(), &cloud.Error{Err: context.DeadlineExceeded}, false},
		"any other failure": {t.Context(), errors.New("x"), false},
		"success":           {t.Context(), nil, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := conditions.IsShutdown(tc.ctx, tc.err); got != tc.want {
				t.Errorf("IsShutdown = %v, want %v", got, tc.want)
			}
		})
	}
}

// TestEveryReasonIsProvoked compares the constants in the source with the tables of this package.
func TestEveryReasonIsProvoked(t *testing.T) {
	covered := []string{
		conditions.Succeeded("").Reason, conditions.Observed("").Reason,
		v1alpha1.ReasonSuspended, // see TestAnObjectThatIsBornSuspendedSaysSo
		// Requests decide about themselves: see TestEveryStateOfARequest, TestSeveralOrdersOfOneRequest, TestReadyWhenSubmitted and
		// TestTheServiceEndsWhatItCan.
		v1alpha1.ReasonGranted, v1alpha1.ReasonGrantedNarrowed, v1alpha1.ReasonSubmitted, v1alpha1.ReasonAwaitingApproval, v1alpha1.ReasonApproved,
		v1alpha1.ReasonRejected, v1alpha1.ReasonWithdrawn, v1alpha1.ReasonExpired, v1alpha1.ReasonGrantFailed, v1alpha1.ReasonPartiallyGranted,
	}
	for _, outcome := range targetOutcomes(t) {
		covered = append(covered, outcome.Reason)
	}
	for _, tc := range causes {
		covered = append(covered, tc.want.Reason)
	}
	unique := map[string]bool{}
	for _, reason := range covered {
		unique[reason] = true
	}
	want, err := declared.Reasons("../..")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, unique, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("reasons (-declared +provoked):\n%s", diff)
	}
}

func TestJitterStaysNear(t *testing.T) {
	tests := map[string]struct{ interval, fallback, around time.Duration }{
		"an interval":   {time.Hour, time.Minute, time.Hour},
		"the fallback":  {0, time.Minute, time.Minute},
		"no time ever":  {0, 0, 0},
		"a short while": {10 * time.Second, 0, 10 * time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for range 1000 {
				if got := conditions.Jitter(tc.interval, tc.fallback); got < tc.around*9/10 || got > tc.around*11/10 {
					t.Fatalf("Jitter = %s, want %s give or take a tenth", got, tc.around)
				}
			}
		})
	}
}

func TestOnlySomeErrorsSaySomethingOfTheObject(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"a failed call":             {fmt.Errorf("pass: %w", &cloud.Error{Code: cloud.PermissionDenied}), true},
		"something to wait for":     {conditions.Wait("R", "m"), true},
		"a failure of another kind": {errors.New("the API server does not answer"), false},
		"no failure":                {nil, false},
	} {
		if got := conditions.Explains(tc.err); got != tc.want {
			t.Errorf("%s: Explains = %v, want %v", name, got, tc.want)
		}
	}
}
