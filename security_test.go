package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestWhatShowsTheThreatModelExists: SECURITY.md names a file of tests in backticks, and after it tests in that file.
func TestWhatShowsTheThreatModelExists(t *testing.T) {
	text, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	named, file, tests := 0, "", ""
	for _, match := range regexp.MustCompile("`([a-z0-9_/-]+_test\\.go|(?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(text), -1) {
		name := match[1]
		if strings.HasSuffix(name, ".go") {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Error(err)
			}
			file, tests = name, string(content)
			continue
		}
		named++
		if !strings.Contains(tests, "\nfunc "+name+"(") {
			t.Errorf("%s has no %s", file, name)
		}
	}
	if named == 0 {
		t.Error("no test is named")
	}
}
