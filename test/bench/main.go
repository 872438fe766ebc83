// Command bench takes the measurements of docs/performance.md: many roles of three grants against the fake cloud, from nothing to
// Ready, and a quiet pass over them. Everything runs on this machine, so the control plane and the fake compete with the manager
// for its cores.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

const (
	namespace = "bench"
	project   = "bench"
)

type bench struct {
	*testbed.Testbed
	roles    int
	interval time.Duration
	metrics  string
}

func main() {
	roles := flag.Int("roles", 1000, "How many roles to create.")
	latency := flag.Duration("latency", 20*time.Millisecond, "Latency of each call to the fake cloud.")
	interval := flag.Duration("interval", 30*time.Second, "Interval between two looks; the quiet pass is one of them.")
	concurrency := flag.Int("concurrency", 0, "The manager's --concurrency; 0 means its default.")
	log := flag.String("manager-log", "", "Write the manager's log to this file at the end.")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *roles, *concurrency, *latency, *interval, *log)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, roles, concurrency int, latency, interval time.Duration, logFile string) (err error) {
	bed, err := testbed.Start(ctx, ".")
	if err != nil {
		return err
	}
	defer func() {
		if stopped := bed.Stop(); err == nil {
			err = stopped
		}
	}()
	address, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	b := &bench{Testbed: bed, roles: roles, interval: interval, metrics: address}
	bed.Cloud.AddProject(fakecloud.Project{Name: project})
	bed.Cloud.SetLatency(latency)
	flags := []string{"--default-interval=" + interval.String(), "--metrics-bind-address=" + address, "--metrics-secure=false"}
	if concurrency > 0 {
		flags = append(flags, "--concurrency="+strconv.Itoa(concurrency))
	}
	fmt.Printf("%d roles of 3 grants, %s latency per call, interval %s\n\n", roles, latency, interval)
	if err := b.floor(ctx); err != nil {
		return err
	}
	if err := bed.Manager.Start(flags...); err != nil {
		return err
	}
	if err := b.Connect(ctx, namespace, 10000); err != nil {
		return err
	}
	if err := b.converge(ctx); err != nil {
		return err
	}
	if err := b.quiet(ctx); err != nil {
		return err
	}
	if logFile != "" {
		return os.WriteFile(logFile, []byte(bed.Manager.Output()), 0o600)
	}
	return nil
}

// floor measures what the API server takes for the writes alone that a new role costs: its creation, one patch of its metadata, two
// updates of its status and one event. No operator can be faster than that, and the time differs from machine to machine.
func (b *bench) floor(ctx context.Context) error {
	const other = "floor"
	if err := b.Kube.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: other}}); err != nil {
		return err
	}
	started := time.Now()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range b.roles {
		group.Go(func() error { return b.writes(groupCtx, b.newRole(other, i)) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	fmt.Println("The API server alone, the same writes without an operator")
	row("all were made after", "%.1f s", time.Since(started).Seconds())
	fmt.Println()
	return b.Kube.DeleteAllOf(ctx, &v1alpha1.ProjectRole{}, client.InNamespace(other))
}

// writes makes the writes of one new role, in the sizes that they have.
func (b *bench) writes(ctx context.Context, role *v1alpha1.ProjectRole) error {
	if err := b.Kube.Create(ctx, role); err != nil {
		return err
	}
	stored := role.DeepCopy()
	role.Annotations = map[string]string{"bench": "in place of the finalizer"}
	if err := b.Kube.Patch(ctx, role, client.MergeFrom(stored)); err != nil {
		return err
	}
	for _, table := range role.Spec.ACL.Tables {
		role.Status.Applied = append(role.Status.Applied, v1alpha1.InventoryEntry{Kind: "Table", SchemaName: table.SchemaName, Name: table.Name, Actions: table.Actions})
	}
	conditions.SetProgressing(role, "applying the changes")
	if err := b.Kube.Status().Update(ctx, role); err != nil {
		return err
	}
	conditions.Set(role, conditions.Succeeded("role "+role.Name+" is as specified"))
	if err := b.Kube.Status().Update(ctx, role); err != nil {
		return err
	}
	now := metav1.NowMicro()
	return b.Kube.Create(ctx, &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: role.Namespace, Name: role.Name}, EventTime: now, ReportingController: "bench", ReportingInstance: "bench",
		Action: "Apply", Reason: "Applied", Type: corev1.EventTypeNormal, Note: "created Role, granted 4",
		Regarding: corev1.ObjectReference{Kind: "ProjectRole", Namespace: role.Namespace, Name: role.Name},
	})
}

// newRole makes the i-th role: three tables, one of them its own.
func (b *bench) newRole(namespace string, i int) *v1alpha1.ProjectRole {
	return b.NewRole(namespace, fmt.Sprintf("role-%d", i), project, fmt.Sprintf("role_%d", i),
		v1alpha1.TableGrant{Name: "orders", Actions: []string{"Describe", "Select"}},
		v1alpha1.TableGrant{Name: "customers", Actions: []string{"Select"}},
		v1alpha1.TableGrant{Name: fmt.Sprintf("own_%d", i), Actions: []string{"Select"}})
}

// converge creates the roles and reports what it took until all were Ready.
func (b *bench) converge(ctx context.Context) error {
	idle, err := b.sample(ctx)
	if err != nil {
		return err
	}
	b.Cloud.ResetJournal()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	started := time.Now()
	if err := b.createAll(ctx); err != nil {
		return err
	}
	created := time.Since(started)
	if err := b.WaitReady(ctx, namespace, b.roles); err != nil {
		return err
	}
	took := time.Since(started)
	now, err := b.sample(ctx)
	if err != nil {
		return err
	}
	n := float64(b.roles)
	fmt.Println("From nothing to Ready")
	row("the last role was created after", "%.1f s", created.Seconds())
	row("all were Ready after", "%.1f s", took.Seconds())
	row("API-server requests of the manager per role", "%.2f  (%s)", (now.requests-idle.requests)/n, now.verbsSince(idle))
	lists := b.Cloud.Count("ListRoles")
	row("cloud calls per role besides the shared list", "%.2f  (%s)", float64(len(b.Cloud.Journal())-lists)/n, b.actions())
	row("CPU of the manager per role", "%.2f ms", 1000*(now.cpu-idle.cpu)/n)
	row("memory of the manager, resident, idle and now", "%.0f MiB, %.0f MiB", idle.memory, now.memory)
	row("calls to the cloud at once, at most", "%d", b.Cloud.MaxInFlight())
	return nil
}

// quiet waits for one more look at every role and reports what it took.
func (b *bench) quiet(ctx context.Context) error {
	before, err := b.sample(ctx)
	if err != nil {
		return err
	}
	b.Cloud.ResetJournal()
	versions, err := b.versions(ctx)
	if err != nil {
		return err
	}
	err = testbed.Until(ctx, 3*b.interval, func() (bool, error) { return len(b.looked()) >= b.roles, nil })
	if err != nil {
		return fmt.Errorf("a look at every role: %w", err)
	}
	now, err := b.sample(ctx)
	if err != nil {
		return err
	}
	after, err := b.versions(ctx)
	if err != nil {
		return err
	}
	most := slices.Max(slices.Collect(maps.Values(b.looked())))
	n := float64(b.roles)
	fmt.Println("\nA quiet pass over them")
	row("cloud calls", "%s", b.actions())
	row("reads of one role, at most", "%d", most)
	row("writes to the cloud", "%d", len(b.Cloud.Writes()))
	row("objects that changed", "%d", changed(versions, after))
	row("API-server writes of the manager", "%.0f", now.writes-before.writes)
	row("CPU of the manager per role", "%.2f ms", 1000*(now.cpu-before.cpu)/n)
	row("memory of the manager, resident", "%.0f MiB", now.memory)
	return nil
}

func (b *bench) createAll(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range b.roles {
		group.Go(func() error { return b.Kube.Create(ctx, b.newRole(namespace, i)) })
	}
	return group.Wait()
}

// looked counts, per role, how often its ACL was read since the journal was reset.
func (b *bench) looked() map[string]int {
	reads := map[string]int{}
	for _, entry := range b.Cloud.Journal() {
		if entry.Action == "GetRoleAcl" {
			reads[entry.Role]++
		}
	}
	return reads
}

// actions counts the calls in the journal by what they do.
func (b *bench) actions() string {
	counts := map[string]int{}
	for _, entry := range b.Cloud.Journal() {
		counts[entry.Action]++
	}
	var parts []string
	for _, action := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[action], action))
	}
	return strings.Join(parts, ", ")
}

func (b *bench) versions(ctx context.Context) (map[string]string, error) {
	var list v1alpha1.ProjectRoleList
	if err := b.Kube.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	versions := make(map[string]string, len(list.Items))
	for i := range list.Items {
		versions[list.Items[i].Name] = list.Items[i].ResourceVersion
	}
	return versions, nil
}

func changed(before, after map[string]string) int {
	n := 0
	for name, version := range after {
		if before[name] != version {
			n++
		}
	}
	return n
}

// sample is what the manager says of itself in its metrics.
type sample struct {
	requests, writes, cpu, memory float64
	verbs                         map[string]float64
}

func (s sample) verbsSince(before sample) string {
	var parts []string
	for _, verb := range slices.Sorted(maps.Keys(s.verbs)) {
		if n := s.verbs[verb] - before.verbs[verb]; n > 0 {
			parts = append(parts, fmt.Sprintf("%.0f %s", n, verb))
		}
	}
	return strings.Join(parts, ", ")
}

func (b *bench) sample(ctx context.Context) (sample, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.metrics+"/metrics", nil)
	if err != nil {
		return sample{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return sample{}, err
	}
	defer response.Body.Close()
	s := sample{verbs: map[string]float64{}}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue
		}
		s.add(name, value)
	}
	return s, lines.Err()
}

func (s *sample) add(name string, value float64) {
	switch {
	case strings.HasPrefix(name, "rest_client_requests_total{"):
		_, rest, _ := strings.Cut(name, `method="`)
		verb, _, _ := strings.Cut(rest, `"`)
		s.requests += value
		s.verbs[verb] += value
		if verb != http.MethodGet {
			s.writes += value
		}
	case name == "process_cpu_seconds_total":
		s.cpu = value
	case name == "process_resident_memory_bytes":
		s.memory = value / (1 << 20)
	}
}

func row(what, format string, args ...any) {
	fmt.Printf("  %-48s %s\n", what, fmt.Sprintf(format, args...))
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
