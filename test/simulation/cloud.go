package simulation

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// The regions, each a service with a fake of its own.
var regions = map[string]string{"one": "cn-hangzhou", "two": "cn-shanghai"}

const project = "analytics"

// network carries a manager's calls to the fake that answers on the host, without a socket. Before
// a call is sent, and before its answer is read, the manager can be stopped.
type network struct{ manager *manager }

// RoundTrip implements http.RoundTripper.
func (n network) RoundTrip(request *http.Request) (*http.Response, error) {
	w := n.manager.world
	at := request.Method + " " + request.URL.Host + request.URL.Path
	if err := n.manager.park(request.Context(), at); err != nil {
		return nil, err
	}
	name := serviceOn(request.URL.Host)
	server := w.clouds[name]
	if server == nil {
		return nil, fmt.Errorf("no such host: %s", request.URL.Host)
	}
	body, err := bodyOf(request)
	if err != nil {
		return nil, err
	}
	if w.delays(passOf(request.Context()), name, request, body) {
		return nil, io.ErrUnexpectedEOF
	}
	recorder := httptest.NewRecorder()
	lost := serve(server, recorder, arrived(request, body))
	wrote := w.called(passOf(request.Context()), name, body)
	if wrote {
		if err := n.manager.park(request.Context(), "the answer to "+at); err != nil {
			return nil, err
		}
	}
	switch {
	case request.Context().Err() != nil:
		return nil, request.Context().Err()
	case lost:
		return nil, io.ErrUnexpectedEOF
	}
	response := recorder.Result()
	response.Request = request
	return response, nil
}

// delayed is a call that has left its sender without an answer, and arrives later.
type delayed struct {
	at      time.Time
	pass    *pass
	service string
	request *http.Request
	body    []byte
}

// delays holds a write back that a fault of class late hits.
func (w *world) delays(p *pass, service string, request *http.Request, body []byte) bool {
	if request.Method == http.MethodGet {
		return false
	}
	for i := range w.faults {
		f := &w.faults[i]
		if f.class != "late" || f.service != service || f.fault.Times == 0 || !f.matchesRequest(request, body) {
			continue
		}
		f.fault.Times--
		p.met("late")
		gone, leave := context.WithCancel(context.WithoutCancel(request.Context()))
		leave() // nobody waits for the answer
		in := arrived(request.WithContext(gone), body)
		after := time.Duration(1+w.chance.IntN(50)) * time.Second
		w.delayed = append(w.delayed, delayed{time.Now().Add(after), p, service, in, body})
		w.trace("    it will arrive in %s", after)
		return true
	}
	return false
}

// deliver lets the calls arrive that are due.
func (w *world) deliver() {
	for i := 0; i < len(w.delayed); i++ {
		d := w.delayed[i]
		if time.Now().Before(d.at) {
			continue
		}
		w.delayed = slices.Delete(w.delayed, i, i+1)
		i--
		w.trace("a call of pass %d over %s arrives late", d.pass.id, d.pass.key)
		serve(w.clouds[d.service], httptest.NewRecorder(), d.request)
		d.pass.lateCall = true
		w.called(d.pass, d.service, d.body)
		d.pass.lateCall = false
	}
}

func bodyOf(request *http.Request) ([]byte, error) {
	if request.Body == nil {
		return nil, nil
	}
	defer request.Body.Close()
	return io.ReadAll(request.Body)
}

// arrived is a request as a server gets it.
func arrived(request *http.Request, body []byte) *http.Request {
	in := request.Clone(request.Context())
	in.Body, in.ContentLength, in.RequestURI = io.NopCloser(bytes.NewReader(body)), int64(len(body)), request.URL.RequestURI()
	in.Header = http.Header{}
	for name, values := range request.Header {
		for _, value := range values {
			in.Header.Add(name, value) // the network spells names in one way
		}
	}
	if in.Host == "" {
		in.Host = request.URL.Host
	}
	return in
}

// serve has a request answered, and reports whether the answer is lost.
func serve(server http.Handler, to http.ResponseWriter, request *http.Request) (lost bool) {
	defer func() {
		switch reason := recover(); reason {
		case nil:
		case http.ErrAbortHandler:
			lost = true
		default:
			panic(reason)
		}
	}()
	server.ServeHTTP(to, request)
	return false
}

// serviceOn names the service that answers on a host, whichever of its names is used.
func serviceOn(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ":443")
	for name, region := range regions {
		if strings.Contains(host, region) {
			return name
		}
	}
	return ""
}

// newCloud makes the fake of one region.
func newCloud() *fakecloud.Server {
	server := fakecloud.New(fakecloud.Options{
		Projects:   []fakecloud.Project{{Name: project, ThreeTier: true}, {Name: partner, ThreeTier: true}},
		Identities: map[string]string{"FAKEKEYOFTEAMA": "fake-secret-that-opens-nothing", "FAKEKEYOFTEAMB": "fake-secret-that-opens-nothing"},
	})
	return server
}
