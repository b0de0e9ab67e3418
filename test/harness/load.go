package harness

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Shares is how many processes have shared a core in the last minute, and one at least. The clusters of other tests run beside
// a test, and the first time everything is compiled.
func Shares() float64 {
	average, err := os.ReadFile("/proc/loadavg")
	if err != nil { // no Linux
		return 1
	}
	return shares(string(average), runtime.NumCPU())
}

func shares(average string, cores int) float64 {
	lastMinute, _, _ := strings.Cut(average, " ")
	load, err := strconv.ParseFloat(lastMinute, 64)
	if err != nil {
		return 1
	}
	return max(load/float64(cores), 1)
}

// Patience is how long a test may wait now for what takes this time on an idle machine: four times as long at most.
func Patience(idle time.Duration) time.Duration {
	return time.Duration(float64(idle) * min(Shares(), 4))
}
