package simulation

// Known are the defects that are known and not mended yet. Each keeps the simulation from doing what leads to it, or an oracle
// from judging it, so that new ones stand out; to see one, take it out of the list.
type Known map[string]bool

// The known defects, each with where it is described.
const (
	failingGrant   = "adversary 1: a failing step that adds blocks revocations"
	takeover       = "adversary 2: taking over without access"
	unstoppable    = "adversary 3: a pass cannot be stopped"
	tooMuch        = "adversary 5: a status that cannot be stored"
	twoNames       = "adversary 7: two names of one service"
	restoredStatus = "adversary 10: a restored status"
	absentPolicy   = "adversary 16: an absent policy wipes what others added"
	madeAnew       = "adversary 25: a role that was dropped and made anew by hand"

	movedName     = "simulation 1: who owns a name here lets go of what was made there"
	madeForgotten = "simulation 2: an edit in the moment of a create makes it forget that it made the role"
	refusedCounts = "simulation 3: a grant that was refused counts as given"
)

// AllKnown are all of them.
var AllKnown = Known{
	failingGrant: true, takeover: true, unstoppable: true, tooMuch: true, twoNames: true, restoredStatus: true, absentPolicy: true, madeAnew: true,
	movedName: true, madeForgotten: true, refusedCounts: true,
}
