package redisview

import (
	"fmt"
	"strconv"
	"strings"
)

// escape makes a name safe as a part of a key: it cannot end a hash tag, and
// two different lists of names never give the same key.
func escape(name string) string {
	if !strings.ContainsAny(name, "%:{}") {
		return name
	}
	return escaper.Replace(name)
}

var escaper = strings.NewReplacer("%", "%25", ":", "%3A", "{", "%7B", "}", "%7D")

func unescape(name string) string {
	if !strings.Contains(name, "%") {
		return name
	}
	return unescaper.Replace(name)
}

var unescaper = strings.NewReplacer("%25", "%", "%3A", ":", "%7B", "{", "%7D", "}")

func (s *Store) viewKey(view, rest string) string {
	return s.prefix + "{" + escape(view) + "}:" + rest
}

func (s *Store) activeKey(view string) string   { return s.viewKey(view, "active") }
func (s *Store) versionsKey(view string) string { return s.viewKey(view, "versions") }
func (s *Store) notesKey(view string) string    { return s.viewKey(view, "notes") }
func (s *Store) viewsKey() string               { return s.prefix + "views" }
func (s *Store) leaseKey(view, name string) string {
	return s.viewKey(view, "lease:"+escape(name))
}

// base returns what the keys of one partition of one version begin with.
func (s *Store) base(view string, version, partition int) string {
	return fmt.Sprintf("%s{%s:p%02d}:v%d:", s.prefix, escape(view), partition, version)
}

// What follows the base.
const (
	checkpointSuffix = "ck"
	parkedSuffix     = "parked"
	registrySuffix   = "k"
	documentPrefix   = "d:"
	perKeyPrefix     = "x:"
	counterPrefix    = "c:"
	rankingPrefix    = "r:"
	indexPrefix      = "i:"
	setPrefix        = "s:"
)

func indexSuffix(collection, key string) string {
	return indexPrefix + escape(collection) + ":" + key
}

func setSuffix(collection, key string) string {
	return setPrefix + escape(collection) + ":" + key
}

// splitKey is the reverse of indexSuffix and setSuffix.
func splitKey(suffix, prefix string) (collection, key string) {
	collection, key, _ = strings.Cut(strings.TrimPrefix(suffix, prefix), ":")
	return unescape(collection), key
}

// numbers parses decimal numbers between colons, as checkpoints and pointers
// are written.
func numbers(text string, want int) ([]uint64, error) {
	parts := strings.Split(text, ":")
	if len(parts) != want {
		return nil, strconv.ErrSyntax
	}
	ns := make([]uint64, want)
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 64)
		if err != nil {
			return nil, err
		}
		ns[i] = n
	}
	return ns, nil
}
