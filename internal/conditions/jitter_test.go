package conditions_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

func TestJitterStaysNearTheInterval(t *testing.T) {
	const year = 365 * 24 * time.Hour
	tests := map[string]struct{ interval, fallback, low, high time.Duration }{
		"an interval":                   {time.Minute, time.Hour, 54 * time.Second, 66 * time.Second},
		"none, so the default":          {0, time.Hour, 54 * time.Minute, 66 * time.Minute},
		"one that is hard to calculate": {math.MaxInt64, 0, 9 * year, 11 * year},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			for range 1000 {
				if d := conditions.Jitter(tc.interval, tc.fallback); d < tc.low || d > tc.high {
					t.Fatalf("%v is not between %v and %v", d, tc.low, tc.high)
				}
			}
		})
	}
}

// TestALongRequestIsHandledOnce: the annotation may be longer than the status field that echoes it.
func TestALongRequestIsHandledOnce(t *testing.T) {
	role := &v1alpha1.ProjectRole{}
	role.Annotations = map[string]string{v1alpha1.RequestedAtAnnotation: strings.Repeat("x", 5000)}
	if !conditions.IsRequested(role) {
		t.Error("not requested")
	}
	conditions.SetHandled(role)
	if n := len(role.Status.LastHandledReconcileAt); n > 1024 || conditions.IsRequested(role) {
		t.Errorf("%d bytes echoed, still requested: %v", n, conditions.IsRequested(role))
	}
}
