package simulation

// Known are the defects that are known and not mended yet. Each keeps the simulation from doing
// what leads to it, or an oracle from judging it, so that new ones stand out; to see one, take it
// out of the list.
type Known map[string]bool

// The known defects, each with where it is described.
const (
	restoredStatus = "adversary 10: a restored status"
	absentPolicy   = "adversary 16: an absent policy wipes what others added"
	madeAnew       = "adversary 25: a role that was dropped and made anew by hand"

	lateAdds      = "simulation 5: what was added without an answer and has left the spec since is forgotten before it can have arrived"
	dropRefused   = "simulation 6: a member who cannot be removed keeps what a deleted role gives"
	policyRace    = "simulation 7: a statement that somebody adds during a pass is overwritten"
	refusedCounts = "simulation 3: a grant that was refused counts as given"
)

// AllKnown are all of them.
var AllKnown = Known{
	restoredStatus: true, absentPolicy: true, madeAnew: true, refusedCounts: true, lateAdds: true, dropRefused: true, policyRace: true,
}
