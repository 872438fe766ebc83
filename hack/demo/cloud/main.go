// Command cloud looks into the fake cloud past the operator, through the fake's administrative API, whose base URL it takes
// from FAKECLOUD_URL. The demo shows with it what the cloud holds, and plays the person who changes it by hand.
//
//	cloud acl PROJECT ROLE                                what a role may do
//	cloud packages PROJECT                                what a project shares, and what it has installed
//	cloud revoke PROJECT ROLE KIND NAME ACTION            take a permission away by hand
//	cloud calls [--since N] [--writes]                    the calls after number N; only those that ask for a change
//	cloud last                                            the number of the last call
//	cloud await [--gone] [--timeout D] PROJECT ROLE [KIND NAME ACTION]
//	                                                      wait until the role, or a permission of it, is there, or is gone
//	cloud table PROJECT NAME COLUMN...                    give a table columns
//	cloud orders                                          the permission requests that there are
//	cloud approve|reject ORDER [COMMENT]                  decide about one of them, as a person does
//	cloud permissions PROJECT TABLE                       who has what on a table because of them
//	cloud workspace PROJECT WORKSPACE KEY SECRET DASHBOARD...
//	                                                      make a workspace of DataArts Insight with dashboards, and a key to it
//	cloud edit PROJECT WORKSPACE DASHBOARD                change a dashboard
//	cloud in DURATION                                     the time in a while, in RFC 3339
//	cloud now                                             the time in milliseconds, which not every shell can tell
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	callTimeout = 5 * time.Second
	// pollInterval is well below the time that anything waited for takes.
	pollInterval = 50 * time.Millisecond
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cloud:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("usage: cloud acl|packages|revoke|calls|last|await|table|orders|approve|reject|permissions|workspace|edit|in|now")
	}
	c := client{url: os.Getenv("FAKECLOUD_URL")}
	command, args := args[0], args[1:]
	if c.url == "" && command != "now" && command != "in" {
		return errors.New("FAKECLOUD_URL is not set")
	}
	switch command {
	case "in":
		return showIn(args, out)
	case "acl":
		return showACL(ctx, c, args, out)
	case "packages":
		return showPackages(ctx, c, args, out)
	case "revoke":
		return revoke(ctx, c, args)
	case "calls":
		return showCalls(ctx, c, args, out)
	case "last":
		return showLast(ctx, c, out)
	case "await":
		return await(ctx, c, args)
	case "now":
		_, err := fmt.Fprintln(out, time.Now().UnixMilli())
		return err
	case "workspace", "edit":
		return runDashboards(ctx, c, command, args)
	default:
		return runRequests(ctx, c, command, args, out)
	}
}

// role is as much of the fake's state as the demo needs.
type role struct {
	Name   string  `json:"name"`
	Grants []grant `json:"grants"`
}

type grant struct {
	Kind       string   `json:"kind"`
	SchemaName string   `json:"schemaName"`
	Name       string   `json:"name"`
	Actions    []string `json:"actions"`
}

// project is as much of a project as the demo needs.
type project struct {
	Name     string `json:"name"`
	Roles    []role `json:"roles"`
	Packages []struct {
		Name    string  `json:"name"`
		Grants  []grant `json:"grants"`
		Allowed []struct {
			Project string `json:"project"`
			Label   int    `json:"label"`
		} `json:"allowed"`
	} `json:"packages"`
	Installed []struct {
		SourceProject string `json:"sourceProject"`
		Name          string `json:"name"`
		Status        string `json:"status"`
	} `json:"installed"`
}

// holds compares without case, as the service does.
func (r role) holds(kind, name, action string) bool {
	return slices.ContainsFunc(r.Grants, func(g grant) bool {
		return strings.EqualFold(g.Kind, kind) && strings.EqualFold(g.Name, name) &&
			slices.ContainsFunc(g.Actions, func(a string) bool { return strings.EqualFold(a, action) })
	})
}

// call is an entry of the fake's journal.
type call struct {
	Seq       int    `json:"seq"`
	Action    string `json:"action"`
	Project   string `json:"project"`
	Role      string `json:"role"`
	Package   string `json:"package"`
	Statement string `json:"statement"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
}

func (c call) String() string {
	if c.Statement != "" {
		return c.Statement
	}
	text := c.Action
	if name := cmp.Or(c.Role, c.Package); name != "" {
		text += " " + name
	}
	if c.Project != "" {
		text += " in " + c.Project
	}
	return text
}

func showACL(ctx context.Context, c client, args []string, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("usage: cloud acl PROJECT ROLE")
	}
	r, found, err := c.role(ctx, args[0], args[1])
	switch {
	case err != nil:
		return err
	case !found:
		_, err := fmt.Fprintf(out, "There is no role %s in project %s.\n", args[1], args[0])
		return err
	}
	rows := []string{"KIND\tNAME\tACTIONS"}
	for _, g := range r.Grants {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s", g.Kind, g.Name, strings.Join(g.Actions, ", ")))
	}
	return table(out, rows)
}

func showPackages(ctx context.Context, c client, args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: cloud packages PROJECT")
	}
	p, err := c.project(ctx, args[0])
	if err != nil {
		return err
	}
	rows := []string{"PACKAGE\tKIND\tNAME\tSTATE"}
	for _, pkg := range p.Packages {
		for _, g := range pkg.Grants {
			rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s", pkg.Name, g.Kind, g.Name, strings.Join(g.Actions, ", ")))
		}
		for _, a := range pkg.Allowed {
			rows = append(rows, fmt.Sprintf("%s\tproject\t%s\tmay install it, up to label %d", pkg.Name, a.Project, a.Label))
		}
	}
	for _, i := range p.Installed {
		rows = append(rows, fmt.Sprintf("%s.%s\t\t\tinstalled, %s", i.SourceProject, i.Name, i.Status))
	}
	return table(out, rows)
}

func revoke(ctx context.Context, c client, args []string) error {
	if len(args) != 5 {
		return errors.New("usage: cloud revoke PROJECT ROLE KIND NAME ACTION")
	}
	return c.post(ctx, "revoke", map[string]any{"project": args[0], "role": args[1], "kind": args[2], "name": args[3], "actions": args[4:]})
}

func showCalls(ctx context.Context, c client, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("cloud calls", flag.ContinueOnError)
	since := flags.Int("since", 0, "`number` of the call after which to begin")
	writes := flags.Bool("writes", false, "only calls that ask for a change")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var calls []call
	if err := c.get(ctx, fmt.Sprintf("journal?since=%d&write=%t", *since, *writes), &calls); err != nil {
		return err
	}
	rows := []string{"CALL\tANSWER"}
	for _, entry := range calls {
		rows = append(rows, fmt.Sprintf("%s\t%d %s", entry, entry.Status, entry.Code))
	}
	return table(out, rows)
}

func showLast(ctx context.Context, c client, out io.Writer) error {
	var calls []call
	if err := c.get(ctx, "journal", &calls); err != nil {
		return err
	}
	last := 0
	if len(calls) > 0 {
		last = calls[len(calls)-1].Seq
	}
	_, err := fmt.Fprintln(out, last)
	return err
}

func await(ctx context.Context, c client, args []string) error {
	flags := flag.NewFlagSet("cloud await", flag.ContinueOnError)
	gone := flags.Bool("gone", false, "wait until it is not there any more")
	timeout := flags.Duration("timeout", time.Minute, "how long to wait")
	if err := flags.Parse(args); err != nil {
		return err
	}
	args = flags.Args()
	if len(args) != 2 && len(args) != 5 {
		return errors.New("usage: cloud await [--gone] [--timeout D] PROJECT ROLE [KIND NAME ACTION]")
	}
	for deadline := time.Now().Add(*timeout); ; time.Sleep(pollInterval) {
		r, there, err := c.role(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		if len(args) == 5 {
			there = there && r.holds(args[2], args[3], args[4])
		}
		if there != *gone {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not after %s: %s", *timeout, strings.Join(args, " "))
		}
	}
}

// client talks to the administrative API.
type client struct{ url string }

// role finds a role in the fake's state; names compare without case.
func (c client) role(ctx context.Context, projectName, name string) (role, bool, error) {
	p, err := c.project(ctx, projectName)
	if err != nil {
		return role{}, false, err
	}
	i := slices.IndexFunc(p.Roles, func(r role) bool { return strings.EqualFold(r.Name, name) })
	if i < 0 {
		return role{}, false, nil
	}
	return p.Roles[i], true, nil
}

// project finds a project in the fake's state.
func (c client) project(ctx context.Context, name string) (project, error) {
	var state struct {
		Projects []project `json:"projects"`
	}
	if err := c.get(ctx, "state", &state); err != nil {
		return project{}, err
	}
	i := slices.IndexFunc(state.Projects, func(p project) bool { return strings.EqualFold(p.Name, name) })
	if i < 0 {
		return project{}, fmt.Errorf("there is no project %s", name)
	}
	return state.Projects[i], nil
}

func (c client) get(ctx context.Context, path string, result any) error {
	return c.do(ctx, http.MethodGet, path, nil, result)
}

func (c client) post(ctx context.Context, path string, body any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, path, encoded, nil)
}

func (c client) do(ctx context.Context, method, path string, body []byte, result any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.url+"/_admin/"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, bytes.TrimSpace(content))
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(content, result)
}

// table prints rows of tab-separated cells.
func table(out io.Writer, rows []string) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		if _, err := fmt.Fprintln(w, strings.TrimRight(row, " ")); err != nil {
			return err
		}
	}
	return w.Flush()
}
