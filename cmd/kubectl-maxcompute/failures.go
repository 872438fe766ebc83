package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
)

// tell says in one line what went wrong and, where that is known, what to do about it.
func tell(err error) string {
	text := err.Error()
	switch {
	case conditions.Explains(err):
		text = conditions.FromError(err).Message
	case errors.Is(err, context.Canceled):
		text = "interrupted"
	case errors.Is(err, context.DeadlineExceeded):
		text = "it took too long, see --request-timeout"
	case apierrors.IsUnauthorized(err):
		text = "the API server refuses the credentials of the kubeconfig: log in again, or choose others with --context, --user or --token"
	case apierrors.IsForbidden(err) && strings.Contains(text, v1alpha1.GroupVersion.Group):
		text += "; the ClusterRole maxcompute-operator-viewer allows to look, maxcompute-operator-editor to change"
	case apimeta.IsNoMatchError(err):
		text = "the cluster does not know the kinds of " + v1alpha1.GroupVersion.String() + ": install the operator's CRDs, or choose another cluster with --context"
	case errors.Is(err, errNoAPIServer):
		text = errNoAPIServer.Error()
	default:
		if e, ok := errors.AsType[*url.Error](err); ok {
			text = unreachable(e)
		} else if e, ok := errors.AsType[*fs.PathError](err); ok {
			text = strings.Replace(text, e.Error(), e.Path+": "+e.Err.Error(), 1)
		}
	}
	return oneLine(text)
}

// oneLine is a text without line breaks and what indents lines, and without what moves the cursor.
func oneLine(text string) string { return printable(strings.Join(strings.Fields(text), " ")) }

// printable keeps what the cloud calls things from moving lines, columns, the cursor, or what stands beside it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// unreachable says of a request to the API server that it got no answer.
func unreachable(e *url.Error) string {
	server := e.URL
	if u, err := url.Parse(e.URL); err == nil {
		server = u.Scheme + "://" + u.Host
	}
	return fmt.Sprintf("the API server %s cannot be reached: %v; is it the right cluster (--kubeconfig, --context, --server)?", server, e.Err)
}

// errNoAPIServer is that the kubeconfig, or --server, leads to something else.
var errNoAPIServer = errors.New("what answers in place of the API server is none: check the server in the kubeconfig, or --server")

// discovery finds what answers in place of an API server. Of one, the lists of what it serves exist, and it speaks no HTML; taken for an
// answer of an API server, that they do not exist would mean that nothing does.
type discovery struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (d discovery) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := d.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	lists := slices.Contains([]string{"api", "apis"}, path.Base(request.URL.Path))
	if lists && response.StatusCode == http.StatusNotFound || strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
		return nil, errors.Join(errNoAPIServer, response.Body.Close())
	}
	return response, nil
}

// advice says what to do about what the cloud refuses, by the reason. It follows a message that says what happened.
var advice = map[string]string{
	v1alpha1.ReasonAuthenticationFailed: "check the key in the Connection's Secret, and the Connection's region and endpoints",
	v1alpha1.ReasonPermissionDenied:     "the Connection's identity needs the permissions of docs/permissions.md, and its account no arrears",
	v1alpha1.ReasonProjectNotFound:      "check the project's name, and the Connection's region",
	v1alpha1.ReasonRemoteUnavailable:    "try again later; if it stays so, check the Connection's region and endpoints",
	v1alpha1.ReasonUnexpectedResponse:   "check the Connection's endpoints",
}

// advised is what tell says, with what to do about it.
func advised(err error) string {
	reason, _ := explain(err)
	return strings.TrimSuffix(tell(err)+" ("+advice[reason]+")", " ()")
}

// misread says in a user's words why a document cannot be read as an object.
func misread(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s cannot be %s %s", cmp.Or(e.Field, "it"), article(e.Value), e.Value)
	}
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		var parts []string
		for _, one := range strict.Errors() {
			parts = append(parts, withoutPreamble(one.Error()))
		}
		return errors.New(oneLine(strings.Join(parts, "; ")))
	}
	return errors.New(oneLine(withoutPreamble(err.Error())))
}

// article is that of a word.
func article(word string) string {
	if strings.ContainsRune("aeiou", rune((word + " ")[0])) {
		return "an"
	}
	return "a"
}

// withoutPreamble drops the names of the steps that a reader of YAML fails in.
func withoutPreamble(text string) string {
	for _, preamble := range []string{"error converting YAML to JSON: ", "error unmarshaling JSON: ", "while decoding JSON: ", "yaml: ", "unmarshal errors:", "json: "} {
		text = strings.TrimPrefix(strings.TrimSpace(text), preamble)
	}
	return strings.TrimSpace(text)
}

// tokens makes tokens of service accounts with the rights of whoever runs this.
type tokens struct{ connect.Tokens }

// Create implements connect.Tokens.
func (t tokens) Create(ctx context.Context, account, request client.Object, opts ...client.SubResourceCreateOption) error {
	err := t.Tokens.Create(ctx, account, request, opts...)
	if apierrors.IsForbidden(err) {
		// To the resolver it would be the operator that may not.
		return errors.New("you may not do that: it takes the verb create on serviceaccounts/token")
	}
	return err
}

// noTokens is where tokens of service accounts come from without a cluster.
type noTokens struct{}

// Create implements connect.Tokens.
func (noTokens) Create(context.Context, client.Object, client.Object, ...client.SubResourceCreateOption) error {
	return errors.New("without a cluster there are none: use a Connection with credentials.secretRef")
}
