package dataworks

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

const (
	// maxQuery is how many bytes of query are sent at most. All parameters of 2020-05-18 are in the query; no limit is documented, and
	// 8 KiB of request line is what common servers take.
	maxQuery = 8000
	// markRoom is what Split leaves free of it.
	markRoom = 500
	// pageSize2020 is the largest that is documented.
	pageSize2020 = 100
	// maxPages bounds a search, whatever the service says of how much there is.
	maxPages = 1000
)

// client2020 is the client of 2020-05-18.
type client2020 struct{ connection }

// New2020 makes a client of the older API, 2020-05-18, which the vendor wants to retire. It fails only if the endpoint is not a URL.
func New2020(config Config) (Client, error) {
	connection, err := connect(config, Version2020)
	if err != nil {
		return nil, err
	}
	return &client2020{connection}, nil
}

func (*client2020) Version() string { return Version2020 }

// check finds what 2020-05-18 cannot do.
func (*client2020) check(r Request) error {
	if err := r.check(); err != nil {
		return err
	}
	op := r.op()
	if r.WorkspaceID < 0 || r.WorkspaceID > math.MaxInt32 {
		return invalid(op, "%d cannot be the id of a workspace", r.WorkspaceID)
	}
	for _, user := range r.UserIDs {
		if !account.MatchString(user) {
			return invalid(op, "%q cannot be the id of an account", user)
		}
	}
	for _, o := range r.Objects {
		switch {
		case o.Schema != "" && !strings.EqualFold(o.Schema, "default"):
			return notSupported(op, "version %s of the API knows no schemas, and %s is in schema %s", Version2020, o.Name, o.Schema)
		case r.isTables() && len(o.Columns) == 0:
			return invalid(op, "version %s of the API wants the columns of table %s named, all of them for the whole table", Version2020, o.Name)
		}
	}
	return nil
}

// query spells a request.
func (*client2020) query(r Request) map[string]any {
	query := map[string]any{"ApplyUserIds": strings.Join(r.UserIDs, ","), "ApplyReason": r.Reason}
	set(query, "MaxComputeProjectName", r.Project)
	set(query, "ApplyType", r.ApplyType)
	set(query, "CatalogName", r.CatalogName)
	if r.WorkspaceID != 0 {
		query["WorkspaceId"] = strconv.FormatInt(r.WorkspaceID, 10)
	}
	// Without a deadline permissions are permanent. To say so is left to the service, which may take any deadline for a temporary one.
	if !r.Deadline.IsZero() {
		query["Deadline"] = strconv.FormatInt(r.Deadline.UnixMilli(), 10)
	}
	for i, o := range r.Objects {
		prefix := fmt.Sprintf("ApplyObject.%d.", i+1)
		query[prefix+"Name"], query[prefix+"Actions"] = o.Name, strings.Join(canonical(o.Actions), ",")
		for j, c := range o.Columns {
			nested := fmt.Sprintf("%sColumnMetaList.%d.", prefix, j+1)
			query[nested+"Name"] = c.Name
			set(query, nested+"Actions", strings.Join(canonical(c.Actions), ","))
		}
	}
	return query
}

// set sets a parameter unless it is empty.
func set(query map[string]any, name, value string) {
	if value != "" {
		query[name] = value
	}
}

// fits tells whether a request leaves room in the query.
func (c *client2020) fits(r Request, room int) error {
	size := 0
	for name, value := range c.query(r) {
		text, _ := value.(string)
		// A blank is escaped as three bytes at most.
		size += len("&=") + len(url.QueryEscape(name)) + len(url.QueryEscape(text)) + 2*strings.Count(text, " ")
	}
	if size > maxQuery-room {
		return tooLarge(r, fmt.Sprintf("%d bytes of query", maxQuery-room))
	}
	return nil
}

func (c *client2020) Split(r Request) ([]Request, error) {
	if err := c.check(r); err != nil {
		return nil, err
	}
	return split(r, func(part Request) error { return c.fits(part, markRoom) })
}

// Submit: vendor documentation: DataWorks 2020-05-18 CreatePermissionApplyOrder.
func (c *client2020) Submit(ctx context.Context, r Request) ([]string, error) {
	if err := c.check(r); err != nil {
		return nil, err
	}
	if err := c.fits(r, 0); err != nil {
		return nil, err
	}
	var answer struct {
		FlowID []string
	}
	requestID, err := c.do(ctx, openapi.Call{Action: "CreatePermissionApplyOrder", Op: r.op(), Query: c.query(r)}, codes, &answer)
	if err != nil {
		return nil, err
	}
	return ids(answer.FlowID, r.op(), requestID)
}

// ids checks the ids of new orders.
func ids(ids []string, op, requestID string) ([]string, error) {
	if len(ids) == 0 || slices.ContainsFunc(ids, func(id string) bool { return !orderID.MatchString(id) }) {
		err := &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, RequestID: requestID, Accepted: true, Message: "the answer does not say which orders were made"}
		return nil, err
	}
	return ids, nil
}

// states2020 are the documented values of FlowStatus; 0 is admitted without a meaning.
var states2020 = map[int]State{1: Pending, 2: Granted, 3: GrantFailed, 4: Rejected, 5: Withdrawn}

func state2020(status int) State {
	if state, known := states2020[status]; known {
		return state
	}
	return Unknown
}

// detail2020 is an order as GetPermissionApplyOrderDetail tells it. Names are matched without case.
type detail2020 struct {
	FlowID         string
	FlowStatus     *int
	ApplyTimestamp int64
	ApproveContent struct {
		ApplyReason string
		Deadline    int64
		ProjectMeta struct {
			MaxComputeProjectName string
			ObjectMetaList        []struct {
				ObjectName     string
				Actions        []string
				ColumnMetaList []struct {
					ColumnName    string
					ColumnActions []string
				}
			}
		}
	}
	GranteeObjectList []struct{ GranteeID string }
	// FinishAapprovalTimestamp is how the documentation spells it; the list of orders has the other.
	FinishAapprovalTimestamp, FinishApprovalTimestamp int64
	FinishApprovalComment                             string
}

// Get: vendor documentation: DataWorks 2020-05-18 GetPermissionApplyOrderDetail.
func (c *client2020) Get(ctx context.Context, id string) (Order, error) {
	op := "read order " + id
	if err := checkID(op, id); err != nil {
		return Order{}, err
	}
	var answer struct{ ApplyOrderDetail *detail2020 }
	requestID, err := c.do(ctx, openapi.Call{Action: "GetPermissionApplyOrderDetail", Op: op, Query: map[string]any{"FlowId": id}}, orderCodes, &answer)
	if err != nil {
		return Order{}, err
	}
	d := answer.ApplyOrderDetail
	if d == nil || d.FlowID != id || d.FlowStatus == nil {
		return Order{}, unexpected(op, requestID, "the answer does not hold the order")
	}
	order, complete := d.order()
	if !complete {
		return Order{}, unexpected(op, requestID, "the answer holds an order with an object that is not described")
	}
	return order, nil
}

func (d *detail2020) order() (order Order, complete bool) {
	content := d.ApproveContent
	order = Order{
		ID: d.FlowID, State: state2020(*d.FlowStatus), Reason: content.ApplyReason, Submitted: moment(d.ApplyTimestamp),
		Finished: moment(max(d.FinishAapprovalTimestamp, d.FinishApprovalTimestamp)), Comment: d.FinishApprovalComment, Deadline: moment(content.Deadline),
	}
	granted := func(actions []string) []string {
		if order.State != Granted {
			return nil
		}
		return slices.Clone(actions)
	}
	for _, meta := range content.ProjectMeta.ObjectMetaList {
		object := OrderObject{Project: content.ProjectMeta.MaxComputeProjectName, Name: meta.ObjectName, Deadline: order.Deadline}
		own := spelled(meta.Actions...)
		all := slices.Clone(own)
		for _, m := range meta.ColumnMetaList {
			actions := spelled(m.ColumnActions...)
			if len(actions) == 0 { // the table's
				actions = slices.DeleteFunc(slices.Clone(own), func(a string) bool { return !slices.Contains(ColumnActions, a) })
			}
			object.Columns = append(object.Columns, OrderColumn{Name: m.ColumnName, Actions: actions, Granted: granted(actions)})
			all = append(all, actions...)
			if m.ColumnName == "" {
				return order, false
			}
		}
		object.Actions = spelled(all...)
		object.Granted = granted(object.Actions)
		// Of a decided order, an object without actions is one of which the approver has left nothing.
		if object.Name == "" || len(object.Actions) == 0 && !order.State.decided() {
			return order, false
		}
		order.Objects = append(order.Objects, object)
	}
	for _, grantee := range d.GranteeObjectList {
		order.Grantees = append(order.Grantees, grantee.GranteeID)
	}
	slices.Sort(order.Grantees)
	order.Grantees = slices.Compact(order.Grantees)
	return order, slices.ContainsFunc(order.Objects, func(o OrderObject) bool { return len(o.Actions) > 0 })
}

// page2020 is one page of ListPermissionApplyOrders.
type page2020 struct {
	ApplyOrder []struct {
		FlowID         string
		FlowStatus     *int
		ApplyTimestamp int64
		ApproveContent struct{ ApplyReason string }
	}
	PageNumber, TotalCount *int
}

// Search: vendor documentation: DataWorks 2020-05-18 ListPermissionApplyOrders. While it reads, new orders may move others to a later page,
// where they are met again; none is ever met too late.
func (c *client2020) Search(ctx context.Context, q Query) ([]Summary, error) {
	op := "list orders of project " + q.Project
	if err := q.check(op); err != nil {
		return nil, err
	}
	// Of QueryType, 0 means those that the caller has made.
	query := map[string]any{
		"QueryType": "0", "MaxComputeProjectName": q.Project, "PageSize": strconv.Itoa(pageSize2020),
		"StartTime": strconv.FormatInt(q.Since.UnixMilli(), 10), "EndTime": strconv.FormatInt(q.Until.UnixMilli(), 10),
	}
	set(query, "TableName", q.Table)
	if q.WorkspaceID != 0 {
		query["WorkspaceId"] = strconv.FormatInt(q.WorkspaceID, 10)
	}
	found := summaries{}
	for number, read := 1, 0; number <= maxPages; number++ {
		query["PageNum"] = strconv.Itoa(number)
		var answer struct{ ApplyOrders *page2020 }
		requestID, err := c.do(ctx, openapi.Call{Action: "ListPermissionApplyOrders", Op: op, Query: query}, codes, &answer)
		if err != nil {
			return nil, err
		}
		page := answer.ApplyOrders
		switch {
		case page == nil || page.TotalCount == nil || page.PageNumber != nil && *page.PageNumber != number:
			return nil, unexpected(op, requestID, "the answer does not hold a list of orders")
		case len(page.ApplyOrder) == 0 && read < *page.TotalCount:
			return nil, unexpected(op, requestID, "the list of orders ends too early")
		}
		for _, o := range page.ApplyOrder {
			if o.FlowID == "" || o.FlowStatus == nil {
				return nil, unexpected(op, requestID, "the list holds an order that is not described")
			}
			found.add(Summary{ID: o.FlowID, State: state2020(*o.FlowStatus), Reason: o.ApproveContent.ApplyReason, Submitted: moment(o.ApplyTimestamp)})
		}
		if read += len(page.ApplyOrder); read >= *page.TotalCount {
			return found.all, nil
		}
	}
	return nil, unexpected(op, "", "the list of orders does not end")
}

// summaries collects orders, each once.
type summaries struct {
	all  []Summary
	seen map[string]bool
}

func (s *summaries) add(summary Summary) {
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	if !s.seen[summary.ID] {
		s.seen[summary.ID] = true
		s.all = append(s.all, summary)
	}
}

func (*client2020) Withdraw(_ context.Context, id string) error {
	return notSupported("withdraw order "+id, "version %s of the API cannot withdraw an order", Version2020)
}

// Revoke: vendor documentation: DataWorks 2020-05-18 RevokeTablePermission.
func (c *client2020) Revoke(ctx context.Context, r Revocation) error {
	op := fmt.Sprintf("revoke permissions of account %s on table %s of project %s", r.UserID, r.Table, r.Project)
	switch {
	case !identifier.MatchString(r.Project) || !identifier.MatchString(r.Table):
		return invalid(op, "%q cannot be the name of a project, or %q that of a table", r.Project, r.Table)
	case !account.MatchString(r.UserID):
		return invalid(op, "%q cannot be the id of an account", r.UserID)
	case r.WorkspaceID <= 0:
		return invalid(op, "%d cannot be the id of a workspace", r.WorkspaceID)
	case len(r.Actions) == 0:
		return invalid(op, "no actions are named")
	}
	for _, action := range r.Actions {
		if _, ok := spell(action, ColumnActions); !ok {
			return notSupported(op, "version %s of the API can revoke %s, not %q", Version2020, strings.Join(ColumnActions, ", "), action)
		}
	}
	var answer struct{ RevokeSuccess *bool }
	requestID, err := c.do(ctx, openapi.Call{Action: "RevokeTablePermission", Op: op, Query: map[string]any{
		"WorkspaceId": strconv.FormatInt(r.WorkspaceID, 10), "MaxComputeProjectName": r.Project, "TableName": r.Table,
		"Actions": strings.Join(canonical(r.Actions), ","), "RevokeUserId": r.UserID,
	}}, codes, &answer)
	if err == nil && (answer.RevokeSuccess == nil || !*answer.RevokeSuccess) {
		return unexpected(op, requestID, "the answer does not say that the permissions were revoked")
	}
	return err
}
