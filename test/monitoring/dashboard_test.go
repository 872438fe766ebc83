package monitoring

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// panel is a part of the dashboard.
type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ H, W, X, Y int }
	Datasource               struct{ UID string }
	FieldConfig              struct{ Defaults struct{ Unit string } }
	Targets                  []struct{ Expr string }
}

// dashboard is what the tests read of it.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Definition string }
	}
	Panels []panel
}

// queries are the expressions of the dashboard by their panel, as Grafana would ask them with all namespaces and kinds chosen.
func (d dashboard) queries() map[string]string {
	asked := strings.NewReplacer("$__rate_interval", "15s", "$__range", "1m", "$namespace", ".*", "$kind", ".*")
	all := map[string]string{}
	for _, p := range d.Panels {
		for i, target := range p.Targets {
			all[fmt.Sprintf("%s/%d", p.Title, i)] = asked.Replace(target.Expr)
		}
	}
	return all
}

// TestDashboardIsComplete: it can be found and imported, and whoever looks at a panel is told what it means, in which unit, and from which
// data source.
func TestDashboardIsComplete(t *testing.T) {
	var d dashboard
	decode(t, dashboardFile, &d)
	if d.UID == "" || d.Title == "" || d.SchemaVersion < 39 || len(d.Panels) == 0 {
		t.Errorf("uid %q, title %q, schema version %d, %d panels", d.UID, d.Title, d.SchemaVersion, len(d.Panels))
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	if diff := cmp.Diff([]string{"DS_PROMETHEUS", "namespace", "kind"}, variables); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	for _, p := range d.Panels {
		if p.Type != "row" && (p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || p.Datasource.UID != "${DS_PROMETHEUS}") {
			t.Errorf("panel %d (%s) lacks a title, a description, a unit, a query or the data source", p.ID, p.Title)
		}
	}
}

// TestDashboardIsInOrder: no panel covers another one or has its id.
func TestDashboardIsInOrder(t *testing.T) {
	var d dashboard
	decode(t, dashboardFile, &d)
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s has the id of another panel", p.Title)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := cells[cell]; other != "" || cell[0] >= 24 {
					t.Fatalf("%s covers %s or leaves the grid", p.Title, other)
				}
				cells[cell] = p.Title
			}
		}
	}
}
