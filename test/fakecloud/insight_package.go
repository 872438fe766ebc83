package fakecloud

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
)

const (
	// packageMagic begins every package that is long enough. The real format is not documented.
	packageMagic = "FAKEPKG\n"
	// A package repeats a block of random bytes, each of whose pages carries its number: whoever loses, repeats or
	// swaps a part of it gets another checksum.
	packageBlock = 256 << 10
	packagePage  = 4 << 10
)

// content is the body of an export. It is made while it is sent.
type content struct {
	key  [sha256.Size]byte
	size int64
}

// packageContent is what the bytes of an export follow from. That the order of the resources and the name of the
// package don't matter is made up.
type packageContent struct {
	Seed      int64
	Project   string
	Workspace string
	Tags      bool
	Resources []packageResource
}

type packageResource struct {
	Type, ID string
	Version  int
	Size     int64
}

func (p packageContent) content() content {
	var c content
	for _, r := range p.Resources {
		c.size += r.Size
	}
	c.key = sha256.Sum256(mustJSON(p))
	return c
}

// reader returns the bytes from the start.
func (c content) reader() io.Reader {
	r := &contentReader{left: c.size}
	rng := rand.NewChaCha8(c.key)
	rng.Read(r.block[:]) //nolint:errcheck // it is documented to return no error
	r.stamp()
	copy(r.block[:], packageMagic)
	return r
}

type contentReader struct {
	block [packageBlock]byte
	// number counts the blocks, at is where in the present one the reader is.
	number uint64
	at     int
	left   int64
}

// Read implements io.Reader.
func (r *contentReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.at == packageBlock {
		r.number++
		r.at = 0
		r.stamp()
	}
	n := copy(p[:min(int64(len(p)), r.left)], r.block[r.at:])
	r.at += n
	r.left -= int64(n)
	return n, nil
}

func (r *contentReader) stamp() {
	const pages = packageBlock / packagePage
	for i := range uint64(pages) {
		binary.LittleEndian.PutUint64(r.block[i*packagePage:], r.number*pages+i)
	}
}

// InsightExport says what to export.
type InsightExport struct {
	Project   string `json:"project"`
	Workspace string `json:"workspace"`
	// Resources are like dashboard/1a2b; none stands for all of the workspace.
	Resources []string `json:"resources,omitempty"`
	// DatasetTagPermission is export_dataset_tag_permission.
	DatasetTagPermission bool `json:"datasetTagPermission,omitempty"`
}

// InsightSum is what a client must have got.
type InsightSum struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// InsightSum returns size and checksum of what an export would be now, whoever may or may not make it.
func (s *Server) InsightSum(e InsightExport) (InsightSum, error) {
	c, err := s.exportContent(e)
	if err != nil {
		return InsightSum{}, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, c.reader()); err != nil {
		return InsightSum{}, err
	}
	return InsightSum{Size: c.size, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

func (s *Server) exportContent(e InsightExport) (content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, err := s.insight.workspace(e.Project, e.Workspace)
	if err != nil {
		return content{}, err
	}
	keys := slices.Collect(maps.Keys(w.resources))
	if len(e.Resources) > 0 {
		byName := map[string]insightResourceKey{}
		for _, key := range keys {
			byName[key.String()] = key
		}
		keys = keys[:0]
		for _, name := range e.Resources {
			key, ok := byName[name]
			if !ok {
				return content{}, fmt.Errorf("no resource %s in workspace %q", name, e.Workspace)
			}
			keys = append(keys, key)
		}
	}
	return s.insight.pack(w, keys, e.DatasetTagPermission), nil
}

// pack makes the content of an export of resources that are there; the lock is held.
func (c *insightCloud) pack(w *insightWorkspace, keys []insightResourceKey, tags bool) content {
	p := packageContent{Seed: c.style.Seed, Project: w.Project, Workspace: w.ID, Tags: tags}
	keys = slices.Clone(keys)
	slices.SortFunc(keys, compareResources)
	for _, key := range keys {
		r := w.resources[key]
		p.Resources = append(p.Resources, packageResource{Type: r.Type, ID: r.ID, Version: r.Version, Size: r.Size})
	}
	return p.content()
}
