package maxcompute_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

func TestNamesOfAccountsOfTheFake(t *testing.T) {
	const nobody = "299999999999999999"
	ownerless := func(id, name string) seen {
		text := "find the name of account " + id + ": the service does not tell the owner of account " + id + `, only that it is called "` + name + `"`
		return seen{Code: cloud.UnexpectedResponse, Text: text}
	}
	absent := func(id string) seen {
		return seen{Code: cloud.NotFound, Text: "find the name of account " + id + ": the tenant's list of users does not hold account " + id}
	}
	tests := map[string]struct {
		names fakecloud.AccountNames
		id    string
		want  string
		// err has an empty code for success.
		err   seen
		pages int
	}{
		"a user with its owner":       {names: fakecloud.AccountNamesOwner, id: aliceID, want: alice, pages: 3},
		"a user with its provider":    {names: fakecloud.AccountNamesFull, id: aliceID, want: alice, pages: 3},
		"a user without its owner":    {names: fakecloud.AccountNamesBare, id: aliceID, err: ownerless(aliceID, "alice"), pages: 3},
		"an account":                  {names: fakecloud.AccountNamesOwner, id: "100", want: "ALIYUN$ops@example.com", pages: 1},
		"an account among bare names": {names: fakecloud.AccountNamesBare, id: "100", want: "ALIYUN$ops@example.com", pages: 1},
		"a RAM role":                  {names: fakecloud.AccountNamesOwner, id: "101", want: "RAM$corp:role/etl", pages: 1},
		"a RAM role without owner":    {names: fakecloud.AccountNamesBare, id: "101", err: ownerless("101", "role/etl"), pages: 1},
		"an id that begins another":   {id: "10", err: absent("10"), pages: 3},
		"nobody":                      {id: nobody, err: absent(nobody), pages: 3},
		"an account that is gone":     {id: "102", err: absent("102"), pages: 3},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := newCloud(t)
			for _, user := range []fakecloud.User{
				{AccountID: "100", Principal: "ALIYUN$ops@example.com"}, {AccountID: "101", Principal: "RAM$corp:role/etl"}, {AccountID: "102", Principal: "RAM$corp:gone"},
			} {
				must(t, server.AddUser(user))
			}
			for _, principal := range numbered("RAM$corp:user%03d", 0, 230) {
				must(t, server.AddUser(fakecloud.User{Principal: principal}))
			}
			must(t, server.AddUser(fakecloud.User{AccountID: aliceID, Principal: alice}))
			must(t, server.KillUser("RAM$corp:gone"))
			server.SetAccountNames(tc.names)
			got, err := newClient(t, serve(t, server)).AccountName(t.Context(), tc.id)
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if tc.err.Code == "" {
				must(t, err)
			} else if diff := cmp.Diff(tc.err, look(err)); diff != "" {
				t.Errorf("the error (-want +got):\n%s", diff)
			}
			if pages := count(server, "ListUsers"); pages != tc.pages || len(server.Writes()) != 0 {
				t.Errorf("%d pages were read, want %d; writes %v", pages, tc.pages, server.Writes())
			}
		})
	}
}

func TestAnAccountIsFoundByItsIDHoweverTheAnswerIsSpelt(t *testing.T) {
	const other = `{"accountId":"11","accountName":"corp:bob","accountType":"RAM"}`
	unclear := func(text string) seen {
		return seen{Code: cloud.UnexpectedResponse, Text: "find the name of account 7: " + text}
	}
	const (
		noOwner  = "the service does not tell the owner of account 7, only that it is called "
		noID     = "the tenant's list of users does not hold account 7, but users without an id"
		notThere = "find the name of account 7: the tenant's list of users does not hold account 7"
	)
	tests := map[string]struct {
		user, want string
		err        seen
	}{
		"the id as a text":            {user: `{"accountId":"7","accountName":"corp:alice","accountType":"RAM"}`, want: alice},
		"the id as a number":          {user: `{"accountId":7,"accountName":"corp:alice","accountType":"RAM"}`, want: alice},
		"a provider of its own":       {user: `{"accountId":"7","accountName":"corp:alice","accountType":"SUB"}`, want: alice},
		"no provider":                 {user: `{"accountId":"7","accountName":"alice"}`, err: unclear(noOwner + `"alice"`)},
		"no name":                     {user: `{"accountId":"7","accountType":"RAM"}`, err: unclear(noOwner + `""`)},
		"a name that is none":         {user: `{"accountId":"7","accountName":"corp:a;b","accountType":"RAM"}`, err: unclear(noOwner + `"corp:a;b"`)},
		"somebody else without name":  {user: `{"accountId":"8","accountType":"RAM"}`, err: seen{Code: cloud.NotFound, Text: notThere}},
		"somebody without an id":      {user: `{"accountName":"corp:alice","accountType":"RAM"}`, err: unclear(noID)},
		"somebody whose id is null":   {user: `{"accountId":null,"accountName":"corp:alice","accountType":"RAM"}`, err: unclear(noID)},
		"somebody whose id is a list": {user: `{"accountId":["7"],"accountName":"corp:alice","accountType":"RAM"}`, err: unclear(noID)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			body := `{"data":{"users":[` + other + `,` + tc.user + `],"totalCount":2}}`
			got, err := newLocalClient(t, &script{{status: 200, body: body}}).AccountName(t.Context(), "7")
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if tc.want != "" {
				must(t, err)
			} else if diff := cmp.Diff(tc.err, look(err)); diff != "" {
				t.Errorf("the error (-want +got):\n%s", diff)
			}
		})
	}
}

// accounts is a page of ListUsers with these ids, all of the same name.
func accounts(total int, ids ...string) scripted {
	users := []map[string]any{}
	for _, id := range ids {
		users = append(users, map[string]any{"accountId": id, "accountName": "corp:alice", "accountType": "RAM"})
	}
	return scripted{status: 200, body: jsonOf(map[string]any{"data": map[string]any{"users": users, "totalCount": total}})}
}

func TestNoAccountIsAbsentBecauseOfAnIncompleteList(t *testing.T) {
	const (
		absent  = "the tenant's list of users does not hold account 7"
		changed = "the tenant's list of users changed while it was read, and account 7 was not seen in it"
		noData  = "the answer holds no data that could be understood"
		notNew  = "a page of the list holds nothing new, and the list has not ended"
	)
	refused := func(status int, code string) scripted {
		return scripted{status: status, body: jsonOf(map[string]any{"code": code, "message": "no"})}
	}
	tests := map[string]struct {
		answers script
		code    cloud.Code
		text    string
	}{
		"an empty list":                   {script{accounts(0)}, cloud.NotFound, absent},
		"all pages":                       {script{accounts(3, "1", "2"), accounts(3, "3")}, cloud.NotFound, absent},
		"somebody went":                   {script{accounts(4, "1", "2"), accounts(3, "4")}, cloud.UnexpectedResponse, changed},
		"somebody came":                   {script{accounts(3, "1", "2"), accounts(4, "3", "4")}, cloud.UnexpectedResponse, changed},
		"somebody came and somebody went": {script{accounts(4, "1", "2"), accounts(4, "2", "4")}, cloud.UnexpectedResponse, changed},
		"the same page again":             {script{accounts(9, "1", "2")}, cloud.UnexpectedResponse, notNew},
		"a page that is no answer":        {script{accounts(9, "1"), {status: 200, body: `{}`}}, cloud.UnexpectedResponse, noData},
		"a service without such a list":   {script{refused(404, "OBJECT_NOT_EXIST")}, cloud.UnexpectedResponse, "OBJECT_NOT_EXIST: no"},
		"a service that is down":          {script{accounts(9, "1"), refused(503, "ServiceUnavailable")}, cloud.RemoteUnavailable, "ServiceUnavailable: no"},
		"no right to the list":            {script{refused(403, "NoPermission")}, cloud.PermissionDenied, "NoPermission: no"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := newLocalClient(t, &tc.answers).AccountName(t.Context(), "7")
			if diff := cmp.Diff(seen{Code: tc.code, Text: "find the name of account 7: " + tc.text}, look(err)); diff != "" || got != "" {
				t.Errorf("got %q, the error (-want +got):\n%s", got, diff)
			}
		})
	}
	got, err := newLocalClient(t, &script{accounts(4, "1", "2"), accounts(3, "7")}).AccountName(t.Context(), "7")
	must(t, err)
	if got != alice {
		t.Errorf("from a list that changed: got %q", got)
	}
}

func TestUsersOfOneNameAreNoEndOfTheList(t *testing.T) {
	got, err := newLocalClient(t, &script{accounts(3, "1"), accounts(3, "2"), accounts(3, "3")}).ListTenantUsers(t.Context())
	must(t, err)
	if diff := cmp.Diff([]string{alice}, got); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
}

func TestOnlyDigitsAreTheIDOfAnAccount(t *testing.T) {
	for _, id := range append([]string{"7 ", "-7", "7.0", "1e3", "0x7", "\u0667", alice}, hostile...) {
		wire := &recorder{data: `{"users":[],"totalCount":0}`}
		_, err := newLocalClient(t, wire).AccountName(t.Context(), id)
		want := seen{Code: cloud.InvalidSpec, Text: fmt.Sprintf("check names: %.256q cannot be the id of an account", id)}
		if diff := cmp.Diff(want, look(err)); diff != "" || len(wire.requests) != 0 {
			t.Errorf("%.256q: after %d requests the error (-want +got):\n%s", id, len(wire.requests), diff)
		}
	}
	wire := &recorder{data: `{"users":[],"totalCount":0}`}
	if _, err := newLocalClient(t, wire).AccountName(t.Context(), strings.Repeat("7", 20)); !cloud.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]recorded{{Line: "GET /api/v1/users?pageNumber=1&pageSize=100", Action: "ListUsers"}}, wire.requests); diff != "" {
		t.Errorf("what was sent (-want +got):\n%s", diff)
	}
}
