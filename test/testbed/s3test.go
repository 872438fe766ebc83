package testbed

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// StartS3 starts an S3 server that ends with the test. If the test fails, it shows what the server has printed.
func StartS3(t testing.TB) *S3 {
	t.Helper()
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := EnsureS3Server(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewS3(binary, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("the S3 server printed:\n%s", s.Output())
		}
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// repository finds the repository's root above the directory that the test runs in.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "hack/s3server/ensure.sh")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find the repository: no directory above holds hack/s3server")
		}
		dir = parent
	}
}
