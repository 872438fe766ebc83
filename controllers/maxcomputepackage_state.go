package controllers

import (
	"fmt"
	"slices"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// What inventories and plans call a package, and a project that may install it.
const (
	packageEntryKind   = "Package"
	allowedProjectKind = "AllowedProject"
)

// packageState is a package as it is wanted, or as it was found. Each of the two parts is there or not: wanted if the spec has it, found
// if it was read.
type packageState struct {
	exists bool

	hasResources bool
	resources    acl.Set

	hasAllowed bool
	allowed    acl.Sharing

	// endpoint is where the package was looked for.
	endpoint string
}

// packageStateOf is what the spec of a package wants.
func packageStateOf(pkg *v1alpha1.MaxComputePackage) (packageState, error) {
	want := packageState{exists: true, hasResources: pkg.Spec.Resources != nil, hasAllowed: pkg.Spec.AllowedProjects != nil}
	if spec := pkg.Spec.Resources; spec != nil {
		want.resources = acl.NewSet(objectGrants(spec.Tables, spec.Resources, spec.Functions)...)
	}
	var shares []acl.Share
	for _, allowed := range pkg.Spec.AllowedProjects {
		shares = append(shares, acl.Share{Project: allowed.ProjectName, Label: int(allowed.Label)})
	}
	want.allowed = acl.NewSharing(shares...)
	for _, share := range shares {
		if same, _ := want.allowed.Of(share.Project); same.Label != share.Label {
			return want, conditions.Stall(v1alpha1.ReasonInvalidSpec, "allowedProjects: %s is listed twice, in different case and with the labels %d and %d", share.Project, same.Label, share.Label)
		}
	}
	return want, maxcompute.Validate(want.resources)
}

// packagePolicyOf is how the difference is to be closed. An object that only observes reports all of it.
func packagePolicyOf(pkg *v1alpha1.MaxComputePackage) acl.Policy {
	if pkg.Spec.ManagementPolicy == v1alpha1.ManagementAdditive {
		return acl.Additive
	}
	return acl.Authoritative
}

// packageInventory is what an object put into a package, and whom it allowed to install it, or was about to.
type packageInventory struct {
	resources acl.Set
	// allowed are the projects; their labels are not kept.
	allowed acl.Sharing
}

func packageInventoryOf(pkg *v1alpha1.MaxComputePackage) packageInventory {
	var list []acl.Grant
	var shares []acl.Share
	for _, e := range pkg.Status.Applied {
		if e.Kind == allowedProjectKind {
			shares = append(shares, acl.Share{Project: e.Name})
		} else {
			list = append(list, acl.Grant{Kind: acl.Kind(e.Kind), Schema: e.SchemaName, Name: e.Name, Actions: e.Actions})
		}
	}
	return packageInventory{resources: acl.NewSet(list...), allowed: acl.NewSharing(shares...)}
}

// store writes an inventory into status. One that means the same is left as it is written.
func (i packageInventory) store(pkg *v1alpha1.MaxComputePackage) {
	if stored := packageInventoryOf(pkg); i.resources.Equal(stored.resources) && i.allowed.Equal(stored.allowed) {
		return
	}
	pkg.Status.Applied = nil
	for _, e := range entries(i.resources) {
		pkg.Status.Applied = append(pkg.Status.Applied, v1alpha1.InventoryEntry{Kind: e.Kind, SchemaName: e.SchemaName, Name: e.Name, Actions: e.Actions})
	}
	for _, share := range i.allowed.List() {
		pkg.Status.Applied = append(pkg.Status.Applied, v1alpha1.InventoryEntry{Kind: allowedProjectKind, Name: share.Project})
	}
}

// covers tells whether a package, all of which was read, holds nothing beyond the inventory.
func (i packageInventory) covers(have packageState) bool {
	return have.hasResources && have.hasAllowed && i.resources.Contains(have.resources) && have.allowed.Minus(i.allowed).Len() == 0
}

// foreign counts what a package holds beyond what is wanted and what the object put there itself.
func (i packageInventory) foreign(want, have packageState) int {
	n := 0
	if want.hasResources {
		n += have.resources.Minus(want.resources).Minus(i.resources).Pairs()
	}
	if want.hasAllowed {
		n += have.allowed.Minus(want.allowed).Minus(i.allowed).Len()
	}
	return n
}

// with adds what a step is about to put into the package.
func (i packageInventory) with(step plan.Step) packageInventory {
	switch step.Verb {
	case plan.Create, plan.Add:
		i.resources = i.resources.Union(grants(step.Contents...))
	case plan.Replace, plan.Allow:
		if step.Kind == allowedProjectKind {
			// One that was allowed before stays somebody else's, whatever its label becomes.
			if len(step.Previous) == 0 {
				i.allowed = i.allowed.Union(acl.NewSharing(acl.Share{Project: step.Name}))
			}
			break
		}
		added := step.Entry
		added.Actions = plan.Without(step.Actions, step.Previous)
		i.resources = i.resources.Union(grants(added))
	default:
	}
	return i
}

// without drops what a step has taken out of the package.
func (i packageInventory) without(step plan.Step) packageInventory {
	switch {
	case step.Verb == plan.Remove:
		i.resources = i.resources.Minus(grants(step.Contents...))
	case step.Verb == plan.Disallow:
		i.allowed = i.allowed.Minus(acl.NewSharing(acl.Share{Project: step.Name}))
	case step.Verb == plan.Replace && step.Kind != allowedProjectKind:
		removed := step.Entry
		removed.Actions = plan.Without(step.Previous, step.Actions)
		i.resources = i.resources.Minus(grants(removed))
	}
	return i
}

// trim drops what is neither wanted nor there any more: it needs no taking back. What is not managed any more is only dropped once the
// service has had time to show what was written last.
func (i packageInventory) trim(want, have packageState, settled bool) packageInventory {
	if have.hasResources && (want.hasResources || settled) {
		i.resources = i.resources.Intersect(have.resources.Union(want.resources))
	}
	if have.hasAllowed && (want.hasAllowed || settled) {
		i.allowed = i.allowed.Intersect(have.allowed.Union(want.allowed))
	}
	return i
}

// maxRefusals is how many times the service may refuse a replacement before it is left alone.
const maxRefusals = 3

// replacementOf finds the record of an entry that had to be removed and added again with the actions it is to have.
func replacementOf(pkg *v1alpha1.MaxComputePackage, entry plan.Entry) *v1alpha1.Replacement {
	for i := range pkg.Status.Replacements {
		if r := &pkg.Status.Replacements[i]; grants(entryOf(*r)).Equal(grants(entry)) {
			return r
		}
	}
	return nil
}

func entryOf(r v1alpha1.Replacement) plan.Entry {
	return plan.Entry{Kind: r.Kind, SchemaName: r.SchemaName, Name: r.Name, Actions: r.Actions}
}

// recordReplacements writes down what a plan is about to remove in order to add it again: should the latter not come about, the entry
// gets back what it had.
func recordReplacements(pkg *v1alpha1.MaxComputePackage, p plan.Plan) {
	var records []v1alpha1.Replacement
	for _, step := range p.Steps {
		if step.Verb != plan.Replace && len(step.Previous) == 0 {
			continue
		}
		record := v1alpha1.Replacement{Kind: step.Kind, SchemaName: step.SchemaName, Name: step.Name, Actions: step.Actions, PreviousActions: step.Previous}
		if before := replacementOf(pkg, step.Entry); before != nil {
			record.Refusals = before.Refusals
		}
		records = append(records, record)
	}
	if len(records) == 0 {
		return
	}
	// What is under way, or was refused, is not over because something else begins.
	for _, r := range pkg.Status.Replacements {
		if r.Refusals > 0 || isAdded(p, entryOf(r)) {
			records = appendNew(records, r)
		}
	}
	pkg.Status.Replacements = records
}

// dropReplacement drops the record of a replacement that was not needed.
func dropReplacement(pkg *v1alpha1.MaxComputePackage, entry plan.Entry) {
	pkg.Status.Replacements = slices.DeleteFunc(pkg.Status.Replacements, func(r v1alpha1.Replacement) bool {
		return grants(entryOf(r)).Equal(grants(entry))
	})
}

func appendNew(records []v1alpha1.Replacement, r v1alpha1.Replacement) []v1alpha1.Replacement {
	for _, other := range records {
		if grants(entryOf(other)).Equal(grants(entryOf(r))) {
			return records
		}
	}
	return append(records, r)
}

// isAdded tells whether a plan adds an entry.
func isAdded(p plan.Plan, entry plan.Entry) bool {
	for _, step := range p.Steps {
		if step.Verb == plan.Add && grants(step.Contents...).Contains(grants(entry)) || step.Verb == plan.Allow && step.Name == entry.Name {
			return true
		}
	}
	return false
}

// forgetReplacements drops the records of replacements that were refused and are not wanted any more, or came about all the same.
func forgetReplacements(pkg *v1alpha1.MaxComputePackage, want, have packageState) {
	var kept []v1alpha1.Replacement
	for _, r := range pkg.Status.Replacements {
		if r.Refusals == 0 || want.holds(entryOf(r)) && !have.holds(entryOf(r)) {
			kept = append(kept, r)
		}
	}
	pkg.Status.Replacements = kept
}

// holds tells whether an entry is there just so.
func (s packageState) holds(entry plan.Entry) bool {
	if entry.Kind == allowedProjectKind {
		share, ok := s.allowed.Of(entry.Name)
		return ok && shareEntry(share).Actions[0] == entry.Actions[0]
	}
	one := grants(entry)
	same := s.resources.Minus(s.resources.Absent(one))
	return same.Equal(one)
}

// shareEntry is how plans, inventories and records name a project that may install a package: the label takes the place of actions.
func shareEntry(share acl.Share) plan.Entry {
	return plan.Entry{Kind: allowedProjectKind, Name: share.Project, Actions: []string{fmt.Sprintf("label %d", share.Label)}}
}

// shareOf reads what shareEntry wrote.
func shareOf(entry plan.Entry) (acl.Share, error) {
	share := acl.Share{Project: entry.Name}
	if len(entry.Actions) != 1 {
		return share, fmt.Errorf("%s names no label", entry)
	}
	_, err := fmt.Sscanf(entry.Actions[0], "label %d", &share.Label)
	return share, err
}
