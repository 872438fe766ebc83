// Package simulation runs the whole operator in one process, on one seed: the real controllers,
// engine and cloud clients between an API server in memory, with caches that lag, and the fake
// clouds, by a clock of its own. Two managers share a lease; either can be killed or frozen at any
// step. Users edit, suspend, delete and restore objects, other people change roles by hand, and
// calls fail in every way, once or for ever. After each write to a cloud, and when everything has
// come to rest, oracles hold the world against the rules that the operator promises to keep.
//
// A seed makes a Case, a list of short text lines; a Case always runs in the same way. A Case that
// breaks a rule is shrunk and printed, ready to be pasted into the table in regressions_test.go.
//
// To add an oracle, write a function like those in oracles.go or rest.go and list it there. To add
// something that happens, write a function like those in actors.go, list it in actions, and have
// generate.go use it. docs/reliability.md says how to run it and how to read what it prints.
package simulation
