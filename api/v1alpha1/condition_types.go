package v1alpha1

// Condition types. Ready is present from the first pass on; Reconciling and Stalled only while True, and never both, so that
// kstatus reads them as it should.
const (
	// ReadyCondition is True when the cloud was seen to be as the spec wants it.
	ReadyCondition = "Ready"
	// ReconcilingCondition is True while the operator works or waits and will go on by itself.
	ReconcilingCondition = "Reconciling"
	// StalledCondition is True when nothing will happen until somebody changes the object or what it refers to.
	StalledCondition = "Stalled"
	// DriftedCondition is True while the cloud differs from the spec of an object that only observes; present only while True. Health
	// checks ignore it.
	DriftedCondition = "Drifted"
)

// Reasons of the Ready condition while all is well or under way.
const (
	// ReasonSucceeded: the cloud equalled the spec at the last look.
	ReasonSucceeded = "Succeeded"
	// ReasonObserved: the look succeeded; under managementPolicy Observe nothing is written, whatever was seen.
	ReasonObserved = "Observed"
	// ReasonProgressing: work is under way, or a write is not visible yet.
	ReasonProgressing = "Progressing"
	// ReasonGranted: the request was approved, and the permissions are there.
	ReasonGranted = "Granted"
	// ReasonGrantedNarrowed: the request was approved with fewer actions or a shorter time than asked for, and the permissions are there.
	ReasonGrantedNarrowed = "GrantedNarrowed"
	// ReasonSubmitted: the request was submitted, which is all that its readyWhen wants.
	ReasonSubmitted = "Submitted"
	// ReasonSuspended: the object was suspended before its first pass.
	ReasonSuspended = "Suspended"
)

// Reasons of a Ready condition that is False while the operator keeps trying.
const (
	// ReasonRemoteUnavailable: throttled, a server error, a lost connection or a time-out.
	ReasonRemoteUnavailable = "RemoteUnavailable"
	// ReasonUnexpectedResponse: an answer that could not be understood, so that nothing was concluded from it.
	ReasonUnexpectedResponse = "UnexpectedResponse"
	// ReasonSecretNotFound: a Connection's Secret does not exist or lacks a key.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonConnectionNotReady: the Connection that the object refers to cannot be used.
	ReasonConnectionNotReady = "ConnectionNotReady"
	// ReasonAuthenticationFailed: the service refused the credentials.
	ReasonAuthenticationFailed = "AuthenticationFailed"
	// ReasonPermissionDenied: the service knows the identity and does not let it do this, or the manager may not ask what others own.
	ReasonPermissionDenied = "PermissionDenied"
	// ReasonProjectNotFound: the MaxCompute project does not exist.
	ReasonProjectNotFound = "ProjectNotFound"
	// ReasonRemoteRejected: the service refused a request as invalid.
	ReasonRemoteRejected = "RemoteRejected"
	// ReasonSourceNotAvailable: the package to be installed does not exist, is not shared with the project, or cannot be used there.
	ReasonSourceNotAvailable = "SourceNotAvailable"
	// ReasonAwaitingApproval: the request waits for a person to approve it.
	ReasonAwaitingApproval = "AwaitingApproval"
	// ReasonApproved: the request was approved, but its permissions are not there yet.
	ReasonApproved = "Approved"
	// ReasonExportRunning: an export is under way, or waits for others to end.
	ReasonExportRunning = "ExportRunning"
	// ReasonExportFailed: the stream of an export ended early, stood still or was too large, or what was received could not be stored.
	ReasonExportFailed = "ExportFailed"
	// ReasonWorkspaceNotFound: the DataArts Insight workspace does not exist.
	ReasonWorkspaceNotFound = "WorkspaceNotFound"
	// ReasonResourceNotFound: a resource that is to be exported does not exist.
	ReasonResourceNotFound = "ResourceNotFound"
	// ReasonCollaborationDenied: a resource that is to be exported is not shared with the identity.
	ReasonCollaborationDenied = "CollaborationDenied"
	// ReasonDestinationNotFound: the bucket, or the manager's --export-directory, does not exist.
	ReasonDestinationNotFound = "DestinationNotFound"
	// ReasonDestinationDenied: the bucket or the directory may not be used, or a symbolic link is in the way.
	ReasonDestinationDenied = "DestinationDenied"
	// ReasonDestinationFull: no space is left where an export is received or stored.
	ReasonDestinationFull = "DestinationFull"
	// ReasonDestinationUnavailable: the object storage does not answer, or not now.
	ReasonDestinationUnavailable = "DestinationUnavailable"
	// ReasonInUse: a Connection is being deleted and waits for the objects that use it.
	ReasonInUse = "InUse"
	// ReasonPartiallyApplied: some changes were refused; all others are in place.
	ReasonPartiallyApplied = "PartiallyApplied"
)

// Reasons of a Ready condition that is False together with Stalled.
const (
	// ReasonInvalidSpec: the spec can never work.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonEndpointNotAllowed: the Connection names an endpoint outside the manager's --allowed-endpoint-suffixes.
	ReasonEndpointNotAllowed = "EndpointNotAllowed"
	// ReasonAlreadyExists: the remote object exists and this object did not create it.
	ReasonAlreadyExists = "AlreadyExists"
	// ReasonTargetConflict: another object owns the same remote target.
	ReasonTargetConflict = "TargetConflict"
	// ReasonConnectionNotAllowed: the ClusterConnection does not allow the object's namespace or project.
	ReasonConnectionNotAllowed = "ConnectionNotAllowed"
	// ReasonRevokeLimitExceeded: the plan takes more away than may go without somebody's approval.
	ReasonRevokeLimitExceeded = "RevokeLimitExceeded"
	// ReasonNonConvergent: writes were accepted three times and are not to be seen.
	ReasonNonConvergent = "NonConvergent"
	// ReasonCreateResultUnknown: a create was sent, its outcome was lost, and what exists now cannot be told from somebody else's.
	ReasonCreateResultUnknown = "CreateResultUnknown"
	// ReasonRejected: an approver refused the request.
	ReasonRejected = "Rejected"
	// ReasonWithdrawn: somebody took the request back before it was decided.
	ReasonWithdrawn = "Withdrawn"
	// ReasonExpired: the permissions have ended, or nobody decided before the deadline.
	ReasonExpired = "Expired"
	// ReasonGrantFailed: the request was approved, but its permissions could not be granted, or not all of them.
	ReasonGrantFailed = "GrantFailed"
	// ReasonPartiallyGranted: some orders of the request were granted, others not.
	ReasonPartiallyGranted = "PartiallyGranted"
)

const (
	// Finalizer is on every object that may own something in the cloud, from before its first write until that is gone, and on
	// Connections, which go after the objects that use them.
	Finalizer = "maxcompute-operator.io/finalizer"
	// RequestedAtAnnotation asks for a pass now when its value changes; status.lastHandledReconcileAt echoes the value.
	RequestedAtAnnotation = "maxcompute-operator.io/requested-at"
	// ApprovePlanAnnotation approves the plan whose hash it holds: status.pendingPlan.hash.
	ApprovePlanAnnotation = "maxcompute-operator.io/approve-plan"
)
