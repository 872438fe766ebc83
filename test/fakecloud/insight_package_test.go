package fakecloud

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// TestPackageContent: sizes around the seams of pages and blocks, whatever is read at once.
func TestPackageContent(t *testing.T) {
	for _, size := range []int64{0, 1, 7, 8, 9, packagePage, packageBlock - 1, packageBlock, packageBlock + 1, 3*packageBlock + 12345} {
		c := content{key: sha256.Sum256([]byte("key")), size: size}
		whole, err := io.ReadAll(c.reader())
		must(t, err)
		want(t, "size", len(whole), size)
		halves, err := io.ReadAll(iotest.HalfReader(c.reader()))
		must(t, err)
		if !bytes.Equal(whole, halves) {
			t.Errorf("size %d: the bytes depend on how they are read", size)
		}
		if !strings.HasPrefix(packageMagic, string(whole[:min(size, int64(len(packageMagic)))])) {
			t.Errorf("size %d: begins with %q", size, whole[:8])
		}
	}
}

// TestPackagePages: no two pages are alike, so that a lost or repeated part shows.
func TestPackagePages(t *testing.T) {
	all, err := io.ReadAll(content{key: sha256.Sum256([]byte("key")), size: 5 * packageBlock}.reader())
	must(t, err)
	seen := map[string]bool{}
	for at := 0; at < len(all); at += packagePage {
		page := string(all[at : at+packagePage])
		if seen[page] {
			t.Fatalf("the page at %d was there before", at)
		}
		seen[page] = true
	}
}

// TestInsightMemory: a large export costs no more memory than a small one.
func TestInsightMemory(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	const size = 256 << 20
	must(t, c.server.SetInsightSize(insightProject, "ws1", "dashboard", "d1", size))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.server.ServeHTTP(discard{}, c.request(dashboardBody))
	runtime.ReadMemStats(&after)
	want(t, "sent", c.last().BytesSent, size)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("%d bytes for an export of %d", grown, size)
	}
}

// TestInsightLargeExport: through a connection, and what arrives is what was to come.
func TestInsightLargeExport(t *testing.T) {
	c := newInsight(t, InsightStyle{})
	c.connect()
	const size = 24<<20 + 17
	must(t, c.server.SetInsightSize(insightProject, "ws1", "dashboard", "d1", size))
	resp, err := c.do(c.request(dashboardBody))
	must(t, err)
	defer resp.Body.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, resp.Body)
	must(t, err)
	want(t, "status", resp.StatusCode, http.StatusOK)
	want(t, "size", n, size)
	want(t, "sum", hex.EncodeToString(sum.Sum(nil)), c.sumOf("dashboard/d1").SHA256)
	want(t, "journal", c.last().BytesSent == size && c.last().Completed, true)
}

// BenchmarkInsightExport measures the fake alone and with a connection, for an export of 1 GiB.
func BenchmarkInsightExport(b *testing.B) {
	const size = 1 << 30
	c := newInsight(b, InsightStyle{})
	must(b, c.server.SetInsightSize(insightProject, "ws1", "dashboard", "d1", size))
	b.Run("alone", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			c.server.ServeHTTP(discard{}, c.request(dashboardBody))
		}
	})
	c.connect()
	b.Run("connected", func(b *testing.B) {
		b.SetBytes(size)
		buffer := make([]byte, 1<<20)
		for b.Loop() {
			resp, err := c.do(c.request(dashboardBody))
			must(b, err)
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, buffer)
			must(b, err)
			resp.Body.Close()
			want(b, "size", n, size)
		}
	})
	b.Run("sum", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			_, err := c.server.InsightSum(InsightExport{Project: insightProject, Workspace: "ws1", Resources: []string{"dashboard/d1"}})
			must(b, err)
		}
	})
}
