package browser_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestTroubleIsSeen: a page that does what the others must not do is found out, so that silence means something.
func TestTroubleIsSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.html")
	must(t, os.WriteFile(path, []byte(`<!DOCTYPE html><meta http-equiv="Content-Security-Policy" content="img-src 'none'"><title>x</title>
		<script>console.error("broken"); alert("hello"); setTimeout(() => { throw new Error("thrown") })</script>
		<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">`), 0o600))
	opened := openFile(t, start(t), path, "")
	// The exception is thrown in a turn of its own, before this one.
	ask[bool](opened, `new Promise((resolve) => setTimeout(() => resolve(true), 1))`)
	opened.do(chromedp.Reload())
	ask[bool](opened, `new Promise((resolve) => setTimeout(() => resolve(true), 1))`)
	got := opened.wrong()
	for _, want := range []string{"console: error", "dialog: hello", "exception: Uncaught Error: thrown", "violates the following Content Security Policy directive"} {
		if !slices.ContainsFunc(got, func(trouble string) bool { return strings.Contains(trouble, want) }) {
			t.Errorf("%q was not seen in\n%s", want, strings.Join(got, "\n"))
		}
	}
}
