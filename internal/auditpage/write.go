package auditpage

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"
)

var (
	//go:embed page.html
	layout string
	//go:embed page.css
	style string
	//go:embed page.js
	script string
)

// Write writes the page as HTML. The same page gives the same bytes. It fails, before it writes anything, if an index in the page is of
// nothing or a word is not one of those that the types name; and if w does.
func Write(w io.Writer, p Page) error {
	if err := p.check(); err != nil {
		return fmt.Errorf("check the page: %w", err)
	}
	encoded, err := encode(p)
	if err != nil {
		return err
	}
	parsed, err := template.New("page").Parse(layout)
	if err != nil {
		return fmt.Errorf("read the layout of the page: %w", err)
	}
	css := style + footer(p)
	err = parsed.Execute(w, map[string]any{
		"Policy":  "default-src 'none'; script-src " + hash(script) + "; style-src " + hash(css) + "; base-uri 'none'; form-action 'none'",
		"Style":   template.CSS(css),    //nolint:gosec // the package's own, and a string in which everything is escaped
		"Script":  template.JS(script),  //nolint:gosec // the package's own
		"Data":    template.JS(encoded), //nolint:gosec // JSON in which everything that means something to HTML is escaped
		"Project": visible(p.Project), "Connection": visible(p.Connection), "Endpoint": visible(p.Endpoint), "Version": visible(p.Version),
		"Read": readAt(p), "ReadRFC3339": p.Read.UTC().Format(time.RFC3339),
		"Summary": summary(p), "Notes": notes(p),
	})
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// hash is how a Content-Security-Policy allows one text.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func readAt(p Page) string { return p.Read.UTC().Format("2006-01-02 15:04:05 UTC") }

// footer is what stands at the foot of each printed page. Style sheets take text from nowhere but themselves.
func footer(p Page) string {
	const longest = 120
	project := []rune(visible(p.Project))
	if len(project) > longest {
		project = append(project[:longest], '…')
	}
	return "@page { @bottom-left { content: " + cssString("Project "+string(project)+", read at "+readAt(p)) + "; } }\n"
}

// cssString quotes text. Everything but letters, digits and spaces becomes its code point, which ends with the space.
func cssString(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == ' ', '0' <= r && r <= '9', 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z':
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\%06x `, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// fact is a number of the summary. Its mark is the one that the script puts to what it counts.
type fact struct{ Count, What, Mark, Class string }

func summary(p Page) []fact {
	byState := map[State]int{}
	unclear := 0
	for _, g := range p.Grants {
		byState[g.State]++
		if g.Unclear != "" {
			unclear++
		}
	}
	for _, principal := range p.Principals {
		for _, m := range principal.Roles {
			byState[m.State]++
		}
	}
	return []fact{
		count(len(p.Principals), "principal", "principals"),
		count(len(p.Objects), "object", "objects"),
		count(len(p.Roles), "role", "roles"),
		marked(count(byState[Drift], "grant or membership in drift", "grants and memberships in drift"), "D", "drift"),
		marked(count(byState[Unmanaged], "grant or membership unmanaged", "grants and memberships unmanaged"), "U", "unmanaged"),
		marked(count(unclear, "grant unclear", "grants unclear"), "?", "unclear"),
		count(len(p.Missing), "declared, but not there", "declared, but not there"),
	}
}

func count(n int, one, many string) fact {
	if n == 1 {
		many = one
	}
	return fact{Count: thousands(n), What: many}
}

func marked(f fact, mark, class string) fact {
	f.Mark, f.Class = mark, class
	return f
}

// thousands writes a number with a comma before every three digits.
func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// notes are the page's, and one for the roles whose members are unknown.
func notes(p Page) []string {
	var list []string
	for _, note := range p.Notes {
		list = append(list, prose(note))
	}
	unknown := 0
	for _, r := range p.Roles {
		unknown += number(r.MembersUnknown)
	}
	if unknown > 0 {
		list = append(list, "The members of "+thousands(unknown)+" of the roles are not known. What these roles give is in no row. The table of roles marks them.")
	}
	return list
}
