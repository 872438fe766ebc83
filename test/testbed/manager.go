package testbed

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// stopTimeout is how long a manager is given to end.
const stopTimeout = 20 * time.Second

// Manager is the built manager as a process.
type Manager struct {
	binary, kubeconfig string
	exports, spool     string
	command            *exec.Cmd
	log                *os.File
}

// Start runs the manager with flags beside those that the testbed needs.
func (m *Manager) Start(flags ...string) error {
	// Not bound to a context: the manager is ended by Stop or Kill, and waited for.
	m.command = exec.Command(m.binary, append([]string{"--allow-insecure-endpoints", "--health-probe-bind-address=0", "--export-directory=" + m.exports}, flags...)...) //nolint:noctx // see above
	m.command.Env = append(os.Environ(), "KUBECONFIG="+m.kubeconfig, "TMPDIR="+m.spool)
	// Libraries may print, too.
	m.command.Stdout, m.command.Stderr = m.log, m.log
	return m.command.Start()
}

// Stop asks the manager to end and waits for it. A manager that does not run is left alone.
func (m *Manager) Stop() { m.end(syscall.SIGTERM) }

// Kill ends the manager at once, as a crash does.
func (m *Manager) Kill() { m.end(syscall.SIGKILL) }

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
