package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/controllers"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

// exportOptions are the flags of export.
type exportOptions struct {
	projectOptions
	kinds     []string
	directory string
}

func newExport(c *cluster, streams genericiooptions.IOStreams) *cobra.Command {
	o := &exportOptions{projectOptions: projectOptions{planOptions: planOptions{cluster: c, streams: streams}}}
	command := &cobra.Command{
		Use:   "export --connection NAME --project PROJECT",
		Short: "Write manifests of what lives in a project, which change nothing when they are applied",
		Long: `Reads the roles, packages and installations of a MaxCompute project and writes a manifest of each, with adoptionPolicy: Adopt. Built-in roles
are left out. Nothing is written to the cloud or to the cluster; kubectl maxcompute plan -f shows that applying would change nothing.

A role's acl and members are managed by its manifest, also where there are none; its policy only if it has one. What a manifest cannot say is a
comment in it.

It acts with the credentials of the Connection, at its rate limit. Exit code 1 if something could not be read: what could is written all the same.`,
		Example: `  kubectl maxcompute export --connection prod --project analytics_prod >analytics.yaml
  kubectl maxcompute export --connection prod --project analytics_prod --kinds ProjectRole --directory roles/`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return o.export(command.Context()) },
	}
	f := command.Flags()
	o.addFlags(f)
	f.StringSliceVar(&o.kinds, "kinds", described, "Kinds to write.")
	f.StringVar(&o.directory, "directory", "", "Write a file for each object here, which must not exist or be empty; empty writes all to the standard output.")
	return command
}

func (o *exportOptions) export(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	estate, v, err := o.estate(ctx)
	if err != nil {
		return err
	}
	read, err := o.describe(ctx, o.previewer(v), estate)
	if err != nil {
		return err
	}
	if err := o.write(read.files); err != nil {
		return err
	}
	if read.lacks {
		return fmt.Errorf("not all of project %s could be read: what is named above is not written", o.project)
	}
	return nil
}

// check refuses what cannot be done before anything is asked for.
func (o *exportOptions) check() error {
	if err := o.checkProject(); err != nil {
		return err
	}
	for _, kind := range o.kinds {
		if !slices.Contains(described, kind) {
			return fmt.Errorf("--kinds: %q is none of %s", kind, strings.Join(described, ", "))
		}
	}
	return o.checkDirectory()
}

// described are the kinds that can be exported.
var described = []string{controllers.DescribeRoles, controllers.DescribePackages, controllers.DescribeInstallations}

// reading is what could be read of a project, and whether anything could not.
type reading struct {
	files []exported
	lacks bool
}

// describe makes manifests of what can be read, and names what cannot. It fails if nothing can, for a reason that concerns everything.
func (o *exportOptions) describe(ctx context.Context, from *controllers.Previewer, estate controllers.Estate) (reading, error) {
	var so reading
	var unlisted []error
	for _, kind := range o.kinds {
		found, err := from.Describe(ctx, estate, kind, o.progress(kind))
		if ctx.Err() != nil {
			if onTerminal(o.streams.ErrOut) {
				say(o.streams.ErrOut, "\n")
			}
			return so, ctx.Err()
		}
		if err != nil {
			one := cloud.CodeOf(err) == cloud.PermissionDenied || cloud.CodeOf(err) == cloud.UnexpectedResponse
			err = fmt.Errorf("read the %ss of project %s: %s", kind, o.project, advised(err))
			if len(so.files) == 0 && !one {
				return so, err
			}
			unlisted = append(unlisted, err)
			continue
		}
		if err := o.manifests(kind, found, &so); err != nil {
			return so, err
		}
	}
	if len(unlisted) > 0 && len(so.files) == 0 && !so.lacks {
		return so, unlisted[0]
	}
	for _, err := range unlisted {
		so.lacks = true
		say(o.streams.ErrOut, "Error: %s\n", tell(err))
	}
	return so, nil
}

// manifests adds a manifest of each thing of a kind.
func (o *exportOptions) manifests(kind string, found []controllers.Described, so *reading) error {
	names := newNames()
	for _, d := range found {
		if d.Err != nil {
			so.lacks = true
			say(o.streams.ErrOut, "Error: %s %s could not be read: %s\n", kind, oneLine(d.Name), advised(d.Err))
			continue
		}
		file, err := manifestFor(kind, names.of(d.Name), d)
		if err != nil {
			return err
		}
		so.files = append(so.files, file)
	}
	return nil
}

// exported is a manifest.
type exported struct{ file, text string }

// header is the part of an object that a manifest has beside its spec.
type header struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec any `json:"spec"`
}

// maxRemembered is how long a manifest may be that kubectl apply can keep in an annotation, as it does unless it is told to apply on the
// server's side. It leaves room for what else is in annotations.
const maxRemembered = validation.TotalAnnotationSizeLimitB - 1024

// manifestFor writes an object and, above it, what it cannot say. What no object can name is all remarks.
func manifestFor(kind, name string, d controllers.Described) (exported, error) {
	var text []byte
	remarks := d.Remarks
	if d.Object != nil {
		h := header{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind}, Spec: reflect.ValueOf(d.Object).Elem().FieldByName("Spec").Interface()}
		h.Metadata.Name = name
		document, err := json.Marshal(h)
		if err == nil {
			text, err = yaml.JSONToYAML(document)
		}
		if err != nil {
			return exported{}, fmt.Errorf("write %s %s: %w", kind, d.Name, err)
		}
		if len(document) > maxRemembered {
			remarks = append(slices.Clip(remarks), "too long for kubectl apply to remember: apply it with --server-side")
		}
	}
	var b bytes.Buffer
	for _, remark := range remarks {
		// One line, whatever the cloud's names hold.
		fmt.Fprintf(&b, "# %s\n", oneLine(remark))
	}
	b.Write(text)
	return exported{file: strings.ToLower(kind) + "-" + name + ".yaml", text: b.String()}, nil
}

// names gives objects of one kind names that Kubernetes takes, no two the same.
type names struct{ taken map[string]bool }

func newNames() *names { return &names{taken: map[string]bool{}} }

// maxName leaves room below the 63 characters that labels can hold.
const maxName = 50

// of derives a name from one in the cloud. The same name gives the same, unless another that comes before it gives that, too.
func (n *names) of(cloud string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(cloud))
	name := strings.Trim(clean[:min(len(clean), maxName)], "-")
	if name == "" || n.taken[name] || len(clean) > maxName {
		sum := sha256.Sum256([]byte(cloud))
		name = strings.Trim(name+"-"+hex.EncodeToString(sum[:4]), "-")
	}
	n.taken[name] = true
	return name
}

// checkDirectory keeps from mixing with what is there.
func (o *exportOptions) checkDirectory() error {
	if o.directory == "" {
		return nil
	}
	entries, err := os.ReadDir(o.directory)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("directory %s is not empty", o.directory)
	}
	return nil
}

func (o *exportOptions) write(files []exported) error {
	if o.directory == "" {
		texts := make([]string, len(files))
		for i, file := range files {
			texts[i] = file.text
		}
		_, err := o.streams.Out.Write([]byte(strings.Join(texts, "---\n")))
		return err
	}
	if err := os.MkdirAll(o.directory, 0o755); err != nil { //nolint:gosec // manifests are no secret
		return err
	}
	slices.SortFunc(files, func(a, b exported) int { return strings.Compare(a.file, b.file) })
	for _, file := range files {
		if err := os.WriteFile(filepath.Join(o.directory, file.file), []byte(file.text), 0o644); err != nil { //nolint:gosec // as above
			return err
		}
	}
	say(o.streams.Out, "%s written to %s\n", number(len(files), "manifest"), o.directory)
	return nil
}
