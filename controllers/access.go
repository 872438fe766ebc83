package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
)

// readers is how many calls go on at a time while a project is read. The account's rate limit holds for all of them together.
const readers = 8

// Reading is a project as it is being read, for questions about who may do what in it. It is not safe for concurrent use.
type Reading struct {
	*access.Project
	// Notes are what could not be seen for reasons that lie in the project.
	Notes []string
	// Problems are why something could not be read.
	Problems []error
	// Absent are the objects whose roles do not exist, by the roles' names.
	Absent map[string]string
	// UnreadPolicies is how many roles with an ACL are taken to have no policy because the list of roles shows none.
	UnreadPolicies int
	// Connection is what it is read with, and Endpoint where.
	Connection v1alpha1.ConnectionReference
	Endpoint   string

	estate   Estate
	account  *connect.Account
	progress Progress
}

// Progress makes of something that is going to be read, such as members, what is told how far that is.
type Progress func(what string) func(done, of int)

// Access reads the roles of a project with their ACLs and policies, and what objects of the cluster say of them. Nothing is written.
// Members and packages are read by methods of the Reading. progress is asked who wants to know how far the reading of something is, and
// that is told of each call that has ended, of how many.
//
// It makes one call that lists the roles, and one for the ACL of each. If the list shows no policies, it makes another one for the policy of
// each; sparing tells it to do so only where there is a reason to believe that the list leaves something out.
func (p *Previewer) Access(ctx context.Context, e Estate, sparing bool, progress Progress) (*Reading, error) {
	account, err := p.accounts.Account(ctx, e.object(&v1alpha1.ProjectRole{}), e.Connection, e.Project)
	if err != nil {
		return nil, err
	}
	r := &Reading{Project: &access.Project{Name: e.Project}, Connection: e.Connection, Endpoint: account.Endpoint, estate: e, account: account, progress: progress}
	details, err := account.MaxCompute.ListRoleDetails(ctx, e.Project)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, account.Noticed(err)
	}
	declared, err := p.declarations(ctx, e)
	if err != nil {
		return nil, err
	}
	if err := r.readRoles(ctx, details, declared, sparing); err != nil {
		return nil, err
	}
	r.Absent = map[string]string{}
	for key, role := range declared {
		if !slices.ContainsFunc(details, func(d maxcompute.RoleDetails) bool { return strings.EqualFold(d.Name, key) }) {
			r.Absent[key] = role.Object
		}
	}
	if err := p.readRequests(ctx, r); err != nil {
		return nil, err
	}
	return r, nil
}

// found is what was read of a role.
type found struct {
	acl            acl.Set
	policy         acl.Document
	err, policyErr error
}

// declaration is what an object says of the parts that were read: of the others nobody knows what they lack.
func (f found) declaration(d *access.Declaration) *access.Declaration {
	if d == nil {
		return nil
	}
	known := *d
	if f.err != nil {
		known.ACL = nil
	}
	if f.policyErr != nil {
		known.Policy = nil
	}
	return &known
}

// readRoles reads what the roles give.
func (r *Reading) readRoles(ctx context.Context, details []maxcompute.RoleDetails, declared map[string]*access.Declaration, sparing bool) error {
	slices.SortFunc(details, func(a, b maxcompute.RoleDetails) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	read := make([]found, len(details))
	err := r.each(ctx, "ACLs", len(details), func(i int) error {
		if details[i].Type != maxcompute.TypeAdmin && !access.IsBuiltIn(details[i].Name) {
			read[i].acl, read[i].err = r.account.MaxCompute.GetRoleACL(ctx, r.Name, details[i].Name)
		}
		return read[i].err
	})
	if err != nil {
		return err
	}
	if err := r.readPolicies(ctx, details, read, sparing); err != nil {
		return err
	}
	for i, role := range details {
		for _, err := range []error{read[i].err, read[i].policyErr} {
			if err != nil {
				r.Problems = append(r.Problems, r.account.Noticed(err))
			}
		}
		declaration := read[i].declaration(declared[strings.ToLower(role.Name)])
		made := access.NewRole(role.Name, role.Type == maxcompute.TypeAdmin, read[i].acl, read[i].policy, declaration)
		if doubt := read[i].policy.Doubt(); doubt != "" {
			r.Notes = append(r.Notes, fmt.Sprintf("role %s: %s", role.Name, doubt))
		}
		r.Roles = append(r.Roles, made)
	}
	return nil
}

// ReadMembers reads who has some of the roles, unless it is known already. A role whose members cannot be listed stays without them.
func (r *Reading) ReadMembers(ctx context.Context, roles []*access.Role) error {
	roles = slices.DeleteFunc(slices.Clone(roles), (*access.Role).MembersKnown)
	lists, errs := make([][]string, len(roles)), make([]error, len(roles))
	err := r.each(ctx, "members", len(roles), func(i int) error {
		lists[i], errs[i] = r.account.MaxCompute.ListUsersByRole(ctx, r.Name, roles[i].Name)
		return errs[i]
	})
	if err != nil {
		return err
	}
	for i, role := range roles {
		switch {
		case errs[i] == nil:
			role.SetMembers(acl.NewMembers(lists[i]...))
		case maxcompute.IsStaleMember(errs[i]):
			r.Notes = append(r.Notes, fmt.Sprintf("the members of role %s cannot be listed, because an account among them was deleted", role.Name))
		default:
			r.Problems = append(r.Problems, r.account.Noticed(errs[i]))
		}
	}
	return nil
}

// each makes n calls, a few at a time, to read something.
func (r *Reading) each(ctx context.Context, what string, n int, call func(i int) error) error {
	if n == 0 {
		return ctx.Err()
	}
	tell, done, lock := r.progress(what), 0, sync.Mutex{}
	group := &errgroup.Group{}
	group.SetLimit(readers)
	for i := range n {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			patiently(func() error { return call(i) })
			lock.Lock()
			defer lock.Unlock()
			done++
			tell(done, n)
			return ctx.Err()
		})
	}
	return group.Wait()
}
