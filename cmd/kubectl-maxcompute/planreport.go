package main

import (
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// Report is what plan prints with -o json or yaml. Fields are added to it, and never change their meaning.
type Report struct {
	Objects []ObjectPlan `json:"objects"`
	// Unplanned is how many of the objects are of a kind that has no plan.
	Unplanned int     `json:"unplanned,omitempty"`
	Summary   Summary `json:"summary"`
}

// ObjectPlan is what a pass over one object would do.
type ObjectPlan struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Target is what the object manages, in words.
	Target string `json:"target"`
	// Steps are in the order in which they would be carried out. They are empty where nothing would be done.
	Steps []Step `json:"steps"`
	// Grants and Revokes count pairs of object and action, members, and projects.
	Grants  int `json:"grants"`
	Revokes int `json:"revokes"`
	// Hash approves the plan, in the annotation maxcompute-operator.io/approve-plan of an object that exists.
	Hash string `json:"hash,omitempty"`
	// Observed tells that the object only looks: the steps are the difference, and nobody would carry them out.
	Observed bool `json:"observed,omitempty"`
	// Blocked tells that the operator would not carry the steps out, or could not look: Reason and Message say why.
	Blocked bool `json:"blocked,omitempty"`
	// Reason is what the condition Ready of the object would say if not Succeeded.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// Step is one change in the cloud.
type Step struct {
	Verb       string   `json:"verb"`
	Kind       string   `json:"kind"`
	SchemaName string   `json:"schemaName,omitempty"`
	Name       string   `json:"name"`
	Actions    []string `json:"actions,omitempty"`
	// Previous are the actions that a Replace, or an Allow of a project that is allowed already, takes away.
	Previous []string `json:"previous,omitempty"`
	// Contents is what a Create puts into what it creates, and what an Add or a Remove is about.
	Contents []Step   `json:"contents,omitempty"`
	Members  []string `json:"members,omitempty"`
	// Policy and PreviousPolicy are the documents that a SetPolicy leaves and replaces.
	Policy         string `json:"policy,omitempty"`
	PreviousPolicy string `json:"previousPolicy,omitempty"`
	// Text is the step in one line.
	Text string `json:"text"`
}

// Summary counts over all objects.
type Summary struct {
	Objects int `json:"objects"`
	// Changes is how many objects would change something in the cloud.
	Changes int `json:"changes"`
	// Blocked is how many the operator would not work on, or could not look at.
	Blocked int `json:"blocked"`
	Grants  int `json:"grants"`
	Revokes int `json:"revokes"`
}

// complaint says in one line what keeps the operator from working on an object, and what to do about it.
func (o ObjectPlan) complaint() string {
	name := strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")
	return oneLine(strings.TrimSuffix(o.Kind+" "+name+": "+o.Reason+sep(o.Reason)+o.Message+" ("+advice[o.Reason]+")", " ()"))
}

// mild are reasons that do not keep the operator from what there is to do: what is left over after everything else was applied, and what
// somebody has asked for.
var mild = map[string]bool{v1alpha1.ReasonPartiallyApplied: true, v1alpha1.ReasonSuspended: true}

// add puts what a pass over an object would do into the report.
func (r *Report) add(m manifest, p plan.Plan, err error) {
	entry := ObjectPlan{Kind: m.kind, Namespace: m.GetNamespace(), Name: m.GetName(), Target: targetOf(m), Steps: []Step{}}
	if t, ok := m.Object.(conditions.Target); ok {
		entry.Observed = t.IsObserved()
	}
	for _, step := range p.Steps {
		entry.Steps = append(entry.Steps, stepOf(step))
	}
	entry.Grants, entry.Revokes = p.Grants(), p.Revokes()
	if len(p.Steps) > 0 {
		entry.Hash = p.Hash()
	}
	if err != nil {
		entry.Reason, entry.Message = explain(err)
		entry.Blocked = !mild[entry.Reason]
	}
	r.Objects = append(r.Objects, entry)
	r.Summary.Objects++
	switch {
	case entry.Blocked:
		r.Summary.Blocked++
	case !entry.Observed && slices.ContainsFunc(p.Steps, changesCloud):
		r.Summary.Changes++
		r.Summary.Grants += entry.Grants
		r.Summary.Revokes += entry.Revokes
	}
}

// changesCloud tells of a step that is not only for the object's own status.
func changesCloud(step plan.Step) bool { return step.Verb != plan.Adopt }

func stepOf(step plan.Step) Step {
	s := Step{
		Verb: string(step.Verb), Kind: step.Kind, SchemaName: step.SchemaName, Name: step.Name, Actions: step.Actions, Previous: step.Previous,
		Members: step.Members, Policy: step.Policy, PreviousPolicy: step.PreviousPolicy, Text: step.String(),
	}
	if step.Verb == plan.SetPolicy {
		// Its contents are fingerprints of statements, for the inventory.
		return s
	}
	for _, entry := range step.Contents {
		s.Contents = append(s.Contents, Step{Verb: string(step.Fills()), Kind: entry.Kind, SchemaName: entry.SchemaName, Name: entry.Name, Actions: entry.Actions, Text: entry.String()})
	}
	return s
}

// targetOf says in words what an object manages.
func targetOf(m manifest) string {
	if t, ok := m.Object.(interface{ GetTarget() v1alpha1.RemoteTarget }); ok {
		return t.GetTarget().String()
	}
	return m.String()
}
