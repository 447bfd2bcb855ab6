package projection

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"math"
)

// PageOptions choose a page of the members of one key. The zero value is the
// first 100, lowest score first, equal scores by member.
type PageOptions struct {
	After    string   // Next of the page before; "" begins
	Limit    int      // at most so many; 100 by default
	Reverse  bool     // highest score first
	Min, Max *float64 // lowest and highest score, inclusive; nil is open
}

const defaultPage = 100

// A Page is a part of the members of one key. Its cursor says after which
// member it ends, not how many came before: whatever is added or removed
// meanwhile, a member that keeps its score is on exactly one page, and one that
// is new is on a later page if it belongs there.
type Page struct {
	Members []Member
	Next    string // cursor of the next page; "" when this was the last
}

// pageOf reads one member more than the page has, to know whether that is all.
func pageOf(name, key string, opts PageOptions, read func(Range) ([]Member, error)) (Page, error) {
	limit := opts.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	r := Range{Min: opts.Min, Max: opts.Max, Reverse: opts.Reverse, Limit: limit + 1}
	check := cursorCheck(name, key, opts.Reverse)
	if opts.After != "" {
		after, err := parseCursor(opts.After, check)
		if err != nil {
			return Page{}, err
		}
		r.After = &after
	}
	members, err := read(r)
	if err != nil {
		return Page{}, err
	}
	p := Page{Members: members}
	if len(members) > limit {
		p.Members = members[:limit:limit]
		p.Next = formatCursor(p.Members[limit-1], check)
	}
	return p, nil
}

// A cursor is, in base64: a version, a checksum of all else and of what is
// paged, the score, the member.
const (
	cursorVersion = 1
	cursorHead    = 1 + 4
	cursorLength  = cursorHead + 8 // and the member
)

// cursorCheck begins the checksum of the cursors of one key and direction.
func cursorCheck(name, key string, reverse bool) uint32 {
	b := binary.AppendUvarint(nil, uint64(len(name)))
	b = append(append(b, name...), key...)
	if reverse {
		b = append(b, 1)
	}
	return crc32.ChecksumIEEE(b)
}

func formatCursor(m Member, check uint32) string {
	b := make([]byte, cursorLength, cursorLength+len(m.Member))
	b[0] = cursorVersion
	binary.BigEndian.PutUint64(b[cursorHead:], math.Float64bits(m.Score))
	b = append(b, m.Member...)
	binary.BigEndian.PutUint32(b[1:], crc32.Update(check, crc32.IEEETable, b[cursorHead:]))
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseCursor(cursor string, check uint32) (Member, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) < cursorLength || b[0] != cursorVersion {
		return Member{}, &CursorError{Cursor: cursor, Reason: "is not one that a page has given"}
	}
	if binary.BigEndian.Uint32(b[1:]) != crc32.Update(check, crc32.IEEETable, b[cursorHead:]) {
		return Member{}, &CursorError{Cursor: cursor, Reason: "is damaged, or from another key or direction"}
	}
	score := math.Float64frombits(binary.BigEndian.Uint64(b[cursorHead:]))
	if math.IsNaN(score) {
		return Member{}, &CursorError{Cursor: cursor, Reason: "is not one that a page has given"}
	}
	return Member{Member: string(b[cursorLength:]), Score: score}, nil
}
