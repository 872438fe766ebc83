package maxcompute_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

func TestListsOfPackagesAreReadWithCare(t *testing.T) {
	const some = `"createdPackages":[{"name":"A","createTime":1659407434}],"installedPackages":[{"name":"B","sourceProject":"Src","status":"OK","installTime":0}]`
	tests := map[string]struct {
		body string
		// all is what ListPackages says, created and installed what the lookups of a and src.b do: found, not, null or a class.
		all, created, installed string
	}{
		"some":                      {`{"data":{` + some + `}}`, "1+1", "found", "found"},
		"in another case":           {strings.ToUpper(`{"data":{` + some + `}}`), "1+1", "found", "found"},
		"none":                      {`{"data":{"createdPackages":[],"installedPackages":[]}}`, "0+0", "not", "not"},
		"success with a code":       {`{"httpCode":200,"errorCode":"040002","data":{` + some + `}}`, "1+1", "found", "found"},
		"no list of installed ones": {`{"data":{"createdPackages":[{"name":"a"}]}}`, "1+0", "found", "not"},
		"no list of created ones":   {`{"data":{"installedPackages":[]}}`, "0+0", "not", "not"},
		"null for installed ones":   {`{"data":{"createdPackages":[],"installedPackages":null}}`, "0+0", "not", "not"},
		"null for created ones":     {`{"data":{"createdPackages":null,"installedPackages":[]}}`, "0+0", "not", "not"},
		"neither":                   {`{"data":{}}`, "null", "null", "null"},
		"null for all":              {`{"data":null}`, "null", "null", "null"},
		"no data":                   {`{"requestId":"1"}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"an id of a job":            {`{"data":"job-42"}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"data that is a list":       {`{"data":[]}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"a list that is an object":  {`{"data":{"createdPackages":{},"installedPackages":[]}}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"one that is a text":        {`{"data":{"createdPackages":["a"],"installedPackages":[]}}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"one without a name":        {`{"data":{"createdPackages":[{"createTime":1}],"installedPackages":[]}}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"one without a source":      {`{"data":{"createdPackages":[],"installedPackages":[{"name":"a","status":"OK"}]}}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"an installed one unnamed":  {`{"data":{"createdPackages":[],"installedPackages":[{"sourceProject":"a"}]}}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"cut off":                   {`{"data":{"createdPackages":[{"name":"a"`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
		"a failure inside":          {`{"httpCode":500,"errorCode":"500","errorMsg":"x","data":{` + some + `}}`, "UnexpectedResponse", "UnexpectedResponse", "UnexpectedResponse"},
	}
	outcome := func(text string, err error) string {
		switch {
		case maxcompute.IsNull(err) && cloud.CodeOf(err) == cloud.UnexpectedResponse:
			return "null"
		case err != nil:
			return string(cloud.CodeOf(err))
		}
		return text
	}
	found := map[bool]string{true: "found", false: "not"}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(tc.body, `{"DATA"`) {
				tc.body = strings.NewReplacer(`"A"`, `"a"`, `"SRC"`, `"Src"`).Replace(tc.body)
			}
			c := newLocalClient(t, &script{{status: 200, body: tc.body}})
			packages, err := c.ListPackages(t.Context(), "p")
			if got := outcome(fmt.Sprintf("%d+%d", len(packages.Created), len(packages.Installed)), err); got != tc.all {
				t.Errorf("ListPackages: %s (%v), want %s", got, err, tc.all)
			}
			_, exists, err := c.FindPackage(t.Context(), "P", "a", 0)
			if got := outcome(found[exists], err); got != tc.created || err != nil && exists {
				t.Errorf("FindPackage: %s (%v), want %s", got, err, tc.created)
			}
			_, exists, err = c.FindInstallation(t.Context(), "P", "src", "b", 0)
			if got := outcome(found[exists], err); got != tc.installed || err != nil && exists {
				t.Errorf("FindInstallation: %s (%v), want %s", got, err, tc.installed)
			}
		})
	}
}

func TestWhatAListTellsOfPackages(t *testing.T) {
	const body = `{"data":{"createdPackages":[{"name":"packageA","createTime":"2022-08-02T02:30:34Z"}],` +
		`"installedPackages":[{"name":"packageB","sourceProject":"projectB","status":"OK","installTime":"2022-09-02T02:30:34Z"},{"name":"c","sourceProject":"p"}]}}`
	packages, err := newLocalClient(t, &script{{status: 200, body: body}}).ListPackages(t.Context(), "p")
	must(t, err)
	want := maxcompute.Packages{
		Created: []maxcompute.CreatedPackage{{Name: "packageA", CreateTime: time.Date(2022, 8, 2, 2, 30, 34, 0, time.UTC)}},
		Installed: []maxcompute.InstalledPackage{
			{SourceProject: "projectB", Name: "packageB", Status: maxcompute.StatusOK, InstallTime: time.Date(2022, 9, 2, 2, 30, 34, 0, time.UTC)},
			{SourceProject: "p", Name: "c"},
		},
	}
	if diff := cmp.Diff(want, packages); diff != "" {
		t.Errorf("ListPackages (-want +got):\n%s", diff)
	}
}

func TestTimesAreReadInEveryForm(t *testing.T) {
	at := time.Date(2022, 8, 2, 2, 30, 34, 0, time.UTC)
	tests := map[string]struct {
		wire string
		want time.Time
	}{
		"seconds":                        {`1659407434`, at},
		"milliseconds":                   {`1659407434567`, at.Add(567 * time.Millisecond)},
		"seconds with a fraction":        {`1659407434.5`, at.Add(500 * time.Millisecond)},
		"seconds in scientific form":     {`1.659407434e9`, at},
		"seconds in a text":              {`"1659407434"`, at},
		"milliseconds in a text":         {`" 1659407434567 "`, at.Add(567 * time.Millisecond)},
		"ISO 8601":                       {`"2022-08-02T02:30:34Z"`, at},
		"ISO 8601 with a fraction":       {`"2022-08-02T02:30:34.5Z"`, at.Add(500 * time.Millisecond)},
		"ISO 8601 with an offset":        {`"2022-08-02T10:30:34+08:00"`, at},
		"ISO 8601 with a short offset":   {`"2022-08-02T10:30:34+0800"`, at},
		"ISO 8601 without a zone":        {`"2022-08-02T02:30:34"`, at},
		"ISO 8601 without seconds":       {`"2022-08-02T02:30Z"`, at.Truncate(time.Minute)},
		"a date and a time":              {`"2022-08-02 02:30:34"`, at},
		"a date":                         {`"2022-08-02"`, at.Truncate(24 * time.Hour)},
		"the samples' zero":              {`0`, time.Time{}},
		"a negative number":              {`-1`, time.Time{}},
		"a number that is far too large": {`1e300`, time.Time{}},
		"a number in microseconds":       {`1659407434567890`, time.Time{}},
		"words":                          {`"last Tuesday"`, time.Time{}},
		"not a number":                   {`"NaN"`, time.Time{}},
		"infinity":                       {`"Inf"`, time.Time{}},
		"an empty text":                  {`""`, time.Time{}},
		"null":                           {`null`, time.Time{}},
		"true":                           {`true`, time.Time{}},
		"an object":                      {`{"seconds":1659407434}`, time.Time{}},
		"a list":                         {`[1659407434]`, time.Time{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			body := `{"data":{"createdPackages":[{"name":"a","createTime":` + tc.wire + `}],"installedPackages":[{"name":"b","sourceProject":"c","installTime":` + tc.wire + `}]}}`
			packages, err := newLocalClient(t, &script{{status: 200, body: body}}).ListPackages(t.Context(), "p")
			must(t, err)
			if got := packages.Created[0].CreateTime; got != tc.want {
				t.Errorf("created %s, want %s", got, tc.want)
			}
			if got := packages.Installed[0].InstallTime; got != tc.want {
				t.Errorf("installed %s, want %s", got, tc.want)
			}
		})
	}
}

func TestPackagesAndInstallationsShareOneList(t *testing.T) {
	server := newShare(t)
	must(t, server.CreatePackage(project, "made"))
	must(t, server.AllowProject(project, "made", "*", 0))
	must(t, server.CreatePackage(consumer, "other"))
	must(t, server.AllowProject(consumer, "other", "*", 0))
	must(t, server.InstallPackage(project, consumer, "other"))
	c := newLocalClient(t, spelt(server))
	check := func(what string, err error, got, want any) {
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			made, _, err := c.FindPackage(t.Context(), strings.ToUpper(project), "Made", time.Hour)
			check("what was made", err, made.Name, "made")
			there, _, err := c.FindInstallation(t.Context(), project, "Mart", "OTHER", time.Hour)
			check("what was installed", err, []string{there.SourceProject, there.Name, there.Status}, []string{consumer, "other", maxcompute.StatusOK})
			_, found, err := c.FindPackage(t.Context(), project, "mart.other", time.Hour)
			check("what was installed, as made", err, found, false)
			_, found, err = c.FindInstallation(t.Context(), project, project, "made", time.Hour)
			check("what was made, as installed", err, found, false)
		})
	}
	group.Wait()
	_, found, err := c.FindRole(t.Context(), project, "admin", time.Hour)
	check("a role", err, found, true)
	check("lists of packages", nil, count(server, "ListPackages"), 1)
	check("lists of roles", nil, count(server, "ListRoles"), 1)
}

func TestTheListOfPackagesIsAsOldAsItMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newShare(t)
		c := newLocalClient(t, spelt(server))
		for i, maxAge := range []time.Duration{time.Minute, time.Minute, 0} {
			_, _, err := c.FindPackage(t.Context(), project, "k", maxAge)
			must(t, err)
			elapse(30 * time.Second)
			_, _, err = c.FindInstallation(t.Context(), project, "s", "k", maxAge)
			must(t, err)
			if n, want := count(server, "ListPackages"), []int{1, 1, 3}[i]; n != want {
				t.Errorf("%d lists were asked for, want %d", n, want)
			}
		}
	})
}

func TestTheListOfPackagesFollowsWhatTheClientDoes(t *testing.T) {
	create := func(ctx context.Context, c *maxcompute.Client) error {
		return c.CreatePackage(ctx, strings.ToUpper(project), "New", acl.Set{})
	}
	drop := func(ctx context.Context, c *maxcompute.Client) error { return c.DropPackage(ctx, project, "OLD") }
	install := func(ctx context.Context, c *maxcompute.Client) error {
		return c.InstallPackage(ctx, project, consumer, "new")
	}
	uninstall := func(ctx context.Context, c *maxcompute.Client) error {
		return c.UninstallPackage(ctx, project, consumer, "Old")
	}
	unknown := &fakecloud.Fault{Kind: fakecloud.FaultServerError, Only: "writes"}
	refused := &fakecloud.Fault{Kind: fakecloud.FaultAccessDenied, Only: "writes"}
	tests := map[string]struct {
		do func(context.Context, *maxcompute.Client) error
		// fault is what becomes of the write; late, what somebody else does before it.
		fault *fakecloud.Fault
		late  func(*fakecloud.Server) error
		// found is what is seen afterwards, lists how many lists that takes in all.
		found string
		lists int
	}{
		"a created package is there":           {do: create, found: "new old mart.old OK", lists: 1},
		"a dropped package is not":             {do: drop, found: "mart.old OK", lists: 1},
		"an installed package is there":        {do: install, found: "old mart.new OK mart.old OK", lists: 2},
		"an uninstalled package is not":        {do: uninstall, found: "old", lists: 1},
		"a create that is refused":             {do: create, fault: refused, found: "old mart.old OK", lists: 1},
		"an installation that is refused":      {do: install, fault: refused, found: "old mart.old OK", lists: 1},
		"a create of unknown outcome":          {do: create, fault: unknown, found: "old mart.old OK", lists: 2},
		"a drop of unknown outcome":            {do: drop, fault: unknown, found: "old mart.old OK", lists: 2},
		"an installation that may have been":   {do: install, fault: unknown, found: "old mart.old OK", lists: 2},
		"an uninstallation that may have been": {do: uninstall, fault: unknown, found: "old mart.old OK", lists: 2},
		"a create that comes second": {
			do: create, late: func(s *fakecloud.Server) error { return s.CreatePackage(project, "new") }, found: "new old mart.old OK", lists: 2,
		},
		"a drop that comes second": {
			do: drop, late: func(s *fakecloud.Server) error { return s.DropPackage(project, "old") }, found: "mart.old OK", lists: 2,
		},
		"an installation that comes second": {
			do: install, late: func(s *fakecloud.Server) error { return s.InstallPackage(project, consumer, "new") }, found: "old mart.new OK mart.old OK", lists: 2,
		},
		"an uninstallation that comes second": {
			do: uninstall, late: func(s *fakecloud.Server) error { return s.UninstallPackage(project, consumer, "old") }, found: "old", lists: 2,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newShare(t)
			must(t, server.CreatePackage(project, "old"))
			for _, name := range []string{"old", "new"} {
				must(t, server.CreatePackage(consumer, name))
				must(t, server.AllowProject(consumer, name, project, 0))
			}
			must(t, server.InstallPackage(project, consumer, "old"))
			c := newLocalClient(t, spelt(server))
			_, _, err := c.FindPackage(t.Context(), project, "old", 0)
			must(t, err)
			if tc.late != nil {
				must(t, tc.late(server))
			}
			if tc.fault != nil {
				server.Inject(*tc.fault)
			}
			if err := tc.do(t.Context(), c); (err != nil) != (tc.fault != nil || tc.late != nil) {
				t.Errorf("the write: %v", err)
			}
			var got []string
			for _, name := range []string{"new", "old"} {
				found, exists, err := c.FindPackage(t.Context(), project, name, time.Hour)
				must(t, err)
				if exists {
					got = append(got, strings.ToLower(found.Name))
				}
			}
			for _, name := range []string{"new", "old"} {
				found, exists, err := c.FindInstallation(t.Context(), project, consumer, name, time.Hour)
				must(t, err)
				if exists {
					got = append(got, found.SourceProject+"."+found.Name+" "+found.Status)
				}
			}
			if text := strings.Join(got, " "); text != tc.found || count(server, "ListPackages") != tc.lists {
				t.Errorf("%d lists, want %d; found %q, want %q", count(server, "ListPackages"), tc.lists, text, tc.found)
			}
		})
	}
}

func TestAWriteDoesNotMakeUpAList(t *testing.T) {
	answers := &script{
		{status: 200, body: `{"data":{"createdPackages":null,"installedPackages":null}}`}, {status: 200, body: `{"data":"success"}`},
		{status: 200, body: `<Authorization><Result>OK</Result></Authorization>`},
		{status: 200, body: `{"data":{"createdPackages":null,"installedPackages":null}}`}, // asked for because of the installation
	}
	c := newLocalClient(t, answers)
	if _, _, err := c.FindPackage(t.Context(), "p", "k", 0); !maxcompute.IsNull(err) {
		t.Errorf("FindPackage: %v", err)
	}
	must(t, c.CreatePackage(t.Context(), "p", "k", acl.Set{}))
	must(t, c.InstallPackage(t.Context(), "p", "s", "k"))
	for what, err := range map[string]error{
		"FindPackage":      secondError(c.FindPackage(t.Context(), "p", "k", time.Hour)),
		"FindInstallation": secondError(c.FindInstallation(t.Context(), "p", "s", "k", time.Hour)),
	} {
		if !maxcompute.IsNull(err) {
			t.Errorf("%s: %v, want that nothing is known", what, err)
		}
	}
}

func secondError[T any](_ T, _ bool, err error) error { return err }
