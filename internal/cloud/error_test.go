package cloud_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
)

func TestRefusedIsTrueOnlyIfNothingWasDone(t *testing.T) {
	tests := map[string]struct {
		err  error
		want bool
	}{
		"no error":                                   {nil, false},
		"an error of another kind":                   {errors.New("disk full"), false},
		"not found":                                  {&cloud.Error{Code: cloud.NotFound}, true},
		"already exists":                             {&cloud.Error{Code: cloud.AlreadyExists}, true},
		"project not found":                          {&cloud.Error{Code: cloud.ProjectNotFound}, true},
		"credentials refused":                        {&cloud.Error{Code: cloud.AuthenticationFailed}, true},
		"access denied":                              {&cloud.Error{Code: cloud.PermissionDenied}, true},
		"refused before it was sent":                 {&cloud.Error{Code: cloud.InvalidSpec}, true},
		"refused as invalid":                         {&cloud.Error{Code: cloud.RemoteRejected}, true},
		"no such workspace":                          {&cloud.Error{Code: cloud.WorkspaceNotFound}, true},
		"no such resource":                           {&cloud.Error{Code: cloud.ResourceNotFound}, true},
		"a resource not shared":                      {&cloud.Error{Code: cloud.CollaborationDenied}, true},
		"an export that broke off":                   {&cloud.Error{Code: cloud.ExportFailed}, false},
		"a server error":                             {&cloud.Error{Code: cloud.RemoteUnavailable}, false},
		"throttled":                                  {&cloud.Error{Code: cloud.RemoteUnavailable, Throttled: true}, true},
		"an answer without meaning":                  {&cloud.Error{Code: cloud.UnexpectedResponse}, false},
		"an answer without meaning, while throttled": {&cloud.Error{Code: cloud.UnexpectedResponse, Throttled: true}, true},
		"a class that does not exist":                {&cloud.Error{Code: "Teapot"}, false},
		"wrapped":                                    {fmt.Errorf("grant: %w", &cloud.Error{Code: cloud.RemoteRejected}), true},
		"refused after it had been accepted":         {&cloud.Error{Code: cloud.PermissionDenied, Accepted: true}, false},
		"throttled after it had been accepted":       {&cloud.Error{Code: cloud.RemoteUnavailable, Throttled: true, Accepted: true}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := cloud.Refused(tc.err); got != tc.want {
				t.Errorf("Refused = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestErrorTextHoldsWhatIsStable(t *testing.T) {
	base := cloud.Error{Code: cloud.RemoteUnavailable, Op: "delete role r", HTTPStatus: 503, RequestID: "11-22", Err: errors.New("dial tcp 127.0.0.1:40231")}
	tests := map[string]struct {
		remoteCode, message, want string
	}{
		"the class, where the service says nothing":    {"", "", "delete role r: RemoteUnavailable"},
		"the service's code":                           {"ServiceUnavailable", "", "delete role r: ServiceUnavailable"},
		"the service's message":                        {"", "try later", "delete role r: try later"},
		"the service's code before the service's word": {"ServiceUnavailable", "try later", "delete role r: ServiceUnavailable: try later"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := base
			e.RemoteCode, e.Message = tc.remoteCode, tc.message
			if diff := cmp.Diff(tc.want, e.Error()); diff != "" {
				t.Errorf("Error() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFactsAreFoundInWrappedErrors(t *testing.T) {
	err := fmt.Errorf("pass: %w", &cloud.Error{Code: cloud.NotFound, RequestID: "11-22", Err: context.Canceled})
	if cloud.CodeOf(err) != cloud.NotFound || !cloud.IsNotFound(err) || cloud.RequestID(err) != "11-22" || !errors.Is(err, context.Canceled) {
		t.Errorf("code %q, request id %q, absent %v", cloud.CodeOf(err), cloud.RequestID(err), cloud.IsNotFound(err))
	}
	other := errors.New("no cloud error")
	if cloud.CodeOf(other) != "" || cloud.RequestID(other) != "" || cloud.IsNotFound(other) || cloud.IsNotFound(nil) {
		t.Error("an error of another kind was taken for one of the cloud")
	}
}
