package fakecloud

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	iamPrefix         = "/v3/"
	iamTokens         = "/v3/auth/tokens"
	actionCreateToken = "CreateToken"
	iamTimeFormat     = "2006-01-02T15:04:05.000000Z"
	// tokenLife is documented.
	tokenLife = 24 * time.Hour
)

// iamProblem has the status for a code, as the samples do.
func iamProblem(status int, message string) *problem {
	return refuse(status, strconv.Itoa(status), "%s", message)
}

// tokenRequest is what "IAM API reference: KeystoneCreateUserTokenByPassword" documents. Other methods than
// the password are unknown to the fake. The domain of a scope's project is in the vendor's generated client only.
type tokenRequest struct {
	Auth struct {
		Identity struct {
			Methods  []string `json:"methods"`
			Password struct {
				User struct {
					Name     string `json:"name"`
					Password string `json:"password"`
					Domain   struct {
						Name string `json:"name"`
					} `json:"domain"`
				} `json:"user"`
			} `json:"password"`
		} `json:"identity"`
		Scope *tokenScope `json:"scope"`
	} `json:"auth"`
}

// tokenScope is a project or a domain. Without either the token is one for the domain; that is made up.
type tokenScope struct {
	Project *scopeName `json:"project"`
	Domain  *scopeName `json:"domain"`
}

// scopeName names what a token is for, by either.
type scopeName struct {
	ID     string     `json:"id"`
	Name   string     `json:"name"`
	Domain *scopeName `json:"domain"`
}

func decodeIAM(c *call, r *http.Request, body []byte) *problem {
	if r.Method != http.MethodPost || r.URL.EscapedPath() != iamTokens {
		return unknown("iam: no such call: %s %s", r.Method, r.URL.Path)
	}
	c.action = actionCreateToken
	for name, values := range r.URL.Query() {
		if name != "nocatalog" || len(values) != 1 {
			return unknown("%s: unknown or repeated parameter", c.action)
		}
	}
	if !isJSON(r) {
		return unknown("%s: content type is %q, want application/json", c.action, r.Header.Get("Content-Type"))
	}
	var req tokenRequest
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if dec.Decode(&req) != nil || dec.More() { // the error may quote the body, and that has a password
		return unknown("%s: the body is not JSON, or has unknown members", c.action)
	}
	user := req.Auth.Identity.Password.User
	switch {
	case !slices.Equal(req.Auth.Identity.Methods, []string{"password"}):
		return unknown("%s: the fake knows the method password only", c.action)
	case user.Name == "" || user.Password == "" || user.Domain.Name == "":
		return unknown("%s: the user lacks a name, a password or the name of a domain", c.action)
	case !req.Auth.Scope.valid():
		return unknown("%s: the scope is not one project or one domain, by its id or its name", c.action)
	}
	c.caller = IAMUser{Domain: user.Domain.Name, Name: user.Name}.Caller()
	c.run = req.run
	return nil
}

func (s *tokenScope) valid() bool {
	if s == nil {
		return true
	}
	if (s.Project == nil) == (s.Domain == nil) {
		return false
	}
	for _, n := range []*scopeName{s.Project, s.Domain} {
		if n != nil && n.ID == "" && n.Name == "" {
			return false
		}
	}
	return true
}

// run issues a token. The texts of refusals, and that a project which is not there or not the user's is a 401, are made up.
func (req *tokenRequest) run(t *txn) (answer, *problem) {
	t.ran = true
	cloud := &t.s.insight
	asked := req.Auth.Identity.Password.User
	user := cloud.users[t.c.caller]
	if user == nil || !sameText(user.Password, asked.Password) {
		return answer{}, iamProblem(http.StatusUnauthorized, "The username or password is wrong.")
	}
	var project *IAMProject
	if scope := req.Auth.Scope; scope != nil && scope.Project != nil {
		project = cloud.findProject(scope.Project)
		if project == nil || !user.mayUse(project.ID) {
			return answer{}, iamProblem(http.StatusUnauthorized, "The project of the scope does not exist, or is not the user's.")
		}
		t.c.project = project.ID
	}
	return t.issueToken(user, project), nil
}

// findProject looks for both what a scope says.
func (c *insightCloud) findProject(scope *scopeName) *IAMProject {
	for _, id := range sortedKeys(c.projects) {
		p := c.projects[id]
		if (scope.ID == "" || scope.ID == p.ID) && (scope.Name == "" || scope.Name == p.Name) {
			return &p
		}
	}
	return nil
}

type tokenAnswer struct {
	Token tokenDetails `json:"token"`
}

// tokenDetails has the documented members; the catalog and the roles are always empty, and ids are made up.
type tokenDetails struct {
	Catalog   []string      `json:"catalog"`
	ExpiresAt string        `json:"expires_at"`
	IssuedAt  string        `json:"issued_at"`
	Methods   []string      `json:"methods"`
	Project   *tokenProject `json:"project,omitempty"`
	Domain    *tokenDomain  `json:"domain,omitempty"`
	Roles     []string      `json:"roles"`
	User      tokenUser     `json:"user"`
}

type tokenDomain struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type tokenProject struct {
	Domain tokenDomain `json:"domain"`
	ID     string      `json:"id"`
	Name   string      `json:"name"`
}

type tokenUser struct {
	Domain            tokenDomain `json:"domain"`
	ID                string      `json:"id"`
	Name              string      `json:"name"`
	PasswordExpiresAt string      `json:"password_expires_at"`
}

func (t *txn) issueToken(user *IAMUser, project *IAMProject) answer {
	cloud, now := &t.s.insight, t.s.now().UTC().Truncate(time.Microsecond)
	domain := tokenDomain{ID: madeUpID("domain " + user.Domain), Name: user.Domain}
	details := tokenDetails{
		Catalog: []string{}, Roles: []string{}, Methods: []string{"password"},
		IssuedAt: now.Format(iamTimeFormat), ExpiresAt: now.Add(tokenLife).Format(iamTimeFormat),
		User: tokenUser{Domain: domain, ID: madeUpID("user " + user.Caller()), Name: user.Name},
	}
	issued := IAMToken{Token: cloud.nextToken(), User: user.Caller(), Expires: now.Add(tokenLife)}
	if project != nil {
		issued.Project = project.ID
		details.Project = &tokenProject{Domain: domain, ID: project.ID, Name: project.Name}
	} else {
		details.Domain = &domain
	}
	// What ended a day ago is forgotten, so that a server that runs for long does not grow.
	cloud.endTokens(func(old IAMToken) bool { return now.Sub(old.Expires) > tokenLife })
	cloud.tokens[issued.Token] = issued
	body := mustJSON(tokenAnswer{details})
	return answer{
		status: http.StatusCreated, header: map[string]string{"X-Subject-Token": issued.Token},
		render: func() []byte { return body },
	}
}

// nextToken makes a text like those of the samples. It opens nothing but this fake, so it need not be hard to guess.
func (c *insightCloud) nextToken() string {
	size := defaultIAMToken
	if c.style.TokenBytes > 0 {
		size = c.style.TokenBytes
	}
	c.issued++
	raw := make([]byte, size)
	rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "token %d", c.issued))).Read(raw) //nolint:errcheck // it is documented to return no error
	return ("MII" + base64.StdEncoding.EncodeToString(raw))[:size]
}

func madeUpID(of string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(of)))[:32] }
