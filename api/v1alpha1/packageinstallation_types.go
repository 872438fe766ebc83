package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// PackageInstallationSpec is a package of one MaxCompute project, installed in another.
// +kubebuilder:validation:XValidation:rule="self.projectName.lowerAscii() != self.sourceProject.lowerAscii()",message="a project cannot install its own package: projectName and sourceProject are the same"
type PackageInstallationSpec struct {
	// connectionRef names the Connection or ClusterConnection whose account installs the package: that of the project which uses it.
	// Immutable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="connectionRef is immutable: delete the object (deletionPolicy: Retain keeps the package installed) and create a new one"
	ConnectionRef ConnectionReference `json:"connectionRef"`

	// projectName is the MaxCompute project in which the package is installed. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="projectName is immutable: an installation cannot move to another project"
	ProjectName string `json:"projectName"`

	// sourceProject is the MaxCompute project that made the package and shares it. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="sourceProject is immutable: a package of another project is another package"
	SourceProject string `json:"sourceProject"`

	// packageName is the name of the package in its project. MaxCompute compares it without case. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="packageName is immutable: install another package with another object"
	PackageName string `json:"packageName"`

	// adoptionPolicy decides what to do when the package is installed and this object did not install it. Fail stalls; Adopt takes the
	// installation as it is.
	// +optional
	// +kubebuilder:default=Fail
	AdoptionPolicy AdoptionPolicy `json:"adoptionPolicy,omitempty"`

	// deletionPolicy decides what happens to the installation when this object is deleted. Delete uninstalls the package if this object
	// installed it; Retain leaves it installed.
	// +optional
	// +kubebuilder:default=Delete
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// suspend stops every call to the cloud for this object. Deleting a suspended object leaves the cloud as it is.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// interval between two looks at the cloud, ±10 %; unset means the manager's --default-interval.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m')",message="interval must be at least 1m"
	Interval *metav1.Duration `json:"interval,omitempty"`
}

// PackageInstallationStatus is what was seen and done.
type PackageInstallationStatus struct {
	SyncStatus   `json:",inline"`
	TargetStatus `json:",inline"`

	// source is the installed package, as source_project.package, which is how permissions on it are granted in the project.
	// +optional
	// +kubebuilder:validation:MaxLength=257
	Source string `json:"source,omitempty"`

	// sourceStatus is what the service says of the installation: OK, or something that its documentation does not explain.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	SourceStatus string `json:"sourceStatus,omitempty"`

	// installTime is when the package was installed, if the service tells it.
	// +optional
	InstallTime *metav1.Time `json:"installTime,omitempty"`

	// sourceDroppedTime is when it was first seen that the package is installed and does not exist any more at its source. Absent while
	// it exists, and once the package is installed no more.
	// +optional
	SourceDroppedTime *metav1.Time `json:"sourceDroppedTime,omitempty"`
}

// PackageInstallation is a package of one MaxCompute project, installed in another so that roles there can be granted access to it.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcpi,categories=maxcompute
// +kubebuilder:printcolumn:name="Project",type=string,JSONPath=`.spec.projectName`
// +kubebuilder:printcolumn:name="Package",type=string,JSONPath=`.spec.packageName`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Source",type=string,priority=1,JSONPath=`.spec.sourceProject`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Connection",type=string,priority=1,JSONPath=`.spec.connectionRef.name`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,priority=1,JSONPath=`.spec.suspend`
type PackageInstallation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is wanted.
	// +required
	Spec PackageInstallationSpec `json:"spec"`

	// status is what was seen and done.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status PackageInstallationStatus `json:"status,omitzero"`
}

// PackageInstallationList is a list of PackageInstallations.
// +kubebuilder:object:root=true
type PackageInstallationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PackageInstallation `json:"items"`
}

// GetSyncStatus gives access to the status fields that every kind shares.
func (p *PackageInstallation) GetSyncStatus() *SyncStatus { return &p.Status.SyncStatus }

// GetTargetStatus gives access to what is known of the installation in the cloud.
func (p *PackageInstallation) GetTargetStatus() *TargetStatus { return &p.Status.TargetStatus }

// GetConnectionRef names the connection that the object uses.
func (p *PackageInstallation) GetConnectionRef() ConnectionReference { return p.Spec.ConnectionRef }

// GetTarget names the installation.
func (p *PackageInstallation) GetTarget() RemoteTarget {
	return RemoteTarget{Kind: "installed package", ProjectName: p.Spec.ProjectName, Name: p.Spec.SourceProject + "." + p.Spec.PackageName}
}

// IsSuspended tells whether no call to the cloud may be made for the object.
func (p *PackageInstallation) IsSuspended() bool { return p.Spec.Suspend }

// GetInterval is the wanted interval between two looks, 0 if the manager's default is to be used.
func (p *PackageInstallation) GetInterval() time.Duration { return orZero(p.Spec.Interval) }

// IsRetained tells whether deleting the object leaves the cloud as it is.
func (p *PackageInstallation) IsRetained() bool { return p.Spec.DeletionPolicy == DeletionRetain }

// IsObserved is false: there is no managementPolicy for a thing that is there or is not.
func (p *PackageInstallation) IsObserved() bool { return false }

// GetAdoptionPolicy decides what to do when the package is installed and this object did not install it.
func (p *PackageInstallation) GetAdoptionPolicy() AdoptionPolicy { return p.Spec.AdoptionPolicy }
