package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const (
	ramAccount = "acs:ram::123456789012:"
	audience   = "sts.aliyuncs.com"
)

// issuer is who makes the tokens of service accounts and the key that proves it, as the API server tells the world.
func issuer(t *testing.T, g Gomega) (string, *ecdsa.PublicKey) {
	t.Helper()
	var about struct{ Issuer string }
	var keys struct {
		Keys []struct{ KTY, CRV, X, Y string }
	}
	for path, into := range map[string]any{"/.well-known/openid-configuration": &about, "/openid/v1/jwks": &keys} {
		out, err := kubectl(t, "", "get", "--raw", path)
		g.Expect(err).NotTo(HaveOccurred(), out)
		g.Expect(json.Unmarshal([]byte(out), into)).To(Succeed(), out)
	}
	g.Expect(keys.Keys).To(ConsistOf(And(HaveField("KTY", "EC"), HaveField("CRV", "P-256"))))
	const uncompressed = 4
	point := []byte{uncompressed}
	for _, coordinate := range []string{keys.Keys[0].X, keys.Keys[0].Y} {
		raw, err := base64.RawURLEncoding.DecodeString(coordinate)
		g.Expect(err).NotTo(HaveOccurred())
		point = append(point, raw...)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	g.Expect(err).NotTo(HaveOccurred())
	return about.Issuer, key
}

// trusted declares a RAM role in the fake that trusts one service account, whose tokens it verifies with the API server's key.
func (s space) trusted(t *testing.T, g Gomega) *v1alpha1.WorkloadIdentity {
	t.Helper()
	w := &v1alpha1.WorkloadIdentity{
		RoleARN: ramAccount + "role/" + s.project, OIDCProviderARN: ramAccount + "oidc-provider/" + s.project, ServiceAccountName: "data-perms",
	}
	by, key := issuer(t, g)
	bed.Cloud.AddRAMRole(fakecloud.RAMRole{Arn: w.RoleARN, OIDC: &fakecloud.OIDCTrust{
		ProviderArn: w.OIDCProviderARN, Audience: audience, Subjects: []string{"system:serviceaccount:" + s.namespace + ":" + w.ServiceAccountName},
		Issuer: by, Key: key,
	}})
	return w
}

func (s space) serviceAccount() *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "data-perms"}}
}

// sessionConnection is a Connection that opens sessions at the fake's token service.
func (s space) sessionConnection(credentials v1alpha1.AlibabaCloudCredentials) *v1alpha1.Connection {
	connection := s.connection()
	connection.Spec.AlibabaCloud.Credentials = credentials
	connection.Spec.AlibabaCloud.Endpoints.STS = bed.CloudURL
	return connection
}

// sessionsOf are the sessions of a RAM role.
func sessionsOf(arn string) []fakecloud.Session {
	var list []fakecloud.Session
	for _, session := range bed.Cloud.Sessions() {
		if session.Arn == arn {
			list = append(list, session)
		}
	}
	return list
}

// callers are those who have made calls about a project.
func callers(project string) map[string]bool {
	by := map[string]bool{}
	for _, e := range bed.Cloud.Journal() {
		if e.Project == project {
			by[e.Caller] = true
		}
	}
	return by
}

// TestWorkloadIdentity has the real API server make a token, which the token service verifies and exchanges. However many roles there are,
// and however many Connections that say the same, it is asked once.
func TestWorkloadIdentity(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	identity := s.trusted(t, g)
	connection := s.sessionConnection(v1alpha1.AlibabaCloudCredentials{WorkloadIdentity: identity})
	second := connection.DeepCopy()
	second.Name = "second"
	create(t, s.serviceAccount(), connection, second)
	g.Expect(connection.Spec.AlibabaCloud.Credentials.WorkloadIdentity.Audience).To(Equal(audience), "the default")
	const roles = 20
	for i := range roles {
		role := s.role(fmt.Sprintf("reader_%d", i), "Select")
		role.Name = fmt.Sprintf("reader-%d", i)
		if i%2 == 1 {
			role.Spec.ConnectionRef.Name = second.Name
		}
		create(t, role)
	}
	s.waitReady(t, roles)
	g.Eventually(seen(connection), timeout, poll).Should(Equal(owns))
	g.Eventually(seen(second), timeout, poll).Should(Equal(owns))
	g.Expect(bed.Cloud.Roles(s.project)).To(HaveLen(roles))
	g.Expect(callers(s.project)).To(Equal(map[string]bool{identity.RoleARN: true}))
	g.Expect(sessionsOf(identity.RoleARN)).To(HaveLen(1))

	bed.Cloud.ExpireSessions()
	g.Eventually(func() int { return len(sessionsOf(identity.RoleARN)) }, timeout, poll).Should(BeNumerically(">", 1), "another is opened")
	g.Eventually(func() []string { return unready(s.list(t.Context(), g)) }, timeout, poll).Should(BeEmpty())
	g.Expect(len(sessionsOf(identity.RoleARN))).To(BeNumerically("<=", 3), "a call that was under way may ask for one more, but not each role for its own")
}

// unready names the roles that are not as they should be.
func unready(roles []v1alpha1.ProjectRole) []string {
	var names []string
	for i := range roles {
		if summary := seen(&roles[i])(); summary != owns {
			names = append(names, roles[i].Name+" "+summary)
		}
	}
	return names
}

// TestWorkloadIdentityOfAnotherNamespace shows that whoever names the RAM role of others, with a service account of the same name, gets
// nothing: the token says where the service account is.
func TestWorkloadIdentityOfAnotherNamespace(t *testing.T) {
	g := NewWithT(t)
	s, thief := newSpace(t), newSpace(t)
	identity := s.trusted(t, g)
	connection := thief.sessionConnection(v1alpha1.AlibabaCloudCredentials{WorkloadIdentity: identity})
	role := thief.role("reader", "Select")
	role.Spec.ProjectName = s.project
	create(t, s.serviceAccount(), thief.serviceAccount(), connection, role)
	g.Eventually(seen(connection), timeout, poll).Should(Or(Equal("False/AuthenticationFailed InProgress"), Equal("False/PermissionDenied InProgress")))
	g.Eventually(seen(role), timeout, poll).Should(Equal("False/ConnectionNotReady InProgress"))
	g.Expect(sessionsOf(identity.RoleARN)).To(BeEmpty())
	g.Expect(callsTo(s.project)).To(BeZero())
}

// TestAssumedRoles opens a session of another RAM role on top of what the credentials are.
func TestAssumedRoles(t *testing.T) {
	tests := map[string]func(t *testing.T, g Gomega, s space) (credentials v1alpha1.AlibabaCloudCredentials, trusted string){
		"on top of a Secret": func(t *testing.T, _ Gomega, s space) (v1alpha1.AlibabaCloudCredentials, string) {
			create(t, s.secret())
			return s.connection().Spec.AlibabaCloud.Credentials, fakecloud.DefaultAccessKeyID
		},
		"on top of a workload identity": func(t *testing.T, g Gomega, s space) (v1alpha1.AlibabaCloudCredentials, string) {
			create(t, s.serviceAccount())
			identity := s.trusted(t, g)
			return v1alpha1.AlibabaCloudCredentials{WorkloadIdentity: identity}, identity.RoleARN
		},
	}
	for name, arrange := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newSpace(t)
			credentials, trusted := arrange(t, g, s)
			assumed := &v1alpha1.AssumeRole{RoleARN: ramAccount + "role/assumed-" + s.project, SessionName: "k8s." + s.namespace, ExternalID: "team=" + s.namespace}
			bed.Cloud.AddRAMRole(fakecloud.RAMRole{Arn: assumed.RoleARN, TrustedAccessKeys: []string{trusted}, ExternalID: assumed.ExternalID})
			connection := s.sessionConnection(credentials)
			connection.Spec.AlibabaCloud.AssumeRole = assumed
			create(t, connection, s.role("one", "Select"), s.role("two", "Select"))
			ready, err := kubectl(t, "", "wait", "--for=condition=Ready", "--timeout=30s", "-n", s.namespace, "projectrole/one", "projectrole/two", "connection/prod")
			g.Expect(err).NotTo(HaveOccurred(), ready)
			g.Expect(callers(s.project)).To(Equal(map[string]bool{assumed.RoleARN: true}))
			g.Expect(sessionsOf(assumed.RoleARN)).To(ConsistOf(And(
				HaveField("SessionName", assumed.SessionName), HaveField("Expiration", BeTemporally("~", time.Now().Add(time.Hour), 2*time.Minute)),
			)))
		})
	}
}

// TestClusterConnectionWithWorkloadIdentity uses the service account of the namespace that the ClusterConnection names.
func TestClusterConnectionWithWorkloadIdentity(t *testing.T) {
	g := NewWithT(t)
	home, tenant := newSpace(t), newSpace(t)
	identity := home.trusted(t, g)
	identity.ServiceAccountNamespace = home.namespace
	connection := home.clusterConnection()
	connection.Spec.ConnectionSpec = home.sessionConnection(v1alpha1.AlibabaCloudCredentials{WorkloadIdentity: identity}).Spec
	connection.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{Names: []string{tenant.namespace}}
	role := tenant.clusterRole(connection)
	create(t, home.serviceAccount(), tenant.serviceAccount(), connection, role)
	g.Eventually(seen(connection), timeout, poll).Should(Equal(owns))
	g.Eventually(seen(role), timeout, poll).Should(Equal(owns))
	g.Expect(callers(tenant.project)).To(Equal(map[string]bool{identity.RoleARN: true}))
	g.Expect(client.IgnoreNotFound(bed.Kube.Delete(t.Context(), role))).To(Succeed())
	g.Eventually(seen(role), timeout, poll).Should(Equal(gone))
}
