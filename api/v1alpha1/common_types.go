package v1alpha1

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConnectionKind is what a reference to a connection can name.
// +kubebuilder:validation:Enum=Connection;ClusterConnection
type ConnectionKind string

const (
	// ConnectionKindConnection is a Connection in the namespace of the object that refers to it.
	ConnectionKindConnection ConnectionKind = "Connection"
	// ConnectionKindClusterConnection is a ClusterConnection, which says what may use it.
	ConnectionKindClusterConnection ConnectionKind = "ClusterConnection"
)

// ConnectionReference names the Connection or ClusterConnection that an object uses.
type ConnectionReference struct {
	// kind is Connection, one in the same namespace, or ClusterConnection, one that allows this namespace and project.
	// +optional
	// +kubebuilder:default=Connection
	Kind ConnectionKind `json:"kind,omitempty"`

	// name of the Connection or ClusterConnection.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// IsCluster tells whether a ClusterConnection is meant.
func (r ConnectionReference) IsCluster() bool { return r.Kind == ConnectionKindClusterConnection }

// String shows the reference as "Connection prod".
func (r ConnectionReference) String() string {
	if r.IsCluster() {
		return string(ConnectionKindClusterConnection) + " " + r.Name
	}
	return string(ConnectionKindConnection) + " " + r.Name
}

// DeletionPolicy decides what happens in the cloud when an object is deleted.
// +kubebuilder:validation:Enum=Delete;Retain
type DeletionPolicy string

const (
	// DeletionDelete removes what the object created or granted.
	DeletionDelete DeletionPolicy = "Delete"
	// DeletionRetain leaves the cloud as it is.
	DeletionRetain DeletionPolicy = "Retain"
)

// ManagementPolicy decides what becomes of remote state that the spec does not list.
// +kubebuilder:validation:Enum=Authoritative;Additive;Observe
type ManagementPolicy string

const (
	// ManagementAuthoritative: what the object manages is exactly the spec; surplus is removed.
	ManagementAuthoritative ManagementPolicy = "Authoritative"
	// ManagementAdditive: what is listed is ensured; the rest is left alone and counted in status.foreign.
	ManagementAdditive ManagementPolicy = "Additive"
	// ManagementObserve: nothing is ever written to the cloud; the difference is reported.
	ManagementObserve ManagementPolicy = "Observe"
)

// AdoptionPolicy decides what to do when the remote object exists and this object did not create it.
// +kubebuilder:validation:Enum=Fail;Adopt
type AdoptionPolicy string

const (
	// AdoptionFail stalls with reason AlreadyExists and says what adopting would change.
	AdoptionFail AdoptionPolicy = "Fail"
	// AdoptionAdopt brings the remote object under management.
	AdoptionAdopt AdoptionPolicy = "Adopt"
)

// SyncStatus is what every kind reports about its passes.
type SyncStatus struct {
	// observedGeneration is the last generation that was decided: found Ready, or Stalled.
	// +optional
	// +kubebuilder:default=-1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, and while True, Reconciling or Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// lastHandledReconcileAt is the last value of the annotation maxcompute-operator.io/requested-at that a pass has handled.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
}

// TargetStatus is what every kind reports that manages an object in the cloud.
type TargetStatus struct {
	// created tells that this object created the remote object, so that deleting the one removes the other.
	// +optional
	Created bool `json:"created,omitempty"`

	// creating tells that a create was sent, or is about to be, and that its outcome is not known yet.
	// +optional
	Creating bool `json:"creating,omitempty"`

	// creatingTime is when that create was about to be sent; of several attempts within half a minute, the first.
	// +optional
	CreatingTime *metav1.Time `json:"creatingTime,omitempty"`

	// adopted tells that the remote object was there before and is now managed by this one: it was, or has been brought to, what the
	// spec says. It stays when this object is deleted; only what this object granted is taken back.
	// +optional
	Adopted bool `json:"adopted,omitempty"`

	// endpoint is the service at which created, adopted and applied hold, or else the one at which the target was last looked at.
	// Should the Connection come to name another service, nothing is done there: what has the same name there would be somebody
	// else's. Another name of the same service, such as the one for use within a VPC, changes nothing.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Endpoint string `json:"endpoint,omitempty"`

	// observing tells that this object only looks at its target: managementPolicy was Observe in the last pass.
	// +optional
	Observing bool `json:"observing,omitempty"`

	// managedSince is when this object turned from managementPolicy Observe to another one. Of two objects that name the same target
	// it counts as created then. Unset of one that never did.
	// +optional
	ManagedSince *metav1.Time `json:"managedSince,omitempty"`

	// applied lists what this object granted, or is about to grant.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8000
	Applied []InventoryEntry `json:"applied,omitempty"`

	// drift lists what differed at the last look and was not corrected: under managementPolicy Observe, while the object waits for a
	// decision, and what the service refused. At most 20 entries; driftCount has the whole number.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Drift []DriftEntry `json:"drift,omitempty"`

	// driftCount is how many entries differed and were not corrected.
	// +optional
	DriftCount int32 `json:"driftCount,omitempty"`

	// foreign is how many permissions and members the remote object holds that the spec does not list and that are left alone:
	// pairs of object and action, members, statements of a policy, and projects that may install a package. Only under
	// managementPolicy Additive.
	// +optional
	Foreign int32 `json:"foreign,omitempty"`

	// pendingPlan waits for somebody to approve it, by the annotation maxcompute-operator.io/approve-plan with its hash.
	// +optional
	PendingPlan *PendingPlan `json:"pendingPlan,omitempty"`

	// approvedPlan is the hash of the plan that was approved and carried out last, or is being carried out. An approval is used once: the
	// hash of a plan covers the generation and lastAppliedTime, so the same plan at another time has another hash.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ApprovedPlan string `json:"approvedPlan,omitempty"`

	// recurring lists the differences that were corrected last, and how many times in a row each of them has come back. After three
	// corrections that something else has undone, the object stalls with reason NonConvergent and is only read.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Recurring []RecurringCorrection `json:"recurring,omitempty"`

	// unsettled counts passes in a row that wrote to the cloud and did not find there what they had written. After three the object
	// stalls with reason NonConvergent and is only looked at.
	// +optional
	Unsettled int32 `json:"unsettled,omitempty"`

	// lastAppliedTime is when something was last written to the cloud for this object.
	// +optional
	LastAppliedTime *metav1.Time `json:"lastAppliedTime,omitempty"`
}

// DriftChange is what would have to be done about a difference.
// +kubebuilder:validation:Enum=Grant;Revoke;AddMember;RemoveMember;SetPolicy;Add;Remove;Allow;Disallow;Create
type DriftChange string

// DriftEntry is one difference between the spec and the cloud.
type DriftEntry struct {
	// change is what would have to be done about it.
	// +required
	Change DriftChange `json:"change"`

	// kind of the remote object: Role, Package, Installation, Policy, Member, AllowedProject, or a kind of object that a permission is about.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Kind string `json:"kind"`

	// schemaName of the remote object; absent for kinds that live in no schema.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	SchemaName string `json:"schemaName,omitempty"`

	// name of the remote object.
	// +required
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name"`

	// actions that differ.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=64
	Actions []string `json:"actions,omitempty"`
}

// PendingPlan is a plan that takes so much away that somebody has to approve it.
type PendingPlan struct {
	// hash names the plan and what it was computed from.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Hash string `json:"hash"`

	// summary of the plan, such as "granted 3, revoked 200".
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Summary string `json:"summary,omitempty"`

	// grants is how many permissions and members would be added.
	// +optional
	Grants int32 `json:"grants,omitempty"`

	// revokes is how many permissions and members would be taken away.
	// +optional
	Revokes int32 `json:"revokes,omitempty"`
}

// RecurringCorrection is a difference that came back after it was corrected.
type RecurringCorrection struct {
	// step is what was done about it, such as "Grant Select on Table orders".
	// +required
	// +kubebuilder:validation:MaxLength=256
	Step string `json:"step"`

	// times is how many times in a row it was done.
	// +required
	Times int32 `json:"times"`
}

// InventoryEntry is one thing that the object has granted, or is about to grant, in the cloud.
type InventoryEntry struct {
	// kind of what was granted: an object that a permission is about (Table, Resource, Function, Package, Project, Instance), a
	// Member, a Statement of the policy, named by its fingerprint, or an AllowedProject, which may install a package; one that was allowed
	// before has the label that it had in the place of actions.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Kind string `json:"kind"`

	// schemaName of the remote object; absent for kinds that live in no schema.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	SchemaName string `json:"schemaName,omitempty"`

	// name of the remote object.
	// +required
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name"`

	// actions granted on it.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=64
	Actions []string `json:"actions,omitempty"`
}

// RemoteTarget names what an object manages in the cloud.
// +kubebuilder:object:generate=false
type RemoteTarget struct {
	// Kind is what it is, in words: "role".
	Kind string
	// ProjectName is the project that it is in.
	ProjectName string
	// Name is what the service calls it.
	Name string
}

// String shows the target as "role bi_reader in project analytics_prod".
func (t RemoteTarget) String() string {
	return fmt.Sprintf("%s %s in project %s", t.Kind, t.Name, t.ProjectName)
}

// Key is the same for all spellings of one target of a kind: the service compares names without case.
func (t RemoteTarget) Key() string { return strings.ToLower(t.ProjectName + "/" + t.Name) }

// orZero reads an optional duration.
func orZero(d *metav1.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return d.Duration
}
