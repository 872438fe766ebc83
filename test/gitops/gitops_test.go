package gitops_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
	"github.com/maxcompute-operator/maxcompute-operator/test/declared"
	"github.com/maxcompute-operator/maxcompute-operator/test/gitops"
)

// object is one of the project's kinds.
type object interface {
	runtime.Object
	conditions.Object
}

// kinds are objects of every kind, before the API server has seen them.
var kinds = map[string]func() object{
	"Connection":            func() object { return &v1alpha1.Connection{} },
	"ClusterConnection":     func() object { return &v1alpha1.ClusterConnection{} },
	"ProjectRole":           func() object { return &v1alpha1.ProjectRole{} },
	"MaxComputePackage":     func() object { return &v1alpha1.MaxComputePackage{} },
	"PackageInstallation":   func() object { return &v1alpha1.PackageInstallation{} },
	"PermissionApply":       func() object { return &v1alpha1.PermissionApply{} },
	"ResourcePackageExport": func() object { return &v1alpha1.ResourcePackageExport{} },
}

// Which kinds a row is about.
var (
	every       = slices.Sorted(maps.Keys(kinds))
	connections = []string{"ClusterConnection", "Connection"}
	users       = []string{"MaxComputePackage", "PackageInstallation", "PermissionApply", "ProjectRole", "ResourcePackageExport"}
	inProjects  = []string{"MaxComputePackage", "PackageInstallation", "PermissionApply", "ProjectRole"}
	targets     = []string{"MaxComputePackage", "PackageInstallation", "ProjectRole"}
	managed     = []string{"MaxComputePackage", "ProjectRole"}
	requests    = []string{"PermissionApply"}
	exports     = []string{"ResourcePackageExport"}
)

// newborn is an object as the API server makes it.
func newborn(kind string) object {
	obj := kinds[kind]()
	obj.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	obj.SetName("prod")
	obj.SetGeneration(3)
	obj.GetSyncStatus().ObservedGeneration = -1
	return obj
}

// event is something that happens to an object.
type event func(object)

// passed is a pass that ends with an outcome.
func passed(outcome conditions.Outcome) event {
	return func(obj object) { conditions.Set(obj, outcome) }
}

// failed is a pass that ends with an error.
func failed(err error) event { return passed(conditions.FromError(err)) }

// refused is a pass that ends with a failure of the cloud.
func refused(code cloud.Code) event {
	return failed(&cloud.Error{Code: code, Op: "list x", Message: "the cloud's words"})
}

// waits and stalls are passes that end with a verdict of the operator's own.
func waits(reason string) event  { return failed(conditions.Wait(reason, "waiting for %s", reason)) }
func stalls(reason string) event { return failed(conditions.Stall(reason, "stalled by %s", reason)) }

// ready is a pass of a request that ends well.
func ready(reason string) event {
	return passed(conditions.Outcome{State: conditions.Ready, Reason: reason, Message: "order 1"})
}

// sees is a look of an object that only observes.
func sees(steps ...plan.Step) event {
	return func(obj object) {
		switch obj := obj.(type) {
		case *v1alpha1.ProjectRole:
			obj.Spec.ManagementPolicy = v1alpha1.ManagementObserve
		case *v1alpha1.MaxComputePackage:
			obj.Spec.ManagementPolicy = v1alpha1.ManagementObserve
		}
		conditions.SetDrift(obj.(conditions.Target), steps)
		conditions.Set(obj, conditions.Observed("looked at"))
	}
}

var revocation = plan.Step{Verb: plan.Revoke, Entry: plan.Entry{Kind: "Table", SchemaName: "default", Name: "t", Actions: []string{"Select"}}}

// exceeds is a pass whose plan needs somebody's approval.
func exceeds(obj object) {
	failed(conditions.Unapproved(obj.(conditions.Target), plan.Plan{Steps: []plan.Step{revocation, revocation}, Holds: 2}, 1))(obj)
}

// unsettles is a pass whose writes had no effect.
func unsettles(obj object) {
	failed(conditions.Unsettled(obj.(conditions.Target), plan.Plan{Steps: []plan.Step{revocation}}, revocation))(obj)
}

func edited(obj object)    { obj.SetGeneration(obj.GetGeneration() + 1) }
func applying(obj object)  { conditions.SetProgressing(obj, "applying the changes") }
func stillborn(obj object) { conditions.SetSuspended(obj) }

// undecided is what somebody does who edits the status.
func undecided(obj object) { obj.GetSyncStatus().ObservedGeneration = -1 }

func deleted(obj object) {
	obj.SetDeletionTimestamp(&metav1.Time{Time: time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC)})
	obj.SetFinalizers([]string{v1alpha1.Finalizer})
}

var (
	succeeded   = passed(conditions.Succeeded("as specified"))
	unavailable = refused(cloud.RemoteUnavailable)
	invalid     = refused(cloud.InvalidSpec)
)

// situation is a row of the contract: what has happened to an object, and what tools say then.
type situation struct {
	kinds     []string
	history   []event
	suspended bool
	kstatus   status.Status
	health    string
	// message is Argo CD's, where that is not Ready's.
	message string
}

func current(kinds []string, history ...event) situation {
	return situation{kinds: kinds, history: history, kstatus: status.CurrentStatus, health: gitops.Healthy}
}

func inProgress(kinds []string, history ...event) situation {
	return situation{kinds: kinds, history: history, kstatus: status.InProgressStatus, health: gitops.Progressing}
}

func dead(kinds []string, history ...event) situation {
	return situation{kinds: kinds, history: history, kstatus: status.FailedStatus, health: gitops.Degraded}
}

func terminating(kinds []string, history ...event) situation {
	return situation{kinds: kinds, history: append(history, deleted), kstatus: status.TerminatingStatus, health: gitops.Progressing}
}

// with changes a situation.
func with(s situation, change func(*situation)) situation {
	change(&s)
	return s
}

func says(message string) func(*situation) { return func(s *situation) { s.message = message } }

func isSuspended(s *situation) { s.suspended, s.health = true, gitops.Suspended }

func awaits(s *situation) { s.health = gitops.Suspended }

const unseen = "the last change has not been looked at yet"

// TestEverySituation holds every row of the status contract against kstatus, Argo CD and Flux.
func TestEverySituation(t *testing.T) {
	tools := loadTools(t)
	reasons := map[string]bool{}
	for name, s := range situations() {
		for _, kind := range s.kinds {
			t.Run(name+" "+kind, func(t *testing.T) {
				obj := newborn(kind)
				for _, happens := range s.history {
					happens(obj)
				}
				want := gitops.Verdict{KStatus: s.kstatus, Flux: s.kstatus, ArgoCD: gitops.Health{Status: s.health, Message: s.message}}
				if ready := conditions.ReadyCondition(obj); ready != nil {
					reasons[ready.Reason] = true
					if s.message == "" {
						want.ArgoCD.Message = ready.Message
					}
				}
				checkVerdict(t, tools, seen(t, obj, s.suspended), want)
			})
		}
	}
	want, err := declared.Reasons("../..")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("reasons (-declared +in a row):\n%s", diff)
	}
}

func checkVerdict(t *testing.T, tools *gitops.Tools, obj *unstructured.Unstructured, want gitops.Verdict) {
	t.Helper()
	got, err := tools.Judge(t.Context(), obj)
	if err != nil {
		t.Fatal(err)
	}
	contradiction, err := got.Contradiction(obj)
	if err != nil || contradiction != "" {
		t.Errorf("contradiction %q, error %v", contradiction, err)
	}
	if want.KStatus == status.TerminatingStatus {
		want.Flux = got.Flux
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}
}

// seen is an object as tools see it.
func seen(t *testing.T, obj object, suspended bool) *unstructured.Unstructured {
	t.Helper()
	content, err := gitops.Unstructured(obj)
	if err != nil {
		t.Fatal(err)
	}
	if spec, ok := content.Object["spec"].(map[string]any); ok {
		// The API server stores no nulls.
		maps.DeleteFunc(spec, func(_ string, value any) bool { return value == nil })
	}
	if suspended {
		if err := unstructured.SetNestedField(content.Object, true, "spec", "suspend"); err != nil {
			t.Fatal(err)
		}
	}
	return content
}

func loadTools(t *testing.T) *gitops.Tools {
	t.Helper()
	tools, err := gitops.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	return tools
}

// TestAnObjectWithoutStatusIsProgressing: the API server gives every object a status, and other programs that show objects may not.
func TestAnObjectWithoutStatusIsProgressing(t *testing.T) {
	argocd := loadTools(t).ArgoCD
	for kind := range kinds {
		obj := seen(t, newborn(kind), false)
		unstructured.RemoveNestedField(obj.Object, "status")
		got, err := argocd.Health(t.Context(), obj)
		if diff := cmp.Diff(gitops.Health{Status: gitops.Progressing, Message: "not looked at yet"}, got); diff != "" || err != nil {
			t.Errorf("%s: error %v, health (-want +got):\n%s", kind, err, diff)
		}
	}
}
