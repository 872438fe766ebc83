package fakecloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// adminPrefix is where the administrative API lives; README.md shows its use.
const adminPrefix = "/_admin/"

// admin serves the administrative API: plain JSON, no authentication, loopback only.
type admin struct{ s *Server }

func newAdmin(s *Server) http.Handler {
	a := admin{s}
	mux := http.NewServeMux()
	mux.Handle("GET /_admin/state", read(func(*http.Request) (any, error) { return s.State(), nil }))
	mux.Handle("GET /_admin/journal", read(a.journal))
	mux.Handle("DELETE /_admin/journal", act(func() { s.ResetJournal() }))
	mux.Handle("GET /_admin/violations", read(func(*http.Request) (any, error) { return orEmpty(s.Violations()), nil }))
	mux.Handle("DELETE /_admin/violations", act(func() { s.ResetViolations() }))
	mux.Handle("GET /_admin/stats", read(func(*http.Request) (any, error) { return s.Stats(), nil }))
	mux.Handle("GET /_admin/faults", read(func(*http.Request) (any, error) { return orEmpty(s.Faults()), nil }))
	mux.Handle("POST /_admin/faults", write(a.inject))
	mux.Handle("DELETE /_admin/faults", act(func() { s.ClearFaults() }))
	mux.Handle("POST /_admin/projects", write(a.addProject))
	mux.Handle("POST /_admin/roles", write(a.createRole))
	mux.HandleFunc("DELETE /_admin/roles/{project}/{name}", a.dropRole)
	mux.Handle("POST /_admin/grant", write(func(g roleGrant) error { return s.Grant(g.Project, g.Role, g.grant()) }))
	mux.Handle("POST /_admin/revoke", write(func(g roleGrant) error { return s.Revoke(g.Project, g.Role, g.grant()) }))
	mux.Handle("POST /_admin/members", write(a.members))
	mux.Handle("POST /_admin/members/raw", write(func(m roleMember) error { return s.AddRawMember(m.Project, m.Role, m.Name) }))
	mux.Handle("POST /_admin/policies", write(func(p rolePolicy) error { return s.SetPolicy(p.Project, p.Role, p.Policy) }))
	mux.Handle("POST /_admin/policies/echo", write(a.echo))
	mux.Handle("POST /_admin/objects", write(func(o projectObject) error {
		return s.DeclareObject(o.Project, o.Kind, o.SchemaName, o.Name)
	}))
	mux.Handle("POST /_admin/objects/drop", write(func(o projectObject) error {
		return s.DropObject(o.Project, o.Kind, o.SchemaName, o.Name)
	}))
	mux.Handle("POST /_admin/users/kill", write(func(u User) error { return s.KillUser(u.Principal) }))
	mux.Handle("POST /_admin/users/revive", write(func(u User) error { return s.ReviveUser(u.Principal) }))
	mux.Handle("POST /_admin/users/names", write(a.names))
	a.handlePackages(mux)
	a.handleOrders(mux)
	a.handleInsight(mux)
	a.handleIdentities(mux)
	return mux
}

// handleIdentities adds the calls about who may do what, how often and when.
func (a admin) handleIdentities(mux *http.ServeMux) {
	s := a.s
	mux.Handle("POST /_admin/identities", write(a.addIdentity))
	mux.Handle("POST /_admin/ramRoles", write(a.addRAMRole))
	mux.Handle("GET /_admin/sessions", read(func(*http.Request) (any, error) { return s.Sessions(), nil }))
	mux.Handle("POST /_admin/sessions/expire", act(func() { s.ExpireSessions() }))
	mux.Handle("POST /_admin/limits", write(a.limit))
	mux.Handle("POST /_admin/deny", write(a.deny))
	mux.Handle("POST /_admin/allow", write(func(d denial) error { return s.Allow(d.AccessKeyID) }))
	mux.Handle("POST /_admin/arrears", write(func(v struct{ On bool }) error {
		s.SetArrears(v.On)
		return nil
	}))
	mux.Handle("POST /_admin/clock", write(a.shiftClock))
}

// roleGrant is the body of grant and revoke.
type roleGrant struct {
	Project    string   `json:"project"`
	Role       string   `json:"role"`
	Kind       string   `json:"kind"`
	SchemaName string   `json:"schemaName"`
	Name       string   `json:"name"`
	Actions    []string `json:"actions"`
}

func (g roleGrant) grant() Grant {
	return Grant{Kind: g.Kind, SchemaName: g.SchemaName, Name: g.Name, Actions: g.Actions}
}

type projectObject struct {
	Project    string `json:"project"`
	Kind       string `json:"kind"`
	SchemaName string `json:"schemaName"`
	Name       string `json:"name"`
}

type projectRole struct {
	Project string `json:"project"`
	Name    string `json:"name"`
	Type    string `json:"type"`
}

type roleMembers struct {
	Project string   `json:"project"`
	Role    string   `json:"role"`
	Add     []string `json:"add"`
	Remove  []string `json:"remove"`
}

type roleMember struct {
	Project string `json:"project"`
	Role    string `json:"role"`
	Name    string `json:"name"`
}

type rolePolicy struct {
	Project string `json:"project"`
	Role    string `json:"role"`
	Policy  string `json:"policy"`
}

// keyLimit, denial and keyHolder name an access key or, in its place, the ARN of a RAM role.
type keyLimit struct {
	AccessKeyID string `json:"accessKeyID"`
	Limit
}

type denial struct {
	AccessKeyID string `json:"accessKeyID"`
	Denied      string `json:"denied"`
	Action      string `json:"action"`
	Project     string `json:"project"`
}

type keyHolder struct {
	AccessKeyID        string `json:"accessKeyID"`
	AccessKeySecret    string `json:"accessKeySecret"`
	SecurityToken      string `json:"securityToken"`
	SuperAdministrator bool   `json:"superAdministrator"`
}

// journal answers with the entries after since, or only the writes among them.
func (a admin) journal(r *http.Request) (any, error) {
	entries := a.s.Journal()
	if r.URL.Query().Get("write") == "true" {
		entries = a.s.Writes()
	}
	text := r.URL.Query().Get("since")
	if text == "" {
		return orEmpty(entries), nil
	}
	since, err := strconv.Atoi(text)
	if err != nil {
		return nil, errors.New("since is not a number")
	}
	for len(entries) > 0 && entries[0].Seq <= since {
		entries = entries[1:]
	}
	return orEmpty(entries), nil
}

func (a admin) inject(f Fault) error {
	if err := f.Validate(); err != nil {
		return err
	}
	a.s.Inject(f)
	return nil
}

func (a admin) addProject(p Project) error {
	if err := p.Validate(); err != nil {
		return err
	}
	a.s.AddProject(p)
	return nil
}

func (a admin) createRole(r projectRole) error { return a.s.CreateRole(r.Project, r.Name, r.Type) }

func (a admin) dropRole(w http.ResponseWriter, r *http.Request) {
	finish(w, map[string]bool{"ok": true}, a.s.DropRole(r.PathValue("project"), r.PathValue("name")))
}

func (a admin) members(m roleMembers) error {
	if err := a.s.AddMembers(m.Project, m.Role, m.Add...); err != nil {
		return err
	}
	return a.s.RemoveMembers(m.Project, m.Role, m.Remove...)
}

func (a admin) limit(l keyLimit) error {
	if err := l.Validate(); err != nil {
		return err
	}
	a.s.SetLimit(l.AccessKeyID, l.Limit)
	return nil
}

func (a admin) deny(d denial) error {
	switch {
	case d.Action != "" && d.Project != "":
		return errors.New("an action and a project can't be denied in one")
	case d.Action != "":
		return a.s.DenyAction(d.AccessKeyID, d.Action, d.Denied)
	case d.Project != "":
		return a.s.DenyProject(d.AccessKeyID, d.Project, d.Denied)
	}
	return a.s.Deny(d.AccessKeyID, d.Denied)
}

// addIdentity adds an access key, or without a secret changes what one may do.
func (a admin) addIdentity(k keyHolder) error {
	if k.AccessKeySecret == "" {
		return a.s.SetSuperAdministrator(k.AccessKeyID, k.SuperAdministrator)
	}
	a.s.AddIdentity(Identity{
		AccessKeyID: k.AccessKeyID, AccessKeySecret: k.AccessKeySecret, SecurityToken: k.SecurityToken,
		SuperAdministrator: k.SuperAdministrator,
	})
	return nil
}

func (a admin) addRAMRole(body struct {
	RAMRole
	MaxDuration string
}) error {
	r := body.RAMRole
	if body.MaxDuration != "" {
		d, err := time.ParseDuration(body.MaxDuration)
		if err != nil {
			return fmt.Errorf("parse maxDuration: %w", err)
		}
		r.MaxDuration = d
	}
	if err := r.Validate(); err != nil {
		return err
	}
	a.s.AddRAMRole(r)
	return nil
}

func (a admin) echo(e struct {
	Project string
	Echo    PolicyEcho
}) error {
	if err := e.Echo.validate(); err != nil {
		return err
	}
	if e.Project != "" {
		return a.s.SetProjectPolicyEcho(e.Project, e.Echo)
	}
	a.s.SetPolicyEcho(e.Echo)
	return nil
}

func (a admin) names(v struct{ Names AccountNames }) error {
	if !slices.Contains(accountNames, v.Names) {
		return fmt.Errorf("unknown spelling of account names %q", string(v.Names))
	}
	a.s.SetAccountNames(v.Names)
	return nil
}

func (a admin) shiftClock(v struct{ Shift string }) error {
	d, err := time.ParseDuration(v.Shift)
	if err != nil {
		return fmt.Errorf("parse shift: %w", err)
	}
	a.s.ShiftClock(d)
	return nil
}

// read serves what a function returns.
func read(get func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := get(r)
		finish(w, v, err)
	})
}

// act serves something that takes no input.
func act(do func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		do()
		finish(w, map[string]bool{"ok": true}, nil)
	})
}

// write decodes a JSON body and hands it on.
func write[T any](do func(T) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		decoded(w, r, do, func() any { return map[string]bool{"ok": true} })
	})
}

// decoded decodes a JSON body, hands it on and answers with what there is to say then.
func decoded[T any](w http.ResponseWriter, r *http.Request, do func(T) error, say func() any) {
	var in T
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = unmarshalStrict(body, &in)
	}
	if err == nil {
		err = do(in)
	}
	finish(w, say(), err)
}

func finish(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		status, v = http.StatusBadRequest, map[string]string{"error": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return // the client went away, which is no concern of the server's
	}
}

// unmarshalStrict decodes one JSON value and refuses unknown fields.
func unmarshalStrict(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode body: %w", err)
	}
	return nil
}

// orEmpty makes an absent list an empty one in JSON.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
