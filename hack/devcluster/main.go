//go:build unix

// Command devcluster starts and stops a Kubernetes control plane on this machine: etcd, kube-apiserver with RBAC, and
// of kube-controller-manager the controllers that collect garbage, finish deleting namespaces, make service accounts and
// aggregate cluster roles. There are no nodes, so nothing runs in it: the operator runs beside it (make run).
//
//	devcluster up   [--dir DIR] [--assets DIR]
//	devcluster down [--dir DIR]
//
// Everything lives below --dir (bin/dev unless told otherwise): kubeconfig, one .pid and one .log file per program, and
// devcluster-data. Ports are free ones on the loopback interface, so several control planes with a directory each can run
// side by side. "up" returns when the control plane is ready, leaves the programs running in the background, and does
// nothing if they run already; if only some of them do, it starts afresh, with empty data. A start that fails or is
// interrupted stops what it started and removes its files. "down" stops exactly the programs of its directory and removes
// everything "up" wrote there, the stored objects included.
//
// The garbage collector learns about new kinds every 30 seconds: only after that it follows owner references to objects
// of a CRD that was installed when the control plane ran already.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// startTimeout is generous: ready in five seconds on an idle machine, but builds and tests may be running beside it.
const startTimeout = 2 * time.Minute

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "devcluster:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: devcluster up|down [--dir DIR] [--assets DIR]")
	}
	flags := flag.NewFlagSet("devcluster "+args[0], flag.ExitOnError)
	dir := flags.String("dir", filepath.Join("bin", "dev"), "directory of the control plane's files")
	assets := flags.String("assets", os.Getenv("KUBEBUILDER_ASSETS"), "directory of etcd, kube-apiserver and kube-controller-manager; default $KUBEBUILDER_ASSETS")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	// Absolute, because the programs are recognised by the paths in their command lines.
	absolute, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	c := cluster{dir: absolute}

	switch args[0] {
	case "up":
		return up(c, *assets)
	case "down":
		return down(c)
	default:
		return fmt.Errorf("unknown command %q: use up or down", args[0])
	}
}

func up(c cluster, assets string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	started := time.Now()
	fresh, err := c.up(ctx, assets)
	if err != nil {
		return err
	}
	if fresh {
		fmt.Printf("The control plane is ready (%.1f s). To use it:\n", time.Since(started).Seconds())
	} else {
		fmt.Println("The control plane is already running. To use it:")
	}
	fmt.Printf("  export KUBECONFIG=%s\n", c.kubeconfig())
	if _, err := exec.LookPath("kubectl"); err != nil && assets != "" {
		fmt.Printf("  export PATH=\"$PATH:%s\"    # for kubectl\n", assets)
	}
	return nil
}

func down(c cluster) error {
	wasThere, err := c.down()
	if err != nil {
		return err
	}
	if wasThere {
		fmt.Println("The control plane is stopped and its data is removed.")
	} else {
		fmt.Printf("No control plane runs in %s.\n", c.dir)
	}
	return nil
}
