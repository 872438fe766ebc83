package controllers_test

import (
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// assumed makes the Connection assume a RAM role.
func (h *harness) assumed() {
	h.t.Helper()
	const arn = "acs:ram::456:role/prod"
	h.cloud.AddRAMRole(fakecloud.RAMRole{Arn: arn, TrustedAccessKeys: []string{fakecloud.DefaultAccessKeyID}})
	connection := &v1alpha1.Connection{}
	h.must(h.kube.Get(h.t.Context(), client.ObjectKeyFromObject(h.newConnection()), connection))
	connection.Spec.AlibabaCloud.AssumeRole = &v1alpha1.AssumeRole{RoleARN: arn}
	connection.Spec.AlibabaCloud.Endpoints.STS = h.url
	connection.Generation++
	h.must(h.kube.Update(h.t.Context(), connection))
}

// TestEveryFaultOfTheSessionService: whatever goes wrong with opening a session, at first or after a restart, a life ends well.
func TestEveryFaultOfTheSessionService(t *testing.T) {
	for name, fault := range transientFaults {
		if fault.Kind == fakecloud.FaultAsync || fault.Kind == fakecloud.FaultStaleRead {
			continue // a session is neither
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, times := range []int{1, 3} {
				h := newHarness(t)
				if fault.Kind == fakecloud.FaultTimeout {
					h.timeout = 150 * time.Millisecond
				}
				h.restart()
				h.assumed()
				f := fault
				f.Service, f.Times = "sts", times
				h.cloud.Inject(f)
				life(h)
				if n := len(h.cloud.Sessions()); n == 0 {
					t.Error("no session was opened")
				}
				if t.Failed() {
					t.Fatalf("%d times", times)
				}
			}
		})
	}
}

// TestCrashAroundASession: a crash before or after any call, those to the session service among them.
func TestCrashAroundASession(t *testing.T) {
	for at := int64(1); at <= 12; at++ {
		for _, before := range []bool{true, false} {
			h := newHarness(t)
			h.assumed()
			h.crash = func(call int64, b bool) {
				if call == at && b == before {
					panic(errCrashed)
				}
			}
			life(h)
			if t.Failed() {
				t.Fatalf("at call %d, before %v", at, before)
			}
		}
	}
}

// TestSessionsThatEnd: a session that the service does not take any more is replaced, in the midst of a role's life.
func TestSessionsThatEnd(t *testing.T) {
	h := newHarness(t)
	h.assumed()
	role := newRole("reader", tables("Select"))
	h.create(role)
	h.settle(role)
	h.cloud.ExpireSessions()
	h.edit(role, func(r *v1alpha1.ProjectRole) { r.Spec.ACL = tables("Update") })
	h.settle(role)
	h.mustHold(world{Grants: []string{"table default.orders: update"}})
}
