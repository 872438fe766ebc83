// Package openapi is what the clients of all cloud services share: the way to the network, and the classes of failure. Client adds the
// signature and the styles of Alibaba Cloud's services. It makes one attempt per call and leaves retries to its caller.
package openapi

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// NewHTTPClient makes the client that all accounts of a process share. It never follows a redirect, for that would carry a
// signed request to another host.
func NewHTTPClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library documents the type
	transport.MaxIdleConns = 256
	transport.MaxIdleConnsPerHost = 64
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Limiter delays the calls of an account to a permitted rate.
type Limiter interface {
	// Wait returns when a call may be sent, with the time at which that was decided, or with an error if the call must not be sent. Of a
	// *cloud.Error, only Op is filled in.
	Wait(ctx context.Context) (time.Time, error)
	// Ended is called once for each call that was let through, with the time that Wait returned for it,
	// and its error, which says whether the service refused it for its rate, or did not answer.
	Ended(sent time.Time, err error)
	// Closed returns the error that Wait would return at once, nil if there is none.
	Closed() error
}

// Observer is told of calls, for metrics. Its methods return at once and may be called concurrently.
type Observer interface {
	// Waited tells how long a call has waited for the limiter of its account.
	Waited(service string, wait time.Duration)
	// Withheld tells of a call that the limiter did not let through.
	Withheld(service string)
	// Answered tells of a call that has ended: the time from its beginning, and its error, nil for a success.
	Answered(service, action string, took time.Duration, err error)
}

// Transport is an account's way to the network.
type Transport struct {
	// Service is what the calls are for, such as MaxCompute, to the Observer.
	Service string
	// Observer may be nil.
	Observer Observer
	// HTTPClient is shared by all clients of the process.
	HTTPClient *http.Client
	// Limiter is shared by all clients of one account. It may be nil.
	Limiter Limiter
	// Timeout bounds one call, the wait for the limiter left out.
	Timeout time.Duration
	// MaxBody bounds what is read of one answer.
	MaxBody int64
}

// Answer is an HTTP answer read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	// secrets are what the request carried and no error may repeat.
	secrets []string
}

// Do makes one call: it waits for the limiter, asks for leave if the call is a write (cloud.Permit), bounds the time, and has the answer
// read. action is the name of the operation, such as GetRoleAcl, and op says in words what it does to what. exchange makes the request
// and returns what Send does; read turns the answer into data or a classified error.
func (t Transport) Do(ctx context.Context, action, op string, exchange func(context.Context) (*Answer, error), read func(*Answer) error) (err error) {
	sent, err := t.wait(ctx, op)
	if err != nil {
		return err
	}
	if t.Limiter != nil {
		defer func() { t.Limiter.Ended(sent, err) }()
	}
	if err := cloud.Permit(ctx, action); err != nil {
		return err
	}
	began := time.Now()
	err = t.call(ctx, op, exchange, read)
	t.Observe(action, began, err)
	return err
}

// Closed returns the error of a call that the limiter would refuse at once, nil if it would not.
func (t Transport) Closed(op string) error {
	if t.Limiter == nil {
		return nil
	}
	return withheld(t.Limiter.Closed(), op)
}

// Observe tells the Observer of a call that has ended now.
func (t Transport) Observe(action string, began time.Time, err error) {
	if t.Observer != nil && cloud.CodeOf(err) != cloud.InvalidSpec {
		t.Observer.Answered(t.Service, action, time.Since(began), err)
	}
}

func (t Transport) call(ctx context.Context, op string, exchange func(context.Context) (*Answer, error), read func(*Answer) error) error {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	answer, err := exchange(ctx)
	switch {
	case cloud.CodeOf(err) != "":
		return err
	case err != nil:
		return TransportError(ctx, op, err)
	}
	return read(answer)
}

// wait takes a token of the account's limiter.
func (t Transport) wait(ctx context.Context, op string) (time.Time, error) {
	if t.Limiter == nil {
		return time.Time{}, nil
	}
	began := time.Now()
	sent, err := t.Limiter.Wait(ctx)
	switch {
	case t.Observer == nil || errors.Is(err, context.Canceled):
	case err != nil:
		t.Observer.Withheld(t.Service)
	default:
		t.Observer.Waited(t.Service, time.Since(began))
	}
	return sent, withheld(err, op)
}

// withheld is the error of a call that the limiter did not let through, nil if it did.
func withheld(err error, op string) error {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		refusal := *e
		refusal.Op = op
		return &refusal
	}
	if err != nil {
		return &cloud.Error{Code: cloud.RemoteUnavailable, Op: op, Message: "not sent: the account's rate limit leaves no room in time", Throttled: true, Err: err}
	}
	return nil
}

// errTooLarge says that an answer was longer than Transport.MaxBody.
var errTooLarge = errors.New("the answer is too large")

// Send makes one HTTP request and reads the answer. Its errors are for TransportError.
func (t Transport) Send(request *http.Request) (*Answer, error) {
	response, err := t.HTTPClient.Do(request) //nolint:gosec // the caller answers for where requests go
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return t.Read(request, response)
}

// Read reads the answer to a request to its end, and leaves it to the caller to close it. Its errors are for TransportError.
func (t Transport) Read(request *http.Request, response *http.Response) (*Answer, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, t.MaxBody+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > t.MaxBody {
		return nil, errTooLarge
	}
	answer := &Answer{Status: response.StatusCode, Header: response.Header, Body: body}
	answer.Hide(secretsOf(request)...)
	return answer, nil
}

// TransportError describes a request that got no answer, in words that are the same from one attempt to the next: the texts
// of the net package hold ports and addresses that change.
func TransportError(ctx context.Context, op string, err error) error {
	e := &cloud.Error{Code: cloud.RemoteUnavailable, Op: op, Err: err}
	var dns *net.DNSError
	var opError *net.OpError
	switch {
	case errors.Is(err, errTooLarge):
		e.Code, e.Message = cloud.UnexpectedResponse, errTooLarge.Error()
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		e.Message, e.Err = "no answer in time", errors.Join(ctx.Err(), err)
	case errors.As(err, &dns):
		e.Message, e.NotSent = "the host name "+dns.Name+" cannot be resolved", true
	case errors.As(err, &opError) && opError.Op == "dial":
		e.Message, e.NotSent = "no connection to the endpoint", true
	case strings.Contains(err.Error(), "tls:") || strings.Contains(err.Error(), "x509:") || strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		e.Message = "the endpoint's TLS certificate or protocol was not accepted"
	default:
		e.Message = "the connection was lost before an answer arrived"
	}
	return e
}
