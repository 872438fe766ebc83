package acl_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/maxcompute-operator/maxcompute-operator/internal/acl"
)

// scopeOf is the scope of the one statement of a document.
func scopeOf(t *testing.T, statement string) acl.Scope {
	t.Helper()
	document, err := acl.ParseDocument([]byte(`{"Version":"1","Statement":[` + statement + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return document.Statements()[0].Scope()
}

func TestScopeReach(t *testing.T) {
	ods := []string{"acs:odps:*:projects/p/tables/ods_1", "acs:odps:*:projects/p/schemas/default/tables/ods_1"}
	for name, c := range map[string]struct {
		statement string
		want      acl.Reach
		reason    string
	}{
		"an action on a table":                         {`{"Effect":"Allow","Action":"odps:Select","Resource":"acs:odps:*:projects/p/tables/ods_1"}`, acl.Inside, ""},
		"case does not matter":                         {`{"Effect":"Allow","Action":"ODPS:SELECT","Resource":"ACS:odps:*:projects/P/Tables/ODS_1"}`, acl.Inside, ""},
		"patterns cover":                               {`{"Effect":"Deny","Action":"odps:*","Resource":["acs:odps:*:projects/p/tables/ods_*"]}`, acl.Inside, ""},
		"everything covers":                            {`{"Effect":"Allow","Action":"*","Resource":"*"}`, acl.Inside, ""},
		"the other name of the object":                 {`{"Effect":"Allow","Action":"odps:Select","Resource":"acs:odps:*:projects/p/schemas/default/tables/*"}`, acl.Inside, ""},
		"All stands for Select":                        {`{"Effect":"Allow","Action":"odps:All","Resource":"*"}`, acl.Inside, ""},
		"a pattern of names that All begins like":      {`{"Effect":"Allow","Action":"odps:A*","Resource":"*"}`, acl.Outside, ""},
		"names that All begins like are left out":      {`{"Effect":"Allow","NotAction":"odps:A*","Resource":"*"}`, acl.Inside, ""},
		"another action":                               {`{"Effect":"Allow","Action":"odps:Drop","Resource":"*"}`, acl.Outside, ""},
		"another table":                                {`{"Effect":"Allow","Action":"odps:Select","Resource":"acs:odps:*:projects/p/tables/ods_12"}`, acl.Outside, ""},
		"another schema":                               {`{"Effect":"Allow","Action":"odps:Select","Resource":"acs:odps:*:projects/p/schemas/s/tables/ods_1"}`, acl.Outside, ""},
		"another project":                              {`{"Effect":"Allow","Action":"odps:Select","Resource":"acs:odps:*:projects/q/tables/*"}`, acl.Outside, ""},
		"no action at all":                             {`{"Effect":"Allow","Action":[],"Resource":"*"}`, acl.Outside, ""},
		"an action that is left out":                   {`{"Effect":"Allow","NotAction":"odps:Select","Resource":"*"}`, acl.Outside, ""},
		"an action that is left out by All":            {`{"Effect":"Allow","NotAction":"odps:All","Resource":"*"}`, acl.Outside, ""},
		"another action is left out":                   {`{"Effect":"Allow","NotAction":"odps:Drop","Resource":"*"}`, acl.Inside, ""},
		"a table that is left out by one of its names": {`{"Effect":"Allow","Action":"*","NotResource":"acs:odps:*:projects/p/tables/*"}`, acl.Outside, ""},
		"another table is left out":                    {`{"Effect":"Allow","Action":"*","NotResource":"acs:odps:*:projects/p/tables/dwd_*"}`, acl.Inside, ""},
		"an action without its prefix":                 {`{"Effect":"Allow","Action":"Select","Resource":"*"}`, acl.Perhaps, "an action of it does not begin with odps:"},
		"a resource without its prefix":                {`{"Effect":"Deny","Action":"*","Resource":"projects/p/tables/ods_*"}`, acl.Perhaps, "a resource of it does not begin with acs:"},
		"another table without its prefix":             {`{"Effect":"Deny","Action":"*","Resource":"projects/p/tables/dwd_*"}`, acl.Outside, ""},
		"a condition":                                  {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"A":{"b":["c"]}}}`, acl.Perhaps, "it has a Condition"},
		"a condition on something else":                {`{"Effect":"Allow","Action":"odps:Drop","Resource":"*","Condition":{"A":{"b":["c"]}}}`, acl.Outside, ""},
		"an empty condition is none":                   {`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{}}`, acl.Inside, ""},
		"unknown members":                              {`{"Effect":"Allow","Action":"*","Resource":"*","Principal":"x","Sid":1}`, acl.Perhaps, "it has a Principal and a Sid"},
		"an unknown effect":                            {`{"Effect":"Maybe","Action":"*","Resource":"*"}`, acl.Perhaps, "its Effect is neither Allow nor Deny"},
		"no effect":                                    {`{"Action":"*","Resource":"*"}`, acl.Perhaps, "its Effect is neither Allow nor Deny"},
		"no action is named":                           {`{"Effect":"Allow","Resource":"*"}`, acl.Perhaps, "it names no Action"},
		"no resource is named":                         {`{"Effect":"Allow","Action":"*"}`, acl.Perhaps, "it names no Resource"},
		"a region":                                     {`{"Effect":"Allow","Action":"*","Resource":"acs:odps:cn-hangzhou:projects/p/*"}`, acl.Perhaps, "it names a region"},
		"a region of another table":                    {`{"Effect":"Allow","Action":"*","Resource":"acs:odps:cn-hangzhou:projects/q/*"}`, acl.Outside, ""},
		"a region beside a sure name":                  {`{"Effect":"Allow","Action":"*","Resource":["acs:odps:cn-hangzhou:projects/p/*","acs:odps:*:projects/p/*"]}`, acl.Inside, ""},
		"a region that is left out":                    {`{"Effect":"Allow","Action":"*","NotResource":"acs:odps:cn-hangzhou:projects/p/*"}`, acl.Perhaps, "it names a region"},
	} {
		t.Run(name, func(t *testing.T) {
			reach, reason := scopeOf(t, c.statement).Reach("odps:select", "odps:all", ods)
			if reach != c.want || reason != c.reason {
				t.Errorf("the reach is %d, %q; want %d, %q", reach, reason, c.want, c.reason)
			}
		})
	}
}

// TestScopeReachIsThatOfItsPatterns: patterns over a small alphabet, against regular expressions.
func TestScopeReachIsThatOfItsPatterns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2026))
	word := func(letters string, n int) string {
		var b strings.Builder
		for range 1 + r.IntN(n) {
			b.WriteByte(letters[r.IntN(len(letters))])
		}
		return b.String()
	}
	matches := func(patterns, names []string) bool {
		return slices.ContainsFunc(patterns, func(pattern string) bool {
			re := regexp.MustCompile("(?i)^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$")
			return slices.ContainsFunc(names, re.MatchString)
		})
	}
	counts := map[acl.Reach]int{}
	for range 20_000 {
		actions, resources := []string{"odps:" + word("abA*", 3), "odps:" + word("ab*", 3)}, []string{"acs:odps:*:" + word("ab/*", 4), "acs:odps:*:" + word("abB*", 4)}
		notAction, notResource := r.IntN(2) == 0, r.IntN(2) == 0
		key := func(name string, not bool) string { return map[bool]string{true: "Not" + name, false: name}[not] }
		statement := fmt.Sprintf(`{"Effect":"Allow",%q:["%s"],%q:["%s"]}`, key("Action", notAction), strings.Join(actions, `","`), key("Resource", notResource), strings.Join(resources, `","`))
		asked, on := []string{"odps:" + word("ab", 3), "odps:" + word("ab", 3)}, []string{"acs:odps:*:" + word("ab/", 4), "acs:odps:*:" + word("ab", 4)}
		want := acl.Outside
		// The second one is a word, which no pattern stands for.
		spelt := slices.ContainsFunc(actions, func(action string) bool { return strings.EqualFold(action, asked[1]) })
		if (matches(actions, asked[:1]) || spelt) != notAction && matches(resources, on) != notResource {
			want = acl.Inside
		}
		counts[want]++
		if got, reason := scopeOf(t, statement).Reach(asked[0], asked[1], on); got != want || reason != "" {
			t.Fatalf("%s reaches %q on %q: %d (%s), want %d", statement, asked, on, got, reason, want)
		}
	}
	if counts[acl.Inside] < 2000 || counts[acl.Outside] < 2000 {
		t.Errorf("the statements are not varied enough: %v", counts)
	}
}
