package maxcompute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// accountID is the id of an account as the service tells it. Of a value of another kind, it is the text.
type accountID string

var digits = regexp.MustCompile(`^[0-9]+$`)

// UnmarshalJSON implements json.Unmarshaler and never fails: what is no id must not hide the other users.
func (a *accountID) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	*a = accountID(text)
	return nil
}

// AccountName returns the principal, ALIYUN$name or RAM$owner:user, of the account with an id, by the list of the tenant's users. The
// service has no call for one account, so that this one makes a call per page until the account is found.
//
// It fails with cloud.NotFound if the list holds no such account, which may still be one of another tenant; with UnexpectedResponse if
// nothing can be concluded: the list names a RAM user without its owner, has users without an id, or changed while it was read; and
// with InvalidSpec if the id is not made of digits. Vendor documentation: MaxCompute ListUsers.
func (c *Client) AccountName(ctx context.Context, id string) (principal string, err error) {
	if !digits.MatchString(id) {
		return "", invalid("%.256q cannot be the id of an account", id)
	}
	op := "find the name of account " + id
	var account *tenantUser
	unnumbered := false
	whole, err := c.eachTenantUser(ctx, op, func(user tenantUser) (bool, error) {
		if string(user.AccountID) == id {
			account = &user
			return true, nil
		}
		unnumbered = unnumbered || !digits.MatchString(string(user.AccountID))
		return false, nil
	})
	unexpected := func(format string, args ...any) (string, error) {
		return "", &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case err != nil:
		return "", listMissing(err)
	case account == nil && unnumbered:
		return unexpected("the tenant's list of users does not hold account %s, but users without an id", id)
	case account == nil && !whole:
		return unexpected("the tenant's list of users changed while it was read, and account %s was not seen in it", id)
	case account == nil:
		return "", &cloud.Error{Code: cloud.NotFound, Op: op, Message: fmt.Sprintf("the tenant's list of users does not hold account %s", id)}
	}
	p, err := acl.ParsePrincipal(account.principal())
	if err != nil {
		return unexpected("the service does not tell the owner of account %s, only that it is called %.256q", id, account.AccountName)
	}
	return p.String(), nil
}

// AccountNames returns the principals of all accounts of the tenant, by id, as far as the list of the tenant's users tells both. Vendor
// documentation: MaxCompute ListUsers.
func (c *Client) AccountNames(ctx context.Context) (map[string]string, error) {
	names := map[string]string{}
	_, err := c.eachTenantUser(ctx, "list the users of the tenant", func(user tenantUser) (bool, error) {
		if p, err := acl.ParsePrincipal(user.principal()); err == nil && digits.MatchString(string(user.AccountID)) {
			names[string(user.AccountID)] = p.String()
		}
		return false, nil
	})
	return names, listMissing(err)
}

// listMissing reads "not found", said of the list of users, as what it must be: no word about the account that is sought in it.
func listMissing(err error) error {
	if e, ok := errors.AsType[*cloud.Error](err); ok && e.Code == cloud.NotFound {
		e.Code = cloud.UnexpectedResponse
	}
	return err
}
