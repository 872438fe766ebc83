package controllers_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// evil is another namespace.
const evil = "evil"

// stranger gives the namespace evil a Connection and a Secret of its own, like those of the first
// one.
func (h *harness) stranger() {
	h.t.Helper()
	connection, secret := h.newConnection(), h.newSecret()
	connection.Namespace, connection.UID, secret.Namespace = evil, "connection-evil", evil
	h.create(connection)
	h.create(secret)
}

// accesses are what somebody without access to the cloud may have instead.
var accesses = map[string]func(h *harness){
	"no Connection": func(*harness) {},
	"a Connection that is not ready": func(h *harness) {
		h.stranger()
		secret := h.newSecret()
		secret.Namespace = evil
		h.delete(secret)
	},
	"refused credentials": func(h *harness) {
		h.stranger()
		secret := h.newSecret()
		secret.Namespace, secret.Data["accessKeySecret"] = evil, []byte("fake-wrong")
		h.must(h.kube.Update(h.t.Context(), secret))
	},
	"an endpoint that does not answer": func(h *harness) {
		h.stranger()
		connection := h.newConnection()
		h.must(h.kube.Get(h.t.Context(), types.NamespacedName{Namespace: evil, Name: "prod"}, connection))
		connection.Spec.AlibabaCloud.Endpoints.MaxCompute = "http://127.0.0.1:1"
		h.must(h.kube.Update(h.t.Context(), connection))
	},
}

// claimants make an object of each kind with a target, in a namespace. All of a kind name the same
// target.
var claimants = map[string]func(namespace string) object{
	"a role": func(namespace string) object {
		role := newRole("reader", tables("Select"))
		role.Spec.Members = []string{"RAM$corp:alice", "RAM$corp:leaver"}
		role.Namespace, role.UID = namespace, types.UID("role-"+namespace)
		return role
	},
	"a package": func(namespace string) object {
		pkg := newPackage("pkg", ofTables(table("orders", "Select")))
		pkg.Namespace, pkg.UID = namespace, types.UID("package-"+namespace)
		return pkg
	},
	"an installation": func(namespace string) object {
		installation := newInstallation("offered")
		installation.Namespace, installation.UID = namespace, types.UID("installation-"+namespace)
		return installation
	},
}

// claimWorld is a harness in which all of them can be made.
func claimWorld(t *testing.T) *harness {
	h := newHarness(t)
	h.foreign = true // what is there is only one object's
	h.must(h.cloud.CreatePackage(partner, "offered"))
	h.must(h.cloud.AllowProject(partner, "offered", project, 0))
	return h
}

// second is the time of creation of what was created some seconds after the first.
func second(n int) metav1.Time { return metav1.NewTime(time.Date(2026, 11, 21, 0, 0, n, 0, time.UTC)) }

// tryAll makes passes over objects, in turns, whatever comes of them.
func (h *harness) tryAll(passes int, objects ...object) {
	for range passes {
		for _, obj := range objects {
			_, _ = h.pass(obj) //nolint:errcheck // what is there afterwards is what counts
		}
		h.clock.ahead.Add(int64(backoff))
	}
}

// TestNobodyOwnsWhatTheyCannotReach: an older object that names a target, and never got to look at
// it, keeps nobody from it.
func TestNobodyOwnsWhatTheyCannotReach(t *testing.T) {
	for kind, newOne := range claimants {
		for access, arrange := range accesses {
			for _, first := range []string{"seen first", "seen last"} {
				t.Run(kind+", "+access+", "+first, func(t *testing.T) {
					h := claimWorld(t)
					arrange(h)
					squatter, ours := newOne(evil), newOne(namespace)
					squatter.SetCreationTimestamp(second(0))
					ours.SetCreationTimestamp(second(1))
					h.create(squatter)
					h.create(ours)
					if first == "seen first" {
						h.tryAll(2, squatter)
					}
					mustBe(t, settled(h, ours), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
					h.tryAll(2, squatter)
					h.quiet(ours)
					h.delete(stored(h, ours))
					if left := settled(h, ours); !isNil(left) || h.exists(ours) {
						t.Errorf("left: %s, in the cloud: %v", describe(left), h.exists(ours))
					}
				})
			}
		}
	}
}

// setPolicy sets the managementPolicy of a role or package, as a user does.
func (h *harness) setPolicy(obj object, policy v1alpha1.ManagementPolicy) {
	h.t.Helper()
	edited(h, obj, func(o object) {
		switch o := o.(type) {
		case *v1alpha1.ProjectRole:
			o.Spec.ManagementPolicy, o.Spec.AdoptionPolicy = policy, v1alpha1.AdoptionAdopt
		case *v1alpha1.MaxComputePackage:
			o.Spec.ManagementPolicy, o.Spec.AdoptionPolicy = policy, v1alpha1.AdoptionAdopt
		}
	})
}

// TestNobodyTakesOverByObserving: an object that only observes conflicts with nobody, so it may be
// older than what others make. Turned to managing, it takes nothing from them: who leaves the spec
// leaves the role, and what is deleted is taken back.
func TestNobodyTakesOverByObserving(t *testing.T) {
	ways := map[string]func(h *harness){"working credentials": func(h *harness) { h.stranger() }}
	maps.Copy(ways, accesses)
	for _, kind := range []string{"a role", "a package"} {
		for access, arrange := range ways {
			t.Run(kind+", "+access, func(t *testing.T) {
				h := claimWorld(t)
				arrange(h)
				observer, ours := claimants[kind](evil), claimants[kind](namespace)
				observer.SetCreationTimestamp(second(0))
				ours.SetCreationTimestamp(second(1))
				h.create(observer)
				h.setPolicy(observer, v1alpha1.ManagementObserve)
				h.tryAll(2, observer)
				h.create(ours)
				mustBe(t, settled(h, ours), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
				h.setPolicy(observer, v1alpha1.ManagementAuthoritative)
				h.tryAll(2, observer, ours)
				if conditions.IsReady(stored(h, observer)) {
					t.Errorf("the observer took it over: %s", describe(stored(h, observer)))
				}
				if role, ok := ours.(*v1alpha1.ProjectRole); ok {
					h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.Members = []string{"RAM$corp:alice"} })
				}
				mustBe(t, settled(h, ours), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
				if _, ok := ours.(*v1alpha1.ProjectRole); ok {
					if diff := cmp.Diff([]string{"RAM$corp:alice"}, h.cloud.Members(project, "reader")); diff != "" {
						t.Errorf("members (-want +got):\n%s", diff)
					}
				}
				h.delete(stored(h, ours))
				for range 5 { // the observer may make its own once this one is gone
					_, _ = h.pass(ours) //nolint:errcheck // what is there afterwards is what counts
					h.clock.ahead.Add(int64(backoff))
				}
				if left := stored(h, ours); !isNil(left) || h.exists(ours) {
					t.Errorf("left: %s, in the cloud: %v", describe(left), h.exists(ours))
				}
			})
		}
	}
}

// TestAnObserverIsAsYoungAsItsTurn: it has looked, and the other one has nothing there yet. The
// other one was there first.
func TestAnObserverIsAsYoungAsItsTurn(t *testing.T) {
	for _, last := range []string{"its last look succeeded", "its last look failed"} {
		t.Run(last, func(t *testing.T) {
			h := newHarness(t)
			h.existing()
			h.stranger()
			observer, ours := wanted(v1alpha1.ManagementObserve, v1alpha1.AdoptionAdopt), wanted(v1alpha1.ManagementAuthoritative, v1alpha1.AdoptionFail)
			observer.Namespace, observer.UID = evil, "observer"
			observer.CreationTimestamp, ours.CreationTimestamp = second(0), second(1)
			h.create(observer)
			mustBe(t, h.settle(observer), metav1.ConditionTrue, v1alpha1.ReasonObserved)
			h.create(ours)
			mustBe(t, h.settle(ours), metav1.ConditionFalse, v1alpha1.ReasonAlreadyExists)
			if last == "its last look failed" {
				h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultHTML502, Action: "ListRoles", Times: 1})
				h.annotate(observer, v1alpha1.RequestedAtAnnotation, "now")
				h.try(observer, 1)
				mustBe(t, h.get(observer), metav1.ConditionFalse, v1alpha1.ReasonRemoteUnavailable)
			}
			h.edit(observer, func(r *v1alpha1.ProjectRole) { r.Spec.ManagementPolicy = v1alpha1.ManagementAuthoritative })
			mustBe(t, h.settle(observer), metav1.ConditionFalse, v1alpha1.ReasonTargetConflict)
			mustBe(t, h.settle(ours), metav1.ConditionFalse, v1alpha1.ReasonAlreadyExists)
			if n := len(h.cloud.Writes()); n > 0 {
				t.Errorf("%d writes", n)
			}
		})
	}
}

// TestTwoThatHaveLooked: of two objects that have nothing there and could have, the older goes
// first, in whatever order they come.
func TestTwoThatHaveLooked(t *testing.T) {
	h := newHarness(t)
	h.existing()
	a, b := wanted(v1alpha1.ManagementAuthoritative, v1alpha1.AdoptionFail), wanted(v1alpha1.ManagementAuthoritative, v1alpha1.AdoptionAdopt)
	b.Name, b.UID = "b", "uid-b"
	a.CreationTimestamp, b.CreationTimestamp = second(0), second(1)
	h.create(a)
	h.create(b)
	mustBe(t, h.settle(a), metav1.ConditionFalse, v1alpha1.ReasonAlreadyExists)
	mustBe(t, h.settle(b), metav1.ConditionFalse, v1alpha1.ReasonTargetConflict)
	if n := len(h.cloud.Writes()); n > 0 {
		t.Errorf("%d writes", n)
	}
	h.delete(a)
	h.settle(a)
	mustBe(t, h.settle(b), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

// TestASuspendedObjectWithoutAClaimKeepsNobodyOut: it does nothing, and may never.
func TestASuspendedObjectWithoutAClaimKeepsNobodyOut(t *testing.T) {
	h := newHarness(t)
	h.existing()
	a, b := wanted(v1alpha1.ManagementAuthoritative, v1alpha1.AdoptionFail), wanted(v1alpha1.ManagementAuthoritative, v1alpha1.AdoptionAdopt)
	b.Name, b.UID = "b", "uid-b"
	a.CreationTimestamp, b.CreationTimestamp = second(0), second(1)
	h.create(a)
	mustBe(t, h.settle(a), metav1.ConditionFalse, v1alpha1.ReasonAlreadyExists)
	h.edit(a, func(r *v1alpha1.ProjectRole) { r.Spec.Suspend = true })
	h.create(b)
	mustBe(t, h.settle(b), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.edit(a, func(r *v1alpha1.ProjectRole) { r.Spec.Suspend, r.Spec.AdoptionPolicy = false, v1alpha1.AdoptionAdopt })
	mustBe(t, h.settle(a), metav1.ConditionFalse, v1alpha1.ReasonTargetConflict)
}

// moments lets something happen at each moment of a pass: before and after each write to the API
// server and each call to the cloud.
type moments struct {
	n, at  int
	inside bool
	do     func()
}

func (m *moments) pass() {
	if m.inside {
		return
	}
	if m.n++; m.n == m.at {
		m.inside = true
		m.do()
		m.inside = false
	}
}

// TestTwoNewObjectsAtOneMoment: while a pass over one object goes on, a whole pass over another one
// that names the same is made, at every moment of it. One of the two owns the target, whichever
// that is, and only it writes.
func TestTwoNewObjectsAtOneMoment(t *testing.T) {
	for kind, newOne := range claimants {
		for _, outer := range []string{"older", "younger"} {
			t.Run(kind+", into the "+outer+" one's", func(t *testing.T) {
				for at, more := 1, true; more; at++ {
					more = meet(t, newOne, outer == "older", at)
				}
			})
		}
	}
}

func meet(t *testing.T, newOne func(string) object, olderFirst bool, at int) (more bool) {
	h := claimWorld(t)
	h.stranger()
	// Not by the same client, which would have one pass wait for what the other is reading.
	h.spell(evil, spellings["another host name"])
	first, other := newOne(namespace), newOne(evil)
	first.SetCreationTimestamp(second(0))
	other.SetCreationTimestamp(second(1))
	if !olderFirst {
		first.SetCreationTimestamp(second(2))
	}
	h.create(first)
	h.create(other)
	h.cloud.ResetJournal()
	m := &moments{at: at}
	m.do = func() { _, _ = h.pass(other) } //nolint:errcheck // what is there afterwards is what counts
	h.beforeWrite = func(int) error { m.pass(); return nil }
	h.afterWrite = h.beforeWrite
	h.crash = func(int64, bool) { m.pass() }
	_, _ = h.pass(first) //nolint:errcheck // see above
	h.beforeWrite, h.afterWrite, h.crash = nil, nil, nil
	h.tryAll(4, first, other)
	got := fmt.Sprint(readyOf(stored(h, first)), " ", readyOf(stored(h, other)))
	if got != "True/Succeeded False/TargetConflict" && got != "False/TargetConflict True/Succeeded" {
		t.Errorf("at moment %d: %s\n%s\n%s", at, got, describe(stored(h, first)), describe(stored(h, other)))
	}
	for _, obj := range []object{stored(h, first), stored(h, other)} {
		if !conditions.IsReady(obj) && conditions.Claims(obj) {
			t.Errorf("at moment %d: the one that has nothing there says that it has: %+v", at, obj.GetTargetStatus())
		}
	}
	creates := 0
	for _, entry := range h.cloud.Writes() {
		if strings.HasPrefix(entry.Action, "Create") || strings.HasPrefix(strings.ToUpper(entry.Statement), "INSTALL") {
			creates++
		}
	}
	if creates != 1 {
		t.Errorf("at moment %d: %d creates: %v", at, creates, h.cloud.Writes())
	}
	return m.n >= m.at
}

// TestOneThatIsNotAllowedOwnsNothing, also if it was suspended before anybody could tell it so, and
// keeps its ClusterConnection from nothing.
func TestOneThatIsNotAllowedOwnsNothing(t *testing.T) {
	for _, suspended := range []bool{false, true} {
		t.Run(fmt.Sprintf("suspended %v", suspended), func(t *testing.T) {
			h := newHarness(t)
			connection := h.newClusterConnection()
			connection.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{Names: []string{namespace}}
			h.create(connection)
			h.checkClusterConnection()
			stranger, ours := newClusterRole(evil, "reader"), newClusterRole(namespace, "reader")
			stranger.UID, stranger.Spec.Suspend = "stranger", suspended
			stranger.CreationTimestamp, ours.CreationTimestamp = second(0), second(1)
			stranger.Status.Endpoint = h.url // as if it had looked, when it was allowed
			h.create(stranger)
			h.create(ours)
			h.settle(stranger)
			mustBe(t, h.settle(ours), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			h.delete(ours)
			if left := h.settle(ours); left != nil || h.cloud.RoleExists(project, "reader") {
				t.Errorf("left: %s", describe(left))
			}
			h.deleteCluster()
			if left := h.checkClusterConnection(); left != nil {
				t.Errorf("the ClusterConnection is kept: %s", readyOf(left))
			}
		})
	}
}

// TestAClaimHoldsWithoutItsConnection: what somebody made stays theirs while their Connection is
// gone.
func TestAClaimHoldsWithoutItsConnection(t *testing.T) {
	h := newHarness(t)
	h.foreign = true
	h.stranger()
	ours, other := newRole("reader", tables("Select")), newRole("reader", tables("Select"))
	other.Namespace, other.UID, other.Spec.AdoptionPolicy = evil, "other", v1alpha1.AdoptionAdopt
	ours.CreationTimestamp, other.CreationTimestamp = second(1), second(0)
	h.create(ours)
	h.settle(ours)
	connection := h.newConnection()
	h.must(h.kube.Get(t.Context(), request(connection).NamespacedName, connection))
	connection.Finalizers = nil
	h.must(h.kube.Update(t.Context(), connection))
	h.delete(connection)
	h.create(other)
	mustBe(t, h.settle(other), metav1.ConditionFalse, v1alpha1.ReasonTargetConflict)
}

// TestOneServiceBySeveralNames: two Connections that spell one service differently do not make two
// targets of one.
func TestOneServiceBySeveralNames(t *testing.T) {
	for kind, newOne := range claimants {
		for name, spell := range spellings {
			t.Run(kind+", "+name, func(t *testing.T) {
				h := claimWorld(t)
				h.stranger()
				h.spell(evil, spell)
				ours, other := newOne(namespace), newOne(evil)
				h.create(ours)
				h.create(other)
				mustBe(t, settled(h, ours), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
				mustBe(t, settled(h, other), metav1.ConditionFalse, v1alpha1.ReasonTargetConflict)
				h.quiet(ours)
			})
		}
	}
}

// spell names the service of a namespace's Connection in another way.
func (h *harness) spell(namespace string, spell func(string) string) {
	h.t.Helper()
	connection := h.newConnection()
	h.must(h.kube.Get(h.t.Context(), types.NamespacedName{Namespace: namespace, Name: "prod"}, connection))
	connection.Spec.AlibabaCloud.Endpoints.MaxCompute = spell(h.url)
	h.must(h.kube.Update(h.t.Context(), connection))
}

// spellings are other names of the fake cloud.
var spellings = map[string]func(url string) string{
	"another host name": func(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) },
	"upper case": func(url string) string {
		return strings.Replace(strings.Replace(url, "127.0.0.1", "LocalHost", 1), "http:", "HTTP:", 1)
	},
	"slashes and dots": func(url string) string { return url + "//./" },
	"a zero": func(url string) string {
		return url[:strings.LastIndex(url, ":")+1] + "0" + url[strings.LastIndex(url, ":")+1:]
	},
}

// TestAConnectionMayMoveToAnotherName of its service: what was done by the first goes on, and ends.
func TestAConnectionMayMoveToAnotherName(t *testing.T) {
	for name, spell := range spellings {
		t.Run(name, func(t *testing.T) {
			h := claimWorld(t)
			h.takeRequests(old)
			var objects []object
			for _, newOne := range claimants {
				obj := newOne(namespace)
				h.create(obj)
				mustBe(t, settled(h, obj), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
				objects = append(objects, obj)
			}
			apply := h.grantedRequest("one")
			h.reconnect(func(c *v1alpha1.AlibabaCloudConnection) {
				c.Endpoints.MaxCompute, c.Endpoints.DataWorks = spell(h.url), spell(h.url)
			})
			for _, obj := range objects {
				h.quiet(obj)
				mustBe(t, stored(h, obj), metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			}
			mustBe(t, h.lookNow(apply), metav1.ConditionTrue, v1alpha1.ReasonGranted)
			h.remove(apply)
			if left := h.permissions(alice); len(left) > 0 {
				t.Errorf("still granted: %v", left)
			}
			for _, obj := range objects {
				h.delete(stored(h, obj))
				if left := settled(h, obj); !isNil(left) || h.exists(obj) {
					t.Errorf("left: %s, in the cloud: %v", describe(left), h.exists(obj))
				}
			}
		})
	}
}
