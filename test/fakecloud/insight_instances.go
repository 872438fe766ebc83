package fakecloud

import (
	"net/http"
	"strconv"
)

const actionListInstances = "ListInstances"

// The documented ranges of the list's parameters.
const (
	maxInstanceOffset = 1000
	maxInstanceLimit  = 1000
)

// instancesRequest is the query of "DataArts Insight API reference: Listing a User's Enabled Product Instances". The fake knows neither
// the order of the list nor the words for it.
type instancesRequest struct{ offset, limit int }

// decodeInstances wants both numbers: an older edition of the page has them among the mandatory ones.
func decodeInstances(c *call, r *http.Request, body []byte) *problem {
	if p := checkInsightHeaders(c, r); p != nil {
		return p
	}
	if len(body) > 0 || r.Header.Get("Content-Type") != "" && !isJSON(r) {
		return unknown("%s: there is a body, or a content type that is not application/json", c.action)
	}
	query := r.URL.Query()
	for name, values := range query {
		if name != "offset" && name != "limit" || len(values) != 1 {
			return unknown("%s: parameter %s is unknown or comes twice", c.action, name)
		}
	}
	var req instancesRequest
	var offsetError, limitError error
	req.offset, offsetError = strconv.Atoi(query.Get("offset"))
	req.limit, limitError = strconv.Atoi(query.Get("limit"))
	if offsetError != nil || limitError != nil || req.offset < 0 || req.offset > maxInstanceOffset || req.limit < 1 || req.limit > maxInstanceLimit {
		return unknown("%s: offset or limit is missing or out of its range", c.action)
	}
	c.run = req.run
	return nil
}

type instanceList struct {
	Count    int               `json:"count"`
	PageData []insightInstance `json:"page_data"`
}

// insightInstance has those of the documented members that have a sample.
type insightInstance struct {
	ProjectID    string `json:"project_id"`
	RegionID     string `json:"region_id"`
	OrderID      string `json:"order_id"`
	InstanceID   string `json:"instance_id"`
	InstanceName string `json:"instance_name"`
}

// run lists the instance of the project, which is there if the project has workspaces; that is made up. The offset is one of pages.
func (req instancesRequest) run(t *txn) (answer, *problem) {
	t.ran = true
	cloud, c := &t.s.insight, t.c
	if !cloud.mayEnter(c) {
		return answer{}, noInsightPermission()
	}
	if named := c.workspace != ""; named || cloud.style.InstancesNeedWorkspace {
		if cloud.workspaces[insightWorkspaceKey{c.project, c.workspace}] == nil {
			return answer{}, refuse(http.StatusBadRequest, codeInsightNoWorkspace, "The workspace does not exist.")
		}
	}
	list := instanceList{PageData: []insightInstance{}}
	if cloud.hasWorkspaces(c.project) {
		list.Count = 1
	}
	if list.Count > 0 && req.offset == 0 {
		id := madeUpID("instance " + c.project)
		list.PageData = append(list.PageData, insightInstance{
			ProjectID: c.project, RegionID: cloud.projects[c.project].Name, OrderID: id, InstanceID: id, InstanceName: "Insight-" + id[:8],
		})
	}
	body := mustJSON(list)
	return answer{render: func() []byte { return body }}, nil
}

func (c *insightCloud) hasWorkspaces(project string) bool {
	for key := range c.workspaces {
		if key.project == project {
			return true
		}
	}
	return false
}
