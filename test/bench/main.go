// Command bench takes the measurements of docs/performance.md against the fake cloud. Everything runs on this machine, so the control
// plane and the fake compete with the manager for its cores.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// usualInterval is the manager's own default. No role comes due a second time while it is being measured.
const usualInterval = 10 * time.Minute

// patience is how long a part of a scenario may take.
const patience = 10 * time.Minute

type options struct {
	roles, concurrency int
	latency, interval  time.Duration
	managerLog         string
}

// many is how many roles a scenario has: as many as were asked for, or its usual number.
func (o options) many(usual int) int { return cmp.Or(o.roles, usual) }

// scenario is one measurement, with a control plane, a fake cloud and a manager of its own.
type scenario struct {
	name string
	run  func(*bench, context.Context) error
}

var scenarios = []scenario{
	{"converge", (*bench).converge}, {"export", (*bench).export}, {"failing", (*bench).failing}, {"neighbours", (*bench).neighbours},
	{"questions", (*bench).questions}, {"quota", (*bench).quota}, {"resync", (*bench).resync}, {"scale", (*bench).scale},
}

type bench struct {
	*testbed.Testbed
	options

	metrics string
}

func main() {
	var o options
	flag.IntVar(&o.roles, "roles", 0, "How many roles there are; 0 means what the scenario usually has.")
	flag.DurationVar(&o.latency, "latency", 20*time.Millisecond, "Latency of each call to the fake cloud.")
	flag.DurationVar(&o.interval, "interval", time.Minute, "Interval between two looks in the scenario converge, whose quiet pass is one of them.")
	flag.IntVar(&o.concurrency, "concurrency", 0, "The manager's --concurrency; 0 means its default.")
	flag.StringVar(&o.managerLog, "manager-log", "", "Append the managers' logs to this file.")
	flag.Usage = help
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func help() {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	fmt.Fprintf(os.Stderr, "usage: bench [flags] [scenario ...]\n\nThe scenarios are %s; without any, all are run.\n\n", strings.Join(names, ", "))
	flag.PrintDefaults()
}

// run runs the scenarios of these names, or all of them.
func run(ctx context.Context, o options, names []string) error {
	chosen := scenarios
	if len(names) > 0 {
		chosen = nil
	}
	for _, name := range names {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return fmt.Errorf("there is no scenario %q", name)
		}
		chosen = append(chosen, scenarios[i])
	}
	for _, s := range chosen {
		if err := s.measure(ctx, o); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (s scenario) measure(ctx context.Context, o options) (err error) {
	bed, err := testbed.Start(ctx, ".")
	if err != nil {
		return err
	}
	b := &bench{Testbed: bed, options: o}
	defer func() { err = errors.Join(err, b.saveLog(), bed.Stop()) }()
	if b.metrics, err = freeAddress(ctx); err != nil {
		return err
	}
	bed.Cloud.SetLatency(o.latency)
	err = s.run(b, ctx)
	fmt.Println()
	return err
}

func (b *bench) saveLog() error {
	if b.managerLog == "" {
		return nil
	}
	file, err := os.OpenFile(b.managerLog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(b.Manager.Output())
	return errors.Join(err, file.Close())
}

// start starts the manager. Without a lease, whose renewals every two seconds would be counted among the requests.
func (b *bench) start(interval time.Duration, flags ...string) error {
	flags = append(flags, "--leader-elect=false", "--default-interval="+interval.String(), "--metrics-bind-address="+b.metrics, "--metrics-secure=false")
	if b.concurrency > 0 {
		flags = append(flags, "--concurrency="+strconv.Itoa(b.concurrency))
	}
	return b.Manager.Start(flags...)
}

// newRole makes a role of three tables, one of them its own. The key tells it from others.
func (b *bench) newRole(namespace, project, key string) *v1alpha1.ProjectRole {
	return b.NewRole(namespace, "role-"+key, project, "role_"+key,
		v1alpha1.TableGrant{Name: "orders", Actions: []string{"Describe", "Select"}},
		v1alpha1.TableGrant{Name: "customers", Actions: []string{"Select"}},
		v1alpha1.TableGrant{Name: "own_" + key, Actions: []string{"Select"}})
}

// createAll creates roles that the operator has to make.
func (b *bench) createAll(ctx context.Context, namespace, project string, roles int) error {
	return each(ctx, 0, roles, func(ctx context.Context, i int) error {
		return b.Kube.Create(ctx, b.newRole(namespace, project, strconv.Itoa(i)))
	})
}

// waitReady waits until so many roles are Ready, but not for ever.
func (b *bench) waitReady(ctx context.Context, namespace string, roles int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return b.WaitReady(ctx, namespace, roles)
}

// each does something for the numbers from one to another, a few at a time.
func each(ctx context.Context, from, to int, do func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := from; i < to; i++ {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

func row(what, format string, args ...any) {
	fmt.Printf("  %-48s %s\n", what, fmt.Sprintf(format, args...))
}

// aim is a row with what the measurement should be.
func aim(what string, met bool, target, format string, args ...any) {
	verdict := "missed"
	if met {
		verdict = "met"
	}
	row(what, "%s  (target %s: %s)", fmt.Sprintf(format, args...), target, verdict)
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
