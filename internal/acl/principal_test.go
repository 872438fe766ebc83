package acl_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

func TestPrincipals(t *testing.T) {
	tests := map[string]struct{ key, owner, name string }{
		"ALIYUN$ops@example.com":             {"ALIYUN$ops@example.com", "", "ops@example.com"},
		"aliyun$Ops@Example.com":             {"ALIYUN$ops@example.com", "", "ops@example.com"},
		"ALIYUN$267842600408993176":          {"ALIYUN$267842600408993176", "", "267842600408993176"},
		"RAM$corp:alice":                     {"RAM$corp:alice", "corp", "alice"},
		"ram$CORP:Alice.B-c_d":               {"RAM$corp:alice.b-c_d", "corp", "alice.b-c_d"},
		"RAM$ops@example.com:alice@corp.com": {"RAM$ops@example.com:alice@corp.com", "ops@example.com", "alice@corp.com"},
		"RAM$corp:role/Reader":               {"RAM$corp:role/reader", "corp", "reader"},
		"RAM$corp:ROLE/reader":               {"RAM$corp:role/reader", "corp", "reader"},
		"RAM$corp:role":                      {"RAM$corp:role", "corp", "role"},
		"ALIYUN$数据团队":                        {"ALIYUN$数据团队", "", "数据团队"},
	}
	for spelling, want := range tests {
		t.Run(spelling, func(t *testing.T) {
			p, err := acl.ParsePrincipal(spelling)
			if err != nil {
				t.Fatal(err)
			}
			if p.Key() != want.key || p.String() != spelling || p.Owner() != want.owner || p.Name() != want.name || p.IsRole() != strings.Contains(want.key, "role/") {
				t.Errorf("got %s, owner %s, name %s, role %v, of %s", p.Key(), p.Owner(), p.Name(), p.IsRole(), p)
			}
		})
	}
}

// noPrincipals are what must not be taken for one.
var noPrincipals = []string{
	"", "$", "alice", "corp:alice", "ALIYUN$", "ALIYUN", "RAM$", "RAM$alice", "RAM$:alice", "RAM$corp:", "RAM$corp:role/", "RAM$corp:group/x", "RAM$corp:role/a/b", "RAM$corp:a:b",
	"ALIYUN$a:b", "ALIYUN$a/b", "OTHER$alice", "$alice", " ALIYUN$a", "ALIYUN$a ", "ALIYUN$a b", "ALIYUN$a\tb", "ALIYUN$a\n", "ALIYUN$a\u00a0b", "ALIYUN$a\u200bb", "ALIYUN$a\u202eb", "ALIYUN$'a'",
	`ALIYUN$"a"`, "ALIYUN$`a`", "ALIYUN$a;DROP", "ALIYUN$a$b", "RAM$$corp:a", "ALIYUN$a\x00", "ALIYUN$\xff", "ALIYUN$a,b", "ALIYUN$*", "ALIYUN$a\\", "ALIYUN$(a)", "ALIYUN$a#", "ALIYUN$a%20b", "ROLE$x",
	"al\u0131yun$a", "RAM\u2024corp:a",
}

func TestWhatIsNoPrincipal(t *testing.T) {
	for _, s := range noPrincipals {
		if p, err := acl.ParsePrincipal(s); err == nil {
			t.Errorf("%q was taken for %s", s, p.Key())
		}
	}
	_, err := acl.ParsePrincipal("RAM$" + strings.Repeat("x", 1000) + ";")
	if err == nil || len(err.Error()) > 400 {
		t.Errorf("got %v", err)
	}
	_, err = acl.ParsePrincipal("alice")
	if want := `"alice" is not of the form ALIYUN$account, RAM$owner:user or RAM$owner:role/name`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestWhatIsNoPrincipalIsNeverPlannedFor(t *testing.T) {
	have := acl.NewMembers("RAM$corp:bob", "RAM$alice", "RAM$alice", "group/x", "ram$CORP:bob")
	if diff := cmp.Diff([]string{"RAM$alice", "group/x"}, have.Unknown()); diff != "" {
		t.Errorf("Unknown (-want +got):\n%s", diff)
	}
	if have.Len() != 1 {
		t.Errorf("Len = %d", have.Len())
	}
	surplus := have.Minus(acl.Members{})
	if diff := cmp.Diff([]string{"RAM$corp:bob"}, append(surplus.List(), surplus.Unknown()...)); diff != "" {
		t.Errorf("Minus (-want +got):\n%s", diff)
	}
	if kept := have.Intersect(have); len(kept.Unknown()) != 0 || !kept.Equal(have) {
		t.Errorf("Intersect = %v, %v", kept.List(), kept.Unknown())
	}
	if diff := cmp.Diff([]string{"RAM$alice", "group/x", "x"}, have.Union(acl.NewMembers("x", "group/x")).Unknown()); diff != "" {
		t.Errorf("Unknown of a union (-want +got):\n%s", diff)
	}
}

func TestMembersAreListedAsTheyWereSpelt(t *testing.T) {
	want := []string{"ALIYUN$Ops@Example.com", "RAM$Corp:Alice", "RAM$corp:role/alice"}
	for range 10 {
		spellings := []string{"RAM$corp:alice", "RAM$Corp:Alice", "RAM$corp:role/alice", "ALIYUN$Ops@Example.com", "ALIYUN$ops@example.com"}
		rand.Shuffle(len(spellings), func(i, j int) { spellings[i], spellings[j] = spellings[j], spellings[i] })
		if diff := cmp.Diff(want, acl.NewMembers(spellings...).List()); diff != "" {
			t.Errorf("List (-want +got):\n%s", diff)
		}
	}
}

// members makes random but related lists of principals, and some that are none.
func (w world) members(size int) []string {
	names := []string{"ALIYUN$ops@example.com", "ALIYUN$alice", "RAM$alice:alice", "RAM$corp:alice", "RAM$corp:role/alice", "RAM$ops@example.com:alice", "RAM$ops@example.com:bob", "RAM$alice", "alice", "x;y"}
	out := []string{}
	for range w.IntN(size + 1) {
		out = append(out, names[w.IntN(len(names))])
	}
	return out
}

func (w world) respell(list []string) []string {
	out := []string{}
	for _, s := range list {
		for range 1 + w.IntN(2) {
			if _, err := acl.ParsePrincipal(s); err == nil {
				s = w.recase(s)
			}
			out = append(out, s)
		}
	}
	w.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// FuzzMembersLaws holds the laws of sets of principals.
func FuzzMembersLaws(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed, seed*31)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		w := world{rand.New(rand.NewPCG(a, b))}
		list := w.members(8)
		want, have := acl.NewMembers(list...), acl.NewMembers(w.members(8)...)
		check := func(law string, holds bool) {
			t.Helper()
			if !holds {
				t.Errorf("%s\nwant %v\nhave %v", law, want.List(), have.List())
			}
		}
		again := acl.NewMembers(w.respell(list)...)
		add, remove := want.Minus(have), have.Minus(want)
		check("saying it in another way is the same", again.Equal(want) && slices.Equal(again.Unknown(), want.Unknown()))
		check("applying the difference gives what is wanted", have.Union(add).Minus(remove).Equal(want))
		check("the difference adds nothing that is there", add.Intersect(have).Empty())
		check("the difference removes nothing that is wanted", remove.Intersect(want).Empty())
		check("what is as wanted needs no difference", again.Minus(want).Empty() && want.Minus(again).Empty())
		check("counting agrees with taking sets apart", want.Len() == want.Minus(have).Len()+want.Intersect(have).Len())
		check("union is commutative", want.Union(have).Equal(have.Union(want)) && slices.Equal(want.Union(have).List(), have.Union(want).List()))
		check("a union contains both", want.Union(have).Contains(want) && want.Union(have).Contains(have))
		check("a list makes the same set", slices.Equal(acl.NewMembers(want.List()...).List(), want.List()))
		check("what is no principal never becomes one", len(remove.Unknown()) == 0 && len(add.Unknown()) == 0)
	})
}

// FuzzParsePrincipal holds that whatever comes in, it is refused, or a name and nothing else.
func FuzzParsePrincipal(f *testing.F) {
	for _, s := range noPrincipals {
		f.Add(s)
	}
	f.Add("RAM$ops@example.com:role/Reader")
	f.Add("aliyun$\u0130\u212a")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := acl.ParsePrincipal(s)
		if err != nil {
			if m := acl.NewMembers(s); m.Len() != 0 || !slices.Equal(m.Unknown(), []string{s}) {
				t.Errorf("%q is a member nevertheless", s)
			}
			return
		}
		if p.String() != s {
			t.Errorf("%q reads as %q", s, p)
		}
		checkPrincipal(t, p)
	})
}

func checkPrincipal(t *testing.T, p acl.Principal) {
	t.Helper()
	s := p.String()
	again, err := acl.ParsePrincipal(s)
	if err != nil || again != p {
		t.Errorf("%q reads as %v, then as %v, %v", s, p, again, err)
	}
	key, err := acl.ParsePrincipal(p.Key())
	if err != nil || key.Key() != p.Key() {
		t.Errorf("the key of %q is %q, whose key is %q, %v", s, p.Key(), key.Key(), err)
	}
	if strings.ContainsAny(s, " \t\r\n'\"`;,()<>&*\\#%") || strings.Count(s, "$") != 1 || strings.Count(s, ":") > 1 || strings.Count(s, "/") > 1 {
		t.Errorf("%q is more than a name", s)
	}
	if m := acl.NewMembers(s, p.Key()); m.Len() != 1 || !m.Equal(acl.NewMembers(s)) || !m.Minus(acl.NewMembers(p.Key())).Empty() {
		t.Errorf("%q differs from its key", s)
	}
}
