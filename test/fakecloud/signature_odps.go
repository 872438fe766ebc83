package fakecloud

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // Content-MD5 is what the protocol has.
	"crypto/sha1" //nolint:gosec // The protocol signs with HMAC-SHA1.
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"
)

// odpsBase is the part of the path that belongs to the endpoint and is not signed.
const odpsBase = "/api"

// odpsCredential is what the Authorization header says: "ODPS <credential>:<signature>", where the
// credential is the access key id (V2) or id/date/region/odps/aliyun_v4_request (V4).
type odpsCredential struct {
	id, date, region string
	v4               bool
	signature        string
}

// authenticateODPS verifies a request as the public ODPS SDKs sign it (aliyun-odps-python-sdk,
// aliyun-odps-java-sdk).
func (s *Server) authenticateODPS(c *call, r *http.Request, body []byte) *problem {
	cred, p := parseODPSCredential(r.Header.Get("Authorization"))
	if p != nil {
		return p
	}
	c.accessKeyID = cred.id
	known, ok := s.identity(cred.id)
	if !ok {
		return refuse(http.StatusUnauthorized, codeAuthCredentials, "Invalid credentials - accessKeyId not found")
	}
	c.caller = known.arn
	date, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return refuse(http.StatusBadRequest, codeAuthInvalid, "Invalid authentication parameter - malformed Date header")
	}
	if s.tooFar(date) || cred.v4 && !sameDay(cred.date, date) {
		return refuse(http.StatusBadRequest, codeAuthExpired, "Authentication request expired - the expire time interval exceeds the max limitation: 900000")
	}
	if sum := r.Header.Get("Content-MD5"); sum != "" && !matchesMD5(sum, body) {
		return refuse(http.StatusBadRequest, codeAuthInvalid, "Invalid authentication parameter - Content-MD5 does not match the body")
	}
	if !sameText(cred.signature, cred.sign(known.AccessKeySecret, odpsCanonical(r))) {
		return refuse(http.StatusUnauthorized, codeAuthSignature, "Invalid signature value - User signature dose not match")
	}
	if !sameText(r.Header.Get("authorization-sts-token"), known.SecurityToken) {
		return refuse(http.StatusUnauthorized, codeAuthCredentials, "Invalid credentials - security token does not match the access key")
	}
	if known.expired(s.now()) { // that the code is this one is made up
		return refuse(http.StatusUnauthorized, codeAuthCredentials, "Invalid credentials - security token is expired")
	}
	return nil
}

func parseODPSCredential(header string) (odpsCredential, *problem) {
	var cred odpsCredential
	if header == "" {
		return cred, refuse(http.StatusBadRequest, codeAuthMissing, "Authentication parameter missing - Authorization")
	}
	malformed := refuse(http.StatusBadRequest, codeAuthInvalid, "Invalid authentication parameter - malformed Authorization header")
	rest, ok := strings.CutPrefix(header, "ODPS ")
	if !ok {
		return cred, malformed
	}
	scope, signature, ok := strings.Cut(rest, ":")
	if !ok || signature == "" {
		return cred, malformed
	}
	cred.signature = signature
	parts := strings.Split(scope, "/")
	cred.id = parts[0]
	switch {
	case len(parts) == 1 && cred.id != "":
		return cred, nil
	case len(parts) == 5 && parts[3] == "odps" && parts[4] == "aliyun_v4_request" && parts[2] != "":
		cred.v4, cred.date, cred.region = true, parts[1], parts[2]
		return cred, nil
	}
	return cred, malformed
}

// sameDay allows for a request that was signed around midnight.
func sameDay(day string, date time.Time) bool {
	const format = "20060102"
	utc := date.UTC()
	return day == utc.Format(format) || day == utc.Add(time.Minute).Format(format) || day == utc.Add(-time.Minute).Format(format)
}

func matchesMD5(sum string, body []byte) bool {
	got := md5.Sum(body) //nolint:gosec // See the import.
	// Clients of this service send the digest in hexadecimal or in base64.
	return strings.EqualFold(sum, hex.EncodeToString(got[:])) || sum == base64.StdEncoding.EncodeToString(got[:])
}

func (c odpsCredential) sign(secret, canonical string) string {
	key := []byte(secret)
	if c.v4 {
		key = []byte("aliyun_v4" + secret)
		for _, part := range []string{c.date, c.region, "odps", "aliyun_v4_request"} {
			key = keyedHash(sha256.New, key, part)
		}
	}
	return base64.StdEncoding.EncodeToString(keyedHash(sha1.New, key, canonical))
}

func keyedHash(h func() hash.Hash, key []byte, text string) []byte {
	mac := hmac.New(h, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// odpsCanonical is the text that is signed.
func odpsCanonical(r *http.Request) string {
	lines := []string{r.Method, r.Header.Get("Content-MD5"), r.Header.Get("Content-Type"), r.Header.Get("Date")}
	signed := map[string]string{}
	for name, values := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-odps-") {
			signed[name] = strings.Join(values, ",")
		}
	}
	query := r.URL.Query()
	for name := range query {
		if low := strings.ToLower(name); strings.HasPrefix(low, "x-odps-") {
			signed[low] = query.Get(name)
		}
	}
	for _, name := range sortedKeys(signed) {
		lines = append(lines, name+":"+signed[name])
	}
	return strings.Join(append(lines, odpsResource(r.URL.Path, query)), "\n")
}

// odpsResource is the decoded path without the endpoint's own part, and the sorted query, whose
// values are not escaped.
func odpsResource(path string, query url.Values) string {
	resource := strings.TrimPrefix(path, odpsBase)
	var pairs []string
	for name := range query {
		if v := query.Get(name); v != "" {
			pairs = append(pairs, name+"="+v)
			continue
		}
		pairs = append(pairs, name)
	}
	slices.Sort(pairs)
	if len(pairs) == 0 {
		return resource
	}
	return resource + "?" + strings.Join(pairs, "&")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
