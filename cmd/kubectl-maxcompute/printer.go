package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"sigs.k8s.io/yaml"

	"github.com/maxcompute-operator/maxcompute-operator/internal/plan"
)

// printer shows a Report.
type printer struct {
	out    io.Writer
	format string
	color  bool
}

func newPrinter(out io.Writer, format, color string) (*printer, error) {
	p := &printer{out: out, format: format}
	switch color {
	case "auto":
		p.color = onTerminal(out)
	case "always":
		p.color = true
	case "never":
	default:
		return nil, fmt.Errorf("--color is always, never or auto, not %q", color)
	}
	return p, checkOutput(format)
}

func (p *printer) print(r Report) error {
	if p.format != "" {
		return printStructured(p.out, p.format, r)
	}
	_, err := io.WriteString(p.out, p.text(r))
	return err
}

// checkOutput refuses what --output cannot be.
func checkOutput(format string) error {
	switch format {
	case "", "json", "yaml":
		return nil
	}
	return fmt.Errorf("--output is json or yaml, not %q", format)
}

// printStructured writes a report for programs.
func printStructured(out io.Writer, format string, report any) error {
	text, err := json.MarshalIndent(report, "", "  ")
	if format == "yaml" {
		text, err = yaml.Marshal(report)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, strings.TrimSuffix(string(text), "\n"))
	return err
}

// text is a report for people.
func (p *printer) text(r Report) string {
	var b strings.Builder
	for _, object := range r.Objects {
		p.object(&b, object)
	}
	if r.Unplanned > 0 {
		fmt.Fprintf(&b, "%s of kinds that have no plan\n", number(r.Unplanned, "object"))
	}
	s := r.Summary
	fmt.Fprintf(&b, "%s looked at: %d would change, %d would not be worked on; grant %d, revoke %d\n", number(s.Objects, "object"), s.Changes, s.Blocked, s.Grants, s.Revokes)
	return b.String()
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (p *printer) object(b *strings.Builder, o ObjectPlan) {
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	fmt.Fprintf(b, "%s %s: %s\n", o.Kind, name, o.Target)
	switch {
	case o.Blocked:
		fmt.Fprintf(b, "  %s\n", p.paint(red, o.Reason+sep(o.Reason)+o.Message))
	case len(o.Steps) == 0 && o.Message == "":
		b.WriteString("  nothing to do\n")
	case o.Observed:
		b.WriteString("  managementPolicy is Observe: this differs, and nothing would be done about it\n")
	}
	for _, step := range o.Steps {
		p.step(b, step)
	}
	if !o.Blocked && o.Message != "" {
		fmt.Fprintf(b, "  %s\n", p.paint(yellow, o.Reason+": "+o.Message))
	}
	if o.Hash != "" {
		fmt.Fprintf(b, "  plan %s\n", o.Hash)
	}
	b.WriteString("\n")
}

func sep(reason string) string {
	if reason == "" {
		return ""
	}
	return ": "
}

// The marks of steps, and their colours.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (p *printer) paint(color, text string) string {
	if !p.color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// step shows what is added with +, what is taken away with -, and what does both with ~.
func (p *printer) step(b *strings.Builder, s Step) {
	mark, color := "+", green
	switch plan.Verb(s.Verb) {
	case plan.Revoke, plan.RemoveMember, plan.Remove, plan.Disallow, plan.Delete:
		mark, color = "-", red
	case plan.SetPolicy, plan.Replace, plan.Adopt:
		mark, color = "~", yellow
	default:
	}
	fmt.Fprintf(b, "  %s\n", p.paint(color, mark+" "+s.Text))
	if plan.Verb(s.Verb) == plan.Create {
		for _, content := range s.Contents {
			fmt.Fprintf(b, "    %s\n", p.paint(color, mark+" "+content.Text))
		}
	}
	if plan.Verb(s.Verb) == plan.SetPolicy {
		p.policy(b, s)
	}
}

// policy shows what changes in a document, line by line.
func (p *printer) policy(b *strings.Builder, s Step) {
	before, after := difflib.SplitLines(indented(s.PreviousPolicy)), difflib.SplitLines(indented(s.Policy))
	for _, group := range difflib.NewMatcher(before, after).GetGroupedOpCodes(2) {
		for _, code := range group {
			if code.Tag == 'e' {
				p.lines(b, " ", "", before[code.I1:code.I2])
				continue
			}
			p.lines(b, "-", red, before[code.I1:code.I2])
			p.lines(b, "+", green, after[code.J1:code.J2])
		}
	}
}

func (p *printer) lines(b *strings.Builder, mark, color string, lines []string) {
	for _, line := range lines {
		text := mark + " " + strings.TrimSuffix(line, "\n")
		if color != "" {
			text = p.paint(color, text)
		}
		if strings.TrimSpace(line) != "" {
			fmt.Fprintf(b, "      %s\n", text)
		}
	}
}

// indented is a policy over several lines, empty for none.
func indented(policy string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(policy), "", "  ") != nil {
		return policy
	}
	return b.String()
}
