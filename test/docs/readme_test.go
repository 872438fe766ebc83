package docs_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/test/helm"
)

// firstRole is the section of the README that takes a newcomer to a Ready role without any other page.
const firstRole = "## Your first role, on this machine\n"

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// TestFirstRole runs what the README tells a newcomer to type, as it stands there, in a copy of the repository.
func TestFirstRole(t *testing.T) {
	_, section, found := strings.Cut(text(t, root+"/README.md"), firstRole)
	if !found {
		t.Fatalf("the README has no section %q", firstRole)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	script := "set -euo pipefail\n"
	for _, block := range shellBlock.FindAllStringSubmatch(section, -1) {
		script += block[1]
	}
	dir := checkout(t)
	build(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-c", script)
	shell.Dir = dir
	var output bytes.Buffer
	shell.Stdout, shell.Stderr = &output, &output
	// What a failure leaves running is in its group.
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
	err := shell.Run()
	_ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) //nolint:errcheck // there may be nothing left
	if err != nil {
		down := exec.Command("make", "dev-down") //nolint:noctx // also after the time is over
		down.Dir = dir
		stopped, downErr := down.CombinedOutput()
		t.Fatalf("%v\n%s\n%s (%v)\nmanager: %s", err, output.String(), stopped, downErr, text(t, filepath.Join(dir, "bin/manager.log")))
	}
	for _, want := range []string{"projectrole.maxcompute-operator.io/bi-reader condition met", "created Role bi_reader, granted 4", `namespace "data-permissions" deleted`} {
		if !strings.Contains(output.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, output.String())
		}
	}
}

// build fetches and builds what the README's commands would on a machine that never did, where that
// takes longer than they may.
func build(t *testing.T, dir string) {
	t.Helper()
	if _, err := helm.Tool(t.Context(), dir, "kustomize"); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "make", "build", "controlplane")
	command.Dir = dir
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// checkout copies what is, or would be, committed: a run of the repository's own must not meet one of the developer's.
func checkout(t *testing.T) string {
	t.Helper()
	list, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		from, to := filepath.Join(root, name), filepath.Join(dir, name)
		info, err := os.Stat(from)
		if os.IsNotExist(err) {
			continue // removed, and that is not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(text(t, from)), info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
