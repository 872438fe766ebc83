// Package destination is where exported files are stored: in a bucket of any service that speaks the S3 API, or in a directory below
// the manager's export directory. A file becomes visible whole or not at all, never in the place of another, and what is stored is
// known to be what was received. Nothing is tried twice: retries are the caller's.
package destination

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Destination is a place for the files of one export. Its errors are of type *Error. It is safe for concurrent use.
type Destination interface {
	// Location is where a file of this name is stored: "s3://<bucket>/<key>", or the slash path below the export directory,
	// "<namespace>/<path>/<name>". Whether the name is allowed tells Store.
	Location(name string) string
	// Receive begins to receive a file. The caller closes it.
	Receive() (*Partial, error)
	// Store makes what was received visible at a location, whole or not at all, and only if nothing is there; Exists if something is.
	// After a failure it may be called again with the same file. If the service does not answer any more, and only then, a failure
	// leaves open what became of the file: Find tells later.
	Store(ctx context.Context, p *Partial, location, contentType string) error
	// Find looks for a file and returns its size in bytes. A bucket whose policy hides what is not there answers Denied.
	Find(ctx context.Context, location string) (size int64, found bool, err error)
	// Remove removes a file. It is no error if the file is not there; if the bucket or the export directory is not there, it is NotFound.
	Remove(ctx context.Context, location string) error
	// Clean removes what a process that was killed may have left behind of storing at a location: the partial file, and multipart uploads
	// of exactly that key. No Store at the location may be under way.
	Clean(ctx context.Context, location string) error
}

// Code is the class of a failure.
type Code string

const (
	// Full: there is no room for the file in the bucket, on the volume, or in the operator's own temporary directory.
	Full Code = "Full"
	// Denied: the credentials were refused, or may not do this; or the file system does not let the operator.
	Denied Code = "Denied"
	// NotFound: the bucket, or the export directory itself, does not exist.
	NotFound Code = "NotFound"
	// Unavailable: no connection, no time left, a server error or a refusal for the rate of calls. Trying again later may help.
	Unavailable Code = "Unavailable"
	// Exists: something of that name is there already.
	Exists Code = "Exists"
	// Invalid: the location, or a part of the destination, is not allowed.
	Invalid Code = "Invalid"
	// Corrupt: what arrived is not what was sent. It has been removed.
	Corrupt Code = "Corrupt"
	// Failed is anything else.
	Failed Code = "Failed"
)

// Error is a failure of a destination.
type Error struct {
	Code Code
	// Op is what failed in words, such as "store a file in bucket reports".
	Op string
	// Message is for the user. Like Op, it is the same from call to call and holds no secrets, request ids or addresses.
	Message string
	// Err is the cause, if there is one. Its text may differ from call to call: for logs, never for conditions.
	Err error
}

// Error is stable: the same failure gives the same text.
func (e *Error) Error() string { return e.Op + ": " + e.Message }

// Unwrap gives access to the cause, for errors.Is(err, context.Canceled).
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the class of an error, or "" if it is not of a destination.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// invalid is a refusal before anything was done.
func invalid(op, format string, args ...any) *Error {
	return &Error{Code: Invalid, Op: op, Message: fmt.Sprintf(format, args...)}
}

// givenUp is the failure of something that the caller cancelled or had no more time for.
func givenUp(ctx context.Context, op string) *Error {
	return &Error{Code: Unavailable, Op: op, Message: "it was given up before it was done", Err: ctx.Err()}
}

// segmentFault says why a string may not stand between two slashes of a location; it is empty if it may.
func segmentFault(segment string) string {
	switch {
	case segment == "":
		return "is empty"
	case segment == "." || segment == "..":
		return "is a dot or two"
	case !utf8.ValidString(segment):
		return "is not UTF-8"
	case strings.ContainsFunc(segment, unicode.IsControl):
		return "holds a control character"
	case strings.ContainsAny(segment, `/\`):
		return "holds a slash or a backslash"
	}
	return ""
}
