package destination_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
)

// interference is what happens on the way to the server.
type interference = func(w http.ResponseWriter, r *http.Request, next http.Handler)

// The calls that storing a file makes.
func isPut(r *http.Request) bool {
	return r.Method == http.MethodPut && !r.URL.Query().Has("partNumber")
}
func isSecondPart(r *http.Request) bool { return r.URL.Query().Get("partNumber") == "2" }
func isBegin(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploads")
}
func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}
func isRead(r *http.Request) bool { return r.Method == http.MethodGet && !r.URL.Query().Has("uploads") }
func isHead(r *http.Request) bool { return r.Method == http.MethodHead }

// on interferes with some requests and passes on the others.
func on(which func(*http.Request) bool, do interference) interference {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if which(r) {
			do(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// both interferes in two ways.
func both(a, b interference) interference {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		a(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b(w, r, next) }))
	}
}

// answer answers in the server's place.
func answer(status int, code string) interference {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body) //nolint:errcheck // the other side may break off
		w.WriteHeader(status)
		if code != "" {
			must(fmt.Fprintf(w, "<Error><Code>%s</Code><Message>fake-secret 10.1.2.3</Message><RequestId>1</RequestId></Error>", code))
		}
	}
}

// must is for writing to a client that waits.
func must(_ int, err error) {
	if err != nil {
		panic(err)
	}
}

// cut breaks the connection when so much of the body has come.
func cut(after int64) interference {
	return func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.CopyN(io.Discard, r.Body, after) //nolint:errcheck // the body may be shorter
		panic(http.ErrAbortHandler)
	}
}

// cutWhileSending does so while the server is reading.
func cutWhileSending(w http.ResponseWriter, r *http.Request, next http.Handler) {
	r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, 1000), broken{}))
	next.ServeHTTP(w, r)
	panic(http.ErrAbortHandler)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken") }

// flipBody changes one byte of what is sent.
func flipBody(w http.ResponseWriter, r *http.Request, next http.Handler) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	body[len(body)/2] ^= 1
	r.Body = io.NopCloser(bytes.NewReader(body))
	next.ServeHTTP(w, r)
}

// rewrite changes the answer of the server.
func rewrite(change func(*httptest.ResponseRecorder)) interference {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		recorder := httptest.NewRecorder()
		next.ServeHTTP(recorder, r)
		change(recorder)
		maps.Copy(w.Header(), recorder.Header())
		w.WriteHeader(recorder.Code)
		must(w.Write(recorder.Body.Bytes()))
	}
}

// loseAnswer has the server do what it is asked to, and nobody know.
var loseAnswer = rewrite(func(*httptest.ResponseRecorder) { panic(http.ErrAbortHandler) })

// otherTag is the answer of a server whose entity tags are of another kind.
var otherTag = rewrite(func(r *httptest.ResponseRecorder) {
	tag := r.Header().Get("ETag")
	if tag != "" {
		r.Header().Set("ETag", `"an-encrypting-server's"`)
	}
	if start, rest, found := strings.Cut(r.Body.String(), "<ETag>"); found {
		_, end, _ := strings.Cut(rest, "</ETag>")
		r.Body = bytes.NewBufferString(start + "<ETag>other</ETag>" + end)
		r.Header().Del("Content-Length")
	}
})

// flipAnswer is the answer of a server that has spoiled what it holds.
var flipAnswer = rewrite(func(r *httptest.ResponseRecorder) { r.Body.Bytes()[r.Body.Len()/2] ^= 1 })

const (
	small = 3 << 20
	large = 2*block + 1000
)

func TestStoringMeetsFaults(t *testing.T) {
	s := startStorage(t)
	const (
		begin   = "store a file in bucket reports: "
		broken  = begin + "the service cannot be reached, or has broken off"
		altered = begin + "what has arrived is not what was sent (XAmzContentSHA256Mismatch)"
		spoiled = begin + "what the bucket holds is not what was sent"
		denied  = begin + "the credentials are not permitted to do this (AccessDenied)"
		busy    = begin + "the service cannot serve this now "
		noRoom  = begin + "the service has no room for the file "
	)
	tests := map[string]struct {
		size      int
		interfere interference
		want      destination.Code
		message   string
	}{
		"cut before anything is sent":           {small, on(isHead, cut(0)), destination.Unavailable, broken},
		"cut while a small file is sent":        {small, on(isPut, cut(100_000)), destination.Unavailable, broken},
		"cut while the server reads":            {small, on(isPut, cutWhileSending), destination.Unavailable, broken},
		"cut while a part is sent":              {large, on(isSecondPart, cut(100_000)), destination.Unavailable, broken},
		"cut while the server reads a part":     {large, on(isSecondPart, cutWhileSending), destination.Unavailable, broken},
		"cut before the parts are put together": {large, on(isComplete, cut(0)), destination.Unavailable, broken},
		"the beginning is not answered":         {large, on(isBegin, loseAnswer), destination.Unavailable, broken},
		"the storing is not answered":           {small, on(isPut, loseAnswer), "", ""},
		"the putting together is not answered":  {large, on(isComplete, loseAnswer), "", ""},
		"a small file changes on the way":       {small, on(isPut, flipBody), destination.Corrupt, altered},
		"a part changes on the way":             {large, on(isSecondPart, flipBody), destination.Corrupt, altered},
		"other entity tags, small":              {small, on(isPut, otherTag), "", ""},
		"other entity tags, large":              {large, on(isComplete, otherTag), "", ""},
		"spoiled by the server, small":          {small, both(on(isPut, otherTag), on(isRead, flipAnswer)), destination.Corrupt, spoiled},
		"spoiled by the server, large":          {large, both(on(isComplete, otherTag), on(isRead, flipAnswer)), destination.Corrupt, spoiled},
		"other entity tags and no reading":      {small, both(on(isPut, otherTag), on(isRead, answer(403, "AccessDenied"))), destination.Denied, denied},
		"other entity tags and half a reading":  {small, both(on(isPut, otherTag), on(isRead, halfAnswer)), destination.Unavailable, broken},
		"a part is refused":                     {large, on(isSecondPart, answer(403, "AccessDenied")), destination.Denied, denied},
		"no room for a part": {
			large, on(isSecondPart, answer(507, "XMinioStorageFull")), destination.Full, noRoom + "(XMinioStorageFull)",
		},
		"no room, without words":       {small, on(isPut, answer(507, "")), destination.Full, noRoom + "(HTTP status 507)"},
		"no time for a part":           {large, on(isSecondPart, answer(503, "SlowDown")), destination.Unavailable, busy + "(SlowDown)"},
		"no time to look":              {small, on(isHead, answer(503, "")), destination.Unavailable, busy + "(HTTP status 503)"},
		"no permission to look":        {small, on(isHead, answer(403, "")), "", ""},
		"a failure inside a success":   {large, on(isComplete, answer(200, "InternalError")), destination.Unavailable, busy + "(InternalError)"},
		"an answer that means nothing": {large, on(isBegin, answer(200, "")), destination.Unavailable, broken},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := s.destination(t)
			data := content(tt.size)
			p := receive(t, d, data)
			location := d.Location("a")
			s.way.set(tt.interfere)
			err := d.Store(t.Context(), p, location, contentType)
			s.way.set(nil)
			wantCode(t, err, tt.want)
			if tt.want != "" {
				if err == nil || err.Error() != tt.message {
					t.Errorf("got message %q, want %q", err, tt.message)
				}
				s.holds(t, map[string]int64{})
				// The same file can be stored after all.
				wantCode(t, d.Store(t.Context(), p, location, contentType), "")
			}
			s.holds(t, map[string]int64{"daily/a": int64(tt.size)})
			if got, err := s.Read(t.Context(), bucket, "daily/a"); err != nil || !bytes.Equal(got, data) {
				t.Errorf("the object holds %d other bytes, error %v", len(got), err)
			}
			wantCode(t, d.Remove(t.Context(), location), "")
		})
	}
}

func halfAnswer(w http.ResponseWriter, r *http.Request, next http.Handler) {
	recorder := httptest.NewRecorder()
	next.ServeHTTP(recorder, r)
	maps.Copy(w.Header(), recorder.Header())
	must(w.Write(recorder.Body.Bytes()[:recorder.Body.Len()/2]))
	panic(http.ErrAbortHandler)
}

func TestStoringIsCancelled(t *testing.T) {
	s := startStorage(t)
	tests := map[string]struct {
		size  int
		which func(*http.Request) bool
		// answered tells that the server has done what the request asks for by then.
		answered bool
	}{
		"before anything is sent":           {small, isHead, false},
		"while a small file is sent":        {small, isPut, false},
		"when a small file has been stored": {small, isPut, true},
		"before an upload is begun":         {large, isBegin, false},
		"when an upload has been begun":     {large, isBegin, true},
		"while a part is sent":              {large, isSecondPart, false},
		"when a part has been sent":         {large, isSecondPart, true},
		"before the parts are put together": {large, isComplete, false},
		"when the parts are put together":   {large, isComplete, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := s.destination(t)
			p := receive(t, d, content(tt.size))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var once atomic.Bool
			s.way.set(on(func(r *http.Request) bool { return tt.which(r) && once.CompareAndSwap(false, true) },
				func(_ http.ResponseWriter, r *http.Request, next http.Handler) {
					if tt.answered {
						next.ServeHTTP(httptest.NewRecorder(), r)
					}
					cancel()
					panic(http.ErrAbortHandler)
				}))
			err := d.Store(ctx, p, d.Location("a"), contentType)
			wantCode(t, err, destination.Unavailable)
			want := "store a file in bucket reports: it was given up before it was done"
			if err == nil || err.Error() != want || !errors.Is(err, context.Canceled) {
				t.Errorf("got error %v, want %s", err, want)
			}
			s.holds(t, map[string]int64{})
		})
	}
}

func TestOutageOfTheServer(t *testing.T) {
	s := startStorage(t)
	d := s.destination(t)
	p := receive(t, d, content(large))
	location := d.Location("a")
	s.way.set(on(isSecondPart, func(http.ResponseWriter, *http.Request, http.Handler) {
		s.Stop()
		panic(http.ErrAbortHandler)
	}))
	wantCode(t, d.Store(t.Context(), p, location, contentType), destination.Unavailable)
	s.way.set(nil)
	_, _, err := d.Find(t.Context(), location)
	wantCode(t, err, destination.Unavailable)
	wantCode(t, d.Remove(t.Context(), location), destination.Unavailable)
	wantCode(t, d.Clean(t.Context(), location), destination.Unavailable)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	// It could not be aborted when the server was gone.
	uploads, err := s.Uploads(t.Context(), bucket)
	if diff := cmp.Diff(map[string]int{"daily/a": 1}, uploads); diff != "" || err != nil {
		t.Errorf("uploads (-want +got), error %v:\n%s", err, diff)
	}
	wantCode(t, d.Clean(t.Context(), location), "")
	s.holds(t, map[string]int64{})
	wantCode(t, d.Store(t.Context(), p, location, contentType), "")
	s.holds(t, map[string]int64{"daily/a": large})
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	s := startStorage(t)
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the other host was called") }))
	defer other.Close()
	d := s.destination(t)
	for _, size := range []int{small, large} {
		s.way.set(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
		})
		err := d.Store(t.Context(), receive(t, d, content(size)), d.Location("a"), contentType)
		wantCode(t, err, destination.Failed)
		want := "store a file in bucket reports: the bucket is in another region or at another endpoint (HTTP status 307)"
		if err == nil || err.Error() != want {
			t.Errorf("got message %v, want %s", err, want)
		}
	}
}

func TestThereIsNoEndpoint(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	d, err := destination.NewObjectStorage(destination.ObjectStorageConfig{Endpoint: gone.URL, Bucket: bucket, Spool: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	err = d.Store(t.Context(), receive(t, d, nil), d.Location("a"), contentType)
	wantCode(t, err, destination.Unavailable)
	if want := "store a file in bucket reports: the service cannot be reached, or has broken off"; err.Error() != want {
		t.Errorf("got message %q, want %q", err, want)
	}
}
