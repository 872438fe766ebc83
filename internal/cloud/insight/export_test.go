package insight_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/insight"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

func TestAPackageIsWhatTheServiceHas(t *testing.T) {
	for name, credentials := range map[string]insight.Credentials{"a permanent key": permanent, "a temporary key": temporary, "a token": withToken} {
		for _, tags := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", tag permissions ", tags), func(t *testing.T) {
				server := newCloud(t)
				c := newClient(t, server, func(config *insight.Config) { config.Credential = credentials })
				request := everything
				request.IncludeDatasetTagPermission = tags
				body, err := export(t, c, request)
				must(t, err)
				want, err := server.InsightSum(fakecloud.InsightExport{Project: project, Workspace: "ws1", DatasetTagPermission: tags})
				must(t, err)
				sum := sha256.Sum256([]byte(body))
				if diff := cmp.Diff(want, fakecloud.InsightSum{Size: int64(len(body)), SHA256: hex.EncodeToString(sum[:])}); diff != "" {
					t.Errorf("the package (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestNamesOfAnyScriptAreSignedAndSent(t *testing.T) {
	server := newCloud(t)
	c := newClient(t, server)
	for _, name := range []string{"报表 2026", `a"b\c`, "../../etc/x", "50% <b>&", "Weekly"} {
		request := everything
		request.PackageName = name
		_, err := export(t, c, request)
		must(t, err)
		entries := server.Journal()
		if got := entries[len(entries)-1].Package; got != name {
			t.Errorf("the service saw package %q, want %q", got, name)
		}
	}
}

func TestWhatAnExportSends(t *testing.T) {
	type sent struct {
		Line, Body, Workspace, Project, Encoding string
		Signed, Token                            bool
	}
	const plain = `{"name":"Weekly","resources":[{"resource_type":"dashboard","resource_id":"d1"},{"resource_type":"dataset","resource_id":"s1"}]`
	tests := map[string]struct {
		credentials insight.Credentials
		endpoint    string
		tags        bool
		want        sent
	}{
		"with a key":             {permanent, "", false, sent{"POST /v1/" + project + "/resource-package/export", plain + "}", "ws1", project, "identity", true, false}},
		"with tag permissions":   {permanent, "", true, sent{"POST /v1/" + project + "/resource-package/export", plain + `,"export_param":{"export_dataset_tag_permission":true}}`, "ws1", project, "identity", true, false}},
		"with a token":           {withToken, "", false, sent{"POST /v1/" + project + "/resource-package/export", plain + "}", "ws1", "", "identity", false, true}},
		"through a proxy's path": {permanent, "/to insight/", false, sent{"POST /to%20insight/v1/" + project + "/resource-package/export", plain + "}", "ws1", project, "identity", true, false}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got sent
			url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				header := r.Header.Get
				got = sent{r.Method + " " + r.RequestURI, string(body), header("X-Workspace-Id"), header("X-Project-Id"), header("Accept-Encoding"), header("Authorization") != "", header("X-Auth-Token") != ""}
				says(http.StatusOK, "package")(w, r)
			}))
			c := newClient(t, nil, func(config *insight.Config) {
				config.Endpoint, config.Credential = url+strings.ReplaceAll(tc.endpoint, " ", "%20"), tc.credentials
			})
			request := everything
			request.IncludeDatasetTagPermission = tc.tags
			_, err := export(t, c, request)
			must(t, err)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("what was sent (-want +got):\n%s", diff)
			}
		})
	}
}

// changing is a credential that is another each time.
type changing struct{ n atomic.Int32 }

func (c *changing) Credentials() insight.Credentials {
	n := fmt.Sprint(c.n.Add(1))
	return insight.Credentials{AccessKey: "id-" + n, SecretKey: "fake-secret-" + n, SecurityToken: "token-" + n}
}

func TestARequestIsMadeFromOneSnapshot(t *testing.T) {
	credential := &changing{}
	n := 0
	c := newLocalClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		if !strings.Contains(r.Header.Get("Authorization"), fmt.Sprintf("Access=id-%d,", n)) || r.Header.Get("X-Security-Token") != fmt.Sprint("token-", n) {
			t.Errorf("request %d has the headers %v", n, r.Header)
		}
		says(http.StatusOK, "package")(w, r)
	}), func(config *insight.Config) { config.Credential = credential })
	for range 3 {
		_, err := export(t, c, everything)
		must(t, err)
	}
	if got := credential.n.Load(); got != 3 {
		t.Errorf("the credentials were asked for %d times", got)
	}
}

func TestNothingIsSentThatCannotSucceed(t *testing.T) {
	credential := func(c insight.Credential) func(*insight.Config) {
		return func(config *insight.Config) { config.Credential = c }
	}
	workspace := func(id string) insight.Request {
		return insight.Request{WorkspaceID: id, PackageName: "Weekly", Resources: everything.Resources}
	}
	const noKeys = "the credentials give neither a token nor a key to sign with"
	const noWorkspace = "the id of the workspace is empty or has characters that cannot be sent"
	tests := map[string]struct {
		change  func(*insight.Config)
		request insight.Request
		want    outcome
	}{
		"without credentials":          {credential(nil), everything, outcome{cloud.AuthenticationFailed, noKeys}},
		"with empty credentials":       {credential(insight.Credentials{}), everything, outcome{cloud.AuthenticationFailed, noKeys}},
		"without a secret":             {credential(insight.Credentials{AccessKey: "a", SecurityToken: "t"}), everything, outcome{cloud.AuthenticationFailed, noKeys}},
		"without an access key":        {credential(insight.Credentials{SecretKey: "s"}), everything, outcome{cloud.AuthenticationFailed, noKeys}},
		"without a workspace":          {credential(permanent), workspace(""), outcome{cloud.InvalidSpec, noWorkspace}},
		"a workspace with a line feed": {credential(permanent), workspace("a\nX-Auth-Token: b"), outcome{cloud.InvalidSpec, noWorkspace}},
		"a workspace in other letters": {credential(permanent), workspace("区"), outcome{cloud.InvalidSpec, noWorkspace}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newLocalClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }), tc.change)
			_, err := export(t, c, tc.request)
			if diff := cmp.Diff(tc.want, outcomeOf(t, err)); diff != "" {
				t.Errorf("the error (-want +got):\n%s", diff)
			}
			if !cloud.Refused(err) {
				t.Error("the outcome is called unknown")
			}
		})
	}
}

func TestAClientIsNotMadeOfNonsense(t *testing.T) {
	for name, config := range map[string]insight.Config{
		"no endpoint":                {ProjectID: project},
		"an endpoint that is no URL": {ProjectID: project, Endpoint: "insight.test"},
		"no project":                 {Endpoint: "https://insight.test"},
		"a project that is a path":   {Endpoint: "https://insight.test", ProjectID: "../v2"},
	} {
		if _, err := insight.New(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCredentialsCannotBePrinted(t *testing.T) {
	var credential insight.Credential = temporary
	nested := struct{ C *insight.Credentials }{&temporary}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		text := fmt.Sprintf(format, temporary) + fmt.Sprintf(format, credential) + fmt.Sprintf(format, []insight.Credentials{withToken}) + fmt.Sprintf(format, nested.C)
		for _, secret := range []string{temporary.AccessKey, temporary.SecretKey, temporary.SecurityToken, fakeToken} {
			if strings.Contains(text, secret) || strings.Contains(text, fmt.Sprintf("%x", secret)) {
				t.Errorf("%s printed %s", format, text)
			}
		}
	}
}
