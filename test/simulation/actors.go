package simulation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// actions are what can happen. An action that makes no sense at the moment does nothing, so that
// any part of a case can be left out.
var actions map[string]func(*world, []string)

func init() {
	actions = map[string]func(*world, []string){
		"create":  (*world).createRole,
		"edit":    (*world).editRole,
		"delete":  (*world).deleteRole,
		"backup":  (*world).backup,
		"restore": (*world).restore,
		"request": func(w *world, args []string) {
			w.annotate(args[0], v1alpha1.RequestedAtAnnotation, fmt.Sprint(w.api.version))
		},
		"approve": (*world).approve,
		"hand":    (*world).byHand,
		"point":   (*world).point,
		"secret":  (*world).secret,
		"fault":   (*world).inject,
		"clear":   func(w *world, _ []string) { w.mend(true) },
		"api":     (*world).breakAPI,
		"kill":    func(w *world, _ []string) { w.killLeader() },
		"freeze":  func(w *world, _ []string) { w.freezeLeader() },
		"thaw":    func(w *world, _ []string) { w.thaw() },
		"limit":   func(w *world, args []string) { w.setLimit(number(args[0])) },
	}
}

// act lets something happen.
func (w *world) act(op []string) {
	action := actions[op[0]]
	if action == nil {
		panic("nobody can " + op[0])
	}
	action(w, op[1:])
	w.settle()
}

// named is the key of an object like a/r1.
func named(kind, name string) key {
	namespace, name, _ := strings.Cut(name, "/")
	return key{kind, types.NamespacedName{Namespace: namespace, Name: name}}
}

// createRole makes a ProjectRole: create a/r1 role=reader acl=t1:select,t2:describe policy=s1
// members=u1 mgmt=Additive …
func (w *world) createRole(args []string) {
	k := named("ProjectRole", args[0])
	if w.api.objects[k] != nil {
		return
	}
	role := &v1alpha1.ProjectRole{
		ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name},
		Spec: v1alpha1.ProjectRoleSpec{
			ConnectionRef: v1alpha1.ConnectionReference{Kind: v1alpha1.ConnectionKindConnection, Name: "prod"}, ProjectName: project, RoleName: "reader",
			Type: v1alpha1.RoleTypeResource, ManagementPolicy: v1alpha1.ManagementAuthoritative, AdoptionPolicy: v1alpha1.AdoptionFail,
			DeletionPolicy: v1alpha1.DeletionDelete,
		},
		Status: v1alpha1.ProjectRoleStatus{SyncStatus: v1alpha1.SyncStatus{ObservedGeneration: -1}},
	}
	specify(role, options(args[1:]))
	w.api.create(role)
}

// specify sets parts of a spec. A part that is "-" is absent; an empty one is there and empty.
func specify(role *v1alpha1.ProjectRole, parts map[string]string) {
	for part, value := range parts {
		set := specParts[part]
		if set == nil {
			panic("a role has no " + part)
		}
		set(&role.Spec, value)
	}
}

// specParts set a part of a spec.
var specParts = map[string]func(spec *v1alpha1.ProjectRoleSpec, value string){
	"role": func(spec *v1alpha1.ProjectRoleSpec, value string) { spec.RoleName = value },
	"conn": func(spec *v1alpha1.ProjectRoleSpec, value string) { spec.ConnectionRef.Name = value },
	"mgmt": func(spec *v1alpha1.ProjectRoleSpec, value string) {
		spec.ManagementPolicy = v1alpha1.ManagementPolicy(value)
	},
	"adopt": func(spec *v1alpha1.ProjectRoleSpec, value string) {
		spec.AdoptionPolicy = v1alpha1.AdoptionPolicy(value)
	},
	"del": func(spec *v1alpha1.ProjectRoleSpec, value string) {
		spec.DeletionPolicy = v1alpha1.DeletionPolicy(value)
	},
	"suspend": func(spec *v1alpha1.ProjectRoleSpec, value string) { spec.Suspend = value == "true" },
	"acl": func(spec *v1alpha1.ProjectRoleSpec, value string) {
		if spec.ACL = nil; value != absent {
			spec.ACL = aclOf(atomsOf(value))
		}
	},
	"policy": func(spec *v1alpha1.ProjectRoleSpec, value string) {
		if spec.Policy = nil; value != absent {
			spec.Policy = &runtime.RawExtension{Raw: []byte(policyWith(atomsOf(value)...))}
		}
	},
	"members": func(spec *v1alpha1.ProjectRoleSpec, value string) {
		if spec.Members = nil; value == absent {
			return
		}
		spec.Members = []string{}
		for _, m := range atomsOf(value) {
			spec.Members = append(spec.Members, memberPrefix+m)
		}
	},
}

// absent is the value of a part that is not there.
const absent = "-"

func atomsOf(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
}

// aclOf makes an ACL of atoms like t1:select.
func aclOf(atoms []string) *v1alpha1.RoleACL {
	acl := &v1alpha1.RoleACL{}
	for _, atom := range atoms {
		table, action, _ := strings.Cut(atom, ":")
		action = strings.ToUpper(action[:1]) + action[1:]
		i := slices.IndexFunc(acl.Tables, func(t v1alpha1.TableGrant) bool { return t.Name == table })
		if i < 0 {
			i, acl.Tables = len(acl.Tables), append(acl.Tables, v1alpha1.TableGrant{SchemaName: "default", Name: table})
		}
		acl.Tables[i].Actions = append(acl.Tables[i].Actions, action)
	}
	return acl
}

// editRole changes the spec of a role: edit a/r1 acl=t1:select suspend=true.
func (w *world) editRole(args []string) {
	k := named("ProjectRole", args[0])
	if obj := w.api.objects[k]; obj == nil {
		return
	}
	w.api.edit(k, func(obj client.Object) { specify(obj.(*v1alpha1.ProjectRole), options(args[1:])) })
}

func (w *world) deleteRole(args []string) { w.api.delete(named("ProjectRole", args[0])) }

// backup keeps a copy of an object.
func (w *world) backup(args []string) {
	k := named("ProjectRole", args[0])
	if obj := w.api.objects[k]; obj != nil {
		w.backups[k] = copyOf(obj)
	}
}

// restore brings an object back from the copy: restore a/r1 spec, as somebody does who applies old
// manifests; or restore a/r1 status, with the status that it had, as some backup tools do.
func (w *world) restore(args []string) {
	k := named("ProjectRole", args[0])
	old := w.backups[k]
	if old == nil {
		return
	}
	if now, ok := w.api.objects[k].(*v1alpha1.ProjectRole); ok {
		if now.Spec.RoleName != old.(*v1alpha1.ProjectRole).Spec.RoleName {
			return // the API server refuses it
		}
		w.api.edit(k, func(obj client.Object) {
			obj.(*v1alpha1.ProjectRole).Spec = old.(*v1alpha1.ProjectRole).DeepCopy().Spec
		})
		return
	}
	fresh := old.DeepCopyObject().(*v1alpha1.ProjectRole)
	fresh.Finalizers, fresh.ResourceVersion = nil, ""
	if args[1] != "status" {
		fresh.Status = v1alpha1.ProjectRoleStatus{SyncStatus: v1alpha1.SyncStatus{ObservedGeneration: -1}}
	}
	w.api.create(fresh)
}

// annotate sets an annotation.
func (w *world) annotate(name, annotation, value string) {
	w.api.edit(named("ProjectRole", name), func(obj client.Object) {
		annotations := map[string]string{annotation: value}
		for k, v := range obj.GetAnnotations() {
			if k != annotation {
				annotations[k] = v
			}
		}
		obj.SetAnnotations(annotations)
	})
}

// approve lets the plan of an object that waits for it be carried out.
func (w *world) approve(args []string) {
	if obj := w.api.objects[named("ProjectRole", args[0])]; obj != nil && statusOf(obj).PendingPlan != nil {
		w.annotate(args[0], v1alpha1.ApprovePlanAnnotation, statusOf(obj).PendingPlan.Hash)
	}
}

// byHand changes a role as somebody does who uses the console: hand one/reader create +t1:select
// -u1 drop.
func (w *world) byHand(args []string) {
	service, role, _ := strings.Cut(args[0], "/")
	w.ledger.role(service, role).undone++
	for _, what := range args[1:] {
		e, err := w.handle(service, role, what)
		if err == nil && e.verb != "" {
			e.by = byHand
			w.ledger.apply(e)
			w.shareWithPasses(e)
		}
	}
}

// handle makes one change. Its error says that there is nothing to change.
func (w *world) handle(service, role, what string) (effect, error) {
	server, h := w.clouds[service], w.ledger.role(service, role)
	atom := strings.TrimLeft(what, "+-")
	e := effect{service: service, role: role, atom: atom}
	switch {
	case what == "create":
		e.verb, e.atom = created, ""
		return e, server.CreateRole(project, role, "resource")
	case what == "drop":
		for _, a := range h.atoms() {
			if partOf(a) == partMembers {
				must(server.RemoveMembers(project, role, memberPrefix+a))
			}
		}
		e.verb, e.atom = dropped, ""
		return e, server.DropRole(project, role)
	case !h.exists:
		return effect{}, nil
	case what[0] == '+':
		e.verb = added
		return e, w.give(server, role, atom)
	case h.from[atom] == nil:
		return effect{}, nil
	}
	e.verb = removed
	return e, w.take(server, h, role, atom)
}

func (w *world) give(server *fakecloud.Server, role, atom string) error {
	switch partOf(atom) {
	case partMembers:
		return server.AddMembers(project, role, memberPrefix+atom)
	case partPolicy:
		return server.SetPolicy(project, role, policyWith(append(statementsIn(server.RolePolicy(project, role)).list(), atom)...))
	}
	return server.Grant(project, role, grantOf(atom))
}

func (w *world) take(server *fakecloud.Server, _ *held, role, atom string) error {
	switch partOf(atom) {
	case partMembers:
		return server.RemoveMembers(project, role, memberPrefix+atom)
	case partPolicy:
		left := slices.DeleteFunc(statementsIn(server.RolePolicy(project, role)).list(), func(s string) bool { return s == atom })
		return server.SetPolicy(project, role, policyWith(left...))
	}
	return server.Revoke(project, role, grantOf(atom))
}

func grantOf(atom string) fakecloud.Grant {
	table, action, _ := strings.Cut(atom, ":")
	return fakecloud.Grant{Kind: "table", SchemaName: "default", Name: table, Actions: []string{action}}
}

// shareWithPasses lets the objects whose passes are under way share what somebody gives by hand
// meanwhile: they may have been about to give it, and cannot know that they did not.
func (w *world) shareWithPasses(e effect) {
	if e.verb != added {
		return
	}
	for _, m := range w.managers {
		for _, p := range m.inOrder() {
			if partOf(e.atom) == partPolicy {
				p.unseen[e.atom] = true
			}
			if versions := w.history[p.uid()]; len(versions) > 0 && slices.ContainsFunc(versions, func(v *wish) bool { return v.role == e.role && v.wanted(e.atom) }) {
				w.ledger.role(e.service, e.role).from[e.atom][p.uid()] = true
			}
		}
	}
}

// spellings are names of a service, by what follows the name of the service in an operation.
var spellings = map[string][2]string{
	"":      {"https://maxcompute.%s.aliyuncs.com", "https://service.%s.maxcompute.aliyun.com/api"},
	":443":  {"https://maxcompute.%s.aliyuncs.com:443", "https://service.%s.maxcompute.aliyun.com:443/api"},
	":CASE": {"https://MaxCompute.%s.aliyuncs.com/", "https://Service.%s.maxcompute.aliyun.com/api/"},
	":vpc":  {"https://maxcompute-vpc.%s.aliyuncs.com", "https://service.%s.maxcompute.aliyun-inc.com/api"},
}

// point makes a Connection lead to a service, by one of its names: point a two:vpc.
func (w *world) point(args []string) {
	service, spelling := args[1], ""
	if i := strings.Index(service, ":"); i >= 0 {
		service, spelling = service[:i], service[i:]
	}
	w.api.edit(named("Connection", args[0]+"/prod"), func(obj client.Object) {
		obj.(*v1alpha1.Connection).Spec.AlibabaCloud.Endpoints = endpointsOf(service, spelling)
	})
	w.lead(args[0], service)
}

func (w *world) lead(tenant, service string) {
	name := tenant + "/prod"
	if w.led[name] == nil {
		w.led[name] = set{}
	}
	w.led[name][service] = true
}

func endpointsOf(service, spelling string) *v1alpha1.AlibabaCloudEndpoints {
	urls, ok := spellings[spelling]
	if !ok {
		panic("no service is spelled like " + spelling)
	}
	return &v1alpha1.AlibabaCloudEndpoints{MaxCompute: fmt.Sprintf(urls[0], regions[service]), ODPS: fmt.Sprintf(urls[1], regions[service])}
}

// secret spoils the credentials of a tenant, takes them away, or brings them back: secret a bad,
// gone or good.
func (w *world) secret(args []string) {
	k := named("Secret", args[0]+"/keys")
	if args[1] == "gone" {
		w.api.put(k, nil)
		return
	}
	secret := newSecret(args[0])
	if args[1] == "bad" {
		secret.Data["accessKeySecret"] = []byte("fake-secret-that-is-wrong")
	}
	if w.api.objects[k] == nil {
		w.api.create(secret)
		return
	}
	w.api.edit(k, func(obj client.Object) { obj.(*corev1.Secret).Data = secret.Data })
}

func accountOf(tenant string) string { return "FAKEKEYOFTEAM" + strings.ToUpper(tenant) }

func newSecret(tenant string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: "keys"},
		Data:       map[string][]byte{"accessKeyId": []byte(accountOf(tenant)), "accessKeySecret": []byte("fake-secret-that-opens-nothing")},
	}
}

func newConnection(tenant string) *v1alpha1.Connection {
	return &v1alpha1.Connection{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: "prod", Finalizers: []string{v1alpha1.Finalizer}},
		Spec: v1alpha1.ConnectionSpec{AlibabaCloud: &v1alpha1.AlibabaCloudConnection{
			Region: regions["one"], Endpoints: endpointsOf("one", ""), Credentials: v1alpha1.AlibabaCloudCredentials{SecretRef: &v1alpha1.SecretReference{Name: "keys"}},
			RateLimits: &v1alpha1.AlibabaCloudRateLimits{MaxCompute: &v1alpha1.RateLimit{QPS: 1000, Burst: 2000}},
		}},
		Status: v1alpha1.ConnectionStatus{SyncStatus: v1alpha1.SyncStatus{ObservedGeneration: -1}},
	}
}

// breakAPI makes calls to the API server fail: api <times|forever> <class> [verb].
func (w *world) breakAPI(args []string) {
	f := apiFault{class: args[1], times: -1}
	if args[0] != "forever" {
		f.times = number(args[0])
	}
	if len(args) > 2 {
		f.verb = args[2]
	}
	w.refuse = append(w.refuse, f)
}

// killLeader ends the manager that leads in the middle of whatever it does.
func (w *world) killLeader() {
	if h := w.lease.holder; h != nil {
		w.crash(h)
	}
}

// freezeLeader stops the manager that leads, as SIGSTOP does. One of the two always goes on.
func (w *world) freezeLeader() {
	if slices.ContainsFunc(w.managers, func(m *manager) bool { return m.frozen }) {
		return
	}
	if h := w.lease.holder; h != nil {
		w.trace("%s freezes", h.name)
		h.frozen = true
	}
}

// thaw lets a frozen manager go on. One that has lost its lease notices only when it cannot renew
// it.
func (w *world) thaw() {
	for _, m := range w.managers {
		if m.frozen {
			w.trace("%s thaws", m.name)
			m.frozen = false
			if w.lease.holder != m {
				m.dies = time.Now().Add(renewDeadline)
			}
		}
	}
}

func (w *world) setLimit(n int) {
	w.maxRevocations = n
	for _, m := range w.managers {
		w.crash(m)
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
