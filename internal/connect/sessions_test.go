package connect_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

const (
	reader   = "acs:ram::123456789012:role/reader"
	prod     = "acs:ram::210987654321:role/prod"
	provider = "acs:ram::123456789012:oidc-provider/cluster"
	audience = "sts.aliyuncs.com"
	// sourceKey is the access key that the RAM role prod trusts, beside the role reader.
	sourceKey = "FAKEA"
)

// inBubble runs a test without a network, in a bubble whose time passes when everybody waits.
func inBubble(t *testing.T, test func(t *testing.T, h *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tr := &transport{}
		h := newHarnessOf(t, clock.RealClock{}, &http.Client{Transport: tr})
		tr.Handler, tr.host, h.url = h.cloud, "cloud.test", "http://cloud.test"
		h.transport = tr
		h.cloud.AddRAMRole(fakecloud.RAMRole{Arn: reader, OIDC: &fakecloud.OIDCTrust{
			ProviderArn: provider, Audience: audience, Subjects: []string{"system:serviceaccount:team:data-perms", "system:serviceaccount:operators:shared"},
		}})
		h.cloud.AddRAMRole(fakecloud.RAMRole{Arn: prod, TrustedAccessKeys: []string{sourceKey, reader}, ExternalID: "tenant-7"})
		test(t, h)
		if violations := h.cloud.Violations(); len(violations) > 0 {
			t.Errorf("the fake cloud was asked for what it does not have: %v", violations)
		}
	})
}

// transport hands requests to a handler, as long as they are for its host.
type transport struct {
	http.Handler
	host string
	// silent makes it answer nothing to calls of this action.
	silent string
}

func (tr *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Host != tr.host {
		return nil, fmt.Errorf("a request went to %s", request.URL.Host)
	}
	request = request.Clone(request.Context())
	// The vendor's library does not spell headers as Go does.
	for name, values := range request.Header {
		delete(request.Header, name)
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	if request.Body == nil {
		request.Body = http.NoBody
	}
	if tr.silent != "" && request.Header.Get("x-acs-action") == tr.silent {
		<-request.Context().Done()
		return nil, request.Context().Err()
	}
	recorder := httptest.NewRecorder()
	tr.ServeHTTP(recorder, request)
	return recorder.Result(), request.Context().Err()
}

// tokens makes tokens of the service accounts that exist.
type tokens struct {
	h       *harness
	failure error
	// made are the tokens, asked what was asked for.
	made  []string
	asked []string
}

func (k *tokens) Create(ctx context.Context, obj client.Object, subResource client.Object, _ ...client.SubResourceCreateOption) error {
	if k.failure != nil {
		return k.failure
	}
	if err := k.h.kube.Get(ctx, client.ObjectKeyFromObject(obj), &corev1.ServiceAccount{}); err != nil {
		return err
	}
	k.h.mu.Lock()
	defer k.h.mu.Unlock()
	request, ok := subResource.(*authenticationv1.TokenRequest)
	if !ok {
		return errors.New("no request for a token")
	}
	expires := time.Now().Add(time.Duration(*request.Spec.ExpirationSeconds) * time.Second)
	claims, err := json.Marshal(map[string]any{
		"sub": "system:serviceaccount:" + obj.GetNamespace() + ":" + obj.GetName(), "aud": request.Spec.Audiences, "exp": expires.Unix(),
	})
	if err != nil {
		return err
	}
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	request.Status.Token = encode(`{"alg":"RS256"}`) + "." + encode(string(claims)) + "." + encode(fmt.Sprint("fake-signature-of-token-", len(k.made)))
	k.made = append(k.made, request.Status.Token)
	k.asked = append(k.asked, fmt.Sprint(client.ObjectKeyFromObject(obj), request.Spec.Audiences, *request.Spec.ExpirationSeconds))
	return nil
}

func (h *harness) serviceAccount(namespace, name string) {
	h.t.Helper()
	h.must(h.kube.Create(h.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}))
}

// The ways to credentials that end in a session. Each changes a Connection that uses the Secret keys.
var ways = map[string]struct {
	change func(*v1alpha1.AlibabaCloudConnection)
	// opens are the RAM roles whose sessions it takes, in this order.
	opens []string
}{
	"a Secret and a role": {func(c *v1alpha1.AlibabaCloudConnection) { c.AssumeRole = toProd() }, []string{prod}},
	"a service account":   {func(c *v1alpha1.AlibabaCloudConnection) { c.Credentials = byToken() }, []string{reader}},
	"a service account and a role": {func(c *v1alpha1.AlibabaCloudConnection) {
		c.Credentials, c.AssumeRole = byToken(), toProd()
	}, []string{reader, prod}},
}

func toProd() *v1alpha1.AssumeRole {
	return &v1alpha1.AssumeRole{RoleARN: prod, SessionName: "k8s", ExternalID: "tenant-7"}
}

func byToken() v1alpha1.AlibabaCloudCredentials {
	return v1alpha1.AlibabaCloudCredentials{WorkloadIdentity: &v1alpha1.WorkloadIdentity{RoleARN: reader, OIDCProviderARN: provider, ServiceAccountName: "data-perms"}}
}

// connectBy makes Secret, service account and the Connection prod, which uses them in one of the ways.
func (h *harness) connectBy(way string) *v1alpha1.Connection {
	h.t.Helper()
	h.store("keys", h.keys(sourceKey))
	h.serviceAccount(namespace, "data-perms")
	connection := h.connect("prod", "keys")
	h.change(connection, ways[way].change)
	return connection
}

func (h *harness) change(connection *v1alpha1.Connection, change func(*v1alpha1.AlibabaCloudConnection)) {
	h.t.Helper()
	if connection.Spec.AlibabaCloud.Endpoints.STS == "" {
		connection.Spec.AlibabaCloud.Endpoints.STS = h.url
	}
	change(connection.Spec.AlibabaCloud)
	connection.Generation++
	h.must(h.kube.Update(h.t.Context(), connection))
}

// opened are the RAM roles of the sessions so far.
func (h *harness) opened() []string {
	var out []string
	for _, session := range h.cloud.Sessions() {
		out = append(out, session.Arn)
	}
	return out
}

// asked counts the requests for sessions, however they ended.
func (h *harness) asked() int {
	return h.cloud.Count("AssumeRole") + h.cloud.Count("AssumeRoleWithOIDC")
}

// caller is the RAM role, or the access key, that made the last call to MaxCompute.
func (h *harness) caller() string {
	for _, entry := range slices.Backward(h.cloud.Journal()) {
		switch {
		case entry.Service == "sts":
		case entry.Caller != "":
			return entry.Caller
		default:
			return entry.AccessKeyID
		}
	}
	return ""
}

// check resolves a Connection and makes a call.
func (h *harness) check(name string) error {
	account, err := h.account(name)
	if err != nil {
		return err
	}
	return account.Noticed(account.MaxCompute.CheckIdentity(h.t.Context()))
}

func TestCallsAreMadeInASession(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *harness) {
				h.connectBy(name)
				h.must(h.check("prod"))
				account := h.resolve("prod")
				h.must(account.MaxCompute.CreateRole(t.Context(), "analytics", "reader", "resource", emptyACL))
				h.must(account.MaxCompute.Grant(t.Context(), "analytics", "reader", selectOnOrders))
				if opened := h.opened(); !slices.Equal(opened, way.opens) {
					t.Errorf("opened sessions of %v", opened)
				}
				for _, entry := range h.cloud.Journal() {
					if want := way.opens[len(way.opens)-1]; entry.Service != "sts" && entry.Caller != want {
						t.Errorf("%s was called by %s %s, want %s", entry.Action, entry.AccessKeyID, entry.Caller, want)
					}
				}
				for _, asked := range h.tokens.asked {
					if asked != "team/data-perms [sts.aliyuncs.com] 600" {
						t.Errorf("asked for a token of %s", asked)
					}
				}
				if made := len(h.tokens.made) == 1; made != slices.Contains(way.opens, reader) {
					t.Errorf("%d tokens were made", len(h.tokens.made))
				}
			})
		})
	}
}

// TestManyCallersShareOneSessionAnHour: 10,000 looks at objects, over three hours, some at the same moment.
func TestManyCallersShareOneSessionAnHour(t *testing.T) {
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *harness) {
				h.connectBy(name)
				first := h.resolve("prod")
				const atOnce = 50
				for range 10000 / atOnce {
					var group sync.WaitGroup
					for range atOnce {
						group.Go(func() {
							if account, err := h.account("prod"); err != nil || account != first {
								t.Errorf("got another account, or %v", err)
							}
						})
					}
					group.Wait()
					h.must(h.check("prod"))
					h.wait(3 * time.Hour * atOnce / 10000)
				}
				t.Logf("%d sessions, %d of them of the RAM role that calls are made in", len(h.opened()), len(h.opened())/len(way.opens))
				if sessions := len(h.opened()) / len(way.opens); sessions < 3 || sessions > 4 {
					t.Errorf("%d sessions in three hours", sessions)
				}
			})
		})
	}
}

func TestASessionIsRenewedBeforeItEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		h.connectBy("a Secret and a role")
		account := h.resolve("prod")
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{54*time.Minute + 59*time.Second, 1}, {2 * time.Second, 2}, {0, 2}, {54*time.Minute + 50*time.Second, 2}, {10 * time.Second, 3}} {
			h.wait(step.wait)
			h.must(h.check("prod"))
			if got := h.asked(); got != step.want {
				t.Errorf("after %s more: %d sessions, want %d", step.wait, got, step.want)
			}
		}
		if h.resolve("prod") != account {
			t.Error("the account did not outlive the session")
		}
	})
}

// TestAShortSessionIsRenewedAtHalfTime: the service may give less than it was asked for.
func TestAShortSessionIsRenewedAtHalfTime(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		h.connectBy("a Secret and a role")
		h.transport.Handler = shortening{h.cloud, 4 * time.Minute}
		h.resolve("prod")
		h.wait(2*time.Minute - time.Second)
		h.resolve("prod")
		if h.asked() != 1 {
			t.Errorf("%d sessions before half time", h.asked())
		}
		h.wait(2 * time.Second)
		h.resolve("prod")
		if h.asked() != 2 {
			t.Errorf("%d sessions after half time", h.asked())
		}
	})
}

// shortening tells of sessions that they end sooner.
type shortening struct {
	next http.Handler
	to   time.Duration
}

func (s shortening) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	recorder := httptest.NewRecorder()
	s.next.ServeHTTP(recorder, r)
	body := recorder.Body.String()
	if _, rest, found := strings.Cut(body, `"Expiration":"`); found {
		body = strings.Replace(body, rest[:len(time.RFC3339)-5], time.Now().Add(s.to).UTC().Format(time.RFC3339), 1)
	}
	w.WriteHeader(recorder.Code)
	if _, err := w.Write([]byte(body)); err != nil {
		panic(err)
	}
}

// TestASessionThatCannotBeRenewedServesToItsEnd: nothing is noticed of a service that is down for less than the last minutes of a
// session, but in the log.
func TestASessionThatCannotBeRenewedServesToItsEnd(t *testing.T) {
	failures := map[string]func(h *harness){
		"the service is down":          func(h *harness) { h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultHTML502, Service: "sts"}) },
		"the service refuses":          func(h *harness) { h.cloud.RemoveIdentity(sourceKey) },
		"the service does not answer":  func(h *harness) { h.transport.silent = "AssumeRole" },
		"the service makes no sense":   func(h *harness) { h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultGarbled, Service: "sts"}) },
		"the service says to hold off": func(h *harness) { h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultThrottle, Service: "sts"}) },
	}
	for name, fail := range failures {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *harness) {
				h.connectBy("a Secret and a role")
				h.must(h.check("prod"))
				fail(h)
				// Beside those who look, there is always one who renews: they must not wait for him.
				h.wait(50 * time.Minute)
				for began := time.Now(); time.Since(began) < 9*time.Minute+50*time.Second; h.wait(time.Second) {
					h.must(h.check("prod"))
				}
				if n := h.asked(); n > 13 {
					t.Errorf("the service was asked %d times", n)
				}
				h.wait(time.Minute)
				err := h.check("prod")
				if outcome := conditions.FromError(err); outcome.Reason != v1alpha1.ReasonConnectionNotReady || !strings.HasPrefix(outcome.Message, "Connection prod: open a session of RAM role "+prod+": ") {
					t.Errorf("got %v", err)
				}
				h.cloud.ClearFaults()
				h.keys(sourceKey)
				h.transport.silent = ""
				h.wait(refused)
				h.must(h.check("prod"))
			})
		})
	}
}

// TestNobodyWaitsForARenewal: while one caller renews a session that still serves, the others go on with it.
func TestNobodyWaitsForARenewal(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		h.connectBy("a Secret and a role")
		h.resolve("prod")
		h.wait(56 * time.Minute)
		h.transport.silent = "AssumeRole"
		var group sync.WaitGroup
		group.Go(func() { h.must(h.check("prod")) })
		synctest.Wait()
		began := time.Now()
		for range 10 {
			h.must(h.check("prod"))
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("they waited %s", waited)
		}
		group.Wait()
	})
}

func TestARefusedSessionIsReplaced(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		h.connectBy("a Secret and a role")
		h.must(h.check("prod"))
		h.wait(time.Minute)
		h.cloud.ExpireSessions()
		if err := h.check("prod"); cloud.CodeOf(err) != cloud.AuthenticationFailed {
			t.Fatalf("got %v", err)
		}
		for range 60 {
			h.must(h.check("prod"))
			h.wait(time.Second)
		}
		if n := h.asked(); n != 2 {
			t.Errorf("%d sessions", n)
		}
	})
}

// TestAWrongSecretIsReadAgainSoon: it is the token service that tells of it.
func TestAWrongSecretIsReadAgainSoon(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		h.connectBy("a Secret and a role")
		h.store("keys", map[string]string{keyID: "FAKETYPO", keySecret: "fake"})
		if err := h.check("prod"); err == nil {
			t.Fatal("no error")
		}
		h.store("keys", h.keys(sourceKey))
		h.wait(refused)
		h.must(h.check("prod"))
	})
}

func TestASessionThatIsAlwaysRefusedIsReplacedFarFromAllTheTime(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		h.connectBy("a Secret and a role")
		h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultError, Service: "maxcompute", Status: 403, Code: "InvalidSecurityToken.Expired"})
		for range 60 {
			if err := h.check("prod"); cloud.CodeOf(err) != cloud.AuthenticationFailed {
				t.Fatalf("got %v", err)
			}
			h.wait(time.Second)
		}
		if n := h.asked(); n != 12 {
			t.Errorf("%d sessions in a minute, want 12", n)
		}
	})
}

// TestARefusalIsNotRepeatedAtOnce: a thousand objects do not ask a thousand times for what was just refused.
func TestARefusalIsNotRepeatedAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		h.connectBy("a service account and a role")
		h.cloud.RemoveRAMRole(prod)
		for range 10 {
			var group sync.WaitGroup
			for range 100 {
				group.Go(func() {
					if _, err := h.account("prod"); err == nil {
						t.Error("no error")
					}
				})
			}
			group.Wait()
			h.wait(time.Second)
		}
		if n := h.cloud.Count("AssumeRole"); n != 2 {
			t.Errorf("asked %d times in ten seconds", n)
		}
	})
}

// TestACallerWhoGivesUpDoesNotSpeakForOthers: its cancelled request is no refusal.
func TestACallerWhoGivesUpDoesNotSpeakForOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		h.connectBy("a Secret and a role")
		h.transport.silent = "AssumeRole"
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			_, err := h.resolver.Account(ctx, newUser(namespace), v1alpha1.ConnectionReference{Name: "prod"}, "analytics")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		waiting, stopWaiting := context.WithCancel(t.Context())
		group.Go(func() {
			_, err := h.resolver.Account(waiting, newUser(namespace), v1alpha1.ConnectionReference{Name: "prod"}, "analytics")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		stopWaiting()
		synctest.Wait()
		cancel()
		group.Wait()
		h.transport.silent = ""
		h.must(h.check("prod"))
	})
}

func TestWhatKeepsASessionFromBeingOpenedIsSaid(t *testing.T) {
	const missing = "Connection prod: service account data-perms does not exist in this namespace"
	op := func(role string) string { return "Connection prod: open a session of RAM role " + role + ": " }
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "serviceaccounts/token"}, "data-perms", errors.New("no rule allows it"))
	tests := map[string]struct {
		way     string
		arrange func(h *harness)
		// reason is the Connection's, message that of the objects.
		reason, message string
	}{
		"a service account that is missing": {
			"a service account", func(h *harness) {
				h.must(h.kube.Delete(h.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "data-perms"}}))
			},
			v1alpha1.ReasonSecretNotFound, missing,
		},
		"a service account that is not the operator's to use": {
			"a service account", func(h *harness) { h.tokens.failure = forbidden },
			v1alpha1.ReasonSecretNotFound, "Connection prod: the operator may not make tokens of service account data-perms in this namespace",
		},
		"a RAM role that does not trust it": {
			"a service account", func(h *harness) {
				h.cloud.AddRAMRole(fakecloud.RAMRole{Arn: reader, OIDC: &fakecloud.OIDCTrust{ProviderArn: provider, Audience: audience, Subjects: []string{"other"}}})
			},
			v1alpha1.ReasonPermissionDenied, op(reader) + "AuthenticationFail.NoPermission: There is no permission",
		},
		"a RAM role that does not exist": {
			"a Secret and a role", func(h *harness) { h.cloud.RemoveRAMRole(prod) },
			v1alpha1.ReasonRemoteRejected, op(prod) + "EntityNotExist.Role: The role not exists: acs:ram::…:role/prod.",
		},
		"an identity that may not assume it": {
			"a Secret and a role", func(h *harness) { h.must(h.cloud.DenyAction(sourceKey, "AssumeRole", "")) },
			v1alpha1.ReasonPermissionDenied, op(prod) + "NoPermission: You are not authorized to do this action. You should be authorized by RAM.",
		},
		"a key that nobody knows": {
			"a Secret and a role", func(h *harness) { h.cloud.RemoveIdentity(sourceKey) },
			v1alpha1.ReasonAuthenticationFailed, op(prod) + "InvalidAccessKeyId.NotFound: the service refused the credentials or the signature",
		},
		"a clock that is behind": {
			"a Secret and a role", func(h *harness) { h.cloud.ShiftClock(time.Hour) },
			v1alpha1.ReasonAuthenticationFailed, op(prod) + "InvalidTimeStamp.Expired: the service refused the request's time: the clock of this machine is off",
		},
		"a clock that is ahead, with a service account": {
			"a service account", func(h *harness) { h.cloud.ShiftClock(-2 * time.Hour) },
			v1alpha1.ReasonUnexpectedResponse, op(reader) + "the session has ended before it began: the clock of this machine is off",
		},
		"a service that is down": {
			"a service account", func(h *harness) {
				h.cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultHTML502, Service: "sts"})
			},
			v1alpha1.ReasonRemoteUnavailable, op(reader) + "HTTP status 502 with a body that is not the Security Token Service's",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *harness) {
				connection := h.connectBy(tc.way)
				tc.arrange(h)
				for range 3 {
					_, err := h.resolver.Resolve(t.Context(), connection)
					if outcome := conditions.FromError(err); outcome.Reason != tc.reason || outcome.State != conditions.Reconciling {
						t.Errorf("the Connection says %+v, want %s", outcome, tc.reason)
					}
					account, err := h.account("prod")
					if outcome := conditions.FromError(err); outcome.Reason != v1alpha1.ReasonConnectionNotReady || outcome.Message != tc.message || account != nil {
						t.Errorf("the objects say %+v, want %s", outcome, tc.message)
					}
					h.wait(refused)
				}
			})
		})
	}
}

func TestAFailureToMakeATokenIsNotTheConnections(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		h.connectBy("a service account")
		h.tokens.failure = apierrors.NewInternalError(errors.New("etcdserver: no leader"))
		account, err := h.account("prod")
		if account != nil || !errors.Is(err, h.tokens.failure) || conditions.Explains(err) {
			t.Errorf("got %v, want the failure itself", err)
		}
		h.tokens.failure = nil
		h.wait(refused)
		h.must(h.check("prod"))
	})
}

func TestNothingButTheSpecOpensASession(t *testing.T) {
	// What the vendor's library looks at when it is not told what to use.
	for name, value := range map[string]string{
		"ALIBABA_CLOUD_ACCESS_KEY_ID": fakecloud.DefaultAccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": fakecloud.DefaultAccessKeySecret,
		"ALIBABA_CLOUD_ROLE_ARN": reader, "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": provider, "ALIBABA_CLOUD_OIDC_TOKEN": "fake-token", "ALIBABA_CLOUD_OIDC_TOKEN_FILE": "/dev/null",
		"ALIBABA_CLOUD_ROLE_SESSION_NAME": "of-the-process", "ALIBABA_CLOUD_CREDENTIALS_URI": "http://192.0.2.1/keys", "ALIBABA_CLOUD_ECS_METADATA": "of-the-machine",
		"ALIBABA_CLOUD_STS_REGION": "cn-beijing", "ALIBABA_CLOUD_PROFILE": "of-the-process",
	} {
		t.Setenv(name, value)
	}
	inBubble(t, func(t *testing.T, h *harness) {
		connection := h.connectBy("a service account and a role")
		h.tokens.failure = apierrors.NewNotFound(schema.GroupResource{Resource: "serviceaccounts"}, "data-perms")
		if account, err := h.resolver.Resolve(t.Context(), connection); err == nil || account != nil {
			t.Error("an account without a service account")
		}
		h.tokens.failure = nil
		h.wait(refused)
		// The transport fails for any host but the one that the spec names.
		h.must(h.check("prod"))
		for _, session := range h.cloud.Sessions() {
			if session.SessionName == "of-the-process" {
				t.Errorf("opened %+v", session)
			}
		}
		if h.caller() != prod {
			t.Errorf("called by %s", h.caller())
		}
	})
}

// rotated is the RAM role prod when it trusts another access key.
var rotated = fakecloud.RAMRole{Arn: prod, TrustedAccessKeys: []string{"FAKEB"}, ExternalID: "tenant-7"}

func TestARotatedSecretOpensAnotherSession(t *testing.T) {
	tests := map[string]struct {
		arrange func(h *harness)
		after   time.Duration
	}{
		"within a minute":          {func(*harness) {}, usual},
		"once the old one is gone": {func(h *harness) { h.cloud.RemoveIdentity(sourceKey); h.cloud.ExpireSessions() }, refused},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *harness) {
				h.connectBy("a Secret and a role")
				h.must(h.check("prod"))
				h.cloud.AddRAMRole(rotated)
				h.store("keys", h.keys("FAKEB"))
				tc.arrange(h)
				_ = h.check("prod") //nolint:errcheck // it may be the first to hear of it
				h.wait(tc.after)
				h.must(h.check("prod"))
				journal := h.cloud.Journal()
				if last := slices.IndexFunc(journal, func(e fakecloud.Entry) bool { return e.AccessKeyID == "FAKEB" }); last < 0 {
					t.Error("the new key was not used")
				}
			})
		})
	}
}

// gone makes an object that is being deleted.
func gone() client.Object {
	user := newUser(namespace)
	user.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	return user
}

// TestADeletionGoesOnInASession: what is being deleted cleans up with the last good credentials, though Secret and service account are
// gone; and keys that are remembered open another session.
func TestADeletionGoesOnInASession(t *testing.T) {
	// lasts tells how long, after the Secret and the service account are gone, what is being deleted can go on.
	lasts := map[string]time.Duration{"a Secret and a role": 5 * time.Hour, "a service account": 50 * time.Minute, "a service account and a role": 50 * time.Minute}
	for name := range ways {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, h *harness) {
				connection := h.connectBy(name)
				h.must(h.check("prod"))
				h.must(h.kube.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "keys"}}))
				h.must(h.kube.Delete(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "data-perms"}}))
				ref := v1alpha1.ConnectionReference{Name: connection.Name}
				for began := time.Now(); time.Since(began) < lasts[name]; h.wait(5 * time.Minute) {
					account, err := h.resolver.Account(t.Context(), gone(), ref, "analytics")
					h.must(err)
					h.must(account.Noticed(account.MaxCompute.CheckIdentity(t.Context())))
				}
				h.wait(time.Hour)
				_, err := h.account("prod")
				if conditions.FromError(err).Reason != v1alpha1.ReasonConnectionNotReady {
					t.Errorf("what lives goes on: %v", err)
				}
				_, err = h.resolver.Account(t.Context(), gone(), ref, "analytics")
				if forgot := lasts[name] < time.Hour; forgot == (err == nil) {
					t.Errorf("later: %v", err)
				}
				if err != nil && !strings.Contains(err.Error(), "service account data-perms does not exist in this namespace; this object goes when it works again, or with deletionPolicy: Retain") {
					t.Errorf("the ways out are not named: %v", err)
				}
			})
		})
	}
}

// TestADeletionKeepsWhatWorkedLast: a new spec whose credentials do not work does not take the old ones away.
func TestADeletionKeepsWhatWorkedLast(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		connection := h.connectBy("a Secret and a role")
		h.must(h.check("prod"))
		h.change(connection, func(c *v1alpha1.AlibabaCloudConnection) { c.AssumeRole.RoleARN = "acs:ram::1:role/none" })
		if err := h.check("prod"); err == nil {
			t.Error("what lives goes on")
		}
		account, err := h.resolver.Account(t.Context(), gone(), v1alpha1.ConnectionReference{Name: "prod"}, "analytics")
		h.must(err)
		h.must(account.MaxCompute.CheckIdentity(t.Context()))
	})
}

func TestConnectionsThatSayTheSameShareASession(t *testing.T) {
	inBubble(t, func(t *testing.T, h *harness) {
		h.connectBy("a Secret and a role")
		h.change(h.connect("copy", "keys"), ways["a Secret and a role"].change)
		h.change(h.connect("other", "keys"), func(c *v1alpha1.AlibabaCloudConnection) { c.AssumeRole = toProd(); c.AssumeRole.SessionName = "other" })
		if h.resolve("prod") != h.resolve("copy") || h.resolve("prod") == h.resolve("other") || h.asked() != 2 {
			t.Errorf("%d sessions", h.asked())
		}
	})
}

// TestNoSecretLeaksFromSessions greps what is said of every failure, in errors, conditions and the log.
func TestNoSecretLeaksFromSessions(t *testing.T) {
	var said strings.Builder
	var secrets []string
	logged := 0
	for way := range ways {
		for kind, fault := range map[string]fakecloud.Fault{
			"refused": {Kind: fakecloud.FaultError, Status: 403, Code: "Novel.Code"}, "garbled": {Kind: fakecloud.FaultGarbled}, "down": {Kind: fakecloud.FaultHTML502},
			"expired": {Kind: fakecloud.FaultError, Status: 400, Code: "InvalidSecurityToken.Expired"},
		} {
			for _, service := range []string{"sts", "maxcompute"} {
				t.Run(way+" "+kind+" "+service, func(t *testing.T) {
					inBubble(t, func(_ *testing.T, h *harness) {
						h.connectBy(way)
						h.must(h.check("prod"))
						fault.Service = service
						h.cloud.Inject(fault)
						ctx := log.IntoContext(h.t.Context(), funcr.New(func(_, line string) { logged++; said.WriteString(line) }, funcr.Options{Verbosity: 100}))
						for range 130 {
							account, err := h.resolver.Account(ctx, newUser(namespace), v1alpha1.ConnectionReference{Name: "prod"}, "analytics")
							if err == nil {
								err = account.Noticed(account.MaxCompute.CheckIdentity(ctx))
							}
							if err != nil {
								fmt.Fprintf(&said, "%v\n%+v\n", err, conditions.FromError(err))
							}
							h.wait(time.Minute)
						}
						secrets = append(secrets, h.tokens.made...)
					})
				})
			}
		}
	}
	secrets = append(secrets, "fake-secret-of-", "fake-token-of-", "fake-signature-of-")
	for _, secret := range secrets {
		if secret != "" && strings.Contains(said.String(), secret) {
			t.Errorf("%q was said", secret)
		}
	}
	if said.Len() < 1000 || logged == 0 {
		t.Error("nothing was said, so this proves nothing")
	}
}

var _ connect.Tokens = (*tokens)(nil)
