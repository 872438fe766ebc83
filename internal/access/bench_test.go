package access_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/maxcompute-operator/maxcompute-operator/internal/access"
	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

// largeProject has 200 roles, 1,000 principals and 20,000 grants on 4,000 tables; every second role has a policy for some of them.
func largeProject(tb testing.TB) *access.Project {
	const roles, principals, grants, tables = 200, 1000, 20_000, 4_000
	r := rand.New(rand.NewPCG(5, 2026))
	p := &access.Project{Name: "p"}
	for i := range roles {
		var list []acl.Grant
		for range grants / roles {
			list = append(list, table(fmt.Sprintf("ods_%d", r.IntN(tables)), acl.Table.Actions()[r.IntN(5)]))
		}
		var doc acl.Document
		if i%2 == 0 {
			doc = policy(tb, statement("Allow", "odps:Select", fmt.Sprintf("tables/ods_%d*", i)), statement("Deny", "odps:Drop", "tables/*"))
		}
		var members []string
		for j := range 3 * principals / roles {
			members = append(members, fmt.Sprintf("RAM$corp:user%d", (i*5+j)%principals))
		}
		p.Roles = append(p.Roles, held(access.NewRole(fmt.Sprintf("role_%d", i), false, acl.NewSet(list...), doc, nil), members...))
	}
	return p
}

func BenchmarkWhoCan(b *testing.B) {
	p := largeProject(b)
	o := access.NewObject(acl.Table, "", "ods_17")
	for b.Loop() {
		p.WhoCan("Select", o)
	}
}

func BenchmarkWhatCan(b *testing.B) {
	p := largeProject(b)
	for b.Loop() {
		p.WhatCan("RAM$corp:user17")
	}
}

// BenchmarkTable evaluates everything, as a report does.
func BenchmarkTable(b *testing.B) {
	p := largeProject(b)
	for b.Loop() {
		table := p.Table()
		for _, who := range p.Principals() {
			table.Of(who)
		}
	}
}
