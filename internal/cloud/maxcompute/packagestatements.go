package maxcompute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// addByStatement puts an object of any schema into a package. Its actions are always written out, for those that the service gives an
// object without any are its own choice.
func (c *Client) addByStatement(ctx context.Context, project, name string, grant acl.Grant) error {
	actions := strings.Join(grant.Actions, ", ")
	return c.runOnPackage(ctx, project, name, grant, statement{
		op:    fmt.Sprintf("add %s on %s %s.%s to package %s of project %s", actions, grant.Kind, grant.Schema, grant.Name, name, project),
		query: fmt.Sprintf("ADD %s %s.%s TO PACKAGE %s WITH PRIVILEGES %s;", strings.ToUpper(string(grant.Kind)), grant.Schema, grant.Name, name, actions),
	})
}

// removeByStatement takes an object of any schema out of a package.
func (c *Client) removeByStatement(ctx context.Context, project, name string, grant acl.Grant) error {
	return c.runOnPackage(ctx, project, name, grant, statement{
		op:    fmt.Sprintf("remove %s %s.%s from package %s of project %s", grant.Kind, grant.Schema, grant.Name, name, project),
		query: fmt.Sprintf("REMOVE %s %s.%s FROM PACKAGE %s;", strings.ToUpper(string(grant.Kind)), grant.Schema, grant.Name, name),
	})
}

// runOnPackage runs a statement about an object in a package. The object's name is qualified by its schema, which the settings allow: if
// a service did not heed them, it would look for another project and fail, not share the table of that name in the default schema.
func (c *Client) runOnPackage(ctx context.Context, project, name string, grant acl.Grant, s statement) error {
	if err := cmp.Or(checkPackage(name), checkProjects(project), validate(grant)); err != nil {
		return err
	}
	s.project, s.schema = project, grant.Schema
	return c.run(ctx, s)
}

// allowAnyByStatement allows all projects, for which only the statement is documented.
func (c *Client) allowAnyByStatement(ctx context.Context, project, name string, label int) error {
	if err := cmp.Or(checkPackage(name), checkProjects(project)); err != nil {
		return err
	}
	return c.run(ctx, statement{
		op: fmt.Sprintf("allow all projects to install package %s of project %s", name, project), project: project,
		query: fmt.Sprintf("ALLOW PROJECT * TO INSTALL PACKAGE %s USING LABEL %d;", name, label),
	})
}

func (c *Client) disallowAnyByStatement(ctx context.Context, project, name string) error {
	if err := cmp.Or(checkPackage(name), checkProjects(project)); err != nil {
		return err
	}
	return c.run(ctx, statement{
		op: fmt.Sprintf("disallow all projects to install package %s of project %s", name, project), project: project,
		query: fmt.Sprintf("DISALLOW PROJECT * TO INSTALL PACKAGE %s;", name),
	})
}

// DropPackage drops a package of a project, and with it what others have through it. It fails with cloud.NotFound if the service says
// that there is none. The OpenAPI has no call for it. Vendor documentation: MaxCompute DROP PACKAGE.
func (c *Client) DropPackage(ctx context.Context, project, name string) error {
	if err := cmp.Or(checkPackage(name), checkProjects(project)); err != nil {
		return err
	}
	err := c.run(ctx, statement{
		op: fmt.Sprintf("drop package %s of project %s", name, project), project: project, query: fmt.Sprintf("DROP PACKAGE %s;", name),
	})
	return c.written(ctx, project, err, cloud.NotFound, func(lists packageLists) { delete(lists.created, strings.ToLower(name)) })
}

// InstallPackage installs a package of another project, which must share it with this one; see IsNotAvailable. That it is installed
// already is cloud.AlreadyExists where it can be recognised. Vendor documentation: MaxCompute INSTALL PACKAGE.
func (c *Client) InstallPackage(ctx context.Context, project, sourceProject, name string) error {
	if err := cmp.Or(checkPackage(name), checkProjects(project, sourceProject)); err != nil {
		return err
	}
	err := c.run(ctx, statement{
		op: fmt.Sprintf("install package %s.%s in project %s", sourceProject, name, project), project: project,
		query: fmt.Sprintf("INSTALL PACKAGE %s.%s;", sourceProject, name),
	})
	err = installError(err, project, sourceProject)
	if err == nil || !cloud.Refused(err) || cloud.CodeOf(err) == cloud.AlreadyExists {
		// What the service makes of it, a list tells that is asked for after it.
		c.packages.doubt(ctx, project)
	}
	return err
}

// UninstallPackage takes a package of another project out of a project. It fails with cloud.NotFound if the service says that it is not
// installed. Vendor documentation: MaxCompute UNINSTALL PACKAGE.
func (c *Client) UninstallPackage(ctx context.Context, project, sourceProject, name string) error {
	if err := cmp.Or(checkPackage(name), checkProjects(project, sourceProject)); err != nil {
		return err
	}
	err := c.run(ctx, statement{
		op: fmt.Sprintf("uninstall package %s.%s from project %s", sourceProject, name, project), project: project,
		query: fmt.Sprintf("UNINSTALL PACKAGE %s.%s;", sourceProject, name),
	})
	return c.written(ctx, project, err, cloud.NotFound, func(lists packageLists) { delete(lists.installed, installedKey(sourceProject, name)) })
}

// errNotAvailable marks the failure of an installation for want of the package.
var errNotAvailable = errors.New("the package does not exist or is not shared with the project")

// IsNotAvailable tells whether a package cannot be installed because its project does not exist, has no such package or does not share it
// with the project that wants to install it. Which codes the service has for that is not documented, so that a refusal that does not
// speak clearly of it is not recognised; it is a refusal all the same.
func IsNotAvailable(err error) bool { return errors.Is(err, errNotAvailable) }

var (
	alreadyInstalled = regexp.MustCompile(`(?i)\balready (been )?installed\b`)
	noSuchPackage    = regexp.MustCompile(`(?i)\bpackage\b.*(\bnot exist|n't exist|\bnot found)\b|\bno such package\b`)
	notShared        = regexp.MustCompile(`(?i)\bnot (been )?allowed\b.*\binstall|\binstall.*\bnot (been )?allowed\b`)
	// aboutCaller are the signs of a refusal because of who asks: the sub-code of an access denied, and words for people and their rights.
	aboutCaller = regexp.MustCompile(`(?i)\[\d{4}\]|\b(you|user|account|member|privileges?)\b`)
)

// installError recognises why a package could not be installed.
func installError(err error, project, sourceProject string) error {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok || !cloud.Refused(err) {
		return err
	}
	switch e.Code {
	case cloud.NotFound:
		e.Err = errNotAvailable
	case cloud.ProjectNotFound:
		if mentions(e.Message, sourceProject) && !mentions(e.Message, project) {
			e.Err = errNotAvailable
		}
	case cloud.RemoteRejected, cloud.PermissionDenied:
		switch {
		case aboutCaller.MatchString(e.Message):
		case notShared.MatchString(e.Message), noSuchPackage.MatchString(e.Message):
			e.Err = errNotAvailable
		case alreadyInstalled.MatchString(e.Message):
			e.Code = cloud.AlreadyExists
		}
	default:
	}
	return err
}

// mentions reports whether a message names something, which is an identifier.
func mentions(message, name string) bool {
	return regexp.MustCompile(`(?i)\b` + regexp.QuoteMeta(name) + `\b`).MatchString(message)
}
