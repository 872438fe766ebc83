package main

import (
	"context"
	"errors"
	"fmt"
)

// runDashboards is run for the commands about DataArts Insight.
func runDashboards(ctx context.Context, c client, command string, args []string) error {
	switch command {
	case "workspace":
		return makeWorkspace(ctx, c, args)
	case "edit":
		if len(args) != 3 {
			return errors.New("usage: cloud edit PROJECT WORKSPACE DASHBOARD")
		}
		return c.post(ctx, "insight/resources/change", map[string]any{"project": args[0], "workspace": args[1], "type": "dashboard", "id": args[2]})
	default:
		return fmt.Errorf("unknown command %q", command)
	}
}

// makeWorkspace makes a workspace of DataArts Insight with dashboards, and a key of somebody who may export them.
func makeWorkspace(ctx context.Context, c client, args []string) error {
	if len(args) < 5 {
		return errors.New("usage: cloud workspace PROJECT WORKSPACE KEY SECRET DASHBOARD [DASHBOARD ...]")
	}
	project, workspace := args[0], args[1]
	if err := errors.Join(
		c.post(ctx, "insight/users", map[string]any{"domain": "demo", "name": "exporter", "password": args[3]}),
		c.post(ctx, "insight/keys", map[string]any{"accessKeyID": args[2], "secretAccessKey": args[3], "user": "demo/exporter"}),
		c.post(ctx, "insight/workspaces", map[string]any{"project": project, "id": workspace}),
	); err != nil {
		return err
	}
	for _, id := range args[4:] {
		if err := c.post(ctx, "insight/resources", map[string]any{"project": project, "workspace": workspace, "type": "dashboard", "id": id}); err != nil {
			return err
		}
	}
	return nil
}
