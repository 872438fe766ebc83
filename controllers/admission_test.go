package controllers_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"sync"
	"testing"
	"unicode/utf8"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// schemas are those of the specs of all kinds, as the CRDs have them.
var schemas = sync.OnceValues(func() (map[string]map[string]any, error) {
	files, err := filepath.Glob("../config/crd/bases/*.yaml")
	if err != nil {
		return nil, err
	}
	found := map[string]map[string]any{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var crd struct {
			Spec struct {
				Names    struct{ Kind string }
				Versions []struct {
					Schema struct {
						OpenAPIV3Schema struct{ Properties map[string]map[string]any }
					}
				}
			}
		}
		if err := yaml.Unmarshal(content, &crd); err != nil {
			return nil, err
		}
		found[crd.Spec.Names.Kind] = crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	}
	return found, nil
})

// admit checks an object as the API server does, but for rules in CEL: the end-to-end tests have those.
func admit(t *testing.T, obj client.Object) {
	t.Helper()
	all, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	var value map[string]any
	if err := json.Unmarshal(raw, &value); err != nil {
		t.Fatal(err)
	}
	for _, problem := range violations("spec", value["spec"], all[reflect.TypeOf(obj).Elem().Name()]) {
		t.Errorf("the API server would refuse %s: %s", raw[:min(len(raw), 300)], problem)
	}
}

// violations are what of a schema a value does not keep to.
func violations(path string, value any, schema map[string]any) (found []string) {
	switch v := value.(type) {
	case string:
		return textViolations(path, v, schema)
	case []any:
		found = tooMany(path, "maxItems", len(v), schema)
		if least, ok := schema["minItems"].(float64); ok && float64(len(v)) < least {
			found = append(found, path+" has too few items")
		}
		items, _ := schema["items"].(map[string]any)
		for i, item := range v {
			found = append(found, violations(fmt.Sprintf("%s[%d]", path, i), item, items)...)
		}
	case map[string]any:
		if schema["x-kubernetes-preserve-unknown-fields"] == true {
			return nil
		}
		properties, _ := schema["properties"].(map[string]any)
		for name, one := range v {
			property, known := properties[name].(map[string]any)
			if !known {
				found = append(found, path+" has no field "+name)
			}
			found = append(found, violations(path+"."+name, one, property)...)
		}
	}
	return found
}

func textViolations(path, text string, schema map[string]any) []string {
	found := tooMany(path, "maxLength", utf8.RuneCountInString(text), schema)
	if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(text) {
		found = append(found, fmt.Sprintf("%s is %q, not %s", path, text, pattern))
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, any(text)) {
		found = append(found, fmt.Sprintf("%s is %q, none of %v", path, text, enum))
	}
	return found
}

func tooMany(path, limit string, n int, schema map[string]any) []string {
	if most, ok := schema[limit].(float64); ok && float64(n) > most {
		return []string{fmt.Sprintf("%s has %d, the %s is %v", path, n, limit, most)}
	}
	return nil
}
