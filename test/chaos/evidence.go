package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/conditions"
)

// maxEvidence is of how many requests everything is told.
const maxEvidence = 10

// explain tells all that is known of some requests that are not as promised.
func (r *requests) explain(which []broken) {
	calls := r.link.all()
	for _, b := range which[:min(len(which), maxEvidence)] {
		fmt.Fprintf(os.Stderr, "\n%s/%s: %s\n", b.apply.Namespace, b.apply.Name, b.why)
		r.tell(&b.apply, calls)
	}
}

// tell writes the status of a request, its calls and its orders, with the journal of these.
func (r *requests) tell(apply *v1alpha1.PermissionApply, calls map[string][]submission) {
	if ready := conditions.ReadyCondition(apply); ready != nil {
		fmt.Fprintf(os.Stderr, "  Ready %s %s: %s\n", ready.Status, ready.Reason, ready.Message)
	}
	fmt.Fprintf(os.Stderr, "  submissions %s\n  orders %s\n", text(apply.Status.Submissions), text(apply.Status.Orders))
	for token, of := range calls {
		if !strings.HasPrefix(token, string(apply.UID)) {
			continue
		}
		for _, c := range of {
			fmt.Fprintf(os.Stderr, "  call %s %s of manager %d: %s\n", token, c.At.Format(time.RFC3339Nano), c.Life, c.Fate)
		}
	}
	ids := map[string]bool{}
	for _, o := range r.Cloud.Orders() {
		if uid, _ := split(o.Reason); uid == string(apply.UID) {
			ids[o.ID] = true
			fmt.Fprintf(os.Stderr, "  in the cloud %s\n", text(o))
		}
	}
	for _, e := range r.Cloud.Journal() {
		about := ids[e.Order]
		for _, id := range e.Orders {
			about = about || ids[id]
		}
		if about {
			fmt.Fprintf(os.Stderr, "  journal %s\n", text(e))
		}
	}
}

func text(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(out)
}
