package maxcompute

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the service's signature is defined with SHA-1
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/alibabacloud-go/tea/dara"
)

// keys are one snapshot of credentials: a whole signature is made from one.
type keys struct {
	accessKeyID, accessKeySecret, securityToken string
}

func (c *Client) keys() (keys, error) {
	model, err := c.config.Credential.GetCredential()
	if err != nil {
		return keys{}, err
	}
	k := keys{dara.StringValue(model.AccessKeyId), dara.StringValue(model.AccessKeySecret), dara.StringValue(model.SecurityToken)}
	if k.accessKeyID == "" || k.accessKeySecret == "" {
		return keys{}, errors.New("no access key")
	}
	return k, nil
}

// sign adds the headers of an ODPS request's signature. resource is the path without the endpoint's own, not escaped.
func (c *Client) sign(request *http.Request, resource string, now time.Time) error {
	k, err := c.keys()
	if err != nil {
		return err
	}
	now = now.UTC()
	request.Header.Set("Date", now.Format(http.TimeFormat))
	request.Header.Set("User-Agent", "maxcompute-operator")
	canonical := canonicalString(request, resource)
	if c.config.Region == "" {
		request.Header.Set("Authorization", signV2(k, canonical))
	} else {
		request.Header.Set("Authorization", signV4(k, canonical, c.config.Region, now))
	}
	if k.securityToken != "" {
		// Sent, but no part of what is signed.
		request.Header.Set("Authorization-Sts-Token", k.securityToken)
	}
	return nil
}

// canonicalString is what the service signs: method, two headers, the date, the x-odps- headers, and the resource.
func canonicalString(request *http.Request, resource string) string {
	lines := []string{request.Method, request.Header.Get("Content-MD5"), request.Header.Get("Content-Type"), request.Header.Get("Date")}
	var extra []string
	for name, values := range request.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-odps-") {
			extra = append(extra, lower+":"+strings.Join(values, ","))
		}
	}
	slices.Sort(extra)
	return strings.Join(append(append(lines, extra...), resource), "\n")
}

// signV2 signs with the key itself.
func signV2(k keys, canonical string) string {
	return fmt.Sprintf("ODPS %s:%s", k.accessKeyID, base64.StdEncoding.EncodeToString(mac(sha1.New, []byte(k.accessKeySecret), canonical)))
}

// signV4 signs with a key derived for one day and region. The chain is SHA-256, the signature itself SHA-1.
func signV4(k keys, canonical, region string, now time.Time) string {
	date := now.Format("20060102")
	key := []byte("aliyun_v4" + k.accessKeySecret)
	for _, part := range []string{date, region, "odps", "aliyun_v4_request"} {
		key = mac(sha256.New, key, part)
	}
	signature := base64.StdEncoding.EncodeToString(mac(sha1.New, key, canonical))
	return fmt.Sprintf("ODPS %s/%s/%s/odps/aliyun_v4_request:%s", k.accessKeyID, date, region, signature)
}

func mac(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
