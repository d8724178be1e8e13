package report

import (
	"os"
	"regexp"
	"runtime"
	"time"
)

var model = regexp.MustCompile(`(?m)^model name\s*: (.*)$`)

// ThisMachine returns the machine of this process, with today's date.
func ThisMachine() Machine {
	cpu := runtime.GOARCH // used if the model is unknown
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := model.FindSubmatch(info); m != nil {
			cpu = string(m[1])
		}
	}
	return Machine{
		CPU:   cpu,
		Cores: runtime.GOMAXPROCS(0),
		Go:    runtime.Version(),
		OS:    runtime.GOOS + "/" + runtime.GOARCH,
		Date:  time.Now().UTC().Format(time.DateOnly),
	}
}
