package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// sumsName is the file of checksums, in the format of sha256sum.
const sumsName = "SHA256SUMS"

// archive writes a tar archive of a folder: names in order, one time, one owner.
func archive(out, folder string, at time.Time) (err error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // nothing is written through it
	file, err := os.Create(filepath.Clean(out))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := tar.NewWriter(file)
	// WalkDir goes in lexical order.
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if entry.IsDir() {
			return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: at, Format: tar.FormatPAX})
		}
		content, err := root.ReadFile(name)
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: at, Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err = w.Write(content)
		return err
	})
	return errors.Join(err, w.Close())
}

// unpack is the opposite of archive.
func unpack(archive, folder string) error {
	file, err := os.Open(filepath.Clean(archive))
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // what has been read does not change any more
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // nothing is written through it
	r := tar.NewReader(file)
	for {
		header, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case header.Typeflag == tar.TypeDir:
			err = root.MkdirAll(strings.TrimSuffix(header.Name, "/"), 0o700)
		default:
			var content []byte
			if content, err = io.ReadAll(r); err == nil {
				err = root.WriteFile(header.Name, content, 0o600)
			}
		}
		if err != nil {
			return err
		}
	}
}

// date gives everything below a folder one time.
func date(folder string, at time.Time) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // nothing is written through it
	return fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Chtimes(name, at, at)
	})
}

// sums are the checksums of all files in a folder, in the order of their names.
func sums(folder string) ([]byte, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, entry := range entries {
		if entry.Name() == sumsName {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(content), entry.Name())
	}
	return out.Bytes(), nil
}

func writeSums(folder string) error {
	content, err := sums(folder)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, sumsName), content, 0o644) //nolint:gosec // a release is for everybody to read
}
