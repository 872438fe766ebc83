// Package chromium holds the script that finds the browser of the tests, and its test.
package chromium

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEnsure runs the script with a PATH that holds only the named programs, each a script of the given lines. The directory of these
// programs is DIR in what is expected and in the lines.
func TestEnsure(t *testing.T) {
	const root, user = "echo 0", "echo 1000"
	tests := map[string]struct {
		programs map[string]string
		chromium string
		code     int
		out, err string
		asked    bool // for an installation
	}{
		"takes the one that is named":                      {map[string]string{"mine": "", "chromium": ""}, "DIR/mine", 0, "DIR/mine\n", "", false},
		"refuses a name of nothing":                        {map[string]string{"chromium": ""}, "DIR/mine", 1, "", "is not a program", false},
		"refuses a directory":                              {map[string]string{"chromium": ""}, "DIR", 1, "", "is not a program", false},
		"prefers chromium":                                 {map[string]string{"chromium": "", "chromium-browser": "", "google-chrome": ""}, "", 0, "DIR/chromium\n", "", false},
		"takes the name of another distribution":           {map[string]string{"chromium-browser": "", "google-chrome": ""}, "", 0, "DIR/chromium-browser\n", "", false},
		"takes the vendor's":                               {map[string]string{"google-chrome": ""}, "", 0, "DIR/google-chrome\n", "", false},
		"finds nothing":                                    {map[string]string{"id": root}, "", 3, "", "", false},
		"installs nothing for others than root":            {map[string]string{"id": user, "apt-get": "exit 9"}, "", 3, "", "", true},
		"installs it for root":                             {map[string]string{"id": root, "apt-get": "echo noise; echo >DIR/chromium; chmod +x DIR/chromium"}, "", 0, "DIR/chromium\n", "noise", true},
		"fetches the lists of packages where that is due":  {map[string]string{"id": root, "apt-get": "if test $7 = update; then echo >DIR/lists; exit; fi; test -f DIR/lists && echo >DIR/chromium && chmod +x DIR/chromium"}, "", 0, "DIR/chromium\n", "", true},
		"installs nothing that nobody asked for":           {map[string]string{"id": root, "apt-get": "exit 9"}, "", 3, "", "", false},
		"finds nothing where it cannot be installed":       {map[string]string{"id": root, "apt-get": "exit 100"}, "", 3, "", "could not be installed", true},
		"finds nothing where the package has no such file": {map[string]string{"id": root, "apt-get": "exit 0"}, "", 3, "", "", true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := machine(t, tc.programs)
			here := func(text string) string { return strings.ReplaceAll(text, "DIR", dir) }
			env := []string{"CHROMIUM=" + here(tc.chromium)}
			if tc.asked {
				env = append(env, "BROWSER_INSTALL=1")
			}
			code, out, errs := run(t, dir, "ensure.sh", env...)
			if code != tc.code || out != here(tc.out) || !strings.Contains(errs, tc.err) {
				t.Errorf("it exits with %d, prints %q and says %q; want %d, %q and %q", code, out, errs, tc.code, here(tc.out), tc.err)
			}
		})
	}
}

// TestTheTestsAreSkipped where there is no browser, and nowhere else. The go of these machines tells what it is asked to do.
func TestTheTestsAreSkipped(t *testing.T) {
	const without = "there is no Chromium here: install the package chromium, or name a browser in CHROMIUM\n"
	tests := map[string]struct {
		programs map[string]string
		env      []string
		code     int
		out, err string
	}{
		"without a browser":                     {nil, nil, 0, "browser-test: SKIPPED: " + without, ""},
		"not where a browser is required":       {nil, []string{"BROWSER_REQUIRED=1"}, 1, "", "browser-test: " + without},
		"not where something else is named":     {nil, []string{"CHROMIUM=/nothing"}, 1, "", "is not a program"},
		"not where there is a browser":          {map[string]string{"chromium": ""}, nil, 0, "test -count=1 -timeout 15m ./... with DIR/chromium\n", ""},
		"not where there is one, and they fail": {map[string]string{"chromium": "", "go": "exit 1"}, nil, 1, "", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			programs := map[string]string{"id": "echo 1000", "go": "echo $@ with $CHROMIUM"}
			maps.Copy(programs, tc.programs)
			dir := machine(t, programs)
			code, out, errs := run(t, dir, "test.sh", tc.env...)
			if want := strings.ReplaceAll(tc.out, "DIR", dir); code != tc.code || out != want || !strings.Contains(errs, tc.err) {
				t.Errorf("it exits with %d, prints %q and says %q; want %d, %q and %q", code, out, errs, tc.code, want, tc.err)
			}
		})
	}
}

// run runs a script beside this file with the programs of a machine.
func run(t *testing.T, machine, script string, env ...string) (code int, out, errs string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./"+script)
	cmd.Env = append([]string{"PATH=" + machine}, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return code, stdout.String(), stderr.String()
}

// machine is a directory of programs: of the given ones, scripts of lines in which DIR is the directory, and of what scripts need.
func machine(t *testing.T, programs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, needed := range []string{"bash", "chmod", "dirname"} {
		path, err := exec.LookPath(needed)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, needed)); err != nil {
			t.Fatal(err)
		}
	}
	for name, lines := range programs {
		content := "#!/usr/bin/env bash\n" + strings.ReplaceAll(lines, "DIR", dir) + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
