package maxcompute_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

func FuzzAPackageStatementHoldsExactlyWhatWasAsked(f *testing.F) {
	for i, name := range hostile {
		f.Add(uint8(i), "ods", name, "k", "Read", "p", "s")
		f.Add(uint8(i), name, "t", "k", "Read", "p", "s")
		f.Add(uint8(i), "ods", "t", name, "Read", "p", "s")
		f.Add(uint8(i), "ods", "t", "k", name, "p", "s")
		f.Add(uint8(i), "ods", "t", "k", "Read", name, "s")
		f.Add(uint8(i), "ods", "t", "k", "Read", "p", name)
	}
	f.Fuzz(func(t *testing.T, kind uint8, schema, name, pkg, action, project, other string) {
		set := acl.NewSet(acl.Grant{Kind: acl.Kinds[int(kind)%len(acl.Kinds)], Schema: schema, Name: name, Actions: []string{action}})
		calls := map[string]func(context.Context, *maxcompute.Client) error{
			"DROP PACKAGE " + pkg: func(ctx context.Context, c *maxcompute.Client) error { return c.DropPackage(ctx, project, pkg) },
			"INSTALL PACKAGE " + other + "." + pkg: func(ctx context.Context, c *maxcompute.Client) error {
				return c.InstallPackage(ctx, project, other, pkg)
			},
			"UNINSTALL PACKAGE " + other + "." + pkg: func(ctx context.Context, c *maxcompute.Client) error {
				return c.UninstallPackage(ctx, project, other, pkg)
			},
			"ALLOW PROJECT * TO INSTALL PACKAGE " + pkg + " USING LABEL 1": func(ctx context.Context, c *maxcompute.Client) error {
				return c.AllowProject(ctx, project, pkg, "*", 1)
			},
			"DISALLOW PROJECT * TO INSTALL PACKAGE " + pkg: func(ctx context.Context, c *maxcompute.Client) error {
				return c.DisallowProject(ctx, project, pkg, "*")
			},
		}
		for text, call := range calls {
			wire := &recorder{}
			asked{tokens: strings.Split(text+" ;", " "), project: project}.check(t, wire, call(t.Context(), newLocalClient(t, wire)))
		}
		if set.Empty() || schema == "" || strings.EqualFold(schema, acl.DefaultSchema) {
			return
		}
		grant := set.Grants()[0]
		object := []string{strings.ToUpper(string(grant.Kind)), grant.Schema + "." + grant.Name}
		add := asked{tokens: slices.Concat([]string{"ADD"}, object, []string{"TO", "PACKAGE", pkg, "WITH", "PRIVILEGES"}), schema: grant.Schema, project: project}
		for i, action := range grant.Actions {
			if i > 0 {
				add.tokens = append(add.tokens, ",")
			}
			add.tokens = append(add.tokens, action)
		}
		add.tokens = append(add.tokens, ";")
		wire := &recorder{}
		add.check(t, wire, newLocalClient(t, wire).AddToPackage(t.Context(), project, pkg, set))
		remove := asked{tokens: slices.Concat([]string{"REMOVE"}, object, []string{"FROM", "PACKAGE", pkg, ";"}), schema: grant.Schema, project: project}
		wire = &recorder{}
		remove.check(t, wire, newLocalClient(t, wire).RemoveFromPackage(t.Context(), project, pkg, set))
	})
}

func FuzzAPackagePathHoldsExactlyWhatWasAsked(f *testing.F) {
	for _, name := range hostile {
		f.Add(name, "k", "s")
		f.Add("p", name, "s")
		f.Add("p", "k", name)
	}
	f.Fuzz(func(t *testing.T, project, pkg, other string) {
		root := "/api/v1/projects/" + project + "/packages"
		calls := []struct {
			line  string
			names []string
			call  func(context.Context, *maxcompute.Client) error
		}{
			{"GET " + root, []string{project}, func(ctx context.Context, c *maxcompute.Client) error {
				return errorOf(c.ListPackages(ctx, project))
			}},
			{"POST " + root + "?isInstall=false", []string{project}, func(ctx context.Context, c *maxcompute.Client) error {
				return c.CreatePackage(ctx, project, "k", acl.Set{})
			}},
			{"GET " + root + "/" + pkg, []string{project, pkg}, func(ctx context.Context, c *maxcompute.Client) error {
				return errorOf(c.GetPackage(ctx, project, pkg))
			}},
			{"GET " + root + "/" + pkg + "?sourceProject=" + other, []string{project, pkg, other}, func(ctx context.Context, c *maxcompute.Client) error {
				return errorOf(c.GetInstalledPackage(ctx, project, other, pkg))
			}},
			{"PUT " + root + "/" + pkg, []string{project, pkg, other}, func(ctx context.Context, c *maxcompute.Client) error {
				return c.DisallowProject(ctx, project, pkg, "q"+other)
			}},
			{"PUT " + root + "/" + pkg, []string{project, pkg}, func(ctx context.Context, c *maxcompute.Client) error {
				return c.RemoveFromPackage(ctx, project, pkg, acl.NewSet(selectOn(other)))
			}},
		}
		for _, tc := range calls {
			wire := &recorder{data: `{"createdPackages":[],"installedPackages":[],"resourceList":{}}`}
			err := tc.call(t.Context(), newLocalClient(t, wire))
			switch {
			case err != nil && (cloud.CodeOf(err) != cloud.InvalidSpec || len(wire.requests) != 0):
				t.Errorf("%v after %d requests", err, len(wire.requests))
			case err == nil && (len(wire.requests) != 1 || wire.requests[0].Line != tc.line || slices.ContainsFunc(tc.names, func(name string) bool { return name != "" && !isWord(name) })):
				t.Errorf("sent %v, want %s", wire.requests, tc.line)
			}
		}
	})
}

func TestAnAsynchronousInstallation(t *testing.T) {
	lost := fakecloud.Fault{Kind: fakecloud.FaultError, Action: "PollStatement", Status: http.StatusNotFound, Code: "NoSuchObject", Message: "the package is nowhere"}
	tests := map[string]struct {
		faults       []fakecloud.Fault
		code         cloud.Code
		notAvailable bool
		refused      bool
		installed    int
	}{
		"that ends well": {faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Action: "Statement", Polls: 3}}, installed: 1},
		"that fails for want of the package": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Action: "Statement", Polls: 2, Outcome: "FAILED", Message: "NoSuchObject: package 'x.y' is not there"}},
			code:   cloud.NotFound, notAvailable: true, refused: true,
		},
		"that fails in words only": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Action: "Statement", Outcome: "FAILED", Message: "FAILED: ODPS-0420061: Invalid parameter - the package doesn't exist"}},
			code:   cloud.RemoteRejected, notAvailable: true, refused: true,
		},
		"that is there already, in words only": {
			faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Action: "Statement", Outcome: "FAILED", Message: "ODPS-0420061: the package has already been installed"}},
			code:   cloud.AlreadyExists, refused: true,
		},
		// A poll speaks of the instance, not of the package.
		"that the service has forgotten": {faults: []fakecloud.Fault{{Kind: fakecloud.FaultAsync, Action: "Statement", Polls: 3}, lost}, code: cloud.UnexpectedResponse},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newShare(t)
			must(t, server.CreatePackage(project, "shared"))
			must(t, server.AllowProject(project, "shared", consumer, 0))
			for _, fault := range tc.faults {
				server.Inject(fault)
			}
			err := newLocalClient(t, spelt(server)).InstallPackage(t.Context(), consumer, project, "shared")
			if cloud.CodeOf(err) != tc.code || maxcompute.IsNotAvailable(err) != tc.notAvailable || cloud.Refused(err) != tc.refused {
				t.Errorf("got %v: %s, not available %v, refused %v", err, cloud.CodeOf(err), maxcompute.IsNotAvailable(err), cloud.Refused(err))
			}
			if n := len(server.Installed(consumer)); n != tc.installed {
				t.Errorf("%d packages are installed", n)
			}
		})
	}
}

func TestAPackageThatIsNotAvailableIsRecognised(t *testing.T) {
	server := newShare(t)
	must(t, server.CreatePackage(project, "shared"))
	c := newLocalClient(t, spelt(server))
	for what, err := range map[string]error{
		"a package that is not shared":    c.InstallPackage(t.Context(), consumer, project, "shared"),
		"a package that does not exist":   c.InstallPackage(t.Context(), consumer, project, "nothing"),
		"a project that does not exist":   c.InstallPackage(t.Context(), consumer, "nowhere", "shared"),
		"shared with others only":         errors.Join(server.AllowProject(project, "shared", "others", 0), c.InstallPackage(t.Context(), consumer, project, "shared")),
		"a package of its own not shared": errors.Join(server.CreatePackage(consumer, "own"), c.InstallPackage(t.Context(), consumer, consumer, "own")),
	} {
		if !maxcompute.IsNotAvailable(err) || !cloud.Refused(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"a consumer that does not exist": c.InstallPackage(t.Context(), "nowhere", project, "shared"),
		"an uninstallation of nothing":   c.UninstallPackage(t.Context(), consumer, project, "shared"),
		"no error":                       nil,
	} {
		if maxcompute.IsNotAvailable(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, server.DenyAction(fakecloud.DefaultAccessKeyID, "INSTALL", ""))
	err := c.InstallPackage(t.Context(), consumer, project, "shared")
	if maxcompute.IsNotAvailable(err) || cloud.CodeOf(err) != cloud.PermissionDenied {
		t.Errorf("one who may not install: %v", err)
	}
}

func TestWordsForAPackageThatIsNotAvailable(t *testing.T) {
	tests := map[string]struct {
		code, message string
		want          bool
	}{
		"a code for what does not exist":       {"NoSuchObject", "", true},
		"another one":                          {"OBJECT_NOT_EXIST", "package src.k", true},
		"a project, the source":                {"ODPS-0420111", "Project not found - 'src'.", true},
		"a project, the source, in upper case": {"NoSuchProject", "Project SRC does not exist", true},
		"a project, the consumer":              {"ODPS-0420111", "Project not found - 'p'.", false},
		"a project, unnamed":                   {"PROJECT_NOT_FOUND", "project not found", false},
		"a project, both named":                {"PROJECT_NOT_FOUND", "project p: src not found", false},
		"not allowed":                          {"ODPS-0420095", "Access Denied - project p is not allowed to install package src.k", true},
		"not allowed, the other way round":     {"NoPermission", "to install this package is not allowed for project p", true},
		"not allowed, refused as invalid":      {"InvalidArgument", "Project p is not allowed to install the package", true},
		"not been allowed":                     {"ODPS-0420061", "p has not been allowed to install src.k", true},
		"does not exist, refused as invalid":   {"ODPS-0420061", "Invalid parameter in HTTP request - Package src.k does not exist", true},
		"no such package":                      {"InvalidArgument", "No such package: src.k", true},
		"not found":                            {"ODPS-0420061", "package 'src.k' was not found", true},
		"access denied":                        {"ODPS-0420095", "Access Denied", false},
		"no privilege":                         {"ODPS-0420095", "Access Denied - [4019] You have NO privilege 'odps:InstallPackage' on {acs:odps:*:projects/p/authorization/packages/src.k}", false},
		"not a member":                         {"ODPS-0420095", "Access Denied - [4002] not a member of the project, not allowed to install", false},
		"in arrears":                           {"ODPS-0420095", "Access Denied - [4093] AllDenied", false},
		"a user who is not allowed":            {"NoPermission", "User RAM$corp:bob is not allowed to install package src.k", false},
		"you":                                  {"NoPermission", "you are not allowed to install packages", false},
		"a policy of the account":              {"Forbidden.RAM", "not authorized by the policy of the account", false},
		"the limit of packages":                {"InvalidArgument", "more than 100 packages of project src are installed", false},
		"a table":                              {"InvalidArgument", "table t does not exist", false},
		"a signature":                          {"ODPS-0410042", "package not found", false},
		"a service that is down":               {"ServiceUnavailable", "package not found", false},
		"throttling":                           {"Throttling.User", "not allowed to install package: too many calls", false},
		"a code that nobody knows":             {"Novel.Code", "package src.k does not exist", true},
	}
	for form, f := range forms {
		if f.operation != "ODPS" {
			continue
		}
		for name, tc := range tests {
			t.Run(name+", "+form, func(t *testing.T) {
				status, want := http.StatusBadRequest, tc.want
				if f.always != 0 {
					status = f.always
				}
				if tc.code == "Novel.Code" && f.always != 0 {
					want = false // inside a success, a code that nobody knows is no refusal
				}
				err := newLocalClient(t, &script{{status: status, body: f.write(status, tc.code, tc.message)}}).InstallPackage(t.Context(), "p", "src", "k")
				if err == nil || maxcompute.IsNotAvailable(err) != want {
					t.Errorf("got %v, not available %v, want %v", err, !want, want)
				}
				if want && !cloud.Refused(err) {
					t.Errorf("%v is no refusal", err)
				}
			})
		}
	}
}
