package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/logstore/internal/disk"
)

const lockFile = "lock"

// lockDir makes this process the only one that has dir open for writing.
func lockDir(fsys disk.FS, dir string) (disk.File, error) {
	f, err := fsys.Open(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	ok, err := f.TryLock()
	if ok {
		return f, nil
	}
	if err == nil {
		err = errors.New("it is open already, here or in another process; close it there first")
	}
	return nil, errors.Join(&eventstore.UnavailableError{Op: "open " + dir, Err: err}, f.Close())
}

var segmentName = regexp.MustCompile(`^\d{20}\` + segmentSuffix + `$`)

// A listing is what a store's directory holds, each in the order of positions.
type listing struct {
	segments  []string
	indexes   map[string]bool // by path
	leftovers []string        // of what a crash has interrupted
}

// list returns what dir holds. A directory that holds other things and no
// segment is somebody else's.
func list(fsys disk.FS, dir string) (listing, error) {
	entries, err := fsys.ReadDir(dir) // sorted by name
	if err != nil {
		return listing{}, fmt.Errorf("list segments: %w", err)
	}
	l := listing{indexes: make(map[string]bool)}
	foreign := ""
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		bare, isTmp := strings.CutSuffix(e.Name(), tmpSuffix)
		asIndex, isIndex := strings.CutSuffix(bare, indexSuffix)
		if isIndex {
			bare = asIndex + segmentSuffix
		}
		switch {
		case !segmentName.MatchString(bare):
			if e.Name() != lockFile {
				foreign = e.Name()
			}
		case isTmp:
			l.leftovers = append(l.leftovers, path)
		case isIndex:
			l.indexes[path] = true
		default:
			l.segments = append(l.segments, path)
		}
	}
	if len(l.segments) == 0 && foreign != "" {
		return listing{}, &eventstore.InvalidError{
			What: "directory", Value: dir,
			Remedy: fmt.Sprintf("it holds %s and no segment of a log; choose a directory that is empty or does not exist", foreign),
		}
	}
	return l, nil
}
