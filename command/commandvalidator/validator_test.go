package commandvalidator_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-playground/validator/v10"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/command"
	"github.com/foldstream/foldstream/command/commandvalidator"
	"github.com/foldstream/foldstream/eventstore"
)

type line struct {
	SKU string `validate:"required"`
}

type place struct {
	ID    string `validate:"required"`
	Lines []line `validate:"min=1,dive"`
	At    time.Time
}

func handle[C any](context.Context, C) (eventstore.Receipt, error) { return eventstore.Receipt{}, nil }

func newBus(v *validator.Validate) *command.Bus {
	return command.NewBus(&command.Options{Middleware: []command.Middleware{commandvalidator.Validate(v)}})
}

func TestTagsAreHeld(t *testing.T) {
	t.Parallel()
	bus := newBus(nil)
	command.Register(bus, handle[place])
	command.Register(bus, handle[*place])
	command.Register(bus, handle[int])
	good := place{ID: "1", Lines: []line{{"tea"}}}
	for _, cmd := range []any{good, &good, 7} {
		_, err := command.Send(t.Context(), bus, cmd)
		require.NoError(t, err)
	}
	for field, cmd := range map[string]any{
		"place.ID":           place{Lines: good.Lines},
		"place.Lines":        &place{ID: "1"},
		"place.Lines[0].SKU": place{ID: "1", Lines: []line{{}}},
	} {
		_, err := command.Send(t.Context(), bus, cmd)
		require.Equal(t, command.Invalid, command.OutcomeOf(err), field)
		var wrong validator.ValidationErrors
		require.ErrorAs(t, err, &wrong)
		assert.Equal(t, field, wrong[0].Namespace())
	}
	_, err := command.Send(t.Context(), bus, (*place)(nil))
	assert.Equal(t, command.Invalid, command.OutcomeOf(err))
}

type (
	misspelt struct {
		ID string `validate:"requird"`
	}
	nested struct{ M *misspelt }
	dived  struct {
		Ms map[string][]*misspelt `validate:"dive,dive"`
	}
	embedded  struct{ misspelt }
	recursive struct {
		Next *recursive
		M    nested
	}
	untouched struct{ Ms []misspelt } // not looked into without dive
)

func TestAnUnknownTagIsRefusedAtStart(t *testing.T) {
	t.Parallel()
	for name, register := range map[string]func(*command.Bus){
		"itself":    func(b *command.Bus) { command.Register(b, handle[misspelt]) },
		"pointer":   func(b *command.Bus) { command.Register(b, handle[*misspelt]) },
		"nested":    func(b *command.Bus) { command.Register(b, handle[nested]) },
		"dived":     func(b *command.Bus) { command.Register(b, handle[dived]) },
		"embedded":  func(b *command.Bus) { command.Register(b, handle[embedded]) },
		"recursive": func(b *command.Bus) { command.Register(b, handle[recursive]) },
	} {
		var said any
		func() {
			defer func() { said = recover() }()
			register(newBus(nil))
		}()
		require.NotNil(t, said, name)
		assert.Contains(t, said, "requird", name)
		assert.Contains(t, said, "commandvalidator_test.misspelt", name)
	}
	command.Register(newBus(nil), handle[untouched])

	known := validator.New(validator.WithRequiredStructEnabled())
	require.NoError(t, known.RegisterValidation("requird", func(f validator.FieldLevel) bool { return f.Field().String() == "ok" }))
	bus := newBus(known)
	command.Register(bus, handle[nested])
	_, err := command.Send(t.Context(), bus, nested{&misspelt{"ok"}})
	require.NoError(t, err)
	_, err = command.Send(t.Context(), bus, nested{&misspelt{"no"}})
	assert.Equal(t, command.Invalid, command.OutcomeOf(err))
}

func TestOneValidatorServesAllAtOnce(t *testing.T) {
	t.Parallel()
	bus := newBus(nil)
	command.Register(bus, handle[place])
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 100 {
				_, err := command.Send(t.Context(), bus, place{ID: "1", Lines: make([]line, i)})
				assert.Equal(t, command.Invalid, command.OutcomeOf(err))
			}
		})
	}
	all.Wait()
}

func Example() {
	type rename struct {
		ID   string `validate:"required"`
		Name string `validate:"max=5"`
	}
	bus := command.NewBus(&command.Options{Middleware: []command.Middleware{commandvalidator.Validate(nil)}})
	command.Register(bus, handle[rename])
	_, err := command.Send(context.Background(), bus, rename{ID: "42", Name: "Ada Lovelace"})
	fmt.Println(command.OutcomeOf(err))
	fmt.Println(err)
	// Output:
	// invalid
	// command commandvalidator_test.rename is invalid: Key: 'rename.Name' Error:Field validation for 'Name' failed on the 'max' tag
}
