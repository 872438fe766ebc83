package insight

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// tooLarge is the message of a package beyond Request.MaxBytes.
const tooLarge = "the package is larger than the operator takes"

var (
	// errWaited is why a request was ended that kept its caller waiting for too long.
	errWaited = errors.New("waited for too long")
	// errClosed is why a request was ended whose stream was closed.
	errClosed = errors.New("closed")
)

// Stream is a package on its way. Its methods must not be called concurrently, but for Close.
//
// A stream that ends with io.EOF is whole as far as HTTP can tell: with a Content-Length all of it has arrived, a chunked body and one
// of HTTP/2 had their end. A body without any of these, which ends with its connection, looks whole wherever it is cut.
type Stream struct {
	source   *source
	buffered *bufio.Reader
	// limit is Request.MaxBytes, and read how much has been handed out.
	limit, read            int64
	extension, contentType string
	err                    error
}

// Extension is the extension of the file name that the service gives the package, with its dot, such as .zip or .tar.gz. It is empty
// unless the service names one that is letters and digits.
func (s *Stream) Extension() string { return s.extension }

// ContentType is the media type that the service gives the package, without parameters, or empty.
func (s *Stream) ContentType() string { return s.contentType }

// Read implements io.Reader. Its errors, but for io.EOF, are of type *cloud.Error, and each goes on being returned.
func (s *Stream) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.buffered.Read(p)
	s.read += int64(n)
	if excess := s.read - s.limit; s.limit > 0 && excess > 0 {
		n, err = n-int(excess), s.source.failure(cloud.ExportFailed, tooLarge, nil)
	}
	s.err = err
	return n, err
}

// Close ends the stream, a Read that is under way included, and lets go of its connection.
func (s *Stream) Close() error {
	s.source.close()
	return nil
}

// patience ends a request when nothing comes for too long.
type patience struct {
	ctx   context.Context
	end   context.CancelCauseFunc
	timer *time.Timer
}

// newPatience makes the context for a request, and what ends it.
func newPatience(ctx context.Context, limit time.Duration) (context.Context, *patience) {
	ctx, end := context.WithCancelCause(ctx)
	return ctx, &patience{ctx: ctx, end: end, timer: time.AfterFunc(limit, func() { end(errWaited) })}
}

// stop ends the request, and with it the wait.
func (p *patience) stop() {
	p.timer.Stop()
	p.end(errClosed)
}

// over tells whether patience is what has ended the request.
func (p *patience) over() bool { return errors.Is(context.Cause(p.ctx), errWaited) }

// silence is the error of an export of which nothing came in time. It does not wrap the end of the context: that was not the caller's.
func silence(op string) error {
	return &cloud.Error{Code: cloud.RemoteUnavailable, Op: op, Message: "no answer in time", Err: context.DeadlineExceeded}
}

// source reads the body of an answer, and sees to it that it ends well or with a *cloud.Error.
type source struct {
	op, requestID string
	body          io.ReadCloser
	// length is the announced one, -1 if there is none.
	length, received int64
	patience         *patience
	idle             time.Duration
	err              error
}

// Read implements io.Reader. Only the time that it waits counts, not what its caller takes between two calls.
func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if s.received > 0 {
		s.patience.timer.Reset(s.idle)
	}
	n, err := s.body.Read(p)
	s.received += int64(n)
	if s.received > 0 || err != nil {
		s.patience.timer.Stop()
	}
	// Of a request that was ended, only the length can tell that the end of its body is the real one.
	ended := s.length < 0 && s.patience.ctx.Err() != nil
	switch {
	case errors.Is(err, io.EOF) && (s.received < s.length || ended):
		s.err = s.broken(io.ErrUnexpectedEOF)
	case errors.Is(err, io.EOF):
		s.err = io.EOF
	case err != nil:
		s.err = s.broken(err)
	}
	return n, s.err
}

// broken is the error of a body that did not end well.
func (s *source) broken(err error) error {
	cause := context.Cause(s.patience.ctx)
	switch {
	case s.patience.over() && s.received == 0:
		return silence(s.op)
	case s.patience.over():
		return s.failure(cloud.ExportFailed, "the stream stood still", errWaited)
	case errors.Is(cause, errClosed):
		return s.failure(cloud.ExportFailed, "the stream was closed", errClosed)
	case cause != nil:
		return s.failure(cloud.ExportFailed, "the export was broken off", s.patience.ctx.Err())
	}
	return s.failure(cloud.ExportFailed, "the stream ended early", err)
}

func (s *source) failure(code cloud.Code, message string, err error) error {
	return &cloud.Error{Code: code, Op: s.op, Message: message, HTTPStatus: http.StatusOK, RequestID: s.requestID, Err: err}
}

// close ends the request and lets go of its connection.
func (s *source) close() {
	s.patience.stop()
	_ = s.body.Close()
}
