package insight_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/insight"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

var (
	endedEarly  = outcome{cloud.ExportFailed, "the stream ended early"}
	stoodStill  = outcome{cloud.ExportFailed, "the stream stood still"}
	brokenOff   = outcome{cloud.ExportFailed, "the export was broken off"}
	tooLarge    = outcome{cloud.ExportFailed, "the package is larger than the operator takes"}
	noAnswer    = outcome{cloud.RemoteUnavailable, "no answer in time"}
	noOutcome   = outcome{}
	wholeOrNone = func(t testing.TB, err error) outcome {
		t.Helper()
		if err == nil {
			return noOutcome
		}
		return outcomeOf(t, err)
	}
)

func TestAStreamThatIsCutIsNeverWhole(t *testing.T) {
	for _, chunked := range []bool{false, true} {
		for _, bytes := range []int64{0, 1, 4096, 64<<10 - 1, 64 << 10, 64<<10 + 1, size - 1, size} {
			t.Run(fmt.Sprint("after ", bytes, ", chunked ", chunked), func(t *testing.T) {
				server := newCloud(t)
				c := newClient(t, server)
				whole, err := export(t, c, everything)
				must(t, err)
				server.Inject(fakecloud.Fault{Kind: fakecloud.FaultCutStream, Bytes: bytes, Chunked: &chunked})
				got, err := export(t, c, everything)
				want := endedEarly
				if bytes == size && !chunked {
					want = noOutcome
				}
				if diff := cmp.Diff(want, wholeOrNone(t, err)); diff != "" {
					t.Errorf("the error (-want +got):\n%s", diff)
				}
				if want == endedEarly && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("the cause is %v", errors.Unwrap(err))
				}
				if got != whole[:bytes] {
					t.Errorf("got %d bytes", len(got))
				}
			})
		}
	}
}

func TestAStreamOfHTTP2ThatIsCutIsNeverWhole(t *testing.T) {
	for name, length := range map[string]string{"without a length": "", "with a length": "1000000"} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				says(http.StatusOK, "a package that", "Content-Length", length)(w, r)
				if err := http.NewResponseController(w).Flush(); err != nil || r.ProtoMajor != 2 {
					t.Errorf("%s: %v", r.Proto, err)
				}
				panic(http.ErrAbortHandler)
			}))
			server.EnableHTTP2 = true
			server.StartTLS()
			t.Cleanup(server.Close)
			c := newClient(t, nil, func(config *insight.Config) { config.Endpoint, config.HTTPClient = server.URL, server.Client() })
			_, err := export(t, c, everything)
			if diff := cmp.Diff(endedEarly, wholeOrNone(t, err)); diff != "" {
				t.Errorf("the error (-want +got):\n%s", diff)
			}
		})
	}
}

// TestALengthIsCheckedWhateverTheTransport: the client does not rely on net/http for that.
func TestALengthIsCheckedWhateverTheTransport(t *testing.T) {
	_, err := export(t, newLocalClient(t, says(http.StatusOK, "a package that", "Content-Length", "15")), everything)
	if diff := cmp.Diff(endedEarly, wholeOrNone(t, err)); diff != "" {
		t.Errorf("the error (-want +got):\n%s", diff)
	}
}

// TestABodyThatEndsWithItsConnection documents what cannot be told.
func TestABodyThatEndsWithItsConnection(t *testing.T) {
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, err = io.WriteString(connection, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf a pack")
		if err := errors.Join(err, connection.Close()); err != nil {
			t.Error(err)
		}
	}))
	c := newClient(t, nil, func(config *insight.Config) { config.Endpoint = url })
	if got, err := export(t, c, everything); got != "half a pack" || err != nil {
		t.Errorf("got %q and %v", got, err)
	}
}

// TestPaces has a clock of its own.
func TestPaces(t *testing.T) {
	stall := func(bytes int64, latency time.Duration) fakecloud.Fault {
		return fakecloud.Fault{Kind: fakecloud.FaultStallStream, Bytes: bytes, Latency: latency}
	}
	tests := map[string]struct {
		fault fakecloud.Fault
		want  outcome
		bytes int
		took  time.Duration
	}{
		"slow, but never still":           {fakecloud.Fault{Kind: fakecloud.FaultSlowStream, BytesPerSecond: 100}, noOutcome, size, size * 10 * time.Millisecond},
		"packing takes long":              {fakecloud.Fault{Kind: fakecloud.FaultLatency, Latency: 29 * time.Minute}, noOutcome, size, 29 * time.Minute},
		"packing takes too long":          {fakecloud.Fault{Kind: fakecloud.FaultLatency, Latency: 31 * time.Minute}, noAnswer, 0, 30 * time.Minute},
		"the first byte takes long":       {stall(0, 29*time.Minute), noOutcome, size, 29 * time.Minute},
		"the first byte takes too long":   {stall(0, 0), noAnswer, 0, 30 * time.Minute},
		"it stops early, and goes on":     {stall(10, time.Minute), noOutcome, size, time.Minute},
		"it stops early":                  {stall(10, 0), stoodStill, 10, 2 * time.Minute},
		"it stops late, and goes on":      {stall(200_000, time.Minute), noOutcome, size, time.Minute},
		"it stops late":                   {stall(200_000, 0), stoodStill, 200_000, 2 * time.Minute},
		"it stops at its end":             {stall(size, 0), stoodStill, size, 2 * time.Minute},
		"it stops for longer than it may": {stall(200_000, 3*time.Minute), stoodStill, 200_000, 2 * time.Minute},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newCloud(t)
				chunked := true
				tc.fault.Chunked = &chunked
				server.Inject(tc.fault)
				start := time.Now()
				got, err := export(t, newLocalClient(t, server), everything)
				if diff := cmp.Diff(tc.want, wholeOrNone(t, err)); diff != "" {
					t.Errorf("the error (-want +got):\n%s", diff)
				}
				if took := time.Since(start); len(got) != tc.bytes || took != tc.took {
					t.Errorf("got %d bytes in %s, want %d in %s", len(got), took, tc.bytes, tc.took)
				}
				if errors.Is(err, context.Canceled) {
					t.Errorf("it looks as if the caller had given up: %v", errors.Unwrap(err))
				}
			})
		})
	}
}

func TestAReaderMayTakeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream, err := newLocalClient(t, newCloud(t)).Export(t.Context(), everything)
		must(t, err)
		for range 3 {
			_, err := io.CopyN(io.Discard, stream, 70_000)
			must(t, err)
			<-time.After(time.Hour)
		}
		_, err = readAll(t, stream)
		must(t, err)
	})
}

func TestTheEndOfAContextEndsAStream(t *testing.T) {
	tests := map[string]struct {
		limit func(context.Context) (context.Context, context.CancelFunc)
		want  error
	}{
		"a cancellation":               {context.WithCancel, context.Canceled},
		"a cancellation with a reason": {withReason, context.Canceled},
		"a deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, context.DeadlineExceeded},
	}
	for name, tc := range tests {
		for _, bytes := range []int64{0, 10, 100_000} {
			t.Run(fmt.Sprint(name, " after ", bytes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := newCloud(t)
					server.Inject(fakecloud.Fault{Kind: fakecloud.FaultStallStream, Bytes: bytes})
					ctx, cancel := tc.limit(t.Context())
					time.AfterFunc(time.Minute, cancel)
					stream, err := newLocalClient(t, server).Export(ctx, everything)
					if err == nil {
						_, err = readAll(t, stream)
					}
					if diff := cmp.Diff(brokenOff, wholeOrNone(t, err)); diff != "" || !errors.Is(err, tc.want) {
						t.Errorf("the cause is %v, the error (-want +got):\n%s", errors.Unwrap(err), diff)
					}
				})
			})
		}
	}
}

func withReason(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, func() { cancel(errors.New("the operator stops")) }
}

func TestACancellationBeforeTheAnswer(t *testing.T) {
	server := newCloud(t)
	server.Inject(fakecloud.Fault{Kind: fakecloud.FaultTimeout})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newClient(t, server).Export(ctx, everything)
	if diff := cmp.Diff(noAnswer, outcomeOf(t, err)); diff != "" || !errors.Is(err, context.Canceled) {
		t.Errorf("the cause is %v, the error (-want +got):\n%s", errors.Unwrap(err), diff)
	}
}

func TestACancellationInTheMiddleOverAConnection(t *testing.T) {
	server := newCloud(t)
	server.Inject(fakecloud.Fault{Kind: fakecloud.FaultStallStream, Bytes: 100_000})
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := newClient(t, server).Export(ctx, everything)
	must(t, err)
	_, err = io.CopyN(io.Discard, stream, 100_000)
	must(t, err)
	cancel()
	_, err = readAll(t, stream)
	if diff := cmp.Diff(brokenOff, wholeOrNone(t, err)); diff != "" || !errors.Is(err, context.Canceled) {
		t.Errorf("the cause is %v, the error (-want +got):\n%s", errors.Unwrap(err), diff)
	}
}

func TestCloseEndsARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newCloud(t)
		server.Inject(fakecloud.Fault{Kind: fakecloud.FaultStallStream, Bytes: 100_000})
		stream, err := newLocalClient(t, server).Export(t.Context(), everything)
		must(t, err)
		time.AfterFunc(time.Minute, func() { must(t, stream.Close()) })
		_, err = readAll(t, stream)
		if diff := cmp.Diff(outcome{cloud.ExportFailed, "the stream was closed"}, wholeOrNone(t, err)); diff != "" || errors.Is(err, context.Canceled) {
			t.Errorf("the error (-want +got):\n%s", diff)
		}
	})
}

func TestAPackageIsAsLargeAsItMayBe(t *testing.T) {
	tests := map[string]struct {
		limit int64
		want  outcome
	}{
		"without a limit":          {0, noOutcome},
		"far below the limit":      {1 << 40, noOutcome},
		"one below the limit":      {size + 1, noOutcome},
		"exactly the limit":        {size, noOutcome},
		"one above the limit":      {size - 1, tooLarge},
		"above what is peeked at":  {64 << 10, tooLarge},
		"within what is peeked at": {10, tooLarge},
		"a byte":                   {1, tooLarge},
	}
	for name, tc := range tests {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", chunked ", chunked), func(t *testing.T) {
				server := newCloud(t)
				server.SetInsightStyle(fakecloud.InsightStyle{Chunked: chunked})
				request := everything
				request.MaxBytes = tc.limit
				got, err := export(t, newClient(t, server), request)
				if diff := cmp.Diff(tc.want, wholeOrNone(t, err)); diff != "" {
					t.Errorf("the error (-want +got):\n%s", diff)
				}
				want := size
				if tc.want == tooLarge {
					want = int(tc.limit)
					if !chunked {
						want = 0 // the service said so
					}
				}
				if len(got) != want {
					t.Errorf("got %d bytes, want %d", len(got), want)
				}
			})
		}
	}
}

func TestALimitDoesNotHideARefusal(t *testing.T) {
	server := newCloud(t)
	request := insight.Request{WorkspaceID: "gone", PackageName: "Weekly", Resources: everything.Resources, MaxBytes: 3}
	if _, err := newClient(t, server).Export(t.Context(), request); cloud.CodeOf(err) != cloud.WorkspaceNotFound {
		t.Errorf("got %v", err)
	}
}

// TestALargePackageTakesLittleMemory counts what is allocated on both sides of the connection.
func TestALargePackageTakesLittleMemory(t *testing.T) {
	const large = 64 << 20
	server := newCloud(t)
	must(t, server.SetInsightSize(project, "ws1", "dashboard", "d1", large-4096))
	c := newClient(t, server)
	want, err := server.InsightSum(fakecloud.InsightExport{Project: project, Workspace: "ws1"})
	must(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stream, err := c.Export(t.Context(), everything)
	must(t, err)
	sum := sha256.New()
	n, err := io.Copy(sum, stream)
	must(t, err, stream.Close())
	runtime.ReadMemStats(&after)
	if diff := cmp.Diff(want, fakecloud.InsightSum{Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}); diff != "" || n != large {
		t.Errorf("the package (-want +got):\n%s", diff)
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > large/16 {
		t.Errorf("%d bytes were allocated for a package of %d", allocated, n)
	}
}

func TestWholeStreamsShareAConnection(t *testing.T) {
	addresses := map[string]bool{}
	server := newCloud(t)
	c := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addresses[r.RemoteAddr] = true
		server.ServeHTTP(w, r)
	}))
	for range 3 {
		_, err := export(t, c, everything)
		must(t, err)
	}
	if len(addresses) != 1 {
		t.Errorf("%d connections were made", len(addresses))
	}
}
