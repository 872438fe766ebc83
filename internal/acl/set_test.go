package acl_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

func TestNewSetComparesByMeaning(t *testing.T) {
	base := []acl.Grant{
		{Kind: acl.Table, Name: "orders", Actions: []string{"Describe", "Select"}},
		{Kind: acl.Instance, Name: "*", Actions: []string{"Read"}},
	}
	tests := map[string]struct {
		grants []acl.Grant
		equal  bool
	}{
		"the same":         {base, true},
		"in another order": {[]acl.Grant{base[1], {Kind: acl.Table, Name: "orders", Actions: []string{"Select", "Describe"}}}, true},
		"in another case": {[]acl.Grant{
			{Kind: acl.Table, Schema: "DEFAULT", Name: "Orders", Actions: []string{"SELECT", "describe"}},
			{Kind: acl.Instance, Name: "*", Actions: []string{"READ"}},
		}, true},
		"with duplicates": {[]acl.Grant{base[0], base[0], base[1], {Kind: acl.Table, Name: "ORDERS", Actions: []string{"select", "Select"}}}, true},
		"split over entries": {[]acl.Grant{
			{Kind: acl.Table, Name: "orders", Actions: []string{"Describe"}}, {Kind: acl.Table, Name: "orders", Actions: []string{"Select"}}, base[1],
		}, true},
		"with the default schema spelt out":             {[]acl.Grant{{Kind: acl.Table, Schema: "default", Name: "orders", Actions: base[0].Actions}, base[1]}, true},
		"a schema where none can be counts for nothing": {[]acl.Grant{base[0], {Kind: acl.Instance, Schema: "default", Name: "*", Actions: []string{"Read"}}}, true},
		"an entry without actions grants nothing":       {append(slices.Clone(base), acl.Grant{Kind: acl.Table, Name: "t2"}), true},
		"another schema":                     {[]acl.Grant{{Kind: acl.Table, Schema: "ods", Name: "orders", Actions: base[0].Actions}, base[1]}, false},
		"another kind":                       {[]acl.Grant{{Kind: acl.Function, Name: "orders", Actions: []string{"Read"}}, base[1]}, false},
		"an action less":                     {[]acl.Grant{{Kind: acl.Table, Name: "orders", Actions: []string{"Select"}}, base[1]}, false},
		"an action that the catalogue lacks": {append(slices.Clone(base), acl.Grant{Kind: acl.Table, Name: "orders", Actions: []string{"Teleport"}}), false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := acl.NewSet(tc.grants...).Equal(acl.NewSet(base...)); got != tc.equal {
				t.Errorf("Equal = %v, want %v", got, tc.equal)
			}
		})
	}
}

func TestAllStandsForEveryActionOfTheKind(t *testing.T) {
	tests := map[acl.Kind][]string{
		acl.Table:    {"Alter", "Describe", "Drop", "Select", "ShowHistory", "Update"},
		acl.Resource: {"Delete", "Read", "Write"},
		acl.Function: {"Delete", "Execute", "Read", "Write"},
		acl.Project:  {"CreateFunction", "CreateInstance", "CreateModel", "CreateResource", "CreateTable", "List"},
		acl.Instance: {"Read", "Write"},
	}
	for kind, full := range tests {
		t.Run(string(kind), func(t *testing.T) {
			got := acl.NewSet(acl.Grant{Kind: kind, Name: "x", Actions: []string{"aLL"}}).Grants()
			if diff := cmp.Diff(full, got[0].Actions); diff != "" {
				t.Errorf("All (-want +got):\n%s", diff)
			}
			if !kind.KnowsAction("all") || kind.KnowsAction("") || kind.KnowsAction("Drop Table") {
				t.Error("KnowsAction accepts what it should not, or not what it should")
			}
		})
	}
}

func TestSpellingIsKeptForSending(t *testing.T) {
	set := acl.NewSet(acl.Grant{Kind: acl.Resource, Name: "UDF.jar", Actions: []string{"read"}})
	want := []acl.Grant{{Kind: acl.Resource, Schema: "default", Name: "UDF.jar", Actions: []string{"Read"}}}
	if diff := cmp.Diff(want, set.Grants()); diff != "" {
		t.Errorf("Grants (-want +got):\n%s", diff)
	}
}

func TestUnknownActionsOfTheCloudAreNotLost(t *testing.T) {
	have := acl.NewSet(acl.Grant{Kind: acl.Table, Name: "t", Actions: []string{"select", "Teleport"}})
	want := acl.NewSet(acl.Grant{Kind: acl.Table, Name: "t", Actions: []string{"Select"}})
	got := acl.Diff(want, have, acl.Set{}, acl.Authoritative).Revoke.Grants()
	if len(got) != 1 || !slices.Equal(got[0].Actions, []string{"teleport"}) {
		t.Errorf("Revoke = %v, want the unknown action", got)
	}
}

// world makes random but related access control lists out of few names, so that they overlap.
type world struct{ *rand.Rand }

func (w world) set(size int) acl.Set { return acl.NewSet(w.grants(size)...) }

func (w world) grants(size int) []acl.Grant {
	vocabulary := map[acl.Kind][]string{
		acl.Table: {"Describe", "Select", "Alter", "Update", "Drop", "ShowHistory", "Download", "All"}, acl.Resource: {"Read", "Write", "Delete", "All"},
		acl.Function: {"Read", "Write", "Execute"}, acl.Package: {"Read"}, acl.Project: {"List", "CreateInstance", "All"}, acl.Instance: {"Read", "Write"},
	}
	grants := make([]acl.Grant, 0, size)
	for range w.IntN(size + 1) {
		kind := acl.Kinds[w.IntN(len(acl.Kinds))]
		g := acl.Grant{Kind: kind, Name: fmt.Sprintf("object_%d", w.IntN(6)), Schema: []string{"", "default", "ods"}[w.IntN(3)]}
		for range 1 + w.IntN(3) {
			g.Actions = append(g.Actions, vocabulary[kind][w.IntN(len(vocabulary[kind]))])
		}
		grants = append(grants, g)
	}
	return grants
}

// rewrite says the same in another way: order, case, repetition, the default schema.
func (w world) rewrite(grants []acl.Grant) []acl.Grant {
	var out []acl.Grant
	for _, g := range grants {
		for range 1 + w.IntN(2) {
			c := g
			c.Actions = slices.Clone(g.Actions)
			w.Shuffle(len(c.Actions), func(i, j int) { c.Actions[i], c.Actions[j] = c.Actions[j], c.Actions[i] })
			for i := range c.Actions {
				c.Actions[i] = w.recase(c.Actions[i])
			}
			c.Name = w.recase(c.Name)
			if c.Schema == "default" || c.Schema == "" {
				c.Schema = []string{"", "default", "Default"}[w.IntN(3)]
			} else {
				c.Schema = w.recase(c.Schema)
			}
			out = append(out, c)
		}
	}
	w.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func (w world) recase(s string) string {
	return [](func(string) string){strings.ToLower, strings.ToUpper, func(s string) string { return s }}[w.IntN(3)](s)
}

// FuzzLaws holds the laws that make a difference trustworthy.
func FuzzLaws(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, seed*31)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		w := world{rand.New(rand.NewPCG(a, b))}
		grants := w.grants(12)
		want, have, owned := acl.NewSet(grants...), w.set(12), w.set(6)
		check := func(law string, holds bool) {
			t.Helper()
			if !holds {
				t.Errorf("%s\nwant  %v\nhave  %v\nowned %v", law, want.Grants(), have.Grants(), owned.Grants())
			}
		}
		authoritative := acl.Diff(want, have, owned, acl.Authoritative)
		check("applying the plan gives what is wanted", authoritative.Apply(have).Equal(want))
		check("a plan grants nothing that is there", authoritative.Grant.Intersect(have).Empty())
		check("a plan revokes nothing that is wanted", authoritative.Revoke.Intersect(want).Empty())
		check("what is as wanted needs no plan", acl.Diff(want, want, owned, acl.Authoritative).Empty())
		check("after granting, all that both had and want is there", have.Union(authoritative.Grant).Contains(want.Intersect(have)))

		additive := acl.Diff(want, have, owned, acl.Additive)
		check("additive revokes only what is owned", owned.Contains(additive.Revoke))
		check("additive ensures what is wanted", additive.Apply(have).Contains(want))
		check("additive keeps what is not owned", additive.Apply(have).Contains(have.Minus(owned)))
		release := acl.Diff(acl.Set{}, have, owned, acl.Additive)
		check("letting go removes exactly what is owned", release.Apply(have).Equal(have.Minus(owned)) && release.Revoke.Equal(owned.Intersect(have)))

		again := acl.NewSet(w.rewrite(grants)...)
		check("saying it in another way is the same", again.Equal(want) && acl.Diff(again, want, owned, acl.Authoritative).Empty())
		check("normalising twice is normalising once", cmp.Equal(acl.NewSet(want.Grants()...).Grants(), want.Grants()))
		check("counting pairs agrees with taking sets apart", want.Pairs() == want.Minus(have).Pairs()+want.Intersect(have).Pairs())
		check("union is commutative", want.Union(have).Equal(have.Union(want)))
	})
}

// FuzzNewSet holds that whatever names and actions come in, a set is canonical and equal to itself.
func FuzzNewSet(f *testing.F) {
	f.Add("Table", "default", "orders", "Select,describe")
	f.Add("Table", "", "İ", "aLL,")
	f.Add("Nonsense", "x", "", ",,")
	f.Fuzz(func(t *testing.T, kind, schema, name, actions string) {
		set := acl.NewSet(acl.Grant{Kind: acl.Kind(kind), Schema: schema, Name: name, Actions: strings.Split(actions, ",")})
		again := acl.NewSet(set.Grants()...)
		if !again.Equal(set) || !cmp.Equal(again.Grants(), set.Grants()) {
			t.Errorf("not canonical: %v, then %v", set.Grants(), again.Grants())
		}
		if !set.Minus(set).Empty() || !set.Contains(set) || set.Pairs() < set.Len() {
			t.Errorf("not equal to itself: %v", set.Grants())
		}
	})
}

func benchmarkGrants(n int) []acl.Grant {
	grants := make([]acl.Grant, n)
	for i := range grants {
		grants[i] = acl.Grant{Kind: acl.Table, Schema: "default", Name: fmt.Sprintf("dwd_table_%05d", (i*7919)%n), Actions: []string{"select", "describe", "update"}}
	}
	return grants
}

// BenchmarkNormaliseAndDiff measures one comparison of 10,000 entries as the service reports them with as many as a spec lists.
func BenchmarkNormaliseAndDiff(b *testing.B) {
	observed := benchmarkGrants(10_000)
	wanted := slices.Clone(observed)
	for i := 0; i < len(wanted); i += 100 {
		wanted[i].Actions = []string{"Select"}
	}
	b.ReportAllocs()
	for b.Loop() {
		change := acl.Diff(acl.NewSet(wanted...), acl.NewSet(observed...), acl.Set{}, acl.Authoritative)
		if change.Revoke.Len() != 100 || !change.Grant.Empty() {
			b.Fatal("wrong difference")
		}
	}
}
