package simulation

import (
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// met takes note of a fault that met a pass.
func (p *pass) met(fault string) {
	if !slices.Contains(p.faults, fault) {
		p.faults = append(p.faults, fault)
	}
}

// did takes note of what a pass did.
func (p *pass) did(e effect) {
	p.manager.world.writes++
	verb := string(e.verb)
	if e.atom != "" {
		verb += " " + partOf(e.atom)
	}
	if !slices.Contains(p.verbs, verb) {
		p.verbs = append(p.verbs, verb)
	}
}

// cover counts how a pass ended: kind, reason, what it did and what met it.
func (w *world) cover(p *pass) {
	reason := "gone"
	if obj, ok := w.api.objects[p.key].(conditions.Object); ok {
		reason = "-"
		if ready := apimeta.FindStatusCondition(obj.GetSyncStatus().Conditions, v1alpha1.ReadyCondition); ready != nil {
			reason = ready.Reason
		}
	}
	slices.Sort(p.verbs)
	slices.Sort(p.faults)
	for _, verb := range append(p.verbs, "") {
		for _, fault := range append(p.faults, "") {
			w.report.Coverage[strings.Join([]string{p.key.kind, reason, verb, fault}, "/")]++
		}
	}
}
