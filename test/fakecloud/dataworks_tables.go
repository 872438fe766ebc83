package fakecloud

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Column is one column of a table.
type Column struct {
	Name string `json:"name"`
	// Type is like STRING, and STRING if it is empty.
	Type    string `json:"type,omitempty"`
	Comment string `json:"comment,omitempty"`
	// Label is the security level, 0 to 9.
	Label int `json:"label,omitempty"`
	// Partition tells that the table is partitioned by this column.
	Partition bool `json:"partition,omitempty"`
}

// Table is a declared table with its columns.
type Table struct {
	Project    string   `json:"project"`
	SchemaName string   `json:"schemaName"`
	Name       string   `json:"name"`
	Columns    []Column `json:"columns"`
}

// DeclareTable makes a table with columns exist, or gives one that does other columns. An empty schema
// is the default one.
func (s *Server) DeclareTable(projectName, schemaName, name string, columns ...Column) error {
	seen := map[string]bool{}
	for _, c := range columns {
		if c.Name == "" || seen[fold(c.Name)] || c.Label < 0 || c.Label > 9 {
			return errors.New("a column has no name, the name of another one or no such label")
		}
		seen[fold(c.Name)] = true
	}
	return s.object(projectName, "table", schemaName, name, func(_ *txn, p *project, o object) {
		p.objects[o] = struct{}{}
		p.tables[o] = slices.Clone(columns)
	})
}

// tableInfo is the answer of GetTableInfo. Of its many members only those that say what a table is are
// there ("Alibaba Cloud documentation: GetTableInfo").
type tableInfo struct {
	Name             string       `json:"name"`
	DisplayName      string       `json:"displayName"`
	ProjectName      string       `json:"projectName"`
	Schema           string       `json:"schema"`
	Type             string       `json:"type"`
	Owner            string       `json:"owner"`
	Comment          string       `json:"comment"`
	TableLabel       string       `json:"tableLabel"`
	NativeColumns    []columnInfo `json:"nativeColumns"`
	PartitionColumns []columnInfo `json:"partitionColumns,omitempty"`
}

// columnInfo tells the label as a text, as the reference types it.
type columnInfo struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Comment string `json:"comment"`
	Label   string `json:"label"`
}

// tableTypes are the documented values of the parameter type. Every table of the fake is internal.
var tableTypes = []string{"", "internal", "external", "view", "materializedView"}

// bindGetTableInfo: see "Alibaba Cloud documentation: GetTableInfo". Status and code for a table that is
// not there are made up.
func bindGetTableInfo(r request) (operation, *problem) {
	if !slices.Contains(tableTypes, r.query.Get("type")) {
		return nil, unknown("GetTableInfo: type is %q", r.query.Get("type"))
	}
	g := Grant{Kind: "table", SchemaName: r.query.Get("schemaName"), Name: r.table}
	return func(t *txn) (answer, *problem) {
		p, refusal := t.project()
		if refusal != nil {
			return answer{}, refusal
		}
		o := objectOf(g)
		columns, declared := p.tables[o]
		if typ := r.query.Get("type"); !declared || typ != "" && typ != "internal" {
			return answer{}, noObject(t.c, Grant{Kind: "table", SchemaName: o.schema, Name: g.Name})
		}
		info := newTableInfo(p, o, columns)
		return answer{render: func() []byte { return mustJSON(info) }}, nil
	}, nil
}

func newTableInfo(p *project, o object, columns []Column) tableInfo {
	out := tableInfo{
		Name: o.name, DisplayName: p.name + "." + o.schema + "." + o.name, ProjectName: p.name, Schema: o.schema,
		Type: "internal", Owner: defaultApprover, TableLabel: "0", NativeColumns: []columnInfo{},
	}
	for _, c := range columns {
		info := columnInfo{Name: c.Name, Type: c.Type, Comment: c.Comment, Label: strconv.Itoa(c.Label)}
		if info.Type == "" {
			info.Type = "STRING"
		}
		if c.Partition {
			out.PartitionColumns = append(out.PartitionColumns, info)
			continue
		}
		out.NativeColumns = append(out.NativeColumns, info)
	}
	return out
}

// tableList returns the declared tables, sorted.
func (p *project) tableList() []Table {
	out := []Table{}
	for o, columns := range p.tables {
		out = append(out, Table{Project: p.name, SchemaName: o.schema, Name: o.name, Columns: append([]Column{}, columns...)})
	}
	slices.SortFunc(out, func(a, b Table) int { return strings.Compare(a.SchemaName+"/"+a.Name, b.SchemaName+"/"+b.Name) })
	return out
}
