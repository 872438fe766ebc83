package openapi

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// Keys are one snapshot of credentials: a whole signature is made from one.
type Keys struct {
	AccessKeyID, AccessKeySecret, SecurityToken string
}

// Keys implements Credential with keys that never change.
func (k Keys) Keys() Keys { return k }

// Format implements fmt.Formatter: whoever prints keys sees none.
func (Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "…") } //nolint:errcheck // there is nobody to tell

// Credential hands out the present keys, once per request. It is called concurrently and must not block.
type Credential interface {
	Keys() Keys
}

// KeysOf takes a snapshot of a credential.
func KeysOf(credential Credential, op string) (Keys, error) {
	var keys Keys
	if credential != nil {
		keys = credential.Keys()
	}
	if keys.AccessKeyID == "" || keys.AccessKeySecret == "" {
		return Keys{}, &cloud.Error{Code: cloud.AuthenticationFailed, Op: op, Message: "the credentials give no keys to sign with"}
	}
	return keys, nil
}

// algorithm is the vendor's signature, version 3.
const algorithm = "ACS3-HMAC-SHA256"

// sign signs a request that the library has formed.
func sign(request *http.Request, keys Keys) {
	if keys.SecurityToken != "" {
		request.Header["x-acs-accesskey-id"] = []string{keys.AccessKeyID}
		request.Header["x-acs-security-token"] = []string{keys.SecurityToken}
	}
	headers := make(map[string]*string, len(request.Header))
	for name, values := range request.Header {
		headers[strings.ToLower(name)] = new(values[0])
	}
	query := map[string]*string{}
	for name, values := range request.URL.Query() {
		query[name] = new(values[0])
	}
	signed := &dara.Request{Method: new(request.Method), Pathname: new(request.URL.EscapedPath()), Headers: headers, Query: query}
	authorization := utils.GetAuthorization(signed, new(algorithm), headers["x-acs-content-sha256"], new(keys.AccessKeyID), new(keys.AccessKeySecret))
	request.Header["Authorization"] = []string{dara.StringValue(authorization)}
}
