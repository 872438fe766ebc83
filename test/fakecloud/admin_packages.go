package fakecloud

import "net/http"

// handlePackages adds the calls about packages.
func (a admin) handlePackages(mux *http.ServeMux) {
	s := a.s
	mux.Handle("POST /_admin/packages", write(func(p projectPackage) error { return s.CreatePackage(p.Project, p.Name) }))
	mux.HandleFunc("DELETE /_admin/packages/{project}/{name}", func(w http.ResponseWriter, r *http.Request) {
		finish(w, map[string]bool{"ok": true}, s.DropPackage(r.PathValue("project"), r.PathValue("name")))
	})
	mux.Handle("POST /_admin/packages/add", write(func(e packageEntry) error { return s.AddToPackage(e.Project, e.Package, e.Grant) }))
	mux.Handle("POST /_admin/packages/remove", write(func(e packageEntry) error { return s.RemoveFromPackage(e.Project, e.Package, e.Grant) }))
	mux.Handle("POST /_admin/packages/allow", write(func(p packageSharing) error { return s.AllowProject(p.Project, p.Package, p.Allowed, p.Label) }))
	mux.Handle("POST /_admin/packages/disallow", write(func(p packageSharing) error { return s.DisallowProject(p.Project, p.Package, p.Allowed) }))
	mux.Handle("POST /_admin/packages/install", write(func(p installation) error { return s.InstallPackage(p.Project, p.SourceProject, p.Package) }))
	mux.Handle("POST /_admin/packages/uninstall", write(func(p installation) error { return s.UninstallPackage(p.Project, p.SourceProject, p.Package) }))
	mux.Handle("POST /_admin/packages/style", write(a.packageStyle))
}

type projectPackage struct {
	Project string `json:"project"`
	Name    string `json:"name"`
}

// packageEntry is the body of add and remove.
type packageEntry struct {
	Project string `json:"project"`
	Package string `json:"package"`
	Grant
}

// packageSharing is the body of allow and disallow.
type packageSharing struct {
	Project string `json:"project"`
	Package string `json:"package"`
	Allowed string `json:"allowed"`
	Label   int    `json:"label"`
}

// installation is the body of install and uninstall.
type installation struct {
	Project       string `json:"project"`
	SourceProject string `json:"sourceProject"`
	Package       string `json:"package"`
}

func (a admin) packageStyle(style PackageStyle) error {
	if err := style.Validate(); err != nil {
		return err
	}
	a.s.SetPackageStyle(style)
	return nil
}
