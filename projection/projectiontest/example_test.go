package projectiontest_test

import (
	"context"
	"fmt"

	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/projection"
	"github.com/foldstream/foldstream/projection/projectiontest"
)

type (
	joined struct{ Name string }
	scored struct{ Points int64 }

	player struct {
		Name   string
		Points int64
		Best   map[string]int64
	}
)

func (player) joined(e joined, _ projection.Meta) (player, error) { return player{Name: e.Name}, nil }

func (p player) scored(e scored, m projection.Meta) (player, error) {
	p.Points += e.Points
	if p.Best == nil {
		p.Best = map[string]int64{}
	}
	p.Best[m.Created.Weekday().String()] = e.Points // a mistake: the map is the one of the document before
	return p, nil
}

var gameEvents = codec.New(codec.Type[joined]("player.joined"), codec.Type[scored]("player.scored"))

// game is how a program makes its views; in production the store is
// redisview.New(rdb, nil).
type game struct {
	players    *projection.Collection[player]
	projection *projection.Projection
}

func newGame(store projection.ViewStore) *game {
	g := &game{players: projection.NewCollection[player](store, "players", codec.Msgpack, nil)}
	g.projection = projection.New("players", gameEvents,
		projection.On(g.players, player.joined),
		projection.On(g.players, player.scored))
	return g
}

// A test calls Then with its t instead of Verify.
func Example() {
	g := newGame(projectiontest.NewStore())
	err := projectiontest.For(g.projection).
		Given("player-1", joined{"ada"}).
		Given("player-2", joined{"bob"}).
		Verify(context.Background(),
			projectiontest.Document(g.players, "1", player{Name: "ada"}),
			projectiontest.NoDocument(g.players, "3"))
	fmt.Println(err)

	err = projectiontest.For(g.projection).
		Given("player-1", joined{"ada"}, scored{5}, scored{7}).
		Verify(context.Background())
	fmt.Println(err)
	// Output:
	// <nil>
	// view "players", "1" of players, event "player.scored" (version 3 of stream "player-1"): the fold changed the document that it was given, from {"Name":"ada","Points":5,"Best":{"Thursday":5}} to {"Name":"ada","Points":5,"Best":{"Thursday":7}}; clone maps, slices and what pointers point to before you change them
}
