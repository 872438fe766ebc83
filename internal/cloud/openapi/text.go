package openapi

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// text makes the service's words fit for an error.
func (a *Answer) text(words string) string {
	for _, secret := range a.secrets {
		words = strings.ReplaceAll(words, secret, "…")
	}
	return clean(words)
}

// shortestPart is how long a part of a secret is that is worth hiding; anything shorter may be a word.
const shortestPart = 16

// Hide keeps secrets out of every text that is made of the answer.
func (a *Answer) Hide(secrets ...string) {
	for _, secret := range secrets {
		a.secrets = append(a.secrets, secret)
		// Of a signed token each part is one, what it says and its signature.
		for part := range strings.SplitSeq(secret, ".") {
			if len(part) >= shortestPart {
				a.secrets = append(a.secrets, part)
			}
		}
	}
	a.secrets = slices.DeleteFunc(a.secrets, func(secret string) bool { return secret == "" })
	// The longer first: one may be part of another.
	slices.SortStableFunc(a.secrets, func(a, b string) int { return len(b) - len(a) })
}

// secretsOf lists what a request carries in its headers and nobody may read: tokens, and the signature in and out of its header.
func secretsOf(request *http.Request) []string {
	var secrets []string
	for name, values := range request.Header {
		switch strings.ToLower(name) {
		case "authorization":
			secrets = append(secrets, values...)
			for _, value := range values {
				secrets = append(secrets, value[strings.LastIndexAny(strings.TrimRight(value, "="), ":=")+1:])
			}
		case "authorization-sts-token", "x-acs-security-token", "x-auth-token", "x-security-token":
			secrets = append(secrets, values...)
		}
	}
	return secrets
}

var (
	// signed is the text that a signature was made of, which some refusals repeat. It holds the security token.
	signed = regexp.MustCompile(`(?is)[\s,.;:(\[]*\b(server |client )?string[ _-]?to[ _-]?sign\b.*`)
	// ids are what differs from one failure to the next of the same kind.
	ids = regexp.MustCompile(`(?i)[\s,.;(\["']*\b(request|context|trace|host)[ _-]?id["']?\s*[:=]?\s*["']?[\w-]*["']?[\])]?`)
	// times and addresses do, too.
	times     = regexp.MustCompile(`\b(\d{4}-\d{2}-\d{2}[T ]|[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} )?\d{1,2}:\d{2}:\d{2}(\.\d+)?( ?(GMT|UTC|Z)\b|[+-]\d{2}:?\d{2}\b)?`)
	addresses = regexp.MustCompile(`\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b`)
	// longTokens are instance ids, request ids and anything else that is long and random.
	longTokens = regexp.MustCompile(`\b[0-9A-Fa-f-]{20,}\b|\b[0-9]{10,}[0-9a-z]*\b`)
	// spaces include line breaks: messages are one line.
	spaces = regexp.MustCompile(`\s+`)
)

// clean makes a service's message fit for a condition: the same from call to call, on one line, not too long.
func clean(message string) string {
	message = signed.ReplaceAllString(message, "")
	message = ids.ReplaceAllString(message, "")
	for _, volatile := range []*regexp.Regexp{times, addresses, longTokens} {
		message = volatile.ReplaceAllString(message, "…")
	}
	message = strings.TrimSpace(spaces.ReplaceAllString(message, " "))
	if runes := []rune(message); len(runes) > 400 {
		message = string(runes[:400]) + "…"
	}
	return message
}
