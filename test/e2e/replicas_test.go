package e2e

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// takeOver bounds how long it takes until the lease of a replica that was killed has run out and another has it.
const takeOver = 40 * time.Second

// TestAnotherReplicaTakesOver when the one that works is stopped, and when it is killed. Both have the rights of the chart.
func TestAnotherReplicaTakesOver(t *testing.T) {
	g := NewWithT(t)
	t.Cleanup(func() {
		bed.Manager.Stop()
		if err := startManager(); err != nil {
			t.Error(err)
		}
	})
	s, logged := newSpace(t), len(bed.Manager.Output())
	role := s.role("reader", "Select")
	create(t, s.secret(), s.connection(), role)
	g.Eventually(seen(role), timeout, poll).Should(Equal(owns))
	working := bed.Manager
	for _, end := range []struct {
		how    func(*testbed.Manager)
		within time.Duration
		role   string
	}{{(*testbed.Manager).Stop, timeout, "after-a-stop"}, {(*testbed.Manager).Kill, takeOver, "after-a-kill"}} {
		waiting := bed.Manager.Replica()
		t.Cleanup(waiting.Stop)
		attempts := strings.Count(bed.Manager.Output(), "acquire leader lease")
		g.Expect(waiting.Start("--default-interval=2s")).To(Succeed())
		g.Eventually(func() int { return strings.Count(bed.Manager.Output(), "acquire leader lease") }, timeout, poll).Should(BeNumerically(">", attempts))
		end.how(working)
		next := s.role(end.role, "Select")
		next.Spec.RoleName = strings.ReplaceAll(end.role, "-", "_")
		create(t, next)
		g.Eventually(seen(next), end.within, poll).Should(Equal(owns))
		working = waiting
	}
	g.Expect(bed.Manager.Output()[logged:]).NotTo(ContainSubstring("is forbidden"))
}
