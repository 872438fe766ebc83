package gitops_test

import (
	"errors"
	"maps"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
	"github.com/maxcompute-operator/maxcompute-operator/test/gitops"
)

// situations are the rows of the contract: all that is said to users of what an object's status means.
func situations() map[string]situation {
	all := map[string]situation{}
	for _, rows := range []map[string]situation{healthy(), healing(), waiting(), stalled(), changing(), halted()} {
		maps.Copy(all, rows)
	}
	return all
}

func healthy() map[string]situation {
	withoutRequests := append(append([]string{}, connections...), append(append([]string{}, targets...), exports...)...)
	return map[string]situation{
		"the remote equals the spec":         current(withoutRequests, succeeded),
		"a request was granted":              current(requests, ready(v1alpha1.ReasonGranted)),
		"a request was granted less":         current(requests, ready(v1alpha1.ReasonGrantedNarrowed)),
		"a request was submitted":            current(requests, ready(v1alpha1.ReasonSubmitted)),
		"looked at, and all is as specified": current(managed, sees()),
		"looked at, and it differs":          with(current(managed, sees(revocation)), says("looked at; to be as specified: "+plan.Outline([]plan.Step{revocation}))),
	}
}

// healing are failures that may end by themselves.
func healing() map[string]situation {
	return map[string]situation{
		"the service is not available":            inProgress(every, unavailable),
		"the service is not available any more":   inProgress(every, succeeded, unavailable),
		"an answer means nothing":                 inProgress(every, refused(cloud.UnexpectedResponse)),
		"the credentials are refused":             inProgress(every, refused(cloud.AuthenticationFailed)),
		"the identity may not":                    inProgress(every, refused(cloud.PermissionDenied)),
		"the service refuses the request":         inProgress(every, refused(cloud.RemoteRejected)),
		"the project is missing":                  inProgress(inProjects, refused(cloud.ProjectNotFound)),
		"a Secret is missing":                     inProgress(append(append([]string{}, connections...), exports...), waits(v1alpha1.ReasonSecretNotFound)),
		"the Connection is not Ready":             inProgress(users, waits(v1alpha1.ReasonConnectionNotReady)),
		"something else went wrong":               inProgress(every, failed(errors.New("the API server does not answer"))),
		"some grants were refused":                inProgress(inProjects, failed(conditions.PartiallyApplied([]error{&cloud.Error{Code: cloud.RemoteRejected, Op: "grant x"}}))),
		"the workspace is missing":                inProgress(exports, refused(cloud.WorkspaceNotFound)),
		"a resource is missing":                   inProgress(exports, refused(cloud.ResourceNotFound)),
		"a resource is not shared":                inProgress(exports, refused(cloud.CollaborationDenied)),
		"an export failed":                        inProgress(exports, refused(cloud.ExportFailed)),
		"the bucket is missing":                   inProgress(exports, waits(v1alpha1.ReasonDestinationNotFound)),
		"the bucket may not be used":              inProgress(exports, waits(v1alpha1.ReasonDestinationDenied)),
		"the bucket is full":                      inProgress(exports, waits(v1alpha1.ReasonDestinationFull)),
		"the bucket does not answer":              inProgress(exports, waits(v1alpha1.ReasonDestinationUnavailable)),
		"a write is not visible yet":              inProgress(targets, unsettles),
		"a write is not visible a second time":    inProgress(targets, unsettles, unsettles),
		"a failure followed one that was stalled": inProgress(every, invalid, unavailable),
		"it differed when it was looked at last":  inProgress(managed, sees(revocation), unavailable),
	}
}

// waiting is what others have to end.
func waiting() map[string]situation {
	notShared := failed(conditions.Held(plan.Hold{Reason: v1alpha1.ReasonSourceNotAvailable, Message: "not shared", Wait: true}))
	return map[string]situation{
		"a package is not shared":                      inProgress([]string{"PackageInstallation"}, notShared),
		"an approver has to decide":                    with(inProgress(requests, waits(v1alpha1.ReasonAwaitingApproval)), awaits),
		"an approver has to decide, and it was edited": with(inProgress(requests, waits(v1alpha1.ReasonAwaitingApproval), edited), says(unseen)),
		"approved, and not there yet":                  inProgress(requests, waits(v1alpha1.ReasonApproved)),
		"an export runs":                               inProgress(exports, waits(v1alpha1.ReasonExportRunning)),
	}
}

func stalled() map[string]situation {
	theirs := failed(conditions.Held(plan.Hold{Reason: v1alpha1.ReasonAlreadyExists, Message: "theirs"}))
	rows := map[string]situation{
		"the spec can never work":              dead(every, invalid),
		"the spec can never work any more":     dead(every, succeeded, invalid),
		"the endpoint is not allowed":          dead(connections, stalls(v1alpha1.ReasonEndpointNotAllowed)),
		"the remote object is somebody else's": dead(targets, theirs),
		"an older object owns the target":      dead(targets, stalls(v1alpha1.ReasonTargetConflict)),
		"the connection is not allowed":        dead(users, stalls(v1alpha1.ReasonConnectionNotAllowed)),
		"too much would be revoked":            dead(managed, exceeds),
		"writes do not stick":                  dead(targets, unsettles, unsettles, unsettles),
		"the outcome of a create is lost":      dead(inProjects, stalls(v1alpha1.ReasonCreateResultUnknown)),
	}
	for _, reason := range []string{
		v1alpha1.ReasonRejected, v1alpha1.ReasonWithdrawn, v1alpha1.ReasonExpired, v1alpha1.ReasonGrantFailed, v1alpha1.ReasonPartiallyGranted,
	} {
		rows["a request is over: "+reason] = dead(requests, stalls(reason))
	}
	return rows
}

// changing are changes that have not been decided.
func changing() map[string]situation {
	return map[string]situation{
		"just created":                                with(inProgress(every), says("not looked at yet")),
		"edited after it was ready":                   with(inProgress(every, succeeded, edited), says(unseen)),
		"edited after it was stalled":                 with(inProgress(every, invalid, edited), says(unseen)),
		"edited, and the change is being applied":     inProgress(every, succeeded, edited, applying),
		"edited, and the change has to wait":          inProgress(every, succeeded, edited, unavailable),
		"edited, and the change is in place":          current(every, succeeded, edited, applying, succeeded),
		"edited, and the change cannot work":          dead(every, succeeded, edited, invalid),
		"ready, and the decision was undone":          inProgress(every, succeeded, undecided),
		"stalled, and the decision was undone":        inProgress(every, invalid, undecided),
		"deleted":                                     terminating(every, succeeded),
		"deleted while it was stalled":                terminating(every, invalid),
		"deleted, and used":                           terminating(connections, waits(v1alpha1.ReasonInUse)),
		"deleted, and the deletion cannot be ended":   terminating(every, unavailable),
		"deleted, and an approver has to decide":      terminating(requests, waits(v1alpha1.ReasonAwaitingApproval)),
		"deleted before it was ever looked at":        with(terminating(every), says("not looked at yet")),
		"deleted, and what it owns is not to be seen": terminating(targets, waits(v1alpha1.ReasonProgressing)),
	}
}

// halted are suspended objects. Suspending is a change of the spec that is not decided before the object is resumed.
func halted() map[string]situation {
	frozen := func(s situation) situation { return with(s, isSuspended) }
	return map[string]situation{
		"born suspended":                                frozen(inProgress(every, stillborn)),
		"suspended before it was ever looked at":        with(frozen(inProgress(every)), says("not looked at yet")),
		"suspended after it was ready":                  frozen(inProgress(every, succeeded, edited, stillborn)),
		"suspended after it was stalled":                frozen(inProgress(every, invalid, edited, stillborn)),
		"suspended while it waited":                     frozen(inProgress(every, unavailable, edited, stillborn)),
		"suspended while an approver has to decide":     frozen(inProgress(requests, waits(v1alpha1.ReasonAwaitingApproval), edited, stillborn)),
		"resumed, and not looked at yet":                with(inProgress(every, succeeded, edited, stillborn, edited), says(unseen)),
		"resumed after it was born suspended":           with(inProgress(every, stillborn, edited), says(unseen)),
		"suspended and ready of the present generation": with(situation{kinds: every, history: []event{succeeded}, kstatus: status.CurrentStatus}, isSuspended),
		"deleted while it was suspended": with(terminating(every, succeeded, edited, stillborn), func(s *situation) {
			s.suspended = true
		}),
		"suspended, and an approver had to decide before": {
			kinds: requests, history: []event{waits(v1alpha1.ReasonAwaitingApproval)}, suspended: true, kstatus: status.InProgressStatus, health: gitops.Suspended,
		},
	}
}
