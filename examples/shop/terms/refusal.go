package terms

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Kind says what has to change before a refused command can succeed.
type Kind uint8

// The kinds of refusals.
const (
	Conflict Kind = iota // the state of the cart or order
	Invalid              // a value of the command
	Unknown              // the order does not exist
)

// A Refusal is an answer of the business: a command broke a rule, and nothing
// happened. Refusals of one rule match each other with [errors.Is], whatever
// their texts.
type Refusal struct {
	Rule string // stable name, such as order-already-paid
	Kind Kind
	Text string
}

func (r *Refusal) Error() string { return r.Text }

// Is reports whether target is a refusal by the same rule.
func (r *Refusal) Is(target error) bool {
	other, ok := target.(*Refusal)
	return ok && other.Rule == r.Rule
}

// With returns a refusal by the same rule with a text that names the values.
func (r *Refusal) With(format string, args ...any) error {
	return &Refusal{Rule: r.Rule, Kind: r.Kind, Text: fmt.Sprintf(format, args...)}
}

// Refusals of values, whichever command they are in.
var (
	ErrID       = &Refusal{"id-invalid", Invalid, "an id is not valid"}
	ErrText     = &Refusal{"text-invalid", Invalid, "a text is not valid"}
	ErrQuantity = &Refusal{"quantity-out-of-range", Invalid, "a quantity is out of range"}
	ErrPrice    = &Refusal{"price-out-of-range", Invalid, "a price is out of range"}
)

// CheckID refuses an id that is empty, too long, begins or ends with a space,
// or cannot be printed. what names the field.
func CheckID(what, id string) error {
	switch {
	case id == "":
		return ErrID.With("%s: must not be empty", what)
	case len(id) > MaxID:
		return ErrID.With("%s %.32q…: %d bytes, at most %d", what, id, len(id), MaxID)
	case strings.TrimSpace(id) != id:
		return ErrID.With("%s %q: must not begin or end with a space", what, id)
	case !printable(id):
		return ErrID.With("%s %q: must be printable text", what, id)
	}
	return nil
}

// CheckText refuses a text that is too long or cannot be printed. It may be
// empty. what names the field.
func CheckText(what, text string) error {
	switch {
	case len(text) > MaxName:
		return ErrText.With("%s %.32q…: %d bytes, at most %d", what, text, len(text), MaxName)
	case !printable(text):
		return ErrText.With("%s %q: must be printable text", what, text)
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
