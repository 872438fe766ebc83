package fakecloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
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
	mux.Handle("POST /_admin/objects", write(func(o projectObject) error {
		return s.DeclareObject(o.Project, o.Kind, o.SchemaName, o.Name)
	}))
	mux.Handle("POST /_admin/objects/drop", write(func(o projectObject) error {
		return s.DropObject(o.Project, o.Kind, o.SchemaName, o.Name)
	}))
	mux.Handle("POST /_admin/users/kill", write(func(u User) error { return s.KillUser(u.Principal) }))
	mux.Handle("POST /_admin/limits", write(a.limit))
	mux.Handle("POST /_admin/deny", write(func(i Identity) error { return s.Deny(i.AccessKeyID, i.Denied) }))
	mux.Handle("POST /_admin/allow", write(func(i Identity) error { return s.Allow(i.AccessKeyID) }))
	return mux
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

type keyLimit struct {
	AccessKeyID string  `json:"accessKeyID"`
	QPS         float64 `json:"qps"`
	Burst       int     `json:"burst"`
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
	a.s.LimitQPS(l.AccessKeyID, l.QPS, l.Burst)
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
		var in T
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err == nil {
			err = unmarshalStrict(body, &in)
		}
		if err == nil {
			err = do(in)
		}
		finish(w, map[string]bool{"ok": true}, err)
	})
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
