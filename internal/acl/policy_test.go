package acl_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

func parse(t testing.TB, doc string) acl.Document {
	t.Helper()
	d, err := acl.ParseDocument([]byte(doc))
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return d
}

// statement is a document of one statement.
func statement(members string) string { return `{"Version":"1","Statement":[{` + members + `}]}` }

const readOrders = `"Effect":"Allow","Action":["odps:Describe","odps:Select"],"Resource":["acs:odps:*:projects/p/tables/orders"]`

func TestDocumentsCompareByMeaning(t *testing.T) {
	base := statement(readOrders)
	conditional := statement(readOrders + `,"Condition":{"IpAddress":{"acs:SourceIp":["10.0.0.0/8","192.168.0.0/16"]}}`)
	tests := map[string]struct {
		a, b  string
		equal bool
	}{
		"the same":                            {base, base, true},
		"spread over lines":                   {base, " {\n\t\"Statement\": [ {" + strings.ReplaceAll(readOrders, ",", " ,\r\n") + "} ] , \"Version\" : \"1\" }\n", true},
		"members in another order":            {base, `{"Statement":[{"Resource":["acs:odps:*:projects/p/tables/orders"],"Action":["odps:Describe","odps:Select"],"Effect":"Allow"}],"Version":"1"}`, true},
		"a statement without a list":          {base, `{"Version":"1","Statement":{` + readOrders + `}}`, true},
		"a resource without a list":           {base, strings.Replace(base, `["acs:odps:*:projects/p/tables/orders"]`, `"acs:odps:*:projects/p/tables/orders"`, 1), true},
		"an action without a list":            {statement(`"Action":"odps:Select"`), statement(`"Action":["odps:Select"]`), true},
		"actions in another order":            {base, strings.Replace(base, `"odps:Describe","odps:Select"`, `"odps:Select","odps:Describe"`, 1), true},
		"actions repeated in another case":    {base, strings.Replace(base, `"odps:Describe"`, `"ODPS:describe","odps:SELECT"`, 1), true},
		"the effect in another case":          {base, strings.Replace(base, `"Allow"`, `"ALLOW"`, 1), true},
		"a member's name in another case":     {base, strings.Replace(base, `"Effect"`, `"effect"`, 1), false},
		"a statement repeated":                {base, `{"Version":"1","Statement":[{` + readOrders + `},{` + readOrders + `}]}`, true},
		"no version":                          {base, `{"Statement":[{` + readOrders + `}]}`, true},
		"version null":                        {base, `{"Version":null,"Statement":[{` + readOrders + `}]}`, true},
		"an empty version":                    {base, `{"Version":"","Statement":[{` + readOrders + `}]}`, true},
		"version as a number":                 {base, strings.Replace(base, `"1"`, `1`, 1), true},
		"version as a number with a fraction": {base, strings.Replace(base, `"1"`, `1.0`, 1), true},
		"another version":                     {base, strings.Replace(base, `"1"`, `"2"`, 1), false},
		"another version as a number":         {strings.Replace(base, `"1"`, `2`, 1), strings.Replace(base, `"1"`, `"2"`, 1), true},
		"characters escaped":                  {base, strings.ReplaceAll(base, "odps:", `\u006fdps:`), true},
		"no condition, said with an object":   {base, statement(readOrders + `,"Condition":{}`), true},
		"no condition, said with null":        {base, statement(readOrders + `,"Condition":null`), true},
		"a condition":                         {base, conditional, false},
		"a condition's values in another order": {
			conditional, statement(readOrders + `,"Condition":{"IpAddress":{"acs:SourceIp":["192.168.0.0/16","10.0.0.0/8","10.0.0.0/8"]}}`), true,
		},
		"a condition's value without a list": {
			statement(readOrders + `,"Condition":{"Bool":{"k":"true"}}`), statement(readOrders + `,"Condition":{"Bool":{"k":["true"]}}`), true,
		},
		"a condition's number spelt otherwise": {
			statement(readOrders + `,"Condition":{"NumericLessThan":{"k":100}}`), statement(readOrders + `,"Condition":{"NumericLessThan":{"k":[1e2]}}`), true,
		},
		"a condition's value of another type": {
			statement(readOrders + `,"Condition":{"Bool":{"k":"true"}}`), statement(readOrders + `,"Condition":{"Bool":{"k":true}}`), false,
		},
		"a condition under another operator": {
			statement(readOrders + `,"Condition":{"StringEquals":{"k":"v"}}`), statement(readOrders + `,"Condition":{"StringLike":{"k":"v"}}`), false,
		},
		"a condition on another key": {
			statement(readOrders + `,"Condition":{"StringEquals":{"k":"v"}}`), statement(readOrders + `,"Condition":{"StringEquals":{"K":"v"}}`), false,
		},
		"principals in another order": {
			statement(readOrders + `,"Principal":["ALIYUN$a","ALIYUN$b"]`), statement(readOrders + `,"Principal":["ALIYUN$b","ALIYUN$a"]`), true,
		},
		"a principal without a list, within an object": {
			statement(readOrders + `,"Principal":{"RAM":"corp"}`), statement(readOrders + `,"Principal":{"RAM":["corp"]}`), true,
		},
		"a resource in another case":        {base, strings.Replace(base, "orders", "Orders", 1), false},
		"an action less":                    {base, strings.Replace(base, `"odps:Describe",`, "", 1), false},
		"a letter that only looks the same": {statement(`"Action":"odps:k"`), statement(`"Action":"odps:` + "\u212a" + `"`), false},
		"deny instead of allow":             {base, strings.Replace(base, "Allow", "Deny", 1), false},
		"NotAction instead of Action":       {base, strings.Replace(base, "Action", "NotAction", 1), false},
		"an empty list of actions":          {statement(`"Effect":"Allow"`), statement(`"Effect":"Allow","Action":[]`), false},
		"an unknown member":                 {base, statement(readOrders + `,"Sid":"x"`), false},
		"an unknown member that is null":    {base, statement(readOrders + `,"Sid":null`), false},
		"an unknown member's list, whose order may matter": {
			statement(readOrders + `,"X":["a","b"]`), statement(readOrders + `,"X":["b","a"]`), false,
		},
		"an unknown member's number spelt otherwise": {
			statement(readOrders + `,"X":{"a":[-12.50]}`), statement(readOrders + `,"X":{"a":[-1250E-2]}`), true,
		},
		"an unknown member of the document":            {base, `{"Id":"x",` + base[1:], false},
		"numbers that a float could not tell apart":    {`{"Id":9007199254740993}`, `{"Id":9007199254740992}`, false},
		"numbers that no float can hold":               {`{"Id":1e999999999999999999999}`, `{"Id":10E+999999999999999999998}`, true},
		"small numbers that no float can hold":         {`{"Id":1e-999999999999999999999}`, `{"Id":0}`, false},
		"a fraction that a float could not tell apart": {`{"Id":0.10}`, `{"Id":0.1000000000000000055511151231257827}`, false},
		"zeros": {`{"Id":[0,0]}`, `{"Id":[-0.00,0e77]}`, true},
		"members of documents that differ in case only": {`{"Id":1}`, `{"ID":1}`, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			a, b := parse(t, tc.a), parse(t, tc.b)
			if a.Equal(b) != tc.equal || b.Equal(a) != tc.equal {
				t.Errorf("Equal = %v, %v, want %v\n%s\n%s", a.Equal(b), b.Equal(a), tc.equal, a, b)
			}
		})
	}
}

func TestDocumentsThatSayNothing(t *testing.T) {
	for _, doc := range []string{
		"", " \r\n\t", "null", "{}", `{"Version":"1"}`, `{"Version":1}`, `{"Version":"9"}`, `{"Statement":[]}`, `{"Statement":null}`, `{"Version":"1","Statement":[ ]}`,
	} {
		if d := parse(t, doc); !d.Empty() || !d.Equal(acl.Document{}) || d.String() != "" || d.Pairs() != 0 {
			t.Errorf("%q says %q", doc, d)
		}
	}
	// What cannot be understood is not nothing.
	for _, doc := range []string{`{"Statement":{}}`, `{"Statement":[{}]}`, `{"Statements":[]}`, `{"statement":[]}`, `{"Id":null}`} {
		if d := parse(t, doc); d.Empty() || d.Equal(acl.Document{}) || !d.Equal(parse(t, d.String())) {
			t.Errorf("%q says %q", doc, d)
		}
	}
}

func TestWhatIsNoPolicy(t *testing.T) {
	tests := map[string]struct{ doc, want string }{
		"no JSON":                         {`Allow all`, "the policy is not valid JSON: invalid character 'A' looking for beginning of value"},
		"cut off":                         {`{"Version":"1"`, "the policy is not valid JSON: unexpected end of JSON input"},
		"more than one document":          {`{} {}`, "the policy is not valid JSON: invalid character '{' after top-level value"},
		"a comma too many":                {`{"Version":"1",}`, "the policy is not valid JSON: invalid character '}' looking for beginning of object key string"},
		"not text":                        {"{\"Id\":\"\xff\"}", "the policy is not valid UTF-8"},
		"a list":                          {`[]`, "the policy is not a JSON object"},
		"a document within a string":      {`"{}"`, "the policy is not a JSON object"},
		"false":                           {`false`, "the policy is not a JSON object"},
		"a member twice":                  {`{"Statement":[],"Statement":[]}`, `the policy cannot be read: the member "Statement" occurs twice in one object`},
		"a member twice, once escaped":    {`{"Statement":[{"Effect":"Deny","\u0045ffect":"Allow"}]}`, `the policy cannot be read: the member "Effect" occurs twice in one object`},
		"a member of a condition twice":   {statement(`"Condition":{"a":1,"a":1}`), `the policy cannot be read: the member "a" occurs twice in one object`},
		"nested too deep":                 {`{"Id":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "the policy cannot be read: it is nested deeper than 32 levels"},
		"a version that is an object":     {`{"Version":{}}`, "the Version of the policy is neither a string nor a number"},
		"a statement that is a string":    {`{"Statement":"x"}`, "statement 1 of the policy is not a JSON object"},
		"the second statement is null":    {`{"Statement":[{},null]}`, "statement 2 of the policy is not a JSON object"},
		"an effect that is a list":        {statement(`"Effect":["Allow"]`), "statement 1 of the policy: the Effect is not a string"},
		"an action that is a number":      {statement(`"Action":1`), "statement 1 of the policy: the Action is neither a string nor a list of strings"},
		"an action within two lists":      {statement(`"NotAction":[["x"]]`), "statement 1 of the policy: the NotAction is neither a string nor a list of strings"},
		"a resource that is null in part": {statement(`"Resource":["x",null]`), "statement 1 of the policy: the Resource is neither a string nor a list of strings"},
		"a condition that is a list":      {statement(`"Condition":[]`), "statement 1 of the policy: the Condition is not a JSON object"},
		"of two errors the first": {
			`{"Statement":[{"Resource":1,"Effect":1,"Action":1}]}`, "statement 1 of the policy: the Action is neither a string nor a list of strings",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d, err := acl.ParseDocument([]byte(tc.doc))
			if got := fmt.Sprint(err); got != tc.want || !d.Empty() {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestWhatIsSentKeepsTheSpelling(t *testing.T) {
	tests := map[string]struct{ doc, want string }{
		"actions, resources and values": {
			`{"Statement":{"Resource":"acs:odps:*:Projects/P","Effect":"aLLOW","Action":["odps:SELECT","ODPS:describe"],"Condition":{"Bool":{"k":true}}}}`,
			`{"Statement":[{"Action":["ODPS:describe","odps:SELECT"],"Condition":{"Bool":{"k":true}},"Effect":"Allow","Resource":"acs:odps:*:Projects/P"}],"Version":"1"}`,
		},
		"numbers":                           {`{"Id":[1.0,1e400]}`, `{"Id":[1.0,1e400],"Statement":[],"Version":"1"}`},
		"signs of HTML":                     {`{"Id":"<&>"}`, `{"Id":"<&>","Statement":[],"Version":"1"}`},
		"an effect that nobody knows":       {statement(`"Effect":"Audit"`), `{"Statement":[{"Effect":"Audit"}],"Version":"1"}`},
		"of two spellings always the same":  {statement(`"Action":["odps:select","odps:Select"]`), `{"Statement":[{"Action":["odps:Select"]}],"Version":"1"}`},
		"of two spellings always the same.": {statement(`"Action":["odps:Select","odps:select"]`), `{"Statement":[{"Action":["odps:Select"]}],"Version":"1"}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, parse(t, tc.doc).String()); diff != "" {
				t.Errorf("String (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFingerprintsStayTheSame(t *testing.T) {
	// Inventories hold fingerprints: a change of how they are made would orphan what is recorded there.
	got := parse(t, statement(readOrders)).Statements()[0].Fingerprint()
	if want := "718e4e8cd8a9f5d7"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func allowing(actions, resources string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Action":[%s],"Resource":[%s]}`, quoted(actions), quoted(resources))
}

func denying(actions, resources string) string {
	return strings.Replace(allowing(actions, resources), "Allow", "Deny", 1)
}

// quoted turns "a b" into "a","b", with quotes.
func quoted(words string) string {
	fields := strings.Fields(words)
	for i, field := range fields {
		fields[i] = `"` + field + `"`
	}
	return strings.Join(fields, ",")
}

func document(statements ...string) string {
	return `{"Version":"1","Statement":[` + strings.Join(statements, ",") + `]}`
}

func TestDiffDocument(t *testing.T) {
	a, b, c := allowing("a", "r"), allowing("b", "r"), denying("c", "r")
	tests := map[string]struct {
		want, have, owned, next string
		policy                  acl.Policy
		changed                 bool
	}{
		"writes what is wanted":                            {want: document(a, b), have: "", next: document(a, b), changed: true},
		"drops what is not wanted":                         {want: document(a), have: document(a, b), next: document(a), changed: true},
		"drops everything":                                 {want: "", have: document(a, b), next: "", changed: true},
		"is content with what means the same":              {want: document(a, b), have: document(strings.Replace(b, "Allow", "allow", 1), a), next: document(a, b)},
		"is content with another order":                    {want: document(a, b), have: document(b, a, a), next: document(a, b)},
		"replaces an unknown member":                       {want: document(a), have: `{"Id":1,` + document(a)[1:], next: document(a), changed: true},
		"leaves what somebody else wrote":                  {policy: acl.Additive, want: document(a), have: document(b, c), next: document(a, b, c), changed: true},
		"takes back what it wrote and is not wanted":       {policy: acl.Additive, want: document(a), have: document(a, b, c), owned: document(a, b), next: document(a, c), changed: true},
		"keeps what it wrote and is wanted":                {policy: acl.Additive, want: document(a, b), have: document(a, b, c), owned: document(a, b), next: document(a, b, c)},
		"lets go":                                          {policy: acl.Additive, want: "", have: document(a, b), owned: document(b, c), next: document(a), changed: true},
		"lets go of all there is":                          {policy: acl.Additive, want: "", have: document(a), owned: document(a), next: "", changed: true},
		"wants nothing and owns nothing":                   {policy: acl.Additive, want: "", have: document(a), next: document(a)},
		"leaves an unknown member of somebody else":        {policy: acl.Additive, want: `{"Id":2,"B":1,` + document(a)[1:], have: `{"Id":1,` + document(b)[1:], next: `{"Id":1,"B":1,` + document(a, b)[1:], changed: true},
		"leaves the version that somebody else's are of":   {policy: acl.Additive, want: document(a), have: `{"Version":"2","Statement":[` + b + `]}`, next: `{"Version":"2","Statement":[` + a + `,` + b + `]}`, changed: true},
		"writes the wanted version where there is nothing": {policy: acl.Additive, want: `{"Version":"2","Statement":[` + b + `]}`, have: "", next: `{"Version":"2","Statement":[` + b + `]}`, changed: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			next, changed := acl.DiffDocument(parse(t, tc.want), parse(t, tc.have), parse(t, tc.owned).Fingerprints(), tc.policy)
			if want := parse(t, tc.next); !next.Equal(want) || changed != tc.changed {
				t.Errorf("changed %v to %s\nwant    %v to %s", changed, next, tc.changed, want)
			}
		})
	}
}

func TestAdditiveSendsTheStatementsOfOthersAsTheySpeltThem(t *testing.T) {
	have := parse(t, document(`{"Effect":"Allow","Action":"ODPS:Select","Resource":"r"}`))
	want := parse(t, document(`{"Effect":"Allow","Action":["odps:select"],"Resource":["r"]}`, allowing("b", "r")))
	next, _ := acl.DiffDocument(want, have, nil, acl.Additive)
	if !strings.Contains(next.String(), `"Action":"ODPS:Select"`) {
		t.Errorf("next is %s", next)
	}
}

func TestRevokedCountsPairs(t *testing.T) {
	conditional := func(s, condition string) string {
		return s[:len(s)-1] + `,"Condition":{"StringEquals":{"k":"` + condition + `"}}}`
	}
	not := func(s string) string {
		return strings.NewReplacer(`"Action"`, `"NotAction"`, `"Resource"`, `"NotResource"`).Replace(s)
	}
	tests := map[string]struct {
		from, to []string
		want     int
	}{
		"nothing changes":                             {from: []string{allowing("a b", "r s")}, to: []string{allowing("b a", "s r")}},
		"everything goes":                             {from: []string{allowing("a b", "r s t")}, want: 6},
		"an action goes":                              {from: []string{allowing("a b", "r s t")}, to: []string{allowing("a", "r s t")}, want: 3},
		"a resource goes":                             {from: []string{allowing("a b", "r s t")}, to: []string{allowing("a b", "r s")}, want: 2},
		"a statement of two goes":                     {from: []string{allowing("a", "r"), allowing("a b", "r s")}, to: []string{allowing("a", "r")}, want: 3},
		"pairs that two statements give count once":   {from: []string{allowing("a b", "r"), allowing("a", "r s")}, want: 3},
		"more is given":                               {from: []string{allowing("a", "r")}, to: []string{allowing("a b", "r s")}},
		"one statement becomes two":                   {from: []string{allowing("a b", "r s")}, to: []string{allowing("a", "r s"), allowing("b", "r s")}},
		"two statements that only look like the one":  {from: []string{allowing("a b", "r s")}, to: []string{allowing("a", "r"), allowing("b", "s")}, want: 2},
		"case of an action":                           {from: []string{allowing("a", "r")}, to: []string{allowing("A", "r")}},
		"case of a resource":                          {from: []string{allowing("a", "r")}, to: []string{allowing("a", "R")}, want: 1},
		"names become a pattern":                      {from: []string{allowing("odps:a odps:b", "t/x1 t/x2")}, to: []string{allowing("odps:*", "t/x*")}},
		"a pattern becomes a wider one":               {from: []string{allowing("odps:*", "p/*/t/x*")}, to: []string{allowing("*", "p/*/t/*")}},
		"a pattern becomes a narrower one":            {from: []string{allowing("odps:*", "p/*/t/*")}, to: []string{allowing("odps:*", "p/*/t/x*")}, want: 1},
		"a pattern becomes another":                   {from: []string{allowing("a", "x*")}, to: []string{allowing("a", "*x")}, want: 1},
		"a pattern becomes names":                     {from: []string{allowing("*", "r")}, to: []string{allowing("a b c", "r")}, want: 1},
		"a pattern that overlaps with itself":         {from: []string{allowing("a", "xyx")}, to: []string{allowing("a", "xy*yx")}, want: 1},
		"a condition is put":                          {from: []string{allowing("a", "r")}, to: []string{conditional(allowing("a", "r"), "v")}, want: 1},
		"a condition changes":                         {from: []string{conditional(allowing("a", "r"), "v")}, to: []string{conditional(allowing("a", "r"), "w")}, want: 1},
		"a condition stays":                           {from: []string{conditional(allowing("a b", "r"), "v")}, to: []string{conditional(allowing("a", "r"), "v")}, want: 1},
		"a condition goes":                            {from: []string{conditional(allowing("a", "r"), "v")}, to: []string{allowing("a", "r")}},
		"a denial of what was given":                  {from: []string{allowing("a b", "r s")}, to: []string{allowing("a b", "r s"), denying("a", "r")}, want: 1},
		"a denial of what was not given":              {to: []string{denying("a b", "r")}, want: 2},
		"a denial that stays":                         {from: []string{allowing("a", "r"), denying("a", "r")}, to: []string{allowing("a", "r"), denying("a", "r")}},
		"a denial that becomes two":                   {from: []string{allowing("a", "*"), denying("a b", "r")}, to: []string{allowing("a", "*"), denying("a", "r"), denying("b", "r")}},
		"a denial that becomes narrower":              {from: []string{allowing("a", "r"), denying("*", "*")}, to: []string{allowing("a", "r"), denying("a", "r")}},
		"a denial that goes":                          {from: []string{allowing("a", "r"), denying("a", "r")}, to: []string{allowing("a", "r")}},
		"a denial of all":                             {from: []string{allowing("a b", "r s")}, to: []string{allowing("a b", "r s"), denying("*", "*")}, want: 5},
		"a denial of part of a pattern":               {from: []string{allowing("a", "x*")}, to: []string{allowing("a", "x*"), denying("a", "x1")}, want: 1},
		"a denial that loses its condition":           {from: []string{allowing("a", "r"), conditional(denying("a", "r"), "v")}, to: []string{allowing("a", "r"), denying("a", "r")}, want: 1},
		"a denial of all but some":                    {from: []string{allowing("a b", "r s")}, to: []string{allowing("a b", "r s"), not(denying("a", "r"))}, want: 2},
		"an allowance of all but some":                {from: []string{not(allowing("a b", "r s t"))}, want: 1},
		"an allowance of all but fewer":               {from: []string{not(allowing("a b", "r"))}, to: []string{not(allowing("a", "r"))}, want: 1},
		"an allowance of all but some becomes of all": {from: []string{not(allowing("a", "r"))}, to: []string{allowing("*", "*")}},
		"an allowance without resources":              {from: []string{`{"Effect":"allow","Action":["a","b"]}`}, want: 2},
		"an allowance of nothing":                     {from: []string{`{"Effect":"allow","Action":[],"Resource":"r"}`}},
		"an effect that nobody knows":                 {from: []string{strings.Replace(allowing("a", "r"), "Allow", "Audit", 1)}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := acl.Revoked(parse(t, document(tc.from...)), parse(t, document(tc.to...))); got != tc.want {
				t.Errorf("Revoked = %d, want %d", got, tc.want)
			}
		})
	}
}

func TestCountingStaysCheap(t *testing.T) {
	many := func(format string, n int) string {
		words := make([]string, n)
		for i := range words {
			words[i] = fmt.Sprintf(format, i)
		}
		return strings.Join(words, " ")
	}
	var small, other []string
	for i := range 1500 {
		small = append(small, allowing(fmt.Sprintf("a%d", i), "r*"))
		other = append(other, allowing(fmt.Sprintf("a%d*b", i), "*r"))
	}
	stars := strings.Repeat("*a", 15_000)
	tests := map[string]struct {
		from, to []string
		want     int
	}{
		"two long lists":                     {from: []string{allowing(many("%d", 7000), many("%d", 7000))}, want: 49_000_000},
		"two long lists that stay":           {from: []string{allowing(many("%d", 7000), many("%d", 7000))}, to: []string{allowing(many("%d", 7000), many("%d", 7000))}},
		"many statements":                    {from: small, to: other, want: 1500},
		"many statements and a denial":       {from: small, to: append(slices.Clone(small), denying("*", "*")), want: 1501},
		"names and many patterns":            {from: []string{allowing("a", many("x%d", 5000))}, to: []string{allowing("a", many("y%d*", 5000))}, want: 5000},
		"one name that patterns hardly miss": {from: []string{allowing("a", strings.Repeat("a", 30_000))}, to: []string{allowing("a", stars+"b"+" "+stars+"c")}, want: 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			from, to := parse(t, document(tc.from...)), parse(t, document(tc.to...))
			began := time.Now()
			if got := acl.Revoked(from, to); got != tc.want {
				t.Errorf("Revoked = %d, want %d", got, tc.want)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// A model of a statement, from which documents are spelt in many ways and by which requests are judged without the code under test.
type model struct {
	effect      string
	notAction   bool
	actions     []string
	notResource bool
	resources   []string
	condition   string
	note        int
}

func (w world) models(size int) []model {
	actions := []string{"odps:Select", "odps:Describe", "odps:Drop", "odps:*", "*", "odps:D*"}
	resources := []string{"t.orders", "t.Orders", "t.o*", "t.*", "*", "t.users"}
	pick := func(from []string) []string {
		out := make([]string, 1+w.IntN(3))
		for i := range out {
			out[i] = from[w.IntN(len(from))]
		}
		return out
	}
	var out []model
	for range w.IntN(size + 1) {
		m := model{effect: "Allow", actions: pick(actions), resources: pick(resources)}
		if w.IntN(4) == 0 {
			m.effect = "Deny"
		}
		m.notAction, m.notResource = w.IntN(8) == 0, w.IntN(8) == 0
		m.condition = []string{"", "", "", "10.0.0.0/8", "10.1.0.0/16"}[w.IntN(5)]
		m.note = max(0, w.IntN(8)-5)
		out = append(out, m)
	}
	return out
}

// spell writes a document that means what the models mean, differently each time.
func (w world) spell(models []model) string {
	statements := []any{}
	for _, m := range models {
		for range 1 + w.IntN(2) {
			statements = append(statements, w.spellStatement(m))
		}
	}
	w.Shuffle(len(statements), func(i, j int) { statements[i], statements[j] = statements[j], statements[i] })
	d := map[string]any{"Statement": statements}
	if len(models) == 1 && w.IntN(2) == 0 {
		d["Statement"] = statements[0]
	}
	if version := []any{nil, "1", json.Number("1"), json.Number("1.0"), json.Number("10E-1")}[w.IntN(5)]; version != nil {
		d["Version"] = version
	}
	return w.write(d)
}

func (w world) spellStatement(m model) map[string]any {
	s := map[string]any{"Effect": w.recase(m.effect)}
	actions := make([]string, len(m.actions))
	for i, action := range m.actions {
		actions[i] = w.recase(action)
	}
	name := func(not bool, name string) string {
		if not {
			return "Not" + name
		}
		return name
	}
	s[name(m.notAction, "Action")], s[name(m.notResource, "Resource")] = w.list(actions), w.list(m.resources)
	if m.condition != "" {
		s["Condition"] = map[string]any{"IpAddress": map[string]any{"acs:SourceIp": w.list([]string{m.condition})}}
	} else if w.IntN(4) == 0 {
		s["Condition"] = map[string]any{}
	}
	if m.note > 0 {
		format := []string{"%d", "%d.0", "%d0e-1", "0.%de1"}[w.IntN(4)]
		s["Note"] = []any{json.Number(fmt.Sprintf(format, m.note))}
	}
	return s
}

func (w world) list(words []string) any {
	if len(words) == 1 && w.IntN(2) == 0 {
		return words[0]
	}
	words = append(slices.Clone(words), words[w.IntN(len(words))])
	w.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	out := make([]any, len(words))
	for i := range words {
		out[i] = words[i]
	}
	return out
}

// write is a JSON writer with members in any order and white space anywhere.
func (w world) write(value any) string {
	space := func(s string) string { return []string{"", " ", "\n", "\t\r "}[w.IntN(4)] + s }
	var parts []string
	switch v := value.(type) {
	case map[string]any:
		for name, value := range v {
			parts = append(parts, space(w.write(name))+space(":")+w.write(value))
		}
		w.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		return space("{") + strings.Join(parts, space(",")) + space("}")
	case []any:
		for _, value := range v {
			parts = append(parts, w.write(value))
		}
		return space("[") + strings.Join(parts, space(",")) + space("]")
	}
	b, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return space(string(b))
}

// allows judges a request from an address within 10.1.0.0/16, within 10.0.0.0/8 only, or from elsewhere.
func allows(models []model, action, resource string, address int) bool {
	allowed := false
	for _, m := range models {
		met := m.condition == "" || address > 0 && m.condition == "10.0.0.0/8" || address > 1
		if !met || !some(m.actions, strings.ToLower(action), true, m.notAction) || !some(m.resources, resource, false, m.notResource) {
			continue
		}
		if m.effect == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}

func some(patterns []string, name string, fold, not bool) bool {
	for _, pattern := range patterns {
		if fold {
			pattern = strings.ToLower(pattern)
		}
		// The names of models hold no slash, so that path.Match takes a * for any text.
		if met, err := path.Match(pattern, name); met && err == nil {
			return !not
		}
	}
	return not
}

// FuzzDocumentLaws holds the laws that make a difference of documents trustworthy.
func FuzzDocumentLaws(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, seed*31)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		w := world{rand.New(rand.NewPCG(a, b))}
		wanted, had := w.models(5), w.models(5)
		want, have := parse(t, w.spell(wanted)), parse(t, w.spell(append(had, wanted[:w.IntN(len(wanted)+1)]...)))
		ownedDoc := parse(t, w.spell(append(w.models(2), had[:w.IntN(len(had)+1)]...)))
		owned := ownedDoc.Fingerprints()
		check := func(law string, holds bool) {
			t.Helper()
			if !holds {
				t.Errorf("%s\nwant  %s\nhave  %s\nowned %s", law, want, have, ownedDoc)
			}
		}
		again := parse(t, w.spell(wanted))
		check("saying it in another way is the same", again.Equal(want) && cmp.Equal(again.Fingerprints(), want.Fingerprints()))
		check("what is written reads the same", parse(t, want.String()).Equal(want))
		check("what is written is written the same", parse(t, want.String()).String() == want.String())
		check("equality is mutual", want.Equal(have) == have.Equal(want))
		check("fingerprints agree with equality", want.Equal(have) == maps.Equal(want.Fingerprints(), have.Fingerprints()))

		same, changed := acl.DiffDocument(again, want, owned, acl.Authoritative)
		check("what is as wanted needs no change", !changed && same.Equal(want))
		next, changed := acl.DiffDocument(want, have, owned, acl.Authoritative)
		check("authoritative leaves what is wanted", next.Equal(want) && changed == !want.Equal(have))

		next, changed = acl.DiffDocument(want, have, owned, acl.Additive)
		twice, unsettled := acl.DiffDocument(again, parse(t, next.String()), owned, acl.Additive)
		check("a change is told", changed == !next.Equal(have))
		check("applying it twice changes nothing", !unsettled && twice.Equal(next))
		check("additive ensures what is wanted", want.Minus(next).Empty())
		check("additive keeps what is not owned", have.Without(owned).Minus(next).Empty())
		check("additive adds only what is wanted", next.Minus(have).Minus(want).Empty())
		check("additive drops what is owned and no longer wanted", next.Keep(owned).Minus(want).Empty())

		check("keeping and leaving out are halves", have.Keep(owned).Union(have.Without(owned)).Equal(have))
		check("union is commutative", want.Union(have).Equal(have.Union(want)))
		check("nothing is left of what is taken from itself", want.Minus(again).Empty())
		w.checkPairs(check, wanted, want, have, again)
		for range 20 {
			action, resource := []string{"odps:Select", "odps:Describe", "odps:Drop"}[w.IntN(3)], []string{"t.orders", "t.Orders", "t.users", "x"}[w.IntN(4)]
			other, address := w.models(5), w.IntN(3)
			if allows(wanted, action, resource, address) && !allows(other, action, resource, address) {
				check(fmt.Sprintf("no loss goes unnoticed: %s on %s", action, resource), acl.Revoked(want, parse(t, w.spell(other))) > 0)
			}
		}
	})
}

// checkPairs holds the laws of counting.
func (w world) checkPairs(check func(string, bool), wanted []model, want, have, again acl.Document) {
	check("nothing is lost without a change", acl.Revoked(want, again) == 0)
	check("everything is lost when all goes", acl.Revoked(want, acl.Document{}) == want.Pairs())
	check("the spelling does not matter", acl.Revoked(want, have) == acl.Revoked(again, have) && acl.Revoked(have, want) == acl.Revoked(have, again))
	onlyAllows := !slices.ContainsFunc(wanted, func(m model) bool { return m.effect == "Deny" })
	check("allowing more loses nothing", !onlyAllows || acl.Revoked(have, have.Union(want)) == 0)
	check("what allows lose is at most what they gave", !onlyAllows || acl.Revoked(have, want) <= have.Pairs())
}

// FuzzParseDocument holds that whatever comes in, it is refused, or read and written without a change of meaning.
func FuzzParseDocument(f *testing.F) {
	for _, doc := range []string{
		"", "null", "{}", statement(readOrders), `{"Version":1,"Statement":{"Effect":"deny","NotAction":"*","Condition":{"a":{"b":[1,"1",null,{"x":[]}]}},"Principal":{"RAM":[]}}}`,
		`{"Id":1e9999999999,"Statement":[{"X":-0.0}]}`, `{"Id":"\ud800\u2028<"}`, `{"a":1,"a":1}`, `{"Statement":[{"Action":["odps:A","odps:a"],"Resource":[]}]}`, `{"Statement":[{},{}]} `, "\xef\xbb\xbf{}",
		`{"Statement":[{"Principal":null,"Action":null,"Sid":null}]}`, `{"Statement":[{"Condition":{"":{"":[[[]],[[]]]}}}]}`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		d, err := acl.ParseDocument(doc)
		if err != nil {
			if again, stable := acl.ParseDocument(doc); stable.Error() != err.Error() || !d.Empty() || !again.Empty() {
				t.Errorf("%v, then %v", err, stable)
			}
			return
		}
		checkDocument(t, d)
	})
}

func checkDocument(t *testing.T, d acl.Document) {
	t.Helper()
	again := parse(t, d.String())
	if !again.Equal(d) || again.String() != d.String() || !d.Equal(again) {
		t.Errorf("not canonical: %s, then %s", d, again)
	}
	if d.Empty() != d.Equal(acl.Document{}) || !d.Minus(d).Empty() || !d.Union(d).Equal(d) || acl.Revoked(d, again) != 0 {
		t.Errorf("not equal to itself: %s", d)
	}
	for _, s := range d.Statements() {
		if found := d.Keep(map[string]bool{s.Fingerprint(): true}).Statements(); len(found) != 1 || found[0].String() != s.String() {
			t.Errorf("the fingerprint of %s finds %v", s, found)
		}
	}
	if strings.Contains(d.String(), "\n") {
		t.Errorf("not compact: %s", d)
	}
}
