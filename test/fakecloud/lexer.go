package fakecloud

import (
	"net/http"
	"strings"
)

type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenString
	tokenSymbol
)

// token is one word, quoted string or symbol of a statement.
type token struct {
	kind tokenKind
	text string
	pos  int
}

// wordCharacters may follow each other in a word: identifiers, object names with dots and
// wildcards, and principals.
const wordCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_*.$@:/-"

const symbols = ",;()="

// parseProblem is documented ("Alibaba Cloud documentation: MaxCompute SQL errors"): the code with
// line and column, and the offending token.
func parseProblem(at token) *problem {
	what := at.text
	if at.kind == tokenEnd {
		what = "<EOF>"
	}
	return refuse(http.StatusBadRequest, codeParse, "[1,%d] Parse exception - invalid token '%s'", at.pos+1, what)
}

// tokenize splits a statement. There are no comments: "--" and "/*" are refused.
func tokenize(text string) ([]token, *problem) {
	var out []token
	for i := 0; i < len(text); {
		ch := text[i]
		switch {
		case strings.IndexByte(" \t\r\n", ch) >= 0:
			i++
		case strings.IndexByte(symbols, ch) >= 0:
			out = append(out, token{tokenSymbol, text[i : i+1], i})
			i++
		case ch == '\'' || ch == '"':
			end := strings.IndexByte(text[i+1:], ch)
			if end < 0 {
				return nil, parseProblem(token{tokenString, text[i:], i})
			}
			out = append(out, token{tokenString, text[i+1 : i+1+end], i})
			i += end + 2
		default:
			word := leadingWord(text[i:])
			if word == "" || strings.Contains(word, "--") || strings.Contains(word, "/*") {
				return nil, parseProblem(token{tokenWord, text[i:min(i+max(len(word), 1), len(text))], i})
			}
			out = append(out, token{tokenWord, word, i})
			i += len(word)
		}
	}
	return append(out, token{tokenEnd, "", len(text)}), nil
}

func leadingWord(text string) string {
	end := 0
	for end < len(text) && strings.IndexByte(wordCharacters, text[end]) >= 0 {
		end++
	}
	return text[:end]
}
