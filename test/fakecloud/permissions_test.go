package fakecloud

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// verdicts are what a few calls are answered.
func (c *client) verdicts() string {
	c.t.Helper()
	var out []string
	for _, res := range []response{
		c.getACL(),
		c.getPolicy("r"),
		c.statement(grantText),
		c.statement("REVOKE Select ON TABLE t FROM ROLE r"),
		c.openAPI("ListRoles", http.MethodGet, "/api/v1/projects/other/roles", ""),
		c.openAPI("ListUsers", http.MethodGet, "/api/v1/users", ""),
	} {
		_, sub, denied := strings.Cut(res.body, "Access Denied - [")
		switch {
		case !denied:
			out = append(out, statusCode(res))
		case res.status == http.StatusForbidden:
			out = append(out, res.code()+"["+sub[:4]+"]")
		}
	}
	return strings.Join(out, ",")
}

func TestDenials(t *testing.T) {
	const (
		none      = codeAccessDenied + "[4019]"
		stranger  = codeAccessDenied + "[4002]"
		forbidden = codeForbiddenRAM + "[4019]"
		arrears   = codeAccessDenied + "[4093]"
	)
	tests := map[string]struct {
		deny func(*Server, string) error
		want string
	}{
		"nothing":           {func(*Server, string) error { return nil }, "200 ,200 ,200 ,200 ,200 ,200 "},
		"all":               {func(s *Server, id string) error { return s.Deny(id, "") }, strings.Join([]string{forbidden, forbidden, none, none, forbidden, forbidden}, ",")},
		"all, sub-code":     {func(s *Server, id string) error { return s.Deny(id, "4002") }, strings.Join([]string{stranger, stranger, stranger, stranger, stranger, stranger}, ",")},
		"an action":         {func(s *Server, id string) error { return s.DenyAction(id, "getrolepolicy", "") }, "200 ," + none + ",200 ,200 ,200 ,200 "},
		"an action, code":   {func(s *Server, id string) error { return s.DenyAction(id, "GetRoleAcl", codeForbiddenRAM) }, forbidden + ",200 ,200 ,200 ,200 ,200 "},
		"all statements":    {func(s *Server, id string) error { return s.DenyAction(id, "Statement", "4009") }, "200 ,200 ,ODPS-0420095[4009],ODPS-0420095[4009],200 ,200 "},
		"some statements":   {func(s *Server, id string) error { return s.DenyAction(id, "Revoke", "") }, "200 ,200 ,200 ," + none + ",200 ,200 "},
		"a project":         {func(s *Server, id string) error { return s.DenyProject(id, "Other", "") }, "200 ,200 ,200 ,200 ," + stranger + ",200 "},
		"a project, code":   {func(s *Server, id string) error { return s.DenyProject(id, "shop", "4093") }, strings.Join([]string{arrears, arrears, arrears, arrears, "200 ", "200 "}, ",")},
		"another key":       {func(s *Server, _ string) error { return s.Deny("FAKE2", "") }, "200 ,200 ,200 ,200 ,200 ,200 "},
		"arrears":           {func(s *Server, _ string) error { s.SetArrears(true); return nil }, strings.Join([]string{arrears, arrears, arrears, arrears, arrears, arrears}, ",")},
		"an unknown key":    {func(s *Server, _ string) error { return s.Deny("nobody", "") }, "error"},
		"an unknown action": {func(s *Server, id string) error { return s.DenyAction(id, "Dance", "") }, "error"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, Options{Projects: []Project{{Name: testProject}, {Name: "other"}}})
			c.server.AddIdentity(Identity{AccessKeyID: "FAKE2", AccessKeySecret: "s"})
			c.createRole("r")
			if err := tc.deny(c.server, c.key); err != nil {
				want(t, err.Error(), "error", tc.want)
				return
			}
			want(t, "verdicts", c.verdicts(), tc.want)
			c.server.SetArrears(false)
			must(t, c.server.Allow(c.key))
			want(t, "lifted", c.verdicts(), "200 ,200 ,200 ,200 ,200 ,200 ")
			c.wantNoViolations()
		})
	}
}

func TestLimits(t *testing.T) {
	const calls = 3
	tests := map[string]struct {
		limit         Limit
		openAPI, odps string
		retryAfter    string
	}{
		"bucket":             {Limit{QPS: 1, Burst: 1}, "429 Throttling.User", "429 Throttling", ""},
		"window":             {Limit{Window: 1}, "429 Throttling.User", "429 Throttling", ""},
		"a hint":             {Limit{Window: 1, RetryAfter: "2"}, "429 Throttling.User", "429 Throttling", "2"},
		"of a call":          {Limit{Window: 1, Code: "Throttling.Api", Status: 400}, "400 Throttling.Api", "400 Throttling.Api", ""},
		"of a resource":      {Limit{Window: 1, Code: "Throttling.Resource", Status: 503}, "503 Throttling.Resource", "503 Throttling.Resource", ""},
		"the other way":      {Limit{Window: 1, Code: "Rejected.Throttling"}, "429 Rejected.Throttling", "429 Rejected.Throttling", ""},
		"without a reason":   {Limit{Window: 1, Code: "Throttling"}, "429 Throttling", "429 Throttling", ""},
		"of a user, not 429": {Limit{Window: 1, Code: "Throttling.User", Status: 400}, "400 Throttling.User", "400 Throttling.User", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			at := time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC)
			c := newClient(t, Options{Clock: func() time.Time { return at }})
			c.createRole("r")
			c.server.SetLimit(c.key, tc.limit)
			want(t, "first", c.getACL().status, 200)
			got := c.getACL()
			want(t, "openapi", statusCode(got), tc.openAPI)
			want(t, "retry after", got.header.Get("Retry-After"), tc.retryAfter)
			want(t, "odps", statusCode(c.statement(grantText)), tc.odps)
			want(t, "accepted", c.server.Accepted(c.key), 1)
			want(t, "refused", c.server.Refused(c.key), calls-1)
			want(t, "nothing done", c.grants(), "")
			c.server.SetLimit(c.key, Limit{})
			want(t, "lifted", c.getACL().status, 200)
			want(t, "counts are gone", c.server.Accepted(c.key)+c.server.Refused(c.key), 0)
			c.wantNoViolations()
		})
	}
}

func TestAWindowCarriesNothingOver(t *testing.T) {
	at := time.Date(2026, 11, 21, 16, 0, 0, 900_000_000, time.UTC)
	c := newClient(t, Options{Clock: func() time.Time { return at }})
	c.createRole("r")
	c.server.SetLimit(c.key, Limit{Window: 2})
	codes := func() string {
		var out []string
		for range 3 {
			out = append(out, c.getACL().code())
		}
		return strings.Join(out, ",")
	}
	const all = ",,Throttling.User"
	want(t, "a window", codes(), all)
	at = at.Add(99 * time.Millisecond)
	want(t, "the same second", codes(), "Throttling.User,Throttling.User,Throttling.User")
	at = at.Add(time.Millisecond)
	want(t, "the next second", codes(), all)
	at = at.Add(10 * time.Second)
	want(t, "no more after a pause", codes(), all)
	want(t, "accepted", c.server.Accepted(c.key), 6)
	want(t, "refused", c.server.Refused(c.key), 6)
	want(t, "stats", c.server.Stats().Accepted[c.key], 6)
}

func TestInvalidLimits(t *testing.T) {
	for name, l := range map[string]Limit{
		"negative":          {QPS: -1},
		"bucket and window": {QPS: 1, Burst: 1, Window: 1},
		"code":              {Window: 1, Code: "TooMany"},
		"status":            {Window: 1, Status: 418},
	} {
		if l.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestShiftClock(t *testing.T) {
	tests := map[string]struct {
		shift         time.Duration
		openAPI, odps string
	}{
		"not at all":      {0, "200 ", "200 "},
		"a little":        {14 * time.Minute, "200 ", "200 "},
		"too far ahead":   {16 * time.Minute, "400 " + codeExpired, "400 " + codeAuthExpired},
		"too far back":    {-16 * time.Minute, "400 " + codeExpired, "400 " + codeAuthExpired},
		"into the future": {24 * time.Hour, "400 " + codeExpired, "400 " + codeAuthExpired},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			at := time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC)
			c := newClient(t, Options{Clock: func() time.Time { return at }})
			c.createRole("r")
			addOperator(c)
			c.server.ShiftClock(tc.shift)
			got := c.getACL()
			want(t, "openapi", statusCode(got), tc.openAPI)
			want(t, "the server tells its time", got.header.Get("Date"), at.Add(tc.shift).Format(http.TimeFormat))
			want(t, "odps", statusCode(c.statement(grantText)), tc.odps)
			want(t, "sts", statusCode(c.assume(nil)), tc.openAPI)
			anonymous := c.exchange(map[string]string{"Timestamp": at.Format("2006-01-02T15:04:05Z")}, nil)
			want(t, "sts, anonymous", statusCode(anonymous), tc.openAPI)
			want(t, "journal", c.server.Journal()[0].Time, at.Add(tc.shift))
			c.server.ShiftClock(-tc.shift)
			want(t, "and back", c.getACL().status, 200)
		})
	}
}
