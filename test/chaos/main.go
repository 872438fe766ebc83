// Command chaos takes the measurements of docs/reliability.md: objects converge while the manager is killed again and again and the fake
// cloud loses replies. At the end each must be as it was promised, nothing may be doubled, and deleting them must leave nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// scenario is one measurement, with a control plane, a fake cloud and a manager of its own.
type scenario struct {
	name, what string
	// prepare adds the scenario's flags; what it returns is called when they were parsed.
	prepare func(*flag.FlagSet) func(context.Context) error
}

var scenarios = []scenario{
	{"roles", "ProjectRoles converge and are deleted.", prepareRoles},
	{"requests", "PermissionApplies are submitted exactly once, granted and deleted. Takes a quarter of an hour and more.", prepareRequests},
}

func main() {
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// run runs the scenario that the first argument names, with the flags that follow; without arguments all of them.
func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		for _, s := range scenarios {
			if err := s.run(ctx, nil); err != nil {
				return err
			}
		}
		return nil
	}
	i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == args[0] })
	if i < 0 {
		help(os.Stderr)
		return fmt.Errorf("there is no scenario %q", args[0])
	}
	return scenarios[i].run(ctx, args[1:])
}

func (s scenario) run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(s.name, flag.ContinueOnError)
	measure := s.prepare(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s: %q is no flag", s.name, flags.Arg(0))
	}
	if err := measure(ctx); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

func help(to io.Writer) {
	fmt.Fprintf(to, "usage: chaos [scenario [flags]]\n\nWithout a scenario, all are run.\n") //nolint:errcheck // there is nobody else to tell
	for _, s := range scenarios {
		flags := flag.NewFlagSet(s.name, flag.ContinueOnError)
		flags.SetOutput(to)
		s.prepare(flags)
		fmt.Fprintf(to, "\n%s: %s\n", s.name, s.what) //nolint:errcheck // there is nobody else to tell
		flags.PrintDefaults()
	}
}

// options are the flags that all scenarios have.
type options struct {
	kills      int
	seed       uint64
	managerLog string
}

func (o *options) register(flags *flag.FlagSet, kills int) {
	flags.IntVar(&o.kills, "kills", kills, "How often to kill the manager.")
	flags.Uint64Var(&o.seed, "seed", 1, "Seed of what is random: the moments of the kills, and which replies are lost how.")
	flags.StringVar(&o.managerLog, "manager-log", "", "Append the managers' log to this file.")
}

// chaos is a testbed whose manager is killed.
type chaos struct {
	*testbed.Testbed
	random *rand.Rand
}

// measure runs a scenario on a testbed of its own, which is stopped afterwards.
func (o options) measure(ctx context.Context, scenario func(context.Context, chaos) error) (err error) {
	bed, err := testbed.Start(ctx, ".")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.saveLog(bed), bed.Stop()) }()
	return scenario(ctx, chaos{bed, rand.New(rand.NewPCG(o.seed, 0))})
}

func (o options) saveLog(bed *testbed.Testbed) error {
	if o.managerLog == "" {
		return nil
	}
	file, err := os.OpenFile(o.managerLog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(bed.Manager.Output())
	return errors.Join(err, file.Close())
}

func (c chaos) start() error { return c.Manager.Start("--default-interval=10m") }

// restart kills the manager and starts it again.
func (c chaos) restart() error {
	c.Manager.Kill()
	return c.start()
}

// pause waits for a random time.
func (c chaos) pause(ctx context.Context, least, most time.Duration) error {
	return sleep(ctx, least+time.Duration(c.random.Int64N(int64(most-least))))
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func row(what, format string, args ...any) {
	fmt.Printf("  %-52s %s\n", what, fmt.Sprintf(format, args...))
}
