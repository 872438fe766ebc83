package controllers_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// lies are what the service may answer to a revocation that it did not carry out.
var lies = map[string]string{
	"words":          "Access Denied - Authorization Failed [4019], You have NO privilege 'odps:Revoke'",
	"an exception":   "Exception: java.lang.NullPointerException",
	"JSON":           `{"error":"no permission"}`,
	"a JSON text":    `"no permission"`,
	"Chinese":        "没有权限",
	"nothing":        "",
	"OK":             "OK",
	"an empty value": "{}",
}

// showGrants counts how often the grants of users were read.
func (h *harness) showGrants() int {
	n := 0
	for _, e := range h.cloud.Journal() {
		if strings.HasPrefix(e.Statement, "SHOW GRANTS") {
			n++
		}
	}
	return n
}

// result makes the service answer statements with a text.
func (h *harness) result(statement, text string, times int, done bool) {
	h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultResult, Statement: statement, Message: text, Times: times, Done: done})
}

// mustStay asserts that an object that is being deleted stays and names the way out.
func (h *harness) mustStay(apply *v1alpha1.PermissionApply) {
	h.t.Helper()
	found := stored(h, apply)
	if found == nil {
		h.t.Fatalf("the object is gone, and %v is granted", h.permissions(alice))
	}
	mustBe(h.t, found, metav1.ConditionFalse, v1alpha1.ReasonPartiallyApplied)
	if message := conditions.ReadyCondition(found).Message; !strings.Contains(message, "deletionPolicy: Retain") {
		h.t.Errorf("the message names no way out: %s", message)
	}
}

// TestARefusedRevocationInsideSuccess: an object stays for as long as the permission does,
// whatever the service says of its revocation; and it goes when the permission is gone.
func TestARefusedRevocationInsideSuccess(t *testing.T) {
	for version, action := range map[string]string{newer: "select", old: "update"} {
		for name, text := range lies {
			for _, times := range []int{1, 3, 0} {
				t.Run(fmt.Sprintf("%s, %s, %d times", version, name, times), func(t *testing.T) {
					h := requestWorld(t, version)
					apply := h.grantedRequest("report")
					h.result("FROM USER", text, times, false)
					h.must(h.kube.Delete(t.Context(), stored(h, apply)))
					for pass := 0; pass < 20 && slices.Contains(h.permissions(alice), action); pass++ {
						h.passAnyway(apply)
						if slices.Contains(h.permissions(alice), action) {
							h.mustStay(apply)
						}
						h.advance(5 * time.Minute)
					}
					if has := slices.Contains(h.permissions(alice), action); has != (times == 0) {
						t.Errorf("has it: %v", has)
					}
					h.cloud.ClearFaults()
					h.awaitGone(apply)
					if left := h.permissions(alice); len(left) > 0 {
						t.Errorf("the object is gone, and %v is granted", left)
					}
				})
			}
		}
	}
}

// TestWhatIsSeenToBeGoneIsGone: what was carried out counts, in whatever words the service says so.
func TestWhatIsSeenToBeGoneIsGone(t *testing.T) {
	for name, text := range lies {
		t.Run(name, func(t *testing.T) {
			h := requestWorld(t, newer)
			apply := h.grantedRequest("report")
			h.result("FROM USER", text, 0, true)
			h.must(h.kube.Delete(t.Context(), stored(h, apply)))
			h.passAnyway(apply)
			if found := stored(h, apply); found != nil {
				t.Errorf("still there: %s", describe(found))
			}
		})
	}
}

// TestGrantsThatMustNotBeRead: without the right to read grants, an answer that is known to mean
// success counts, and no other does.
func TestGrantsThatMustNotBeRead(t *testing.T) {
	tests := map[string]struct {
		text string
		done bool
		goes bool
	}{
		"known":   {"OK", true, true},
		"unknown": {"没有权限", false, false},
		// Nobody can tell.
		"unknown, and done": {"fertig", true, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := requestWorld(t, newer)
			apply := h.grantedRequest("report")
			h.must(h.cloud.DenyAction(fakecloud.DefaultAccessKeyID, "SHOW", ""))
			h.result("FROM USER", tc.text, 0, tc.done)
			h.must(h.kube.Delete(t.Context(), stored(h, apply)))
			h.drainEvents()
			for range 10 {
				h.tryPass(apply)
			}
			if !tc.goes {
				h.mustStay(apply)
				return
			}
			if found := stored(h, apply); found != nil {
				t.Errorf("still there: %s", describe(found))
			}
			if events := h.drainEvents(); !slices.ContainsFunc(events, func(e string) bool { return strings.Contains(e, "could not be read") }) {
				t.Errorf("nobody is told that nothing was confirmed: %q", events)
			}
		})
	}
}

// TestGrantsThatCannotBeRead keep the object: they say nothing, also of what was revoked by call.
func TestGrantsThatCannotBeRead(t *testing.T) {
	for _, version := range generations {
		for name, text := range map[string]string{"nothing": "", "OK": "OK", "words": "A projects/p/tables/t: Select", "an empty object": "{}", "no list": `{"Roles":[],"ACL":"none"}`} {
			t.Run(version+", "+name, func(t *testing.T) {
				h := requestWorld(t, version)
				apply := h.grantedRequest("report", select1)
				h.result("SHOW GRANTS", text, 0, false)
				h.must(h.kube.Delete(t.Context(), stored(h, apply)))
				for range 10 {
					h.tryPass(apply)
				}
				h.mustStay(apply)
				h.cloud.ClearFaults()
				h.awaitGone(apply)
			})
		}
	}
}

// TestAUserOutOfTheProject: the service keeps what a user was granted who leaves a project, so it
// is not revoked by that.
func TestAUserOutOfTheProject(t *testing.T) {
	for _, statement := range []string{"FROM USER", "SHOW GRANTS"} {
		t.Run(statement, func(t *testing.T) {
			h := requestWorld(t, newer)
			apply := h.grantedRequest("report")
			h.cloud.Inject(fakecloud.Fault{
				Kind: fakecloud.FaultError, Statement: statement, Status: http.StatusNotFound, Code: "NoSuchObject", Message: "User RAM$corp:alice is not in project " + project,
			})
			h.must(h.kube.Delete(t.Context(), stored(h, apply)))
			for range 10 {
				h.tryPass(apply)
			}
			h.mustStay(apply)
			if message := conditions.ReadyCondition(stored(h, apply)).Message; !strings.Contains(message, "PURGE PRIVILEGES FROM USER RAM$corp:alice") {
				t.Errorf("message %s", message)
			}
		})
	}
	t.Run("a table that is gone", func(t *testing.T) {
		h := requestWorld(t, newer)
		apply := h.grantedRequest("report")
		h.must(h.cloud.DropObject(project, "table", "", "orders"))
		h.cloud.Inject(fakecloud.Fault{
			Kind: fakecloud.FaultError, Statement: "FROM USER", Status: http.StatusNotFound, Code: "NoSuchObject", Message: "the table 'orders' does not exist",
		})
		h.remove(apply)
	})
}

// TestTheGrantsOfAUserAreReadOnce: one read confirms all that was revoked from a user in a pass.
func TestTheGrantsOfAUserAreReadOnce(t *testing.T) {
	for _, version := range generations {
		t.Run(version, func(t *testing.T) {
			h := requestWorld(t, version)
			apply := h.grantedRequest("report", twoTables, func(s *v1alpha1.PermissionApplySpec) { s.ApplyUserIDs = []string{alice, bob} })
			h.must(h.kube.Delete(t.Context(), stored(h, apply)))
			h.passAnyway(apply)
			if found := stored(h, apply); found != nil {
				t.Errorf("still there: %s", describe(found))
			}
			if n := h.showGrants(); n != 2 {
				t.Errorf("the grants of two users were read %d times", n)
			}
		})
	}
}

// TestWhatIsNotConfirmedIsNotRecorded: at the deadline, an entry counts as revoked for those alone
// who are seen to have nothing left.
func TestWhatIsNotConfirmedIsNotRecorded(t *testing.T) {
	h := requestWorld(t, old)
	h.cloud.SetOrderStyle(fakecloud.OrderStyle{LabelSecurityOff: true})
	apply := h.grantedRequest("report", forDays(30), func(s *v1alpha1.PermissionApplySpec) { s.ApplyUserIDs = []string{alice, bob} })
	h.result("FROM USER RAM$corp:alice", "OK", 0, false)
	h.advance(31 * days)
	for range 5 {
		h.tryPass(apply)
	}
	revoked := map[string]bool{}
	for _, g := range stored(h, apply).Status.Orders[0].Granted {
		for _, user := range g.UserIDs {
			revoked[user] = g.Revoked
		}
	}
	if diff := cmp.Diff(map[string]bool{alice: false, bob: true}, revoked); diff != "" {
		t.Errorf("revoked (-want +got):\n%s\n%s", diff, describe(stored(h, apply)))
	}
	h.cloud.ClearFaults()
	h.waitOut(apply, time.Hour)
	if left := h.permissions(alice); len(left) > 0 || stored(h, apply).Status.Orders[0].RevokedAt == nil {
		t.Errorf("left %v: %s", left, describe(stored(h, apply)))
	}
}
