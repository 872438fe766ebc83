package fakecloud

import (
	"cmp"
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

// AccountNames selects how ListUsers spells accountName for RAM users. The documentation's only
// sample is an ALIYUN account, without its provider.
type AccountNames string

// The spellings of the RAM user RAM$corp:alice.
const (
	// AccountNamesOwner is corp:alice, and the default.
	AccountNamesOwner AccountNames = "owner"
	// AccountNamesBare is alice.
	AccountNamesBare AccountNames = "bare"
	// AccountNamesFull is RAM$corp:alice.
	AccountNamesFull AccountNames = "full"
)

var accountNames = []AccountNames{"", AccountNamesOwner, AccountNamesBare, AccountNamesFull}

// SetAccountNames changes how ListUsers spells the names of RAM users. It panics on a spelling that
// it does not know.
func (s *Server) SetAccountNames(names AccountNames) {
	if !slices.Contains(accountNames, names) {
		panic("fakecloud: unknown spelling of account names " + strconv.Quote(string(names)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = names
}

func (u User) forList(names AccountNames) tenantUser {
	provider, rest, _ := strings.Cut(u.Principal, "$")
	display, account := rest, rest
	if _, name, owned := strings.Cut(rest, ":"); owned {
		display = name
		account = map[AccountNames]string{AccountNamesBare: name, AccountNamesFull: u.Principal}[names]
	}
	return tenantUser{
		AccountID: u.AccountID, AccountName: cmp.Or(account, rest), AccountType: provider, DisplayName: display,
		TenantID: "1567253789",
	}
}

// alive returns the accounts that were not deleted.
func (t *tenant) alive() []User {
	return slices.DeleteFunc(slices.Clone(t.users), func(u User) bool { return t.dead[u.Principal] })
}

func (p *project) userNames() []string { return slices.Sorted(maps.Keys(p.users)) }
