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

// The bounds of what is recorded in the status: calls, tables in them, which may become orders of their own, and bytes of names of columns
// that were looked up.
const (
	maxSubmissions = 500
	maxSubmitted   = 1000
	maxLookedUp    = 400_000
)

// prepare works out the calls that the request takes. Until one of them was made, this is done anew each time: columns may have been
// added, and a duration begins when the request is submitted.
func (p *requestPass) prepare(ctx context.Context) error {
	status := &p.obj.Status
	status.APIVersion = p.account.DataWorksVersion
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
	calls := p.submissions(whole, parts)
	if err := tooMuch(calls); err != nil {
		return err
	}
	status.Submissions, status.RevokeAtDeadline = calls, false
	return nil
}

// tooMuch stalls a request of which not all could be recorded.
func tooMuch(calls []v1alpha1.Submission) error {
	size, tables := 0, 0
	for _, s := range calls {
		tables += len(s.Objects)
		for _, o := range s.Objects {
			for _, name := range o.Columns {
				size += len(name)
			}
		}
	}
	switch {
	case len(calls) > maxSubmissions || tables > maxSubmitted:
		return conditions.Stall(v1alpha1.ReasonInvalidSpec, "the request takes %d calls with %d tables, and at most %d with %d can be followed: split it into several objects",
			len(calls), tables, maxSubmissions, maxSubmitted)
	case size > maxLookedUp:
		return conditions.Stall(v1alpha1.ReasonInvalidSpec, "the names of the tables' columns have %d bytes, and at most %d can be recorded: split the request into several objects", size, maxLookedUp)
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
		if !slices.Equal(part.UserIDs, sorted(p.obj.Spec.ApplyUserIDs)) {
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

// request spells a call, in one way only: the order of what the spec has as sets may change.
func (p *requestPass) request(s v1alpha1.Submission) dataworks.Request {
	spec, status := p.obj.Spec, p.obj.Status
	request := dataworks.Request{
		UserIDs: spec.ApplyUserIDs, Reason: strings.TrimSpace(spec.Reason) + " " + mark(s.Token), Project: spec.ProjectName, WorkspaceID: spec.WorkspaceID,
		ApplyType: string(spec.ApplyType), CatalogName: spec.CatalogName, Token: s.Token,
	}
	if len(s.UserIDs) > 0 {
		request.UserIDs = s.UserIDs
	}
	request.UserIDs = sorted(request.UserIDs)
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
		slices.Sort(column.Actions)
		object.Columns = append(object.Columns, column)
	}
	slices.Sort(object.Actions)
	slices.SortFunc(object.Columns, func(a, b dataworks.Column) int { return strings.Compare(a.Name, b.Name) })
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
