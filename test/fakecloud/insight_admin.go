package fakecloud

import "net/http"

// handleInsight adds the calls about DataArts Insight and its IAM.
func (a admin) handleInsight(mux *http.ServeMux) {
	s := a.s
	mux.Handle("GET /_admin/insight", read(func(*http.Request) (any, error) { return s.State().Insight, nil }))
	mux.Handle("POST /_admin/insight/workspaces", write(s.AddInsightWorkspace))
	mux.HandleFunc("DELETE /_admin/insight/workspaces/{project}/{workspace}", func(w http.ResponseWriter, r *http.Request) {
		s.RemoveInsightWorkspace(r.PathValue("project"), r.PathValue("workspace"))
		finish(w, map[string]bool{"ok": true}, nil)
	})
	mux.Handle("POST /_admin/insight/resources", write(s.AddInsightResource))
	mux.HandleFunc("DELETE /_admin/insight/resources/{project}/{workspace}/{type}/{id}", func(w http.ResponseWriter, r *http.Request) {
		err := s.RemoveInsightResource(r.PathValue("project"), r.PathValue("workspace"), r.PathValue("type"), r.PathValue("id"))
		finish(w, map[string]bool{"ok": true}, err)
	})
	mux.Handle("POST /_admin/insight/resources/change", write(a.changeResource))
	mux.Handle("POST /_admin/insight/resources/size", write(func(v resourceSize) error {
		return s.SetInsightSize(v.Project, v.Workspace, v.Type, v.ID, v.Size)
	}))
	mux.Handle("POST /_admin/insight/collaboration/deny", write(func(v resourceUsers) error {
		if len(v.Who) == 0 {
			v.Who = []string{"*"}
		}
		return s.DenyCollaboration(v.Project, v.Workspace, v.Type, v.ID, v.Who...)
	}))
	mux.Handle("POST /_admin/insight/collaboration/allow", write(func(v resourceName) error {
		return s.AllowCollaboration(v.Project, v.Workspace, v.Type, v.ID)
	}))
	mux.HandleFunc("POST /_admin/insight/sums", a.sum)
	mux.Handle("POST /_admin/insight/style", write(a.insightStyle))
	a.handleIAM(mux)
}

// handleIAM adds the calls about who may export.
func (a admin) handleIAM(mux *http.ServeMux) {
	s := a.s
	mux.Handle("POST /_admin/insight/projects", write(s.AddIAMProject))
	mux.Handle("POST /_admin/insight/users", write(func(v iamUserSecret) error {
		v.IAMUser.Password = v.Password
		return s.AddIAMUser(v.IAMUser)
	}))
	mux.HandleFunc("DELETE /_admin/insight/users/{domain}/{name}", func(w http.ResponseWriter, r *http.Request) {
		s.RemoveIAMUser(r.PathValue("domain"), r.PathValue("name"))
		finish(w, map[string]bool{"ok": true}, nil)
	})
	mux.Handle("POST /_admin/insight/keys", write(func(v iamKeySecret) error {
		v.IAMKey.SecretAccessKey, v.IAMKey.SecurityToken = v.SecretAccessKey, v.SecurityToken
		return s.AddIAMKey(v.IAMKey)
	}))
	mux.HandleFunc("DELETE /_admin/insight/keys/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.RemoveIAMKey(r.PathValue("id"))
		finish(w, map[string]bool{"ok": true}, nil)
	})
	mux.Handle("POST /_admin/insight/tokens", write(a.addToken))
	mux.Handle("POST /_admin/insight/tokens/expire", act(s.ExpireIAMTokens))
	mux.Handle("POST /_admin/insight/deny", write(func(v exporter) error { return s.DenyExports(v.Who) }))
	mux.Handle("POST /_admin/insight/allow", write(func(v exporter) error { return s.AllowExports(v.Who) }))
}

// resourceName says which resource of which workspace.
type resourceName struct {
	Project   string `json:"project"`
	Workspace string `json:"workspace"`
	Type      string `json:"type"`
	ID        string `json:"id"`
}

type resourceVersion struct {
	resourceName
	Version int `json:"version"`
}

type resourceSize struct {
	resourceName
	Size int64 `json:"size"`
}

type resourceUsers struct {
	resourceName
	Who []string `json:"who"`
}

type iamUserSecret struct {
	IAMUser
	Password string `json:"password"`
}

type iamKeySecret struct {
	IAMKey
	SecretAccessKey string `json:"secretAccessKey"`
	SecurityToken   string `json:"securityToken"`
}

type exporter struct {
	Who string `json:"who"`
}

// changeResource gives a resource the content of a version, or without one content that it never had.
func (a admin) changeResource(v resourceVersion) error {
	if v.Version > 0 {
		return a.s.SetInsightVersion(v.Project, v.Workspace, v.Type, v.ID, v.Version)
	}
	return a.s.ChangeInsightResource(v.Project, v.Workspace, v.Type, v.ID)
}

// addToken makes a token good until a time, or for a day.
func (a admin) addToken(v struct {
	IAMToken
	Token string
}) error {
	v.IAMToken.Token = v.Token
	if v.Expires.IsZero() {
		v.Expires = a.s.now().Add(tokenLife)
	}
	return a.s.AddIAMToken(v.IAMToken)
}

func (a admin) sum(w http.ResponseWriter, r *http.Request) {
	var sum InsightSum
	answer := func(e InsightExport) (err error) {
		sum, err = a.s.InsightSum(e)
		return err
	}
	decoded(w, r, answer, func() any { return sum })
}

func (a admin) insightStyle(style InsightStyle) error {
	if err := style.Validate(); err != nil {
		return err
	}
	a.s.SetInsightStyle(style)
	return nil
}
