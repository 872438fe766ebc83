package fakecloud

import (
	"net/http"
	"time"
)

// Keys are locked after so many failures in a row, for so long ("API request signing guide: common errors").
const (
	keyFailures = 5
	keyLock     = 5 * time.Minute
)

// incorrect is the gateway's refusal of who can't be made out.
func incorrect(format string, args ...any) *problem {
	return refuse(http.StatusUnauthorized, codeGatewayIncorrect, "Incorrect IAM authentication information: "+format, args...)
}

// authenticateInsight verifies a token or a signature. The pages of the service have only the former; its guide to
// authentication has both.
func (s *Server) authenticateInsight(c *call, r *http.Request, body []byte) *problem {
	switch {
	case r.Header.Get("X-Auth-Token") != "":
		return s.checkIAMToken(c, r.Header.Get("X-Auth-Token"))
	case r.Header.Get("Authorization") != "":
		return s.authenticateSDK(c, r, body)
	}
	return incorrect("x-auth-token not found")
}

func (s *Server) checkIAMToken(c *call, text string) *problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.insight.tokens[text]
	if !ok {
		return incorrect("decrypt token fail")
	}
	c.caller, c.tokenProject = t.User, t.Project
	if s.now().Before(t.Expires) {
		return nil
	}
	if s.insight.style.ExpiredToken == TokenExpires {
		return incorrect("token expires, expires_at: %s", t.Expires.UTC().Format(iamTimeFormat))
	}
	return refuse(http.StatusUnauthorized, codeGatewayUpdate, "The token must be updated.")
}

// authenticateSDK verifies a signature, unless the key has failed too often.
func (s *Server) authenticateSDK(c *call, r *http.Request, body []byte) *problem {
	auth, p := parseSDK(r)
	if p != nil {
		return p
	}
	c.accessKeyID = auth.access
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.insight.keys[auth.access]
	if key == nil {
		return incorrect("Get secretKey failed,ak:%s,err:ak not exist", auth.access)
	}
	c.caller = key.User
	if s.now().Before(key.locked) {
		return incorrect("AK access failed to reach the limit,forbidden.")
	}
	if p := s.verifySDK(key, auth, r, body); p != nil {
		if key.failures++; key.failures > keyFailures {
			key.failures, key.locked = 0, s.now().Add(keyLock)
		}
		return p
	}
	key.failures = 0
	return nil
}

// verifySDK compares the signature and what goes with it. The texts about times and tokens are made up.
func (s *Server) verifySDK(key *iamKey, auth sdkAuthorization, r *http.Request, body []byte) *problem {
	at, err := time.Parse(sdkTimeFormat, r.Header.Get("X-Sdk-Date"))
	if err != nil {
		return incorrect("verify aksk signature fail, X-Sdk-Date is not well formed")
	}
	if s.tooFar(at) {
		return incorrect("verify aksk signature fail, signature expired, signature time:%s,server time:%s",
			at.Format(sdkTimeFormat), s.now().UTC().Format(sdkTimeFormat))
	}
	payload, p := sdkPayload(r, body)
	if p != nil {
		return p
	}
	canonical := sdkCanonical(r, auth.signedHeaders, payload)
	switch {
	case !sameText(auth.signature, sdkSign(key.SecretAccessKey, r.Header.Get("X-Sdk-Date"), canonical)):
		return incorrect("verify aksk signature fail, the signature does not match")
	case !sameText(r.Header.Get("X-Security-Token"), key.SecurityToken):
		return incorrect("verify aksk signature fail, the security token does not match the access key")
	case !key.Expires.IsZero() && !s.now().Before(key.Expires):
		return incorrect("verify aksk signature fail, the security token has expired")
	}
	return nil
}
