package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// book is what is written down of requests whose outcome a killed manager did not know, and of the tables that there should be orders for.
type book struct {
	// seen are the attempts that were found open at a kill: each counts once.
	seen map[attempt]bool
	// fates counts them, hit names their objects.
	fates map[fate]int
	hit   map[types.UID]bool
	// calm is when the faults ended.
	calm time.Time
	// tables are those of all requests, project.table.
	tables map[string]bool
}

type attempt struct {
	token  string
	number int32
}

func newBook() book {
	return book{seen: map[attempt]bool{}, fates: map[fate]int{}, hit: map[types.UID]bool{}, tables: map[string]bool{}}
}

// killed notes what a manager has left open that was just killed, and where it was with it.
func (b *book) killed(all []v1alpha1.PermissionApply, l *link) {
	for _, apply := range all {
		for _, s := range apply.Status.Submissions {
			open := attempt{s.Token, s.Attempts}
			if s.SendingTime == nil || b.seen[open] {
				continue
			}
			b.seen[open] = true
			b.fates[l.last(s.Token)]++
			b.hit[apply.UID] = true
		}
	}
}

// describe counts fates.
func (b *book) describe(fates ...fate) string {
	sum, parts := 0, make([]string, 0, len(fates))
	for _, f := range fates {
		sum += b.fates[f]
		parts = append(parts, fmt.Sprintf("%d %s", b.fates[f], f))
	}
	return fmt.Sprintf("%d: %s", sum, strings.Join(parts, ", "))
}

// faultsHit counts the submitting calls that each kind of fault has hit.
func (r *requests) faultsHit() string {
	counts, sum := map[string]int{}, 0
	for _, f := range r.Cloud.Faults() {
		if f.Fault.Kind != fakecloud.FaultLatency {
			counts[f.Fault.Kind] += f.Hits
			sum += f.Hits
		}
	}
	return fmt.Sprintf("%d: %d not carried out (%d dropped, %d with a 5xx), %d carried out (%d dropped, %d garbled)", sum,
		counts[fakecloud.FaultDropBefore]+counts[fakecloud.FaultServerError], counts[fakecloud.FaultDropBefore], counts[fakecloud.FaultServerError],
		counts[fakecloud.FaultDropAfter]+counts[fakecloud.FaultGarbled], counts[fakecloud.FaultDropAfter], counts[fakecloud.FaultGarbled])
}

// isSubmitted tells whether all calls of a request are known to have made orders.
func isSubmitted(apply *v1alpha1.PermissionApply) bool {
	return len(apply.Status.Submissions) > 0 && !slices.ContainsFunc(apply.Status.Submissions, func(s v1alpha1.Submission) bool {
		return len(s.OrderIDs) == 0 || s.SendingTime != nil
	})
}

// saysWhyNot tells whether a request says why it has not all its orders, and that nothing will change about it by itself.
func saysWhyNot(apply *v1alpha1.PermissionApply) bool {
	ready := conditions.ReadyCondition(apply)
	return ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason != "" && ready.Message != "" &&
		apimeta.IsStatusConditionTrue(apply.Status.Conditions, v1alpha1.StalledCondition)
}

// isSettled tells whether it is known what became of a request.
func isSettled(apply *v1alpha1.PermissionApply) bool { return isSubmitted(apply) || saysWhyNot(apply) }

// figures are what became of the requests.
type figures struct {
	orders, tables int
	// doubles and lost count tables with too many orders and with none, differing the requests whose status has other orders than the
	// cloud, explained the tables without an order of requests that say why.
	doubles, lost, differing, explained int
	broken                              []broken
	// tallies are by version of the API.
	tallies map[string]*tally
}

// tally counts requests and calls of one version.
type tally struct {
	// calls submit, and repeats are those that were not the first for what they submit; needless are repeats after whose
	// predecessor there was an order.
	calls, repeats, needless int
	// hit are the requests with a call whose outcome the manager did not know; they were found by a search, or repeated.
	hit, found, repeated int
}

// broken is a request that is not as promised.
type broken struct {
	apply v1alpha1.PermissionApply
	why   string
}

// compare holds the requests against the orders that the cloud has for their tables, whatever mark these bear.
func (b *book) compare(all []v1alpha1.PermissionApply, orders []fakecloud.Order, calls map[string][]submission) figures {
	byTable, byToken := map[string][]string{}, map[string]time.Time{}
	for _, o := range orders {
		for _, object := range o.Objects {
			key := object.Project + "." + object.Name
			byTable[key] = append(byTable[key], o.ID)
		}
		// The oldest come first.
		if token := tokenIn(o.Reason); byToken[token].IsZero() {
			byToken[token] = o.Created
		}
	}
	f := figures{orders: len(orders), tallies: map[string]*tally{}}
	for _, g := range generations {
		f.tallies[g.version] = &tally{}
	}
	for i := range all {
		b.check(&f, &all[i], byTable)
		if t := f.tallies[all[i].Status.APIVersion]; t != nil {
			t.add(&all[i], b.hit[all[i].UID], byToken, calls)
		}
	}
	f.tables = len(b.tables)
	return f
}

// check holds one request against the orders of its tables.
func (b *book) check(f *figures, apply *v1alpha1.PermissionApply, byTable map[string][]string) {
	var made, known, wrong []string
	for _, o := range apply.Spec.Objects {
		key := apply.Spec.ProjectName + "." + o.Name
		b.tables[key] = true
		switch orders := byTable[key]; {
		case len(orders) > 1:
			f.doubles++
			wrong = append(wrong, fmt.Sprintf("%s has %d orders", key, len(orders)))
		case len(orders) == 0 && saysWhyNot(apply):
			f.explained++
		case len(orders) == 0:
			f.lost++
			wrong = append(wrong, key+" has no order, and the request does not say why")
		}
		made = append(made, byTable[key]...)
	}
	for _, o := range apply.Status.Orders {
		known = append(known, o.ID)
	}
	slices.Sort(made)
	slices.Sort(known)
	if !slices.Equal(made, known) {
		f.differing++
		wrong = append(wrong, fmt.Sprintf("the status has the orders %v, the cloud %v", known, made))
	}
	if len(wrong) > 0 {
		f.broken = append(f.broken, broken{*apply, strings.Join(wrong, "; ")})
	}
}

// add counts one request, with the times of the first orders by token, and the calls. hit tells that a kill has left one of them open.
func (t *tally) add(apply *v1alpha1.PermissionApply, hit bool, made map[string]time.Time, calls map[string][]submission) {
	repeated := false
	for _, s := range apply.Status.Submissions {
		repeated = repeated || s.Attempts > 1
		t.calls += len(calls[s.Token])
		for i, c := range calls[s.Token] {
			hit = hit || c.Fate != answered
			if i == 0 {
				continue
			}
			t.repeats++
			if made[s.Token].Before(c.At) {
				t.needless++
			}
		}
	}
	switch {
	case !hit:
		return
	case repeated:
		t.repeated++
	case isSubmitted(apply):
		t.found++
	}
	t.hit++
}
