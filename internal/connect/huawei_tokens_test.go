package connect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// withPassword runs a test in a bubble, with the Connection prod of a user for whom tokens are issued.
func withPassword(t *testing.T, test func(t *testing.T, h *harness)) {
	t.Helper()
	onHuawei(t, func(t *testing.T, h *harness) {
		h.store("keys", huaweiSecrets["a user and a password"])
		h.connectHuawei("prod")
		test(t, h)
	})
}

// issued counts the requests for tokens, however they ended.
func (h *harness) issued() int { return h.cloud.Count("CreateToken") }

// TestManyCallersShareOneToken: tens of thousands of looks at objects over three days, some at the same moment.
func TestManyCallersShareOneToken(t *testing.T) {
	withPassword(t, func(t *testing.T, h *harness) {
		h.connectHuawei("copy")
		first, err := h.insightAccount("prod")
		h.must(err)
		for range 3 * 24 * 4 {
			var group sync.WaitGroup
			for i := range 50 {
				group.Go(func() {
					name := []string{"prod", "copy"}[i%2]
					if account, err := h.insightAccount(name); err != nil || account != first {
						t.Errorf("got another account, or %v", err)
					}
				})
			}
			group.Wait()
			h.must(h.checkInsight())
			h.wait(15 * time.Minute)
		}
		if n := h.issued(); n != 3 {
			t.Errorf("%d tokens in three days, want 3", n)
		}
	})
}

func TestATokenIsRenewedBeforeItEnds(t *testing.T) {
	withPassword(t, func(t *testing.T, h *harness) {
		account, err := h.insightAccount("prod")
		h.must(err)
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{24*time.Hour - 5*time.Minute - time.Second, 1}, {2 * time.Second, 2}, {0, 2}, {23 * time.Hour, 2}, {time.Hour, 3}} {
			h.wait(step.wait)
			h.must(h.checkInsight())
			if got := h.issued(); got != step.want {
				t.Errorf("after %s more: %d tokens, want %d", step.wait, got, step.want)
			}
		}
		again, err := h.insightAccount("prod")
		if h.must(err); again != account {
			t.Error("the account did not outlive the token")
		}
	})
}

// TestATokenThatCannotBeRenewedServesToItsEnd: nobody notices that IAM is down for the last minutes of a token, and it is asked seldom.
func TestATokenThatCannotBeRenewedServesToItsEnd(t *testing.T) {
	withPassword(t, func(t *testing.T, h *harness) {
		h.must(h.checkInsight())
		h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultHTML502, Service: "iam"})
		h.wait(24*time.Hour - 5*time.Minute)
		for range 5*60 - 1 {
			h.must(h.checkInsight())
			h.wait(time.Second)
		}
		if n := h.issued() - 1; n != 10 {
			t.Errorf("asked %d times in five minutes, want 10", n)
		}
		h.wait(time.Second)
		want := conditions.Outcome{
			State: conditions.Reconciling, Reason: v1alpha1.ReasonConnectionNotReady,
			Message: "Connection prod: get a token of user exporter of account corp for project 0a1b2c3d: HTTP status 502 with a body that is not IAM's",
		}
		if diff := cmp.Diff(want, conditions.FromError(h.checkInsight())); diff != "" {
			t.Errorf("after its end (-want +got):\n%s", diff)
		}
		h.cloud.ClearFaults()
		h.wait(refused)
		h.must(h.checkInsight())
	})
}

// TestARefusedTokenIsReplaced: somebody has changed the password back and forth, or ended the sessions of the user.
func TestARefusedTokenIsReplaced(t *testing.T) {
	withPassword(t, func(t *testing.T, h *harness) {
		h.must(h.checkInsight())
		h.wait(time.Minute)
		h.cloud.ExpireIAMTokens()
		if err := h.checkInsight(); cloud.CodeOf(err) != cloud.AuthenticationFailed {
			t.Fatalf("got %v", err)
		}
		for range 60 {
			h.must(h.checkInsight())
			h.wait(time.Second)
		}
		if n := h.issued(); n != 2 {
			t.Errorf("%d tokens", n)
		}
	})
}

func TestATokenThatIsAlwaysRefusedIsReplacedFarFromAllTheTime(t *testing.T) {
	withPassword(t, func(t *testing.T, h *harness) {
		h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultError, Service: "insight", Status: 401, Code: "APIGW.0301"})
		for range 60 {
			if err := h.checkInsight(); cloud.CodeOf(err) != cloud.AuthenticationFailed {
				t.Fatalf("got %v", err)
			}
			h.wait(time.Second)
		}
		if n := h.issued(); n != 12 {
			t.Errorf("%d tokens in a minute, want 12", n)
		}
	})
}

// TestARefusedKeyOfHuaweiCloudAsksForNoToken: there is nothing to renew.
func TestARefusedKeyOfHuaweiCloudAsksForNoToken(t *testing.T) {
	for _, kind := range []string{"a key", "a temporary key", "a token"} {
		t.Run(kind, func(t *testing.T) {
			onHuawei(t, func(t *testing.T, h *harness) {
				h.store("keys", huaweiSecrets[kind])
				h.connectHuawei("prod")
				h.cloud.RemoveIAMUser("corp", "exporter")
				h.cloud.RemoveIAMKey("FAKEHUAWEI")
				h.cloud.RemoveIAMKey("FAKETEMPORARY")
				for range 10 {
					if err := h.checkInsight(); cloud.CodeOf(err) != cloud.AuthenticationFailed {
						t.Fatalf("got %v", err)
					}
					h.wait(time.Second)
				}
				if h.issued() != 0 || h.reads != 2 {
					t.Errorf("%d tokens were asked for, the Secret was read %d times in ten seconds", h.issued(), h.reads)
				}
			})
		})
	}
}

// TestIAMIsNotAskedAgainAtOnce: a thousand objects do not ask a thousand times for what was just refused.
func TestIAMIsNotAskedAgainAtOnce(t *testing.T) {
	withPassword(t, func(t *testing.T, h *harness) {
		h.cloud.RemoveIAMUser("corp", "exporter")
		for range 14 * 60 / 10 {
			var group sync.WaitGroup
			for range 100 {
				group.Go(func() {
					if _, err := h.insightAccount("prod"); err == nil {
						t.Error("no error")
					}
				})
			}
			group.Wait()
			h.wait(10 * time.Second)
		}
		if n := h.issued(); n != 3 {
			t.Errorf("asked %d times in fourteen minutes, want 3: five lock the user", n)
		}
	})
}

// TestACorrectedPasswordIsUsedSoon: it is IAM that tells of the wrong one.
func TestACorrectedPasswordIsUsedSoon(t *testing.T) {
	withPassword(t, func(t *testing.T, h *harness) {
		h.store("keys", merged(huaweiSecrets["a user and a password"], map[string]string{"password": "fake-typo"}))
		if err := h.checkInsight(); err == nil {
			t.Fatal("no error")
		}
		h.store("keys", huaweiSecrets["a user and a password"])
		h.wait(refused)
		h.must(h.checkInsight())
	})
}

// TestAChangedPasswordIsNoticed: it ends the tokens of the old one.
func TestAChangedPasswordIsNoticed(t *testing.T) {
	withPassword(t, func(t *testing.T, h *harness) {
		h.must(h.checkInsight())
		h.must(h.cloud.AddIAMUser(fakecloud.IAMUser{Domain: "corp", Name: "exporter", Password: "fake-password-2"}))
		h.store("keys", merged(huaweiSecrets["a user and a password"], map[string]string{"password": "fake-password-2"}))
		if err := h.checkInsight(); cloud.CodeOf(err) != cloud.AuthenticationFailed {
			t.Fatalf("got %v", err)
		}
		h.wait(refused)
		h.must(h.checkInsight())
		if n := h.issued(); n != 2 {
			t.Errorf("%d tokens, want 2", n)
		}
	})
}

func TestWhatKeepsATokenFromBeingIssuedIsSaid(t *testing.T) {
	const op = "get a token of user exporter of account corp for project 0a1b2c3d: "
	tests := map[string]struct {
		arrange func(h *harness)
		// reason is the Connection's, message that of its objects, without what was tried.
		reason, message string
	}{
		"a wrong password": {func(h *harness) {
			h.must(h.cloud.AddIAMUser(fakecloud.IAMUser{Domain: "corp", Name: "exporter", Password: "fake-other"}))
		}, v1alpha1.ReasonAuthenticationFailed, "401: the service refused the user, the password or the project"},
		"a project of others": {func(h *harness) {
			h.must(h.cloud.AddIAMUser(fakecloud.IAMUser{Domain: "corp", Name: "exporter", Password: "fake-password", Projects: []string{"other"}}))
		}, v1alpha1.ReasonAuthenticationFailed, "401: the service refused the user, the password or the project"},
		"a clock that is ahead": {
			func(h *harness) { h.cloud.ShiftClock(-25 * time.Hour) },
			v1alpha1.ReasonUnexpectedResponse, "the token has ended before it began: the clock of this machine is off",
		},
		"a service that is down": {
			func(h *harness) { h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultHTML502, Service: "iam"}) },
			v1alpha1.ReasonRemoteUnavailable, "HTTP status 502 with a body that is not IAM's",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			onHuawei(t, func(t *testing.T, h *harness) {
				h.store("keys", huaweiSecrets["a user and a password"])
				connection := h.connectHuawei("prod")
				tc.arrange(h)
				for range 3 {
					_, err := h.resolver.Resolve(t.Context(), connection)
					if outcome := conditions.FromError(err); outcome.Reason != tc.reason || outcome.State != conditions.Reconciling || outcome.Message != op+tc.message {
						t.Errorf("the Connection says %+v, want %s: %s", outcome, tc.reason, op+tc.message)
					}
					account, err := h.insightAccount("prod")
					if outcome := conditions.FromError(err); outcome.Reason != v1alpha1.ReasonConnectionNotReady || outcome.Message != "Connection prod: "+op+tc.message || account != nil {
						t.Errorf("the objects say %+v", outcome)
					}
					if strings.Contains(fmt.Sprintf("%v %+v", err, err), "fake-") {
						t.Error("the password is told")
					}
					h.wait(refused)
				}
			})
		})
	}
}

// TestACallerWhoGivesUpIsNoRefusalOfIAM: others ask for themselves.
func TestACallerWhoGivesUpIsNoRefusalOfIAM(t *testing.T) {
	withPassword(t, func(t *testing.T, h *harness) {
		h.transport.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			_, err := h.resolver.InsightAccount(ctx, newUser(namespace), v1alpha1.ConnectionReference{Name: "prod"}, workspace)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		cancel()
		group.Wait()
		h.transport.Handler = h.cloud
		h.must(h.checkInsight())
	})
}
