package fakecloud

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	openAPIPrefix  = "/api/v1/"
	openAPIVersion = "2022-01-04"

	// placeholderCode is in the documented success samples of every Get call ("Alibaba Cloud
	// documentation: GetRoleAcl"): errorCode says nothing, only httpCode does.
	placeholderCode    = "040002"
	placeholderMessage = "异常信息"
)

// route is one documented call of the OpenAPI.
type route struct {
	action, method string
	// path is below /api/v1/; segments in braces are the parameters project, role, package and table.
	path string
	// query lists the parameters that the call takes.
	query []string
	write bool
	body  bool
	// bind reads the request and returns what it does.
	bind func(request) (operation, *problem)
}

// request is what a bind function sees.
type request struct {
	call  *call
	role  string
	pkg   string
	table string
	query url.Values
	body  []byte
}

var routes = []route{
	{action: "CreateRole", method: http.MethodPost, path: "projects/{project}/roles", write: true, body: true, bind: bindCreateRole},
	{action: "UpdateRole", method: http.MethodPut, path: "projects/{project}/roles/{role}", write: true, body: true, bind: bindUpdateRole},
	{action: "DeleteRole", method: http.MethodDelete, path: "projects/{project}/roles/{role}", write: true, bind: bindDeleteRole},
	{action: "ListRoles", method: http.MethodGet, path: "projects/{project}/roles", bind: bindListRoles},
	{action: "GetRoleAcl", method: http.MethodGet, path: "projects/{project}/roles/{role}/roleAcl", bind: bindGetRoleACL},
	{action: "GetRolePolicy", method: http.MethodGet, path: "projects/{project}/roles/{role}/policy", bind: bindGetRolePolicy},
	{action: "ListUsersByRole", method: http.MethodGet, path: "projects/{project}/roles/{role}/users", bind: bindListUsersByRole},
	{action: "UpdateUsersToRole", method: http.MethodPut, path: "projects/{project}/roles/{role}/users", write: true, body: true, bind: bindUpdateUsersToRole},
	{action: "ListProjectUsers", method: http.MethodGet, path: "projects/{project}/users", bind: bindListProjectUsers},
	{action: "ListUsers", method: http.MethodGet, path: "users", query: []string{"pageNumber", "pageSize"}, bind: bindListUsers},
	{action: "CreatePackage", method: http.MethodPost, path: "projects/{project}/packages", query: []string{"isInstall"}, write: true, body: true, bind: bindCreatePackage},
	{action: "UpdatePackage", method: http.MethodPut, path: "projects/{project}/packages/{package}", write: true, body: true, bind: bindUpdatePackage},
	{action: "GetPackage", method: http.MethodGet, path: "projects/{project}/packages/{package}", query: []string{"sourceProject"}, bind: bindGetPackage},
	{action: "ListPackages", method: http.MethodGet, path: "projects/{project}/packages", bind: bindListPackages},
	{action: "GetTableInfo", method: http.MethodGet, path: "projects/{project}/tables/{table}", query: []string{"schemaName", "type"}, bind: bindGetTableInfo},
}

// decodeOpenAPI finds the route and checks everything about the request that needs no state.
func decodeOpenAPI(c *call, r *http.Request, body []byte) *problem {
	rt, params := findRoute(r)
	if rt == nil {
		return unknown("%s %s: no such call", r.Method, r.URL.Path)
	}
	c.action, c.write = rt.action, rt.write
	c.project, c.role, c.pkg = fold(params["project"]), fold(params["role"]), fold(params["package"])
	if p := rt.check(r, body); p != nil {
		return p
	}
	op, p := rt.bind(request{call: c, role: params["role"], pkg: params["package"], table: params["table"], query: r.URL.Query(), body: body})
	c.run = op
	return p
}

func findRoute(r *http.Request) (*route, map[string]string) {
	path := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), openAPIPrefix), "/")
	for i := range routes {
		if routes[i].method != r.Method {
			continue
		}
		if params := matchPath(strings.Split(routes[i].path, "/"), path); params != nil {
			return &routes[i], params
		}
	}
	return nil, nil
}

// matchPath compares segment by segment, so that an escaped slash stays within its segment.
func matchPath(pattern, path []string) map[string]string {
	if len(pattern) != len(path) {
		return nil
	}
	params := map[string]string{}
	for i, want := range pattern {
		got, err := url.PathUnescape(path[i])
		switch {
		case err != nil || got == "":
			return nil
		case strings.HasPrefix(want, "{"):
			params[strings.Trim(want, "{}")] = got
		case want != got:
			return nil
		}
	}
	return params
}

// check holds a request against the route: headers, parameters, body.
func (rt *route) check(r *http.Request, body []byte) *problem {
	if got := r.Header.Get("x-acs-action"); got != rt.action {
		return unknown("%s %s: x-acs-action is %q, want %q", r.Method, r.URL.Path, got, rt.action)
	}
	if got := r.Header.Get("x-acs-version"); got != openAPIVersion {
		return unknown("%s: x-acs-version is %q, want %q", rt.action, got, openAPIVersion)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return unknown("%s: malformed query", rt.action)
	}
	for name, values := range query {
		if !slices.Contains(rt.query, name) || len(values) != 1 {
			return unknown("%s: unknown or repeated parameter %q", rt.action, name)
		}
	}
	if !rt.body && len(body) > 0 {
		return unknown("%s takes no body", rt.action)
	}
	if rt.body && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return unknown("%s: content type is %q, want application/json", rt.action, r.Header.Get("Content-Type"))
	}
	return nil
}

// openAPIProtocol writes the JSON envelopes of the OpenAPI.
type openAPIProtocol struct{}

// envelope is the documented frame of a success.
type envelope struct {
	RequestID string          `json:"requestId"`
	HTTPCode  int             `json:"httpCode,omitempty"`
	ErrorCode string          `json:"errorCode,omitempty"`
	ErrorMsg  string          `json:"errorMsg,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
}

func (openAPIProtocol) success(requestID string, a answer) reply {
	head := envelope{RequestID: requestID}
	if a.details {
		head.HTTPCode, head.ErrorCode, head.ErrorMsg = http.StatusOK, placeholderCode, placeholderMessage
	}
	// The data is appended as it is: going through the encoder would check and copy megabytes.
	start, data := mustJSON(head), a.render()
	return jsonReply(http.StatusOK, slices.Concat(start[:len(start)-1], []byte(`,"data":`), data, []byte("}")))
}

// gatewayError is the documented frame of a failure.
type gatewayError struct {
	RequestID string `json:"RequestId"`
	HostID    string `json:"HostId"`
	Code      string `json:"Code,omitempty"`
	Message   string `json:"Message"`
}

func (openAPIProtocol) failure(requestID string, p *problem) reply {
	rep := jsonReply(p.status, mustJSON(gatewayError{RequestID: requestID, HostID: "fakecloud", Code: p.code, Message: p.message}))
	rep.header = retryHeader(p.retryAfter)
	return rep
}

func retryHeader(after string) map[string]string {
	if after == "" {
		return nil
	}
	return map[string]string{"Retry-After": after}
}

func jsonReply(status int, body []byte) reply {
	return reply{status: status, contentType: "application/json;charset=utf-8", body: body}
}

// mustJSON encodes values of this package's own types, which can't fail.
func mustJSON(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return out
}
