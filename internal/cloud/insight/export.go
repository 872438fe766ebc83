package insight

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/huawei"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// Resource is something in a workspace that can be exported.
type Resource struct {
	// Type is one of the service's: datasource, dataset, metric, dashboard, screen, embedAnalysis, portal, subject.
	Type string `json:"resource_type"`
	ID   string `json:"resource_id"`
}

// Request says what is exported.
type Request struct {
	WorkspaceID string
	// PackageName is what the service calls the package.
	PackageName string
	Resources   []Resource
	// IncludeDatasetTagPermission takes the row permissions of datasets that are given by tags along.
	IncludeDatasetTagPermission bool
	// MaxBytes bounds the package; 0 means that nothing does.
	MaxBytes int64
}

// order is the body of an export.
type order struct {
	Name      string      `json:"name"`
	Resources []Resource  `json:"resources"`
	Param     *orderParam `json:"export_param,omitempty"`
}

type orderParam struct {
	DatasetTagPermission bool `json:"export_dataset_tag_permission"`
}

// Export has the service pack a package, and returns it as a stream once it has begun to come. The caller closes it. The end of ctx
// ends the stream as well. The service keeps nothing of an export, so that it may be made again whatever came of it. Its errors are of
// type *cloud.Error. Vendor documentation: ExportResourcePackage.
func (c *Client) Export(ctx context.Context, r Request) (*Stream, error) {
	began := time.Now()
	stream, err := c.export(ctx, r)
	c.transport().Observe("ExportResourcePackage", began, err)
	return stream, err
}

func (c *Client) export(ctx context.Context, r Request) (*Stream, error) {
	op := fmt.Sprintf("export package %s of workspace %s", r.PackageName, r.WorkspaceID)
	requestContext, patience := newPatience(ctx, c.config.ExportTimeout)
	request, hidden, err := c.exportRequest(requestContext, op, r)
	if err != nil {
		patience.stop()
		return nil, err
	}
	response, err := c.config.HTTPClient.Do(request) //nolint:bodyclose // the source closes it
	if err != nil {
		defer patience.stop()
		if patience.over() {
			return nil, silence(op)
		}
		return nil, openapi.TransportError(ctx, op, err)
	}
	source := &source{
		op: op, requestID: response.Header.Get("X-Request-Id"), body: response.Body, length: response.ContentLength,
		patience: patience, idle: c.config.IdleTimeout,
	}
	stream, err := c.open(source, request, response, hidden, r)
	if err != nil {
		source.close()
	}
	return stream, err
}

func (c *Client) exportRequest(ctx context.Context, op string, r Request) (*http.Request, string, error) {
	if !printable(r.WorkspaceID) {
		return nil, "", &cloud.Error{Code: cloud.InvalidSpec, Op: op, Message: "the id of the workspace is empty or has characters that cannot be sent"}
	}
	o := order{Name: r.PackageName, Resources: r.Resources}
	if r.IncludeDatasetTagPermission {
		o.Param = &orderParam{true}
	}
	body, err := json.Marshal(o)
	if err != nil {
		return nil, "", &cloud.Error{Code: cloud.InvalidSpec, Op: op, Message: "the request could not be formed", Err: err}
	}
	header := http.Header{"X-Workspace-Id": {r.WorkspaceID}}
	return c.request(ctx, op, http.MethodPost, c.endpoint.JoinPath("resource-package", "export"), header, body)
}

// printable tells whether a text can be the value of a header as it is.
func printable(value string) bool {
	return value != "" && !slices.ContainsFunc([]byte(value), func(b byte) bool { return b <= ' ' || b > '~' })
}

// open looks at the beginning of an answer, and returns a stream only if it is one.
func (c *Client) open(source *source, request *http.Request, response *http.Response, hidden string, r Request) (*Stream, error) {
	buffered := bufio.NewReaderSize(source, maxBody)
	head, err := buffered.Peek(maxBody)
	success := response.StatusCode == http.StatusOK
	switch {
	case err != nil && source.patience.ctx.Err() != nil && len(head) == 0:
		return nil, err
	case success && len(head) == 0 && !errors.Is(err, io.EOF):
		return nil, err
	case success && len(head) == 0:
		return nil, source.failure(cloud.UnexpectedResponse, "an empty body where a package was expected", nil)
	case !success || isMessage(response.Header.Get("Content-Type"), head, errors.Is(err, io.EOF)):
		return nil, c.refusal(source.op, request, response, hidden, head)
	case !plain(response.Header.Get("Content-Encoding")):
		return nil, source.failure(cloud.UnexpectedResponse, "a package in a content encoding that was not asked for", nil)
	case r.MaxBytes > 0 && response.ContentLength > r.MaxBytes:
		return nil, source.failure(cloud.ExportFailed, tooLarge, nil)
	}
	return &Stream{
		source: source, buffered: buffered, limit: r.MaxBytes, contentType: mediaType(response.Header.Get("Content-Type")),
		extension: extension(response.Header.Get("Content-Disposition"), r.PackageName),
	}, nil
}

// refusal is the error of an answer that is not a package.
func (c *Client) refusal(op string, request *http.Request, response *http.Response, hidden string, head []byte) error {
	response.Body = io.NopCloser(bytes.NewReader(head))
	answer, err := c.transport().Read(request, response)
	if err != nil {
		return openapi.TransportError(request.Context(), op, err)
	}
	answer.Hide(hidden)
	return service.Failure(answer, op)
}

// isMessage tells whether a body is JSON or a page, whatever its label, or is labelled so. Packages are neither. whole tells that head is
// all of it.
func isMessage(contentType string, head []byte, whole bool) bool {
	kind := mediaType(contentType)
	switch {
	case strings.HasSuffix(kind, "/json"), strings.HasSuffix(kind, "+json"), kind == "text/html", kind == "application/xhtml+xml":
		return true
	case whole && json.Valid(bytes.TrimPrefix(head, []byte("\ufeff"))):
		return true
	}
	if document, _ := huawei.Parse(head); document.Failed {
		return true
	}
	start := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n")
	start = bytes.ToLower(start[:min(len(start), len("<!doctype"))])
	return bytes.HasPrefix(start, []byte("<!doctype")) || bytes.HasPrefix(start, []byte("<html"))
}

func plain(encoding string) bool { return encoding == "" || strings.EqualFold(encoding, "identity") }

// mediaType is the type of a content type in lower case without its parameters, or empty if it is not one.
func mediaType(contentType string) string {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil || len(kind) > 255 || !strings.Contains(kind, "/") {
		return ""
	}
	return kind
}
