package huawei_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/huawei"
)

func TestWhatAnAnswerSaysOfItself(t *testing.T) {
	tests := map[string]struct {
		body   string
		want   huawei.Document
		object bool
	}{
		"a failure":                         {`{"error_code":"DataArtsInsight.1","error_msg":"m"}`, huawei.Document{Failed: true, Code: "DataArtsInsight.1", Message: "m"}, true},
		"a failure of the gateway":          {`{"error_msg":"m","error_code":"APIGW.0301","request_id":"1"}`, huawei.Document{Failed: true, Code: "APIGW.0301", Message: "m", RequestID: "1"}, true},
		"a failure of IAM":                  {`{"error":{"message":"m","code":401,"title":"Unauthorized"}}`, huawei.Document{Failed: true, Code: "401", Message: "m"}, true},
		"a failure in one word":             {`{"error":"m"}`, huawei.Document{Failed: true, Message: "m"}, true},
		"a failure without a code":          {`{"error_msg":"m"}`, huawei.Document{Failed: true, Message: "m"}, true},
		"a number for a code":               {`{"error_code":24010003}`, huawei.Document{Failed: true, Code: "24010003"}, true},
		"a failure after a byte order mark": {"\ufeff {\"error_code\":\"1\"}", huawei.Document{Failed: true, Code: "1"}, true},
		"a failure whose text is cut":       {`{"error_code":"1","error_msg":"m`, huawei.Document{Failed: true, Code: "1"}, true},
		"a failure whose code is cut":       {`{"x":[{}],"error_code":"Data`, huawei.Document{Failed: true}, true},
		"a failure that is cut at its name": {`{"error_code`, huawei.Document{}, true},
		"a failure with an odd code":        {`{"error_code":["1"],"error_msg":"m"}`, huawei.Document{Failed: true, Message: "m"}, true},
		"a failure that is none":            {`{"error_code":"","error_msg":null,"error":null,"count":1}`, huawei.Document{}, true},
		"a failure within":                  {`{"data":{"error_code":"1"}}`, huawei.Document{}, true},
		"a success":                         {`{"request_id":"1","count":1}`, huawei.Document{RequestID: "1"}, true},
		"a list":                            {`[{"error_code":"1"}]`, huawei.Document{}, false},
		"no JSON":                           {"PK\x03\x04", huawei.Document{}, false},
		"nothing":                           {"", huawei.Document{}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, object := huawei.Parse([]byte(tc.body))
			if diff := cmp.Diff(tc.want, got); diff != "" || object != tc.object {
				t.Errorf("an object: %v, the document (-want +got):\n%s", object, diff)
			}
		})
	}
}

func FuzzParseEnds(f *testing.F) {
	for _, body := range []string{`{"error_code":"1","error":{"code":1}}`, `{"a":`, `{"a":1]`, "{{", `{"error":{"code":"` + strings.Repeat("[", 100)} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if d, object := huawei.Parse(body); !object && d != (huawei.Document{}) {
			t.Errorf("%q is no object and says %v", body, d)
		}
	})
}
