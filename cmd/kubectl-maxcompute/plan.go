package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// fieldOwner is who a manifest is applied by in the dry run that validates it.
const fieldOwner = "kubectl-maxcompute"

// planOptions are the flags of plan.
type planOptions struct {
	cluster *cluster
	streams genericiooptions.IOStreams

	files, connectionFiles []string
	output                 string
	color                  string
	maxRevocations         int
	endpointSuffixes       []string
	allowInsecure          bool
}

func newPlan(c *cluster, streams genericiooptions.IOStreams) *cobra.Command {
	o := &planOptions{cluster: c, streams: streams}
	command := &cobra.Command{
		Use:   "plan (-f FILE|DIRECTORY|- | KIND/NAME | NAME)...",
		Short: "Show what the operator would do in the cloud, without doing it",
		Long: `Reads manifests, or objects of the cluster, looks at the cloud as the operator would, and prints the steps that a pass would take.
Nothing is written, neither to the cloud nor to the cluster.

It acts with the credentials of the objects' Connections, whose Secrets you must be allowed to read. Without a cluster, give the Connection
with --connection-file, and its key in ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and, for temporary keys,
ALIBABA_CLOUD_SECURITY_TOKEN.

Roles, packages and installations have plans. Requests and exports are not looked at.

Exit codes: 0 nothing to do, 2 something would change, 1 an error, or an object that the operator would not work on.`,
		Example: `  kubectl maxcompute plan -f roles/                         # before you apply a directory
  kubectl maxcompute plan projectrole/bi-reader             # what a pass over an object would do
  kubectl maxcompute plan -f role.yaml --connection-file ci/connection.yaml   # without a cluster`,
		RunE: func(command *cobra.Command, names []string) error { return o.run(command.Context(), names) },
	}
	f := command.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil, "File, directory (with all below it) or - of manifests.")
	f.StringVarP(&o.output, "output", "o", "", "json or yaml; empty is for people.")
	f.StringVar(&o.color, "color", "auto", "always, never, or auto: on a terminal only.")
	f.IntVar(&o.maxRevocations, "max-revocations", 50, "The manager's flag of this name, to say which plans would wait for approval.")
	o.addConnectionFlags(f)
	return command
}

// addConnectionFlags adds the flags that say how the cloud is reached.
func (o *planOptions) addConnectionFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.connectionFiles, "connection-file", nil, "Manifest of the Connection to use in place of the cluster's; no cluster is asked for anything then.")
	f.StringSliceVar(&o.endpointSuffixes, "allowed-endpoint-suffixes", connect.DefaultEndpointSuffixes, "The manager's flag of this name.")
	f.BoolVar(&o.allowInsecure, "allow-insecure-endpoints", false, "The manager's flag of this name, for development.")
}

func (o *planOptions) run(ctx context.Context, names []string) error {
	if (len(o.files) == 0) == (len(names) == 0) {
		return errors.New("name objects, or give manifests with -f: one of the two")
	}
	printer, err := newPrinter(o.streams.Out, o.output, o.color)
	if err != nil {
		return err
	}
	v, wanted, err := o.world(ctx, names)
	if err != nil {
		return err
	}
	previewer := o.previewer(v)
	var report Report
	for _, m := range wanted {
		if !hasPlan(m) {
			report.Unplanned++
			continue
		}
		if isSuspended(m) {
			report.add(m, plan.Plan{}, conditions.Wait(v1alpha1.ReasonSuspended, "spec.suspend is true: nothing is looked at"))
			continue
		}
		p, err := previewer.Preview(ctx, m.Object)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		report.add(m, p, err)
	}
	if err := printer.print(report); err != nil {
		return err
	}
	return o.ended(report)
}

// ended is how the command ends. Why it fails is said where people and CI look for that, whatever becomes of the report.
func (o *planOptions) ended(r Report) error {
	for _, object := range r.Objects {
		if object.Blocked {
			say(o.streams.ErrOut, "Error: %s\n", object.complaint())
		}
	}
	switch {
	case r.Summary.Blocked > 1:
		return fmt.Errorf("%d of %s would not be worked on", r.Summary.Blocked, number(r.Summary.Objects, "object"))
	case r.Summary.Blocked > 0:
		return exitCode(exitError)
	case r.Summary.Changes > 0:
		return exitCode(exitChanges)
	}
	return nil
}

// previewer looks at the cloud as the operator would, around a view.
func (o *planOptions) previewer(v *view) *controllers.Previewer {
	return controllers.NewPreviewer(v, controllers.Options{
		Clock: later{clock.RealClock{}}, DefaultInterval: time.Minute, MaxRevocations: o.maxRevocations, Accounts: o.accounts(v),
	})
}

// later is a moment after now: the operator waits for one before it adopts anything for a new object.
type later struct{ clock.PassiveClock }

const moment = 3 * time.Second

// Now implements clock.PassiveClock.
func (l later) Now() time.Time { return l.PassiveClock.Now().Add(moment) }

// Since implements clock.PassiveClock.
func (l later) Since(t time.Time) time.Duration { return l.Now().Sub(t) }

// hasPlan tells whether a kind is compared with the cloud.
func hasPlan(m manifest) bool {
	switch m.Object.(type) {
	case *v1alpha1.ProjectRole, *v1alpha1.MaxComputePackage, *v1alpha1.PackageInstallation:
		return true
	}
	return false
}

func isSuspended(m manifest) bool {
	s, ok := m.Object.(interface{ IsSuspended() bool })
	return ok && s.IsSuspended()
}

// surroundings are the cluster, or what is there in its place.
type surroundings struct {
	*view
	// files are the Connections of --connection-file, which are not in the view yet.
	files []manifest
}

func (o *planOptions) surroundings() (v surroundings, namespace string, err error) {
	s, err := scheme()
	if err != nil {
		return v, "", err
	}
	v.view = &view{scheme: s}
	if namespace, err = o.cluster.namespace(); err != nil {
		return v, "", err
	}
	v.namespace, v.blind = namespace, sync.OnceFunc(func() {
		say(o.streams.ErrOut, "You may not list objects of all namespaces: those of others are not seen.\n")
	})
	if v.files, _, err = readManifests(o.connectionFiles, o.streams.In, s, namespace); err != nil {
		return v, "", err
	}
	if len(o.connectionFiles) == 0 {
		v.cluster, err = o.cluster.client()
		return v, namespace, err
	}
	return v, namespace, checkConnections(o.connectionFiles, v.files)
}

// checkConnections makes sure that files hold the connections that they are to hold, and nothing else.
func checkConnections(files []string, found []manifest) error {
	for _, m := range found {
		if _, ok := m.Object.(connect.Connection); !ok {
			return fmt.Errorf("%s: %s is no Connection", m.source, m)
		}
	}
	if len(found) == 0 {
		return fmt.Errorf("no Connection is in %s", strings.Join(files, ", "))
	}
	return nil
}

// world reads what is asked for, and the cluster around it.
func (o *planOptions) world(ctx context.Context, names []string) (*view, []manifest, error) {
	around, namespace, err := o.surroundings()
	if err != nil {
		return nil, nil, err
	}
	v := around.view
	if len(names) > 0 {
		if v.cluster == nil {
			return nil, nil, errors.New("objects of the cluster are planned with their own Connections: leave --connection-file out")
		}
		wanted, err := findAll(ctx, v.cluster, namespace, names)
		return v, wanted, err
	}
	wanted, others, err := readManifests(o.files, o.streams.In, v.scheme, namespace)
	if err != nil {
		return nil, nil, err
	}
	if others > 0 {
		say(o.streams.ErrOut, "%s of other kinds left out\n", number(others, "document"))
	}
	if len(wanted)+others == 0 {
		return nil, nil, fmt.Errorf("no manifest is in %s", strings.Join(o.files, ", "))
	}
	for _, m := range append(around.files, wanted...) {
		if err := o.settle(ctx, v, m); err != nil {
			return nil, nil, fmt.Errorf("%s: %s: %w", m.source, m, err)
		}
	}
	return v, wanted, nil
}

// settle makes of a manifest the object that there would be if it were applied now, and puts it into the view.
func (o *planOptions) settle(ctx context.Context, v *view, m manifest) error {
	if v.cluster != nil {
		live, err := v.scheme.New(v1alpha1.GroupVersion.WithKind(m.kind))
		if err != nil {
			return err
		}
		old, ok := live.(client.Object)
		if !ok {
			return fmt.Errorf("a %s is no object", m.kind)
		}
		switch err := v.cluster.Get(ctx, client.ObjectKeyFromObject(m.Object), old); {
		case err == nil:
			if err := overlay(old, m.Object); err != nil {
				return err
			}
		case !apierrors.IsNotFound(err):
			return err
		}
		if err := o.validate(ctx, v, m); err != nil {
			return err
		}
	}
	if m.GetUID() == "" {
		// It would be the youngest, and so it owns nothing that another object does.
		m.SetUID(types.UID("new " + m.String()))
		m.SetCreationTimestamp(metav1.Now())
		m.SetGeneration(1)
	}
	if c, ok := m.Object.(connect.Connection); ok {
		// The operator would have checked it before anything uses it.
		c.SetFinalizers([]string{v1alpha1.Finalizer})
	}
	return v.add(m.Object)
}

// validate has the API server check a manifest as if it were applied. Where that is not allowed, or cannot be said yet, it is left out.
func (o *planOptions) validate(ctx context.Context, v *view, m manifest) error {
	kube, ok := v.cluster.(client.Client)
	if !ok || m.document == nil {
		return nil
	}
	document, err := yaml.YAMLToJSON(m.document)
	if err != nil {
		return err
	}
	tried, ok := m.DeepCopyObject().(client.Object)
	if !ok {
		return errors.New("a copy of an object is none")
	}
	err = kube.Patch(ctx, tried, client.RawPatch(types.ApplyPatchType, document), client.DryRunAll, client.ForceOwnership, client.FieldOwner(fieldOwner))
	switch {
	case err == nil:
		return nil
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return err
	}
	say(o.streams.ErrOut, "%s was not validated: %s\n", m, tell(err))
	return nil
}

// accounts resolves Connections as the operator does.
func (o *planOptions) accounts(v *view) *connect.Resolver {
	r := &connect.Resolver{
		Connections: v, Secrets: secrets{v.cluster}, HTTP: openapi.NewHTTPClient(), Clock: clock.RealClock{},
		Endpoints: connect.EndpointPolicy{AllowedSuffixes: o.endpointSuffixes, AllowInsecure: o.allowInsecure},
	}
	r.Tokens = noTokens{}
	if c, ok := v.cluster.(client.Client); ok {
		r.Tokens = tokens{c.SubResource("token")}
	}
	return r
}

// splitName reads KIND/NAME or NAME.
func splitName(text string) (kind, name string) {
	kind, name, found := strings.Cut(text, "/")
	if !found {
		return "", text
	}
	return kind, name
}

// explain is the reason and the message of why a pass does not do what it would.
func explain(err error) (reason, message string) {
	if !conditions.Explains(err) {
		return "", tell(err)
	}
	outcome := conditions.FromError(err)
	return outcome.Reason, outcome.Message
}

// onTerminal tells whether somebody looks at what is printed.
func onTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
