package fakecloud

import (
	"cmp"
	"crypto"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"
)

// defaultSession is how long a session lasts if neither the request nor the role says otherwise
// ("Alibaba Cloud documentation: AssumeRole"), minSession and maxSession what a request may ask for.
const (
	minSession     = 15 * time.Minute
	defaultSession = time.Hour
	maxSession     = 12 * time.Hour
)

var ramRoleARN = regexp.MustCompile(`^acs:ram::[0-9]+:role/[A-Za-z0-9.@_-]+$`)

// RAMRole is a role of the account that access keys and tokens can be exchanged for: a session of it
// has a temporary access key.
type RAMRole struct {
	// Arn is like acs:ram::123456789012:role/operator.
	Arn string `json:"arn"`
	// TrustedAccessKeys may assume the role: ids of access keys, and ARNs of other RAM roles.
	TrustedAccessKeys []string `json:"trustedAccessKeys,omitempty"`
	// ExternalID has to be named by who assumes the role, if it is set.
	ExternalID string `json:"externalID,omitempty"`
	// OIDC lets tokens of an identity provider be exchanged.
	OIDC *OIDCTrust `json:"oidc,omitempty"`
	// MaxDuration bounds sessions. Default: one hour.
	MaxDuration time.Duration `json:"-"`
	// SuperAdministrator lets sessions manage admin roles.
	SuperAdministrator bool `json:"superAdministrator,omitempty"`
}

// OIDCTrust says which tokens can be exchanged for a session of a RAM role.
type OIDCTrust struct {
	// ProviderArn is like acs:ram::123456789012:oidc-provider/cluster.
	ProviderArn string `json:"providerArn"`
	// Audience must be among the token's.
	Audience string `json:"audience"`
	// Subjects are those that may, like system:serviceaccount:default:operator.
	Subjects []string `json:"subjects"`
	// Issuer must be the token's, if it is set.
	Issuer string `json:"issuer,omitempty"`
	// Key verifies tokens that are signed with RS256 (an *rsa.PublicKey) or ES256 (an
	// *ecdsa.PublicKey). Without a key no signature is looked at.
	Key crypto.PublicKey `json:"-"`
}

// Validate reports a RAM role that can't be.
func (r RAMRole) Validate() error {
	switch {
	case !ramRoleARN.MatchString(r.Arn):
		return fmt.Errorf("%q is not the ARN of a RAM role", r.Arn)
	case r.MaxDuration < 0 || r.MaxDuration > maxSession:
		return fmt.Errorf("sessions of %s would last %s", r.Arn, r.MaxDuration)
	case r.OIDC != nil && (r.OIDC.ProviderArn == "" || r.OIDC.Audience == ""):
		return errors.New("the trust in tokens lacks a provider or an audience")
	}
	return nil
}

// ramRole is a RAM role with what its sessions may do.
type ramRole struct {
	RAMRole
	rules rules
	// id is what RAM would call it; it shows in the ids of assumed roles.
	id int
}

// firstRAMRoleID is where made-up ids of RAM roles start.
const firstRAMRoleID = 300000000000000001

// Session is what became of one exchange.
type Session struct {
	// Arn is that of the RAM role.
	Arn         string    `json:"arn"`
	SessionName string    `json:"sessionName"`
	AccessKeyID string    `json:"accessKeyID"`
	Expiration  time.Time `json:"expiration"`
}

type session struct {
	Session
	secret, token string
}

func (s *session) credential() credential {
	return credential{
		Identity: Identity{AccessKeyID: s.AccessKeyID, AccessKeySecret: s.secret, SecurityToken: s.token},
		arn:      s.Arn, expires: s.Expiration,
	}
}

// AddRAMRole adds a RAM role, or replaces one; what Deny, Limit and their like said of it is
// forgotten then, and its sessions stay. It panics on a role that is not valid: that is a mistake in
// the test.
func (s *Server) AddRAMRole(r RAMRole) {
	if err := r.Validate(); err != nil {
		panic("fakecloud: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := firstRAMRoleID + len(s.ramRoles)
	if old := s.ramRoles[r.Arn]; old != nil {
		id = old.id
	}
	r.TrustedAccessKeys = slices.Clone(r.TrustedAccessKeys)
	s.ramRoles[r.Arn] = &ramRole{RAMRole: r, id: id, rules: rules{superAdministrator: r.SuperAdministrator}}
}

// RemoveRAMRole removes a RAM role and its sessions: their access keys are unknown from now on.
func (s *Server) RemoveRAMRole(arn string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ramRoles, arn)
	maps.DeleteFunc(s.sessions, func(_ string, v *session) bool { return v.Arn == arn })
}

// Sessions returns the sessions since the start, expired ones included, in the order in which they
// began. It never holds secrets.
func (s *Server) Sessions() []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessionList()
}

func (s *Server) sessionList() []Session {
	out := []Session{}
	for _, id := range slices.Sorted(maps.Keys(s.sessions)) {
		out = append(out, s.sessions[id].Session)
	}
	return out
}

// ExpireSessions ends all sessions that there are.
func (s *Server) ExpireSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for _, v := range s.sessions {
		if v.Expiration.After(now) {
			v.Expiration = now
		}
	}
}

// openSession begins a session of a RAM role; duration is zero if the request did not say.
func (t *txn) openSession(r *ramRole, name string, duration time.Duration) (answer, *problem) {
	limit := cmp.Or(r.MaxDuration, defaultSession)
	if duration > limit {
		return answer{}, badParameter("DurationSeconds", "The Min/Max value of DurationSeconds is 15min/%gmin.", limit.Minutes())
	}
	t.s.opened++
	number := fmt.Sprintf("%06d", t.s.opened)
	v := &session{
		Session: Session{
			Arn: r.Arn, SessionName: name, AccessKeyID: "STS.fake" + number,
			Expiration: t.s.now().Add(cmp.Or(duration, min(defaultSession, limit))).UTC().Truncate(time.Second),
		},
		secret: "fake-secret-of-session-" + number, token: "fake-token-of-session-" + number,
	}
	t.s.sessions[v.AccessKeyID] = v
	body := mustJSON(assumedRole{
		User: assumedRoleUser{Arn: r.Arn + "/" + name, ID: fmt.Sprintf("%d:%s", r.id, name)},
		Credentials: stsCredentials{
			AccessKeyID: v.AccessKeyID, AccessKeySecret: v.secret, SecurityToken: v.token,
			Expiration: v.Expiration.Format(acs3TimeFormat),
		},
	})
	return answer{render: func() []byte { return body }}, nil
}
