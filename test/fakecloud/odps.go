package fakecloud

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const odpsPrefix = "/api/projects/"

// xmlHead starts every answer of the ODPS service.
const xmlHead = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// authorizationQuery is the body of a statement request (aliyun-odps-java-sdk, SecurityManager).
type authorizationQuery struct {
	XMLName              xml.Name   `xml:"Authorization"`
	Query                *string    `xml:"Query"`
	ResponseInJSONFormat string     `xml:"ResponseInJsonFormat"`
	Settings             string     `xml:"Settings"`
	Attributes           []xml.Attr `xml:",any,attr"`
	Unknown              []struct {
		XMLName xml.Name
	} `xml:",any"`
}

// settings are the session settings that change what a statement means.
type settings struct {
	namespace bool
	schema    string
}

// knownSettings are all that a client of this fake may send.
var knownSettings = []string{"odps.namespace.schema", "odps.sql.allow.namespace.schema", "odps.default.schema"}

// decodeODPS recognises the two calls below {project}/authorization.
func decodeODPS(c *call, r *http.Request, body []byte) *problem {
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), odpsPrefix), "/")
	name, err := url.PathUnescape(parts[0])
	if err != nil || len(parts) < 2 || parts[1] != "authorization" {
		return unknown("%s %s: no such resource", r.Method, r.URL.Path)
	}
	c.project = fold(name)
	for param := range r.URL.Query() {
		if param != "curr_project" {
			return unknown("%s %s: unknown parameter %q", r.Method, r.URL.Path, param)
		}
	}
	switch {
	case r.Method == http.MethodPost && len(parts) == 2:
		return decodeStatement(c, r, body)
	case r.Method == http.MethodGet && len(parts) == 3 && parts[2] != "" && len(body) == 0:
		c.action = "PollStatement"
		c.run = pollStatement(parts[2])
		return nil
	}
	return unknown("%s %s: no such call", r.Method, r.URL.Path)
}

func decodeStatement(c *call, r *http.Request, body []byte) *problem {
	c.action = "Statement"
	if ct := r.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/xml") {
		return unknown("statement: content type is %q, want application/xml", ct)
	}
	var q authorizationQuery
	if p := q.read(body); p != nil {
		return p
	}
	c.statement = *q.Query
	set, p := parseSettings(q.Settings)
	if p != nil {
		return p
	}
	st, p := parseStatement(*q.Query)
	if p != nil {
		return p
	}
	c.write, c.role, c.pkg = st.verb.write, fold(st.role()), st.pkg.keyIn(c.project)
	c.run = func(t *txn) (answer, *problem) {
		text, p := st.verb.exec(t, st, set)
		if p != nil && st.verb.failsLater && t.c.action == "Statement" && t.s.projects[t.c.project] != nil {
			return t.failLater(p), nil
		}
		return answer{render: func() []byte { return []byte(text) }}, p
	}
	return nil
}

func (q *authorizationQuery) read(body []byte) *problem {
	dec := xml.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(q); err != nil || q.Query == nil {
		return refuse(http.StatusBadRequest, codeBadXML, "The request body is malformed or the schema is unexpected.")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return refuse(http.StatusBadRequest, codeBadXML, "The request body has more than one element.")
	}
	if len(q.Unknown) > 0 || len(q.Attributes) > 0 {
		return unknown("statement: unknown element or attribute in the body")
	}
	if !slices.Contains([]string{"", "true", "false"}, q.ResponseInJSONFormat) {
		return unknown("statement: ResponseInJsonFormat is %q", q.ResponseInJSONFormat)
	}
	return nil
}

// parseSettings reads the JSON object in Settings. A default schema only counts together with the
// switch for the schema model, as the public clients always send both.
func parseSettings(text string) (settings, *problem) {
	set := settings{schema: defaultSchema}
	if text == "" {
		return set, nil
	}
	var m map[string]string
	if json.Unmarshal([]byte(text), &m) != nil {
		return set, refuse(http.StatusBadRequest, codeBadXML, "Settings is not a JSON object of strings.")
	}
	for _, name := range sortedKeys(m) {
		if !slices.Contains(knownSettings, name) {
			return set, unknown("statement: unknown setting %q", name)
		}
	}
	set.namespace = strings.EqualFold(m["odps.namespace.schema"], "true")
	if schema := m["odps.default.schema"]; set.namespace && schema != "" {
		set.schema = fold(schema)
	}
	return set, nil
}

// odpsProtocol writes the XML documents of the ODPS service.
type odpsProtocol struct{}

func (odpsProtocol) success(_ string, a answer) reply {
	body := string(a.render())
	if !a.whole {
		body = xmlHead + "<Authorization><Result>" + escape(body) + "</Result></Authorization>"
	}
	return reply{status: a.httpStatus(), contentType: "application/xml", body: []byte(body)}
}

func (odpsProtocol) failure(requestID string, p *problem) reply {
	body := fmt.Sprintf("%s<Error><Code>%s</Code><Message>%s</Message><RequestId>%s</RequestId><HostId>fakecloud</HostId></Error>",
		xmlHead, escape(p.code), escape(p.code+": "+p.message), requestID)
	if p.code == "" {
		body = xmlHead + "<Error><Message>" + escape(p.message) + "</Message></Error>"
	}
	return reply{
		status: p.status, contentType: "application/xml", body: []byte(body), header: retryHeader(p.retryAfter),
	}
}

func escape(text string) string {
	var b bytes.Buffer
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		panic(err) // writing to a buffer can't fail
	}
	return b.String()
}
