package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// What happens in the small world of the generated cases.
var (
	objects  = []string{"a/r1", "a/r2", "b/r1", "b/r2"}
	roles    = []string{"reader", "writer"}
	grants   = []string{"t1:select", "t1:describe", "t2:select", "t3:select", "t4:update"}
	members  = []string{"u1", "u2", "u3", "u4"}
	policies = []string{"s1", "s2", "s3"}
)

// generator makes a case of chance.
type generator struct {
	*rand.Rand
	known Known
	ops   []string
	// objects and roles are those that occur, moods how much more or less than usual each kind of
	// event does: cases that are all about a few things go deeper than cases about everything.
	objects, roles []string
	moods          []int
}

// Generate makes the case of a seed.
func Generate(seed uint64, known Known) Case {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), known: known}
	g.objects = objects[:1+g.IntN(len(objects))]
	if g.one(3) {
		g.objects = []string{"a/r1", "b/r1"}
	}
	g.roles = roles[:1+g.IntN(2)]
	for range 32 {
		g.moods = append(g.moods, pick(g, 0, 0, 1, 1, 2, 5))
	}
	if g.one(6) {
		g.do("limit %d", 2+g.IntN(3))
	}
	if g.one(8) {
		g.do("point %s one%s", pick(g, "a", "b"), pick(g, ":443", ":CASE", ":vpc"))
	}
	g.do("create %s %s", g.object(), g.newSpec())
	for range 8 + g.IntN(24) {
		g.next()
	}
	return Case{Seed: seed, Ops: g.ops}
}

func (g *generator) one(in int) bool { return g.IntN(in) == 0 }

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

// object prefers the first, so that much happens to few.
func (g *generator) object() string {
	return g.objects[min(g.IntN(len(g.objects)), g.IntN(len(g.objects)))]
}

func (g *generator) some(from []string) string {
	var list []string
	for _, s := range from {
		if g.one(2) {
			list = append(list, s)
		}
	}
	return strings.Join(list, ",")
}

// do adds an operation after a while.
func (g *generator) do(format string, args ...any) {
	gap := fmt.Sprint(g.IntN(30))
	switch g.IntN(10) {
	case 0:
		gap = pick(g, "30s", "2m", "12m")
	case 1, 2, 3:
		gap = "idle"
	case 5, 6:
		gap = "write"
	case 4:
		gap = fmt.Sprint(g.IntN(120))
	}
	g.ops = append(g.ops, gap+" "+fmt.Sprintf(format, args...))
}

// next adds something that happens.
func (g *generator) next() {
	type event struct {
		weight int
		add    func()
	}
	events := []event{
		{10, func() { g.do("edit %s %s", g.object(), g.change()) }},
		{5, func() { g.do("create %s %s", g.object(), g.newSpec()) }},
		{3, func() { g.do("edit %s suspend=%v", g.object(), g.one(2)) }},
		{3, func() { g.do("delete %s", g.object()) }},
		{2, func() { g.do("edit %s del=%s", g.object(), pick(g, "Retain", "Delete")) }},
		{1, func() { g.do("backup %s", g.object()) }},
		{1, func() { g.do("restore %s %s", g.object(), g.restored()) }},
		{1, func() { g.do("request %s", g.object()) }},
		{1, func() { g.do("approve %s", g.object()) }},
		{5, func() { g.do("hand one/%s %s", pick(g, g.roles...), g.tampering()) }},
		{6, g.fault},
		{3, g.apiFault},
		{1, func() { g.do("clear") }},
		{2, func() { g.do("kill") }},
		{2, g.freeze},
		{2, func() { g.do("thaw") }},
		{1, g.connection},
	}
	sum := 0
	for i := range events {
		if i > 0 {
			events[i].weight *= g.moods[i]
		}
		sum += events[i].weight
	}
	n := g.IntN(sum)
	for _, e := range events {
		if n -= e.weight; n < 0 {
			e.add()
			return
		}
	}
}

// newSpec makes the spec of a new object.
func (g *generator) newSpec() string {
	words := []string{"role=" + pick(g, g.roles...)}
	if g.one(4) {
		words = append(words, "mgmt="+pick(g, "Additive", "Observe"))
	}
	if g.one(3) {
		words = append(words, "adopt=Adopt")
	}
	if g.one(8) {
		words = append(words, "del=Retain")
	}
	return strings.Join(append(words, g.part("acl", grants), g.part("members", members), g.part("policy", policies)), " ")
}

func (g *generator) part(name string, from []string) string {
	if g.one(6) {
		return name + "=-"
	}
	return name + "=" + g.some(from)
}

// change makes an edit of a spec.
func (g *generator) change() string {
	switch g.IntN(10) {
	case 0:
		return "mgmt=" + pick(g, "Authoritative", "Additive", "Observe")
	case 1:
		return "adopt=" + pick(g, "Adopt", "Fail")
	case 2, 3, 4:
		return g.part("members", members)
	case 5:
		return g.part("policy", policies)
	case 6:
		return g.part("acl", grants) + " " + g.part("members", members)
	}
	return g.part("acl", grants)
}

func (g *generator) restored() string {
	if g.known[restoredStatus] {
		return "spec"
	}
	return pick(g, "spec", "status")
}

// tampering is what somebody changes by hand.
func (g *generator) tampering() string {
	var words []string
	for range 1 + g.IntN(3) {
		atom := pick(g, pick(g, grants, grants, members, policies)...)
		words = append(words, pick(g, "+", "-")+atom)
	}
	switch g.IntN(6) {
	case 0:
		return "create " + strings.Join(words, " ")
	case 1:
		if !g.known[madeAnew] {
			return "drop create " + strings.Join(words, " ")
		}
		return "drop"
	}
	return strings.Join(words, " ")
}

// freeze stops a leader in the middle of its work, changes something, and lets it go on when it has
// lost its lease.
func (g *generator) freeze() {
	g.do("freeze")
	if g.one(2) {
		g.ops[len(g.ops)-1] = "write freeze"
		g.do("edit %s %s", g.object(), pick(g, g.change(), "acl= members=", "suspend=true"))
		g.ops = append(g.ops, pick(g, "30s", "2m", "5s")+" thaw")
	}
}

// fault makes calls to a cloud fail.
func (g *generator) fault() {
	times := pick(g, "1", "1", "2", "3", "8", "forever", "forever")
	class := pick(g, "refused", "denied", "unavailable", "proxy", "inside", "internal", "elsewhere", "nocode", "unsent", "lost", "garbage",
		"otherkind", "silence", "throttled", "stale", "login", "late", "late")
	scope := ""
	switch g.IntN(10) {
	case 0:
	case 1:
		scope = " account=" + pick(g, "a", "b")
	case 2, 3:
		scope = " action=" + pick(g, "CreateRole", "DeleteRole", "ListRoles", "GetRoleAcl", "GetRolePolicy", "ListUsersByRole", "UpdateRole", "UpdateUsersToRole", "Statement")
	case 4, 5:
		scope = " text=" + pick(g, "t1", "t2", "t3", "t4")
	case 6:
		scope = " text=" + pick(g, members...)
	case 7:
		scope = " text=" + pick(g, "GRANT", "REVOKE")
	case 8:
		scope = " only=writes"
	case 9:
		scope = " only=reads"
	}
	if times == "forever" && (class == "stale" || class == "late") {
		times = "3"
	}
	if class == "late" && !strings.HasPrefix(scope, " text=") {
		scope = ""
	}
	g.do("fault %s one %s%s", times, class, scope)
}

// apiFault makes calls to the API server fail.
func (g *generator) apiFault() {
	if g.one(4) {
		g.do("api forever crowded")
		return
	}
	verb := pick(g, "", " status", " patch", " get")
	g.do("api %d %s%s", 1+g.IntN(5), pick(g, "conflict", "unavailable", "timeout", "toomany", "lost", "lost"), verb)
}

// connection changes what a tenant's Connection stands for.
func (g *generator) connection() {
	tenant := pick(g, "a", "b")
	switch g.IntN(4) {
	case 0:
		g.do("secret %s %s", tenant, pick(g, "bad", "gone"))
		g.do("secret %s good", tenant)
	case 1:
		g.do("point %s one%s", tenant, pick(g, "", ":443", ":CASE", ":vpc"))
	default:
		g.do("point %s two", tenant)
		g.do("point %s one", tenant)
	}
}
