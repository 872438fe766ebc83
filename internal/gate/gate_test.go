package gate_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/maxcompute-operator/maxcompute-operator/internal/gate"
)

const slots = 64

func most(n int) func() int { return func() int { return n } }

// place is one of a tenant with an account of its own, whose rate is plenty.
func place(tenant string) gate.Place {
	return gate.Place{Tenant: tenant, Account: tenant + "/prod", Most: most(slots / 2)}
}

// crowd has a tenant ask for many slots, and returns the items that got one.
func crowd(g *gate.Gate[string], at gate.Place, n int) []string {
	var inside []string
	for i := range n {
		item := fmt.Sprintf("%s %s %d", at.Tenant, at.Account, i)
		if ok, _ := g.Enter(item, 0, at); ok {
			inside = append(inside, item)
		}
	}
	return inside
}

func TestHowManySlotsATenantGets(t *testing.T) {
	slow, shared := place("a"), place("a")
	slow.Most = most(2)
	shared.Account = "/shared"
	tests := map[string]struct {
		at   gate.Place
		want int
	}{
		"half of them":                      {place("a"), slots / 2},
		"what keeps a slow account busy":    {slow, 2},
		"half of them, at a shared account": {shared, slots / 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := gate.New[string](slots)
			if got := len(crowd(g, tc.at, 1000)); got != tc.want || g.Waiting() != 1000-tc.want {
				t.Errorf("%d got a slot and %d wait, want %d", got, g.Waiting(), tc.want)
			}
		})
	}
}

// churn lets passes end in turn, as they do when all take the same time, and what was admitted go in.
func churn(g *gate.Gate[string], inside []string, passes int) []string {
	for range passes {
		item := inside[0]
		inside = inside[1:]
		for _, a := range g.Leave(item) {
			inside = append(inside, a.Item)
		}
	}
	return inside
}

// TestTenantsThatWantAllGetTheSame: each of n one part of n+1, however many were there before.
func TestTenantsThatWantAllGetTheSame(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 15, 31} {
		g := gate.New[string](slots)
		var inside []string
		for i := range n {
			inside = append(inside, crowd(g, place(fmt.Sprint("t", i)), 2000)...)
		}
		inside = churn(g, inside, 500)
		shares := map[string]int{}
		for _, item := range inside {
			shares[item[:3]]++
		}
		least, most := slices.Min(slices.Collect(maps.Values(shares))), slices.Max(slices.Collect(maps.Values(shares)))
		if len(shares) != n || least < slots/(n+1)-1 || most > slots/(n+1)+1 {
			t.Errorf("%d tenants: shares between %d and %d of %d", n, least, most, slots)
		}
		if ok, _ := g.Enter("new", 0, place("newcomer")); !ok {
			t.Errorf("%d tenants leave nothing for one that has nothing under way", n)
		}
	}
}

// TestTenantsOfOneAccount share it, though its rate keeps only few passes busy.
func TestTenantsOfOneAccount(t *testing.T) {
	at := func(tenant string) gate.Place { return gate.Place{Tenant: tenant, Account: "/shared", Most: most(2)} }
	g := gate.New[string](slots)
	a := crowd(g, at("a"), 100)
	b := crowd(g, at("b"), 100)
	if len(a) != 2 || len(b) != 1 {
		t.Errorf("a has %d slots and b has %d, want 2 and 1", len(a), len(b))
	}
	if inside := churn(g, append(a, b...), 50); len(inside) > 4 {
		t.Errorf("%d passes wait for an account that 4 keep busy", len(inside))
	}
	if ok, _ := g.Enter("other", 0, place("c")); !ok {
		t.Error("another account waits for the shared one")
	}
}

func TestTheOrderOfThoseWhoWait(t *testing.T) {
	one := gate.Place{Tenant: "a", Account: "a/prod", Most: most(1)}
	enter := func(g *gate.Gate[string], item string, priority int) {
		if ok, _ := g.Enter(item, priority, one); ok {
			t.Errorf("%s has got a slot", item)
		}
	}
	tests := map[string]struct {
		wait func(*gate.Gate[string])
		want []string
	}{
		"first come, first served": {func(g *gate.Gate[string]) { enter(g, "x", 0); enter(g, "y", 0); enter(g, "z", 0) }, []string{"x", "y", "z"}},
		"a user's change before looks for drift": {
			func(g *gate.Gate[string]) { enter(g, "x", -100); enter(g, "y", -100); enter(g, "z", 0) }, []string{"z", "x", "y"},
		},
		"one that is changed while it waits": {
			func(g *gate.Gate[string]) { enter(g, "x", -100); enter(g, "y", -100); enter(g, "y", 0) }, []string{"y", "x"},
		},
		"one that is also due for a look": {
			func(g *gate.Gate[string]) { enter(g, "x", 0); enter(g, "y", 0); enter(g, "x", -100) }, []string{"x", "y"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			g := gate.New[string](slots)
			if ok, _ := g.Enter("first", 0, one); !ok {
				t.Fatal("the first has no slot")
			}
			tc.wait(g)
			var got []string
			for last := "first"; ; last = got[len(got)-1] {
				admitted := g.Leave(last)
				if len(admitted) == 0 {
					break
				}
				got = append(got, admitted[0].Item)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestAnAccountThatHasAnswered gets more slots for those who wait already.
func TestAnAccountThatHasAnswered(t *testing.T) {
	g, now := gate.New[string](slots), 1
	at := place("a")
	at.Most = func() int { return now }
	inside := crowd(g, at, 100)
	if len(inside) != 1 {
		t.Fatalf("%d have a slot", len(inside))
	}
	now = 20
	if inside = churn(g, inside, 1); len(inside) != 20 {
		t.Errorf("%d have a slot, want 20", len(inside))
	}
}

// TestAnItemThatMoved: its connection has changed while it waits.
func TestAnItemThatMoved(t *testing.T) {
	g := gate.New[string](slots)
	full := gate.Place{Tenant: "a", Account: "a/slow", Most: most(1)}
	if ok, _ := g.Enter("first", 0, full); !ok {
		t.Fatal("the first has no slot")
	}
	if ok, _ := g.Enter("item", 0, full); ok {
		t.Fatal("the second has a slot")
	}
	if ok, _ := g.Enter("item", 0, place("a")); !ok || g.Waiting() != 0 {
		t.Errorf("it waits for the account that it had")
	}
}

// TestNobodyIsForgotten: whatever comes and goes in whatever order, everything that enters is admitted
// once, no more than there are slots at a time, and a slot is never kept from a tenant without any.
func TestNobodyIsForgotten(t *testing.T) {
	for seed := range uint64(200) {
		comeAndGo(t, seed)
	}
}

func comeAndGo(t *testing.T, seed uint64) { //nolint:gocyclo // one walk, and what must hold at each step of it
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	slots := 1 + r.IntN(12)
	g := gate.New[int](slots)
	inside, waiting := map[int]string{}, map[int]string{}
	admit := func(items ...gate.Admission[int]) {
		for _, a := range items {
			if _, ok := waiting[a.Item]; !ok {
				t.Fatalf("seed %d: %d was admitted and did not wait", seed, a.Item)
			}
			inside[a.Item] = waiting[a.Item]
			delete(waiting, a.Item)
		}
	}
	leave := func() {
		items := slices.Sorted(maps.Keys(inside))
		item := items[r.IntN(len(items))]
		delete(inside, item)
		admit(g.Leave(item)...)
	}
	for item := range 300 {
		at := gate.Place{Tenant: fmt.Sprint(r.IntN(5)), Account: fmt.Sprint(r.IntN(3)), Most: most(1 + r.IntN(4))}
		waiting[item] = at.Tenant
		ok, others := g.Enter(item, r.IntN(3), at)
		if admit(others...); ok {
			admit(gate.Admission[int]{Item: item})
		}
		if again := r.IntN(item + 1); waiting[again] != "" {
			ok, others := g.Enter(again, r.IntN(3), at)
			if admit(others...); ok {
				admit(gate.Admission[int]{Item: again})
			}
		}
		for len(inside) > slots || len(inside) > 0 && r.IntN(2) == 0 {
			if len(inside) > slots {
				t.Fatalf("seed %d: %d passes have one of %d slots", seed, len(inside), slots)
			}
			leave()
		}
		if len(inside) == 0 && len(waiting) > 0 {
			t.Fatalf("seed %d: all slots are free and %d passes wait", seed, len(waiting))
		}
	}
	for len(inside) > 0 {
		leave()
	}
	if len(waiting) > 0 || g.Waiting() > 0 {
		t.Fatalf("seed %d: %d passes were forgotten", seed, len(waiting))
	}
}
