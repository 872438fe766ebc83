package plan

import "errors"

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

// Outcome tells apart what an attempt at a step has done, nil for nothing, and why the rest of it was not done.
func Outcome(step Step, err error) (done *Step, rest error) {
	if err == nil {
		return &step, nil
	}
	if partial, ok := errors.AsType[*Partial](err); ok {
		return &partial.Done, partial.Err
	}
	return nil, err
}
