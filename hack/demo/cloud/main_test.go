package main

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

func TestCommands(t *testing.T) {
	fake := fakecloud.New(fakecloud.Options{Projects: []fakecloud.Project{{Name: "shop"}, {Name: "mall"}}})
	server := httptest.NewServer(fake)
	defer server.Close()
	t.Setenv("FAKECLOUD_URL", server.URL)
	if err := fake.CreateRole("shop", "reader", "resource"); err != nil {
		t.Fatal(err)
	}
	if err := fake.Grant("shop", "reader", fakecloud.Grant{Kind: "table", Name: "orders", Actions: []string{"Select", "Describe"}}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		fake.CreatePackage("shop", "pkg"), fake.AddToPackage("shop", "pkg", fakecloud.Grant{Kind: "table", Name: "orders", Actions: []string{"Select"}}),
		fake.AllowProject("shop", "pkg", "mall", 2), fake.InstallPackage("mall", "shop", "pkg"),
	); err != nil {
		t.Fatal(err)
	}

	// In this order: one step sees what the one before it did.
	steps := []struct{ command, want, wantError string }{
		{command: "acl shop reader", want: "describe, select"},
		{command: "await shop reader table ORDERS Select"},
		{command: "await --timeout 1ms shop reader table orders Drop", wantError: "not after 1ms"},
		{command: "revoke shop reader table orders Select"},
		{command: "await --gone shop reader table orders Select"},
		{command: "acl shop reader", want: "orders   describe\n"},
		{command: "acl shop nobody", want: "There is no role nobody"},
		{command: "await --gone shop nobody"},
		{command: "await --gone nowhere reader", wantError: "there is no project nowhere"},
		{command: "revoke shop nobody table orders Select", wantError: "400"},
		{command: "packages shop", want: "pkg       table     orders   select\npkg       project   mall     may install it, up to label 2\n"},
		{command: "packages mall", want: "shop.pkg                 installed, OK\n"},
		{command: "packages nowhere", wantError: "there is no project nowhere"},
		{command: "packages", wantError: "usage"},
		{command: "table shop orders id amount"},
		{command: "table shop orders", wantError: "usage"},
		{command: "orders", want: "ORDER"},
		{command: "approve nowhere", wantError: "nowhere"},
		{command: "reject", wantError: "usage: cloud reject"},
		{command: "permissions shop orders", want: "TABLE"},
		{command: "permissions shop", wantError: "usage"},
		{command: "workspace project space KEY fake-secret board other"},
		{command: "workspace project space KEY fake-secret", wantError: "usage: cloud workspace"},
		{command: "edit project space board"},
		{command: "edit project space none", wantError: "none"},
		{command: "edit project", wantError: "usage: cloud edit"},
		{command: "in 1h", want: "Z\n"},
		{command: "in an-hour", wantError: "invalid duration"},
		{command: "last", want: "0\n"},
		{command: "calls --writes", want: "CALL"},
		{command: "nonsense", wantError: "unknown command"},
	}
	for _, step := range steps {
		var out bytes.Buffer
		err := run(t.Context(), strings.Fields(step.command), &out)
		switch {
		case step.wantError == "" && err != nil:
			t.Errorf("%s: %v", step.command, err)
		case step.wantError != "" && (err == nil || !strings.Contains(err.Error(), step.wantError)):
			t.Errorf("%s: error %v, want one with %q", step.command, err, step.wantError)
		case !strings.Contains(out.String(), step.want):
			t.Errorf("%s: printed %q, want %q in it", step.command, out.String(), step.want)
		}
	}
}

func TestCallsReadAsWhatTheyAsk(t *testing.T) {
	tests := map[string]call{
		"ListUsers":                       {Action: "ListUsers"},
		"CreateRole reader in shop":       {Action: "CreateRole", Role: "reader", Project: "shop"},
		"CreatePackage pkg in shop":       {Action: "CreatePackage", Package: "pkg", Project: "shop"},
		"GRANT List ON PROJECT shop TO x": {Action: "Statement", Project: "shop", Statement: "GRANT List ON PROJECT shop TO x"},
	}
	for want, c := range tests {
		if got := c.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
