package simulation

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var mutate = flag.Bool("mutants", false, "build each mutant and count the seeds that kill it")

// mutant is a defect that the operator once had, or could have: the text of one place of its
// source, and what it would be.
type mutant struct{ file, old, new string }

// mutants must each be noticed by the simulation. What a mutant takes out is a mending, so the
// simulation finds the defect that was mended; the text must be there exactly once.
var mutants = map[string]mutant{
	"a copy that is behind is acted on": {
		"internal/engine/guard.go", "live.GetUID() != obj.GetUID() || live.GetResourceVersion() != obj.GetResourceVersion() {", "live.GetUID() != obj.GetUID() {",
	},
	"the intent is not stored": {
		"internal/engine/store.go", "	if err := s.update(ctx, obj, *stored); err != nil {\n		return err\n	}\n	*stored = Snapshot(obj)\n", "",
	},
	"what exists is taken over without adoption": {
		"controllers/ownership.go", "case obj.GetAdoptionPolicy() != v1alpha1.AdoptionAdopt:", "case obj.GetAdoptionPolicy() != v1alpha1.AdoptionAdopt && false:",
	},
	"a suspended object is worked on": {
		"internal/engine/engine.go", "	if obj.IsSuspended() {\n		return", "	if obj.IsSuspended() && obj.GetGeneration() == 1 {\n		return",
	},
	"Retain is ignored": {
		"internal/engine/engine.go", "case obj.IsRetained():", "case obj.IsRetained() && obj.IsObserved():",
	},
	"nobody asks who owns a role": {
		"controllers/owner.go", "	if obj.IsObserved() || wasObserving(obj) || idle", "	if obj != nil || idle",
	},
	"an additive object takes away what others gave": {
		"controllers/projectrole_plan.go", "surplus = surplus.Intersect(owned.members)", "surplus = surplus.Union(acl.Members{})",
	},
	"a revocation that is refused hides behind Ready": {
		"internal/engine/converge.go", "return true, partially(p, refused)", "return true, nil",
	},
	"an error of a list is absence": {
		"controllers/targets.go", "	if cloud.IsNotFound(err) {\n		return nil\n	}\n	return err", "	return nil",
	},
	"a 404 of another server is absence": {
		"internal/cloud/error.go", "func IsNotFound(err error) bool { return CodeOf(err) == NotFound }", "func IsNotFound(err error) bool { return CodeOf(err) == NotFound || CodeOf(err) == UnexpectedResponse }",
	},
	"what left the acl stays when the acl is absent": {
		"controllers/projectrole_plan.go", "access := acl.Change{Revoke: owned.acl}", "access := acl.Change{}",
	},
	"the inventory forgets what was granted": {
		"controllers/projectrole_controller.go", "owned = owned.with(step)", "_ = step",
	},
	"members of an adopted role stay after its deletion": {
		"controllers/projectrole_plan.go", "removed, revoked := owned.members.Intersect(have.members), owned", "removed, revoked := acl.Members{}, owned",
	},
	"a deletion does not wait for writes that are not visible yet": {
		"controllers/targets.go", "return last == nil || t.clock.Since(last.Time) > lateWrite", "return last == nil || t.clock.Since(last.Time) > 0",
	},
	"a failed revocation ends the pass": {
		"internal/engine/apply.go", "so.inARow[in] >= maxFailures || in == rebuilds", "so.inARow[in] >= maxFailures || in != adds",
	},
	"the old owner's grants are forgotten when the connection moves": {
		"controllers/targets.go", "claims(obj) && at != \"\" && !account.IsAt(at)", "claims(obj) && at == \"-\" && !account.IsAt(at)",
	},
	"the finalizer is let go before the cloud is clean": {
		"internal/engine/engine.go", "if deleting && err == nil {", "if deleting {",
	},
	"members are added before what they must not have is gone": {
		"controllers/projectrole_plan.go", "steps(plan.Revoke, access.Revoke), memberStep(plan.AddMember, role, added),\n	)", "memberStep(plan.AddMember, role, added),\n	)",
	},
	"what fails to be added keeps what is to be taken away": {
		"internal/engine/apply.go", "	switch {\n	case step.Rebuilds():\n		return rebuilds", "	switch {\n	case !step.Rebuilds():\n		return adds\n	case step.Rebuilds():\n		return rebuilds",
	},
	"what failed is tried first again": {
		"internal/engine/apply.go", "so.known.sorted(steps)", "steps",
	},
	"a pass goes on after a change": {
		"internal/engine/guard.go", "conditions.Approval(cached) != conditions.Approval(began) {\n			return changed(obj)", "conditions.Approval(cached) != conditions.Approval(began) {\n			return nil",
	},
	"a frozen manager trusts its cache": {
		"internal/engine/guard.go", "since < 0 || since >= liveEvery", "since < -time.Hour",
	},
	"age beats a claim": {
		"controllers/owner.go", "if claims(a) != claimed {", "if claims(a) != claimed && a == b {",
	},
	"who has observed is as old as ever": {
		"controllers/owner.go", "ManagedSince; since != nil {", "ManagedSince; since != nil && since.IsZero() {",
	},
	"nobody looks for rivals once the intent is stored": {
		"controllers/owner.go", "claims(obj) && !first)\n	if err != nil || owner == nil {", "claims(obj) && !first)\n	if err != nil || owner != obj {",
	},
	"two names of one service are two services": {
		"internal/connect/service.go", "if err != nil || u.Host == \"\" {", "if err != nil || u.Host != \"-\" {",
	},
	"one member who fails costs the others": {
		"controllers/ownership.go", "if meetsAll(err) || mayMeetAll(err) || len(failures) >= maxItemFailures {", "if err != nil {",
	},
	"a part that cannot be read ends the pass": {
		"internal/engine/converge.go", "case p.Empty() && p.Failure != nil:", "case p.Failure != nil:",
	},
	"an intent is stored in one piece or not at all": {
		"internal/engine/converge.go", "if steps = plan.Part(steps); len(steps) == 0 {", "if steps = plan.Part(steps); len(steps) >= 0 {",
	},
	"an approval serves again": {
		"internal/engine/converge.go", "p.Basis = conditions.Basis(obj) + p.Basis", "p.Basis += \"\"",
	},
	"corrections that somebody undoes are not counted": {
		"internal/engine/converge.go", "if drifted && len(so.done) > before {", "if drifted && len(so.done) < before {",
	},
	"a correction that was never made is counted": {
		"internal/engine/converge.go", "	steps, err := r.intend(", "	if drifted {\n		obj.GetTargetStatus().Recurring = conditions.Recurs(obj, p, r.Clock.Now(), recurringWithin*r.DefaultInterval)\n	}\n	steps, err := r.intend(",
	},
	"an edited pass leaves no record": {
		"internal/engine/store.go", "if live.GetUID() != obj.GetUID() || !equality", "if live.GetUID() == obj.GetUID() || !equality",
	},
	"what was left is left though the object has changed": {
		"internal/engine/store.go", "if note != \"\" && obj.GetGeneration() != generation {", "if note == \"-\" && obj.GetGeneration() != generation {",
	},
	"a role is dropped before its members are removed": {
		"internal/engine/memory.go", "case step.Verb == plan.Delete:\n			return drops", "case step.Verb == plan.Delete:\n			return normal",
	},
}

// source reads a file of the repository.
func source(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(file)))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestMutantsFitTheSource makes sure that each mutant still changes something.
func TestMutantsFitTheSource(t *testing.T) {
	for name, m := range mutants {
		if n := strings.Count(source(t, m.file), m.old); n != 1 {
			t.Errorf("%s: the text is there %d times in %s", name, n, m.file)
		}
	}
}

var killed = regexp.MustCompile(`stopped after (\d+) seeds: (.*)`)

// TestMutants builds each mutant beside the source and tries seeds until one notices it.
func TestMutants(t *testing.T) {
	if !*mutate {
		t.Skip("takes minutes: make simulate MUTANTS=1")
	}
	for name, m := range mutants {
		t.Run(name, func(t *testing.T) {
			out, err := play(t, m)
			found := killed.FindStringSubmatch(out)
			if found == nil {
				t.Fatalf("nothing notices it (%v):\n%s", err, out)
			}
			t.Logf("killed after %s seeds by %s", found[1], found[2])
		})
	}
}

// play builds the simulation of a mutant and runs it until it breaks a rule.
func play(t *testing.T, m mutant) (string, error) {
	t.Helper()
	dir := t.TempDir()
	mutated, overlay, binary := filepath.Join(dir, "mutated.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "mutated.test")
	original, err := filepath.Abs(filepath.Join("..", "..", filepath.FromSlash(m.file)))
	must(err)
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: mutated}})
	must(err)
	must(os.WriteFile(mutated, []byte(strings.Replace(source(t, m.file), m.old, m.new, 1)), 0o600))
	must(os.WriteFile(overlay, replace, 0o600))
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", overlay, "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), binary, "-test.run", "^TestSeeds$", "-test.v", "-seeds", "3000", "-stop", "-progress").CombinedOutput()
	return string(out), err
}
