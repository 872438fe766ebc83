package destination

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// Keys are what requests are signed with.
type Keys struct {
	AccessKeyID, SecretAccessKey string
	// SessionToken is empty for keys that do not end.
	SessionToken string
}

// Format implements fmt.Formatter: whoever prints keys sees none.
func (Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "…") } //nolint:errcheck // there is nobody to tell

// ObjectStorageConfig says which bucket files are stored in, and how it is reached.
type ObjectStorageConfig struct {
	// Endpoint is the base URL of the service, without a path.
	Endpoint string
	// Region is what requests are signed for; empty means the one that an endpoint of Amazon's names, or else us-east-1. It is never
	// looked up, for which not all keys have the permission.
	Region string
	Bucket string
	// Prefix is put before the names of files as it is. It does not begin with a slash, and has no empty, "." or ".." segments.
	Prefix string
	Keys   Keys
	// Spool is the directory for files that are being received; empty means os.TempDir().
	Spool string
	// Transport is shared by all destinations of the process; nil means http.DefaultTransport.
	Transport http.RoundTripper
}

const (
	defaultRegion = "us-east-1"
	// blockSize is how much is sent at once: all of a small file, or a part of a larger one.
	blockSize = 16 << 20
	// maxParts is how many parts a multipart upload may have.
	maxParts = 10_000
	// maxKey is how many bytes a key may have.
	maxKey = 1024
	// tidyTimeout bounds what is done after the caller's time may be over.
	tidyTimeout = 10 * time.Second
	spoolPlace  = "the operator's own temporary directory"
)

// layout is how files are cut into parts.
type layout struct{ blockSize, maxParts int64 }

// partSize is that of the parts of a file.
func (l layout) partSize(size int64) int64 { return max(l.blockSize, (size+l.maxParts-1)/l.maxParts) }

// objectStorage is a bucket. What it needs to be permitted is PutObject, GetObject, DeleteObject, AbortMultipartUpload and
// ListBucketMultipartUploads.
type objectStorage struct {
	bucket, prefix, spool string
	client                *minio.Core
	// exclusive tells that the service knows If-None-Match when an object is put. Others refuse what they do not know.
	exclusive bool
	layout    layout
}

// bucketPattern is what may stand in a host name as well as in a path.
var bucketPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]|\.[a-z0-9]){1,61}[a-z0-9]$`)

// NewObjectStorage makes a Destination of a bucket. It makes no call, and fails only with Invalid.
func NewObjectStorage(config ObjectStorageConfig) (Destination, error) {
	op := "use bucket " + config.Bucket
	if !bucketPattern.MatchString(config.Bucket) {
		return nil, invalid("use a bucket", "the bucket's name is not allowed")
	}
	if fault := prefixFault(config.Prefix); fault != "" {
		return nil, invalid(op, "a part of the prefix %s", fault)
	}
	endpoint, err := url.Parse(config.Endpoint)
	if err != nil || endpoint.Host == "" || endpoint.User != nil || strings.Trim(endpoint.Path, "/")+endpoint.RawQuery+endpoint.Fragment != "" ||
		endpoint.Scheme != "http" && endpoint.Scheme != "https" {
		return nil, invalid(op, "the endpoint is not a URL of the form https://host")
	}
	lookup := minio.BucketLookupPath
	// Certificates are for one label before the service's name.
	if inHostName(endpoint.Hostname()) && !strings.Contains(config.Bucket, ".") {
		lookup = minio.BucketLookupDNS
	}
	client, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(config.Keys.AccessKeyID, config.Keys.SecretAccessKey, config.Keys.SessionToken),
		Secure: endpoint.Scheme == "https", Transport: expecting{cmp.Or(config.Transport, http.DefaultTransport)},
		Region:       cmp.Or(config.Region, s3utils.GetRegionFromURL(*endpoint), defaultRegion),
		BucketLookup: lookup, MaxRetries: 1,
	})
	if err != nil {
		return nil, &Error{Code: Invalid, Op: op, Message: "the endpoint is not allowed", Err: err}
	}
	client.SetS3EnableDualstack(false) // the library would go to another host of Amazon's
	return &objectStorage{
		bucket: config.Bucket, prefix: config.Prefix, spool: config.Spool, client: client,
		exclusive: s3utils.IsAmazonEndpoint(*endpoint), layout: layout{blockSize, maxParts},
	}, nil
}

// inHostName tells whether a service wants the bucket in the host name: some answer nothing else.
func inHostName(host string) bool {
	for _, domain := range []string{".aliyuncs.com", ".myhuaweicloud.com", ".amazonaws.com", ".amazonaws.com.cn"} {
		if strings.HasSuffix(strings.ToLower(host), domain) {
			return true
		}
	}
	return false
}

// prefixFault says why something may not be before the names of files. Its last segment goes on with the name.
func prefixFault(prefix string) string {
	if prefix == "" {
		return ""
	}
	return keyFault(strings.TrimSuffix(prefix, "/"))
}

// keyFault says why something may not be a key: dots and empty segments can lead to another bucket on the way.
func keyFault(key string) string {
	if len(key) > maxKey {
		return "is too long"
	}
	for segment := range strings.SplitSeq(key, "/") {
		if fault := segmentFault(segment); fault != "" {
			return fault
		}
	}
	return ""
}

// continueFrom is from which size on a request asks whether its body is wanted.
const continueFrom = 1 << 20

// expecting has the service look at the head of a large request before the body is sent. A service that refuses would otherwise close the
// connection while it is being written to, and its answer could be lost.
type expecting struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (e expecting) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.ContentLength >= continueFrom {
		request = request.Clone(request.Context())
		request.Header.Set("Expect", "100-continue")
	}
	return e.RoundTripper.RoundTrip(request)
}

func (o *objectStorage) op(verb string) string { return verb + " bucket " + o.bucket }

// Location implements Destination.
func (o *objectStorage) Location(name string) string {
	return "s3://" + o.bucket + "/" + o.prefix + name
}

// key takes a location apart, which a user may have written.
func (o *objectStorage) key(op, location string) (string, error) {
	key, ours := strings.CutPrefix(location, "s3://"+o.bucket+"/")
	if !ours {
		return "", invalid(op, "the location is not in the bucket")
	}
	if fault := keyFault(key); fault != "" {
		return "", invalid(op, "a part of the location %s", fault)
	}
	return key, nil
}

// Receive implements Destination. The file has no name, so that nothing of it outlasts the process.
func (o *objectStorage) Receive() (*Partial, error) {
	op := o.op("receive a file for")
	file, err := os.CreateTemp(o.spool, "export-*")
	if err != nil {
		return nil, spoolError(op, err)
	}
	if err := os.Remove(file.Name()); err != nil {
		_ = file.Close() //nolint:errcheck // the first failure is the one to report
		return nil, spoolError(op, err)
	}
	sum, blocks := sha256.New(), newBlocks(o.layout.blockSize)
	return &Partial{owner: o, file: file, sum: sum, sink: io.MultiWriter(sum, blocks), blocks: blocks, op: op, place: spoolPlace}, nil
}

// spoolError classifies a failure of the temporary directory, which is not the destination: nothing that a user can set permits it.
func spoolError(op string, err error) *Error {
	out := localError(op, spoolPlace, err)
	if out.Code == Denied {
		out.Code = Failed
	}
	return out
}

// Find implements Destination.
func (o *objectStorage) Find(ctx context.Context, location string) (size int64, found bool, err error) {
	op := o.op("find a file in")
	key, err := o.key(op, location)
	if err != nil {
		return 0, false, err
	}
	return o.find(ctx, op, key)
}

func (o *objectStorage) find(ctx context.Context, op, key string) (size int64, found bool, err error) {
	info, err := o.client.StatObject(ctx, o.bucket, key, minio.StatObjectOptions{})
	// The answer has no body, so most services do not tell a bucket that is not there from a file that is not.
	if remote(err).Code == "NoSuchKey" {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, remoteError(ctx, op, err)
	}
	return info.Size, true, nil
}

// Remove implements Destination. The API does not tell whether the file was there.
func (o *objectStorage) Remove(ctx context.Context, location string) error {
	op := o.op("remove a file from")
	key, err := o.key(op, location)
	if err != nil {
		return err
	}
	err = o.client.RemoveObject(ctx, o.bucket, key, minio.RemoveObjectOptions{})
	if err == nil || remote(err).Code == "NoSuchKey" {
		return nil
	}
	return remoteError(ctx, op, err)
}

// Clean implements Destination.
func (o *objectStorage) Clean(ctx context.Context, location string) error {
	op := o.op("clean")
	key, err := o.key(op, location)
	if err != nil {
		return err
	}
	return o.abortAll(ctx, op, key)
}

// abortAll aborts all multipart uploads of a key.
func (o *objectStorage) abortAll(ctx context.Context, op, key string) error {
	var keyMarker, idMarker string
	for {
		page, err := o.client.ListMultipartUploads(ctx, o.bucket, key, keyMarker, idMarker, "", 0)
		if err != nil {
			return remoteError(ctx, op, err)
		}
		for _, pending := range page.Uploads {
			if pending.Key != key {
				continue // of another file, whose name only begins the same
			}
			if err := o.client.AbortMultipartUpload(ctx, o.bucket, key, pending.UploadID); err != nil && remote(err).Code != "NoSuchUpload" {
				return remoteError(ctx, op, err)
			}
		}
		// Keys come in order, and the key itself before all that begin with it. A list that does not go on would never end.
		if !page.IsTruncated || page.NextKeyMarker != key || page.NextUploadIDMarker == idMarker {
			return nil
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}

// tidy is the context of what has to be done even if the caller has given up.
func tidy(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
}

// verify makes sure that what is stored is what was received. Encrypting services, for one, have entity tags of their own: there, only
// reading tells.
func (o *objectStorage) verify(ctx context.Context, op, key string, p *Partial) error {
	body, _, _, err := o.client.GetObject(ctx, o.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return remoteError(ctx, op, err)
	}
	defer body.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return remoteError(ctx, op, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != p.Sum() {
		return &Error{Code: Corrupt, Op: op, Message: "what the bucket holds is not what was sent"}
	}
	return nil
}
