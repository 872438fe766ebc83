package fakecloud

import (
	"cmp"
	"math"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// applyTypes are documented for ListPermissionApplyOrders. The fake grants something for the first only; that
// it is the default is made up.
var applyTypes = []string{
	"MaxComputeTable", "MaxComputeFunction", "MaxComputeResource", "DLFSchema", "DLFTable", "DLFColumn", "DsApiDeploy",
}

// orderActions are the documented actions of a table in an order; columnActions those of a column.
var (
	orderActions  = []string{"select", "describe", "drop", "alter", "update", "download"}
	revokeActions = []string{"select", "describe", "download"}
	accountID     = regexp.MustCompile(`^[0-9]{1,20}$`)
)

const (
	// maxOrders is the documented page size of ListPermissionApplyOrders.
	maxOrders = 100
	// The documented kinds of grantees: the account of the applicant, and one that it asks for.
	granteePerson, granteeOnBehalf = 103, 105
)

// bindCreatePermissionApplyOrder: see "Alibaba Cloud documentation: CreatePermissionApplyOrder". There is no
// token: a repeated call makes other orders.
func bindCreatePermissionApplyOrder(req *dataWorksRequest) (operation, *problem) {
	o, p := req.newOrder()
	if p != nil {
		return nil, p
	}
	objects, p := req.objects(o.applyType)
	if p != nil {
		return nil, p
	}
	users, p := req.users()
	if p != nil {
		return nil, p
	}
	for i := range objects {
		objects[i].project, objects[i].users, objects[i].until = fold(o.project), users, o.deadline
	}
	return func(t *txn) (answer, *problem) {
		t.ran = true
		if refusal := t.checkOrder(o, objects); refusal != nil {
			return answer{}, refusal
		}
		ids := t.createOrders(o, objects)
		return rendered(map[string][]string{"FlowId": ids}), nil
	}, nil
}

// newOrder reads what an order has but its objects. The references differ in whether the project is
// mandatory; without one there would be nothing to grant on.
func (req *dataWorksRequest) newOrder() (order, *problem) {
	params := req.params
	o := order{
		generation: dataWorks2020, reason: params.Get("ApplyReason"), catalog: params.Get("CatalogName"),
		project: params.Get("MaxComputeProjectName"), applyType: cmp.Or(params.Get("ApplyType"), applyTypes[0]),
	}
	if p := req.fixed(); p != nil {
		return o, p
	}
	if strings.HasPrefix(o.applyType, "MaxCompute") && o.project == "" {
		return o, missing("MaxComputeProjectName")
	}
	var p *problem
	if o.workspace, p = req.number("WorkspaceId", 1, math.MaxInt32, 0); p != nil {
		return o, p
	}
	o.deadline, p = req.moment("Deadline")
	if o.deadline.IsZero() {
		o.deadline = permanent
	}
	return o, p
}

// fixed checks parameters that have few values, and those that were documented with one.
func (req *dataWorksRequest) fixed() *problem {
	for name, values := range map[string][]string{"ApplyType": applyTypes, "OrderType": {"1"}, "EngineType": {"odps"}} {
		if req.params.Has(name) && !slices.Contains(values, req.params.Get(name)) {
			return wronglyFormed(name)
		}
	}
	return nil
}

func (req *dataWorksRequest) users() ([]string, *problem) {
	users := strings.Split(req.params.Get("ApplyUserIds"), ",")
	for _, u := range users {
		if !accountID.MatchString(u) {
			return nil, wronglyFormed("ApplyUserIds")
		}
	}
	slices.Sort(users)
	return slices.Compact(users), nil
}

// objects reads ApplyObject. That an object must not come twice is made up.
func (req *dataWorksRequest) objects(applyType string) ([]orderEntry, *problem) {
	elements, p := repeated(req.params, "ApplyObject", "Name", "Actions", "ColumnMetaList.")
	if p != nil {
		return nil, p
	}
	if len(elements) == 0 {
		return nil, missing("ApplyObject")
	}
	var out []orderEntry
	for _, element := range elements {
		e, p := readObject(element, applyType == applyTypes[0])
		if p != nil {
			return nil, p
		}
		if slices.ContainsFunc(out, func(other orderEntry) bool { return other.name == e.name }) {
			return nil, badParameter("ApplyObject", "The object %s is there twice.", e.name)
		}
		out = append(out, e)
	}
	return out, nil
}

// readObject reads one object. A request for a whole table names all its columns.
func readObject(element url.Values, isTable bool) (orderEntry, *problem) {
	e := orderEntry{name: fold(element.Get("Name")), schema: defaultSchema}
	columns, p := repeated(element, "ColumnMetaList", "Name", "Actions")
	switch {
	case p != nil:
		return e, p
	case e.name == "":
		return e, missing("ApplyObject.Name")
	case element.Get("Actions") == "":
		return e, missing("ApplyObject.Actions")
	}
	e.asked = strings.Split(element.Get("Actions"), ",")
	if !isTable { // what others can have is not documented
		e.actions = strings.Split(fold(element.Get("Actions")), ",")
		return e, nil
	}
	if e.actions, p = knownActionsOf(e.asked, "ApplyObject.Actions", orderActions); p != nil {
		return e, p
	}
	e.typ = "table"
	if len(columns) == 0 {
		return e, missing("ApplyObject.ColumnMetaList")
	}
	e.columns, p = readColumns(columns)
	return e, p
}

func readColumns(columns []url.Values) ([]OrderColumn, *problem) {
	var out []OrderColumn
	for _, c := range columns {
		column := OrderColumn{Name: c.Get("Name")}
		if column.Name == "" {
			return nil, missing("ColumnMetaList.Name")
		}
		if slices.ContainsFunc(out, func(other OrderColumn) bool { return strings.EqualFold(other.Name, column.Name) }) {
			return nil, badParameter("ColumnMetaList", "The column %s is there twice.", column.Name)
		}
		if c.Has("Actions") {
			var p *problem
			if column.Actions, p = knownActionsOf(strings.Split(c.Get("Actions"), ","), "ColumnMetaList.Actions", columnActions); p != nil {
				return nil, p
			}
		}
		out = append(out, column)
	}
	return out, nil
}

// knownActionsOf checks actions, whatever their case, and returns them sorted in lower case.
func knownActionsOf(asked []string, name string, known []string) ([]string, *problem) {
	var out []string
	for _, a := range asked {
		if !slices.Contains(known, fold(a)) {
			return nil, badParameter(name, "The action %s is not supported.", a)
		}
		out = append(out, fold(a))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// checkOrder holds an order against the clock and the project.
func (t *txn) checkOrder(o order, objects []orderEntry) *problem {
	style := t.s.orders.style
	if !t.s.now().Before(o.deadline) { // the older generation's words for it are not known
		return badParameter("Deadline", "deadline cannot be in the past")
	}
	if o.applyType != applyTypes[0] {
		return nil
	}
	for _, e := range objects {
		if refusal := t.checkEntry(e); refusal != nil {
			return refusal
		}
	}
	if !style.LabelSecurityOff {
		return nil
	}
	if o.deadline.Before(permanent) {
		return badParameter("Deadline", "LabelSecurity is disabled: only permanent permissions can be requested.")
	}
	for _, e := range objects {
		declared, known := t.s.projects[e.project].tables[object{"table", e.schema, e.name}]
		if known && len(e.columns) < len(declared) {
			return badParameter("ColumnMetaList", "LabelSecurity is disabled: all columns of %s must be requested.", e.name)
		}
	}
	return nil
}

// The bodies below have the documented members; "FinishAapprovalTimestamp" is how it is spelled.
type orderDetail struct {
	ApplyBaseID    string          `json:"ApplyBaseId"`
	ApplyTimestamp int64           `json:"ApplyTimestamp"`
	FlowID         string          `json:"FlowId"`
	FlowStatus     int             `json:"FlowStatus"`
	Approvers      []baseID        `json:"ApproveAccountList"`
	Content        approveContent  `json:"ApproveContent"`
	Grantees       []granteeObject `json:"GranteeObjectList"`
	Finished       int64           `json:"FinishAapprovalTimestamp,omitempty"`
	Comment        string          `json:"FinishApprovalComment,omitempty"`
}

type baseID struct {
	ID string `json:"BaseId"`
}

type approveContent struct {
	Reason      string      `json:"ApplyReason"`
	Deadline    int64       `json:"Deadline,omitempty"`
	OrderType   int         `json:"OrderType"`
	ProjectMeta projectMeta `json:"ProjectMeta"`
}

type projectMeta struct {
	Project       string       `json:"MaxComputeProjectName,omitempty"`
	WorkspaceID   int64        `json:"WorkspaceId,omitempty"`
	WorkspaceName string       `json:"WorkspaceName,omitempty"`
	Objects       []objectMeta `json:"ObjectMetaList"`
}

type objectMeta struct {
	Name    string       `json:"ObjectName"`
	Actions []string     `json:"Actions"`
	Columns []columnMeta `json:"ColumnMetaList,omitempty"`
}

type columnMeta struct {
	Name          string   `json:"ColumnName"`
	Comment       string   `json:"ColumnComment"`
	Actions       []string `json:"ColumnActions,omitempty"`
	SecurityLevel string   `json:"SecurityLevel"`
}

type granteeObject struct {
	ID   string `json:"GranteeId"`
	Name string `json:"GranteeName"`
	Type int    `json:"GranteeType"`
	Sub  int    `json:"GranteeTypeSub"`
}

// bindGetPermissionApplyOrderDetail: see "Alibaba Cloud documentation: GetPermissionApplyOrderDetail". That a
// decided order shows what was approved, and no longer what was asked for, is made up.
func bindGetPermissionApplyOrderDetail(req *dataWorksRequest) (operation, *problem) {
	return func(t *txn) (answer, *problem) {
		o, refusal := t.order(req.params.Get("FlowId"), dataWorks2020)
		if refusal != nil {
			return answer{}, refusal
		}
		detail := t.s.detail(o)
		return rendered(struct{ ApplyOrderDetail orderDetail }{detail}), nil
	}, nil
}

func (s *Server) detail(o *order) orderDetail {
	out := orderDetail{
		ApplyBaseID: o.applicantID, ApplyTimestamp: o.created.UnixMilli(), FlowID: o.id, FlowStatus: flowStatus[o.state], Comment: o.comment,
		Content: approveContent{Reason: o.reason, Deadline: o.deadline.UnixMilli(), OrderType: 1, ProjectMeta: projectMeta{
			Project: o.project, WorkspaceID: o.workspace, Objects: []objectMeta{},
		}},
	}
	if !o.finished.IsZero() {
		out.Finished = o.finished.UnixMilli()
	}
	for _, a := range o.approvers {
		out.Approvers = append(out.Approvers, baseID{a})
	}
	for _, e := range o.entries {
		meta := objectMeta{Name: e.name, Actions: e.spelled()}
		for _, c := range e.columns {
			meta.Columns = append(meta.Columns, s.columnMeta(e, c))
		}
		out.Content.ProjectMeta.Objects = append(out.Content.ProjectMeta.Objects, meta)
	}
	for _, u := range o.entries[0].users {
		g := granteeObject{ID: u, Name: cmp.Or(s.tenant.principalOf(u), u), Type: 1, Sub: granteeOnBehalf}
		if u == o.applicantID {
			g.Sub = granteePerson
		}
		out.Grantees = append(out.Grantees, g)
	}
	return out
}

func (s *Server) columnMeta(e orderEntry, c OrderColumn) columnMeta {
	out := columnMeta{Name: c.Name, SecurityLevel: "0"}
	for _, a := range c.Actions {
		out.Actions = append(out.Actions, kindByName("table").spell(a))
	}
	p := s.projects[e.project]
	if p == nil {
		return out
	}
	for _, declared := range p.tables[object{"table", e.schema, e.name}] {
		if strings.EqualFold(declared.Name, c.Name) {
			out.Comment, out.SecurityLevel = declared.Comment, strconv.Itoa(declared.Label)
		}
	}
	return out
}

// spelled are the actions as the older generation spells them: those that were asked for, or once an order
// was approved those that were approved.
func (e orderEntry) spelled() []string {
	out := []string{}
	for _, a := range e.asked {
		if e.final == nil || e.typ == "" || slices.Contains(e.final, fold(a)) {
			out = append(out, kindByName("table").spell(a))
		}
	}
	return out
}

// orderItem is one order in a list: without a deadline, columns and grantees, as documented.
type orderItem struct {
	FlowID         string         `json:"FlowId"`
	FlowStatus     int            `json:"FlowStatus"`
	ApplyBaseID    string         `json:"ApplyBaseId"`
	ApplyTimestamp int64          `json:"ApplyTimestamp"`
	Content        approveContent `json:"ApproveContent"`
	Comment        string         `json:"FinishApprovalComment,omitempty"`
	Finished       int64          `json:"FinishApprovalTimestamp,omitempty"`
}

type orderPage struct {
	Orders     []orderItem `json:"ApplyOrder"`
	PageNumber int64       `json:"PageNumber"`
	PageSize   int64       `json:"PageSize"`
	TotalCount int         `json:"TotalCount"`
}

// orderFilter is what ListPermissionApplyOrders looks for.
type orderFilter struct {
	query, status, workspace           int64
	project, table, applyType, catalog string
	from, to                           time.Time
}

// bindListPermissionApplyOrders: see "Alibaba Cloud documentation: ListPermissionApplyOrders". That the newest
// orders come first is made up, and so is the name of the workspace.
func bindListPermissionApplyOrders(req *dataWorksRequest) (operation, *problem) {
	f, p := req.filter()
	if p != nil {
		return nil, p
	}
	number, p := req.number("PageNum", 1, 1<<20, 1)
	if p != nil {
		return nil, p
	}
	size, p := req.number("PageSize", 1, maxOrders, 10)
	if p != nil {
		return nil, p
	}
	return func(t *txn) (answer, *problem) {
		t.ran = true
		me := t.s.orders.account(t.c.identity())
		found := slices.DeleteFunc(t.listed(), func(o *order) bool { return !f.matches(o, me) })
		page := orderPage{Orders: []orderItem{}, PageNumber: number, PageSize: size, TotalCount: len(found)}
		from := min(int(number-1)*int(size), len(found))
		for _, o := range found[from:min(from+int(size), len(found))] {
			page.Orders = append(page.Orders, o.item())
		}
		return rendered(struct{ ApplyOrders orderPage }{page}), nil
	}, nil
}

func (req *dataWorksRequest) filter() (orderFilter, *problem) {
	params := req.params
	f := orderFilter{
		project: fold(params.Get("MaxComputeProjectName")), table: fold(params.Get("TableName")), applyType: params.Get("ApplyType"),
		catalog: params.Get("CatalogName"),
	}
	p := req.fixed()
	read := func(to *int64, name string, least, most, unset int64) {
		if p == nil {
			*to, p = req.number(name, least, most, unset)
		}
	}
	read(&f.query, "QueryType", 0, 2, 0)
	read(&f.status, "FlowStatus", 1, 5, 0)
	read(&f.workspace, "WorkspaceId", 1, math.MaxInt32, 0)
	if p == nil {
		f.from, p = req.moment("StartTime")
	}
	if p == nil {
		f.to, p = req.moment("EndTime")
	}
	return f, p
}

func (f orderFilter) matches(o *order, me string) bool {
	return o.generation == dataWorks2020 && f.sees(o, me) && f.fits(o) &&
		!o.created.Before(f.from) && (f.to.IsZero() || !o.created.After(f.to))
}

// sees tells whether the order is one of the caller's, as its applicant or as an approver; the newest
// reference also has a value for all of them.
func (f orderFilter) sees(o *order, me string) bool {
	switch f.query {
	case 0:
		return o.applicantID == me
	case 1:
		return slices.Contains(o.approvers, me)
	}
	return true
}

func (f orderFilter) fits(o *order) bool {
	return (f.status == 0 || int(f.status) == flowStatus[o.state]) &&
		(f.workspace == 0 || f.workspace == o.workspace) &&
		(f.project == "" || f.project == fold(o.project)) &&
		(f.applyType == "" || f.applyType == o.applyType) &&
		(f.catalog == "" || f.catalog == o.catalog) &&
		(f.table == "" || slices.ContainsFunc(o.entries, func(e orderEntry) bool { return e.name == f.table }))
}

func (o *order) item() orderItem {
	out := orderItem{
		FlowID: o.id, FlowStatus: flowStatus[o.state], ApplyBaseID: o.applicantID, ApplyTimestamp: o.created.UnixMilli(), Comment: o.comment,
		Content: approveContent{Reason: o.reason, OrderType: 1, ProjectMeta: projectMeta{Objects: []objectMeta{}}},
	}
	if o.workspace > 0 {
		out.Content.ProjectMeta.WorkspaceName = "workspace_" + strconv.FormatInt(o.workspace, 10)
	}
	if !o.finished.IsZero() {
		out.Finished = o.finished.UnixMilli()
	}
	for _, e := range o.entries {
		out.Content.ProjectMeta.Objects = append(out.Content.ProjectMeta.Objects, objectMeta{Name: e.name, Actions: e.spelled()})
	}
	return out
}

// bindRevokeTablePermission: see "Alibaba Cloud documentation: RevokeTablePermission". The id of an account
// wins over its name.
func bindRevokeTablePermission(req *dataWorksRequest) (operation, *problem) {
	if _, p := req.number("WorkspaceId", 1, math.MaxInt64, 0); p != nil {
		return nil, p
	}
	actions, p := knownActionsOf(strings.Split(req.params.Get("Actions"), ","), "Actions", revokeActions)
	if p != nil {
		return nil, p
	}
	id, name := req.params.Get("RevokeUserId"), req.params.Get("RevokeUserName")
	switch {
	case id == "" && name == "":
		return nil, missing("RevokeUserId")
	case id != "" && !accountID.MatchString(id):
		return nil, wronglyFormed("RevokeUserId")
	}
	g := Grant{Kind: "table", Name: req.params.Get("TableName"), Actions: actions}
	return func(t *txn) (answer, *problem) {
		t.ran = true
		user := id
		if user == "" {
			var refusal *problem
			if user, refusal = t.s.tenant.accountOf(name); refusal != nil {
				return answer{}, refusal
			}
		}
		return rendered(map[string]bool{"RevokeSuccess": true}), t.revokeFromUser(g, user)
	}, nil
}
