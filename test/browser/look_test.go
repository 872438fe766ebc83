package browser_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/auditpage"
	"github.com/maxcompute-operator/maxcompute-operator/test/browser/sample"
)

// details are the texts of the panel, empty if it is not there.
func (b *tab) details() []string {
	b.t.Helper()
	return ask[[]string](b, `document.getElementById("details").checkVisibility() ? [...document.querySelectorAll("#details :is(h2, h3, p, li)")].map((e) => e.textContent) : []`)
}

// focused is where the keyboard is in the table: the line and the column, or the name of another element.
func (b *tab) focused() string {
	b.t.Helper()
	return ask[string](b, `(() => { const e = document.activeElement; return e.cellIndex === undefined ? e.id : e.parentElement.rowIndex + "," + e.cellIndex; })()`)
}

func TestDetailsOfACell(t *testing.T) {
	browser := start(t)
	tests := map[string]struct {
		fragment string
		// line counts from 1 below the heading.
		line, column int
		want         []string
	}{
		"denied, unmanaged and through two grants": {"", 4, 2, []string{
			"ALIYUN$dave@example.com on table default.orders",
			"DropU× denied",
			"member of role legacyU → ACL entry Drop, Select on table default.ordersU → managed by no object",
			`member of role restricted → policy statement {"Effect":"Deny","Action":["odps:Drop"],"Resource":["acs:odps:*:projects/sales/schemas/default/tables/*"]} (denies) → managed by data/restricted`,
			"SelectU allowed",
			"member of role legacyU → ACL entry Drop, Select on table default.ordersU → managed by no object",
		}},
		"also what the filter holds back": {"principal=bob&action=Download", 1, 1, []string{
			"RAM$example:bob on table default.customers",
			"Download allowed",
			"permission request Download on table default.customers → managed by team-a/quarter-close → ends 2026-04-01T00:00:00Z",
			"SelectD allowed",
			"member of role analyst → ACL entry Select on table default.customersD → managed by data/analyst",
		}},
		"why it is unclear": {"", 4, 6, []string{
			"ALIYUN$dave@example.com on function mask_phone",
			"Read? unclear",
			`member of role restricted → policy statement {"Effect":"Allow","Action":["odps:Read"],"Resource":["acs:odps:*:projects/sales/registration/functions/mask_phone"],` +
				`"Condition":{"IpAddress":{"acs:SourceIp":["192.0.2.0/24"]}}}? → managed by data/restrictedUnclear: The condition acs:SourceIp depends on the request.`,
		}},
		"nothing":                     {"", 5, 1, []string{"RAM$example:erin on project sales", "The principal has nothing on this object."}},
		"a principal":                 {"", 2, 0, []string{"RAM$example:alice", "Member of 1 role.", "member of role analystD", "Show only this principal"}},
		"a line of the list":          {"view=list&principal=carol", 1, 2, []string{"RAM$example:carol on project sales", "List allowed", "member of role analyst → ACL entry List on project sales → managed by data/analyst"}},
		"a principal in the list":     {"view=list&principal=erin", 1, 1, []string{"RAM$example:erin", "Member of 0 roles.", "Show only this principal"}},
		"a cell of a sorted matrix":   {"sort=principal", 1, 1, []string{"ALIYUN$dave@example.com on project sales", "The principal has nothing on this object."}},
		"a cell of a filtered matrix": {"object=mask", 1, 1, []string{"ALIYUN$dave@example.com on function mask_phone", "Read? unclear"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			opened := open(t, browser, sample.Small(), tc.fragment)
			opened.do(chromedp.Click(chromedp.CSS(fmt.Sprintf("#table tbody tr:nth-child(%d) > :nth-child(%d)", tc.line, tc.column+1))))
			got := opened.details()
			if diff := cmp.Diff(tc.want, got[:min(len(got), len(tc.want))]); diff != "" {
				t.Errorf("the details (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTheKeyboardReachesEverything: Tab reaches one cell, arrows the others, Enter opens the details, and Escape leads back.
func TestTheKeyboardReachesEverything(t *testing.T) {
	opened := open(t, start(t), sample.Small(), "")
	if got := ask[int](opened, `document.querySelectorAll("#table [tabindex='0']").length`); got != 1 {
		t.Errorf("Tab stops %d times in the table", got)
	}
	opened.do(chromedp.Focus(chromedp.CSS("#print")), chromedp.KeyEvent(kb.Tab))
	steps := []struct{ key, want string }{
		{"", "1,1"}, {kb.ArrowRight, "1,2"}, {kb.ArrowDown, "2,2"}, {kb.ArrowLeft, "2,1"}, {kb.ArrowUp, "1,1"}, {kb.ArrowUp, "0,1"}, {kb.ArrowUp, "0,1"},
		{kb.End, "0,7"}, {kb.ArrowRight, "0,7"}, {kb.Home, "0,0"}, {kb.PageDown, "5,0"}, {kb.ArrowRight, "5,1"}, {kb.PageUp, "0,1"}, {kb.ArrowDown, "1,1"},
		{kb.Enter, "details"}, {kb.Escape, "1,1"}, {kb.ArrowLeft, "1,0"}, {kb.Enter, "details"}, {kb.Escape, "1,0"},
	}
	for i, step := range steps {
		if step.key != "" {
			opened.do(chromedp.KeyEvent(step.key))
		}
		if got := opened.focused(); got != step.want {
			t.Fatalf("after step %d the focus is at %s, want %s", i, got, step.want)
		}
		if shown := len(opened.details()) > 0; shown != (step.want == "details") {
			t.Errorf("after step %d the details are there: %t", i, shown)
		}
	}
}

// TestShowOnly: what a heading or a role leads to is a filter.
func TestShowOnly(t *testing.T) {
	small := sample.Small()
	browser := start(t)
	tests := map[string]struct {
		click string
		want  query
	}{
		"a principal": {"#table tbody tr:nth-child(2) th", query{principal: "RAM$example:alice"}},
		"an object":   {"#table thead th:nth-child(3)", query{object: "default.orders", kind: "Table"}},
		"a role":      {"#roles tbody tr:nth-child(2) button", query{role: "engineer"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			opened := open(t, browser, small, "action=Select")
			opened.do(chromedp.Click(chromedp.CSS("#reset")), chromedp.Click(chromedp.CSS(tc.click)), chromedp.Click(chromedp.CSS("#details-body button")))
			if diff := cmp.Diff(solve(small, tc.want).matrix(), opened.table()); diff != "" {
				t.Errorf("the matrix (-want +got):\n%s", diff)
			}
			if got := opened.details(); len(got) > 0 {
				t.Errorf("the details are still there: %q", got)
			}
		})
	}
}

// TestMarksAreNotColoursAlone: each has a sign, a shape and a word.
func TestMarksAreNotColoursAlone(t *testing.T) {
	opened := open(t, start(t), sample.Small(), "")
	got := ask[[]string](opened, `[...new Set([...document.querySelectorAll("#table .mark")].map((m) => {
		const style = getComputedStyle(m);
		const round = parseFloat(style.borderTopLeftRadius) > 5 ? "round" : "square";
		const border = style.borderTopColor === "rgba(0, 0, 0, 0)" ? "none" : style.borderTopStyle + " " + round;
		return [m.textContent, border, m.getAttribute("role"), m.getAttribute("aria-label"), m.title].join("; ");
	}))].sort()`)
	want := []string{
		"?; dashed square; img; unclear; Unclear: it cannot be told whether it applies",
		"D; solid square; img; drift; Drift: the object that manages it does not have it",
		"U; solid round; img; unmanaged; Unmanaged: no object speaks of it",
		"×; none; img; denied; Denied",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the marks (-want +got):\n%s", diff)
	}
}

// TestContrast is what the Web Content Accessibility Guidelines ask for at level AA: 4.5 to 1 for text, in both schemes.
func TestContrast(t *testing.T) {
	browser := start(t)
	for _, scheme := range []string{"light", "dark"} {
		t.Run(scheme, func(t *testing.T) {
			opened := open(t, browser, sample.Small(), "")
			opened.media("", scheme)
			opened.run(`document.querySelector("#table tbody td").click()`)
			if got := ask[[]string](opened, poorContrast); len(got) > 0 {
				t.Errorf("texts of a contrast below 4.5:\n%s", strings.Join(got, "\n"))
			}
			background := ask[string](opened, "getComputedStyle(document.body).backgroundColor")
			if isLight := background == "rgb(255, 255, 255)"; isLight != (scheme == "light") {
				t.Errorf("the background is %s", background)
			}
		})
	}
}

// poorContrast names the elements with a text of their own that is hard to read.
const poorContrast = `(() => {
	const channels = (color) => color.match(/[\d.]+/g).map(Number);
	const luminance = (color) => {
		const [r, g, b] = channels(color).map((c) => { const s = c / 255; return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; });
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const color = getComputedStyle(e).backgroundColor;
			if (channels(color)[3] !== 0) return color;
		}
		return "rgb(255, 255, 255)";
	};
	const poor = [];
	for (const e of document.body.querySelectorAll("*")) {
		const text = [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim() !== "");
		if (!text || !e.checkVisibility() || e.disabled) continue;
		const a = luminance(getComputedStyle(e).color), b = luminance(behind(e));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) poor.push(e.tagName + "." + e.className + " " + ratio.toFixed(2));
	}
	return [...new Set(poor)];
})()`

// media makes the page believe that it is on another medium, or in another scheme, and waits until it has heard of it.
func (b *tab) media(medium, scheme string) {
	b.t.Helper()
	params := emulation.SetEmulatedMediaParams{Media: medium}
	if scheme != "" {
		params.Features = []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	}
	b.run(`const query = matchMedia("print");
		window.heard = query.matches === ` + fmt.Sprint(medium == "print") + ` ? Promise.resolve(true) : new Promise((resolve) => query.addEventListener("change", () => resolve(true), {once: true}))`)
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, params)
	must(b.t, err)
	ask[bool](b, "window.heard")
}

// TestNamesAreText: names that would like to be more stay texts, wherever they are shown, and do not push the page apart.
func TestNamesAreText(t *testing.T) {
	names := []string{
		"<script>alert(1)</script>", "</script><img src=x onerror=alert(1)>", `"><b onclick=alert(1)>`, "</title><script>alert(1)</script>", "<!--<script>",
		"javascript:alert(1)", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629", strings.Repeat("w", 500), "constructor", "__proto__", "&lt;i&gt;",
	}
	p := hostile(names)
	p.Principals = append(p.Principals, auditpage.Principal{Name: "alice\u202ecod.exe", Profile: 0})
	browser := start(t)
	for _, view := range []string{"matrix", "list"} {
		t.Run(view, func(t *testing.T) {
			opened := open(t, browser, p, "view="+view)
			table := opened.table()
			for _, name := range append(slices.Clone(names), "alice[U+202E]cod.exe") {
				if !slices.ContainsFunc(table, func(line []string) bool { return line[0] == name }) {
					t.Errorf("no line is of %q", name)
				}
			}
			opened.run(`document.querySelector("#table tbody td").click()`)
			opened.checkHarmless(names)
			opened.run(`document.querySelector("#close").click(); document.querySelector("#roles button").click()`)
			opened.checkHarmless(names)
			for _, name := range names {
				opened.choose("role", name)
				opened.checkHarmless(names)
			}
		})
	}
}

// checkHarmless: there are no elements but the page's own, and nothing is wider than it should be.
func (b *tab) checkHarmless(names []string) {
	b.t.Helper()
	got := ask[map[string]any](b, `({
		title: document.title,
		elements: ["script", "img", "a", "i", "iframe"].map((name) => document.querySelectorAll(name).length).join(),
		handlers: [...document.querySelectorAll("*")].filter((e) => [...e.attributes].some((a) => a.name.startsWith("on"))).length,
		tooWide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
		tallLines: [...document.querySelectorAll("#table.matrix tr")].filter((line) => line.offsetHeight > 200).length,
		wideColumns: [...document.querySelectorAll("#table.matrix th")].filter((cell) => cell.offsetWidth > 300).length,
		hiddenMarks: [...document.querySelectorAll("#table .mark")].filter((mark) => {
			const inner = mark.getBoundingClientRect(), outer = mark.closest("td, th").getBoundingClientRect();
			return inner.right > outer.right || inner.bottom > outer.bottom;
		}).length,
		details: Math.max(0, document.getElementById("details").getBoundingClientRect().right - innerWidth),
	})`)
	want := map[string]any{
		"title": names[1] + ": who may do what", "elements": "2,0,0,0,0", "handlers": 0.0, "tooWide": 0.0, "tallLines": 0.0, "wideColumns": 0.0,
		"hiddenMarks": 0.0, "details": 0.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("the page (-want +got):\n%s", diff)
	}
}

// hostile is a page in which everything has one of the names.
func hostile(names []string) auditpage.Page {
	p := auditpage.Page{Project: names[1], Connection: names[0], Endpoint: names[2], Version: names[3], Notes: names, Profiles: []auditpage.Profile{{}}}
	for i, name := range names {
		p.Objects = append(p.Objects, auditpage.Object{Kind: name, Schema: name, Name: name})
		p.Roles = append(p.Roles, auditpage.Role{Name: name, Type: name, Manager: name, Policy: name})
		p.Grants = append(p.Grants, auditpage.Grant{
			Role: i, Source: name, Effect: auditpage.Deny, Text: name, State: auditpage.Drift, Manager: name, Until: name, Unclear: name,
		})
		p.Missing = append(p.Missing, auditpage.Missing{Role: name, What: name, Manager: name})
		p.Principals = append(p.Principals, auditpage.Principal{Name: name, Profile: 0, Roles: []auditpage.Membership{{Role: i, State: auditpage.Unmanaged}}})
		p.Profiles[0].Cells = append(p.Profiles[0].Cells, auditpage.Cell{
			Object: i, Actions: []auditpage.Action{{Name: name, Verdict: auditpage.Denied, Via: []int{i}}},
		})
	}
	return p
}

// TestWithoutScripts: the page says what it needs, and what could not be seen.
func TestWithoutScripts(t *testing.T) {
	opened := open(t, start(t), sample.Small(), "")
	_, err := chromedp.Call(opened.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	must(t, err)
	opened.do(chromedp.Reload())
	// What the page cannot run, the test can: the setting is of the page's own scripts.
	text, err := chromedp.Run(opened.ctx, chromedp.Text(chromedp.CSS("body")))
	must(t, err)
	for _, want := range []string{"This page needs JavaScript", "Who may do what in project sales", "2 grants and memberships in drift", "Permission requests could not be read"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Declared, but not there") {
		t.Errorf("the page shows empty tables:\n%s", text)
	}
}
