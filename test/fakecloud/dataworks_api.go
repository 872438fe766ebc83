package fakecloud

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// StatusSpelling selects how the newer generation spells the status of an application: the reference lists
// words like WaitApproval, and has samples like WAIT_APPROVAL.
type StatusSpelling string

// The spellings of a status.
const (
	// StatusesListed are words like WaitApproval, and the default.
	StatusesListed StatusSpelling = "listed"
	// StatusesUpper are words like WAIT_APPROVAL.
	StatusesUpper StatusSpelling = "upper"
)

var statusSpellings = []StatusSpelling{"", StatusesListed, StatusesUpper}

// ProcessSpelling selects how GetProcessInstance spells the status of what was decided.
type ProcessSpelling string

// The spellings of what was decided.
const (
	// ProcessesDecided are Approved and Rejected, as a third party has seen them. It is the default.
	ProcessesDecided ProcessSpelling = "decided"
	// ProcessesCompleted is Completed, as the reference has it; that a rejected one is called so as well is made
	// up. The decision is in the task.
	ProcessesCompleted ProcessSpelling = "completed"
)

var processSpellings = []ProcessSpelling{"", ProcessesDecided, ProcessesCompleted}

// OrderStyle is how DataWorks speaks of permission requests where the documentation leaves it open.
type OrderStyle struct {
	Statuses  StatusSpelling  `json:"statuses,omitempty"`
	Processes ProcessSpelling `json:"processes,omitempty"`
	// ListLagOrders keeps the last so many orders out of lists, ListLag those that are younger by the server's
	// clock. Both are made up.
	ListLagOrders int           `json:"listLagOrders,omitempty"`
	ListLag       time.Duration `json:"-"`
	// Together makes one order of objects that have different approvers.
	Together bool `json:"together,omitempty"`
	// MaxQuery is how many bytes a query may have. Default: 16 KiB, which is made up.
	MaxQuery int `json:"maxQuery,omitempty"`
	// LabelSecurityOff makes the older generation refuse what is documented to need LabelSecurity: a deadline, and
	// some of the columns of a declared table.
	LabelSecurityOff bool `json:"labelSecurityOff,omitempty"`
	// FormOnly makes calls whose parameters belong into a form ignore those in the query.
	FormOnly bool `json:"formOnly,omitempty"`
}

// Validate reports a style that can't be.
func (st OrderStyle) Validate() error {
	switch {
	case !slices.Contains(statusSpellings, st.Statuses):
		return fmt.Errorf("unknown spelling of statuses %q", string(st.Statuses))
	case !slices.Contains(processSpellings, st.Processes):
		return fmt.Errorf("unknown spelling of processes %q", string(st.Processes))
	case st.ListLagOrders < 0 || st.ListLag < 0 || st.MaxQuery < 0:
		return errors.New("a number in the style is negative")
	}
	return nil
}

// status spells the state of an application.
func (st OrderStyle) status(state OrderState) string {
	word := applicationStatus[state]
	if st.Statuses != StatusesUpper {
		return word
	}
	var b strings.Builder
	for i, r := range word {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}

// sameStatus compares two spellings of a status.
func sameStatus(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, "_", ""), strings.ReplaceAll(b, "_", ""))
}

func isApplicationStatus(word string) bool {
	for _, known := range applicationStatus {
		if sameStatus(word, known) {
			return true
		}
	}
	return false
}

// process spells the state of a process instance; that a deleted one is aborted is made up.
func (st OrderStyle) process(state OrderState) string {
	switch state {
	case OrderPending:
		return "Running"
	case OrderWithdrawn, OrderDeleted:
		return "Aborted"
	case OrderApproved, OrderGranted, OrderFailed, OrderRejected:
	}
	switch {
	case st.Processes == ProcessesCompleted:
		return "Completed"
	case state == OrderRejected:
		return "Rejected"
	}
	return "Approved"
}

// SetOrderStyle changes how DataWorks speaks of permission requests. It panics on a style that is not valid:
// that is a mistake in the test.
func (s *Server) SetOrderStyle(style OrderStyle) {
	if err := style.Validate(); err != nil {
		panic("fakecloud: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders.style = style
}

func (s *Server) orderStyle() OrderStyle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.orders.style
}

// SetApprovers says who decides about a table. Without approvers, the default one does again.
func (s *Server) SetApprovers(projectName, tableName string, approvers ...string) error {
	for _, a := range approvers {
		if !accountID.MatchString(a) {
			return fmt.Errorf("%q is not the id of an account", a)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	set := slices.Sorted(slices.Values(approvers))
	s.orders.approvers[fold(projectName)+"/"+fold(tableName)] = slices.Compact(set)
	return nil
}

// SetApplicant says which account an access key or a RAM role belongs to: lists show what any key of the
// account asked for. Without it, every key and every role is an account of its own. Orders that were made
// before stay with the account that they had.
func (s *Server) SetApplicant(accessKeyIDOrARN, account string) error {
	if !accountID.MatchString(account) {
		return fmt.Errorf("%q is not the id of an account", account)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders.accounts[accessKeyIDOrARN] = account
	return nil
}

// Approval says how an order is approved. The zero value approves all of it, and its permissions are granted
// at once.
type Approval struct {
	// Actions narrow the order to these; nil leaves it as it is.
	Actions []string `json:"actions,omitempty"`
	// Until is another end of the permissions than the requested one.
	Until   time.Time `json:"until,omitzero"`
	Comment string    `json:"comment,omitempty"`
	// Hold keeps the permissions from being granted until AuthoriseOrder or FailAuthorisation.
	Hold bool `json:"hold,omitempty"`
}

// ApproveOrder approves an order, as one of its approvers would.
func (s *Server) ApproveOrder(id string, how Approval) error {
	return s.changeOrder(id, func(t *txn, o *order) *problem { return t.approve(o, how) })
}

// AuthoriseOrder grants what an order is for that was approved with Hold.
func (s *Server) AuthoriseOrder(id string) error { return s.changeOrder(id, (*txn).authorise) }

// FailAuthorisation makes the permissions of an approved order fail to be granted; one that is pending is
// approved first. The message is what the newer generation says; it has the documented sample's if it is empty.
func (s *Server) FailAuthorisation(id, message string) error {
	return s.changeOrder(id, func(t *txn, o *order) *problem { return t.fail(o, message) })
}

// RejectOrder rejects an order, as one of its approvers would.
func (s *Server) RejectOrder(id, comment string) error {
	return s.changeOrder(id, func(t *txn, o *order) *problem {
		if o.state != OrderPending {
			return o.decided()
		}
		t.putOrder(t.move(o, OrderRejected, comment))
		return nil
	})
}

// WithdrawOrder takes an order back, as its applicant can in the console of either generation.
func (s *Server) WithdrawOrder(id string) error { return s.changeOrder(id, (*txn).withdraw) }

// DeleteOrder makes an order of the newer generation Deleted, if it was not approved.
func (s *Server) DeleteOrder(id string) error {
	return s.changeOrder(id, func(t *txn, o *order) *problem {
		if o.generation != dataWorks2024 || !slices.Contains([]OrderState{OrderPending, OrderRejected, OrderWithdrawn}, o.state) {
			return o.decided()
		}
		t.putOrder(t.move(o, OrderDeleted, ""))
		return nil
	})
}

// changeOrder changes an order behind the API's back.
func (s *Server) changeOrder(id string, change func(*txn, *order) *problem) error {
	return s.behind("", func(t *txn) *problem {
		o := s.orders.orders[id]
		if o == nil {
			return noOrder(id)
		}
		return change(t, o)
	})
}

// Order is a permission request of either generation.
type Order struct {
	ID string `json:"id"`
	// APIVersion is the generation.
	APIVersion string     `json:"apiVersion"`
	State      OrderState `json:"state"`
	// Applicant is the access key or the RAM role that asked, ApplicantID its account.
	Applicant   string        `json:"applicant"`
	ApplicantID string        `json:"applicantID"`
	Reason      string        `json:"reason"`
	WorkspaceID int64         `json:"workspaceID,omitempty"`
	Objects     []OrderObject `json:"objects"`
	Approvers   []string      `json:"approvers"`
	// Deadline is the requested end or, once the order was approved, the one that was approved; of the newer
	// generation, that of the first object.
	Deadline time.Time `json:"deadline"`
	Created  time.Time `json:"created"`
	// Finished is when the order was decided; the zero time before.
	Finished    time.Time `json:"finished,omitzero"`
	Comment     string    `json:"comment,omitempty"`
	Failure     string    `json:"failure,omitempty"`
	ClientToken string    `json:"clientToken,omitempty"`
}

// OrderObject is a table in an order, with all or some of its columns.
type OrderObject struct {
	Project    string `json:"project"`
	SchemaName string `json:"schemaName"`
	Name       string `json:"name"`
	// Actions are sorted and in lower case, Granted is what was approved of them.
	Actions []string      `json:"actions"`
	Granted []string      `json:"granted,omitempty"`
	Columns []OrderColumn `json:"columns,omitempty"`
	// Users are the ids of the accounts that get the permissions.
	Users []string  `json:"users"`
	Until time.Time `json:"until"`
}

// OrderColumn is a column in an order. Without actions it has those of its table.
type OrderColumn struct {
	Name    string   `json:"name"`
	Actions []string `json:"actions,omitempty"`
}

// Orders returns all permission requests since the start, the oldest first, whatever lists show.
func (s *Server) Orders() []Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.orders.list()
}

func (b *orderBook) list() []Order {
	out := []Order{}
	for _, o := range slices.Backward(b.all(0)) {
		out = append(out, o.public())
	}
	return out
}

func (o *order) public() Order {
	out := Order{
		ID: o.id, APIVersion: o.generation, State: o.state, Applicant: o.applicant, ApplicantID: o.applicantID, Reason: o.reason,
		WorkspaceID: o.workspace, Approvers: slices.Clone(o.approvers), Deadline: o.deadline, Created: o.created, Finished: o.finished,
		Comment: o.comment, Failure: o.failure, ClientToken: o.token,
	}
	for _, e := range o.entries {
		out.Objects = append(out.Objects, OrderObject{
			Project: e.project, SchemaName: e.schema, Name: e.name, Actions: slices.Clone(e.actions), Granted: slices.Clone(e.final),
			Columns: slices.Clone(e.columns), Users: slices.Clone(e.users), Until: e.until,
		})
	}
	return out
}

// projectOfOrder returns the project that an order is about, or "".
func (s *Server) projectOfOrder(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.orders.orders[id]; o != nil {
		return fold(o.project)
	}
	return ""
}

// TablePermission is what an account may do with a table because an order was granted.
type TablePermission struct {
	Project    string `json:"project"`
	SchemaName string `json:"schemaName"`
	Table      string `json:"table"`
	// User is the id of the account.
	User string `json:"user"`
	// Action is in lower case.
	Action string `json:"action"`
	// Columns are sorted and in lower case; none means the whole table.
	Columns []string  `json:"columns,omitempty"`
	Until   time.Time `json:"until"`
	// Order is the last one that granted it.
	Order string `json:"order"`
}

// TablePermissions returns what is granted now, sorted; permissions end by the server's clock. The user is the
// id of an account or its name, like RAM$corp:alice. An empty project, table or user stands for all.
func (s *Server) TablePermissions(projectName, tableName, user string) []TablePermission {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, refusal := s.tenant.accountOf(user); refusal == nil {
		user = id
	}
	return s.permissions(func(g TablePermission) bool {
		return (projectName == "" || g.Project == fold(projectName)) && (tableName == "" || g.Table == fold(tableName)) &&
			(user == "" || g.User == user)
	})
}

// permissions returns those in effect; the lock is held.
func (s *Server) permissions(which func(TablePermission) bool) []TablePermission {
	now := s.now()
	out := []TablePermission{}
	for _, g := range s.orders.grants {
		if g.inEffect(now) && which(g) {
			g.Columns = slices.Clone(g.Columns)
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b TablePermission) int { return strings.Compare(a.key(), b.key()) })
	return out
}

func (g TablePermission) key() string {
	return strings.Join([]string{g.Project, g.SchemaName, g.Table, g.User, g.Action}, "/")
}
