package simulation

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// The regions, each a service with a fake of its own.
var regions = map[string]string{"one": "cn-hangzhou", "two": "cn-shanghai"}

const project = "analytics"

// network carries a manager's calls to the fake that answers on the host, without a socket. Before a call is sent, and
// before its answer is read, the manager can be stopped.
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
		return nil, &http.ProtocolError{ErrorString: "no such host: " + request.URL.Host}
	}
	body, err := bodyOf(request)
	if err != nil {
		return nil, err
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
