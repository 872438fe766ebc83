package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ResourceType is what a resource of DataArts Insight is, in the service's own spelling.
// +kubebuilder:validation:Enum=datasource;dataset;metric;dashboard;screen;embedAnalysis;portal;subject
type ResourceType string

// ResourcePackageExportSpec says what is exported from DataArts Insight, when, and where it is stored.
type ResourcePackageExportSpec struct {
	// connectionRef names the Connection or ClusterConnection, one of huaweiCloud, that the export is made with. Immutable.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="connectionRef is immutable: an export by another account is another object"
	ConnectionRef ConnectionReference `json:"connectionRef"`

	// workspaceID is the id of the DataArts Insight workspace that the resources are in.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	WorkspaceID string `json:"workspaceID"`

	// packageName is what the service calls the package, and what the names of the stored files begin with: letters, digits, spaces and
	// the characters _ . - ( ), at most 200 bytes. Immutable.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[\p{L}\p{N}_]([\p{L}\p{M}\p{N} _.()-]*[\p{L}\p{M}\p{N}_.()-])?$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="packageName is immutable: an export under another name is another object"
	// +kubebuilder:validation:XValidation:rule="bytes(self).size() <= 200",message="packageName must be at most 200 bytes"
	PackageName string `json:"packageName"`

	// resources are what the package holds.
	// +required
	// +listType=map
	// +listMapKey=type
	// +listMapKey=id
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	Resources []ExportedResource `json:"resources"`

	// includeDatasetTagPermission exports the permissions of the tags of datasets as well.
	// +optional
	IncludeDatasetTagPermission bool `json:"includeDatasetTagPermission,omitempty"`

	// schedule exports again at the times that its five fields name: minute, hour, day of the month, month and day of the week, as in
	// a Kubernetes CronJob. Without it, as with it, the package is exported once for every change of the spec and whenever the annotation
	// maxcompute-operator.io/requested-at gets a new value.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[0-9A-Za-z*/,?-]+( +[0-9A-Za-z*/,?-]+){4}$`
	Schedule string `json:"schedule,omitempty"`

	// timeZone of the schedule, by its IANA name.
	// +optional
	// +kubebuilder:default=UTC
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_+/-]+$`
	// +kubebuilder:validation:XValidation:rule="self != 'Local'",message="timeZone must be an IANA name, such as Asia/Shanghai"
	TimeZone string `json:"timeZone,omitempty"`

	// startingDeadlineSeconds is by how much a run of the schedule may be late, because the operator was down, the object suspended or
	// another run under way; one that is later is skipped. Unset, a missed run is made up for however late. Of several missed, one runs.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31536000
	StartingDeadlineSeconds *int64 `json:"startingDeadlineSeconds,omitempty"`

	// historyLimit is how many exports are kept; older ones that this object has stored are removed.
	// +optional
	// +kubebuilder:default=7
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	HistoryLimit int32 `json:"historyLimit,omitempty"`

	// skipUnchanged does not store an export again that has the digest of the last one, if that is still there: its entry in
	// status.exports says when it was last found unchanged.
	// +optional
	SkipUnchanged bool `json:"skipUnchanged,omitempty"`

	// destination is where exports are stored.
	// +required
	Destination ExportDestination `json:"destination"`

	// deletionPolicy decides what happens to the stored exports when this object is deleted: Retain leaves them, Delete removes those
	// that status.exports lists.
	// +optional
	// +kubebuilder:default=Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// suspend stops everything: a running export is given up, none is started, nothing stored is removed. Deleting a suspended object
	// leaves what is stored.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// ExportedResource names a resource of a workspace.
type ExportedResource struct {
	// type of the resource: datasource, dataset, metric, dashboard, screen, embedAnalysis, portal or subject.
	// +required
	Type ResourceType `json:"type"`

	// id of the resource.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-]+$`
	ID string `json:"id"`
}

// ExportDestination is where exports are stored.
// +kubebuilder:validation:XValidation:rule="has(self.objectStorage) != has(self.directory)",message="exactly one of objectStorage and directory is required"
type ExportDestination struct {
	// objectStorage is a bucket behind any S3 API: OBS, OSS, MinIO, S3.
	// +optional
	ObjectStorage *ObjectStorageDestination `json:"objectStorage,omitempty"`

	// directory is one below the manager's --export-directory.
	// +optional
	Directory *DirectoryDestination `json:"directory,omitempty"`
}

// ObjectStorageDestination is a prefix in a bucket.
type ObjectStorageDestination struct {
	// endpoint is the base URL of the S3 API, such as https://obs.cn-southwest-2.myhuaweicloud.com. Like those of Connections, it must be
	// an https host below the manager's --allowed-endpoint-suffixes.
	// +required
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[A-Za-z0-9.:\[\]-]+/?$`
	Endpoint string `json:"endpoint"`

	// bucket that the exports are stored in. It must exist.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	Bucket string `json:"bucket"`

	// prefix that the keys of the objects begin with, such as insight/; at most 512 bytes, for keys have at most 1024.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[^/\\\x00-\x1f\x7f][^\\\x00-\x1f\x7f]*$`
	// +kubebuilder:validation:XValidation:rule="!self.contains('//') && !self.split('/').exists(s, s == '.' || s == '..')",message="prefix must not hold empty segments, . or .."
	// +kubebuilder:validation:XValidation:rule="bytes(self).size() <= 512",message="prefix must be at most 512 bytes"
	Prefix string `json:"prefix,omitempty"`

	// region that requests are signed for; unset means us-east-1, which servers without regions take.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	Region string `json:"region,omitempty"`

	// secretRef names a Secret in this namespace with the keys accessKey, secretKey and, for temporary credentials, sessionToken.
	// +required
	SecretRef LocalSecretReference `json:"secretRef"`
}

// LocalSecretReference names a Secret in the namespace of the object.
type LocalSecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// DirectoryDestination is a directory of a volume that is mounted into the manager.
type DirectoryDestination struct {
	// path of the directory below <--export-directory>/<namespace>/; it is made if it is not there. No part of it may begin with a dot or
	// be a symbolic link.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`
	Path string `json:"path"`
}

// ExportTrigger is why an export runs.
// +kubebuilder:validation:Enum=Spec;Schedule;Request
type ExportTrigger string

const (
	// ExportTriggerSpec: the object is new, or its spec has changed.
	ExportTriggerSpec ExportTrigger = "Spec"
	// ExportTriggerSchedule: its schedule says so.
	ExportTriggerSchedule ExportTrigger = "Schedule"
	// ExportTriggerRequest: the annotation maxcompute-operator.io/requested-at has a new value.
	ExportTriggerRequest ExportTrigger = "Request"
)

// ResourcePackageExportStatus is what was exported, and what is under way.
type ResourcePackageExportStatus struct {
	SyncStatus `json:",inline"`

	// exports are those that are stored, the newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=200
	Exports []StoredExport `json:"exports,omitempty"`

	// run is the export that is under way, or that failed and is tried again.
	// +optional
	Run *ExportRun `json:"run,omitempty"`

	// exportedSpec is the fingerprint of the spec that the last export was started for, of what decides about exports.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ExportedSpec string `json:"exportedSpec,omitempty"`

	// scheduleHandledUntil is up to when the times of the schedule are dealt with: run, or skipped.
	// +optional
	ScheduleHandledUntil *metav1.Time `json:"scheduleHandledUntil,omitempty"`

	// nextScheduleTime is when the schedule exports next.
	// +optional
	NextScheduleTime *metav1.Time `json:"nextScheduleTime,omitempty"`
}

// ExportRun is an export that is under way.
type ExportRun struct {
	// trigger is why it runs.
	// +required
	Trigger ExportTrigger `json:"trigger"`

	// scheduledTime is the time of the schedule that it runs for.
	// +optional
	ScheduledTime *metav1.Time `json:"scheduledTime,omitempty"`

	// attempts is how many times it was started.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`

	// startedAt is when its last attempt was started.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// nextAttemptTime is when it is tried again, after a failure.
	// +optional
	NextAttemptTime *metav1.Time `json:"nextAttemptTime,omitempty"`

	// destination is where the attempt stores: s3://<bucket>/<prefix>, or the path below the manager's --export-directory.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Destination string `json:"destination,omitempty"`

	// endpoint of the object storage that the attempt stores in.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Endpoint string `json:"endpoint,omitempty"`

	// bytesReceived is how much of the package has arrived, as of at most ten seconds ago.
	// +optional
	BytesReceived int64 `json:"bytesReceived,omitempty"`

	// file is what is being stored, once the whole package has arrived.
	// +optional
	File *StoredExport `json:"file,omitempty"`
}

// StoredExport is a package that is stored.
type StoredExport struct {
	// name of the file: <packageName>-<start>-<first 12 digits of sha256>, and the extension that the service names, if any.
	// +required
	// +kubebuilder:validation:MaxLength=255
	Name string `json:"name"`

	// location is s3://<bucket>/<key>, or the path below the manager's --export-directory.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Location string `json:"location"`

	// endpoint of the object storage that it is in.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Endpoint string `json:"endpoint,omitempty"`

	// sizeBytes of the file.
	// +required
	SizeBytes int64 `json:"sizeBytes"`

	// sha256 of the file, in lower-case hexadecimal digits.
	// +required
	// +kubebuilder:validation:MaxLength=64
	SHA256 string `json:"sha256"`

	// contentType that the service gave it.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	ContentType string `json:"contentType,omitempty"`

	// startedAt is when the export was started.
	// +required
	StartedAt metav1.Time `json:"startedAt"`

	// completedAt is when it was stored.
	// +optional
	CompletedAt *metav1.Time `json:"completedAt,omitempty"`

	// unchangedAt is when an export was last found to be the same, and was not stored again because of skipUnchanged.
	// +optional
	UnchangedAt *metav1.Time `json:"unchangedAt,omitempty"`
}

// ResourcePackageExport exports resources of DataArts Insight as a package, once or on a schedule, and stores it.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=resourcepackageexports,shortName=rpexport,categories=maxcompute
// +kubebuilder:printcolumn:name="Workspace",type=string,JSONPath=`.spec.workspaceID`
// +kubebuilder:printcolumn:name="Package",type=string,JSONPath=`.spec.packageName`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Last Export",type=date,priority=1,JSONPath=`.status.exports[0].completedAt`
// +kubebuilder:printcolumn:name="Bytes",type=integer,priority=1,JSONPath=`.status.exports[0].sizeBytes`
// +kubebuilder:printcolumn:name="Next",type=string,priority=1,JSONPath=`.status.nextScheduleTime`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Connection",type=string,priority=1,JSONPath=`.spec.connectionRef.name`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,priority=1,JSONPath=`.spec.suspend`
type ResourcePackageExport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is exported, when, and where to.
	// +required
	Spec ResourcePackageExportSpec `json:"spec"`

	// status is what became of it.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status ResourcePackageExportStatus `json:"status,omitzero"`
}

// ResourcePackageExportList is a list of ResourcePackageExports.
// +kubebuilder:object:root=true
type ResourcePackageExportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ResourcePackageExport `json:"items"`
}

// GetSyncStatus gives access to the status fields that every kind shares.
func (e *ResourcePackageExport) GetSyncStatus() *SyncStatus { return &e.Status.SyncStatus }

// GetConnectionRef names the connection that the object uses.
func (e *ResourcePackageExport) GetConnectionRef() ConnectionReference { return e.Spec.ConnectionRef }

// IsSuspended tells whether nothing may be done for the object.
func (e *ResourcePackageExport) IsSuspended() bool { return e.Spec.Suspend }

// IsRetained tells whether deleting the object leaves what is stored.
func (e *ResourcePackageExport) IsRetained() bool { return e.Spec.DeletionPolicy != DeletionDelete }
