package maxcompute

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the service's signature is defined with SHA-1
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// sign adds the headers of an ODPS request's signature. resource is the path without the endpoint's own, not escaped.
func (c *Client) sign(request *http.Request, k openapi.Keys, resource string, now time.Time) {
	now = now.UTC()
	request.Header.Set("Date", now.Format(http.TimeFormat))
	request.Header.Set("User-Agent", "maxcompute-operator")
	canonical := canonicalString(request, resource)
	if c.config.Region == "" {
		request.Header.Set("Authorization", signV2(k, canonical))
	} else {
		request.Header.Set("Authorization", signV4(k, canonical, c.config.Region, now))
	}
	if k.SecurityToken != "" {
		// Sent, but no part of what is signed.
		request.Header.Set("Authorization-Sts-Token", k.SecurityToken)
	}
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
func signV2(k openapi.Keys, canonical string) string {
	return fmt.Sprintf("ODPS %s:%s", k.AccessKeyID, base64.StdEncoding.EncodeToString(mac(sha1.New, []byte(k.AccessKeySecret), canonical)))
}

// signV4 signs with a key derived for one day and region. The chain is SHA-256, the signature itself SHA-1.
func signV4(k openapi.Keys, canonical, region string, now time.Time) string {
	date := now.Format("20060102")
	key := []byte("aliyun_v4" + k.AccessKeySecret)
	for _, part := range []string{date, region, "odps", "aliyun_v4_request"} {
		key = mac(sha256.New, key, part)
	}
	signature := base64.StdEncoding.EncodeToString(mac(sha1.New, key, canonical))
	return fmt.Sprintf("ODPS %s/%s/%s/odps/aliyun_v4_request:%s", k.AccessKeyID, date, region, signature)
}

func mac(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
