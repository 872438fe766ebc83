// Package sample makes pages for the tests in a browser.
package sample

import (
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/auditpage"
)

// read is when every sample was read.
func read() time.Time { return time.Date(2026, time.March, 2, 9, 30, 0, 0, time.UTC) }

// Small is a project in which everything occurs once that the page shows: each state of grants and of memberships, each verdict, what was
// given without a role, a principal and an object with nothing, a role whose members are unknown, and grants that reach nobody.
func Small() auditpage.Page {
	return auditpage.Page{
		Project: "sales", Connection: "data/production", Endpoint: "https://service.cn-hangzhou.maxcompute.example/api", Read: read(), Version: "v0.1.0",
		Objects: []auditpage.Object{
			{Kind: "Project", Name: "sales"},
			{Kind: "Table", Schema: "default", Name: "orders"},
			{Kind: "Table", Schema: "default", Name: "customers"},
			{Kind: "Table", Schema: "staging", Name: "ods_*"},
			{Kind: "Resource", Name: "cleanse.jar"},
			{Kind: "Function", Name: "mask_phone"},
			{Kind: "Table", Schema: "default", Name: "abandoned"},
		},
		Principals: smallPrincipals(),
		Profiles:   smallProfiles(),
		Roles: []auditpage.Role{
			{Name: "analyst", Type: "Resource", Manager: "data/analyst", Policy: "Authoritative"},
			{Name: "engineer", Type: "Resource", Manager: "data/engineer", Policy: "Additive"},
			{Name: "legacy", Type: "Resource"},
			{Name: "restricted", Type: "Resource", Manager: "data/restricted", Policy: "Observe"},
			{Name: "admin", Type: "Admin", MembersUnknown: true},
		},
		Grants: smallGrants(),
		Missing: []auditpage.Missing{
			{Role: "analyst", What: "Describe on table default.customers", Manager: "data/analyst"},
			{Role: "engineer", What: "member RAM$example:erin", Manager: "data/engineer"},
		},
		Notes: []string{"Permission requests could not be read: the identity of the connection may not list them."},
	}
}

func smallPrincipals() []auditpage.Principal {
	const declared, drift, unmanaged = auditpage.Declared, auditpage.Drift, auditpage.Unmanaged
	return []auditpage.Principal{
		{Name: "RAM$example:carol", Profile: 0, Roles: []auditpage.Membership{{Role: 0, State: declared}}},
		{Name: "RAM$example:alice", Profile: 0, Roles: []auditpage.Membership{{Role: 0, State: drift}}},
		{Name: "RAM$example:bob", Profile: 1, Roles: []auditpage.Membership{{Role: 0, State: declared}, {Role: 1, State: declared}}},
		{Name: "ALIYUN$dave@example.com", Profile: 2, Roles: []auditpage.Membership{{Role: 2, State: unmanaged}, {Role: 3, State: declared}}},
		{Name: "RAM$example:erin", Profile: 3},
	}
}

func smallGrants() []auditpage.Grant {
	const declared, drift, unmanaged = auditpage.Declared, auditpage.Drift, auditpage.Unmanaged
	acl, policy := "ACL entry", "policy statement"
	return []auditpage.Grant{
		{Role: 0, Source: acl, Effect: auditpage.Allow, Text: "Describe, Select on table default.orders", State: declared, Manager: "data/analyst"},
		{Role: 0, Source: acl, Effect: auditpage.Allow, Text: "Select on table default.customers", State: drift, Manager: "data/analyst"},
		{Role: 1, Source: acl, Effect: auditpage.Allow, Text: "Alter, Select, Update on table staging.ods_*", State: declared, Manager: "data/engineer"},
		{Role: 1, Source: acl, Effect: auditpage.Allow, Text: "Read on resource cleanse.jar", State: unmanaged},
		{Role: 2, Source: acl, Effect: auditpage.Allow, Text: "Drop, Select on table default.orders", State: unmanaged},
		{Role: 3, Source: policy, Effect: auditpage.Deny, State: declared, Manager: "data/restricted",
			Text: `{"Effect":"Deny","Action":["odps:Drop"],"Resource":["acs:odps:*:projects/sales/schemas/default/tables/*"]}`},
		{Role: 3, Source: policy, Effect: auditpage.Allow, State: declared, Manager: "data/restricted", Unclear: "The condition acs:SourceIp depends on the request.",
			Text: `{"Effect":"Allow","Action":["odps:Read"],"Resource":["acs:odps:*:projects/sales/registration/functions/mask_phone"],"Condition":{"IpAddress":{"acs:SourceIp":["192.0.2.0/24"]}}}`},
		{Role: auditpage.NoRole, Source: "permission request", Effect: auditpage.Allow, Text: "Download on table default.customers", State: declared,
			Manager: "team-a/quarter-close", Until: "2026-04-01T00:00:00Z"},
		{Role: 4, Source: "built-in role", Effect: auditpage.Allow, Text: "everything in the project", State: unmanaged},
		{Role: 0, Source: acl, Effect: auditpage.Allow, Text: "List on project sales", State: declared, Manager: "data/analyst"},
	}
}

func smallProfiles() []auditpage.Profile {
	const allowed, denied, unclear = auditpage.Allowed, auditpage.Denied, auditpage.Unclear
	orders := auditpage.Cell{Object: 1, Actions: []auditpage.Action{{Name: "Describe", Verdict: allowed, Via: []int{0}}, {Name: "Select", Verdict: allowed, Via: []int{0}}}}
	customers := auditpage.Cell{Object: 2, Actions: []auditpage.Action{{Name: "Select", Verdict: allowed, Via: []int{1}}}}
	project := auditpage.Cell{Object: 0, Actions: []auditpage.Action{{Name: "List", Verdict: allowed, Via: []int{9}}}}
	return []auditpage.Profile{
		{Cells: []auditpage.Cell{project, orders, customers}},
		{Cells: []auditpage.Cell{
			project, orders,
			{Object: 2, Actions: []auditpage.Action{{Name: "Download", Verdict: allowed, Via: []int{7}}, {Name: "Select", Verdict: allowed, Via: []int{1}}}},
			{Object: 3, Actions: []auditpage.Action{
				{Name: "Alter", Verdict: allowed, Via: []int{2}}, {Name: "Select", Verdict: allowed, Via: []int{2}}, {Name: "Update", Verdict: allowed, Via: []int{2}},
			}},
			{Object: 4, Actions: []auditpage.Action{{Name: "Read", Verdict: allowed, Via: []int{3}}}},
		}},
		{Cells: []auditpage.Cell{
			{Object: 1, Actions: []auditpage.Action{{Name: "Drop", Verdict: denied, Via: []int{4, 5}}, {Name: "Select", Verdict: allowed, Via: []int{4}}}},
			{Object: 5, Actions: []auditpage.Action{{Name: "Read", Verdict: unclear, Via: []int{6}}}},
		}},
		{},
	}
}
