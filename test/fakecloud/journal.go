package fakecloud

import (
	"slices"
	"time"
)

// What a Change does.
const (
	ChangeGrant        = "grant"
	ChangeRevoke       = "revoke"
	ChangeCreateRole   = "createRole"
	ChangeDropRole     = "dropRole"
	ChangeAddMember    = "addMember"
	ChangeRemoveMember = "removeMember"
	ChangeSetPolicy    = "setPolicy"

	ChangeCreatePackage   = "createPackage"
	ChangeDropPackage     = "dropPackage"
	ChangeAddResource     = "addResource"
	ChangeRemoveResource  = "removeResource"
	ChangeAllowProject    = "allowProject"
	ChangeDisallowProject = "disallowProject"
	ChangeInstall         = "install"
	ChangeUninstall       = "uninstall"

	ChangeCreateOrder   = "createOrder"
	ChangeWithdrawOrder = "withdrawOrder"
	ChangeRevokeTable   = "revokeTable"
)

// Change is one effect of a call on the state. Effects that were there already are left out: a
// second identical GRANT has no changes.
type Change struct {
	Change     string   `json:"change"`
	Role       string   `json:"role"`
	Kind       string   `json:"kind,omitempty"`
	SchemaName string   `json:"schemaName,omitempty"`
	Name       string   `json:"name,omitempty"`
	Actions    []string `json:"actions,omitempty"`
	Principal  string   `json:"principal,omitempty"`
	// Policy is the new document of a role; empty if it was taken away.
	Policy string `json:"policy,omitempty"`
	// Package is the package that the change is about; of an installed one, with its project in front.
	Package string `json:"package,omitempty"`
	// Allowed is the project that may or may no longer install the package, Label its level.
	Allowed string `json:"allowed,omitempty"`
	Label   int    `json:"label,omitempty"`
	// Order is the permission request that was made or withdrawn.
	Order string `json:"order,omitempty"`
}

func grantChange(change, role string, g Grant, actions []string) Change {
	return Change{
		Change: change, Role: role, Kind: g.Kind, SchemaName: g.SchemaName, Name: g.Name,
		Actions: slices.Clone(actions),
	}
}

// Entry is one API call in the journal.
type Entry struct {
	// Seq counts from 1 and never starts again.
	Seq  int       `json:"seq"`
	Time time.Time `json:"time"`
	// Service is maxcompute (the OpenAPI), odps, sts, dataworks, insight or iam.
	Service string `json:"service"`
	// Action is the action of the OpenAPI, the token service or DataWorks, or Statement or PollStatement, or
	// ExportResourcePackage, ListInstances or CreateToken.
	Action  string `json:"action"`
	Project string `json:"project,omitempty"`
	// Role is the project's role that the call is about; of a call of sts, the ARN of the RAM role.
	Role string `json:"role,omitempty"`
	// Package is the package that the call is about; of an installed one, with its project in front; of an export, its
	// name.
	Package string `json:"package,omitempty"`
	// Order is the permission request that the call is about, Orders are those that it made.
	Order     string   `json:"order,omitempty"`
	Orders    []string `json:"orders,omitempty"`
	Statement string   `json:"statement,omitempty"`
	// Workspace and Exported are what an export is about; the latter are resources, like dashboard/1a2b.
	Workspace string   `json:"workspace,omitempty"`
	Exported  []string `json:"exported,omitempty"`
	// BytesSent is how much of the body was sent, and Completed that all of it was; of insight and iam only. The journal
	// is ahead of the network: a client that has read a body finds it here.
	BytesSent int64 `json:"bytesSent,omitempty"`
	Completed bool  `json:"completed,omitempty"`
	// Write tells that the call asks for a change. To ask for a session is none.
	Write bool `json:"write"`
	// Applied tells that the change was accepted and made, even if there was nothing to change and
	// even if the client never saw the reply. It is false for a write that PolicySticky ignored.
	Applied bool `json:"applied"`
	// Status is 0 if nothing was sent.
	Status int `json:"status"`
	// Code is the error code that was sent.
	Code string `json:"code,omitempty"`
	// Fault names the injected fault that decided the outcome.
	Fault       string `json:"fault,omitempty"`
	AccessKeyID string `json:"accessKeyID,omitempty"`
	// Caller is the ARN of the RAM role behind a temporary access key, or the subject of the token
	// that an anonymous call carries; of insight and iam, the user, like domain/name.
	Caller    string   `json:"caller,omitempty"`
	RequestID string   `json:"requestID"`
	Changes   []Change `json:"changes,omitempty"`
}

type journal struct {
	entries []Entry
	last    int
}

// next is the number that the next entry will have.
func (j *journal) next() int { return j.last + 1 }

func (j *journal) add(e Entry) int {
	j.last++
	e.Seq = j.last
	j.entries = append(j.entries, e)
	return e.Seq
}

// entry returns the entry with a number, or nil if it was forgotten.
func (j *journal) entry(seq int) *Entry {
	if len(j.entries) == 0 || seq < j.entries[0].Seq {
		return nil
	}
	return &j.entries[seq-j.entries[0].Seq]
}

// Journal returns every API call since the start or the last ResetJournal, in the order in which
// they took effect. The caller must not modify the changes within.
func (s *Server) Journal() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.journal.entries)
}

// ResetJournal forgets the calls so far. Sequence numbers go on.
func (s *Server) ResetJournal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal.entries = nil
}

// Writes returns the calls that asked for a change, whether or not it was made.
func (s *Server) Writes() []Entry {
	return slices.DeleteFunc(s.Journal(), func(e Entry) bool { return !e.Write })
}

// Count returns how many calls with the given action are in the journal.
func (s *Server) Count(action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for i := range s.journal.entries {
		if s.journal.entries[i].Action == action {
			n++
		}
	}
	return n
}

// LastSeq returns the number of the latest entry, for use as a point in time.
func (s *Server) LastSeq() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.last
}

// Violations returns what was asked of the server that no correct client asks. Tests assert that
// it is empty.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

// ResetViolations forgets them.
func (s *Server) ResetViolations() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violations = nil
}

// MaxInFlight returns the largest number of API calls that were under way at once.
func (s *Server) MaxInFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maxFlight
}
