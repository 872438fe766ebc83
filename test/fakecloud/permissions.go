package fakecloud

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// subCodes are what ODPS-0420095 says in brackets ("Alibaba Cloud documentation: MaxCompute error
// codes"); the rest of the texts is made up.
var subCodes = map[string]string{
	"4002": "You are not a member of this project.",
	"4009": "You have NO privilege to do the restricted operation.",
	"4019": "You have NO privilege for this operation.",
	"4093": "AllDenied: the account is in arrears.",
}

const (
	subCodeNotMember   = "4002"
	subCodeNoPrivilege = "4019"
	subCodeArrears     = "4093"
)

// rules say what an access key may do, or a RAM role in all its sessions.
type rules struct {
	// denied is the code that refuses every call.
	denied string
	// actions and projects have the codes that refuse some calls.
	actions, projects  map[string]string
	superAdministrator bool
}

// keyholder is an access key with what it may do.
type keyholder struct {
	Identity
	rules rules
}

// Deny refuses every call of an access key, or of all sessions of a RAM role that is named by its
// ARN. The code is what the OpenAPI says, Forbidden.RAM if it is empty; the ODPS service says
// ODPS-0420095. A code of four digits is a sub-code of ODPS-0420095 on both: 4002 (not a member), 4009
// and 4019 (no privilege), 4093 (arrears), and Forbidden.RAM
// on DataWorks. The token service always says NoPermission.
func (s *Server) Deny(accessKeyIDOrARN, code string) error {
	return s.change(accessKeyIDOrARN, func(r *rules) { r.denied = cmp.Or(code, codeForbiddenRAM) })
}

// DenyAction refuses one action: the OpenAPI's or DataWorks', AssumeRole, Statement, or the first word of
// statements, like REVOKE. The code is as for Deny, but sub-code 4019 if it is empty.
func (s *Server) DenyAction(accessKeyIDOrARN, action, code string) error {
	if !slices.ContainsFunc(knownActions(), func(a string) bool { return strings.EqualFold(a, action) }) {
		return fmt.Errorf("unknown action %q", action)
	}
	return s.change(accessKeyIDOrARN, func(r *rules) { put(&r.actions, action, cmp.Or(code, subCodeNoPrivilege)) })
}

// DenyProject refuses all calls for one project. The code is as for Deny, but sub-code 4002 if it is
// empty.
func (s *Server) DenyProject(accessKeyIDOrARN, projectName, code string) error {
	return s.change(accessKeyIDOrARN, func(r *rules) { put(&r.projects, fold(projectName), cmp.Or(code, subCodeNotMember)) })
}

// Allow undoes Deny, DenyAction and DenyProject.
func (s *Server) Allow(accessKeyIDOrARN string) error {
	return s.change(accessKeyIDOrARN, func(r *rules) { r.denied, r.actions, r.projects = "", nil, nil })
}

// SetSuperAdministrator says whether an access key, or a RAM role, may manage admin roles.
func (s *Server) SetSuperAdministrator(accessKeyIDOrARN string, is bool) error {
	return s.change(accessKeyIDOrARN, func(r *rules) { r.superAdministrator = is })
}

// SetArrears refuses everything with ODPS-0420095 [4093], as for an account that has not paid. The
// token service and DataWorks are other products, and go on.
func (s *Server) SetArrears(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrears = on
}

func put(m *map[string]string, name, code string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[name] = code
}

func knownActions() []string {
	actions := []string{"AssumeRole", "Statement", "PollStatement", "CREATE", "DROP", "DELETE", "DESCRIBE", "DESC", "SHOW", "LIST", "GRANT", "REVOKE", "ADD", "REMOVE", "ALLOW", "DISALLOW", "INSTALL", "UNINSTALL"}
	for i := range routes {
		actions = append(actions, routes[i].action)
	}
	return append(actions, sortedKeys(dataWorksActions)...)
}

// change changes the rules of an access key or a RAM role.
func (s *Server) change(accessKeyIDOrARN string, change func(*rules)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rulesOf(accessKeyIDOrARN)
	if r == nil {
		return fmt.Errorf("unknown access key id or RAM role %q", accessKeyIDOrARN)
	}
	change(r)
	return nil
}

// rulesOf returns the rules of an access key or a RAM role, or nil; the lock is held.
func (s *Server) rulesOf(accessKeyIDOrARN string) *rules {
	if k := s.identities[accessKeyIDOrARN]; k != nil {
		return &k.rules
	}
	if r := s.ramRoles[accessKeyIDOrARN]; r != nil {
		return &r.rules
	}
	return nil
}

// callerRules returns the rules for who sends a call: a session has those of its RAM role.
func (s *Server) callerRules(c *call) *rules {
	if c.caller != "" {
		return s.rulesOf(c.caller)
	}
	return s.rulesOf(c.accessKeyID)
}

// denied refuses what the caller may not do; the lock is held.
func (s *Server) denied(c *call) *problem {
	if c.huawei() { // another account with another vendor
		return nil
	}
	if s.arrears && c.service != "sts" && c.service != "dataworks" {
		return accessDenied(subCodeArrears)
	}
	r := s.callerRules(c)
	if r == nil {
		return nil
	}
	code := cmp.Or(r.denied, r.projects[c.project])
	for _, action := range sortedKeys(r.actions) {
		if c.does(action) {
			code = cmp.Or(code, r.actions[action])
		}
	}
	if code == "" {
		return nil
	}
	return c.denial(code)
}

func (c *call) does(action string) bool {
	verb, _, _ := strings.Cut(strings.TrimSpace(c.statement), " ")
	return strings.EqualFold(action, c.action) || c.action == "Statement" && strings.EqualFold(action, verb)
}

// denial spells a refusal as the call's service does.
func (c *call) denial(code string) *problem {
	switch {
	case c.service == "insight":
		return noInsightPermission()
	case c.service == "iam":
		return iamProblem(http.StatusForbidden, "You are not authorized to perform the requested action.")
	case c.service == "sts":
		return noPermission()
	case c.service == "dataworks":
		return noDataWorksPermission(code)
	case subCodes[code] != "":
		return accessDenied(code)
	case c.service == "odps":
		return accessDenied(subCodeNoPrivilege)
	}
	p := accessDenied(subCodeNoPrivilege)
	p.code = code
	return p
}

func accessDenied(subCode string) *problem {
	return refuse(http.StatusForbidden, codeAccessDenied, "Access Denied - [%s] %s", subCode, subCodes[subCode])
}

// mayManage refuses to create, change or drop an admin role for anyone but a super administrator,
// which no policy can delegate ("Alibaba Cloud documentation: Authorization best practices").
func (t *txn) mayManage(roleType string) *problem {
	if t.trusted || roleType != typeAdmin {
		return nil
	}
	if r := t.s.callerRules(t.c); r != nil && r.superAdministrator {
		return nil
	}
	return accessDenied(subCodeNoPrivilege)
}
