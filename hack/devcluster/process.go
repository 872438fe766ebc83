//go:build unix

package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// stopGrace is how long a program may take to end by itself before it is killed.
	stopGrace = 15 * time.Second
	killGrace = 5 * time.Second
)

// process is a program in the background. It is found again through its pid file, and a pid is believed only while that
// process's command line holds program and mark: after a crash the system may have given the number to something else.
type process struct {
	program, pidFile, logFile string
	mark                      string
}

// start runs the program in a session of its own, so that neither Ctrl-C nor the end of this command reaches it. The
// channel delivers an error if the program ends while this command still runs.
func (p process) start(path string, args ...string) (<-chan error, error) {
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // nothing was written through this descriptor

	cmd := exec.Command(path, args...) //nolint:noctx // it has to outlive every context of this command
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(p.pidFile, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill())
	}
	exited := make(chan error, 1)
	go func() {
		err := cmp.Or(cmd.Wait(), errors.New("exit status 0"))
		exited <- fmt.Errorf("%s ended: %w; the end of its log:\n%s", p.program, err, tail(p.logFile, 10))
	}()
	return exited, nil
}

// pid is 0 if the process does not run.
func (p process) pid() int {
	content, err := os.ReadFile(p.pidFile)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid <= 1 {
		return 0
	}
	if line := commandLine(pid); strings.Contains(line, p.program) && strings.Contains(line, p.mark) {
		return pid
	}
	return 0
}

// stop returns once the process is gone.
func (p process) stop() error {
	pid := p.pid()
	if pid == 0 {
		return nil
	}
	for _, attempt := range []struct {
		signal syscall.Signal
		grace  time.Duration
	}{{syscall.SIGTERM, stopGrace}, {syscall.SIGKILL, killGrace}} {
		if err := syscall.Kill(pid, attempt.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop %s (pid %d): %w", p.program, pid, err)
		}
		for deadline := time.Now().Add(attempt.grace); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if p.pid() == 0 {
				return nil
			}
		}
	}
	return fmt.Errorf("%s (pid %d) does not stop", p.program, pid)
}

// commandLine is empty if there is no such process, or only its remains that nobody has waited for.
func commandLine(pid int) string {
	if content, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline")); err == nil {
		return string(bytes.ReplaceAll(content, []byte{0}, []byte{' '}))
	}
	if _, err := os.Stat("/proc/self"); err == nil {
		return ""
	}
	// macOS has no /proc.
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output() //nolint:noctx // needed to stop things after the context has ended
	if err != nil {
		return ""
	}
	return string(out)
}

func tail(file string, lines int) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
