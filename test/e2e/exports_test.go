package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

const (
	// exportTimeout is for exports of some gigabytes on a slow machine.
	exportTimeout = 5 * time.Minute
	exportBucket  = "backups"
)

// exporters connects the space with a workspace of its own, in which there is a dashboard of some size. service is where DataArts Insight is.
func (s space) exporters(t *testing.T, size int64, service string) {
	t.Helper()
	key := "FAKE" + strings.ToUpper(s.project)
	for _, err := range []error{
		bed.Cloud.AddIAMProject(fakecloud.IAMProject{ID: s.insightProject(), Name: s.project}),
		bed.Cloud.AddIAMUser(fakecloud.IAMUser{Domain: "corp", Name: s.project, Password: "fake-password"}),
		bed.Cloud.AddIAMKey(fakecloud.IAMKey{AccessKeyID: key, SecretAccessKey: "fake-secret", User: "corp/" + s.project}),
		bed.Cloud.AddInsightWorkspace(fakecloud.InsightWorkspace{Project: s.insightProject(), ID: "space"}),
		bed.Cloud.AddInsightResource(fakecloud.InsightResource{Project: s.insightProject(), Workspace: "space", Type: "dashboard", ID: "d1", Size: size}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	connection := &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "insight"},
		Spec: v1alpha1.ConnectionSpec{HuaweiCloud: &v1alpha1.HuaweiCloudConnection{
			Region: "cn-southwest-2", ProjectID: s.insightProject(),
			Endpoints:   &v1alpha1.HuaweiCloudEndpoints{DataArtsInsight: service, IAM: bed.CloudURL},
			Credentials: v1alpha1.HuaweiCloudCredentials{SecretRef: v1alpha1.SecretReference{Name: "huawei"}},
		}},
	}
	create(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "huawei"}, StringData: map[string]string{"accessKey": key, "secretKey": "fake-secret"},
	}, connection)
	NewWithT(t).Eventually(seen(connection), timeout, poll).Should(Equal("True/Succeeded Current"))
}

// insightProject is the space's project of the other cloud, whose ids have no underscores.
func (s space) insightProject() string { return strings.ReplaceAll(s.project, "_", "-") }

// export makes an export of the dashboard to a directory.
func (s space) export(name string, change ...func(*v1alpha1.ResourcePackageExportSpec)) *v1alpha1.ResourcePackageExport {
	export := &v1alpha1.ResourcePackageExport{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Spec: v1alpha1.ResourcePackageExportSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "insight"}, WorkspaceID: "space", PackageName: "boards",
			Resources:   []v1alpha1.ExportedResource{{Type: "dashboard", ID: "d1"}},
			Destination: v1alpha1.ExportDestination{Directory: &v1alpha1.DirectoryDestination{Path: "monthly"}},
		},
	}
	for _, c := range change {
		c(&export.Spec)
	}
	return export
}

// storage starts an S3 server with a bucket, and puts its keys into the space.
func (s space) storage(t *testing.T) *testbed.S3 {
	t.Helper()
	server := testbed.StartS3(t)
	if err := server.MakeBucket(t.Context(), exportBucket); err != nil {
		t.Fatal(err)
	}
	create(t, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "obs"},
		StringData: map[string]string{"accessKey": server.AccessKey, "secretKey": server.SecretKey},
	})
	return server
}

func toBucket(endpoint string) func(*v1alpha1.ResourcePackageExportSpec) {
	return func(s *v1alpha1.ResourcePackageExportSpec) {
		s.Destination = v1alpha1.ExportDestination{ObjectStorage: &v1alpha1.ObjectStorageDestination{
			Endpoint: endpoint, Bucket: exportBucket, Prefix: "insight/", SecretRef: v1alpha1.LocalSecretReference{Name: "obs"},
		}}
	}
}

// exportSum is the digest of what the service exports.
func (s space) exportSum(t *testing.T) string {
	t.Helper()
	sum, err := bed.Cloud.InsightSum(fakecloud.InsightExport{Project: s.insightProject(), Workspace: "space", Resources: []string{"dashboard/d1"}})
	if err != nil {
		t.Fatal(err)
	}
	return sum.SHA256
}

// digest reads a file or an object to its end.
func digest(t *testing.T, from io.Reader, err error) string {
	t.Helper()
	sum := sha256.New()
	if err == nil {
		_, err = io.Copy(sum, from)
	}
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// storedDigest is the digest of what is stored at a location.
func storedDigest(t *testing.T, server *testbed.S3, location string) string {
	t.Helper()
	if key, found := strings.CutPrefix(location, "s3://"+exportBucket+"/"); found {
		object, err := server.Open(t.Context(), exportBucket, key)
		if err == nil {
			defer object.Close()
		}
		return digest(t, object, err)
	}
	file, err := os.Open(filepath.Join(bed.ExportDirectory, location))
	if err == nil {
		defer file.Close() //nolint:errcheck // it was only read
	}
	return digest(t, file, err)
}

// visible are the files of the space's exports, and leftovers those that are not complete.
func (s space) visible(t *testing.T) (visible, leftovers []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(bed.ExportDirectory, s.namespace), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			return err
		}
		relative, err := filepath.Rel(bed.ExportDirectory, path)
		if strings.HasPrefix(entry.Name(), ".") {
			leftovers = append(leftovers, relative)
		} else {
			visible = append(visible, relative)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return visible, leftovers
}

// TestExports shows what a user, kstatus and kubectl see of exports to a directory and to a bucket.
func TestExports(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	s.exporters(t, 20<<20, bed.CloudURL)
	server := s.storage(t)
	for name, change := range map[string]func(*v1alpha1.ResourcePackageExportSpec){"directory": func(*v1alpha1.ResourcePackageExportSpec) {}, "bucket": toBucket(server.Endpoint)} {
		export := s.export(name, change)
		create(t, export)
		out, err := kubectl(t, "", "wait", "--for=condition=Ready", "-n", s.namespace, "resourcepackageexport/"+name, "--timeout=60s")
		g.Expect(err).NotTo(HaveOccurred(), out)
		g.Expect(seen(export)()).To(Equal("True/Succeeded Current"))
		g.Expect(export.Status.Exports).To(HaveLen(1))
		stored := export.Status.Exports[0]
		g.Expect(stored.SHA256).To(Equal(s.exportSum(t)))
		g.Expect(storedDigest(t, server, stored.Location)).To(Equal(stored.SHA256))

		// The annotation asks for another one, and the status echoes it.
		g.Expect(bed.Cloud.ChangeInsightResource(s.insightProject(), "space", "dashboard", "d1")).To(Succeed())
		out, err = kubectl(t, "", "annotate", "-n", s.namespace, "rpexport/"+name, v1alpha1.RequestedAtAnnotation+"=now")
		g.Expect(err).NotTo(HaveOccurred(), out)
		g.Eventually(func() int { seen(export)(); return len(export.Status.Exports) }, timeout, poll).Should(Equal(2))
		g.Eventually(seen(export), timeout, poll).Should(Equal("True/Succeeded Current"))
		g.Expect(export.Status.LastHandledReconcileAt).To(Equal("now"))

		out, err = kubectl(t, "", "get", "-n", s.namespace, "rpexport", name, "-o", "wide")
		g.Expect(err).NotTo(HaveOccurred(), out)
		g.Expect(out).To(And(ContainSubstring("WORKSPACE"), ContainSubstring("LAST EXPORT"), ContainSubstring("20971520")), "the columns")
		out, err = kubectl(t, "", "get", "-n", s.namespace, "mcconn", "insight")
		g.Expect(err).NotTo(HaveOccurred(), out)
		g.Expect(out).To(ContainSubstring("cn-southwest-2"), "the region of the connection")

		g.Expect(bed.Kube.Patch(t.Context(), export, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"deletionPolicy":"Delete"}}`)))).To(Succeed())
		g.Expect(bed.Kube.Delete(t.Context(), export)).To(Succeed())
		g.Eventually(seen(export), timeout, poll).Should(Equal(gone))
	}
	files, leftovers := s.visible(t)
	g.Expect(append(files, leftovers...)).To(BeEmpty())
	g.Expect(server.Objects(t.Context(), exportBucket)).To(BeEmpty())
}

// TestTwoGibibytes shows that the manager's memory does not grow with the size of a package.
func TestTwoGibibytes(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	s.exporters(t, 1<<20, bed.CloudURL)
	server := s.storage(t)
	for name, change := range map[string]func(*v1alpha1.ResourcePackageExportSpec){"directory": func(*v1alpha1.ResourcePackageExportSpec) {}, "bucket": toBucket(server.Endpoint)} {
		// A manager of its own, that has exported something small before.
		bed.Manager.Stop()
		g.Expect(startManager()).To(Succeed())
		g.Expect(bed.Cloud.SetInsightSize(s.insightProject(), "space", "dashboard", "d1", 1<<20)).To(Succeed())
		export := s.export(name, change)
		create(t, export)
		g.Eventually(seen(export), timeout, poll).Should(Equal("True/Succeeded Current"))
		before, err := bed.Manager.Memory()
		g.Expect(err).NotTo(HaveOccurred())

		g.Expect(bed.Cloud.SetInsightSize(s.insightProject(), "space", "dashboard", "d1", 2<<30)).To(Succeed())
		export.Annotations = map[string]string{v1alpha1.RequestedAtAnnotation: "now"}
		g.Expect(bed.Kube.Update(t.Context(), export)).To(Succeed())
		progress := int64(0)
		g.Eventually(func() int {
			seen(export)()
			if export.Status.Run != nil {
				progress = max(progress, export.Status.Run.BytesReceived)
			}
			return len(export.Status.Exports)
		}, exportTimeout, poll).Should(Equal(2))
		after, err := bed.Manager.Memory()
		g.Expect(err).NotTo(HaveOccurred())
		t.Logf("%s: %.0f MiB before, %.0f MiB at most; progress was seen at %d bytes", name, before.Resident, after.Peak, progress)
		g.Expect(after.Peak-before.Resident).To(BeNumerically("<", 64), "the rise in MiB")
		stored := export.Status.Exports[0]
		g.Expect(stored.SizeBytes).To(BeNumerically(">=", 2<<30))
		g.Expect(storedDigest(t, server, stored.Location)).To(Equal(stored.SHA256))
		g.Expect(stored.SHA256).To(Equal(s.exportSum(t)))
		g.Expect(bed.Kube.Patch(t.Context(), export, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"deletionPolicy":"Delete"}}`)))).To(Succeed())
		g.Expect(bed.Kube.Delete(t.Context(), export)).To(Succeed())
		g.Eventually(seen(export), timeout, poll).Should(Equal(gone))
	}
}

// tripwire lets something happen once so many bytes have gone through its proxies.
type tripwire struct {
	left atomic.Int64
	trip atomic.Pointer[func()]
}

// set lets something happen after so many bytes.
func (w *tripwire) set(bytes int64, trip func()) {
	w.trip.Store(nil)
	w.left.Store(bytes)
	w.trip.Store(&trip)
}

func (w *tripwire) count(n int) {
	if left := w.left.Add(-int64(n)); left < 0 {
		if trip := w.trip.Swap(nil); trip != nil {
			(*trip)()
		}
	}
}

// wired counts what is read from a connection.
type wired struct {
	net.Conn
	wire *tripwire
}

func (c wired) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.wire.count(n)
	return n, err
}

func (c wired) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.wire.count(n)
	return n, err
}

// wiredListener counts what goes over its connections.
type wiredListener struct {
	net.Listener
	wire *tripwire
}

func (l wiredListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return wired{conn, l.wire}, err
}

// quiet drops what a proxy says of connections that end with their manager.
var quiet = log.New(io.Discard, "", 0)

// proxy is a way to a server through the wire.
func (w *tripwire) proxy(t *testing.T, to string) string {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	// The signature covers the host that the client asked for.
	server := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host }, FlushInterval: -1, ErrorLog: quiet,
	})
	server.Listener = wiredListener{server.Listener, w}
	server.Config.ErrorLog = quiet
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// TestKilledExports kills the manager at random points of exports: each is completed after the restart, and nothing else is left of it.
func TestKilledExports(t *testing.T) {
	const (
		kills = 20
		size  = 40 << 20 // three parts
	)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	g := NewWithT(t)
	s := newSpace(t)
	wire := &tripwire{}
	s.exporters(t, size, wire.proxy(t, bed.CloudURL))
	server := s.storage(t)
	exports := []*v1alpha1.ResourcePackageExport{s.export("directory"), s.export("bucket", toBucket(wire.proxy(t, server.Endpoint)))}
	for _, export := range exports {
		export.Spec.HistoryLimit = 100
		create(t, export)
		g.Eventually(seen(export), exportTimeout, poll).Should(Equal("True/Succeeded Current"))
	}
	// Through the wire goes the package, and to a bucket once more.
	moved := []int64{size, 2 * size}
	killed := 0
	for n := 0; killed < kills; n++ {
		g.Expect(n).To(BeNumerically("<", 3*kills), "points, of which some are behind the end")
		export := exports[n%2]
		have := len(export.Status.Exports)
		var once sync.Once
		dead := make(chan struct{})
		point := random.Int64N(moved[n%2] + size/20)
		wire.set(point, func() {
			// Not from within the proxy, which the manager's end would wait for.
			go once.Do(func() { bed.Manager.Kill(); close(dead) })
		})
		g.Expect(bed.Cloud.ChangeInsightResource(s.insightProject(), "space", "dashboard", "d1")).To(Succeed())
		patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"%d"}}}`, v1alpha1.RequestedAtAnnotation, n)
		g.Expect(bed.Kube.Patch(t.Context(), export, client.RawPatch("application/merge-patch+json", []byte(patch)))).To(Succeed())
		done := func() bool {
			state := seen(export)()
			return strings.HasPrefix(state, "True/") && len(export.Status.Exports) > have
		}
		g.Eventually(func() bool {
			select {
			case <-dead:
				return true
			default:
				return done()
			}
		}, exportTimeout, poll).Should(BeTrue())
		wire.set(1<<62, func() {})
		select {
		case <-dead:
			killed++
			g.Expect(startManager()).To(Succeed())
		default:
		}
		g.Eventually(done, exportTimeout, poll).Should(BeTrue(), "killed after %d bytes", point)
		g.Expect(export.Status.Exports).To(HaveLen(have+1), "killed after %d bytes", point)
		stored := export.Status.Exports[0]
		g.Expect(stored.SHA256).To(Equal(s.exportSum(t)))
		g.Expect(storedDigest(t, server, stored.Location)).To(Equal(stored.SHA256), "killed after %d bytes", point)
		s.nothingElse(t, server, exports)
	}
}

// nothingElse asserts that what is stored is what the exports list, and that nothing was left behind.
func (s space) nothingElse(t *testing.T, server *testbed.S3, exports []*v1alpha1.ResourcePackageExport) {
	t.Helper()
	g := NewWithT(t)
	var listed []string
	for _, export := range exports {
		for _, stored := range export.Status.Exports {
			listed = append(listed, stored.Location)
		}
	}
	files, leftovers := s.visible(t)
	objects, err := server.Objects(t.Context(), exportBucket)
	g.Expect(err).NotTo(HaveOccurred())
	for key := range objects {
		files = append(files, "s3://"+exportBucket+"/"+key)
	}
	slices.Sort(listed)
	slices.Sort(files)
	g.Expect(files).To(Equal(listed))
	g.Expect(leftovers).To(BeEmpty())
	g.Expect(server.Uploads(t.Context(), exportBucket)).To(BeEmpty())
	spool, err := os.ReadDir(bed.SpoolDirectory)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(spool).To(BeEmpty())
}
