// Command kubectl-maxcompute shows what manifests would do before they do it, writes manifests of what is there, shows what objects wait for, and
// tells who may do what. As a program of this name on the PATH it is a plugin of kubectl: kubectl maxcompute.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// version is set when a release is built.
var version = "dev"

// The exit codes.
const (
	exitOK      = 0
	exitError   = 1
	exitChanges = 2
)

// exitCode ends the program with a code of its own and no message.
type exitCode int

// Error implements error.
func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})
	stop()
	os.Exit(code)
}

// run is main without the process around it.
func run(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	// What the operator logs is for its administrators.
	ctrllog.SetLogger(logr.Discard())
	root, err := newRoot(streams) //nolint:contextcheck // commands take the context that they are executed with
	if err == nil {
		root.SetArgs(args)
		err = root.ExecuteContext(ctx)
	}
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	if err != nil {
		say(streams.ErrOut, "Error: %s\n", tell(err))
		return exitError
	}
	return exitOK
}

// say prints for people. If it cannot, there is nobody left to tell.
func say(out io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(out, format, args...) //nolint:errcheck // see above
}

// sayNames is say for what the cloud or the user calls things.
func sayNames(out io.Writer, format string, names ...any) {
	for i, name := range names {
		if text, ok := name.(string); ok {
			names[i] = printable(text)
		}
	}
	say(out, format, names...)
}
