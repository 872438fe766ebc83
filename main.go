// Command manager runs the operator.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
)

// version is set when a release is built.
var version = "dev"

// leaderElectionID names the lease of the active replica.
const leaderElectionID = "manager.maxcompute-operator.io"

// flags are the manager's command line.
type flags struct {
	metricsAddress, probeAddress        string
	metricsSecure                       bool
	leaderElect                         bool
	leaderElectionNamespace             string
	watchNamespaces, watchLabelSelector string
	concurrency, maxRevocations         int
	defaultInterval                     time.Duration
	endpointSuffixes                    string
	allowInsecureEndpoints              bool
	exportDirectory, maxExportSize      string
	version                             bool
	zap                                 zap.Options
}

func parseFlags() flags {
	var f flags
	flag.StringVar(&f.metricsAddress, "metrics-bind-address", "0", "Address of the metrics endpoint, such as :8443; 0 turns it off.")
	flag.BoolVar(&f.metricsSecure, "metrics-secure", true, "Serve metrics over HTTPS to clients that the API server authorises; false serves plain HTTP to anybody.")
	flag.StringVar(&f.probeAddress, "health-probe-bind-address", ":8081", "Address of the endpoints /healthz and /readyz; 0 turns them off.")
	flag.BoolVar(&f.leaderElect, "leader-elect", false, "Work only while holding a lease, so that of several replicas one is active.")
	flag.StringVar(&f.leaderElectionNamespace, "leader-election-namespace", "", "Namespace of the lease; the manager's own if it runs in a cluster.")
	flag.StringVar(&f.watchNamespaces, "watch-namespaces", "", "Comma-separated namespaces to work in; empty means all.")
	flag.StringVar(&f.watchLabelSelector, "watch-label-selector", "", "Label selector of the objects to work on, such as shard=a; Connections are always seen. Empty means all.")
	flag.IntVar(&f.concurrency, "concurrency", 32, "How many objects of a kind are worked on at a time for one namespace and one connection; for all together, up to four times as many.")
	flag.IntVar(&f.maxRevocations, "max-revocations", 50, "How many permissions and members a plan may take away without the annotation maxcompute-operator.io/approve-plan; also when it is more than half of what is there, if that half is more than 10. 0 switches the rule off.")
	flag.DurationVar(&f.defaultInterval, "default-interval", 10*time.Minute, "Time between two looks at the cloud for objects without spec.interval, give or take 10 %.")
	flag.StringVar(&f.endpointSuffixes, "allowed-endpoint-suffixes", strings.Join(connect.DefaultEndpointSuffixes, ","), "Comma-separated domains below which the endpoints of Connections must be.")
	flag.BoolVar(&f.allowInsecureEndpoints, "allow-insecure-endpoints", false, "Allow endpoints of any host and without TLS. For development only: whoever writes a Connection then chooses where signed requests go.")
	flag.StringVar(&f.exportDirectory, "export-directory", "", "Directory, on a mounted volume, that ResourcePackageExports may store exports below; empty means that they cannot.")
	flag.StringVar(&f.maxExportSize, "max-export-size", "4Gi", "How large an exported package may be. Packages for object storage are received in the directory for temporary files (TMPDIR); up to eight exports run at a time, four of them of one namespace.")
	flag.BoolVar(&f.version, "version", false, "Print the version and exit.")
	// A stack trace below every failed call to the cloud says nothing about it.
	f.zap.StacktraceLevel = zapcore.PanicLevel
	f.zap.BindFlags(flag.CommandLine)
	flag.Parse()
	return f
}

func main() {
	f := parseFlags()
	if f.version {
		fmt.Println(version)
		return
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&f.zap)))
	if err := run(f); err != nil {
		fmt.Fprintln(os.Stderr, "manager:", err)
		os.Exit(1)
	}
}

func run(f flags) error {
	if f.defaultInterval <= 0 {
		return errors.New("--default-interval must be positive")
	}
	if f.concurrency <= 0 {
		return errors.New("--concurrency must be positive")
	}
	if f.maxRevocations < 0 {
		return errors.New("--max-revocations must not be negative")
	}
	maxExportSize, err := resource.ParseQuantity(f.maxExportSize)
	if err != nil || maxExportSize.Value() <= 0 {
		return fmt.Errorf("--max-export-size must be a size such as 4Gi, not %q", f.maxExportSize)
	}
	options, err := managerOptions(f)
	if err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	// The API server's own priority and fairness is the limit; a second one here would only add delay.
	config.QPS = -1
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return err
	}
	ctx := ctrl.SetupSignalHandler()
	calls, passes, gates := metrics.NewCalls(), metrics.NewPasses(clock.RealClock{}), &metrics.Gates{}
	ctrlmetrics.Registry.MustRegister(metrics.NewBuild(version), calls, passes, gates)
	shared := controllers.Options{
		Passes:          passes,
		Gates:           gates,
		Clock:           clock.RealClock{},
		DefaultInterval: f.defaultInterval,
		Concurrency:     f.concurrency,
		MaxRevocations:  f.maxRevocations,
		Scoped:          f.scoped(),
		Exports:         controllers.ExportOptions{Directory: f.exportDirectory, MaxBytes: maxExportSize.Value(), Transport: metrics.ObjectStorage{Next: destination.NewTransport(), Calls: calls}},
		Accounts: &connect.Resolver{
			Connections: mgr.GetClient(), Secrets: mgr.GetAPIReader(), Tokens: mgr.GetClient().SubResource("token"),
			HTTP: openapi.NewHTTPClient(), Clock: clock.RealClock{}, Observer: calls,
			Namespaces: split(f.watchNamespaces),
			Endpoints:  connect.EndpointPolicy{AllowedSuffixes: split(f.endpointSuffixes), AllowInsecure: f.allowInsecureEndpoints},
		},
	}
	if err := errors.Join(controllers.SetupConnection(mgr, shared), controllers.SetupMetrics(mgr, shared)); err != nil {
		return err
	}
	for _, setup := range []func(context.Context, ctrl.Manager, controllers.Options) error{
		controllers.SetupProjectRole, controllers.SetupMaxComputePackage, controllers.SetupPackageInstallation, controllers.SetupPermissionApply,
		controllers.SetupResourcePackageExport,
	} {
		if err := setup(ctx, mgr, shared); err != nil {
			return err
		}
	}
	if err := errors.Join(mgr.AddHealthzCheck("healthz", healthz.Ping), mgr.AddReadyzCheck("readyz", healthz.Ping)); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

func managerOptions(f flags) (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	selector, err := labels.Parse(f.watchLabelSelector)
	if err != nil {
		return ctrl.Options{}, fmt.Errorf("--watch-label-selector: %w", err)
	}
	server := metricsserver.Options{BindAddress: f.metricsAddress, SecureServing: f.metricsSecure, TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }}}
	if f.metricsSecure {
		server.FilterProvider = metrics.Authorize
	}
	return ctrl.Options{
		Scheme:                  scheme,
		Cache:                   cacheOptions(f, selector),
		Client:                  client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: new(true)}},
		Metrics:                 server,
		HealthProbeBindAddress:  f.probeAddress,
		LeaderElection:          f.leaderElect,
		LeaderElectionID:        leaseName(f),
		LeaderElectionNamespace: f.leaderElectionNamespace,
		// The process ends with the manager, so the next replica need not wait for the lease to run out.
		LeaderElectionReleaseOnCancel: true,
	}, nil
}

// scoped reports whether the manager works on a part of the cluster's objects.
func (f flags) scoped() bool { return f.watchLabelSelector != "" || f.watchNamespaces != "" }

// leaseName gives managers that see different objects different leases, so that they can work at the same time.
func leaseName(f flags) string {
	if !f.scoped() {
		return leaderElectionID
	}
	digest := sha256.Sum256([]byte(f.watchLabelSelector + "\x00" + f.watchNamespaces))
	return hex.EncodeToString(digest[:4]) + "." + leaderElectionID
}

func cacheOptions(f flags, selector labels.Selector) cache.Options {
	options := cache.Options{
		// Nobody reads managedFields, and they are a third of an object.
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.ProjectRole{}: {Label: selector}, &v1alpha1.MaxComputePackage{}: {Label: selector}, &v1alpha1.PackageInstallation{}: {Label: selector},
			&v1alpha1.PermissionApply{}: {Label: selector}, &v1alpha1.ResourcePackageExport{}: {Label: selector},
		},
	}
	for _, namespace := range split(f.watchNamespaces) {
		if options.DefaultNamespaces == nil {
			options.DefaultNamespaces = map[string]cache.Config{}
		}
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	return options
}

// split reads a comma-separated list.
func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
