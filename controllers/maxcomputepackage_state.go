package controllers

import (
	"fmt"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// packageState is a package as it is wanted, or as it was found. Each of the two parts is there or not: wanted if the spec has it, found
// if it was read.
type packageState struct {
	exists bool

	hasResources bool
	resources    acl.Set

	hasAllowed bool
	allowed    acl.Sharing

	// unfinished says that a create whose outcome is not known may still take effect.
	unfinished bool
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
	// former are projects that were allowed before, and the labels that they had before they got others.
	former acl.Sharing
}

func packageInventoryOf(pkg *v1alpha1.MaxComputePackage) packageInventory {
	var list []acl.Grant
	var allowed, former []acl.Share
	for _, e := range pkg.Status.Applied {
		entry := plan.Entry{Kind: e.Kind, SchemaName: e.SchemaName, Name: e.Name, Actions: e.Actions}
		if e.Kind != plan.KindAllowedProject {
			list = append(list, grant(entry))
		} else if share, err := shareOf(entry); err == nil {
			former = append(former, share)
		} else {
			allowed = append(allowed, acl.Share{Project: e.Name})
		}
	}
	return packageInventory{resources: acl.NewSet(list...), allowed: acl.NewSharing(allowed...), former: acl.NewSharing(former...)}
}

// store writes an inventory into status. One that means the same is left as it is written.
func (i packageInventory) store(pkg *v1alpha1.MaxComputePackage) {
	if stored := packageInventoryOf(pkg); i.resources.Equal(stored.resources) && i.allowed.Equal(stored.allowed) && i.former.Equal(stored.former) {
		return
	}
	pkg.Status.Applied = nil
	for _, e := range entries(i.resources) {
		pkg.Status.Applied = append(pkg.Status.Applied, v1alpha1.InventoryEntry{Kind: e.Kind, SchemaName: e.SchemaName, Name: e.Name, Actions: e.Actions})
	}
	for _, share := range i.allowed.List() {
		pkg.Status.Applied = append(pkg.Status.Applied, v1alpha1.InventoryEntry{Kind: plan.KindAllowedProject, Name: share.Project})
	}
	for _, share := range i.former.List() {
		pkg.Status.Applied = append(pkg.Status.Applied, v1alpha1.InventoryEntry{Kind: plan.KindAllowedProject, Name: share.Project, Actions: shareEntry(share).Actions})
	}
}

// covers tells whether a package, all of which was read, holds nothing beyond the inventory.
func (i packageInventory) covers(have packageState) bool {
	return have.hasResources && have.hasAllowed && i.resources.Contains(have.resources) && have.allowed.Minus(i.allowed).Len() == 0
}

// isSeen tells whether a package holds all of the inventory.
func (i packageInventory) isSeen(have packageState) bool {
	return have.resources.Contains(i.resources) && i.allowed.Minus(have.allowed).Len() == 0
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
		if step.Kind == plan.KindAllowedProject {
			return i.withProject(step)
		}
		added := step.Entry
		added.Actions = plan.Without(step.Actions, step.Previous)
		i.resources = i.resources.Union(grants(added))
	default:
	}
	return i
}

// withProject adds a project that a step is about to allow. One that was allowed before stays somebody else's, whatever its label becomes.
func (i packageInventory) withProject(step plan.Step) packageInventory {
	project := acl.NewSharing(acl.Share{Project: step.Name})
	former, err := shareOf(plan.Entry{Kind: step.Kind, Name: step.Name, Actions: step.Previous})
	if err != nil {
		i.allowed, i.former = i.allowed.Union(project), i.former.Minus(project)
	} else if i.allowed.Intersect(project).Len() == 0 {
		i.former = i.former.Union(acl.NewSharing(former))
	}
	return i
}

// without drops what a step has taken out of the package.
func (i packageInventory) without(step plan.Step) packageInventory {
	switch {
	case step.Verb == plan.Remove:
		i.resources = i.resources.Minus(grants(step.Contents...))
	case step.Verb == plan.Disallow:
		project := acl.NewSharing(acl.Share{Project: step.Name})
		i.allowed, i.former = i.allowed.Minus(project), i.former.Minus(project)
	case step.Verb == plan.Replace && step.Kind != plan.KindAllowedProject:
		// The entry has these actions now, and no others.
		now := grants(step.Entry)
		i.resources = i.resources.Minus(i.resources.Minus(i.resources.Absent(now)).Minus(now))
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
	if !have.exists {
		i.former = acl.Sharing{}
	}
	if have.hasAllowed && settled {
		// Those that are gone, or have their label again.
		i.former = i.former.Minus(i.former.Minus(have.allowed))
		for _, former := range i.former.List() {
			if now, _ := have.allowed.Of(former.Project); now.Label == former.Label {
				i.former = i.former.Minus(acl.NewSharing(former))
			}
		}
	}
	return i
}

// holds tells whether an entry is there just so, and has whether it is there at all.
func (s packageState) holds(entry plan.Entry) (so, has bool) {
	if entry.Kind == plan.KindAllowedProject {
		share, ok := s.allowed.Of(entry.Name)
		wanted, err := shareOf(entry)
		return ok && err == nil && share.Label == wanted.Label, ok
	}
	one := grants(entry)
	there := s.resources.Minus(s.resources.Absent(one))
	return there.Equal(one), !there.Empty()
}

// shareEntry is how plans, inventories and records name a project that may install a package: the label takes the place of actions.
func shareEntry(share acl.Share) plan.Entry {
	return plan.Entry{Kind: plan.KindAllowedProject, Name: share.Project, Actions: []string{fmt.Sprintf("label %d", share.Label)}}
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
