package controllers

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// exportOf returns an export of a namespace by a connection.
func exportOf(namespace, name string, ref v1alpha1.ConnectionReference) *v1alpha1.ResourcePackageExport {
	return &v1alpha1.ResourcePackageExport{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.ResourcePackageExportSpec{ConnectionRef: ref},
	}
}

// TestExportsLeaveRoomForOthers: neither a namespace nor a connection holds all of the room, however
// much it asks for, and one that has been told to wait does not keep others from what is left.
func TestExportsLeaveRoomForOthers(t *testing.T) {
	own := v1alpha1.ConnectionReference{Name: "insight"}
	shared := v1alpha1.ConnectionReference{Kind: v1alpha1.ConnectionKindClusterConnection, Name: "shared"}
	tests := map[string]struct {
		greedy []*v1alpha1.ResourcePackageExport
		want   int
	}{
		"many of one namespace":               {nil, maxExports / 2},
		"many namespaces of one connection":   {nil, maxExports / 2},
		"two namespaces, one after the other": {nil, maxExports/2 + maxExports/4},
	}
	for i := range 20 {
		for name, export := range map[string]*v1alpha1.ResourcePackageExport{
			"many of one namespace":               exportOf("a", fmt.Sprint(i), own),
			"many namespaces of one connection":   exportOf(fmt.Sprint("a", i), "x", shared),
			"two namespaces, one after the other": exportOf(fmt.Sprint("a", i/10), fmt.Sprint(i), own),
		} {
			tc := tests[name]
			tc.greedy = append(tc.greedy, export)
			tests[name] = tc
		}
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, now, got := &jobs{}, time.Now(), 0
			add := func(e *v1alpha1.ResourcePackageExport) bool {
				return s.add(e, &job{account: connectionKey(e).String()}, now)
			}
			for _, export := range tc.greedy {
				if add(export) {
					got++
				}
			}
			if got != tc.want {
				t.Errorf("%d are under way, want %d", got, tc.want)
			}
			if !add(exportOf("b", "other", own)) {
				t.Error("another tenant has no room")
			}
			s.drop(tc.greedy[0])
			if !add(exportOf("c", "next", own)) {
				t.Error("what was given back is not used")
			}
		})
	}
}

// TestPassesWithoutAnAnswerAreRetriedLast: each may hold a worker until it times out.
func TestPassesWithoutAnAnswerAreRetriedLast(t *testing.T) {
	tests := map[string]struct {
		err  error
		last bool
	}{
		"a time-out":         {&cloud.Error{Code: cloud.RemoteUnavailable, Message: "no answer in time"}, true},
		"no connection":      {&cloud.Error{Code: cloud.RemoteUnavailable, NotSent: true}, true},
		"one among refusals": {conditions.PartiallyApplied([]error{&cloud.Error{Code: cloud.RemoteUnavailable}}), true},
		"a server's error":   {&cloud.Error{Code: cloud.RemoteUnavailable, HTTPStatus: 503}, false},
		"a full budget":      {&cloud.Error{Code: cloud.RemoteUnavailable, Throttled: true}, false},
		"a refusal":          {&cloud.Error{Code: cloud.PermissionDenied, HTTPStatus: 403}, false},
		"a success":          {nil, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var tenant string
			pass := reconcile.Func(func(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
				tenant = cloud.TenantOf(ctx)
				return ctrl.Result{}, tc.err
			})
			request := ctrl.Request{}
			request.Namespace = "a"
			result, err := fair(pass).Reconcile(t.Context(), request)
			if err != tc.err || tenant != "a" { //nolint:errorlint // it is the very same
				t.Errorf("error %v, tenant %q", err, tenant)
			}
			if last := result.Priority != nil && *result.Priority == handler.LowPriority; last != tc.last {
				t.Errorf("priority %v", result.Priority)
			}
		})
	}
}
