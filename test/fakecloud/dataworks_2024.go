package fakecloud

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

const (
	// defMaxCompute is the only kind of resource that the fake has.
	defMaxCompute = "MaxCompute"
	// maxApplications is the documented page size of ListMyApplications; what is larger is cut down to it, which
	// is documented for the lists of approvers.
	maxApplications = 200
	tenantID        = "69973837489"
)

// defSchemas are the documented kinds of resources.
var defSchemas = []string{
	defMaxCompute, "LINDORM", "EMR_ON_ECS_HIVE", "DLF_V1", "HOLOGRES", "SEVERLESS_STARROCKS", "DATAWORKS_ENTITY", "DLF_NEXT",
}

// principalTypes are the documented kinds of grantees.
var principalTypes = []string{"RamUser", "RamRole", "DlfRole"}

// metaMembers are what the samples have in the MetaData of a table; those that are required lead from the
// workspace to the table. That a project with schemas needs one is made up. A column makes it a request for
// that column.
var metaMembers = []string{"workspace", "project", "schema", "table", "column", "threeTierModel", "tenant"}

// bindApplyResourceAccessPermission: see "Alibaba Cloud documentation: ApplyResourceAccessPermission". What
// comes twice with one ClientToken is made once.
func bindApplyResourceAccessPermission(req *dataWorksRequest) (operation, *problem) {
	entries, p := readContents(req.params.Get("ApplyContents"))
	if p != nil {
		return nil, p
	}
	req.call.project = entries[0].project
	o := order{
		generation: dataWorks2024, reason: req.params.Get("Reason"), project: entries[0].project, applyType: defMaxCompute,
		deadline: entries[0].until, token: req.params.Get("ClientToken"),
	}
	request := o.reason + "\n" + req.params.Get("ApplyContents")
	return func(t *txn) (answer, *problem) {
		t.ran = true
		b := &t.s.orders
		key := b.account(t.c.identity()) + "/" + o.token
		if before, used := b.tokens[key]; used && o.token != "" {
			if before.request != request {
				return answer{}, refuse(http.StatusBadRequest, codeTokenReused, "The ClientToken was used with other parameters.")
			}
			return rendered(map[string][]string{"Data": before.ids}), nil
		}
		if refusal := t.checkContents(entries); refusal != nil {
			return answer{}, refusal
		}
		ids := t.createOrders(o, entries)
		b.tokens[key] = orderToken{request: request, ids: ids}
		return rendered(map[string][]string{"Data": ids}), nil
	}, nil
}

// checkContents holds contents against the clock and their projects.
func (t *txn) checkContents(entries []orderEntry) *problem {
	for _, e := range entries {
		if !t.s.now().Before(e.until) {
			return pastDeadline()
		}
		if refusal := t.checkEntry(e); refusal != nil {
			return refusal
		}
		if t.s.projects[e.project].threeTier && e.meta["schema"] == nil {
			return badParameter("MetaData", "The project %s has schemas, but none is named.", e.project)
		}
	}
	return nil
}

// readContents reads the list of contents. A client that sends members that there are not is wrong.
func readContents(text string) ([]orderEntry, *problem) {
	var raw []json.RawMessage
	if json.Unmarshal([]byte(text), &raw) != nil {
		return nil, unknown("ApplyContents is not a list in JSON")
	}
	if len(raw) == 0 || len(raw) > maxContents {
		return nil, badParameter("ApplyContents", "There must be 1 to %d contents.", maxContents)
	}
	out := make([]orderEntry, len(raw))
	for i, r := range raw {
		var p *problem
		if out[i], p = readContent(r); p != nil {
			p.message = fmt.Sprintf("ApplyContents[%d]: %s", i, p.message)
			return nil, p
		}
	}
	return out, nil
}

// violating makes what a body should not have a violation.
func violating(p *problem) *problem {
	if p != nil {
		p.violation = true
	}
	return p
}

func readContent(raw []byte) (orderEntry, *problem) {
	var e orderEntry
	content, p := parseObject(raw, "AccessTypes", "ExpirationTime", "AuthMethod", "Grantee", "Resource")
	if p != nil {
		return e, violating(p)
	}
	if e.asked, p = content.texts("AccessTypes"); p != nil {
		return e, violating(p)
	}
	if _, has := content["AuthMethod"]; has {
		return e, unknown("AuthMethod is for other resources")
	}
	if p := e.readResource(content["Resource"]); p != nil {
		return e, p
	}
	if p := e.readGrantee(content["Grantee"]); p != nil {
		return e, p
	}
	if len(e.asked) == 0 {
		return e, missing("AccessTypes")
	}
	known := orderActions
	if e.typ == "column" {
		known = columnActions
	}
	if e.actions, p = knownActionsOf(e.asked, "AccessTypes", known); p != nil {
		return e, p
	}
	var millis int64
	if raw, ok := content["ExpirationTime"]; ok && json.Unmarshal(raw, &millis) != nil {
		return e, unknown("ExpirationTime is not a number")
	}
	e.until = time.UnixMilli(millis).UTC()
	return e, nil
}

func (e *orderEntry) readGrantee(raw []byte) *problem {
	if raw == nil {
		return missing("Grantee")
	}
	grantee, p := parseObject(raw, "PrincipalType", "PrincipalId")
	if p != nil {
		return violating(p)
	}
	if e.principalType, p = grantee.text("PrincipalType"); p != nil {
		return violating(p)
	}
	if e.principalID, p = grantee.text("PrincipalId"); p != nil {
		return violating(p)
	}
	id, isRole := strings.CutPrefix(e.principalID, "ROLE_")
	if !slices.Contains(principalTypes, e.principalType) || isRole != (e.principalType == "RamRole") || !accountID.MatchString(id) {
		return badParameter("Grantee", "The grantee %s %s is not valid.", e.principalType, e.principalID)
	}
	e.users = []string{id}
	return nil
}

func (e *orderEntry) readResource(raw []byte) *problem {
	if raw == nil {
		return missing("Resource")
	}
	resource, p := parseObject(raw, "DefSchema", "DefVersion", "MetaData")
	if p != nil {
		return violating(p)
	}
	def, p := resource.text("DefSchema")
	if p != nil {
		return violating(p)
	}
	if def != defMaxCompute {
		return unknown("DefSchema is %q, want %s", def, defMaxCompute)
	}
	if e.defVersion, p = resource.text("DefVersion"); p != nil {
		return violating(p)
	}
	if e.defVersion != "v1.0.0" {
		return badParameter("DefVersion", "The version %q of the definition does not exist.", e.defVersion)
	}
	return e.readMeta(resource["MetaData"])
}

// readMeta reads the path to the table.
func (e *orderEntry) readMeta(raw []byte) *problem {
	if raw == nil {
		return missing("MetaData")
	}
	meta, p := parseObject(raw, metaMembers...)
	if p != nil {
		return violating(p)
	}
	if json.Unmarshal(raw, &e.meta) != nil {
		return unknown("MetaData is not an object")
	}
	texts := map[string]string{}
	for name := range meta {
		if name == "threeTierModel" {
			continue
		}
		if texts[name], p = meta.text(name); p != nil {
			return violating(p)
		}
	}
	for _, name := range []string{"workspace", "project", "table"} {
		if texts[name] == "" {
			return badParameter("MetaData", "The path of the resource has no %s.", name)
		}
	}
	e.project, e.schema, e.name = fold(texts["project"]), cmp.Or(fold(texts["schema"]), defaultSchema), fold(texts["table"])
	e.typ, e.leaf = "table", texts["table"]
	if column := texts["column"]; column != "" {
		e.typ, e.leaf, e.columns = "column", column, []OrderColumn{{Name: column}}
	}
	return nil
}

// The bodies below have the members of the reference. The MetaData of a resource is a text in
// GetApplicationContents and an object in ListMyApplications.
type application struct {
	ApplicationTime int64                `json:"ApplicationTime"`
	Contents        []applicationContent `json:"Contents"`
	DefSchema       string               `json:"DefSchema"`
	ID              string               `json:"ProcessInstanceId"`
	Reason          string               `json:"Reason"`
	Status          string               `json:"Status"`
}

type applicationContent struct {
	AccessTypes      []string            `json:"AccessTypes"`
	AuthMethod       string              `json:"AuthMethod"`
	CreateTime       int64               `json:"CreateTime"`
	DefSchema        string              `json:"DefSchema"`
	ExpirationTime   int64               `json:"ExpirationTime"`
	FinalAccessTypes []string            `json:"FinalAccessTypes,omitempty"`
	Grantee          applicationGrantee  `json:"Grantee"`
	ID               string              `json:"Id"`
	ProcessID        string              `json:"ProcessInstanceId"`
	Resource         applicationResource `json:"Resource"`
	ResourceName     string              `json:"ResourceName"`
	Status           string              `json:"Status"`
	TenantID         string              `json:"TenantId"`
	UpdateTime       int64               `json:"UpdateTime"`
}

type applicationGrantee struct {
	ID   string `json:"PrincipalId"`
	Type string `json:"PrincipalType"`
}

type applicationResource struct {
	DefSchema  string `json:"DefSchema"`
	DefVersion string `json:"DefVersion"`
	MetaData   any    `json:"MetaData"`
}

// application is an order as the newer generation shows it. Narrowing shows in FinalAccessTypes, which are in
// the case in which they were asked for; another end shows in ExpirationTime, which is made up.
func (o *order) application(style OrderStyle, metaText bool) application {
	status := style.status(o.state)
	out := application{
		ApplicationTime: o.created.UnixMilli(), DefSchema: defMaxCompute, ID: o.id, Reason: o.reason, Status: status,
		Contents: []applicationContent{},
	}
	for _, e := range o.entries {
		var meta any = e.meta
		if metaText {
			meta = string(mustJSON(e.meta))
		}
		out.Contents = append(out.Contents, applicationContent{
			AccessTypes: e.asked, AuthMethod: "default", CreateTime: o.created.UnixMilli(), DefSchema: defMaxCompute,
			ExpirationTime: e.until.UnixMilli(), FinalAccessTypes: e.finalAsAsked(), ID: e.id, ProcessID: o.id, Status: status,
			Grantee:      applicationGrantee{ID: e.principalID, Type: e.principalType},
			Resource:     applicationResource{DefSchema: defMaxCompute, DefVersion: e.defVersion, MetaData: meta},
			ResourceName: e.leaf, TenantID: tenantID, UpdateTime: o.updated.UnixMilli(),
		})
	}
	return out
}

func (e orderEntry) finalAsAsked() []string {
	var out []string
	for _, a := range e.asked {
		if slices.Contains(e.final, fold(a)) {
			out = append(out, a)
		}
	}
	return out
}

// bindGetApplicationContents: see "Alibaba Cloud documentation: GetApplicationContents".
func bindGetApplicationContents(req *dataWorksRequest) (operation, *problem) {
	return func(t *txn) (answer, *problem) {
		o, refusal := t.order(req.params.Get("ProcessInstanceId"), dataWorks2024)
		if refusal != nil {
			return answer{}, refusal
		}
		return rendered(map[string]application{"Data": o.application(t.s.orders.style, true)}), nil
	}, nil
}

// applicationFilter is what ListMyApplications looks for.
type applicationFilter struct {
	types, statuses []string
	meta            map[string]string
	from, to        time.Time
}

type applicationPage struct {
	Data      []application `json:"Data"`
	HasMore   bool          `json:"HasMore"`
	NextToken string        `json:"NextToken,omitempty"`
	PageSize  int64         `json:"PageSize"`
}

// bindListMyApplications: see "Alibaba Cloud documentation: ListMyApplications". That the newest come first is
// made up; the token looks like the one in the sample.
func bindListMyApplications(req *dataWorksRequest) (operation, *problem) {
	f, p := req.applicationFilter()
	if p != nil {
		return nil, p
	}
	size, p := req.number("PageSize", 1, 1<<31, 10)
	if p != nil {
		return nil, p
	}
	below, p := readNextToken(req.params.Get("NextToken"))
	if p != nil {
		return nil, p
	}
	size = min(size, maxApplications)
	return func(t *txn) (answer, *problem) {
		t.ran = true
		style, me := t.s.orders.style, t.s.orders.account(t.c.identity())
		found := slices.DeleteFunc(t.listed(), func(o *order) bool {
			return o.applicantID != me || below > 0 && o.number >= below || !f.matches(o, style)
		})
		page := applicationPage{Data: []application{}, PageSize: size}
		for i, o := range found {
			if i == int(size) {
				page.HasMore, page.NextToken = true, nextToken(found[i-1].number)
				break
			}
			page.Data = append(page.Data, o.application(style, false))
		}
		return rendered(map[string]applicationPage{"Data": page}), nil
	}, nil
}

func nextToken(number int) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"id":%d}`, number))
}

func readNextToken(token string) (int, *problem) {
	if token == "" {
		return 0, nil
	}
	var v struct {
		ID int `json:"id"`
	}
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil || json.Unmarshal(raw, &v) != nil || v.ID < 1 {
		return 0, wronglyFormed("NextToken")
	}
	return v.ID, nil
}

// applicationFilter reads the conditions; lists and objects are texts in JSON.
func (req *dataWorksRequest) applicationFilter() (applicationFilter, *problem) {
	var f applicationFilter
	if def := req.params.Get("DefSchema"); !slices.Contains(defSchemas, def) {
		return f, wronglyFormed("DefSchema")
	} else if def != defMaxCompute {
		return f, unknown("ListMyApplications: DefSchema is %q, want %s", def, defMaxCompute)
	}
	for name, to := range map[string]*[]string{"ResourceType": &f.types, "Statuses": &f.statuses} {
		if text := req.params.Get(name); text != "" && json.Unmarshal([]byte(text), to) != nil {
			return f, unknown("ListMyApplications: %s is not a list of texts in JSON", name)
		}
	}
	if len(f.types) == 0 {
		return f, missing("ResourceType")
	}
	for _, status := range f.statuses {
		if !isApplicationStatus(status) {
			return f, wronglyFormed("Statuses")
		}
	}
	var p *problem
	if f.from, p = req.moment("StartTime"); p != nil {
		return f, p
	}
	if f.to, p = req.moment("EndTime"); p != nil {
		return f, p
	}
	f.meta, p = req.metaFilter()
	return f, p
}

// metaFilter reads the condition for the resource, whose values may have wildcards.
func (req *dataWorksRequest) metaFilter() (map[string]string, *problem) {
	text := req.params.Get("Resource")
	if text == "" {
		return nil, nil
	}
	resource, p := parseObject([]byte(text), "DefSchema", "DefVersion", "MetaData")
	if p != nil {
		return nil, violating(p)
	}
	raw, ok := resource["MetaData"]
	if !ok {
		return nil, nil
	}
	meta, p := parseObject(raw, metaMembers...)
	if p != nil {
		return nil, violating(p)
	}
	out := map[string]string{}
	for name := range meta {
		if name == "threeTierModel" {
			continue
		}
		if out[name], p = meta.text(name); p != nil {
			return nil, violating(p)
		}
	}
	req.call.project = fold(out["project"])
	return out, nil
}

func (f applicationFilter) matches(o *order, style OrderStyle) bool {
	return o.generation == dataWorks2024 && !o.created.Before(f.from) && !o.created.After(f.to) &&
		(len(f.statuses) == 0 || slices.ContainsFunc(f.statuses, func(s string) bool { return sameStatus(s, style.status(o.state)) })) &&
		slices.ContainsFunc(o.entries, f.matchesEntry)
}

func (f applicationFilter) matchesEntry(e orderEntry) bool {
	if !slices.Contains(f.types, e.typ) {
		return false
	}
	for name, pattern := range f.meta {
		value, _ := e.meta[name].(string)
		if hit, err := path.Match(fold(pattern), fold(value)); err != nil || !hit {
			return false
		}
	}
	return true
}

// processInstance has some of the members of the reference.
type processInstance struct {
	Applicator       string         `json:"Applicator"`
	ApplicatorName   string         `json:"ApplicatorName"`
	ApprovalTasks    []approvalTask `json:"ApprovalTasks"`
	AuthErrorMessage string         `json:"AuthErrorMessage,omitempty"`
	ID               string         `json:"Id"`
	Reason           string         `json:"Reason"`
	StartTime        string         `json:"StartTime"`
	Status           string         `json:"Status"`
	Title            string         `json:"Title"`
}

type approvalTask struct {
	Comment    string          `json:"ApprovalComment,omitempty"`
	Decision   string          `json:"ApprovalDecision,omitempty"`
	Assignee   string          `json:"Assignee,omitempty"`
	Complete   int64           `json:"CompleteTime,omitempty"`
	Create     int64           `json:"CreateTime"`
	ID         string          `json:"Id"`
	Status     string          `json:"Status"`
	Candidates []taskCandidate `json:"TaskCandidates"`
}

type taskCandidate struct {
	Name string `json:"MemberName"`
	ID   string `json:"MemberUserId"`
}

// bindGetProcessInstance: see "Alibaba Cloud documentation: GetProcessInstance". The time has the zone of the
// sample.
func bindGetProcessInstance(req *dataWorksRequest) (operation, *problem) {
	return func(t *txn) (answer, *problem) {
		o, refusal := t.order(req.params.Get("ProcessInstanceId"), dataWorks2024)
		if refusal != nil {
			return answer{}, refusal
		}
		out := processInstance{
			Applicator: o.applicantID, ApplicatorName: cmp.Or(t.s.tenant.principalOf(o.applicantID), o.applicantID),
			ApprovalTasks: []approvalTask{o.task(t.s)}, AuthErrorMessage: o.failure, ID: o.id, Reason: o.reason,
			StartTime: o.created.In(time.FixedZone("CST", 8*60*60)).Format("2006-01-02 15:04:05 MST"),
			Status:    t.s.orders.style.process(o.state), Title: "MaxCompute表权限申请",
		}
		return rendered(map[string]processInstance{"ProcessInstance": out}), nil
	}, nil
}

// task is the one task of an order: any of the approvers decides.
func (o *order) task(s *Server) approvalTask {
	out := approvalTask{
		ID: "task_" + o.id, Status: "Pending", Create: o.created.UnixMilli(), Comment: o.comment,
		Candidates: []taskCandidate{},
	}
	for _, a := range o.approvers {
		out.Candidates = append(out.Candidates, taskCandidate{Name: cmp.Or(s.tenant.principalOf(a), a), ID: a})
	}
	switch o.state {
	case OrderPending:
		return out
	case OrderWithdrawn, OrderDeleted:
		out.Status = "Aborted"
		return out
	case OrderRejected:
		out.Decision = "Deny"
	case OrderApproved, OrderGranted, OrderFailed:
		out.Decision = "Agree"
	}
	out.Status, out.Assignee, out.Complete = "Completed", o.approvers[0], o.finished.UnixMilli()
	return out
}

// bindStopProcessInstance: see "Alibaba Cloud documentation: StopProcessInstance". Only the applicant may, and
// orders of the older generation can be withdrawn this way as well; both are documented, the codes are not.
func bindStopProcessInstance(req *dataWorksRequest) (operation, *problem) {
	token := req.params.Get("ClientToken")
	return func(t *txn) (answer, *problem) {
		t.ran = true
		b := &t.s.orders
		id, key := req.params.Get("ProcessInstanceId"), b.account(t.c.identity())+"/stop/"+token
		o := b.orders[id]
		before, used := b.tokens[key]
		switch {
		case token != "" && used && before.request == id:
			return rendered(struct{}{}), nil
		case o == nil:
			return answer{}, noOrder(id)
		case o.applicantID != b.account(t.c.identity()):
			return answer{}, refuse(http.StatusForbidden, codeNotApplicant, "Only the applicant can withdraw the order %s.", id)
		}
		if refusal := t.withdraw(o); refusal != nil {
			return answer{}, refusal
		}
		b.tokens[key] = orderToken{request: id}
		return rendered(struct{}{}), nil
	}, nil
}
