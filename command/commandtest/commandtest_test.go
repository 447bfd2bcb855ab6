package commandtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/command/commandtest"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/tbtest"
)

var welcome = mail{"ada", "welcome"}

// The whole life of a booking, with everything that a step can be asked.
func TestAWholeApplication(t *testing.T) {
	t.Parallel()
	h := new(hotel)
	commandtest.Test(t, h.build, func(t *testing.T, k *commandtest.Kit) {
		k.Given("room-1", booked{"bob"}, confirmed{})
		k.When(book{"1", "ada"}).Refused(errTaken)
		k.When(book{"2", "ada"}).Then(
			commandtest.Events("room-2", booked{"ada"}),
			commandtest.Sent(welcome),
			commandtest.Answer(guestOf{"2"}, guest{"ada", "booked"}),
			commandtest.Document(h.guests, "1", guest{"bob", "confirmed"}))
		k.Advance(47 * time.Hour).Then(commandtest.Sent())
		begin := time.Now()
		k.Advance(time.Hour).Then(
			commandtest.Sent(release{"2", "not confirmed"}),
			commandtest.Events("room-2", released{"not confirmed"}),
			commandtest.Answer(guestOf{"2"}, guest{State: "free"}))
		assert.Equal(t, time.Hour, time.Since(begin), "and not longer")

		k.When(book{"2", "eve"}).Done()
		k.When(confirm{"2"}).Then(commandtest.Events("room-2", confirmed{})).Again()
		k.When(book{"2", "ada"}).Refused(errTaken).Again()
		k.Advance(72 * time.Hour).Then(commandtest.Sent(release{"2", "not confirmed"})) // which changes nothing now
		k.Rebuild()
	})
}

// A reactor that fails tries again, in virtual time, until it gives up.
func TestBackoffTakesVirtualTime(t *testing.T) {
	t.Parallel()
	h := &hotel{outage: 2}
	commandtest.Test(t, h.build, func(t *testing.T, k *commandtest.Kit) {
		err := k.When(book{"1", "ada"}).Err()
		require.NoError(t, err)
		k.Advance(time.Minute).Then(commandtest.Sent(welcome))
		h.outage = 1000
		k.When(book{"2", "ada"}).Done()
		k.Advance(time.Hour).Then(commandtest.Parked("clerk", "room-2", "does not answer"), commandtest.Sent(welcome))
	})
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	commandtest.Test(t, new(hotel).build, func(_ *testing.T, k *commandtest.Kit) {
		k.Given("room-1", commandtest.With(booked{"bob"}, "tenant", "t1"))
		k.When(confirm{"1"}, command.WithID("x"), command.WithMetadata("tenant", "t2")).Then(commandtest.Events("room-1",
			commandtest.With(confirmed{}, "tenant", "t2", eventstore.KeyCommandID, "x")))
	})
}

func TestEventsOfOthersAndOtherSteps(t *testing.T) {
	t.Parallel()
	h := new(hotel)
	commandtest.Test(t, h.build, func(t *testing.T, k *commandtest.Kit) {
		k.Append("room-1", booked{"ada"}).Then(commandtest.AnyEvents("room-1"), commandtest.Sent(welcome))
		k.Do("a release is enqueued", func(ctx context.Context) error {
			_, err := command.Enqueue(ctx, h.desk, release{"1", "renovation"})
			return err
		}).Then(commandtest.Events("room-1", released{"renovation"}), commandtest.Sent(release{"1", "renovation"}))
		k.Do("it fails", func(context.Context) error { return errServer }).Refused(errServer)
		k.When(confirm{"1"}).Refused(errFree, commandtest.That("the desk has two commands", func(ctx context.Context) error {
			n := 0
			for _, err := range h.desk.List(ctx, command.ListFilter{}) {
				assert.NoError(t, err)
				n++
			}
			assert.Equal(t, 2, n)
			return nil
		}))
	})
}

// failure runs a test of the hotel that fails and returns what it says.
func failure(t *testing.T, h *hotel, test func(k *commandtest.Kit)) (said string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		said = tbtest.Failure(t, func(t testing.TB) { test(commandtest.New(t, h.build)) })
	})
	return said
}

func TestAFailureTellsTheStory(t *testing.T) {
	t.Parallel()
	h := new(hotel)
	assert.Equal(t, `the application does otherwise
  given
    room-1: commandtest_test.booked{Guest: "bob"} with tenant=t1
  after
    commandtest_test.confirm{Room: "1"}
    1h0m0s go by
  when
    commandtest_test.book{Room: "2", Guest: "ada"}
  expected
    room-2: commandtest_test.booked{Guest: "eve"} with tenant=t1
    room-2: commandtest_test.confirmed{}
    sent commandtest_test.mail{To: "eve", Text: "welcome"}
    commandtest_test.guestOf{Room: "2"} answered with commandtest_test.guest{Name: "ada", State: "confirmed"}
    document "3" of guests: commandtest_test.guest{}
  got
    room-2, version 1: commandtest_test.booked{Guest: "ada"}
    sent commandtest_test.mail{To: "ada", Text: "welcome"}
  because
    room-2: event 1, Guest is "ada" instead of "eve"
    room-2: event 2 is missing: commandtest_test.confirmed{}
    room-2: event 1 has no metadata "tenant"
    nobody expected that it sent commandtest_test.mail{To: "ada", Text: "welcome"}
    it did not send commandtest_test.mail{To: "eve", Text: "welcome"}
    the answer to commandtest_test.guestOf{Room: "2"}, State is "booked" instead of "confirmed"
    document "3" of guests is missing
`, failure(t, h, func(k *commandtest.Kit) {
		k.Given("room-1", commandtest.With(booked{"bob"}, "tenant", "t1"))
		k.When(confirm{"1"}).Done()
		k.Advance(time.Hour).Then()
		k.When(book{"2", "ada"}).Then(
			commandtest.Events("room-2", commandtest.With(booked{"eve"}, "tenant", "t1"), confirmed{}),
			commandtest.Sent(mail{"eve", "welcome"}),
			commandtest.Answer(guestOf{"2"}, guest{"ada", "confirmed"}),
			commandtest.Document(h.guests, "3", guest{}))
	}))
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hotel hotel
		test  func(k *commandtest.Kit)
		want  string
	}{
		"events that nobody expects": {
			hotel{}, func(k *commandtest.Kit) { k.When(book{"1", "ada"}).Then() },
			"nobody expected room-1, version 1: commandtest_test.booked{Guest: \"ada\"}\n",
		},
		"a refusal that is not expected": {
			hotel{}, func(k *commandtest.Kit) { k.When(confirm{"1"}).Then(commandtest.Events("room-1", confirmed{})) },
			"  got\n    an error: room-1 at version 0 refused: nobody has booked the room\n  because\n    it failed\n",
		},
		"no refusal": {
			hotel{}, func(k *commandtest.Kit) { k.When(book{"1", "ada"}).Refused(errTaken, commandtest.AnyEvents("room-1")) },
			"  expected\n    an error: the room is taken\n    room-1: anything\n",
		},
		"another refusal": {
			hotel{}, func(k *commandtest.Kit) { k.When(confirm{"1"}).Refused(errTaken) },
			"because\n    it failed with another error\n",
		},
		"a step that fails though it is only a step": {
			hotel{}, func(k *commandtest.Kit) { k.When(confirm{"1"}).Done() },
			"it failed",
		},
		"a command without a handler": {
			hotel{}, func(k *commandtest.Kit) { k.When("what").Done() },
			"nobody handles string",
		},
		"nobody looks at the last step": {
			hotel{}, func(k *commandtest.Kit) { k.When(book{"1", "ada"}) },
			"commandtest: nobody looked at what came of a step; call Then, Refused or Done:\ncommandtest_test.book{Room: \"1\", Guest: \"ada\"}",
		},
		"nobody looks at a step before": {
			hotel{}, func(k *commandtest.Kit) {
				k.When(book{"1", "ada"})
				k.Advance(time.Hour).Done()
			},
			"nobody looked at what came of a step",
		},
		"the middleware is forgotten": {
			hotel{deaf: true}, func(k *commandtest.Kit) {
				k.When(book{"1", "ada"}).Then(commandtest.AnyEvents("room-1"), commandtest.Sent(welcome))
			},
			"the kit does not hear of commands; give Env.Middleware to the bus",
		},
		"no command at all": {
			hotel{}, func(k *commandtest.Kit) {
				k.When(book{"1", "ada"}).Then(commandtest.AnyEvents("room-1"), commandtest.Sent())
			},
			"nobody expected that it sent commandtest_test.mail{To: \"ada\", Text: \"welcome\"}\n",
		},
		"a command that fails": {
			hotel{outage: 9}, func(k *commandtest.Kit) {
				k.When(book{"1", "ada"}).Then(commandtest.Events("room-1"), commandtest.Sent(welcome))
			},
			"    sent commandtest_test.mail{To: \"ada\", Text: \"welcome\"}, which failed: the mail server does not answer\n    view \"clerk\" tries again later: the mail server does not answer\n",
		},
		"a view that parks": {
			hotel{}, func(k *commandtest.Kit) { k.Append("room-1", booked{"nobody"}).Then(commandtest.AnyEvents("room-1")) },
			"view \"guests\" has parked events of stream \"room-1\": nobody has no page\n",
		},
		"a view that does not park": {
			hotel{}, func(k *commandtest.Kit) { k.Advance(1).Then(commandtest.Parked("guests", "room-1", "why")) },
			"view \"guests\" has parked nothing of stream \"room-1\" because of \"why\"\n",
		},
		"metadata that is another": {
			hotel{}, func(k *commandtest.Kit) {
				k.When(book{"1", "ada"}, command.WithID("x")).Then(commandtest.Events("room-1", commandtest.With(booked{"ada"}, eventstore.KeyCommandID, "y")))
			},
			"room-1: event 1, metadata \"" + eventstore.KeyCommandID + "\" is \"x\" instead of \"y\"\n",
		},
		"a check of one's own": {
			hotel{}, func(k *commandtest.Kit) {
				k.Advance(1).Then(commandtest.That("the till is right", func(context.Context) error { return errors.New("1 cent is missing") }))
			},
			"the till is right: 1 cent is missing\n",
		},
		"an event that the codec does not know": {
			hotel{}, func(k *commandtest.Kit) { k.Given("room-1", mail{}, 7) },
			"commandtest: event 2 for stream \"room-1\": ",
		},
		"a stream that cannot be": {
			hotel{}, func(k *commandtest.Kit) { k.Given("", mail{}) },
			"commandtest: append to stream \"\": ",
		},
		"an answer that fails": {
			hotel{}, func(k *commandtest.Kit) { k.Advance(1).Then(commandtest.Answer(guestOf{"9"}, guest{})) },
			"the answer to commandtest_test.guestOf{Room: \"9\"} is the error ",
		},
		"a view that looks at the clock": {
			hotel{clock: true}, func(k *commandtest.Kit) {
				k.When(book{"1", "ada"}).Done()
				k.Rebuild()
				k.Advance(time.Hour).Done()
				k.Rebuild()
			},
			"view \"guests\" is another when it is built again\n  given\n    nothing\n  after\n    commandtest_test.book{Room: \"1\", Guest: \"ada\"}\n    1h0m0s go by\n  because\n    document \"1\" of guests is another then\n",
		},
		"Given after a step": {
			hotel{}, func(k *commandtest.Kit) {
				k.Advance(1).Then()
				k.Given("room-1", booked{})
			},
			"commandtest: Given comes before the first step",
		},
		"Again of what is no command": {
			hotel{}, func(k *commandtest.Kit) { k.Advance(1).Then().Again() },
			"Again is for commands",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := c.hotel
			assert.Contains(t, failure(t, &h, c.test), c.want)
		})
	}
}

func TestAnApplicationWithoutViews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		got := tbtest.Failure(t, func(t testing.TB) {
			k := commandtest.New(t, func(env commandtest.Env) commandtest.App {
				app := new(hotel).build(env)
				return commandtest.App{Codec: app.Codec, Commands: app.Commands}
			})
			k.When(book{"1", "ada"}).Then(commandtest.Events("room-1", booked{"ada"}), commandtest.Sent())
			begin := time.Now()
			k.Advance(time.Hour).Then()
			assert.Equal(t, time.Hour, time.Since(begin))
			k.Rebuild()
			k.Advance(1).Then(commandtest.Answer(guestOf{"1"}, guest{}))
		})
		assert.Contains(t, got, "the App has no Queries that could answer commandtest_test.guestOf{Room: \"1\"}\n")
	})
}

// What the application runs has to run, and to end when it is told to.
func TestWhatTheApplicationRuns(t *testing.T) {
	t.Parallel()
	build := func(run func(context.Context) error) func(commandtest.Env) commandtest.App {
		return func(env commandtest.Env) commandtest.App {
			app := new(hotel).build(env)
			app.Run = append(app.Run, run)
			return app
		}
	}
	for want, run := range map[string]func(context.Context) error{
		"":                                  func(ctx context.Context) error { <-ctx.Done(); return nil },
		"it ended before it was told to":    func(context.Context) error { return nil },
		"has failed: the mail server does ": func(context.Context) error { return errServer },
	} {
		synctest.Test(t, func(t *testing.T) {
			got := tbtest.Failure(t, func(t testing.TB) { commandtest.New(t, build(run)).Advance(time.Second).Then() })
			if want == "" {
				assert.Empty(t, got)
				return
			}
			assert.Contains(t, got, want)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		got := tbtest.Failure(t, func(t testing.TB) {
			commandtest.New(t, func(commandtest.Env) commandtest.App { return commandtest.App{} })
		})
		assert.Equal(t, "commandtest: an App needs a Codec and Commands", got)
	})
}
