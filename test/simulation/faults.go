package simulation

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// faultClasses are the ways in which a call to a cloud fails. What is left empty is filled in by
// the scope of a fault.
var faultClasses = map[string]fakecloud.Fault{
	"refused":     {Kind: fakecloud.FaultError, Status: http.StatusBadRequest, Code: "INVALID_ARGUMENT", Message: "refused by the simulation"},
	"denied":      {Kind: fakecloud.FaultAccessDenied},
	"unavailable": {Kind: fakecloud.FaultServerError},
	"proxy":       {Kind: fakecloud.FaultHTML502},
	"inside":      {Kind: fakecloud.FaultErrorInside, Code: "ODPS-0110061", Message: "Failed to run ddltask"},
	"internal":    {Kind: fakecloud.FaultErrorInside, Code: "ODPS-0010000", Message: "System internal error"},
	"elsewhere":   {Kind: fakecloud.FaultWrongEndpoint},
	"nocode":      {Kind: fakecloud.FaultWrongEndpoint, Body: fakecloud.BodyJSON},
	"unsent":      {Kind: fakecloud.FaultDropBefore},
	"lost":        {Kind: fakecloud.FaultDropAfter},
	"garbage":     {Kind: fakecloud.FaultGarbled},
	"otherkind":   {Kind: fakecloud.FaultGarbled, Body: fakecloud.BodyWrongKind},
	"silence":     {Kind: fakecloud.FaultTimeout},
	"throttled":   {Kind: fakecloud.FaultThrottle},
	"stale":       {Kind: fakecloud.FaultStaleRead, StaleWrites: 1},
	"login":       {Kind: fakecloud.FaultHTMLPage},
	"late":        {}, // no answer, and the call arrives up to a minute later
}

// activeFault is a fault of a cloud that was injected.
type activeFault struct {
	class, service string
	forever        bool
	fault          fakecloud.Fault
}

// call is one that the oracles ask about: would it be hit?
type call struct{ service, action, text, account string }

// reads are the calls that a look at a role needs.
var reads = []string{"ListRoles", "GetRoleAcl", "GetRolePolicy", "ListUsersByRole"}

// hits reports whether a fault that lasts can meet a call.
func (f activeFault) hits(c call) bool {
	matches := func(want, have string) bool { return want == "" || strings.EqualFold(want, have) }
	isRead := slices.Contains(reads, c.action)
	return f.forever && f.service == c.service && matches(f.fault.Action, c.action) && matches(f.fault.AccessKeyID, c.account) &&
		(f.fault.Text == "" || strings.Contains(strings.ToLower(c.text), strings.ToLower(f.fault.Text))) &&
		(f.fault.Only == "" || (f.fault.Only == "reads") == isRead)
}

// inject adds a fault: fault <times|forever> <service> <class> [action=…] [account=…] [text=…]
// [only=…].
func (w *world) inject(args []string) {
	f := activeFault{forever: args[0] == "forever", service: args[1], class: args[2]}
	fault, ok := faultClasses[f.class]
	if !ok {
		panic("no class of faults is called " + f.class)
	}
	if !f.forever {
		fault.Times = number(args[0])
	}
	for name, value := range options(args[3:]) {
		switch name {
		case "action":
			fault.Action = value
		case "account":
			fault.AccessKeyID = accountOf(value)
		case "text":
			fault.Text = value
		case "only":
			fault.Only = value
		default:
			panic("a fault has no " + name)
		}
	}
	fault.Name = f.class
	f.fault = fault
	w.faults = append(w.faults, f)
	w.install(f)
}

// install has a fake answer with a fault; that a call arrives late is none of its business.
func (w *world) install(f activeFault) {
	if f.class != "late" {
		w.clouds[f.service].Inject(f.fault)
	}
}

// matchesRequest reports whether a fault that no fake knows of is about a request.
func (f activeFault) matchesRequest(request *http.Request, body []byte) bool {
	text := request.URL.Path + "?" + request.URL.RawQuery + "\n" + string(body)
	return strings.Contains(strings.ToLower(text), strings.ToLower(f.fault.Text))
}

// mend takes away the faults, or only those that do not last.
func (w *world) mend(all bool) {
	for _, server := range w.clouds {
		server.ClearFaults()
	}
	w.faults = slices.DeleteFunc(w.faults, func(f activeFault) bool { return all || !f.forever })
	for _, f := range w.faults {
		w.install(f)
	}
	w.refuse = slices.DeleteFunc(w.refuse, func(f apiFault) bool { return all || f.times > 0 })
}

// apiFault is a fault of the API server: of writes that were not made, of writes whose answer is
// lost, and of statuses with too much in them.
type apiFault struct {
	class string
	verb  string
	// times is how often it still hits; less than 0 means for ever.
	times int
}

// refusedByAPI returns the error of a call to the API server that a fault hits.
func (w *world) refusedByAPI(verb string, k key) error {
	for i := range w.refuse {
		f := &w.refuse[i]
		if f.times == 0 || f.verb != "" && f.verb != verb || f.class == "crowded" || f.class == "lost" {
			continue
		}
		f.times--
		w.trace("    the API server answers %s %s with %s", verb, k, f.class)
		resource := schema.GroupResource{Resource: k.kind}
		switch f.class {
		case "conflict":
			if verb == "patch" || verb == "status" {
				return conflict(k)
			}
		case "unavailable":
			return apierrors.NewInternalError(errors.New("etcdserver: request timed out"))
		case "timeout":
			return apierrors.NewServerTimeout(resource, verb, 1)
		case "toomany":
			return apierrors.NewTooManyRequests("too many requests, please try again later", 1)
		default:
			panic("the API server has no fault " + f.class)
		}
	}
	return nil
}

// answerLost reports whether the answer to a write that was made is lost.
func (w *world) answerLost(verb string) bool {
	for i := range w.refuse {
		if f := &w.refuse[i]; f.class == "lost" && f.times != 0 && (f.verb == "" || f.verb == verb) {
			f.times--
			return true
		}
	}
	return false
}

// admit refuses a status of which the schema allows less: no more entries than the larger of what
// was stored and what the spec lists, while a fault says so. That stands for the limits that no
// object of this small world could reach.
func (w *world) admit(k key, stored, next client.Object) error {
	for _, f := range w.refuse {
		if f.class != "crowded" || f.times == 0 || k.kind != "ProjectRole" {
			continue
		}
		limit := max(len(statusOf(stored).Applied), wishOf(change{key: k, object: next}, 0).entries())
		if n := len(statusOf(next).Applied); n > limit {
			w.trace("    the API server refuses %d entries, for %d are allowed", n, limit)
			return apierrors.NewInvalid(schema.GroupKind{Kind: k.kind}, k.Name, field.ErrorList{field.TooMany(field.NewPath("status", "applied"), n, limit)})
		}
	}
	return nil
}

// entries is how many entries a status needs for what a version wants: one for each object,
// statement and member.
func (v *wish) entries() int {
	seen := set{}
	for _, atoms := range v.want {
		for atom := range atoms {
			name, _, _ := strings.Cut(atom, ":")
			seen[name] = true
		}
	}
	return len(seen)
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(fmt.Sprintf("%q is no number", text))
	}
	return n
}

// options reads words like name=value.
func options(words []string) map[string]string {
	out := map[string]string{}
	for _, word := range words {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			panic(fmt.Sprintf("%q is not name=value", word))
		}
		out[name] = value
	}
	return out
}
