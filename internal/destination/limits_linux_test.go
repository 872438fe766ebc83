package destination_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
)

// TestThereIsNoRoom writes to a device that is always full.
func TestThereIsNoRoom(t *testing.T) {
	bucket, err := destination.NewObjectStorage(destination.ObjectStorageConfig{Endpoint: "https://s3.test", Bucket: bucket, Spool: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for name, tt := range map[string]struct {
		d       destination.Destination
		message string
	}{
		"in the export directory":    {newDirectory(t, root), "receive a file in directory team-a/daily: the export directory is full"},
		"in the temporary directory": {bucket, "receive a file for bucket reports: the operator's own temporary directory is full"},
	} {
		t.Run(name, func(t *testing.T) {
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			p := receive(t, tt.d, nil)
			p.Redirect(full)
			n, err := p.Write([]byte("x"))
			if n != 0 || p.Size() != 0 {
				t.Errorf("%d bytes were written, the size is %d", n, p.Size())
			}
			wantCode(t, err, destination.Full)
			if err == nil || err.Error() != tt.message {
				t.Errorf("got message %v, want %s", err, tt.message)
			}
		})
	}
}

// smallVolume is set in the process that sees the small volume.
const smallVolume = "DESTINATION_TEST_SMALL_VOLUME"

// notMounted is what it prints if there can be none.
const notMounted = "cannot mount:"

// TestAVolumeIsFull fills a real volume of 1 MiB, mounted where only a process of its own sees it. Where that is not allowed, what
// TestThereIsNoRoom shows has to do.
func TestAVolumeIsFull(t *testing.T) {
	if dir := os.Getenv(smallVolume); dir != "" {
		if err := syscall.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
			fmt.Println(notMounted, err)
			return
		}
		fillVolume(t, dir)
		return
	}
	command := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestAVolumeIsFull$", "-test.v")
	command.Env = append(os.Environ(), smallVolume+"="+t.TempDir())
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	output, err := command.CombinedOutput()
	switch {
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL):
		t.Skipf("this machine does not let a process have mounts of its own: %v", err)
	case err != nil:
		t.Errorf("%v\n%s", err, output)
	case bytes.Contains(output, []byte(notMounted)):
		t.Skipf("this machine does not let a process mount a volume: %s", output)
	}
}

func fillVolume(t *testing.T, dir string) {
	d := newDirectory(t, dir)
	wantCode(t, d.Store(t.Context(), receive(t, d, []byte("x")), d.Location("before"), ""), "")
	p := receive(t, d, nil)
	_, err := io.Copy(p, io.LimitReader(zeros{}, 2<<20))
	wantCode(t, err, destination.Full)
	wantCode(t, p.Close(), "")
	spooled, err := destination.NewObjectStorage(destination.ObjectStorageConfig{Endpoint: "https://s3.test", Bucket: bucket, Spool: dir})
	if err != nil {
		t.Fatal(err)
	}
	q := receive(t, spooled, nil)
	_, err = io.Copy(q, io.LimitReader(zeros{}, 2<<20))
	wantCode(t, err, destination.Full)
	wantCode(t, q.Close(), "")
	// The room is free again.
	wantCode(t, d.Store(t.Context(), receive(t, d, make([]byte, 512<<10)), d.Location("after"), ""), "")
	wantTree(t, filepath.Join(dir, "team-a/daily"), map[string]string{"before": "x", "after": string(make([]byte, 512<<10))})
}

// asNobody does something with the file system's permissions of an unprivileged user, whoever runs the tests.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Getuid() != 0 {
		do()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The user is the thread's. It is not unlocked, so the thread ends with this function.
		runtime.LockOSThread()
		if err := errors.Join(syscall.Setfsgid(65534), syscall.Setfsuid(65534)); err != nil {
			t.Error(err)
			return
		}
		do()
	}()
	<-done
}

func TestAccessIsDenied(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "exports")
	write(t, filepath.Join(root, "team-a/daily/a"), "x")
	write(t, filepath.Join(root, "team-a/daily/.uid-1.part"), "x")
	before := tree(t, root)
	mode := func(m os.FileMode, paths ...string) {
		t.Helper()
		for _, path := range paths {
			if err := os.Chmod(path, m); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode(0o755, filepath.Dir(base), base)
	mode(0o555, root, root+"/team-a", root+"/team-a/daily")
	t.Cleanup(func() { mode(0o755, root, root+"/team-a", root+"/team-a/daily") })
	d := newDirectory(t, root)
	fresh := newDirectory(t, root, func(c *destination.DirectoryConfig) { c.Path = "new" })
	spooled, err := destination.NewObjectStorage(destination.ObjectStorageConfig{Endpoint: "https://s3.test", Bucket: bucket, Spool: root})
	if err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		for _, d := range []destination.Destination{d, fresh} {
			_, err := d.Receive()
			wantCode(t, err, destination.Denied)
		}
		wantCode(t, d.Remove(t.Context(), d.Location("a")), destination.Denied)
		wantCode(t, d.Clean(t.Context(), d.Location("a")), destination.Denied)
		if size, found, err := d.Find(t.Context(), d.Location("a")); size != 1 || !found || err != nil {
			t.Errorf("Find returned %d, %v, %v", size, found, err)
		}
		_, err := spooled.Receive()
		wantCode(t, err, destination.Failed)
		want := "receive a file for bucket reports: the operator is not permitted to use the operator's own temporary directory"
		if err == nil || err.Error() != want {
			t.Errorf("got message %v, want %s", err, want)
		}
	})
	mode(0o700, root, root+"/team-a", root+"/team-a/daily")
	wantTree(t, root, before)
}
