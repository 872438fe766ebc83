package testbed

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// s3StartTimeout is how long the S3 server is given to answer.
	s3StartTimeout = 30 * time.Second
	s3Region       = "us-east-1"
	s3HealthPath   = "/health"
)

// S3 is a real S3 server as a process of its own, on a port of the loopback interface.
type S3 struct {
	// Endpoint is its base URL, which stays the same when it is started again.
	Endpoint string
	// AccessKey and SecretKey are those of its administrator.
	AccessKey, SecretKey string

	binary, dir, address string
	command              *exec.Cmd
	exited               chan struct{}
}

// EnsureS3Server returns the path of the S3 server's program, building it first if need be. root is the repository's root.
func EnsureS3Server(ctx context.Context, root string) (string, error) {
	command := exec.CommandContext(ctx, filepath.Join(root, "hack/s3server/ensure.sh"))
	var progress bytes.Buffer
	command.Stderr = &progress
	path, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("prepare the S3 server: %w\n%s", err, progress.Bytes())
	}
	return strings.TrimSpace(string(path)), nil
}

// NewS3 makes an S3 server that keeps what it is given below dir. It does not run yet.
func NewS3(binary, dir string) (*S3, error) {
	for _, name := range []string{"data", "attributes", "users"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return nil, err
		}
	}
	// The port is taken now, so that it is known before the server runs and is the same when it runs again.
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait for anything
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	return &S3{
		Endpoint: "http://" + address, AccessKey: "FAKEACCESSKEYID", SecretKey: "fake-secret-that-opens-nothing",
		binary: binary, dir: dir, address: address,
	}, listener.Close()
}

// Start runs the server and waits until it answers.
func (s *S3) Start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	// Not bound to the context: the server is ended by Stop, and waited for. Attributes are kept beside the files, for which every file
	// system will do.
	s.command = exec.Command(s.binary, "--port", s.address, "--region", s3Region, "--health", s3HealthPath, //nolint:noctx // see above
		"--iam-dir", filepath.Join(s.dir, "users"), "--iam-cache-disable",
		"posix", "--sidecar", filepath.Join(s.dir, "attributes"), filepath.Join(s.dir, "data"))
	s.command.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+s.AccessKey, "ROOT_SECRET_ACCESS_KEY="+s.SecretKey)
	s.command.Stdout, s.command.Stderr = log, log
	if err := errors.Join(s.command.Start(), log.Close()); err != nil {
		s.command = nil
		return err
	}
	s.exited = make(chan struct{})
	go func(command *exec.Cmd, exited chan struct{}) {
		defer close(exited)
		_ = command.Wait() //nolint:errcheck // how it ended does not matter
	}(s.command, s.exited)
	if err := Until(ctx, s3StartTimeout, func() (bool, error) { return s.answers(ctx) }); err != nil {
		s.Stop()
		return fmt.Errorf("start the S3 server: %w\n%s", err, s.Output())
	}
	return nil
}

// answers tells whether the server answers; it fails if the server has ended.
func (s *S3) answers(ctx context.Context) (bool, error) {
	select {
	case <-s.exited:
		return false, errors.New("it has ended")
	default:
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint+s3HealthPath, http.NoBody)
	if err != nil {
		return false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, nil //nolint:nilerr // not yet
	}
	return response.StatusCode == http.StatusOK, response.Body.Close()
}

// Stop ends the server and waits for it. What it holds stays. A server that does not run is left alone.
func (s *S3) Stop() {
	if s.command == nil {
		return
	}
	_ = s.command.Process.Signal(syscall.SIGTERM)                                //nolint:errcheck // it may have ended by itself
	late := time.AfterFunc(stopTimeout, func() { _ = s.command.Process.Kill() }) //nolint:errcheck // it may have ended
	defer late.Stop()
	<-s.exited
	s.command = nil
}

// Output is what the server has printed so far.
func (s *S3) Output() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Client makes a client with the keys of a user; with empty ones, with the administrator's.
func (s *S3) Client(accessKey, secretKey string) (*minio.Core, error) {
	return minio.NewCore(s.address, &minio.Options{
		Creds: credentials.NewStaticV4(cmp.Or(accessKey, s.AccessKey), cmp.Or(secretKey, s.SecretKey), ""), Region: s3Region, MaxRetries: 1,
	})
}

// MakeBucket makes an empty bucket of the administrator's.
func (s *S3) MakeBucket(ctx context.Context, bucket string) error {
	client, err := s.Client("", "")
	if err != nil {
		return err
	}
	return client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: s3Region})
}

// AddUser makes a user who may do nothing until a bucket's policy lets them.
func (s *S3) AddUser(ctx context.Context, accessKey, secretKey string) error {
	command := exec.CommandContext(ctx, s.binary, "admin", "--access", s.AccessKey, "--secret", s.SecretKey, "--region", s3Region,
		"--endpoint-url", s.Endpoint, "create-user", "--access", accessKey, "--secret", secretKey, "--role", "user")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("add a user to the S3 server: %w\n%s", err, output)
	}
	return nil
}

// Allow replaces the policy of a bucket by one that lets a user make these calls, such as s3:PutObject, and nobody make any other.
func (s *S3) Allow(ctx context.Context, bucket, accessKey string, actions ...string) error {
	client, err := s.Client("", "")
	if err != nil {
		return err
	}
	quoted := make([]string, 0, len(actions))
	for _, action := range actions {
		quoted = append(quoted, fmt.Sprintf("%q", action))
	}
	return client.PutBucketPolicy(ctx, bucket, fmt.Sprintf(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":[%q]},"Action":[%s],"Resource":[%q,%q]}]}`,
		accessKey, strings.Join(quoted, ","), "arn:aws:s3:::"+bucket, "arn:aws:s3:::"+bucket+"/*"))
}

// Objects returns the sizes of a bucket's objects by their keys.
func (s *S3) Objects(ctx context.Context, bucket string) (map[string]int64, error) {
	client, err := s.Client("", "")
	if err != nil {
		return nil, err
	}
	objects := map[string]int64{}
	for object := range client.Client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			return nil, object.Err
		}
		objects[object.Key] = object.Size
	}
	return objects, nil
}

// Stat returns an object's content type and other attributes.
func (s *S3) Stat(ctx context.Context, bucket, key string) (minio.ObjectInfo, error) {
	client, err := s.Client("", "")
	if err != nil {
		return minio.ObjectInfo{}, err
	}
	return client.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
}

// Read returns what an object holds.
func (s *S3) Read(ctx context.Context, bucket, key string) ([]byte, error) {
	client, err := s.Client("", "")
	if err != nil {
		return nil, err
	}
	object, _, _, err := client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(object)
	return content, errors.Join(err, object.Close())
}

// Open begins to read an object, whose reader the caller closes.
func (s *S3) Open(ctx context.Context, bucket, key string) (io.ReadCloser, error) {
	client, err := s.Client("", "")
	if err != nil {
		return nil, err
	}
	object, _, _, err := client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	return object, err
}

// Uploads returns how many multipart uploads are under way in a bucket, by their keys.
func (s *S3) Uploads(ctx context.Context, bucket string) (map[string]int, error) {
	client, err := s.Client("", "")
	if err != nil {
		return nil, err
	}
	uploads := map[string]int{}
	for upload := range client.ListIncompleteUploads(ctx, bucket, "", true) {
		if upload.Err != nil {
			return nil, upload.Err
		}
		uploads[upload.Key]++
	}
	return uploads, nil
}
