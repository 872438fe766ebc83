// Package helm renders and installs the operator's chart with the helm that hack/tools pins.
package helm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// Chart is the operator's chart and the program that renders it.
type Chart struct {
	// Dir is the directory of the chart.
	Dir string

	program string
}

// New finds the chart below the repository's root and builds helm, which takes a few minutes the first time.
func New(ctx context.Context, root string) (*Chart, error) {
	program, err := Tool(ctx, root, "helm")
	if err != nil {
		return nil, err
	}
	return &Chart{Dir: filepath.Join(root, "charts/maxcompute-operator"), program: program}, nil
}

// Tool returns the path of a tool that hack/tools pins, building it if need be.
func Tool(ctx context.Context, root, name string) (string, error) {
	// Built from there and not run through go, which would look for changes each time.
	command := exec.CommandContext(ctx, "go", "tool", "-n", "-modfile=hack/tools/go.mod", name)
	command.Dir = root
	// The settings of everything that the project compiles, whatever those of the tests are: they are part of the build cache's key.
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "GOWORK=off")
	var problem bytes.Buffer
	command.Stderr = &problem
	path, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, problem.Bytes())
	}
	return strings.TrimSpace(string(path)), nil
}

// Run runs helm and returns what it prints. Its error holds what helm says is wrong.
func (c *Chart) Run(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, c.program, args...)
	// Settings of whoever runs this, such as a namespace, are not for these releases.
	command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "HELM_") || strings.HasPrefix(v, "KUBECONFIG=") })
	var problem bytes.Buffer
	command.Stderr = &problem
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("helm %s: %w\n%s", args[0], err, problem.Bytes())
	}
	return string(out), nil
}

// Template returns the objects of a release in the order in which helm installs them. The arguments are more of helm template, such as
// --set=replicaCount=1.
func (c *Chart) Template(ctx context.Context, release, namespace string, args ...string) ([]*unstructured.Unstructured, error) {
	text, err := c.Run(ctx, append([]string{"template", release, c.Dir, "--namespace=" + namespace}, args...)...)
	if err != nil {
		return nil, err
	}
	return Objects(text)
}

// Objects reads the documents of a text in YAML, leaving out empty ones.
func Objects(text string) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), len(text)+1)
	var objects []*unstructured.Unstructured
	for {
		obj := &unstructured.Unstructured{}
		switch err := decoder.Decode(&obj.Object); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("read rendered objects: %w", err)
		case len(obj.Object) > 0:
			objects = append(objects, obj)
		}
	}
}
