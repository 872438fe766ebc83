package dataworks

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// TypeTable is the type of a request for tables, and the default.
const TypeTable = "MaxComputeTable"

// Permanent is when permissions end that are requested without a deadline, by the documentation of 2020-05-18.
var Permanent = time.Date(2065, 1, 1, 0, 0, 0, 0, time.UTC)

// Request is a permission request.
type Request struct {
	// UserIDs are the ids of the accounts that get the permissions; with 2024-05-18 also ROLE_ and the id of a RAM role.
	UserIDs []string
	// Reason is what the approver reads. Nothing is added to it.
	Reason  string
	Project string
	// WorkspaceID is optional with 2020-05-18, as 0.
	WorkspaceID int64
	// Deadline is when the permissions end, to the millisecond; the zero time means Permanent.
	Deadline time.Time
	// ApplyType is TypeTable, which empty means as well, or with 2020-05-18 any other type that its documentation names.
	ApplyType string
	// CatalogName is for the types that begin with DLF.
	CatalogName string
	Objects     []Object
	// Token makes the request one of its own: 2024-05-18 makes no second order for what comes again with the same token. 2020-05-18
	// knows no such thing and is not sent it.
	Token string
}

// Object is a table, or another object by the type of the request.
type Object struct {
	// Schema is only known to 2024-05-18; with 2020-05-18 it is empty or default.
	Schema, Name string
	// Actions are for tables among Select, Describe, Drop, Alter, Update and Download, in any case.
	Actions []string
	// Columns limit Select, Describe and Download to these columns. With 2024-05-18 none means the whole table; 2020-05-18 wants all
	// columns of a table named.
	Columns []Column
}

// Column is a column in a request.
type Column struct {
	Name string
	// Actions are among Select, Describe and Download. None means those of the table.
	Actions []string
}

func (r Request) op() string {
	return fmt.Sprintf("request permissions on %d objects of project %s", len(r.Objects), r.Project)
}

func (r Request) isTables() bool { return r.ApplyType == "" || r.ApplyType == TypeTable }

// check finds what neither version could do.
func (r Request) check() error {
	op := r.op()
	switch {
	case len(r.UserIDs) == 0 || len(r.Objects) == 0:
		return invalid(op, "the request names nobody or nothing")
	case strings.TrimSpace(r.Reason) == "":
		return invalid(op, "the request gives no reason")
	case r.Project == "" && r.isTables() || r.Project != "" && !identifier.MatchString(r.Project):
		return invalid(op, "%q cannot be the name of a project", r.Project)
	case !r.Deadline.IsZero() && r.Deadline.UnixMilli() <= 0:
		return invalid(op, "the deadline is in the past")
	case r.ApplyType != "" && !word.MatchString(r.ApplyType):
		return invalid(op, "%q cannot be the type of a request", r.ApplyType)
	}
	if user, twice := repeated(r.UserIDs); twice {
		return invalid(op, "the account %s is named twice", user)
	}
	return r.checkObjects(op)
}

func (r Request) checkObjects(op string) error {
	names := make([]string, 0, len(r.Objects))
	for _, o := range r.Objects {
		if err := o.check(op, r.isTables()); err != nil {
			return err
		}
		names = append(names, o.Schema+"/"+o.Name)
	}
	if name, twice := repeated(names); twice {
		return invalid(op, "the object %s is named twice", strings.TrimPrefix(name, "/"))
	}
	return nil
}

// repeated returns a name that is there twice, whatever its case.
func repeated(names []string) (string, bool) {
	seen := map[string]bool{}
	for _, name := range names {
		key := strings.ToLower(name)
		if seen[key] {
			return name, true
		}
		seen[key] = true
	}
	return "", false
}

func (o Object) check(op string, isTable bool) error {
	switch {
	case !identifier.MatchString(o.Name) || o.Schema != "" && !identifier.MatchString(o.Schema):
		return invalid(op, "%q cannot be the name of an object, or %q that of its schema", o.Name, o.Schema)
	case len(o.Actions) == 0:
		return invalid(op, "no actions are requested on %s", o.Name)
	}
	if err := checkActions(op, o.Name, o.Actions, isTable, tableActions); err != nil {
		return err
	}
	names := make([]string, 0, len(o.Columns))
	for _, c := range o.Columns {
		if !column.MatchString(c.Name) {
			return invalid(op, "%q cannot be the name of a column of %s", c.Name, o.Name)
		}
		names = append(names, c.Name)
		if err := checkActions(op, o.Name+"."+c.Name, c.Actions, isTable, ColumnActions); err != nil {
			return err
		}
	}
	if name, twice := repeated(names); twice {
		return invalid(op, "the column %s of %s is named twice", name, o.Name)
	}
	return nil
}

func checkActions(op, name string, actions []string, isTable bool, known []string) error {
	for _, action := range actions {
		if _, ok := spell(action, known); isTable && !ok || !word.MatchString(action) {
			return invalid(op, "the action %q cannot be requested on %s, only %s", action, name, strings.Join(known, ", "))
		}
	}
	return nil
}

// canonical returns requested actions as the documentation spells them, in the order in which they came.
func canonical(actions []string) []string {
	out := make([]string, 0, len(actions))
	for _, action := range actions {
		action, _ = spell(action, tableActions)
		if !slices.Contains(out, action) {
			out = append(out, action)
		}
	}
	return out
}

// split cuts a request into parts that fit into one call each.
func split(r Request, fits func(Request) error) ([]Request, error) {
	parts, err := cut(r, fits)
	if err != nil || len(parts) < 2 || r.Token == "" {
		return parts, err
	}
	for i := range parts {
		parts[i].Token = fmt.Sprintf("%s-%d", r.Token, i+1)
	}
	return parts, nil
}

func cut(r Request, fits func(Request) error) ([]Request, error) {
	var parts []Request
	for start, end := 0, 0; start < len(r.Objects); start = end {
		part := r
		for end = start + 1; end < len(r.Objects); end++ {
			part.Objects = r.Objects[start : end+1]
			if fits(part) != nil {
				break
			}
		}
		part.Objects = slices.Clone(r.Objects[start:end])
		pieces, err := byUser(part, fits)
		if err != nil {
			return nil, err
		}
		parts = append(parts, pieces...)
	}
	return parts, nil
}

// byUser cuts a part that is a single object for too many users.
func byUser(part Request, fits func(Request) error) ([]Request, error) {
	err := fits(part)
	if err == nil {
		return []Request{part}, nil
	}
	if len(part.UserIDs) < 2 {
		return nil, err
	}
	var pieces []Request
	for _, users := range [][]string{part.UserIDs[:len(part.UserIDs)/2], part.UserIDs[len(part.UserIDs)/2:]} {
		half := part
		half.UserIDs = slices.Clone(users)
		more, err := byUser(half, fits)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, more...)
	}
	return pieces, nil
}

// tooLarge is the error of a request that no call has room for.
func tooLarge(r Request, limit string) error {
	if len(r.Objects) == 1 {
		return &cloud.Error{Code: cloud.InvalidSpec, Op: r.op(), Message: fmt.Sprintf(
			"the object %s with %d columns is too large for one request, which has room for %s", r.Objects[0].Name, len(r.Objects[0].Columns), limit)}
	}
	return invalid(r.op(), "the request is too large for one call, which has room for %s: split it", limit)
}
