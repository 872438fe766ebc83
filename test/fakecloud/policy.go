package fakecloud

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// PolicyEcho is what becomes of a role's policy between its write and the next read. The service
// stores a document, and no public source says how it spells it.
type PolicyEcho string

const (
	// PolicyVerbatim echoes the document as it was written.
	PolicyVerbatim PolicyEcho = "verbatim"
	// PolicyCanonical echoes the same meaning in another spelling: single strings are lists and lists
	// of one are strings, actions are sorted and in lower case, statements come in reverse, and white
	// space and the order of members differ.
	PolicyCanonical PolicyEcho = "canonical"
	// PolicySticky accepts an UpdateRole and keeps the old document.
	PolicySticky PolicyEcho = "sticky"
	// PolicyAltered echoes another meaning: resources are in upper case, and members that are not
	// documented are gone. Only a document without statements stays as it is.
	PolicyAltered PolicyEcho = "altered"
	// PolicyNull echoes verbatim, and the lack of a policy as null instead of an empty text.
	PolicyNull PolicyEcho = "null"
)

var policyEchoes = []PolicyEcho{"", PolicyVerbatim, PolicyCanonical, PolicySticky, PolicyAltered, PolicyNull}

func (e PolicyEcho) validate() error {
	if !slices.Contains(policyEchoes, e) {
		return fmt.Errorf("unknown policy echo %q", string(e))
	}
	return nil
}

// SetPolicyEcho changes how policies are echoed, also those that are there already, in the projects
// that have no way of their own. It panics on one that it does not know.
func (s *Server) SetPolicyEcho(echo PolicyEcho) {
	if err := echo.validate(); err != nil {
		panic("fakecloud: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policyEcho = echo
	for _, p := range s.projects {
		s.setEcho(p, p.echo)
	}
}

// SetProjectPolicyEcho changes how one project echoes policies; empty is as the server does.
func (s *Server) SetProjectPolicyEcho(projectName string, echo PolicyEcho) error {
	if err := echo.validate(); err != nil {
		return err
	}
	return s.behind(projectName, func(t *txn) *problem {
		p, refusal := t.project()
		if refusal == nil {
			s.setEcho(p, echo)
		}
		return refusal
	})
}

// setEcho spells the policies of a project anew; the lock is held. That is no change of the roles:
// the history, and with it stale reads, don't learn of it.
func (s *Server) setEcho(p *project, echo PolicyEcho) {
	p.echo = echo
	for name, r := range p.roles {
		if r.policy != "" {
			p.set(name, r.withPolicy(r.policy, s.echo(p)))
		}
	}
}

// echo is how a project echoes policies; the lock is held.
func (s *Server) echo(p *project) PolicyEcho {
	if p.echo != "" {
		return p.echo
	}
	return s.policyEcho
}

// SetPolicy replaces the policy of a role, or with an empty document takes it away.
func (s *Server) SetPolicy(projectName, roleName, doc string) error {
	return s.behind(projectName, func(t *txn) *problem { return t.setPolicy(roleName, doc) })
}

// RolePolicy returns the policy of a role as it was written, whatever readers are shown; empty if
// there is none.
func (s *Server) RolePolicy(projectName, roleName string) string {
	if r := s.look(projectName, roleName); r != nil {
		return r.policy
	}
	return ""
}

func (t *txn) setPolicy(name, doc string) *problem {
	p, r, refusal := t.role(name)
	switch {
	case refusal != nil:
		return refusal
	case slices.Contains(builtInRoles, r.name):
		return invalid("the built-in role '%s' cannot be changed", r.name)
	}
	if refusal := t.mayManage(r.typ); refusal != nil {
		return refusal
	}
	if refusal := checkPolicy(doc); refusal != nil {
		return refusal
	}
	if t.s.echo(p) == PolicySticky && !t.trusted {
		t.ignored = true
		return nil
	}
	if doc != r.policy {
		t.changed(Change{Change: ChangeSetPolicy, Role: r.name, Policy: doc})
		t.put(p, r.name, r.withPolicy(doc, t.s.echo(p)))
	}
	return nil
}

// policyAction is what an action in a policy looks like.
var policyAction = regexp.MustCompile(`^(odps:([A-Za-z]+|\*)|\*)$`)

// badPolicy has the text that the documentation's FAQ shows for an unknown action.
func badPolicy(format string, args ...any) *problem {
	return refuse(http.StatusBadRequest, codeInvalidParameter, "failed to check policy format: "+format, args...)
}

// checkPolicy refuses what is no policy document; the empty text stands for none.
func checkPolicy(doc string) *problem {
	if doc == "" {
		return nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(doc), &members) != nil || members == nil {
		return badPolicy("not a JSON object")
	}
	var version string
	if json.Unmarshal(members["Version"], &version) != nil || version != "1" {
		return badPolicy("invalid Version value - %s", members["Version"])
	}
	var statements []map[string]json.RawMessage
	if json.Unmarshal(oneOrMany(members["Statement"]), &statements) != nil || statements == nil {
		return badPolicy("invalid Statement value - %s", members["Statement"])
	}
	for _, st := range statements {
		if p := checkPolicyStatement(st); p != nil {
			return p
		}
	}
	return nil
}

func checkPolicyStatement(st map[string]json.RawMessage) *problem {
	var effect string
	if json.Unmarshal(st["Effect"], &effect) != nil || effect != "Allow" && effect != "Deny" {
		return badPolicy("invalid Effect value - %s", st["Effect"])
	}
	actions, p := policyTexts(st, "Action")
	if p != nil {
		return p
	}
	for _, a := range actions {
		if !policyAction.MatchString(a) {
			return badPolicy("invalid Action value - %s", a)
		}
	}
	_, p = policyTexts(st, "Resource")
	return p
}

// policyTexts returns a member that is a text or a list of texts.
func policyTexts(st map[string]json.RawMessage, name string) ([]string, *problem) {
	var out []string
	if json.Unmarshal(oneOrMany(st[name]), &out) != nil || len(out) == 0 || slices.Contains(out, "") {
		return nil, badPolicy("invalid %s value - %s", name, st[name])
	}
	return out, nil
}

// oneOrMany makes a list of a value that is none.
func oneOrMany(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || bytes.HasPrefix(raw, []byte("[")) {
		return raw
	}
	return slices.Concat([]byte("["), raw, []byte("]"))
}

// show is what readers see of a document.
func (e PolicyEcho) show(doc string) string {
	change := map[PolicyEcho]func(map[string]any){PolicyCanonical: canonicalPolicy, PolicyAltered: alterPolicy}[e]
	if doc == "" || change == nil {
		return doc
	}
	var members map[string]any
	dec := json.NewDecoder(strings.NewReader(doc))
	dec.UseNumber() // a number in a condition must come out as it went in
	if err := dec.Decode(&members); err != nil {
		panic(err) // checkPolicy has read it
	}
	change(members)
	out, err := json.MarshalIndent(members, "", "\t")
	if err != nil {
		panic(err) // what came from JSON goes into JSON
	}
	return string(out)
}

func policyStatements(members map[string]any) []any {
	if list, ok := members["Statement"].([]any); ok {
		return list
	}
	return []any{members["Statement"]}
}

func canonicalPolicy(members map[string]any) {
	list := policyStatements(members)
	slices.Reverse(list)
	for _, st := range list {
		st := st.(map[string]any)
		st["Resource"] = otherForm(st["Resource"])
		actions := texts(st["Action"])
		for i, a := range actions {
			actions[i] = strings.ToLower(a)
		}
		if _, list := st["Action"].([]any); list && len(actions) == 1 {
			st["Action"] = actions[0]
			continue
		}
		slices.Sort(actions)
		st["Action"] = actions
	}
	members["Statement"] = list
}

// otherForm makes a list of a single text, and a single text of a list of one.
func otherForm(v any) any {
	list, ok := v.([]any)
	switch {
	case !ok:
		return []any{v}
	case len(list) == 1:
		return list[0]
	}
	return v
}

// texts are those of a member that checkPolicy has looked at.
func texts(v any) []string {
	if text, one := v.(string); one {
		return []string{text}
	}
	var out []string
	for _, item := range v.([]any) {
		out = append(out, item.(string))
	}
	return out
}

func alterPolicy(members map[string]any) {
	keepOnly(members, "Version", "Statement")
	for _, st := range policyStatements(members) {
		st := st.(map[string]any)
		keepOnly(st, "Effect", "Action", "Resource", "Condition")
		resources := texts(st["Resource"])
		for i, r := range resources {
			resources[i] = strings.ToUpper(r)
			if resources[i] == r {
				resources[i] += "/ALTERED"
			}
		}
		st["Resource"] = resources
	}
}

func keepOnly(members map[string]any, names ...string) {
	maps.DeleteFunc(members, func(name string, _ any) bool { return !slices.Contains(names, name) })
}
