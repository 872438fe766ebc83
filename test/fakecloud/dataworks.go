package fakecloud

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The two generations of DataWorks that the fake speaks.
const (
	dataWorks2020 = "2020-05-18"
	dataWorks2024 = "2024-05-18"
)

// defaultMaxQuery is how long the query of a request may be; it is made up, no limit is documented.
const defaultMaxQuery = 16 << 10

// Codes that are made up: no public source tells what DataWorks answers in these cases. Those of a missing
// parameter and of a token that comes with another request are what other products of Alibaba Cloud say.
const (
	codeMissingPrefix = "Missing"
	codeTokenReused   = "IdempotentParameterMismatch"
	codeNoOrder       = "InvalidParameter.NotFound"
	codeOrderDecided  = "OperationDenied.Status"
	codeNotApplicant  = "OperationDenied.NotApplicant"
	codeQueryTooLong  = "RequestURITooLong"
	codePastDeadline  = "InternalError"
)

func missing(name string) *problem {
	return refuse(http.StatusBadRequest, codeMissingPrefix+name, "%s is mandatory for this action.", name)
}

func noOrder(id string) *problem {
	return refuse(http.StatusNotFound, codeNoOrder, "The order %s does not exist.", id)
}

// pastDeadline is how the newer generation refuses an expiration time that is over or missing; a third
// party has seen status and text, the code is made up.
func pastDeadline() *problem {
	return refuse(http.StatusInternalServerError, codePastDeadline, "deadline cannot be in the past")
}

// noDataWorksPermission has the code that other products have; what DataWorks says is not documented. The
// codes of MaxCompute are none of its.
func noDataWorksPermission(code string) *problem {
	if code == codeAccessDenied || subCodes[code] != "" {
		code = codeForbiddenRAM
	}
	return refuse(http.StatusForbidden, code, "User not authorized to operate on the specified resource.")
}

// dataWorksAction is one call of DataWorks.
type dataWorksAction struct {
	version string
	// params are plain parameters, lists those that are flattened: List.1.Member.
	params, lists []string
	required      []string
	write         bool
	// form tells that the generated clients of the vendor put the parameters into a form in the body. In
	// the query, where third parties have them, they are taken as well unless the style says otherwise.
	form bool
	// forbidden marks what only a person may do.
	forbidden bool
	bind      func(*dataWorksRequest) (operation, *problem)
}

// dataWorksActions are all POST in the generated clients ("alibabacloud-go/dataworks-public").
var dataWorksActions = map[string]*dataWorksAction{
	"CreatePermissionApplyOrder": {
		version: dataWorks2020, write: true, bind: bindCreatePermissionApplyOrder,
		params: []string{
			"ApplyUserIds", "ApplyReason", "Deadline", "MaxComputeProjectName", "WorkspaceId", "ApplyType",
			"CatalogName", "OrderType", "EngineType",
		},
		lists:    []string{"ApplyObject"},
		required: []string{"ApplyUserIds", "ApplyReason"},
	},
	"GetPermissionApplyOrderDetail": {
		version: dataWorks2020, params: []string{"FlowId"}, required: []string{"FlowId"},
		bind: bindGetPermissionApplyOrderDetail,
	},
	"ListPermissionApplyOrders": {
		version: dataWorks2020, required: []string{"QueryType"}, bind: bindListPermissionApplyOrders,
		params: []string{
			"QueryType", "FlowStatus", "WorkspaceId", "MaxComputeProjectName", "TableName", "StartTime", "EndTime",
			"ApplyType", "CatalogName", "PageNum", "PageSize", "OrderType", "EngineType",
		},
	},
	"RevokeTablePermission": {
		version: dataWorks2020, write: true, bind: bindRevokeTablePermission,
		params:   []string{"WorkspaceId", "MaxComputeProjectName", "TableName", "Actions", "RevokeUserId", "RevokeUserName"},
		required: []string{"WorkspaceId", "MaxComputeProjectName", "TableName", "Actions"},
	},
	"ApprovePermissionApplyOrder": {version: dataWorks2020, write: true, forbidden: true},
	"ApplyResourceAccessPermission": {
		version: dataWorks2024, write: true, form: true, bind: bindApplyResourceAccessPermission,
		params:   []string{"Reason", "ApplyContents", "ClientToken"},
		required: []string{"Reason", "ApplyContents"},
	},
	"GetApplicationContents": {
		version: dataWorks2024, params: []string{"ProcessInstanceId"}, required: []string{"ProcessInstanceId"},
		bind: bindGetApplicationContents,
	},
	"ListMyApplications": {
		version: dataWorks2024, form: true, bind: bindListMyApplications,
		params: []string{
			"DefSchema", "ResourceType", "Resource", "StartTime", "EndTime", "Statuses", "NextToken", "PageSize",
		},
		required: []string{"DefSchema", "ResourceType", "StartTime", "EndTime"},
	},
	"GetProcessInstance": {
		version: dataWorks2024, params: []string{"ProcessInstanceId"}, required: []string{"ProcessInstanceId"},
		bind: bindGetProcessInstance,
	},
	"StopProcessInstance": {
		version: dataWorks2024, write: true, form: true, bind: bindStopProcessInstance,
		params: []string{"ProcessInstanceId", "ClientToken"}, required: []string{"ProcessInstanceId"},
	},
	"ApproveProcessInstance": {version: dataWorks2024, write: true, forbidden: true},
}

// dataWorksRequest is what a bind function sees.
type dataWorksRequest struct {
	call   *call
	params url.Values
}

// isDataWorks tells whether a request is for DataWorks, of either generation.
func isDataWorks(r *http.Request) bool {
	version := r.Header.Get("x-acs-version")
	return r.URL.Path == "/" && (version == dataWorks2020 || version == dataWorks2024)
}

func decodeDataWorks(s *Server, c *call, r *http.Request, body []byte) *problem {
	name := r.Header.Get("x-acs-action")
	action := dataWorksActions[name]
	switch {
	case action == nil || action.version != r.Header.Get("x-acs-version"):
		return unknown("dataworks %s: no such action: %q", r.Header.Get("x-acs-version"), name)
	case r.Method != http.MethodPost:
		return unknown("%s: method is %s, want POST", name, r.Method)
	}
	c.action, c.write = name, action.write
	if action.forbidden {
		return unknown("%s: only a person approves", name)
	}
	style := s.orderStyle()
	params, p := action.read(name, r, body, style)
	if p != nil {
		return p
	}
	if limit := cmp.Or(style.MaxQuery, defaultMaxQuery); len(r.URL.RawQuery) > limit {
		return refuse(http.StatusRequestURITooLong, codeQueryTooLong, "The query is longer than %d bytes.", limit)
	}
	if p := action.check(name, params); p != nil {
		return p
	}
	req := &dataWorksRequest{call: c, params: params}
	req.name(s)
	c.run, p = action.bind(req)
	return p
}

// name fills in what the call is about, for the journal and the rules.
func (req *dataWorksRequest) name(s *Server) {
	c := req.call
	c.project = fold(req.params.Get("MaxComputeProjectName"))
	c.order = cmp.Or(req.params.Get("FlowId"), req.params.Get("ProcessInstanceId"))
	if c.order != "" {
		c.project = s.projectOfOrder(c.order)
	}
}

// read returns the parameters, from where the action has them.
func (a *dataWorksAction) read(action string, r *http.Request, body []byte, style OrderStyle) (url.Values, *problem) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, unknown("%s: malformed query", action)
	}
	if len(body) == 0 {
		if a.form && style.FormOnly && len(query) > 0 {
			return url.Values{}, nil // what is in the query is not looked at
		}
		return query, nil
	}
	ct := r.Header.Get("Content-Type")
	if !a.form || len(query) > 0 || !strings.HasPrefix(ct, "application/x-www-form-urlencoded") {
		return nil, unknown("%s: a body of type %q", action, ct)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, unknown("%s: malformed form", action)
	}
	return form, nil
}

// check refuses parameters that there are not, and the lack of those that there must be.
func (a *dataWorksAction) check(action string, params url.Values) *problem {
	for _, name := range sortedKeys(params) {
		list, _, dotted := strings.Cut(name, ".")
		switch {
		case !parameterName.MatchString(name):
			return unknown("%s: a parameter with a malformed name", action)
		case dotted && !slices.Contains(a.lists, list), !dotted && !slices.Contains(a.params, name), len(params[name]) != 1:
			return unknown("%s: unknown or repeated parameter %q", action, name)
		}
	}
	for _, name := range a.required {
		if params.Get(name) == "" {
			return missing(name)
		}
	}
	return nil
}

// repeated returns the elements of a flattened list, which count from 1. A member that is a list itself is
// named with a dot at its end.
func repeated(params url.Values, list string, members ...string) ([]url.Values, *problem) {
	elements := map[int]url.Values{}
	for _, name := range sortedKeys(params) {
		rest, ok := strings.CutPrefix(name, list+".")
		if !ok {
			continue
		}
		index, member, _ := strings.Cut(rest, ".")
		n, err := strconv.Atoi(index)
		top, _, nested := strings.Cut(member, ".")
		if nested {
			top += "."
		}
		if err != nil || n < 1 || strconv.Itoa(n) != index || !slices.Contains(members, top) {
			return nil, unknown("unknown parameter %q", name)
		}
		if elements[n] == nil {
			elements[n] = url.Values{}
		}
		elements[n][member] = params[name]
	}
	out := make([]url.Values, 0, len(elements))
	for n := 1; n <= len(elements); n++ {
		if elements[n] == nil {
			return nil, unknown("%s is not numbered from 1 on", list)
		}
		out = append(out, elements[n])
	}
	return out, nil
}

// number reads a parameter that is a number; unset is what it is if it is absent.
func (req *dataWorksRequest) number(name string, least, most, unset int64) (int64, *problem) {
	if !req.params.Has(name) {
		return unset, nil
	}
	n, err := strconv.ParseInt(req.params.Get(name), 10, 64)
	if err != nil || n < least || n > most {
		return 0, wronglyFormed(name)
	}
	return n, nil
}

// moment reads a parameter that is a number of milliseconds since 1970; the zero time if it is absent.
func (req *dataWorksRequest) moment(name string) (time.Time, *problem) {
	n, p := req.number(name, 0, 1<<53, -1)
	if p != nil || n < 0 {
		return time.Time{}, p
	}
	return time.UnixMilli(n).UTC(), nil
}

// dataWorksProtocol writes the JSON of DataWorks: failures as the OpenAPI has them, successes without a
// frame.
type dataWorksProtocol struct{}

func (dataWorksProtocol) success(requestID string, a answer) reply {
	members := strings.TrimPrefix(string(a.render()), "{")
	head := `{"RequestId":"` + requestID + `"`
	if members != "}" {
		head += ","
	}
	return jsonReply(http.StatusOK, []byte(head+members))
}

func (dataWorksProtocol) failure(requestID string, p *problem) reply {
	return openAPIProtocol{}.failure(requestID, p)
}

// rendered is an answer with the given members.
func rendered(v any) answer { return answer{render: func() []byte { return mustJSON(v) }} }
