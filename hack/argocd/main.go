// Command argocd makes of the Lua scripts in a directory what Argo CD takes: a ConfigMap and values for its Helm chart. Keys of a
// ConfigMap cannot hold wildcards, and actions know none, so every kind has its own copy of each script.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

const header = "# Made of the Lua files beside it by \"make argocd\". See docs/gitops.md.\n"

// kinds are those that are given health and actions; the value tells whether their plans may wait for approval.
var kinds = map[string]bool{
	"ClusterConnection": false, "Connection": false, "MaxComputePackage": true, "PackageInstallation": false, "PermissionApply": false,
	"ProjectRole": true, "ResourcePackageExport": false,
}

// actions is the value of an actions key, in the form of Argo CD's documentation.
type actions struct {
	Discovery   string       `json:"discovery.lua"`
	Definitions []definition `json:"definitions"`
}

type definition struct {
	Name   string `json:"name"`
	Action string `json:"action.lua"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "argocd:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: argocd directory")
	}
	files, err := render(args[0])
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(args[0], name), content, 0o644); err != nil { //nolint:gosec // they hold no secret
			return err
		}
	}
	return nil
}

// render returns the files that are made of the scripts in a directory, by their names.
func render(dir string) (map[string][]byte, error) {
	data, err := customizations(dir)
	if err != nil {
		return nil, err
	}
	files := map[string]any{
		"argocd-cm.yaml": map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "data": data,
			// Argo CD reads the ConfigMap only with this label.
			"metadata": map[string]any{"name": "argocd-cm", "labels": map[string]string{"app.kubernetes.io/part-of": "argocd"}},
		},
		"values.yaml": map[string]any{"configs": map[string]any{"cm": data}},
	}
	out := map[string][]byte{}
	for name, content := range files {
		text, err := yaml.Marshal(content)
		if err != nil {
			return nil, err
		}
		out[name] = append([]byte(header), text...)
	}
	return out, nil
}

// customizations are the keys of argocd-cm.
func customizations(dir string) (map[string]string, error) {
	health, err := os.ReadFile(filepath.Join(dir, "health.lua"))
	if err != nil {
		return nil, err
	}
	data := map[string]string{}
	for kind, approves := range kinds {
		key := v1alpha1.GroupVersion.Group + "_" + kind
		data["resource.customizations.health."+key] = string(health)
		if data["resource.customizations.actions."+key], err = actionsOf(filepath.Join(dir, "actions"), approves); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func actionsOf(dir string, approves bool) (string, error) {
	names := []string{"refresh", "suspend", "resume"}
	if approves {
		names = append(names, "approve-plan")
	}
	discovery, err := os.ReadFile(filepath.Join(dir, "discovery.lua"))
	if err != nil {
		return "", err
	}
	value := actions{Discovery: string(discovery)}
	for _, name := range names {
		script, err := os.ReadFile(filepath.Join(dir, name+".lua"))
		if err != nil {
			return "", err
		}
		value.Definitions = append(value.Definitions, definition{Name: name, Action: string(script)})
	}
	text, err := yaml.Marshal(value)
	return string(bytes.TrimSpace(text)) + "\n", err
}
