package fakecloud

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxToken is the documented size of a token.
const maxToken = 20000

// webToken is a decoded JSON Web Token.
type webToken struct {
	algorithm string
	claims    claims
	signed    string
	signature []byte
}

// claims are those that count.
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	ExpiresAt float64  `json:"exp"`
	NotBefore float64  `json:"nbf"`
}

// audience is one text or a list of them.
type audience []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(raw []byte) error {
	return json.Unmarshal(oneOrMany(raw), (*[]string)(a))
}

func oidcProblem(code, message string) *problem {
	return refuse(http.StatusBadRequest, code, "%s", message)
}

func oidcNoPermission(message string) *problem {
	return refuse(http.StatusForbidden, codeOIDCNoPermission, "%s", message)
}

// bindAssumeRoleWithOIDC: see "Alibaba Cloud documentation: AssumeRoleWithOIDC".
func bindAssumeRoleWithOIDC(req *stsRequest) (operation, *problem) {
	provider, text := req.params.Get("OIDCProviderArn"), req.params.Get("OIDCToken")
	if !strings.HasPrefix(provider, "acs:ram::") {
		return nil, oidcNoPermission("Parameter OIDCProviderArn is not valid")
	}
	tok, ok := parseToken(text)
	if !ok {
		return nil, oidcProblem(codeOIDCInvalid, "The OIDC token is not a valid JSON Web Token.")
	}
	req.call.caller = tok.claims.Subject
	return func(t *txn) (answer, *problem) {
		r, refusal := t.ramRole(req)
		if refusal != nil {
			return answer{}, refusal
		}
		if r.OIDC == nil || r.OIDC.ProviderArn != provider {
			return answer{}, oidcNoPermission("No such OIDC Provider registered.")
		}
		if refusal := r.OIDC.check(tok, t.s.now()); refusal != nil {
			return answer{}, refusal
		}
		return t.openSession(r, req.sessionName, req.duration)
	}, nil
}

// parseToken decodes a token in the compact form.
func parseToken(text string) (webToken, bool) {
	var tok webToken
	parts := strings.Split(text, ".")
	if len(parts) != 3 || len(text) > maxToken {
		return tok, false
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	if !decodePart(parts[0], &header) || !decodePart(parts[1], &tok.claims) || header.Algorithm == "" || tok.claims.Subject == "" {
		return tok, false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	tok.algorithm, tok.signed, tok.signature = header.Algorithm, parts[0]+"."+parts[1], signature
	return tok, err == nil
}

func decodePart(part string, v any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, v) == nil
}

// check holds a token against the trust. The order is made up.
func (o *OIDCTrust) check(tok webToken, now time.Time) *problem {
	expires := time.Unix(int64(tok.claims.ExpiresAt), 0)
	switch {
	case o.Issuer != "" && o.Issuer != tok.claims.Issuer:
		return oidcProblem(codeOIDCIssuer, "The issuer in the OIDC Token doesn't match the OIDC Provider registered.")
	case o.Key != nil && !tok.verify(o.Key), tok.claims.ExpiresAt == 0:
		return oidcProblem(codeOIDCInvalid, "This JsonWebToken is not valid.")
	case !now.Before(expires):
		return oidcProblem(codeOIDCExpired, "This JsonWebToken is expired.")
	case now.Add(clockSkew).Before(time.Unix(int64(tok.claims.NotBefore), 0)):
		return oidcProblem(codeOIDCInvalid, "This JsonWebToken is not valid yet.")
	case !slices.Contains(tok.claims.Audience, o.Audience):
		return oidcProblem(codeOIDCAudience, "Invalid audience.")
	case !slices.Contains(o.Subjects, tok.claims.Subject):
		return oidcNoPermission("There is no permission")
	}
	return nil
}

// verify checks the signature with the two algorithms that clusters use.
func (tok webToken) verify(key crypto.PublicKey) bool {
	digest := sha256.Sum256([]byte(tok.signed))
	switch key := key.(type) {
	case *rsa.PublicKey:
		return tok.algorithm == "RS256" && rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], tok.signature) == nil
	case *ecdsa.PublicKey:
		half := len(tok.signature) / 2
		r, s := new(big.Int).SetBytes(tok.signature[:half]), new(big.Int).SetBytes(tok.signature[half:])
		return tok.algorithm == "ES256" && half == 32 && ecdsa.Verify(key, digest[:], r, s)
	}
	return false
}
