package plan

import (
	"errors"
	"slices"
)

// Partial is the error of a step of which only a part was carried out.
type Partial struct {
	// Done is that part, as a step.
	Done Step
	// Err is why the rest was not; nil if the next look tells.
	Err error
}

// Error implements error.
func (p *Partial) Error() string {
	if p.Err == nil {
		return p.Done.String() + ": carried out in part"
	}
	return p.Err.Error()
}

// Unwrap gives access to the cause.
func (p *Partial) Unwrap() error { return p.Err }

// Outcome tells apart what an attempt at a step has done, nil for nothing, and why the rest of it
// was not done.
func Outcome(step Step, err error) (done *Step, rest error) {
	if err == nil {
		return &step, nil
	}
	if partial, ok := errors.AsType[*Partial](err); ok {
		return &partial.Done, partial.Err
	}
	return nil, err
}

// Part returns a smaller part of the steps of a plan, to be carried out first where not all of them
// can be recorded at once: those that only take away, if there are others as well, and otherwise
// about half. It is empty if there is no smaller part.
func Part(steps []Step) []Step {
	taking := slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return s.Revokes() == 0 || s.Grants() > 0 || s.Rebuilds() })
	switch {
	case len(taking) > 0 && len(taking) < len(steps):
		return taking
	case len(steps) > 1:
		return steps[:len(steps)/2]
	case len(steps) == 0:
		return nil
	}
	half := steps[0]
	switch {
	case len(half.Members) > 1:
		half.Members = half.Members[:len(half.Members)/2]
	case half.Verb != SetPolicy && len(half.Contents) > 1:
		half.Contents = half.Contents[:len(half.Contents)/2]
	default:
		return nil
	}
	return []Step{half}
}
