package openapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// observer writes down what it is told.
type observer struct{ told []string }

func (o *observer) Waited(service string, wait time.Duration) {
	o.told = append(o.told, fmt.Sprintf("%s waited %s", service, wait))
}

func (o *observer) Withheld(service string) { o.told = append(o.told, service+" withheld") }

func (o *observer) Answered(service, action string, took time.Duration, err error) {
	o.told = append(o.told, fmt.Sprintf("%s %s took %s: %s", service, action, took, cloud.CodeOf(err)))
}

// slowLimiter lets a call through after a second, or fails.
type slowLimiter struct{ err error }

func (l slowLimiter) Wait(context.Context) (time.Time, error) {
	<-time.After(time.Second)
	return time.Now(), l.err
}

func (slowLimiter) Ended(time.Time, error) {}

func (slowLimiter) Closed() error { return nil }

func TestObserver(t *testing.T) {
	tests := map[string]struct {
		limiter openapi.Limiter
		call    openapi.Call
		status  int
		want    []string
	}{
		"a success":                           {nil, openapi.Call{}, http.StatusOK, []string{"Service Do took 2s: "}},
		"a failure":                           {nil, openapi.Call{}, http.StatusInternalServerError, []string{"Service Do took 2s: RemoteUnavailable"}},
		"a call that waited":                  {slowLimiter{}, openapi.Call{}, http.StatusOK, []string{"Service waited 1s", "Service Do took 2s: "}},
		"a call without room":                 {slowLimiter{errors.New("no room")}, openapi.Call{}, http.StatusOK, []string{"Service withheld"}},
		"a call whose caller is gone":         {slowLimiter{context.Canceled}, openapi.Call{}, http.StatusOK, nil},
		"a request of a service in RPC style": {nil, openapi.Call{Form: map[string]any{"A": "1"}}, http.StatusOK, []string{"Service Do took 2s: "}},
		"a service that refuses for the rate": {slowLimiter{}, openapi.Call{}, http.StatusTooManyRequests, []string{"Service waited 1s", "Service Do took 2s: RemoteUnavailable"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var o observer
				client := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
					<-time.After(2 * time.Second)
					w.WriteHeader(tc.status)
				}, func(c *openapi.Config) {
					c.Transport.Service, c.Transport.Observer, c.Transport.Limiter = "Service", &o, tc.limiter
				})
				tc.call.Action, tc.call.Op, tc.call.Method = "Do", "do it", http.MethodPost
				_ = client.Do(t.Context(), tc.call, func(a *openapi.Answer) error { //nolint:errcheck // what the observer is told is the point
					if a.Status < 300 {
						return nil
					}
					return a.Failure(openapi.Failure{Op: "do it"})
				})
				if diff := cmp.Diff(tc.want, o.told); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestNothingSent: a request that could not be formed is no call.
func TestNothingSent(t *testing.T) {
	var o observer
	transport := openapi.Transport{Service: "Service", Observer: &o, Timeout: time.Minute}
	want := &cloud.Error{Code: cloud.InvalidSpec, Op: "do it"}
	err := transport.Do(t.Context(), "Do", "do it", func(context.Context) (*openapi.Answer, error) { return nil, want }, nil)
	if !errors.Is(err, want) || o.told != nil {
		t.Errorf("got %v, and the observer was told %q", err, o.told)
	}
}
