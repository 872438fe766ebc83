package controllers

import (
	"context"
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
	// searchMargin is by how much the clocks of the service and of the operator may differ: more than the service takes of a signature.
	searchMargin = time.Hour
	// maxRefused is how many calls of a request may be refused before one is accepted.
	maxRefused = 5
	// patience is how long a call may wait before it is sent: what was recorded about it must not be older.
	patience = time.Minute
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
	return p.sendAll(ctx)
}

// sendAll makes the calls that have not come to anything. One that is refused does not keep the others back.
func (p *requestPass) sendAll(ctx context.Context) error {
	var failures []error
	for i := range p.obj.Status.Submissions {
		if len(p.obj.Status.Submissions[i].OrderIDs) > 0 {
			continue
		}
		err := p.send(ctx, i)
		if err == nil {
			continue
		}
		failures = append(failures, err)
		if failed(err) || !conditions.Explains(err) || len(failures) == maxRefused && len(p.obj.Status.Orders) == 0 {
			break
		}
	}
	err := worst(failures)
	if len(p.obj.Status.Orders) > 0 && cloud.Refused(err) {
		return conditions.PartiallyApplied(failures)
	}
	return err
}

// send makes one of the calls, after it was recorded.
func (p *requestPass) send(ctx context.Context, i int) error {
	service, err := p.account.DataWorks(p.obj.Status.APIVersion)
	if err != nil {
		return err
	}
	status, now := &p.obj.Status, metav1.NewTime(p.Clock.Now().Truncate(time.Second))
	s := &status.Submissions[i]
	// Of an earlier call with the same token, the outcome may still be open.
	before := s.SendingTime
	s.Attempts++
	s.SendingTime = &now
	status.Endpoint, status.Identity = p.account.DataWorksEndpoint, p.account.Identity
	if status.SubmissionTime == nil {
		status.SubmissionTime = &now
	}
	if err := p.WriteIntent(ctx, p.obj, &p.stored); err != nil {
		return err
	}
	status = &p.obj.Status
	s = &status.Submissions[i] // the object is now the one that the API server has answered with
	ids, err := p.call(ctx, service, s)
	switch {
	case err == nil:
		p.adopt(s, ids)
		return nil
	case !conditions.Explains(err):
		// Nothing was sent: the object has changed since it was recorded.
		return err
	case cloud.CodeOf(err) == cloud.AlreadyExists:
		if before != nil {
			s.SendingTime = before // this call has made nothing
		}
		return p.met(ctx, s, err)
	case !cloud.Refused(err) && !cloud.Unsent(err):
		p.within(pace(firstSearch, s.Attempts))
		return conditions.Wait(v1alpha1.ReasonProgressing, "the outcome of submitting the request is not known, and it is looked for: %v", err)
	}
	s.Attempts--
	s.SendingTime = before
	if !p.isBegun() {
		status.SubmissionTime = nil
	}
	if p.asksForTooLittle(err) {
		return p.sendForEver(ctx, i, err)
	}
	p.refused()
	return err
}

// pace is how long something is left alone that was tried some times: the older API's orders are searched meanwhile.
func pace(first time.Duration, attempts int32) time.Duration {
	return min(first<<min(max(attempts-1, 0), 10), lastPoll)
}

// asksForTooLittle tells whether a request was refused because it has an end, and permissions can only be granted for ever.
func (p *requestPass) asksForTooLittle(refusal error) bool {
	status := &p.obj.Status
	return status.APIVersion == dataworks.Version2020 && status.RequestedUntil != nil && !status.RevokeAtDeadline && dataworks.IsPermanentOnly(refusal)
}

// sendForEver makes a call without an end, which the operator is to bring about. If that is refused as well, it was not the end that was
// refused.
func (p *requestPass) sendForEver(ctx context.Context, i int, refusal error) error {
	p.obj.Status.RevokeAtDeadline = true
	err := p.send(ctx, i)
	if cloud.Refused(err) {
		p.obj.Status.RevokeAtDeadline = false
		return refusal
	}
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

// met is what becomes of a call whose token the service has met before: there should be an order.
func (p *requestPass) met(ctx context.Context, s *v1alpha1.Submission, refusal error) error {
	found, err := p.search(ctx, true)
	if err != nil {
		return err
	}
	if ids := found[s.Token]; len(ids) > 0 {
		return p.resolve(ctx, s, ids, p.Clock.Now())
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
	if identity := p.obj.Status.Identity; identity != "" && identity != p.account.Identity {
		p.within(lastRetry)
		return conditions.Stall(v1alpha1.ReasonCreateResultUnknown, "the outcome of submitting the request was lost, and %s has another identity now, which cannot see the orders of the one before: "+
			"bring that back, or look for an order with the mark %s", p.obj.Spec.ConnectionRef, mark(p.obj.Status.Submissions[0].Token))
	}
	// What is found is as old as the beginning of the search.
	began := p.Clock.Now()
	found, err := p.search(ctx, p.isLast(began))
	if err != nil {
		return err
	}
	var open error
	for i := range p.obj.Status.Submissions {
		s := &p.obj.Status.Submissions[i]
		if s.SendingTime == nil {
			continue
		}
		if err := p.resolve(ctx, s, found[s.Token], began); err != nil && open == nil {
			open = err
		}
	}
	return open
}

// isLast tells whether a search decides that a call has come to nothing.
func (p *requestPass) isLast(began time.Time) bool {
	return slices.ContainsFunc(p.obj.Status.Submissions, func(s v1alpha1.Submission) bool {
		return s.SendingTime != nil && began.Sub(s.SendingTime.Time) >= pace(lateOrder, s.Attempts)
	})
}

// resolve decides about a call from the orders that bear its token.
func (p *requestPass) resolve(ctx context.Context, s *v1alpha1.Submission, ids []string, began time.Time) error {
	age, late := began.Sub(s.SendingTime.Time), pace(lateOrder, s.Attempts)
	if len(ids) == 0 && len(s.OrderIDs) == 0 {
		switch {
		case age >= late:
			s.SendingTime = nil
			return nil
		case p.obj.Status.APIVersion == dataworks.Version2024 && !p.deleting && !p.isOver():
			// The token makes sure that the repeated call makes no second order.
			return nil
		}
		p.searchAgain(age, late)
		return conditions.Wait(v1alpha1.ReasonProgressing, "the outcome of submitting the request is not known; an order with the mark %s is looked for until %s after the call", mark(s.Token), late)
	}
	p.track(s, ids)
	missing, err := p.uncovered(ctx, s)
	switch {
	case err != nil:
		p.searchAgain(age, late)
		return err
	case len(missing) == 0:
		s.SendingTime = nil
		return nil
	case age < late:
		p.searchAgain(age, late)
		return conditions.Wait(v1alpha1.ReasonProgressing, "the answer to submitting the request was lost; an order for %s is looked for until %s after the call", missing[0], late)
	case p.deleting:
		s.SendingTime = nil
		return nil
	}
	p.within(max(lastRetry, p.account.RetryAfterRefusal()))
	return conditions.Stall(v1alpha1.ReasonCreateResultUnknown,
		"the answer to submitting the request was lost, and of its tables %s and %d more are in no order with the mark %s: ask for them with another object if they are needed", missing[0], len(missing)-1, mark(s.Token))
}

// searchAgain says when to search next: the later, the longer ago the call was.
func (p *requestPass) searchAgain(age, late time.Duration) {
	p.within(min(max(firstSearch, age), max(late-age, 0)))
}

// search returns the ids of the orders of the time that bear a token of this request, by token. How the service compares the names of tables is
// not documented, so a search that must not miss any is wide.
func (p *requestPass) search(ctx context.Context, wide bool) (map[string][]string, error) {
	status, spec := p.obj.Status, p.obj.Spec
	service, err := p.account.DataWorks(status.APIVersion)
	if err != nil {
		return nil, err
	}
	query := dataworks.Query{
		Project: spec.ProjectName, WorkspaceID: spec.WorkspaceID,
		Since: status.SubmissionTime.Add(-searchMargin), Until: p.Clock.Now().Add(searchMargin),
	}
	if len(spec.Objects) == 1 && !wide {
		// The orders of several tables need not all have any one of them.
		query.Table = spec.Objects[0].Name
	}
	orders, err := service.Search(ctx, query)
	if err := p.noticed(err); err != nil {
		if !cloud.Refused(err) || failed(err) {
			p.refused()
		} else {
			p.within(max(lastRetry, p.account.RetryAfterRefusal()))
			return nil, conditions.Stall(v1alpha1.ReasonCreateResultUnknown, "the outcome of submitting the request was lost, and the orders cannot be searched for it: %v. "+
				"Let the operator's account list its orders, or look for one with the mark %s", err, mark(status.Submissions[0].Token))
		}
		return nil, err
	}
	found := map[string][]string{}
	for _, o := range orders {
		for _, s := range status.Submissions {
			if strings.HasSuffix(strings.TrimSpace(o.Reason), mark(s.Token)) {
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
			p.refused()
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
