package race

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Machine is the line that every table begins with.
func Machine() string {
	return fmt.Sprintf("%s, %s/%s, %d CPUs, load %s", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), Load())
}

// Load is the machine's load average, where it is told.
func Load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(data))[:3], " ")
}

// UsedTime returns the processor time that this process has used, which tells
// more than the clock when the machine is shared.
func UsedTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
