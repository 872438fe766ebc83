package controllers

import (
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// An entry of a package cannot be changed in place: it is removed and added again, in two requests. What it was is written into status
// before the first and counts until it is seen again, so that nothing gets lost between the two: not what is somebody else's, nor what
// the service does not take in its new form.

// maxRefusals is how many times the service may refuse a replacement before it is left alone.
const maxRefusals = 3

// replacementOf finds the record of an entry's replacement, whatever its actions.
func replacementOf(pkg *v1alpha1.MaxComputePackage, entry plan.Entry) *v1alpha1.Replacement {
	for i := range pkg.Status.Replacements {
		r := &pkg.Status.Replacements[i]
		if r.Kind == entry.Kind && strings.EqualFold(r.Name, entry.Name) && strings.EqualFold(schemaOf(r.SchemaName), schemaOf(entry.SchemaName)) {
			return r
		}
	}
	return nil
}

func schemaOf(name string) string {
	if name == "" {
		return acl.DefaultSchema
	}
	return name
}

func entryOf(r v1alpha1.Replacement) plan.Entry {
	return plan.Entry{Kind: r.Kind, SchemaName: r.SchemaName, Name: r.Name, Actions: r.Actions}
}

// formerOf is the entry as it was before.
func formerOf(r v1alpha1.Replacement) plan.Entry {
	return plan.Entry{Kind: r.Kind, SchemaName: r.SchemaName, Name: r.Name, Actions: r.PreviousActions}
}

// isReplacement tells whether a step changes an entry that is there, or was until the step began.
func isReplacement(step plan.Step) bool { return len(step.Previous) > 0 }

// recordReplacements writes down what a plan is about to replace.
func recordReplacements(pkg *v1alpha1.MaxComputePackage, p plan.Plan) {
	var records []v1alpha1.Replacement
	replaced := map[string]bool{}
	for _, step := range p.Steps {
		if !isReplacement(step) {
			continue
		}
		record := v1alpha1.Replacement{
			Kind: step.Kind, SchemaName: step.SchemaName, Name: step.Name, Actions: step.Actions, PreviousActions: step.Previous, UnderWay: true,
		}
		if before := replacementOf(pkg, step.Entry); before != nil && slices.Equal(before.Actions, record.Actions) {
			record.Refusals = before.Refusals
		}
		records, replaced[keyOf(record)] = append(records, record), true
	}
	if len(records) == 0 {
		return
	}
	// What is under way, or was refused, is not over because something else begins.
	for _, r := range pkg.Status.Replacements {
		if (r.UnderWay || r.Refusals > 0) && !replaced[keyOf(r)] {
			records = append(records, r)
		}
	}
	pkg.Status.Replacements = records
}

func keyOf(r v1alpha1.Replacement) string {
	return strings.ToLower(r.Kind + " " + schemaOf(r.SchemaName) + " " + r.Name)
}

// dropReplacement drops the record of a replacement that was not needed.
func dropReplacement(pkg *v1alpha1.MaxComputePackage, entry plan.Entry) {
	r := replacementOf(pkg, entry)
	if r == nil {
		return
	}
	key := keyOf(*r)
	pkg.Status.Replacements = slices.DeleteFunc(pkg.Status.Replacements, func(r v1alpha1.Replacement) bool { return keyOf(r) == key })
}

// followReplacements brings the records up to what was seen. One that was refused is dropped when something else is to be, and one of an
// entry that is out of the package when it is not to be there at all.
func followReplacements(pkg *v1alpha1.MaxComputePackage, want, have packageState) {
	if !have.exists {
		pkg.Status.Replacements = nil
		return
	}
	var goal packageState
	goal.resources, goal.allowed = packageGoal(pkg, want, have)
	var kept []v1alpha1.Replacement
	for _, r := range pkg.Status.Replacements {
		done, there := have.holds(entryOf(r))
		so, wanted := goal.holds(entryOf(r))
		r.UnderWay = r.UnderWay && !there
		if done {
			r.Refusals = 0
		}
		if r.UnderWay && wanted || !r.UnderWay && (r.Refusals == 0 || so) {
			kept = append(kept, r)
		}
	}
	pkg.Status.Replacements = kept
}

// restored is a package as it would be if no entry of it were out to be replaced.
func (s packageState) restored(pkg *v1alpha1.MaxComputePackage) packageState {
	for _, r := range pkg.Status.Replacements {
		if _, has := s.holds(entryOf(r)); has || !r.UnderWay {
			continue
		}
		if r.Kind != plan.KindAllowedProject {
			s.resources = s.resources.Union(grants(formerOf(r)))
		} else if share, err := shareOf(formerOf(r)); err == nil {
			s.allowed = s.allowed.Union(acl.NewSharing(share))
		}
	}
	return s
}
