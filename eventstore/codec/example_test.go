package codec_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
)

// The events of a library: as they are today, and as they were.
type (
	Lent     struct{ Book, First, Last string }
	Returned struct{ Book string }
	Fined    struct{ Cents int64 }

	LentV1       struct{ Book, Reader string } // had one name
	LentV2       struct{ Book, Name string }   // had it in another field
	Borrowed     struct{ What, Who string }    // was renamed
	ReturnedLate struct {                      // is two facts today
		Book  string
		Cents int64
	}
	LibraryEvent interface{ isLibrary() }
)

func (Lent) isLibrary()     {}
func (Returned) isLibrary() {}
func (Fined) isLibrary()    {}

// read prints what an event that was stored once is today.
func read(c *codec.Codec, name, version, json string) {
	r := eventstore.Recorded{Stream: "book-1", Version: 1, Type: name, ContentType: eventstore.ContentTypeJSON, Data: []byte(json)}
	if version != "" {
		r.Metadata = eventstore.NewMetadata(eventstore.KeySchemaVersion, version)
	}
	v, err := c.Decode(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%T%+v\n", v, v)
}

// Two versions of a type were stored before the one of today. Each is read as
// the next.
func ExampleUpcast() {
	c := codec.New(
		codec.Type[Lent]("book.lent", codec.SchemaVersion(3)),
		codec.Upcast("book.lent", 1, func(old LentV1) LentV2 { return LentV2{old.Book, old.Reader} }),
		codec.Upcast("book.lent", 2, func(old LentV2) Lent {
			first, last, _ := strings.Cut(old.Name, " ")
			return Lent{old.Book, first, last}
		}),
		codec.Upcast("book.borrowed", 1, func(old Borrowed) LentV1 { return LentV1{old.What, old.Who} }), // another name still
	)
	read(c, "book.lent", "", `{"Book":"Emma","Reader":"Ada Lovelace"}`)
	read(c, "book.lent", "2", `{"Book":"Emma","Name":"Ada Lovelace"}`)
	read(c, "book.lent", "3", `{"Book":"Emma","First":"Ada","Last":"Lovelace"}`)
	read(c, "book.borrowed", "", `{"What":"Emma","Who":"Ada Lovelace"}`)
	read(c, "book.lent", "4", `{}`)
	// Output:
	// codec_test.Lent{Book:Emma First:Ada Last:Lovelace}
	// codec_test.Lent{Book:Emma First:Ada Last:Lovelace}
	// codec_test.Lent{Book:Emma First:Ada Last:Lovelace}
	// codec_test.Lent{Book:Emma First:Ada Last:Lovelace}
	// eventstore: event 1 of stream "book-1" has schema version "4" of type "book.lent", and this program knows version 3 at most; run the program that wrote it, or a newer one
}

// One event of old is two facts today. Of another nothing is left.
func ExampleSplit() {
	c := codec.New(
		codec.Type[Returned]("book.returned"),
		codec.Type[Fined]("book.fined"),
		codec.Split("book.returned_late", 1, func(old ReturnedLate) []LibraryEvent {
			return []LibraryEvent{Returned{old.Book}, Fined{old.Cents}}
		}),
		codec.Drop("book.looked_at"),
	)
	read(c, "book.returned_late", "", `{"Book":"Emma","Cents":150}`)
	read(c, "book.looked_at", "", `{"Book":"Emma"}`)
	// Output:
	// eventstore.Several[{Book:Emma} {Cents:150}]
	// eventstore.Several[]
}

// Documents are rewritten from version to version, without a Go type for each.
func ExampleRewrite() {
	c := codec.New(
		codec.Type[Lent]("book.lent", codec.SchemaVersion(3)),
		codec.Rewrite("book.lent", 1, func(doc map[string]any) error {
			doc["Name"] = doc["Reader"]
			delete(doc, "Reader")
			return nil
		}),
		codec.Rewrite("book.lent", 2, func(doc map[string]any) error {
			name, ok := doc["Name"].(string)
			if !ok {
				return errors.New("it has no name")
			}
			doc["First"], doc["Last"], _ = strings.Cut(name, " ")
			return nil
		}),
	)
	read(c, "book.lent", "", `{"Book":"Emma","Reader":"Ada Lovelace"}`)
	read(c, "book.lent", "2", `{"Book":"Emma"}`)
	// Output:
	// codec_test.Lent{Book:Emma First:Ada Last:Lovelace}
	// codec: event 1 of stream "book-1", type "book.lent", cannot be decoded: upcast from schema version 2: rewrite of schema version 2: it has no name
}

// What is not in the data of an event may be in what is stored beside it.
func ExampleUpcastFrom() {
	c := codec.New(
		codec.Type[Returned]("book.returned", codec.SchemaVersion(2)),
		codec.UpcastFrom("book.returned", 1, func(_ struct{}, r eventstore.Recorded) ([]Returned, error) {
			_, id := eventstore.SplitStream(r.Stream)
			return []Returned{{Book: "book no. " + id}}, nil
		}),
	)
	read(c, "book.returned", "", `{}`)
	// Output: codec_test.Returned{Book:book no. 1}
}
