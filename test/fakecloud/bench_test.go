package fakecloud

import (
	"fmt"
	"net/http"
	"testing"
)

// BenchmarkCalls measures what a call costs the fake, signing included, among 1,000 roles with 30
// grants each.
func BenchmarkCalls(b *testing.B) {
	c := newClient(b, Options{})
	for i := range 1000 {
		name := fmt.Sprintf("r%d", i)
		c.createRole(name)
		for j := range 30 {
			g := Grant{Kind: "table", Name: fmt.Sprintf("t%d", j), Actions: []string{"Select", "Describe"}}
			if err := c.server.Grant(testProject, name, g); err != nil {
				b.Fatal(err)
			}
		}
	}
	calls := map[string]func() *http.Request{
		"GetRoleAcl": func() *http.Request {
			return c.signACS3(c.request("GetRoleAcl", http.MethodGet, testPath+"/r7/roleAcl", ""), "")
		},
		"ListRoles": func() *http.Request {
			return c.signACS3(c.request("ListRoles", http.MethodGet, testPath, ""), "")
		},
		"Statement": func() *http.Request {
			return c.signODPS(c.statementRequest(testProject, "GRANT Select ON TABLE t7 TO ROLE r7", ""))
		},
	}
	for _, name := range sortedKeys(calls) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c.server.ServeHTTP(discard{}, calls[name]())
			}
		})
	}
}
