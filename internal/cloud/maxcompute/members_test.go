package maxcompute_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud"
	"github.com/maxcompute-operator/maxcompute-operator/internal/cloud/maxcompute"
	"github.com/maxcompute-operator/maxcompute-operator/test/fakecloud"
)

func TestRolesAreCreatedOfTheTypesThereAre(t *testing.T) {
	tests := map[string]struct {
		roleType string
		set      acl.Set
		want     string
	}{
		"a role without a type":         {"", acl.Set{}, `check names: "" cannot be the type of a role`},
		"a role of another type":        {"owner", acl.Set{}, `check names: "owner" cannot be the type of a role`},
		"a role of type admin, granted": {"Admin", everyKind(), "check names: role r of type admin cannot have an ACL"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			wire := &recorder{data: `"success"`}
			err := newLocalClient(t, wire).CreateRole(t.Context(), "p", "r", tc.roleType, tc.set)
			if diff := cmp.Diff(seen{Code: cloud.InvalidSpec, Text: tc.want}, look(err)); diff != "" || len(wire.requests) != 0 {
				t.Errorf("after %d requests the error (-want +got):\n%s", len(wire.requests), diff)
			}
		})
	}
}

func TestAStaleMemberIsToldByTheServicesWords(t *testing.T) {
	answers := map[string]struct {
		status int
		body   string
	}{
		"with a bad request":         {400, `{"code":"InvalidParameter","message":"baseId and tenantId do not match"}`},
		"with a code of its own":     {400, `{"code":"040007","message":"Failed: BaseId and TenantId  do not match. RequestId: 0A1B"}`},
		"with the code of absence":   {404, `{"code":"OBJECT_NOT_EXIST","message":"baseId and tenantId do not match"}`},
		"with a server's error":      {500, `{"code":"InternalError","message":"baseId and tenantId do not match, RAM$corp:bob"}`},
		"with success":               {200, `{"httpCode":500,"errorCode":"040002","errorMsg":"baseId and tenantId do not match","data":null}`},
		"with success and no code":   {200, `{"code":"x","message":"baseId and tenantId do not match"}`},
		"with the gateway's members": {403, `{"Code":"Forbidden","Message":"baseId and tenantId do not match"}`},
	}
	for name, tc := range answers {
		t.Run(name, func(t *testing.T) {
			members, err := newLocalClient(t, &script{{status: tc.status, body: tc.body}}).ListUsersByRole(t.Context(), "p", "r")
			if !maxcompute.IsStaleMember(err) || cloud.CodeOf(err) != cloud.RemoteRejected || members != nil {
				t.Errorf("got %v, %q %v", members, cloud.CodeOf(err), err)
			}
			if !maxcompute.IsStaleMember(fmt.Errorf("look: %w", err)) {
				t.Error("not recognised when wrapped")
			}
		})
	}
	others := map[string]error{
		"nothing":              nil,
		"another error":        context.Canceled,
		"a failure so spelt":   &cloud.Error{Code: cloud.NotFound, Message: "baseId and tenantId do not match"},
		"another failed call":  newLocalClient(t, &script{{status: 400, body: `{"code":"InvalidParameter","message":"baseId is missing"}`}}).CheckIdentity(t.Context()),
		"a list that is empty": listing(t, `{"data":{"users":[]}}`),
	}
	for name, err := range others {
		if maxcompute.IsStaleMember(err) {
			t.Errorf("%s (%v) was taken for a stale member", name, err)
		}
	}
}

// listing is the error of a list of members.
func listing(t *testing.T, body string) error {
	t.Helper()
	_, err := newLocalClient(t, &script{{status: http.StatusOK, body: body}}).ListUsersByRole(t.Context(), "p", "r")
	return err
}

func TestAListOfMembersIsReadWholeOrNot(t *testing.T) {
	for name, body := range map[string]string{
		"no data": `{}`, "null": `{"data":null}`, "no list": `{"data":{}}`, "a list of texts": `{"data":{"users":["RAM$corp:alice"]}}`, "a job to wait for": `{"data":"20260101jobid"}`,
		"a user without a name": `{"data":{"users":[{"name":"RAM$corp:alice"},{"id":"1"}]}}`, "a user who is null": `{"data":{"users":[null]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := listing(t, body); cloud.CodeOf(err) != cloud.UnexpectedResponse {
				t.Errorf("got %v", err)
			}
		})
	}
}

func numbered(format string, from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf(format, i))
	}
	return out
}

func TestManyMembersTakeSeveralCalls(t *testing.T) {
	bodyOf := func(add, remove []string) string {
		body := map[string]any{}
		if len(add) > 0 {
			body["add"] = add
		}
		if len(remove) > 0 {
			body["remove"] = remove
		}
		return jsonOf(body)
	}
	add, remove := func(from, to int) []string { return numbered("RAM$corp:new%d", from, to) }, func(from, to int) []string { return numbered("RAM$corp:old%d", from, to) }
	tests := map[string]struct {
		add, remove []string
		want        []string
	}{
		"nobody":         {},
		"one":            {add: add(0, 1), want: []string{bodyOf(add(0, 1), nil)}},
		"a hundred":      {add: add(0, 60), remove: remove(0, 40), want: []string{bodyOf(add(0, 60), remove(0, 40))}},
		"one more":       {add: add(0, 60), remove: remove(0, 41), want: []string{bodyOf(add(0, 60), remove(0, 40)), bodyOf(nil, remove(40, 41))}},
		"many to add":    {add: add(0, 250), want: []string{bodyOf(add(0, 100), nil), bodyOf(add(100, 200), nil), bodyOf(add(200, 250), nil)}},
		"first the new":  {add: add(0, 150), remove: remove(0, 60), want: []string{bodyOf(add(0, 100), nil), bodyOf(add(100, 150), remove(0, 50)), bodyOf(nil, remove(50, 60))}},
		"many to remove": {remove: remove(0, 200), want: []string{bodyOf(nil, remove(0, 100)), bodyOf(nil, remove(100, 200))}},
		"what was recorded is removed whatever it is called": {remove: []string{"RAM$alice", "group x"}, want: []string{bodyOf(nil, []string{"RAM$alice", "group x"})}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			wire := &recorder{data: `"success"`}
			must(t, newLocalClient(t, wire).UpdateUsersToRole(t.Context(), "p", "r", tc.add, tc.remove))
			var got []string
			for _, request := range wire.requests {
				got = append(got, request.Body)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("what was sent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyPrincipalsBecomeMembers(t *testing.T) {
	for _, name := range []string{"", "alice", "RAM$alice", "RAM$corp:alice;", "ALIYUN$a b", "ROLE$x"} {
		wire := &recorder{data: `"success"`}
		c := newLocalClient(t, wire)
		for _, err := range []error{
			c.UpdateUsersToRole(t.Context(), "p", "r", []string{"RAM$corp:bob", name}, []string{"RAM$corp:carol"}),
			c.UpdateUsersToRole(t.Context(), "p", "r", append(numbered("RAM$corp:a%d", 0, 100), name), nil),
		} {
			if cloud.CodeOf(err) != cloud.InvalidSpec || !strings.Contains(err.Error(), fmt.Sprintf("%q is not of the form", name)) {
				t.Errorf("%q: got %v", name, err)
			}
		}
		if len(wire.requests) != 0 {
			t.Errorf("%q: sent %v", name, wire.requests)
		}
	}
	if err := newLocalClient(t, &recorder{}).UpdateUsersToRole(t.Context(), "p", "r", nil, []string{""}); cloud.CodeOf(err) != cloud.InvalidSpec {
		t.Errorf("got %v", err)
	}
}

func TestAHalfDoneUpdateOfMembersIsNotRefused(t *testing.T) {
	success, refusal := scripted{status: 200, body: `{"data":"success"}`}, scripted{status: 400, body: `{"code":"InvalidParameter","message":"Invalid account Name x"}`}
	tests := map[string]struct {
		answers script
		refused bool
	}{
		"the first call is refused":  {script{refusal}, true},
		"the second call is refused": {script{success, refusal}, false},
		"the third call is refused":  {script{success, success, refusal}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := newLocalClient(t, &tc.answers).UpdateUsersToRole(t.Context(), "p", "r", numbered("RAM$corp:a%d", 0, 150), numbered("RAM$corp:b%d", 0, 150))
			if cloud.CodeOf(err) != cloud.RemoteRejected || cloud.Refused(err) != tc.refused {
				t.Errorf("got %v, refused %v", err, cloud.Refused(err))
			}
		})
	}
}

func TestMembersOfTheFake(t *testing.T) {
	server := newCloud(t)
	c := newClient(t, serve(t, server))
	must(t, server.CreateRole(project, "reader", "resource"))
	want := append(numbered("RAM$corp:user%03d", 0, 230), "RAM$corp:role/reader")
	must(t, c.UpdateUsersToRole(t.Context(), project, "reader", want, nil))
	got, err := c.ListUsersByRole(t.Context(), project, "reader")
	must(t, err)
	if !acl.NewMembers(got...).Equal(acl.NewMembers(want...)) {
		t.Errorf("members are %v", got)
	}
	users, err := c.ListTenantUsers(t.Context())
	must(t, err)
	if !acl.NewMembers(users...).Contains(acl.NewMembers(want...)) {
		t.Errorf("users are %v", users)
	}
	must(t, server.KillUser("RAM$corp:user117"))
	for _, names := range []fakecloud.AccountNames{fakecloud.AccountNamesOwner, fakecloud.AccountNamesBare, fakecloud.AccountNamesFull} {
		server.SetAccountNames(names)
		users, err = c.ListTenantUsers(t.Context())
		must(t, err)
		if diff := cmp.Diff([]string{"RAM$corp:user117"}, maxcompute.DeadAmong(want, users)); diff != "" {
			t.Errorf("dead, by names of the form %s (-want +got):\n%s", names, diff)
		}
	}
	must(t, c.UpdateUsersToRole(t.Context(), project, "reader", nil, []string{"RAM$corp:user117"}))
	got, err = c.ListUsersByRole(t.Context(), project, "reader")
	must(t, err)
	if len(got) != len(want)-1 {
		t.Errorf("%d members are left", len(got))
	}
}

// usersPage is an answer of ListUsers.
func usersPage(total int, names ...string) scripted {
	users := []map[string]any{}
	for i, name := range names {
		users = append(users, map[string]any{"accountId": i, "accountName": name, "accountType": "RAM", "tenantId": 7})
	}
	return scripted{status: 200, body: jsonOf(map[string]any{"data": map[string]any{"users": users, "totalCount": total, "pageNumber": 1}})}
}

func TestTheTenantsUsersAreListedToTheEnd(t *testing.T) {
	tests := map[string]struct {
		answers script
		// want are the users; text, if there is one, the error.
		want []string
		text string
	}{
		"nobody":                        {answers: script{usersPage(0)}},
		"one page":                      {answers: script{usersPage(2, "corp:a", "corp:b")}, want: []string{"RAM$corp:a", "RAM$corp:b"}},
		"pages shorter than asked for":  {answers: script{usersPage(3, "a"), usersPage(3, "b"), usersPage(3, "c")}, want: []string{"RAM$a", "RAM$b", "RAM$c"}},
		"a user who came meanwhile":     {answers: script{usersPage(2, "a"), usersPage(3, "b"), usersPage(3, "c")}, want: []string{"RAM$a", "RAM$b", "RAM$c"}},
		"a user who went meanwhile":     {answers: script{usersPage(2, "a"), usersPage(1)}, want: []string{"RAM$a"}},
		"a user who is there twice":     {answers: script{usersPage(3, "a", "b"), usersPage(3, "b")}, want: []string{"RAM$a", "RAM$b"}},
		"the same page again and again": {answers: script{usersPage(9, "a", "b")}, text: "a page of the list holds nothing new, and the list has not ended"},
		"an empty page before the end":  {answers: script{usersPage(9, "a"), usersPage(9)}, text: "a page of the list holds nothing new, and the list has not ended"},
		"a user without a name":         {answers: script{usersPage(2, "a", "")}, text: "the answer holds a user without a name"},
		"no list":                       {answers: script{{status: 200, body: `{"data":{"totalCount":0}}`}}, text: "the answer holds no list of users or does not tell how many there are"},
		"no count":                      {answers: script{{status: 200, body: `{"data":{"users":[]}}`}}, text: "the answer holds no list of users or does not tell how many there are"},
		"no data":                       {answers: script{{status: 200, body: `{}`}}, text: "the answer holds no data that could be understood"},
		"the second page is no answer":  {answers: script{usersPage(2, "a"), {status: 200, body: `{}`}}, text: "the answer holds no data that could be understood"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := newLocalClient(t, &tc.answers).ListTenantUsers(t.Context())
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("users (-want +got):\n%s", diff)
			}
			if tc.text == "" {
				must(t, err)
				return
			}
			if diff := cmp.Diff(seen{Code: cloud.UnexpectedResponse, Text: "list the users of the tenant: " + tc.text}, look(err)); diff != "" {
				t.Errorf("the error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAListWithoutEndIsGivenUp(t *testing.T) {
	pages := 0
	endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages++
		if got := r.URL.Query().Get("pageNumber"); got != fmt.Sprint(pages) {
			t.Errorf("page %s was asked for after %d", got, pages-1)
		}
		answer(w, usersPage(1<<30, fmt.Sprintf("corp:user%d", pages)).body)
	})
	users, err := newLocalClient(t, endless).ListTenantUsers(t.Context())
	if cloud.CodeOf(err) != cloud.UnexpectedResponse || users != nil || pages != 1000 {
		t.Errorf("got %v after %d pages", err, pages)
	}
}

func TestUsersAreSpeltLikeMembers(t *testing.T) {
	tests := map[string]string{
		`{"accountName":"ops@example.com","accountType":"ALIYUN"}`:     "ALIYUN$ops@example.com",
		`{"accountName":"ALIYUN$ops","accountType":"ALIYUN"}`:          "ALIYUN$ops",
		`{"accountName":"corp:alice","accountType":"ram"}`:             "RAM$corp:alice",
		`{"accountName":"corp:alice","accountType":"SUB"}`:             "RAM$corp:alice",
		`{"accountName":"alice","accountType":"RAM"}`:                  "RAM$alice",
		`{"accountName":"RAM$corp:alice","accountType":"RAM"}`:         "RAM$corp:alice",
		`{"accountName":"corp:role/reader","accountType":"RAM"}`:       "RAM$corp:role/reader",
		`{"accountName":"alice","displayName":"Alice","tenantId":"1"}`: "alice",
	}
	for user, want := range tests {
		body := `{"data":{"users":[` + user + `],"totalCount":1}}`
		got, err := newLocalClient(t, &script{{status: 200, body: body}}).ListTenantUsers(t.Context())
		must(t, err)
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", user, diff)
		}
	}
}

func TestDeadAmong(t *testing.T) {
	tests := map[string]struct {
		member string
		users  []string
		dead   bool
	}{
		"in the list":                        {member: "RAM$corp:alice", users: []string{"RAM$corp:alice"}},
		"in another case":                    {member: "RAM$Corp:Alice", users: []string{"ram$corp:ALICE"}},
		"without owner":                      {member: "RAM$corp:alice", users: []string{"RAM$alice"}},
		"without provider":                   {member: "RAM$corp:alice", users: []string{"Corp:alice"}},
		"without provider and owner":         {member: "RAM$corp:alice", users: []string{"Alice"}},
		"with an e-mail address for owner":   {member: "RAM$ops@example.com:alice", users: []string{"RAM$OPS@example.com:alice"}},
		"the owner by number":                {member: "RAM$corp:alice", users: []string{"RAM$1234567:alice"}},
		"the owner by name":                  {member: "RAM$1234567:alice", users: []string{"RAM$corp:alice"}},
		"not in the list":                    {member: "RAM$corp:alice", users: []string{"RAM$corp:bob"}, dead: true},
		"nobody in the list":                 {member: "RAM$corp:alice", dead: true},
		"of another owner":                   {member: "RAM$corp:alice", users: []string{"RAM$other:alice"}, dead: true},
		"of another owner by number":         {member: "RAM$7654321:alice", users: []string{"RAM$1234567:alice"}, dead: true},
		"a role of that name":                {member: "RAM$corp:alice", users: []string{"RAM$corp:role/alice", "RAM$role/alice"}, dead: true},
		"an account of that name":            {member: "RAM$corp:alice", users: []string{"ALIYUN$alice"}, dead: true},
		"a user whose owner has that name":   {member: "RAM$corp:alice", users: []string{"RAM$alice:bob"}, dead: true},
		"an account in the list":             {member: "ALIYUN$ops", users: []string{"ALIYUN$OPS"}},
		"an account without provider":        {member: "ALIYUN$ops", users: []string{"ops"}},
		"an account, others by number":       {member: "ALIYUN$ops", users: []string{"ALIYUN$1234567"}},
		"an account not in the list":         {member: "ALIYUN$ops", users: []string{"ALIYUN$other", "RAM$corp:ops", "RAM$ops"}, dead: true},
		"a role in the list":                 {member: "RAM$corp:role/reader", users: []string{"RAM$corp:role/Reader"}},
		"a role without owner":               {member: "RAM$corp:role/reader", users: []string{"RAM$corp:role/writer", "role/reader"}},
		"a role not in the list":             {member: "RAM$corp:role/reader", users: []string{"RAM$corp:role/writer", "RAM$corp:reader"}, dead: true},
		"a role not in a list without roles": {member: "RAM$corp:role/reader", users: []string{"RAM$corp:reader"}},
		"no principal":                       {member: "RAM$alice", users: []string{"RAM$corp:bob"}},
		"no principal either":                {member: "", users: []string{""}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var want []string
			if tc.dead {
				want = []string{tc.member}
			}
			if diff := cmp.Diff(want, maxcompute.DeadAmong([]string{tc.member}, tc.users)); diff != "" {
				t.Errorf("dead (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeadAmongNamesEachOnceAndInOrder(t *testing.T) {
	members := []string{"RAM$corp:zoe", "RAM$corp:Bob", "RAM$corp:alice", "ram$corp:bob", "RAM$corp:Bob"}
	if diff := cmp.Diff([]string{"RAM$corp:Bob", "RAM$corp:zoe"}, maxcompute.DeadAmong(members, []string{"corp:alice"})); diff != "" {
		t.Errorf("dead (-want +got):\n%s", diff)
	}
}

// FuzzDeadAmong holds that nobody who is listed is called dead, whatever else is.
func FuzzDeadAmong(f *testing.F) {
	f.Add("RAM$corp:alice", "RAM$other:alice", "ALIYUN$1")
	f.Add("RAM$corp:role/x", "x", "role/x")
	f.Add("ALIYUN$\u0130", "$", "")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		all := []string{a, b, c}
		if dead := maxcompute.DeadAmong(all, all); len(dead) != 0 {
			t.Errorf("%q are dead in %q", dead, all)
		}
		_, rest, _ := strings.Cut(a, "$")
		if dead := maxcompute.DeadAmong([]string{a}, []string{b, rest, c}); len(dead) != 0 {
			t.Errorf("%q is dead though it is listed without its provider", dead)
		}
		for _, dead := range maxcompute.DeadAmong(all, []string{b}) {
			if _, err := acl.ParsePrincipal(dead); err != nil || !slices.Contains(all, dead) {
				t.Errorf("%q is dead and no member", dead)
			}
		}
	})
}
