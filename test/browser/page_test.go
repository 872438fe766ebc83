package browser_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/auditpage"
	"github.com/maxcompute-operator/maxcompute-operator/test/browser"
)

// chromium is a browser, with its first tab.
type chromium struct{ ctx context.Context }

// start starts a browser that ends with the test.
func start(t testing.TB) chromium {
	t.Helper()
	path := os.Getenv("CHROMIUM")
	if path == "" {
		t.Fatal("CHROMIUM does not name a browser: run make browser-test")
	}
	// The profile is removed after the browser has stopped: cleanups run from the last to the first.
	profile := t.TempDir()
	ctx, stop := browser.Start(t.Context(), path, profile)
	t.Cleanup(stop)
	must(t, chromedp.Do(ctx))
	return chromium{ctx}
}

// tab is a page in a tab of its own, and what went wrong in it.
type tab struct {
	t   testing.TB
	ctx context.Context

	mu       sync.Mutex
	troubles []string
}

// open opens what Write makes of a page. When the test ends, nothing must have gone wrong in it.
func open(t testing.TB, browser chromium, p auditpage.Page, fragment string) *tab {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.html")
	file, err := os.Create(path)
	must(t, err)
	must(t, auditpage.Write(file, p))
	must(t, file.Close())
	opened := openFile(t, browser, path, fragment)
	t.Cleanup(func() {
		if diff := cmp.Diff([]string(nil), opened.wrong()); diff != "" {
			t.Errorf("what went wrong in the page (-want +got):\n%s", diff)
		}
	})
	return opened
}

func openFile(t testing.TB, in chromium, path, fragment string) *tab {
	t.Helper()
	opened := &tab{t: t}
	ctx, closeTab := chromedp.NewContext(in.ctx, chromedp.WithListener(opened.listen))
	t.Cleanup(closeTab)
	opened.ctx = ctx
	address, err := browser.FileURL(path, fragment)
	must(t, err)
	must(t, chromedp.Do(ctx, chromedp.Navigate(address)))
	return opened
}

// listen takes down errors, whatever the console is told, and dialogs.
func (b *tab) listen(event any) {
	trouble := ""
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		trouble = "console: " + string(e.Type)
	case *runtime.EventExceptionThrown:
		trouble = "exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			trouble += " " + e.ExceptionDetails.Exception.Description
		}
	case *log.EventEntryAdded:
		trouble = "log: " + e.Entry.Text
	case *page.EventJavascriptDialogOpening:
		trouble = "dialog: " + e.Message
		// The page waits until the dialog is answered, and this function must not wait for the answer.
		go func() {
			_, _ = chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{}) //nolint:errcheck // the tab may be closed already
		}()
	}
	if trouble != "" {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.troubles = append(b.troubles, trouble)
	}
}

func (b *tab) wrong() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.troubles
}

// do runs actions in the page.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	must(b.t, chromedp.Do(b.ctx, actions...))
}

// run runs JavaScript in the page.
func (b *tab) run(script string) {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void]("{" + script + "}"))
}

// ask evaluates JavaScript in the page. What the page draws, it draws before it answers.
func ask[T any](b *tab, script string) T {
	b.t.Helper()
	answer, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	must(b.t, err)
	return answer
}

// choose chooses a value of a control, as the mouse does.
func (b *tab) choose(id, value string) {
	b.t.Helper()
	b.run("const c = document.getElementById(" + quote(id) + "); c.value = " + quote(value) + "; c.dispatchEvent(new Event('input', {bubbles: true}))")
}

// follow changes the fragment of the address, and waits until the page has heard of it.
func (b *tab) follow(fragment string) {
	b.t.Helper()
	_, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`new Promise((resolve) => {
		const wanted = "#" + `+quote(fragment)+`;
		if (location.hash === wanted || location.hash + "#" === wanted) return resolve(true);
		addEventListener("hashchange", () => resolve(true), {once: true});
		location.hash = wanted;
	})`, chromedp.EvalAwaitPromise))
	must(b.t, err)
}

// table is what the table shows when all its lines are drawn: the texts of its cells, line by line, without marks and kinds.
func (b *tab) table() [][]string {
	b.t.Helper()
	return ask[[][]string](b, drawn+".then(() => "+readNow+")")
}

// readNow reads what is drawn of the table.
const readNow = `[...document.getElementById("table").rows].map((line) => [...line.cells].map((cell) => {
	const copy = cell.cloneNode(true);
	for (const extra of copy.querySelectorAll(".mark, .kind")) extra.remove();
	return copy.textContent.trim();
}))`

// drawn is a promise in JavaScript that all lines are drawn.
const drawn = `new Promise((resolve) => {
	const table = document.getElementById("table");
	const look = () => { if (!table.hasAttribute("aria-busy")) resolve(); };
	new MutationObserver(look).observe(table, {attributes: true});
	look();
})`

func quote(text string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`", "${", "\\${").Replace(text) + "`"
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
