package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
)

const version = "v1.2.3"

var (
	at = time.Unix(1_700_000_000, 0).UTC()
	// made holds programs for the platforms of a release, which are built once.
	made string
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if made, err = os.MkdirTemp("", "programs-"); err == nil {
			defer os.RemoveAll(made) //nolint:errcheck // what stays is in the directory for temporary files
			err = build(made)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func build(folder string) error {
	for _, arch := range []string{"amd64", "arm64"} {
		cmd := exec.Command("go", "build", "-ldflags", "-s -w -X main.version="+version, "-o", managerIn(folder, arch), "./testdata/program") //nolint:noctx // there is no test yet
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "GOOS=linux", "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

func managerIn(folder, arch string) string {
	return filepath.Join(folder, "manager-"+version+"-linux-"+arch)
}

func layoutIn(folder string) string {
	return filepath.Join(folder, "maxcompute-operator-"+version+".oci.tar")
}

// assemble makes a release of the programs, and lets a test spoil it before its checksums are taken.
func assemble(t *testing.T, spoil func(t *testing.T, folder string)) string {
	t.Helper()
	folder := t.TempDir()
	managers := []string{managerIn(folder, "amd64"), managerIn(folder, "arm64")}
	for _, manager := range managers {
		write(t, manager, contentOf(t, filepath.Join(made, filepath.Base(manager))))
	}
	must(t, writeImage(layoutIn(folder), managers, release{version: version, revision: "abc", at: at}))
	must(t, writeSBOMs(managers, version, at))
	spoil(t, folder)
	must(t, writeSums(folder))
	return folder
}

func keep(*testing.T, string) {}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contentOf(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	return content
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	must(t, os.WriteFile(path, content, 0o700))
}

// TestReleasesAreEqual: what went in decides over every byte, not where or when.
func TestReleasesAreEqual(t *testing.T) {
	one, other := assemble(t, keep), assemble(t, keep)
	if diff := cmp.Diff(string(contentOf(t, filepath.Join(one, sumsName))), string(contentOf(t, filepath.Join(other, sumsName)))); diff != "" {
		t.Errorf("-one +other:\n%s", diff)
	}
}

// TestCheck: on amd64 or arm64 with Linux, it also runs the manager of that platform out of its image.
func TestCheck(t *testing.T) {
	images := func(version string, managers ...string) func(*testing.T, string) {
		return func(t *testing.T, folder string) {
			for i, arch := range managers {
				managers[i] = managerIn(made, arch)
			}
			must(t, writeImage(layoutIn(folder), managers, release{version: version, at: at}))
		}
	}
	tests := map[string]struct {
		spoil, after func(*testing.T, string)
		want         string
	}{
		"accepts a release":                        {keep, keep, ""},
		"refuses a file that changed":              {keep, func(t *testing.T, folder string) { write(t, managerIn(folder, "amd64"), nil) }, "SHA256SUMS does not match"},
		"refuses a file that was added":            {keep, func(t *testing.T, folder string) { write(t, filepath.Join(folder, "x"), nil) }, "SHA256SUMS does not match"},
		"refuses an image of another version":      {images("v9.9.9", "amd64", "arm64"), keep, "named v1.2.3"},
		"refuses an image that lacks a platform":   {images(version, "arm64"), keep, "for each of 2 platforms"},
		"refuses an image with one platform twice": {images(version, "arm64", "arm64"), keep, "for each of 2 platforms"},
		"refuses another manager than that beside": {
			func(t *testing.T, folder string) {
				write(t, managerIn(folder, "arm64"), contentOf(t, managerIn(folder, "amd64")))
			},
			keep, "image of linux/arm64: its manager is not the one beside the layout",
		},
		"refuses a program without a bill of materials": {
			func(t *testing.T, folder string) { must(t, os.Remove(managerIn(folder, "amd64")+sbomSuffix)) }, keep, "has no bill of materials",
		},
		"refuses a layout that is cut off": {
			func(t *testing.T, folder string) {
				content := contentOf(t, layoutIn(folder))
				write(t, layoutIn(folder), content[:len(content)/2])
			}, keep, "unexpected EOF",
		},
		"refuses a layout with a layer that changed": {
			func(t *testing.T, folder string) {
				content := contentOf(t, layoutIn(folder))
				content[len(content)/2] ^= 1
				write(t, layoutIn(folder), content)
			}, keep, "layout: ",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			folder := assemble(t, tc.spoil)
			tc.after(t, folder)
			said := ""
			if err := check(folder, version); err != nil {
				said = err.Error()
			}
			if !strings.Contains(said, tc.want) || tc.want == "" && said != "" {
				t.Errorf("it says %q, want %q", said, tc.want)
			}
		})
	}
}

// TestAManagerOfAnotherVersionIsRefused where it can be asked for its version: the managers of the image are for Linux. Elsewhere there is
// nothing to refuse them for.
func TestAManagerOfAnotherVersionIsRefused(t *testing.T) {
	folder := t.TempDir()
	managers := []string{managerIn(made, "amd64"), managerIn(made, "arm64")}
	for i, arch := range []string{"amd64", "arm64"} {
		manager := strings.ReplaceAll(managerIn(folder, arch), version, "v2.0.0")
		write(t, manager, contentOf(t, managers[i]))
		must(t, writeSBOMs([]string{manager}, "v2.0.0", at))
	}
	must(t, writeImage(strings.ReplaceAll(layoutIn(folder), version, "v2.0.0"), managers, release{version: "v2.0.0", at: at}))
	must(t, writeSums(folder))
	err := check(folder, "v2.0.0")
	if refused := err != nil && strings.Contains(err.Error(), `version "v1.2.3"`); refused != (runtime.GOOS == "linux") || err != nil && !refused {
		t.Errorf("it says %v", err)
	}
}

// TestBillOfMaterials: it names what is in the program, with the sums of go.sum.
func TestBillOfMaterials(t *testing.T) {
	folder := assemble(t, keep)
	program := managerIn(folder, "arm64")
	var got cdx.BOM
	must(t, cdx.NewBOMDecoder(bytes.NewReader(contentOf(t, program+sbomSuffix)), cdx.BOMFileFormatJSON).Decode(&got))
	sum := sha256.Sum256(contentOf(t, program))
	type part struct{ Name, Version, PackageURL, Hash string }
	read := func(c cdx.Component) part {
		p := part{Name: c.Name, Version: c.Version, PackageURL: c.PackageURL}
		if c.Hashes != nil {
			p.Hash = (*c.Hashes)[0].Value
		}
		return p
	}
	self := "github.com/maxcompute-operator/maxcompute-operator/hack/release/testdata/program"
	parts := []part{read(*got.Metadata.Component)}
	for _, component := range *got.Components {
		parts = append(parts, read(component))
	}
	goVersion := strings.TrimPrefix(runtime.Version(), "go")
	want := []part{
		{self, version, "pkg:golang/" + self + "@" + version, hex.EncodeToString(sum[:])},
		{"stdlib", goVersion, "pkg:golang/stdlib@" + goVersion, ""},
		{"github.com/opencontainers/go-digest", "v1.0.0", "pkg:golang/github.com/opencontainers/go-digest@v1.0.0", listed(t, "github.com/opencontainers/go-digest v1.0.0")},
	}
	if diff := cmp.Diff(want, parts); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got.Metadata.Timestamp != "2023-11-14T22:13:20Z" || !strings.HasPrefix(got.SerialNumber, "urn:uuid:") {
		t.Errorf("time %s, serial number %s", got.Metadata.Timestamp, got.SerialNumber)
	}
}

// listed is the sum of a module in go.sum, in hexadecimal digits.
func listed(t *testing.T, module string) string {
	t.Helper()
	for line := range strings.Lines(string(contentOf(t, "go.sum"))) {
		if sum, found := strings.CutPrefix(strings.TrimSpace(line), module+" h1:"); found {
			raw, err := base64.StdEncoding.DecodeString(sum)
			must(t, err)
			return hex.EncodeToString(raw)
		}
	}
	t.Fatalf("go.sum lacks %s", module)
	return ""
}

func TestPackageURLs(t *testing.T) {
	tests := map[string]struct{ path, version, want string }{
		"are in lower case":            {"github.com/CycloneDX/cyclonedx-go", "v0.12.0", "pkg:golang/github.com/cyclonedx/cyclonedx-go@v0.12.0"},
		"escape the plus sign":         {"github.com/docker/cli", "v29.7.2+incompatible", "pkg:golang/github.com/docker/cli@v29.7.2%2Bincompatible"},
		"keep a major version":         {"k8s.io/klog/v2", "v2.140.0", "pkg:golang/k8s.io/klog/v2@v2.140.0"},
		"name the Go standard library": {"stdlib", "1.26.8", "pkg:golang/stdlib@1.26.8"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := purl(tc.path, tc.version); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestRootsAreCertificates(t *testing.T) {
	rest, err := roots()
	must(t, err)
	n := 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n < 100 || len(bytes.TrimSpace(rest)) != 0 {
		t.Errorf("%d certificates, and %d bytes that are none", n, len(rest))
	}
}

func TestVersions(t *testing.T) {
	tests := map[string]bool{
		"v0.1.0": true, "v10.20.30": true, "v1.0.0-rc.1": true, "v1.0.0-alpha": true,
		"": false, "0.1.0": false, "v1": false, "v1.2": false, "v01.2.3": false, "v1.2.3-01": false, "v1.2.3+build": false, "v1.2.3 x": false, "v1.2.3\n": false, "v1.2.3/../x": false,
	}
	for version, want := range tests {
		t.Run(version, func(t *testing.T) {
			if got := checkVersion(version) == nil; got != want {
				t.Errorf("accepted: %t, want %t", got, want)
			}
		})
	}
}
