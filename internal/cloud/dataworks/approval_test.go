package dataworks_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
)

// TestNothingApproves: nobody who has a client can approve an order, and no source of the package knows what the calls that do are called.
func TestNothingApproves(t *testing.T) {
	want := []string{"Get", "Revoke", "Search", "Split", "Submit", "Version", "Withdraw"}
	types := []reflect.Type{reflect.TypeFor[dataworks.Client]()}
	for version := range versions {
		types = append(types, reflect.TypeOf(newClient(t, version, answer("{}"))))
	}
	for _, typ := range types {
		var methods []string
		for m := range typ.Methods() {
			if m.IsExported() {
				methods = append(methods, m.Name)
			}
		}
		if !slices.Equal(methods, want) {
			t.Errorf("%v has the methods %v, want %v", typ, methods, want)
		}
	}

	// The names are put together here, so that this file does not have them either.
	forbidden := []string{"approve" + "permissionapplyorder", "approve" + "processinstance", "approval" + "action", "approve" + "action"}
	actions := regexp.MustCompile(`Action: +"(\w+)"`)
	sources, err := filepath.Glob("*.go")
	must(t, err)
	var called []string
	for _, source := range sources {
		raw, err := os.ReadFile(source)
		must(t, err)
		for _, name := range forbidden {
			if strings.Contains(strings.ToLower(string(raw)), name) {
				t.Errorf("%s knows %s", source, name)
			}
		}
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		for _, match := range actions.FindAllStringSubmatch(string(raw), -1) {
			called = append(called, match[1])
		}
		if n := strings.Count(string(raw), "openapi.Call{"); n != len(actions.FindAllString(string(raw), -1)) {
			t.Errorf("%s makes a call whose action is not written out", source)
		}
	}
	slices.Sort(called)
	if want := []string{
		"ApplyResourceAccessPermission", "CreatePermissionApplyOrder", "GetApplicationContents", "GetPermissionApplyOrderDetail", "ListMyApplications",
		"ListPermissionApplyOrders", "RevokeTablePermission", "StopProcessInstance",
	}; !slices.Equal(called, want) {
		t.Errorf("the package calls %v, want %v", called, want)
	}
}
