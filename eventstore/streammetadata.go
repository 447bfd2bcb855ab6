package eventstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// Types and streams that stores write themselves, named as in EventStoreDB.
const (
	TypeStreamMetadata = "$metadata"
	TypeTombstone      = "$streamDeleted"
)

// DeletedStream is the TruncateBefore of a soft-deleted stream.
const DeletedStream Version = math.MaxInt64 + 1

// StreamMetadata limits what can be read of a stream, see
// https://developers.eventstore.com/server/v24.10/features/streams.html#metadata-and-reserved-names.
// It never changes versions. The zero value limits nothing.
type StreamMetadata struct {
	MaxCount       uint64        // only the last so many events are readable; 0 means all
	MaxAge         time.Duration // events older than this are not readable; whole seconds; 0 means all
	TruncateBefore Version       // events with lower versions are not readable
	CacheControl   time.Duration // kept for HTTP front ends; whole seconds
	ACL            *ACL          // kept for stores and servers that have users
	Custom         map[string]json.RawMessage
}

// An ACL lists the users and roles that may do something with a stream. A nil
// list leaves it to the store's default; an empty one lets nobody but
// administrators.
type ACL struct {
	Read, Write, Delete, MetaRead, MetaWrite []string
}

// Deleted reports whether the stream is soft-deleted.
func (m StreamMetadata) Deleted() bool { return m.TruncateBefore >= DeletedStream }

type roles []string

type aclJSON struct {
	Read      roles `json:"$r,omitzero"`
	Write     roles `json:"$w,omitzero"`
	Delete    roles `json:"$d,omitzero"`
	MetaRead  roles `json:"$mr,omitzero"`
	MetaWrite roles `json:"$mw,omitzero"`
}

// MarshalJSON writes EventStoreDB's form: $maxCount, $maxAge in seconds, $tb
// as a revision, $cacheControl in seconds, $acl, and the custom keys.
func (m StreamMetadata) MarshalJSON() ([]byte, error) {
	out := make(map[string]any, len(m.Custom)+5)
	for k, v := range m.Custom {
		out[k] = v
	}
	if m.MaxCount > 0 {
		out["$maxCount"] = min(m.MaxCount, math.MaxInt64)
	}
	if m.MaxAge > 0 {
		out["$maxAge"] = seconds(m.MaxAge)
	}
	if m.TruncateBefore > 0 {
		out["$tb"] = uint64(min(m.TruncateBefore, DeletedStream)) - 1
	}
	if m.CacheControl > 0 {
		out["$cacheControl"] = seconds(m.CacheControl)
	}
	if m.ACL != nil {
		out["$acl"] = aclJSON{m.ACL.Read, m.ACL.Write, m.ACL.Delete, m.ACL.MetaRead, m.ACL.MetaWrite}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads EventStoreDB's form. A number that is not positive is
// ignored; a value of a wrong type is an error.
func (m *StreamMetadata) UnmarshalJSON(data []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("eventstore: stream metadata is not a JSON object: %w", err)
	}
	var known struct {
		MaxCount, MaxAge, CacheControl int64
		TruncateTo                     *int64
		ACL                            *aclJSON
	}
	for k, into := range map[string]any{ // one by one: the tags of a struct also match keys in other case
		"$maxCount": &known.MaxCount, "$maxAge": &known.MaxAge, "$tb": &known.TruncateTo,
		"$cacheControl": &known.CacheControl, "$acl": &known.ACL,
	} {
		if v, ok := all[k]; ok {
			if err := json.Unmarshal(v, into); err != nil {
				return fmt.Errorf("eventstore: stream metadata: %s: %w", k, err)
			}
		}
	}
	*m = StreamMetadata{
		MaxCount:     uint64(max(known.MaxCount, 0)),
		MaxAge:       duration(known.MaxAge),
		CacheControl: duration(known.CacheControl),
	}
	if tb := known.TruncateTo; tb != nil && *tb >= 0 {
		m.TruncateBefore = Version(*tb) + 1
	}
	if a := known.ACL; a != nil {
		m.ACL = &ACL{a.Read, a.Write, a.Delete, a.MetaRead, a.MetaWrite}
	}
	for _, k := range []string{"$maxCount", "$maxAge", "$tb", "$cacheControl", "$acl"} {
		delete(all, k)
	}
	if len(all) > 0 {
		m.Custom = all
	}
	return nil
}

// UnmarshalJSON accepts one role as a string as well as an array of them.
func (r *roles) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		var one string
		if err := json.Unmarshal(data, &one); err != nil {
			return err
		}
		*r = roles{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return err
	}
	*r = many
	return nil
}

// seconds rounds up, so that a limit below a second does not become none.
func seconds(d time.Duration) int64 { return int64((d-1)/time.Second) + 1 }

func duration(secs int64) time.Duration {
	if secs <= 0 {
		return 0
	}
	return time.Duration(min(secs, int64(math.MaxInt64/time.Second))) * time.Second
}
