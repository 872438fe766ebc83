package fakecloud

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// insightTypes are the documented types of resources in a package.
var insightTypes = []string{"datasource", "dataset", "metric", "dashboard", "screen", "embedAnalysis", "portal", "subject"}

// defaultResourceSize is how many bytes a resource adds to an export unless it says otherwise.
const defaultResourceSize = 4096

// InsightWorkspace is a workspace of DataArts Insight.
type InsightWorkspace struct {
	// Project is the id of an IAM project. One that is not there yet is made, with its id for a name.
	Project string `json:"project"`
	ID      string `json:"id"`
	// Abnormal makes the service refuse every export.
	Abnormal bool `json:"abnormal,omitempty"`
}

// InsightResource is something in a workspace that can be exported.
type InsightResource struct {
	Project   string `json:"project"`
	Workspace string `json:"workspace"`
	// Type is one of the documented eight, with their case.
	Type string `json:"type"`
	ID   string `json:"id"`
	// Version stands for the content: exports of the same version are alike, byte by byte. Default: 1.
	Version int `json:"version,omitempty"`
	// Size is how many bytes the resource adds to an export. Default: 4 KiB.
	Size int64 `json:"size,omitempty"`
	// Denied are those who lack the collaborative permission: ids of access keys, users like domain/name, or "*".
	Denied []string `json:"denied,omitempty"`
}

// Validate reports a resource that can't be.
func (r InsightResource) Validate() error {
	switch {
	case !slices.Contains(insightTypes, r.Type):
		return fmt.Errorf("unknown resource type %q", r.Type)
	case r.ID == "":
		return errors.New("the resource has no id")
	case r.Size < 0 || r.Version < 0:
		return errors.New("the size or the version of the resource is negative")
	}
	return nil
}

type insightResourceKey struct{ typ, id string }

func (k insightResourceKey) String() string { return k.typ + "/" + k.id }

type insightWorkspaceKey struct{ project, id string }

// insightWorkspace is a workspace with its resources.
type insightWorkspace struct {
	InsightWorkspace
	resources map[insightResourceKey]*InsightResource
}

// insightCloud is what the other vendor's services hold.
type insightCloud struct {
	style      InsightStyle
	workspaces map[insightWorkspaceKey]*insightWorkspace
	projects   map[string]IAMProject
	users      map[string]*IAMUser
	keys       map[string]*iamKey
	tokens     map[string]IAMToken
	// noExports are those whom IAM forbids to export.
	noExports map[string]bool
	// issued counts tokens, so that no two are alike.
	issued int
}

func newInsightCloud() insightCloud {
	return insightCloud{
		workspaces: map[insightWorkspaceKey]*insightWorkspace{}, projects: map[string]IAMProject{}, users: map[string]*IAMUser{},
		keys: map[string]*iamKey{}, tokens: map[string]IAMToken{}, noExports: map[string]bool{},
	}
}

// AddInsightWorkspace adds a workspace, or changes whether one that is there is in order.
func (s *Server) AddInsightWorkspace(w InsightWorkspace) error {
	if w.Project == "" || w.ID == "" {
		return errors.New("the workspace has no project or no id")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.insight.projects[w.Project]; !ok {
		s.insight.projects[w.Project] = IAMProject{ID: w.Project, Name: w.Project}
	}
	key := insightWorkspaceKey{w.Project, w.ID}
	if have := s.insight.workspaces[key]; have != nil {
		have.InsightWorkspace = w
		return nil
	}
	s.insight.workspaces[key] = &insightWorkspace{InsightWorkspace: w, resources: map[insightResourceKey]*InsightResource{}}
	return nil
}

// RemoveInsightWorkspace removes a workspace with everything in it.
func (s *Server) RemoveInsightWorkspace(project, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.insight.workspaces, insightWorkspaceKey{project, id})
}

// AddInsightResource adds a resource, or replaces one.
func (s *Server) AddInsightResource(r InsightResource) error {
	if err := r.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.insight.workspace(r.Project, r.Workspace)
	if err != nil {
		return err
	}
	r.Version, r.Denied = max(r.Version, 1), slices.Clone(r.Denied)
	if r.Size == 0 {
		r.Size = defaultResourceSize
	}
	w.resources[insightResourceKey{r.Type, r.ID}] = &r
	return nil
}

// RemoveInsightResource removes a resource from its workspace.
func (s *Server) RemoveInsightResource(project, workspace, typ, id string) error {
	return s.changeResource(project, workspace, typ, id, func(w *insightWorkspace, r *InsightResource) {
		delete(w.resources, insightResourceKey{r.Type, r.ID})
	})
}

// ChangeInsightResource gives a resource other content: the next export differs from those before.
func (s *Server) ChangeInsightResource(project, workspace, typ, id string) error {
	return s.changeResource(project, workspace, typ, id, func(_ *insightWorkspace, r *InsightResource) { r.Version++ })
}

// SetInsightVersion gives a resource the content that it had, or will have, with that version.
func (s *Server) SetInsightVersion(project, workspace, typ, id string, version int) error {
	return s.changeResource(project, workspace, typ, id, func(_ *insightWorkspace, r *InsightResource) { r.Version = version })
}

// SetInsightSize sets how many bytes a resource adds to an export; an export has the sum of its resources.
func (s *Server) SetInsightSize(project, workspace, typ, id string, size int64) error {
	if size < 0 {
		return errors.New("the size is negative")
	}
	return s.changeResource(project, workspace, typ, id, func(_ *insightWorkspace, r *InsightResource) { r.Size = size })
}

// DenyCollaboration takes the collaborative permission for a resource from access keys and users; "*" are all.
func (s *Server) DenyCollaboration(project, workspace, typ, id string, who ...string) error {
	return s.changeResource(project, workspace, typ, id, func(_ *insightWorkspace, r *InsightResource) {
		r.Denied = slices.Compact(slices.Sorted(slices.Values(slices.Concat(r.Denied, who))))
	})
}

// AllowCollaboration gives everybody the collaborative permission for a resource.
func (s *Server) AllowCollaboration(project, workspace, typ, id string) error {
	return s.changeResource(project, workspace, typ, id, func(_ *insightWorkspace, r *InsightResource) { r.Denied = nil })
}

// changeResource puts a changed copy of a resource in its place, so that what is being sent stays as it is.
func (s *Server) changeResource(project, workspace, typ, id string, change func(*insightWorkspace, *InsightResource)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.insight.workspace(project, workspace)
	if err != nil {
		return err
	}
	key := insightResourceKey{typ, id}
	have := w.resources[key]
	if have == nil {
		return fmt.Errorf("no resource %s in workspace %q", key, workspace)
	}
	next := *have
	w.resources[key] = &next
	change(w, &next)
	return nil
}

// workspace returns a workspace; the lock is held.
func (c *insightCloud) workspace(project, id string) (*insightWorkspace, error) {
	if w := c.workspaces[insightWorkspaceKey{project, id}]; w != nil {
		return w, nil
	}
	return nil, fmt.Errorf("no workspace %q in project %q", id, project)
}

// InsightState is the other vendor's part of a State. It never holds secrets.
type InsightState struct {
	Projects   []IAMProject            `json:"projects"`
	Workspaces []InsightWorkspaceState `json:"workspaces"`
	Keys       []IAMKey                `json:"keys"`
	Users      []IAMUser               `json:"users"`
	Tokens     []IAMToken              `json:"tokens"`
	// NoExports are those whom IAM forbids to export.
	NoExports []string     `json:"noExports"`
	Style     InsightStyle `json:"style"`
}

// InsightWorkspaceState is one workspace in a State.
type InsightWorkspaceState struct {
	InsightWorkspace
	Resources []InsightResource `json:"resources"`
}

// state returns a snapshot; the lock is held.
func (c *insightCloud) state() InsightState {
	out := InsightState{
		Projects: []IAMProject{}, Workspaces: []InsightWorkspaceState{}, Keys: []IAMKey{}, Users: []IAMUser{}, Tokens: c.tokenList(),
		NoExports: append([]string{}, sortedKeys(c.noExports)...), Style: c.style,
	}
	for _, id := range sortedKeys(c.projects) {
		out.Projects = append(out.Projects, c.projects[id])
	}
	for _, key := range slices.SortedFunc(maps.Keys(c.workspaces), func(a, b insightWorkspaceKey) int {
		return strings.Compare(a.project+"/"+a.id, b.project+"/"+b.id)
	}) {
		out.Workspaces = append(out.Workspaces, c.workspaces[key].state())
	}
	for _, id := range sortedKeys(c.keys) {
		k := c.keys[id].IAMKey
		k.SecretAccessKey, k.SecurityToken = "", ""
		out.Keys = append(out.Keys, k)
	}
	for _, name := range sortedKeys(c.users) {
		u := *c.users[name]
		u.Password, u.Projects = "", slices.Clone(u.Projects)
		out.Users = append(out.Users, u)
	}
	return out
}

func (w *insightWorkspace) state() InsightWorkspaceState {
	out := InsightWorkspaceState{InsightWorkspace: w.InsightWorkspace, Resources: []InsightResource{}}
	for _, key := range slices.SortedFunc(maps.Keys(w.resources), compareResources) {
		r := *w.resources[key]
		r.Denied = slices.Clone(r.Denied)
		out.Resources = append(out.Resources, r)
	}
	return out
}

func compareResources(a, b insightResourceKey) int { return strings.Compare(a.String(), b.String()) }
