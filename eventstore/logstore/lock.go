package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/foldstream/foldstream/eventstore"
)

const lockFile = "lock"

// lockDir makes this process the only one that has dir open.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errors.New("it is open already, here or in another process; close it there first")
		}
		return nil, &eventstore.UnavailableError{Op: "open " + dir, Err: err}
	}
	return f, nil
}

// unlockDir gives the directory back. A process that is just being started may
// hold a copy of the descriptor for a moment, so that closing is not enough.
func unlockDir(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

var segmentName = regexp.MustCompile(`^\d{20}\` + segmentSuffix + `$`)

// listSegments returns the segments of dir in the order of positions, and what
// a crash while one was made has left. A directory that holds other things and
// no segment is somebody else's.
func listSegments(dir string) (segments, leftovers []string, err error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, nil, fmt.Errorf("list segments: %w", err)
	}
	foreign := ""
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch name := e.Name(); {
		case segmentName.MatchString(name):
			segments = append(segments, path)
		case segmentName.MatchString(strings.TrimSuffix(name, ".tmp")):
			leftovers = append(leftovers, path)
		case name != lockFile:
			foreign = name
		}
	}
	if len(segments) == 0 && foreign != "" {
		return nil, nil, &eventstore.InvalidError{
			What: "directory", Value: dir,
			Remedy: fmt.Sprintf("it holds %s and no segment of a log; choose a directory that is empty or does not exist", foreign),
		}
	}
	return segments, leftovers, nil
}
