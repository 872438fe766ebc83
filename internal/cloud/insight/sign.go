package insight

import (
	"net/http"
	"reflect"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/signer"
	vendor "github.com/huaweicloud/huaweicloud-sdk-go-v3/core/request"
)

// sign adds the headers of the vendor's signature SDK-HMAC-SHA256, which covers all headers that are set so far but the content type.
// The vendor's signer is given a copy of the request and does not send it: its HTTP client knows no contexts, and bounds the time of a
// whole call, its body included.
func sign(request *http.Request, body, projectID string, keys Credentials, now time.Time) error {
	request.Header.Set("X-Project-Id", projectID)
	request.Header.Set(signer.HeaderXDate, now.UTC().Format(signer.BasicDateFormat))
	if keys.SecurityToken != "" {
		request.Header.Set("X-Security-Token", keys.SecurityToken)
	}
	// The signer escapes the path again, so it gets the one without escapes.
	b := vendor.NewHttpRequestBuilder().WithMethod(request.Method).WithPath(request.URL.Path).WithBody("", body)
	for name, values := range request.Header {
		b.AddHeaderParam(name, values[0])
	}
	for name, values := range request.URL.Query() {
		// It ignores any parameter that is not wrapped like this.
		b.AddQueryParam(name, reflect.ValueOf(values[0]))
	}
	signed, err := signer.Sign(b.Build(), keys.AccessKey, keys.SecretKey)
	for name, value := range signed {
		request.Header.Set(name, value)
	}
	return err
}
