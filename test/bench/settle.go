package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/testbed"
)

// What a copy of the model has in place of these is its own.
const (
	modelKey     = "modelkey"
	modelProject = "modelproject"
)

// population is many roles that the operator finds as they should be. To let it make 20,000 takes a quarter of an hour, so it makes one,
// and the others are copies of that, status included. Whether they are true copies shows when the operator looks at them: undisturbed.
type population struct {
	*bench
	namespace string
	// perProject is how many of the roles are in one project.
	perProject int
	// model is the role that the operator made, as JSON.
	model string
	size  int
}

// populate makes a namespace with a Connection, and the model. The manager does not run afterwards.
func (b *bench) populate(ctx context.Context, namespace string, qps int32, perProject int) (*population, error) {
	b.Cloud.AddProject(fakecloud.Project{Name: modelProject})
	if err := b.start(usualInterval); err != nil {
		return nil, err
	}
	defer b.Manager.Stop()
	if err := b.Connect(ctx, namespace, qps); err != nil {
		return nil, err
	}
	model := b.newRole(namespace, modelProject, modelKey)
	if err := b.Kube.Create(ctx, model); err != nil {
		return nil, err
	}
	if err := b.waitReady(ctx, namespace, 1); err != nil {
		return nil, err
	}
	var all v1alpha1.ProjectRoleList
	if err := b.Kube.List(ctx, &all); err != nil {
		return nil, err
	}
	if len(all.Items) != 1 {
		return nil, fmt.Errorf("%d roles exist, want the model alone", len(all.Items))
	}
	text, err := json.Marshal(all.Items[0])
	return &population{bench: b, namespace: namespace, perProject: perProject, model: string(text), size: 1}, err
}

// grow adds copies until there are so many roles, the model among them.
func (p *population) grow(ctx context.Context, size int) error {
	err := each(ctx, p.size, size, p.add)
	p.size = size
	return err
}

// add makes one copy, in the cloud and as an object.
func (p *population) add(ctx context.Context, i int) error {
	key, project := strconv.Itoa(i), fmt.Sprintf("project_%d", i/p.perProject)
	p.Cloud.AddProject(fakecloud.Project{Name: project})
	if err := p.Cloud.CreateRole(project, "role_"+key, "resource"); err != nil {
		return err
	}
	role := &v1alpha1.ProjectRole{}
	if err := json.Unmarshal([]byte(strings.NewReplacer(modelKey, key, modelProject, project).Replace(p.model)), role); err != nil {
		return err
	}
	for _, table := range role.Spec.ACL.Tables {
		if err := p.Cloud.Grant(project, role.Spec.RoleName, fakecloud.Grant{Kind: "table", SchemaName: table.SchemaName, Name: table.Name, Actions: table.Actions}); err != nil {
			return err
		}
	}
	role.UID, role.ResourceVersion, role.ManagedFields = "", "", nil
	status := role.Status
	if err := p.Kube.Create(ctx, role); err != nil {
		return err
	}
	role.Status = status
	return p.Kube.Status().Update(ctx, role)
}

// first is the first look of a new manager at all roles.
type first struct {
	usage

	// started is when the manager was, called when the first call about a role was made, and ended when the last role was looked at.
	started, called, ended time.Time
	costs                  sample
	memory                 testbed.Memory
}

// restart starts a manager and returns when it has looked at every role. It fails if it found any of them not as it should be.
func (p *population) restart(ctx context.Context) (first, error) {
	before, err := p.versions(ctx, p.namespace)
	if err != nil {
		return first{}, err
	}
	p.Cloud.ResetJournal()
	look := first{started: time.Now()}
	if err := p.start(usualInterval); err != nil {
		return first{}, err
	}
	if err := testbed.Until(ctx, patience, func() (bool, error) { return p.Cloud.Count("GetRoleAcl") >= p.size, nil }); err != nil {
		return first{}, fmt.Errorf("a look at every role: %w", err)
	}
	look.called, look.ended = p.firstRoleCall(), p.lastLook()
	look.usage = p.usageBetween(look.started, look.ended)
	if look.memory, err = p.Manager.Memory(); err != nil {
		return first{}, err
	}
	if look.costs, err = p.sample(ctx); err != nil {
		return first{}, err
	}
	return look, p.undisturbed(ctx, before)
}

func (b *bench) lastLook() time.Time {
	var last time.Time
	for _, entry := range b.Cloud.Journal() {
		if entry.Action == "GetRoleAcl" {
			last = entry.Time
		}
	}
	return last
}

// undisturbed fails unless each role was read once, and neither its object nor anything in the cloud was written.
func (p *population) undisturbed(ctx context.Context, before map[string]string) error {
	after, err := p.versions(ctx, p.namespace)
	if err != nil {
		return err
	}
	looked := p.looked()
	for role, reads := range looked {
		if reads != 1 {
			return fmt.Errorf("role %s was read %d times", role, reads)
		}
	}
	writes, changes := len(p.Cloud.Writes()), changed(before, after)
	if len(looked) != p.size || len(after) != p.size || writes > 0 || changes > 0 {
		return fmt.Errorf("the roles were not settled: %d of %d were looked at, %d calls wrote, %d objects changed", len(looked), p.size, writes, changes)
	}
	if violations := p.Cloud.Violations(); len(violations) > 0 {
		return errors.New(violations[0])
	}
	return nil
}
