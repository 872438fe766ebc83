package metrics

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// reviewer answers reviews as an API server would that knows the token "fake-token" of a user who may get /metrics.
func reviewer(t *testing.T, failure error) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(authenticationv1.AddToScheme(scheme), authorizationv1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, obj client.Object, _ ...client.CreateOption) error {
			switch review := obj.(type) {
			case *authenticationv1.TokenReview:
				review.Status.Authenticated = review.Spec.Token == "fake-token"
				review.Status.User.Username = "prometheus"
			case *authorizationv1.SubjectAccessReview:
				attributes := review.Spec.NonResourceAttributes
				review.Status.Allowed = review.Spec.User == "prometheus" && attributes.Path == "/metrics" && attributes.Verb == "get"
			}
			return failure
		},
	}).Build()
}

func TestAuthorize(t *testing.T) {
	tests := map[string]struct {
		authorization, path string
		failure             error
		want                int
	}{
		"a known user who may":             {"Bearer fake-token", "/metrics", nil, http.StatusOK},
		"a known user who may not":         {"Bearer fake-token", "/debug", nil, http.StatusForbidden},
		"an unknown token":                 {"Bearer fake-other", "/metrics", nil, http.StatusUnauthorized},
		"no token":                         {"", "/metrics", nil, http.StatusUnauthorized},
		"an empty token":                   {"Bearer ", "/metrics", nil, http.StatusUnauthorized},
		"another scheme":                   {"Basic fake-token", "/metrics", nil, http.StatusUnauthorized},
		"an API server that does not know": {"Bearer fake-token", "/metrics", errors.New("down"), http.StatusInternalServerError},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			served := false
			next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true })
			request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tc.path, nil)
			if tc.authorization != "" {
				request.Header.Set("Authorization", tc.authorization)
			}
			answer := httptest.NewRecorder()
			(&authorizer{client: reviewer(t, tc.failure), log: logr.Discard(), next: next}).ServeHTTP(answer, request)
			if answer.Code != tc.want || served != (tc.want == http.StatusOK) {
				t.Errorf("status %d, served %v; want %d", answer.Code, served, tc.want)
			}
		})
	}
}
