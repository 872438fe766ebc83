package fakecloud

import (
	"crypto/subtle"
	"net/http"
	"time"
)

// clockSkew is how far the time in a signature may be off.
const clockSkew = 15 * time.Minute

// Identity is an access key that the fake knows.
type Identity struct {
	AccessKeyID     string `json:"accessKeyID"`
	AccessKeySecret string `json:"-"`
	// SecurityToken makes the key a temporary one: requests must carry exactly this token.
	SecurityToken string `json:"-"`
	// Denied refuses every call of this identity; Deny tells how.
	Denied string `json:"denied,omitempty"`
	// SuperAdministrator lets this identity manage admin roles.
	SuperAdministrator bool `json:"superAdministrator,omitempty"`
}

// credential is what the fake knows about an access key. Of a session it also has the ARN of the
// RAM role, and when it ends.
type credential struct {
	Identity
	arn     string
	expires time.Time
}

func (c credential) expired(now time.Time) bool { return !c.expires.IsZero() && !now.Before(c.expires) }

// authenticate verifies who sent a request.
func (s *Server) authenticate(c *call, r *http.Request, body []byte) *problem {
	switch {
	case c.service == "iam":
		return nil // a password is in the body
	case c.service == "insight":
		return s.authenticateInsight(c, r, body)
	case c.service == "odps":
		return s.authenticateODPS(c, r, body)
	case c.anonymous && r.Header.Get("Authorization") == "":
		return nil
	}
	return s.authenticateACS3(c, r, body)
}

// identity returns a copy of what is known about an access key.
func (s *Server) identity(id string) (credential, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.identities[id]; ok {
		return credential{Identity: known.Identity}, true
	}
	if known, ok := s.sessions[id]; ok {
		return known.credential(), true
	}
	return credential{}, false
}

func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (s *Server) tooFar(t time.Time) bool {
	now := s.now()
	if s.signaturesByClock {
		now = s.clock()
	}
	off := now.Sub(t)
	return off > clockSkew || off < -clockSkew
}

// nonces remembers the numbers of signed requests in two generations, so that it forgets the old
// ones without keeping a time for each.
type nonces struct {
	current, previous map[string]struct{}
	turned            time.Time
}

// use reports whether a nonce is new, and remembers it.
func (n *nonces) use(nonce string, now time.Time) bool {
	if n.current == nil || now.Sub(n.turned) > 2*clockSkew {
		n.previous, n.current, n.turned = n.current, map[string]struct{}{}, now
	}
	if _, used := n.current[nonce]; used {
		return false
	}
	if _, used := n.previous[nonce]; used {
		return false
	}
	n.current[nonce] = struct{}{}
	return true
}
