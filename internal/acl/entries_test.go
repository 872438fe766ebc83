package acl_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

// randomContents draws a set from few names in varying case.
func randomContents(r *rand.Rand) acl.Set {
	names := []string{"a", "A", "b", "c", "C"}
	actions := []string{"Select", "DESCRIBE", "update", "All", "Download"}
	var list []acl.Grant
	for range r.IntN(6) {
		g := acl.Grant{Kind: acl.Table, Schema: []string{"", "default", "ods"}[r.IntN(3)], Name: names[r.IntN(len(names))]}
		for range 1 + r.IntN(3) {
			g.Actions = append(g.Actions, actions[r.IntN(len(actions))])
		}
		list = append(list, g)
	}
	return acl.NewSet(list...)
}

func randomSharing(r *rand.Rand) acl.Sharing {
	names := []string{"p", "P", "q", "r"}
	var list []acl.Share
	for range r.IntN(5) {
		list = append(list, acl.Share{Project: names[r.IntN(len(names))], Label: r.IntN(3)})
	}
	return acl.NewSharing(list...)
}

func FuzzContentsLaws(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed, seed+1)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		r := rand.New(rand.NewPCG(a, b))
		want, have := randomContents(r), randomContents(r)
		change := acl.DiffContents(want, have)
		if got := change.Apply(have); !got.Equal(want) {
			t.Errorf("apply(diff(%v, %v)) = %v", want.Grants(), have.Grants(), got.Grants())
		}
		if !acl.DiffContents(want, want).Empty() {
			t.Errorf("%v differs from itself", want.Grants())
		}
		if change.Empty() != want.Equal(have) {
			t.Errorf("empty: %v for %v and %v", change.Empty(), want.Grants(), have.Grants())
		}
		touched := change.Add.Union(change.Remove)
		for _, replaced := range change.Replace {
			touched = touched.Union(acl.NewSet(replaced.From, replaced.To))
			if replaced.From.Name != replaced.To.Name || replaced.From.Schema != replaced.To.Schema {
				t.Errorf("replaced %v by %v", replaced.From, replaced.To)
			}
		}
		same := want.Intersect(have).Absent(want.Minus(have)).Absent(have.Minus(want))
		for _, g := range same.Grants() {
			if touched.Len() != touched.Absent(acl.NewSet(g)).Len() {
				t.Errorf("%v is the same in both and is touched", g)
			}
		}
	})
}

func FuzzSharingLaws(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed, seed+1)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		r := rand.New(rand.NewPCG(a, b))
		want, have, owned, former := randomSharing(r), randomSharing(r), randomSharing(r), randomSharing(r)
		if got := acl.DiffSharing(want, have).Apply(have); !got.Equal(want) {
			t.Errorf("apply(diff(%v, %v)) = %v", want.List(), have.List(), got.List())
		}
		if !acl.DiffSharing(want, want).Empty() {
			t.Errorf("%v differs from itself", want.List())
		}
		checkEnsure(t, want, have, owned, former.Minus(owned).Intersect(have))
		checkRevert(t, have, owned, former.Minus(owned).Intersect(have))
	})
}

// checkEnsure: what is wanted is there, nothing that is not the owner's goes or gets less, and a second time changes nothing.
func checkEnsure(t *testing.T, want, have, owned, former acl.Sharing) {
	t.Helper()
	ensured := have.Ensure(want, owned, former)
	if again := ensured.Ensure(want, owned, former); !again.Equal(ensured) {
		t.Errorf("ensured twice: %v, then %v", ensured.List(), again.List())
	}
	for _, share := range want.List() {
		if got, ok := ensured.Of(share.Project); !ok || got.Label < share.Label {
			t.Errorf("%v is not ensured: %v", share, ensured.List())
		}
	}
	for _, share := range former.Union(have.Minus(owned)).List() {
		if got, ok := ensured.Of(share.Project); !ok || got.Label < share.Label {
			t.Errorf("%v is not the owner's and was lowered: %v", share, ensured.List())
		}
	}
}

// checkRevert: what is the owner's goes, and the rest is as it was before.
func checkRevert(t *testing.T, have, owned, former acl.Sharing) {
	t.Helper()
	reverted := have.Revert(owned, former)
	if want := former.Union(have.Minus(owned)); !reverted.Equal(want) {
		t.Errorf("%v was reverted to %v, want %v", have.List(), reverted.List(), want.List())
	}
}

func TestReplacementKeepsTheSpellingOfTheService(t *testing.T) {
	want := acl.NewSet(acl.Grant{Kind: acl.Table, Name: "Orders", Actions: []string{"Select", "Update"}})
	have := acl.NewSet(acl.Grant{Kind: acl.Table, Name: "ORDERS", Actions: []string{"select"}})
	change := acl.DiffContents(want, have)
	if len(change.Replace) != 1 || change.Replace[0].To.Name != "ORDERS" || fmt.Sprint(change.Replace[0].To.Actions) != "[Select Update]" {
		t.Errorf("got %+v", change)
	}
}

func TestOfAProjectThatIsListedTwiceTheLowerLabelCounts(t *testing.T) {
	s := acl.NewSharing(acl.Share{Project: "p", Label: 3}, acl.Share{Project: "P", Label: 1})
	if share, ok := s.Of("p"); !ok || share.Label != 1 || s.Len() != 1 {
		t.Errorf("got %v", s.List())
	}
}
