package browser_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/auditpage"
	"github.com/maxcompute-operator/maxcompute-operator/test/browser/sample"
)

// wide is a page of more lines in a list than the screen shows at once.
func wide() auditpage.Page {
	return sample.Random(sample.Size{Seed: 5, Principals: 100, Roles: 30, GrantsOfRole: 15, RolesOfPrincipal: 1, Objects: 90})
}

// long is a page with few columns.
func long() auditpage.Page {
	return sample.Random(sample.Size{Seed: 6, Principals: 220, Roles: 10, GrantsOfRole: 2, RolesOfPrincipal: 1, Objects: 10})
}

// TestPrinting: paper has everything that the filter lets through, the filter as a sentence, and nothing to click.
func TestPrinting(t *testing.T) {
	browser := start(t)
	tests := map[string]struct {
		page     auditpage.Page
		query    query
		view     string
		sentence string
		list     bool
	}{
		"a small matrix": {sample.Small(), query{}, "matrix", "No filter. Shown: 5 of 5 principals and 7 of 7 objects.", false},
		"a filtered matrix": {sample.Small(), query{principal: "bob", role: "analyst", state: "drift"}, "matrix",
			"Filter: principal has “bob”; role is analyst; state is drift. Shown: 1 of 5 principals and 1 of 7 objects.", false},
		"a matrix that is too wide, as a list": {wide(), query{}, "matrix", "No filter. Shown: 100 of 100 principals and 90 of 90 objects.", true},
		"a matrix that is too long, as a list": {long(), query{}, "matrix", "No filter. Shown: 220 of 220 principals and 10 of 10 objects.", true},
		"a long list, whole":                   {wide(), query{sort: "principal"}, "list", "No filter. Shown: 100 of 100 principals and 90 of 90 objects.", true},
		"nothing":                              {sample.Small(), query{principal: "mallory"}, "matrix", "Filter: principal has “mallory”. Shown: 0 of 5 principals and 0 of 7 objects.", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			opened := open(t, browser, tc.page, tc.query.fragment(tc.view))
			before := opened.table()
			if lines := len(solve(tc.page, tc.query).entries); tc.view == "list" && (lines <= 1000 || len(before) != 1001) {
				t.Errorf("of %d lines the screen shows %d", lines, len(before)-1)
			}
			opened.run(`document.querySelector("#table tbody td")?.click()`)
			opened.media("print", "dark")
			opened.checkPaper(tc.sentence)
			want, got := solve(tc.page, tc.query).matrix(), opened.table()
			if tc.list {
				want, got = solve(tc.page, tc.query).list(), withoutHow(got)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the table on paper (-want +got):\n%s", diff)
			}
			opened.media("", "")
			if diff := cmp.Diff(before, opened.table()); diff != "" {
				t.Errorf("the table on the screen, afterwards (-want +got):\n%s", diff)
			}
		})
	}
}

// checkPaper looks at what paper shows beside the table.
func (b *tab) checkPaper(sentence string) {
	b.t.Helper()
	shown := ask[[]string](b, `[...document.querySelectorAll("button, input, select, #controls, #pager, #details, #count")].filter((e) => e.checkVisibility() && !e.closest("#roles td")).map((e) => e.id || e.tagName)`)
	if len(shown) > 0 {
		b.t.Errorf("paper shows %q", shown)
	}
	if got := ask[string](b, `document.getElementById("sentence").innerText`); !strings.HasPrefix(got, sentence) {
		b.t.Errorf("the sentence is %q, want %q", got, sentence)
	}
	got := ask[map[string]string](b, `({
		paper: getComputedStyle(document.body).backgroundColor,
		head: getComputedStyle(document.querySelector("#table thead")).display,
		heading: getComputedStyle(document.querySelector("#table th")).position,
		line: [...new Set([...document.querySelectorAll("tr")].map((line) => getComputedStyle(line).breakInside))].join(),
		scroll: getComputedStyle(document.getElementById("scroll")).overflow,
		more: String(document.querySelectorAll(".more").length),
	})`)
	want := map[string]string{"paper": "rgb(255, 255, 255)", "head": "table-header-group", "heading": "static", "line": "avoid", "scroll": "visible", "more": "0"}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("the style on paper (-want +got):\n%s", diff)
	}
}

var (
	pdfPage = regexp.MustCompile(`/Type\s*/Page\b`)
	pdfBox  = regexp.MustCompile(`/MediaBox\s*\[0 0 ([0-9.]+) ([0-9.]+)\]`)
)

// TestPDF: a browser that prints by itself tells the page of it, and the page is ready at once.
func TestPDF(t *testing.T) {
	p := wide()
	opened := open(t, start(t), p, "kind=Function")
	opened.run(`addEventListener("beforeprint", () => { window.onPaper = ` + readNow + `; })`)
	printed, err := chromedp.Run(opened.ctx, chromedp.PrintToPDF(chromedp.PDFPreferCSSPageSize()))
	must(t, err)
	if diff := cmp.Diff(solve(p, query{kind: "Function"}).list(), withoutHow(ask[[][]string](opened, "window.onPaper"))); diff != "" {
		t.Errorf("the table when it was printed (-want +got):\n%s", diff)
	}
	if pages := len(pdfPage.FindAll(printed, -1)); !bytes.HasPrefix(printed, []byte("%PDF")) || pages < 3 {
		t.Errorf("%d pages in %d bytes", pages, len(printed))
	}
	for _, box := range pdfBox.FindAllSubmatch(printed, -1) {
		if !bytes.HasPrefix(box[1], []byte("84")) || !bytes.HasPrefix(box[2], []byte("59")) {
			t.Errorf("a page is of %s x %s points, and not A4 in landscape", box[1], box[2])
		}
	}
	if got := ask[string](opened, `document.getElementById("table").className`); got != "matrix" {
		t.Errorf("afterwards the screen shows the %s", got)
	}
}
