package controllers_test

import (
	"context"
	"testing"
	"time"

	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
)

// ownExports makes a reconciler of exports of the test's own.
func (h *harness) ownExports(endpoints connect.EndpointPolicy) *controllers.ResourcePackageExportReconciler {
	resolver := &connect.Resolver{Connections: h.kube, Secrets: h.kube, HTTP: openapi.NewHTTPClient(), Clock: h.clock, Endpoints: endpoints}
	h.wake = make(chan event.GenericEvent, 100)
	r := controllers.NewResourcePackageExportReconciler(h.kube, h.kube, controllers.Options{Accounts: resolver, Clock: h.clock, Exports: h.exportOptions}, h.wake)
	r.Events = events.NewFakeRecorder(1000)
	h.exports, h.progress = r.Reconcile, r.Progress
	return r
}

// TestAttackAShutdownWhileAnExportBegins: the process ends while a pass writes down that an export begins.
func TestAttackAShutdownWhileAnExportBegins(t *testing.T) {
	h, _ := exportWorld(t)
	r := h.ownExports(connect.EndpointPolicy{AllowInsecure: true})
	export := newExport()
	h.create(export)
	ended, stop := context.WithCancel(t.Context())
	stop()
	h.beforeWrite = func(int) error {
		if len(r.Progress()) == 0 {
			return nil // the finalizer
		}
		h.beforeWrite = nil
		defer func() {
			if reason := recover(); reason != nil {
				t.Errorf("shutting down panics: %v", reason)
			}
		}()
		return r.StopWith(ended)
	}
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		_, _ = h.pass(export)
	}()
	select {
	case <-passed:
	case <-time.After(5 * time.Second):
		t.Error("after that, the pass waits for ever for a lock")
	}
}

// TestAttackKeysOnlyGoToAllowedEndpoints, not even while an object is being deleted: its last keys are for its last endpoint.
func TestAttackKeysOnlyGoToAllowedEndpoints(t *testing.T) {
	h, s3 := bucketWorld(t)
	export := newExport(toBucket(s3), func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete })
	h.create(export)
	h.exporting(export)

	// The administrator's policy is put in force once the operator has used the keys: the S3 server of the test is not below a vendor's domain.
	evil := newListener(t)
	resolver := &connect.Resolver{
		Connections: h.kube, Secrets: h.kube, HTTP: openapi.NewHTTPClient(), Clock: h.clock, Endpoints: connect.EndpointPolicy{AllowInsecure: true},
	}
	r := controllers.NewResourcePackageExportReconciler(h.kube, h.kube, controllers.Options{Accounts: resolver, Clock: h.clock, Exports: h.exportOptions}, h.wake)
	r.Events = events.NewFakeRecorder(1000)
	h.exports, h.progress = r.Reconcile, r.Progress
	h.annotate(export, v1alpha1.RequestedAtAnnotation, "again")
	h.advance(minute)
	h.exporting(export) // it has the keys
	resolver.Endpoints = connect.EndpointPolicy{AllowedSuffixes: connect.DefaultEndpointSuffixes}

	edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Destination.ObjectStorage.Endpoint = evil.url })(h, export)
	found := stored(h, export)
	for i := range found.Status.Exports {
		found.Status.Exports[i].Endpoint = evil.url
	}
	h.must(h.kube.Status().Update(t.Context(), found))
	h.must(h.kube.Delete(t.Context(), stored(h, export)))
	h.exporting(export)
	if n := evil.requests.Load(); n != 0 {
		t.Errorf("%d signed requests went to an endpoint that is not allowed: %s", n, describe(stored(h, export)))
	}
}
