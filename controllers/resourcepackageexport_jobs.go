package controllers

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/destination"
)

// job is an export that is under way in this process. It has two stages: the package is received, then stored; between them, a pass writes
// down what is about to be stored.
type job struct {
	uid types.UID
	// spec is the fingerprint of what it exports.
	spec string
	// began is when the attempt was started, and told when the status last said how far it is.
	began, told time.Time
	// cancel ends the present stage early.
	cancel context.CancelFunc
	// received counts the bytes that have arrived.
	received atomic.Int64

	// What follows belongs to the stage while it goes on, and to passes after done is closed.
	done    chan struct{}
	err     error
	storing bool
	to      place
	partial *destination.Partial
	// extension and contentType are what the service says of the package, and file is what is being stored.
	extension, contentType string
	file                   v1alpha1.StoredExport
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

// jobs are those of the process, at most one for each object.
type jobs struct {
	mu    sync.Mutex
	known map[types.NamespacedName]*job
	// running are stages that go on.
	running sync.WaitGroup
	// ending is closed when the process ends.
	ending  chan struct{}
	stopped bool
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

// add makes room for a job; false if there is none.
func (s *jobs) add(obj client.Object, j *job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || len(s.known) >= maxExports {
		return false
	}
	if s.known == nil {
		s.known = map[types.NamespacedName]*job{}
	}
	s.known[client.ObjectKeyFromObject(obj)] = j
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

// drop forgets a job that has ended.
func (s *jobs) drop(obj client.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, client.ObjectKeyFromObject(obj))
}

// abandon ends the job of an object that is gone without having been let go.
func (s *jobs) abandon(name types.NamespacedName) {
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
		j.close()
	}()
}

// stop ends all jobs and waits until they have put away what they were at.
func (s *jobs) stop() {
	s.mu.Lock()
	s.stopped = true
	close(s.end())
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
		j.close()
	}
}

// close gives up what was received and not stored.
func (j *job) close() {
	if j.partial != nil {
		_ = j.partial.Close() //nolint:errcheck // what cannot be removed now is removed before the next export
	}
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
