package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// A request is submitted once, whatever fails. Before a call, its token and time are in the status; the token is in the reason of the
// order, too. If the outcome of a call is not known, the orders of that time are searched for the token:
//   - if they have it, the call succeeded;
//   - if not, it may still be under way, or lists may lag. 2024-05-18 makes no second order for what comes again with the same token, so the
//     call is repeated; 2020-05-18 knows no tokens, so the search is repeated until whatever was sent must be visible, and only then the
//     call;
//   - if the search is refused, nobody can know, and the request stalls.

const (
	// lateOrder is how long after it was sent a request may still become an order, or an order visible in lists. A lost request is made
	// anew by the service within a minute or never; the rest is for lists. Nothing is documented.
	lateOrder = 10 * time.Minute
	// firstSearch is how soon after a call whose outcome is not known the orders are searched for the second time.
	firstSearch = 15 * time.Second
	// searchMargin is by how much the clocks of the service and of the operator may differ.
	searchMargin = 10 * time.Minute
	// patience is how long a call may wait before it is sent: what was recorded about it must not be older.
	patience = time.Minute
	// maxSubmissions and maxLookedUp bound what is recorded in the status: calls, and columns that were looked up.
	maxSubmissions = 500
	maxLookedUp    = 20_000
)

// isComplete tells whether all of the request was submitted.
func (p *requestPass) isComplete() bool {
	return len(p.obj.Status.Submissions) > 0 && !slices.ContainsFunc(p.obj.Status.Submissions, func(s v1alpha1.Submission) bool {
		return len(s.OrderIDs) == 0 || s.SendingTime != nil
	})
}

// inDoubt tells whether there is a call whose outcome is not known.
func (p *requestPass) inDoubt() bool {
	return slices.ContainsFunc(p.obj.Status.Submissions, func(s v1alpha1.Submission) bool { return s.SendingTime != nil })
}

// isBegun tells whether a call was made that was not refused.
func (p *requestPass) isBegun() bool {
	return slices.ContainsFunc(p.obj.Status.Submissions, func(s v1alpha1.Submission) bool { return s.Attempts > 0 })
}

// submit submits what has not been.
func (p *requestPass) submit(ctx context.Context) error {
	if p.isComplete() {
		return nil
	}
	if err := p.resolveDoubts(ctx); err != nil {
		return err
	}
	if !p.isBegun() {
		if err := p.prepare(ctx); err != nil {
			p.backoff = true
			return err
		}
	}
	for i := range p.obj.Status.Submissions {
		if len(p.obj.Status.Submissions[i].OrderIDs) > 0 {
			continue
		}
		if err := p.send(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// prepare works out the calls that the request takes. Until one of them was made, this is done anew each time: columns may have been
// added, and a duration begins when the request is submitted.
func (p *requestPass) prepare(ctx context.Context) error {
	status := &p.obj.Status
	status.APIVersion, status.Endpoint = p.account.DataWorksVersion, p.account.DataWorksEndpoint
	service, err := p.account.DataWorks(status.APIVersion)
	if err != nil {
		return err
	}
	status.RequestedUntil = p.until()
	whole := v1alpha1.Submission{Objects: make([]v1alpha1.SubmittedObject, 0, len(p.obj.Spec.Objects))}
	for _, o := range p.obj.Spec.Objects {
		submitted := v1alpha1.SubmittedObject{SchemaName: o.SchemaName, Name: o.Name}
		if len(o.Columns) == 0 && status.APIVersion == dataworks.Version2020 {
			if submitted.Columns, err = p.columns(ctx, o); err != nil {
				return err
			}
		}
		whole.Objects = append(whole.Objects, submitted)
	}
	whole.Token = p.token(whole)
	parts, err := service.Split(p.request(whole))
	if err != nil {
		return err
	}
	status.Submissions = p.submissions(whole, parts)
	return tooMuch(status.Submissions)
}

// tooMuch stalls a request of which not all could be recorded.
func tooMuch(calls []v1alpha1.Submission) error {
	columns := 0
	for _, s := range calls {
		for _, o := range s.Objects {
			columns += len(o.Columns)
		}
	}
	switch {
	case len(calls) > maxSubmissions:
		return conditions.Stall(v1alpha1.ReasonInvalidSpec, "the request takes %d calls, and at most %d can be followed: split it into several objects", len(calls), maxSubmissions)
	case columns > maxLookedUp:
		return conditions.Stall(v1alpha1.ReasonInvalidSpec, "the tables have %d columns together, and at most %d can be asked for: split the request into several objects", columns, maxLookedUp)
	}
	return nil
}

// until is when the permissions are to end; nil for the service's own default.
func (p *requestPass) until() *metav1.Time {
	spec := p.obj.Spec
	switch {
	case spec.Deadline != nil:
		return spec.Deadline.DeepCopy()
	case spec.Duration != nil:
		return new(metav1.NewTime(p.Clock.Now().Add(spec.Duration.Duration).Truncate(time.Second)))
	}
	return nil
}

// columns looks up the columns of a table.
func (p *requestPass) columns(ctx context.Context, o v1alpha1.ApplyObject) ([]string, error) {
	names, err := p.account.MaxCompute.TableColumns(ctx, p.obj.Spec.ProjectName, o.SchemaName, o.Name)
	if cloud.IsNotFound(err) {
		return nil, conditions.Wait(v1alpha1.ReasonRemoteRejected, "table %s does not exist in project %s, so nothing can be asked for on it", o.Name, p.obj.Spec.ProjectName)
	}
	return names, p.noticed(err)
}

// token makes the token of a request: the same for the same request of the same object only. The service must not meet a token with two
// different requests.
func (p *requestPass) token(whole v1alpha1.Submission) string {
	var content strings.Builder
	for _, o := range whole.Objects {
		fmt.Fprintf(&content, "%q.%q %q\n", o.SchemaName, o.Name, o.Columns)
	}
	if until := p.obj.Status.RequestedUntil; until != nil {
		fmt.Fprintf(&content, "%d", until.Unix())
	}
	sum := sha256.Sum256([]byte(content.String()))
	return fmt.Sprintf("%s-%s", p.obj.UID, hex.EncodeToString(sum[:4]))
}

// mark is what a token looks like at the end of a reason.
func mark(token string) string { return "[k8s:" + token + "]" }

// submissions records the calls that a request was split into.
func (p *requestPass) submissions(whole v1alpha1.Submission, parts []dataworks.Request) []v1alpha1.Submission {
	type key struct{ schema, name string }
	looked := map[key]v1alpha1.SubmittedObject{}
	for _, o := range whole.Objects {
		looked[key{apiSchema(o.SchemaName), o.Name}] = o
	}
	calls := make([]v1alpha1.Submission, 0, len(parts))
	for _, part := range parts {
		s := v1alpha1.Submission{Token: part.Token}
		for _, o := range part.Objects {
			s.Objects = append(s.Objects, looked[key{apiSchema(o.Schema), o.Name}])
		}
		if !slices.Equal(part.UserIDs, p.obj.Spec.ApplyUserIDs) {
			s.UserIDs = part.UserIDs
		}
		calls = append(calls, s)
	}
	return calls
}

// apiSchema is the same for both ways to name the default schema, one of which is not to.
func apiSchema(name string) string {
	if strings.EqualFold(name, "default") {
		return ""
	}
	return name
}

// request spells a call.
func (p *requestPass) request(s v1alpha1.Submission) dataworks.Request {
	spec, status := p.obj.Spec, p.obj.Status
	request := dataworks.Request{
		UserIDs: spec.ApplyUserIDs, Reason: strings.TrimSpace(spec.Reason) + " " + mark(s.Token), Project: spec.ProjectName, WorkspaceID: spec.WorkspaceID,
		ApplyType: string(spec.ApplyType), CatalogName: spec.CatalogName, Token: s.Token,
	}
	if len(s.UserIDs) > 0 {
		request.UserIDs = s.UserIDs
	}
	if status.RequestedUntil != nil && !status.RevokeAtDeadline {
		request.Deadline = status.RequestedUntil.Time
	}
	for _, o := range s.Objects {
		request.Objects = append(request.Objects, p.object(o))
	}
	return request
}

// object spells a table of a call.
func (p *requestPass) object(submitted v1alpha1.SubmittedObject) dataworks.Object {
	object := dataworks.Object{Schema: submitted.SchemaName, Name: submitted.Name}
	wanted := p.wanted(submitted.SchemaName, submitted.Name)
	for _, a := range wanted.Actions {
		object.Actions = append(object.Actions, string(a))
	}
	for _, c := range wanted.Columns {
		column := dataworks.Column{Name: c.Name}
		for _, a := range c.Actions {
			column.Actions = append(column.Actions, string(a))
		}
		object.Columns = append(object.Columns, column)
	}
	for _, name := range submitted.Columns {
		object.Columns = append(object.Columns, dataworks.Column{Name: name})
	}
	return object
}

// wanted is what the spec says of a table.
func (p *requestPass) wanted(schema, name string) v1alpha1.ApplyObject {
	for _, o := range p.obj.Spec.Objects {
		if strings.EqualFold(apiSchema(o.SchemaName), apiSchema(schema)) && strings.EqualFold(o.Name, name) {
			return o
		}
	}
	return v1alpha1.ApplyObject{}
}

// send makes one of the calls, after it was recorded.
func (p *requestPass) send(ctx context.Context, i int) error {
	service, err := p.account.DataWorks(p.obj.Status.APIVersion)
	if err != nil {
		return err
	}
	s, now := &p.obj.Status.Submissions[i], metav1.NewTime(p.Clock.Now().Truncate(time.Second))
	s.Attempts++
	s.SendingTime = &now
	if p.obj.Status.SubmissionTime == nil {
		p.obj.Status.SubmissionTime = &now
	}
	if err := p.WriteIntent(ctx, p.obj, &p.stored); err != nil {
		return err
	}
	s = &p.obj.Status.Submissions[i] // the object is now the one that the API server has answered with
	ids, err := p.call(ctx, service, s)
	switch {
	case err == nil:
		p.adopt(s, ids)
		return nil
	case cloud.CodeOf(err) == cloud.AlreadyExists:
		return p.taken(ctx, s, err)
	case !cloud.Refused(err):
		p.within(firstSearch << min(s.Attempts-1, 4))
		return conditions.Wait(v1alpha1.ReasonProgressing, "the outcome of submitting the request is not known, and it is looked for: %v", err)
	}
	s.Attempts--
	s.SendingTime = nil
	if !p.isBegun() {
		p.obj.Status.SubmissionTime = nil
	}
	if dataworks.IsPermanentOnly(err) && p.obj.Status.RequestedUntil != nil && !p.obj.Status.RevokeAtDeadline {
		// Asked for ever, and ended by the operator.
		p.obj.Status.RevokeAtDeadline = true
		return p.send(ctx, i)
	}
	p.refused()
	return err
}

// call submits a request, unless the record of it has become too old meanwhile: others may have concluded from it that nothing was sent.
func (p *requestPass) call(ctx context.Context, service dataworks.Client, s *v1alpha1.Submission) ([]string, error) {
	request := p.request(*s)
	if p.Clock.Since(s.SendingTime.Time) > patience {
		return nil, &cloud.Error{Code: cloud.RemoteUnavailable, Op: "submit the request", Message: "not sent: too late after it was recorded", Throttled: true}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ids, err := service.Submit(ctx, request)
	return ids, p.noticed(err)
}

// taken is what becomes of a call whose token the service has met before: there should be an order.
func (p *requestPass) taken(ctx context.Context, s *v1alpha1.Submission, refusal error) error {
	found, err := p.search(ctx)
	if err != nil {
		return err
	}
	if ids := found[s.Token]; len(ids) > 0 {
		return p.resolve(ctx, s, ids)
	}
	p.within(max(lastRetry, p.account.RetryAfterRefusal()))
	return conditions.Stall(v1alpha1.ReasonCreateResultUnknown, "the service says that it has met the request before, and no order with the mark %s is to be found: %v", mark(s.Token), refusal)
}

// refused says when what the service has refused is tried again: ever later, and on a small budget of calls not before it has recovered.
func (p *requestPass) refused() {
	if wait := p.account.RetryAfterRefusal(); wait > lastRetry {
		p.within(wait)
		return
	}
	p.backoff = true
}

// adopt records the orders of a call.
func (p *requestPass) adopt(s *v1alpha1.Submission, ids []string) {
	s.SendingTime = nil
	p.track(s, ids)
}

// track follows orders that came of a call.
func (p *requestPass) track(s *v1alpha1.Submission, ids []string) {
	status := &p.obj.Status
	for _, id := range ids {
		if !slices.Contains(s.OrderIDs, id) {
			s.OrderIDs = append(s.OrderIDs, id)
		}
		if !slices.ContainsFunc(status.Orders, func(o v1alpha1.PermissionOrder) bool { return o.ID == id }) {
			status.Orders = append(status.Orders, v1alpha1.PermissionOrder{
				ID: id, APIVersion: status.APIVersion, State: v1alpha1.RequestPending, SubmittedAt: new(metav1.NewTime(p.Clock.Now().Truncate(time.Second))),
			})
		}
	}
}

// resolveDoubts searches for the orders of calls whose outcome is not known.
func (p *requestPass) resolveDoubts(ctx context.Context) error {
	if !p.inDoubt() {
		return nil
	}
	found, err := p.search(ctx)
	if err != nil {
		return err
	}
	var open error
	for i := range p.obj.Status.Submissions {
		s := &p.obj.Status.Submissions[i]
		if s.SendingTime == nil {
			continue
		}
		if err := p.resolve(ctx, s, found[s.Token]); err != nil && open == nil {
			open = err
		}
	}
	return open
}

// resolve decides about a call from the orders that bear its token.
func (p *requestPass) resolve(ctx context.Context, s *v1alpha1.Submission, ids []string) error {
	age := p.Clock.Since(s.SendingTime.Time)
	if len(ids) == 0 && len(s.OrderIDs) == 0 {
		switch {
		case age >= lateOrder:
			s.SendingTime = nil
			return nil
		case p.obj.Status.APIVersion == dataworks.Version2024 && !p.deleting && !p.isOver():
			// The token makes sure that the repeated call makes no second order.
			return nil
		}
		p.searchAgain(age)
		return conditions.Wait(v1alpha1.ReasonProgressing, "the outcome of submitting the request is not known; an order with the mark %s is looked for until %s after the call", mark(s.Token), lateOrder)
	}
	p.track(s, ids)
	missing, err := p.uncovered(ctx, s)
	switch {
	case err != nil:
		p.searchAgain(age)
		return err
	case len(missing) == 0:
		s.SendingTime = nil
		return nil
	case age < lateOrder:
		p.searchAgain(age)
		return conditions.Wait(v1alpha1.ReasonProgressing, "the answer to submitting the request was lost; an order for %s is looked for until %s after the call", missing[0], lateOrder)
	case p.deleting:
		s.SendingTime = nil
		return nil
	}
	p.within(lastRetry)
	return conditions.Stall(v1alpha1.ReasonCreateResultUnknown,
		"the answer to submitting the request was lost, and of its tables %s and %d more are in no order with the mark %s: ask for them with another object if they are needed", missing[0], len(missing)-1, mark(s.Token))
}

// searchAgain says when to search next: the later, the longer ago the call was.
func (p *requestPass) searchAgain(age time.Duration) {
	p.within(min(max(firstSearch, age), max(lateOrder-age, 0)))
}

// search returns the ids of the orders of the time that bear a token of this request, by token.
func (p *requestPass) search(ctx context.Context) (map[string][]string, error) {
	status, spec := p.obj.Status, p.obj.Spec
	service, err := p.account.DataWorks(status.APIVersion)
	if err != nil {
		return nil, err
	}
	query := dataworks.Query{
		Project: spec.ProjectName, WorkspaceID: spec.WorkspaceID,
		Since: status.SubmissionTime.Add(-searchMargin), Until: p.Clock.Now().Add(searchMargin),
	}
	if len(spec.Objects) == 1 {
		// The orders of several tables need not all have any one of them.
		query.Table = spec.Objects[0].Name
	}
	orders, err := service.Search(ctx, query)
	if err := p.noticed(err); err != nil {
		p.backoff = true
		if cloud.Refused(err) && !failed(err) {
			p.backoff = false
			p.within(max(lastRetry, p.account.RetryAfterRefusal()))
			return nil, conditions.Stall(v1alpha1.ReasonCreateResultUnknown, "the outcome of submitting the request was lost, and the orders cannot be searched for it: %v. "+
				"Let the operator's account list its orders, or look for one with the mark %s", err, mark(status.Submissions[0].Token))
		}
		return nil, err
	}
	found := map[string][]string{}
	for _, o := range orders {
		for _, s := range status.Submissions {
			if strings.Contains(o.Reason, mark(s.Token)) {
				found[s.Token] = append(found[s.Token], o.ID)
			}
		}
	}
	return found, nil
}

// uncovered names the tables of a call that are in none of its orders: a request can become several, and the list may not show all yet.
func (p *requestPass) uncovered(ctx context.Context, s *v1alpha1.Submission) ([]string, error) {
	if len(s.Objects) == 1 {
		return nil, nil
	}
	service, err := p.account.DataWorks(p.obj.Status.APIVersion)
	if err != nil {
		return nil, err
	}
	covered := map[string]bool{}
	for _, id := range s.OrderIDs {
		order, err := service.Get(ctx, id)
		if err := p.noticed(err); err != nil {
			p.backoff = true
			return nil, err
		}
		for _, o := range order.Objects {
			covered[strings.ToLower(apiSchema(o.Schema)+"."+o.Name)] = true
		}
	}
	var missing []string
	for _, o := range s.Objects {
		if !covered[strings.ToLower(apiSchema(o.SchemaName)+"."+o.Name)] {
			missing = append(missing, o.Name)
		}
	}
	return missing, nil
}
