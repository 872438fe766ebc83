// Package docs_test holds the documentation to what it describes.
package docs_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/test/declared"
)

const root = "../.."

// pages are the Markdown files of the repository, without its root.
func pages(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "bin" || d.Name() == "dist" || path != root && strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			found = append(found, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func text(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

var (
	fence    = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```[ \t]*$")
	code     = regexp.MustCompile("`[^`\n]*`")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	mark     = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// anchors are what the headings of a page can be linked to by, as GitHub makes them.
func anchors(page string) []string {
	var found []string
	seen := map[string]int{}
	for _, match := range heading.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		words := linkText.ReplaceAllString(match[1], "$1")
		anchor := strings.ReplaceAll(mark.ReplaceAllString(strings.ToLower(strings.TrimSpace(words)), ""), " ", "-")
		n := seen[anchor]
		seen[anchor]++
		if n > 0 {
			anchor += "-" + strconv.Itoa(n)
		}
		found = append(found, anchor)
	}
	return found
}

// TestLinks: whoever follows a link arrives at a page that exists, and at a heading of it.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		prose := code.ReplaceAllString(fence.ReplaceAllString(text(t, page), ""), "")
		for _, match := range link.FindAllStringSubmatch(prose, -1) {
			target := match[1]
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(target, "#")
			path := page
			if file != "" {
				path = filepath.Join(filepath.Dir(page), file)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Errorf("%s links to %s, which does not exist", page, target)
				continue
			}
			if anchor != "" && !info.IsDir() && strings.HasSuffix(path, ".md") && !slices.Contains(anchors(text(t, path)), anchor) {
				t.Errorf("%s links to %s, and there is no such heading", page, target)
			}
		}
	}
}

var reasonHeading = regexp.MustCompile("(?m)^### `([A-Za-z]+)`$")

// TestEveryReasonIsExplained: what a user reads in the column STATUS can be looked up, and nothing can be that there is not.
func TestEveryReasonIsExplained(t *testing.T) {
	var explained []string
	for _, match := range reasonHeading.FindAllStringSubmatch(text(t, root+"/docs/troubleshooting.md"), -1) {
		explained = append(explained, match[1])
	}
	slices.Sort(explained)
	reasons, err := declared.Reasons(root)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(reasons)), explained); diff != "" {
		t.Errorf("sections of docs/troubleshooting.md (-reasons +sections):\n%s", diff)
	}
	for reason := range reasons {
		if !strings.Contains(text(t, root+"/README.md"), "`"+reason+"`") {
			t.Errorf("the README does not mention the reason %s", reason)
		}
	}
}

var jsonBlock = regexp.MustCompile("(?ms)^```json\n(.*?)^```$")

// TestPoliciesParse: policies in the documentation can be pasted.
func TestPoliciesParse(t *testing.T) {
	blocks := jsonBlock.FindAllStringSubmatch(text(t, root+"/docs/permissions.md"), -1)
	if len(blocks) == 0 {
		t.Fatal("no policy was found")
	}
	for _, block := range blocks {
		var policy struct {
			Version   string
			Statement []struct {
				Effect string
				Action any
			}
		}
		if err := json.Unmarshal([]byte(block[1]), &policy); err != nil {
			t.Errorf("%v in\n%s", err, block[1])
			continue
		}
		if policy.Version != "1" || len(policy.Statement) == 0 {
			t.Errorf("not a policy:\n%s", block[1])
		}
	}
}

// TestEveryCallNeedsAPermission: the page names the permission for every operation that the clients of Alibaba Cloud call.
func TestEveryCallNeedsAPermission(t *testing.T) {
	page := text(t, root+"/docs/permissions.md")
	for _, service := range []struct{ directory, prefix string }{{"maxcompute", "odps:"}, {"dataworks", "dataworks:"}, {"sts", "sts:"}} {
		operations := calls(t, filepath.Join(root, "internal/cloud", service.directory))
		if len(operations) == 0 {
			t.Errorf("no call was found in %s", service.directory)
		}
		for _, operation := range operations {
			if !strings.Contains(page, service.prefix+operation+`"`) && !strings.Contains(page, "`"+service.prefix+operation+"`") {
				t.Errorf("docs/permissions.md does not mention %s%s", service.prefix, operation)
			}
		}
	}
}

// calls are the operations that a client names.
func calls(t *testing.T, directory string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(directory, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			pair, ok := n.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			key, isName := pair.Key.(*ast.Ident)
			value, isText := pair.Value.(*ast.BasicLit)
			if isName && isText && strings.EqualFold(key.Name, "action") {
				if name, err := strconv.Unquote(value.Value); err == nil {
					found = append(found, name)
				}
			}
			return true
		})
	}
	slices.Sort(found)
	return slices.Compact(found)
}
