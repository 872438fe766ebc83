package main

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// machines are what the ELF header of a program says, by the platform of its image.
var machines = map[string]elf.Machine{"linux/amd64": elf.EM_X86_64, "linux/arm64": elf.EM_AARCH64}

// check looks at a release as somebody would who has only its directory.
func check(folder, version string) error {
	want, err := sums(folder)
	if err != nil {
		return err
	}
	got, err := os.ReadFile(filepath.Join(folder, sumsName))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s does not match the files beside it", sumsName)
	}
	if err := checkSBOMs(folder); err != nil {
		return err
	}
	return checkImage(filepath.Join(folder, "maxcompute-operator-"+version+".oci.tar"), folder, version)
}

// checkSBOMs checks that every program has a bill of materials beside it.
func checkSBOMs(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		if _, err := buildinfo.ReadFile(path); err != nil {
			continue // not a Go program
		}
		if _, err := os.Stat(path + sbomSuffix); err != nil {
			return fmt.Errorf("%s has no bill of materials", entry.Name())
		}
	}
	return nil
}

// checkImage checks that a layout is whole, and that the image of every platform holds the manager of that platform.
func checkImage(path, folder, version string) error {
	unpacked, err := os.MkdirTemp("", "check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(unpacked) //nolint:errcheck // what stays is in the directory for temporary files
	if err := unpack(path, unpacked); err != nil {
		return err
	}
	outer, err := layout.ImageIndexFromPath(unpacked)
	if err != nil {
		return err
	}
	if err := validate.Index(outer); err != nil {
		return fmt.Errorf("layout: %w", err)
	}
	index, err := named(outer, version)
	if err != nil {
		return err
	}
	images, err := index.IndexManifest()
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, entry := range images.Manifests {
		image, err := index.Image(entry.Digest)
		if err != nil {
			return err
		}
		platform := entry.Platform.String()
		seen[platform] = true
		if err := checkPlatform(image, entry.Platform, folder, version); err != nil {
			return fmt.Errorf("image of %s: %w", platform, err)
		}
	}
	if len(seen) != len(machines) || len(images.Manifests) != len(machines) {
		return fmt.Errorf("layout: it must hold one image for each of %d platforms", len(machines))
	}
	return nil
}

// named is the one index in a layout.
func named(outer v1.ImageIndex, version string) (v1.ImageIndex, error) {
	list, err := outer.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(list.Manifests) != 1 || list.Manifests[0].Annotations[refName] != version {
		return nil, fmt.Errorf("layout: it must hold one index, named %s", version)
	}
	return outer.ImageIndex(list.Manifests[0].Digest)
}

// checkPlatform checks what an image is run as, what is in it, and that this is the program beside it.
func checkPlatform(image v1.Image, platform *v1.Platform, folder, version string) error {
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	if config.Config.User != user || len(config.Config.Entrypoint) != 1 || config.Config.Entrypoint[0] != "/manager" ||
		config.Config.Labels["org.opencontainers.image.version"] != version {
		return errors.New("user, entrypoint or version is not what it must be")
	}
	files, err := filesOf(image)
	if err != nil {
		return err
	}
	if len(files) != 2 || len(files[rootsPath[1:]]) == 0 {
		return errors.New("it must hold the manager and root certificates, and nothing else")
	}
	manager := files["manager"]
	program, err := elf.NewFile(bytes.NewReader(manager))
	if err != nil {
		return err
	}
	if want, known := machines[platform.String()]; !known || program.Machine != want {
		return fmt.Errorf("its manager is for %s", program.Machine)
	}
	if program.Section(".interp") != nil {
		return errors.New("its manager needs a dynamic linker, and there is none")
	}
	beside, err := os.ReadFile(filepath.Join(folder, fmt.Sprintf("manager-%s-%s-%s", version, platform.OS, platform.Architecture)))
	if err != nil {
		return err
	}
	if !bytes.Equal(manager, beside) {
		return errors.New("its manager is not the one beside the layout")
	}
	return checkRuns(manager, platform, version)
}

// filesOf are the files of an image by their path.
func filesOf(image v1.Image) (map[string][]byte, error) {
	extracted := mutate.Extract(image)
	defer extracted.Close()
	files := map[string][]byte{}
	r := tar.NewReader(extracted)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if header.Typeflag == tar.TypeDir {
			continue
		}
		if files[strings.TrimPrefix(header.Name, "/")], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
}

// checkRuns asks the manager for its version, on a machine that can run it.
func checkRuns(manager []byte, platform *v1.Platform, version string) error {
	if platform.OS != runtime.GOOS || platform.Architecture != runtime.GOARCH {
		return nil
	}
	folder, err := os.MkdirTemp("", "run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // what stays is in the directory for temporary files
	path := filepath.Join(folder, "manager")
	if err := os.WriteFile(path, manager, 0o700); err != nil { //nolint:gosec // it is a program
		return err
	}
	out, err := exec.Command(path, "--version").Output() //nolint:noctx // it ends at once, and is what was just built
	if err != nil {
		return fmt.Errorf("run it: %w", err)
	}
	if said := strings.TrimSpace(string(out)); said != version {
		return fmt.Errorf("its manager says that it is version %q", said)
	}
	return nil
}
