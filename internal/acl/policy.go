package acl

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxPolicyBytes is how long a policy document may be that somebody wants a role to have. ParseDocument reads longer ones, too:
// what the service holds must be readable.
const MaxPolicyBytes = 64 << 10

const (
	// policyVersion is the only version of the policy language that the service documents, and what a document without a
	// version is written in.
	policyVersion = "1"
	// maxNesting is how deep objects and lists of a document may lie in each other. A policy needs five levels.
	maxNesting = 32
)

// Document is the policy document of a role, a value that compares by meaning: without regard to the order and repetition of
// statements and of what they list, to whether a list of one is spelt as a scalar, to the case of actions and effects, to white
// space and the order of members. Resources keep their case. Members that the policy language does not know are kept and
// compare as JSON. The zero value is the document that says nothing; a Document never changes once it is made.
type Document struct {
	// version is empty only in the zero value: the version of a document that says nothing else does not matter.
	version string
	// others are the unknown members, by name.
	others map[string]text
	// statements are ordered by their meaning, each once.
	statements []Statement
}

// text is a piece of JSON. What means the same has the same meaning; the spelling is what is sent to the service.
type text struct{ meaning, spelling string }

// Statement is one statement of a Document.
type Statement struct {
	text
	// effect is in lower case.
	effect string
	// actions and resources are what the statement gives or denies, as counted in pairs.
	actions, resources terms
	// rest is the meaning of all other members; noRest if there are none.
	rest string
}

// noRest is the rest of a statement that holds under all circumstances.
const noRest = "{}"

// ParseDocument reads a policy document. No text at all, null, and an object that holds nothing but a version and an empty list
// of statements are the document that says nothing. An object without statements but with a member that is not known is not: a
// misspelt "Statements" must not be taken for "no permissions".
func ParseDocument(doc []byte) (Document, error) {
	doc = bytes.Trim(doc, " \t\r\n")
	if len(doc) == 0 {
		return Document{}, nil
	}
	value, err := parseJSON(doc)
	if err != nil {
		return Document{}, err
	}
	if value == nil {
		return Document{}, nil
	}
	members, ok := value.(map[string]any)
	if !ok {
		return Document{}, errors.New("the policy is not a JSON object")
	}
	d := Document{others: map[string]text{}}
	if d.version, err = parseVersion(members["Version"]); err != nil {
		return Document{}, err
	}
	if d.statements, err = parseStatements(members["Statement"]); err != nil {
		return Document{}, err
	}
	for name, value := range members {
		if name != "Version" && name != "Statement" {
			d.others[name] = text{meaning: marshal(exactly(value)), spelling: marshal(value)}
		}
	}
	return d.normal(), nil
}

func parseVersion(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return policyVersion, nil
	case string:
		return cmp.Or(v, policyVersion), nil
	case json.Number:
		if exact(v) == exact(policyVersion) {
			return policyVersion, nil
		}
		return v.String(), nil
	}
	return "", errors.New("the Version of the policy is neither a string nor a number")
}

func parseStatements(value any) ([]Statement, error) {
	if value == nil {
		return nil, nil
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	statements := make([]Statement, 0, len(list))
	for i, value := range list {
		members, ok := value.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("statement %d of the policy is not a JSON object", i+1)
		}
		statement, err := parseStatement(members)
		if err != nil {
			return nil, fmt.Errorf("statement %d of the policy: %w", i+1, err)
		}
		statements = append(statements, statement)
	}
	return statements, nil
}

func parseStatement(members map[string]any) (Statement, error) {
	var s Statement
	meanings, spellings, rest := map[string]any{}, map[string]any{}, map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		m, err := parseMember(name, members[name])
		if err != nil {
			return Statement{}, err
		}
		if m.meaning == nil {
			continue
		}
		meanings[name], spellings[name] = m.meaning, m.spelling
		switch name {
		case "Effect":
			s.effect = fold(m.spelling.(string)) //nolint:forcetypeassert // parseMember has made sure of it
		case "Action":
			s.actions.add(m.items)
		case "NotAction":
			s.actions.addNot(m.items)
		case "Resource":
			s.resources.add(m.items)
		case "NotResource":
			s.resources.addNot(m.items)
		default:
			rest[name] = m.meaning
		}
	}
	s.actions.complete(meanings["Action"] != nil)
	s.resources.complete(meanings["Resource"] != nil)
	s.meaning, s.spelling, s.rest = marshal(meanings), marshal(spellings), marshal(rest)
	return s, nil
}

// member is a member of a statement, in the two forms of text before they are written out. Its meaning is nil if the member says
// nothing.
type member struct {
	meaning, spelling any
	// items are the strings of a list, folded where case does not matter.
	items []string
}

func parseMember(name string, value any) (member, error) {
	switch name {
	case "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition":
		if value == nil {
			return member{}, nil
		}
	default:
		return member{meaning: marshalled(exactly(value)), spelling: value}, nil
	}
	switch name {
	case "Effect":
		effect, ok := value.(string)
		if !ok {
			return member{}, errors.New("the Effect is not a string")
		}
		// The service documents two effects, each in one spelling.
		for _, documented := range []string{"Allow", "Deny"} {
			if strings.EqualFold(effect, documented) {
				effect = documented
			}
		}
		return member{meaning: fold(effect), spelling: effect}, nil
	case "Action", "NotAction":
		return parseList(name, value, fold)
	case "Resource", "NotResource":
		return parseList(name, value, func(s string) string { return s })
	case "Condition":
		condition, ok := value.(map[string]any)
		if !ok {
			return member{}, errors.New("the Condition is not a JSON object")
		}
		if len(condition) == 0 {
			return member{}, nil
		}
	}
	meaning, spelling := unordered(value)
	return member{meaning: meaning, spelling: spelling}, nil
}

// parseList reads a string or a list of strings.
func parseList(name string, value any, fold func(string) string) (member, error) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	items, folded := make([]string, 0, len(list)), make([]any, 0, len(list))
	for _, value := range list {
		item, ok := value.(string)
		if !ok {
			return member{}, fmt.Errorf("the %s is neither a string nor a list of strings", name)
		}
		items, folded = append(items, fold(item)), append(folded, fold(item))
	}
	meaning, spelling := set(list, folded)
	if !ok {
		spelling = value // one that stands alone may go on doing so
	}
	slices.Sort(items)
	return member{meaning: meaning, spelling: spelling, items: slices.Compact(items)}, nil
}

// unordered reads values whose order does not matter, which may lie within objects: principals by provider, and the values of a
// condition by operator and key.
func unordered(value any) (meaning, spelling any) {
	switch v := value.(type) {
	case map[string]any:
		meanings, spellings := make(map[string]any, len(v)), make(map[string]any, len(v))
		for name, value := range v {
			meanings[name], spellings[name] = unordered(value)
		}
		return meanings, spellings
	case []any:
		meant := make([]any, len(v))
		for i := range v {
			meant[i] = exactly(v[i])
		}
		return set(v, meant)
	}
	return []any{exactly(value)}, value
}

// set orders values by what they mean, each once; of several spellings it keeps the smallest, so that the order in which they
// come does not matter.
func set(spelt, meant []any) (meaning, spelling any) {
	spellings := make(map[string]string, len(spelt))
	for i := range spelt {
		key, spelling := marshal(meant[i]), marshal(spelt[i])
		if old, ok := spellings[key]; !ok || spelling < old {
			spellings[key] = spelling
		}
	}
	keys, values := []json.RawMessage{}, []json.RawMessage{}
	for _, key := range slices.Sorted(maps.Keys(spellings)) {
		keys, values = append(keys, json.RawMessage(key)), append(values, json.RawMessage(spellings[key]))
	}
	return keys, values
}

// fold makes the letters A to Z small. All others compare as they are spelt: no two names may become the same that the service
// could tell apart.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// parseJSON reads a JSON value with numbers as they are spelt. Unlike encoding/json it refuses what two readers could read in
// two ways: a member that occurs twice, and bytes that are no text.
func parseJSON(doc []byte) (any, error) {
	if !utf8.Valid(doc) {
		return nil, errors.New("the policy is not valid UTF-8")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(doc, &whole); err != nil {
		return nil, fmt.Errorf("the policy is not valid JSON: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(doc))
	decoder.UseNumber()
	value, err := parseValue(decoder, maxNesting)
	if err != nil {
		return nil, fmt.Errorf("the policy cannot be read: %w", err)
	}
	return value, nil
}

func parseValue(decoder *json.Decoder, nesting int) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	switch {
	case !ok:
		return token, nil
	case nesting == 0:
		return nil, fmt.Errorf("it is nested deeper than %d levels", maxNesting)
	case delim == '[':
		list := []any{}
		for decoder.More() {
			value, err := parseValue(decoder, nesting-1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = decoder.Token()
		return list, err
	}
	return parseObject(decoder, nesting)
}

func parseObject(decoder *json.Decoder, nesting int) (any, error) {
	object := map[string]any{}
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		name := fmt.Sprint(token)
		if _, ok := object[name]; ok {
			return nil, fmt.Errorf("the member %.64q occurs twice in one object", name)
		}
		if object[name], err = parseValue(decoder, nesting-1); err != nil {
			return nil, err
		}
	}
	_, err := decoder.Token()
	return object, err
}

// exactly replaces all numbers in a JSON value by exact ones.
func exactly(value any) any {
	switch v := value.(type) {
	case json.Number:
		return json.Number(exact(v))
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = exactly(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[name] = exactly(v[name])
		}
		return out
	}
	return value
}

// exact spells a number in the one way that all spellings of its value share: 1, 1.0 and 10e-1 become 1e0. It never computes
// the number, which may be a 1 with a billion zeros.
func exact(number json.Number) string {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(number.String()), "e")
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	significant := strings.TrimRight(digits, "0")
	if significant == "" {
		return "0"
	}
	shift, _ := new(big.Int).SetString(cmp.Or(exponent, "0"), 10)
	shift.Add(shift, big.NewInt(int64(len(digits)-len(significant)-len(fraction))))
	if negative {
		significant = "-" + significant
	}
	return significant + "e" + shift.String()
}

// marshal writes a value that came from a JSON reader: compact, members in order, and <, > and & as they are.
func marshal(value any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err) // no value that was read from JSON fails to be written
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func marshalled(value any) json.RawMessage { return json.RawMessage(marshal(value)) }

// normal orders the statements, keeps of each the smallest spelling, and makes a document that says nothing the zero value.
func (d Document) normal() Document {
	slices.SortFunc(d.statements, func(a, b Statement) int {
		return cmp.Or(cmp.Compare(a.meaning, b.meaning), cmp.Compare(a.spelling, b.spelling))
	})
	d.statements = slices.CompactFunc(d.statements, func(a, b Statement) bool { return a.meaning == b.meaning })
	if len(d.statements) == 0 && len(d.others) == 0 {
		return Document{}
	}
	return d
}

// Empty tells whether the document says nothing at all, so that it gives no permission.
func (d Document) Empty() bool { return len(d.statements) == 0 && len(d.others) == 0 }

// Equal tells whether both documents mean the same.
func (d Document) Equal(other Document) bool {
	return d.version == other.version &&
		slices.EqualFunc(d.statements, other.statements, func(a, b Statement) bool { return a.meaning == b.meaning }) &&
		maps.EqualFunc(d.others, other.others, func(a, b text) bool { return a.meaning == b.meaning })
}

// String is the document as it is sent to the service: compact JSON with statements, lists and members in a fixed order, names and
// values as they were spelt. The document that says nothing is the empty text.
func (d Document) String() string {
	if d.Empty() {
		return ""
	}
	statements := make([]json.RawMessage, len(d.statements))
	for i, s := range d.statements {
		statements[i] = json.RawMessage(s.spelling)
	}
	members := map[string]any{"Version": d.version, "Statement": statements}
	for name, other := range d.others {
		members[name] = json.RawMessage(other.spelling)
	}
	return marshal(members)
}

// Statements returns the statements in a fixed order.
func (d Document) Statements() []Statement { return slices.Clone(d.statements) }

// Fingerprint identifies what the statement means: two statements that mean the same have the same.
func (s Statement) Fingerprint() string {
	sum := sha256.Sum256([]byte(s.meaning))
	return hex.EncodeToString(sum[:8])
}

// String is the statement as it is sent to the service.
func (s Statement) String() string { return s.spelling }

// Fingerprints returns those of all statements.
func (d Document) Fingerprints() map[string]bool {
	out := make(map[string]bool, len(d.statements))
	for _, s := range d.statements {
		out[s.Fingerprint()] = true
	}
	return out
}

// Minus returns the document without what another one says.
func (d Document) Minus(other Document) Document {
	theirs := other.byMeaning()
	out := Document{version: d.version, others: maps.Clone(d.others)}
	maps.DeleteFunc(out.others, func(name string, mine text) bool {
		their, ok := other.others[name]
		return ok && their.meaning == mine.meaning
	})
	for _, s := range d.statements {
		if !theirs[s.meaning] {
			out.statements = append(out.statements, s)
		}
	}
	return out.normal()
}

// Union returns a document with the statements of both. Where they differ in the spelling of a statement, in the version or in a
// member that is not known, d prevails.
func (d Document) Union(other Document) Document {
	out := Document{version: cmp.Or(d.version, other.version), others: map[string]text{}, statements: slices.Clone(d.statements)}
	maps.Copy(out.others, other.others)
	maps.Copy(out.others, d.others)
	mine := d.byMeaning()
	for _, s := range other.statements {
		if !mine[s.meaning] {
			out.statements = append(out.statements, s)
		}
	}
	return out.normal()
}

func (d Document) byMeaning() map[string]bool {
	out := make(map[string]bool, len(d.statements))
	for _, s := range d.statements {
		out[s.meaning] = true
	}
	return out
}

// Without returns the document without the statements that have the fingerprints.
func (d Document) Without(fingerprints map[string]bool) Document { return d.where(fingerprints, false) }

// Keep returns the document with no other statements than those that have the fingerprints.
func (d Document) Keep(fingerprints map[string]bool) Document { return d.where(fingerprints, true) }

func (d Document) where(fingerprints map[string]bool, has bool) Document {
	out := Document{version: d.version, others: d.others}
	for _, s := range d.statements {
		if fingerprints[s.Fingerprint()] == has {
			out.statements = append(out.statements, s)
		}
	}
	return out.normal()
}

// DiffDocument returns the document that a role should have next, and whether that means a change. owned are the fingerprints of
// statements that the owner put there earlier: under Additive no statement outside of it is ever dropped; under Authoritative it
// does not matter.
func DiffDocument(want, have Document, owned map[string]bool, policy Policy) (next Document, changed bool) {
	next = want
	if policy == Additive {
		dropped := maps.Clone(owned)
		for fingerprint := range want.Fingerprints() {
			delete(dropped, fingerprint)
		}
		next = have.Without(dropped).Union(want)
	}
	return next, !next.Equal(have)
}
