package destination

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// DirectoryConfig says which directory files are stored in: <Root>/<Namespace>/<Path>.
type DirectoryConfig struct {
	// Root is the manager's export directory, which must exist.
	Root string
	// Namespace is the name of a directory below Root. All locations begin with it.
	Namespace string
	// Path is a relative slash path below that; empty means none. No part of it begins with a dot.
	Path string
	// Owner tells the partial files of one export from those of others in the same directory; a UID. Two files must not be received for
	// the same owner at once.
	Owner string
}

// directory is below the export directory. Nothing stays open between calls, so that the export directory can be mounted anew.
type directory struct {
	root, namespace string
	// path is the namespace and what is below it.
	path []string
	// partial is the name that files are received under.
	partial string
	// link makes a hard link; not all file systems can.
	link func(dir *os.Root, from, to string) error
}

const (
	directoryMode = 0o750
	fileMode      = 0o640
	exportPlace   = "the export directory"
)

// NewDirectory makes a Destination of a directory, which is created as needed. It fails with Invalid if a name is not allowed, and with
// NotFound if the export directory does not exist.
func NewDirectory(config DirectoryConfig) (Destination, error) {
	d := &directory{
		root: config.Root, namespace: config.Namespace, path: []string{config.Namespace}, partial: "." + config.Owner + ".part", link: (*os.Root).Link,
	}
	if config.Path != "" {
		d.path = append(d.path, strings.Split(config.Path, "/")...)
	}
	op := d.op("use")
	for _, name := range append(slices.Clone(d.path), config.Owner) {
		if fault := nameFault(name); fault != "" {
			return nil, invalid(op, "a part of the path %s", fault)
		}
	}
	root, err := d.openRoot(op)
	if err != nil {
		return nil, err
	}
	return d, root.Close()
}

// nameFault says why something may not be the name of a file or a directory. A leading dot is for files that are not to be seen.
func nameFault(name string) string {
	if fault := segmentFault(name); fault != "" {
		return fault
	}
	if strings.HasPrefix(name, ".") {
		return "begins with a dot"
	}
	return ""
}

func (d *directory) op(verb string) string { return verb + " directory " + strings.Join(d.path, "/") }

// Location implements Destination.
func (d *directory) Location(name string) string {
	return strings.Join(append(slices.Clone(d.path), name), "/")
}

// Receive implements Destination. What an earlier process left of the same owner's is removed.
func (d *directory) Receive() (*Partial, error) {
	op := d.op("receive a file in")
	dir, err := d.open(op, d.path, true)
	if err != nil {
		return nil, err
	}
	if err := dir.Remove(d.partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, localError(op, exportPlace, errors.Join(err, dir.Close()))
	}
	file, err := dir.OpenFile(d.partial, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return nil, localError(op, exportPlace, errors.Join(err, dir.Close()))
	}
	sum := sha256.New()
	return &Partial{owner: d, file: file, sum: sum, sink: sum, op: op, place: exportPlace, dir: dir, name: d.partial}, nil
}

// Store implements Destination. The content type is not kept.
func (d *directory) Store(ctx context.Context, p *Partial, location, _ string) error {
	op := d.op("store a file in")
	path, name, err := d.parse(op, location)
	switch {
	case err != nil:
		return err
	case !slices.Equal(path, d.path):
		return invalid(op, "the location is in another directory")
	case ctx.Err() != nil:
		return givenUp(ctx, op)
	}
	if err := p.heldBy(d, op); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return localError(op, exportPlace, err)
	}
	if err := d.publish(op, p, name); err != nil {
		return err
	}
	// The file is stored. What is left of its other name is removed by whoever receives or cleans up next.
	_ = p.Close() //nolint:errcheck // see above
	return nil
}

// publish gives a file its name, and takes the name away again if it turns out to be of something else.
func (d *directory) publish(op string, p *Partial, name string) error {
	if !p.isAt(p.name) {
		return &Error{Code: Failed, Op: op, Message: "the partial file was removed or replaced meanwhile"}
	}
	switch err := d.rename(p.dir, p.name, name); {
	case errors.Is(err, fs.ErrExist):
		return exists(op)
	case err != nil:
		return localError(op, exportPlace, err)
	}
	err := syncDirectory(p.dir)
	if err != nil {
		err = localError(op, exportPlace, err)
	} else if there, statErr := p.dir.Lstat(name); statErr != nil || !p.isAt(name) || there.Size() != p.size {
		err = &Error{Code: Corrupt, Op: op, Message: "the file was replaced or changed while it was stored", Err: statErr}
	} else {
		return nil
	}
	// Nobody has been told of the file.
	_ = p.dir.Remove(name) //nolint:errcheck // the first failure is the one to report
	return err
}

// exists is the refusal to replace a file.
func exists(op string) *Error {
	return &Error{Code: Exists, Op: op, Message: "something of that name is there already"}
}

// rename gives a file another name that is free. A hard link fails by itself if the name is taken; where there are none, the look and the
// renaming are two steps, between which only another program could take the name: names are of one export each.
func (d *directory) rename(dir *os.Root, from, to string) error {
	err := d.link(dir, from, to)
	if !isAny(err, syscall.EPERM, syscall.ENOTSUP, syscall.EOPNOTSUPP, syscall.ENOSYS) {
		return err
	}
	switch _, err := dir.Lstat(to); {
	case err == nil:
		return fs.ErrExist
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return dir.Rename(from, to)
}

// Find implements Destination.
func (d *directory) Find(_ context.Context, location string) (size int64, found bool, err error) {
	op := d.op("find a file in")
	err = d.at(op, location, func(dir *os.Root, name string) error {
		info, err := stored(op, dir, name)
		if err == nil {
			size, found = info.Size(), true
		}
		return err
	})
	return size, found, err
}

// Remove implements Destination. It removes regular files only.
func (d *directory) Remove(_ context.Context, location string) error {
	op := d.op("remove a file from")
	return d.at(op, location, func(dir *os.Root, name string) error {
		if _, err := stored(op, dir, name); err != nil {
			return err
		}
		return errors.Join(dir.Remove(name), syncDirectory(dir))
	})
}

// Clean implements Destination.
func (d *directory) Clean(_ context.Context, location string) error {
	return d.at(d.op("clean"), location, func(dir *os.Root, _ string) error { return dir.Remove(d.partial) })
}

// stored looks at a file, which must be a regular one.
func stored(op string, dir *os.Root, name string) (fs.FileInfo, error) {
	info, err := dir.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, invalid(op, "what is there is not a regular file")
	}
	return info, err
}

// at does something in the directory of a location. That a file or its directory is not there is no error.
func (d *directory) at(op, location string, do func(dir *os.Root, name string) error) error {
	path, name, err := d.parse(op, location)
	if err != nil {
		return err
	}
	dir, err := d.open(op, path, false)
	if err == nil {
		err = errors.Join(do(dir, name), dir.Close())
	}
	switch {
	case err == nil, CodeOf(err) == "" && errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return localError(op, exportPlace, err)
	}
}

// parse takes a location apart, which a user may have written.
func (d *directory) parse(op, location string) (path []string, name string, err error) {
	names := strings.Split(location, "/")
	for _, name := range names {
		if fault := nameFault(name); fault != "" {
			return nil, "", invalid(op, "a part of the location %s", fault)
		}
	}
	last := len(names) - 1
	if last == 0 || names[0] != d.namespace {
		return nil, "", invalid(op, "the location is not below the namespace's directory")
	}
	return names[:last], names[last], nil
}

// openRoot opens the export directory.
func (d *directory) openRoot(op string) (*os.Root, error) {
	root, err := os.OpenRoot(d.root)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return nil, &Error{Code: NotFound, Op: op, Message: "the export directory does not exist", Err: err}
	case err != nil:
		return nil, localError(op, exportPlace, err)
	}
	return root, nil
}

// open opens a directory below the export directory name by name, so that no link is followed, wherever it leads. Without create, the
// error for a directory that does not exist is fs.ErrNotExist.
func (d *directory) open(op string, path []string, create bool) (*os.Root, error) {
	dir, err := d.openRoot(op)
	if err != nil {
		return nil, err
	}
	for _, name := range path {
		next, err := enter(op, dir, name, create)
		if err := errors.Join(err, dir.Close()); err != nil {
			if CodeOf(err) == "" && errors.Is(err, fs.ErrNotExist) && !create {
				return nil, fs.ErrNotExist
			}
			return nil, localError(op, exportPlace, err)
		}
		dir = next
	}
	return dir, nil
}

// enter opens a directory in another one.
func enter(op string, dir *os.Root, name string, create bool) (*os.Root, error) {
	before, err := dir.Lstat(name)
	if create && errors.Is(err, fs.ErrNotExist) {
		if err := makeDirectory(dir, name); err != nil {
			return nil, err
		}
		before, err = dir.Lstat(name)
	}
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		return nil, invalid(op, "%s is a link or a file, not a directory", name)
	}
	return openSame(op, dir, name, before)
}

// openSame opens the directory that was looked at before. A link that does not lead out of a Root is followed by the standard library, so
// what was opened is compared with what was seen, which was not a link.
func openSame(op string, dir *os.Root, name string, before fs.FileInfo) (*os.Root, error) {
	next, err := dir.OpenRoot(name)
	_, known := errors.AsType[syscall.Errno](err)
	switch {
	case err != nil && (!known || isAny(err, syscall.ENOENT, syscall.ENOTDIR, syscall.ELOOP)):
		return nil, replaced(op, name, err)
	case err != nil:
		return nil, err
	}
	if opened, err := next.Stat("."); err != nil || !os.SameFile(before, opened) {
		return nil, replaced(op, name, errors.Join(err, next.Close()))
	}
	return next, nil
}

// isAny tells whether an error is one of several.
func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

func replaced(op, name string, err error) *Error {
	return &Error{Code: Invalid, Op: op, Message: name + " was replaced while it was opened", Err: err}
}

// makeDirectory makes a directory unless somebody else has just made it.
func makeDirectory(dir *os.Root, name string) error {
	if err := dir.Mkdir(name, directoryMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDirectory(dir)
}

// syncDirectory makes sure that the names in a directory outlast a crash of the machine.
func syncDirectory(dir *os.Root) error {
	file, err := dir.Open(".")
	if err != nil {
		return err
	}
	// Some file systems cannot do this, and need not.
	if err := file.Sync(); err != nil && !isAny(err, syscall.EINVAL, syscall.ENOTSUP) {
		return errors.Join(err, file.Close())
	}
	return file.Close()
}
