package controllers_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// newInstallation installs a package of the partner's in the project.
func newInstallation(packageName string) *v1alpha1.PackageInstallation {
	return &v1alpha1.PackageInstallation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "installed-" + packageName, UID: types.UID("uid-installed-" + packageName), Generation: 1},
		Spec: v1alpha1.PackageInstallationSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "prod"}, ProjectName: project, SourceProject: partner, PackageName: packageName,
			DeletionPolicy: v1alpha1.DeletionDelete,
		},
		Status: v1alpha1.PackageInstallationStatus{SyncStatus: v1alpha1.SyncStatus{ObservedGeneration: -1}},
	}
}

func TestAnInstallationFromNothingToNothing(t *testing.T) {
	h := newHarness(t)
	h.must(h.cloud.CreatePackage(partner, "pkg"))
	h.must(h.cloud.AllowProject(partner, "pkg", project, 1))
	installation := newInstallation("pkg")
	h.create(installation)
	got := settled(h, installation)
	mustBe(t, got, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if s := got.Status; !h.exists(installation) || s.Source != "partner.pkg" || s.SourceStatus != "OK" || s.InstallTime == nil || time.Since(s.InstallTime.Time) > time.Hour {
		t.Errorf("installed: %v, %+v", h.exists(installation), s)
	}
	h.cloud.ResetJournal()
	h.quiet(installation)
	if n := len(h.cloud.Journal()); n > 1 {
		t.Errorf("a quiet pass made %d calls", n)
	}
	h.delete(installation)
	if left := settled(h, installation); left != nil || h.exists(installation) {
		t.Errorf("left: %s, installed: %v", describe(left), h.exists(installation))
	}
}

// TestAnInstallationWaitsForItsSource: it says why, writes nothing while nothing changes, and goes on by itself.
func TestAnInstallationWaitsForItsSource(t *testing.T) {
	h := newHarness(t)
	installation := newInstallation("pkg")
	h.create(installation)
	waits := func(why string) {
		t.Helper()
		for range 3 {
			result, err := h.pass(installation)
			if err != nil || result.RequeueAfter == 0 || result.RequeueAfter > 5*time.Minute {
				t.Errorf("%s: tried again after %s, %v", why, result.RequeueAfter, err)
			}
			h.clock.ahead.Add(int64(backoff))
		}
		got := stored(h, installation)
		mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonSourceNotAvailable)
		if got.Status.Creating || got.Status.Created {
			t.Errorf("%s: %+v", why, got.Status)
		}
		if message := describe(got); !strings.Contains(message, "package pkg of project partner") || !strings.Contains(message, "shared with project analytics") {
			t.Errorf("%s: %s", why, message)
		}
	}
	waits("there is no such package")
	h.must(h.cloud.CreatePackage(partner, "pkg"))
	waits("it is not shared")
	h.must(h.cloud.AllowProject(partner, "pkg", project, 0))
	mustBe(t, settled(h, installation), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	warnings := 0
	for len(h.events.Events) > 0 {
		if strings.HasPrefix(<-h.events.Events, "Warning") {
			warnings++
		}
	}
	if warnings != 1 {
		t.Errorf("%d warnings for one cause", warnings)
	}
}

// TestTheSourceIsLookedForWithinOneInterval, however long it has been waited for.
func TestTheSourceIsLookedForWithinOneInterval(t *testing.T) {
	h := newHarness(t)
	installation := newInstallation("pkg")
	installation.Spec.Interval = &metav1.Duration{Duration: time.Minute}
	h.create(installation)
	for range 10 {
		result, err := h.pass(installation)
		if err != nil || result.RequeueAfter == 0 || result.RequeueAfter > time.Minute {
			t.Errorf("tried again after %s, %v", result.RequeueAfter, err)
		}
		h.clock.ahead.Add(int64(20 * time.Minute))
	}
}

func TestAnInstallationThatIsThere(t *testing.T) {
	tests := map[string]struct {
		adoption v1alpha1.AdoptionPolicy
		status   metav1.ConditionStatus
		reason   string
	}{
		"not adopted": {v1alpha1.AdoptionFail, metav1.ConditionFalse, v1alpha1.ReasonAlreadyExists},
		"adopted":     {v1alpha1.AdoptionAdopt, metav1.ConditionTrue, v1alpha1.ReasonSucceeded},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.foreign = true
			installation := newInstallation("SHARED") // installed by the harness
			installation.Name = "shared"
			installation.Spec.AdoptionPolicy = tc.adoption
			h.create(installation)
			got := settled(h, installation)
			mustBe(t, got, tc.status, tc.reason)
			h.quiet(installation)
			h.delete(installation)
			if left := settled(h, installation); left != nil || len(h.cloud.Installed(project)) != 1 {
				t.Errorf("left: %s; installed: %v", describe(left), h.cloud.Installed(project))
			}
			if n := len(h.cloud.Writes()); n != 0 {
				t.Errorf("%d writes", n)
			}
		})
	}
}

// TestASourceThatIsDroppedAndMadeAnew: the dead installation goes after a while, and the package is installed again.
func TestASourceThatIsDroppedAndMadeAnew(t *testing.T) {
	h := newHarness(t)
	h.must(h.cloud.CreatePackage(partner, "pkg"))
	h.must(h.cloud.AllowProject(partner, "pkg", project, 0))
	installation := newInstallation("pkg")
	h.create(installation)
	settled(h, installation)
	h.must(h.cloud.DropPackage(partner, "pkg"))
	h.annotate(installation, v1alpha1.RequestedAtAnnotation, "now") // or at the next interval
	_, _ = h.pass(installation)                                     //nolint:errcheck // the condition is what counts
	got := stored(h, installation)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonSourceNotAvailable)
	if got.Status.SourceDroppedTime == nil || got.Status.SourceStatus != fakecloud.StatusSourceDropped || !h.exists(installation) {
		t.Errorf("installed %v, %+v", h.exists(installation), got.Status)
	}
	h.clock.ahead.Add(int64(2 * time.Minute))
	h.annotate(installation, v1alpha1.RequestedAtAnnotation, "again")
	_, _ = h.pass(installation) //nolint:errcheck // the condition is what counts
	got = stored(h, installation)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonSourceNotAvailable)
	if h.exists(installation) || got.Status.SourceDroppedTime != nil || got.Status.Source != "" {
		t.Errorf("installed %v, %+v", h.exists(installation), got.Status)
	}
	h.must(h.cloud.CreatePackage(partner, "pkg"))
	h.must(h.cloud.AllowProject(partner, "pkg", project, 0))
	mustBe(t, settled(h, installation), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if got := h.cloud.Installed(project); len(got) != 2 || got[0].Status != fakecloud.StatusOK {
		t.Errorf("installed: %v", got)
	}
}

// TestASourceThatIsNotSharedAnyMore is not taken for one that is gone: it may be shared again, and then all is well.
func TestASourceThatIsNotSharedAnyMore(t *testing.T) {
	h := newHarness(t)
	h.must(h.cloud.CreatePackage(partner, "pkg"))
	h.must(h.cloud.AllowProject(partner, "pkg", project, 0))
	installation := newInstallation("pkg")
	h.create(installation)
	settled(h, installation)
	writes := len(h.cloud.Writes())
	h.must(h.cloud.DisallowProject(partner, "pkg", project))
	for i := range 5 {
		h.annotate(installation, v1alpha1.RequestedAtAnnotation, strings.Repeat("again ", i+1))
		_, _ = h.pass(installation) //nolint:errcheck // the condition is what counts
		got := stored(h, installation)
		mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonSourceNotAvailable)
		if got.Status.SourceDroppedTime != nil {
			t.Errorf("%+v", got.Status)
		}
		h.clock.ahead.Add(int64(2 * time.Minute))
	}
	if n := len(h.cloud.Writes()); n != writes {
		t.Errorf("%d writes", n-writes)
	}
	h.must(h.cloud.AllowProject(partner, "pkg", project, 0))
	h.annotate(installation, v1alpha1.RequestedAtAnnotation, "at last")
	mustBe(t, settled(h, installation), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

// TestARoleWaitsForAPackageThatIsNotInstalled with that alone.
func TestARoleWaitsForAPackageThatIsNotInstalled(t *testing.T) {
	h := newHarness(t)
	h.must(h.cloud.SetStrict(project, true))
	h.must(h.cloud.DeclareObject(project, "table", "default", "orders"))
	acl := tables("Select")
	acl.Packages = []v1alpha1.PackageGrant{{Name: "Partner.shared", Actions: []string{"Read"}}, {Name: "partner.later", Actions: []string{"Read"}}}
	role := newRole("reader", acl)
	h.create(role)
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	got := h.get(role)
	mustBe(t, got, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	if message := describe(got); !strings.Contains(message, "1 left") || !strings.Contains(message, "package partner.later is not installed in project analytics yet") {
		t.Error(message)
	}
	if granted := h.granted("reader"); len(granted) != 2 {
		t.Errorf("granted: %v", granted)
	}
	writes := len(h.cloud.Writes())
	h.clock.ahead.Add(int64(time.Minute))
	_, _ = h.pass(role) //nolint:errcheck // the condition is what counts
	if n := len(h.cloud.Writes()); n != writes {
		t.Errorf("%d writes for a package that is not installed", n-writes)
	}
	h.share("later")
	h.clock.ahead.Add(int64(time.Minute))
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if granted := h.granted("reader"); len(granted) != 3 {
		t.Errorf("granted: %v", granted)
	}
}

// TestARoleOfAnIdentityThatMayNotListPackages has its permissions on packages tried.
func TestARoleOfAnIdentityThatMayNotListPackages(t *testing.T) {
	h := newHarness(t)
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Action: "ListPackages"})
	acl := tables("Select")
	acl.Packages = []v1alpha1.PackageGrant{{Name: "partner.shared", Actions: []string{"Read"}}}
	role := newRole("reader", acl)
	h.create(role)
	mustBe(t, h.settle(role), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}
