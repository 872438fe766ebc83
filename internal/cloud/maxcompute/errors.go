package maxcompute

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// failure is a failed call as the service told it.
type failure struct {
	op, code, message, requestID string
	status                       int
	answer                       *answer
	// insideSuccess: the error came inside an HTTP 200, so the status says nothing about it.
	insideSuccess bool
}

// unreadable is the error of an answer that is not in the service's format: a proxy's page, another server, a cut-off body.
func unreadable(op string, a *answer) error {
	e := &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, HTTPStatus: a.status, RetryAfter: retryAfter(a.header)}
	e.Message = fmt.Sprintf("HTTP status %d with a body that is not MaxCompute's", a.status)
	switch {
	case a.status == http.StatusTooManyRequests:
		e.Code, e.Throttled = cloud.RemoteUnavailable, true
	case a.status >= 500:
		e.Code = cloud.RemoteUnavailable
	}
	return e
}

// classify decides what a failure means. The codes are those of the vendor's documentation and of its other clients. Codes
// that are not known are judged by the HTTP status, except inside HTTP 200, where there is none to judge by.
func classify(f failure) error {
	e := &cloud.Error{
		Op: f.op, RemoteCode: f.text(f.code), Message: f.text(strings.TrimPrefix(f.message, f.code+":")),
		HTTPStatus: f.status, RequestID: f.requestID, RetryAfter: retryAfter(f.answer.header),
	}
	e.Code = codeOf(f)
	e.Throttled = isThrottling(f)
	if e.Code == cloud.AuthenticationFailed {
		// The message of a signature error repeats what was signed, the security token included.
		e.Message = "the service refused the credentials or the signature"
		if isClockSkew(f.code) {
			e.Message = "the service refused the request's time: the clock of this machine is off"
		}
	}
	return e
}

func codeOf(f failure) cloud.Code {
	code := strings.ToLower(f.code)
	switch {
	case isThrottling(f):
		return cloud.RemoteUnavailable
	case code == "object_not_exist", code == "nosuchobject":
		return cloud.NotFound
	case code == "project_not_found", code == "nosuchproject", strings.HasPrefix(code, "odps-0420111"):
		return cloud.ProjectNotFound
	// "ODPS-0420095: Access Denied" never means absence, although a well-known client reads it so: it also stands for a missing
	// membership and for an unpaid bill.
	case strings.HasPrefix(code, "odps-0420095"), code == "nopermission", strings.HasPrefix(code, "forbidden"), strings.HasPrefix(code, "accessdenied"):
		return cloud.PermissionDenied
	// A request that was sent twice, as the transport does when a connection turns out to be closed, was signed only once.
	case code == "signaturenonceused":
		return cloud.RemoteUnavailable
	case strings.HasPrefix(code, "invalidaccesskeyid"), strings.HasPrefix(code, "signature"), strings.HasPrefix(code, "incompletesignature"),
		strings.HasPrefix(code, "invalidsecuritytoken"), strings.HasPrefix(code, "securitytoken"), strings.HasPrefix(code, "odps-0410"), isClockSkew(code):
		return cloud.AuthenticationFailed
	case strings.Contains(strings.ReplaceAll(code, "_", ""), "alreadyexist"), code != "" && strings.Contains(strings.ToLower(f.message), "already exist"):
		return cloud.AlreadyExists
	case strings.HasPrefix(code, "odps-0420061"), strings.HasPrefix(code, "odps-0420031"), strings.HasPrefix(code, "odps-0420041"), strings.HasPrefix(code, "odps-0420051"),
		strings.HasPrefix(code, "invalidargument"), strings.HasPrefix(code, "invalidparameter"), strings.HasPrefix(code, "odps-0130"):
		return cloud.RemoteRejected
	case code == "serviceunavailable", code == "internalerror", code == "internalservererror":
		return cloud.RemoteUnavailable
	}
	return codeOfStatus(f)
}

// codeOfStatus judges a failure whose code is not known.
func codeOfStatus(f failure) cloud.Code {
	switch {
	case f.insideSuccess:
		return cloud.UnexpectedResponse
	case f.status >= 500:
		return cloud.RemoteUnavailable
	case f.code == "":
		return cloud.UnexpectedResponse
	case f.status == http.StatusUnauthorized:
		return cloud.AuthenticationFailed
	case f.status == http.StatusForbidden:
		return cloud.PermissionDenied
	// A 404 without a code that says so is a wrong endpoint as likely as an absent object.
	case f.status < 400, f.status == http.StatusNotFound:
		return cloud.UnexpectedResponse
	}
	return cloud.RemoteRejected
}

// isThrottling knows every spelling seen: Throttling, Throttling.User, Throttling.Api, Throttling.Resource, Rejected.Throttling.
func isThrottling(f failure) bool {
	return f.status == http.StatusTooManyRequests || strings.Contains(strings.ToLower(f.code), "throttling")
}

func isClockSkew(code string) bool {
	code = strings.ToLower(code)
	return strings.HasPrefix(code, "invalidtimestamp") || strings.HasPrefix(code, "odps-0410031")
}

// retryAfter reads the header Retry-After in seconds; the form with a date is ignored, for it needs two clocks that agree.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds <= 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, 5*time.Minute)
}

// text makes the service's words fit for an error.
func (f failure) text(words string) string {
	for _, secret := range f.answer.secrets {
		words = strings.ReplaceAll(words, secret, "…")
	}
	return clean(words)
}

// secretsOf lists what a request carries and nobody may read: tokens, and the signature in and out of its header.
func secretsOf(request *http.Request) []string {
	var secrets []string
	for name, values := range request.Header {
		switch strings.ToLower(name) {
		case "authorization":
			secrets = append(secrets, values...)
			for _, value := range values {
				secrets = append(secrets, value[strings.LastIndexAny(strings.TrimRight(value, "="), ":=")+1:])
			}
		case "authorization-sts-token", "x-acs-security-token":
			secrets = append(secrets, values...)
		}
	}
	// The longer first: a signature is part of its header.
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	return secrets
}

var (
	// signed is the text that a signature was made of, which some refusals repeat. It holds the security token.
	signed = regexp.MustCompile(`(?is)[\s,.;:(\[]*\b(server |client )?string[ _-]?to[ _-]?sign\b.*`)
	// ids are what differs from one failure to the next of the same kind.
	ids = regexp.MustCompile(`(?i)[\s,.;(\["']*\b(request|context|trace|host)[ _-]?id["']?\s*[:=]?\s*["']?[\w-]*["']?[\])]?`)
	// times and addresses do, too.
	times     = regexp.MustCompile(`\b(\d{4}-\d{2}-\d{2}[T ]|[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} )?\d{1,2}:\d{2}:\d{2}(\.\d+)?( ?(GMT|UTC|Z)\b|[+-]\d{2}:?\d{2}\b)?`)
	addresses = regexp.MustCompile(`\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b`)
	// longTokens are instance ids, request ids and anything else that is long and random.
	longTokens = regexp.MustCompile(`\b[0-9A-Fa-f-]{20,}\b|\b[0-9]{10,}[0-9a-z]*\b`)
	// spaces include line breaks: messages are one line.
	spaces = regexp.MustCompile(`\s+`)
)

// clean makes a service's message fit for a condition: the same from call to call, on one line, not too long.
func clean(message string) string {
	message = signed.ReplaceAllString(message, "")
	message = ids.ReplaceAllString(message, "")
	for _, volatile := range []*regexp.Regexp{times, addresses, longTokens} {
		message = volatile.ReplaceAllString(message, "…")
	}
	message = strings.TrimSpace(spaces.ReplaceAllString(message, " "))
	if runes := []rune(message); len(runes) > 400 {
		message = string(runes[:400]) + "…"
	}
	return message
}
