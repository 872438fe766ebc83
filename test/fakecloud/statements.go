package fakecloud

import "strings"

// statement is one parsed security statement ("Alibaba Cloud documentation: MaxCompute security
// commands"; the grammar follows the command parser of aliyun-odps-java-sdk).
type statement struct {
	verb      *verb
	roles     []string
	actions   []string
	kind      string
	object    string
	principal string
	roleType  string
	pkg       packageName
	// allowed is the project that may install the package, with its label.
	allowed AllowedProject
}

// role is the role that the statement is about, for the journal.
func (s *statement) role() string {
	if len(s.roles) == 0 {
		return ""
	}
	return s.roles[0]
}

// verb is one kind of statement.
type verb struct {
	write bool
	// failsLater tells that refusals come through an instance.
	failsLater bool
	// exec returns the text of the result.
	exec func(*txn, *statement, settings) (string, *problem)
}

// parser walks over the tokens of one statement.
type parser struct {
	tokens []token
	at     int
}

// parseStatement reads exactly one statement. One that carries a second one, a comment or a stray
// quote is more than an error: only a client that builds statements from unchecked text sends it.
func parseStatement(text string) (*statement, *problem) {
	st, p := parseOne(text)
	if p != nil {
		p.violation = smuggles(text)
		return nil, p
	}
	return st, nil
}

func parseOne(text string) (*statement, *problem) {
	tokens, p := tokenize(text)
	if p != nil {
		return nil, p
	}
	ps := &parser{tokens: tokens}
	st, p := ps.statement()
	if p != nil {
		return nil, p
	}
	ps.symbol(";")
	if next := ps.peek(); next.kind != tokenEnd {
		return nil, parseProblem(next)
	}
	return st, nil
}

// smuggles tells whether a statement that does not parse has what an injected one would have.
func smuggles(text string) bool {
	text = strings.TrimSuffix(strings.TrimSpace(text), ";")
	return strings.ContainsAny(text, `;'"`) || strings.Contains(text, "--") || strings.Contains(text, "/*")
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

func (t token) is(keyword string) bool {
	return t.kind == tokenWord && strings.EqualFold(t.text, keyword)
}

// keyword consumes a keyword if it is next.
func (p *parser) keyword(word string) bool {
	if !p.peek().is(word) {
		return false
	}
	p.at++
	return true
}

func (p *parser) symbol(s string) bool {
	if t := p.peek(); t.kind != tokenSymbol || t.text != s {
		return false
	}
	p.at++
	return true
}

// want consumes keywords that must come.
func (p *parser) want(words ...string) *problem {
	for _, w := range words {
		if !p.keyword(w) {
			return parseProblem(p.peek())
		}
	}
	return nil
}

func (p *parser) word() (string, *problem) {
	t := p.next()
	if t.kind != tokenWord {
		return "", parseProblem(t)
	}
	return t.text, nil
}

// words reads a list that is separated by commas.
func (p *parser) words() ([]string, *problem) {
	var out []string
	for {
		w, refusal := p.word()
		if refusal != nil {
			return nil, refusal
		}
		out = append(out, w)
		if !p.symbol(",") {
			return out, nil
		}
	}
}

func (p *parser) statement() (*statement, *problem) {
	switch {
	case p.keyword("CREATE"):
		return p.create()
	case p.keyword("DROP"), p.keyword("DELETE"):
		return p.drop()
	case p.keyword("DESCRIBE"), p.keyword("DESC"):
		return p.aboutRole(verbDescribeRole, "ROLE")
	case p.keyword("SHOW"):
		return p.showGrants()
	case p.keyword("LIST"):
		return &statement{verb: verbListRoles}, p.want("ROLES")
	case p.keyword("GRANT"):
		return p.grant(verbGrant, verbGrantRole, "TO")
	case p.keyword("REVOKE"):
		return p.grant(verbRevoke, verbRevokeRole, "FROM")
	}
	return p.packageStatement()
}

// aboutRole reads the rest of a statement that names one role after some keywords.
func (p *parser) aboutRole(v *verb, keywords ...string) (*statement, *problem) {
	if refusal := p.want(keywords...); refusal != nil {
		return nil, refusal
	}
	role, refusal := p.word()
	return &statement{verb: v, roles: []string{role}}, refusal
}

// showGrants reads the rest of SHOW GRANTS FOR ROLE role and SHOW GRANTS FOR [USER] principal.
func (p *parser) showGrants() (*statement, *problem) {
	if refusal := p.want("GRANTS", "FOR"); refusal != nil {
		return nil, refusal
	}
	if p.peek().is("ROLE") {
		return p.aboutRole(verbShowGrants, "ROLE")
	}
	p.userKeyword()
	principal, refusal := p.word()
	return &statement{verb: verbShowGrantsForUser, principal: principal}, refusal
}

func (p *parser) createRole() (*statement, *problem) {
	st, refusal := p.aboutRole(verbCreateRole, "ROLE")
	if refusal != nil {
		return nil, refusal
	}
	if p.keyword("COMMENT") {
		if t := p.next(); t.kind != tokenString {
			return nil, parseProblem(t)
		}
	}
	if !p.keyword("PRIVILEGEPROPERTIES") {
		return st, nil
	}
	st.roleType, refusal = p.typeProperty()
	return st, refusal
}

// typeProperty reads ("type"="admin").
func (p *parser) typeProperty() (string, *problem) {
	if !p.symbol("(") {
		return "", parseProblem(p.peek())
	}
	if t := p.next(); t.kind != tokenString || t.text != "type" {
		return "", parseProblem(t)
	}
	if !p.symbol("=") {
		return "", parseProblem(p.peek())
	}
	value := p.next()
	if value.kind != tokenString {
		return "", parseProblem(value)
	}
	if !p.symbol(")") {
		return "", parseProblem(p.peek())
	}
	return value.text, nil
}

// grant reads GRANT and REVOKE, of privileges and of roles; to is TO or FROM.
func (p *parser) grant(privileges, roles *verb, to string) (*statement, *problem) {
	explicit := p.explicitRole()
	names, refusal := p.words()
	if refusal != nil {
		return nil, refusal
	}
	if !explicit && p.keyword("ON") {
		return p.privileges(&statement{verb: privileges, actions: names}, to)
	}
	if refusal := p.want(to); refusal != nil {
		return nil, refusal
	}
	p.userKeyword()
	principal, refusal := p.word()
	return &statement{verb: roles, roles: names, principal: principal}, refusal
}

// explicitRole consumes ROLE if it is a keyword and not a role's name: a name follows.
func (p *parser) explicitRole() bool {
	if !p.peek().is("ROLE") || p.tokens[p.at+1].kind != tokenWord {
		return false
	}
	if after := p.tokens[p.at+1]; after.is("ON") || after.is("TO") || after.is("FROM") {
		return false
	}
	return p.keyword("ROLE")
}

// userKeyword consumes the optional USER before a principal.
func (p *parser) userKeyword() {
	if p.peek().is("USER") && p.tokens[p.at+1].kind == tokenWord {
		p.at++
	}
}

// privileges reads the rest of GRANT ... ON [type] object TO ROLE role. Only REVOKE knows users: what the
// fake has for them are the permissions that were granted because of an order.
func (p *parser) privileges(st *statement, to string) (*statement, *problem) {
	word, refusal := p.word()
	if refusal != nil {
		return nil, refusal
	}
	if p.tokens[p.at-1].is("TABLE") && p.peek().is(to) {
		return nil, parseProblem(p.peek())
	}
	st.kind, st.object = "table", word
	if k := kindByName(word); k != nil && p.peek().kind == tokenWord && !p.peek().is(to) {
		st.kind, st.object = k.name, p.next().text
	}
	if refusal := p.want(to); refusal != nil {
		return nil, refusal
	}
	if st.verb == verbRevoke && p.keyword("USER") {
		st.verb = verbRevokeFromUser
		st.principal, refusal = p.word()
		return st, refusal
	}
	if refusal := p.want("ROLE"); refusal != nil {
		return nil, refusal
	}
	role, refusal := p.word()
	st.roles = []string{role}
	return st, refusal
}
