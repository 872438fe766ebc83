package fakecloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DefaultAccessKeyID and DefaultAccessKeySecret are the identity of a server that was created
	// without identities. They open nothing but this fake.
	DefaultAccessKeyID = "FAKEACCESSKEYID"
	// DefaultAccessKeySecret is the secret of DefaultAccessKeyID.
	DefaultAccessKeySecret = "fake-secret-that-opens-nothing"

	// maxBody bounds what one request may send.
	maxBody = 4 << 20
)

// Options say how a Server starts. The zero value is usable.
type Options struct {
	// Projects that exist from the start. More can be added with AddProject.
	Projects []Project
	// Identities maps access key ids to their secrets. Empty: the default identity. They are super
	// administrators; AddIdentity makes keys that are not.
	Identities map[string]string
	// Clock tells the time for signatures, sessions, the journal and rate limits. Default: time.Now.
	Clock func() time.Time
	// SignaturesByClock holds the times in signatures against Clock as it is, not as ShiftClock has moved it: for
	// clients that sign by the machine's clock and let time pass by another.
	SignaturesByClock bool
	// Latency is added to every API call. It is real time, whatever Clock says.
	Latency time.Duration
	// Exists is how the service says that a role or package is already there.
	Exists ExistsSpelling
	// PolicyEcho is what becomes of a policy between its write and the next read. Default: nothing.
	PolicyEcho PolicyEcho
	// Packages is how the service speaks of packages. Default: see PackageStyle.
	Packages PackageStyle
	// Orders is how DataWorks speaks of permission requests. Default: see OrderStyle.
	Orders OrderStyle
	// Insight is how DataArts Insight speaks. Default: see InsightStyle.
	Insight InsightStyle
	// AccountNames is how ListUsers spells the names of RAM users. Default: with their owner.
	AccountNames AccountNames
}

// ExistsSpelling selects how the service refuses to create what exists. The real code is not
// documented, so a client has to cope with each of them.
type ExistsSpelling int

const (
	// ExistsConflict is HTTP 409 with a code that names the matter.
	ExistsConflict ExistsSpelling = iota
	// ExistsUnknownCode is HTTP 400 with a code that tells nothing; only the message says it.
	ExistsUnknownCode
)

// Server is the fake. It implements http.Handler and is safe for concurrent use.
type Server struct {
	admin http.Handler
	clock func() time.Time
	// signaturesByClock: see Options.
	signaturesByClock bool
	// shift is how far ShiftClock has moved the clock, in nanoseconds.
	shift atomic.Int64

	// mu guards everything below. A call is executed and journaled under one hold of it, so the
	// order of the journal is the order in which the world changed.
	mu         sync.Mutex
	exists     ExistsSpelling
	policyEcho PolicyEcho
	names      AccountNames
	packages   PackageStyle
	latency    time.Duration
	arrears    bool
	identities map[string]*keyholder
	ramRoles   map[string]*ramRole
	sessions   map[string]*session
	opened     int
	projects   map[string]*project
	tenant     tenant
	instances  map[string]*instance
	nonces     nonces
	limits     map[string]*quota
	orders     orderBook
	insight    insightCloud
	faults     []*activeFault
	journal    journal
	violations []string
	revision   uint64
	requests   int
	inFlight   int
	maxFlight  int
}

// New returns a server with the given projects and identities.
func New(opts Options) *Server {
	s := &Server{
		clock: opts.Clock, signaturesByClock: opts.SignaturesByClock,
		exists:     opts.Exists,
		latency:    opts.Latency,
		identities: map[string]*keyholder{},
		ramRoles:   map[string]*ramRole{},
		sessions:   map[string]*session{},
		projects:   map[string]*project{},
		instances:  map[string]*instance{},
		limits:     map[string]*quota{},
		orders:     newOrderBook(),
		insight:    newInsightCloud(),
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	s.SetPolicyEcho(opts.PolicyEcho)
	s.SetAccountNames(opts.AccountNames)
	s.SetPackageStyle(opts.Packages)
	s.SetOrderStyle(opts.Orders)
	s.SetInsightStyle(opts.Insight)
	for _, p := range opts.Projects {
		s.AddProject(p)
	}
	for id, secret := range opts.Identities {
		s.AddIdentity(Identity{AccessKeyID: id, AccessKeySecret: secret, SuperAdministrator: true})
	}
	if len(opts.Identities) == 0 {
		s.AddIdentity(Identity{
			AccessKeyID: DefaultAccessKeyID, AccessKeySecret: DefaultAccessKeySecret, SuperAdministrator: true,
		})
	}
	s.admin = newAdmin(s)
	return s
}

// call is one API request on its way through the server.
type call struct {
	service string
	action  string
	project string
	role    string
	// pkg is the package that the call is about: its name, or source.name of an installed one.
	pkg string
	// order is the permission request that the call is about.
	order string
	// workspace and exported are what an export is about: the latter are resources, like dashboard/1a2b.
	workspace string
	exported  []string
	statement string
	// path, query and body are the request as it came.
	path, query string
	body        []byte
	write       bool
	requestID   string
	accessKeyID string
	// caller is the ARN of the RAM role whose session sends the call, or the subject of the token that
	// asks for a session; empty for access keys of users.
	caller string
	// tokenProject is the project that the caller's token is for.
	tokenProject string
	// seq is the number of the call's entry in the journal.
	seq int
	// anonymous tells that the call needs no signature.
	anonymous bool
	proto     protocol
	// run carries the call out; nil if the request was refused while it was decoded.
	run operation
	// refusal is why run must not be called.
	refusal *problem
}

// operation reads or changes the state within a transaction.
type operation func(*txn) (answer, *problem)

// answer is a successful outcome. render is called after the lock is released and must only use
// immutable state.
type answer struct {
	// status is 200 unless it is set.
	status int
	// whole tells that render gives the whole body of an ODPS answer, not just the result.
	whole bool
	// details adds the httpCode, errorCode and errorMsg members of the OpenAPI's Get calls.
	details bool
	render  func() []byte
	// stream is the body of an export, in place of render; chunked sends it without its length.
	stream  *content
	chunked bool
	header  map[string]string
}

func (a answer) httpStatus() int { return cmp.Or(a.status, http.StatusOK) }

// protocol knows how one of the services spells successes and failures.
type protocol interface {
	success(requestID string, a answer) reply
	failure(requestID string, p *problem) reply
}

// reply is an HTTP response.
type reply struct {
	status      int
	contentType string
	header      map[string]string
	body        []byte
	// stream takes the place of body; chunked leaves out the length.
	stream  *content
	chunked bool
}

// delivery is how the outcome of a call reaches the client.
type delivery int

const (
	deliver delivery = iota
	deliverNothing
	deliverNever
)

// outcome is what execute decided.
type outcome struct {
	answer   answer
	problem  *problem
	raw      *reply
	mangle   func(reply) reply
	delivery delivery
	flow     flow
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, adminPrefix) {
		s.admin.ServeHTTP(w, r)
		return
	}
	s.enter()
	defer s.leave()
	s.serveAPI(w, r)
}

func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	// The body is read to its end first: only then does net/http notice a client that goes away.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "cannot read the request", http.StatusBadRequest)
		return
	}
	c := s.decode(r, body)
	// Who is not known learns nothing about the rest of the request.
	if c.refusal == nil || !c.refusal.violation {
		c.refusal = cmp.Or(s.authenticate(c, r, body), c.refusal)
	}
	if err := wait(r.Context(), s.latencyFor(c)); err != nil {
		s.abandon(c)
		return
	}
	out := s.execute(c)
	switch out.delivery {
	case deliverNothing:
		panic(http.ErrAbortHandler) // closes the connection without a word, as net/http documents
	case deliverNever:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case deliver:
		s.send(r.Context(), w, c, out)
	}
}

// text is what a request says: its path, query and body, none of them escaped.
func (c *call) text() string {
	text := c.path + "?" + c.query + "\n" + string(c.body)
	if unescaped, err := url.QueryUnescape(strings.ReplaceAll(text, "+", "%2B")); err == nil {
		return unescaped
	}
	return text
}

// decode recognises the service by the path, which is case-sensitive.
func (s *Server) decode(r *http.Request, body []byte) *call {
	c := &call{requestID: s.nextRequestID(), action: "Unknown", path: r.URL.Path, query: r.URL.RawQuery, body: body}
	switch {
	case strings.HasPrefix(r.URL.Path, openAPIPrefix):
		c.service, c.proto = "maxcompute", openAPIProtocol{}
		c.refusal = decodeOpenAPI(c, r, body)
	case strings.HasPrefix(r.URL.Path, odpsPrefix):
		c.service, c.proto = "odps", odpsProtocol{}
		c.refusal = decodeODPS(c, r, body)
	case strings.HasPrefix(r.URL.Path, insightPrefix):
		c.service, c.proto = "insight", insightProtocol{}
		c.refusal = decodeInsight(c, r, body)
	case strings.HasPrefix(r.URL.Path, iamPrefix):
		c.service, c.proto = "iam", iamProtocol{}
		c.refusal = decodeIAM(c, r, body)
	case isDataWorks(r):
		c.service, c.proto = "dataworks", dataWorksProtocol{}
		c.refusal = decodeDataWorks(s, c, r, body)
	case isSTS(r, body):
		c.service, c.proto = "sts", stsProtocol{}
		c.refusal = decodeSTS(c, r, body)
	default:
		c.proto = openAPIProtocol{}
		c.refusal = unknown("%s %s: no service has this path", r.Method, r.URL.Path)
	}
	if c.refusal != nil && c.refusal.violation {
		s.violate(c.refusal.message)
	}
	return c
}

// execute carries out a call and journals it, under one hold of the lock.
func (s *Server) execute(c *call) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.begin(c)
	out, fault := s.decide(t, c)
	s.record(c, t, out, fault)
	return out
}

// decide runs the call unless something forbids it. The order is that of a gateway: the request
// itself, who sends it, how often, and only then what it asks for.
func (s *Server) decide(t *txn, c *call) (outcome, *activeFault) {
	if c.refusal != nil {
		return outcome{problem: c.refusal}, nil
	}
	if p := s.denied(c); p != nil {
		return outcome{problem: p}, nil
	}
	if p := s.throttled(c); p != nil {
		return outcome{problem: p}, nil
	}
	if f := s.pickFault(t, c); f != nil {
		return f.apply(t, c), f
	}
	return run(t, c), nil
}

func run(t *txn, c *call) outcome {
	a, p := c.run(t)
	return outcome{answer: a, problem: p}
}

// record appends the call to the journal.
func (s *Server) record(c *call, t *txn, out outcome, fault *activeFault) {
	e := Entry{
		Time: s.now(), Service: c.service, Action: c.action, Project: c.project, Role: c.role, Package: c.pkg,
		Order: c.order, Workspace: c.workspace, Exported: c.exported, Statement: c.statement, Write: c.write, AccessKeyID: c.accessKeyID, Caller: c.caller, RequestID: c.requestID,
		Applied: len(t.changes) > 0 || c.write && t.ran && !t.ignored && out.problem == nil,
		Changes: t.changes,
	}
	for _, ch := range t.changes {
		if ch.Change == ChangeCreateOrder {
			e.Orders = append(e.Orders, ch.Order)
		}
	}
	if fault != nil {
		e.Fault = fault.Name
	}
	switch {
	case out.delivery != deliver:
	case out.raw != nil:
		e.Status = out.raw.status
		if fault != nil {
			e.Code = fault.Code
		}
	case out.problem != nil:
		e.Status, e.Code = out.problem.status, out.problem.code
	default:
		e.Status = out.answer.httpStatus()
	}
	c.seq = s.journal.add(e)
}

// abandon journals a call whose client went away before anything was done.
func (s *Server) abandon(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record(c, s.begin(c), outcome{delivery: deliverNothing}, nil)
}

func (s *Server) send(ctx context.Context, w http.ResponseWriter, c *call, out outcome) {
	var rep reply
	switch {
	case out.raw != nil:
		rep = *out.raw
	case out.problem != nil:
		rep = c.proto.failure(c.requestID, out.problem)
	default:
		rep = c.proto.success(c.requestID, out.answer)
	}
	if out.mangle != nil {
		rep = out.mangle(rep)
	}
	h := w.Header()
	// Clients whose own clock is off read the server's from here.
	h.Set("Date", s.now().UTC().Format(http.TimeFormat))
	h["Content-Type"] = nil // keeps net/http from guessing where the reply has none
	if rep.contentType != "" {
		h.Set("Content-Type", rep.contentType)
	}
	if !rep.chunked {
		h.Set("Content-Length", strconv.FormatInt(rep.length(), 10))
	}
	if !c.huawei() {
		h.Set("x-acs-request-id", c.requestID)
		h.Set("x-odps-request-id", c.requestID)
	}
	for k, v := range rep.header {
		if v != "" {
			h.Set(k, v)
		}
	}
	s.deliverBody(ctx, w, c, rep, out.flow)
}

func (s *Server) enter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight++
	s.maxFlight = max(s.maxFlight, s.inFlight)
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
}

// nextRequestID counts instead of drawing at random, so that a failing test fails alike twice.
func (s *Server) nextRequestID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	return fmt.Sprintf("FA4E0000-0000-4000-8000-%012X", s.requests)
}

func (s *Server) violate(message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violations = append(s.violations, message)
}

// now is the time on the server's clock.
func (s *Server) now() time.Time { return s.clock().Add(time.Duration(s.shift.Load())) }

// ShiftClock moves the server's clock, forward or back. Shifts add up.
func (s *Server) ShiftClock(d time.Duration) { s.shift.Add(int64(d)) }

// errGone says that the client ended the request.
var errGone = errors.New("client went away")

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errGone
	}
}
