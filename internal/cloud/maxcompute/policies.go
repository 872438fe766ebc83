package maxcompute

import (
	"context"
	"fmt"
	"net/http"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// GetRolePolicy returns the policy document of a role, which the service gives as text. It fails with cloud.NotFound if the service
// says that the role, or its project, does not exist. An empty text is a role without a policy; an answer without data is no answer,
// for nothing documents that it means the same: see IsNull. Vendor documentation: MaxCompute GetRolePolicy.
func (c *Client) GetRolePolicy(ctx context.Context, project, role string) (acl.Document, error) {
	var data string
	op := fmt.Sprintf("get the policy of role %s in project %s", role, project)
	err := c.do(ctx, call{action: "GetRolePolicy", op: op, method: http.MethodGet, segments: []string{"projects", project, "roles", role, "policy"}, result: &data})
	if err != nil {
		return acl.Document{}, err
	}
	document, err := acl.ParseDocument([]byte(data))
	if err != nil {
		return acl.Document{}, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: err.Error()}
	}
	return document, nil
}

// PutRolePolicy replaces the policy document of a role; the document that says nothing takes the policy away. Repeating it does no
// harm. The vendor does not document the call, which is the one that its Terraform provider makes.
func (c *Client) PutRolePolicy(ctx context.Context, project, role string, document acl.Document) error {
	return c.do(ctx, call{
		action: "UpdateRole", op: fmt.Sprintf("put the policy of role %s in project %s", role, project), method: http.MethodPut,
		segments: []string{"projects", project, "roles", role}, body: map[string]any{"policy": document.String()},
	})
}
