package simulation

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

var (
	seeds    = flag.Uint64("seeds", 1500, "how many seeds to try")
	first    = flag.Uint64("first", 1, "the first seed")
	fails    = flag.Int("fails", 5, "how many failing seeds to shrink, one for each rule")
	stop     = flag.Bool("stop", false, "stop at the first seed that breaks a rule")
	progress = flag.Bool("progress", false, "say now and then how far it is, and what was covered in the end")
	strict   = flag.Bool("strict", false, "do not put the known defects aside")
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	flag.Parse()
	if !*progress {
		// Those who wait for the same go on in the same order each time.
		runtime.GOMAXPROCS(1)
	}
	os.Exit(m.Run())
}

// TestSeeds plays the cases of a fixed set of seeds, or of as many as make simulate asks for.
func TestSeeds(t *testing.T) {
	known := AllKnown
	if *strict {
		known = Known{}
	}
	all := tally{began: time.Now(), covered: map[string]int{}, rules: map[string][]uint64{}}
	all.said = all.began
	var next atomic.Uint64
	next.Store(*first)
	t.Run("all", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1) - 1; seed < *first+*seeds; seed = next.Add(1) - 1 {
					r := Play(t, Generate(seed, known), known, false)
					if all.add(seed, r); *stop && len(r.Violations) > 0 && next.Swap(1<<62) < 1<<61 {
						t.Logf("stopped after %d seeds: %s", seed-*first+1, r.Violations[0])
					}
				}
			})
		}
	})
	if !*stop {
		all.judge(t, known)
	}
}

// tally is what has come of the seeds so far.
type tally struct {
	mu                           sync.Mutex
	began, said                  time.Time
	covered                      map[string]int
	rules                        map[string][]uint64
	passes, calls, steps, broken int
}

// add counts the run of a seed.
func (a *tally) add(seed uint64, r Report) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, n := range r.Coverage {
		a.covered[k] += n
	}
	a.passes, a.calls, a.steps, a.broken = a.passes+r.Passes, a.calls+r.Calls, a.steps+r.Steps, a.broken+len(r.Violations)
	for i, v := range r.Violations {
		if slices.IndexFunc(r.Violations, v.sameRule) == i {
			a.rules[v.Rule] = append(a.rules[v.Rule], seed)
		}
	}
	if *progress && time.Since(a.said) > 10*time.Second {
		a.said = time.Now()
		done := seed - *first + 1
		fmt.Printf("%d seeds, %.0f a second, %d violations of %d rules, %d transitions covered\n", done, float64(done)/time.Since(a.began).Seconds(), a.broken, len(a.rules), len(a.covered))
	}
}

// judge fails the test for each rule that was broken, with the first of its seeds shrunk.
func (a *tally) judge(t *testing.T, known Known) {
	t.Helper()
	took := time.Since(a.began)
	t.Logf("%d seeds in %s, %.0f a second; %d passes, %d calls, %d steps; %d kinds of transitions covered", *seeds, took.Round(time.Millisecond),
		float64(*seeds)/took.Seconds(), a.passes, a.calls, a.steps, len(a.covered))
	if *progress {
		for _, transition := range slices.Sorted(maps.Keys(a.covered)) {
			fmt.Printf("%7d %s\n", a.covered[transition], transition)
		}
	}
	for rule, failing := range a.rules {
		slices.Sort(failing)
		t.Errorf("rule %q is broken by %d seeds, first %v", rule, len(failing), failing[:min(8, len(failing))])
		if *fails--; *fails < 0 {
			continue
		}
		c, r := Shrink(t, Generate(failing[0], known), known, rule)
		t.Errorf("seed %d, shrunk:\n%s\n%v\n%s", failing[0], c, r.Violations, strings.Join(r.Trace, "\n"))
	}
}

// TestTheSameCaseRunsInTheSameWay is what everything else rests on: a seed that fails must fail
// again.
func TestTheSameCaseRunsInTheSameWay(t *testing.T) {
	for seed := range uint64(120) {
		c := Generate(seed, Known{})
		one, two := Play(t, c, Known{}, true).Trace, Play(t, c, Known{}, true).Trace
		for i := range max(len(one), len(two)) {
			if i >= len(one) || i >= len(two) || one[i] != two[i] {
				t.Fatalf("seed %d differs from line %d on:\n%s\n\n%s", seed, i, strings.Join(one[max(0, i-3):min(len(one), i+2)], "\n"), strings.Join(two[max(0, i-3):min(len(two), i+2)], "\n"))
			}
		}
	}
}
