package controllers

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/insight"
	"github.com/maxcompute-operator/maxcompute-operator/internal/connect"
	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
)

// job is an export that is under way in this process. It has two stages: the package is received, then stored; between them, a pass writes
// down what is about to be stored.
type job struct {
	uid types.UID
	// account is the connection that it exports by, in words that mean the same in all namespaces.
	account string
	// spec is the fingerprint of what it exports.
	spec string
	// began is when the attempt was started, and told when the status last said how far it is.
	began, told time.Time
	// cancel ends the present stage early.
	cancel context.CancelFunc
	// received counts the bytes that have arrived.
	received atomic.Int64
	// run is what the status last said of it. It is what counts: a status that is read may be late, or changed by somebody.
	run *v1alpha1.ExportRun
	// patience bounds looks at the destination. packageName is the package's, and last the newest export before.
	patience    time.Duration
	packageName string
	last        *v1alpha1.StoredExport

	// claimed is where it stores, if it does. The lock of jobs guards it.
	claimed string

	// What follows belongs to the stage while it goes on, and to passes after done is closed.
	done    chan struct{}
	err     error
	storing bool
	to      place
	partial *destination.Partial
	// file is what is to be stored. same tells that last has the same digest and is there, found that something has the name of file.
	file        v1alpha1.StoredExport
	same, found bool
}

// isFor tells whether the job exports what an object wants now.
func (j *job) isFor(obj *v1alpha1.ResourcePackageExport) bool {
	return j.uid == obj.UID && j.spec == fingerprint(obj)
}

func (j *job) isDone() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// waiter is an object that waits for others to end, and when it last asked.
type waiter struct {
	name    types.NamespacedName
	account string
	asked   time.Time
}

// jobs are those of the process, at most one for each object.
type jobs struct {
	mu    sync.Mutex
	known map[types.NamespacedName]*job
	// waiting are those that there was no room for, in the order in which they came.
	waiting []waiter
	// running are stages that go on.
	running sync.WaitGroup
	// ending is closed when the process ends.
	ending  chan struct{}
	stopped bool
}

// receive is the first stage: it has the service export, and receives what it sends.
func (j *job) receive(ctx context.Context, account *connect.Account, request insight.Request) error {
	stream, err := account.Insight.Export(ctx, request)
	if err != nil {
		return account.Noticed(err)
	}
	defer stream.Close() //nolint:errcheck // all of it was read, or none of it counts
	if j.partial, err = j.to.Receive(); err != nil {
		return err
	}
	if _, err := io.Copy(j.partial, &meter{stream, &j.received}); err != nil {
		return err
	}
	sum := j.partial.Sum()
	name := fileName(j.packageName, j.began, sum) + stream.Extension()
	j.file = v1alpha1.StoredExport{
		Name: name, Location: j.to.Location(name), Endpoint: j.to.endpoint, SizeBytes: j.partial.Size(), SHA256: sum,
		ContentType: stream.ContentType(), StartedAt: metav1.NewTime(j.began),
	}
	return j.look(ctx)
}

// look looks for the last export, and for what has the name of the new one. Who may store need not be allowed to.
func (j *job) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, j.patience)
	defer cancel()
	if last := j.last; last != nil && last.SHA256 == j.file.SHA256 && j.to.holds(*last) {
		size, found, err := j.to.Find(ctx, last.Location)
		if err == nil && found && size == last.SizeBytes {
			j.same = true
		}
	}
	var err error
	_, j.found, err = j.to.Find(ctx, j.file.Location)
	if destination.CodeOf(err) == destination.Denied {
		return nil
	}
	return err
}

// meter counts what is read.
type meter struct {
	io.Reader
	count *atomic.Int64
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.Reader.Read(b)
	m.count.Add(int64(n))
	return n, err
}

// stopping returns a channel that is closed when the process ends.
func (s *jobs) stopping() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end()
}

// end returns the channel itself. The lock is held.
func (s *jobs) end() chan struct{} {
	if s.ending == nil {
		s.ending = make(chan struct{})
	}
	return s.ending
}

// of returns the job under the name of an object.
func (s *jobs) of(obj client.Object) *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[client.ObjectKeyFromObject(obj)]
}

// add makes room for a job; false if there is none yet. The one that has waited longest comes first, of those whose namespace and account
// leave room for others.
func (s *jobs) add(obj client.Object, j *job, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := client.ObjectKeyFromObject(obj)
	// Who has not asked in a while does not wait any more.
	s.waiting = slices.DeleteFunc(s.waiting, func(w waiter) bool { return w.name != name && now.Sub(w.asked) > 6*slotPoll })
	place := slices.IndexFunc(s.waiting, func(w waiter) bool { return w.name == name })
	if place < 0 {
		place = len(s.waiting)
		s.waiting = append(s.waiting, waiter{name: name})
	}
	s.waiting[place].account, s.waiting[place].asked = j.account, now
	if s.stopped || !s.hasRoom(place) {
		return false
	}
	s.waiting = slices.Delete(s.waiting, place, place+1)
	if s.known == nil {
		s.known = map[types.NamespacedName]*job{}
	}
	s.known[name] = j
	return true
}

// hasRoom reports whether there is room for the one at a place in the queue when those before it have got theirs. A namespace or account
// gets room only while it has less than is free: one whose service or destination is silent must not hold all of it. The lock is held.
func (s *jobs) hasRoom(place int) bool {
	free, namespaces, accounts := maxExports-len(s.known), map[string]int{}, map[string]int{}
	for name, j := range s.known {
		namespaces[name.Namespace]++
		accounts[j.account]++
	}
	for i, w := range s.waiting[:place+1] {
		if room := namespaces[w.name.Namespace] < free && accounts[w.account] < free; !room {
			continue
		}
		if i == place {
			return true
		}
		free--
		namespaces[w.name.Namespace]++
		accounts[w.account]++
	}
	return false
}

// claim makes sure that no two jobs store at one location.
func (s *jobs) claim(j *job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.known {
		if other != j && other.claimed == j.file.Location && other.to.endpoint == j.to.endpoint {
			return false
		}
	}
	j.claimed = j.file.Location
	return true
}

// longestStage bounds a stage of a job: one that takes longer, however steadily it gets on, holds up others.
const longestStage = 12 * time.Hour

// start begins a stage of a job. It ends when work does; then wake is called.
func (s *jobs) start(j *job, work func(context.Context) error, wake func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), longestStage)
	j.cancel, j.done, j.err = cancel, make(chan struct{}), nil
	if s.stopped {
		cancel()
		j.err = context.Canceled
		close(j.done)
		return
	}
	s.running.Go(func() {
		j.err = work(ctx)
		cancel()
		close(j.done)
		wake()
	})
}

// leave takes an object out of the queue.
func (s *jobs) leave(name types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(w waiter) bool { return w.name == name })
}

// drop forgets a job that has ended.
func (s *jobs) drop(obj client.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, client.ObjectKeyFromObject(obj))
}

// abandon ends the job of an object that is gone without having been let go.
func (s *jobs) abandon(name types.NamespacedName) {
	s.leave(name)
	s.mu.Lock()
	j := s.known[name]
	delete(s.known, name)
	s.mu.Unlock()
	if j == nil {
		return
	}
	j.cancel()
	go func() {
		<-j.done
		_ = j.close() //nolint:errcheck // there is no object any more to put it on record
	}()
}

// stop ends all jobs and waits until they have put away what they were at.
func (s *jobs) stop() {
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.end())
	}
	for _, j := range s.known {
		if j.cancel != nil {
			j.cancel()
		}
	}
	s.mu.Unlock()
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.known {
		_ = j.close() //nolint:errcheck // the next process removes it
	}
}

// close gives up what was received and not stored.
func (j *job) close() error {
	if j.partial == nil {
		return nil
	}
	return j.partial.Close()
}

// progress is how many bytes each running export has received.
func (s *jobs) progress() map[types.NamespacedName]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	received := make(map[types.NamespacedName]int64, len(s.known))
	for name, j := range s.known {
		received[name] = j.received.Load()
	}
	return received
}
