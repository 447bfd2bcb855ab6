package redisview_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/memstore"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/redisview"
)

type (
	bookAdded struct {
		Title, Author string
		Year          int
	}
	bookLent struct{ To string }

	book struct {
		Title, Author, Reader string
		Year                  int
	}
)

func (book) added(e bookAdded, _ projection.Meta) (book, error) {
	return book{Title: e.Title, Author: e.Author, Year: e.Year}, nil
}

func (b book) lent(e bookLent, _ projection.Meta) (book, error) {
	b.Reader = e.To
	return b, nil
}

// A lookup finds documents by what is in them; a set remembers who had what.
func Example_lookup() {
	server := miniredis.NewMiniRedis() // a real one in production
	if err := server.Start(); err != nil {
		panic(err)
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer func() { _ = rdb.Close() }()

	events := codec.New(codec.Type[bookAdded]("book.added"), codec.Type[bookLent]("book.lent"))
	store := memstore.New(nil)
	ctx := context.Background()
	for stream, e := range []any{
		bookAdded{"Candide", "voltaire", 1759}, bookAdded{"Zadig", "voltaire", 1747},
		bookAdded{"Emma", "austen", 1815}, bookLent{"ada"},
	} {
		event, err := events.Encode(e)
		if err == nil {
			_, err = store.Append(ctx, fmt.Sprint("book-", stream%3), eventstore.Any, event)
		}
		if err != nil {
			panic(err)
		}
	}

	books := redisview.NewCollection[book](rdb, "books", nil)
	byAuthor := projection.NewLookup(books, "by-author")
	readers := redisview.NewSet(rdb, "readers", &redisview.CollectionOptions{View: "books"})
	runner := projection.NewRunner(store, nil, projection.New("books", events,
		projection.On(books, book.added),
		projection.On(books, book.lent),
		projection.IndexBy(byAuthor, func(_ string, b book) []projection.Listing {
			return []projection.Listing{{Key: b.Author, Score: float64(b.Year)}}
		}),
		projection.OnSet(readers, func(e bookLent, m projection.Meta) []projection.SetChange {
			return []projection.SetChange{{Key: m.ID, Member: e.To}}
		})))
	if _, err := runner.Rebuild(ctx, "books", nil); err != nil { // an application calls Run
		panic(err)
	}

	opts := projection.PageOptions{Limit: 1}
	for {
		page, err := byAuthor.Documents(ctx, "voltaire", opts)
		if err != nil {
			panic(err)
		}
		for _, b := range page.Documents {
			fmt.Printf("%d %s, with %q\n", b.Value.Year, b.Value.Title, b.Value.Reader)
		}
		if opts.After = page.Next; opts.After == "" {
			break
		}
	}
	had, err := readers.Members(ctx, "0")
	fmt.Println("readers:", had, err)
	// Output:
	// 1747 Zadig, with ""
	// 1759 Candide, with "ada"
	// readers: [ada] <nil>
}
