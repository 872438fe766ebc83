package dataworks_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
)

// table has columns whose names grow when they are escaped.
func table(name string, columns int) dataworks.Object {
	o := dataworks.Object{Name: name, Actions: []string{"Select", "Describe"}}
	for i := range columns {
		o.Columns = append(o.Columns, dataworks.Column{Name: fmt.Sprintf("a b&表%04d", i)})
	}
	return o
}

func users(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(100000 + i)
	}
	return out
}

func tables(n, columns int) []dataworks.Object {
	out := make([]dataworks.Object, n)
	for i := range out {
		out[i] = table(fmt.Sprint("t", i), columns)
	}
	return out
}

// asked counts the columns that are requested, by user and object.
func asked(requests ...dataworks.Request) map[string]int {
	out := map[string]int{}
	for _, r := range requests {
		for _, user := range r.UserIDs {
			for _, o := range r.Objects {
				out[user+" "+o.Name] += len(o.Columns)
			}
		}
	}
	return out
}

func TestSplit(t *testing.T) {
	tests := map[string]struct {
		users   []string
		objects []dataworks.Object
		// parts are how many objects are in each part, by version.
		parts map[string][]int
	}{
		"one part":          {users(1), tables(3, 2), map[string][]int{dataworks.Version2020: {3}, dataworks.Version2024: {3}}},
		"by object":         {users(1), tables(10, 50), map[string][]int{dataworks.Version2020: {2, 2, 2, 2, 2}, dataworks.Version2024: {8, 2}}},
		"by object, filled": {users(2), tables(9, 20), map[string][]int{dataworks.Version2020: {5, 4}, dataworks.Version2024: {9}}},
		"by user":           {users(10), tables(2, 60), map[string][]int{dataworks.Version2020: {2}, dataworks.Version2024: {1, 1, 1, 1}}},
	}
	for name, tc := range tests {
		for version := range versions {
			t.Run(name+"/"+version, func(t *testing.T) {
				r := &recorder{answer: `{"RequestId":"1","FlowId":["1"],"Data":["1"]}`}
				c := newClient(t, version, r)
				whole := usual(func(r *dataworks.Request) { r.UserIDs, r.Objects = tc.users, tc.objects })
				parts, err := c.Split(whole)
				must(t, err)
				var sizes []int
				tokens := map[string]bool{}
				for _, part := range parts {
					sizes = append(sizes, len(part.Objects))
					tokens[part.Token] = true
					// A mark in the reason has room.
					part.Reason += strings.Repeat("m", 500)
					_, err := c.Submit(t.Context(), part)
					must(t, err)
				}
				if diff := cmp.Diff(tc.parts[version], sizes); diff != "" {
					t.Errorf("parts (-want +got):\n%s", diff)
				}
				if first := map[bool]string{true: "token-1", false: "token-1-1"}[len(parts) == 1]; len(tokens) != len(parts) || !tokens[first] {
					t.Errorf("tokens are %v", tokens)
				}
				if diff := cmp.Diff(asked(whole), asked(parts...)); diff != "" {
					t.Errorf("asked for (-whole +parts):\n%s", diff)
				}
				for _, request := range r.requests {
					if len(request.Line) > 8<<10 {
						t.Errorf("a request line has %d bytes", len(request.Line))
					}
				}
				same, err := c.Split(whole)
				if diff := cmp.Diff(parts, same); diff != "" || err != nil {
					t.Errorf("split otherwise the second time: %v\n%s", err, diff)
				}
				if _, err := c.Submit(t.Context(), whole); (cloud.CodeOf(err) == cloud.InvalidSpec) != (len(parts) > 1) {
					t.Errorf("the whole: got %v", err)
				}
			})
		}
	}
}

func TestTooManyColumns(t *testing.T) {
	for version, n := range map[string]int{dataworks.Version2020: 150, dataworks.Version2024: 401} {
		c := newClient(t, version, answer(""))
		r := usual(func(r *dataworks.Request) {
			r.UserIDs, r.Objects = users(3), slices.Concat(tables(2, 1), []dataworks.Object{table("wide", n)})
		})
		for _, fail := range []func() error{
			func() error { _, err := c.Split(r); return err },
			func() error { r.Objects = r.Objects[2:]; _, err := c.Submit(t.Context(), r); return err },
		} {
			err := fail()
			if cloud.CodeOf(err) != cloud.InvalidSpec || !strings.Contains(err.Error(), fmt.Sprintf("the object wide with %d columns is too large", n)) {
				t.Errorf("%s: got %v", version, err)
			}
		}
	}
}
