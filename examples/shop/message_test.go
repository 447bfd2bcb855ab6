package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/examples/shop/cart"
	"github.com/foldstream/foldstream/examples/shop/order"
	"github.com/foldstream/foldstream/examples/shop/terms"
)

func TestParseMessage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, kind, json string
		want             any
		err              string
	}{
		{"AddItem", "AddItem", `{"cart":"c","sku":"s","name":"n","quantity":2,"unit_price_cents":3}`, cart.AddItem{Cart: "c", Line: terms.Line{SKU: "s", Name: "n", Quantity: 2, UnitPriceCents: 3}}, ""},
		{"RemoveItem", "RemoveItem", `{"cart":"c","sku":"s"}`, cart.RemoveItem{Cart: "c", SKU: "s"}, ""},
		{"ApplyCoupon", "ApplyCoupon", `{"cart":"c","code":"s"}`, cart.ApplyCoupon{Cart: "c", Code: "s"}, ""},
		{"ChooseShipper", "ChooseShipper", `{"cart":"c","shipper":"s"}`, cart.ChooseShipper{Cart: "c", Shipper: "s"}, ""},
		{"Checkout", "Checkout", `{"cart":"c","order":"o","customer":"a"}`, cart.Checkout{Cart: "c", Order: "o", Customer: "a"}, ""},
		{"PayOrder", "PayOrder", `{"order":"o","amount_cents":7}`, order.Pay{Order: "o", AmountCents: 7}, ""},
		{"ShipOrder", "ShipOrder", `{"order":"o","tracking":"t"}`, order.Ship{Order: "o", Tracking: "t"}, ""},
		{"CancelOrder", "CancelOrder", ` {"order" : "o", "reason":""} `, order.Cancel{Order: "o"}, ""},
		{"Escapes", "CancelOrder", `{"o\u0072der":"a\"b\\","reason":"\u00e9\ud83d\ude00"}`, order.Cancel{Order: `a"b\`, Reason: "é😀"}, ""},
		{"Spaces", "PayOrder", " {\t\"order\"\n:\r\"o\" ,\"amount_cents\" : 7 } ", order.Pay{Order: "o", AmountCents: 7}, ""},
		{"NegativeIsForTheDomain", "PayOrder", `{"order":"o","amount_cents":-7}`, order.Pay{Order: "o", AmountCents: -7}, ""},

		{"Empty", "PayOrder", ``, nil, "not valid JSON"},
		{"Cut", "PayOrder", `{"order":"o","amount`, nil, "not valid JSON"},
		{"Trailing", "PayOrder", `{"order":"o","amount_cents":7} {}`, nil, "not valid JSON at byte 32"},
		{"Array", "PayOrder", `["order"]`, nil, "not a JSON object"},
		{"Text", "PayOrder", `"order"`, nil, "not a JSON object"},
		{"Missing", "PayOrder", `{"order":"o"}`, nil, `field "amount_cents" is missing`},
		{"Unknown", "PayOrder", `{"order":"o","amount_cents":7,"tip":1}`, nil, `field "tip" is not known; the fields are order, amount_cents`},
		{"OtherCase", "PayOrder", `{"Order":"o","amount_cents":7}`, nil, `field "order" is missing`},
		{"FieldOfOtherKind", "PayOrder", `{"order":"o","amount_cents":7,"cart":"c"}`, nil, `field "cart" is not known`},
		{"Twice", "PayOrder", `{"order":"o","order":"p","amount_cents":7}`, nil, `field "order" is there twice`},
		{"Null", "PayOrder", `{"order":null,"amount_cents":7}`, nil, `field "order" is null`},
		{"Nested", "PayOrder", `{"order":{"id":"o"},"amount_cents":7}`, nil, `field "order" must be text or a whole number`},
		{"Bool", "PayOrder", `{"order":true,"amount_cents":7}`, nil, `field "order" must be text or a whole number`},
		{"NumberAsText", "PayOrder", `{"order":"o","amount_cents":"7"}`, nil, `field "amount_cents" must be a whole number`},
		{"TextAsNumber", "PayOrder", `{"order":7,"amount_cents":7}`, nil, `field "order" must be text`},
		{"NestedInText", "CancelOrder", `{"order":"{\"order\":1}","reason":"}"}`, order.Cancel{Order: `{"order":1}`, Reason: "}"}, ""},
		{"EmptyObject", "PayOrder", `{}`, nil, `field "order" is missing`},
		{"Deep", "PayOrder", strings.Repeat("[", 20_000), nil, "not valid JSON"},
		{"Fraction", "PayOrder", `{"order":"o","amount_cents":7.5}`, nil, "not a whole number"},
		{"Exponent", "PayOrder", `{"order":"o","amount_cents":7e2}`, nil, "not a whole number"},
		{"OutOfRange", "PayOrder", `{"order":"o","amount_cents":9223372036854775808}`, nil, "not a whole number"},
		{"BadUTF8", "PayOrder", "{\"order\":\"\xff\",\"amount_cents\":7}", nil, "not valid UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, err := parseMessage([]byte(tt.json))
			var got any
			if err == nil {
				got, err = kinds[tt.kind].command(m)
			}
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

func FuzzParseMessage(f *testing.F) {
	f.Add([]byte(`{"cart":"c","sku":"s","name":"n","quantity":2,"unit_price_cents":3}`))
	f.Add([]byte(`{"a":[{}]}`))
	f.Add([]byte(`{"a":1,}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMessage(data)
		if err != nil {
			return
		}
		var want map[string]any // what encoding/json makes of it
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		require.NoError(t, dec.Decode(&want))
		require.Len(t, want, len(m.texts)+len(m.numbers))
		for name, text := range m.texts {
			require.Equal(t, text, want[name])
		}
		for name, n := range m.numbers {
			require.Equal(t, json.Number(strconv.FormatInt(n, 10)), want[name])
		}
	})
}
