package metrics

import (
	"net/http"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// storageService is what object storages are called, whoever runs them.
const storageService = "ObjectStorage"

// ObjectStorage counts the requests that pass through it to object storages. It implements http.RoundTripper. They are judged by their HTTP
// status, so an error inside a success counts as one.
type ObjectStorage struct {
	Next  http.RoundTripper
	Calls *Calls
}

// RoundTrip implements http.RoundTripper.
func (s ObjectStorage) RoundTrip(request *http.Request) (*http.Response, error) {
	began := time.Now()
	response, err := s.Next.RoundTrip(request)
	s.Calls.Answered(storageService, storageAction(request), time.Since(began), storageFailure(response, err))
	return response, err
}

// storageAction is what the API calls a request. Vendor documentation: Amazon S3 API reference.
func storageAction(request *http.Request) string {
	query := request.URL.Query()
	upload := query.Has("uploadId")
	switch request.Method {
	case http.MethodPut:
		if upload {
			return "UploadPart"
		}
		return "PutObject"
	case http.MethodPost:
		if upload {
			return "CompleteMultipartUpload"
		}
		return "CreateMultipartUpload"
	case http.MethodDelete:
		if upload {
			return "AbortMultipartUpload"
		}
		return "DeleteObject"
	case http.MethodGet:
		switch {
		case upload:
			return "ListParts"
		case query.Has("uploads"):
			return "ListMultipartUploads"
		}
		return "GetObject"
	}
	return "HeadObject"
}

// storageFailure is the class of an answer, nil for a success.
func storageFailure(response *http.Response, err error) error {
	if err != nil {
		return &cloud.Error{Code: cloud.RemoteUnavailable, Err: err}
	}
	failure := &cloud.Error{HTTPStatus: response.StatusCode}
	switch status := response.StatusCode; {
	case status < http.StatusMultipleChoices:
		return nil
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		// SlowDown is a 503 in this API.
		failure.Code, failure.Throttled = cloud.RemoteUnavailable, true
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout:
		failure.Code = cloud.RemoteUnavailable
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		failure.Code = cloud.PermissionDenied
	case status == http.StatusNotFound:
		failure.Code = cloud.NotFound
	default:
		failure.Code = cloud.RemoteRejected
	}
	return failure
}
