package dataworks_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

func TestStates(t *testing.T) {
	type fake = fakecloud.Server
	reject := func(f *fake, id string) error { return f.RejectOrder(id, "no") }
	hold := func(f *fake, id string) error {
		return f.ApproveOrder(id, fakecloud.Approval{Hold: true, Comment: "yes"})
	}
	grant := func(f *fake, id string) error { return f.ApproveOrder(id, fakecloud.Approval{Comment: "yes"}) }
	fail := func(f *fake, id string) error { return f.FailAuthorisation(id, "") }
	tests := []struct {
		name       string
		change     func(*fake, string) error
		v2020      dataworks.State
		v2024      dataworks.State
		unfinished bool
	}{
		{name: "pending", change: func(*fake, string) error { return nil }, v2020: dataworks.Pending, v2024: dataworks.Pending, unfinished: true},
		// The older version has no status for it.
		{name: "approved", change: hold, v2020: dataworks.Pending, v2024: dataworks.Approved},
		{name: "granted", change: grant, v2020: dataworks.Granted, v2024: dataworks.Granted},
		{name: "failed", change: fail, v2020: dataworks.GrantFailed, v2024: dataworks.GrantFailed},
		{name: "rejected", change: reject, v2020: dataworks.Rejected, v2024: dataworks.Rejected},
		{name: "withdrawn", change: (*fake).WithdrawOrder, v2020: dataworks.Withdrawn, v2024: dataworks.Withdrawn},
		{name: "deleted", change: (*fake).DeleteOrder, v2024: dataworks.Deleted},
	}
	for _, tc := range tests {
		for version := range versions {
			for _, spelling := range []fakecloud.StatusSpelling{fakecloud.StatusesListed, fakecloud.StatusesUpper} {
				want := map[string]dataworks.State{dataworks.Version2020: tc.v2020, dataworks.Version2024: tc.v2024}[version]
				if want == "" {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", version, tc.name, spelling), func(t *testing.T) {
					fake := newCloud(t)
					fake.SetOrderStyle(fakecloud.OrderStyle{Statuses: spelling})
					c := newClient(t, version, fake)
					id := submitted(t, c, usual())
					fake.ShiftClock(time.Minute)
					must(t, tc.change(fake, id))
					order, err := c.Get(t.Context(), id)
					must(t, err)
					list, err := c.Search(t.Context(), everything())
					must(t, err)
					wantList := []dataworks.Summary{{ID: id, State: want, Reason: "report [1]", Submitted: now}}
					if diff := gocmp.Diff(wantList, list); diff != "" {
						t.Errorf("list (-want +got):\n%s", diff)
					}
					wanted := dataworks.Order{ID: id, State: want, Reason: "report [1]", Submitted: now, Deadline: tomorrow, Grantees: []string{alice}}
					if !tc.unfinished {
						wanted.Finished = now.Add(time.Minute)
					}
					got := order
					got.Objects, got.Comment = nil, ""
					if diff := gocmp.Diff(wanted, got); diff != "" {
						t.Errorf("order (-want +got):\n%s", diff)
					}
					if granted := anythingGranted(order); granted != (want == dataworks.Granted) {
						t.Errorf("state %s, and granted is %t: %+v", want, granted, order)
					}
				})
			}
		}
	}
}

// anythingGranted tells whether an order says so of any of its objects or columns.
func anythingGranted(order dataworks.Order) bool {
	return slices.ContainsFunc(order.Objects, func(o dataworks.OrderObject) bool {
		return o.Granted != nil || slices.ContainsFunc(o.Columns, func(c dataworks.OrderColumn) bool { return c.Granted != nil })
	})
}

// everything looks for all orders of the project.
func everything() dataworks.Query {
	return dataworks.Query{Project: project, Since: now.Add(-time.Hour), Until: now.Add(time.Hour)}
}

func TestNarrowedOrders(t *testing.T) {
	sooner := now.Add(time.Hour)
	both, left := []string{"Describe", "Select"}, []string{"Select"}
	tests := map[string]struct{ asked, granted []dataworks.OrderObject }{
		dataworks.Version2020: {
			asked: []dataworks.OrderObject{{
				Project: project, Name: "orders", Actions: both, Deadline: tomorrow,
				Columns: []dataworks.OrderColumn{{Name: "id", Actions: both}, {Name: "amount", Actions: both}},
			}},
			granted: []dataworks.OrderObject{{
				Project: project, Name: "orders", Actions: left, Granted: left, Deadline: sooner,
				Columns: []dataworks.OrderColumn{{Name: "id", Actions: left, Granted: left}, {Name: "amount", Actions: left, Granted: left}},
			}},
		},
		dataworks.Version2024: {
			asked: []dataworks.OrderObject{
				{
					Grantee: alice, Project: project, Name: "orders", Actions: both,
					Columns: []dataworks.OrderColumn{{Name: "id", Actions: both, Deadline: tomorrow}, {Name: "amount", Actions: both, Deadline: tomorrow}},
				},
				{
					Grantee: bob, Project: project, Name: "orders", Actions: both,
					Columns: []dataworks.OrderColumn{{Name: "id", Actions: both, Deadline: tomorrow}, {Name: "amount", Actions: both, Deadline: tomorrow}},
				},
			},
			granted: []dataworks.OrderObject{
				{
					Grantee: alice, Project: project, Name: "orders", Actions: both, Granted: left,
					Columns: []dataworks.OrderColumn{{Name: "id", Actions: both, Granted: left, Deadline: sooner}, {Name: "amount", Actions: both, Granted: left, Deadline: sooner}},
				},
				{
					Grantee: bob, Project: project, Name: "orders", Actions: both, Granted: left,
					Columns: []dataworks.OrderColumn{{Name: "id", Actions: both, Granted: left, Deadline: sooner}, {Name: "amount", Actions: both, Granted: left, Deadline: sooner}},
				},
			},
		},
	}
	for version, tc := range tests {
		t.Run(version, func(t *testing.T) {
			fake := newCloud(t)
			c := newClient(t, version, fake)
			id := submitted(t, c, usual(func(r *dataworks.Request) { r.UserIDs = []string{alice, bob} }))
			order, err := c.Get(t.Context(), id)
			must(t, err)
			if diff := gocmp.Diff(tc.asked, order.Objects); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			must(t, fake.ApproveOrder(id, fakecloud.Approval{Actions: []string{"Select"}, Until: sooner, Comment: "less"}))
			order, err = c.Get(t.Context(), id)
			must(t, err)
			if diff := gocmp.Diff(tc.granted, order.Objects); diff != "" {
				t.Errorf("granted (-want +got):\n%s", diff)
			}
			comment := map[string]string{dataworks.Version2020: "less"}[version] // the newer version tells it in another call
			if !order.Deadline.Equal(sooner) || order.Comment != comment || !slices.Equal(order.Grantees, []string{alice, bob}) {
				t.Errorf("got %+v", order)
			}
		})
	}
}

func TestWhatIsGranted(t *testing.T) {
	type column = dataworks.Column
	tests := map[string]struct {
		object dataworks.Object
		v2020  string
		// v2024 is set where it differs: the fake cloud does not take contents for all columns for the table.
		v2024 string
	}{
		"columns":           {object: dataworks.Object{Name: "orders", Actions: []string{"SELECT"}, Columns: []column{{Name: "id"}}}, v2020: "select(id)"},
		"all columns":       {dataworks.Object{Name: "orders", Actions: []string{"select"}, Columns: []column{{Name: "id"}, {Name: "amount"}}}, "select", "select(amount,id)"},
		"a column's own":    {object: dataworks.Object{Name: "orders", Actions: []string{"Select"}, Columns: []column{{Name: "id"}, {Name: "amount", Actions: []string{"describe"}}}}, v2020: "describe(amount) select(id)"},
		"an action besides": {object: dataworks.Object{Name: "orders", Actions: []string{"Select", "Drop"}, Columns: []column{{Name: "id"}}}, v2020: "drop select(id)"},
	}
	for version := range versions {
		for name, tc := range tests {
			t.Run(version+"/"+name, func(t *testing.T) {
				fake := newCloud(t)
				c := newClient(t, version, fake)
				id := submitted(t, c, usual(func(r *dataworks.Request) { r.Objects = []dataworks.Object{tc.object} }))
				must(t, fake.ApproveOrder(id, fakecloud.Approval{}))
				want := tc.v2020
				if version == dataworks.Version2024 {
					want = cmp.Or(tc.v2024, want)
				}
				if got := granted(fake); got != want {
					t.Errorf("granted is %q, want %q", got, want)
				}
			})
		}
	}
	t.Run("a whole table", func(t *testing.T) {
		fake := newCloud(t)
		c := newClient(t, dataworks.Version2024, fake)
		id := submitted(t, c, usual(func(r *dataworks.Request) { r.Objects[0].Columns, r.Deadline = nil, time.Time{} }))
		must(t, fake.ApproveOrder(id, fakecloud.Approval{}))
		order, err := c.Get(t.Context(), id)
		must(t, err)
		if got := granted(fake); got != "describe select" || !order.Deadline.Equal(dataworks.Permanent) || order.Objects[0].Columns != nil {
			t.Errorf("granted is %q, order %+v", got, order)
		}
	})
}

// granted lists what is granted now, as "action(column,column)".
func granted(fake *fakecloud.Server) string {
	var out []string
	for _, p := range fake.TablePermissions(project, "", "") {
		text := p.Action
		if p.Columns != nil {
			text += "(" + strings.Join(p.Columns, ",") + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func TestSeveralOrders(t *testing.T) {
	for version := range versions {
		t.Run(version, func(t *testing.T) {
			fake := newCloud(t)
			must(t, fake.SetApprovers(project, "cities", approver))
			c := newClient(t, version, fake)
			ids, err := c.Submit(t.Context(), usual(func(r *dataworks.Request) {
				r.Objects = append(r.Objects, dataworks.Object{Name: "cities", Actions: []string{"Select"}, Columns: []dataworks.Column{{Name: "name"}}})
			}))
			must(t, err)
			if len(ids) != 2 || fake.Orders()[0].ID != ids[0] || fake.Orders()[1].ID != ids[1] {
				t.Errorf("got %v of %v", ids, fake.Orders())
			}
			if n := len(fake.Writes()); n != 1 {
				t.Errorf("%d calls were made, want one", n)
			}
		})
	}
}

func TestTokenMakesSubmitRepeatable(t *testing.T) {
	fake := newCloud(t)
	c := newClient(t, dataworks.Version2024, fake)
	first := submitted(t, c, usual())
	if again := submitted(t, c, usual()); again != first || len(fake.Orders()) != 1 {
		t.Errorf("got order %s after %s, and %d orders", again, first, len(fake.Orders()))
	}
	_, err := c.Submit(t.Context(), usual(func(r *dataworks.Request) { r.Reason = "another" }))
	if cloud.CodeOf(err) != cloud.AlreadyExists || len(fake.Orders()) != 1 {
		t.Errorf("got %v", err)
	}
}

func TestSearch(t *testing.T) {
	for version := range versions {
		t.Run(version, func(t *testing.T) {
			fake := newCloud(t)
			must(t, fake.SetApplicant("OTHER", "180000000000000099"))
			c := newClient(t, version, fake)
			other := usual(func(r *dataworks.Request) {
				r.Objects[0].Name, r.Objects[0].Columns, r.Token = "towns", []dataworks.Column{{Name: "x"}}, "other"
			})
			const n = 450 // several pages of either version
			want := map[string]bool{}
			for i := range n {
				fake.ShiftClock(time.Second)
				want[submitted(t, c, usual(func(r *dataworks.Request) { r.Token = fmt.Sprint(i) }))] = true
			}
			submitted(t, c, other)
			fake.ResetJournal()
			query := everything()
			query.Table, query.WorkspaceID = "Orders", workspace
			got, err := c.Search(t.Context(), query)
			must(t, err)
			for _, summary := range got {
				if !want[summary.ID] {
					t.Errorf("found %v", summary)
				}
				delete(want, summary.ID)
			}
			if len(got) != n || len(want) != 0 {
				t.Errorf("found %d orders, %d of %d are missing", len(got), len(want), n)
			}
			pages := map[string]int{dataworks.Version2020: 5, dataworks.Version2024: 3}[version]
			if calls := len(fake.Journal()); calls != pages {
				t.Errorf("%d calls, want %d", calls, pages)
			}
			for name, change := range map[string]func(*dataworks.Query){
				"before":            func(q *dataworks.Query) { q.Until = now },
				"after":             func(q *dataworks.Query) { q.Since = now.Add(30 * time.Minute) },
				"another project":   func(q *dataworks.Query) { q.Project = "elsewhere" },
				"another table":     func(q *dataworks.Query) { q.Table = "order" },
				"another workspace": func(q *dataworks.Query) { q.WorkspaceID = 1 },
			} {
				query := everything()
				change(&query)
				if got, err := c.Search(t.Context(), query); err != nil || len(got) != 0 {
					t.Errorf("%s: got %v, %v", name, got, err)
				}
			}
		})
	}
}

func TestSearchFailsOnAnyPage(t *testing.T) {
	for version := range versions {
		for _, fault := range []fakecloud.Fault{
			{Kind: fakecloud.FaultGarbled}, {Kind: fakecloud.FaultGarbled, Body: fakecloud.BodyWrongKind}, {Kind: fakecloud.FaultErrorInside},
			{Kind: fakecloud.FaultWrongEndpoint}, {Kind: fakecloud.FaultDropAfter}, {Kind: fakecloud.FaultThrottle},
		} {
			t.Run(version+"/"+fault.Kind+fault.Body, func(t *testing.T) {
				fake := newCloud(t)
				c := newClient(t, version, fake)
				for i := range 201 {
					submitted(t, c, usual(func(r *dataworks.Request) { r.Token = fmt.Sprint(i) }))
				}
				fault.After, fault.Only = 1, "reads"
				fake.Inject(fault)
				if got, err := c.Search(t.Context(), everything()); err == nil || got != nil {
					t.Errorf("got %d orders and %v", len(got), err)
				}
			})
		}
	}
}

func TestWithdraw(t *testing.T) {
	fake := newCloud(t)
	c := newClient(t, dataworks.Version2024, fake)
	id := submitted(t, c, usual())
	must(t, c.Withdraw(t.Context(), id))
	if state := fake.Orders()[0].State; state != fakecloud.OrderWithdrawn {
		t.Errorf("the order is %s", state)
	}
	if err := c.Withdraw(t.Context(), id); cloud.CodeOf(err) != cloud.RemoteRejected {
		t.Errorf("again: %v", err)
	}
	if err := c.Withdraw(t.Context(), "none"); !cloud.IsNotFound(err) {
		t.Errorf("no order: %v", err)
	}
	fake.ResetJournal()
	err := newClient(t, dataworks.Version2020, fake).Withdraw(t.Context(), id)
	if !dataworks.IsNotSupported(err) || !cloud.Refused(err) || len(fake.Journal()) != 0 {
		t.Errorf("with the older version: %v", err)
	}
}

func TestRevoke(t *testing.T) {
	fake := newCloud(t)
	c := newClient(t, dataworks.Version2020, fake)
	id := submitted(t, c, usual(func(r *dataworks.Request) { r.Objects[0].Actions = []string{"Select", "Describe", "Drop"} }))
	must(t, fake.ApproveOrder(id, fakecloud.Approval{}))
	revocation := dataworks.Revocation{Project: project, WorkspaceID: workspace, Table: "orders", Actions: []string{"select"}, UserID: alice}
	for range 2 { // repeating it does no harm
		must(t, c.Revoke(t.Context(), revocation))
		if got := granted(fake); got != "describe drop" {
			t.Errorf("granted is %q", got)
		}
	}
	fake.ResetJournal()
	unsupported := revocation
	unsupported.Actions = []string{"Select", "Drop"}
	if err := c.Revoke(t.Context(), unsupported); !dataworks.IsNotSupported(err) {
		t.Errorf("of Drop: %v", err)
	}
	if err := newClient(t, dataworks.Version2024, fake).Revoke(t.Context(), revocation); !dataworks.IsNotSupported(err) {
		t.Errorf("with the newer version: %v", err)
	}
	for name, change := range map[string]func(*dataworks.Revocation){
		"a project":    func(r *dataworks.Revocation) { r.Project = "p&TableName=x" },
		"a table":      func(r *dataworks.Revocation) { r.Table = "*" },
		"no workspace": func(r *dataworks.Revocation) { r.WorkspaceID = 0 },
		"no actions":   func(r *dataworks.Revocation) { r.Actions = nil },
		"a name":       func(r *dataworks.Revocation) { r.UserID = "RAM$corp:alice" },
	} {
		bad := revocation
		change(&bad)
		if err := c.Revoke(t.Context(), bad); cloud.CodeOf(err) != cloud.InvalidSpec || dataworks.IsNotSupported(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if calls := fake.Journal(); len(calls) != 0 {
		t.Errorf("calls were made: %v", calls)
	}
}
