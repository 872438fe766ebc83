package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

const (
	// longest is how long a tenant waits before the measurement gives up.
	longest = 2 * time.Minute
	// samples is how many objects a tenant creates, edits and deletes at once. The slowest counts.
	samples = 3
	// slower is how many times as long as alone a tenant may have to wait.
	slower = 3
)

// pair is two tenants of one operator, each with a namespace and a project of that name.
type pair struct {
	*bench

	quiet, busy string
	// shared is the ClusterConnection that both use, if they do.
	shared string
}

// situation is what the busy tenant does while the quiet one waits.
type situation struct {
	name             string
	connect, disturb func(context.Context, *pair) error
}

// neighbours measures how long a tenant waits while another one keeps the operator busy.
func (b *bench) neighbours(ctx context.Context) error {
	fmt.Printf("A tenant creates, edits and deletes %d roles each at once, %s latency per call; the slowest of each counts\n", samples, b.latency)
	for i, s := range []situation{
		{"another account, 200 new roles at 1 call a second", apart(&v1alpha1.RateLimit{QPS: 1}), newRoles(200)},
		{"another account, 1000 new roles at the default rate", apart(nil), newRoles(1000)},
		{"another account, 64 new roles, no call is answered", apart(nil), silent(64)},
		{"another account, 400 new roles, no call is answered", apart(nil), silent(400)},
		{"the same account, 1000 new roles at the default rate", together, newRoles(1000)},
	} {
		p := &pair{bench: b, quiet: fmt.Sprintf("quiet%d", i), busy: fmt.Sprintf("busy%d", i)}
		if err := p.measure(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return b.exportNeighbours(ctx)
}

// measure has the quiet tenant run the same errands alone and beside the busy one.
func (p *pair) measure(ctx context.Context, s situation) error {
	// The manager does not see what earlier situations have left.
	if err := p.start(usualInterval, "--watch-namespaces="+p.quiet+","+p.busy); err != nil {
		return err
	}
	defer p.Manager.Stop()
	p.Cloud.AddProject(fakecloud.Project{Name: p.quiet})
	p.Cloud.AddProject(fakecloud.Project{Name: p.busy})
	if err := errors.Join(s.connect(ctx, p), p.prepare(ctx, "alone"), p.prepare(ctx, "beside")); err != nil {
		return err
	}
	if err := p.waitReady(ctx, p.quiet, 4*samples); err != nil {
		return err
	}
	alone, err := p.errands(ctx, "alone")
	if err != nil {
		return err
	}
	if err := s.disturb(ctx, p); err != nil {
		return err
	}
	beside, err := p.errands(ctx, "beside")
	p.Cloud.ClearFaults()
	fmt.Printf("\n%s\n", s.name)
	for _, errand := range []string{created, edited, deleted} {
		compare(errand, alone[errand], beside[errand])
	}
	return err
}

// apart gives each tenant an account of its own, and the busy one a rate; nil stands for the
// default.
func apart(rate *v1alpha1.RateLimit) func(context.Context, *pair) error {
	return func(ctx context.Context, p *pair) error {
		key := strings.ToUpper(p.busy)
		p.Cloud.AddIdentity(fakecloud.Identity{AccessKeyID: key, AccessKeySecret: "fake-secret", SuperAdministrator: true})
		secret, connection := p.NewSecret(p.busy), p.NewConnection(p.busy, plenty)
		secret.StringData = map[string]string{"accessKeyId": key, "accessKeySecret": "fake-secret"}
		connection.Spec.AlibabaCloud.RateLimits.MaxCompute = rate
		return errors.Join(p.Connect(ctx, p.quiet, plenty), p.ConnectWith(ctx, secret, connection))
	}
}

// together has both tenants use one ClusterConnection at the default rate.
func together(ctx context.Context, p *pair) error {
	p.shared = p.quiet
	connection := &v1alpha1.ClusterConnection{ObjectMeta: metav1.ObjectMeta{Name: p.shared}}
	connection.Spec.ConnectionSpec = p.NewConnection(p.quiet, plenty).Spec
	connection.Spec.AlibabaCloud.RateLimits = nil
	connection.Spec.AlibabaCloud.Credentials.SecretRef.Namespace = p.quiet
	connection.Spec.AllowedNamespaces = &v1alpha1.AllowedNamespaces{Names: []string{p.quiet, p.busy}}
	busy := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.busy}}
	return errors.Join(p.Kube.Create(ctx, busy), p.ConnectWith(ctx, p.NewSecret(p.quiet), connection))
}

// newRoles has the busy tenant create so many roles.
func newRoles(n int) func(context.Context, *pair) error {
	return func(ctx context.Context, p *pair) error {
		return each(ctx, 0, n, func(ctx context.Context, i int) error { return p.Kube.Create(ctx, p.role(p.busy, strconv.Itoa(i))) })
	}
}

// silent has no call of the busy tenant answered from now on, however long it waits, and then
// creates so many roles.
func silent(n int) func(context.Context, *pair) error {
	return func(ctx context.Context, p *pair) error {
		p.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultTimeout, AccessKeyID: strings.ToUpper(p.busy)})
		return newRoles(n)(ctx, p)
	}
}

// role makes a role of a tenant.
func (p *pair) role(namespace, key string) *v1alpha1.ProjectRole {
	role := p.newRole(namespace, namespace, key)
	if p.shared != "" {
		role.Spec.ConnectionRef = v1alpha1.ConnectionReference{Kind: v1alpha1.ConnectionKindClusterConnection, Name: p.shared}
	}
	return role
}

// The errands of the quiet tenant.
const (
	created = "created"
	edited  = "edited"
	deleted = "deleted"
)

// key names the roles of an errand.
func key(when, errand string, i int) string { return fmt.Sprintf("%s%s%d", when, errand, i) }

// prepare creates the roles that are edited and deleted later.
func (p *pair) prepare(ctx context.Context, when string) error {
	return each(ctx, 0, samples, func(ctx context.Context, i int) error {
		return errors.Join(p.Kube.Create(ctx, p.role(p.quiet, key(when, edited, i))), p.Kube.Create(ctx, p.role(p.quiet, key(when, deleted, i))))
	})
}

// errands creates roles, takes a table out of others and deletes others, all at once, and returns
// how long each took for the slowest; nothing for an errand that was not done when the measurement
// gave up.
func (p *pair) errands(ctx context.Context, when string) (map[string]time.Duration, error) {
	started, took := time.Now(), map[string]time.Duration{}
	err := each(ctx, 0, samples, func(ctx context.Context, i int) error {
		old := p.role(p.quiet, key(when, edited, i))
		smaller := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"acl":{"tables":[{"name":"orders","actions":["Select"]}]}}}`))
		return errors.Join(p.Kube.Create(ctx, p.role(p.quiet, key(when, created, i))), p.Kube.Patch(ctx, old, smaller), p.Kube.Delete(ctx, p.role(p.quiet, key(when, deleted, i))))
	})
	if err != nil {
		return nil, err
	}
	err = testbed.Until(ctx, longest, func() (bool, error) {
		var list v1alpha1.ProjectRoleList
		if err := p.Kube.List(ctx, &list, client.InNamespace(p.quiet)); err != nil {
			return false, err
		}
		for _, errand := range []string{created, edited, deleted} {
			if took[errand] == 0 && isDone(list.Items, when, errand) {
				took[errand] = time.Since(started)
			}
		}
		return len(took) == 3, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = ctx.Err()
	}
	return took, err
}

// isDone reports whether the roles of an errand have gone, or are Ready as they are specified.
func isDone(roles []v1alpha1.ProjectRole, when, errand string) bool {
	for i := range roles {
		role := &roles[i]
		if !strings.Contains(role.Spec.RoleName, when+errand) {
			continue
		}
		if errand == deleted || !conditions.IsReady(role) || role.Status.ObservedGeneration != role.Generation {
			return false
		}
	}
	return true
}

// compare prints how long a tenant waited alone and beside a busy one; 0 is longer than was waited.
func compare(errand string, alone, beside time.Duration) {
	within := fmt.Sprintf("at most %d times as long as alone", slower)
	if beside == 0 {
		aim(errand+" after, alone and with the neighbour", false, within, "%.1f s, more than %.0f s", alone.Seconds(), longest.Seconds())
		return
	}
	times := beside.Seconds() / alone.Seconds()
	aim(errand+" after, alone and with the neighbour", times <= slower, within, "%.1f s, %.1f s: %.1f times", alone.Seconds(), beside.Seconds(), times)
}
