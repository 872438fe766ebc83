package monitoring

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

const (
	// someone is who gets permissions by requests.
	someone = "267842600408993176"
	// sceneTimeout is how long the scene may take to come to what is wanted of it, on a slow machine.
	sceneTimeout = 90 * time.Second
)

// scene is a cluster and a cloud in which there is something to see of everything.
type scene struct {
	*testbed.Testbed
	t *testing.T
	// target is where the manager serves metrics.
	target string
}

// newScene starts a control plane, the fake cloud and a manager that serves metrics.
func newScene(t *testing.T) scene {
	t.Helper()
	bed, err := testbed.Start(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	s := scene{bed, t, address(t)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the manager's log:\n%s", bed.Manager.Output())
		}
		if err := bed.Stop(); err != nil {
			t.Error(err)
		}
	})
	err = bed.Manager.Start("--default-interval=2s", "--metrics-bind-address="+s.target, "--metrics-secure=false")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s scene) create(objects ...client.Object) {
	s.t.Helper()
	for _, obj := range objects {
		if err := s.Kube.Create(s.t.Context(), obj); err != nil {
			s.t.Fatal(err)
		}
	}
}

// must ends the test if any of these went wrong.
func (s scene) must(failures ...error) {
	s.t.Helper()
	for _, err := range failures {
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// becomes waits until an object's Ready condition has a reason.
func (s scene) becomes(obj interface {
	conditions.Object
	client.Object
}, reason string,
) {
	s.t.Helper()
	said := ""
	err := testbed.Until(s.t.Context(), sceneTimeout, func() (bool, error) {
		err := s.Kube.Get(s.t.Context(), client.ObjectKeyFromObject(obj), obj)
		if ready := conditions.ReadyCondition(obj); ready != nil {
			said = ready.Reason + ": " + ready.Message
		}
		return strings.HasPrefix(said, reason+":"), err
	})
	if err != nil {
		s.t.Fatalf("%T %s says %q and not %s: %v", obj, obj.GetName(), said, reason, err)
	}
}

// namespace makes a namespace with a Connection, whose project has its name and where there is a table to ask for.
func (s scene) namespace(name string) {
	s.t.Helper()
	s.Cloud.AddProject(fakecloud.Project{Name: name})
	s.must(
		s.Connect(s.t.Context(), name, 1000, func(c *v1alpha1.Connection) { c.Spec.AlibabaCloud.DataWorksAPIVersion = "2024-05-18" }),
		s.Cloud.DeclareTable(name, "", "orders", fakecloud.Column{Name: "id"}),
	)
}

func (s scene) role(namespace, name string) *v1alpha1.ProjectRole {
	return s.NewRole(namespace, name, namespace, name, v1alpha1.TableGrant{Name: "orders", Actions: []string{"Select"}})
}

// request asks for a table until a time from now, or with 0, for as long as the service gives it.
func (s scene) request(namespace, name string, lasts time.Duration) *v1alpha1.PermissionApply {
	s.t.Helper()
	request := &v1alpha1.PermissionApply{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.PermissionApplySpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "prod"}, ApplyUserIDs: []string{someone}, Reason: "report", ProjectName: namespace, WorkspaceID: 12345,
			Objects: []v1alpha1.ApplyObject{{Name: "orders", Actions: []v1alpha1.TableAction{"Select"}}},
		},
	}
	if lasts > 0 {
		request.Spec.Deadline = new(metav1.NewTime(time.Now().Add(lasts).Truncate(time.Second)))
	}
	s.create(request)
	return request
}

// order is that of a request that waits for its approver.
func (s scene) order(request *v1alpha1.PermissionApply) string {
	s.t.Helper()
	s.becomes(request, v1alpha1.ReasonAwaitingApproval)
	return request.Status.Orders[0].ID
}

// insight makes a workspace in the other cloud, and a Connection to it.
func (s scene) insight(namespace string) {
	s.t.Helper()
	s.must(
		s.Cloud.AddIAMProject(fakecloud.IAMProject{ID: namespace, Name: namespace}),
		s.Cloud.AddIAMUser(fakecloud.IAMUser{Domain: "corp", Name: namespace, Password: "fake-password"}),
		s.Cloud.AddIAMKey(fakecloud.IAMKey{AccessKeyID: "FAKEKEYOF" + namespace, SecretAccessKey: "fake-secret", User: "corp/" + namespace}),
		s.Cloud.AddInsightWorkspace(fakecloud.InsightWorkspace{Project: namespace, ID: "space"}),
		s.Cloud.AddInsightResource(fakecloud.InsightResource{Project: namespace, Workspace: "space", Type: "dashboard", ID: "d1", Size: 1 << 20}),
	)
	s.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "huawei"},
		StringData: map[string]string{"accessKey": "FAKEKEYOF" + namespace, "secretKey": "fake-secret"},
	}, &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "insight"},
		Spec: v1alpha1.ConnectionSpec{HuaweiCloud: &v1alpha1.HuaweiCloudConnection{
			Region: "cn-southwest-2", ProjectID: namespace,
			Endpoints:   &v1alpha1.HuaweiCloudEndpoints{DataArtsInsight: s.CloudURL, IAM: s.CloudURL},
			Credentials: v1alpha1.HuaweiCloudCredentials{SecretRef: v1alpha1.SecretReference{Name: "huawei"}},
		}},
	})
}

func (s scene) export(namespace, name, dashboard string) *v1alpha1.ResourcePackageExport {
	s.t.Helper()
	export := &v1alpha1.ResourcePackageExport{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ResourcePackageExportSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "insight"}, WorkspaceID: "space", PackageName: "boards",
			Resources:   []v1alpha1.ExportedResource{{Type: "dashboard", ID: dashboard}},
			Destination: v1alpha1.ExportDestination{Directory: &v1alpha1.DirectoryDestination{Path: "monthly"}},
		},
	}
	s.create(export)
	return export
}

// healthy fills the namespace data with one of everything that is as it should be, or waits for people, or was answered by them.
func (s scene) healthy() {
	s.t.Helper()
	s.must(s.Cloud.AddUser(fakecloud.User{AccountID: someone, Principal: "RAM$corp:someone"}))
	s.namespace("data")
	s.Cloud.AddProject(fakecloud.Project{Name: "lake"})
	role, observed := s.role("data", "reader"), s.role("data", "observed")
	observed.Spec.ManagementPolicy = v1alpha1.ManagementObserve
	shared := &v1alpha1.ClusterConnection{ObjectMeta: metav1.ObjectMeta{Name: "shared"}}
	shared.Spec.ConnectionSpec = s.NewConnection("data", 1000).Spec
	shared.Spec.AlibabaCloud.Credentials.SecretRef.Namespace = "data"
	pkg := &v1alpha1.MaxComputePackage{
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "cities"},
		Spec: v1alpha1.MaxComputePackageSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "prod"}, ProjectName: "data", PackageName: "cities",
			Resources:       &v1alpha1.PackageResources{Tables: []v1alpha1.TableGrant{{Name: "dim_city", Actions: []string{"Select"}}}},
			AllowedProjects: []v1alpha1.AllowedProject{{ProjectName: "lake"}},
		},
	}
	installation := &v1alpha1.PackageInstallation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "data", Name: "cities"},
		Spec: v1alpha1.PackageInstallationSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "prod"}, ProjectName: "lake", SourceProject: "data", PackageName: "cities",
		},
	}
	s.create(shared, role, observed, pkg)
	s.becomes(pkg, v1alpha1.ReasonSucceeded)
	s.create(installation)
	s.insight("data")
	export := s.export("data", "boards", "d1")

	waits, rejected, granted := s.request("data", "waits", 0), s.request("data", "rejected", 0), s.request("data", "granted", 60*24*time.Hour)
	s.must(s.Cloud.RejectOrder(s.order(rejected), "not without a ticket"), s.Cloud.ApproveOrder(s.order(granted), fakecloud.Approval{}))
	s.becomes(waits, v1alpha1.ReasonAwaitingApproval)
	s.becomes(rejected, v1alpha1.ReasonRejected)
	s.becomes(granted, v1alpha1.ReasonGranted)
	s.becomes(role, v1alpha1.ReasonSucceeded)
	s.becomes(observed, v1alpha1.ReasonObserved)
	s.becomes(shared, v1alpha1.ReasonSucceeded)
	s.becomes(installation, v1alpha1.ReasonSucceeded)
	s.becomes(export, v1alpha1.ReasonSucceeded)
}

// troubled fills the namespace mart with what somebody has to hear of, and changes by hand what is managed. In the namespace locked the
// credentials are wrong.
func (s scene) troubled() {
	s.t.Helper()
	s.namespace("mart")
	missing, exists, held, partial, suspended := s.role("mart", "missing"), s.role("mart", "existing"), s.role("mart", "held"), s.role("mart", "partial"), s.role("mart", "paused")
	missing.Spec.ProjectName = "nowhere"
	partial.Spec.ProjectName, partial.Spec.Members = "strict", []string{"RAM$corp:nobody"}
	suspended.Spec.Suspend = true
	held.Spec.AdoptionPolicy = v1alpha1.AdoptionAdopt
	s.Cloud.AddProject(fakecloud.Project{Name: "strict", Strict: true})
	s.must(s.Cloud.DeclareObject("strict", "table", "default", "orders"), s.Cloud.CreateRole("mart", "existing", "resource"), s.Cloud.CreateRole("mart", "held", "resource"))
	for i := range 60 {
		s.must(s.Cloud.Grant("mart", "held", fakecloud.Grant{Kind: "table", Name: "t_" + string(rune('a'+i%26)) + string(rune('a'+i/26)), Actions: []string{"Select"}}))
	}
	s.create(missing, exists, held, partial, suspended)
	s.becomes(missing, v1alpha1.ReasonProjectNotFound)
	s.becomes(exists, v1alpha1.ReasonAlreadyExists)
	s.becomes(held, v1alpha1.ReasonRevokeLimitExceeded)
	s.becomes(partial, v1alpha1.ReasonPartiallyApplied)
	s.becomes(suspended, v1alpha1.ReasonSuspended)

	failed, today, soon := s.request("mart", "failed", 0), s.request("mart", "today", 12*time.Hour), s.request("mart", "soon", 10*24*time.Hour)
	order := s.order(failed)
	s.must(
		s.Cloud.ApproveOrder(order, fakecloud.Approval{Hold: true}), s.Cloud.FailAuthorisation(order, "the table is gone"),
		s.Cloud.ApproveOrder(s.order(today), fakecloud.Approval{}), s.Cloud.ApproveOrder(s.order(soon), fakecloud.Approval{}),
	)
	s.becomes(failed, v1alpha1.ReasonGrantFailed)
	s.becomes(today, v1alpha1.ReasonGranted)
	s.becomes(soon, v1alpha1.ReasonGranted)
	s.insight("mart")
	s.becomes(s.export("mart", "gone", "d9"), v1alpha1.ReasonResourceNotFound)

	locked := s.NewConnection("locked", 1000)
	secret := s.NewSecret("locked")
	secret.StringData["accessKeySecret"] = "fake-secret-of-nobody"
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "locked"}}, secret, locked)
	s.becomes(locked, v1alpha1.ReasonAuthenticationFailed)
	s.drift()
	s.badWeather()
}

// drift has somebody take a permission away again and again, and waits each time until it is back.
func (s scene) drift() {
	s.t.Helper()
	for range 3 {
		s.must(s.Cloud.Revoke("data", "reader", fakecloud.Grant{Kind: "table", Name: "orders", Actions: []string{"Select"}}))
		s.must(testbed.Until(s.t.Context(), sceneTimeout, func() (bool, error) { return len(s.Cloud.RoleGrants("data", "reader")) > 0, nil }))
		s.becomes(s.role("data", "reader"), v1alpha1.ReasonSucceeded)
	}
}

// badWeather has some calls throttled and some fail, and in the namespace poor a day's budget spent.
func (s scene) badWeather() {
	s.t.Helper()
	s.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultThrottle, Project: "data", Only: "reads", Times: 2})
	s.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultServerError, Project: "lake", Only: "reads", Times: 2})
	s.Cloud.AddIdentity(fakecloud.Identity{AccessKeyID: "FAKEPOOR", AccessKeySecret: "fake-secret"})
	poor, secret := s.NewConnection("poor", 1000), s.NewSecret("poor")
	secret.StringData = map[string]string{"accessKeyId": "FAKEPOOR", "accessKeySecret": "fake-secret"}
	poor.Spec.AlibabaCloud.DataWorksAPIVersion, poor.Spec.AlibabaCloud.RateLimits.DataWorks.CallsPerDay = "2024-05-18", 1
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "poor"}}, secret, poor)
	s.Cloud.AddProject(fakecloud.Project{Name: "poor"})
	s.request("poor", "first", 0)
	s.request("poor", "second", 0)
}
