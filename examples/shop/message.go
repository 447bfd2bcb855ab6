package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/foldstream/foldstream/examples/shop/cart"
	"github.com/foldstream/foldstream/examples/shop/order"
	"github.com/foldstream/foldstream/examples/shop/terms"
)

// A message is a command as it comes from outside, in the body of a request or
// in a line of a file: a flat JSON object of strings and whole numbers.
type message struct {
	texts   map[string]string
	numbers map[string]int64
}

// A kind says what a command of one type is made of.
type kind struct {
	texts   []string // names of its string fields
	numbers []string // names of its number fields
	build   func(m message) any
}

// kinds are the commands that can come from outside, by type. The first field
// names the cart or order; over HTTP the path carries it.
var kinds = map[string]kind{
	"AddItem": {[]string{"cart", "sku", "name"}, []string{"quantity", "unit_price_cents"}, func(m message) any {
		return cart.AddItem{Cart: m.texts["cart"], Line: terms.Line{
			SKU: m.texts["sku"], Name: m.texts["name"], Quantity: m.numbers["quantity"], UnitPriceCents: m.numbers["unit_price_cents"],
		}}
	}},
	"RemoveItem": {[]string{"cart", "sku"}, nil, func(m message) any {
		return cart.RemoveItem{Cart: m.texts["cart"], SKU: m.texts["sku"]}
	}},
	"ApplyCoupon": {[]string{"cart", "code"}, nil, func(m message) any {
		return cart.ApplyCoupon{Cart: m.texts["cart"], Code: m.texts["code"]}
	}},
	"ChooseShipper": {[]string{"cart", "shipper"}, nil, func(m message) any {
		return cart.ChooseShipper{Cart: m.texts["cart"], Shipper: m.texts["shipper"]}
	}},
	"Checkout": {[]string{"cart", "order", "customer"}, nil, func(m message) any {
		return cart.Checkout{Cart: m.texts["cart"], Order: m.texts["order"], Customer: m.texts["customer"]}
	}},
	"PayOrder": {[]string{"order"}, []string{"amount_cents"}, func(m message) any {
		return order.Pay{Order: m.texts["order"], AmountCents: m.numbers["amount_cents"]}
	}},
	"ShipOrder": {[]string{"order", "tracking"}, nil, func(m message) any {
		return order.Ship{Order: m.texts["order"], Tracking: m.texts["tracking"]}
	}},
	"CancelOrder": {[]string{"order", "reason"}, nil, func(m message) any {
		return order.Cancel{Order: m.texts["order"], Reason: m.texts["reason"]}
	}},
}

// command turns the message into the command of kind k: every field must be
// there and no other.
func (k kind) command(m message) (any, error) {
	for _, name := range k.texts {
		if _, ok := m.texts[name]; !ok {
			return nil, missing(name, "text", m)
		}
	}
	for _, name := range k.numbers {
		if _, ok := m.numbers[name]; !ok {
			return nil, missing(name, "a whole number", m)
		}
	}
	if len(m.texts) == len(k.texts) && len(m.numbers) == len(k.numbers) {
		return k.build(m), nil
	}
	for name := range m.texts {
		if !slices.Contains(k.texts, name) {
			return nil, unknownField(name, k)
		}
	}
	for name := range m.numbers {
		if !slices.Contains(k.numbers, name) {
			return nil, unknownField(name, k)
		}
	}
	return k.build(m), nil
}

func missing(name, what string, m message) error {
	_, isText := m.texts[name]
	_, isNumber := m.numbers[name]
	if isText || isNumber {
		return fmt.Errorf("field %q must be %s", name, what)
	}
	return fmt.Errorf("field %q is missing", name)
}

func unknownField(name string, k kind) error {
	fields := slices.Concat(k.texts, k.numbers)
	return fmt.Errorf("field %.64q is not known; the fields are %s", name, strings.Join(fields, ", "))
}

// parseMessage reads one flat JSON object and nothing after it. It is stricter
// than encoding/json: field names count letter by letter, and none may come
// twice.
func parseMessage(data []byte) (message, error) {
	m := message{texts: make(map[string]string, 8), numbers: make(map[string]int64, 2)}
	if err := validate(data); err != nil {
		return m, err
	}
	// What is left is valid, so finding the parts of an object is simple.
	rest := skipSpace(data)
	if rest[0] != '{' {
		return m, errors.New("not a JSON object")
	}
	for rest = skipSpace(rest[1:]); rest[0] != '}'; rest = skipSpace(rest) {
		if rest[0] == ',' {
			rest = skipSpace(rest[1:])
		}
		quoted, after := cutString(rest)
		name, err := unquote(quoted)
		if err != nil {
			return m, err
		}
		value := skipSpace(skipSpace(after)[1:]) // behind the colon
		if rest, err = m.set(name, value); err != nil {
			return m, err
		}
	}
	return m, nil
}

// set sets a field to the value that rest begins with, and returns what
// follows it.
func (m message) set(name string, rest []byte) ([]byte, error) {
	_, isText := m.texts[name]
	_, isNumber := m.numbers[name]
	if isText || isNumber {
		return rest, fmt.Errorf("field %.64q is there twice", name)
	}
	switch c := rest[0]; {
	case c == '"':
		quoted, rest := cutString(rest)
		text, err := unquote(quoted)
		m.texts[name] = text
		return rest, err
	case c == '-' || '0' <= c && c <= '9':
		end := bytes.IndexAny(rest, ",} \t\r\n")
		n, err := strconv.ParseInt(string(rest[:end]), 10, 64)
		if err != nil {
			return rest, fmt.Errorf("field %.64q: %.32s is not a whole number of 64 bits", name, rest[:end])
		}
		m.numbers[name] = n
		return rest[end:], nil
	case c == 'n':
		return rest, fmt.Errorf("field %.64q is null", name)
	}
	return rest, fmt.Errorf("field %.64q must be text or a whole number", name)
}

func skipSpace(data []byte) []byte {
	for len(data) > 0 && (data[0] == ' ' || data[0] == '\t' || data[0] == '\r' || data[0] == '\n') {
		data = data[1:]
	}
	return data
}

// cutString cuts data behind the string that it begins with.
func cutString(data []byte) (quoted, rest []byte) {
	for i := 1; ; i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return data[:i+1], data[i+1:]
		}
	}
}

func unquote(quoted []byte) (string, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	var s string
	err := json.Unmarshal(quoted, &s)
	return s, err
}

// validate refuses what is not exactly one JSON value; its error says where.
func validate(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("not valid UTF-8")
	}
	if json.Valid(data) {
		return nil
	}
	var v json.RawMessage
	err := json.Unmarshal(data, &v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("not valid JSON at byte %d: %w", syntax.Offset, err)
	}
	return fmt.Errorf("not valid JSON: %w", err)
}
