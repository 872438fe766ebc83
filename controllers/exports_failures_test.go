package controllers_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// trouble is a cause for which an export fails, what the object says then, and what ends it.
type trouble struct {
	begin, end func(*harness)
	spec       func(*v1alpha1.ResourcePackageExportSpec)
	reason     string
	message    string
}

func untouched(*harness) {}

// once is a fault that meets one export. It has no end of its own.
func once(fault fakecloud.Fault) func(*harness) {
	return func(h *harness) {
		fault.Service, fault.Times = "insight", 1
		h.cloud.Inject(fault)
	}
}

// cutStream ends the connection after some bytes of a package.
var cutStream = fakecloud.Fault{Kind: fakecloud.FaultCutStream, Bytes: 100}

// secretHas replaces what a Secret holds.
func secretHas(name string, values map[string]string) func(*harness) {
	return func(h *harness) {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		h.must(h.kube.Get(context.Background(), request(secret).NamespacedName, secret))
		secret.Data = map[string][]byte{}
		for key, value := range values {
			secret.Data[key] = []byte(value)
		}
		h.must(h.kube.Update(context.Background(), secret))
	}
}

var (
	huaweiKeys  = secretHas("huawei", map[string]string{"accessKey": huaweiKey, "secretKey": huaweiSecret})
	dashboardAt = []string{huaweiProject, insightSpace, "dashboard", "d1"}
)

// serviceTroubles are those of the service, and of the way to it.
var serviceTroubles = map[string]trouble{
	"a wrong key": {
		begin: secretHas("huawei", map[string]string{"accessKey": huaweiKey, "secretKey": "fake-wrong"}), end: huaweiKeys,
		reason: v1alpha1.ReasonAuthenticationFailed, message: "the service refused the credentials or the signature",
	},
	"a wrong token": {
		begin: secretHas("huawei", map[string]string{"token": "fake-token-that-opens-nothing"}), end: huaweiKeys,
		reason: v1alpha1.ReasonAuthenticationFailed, message: "the service refused the credentials or the signature",
	},
	"a wrong password": {
		begin: secretHas("huawei", map[string]string{"domainName": "corp", "userName": "exporter", "password": "fake-wrong"}), end: huaweiKeys,
		reason: v1alpha1.ReasonConnectionNotReady, message: "the service refused the user, the password or the project",
	},
	"a Secret with two kinds of credentials": {
		begin: secretHas("huawei", map[string]string{"accessKey": huaweiKey, "secretKey": huaweiSecret, "token": "fake"}), end: huaweiKeys,
		reason: v1alpha1.ReasonConnectionNotReady, message: "must have either the keys accessKey and secretKey",
	},
	"no permission to export": {
		begin: func(h *harness) { h.must(h.cloud.DenyExports(huaweiKey)) }, end: func(h *harness) { h.must(h.cloud.AllowExports(huaweiKey)) },
		reason: v1alpha1.ReasonPermissionDenied, message: "20010003",
	},
	"a workspace that is not there": {
		begin: func(h *harness) { h.cloud.RemoveInsightWorkspace(huaweiProject, insightSpace) },
		end: func(h *harness) {
			h.must(h.cloud.AddInsightWorkspace(fakecloud.InsightWorkspace{Project: huaweiProject, ID: insightSpace}))
			h.must(h.cloud.AddInsightResource(fakecloud.InsightResource{Project: huaweiProject, Workspace: insightSpace, Type: "dashboard", ID: "d1"}))
		},
		reason: v1alpha1.ReasonWorkspaceNotFound, message: "24150005",
	},
	"a workspace that is not in order": {
		begin: func(h *harness) {
			h.must(h.cloud.AddInsightWorkspace(fakecloud.InsightWorkspace{Project: huaweiProject, ID: insightSpace, Abnormal: true}))
		},
		end: func(h *harness) {
			h.must(h.cloud.AddInsightWorkspace(fakecloud.InsightWorkspace{Project: huaweiProject, ID: insightSpace}))
		},
		reason: v1alpha1.ReasonRemoteRejected, message: "24150004",
	},
	"a resource that is not there": {
		begin: func(h *harness) {
			h.must(h.cloud.RemoveInsightResource(dashboardAt[0], dashboardAt[1], dashboardAt[2], dashboardAt[3]))
		},
		end: func(h *harness) {
			h.must(h.cloud.AddInsightResource(fakecloud.InsightResource{Project: huaweiProject, Workspace: insightSpace, Type: "dashboard", ID: "d1"}))
		},
		reason: v1alpha1.ReasonResourceNotFound, message: "24010003",
	},
	"a resource that is not shared": {
		begin: func(h *harness) {
			h.must(h.cloud.DenyCollaboration(dashboardAt[0], dashboardAt[1], dashboardAt[2], dashboardAt[3], "*"))
		},
		end: func(h *harness) {
			h.must(h.cloud.AllowCollaboration(dashboardAt[0], dashboardAt[1], dashboardAt[2], dashboardAt[3]))
		},
		reason: v1alpha1.ReasonCollaborationDenied, message: "24010043",
	},
	"an error inside HTTP 200 whose code is not known": {
		begin: once(fakecloud.Fault{Kind: fakecloud.FaultErrorInside, Code: "DataArtsInsight.99999999"}), end: untouched,
		reason: v1alpha1.ReasonUnexpectedResponse, message: "99999999",
	},
	"an error inside HTTP 200 whose code is known": {
		begin: once(fakecloud.Fault{Kind: fakecloud.FaultErrorInside, Code: "DataArtsInsight.24010003"}), end: untouched,
		reason: v1alpha1.ReasonResourceNotFound, message: "24010003",
	},
	"a page instead of a package": {begin: once(fakecloud.Fault{Kind: fakecloud.FaultHTMLPage}), end: untouched, reason: v1alpha1.ReasonUnexpectedResponse},
	"nothing at all":              {begin: once(fakecloud.Fault{Kind: fakecloud.FaultEmptyBody}), end: untouched, reason: v1alpha1.ReasonUnexpectedResponse, message: "empty"},
	"a stream that is cut short": {
		begin: once(fakecloud.Fault{Kind: fakecloud.FaultCutStream, Bytes: 1000}), end: untouched, reason: v1alpha1.ReasonExportFailed, message: "ended early",
	},
	"a server error":              {begin: once(fakecloud.Fault{Kind: fakecloud.FaultServerError}), end: untouched, reason: v1alpha1.ReasonRemoteUnavailable},
	"too many calls":              {begin: once(fakecloud.Fault{Kind: fakecloud.FaultThrottle}), end: untouched, reason: v1alpha1.ReasonRemoteUnavailable},
	"the connection of another":   {begin: untouched, end: untouched, spec: func(s *v1alpha1.ResourcePackageExportSpec) { s.ConnectionRef.Name = "prod" }, reason: v1alpha1.ReasonInvalidSpec, message: "no DataArts Insight"},
	"no connection":               {begin: untouched, end: untouched, spec: func(s *v1alpha1.ResourcePackageExportSpec) { s.ConnectionRef.Name = "none" }, reason: v1alpha1.ReasonConnectionNotReady},
	"a package that is too big":   {begin: func(h *harness) { h.exportOptions.MaxBytes = 100; h.restart() }, end: func(h *harness) { h.exportOptions.MaxBytes = 1 << 30; h.restart() }, reason: v1alpha1.ReasonExportFailed, message: "larger"},
	"no directory at the manager": {begin: func(h *harness) { h.home, h.exportOptions.Directory = h.exportOptions.Directory, ""; h.restart() }, end: func(h *harness) { h.exportOptions.Directory = h.home; h.restart() }, reason: v1alpha1.ReasonInvalidSpec, message: "--export-directory"},
}

func TestEveryTroubleOfAnExportHasItsReason(t *testing.T) {
	for name, tc := range serviceTroubles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, root := exportWorld(t)
			export := newExport()
			if tc.spec == nil {
				h.create(export)
				h.exporting(export)
			} else {
				export = newExport(tc.spec)
				h.create(export)
			}
			good := visible(t, root)
			h.inTrouble(export, tc, func() []string { return visible(t, root) }, good)
		})
	}
}

// inTrouble asks for an export that fails, asserts what the object says then, that what was stored before stays and nothing else is there,
// and that the export is made once the trouble is over.
func (h *harness) inTrouble(export *v1alpha1.ResourcePackageExport, tc trouble, files func() []string, good []string) {
	h.t.Helper()
	tc.begin(h)
	h.advance(time.Minute)
	h.annotate(export, v1alpha1.RequestedAtAnnotation, "now")
	found, _ := h.exporting(export)
	mustBe(h.t, found, metav1.ConditionFalse, tc.reason)
	if text := describe(found); !strings.Contains(text, tc.message) || strings.Contains(text, "fake-") {
		h.t.Errorf("it says %s", text)
	}
	if diff := cmp.Diff(good, files()); diff != "" {
		h.t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(good, locations(found)); diff != "" && len(good) > 0 {
		h.t.Errorf("what is listed (-want +got):\n%s", diff)
	}
	if tc.spec != nil {
		return
	}
	tc.end(h)
	for range 10 {
		h.advance(5 * time.Minute)
		if found, _ = h.exporting(export); conditionIsTrue(found) {
			break
		}
	}
	mustBe(h.t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if len(found.Status.Exports) != len(good)+1 {
		h.t.Errorf("%d exports, want one more than %d", len(found.Status.Exports), len(good))
	}
	if diff := cmp.Diff(locations(found), files()); diff != "" {
		h.t.Errorf("files (-in status +there):\n%s", diff)
	}
}

func conditionIsTrue(export *v1alpha1.ResourcePackageExport) bool {
	for _, c := range export.Status.Conditions {
		if c.Type == v1alpha1.ReadyCondition {
			return c.Status == metav1.ConditionTrue
		}
	}
	return false
}

const bucket = "backups"

// toBucket is a destination in a bucket of an S3 server.
func toBucket(s3 *testbed.S3) func(*v1alpha1.ResourcePackageExportSpec) {
	return func(s *v1alpha1.ResourcePackageExportSpec) {
		s.Destination = v1alpha1.ExportDestination{ObjectStorage: &v1alpha1.ObjectStorageDestination{
			Endpoint: s3.Endpoint, Bucket: bucket, Prefix: "insight/", SecretRef: v1alpha1.LocalSecretReference{Name: "obs"},
		}}
	}
}

// bucketWorld is a harness in which exports can be made into a bucket.
func bucketWorld(t *testing.T) (*harness, *testbed.S3) {
	t.Helper()
	h, _ := exportWorld(t)
	s3 := testbed.StartS3(t)
	h.must(s3.MakeBucket(t.Context(), bucket))
	h.create(bucketSecret(s3))
	return h, s3
}

func bucketSecret(s3 *testbed.S3) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "obs"},
		Data:       map[string][]byte{"accessKey": []byte(s3.AccessKey), "secretKey": []byte(s3.SecretKey)},
	}
}

// inBucket are the locations of a bucket's objects, sorted; unfinished uploads are errors.
func inBucket(h *harness, s3 *testbed.S3) []string {
	h.t.Helper()
	objects, err := s3.Objects(h.t.Context(), bucket)
	h.must(err)
	uploads, err := s3.Uploads(h.t.Context(), bucket)
	h.must(err)
	if len(uploads) > 0 {
		h.t.Errorf("unfinished uploads: %v", uploads)
	}
	var out []string
	for key := range objects {
		out = append(out, "s3://"+bucket+"/"+key)
	}
	slices.Sort(out)
	return out
}

func TestAnExportIsStoredInABucket(t *testing.T) {
	h, s3 := bucketWorld(t)
	h.must(h.cloud.SetInsightSize(dashboardAt[0], dashboardAt[1], dashboardAt[2], dashboardAt[3], 40<<20))
	export := newExport(toBucket(s3), func(s *v1alpha1.ResourcePackageExportSpec) {
		s.HistoryLimit, s.DeletionPolicy = 2, v1alpha1.DeletionDelete
	})
	h.create(export)
	for range 3 {
		found, _ := h.exporting(export)
		mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		newest := found.Status.Exports[0]
		if want := "s3://" + bucket + "/insight/" + newest.Name; newest.Location != want || newest.SHA256 != h.exportSum() || newest.Endpoint != s3.Endpoint {
			t.Errorf("the export is %+v, want it at %s", newest, want)
		}
		if diff := cmp.Diff(locations(found), inBucket(h, s3)); diff != "" {
			t.Errorf("objects (-in status +there):\n%s", diff)
		}
		content, err := s3.Read(t.Context(), bucket, "insight/"+newest.Name)
		h.must(err)
		if sumOf(content) != newest.SHA256 || int64(len(content)) != newest.SizeBytes {
			t.Errorf("the object has %d bytes and another digest", len(content))
		}
		h.quiet(export)
		h.advance(time.Minute)
		h.annotate(export, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
	}
	h.must(h.kube.Delete(t.Context(), stored(h, export)))
	h.exporting(export)
	if left := inBucket(h, s3); len(left) > 0 || stored(h, export) != nil {
		t.Errorf("after the deletion: %q and %s", left, describe(stored(h, export)))
	}
	if left, err := os.ReadDir(h.exportOptions.Spool); err != nil || len(left) > 0 {
		t.Errorf("temporary files %v, error %v", left, err)
	}
}

func TestEveryTroubleOfABucketHasItsReason(t *testing.T) {
	obs := func(s3 *testbed.S3, keys ...string) func(*harness) {
		values := map[string]string{"accessKey": s3.AccessKey, "secretKey": s3.SecretKey}
		if len(keys) == 2 {
			values = map[string]string{"accessKey": keys[0], "secretKey": keys[1]}
		}
		return secretHas("obs", values)
	}
	tests := map[string]func(*testbed.S3) trouble{
		"a wrong key": func(s3 *testbed.S3) trouble {
			return trouble{begin: obs(s3, s3.AccessKey, "fake-wrong"), end: obs(s3), reason: v1alpha1.ReasonDestinationDenied, message: "credentials"}
		},
		"a user who may not": func(s3 *testbed.S3) trouble {
			return trouble{begin: func(h *harness) {
				h.must(s3.AddUser(h.t.Context(), "FAKESTRANGER", "fake-stranger-secret"))
				obs(s3, "FAKESTRANGER", "fake-stranger-secret")(h)
			}, end: obs(s3), reason: v1alpha1.ReasonDestinationDenied, message: "not permitted"}
		},
		"a Secret without a key": func(s3 *testbed.S3) trouble {
			return trouble{begin: secretHas("obs", map[string]string{"accessKey": "FAKE"}), end: obs(s3), reason: v1alpha1.ReasonSecretNotFound, message: "no key secretKey"}
		},
		"a server that is down": func(s3 *testbed.S3) trouble {
			return trouble{begin: func(*harness) { s3.Stop() }, end: func(h *harness) { h.must(s3.Start(h.t.Context())) }, reason: v1alpha1.ReasonDestinationUnavailable}
		},
		"a bucket that is not there": func(*testbed.S3) trouble {
			return trouble{begin: untouched, end: untouched, spec: func(s *v1alpha1.ResourcePackageExportSpec) { s.Destination.ObjectStorage.Bucket = "none" }, reason: v1alpha1.ReasonDestinationNotFound, message: "bucket none"}
		},
	}
	for name, make := range tests {
		t.Run(name, func(t *testing.T) {
			h, s3 := bucketWorld(t)
			tc := make(s3)
			export := newExport(toBucket(s3))
			if tc.spec != nil {
				tc.spec(&export.Spec)
			}
			h.create(export)
			var good []string
			if tc.spec == nil {
				h.exporting(export)
				good = inBucket(h, s3)
			}
			h.inTrouble(export, tc, func() []string {
				if tc.reason == v1alpha1.ReasonDestinationUnavailable && len(stored(h, export).Status.Exports) == len(good) {
					return good // nobody can look
				}
				return inBucket(h, s3)
			}, good)
		})
	}
}

// TestLinksInTheExportDirectory: nothing is read, written or removed through a link, not even through one that was put there later.
func TestLinksInTheExportDirectory(t *testing.T) {
	tests := map[string]func(root, outside string) error{
		"in the place of the namespace": func(root, outside string) error {
			return os.Symlink(outside, filepath.Join(root, namespace))
		},
		"in the place of the path": func(root, outside string) error {
			return firstError(os.Mkdir(filepath.Join(root, namespace), 0o750), os.Symlink(outside, filepath.Join(root, namespace, "monthly")))
		},
		"to another namespace": func(root, _ string) error {
			return firstError(os.MkdirAll(filepath.Join(root, "others", "monthly"), 0o750), os.Symlink(filepath.Join("..", "others"), filepath.Join(root, namespace)))
		},
	}
	for name, link := range tests {
		t.Run(name, func(t *testing.T) {
			h, root := exportWorld(t)
			outside := t.TempDir()
			h.must(link(root, outside))
			export := newExport()
			h.create(export)
			found, _ := h.exporting(export)
			mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonDestinationDenied)
			if text := describe(found); !strings.Contains(text, "link") {
				t.Errorf("it says %s", text)
			}
			if files := append(visible(t, outside), visible(t, root)...); len(visible(t, outside)) > 0 || strings.Contains(strings.Join(files, " "), packageOfBoard) {
				t.Errorf("files %q", files)
			}
		})
	}
}

// TestAStatusThatWasForged: what a user writes into the status does not lead to the files of others.
func TestAStatusThatWasForged(t *testing.T) {
	for _, location := range []string{"others/monthly/secret.zip", "../secret.zip", namespace + "/../others/monthly/secret.zip", "/etc/passwd", "s3://" + bucket + "/secret"} {
		t.Run(location, func(t *testing.T) {
			h, root := exportWorld(t)
			secret := filepath.Join(root, "others", "monthly", "secret.zip")
			h.must(firstError(os.MkdirAll(filepath.Dir(secret), 0o750), os.WriteFile(secret, []byte("of others"), 0o600)))
			export := newExport(func(s *v1alpha1.ResourcePackageExportSpec) { s.DeletionPolicy = v1alpha1.DeletionDelete })
			h.create(export)
			found, _ := h.exporting(export)
			found.Status.Exports[0].Location = location
			h.must(h.kube.Status().Update(t.Context(), found))
			h.must(h.kube.Delete(t.Context(), found))
			h.exporting(export)
			if _, err := os.Stat(secret); err != nil {
				t.Error(err)
			}
		})
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestABucketThatIsFull: the object says so, and the export is made once there is room.
func TestABucketThatIsFull(t *testing.T) {
	h, s3 := bucketWorld(t)
	export := newExport(toBucket(s3))
	h.create(export)
	h.exporting(export)
	h.inTrouble(export, trouble{
		begin: func(h *harness) {
			h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				if r.Method == http.MethodPut {
					return refusal(r, http.StatusInsufficientStorage), nil
				}
				return next.RoundTrip(r)
			})
		},
		end: func(h *harness) {
			h.wayTo(func(r *http.Request, next http.RoundTripper) (*http.Response, error) { return next.RoundTrip(r) })
		},
		reason: v1alpha1.ReasonDestinationFull,
	}, func() []string { return inBucket(h, s3) }, inBucket(h, s3))
}
