package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// RoleType is the type of a project role.
// +kubebuilder:validation:Enum=Resource;Admin
type RoleType string

const (
	// RoleTypeResource may hold permissions on data: tables, resources, functions.
	RoleTypeResource RoleType = "Resource"
	// RoleTypeAdmin may hold permissions to manage the project, through a policy only.
	RoleTypeAdmin RoleType = "Admin"
)

// ProjectRoleSpec is a role of a MaxCompute project, what it may do, and who has it.
// +kubebuilder:validation:XValidation:rule="!(has(self.type) && self.type == 'Admin' && has(self.acl))",message="a role of type Admin takes a policy and no acl"
type ProjectRoleSpec struct {
	// connectionRef names the Connection whose account manages the role. Immutable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="connectionRef is immutable: delete the object (deletionPolicy: Retain keeps the role) and create a new one"
	ConnectionRef ConnectionReference `json:"connectionRef"`

	// projectName is the MaxCompute project that the role belongs to. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="projectName is immutable: a role cannot move to another project"
	ProjectName string `json:"projectName"`

	// roleName is the name of the role in the project. MaxCompute compares it without case. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="roleName is immutable: a role cannot be renamed"
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['admin', 'super_administrator'])",message="admin and super_administrator are built into every project and are not managed here"
	// +kubebuilder:validation:XValidation:rule="!self.lowerAscii().startsWith('role_project_')",message="roles named role_project_* belong to DataWorks and are not managed here"
	RoleName string `json:"roleName"`

	// type of the role. Resource roles hold permissions on data; Admin roles manage the project, by a policy alone, and only the
	// project's owner or a Super_Administrator may create or change them. Immutable.
	// +optional
	// +kubebuilder:default=Resource
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="type is immutable: MaxCompute cannot change the type of a role"
	Type RoleType `json:"type,omitempty"`

	// acl lists what the role may do. Absent means that the ACL is not managed: what was granted through it earlier is taken
	// back once and then no longer looked at. Empty means no permission at all.
	// +optional
	ACL *RoleACL `json:"acl,omitempty"`

	// policy of the role, a document {Version, Statement}. It is compared by meaning: scalar or list, order, spacing and the case of
	// action names do not matter. Absent means that the policy is not managed; empty means none. At most 64 KiB.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Policy *runtime.RawExtension `json:"policy,omitempty"`

	// members are the principals that have the role: ALIYUN$account, RAM$account:user or RAM$account:role/name. They compare without
	// case. Absent means that the members are not managed; empty means none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^((?i:ALIYUN)\$[A-Za-z0-9_.@+-]+|(?i:RAM)\$[A-Za-z0-9_.@+-]+:((?i:role)/)?[A-Za-z0-9_.@+-]+)$`
	Members []string `json:"members,omitzero"`

	// managementPolicy decides what becomes of what the role holds and the spec does not list. Authoritative removes it; Additive
	// leaves it alone and counts it; Observe writes nothing at all and reports the difference.
	// +optional
	// +kubebuilder:default=Authoritative
	ManagementPolicy ManagementPolicy `json:"managementPolicy,omitempty"`

	// adoptionPolicy decides what to do when the role exists and this object did not create it. Fail stalls and says what would
	// change; Adopt brings the role to what the spec says.
	// +optional
	// +kubebuilder:default=Fail
	AdoptionPolicy AdoptionPolicy `json:"adoptionPolicy,omitempty"`

	// deletionPolicy decides what happens to the role when this object is deleted. Delete drops the role if this object created
	// it, after removing its members, and takes back what this object granted if it adopted the role; Retain leaves it as it is.
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

// RoleACL lists what a role may do, by kind of object. Names and actions compare without case.
// +kubebuilder:validation:XValidation:rule="(has(self.tables) ? size(self.tables) : 0) + (has(self.resources) ? size(self.resources) : 0) + (has(self.functions) ? size(self.functions) : 0) + (has(self.packages) ? size(self.packages) : 0) + (has(self.projects) ? size(self.projects) : 0) + (has(self.instances) ? size(self.instances) : 0) <= 1000",message="an ACL may list at most 1000 objects; use fewer, or a policy with patterns"
type RoleACL struct {
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

	// packages that are installed in the project, as source_project.package.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1000
	Packages []PackageGrant `json:"packages,omitempty"`

	// projects: permissions on the project itself. Without CreateInstance on it, no query can be run.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1000
	Projects []ProjectGrant `json:"projects,omitempty"`

	// instances: permissions on running jobs, usually with the name "*".
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1000
	Instances []InstanceGrant `json:"instances,omitempty"`
}

// TableGrant is what the role may do with one table or view.
type TableGrant struct {
	// schemaName of the table; projects without schemas have only "default".
	// +optional
	// +kubebuilder:default=default
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	SchemaName string `json:"schemaName,omitempty"`

	// name of the table; "*" may stand alone, or begin or end the name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^(\*|[A-Za-z_][A-Za-z0-9_]*\*?|\*[A-Za-z0-9_]+\*?)$`
	Name string `json:"name"`

	// actions: Describe, Select, Alter, Update, Drop, ShowHistory, Download; All stands for all of them but Download.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^(?i)(Describe|Select|Alter|Update|Drop|ShowHistory|Download|All)$`
	Actions []string `json:"actions"`
}

// ResourceGrant is what the role may do with one resource.
type ResourceGrant struct {
	// schemaName of the resource; projects without schemas have only "default".
	// +optional
	// +kubebuilder:default=default
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	SchemaName string `json:"schemaName,omitempty"`

	// name of the resource, such as udf.jar; "*" may stand alone, or begin or end the name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^(\*|\*?[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*\*?)$`
	Name string `json:"name"`

	// actions: Read, Write, Delete, Download; All stands for all of them but Download.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^(?i)(Read|Write|Delete|Download|All)$`
	Actions []string `json:"actions"`
}

// FunctionGrant is what the role may do with one function.
type FunctionGrant struct {
	// schemaName of the function; projects without schemas have only "default".
	// +optional
	// +kubebuilder:default=default
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	SchemaName string `json:"schemaName,omitempty"`

	// name of the function; "*" may stand alone, or begin or end the name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^(\*|[A-Za-z_][A-Za-z0-9_]*\*?|\*[A-Za-z0-9_]+\*?)$`
	Name string `json:"name"`

	// actions: Read, Write, Delete, Execute, Download; All stands for all of them but Download.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^(?i)(Read|Write|Delete|Execute|Download|All)$`
	Actions []string `json:"actions"`
}

// PackageGrant is what the role may do with one installed package.
type PackageGrant struct {
	// name of the package, as source_project.package.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=257
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`
	Name string `json:"name"`

	// actions: Read is the only one.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^(?i)(Read)$`
	Actions []string `json:"actions"`
}

// ProjectGrant is what the role may do with the project itself.
type ProjectGrant struct {
	// name of the project, in practice that of spec.projectName.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^(\*|[A-Za-z_][A-Za-z0-9_]*\*?|\*[A-Za-z0-9_]+\*?)$`
	Name string `json:"name"`

	// actions: List, CreateTable, CreateModel, CreateInstance, CreateFunction, CreateResource; All stands for all of these. Read
	// and Write are accepted because old projects hold them.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^(?i)(List|CreateTable|CreateModel|CreateInstance|CreateFunction|CreateResource|Read|Write|All)$`
	Actions []string `json:"actions"`
}

// InstanceGrant is what the role may do with running jobs.
type InstanceGrant struct {
	// name of the instance; "*" is the one that the service documents.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^(\*|[A-Za-z0-9_]+\*?)$`
	Name string `json:"name"`

	// actions: Read, Write, Download; All stands for Read and Write.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^(?i)(Read|Write|Download|All)$`
	Actions []string `json:"actions"`
}

// ProjectRoleStatus is what was seen and done.
type ProjectRoleStatus struct {
	SyncStatus   `json:",inline"`
	TargetStatus `json:",inline"`
}

// ProjectRole is a role of a MaxCompute project with its permissions and members.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcrole,categories=maxcompute
// +kubebuilder:printcolumn:name="Project",type=string,JSONPath=`.spec.projectName`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.roleName`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Connection",type=string,priority=1,JSONPath=`.spec.connectionRef.name`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,priority=1,JSONPath=`.spec.suspend`
type ProjectRole struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is wanted.
	// +required
	Spec ProjectRoleSpec `json:"spec"`

	// status is what was seen and done.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status ProjectRoleStatus `json:"status,omitzero"`
}

// ProjectRoleList is a list of ProjectRoles.
// +kubebuilder:object:root=true
type ProjectRoleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ProjectRole `json:"items"`
}

// GetSyncStatus gives access to the status fields that every kind shares.
func (r *ProjectRole) GetSyncStatus() *SyncStatus { return &r.Status.SyncStatus }

// GetTargetStatus gives access to what is known of the role in the cloud.
func (r *ProjectRole) GetTargetStatus() *TargetStatus { return &r.Status.TargetStatus }

// GetConnectionRef names the connection that the object uses.
func (r *ProjectRole) GetConnectionRef() ConnectionReference { return r.Spec.ConnectionRef }

// GetTarget names the role.
func (r *ProjectRole) GetTarget() RemoteTarget {
	return RemoteTarget{Kind: "role", ProjectName: r.Spec.ProjectName, Name: r.Spec.RoleName}
}

// IsSuspended tells whether no call to the cloud may be made for the object.
func (r *ProjectRole) IsSuspended() bool { return r.Spec.Suspend }

// GetInterval is the wanted interval between two looks, 0 if the manager's default is to be used.
func (r *ProjectRole) GetInterval() time.Duration { return orZero(r.Spec.Interval) }

// IsRetained tells whether deleting the object leaves the cloud as it is.
func (r *ProjectRole) IsRetained() bool { return r.Spec.DeletionPolicy == DeletionRetain }

// IsObserved tells whether the object only looks, so that it owns nothing in the cloud.
func (r *ProjectRole) IsObserved() bool { return r.Spec.ManagementPolicy == ManagementObserve }

// GetAdoptionPolicy decides what to do when the role exists and this object did not create it.
func (r *ProjectRole) GetAdoptionPolicy() AdoptionPolicy { return r.Spec.AdoptionPolicy }
