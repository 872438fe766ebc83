package fakecloud

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OrderState is how far a permission request is, whatever its generation calls it.
type OrderState string

// The states of a permission request.
const (
	// OrderPending waits for an approver.
	OrderPending OrderState = "pending"
	// OrderApproved was approved, and its permissions are being granted. The older generation has no status
	// for it; that it goes on calling the order pending is made up.
	OrderApproved OrderState = "approved"
	// OrderGranted was approved, and its permissions are there.
	OrderGranted OrderState = "granted"
	// OrderFailed was approved, but its permissions could not be granted.
	OrderFailed OrderState = "failed"
	// OrderRejected was refused by an approver.
	OrderRejected OrderState = "rejected"
	// OrderWithdrawn was taken back by the applicant.
	OrderWithdrawn OrderState = "withdrawn"
	// OrderDeleted is in the documented list of the newer generation, without a word about how it comes to be.
	OrderDeleted OrderState = "deleted"
)

// flowStatus is the documented number of the older generation. Deleted has none.
var flowStatus = map[OrderState]int{
	OrderPending: 1, OrderApproved: 1, OrderGranted: 2, OrderFailed: 3, OrderRejected: 4, OrderWithdrawn: 5,
}

// applicationStatus is the documented word of the newer generation.
var applicationStatus = map[OrderState]string{
	OrderPending: "WaitApproval", OrderApproved: "Confirmed", OrderGranted: "AuthorizeSucceed", OrderFailed: "AuthorizeFailed",
	OrderRejected: "RejectApproval", OrderWithdrawn: "Canceled", OrderDeleted: "Deleted",
}

// permanent is the documented end of what is requested without a deadline.
var permanent = time.Date(2065, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	// firstApplicantID is where made-up account ids of access keys start.
	firstApplicantID = 180000000000000001
	// defaultApprover decides about tables that no approvers were set for, and owns them.
	defaultApprover = "182293110400000001"
	// maxContents is documented for ApplyResourceAccessPermission.
	maxContents = 400
)

// columnActions are the actions that columns can have ("Alibaba Cloud documentation:
// CreatePermissionApplyOrder"); what the others mean for a column is not documented, here they are the
// table's.
var columnActions = []string{"select", "describe", "download"}

// order is immutable once it is in the book, like a role in its project.
type order struct {
	id         string
	number     int
	generation string
	state      OrderState
	// applicant is the access key or the RAM role that asked, applicantID its account.
	applicant, applicantID string
	reason                 string
	project                string
	workspace              int64
	applyType, catalog     string
	entries                []orderEntry
	approvers              []string
	// deadline is the older generation's, which has one for all objects.
	deadline         time.Time
	created, updated time.Time
	// finished is when it was decided; the zero time before.
	finished time.Time
	comment  string
	failure  string
	token    string
}

// orderEntry is one object of an order, or one content of the newer generation.
type orderEntry struct {
	id string
	// project, schema and table are folded; typ is table or column, or empty for what the fake grants nothing on.
	project, schema, name, typ string
	// actions are in lower case, asked as they were spelled.
	actions, asked []string
	columns        []OrderColumn
	users          []string
	until          time.Time
	// final is what was approved; nil before.
	final []string
	// The rest is echoed by the newer generation.
	principalType, principalID, defVersion string
	meta                                   map[string]any
	leaf                                   string
}

// orderBook holds the permission requests of both generations and what was granted because of them.
type orderBook struct {
	style     OrderStyle
	orders    map[string]*order
	made      int
	approvers map[string][]string
	accounts  map[string]string
	tokens    map[string]orderToken
	grants    []TablePermission
	history   []revision
}

// orderToken is what came of a ClientToken.
type orderToken struct {
	request string
	ids     []string
}

func newOrderBook() orderBook {
	return orderBook{
		orders: map[string]*order{}, approvers: map[string][]string{}, accounts: map[string]string{}, tokens: map[string]orderToken{},
	}
}

// identity is who sends a call, whatever access key a session has.
func (c *call) identity() string { return cmp.Or(c.caller, c.accessKeyID) }

// account returns the account behind an access key or a RAM role; it is made up at the first request.
func (b *orderBook) account(identity string) string {
	if b.accounts[identity] == "" {
		b.accounts[identity] = strconv.Itoa(firstApplicantID + len(b.accounts))
	}
	return b.accounts[identity]
}

// approversOf returns who decides about an object, sorted.
func (b *orderBook) approversOf(e orderEntry) []string {
	if set := b.approvers[e.project+"/"+e.name]; len(set) > 0 {
		return set
	}
	return []string{defaultApprover}
}

// at returns an order as it was before the given revision; 0 means now.
func (b *orderBook) at(id string, before uint64) *order {
	o := b.orders[id]
	for _, v := range b.since(before) {
		if v.order == id {
			return v.beforeOrder
		}
	}
	return o
}

// all returns the orders as they were before the given revision, the newest first.
func (b *orderBook) all(before uint64) []*order {
	then := maps.Clone(b.orders)
	for _, v := range slices.Backward(b.since(before)) {
		if v.beforeOrder == nil {
			delete(then, v.order)
			continue
		}
		then[v.order] = v.beforeOrder
	}
	return slices.SortedFunc(maps.Values(then), func(a, b *order) int { return cmp.Compare(b.number, a.number) })
}

// since returns the changes from the given revision on, oldest first; none for 0.
func (b *orderBook) since(number uint64) []revision {
	if number == 0 {
		return nil
	}
	i := slices.IndexFunc(b.history, func(v revision) bool { return v.number >= number })
	if i < 0 {
		return nil
	}
	return b.history[i:]
}

// listed returns what lists show: not the last orders, if the style says that lists lag.
func (t *txn) listed() []*order {
	b := &t.s.orders
	now := t.s.now()
	return slices.DeleteFunc(b.all(t.before), func(o *order) bool {
		return b.made-o.number < b.style.ListLagOrders || now.Sub(o.created) < b.style.ListLag
	})
}

// putOrder stores a new or a changed order.
func (t *txn) putOrder(o *order) {
	b := &t.s.orders
	t.s.revision++
	if len(b.history) >= 2*historyLimit {
		b.history = slices.Clone(b.history[historyLimit:])
	}
	b.history = append(b.history, revision{number: t.s.revision, seq: t.seq, order: o.id, beforeOrder: b.orders[o.id]})
	b.orders[o.id] = o
}

// order returns an order of one generation.
func (t *txn) order(id, generation string) (*order, *problem) {
	t.ran = true
	o := t.s.orders.at(id, t.before)
	if o == nil || o.generation != generation {
		return nil, noOrder(id)
	}
	return o, nil
}

// checkEntry holds an object against the project. What the texts say is made up.
func (t *txn) checkEntry(e orderEntry) *problem {
	p := t.s.projects[e.project]
	if p == nil {
		return noProject(&call{service: "dataworks", project: e.project})
	}
	o := object{"table", e.schema, e.name}
	declared, known := p.tables[o]
	if _, exists := p.objects[o]; p.strict && !exists {
		return badParameter("Name", "The table %s.%s does not exist.", e.project, e.name)
	}
	for _, c := range e.columns {
		if known && !hasColumn(declared, c.Name) {
			return badParameter("ColumnMetaList", "The table %s has no column %s.", e.name, c.Name)
		}
	}
	for _, u := range e.users {
		if p.strict && t.s.tenant.principalOf(u) == "" {
			return badParameter("ApplyUserIds", "The account %s does not exist.", u)
		}
	}
	return nil
}

func hasColumn(columns []Column, name string) bool {
	return slices.ContainsFunc(columns, func(c Column) bool { return strings.EqualFold(c.Name, name) })
}

// createOrders makes one order per set of approvers, in the order of the first object of each, and returns
// their ids. o has what they have in common.
func (t *txn) createOrders(o order, entries []orderEntry) []string {
	b := &t.s.orders
	var sets []string
	bySet := map[string][]orderEntry{}
	for _, e := range entries {
		set := strings.Join(b.approversOf(e), ",")
		if b.style.Together && len(sets) > 0 {
			set = sets[0]
		}
		if bySet[set] == nil {
			sets = append(sets, set)
		}
		bySet[set] = append(bySet[set], e)
	}
	ids := make([]string, len(sets))
	for i, set := range sets {
		made := o
		made.entries, made.approvers = bySet[set], strings.Split(set, ",")
		ids[i] = t.createOrder(made)
	}
	return ids
}

// createOrder stores one new order. Ids are counted instead of drawn, in the shape of the documented samples.
func (t *txn) createOrder(o order) string {
	b := &t.s.orders
	b.made++
	o.number, o.state = b.made, OrderPending
	o.applicant, o.applicantID = t.c.identity(), b.account(t.c.identity())
	o.created = t.s.now().UTC()
	o.updated = o.created
	o.id = fmt.Sprintf("ad8da78d-8135-455e-9486-%012d", o.number)
	if o.generation == dataWorks2024 {
		o.id = fmt.Sprintf("3320664401%08d", o.number)
	}
	for i := range o.entries {
		o.entries[i].id = fmt.Sprintf("%s-%d", o.id, i+1)
	}
	t.putOrder(&o)
	t.changed(Change{Change: ChangeCreateOrder, Order: o.id})
	return o.id
}

// decided refuses to change an order that is over; the spelling is made up.
func (o *order) decided() *problem {
	return refuse(http.StatusBadRequest, codeOrderDecided, "The order %s is %s already.", o.id, o.state)
}

// move returns a copy of an order in another state.
func (t *txn) move(o *order, state OrderState, comment string) *order {
	out := *o
	out.state, out.comment = state, cmp.Or(comment, o.comment)
	out.updated = t.s.now().UTC()
	if out.finished.IsZero() && state != OrderPending {
		out.finished = out.updated
	}
	out.entries = slices.Clone(o.entries)
	return &out
}

// withdraw takes back an order that waits for an approver.
func (t *txn) withdraw(o *order) *problem {
	if o.state != OrderPending {
		return o.decided()
	}
	t.putOrder(t.move(o, OrderWithdrawn, ""))
	t.changed(Change{Change: ChangeWithdrawOrder, Order: o.id})
	return nil
}

// approve lets an order pass, narrowed as the approver says.
func (t *txn) approve(o *order, how Approval) *problem {
	if o.state != OrderPending {
		return o.decided()
	}
	narrowed, refusal := tableActions(how.Actions)
	if refusal != nil {
		return refusal
	}
	out := t.move(o, OrderApproved, how.Comment)
	left := 0
	for i, e := range out.entries {
		out.entries[i].final = intersect(e.actions, narrowed)
		out.entries[i].columns = narrowColumns(e.columns, narrowed)
		left += len(out.entries[i].final)
		if !how.Until.IsZero() {
			out.entries[i].until = how.Until.UTC()
		}
	}
	if left == 0 {
		return invalid("nothing is left of the order %s", o.id)
	}
	if !how.Until.IsZero() {
		out.deadline = how.Until.UTC()
	}
	t.putOrder(out)
	if how.Hold {
		return nil
	}
	return t.authorise(out)
}

// tableActions checks actions and brings them into lower case; nil stays nil.
func tableActions(actions []string) ([]string, *problem) {
	if actions == nil {
		return nil, nil
	}
	return kindByName("table").expand(actions)
}

// intersect returns what is in a and, unless it is nil, in b; never nil.
func intersect(a, b []string) []string {
	out := []string{}
	for _, x := range a {
		if b == nil || slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

func narrowColumns(columns []OrderColumn, narrowed []string) []OrderColumn {
	out := slices.Clone(columns)
	for i, c := range out {
		if len(c.Actions) > 0 {
			out[i].Actions = intersect(c.Actions, narrowed)
		}
	}
	return out
}

// authorise grants what an approved order is for.
func (t *txn) authorise(o *order) *problem {
	if o.state != OrderApproved {
		return o.decided()
	}
	t.putOrder(t.move(o, OrderGranted, ""))
	for _, e := range o.entries {
		if e.typ == "" {
			continue
		}
		for _, user := range e.users {
			t.s.grantEntry(o, e, user)
		}
	}
	return nil
}

// fail approves an order if it was not, and does not grant what it is for.
func (t *txn) fail(o *order, message string) *problem {
	if o.state == OrderPending {
		if refusal := t.approve(o, Approval{Hold: true}); refusal != nil {
			return refusal
		}
		o = t.s.orders.orders[o.id]
	}
	if o.state != OrderApproved {
		return o.decided()
	}
	out := t.move(o, OrderFailed, "")
	out.failure = cmp.Or(message, "S-400007:ODPS acl auth failed. odps table acl auth failed")
	t.putOrder(out)
	return nil
}

// grantEntry grants one object of an order to one account. Per action, columns without actions of their own
// have those of the table, others theirs; a whole table is one whose columns are all there, or about whose
// columns nothing was said.
func (s *Server) grantEntry(o *order, e orderEntry, user string) {
	actions := slices.Clone(e.final)
	for _, c := range e.columns {
		actions = append(actions, c.Actions...)
	}
	slices.Sort(actions)
	for _, action := range slices.Compact(actions) {
		g := TablePermission{
			Project: e.project, SchemaName: e.schema, Table: e.name, User: user, Action: action, Until: e.until, Order: o.id,
		}
		if len(e.columns) > 0 && slices.Contains(columnActions, action) {
			if g.Columns = e.columnsFor(action); len(g.Columns) == 0 {
				continue
			}
			if s.allColumns(g) {
				g.Columns = nil
			}
		}
		s.orders.grant(g)
	}
}

func (e orderEntry) columnsFor(action string) []string {
	var out []string
	for _, c := range e.columns {
		if slices.Contains(c.Actions, action) || c.Actions == nil && slices.Contains(e.final, action) {
			out = append(out, fold(c.Name))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// allColumns tells whether a permission has all columns that a table was declared with.
func (s *Server) allColumns(g TablePermission) bool {
	p := s.projects[g.Project]
	if p == nil {
		return false
	}
	declared := p.tables[object{"table", g.SchemaName, g.Table}]
	return len(declared) > 0 && !slices.ContainsFunc(declared, func(c Column) bool { return !slices.Contains(g.Columns, fold(c.Name)) })
}

// grant adds a permission to what there is: the later end counts, and all columns. How the service merges
// two orders is not documented.
func (b *orderBook) grant(g TablePermission) {
	i := slices.IndexFunc(b.grants, g.same)
	if i < 0 {
		b.grants = append(b.grants, g)
		return
	}
	if have := b.grants[i]; have.Columns == nil || g.Columns == nil {
		g.Columns = nil
	} else {
		g.Columns = slices.Concat(have.Columns, g.Columns)
		slices.Sort(g.Columns)
		g.Columns = slices.Compact(g.Columns)
	}
	if b.grants[i].Until.After(g.Until) {
		g.Until = b.grants[i].Until
	}
	b.grants[i] = g
}

func (g TablePermission) same(other TablePermission) bool {
	return g.Project == other.Project && g.SchemaName == other.SchemaName && g.Table == other.Table && g.User == other.User &&
		g.Action == other.Action
}

// forget removes permissions.
func (b *orderBook) forget(which func(TablePermission) bool) {
	b.grants = slices.DeleteFunc(b.grants, which)
}

// inEffect tells whether a permission has not ended.
func (g TablePermission) inEffect(now time.Time) bool { return now.Before(g.Until) }

// revokeFromUser takes actions on a table from an account, all columns included. What is not there is
// ignored, which is not documented.
func (t *txn) revokeFromUser(g Grant, user string) *problem {
	if _, refusal := t.project(); refusal != nil {
		return refusal
	}
	g, refusal := canonical(g)
	if refusal != nil {
		return refusal
	}
	now, b := t.s.now(), &t.s.orders
	var gone []string
	b.forget(func(have TablePermission) bool {
		hit := have.Project == t.c.project && have.SchemaName == g.SchemaName && have.Table == g.Name && have.User == user &&
			slices.Contains(g.Actions, have.Action)
		if hit && have.inEffect(now) {
			gone = append(gone, have.Action)
		}
		return hit
	})
	if len(gone) > 0 {
		slices.Sort(gone)
		ch := grantChange(ChangeRevokeTable, "", g, gone)
		ch.Principal = cmp.Or(t.s.tenant.principalOf(user), user)
		t.changed(ch)
	}
	return nil
}

// principalOf returns the name of an account, or "" if the tenant has none with this id.
func (t *tenant) principalOf(id string) string {
	if i := slices.IndexFunc(t.users, func(u User) bool { return u.AccountID == id }); i >= 0 {
		return t.users[i].Principal
	}
	return ""
}

// accountOf returns the id behind a name.
func (t *tenant) accountOf(name string) (string, *problem) {
	folded, refusal := principal(name)
	if refusal != nil {
		return "", refusal
	}
	i := t.find(folded)
	if i < 0 {
		return "", invalid("Invalid account Name %s", name)
	}
	return t.users[i].AccountID, nil
}
