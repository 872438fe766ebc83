package maxcompute

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// column is a column of a table on the wire.
type column struct {
	Name string `json:"name"`
}

// TableColumns returns the names of all columns of a table, those that it is partitioned by last, in the service's order and never none.
// Schema "" is the default one. It fails with cloud.NotFound if the service says that the table, or its project, does not exist; with
// ProjectNotFound if its code tells that it is the project. Vendor documentation: MaxCompute GetTableInfo.
func (c *Client) TableColumns(ctx context.Context, project, schema, table string) ([]string, error) {
	if err := cmp.Or(checkProjects(project), checkTable(schema, table)); err != nil {
		return nil, err
	}
	var data struct {
		Native    *[]column `json:"nativeColumns"`
		Partition []column  `json:"partitionColumns"`
	}
	query := map[string]string{}
	op := fmt.Sprintf("get the columns of table %s in project %s", table, project)
	if !isDefault(schema) {
		query["schemaName"] = schema
		op = fmt.Sprintf("get the columns of table %s.%s in project %s", schema, table, project)
	}
	err := c.do(ctx, call{
		action: "GetTableInfo", op: op, method: http.MethodGet, segments: []string{"projects", project, "tables", table}, query: query, result: &data,
	})
	if err != nil {
		return nil, err
	}
	if data.Native == nil {
		return nil, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds no list of columns"}
	}
	var names []string
	for _, column := range slices.Concat(*data.Native, data.Partition) {
		if strings.TrimSpace(column.Name) == "" {
			return nil, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds a column without a name"}
		}
		names = append(names, column.Name)
	}
	if len(names) == 0 {
		return nil, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds a table without columns"}
	}
	return names, nil
}

// RevokeFromUser takes actions on one table from an account, a RAM user or a RAM role, whatever
// they were granted by. Schema "" is the default one. What cannot be said in a statement is
// InvalidSpec, and nothing is sent. What the service makes of actions that the user does not have
// is not documented. It fails with cloud.NotFound only if the service says that the table does not
// exist; see also IsNotInProject. Vendor documentation: MaxCompute REVOKE.
func (c *Client) RevokeFromUser(ctx context.Context, project, schema, table string, actions []string, principal string) error {
	grant := acl.Grant{Kind: acl.Table, Schema: schema, Name: table, Actions: actions}
	if err := cmp.Or(checkProjects(project), checkTable(schema, table), validate(grant), checkActions(grant), checkPrincipal(principal)); err != nil {
		return err
	}
	return nothingToRevoke(c.run(ctx, changing("revoke", "REVOKE %s ON %s %s FROM USER %s;", project, "user", principal, grant)))
}

// checkTable holds the names to those of one table: there is no wildcard, which would mean other tables than the one that is meant.
func checkTable(schema, table string) error {
	switch {
	case !identifier.MatchString(table):
		return invalid("%q cannot be the name of a table", table)
	case schema != "" && !identifier.MatchString(schema):
		return invalid("%q cannot be the name of a schema", schema)
	}
	return nil
}

// statementPrincipal is narrower than what may be a principal elsewhere: how the service reads letters of other alphabets in a statement is
// not documented.
var statementPrincipal = regexp.MustCompile(`^[A-Za-z]+\$([A-Za-z0-9._@+-]+:)?(role/)?[A-Za-z0-9._@+-]+$`)

func checkPrincipal(principal string) error {
	if _, err := acl.ParsePrincipal(principal); err != nil {
		return invalid("%s", err)
	}
	// Two hyphens begin a comment.
	if !statementPrincipal.MatchString(principal) || strings.Contains(principal, "--") {
		return invalid("%.256q cannot be named in a statement", principal)
	}
	return nil
}
