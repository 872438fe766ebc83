package main

import "testing"

// TestLeaseName: managers that see different objects must be able to work at the same time, replicas of one must not.
func TestLeaseName(t *testing.T) {
	a, b := leaseName(flags{watchLabelSelector: "shard=a"}), leaseName(flags{watchLabelSelector: "shard=b"})
	team := leaseName(flags{watchNamespaces: "team"})
	if a == b || a == team || a == leaseName(flags{}) {
		t.Errorf("one lease for different objects: %s, %s, %s", a, b, team)
	}
	if a != leaseName(flags{watchLabelSelector: "shard=a"}) || leaseName(flags{}) != leaderElectionID {
		t.Error("the replicas of one manager do not agree on a lease")
	}
}
