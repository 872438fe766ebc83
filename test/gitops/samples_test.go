package gitops_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/gitops"
)

// sample reads the object of a kind from a file of samples.
func sample(t *testing.T, file, kind string, into any) {
	t.Helper()
	text, err := os.ReadFile("../../config/samples/gitops/" + file)
	if err != nil {
		t.Fatal(err)
	}
	documents, err := gitops.Documents(string(text))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(documents, func(obj *unstructured.Unstructured) bool { return obj.GetKind() == kind })
	if i < 0 {
		t.Fatalf("%s has no %s", file, kind)
	}
	content, err := yaml.Marshal(documents[i].Object)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}

// project is what is read of an AppProject.
type project struct {
	Metadata struct{ Name string }
	Spec     struct {
		SourceRepos                []string
		Destinations               []destination
		ClusterResourceWhitelist   []map[string]string
		NamespaceResourceWhitelist []struct{ Group, Kind string }
		Roles                      []struct {
			Name     string
			Policies []string
		}
	}
}

type destination struct{ Server, Namespace string }

// TestTheProjectAllowsWhatTeamsWrite: every kind but those that choose the account.
func TestTheProjectAllowsWhatTeamsWrite(t *testing.T) {
	var p project
	sample(t, "argocd.yaml", "AppProject", &p)
	var allowed []string
	for _, resource := range p.Spec.NamespaceResourceWhitelist {
		if resource.Group != v1alpha1.GroupVersion.Group {
			t.Errorf("group %s is not ours", resource.Group)
		}
		allowed = append(allowed, resource.Kind)
	}
	slices.Sort(allowed)
	if diff := cmp.Diff(users, allowed); diff != "" || len(p.Spec.ClusterResourceWhitelist) > 0 {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

// TestTheRolesNameActionsThatThereAre in the form that Argo CD documents: p, subject, resource, action, object, effect.
func TestTheRolesNameActionsThatThereAre(t *testing.T) {
	var p project
	sample(t, "argocd.yaml", "AppProject", &p)
	offered, err := loadTools(t).ArgoCD.Actions(t.Context(), seen(t, newborn("ProjectRole"), false))
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, role := range p.Spec.Roles {
		for _, policy := range role.Policies {
			fields := strings.Split(policy, ", ")
			if len(fields) != 6 || fields[1] != "proj:"+p.Metadata.Name+":"+role.Name || fields[4] != p.Metadata.Name+"/*" {
				t.Errorf("policy %q", policy)
				continue
			}
			action, found := strings.CutPrefix(fields[3], "action/"+v1alpha1.GroupVersion.Group+"/*/")
			if _, ok := offered[action]; found && !ok {
				t.Errorf("there is no action %s", action)
			}
			if found {
				named++
			}
		}
	}
	if named == 0 {
		t.Error("no action is named")
	}
}

func TestTheApplicationFitsItsProject(t *testing.T) {
	var p project
	var app struct {
		Spec struct {
			Project     string
			Source      struct{ RepoURL string }
			Destination destination
			SyncPolicy  struct{ Automated struct{ Prune bool } }
		}
	}
	sample(t, "argocd.yaml", "AppProject", &p)
	sample(t, "argocd.yaml", "Application", &app)
	if app.Spec.Project != p.Metadata.Name || !slices.Contains(p.Spec.SourceRepos, app.Spec.Source.RepoURL) ||
		!slices.Contains(p.Spec.Destinations, app.Spec.Destination) || app.Spec.SyncPolicy.Automated.Prune {
		t.Errorf("application %+v does not fit project %+v", app, p)
	}
}

// TestFluxHasExpressionsForEveryKind of the version that is served.
func TestFluxHasExpressionsForEveryKind(t *testing.T) {
	var kustomization struct {
		Spec struct {
			Wait             bool
			SourceRef        struct{ Kind, Name string }
			HealthCheckExprs []struct{ APIVersion, Kind string }
		}
	}
	var repository struct{ Metadata struct{ Name string } }
	sample(t, "flux.yaml", "Kustomization", &kustomization)
	sample(t, "flux.yaml", "GitRepository", &repository)
	var covered []string
	for _, entry := range kustomization.Spec.HealthCheckExprs {
		if entry.APIVersion != v1alpha1.GroupVersion.String() {
			t.Errorf("%s is not the version of %s", entry.APIVersion, entry.Kind)
		}
		covered = append(covered, entry.Kind)
	}
	slices.Sort(covered)
	if diff := cmp.Diff(every, covered); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	if !kustomization.Spec.Wait || kustomization.Spec.SourceRef.Name != repository.Metadata.Name {
		t.Errorf("%+v does not wait for what %s holds", kustomization.Spec, repository.Metadata.Name)
	}
}
