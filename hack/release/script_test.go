package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheScriptRefuses runs release.sh in a repository that holds nothing else, up to where it refuses.
func TestTheScriptRefuses(t *testing.T) {
	repository := t.TempDir()
	do(t, repository, "mkdir", "-p", "hack/release")
	files, err := filepath.Glob("*")
	must(t, err)
	for _, file := range files {
		do(t, ".", "cp", "-R", file, filepath.Join(repository, "hack/release"))
	}
	write(t, filepath.Join(repository, ".gitignore"), []byte("/bin/\n/dist/\n"))
	do(t, repository, "git", "init", "-q")
	do(t, repository, "git", "add", "-A")
	do(t, repository, "git", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "-qm", "Everything")
	tests := map[string]struct {
		version string
		dirty   bool
		want    string
	}{
		"no version":                  {"", false, "VERSION must be a semantic version"},
		"a version without a v":       {"1.2.3", false, "VERSION must be a semantic version"},
		"files that are in no commit": {"v1.2.3", true, "there are files that differ from the commit"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.dirty {
				added := filepath.Join(repository, "added")
				write(t, added, nil)
				t.Cleanup(func() { do(t, repository, "rm", added) })
			}
			cmd := exec.CommandContext(t.Context(), "hack/release/release.sh", tc.version)
			cmd.Dir = repository
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), tc.want) {
				t.Errorf("error %v, and it says\n%s", err, out)
			}
		})
	}
}

func do(t *testing.T, folder string, command ...string) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...) //nolint:noctx // a cleanup has no context
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
}
