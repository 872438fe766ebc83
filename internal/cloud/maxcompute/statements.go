package maxcompute

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// pollFor bounds how long an asynchronous statement is watched; after that its outcome is unknown and the next look tells.
const pollFor = 2 * time.Minute

// Identifiers are validated before they become part of a statement, so that no name can end one and begin another.
var (
	identifier  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	objectNames = map[acl.Kind]*regexp.Regexp{
		acl.Table:    regexp.MustCompile(`^(\*|\*?[A-Za-z0-9_]+\*?)$`),
		acl.Function: regexp.MustCompile(`^(\*|\*?[A-Za-z0-9_]+\*?)$`),
		acl.Project:  regexp.MustCompile(`^(\*|\*?[A-Za-z0-9_]+\*?)$`),
		acl.Instance: regexp.MustCompile(`^(\*|\*?[A-Za-z0-9_]+\*?)$`),
		acl.Resource: regexp.MustCompile(`^(\*|\*?[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*\*?)$`),
		acl.Package:  regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`),
	}
	instanceID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// Validate tells whether every entry of an ACL can be granted by this client. Its error says which cannot, and why.
func Validate(set acl.Set) error {
	for _, grant := range set.Grants() {
		if err := validate(grant); err != nil {
			return err
		}
		if err := checkActions(grant); err != nil {
			return err
		}
	}
	return nil
}

func validate(grant acl.Grant) error {
	if pattern := objectNames[grant.Kind]; pattern == nil || !pattern.MatchString(grant.Name) {
		return invalid("%q cannot be the name of a %s", grant.Name, grant.Kind)
	}
	if grant.Schema != "" && !identifier.MatchString(grant.Schema) {
		return invalid("%q cannot be the name of a schema", grant.Schema)
	}
	if len(grant.Actions) == 0 {
		return invalid("no action is given on %s %s", grant.Kind, grant.Name)
	}
	for _, action := range grant.Actions {
		if !identifier.MatchString(action) {
			return invalid("%q cannot be an action", action)
		}
	}
	return nil
}

func checkActions(grant acl.Grant) error {
	for _, action := range grant.Actions {
		if !grant.Kind.KnowsAction(action) {
			return invalid("%s is no action on a %s (%s)", action, grant.Kind, grant.Name)
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return &cloud.Error{Code: cloud.InvalidSpec, Op: "check names", Message: fmt.Sprintf(format, args...)}
}

// Grant gives a role actions on one object. Repeating it does no harm. Vendor documentation: MaxCompute GRANT.
func (c *Client) Grant(ctx context.Context, project, role string, grant acl.Grant) error {
	return c.change(ctx, "grant", "GRANT %s ON %s %s TO ROLE %s;", project, role, grant)
}

// Revoke takes actions on one object from a role. Repeating it does no harm. Vendor documentation: MaxCompute REVOKE.
func (c *Client) Revoke(ctx context.Context, project, role string, grant acl.Grant) error {
	return c.change(ctx, "revoke", "REVOKE %s ON %s %s FROM ROLE %s;", project, role, grant)
}

func (c *Client) change(ctx context.Context, verb, format, project, role string, grant acl.Grant) error {
	if err := validate(grant); err != nil {
		return err
	}
	for _, name := range []string{project, role} {
		if !identifier.MatchString(name) {
			return invalid("%q cannot be the name of a project or role", name)
		}
	}
	return c.run(ctx, changing(verb, format, project, "role", role, grant))
}

// changing is the statement that gives or takes actions on an object; format has room for the actions, the object's kind and name, and
// the grantee. Everything in it must have been validated.
func changing(verb, format, project, granteeKind, grantee string, grant acl.Grant) statement {
	actions, name := strings.Join(grant.Actions, ", "), grant.Name
	if !isDefault(grant.Schema) {
		name = grant.Schema + "." + name
	}
	return statement{
		op:      fmt.Sprintf("%s %s on %s %s, %s %s in project %s", verb, actions, grant.Kind, name, granteeKind, grantee, project),
		project: project,
		schema:  grant.Schema,
		query:   fmt.Sprintf(format, actions, strings.ToUpper(string(grant.Kind)), grant.Name, grantee),
	}
}

// isDefault tells whether a schema is the default one, which needs no name.
func isDefault(schema string) bool {
	return schema == "" || strings.EqualFold(schema, acl.DefaultSchema)
}

// statement is a security statement for one project.
type statement struct {
	op, project, schema, query string
	// read reads the final result of a statement that returns something.
	read func(result string, a *openapi.Answer) error
}

// end takes the final result of a statement.
func (s statement) end(result string, a *openapi.Answer) error {
	if s.read != nil {
		return s.read(result, a)
	}
	return judge(s.op, result, a)
}

type authorizationRequest struct {
	XMLName              xml.Name `xml:"Authorization"`
	Query                string   `xml:"Query"`
	ResponseInJSONFormat bool     `xml:"ResponseInJsonFormat"`
	Settings             string   `xml:"Settings,omitempty"`
}

type authorizationAnswer struct {
	XMLName xml.Name `xml:"Authorization"`
	resultElement
}

type authorizationState struct {
	XMLName xml.Name `xml:"AuthorizationQuery"`
	resultElement
	Status string `xml:"Status"`
}

// resultElement is the result in an answer. An answer without one is an empty result only if it
// holds nothing else in its place.
type resultElement struct {
	Results []struct {
		Text   string     `xml:",chardata"`
		Inside []anything `xml:",any"`
	} `xml:"Result"`
	Text   string     `xml:",chardata"`
	Others []anything `xml:",any"`
}

type anything struct{ XMLName xml.Name }

// text is the result; ok is false if nobody can say which it is.
func (r resultElement) text() (text string, ok bool) {
	if len(r.Results) == 0 {
		return "", len(r.Others) == 0 && strings.TrimSpace(r.Text) == ""
	}
	return r.Results[0].Text, len(r.Results) == 1 && len(r.Results[0].Inside) == 0
}

// run sends a statement and, if the service answers asynchronously, watches it to its end.
func (c *Client) run(ctx context.Context, s statement) error {
	body, err := s.body()
	if err != nil {
		return err
	}
	path := "/projects/" + s.project + "/authorization"
	var instance string
	err = c.rest(ctx, s.verb(), s.op, http.MethodPost, path, body, func(a *openapi.Answer) error {
		var answer authorizationAnswer
		err := xml.Unmarshal(a.Body, &answer)
		result, ok := answer.text()
		switch {
		case err != nil, !ok:
			return unreadable(s.op, a)
		// The protocol: HTTP 200 carries the result, any other success an instance to watch.
		case a.Status == http.StatusOK:
			return s.end(result, a)
		}
		instance = strings.TrimSpace(result)
		if !instanceID.MatchString(instance) {
			return &cloud.Error{Code: cloud.UnexpectedResponse, Op: s.op, Message: "the answer names no instance to watch"}
		}
		return nil
	})
	if err != nil || instance == "" {
		return err
	}
	return c.watch(ctx, s, path+"/"+instance)
}

// verb is the first word of a statement, such as GRANT.
func (s statement) verb() string {
	verb, _, _ := strings.Cut(s.query, " ")
	return strings.ToUpper(verb)
}

func (s statement) body() ([]byte, error) {
	request := authorizationRequest{Query: s.query, ResponseInJSONFormat: true}
	if !isDefault(s.schema) {
		settings, err := json.Marshal(map[string]string{
			"odps.namespace.schema": "true", "odps.sql.allow.namespace.schema": "true", "odps.default.schema": s.schema,
		})
		if err != nil {
			return nil, err
		}
		request.Settings = string(settings)
	}
	return xml.Marshal(request)
}

// watch polls an asynchronous statement until it ends, the time for it is over, or ctx is done.
func (c *Client) watch(ctx context.Context, s statement, path string) error {
	ctx, cancel := context.WithTimeout(ctx, pollFor)
	defer cancel()
	ticker := time.NewTicker(c.config.PollInterval)
	defer ticker.Stop()
	for {
		if ended, err := c.poll(ctx, s, path); ended || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return openapi.TransportError(ctx, s.op, ctx.Err())
		case <-ticker.C:
		}
	}
}

// poll looks once at an asynchronous statement and returns how it ended, if it has.
func (c *Client) poll(ctx context.Context, s statement, path string) (ended bool, err error) {
	var outcome error
	err = c.rest(ctx, "PollStatement", s.op, http.MethodGet, path, nil, func(a *openapi.Answer) error {
		ended, outcome = progress(s, a)
		return outcome
	})
	if outcome == nil {
		err = accepted(forgotten(err))
	}
	return ended, err
}

// forgotten reads "not found", said of an asynchronous statement, as what it is: no word about the
// object that the statement is about.
func forgotten(err error) error {
	if e, ok := errors.AsType[*cloud.Error](err); ok && e.Code == cloud.NotFound {
		e.Code = cloud.UnexpectedResponse
	}
	return err
}

// progress reads the state of an asynchronous statement.
func progress(s statement, a *openapi.Answer) (ended bool, err error) {
	var state authorizationState
	err = xml.Unmarshal(a.Body, &state)
	result, ok := state.text()
	switch status := strings.ToUpper(strings.TrimSpace(state.Status)); {
	case err == nil && status == "RUNNING":
		return false, nil
	case err != nil, !ok:
		return true, unreadable(s.op, a)
	case status == "TERMINATED":
		return true, s.end(result, a)
	case status == "FAILED":
		v := verdictOf(result)
		return true, classify(a, failure{
			Op: s.op, Code: firstOf(v.code, "FAILED"), Message: v.message, Status: http.StatusBadRequest, RequestID: a.Header.Get(requestIDHeader),
		})
	}
	return true, unknownState(s.op, state.Status, a)
}

// accepted marks the failure of a poll: it says nothing about the statement, which the service took on.
func accepted(err error) error {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		e.Accepted = true
	}
	return err
}

// rest makes one signed request to the ODPS REST service and has its answer read if that is a success.
func (c *Client) rest(ctx context.Context, action, op, method, path string, body []byte, read func(*openapi.Answer) error) error {
	return c.transport.Do(ctx, action, op, func(ctx context.Context) (*openapi.Answer, error) {
		target := *c.odps
		target.Path += path
		request, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op, err)
		}
		if body != nil {
			request.Header.Set("Content-Type", "application/xml")
		}
		keys, err := openapi.KeysOf(c.config.Credential, op)
		if err != nil {
			return nil, err
		}
		c.sign(request, keys, path, time.Now())
		return c.transport.Send(request)
	}, func(a *openapi.Answer) error {
		if a.Status >= 300 {
			return restError(op, a)
		}
		return read(a)
	})
}

// requestIDHeader names a request in the ODPS service's logs.
const requestIDHeader = "x-odps-request-id"

// restError reads the error document of the ODPS REST service, which comes as XML or as JSON.
func restError(op string, a *openapi.Answer) error {
	var document struct {
		XMLName   xml.Name `json:"-"         xml:"Error"`
		Code      string   `json:"Code"      xml:"Code"`
		Message   string   `json:"Message"   xml:"Message"`
		RequestID string   `json:"RequestId" xml:"RequestId"`
	}
	if xml.Unmarshal(a.Body, &document) != nil && json.Unmarshal(a.Body, &document) != nil {
		return unreadable(op, a)
	}
	code, message := document.Code, document.Message
	if code == "" {
		code, message = splitCode(message)
	}
	return classify(a, failure{Op: op, Code: code, Message: message, RequestID: firstOf(document.RequestID, a.Header.Get(requestIDHeader))})
}
