// Package vulncheck holds the script of make vulncheck, and its test.
package vulncheck

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	host    = "vuln.go.dev"
	skipped = "vulncheck: SKIPPED: the vulnerability database https://vuln.go.dev does not answer\n"
)

// TestVulncheck runs the script on a small package that uses github.com/robfig/cron. The databases in testdata are made up; the public one
// is whatever answers behind the proxy that the script is given.
func TestVulncheck(t *testing.T) {
	const sound, broken = "../../internal/schedule", "./testdata/broken"
	nobody, trusted := "HTTPS_PROXY="+nobody(t), filepath.Join(t.TempDir(), "ca.pem")
	public := certificate(t, trusted)
	tests := map[string]struct {
		scanned string
		env     []string
		fails   bool
		says    string
	}{
		"passes where the database holds nothing":           {sound, []string{database(t, "clean")}, false, "No vulnerabilities found."},
		"fails at a vulnerability":                          {sound, []string{database(t, "finding")}, true, "GO-0000-0001"},
		"fails where the code cannot be read":               {broken, []string{database(t, "clean")}, true, "broken.go"},
		"is skipped where nobody answers":                   {sound, []string{nobody}, false, skipped},
		"is skipped where a proxy refuses":                  {sound, []string{"HTTPS_PROXY=" + serve(t, http.NotFound)}, false, skipped},
		"is not skipped where a scan is required":           {sound, []string{nobody, "VULNCHECK_REQUIRED=1"}, true, "connection refused"},
		"is not skipped where a database was chosen":        {sound, []string{database(t, "missing")}, true, "missing"},
		"fails where the database answers an error":         {sound, []string{proxy(t, public, http.NotFound), "SSL_CERT_FILE=" + trusted}, true, "404 Not Found"},
		"fails where something else answers":                {sound, []string{proxy(t, public, greet), "SSL_CERT_FILE=" + trusted}, true, "unexpected EOF"},
		"fails where somebody poses as the database":        {sound, []string{proxy(t, public, greet)}, true, "failed to verify certificate"},
		"fails where neither code nor database can be read": {broken, []string{nobody}, true, "broken.go"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "./vulncheck.sh", tc.scanned)
			cmd.Env = slices.Concat(os.Environ(), []string{"VULNCHECK_REQUIRED=", "GOVULNDB=", "NO_PROXY=", "no_proxy="}, tc.env)
			out, err := cmd.CombinedOutput()
			if fails := err != nil; fails != tc.fails {
				t.Errorf("it fails: %t, want %t", fails, tc.fails)
			}
			if text := string(out); !strings.Contains(text, tc.says) || strings.Contains(text, "SKIPPED") && text != tc.says {
				t.Errorf("it says\n%s\nand not %q", text, tc.says)
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

func greet(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") } //nolint:errcheck // the client went away

func serve(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server.URL
}

// nobody is an address where nobody answers.
func nobody(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	return server.URL
}

// proxy leads every connection to a server with the given certificate.
func proxy(t *testing.T, public tls.Certificate, answer http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	server.Config.ErrorLog = nil
	server.TLS = &tls.Config{Certificates: []tls.Certificate{public}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return "HTTPS_PROXY=" + serve(t, func(w http.ResponseWriter, r *http.Request) {
		there, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer there.Close() //nolint:errcheck // it may be closed already
		w.WriteHeader(http.StatusOK)
		here, early, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer here.Close() //nolint:errcheck // it may be closed already
		var both sync.WaitGroup
		// What the client has sent already is in early.
		both.Go(func() { _, _ = io.Copy(there, early); _ = there.Close() }) //nolint:errcheck // either end may go away
		both.Go(func() { _, _ = io.Copy(here, there); _ = here.Close() })   //nolint:errcheck // either end may go away
		both.Wait()
	})
}

// certificate makes one for the public database, and a file by which it is trusted.
func certificate(t *testing.T, trusted string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
