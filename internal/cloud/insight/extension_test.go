package insight_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/insight"
)

func TestExtensions(t *testing.T) {
	tests := map[string]struct{ name, disposition, want string }{
		"after the package's name":               {"Weekly", `attachment; filename="Weekly.zip"`, ".zip"},
		"two parts after the package's name":     {"Weekly", `attachment; filename="Weekly.tar.gz"`, ".tar.gz"},
		"two other parts after it":               {"Weekly", `attachment; filename="Weekly.insight.zip"`, ".insight.zip"},
		"after a name with dots":                 {"Report v1.5", `attachment; filename="Report v1.5.zip"`, ".zip"},
		"a package called like a file":           {"Weekly.zip", `attachment; filename="Weekly.zip"`, ""},
		"no extension":                           {"Weekly", `attachment; filename="Weekly"`, ""},
		"no extension after a name with one":     {"Report.v2", `attachment; filename="Report.v2"`, ""},
		"another file name":                      {"Weekly", `attachment; filename="export.zip"`, ".zip"},
		"a time after the package's name":        {"Weekly", `attachment; filename="Weekly_2026.11.22.zip"`, ".zip"},
		"a date after the package's name":        {"Weekly", `attachment; filename="Weekly.2026.zip"`, ".zip"},
		"a date and no extension":                {"Weekly", `attachment; filename="Weekly_2026.11.22"`, ""},
		"another archive":                        {"Weekly", `attachment; filename="export.tar.gz"`, ".tar.gz"},
		"another archive in capitals":            {"Weekly", `attachment; filename="export.TAR.BZ2"`, ".TAR.BZ2"},
		"another file with dots":                 {"Weekly", `attachment; filename="a.b.c.zip"`, ".zip"},
		"an encoded name":                        {"报表 2026", "attachment; filename*=UTF-8''" + url.PathEscape("报表 2026.zip"), ".zip"},
		"an encoded name and a plain one":        {"报表 2026", `attachment; filename="__ 2026.bin"; filename*=UTF-8''` + url.PathEscape("报表 2026.zip"), ".zip"},
		"an encoded name of another set":         {"Weekly", `attachment; filename="Weekly.zip"; filename*=GBK''Weekly.rar`, ".zip"},
		"other letters, not encoded":             {"报表", `attachment; filename="报表.zip"`, ".zip"},
		"without quotes":                         {"Weekly", `attachment;filename=Weekly.zip;`, ".zip"},
		"an extension with digits":               {"Weekly", `attachment; filename="Weekly.7z"`, ".7z"},
		"an extension that is as long as may be": {"Weekly", `attachment; filename="Weekly.abcdefghijklmnop"`, ".abcdefghijklmnop"},
		"an extension that is too long":          {"Weekly", `attachment; filename="Weekly.abcdefghijklmnopq"`, ""},
		"an extension with a space":              {"Weekly", `attachment; filename="Weekly.zip "`, ""},
		"an extension with a path":               {"Weekly", `attachment; filename="Weekly.zip/../x"`, ""},
		"a path before it":                       {"Weekly", `attachment; filename="../../etc/Weekly.zip"`, ".zip"},
		"an extension in other letters":          {"Weekly", `attachment; filename="Weekly.压缩"`, ""},
		"a digit of another script":              {"Weekly", `attachment; filename="Weekly.zip２"`, ""},
		"a dot at the end":                       {"Weekly", `attachment; filename="Weekly."`, ""},
		"only dots":                              {"Weekly", `attachment; filename="..."`, ""},
		"a name that ends in an archive's part":  {"Weekly", `attachment; filename="x.tar.g z"`, ""},
		"three parts":                            {"Weekly", `attachment; filename="Weekly.a.b.c"`, ".c"},
		"no file name":                           {"Weekly", `attachment`, ""},
		"no header":                              {"Weekly", ``, ""},
		"a header that is none":                  {"Weekly", `attachment; filename="Weekly.zip`, ""},
		"two file names":                         {"Weekly", `attachment; filename="a.zip"; filename="b.rar"`, ""},
		"another disposition":                    {"Weekly", `inline; filename=x.zip`, ".zip"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := extensionOf(t, tc.name, tc.disposition); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// extensionOf exports a package whose file the service names.
func extensionOf(t testing.TB, name, disposition string) string {
	t.Helper()
	request := everything
	request.PackageName = name
	stream, err := newDirectClient(t, "Content-Disposition", disposition).Export(t.Context(), request)
	must(t, err)
	must(t, stream.Close())
	return stream.Extension()
}

// newDirectClient makes a client of a service that answers all with a package and one header.
func newDirectClient(t testing.TB, name, value string) *insight.Client {
	t.Helper()
	return newClient(t, nil, func(config *insight.Config) {
		config.Endpoint, config.HTTPClient = "https://insight.test", &http.Client{Transport: roundTripper(func(request *http.Request) (*http.Response, error) {
			recorder := httptest.NewRecorder()
			recorder.Header()[name] = []string{value}
			_, err := recorder.WriteString("PK")
			response := recorder.Result()
			response.Request = request
			return response, err
		})}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

var safe = regexp.MustCompile(`^(\.[A-Za-z0-9]{1,16}){1,2}$`)

func FuzzAnExtensionIsSafeOrNone(f *testing.F) {
	for _, disposition := range []string{
		`attachment; filename="Weekly.zip"`, `attachment; filename*=UTF-8''Weekly%2Ftar.gz`, `x; filename=".tar.gz"`, `x; filename*0="a."; filename*1="zip"`, "",
	} {
		f.Add("Weekly", disposition)
	}
	f.Fuzz(func(t *testing.T, name, disposition string) {
		got := extensionOf(t, name, disposition)
		if got != "" && (!safe.MatchString(got) || !strings.ContainsAny(strings.ToLower(got), "abcdefghijklmnopqrstuvwxyz")) {
			t.Errorf("%q for %q gives the extension %q", disposition, name, got)
		}
	})
}

func TestContentTypes(t *testing.T) {
	for given, want := range map[string]string{
		"application/zip":                       "application/zip",
		"Application/Octet-Stream; charset=gbk": "application/octet-stream",
		"application/zip; x":                    "",
		"zip":                                   "",
		"a/b/c":                                 "",
		"application/zip\x01":                   "",
		"":                                      "",
		"application/" + strings.Repeat("x", 300): "",
	} {
		stream, err := newDirectClient(t, "Content-Type", given).Export(t.Context(), everything)
		must(t, err)
		must(t, stream.Close())
		if got := stream.ContentType(); got != want {
			t.Errorf("%q gives the type %q, want %q", given, got, want)
		}
	}
}
