package insight

import (
	"mime"
	"regexp"
	"strings"
)

var (
	// extensions are one or two parts of letters and digits, each with a letter: the digits after a dot are a date or a version.
	extensions = regexp.MustCompile(`^(\.[0-9]{0,15}[A-Za-z][A-Za-z0-9]{0,15}){1,2}$`)
	// archive is an extension with the part before it that belongs to it.
	archive = regexp.MustCompile(`(?i)\.tar\.[0-9A-Za-z]+$`)
)

// maxPart bounds each part of an extension.
const maxPart = 16

// extension finds the extension of the file that a Content-Disposition names: what comes after the name of the package, or else the last
// one. It is empty if there is any doubt: it becomes part of a file's name.
func extension(disposition, packageName string) string {
	_, params, err := mime.ParseMediaType(disposition)
	if err != nil {
		return ""
	}
	name := params["filename"]
	rest, named := strings.CutPrefix(name, packageName)
	if named && packageName != "" && (rest == "" || isExtension(rest)) {
		return rest
	}
	last := archive.FindString(name)
	if dot := strings.LastIndexByte(name, '.'); last == "" && dot >= 0 {
		last = name[dot:]
	}
	if !isExtension(last) {
		return ""
	}
	return last
}

func isExtension(text string) bool {
	if !extensions.MatchString(text) {
		return false
	}
	for part := range strings.SplitSeq(text[1:], ".") {
		if len(part) > maxPart {
			return false
		}
	}
	return true
}
