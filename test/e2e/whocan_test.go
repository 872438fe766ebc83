package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// TestWhoCan: what a running operator manages is told with the objects that manage it, what somebody did by hand without.
func TestWhoCan(t *testing.T) {
	g := NewWithT(t)
	s := newSpace(t)
	role := s.role("reader", "Select")
	role.Spec.Members = []string{"RAM$corp:alice"}
	create(t, s.secret(), s.connection(), role)
	g.Eventually(seen(role), timeout, poll).Should(Equal("True/Succeeded Current"))
	g.Expect(bed.Cloud.CreateRole(s.project, "byhand", "resource")).To(Succeed())
	g.Expect(bed.Cloud.Grant(s.project, "byhand", fakecloud.Grant{Kind: "table", SchemaName: "default", Name: "orders", Actions: []string{"Select"}})).To(Succeed())
	g.Expect(bed.Cloud.AddMembers(s.project, "byhand", "RAM$corp:bob")).To(Succeed())
	before := len(s.writesTo())

	type chain struct{ Role, Membership, State, Object string }
	var answer struct {
		Principals []struct {
			Principal string
			Chains    []chain
		}
	}
	flags := []string{"--project", s.project, "--allow-insecure-endpoints"}
	asked := s.ask(t, "", append([]string{"who-can", "Select", "orders", "-o", "json"}, flags...)...)
	g.Expect(asked.code).To(Equal(0), "%s", asked)
	g.Expect(json.Unmarshal([]byte(asked.out), &answer)).To(Succeed())
	g.Expect(answer.Principals).To(HaveLen(2))
	g.Expect(answer.Principals[0].Chains).To(Equal([]chain{{"reader", "Declared", "Declared", s.namespace + "/reader"}}))
	g.Expect(answer.Principals[1].Chains).To(Equal([]chain{{"byhand", "Unmanaged", "Unmanaged", ""}}))

	page := filepath.Join(t.TempDir(), "page.html")
	report := s.ask(t, "", append([]string{"report", "--html", page}, flags...)...)
	g.Expect(report.code).To(Equal(0), "%s", report)
	content, err := os.ReadFile(page)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(content)).To(ContainSubstring(s.namespace + "/reader"))
	g.Expect(s.writesTo()).To(HaveLen(before))

	// A tenant may ask, too, with the right to read the Secret of the Connection.
	s.entitle(t, "auditor", "maxcompute-operator-viewer")
	asked = s.ask(t, "", append([]string{"what-can", "RAM$corp:alice", "--kubeconfig", kubeconfigOf(t, "auditor")}, flags...)...)
	g.Expect(asked.code).To(Equal(0), "%s", asked)
	g.Expect(asked.out).To(ContainSubstring(s.namespace + "/reader"))
	g.Expect(asked.err).To(Equal("You may not list objects of all namespaces: those of others are not seen.\n"))
}
