package destination_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

const (
	bucket      = "reports"
	contentType = "text/csv"
	// block is the smallest part that services accept.
	block = 5 << 20
)

// way is what lies between a destination and the server.
type way struct {
	mu sync.Mutex
	// interfere answers a request in the place of next, or passes it on; nil passes all on.
	interfere func(w http.ResponseWriter, r *http.Request, next http.Handler)
	seen      []*http.Request
}

func (h *way) set(interfere func(http.ResponseWriter, *http.Request, http.Handler)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.interfere, h.seen = interfere, nil
}

func (h *way) requests() []*http.Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen
}

// storage is a server with one bucket, and a way to it.
type storage struct {
	*testbed.S3
	way *way
	// url is where the way begins.
	url string
}

func startStorage(t testing.TB) *storage {
	t.Helper()
	server := testbed.StartS3(t)
	if err := server.MakeBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	next := &httputil.ReverseProxy{
		// The signature is of the host that the request was made for.
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	s := &storage{S3: server, way: &way{}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.way.mu.Lock()
		interfere := s.way.interfere
		s.way.seen = append(s.way.seen, r)
		s.way.mu.Unlock()
		if interfere == nil {
			interfere = func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) }
		}
		interfere(w, r, next)
	}))
	t.Cleanup(front.Close)
	s.url = front.URL
	return s
}

// destination makes a destination at the beginning of the way, with small parts.
func (s *storage) destination(t testing.TB, changes ...func(*destination.ObjectStorageConfig)) destination.Destination {
	t.Helper()
	config := destination.ObjectStorageConfig{
		Endpoint: s.url, Bucket: bucket, Prefix: "daily/",
		Keys: destination.Keys{AccessKeyID: s.AccessKey, SecretAccessKey: s.SecretKey}, Spool: t.TempDir(),
	}
	for _, change := range changes {
		change(&config)
	}
	d, err := destination.NewObjectStorage(config)
	if err != nil {
		t.Fatal(err)
	}
	destination.SetLayout(d, block, 10_000)
	return d
}

// holds asserts what the bucket holds, and that no upload is under way in it.
func (s *storage) holds(t testing.TB, want map[string]int64) {
	t.Helper()
	objects, err := s.Objects(context.WithoutCancel(t.Context()), bucket)
	if err != nil {
		t.Fatal(err)
	}
	uploads, err := s.Uploads(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, objects); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{}, uploads); diff != "" {
		t.Errorf("uploads (-want +got):\n%s", diff)
	}
}

// content is bytes of which no two blocks are the same.
func content(size int) []byte {
	out := make([]byte, size)
	for i := range out {
		out[i] = byte(i*7 + i>>8*13 + i>>20)
	}
	return out
}

// receive makes a partial file of a content.
func receive(t testing.TB, d destination.Destination, data []byte) *destination.Partial {
	t.Helper()
	p, err := d.Receive()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	// In pieces that are not aligned with anything.
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 77_777)
		if _, err := p.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	return p
}

// wantCode asserts the class of an error; "" means none.
func wantCode(t testing.TB, err error, want destination.Code) {
	t.Helper()
	if got := destination.CodeOf(err); got != want || want == "" && err != nil {
		t.Errorf("error %v is of class %q, want %q", err, got, want)
	}
}

func TestFilesInABucket(t *testing.T) {
	s := startStorage(t)
	tests := map[string]struct{ size, blockSize, maxParts int }{
		"an empty file":                           {0, block, 10_000},
		"a small file":                            {5, block, 10_000},
		"a file of exactly one block":             {block, block, 10_000},
		"a file one byte longer than a block":     {block + 1, block, 10_000},
		"a file of two blocks":                    {2 * block, block, 10_000},
		"a file of three blocks":                  {2*block + 77, block, 10_000},
		"a file that needs parts that are larger": {2*block + 77, block, 2},
		"a file in parts of the usual size":       {17 << 20, 16 << 20, 10_000},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s.way.set(nil)
			d := s.destination(t)
			destination.SetLayout(d, int64(tt.blockSize), int64(tt.maxParts))
			data := content(tt.size)
			p := receive(t, d, data)
			location := d.Location("orders " + p.Sum() + ".csv")
			if err := d.Store(t.Context(), p, location, contentType); err != nil {
				t.Fatal(err)
			}
			for _, request := range s.way.requests() {
				assertPlain(t, request)
				if request.Method == http.MethodGet {
					t.Error("the object was read back, although the entity tag is right")
				}
			}
			key := "daily/orders " + p.Sum() + ".csv"
			s.holds(t, map[string]int64{key: int64(tt.size)})
			got, err := s.Read(t.Context(), bucket, key)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("the object holds %d bytes that differ, error %v", len(got), err)
			}
			info, err := s.Stat(t.Context(), bucket, key)
			if err != nil || info.ContentType != contentType || info.Metadata.Get("X-Amz-Meta-Sha256") != p.Sum() {
				t.Errorf("the object has attributes %v, error %v", info.Metadata, err)
			}
			if size, found, err := d.Find(t.Context(), location); size != int64(tt.size) || !found || err != nil {
				t.Errorf("Find returned %d, %v, %v", size, found, err)
			}
			wantCode(t, d.Store(t.Context(), p, location, contentType), destination.Exists)
			wantCode(t, d.Remove(t.Context(), location), "")
			wantCode(t, d.Remove(t.Context(), location), "")
			if _, found, err := d.Find(t.Context(), location); found || err != nil {
				t.Errorf("Find of what was removed returned %v, %v", found, err)
			}
			s.holds(t, map[string]int64{})
		})
	}
}

// assertPlain asserts that a request is one that every service of this API understands.
func assertPlain(t *testing.T, r *http.Request) {
	t.Helper()
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-checksum") || strings.HasPrefix(lower, "x-amz-sdk-checksum") ||
			lower == "x-amz-trailer" || lower == "content-encoding" || lower == "x-amz-decoded-content-length" || lower == "if-none-match" {
			t.Errorf("%s %s has the header %s", r.Method, r.URL.Path, name)
		}
	}
	if len(r.TransferEncoding) > 0 || r.ContentLength > 0 && len(r.Header.Get("X-Amz-Content-Sha256")) != 64 {
		t.Errorf("%s %s does not sign what it sends: %s", r.Method, r.URL.Path, r.Header.Get("X-Amz-Content-Sha256"))
	}
	if r.Method == http.MethodPut && r.Header.Get("Content-Md5") == "" {
		t.Errorf("%s %s has no Content-MD5", r.Method, r.URL.Path)
	}
	if r.URL.Query().Has("location") {
		t.Error("the region was looked up")
	}
}

func TestReceivedFilesLeaveNothing(t *testing.T) {
	s, spool := startStorage(t), t.TempDir()
	d := s.destination(t, func(c *destination.ObjectStorageConfig) { c.Spool = spool })
	p := receive(t, d, content(block))
	entries, err := os.ReadDir(spool)
	if err != nil || len(entries) > 0 {
		t.Errorf("the temporary directory shows %v, error %v", entries, err)
	}
	wantCode(t, p.Close(), "")
	wantCode(t, p.Close(), "")
	wantCode(t, d.Store(t.Context(), p, d.Location("x"), contentType), destination.Invalid)
	wantCode(t, d.Store(t.Context(), receive(t, s.destination(t), nil), d.Location("x"), contentType), destination.Invalid)
	s.holds(t, map[string]int64{})
}

func TestCleanAfterAKill(t *testing.T) {
	s := startStorage(t)
	d := s.destination(t)
	client, err := s.Client("", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"daily/a", "daily/a", "daily/a", "daily/a.csv", "daily", "other"} {
		id, err := client.NewMultipartUpload(t.Context(), bucket, key, minio.PutObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.PutObjectPart(t.Context(), bucket, key, id, 1, strings.NewReader("abc"), 3, minio.PutObjectPartOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, d.Clean(t.Context(), d.Location("a")), "")
	wantCode(t, d.Clean(t.Context(), d.Location("a")), "")
	uploads, err := s.Uploads(t.Context(), bucket)
	if diff := cmp.Diff(map[string]int{"daily/a.csv": 1, "daily": 1, "other": 1}, uploads); diff != "" || err != nil {
		t.Errorf("uploads (-want +got), error %v:\n%s", err, diff)
	}
}

func TestPermissions(t *testing.T) {
	s := startStorage(t)
	const user, secret = "FAKEUSERKEYID", "fake-secret-of-a-user"
	if err := s.AddUser(t.Context(), user, secret); err != nil {
		t.Fatal(err)
	}
	as := func(id, secret string) func(*destination.ObjectStorageConfig) {
		return func(c *destination.ObjectStorageConfig) {
			c.Keys = destination.Keys{AccessKeyID: id, SecretAccessKey: secret}
		}
	}
	least := []string{"s3:PutObject", "s3:GetObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListBucketMultipartUploads"}
	tests := map[string]struct {
		actions []string
		change  func(*destination.ObjectStorageConfig)
		want    destination.Code
		message string
	}{
		"the least permissions suffice": {least, as(user, secret), "", ""},
		"permission to read only": {
			least[1:2], as(user, secret), destination.Denied,
			"store a file in bucket reports: the credentials are not permitted to do this (AccessDenied)",
		},
		"a wrong secret": {
			least, as(user, "fake-wrong-secret"), destination.Denied,
			"store a file in bucket reports: the service refuses the credentials (SignatureDoesNotMatch)",
		},
		"an unknown key": {
			least, as("FAKEUNKNOWN", secret), destination.Denied,
			"store a file in bucket reports: the service refuses the credentials (InvalidAccessKeyId)",
		},
		"a bucket that does not exist": {
			least, func(c *destination.ObjectStorageConfig) { c.Bucket = "absent" }, destination.NotFound,
			"store a file in bucket absent: the bucket does not exist (NoSuchBucket)",
		},
		"another region": {
			least, func(c *destination.ObjectStorageConfig) { c.Region = "eu-central-1" }, destination.Failed,
			"store a file in bucket reports: the bucket is in another region or at another endpoint (AuthorizationHeaderMalformed)",
		},
	}
	for name, tt := range tests {
		for _, size := range []int{5, 2*block - 1} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, size), func(t *testing.T) {
				if err := s.Allow(t.Context(), bucket, user, tt.actions...); err != nil {
					t.Fatal(err)
				}
				d := s.destination(t, tt.change)
				location := d.Location("a")
				err := d.Store(t.Context(), receive(t, d, content(size)), location, contentType)
				wantCode(t, err, tt.want)
				if tt.want != "" {
					if err.Error() != tt.message {
						t.Errorf("got message %q, want %q", err, tt.message)
					}
					s.holds(t, map[string]int64{})
					return
				}
				s.holds(t, map[string]int64{"daily/a": int64(size)})
				wantCode(t, d.Clean(t.Context(), location), "")
				wantCode(t, d.Remove(t.Context(), location), "")
				s.holds(t, map[string]int64{})
			})
		}
	}
}

func TestLocationsOfOthersAreRefused(t *testing.T) {
	s := startStorage(t)
	d := s.destination(t)
	for name, location := range map[string]string{
		"another bucket":               "s3://other/daily/a",
		"a bucket that begins alike":   "s3://reports2/daily/a",
		"the bucket itself":            "s3://reports/",
		"no bucket":                    "daily/a",
		"a way to another bucket":      "s3://reports/../other/a",
		"a way inside":                 "s3://reports/daily/../a",
		"an empty segment":             "s3://reports/daily//a",
		"a slash first":                "s3://reports//a",
		"a slash last":                 "s3://reports/daily/",
		"a backslash":                  `s3://reports/daily\a`,
		"a line break":                 "s3://reports/daily/a\nb",
		"bytes that are not UTF-8":     "s3://reports/daily/\xff",
		"a key of more than 1024 byte": "s3://reports/" + strings.Repeat("a", 1025),
	} {
		t.Run(name, func(t *testing.T) {
			s.way.set(nil)
			_, _, err := d.Find(t.Context(), location)
			wantCode(t, err, destination.Invalid)
			wantCode(t, d.Remove(t.Context(), location), destination.Invalid)
			wantCode(t, d.Clean(t.Context(), location), destination.Invalid)
			wantCode(t, d.Store(t.Context(), receive(t, d, nil), location, contentType), destination.Invalid)
			if seen := s.way.requests(); len(seen) > 0 {
				t.Errorf("%d requests were made", len(seen))
			}
		})
	}
}

// storeZeros stores a file without holding it.
func storeZeros(t testing.TB, d destination.Destination, size int64, name string) {
	t.Helper()
	p, err := d.Receive()
	if err != nil {
		t.Fatal(err)
	}
	_, copyErr := io.CopyBuffer(struct{ io.Writer }{p}, io.LimitReader(zeros{}, size), make([]byte, 64<<10))
	if err := errors.Join(copyErr, d.Store(t.Context(), p, d.Location(name), contentType), p.Close()); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestMemoryDoesNotGrowWithTheFile asserts what is allocated in all, whether or not it has been freed again.
func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	s := startStorage(t)
	d := s.destination(t, func(c *destination.ObjectStorageConfig) { c.Endpoint = s.Endpoint })
	storeZeros(t, d, 2*block, "warm")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const size = 64 << 20
	storeZeros(t, d, size, "large")
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("storing 64 MiB allocated %d KiB", grown>>10)
	}
	s.holds(t, map[string]int64{"daily/warm": 2 * block, "daily/large": size})
}

// BenchmarkStore stores 2 GiB as the operator does.
func BenchmarkStore(b *testing.B) {
	s := startStorage(b)
	d := s.destination(b, func(c *destination.ObjectStorageConfig) { c.Endpoint = s.Endpoint })
	destination.SetLayout(d, 16<<20, 10_000)
	const size = 2 << 30
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		storeZeros(b, d, size, "large")
		if err := d.Remove(b.Context(), d.Location("large")); err != nil {
			b.Fatal(err)
		}
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	b.ReportMetric(float64(stats.Sys)/(1<<20), "MiB-of-memory")
}
