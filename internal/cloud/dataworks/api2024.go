package dataworks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

const (
	// maxContents is documented for ApplyResourceAccessPermission.
	maxContents = 400
	// pageSize2024 is the largest that is documented.
	pageSize2024 = 200
	// defSchema is what the service calls the resources of MaxCompute, in version defVersion of its description.
	defSchema, defVersion = "MaxCompute", "v1.0.0"
)

// client2024 is the client of 2024-05-18.
type client2024 struct{ connection }

// New2024 makes a client of the newer API, 2024-05-18. It fails only if the endpoint is not a URL.
func New2024(config Config) (Client, error) {
	connection, err := connect(config, Version2024)
	if err != nil {
		return nil, err
	}
	return &client2024{connection}, nil
}

func (*client2024) Version() string { return Version2024 }

// principal is the id of an account or, with the prefix that the service wants, of a RAM role.
var principal = regexp.MustCompile(`^(ROLE_)?[0-9]{1,20}$`)

// check finds what 2024-05-18 cannot do.
func (*client2024) check(r Request) error {
	op := r.op()
	switch {
	case !r.isTables():
		return notSupported(op, "of the types of requests of version %s of the API, only tables of MaxCompute are known here, not %s", Version2024, r.ApplyType)
	case r.CatalogName != "":
		return notSupported(op, "version %s of the API has no catalogs for tables of MaxCompute", Version2024)
	case r.WorkspaceID <= 0:
		return invalid(op, "%d cannot be the id of a workspace", r.WorkspaceID)
	}
	for _, user := range r.UserIDs {
		if !principal.MatchString(user) {
			return invalid(op, "%q cannot be the id of an account or a RAM role", user)
		}
	}
	return r.check()
}

// content is one resource for one grantee, with the members of the documentation. As JSON it is the same each time, as a token demands.
type content struct {
	AccessTypes    []string
	ExpirationTime int64
	Grantee        grantee
	Resource       resource
}

type grantee struct{ PrincipalType, PrincipalId string } //nolint:revive // as the wire has it

type resource struct {
	DefSchema, DefVersion string
	MetaData              map[string]string
}

// contents spells a request.
func (*client2024) contents(r Request) []content {
	until := r.Deadline
	if until.IsZero() {
		until = Permanent
	}
	var out []content
	for _, o := range r.Objects {
		for _, user := range r.UserIDs {
			who := grantee{PrincipalType: "RamUser", PrincipalId: user}
			if strings.HasPrefix(user, "ROLE_") {
				who.PrincipalType = "RamRole"
			}
			add := func(column string, actions []string) {
				if len(actions) == 0 {
					return
				}
				meta := map[string]string{"workspace": strconv.FormatInt(r.WorkspaceID, 10), "project": r.Project, "table": o.Name}
				if o.Schema != "" {
					meta["schema"] = o.Schema
				}
				if column != "" {
					meta["column"] = column
				}
				out = append(out, content{
					AccessTypes: lower(actions), ExpirationTime: until.UnixMilli(), Grantee: who,
					Resource: resource{DefSchema: defSchema, DefVersion: defVersion, MetaData: meta},
				})
			}
			ofTable, ofColumns := o.shares()
			add("", ofTable)
			for _, c := range o.Columns {
				actions := canonical(c.Actions)
				if len(actions) == 0 {
					actions = ofColumns
				}
				add(c.Name, actions)
			}
		}
	}
	return out
}

// shares are the actions on a table as such, and those on columns that do not say which.
func (o Object) shares() (ofTable, ofColumns []string) {
	if len(o.Columns) == 0 {
		return canonical(o.Actions), nil
	}
	for _, action := range canonical(o.Actions) {
		if slices.Contains(ColumnActions, action) {
			ofColumns = append(ofColumns, action)
		} else {
			ofTable = append(ofTable, action)
		}
	}
	return ofTable, ofColumns
}

// lower spells actions as a third party's notes of this version do.
func lower(actions []string) []string {
	out := make([]string, len(actions))
	for i, action := range actions {
		out[i] = strings.ToLower(action)
	}
	return out
}

func (c *client2024) fits(r Request) error {
	if len(c.contents(r)) > maxContents {
		return tooLarge(r, fmt.Sprintf("%d tables or columns, counted for each user", maxContents))
	}
	return nil
}

func (c *client2024) Split(r Request) ([]Request, error) {
	if err := c.check(r); err != nil {
		return nil, err
	}
	return split(r, c.fits)
}

// Submit: vendor documentation: DataWorks 2024-05-18 ApplyResourceAccessPermission.
func (c *client2024) Submit(ctx context.Context, r Request) ([]string, error) {
	if err := c.check(r); err != nil {
		return nil, err
	}
	if err := c.fits(r); err != nil {
		return nil, err
	}
	contents, err := json.Marshal(c.contents(r))
	if err != nil {
		return nil, invalid(r.op(), "the request could not be formed")
	}
	form := map[string]any{"Reason": r.Reason, "ApplyContents": string(contents)}
	set(form, "ClientToken", r.Token)
	var answer struct{ Data []string }
	requestID, err := c.do(ctx, openapi.Call{Action: "ApplyResourceAccessPermission", Op: r.op(), Form: form}, codes, &answer)
	if err != nil {
		return nil, err
	}
	return ids(answer.Data, r.op(), requestID)
}

// states2024 are the documented statuses. Samples spell them WAIT_APPROVAL as well.
var states2024 = map[string]State{
	"waitapproval": Pending, "confirmed": Approved, "authorizesucceed": Granted, "authorizefailed": GrantFailed, "rejectapproval": Rejected,
	"canceled": Withdrawn, "deleted": Deleted,
}

func state2024(status string) State {
	if state, known := states2024[strings.ToLower(strings.ReplaceAll(status, "_", ""))]; known {
		return state
	}
	return Unknown
}

// application is an order as both calls that read it tell it. Names are matched without case.
type application struct {
	ProcessInstanceID, Reason, Status string
	ApplicationTime                   int64
	Contents                          []applicationContent
}

type applicationContent struct {
	AccessTypes []string
	// FinalAccessTypes are what an approver has left of them.
	FinalAccessTypes           *[]string
	ExpirationTime, UpdateTime int64
	Status                     string
	Grantee                    struct{ PrincipalID string }
	Resource                   struct{ MetaData metaData }
}

// metaData is the path to a resource. GetApplicationContents has it as a text in JSON, ListMyApplications as an object.
type metaData map[string]string

// UnmarshalJSON implements json.Unmarshaler.
func (m *metaData) UnmarshalJSON(raw []byte) error {
	if bytes.HasPrefix(raw, []byte(`"`)) {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
		raw = []byte(text)
	}
	var members map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&members); err != nil {
		return err
	}
	*m = metaData{}
	for name, member := range members {
		if member != nil {
			(*m)[name] = fmt.Sprint(member)
		}
	}
	return nil
}

// Get: vendor documentation: DataWorks 2024-05-18 GetApplicationContents.
func (c *client2024) Get(ctx context.Context, id string) (Order, error) {
	op := "read order " + id
	if err := checkID(op, id); err != nil {
		return Order{}, err
	}
	var answer struct{ Data *application }
	requestID, err := c.do(ctx, openapi.Call{Action: "GetApplicationContents", Op: op, Query: map[string]any{"ProcessInstanceId": id}}, orderCodes, &answer)
	if err != nil {
		return Order{}, err
	}
	if answer.Data == nil || answer.Data.ProcessInstanceID != id || answer.Data.Status == "" {
		return Order{}, unexpected(op, requestID, "the answer does not hold the order")
	}
	order, complete := answer.Data.order()
	if !complete {
		return Order{}, unexpected(op, requestID, "the answer holds an order with an object that is not described")
	}
	return order, nil
}

// order reads an order. Its objects come in the order of their first content.
func (a *application) order() (order Order, complete bool) {
	order = Order{ID: a.ProcessInstanceID, State: a.state(), Reason: a.Reason, Submitted: moment(a.ApplicationTime)}
	narrowed := slices.ContainsFunc(a.Contents, func(c applicationContent) bool { return c.FinalAccessTypes != nil })
	for _, c := range a.Contents {
		meta := c.Resource.MetaData
		if meta["table"] == "" || meta["project"] == "" || c.Grantee.PrincipalID == "" || len(c.AccessTypes) == 0 {
			return order, false
		}
		object := order.object(c.Grantee.PrincipalID, meta)
		actions, granted := spelled(c.AccessTypes...), c.granted(a.Status, narrowed)
		object.Actions, object.Granted = spelled(append(object.Actions, actions...)...), union(object.Granted, granted)
		if meta["column"] != "" {
			object.Columns = append(object.Columns, OrderColumn{Name: meta["column"], Actions: actions, Granted: granted, Deadline: moment(c.ExpirationTime)})
		} else {
			object.Deadline = earlier(object.Deadline, moment(c.ExpirationTime))
		}
		order.Deadline = earlier(order.Deadline, moment(c.ExpirationTime))
		if changed := moment(c.UpdateTime); order.State.decided() && changed.After(order.Finished) {
			order.Finished = changed
		}
		order.Grantees = append(order.Grantees, c.Grantee.PrincipalID)
	}
	slices.Sort(order.Grantees)
	order.Grantees = slices.Compact(order.Grantees)
	return order, len(a.Contents) > 0
}

// object finds or adds the object that a content is about.
func (o *Order) object(grantee string, meta metaData) *OrderObject {
	i := slices.IndexFunc(o.Objects, func(have OrderObject) bool {
		return have.Grantee == grantee && have.Project == meta["project"] && have.Schema == meta["schema"] && have.Name == meta["table"]
	})
	if i < 0 {
		i = len(o.Objects)
		o.Objects = append(o.Objects, OrderObject{Grantee: grantee, Project: meta["project"], Schema: meta["schema"], Name: meta["table"]})
	}
	return &o.Objects[i]
}

// state is that of the order, unless it says more than all of its contents do.
func (a *application) state() State {
	state := state2024(a.Status)
	if state != Granted {
		return state
	}
	for _, c := range a.Contents {
		if own := state2024(cmp.Or(c.Status, a.Status)); own != Granted {
			state = own
			if own == GrantFailed {
				break
			}
		}
	}
	return state
}

// granted is what was granted of a content; nil unless its status, or if it has none that of its order, says so. Of the order it
// must be known that it was approved. narrowed tells that the order says of some contents what was left of them: then nothing was left of those
// of which it does not.
func (c *applicationContent) granted(status string, narrowed bool) []string {
	order := state2024(status)
	switch {
	case order != Granted && order != GrantFailed, state2024(cmp.Or(c.Status, status)) != Granted:
		return nil
	case c.FinalAccessTypes == nil && narrowed:
		return nil
	case c.FinalAccessTypes == nil: // nobody has left out anything
		return spelled(c.AccessTypes...)
	}
	return spelled(*c.FinalAccessTypes...)
}

// union is nil if both are.
func union(a, b []string) []string {
	if a == nil && b == nil {
		return nil
	}
	return spelled(slices.Concat(a, b)...)
}

// earlier takes the zero time for unknown.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// page2024 is one page of ListMyApplications.
type page2024 struct {
	Data      []application
	HasMore   *bool
	NextToken string
}

// Search: vendor documentation: DataWorks 2024-05-18 ListMyApplications. Its filter for resources knows wildcards and no exact words are said
// about it, so it is left out: a filter that hides an order would have it made twice.
func (c *client2024) Search(ctx context.Context, q Query) ([]Summary, error) {
	op := "list orders of project " + q.Project
	if err := q.check(op); err != nil {
		return nil, err
	}
	form := map[string]any{
		"DefSchema": defSchema, "ResourceType": `["table","column"]`, "PageSize": strconv.Itoa(pageSize2024),
		"StartTime": strconv.FormatInt(q.Since.UnixMilli(), 10), "EndTime": strconv.FormatInt(q.Until.UnixMilli(), 10),
	}
	found, tokens := summaries{}, map[string]bool{}
	for range maxPages {
		var answer struct{ Data *page2024 }
		requestID, err := c.do(ctx, openapi.Call{Action: "ListMyApplications", Op: op, Form: form}, codes, &answer)
		if err != nil {
			return nil, err
		}
		page := answer.Data
		if page == nil || page.HasMore == nil {
			return nil, unexpected(op, requestID, "the answer does not hold a list of orders")
		}
		for _, a := range page.Data {
			if a.ProcessInstanceID == "" || a.Status == "" {
				return nil, unexpected(op, requestID, "the list holds an order that is not described")
			}
			if a.concerns(q) {
				found.add(Summary{ID: a.ProcessInstanceID, State: a.state(), Reason: a.Reason, Submitted: moment(a.ApplicationTime)})
			}
		}
		switch {
		case !*page.HasMore:
			return found.all, nil
		case page.NextToken == "" || tokens[page.NextToken]:
			return nil, unexpected(op, requestID, "the list of orders goes on without saying where")
		}
		tokens[page.NextToken] = true
		form["NextToken"] = page.NextToken
	}
	return nil, &cloud.Error{Code: cloud.UnexpectedResponse, Op: op, Message: "the list of orders does not end"}
}

// concerns tells whether an order may be about what is looked for: it is left out only if all its contents say that they are about
// something else.
func (a *application) concerns(q Query) bool {
	if len(a.Contents) == 0 {
		return true
	}
	other := func(have, want string) bool { return have != "" && want != "" && !strings.EqualFold(have, want) }
	workspace := ""
	if q.WorkspaceID != 0 {
		workspace = strconv.FormatInt(q.WorkspaceID, 10)
	}
	return slices.ContainsFunc(a.Contents, func(c applicationContent) bool {
		meta := c.Resource.MetaData
		return !other(meta["project"], q.Project) && !other(meta["table"], q.Table) && !other(meta["workspace"], workspace)
	})
}

// Withdraw: vendor documentation: DataWorks 2024-05-18 StopProcessInstance.
func (c *client2024) Withdraw(ctx context.Context, id string) error {
	op := "withdraw order " + id
	if err := checkID(op, id); err != nil {
		return err
	}
	var answer struct{}
	_, err := c.do(ctx, openapi.Call{Action: "StopProcessInstance", Op: op, Form: map[string]any{"ProcessInstanceId": id}}, orderCodes, &answer)
	return err
}

func (*client2024) Revoke(_ context.Context, r Revocation) error {
	return notSupported(fmt.Sprintf("revoke permissions of account %s on table %s of project %s", r.UserID, r.Table, r.Project),
		"version %s of the API cannot revoke permissions", Version2024)
}
