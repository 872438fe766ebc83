package maxcompute_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// lister answers ListRoles, each call only when the test says so, and all other calls with success or failure at once.
type lister struct {
	mu sync.Mutex
	// lists is how many lists were asked for; fails makes them and all other calls fail.
	lists int
	fails bool
	roles []string
	// gate, if there is one, must be read from before a list is answered.
	gate chan struct{}
}

func (l *lister) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	list := r.Method == http.MethodGet
	l.mu.Lock()
	if list {
		l.lists++
	}
	gate := l.gate
	l.mu.Unlock()
	if list && gate != nil {
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fails {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	roles := []map[string]string{}
	for _, name := range l.roles {
		roles = append(roles, map[string]string{"name": name, "type": "resource"})
	}
	answer(w, jsonOf(map[string]any{"data": map[string]any{"roles": roles}}))
}

func (l *lister) set(change func(*lister)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func (l *lister) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lists
}

// finding is the outcome of a FindRole.
type finding struct {
	found bool
	err   error
}

// find starts a FindRole and returns where its outcome will be.
func find(ctx context.Context, c *maxcompute.Client, name string, maxAge time.Duration) <-chan finding {
	out := make(chan finding, 1)
	go func() {
		_, found, err := c.FindRole(ctx, "p", name, maxAge)
		out <- finding{found, err}
	}()
	return out
}

func TestThoseWhoAskTogetherShareOneList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{roles: []string{"r1"}, gate: make(chan struct{})}
		c := newLocalClient(t, l)
		var outcomes []<-chan finding
		for i := range 50 {
			outcomes = append(outcomes, find(t.Context(), c, fmt.Sprintf("R%d", i%2), 0))
		}
		synctest.Wait() // one of them waits for the service, all others for that one
		if n := l.asked(); n != 1 {
			t.Errorf("%d lists were asked for", n)
		}
		close(l.gate)
		for i, outcome := range outcomes {
			if got, want := <-outcome, (finding{found: i%2 == 1}); got != want {
				t.Errorf("caller %d got %v, want %v", i, got, want)
			}
		}
		if n := l.asked(); n != 1 {
			t.Errorf("%d lists were asked for", n)
		}
	})
}

func TestThoseWhoAskLaterShareTheNextList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{roles: []string{"r"}, gate: make(chan struct{})}
		c := newLocalClient(t, l)
		first := find(t.Context(), c, "r", 0)
		synctest.Wait()
		elapse(time.Second) // the list that is under way is now too old for those who want one that was asked for after them
		var late []<-chan finding
		for range 10 {
			late = append(late, find(t.Context(), c, "r", 0))
		}
		content := find(t.Context(), c, "r", time.Minute)
		synctest.Wait()
		l.gate <- struct{}{}
		if got := <-first; !got.found || got.err != nil {
			t.Errorf("the first got %v", got)
		}
		close(l.gate)
		for _, outcome := range append(late, content) {
			if got := <-outcome; !got.found || got.err != nil {
				t.Errorf("a later one got %v", got)
			}
		}
		if n := l.asked(); n != 2 {
			t.Errorf("%d lists were asked for, want 2", n)
		}
	})
}

func TestAListServesUntilItIsTooOld(t *testing.T) {
	tests := map[string]struct {
		after, maxAge time.Duration
		lists         int
	}{
		"at once, if any age will do":     {0, time.Minute, 1},
		"just in time":                    {time.Minute, time.Minute, 1},
		"a moment too late":               {time.Minute + 1, time.Minute, 2},
		"if only a new list will do":      {1, 0, 2},
		"at the same moment, without age": {0, 0, 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lister{roles: []string{"r"}}
				c := newLocalClient(t, l)
				for range 2 {
					_, found, err := c.FindRole(t.Context(), "p", "r", tc.maxAge)
					if !found || err != nil {
						t.Errorf("FindRole = %v, %v", found, err)
					}
					elapse(tc.after)
				}
				if n := l.asked(); n != tc.lists {
					t.Errorf("%d lists were asked for, want %d", n, tc.lists)
				}
			})
		})
	}
}

func TestAgeCountsFromTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{roles: []string{"r"}, gate: make(chan struct{})}
		c := newLocalClient(t, l)
		first := find(t.Context(), c, "r", 0)
		synctest.Wait()
		elapse(20 * time.Second)
		close(l.gate)
		<-first
		_, _, err := c.FindRole(t.Context(), "p", "r", 10*time.Second)
		must(t, err)
		if n := l.asked(); n != 2 {
			t.Errorf("%d lists were asked for, want 2: the answer is new, but what it tells is not", n)
		}
	})
}

func TestAFailureIsSharedByThoseWhoWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{roles: []string{"r"}, gate: make(chan struct{}), fails: true}
		c := newLocalClient(t, l)
		outcomes := []<-chan finding{find(t.Context(), c, "r", 0)}
		synctest.Wait()
		elapse(time.Second)
		for range 10 {
			outcomes = append(outcomes, find(t.Context(), c, "r", time.Hour))
		}
		synctest.Wait()
		elapse(time.Second)
		close(l.gate)
		for _, outcome := range outcomes {
			if got := <-outcome; got.found || cloud.CodeOf(got.err) != cloud.RemoteUnavailable {
				t.Errorf("got %v", got)
			}
		}
		if n := l.asked(); n != 1 {
			t.Errorf("%d lists were asked for while the service was down", n)
		}
		elapse(time.Nanosecond)
		l.set(func(l *lister) { l.fails = false })
		if _, found, err := c.FindRole(t.Context(), "p", "r", time.Hour); !found || err != nil {
			t.Errorf("after the failure: %v, %v", found, err)
		}
	})
}

func TestAFailureLeavesNoOldList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{roles: []string{"r"}}
		c := newLocalClient(t, l)
		_, _, err := c.FindRole(t.Context(), "p", "r", 0)
		must(t, err)
		elapse(time.Second)
		l.set(func(l *lister) { l.fails = true })
		for range 2 {
			if _, found, err := c.FindRole(t.Context(), "p", "r", 0); found || err == nil {
				t.Errorf("FindRole = %v, %v, want a failure", found, err)
			}
			elapse(time.Second)
		}
	})
}

func TestOneWhoGivesUpHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{roles: []string{"r"}, gate: make(chan struct{})}
		c := newLocalClient(t, l)
		impatient, giveUp := context.WithCancel(t.Context())
		asking := find(impatient, c, "r", 0)
		synctest.Wait()
		elapse(time.Second)
		waiting := find(impatient, c, "r", 0)
		patient := find(t.Context(), c, "r", time.Hour)
		synctest.Wait()
		elapse(time.Second)
		giveUp()
		for _, outcome := range []<-chan finding{asking, waiting} {
			if got := <-outcome; !errors.Is(got.err, context.Canceled) || got.found {
				t.Errorf("one who gave up got %v", got)
			}
		}
		close(l.gate)
		if got := <-patient; got.err != nil || !got.found {
			t.Errorf("the patient one got %v", got)
		}
	})
}

func TestOneWhoGivesUpLeavesTheListForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{roles: []string{"r"}}
		c := newLocalClient(t, l)
		_, _, err := c.FindRole(t.Context(), "p", "r", 0)
		must(t, err)
		elapse(time.Second)
		l.set(func(l *lister) { l.gate = make(chan struct{}) })
		ctx, giveUp := context.WithTimeout(t.Context(), time.Second)
		defer giveUp()
		if got := <-find(ctx, c, "r", 0); !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("one who gave up got %v", got)
		}
		if got := <-find(t.Context(), c, "r", time.Hour); !got.found || l.asked() != 2 {
			t.Errorf("another one got %v after %d lists, want the first list", got, l.asked())
		}
	})
}

func TestTheListFollowsWhatTheClientDoes(t *testing.T) {
	create := func(ctx context.Context, c *maxcompute.Client) error {
		return c.CreateRole(ctx, "P", "NEW", maxcompute.TypeResource, acl.Set{})
	}
	remove := func(ctx context.Context, c *maxcompute.Client) error { return c.DeleteRole(ctx, "P", "OLD") }
	tests := map[string]struct {
		do    func(context.Context, *maxcompute.Client) error
		fails bool
		// found are the roles that are seen afterwards, lists how many lists that takes in all.
		found []string
		lists int
	}{
		"a created role is there":                        {create, false, []string{"new", "old"}, 1},
		"a deleted role is not":                          {remove, false, []string{}, 1},
		"after a create that failed the service knows":   {create, true, []string{"late"}, 2},
		"after a deletion that failed the service knows": {remove, true, []string{"late"}, 2},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lister{roles: []string{"Old"}}
				c := newLocalClient(t, l)
				_, _, err := c.FindRole(t.Context(), "p", "old", 0)
				must(t, err)
				l.set(func(l *lister) { l.roles, l.fails = []string{"late"}, tc.fails })
				if err := tc.do(t.Context(), c); (err != nil) != tc.fails {
					t.Errorf("the write: %v", err)
				}
				l.set(func(l *lister) { l.fails = false })
				got := []string{}
				for _, name := range []string{"late", "new", "old"} {
					_, found, err := c.FindRole(t.Context(), "p", name, time.Hour)
					must(t, err)
					if found {
						got = append(got, name)
					}
				}
				if diff := cmp.Diff(tc.found, got); diff != "" || l.asked() != tc.lists {
					t.Errorf("%d lists, want %d; roles (-want +got):\n%s", l.asked(), tc.lists, diff)
				}
			})
		})
	}
}

func TestAWriteDuringAListIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{roles: []string{"old"}, gate: make(chan struct{})}
		c := newLocalClient(t, l)
		first := find(t.Context(), c, "old", 0)
		synctest.Wait()
		written := make(chan error, 2)
		go func() { written <- c.CreateRole(t.Context(), "p", "new", maxcompute.TypeResource, acl.Set{}) }()
		go func() { written <- c.DeleteRole(t.Context(), "p", "old") }()
		synctest.Wait()
		close(l.gate)
		<-first
		must(t, errors.Join(<-written, <-written))
		if got := <-find(t.Context(), c, "new", time.Hour); !got.found {
			t.Error("the new role is not there")
		}
		if got := <-find(t.Context(), c, "old", time.Hour); got.found {
			t.Error("the old role is still there")
		}
		if n := l.asked(); n != 1 {
			t.Errorf("%d lists were asked for", n)
		}
	})
}

func TestProjectsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lister{roles: []string{"r"}, gate: make(chan struct{})}
		c := newLocalClient(t, l)
		slow := find(t.Context(), c, "r", 0)
		synctest.Wait()
		l.set(func(l *lister) { l.gate = nil })
		if _, found, err := c.FindRole(t.Context(), "other", "r", 0); !found || err != nil {
			t.Errorf("the other project: %v, %v", found, err)
		}
		giveUp, cancel := context.WithCancel(t.Context())
		cancel()
		if got := <-find(giveUp, c, "r", 0); !errors.Is(got.err, context.Canceled) {
			t.Errorf("one who gave up before asking got %v", got)
		}
		select {
		case got := <-slow:
			t.Errorf("the slow list is there already: %v", got)
		default:
		}
	})
}

func TestManyCallersAtOnce(t *testing.T) {
	server := newCloud(t)
	url := serve(t, server)
	c := newClient(t, url)
	server.Inject(fakecloud.Fault{Kind: fakecloud.FaultThrottle, After: 20, Times: 5})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			name := fmt.Sprintf("role%d", i)
			for range 5 {
				err := errors.Join(
					ignoreThrottling(c.CreateRole(t.Context(), project, name, maxcompute.TypeResource, acl.Set{})),
					ignoreThrottling(c.Grant(t.Context(), project, name, selectOn("t"))),
				)
				_, _, findErr := c.FindRole(t.Context(), project, name, time.Duration(i)*time.Second)
				if err := errors.Join(err, ignoreThrottling(findErr), ignoreThrottling(c.DeleteRole(t.Context(), project, name))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for i := range 8 {
		name := fmt.Sprintf("role%d", i)
		_, found, err := c.FindRole(t.Context(), project, name, time.Hour)
		must(t, err)
		if found != server.RoleExists(project, name) {
			t.Errorf("%s: found %v, which is not so", name, found)
		}
	}
}

// ignoreThrottling leaves out the failures that the test itself causes, and what follows from them.
func ignoreThrottling(err error) error {
	if e, ok := errors.AsType[*cloud.Error](err); ok && (e.Throttled || e.Code == cloud.NotFound || e.Code == cloud.AlreadyExists) {
		return nil
	}
	return err
}

// elapse lets time go by on the clock of a synctest bubble, which stands still while anything runs: nobody waits for it. Outside a bubble
// it panics, since somebody would.
func elapse(d time.Duration) {
	synctest.Wait()
	time.Sleep(d)
}
