//go:build unix

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestUpAndDown(t *testing.T) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test, or export KUBEBUILDER_ASSETS=$(make -s controlplane)")
	}
	c := cluster{dir: filepath.Join(t.TempDir(), "dev")}
	t.Cleanup(func() {
		if _, err := c.down(); err != nil {
			t.Error(err)
		}
	})
	// A pid file of a crash long ago, whose number belongs to somebody else by now: to this test.
	writeFile(t, c.process(etcd).pidFile, strconv.Itoa(os.Getpid()), 0o600)

	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	if fresh, err := c.up(ctx, assets); err != nil || !fresh {
		t.Fatalf("first up: fresh %v, error %v", fresh, err)
	}
	if fresh, err := c.up(ctx, assets); err != nil || fresh {
		t.Fatalf("second up: fresh %v, error %v", fresh, err)
	}
	if info, err := os.Stat(c.kubeconfig()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kubeconfig: %v, error %v, want mode 0600", info, err)
	}

	kubectl := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(ctx, filepath.Join(assets, "kubectl"), append([]string{"--kubeconfig", c.kubeconfig()}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	kubectl("create", "namespace", "team")
	kubectl("create", "configmap", "owner", "--namespace=team")
	uid := kubectl("get", "configmap", "owner", "--namespace=team", "--output=jsonpath={.metadata.uid}")
	kubectl("create", "configmap", "owned", "--namespace=team")
	kubectl("patch", "configmap", "owned", "--namespace=team",
		"--patch", `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":"`+uid+`"}]}}`)
	kubectl("delete", "configmap", "owner", "--namespace=team")
	kubectl("wait", "--for=delete", "configmap/owned", "--namespace=team", "--timeout=30s")
	kubectl("delete", "namespace", "team", "--timeout=60s")

	if wasThere, err := c.down(); err != nil || !wasThere {
		t.Errorf("first down: was there %v, error %v", wasThere, err)
	}
	assertNothingLeft(t, c)
	if wasThere, err := c.down(); err != nil || wasThere {
		t.Errorf("second down: was there %v, error %v", wasThere, err)
	}
}

func TestStartThatFailsLeavesNothing(t *testing.T) {
	const runs, ends = "#!/bin/sh\nwhile :; do sleep 0.1; done\n", "#!/bin/sh\necho port is taken\nexit 3\n"
	tests := map[string]struct {
		apiServer string
		timeout   time.Duration
		wantError string
	}{
		"a program ends: its log is in the error": {ends, time.Minute, "port is taken"},
		"a program never gets ready":              {runs, 300 * time.Millisecond, "gave up waiting"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			assets := t.TempDir()
			for program, script := range map[string]string{etcd: runs, apiServer: tc.apiServer, controllerManager: runs} {
				writeFile(t, filepath.Join(assets, program), script, 0o700)
			}
			ctx, cancel := context.WithTimeout(t.Context(), tc.timeout)
			defer cancel()

			c := cluster{dir: filepath.Join(t.TempDir(), "dev")}
			if _, err := c.up(ctx, assets); err == nil || !strings.Contains(err.Error(), tc.wantError) {
				t.Errorf("error %v, want one with %q", err, tc.wantError)
			}
			assertNothingLeft(t, c)
		})
	}
}

func TestDownKeepsOtherFiles(t *testing.T) {
	c := cluster{dir: t.TempDir()}
	writeFile(t, filepath.Join(c.dir, "notes.txt"), "mine", 0o600)
	writeFile(t, c.data("leftover"), "", 0o600)
	if _, err := c.down(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "notes.txt")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.data()); err == nil {
		t.Error("the control plane's own data is still there")
	}
}

func assertNothingLeft(t *testing.T, c cluster) {
	t.Helper()
	if _, err := os.Stat(c.dir); err == nil {
		t.Errorf("%s is still there", c.dir)
	}
	out, err := exec.CommandContext(t.Context(), "ps", "-eww", "-o", "pid=,command=").Output()
	if err != nil {
		t.Logf("cannot look for processes: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, c.data()) {
			t.Errorf("still running: %s", line)
		}
	}
}

func writeFile(t *testing.T, file, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}
