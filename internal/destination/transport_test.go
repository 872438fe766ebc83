package destination

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestAConnectionThatTakesNoMoreIsGivenUp.
func TestAConnectionThatTakesNoMoreIsGivenUp(t *testing.T) {
	ours, theirs := net.Pipe()               // which holds nothing: each write waits for a read
	t.Cleanup(func() { _ = theirs.Close() }) //nolint:errcheck // a pipe
	conn := &watched{ours, 20 * time.Millisecond}
	t.Cleanup(func() { _ = conn.Close() }) //nolint:errcheck // a pipe
	go func() {
		_, _ = theirs.Read(make([]byte, 5)) //nolint:errcheck // the write fails if this does
	}()
	if n, err := conn.Write([]byte("first")); n != 5 || err != nil {
		t.Errorf("while the other end reads: %d bytes, error %v", n, err)
	}
	if _, err := conn.Write([]byte("second")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("while it does not: error %v", err)
	}
}
