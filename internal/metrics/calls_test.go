package metrics_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics/metricstest"
)

func TestCalls(t *testing.T) {
	calls := metrics.NewCalls()
	calls.Answered("MaxCompute", "GetRoleAcl", time.Second, nil)
	calls.Answered("MaxCompute", "GetRoleAcl", time.Second, nil)
	calls.Answered("MaxCompute", "GetRoleAcl", time.Second, &cloud.Error{Code: cloud.NotFound})
	calls.Answered("DataWorks", "List", time.Second, &cloud.Error{Code: cloud.RemoteUnavailable, Throttled: true})
	calls.Answered("DataWorks", "List", time.Second, &cloud.Error{Code: cloud.RemoteUnavailable})
	calls.Answered("DataWorks", "List", time.Second, errors.New("of no class"))
	calls.Waited("MaxCompute", time.Second)
	calls.Withheld("DataWorks")
	want := map[string]float64{
		"cloud_requests_total code=OK operation=GetRoleAcl service=MaxCompute":       2,
		"cloud_requests_total code=NotFound operation=GetRoleAcl service=MaxCompute": 1,
		"cloud_requests_total code=Throttled operation=List service=DataWorks":       1, "cloud_requests_total code=RemoteUnavailable operation=List service=DataWorks": 1,
		"cloud_requests_total code=Unknown operation=List service=DataWorks": 1,
		"cloud_throttled_total service=DataWorks":                            1, "cloud_throttled_total service=MaxCompute": 0,
		"cloud_requests_withheld_total service=DataWorks": 1, "cloud_requests_withheld_total service=MaxCompute": 0,
		"cloud_request_duration_seconds operation=GetRoleAcl service=MaxCompute": 3, "cloud_request_duration_seconds operation=List service=DataWorks": 3,
		"cloud_limiter_wait_seconds service=MaxCompute": 1,
	}
	if diff := cmp.Diff(want, metricstest.Gather(t, calls)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// answering answers every request with a status, or not at all with 0.
type answering int

func (a answering) RoundTrip(*http.Request) (*http.Response, error) {
	if a == 0 {
		return nil, errors.New("no answer")
	}
	return &http.Response{StatusCode: int(a), Body: io.NopCloser(strings.NewReader(""))}, nil
}

func TestObjectStorage(t *testing.T) {
	tests := map[string]struct {
		method, query string
		status        int
		want          string
	}{
		"an object is put":             {http.MethodPut, "", 200, "code=OK operation=PutObject"},
		"a part is sent":               {http.MethodPut, "partNumber=1&uploadId=u", 200, "code=OK operation=UploadPart"},
		"an upload is begun":           {http.MethodPost, "uploads", 200, "code=OK operation=CreateMultipartUpload"},
		"an upload is completed":       {http.MethodPost, "uploadId=u", 200, "code=OK operation=CompleteMultipartUpload"},
		"an upload is given up":        {http.MethodDelete, "uploadId=u", 204, "code=OK operation=AbortMultipartUpload"},
		"an object is removed":         {http.MethodDelete, "", 204, "code=OK operation=DeleteObject"},
		"uploads are listed":           {http.MethodGet, "uploads", 200, "code=OK operation=ListMultipartUploads"},
		"parts are listed":             {http.MethodGet, "uploadId=u", 200, "code=OK operation=ListParts"},
		"an object is read":            {http.MethodGet, "", 200, "code=OK operation=GetObject"},
		"an object is not there":       {http.MethodHead, "", 404, "code=NotFound operation=HeadObject"},
		"the service slows down":       {http.MethodPut, "", 503, "code=Throttled operation=PutObject"},
		"too many requests":            {http.MethodPut, "", 429, "code=Throttled operation=PutObject"},
		"the service fails":            {http.MethodPut, "", 500, "code=RemoteUnavailable operation=PutObject"},
		"the keys are refused":         {http.MethodPut, "", 403, "code=PermissionDenied operation=PutObject"},
		"the request is refused":       {http.MethodPut, "", 400, "code=RemoteRejected operation=PutObject"},
		"the bucket is somewhere else": {http.MethodPut, "", 301, "code=RemoteRejected operation=PutObject"},
		"nobody answers":               {http.MethodPut, "", 0, "code=RemoteUnavailable operation=PutObject"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			calls := metrics.NewCalls()
			request := httptest.NewRequestWithContext(t.Context(), tc.method, "https://storage.test/bucket/key?"+tc.query, nil)
			response, err := metrics.ObjectStorage{Next: answering(tc.status), Calls: calls}.RoundTrip(request)
			if (err == nil) != (tc.status != 0) {
				t.Errorf("the answer did not pass: %v", err)
			}
			if err == nil {
				defer response.Body.Close()
				if response.StatusCode != tc.status {
					t.Errorf("the answer has become one with status %d", response.StatusCode)
				}
			}
			if got := metricstest.Gather(t, calls)["cloud_requests_total "+tc.want+" service=ObjectStorage"]; got != 1 {
				t.Errorf("not counted as %s: %v", tc.want, metricstest.Gather(t, calls))
			}
		})
	}
}
