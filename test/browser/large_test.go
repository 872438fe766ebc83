package browser_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/test/browser/sample"
)

// TestALargeProject: 1,000 principals and 20,000 grants are drawn in parts, and filtered as a whole.
func TestALargeProject(t *testing.T) {
	large := sample.Large()
	opened := open(t, start(t), large, "")
	all := solve(large, query{}).matrix()
	opened.checkPart(t, all, 0, 200, 0, 60)
	opened.press("Next principals")
	opened.press("Next objects")
	opened.checkPart(t, all, 200, 400, 60, 120)
	opened.press("Previous principals")
	opened.checkPart(t, all, 0, 200, 60, 120)
	const sentences = `[...document.querySelectorAll(".pages")].map((e) => e.firstChild.textContent.trim())`
	want := []string{"Only principals 1 to 200 of 1,000 are drawn.", "Only objects 61 to 120 of 5,000 are drawn."}
	if diff := cmp.Diff(want, ask[[]string](opened, sentences)); diff != "" {
		t.Errorf("the sentences (-want +got):\n%s", diff)
	}
	for name, q := range map[string]query{
		"a principal": {principal: "user_0123"}, "a role in drift": {role: "role_017", state: "drift"}, "few objects": {object: "object_0001", action: "Select"},
	} {
		t.Run(name, func(t *testing.T) {
			opened.t = t
			want := solve(large, q)
			opened.follow(q.fragment("matrix"))
			opened.checkPart(t, want.matrix(), 0, 200, 0, 60)
			opened.follow(q.fragment("list"))
			if diff := cmp.Diff(want.list(), withoutHow(opened.table())); diff != "" {
				t.Errorf("the list (-want +got):\n%s", diff)
			}
		})
	}
	opened.t = t
	opened.follow("view=list")
	opened.press("Next lines")
	lines := solve(large, query{}).list()
	if diff := cmp.Diff(append(lines[:1:1], lines[1001:2001]...), withoutHow(opened.table())); diff != "" {
		t.Errorf("the second part of the list (-want +got):\n%s", diff)
	}
}

// press presses the button with the given text.
func (b *tab) press(text string) {
	b.t.Helper()
	b.run(`[...document.querySelectorAll("button")].find((button) => button.textContent === ` + quote(text) + `).click()`)
}

// checkPart compares what is drawn with some lines and columns of a matrix.
func (b *tab) checkPart(t *testing.T, all [][]string, fromLine, toLine, fromColumn, toColumn int) {
	t.Helper()
	part := func(line []string) []string {
		return append(line[:1:1], line[1+min(fromColumn, len(line)-1):1+min(toColumn, len(line)-1)]...)
	}
	want := [][]string{part(all[0])}
	for _, line := range all[1+min(fromLine, len(all)-1) : 1+min(toLine, len(all)-1)] {
		want = append(want, part(line))
	}
	if diff := cmp.Diff(want, b.table()); diff != "" {
		t.Errorf("lines %d to %d and columns %d to %d (-want +got):\n%s", fromLine, toLine, fromColumn, toColumn, diff)
	}
}

// BenchmarkALargeProject tells how long loading takes, and how long after a change of the filter the screen is filled and everything is drawn.
func BenchmarkALargeProject(b *testing.B) {
	browser, large := start(b), sample.Large()
	changes := [][2]string{
		{"principal", "0"}, {"principal", "01"}, {"principal", ""}, {"object", "1"}, {"object", ""}, {"state", "drift"}, {"sort", "marks"}, {"action", "Select"},
		{"view", "list"}, {"state", ""},
	}
	var loaded, filled, done float64
	for b.Loop() {
		opened := open(b, browser, large, "")
		loaded += ask[float64](opened, `performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd`)
		for _, change := range changes {
			took := ask[[]float64](opened, drawn+`.then(async () => {
			const control = document.getElementById(`+quote(change[0])+`), start = performance.now();
			control.value = `+quote(change[1])+`;
			control.dispatchEvent(new Event("input", {bubbles: true}));
			document.body.getBoundingClientRect();
			const first = performance.now() - start;
			await `+drawn+`;
			return [first, performance.now() - start];
		})`)
			filled, done = filled+took[0], done+took[1]
		}
	}
	b.ReportMetric(loaded/float64(b.N), "ms/load")
	b.ReportMetric(filled/float64(b.N*len(changes)), "ms/filled")
	b.ReportMetric(done/float64(b.N*len(changes)), "ms/drawn")
}
