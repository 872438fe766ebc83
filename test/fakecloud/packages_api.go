package fakecloud

import (
	"fmt"
	"slices"
)

// TimeSpelling selects how ListPackages spells times. The reference types them as numbers, without a unit,
// and its samples show ISO 8601.
type TimeSpelling string

// The spellings of a time.
const (
	// TimesMilliseconds is a number of milliseconds since 1970, and the default.
	TimesMilliseconds TimeSpelling = "milliseconds"
	// TimesSeconds is a number of seconds.
	TimesSeconds TimeSpelling = "seconds"
	// TimesText is a number of milliseconds in quotes.
	TimesText TimeSpelling = "text"
	// TimesISO is like "2022-08-02T02:30:34Z".
	TimesISO TimeSpelling = "iso8601"
)

var timeSpellings = []TimeSpelling{"", TimesMilliseconds, TimesSeconds, TimesText, TimesISO}

// Relabel is what becomes of an ALLOW PROJECT with another label for a project that is allowed already,
// which is not documented.
type Relabel string

// The ways to treat it.
const (
	// RelabelReplace gives the project the new label. It is the default.
	RelabelReplace Relabel = "replace"
	// RelabelIgnore accepts the call and keeps the old label.
	RelabelIgnore Relabel = "ignore"
	// RelabelRefuse refuses the call.
	RelabelRefuse Relabel = "refuse"
)

var relabels = []Relabel{"", RelabelReplace, RelabelIgnore, RelabelRefuse}

// PackageStyle is how the service speaks of packages where the documentation leaves it open.
type PackageStyle struct {
	Times TimeSpelling `json:"times,omitempty"`
	// LabelNumbers makes GetPackage tell labels as numbers instead of texts.
	LabelNumbers bool    `json:"labelNumbers,omitempty"`
	Relabel      Relabel `json:"relabel,omitempty"`
}

// Validate reports a style that can't be.
func (st PackageStyle) Validate() error {
	switch {
	case !slices.Contains(timeSpellings, st.Times):
		return fmt.Errorf("unknown spelling of times %q", string(st.Times))
	case !slices.Contains(relabels, st.Relabel):
		return fmt.Errorf("unknown way to relabel %q", string(st.Relabel))
	}
	return nil
}

// SetPackageStyle changes how the service speaks of packages. It panics on a style that is not valid: that
// is a mistake in the test.
func (s *Server) SetPackageStyle(style PackageStyle) {
	if err := style.Validate(); err != nil {
		panic("fakecloud: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packages = style
}

// The methods below look at packages and change them behind the API's back, like those in api.go.

// CreatePackage makes an empty package.
func (s *Server) CreatePackage(projectName, name string) error {
	return s.behind(projectName, func(t *txn) *problem { return t.createPackage(name, nil) })
}

// DropPackage removes a package, whoever has it installed.
func (s *Server) DropPackage(projectName, name string) error {
	return s.behind(projectName, func(t *txn) *problem { return t.dropPackage(name) })
}

// AddToPackage puts an object into a package.
func (s *Server) AddToPackage(projectName, packageName string, g Grant) error {
	return s.behind(projectName, func(t *txn) *problem {
		return t.updatePackage(packageName, contents{resources: []Grant{g}}, contents{})
	})
}

// RemoveFromPackage takes an object out of a package; its actions are ignored.
func (s *Server) RemoveFromPackage(projectName, packageName string, g Grant) error {
	return s.behind(projectName, func(t *txn) *problem {
		return t.updatePackage(packageName, contents{}, contents{resources: []Grant{g}})
	})
}

// AllowProject lets a project, or with "*" all of them, install a package. It replaces the label.
func (s *Server) AllowProject(projectName, packageName, allowed string, label int) error {
	return s.behind(projectName, func(t *txn) *problem {
		return t.updatePackage(packageName, contents{allowed: []AllowedProject{{Project: allowed, Label: label}}}, contents{})
	})
}

// DisallowProject undoes AllowProject.
func (s *Server) DisallowProject(projectName, packageName, allowed string) error {
	return s.behind(projectName, func(t *txn) *problem {
		return t.updatePackage(packageName, contents{}, contents{allowed: []AllowedProject{{Project: allowed}}})
	})
}

// InstallPackage installs a package that another project shares.
func (s *Server) InstallPackage(projectName, sourceProject, packageName string) error {
	return s.behind(projectName, func(t *txn) *problem { return t.install(sourceProject, packageName) })
}

// UninstallPackage undoes InstallPackage.
func (s *Server) UninstallPackage(projectName, sourceProject, packageName string) error {
	return s.behind(projectName, func(t *txn) *problem { return t.uninstall(sourceProject, packageName) })
}

// lookAtPackage returns a package that a project has made as it is now, or nil.
func (s *Server) lookAtPackage(projectName, packageName string) *pkg {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.projects[fold(projectName)]; p != nil {
		if k := p.packages[fold(packageName)]; k != nil && k.source == "" {
			return k
		}
	}
	return nil
}

// PackageExists tells whether a project has made a package.
func (s *Server) PackageExists(projectName, packageName string) bool {
	return s.lookAtPackage(projectName, packageName) != nil
}

// PackageGrants returns what is in a package, sorted; nil if it is not there.
func (s *Server) PackageGrants(projectName, packageName string) []Grant {
	if k := s.lookAtPackage(projectName, packageName); k != nil {
		return cloneGrants(k.resources)
	}
	return nil
}

// PackageAllowed returns who may install a package, sorted; nil if it is not there.
func (s *Server) PackageAllowed(projectName, packageName string) []AllowedProject {
	if k := s.lookAtPackage(projectName, packageName); k != nil {
		return append([]AllowedProject{}, k.allowed...)
	}
	return nil
}

// Packages returns the names of the packages that a project has made, sorted.
func (s *Server) Packages(projectName string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.projects[fold(projectName)]
	if p == nil {
		return nil
	}
	names := []string{}
	for _, k := range p.packagesAt(0) {
		if k.source == "" {
			names = append(names, k.name)
		}
	}
	return names
}

// Installed returns the packages that a project has installed, sorted; nil if the project is not there.
func (s *Server) Installed(projectName string) []Installation {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.projects[fold(projectName)]
	if p == nil {
		return nil
	}
	return p.installations()
}
