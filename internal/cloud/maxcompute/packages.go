package maxcompute

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

const (
	// StatusOK is the status of an installed package that can be used, the only one that is documented.
	StatusOK = "OK"
	// AnyProject in the place of a project allows all projects to install a package.
	AnyProject = "*"
	// maxLabel is the highest level of sensitivity.
	maxLabel = 9
	// maxEntries is how many objects one call adds to a package, or removes. The service documents no limit.
	maxEntries = 100
)

// packageName is the documented rule, and keeps a name from ending one statement and beginning another.
var packageName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// packageKinds are the kinds of objects that a package can hold.
var packageKinds = []acl.Kind{acl.Table, acl.Resource, acl.Function}

// CreatedPackage is a package that a project has made, as ListPackages reports it.
type CreatedPackage struct {
	Name string
	// CreateTime is zero if the service did not tell it in a form that could be read.
	CreateTime time.Time
}

// InstalledPackage is a package of another project that a project has installed, as ListPackages reports it.
type InstalledPackage struct {
	SourceProject, Name string
	// Status is StatusOK or something that is not documented.
	Status string
	// InstallTime is zero if the service did not tell it in a form that could be read.
	InstallTime time.Time
}

// Packages are all packages of a project.
type Packages struct {
	Created   []CreatedPackage
	Installed []InstalledPackage
}

// Package is what a package holds and whom it is shared with.
type Package struct {
	// Resources are tables, resources and functions.
	Resources acl.Set
	// Allowed are the projects that may install the package, ordered by name.
	Allowed []AllowedProject
}

// AllowedProject is a project that may install a package, AnyProject perhaps, and the highest label of the data that it then may read.
type AllowedProject struct {
	Project string
	Label   int
}

// ListPackages returns all packages of a project. Of the two lists of the answer one may be missing, for the other shows that it is one: then
// nothing is on it. If both are missing, that is no answer: see IsNull. Vendor
// documentation: MaxCompute ListPackages. There is no call that gets one installed package's state, and none that pages.
func (c *Client) ListPackages(ctx context.Context, project string) (Packages, error) {
	return c.listPackages(ctx, project)
}

func listOp(project string) string { return "list the packages of project " + project }

// without is the error of an answer that lacks something, or holds null in its place.
func without(op, what string) error {
	return &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds no " + what, Err: errNull}
}

// listedPackage is a package of either list on the wire.
type listedPackage struct {
	Name          string  `json:"name"`
	SourceProject string  `json:"sourceProject"`
	Status        string  `json:"status"`
	CreateTime    instant `json:"createTime"`
	InstallTime   instant `json:"installTime"`
}

func (p listedPackage) created() CreatedPackage {
	return CreatedPackage{Name: p.Name, CreateTime: p.CreateTime.Time}
}

func (p listedPackage) installed() InstalledPackage {
	return InstalledPackage{SourceProject: p.SourceProject, Name: p.Name, Status: p.Status, InstallTime: p.InstallTime.Time}
}

// listPackages lists all packages.
func (c *Client) listPackages(ctx context.Context, project string) (Packages, error) {
	var data struct {
		Created   []listedPackage `json:"createdPackages"`
		Installed []listedPackage `json:"installedPackages"`
	}
	op := listOp(project)
	err := c.do(ctx, call{action: "ListPackages", op: op, method: http.MethodGet, segments: []string{"projects", project, "packages"}, result: &data})
	if err != nil {
		return Packages{}, projectMissing(err)
	}
	if data.Created == nil && data.Installed == nil {
		return Packages{}, without(op, "list of packages")
	}
	if slices.ContainsFunc(data.Created, func(p listedPackage) bool { return p.Name == "" }) ||
		slices.ContainsFunc(data.Installed, func(p listedPackage) bool { return p.Name == "" || p.SourceProject == "" }) {
		return Packages{}, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds a package without a name or an installed one without a project"}
	}
	return Packages{Created: convert(data.Created, listedPackage.created), Installed: convert(data.Installed, listedPackage.installed)}, nil
}

// convert turns a list into another one.
func convert[A, B any](list []A, one func(A) B) []B {
	out := make([]B, 0, len(list))
	for _, a := range list {
		out = append(out, one(a))
	}
	return out
}

// instant is a time in whatever form: the reference types it as a number, its samples show a text. One that cannot be read is zero, for
// people read it and nothing is decided by it.
type instant struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler and never fails.
func (i *instant) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	i.Time = parseTime(strings.TrimSpace(text))
	return nil
}

var timeLayouts = []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", time.DateTime, time.DateOnly}

func parseTime(text string) time.Time {
	if number, err := strconv.ParseFloat(text, 64); err == nil {
		return sinceEpoch(number)
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// sinceEpoch reads seconds or milliseconds. As seconds, the limit between them lies in the year 5138, as milliseconds in 1973. The samples
// show a 0, which is no time.
func sinceEpoch(number float64) time.Time {
	const limit = 1e11
	switch {
	case number > 0 && number < limit:
		return time.UnixMilli(int64(number * 1000)).UTC()
	case number >= limit && number < limit*1000:
		return time.UnixMilli(int64(number)).UTC()
	}
	return time.Time{}
}

// packageLists is the answer of ListPackages by folded name.
type packageLists struct {
	created map[string]CreatedPackage
	// installed are by source project and name.
	installed map[string]InstalledPackage
}

func installedKey(sourceProject, name string) string {
	return strings.ToLower(sourceProject + "." + name)
}

// FindPackage looks a package up in the list of those that a project has made, as it was at most maxAge ago. With 0, the list is asked for
// after the call of FindPackage. It shares its list with FindInstallation. Names compare without case.
func (c *Client) FindPackage(ctx context.Context, project, name string, maxAge time.Duration) (found CreatedPackage, exists bool, err error) {
	err = c.lookAtPackages(ctx, project, maxAge, func(lists packageLists) error {
		found, exists = lists.created[strings.ToLower(name)]
		return nil
	})
	return found, exists, err
}

// FindInstallation looks a package of another project up in the list of those that a project has installed, like FindPackage.
func (c *Client) FindInstallation(ctx context.Context, project, sourceProject, name string, maxAge time.Duration) (found InstalledPackage, exists bool, err error) {
	err = c.lookAtPackages(ctx, project, maxAge, func(lists packageLists) error {
		found, exists = lists.installed[installedKey(sourceProject, name)]
		return nil
	})
	return found, exists, err
}

func (c *Client) lookAtPackages(ctx context.Context, project string, maxAge time.Duration, read func(packageLists) error) error {
	ask := func(ctx context.Context) (packageLists, error) {
		packages, err := c.listPackages(ctx, project)
		return packages.byName(), err
	}
	return c.packages.look(ctx, project, listOp(project), maxAge, ask, read)
}

func (p Packages) byName() packageLists {
	return packageLists{
		created:   index(p.Created, func(p CreatedPackage) string { return strings.ToLower(p.Name) }),
		installed: index(p.Installed, func(p InstalledPackage) string { return installedKey(p.SourceProject, p.Name) }),
	}
}

// index makes a map of a list.
func index[T any](list []T, key func(T) string) map[string]T {
	out := make(map[string]T, len(list))
	for _, item := range list {
		out[key(item)] = item
	}
	return out
}

// written keeps the shared lists of a project true to a write. A write that failed casts doubt on them if its outcome is unknown, or if
// the service says, with a code, the contrary of what they say.
func (c *Client) written(ctx context.Context, project string, err error, contrary cloud.Code, change func(packageLists)) error {
	switch {
	case err == nil:
		c.packages.follow(ctx, project, change)
	case !cloud.Refused(err) || cloud.CodeOf(err) == contrary:
		c.packages.doubt(ctx, project)
	}
	return err
}

// GetPackage returns what a package that a project has made holds, and whom it is shared with. It fails with cloud.NotFound if the
// service says that the package, or its project, does not exist. Of the two parts of the answer one may be missing, for the other shows
// what the answer is about: then nothing is in it. If both are missing, that is no answer: see IsNull. Vendor documentation: MaxCompute
// GetPackage.
func (c *Client) GetPackage(ctx context.Context, project, name string) (Package, error) {
	return c.getPackage(ctx, fmt.Sprintf("get package %s of project %s", name, project), project, name, nil)
}

// GetInstalledPackage is GetPackage for a package of another project that a project has installed. Whom else it is shared with need not
// be told.
func (c *Client) GetInstalledPackage(ctx context.Context, project, sourceProject, name string) (Package, error) {
	if err := checkProjects(sourceProject); err != nil {
		return Package{}, err
	}
	op := fmt.Sprintf("get package %s.%s, installed in project %s", sourceProject, name, project)
	return c.getPackage(ctx, op, project, name, map[string]string{"sourceProject": sourceProject})
}

func (c *Client) getPackage(ctx context.Context, op, project, name string, query map[string]string) (Package, error) {
	if err := checkPackage(name); err != nil {
		return Package{}, err
	}
	// What is null or missing in the answer stays nil, unlike an empty list or object.
	var data struct {
		Allowed []struct {
			Project string `json:"project"`
			Label   level  `json:"label"`
		} `json:"allowedProjectList"`
		Resources map[string][]aclEntry `json:"resourceList"`
	}
	err := c.do(ctx, call{action: "GetPackage", op: op, method: http.MethodGet, segments: []string{"projects", project, "packages", name}, query: query, result: &data})
	switch {
	case err != nil:
		return Package{}, err
	case data.Allowed == nil && data.Resources == nil:
		return Package{}, without(op, "list of resources and none of projects")
	}
	found := Package{}
	if found.Resources, err = readLists(op, data.Resources, packageKinds); err != nil {
		return Package{}, err
	}
	for _, allowed := range data.Allowed {
		if allowed.Project == "" {
			return Package{}, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds an allowed project without a name"}
		}
		found.Allowed = append(found.Allowed, AllowedProject{Project: allowed.Project, Label: int(allowed.Label)})
	}
	slices.SortFunc(found.Allowed, func(a, b AllowedProject) int {
		return cmp.Compare(strings.ToLower(a.Project), strings.ToLower(b.Project))
	})
	return found, nil
}

// level is a label, a level of sensitivity, which the reference types as a text; none is level 0.
type level int

// UnmarshalJSON implements json.Unmarshaler.
func (l *level) UnmarshalJSON(raw []byte) error {
	text := strings.TrimSpace(strings.Trim(string(raw), `"`))
	if text == "" || text == "null" {
		*l = 0
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxLabel {
		return fmt.Errorf("%q is no label", text)
	}
	*l = level(n)
	return nil
}

// CreatePackage makes a package that holds some objects, which must be Expressible. It is not idempotent: of a name that is taken, the
// service speaks as of an error, which is cloud.AlreadyExists where it can be recognised. Vendor documentation: MaxCompute CreatePackage.
func (c *Client) CreatePackage(ctx context.Context, project, name string, resources acl.Set) error {
	if err := checkContents(name, resources); err != nil {
		return err
	}
	if _, rest := Expressible(resources); !rest.Empty() {
		grant := rest.Grants()[0]
		return invalid("a package cannot be created with %s %s of schema %s in it", grant.Kind, grant.Name, grant.Schema)
	}
	body := map[string]any{"name": name}
	if !resources.Empty() {
		body["resourceList"] = writeLists(resources)
	}
	err := c.do(ctx, call{
		action: "CreatePackage", op: fmt.Sprintf("create package %s in project %s", name, project), method: http.MethodPost,
		segments: []string{"projects", project, "packages"}, query: map[string]string{"isInstall": "false"}, body: body,
	})
	return c.written(ctx, project, err, cloud.AlreadyExists, func(lists packageLists) {
		lists.created[strings.ToLower(name)] = CreatedPackage{Name: name}
	})
}

// AddToPackage puts objects into a package, with the actions that whoever uses the package has on them. The actions of an object that is
// in the package cannot be changed: it has to be removed first, and adding it is cloud.AlreadyExists where that can be recognised. Many objects take several calls, and each of another schema than the
// default one takes a statement; if one fails after another has succeeded, the error is not cloud.Refused. Vendor documentation:
// MaxCompute UpdatePackage, ADD TO PACKAGE.
func (c *Client) AddToPackage(ctx context.Context, project, name string, resources acl.Set) error {
	if err := checkContents(name, resources); err != nil {
		return err
	}
	op := fmt.Sprintf("add objects to package %s of project %s", name, project)
	return updateContents(resources,
		func(part acl.Set) error {
			return c.updatePackage(ctx, op, project, name, "add", "resourceList", writeLists(part))
		},
		func(grant acl.Grant) error { return c.addByStatement(ctx, project, name, grant) })
}

// RemoveFromPackage takes objects out of a package, whatever the actions on them. What the service itself named can be removed whatever
// its name, unless that takes a statement. As to the number of calls it is like AddToPackage. Vendor documentation: MaxCompute
// UpdatePackage, REMOVE FROM PACKAGE.
func (c *Client) RemoveFromPackage(ctx context.Context, project, name string, resources acl.Set) error {
	if err := cmp.Or(checkPackage(name), checkKinds(resources)); err != nil {
		return err
	}
	op := fmt.Sprintf("remove objects from package %s of project %s", name, project)
	return updateContents(resources,
		func(part acl.Set) error {
			return c.updatePackage(ctx, op, project, name, "remove", "resourceList", withoutActions(writeLists(part)))
		},
		func(grant acl.Grant) error { return c.removeByStatement(ctx, project, name, grant) })
}

// updateContents has objects changed: those that request bodies can name in parts, the others one by one.
func updateContents(resources acl.Set, change func(acl.Set) error, changeOne func(acl.Grant) error) error {
	inBody, rest := Expressible(resources)
	var calls []func() error
	for part := range slices.Chunk(inBody.Grants(), maxEntries) {
		calls = append(calls, func() error { return change(acl.NewSet(part...)) })
	}
	for _, grant := range rest.Grants() {
		calls = append(calls, func() error { return changeOne(grant) })
	}
	for i, call := range calls {
		err := call()
		switch {
		case err != nil && i == 0:
			return err
		case err != nil:
			return accepted(err)
		}
	}
	return nil
}

// withoutActions leaves the names of entries only.
func withoutActions(lists map[string][]aclEntry) map[string][]aclEntry {
	for _, list := range lists {
		for i := range list {
			list[i].Actions = nil
		}
	}
	return lists
}

// AllowProject lets a project, or with AnyProject all of them, install a package and read what is in it up to a label. What becomes of
// the label of a project that is allowed already is not documented. Vendor documentation: MaxCompute UpdatePackage, ALLOW PROJECT.
func (c *Client) AllowProject(ctx context.Context, project, name, allowed string, label int) error {
	if label < 0 || label > maxLabel {
		return invalid("%d cannot be a label: the labels are 0 to %d", label, maxLabel)
	}
	if allowed == AnyProject {
		return c.allowAnyByStatement(ctx, project, name, label)
	}
	return c.updateAllowed(ctx, "allow project %s to install package %s of project %s", project, name, "add", map[string]string{"project": allowed, "label": strconv.Itoa(label)})
}

// DisallowProject takes back what AllowProject gave, from AnyProject all but what was given to single projects. Vendor documentation:
// MaxCompute UpdatePackage, DISALLOW PROJECT.
func (c *Client) DisallowProject(ctx context.Context, project, name, allowed string) error {
	if allowed == AnyProject {
		return c.disallowAnyByStatement(ctx, project, name)
	}
	return c.updateAllowed(ctx, "disallow project %s to install package %s of project %s", project, name, "remove", map[string]string{"project": allowed})
}

func (c *Client) updateAllowed(ctx context.Context, format, project, name, half string, entry map[string]string) error {
	if err := cmp.Or(checkPackage(name), checkProjects(entry["project"])); err != nil {
		return err
	}
	op := fmt.Sprintf(format, entry["project"], name, project)
	return c.updatePackage(ctx, op, project, name, half, "allowedProjectList", []map[string]string{entry})
}

// updatePackage makes one change of one half, add or remove: in which order the service applies the halves of one request is not
// documented.
func (c *Client) updatePackage(ctx context.Context, op, project, name, half, list string, entries any) error {
	return c.do(ctx, call{
		action: "UpdatePackage", op: op, method: http.MethodPut, segments: []string{"projects", project, "packages", name},
		body: map[string]any{half: map[string]any{list: entries}},
	})
}

func checkPackage(name string) error {
	if !packageName.MatchString(name) {
		return invalid("%q cannot be the name of a package", name)
	}
	return nil
}

func checkProjects(names ...string) error {
	for _, name := range names {
		if !identifier.MatchString(name) {
			return invalid("%q cannot be the name of a project", name)
		}
	}
	return nil
}

func checkKinds(resources acl.Set) error {
	for _, grant := range resources.Grants() {
		switch {
		case !slices.Contains(packageKinds, grant.Kind):
			return invalid("a package cannot hold a %s (%s)", grant.Kind, grant.Name)
		case grant.Name == "":
			return invalid("a %s has no name", grant.Kind)
		}
	}
	return nil
}

// checkContents tells whether objects can be put into a package.
func checkContents(name string, resources acl.Set) error {
	if err := cmp.Or(checkPackage(name), checkKinds(resources)); err != nil {
		return err
	}
	for _, grant := range resources.Grants() {
		if err := validate(grant); err != nil {
			return err
		}
	}
	return nil
}
