package controllers_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// TestAnExportIsRemovedWithoutItsSecret: a namespace that is deleted loses the Secret of the bucket before the object.
func TestAnExportIsRemovedWithoutItsSecret(t *testing.T) {
	for name, restarted := range map[string]bool{"by the process that exported": false, "by another process": true} {
		t.Run(name, func(t *testing.T) {
			h, s3 := bucketWorld(t)
			export := newExport(toBucket(s3), withFiles)
			h.create(export)
			h.exporting(export)
			if restarted {
				h.restart()
				h.exporting(export) // it looks at all objects when it starts
			}
			h.must(h.kube.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "obs"}}))
			h.removeAll(export, s3)
		})
	}
}

// bucketKeys makes a user who is the only one that may use the bucket, and puts the user's keys into the Secret of exports.
func (h *harness) bucketKeys(s3 *testbed.S3, key, secret string) {
	h.t.Helper()
	h.must(s3.AddUser(h.t.Context(), key, secret))
	h.must(s3.Allow(h.t.Context(), bucket, key, "s3:*"))
	secretHas("obs", map[string]string{"accessKey": key, "secretKey": secret})(h)
}

// TestRotatedKeysServeTheDeletion: without a Secret, the keys that it held last are used, however long ago the last export was.
func TestRotatedKeysServeTheDeletion(t *testing.T) {
	h, s3 := bucketWorld(t)
	h.bucketKeys(s3, "FAKEOLDKEY", "fake-old-secret")
	export := newExport(toBucket(s3), withFiles)
	h.create(export)
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.bucketKeys(s3, "FAKENEWKEY", "fake-new-secret")
	h.advance(24 * time.Hour)
	h.quiet(export)
	h.must(h.kube.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "obs"}}))
	h.removeAll(export, s3)
}

// TestKeysAreRememberedWhileAnExportFails: the Secret goes before the object, and since the restart no export has succeeded.
func TestKeysAreRememberedWhileAnExportFails(t *testing.T) {
	tests := map[string]func(*harness, *v1alpha1.ResourcePackageExport){
		"and rests": func(h *harness, e *v1alpha1.ResourcePackageExport) {
			once(cutStream)(h)
			h.annotate(e, v1alpha1.RequestedAtAnnotation, "now")
		},
		"for its schedule is none": edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Schedule = "0 0 30 2 *" }),
	}
	for name, fail := range tests {
		t.Run(name, func(t *testing.T) {
			h, s3 := bucketWorld(t)
			export := newExport(toBucket(s3), withFiles)
			h.create(export)
			h.exporting(export)
			fail(h, export)
			found, _ := h.exporting(export)
			if conditionIsTrue(found) {
				t.Fatalf("it has not failed: %s", describe(found))
			}
			h.restart()
			h.exporting(export) // it looks at all objects when it starts
			h.must(h.kube.Delete(t.Context(), bucketSecret(s3)))
			h.removeAll(export, s3)
		})
	}
}

// exportsBy makes the operator find accounts by a resolver.
func (h *harness) exportsBy(resolver *connect.Resolver) {
	r := controllers.NewResourcePackageExportReconciler(h.kube, h.kube, controllers.Options{Accounts: resolver, Clock: h.clock, Exports: h.exportOptions}, h.wake)
	r.Events = h.events
	h.exports, h.progress = r.Reconcile, r.Progress
}

// TestKeysOnlyGoToAllowedEndpoints, not even while an object is being deleted: its last keys are for its last endpoint.
func TestKeysOnlyGoToAllowedEndpoints(t *testing.T) {
	var requests atomic.Int64
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(stranger.Close)
	h, s3 := bucketWorld(t)
	resolver := &connect.Resolver{
		Connections: h.kube, Secrets: h.kube, HTTP: openapi.NewHTTPClient(), Clock: h.clock, Endpoints: connect.EndpointPolicy{AllowInsecure: true},
	}
	h.exportsBy(resolver)
	export := newExport(toBucket(s3), withFiles)
	h.create(export)
	found, _ := h.exporting(export)
	mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	// The policy comes after the operator has used the keys: the S3 server of the test is not below a vendor's domain.
	resolver.Endpoints = connect.EndpointPolicy{AllowedSuffixes: connect.DefaultEndpointSuffixes}

	edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Destination.ObjectStorage.Endpoint = stranger.URL })(h, export)
	found = stored(h, export)
	for i := range found.Status.Exports {
		found.Status.Exports[i].Endpoint = stranger.URL
	}
	h.must(h.kube.Status().Update(t.Context(), found))
	h.delete(export)
	h.exporting(export)
	if n := requests.Load(); n != 0 {
		t.Errorf("%d signed requests went to an endpoint that is not allowed: %s", n, describe(stored(h, export)))
	}
}

// TestNothingThatIsSaidHoldsAKey: neither an object nor an event does.
func TestNothingThatIsSaidHoldsAKey(t *testing.T) {
	h, s3 := bucketWorld(t)
	secretHas("obs", map[string]string{"accessKey": "FAKEWRONGKEY", "secretKey": "fake-wrong-secret", "sessionToken": "fake-session"})(h)
	export := newExport(toBucket(s3))
	h.create(export)
	found, _ := h.exporting(export)
	if conditionIsTrue(found) {
		t.Error("the keys are good")
	}
	text := describe(found)
	for len(h.events.Events) > 0 {
		text += <-h.events.Events
	}
	for _, secret := range []string{"FAKEWRONGKEY", "fake-wrong-secret", "fake-session"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is in %s", secret, text)
		}
	}
}
