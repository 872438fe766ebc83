package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// order is as much of a permission request as the demo needs.
type order struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
	Objects []struct {
		Name string `json:"name"`
	} `json:"objects"`
}

// permission is what somebody has on a table because of an order.
type permission struct {
	Table  string    `json:"table"`
	User   string    `json:"user"`
	Action string    `json:"action"`
	Until  time.Time `json:"until"`
}

// runRequests is run for the commands about permission requests.
func runRequests(ctx context.Context, c client, command string, args []string, out io.Writer) error {
	switch command {
	case "table":
		return makeTable(ctx, c, args)
	case "orders":
		return showOrders(ctx, c, out)
	case "approve", "reject":
		return decide(ctx, c, command, args)
	case "permissions":
		return showPermissions(ctx, c, args, out)
	default:
		return fmt.Errorf("unknown command %q", command)
	}
}

func showOrders(ctx context.Context, c client, out io.Writer) error {
	var orders []order
	if err := c.get(ctx, "orders", &orders); err != nil {
		return err
	}
	rows := []string{"ORDER\tSTATE\tTABLES\tREASON"}
	for _, o := range orders {
		var tables []string
		for _, object := range o.Objects {
			tables = append(tables, object.Name)
		}
		rows = append(rows, strings.Join([]string{o.ID, o.State, strings.Join(tables, ", "), o.Reason}, "\t"))
	}
	return table(out, rows)
}

// decide approves or rejects an order, as a person does.
func decide(ctx context.Context, c client, what string, args []string) error {
	if len(args) == 0 || len(args) > 2 {
		return fmt.Errorf("usage: cloud %s ORDER [COMMENT]", what)
	}
	return c.post(ctx, "orders/"+url.PathEscape(args[0])+"/"+what, map[string]any{"comment": strings.Join(args[1:], "")})
}

func showPermissions(ctx context.Context, c client, args []string, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("usage: cloud permissions PROJECT TABLE")
	}
	var permissions []permission
	if err := c.get(ctx, "orders/permissions?project="+url.QueryEscape(args[0])+"&table="+url.QueryEscape(args[1]), &permissions); err != nil {
		return err
	}
	rows := []string{"TABLE\tUSER\tACTION\tUNTIL"}
	for _, p := range permissions {
		rows = append(rows, strings.Join([]string{p.Table, p.User, p.Action, p.Until.Format(time.RFC3339)}, "\t"))
	}
	return table(out, rows)
}

// makeTable gives a table columns.
func makeTable(ctx context.Context, c client, args []string) error {
	if len(args) < 3 {
		return errors.New("usage: cloud table PROJECT NAME COLUMN [COLUMN ...]")
	}
	var columns []map[string]any
	for _, name := range args[2:] {
		columns = append(columns, map[string]any{"name": name, "type": "STRING"})
	}
	return c.post(ctx, "tables", map[string]any{"project": args[0], "name": args[1], "columns": columns})
}

// showIn prints the time in a while, which not every date can tell.
func showIn(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: cloud in DURATION")
	}
	after, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, time.Now().Add(after).UTC().Format(time.RFC3339))
	return err
}
