package connect_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
)

// bucketAt is a destination at an endpoint, with the keys of the Secret storage.
func bucketAt(endpoint string) *v1alpha1.ObjectStorageDestination {
	return &v1alpha1.ObjectStorageDestination{Endpoint: endpoint, Bucket: "exports", SecretRef: v1alpha1.LocalSecretReference{Name: "storage"}}
}

const obs = "https://obs.cn-southwest-2.myhuaweicloud.com"

func TestTheKeysOfAnObjectStorage(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "storage", errors.New("no rule allows it"))
	tests := map[string]struct {
		// secret is nil if there is none.
		secret  map[string]string
		failure error
		want    connect.StorageKeys
		message string
	}{
		"a permanent key": {secret: map[string]string{"accessKey": "FAKEOBS", "secretKey": "fake-secret"}, want: connect.StorageKeys{AccessKey: "FAKEOBS", SecretKey: "fake-secret"}},
		"a temporary key": {
			secret: map[string]string{"accessKey": "FAKEOBS", "secretKey": "fake-secret", "sessionToken": "fake-token"},
			want:   connect.StorageKeys{AccessKey: "FAKEOBS", SecretKey: "fake-secret", SessionToken: "fake-token"},
		},
		"space around them": {
			secret: map[string]string{"accessKey": " FAKEOBS\n", "secretKey": "fake-secret\n", "sessionToken": "\n"},
			want:   connect.StorageKeys{AccessKey: "FAKEOBS", SecretKey: "fake-secret"},
		},
		"a Secret that does not exist":  {message: "Secret storage does not exist in this namespace"},
		"a Secret that is not readable": {secret: map[string]string{}, failure: forbidden, message: "the operator may not read Secret storage in this namespace"},
		"an empty Secret":               {secret: map[string]string{}, message: "Secret storage has no key accessKey"},
		"no secret":                     {secret: map[string]string{"accessKey": "FAKEOBS"}, message: "Secret storage has no key secretKey"},
		"a secret of space":             {secret: map[string]string{"accessKey": "FAKEOBS", "secretKey": " "}, message: "Secret storage has no key secretKey"},
		"the other vendor's names":      {secret: map[string]string{keyID: "FAKEA", keySecret: "fake-secret"}, message: "Secret storage has no key accessKey"},
		"a session without a key":       {secret: map[string]string{"sessionToken": "fake-token"}, message: "Secret storage has no key accessKey"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.resolver.Endpoints = connect.EndpointPolicy{AllowedSuffixes: connect.DefaultEndpointSuffixes}
			if tc.secret != nil {
				h.store("storage", tc.secret)
			}
			if tc.failure != nil {
				h.failure["Secret"] = tc.failure
			}
			for range 3 {
				keys, err := h.resolver.StorageKeys(t.Context(), namespace, bucketAt(obs))
				if diff := cmp.Diff(tc.want, keys); diff != "" {
					t.Errorf("keys (-want +got):\n%s", diff)
				}
				if tc.message == "" {
					h.must(err)
					continue
				}
				want := conditions.Outcome{State: conditions.Reconciling, Reason: v1alpha1.ReasonSecretNotFound, Message: tc.message}
				if diff := cmp.Diff(want, conditions.FromError(err)); diff != "" {
					t.Errorf("outcome (-want +got):\n%s", diff)
				}
				if strings.Contains(fmt.Sprintf("%v %+v", err, err), "fake-") {
					t.Error("a secret is told")
				}
			}
		})
	}
}

// TestTheKeysOfAnObjectStorageAreThoseOfItsNamespace, and a new Secret is used at once.
func TestTheKeysOfAnObjectStorageAreThoseOfItsNamespace(t *testing.T) {
	h := newHarness(t)
	h.store("storage", map[string]string{"accessKey": "FAKEOBS", "secretKey": "fake-secret"})
	_, err := h.resolver.StorageKeys(t.Context(), "others", bucketAt(obs))
	if outcome := conditions.FromError(err); outcome.Reason != v1alpha1.ReasonSecretNotFound {
		t.Errorf("another namespace got %+v", outcome)
	}
	for _, key := range []string{"FAKEOBS", "FAKENEW"} {
		h.store("storage", map[string]string{"accessKey": key, "secretKey": "fake-secret"})
		keys, err := h.resolver.StorageKeys(t.Context(), namespace, bucketAt(obs))
		if h.must(err); keys.AccessKey != key {
			t.Errorf("got the key %s, want %s", keys.AccessKey, key)
		}
	}
}

func TestAFailureToReadTheKeysOfAnObjectStorageIsNotTheObjects(t *testing.T) {
	h := newHarness(t)
	failure := apierrors.NewInternalError(errors.New("etcdserver: no leader"))
	h.failure["Secret"] = failure
	_, err := h.resolver.StorageKeys(t.Context(), namespace, bucketAt(obs))
	if !errors.Is(err, failure) || conditions.Explains(err) {
		t.Errorf("got %v, want the failure itself", err)
	}
}

// TestWhereTheKeysOfAnObjectStorageMayGo: what is signed with them is sent to an endpoint that a user names.
func TestWhereTheKeysOfAnObjectStorageMayGo(t *testing.T) {
	standard := connect.EndpointPolicy{AllowedSuffixes: connect.DefaultEndpointSuffixes}
	with := func(suffixes ...string) connect.EndpointPolicy {
		return connect.EndpointPolicy{AllowedSuffixes: suffixes}
	}
	const (
		notAllowed = v1alpha1.ReasonEndpointNotAllowed
		customer   = " may be a customer's: below "
		outside    = " is not below a domain that the manager's --allowed-endpoint-suffixes names"
	)
	tests := map[string]struct {
		endpoint string
		policy   connect.EndpointPolicy
		// reason is empty if the endpoint is allowed; says is part of the message.
		reason, says string
	}{
		"OBS":                                   {obs, standard, "", ""},
		"OBS with a slash":                      {obs + "/", standard, "", ""},
		"OBS with a port":                       {obs + ":443", standard, "", ""},
		"OSS":                                   {"https://oss-cn-hangzhou.aliyuncs.com", standard, "", ""},
		"OSS inside the cloud":                  {"https://oss-cn-hangzhou-internal.aliyuncs.com", standard, "", ""},
		"a server of one's own":                 {"https://minio.corp.test:9000", with("corp.test"), "", ""},
		"a server without https":                {"http://minio.corp.test:9000", with("corp.test"), notAllowed, "endpoint http://minio.corp.test:9000 does not use https"},
		"OBS without https":                     {"http://obs.cn-southwest-2.myhuaweicloud.com", standard, notAllowed, " does not use https"},
		"a server that nobody has named":        {"https://minio.corp.test", standard, notAllowed, "endpoint https://minio.corp.test" + outside},
		"OBS where it is not named":             {obs, with("corp.test"), notAllowed, "endpoint " + obs + outside},
		"a customer's bucket":                   {"https://exports.obs.cn-southwest-2.myhuaweicloud.com", standard, notAllowed, customer + "myhuaweicloud.com"},
		"a customer's bucket, without a region": {"https://exports.obs.myhuaweicloud.com", standard, notAllowed, customer + "myhuaweicloud.com"},
		"a customer's bucket of OSS":            {"https://exports.oss-cn-hangzhou.aliyuncs.com", standard, notAllowed, customer + "aliyuncs.com"},
		"a bucket that somebody allows":         {"https://exports.obs.cn-southwest-2.myhuaweicloud.com", with("obs.cn-southwest-2.myhuaweicloud.com"), "", ""},
		"an address":                            {"https://192.0.2.1", standard, notAllowed, outside},
		"the cloud's own metadata":              {"http://169.254.169.254", standard, notAllowed, " does not use https"},
		"credentials in it":                     {"https://a:b@obs.cn-southwest-2.myhuaweicloud.com", standard, v1alpha1.ReasonInvalidSpec, " is not a base URL"},
		"a query in it":                         {obs + "?a=b", standard, v1alpha1.ReasonInvalidSpec, " is not a base URL"},
		"no URL":                                {"obs", standard, v1alpha1.ReasonInvalidSpec, `endpoint "obs" is not a base URL`},
		"anything, for development":             {"http://localhost:9000", connect.EndpointPolicy{AllowInsecure: true}, "", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.resolver.Endpoints = tc.policy
			h.store("storage", map[string]string{"accessKey": "FAKEOBS", "secretKey": "fake-secret"})
			keys, err := h.resolver.StorageKeys(t.Context(), namespace, bucketAt(tc.endpoint))
			if tc.reason == "" {
				if h.must(err); keys.AccessKey != "FAKEOBS" {
					t.Errorf("got %q", keys.AccessKey)
				}
				return
			}
			outcome := conditions.FromError(err)
			if outcome.State != conditions.Stalled || outcome.Reason != tc.reason || !strings.Contains(outcome.Message, tc.says) {
				t.Errorf("got %+v, want Stalled/%s with %q", outcome, tc.reason, tc.says)
			}
			if keys != (connect.StorageKeys{}) || h.reads != 0 {
				t.Error("the Secret was read for an endpoint that is not allowed")
			}
		})
	}
}
