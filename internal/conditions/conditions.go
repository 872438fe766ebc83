package conditions

import (
	"strings"
	"unicode/utf8"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
)

// maxMessage is the longest message of a condition, in bytes.
const maxMessage = 1024

// Object is anything that carries the project's common status.
type Object interface {
	metav1.Object
	GetSyncStatus() *v1alpha1.SyncStatus
}

// Set writes the outcome of a pass into an object's status. observedGeneration moves only when the generation was decided: when
// the cloud is as wanted, or a person is needed.
func Set(obj Object, outcome Outcome) {
	status := obj.GetSyncStatus()
	ready := metav1.ConditionFalse
	if outcome.State == Ready {
		ready = metav1.ConditionTrue
	}
	put(obj, v1alpha1.ReadyCondition, ready, outcome)
	putOrRemove(obj, v1alpha1.ReconcilingCondition, outcome.State == Reconciling, outcome)
	putOrRemove(obj, v1alpha1.StalledCondition, outcome.State == Stalled, outcome)
	if outcome.State != Reconciling {
		status.ObservedGeneration = obj.GetGeneration()
	}
}

// SetProgressing says that the object's present generation is being worked on and not decided.
func SetProgressing(obj Object, message string) {
	outcome := Outcome{Reason: v1alpha1.ReasonProgressing, Message: message}
	put(obj, v1alpha1.ReadyCondition, metav1.ConditionUnknown, outcome)
	putOrRemove(obj, v1alpha1.ReconcilingCondition, true, outcome)
	putOrRemove(obj, v1alpha1.StalledCondition, false, outcome)
}

// SetSuspended gives an object that was born suspended a Ready condition; any other keeps what it has.
func SetSuspended(obj Object) {
	if ReadyCondition(obj) == nil {
		put(obj, v1alpha1.ReadyCondition, metav1.ConditionUnknown, Outcome{Reason: v1alpha1.ReasonSuspended, Message: "suspended before the first pass; nothing has been looked at"})
	}
}

// SetHandled echoes the annotation that asks for a pass.
func SetHandled(obj Object) {
	if at := requestedAt(obj); at != "" {
		obj.GetSyncStatus().LastHandledReconcileAt = at
	}
}

// IsRequested tells whether somebody asks for a pass that has not been made yet.
func IsRequested(obj Object) bool {
	at := requestedAt(obj)
	return at != "" && at != obj.GetSyncStatus().LastHandledReconcileAt
}

// requestedAt is the annotation's value, as much of it as the status can hold.
func requestedAt(obj Object) string {
	return shorten(obj.GetAnnotations()[v1alpha1.RequestedAtAnnotation])
}

// Changed tells whether an object's Ready condition says something that it did not say before.
func Changed(before, after Object) bool {
	old, now := ReadyCondition(before), ReadyCondition(after)
	return now != nil && (old == nil || old.Status != now.Status || old.Reason != now.Reason || old.Message != now.Message)
}

// IsCurrent tells whether an object's Ready condition speaks of its present generation. A failure that lasts goes on saying so while
// the next attempt is under way.
func IsCurrent(obj Object) bool {
	ready := ReadyCondition(obj)
	return ready != nil && ready.ObservedGeneration == obj.GetGeneration()
}

// IsDecided tells whether an object's present generation was found Ready, or Stalled, before.
func IsDecided(obj Object) bool { return obj.GetSyncStatus().ObservedGeneration == obj.GetGeneration() }

// IsReady tells whether an object's Ready condition is True.
func IsReady(obj Object) bool {
	ready := ReadyCondition(obj)
	return ready != nil && ready.Status == metav1.ConditionTrue
}

// ReadyCondition returns an object's Ready condition, or nil.
func ReadyCondition(obj Object) *metav1.Condition {
	return apimeta.FindStatusCondition(obj.GetSyncStatus().Conditions, v1alpha1.ReadyCondition)
}

func put(obj Object, conditionType string, value metav1.ConditionStatus, outcome Outcome) {
	apimeta.SetStatusCondition(&obj.GetSyncStatus().Conditions, metav1.Condition{
		Type: conditionType, Status: value, Reason: outcome.Reason, Message: shorten(outcome.Message), ObservedGeneration: obj.GetGeneration(),
	})
}

// putOrRemove keeps a condition that is present only while it is True.
func putOrRemove(obj Object, conditionType string, present bool, outcome Outcome) {
	if !present {
		apimeta.RemoveStatusCondition(&obj.GetSyncStatus().Conditions, conditionType)
		return
	}
	put(obj, conditionType, metav1.ConditionTrue, outcome)
}

// shorten cuts a message to the length that conditions may have, at a character's boundary. What is no text is replaced here,
// for the API server would replace it, and the next pass would see a difference.
func shorten(message string) string { return Cut(message, maxMessage) }

// Cut cuts a text to a size in bytes, at a character's boundary, and replaces what is no text.
func Cut(text string, size int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= size {
		return text
	}
	const ellipsis = "…"
	end := size - len(ellipsis)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}
