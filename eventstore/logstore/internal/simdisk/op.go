package simdisk

import "fmt"

// A Kind is a kind of operation on a [Disk].
type Kind uint8

// Kinds of operations. Those before Read change the disk and are in its
// journal, failed syncs included. The others can only fail.
const (
	Create Kind = iota + 1
	Write
	Truncate
	Sync // Datasync
	Rename
	Link
	Remove
	SyncDir
	MkdirAll
	Read
	Map
	Open // of a file that exists
	ReadDir
)

var kindNames = [...]string{
	"", "create", "write", "truncate", "sync", "rename", "link", "remove", "sync directory", "make directory",
	"read", "map", "open", "read directory",
}

func (k Kind) String() string { return kindNames[k] }

// An Op is one operation.
type Op struct {
	Kind   Kind
	Path   string // relative to the disk's directory
	To     string // of a Rename or Link
	Off    int64  // of a Write or Read
	Len    int64  // of a Write, Read or Map; the new size of a Truncate
	Failed bool   // of a Sync or SyncDir
}

// String returns op as a line of a log.
func (op Op) String() string {
	s := fmt.Sprintf("%s %s", op.Kind, op.Path)
	switch op.Kind {
	case Write, Read:
		s += fmt.Sprintf(" [%d, %d)", op.Off, op.Off+op.Len)
	case Truncate, Map:
		s += fmt.Sprintf(" to %d", op.Len)
	case Rename, Link:
		s += " to " + op.To
	}
	if op.Failed {
		s += ", which fails"
	}
	return s
}
