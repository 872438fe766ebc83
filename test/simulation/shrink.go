package simulation

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Shrink leaves out of a case whatever is not needed for it to break a rule.
func Shrink(t *testing.T, c Case, known Known, rule string) (Case, Report) {
	breaks := func(ops []string) bool {
		return slices.ContainsFunc(Play(t, Case{Seed: c.Seed, Ops: ops}, known, false).Violations, func(v Violation) bool { return v.Rule == rule })
	}
	ops := slices.Clone(c.Ops)
	for again := true; again; {
		again = false
		for size := max(1, len(ops)/2); size >= 1; size /= 2 {
			for i := 0; i+size <= len(ops); {
				if fewer := slices.Concat(ops[:i], ops[i+size:]); breaks(fewer) {
					ops, again = fewer, true
				} else {
					i++
				}
			}
		}
		for i, op := range ops {
			for _, simpler := range simplify(op) {
				if tried := slices.Concat(ops[:i], []string{simpler}, ops[i+1:]); breaks(tried) {
					ops, again = tried, true
					break
				}
			}
		}
	}
	c.Ops = ops
	return c, Play(t, c, known, true)
}

// simplify are simpler forms of an operation: without one of its words, one of the things that a
// word lists, or later.
func simplify(op string) (simpler []string) {
	words := strings.Fields(op)
	if words[0] != "idle" && words[0] != "0" {
		simpler = append(simpler, strings.Join(append([]string{"idle"}, words[1:]...), " "))
	}
	for i := 3; i < len(words); i++ {
		name, value, ok := strings.Cut(words[i], "=")
		if words[1] == "fault" && i < 5 {
			continue
		}
		if (ok || strings.ContainsAny(words[i][:1], "+-")) && (words[1] != "edit" || len(words) > 4) {
			simpler = append(simpler, strings.Join(slices.Concat(words[:i], words[i+1:]), " "))
		}
		list := strings.Split(value, ",")
		for j := range list {
			if ok && len(list) > 1 {
				fewer := strings.Join(slices.Concat(list[:j], list[j+1:]), ",")
				simpler = append(simpler, strings.Join(slices.Concat(words[:i], []string{name + "=" + fewer}, words[i+1:]), " "))
			}
		}
	}
	return simpler
}

// String is a case as it is pasted into the table of regressions.
func (c Case) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "{Seed: %d, Ops: []string{\n", c.Seed)
	for _, op := range c.Ops {
		fmt.Fprintf(&b, "\t%q,\n", op)
	}
	return b.String() + "}},"
}
