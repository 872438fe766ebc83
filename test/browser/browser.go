// Package browser starts a headless Chromium, for tests and screenshots of pages that are files.
package browser

import (
	"context"
	"net/url"
	"os"
	"path/filepath"

	"github.com/chromedp/chromedp"
)

// Start prepares the program at path as a browser with one empty tab; the first action on the context that it returns starts it. The profile
// is a directory that nothing else uses. The browser has ended when stop returns; processes that it started notice that a moment later.
func Start(ctx context.Context, path, profile string) (tab context.Context, stop func()) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.WindowSize(1440, 900),
		// A page has no business on the network, and a name that does not resolve leads nowhere.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND"),
	)
	// Chromium refuses to run as root in its own sandbox. The pages are the project's.
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, release := chromedp.NewExecAllocator(ctx, options...)
	tab, closeTab := chromedp.NewContext(allocator)
	return tab, func() {
		// In order, so that Chromium has ended its own processes before it is killed if it has not.
		_ = chromedp.Cancel(tab) //nolint:errcheck // a browser that never started cannot be closed
		closeTab()
		release()
	}
}

// FileURL is the address of a file, with a fragment unless that is "".
func FileURL(path, fragment string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	address := url.URL{Scheme: "file", Path: filepath.ToSlash(absolute)}
	if fragment == "" {
		return address.String(), nil
	}
	return address.String() + "#" + fragment, nil
}
