package maxcompute

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

const (
	// maxPrincipals is how many principals one call names. The service documents no limit.
	maxPrincipals = 100
	// usersPerPage and maxPages bound the list of a tenant's users.
	usersPerPage = 100
	maxPages     = 1000
)

// errStaleMember marks the failure of a list that one of its members made impossible.
var errStaleMember = errors.New("a member of the role does not exist any more")

// IsStaleMember tells whether the members of a role cannot be listed because the account of one of them does not exist any more.
// Nothing may be concluded about the others.
func IsStaleMember(err error) bool { return errors.Is(err, errStaleMember) }

// ListUsersByRole returns the members of a role, such as ALIYUN$name and RAM$owner:user. One member whose account was deleted makes
// the whole call fail; see IsStaleMember. Vendor documentation: MaxCompute ListUsersByRole.
func (c *Client) ListUsersByRole(ctx context.Context, project, role string) ([]string, error) {
	var data struct {
		Users *[]struct {
			Name string `json:"name"`
		} `json:"users"`
	}
	op := fmt.Sprintf("list the members of role %s in project %s", role, project)
	err := c.do(ctx, call{action: "ListUsersByRole", op: op, method: http.MethodGet, segments: []string{"projects", project, "roles", role, "users"}, result: &data})
	if err != nil {
		return nil, staleMember(err)
	}
	if data.Users == nil {
		return nil, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds no list of users"}
	}
	names := make([]string, 0, len(*data.Users))
	for _, user := range *data.Users {
		if user.Name == "" {
			return nil, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds a user without a name"}
		}
		names = append(names, user.Name)
	}
	return names, nil
}

// staleMember recognises a stale member by the service's words, "baseId and tenantId do not match", which come with differing codes.
// It is the request that the service refuses: whatever the code and the status say, no object is missing and no service is down.
func staleMember(err error) error {
	if e, ok := errors.AsType[*cloud.Error](err); ok && strings.Contains(strings.ToLower(e.Message), "baseid and tenantid do not match") {
		e.Code, e.Err = cloud.RemoteRejected, errStaleMember
	}
	return err
}

// UpdateUsersToRole makes principals members of a role, or takes membership away; what is added must be a principal, what is removed
// is named as the service or an earlier version of this program named it. Each principal may be repeated. Many take several calls;
// if one fails after another has succeeded, the error is not cloud.Refused. Vendor documentation: MaxCompute UpdateUsersToRole.
func (c *Client) UpdateUsersToRole(ctx context.Context, project, role string, add, remove []string) error {
	for _, principal := range add {
		if _, err := acl.ParsePrincipal(principal); err != nil {
			return invalid("%s", err)
		}
	}
	if slices.Contains(remove, "") {
		return invalid("a member to remove has no name")
	}
	for first := true; len(add)+len(remove) > 0; first = false {
		adding := add[:min(maxPrincipals, len(add))]
		removing := remove[:min(maxPrincipals-len(adding), len(remove))]
		err := c.updateUsersToRole(ctx, project, role, adding, removing)
		switch {
		case err != nil && first:
			return err
		case err != nil:
			return accepted(err)
		}
		add, remove = add[len(adding):], remove[len(removing):]
	}
	return nil
}

func (c *Client) updateUsersToRole(ctx context.Context, project, role string, add, remove []string) error {
	body := map[string]any{}
	if len(add) > 0 {
		body["add"] = add
	}
	if len(remove) > 0 {
		body["remove"] = remove
	}
	return c.do(ctx, call{
		action: "UpdateUsersToRole", op: fmt.Sprintf("update the members of role %s in project %s", role, project), method: http.MethodPut,
		segments: []string{"projects", project, "roles", role, "users"}, body: body,
	})
}

// tenantUser is an account as ListUsers shows it. Its name may come with its owner and its provider, or without.
type tenantUser struct {
	AccountID   accountID `json:"accountId"`
	AccountName string    `json:"accountName"`
	AccountType string    `json:"accountType"`
}

// principal spells an account as members of roles are spelt, as far as the answer tells.
func (u tenantUser) principal() string {
	switch {
	case strings.Contains(u.AccountName, "$"):
		return u.AccountName
	case strings.Contains(u.AccountName, ":"):
		return "RAM$" + u.AccountName // nothing else has an owner
	case u.AccountType == "":
		return u.AccountName
	}
	return strings.ToUpper(u.AccountType) + "$" + u.AccountName
}

// ListTenantUsers returns the users of the tenant, spelt like members of roles where the service tells enough: a RAM user may come
// without its owner. Vendor documentation: MaxCompute ListUsers.
func (c *Client) ListTenantUsers(ctx context.Context) ([]string, error) {
	const op = "list the users of the tenant"
	var users []string
	seen := map[string]bool{}
	_, err := c.eachTenantUser(ctx, op, func(user tenantUser) (bool, error) {
		if user.AccountName == "" {
			return false, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds a user without a name"}
		}
		if name := user.principal(); !seen[name] {
			seen[name] = true
			users = append(users, name)
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	return users, nil
}

// eachTenantUser shows the users of the tenant to visit, page by page and each once, until visit has had enough or the list ends. whole
// tells that the list was seen to its end and nobody can be missing: while somebody comes or goes, another may slip into a page that was
// read before.
func (c *Client) eachTenantUser(ctx context.Context, op string, visit func(tenantUser) (enough bool, err error)) (whole bool, err error) {
	seen := map[tenantUser]bool{}
	changed := false
	for page, listed, length := 1, 0, 0; page <= maxPages; page++ {
		list, total, err := c.listUsers(ctx, op, page)
		if err != nil {
			return false, err
		}
		changed = changed || page > 1 && total != length
		before := len(seen)
		for _, user := range list {
			if seen[user] {
				continue
			}
			seen[user] = true
			if enough, err := visit(user); enough || err != nil {
				return false, err
			}
		}
		length = total
		if listed += len(list); listed >= total {
			return !changed && len(seen) >= total, nil
		}
		if len(seen) == before {
			return false, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "a page of the list holds nothing new, and the list has not ended"}
		}
	}
	return false, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: fmt.Sprintf("the list does not end within %d pages", maxPages)}
}

func (c *Client) listUsers(ctx context.Context, op string, page int) (users []tenantUser, total int, err error) {
	var data struct {
		Users      *[]tenantUser `json:"users"`
		TotalCount *int          `json:"totalCount"`
	}
	err = c.do(ctx, call{
		action: "ListUsers", op: op, method: http.MethodGet, segments: []string{"users"},
		query: map[string]string{"pageNumber": strconv.Itoa(page), "pageSize": strconv.Itoa(usersPerPage)}, result: &data,
	})
	if err != nil {
		return nil, 0, err
	}
	if data.Users == nil || data.TotalCount == nil {
		return nil, 0, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the answer holds no list of users or does not tell how many there are"}
	}
	return *data.Users, *data.TotalCount, nil
}

// DeadAmong returns the members that a complete list of the tenant's users, as ListTenantUsers gives it, shows to be gone, each once
// and in a fixed order. It is a guess for people to read, and rather names none than a wrong one. A member is alive
//   - if the list has it in any spelling, with or without its provider and owner;
//   - if the list has it but for the account, and one of the two spells the account as a number and the other as a name;
//   - if it is a RAM role and the list has no RAM roles at all: the list is documented to hold users;
//   - if it is no principal.
func DeadAmong(members, users []string) []string {
	listed := newDirectory(users)
	var dead []string
	for _, member := range acl.NewMembers(members...).List() {
		if p, err := acl.ParsePrincipal(member); err == nil && !listed.has(p) {
			dead = append(dead, member)
		}
	}
	return dead
}

// directory is a list of users by what can be known of them.
type directory struct {
	// spelt are all users in lower case.
	spelt map[string]bool
	// accounts tell under what kind of account there is a user or role of a name.
	accounts map[account]bool
	roles    bool
}

// account says that something belongs to an account, or is one, that is spelt as a number or not.
type account struct {
	of       string
	numbered bool
}

func newDirectory(users []string) directory {
	d := directory{spelt: map[string]bool{}, accounts: map[account]bool{}}
	for _, user := range users {
		p, err := acl.ParsePrincipal(user)
		if err != nil {
			d.spelt[strings.ToLower(user)] = true
			continue
		}
		d.spelt[strings.ToLower(p.Key())] = true
		d.accounts[accountOf(p)] = true
		d.roles = d.roles || p.IsRole()
	}
	return d
}

func accountOf(p acl.Principal) account {
	if p.Owner() == "" {
		return account{numbered: isNumber(p.Name())}
	}
	return account{of: ownName(p), numbered: isNumber(p.Owner())}
}

// ownName is what is left of a principal without provider and owner.
func ownName(p acl.Principal) string {
	if p.IsRole() {
		return "role/" + p.Name()
	}
	return p.Name()
}

func isNumber(s string) bool { return strings.Trim(s, "0123456789") == "" }

func (d directory) has(p acl.Principal) bool {
	key := strings.ToLower(p.Key())
	provider, rest, _ := strings.Cut(key, "$")
	for _, spelling := range []string{key, rest, provider + "$" + ownName(p), ownName(p)} {
		if d.spelt[spelling] {
			return true
		}
	}
	other := accountOf(p)
	other.numbered = !other.numbered
	return d.accounts[other] || p.IsRole() && !d.roles
}
