package auditpage

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// data is what the script reads. Keys are short, rows are arrays, and words that repeat are indexes of lists: the cells of a large project
// are most of its page. page.js tells what is in the rows.
type data struct {
	Kinds    []string `json:"kinds"`
	Actions  []string `json:"actions"`
	Managers []string `json:"managers"`
	Sources  []string `json:"sources"`

	Objects    []row   `json:"objects"`
	Principals []row   `json:"principals"`
	Profiles   [][]int `json:"profiles"`
	Roles      []row   `json:"roles"`
	Grants     []row   `json:"grants"`
	Missing    []row   `json:"missing"`
}

type row []any

// words numbers words in the order in which they come.
type words struct {
	list  []string
	index map[string]int
}

func newWords() *words { return &words{list: []string{}, index: map[string]int{}} }

func (w *words) number(word string) int {
	if n, ok := w.index[word]; ok {
		return n
	}
	w.index[word] = len(w.list)
	w.list = append(w.list, visible(word))
	return len(w.list) - 1
}

// encode makes the JSON of a page. Its characters mean nothing to HTML: <, >, &, U+2028 and U+2029 are escaped.
func encode(p Page) ([]byte, error) {
	kinds, actions, managers, sources := newWords(), newWords(), newWords(), newWords()
	d := data{
		Objects:    rows(p.Objects, func(o Object) row { return row{kinds.number(o.Kind), visible(label(o))} }),
		Principals: rows(p.Principals, principalRow),
		Profiles:   make([][]int, 0, len(p.Profiles)),
		Roles: rows(p.Roles, func(r Role) row {
			return row{visible(r.Name), visible(r.Type), managers.number(r.Manager), visible(r.Policy), number(r.MembersUnknown)}
		}),
		Grants: rows(p.Grants, func(g Grant) row {
			return row{
				g.Role, sources.number(g.Source), slices.Index(effects(), g.Effect), prose(g.Text), slices.Index(states(), g.State),
				managers.number(g.Manager), visible(g.Until), prose(g.Unclear),
			}
		}),
		Missing: rows(p.Missing, func(m Missing) row { return row{visible(m.Role), prose(m.What), managers.number(m.Manager)} }),
	}
	for _, profile := range p.Profiles {
		d.Profiles = append(d.Profiles, profileRow(profile, actions))
	}
	d.Kinds, d.Actions, d.Managers, d.Sources = kinds.list, actions.list, managers.list, sources.list
	encoded, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode the data of the page: %w", err)
	}
	return encoded, nil
}

func rows[T any](list []T, makeRow func(T) row) []row {
	made := make([]row, len(list))
	for i, value := range list {
		made[i] = makeRow(value)
	}
	return made
}

func principalRow(p Principal) row {
	roles := make([]int, 0, 2*len(p.Roles))
	for _, m := range p.Roles {
		roles = append(roles, m.Role, slices.Index(states(), m.State))
	}
	return row{visible(p.Name), p.Profile, roles}
}

// profileRow makes a flat list: of each cell its object, how many numbers follow, and of each action its name, its verdict, how many grants
// follow, and these.
func profileRow(profile Profile, actions *words) []int {
	flat := []int{}
	for _, cell := range profile.Cells {
		start := len(flat) + 2
		flat = append(flat, cell.Object, 0)
		for _, action := range cell.Actions {
			flat = append(flat, actions.number(action.Name), slices.Index(verdicts(), action.Verdict), len(action.Via))
			flat = append(flat, action.Via...)
		}
		flat[start-1] = len(flat) - start
	}
	return flat
}

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// visible shows what cannot be seen, so that two names that differ look different and none can reorder what stands beside it.
func visible(s string) string {
	hidden := func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }
	if utf8.ValidString(s) && strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	// What is not UTF-8 is U+FFFD here, byte by byte.
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, "[U+%04X]", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// prose is visible, for text of several lines.
func prose(s string) string {
	return visible(strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(s))
}
