package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// watch replaces the operator by one that sees the objects of one namespace only. It may list what
// is in the whole cluster if it has the right to.
func (h *harness) watch(namespace string, mayListAll bool) {
	h.scoped, h.live, h.watching = true, h.kube, []string{namespace}
	if !mayListAll {
		h.live = interceptor.NewClient(h.kube, interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				var asked client.ListOptions
				asked.ApplyOptions(opts)
				if asked.Namespace == "" {
					return apierrors.NewForbidden(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "objects"}, "", errors.New("no rule allows it"))
				}
				return c.List(ctx, list, opts...)
			},
		})
	}
	h.operate(interceptor.NewClient(h.kube, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if key.Namespace != "" && key.Namespace != namespace {
				return fmt.Errorf("unable to get: %s because of unknown namespace for the cache", key)
			}
			return c.Get(ctx, key, obj, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if err := c.List(ctx, list, opts...); err != nil {
				return err
			}
			var seen []runtime.Object
			err := apimeta.EachListItem(list, func(item runtime.Object) error {
				if item.(client.Object).GetNamespace() == namespace {
					seen = append(seen, item)
				}
				return nil
			})
			return errors.Join(err, apimeta.SetList(list, seen))
		},
	}), openapi.NewHTTPClient())
}

// TestTwoManagersNeverOwnOneTarget: each works in a namespace of its own and sees nothing of the
// other's.
func TestTwoManagersNeverOwnOneTarget(t *testing.T) {
	for kind, newOne := range claimants {
		t.Run(kind, func(t *testing.T) {
			h := claimWorld(t)
			h.stranger()
			ours, theirs := newOne(namespace), newOne(evil)
			h.create(ours)
			h.create(theirs)
			h.watch(namespace, true)
			mustBe(t, settled(h, ours), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			writes := len(h.cloud.Writes())
			h.watch(evil, true)
			mustBe(t, settled(h, theirs), metav1.ConditionFalse, v1alpha1.ReasonTargetConflict)
			h.delete(stored(h, theirs))
			settled(h, theirs)
			h.watch(namespace, true)
			h.quiet(ours)
			if n := len(h.cloud.Writes()) - writes; n > 0 {
				t.Errorf("%d writes by the one that does not own it", n)
			}
		})
	}
}

// TestTwoManagersThatOwnOneRoleAlready, as those of an earlier version could: the younger object
// writes nothing any more, and its deletion leaves the role.
func TestTwoManagersThatOwnOneRoleAlready(t *testing.T) {
	h := claimWorld(t)
	h.stranger()
	ours, theirs := newRole("reader", tables("Select")), newRole("reader", tables("Describe"))
	theirs.Namespace, theirs.UID = evil, "theirs"
	ours.CreationTimestamp, theirs.CreationTimestamp = second(0), second(1)
	h.create(ours)
	h.watch(namespace, true)
	mustBe(t, h.settle(ours), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	theirs.Status.Created, theirs.Status.Endpoint, theirs.Finalizers = true, h.url, []string{v1alpha1.Finalizer}
	h.create(theirs)
	writes := len(h.cloud.Writes())
	h.watch(evil, true)
	mustBe(t, h.settle(theirs), metav1.ConditionFalse, v1alpha1.ReasonTargetConflict)
	h.delete(h.get(theirs))
	if left := h.settle(theirs); left != nil {
		t.Errorf("left: %s", describe(left))
	}
	if n := len(h.cloud.Writes()) - writes; n > 0 || !h.cloud.RoleExists(project, "reader") {
		t.Errorf("%d writes; the role exists: %v", n, h.cloud.RoleExists(project, "reader"))
	}
}

// TestTwoManagersWhoseObjectsHaveLooked: the older one has nothing there, and could have it.
func TestTwoManagersWhoseObjectsHaveLooked(t *testing.T) {
	h := newHarness(t)
	h.existing()
	h.stranger()
	ours, theirs := wanted(v1alpha1.ManagementAuthoritative, v1alpha1.AdoptionFail), wanted(v1alpha1.ManagementAuthoritative, v1alpha1.AdoptionAdopt)
	theirs.Namespace, theirs.UID = evil, "theirs"
	ours.CreationTimestamp, theirs.CreationTimestamp = second(0), second(1)
	h.create(ours)
	h.create(theirs)
	h.watch(namespace, true)
	mustBe(t, h.settle(ours), metav1.ConditionFalse, v1alpha1.ReasonAlreadyExists)
	h.watch(evil, true)
	mustBe(t, h.settle(theirs), metav1.ConditionFalse, v1alpha1.ReasonTargetConflict)
	if n := len(h.cloud.Writes()); n > 0 {
		t.Errorf("%d writes", n)
	}
}

// TestAManagerThatMayNotAskWritesNothing, says what to grant, and goes on once it may.
func TestAManagerThatMayNotAskWritesNothing(t *testing.T) {
	for kind, newOne := range claimants {
		t.Run(kind, func(t *testing.T) {
			h := claimWorld(t)
			obj := newOne(namespace)
			h.create(obj)
			h.watch(namespace, false)
			h.tryAll(3, obj)
			waiting := stored(h, obj)
			mustBe(t, waiting, metav1.ConditionFalse, v1alpha1.ReasonPermissionDenied)
			if text := describe(waiting); !strings.Contains(text, "Reconciling=True") || !strings.Contains(text, "Grant its service account the verb list") {
				t.Errorf("got %s", text)
			}
			if n := len(h.cloud.Writes()); n > 0 {
				t.Errorf("%d writes", n)
			}
			h.watch(namespace, true)
			mustBe(t, settled(h, obj), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			h.watch(namespace, false)
			h.quiet(obj)
			h.delete(stored(h, obj))
			h.tryAll(3, obj)
			if !h.exists(obj) {
				t.Error("it was taken back by one that cannot know whose it is")
			}
			mustBe(t, stored(h, obj), metav1.ConditionFalse, v1alpha1.ReasonPermissionDenied)
			h.watch(namespace, true)
			if left := settled(h, obj); !isNil(left) || h.exists(obj) {
				t.Errorf("left: %s, in the cloud: %v", describe(left), h.exists(obj))
			}
		})
	}
}

// TestWhatARequestElsewhereGrantsStays when a manager that does not see it takes back what a
// request of its own was granted.
func TestWhatARequestElsewhereGrantsStays(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			h.stranger()
			connection := h.newConnection()
			h.must(h.kube.Get(t.Context(), types.NamespacedName{Namespace: evil, Name: "prod"}, connection))
			connection.Spec.AlibabaCloud.DataWorksAPIVersion = version
			h.must(h.kube.Update(t.Context(), connection))
			ours := h.grantedRequest("ours")
			theirs := newRequest("theirs", select1)
			theirs.Namespace = evil
			h.create(theirs)
			h.awaitSubmitted(theirs)
			h.must(h.cloud.ApproveOrder(h.orderOf(theirs), fakecloud.Approval{}))
			mustBe(t, h.lookNow(theirs), metav1.ConditionTrue, v1alpha1.ReasonGranted)
			h.delete(stored(h, ours))
			h.watch(namespace, false)
			h.tryPass(ours)
			h.tryPass(ours)
			if diff := cmp.Diff([]string{"select", "update"}, h.permissions(alice)); diff != "" {
				t.Errorf("a manager that may not ask revoked (-want +got):\n%s", diff)
			}
			mustBe(t, stored(h, ours), metav1.ConditionFalse, v1alpha1.ReasonPermissionDenied)
			h.watch(namespace, true)
			h.awaitGone(ours)
			if diff := cmp.Diff([]string{"select"}, h.permissions(alice)); diff != "" {
				t.Errorf("what the other request grants (-want +got):\n%s", diff)
			}
		})
	}
}
