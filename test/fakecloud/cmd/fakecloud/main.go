// Command fakecloud serves the MaxCompute fake on a loopback address, for demos and end-to-end
// tests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// shutdownTimeout bounds how long calls under way may keep the program from ending.
const shutdownTimeout = 3 * time.Second

const usage = `fakecloud serves a fake of Alibaba Cloud MaxCompute on a loopback address.

It prints its base URL. Below it are
  <url>                the MaxCompute OpenAPI 2022-01-04, the token service STS 2015-04-01 and the
                       permission requests of DataWorks, signed with ACS3-HMAC-SHA256
  <url>/api            the ODPS REST service with its security statements
  <url>/v1, <url>/v3   the export of DataArts Insight and the tokens of its IAM
  <url>/_admin/state   what it holds, as JSON (more in test/fakecloud/README.md)

Nothing is kept: a restart begins anew.

Usage: fakecloud [flags]

`

// config is what the flags say.
type config struct {
	listen      string
	addressFile string
	keyIDs      list
	keySecrets  list
	identities  list
	projects    list
	latency     time.Duration
}

// list is a flag that may be repeated.
type list []string

// String implements flag.Value.
func (l *list) String() string { return strings.Join(*l, ",") }

// Set implements flag.Value.
func (l *list) Set(v string) error {
	*l = append(*l, v)
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "fakecloud:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	cfg, err := parse(args, stderr)
	if err != nil {
		return err
	}
	opts, err := cfg.options()
	if err != nil {
		return err
	}
	listener, err := listen(ctx, cfg.listen)
	if err != nil {
		return err
	}
	url := "http://" + listener.Addr().String()
	if cfg.addressFile != "" {
		if err := writeAddress(cfg.addressFile, url); err != nil {
			return errors.Join(err, listener.Close())
		}
	}
	if _, err := fmt.Fprintln(stdout, url); err != nil {
		return errors.Join(err, listener.Close())
	}
	return serve(ctx, listener, fakecloud.New(opts))
}

func parse(args []string, stderr io.Writer) (config, error) {
	var cfg config
	flags := flag.NewFlagSet("fakecloud", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		if _, err := io.WriteString(stderr, usage); err == nil {
			flags.PrintDefaults()
		}
	}
	flags.StringVar(&cfg.listen, "listen", "127.0.0.1:0", "loopback `address` to listen on; port 0 picks a free one")
	flags.StringVar(&cfg.addressFile, "address-file", "", "`file` to write the base URL to, once the port is open")
	flags.Var(&cfg.keyIDs, "access-key-id", "access key `id` to accept; may be repeated, each with its --access-key-secret")
	flags.Var(&cfg.keySecrets, "access-key-secret", "`secret` of the --access-key-id at the same place")
	flags.Var(&cfg.identities, "identity", "access key to accept, as `id:secret`; may be repeated (default "+
		fakecloud.DefaultAccessKeyID+":"+fakecloud.DefaultAccessKeySecret+")")
	flags.Var(&cfg.projects, "project", "project `name` that exists, or name:three-tier; may be repeated")
	flags.DurationVar(&cfg.latency, "latency", 0, "`delay` of every API call, like 20ms")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	if flags.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return cfg, nil
}

func (c config) options() (fakecloud.Options, error) {
	opts := fakecloud.Options{Identities: map[string]string{}, Latency: c.latency}
	if len(c.keyIDs) != len(c.keySecrets) {
		return opts, fmt.Errorf("%d access key ids but %d secrets", len(c.keyIDs), len(c.keySecrets))
	}
	for i, id := range c.keyIDs {
		opts.Identities[id] = c.keySecrets[i]
	}
	for _, pair := range c.identities {
		id, secret, ok := strings.Cut(pair, ":")
		if !ok || id == "" || secret == "" {
			return opts, errors.New("an identity is not of the form id:secret")
		}
		opts.Identities[id] = secret
	}
	for _, p := range c.projects {
		name, model, _ := strings.Cut(p, ":")
		if name == "" || model != "" && model != "three-tier" {
			return opts, fmt.Errorf("project %q is not of the form name or name:three-tier", p)
		}
		opts.Projects = append(opts.Projects, fakecloud.Project{Name: name, ThreeTier: model != ""})
	}
	return opts, nil
}

// listen refuses addresses that other machines could reach: the administrative API has no
// authentication.
func listen(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("parse listen address: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("listen address %s is not a loopback address", address)
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", address)
}

// writeAddress renames a finished file into place, so that whoever waits for it never reads half.
func writeAddress(path, url string) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, []byte(url+"\n"), 0o600); err != nil {
		return fmt.Errorf("write address: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write address: %w", err)
	}
	return nil
}

func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	// The context is over; what is under way gets a little more time.
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		return server.Close()
	}
	return nil
}
