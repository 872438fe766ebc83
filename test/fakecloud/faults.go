package fakecloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The kinds of faults.
const (
	// FaultLatency delays the call. Delays of several faults add up, and another fault may follow.
	FaultLatency = "latency"
	// FaultThrottle refuses the call for being one too many.
	FaultThrottle = "throttle"
	// FaultServerError is a 5xx with a body of the service's own kind.
	FaultServerError = "serverError"
	// FaultError is any refusal; Status, Code and Message say which.
	FaultError = "error"
	// FaultAccessDenied is ODPS-0420095, NoPermission of the token service, or Forbidden.RAM of DataWorks.
	FaultAccessDenied = "accessDenied"
	// FaultHTML502 is the page of a proxy that does not reach its backend.
	FaultHTML502 = "html502"
	// FaultWrongEndpoint is the 404 of a host that is another service: an HTML page, or with Body
	// "json" a JSON document without a code.
	FaultWrongEndpoint = "wrongEndpoint"
	// FaultDropBefore closes the connection before anything is done.
	FaultDropBefore = "dropBefore"
	// FaultDropAfter carries the call out and closes the connection instead of replying.
	FaultDropAfter = "dropAfter"
	// FaultTimeout does nothing and never replies.
	FaultTimeout = "timeout"
	// FaultErrorInside is HTTP 200 with an error in the body; nothing is done.
	FaultErrorInside = "errorInside"
	// FaultStaleRead answers a read from an older state. It only applies, and only counts, when that
	// state differs from the present one.
	FaultStaleRead = "staleRead"
	// FaultGarbled carries the call out and spoils the body of the reply: cut in half, or with Body
	// "wrongKind" valid but of another shape.
	FaultGarbled = "garbled"
	// FaultAsync makes a statement answer with an instance id that has to be polled.
	FaultAsync = "async"
	// FaultResult makes a statement answer HTTP 200 with Message as its result, which may be any
	// text, JSON or nothing. It is carried out only if Done is set.
	FaultResult = "result"
)

// Variants of a body.
const (
	BodyJSON      = "json"
	BodyWrongKind = "wrongKind"
)

var faultKinds = []string{
	FaultLatency, FaultThrottle, FaultServerError, FaultError, FaultAccessDenied, FaultHTML502,
	FaultWrongEndpoint, FaultDropBefore, FaultDropAfter, FaultTimeout, FaultErrorInside,
	FaultStaleRead, FaultGarbled, FaultAsync, FaultResult,
	FaultSlowStream, FaultCutStream, FaultStallStream, FaultEmptyBody, FaultWrongType, FaultHTMLPage,
}

// Fault is something that goes wrong with the API calls that it matches. Of the faults that match a
// call, those of kind latency all apply; of the others, the one that was injected first.
type Fault struct {
	// Name is shown in the journal. Default: the kind.
	Name string `json:"name,omitempty"`
	Kind string `json:"kind"`

	// A call must match all of these that are set. Names are compared without case; Statement is
	// part of the statement's text, Text part of the request's path, query or body, both without case. Service is maxcompute, odps, sts, dataworks, insight or iam. Role is
	// the ARN of the RAM role for calls of sts. Package is a name, or source.name of an installed package.
	// AccessKeyID may be the ARN of a RAM role: it matches the calls of its sessions; or a user of iam, like domain/name.
	Service     string `json:"service,omitempty"`
	Action      string `json:"action,omitempty"`
	Project     string `json:"project,omitempty"`
	Role        string `json:"role,omitempty"`
	Package     string `json:"package,omitempty"`
	Statement   string `json:"statement,omitempty"`
	Text        string `json:"text,omitempty"`
	AccessKeyID string `json:"accessKeyID,omitempty"`
	Workspace   string `json:"workspace,omitempty"`
	// Only is "reads" or "writes".
	Only string `json:"only,omitempty"`

	// After skips that many matching calls first.
	After int `json:"after,omitempty"`
	// Times is how many calls the fault hits; 0 means until it is cleared.
	Times int `json:"times,omitempty"`

	// Latency is for FaultLatency and FaultStallStream. In JSON it is a text like "20ms".
	Latency time.Duration `json:"-"`
	// Status, Code and Message replace what the kind would send. Code "-" means no code at all.
	Status  int    `json:"status,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	// RetryAfter is the value of the header of that name, if any.
	RetryAfter string `json:"retryAfter,omitempty"`
	// Body selects a variant of FaultWrongEndpoint and FaultGarbled.
	Body string `json:"body,omitempty"`

	// Bytes is where FaultCutStream and FaultStallStream stop, BytesPerSecond how fast FaultSlowStream is.
	Bytes          int64 `json:"bytes,omitempty"`
	BytesPerSecond int64 `json:"bytesPerSecond,omitempty"`
	// Chunked makes a body come without its length, or with it, where the fault is about bodies. Default: as usual.
	Chunked *bool `json:"chunked,omitempty"`
	// ContentType is for FaultWrongType.
	ContentType string `json:"contentType,omitempty"`

	// StaleWrites makes stale reads answer as before the last so many changes of the role, the
	// package or the order (of all of the project, or of all orders, for lists).
	StaleWrites int `json:"staleWrites,omitempty"`
	// StaleBeforeSeq makes stale reads answer as before that journal entry. With neither field, they
	// answer as the state was when the fault was injected.
	StaleBeforeSeq int `json:"staleBeforeSeq,omitempty"`

	// Done is for FaultResult.
	Done bool `json:"done,omitempty"`

	// Polls is how many polls an asynchronous statement needs to end; at least one.
	Polls int `json:"polls,omitempty"`
	// Outcome of an asynchronous statement: TERMINATED (default) or FAILED.
	Outcome string `json:"outcome,omitempty"`
}

// FaultState is a fault and what became of it.
type FaultState struct {
	Fault Fault `json:"fault"`
	// Matched counts the calls that matched, those skipped by After included; Hits those it hit.
	Matched int `json:"matched"`
	Hits    int `json:"hits"`
}

type activeFault struct {
	Fault
	matched, hits int
	// revision is the first one after the injection.
	revision uint64
}

// faultJSON carries the latency as a text.
type faultJSON struct {
	*plainFault
	Latency string `json:"latency,omitempty"`
}

type plainFault Fault

// MarshalJSON implements json.Marshaler.
func (f Fault) MarshalJSON() ([]byte, error) {
	out := faultJSON{plainFault: (*plainFault)(&f)}
	if f.Latency > 0 {
		out.Latency = f.Latency.String()
	}
	return json.Marshal(out)
}

// UnmarshalJSON implements json.Unmarshaler. Unknown fields are errors.
func (f *Fault) UnmarshalJSON(raw []byte) error {
	in := faultJSON{plainFault: (*plainFault)(f)}
	if err := unmarshalStrict(raw, &in); err != nil {
		return err
	}
	if in.Latency == "" {
		return nil
	}
	d, err := time.ParseDuration(in.Latency)
	if err != nil {
		return fmt.Errorf("parse latency: %w", err)
	}
	f.Latency = d
	return nil
}

// Validate reports a fault that could never work.
func (f Fault) Validate() error {
	switch {
	case !slices.Contains(faultKinds, f.Kind):
		return fmt.Errorf("unknown fault kind %q", f.Kind)
	case !slices.Contains([]string{"", "reads", "writes"}, f.Only):
		return fmt.Errorf("only is %q, want reads or writes", f.Only)
	case !slices.Contains([]string{"", BodyJSON, BodyWrongKind}, f.Body):
		return fmt.Errorf("unknown body variant %q", f.Body)
	case !slices.Contains([]string{"", statusTerminated, statusFailed}, f.Outcome):
		return fmt.Errorf("outcome is %q, want %s or %s", f.Outcome, statusTerminated, statusFailed)
	case f.Kind == FaultError && f.Status < 400:
		return fmt.Errorf("a fault of kind %s needs a status of at least 400", FaultError)
	case f.Kind == FaultLatency && f.Latency <= 0:
		return fmt.Errorf("a fault of kind %s needs a latency", FaultLatency)
	}
	return f.validateStream()
}

// Inject adds a fault. It panics on one that could never work: that is a mistake in the test.
func (s *Server) Inject(f Fault) {
	if err := f.Validate(); err != nil {
		panic("fakecloud: " + err.Error())
	}
	if f.Name == "" {
		f.Name = f.Kind
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &activeFault{Fault: f, revision: s.revision + 1})
}

// ClearFaults removes all faults. Calls that hang in a time-out go on hanging.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Faults returns the faults in the order of injection, spent ones included.
func (s *Server) Faults() []FaultState {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]FaultState, len(s.faults))
	for i, f := range s.faults {
		out[i] = FaultState{Fault: f.Fault, Matched: f.matched, Hits: f.hits}
	}
	return out
}

// SetLatency changes the delay of every API call.
func (s *Server) SetLatency(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency = d
}

// latencyFor adds up the delays of a call.
func (s *Server) latencyFor(c *call) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.latency
	for _, f := range s.faults {
		if f.Kind == FaultLatency && f.matches(c) && f.take() {
			sum += f.Latency
		}
	}
	return sum
}

// pickFault returns the first fault that hits the call. A fault that cannot apply to it (a stale
// read of what did not change, an asynchronous answer outside the statements) is not used up.
func (s *Server) pickFault(t *txn, c *call) *activeFault {
	for _, f := range s.faults {
		if f.Kind != FaultLatency && f.matches(c) && f.applies(t, c) && f.take() {
			return f
		}
	}
	return nil
}

func (f *activeFault) matches(c *call) bool {
	same := func(want, got string) bool { return want == "" || strings.EqualFold(want, got) }
	return same(f.Service, c.service) && same(f.Action, c.action) && same(f.Project, c.project) &&
		same(f.Role, c.role) && same(f.Package, c.pkg) && same(f.Workspace, c.workspace) &&
		(f.AccessKeyID == "" || f.AccessKeyID == c.accessKeyID || f.AccessKeyID == c.caller) &&
		(f.Only == "" || (f.Only == "writes") == c.write) &&
		strings.Contains(fold(c.statement), fold(f.Statement)) && (f.Text == "" || strings.Contains(fold(c.text()), fold(f.Text)))
}

// take counts a match and reports whether the fault hits.
func (f *activeFault) take() bool {
	f.matched++
	if f.matched <= f.After || f.Times > 0 && f.hits >= f.Times {
		return false
	}
	f.hits++
	return true
}

func (f *activeFault) applies(t *txn, c *call) bool {
	switch f.Kind {
	case FaultStaleRead:
		return !c.write && c.action != "PollStatement" && f.staleRevision(t, c) != 0
	case FaultAsync, FaultResult:
		return c.action == "Statement"
	}
	return true
}

// staleRevision is the revision before which a stale read looks; 0 if nothing has changed since.
func (f *activeFault) staleRevision(t *txn, c *call) uint64 {
	var history []revision
	if c.huawei() { // nobody remembers what there was to export
		return 0
	}
	if p := t.s.projects[c.project]; p != nil {
		history = p.history
	}
	if c.service == "dataworks" {
		history = t.s.orders.history
	}
	left := f.StaleWrites
	oldest := uint64(0)
	for _, v := range slices.Backward(history) {
		if !c.concerns(v) {
			continue
		}
		switch {
		case f.StaleWrites > 0 && left == 0,
			f.StaleWrites == 0 && f.StaleBeforeSeq > 0 && v.seq < f.StaleBeforeSeq,
			f.StaleWrites == 0 && f.StaleBeforeSeq == 0 && v.number < f.revision:
			return oldest
		}
		oldest = v.number
		left--
	}
	return oldest
}

// concerns tells whether a call reads what was changed.
func (c *call) concerns(v revision) bool {
	switch {
	case c.service == "dataworks":
		return c.order == "" || v.order == c.order
	case c.action == "GetTableInfo": // nobody remembers what a table was
		return false
	case c.action == "ListPackages":
		return v.pkg != ""
	case c.pkg != "":
		return v.pkg == c.pkg
	case c.role != "":
		return v.role == c.role
	}
	return v.role != ""
}

// apply decides the outcome of a call that the fault hits; the lock is held.
func (f *activeFault) apply(t *txn, c *call) outcome {
	switch f.Kind {
	case FaultDropBefore:
		return outcome{delivery: deliverNothing}
	case FaultTimeout:
		return outcome{delivery: deliverNever}
	case FaultDropAfter:
		out := run(t, c)
		out.delivery = deliverNothing
		return out
	case FaultGarbled:
		out := run(t, c)
		out.mangle = f.garble
		return out
	case FaultStaleRead:
		t.before = f.staleRevision(t, c)
		return run(t, c)
	case FaultAsync:
		return outcome{answer: t.later(f)}
	case FaultResult:
		return f.result(t, c)
	case FaultSlowStream, FaultCutStream, FaultStallStream, FaultEmptyBody, FaultWrongType:
		return f.body(t, c)
	case FaultHTML502, FaultWrongEndpoint, FaultErrorInside, FaultHTMLPage:
		rep := f.page(c)
		return outcome{raw: &rep}
	}
	return outcome{problem: f.refusal(c)}
}

// result answers a statement with the text of the fault.
func (f *activeFault) result(t *txn, c *call) outcome {
	if f.Done {
		if out := run(t, c); out.problem != nil {
			return out
		}
	}
	return outcome{answer: answer{render: func() []byte { return []byte(f.Message) }}}
}

// refusal is the error of the kinds that are refusals. The codes for 5xx and for throttling on the
// ODPS service are made up.
func (f *activeFault) refusal(c *call) *problem {
	p := refuse(f.Status, f.Code, "%s", f.Message)
	switch f.Kind {
	case FaultThrottle:
		p = refuse(f.status(http.StatusTooManyRequests), f.code(throttleCode(c)), "%s", f.message(throttleText(c)))
	case FaultServerError:
		p = refuse(f.status(http.StatusInternalServerError), f.code(internalCode(c)), "%s", f.message("The request processing has failed due to some unknown error."))
	case FaultAccessDenied:
		p = c.denial(codeAccessDenied)
		p = refuse(f.status(p.status), f.code(p.code), "%s", f.message(p.message))
	}
	if p.code == "-" {
		p.code = ""
	}
	p.retryAfter = f.RetryAfter
	return p
}

func throttleCode(c *call) string {
	switch c.service {
	case "odps":
		return codeODPSThrottled
	case "insight":
		return codeGatewayThrottled
	case "iam":
		return "429" // made up
	}
	return codeThrottlingUser
}

func throttleText(c *call) string {
	if c.huawei() {
		return gatewayThrottled
	}
	return "Request was denied due to user flow control."
}

func internalCode(c *call) string {
	switch c.service {
	case "insight":
		return codeInsightInternal
	case "iam":
		return "500"
	}
	return codeInternal
}

func (f *activeFault) status(unset int) int {
	if f.Status == 0 {
		return unset
	}
	return f.Status
}

func (f *activeFault) code(unset string) string {
	if f.Code == "" {
		return unset
	}
	return f.Code
}

func (f *activeFault) message(unset string) string {
	if f.Message == "" {
		return unset
	}
	return f.Message
}
