package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MaxComputePackageSpec is a package of a MaxCompute project: what it shares, and with whom.
type MaxComputePackageSpec struct {
	// connectionRef names the Connection or ClusterConnection whose account manages the package. Immutable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="connectionRef is immutable: delete the object (deletionPolicy: Retain keeps the package) and create a new one"
	ConnectionRef ConnectionReference `json:"connectionRef"`

	// projectName is the MaxCompute project that the package belongs to. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="projectName is immutable: a package cannot move to another project"
	ProjectName string `json:"projectName"`

	// packageName is the name of the package in the project. MaxCompute compares it without case. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="packageName is immutable: a package cannot be renamed"
	PackageName string `json:"packageName"`

	// resources lists what the package shares. Absent means that its contents are not managed: what this object added is removed once
	// and then no longer looked at. Empty means nothing.
	// +optional
	Resources *PackageResources `json:"resources,omitempty"`

	// allowedProjects are the projects that may install the package. Absent means that they are not managed: those that this object
	// allowed are disallowed once. Empty means none. A project that is allowed and listed in another case is the same.
	// +optional
	// +listType=map
	// +listMapKey=projectName
	// +kubebuilder:validation:MaxItems=1000
	AllowedProjects []AllowedProject `json:"allowedProjects,omitzero"`

	// managementPolicy decides what becomes of what the package holds and the spec does not list. Authoritative removes it; Additive
	// leaves it alone and counts it; Observe writes nothing at all and reports the difference.
	// +optional
	// +kubebuilder:default=Authoritative
	ManagementPolicy ManagementPolicy `json:"managementPolicy,omitempty"`

	// adoptionPolicy decides what to do when the package exists and this object did not create it. Fail stalls and says what would
	// change; Adopt brings the package to what the spec says.
	// +optional
	// +kubebuilder:default=Fail
	AdoptionPolicy AdoptionPolicy `json:"adoptionPolicy,omitempty"`

	// deletionPolicy decides what happens to the package when this object is deleted. Delete drops it if this object created it, and
	// takes back what this object added if it adopted it; Retain leaves it as it is.
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

// PackageResources lists what a package shares, by kind of object. Names and actions compare without case.
// +kubebuilder:validation:XValidation:rule="(has(self.tables) ? size(self.tables) : 0) + (has(self.resources) ? size(self.resources) : 0) + (has(self.functions) ? size(self.functions) : 0) <= 1000",message="a package may hold at most 1000 resources"
type PackageResources struct {
	// tables and views.
	// +optional
	// +listType=map
	// +listMapKey=schemaName
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1000
	Tables []TableGrant `json:"tables,omitempty"`

	// resources: files, archives and tables that functions use.
	// +optional
	// +listType=map
	// +listMapKey=schemaName
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1000
	Resources []ResourceGrant `json:"resources,omitempty"`

	// functions are user-defined functions.
	// +optional
	// +listType=map
	// +listMapKey=schemaName
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1000
	Functions []FunctionGrant `json:"functions,omitempty"`
}

// AllowedProject is a project that may install a package.
type AllowedProject struct {
	// projectName of the project; "*" stands for all projects.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^(\*|[A-Za-z][A-Za-z0-9_]*)$`
	ProjectName string `json:"projectName"`

	// label is up to which security label, 0 to 9, the project may see data of the package.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9
	Label int32 `json:"label,omitempty"`
}

// MaxComputePackageStatus is what was seen and done.
type MaxComputePackageStatus struct {
	SyncStatus   `json:",inline"`
	TargetStatus `json:",inline"`

	// replacements are the entries that were removed and added again when that was last needed: their actions, or a project's label,
	// changed, which the service cannot do in place. Each was not shared for the moment between the two requests.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=2000
	Replacements []Replacement `json:"replacements,omitempty"`
}

// Replacement is an entry of a package that was removed, or is about to be, and added again.
type Replacement struct {
	// kind of the entry: Table, Resource, Function or AllowedProject.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Kind string `json:"kind"`

	// schemaName of the entry; absent for kinds that live in no schema.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	SchemaName string `json:"schemaName,omitempty"`

	// name of the entry.
	// +required
	// +kubebuilder:validation:MaxLength=512
	Name string `json:"name"`

	// actions that the entry was to have, or the label of a project, such as "label 2".
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=64
	Actions []string `json:"actions,omitempty"`

	// previousActions are those that it had before.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=64
	PreviousActions []string `json:"previousActions,omitempty"`

	// underWay tells that the entry was removed, or is about to be, and has not been seen since. Until it is, it counts as what it was
	// before.
	// +optional
	UnderWay bool `json:"underWay,omitempty"`

	// refusals is how many times the service refused the new actions, so that the entry was put back as it was. After three it is left
	// so until the spec asks for other actions, or somebody for a pass.
	// +optional
	Refusals int32 `json:"refusals,omitempty"`
}

// MaxComputePackage is a package of a MaxCompute project: tables, resources and functions that other projects may install.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcpkg,categories=maxcompute
// +kubebuilder:printcolumn:name="Project",type=string,JSONPath=`.spec.projectName`
// +kubebuilder:printcolumn:name="Package",type=string,JSONPath=`.spec.packageName`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Connection",type=string,priority=1,JSONPath=`.spec.connectionRef.name`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,priority=1,JSONPath=`.spec.suspend`
type MaxComputePackage struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is wanted.
	// +required
	Spec MaxComputePackageSpec `json:"spec"`

	// status is what was seen and done.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status MaxComputePackageStatus `json:"status,omitzero"`
}

// MaxComputePackageList is a list of MaxComputePackages.
// +kubebuilder:object:root=true
type MaxComputePackageList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MaxComputePackage `json:"items"`
}

// GetSyncStatus gives access to the status fields that every kind shares.
func (p *MaxComputePackage) GetSyncStatus() *SyncStatus { return &p.Status.SyncStatus }

// GetTargetStatus gives access to what is known of the package in the cloud.
func (p *MaxComputePackage) GetTargetStatus() *TargetStatus { return &p.Status.TargetStatus }

// GetConnectionRef names the connection that the object uses.
func (p *MaxComputePackage) GetConnectionRef() ConnectionReference { return p.Spec.ConnectionRef }

// GetTarget names the package.
func (p *MaxComputePackage) GetTarget() RemoteTarget {
	return RemoteTarget{Kind: "package", ProjectName: p.Spec.ProjectName, Name: p.Spec.PackageName}
}

// IsSuspended tells whether no call to the cloud may be made for the object.
func (p *MaxComputePackage) IsSuspended() bool { return p.Spec.Suspend }

// GetInterval is the wanted interval between two looks, 0 if the manager's default is to be used.
func (p *MaxComputePackage) GetInterval() time.Duration { return orZero(p.Spec.Interval) }

// IsRetained tells whether deleting the object leaves the cloud as it is.
func (p *MaxComputePackage) IsRetained() bool { return p.Spec.DeletionPolicy == DeletionRetain }

// IsObserved tells whether the object only looks, so that it owns nothing in the cloud.
func (p *MaxComputePackage) IsObserved() bool { return p.Spec.ManagementPolicy == ManagementObserve }

// GetAdoptionPolicy decides what to do when the package exists and this object did not create it.
func (p *MaxComputePackage) GetAdoptionPolicy() AdoptionPolicy { return p.Spec.AdoptionPolicy }
