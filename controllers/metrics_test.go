package controllers_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics"
	"github.com/maxcompute-operator/maxcompute-operator/internal/metrics/metricstest"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

// TestOnlyWhatTheServiceTookCounts: one call for several things may be refused for one of them, and the others are made on their own.
func TestOnlyWhatTheServiceTookCounts(t *testing.T) {
	tests := map[string]struct {
		role  func(*harness) *v1alpha1.ProjectRole
		event string
	}{
		"a role that is created bare, for one table is missing": {
			role: func(h *harness) *v1alpha1.ProjectRole {
				h.must(h.cloud.SetStrict(project, true))
				h.must(h.cloud.DeclareObject(project, "Table", "default", "orders"))
				acl := tables("Select")
				acl.Tables = append(acl.Tables, v1alpha1.TableGrant{SchemaName: "default", Name: "missing", Actions: []string{"Select"}})
				return newRole("reader", acl)
			},
			event: "Normal Applied created Role reader, granted 1",
		},
		"a member that does not exist": {
			role: func(h *harness) *v1alpha1.ProjectRole {
				h.must(h.cloud.AddUser(fakecloud.User{Principal: "RAM$corp:nobody"}))
				h.must(h.cloud.KillUser("RAM$corp:nobody"))
				return withMembers("RAM$corp:user00", "RAM$corp:nobody")
			},
			event: "Normal Applied created Role reader, added members 1",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.counts = metrics.NewPasses(h.clock)
			h.restart()
			role := tc.role(h)
			h.create(role)
			_, _ = h.pass(role) //nolint:errcheck // the counts are what counts
			got := map[string]any{"granted": metricstest.Gather(t, h.counts)["grants_added_total kind=ProjectRole"], "event": <-h.events.Events}
			if diff := cmp.Diff(map[string]any{"granted": 1.0, "event": tc.event}, got); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}
