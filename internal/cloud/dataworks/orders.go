package dataworks

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// State is how far an order is, in words that both versions share.
type State string

// The states of an order.
const (
	// Unknown is a status that this program does not know. It tells nothing, least of all that something was granted.
	Unknown State = "Unknown"
	// Pending waits for an approver. 2020-05-18 may say so as well while permissions of an approved order are being granted.
	Pending State = "Pending"
	// Approved was approved, and its permissions are not granted yet.
	Approved State = "Approved"
	// Granted was approved, and all its permissions are there.
	Granted State = "Granted"
	// GrantFailed was approved, but not all of its permissions could be granted.
	GrantFailed State = "GrantFailed"
	// Rejected was refused by an approver.
	Rejected State = "Rejected"
	// Withdrawn was taken back by the applicant.
	Withdrawn State = "Withdrawn"
	// Deleted is a status of 2024-05-18, which does not say how it comes to be.
	Deleted State = "Deleted"
)

// decided tells whether nobody will decide about an order any more.
func (s State) decided() bool { return s != Pending && s != Unknown }

// Order is what the service knows of an order.
type Order struct {
	ID     string
	State  State
	Reason string
	// Submitted is when the order was made, Finished when it was decided, the zero time before. 2024-05-18 does not tell
	// when: there Finished is the last change of what was decided.
	Submitted, Finished time.Time
	// Comment is what the approver wrote. It is empty with 2024-05-18, which tells it in another call only.
	Comment string
	// Deadline is when the permissions end, the earliest if there are several; the zero time if the service does not say. An approver
	// may have changed it.
	Deadline time.Time
	// Objects are what the order is about; with 2024-05-18 once per grantee.
	Objects []OrderObject
	// Grantees are the ids of the accounts that get the permissions, sorted.
	Grantees []string
}

// OrderObject is an object in an order. Actions are spelled as in Request, sorted.
type OrderObject struct {
	// Grantee is whom 2024-05-18 grants the actions; empty with 2020-05-18, which grants them to all Grantees.
	Grantee string
	Project string
	// Schema is empty with 2020-05-18 and if the request named none.
	Schema, Name string
	// Actions are those of the order on the object or on any of its columns. Whether 2020-05-18 goes on showing what was asked for once
	// an approver has approved less is not documented.
	Actions []string
	// Granted are those that were granted in the end; nil unless it is known that something was. Of an order whose state is
	// GrantFailed, 2020-05-18 does not say what was granted before the failure.
	Granted []string
	// Deadline is when the permissions on the object end, but for those on columns that have ends of their own.
	Deadline time.Time
	// Columns are those that actions on columns are limited to. None means all.
	Columns []OrderColumn
}

// OrderColumn is a column in an order.
type OrderColumn struct {
	Name             string
	Actions, Granted []string
	// Deadline is when the permissions on the column end; the zero time if it is the object's.
	Deadline time.Time
}

// Summary is an order in a list.
type Summary struct {
	ID        string
	State     State
	Reason    string
	Submitted time.Time
}

// Query says which orders are looked for.
type Query struct {
	Project string
	// WorkspaceID is left out of account if it is 0, Table if it is empty. Orders of several tables are found by any of them.
	WorkspaceID int64
	Table       string
	// Since and Until bound when the orders were made by the service's clock. Both are needed.
	Since, Until time.Time
}

func (q Query) check(op string) error {
	switch {
	case !identifier.MatchString(q.Project):
		return invalid(op, "%q cannot be the name of a project", q.Project)
	case q.Table != "" && !identifier.MatchString(q.Table):
		return invalid(op, "%q cannot be the name of a table", q.Table)
	case q.WorkspaceID < 0:
		return invalid(op, "%d cannot be the id of a workspace", q.WorkspaceID)
	case q.Since.UnixMilli() < 0 || q.Until.Before(q.Since):
		return invalid(op, "the time in which to look for orders is not valid")
	}
	return nil
}

// Revocation says what is taken away from whom.
type Revocation struct {
	Project     string
	WorkspaceID int64
	Table       string
	// Actions are among Select, Describe and Download.
	Actions []string
	// UserID is the id of the account.
	UserID string
}

var (
	// identifier is the name of a project, schema, table, function or resource file. None of its characters means anything in
	// the filters of the service, which know wildcards.
	identifier = regexp.MustCompile(`^[\p{L}\p{N}_][\p{L}\p{N}_.-]{0,254}$`)
	// column is a name without control characters. It is sent by itself wherever it is sent.
	column = regexp.MustCompile(`^[^\p{C}]{1,255}$`)
	// word is an action. Lists of actions are joined with commas.
	word    = regexp.MustCompile(`^[A-Za-z]{1,64}$`)
	account = regexp.MustCompile(`^[0-9]{1,20}$`)
	// orderID is an id of either version; more is not documented than samples.
	orderID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
)

// checkID refuses what cannot be an order, so that nothing is asked about no order at all.
func checkID(op, id string) error {
	if !orderID.MatchString(id) {
		return invalid(op, "%q cannot be the id of an order", id)
	}
	return nil
}

// tableActions are the actions that can be asked for on a table.
var tableActions = []string{"Select", "Describe", "Drop", "Alter", "Update", "Download"}

// IsTableAction tells whether an action, as Order spells it, is one that can be asked for on a table.
func IsTableAction(action string) bool { return slices.Contains(tableActions, action) }

// ColumnActions are those of them that can be for single columns, and that 2020-05-18 can revoke.
var ColumnActions = []string{"Select", "Describe", "Download"}

// spell returns an action as the documentation spells it, if it is among those that are known.
func spell(action string, known []string) (string, bool) {
	i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, action) })
	if i < 0 {
		return action, false
	}
	return known[i], true
}

// spelled returns actions that the service has sent, sorted; those that are not known stay as they are.
func spelled(actions ...string) []string {
	out := make([]string, 0, len(actions))
	for _, action := range actions {
		action, _ = spell(strings.TrimSpace(action), tableActions)
		out = append(out, action)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
