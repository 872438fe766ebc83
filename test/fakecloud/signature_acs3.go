package fakecloud

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"
)

const (
	acs3Algorithm  = "ACS3-HMAC-SHA256"
	acs3TimeFormat = "2006-01-02T15:04:05Z"
)

// acs3Required must be signed in every request.
var acs3Required = []string{
	"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version",
}

// acs3Authorization is the parsed Authorization header.
type acs3Authorization struct {
	credential    string
	signedHeaders []string
	signature     string
}

// authenticateACS3 verifies a request as "Alibaba Cloud documentation: V3 request body and
// signature mechanism" describes it.
func (s *Server) authenticateACS3(c *call, r *http.Request, body []byte) *problem {
	auth, p := parseACS3(r, c.service)
	if p != nil {
		return p
	}
	c.accessKeyID = auth.credential
	known, ok := s.identity(auth.credential)
	if !ok {
		return refuse(http.StatusNotFound, codeKeyNotFound, "Specified access key is not found.")
	}
	c.caller = cmp.Or(known.arn, c.caller)
	if p := s.checkACS3Time(r); p != nil {
		return p
	}
	sum := sha256.Sum256(body)
	payload := hex.EncodeToString(sum[:])
	if r.Header.Get("x-acs-content-sha256") != payload {
		return refuse(http.StatusBadRequest, codeSignature, "x-acs-content-sha256 does not match the body")
	}
	canonical := acs3Canonical(r, auth.signedHeaders, payload)
	if !sameText(auth.signature, acs3Sign(known.AccessKeySecret, canonical)) {
		return refuse(http.StatusBadRequest, codeSignature, "Specified signature does not match our calculation.")
	}
	if p := s.checkACS3Token(r, known); p != nil {
		return p
	}
	return s.useNonce(auth.credential, r.Header.Get("x-acs-signature-nonce"))
}

func parseACS3(r *http.Request, service string) (acs3Authorization, *problem) {
	var auth acs3Authorization
	incomplete := refuse(http.StatusBadRequest, codeIncomplete, "The request signature does not conform to Alibaba Cloud standards.")
	params, ok := strings.CutPrefix(r.Header.Get("Authorization"), acs3Algorithm+" ")
	if !ok {
		return auth, incomplete
	}
	for part := range strings.SplitSeq(params, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			auth.credential = value
		case "SignedHeaders":
			auth.signedHeaders = strings.Split(value, ";")
		case "Signature":
			auth.signature = value
		default:
			return auth, incomplete
		}
	}
	if auth.credential == "" || auth.signature == "" || !coversHeaders(r, auth.signedHeaders, service) {
		return auth, incomplete
	}
	return auth, nil
}

// coversHeaders tells whether the signature covers what it has to: the required headers, the
// content type, and every x-acs- header that is in the request. A call of the token service may
// have its action and version among the parameters instead.
func coversHeaders(r *http.Request, signed []string, service string) bool {
	if !slices.IsSorted(signed) {
		return false
	}
	need := slices.DeleteFunc(slices.Clone(acs3Required), func(name string) bool {
		return service == "sts" && (name == "x-acs-action" || name == "x-acs-version")
	})
	for name := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-acs-") || name == "content-type" {
			need = append(need, name)
		}
	}
	for _, name := range need {
		if !slices.Contains(signed, name) {
			return false
		}
	}
	return true
}

func (s *Server) checkACS3Time(r *http.Request) *problem {
	return s.checkTimestamp(r.Header.Get("x-acs-date"))
}

func (s *Server) checkTimestamp(text string) *problem {
	at, err := time.Parse(acs3TimeFormat, text)
	if err != nil {
		return refuse(http.StatusBadRequest, codeTimeFormat, "Specified time stamp or date value is not well formatted.")
	}
	if s.tooFar(at) {
		return refuse(http.StatusBadRequest, codeExpired, "Specified time stamp or date value is expired.")
	}
	return nil
}

func (s *Server) checkACS3Token(r *http.Request, known credential) *problem {
	switch {
	case !sameText(r.Header.Get("x-acs-security-token"), known.SecurityToken):
		return refuse(http.StatusBadRequest, codeTokenMismatch, "Specified SecurityToken is not valid for this access key.")
	case known.expired(s.now()):
		return refuse(http.StatusForbidden, codeTokenExpired, "Specified SecurityToken is expired.")
	}
	return nil
}

func (s *Server) useNonce(credential, nonce string) *problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	if nonce == "" || !s.nonces.use(credential+"/"+nonce, s.now()) {
		return refuse(http.StatusBadRequest, codeNonceUsed, "Specified signature nonce was used already.")
	}
	return nil
}

// acs3Canonical is the text whose digest is signed.
func acs3Canonical(r *http.Request, signed []string, payload string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + acs3Path(r.URL) + "\n" + acs3Query(r.URL) + "\n")
	for _, name := range signed {
		values := slices.Clone(r.Header.Values(name))
		if name == "host" {
			values = []string{r.Host}
		}
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		sort.Strings(values)
		b.WriteString(name + ":" + strings.Join(values, ",") + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + payload)
	return b.String()
}

func acs3Sign(secret, canonical string) string {
	digest := sha256.Sum256([]byte(canonical))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(acs3Algorithm + "\n" + hex.EncodeToString(digest[:])))
	return hex.EncodeToString(mac.Sum(nil))
}

// acs3Path encodes every segment anew: the signature is over the canonical encoding, whatever the
// client put on the wire.
func acs3Path(u *url.URL) string {
	segments := strings.Split(u.EscapedPath(), "/")
	for i, seg := range segments {
		plain, err := url.PathUnescape(seg)
		if err != nil {
			plain = seg
		}
		segments[i] = percentEncode(plain)
	}
	return strings.Join(segments, "/")
}

func acs3Query(u *url.URL) string {
	var pairs []string
	for name, values := range u.Query() {
		for _, v := range values {
			pairs = append(pairs, percentEncode(name)+"="+percentEncode(v))
		}
	}
	sort.Strings(pairs)
	return strings.Join(pairs, "&")
}

// percentEncode is the encoding of RFC 3986: everything but letters, digits, "-", "_", "." and "~".
func percentEncode(text string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		ch := text[i]
		switch {
		case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9',
			ch == '-', ch == '_', ch == '.', ch == '~':
			b.WriteByte(ch)
		default:
			b.WriteByte('%')
			b.WriteByte(hexDigits[ch>>4])
			b.WriteByte(hexDigits[ch&15])
		}
	}
	return b.String()
}
