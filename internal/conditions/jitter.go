package conditions

import (
	"cmp"
	"math/rand/v2"
	"time"
)

// longest is longer than anybody waits, and short enough to calculate with.
const longest = 10 * 365 * 24 * time.Hour

// Jitter spreads periodic work: the interval, or the default where it is 0, give or take 10 %.
func Jitter(interval, fallback time.Duration) time.Duration {
	d := float64(min(cmp.Or(interval, fallback), longest))
	return time.Duration(d * (0.9 + 0.2*Chance().Float64()))
}

// Chance makes numbers that spread load. They come from the time, so that a run by a clock of its
// own is the same each time.
func Chance() *rand.Rand {
	return rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)) //nolint:gosec // spreading load needs no secrecy
}
