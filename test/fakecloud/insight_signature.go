package fakecloud

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
)

const (
	sdkAlgorithm  = "SDK-HMAC-SHA256"
	sdkTimeFormat = "20060102T150405Z"
	sdkUnsigned   = "UNSIGNED-PAYLOAD"
)

// sdkAuthorization is the parsed Authorization header.
type sdkAuthorization struct {
	access        string
	signedHeaders []string
	signature     string
}

// parseSDK reads the header as "API request signing guide: AK/SK signing" describes it.
func parseSDK(r *http.Request) (sdkAuthorization, *problem) {
	var auth sdkAuthorization
	malformed := incorrect("verify aksk signature fail, the Authorization header is not well formed")
	params, ok := strings.CutPrefix(r.Header.Get("Authorization"), sdkAlgorithm+" ")
	if !ok {
		return auth, malformed
	}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(params, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if value == "" || seen[name] {
			return auth, malformed
		}
		seen[name] = true
		switch name {
		case "Access":
			auth.access = value
		case "SignedHeaders":
			auth.signedHeaders = strings.Split(value, ";")
		case "Signature":
			auth.signature = value
		default:
			return auth, malformed
		}
	}
	if len(seen) != 3 || !sdkCovers(r, auth.signedHeaders) {
		return auth, malformed
	}
	return auth, nil
}

// sdkCovers tells whether the list of signed headers is as it should be: in lower case, sorted, all of them sent, and
// the time among them. The guide leaves others to the client, the host included.
func sdkCovers(r *http.Request, signed []string) bool {
	for i, name := range signed {
		if name != strings.ToLower(name) || i > 0 && signed[i-1] >= name || name != "host" && len(r.Header.Values(name)) == 0 {
			return false
		}
	}
	return slices.Contains(signed, "x-sdk-date")
}

// sdkPayload is what stands for the body in the signature: its checksum, or that there is none.
func sdkPayload(r *http.Request, body []byte) (string, *problem) {
	sum := sha256.Sum256(body)
	actual := hex.EncodeToString(sum[:])
	switch told := r.Header.Get("X-Sdk-Content-Sha256"); told {
	case "", actual:
		return actual, nil
	case sdkUnsigned:
		return told, nil
	}
	return "", incorrect("verify aksk signature fail, X-Sdk-Content-Sha256 does not match the body")
}

// sdkCanonical is the text whose digest is signed.
func sdkCanonical(r *http.Request, signed []string, payload string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + sdkPath(r.URL) + "\n" + sdkQuery(r.URL) + "\n")
	for _, name := range signed {
		values := slices.Clone(r.Header.Values(name))
		if name == "host" {
			values = []string{r.Host}
		}
		sort.Strings(values)
		for _, v := range values {
			b.WriteString(name + ":" + strings.TrimSpace(v) + "\n")
		}
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + payload)
	return b.String()
}

func sdkSign(secret, date, canonical string) string {
	digest := sha256.Sum256([]byte(canonical))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(sdkAlgorithm + "\n" + date + "\n" + hex.EncodeToString(digest[:])))
	return hex.EncodeToString(mac.Sum(nil))
}

// sdkPath encodes every segment anew and ends in a slash, whatever the path on the wire does.
func sdkPath(u *url.URL) string {
	path := acs3Path(u)
	if strings.HasSuffix(path, "/") {
		return path
	}
	return path + "/"
}

// sdkQuery sorts by name and then by value, before they are encoded.
func sdkQuery(u *url.URL) string {
	query := u.Query()
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(query)) {
		values := slices.Clone(query[name])
		sort.Strings(values)
		for _, v := range values {
			pairs = append(pairs, percentEncode(name)+"="+percentEncode(v))
		}
	}
	return strings.Join(pairs, "&")
}
