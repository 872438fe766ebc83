package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRefusedFlags(t *testing.T) {
	tests := map[string][]string{
		"all interfaces":         {"--listen", ":0"},
		"an outside address":     {"--listen", "192.0.2.1:0"},
		"no port":                {"--listen", "127.0.0.1"},
		"an id without a secret": {"--access-key-id", "a"},
		"half an identity":       {"--identity", "a:"},
		"a project model":        {"--project", "p:two-tier"},
		"an argument":            {"p"},
		"an unknown flag":        {"--nonsense"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			if run(t.Context(), args, io.Discard, io.Discard) == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, io.Discard, &out); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"--", "address-file", "three-tier", "/_admin/state"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help lacks %q", want)
		}
	}
}

func TestOptions(t *testing.T) {
	cfg, err := parse([]string{
		"--access-key-id", "a", "--access-key-secret", "s", "--identity", "b:t:u", "--project", "p", "--project", "q:three-tier",
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	opts, err := cfg.options()
	if err != nil {
		t.Fatal(err)
	}
	if opts.Identities["a"] != "s" || opts.Identities["b"] != "t:u" {
		t.Errorf("identities: %v", opts.Identities)
	}
	if len(opts.Projects) != 2 || opts.Projects[0].ThreeTier || !opts.Projects[1].ThreeTier {
		t.Errorf("projects: %v", opts.Projects)
	}
}

func TestServesUntilItIsStopped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "address")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	line, stdout := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"--address-file", file, "--project", "p"}, stdout, io.Discard) }()

	printed := make([]byte, 64)
	n, err := line.Read(printed)
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(string(printed[:n]))
	written, err := os.ReadFile(file)
	if err != nil || strings.TrimSpace(string(written)) != url {
		t.Errorf("address file: %q, %v; printed %q", written, err, url)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/_admin/state", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(body), `"name": "p"`) {
		t.Errorf("state: %s, %v", body, err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
}
