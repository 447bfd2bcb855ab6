// Package codec maps the Go types of events to the stable type names and
// encodings under which stores keep them.
//
// Names are chosen by the user and never derived from Go types, so that types
// can be renamed and moved. The default encoding is MessagePack with named
// fields, because events live for ever and fields come and go; JSON can be
// chosen for a type or for all. The encoding of an event is recorded as its
// content type, so a store with mixed encodings reads fine.
//
// Old events are not rewritten. [Upcast], [Split] and [Rewrite] say how they are
// read as the types of today, from each schema version to the next; everything
// that reads events goes through them. See docs/codec.md for how to change what
// has been stored.
//
// A type that carries the MarshalMsg and UnmarshalMsg methods which
// github.com/tinylib/msgp generates is encoded through them, several times
// faster; this package does not import the generator.
package codec
