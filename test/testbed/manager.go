package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// stopTimeout is how long a manager is given to end.
const stopTimeout = 20 * time.Second

// Manager is the built manager as a process.
type Manager struct {
	// Kubeconfig is that of the manager's service account, as a file.
	Kubeconfig string

	binary, spool string
	flags         []string
	// forget removes the lease, which a killed manager leaves behind: the next one would wait until it has run out.
	forget  func() error
	command *exec.Cmd
	log     *os.File
}

// Start runs the manager with flags beside those of the chart and those that the testbed needs.
func (m *Manager) Start(flags ...string) error {
	if err := m.forget(); err != nil {
		return fmt.Errorf("remove the lease of an earlier manager: %w", err)
	}
	// Not bound to a context: the manager is ended by Stop or Kill, and waited for.
	m.command = exec.Command(m.binary, slices.Concat(m.flags, flags)...) //nolint:noctx // see above
	m.command.Env = append(os.Environ(), "KUBECONFIG="+m.Kubeconfig, "TMPDIR="+m.spool)
	// Libraries may print, too.
	m.command.Stdout, m.command.Stderr = m.log, m.log
	return m.command.Start()
}

// Replica returns another replica of the manager, which does not run yet. Started while the manager runs, it waits for the lease.
func (m *Manager) Replica() *Manager {
	return &Manager{Kubeconfig: m.Kubeconfig, binary: m.binary, spool: m.spool, flags: m.flags, log: m.log, forget: func() error { return nil }}
}

// Stop asks the manager to end and waits for it. A manager that does not run is left alone.
func (m *Manager) Stop() { m.end(syscall.SIGTERM) }

// Kill ends the manager at once, as a crash does.
func (m *Manager) Kill() { m.end(syscall.SIGKILL) }

// Await waits for a manager to end by itself, as one does that has lost its lease, and kills it if
// it does not.
func (m *Manager) Await() { m.end(syscall.Signal(0)) }

// Freeze stops the manager in the middle of whatever it does, and returns when it stands still. Its
// connections stay open.
func (m *Manager) Freeze() error {
	if err := m.command.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	_, err := syscall.Wait4(m.command.Process.Pid, nil, syscall.WUNTRACED, nil)
	return err
}

// Thaw lets a frozen manager go on where it was.
func (m *Manager) Thaw() error { return m.command.Process.Signal(syscall.SIGCONT) }

func (m *Manager) end(signal os.Signal) {
	if m.command == nil {
		return
	}
	// A manager whose caches cannot be filled does not end when it is asked to.
	late := time.AfterFunc(stopTimeout, func() { _ = m.command.Process.Kill() }) //nolint:errcheck // it may have ended
	defer late.Stop()
	// It may have ended by itself, and how it ended does not matter.
	_ = errors.Join(m.command.Process.Signal(signal), m.command.Wait()) //nolint:errcheck // see above
	m.command = nil
}

// Output is what the manager has logged and printed so far.
func (m *Manager) Output() string {
	text, err := os.ReadFile(m.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}
