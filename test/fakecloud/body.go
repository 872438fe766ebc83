package fakecloud

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
)

// fields are the members of a JSON object.
type fields map[string]json.RawMessage

func badBody(format string, args ...any) *problem {
	return refuse(http.StatusBadRequest, codeInvalidBody, format, args...)
}

// parseObject reads one JSON object with known members. Unlike json.Unmarshal it minds the case of
// names and refuses members that come twice.
func parseObject(raw []byte, known ...string) (fields, *problem) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, badBody("the body is not a JSON object")
	}
	out := fields{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, badBody("the body is not valid JSON")
		}
		name, _ := tok.(string)
		if _, twice := out[name]; twice || !slices.Contains(known, name) {
			return nil, badBody("unknown or repeated field '%s'", name)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, badBody("the body is not valid JSON")
		}
		out[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, badBody("the body is not valid JSON")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, badBody("the body has more than one JSON value")
	}
	return out, nil
}

// text returns a string member, or "" if it is absent.
func (f fields) text(name string) (string, *problem) {
	var out *string
	raw, ok := f[name]
	if !ok {
		return "", nil
	}
	if json.Unmarshal(raw, &out) != nil || out == nil {
		return "", badBody("field '%s' is not a string", name)
	}
	return *out, nil
}

// list returns the elements of a list member, or none if it is absent.
func (f fields) list(name string) ([]json.RawMessage, *problem) {
	var out []json.RawMessage
	raw, ok := f[name]
	if !ok {
		return nil, nil
	}
	if json.Unmarshal(raw, &out) != nil || out == nil {
		return nil, badBody("field '%s' is not a list", name)
	}
	return out, nil
}

// texts returns a member that is a list of strings.
func (f fields) texts(name string) ([]string, *problem) {
	raw, p := f.list(name)
	if p != nil {
		return nil, p
	}
	out := make([]string, 0, len(raw))
	for _, r := range raw {
		text, p := fields{name: r}.text(name)
		if p != nil {
			return nil, p
		}
		out = append(out, text)
	}
	return out, nil
}
