package conditions

import (
	"cmp"
	"math/rand/v2"
	"time"
)

// Jitter spreads periodic work: the interval, or the default where it is 0, give or take 10 %.
func Jitter(interval, fallback time.Duration) time.Duration {
	d := float64(cmp.Or(interval, fallback))
	return time.Duration(d * (0.9 + 0.2*rand.Float64())) //nolint:gosec // spreading load needs no secrecy
}
