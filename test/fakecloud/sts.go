package fakecloud

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// stsVersion is what tells the token service from the others on this port.
const stsVersion = "2015-04-01"

// Codes and texts of the token service ("Alibaba Cloud documentation: AssumeRole, AssumeRoleWithOIDC,
// RRSA troubleshooting").
const (
	codeNoPermission     = "NoPermission"
	codeNoSuchRAMRole    = "EntityNotExist.Role"
	codeInvalidPrefix    = "InvalidParameter."
	codeOIDCNoPermission = "AuthenticationFail.NoPermission"
	codeOIDCInvalid      = "AuthenticationFail.OIDCToken.Invalid"
	codeOIDCExpired      = "AuthenticationFail.OIDCToken.Expired"
	codeOIDCAudience     = "AuthenticationFail.OIDCToken.AudienceNotMatch"
	codeOIDCIssuer       = "AuthenticationFail.OIDCToken.IssuerNotMatch"
)

func noPermission() *problem {
	return refuse(http.StatusForbidden, codeNoPermission, "You are not authorized to do this action. You should be authorized by RAM.")
}

// badParameter has the documented text unless another is given.
func badParameter(name, format string, args ...any) *problem {
	return refuse(http.StatusBadRequest, codeInvalidPrefix+name, format, args...)
}

func wronglyFormed(name string) *problem {
	return badParameter(name, "The parameter %s is wrongly formed.", name)
}

// stsAction is one call of the token service.
type stsAction struct {
	params    []string
	anonymous bool
	bind      func(*stsRequest) (operation, *problem)
}

var stsActions = map[string]*stsAction{
	"AssumeRole": {
		params: []string{"RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId", "Policy"},
		bind:   bindAssumeRole,
	},
	"AssumeRoleWithOIDC": {
		params:    []string{"RoleArn", "RoleSessionName", "DurationSeconds", "Policy", "OIDCProviderArn", "OIDCToken"},
		anonymous: true, bind: bindAssumeRoleWithOIDC,
	},
}

// stsCommon are parameters of every call of this style.
var stsCommon = []string{"Action", "Version", "Format", "Timestamp", "SignatureNonce"}

// stsRequest is what both calls have in common.
type stsRequest struct {
	call        *call
	params      url.Values
	roleARN     string
	sessionName string
	duration    time.Duration
}

var (
	sessionName   = regexp.MustCompile(`^[A-Za-z0-9.@_-]{2,64}$`)
	externalID    = regexp.MustCompile(`^[A-Za-z0-9_+=,.@:/-]{2,}$`)
	parameterName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9.]{0,63}$`)
)

// maxSessionPolicy is the documented size of a session's own policy.
const maxSessionPolicy = 2048

// isSTS tells whether a request is for the token service.
func isSTS(r *http.Request, body []byte) bool {
	if r.URL.Path != "/" {
		return false
	}
	if r.Header.Get("x-acs-version") == stsVersion {
		return true
	}
	params, p := stsParams(r, body)
	return p == nil && params.Get("Version") == stsVersion
}

// stsParams are those of the query and of the form in the body.
func stsParams(r *http.Request, body []byte) (url.Values, *problem) {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, unknown("sts: malformed query")
	}
	if len(body) == 0 {
		return params, nil
	}
	if ct := r.Header.Get("Content-Type"); r.Method != http.MethodPost || !strings.HasPrefix(ct, "application/x-www-form-urlencoded") {
		return nil, unknown("sts: %s with a body of type %q, want a POST with a form", r.Method, ct)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, unknown("sts: malformed form")
	}
	for name, values := range form {
		params[name] = append(params[name], values...)
	}
	return params, nil
}

func decodeSTS(c *call, r *http.Request, body []byte) *problem {
	params, p := stsParams(r, body)
	if p != nil {
		return p
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return unknown("sts: no such method: %s", r.Method)
	}
	name, p := headerOrParam(r, params, "Action", "x-acs-action")
	if p != nil {
		return p
	}
	if _, p := headerOrParam(r, params, "Version", "x-acs-version"); p != nil {
		return p
	}
	action := stsActions[name]
	if action == nil {
		return unknown("sts: no such action: %q", name)
	}
	c.action, c.anonymous = name, action.anonymous
	if p := action.check(name, params); p != nil {
		return p
	}
	req, p := newSTSRequest(c, params)
	if p != nil {
		return p
	}
	c.run, p = action.bind(req)
	return p
}

// headerOrParam returns what a header, a parameter or both of them say.
func headerOrParam(r *http.Request, params url.Values, param, header string) (string, *problem) {
	fromHeader, fromParam := r.Header.Get(header), params.Get(param)
	if fromHeader != "" && fromParam != "" && fromHeader != fromParam {
		return "", unknown("sts: %s is %q, but %s is %q", header, fromHeader, param, fromParam)
	}
	return cmp.Or(fromHeader, fromParam), nil
}

func (a *stsAction) check(action string, params url.Values) *problem {
	for _, name := range sortedKeys(params) {
		switch {
		case !parameterName.MatchString(name): // whatever it is, it may be secret
			return unknown("%s: a parameter with a malformed name", action)
		case !slices.Contains(stsCommon, name) && !slices.Contains(a.params, name), len(params[name]) != 1:
			return unknown("%s: unknown or repeated parameter %q", action, name)
		}
	}
	if format := params.Get("Format"); format != "" && !strings.EqualFold(format, "json") {
		return unknown("%s: Format is %q, want JSON", action, format)
	}
	return nil
}

func newSTSRequest(c *call, params url.Values) (*stsRequest, *problem) {
	req := &stsRequest{call: c, params: params, roleARN: params.Get("RoleArn"), sessionName: params.Get("RoleSessionName")}
	if !ramRoleARN.MatchString(req.roleARN) {
		return nil, wronglyFormed("RoleArn")
	}
	c.role = req.roleARN
	if !sessionName.MatchString(req.sessionName) {
		return nil, wronglyFormed("RoleSessionName")
	}
	if p := checkSessionPolicy(params); p != nil {
		return nil, p
	}
	if !params.Has("DurationSeconds") {
		return req, nil
	}
	seconds, err := strconv.Atoi(params.Get("DurationSeconds"))
	req.duration = time.Duration(seconds) * time.Second
	if err != nil || req.duration < minSession || req.duration > maxSession {
		return nil, badParameter("DurationSeconds", "The Min/Max value of DurationSeconds is 15min/12hr.")
	}
	return req, nil
}

// checkSessionPolicy reads a policy that narrows what the session may do. The fake does not go by it.
func checkSessionPolicy(params url.Values) *problem {
	if !params.Has("Policy") {
		return nil
	}
	var members map[string]json.RawMessage
	switch doc := params.Get("Policy"); {
	case len(doc) > maxSessionPolicy:
		return badParameter("PolicySize", "The size of Policy must be smaller than %d bytes.", maxSessionPolicy)
	case json.Unmarshal([]byte(doc), &members) != nil || members["Statement"] == nil:
		return badParameter("PolicyGrammar", "The parameter Policy has not passed grammar check.")
	}
	return nil
}

// ramRole returns the RAM role that a request is about. A time stamp that is given must be right,
// even in a call that is not signed.
func (t *txn) ramRole(req *stsRequest) (*ramRole, *problem) {
	t.ran = true
	if text := req.params.Get("Timestamp"); text != "" {
		if p := t.s.checkTimestamp(text); p != nil {
			return nil, p
		}
	}
	if r := t.s.ramRoles[req.roleARN]; r != nil {
		return r, nil
	}
	return nil, refuse(http.StatusNotFound, codeNoSuchRAMRole, "The role not exists: %s.", req.roleARN)
}

// bindAssumeRole: see "Alibaba Cloud documentation: AssumeRole".
func bindAssumeRole(req *stsRequest) (operation, *problem) {
	id := req.params.Get("ExternalId")
	if req.params.Has("ExternalId") && !externalID.MatchString(id) {
		return nil, wronglyFormed("ExternalId")
	}
	return func(t *txn) (answer, *problem) {
		r, refusal := t.ramRole(req)
		if refusal != nil {
			return answer{}, refusal
		}
		if !r.trusts(t.c) || r.ExternalID != "" && r.ExternalID != id {
			return answer{}, noPermission()
		}
		return t.openSession(r, req.sessionName, req.duration)
	}, nil
}

func (r *ramRole) trusts(c *call) bool {
	return slices.ContainsFunc(r.TrustedAccessKeys, func(id string) bool {
		return id != "" && (id == c.accessKeyID || id == c.caller)
	})
}

// assumedRole has the documented members in the documented order.
type assumedRole struct {
	User        assumedRoleUser `json:"AssumedRoleUser"`
	Credentials stsCredentials  `json:"Credentials"`
}

type assumedRoleUser struct {
	Arn string `json:"Arn"`
	ID  string `json:"AssumedRoleId"`
}

type stsCredentials struct {
	AccessKeyID     string `json:"AccessKeyId"`
	AccessKeySecret string `json:"AccessKeySecret"`
	SecurityToken   string `json:"SecurityToken"`
	Expiration      string `json:"Expiration"`
}

// stsProtocol writes the JSON of the token service: failures as the OpenAPI has them, successes
// without a frame.
type stsProtocol struct{}

func (stsProtocol) success(requestID string, a answer) reply {
	members := bytes.TrimPrefix(a.render(), []byte("{"))
	return jsonReply(http.StatusOK, slices.Concat(fmt.Appendf(nil, `{"RequestId":%q,`, requestID), members))
}

func (stsProtocol) failure(requestID string, p *problem) reply {
	return openAPIProtocol{}.failure(requestID, p)
}
