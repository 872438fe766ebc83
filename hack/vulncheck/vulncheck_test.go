// Package vulncheck holds the script of make vulncheck, and its test.
package vulncheck

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestVulncheck runs the script on a small package with made-up databases, and with a network on which nobody answers.
func TestVulncheck(t *testing.T) {
	scan := func(env ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "./vulncheck.sh", "../../internal/schedule")
		cmd.Env = slices.Concat(os.Environ(), []string{"VULNCHECK_REQUIRED=", "GOVULNDB="}, env)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	// The first scan has the network as it is. On a new machine it downloads and builds the scanner, which the cases below could not.
	if out, err := scan(database(t, "clean")); err != nil || !strings.Contains(out, "No vulnerabilities found.") {
		t.Fatalf("a scan where the database holds nothing: %v\n%s", err, out)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	closed := []string{"HTTPS_PROXY=" + server.URL, "NO_PROXY=", "no_proxy="}
	tests := map[string]struct {
		env   []string
		fails bool
		says  string
	}{
		"fails at a vulnerability":                   {[]string{database(t, "finding")}, true, "GO-0000-0001"},
		"is skipped where nobody answers":            {closed, false, "vulncheck: SKIPPED: the vulnerability database https://vuln.go.dev does not answer\n"},
		"is not skipped where a scan is required":    {append(slices.Clone(closed), "VULNCHECK_REQUIRED=1"), true, "connection refused"},
		"is not skipped where a database was chosen": {[]string{database(t, "missing")}, true, "missing"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			out, err := scan(tc.env...)
			if fails := err != nil; fails != tc.fails || !strings.Contains(out, tc.says) || fails && strings.Contains(out, "SKIPPED") {
				t.Errorf("it fails: %t, want %t; it says %q, want %q", fails, tc.fails, out, tc.says)
			}
		})
	}
}

// database is a database in testdata.
func database(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return "GOVULNDB=file://" + filepath.ToSlash(path)
}
