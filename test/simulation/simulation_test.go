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
	var next atomic.Uint64
	var mu sync.Mutex
	covered, rules := map[string]int{}, map[string][]uint64{}
	var passes, calls, steps, broken int
	began := time.Now()
	said := began
	next.Store(*first)
	t.Run("all", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1) - 1; seed < *first+*seeds; seed = next.Add(1) - 1 {
					r := Play(t, Generate(seed, known), known, false)
					mu.Lock()
					for k, n := range r.Coverage {
						covered[k] += n
					}
					passes, calls, steps = passes+r.Passes, calls+r.Calls, steps+r.Steps
					broken += len(r.Violations)
					for i, v := range r.Violations {
						if slices.IndexFunc(r.Violations, v.sameRule) == i {
							rules[v.Rule] = append(rules[v.Rule], seed)
						}
					}
					if *stop && len(r.Violations) > 0 && next.Swap(1<<62) < 1<<61 {
						t.Logf("stopped after %d seeds: %s", seed-*first+1, r.Violations[0])
					}
					if *progress && time.Since(said) > 10*time.Second {
						said = time.Now()
						done := seed - *first + 1
						fmt.Printf("%d seeds, %.0f a second, %d violations of %d rules, %d transitions covered\n", done, float64(done)/time.Since(began).Seconds(), broken, len(rules), len(covered))
					}
					mu.Unlock()
				}
			})
		}
	})
	took := time.Since(began)
	if *stop {
		return
	}
	t.Logf("%d seeds in %s, %.0f a second; %d passes, %d calls, %d steps; %d kinds of transitions covered", *seeds, took.Round(time.Millisecond),
		float64(*seeds)/took.Seconds(), passes, calls, steps, len(covered))
	if *progress {
		for _, transition := range slices.Sorted(maps.Keys(covered)) {
			fmt.Printf("%7d %s\n", covered[transition], transition)
		}
	}
	for rule, failing := range rules {
		slices.Sort(failing)
		t.Errorf("rule %q is broken by %d seeds, first %v", rule, len(failing), failing[:min(8, len(failing))])
		if *fails--; *fails < 0 {
			continue
		}
		c, r := Shrink(t, Generate(failing[0], known), known, rule)
		t.Errorf("seed %d, shrunk:\n%s\n%v\n%s", failing[0], c, r.Violations, strings.Join(r.Trace, "\n"))
	}
}

// TestTheSameCaseRunsInTheSameWay is what everything else rests on: a seed that fails must fail again.
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
