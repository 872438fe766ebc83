package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ReadyWhen decides when a request counts as Ready.
// +kubebuilder:validation:Enum=Granted;Submitted
type ReadyWhen string

const (
	// ReadyWhenGranted: when the permissions are there.
	ReadyWhenGranted ReadyWhen = "Granted"
	// ReadyWhenSubmitted: as soon as the request waits for its approver, so that a GitOps sync need not wait for a person.
	ReadyWhenSubmitted ReadyWhen = "Submitted"
)

// RevocationPolicy decides what happens to a request when its object is deleted.
// +kubebuilder:validation:Enum=Revoke;Retain
type RevocationPolicy string

const (
	// RevocationRevoke withdraws a request that nobody has decided about, and revokes what was granted.
	RevocationRevoke RevocationPolicy = "Revoke"
	// RevocationRetain leaves requests and permissions as they are.
	RevocationRetain RevocationPolicy = "Retain"
)

// ApplyType is what a request is about.
// +kubebuilder:validation:Enum=MaxComputeTable
type ApplyType string

// ApplyTypeTable is a request for tables of MaxCompute. The service knows other types, but not what may be asked for on them, nor how it
// is revoked.
const ApplyTypeTable ApplyType = "MaxComputeTable"

// PermissionApplySpec is a request for permissions on tables, which a person approves in DataWorks. The request is immutable: another
// request is another object.
// +kubebuilder:validation:XValidation:rule="!has(self.deadline) || !has(self.duration)",message="deadline and duration exclude each other"
// +kubebuilder:validation:XValidation:rule="has(self.deadline) == has(oldSelf.deadline) && (!has(self.deadline) || self.deadline == oldSelf.deadline)",message="deadline is immutable: a request with another one is another object"
// +kubebuilder:validation:XValidation:rule="has(self.duration) == has(oldSelf.duration) && (!has(self.duration) || self.duration == oldSelf.duration)",message="duration is immutable: a request with another one is another object"
type PermissionApplySpec struct {
	// connectionRef names the Connection or ClusterConnection whose account makes the request. Immutable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="connectionRef is immutable: a request by another account is another object"
	ConnectionRef ConnectionReference `json:"connectionRef"`

	// applyUserIDs are the ids of the Alibaba Cloud accounts or RAM users that get the permissions, such as 267842600408993176. Immutable.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=20
	// +kubebuilder:validation:items:Pattern=`^[0-9]+$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="applyUserIDs is immutable: a request for others is another object"
	ApplyUserIDs []string `json:"applyUserIDs"`

	// reason is what the approver reads. A mark is added to it by which the request is found again. Immutable.
	// +required
	// +kubebuilder:validation:MaxLength=500
	// +kubebuilder:validation:Pattern=`\S`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="reason is immutable: a request for another reason is another object"
	Reason string `json:"reason"`

	// projectName is the MaxCompute project of the tables. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="projectName is immutable: a request in another project is another object"
	ProjectName string `json:"projectName"`

	// workspaceID is the id of the DataWorks workspace that the project belongs to. Immutable.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=9007199254740991
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="workspaceID is immutable: a request in another workspace is another object"
	WorkspaceID int64 `json:"workspaceID"`

	// deadline is when the permissions end. Without deadline and duration they end on 2065-01-01, the service's own default. Immutable.
	// +optional
	// +kubebuilder:validation:XValidation:rule="timestamp(self) > timestamp('2026-11-01T00:00:00Z')",message="deadline is in the past"
	Deadline *metav1.Time `json:"deadline,omitempty"`

	// duration is how long after its submission the permissions end, such as 720h, in place of a deadline. Immutable.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('262800h')",message="duration must be at least 1m and at most 262800h"
	Duration *metav1.Duration `json:"duration,omitempty"`

	// applyType is what the request is about: tables of MaxCompute. Immutable.
	// +optional
	// +kubebuilder:default=MaxComputeTable
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="applyType is immutable: a request of another type is another object"
	ApplyType ApplyType `json:"applyType,omitempty"`

	// catalogName is for types of requests that are not supported; empty for tables of MaxCompute.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self == ''",message="catalogName must be empty: tables of MaxCompute have no catalog"
	CatalogName string `json:"catalogName,omitempty"`

	// objects are the tables, with at most 2000 columns named in all. Immutable.
	// +required
	// +listType=map
	// +listMapKey=schemaName
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=400
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="objects is immutable: a request for other tables, columns or actions is another object"
	// +kubebuilder:validation:XValidation:rule="self.map(o, has(o.columns) ? size(o.columns) : 0).sum() <= 2000",message="a request may name at most 2000 columns in all, so that its status can be stored; ask for the others in another object"
	Objects []ApplyObject `json:"objects"`

	// readyWhen decides when the object becomes Ready: when the permissions are there, or as soon as the request was submitted. A
	// request that was refused is not Ready either way.
	// +optional
	// +kubebuilder:default=Granted
	ReadyWhen ReadyWhen `json:"readyWhen,omitempty"`

	// deletionPolicy decides what happens when this object is deleted. Revoke withdraws the request if nobody has decided about it, and
	// revokes what was granted; with API version 2020-05-18, which cannot withdraw, the object stays until the request is decided.
	// Retain leaves everything as it is.
	// +optional
	// +kubebuilder:default=Revoke
	DeletionPolicy RevocationPolicy `json:"deletionPolicy,omitempty"`

	// suspend stops every call to the cloud for this object: nothing is submitted, looked at, or revoked at the deadline. Deleting a
	// suspended object leaves the cloud as it is.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// interval is the longest time between two looks at a request that waits for its approver, ±10 %. Unset, a request is looked at
	// after a minute and then the less often the older it is, at last every four hours. A daily budget of calls comes first.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m')",message="interval must be at least 1m"
	Interval *metav1.Duration `json:"interval,omitempty"`
}

// TableAction is an action that can be asked for on a table.
// +kubebuilder:validation:Enum=Select;Describe;Drop;Alter;Update;Download
type TableAction string

// ColumnAction is an action that can be asked for on a column.
// +kubebuilder:validation:Enum=Select;Describe;Download
type ColumnAction string

// ApplyObject is a table, and what is asked for on it.
type ApplyObject struct {
	// schemaName of the table. Name it in a project that has schemas, even if it is default, and leave it out in one that has none. API
	// version 2020-05-18 knows no schemas but default.
	// +optional
	// +kubebuilder:default=""
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_]*$`
	SchemaName string `json:"schemaName,omitempty"`

	// name of the table.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_]+$`
	Name string `json:"name"`

	// actions that are asked for.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=6
	Actions []TableAction `json:"actions"`

	// columns limit Select, Describe and Download to these columns. Absent means the whole table, with all columns that it has when the
	// request is submitted.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	Columns []ApplyColumn `json:"columns,omitempty"`
}

// ApplyColumn is a column, and what is asked for on it.
type ApplyColumn struct {
	// name of the column.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name"`

	// actions that are asked for on the column; absent means those of the table that columns can have.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	Actions []ColumnAction `json:"actions,omitempty"`
}

// RequestState is how far a request is.
// +kubebuilder:validation:Enum=Pending;Approved;Granted;PartiallyGranted;Rejected;GrantFailed;Withdrawn;Expired
type RequestState string

// The states of a request, and but for PartiallyGranted, of its orders.
const (
	// RequestPending waits for an approver.
	RequestPending RequestState = "Pending"
	// RequestApproved was approved, and its permissions are not there yet.
	RequestApproved RequestState = "Approved"
	// RequestGranted was approved, and the permissions are there.
	RequestGranted RequestState = "Granted"
	// RequestPartiallyGranted was granted in some of its orders, and in the others not.
	RequestPartiallyGranted RequestState = "PartiallyGranted"
	// RequestRejected was refused by an approver.
	RequestRejected RequestState = "Rejected"
	// RequestGrantFailed was approved, and its permissions could not be granted, or not all of them.
	RequestGrantFailed RequestState = "GrantFailed"
	// RequestWithdrawn was taken back before anybody decided.
	RequestWithdrawn RequestState = "Withdrawn"
	// RequestExpired is over: the permissions have ended, or nobody decided before the deadline.
	RequestExpired RequestState = "Expired"
)

// PermissionApplyStatus is what became of the request.
type PermissionApplyStatus struct {
	SyncStatus `json:",inline"`

	// state is how far the request is; absent until it was submitted.
	// +optional
	State RequestState `json:"state,omitempty"`

	// endpoint is the DataWorks service at which the request was made. Should the Connection come to name another one, nothing is done
	// there: it knows nothing of the request.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Endpoint string `json:"endpoint,omitempty"`

	// identity is a fingerprint of who submitted the request. Orders can only be searched by who has made them.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Identity string `json:"identity,omitempty"`

	// apiVersion is the version of the DataWorks API that the request is made with.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	APIVersion string `json:"apiVersion,omitempty"`

	// submissionTime is when the request was first submitted, or about to be.
	// +optional
	SubmissionTime *metav1.Time `json:"submissionTime,omitempty"`

	// requestedUntil is when the permissions are to end: the deadline, or the end of the duration. Absent if the request names neither.
	// +optional
	RequestedUntil *metav1.Time `json:"requestedUntil,omitempty"`

	// revokeAtDeadline tells that the service can grant the permissions only for ever, so that it was asked for that, and that it is the
	// operator that revokes them at requestedUntil.
	// +optional
	RevokeAtDeadline bool `json:"revokeAtDeadline,omitempty"`

	// grantedUntil is when the first of the granted permissions ends.
	// +optional
	GrantedUntil *metav1.Time `json:"grantedUntil,omitempty"`

	// submissions are the calls that the request takes: one, unless it is too large for that.
	// +optional
	// +listType=map
	// +listMapKey=token
	// +kubebuilder:validation:MaxItems=500
	Submissions []Submission `json:"submissions,omitempty"`

	// orders are what the service made of the request: one per call and set of approvers.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=1000
	Orders []PermissionOrder `json:"orders,omitempty"`
}

// Submission is a call that submits the request, or a part of it.
type Submission struct {
	// token makes the call one of its own: it is in the mark at the end of the orders' reason and, where the API has that, the
	// ClientToken of the call.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Token string `json:"token"`

	// objects of the call.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=400
	Objects []SubmittedObject `json:"objects,omitempty"`

	// userIDs of the call; absent means all of the request.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=20
	UserIDs []string `json:"userIDs,omitempty"`

	// attempts is how often the call was made, or about to be.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`

	// sendingTime is when the call was made last, or about to be. Present only while its outcome is not known.
	// +optional
	SendingTime *metav1.Time `json:"sendingTime,omitempty"`

	// orderIDs are the orders that came of it.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MaxLength=128
	OrderIDs []string `json:"orderIDs,omitempty"`
}

// SubmittedObject is a table in a call.
type SubmittedObject struct {
	// schemaName of the table.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	SchemaName string `json:"schemaName,omitempty"`

	// name of the table.
	// +required
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name"`

	// columns that were found for the whole table, where the API wants them named.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1200
	// +kubebuilder:validation:items:MaxLength=255
	Columns []string `json:"columns,omitempty"`
}

// PermissionOrder is an order in DataWorks.
type PermissionOrder struct {
	// id of the order: a FlowId, or the id of a process instance.
	// +required
	// +kubebuilder:validation:MaxLength=128
	ID string `json:"id"`

	// apiVersion of the DataWorks API that made the order and can read it.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	APIVersion string `json:"apiVersion,omitempty"`

	// state of the order.
	// +optional
	State RequestState `json:"state,omitempty"`

	// submittedAt is when the order was made.
	// +optional
	SubmittedAt *metav1.Time `json:"submittedAt,omitempty"`

	// finishedAt is when it was decided, by the service's clock.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`

	// comment of the approver, if the API tells it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Comment string `json:"comment,omitempty"`

	// grantedUntil is when the first of its permissions ends.
	// +optional
	GrantedUntil *metav1.Time `json:"grantedUntil,omitempty"`

	// granted is what was granted in the end.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4000
	Granted []GrantedObject `json:"granted,omitempty"`

	// narrowed tells that less was granted than was asked for: fewer actions or columns, or for a shorter time.
	// +optional
	Narrowed bool `json:"narrowed,omitempty"`

	// revokedAt is when the operator had revoked all of it.
	// +optional
	RevokedAt *metav1.Time `json:"revokedAt,omitempty"`
}

// GrantedObject is what was granted on a table.
type GrantedObject struct {
	// schemaName of the table.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	SchemaName string `json:"schemaName,omitempty"`

	// name of the table.
	// +required
	// +kubebuilder:validation:MaxLength=255
	Name string `json:"name"`

	// actions that were granted, on the table or on some of its columns.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=64
	Actions []string `json:"actions,omitempty"`

	// userIDs of those who got them; absent means all of the request.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:items:MaxLength=64
	UserIDs []string `json:"userIDs,omitempty"`

	// columns that they are limited to; absent means the whole table.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1200
	// +kubebuilder:validation:items:MaxLength=255
	Columns []string `json:"columns,omitempty"`

	// until is when the service ends them, if it does and says so.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// revokeAtEnd tells that the service does not end them in time, so that the operator has to: it has granted them for ever; or another
	// request that had granted the same for longer went before.
	// +optional
	RevokeAtEnd bool `json:"revokeAtEnd,omitempty"`

	// revoked tells that the operator has revoked them.
	// +optional
	Revoked bool `json:"revoked,omitempty"`
}

// PermissionApply is a request for permissions on MaxCompute tables, which a person approves in DataWorks. It is submitted once and
// followed until it is decided; what was granted ends at the deadline, or when this object is deleted.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=permissionapplies,shortName=mcapply,categories=maxcompute
// +kubebuilder:printcolumn:name="Project",type=string,JSONPath=`.spec.projectName`
// +kubebuilder:printcolumn:name="Workspace",type=integer,JSONPath=`.spec.workspaceID`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="State",type=string,priority=1,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Until",type=string,priority=1,JSONPath=`.status.grantedUntil`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Connection",type=string,priority=1,JSONPath=`.spec.connectionRef.name`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,priority=1,JSONPath=`.spec.suspend`
type PermissionApply struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is asked for.
	// +required
	Spec PermissionApplySpec `json:"spec"`

	// status is what became of it.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status PermissionApplyStatus `json:"status,omitzero"`
}

// PermissionApplyList is a list of PermissionApplies.
// +kubebuilder:object:root=true
type PermissionApplyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PermissionApply `json:"items"`
}

// GetSyncStatus gives access to the status fields that every kind shares.
func (p *PermissionApply) GetSyncStatus() *SyncStatus { return &p.Status.SyncStatus }

// GetConnectionRef names the connection that the object uses.
func (p *PermissionApply) GetConnectionRef() ConnectionReference { return p.Spec.ConnectionRef }

// IsSuspended tells whether no call to the cloud may be made for the object.
func (p *PermissionApply) IsSuspended() bool { return p.Spec.Suspend }

// GetInterval is the longest wanted time between two looks, 0 if it is left to the operator.
func (p *PermissionApply) GetInterval() time.Duration { return orZero(p.Spec.Interval) }

// IsRetained tells whether deleting the object leaves the cloud as it is.
func (p *PermissionApply) IsRetained() bool { return p.Spec.DeletionPolicy == RevocationRetain }

// forEver is the year in which permissions end that have no end, by the documentation of DataWorks.
const forEver = 2065

// EndOf is when a permission ends, by the service or by the operator; nil if it does not.
func (s *PermissionApplyStatus) EndOf(g *GrantedObject) *metav1.Time {
	if g.RevokeAtEnd && s.RequestedUntil != nil && (g.Until == nil || g.Until.Year() >= forEver) {
		return s.RequestedUntil
	}
	return g.Until
}

// IsSubmitted tells whether there are orders of the request, or may be.
func (p *PermissionApply) IsSubmitted() bool {
	if len(p.Status.Orders) > 0 {
		return true
	}
	for _, s := range p.Status.Submissions {
		if s.SendingTime != nil || len(s.OrderIDs) > 0 {
			return true
		}
	}
	return false
}
