package fakecloud

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// The kinds of faults that are about the body of a reply. They work for every service; there is little to cut
// elsewhere.
const (
	// FaultSlowStream sends the body at BytesPerSecond, in real time.
	FaultSlowStream = "slowStream"
	// FaultCutStream closes the connection after Bytes of the body: before the announced length, or without the end of
	// a chunked body.
	FaultCutStream = "cutStream"
	// FaultStallStream stops after Bytes of the body: for Latency, or until the client gives up.
	FaultStallStream = "stallStream"
	// FaultEmptyBody is a success with nothing in it.
	FaultEmptyBody = "emptyBody"
	// FaultWrongType is a success under another ContentType; default text/html.
	FaultWrongType = "wrongType"
	// FaultHTMLPage is the page of a proxy that wants a login, with HTTP 200; nothing is done.
	FaultHTMLPage = "htmlPage"
)

var streamFaults = []string{FaultSlowStream, FaultCutStream, FaultStallStream}

const loginPage = "<!DOCTYPE html>\n<html>\n<head><title>Sign in</title></head>\n<body>\n<h1>Sign in to continue</h1>\n</body>\n</html>\n"

// validateStream reports a fault about bodies that could never work.
func (f Fault) validateStream() error {
	switch {
	case f.Bytes < 0:
		return errors.New("bytes is negative")
	case f.Kind == FaultSlowStream && f.BytesPerSecond <= 0:
		return fmt.Errorf("a fault of kind %s needs bytesPerSecond", FaultSlowStream)
	case f.Kind == FaultWrongType && !validHeader(f.ContentType):
		return errors.New("the content type has control characters")
	}
	return nil
}

// flow is how a body goes out under the fault.
func (f *activeFault) flow() flow {
	switch f.Kind {
	case FaultSlowStream:
		return flow{rate: f.BytesPerSecond}
	case FaultCutStream:
		return flow{stops: true, stop: f.Bytes}
	}
	return flow{stops: true, stop: f.Bytes, hang: true, pause: f.Latency}
}

// body carries a call out and spoils how the body of the reply gets across. Refusals are not spoiled.
func (f *activeFault) body(t *txn, c *call) outcome {
	out := run(t, c)
	if out.problem != nil {
		return out
	}
	if slices.Contains(streamFaults, f.Kind) {
		out.flow = f.flow()
	}
	out.mangle = f.spoil
	return out
}

func (f *activeFault) spoil(rep reply) reply {
	switch f.Kind {
	case FaultEmptyBody:
		rep.body, rep.stream = nil, nil
	case FaultWrongType:
		rep.contentType = "text/html"
		if f.ContentType != "" {
			rep.contentType = f.ContentType
		}
		delete(rep.header, "Content-Type")
	}
	if f.Chunked != nil {
		rep.chunked = *f.Chunked
	}
	return rep
}

func (f *activeFault) login() reply {
	return reply{status: f.status(http.StatusOK), contentType: "text/html; charset=utf-8", body: []byte(loginPage)}
}

// garbleStream spoils a body that is made while it is sent: half of it, or a document of another shape.
func (f *activeFault) garbleStream(rep reply) reply {
	if f.Body == BodyWrongKind {
		rep.stream, rep.body = nil, []byte(`["job-42"]`)
		return rep
	}
	half := *rep.stream
	half.size /= 2
	rep.stream = &half
	return rep
}
