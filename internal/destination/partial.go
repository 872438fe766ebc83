package destination

import (
	"crypto/md5" //nolint:gosec // the S3 API compares MD5 sums; what is relied on is SHA-256
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Partial is a file that an export is received in, invisible until it is stored. It is an io.Writer for one goroutine. The errors of
// Write are of type *Error.
type Partial struct {
	// owner is the destination that it can be stored in.
	owner Destination
	file  *os.File
	size  int64
	sum   hash.Hash
	// sink is all that sums up what is written. It never fails.
	sink io.Writer
	// blocks are the sums that an upload needs; nil if the file is not uploaded.
	blocks *blocks
	// op and place are what messages call receiving, and what holds the file.
	op, place string

	// dir holds the file under name; nil if the file has no name.
	dir    *os.Root
	name   string
	closed bool
}

// Write implements io.Writer.
func (p *Partial) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.size += int64(n)
	if err := errors.Join(err, sumUp(p.sink, b[:n])); err != nil {
		return n, localError(p.op, p.place, err)
	}
	return n, nil
}

func sumUp(sink io.Writer, b []byte) error {
	_, err := sink.Write(b)
	return err
}

// Size is how many bytes have been written.
func (p *Partial) Size() int64 { return p.size }

// Sum is the SHA-256 of what has been written, in lower-case hexadecimal digits.
func (p *Partial) Sum() string { return hex.EncodeToString(p.sum.Sum(nil)) }

// Close gives the file up if it has not been stored. It may be called again, and after Store.
func (p *Partial) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	if p.dir == nil {
		return p.file.Close()
	}
	var removed error
	// The name may be a later file's by now.
	if p.isAt(p.name) {
		removed = p.dir.Remove(p.name)
	}
	if err := errors.Join(removed, p.file.Close(), p.dir.Close()); err != nil {
		return localError(p.op, p.place, err)
	}
	return nil
}

// isAt tells whether the file, and no other, has this name in its directory.
func (p *Partial) isAt(name string) bool {
	there, err := p.dir.Lstat(name)
	if err != nil {
		return false
	}
	own, err := p.file.Stat()
	return err == nil && os.SameFile(there, own)
}

// heldBy fails unless the file can be stored in a destination.
func (p *Partial) heldBy(d Destination, op string) error {
	if p.owner != d || p.closed {
		return invalid(op, "the file was received for another destination, or has been given up")
	}
	return nil
}

// sums are what the S3 API compares what it is sent with.
type sums struct {
	md5    [md5.Size]byte
	sha256 [sha256.Size]byte
}

// summing adds up sums.
type summing struct{ md5, sha256 hash.Hash }

func newSumming() summing {
	return summing{md5.New(), sha256.New()} //nolint:gosec // see the import
}

// Write implements io.Writer.
func (s summing) Write(b []byte) (int, error) {
	if n, err := s.md5.Write(b); err != nil {
		return n, err
	}
	return s.sha256.Write(b)
}

func (s summing) sums() (out sums) {
	s.md5.Sum(out.md5[:0])
	s.sha256.Sum(out.sha256[:0])
	return out
}

// blocks sums up what is written in blocks of one size, so that a file uploaded in parts of that size is not read for its sums.
type blocks struct {
	size, filled int64
	done         []sums
	current      summing
}

func newBlocks(size int64) *blocks { return &blocks{size: size, current: newSumming()} }

// Write implements io.Writer.
func (b *blocks) Write(data []byte) (int, error) {
	length := len(data)
	for len(data) > 0 {
		if b.filled == b.size {
			b.done = append(b.done, b.current.sums())
			b.current, b.filled = newSumming(), 0
		}
		n := min(int64(len(data)), b.size-b.filled)
		if _, err := b.current.Write(data[:n]); err != nil {
			return length - len(data), err
		}
		b.filled += n
		data = data[n:]
	}
	return length, nil
}

// at returns the sums of a block. The last is that of what has been written since the one before it.
func (b *blocks) at(i int) sums {
	if i < len(b.done) {
		return b.done[i]
	}
	return b.current.sums()
}

// localError classifies a failure of the file system. place is what messages call what failed.
func localError(op, place string, err error) *Error {
	if known, ok := errors.AsType[*Error](err); ok {
		return known
	}
	out := &Error{Code: Failed, Op: op, Message: place + " cannot be used", Err: err}
	errno, isErrno := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		out.Code, out.Message = Full, place+" is full"
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		out.Code, out.Message = Denied, "the operator is not permitted to use "+place
	case errors.Is(err, syscall.ENAMETOOLONG):
		out.Code, out.Message = Invalid, "a name is too long for "+place
	case isErrno:
		out.Message += ": " + errno.Error()
	}
	return out
}
