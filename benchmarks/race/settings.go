package race

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

// Settings are the flags of the programs that run races.
type Settings struct {
	Reps    int
	Span    time.Duration
	Quick   bool
	Only    string
	Dir     string
	GOGC    int
	Raw     bool
	Profile string
}

// Flags defines them.
func (s *Settings) Flags(fs *flag.FlagSet) {
	fs.IntVar(&s.Reps, "reps", 5, "repetitions, of which the median counts, after one to warm up")
	fs.DurationVar(&s.Span, "time", 200*time.Millisecond, "how long a repetition takes")
	fs.BoolVar(&s.Quick, "quick", false, "one short repetition of little, to see whether everything works")
	fs.StringVar(&s.Only, "only", "", "only rows whose name contains this")
	fs.StringVar(&s.Dir, "dir", "", "directory for temporary files, on the disk to be measured; the system's by default")
	fs.IntVar(&s.GOGC, "gogc", 400, "garbage collection target in percent, as GOGC, the same for all")
	fs.BoolVar(&s.Raw, "raw", false, "print the rate of each repetition too")
	fs.StringVar(&s.Profile, "cpuprofile", "", "file to write a CPU profile to")
}

// Check refuses what makes no sense.
func (s *Settings) Check(rows []Row) error {
	switch {
	case s.Reps < 1 || s.Span <= 0:
		return errors.New("-reps and -time must be above 0")
	case len(s.chosen(rows)) == 0:
		return fmt.Errorf("-only %q: no row's name contains it", s.Only)
	}
	return nil
}

// Sizes are what the workloads are to be filled with.
func (s *Settings) Sizes() Sizes {
	if s.Quick {
		return Sizes{Orders: 32, Each: 1, Long: 1}
	}
	return Sizes{Orders: 512, Each: 4, Long: 16}
}

// Run races the rows that were asked for and prints the table to stdout and
// each repetition to stderr.
func (s *Settings) Run(ctx context.Context, rows []Row, stdout, stderr io.Writer) (err error) {
	reps, span := s.Reps, s.Span
	if s.Quick {
		reps, span = 1, 5*time.Millisecond
	}
	defer debug.SetGCPercent(debug.SetGCPercent(s.GOGC))
	dir, err := os.MkdirTemp(s.Dir, "foldstream-race")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	stop, err := s.profile()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	before := Machine()
	results, err := Run(ctx, s.chosen(rows), Options{Reps: reps, Span: span, Cold: s.Quick, Dir: dir, Tell: func(format string, a ...any) {
		_, _ = fmt.Fprintf(stderr, format+"\n", a...)
	}})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(stdout, "%s before, %s after; GOGC %d; medians of %d repetitions of %v\n", before, Load(), s.GOGC, reps, span); err != nil {
		return err
	}
	return Print(stdout, results, s.Raw)
}

func (s *Settings) chosen(rows []Row) []Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return !strings.Contains(r.Name, s.Only) })
}

func (s *Settings) profile() (stop func() error, err error) {
	if s.Profile == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(s.Profile)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}
