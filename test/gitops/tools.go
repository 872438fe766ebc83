package gitops

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// Tools are the delivery tools, as the repository's files configure them.
type Tools struct {
	ArgoCD *ArgoCD
	Flux   *Flux
}

// Load reads the files that users are given. root is the repository's root.
func Load(root string) (*Tools, error) {
	argocd, err := LoadArgoCD(filepath.Join(root, "config/argocd/argocd-cm.yaml"))
	if err != nil {
		return nil, err
	}
	flux, err := LoadFlux(filepath.Join(root, "config/samples/gitops/flux.yaml"))
	if err != nil {
		return nil, err
	}
	return &Tools{ArgoCD: argocd, Flux: flux}, nil
}

// Verdict is what all of them make of an object.
type Verdict struct {
	KStatus, Flux status.Status
	ArgoCD        Health
}

// Judge asks all of them.
func (t *Tools) Judge(ctx context.Context, obj *unstructured.Unstructured) (Verdict, error) {
	computed, err := status.Compute(obj)
	if err != nil {
		return Verdict{}, err
	}
	verdict := Verdict{KStatus: computed.Status}
	if verdict.Flux, err = t.Flux.Status(ctx, obj); err != nil {
		return Verdict{}, fmt.Errorf("ask Flux: %w", err)
	}
	if verdict.ArgoCD, err = t.ArgoCD.Health(ctx, obj); err != nil {
		return Verdict{}, fmt.Errorf("ask Argo CD: %w", err)
	}
	return verdict, nil
}

// Contradiction says where Argo CD or Flux contradicts kstatus about an object; it is empty if neither does.
func (v Verdict) Contradiction(obj *unstructured.Unstructured) (string, error) {
	// Expressions know no deletion: what Flux deletes it does not look at any more.
	if v.KStatus != status.TerminatingStatus && v.Flux != v.KStatus {
		return fmt.Sprintf("Flux says %s, kstatus %s", v.Flux, v.KStatus), nil
	}
	want, err := v.expectedHealth(obj)
	if err != nil || v.ArgoCD.Status == want {
		return "", err
	}
	return fmt.Sprintf("Argo CD says %s, want %s for kstatus %s", v.ArgoCD.Status, want, v.KStatus), nil
}

// expectedHealth is what Argo CD should say where kstatus says something: the same, except that it has a word for what waits for a person.
func (v Verdict) expectedHealth(obj *unstructured.Unstructured) (string, error) {
	if v.KStatus == status.TerminatingStatus {
		return Progressing, nil
	}
	suspended, _, err := unstructured.NestedBool(obj.Object, "spec", "suspend")
	if err != nil {
		return "", err
	}
	awaits, err := awaitsApproval(obj)
	switch {
	case err != nil:
		return "", err
	case suspended || awaits:
		return Suspended, nil
	case v.KStatus == status.CurrentStatus:
		return Healthy, nil
	case v.KStatus == status.FailedStatus:
		return Degraded, nil
	}
	return Progressing, nil
}

// awaitsApproval tells whether an object's present generation waits for an approver.
func awaitsApproval(obj *unstructured.Unstructured) (bool, error) {
	var content struct {
		Status struct {
			Conditions []metav1.Condition `json:"conditions"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &content); err != nil {
		return false, err
	}
	ready := apimeta.FindStatusCondition(content.Status.Conditions, v1alpha1.ReadyCondition)
	return ready != nil && ready.Reason == v1alpha1.ReasonAwaitingApproval && ready.ObservedGeneration == obj.GetGeneration(), nil
}

// Unstructured is an object as tools see it, which know no Go types.
func Unstructured(obj runtime.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	return &unstructured.Unstructured{Object: content}, err
}
