package maxcompute

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// sharedLists shares the answers of a call that lists something of a project among all who ask about the same project: where the
// OpenAPI has no call for a single one, a thousand objects would otherwise read the same list a thousand times. T is what is kept of
// an answer, something that a change can be made to in place.
type sharedLists[T any] struct {
	// closed returns why the service would not be asked now: then nobody waits for the call of another.
	closed   func(op string) error
	mu       sync.Mutex
	projects map[string]*sharedList[T]
}

// sharedList is what the last call for one project said.
type sharedList[T any] struct {
	// turn is a lock that a caller can stop waiting for; it guards the rest.
	turn chan struct{}
	list T
	// known is false if the last call failed or its answer is no longer to be used.
	known          bool
	err            error
	started, ended time.Time
}

// look has the list of a project read as it was at most maxAge ago; with 0, it is asked for after the call of look. op says in words what
// ask does.
func (l *sharedLists[T]) look(ctx context.Context, project, op string, maxAge time.Duration, ask func(context.Context) (T, error), read func(T) error) error {
	asked := time.Now()
	p := l.project(project)
	if !p.tryLock() {
		if err := l.closed(op); err != nil {
			return err
		}
		if err := p.lock(ctx); err != nil {
			return openapi.TransportError(ctx, op, err)
		}
	}
	defer p.unlock()
	if !p.answers(asked, maxAge) {
		if err := p.refresh(ctx, ask); err != nil {
			return err
		}
	}
	if p.err != nil {
		return p.err
	}
	return read(p.list)
}

func (p *sharedList[T]) refresh(ctx context.Context, ask func(context.Context) (T, error)) error {
	started := time.Now()
	list, err := ask(ctx)
	if err != nil && ctx.Err() != nil {
		// This caller gave up, which tells the others nothing.
		return err
	}
	p.started, p.ended, p.list, p.known, p.err = started, time.Now(), list, err == nil, err
	return err
}

// answers tells whether the last call serves somebody who asked at a time for a list that is not older than maxAge. A call that
// failed while they were waiting serves them too: those who wait for a service that does not answer should not have to find
// that out one after the other.
func (p *sharedList[T]) answers(asked time.Time, maxAge time.Duration) bool {
	if p.err != nil {
		return p.ended.After(asked)
	}
	return p.known && !p.started.Before(asked.Add(-maxAge))
}

func (p *sharedList[T]) lock(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *sharedList[T]) tryLock() bool {
	select {
	case p.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

func (p *sharedList[T]) unlock() { <-p.turn }

func (l *sharedLists[T]) project(name string) *sharedList[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := strings.ToLower(name)
	if l.projects == nil {
		l.projects = map[string]*sharedList[T]{}
	}
	if l.projects[key] == nil {
		l.projects[key] = &sharedList[T]{turn: make(chan struct{}, 1)}
	}
	return l.projects[key]
}

// follow keeps a list true to what this client itself did, so that one new object does not make the list of all the others old. A list
// that is not known stays so.
func (l *sharedLists[T]) follow(ctx context.Context, project string, change func(T)) {
	l.change(ctx, project, func(p *sharedList[T]) {
		if p.known {
			change(p.list)
		}
	})
}

// doubt makes the next look ask the service.
func (l *sharedLists[T]) doubt(ctx context.Context, project string) {
	l.change(ctx, project, func(p *sharedList[T]) { p.known = false })
}

func (l *sharedLists[T]) change(ctx context.Context, project string, change func(*sharedList[T])) {
	p := l.project(project)
	// Even if the caller has given up, the list must not stay wrong: the lock is held only for as long as one call lasts.
	if p.lock(context.WithoutCancel(ctx)) != nil {
		return
	}
	defer p.unlock()
	change(p)
}
