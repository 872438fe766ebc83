package e2e

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/gitops"
)

const (
	timeout = 30 * time.Second
	poll    = 50 * time.Millisecond
)

// gone is what is seen of an object that does not exist.
const gone = "gone"

// seen is what a user sees of an object: Ready with its reason, and what delivery tools make of it.
func seen(obj conditions.Object) func() string {
	key := client.ObjectKey{Namespace: obj.GetNamespace(), Name: obj.GetName()}
	return func() string {
		// A fresh one: what has gone from an object would stay in one that was read before.
		value := reflect.ValueOf(obj).Elem()
		fresh, ok := reflect.TypeAssert[client.Object](reflect.New(value.Type()))
		if !ok {
			return "not an object"
		}
		switch err := bed.Kube.Get(context.Background(), key, fresh); {
		case apierrors.IsNotFound(err):
			return gone
		case err != nil:
			return err.Error()
		}
		value.Set(reflect.ValueOf(fresh).Elem())
		ready := conditions.ReadyCondition(obj)
		if ready == nil {
			return "no Ready condition"
		}
		return string(ready.Status) + "/" + ready.Reason + " " + kstatusOf(fresh)
	}
}

// told is the message of an object's Ready condition.
func told(obj conditions.Object) func() string {
	look := seen(obj)
	return func() string {
		if summary := look(); conditions.ReadyCondition(obj) == nil || summary == gone {
			return summary
		}
		return conditions.ReadyCondition(obj).Message
	}
}

// kstatusOf is what kstatus makes of an object, and where Argo CD or Flux contradicts it.
func kstatusOf(obj client.Object) string {
	content, err := gitops.Unstructured(obj)
	if err != nil {
		return err.Error()
	}
	kind, err := bed.Kube.GroupVersionKindFor(obj)
	if err != nil {
		return err.Error()
	}
	content.SetGroupVersionKind(kind)
	verdict, err := tools.Judge(context.Background(), content)
	if err != nil {
		return err.Error()
	}
	switch contradiction, err := verdict.Contradiction(content); {
	case err != nil:
		return err.Error()
	case contradiction != "":
		return contradiction
	}
	return string(verdict.KStatus)
}

// grantsOf is what the role called reader holds in the cloud.
func grantsOf(s space) func() string {
	return func() string {
		var out []string
		for _, g := range bed.Cloud.RoleGrants(s.project, "reader") {
			out = append(out, g.Name+":"+strings.Join(g.Actions, ","))
		}
		return strings.Join(out, " ")
	}
}

func TestAManifestBecomesAConvergedACL(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	role := s.role("reader", "Describe", "Select")
	create(t, s.secret(), s.connection(), role)
	out, err := kubectl(t, "", "wait", "--for=condition=Ready", "--timeout=30s", "-n", s.namespace, "projectrole/reader", "connection/prod")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(seen(role)()).To(Equal("True/Succeeded Current"))
	g.Expect(grantsOf(s)()).To(Equal("orders:describe,select"))

	out, err = kubectl(t, "", "get", "maxcompute", "-n", s.namespace)
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(out).To(MatchRegexp(`reader +` + s.project + ` +reader +True +Succeeded`))
	out, err = kubectl(t, "", "get", "mcrole", "-n", s.namespace, "-o", "wide")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(out).To(MatchRegexp(`MESSAGE +CONNECTION +SUSPENDED`))

	g.Expect(bed.Cloud.Revoke(s.project, "reader", fakecloud.Grant{Kind: "table", Name: "orders", Actions: []string{"Select"}})).To(Succeed())
	g.Eventually(grantsOf(s), timeout, poll).Should(Equal("orders:describe,select"), "the drift is corrected")

	out, err = kubectl(t, "", "patch", "mcrole/reader", "-n", s.namespace, "--type=json", "-p", `[{"op":"replace","path":"/spec/acl/tables/0/actions","value":["Select"]}]`)
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Eventually(grantsOf(s), timeout, poll).Should(Equal("orders:select"), "the shrink is carried out")
	g.Eventually(seen(role), timeout, poll).Should(Equal("True/Succeeded Current"))

	out, err = kubectl(t, "", "delete", "mcrole/reader", "-n", s.namespace, "--timeout=30s")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(bed.Cloud.RoleExists(s.project, "reader")).To(BeFalse())

	out, err = kubectl(t, "", "get", "events", "-n", s.namespace)
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(out).To(And(ContainSubstring("created Role reader, granted 2"), ContainSubstring("revoked 1")))
}

func TestQuietPassesWriteNothing(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	role := s.role("reader", "Select")
	create(t, s.secret(), s.connection(), role)
	g.Eventually(seen(role), timeout, poll).Should(Equal("True/Succeeded Current"))
	version := role.ResourceVersion
	reads := func() int {
		n := 0
		for _, e := range bed.Cloud.Journal() {
			if e.Project == s.project && e.Action == "GetRoleAcl" {
				n++
			}
		}
		return n
	}
	before := reads()
	g.Eventually(reads, timeout, poll).Should(BeNumerically(">=", before+3), "three more looks")
	g.Expect(bed.Kube.Get(t.Context(), client.ObjectKeyFromObject(role), role)).To(Succeed())
	g.Expect(role.ResourceVersion).To(Equal(version))
}

func TestDependenciesMayComeInAnyOrder(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	role, connection := s.role("reader", "Select"), s.connection()
	create(t, role)
	g.Eventually(seen(role), timeout, poll).Should(Equal("False/ConnectionNotReady InProgress"))
	create(t, connection)
	g.Eventually(seen(connection), timeout, poll).Should(Equal("False/SecretNotFound InProgress"))
	g.Eventually(seen(role), timeout, poll).Should(Equal("False/ConnectionNotReady InProgress"))
	create(t, s.secret())
	g.Eventually(seen(connection), timeout, poll).Should(Equal("True/Succeeded Current"))
	g.Eventually(seen(role), timeout, poll).Should(Equal("True/Succeeded Current"))
}

func TestWhatAUserSeesOfFailures(t *testing.T) {
	tests := map[string]struct {
		arrange func(t *testing.T, s space)
		want    string
	}{
		"somebody else's role stalls": {func(t *testing.T, s space) {
			if err := bed.Cloud.CreateRole(s.project, "reader", "resource"); err != nil {
				t.Fatal(err)
			}
		}, "False/AlreadyExists Failed"},
		"a missing project is waited for": {func(_ *testing.T, s space) { bed.Cloud.RemoveProject(s.project) }, "False/ProjectNotFound InProgress"},
		"a denied call is repeated slowly": {func(_ *testing.T, s space) {
			bed.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Project: s.project})
		}, "False/PermissionDenied InProgress"},
		"throttling is waited out": {func(_ *testing.T, s space) {
			bed.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultThrottle, Project: s.project})
		}, "False/RemoteUnavailable InProgress"},
		"a page of another server is not believed": {func(_ *testing.T, s space) {
			bed.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultWrongEndpoint, Project: s.project})
		}, "False/UnexpectedResponse InProgress"},
		"a table that does not exist is named": {func(t *testing.T, s space) {
			if err := bed.Cloud.SetStrict(s.project, true); err != nil {
				t.Fatal(err)
			}
		}, "False/PartiallyApplied InProgress"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newSpace(t)
			tc.arrange(t, s)
			role := s.role("reader", "Select")
			create(t, s.secret(), s.connection(), role)
			g.Eventually(seen(role), timeout, poll).Should(Equal(tc.want))
		})
	}
}

func TestRefusedCredentialsAndTheirRotation(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	secret := s.secret()
	secret.StringData["accessKeySecret"] = "fake-secret-that-is-wrong"
	role, connection := s.role("reader", "Select"), s.connection()
	create(t, secret, connection, role)
	g.Eventually(seen(connection), timeout, poll).Should(Equal("False/AuthenticationFailed InProgress"))
	g.Eventually(seen(role), timeout, poll).Should(Equal("False/AuthenticationFailed InProgress"))
	g.Expect(bed.Kube.Update(t.Context(), &corev1.Secret{ObjectMeta: secret.ObjectMeta, StringData: s.secret().StringData})).To(Succeed())
	g.Eventually(seen(connection), timeout, poll).Should(Equal("True/Succeeded Current"))
	g.Eventually(seen(role), timeout, poll).Should(Equal("True/Succeeded Current"))
	out, err := kubectl(t, "", "get", "maxcompute,events", "-n", s.namespace, "-o", "yaml")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(out + bed.Manager.Output()).NotTo(ContainSubstring("fake-secret"))
}

func TestBornSuspended(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	role := s.role("reader", "Select")
	role.Spec.Suspend = true
	create(t, s.secret(), s.connection(), role)
	g.Eventually(seen(role), timeout, poll).Should(HavePrefix("Unknown/Suspended"))
	g.Expect(role.Status.ObservedGeneration).To(Equal(int64(-1)))
	out, err := kubectl(t, "", "patch", "mcrole/reader", "-n", s.namespace, "--type=merge", "-p", `{"spec":{"suspend":false}}`)
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Eventually(seen(role), timeout, poll).Should(Equal("True/Succeeded Current"))
}

func TestKilledManagerLeavesNothingUntracked(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	create(t, s.secret(), s.connection())
	var roles []*v1alpha1.ProjectRole
	// Slow enough that each kill meets the manager at work.
	bed.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultLatency, Project: s.project, Latency: 200 * time.Millisecond})
	calls := func() (n int) {
		for _, e := range bed.Cloud.Journal() {
			if e.Project == s.project {
				n++
			}
		}
		return n
	}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		before := calls()
		role := s.role(name, "Select")
		roles = append(roles, role)
		create(t, role)
		g.Eventually(calls, timeout, poll).Should(BeNumerically(">", before))
		bed.Manager.Kill()
		g.Expect(startManager()).To(Succeed())
	}
	for _, role := range roles {
		g.Eventually(seen(role), timeout, poll).Should(Equal("True/Succeeded Current"))
		g.Expect(role.Status.Created && !role.Status.Creating).To(BeTrue())
	}
	g.Expect(bed.Cloud.Roles(s.project)).To(HaveLen(len(roles)))
	for _, role := range roles {
		g.Expect(bed.Kube.Delete(t.Context(), role)).To(Succeed())
	}
	g.Eventually(func() int { return len(bed.Cloud.Roles(s.project)) }, timeout, poll).Should(BeZero())
}

// TestEverythingDeletedAtOnce deletes the Secret and the Connection before the roles, as the deletion of a namespace may.
func TestEverythingDeletedAtOnce(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	create(t, s.secret(), s.connection(), s.role("a", "Select"), s.role("b", "Select"))
	out, err := kubectl(t, "", "wait", "--for=condition=Ready", "--timeout=30s", "-n", s.namespace, "mcrole/a", "mcrole/b")
	g.Expect(err).NotTo(HaveOccurred(), out)
	out, err = kubectl(t, "", "delete", "-n", s.namespace, "--timeout=30s", "secret/alibaba", "mcconn/prod", "mcrole/a", "mcrole/b")
	g.Expect(err).NotTo(HaveOccurred(), out)
	g.Expect(bed.Cloud.Roles(s.project)).To(BeEmpty())
}

func TestSpecIsNeverWritten(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	role := s.role("reader", "Select")
	create(t, s.secret(), s.connection(), role)
	g.Eventually(seen(role), timeout, poll).Should(Equal("True/Succeeded Current"))
	g.Expect(role.Generation).To(Equal(int64(1)))
	g.Expect(role.ManagedFields).To(ContainElement(HaveField("Manager", "manager")), "the manager wrote something at all")
	for _, field := range role.ManagedFields {
		if field.Operation == metav1.ManagedFieldsOperationUpdate && field.Manager == "manager" {
			g.Expect(field.FieldsV1.GetRawString()).NotTo(ContainSubstring(`"f:spec"`))
		}
	}
}
