package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ClusterConnectionSpec is a connection and what may use it.
type ClusterConnectionSpec struct {
	ConnectionSpec `json:",inline"`

	// allowedNamespaces are the namespaces whose objects may use the connection: those that are named, and those that the selector
	// matches. Absent means none.
	// +optional
	AllowedNamespaces *AllowedNamespaces `json:"allowedNamespaces,omitempty"`

	// allowedProjects are patterns of the MaxCompute projects that objects may name through the connection or, with huaweiCloud, of the
	// ids of DataArts Insight workspaces; "*" stands for any characters. They compare without case. Absent means all; empty means none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9_*-]+$`
	AllowedProjects []string `json:"allowedProjects,omitzero"`
}

// AllowedNamespaces selects namespaces, by name or by label: a namespace that either selects is allowed.
type AllowedNamespaces struct {
	// names of namespaces.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Names []string `json:"names,omitempty"`

	// selector of labels of namespaces. An empty selector matches every namespace.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// ClusterConnection is an account, its endpoints and where its credentials are, for the namespaces and projects that it allows.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=mcclusterconn,categories=maxcompute
// +kubebuilder:printcolumn:name="Region",type=string,JSONPath=`.spec['alibabaCloud','huaweiCloud'].region`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,priority=1,JSONPath=`.spec.suspend`
type ClusterConnection struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is wanted.
	// +required
	// +kubebuilder:validation:XValidation:rule="!has(self.alibabaCloud) || !has(self.alibabaCloud.credentials.secretRef) || has(self.alibabaCloud.credentials.secretRef.__namespace__)",message="secretRef.namespace is required in a ClusterConnection"
	// +kubebuilder:validation:XValidation:rule="!has(self.huaweiCloud) || has(self.huaweiCloud.credentials.secretRef.__namespace__)",message="secretRef.namespace is required in a ClusterConnection"
	// +kubebuilder:validation:XValidation:rule="!has(self.alibabaCloud) || !has(self.alibabaCloud.credentials.workloadIdentity) || has(self.alibabaCloud.credentials.workloadIdentity.serviceAccountNamespace)",message="workloadIdentity.serviceAccountNamespace is required in a ClusterConnection"
	Spec ClusterConnectionSpec `json:"spec"`

	// status is what was seen.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status ConnectionStatus `json:"status,omitzero"`
}

// ClusterConnectionList is a list of ClusterConnections.
// +kubebuilder:object:root=true
type ClusterConnectionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterConnection `json:"items"`
}

// GetSyncStatus gives access to the status fields that every kind shares.
func (c *ClusterConnection) GetSyncStatus() *SyncStatus { return &c.Status.SyncStatus }

// IsSuspended tells whether the object's checks are stopped.
func (c *ClusterConnection) IsSuspended() bool { return c.Spec.Suspend }

// GetInterval is the wanted interval between two checks, 0 if the manager's default is to be used.
func (c *ClusterConnection) GetInterval() time.Duration { return orZero(c.Spec.Interval) }

// IsCluster tells that the object is a ClusterConnection.
func (c *ClusterConnection) IsCluster() bool { return true }

// GetConnectionSpec gives access to what Connections and ClusterConnections share.
func (c *ClusterConnection) GetConnectionSpec() *ConnectionSpec { return &c.Spec.ConnectionSpec }
