package fakecloud

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// IAMProject is what tokens are good for: a region, or a part of one.
type IAMProject struct {
	ID string `json:"id"`
	// Name is like cn-southwest-2. A token can be asked for by it. Default: the id.
	Name string `json:"name,omitempty"`
}

// IAMUser is who gets tokens for a password.
type IAMUser struct {
	Domain   string `json:"domain"`
	Name     string `json:"name"`
	Password string `json:"-"`
	// Projects are ids of those that the user may have tokens for and export from; none stands for all.
	Projects []string `json:"projects,omitempty"`
}

// Caller is how the journal and the rules call the user.
func (u IAMUser) Caller() string { return u.Domain + "/" + u.Name }

// mayUse tells whether a project is the user's.
func (u *IAMUser) mayUse(project string) bool {
	return u != nil && (len(u.Projects) == 0 || slices.Contains(u.Projects, project))
}

// IAMKey is an access key of DataArts Insight. Those of the other services don't open it.
type IAMKey struct {
	AccessKeyID     string `json:"accessKeyID"`
	SecretAccessKey string `json:"-"`
	// SecurityToken makes the key a temporary one: requests must carry exactly this token.
	SecurityToken string `json:"-"`
	// Expires is when a temporary key ends by the server's clock; the zero time is never.
	Expires time.Time `json:"expires,omitzero"`
	// User is like domain/name; the key may do what that user may. Without one it may do everything.
	User string `json:"user,omitempty"`
}

// iamKey is a key and what came of its last signatures.
type iamKey struct {
	IAMKey
	failures int
	locked   time.Time
}

// IAMToken is a token that was issued or added.
type IAMToken struct {
	Token string `json:"-"`
	// User is like domain/name.
	User string `json:"user"`
	// Project is an id; empty for a token of the whole domain.
	Project string `json:"project,omitempty"`
	// Expires is by the server's clock.
	Expires time.Time `json:"expires"`
}

// AddIAMProject adds a project, or gives one another name.
func (s *Server) AddIAMProject(p IAMProject) error {
	if p.ID == "" {
		return errors.New("the project has no id")
	}
	if p.Name == "" {
		p.Name = p.ID
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.insight.projects[p.ID] = p
	return nil
}

// AddIAMUser adds a user, or replaces one. Another password ends the user's tokens at once; the service takes up to 30
// minutes for it.
func (s *Server) AddIAMUser(u IAMUser) error {
	if u.Domain == "" || u.Name == "" || u.Password == "" {
		return errors.New("the user lacks a domain, a name or a password")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u.Projects = slices.Clone(u.Projects)
	if have := s.insight.users[u.Caller()]; have != nil && have.Password != u.Password {
		s.insight.endTokens(func(t IAMToken) bool { return t.User == u.Caller() })
	}
	s.insight.users[u.Caller()] = &u
	return nil
}

// RemoveIAMUser removes a user and ends its tokens.
func (s *Server) RemoveIAMUser(domain, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	caller := IAMUser{Domain: domain, Name: name}.Caller()
	delete(s.insight.users, caller)
	s.insight.endTokens(func(t IAMToken) bool { return t.User == caller })
}

// AddIAMKey adds an access key, or replaces one.
func (s *Server) AddIAMKey(k IAMKey) error {
	if k.AccessKeyID == "" || k.SecretAccessKey == "" {
		return errors.New("the access key lacks an id or a secret")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k.User != "" && s.insight.users[k.User] == nil {
		return fmt.Errorf("unknown user %q", k.User)
	}
	s.insight.keys[k.AccessKeyID] = &iamKey{IAMKey: k}
	return nil
}

// RemoveIAMKey makes an access key unknown.
func (s *Server) RemoveIAMKey(accessKeyID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.insight.keys, accessKeyID)
}

// AddIAMToken makes a token good that nobody asked for.
func (s *Server) AddIAMToken(t IAMToken) error {
	if t.Token == "" || t.User == "" || t.Expires.IsZero() {
		return errors.New("the token is empty, or lacks a user or an end")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.insight.users[t.User] == nil {
		return fmt.Errorf("unknown user %q", t.User)
	}
	s.insight.tokens[t.Token] = t
	return nil
}

// ExpireIAMTokens ends all tokens that there are.
func (s *Server) ExpireIAMTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for text, t := range s.insight.tokens {
		if t.Expires.After(now) {
			t.Expires = now
			s.insight.tokens[text] = t
		}
	}
}

// DenyExports takes the IAM permission to export from an access key or from a user like domain/name.
func (s *Server) DenyExports(who string) error { return s.setNoExports(who, true) }

// AllowExports undoes DenyExports.
func (s *Server) AllowExports(who string) error { return s.setNoExports(who, false) }

func (s *Server) setNoExports(who string, denied bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.insight.keys[who] == nil && s.insight.users[who] == nil:
		return fmt.Errorf("unknown access key id or user %q", who)
	case denied:
		s.insight.noExports[who] = true
	default:
		delete(s.insight.noExports, who)
	}
	return nil
}

// endTokens makes tokens unknown; the lock is held.
func (c *insightCloud) endTokens(which func(IAMToken) bool) {
	for text, t := range c.tokens {
		if which(t) {
			delete(c.tokens, text)
		}
	}
}

// tokenList returns the tokens without their text; the lock is held.
func (c *insightCloud) tokenList() []IAMToken {
	out := []IAMToken{}
	for _, t := range c.tokens {
		t.Token = ""
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b IAMToken) int {
		if order := a.Expires.Compare(b.Expires); order != 0 {
			return order
		}
		return strings.Compare(a.User+" "+a.Project, b.User+" "+b.Project)
	})
	return out
}
