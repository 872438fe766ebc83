package maxcompute

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/openapi"
)

// roleLists shares the answers of ListRoles among all who ask about the same project: the OpenAPI has no call for a single
// role, so a thousand objects would otherwise read the same list a thousand times.
type roleLists struct {
	mu       sync.Mutex
	projects map[string]*projectRoles
}

// projectRoles is what the last ListRoles of one project said.
type projectRoles struct {
	// turn is a lock that a caller can stop waiting for; it guards the rest.
	turn chan struct{}
	// roles are by folded name; nil if the last call failed or its answer is no longer to be used.
	roles          map[string]Role
	err            error
	started, ended time.Time
}

// FindRole looks a role up in the list of its project's roles as it was at most maxAge ago. With 0, the list is asked for after
// the call of FindRole. Names compare without case.
func (c *Client) FindRole(ctx context.Context, project, name string, maxAge time.Duration) (Role, bool, error) {
	asked := time.Now()
	p := c.lists.project(project)
	if err := p.lock(ctx); err != nil {
		return Role{}, false, openapi.TransportError(ctx, "list the roles of project "+project, err)
	}
	defer p.unlock()
	if !p.answers(asked, maxAge) {
		if err := c.refresh(ctx, project, p); err != nil {
			return Role{}, false, err
		}
	}
	role, found := p.roles[strings.ToLower(name)]
	return role, found, p.err
}

func (c *Client) refresh(ctx context.Context, project string, p *projectRoles) error {
	started := time.Now()
	roles, err := c.ListRoles(ctx, project)
	if err != nil && ctx.Err() != nil {
		// This caller gave up, which tells the others nothing.
		return err
	}
	p.started, p.ended, p.roles, p.err = started, time.Now(), nil, err
	if err != nil {
		return err
	}
	p.roles = make(map[string]Role, len(roles))
	for _, role := range roles {
		p.roles[strings.ToLower(role.Name)] = role
	}
	return nil
}

// answers tells whether the last call serves somebody who asked at a time for a list that is not older than maxAge. A call that
// failed while they were waiting serves them too: those who wait for a service that does not answer should not have to find
// that out one after the other.
func (p *projectRoles) answers(asked time.Time, maxAge time.Duration) bool {
	if p.err != nil {
		return p.ended.After(asked)
	}
	return p.roles != nil && !p.started.Before(asked.Add(-maxAge))
}

func (p *projectRoles) lock(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *projectRoles) unlock() { <-p.turn }

func (l *roleLists) project(name string) *projectRoles {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := strings.ToLower(name)
	if l.projects == nil {
		l.projects = map[string]*projectRoles{}
	}
	if l.projects[key] == nil {
		l.projects[key] = &projectRoles{turn: make(chan struct{}, 1)}
	}
	return l.projects[key]
}

// created and deleted keep a list true to what this client itself did, so that one new role does not make the list of all the
// others old. doubtful makes the next look ask the service.

func (l *roleLists) created(ctx context.Context, project string, role Role) {
	l.change(ctx, project, func(p *projectRoles) {
		if p.roles != nil {
			p.roles[strings.ToLower(role.Name)] = role
		}
	})
}

func (l *roleLists) deleted(ctx context.Context, project, role string) {
	l.change(ctx, project, func(p *projectRoles) { delete(p.roles, strings.ToLower(role)) })
}

func (l *roleLists) doubtful(ctx context.Context, project string) {
	l.change(ctx, project, func(p *projectRoles) { p.roles = nil })
}

func (l *roleLists) change(ctx context.Context, project string, change func(*projectRoles)) {
	p := l.project(project)
	// Even if the caller has given up, the list must not stay wrong: the lock is held only for as long as one call lasts.
	if p.lock(context.WithoutCancel(ctx)) != nil {
		return
	}
	defer p.unlock()
	change(p)
}
