// Command screenshot takes a picture of a page that is a file, as the documentation shows it:
//
//	CHROMIUM=$(hack/chromium/ensure.sh) go run ./screenshot PAGE.html OUT.png [WIDTHxHEIGHT] [#FRAGMENT]
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/chromedp/chromedp"

	"github.com/maxcompute-operator/maxcompute-operator/test/browser"
)

const usage = "usage: screenshot PAGE.html OUT.png [WIDTHxHEIGHT] [#FRAGMENT], with the path of Chromium in CHROMIUM"

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv("CHROMIUM")); err != nil {
		fmt.Fprintln(os.Stderr, "screenshot:", err)
		os.Exit(1)
	}
}

// picture is what was asked for.
type picture struct {
	page, file    string
	width, height int64
	fragment      string
}

func parse(args []string) (picture, error) {
	if len(args) < 2 || len(args) > 4 {
		return picture{}, errors.New(usage)
	}
	p := picture{page: args[0], file: args[1], width: 1440, height: 900}
	for _, arg := range args[2:] {
		fragment, isFragment := strings.CutPrefix(arg, "#")
		if isFragment {
			p.fragment = fragment
			continue
		}
		width, height, _ := strings.Cut(arg, "x")
		var widthErr, heightErr error
		p.width, widthErr = strconv.ParseInt(width, 10, 32)
		p.height, heightErr = strconv.ParseInt(height, 10, 32)
		if widthErr != nil || heightErr != nil || p.width < 1 || p.height < 1 {
			return picture{}, fmt.Errorf("%q is neither a size nor a fragment: %s", arg, usage)
		}
	}
	return p, nil
}

func run(ctx context.Context, args []string, chromium string) error {
	p, err := parse(args)
	if err != nil {
		return err
	}
	if chromium == "" {
		return errors.New(usage)
	}
	if _, err := os.Stat(p.page); err != nil {
		return fmt.Errorf("find the page: %w", err)
	}
	address, err := browser.FileURL(p.page, p.fragment)
	if err != nil {
		return fmt.Errorf("find the page: %w", err)
	}
	taken, err := take(ctx, chromium, address, p)
	if err != nil {
		return fmt.Errorf("take the picture: %w", err)
	}
	if err := os.WriteFile(p.file, taken, 0o644); err != nil { //nolint:gosec // a picture for everybody
		return fmt.Errorf("write the picture: %w", err)
	}
	return nil
}

// take gives Chromium a profile that lives as long as it.
func take(ctx context.Context, chromium, address string, p picture) ([]byte, error) {
	profile, err := os.MkdirTemp("", "screenshot-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(profile) //nolint:errcheck // of a temporary directory
	tab, stop := browser.Start(ctx, chromium, profile)
	defer stop()
	err = chromedp.Do(tab, chromedp.EmulateViewport(p.width, p.height), chromedp.Navigate(address))
	if err != nil {
		return nil, err
	}
	return chromedp.Run(tab, chromedp.CaptureScreenshot())
}
