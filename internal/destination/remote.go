package destination

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net/http"
	"regexp"
	"strconv"

	"github.com/minio/minio-go/v7"
)

// verdict is what a failure means.
type verdict struct {
	code    Code
	message string
}

var (
	badKeys     = verdict{Denied, "the service refuses the credentials"}
	noAccess    = verdict{Denied, "the credentials are not permitted to do this"}
	wrongClock  = verdict{Denied, "the service refuses the time of the request: a clock is off"}
	noBucket    = verdict{NotFound, "the bucket does not exist"}
	noRoom      = verdict{Full, "the service has no room for the file"}
	busy        = verdict{Unavailable, "the service cannot serve this now"}
	unreachable = verdict{Unavailable, "the service cannot be reached, or has broken off"}
	taken       = verdict{Exists, "something of that name is there already"}
	badName     = verdict{Invalid, "the service does not allow the name"}
	changed     = verdict{Corrupt, "what has arrived is not what was sent"}
	elsewhere   = verdict{Failed, "the bucket is in another region or at another endpoint"}
	refused     = verdict{Failed, "the service refuses the request"}
	untrusted   = verdict{Unavailable, "the certificate of the service is not trusted"}
)

// verdicts are those of codes in answers: the ones that Amazon documents, and those of MinIO, Ceph, Alibaba Cloud and Huawei Cloud that
// differ.
var verdicts = map[string]verdict{
	"InvalidAccessKeyId":                 badKeys,
	"SignatureDoesNotMatch":              badKeys,
	"InvalidToken":                       badKeys,
	"InvalidSecurity":                    badKeys,
	"InvalidSecurityToken":               badKeys,
	"SecurityTokenExpired":               badKeys,
	"ExpiredToken":                       badKeys,
	"TokenRefreshRequired":               badKeys,
	"NotSignedUp":                        badKeys,
	"RequestTimeTooSkewed":               wrongClock,
	"RequestExpired":                     wrongClock,
	"AccessDenied":                       noAccess,
	"AllAccessDisabled":                  noAccess,
	"AccountProblem":                     noAccess,
	"UserDisable":                        noAccess,
	"NoSuchBucket":                       noBucket,
	"QuotaExceeded":                      noRoom,
	"EntityTooLarge":                     noRoom,
	"MaxSizeExceeded":                    noRoom,
	"XMinioStorageFull":                  noRoom,
	"ServiceUnavailable":                 busy,
	"InternalError":                      busy,
	"RequestTimeout":                     busy,
	"IncompleteBody":                     busy,
	"OperationAborted":                   busy,
	"NoSuchUpload":                       busy, // somebody has aborted it; another attempt is a new upload
	"SlowDown":                           busy,
	"SlowDownRead":                       busy,
	"SlowDownWrite":                      busy,
	"Throttling":                         busy,
	"ThrottlingException":                busy,
	"RequestLimitExceeded":               busy,
	"TooManyRequests":                    busy,
	"PreconditionFailed":                 taken,
	"FileAlreadyExists":                  taken,
	"InvalidBucketName":                  badName,
	"KeyTooLongError":                    badName,
	"InvalidObjectName":                  badName,
	"XMinioInvalidObjectName":            badName,
	"BadDigest":                          changed,
	"InvalidDigest":                      changed,
	"XAmzContentSHA256Mismatch":          changed,
	"PermanentRedirect":                  elsewhere,
	"TemporaryRedirect":                  elsewhere,
	"AuthorizationHeaderMalformed":       elsewhere,
	"InvalidRegion":                      elsewhere,
	"IllegalLocationConstraintException": elsewhere,

	"InsufficientStorageSpace":       noRoom,
	"XMinioAdminBucketQuotaExceeded": noRoom,
	"ConditionalRequestConflict":     busy,
}

// remote returns the service's answer that an error is; an empty one if no answer arrived.
func remote(err error) minio.ErrorResponse {
	answer, _ := errors.AsType[minio.ErrorResponse](err)
	return answer
}

// unanswered tells whether, after an error, it is not known what the service has done.
func unanswered(err error) bool {
	status := remote(err).StatusCode
	return status < http.StatusMultipleChoices || status >= http.StatusInternalServerError
}

// codePattern is what a service's code looks like. Anything else, such as the page of a proxy, is not for messages.
var codePattern = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)

// remoteError classifies the failure of a call.
func remoteError(ctx context.Context, op string, err error) *Error {
	if known, ok := errors.AsType[*Error](err); ok {
		return known
	}
	if _, local := errors.AsType[*fs.PathError](err); local {
		return spoolError(op, err)
	}
	if ctx.Err() != nil {
		return givenUp(ctx, op)
	}
	v := judge(err)
	out := &Error{Code: v.code, Op: op, Message: v.message, Err: err}
	switch answer := remote(err); {
	case codePattern.MatchString(answer.Code):
		out.Message += " (" + answer.Code + ")"
	case answer.StatusCode != 0:
		out.Message += " (HTTP status " + strconv.Itoa(answer.StatusCode) + ")"
	}
	return out
}

// judge looks at the code of an answer first, then at its status.
func judge(err error) verdict {
	answer := remote(err)
	if v, known := verdicts[answer.Code]; known {
		return v
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return untrusted
	}
	switch status := answer.StatusCode; {
	case status == 0:
		return unreachable
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return noAccess
	case status == http.StatusRequestEntityTooLarge, status == http.StatusInsufficientStorage:
		return noRoom
	case status == http.StatusPreconditionFailed:
		return taken
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		return busy
	case status == http.StatusNotImplemented:
		return refused
	case status >= http.StatusInternalServerError:
		return busy
	case status >= http.StatusMultipleChoices && status < http.StatusBadRequest:
		return elsewhere
	}
	return refused
}
