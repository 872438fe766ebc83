package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConnectionReference names the Connection that an object uses.
type ConnectionReference struct {
	// name of a Connection in the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
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
// +kubebuilder:validation:Enum=Authoritative
type ManagementPolicy string

const (
	// ManagementAuthoritative: what the object manages is exactly the spec; surplus is removed.
	ManagementAuthoritative ManagementPolicy = "Authoritative"
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

// InventoryEntry is one thing that the object has granted, or is about to grant, in the cloud.
type InventoryEntry struct {
	// kind of the remote object: Table, Resource, Function, Package, Project or Instance.
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

// orZero reads an optional duration.
func orZero(d *metav1.Duration) time.Duration {
	if d == nil {
		return 0
	}
	return d.Duration
}
