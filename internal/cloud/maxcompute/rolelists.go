package maxcompute

import (
	"context"
	"strings"
	"time"
)

// roleList is the answer of ListRoles, by folded name.
type roleList = map[string]Role

// FindRole looks a role up in the list of its project's roles as it was at most maxAge ago. With 0, the list is asked for after
// the call of FindRole. Names compare without case.
func (c *Client) FindRole(ctx context.Context, project, name string, maxAge time.Duration) (role Role, found bool, err error) {
	ask := func(ctx context.Context) (roleList, error) {
		roles, err := c.ListRoles(ctx, project)
		list := make(roleList, len(roles))
		for _, role := range roles {
			list[strings.ToLower(role.Name)] = role
		}
		return list, err
	}
	err = c.roles.look(ctx, project, "list the roles of project "+project, maxAge, ask, func(list roleList) error {
		role, found = list[strings.ToLower(name)]
		return nil
	})
	return role, found, err
}
