package fakecloud

import (
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// headers are those of an export; an empty value leaves the header out. All are made up.
func (st InsightStyle) headers(name string) map[string]string {
	out := map[string]string{"Content-Type": "application/octet-stream", "Content-Disposition": attachment(name + ".zip")}
	for header, value := range map[string]string{"Content-Type": st.ContentType, "Content-Disposition": st.Disposition} {
		switch value {
		case "":
		case headerAbsent:
			out[header] = ""
		default:
			out[header] = value
		}
	}
	return out
}

// attachment names a file as RFC 6266 has it, with a fallback for those who don't read the encoded name.
func attachment(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\/`, r) {
			return '_'
		}
		return r
	}, name)
	return `attachment; filename="` + plain + `"; filename*=UTF-8''` + url.PathEscape(name)
}

// insightProtocol writes the errors of the service and of its gateway.
type insightProtocol struct{}

func (insightProtocol) success(requestID string, a answer) reply {
	rep := reply{status: a.httpStatus(), header: map[string]string{"X-Request-Id": requestID}, stream: a.stream, chunked: a.chunked}
	maps.Copy(rep.header, a.header)
	rep.contentType = rep.header["Content-Type"]
	if a.render != nil {
		rep.contentType, rep.body = jsonReply(rep.status, nil).contentType, a.render()
	}
	return rep
}

// insightError is the documented body; only the gateway tells the request.
type insightError struct {
	Message   string `json:"error_msg"`
	Code      string `json:"error_code,omitempty"`
	RequestID string `json:"request_id,omitempty"`
}

func (insightProtocol) failure(requestID string, p *problem) reply {
	body := insightError{Message: p.message, Code: p.code}
	if strings.HasPrefix(p.code, "APIGW.") {
		body.RequestID = requestID
	}
	return huaweiFailure(requestID, p, body)
}

func huaweiFailure(requestID string, p *problem, body any) reply {
	rep := jsonReply(p.status, mustJSON(body))
	rep.header = map[string]string{"X-Request-Id": requestID}
	if p.retryAfter != "" {
		rep.header["Retry-After"] = p.retryAfter
	}
	return rep
}

// iamProtocol writes the JSON of IAM.
type iamProtocol struct{}

func (iamProtocol) success(requestID string, a answer) reply {
	rep := jsonReply(a.httpStatus(), a.render())
	rep.header = map[string]string{"X-Request-Id": requestID}
	maps.Copy(rep.header, a.header)
	return rep
}

// iamError is the body of refused tokens, as a sister cloud answers it.
type iamError struct {
	Error iamErrorDetails `json:"error"`
}

type iamErrorDetails struct {
	Message string `json:"message"`
	Code    int    `json:"code"`
	Title   string `json:"title"`
}

// failure takes the other documented frame for codes that are not numbers, like IAM.0011.
func (iamProtocol) failure(requestID string, p *problem) reply {
	if number, err := strconv.Atoi(p.code); err == nil || p.code == "" {
		if err != nil {
			number = p.status
		}
		return huaweiFailure(requestID, p, iamError{Error: iamErrorDetails{Message: p.message, Code: number, Title: http.StatusText(number)}})
	}
	return huaweiFailure(requestID, p, insightError{Message: p.message, Code: p.code})
}
