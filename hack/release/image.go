package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

const (
	// user and group are nobody in particular, the same as in Dockerfile.
	user   = "65532:65532"
	source = "https://github.com/maxcompute-operator/maxcompute-operator"
	// rootsPath is where Go looks first for the certificates that the cloud's endpoints are checked against.
	rootsPath = "/etc/ssl/certs/ca-certificates.crt"
	// refName is the annotation by which tools that read a layout find an image in it.
	refName = "org.opencontainers.image.ref.name"
)

// labels are those of https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md.
func (r release) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":    "maxcompute-operator",
		"org.opencontainers.image.version":  r.version,
		"org.opencontainers.image.revision": r.revision,
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.source":   source,
	}
}

// writeImage writes a tar archive of an OCI image layout: one index, with an image for the platform of each manager.
func writeImage(out string, managers []string, r release) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	roots, err := roots()
	if err != nil {
		return err
	}
	for _, manager := range managers {
		image, platform, err := imageOf(manager, roots, r)
		if err != nil {
			return fmt.Errorf("image of %s: %w", filepath.Base(manager), err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	annotated, ok := mutate.Annotations(index, r.labels()).(v1.ImageIndex)
	if !ok {
		return errors.New("annotate the index: it is not an index any more")
	}
	folder, err := os.MkdirTemp("", "layout-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // what stays is in the directory for temporary files
	to, err := layout.Write(folder, mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	if err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	if err := to.AppendIndex(annotated, layout.WithAnnotations(map[string]string{refName: r.version})); err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	return archive(out, folder, r.at)
}

// imageOf makes an image from scratch, without a shell or anything else but the manager and root certificates.
func imageOf(manager string, roots []byte, r release) (v1.Image, *v1.Platform, error) {
	platform, err := platformOf(manager)
	if err != nil {
		return nil, nil, err
	}
	program, err := os.ReadFile(manager)
	if err != nil {
		return nil, nil, err
	}
	// The certificates first: they are the same for all platforms, and often from one release to the next.
	var layers []v1.Layer
	for _, file := range []file{{rootsPath, roots, 0o644}, {"/manager", program, 0o755}} {
		layer, err := file.layer(r.at)
		if err != nil {
			return nil, nil, err
		}
		layers = append(layers, layer)
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.AppendLayers(image, layers...); err != nil {
		return nil, nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, nil, err
	}
	config.OS, config.Architecture, config.Created = platform.OS, platform.Architecture, v1.Time{Time: r.at}
	config.Config = v1.Config{User: user, Entrypoint: []string{"/manager"}, Labels: r.labels()}
	for i := range config.History {
		config.History[i] = v1.History{Created: v1.Time{Time: r.at}, CreatedBy: "hack/release"}
	}
	image, err = mutate.ConfigFile(image, config)
	return image, platform, err
}

// platformOf reads what a Go program was built for.
func platformOf(program string) (*v1.Platform, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, fmt.Errorf("read build information: %w", err)
	}
	var platform v1.Platform
	for _, setting := range info.Settings {
		switch setting.Key {
		case "GOOS":
			platform.OS = setting.Value
		case "GOARCH":
			platform.Architecture = setting.Value
		}
	}
	return &platform, nil
}

// roots are Mozilla's root certificates as PEM. Those that are trusted up to a date only are left out: a file of certificates cannot say so.
func roots() ([]byte, error) {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// file is a file of an image.
type file struct {
	path    string
	content []byte
	mode    int64
}

// layer makes a layer of one file and the folders above it, which belong to root and have one time.
func (f file) layer(at time.Time) (v1.Layer, error) {
	var folders []string
	for folder := path.Dir(f.path); folder != "/"; folder = path.Dir(folder) {
		folders = append([]string{folder}, folders...)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, folder := range folders {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder[1:] + "/", Mode: 0o755, ModTime: at, Format: tar.FormatPAX}); err != nil {
			return nil, err
		}
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: f.path[1:], Mode: f.mode, Size: int64(len(f.content)), ModTime: at, Format: tar.FormatPAX}
	if err := w.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := w.Write(f.content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
}
