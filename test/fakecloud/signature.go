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
	// Denied refuses every call of this identity, with this code on the OpenAPI and ODPS-0420095 on
	// the ODPS service.
	Denied string `json:"denied,omitempty"`
}

// authenticate verifies who sent a request.
func (s *Server) authenticate(c *call, r *http.Request, body []byte) *problem {
	if c.service == "odps" {
		return s.authenticateODPS(c, r, body)
	}
	return s.authenticateACS3(c, r, body)
}

// identity returns a copy of what is known about an access key.
func (s *Server) identity(id string) (Identity, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.identities[id]
	if !ok {
		return Identity{}, false
	}
	return *known, true
}

// denied refuses identities that may do nothing; the lock is held.
func (s *Server) denied(c *call) *problem {
	known := s.identities[c.accessKeyID]
	if known == nil || known.Denied == "" {
		return nil
	}
	code := known.Denied
	if c.service == "odps" {
		code = codeAccessDenied
	}
	return refuse(http.StatusForbidden, code, "Access Denied - [4019] You have NO privilege for this operation.")
}

func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func (s *Server) tooFar(t time.Time) bool {
	off := s.clock().Sub(t)
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
