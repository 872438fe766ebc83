package main

import (
	"strings"
	"testing"
)

// says checks that what a command prints holds some text.
func (r *rig) says(want string, args ...string) {
	r.t.Helper()
	if _, out, errs := r.ask(args...); !strings.Contains(out, want) {
		r.t.Errorf("%q is not in\n%s%s", want, out, errs)
	}
}

// TestWhatAdministratorsCan is everything, which is said.
func TestWhatAdministratorsCan(t *testing.T) {
	r := newOffice(t)
	r.must(r.cloud.AddMembers("shop", "admin", "ALIYUN$boss"))
	r.cloud.ResetJournal()
	r.says("What ALIYUN$boss can do in project shop, by role admin:\n\nOBJECT   ACTIONS   VERDICT   ROLE    BY", "what-can", "ALIYUN$boss")
	r.says("\n*        *         Allowed   admin   built-in role that may do everything with every object   unmanaged", "what-can", "ALIYUN$boss")
}
