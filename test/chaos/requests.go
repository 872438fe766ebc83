package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

const (
	// waves is in how many parts the requests are created.
	waves = 20
	// pairs is one in how many requests is for two tables that different people approve, so that one call makes two orders.
	pairs = 10
	// dataWorksQPS is how many calls a second the Connections allow.
	dataWorksQPS = 200
	// latency is that of every call to the cloud, submitLatency what a submitting call takes longer, before it is carried out; its
	// reply is then held back for at most holdReply.
	latency, submitLatency, holdReply = 20 * time.Millisecond, 80 * time.Millisecond, 200 * time.Millisecond
	// patience is how much longer than the operator's ten minutes it may take until all is known, and how long the other parts may take.
	patience = 5 * time.Minute
	// unknownFor is how long the operator waits before it repeats a call of 2020-05-18 whose outcome it does not know.
	unknownFor = 10 * time.Minute
	// someone gets the permissions, somebody else approves the second tables.
	someone, somebodyElse = "267842600408993176", "182293110499999999"
)

// generations are the two versions of the API, with the namespace and the project of their requests.
var generations = []struct{ version, place string }{{"2020-05-18", "chaos-2020"}, {"2024-05-18", "chaos-2024"}}

// actions are asked for on every table. The first is revoked by a call of 2020-05-18, the other by statement.
var actions = []v1alpha1.TableAction{"Select", "Update"}

// requests is the scenario of that name.
type requests struct {
	chaos
	options
	requests, lost, lateKills int
	listLag                   time.Duration

	link *link
	book book
	// struck counts the kills so far.
	struck int
}

func prepareRequests(flags *flag.FlagSet) func(context.Context) error {
	r := &requests{book: newBook()}
	flags.IntVar(&r.requests, "requests", 2000, "How many requests to create, half of them by each version of the API.")
	flags.IntVar(&r.lost, "lost", 15,
		"How many of a hundred calls that submit a request a fault is drawn for, which loses the reply or the call. A few less are hit: each fault delays the later ones by a call.")
	flags.DurationVar(&r.listLag, "list-lag", 20*time.Second, "How old an order is when lists first show it.")
	flags.IntVar(&r.lateKills, "late-kills", 5, "How often to kill the manager while it deletes the requests; half as often, and once more, while they are approved.")
	r.register(flags, 40)
	return func(ctx context.Context) error {
		return r.measure(ctx, func(ctx context.Context, c chaos) error {
			r.chaos = c
			return r.run(ctx)
		})
	}
}

func (r *requests) run(ctx context.Context) error {
	r.link = newLink(r.Cloud, holdReply, rand.New(rand.NewPCG(r.seed, 1)))
	server := httptest.NewServer(r.link)
	defer func() {
		server.CloseClientConnections()
		server.Close()
	}()
	if err := r.setUp(ctx, server.URL); err != nil {
		return err
	}
	fmt.Printf("%d requests, half of them by each of 2020-05-18 and 2024-05-18, one in %d for two tables; %s latency, lists lag by %s, seed %d\n",
		r.requests, pairs, latency, r.listLag, r.seed)
	for _, part := range []func(context.Context) error{r.submit, r.settle, r.grant, r.remove} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	if violations := r.Cloud.Violations(); len(violations) > 0 {
		return fmt.Errorf("%d calls that no correct client makes, the first: %s", len(violations), violations[0])
	}
	return nil
}

// setUp prepares the cloud, starts the manager and connects both versions, through the link.
func (r *requests) setUp(ctx context.Context, dataWorks string) error {
	r.Cloud.SetLatency(latency)
	r.Cloud.SetOrderStyle(fakecloud.OrderStyle{ListLag: r.listLag})
	if err := r.Cloud.AddUser(fakecloud.User{AccountID: someone, Principal: "RAM$corp:someone"}); err != nil {
		return err
	}
	for _, g := range generations {
		r.Cloud.AddProject(fakecloud.Project{Name: project(g.place)})
	}
	for i := range r.requests {
		if err := r.declareTables(i); err != nil {
			return err
		}
	}
	r.injectFaults()
	if err := r.start(); err != nil {
		return err
	}
	for _, g := range generations {
		err := r.Connect(ctx, g.place, dataWorksQPS, func(c *v1alpha1.Connection) {
			c.Spec.AlibabaCloud.DataWorksAPIVersion, c.Spec.AlibabaCloud.Endpoints.DataWorks = g.version, dataWorks
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// project is the one of a namespace.
func project(place string) string { return strings.ReplaceAll(place, "-", "_") }

// tables are those of a request; different people approve the first and the second.
func tables(i int) []string {
	names := []string{fmt.Sprintf("t_%d", i)}
	if i/len(generations)%pairs == 0 {
		names = append(names, fmt.Sprintf("u_%d", i))
	}
	return names
}

func (r *requests) declareTables(i int) error {
	at := project(generations[i%len(generations)].place)
	for j, name := range tables(i) {
		if err := r.Cloud.DeclareTable(at, "", name, fakecloud.Column{Name: "id"}, fakecloud.Column{Name: "ds", Partition: true}); err != nil {
			return err
		}
		if j == 0 {
			continue
		}
		if err := r.Cloud.SetApprovers(at, name, somebodyElse); err != nil {
			return err
		}
	}
	return nil
}

// injectFaults draws which calls of either version are hit, counted from its first, and how.
func (r *requests) injectFaults() {
	kinds := []string{fakecloud.FaultDropBefore, fakecloud.FaultDropAfter, fakecloud.FaultServerError, fakecloud.FaultGarbled}
	for _, action := range submitting {
		r.Cloud.Inject(fakecloud.Fault{Kind: fakecloud.FaultLatency, Action: action, Latency: submitLatency})
		// Calls are repeated, so there are more of them than requests.
		for i := range r.requests {
			if r.random.IntN(100) < r.lost {
				r.Cloud.Inject(fakecloud.Fault{Kind: kinds[r.random.IntN(len(kinds))], Action: action, After: i, Times: 1})
			}
		}
	}
}

func (r *requests) newRequest(i int) *v1alpha1.PermissionApply {
	place := generations[i%len(generations)].place
	apply := &v1alpha1.PermissionApply{
		ObjectMeta: metav1.ObjectMeta{Namespace: place, Name: fmt.Sprintf("request-%d", i)},
		Spec: v1alpha1.PermissionApplySpec{
			ConnectionRef: v1alpha1.ConnectionReference{Name: "prod"}, ApplyUserIDs: []string{someone}, Reason: "report",
			ProjectName: project(place), WorkspaceID: 12345,
		},
	}
	for _, name := range tables(i) {
		apply.Spec.Objects = append(apply.Spec.Objects, v1alpha1.ApplyObject{Name: name, Actions: actions})
	}
	return apply
}

// create creates the requests from one number to another, a few at a time.
func (r *requests) create(ctx context.Context, from, to int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := from; i < to; i++ {
		group.Go(func() error { return r.Kube.Create(ctx, r.newRequest(i)) })
	}
	return group.Wait()
}

// submit creates the requests in waves and kills the manager while it submits them.
func (r *requests) submit(ctx context.Context) error {
	started := time.Now()
	group, creating := errgroup.WithContext(ctx)
	for wave := range waves {
		group.Go(func() error { return r.create(creating, r.requests*wave/waves, r.requests*(wave+1)/waves) })
		for range r.kills*(wave+1)/waves - r.kills*wave/waves {
			if err := r.strike(ctx); err != nil {
				return err
			}
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	err := r.until(ctx, patience, "have been submitted, or tried to be", func(apply *v1alpha1.PermissionApply) bool {
		return len(apply.Status.Submissions) > 0 && apply.Status.Submissions[0].Attempts > 0
	})
	if err != nil {
		return err
	}
	// What is repeated from now on is left alone: 2020-05-18 would have to wait for another ten minutes.
	lost := r.faultsHit()
	r.Cloud.ClearFaults()
	r.book.calm = time.Now()
	fmt.Printf("\nSubmitting, in %d waves\n", waves)
	row("all were sent at least once after", "%.0f s", time.Since(started).Seconds())
	row("kills", "%d", r.struck)
	row("calls of unknown outcome, because of a kill", "%s", r.book.describe(unsent, cutBefore, cutAfter, unrecorded))
	row("calls of unknown outcome, because of a fault", "%s", lost)
	return nil
}

// strike kills the manager at a random moment after it has begun to submit.
func (r *requests) strike(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.link.submits():
	case <-time.After(10 * time.Second): // it has nothing to submit
	}
	if err := r.pause(ctx, 0, 800*time.Millisecond); err != nil {
		return err
	}
	r.Manager.Kill()
	r.struck++
	// The cloud notices a moment later that the manager is gone.
	if err := testbed.Until(ctx, 10*time.Second, func() (bool, error) { return r.link.idle(), nil }); err != nil {
		return fmt.Errorf("wait for the calls of a killed manager: %w", err)
	}
	all, err := r.list(ctx)
	if err != nil {
		return err
	}
	r.book.killed(all, r.link)
	r.link.next()
	return r.start()
}

// settle waits until it is known of every request what became of it, and holds that against the cloud.
func (r *requests) settle(ctx context.Context) error {
	if err := r.until(ctx, unknownFor+patience, "are submitted or say why not", isSettled); err != nil {
		return err
	}
	took := time.Since(r.book.calm)
	all, err := r.list(ctx)
	if err != nil {
		return err
	}
	f := r.book.compare(all, r.Cloud.Orders(), r.link.all())
	fmt.Println("\nExactly once")
	row("it was known of all what became of them after", "%.0f s without further kills and losses", took.Seconds())
	for _, g := range generations {
		t := f.tallies[g.version]
		row(g.version+", calls that submit", "%d, of which %d repeat another, %d of them one that had made an order", t.calls, t.repeats, t.needless)
		row("  requests that were hit", "%d: %d were found by a search, %d submitted again", t.hit, t.found, t.repeated)
	}
	row("calls that search, one per page", "%d ListPermissionApplyOrders, %d ListMyApplications",
		r.Cloud.Count("ListPermissionApplyOrders"), r.Cloud.Count("ListMyApplications"))
	row("orders", "%d for %d tables of %d requests", f.orders, f.tables, len(all))
	row("tables with two orders, with none", "%d, %d, and %d whose request says why not", f.doubles, f.lost, f.explained)
	row("requests whose status has not just their orders", "%d", f.differing)
	if len(all) != r.requests || len(f.broken) > 0 {
		r.explain(f.broken)
		return fmt.Errorf("%d of %d requests are not as promised", len(f.broken)+r.requests-len(all), r.requests)
	}
	return nil
}

// grant approves all orders, with some kills, and waits until the requests say so.
func (r *requests) grant(ctx context.Context) error {
	started := time.Now()
	orders := r.Cloud.Orders()
	for i, o := range orders {
		if i%2 == 0 {
			if err := r.Cloud.ApproveOrder(o.ID, fakecloud.Approval{}); err != nil {
				return err
			}
		} else if err := r.approveByHTTP(ctx, o.ID); err != nil {
			return err
		}
		if i == len(orders)/2 {
			// What is left of it, a new manager finds out.
			if err := r.restarts(ctx, r.lateKills/2); err != nil {
				return err
			}
		}
	}
	// A new manager looks at all orders, and nobody need wait for those that are due later.
	if err := r.restarts(ctx, 1); err != nil {
		return err
	}
	err := r.until(ctx, patience, "are Granted", func(apply *v1alpha1.PermissionApply) bool {
		return conditions.IsReady(apply) && conditions.ReadyCondition(apply).Reason == v1alpha1.ReasonGranted
	})
	if err != nil {
		return err
	}
	granted := r.Cloud.TablePermissions("", "", "")
	fmt.Println("\nApproving")
	row("all were Granted after", "%.0f s, with %d kills", time.Since(started).Seconds(), r.lateKills/2+1)
	row("permissions in the cloud", "%d", len(granted))
	if want := len(r.book.tables) * len(actions); len(granted) != want {
		return fmt.Errorf("%d permissions are granted, want %d", len(granted), want)
	}
	return nil
}

func (r *requests) approveByHTTP(ctx context.Context, id string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.CloudURL+"/_admin/orders/"+id+"/approve", http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		err = fmt.Errorf("approve order %s: %s", id, response.Status)
	}
	_ = response.Body.Close()
	return err
}

// restarts kills the manager so many times, at random moments.
func (r *requests) restarts(ctx context.Context, times int) error {
	for range times {
		if err := r.pause(ctx, time.Second, 4*time.Second); err != nil {
			return err
		}
		r.struck++
		if err := r.restart(); err != nil {
			return err
		}
	}
	return nil
}

// deletions is how often it is tried to delete all objects of a namespace.
const deletions = 5

// remove deletes all objects, with some kills, and waits until nothing is left of them.
func (r *requests) remove(ctx context.Context) error {
	started, made := time.Now(), len(r.Cloud.Orders())
	for _, g := range generations {
		// The API server gives the deletion of a collection a minute, which a busy machine may not be done in: then the rest goes with the next.
		var err error
		for range deletions {
			if err = r.Kube.DeleteAllOf(ctx, &v1alpha1.PermissionApply{}, client.InNamespace(g.place)); err == nil {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	if err := r.restarts(ctx, r.lateKills); err != nil {
		return err
	}
	if err := r.until(ctx, patience, "are gone", func(*v1alpha1.PermissionApply) bool { return false }); err != nil {
		return err
	}
	left, orders := r.Cloud.TablePermissions("", "", ""), len(r.Cloud.Orders())
	fmt.Println("\nDeleting")
	row("all were gone after", "%.0f s, with %d kills", time.Since(started).Seconds(), r.lateKills)
	row("permissions left, orders made meanwhile", "%d, %d", len(left), orders-made)
	row("kills altogether", "%d", r.struck)
	if len(left) > 0 || orders != made {
		return fmt.Errorf("%d permissions are left, and %d orders were made while the requests were deleted", len(left), orders-made)
	}
	return nil
}

// until waits until something holds for all requests that there are, and tells every half minute how far it is.
func (r *requests) until(ctx context.Context, limit time.Duration, what string, holds func(*v1alpha1.PermissionApply) bool) error {
	const look, tell = 5 * time.Second, 30 * time.Second
	started, told := time.Now(), time.Now()
	for {
		all, err := r.list(ctx)
		if err != nil {
			return err
		}
		var missing []broken
		for i := range all {
			if !holds(&all[i]) {
				missing = append(missing, broken{all[i], "not among those that " + what})
			}
		}
		if len(missing) == 0 {
			return nil
		}
		if time.Since(started) > limit {
			r.explain(missing)
			return fmt.Errorf("after %s there are %d requests that are not among those that %s", limit, len(missing), what)
		}
		if time.Since(told) > tell {
			told = time.Now()
			fmt.Printf("  ... %s: of %d requests, %d %s\n", time.Since(started).Round(time.Second), r.requests, r.requests-len(missing), what)
		}
		if err := sleep(ctx, look); err != nil {
			return err
		}
	}
}

// list returns all requests.
func (r *requests) list(ctx context.Context) ([]v1alpha1.PermissionApply, error) {
	var list v1alpha1.PermissionApplyList
	err := r.Kube.List(ctx, &list)
	return list.Items, err
}
