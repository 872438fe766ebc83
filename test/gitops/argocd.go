package gitops

import (
	"context"
	"fmt"
	"os"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Healths that Argo CD knows; its documentation names them.
const (
	Healthy     = "Healthy"
	Progressing = "Progressing"
	Degraded    = "Degraded"
	Suspended   = "Suspended"
)

// scriptTimeout is how long Argo CD lets a script run.
const scriptTimeout = time.Second

// Health is what Argo CD shows of an object.
type Health struct {
	Status, Message string
}

// ArgoCD evaluates the customizations of a ConfigMap argocd-cm.
type ArgoCD struct {
	data map[string]string
}

// customActions is the value of an actions key.
type customActions struct {
	Discovery   string `json:"discovery.lua"`
	Definitions []struct {
		Name   string `json:"name"`
		Script string `json:"action.lua"`
	} `json:"definitions"`
}

// LoadArgoCD reads a ConfigMap from a file.
func LoadArgoCD(path string) (*ArgoCD, error) {
	var configMap struct{ Data map[string]string }
	if err := load(path, &configMap); err != nil {
		return nil, err
	}
	return NewArgoCD(configMap.Data), nil
}

// NewArgoCD takes the data of a ConfigMap.
func NewArgoCD(data map[string]string) *ArgoCD { return &ArgoCD{data: data} }

// load decodes a YAML file.
func load(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return yaml.Unmarshal(text, into)
}

// Health runs the health script of an object's kind.
func (a *ArgoCD) Health(ctx context.Context, obj *unstructured.Unstructured) (Health, error) {
	script, err := a.customization("health", obj)
	if err != nil {
		return Health{}, err
	}
	result, err := runScript(ctx, script, obj.Object)
	if err != nil {
		return Health{}, err
	}
	fields, ok := result.(map[string]any)
	if !ok {
		return Health{}, fmt.Errorf("health is no table with keys: %v", result)
	}
	health := Health{}
	health.Status, _ = fields["status"].(string)
	health.Message, _ = fields["message"].(string)
	return health, nil
}

// Actions runs the discovery script of an object's kind. It tells of each action that is offered whether it is enabled.
func (a *ArgoCD) Actions(ctx context.Context, obj *unstructured.Unstructured) (map[string]bool, error) {
	custom, err := a.actions(obj)
	if err != nil {
		return nil, err
	}
	result, err := runScript(ctx, custom.Discovery, obj.Object)
	if err != nil {
		return nil, err
	}
	fields, ok := result.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the actions are no table with keys: %v", result)
	}
	enabled := map[string]bool{}
	for name, value := range fields {
		disabled, _, err := unstructured.NestedBool(map[string]any{name: value}, name, "disabled")
		if err != nil {
			return nil, err
		}
		enabled[name] = !disabled
	}
	return enabled, nil
}

// Run carries out an action on a copy of an object and returns what Argo CD would patch it to.
func (a *ArgoCD) Run(ctx context.Context, obj *unstructured.Unstructured, action string) (*unstructured.Unstructured, error) {
	custom, err := a.actions(obj)
	if err != nil {
		return nil, err
	}
	for _, definition := range custom.Definitions {
		if definition.Name != action {
			continue
		}
		result, err := runScript(ctx, definition.Script, obj.Object)
		if err != nil {
			return nil, err
		}
		fields, ok := mended(result, obj.Object).(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s returned no object: %v", action, result)
		}
		return &unstructured.Unstructured{Object: fields}, nil
	}
	return nil, fmt.Errorf("there is no action %s", action)
}

func (a *ArgoCD) actions(obj *unstructured.Unstructured) (customActions, error) {
	text, err := a.customization("actions", obj)
	if err != nil {
		return customActions{}, err
	}
	var custom customActions
	return custom, yaml.UnmarshalStrict([]byte(text), &custom)
}

// customization finds a script as Argo CD does, by a key without wildcards.
func (a *ArgoCD) customization(sort string, obj *unstructured.Unstructured) (string, error) {
	kind := obj.GroupVersionKind()
	key := "resource.customizations." + sort + "." + kind.Group + "_" + kind.Kind
	script, ok := a.data[key]
	if !ok {
		return "", fmt.Errorf("there is no key %s", key)
	}
	return script, nil
}

// runScript runs a script with the libraries that Argo CD opens for customizations, and no others, and returns what it returns.
func runScript(ctx context.Context, script string, obj map[string]any) (any, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	ctx, cancel := context.WithTimeout(ctx, scriptTimeout)
	defer cancel()
	state.SetContext(ctx)
	if err := openLibraries(state); err != nil {
		return nil, err
	}
	state.SetGlobal("obj", toLua(state, obj))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	return fromLua(state.Get(-1))
}

// openLibraries opens what Argo CD's util/lua opens: the base, package and table libraries; of the library os, only date and time, and
// only for those who require it.
func openLibraries(state *lua.LState) error {
	for _, library := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(library.open), Protect: true}, lua.LString(library.name)); err != nil {
			return err
		}
	}
	state.PreloadModule(lua.OsLibName, openSafeOS)
	return nil
}

// openSafeOS loads the library os in a state of its own, for it would leave all of itself behind, and hands out two functions.
func openSafeOS(state *lua.LState) int {
	other := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer other.Close()
	lua.OpenOs(other)
	safe := state.NewTable()
	for _, name := range []string{"date", "time"} {
		if function, ok := other.GetField(other.Get(-1), name).(*lua.LFunction); ok {
			safe.RawSetString(name, state.NewFunction(function.GFunction))
		}
	}
	state.Push(safe)
	return 1
}

// toLua makes Lua values of JSON values. Like Argo CD's, it makes every number a float.
func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}

// fromLua makes JSON values of Lua values. An empty table is an empty list, for nothing tells otherwise.
func fromLua(value lua.LValue) (any, error) {
	switch value := value.(type) {
	case *lua.LNilType:
		return nil, nil //nolint:nilnil // JSON's null
	case lua.LBool:
		return bool(value), nil
	case lua.LNumber:
		if whole := int64(value); lua.LNumber(whole) == value {
			return whole, nil
		}
		return float64(value), nil
	case lua.LString:
		return string(value), nil
	case *lua.LTable:
		return fromTable(value)
	}
	return nil, fmt.Errorf("a %s has no form in JSON", value.Type())
}

func fromTable(table *lua.LTable) (any, error) {
	list, fields := []any{}, map[string]any{}
	var failure error
	table.ForEach(func(key, value lua.LValue) {
		item, err := fromLua(value)
		if err != nil {
			failure = err
			return
		}
		if name, ok := key.(lua.LString); ok {
			fields[string(name)] = item
			return
		}
		list = append(list, item)
	})
	switch {
	case failure != nil:
		return nil, failure
	case len(fields) > 0 && len(list) > 0:
		return nil, fmt.Errorf("a table is both a list and an object: %v, %v", list, fields)
	case len(fields) > 0:
		return fields, nil
	}
	return list, nil
}

// mended gives back to empty objects what they were before Lua took them for lists, as Argo CD does.
func mended(value, before any) any {
	switch value := value.(type) {
	case map[string]any:
		was, ok := before.(map[string]any)
		for key := range value {
			if ok {
				value[key] = mended(value[key], was[key])
			}
		}
	case []any:
		if _, ok := before.(map[string]any); ok && len(value) == 0 {
			return map[string]any{}
		}
		was, ok := before.([]any)
		for i := range value {
			if ok && i < len(was) {
				value[i] = mended(value[i], was[i])
			}
		}
	}
	return value
}
