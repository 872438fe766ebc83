package e2e

import (
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// as is a client with the rights of a manager's service account.
func as(g Gomega, m *testbed.Manager) client.Client {
	config, err := clientcmd.BuildConfigFromFlags("", m.Kubeconfig)
	g.Expect(err).NotTo(HaveOccurred())
	c, err := client.New(config, client.Options{Scheme: bed.Kube.Scheme()})
	g.Expect(err).NotTo(HaveOccurred())
	return c
}

// mayDo are the rules that the API server applies to a manager in a namespace, those of everybody who is authenticated included.
func mayDo(t *testing.T, g Gomega, m *testbed.Manager, namespace string) []authorizationv1.ResourceRule {
	t.Helper()
	review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
	g.Expect(as(g, m).Create(t.Context(), review)).To(Succeed())
	g.Expect(review.Status.Incomplete).To(BeFalse())
	return review.Status.ResourceRules
}

// TestTheManagerMayDoNoMore is about the account that every other test's manager runs as: what these tests do is done with these rights.
func TestTheManagerMayDoNoMore(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	self := &authenticationv1.SelfSubjectReview{}
	g.Expect(as(g, bed.Manager).Create(t.Context(), self)).To(Succeed())
	g.Expect(self.Status.UserInfo.Username).To(Equal("system:serviceaccount:maxcompute-operator-system:maxcompute-operator"))
	rules := mayDo(t, g, bed.Manager, s.namespace)
	g.Expect(rules).NotTo(BeEmpty())
	for _, rule := range rules {
		for _, text := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs) {
			g.Expect(text).NotTo(ContainSubstring("*"), "%v", rule)
		}
		if slices.Contains(rule.Resources, "secrets") {
			g.Expect(rule.Verbs).To(Equal([]string{"get"}))
		}
		g.Expect(rule.Verbs).NotTo(ContainElement(BeElementOf("escalate", "bind", "impersonate", "deletecollection")), "%v", rule)
	}
}

// TestTheAPIServerRefusesTheManager tries, with the manager's token, what it has no business with.
func TestTheAPIServerRefusesTheManager(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	role := s.role("reader", "Select")
	role.Spec.Suspend = true
	create(t, s.secret(), role)
	manager := as(g, bed.Manager)
	elsewhere := func(obj client.Object) client.Object {
		obj.SetNamespace(s.namespace)
		obj.SetName("intruder")
		return obj
	}
	tests := map[string]func() error{
		"list the Secrets of a namespace":       func() error { return manager.List(t.Context(), &corev1.SecretList{}, client.InNamespace(s.namespace)) },
		"list all Secrets":                      func() error { return manager.List(t.Context(), &corev1.SecretList{}) },
		"change a Secret":                       func() error { return manager.Update(t.Context(), s.secret()) },
		"delete a Secret":                       func() error { return manager.Delete(t.Context(), s.secret()) },
		"make a ClusterRole":                    func() error { return manager.Create(t.Context(), elsewhere(&rbacv1.ClusterRole{})) },
		"make a RoleBinding":                    func() error { return manager.Create(t.Context(), elsewhere(&rbacv1.RoleBinding{})) },
		"make a pod":                            func() error { return manager.Create(t.Context(), elsewhere(&corev1.Pod{})) },
		"make an object of its own kinds":       func() error { return manager.Create(t.Context(), s.role("more", "Select")) },
		"replace an object of its own kinds":    func() error { return manager.Update(t.Context(), role) },
		"delete an object of its own kinds":     func() error { return manager.Delete(t.Context(), role) },
		"take a lease outside of its namespace": func() error { return manager.Create(t.Context(), elsewhere(&coordinationv1.Lease{})) },
		"read a service account": func() error {
			return manager.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "default"}, &corev1.ServiceAccount{})
		},
		"make a namespace": func() error {
			return manager.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "intruder"}})
		},
		"change its own service account": func() error { return manager.Update(t.Context(), ownAccount()) },
		"list the service accounts of a namespace": func() error {
			return manager.List(t.Context(), &corev1.ServiceAccountList{}, client.InNamespace(s.namespace))
		},
	}
	for name, attempt := range tests {
		t.Run(name, func(t *testing.T) {
			err := attempt()
			NewWithT(t).Expect(apierrors.IsForbidden(err)).To(BeTrue(), "the error is %v", err)
		})
	}
}

func ownAccount() *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "maxcompute-operator-system", Name: "maxcompute-operator"}}
}

// startScoped stops the manager until the test ends, and runs one instead that the chart grants a namespace and no more.
func startScoped(t *testing.T, g Gomega, watched space) *testbed.Manager {
	t.Helper()
	bed.Manager.Stop()
	t.Cleanup(func() {
		if err := startManager(); err != nil {
			t.Error(err)
		}
	})
	m, err := bed.Install(t.Context(), watched.namespace, "operator-"+watched.namespace, "--set=crds.create=false,rbac.scoped=true,watchNamespaces={"+watched.namespace+"}")
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(m.Stop)
	g.Expect(m.Start("--default-interval=2s")).To(Succeed())
	return m
}

// TestScopedRights is about a manager that may work in one namespace: it works there, can read no Secret elsewhere and change nothing, and
// is refused nothing that it tries.
func TestScopedRights(t *testing.T) {
	g := NewWithT(t)
	watched, other := newSpace(t), newSpace(t)
	scoped := startScoped(t, g, watched)
	// A role by each kind of connection. The Secret of the cluster-wide one is in the watched namespace.
	shared := watched.clusterConnection()
	shared.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{Names: []string{watched.namespace}}
	own, byShared, unseen := watched.role("reader", "Select"), watched.clusterRole(shared), other.role("reader", "Select")
	byShared.Name, byShared.Spec.RoleName = "by-shared", "by_shared"
	create(t, watched.secret(), watched.connection(), shared, own, byShared, other.secret(), other.connection(), unseen)
	g.Eventually(seen(own), timeout, poll).Should(Equal(owns))
	g.Eventually(seen(byShared), timeout, poll).Should(Equal(owns))
	g.Expect(seen(unseen)()).To(Equal("no Ready condition"), "it is in a namespace that is not watched")

	manager := as(g, scoped)
	g.Expect(manager.Get(t.Context(), client.ObjectKeyFromObject(watched.secret()), &corev1.Secret{})).To(Succeed())
	g.Expect(apierrors.IsForbidden(manager.Get(t.Context(), client.ObjectKeyFromObject(other.secret()), &corev1.Secret{}))).To(BeTrue())
	for _, namespace := range []string{other.namespace, "default", "kube-system"} {
		for _, rule := range mayDo(t, g, scoped, namespace) {
			g.Expect(rule.Resources).NotTo(ContainElement(BeElementOf("secrets", "serviceaccounts/token")), "in %s: %v", namespace, rule)
			if slices.Contains(rule.Resources, "projectroles") {
				// What objects elsewhere own must be known before anything is written.
				g.Expect(rule.Verbs).To(HaveEach(BeElementOf("get", "list")), "in %s: %v", namespace, rule)
			}
		}
	}

	// Events of failures are written for objects in no namespace, too.
	patch := client.MergeFrom(shared.DeepCopy())
	shared.Spec.AlibabaCloud.Credentials.SecretRef.Name = "missing"
	g.Expect(bed.Kube.Patch(t.Context(), shared, patch)).To(Succeed())
	g.Eventually(seen(shared), timeout, poll).Should(Equal("False/SecretNotFound InProgress"))
	g.Eventually(func() (string, error) {
		return kubectl(t, "", "events", "--namespace=default", "--for=clusterconnection/"+shared.Name)
	}, timeout, poll).
		Should(ContainSubstring("SecretNotFound"))
	g.Expect(bed.Kube.Delete(t.Context(), byShared)).To(Succeed())
	g.Expect(bed.Kube.Delete(t.Context(), own)).To(Succeed())
	g.Eventually(seen(own), timeout, poll).Should(Equal(gone))
	g.Expect(scoped.Output()).NotTo(ContainSubstring("is forbidden"))
}

// TestMetricsAreForThoseWhoMayReadThem asks the manager for its metrics with tokens of service accounts. The manager may have them reviewed,
// and the role metrics-reader is what it takes.
func TestMetricsAreForThoseWhoMayReadThem(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	address := listener.Addr().String()
	g.Expect(listener.Close()).To(Succeed())
	bed.Manager.Stop()
	t.Cleanup(func() {
		bed.Manager.Stop()
		if err := startManager(); err != nil {
			t.Error(err)
		}
	})
	g.Expect(bed.Manager.Start("--metrics-bind-address=" + address)).To(Succeed())
	reader, nobody := s.account("reader"), s.account("nobody")
	create(t, reader, nobody, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "maxcompute-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: reader.Name}},
	})
	// The manager makes its certificate itself.
	scraper := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	scrape := func(token string) func() (int, error) {
		return func() (int, error) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/metrics", http.NoBody)
			if err != nil {
				return 0, err
			}
			request.Header.Set("Authorization", "Bearer "+token)
			response, err := scraper.Do(request)
			if err != nil {
				return 0, err
			}
			return response.StatusCode, response.Body.Close()
		}
	}
	g.Eventually(scrape(s.token(t, reader)), timeout, poll).Should(Equal(http.StatusOK))
	g.Expect(scrape(s.token(t, nobody))()).To(Equal(http.StatusForbidden))
	g.Expect(scrape("fake-token")()).To(Equal(http.StatusUnauthorized))
}

func (s space) account(name string) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
}

// token is one of a service account.
func (s space) token(t *testing.T, account *corev1.ServiceAccount) string {
	t.Helper()
	request := &authenticationv1.TokenRequest{}
	if err := bed.Kube.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}
