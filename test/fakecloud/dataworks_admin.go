package fakecloud

import (
	"fmt"
	"net/http"
	"time"
)

// handleOrders adds the calls about tables and permission requests.
func (a admin) handleOrders(mux *http.ServeMux) {
	s := a.s
	mux.Handle("GET /_admin/orders", read(func(r *http.Request) (any, error) { return a.orders(OrderState(r.URL.Query().Get("state"))), nil }))
	mux.Handle("GET /_admin/orders/permissions", read(func(r *http.Request) (any, error) {
		q := r.URL.Query()
		return s.TablePermissions(q.Get("project"), q.Get("table"), q.Get("user")), nil
	}))
	mux.Handle("POST /_admin/orders/{id}/approve", decide(func(id string, how Approval) error { return s.ApproveOrder(id, how) }))
	mux.Handle("POST /_admin/orders/{id}/reject", decide(func(id string, v remark) error { return s.RejectOrder(id, v.Comment) }))
	mux.Handle("POST /_admin/orders/{id}/authorise", decide(func(id string, _ struct{}) error { return s.AuthoriseOrder(id) }))
	mux.Handle("POST /_admin/orders/{id}/fail", decide(func(id string, v remark) error { return s.FailAuthorisation(id, v.Message) }))
	mux.Handle("POST /_admin/orders/{id}/withdraw", decide(func(id string, _ struct{}) error { return s.WithdrawOrder(id) }))
	mux.Handle("POST /_admin/orders/{id}/delete", decide(func(id string, _ struct{}) error { return s.DeleteOrder(id) }))
	mux.Handle("POST /_admin/orders/approvers", write(func(v tableApprovers) error { return s.SetApprovers(v.Project, v.Table, v.Approvers...) }))
	mux.Handle("POST /_admin/orders/applicants", write(func(v applicant) error { return s.SetApplicant(v.AccessKeyID, v.AccountID) }))
	mux.Handle("POST /_admin/orders/style", write(a.orderStyle))
	mux.Handle("POST /_admin/tables", write(func(v Table) error { return s.DeclareTable(v.Project, v.SchemaName, v.Name, v.Columns...) }))
}

type remark struct {
	Comment string `json:"comment"`
	Message string `json:"message"`
}

type tableApprovers struct {
	Project   string   `json:"project"`
	Table     string   `json:"table"`
	Approvers []string `json:"approvers"`
}

type applicant struct {
	AccessKeyID string `json:"accessKeyID"`
	AccountID   string `json:"accountID"`
}

// orders returns all orders, or those in one state.
func (a admin) orders(state OrderState) []Order {
	out := []Order{}
	for _, o := range a.s.Orders() {
		if state == "" || o.State == state {
			out = append(out, o)
		}
	}
	return out
}

// decide decodes a JSON body, which may be missing, for the order in the path.
func decide[T any](do func(id string, in T) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		if r.ContentLength == 0 {
			var none T
			finish(w, map[string]bool{"ok": true}, do(id, none))
			return
		}
		write(func(in T) error { return do(id, in) }).ServeHTTP(w, r)
	})
}

func (a admin) orderStyle(body struct {
	OrderStyle
	ListLag string
}) error {
	style := body.OrderStyle
	if body.ListLag != "" {
		d, err := time.ParseDuration(body.ListLag)
		if err != nil {
			return fmt.Errorf("parse listLag: %w", err)
		}
		style.ListLag = d
	}
	if err := style.Validate(); err != nil {
		return err
	}
	a.s.SetOrderStyle(style)
	return nil
}
