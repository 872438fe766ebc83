package main

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

const (
	// scaleQPS is the limit that the last restart has to live with.
	scaleQPS = 500
	// perProject is how many roles one project of MaxCompute has.
	perProject = 1000
	// rest is how long a manager has nothing to do before its memory is looked at.
	rest = 20 * time.Second
	// memoryLimit is what the manager may hold at the largest size, in MiB.
	memoryLimit = 256
)

// scale restarts the manager with more and more roles.
func (b *bench) scale(ctx context.Context) error {
	sizes := []int{1000, 5000, 10000, 20000}
	if b.roles > 0 {
		sizes = []int{b.roles}
	}
	fmt.Printf("Ready roles of 3 grants, %d in a project, %s latency per call; the manager is restarted\n", perProject, b.latency)
	p, err := b.populate(ctx, "scale", plenty, perProject)
	if err != nil {
		return err
	}
	before, err := p.idle(ctx)
	if err != nil {
		return err
	}
	for _, size := range sizes {
		more := size - p.size
		if err := p.grow(ctx, size); err != nil {
			return err
		}
		now, err := p.restartFreely(ctx)
		if err != nil {
			return err
		}
		row("memory at rest, for each 1,000 roles more", "%.1f MiB", 1000*(now.Resident-before.Resident)/float64(more))
		before = now
	}
	return p.restartWithin(ctx, scaleQPS)
}

// idle is what the manager holds with next to no roles.
func (p *population) idle(ctx context.Context) (testbed.Memory, error) {
	if err := p.start(usualInterval); err != nil {
		return testbed.Memory{}, err
	}
	defer p.Manager.Stop()
	memory, err := p.memoryAtRest(ctx)
	fmt.Println("\n1 role")
	row("memory, at rest and at most", "%.0f MiB, %.0f MiB", memory.Resident, memory.Peak)
	return memory, err
}

func (p *population) memoryAtRest(ctx context.Context) (testbed.Memory, error) {
	select {
	case <-ctx.Done():
		return testbed.Memory{}, ctx.Err()
	case <-time.After(rest):
	}
	return p.Manager.Memory()
}

// restartFreely restarts the manager with a rate limit that it cannot reach.
func (p *population) restartFreely(ctx context.Context) (testbed.Memory, error) {
	look, err := p.restart(ctx)
	defer p.Manager.Stop()
	if err != nil {
		return testbed.Memory{}, err
	}
	memory, err := p.memoryAtRest(ctx)
	if err != nil {
		return testbed.Memory{}, err
	}
	fmt.Printf("\n%d roles\n", p.size)
	took := look.ended.Sub(look.started)
	row("from the manager's start to the last role seen", "%.1f s, %.0f roles a second", took.Seconds(), float64(p.size)/took.Seconds())
	row("before the first call", "%.1f s", look.called.Sub(look.started).Seconds())
	row("CPU of the manager per role", "%.2f ms", 1000*look.costs.cpu/float64(p.size))
	row("memory, when all were seen", "%.0f MiB", look.memory.Resident)
	aim("memory, at rest and at most", memory.Peak < memoryLimit, fmt.Sprintf("below %d MiB", memoryLimit), "%.0f MiB, %.0f MiB", memory.Resident, memory.Peak)
	return memory, nil
}

// restartWithin restarts the manager with a rate limit that it should use up.
func (p *population) restartWithin(ctx context.Context, qps int32) error {
	connection := &v1alpha1.Connection{}
	if err := p.Kube.Get(ctx, client.ObjectKeyFromObject(p.NewConnection(p.namespace, qps)), connection); err != nil {
		return err
	}
	connection.Spec = p.NewConnection(p.namespace, qps).Spec
	if err := p.Kube.Update(ctx, connection); err != nil {
		return err
	}
	look, err := p.restart(ctx)
	defer p.Manager.Stop()
	if err != nil {
		return err
	}
	fmt.Printf("\n%d roles, %d calls a second\n", p.size, qps)
	row("from the manager's start to the last role seen", "%.1f s, %d calls", look.ended.Sub(look.started).Seconds(), look.accepted)
	row("before the first call", "%.1f s", look.called.Sub(look.started).Seconds())
	aimShare("share of the limit that was used from then on", p.usageBetween(look.called, look.ended), qps)
	aimShare("share of the limit since the start of the manager", look.usage, qps)
	row("memory, when all were seen and at most", "%.0f MiB, %.0f MiB", look.memory.Resident, look.memory.Peak)
	return nil
}
