package destination_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
)

// newDirectory makes a destination at team-a/daily, for the owner uid-1.
func newDirectory(t testing.TB, root string, changes ...func(*destination.DirectoryConfig)) destination.Destination {
	t.Helper()
	config := destination.DirectoryConfig{Root: root, Namespace: "team-a", Path: "daily", Owner: "uid-1"}
	for _, change := range changes {
		change(&config)
	}
	d, err := destination.NewDirectory(config)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// tree returns what is below a directory: what files hold, where links lead, and "/" for directories.
func tree(t testing.TB, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, value := strings.TrimPrefix(path, root+"/"), "/"
		switch {
		case entry.Type()&fs.ModeSymlink != 0:
			value, err = os.Readlink(path)
		case entry.Type().IsRegular():
			var content []byte
			content, err = os.ReadFile(path)
			value = string(content)
		}
		out[name] = value
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// wantTree asserts what is below a directory.
func wantTree(t testing.TB, root string, want map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, tree(t, root)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// write makes a file and what is above it.
func write(t testing.TB, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestFilesInADirectory(t *testing.T) {
	root := t.TempDir()
	d := newDirectory(t, root)
	p := receive(t, d, []byte("1,2\n"))
	wantTree(t, root, map[string]string{"team-a": "/", "team-a/daily": "/", "team-a/daily/.uid-1.part": "1,2\n"})
	if p.Size() != 4 || p.Sum() != "52186c933993da4082b3cdc7c40bb4bf735b391ff54a2ef78c037dda6c38a680" {
		t.Errorf("got size %d and sum %s", p.Size(), p.Sum())
	}
	location := d.Location("a.csv")
	if location != "team-a/daily/a.csv" {
		t.Errorf("got location %s", location)
	}
	if _, found, err := d.Find(t.Context(), location); found || err != nil {
		t.Errorf("Find of what is not stored returned %v, %v", found, err)
	}
	wantCode(t, d.Store(t.Context(), p, location, contentType), "")
	stored := map[string]string{"team-a": "/", "team-a/daily": "/", "team-a/daily/a.csv": "1,2\n"}
	wantTree(t, root, stored)
	for path, want := range map[string]fs.FileMode{"team-a": 0o750, "team-a/daily": 0o750, "team-a/daily/a.csv": 0o640} {
		if info, err := os.Stat(filepath.Join(root, path)); err != nil || info.Mode().Perm()&^want != 0 {
			t.Errorf("%s has mode %v, error %v", path, info.Mode(), err)
		}
	}
	if size, found, err := d.Find(t.Context(), location); size != 4 || !found || err != nil {
		t.Errorf("Find returned %d, %v, %v", size, found, err)
	}
	next := receive(t, d, []byte("other"))
	wantCode(t, d.Store(t.Context(), next, location, contentType), destination.Exists)
	wantCode(t, next.Close(), "")
	wantCode(t, next.Close(), "")
	wantTree(t, root, stored)
	wantCode(t, d.Store(t.Context(), next, d.Location("b"), contentType), destination.Invalid)
	wantCode(t, d.Remove(t.Context(), location), "")
	wantCode(t, d.Remove(t.Context(), location), "")
	wantCode(t, d.Remove(t.Context(), "team-a/never/a.csv"), "")
	wantTree(t, root, map[string]string{"team-a": "/", "team-a/daily": "/"})
}

func TestDirectoryWithoutHardLinks(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EPERM, syscall.ENOTSUP, syscall.ENOSYS} {
		t.Run(errno.Error(), func(t *testing.T) {
			root := t.TempDir()
			d := newDirectory(t, root)
			destination.SetLink(d, func(_ *os.Root, from, to string) error {
				return &os.LinkError{Op: "link", Old: from, New: to, Err: errno}
			})
			wantCode(t, d.Store(t.Context(), receive(t, d, []byte("x")), d.Location("a"), ""), "")
			p := receive(t, d, []byte("other"))
			wantCode(t, d.Store(t.Context(), p, d.Location("a"), ""), destination.Exists)
			wantCode(t, p.Close(), "")
			wantTree(t, root, map[string]string{"team-a": "/", "team-a/daily": "/", "team-a/daily/a": "x"})
		})
	}
}

func TestFailuresOfADirectoryShowNoFile(t *testing.T) {
	const (
		store    = "store a file in directory team-a/daily: "
		full     = store + "the export directory is full"
		denied   = store + "the operator is not permitted to use the export directory"
		replaced = store + "the partial file was removed or replaced meanwhile"
		broken   = store + "the export directory cannot be used: input/output error"
		changed  = store + "the file was replaced or changed while it was stored"
	)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := map[string]struct {
		ctx     context.Context
		link    error
		spoil   func(t *testing.T, dir string)
		want    destination.Code
		message string
	}{
		"the volume is full":                   {t.Context(), syscall.ENOSPC, nil, destination.Full, full},
		"the quota is used up":                 {t.Context(), syscall.EDQUOT, nil, destination.Full, full},
		"the volume is read-only":              {t.Context(), syscall.EROFS, nil, destination.Denied, denied},
		"the disk is broken":                   {t.Context(), syscall.EIO, nil, destination.Failed, broken},
		"the caller has given up":              {cancelled, nil, nil, destination.Unavailable, store + "it was given up before it was done"},
		"the partial file was removed":         {t.Context(), nil, removePartial, destination.Failed, replaced},
		"the partial file was replaced":        {t.Context(), nil, replacePartial, destination.Failed, replaced},
		"the partial file was written to":      {t.Context(), nil, changePartial, destination.Corrupt, changed},
		"the partial file became a link to it": {t.Context(), nil, linkPartial, destination.Failed, replaced},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			d := newDirectory(t, root)
			if tt.link != nil {
				destination.SetLink(d, func(*os.Root, string, string) error { return &os.LinkError{Op: "link", Err: tt.link} })
			}
			p := receive(t, d, []byte("x"))
			if tt.spoil != nil {
				tt.spoil(t, filepath.Join(root, "team-a/daily"))
			}
			err := d.Store(tt.ctx, p, d.Location("a"), "")
			wantCode(t, err, tt.want)
			if err == nil || err.Error() != tt.message {
				t.Errorf("got message %v, want %s", err, tt.message)
			}
			for path := range tree(t, root) {
				if name := filepath.Base(path); name != "team-a" && name != "daily" && !strings.HasPrefix(name, ".") {
					t.Errorf("%s is visible", path)
				}
			}
		})
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func removePartial(t *testing.T, dir string) { remove(t, dir+"/.uid-1.part") }

func replacePartial(t *testing.T, dir string) {
	removePartial(t, dir)
	write(t, dir+"/.uid-1.part", "y")
}

func changePartial(t *testing.T, dir string) { write(t, dir+"/.uid-1.part", "longer") }

func linkPartial(t *testing.T, dir string) {
	if err := errors.Join(os.Rename(dir+"/.uid-1.part", dir+"/.moved"), os.Symlink(".moved", dir+"/.uid-1.part")); err != nil {
		t.Fatal(err)
	}
}

func TestCleanADirectory(t *testing.T) {
	root := t.TempDir()
	d := newDirectory(t, root)
	for _, path := range []string{"team-a/daily/.uid-1.part", "team-a/daily/.uid-2.part", "team-a/daily/a", "team-a/before/.uid-1.part"} {
		write(t, filepath.Join(root, path), "x")
	}
	wantCode(t, d.Clean(t.Context(), d.Location("a")), "")
	wantCode(t, d.Clean(t.Context(), d.Location("a")), "")
	wantCode(t, d.Clean(t.Context(), "team-a/before/a"), "")
	wantCode(t, d.Clean(t.Context(), "team-a/never/a"), "")
	wantTree(t, filepath.Join(root, "team-a"), map[string]string{"daily": "/", "before": "/", "daily/.uid-2.part": "x", "daily/a": "x"})
	// What a killed process left does not keep the next one from receiving.
	write(t, filepath.Join(root, "team-a/daily/.uid-1.part"), "much longer than what comes now")
	wantCode(t, d.Store(t.Context(), receive(t, d, []byte("y")), d.Location("b"), ""), "")
	wantTree(t, filepath.Join(root, "team-a/daily"), map[string]string{".uid-2.part": "x", "a": "x", "b": "y"})
}

func TestALaterReceiverKeepsItsFile(t *testing.T) {
	root := t.TempDir()
	d := newDirectory(t, root)
	first := receive(t, d, []byte("first"))
	second := receive(t, d, []byte("second"))
	wantCode(t, d.Store(t.Context(), first, d.Location("a"), ""), destination.Failed)
	wantCode(t, first.Close(), "")
	wantCode(t, d.Store(t.Context(), second, d.Location("a"), ""), "")
	wantTree(t, filepath.Join(root, "team-a/daily"), map[string]string{"a": "second"})
}

func TestDirectoriesThatAreNotAllowed(t *testing.T) {
	root := t.TempDir()
	names := map[string]string{
		"a way out":                "../../etc",
		"an absolute path":         "/etc",
		"a way out in the middle":  "a/../../b",
		"a dot":                    "./a",
		"a hidden directory":       "a/.b",
		"an empty part":            "a//b",
		"a slash last":             "a/",
		"a backslash":              `a\b`,
		"a line break":             "a\nb",
		"a zero byte":              "a\x00b",
		"a control character":      "a\u0085b",
		"bytes that are not UTF-8": "a\xff",
	}
	for name, path := range names {
		t.Run(name, func(t *testing.T) {
			_, err := destination.NewDirectory(destination.DirectoryConfig{Root: root, Namespace: "team-a", Path: path, Owner: "uid-1"})
			wantCode(t, err, destination.Invalid)
			_, err = destination.NewDirectory(destination.DirectoryConfig{Root: root, Namespace: path, Path: "daily", Owner: "uid-1"})
			wantCode(t, err, destination.Invalid)
			_, err = destination.NewDirectory(destination.DirectoryConfig{Root: root, Namespace: "team-a", Path: "daily", Owner: path})
			wantCode(t, err, destination.Invalid)
			d := newDirectory(t, root)
			for _, location := range []string{path, "team-a/" + path, "team-a/" + path + "/a", path + "/a"} {
				_, _, err := d.Find(t.Context(), location)
				wantCode(t, err, destination.Invalid)
				wantCode(t, d.Remove(t.Context(), location), destination.Invalid)
				wantCode(t, d.Clean(t.Context(), location), destination.Invalid)
			}
			p := receive(t, d, nil)
			wantCode(t, d.Store(t.Context(), p, d.Location(path), ""), destination.Invalid)
			wantCode(t, p.Close(), "")
		})
	}
	wantTree(t, root, map[string]string{"team-a": "/", "team-a/daily": "/"})
}

func TestLocationsOutsideTheNamespaceAreRefused(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "team-b/daily/a"), "theirs")
	write(t, filepath.Join(root, "team-a/other/a"), "ours")
	d := newDirectory(t, root)
	for _, location := range []string{"team-b/daily/a", "team-a", "", "a", "team-a/../team-b/daily/a", "s3://team-a/daily/a", "team-ab/a"} {
		_, _, err := d.Find(t.Context(), location)
		wantCode(t, err, destination.Invalid)
		wantCode(t, d.Remove(t.Context(), location), destination.Invalid)
		wantCode(t, d.Clean(t.Context(), location), destination.Invalid)
	}
	// Only where it was received.
	wantCode(t, d.Store(t.Context(), receive(t, d, nil), "team-a/other/b", ""), destination.Invalid)
	// What was stored before the path was changed is found all the same.
	if size, found, err := d.Find(t.Context(), "team-a/other/a"); size != 4 || !found || err != nil {
		t.Errorf("Find returned %d, %v, %v", size, found, err)
	}
	_, _, err := d.Find(t.Context(), "team-a/other")
	wantCode(t, err, destination.Invalid)
	wantCode(t, d.Remove(t.Context(), "team-a/other"), destination.Invalid)
}

func TestTheExportDirectoryIsMissing(t *testing.T) {
	root := filepath.Join(t.TempDir(), "exports")
	_, err := destination.NewDirectory(destination.DirectoryConfig{Root: root, Namespace: "team-a", Path: "daily", Owner: "uid-1"})
	wantCode(t, err, destination.NotFound)
	if err := os.Mkdir(root, 0o750); err != nil {
		t.Fatal(err)
	}
	d := newDirectory(t, root)
	remove(t, root)
	_, err = d.Receive()
	wantCode(t, err, destination.NotFound)
	if want := "receive a file in directory team-a/daily: the export directory does not exist"; err == nil || err.Error() != want {
		t.Errorf("got message %v, want %s", err, want)
	}
	_, _, err = d.Find(t.Context(), d.Location("a"))
	wantCode(t, err, destination.NotFound)
	wantCode(t, d.Remove(t.Context(), d.Location("a")), destination.NotFound)
	wantCode(t, d.Clean(t.Context(), d.Location("a")), destination.NotFound)
}

// pass receives a file and stores it.
func pass(ctx context.Context, d destination.Destination, content, location string) error {
	p, err := d.Receive()
	if err != nil {
		return err
	}
	_, err = io.WriteString(p, content)
	if err == nil {
		err = d.Store(ctx, p, location, contentType)
	}
	return errors.Join(err, p.Close())
}

func TestManyStoreIntoOneDirectory(t *testing.T) {
	root := t.TempDir()
	want := map[string]string{"same": "same"}
	results := make([]destination.Code, 20)
	var all sync.WaitGroup
	for i := range results {
		owner := fmt.Sprintf("uid-%d", i)
		want["file-"+owner] = owner
		d := newDirectory(t, root, func(c *destination.DirectoryConfig) { c.Owner = owner })
		all.Go(func() {
			wantCode(t, pass(t.Context(), d, owner, d.Location("file-"+owner)), "")
			// Of one name, one of them wins.
			results[i] = destination.CodeOf(pass(t.Context(), d, "same", d.Location("same")))
		})
	}
	all.Wait()
	won := 0
	for _, code := range results {
		if code == "" {
			won++
		} else if code != destination.Exists {
			t.Errorf("a loser got %s", code)
		}
	}
	if won != 1 {
		t.Errorf("%d of them stored the same name", won)
	}
	wantTree(t, filepath.Join(root, "team-a/daily"), want)
}
