package fakecloud

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	principalALIYUN = regexp.MustCompile(`^ALIYUN\$[a-z0-9_.@-]+$`)
	principalRAM    = regexp.MustCompile(`^RAM\$[a-z0-9_.@-]+:(role/)?[a-z0-9_.@-]+$`)
)

// firstAccountID is where made-up account ids start.
const firstAccountID = 267842600000000001

// User is an account of the tenant, as ListUsers shows it.
type User struct {
	// AccountID is made up from a counter if it is empty.
	AccountID string `json:"accountId"`
	// Principal is the name with its provider, like RAM$corp:alice.
	Principal string `json:"principal"`
}

// tenant is what is shared by all projects: the accounts, and which of them were deleted.
type tenant struct {
	users []User
	dead  map[string]bool
}

func (t *tenant) add(principal string) {
	if t.find(principal) < 0 {
		id := strconv.Itoa(firstAccountID + len(t.users))
		t.users = append(t.users, User{AccountID: id, Principal: principal})
	}
}

func (t *tenant) find(principal string) int {
	return slices.IndexFunc(t.users, func(u User) bool { return u.Principal == principal })
}

// principals checks names and folds them; the provider stays in upper case.
func principals(names []string) ([]string, *problem) {
	out := make([]string, 0, len(names))
	for _, n := range names {
		p, refusal := principal(n)
		if refusal != nil {
			return nil, refusal
		}
		out = append(out, p)
	}
	return out, nil
}

func principal(name string) (string, *problem) {
	provider, rest, found := strings.Cut(name, "$")
	if !found {
		return "", invalid("lack of account provider, principalName %s", name)
	}
	folded := strings.ToUpper(provider) + "$" + fold(rest)
	if !principalALIYUN.MatchString(folded) && !principalRAM.MatchString(folded) {
		return "", invalid("Invalid account Name %s", name)
	}
	return folded, nil
}

func (u User) forList() tenantUser {
	provider, rest, _ := strings.Cut(u.Principal, "$")
	display := rest
	if _, name, found := strings.Cut(rest, ":"); found {
		display = name
	}
	// The documentation doesn't say whether accountName carries the provider for RAM users; its
	// sample of an ALIYUN account doesn't, and this follows it.
	return tenantUser{
		AccountID: u.AccountID, AccountName: rest, AccountType: provider, DisplayName: display,
		TenantID: "1567253789",
	}
}

func (p *project) userNames() []string { return slices.Sorted(maps.Keys(p.users)) }
