package controllers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
)

func putObject(t *testing.T, core *minio.Core, key string) error {
	t.Helper()
	_, err := core.Client.PutObject(t.Context(), bucket, key, strings.NewReader("not ours"), 8, minio.PutObjectOptions{})
	return err
}

func writeFile(name string) error {
	return firstError(os.MkdirAll(filepath.Dir(name), 0o750), os.WriteFile(name, []byte("of another object"), 0o600))
}
