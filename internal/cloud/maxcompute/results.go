package maxcompute

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// successes are all results that say that a statement was carried out, in lower case. Nothing else
// is a success: refusals come as text inside HTTP 200, too, in any words and languages. Results
// compare without case, white space around them and one full stop or semicolon at their end.
var successes = []string{
	// The documented one. The vendor's console prints OK for it (aliyun-odps-console,
	// AuthorizationCommand), and so does the documentation's example (aliyun-odps-java-sdk, docs,
	// "run_acl_query").
	"",
	// The console's word for it.
	"ok",
	// The OpenAPI's word for the same operations: "data": "success" (documentation of CreateRole,
	// CreatePackage and UpdateUsersToRole).
	"success",
}

// A result in JSON, which the client asks for and the vendor's Python client takes every result for
// (aliyun-odps-python-sdk, run_security_query), says one of these as a text. An empty value is the
// empty result. wrappers are the members, in lower case, that hold the result in an object:
var wrappers = []string{
	"result",   // The same statements, run as SQL tasks (aliyun-odps-java-sdk, DclQueryTest).
	"response", // Statements about a tenant (aliyun-odps-java-sdk, TenantSecurityManager).
	"data",     // The OpenAPI.
}

// maxWrapped is how deep a result may be wrapped.
const maxWrapped = 4

// verdict is what the result of a statement says.
type verdict struct {
	done bool
	// code and message are those of a failure; code is empty if the result has none.
	code, message string
}

// judge reads the final result of a statement that returns nothing: an error can hide in it.
func judge(op, result string, a *openapi.Answer) error {
	if v := verdictOf(result); !v.done {
		return v.failure(op, a)
	}
	return nil
}

// failure classifies what is no success. Without a code that is known, nothing may be concluded.
func (v verdict) failure(op string, a *openapi.Answer) error {
	message := v.message
	if v.code == "" {
		message = "the result is not known to mean success: " + v.message
	}
	return classify(a, failure{
		Op: op, InsideSuccess: true, Code: v.code, Message: message,
		RequestID: a.Header.Get(requestIDHeader),
	})
}

func verdictOf(result string) verdict { return read(result, maxWrapped) }

// read looks into at most so many layers of JSON.
func read(result string, layers int) verdict {
	result = strings.TrimSpace(result)
	if isSuccess(result) {
		return verdict{done: true}
	}
	var value any
	if layers == 0 || json.Unmarshal([]byte(result), &value) != nil {
		code, message := splitCode(result)
		return verdict{code: code, message: message}
	}
	switch value := value.(type) {
	case nil:
		return verdict{done: true}
	case string:
		return read(value, layers-1)
	case []any:
		return verdict{done: len(value) == 0, message: result}
	case map[string]any:
		if len(value) == 0 {
			return verdict{done: true}
		}
		if inner, ok := unwrap(result); ok {
			return read(inner, layers-1)
		}
		return failureIn(value, result)
	}
	return verdict{message: result}
}

func isSuccess(text string) bool {
	if last := len(text) - 1; last > 0 && strings.ContainsRune(".;", rune(text[last])) {
		text = strings.TrimSpace(text[:last])
	}
	return slices.ContainsFunc(successes, func(known string) bool {
		// Texts of one length in bytes, so that no letter of another alphabet is folded into them.
		return len(text) == len(known) && strings.EqualFold(text, known)
	})
}

// unwrap returns what an object holds that holds nothing but a result, and perhaps a request id.
func unwrap(text string) (inner string, ok bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &members) != nil {
		return "", false
	}
	found := 0
	for name, value := range members {
		switch name = strings.ToLower(name); {
		case slices.Contains(wrappers, name):
			found, inner = found+1, string(value)
		case name != "requestid":
			return "", false
		}
	}
	return inner, found == 1
}

// failureIn finds the code and the message in an object that is no success.
func failureIn(members map[string]any, text string) verdict {
	folded := make(map[string]any, len(members))
	for name, value := range members {
		folded[strings.ToLower(name)] = value
	}
	if inner, ok := folded["error"].(map[string]any); ok {
		return failureIn(inner, text)
	}
	pick := func(names ...string) string {
		for _, name := range names {
			if value, ok := folded[name].(string); ok && value != "" {
				return value
			}
		}
		return ""
	}
	v := verdict{
		code:    pick("code", "errorcode", "error_code"),
		message: pick("message", "errormessage", "errormsg", "error_message", "msg", "error"),
	}
	if v.code == "" {
		v.code, v.message = splitCode(firstOf(v.message, text))
	}
	return v
}

// splitCode takes "FAILED: ODPS-0420411: Invalid argument - …" apart.
func splitCode(text string) (code, message string) {
	text = strings.TrimSpace(failed.ReplaceAllString(text, ""))
	code, message, found := strings.Cut(text, ":")
	if !found || !errorCode.MatchString(code) {
		return "", text
	}
	return code, strings.TrimSpace(message)
}

var (
	failed    = regexp.MustCompile(`(?i)^\s*(FAILED|ERROR)\s*:`)
	errorCode = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)
)

// unknownState is the failure of a statement of which the service says neither that it runs nor
// that it has ended. The service took it on, and what became of it is not known.
func unknownState(op, state string, a *openapi.Answer) error {
	v := verdict{message: state}
	return accepted(v.failure(op, a))
}
