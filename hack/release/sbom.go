package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbomSuffix is what a program's bill of materials is called by: https://cyclonedx.org/guides/ recommends .cdx.json.
const sbomSuffix = ".cdx.json"

// writeSBOMs writes a bill of materials beside each program.
func writeSBOMs(programs []string, version string, at time.Time) error {
	for _, program := range programs {
		bom, err := sbom(program, version, at)
		if err != nil {
			return fmt.Errorf("bill of materials of %s: %w", filepath.Base(program), err)
		}
		var out bytes.Buffer
		if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
			return fmt.Errorf("bill of materials of %s: %w", filepath.Base(program), err)
		}
		if err := os.WriteFile(program+sbomSuffix, out.Bytes(), 0o644); err != nil { //nolint:gosec // a release is for everybody to read
			return err
		}
	}
	return nil
}

// sbom lists what the Go linker says is in a program: every module with at least one package in it, and the standard library. It does not
// list modules that only tests need, and says nothing about licences, which no Go program records.
func sbom(program, version string, at time.Time) (*cdx.BOM, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, fmt.Errorf("read build information: %w", err)
	}
	content, err := os.ReadFile(filepath.Clean(program))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	subject := cdx.Component{
		Type: cdx.ComponentTypeApplication, Name: info.Path, Version: version, PackageURL: purl(info.Path, version),
		Hashes:   &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}},
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
	}
	subject.BOMRef = subject.PackageURL
	subject.Properties = settings(info)
	components := []cdx.Component{library("stdlib", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, module := range info.Deps {
		component, err := componentOf(module)
		if err != nil {
			return nil, err
		}
		components = append(components, component)
	}
	var uses []string
	for _, component := range components {
		uses = append(uses, component.BOMRef)
	}
	bom := cdx.NewBOM()
	bom.SerialNumber = serial(sum)
	bom.Metadata = &cdx.Metadata{Timestamp: at.Format(time.RFC3339), Component: &subject}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: subject.BOMRef, Dependencies: &uses}}
	return bom, nil
}

// settings are those of the build: platform, flags, and whatever else the Go command records.
func settings(info *debug.BuildInfo) *[]cdx.Property {
	var out []cdx.Property
	for _, setting := range info.Settings {
		out = append(out, cdx.Property{Name: "go:build:" + setting.Key, Value: setting.Value})
	}
	return &out
}

// componentOf describes a module. If it was replaced, what replaced it is what is in the program.
func componentOf(module *debug.Module) (cdx.Component, error) {
	if module.Replace != nil {
		module = module.Replace
	}
	out := library(module.Path, module.Version)
	if module.Sum == "" {
		return out, nil
	}
	sum, err := moduleSum(module.Sum)
	if err != nil {
		return cdx.Component{}, fmt.Errorf("module %s: %w", module.Path, err)
	}
	out.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}}
	return out, nil
}

func library(path, version string) cdx.Component {
	name := purl(path, version)
	return cdx.Component{BOMRef: name, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: name}
}

// purl is a module's package URL: https://github.com/package-url/purl-spec/blob/main/types-doc/golang-definition.md. Paths are in lower case
// there, which is why Name has the path as it is.
func purl(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(version, "+", "%2B")
}

// moduleSum reads a sum as go.sum has it, which the Go command records in programs: SHA-256 of a list of the SHA-256 sums of all files of the
// module (golang.org/x/mod/sumdb/dirhash). It is not the sum of the module's archive.
func moduleSum(sum string) (string, error) {
	encoded, found := strings.CutPrefix(sum, "h1:")
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(raw) != sha256.Size {
		return "", errors.New("its sum is not of the kind h1")
	}
	return hex.EncodeToString(raw), nil
}

// serial makes the document's UUID from the program's sum, so that one program has one bill of materials (RFC 9562, version 8).
func serial(sum [sha256.Size]byte) string {
	id := sum[:16]
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
