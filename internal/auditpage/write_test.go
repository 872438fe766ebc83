package auditpage

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

// example is a page in which every text is the given one.
func example(text string) Page {
	return Page{
		Project: text, Connection: text, Endpoint: text, Version: text, Read: time.Date(2026, time.March, 2, 9, 30, 0, 0, time.FixedZone("", 3600)),
		Objects:    []Object{{Kind: text, Schema: text, Name: text}, {Kind: "Table", Name: "orders"}},
		Principals: []Principal{{Name: text, Profile: 0, Roles: []Membership{{Role: 0, State: Drift}}}, {Name: "bob", Profile: 1}},
		Profiles: []Profile{
			{Cells: []Cell{{Object: 0, Actions: []Action{{Name: text, Verdict: Allowed, Via: []int{0}}}}, {Object: 1, Actions: []Action{{Name: "Select", Verdict: Denied, Via: []int{0, 1}}}}}},
			{},
		},
		Roles: []Role{{Name: text, Type: text, Manager: text, Policy: text, MembersUnknown: true}},
		Grants: []Grant{
			{Role: 0, Source: text, Effect: Allow, Text: text, State: Unmanaged, Manager: text, Until: text, Unclear: text},
			{Role: NoRole, Effect: Deny, Text: "Select on table orders", State: Declared},
		},
		Missing: []Missing{{Role: text, What: text, Manager: text}},
		Notes:   []string{text},
	}
}

func write(t *testing.T, p Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// document is what a browser makes of a page.
type document struct {
	// Elements are the names of elements, and of their attributes, in order.
	Elements []string
	// Texts are those of the elements with an id, of the style sheet and of the title.
	Texts map[string]string
	// Policy is what the page demands.
	Policy string
}

func parse(t *testing.T, page string) document {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	d := document{Texts: map[string]string{}}
	for node := range root.Descendants() {
		if node.Type != html.ElementNode {
			continue
		}
		name, attributes := node.Data, map[string]string{}
		for _, a := range node.Attr {
			name += " " + a.Key
			attributes[a.Key] = a.Val
		}
		d.Elements = append(d.Elements, name)
		if attributes["http-equiv"] == "Content-Security-Policy" {
			d.Policy = attributes["content"]
		}
		switch id := attributes["id"]; {
		case id != "":
			d.Texts[id] = textOf(node)
		case node.Data == "script" || node.Data == "style" || node.Data == "title" || node.Data == "h1":
			d.Texts[node.Data] = textOf(node)
		}
	}
	return d
}

func textOf(node *html.Node) string {
	var b strings.Builder
	for child := range node.Descendants() {
		if child.Type == html.TextNode {
			b.WriteString(child.Data)
		}
	}
	return b.String()
}

// hostile are names that somebody chooses who would like the page to do something.
func hostile() map[string]string {
	return map[string]string{
		"a script":                      "<script>alert(1)</script>",
		"the end of a script":           "</script><img src=x onerror=alert(1)>",
		"the start of another script":   "<!--<script>",
		"the end of a comment":          "--><b>",
		"the end of an attribute":       `"><b onmouseover='alert(1)'>`,
		"the end of a style sheet":      `</style><script>alert(1)</script>`,
		"the end of a string of styles": `"; } } * { display: none } @page { x { content: "\`,
		"the end of a title":            "</title><script>alert(1)</script>",
		"the end of noscript":           "</noscript><b>",
		"an expression":                 "{{.Script}} ${alert(1)} `",
		"an address":                    "javascript:alert(1)",
		"separators of lines":           "a\u2028b\u2029c",
		"a reference to a character":    "&lt;b&gt; &amp;",
		"a turn of the direction":       "alice\u202ecod.exe",
		"what is not UTF-8":             "a\xffb\xc0\xaf",
		"a null byte":                   "a\x00b",
		"500 characters":                strings.Repeat("x", 500),
		"nothing":                       "",
	}
}

func TestNamesStayText(t *testing.T) {
	plain := parse(t, write(t, example("plain")))
	for name, text := range hostile() {
		t.Run(name, func(t *testing.T) {
			page := write(t, example(text))
			checkText(t, plain, page, text)
		})
	}
}

// FuzzNamesStayText: whatever a name is, the page has the elements that it has with any other, and the name is in it.
func FuzzNamesStayText(f *testing.F) {
	for _, text := range hostile() {
		f.Add(text)
	}
	var b bytes.Buffer
	if err := Write(&b, example("plain")); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkText(t, parse(t, b.String()), write(t, example(text)), text)
	})
}

func checkText(t *testing.T, plain document, page, text string) {
	t.Helper()
	got := parse(t, page)
	if diff := cmp.Diff(plain.Elements, got.Elements); diff != "" {
		t.Errorf("elements (-plain +got):\n%s", diff)
	}
	shown := visible(text)
	if want := "Who may do what in project " + shown; got.Texts["h1"] != want {
		t.Errorf("the heading is %q, want %q", got.Texts["h1"], want)
	}
	if want := shown + ": who may do what"; got.Texts["title"] != want {
		t.Errorf("the title is %q, want %q", got.Texts["title"], want)
	}
	var content struct{ Principals, Roles, Objects [][]any }
	if err := json.Unmarshal([]byte(got.Texts["data"]), &content); err != nil {
		t.Fatal(err)
	}
	for what, cell := range map[string]any{"principal": content.Principals[0][0], "role": content.Roles[0][0]} {
		if cell != shown {
			t.Errorf("the name of the %s is %q, want %q", what, cell, shown)
		}
	}
	checkPolicy(t, got)
}

// checkPolicy: nothing runs and nothing styles but what the package wrote.
func checkPolicy(t *testing.T, d document) {
	t.Helper()
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	want := "default-src 'none'; script-src " + hash(d.Texts["script"]) + "; style-src " + hash(d.Texts["style"]) + "; base-uri 'none'; form-action 'none'"
	if d.Policy != want {
		t.Errorf("the policy is\n%s\nand should be\n%s", d.Policy, want)
	}
	if d.Texts["script"] != script {
		t.Error("the script is not that of the package")
	}
	if body, isOurs := strings.CutPrefix(d.Texts["style"], style); !isOurs || !footerRule.MatchString(body) {
		t.Errorf("the style sheet goes on with %q", body)
	}
}

// footerRule is all that a page adds to the style sheet: one string, in which every character that could end it is escaped.
var footerRule = regexp.MustCompile(`^@page \{ @bottom-left \{ content: "([A-Za-z0-9 ]|\\[0-9a-f]{6} )*"; \} \}\n$`)

func TestVisible(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"what is seen stays":                   {"RAM$example:zoë 数据", "RAM$example:zoë 数据"},
		"marks of direction are shown":         {"a\u202eb\u200f", "a[U+202E]b[U+200F]"},
		"what has no width is shown":           {"ali\u200bce", "ali[U+200B]ce"},
		"spaces that only look like one, too":  {"a\u00a0b", "a[U+00A0]b"},
		"control characters are shown":         {"a\x00\n\x1b", "a[U+0000][U+000A][U+001B]"},
		"what is not UTF-8 is one sign a byte": {"a\xff\u200b", "a\ufffd[U+200B]"},
		"a separator of lines is a character":  {"\u2028", "[U+2028]"},
		"bytes that are not UTF-8 alone, too":  {"a\xc0\xaf", "a\ufffd\ufffd"},
		"nothing stays nothing":                {"", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := visible(tc.text); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestTheSamePageGivesTheSameBytes also where its time is told in another zone.
func TestTheSamePageGivesTheSameBytes(t *testing.T) {
	p := example("plain")
	first := write(t, p)
	p.Read = p.Read.UTC()
	if diff := cmp.Diff(first, write(t, p)); diff != "" {
		t.Errorf("the second page differs (-first +second):\n%s", diff)
	}
}

// TestNothingIsLoaded: the page needs nothing beside itself, and leads nowhere.
func TestNothingIsLoaded(t *testing.T) {
	page := write(t, example("plain"))
	if found := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9]+\.|url\(|@import|\bsrc=|\bhref=|fetch\(|XMLHttpRequest|innerHTML|insertAdjacentHTML|outerHTML|eval\(`).FindString(page); found != "" {
		t.Errorf("the page holds %q", found)
	}
	for _, element := range parse(t, page).Elements {
		if regexp.MustCompile(`^(link|img|iframe|object|embed|a|base)\b| (src|href|style|on\w+)\b`).MatchString(element) {
			t.Errorf("the page has the element %q", element)
		}
	}
}

func TestSummary(t *testing.T) {
	tests := map[string]struct {
		page Page
		want string
	}{
		"of a page with one of each": {example("x"), "2 principals 2 objects 1 role 1 grant or membership in drift D 1 grant or membership unmanaged U 1 grant unclear ? 1 declared, but not there"},
		"of an empty page":           {Page{}, "0 principals 0 objects 0 roles 0 grants and memberships in drift D 0 grants and memberships unmanaged U 0 grants unclear ? 0 declared, but not there"},
		"of a page with thousands": {Page{Objects: make([]Object, 1234567)},
			"0 principals 1,234,567 objects 0 roles 0 grants and memberships in drift D 0 grants and memberships unmanaged U 0 grants unclear ? 0 declared, but not there"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(strings.Fields(parse(t, write(t, tc.page)).Texts["summary"]), " ")
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// TestWhatNeedsNoScript: a reader whose browser runs no scripts learns what could not be seen, and what to do.
func TestWhatNeedsNoScript(t *testing.T) {
	got := parse(t, write(t, example("a note"))).Texts["notes"]
	for _, want := range []string{"a note", "The members of 1 of the roles are not known."} {
		if !strings.Contains(got, want) {
			t.Errorf("the notes lack %q:\n%s", want, got)
		}
	}
	if page := write(t, example("x")); !strings.Contains(page, "<noscript><p class=\"warning\">This page needs JavaScript") {
		t.Error("the page does not say that it needs JavaScript")
	}
	if notes, ok := parse(t, write(t, Page{})).Texts["notes"]; ok {
		t.Errorf("a page without notes has %q", notes)
	}
}

func TestFooterIsShort(t *testing.T) {
	p := example(strings.Repeat("数", 500))
	if _, body, _ := strings.Cut(parse(t, write(t, p)).Texts["style"], "@bottom-left"); len(body) > 120*9+200 {
		t.Errorf("the footer is of %d bytes", len(body))
	}
}

func TestWriteRefuses(t *testing.T) {
	tests := map[string]struct {
		breakIt func(*Page)
		want    string
	}{
		"a profile that does not exist":        {func(p *Page) { p.Principals[0].Profile = 2 }, `check the page: principal "x" has a profile that does not exist`},
		"a negative profile":                   {func(p *Page) { p.Principals[0].Profile = -1 }, `check the page: principal "x" has a profile that does not exist`},
		"a membership of no role":              {func(p *Page) { p.Principals[0].Roles[0].Role = 1 }, `check the page: principal "x" has a role that does not exist`},
		"a membership in an unknown state":     {func(p *Page) { p.Principals[0].Roles[0].State = "Lost" }, `check the page: principal "x" has a role in the unknown state "Lost"`},
		"a cell of no object":                  {func(p *Page) { p.Profiles[0].Cells[1].Object = 2 }, "check the page: a cell is of an object that does not exist"},
		"two cells of an object":               {func(p *Page) { p.Profiles[0].Cells[1].Object = 0 }, `check the page: the cell of object "x.x" is not in ascending order`},
		"an unknown verdict":                   {func(p *Page) { p.Profiles[0].Cells[0].Actions[0].Verdict = "" }, `check the page: action "x" has the unknown verdict ""`},
		"an action through no grant":           {func(p *Page) { p.Profiles[0].Cells[0].Actions[0].Via[0] = 2 }, `check the page: action "x" is through a grant that does not exist`},
		"a grant of no role":                   {func(p *Page) { p.Grants[0].Role = 1 }, `check the page: grant "x" is of a role that does not exist`},
		"a grant below what stands for no one": {func(p *Page) { p.Grants[0].Role = -2 }, `check the page: grant "x" is of a role that does not exist`},
		"an unknown effect":                    {func(p *Page) { p.Grants[0].Effect = "allow" }, `check the page: grant "x" has the unknown effect "allow"`},
		"an unknown state":                     {func(p *Page) { p.Grants[0].State = "declared" }, `check the page: grant "x" has the unknown state "declared"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := example("x")
			tc.breakIt(&p)
			var b bytes.Buffer
			if err := Write(&b, p); err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %s", err, tc.want)
			}
			if b.Len() > 0 {
				t.Errorf("%d bytes were written", b.Len())
			}
		})
	}
}

type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteTellsWhenItCannotWrite(t *testing.T) {
	if err := Write(full{}, example("x")); !errors.Is(err, errFull) {
		t.Errorf("error %v, want one that wraps %v", err, errFull)
	}
}
