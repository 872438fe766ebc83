package gate

import (
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
)

// Queue is the queue of a controller, whose workers get only what the Gate admits: nothing else that
// a controller does with its queue changes. What has to wait is outside of the queue below until it
// is admitted, and goes back with its priority.
type Queue[T comparable] struct {
	priorityqueue.PriorityQueue[T]
	Gate *Gate[T]
	// Place finds where a pass over an item belongs.
	Place func(item T) Place
}

// GetWithPriority implements priorityqueue.PriorityQueue.
func (q *Queue[T]) GetWithPriority() (item T, priority int, shutdown bool) {
	for {
		item, priority, shutdown = q.PriorityQueue.GetWithPriority()
		if shutdown {
			return item, priority, shutdown
		}
		ok, others := q.Gate.Enter(item, priority, q.Place(item))
		q.putBack(others)
		if ok {
			return item, priority, shutdown
		}
		q.PriorityQueue.Done(item)
	}
}

// Get implements workqueue.TypedInterface.
func (q *Queue[T]) Get() (item T, shutdown bool) {
	item, _, shutdown = q.GetWithPriority()
	return item, shutdown
}

// Done implements workqueue.TypedInterface.
func (q *Queue[T]) Done(item T) {
	q.PriorityQueue.Done(item)
	q.putBack(q.Gate.Leave(item))
}

// putBack queues what was admitted.
func (q *Queue[T]) putBack(admitted []Admission[T]) {
	for _, a := range admitted {
		q.AddWithOpts(priorityqueue.AddOpts{Priority: new(a.Priority)}, a.Item)
	}
}
