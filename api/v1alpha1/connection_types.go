package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConnectionSpec says which account is used, through which endpoints, with which credentials.
// +kubebuilder:validation:XValidation:rule="has(self.alibabaCloud) != has(self.huaweiCloud)",message="exactly one of alibabaCloud and huaweiCloud is required"
type ConnectionSpec struct {
	// alibabaCloud connects to MaxCompute and DataWorks of Alibaba Cloud: for roles, packages, installations and permission requests.
	// +optional
	AlibabaCloud *AlibabaCloudConnection `json:"alibabaCloud,omitempty"`

	// huaweiCloud connects to DataArts Insight of Huawei Cloud: for exports of resource packages.
	// +optional
	HuaweiCloud *HuaweiCloudConnection `json:"huaweiCloud,omitempty"`

	// suspend stops the checks of this Connection. Objects that use it are not affected; suspend them on their own.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// interval between two checks of the credentials and endpoints; unset means the manager's --default-interval.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m')",message="interval must be at least 1m"
	Interval *metav1.Duration `json:"interval,omitempty"`
}

// AlibabaCloudConnection is one Alibaba Cloud account in one region.
// +kubebuilder:validation:XValidation:rule="has(self.region) || (has(self.endpoints) && has(self.endpoints.maxCompute) && has(self.endpoints.odps))",message="region is required unless endpoints.maxCompute and endpoints.odps are both given"
type AlibabaCloudConnection struct {
	// region such as cn-hangzhou: endpoints that are not given are derived from it, and security statements are signed for it.
	// Without a region they are signed with the older signature V2, for endpoints that know no other.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[a-z0-9-]+$`
	Region string `json:"region,omitempty"`

	// endpoints replace those derived from region, for example to stay inside a VPC. Requests are only ever sent to https
	// hosts below the manager's --allowed-endpoint-suffixes.
	// +optional
	Endpoints *AlibabaCloudEndpoints `json:"endpoints,omitempty"`

	// credentials of the identity that the operator acts as.
	// +required
	Credentials AlibabaCloudCredentials `json:"credentials"`

	// assumeRole changes the identity: a session of this RAM role is opened with the credentials, and used for every call.
	// +optional
	AssumeRole *AssumeRole `json:"assumeRole,omitempty"`

	// dataWorksAPIVersion is the version of the DataWorks API that permission requests are made with. A request goes on with the version
	// that it was made with. Unset means 2020-05-18.
	// +optional
	// +kubebuilder:default="2020-05-18"
	// +kubebuilder:validation:Enum="2020-05-18";"2024-05-18"
	DataWorksAPIVersion string `json:"dataWorksAPIVersion,omitempty"`

	// rateLimits bound the calls to each service over all objects that use this account.
	// +optional
	RateLimits *AlibabaCloudRateLimits `json:"rateLimits,omitempty"`
}

// AlibabaCloudEndpoints are base URLs.
type AlibabaCloudEndpoints struct {
	// maxCompute is the OpenAPI, by default https://maxcompute.<region>.aliyuncs.com.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9/._-]*)?$`
	MaxCompute string `json:"maxCompute,omitempty"`

	// odps takes the security statements, by default https://service.<region>.maxcompute.aliyun.com/api.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9/._-]*)?$`
	ODPS string `json:"odps,omitempty"`

	// dataWorks takes the permission requests, by default https://dataworks.<region>.aliyuncs.com.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9/._-]*)?$`
	DataWorks string `json:"dataWorks,omitempty"`

	// sts opens sessions for workloadIdentity and assumeRole, by default https://sts.<region>.aliyuncs.com.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9/._-]*)?$`
	STS string `json:"sts,omitempty"`
}

// AlibabaCloudCredentials names where the credentials come from. They are never part of a manifest.
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) != has(self.workloadIdentity)",message="exactly one of secretRef and workloadIdentity is required"
type AlibabaCloudCredentials struct {
	// secretRef names a Secret with the keys accessKeyId, accessKeySecret and, for temporary credentials, securityToken.
	// +optional
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// workloadIdentity opens a session of a RAM role with the token of a service account, so that no key is stored anywhere.
	// +optional
	WorkloadIdentity *WorkloadIdentity `json:"workloadIdentity,omitempty"`
}

// SecretReference names a Secret.
type SecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// namespace of the Secret. Required in a ClusterConnection; a Connection uses Secrets of its own namespace only.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
}

// WorkloadIdentity exchanges the token of a Kubernetes service account for a session of a RAM role, by STS AssumeRoleWithOIDC. The RAM
// role must trust the cluster's OIDC provider and the service account.
type WorkloadIdentity struct {
	// roleArn of the RAM role, such as acs:ram::123:role/data.
	// +required
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^acs:ram::[0-9]+:role/[A-Za-z0-9._-]+$`
	RoleARN string `json:"roleArn"`

	// oidcProviderArn of the cluster's OIDC provider, such as acs:ram::123:oidc-provider/ack.
	// +required
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^acs:ram::[0-9]+:oidc-provider/[A-Za-z0-9._-]+$`
	OIDCProviderARN string `json:"oidcProviderArn"`

	// serviceAccountName of the service account whose token is used.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName"`

	// serviceAccountNamespace is the service account's namespace. Required in a ClusterConnection; a Connection uses service accounts of
	// its own namespace only.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	ServiceAccountNamespace string `json:"serviceAccountNamespace,omitempty"`

	// audience that the token is made for. Never one of the Kubernetes API server: whoever receives the token could use it there.
	// +optional
	// +kubebuilder:default=sts.aliyuncs.com
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9.:/_-]+$`
	// +kubebuilder:validation:XValidation:rule="!self.lowerAscii().contains('kubernetes')",message="audience must not be one of the Kubernetes API server"
	Audience string `json:"audience,omitempty"`
}

// AssumeRole is the RAM role whose session is used, by STS AssumeRole.
type AssumeRole struct {
	// roleArn of the RAM role, such as acs:ram::456:role/prod.
	// +required
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^acs:ram::[0-9]+:role/[A-Za-z0-9._-]+$`
	RoleARN string `json:"roleArn"`

	// sessionName shows up in the audit trail of the account; unset means maxcompute-operator.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9.@_-]+$`
	SessionName string `json:"sessionName,omitempty"`

	// externalId that the RAM role's trust policy asks for, if it does.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=1224
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9=,.@:/_-]+$`
	ExternalID string `json:"externalId,omitempty"`
}

// AlibabaCloudRateLimits bound the calls to the services of one account.
type AlibabaCloudRateLimits struct {
	// maxCompute bounds the calls to MaxCompute, OpenAPI and security statements together. Unset means 20 a second, bursts of 40.
	// +optional
	MaxCompute *RateLimit `json:"maxCompute,omitempty"`

	// dataWorks bounds the calls to DataWorks. Unset means 4 a second, bursts of 4, as many a day as it takes.
	// +optional
	DataWorks *DataWorksRateLimit `json:"dataWorks,omitempty"`
}

// RateLimit is a token bucket.
type RateLimit struct {
	// qps is how many calls a second are allowed over time.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	QPS int32 `json:"qps"`

	// burst is how many calls may be made at once after a pause; unset means twice qps.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=20000
	Burst int32 `json:"burst,omitempty"`
}

// DataWorksRateLimit is a token bucket and a budget. DataWorks allows 5 calls a second, and in its basic edition 100 calls a day.
type DataWorksRateLimit struct {
	// qps is how many calls a second are allowed over time; unset means 4.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	QPS int32 `json:"qps,omitempty"`

	// burst is how many calls may be made at once after a pause; unset means 4.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=20000
	Burst int32 `json:"burst,omitempty"`

	// callsPerDay is how many calls are made in any 24 hours at most; unset or 0 means as many as it takes.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000000
	CallsPerDay int32 `json:"callsPerDay,omitempty"`
}

// HuaweiCloudConnection is one Huawei Cloud project.
// +kubebuilder:validation:XValidation:rule="has(self.region) || (has(self.endpoints) && has(self.endpoints.dataArtsInsight))",message="region is required unless endpoints.dataArtsInsight is given"
type HuaweiCloudConnection struct {
	// region such as cn-southwest-2: endpoints that are not given are derived from it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[a-z0-9-]+$`
	Region string `json:"region,omitempty"`

	// projectID is the id of the project in the region, as the console shows it under "My Credentials".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9-]+$`
	ProjectID string `json:"projectID"`

	// endpoints replace those derived from region. Requests are only ever sent to https hosts below the manager's
	// --allowed-endpoint-suffixes.
	// +optional
	Endpoints *HuaweiCloudEndpoints `json:"endpoints,omitempty"`

	// credentials of the identity that the operator acts as.
	// +required
	Credentials HuaweiCloudCredentials `json:"credentials"`
}

// HuaweiCloudEndpoints are base URLs.
type HuaweiCloudEndpoints struct {
	// dataArtsInsight takes the exports, by default https://dataartsinsight.<region>.myhuaweicloud.com. That is where the service is known
	// to be in cn-southwest-2; for other regions the vendor's documentation says.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9/._-]*)?$`
	DataArtsInsight string `json:"dataArtsInsight,omitempty"`

	// iam issues tokens for a user's password, by default https://iam.<region>.myhuaweicloud.com.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9/._-]*)?$`
	IAM string `json:"iam,omitempty"`
}

// HuaweiCloudCredentials names where the credentials come from. They are never part of a manifest.
type HuaweiCloudCredentials struct {
	// secretRef names a Secret with one of: the keys accessKey, secretKey and, for temporary credentials, securityToken; the key token,
	// which has to be replaced before it ends; or the keys domainName, userName and password of an IAM user, for whom a token is
	// issued, and renewed before it ends.
	// +required
	SecretRef SecretReference `json:"secretRef"`
}

// ConnectionStatus is what was seen at the last check.
type ConnectionStatus struct {
	SyncStatus `json:",inline"`
}

// Connection is an account, its endpoints and where its credentials are. It is used from its own namespace.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mcconn,categories=maxcompute
// +kubebuilder:printcolumn:name="Region",type=string,JSONPath=`.spec['alibabaCloud','huaweiCloud'].region`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,priority=1,JSONPath=`.spec.suspend`
type Connection struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is wanted.
	// +required
	// +kubebuilder:validation:XValidation:rule="!has(self.alibabaCloud) || !has(self.alibabaCloud.credentials.secretRef) || !has(self.alibabaCloud.credentials.secretRef.__namespace__)",message="a Connection uses Secrets of its own namespace only: remove secretRef.namespace, or write a ClusterConnection"
	// +kubebuilder:validation:XValidation:rule="!has(self.huaweiCloud) || !has(self.huaweiCloud.credentials.secretRef.__namespace__)",message="a Connection uses Secrets of its own namespace only: remove secretRef.namespace, or write a ClusterConnection"
	// +kubebuilder:validation:XValidation:rule="!has(self.alibabaCloud) || !has(self.alibabaCloud.credentials.workloadIdentity) || !has(self.alibabaCloud.credentials.workloadIdentity.serviceAccountNamespace)",message="a Connection uses service accounts of its own namespace only: remove serviceAccountNamespace, or write a ClusterConnection"
	Spec ConnectionSpec `json:"spec"`

	// status is what was seen.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status ConnectionStatus `json:"status,omitzero"`
}

// ConnectionList is a list of Connections.
// +kubebuilder:object:root=true
type ConnectionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Connection `json:"items"`
}

// GetSyncStatus gives access to the status fields that every kind shares.
func (c *Connection) GetSyncStatus() *SyncStatus { return &c.Status.SyncStatus }

// IsSuspended tells whether the object's checks are stopped.
func (c *Connection) IsSuspended() bool { return c.Spec.Suspend }

// GetInterval is the wanted interval between two checks, 0 if the manager's default is to be used.
func (c *Connection) GetInterval() time.Duration { return orZero(c.Spec.Interval) }

// IsCluster tells that the object is no ClusterConnection.
func (c *Connection) IsCluster() bool { return false }

// GetConnectionSpec gives access to what Connections and ClusterConnections share.
func (c *Connection) GetConnectionSpec() *ConnectionSpec { return &c.Spec }
