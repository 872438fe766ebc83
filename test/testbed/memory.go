package testbed

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Memory is what a process holds of the machine's memory, in MiB.
type Memory struct {
	// Resident is what it holds now, Peak the most that it has held.
	Resident, Peak float64
}

// Memory reads what the manager holds. Only Linux tells it.
func (m *Manager) Memory() (Memory, error) {
	if m.command == nil {
		return Memory{}, errors.New("the manager does not run")
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.command.Process.Pid))
	if err != nil {
		return Memory{}, err
	}
	var memory Memory
	for line := range strings.Lines(string(text)) {
		switch name, value, _ := strings.Cut(line, ":"); name {
		case "VmRSS":
			memory.Resident, err = mebibytes(value)
		case "VmHWM":
			memory.Peak, err = mebibytes(value)
		}
		if err != nil {
			return Memory{}, err
		}
	}
	return memory, nil
}

// mebibytes reads a line such as "  52480 kB".
func mebibytes(value string) (float64, error) {
	kibibytes, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
	return kibibytes / 1024, err
}
