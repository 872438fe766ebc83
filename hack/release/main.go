// Command release makes of built programs what a release consists of: an OCI image layout, software bills of materials, and checksums. The
// same input gives the same bytes. It knows no clock: the time in what it writes is SOURCE_DATE_EPOCH.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"
)

const usage = `usage: release COMMAND, which is one of
  version VERSION                      fail unless VERSION is a semantic version with a leading v
  image -out FILE -version VERSION -revision COMMIT MANAGER...
                                       write an OCI image layout with one image for each manager
  sbom -version VERSION PROGRAM...     write PROGRAM.cdx.json beside each program
  date DIRECTORY                       give all files below a directory the time SOURCE_DATE_EPOCH
  sums DIRECTORY                       write SHA256SUMS of all files in a directory
  check -version VERSION DIRECTORY     check what is in a directory against what a release must be`

// semver is the pattern of semver.org for versions, with a leading v, and without build metadata, which image tags cannot hold.
var semver = regexp.MustCompile(
	`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?$`)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet("release "+args[0], flag.ContinueOnError)
	out := flags.String("out", "", "file to write")
	version := flags.String("version", "", "version of the release")
	revision := flags.String("revision", "", "commit of the release")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	rest := flags.Args()
	if len(rest) == 0 {
		return errors.New(usage)
	}
	switch args[0] {
	case "version":
		return checkVersion(rest[0])
	case "sums":
		return writeSums(rest[0])
	case "check":
		return check(rest[0], *version)
	}
	at, err := releaseTime()
	if err != nil {
		return err
	}
	switch args[0] {
	case "image":
		return writeImage(*out, rest, release{version: *version, revision: *revision, at: at})
	case "sbom":
		return writeSBOMs(rest, *version, at)
	case "date":
		return date(rest[0], at)
	}
	return errors.New(usage)
}

// release is what a release says of itself.
type release struct {
	version, revision string
	at                time.Time
}

func checkVersion(version string) error {
	if !semver.MatchString(version) {
		return fmt.Errorf("VERSION must be a semantic version with a leading v, such as v0.1.0 or v0.2.0-rc.1, not %q", version)
	}
	return nil
}

// releaseTime reads SOURCE_DATE_EPOCH: https://reproducible-builds.org/specs/source-date-epoch/.
func releaseTime() (time.Time, error) {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return time.Time{}, errors.New("SOURCE_DATE_EPOCH must be a number of seconds since 1970")
	}
	return time.Unix(seconds, 0).UTC(), nil
}
