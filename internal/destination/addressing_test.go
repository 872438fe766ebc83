package destination_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
)

// recorder answers every request with 404 in the place of a network, and notes what it was.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

// scope is the part of a signature that names the region.
var scope = regexp.MustCompile(`Credential=[^/]+/\d+/([^/]+)/s3/`)

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	region := scope.FindStringSubmatch(request.Header.Get("Authorization"))
	if len(region) != 2 {
		return nil, fmt.Errorf("not signed: %s", request.Header.Get("Authorization"))
	}
	exclusive := strings.Repeat(" exclusively", len(request.Header.Values("If-None-Match")))
	r.seen = append(r.seen, request.Method+" "+request.URL.String()+" "+region[1]+exclusive)
	return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{}, Body: http.NoBody, Request: request}, nil
}

func TestHowBucketsAreAddressed(t *testing.T) {
	tests := map[string]struct{ endpoint, region, bucket, url, signed string }{
		"a service of one's own": {
			"http://minio.storage:9000", "", "reports",
			"http://minio.storage:9000/reports/a", "us-east-1",
		},
		"a slash after the host": {
			"https://minio.storage/", "", "reports",
			"https://minio.storage/reports/a", "us-east-1",
		},
		"the usual port": {
			"https://minio.storage:443", "x", "reports",
			"https://minio.storage/reports/a", "x",
		},
		"an address": {
			"http://[::1]:9000", "", "reports",
			"http://[::1]:9000/reports/a", "us-east-1",
		},
		"Alibaba Cloud": {
			"https://oss-cn-hangzhou.aliyuncs.com", "", "reports",
			"https://reports.oss-cn-hangzhou.aliyuncs.com/a", "us-east-1",
		},
		"Alibaba Cloud with a region": {
			"https://s3.oss-cn-hangzhou-internal.aliyuncs.com", "oss-cn-hangzhou", "reports",
			"https://reports.s3.oss-cn-hangzhou-internal.aliyuncs.com/a", "oss-cn-hangzhou",
		},
		"Huawei Cloud": {
			"https://obs.cn-north-4.myhuaweicloud.com", "cn-north-4", "reports",
			"https://reports.obs.cn-north-4.myhuaweicloud.com/a", "cn-north-4",
		},
		"Amazon": {
			"https://s3.eu-central-1.amazonaws.com", "", "reports",
			"https://reports.s3.eu-central-1.amazonaws.com/a", "eu-central-1 exclusively",
		},
		"Amazon with a region": {
			"https://s3.eu-central-1.amazonaws.com", "eu-central-1", "reports",
			"https://reports.s3.eu-central-1.amazonaws.com/a", "eu-central-1 exclusively",
		},
		"a dot in the bucket's name": {
			"https://s3.eu-central-1.amazonaws.com", "", "re.ports",
			"https://s3.eu-central-1.amazonaws.com/re.ports/a", "eu-central-1 exclusively",
		},
		"a host that only begins alike": {
			"https://oss.aliyuncs.com.test", "", "reports",
			"https://oss.aliyuncs.com.test/reports/a", "us-east-1",
		},
		"a host that only ends the same": {
			"https://notaliyuncs.com", "", "reports",
			"https://notaliyuncs.com/reports/a", "us-east-1",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			seen := &recorder{}
			d, err := destination.NewObjectStorage(destination.ObjectStorageConfig{
				Endpoint: tt.endpoint, Region: tt.region, Bucket: tt.bucket, Transport: seen, Spool: t.TempDir(),
				Keys: destination.Keys{AccessKeyID: "FAKEACCESSKEYID", SecretAccessKey: "fake-secret", SessionToken: "fake-token"},
			})
			if err != nil {
				t.Fatal(err)
			}
			wantCode(t, d.Store(t.Context(), receive(t, d, []byte("x")), d.Location("a"), contentType), destination.Failed)
			want := []string{"HEAD " + tt.url + " " + strings.TrimSuffix(tt.signed, " exclusively"), "PUT " + tt.url + " " + tt.signed}
			if diff := cmp.Diff(want, seen.seen); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBucketsThatAreNotAllowed(t *testing.T) {
	type config = destination.ObjectStorageConfig
	for name, change := range map[string]func(*config){
		"no bucket":                         func(c *config) { c.Bucket = "" },
		"a bucket with a slash":             func(c *config) { c.Bucket = "a/b" },
		"a bucket that is a way out":        func(c *config) { c.Bucket = ".." },
		"a bucket that becomes a host":      func(c *config) { c.Bucket = "evil.test:80" },
		"a bucket with an at sign":          func(c *config) { c.Bucket = "a@evil" },
		"no endpoint":                       func(c *config) { c.Endpoint = "" },
		"an endpoint without a scheme":      func(c *config) { c.Endpoint = "s3.test" },
		"an endpoint of another scheme":     func(c *config) { c.Endpoint = "ftp://s3.test" },
		"an endpoint with a path":           func(c *config) { c.Endpoint = "https://s3.test/reports" },
		"an endpoint with a password":       func(c *config) { c.Endpoint = "https://a:fake-secret@s3.test" },
		"an endpoint with a query":          func(c *config) { c.Endpoint = "https://s3.test?a=b" },
		"a prefix that begins with a slash": func(c *config) { c.Prefix = "/a" },
		"a prefix that is a slash":          func(c *config) { c.Prefix = "/" },
		"a prefix with an empty segment":    func(c *config) { c.Prefix = "a//b" },
		"a prefix with two slashes last":    func(c *config) { c.Prefix = "a//" },
		"a prefix with a way out":           func(c *config) { c.Prefix = "../other/" },
		"a prefix with a dot":               func(c *config) { c.Prefix = "a/./b" },
		"a prefix with a backslash":         func(c *config) { c.Prefix = `a\b` },
		"a prefix with a line break":        func(c *config) { c.Prefix = "a\nb" },
		"a prefix that is too long":         func(c *config) { c.Prefix = strings.Repeat("a", 1025) },
	} {
		t.Run(name, func(t *testing.T) {
			config := config{Endpoint: "https://s3.test", Bucket: "reports", Prefix: "daily/orders-", Spool: t.TempDir()}
			if _, err := destination.NewObjectStorage(config); err != nil {
				t.Fatal(err)
			}
			change(&config)
			_, err := destination.NewObjectStorage(config)
			wantCode(t, err, destination.Invalid)
			if err != nil && strings.Contains(err.Error(), "fake-secret") {
				t.Errorf("the message holds a secret: %v", err)
			}
		})
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	keys := destination.Keys{AccessKeyID: "FAKEACCESSKEYID", SecretAccessKey: "fake-secret", SessionToken: "fake-token"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(format, destination.ObjectStorageConfig{Keys: keys}); strings.Contains(strings.ToLower(text), "fake") {
			t.Errorf("%s prints %s", format, text)
		}
	}
}
