package controllers_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// patience is how long a test waits for what should take some seconds.
const patience = 40 * time.Second

// TestAttackABucketThatNeverAnswers: a pass looks into the bucket itself. It must not wait for ever, for there are few who make passes.
func TestAttackABucketThatNeverAnswers(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for some time")
	}
	h, s3 := bucketWorld(t)
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	h.wayTo(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-end:
			return nil, errNetwork
		}
	})
	export := newExport(toBucket(s3))
	h.create(export)
	_, _ = h.pass(export)
	h.awaken()
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		_, _ = h.pass(export)
	}()
	select {
	case <-passed:
	case <-time.After(patience):
		t.Errorf("a pass has been waiting for %v", patience)
	}
}

// TestAttackARefusalIsNotRestedFromForAnHour: what is refused is tried again at most five minutes later, however long the package took.
func TestAttackARefusalIsNotRestedFromForAnHour(t *testing.T) {
	h, s3 := bucketWorld(t)
	secretHas("obs", map[string]string{"accessKey": s3.AccessKey, "secretKey": "fake-wrong"})(h)
	export := newExport(toBucket(s3))
	h.create(export)
	_, _ = h.pass(export)
	h.awaken()
	h.advance(50 * time.Minute)
	_, _ = h.pass(export)
	h.awaken()
	_, _ = h.pass(export)
	found := stored(h, export)
	mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonDestinationDenied)
	secretHas("obs", map[string]string{"accessKey": s3.AccessKey, "secretKey": s3.SecretKey})(h)
	if wait := found.Status.Run.NextAttemptTime.Sub(h.clock.Now()); wait > 6*time.Minute {
		t.Errorf("the repaired key is picked up in %v", wait.Round(time.Minute))
	}
}

// TestAttackAFailureThatIsSeenWhileSuspended is what the object says when it goes on and rests.
func TestAttackAFailureThatIsSeenWhileSuspended(t *testing.T) {
	h, _ := exportWorld(t)
	export := newExport()
	h.create(export)
	h.cloud.Inject(fakecloud.Fault{Service: "insight", Kind: fakecloud.FaultServerError})
	_, _ = h.pass(export)
	h.awaken()
	edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Suspend = true })(h, export)
	_, _ = h.pass(export)
	edits(func(s *v1alpha1.ResourcePackageExportSpec) { s.Suspend = false })(h, export)
	_, _ = h.pass(export)
	if n := len(h.progress()); n == 0 {
		mustBe(t, stored(h, export), metav1.ConditionFalse, v1alpha1.ReasonRemoteUnavailable)
	}
}

// TestAttackAnEventIsNotLost: that a file was stored is told, though the write of the conditions after it meets a conflict.
func TestAttackAnEventIsNotLost(t *testing.T) {
	h, _ := exportWorld(t)
	export := newExport()
	h.create(export)
	h.beforeWrite = func(int) error {
		if found := stored(h, export); len(found.Status.Exports) == 1 {
			h.beforeWrite = nil
			return errNetwork
		}
		return nil
	}
	for range 3 {
		h.exporting(export)
	}
	told := 0
	for len(h.events.Events) > 0 {
		if strings.HasPrefix(<-h.events.Events, "Normal Exported") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("it was told %d times that the export was stored", told)
	}
}

// TestAttackAnotherObjectOfTheSameName: what was under way for an object that was removed by force does not hinder the next of its name.
func TestAttackAnotherObjectOfTheSameName(t *testing.T) {
	for _, stages := range []int{1, 2} {
		h, root := exportWorld(t)
		export := newExport()
		h.create(export)
		for range stages {
			_, _ = h.pass(export)
		}
		found := stored(h, export)
		found.Finalizers = nil
		h.must(h.kube.Update(t.Context(), found))
		h.must(h.kube.Delete(t.Context(), found))
		next := newExport()
		next.UID = types.UID("uid-next")
		h.create(next)
		for range 3 {
			h.exporting(next)
			h.advance(minute)
		}
		found = stored(h, next)
		mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		if len(found.Status.Exports) != 1 || len(h.progress()) != 0 {
			t.Errorf("exports %q, files %q, %d jobs", locations(found), visible(t, root), len(h.progress()))
		}
	}
}

// TestAttackATokenThatIsADayOld is renewed before an export uses it.
func TestAttackATokenThatIsADayOld(t *testing.T) {
	h, _ := exportWorld(t)
	secretHas("huawei", map[string]string{"domainName": "corp", "userName": "exporter", "password": "fake-password"})(h)
	export := newExport()
	h.create(export)
	for i, age := range []time.Duration{23*time.Hour + 58*time.Minute, 25 * time.Hour, time.Minute} {
		found, _ := h.exporting(export)
		mustBe(t, found, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		if len(found.Status.Exports) != i+1 {
			t.Errorf("%d exports", len(found.Status.Exports))
		}
		h.advance(age)
		h.annotate(export, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
	}
	h.cloud.ExpireIAMTokens()
	for range 4 {
		h.exporting(export)
		h.advance(10 * time.Second)
	}
	mustBe(t, stored(h, export), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

// TestAttackAConnectionOfTheOtherVendor makes nothing panic that names it, and one that changes its vendor and back goes on.
func TestAttackAConnectionOfTheOtherVendor(t *testing.T) {
	h, _ := exportWorld(t)
	export, role := newExport(), newRole("reader", tables("Select"))
	role.Spec.ConnectionRef.Name = "insight"
	h.create(export)
	h.create(role)
	h.exporting(export)
	_, _ = h.pass(role)
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	connection := &v1alpha1.Connection{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "insight"}}
	swap := func(spec v1alpha1.ConnectionSpec) (before v1alpha1.ConnectionSpec) {
		h.must(h.kube.Get(t.Context(), request(connection).NamespacedName, connection))
		before, connection.Spec = connection.Spec, spec
		connection.Generation++
		h.must(h.kube.Update(t.Context(), connection))
		return before
	}
	huawei := swap(h.newConnection().Spec)
	h.annotate(export, v1alpha1.RequestedAtAnnotation, "1")
	for range 3 {
		_, _ = h.pass(role)
		h.exporting(export)
		h.advance(minute)
	}
	mustBe(t, stored(h, export), metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
	mustBe(t, h.get(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	swap(huawei)
	h.annotate(export, v1alpha1.RequestedAtAnnotation, "2")
	h.exporting(export)
	_, _ = h.pass(role)
	mustBe(t, stored(h, export), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	mustBe(t, h.get(role), metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec)
}

// TestAttackNothingStaysOpen after exports that fail in every way.
func TestAttackNothingStaysOpen(t *testing.T) {
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("there is no /proc")
		}
		return len(entries)
	}
	h, _ := exportWorld(t)
	export := newExport()
	h.create(export)
	var before int
	for round := range 4 {
		for _, fault := range []fakecloud.Fault{
			{Kind: fakecloud.FaultCutStream, Bytes: 1000}, {Kind: fakecloud.FaultHTMLPage}, {Kind: fakecloud.FaultServerError}, {Kind: fakecloud.FaultEmptyBody},
		} {
			once(fault)(h)
			h.annotate(export, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
			h.exporting(export)
			h.advance(10 * time.Minute)
			h.exporting(export)
		}
		if round == 1 {
			before = open()
		}
	}
	if after := open(); after > before+3 {
		t.Errorf("%d files are open, before it were %d", after, before)
	}
}

// TestAttackMessagesOfSecrets: nothing that an object, an event or an error says holds a key.
func TestAttackMessagesOfSecrets(t *testing.T) {
	h, s3 := bucketWorld(t)
	secretHas("obs", map[string]string{"accessKey": "FAKEWRONGKEY", "secretKey": "fake-wrong-secret", "sessionToken": "fake-session"})(h)
	export := newExport(toBucket(s3))
	h.create(export)
	found, _ := h.exporting(export)
	text := conditions.ReadyCondition(found).Message
	for len(h.events.Events) > 0 {
		text += <-h.events.Events
	}
	for _, secret := range []string{"FAKEWRONGKEY", "fake-wrong-secret", "fake-session"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s is in %s", secret, text)
		}
	}
}

// TestAttackOneThatCannotBeRemoved does not keep all that is older than the limit from being removed.
func TestAttackOneThatCannotBeRemoved(t *testing.T) {
	h, root := exportWorld(t)
	export := newExport(func(s *v1alpha1.ResourcePackageExportSpec) { s.HistoryLimit = 2 })
	h.create(export)
	found, _ := h.exporting(export)
	first := filepath.Join(root, found.Status.Exports[0].Location)
	h.must(firstError(os.Remove(first), os.MkdirAll(filepath.Join(first, "something"), 0o750)))
	for range 8 {
		h.advance(minute)
		h.annotate(export, v1alpha1.RequestedAtAnnotation, h.clock.Now().String())
		found, _ = h.exporting(export)
	}
	if n := len(found.Status.Exports); n > 3 {
		t.Errorf("%d exports are kept with a limit of 2, because one cannot be removed", n)
	}
}

// TestAttackAClusterConnectionThatAllowsNothing: no call is made by an export that it does not allow.
func TestAttackAClusterConnectionThatAllowsNothing(t *testing.T) {
	for name, allow := range map[string]func(*v1alpha1.ClusterConnectionSpec){
		"no namespace": func(*v1alpha1.ClusterConnectionSpec) {},
		"another namespace": func(s *v1alpha1.ClusterConnectionSpec) {
			s.AllowedNamespaces = &v1alpha1.AllowedNamespaces{Names: []string{"other"}}
		},
		"another workspace": func(s *v1alpha1.ClusterConnectionSpec) {
			s.AllowedNamespaces, s.AllowedProjects = &v1alpha1.AllowedNamespaces{Names: []string{namespace}}, []string{"other*"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := exportWorld(t)
			connection := &v1alpha1.Connection{}
			h.must(h.kube.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: "insight"}, connection))
			cluster := &v1alpha1.ClusterConnection{
				ObjectMeta: metav1.ObjectMeta{Name: "insight", UID: "cluster", Generation: 1, Finalizers: []string{v1alpha1.Finalizer}},
				Spec:       v1alpha1.ClusterConnectionSpec{ConnectionSpec: connection.Spec},
			}
			cluster.Spec.HuaweiCloud.Credentials.SecretRef.Namespace = namespace
			allow(&cluster.Spec)
			h.create(cluster)
			export := newExport(func(s *v1alpha1.ResourcePackageExportSpec) {
				s.ConnectionRef = v1alpha1.ConnectionReference{Kind: "ClusterConnection", Name: "insight"}
			})
			h.create(export)
			found, _ := h.exporting(export)
			mustBe(t, found, metav1.ConditionFalse, v1alpha1.ReasonConnectionNotAllowed)
			if n := len(h.cloud.Journal()); n != 0 {
				t.Errorf("%d calls", n)
			}
			h.quiet(export)
		})
	}
}
