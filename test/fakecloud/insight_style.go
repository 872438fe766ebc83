package fakecloud

import (
	"errors"
	"fmt"
	"slices"
)

// How a header is left out.
const headerAbsent = "-"

// Codes of the gateway for a token that has expired; sources show both.
const (
	// TokenUpdated is APIGW.0307, "The token must be updated.".
	TokenUpdated = "updated"
	// TokenExpires is APIGW.0301, "Incorrect IAM authentication information: token expires, …".
	TokenExpires = "expires"
)

// minIAMToken keeps tokens distinct, maxIAMToken is the documented bound.
const (
	defaultIAMToken = 2048
	minIAMToken     = 64
	maxIAMToken     = 8192
)

// InsightStyle is how DataArts Insight and its IAM speak where the documentation leaves it open.
type InsightStyle struct {
	// ContentType of an export. Default: application/octet-stream; "-" leaves the header out.
	ContentType string `json:"contentType,omitempty"`
	// Disposition is the value of Content-Disposition. Default: an attachment called like the package; "-" leaves it out.
	Disposition string `json:"disposition,omitempty"`
	// Chunked sends exports without a Content-Length.
	Chunked bool `json:"chunked,omitempty"`
	// TokenBytes is the length of tokens from now on. Default: 2048.
	TokenBytes int `json:"tokenBytes,omitempty"`
	// ExpiredToken is TokenUpdated (the default) or TokenExpires.
	ExpiredToken string `json:"expiredToken,omitempty"`
	// InstancesNeedWorkspace refuses a list of instances that names no workspace, as the list of its headers has it.
	InstancesNeedWorkspace bool `json:"instancesNeedWorkspace,omitempty"`
	// Seed goes into every export, so that two clouds with the same content have different bytes.
	Seed int64 `json:"seed,omitempty"`
}

// Validate reports a style that can't be.
func (st InsightStyle) Validate() error {
	switch {
	case st.TokenBytes != 0 && (st.TokenBytes < minIAMToken || st.TokenBytes > maxIAMToken):
		return fmt.Errorf("tokens have %d to %d bytes", minIAMToken, maxIAMToken)
	case !slices.Contains([]string{"", TokenUpdated, TokenExpires}, st.ExpiredToken):
		return fmt.Errorf("unknown refusal of expired tokens %q", st.ExpiredToken)
	case !validHeader(st.ContentType) || !validHeader(st.Disposition):
		return errors.New("a header in the style has control characters")
	}
	return nil
}

func validHeader(value string) bool {
	return !slices.ContainsFunc([]byte(value), func(b byte) bool { return b < ' ' || b == 0x7f })
}

// SetInsightStyle changes how DataArts Insight speaks. It panics on a style that is not valid: that is a mistake in
// the test.
func (s *Server) SetInsightStyle(style InsightStyle) {
	if err := style.Validate(); err != nil {
		panic("fakecloud: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.insight.style = style
}
