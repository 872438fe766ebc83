package controllers

import (
	"slices"
	"strings"

	"github.com/maxcompute-operator/maxcompute-operator/api/v1alpha1"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/dataworks"
)

// isNarrowed tells whether an order grants less than was asked for, or for a shorter time.
func (p *requestPass) isNarrowed(o *v1alpha1.PermissionOrder, order dataworks.Order) bool {
	end := dataworks.Permanent
	if asked := p.obj.Status.RequestedUntil; asked != nil {
		end = asked.Time
	}
	if !order.Deadline.IsZero() && order.Deadline.Before(end.Add(-aMoment)) {
		return true
	}
	granted := map[pair]bool{}
	for _, object := range order.Objects {
		for _, g := range grantedPairs(object) {
			granted[g] = true
		}
	}
	for _, s := range p.obj.Status.Submissions {
		if !slices.Contains(s.OrderIDs, o.ID) {
			continue
		}
		request := p.request(s)
		if len(order.Grantees) > 0 && slices.ContainsFunc(request.UserIDs, func(user string) bool { return !slices.Contains(order.Grantees, user) }) {
			return true // somebody was left out
		}
		for _, object := range request.Objects {
			if isElsewhere(object, order) {
				continue
			}
			for _, who := range grantees(order) {
				if slices.ContainsFunc(askedPairs(object, who), func(asked pair) bool { return !granted[asked] && !granted[asked.ofTable()] }) {
					return true
				}
			}
		}
	}
	return false
}

// isElsewhere tells whether an object of a call is in another of its orders.
func isElsewhere(object dataworks.Object, order dataworks.Order) bool {
	return !slices.ContainsFunc(order.Objects, func(o dataworks.OrderObject) bool {
		return strings.EqualFold(apiSchema(o.Schema), apiSchema(object.Schema)) && strings.EqualFold(o.Name, object.Name)
	})
}

// grantees are those by whom the objects of an order are told apart.
func grantees(order dataworks.Order) []string {
	var out []string
	for _, o := range order.Objects {
		if !slices.Contains(out, o.Grantee) {
			out = append(out, o.Grantee)
		}
	}
	return out
}

// pair is an action on a table, or on one of its columns.
type pair struct{ grantee, table, column, action string }

func newPair(grantee, schema, table, column, action string) pair {
	return pair{grantee, strings.ToLower(apiSchema(schema) + "." + table), strings.ToLower(column), strings.ToLower(action)}
}

// ofTable is the same action on all columns.
func (p pair) ofTable() pair {
	p.column = ""
	return p
}

func isForColumns(action string) bool { return slices.Contains(dataworks.ColumnActions, action) }

// askedPairs are what was asked for on a table.
func askedPairs(o dataworks.Object, grantee string) []pair {
	var pairs []pair
	for _, a := range o.Actions {
		if len(o.Columns) == 0 || !isForColumns(a) {
			pairs = append(pairs, newPair(grantee, o.Schema, o.Name, "", a))
		}
	}
	for _, c := range o.Columns {
		actions := c.Actions
		if len(actions) == 0 {
			actions = slices.DeleteFunc(slices.Clone(o.Actions), func(a string) bool { return !isForColumns(a) })
		}
		for _, a := range actions {
			pairs = append(pairs, newPair(grantee, o.Schema, o.Name, c.Name, a))
		}
	}
	return pairs
}

// grantedPairs are what was granted on a table.
func grantedPairs(o dataworks.OrderObject) []pair {
	var pairs []pair
	for _, a := range o.Granted {
		if len(o.Columns) == 0 || !isForColumns(a) {
			pairs = append(pairs, newPair(o.Grantee, o.Schema, o.Name, "", a))
		}
	}
	for _, c := range o.Columns {
		for _, a := range c.Granted {
			pairs = append(pairs, newPair(o.Grantee, o.Schema, o.Name, c.Name, a))
		}
	}
	return pairs
}
