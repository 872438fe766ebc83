package destination

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

const (
	// standstill is how long a service may take nothing of a request that is being sent.
	standstill = 2 * time.Minute
	// answerTimeout is how long a service may take to answer what it has received whole: to put the parts of a large file together, above all.
	answerTimeout = 10 * time.Minute
)

// NewTransport makes the way to object storages that all destinations of a process share. A connection that stands still is given up, so
// that an upload to a service which takes no more does not wait for ever.
func NewTransport() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // the standard library documents the type
	// Each connection is watched on its own; HTTP/2 would send several uploads over one.
	transport.ForceAttemptHTTP2 = false
	transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	transport.ResponseHeaderTimeout = answerTimeout
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &watched{conn, standstill}, nil
	}
	return transport
}

// watched is a connection on which no write may take longer than a time. What is read needs no watch: the transport reads ahead all the
// time, also while nothing is to come, and has its own time for answers.
type watched struct {
	net.Conn
	patience time.Duration
}

// Write implements net.Conn.
func (w *watched) Write(b []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(w.patience)); err != nil {
		return 0, err
	}
	return w.Conn.Write(b)
}
