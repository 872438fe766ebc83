package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// What is secret of what passes between the manager and the cloud.
const (
	signatures     = "signatures"
	securityTokens = "security tokens"
	sessionSecrets = "session secrets"
	accountTokens  = "tokens of service accounts"
	storedSecrets  = "secrets of Secrets"
)

// The paths of the three services.
const (
	openAPIPath    = "/api/v1"
	statementsPath = "/api/projects"
	tokensPath     = "/"
)

// echo is a way in which a service, or a proxy before it, repeats a request in a refusal.
type echo func(w http.ResponseWriter, request string)

func echoInvalid(w http.ResponseWriter, request string) {
	refuse(w, http.StatusBadRequest, "application/json", fmt.Sprintf(`{"Code":"InvalidParameter","Message":%q,"RequestId":"x"}`, "the request was "+request))
}

// echoSigned is what the vendor's gateways answer to a signature that they do not accept.
func echoSigned(w http.ResponseWriter, request string) {
	refuse(w, http.StatusForbidden, "application/json", fmt.Sprintf(`{"Code":"SignatureDoesNotMatch","Message":%q,"RequestId":"x"}`, "server string to sign is:"+request))
}

func echoXML(w http.ResponseWriter, request string) {
	refuse(w, http.StatusConflict, "application/xml", "<Error><Code>X</Code><Message><![CDATA["+request+"]]></Message></Error>")
}

func echoPage(w http.ResponseWriter, request string) {
	refuse(w, http.StatusBadGateway, "text/html", "<html><body>"+request+"</body></html>")
}

func refuse(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) //nolint:errcheck // the client went away, which is no concern of the server's
}

// wiretap stands before the fake cloud and remembers every secret that passes.
type wiretap struct {
	next http.Handler

	mu sync.Mutex
	// known holds secrets by what they are.
	known map[string]map[string]bool
	// echo, if it is set, answers requests below a path in place of the cloud, and counts them.
	echo   echo
	below  string
	echoed int
}

func newWiretap(t *testing.T) (*wiretap, string) {
	t.Helper()
	w := &wiretap{next: bed.Cloud, known: map[string]map[string]bool{}}
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	return w, server.URL
}

// ServeHTTP implements http.Handler.
func (w *wiretap) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	w.listen(r, string(body))
	if echo := w.answering(r); echo != nil {
		var head bytes.Buffer
		_ = r.Header.Write(&head) //nolint:errcheck // a buffer takes all
		echo(rw, head.String()+string(body))
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	t := &tee{ResponseWriter: rw}
	w.next.ServeHTTP(t, r)
	var answer struct {
		Credentials struct{ AccessKeySecret, SecurityToken string }
	}
	if json.Unmarshal(t.body.Bytes(), &answer) == nil {
		w.remember(sessionSecrets, answer.Credentials.AccessKeySecret)
		w.remember(securityTokens, answer.Credentials.SecurityToken)
	}
}

// listen takes the secrets out of a request.
func (w *wiretap) listen(r *http.Request, body string) {
	for name, values := range r.Header {
		switch strings.ToLower(name) {
		case "authorization":
			signature := values[0]
			if _, after, found := strings.Cut(signature, "Signature="); found {
				signature = after
			}
			w.remember(signatures, signature[strings.LastIndex(signature, ":")+1:])
		case "x-acs-security-token", "authorization-sts-token":
			w.remember(securityTokens, values[0])
		}
	}
	// What is no form has no such fields.
	form, _ := url.ParseQuery(body) //nolint:errcheck // see above
	for _, fields := range []url.Values{form, r.URL.Query()} {
		w.remember(signatures, fields.Get("Signature"))
		w.remember(securityTokens, fields.Get("SecurityToken"))
		token := fields.Get("OIDCToken")
		w.remember(accountTokens, token)
		w.remember(accountTokens, token[strings.LastIndex(token, ".")+1:])
	}
}

func (w *wiretap) remember(what, secret string) {
	if secret == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known[what] == nil {
		w.known[what] = map[string]bool{}
	}
	w.known[what][secret] = true
}

// leaks names the kinds of secrets that are in a text, as they are or encoded, each with the text before the first that was found.
func (w *wiretap) leaks(text string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []string
	for what, secrets := range w.known {
		for secret := range secrets {
			if at := position(text, secret); at >= 0 {
				found = append(found, fmt.Sprintf("%s, after %q", what, text[max(0, at-60):at]))
				break
			}
		}
	}
	return found
}

// position is where a text holds a secret; negative if it does not.
func position(text, secret string) int {
	for _, spelling := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
		if at := strings.Index(text, spelling); at >= 0 {
			return at
		}
	}
	return -1
}

// repeat has requests below a path answered with an echo.
func (w *wiretap) repeat(below string, echo echo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.echo, w.below, w.echoed = echo, below, 0
}

// answering is the echo that a request gets, if it gets one.
func (w *wiretap) answering(r *http.Request) echo {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.echo == nil || r.URL.Path != w.below && !strings.HasPrefix(r.URL.Path, w.below+"/") {
		return nil
	}
	w.echoed++
	return w.echo
}

func (w *wiretap) repeated() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.echoed
}

// tee keeps what is answered.
type tee struct {
	http.ResponseWriter
	body bytes.Buffer
}

// Write implements http.ResponseWriter.
func (t *tee) Write(p []byte) (int, error) {
	t.body.Write(p)
	return t.ResponseWriter.Write(p)
}

// verbosely runs the manager with all that it can be made to say, the libraries in it included, until the test ends. It returns where its
// metrics are.
func verbosely(t *testing.T, g Gomega) string {
	t.Helper()
	t.Cleanup(func() {
		bed.Manager.Stop()
		if err := startManager(); err != nil {
			t.Error(err)
		}
	})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	address := listener.Addr().String()
	g.Expect(listener.Close()).To(Succeed())
	t.Setenv("DEBUG", "dara,tea,sdk,signer,credential,*")
	bed.Manager.Stop()
	g.Expect(bed.Manager.Start("--default-interval=2s", "--zap-devel", "--zap-log-level=10", "--metrics-bind-address="+address, "--metrics-secure=false")).To(Succeed())
	return "http://" + address + "/metrics"
}

func page(t *testing.T, g Gomega, address string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	g.Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	g.Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	g.Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// nudge asks for a pass now.
func nudge(t *testing.T, g Gomega, obj client.Object) {
	t.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.RequestedAtAnnotation, time.Now().Format(time.RFC3339Nano))
	g.Expect(bed.Kube.Patch(t.Context(), obj, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
}

// account is one way to come by keys, and a role that is managed with them.
type account struct {
	connection *v1alpha1.Connection
	role       *v1alpha1.ProjectRole
}

// life is what Connections and roles go through, and what can be seen of it.
type life struct {
	Gomega
	space
	t       *testing.T
	tap     *wiretap
	metrics string

	// temporary is the identity whose key, secret and token are in the Secret of keys and assumed.
	temporary fakecloud.Identity
	// target is what assumed assumes.
	target fakecloud.RAMRole
	// failing has the wrong secret.
	keys, workload, assumed, failing account
	// visible is all that was to be seen in objects, events and metrics.
	visible strings.Builder
}

func newLife(t *testing.T) *life {
	t.Helper()
	g := NewWithT(t)
	l := &life{Gomega: g, t: t, space: newSpace(t)}
	tap, endpoint := newWiretap(t)
	l.tap, l.metrics = tap, verbosely(t, g)
	id := strings.ToUpper(l.namespace[len("e2e-"):])
	l.temporary = fakecloud.Identity{AccessKeyID: "TMP" + id, AccessKeySecret: "fake-temporary-secret-" + id, SecurityToken: "fake-temporary-token-" + id}
	bed.Cloud.AddIdentity(l.temporary)
	wrong := l.temporary
	wrong.AccessKeySecret = "fake-wrong-secret-" + id
	right, mistaken := l.keep("right", l.temporary), l.keep("wrong", wrong)
	assume := &v1alpha1.AssumeRole{RoleARN: ramAccount + "role/assumed-" + l.project}
	l.target = fakecloud.RAMRole{Arn: assume.RoleARN, TrustedAccessKeys: []string{l.temporary.AccessKeyID}}
	bed.Cloud.AddRAMRole(l.target)
	create(t, l.serviceAccount())
	l.keys = l.begin("keys", endpoint, right, nil)
	l.workload = l.begin("workload", endpoint, v1alpha1.AlibabaCloudCredentials{WorkloadIdentity: l.trusted(t, g)}, nil)
	l.assumed = l.begin("assumed", endpoint, right, assume)
	l.failing = l.begin("failing", endpoint, mistaken, nil)
	return l
}

// keep puts an identity into a Secret whose values the wiretap knows, too.
func (l *life) keep(name string, identity fakecloud.Identity) v1alpha1.AlibabaCloudCredentials {
	l.tap.remember(storedSecrets, identity.AccessKeySecret)
	l.tap.remember(securityTokens, identity.SecurityToken)
	create(l.t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: l.namespace, Name: name}, StringData: map[string]string{
		"accessKeyId": identity.AccessKeyID, "accessKeySecret": identity.AccessKeySecret, "securityToken": identity.SecurityToken,
	}})
	return v1alpha1.AlibabaCloudCredentials{SecretRef: &v1alpha1.SecretReference{Name: name}}
}

// begin creates a Connection and a role with a grant, a policy and a member.
func (l *life) begin(name, endpoint string, credentials v1alpha1.AlibabaCloudCredentials, assume *v1alpha1.AssumeRole) account {
	a := account{l.sessionConnection(credentials), l.role(name, "Select")}
	a.connection.Name, a.role.Spec.ConnectionRef.Name = name, name
	a.connection.Spec.AlibabaCloud.AssumeRole = assume
	a.connection.Spec.AlibabaCloud.Endpoints = &v1alpha1.AlibabaCloudEndpoints{MaxCompute: endpoint, ODPS: endpoint + "/api", STS: endpoint}
	a.role.Spec.Members = []string{"RAM$corp:alice"}
	a.role.Spec.Policy = &runtime.RawExtension{Raw: []byte(`{"Version":"1","Statement":[{"Effect":"Allow","Action":["odps:Select"],"Resource":["acs:odps:*:projects/x/tables/*"]}]}`)}
	create(l.t, a.connection, a.role)
	return a
}

// working are those whose credentials are good, sessions those of them that open sessions.
func (l *life) working() []account  { return []account{l.keys, l.workload, l.assumed} }
func (l *life) sessions() []account { return []account{l.workload, l.assumed} }

// until waits for what is seen of roles, and records what else is to be seen then.
func (l *life) until(accounts []account, match OmegaMatcher) {
	l.t.Helper()
	for _, a := range accounts {
		look, nudged := seen(a.role), time.Time{}
		l.Eventually(func() string {
			// Rarely enough that a pass comes to its end in between.
			if time.Since(nudged) > 3*time.Second {
				nudge(l.t, l, a.connection)
				nudge(l.t, l, a.role)
				nudged = time.Now()
			}
			return look()
		}, timeout, poll).Should(match, a.role.Name)
	}
	l.record()
}

func (l *life) record() {
	for _, kind := range []schema.GroupVersionKind{
		v1alpha1.GroupVersion.WithKind("ProjectRoleList"), v1alpha1.GroupVersion.WithKind("ConnectionList"),
		v1alpha1.GroupVersion.WithKind("ClusterConnectionList"), eventsv1.SchemeGroupVersion.WithKind("EventList"),
	} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		l.Expect(bed.Kube.List(l.t.Context(), list)).To(Succeed())
		text, err := yaml.Marshal(list)
		l.Expect(err).NotTo(HaveOccurred())
		l.visible.Write(text)
	}
	l.visible.WriteString(page(l.t, l, l.metrics))
}

// repeat has the services answer with what they were asked.
func (l *life) repeat() {
	l.t.Helper()
	drift := func() {
		for _, a := range l.working() {
			orders := fakecloud.Grant{Kind: "table", Name: "orders", Actions: []string{"Select"}}
			l.Expect(bed.Cloud.Revoke(l.project, a.role.Spec.RoleName, orders)).To(Succeed())
		}
	}
	for _, phase := range []struct {
		below   string
		echo    echo
		disturb func()
	}{
		{openAPIPath, echoInvalid, func() {}},
		{openAPIPath, echoSigned, func() {}},
		{openAPIPath, echoPage, func() {}},
		{statementsPath, echoXML, drift},
	} {
		l.tap.repeat(phase.below, phase.echo)
		phase.disturb()
		l.until(l.working(), HavePrefix("False/"))
		l.Eventually(l.tap.repeated, timeout, poll).Should(BeNumerically(">=", len(l.working())))
		l.tap.repeat("", nil)
		l.until(l.working(), Equal(owns))
	}
}

// loseSessions ends the sessions while the token service repeats what it is asked, and then refuses to open others.
func (l *life) loseSessions() {
	l.t.Helper()
	l.tap.repeat(tokensPath, echoInvalid)
	bed.Cloud.ExpireSessions()
	l.until(l.sessions(), Equal("False/ConnectionNotReady InProgress"))
	l.Expect(l.tap.repeated()).To(BeNumerically(">=", len(l.sessions())))
	bed.Cloud.RemoveRAMRole(l.target.Arn)
	bed.Cloud.RemoveRAMRole(l.workload.connection.Spec.AlibabaCloud.Credentials.WorkloadIdentity.RoleARN)
	l.tap.repeat("", nil)
	for _, a := range l.sessions() {
		l.Eventually(told(a.role), timeout, poll).Should(ContainSubstring("EntityNotExist.Role"))
	}
	l.record()
	bed.Cloud.AddRAMRole(l.target)
	l.trusted(l.t, l)
	l.until(l.working(), Equal(owns))
}

func (l *life) end() {
	l.t.Helper()
	for _, a := range append(l.working(), l.failing) {
		l.Expect(bed.Kube.Delete(l.t.Context(), a.role)).To(Succeed())
		l.Expect(bed.Kube.Delete(l.t.Context(), a.connection)).To(Succeed())
		l.Eventually(seen(a.role), timeout, poll).Should(Equal(gone))
		l.Eventually(seen(a.connection), timeout, poll).Should(Equal(gone))
	}
	l.record()
}

// TestNoSecretAnywhere leads Connections and roles through a life with all sorts of failures, and then looks for every secret that was part
// of it in what the manager has logged, in events, in objects and in metrics.
func TestNoSecretAnywhere(t *testing.T) {
	l := newLife(t)
	l.until(l.working(), Equal(owns))
	l.Eventually(seen(l.failing.role), timeout, poll).Should(Equal("False/AuthenticationFailed InProgress"))
	l.Eventually(seen(l.failing.connection), timeout, poll).Should(Equal("False/AuthenticationFailed InProgress"))
	bed.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultThrottle, Project: l.project})
	l.until(l.working(), Equal("False/RemoteUnavailable InProgress"))
	bed.Cloud.ClearFaults()
	l.until(l.working(), Equal(owns))
	l.repeat()
	l.loseSessions()
	l.end()

	for _, what := range []string{signatures, securityTokens, sessionSecrets, accountTokens, storedSecrets} {
		l.Expect(l.tap.known[what]).NotTo(BeEmpty(), "there were %s to look for", what)
	}
	log := bed.Manager.Output()
	l.Expect(log).To(ContainSubstring("LEVEL(-5)"), "the manager says much")
	l.Expect(l.visible.String()).To(And(ContainSubstring("reason: AuthenticationFailed"), ContainSubstring("controller_runtime_reconcile_total")))
	for place, text := range map[string]string{
		"the log": log, "bodies of requests to the API server that the log holds": undump(log), "objects, events and metrics": l.visible.String(),
	} {
		t.Run(place, func(t *testing.T) { NewWithT(t).Expect(l.tap.leaks(text)).To(BeEmpty()) })
	}
}

// dumped is a line of a binary body as the Kubernetes client logs it, 16 bytes in hexadecimal.
var dumped = regexp.MustCompile(`([0-9a-f]{8})  ((?:[0-9a-f]{2}  ?){1,16})`)

// undump reads the binary bodies in a log.
func undump(log string) string {
	var text strings.Builder
	for _, line := range dumped.FindAllStringSubmatch(log, -1) {
		if line[1] == "00000000" {
			text.WriteByte('\n')
		}
		raw, err := hex.DecodeString(strings.ReplaceAll(line[2], " ", ""))
		if err != nil {
			continue // it only looks like one
		}
		text.Write(raw)
	}
	return text.String()
}
