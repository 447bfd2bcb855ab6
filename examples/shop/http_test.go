package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/internal/redistest"
	"github.com/foldstream/foldstream/query"
)

// site is a whole shop behind a test server.
type site struct {
	*app
	url string
}

// openApp opens a shop in a folder, and stops it with the test.
func openApp(t *testing.T, dir, redisURL string) *app {
	t.Helper()
	a, err := open(t.Context(), config{data: dir, redisURL: redisURL, notes: io.Discard, log: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.close()) })
	return a
}

func newSite(t *testing.T, follow bool) *site {
	t.Helper()
	return siteOf(t, openApp(t, t.TempDir(), ""), follow)
}

func siteOf(t *testing.T, a *app, follow bool) *site {
	t.Helper()
	if follow {
		stop := a.follow(t.Context())
		t.Cleanup(func() { require.NoError(t, stop()) })
		require.NoError(t, a.waitLevel(t.Context(), io.Discard))
	}
	h := &api{commands: a.commands.bus, queries: a.queries, store: a.store, runner: a.runner, log: quiet}
	server := httptest.NewServer(h.handler())
	t.Cleanup(server.Close)
	return &site{a, server.URL}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) decode(t *testing.T, v any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(a.body, v), string(a.body))
}

// do sends a request; headers come in pairs.
func (s *site) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	noRedirect := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := noRedirect.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, data}
}

// must sends a command that is accepted and returns its position.
func (s *site) must(t *testing.T, method, path, body string, headers ...string) string {
	t.Helper()
	a := s.do(t, method, path, body, headers...)
	require.Contains(t, []int{http.StatusOK, http.StatusCreated}, a.status, string(a.body))
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	return a.header.Get(headerPosition)
}

func (s *site) head(t *testing.T) eventstore.Position {
	t.Helper()
	head, err := s.store.Head(t.Context())
	require.NoError(t, err)
	return head
}

const teaItem = `{"sku":"tea","name":"Tea","quantity":2,"unit_price_cents":450}`

func (s *site) order(t *testing.T, cartID, orderID, customer string) string {
	t.Helper()
	s.must(t, http.MethodPost, "/carts/"+cartID+"/items", teaItem)
	return s.must(t, http.MethodPost, "/carts/"+cartID+"/checkout", `{"order":"`+orderID+`","customer":"`+customer+`"}`)
}

func TestAnOrderOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	s.must(t, "POST", "/carts/c1/items", teaItem)
	s.must(t, "POST", "/carts/c1/items", `{"sku":"a/b c","name":"","quantity":1,"unit_price_cents":0}`)
	s.must(t, "DELETE", "/carts/c1/items/a%2Fb%20c", "")
	s.must(t, "POST", "/carts/c1/coupon", `{"code":"FIVER"}`)
	s.must(t, "POST", "/carts/c1/shipper", `{"shipper":"express"}`)
	a := s.do(t, "POST", "/carts/c1/checkout", `{"order":"o1","customer":"ada"}`, headerID, "k1")
	require.Equal(t, http.StatusCreated, a.status)
	require.Equal(t, "/orders/o1", a.header.Get("Location"))
	require.JSONEq(t, `{"stream":"order-o1","version":1,"position":7,"repeated":false,"order":"o1"}`, string(a.body))
	a = s.do(t, "POST", "/carts/c1/checkout", `{"order":"o1","customer":"ada"}`, headerID, "k1")
	require.Equal(t, http.StatusOK, a.status)
	require.JSONEq(t, `{"stream":"order-o1","version":1,"position":7,"repeated":true,"order":"o1"}`, string(a.body))

	for _, step := range []struct{ path, body, status string }{
		{"", "", "placed"},
		{"/pay", `{"amount_cents":1100}`, "paid"},
		{"/ship", `{"tracking":"T1"}`, "shipped"},
	} {
		position := a.header.Get(headerPosition)
		if step.path != "" {
			position = s.must(t, "POST", "/orders/o1"+step.path, step.body)
		}
		got := s.do(t, "GET", "/orders/o1", "", headerPosition, position)
		require.Equal(t, http.StatusOK, got.status, string(got.body))
		var fields map[string]any
		got.decode(t, &fields)
		require.Equal(t, step.status, fields["status"])
		created, updated := fields["created_at"].(string), fields["updated_at"].(string)
		require.True(t, strings.HasSuffix(created, "Z"), created)
		require.LessOrEqual(t, created, updated)
		delete(fields, "created_at")
		delete(fields, "updated_at")
		require.Equal(t, map[string]any{
			"id": "o1", "customer": "ada", "status": step.status, "total_cents": 1100.,
			"lines": []any{map[string]any{"sku": "tea", "name": "Tea", "quantity": 2., "unit_price_cents": 450.}},
		}, fields)
	}
}

func TestOrdersOfACustomer(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	var last string
	for i := range 5 {
		n := strconv.Itoa(i)
		last = s.order(t, "c"+n, "o"+n, "ada")
		time.Sleep(2 * time.Millisecond) // of different times by the clock, which orders them
	}
	page := func(q string) []string {
		a := s.do(t, "GET", "/customers/ada/orders"+q, "", headerPosition, last)
		require.Equal(t, http.StatusOK, a.status, string(a.body))
		var orders []Summary
		a.decode(t, &orders)
		ids := []string{}
		for _, o := range orders {
			ids = append(ids, o.ID)
		}
		return ids
	}
	require.Equal(t, []string{"o4", "o3", "o2", "o1", "o0"}, page(""))
	require.Equal(t, []string{"o3", "o2"}, page("?limit=2&offset=1"))
	require.Empty(t, page("?offset=5"))
	none := s.do(t, "GET", "/customers/nobody/orders", "")
	require.Equal(t, http.StatusOK, none.status)
	require.JSONEq(t, `[]`, string(none.body))
}

func TestTopProducts(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	s.order(t, "c1", "o1", "ada")
	s.must(t, "POST", "/carts/c2/items", `{"sku":"cup","name":"Cup","quantity":5,"unit_price_cents":1}`)
	s.must(t, "POST", "/carts/c2/checkout", `{"order":"o2","customer":"ada"}`)
	last := s.order(t, "c3", "o3", "bob")
	top := func(q string) string {
		a := s.do(t, "GET", "/products/top?after="+last+q, "")
		require.Equal(t, http.StatusOK, a.status, string(a.body))
		return string(a.body)
	}
	require.JSONEq(t, `[{"sku":"cup","units":5},{"sku":"tea","units":4}]`, top(""))
	require.JSONEq(t, `[{"sku":"cup","units":5}]`, top("&n=1"))
	last = s.must(t, "POST", "/orders/o2/cancel", `{"reason":"late"}`)
	require.JSONEq(t, `[{"sku":"tea","units":4}]`, top(""), "what was cancelled was not sold")
}

func TestProblems(t *testing.T) { //nolint:tparallel // its requests take turns, so that each can be seen to write nothing
	t.Parallel()
	s := newSite(t, true)
	s.order(t, "done", "o1", "ada")
	s.must(t, "POST", "/carts/full/items", teaItem)
	big := `{"sku":"` + strings.Repeat("x", maxBody) + `"}`
	for _, tt := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		rule, detail             string
	}{
		{"NegativeQuantity", "POST", "/carts/c/items", `{"sku":"a","name":"","quantity":-1,"unit_price_cents":1}`, nil, 422, "quantity-out-of-range", "quantity -1"},
		{"NoQuantity", "POST", "/carts/c/items", `{"sku":"a","name":"","quantity":0,"unit_price_cents":1}`, nil, 422, "quantity-out-of-range", "quantity 0"},
		{"NegativePrice", "POST", "/carts/c/items", `{"sku":"a","name":"","quantity":1,"unit_price_cents":-1}`, nil, 422, "price-out-of-range", "unit_price_cents -1"},
		{"EmptySKU", "POST", "/carts/c/items", `{"sku":"","name":"","quantity":1,"unit_price_cents":1}`, nil, 422, "id-invalid", "sku"},
		{"LongID", "POST", "/carts/" + strings.Repeat("x", 200) + "/items", teaItem, nil, 422, "id-invalid", "cart"},
		{"ControlInID", "POST", "/carts/a%00b/items", teaItem, nil, 422, "id-invalid", "cart"},
		{"BadUTF8InID", "POST", "/carts/a%ffb/items", teaItem, nil, 422, "id-invalid", ""},
		{"BlankID", "POST", "/carts/%20/items", teaItem, nil, 422, "id-invalid", "cart"},
		{"UnknownCoupon", "POST", "/carts/c/coupon", `{"code":"FREE"}`, nil, 422, "coupon-unknown", "FIVER, TENOFF"},
		{"UnknownShipper", "POST", "/carts/c/shipper", `{"shipper":"pigeon"}`, nil, 422, "shipper-unknown", "express, post"},
		{"WrongAmount", "POST", "/orders/o1/pay", `{"amount_cents":1}`, nil, 422, "amount-not-total", "900"},
		{"EmptyCart", "POST", "/carts/c/checkout", `{"order":"o2","customer":"ada"}`, nil, 409, "cart-empty", ""},
		{"ClosedCart", "POST", "/carts/done/items", teaItem, nil, 409, "cart-checked-out", "o1"},
		{"TakenOrder", "POST", "/carts/full/checkout", `{"order":"o1","customer":"ada"}`, nil, 409, "order-id-taken", ""},
		{"AbsentItem", "DELETE", "/carts/full/items/cup", "", nil, 409, "item-not-in-cart", ""},
		{"UnpaidShip", "POST", "/orders/o1/ship", `{"tracking":"T"}`, nil, 409, "order-not-paid", ""},
		{"UnknownOrder", "POST", "/orders/o9/pay", `{"amount_cents":1}`, nil, 404, "order-unknown", ""},
		{"UnknownOrderRead", "GET", "/orders/o9", "", nil, 404, "", ""},

		{"BadJSON", "POST", "/carts/c/items", `{"sku":`, nil, 400, "", "not valid JSON"},
		{"NoJSON", "POST", "/carts/c/items", ``, nil, 400, "", "empty"},
		{"Array", "POST", "/carts/c/items", `[]`, nil, 400, "", "not a JSON object"},
		{"Trailing", "POST", "/carts/c/items", teaItem + "{}", nil, 400, "", "not valid JSON"},
		{"UnknownField", "POST", "/carts/c/items", `{"sku":"a","name":"","quantity":1,"unit_price_cents":1,"x":1}`, nil, 400, "", `"x" is not known`},
		{"MissingField", "POST", "/carts/c/items", `{"sku":"a"}`, nil, 400, "", `"name" is missing`},
		{"FieldOfThePath", "POST", "/carts/c/items", `{"cart":"d","sku":"a","name":"","quantity":1,"unit_price_cents":1}`, nil, 400, "", `"cart" is in the path`},
		{"FractionalQuantity", "POST", "/carts/c/items", `{"sku":"a","name":"","quantity":1.5,"unit_price_cents":1}`, nil, 400, "", "whole number"},
		{"HugeQuantity", "POST", "/carts/c/items", `{"sku":"a","name":"","quantity":99999999999999999999,"unit_price_cents":1}`, nil, 400, "", "whole number"},
		{"TypeField", "POST", "/carts/c/items", `{"type":"AddItem","sku":"a","name":"","quantity":1,"unit_price_cents":1}`, nil, 400, "", `"type" is not known`},
		{"TooLarge", "POST", "/carts/c/items", big, nil, 413, "", "65536"},
		{"XML", "POST", "/carts/c/items", teaItem, []string{"Content-Type", "text/xml"}, 415, "", "application/json"},
		{"FormOfCurl", "POST", "/carts/c/items", "sku=tea", []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, "", "not valid JSON"},
		{"EmptyKey", "POST", "/carts/c/items", teaItem, []string{headerID, " "}, 400, "", headerID},
		{"LongKey", "POST", "/carts/c/items", teaItem, []string{headerID, strings.Repeat("k", 200)}, 400, "", headerID},
		{"BadPosition", "GET", "/orders/o1", "", []string{headerPosition, "x"}, 400, "", headerPosition},
		{"FuturePosition", "GET", "/orders/o1", "", []string{headerPosition, "999999"}, 400, "", "999999"},
		{"BadAfter", "GET", "/orders/o1?after=-1", "", nil, 400, "", headerPosition},
		{"BadLimit", "GET", "/customers/ada/orders?limit=101", "", nil, 400, "", "limit"},
		{"BadOffset", "GET", "/customers/ada/orders?offset=-1", "", nil, 400, "", "offset"},
		{"BadN", "GET", "/products/top?n=x", "", nil, 400, "", "n=x"},

		{"UnknownPath", "GET", "/nothing", "", nil, 404, "", "no such path"},
		{"Root", "GET", "/", "", nil, 404, "", "no such path"},
		{"DoubleSlash", "POST", "/carts//items", teaItem, nil, 404, "", "no such path"},
		{"TrailingSlash", "GET", "/orders/o1/", "", nil, 404, "", "no such path"},
		{"WrongMethod", "PUT", "/orders/o1", "", nil, 405, "", "PUT"},
		{"WrongMethodOfCommand", "GET", "/carts/c/items", "", nil, 405, "", "GET"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := s.head(t)
			a := s.do(t, tt.method, tt.path, tt.body, tt.headers...)
			require.Equal(t, tt.status, a.status, string(a.body))
			require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
			var p problem
			a.decode(t, &p)
			require.Equal(t, tt.status, p.Status)
			require.NotEmpty(t, p.Type)
			require.NotEmpty(t, p.Title)
			require.Equal(t, tt.rule, p.Rule)
			require.Contains(t, p.Detail, tt.detail)
			require.Less(t, len(p.Detail), 400)
			require.Equal(t, before, s.head(t), "nothing was written")
			if tt.status == http.StatusMethodNotAllowed {
				require.NotEmpty(t, a.header.Get("Allow"))
			}
		})
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	var first eventstore.Receipt
	for i := range 3 {
		a := s.do(t, "POST", "/carts/c1/items", teaItem, headerID, "k1")
		require.Equal(t, http.StatusOK, a.status)
		var r eventstore.Receipt
		a.decode(t, &r)
		require.Equal(t, i > 0, r.Repeated)
		if r.Repeated = false; i == 0 {
			first = r
		}
		require.Equal(t, first, r)
	}
	require.Equal(t, eventstore.Position(1), s.head(t))
	a := s.do(t, "POST", "/carts/c1/checkout", `{"order":"o1","customer":"ada"}`, headerID, "k1")
	require.Equal(t, http.StatusOK, a.status)
	require.JSONEq(t, `{"stream":"cart-c1","version":1,"position":1,"repeated":true}`, string(a.body), "the key was another command's")
}

// TestViewsThatAreLate asks while no view is followed.
func TestViewsThatAreLate(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	position := s.order(t, "c1", "o1", "ada")
	for _, path := range []string{"/orders/o1", "/customers/ada/orders", "/products/top"} {
		a := s.do(t, "GET", path, "")
		require.Equal(t, http.StatusServiceUnavailable, a.status, "not built: %s", a.body)
		require.NotEmpty(t, a.header.Get("Retry-After"))
	}
	impatient := query.NewBus(&query.Options{MaxWait: 20 * time.Millisecond})
	query.Register(impatient, s.views.orderOf)
	h := &api{commands: s.commands.bus, queries: impatient, store: s.store, runner: s.runner, log: quiet}
	late := httptest.NewServer(h.handler())
	t.Cleanup(late.Close)
	a := (&site{s.app, late.URL}).do(t, "GET", "/orders/o1", "", headerPosition, position)
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.NotEmpty(t, a.header.Get("Retry-After"))
	var p problem
	a.decode(t, &p)
	require.Equal(t, position, strconv.FormatUint(uint64(p.Position), 10))
	require.Contains(t, p.Detail, "committed")
}

func TestAStoreThatIsGoneIsUncertain(t *testing.T) {
	t.Parallel()
	s := newSite(t, false)
	require.NoError(t, s.store.Close())
	a := s.do(t, "POST", "/carts/c1/items", teaItem)
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.Contains(t, string(a.body), "uncertain")
}

func TestRedisComesAndGoes(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := siteOf(t, openApp(t, t.TempDir(), urlOf(server)), true)
	s.order(t, "c1", "o1", "ada")
	server.Kill()
	a := s.do(t, "GET", "/orders/o1", "")
	require.Equal(t, http.StatusServiceUnavailable, a.status, string(a.body))
	require.NotEmpty(t, a.header.Get("Retry-After"))
	position := s.order(t, "c2", "o2", "ada") // commands need no Redis
	server.Restart()
	require.Eventually(t, func() bool { // it came back empty, and the events have it all
		a := s.do(t, "GET", "/customers/ada/orders", "", headerPosition, position)
		return a.status == http.StatusOK && strings.Contains(string(a.body), "o1") && strings.Contains(string(a.body), "o2")
	}, 30*time.Second, 10*time.Millisecond)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	a := s.do(t, "GET", "/healthz", "")
	require.Equal(t, http.StatusOK, a.status)
	var h struct {
		OK    bool
		Views []viewHealth
	}
	a.decode(t, &h)
	require.True(t, h.OK)
	require.Len(t, h.Views, 3)
}

func TestIDsOfAnyScript(t *testing.T) {
	t.Parallel()
	s := newSite(t, true)
	id := url.PathEscape("Größe/7 №1?#%")
	position := s.order(t, id, "o-ü", "Ådå")
	a := s.do(t, "GET", "/orders/"+url.PathEscape("o-ü"), "", headerPosition, position)
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	a = s.do(t, "GET", "/customers/"+url.PathEscape("Ådå")+"/orders", "", headerPosition, position)
	require.Contains(t, string(a.body), "o-ü")
}
