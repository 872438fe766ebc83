// Command program stands for the manager in tests: it prints its version, and depends on one module.
package main

import (
	_ "crypto/sha256" // what the module hashes with
	"fmt"

	"github.com/opencontainers/go-digest"
)

// version is set when it is built.
var version = "dev"

func main() {
	if digest.FromString(version) != "" {
		fmt.Println(version)
	}
}
