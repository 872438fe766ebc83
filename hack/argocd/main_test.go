package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const dir = "../../config/argocd"

// TestTheFilesAreUpToDate: what users install is made of the scripts that the tests run.
func TestTheFilesAreUpToDate(t *testing.T) {
	files, err := render(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not up to date: run make argocd (-want +got):\n%s", name, diff)
		}
	}
}

func TestEveryKindIsCustomized(t *testing.T) {
	crds, err := filepath.Glob("../../config/crd/bases/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(crds) != len(kinds) {
		t.Errorf("%d kinds are customized, and there are %d CRDs", len(kinds), len(crds))
	}
	data, err := customizations(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) != 2*len(kinds) {
		t.Errorf("%d keys, want health and actions of %d kinds", len(data), len(kinds))
	}
}

func TestScriptsThatAreMissingAreNamed(t *testing.T) {
	empty := t.TempDir()
	if _, err := render(empty); err == nil || !strings.Contains(err.Error(), "health.lua") {
		t.Errorf("error %v does not name the script", err)
	}
	if err := run(nil); err == nil {
		t.Error("no directory was taken for one")
	}
}

func TestTheFilesAreWritten(t *testing.T) {
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"argocd-cm.yaml", "values.yaml"} {
		if err := os.RemoveAll(filepath.Join(copied, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := run([]string{copied}); err != nil {
		t.Fatal(err)
	}
	want, err := render(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range want {
		got, err := os.ReadFile(filepath.Join(copied, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(content), string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
