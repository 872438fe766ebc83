package gitops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// Flux evaluates the healthCheckExprs of a Kustomization.
type Flux struct {
	programs map[schema.GroupKind][]fluxProgram
}

// fluxProgram is an expression and the status that it stands for.
type fluxProgram struct {
	program cel.Program
	status  status.Status
}

// fluxChecks is an entry of healthCheckExprs.
type fluxChecks struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	InProgress string `json:"inProgress"`
	Failed     string `json:"failed"`
	Current    string `json:"current"`
}

// LoadFlux reads the healthCheckExprs of the Kustomization in a file.
func LoadFlux(path string) (*Flux, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	documents, err := Documents(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	environment, err := cel.NewEnv(
		cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true), cel.DefaultUTCTimeZone(true), cel.CrossTypeNumericComparisons(true),
		cel.OptionalTypes(), ext.Strings(), ext.Sets(), ext.Encoders(),
	)
	if err != nil {
		return nil, err
	}
	flux := &Flux{programs: map[schema.GroupKind][]fluxProgram{}}
	for _, document := range documents {
		if document.GroupVersionKind().Group != "kustomize.toolkit.fluxcd.io" {
			continue
		}
		var kustomization struct {
			Spec struct{ HealthCheckExprs []fluxChecks }
		}
		text, err := document.MarshalJSON()
		if err != nil {
			return nil, err
		}
		if err := yaml.Unmarshal(text, &kustomization); err != nil {
			return nil, err
		}
		for _, checks := range kustomization.Spec.HealthCheckExprs {
			if err := flux.add(environment, checks); err != nil {
				return nil, err
			}
		}
	}
	return flux, nil
}

// add parses the expressions of an entry, in the order in which Flux asks them. Like Flux, it does not check their types.
func (f *Flux) add(environment *cel.Env, checks fluxChecks) error {
	version, err := schema.ParseGroupVersion(checks.APIVersion)
	if err != nil {
		return err
	}
	kind := schema.GroupKind{Group: version.Group, Kind: checks.Kind}
	for _, expression := range []struct {
		text   string
		status status.Status
	}{{checks.InProgress, status.InProgressStatus}, {checks.Failed, status.FailedStatus}, {checks.Current, status.CurrentStatus}} {
		if expression.text == "" {
			continue
		}
		parsed, issues := environment.Parse(expression.text)
		if issues.Err() != nil {
			return issues.Err()
		}
		program, err := environment.Program(parsed, cel.EvalOptions(cel.OptOptimize))
		if err != nil {
			return err
		}
		f.programs[kind] = append(f.programs[kind], fluxProgram{program, expression.status})
	}
	return nil
}

// Status is what Flux makes of an object by the expressions: in progress while its generation was not observed, else what the first
// expression that is true stands for, and in progress if none is.
func (f *Flux) Status(ctx context.Context, obj *unstructured.Unstructured) (status.Status, error) {
	programs, ok := f.programs[obj.GroupVersionKind().GroupKind()]
	if !ok {
		return "", fmt.Errorf("there are no expressions for %s", obj.GroupVersionKind().GroupKind())
	}
	observed, found, err := unstructured.NestedInt64(obj.Object, "status", "observedGeneration")
	if err == nil && found && observed != obj.GetGeneration() {
		return status.InProgressStatus, nil
	}
	for _, p := range programs {
		value, _, err := p.program.ContextEval(ctx, obj.Object)
		if err != nil {
			return "", err
		}
		holds, ok := value.Value().(bool)
		if !ok {
			return "", errors.New("an expression is neither true nor false")
		}
		if holds {
			return p.status, nil
		}
	}
	return status.InProgressStatus, nil
}

// Documents reads the objects of a YAML text.
func Documents(text string) ([]*unstructured.Unstructured, error) {
	var documents []*unstructured.Unstructured
	for part := range strings.SplitSeq(text, "\n---\n") {
		obj := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(part), &obj.Object); err != nil {
			return nil, err
		}
		if obj.Object != nil {
			documents = append(documents, obj)
		}
	}
	return documents, nil
}
