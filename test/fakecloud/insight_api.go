package fakecloud

import (
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"
)

const (
	insightPrefix = "/v1/"
	actionExport  = "ExportResourcePackage"
)

// Codes and texts of DataArts Insight and of the gateway before it ("DataArts Insight API reference: error codes",
// "API request signing guide: error codes"). The table of the former has no status for the first one and no English texts.
const (
	codeInsightIAM           = "DataArtsInsight.20010003"
	codeInsightNoResource    = "DataArtsInsight.24010003"
	codeInsightCollaboration = "DataArtsInsight.24010043"
	codeInsightAbnormal      = "DataArtsInsight.24150004"
	codeInsightNoWorkspace   = "DataArtsInsight.24150005"
	codeGatewayIncorrect     = "APIGW.0301"
	codeGatewayUpdate        = "APIGW.0307"
	codeGatewayThrottled     = "APIGW.0308"
	// codeInsightInternal is made up.
	codeInsightInternal = "DataArtsInsight.20010001"
)

const gatewayThrottled = "The throttling threshold has been reached: policy user over ratelimit,limit:1000,time:1 minute"

// noInsightPermission has a made-up status: the documentation has none.
func noInsightPermission() *problem {
	return refuse(http.StatusForbidden, codeInsightIAM, "IAM permission error.")
}

// huawei tells whether the call is for the other vendor's cloud.
func (c *call) huawei() bool { return c.service == "insight" || c.service == "iam" }

// exportRequest is the body of an export.
type exportRequest struct {
	name      string
	resources []insightResourceKey
	tags      bool
}

func decodeInsight(c *call, r *http.Request, body []byte) *problem {
	path := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), insightPrefix), "/")
	c.workspace = r.Header.Get("X-Workspace-Id")
	if params := matchPath([]string{"{project}", "resource-package", "export"}, path); params != nil && r.Method == http.MethodPost {
		c.action, c.project = actionExport, params["project"]
		return decodeExport(c, r, body)
	}
	if params := matchPath([]string{"{project}", "instances"}, path); params != nil && r.Method == http.MethodGet {
		c.action, c.project = actionListInstances, params["project"]
		return decodeInstances(c, r, body)
	}
	return unknown("insight: no such call: %s %s", r.Method, r.URL.Path)
}

func decodeExport(c *call, r *http.Request, body []byte) *problem {
	if p := checkInsightHeaders(c, r); p != nil {
		return p
	}
	switch {
	case r.URL.RawQuery != "":
		return unknown("%s takes no parameters in the query", c.action)
	case c.workspace == "":
		return unknown("%s: header X-Workspace-Id is missing", c.action)
	case !isJSON(r):
		return unknown("%s: content type is %q, want application/json", c.action, r.Header.Get("Content-Type"))
	}
	req, p := parseExport(body)
	if p != nil {
		return unknown("%s: %s", c.action, p.message)
	}
	c.pkg = req.name
	for _, key := range req.resources {
		c.exported = append(c.exported, key.String())
	}
	c.run = req.run
	return nil
}

// checkInsightHeaders refuses what no correct client sends. Which of two credentials the service would take is not known.
func checkInsightHeaders(c *call, r *http.Request) *problem {
	for _, name := range []string{"X-Workspace-Id", "X-Auth-Token", "Authorization", "X-Project-Id", "X-Sdk-Date", "X-Security-Token"} {
		if len(r.Header.Values(name)) > 1 {
			return unknown("%s: header %s comes twice", c.action, name)
		}
	}
	project := r.Header.Get("X-Project-Id")
	switch {
	case r.Header.Get("X-Auth-Token") != "" && r.Header.Get("Authorization") != "":
		return unknown("%s: a token and a signature in one request", c.action)
	case project != "" && project != c.project:
		return unknown("%s: X-Project-Id is another project than the one in the path", c.action)
	}
	return nil
}

func isJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

// parseExport reads the documented members. That an empty list and a resource that comes twice are wrong is made up.
func parseExport(body []byte) (*exportRequest, *problem) {
	f, p := parseObject(body, "name", "resources", "export_param")
	if p != nil {
		return nil, p
	}
	req := &exportRequest{}
	if req.name, p = f.text("name"); p != nil {
		return nil, p
	}
	list, p := f.list("resources")
	switch {
	case p != nil:
		return nil, p
	case req.name == "" || len(list) == 0:
		return nil, badBody("name or resources are missing or empty")
	}
	for _, raw := range list {
		key, p := parseResource(raw)
		switch {
		case p != nil:
			return nil, p
		case slices.Contains(req.resources, key):
			return nil, badBody("resource %s comes twice", key)
		}
		req.resources = append(req.resources, key)
	}
	req.tags, p = parseExportParam(f)
	return req, p
}

func parseResource(raw json.RawMessage) (insightResourceKey, *problem) {
	var key insightResourceKey
	f, p := parseObject(raw, "resource_type", "resource_id")
	if p != nil {
		return key, p
	}
	if key.typ, p = f.text("resource_type"); p != nil {
		return key, p
	}
	if key.id, p = f.text("resource_id"); p != nil {
		return key, p
	}
	if !slices.Contains(insightTypes, key.typ) || key.id == "" {
		return key, badBody("resource_type '%s' is not a type of resources, or resource_id is missing", key.typ)
	}
	return key, nil
}

func parseExportParam(f fields) (bool, *problem) {
	const name = "export_dataset_tag_permission"
	if f["export_param"] == nil {
		return false, nil
	}
	inner, p := parseObject(f["export_param"], name)
	if p != nil || inner[name] == nil {
		return false, p
	}
	var tags *bool
	if json.Unmarshal(inner[name], &tags) != nil || tags == nil {
		return false, badBody("field '%s' is not a boolean", name)
	}
	return *tags, nil
}

// run exports. The order in which the service looks for faults is made up.
func (req *exportRequest) run(t *txn) (answer, *problem) {
	t.ran = true
	cloud, c := &t.s.insight, t.c
	if !cloud.mayExport(c) {
		return answer{}, noInsightPermission()
	}
	w := cloud.workspaces[insightWorkspaceKey{c.project, c.workspace}]
	switch {
	case w == nil:
		return answer{}, refuse(http.StatusBadRequest, codeInsightNoWorkspace, "The workspace does not exist.")
	case w.Abnormal:
		return answer{}, refuse(http.StatusBadRequest, codeInsightAbnormal, "The operation failed. Check whether the workspace status is normal.")
	}
	for _, key := range req.resources {
		r := w.resources[key]
		switch {
		case r == nil:
			return answer{}, refuse(http.StatusNotFound, codeInsightNoResource, "The resource does not exist.")
		case slices.Contains(r.Denied, "*") || slices.Contains(r.Denied, c.accessKeyID) || slices.Contains(r.Denied, c.caller):
			return answer{}, refuse(http.StatusBadRequest, codeInsightCollaboration, "The current resource lacks collaborative permission.")
		}
	}
	body := cloud.pack(w, req.resources, req.tags)
	return answer{stream: &body, header: cloud.style.headers(req.name), chunked: cloud.style.Chunked}, nil
}

// mayExport asks IAM.
func (c *insightCloud) mayExport(call *call) bool {
	return c.mayEnter(call) && !c.noExports[call.accessKeyID] && !c.noExports[call.caller]
}

// mayEnter tells whether the project is the caller's. That a token of another project, or of a whole domain, hears the same is made up.
func (c *insightCloud) mayEnter(call *call) bool {
	if call.caller != "" && !c.users[call.caller].mayUse(call.project) {
		return false
	}
	return call.accessKeyID != "" || call.tokenProject == call.project
}
