// Package declared reads from the source what the API declares, for tests that have to cover all of it.
package declared

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// Reasons are the reasons of conditions. root is the repository's root.
func Reasons(root string) (map[string]bool, error) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "api/v1alpha1/condition_types.go"), nil, 0)
	if err != nil {
		return nil, err
	}
	reasons := map[string]bool{}
	for spec := range ast.Preorder(file) {
		value, ok := spec.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(value.Names[0].Name, "Reason") {
			continue
		}
		literal, ok := value.Values[0].(*ast.BasicLit)
		if !ok {
			return nil, fmt.Errorf("%s is not a literal", value.Names[0].Name)
		}
		reason, err := strconv.Unquote(literal.Value)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", value.Names[0].Name, err)
		}
		reasons[reason] = true
	}
	if len(reasons) == 0 {
		return nil, errors.New("no reason was found")
	}
	return reasons, nil
}
