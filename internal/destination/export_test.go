package destination

import (
	"io/fs"
	"os"
)

// SetLayout has a bucket's files cut into parts of another size.
func SetLayout(d Destination, blockSize, maxParts int64) {
	d.(*objectStorage).layout = layout{blockSize, maxParts}
}

// SetLink replaces how a directory makes hard links.
func SetLink(d Destination, link func(dir *os.Root, from, to string) error) {
	d.(*directory).link = link
}

// Redirect has what is written from now on go to another file.
func (p *Partial) Redirect(file *os.File) { p.file = file }

// OpenSame opens the directory that was looked at before.
func OpenSame(dir *os.Root, name string, before fs.FileInfo) (*os.Root, error) {
	return openSame("open", dir, name, before)
}
