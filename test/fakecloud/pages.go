package fakecloud

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// badGateway is what nginx answers when its backend is away; clients of the service have met it
// (aliyun-odps-python-sdk, errors).
const badGateway = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n" +
	"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"

const notFoundPage = "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n" +
	"<center><h1>404 Not Found</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"

// page is the reply of the faults that answer outside the service's protocol.
func (f *activeFault) page(c *call) reply {
	switch {
	case f.Kind == FaultHTML502:
		return reply{status: f.status(http.StatusBadGateway), contentType: "text/html", body: []byte(badGateway)}
	case f.Kind == FaultErrorInside:
		return f.errorInside(c)
	case f.Kind == FaultHTMLPage:
		return f.login()
	case f.Body == BodyJSON:
		return jsonReply(f.status(http.StatusNotFound), []byte(`{"message":"no route matched with those values"}`))
	}
	return reply{status: f.status(http.StatusNotFound), contentType: "text/html", body: []byte(notFoundPage)}
}

// errorInside is an error in a body that comes with HTTP 200: Status is the httpCode within.
func (f *activeFault) errorInside(c *call) reply {
	status, code, message := f.status(http.StatusInternalServerError), f.code("500"), f.message("internal error")
	if c.huawei() {
		code = f.code(internalCode(c))
	}
	if c.service != "maxcompute" {
		return c.proto.failure(c.requestID, refuse(http.StatusOK, code, "%s", message))
	}
	return jsonReply(http.StatusOK, mustJSON(envelope{
		RequestID: c.requestID, HTTPCode: status, ErrorCode: code, ErrorMsg: message,
	}))
}

// garble spoils a reply.
func (f *activeFault) garble(rep reply) reply {
	if rep.stream != nil {
		return f.garbleStream(rep)
	}
	if f.Body != BodyWrongKind {
		rep.body = rep.body[:len(rep.body)/2]
		return rep
	}
	var env map[string]json.RawMessage
	if json.Unmarshal(rep.body, &env) != nil {
		rep.body = []byte(xmlHead + "<Unexpected><Job>42</Job></Unexpected>")
		return rep
	}
	if env["requestId"] == nil { // the token service has no frame to put it into
		rep.body = []byte(`["job-42"]`)
		return rep
	}
	other := json.RawMessage(`"job-42"`)
	if bytes.HasPrefix(env["data"], []byte(`"`)) {
		other = json.RawMessage(`["job-42"]`)
	}
	rep.body = fmt.Appendf(nil, `{"requestId":%s,"data":%s}`, env["requestId"], other)
	return rep
}
