package testbed

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// NewSecret makes the Secret of the fake cloud's default identity.
func (b *Testbed) NewSecret(namespace string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "alibaba"},
		StringData: map[string]string{"accessKeyId": fakecloud.DefaultAccessKeyID, "accessKeySecret": fakecloud.DefaultAccessKeySecret},
	}
}

// NewConnection makes a Connection named prod to the fake cloud, with room for qps calls a second.
func (b *Testbed) NewConnection(namespace string, qps int32) *v1alpha1.Connection {
	return &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "prod"},
		Spec: v1alpha1.ConnectionSpec{AlibabaCloud: &v1alpha1.AlibabaCloudConnection{
			Region:      "cn-hangzhou",
			Endpoints:   &v1alpha1.AlibabaCloudEndpoints{MaxCompute: b.CloudURL, ODPS: b.CloudURL + "/api", DataWorks: b.CloudURL},
			Credentials: v1alpha1.AlibabaCloudCredentials{SecretRef: &v1alpha1.SecretReference{Name: "alibaba"}},
			RateLimits: &v1alpha1.AlibabaCloudRateLimits{
				MaxCompute: &v1alpha1.RateLimit{QPS: qps}, DataWorks: &v1alpha1.DataWorksRateLimit{QPS: qps, Burst: qps},
			},
		}},
	}
}

// NewRole makes a ProjectRole that uses the Connection prod.
func (b *Testbed) NewRole(namespace, name, project, role string, tables ...v1alpha1.TableGrant) *v1alpha1.ProjectRole {
	return &v1alpha1.ProjectRole{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ProjectRoleSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "prod"}, ProjectName: project, RoleName: role, ACL: &v1alpha1.RoleACL{Tables: tables},
		},
	}
}
