package controllers

import (
	"fmt"
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// maxBatch is how many entries one request adds to a package, or removes. The service documents no limit.
const maxBatch = 100

// maxResources is how many entries a package can have. Vendor documentation: MaxCompute INSTALL PACKAGE.
const maxResources = 1000

// Plan implements engine.Kind.
func (k *packageKind) Plan(pkg *v1alpha1.MaxComputePackage, want, have packageState) plan.Plan {
	var p plan.Plan
	switch {
	case !pkg.DeletionTimestamp.IsZero():
		return planPackageDeletion(pkg, have)
	case !have.exists:
		p = planPackageCreation(pkg, want, have)
	default:
		p = admit(pkg, planPackageChange(pkg, want, have), packageEntry(pkg))
	}
	p.Basis, p.Holds = describePackage(pkg, have), have.resources.Pairs()+have.allowed.Len()
	return p
}

// planPackageCreation creates the package with what one call can say, and then adds the rest.
func planPackageCreation(pkg *v1alpha1.MaxComputePackage, want, have packageState) plan.Plan {
	body, rest := maxcompute.Expressible(want.resources)
	first := body.Grants()
	first = first[:min(maxBatch, len(first))]
	contents := acl.NewSet(first...)
	create := plan.Step{
		Verb: plan.Create, Entry: packageEntry(pkg), Contents: entries(contents), Repeat: have.unfinished,
	}
	return plan.Plan{Steps: slices.Concat(
		[]plan.Step{create}, contentSteps(plan.Add, pkg, body.Minus(contents).Union(rest)), allowSteps(pkg, want.allowed.List()),
	)}
}

// planPackageChange closes the difference of a package that is there. A part that is not managed any more is left without what the object
// put there.
func planPackageChange(pkg *v1alpha1.MaxComputePackage, want, have packageState) plan.Plan {
	resources, allowed := packageGoal(pkg, want, have)
	contents, sharing := acl.DiffContents(resources, have.resources), acl.DiffSharing(allowed, have.allowed)
	if pkg.DeletionTimestamp.IsZero() {
		// All of the inventory counts, seen or not: a read that lags must not let anything be forgotten.
		owned, seen := packageInventoryOf(pkg), have.restored(pkg)
		if !want.hasResources {
			contents.Remove = contents.Remove.Union(owned.resources.Absent(seen.resources))
		}
		if !want.hasAllowed {
			sharing.Disallow = append(sharing.Disallow, owned.allowed.Minus(seen.allowed).List()...)
		}
	}
	again, added := addAgain(pkg, contents.Add)
	inside := slices.Concat(again, contentSteps(plan.Add, pkg, added), replaceSteps(contents.Replace))
	removed := contentSteps(plan.Remove, pkg, contents.Remove)
	lowered, raised := relabelSteps(pkg, sharing.Relabel)
	coming := slices.Concat(raised, allowSteps(pkg, sharing.Allow))
	going, last := disallowSteps(sharing)
	going = append(going, lowered...)
	switch {
	case len(coming) > 0 && len(last) > 0:
		// On the way from all projects to some, or back, whoever may install the package before and after may do so in between: those who
		// go by it are disallowed when the others are seen to be allowed. Nobody gets more than what both specs share.
		p := withoutRefused(pkg, slices.Concat(going, again, removed, replaceSteps(contents.Replace), coming))
		for _, step := range last {
			p.Problems = append(p.Problems, step.Name+" is disallowed when the projects that take its place are allowed")
		}
		return p
	case have.resources.Len()+added.Len() > maxResources:
		return withoutRefused(pkg, slices.Concat(going, last, removed, inside, coming))
	}
	return withoutRefused(pkg, slices.Concat(going, last, inside, removed, coming))
}

// disallowSteps disallows projects: some first, and some when others are allowed in their place.
func disallowSteps(sharing acl.SharingChange) (first, last []plan.Step) {
	for _, share := range sharing.Disallow {
		step := plan.Step{Verb: plan.Disallow, Entry: plan.Entry{Kind: plan.KindAllowedProject, Name: share.Project}}
		if share.Project == maxcompute.AnyProject || anyProject(sharing.Allow) {
			last = append(last, step)
		} else {
			first = append(first, step)
		}
	}
	return first, last
}

// packageGoal is what a package is to hold, and whom it is to be shared with. What is out of it to be replaced counts as it was.
func packageGoal(pkg *v1alpha1.MaxComputePackage, want, have packageState) (acl.Set, acl.Sharing) {
	owned := packageInventoryOf(pkg)
	have = have.restored(pkg)
	resources, allowed := have.resources.Minus(owned.resources), have.allowed.Revert(owned.allowed, owned.former)
	additive := packagePolicyOf(pkg) == acl.Additive
	if want.hasResources {
		resources = acl.Diff(want.resources, have.resources, owned.resources, packagePolicyOf(pkg)).Apply(have.resources)
	}
	switch {
	case want.hasAllowed && additive:
		allowed = have.allowed.Ensure(want.allowed, owned.allowed, owned.former)
	case want.hasAllowed:
		allowed = want.allowed
	}
	return resources, allowed
}

// addAgain takes those out of what is to be added that were removed in order to be.
func addAgain(pkg *v1alpha1.MaxComputePackage, added acl.Set) (again []plan.Step, rest acl.Set) {
	rest = added
	for _, r := range pkg.Status.Replacements {
		if r.Kind == plan.KindAllowedProject || !r.UnderWay {
			continue
		}
		one := added.Minus(added.Absent(grants(entryOf(r))))
		for _, entry := range entries(one) {
			again = append(again, plan.Step{Verb: plan.Replace, Entry: entry, Previous: r.PreviousActions, Repeat: true})
		}
		rest = rest.Absent(one)
	}
	return again, rest
}

// anyProject tells whether all projects are among some.
func anyProject(shares []acl.Share) bool {
	return slices.ContainsFunc(shares, func(s acl.Share) bool { return s.Project == maxcompute.AnyProject })
}

// contentSteps adds or removes entries, as many at a time as a request can name; one of another schema than the default takes a request
// of its own.
func contentSteps(verb plan.Verb, pkg *v1alpha1.MaxComputePackage, set acl.Set) []plan.Step {
	var steps []plan.Step
	add := func(list []plan.Entry) {
		steps = append(steps, plan.Step{Verb: verb, Entry: packageEntry(pkg), Contents: list})
	}
	body, rest := maxcompute.Expressible(set)
	for batch := range slices.Chunk(entries(body), maxBatch) {
		add(batch)
	}
	for _, entry := range entries(rest) {
		add([]plan.Entry{entry})
	}
	return steps
}

func replaceSteps(replacements []acl.Replacement) []plan.Step {
	var steps []plan.Step
	for _, r := range replacements {
		steps = append(steps, plan.Step{Verb: plan.Replace, Entry: entries(acl.NewSet(r.To))[0], Previous: r.From.Actions})
	}
	return steps
}

// allowSteps allows projects. One that was disallowed in order to be allowed again is replaced.
func allowSteps(pkg *v1alpha1.MaxComputePackage, shares []acl.Share) []plan.Step {
	var steps []plan.Step
	for _, share := range shares {
		step := plan.Step{Verb: plan.Allow, Entry: shareEntry(share)}
		if r := replacementOf(pkg, step.Entry); r != nil && r.UnderWay {
			step.Verb, step.Previous, step.Repeat = plan.Replace, r.PreviousActions, true
		}
		steps = append(steps, step)
	}
	return steps
}

// relabelSteps gives projects other labels: those that lose by it, and those that gain. What becomes of the label of a project that is
// allowed again is not documented. So that is tried first, for it takes nothing away; if it was of no effect, the project is disallowed
// and allowed again.
func relabelSteps(pkg *v1alpha1.MaxComputePackage, relabels []acl.Relabel) (lowered, raised []plan.Step) {
	for _, r := range relabels {
		step := plan.Step{Verb: plan.Allow, Entry: shareEntry(r.To), Previous: shareEntry(r.From).Actions}
		if before := replacementOf(pkg, step.Entry); pkg.Status.Unsettled > 0 || before != nil && before.Refusals > 0 {
			step.Verb = plan.Replace
		}
		if r.To.Label < r.From.Label {
			step.Denies = 1
			lowered = append(lowered, step)
		} else {
			raised = append(raised, step)
		}
	}
	return lowered, raised
}

// withoutRefused makes a plan of steps, but for replacements that the service has refused too often: these are problems.
func withoutRefused(pkg *v1alpha1.MaxComputePackage, steps []plan.Step) plan.Plan {
	var p plan.Plan
	for _, step := range steps {
		r := replacementOf(pkg, step.Entry)
		if isReplacement(step) && !step.Repeat && pkg.DeletionTimestamp.IsZero() && r != nil && slices.Equal(r.Actions, step.Actions) && r.Refusals >= maxRefusals && !conditions.IsRequested(pkg) {
			p.Problems = append(p.Problems, fmt.Sprintf("the service refused %s %d times, so that it still has %s; it is not tried again until the spec asks for something else or a pass is asked for",
				step.Entry, r.Refusals, strings.Join(step.Previous, ", ")))
			continue
		}
		p.Steps = append(p.Steps, step)
	}
	return p
}

// planPackageDeletion takes back what the object did: the package if it made it, else what it put into it.
func planPackageDeletion(pkg *v1alpha1.MaxComputePackage, have packageState) plan.Plan {
	switch {
	case !have.exists:
		return plan.Plan{}
	case pkg.Status.Creating:
		return plan.Plan{Hold: unknownCreate(pkg)}
	case pkg.Status.Created:
		return plan.Plan{Steps: []plan.Step{{Verb: plan.Delete, Entry: packageEntry(pkg)}}}
	}
	return planPackageChange(pkg, packageState{}, have)
}

func packageEntry(pkg *v1alpha1.MaxComputePackage) plan.Entry {
	return plan.Entry{Kind: plan.KindPackage, Name: pkg.Spec.PackageName}
}

// describePackage writes down the state that a plan starts from, so that its approval holds for no other.
func describePackage(pkg *v1alpha1.MaxComputePackage, have packageState) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s/%s %v\n", pkg.UID, have.endpoint, pkg.Spec.ProjectName, pkg.Spec.PackageName, have.exists)
	for _, g := range have.resources.Grants() {
		fmt.Fprintf(&b, "%s %q %q %q\n", g.Kind, strings.ToLower(g.Schema), strings.ToLower(g.Name), g.Actions)
	}
	for _, share := range have.allowed.List() {
		fmt.Fprintf(&b, "%q %d\n", strings.ToLower(share.Project), share.Label)
	}
	return b.String()
}
