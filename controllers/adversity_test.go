package controllers_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// The cases of this file were found by attacking the operator. Each ended once with a permission that was wrongly taken, wrongly
// given, or forgotten.

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// rewire makes a new operator over another API client, with a transport that may answer first (nil, nil: it does not).
func (h *harness) rewire(kube client.Client, first func(*http.Request) (*http.Response, error)) {
	httpClient := openapi.NewHTTPClient()
	next := http.RoundTripper(&crashingTransport{harness: h, next: httpClient.Transport})
	httpClient.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		if first != nil {
			if response, err := first(r); response != nil || err != nil {
				return response, err
			}
		}
		return next.RoundTrip(r)
	})
	h.operate(kube, httpClient)
}

// answer makes a successful answer with a body.
func answer(r *http.Request, body string) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// lagging serves an old copy of the role once.
func (h *harness) lagging(old *v1alpha1.ProjectRole) client.Client {
	once := true
	return interceptor.NewClient(h.kube, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
		if role, ok := obj.(*v1alpha1.ProjectRole); ok && once {
			once = false
			old.DeepCopyInto(role)
			return nil
		}
		return c.Get(ctx, key, obj, opts...)
	}})
}

func (h *harness) made(acl *v1alpha1.RoleACL) *v1alpha1.ProjectRole {
	h.t.Helper()
	role := newRole("reader", acl)
	h.create(role)
	h.settle(role)
	return role
}

func (h *harness) setACL(role *v1alpha1.ProjectRole, acl *v1alpha1.RoleACL) {
	h.t.Helper()
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL = acl })
}

// try makes passes whose ends do not matter.
func (h *harness) try(role *v1alpha1.ProjectRole, passes int) {
	for range passes {
		_, _ = h.pass(role) //nolint:errcheck // what is there afterwards is what counts
	}
}

func (h *harness) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) notLeaked(role *v1alpha1.ProjectRole) {
	h.t.Helper()
	if h.get(role) == nil && h.cloud.RoleExists(project, "reader") {
		h.t.Errorf("the object is gone, the role is there: %v", h.granted("reader"))
	}
}

func (h *harness) pointConnectionAt(url string) {
	h.t.Helper()
	connection := &v1alpha1.Connection{}
	h.must(h.kube.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: "prod"}, connection))
	connection.Spec.AlibabaCloud.Endpoints = &v1alpha1.AlibabaCloudEndpoints{MaxCompute: url, ODPS: url + "/api"}
	connection.Generation++
	h.must(h.kube.Update(context.Background(), connection))
}

func TestConnectionThatNamesAnotherServiceTouchesNothingThere(t *testing.T) {
	h, other := newHarness(t), newHarness(t)
	role := h.made(tables("Select"))
	h.must(other.cloud.CreateRole(project, "reader", "resource"))
	h.must(other.cloud.Grant(project, "reader", fakecloud.Grant{Kind: "table", Name: "reports", Actions: []string{"Select"}}))
	h.pointConnectionAt(other.url)
	h.try(role, 2)
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonConnectionNotReady)
	h.delete(role)
	h.try(role, 2)
	if calls := other.cloud.Journal(); len(calls) > 0 {
		t.Errorf("calls to a service where the object has done nothing: %v", calls)
	}
	h.pointConnectionAt(h.url)
	if h.settle(role) != nil || h.cloud.RoleExists(project, "reader") {
		t.Error("the deletion did not end where the role is")
	}
}

func TestConnectionThatChangesInMidPass(t *testing.T) {
	h, other := newHarness(t), newHarness(t)
	role := h.made(tables("Select"))
	h.must(other.cloud.CreateRole(project, "reader", "resource"))
	h.must(other.cloud.Grant(project, "reader", fakecloud.Grant{Kind: "table", Name: "orders", Actions: []string{"Select"}}))
	h.setACL(role, &v1alpha1.RoleACL{Tables: []v1alpha1.TableGrant{{SchemaName: "default", Name: "a", Actions: []string{"Select"}}}})
	switched := false
	h.crash = func(_ int64, before bool) {
		if !switched && !before && len(h.cloud.Writes()) == 2 {
			switched = true
			h.pointConnectionAt(other.url)
		}
	}
	h.try(role, 1)
	if writes := other.cloud.Writes(); len(writes) > 0 {
		t.Errorf("a plan made for one service was carried out at another: %v", writes)
	}
}

func TestRoleThatTurnedAdminIsNotDropped(t *testing.T) {
	h := newHarness(t)
	role := h.made(tables("Select"))
	h.must(h.cloud.DropRole(project, "reader"))
	h.must(h.cloud.CreateRole(project, "reader", "admin"))
	h.must(h.cloud.AddMembers(project, "reader", "RAM$corp:boss"))
	h.delete(role)
	h.try(role, 3)
	if !h.cloud.RoleExists(project, "reader") || len(h.cloud.Members(project, "reader")) != 1 {
		t.Error("an admin role of somebody else was dropped, or lost its members")
	}
}

func TestForeignRoleWithMembersIsNotClaimed(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	role := newRole("reader", tables("Select"))
	h.create(role)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultServerError, Action: "CreateRole", Times: 1})
	h.try(role, 1)
	h.must(h.cloud.CreateRole(project, "reader", "resource"))
	h.must(h.cloud.AddMembers(project, "reader", "RAM$corp:bob"))
	got := h.settle(role)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonCreateResultUnknown)
	if held := h.granted("reader"); got.Status.Created || len(held) > 0 {
		t.Errorf("somebody else's role was claimed, and its members got %v", held)
	}
	h.delete(role)
	h.try(role, 2)
	if !h.cloud.RoleExists(project, "reader") || h.get(role) == nil {
		t.Error("a role that may be somebody else's was dropped, or forgotten")
	}
}

func TestListThatLagsDoesNotEndADeletion(t *testing.T) {
	h := newHarness(t)
	role := h.made(tables("Select"))
	h.restart()
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultStaleRead, Action: "ListRoles", StaleWrites: 1, Times: 4})
	h.delete(role)
	h.settle(role)
	h.notLeaked(role)
}

func TestCreateThatComesLate(t *testing.T) {
	h := newHarness(t)
	h.timeout = 100 * time.Millisecond
	role := newRole("reader", tables("Select"))
	h.create(role)
	var held *http.Request
	var body []byte
	h.rewire(h.kube, func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/roles") || held != nil {
			return nil, nil
		}
		body, _ = io.ReadAll(r.Body) //nolint:errcheck // it is in memory
		held = r.Clone(context.WithoutCancel(r.Context()))
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	h.try(role, 1)
	h.delete(role)
	h.try(role, 2)
	held.Body = io.NopCloser(bytes.NewReader(body)) // the service gets round to it
	response, err := http.DefaultTransport.RoundTrip(held)
	h.must(err)
	h.must(response.Body.Close())
	h.notLeaked(role)
	if h.settle(role) != nil || h.cloud.RoleExists(project, "reader") {
		t.Errorf("the role that came late was not removed: %s", describe(h.get(role)))
	}
}

func TestDeletionThatIsAcceptedAndNotDone(t *testing.T) {
	h := newHarness(t)
	role := h.made(tables("Select"))
	h.rewire(h.kube, func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodDelete {
			return answer(r, `{"requestId":"x","data":"async-job-1"}`), nil
		}
		return nil, nil
	})
	h.delete(role)
	h.try(role, 2)
	h.notLeaked(role)
}

func TestReadThatLagsWhileTheACLIsGivenUp(t *testing.T) {
	h := newHarness(t)
	role := h.made(&v1alpha1.RoleACL{})
	h.setACL(role, tables("Select"))
	h.settle(role)
	h.setACL(role, nil)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultStaleRead, Action: "GetRoleAcl", StaleWrites: 1, Times: 1})
	h.settle(role)
	if left := h.granted("reader"); len(left) > 0 {
		t.Errorf("left for good: %v; applied %v", left, h.get(role).Status.Applied)
	}
}

func TestOddAnswersDoNotEmptyTheInventory(t *testing.T) {
	tests := map[string]struct{ path, data string }{
		"an empty object":            {"/roleAcl", `{}`},
		"an entry without actions":   {"/roleAcl", `{"table":[{"name":"orders","actions":null}]}`},
		"fields in another case":     {"/roleAcl", `{"Table":[{"Name":"orders","Actions":["select"]}]}`},
		"a role without a type":      {"/roles", `{"roles":[{"name":"reader"}]}`},
		"a list of roles that is {}": {"/roles", `{}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			role := h.made(tables("Select"))
			h.setACL(role, nil)
			once := true
			h.rewire(h.kube, func(r *http.Request) (*http.Response, error) {
				if once && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, tc.path) {
					once = false
					return answer(r, `{"requestId":"x","httpCode":200,"data":`+tc.data+`}`), nil
				}
				return nil, nil
			})
			h.try(role, 1)
			h.restart()
			h.settle(role)
			if left := h.granted("reader"); len(left) > 0 {
				t.Errorf("left for good: %v", left)
			}
		})
	}
}

func TestOldCopiesWriteNothing(t *testing.T) {
	t.Run("a grant that was given up", func(t *testing.T) {
		h := newHarness(t)
		role := h.made(tables("Select"))
		old := h.get(role)
		h.setACL(role, nil)
		h.settle(role)
		h.rewire(h.lagging(old), nil)
		h.try(role, 2)
		if left := h.granted("reader"); len(left) > 0 {
			t.Errorf("granted again: %v", left)
		}
	})
	t.Run("a grant that was added", func(t *testing.T) {
		h := newHarness(t)
		role := h.made(tables("Select"))
		old := h.get(role)
		h.setACL(role, tables("Select", "Describe"))
		h.settle(role)
		h.rewire(h.lagging(old), nil)
		h.cloud.ResetJournal()
		h.try(role, 1)
		if writes := h.cloud.Writes(); len(writes) > 0 {
			t.Errorf("made writes: %v", writes)
		}
	})
	t.Run("an object that is gone", func(t *testing.T) {
		h := newHarness(t)
		role := h.made(tables("Select"))
		old := h.get(role)
		h.delete(role)
		h.settle(role)
		h.rewire(h.lagging(old), nil)
		h.try(role, 1)
		h.notLeaked(role)
	})
}

func TestRefusedCreateThatMadeTheRole(t *testing.T) {
	h := newHarness(t)
	h.must(h.cloud.SetStrict(project, true))
	role := newRole("reader", tables("Select"))
	h.create(role)
	done := false
	h.crash = func(_ int64, before bool) {
		if !before && !done && h.cloud.Count("CreateRole") == 1 {
			done = true // as if the refused create had made the role before it met the missing table
			h.must(h.cloud.CreateRole(project, "reader", "resource"))
		}
	}
	h.foreign = true
	h.try(role, 4)
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	h.delete(role)
	if h.settle(role) != nil || h.cloud.RoleExists(project, "reader") {
		t.Error("the role was left behind")
	}
}

func TestReleaseThatConflictsDoesNotDropTheNextRole(t *testing.T) {
	h := newHarness(t)
	role := h.made(tables("Select"))
	h.delete(role)
	once := true
	h.beforeWrite = func(int) error {
		if once && !h.cloud.RoleExists(project, "reader") {
			once = false
			h.must(h.cloud.CreateRole(project, "reader", "resource")) // by somebody who waited for the name
			return apierrors.NewConflict(schema.GroupResource{}, "reader", errors.New("someone put a label on it"))
		}
		return nil
	}
	h.try(role, 2)
	if h.get(role) != nil || !h.cloud.RoleExists(project, "reader") {
		t.Errorf("object %s, the next role exists: %v", describe(h.get(role)), h.cloud.RoleExists(project, "reader"))
	}
}

func TestDeletionOfARoleThatSomebodyDropped(t *testing.T) {
	h := newHarness(t)
	role := h.made(tables("Select"))
	h.must(h.cloud.DropRole(project, "reader"))
	h.delete(role)
	if left := h.settle(role); left != nil {
		t.Errorf("stuck: %s", describe(left))
	}
}

func TestListThatLagsBehindAClaimedRoleWithDrift(t *testing.T) {
	h := newHarness(t)
	role := h.made(tables("Select"))
	h.must(h.cloud.Grant(project, "reader", fakecloud.Grant{Kind: "table", Name: "byhand", Actions: []string{"Select"}}))
	h.restart()
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultStaleRead, Action: "ListRoles", StaleWrites: 2, Times: 2})
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if held := h.granted("reader"); len(held) != 1 {
		t.Errorf("held: %v", held)
	}
}

func TestDeniedGrantsCostLittle(t *testing.T) {
	h := newHarness(t)
	role := h.made(&v1alpha1.RoleACL{})
	h.setACL(role, sixtyGrants())
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Action: "Statement"})
	h.try(role, 1)
	h.cloud.ResetJournal()
	h.try(role, 1)
	if n := len(h.cloud.Journal()); n > 8 {
		t.Errorf("a pass that is refused everything costs %d calls", n)
	}
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonPermissionDenied)
}

func TestRequestedPassLooksAtTheListAgain(t *testing.T) {
	h := newHarness(t)
	role := h.made(nil)
	h.must(h.cloud.DropRole(project, "reader"))
	stored := h.get(role)
	stored.Annotations = map[string]string{v1alpha1.RequestedAtAnnotation: strings.Repeat("now", 500)}
	h.must(h.kube.Update(t.Context(), stored))
	got := h.settle(role)
	if !h.cloud.RoleExists(project, "reader") || got.Status.LastHandledReconcileAt == "" {
		t.Errorf("the role that was dropped was not found missing: %s", describe(got))
	}
	h.quiet(role)
}
